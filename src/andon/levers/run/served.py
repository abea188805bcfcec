"""Whether a running server serves what was written: it says in a file beside the ledger up to where it has read.

Who holds a lever while no server runs, or one runs on another folder, has stopped nothing; so it is said at once.
"""

import json
import time
from contextlib import suppress
from pathlib import Path

from andon.errors import StoreError
from andon.levers.records import Pull
from andon.store import Ledger, write_whole

__all__ = ["note_served", "served_within"]

LOOK_S = 0.02


def note_served(ledger: Ledger, url: str, entry: int) -> None:
    """Write that a server serves all that was written about levers up to an entry; a disk that refuses keeps it from nobody."""
    if (file := _file(ledger)) is not None:
        with suppress(StoreError):
            write_whole(file, json.dumps({"url": url, "ledger": ledger.number, "entry": entry}))


def served_within(ledger: Ledger, pull: Pull, seconds: float = 2.0) -> str:
    """Whether a server has read the latest version of a pull, or does so within that time: a sentence for people.

    Where no server ever ran on this ledger, nothing is waited for.

    Raises:
        StoreError: the ledger cannot be read.
    """
    entry, began, file = ledger.entry(Pull, pull.id), time.monotonic(), _file(ledger)
    while file is not None and file.exists() and time.monotonic() - began < seconds:
        said = _said(file)
        if said.get("ledger") == ledger.number and isinstance(n := said.get("entry"), int) and n >= entry:
            return f"the server at {said.get('url')} has picked it up, {time.monotonic() - began:.1f} s after it was written"
        time.sleep(LOOK_S)
    return (
        f"NOT SERVED YET: no running server has picked it up ({'there is none on this ledger' if file is None else file.parent}): "
        "applications keep the last known value until `andon serve` runs on this folder; its /readyz says what keeps it from reading"
    )


def _file(ledger: Ledger) -> Path | None:
    return None if ledger.path is None else ledger.path.with_name(f"{ledger.path.name}.served")


def _said(file: Path) -> dict[str, object]:
    try:
        said = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}
