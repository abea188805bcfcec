"""Open what the settings name: the ledger, the tables, and the engine that answers large plans."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar, overload

import pyarrow as pa

from andon.settings import Settings
from andon.store.databases import url_of
from andon.store.engine import Engine
from andon.store.ledger import Ledger
from andon.store.place import Bucket, Place
from andon.store.warehouse import Warehouse

__all__ = ["has_ledger", "open_ledger", "open_warehouse", "store_place"]

AnyLedger = TypeVar("AnyLedger", bound=Ledger)


@overload
def open_ledger(settings: Settings) -> Ledger: ...
@overload
def open_ledger(settings: Settings, kind: type[AnyLedger]) -> AnyLedger: ...
def open_ledger(settings: Settings, kind: type[Ledger] = Ledger) -> Ledger:
    """The ledger of these settings: their database, or the file in their home, which is created if missing.

    Args:
        settings: say where it is.
        kind: how it is read: a `Ledger`, or one that remembers.

    Raises:
        ConfigError: the setting names no database that a ledger can be in.
        StoreError: the database cannot be opened.
    """
    return kind.open(_file(settings)) if not settings.ledger else kind(url_of(settings.ledger))


def has_ledger(settings: Settings) -> bool:
    """Whether there is a ledger already; of a database nobody asks."""
    return bool(settings.ledger) or _file(settings).exists()


def open_warehouse(settings: Settings, schemas: Mapping[str, pa.Schema]) -> Warehouse:
    """The tables of these settings.

    Raises:
        ConfigError: a folder or the engine cannot be used.
        StoreError: the folder cannot be written.
    """
    return Warehouse(store_place(settings), schemas, cluster=_cluster(settings.engine), home=settings.home)


def store_place(settings: Settings) -> Place:
    """Where the tables of these settings are."""
    return Bucket(settings.store, settings.home / "copies") if settings.bucket else Place(settings.place)


def _cluster(engine: str) -> Engine | None:
    """What answers large plans; None: DuckDB, as all others."""
    if engine == "duckdb":
        return None
    from andon.store.daft_ import Daft

    return Daft(None if engine == "daft" else engine)


def _file(settings: Settings) -> Path:
    return settings.home / "ledger.db"
