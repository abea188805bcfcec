"""From the tables of one Andon to those of another, both ways, with every row kept.

In:     the database of a ledger at any revision, also an empty one.
Out:    the same database at another revision; the one of this Andon is `HEAD`.
Always: a database whose revision is `HEAD` is asked one query and nothing else; a change is one transaction in a writer's turn,
        so it is made once and as a whole, however many processes open the ledger at the same time; what a later Andon made is
        refused, not read.

The revision stands in the one row of `ledger_state`. Those who came before it have none: what is there tells which one it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import URL, Connection, Engine, inspect, select, text
from sqlalchemy.exc import DBAPIError

from andon import __version__
from andon.errors import ConfigError, InputError, StateError, StoreError
from andon.store.databases import READING, SNAPSHOT, database_errors, disposing, engine_of, file_of, shown, url_of
from andon.store.schema import STATE, TRAIL, VERSIONS

__all__ = ["HEAD", "MARKED", "Moved", "bring_up", "migrate", "move", "refused_here", "revision_of"]

LEAST = 1
"""Before it there was no ledger: to go back there would be to delete it."""

MARKED = 3
"""From here on the revision stands in the database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """From the revision before to this one, and back: statements that never change any more, by the name of the dialect."""

    up: dict[str, Sequence[str]]
    down: dict[str, Sequence[str]]


def _both(*texts: str) -> dict[str, Sequence[str]]:
    return {"sqlite": texts, "postgresql": texts}


_VERSIONS = (
    "CREATE TABLE versions ({entry}, kind VARCHAR(200) NOT NULL, id VARCHAR(1000) NOT NULL, version INTEGER NOT NULL, "
    "at_us BIGINT NOT NULL, author TEXT NOT NULL, body TEXT NOT NULL, UNIQUE (kind, id, version))"
)
_LEASES = (
    "CREATE TABLE leases (name VARCHAR(200) NOT NULL, holder TEXT NOT NULL, term BIGINT NOT NULL, until_us BIGINT NOT NULL, "
    "PRIMARY KEY (name))"
)
_STATE = (
    "CREATE TABLE ledger_state (revision INTEGER NOT NULL, andon TEXT NOT NULL, rewrites BIGINT NOT NULL, "
    "cleared BIGINT NOT NULL, PRIMARY KEY (revision))"
)
_FIRST = "INSERT INTO ledger_state (revision, andon, rewrites, cleared) VALUES (3, '', {anywhere}, 0)"
_CLEARED = "UPDATE ledger_state SET cleared = rewrites"

_STEPS = (
    _Step(  # 1: versions of records
        up={
            "sqlite": [_VERSIONS.format(entry="entry INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT")],
            "postgresql": [_VERSIONS.format(entry="entry BIGSERIAL NOT NULL PRIMARY KEY")],
        },
        down=_both(),
    ),
    _Step(  # 2: the index of the audit trail
        up=_both("CREATE INDEX versions_trail ON versions (kind, entry, author, at_us, id, version)"),
        down=_both("DROP INDEX versions_trail"),
    ),
    _Step(  # 3: leases, the revision and the count of rewrites; ids by code points, and no text of a body in statistics
        up={
            "sqlite": [_LEASES, _STATE, _FIRST.format(anywhere="random() & 281474976710655"), _CLEARED],
            "postgresql": [
                _LEASES,
                _STATE,
                _FIRST.format(anywhere="CAST(floor(random() * 281474976710656) AS BIGINT)"),
                _CLEARED,
                'ALTER TABLE versions ALTER COLUMN id TYPE VARCHAR(1000) COLLATE "C"',
                "ALTER TABLE versions ALTER COLUMN body SET STATISTICS 0",
            ],
        },
        down={
            "sqlite": ["DROP TABLE ledger_state", "DROP TABLE leases"],
            "postgresql": [
                "ALTER TABLE versions ALTER COLUMN body SET STATISTICS -1",
                'ALTER TABLE versions ALTER COLUMN id TYPE VARCHAR(1000) COLLATE "default"',
                "DROP TABLE ledger_state",
                "DROP TABLE leases",
            ],
        },
    ),
)

_MAY_MAKE = text("""SELECT has_schema_privilege(current_schema(), 'CREATE') AS may_make, quote_ident(current_user) AS role,
    'GRANT CREATE ON SCHEMA ' || quote_ident(current_schema()) || ' TO ' || quote_ident(current_user) AS "grant",
    current_setting('search_path') AS path""")
"""From PostgreSQL 15 on only the owner of a database may make tables in its schema public."""

HEAD = len(_STEPS)
"""The revision that this Andon reads and writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A ledger that was brought from one revision to another."""

    before: int
    after: int
    statements: Sequence[str]
    """The SQL that did it, or would; none where it was there already."""


def migrate(url: str | URL, to: int = HEAD, *, rehearse: bool = False) -> Moved:
    """Bring a ledger to a revision, up or down; leases are lost below `MARKED`, no version of a record ever is.

    Any Andon that opens it afterwards brings it up again, as far as it knows.

    Args:
        url: which ledger: a URL, or the path of a SQLite file.
        to: the revision.
        rehearse: say what would be done, and change nothing; of an empty database how a ledger is made in it.

    Raises:
        ConfigError: there is no ledger, or a later Andon made it.
        InputError: there is no such revision, or below it nothing would be left.
        StateError: as for `statements`.
        StoreError: the database refused; it is as it was.
    """
    url = url_of(url)
    if (path := file_of(url)) is not None and not path.exists():
        raise ConfigError(f"there is no ledger at {path}: give a URL, or the path of its SQLite file")
    with database_errors(), disposing(engine_of(url)) as engine, engine.connect() as opened:
        connection = opened.execution_options(**{READING: SNAPSHOT}) if rehearse else opened
        with connection.begin():
            before = revision_of(connection)
            if before == 0 and not (rehearse and to == HEAD):
                raise ConfigError(f"there is no ledger in {shown(url)}: it is made when Andon is started on it")
            done = statements(connection, to) if rehearse else move(connection, to)
    return Moved(before=before, after=to, statements=done)


def bring_up(engine: Engine) -> None:
    """Bring a ledger to the revision of this Andon.

    Raises:
        ConfigError: a later Andon made it.
        StoreError: it says nothing of its revision where it should.
    """
    with engine.connect().execution_options(**{READING: True}) as connection:
        try:
            if _marked(connection) == HEAD:
                return
        except DBAPIError as error:
            if STATE.name not in str(error.orig):
                raise  # it is not that this table is missing
    with engine.begin() as connection:
        move(connection, HEAD)


def move(connection: Connection, to: int) -> list[str]:
    """Bring a ledger to a revision, up or down; with a writer's turn. Returns what was executed.

    Raises:
        ConfigError: a later Andon made it.
        InputError: there is no such revision, or below it nothing would be left.
        StateError: as for `statements`.
    """
    done = statements(connection, to)
    for statement in done:
        connection.exec_driver_sql(statement)
    return done


def statements(connection: Connection, to: int) -> list[str]:
    """What `move` would execute: nothing where the ledger is at that revision.

    Raises:
        ConfigError: a later Andon made it.
        InputError: there is no such revision, or below it nothing would be left.
        StateError: it is a way down, what was blanked is still in the database's files, and nothing there would say so any more.
    """
    if not LEAST <= to <= HEAD:
        raise InputError(f"revision {to} is none that this Andon ({__version__}) knows: give {LEAST} to {HEAD}")
    at, name = revision_of(connection), connection.dialect.name
    if to < MARKED <= at and connection.execute(select(STATE.c.cleared < STATE.c.rewrites)).scalar_one():
        raise StateError(
            "texts of somebody who was erased are still in the database's files, and an earlier Andon would not know it: erase "
            "them again with this one, which clears the files, and bring the ledger down then",
            commands="andon erase --user USER --yes",
        )
    if to >= at:
        found = [text for step in _STEPS[at:to] for text in step.up[name]]
    else:
        found = [text for step in reversed(_STEPS[to:at]) for text in step.down[name]]
    if at != to >= MARKED:
        found.append(f"UPDATE ledger_state SET revision = {to}, andon = '{__version__}'")
    return found


def revision_of(connection: Connection) -> int:
    """The revision of a ledger; 0 where there is none.

    Raises:
        ConfigError: a later Andon made it.
        StoreError: it says nothing of its revision where it should.
    """
    there = inspect(connection)
    if there.has_table(STATE.name):
        return _marked(connection)
    if not there.has_table(VERSIONS.name):
        return 0
    return 2 if TRAIL.name in {index["name"] for index in there.get_indexes(VERSIONS.name)} else 1


def refused_here(connection: Connection) -> str:
    """Why no ledger can be made in an empty database, and what lets it; empty where it can."""
    if connection.dialect.name == "sqlite":
        return ""
    asked = connection.execute(_MAY_MAKE).one()
    if asked.may_make:
        return ""
    if asked.grant is None:
        return (
            f"none of the schemas that {asked.role} looks for is there (search_path is {asked.path}): make one as a superuser: "
            f"CREATE SCHEMA AUTHORIZATION {asked.role}"
        )
    return f"{asked.role} may not make its tables there: as the owner of the database or a superuser, run {asked.grant}"


def _marked(connection: Connection) -> int:
    row = connection.execute(select(STATE.c.revision, STATE.c.andon)).first()
    if row is None:
        raise StoreError("the ledger does not say its revision (ledger_state has no row): restore it from a backup")
    if row.revision > HEAD:
        raise ConfigError(
            f"this ledger is at revision {row.revision}, which Andon {row.andon} made; this is Andon {__version__}, which knows "
            f"the revisions up to {HEAD}: use Andon {row.andon} or a later one, or let that one bring the ledger down",
            commands=f"andon ledger downgrade {HEAD}",
        )
    return int(row.revision)
