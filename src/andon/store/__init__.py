"""Where everything is kept: the Warehouse for rows, the Ledger for records.

In:     Arrow tables of rows with an id and a time (`Warehouse.append`), frozen dataclasses with an id (`Ledger.put`).
Out:    answers to five plans (`Warehouse.run`), records and all their versions (`Ledger.get`, `all`, `history`).
Always: what `append` or `put` acknowledged is on disk; a row is there once, however often it is sent, imported or
        recovered (of what is said anew about an id the last word counts, where the schema asks for that); a record's versions have no gap and are never changed; plans are read-only and give the same answer
        on every engine; only the exceptions of `andon.errors` leave this package.
"""

from andon.store.disk import kept_secret, write_whole
from andon.store.engine import Engine
from andon.store.kept import forget_tables, keep_table, kept_stamp, kept_table
from andon.store.leases import LEASE_S, Lease, clock_of
from andon.store.ledger import Entry, Ledger, Versioned
from andon.store.opening import has_ledger, open_ledger, open_warehouse, store_place
from andon.store.place import Bucket, Place, at
from andon.store.plan import (
    Histogram,
    Lookup,
    Plan,
    Rollup,
    Sample,
    Slice,
    Span,
    Where,
    bin_edges,
    bin_of,
    from_json,
    to_json,
)
from andon.store.remembering import RememberingLedger
from andon.store.rows import REPEATED, REPLACES, REPLACES_EVER, SAME_TIME
from andon.store.warehouse import Committed, Warehouse

__all__ = [
    "LEASE_S",
    "REPEATED",
    "REPLACES",
    "REPLACES_EVER",
    "SAME_TIME",
    "Bucket",
    "Committed",
    "Engine",
    "Entry",
    "Histogram",
    "Lease",
    "Ledger",
    "Lookup",
    "Place",
    "Plan",
    "RememberingLedger",
    "Rollup",
    "Sample",
    "Slice",
    "Span",
    "Versioned",
    "Warehouse",
    "Where",
    "at",
    "bin_edges",
    "bin_of",
    "clock_of",
    "forget_tables",
    "from_json",
    "has_ledger",
    "keep_table",
    "kept_secret",
    "kept_stamp",
    "kept_table",
    "open_ledger",
    "open_warehouse",
    "store_place",
    "to_json",
    "write_whole",
]
