"""Another process with a ledger: `count` adds to a shared record and writes its own, `pause` is stopped amid a transaction."""

import os
import signal
import sys
from dataclasses import dataclass

from sqlalchemy import insert

from andon.errors import StateError, StoreError
from andon.store import Ledger, databases
from andon.store.schema import VERSIONS

__all__ = ["Counter", "main"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    id: str
    count: int = 0


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def count(ledger: Ledger, name: str, times: int) -> None:
    """Add one to what all share, as often as that; each time a record of its own is written too."""
    for n in range(times):
        ledger.put(Counter(id=f"{name}-{n}"), now_us=n, by=name, expect=0)
        while True:
            found = ledger.latest(Counter, "shared")
            version, value = (found.version, found.record.count) if found else (0, 0)
            try:
                ledger.put(Counter(id="shared", count=value + 1), now_us=n, by=name, expect=version)
                break
            except StateError:
                continue


def pause(ledger: Ledger) -> None:
    """Be stopped after something was written and before it is done, until somebody says to go on."""
    row = {
        "kind": "Counter",
        "id": "paused",
        "version": 1,
        "at_us": 1,
        "author": "x",
        "body": '{"count":0,"id":"paused"}',
    }
    try:
        with ledger.writing() as connection:
            connection.execute(insert(VERSIONS), row)
            say("amid")
            os.kill(os.getpid(), signal.SIGSTOP)
        say("done")
    except StoreError as error:
        say(f"{'retryable' if error.retryable else 'refused'} {error}")
    ledger.put(Counter(id="afterwards"), now_us=2, by="x")


def main() -> None:
    """Do what the arguments say: what, where, and for `count` the name and how often."""
    what, url, *more = sys.argv[1:]
    databases.PAUSE_S = 1.0
    ledger = Ledger(url)
    if what == "count":
        say("ready")
        sys.stdin.readline()
        count(ledger, more[0], int(more[1]))
    elif what == "open":
        say(str(ledger.last_entry()))
    else:
        pause(ledger)
    ledger.close()


if __name__ == "__main__":
    main()
