"""Whether running servers serve what was written: each notes, where all see it, up to where it has read the ledger.

Who holds a lever while no server runs, or one runs on another ledger, has stopped nothing; so it is said at once. Beside a SQLite
file each server has a file, whose time is the server's clock and is set anew at every look. On PostgreSQL each has a row beside the
leases, which it writes anew each second. What stands still was left by a server that is gone.
"""

import json
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from weakref import WeakKeyDictionary

from andon.errors import StoreError
from andon.levers.records import Pull
from andon.store import Ledger, write_whole
from andon.store.leases import leave, note_here, who_is_here
from andon.traffic import format_time

__all__ = ["note_end", "note_served", "served_within"]

LOOK_S = 0.02
LOOK_AT_DATABASE_S = 0.05

BEAT_S, SOON_S = 1.0, 0.2
"""How often a server writes to a database that it serves, and how soon where there is something new."""

ALIVE_S = 5.0
"""A server that has noted nothing for longer is none of those that are waited for."""

FORGOTTEN_S = 86_400.0
"""What a server left beside a file is removed by another one after this."""

SERVING = "serving"
"""The first word of the names under which servers note it in a database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Noted:
    """What a server noted last."""

    url: str
    host: str
    entry: int
    clock_us: int
    """When that was, by its clock; another time with each note."""
    lives: bool
    """Whether it was so lately that the server is taken to run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """What this process wrote last about a server of its own."""

    url: str
    entry: int
    at_s: float


_WRITTEN: WeakKeyDictionary[Ledger, _Written] = WeakKeyDictionary()


def note_served(ledger: Ledger, url: str, entry: int, now_us: int) -> None:
    """Note that a server serves now all that was written about levers up to an entry; what refuses keeps it from nobody.

    Where nothing is new this sets the time of a file and writes none, or writes a row once a second.
    """
    file = _file(ledger, url)
    if file is None:
        _note_in_database(ledger, url, entry)
        return
    if ledger not in _WRITTEN:
        _forget_old(file, now_us)
    _WRITTEN[ledger] = _Written(url=url, entry=entry, at_s=0.0)
    said = {"url": url, "host": socket.gethostname(), "ledger": ledger.number, "entry": entry}
    with suppress(StoreError, OSError):
        if _said(file) != said:
            write_whole(file, json.dumps(said))
        os.utime(file, ns=(now_us * 1000, now_us * 1000))


def note_end(ledger: Ledger) -> None:
    """Note that the server serves no more."""
    if (written := _WRITTEN.pop(ledger, None)) is None:
        return
    with suppress(StoreError, OSError):
        if (file := _file(ledger, written.url)) is not None:
            file.unlink(missing_ok=True)
        else:
            leave(ledger, _name(written.url))


def served_within(ledger: Ledger, pull: Pull, seconds: float = 2.0) -> str:
    """Whether all servers have read the latest version of a pull, or do so within that time: a sentence for people.

    Only what a server notes from now on is believed: it is alive then, and has seen the ledger as it is. The clocks of both need
    not agree for that. Where no server runs on this ledger, nothing is waited for.

    Raises:
        StoreError: the ledger cannot be read.
    """
    entry, began = ledger.entry(Pull, pull.id), time.monotonic()
    before = found = _noted(ledger)
    have: dict[str, _Noted] = {}
    while found and (s := time.monotonic() - began) < seconds:
        fresh = {k: n for k, n in found.items() if k not in before or n.clock_us != before[k].clock_us}
        have |= {k: n for k, n in fresh.items() if k not in have and n.entry >= entry}
        if have and not _missing(found, have, fresh):
            return _all_have(have, pull, s)
        time.sleep(LOOK_S if ledger.path is not None else LOOK_AT_DATABASE_S)
        found = _noted(ledger)
    if not have:
        return _none_has(ledger)
    missing = sorted(f"{n.url} on {n.host}" for n in _missing(found, have, {}).values())
    if not missing:
        return _all_have(have, pull, time.monotonic() - began)
    return (
        f"PICKED UP BY {len(have)} OF {len(have) + len(missing)} SERVERS: not by {', '.join(missing)} within {seconds:g} s. Applications "
        "that ask there keep the last known value until it has read the ledger; its /readyz says what keeps it from that"
    )


def _missing(found: Mapping[str, _Noted], have: Mapping[str, _Noted], fresh: Mapping[str, _Noted]) -> dict[str, _Noted]:
    """The servers that run and have not picked it up."""
    return {k: n for k, n in found.items() if k not in have and (n.lives or k in fresh)}


def _all_have(have: Mapping[str, _Noted], pull: Pull, s: float) -> str:
    for noted in have.values():
        if pull.released_us is None and pull.until_us <= noted.clock_us:
            return (
                f"NOT IN FORCE: its time is over by the server's clock ({format_time(noted.clock_us)}), so the server at "
                f"{noted.url} does not serve it: set the clock right that is wrong (`date -u` shows it), and hold it again"
            )
    who = f"the server at {next(iter(have.values())).url} has" if len(have) == 1 else f"all {len(have)} servers have"
    return f"{who} picked it up, {s:.1f} s after it was written"


def _none_has(ledger: Ledger) -> str:
    where, on = ("there is none on this ledger", "this ledger")
    if ledger.path is not None:
        where, on = str(ledger.path.parent), "this folder"
    return (
        f"NOT SERVED YET: no running server has picked it up ({where}): applications keep the last known value until `andon serve` runs "
        f"on {on}; its /readyz says what keeps it from reading"
    )


def _noted(ledger: Ledger) -> dict[str, _Noted]:
    """What servers noted last, by their names; of other ledgers nothing.

    Raises:
        StoreError: the database cannot be read.
    """
    if ledger.path is None:
        return _noted_in_database(ledger)
    found = {}
    for file in ledger.path.parent.glob(f"{ledger.path.name}.served-*"):
        with suppress(OSError):
            found[file] = file.stat().st_mtime_ns, _said(file)  # said after its time: it is as new at least
    newest_ns = max(
        (ns for ns, _ in found.values()), default=0
    )  # the clock of a server, as there may be none here that agrees
    noted = {}
    for file, (ns, said) in found.items():
        if said.get("ledger") == ledger.number and isinstance(entry := said.get("entry"), int):
            noted[file.name] = _Noted(
                url=str(said.get("url")), host=str(said.get("host")), entry=entry, clock_us=ns // 1000,
                lives=newest_ns - ns < ALIVE_S * 1e9,
            )  # fmt: skip
    return noted


def _noted_in_database(ledger: Ledger) -> dict[str, _Noted]:
    noted = {}
    for here in who_is_here(ledger, SERVING):
        clock_us = here.until_us - int(ALIVE_S * 1e6)
        host = here.name.split(" ")[1]
        noted[here.name] = _Noted(
            url=here.what, host=host, entry=here.number, clock_us=clock_us, lives=not here.is_over
        )
    return noted


def _note_in_database(ledger: Ledger, url: str, entry: int) -> None:
    """Note it in the database, but not at each look: a row is written for it."""
    written, now_s = _WRITTEN.get(ledger), time.monotonic()
    if written is not None and now_s - written.at_s < (BEAT_S if written.entry == entry else SOON_S):
        return
    with suppress(StoreError):
        note_here(ledger, _name(url), url, entry, ALIVE_S)
    _WRITTEN[ledger] = _Written(url=url, entry=entry, at_s=now_s)


def _name(url: str) -> str:
    """How a server is called in a database: after a restart it is called the same."""
    return f"{SERVING} {socket.gethostname()[:80]} {url[:80]}"


def _file(ledger: Ledger, url: str) -> Path | None:
    """Where a server notes it beside the ledger's file; None where the ledger is no file."""
    if ledger.path is None:
        return None
    return ledger.path.with_name(f"{ledger.path.name}.served-{sha256(_name(url).encode()).hexdigest()[:8]}")


def _forget_old(mine: Path, now_us: int) -> None:
    """Remove what servers left that were gone long ago."""
    for file in mine.parent.glob(f"{mine.name.rpartition('.served-')[0]}.served*"):
        with suppress(OSError):
            if now_us / 1e6 - file.stat().st_mtime > FORGOTTEN_S:
                file.unlink(missing_ok=True)


def _said(file: Path) -> dict[str, object]:
    try:
        said = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}
