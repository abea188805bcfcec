"""A cluster reads tables in a bucket by itself: nothing goes through the machine that asks."""

import sys
from pathlib import Path

import pyarrow as pa
import pytest
from ray_cluster import cluster, missing

from andon.store import Bucket, Rollup, Warehouse
from andon.store import warehouse as warehouse_module

sys.path.append(str(Path(__file__).parents[1] / "store"))
from object_store import BUCKET, running
from object_store import missing as no_store

pytestmark = [
    pytest.mark.slow(60),
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
    pytest.mark.skipif(no_store() is not None, reason=str(no_store())),
]
SCHEMA = pa.schema([("id", pa.string()), ("time_us", pa.int64()), ("score", pa.float64())])


def test_large_plans_over_a_bucket_go_to_the_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two machines answer what this one would, and no file of rows is copied here for it."""
    from andon.store.daft_ import Daft

    with running(5055) as store:
        for name, value in store.env.items():
            monkeypatch.setenv(name, value)
        url = f"s3://{BUCKET}/ray"
        writer = Warehouse(Bucket(url, tmp_path / "writer"), {"turns": SCHEMA}, home=tmp_path / "one")
        for n in range(3):
            times = pa.array([n * 86_400_000_000 * 3 + i for i in range(100)])
            ids = [f"r{n}-{i}" for i in range(100)]
            writer.append("turns", pa.table({"id": ids, "time_us": times, "score": [i / 7 for i in range(100)]}))
            writer.commit()
        plan = Rollup(table="turns", metrics=("score",), window_us=50)
        expected = writer.run(plan)
        monkeypatch.setattr(warehouse_module, "LARGE_ROWS", 1)
        with cluster() as made:
            engine = Daft(made.address)
            reader = Warehouse(
                Bucket(url, tmp_path / "reader"), {"turns": SCHEMA}, home=tmp_path / "other", cluster=engine
            )
            assert reader.run(plan).equals(expected)
            engine.close()
        assert not list((tmp_path / "reader" / "tables").rglob("*.parquet"))
