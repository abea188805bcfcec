"""Laws of opening what the settings name: each thing where they say, and nothing else touched."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from andon.errors import ConfigError
from andon.settings import Settings, load
from andon.store import Ledger, RememberingLedger, has_ledger, open_ledger, open_warehouse

SCHEMAS = {"turns": pa.schema([("id", pa.string()), ("time_us", pa.int64())])}


def test_everything_is_in_the_home_unless_it_is_put_elsewhere(tmp_path: Path) -> None:
    """Tables and ledger lie in the home; with a store and a ledger of their own only the journal does."""
    alone = Settings(home=tmp_path / "home")
    assert not has_ledger(alone)
    open_ledger(alone).close()
    open_warehouse(alone, SCHEMAS).close()
    assert has_ledger(alone)
    assert {p.name for p in (tmp_path / "home").iterdir()} >= {"ledger.db", "tables", "journal"}
    shared = Settings(home=tmp_path / "one", store=str(tmp_path / "all"), ledger=f"sqlite:///{tmp_path}/shared.db")
    ledger = open_ledger(shared, RememberingLedger)
    assert isinstance(ledger, RememberingLedger)
    ledger.close()
    store = open_warehouse(shared, SCHEMAS)
    store.append("turns", pa.table({"id": ["a"], "time_us": [1]}))
    store.commit()
    store.close()
    assert (tmp_path / "shared.db").exists()
    assert store.place.here == shared.place == tmp_path / "all"
    assert {p.name for p in (tmp_path / "one").iterdir()} <= {"journal", "spill"}
    assert shared.apart(tmp_path / "demo").place == tmp_path / "demo"
    assert not has_ledger(shared.apart(tmp_path / "demo"))


def test_what_cannot_be_an_engine_or_a_ledger_is_refused_without_its_secret(tmp_path: Path) -> None:
    """An unknown engine, and an address that is none, say what is allowed; a password is never repeated."""
    with pytest.raises(ConfigError, match=r"ANDON_ENGINE=spark must be duckdb, daft or ray://host:port"):
        load({"ANDON_ENGINE": "spark"})
    assert load({"ANDON_ENGINE": "ray://head:10001"}).engine == "ray://head:10001"
    bad = Settings(home=tmp_path, ledger="postgresql://andon:open:sesame@@/nowhere@there")
    with pytest.raises(ConfigError) as refused:
        open_ledger(bad)
    assert "sesame" not in str(refused.value)
    (tmp_path / "andon.toml").write_text('ledger = "postgresql://andon:sesame@db/andon"\n')
    with pytest.raises(ConfigError, match="is a secret"):
        load({"ANDON_CONFIG": str(tmp_path / "andon.toml")})


def test_large_plans_go_to_the_engine_that_the_setting_names(tmp_path: Path) -> None:
    """DuckDB alone unless another one is named; to name a cluster connects to nothing."""
    pytest.importorskip("daft", reason="DAFT IS NOT INSTALLED: pip install 'andon[ray]'")
    found = {}
    for engine in ("duckdb", "daft", "ray://127.0.0.1:1"):
        store = open_warehouse(replace(Settings(home=tmp_path), engine=engine), SCHEMAS)
        found[engine] = type(store._cluster).__name__
        store.close()
    assert found == {"duckdb": "NoneType", "daft": "Daft", "ray://127.0.0.1:1": "Daft"}
    assert isinstance(open_ledger(Settings(home=tmp_path)), Ledger)
