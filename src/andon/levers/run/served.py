"""Whether a running server serves what was written: it says in a file beside the ledger up to where it has read.

Who holds a lever while no server runs, or one runs on another folder, has stopped nothing; so it is said at once. The time of the
file is the server's clock, set anew at every look: a file that stands still was left by a server that is gone.
"""

import json
import os
import time
from contextlib import suppress
from pathlib import Path

from andon.errors import StoreError
from andon.levers.records import Pull
from andon.store import Ledger, write_whole
from andon.traffic import format_time

__all__ = ["note_end", "note_served", "served_within"]

LOOK_S = 0.02


def note_served(ledger: Ledger, url: str, entry: int, now_us: int) -> None:
    """Note that a server serves now all that was written about levers up to an entry; a disk that refuses keeps it from nobody.

    Where nothing is new this sets the time of a file, and writes none.
    """
    if (file := _file(ledger)) is not None:
        said = {"url": url, "ledger": ledger.number, "entry": entry}
        with suppress(StoreError, OSError):
            if _said(file) != said:
                write_whole(file, json.dumps(said))
            os.utime(file, ns=(now_us * 1000, now_us * 1000))


def note_end(ledger: Ledger) -> None:
    """Note that the server serves no more."""
    if (file := _file(ledger)) is not None:
        with suppress(OSError):
            file.unlink(missing_ok=True)


def served_within(ledger: Ledger, pull: Pull, seconds: float = 2.0) -> str:
    """Whether a server has read the latest version of a pull, or does so within that time: a sentence for people.

    Only what a server notes from now on is believed: it is alive then, and has seen the ledger as it is. The clocks of both need
    not agree for that. Where no server runs on this ledger, nothing is waited for.

    Raises:
        StoreError: the ledger cannot be read.
    """
    entry, began, file = ledger.entry(Pull, pull.id), time.monotonic(), _file(ledger)
    before = _noted_ns(file)
    while (noted_ns := _noted_ns(file)) is not None and file is not None and (s := time.monotonic() - began) < seconds:
        said = _said(file)  # after its time: it is as new at least
        mine = said.get("ledger") == ledger.number and isinstance(n := said.get("entry"), int) and n >= entry
        if mine and noted_ns != before:
            if pull.released_us is None and pull.until_us * 1000 <= noted_ns:
                return (
                    f"NOT IN FORCE: its time is over by the server's clock ({format_time(noted_ns // 1000)}), so the server at "
                    f"{said.get('url')} does not serve it: set the clock right that is wrong (`date -u` shows it), and hold it again"
                )
            return f"the server at {said.get('url')} has picked it up, {s:.1f} s after it was written"
        time.sleep(LOOK_S)
    return (
        f"NOT SERVED YET: no running server has picked it up ({'there is none on this ledger' if file is None else file.parent}): "
        "applications keep the last known value until `andon serve` runs on this folder; its /readyz says what keeps it from reading"
    )


def _file(ledger: Ledger) -> Path | None:
    return None if ledger.path is None else ledger.path.with_name(f"{ledger.path.name}.served")


def _noted_ns(file: Path | None) -> int | None:
    """When a server noted last that it serves, by its clock; None where none does."""
    try:
        return None if file is None else file.stat().st_mtime_ns
    except OSError:
        return None


def _said(file: Path) -> dict[str, object]:
    try:
        said = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}
