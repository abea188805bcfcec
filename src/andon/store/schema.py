"""The tables of the ledger, as this version of Andon has them; how a database gets there is in `andon.store.migrations`."""

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, Text, UniqueConstraint

__all__ = ["LEASES", "METADATA", "STATE", "TRAIL", "VERSIONS", "beyond"]

METADATA = MetaData()

VERSIONS = Table(
    "versions",
    METADATA,
    Column("entry", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("kind", String(200), nullable=False),
    Column("id", String(1000).with_variant(String(1000, collation="C"), "postgresql"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("author", Text, nullable=False),
    Column("body", Text, nullable=False),
    UniqueConstraint("kind", "id", "version"),
    sqlite_autoincrement=True,
)
"""Every version of every record; ids are compared by code points, whatever order the database has for other texts."""

TRAIL = Index("versions_trail", *(VERSIONS.c[name] for name in ("kind", "entry", "author", "at_us", "id", "version")))
"""For the audit trail: who wrote which record when, the newest first, without reading a body."""

LEASES = Table(
    "leases",
    METADATA,
    Column("name", String(200), primary_key=True),
    Column("holder", Text, nullable=False),
    Column("term", BigInteger, nullable=False),
    Column("until_us", BigInteger, nullable=False),
)
"""Who may do what only one may do at a time, and until when."""

STATE = Table(
    "ledger_state",
    METADATA,
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("andon", Text, nullable=False),
    Column("rewrites", BigInteger, nullable=False),
    Column("cleared", BigInteger, nullable=False),
)
"""One row about the ledger itself: the revision of its tables, and which Andon made it; a number that begins anywhere and grows
with each blanking, so that who remembers bodies knows when to forget them; and up to which of these numbers what was there before
is cleared from the disk."""


def beyond(begins: str) -> str | None:
    """The first text after all that begin so, by code points; None where there is none."""
    head = begins.rstrip("\U0010ffff")
    if not head:
        return None
    after = ord(head[-1]) + 1
    return head[:-1] + chr(0xE000 if after == 0xD800 else after)  # no text holds half of a surrogate pair
