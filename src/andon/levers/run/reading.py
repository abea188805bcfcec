"""Read one lever from the ledger, and know which levers there is something new to read about."""

import threading
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from andon.levers.records import Lever, Promotion, Pull, Version
from andon.rollouts import Allocation
from andon.store import Ledger

__all__ = ["WHOLE", "News", "pulls_by_lever", "pulls_of", "versions_of"]

WHOLE = 2_000
"""Every so many readings all levers are read: what became visible out of order, or was erased."""

LATE = 200
"""So many entries behind the last one a reading begins: another writer's may become visible a little late."""

MANY = 20
"""From so many levers on, all pulls are read at once."""


class News:
    """Which levers something was written about since it was asked last; two small queries where nothing was."""

    def __init__(self) -> None:
        self._turn = threading.RLock()
        self.entry = self._turns = 0
        """The last entry that was named."""
        self._seen: set[int] = set()

    @contextmanager
    def touched(self, ledger: Ledger) -> Iterator[tuple[set[str], bool]]:
        """Keys of levers to read anew, and whether they are all. Where what is done with them fails, the next call names them again.

        A ledger that ends before what was read of it is another one, such as a backup that was copied over it: all is read anew.

        Raises:
            StoreError: the ledger cannot be read.
        """
        with self._turn:
            last = ledger.last_entry()
            whole = self._turns % WHOLE == 0 or last < self.entry
            after = last if whole else self.entry
            written = ledger.written((Lever, Pull, Promotion, Allocation), max(0, after - LATE))
            if whole:
                keys = {lever.id for lever in ledger.all(Lever)}
            else:
                keys = {_lever_of(kind, name) for entry, kind, name in written if entry not in self._seen}
            yield keys, whole
            self.entry = max([after, *(entry for entry, _, _ in written)])
            self._seen = {entry for entry, _, _ in written}
            self._turns += 1


def pulls_of(ledger: Ledger, lever_id: str) -> list[Pull]:
    """All pulls of a lever, in the order in which they were written."""
    return [p for p in ledger.all(Pull, begins=f"pull-{lever_id}-") if p.lever == lever_id]


def pulls_by_lever(ledger: Ledger, keys: Collection[str]) -> dict[str, list[Pull]]:
    """Lever -> all its pulls."""
    if len(keys) < MANY:
        return {key: pulls_of(ledger, key) for key in keys}
    found: dict[str, list[Pull]] = defaultdict(list)
    for pull in ledger.all(Pull):
        found[pull.lever].append(pull)
    return found


def versions_of(ledger: Ledger, lever_id: str) -> list[Version]:
    """The versions of a lever, in the order in which they were written."""
    return ledger.all(Version, begins=f"{lever_id}@")


def _lever_of(kind: str, name: str) -> str:
    """The lever that a record is about, by its id: no key holds a colon."""
    return name.removeprefix("pull-").rpartition("-")[0] if kind == "Pull" else name.partition(":")[0]
