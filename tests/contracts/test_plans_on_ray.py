"""The plans on a real Ray cluster of two machines: what plain Python gives, and to the last bit what Daft gives without a cluster."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from ray_cluster import WORKER, Cluster, cluster, missing
from test_plans import ALL_PLANS, DAY, IDS, ROWS, SCHEMA, SPANS, WHERES, expected, hash_of, same

from andon.errors import InputError, StoreError
from andon.store import Engine, Histogram, Lookup, Plan, Rollup, Sample, Slice, Span, Warehouse, Where

pytestmark = [pytest.mark.slow(150), pytest.mark.skipif(missing() is not None, reason=str(missing()))]

METRICS = ("latency_s", "refused", "tokens")
KEYS = ((), ("model",), ("model", "refused"))


@pytest.fixture(scope="module")
def two_machines() -> Iterator[Cluster]:
    """A cluster that nothing happens to."""
    with cluster() as started:
        yield started


@pytest.fixture(scope="module")
def engine(two_machines: Cluster) -> Iterator[Engine]:
    """Daft on the cluster."""
    from andon.store.daft_ import Daft

    made = Daft(two_machines.address)
    yield made
    made.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of three commits in three files, the oldest of which lacks columns; the second table stays empty."""
    root = tmp_path_factory.mktemp("a [store] {of}")
    for start, names in (
        (0, [name for name in SCHEMA.names if name not in LACKING]),
        (300, SCHEMA.names),
        (600, SCHEMA.names),
    ):
        schema = pa.schema([SCHEMA.field(name) for name in names])
        store = Warehouse(root, {"turns": schema, "empty": schema})
        store.append("turns", pa.Table.from_pylist(GIVEN[start : start + 300], SCHEMA).select(names))
        store.commit()
        store.close()
    return root


LACKING = {"refused", "contexts", "weight"}
GIVEN = [row | (dict.fromkeys(LACKING) if at < 300 else {}) for at, row in enumerate(ROWS)]


@pytest.fixture(scope="module")
def warehouse(engine: Engine, folder: Path) -> Warehouse:
    """The store, on the cluster."""
    return Warehouse(folder, {"turns": SCHEMA, "empty": SCHEMA}, engine)


@pytest.fixture(scope="module")
def here(folder: Path) -> Warehouse:
    """The same store on Daft, in this process."""
    from andon.store.daft_ import Daft

    return Warehouse(folder, {"turns": SCHEMA, "empty": SCHEMA}, Daft())


def agrees(plan: Plan, warehouse: Warehouse, here: Warehouse) -> None:
    """The cluster gives what plain Python gives, and bit for bit what Daft gives in this process."""
    found = warehouse.run(plan)
    assert found.equals(here.run(plan)), plan
    same(found.to_pylist(), expected(plan, GIVEN if plan.table == "turns" else []))


def test_rollups(warehouse: Warehouse, here: Warehouse) -> None:
    """Rollups agree whatever the conditions, keys, windows and spans, before 1970 too."""
    assert min(row["time_us"] for row in GIVEN) < -DAY  # type: ignore[type-var]
    plan = Rollup(table="turns", metrics=METRICS)
    for at, where in enumerate(WHERES):
        window_us = (None, 3_600_000_000, DAY)[at // 3 % 3]
        agrees(replace(plan, where=where, keys=KEYS[at % 3], window_us=window_us, span=SPANS[at % 2]), warehouse, here)
    for span in SPANS[2:]:
        agrees(replace(plan, span=span), warehouse, here)
        agrees(replace(plan, span=span, keys=("model",), measures=("n", "wsum")), warehouse, here)


def test_histograms(warehouse: Warehouse, here: Warehouse) -> None:
    """Histograms agree for every metric, with and without keys and windows."""
    for metric, keys, window_us in zip(METRICS, KEYS, (None, DAY, 3_600_000_000), strict=True):
        agrees(Histogram(table="turns", metric=metric, keys=keys, window_us=window_us), warehouse, here)


def test_rows(warehouse: Warehouse, here: Warehouse) -> None:
    """Slices, samples and look-ups agree row by row, nested columns and every kind of text included."""
    everything = tuple(SCHEMA.names)
    for at, where in enumerate(WHERES):
        plan = Slice(
            table="turns", columns=everything, where=where, limit=(None, 7, 0)[at % 3], newest_first=at % 2 == 1
        )
        agrees(plan, warehouse, here)
    for seed in (0, -5, 2**40):
        sample = Sample(table="turns", n=25, seed=seed, columns=everything)
        agrees(sample, warehouse, here)
        agrees(replace(sample, where=(Where(column="tokens", op="not_null"),)), warehouse, here)
    for span in (None, Span(start_us=-DAY, end_us=DAY)):
        agrees(Lookup(table="turns", ids=IDS, columns=everything, span=span), warehouse, here)
    own = warehouse.run(Slice(table="turns", columns=("id", "time_us", "id_hash", "day", "seq"))).to_pylist()
    assert all(row["id_hash"] == hash_of(row["id"]) and row["day"] == row["time_us"] // DAY for row in own)
    assert {row["seq"] for row in own} == {1, 2, 3}


@pytest.mark.parametrize("plan", ALL_PLANS)
def test_answers_of_an_empty_table(warehouse: Warehouse, here: Warehouse, plan: Plan) -> None:
    """A table of which there is only the blank file gives no rows, in the columns and types of one that has some."""
    assert warehouse.run(plan).num_rows == 0
    assert warehouse.run(plan).schema == here.run(replace(plan, table="turns")).schema
    agrees(Rollup(table="empty", metrics=("tokens",)), warehouse, here)


def test_sums(engine: Engine, tmp_path: Path) -> None:
    """The same rows in other files and order give the same sums to the last bit; the greatest and smallest numbers still add."""
    rng = np.random.default_rng(5)
    values = rng.normal(size=5000) * np.exp(3 * rng.normal(size=5000))
    extremes = [1e300, -1e18, 2.0**43, 5e-324, -1e-20]
    answers = []
    for parts in (1, 5):
        store = Warehouse(tmp_path / str(parts), {"turns": SCHEMA}, engine)
        for part in np.array_split(rng.permutation(values.size), parts):
            ids = pa.array([str(i) for i in part])
            store.append("turns", pa.table({"id": ids, "time_us": part % 10, "latency_s": values[part]}))
            store.commit()
        for at, value in enumerate(extremes):
            rows = {"id": [f"a{at}", f"b{at}"], "time_us": [1, 2], "model": [str(at)] * 2, "latency_s": [value] * 2}
            store.append("turns", pa.table(rows))
        store.commit()
        answers.append(store.run(Rollup(table="turns", metrics=("latency_s",), keys=("model",))).to_pylist())
        store.close()
    assert answers[0] == answers[1]
    for answer, value in zip(answers[0], extremes, strict=False):
        assert answer["latency_s.sum"] == pytest.approx(2 * value, rel=1e-9, abs=1e-24)
    assert answers[0][-1]["latency_s.sum"] == pytest.approx(float(np.sum(values)), rel=1e-9)


def test_threads(warehouse: Warehouse) -> None:
    """Threads that ask at once get their own answers."""
    plans = [Lookup(table="turns", ids=(f"r-{at:05d}",), columns=("id",)) for at in range(1, 7)]
    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(warehouse.run, plans))
    assert [answer["id"].to_pylist() for answer in found] == [list(plan.ids) for plan in plans]


def test_what_is_wrong_is_told(engine: Engine, warehouse: Warehouse, folder: Path) -> None:
    """A wrong plan is the caller's error; a lost file is a StoreError in one line that names it; the next plan is answered."""
    plan = Rollup(table="turns")
    with pytest.raises(InputError, match="nope"):
        warehouse.run(replace(plan, keys=("nope",)))
    files, schema = [str(path) for path in sorted(folder.glob("schemas/turns-*.parquet"))], warehouse.schema("turns")
    with pytest.raises(StoreError, match=r"ray://.*gone\.parquet") as caught:
        engine.run(plan, [files[0], str(folder / "gone.parquet")], schema)
    assert caught.value.retryable
    assert "\n" not in str(caught.value)
    damaged = folder / "damaged.parquet"
    damaged.write_bytes(b"PAR1" + 100 * b"x")
    with pytest.raises(StoreError, match=r"ray://") as caught:
        engine.run(plan, [files[0], str(damaged)], schema)
    assert not caught.value.retryable
    assert warehouse.run(plan).to_pylist() == [{"rows": 900}]


def test_nothing_is_printed(two_machines: Cluster, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither Daft nor Ray writes to the output of the process that asks, nor leaves anything open in it, nor reports its use."""
    from andon.store.daft_ import Daft

    engine = Daft(two_machines.address)
    store = Warehouse(folder, {"turns": SCHEMA}, engine)
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert store.run(Rollup(table="turns")).to_pylist() == [{"rows": 900}]
    actors = [pid for node in range(2) for pid in two_machines.processes(node, WORKER)]
    assert len(actors) >= 2
    assert all(b"DAFT_ANALYTICS_ENABLED=0" in Path(f"/proc/{pid}/environ").read_bytes() for pid in actors)
    engine.close()
    assert "ray" not in sys.modules
    assert capfd.readouterr() == ("", "")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
