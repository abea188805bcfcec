"""What lists need of every postmortem, kept in memory: the records themselves are large, and read once for each version."""

import threading
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import TypeVar
from weakref import WeakKeyDictionary, ref

from andon.incidents import Incident, TimelineEvent, TimelineMark
from andon.postmortems.records import ActionItem, Postmortem, Published, Review
from andon.store import Ledger

__all__ = ["Catalogue", "catalogue_of"]

T = TypeVar("T", Postmortem, Published)

LATE = 200
"""Where several writers commit out of order, a lower entry than the newest one may come so many entries late."""

ERASED = "Erasure"
"""Kind of the record that is written when somebody's traffic was erased: what was kept may hold some of it."""


class Catalogue:
    """Postmortems in short: without timeline, chart and evidence. Threads share it."""

    def __init__(self, ledger: Ledger) -> None:
        self._of = ref(ledger)
        self._lock = threading.Lock()
        self._last = 0
        self._seen: frozenset[int] = frozenset()
        self._short: dict[tuple[str, str], Postmortem] = {}
        self._changes: dict[str, int] = {}
        self._begun = 0

    @property
    def _ledger(self) -> Ledger:
        ledger = self._of()
        assert ledger is not None, "who asks holds it"
        return ledger

    def drafts(self, of: Collection[str] | None = None) -> dict[str, Postmortem]:
        """The latest drafts in short, by incident, in the order in which they were first written; or only those of some."""
        return self._all(Postmortem, of)

    def published(self, of: Collection[str] | None = None) -> dict[str, Postmortem]:
        """What is published in short, by incident; or only of some."""
        return self._all(Published, of)

    def changes(self) -> Callable[[str], int]:
        """Incident -> another number after each change of anything that the text of its postmortem is made of."""
        with self._lock:
            self._read_news()
            begun, known = self._begun, dict(self._changes)
        return lambda incident_id: begun + known.get(incident_id, 0)

    def _all(self, kind: type[T], of: Collection[str] | None) -> dict[str, Postmortem]:
        names = [name for _, name in self._ledger.ids(kind) if of is None or name in of]
        with self._lock:
            self._read_news()
            missing = [n for n in names if (kind.__name__, n) not in self._short]
        for name in missing:  # one at a time: who asks for a few of them does not wait for all
            with self._lock:
                self._read(kind, name)
        with self._lock:
            return {n: p for n in names if (p := self._short.get((kind.__name__, n))) is not None}

    def _read(self, kind: type[T], name: str) -> None:
        if (kind.__name__, name) in self._short:
            return
        found = Ledger.latest(self._ledger, kind, name)  # past its memory, which would seal and keep all of it
        if found is not None:
            self._short[kind.__name__, name] = _in_short(found.record)

    def _read_news(self) -> None:
        ledger = self._ledger
        last = ledger.last_entry()
        if last == self._last:
            return
        if last < self._last or (self._last and ERASED in ledger.kinds_written(self._last)):
            self._short.clear()
            self._begun += 1_000_000_000
        kinds = (Postmortem, Published, Review, Incident, ActionItem, TimelineEvent, TimelineMark)
        rows = ledger.written(kinds, max(0, (self._last or last) - LATE))
        for entry, kind, name in rows if self._last else ():
            if entry not in self._seen:
                self._short.pop((kind, name), None)
                incident = _incident_of(ledger, kind, name)
                self._changes[incident] = self._changes.get(incident, 0) + 1
        self._seen = frozenset(entry for entry, _, _ in rows)
        self._last = last


_CATALOGUES: WeakKeyDictionary[Ledger, Catalogue] = WeakKeyDictionary()
_LOCK = threading.Lock()


def catalogue_of(ledger: Ledger) -> Catalogue:
    """The catalogue of a ledger, for as long as that is open."""
    with _LOCK:
        found = _CATALOGUES.get(ledger)
        if found is None:
            found = _CATALOGUES[ledger] = Catalogue(ledger)
        return found


def _in_short(record: Postmortem | Published) -> Postmortem:
    p = record.postmortem if isinstance(record, Published) else record
    small = replace(p.investigation, evidence=(), examples=(), passing=(), slices=(), parts=(), analyses=())
    return replace(p, timeline=(), points=(), summary=(), pinned=(), investigation=small)


def _incident_of(ledger: Ledger, kind: str, name: str) -> str:
    if kind == ActionItem.__name__:
        return name.rpartition("-")[0]
    if kind == TimelineEvent.__name__:
        event = ledger.get(TimelineEvent, name)
        return name if event is None else event.incident
    if kind == TimelineMark.__name__:
        mark = ledger.get(TimelineMark, name)
        return name if mark is None else mark.incident
    return name
