"""The label queue as it stands now, for who asks for it on every request: what was computed is kept, and only what changed is made anew."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from andon.errors import AndonError
from andon.golden.cases import case_id
from andon.golden.duplicates import near_and_nearest
from andon.golden.queue import labels_by_failure, open_to, prioritise, settled, unplaced
from andon.golden.records import Case, Failure, Label, NearDuplicate, Queued, Settled
from andon.golden.run.labels import cases_by_app
from andon.golden.run.vectors import CaseVectors
from andon.scores import Embedder, Vectors
from andon.store import Ledger

__all__ = ["WAITING", "LabelQueue", "Ready"]

WAITING = ("waits", "second", "conflict")

AT_ONCE = 150
"""Waiting failures up to which the order is made while somebody waits; of more it is made beside, and comes a second later."""

REST_S = 20.0
"""The order is not made anew more often for what changes little: new cases, second opinions."""

ALIKE = 0.6
"""Cosine from which a case is shown beside a failure, as something to compare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What people have settled, and what became of it."""

    failures: tuple[str, ...]
    """Ids of failures whose right answer holds, that are no case yet and that nobody and nothing refused."""
    refused: int
    """Failures whose right answer holds, refused because they are near a case."""


class LabelQueue:
    """What waits for people, in the order of `andon.golden.queue.prioritise`. Threads may share it.

    After a label the rest keeps its order. New failures stand last until the order is made anew, which is at once where few
    wait, and else in a thread beside.
    """

    def __init__(self, embedder: Embedder, home: Path | None = None) -> None:
        """Nothing is read yet.

        Args:
            embedder: by whose similarity a question is new; one that answers in milliseconds.
            home: keeps the vectors of cases, as `CaseVectors`.
        """
        self._cases = CaseVectors(embedder, home)
        self._embedder = embedder
        self._turn = threading.RLock()
        self._entry = -1
        self._cases_entry = -1
        self._states: dict[str, tuple[Failure, list[Label], Settled]] = {}
        self._said: dict[str, tuple[Failure, Settled]] = {}
        self._names: dict[str, tuple[Settled, str]] = {}
        self._vectors: dict[str, Vectors] = {}
        self._order: dict[str, Queued] = {}
        self._made_s = -REST_S
        self._made_of: tuple[int, int] = (0, 0)
        self._worker: threading.Thread | None = None

    def states(self, ledger: Ledger) -> Mapping[str, tuple[Failure, Settled]]:
        """Every failure with what its labels say together, in the order of capture; the same object until something is written.

        Raises:
            StoreError: the ledger failed.
        """
        with self._turn:
            entry = ledger.last_entry()
            if entry != self._entry:
                labels = labels_by_failure(ledger.all(Label))
                now = {}
                for f in ledger.all(Failure):
                    mine, kept = labels.get(f.id, []), self._states.get(f.id)
                    same = kept is not None and (kept[0] is f or kept[0] == f) and kept[1] == mine
                    now[f.id] = kept if same and kept is not None else (f, mine, settled(f, mine))
                self._states, self._entry = now, entry
                self._said = {i: (f, said) for i, (f, _, said) in now.items()}
            return self._said

    def waiting(
        self, ledger: Ledger, by: str, *, app: str | None = None, incident: str | None = None, risk: str | None = None
    ) -> list[str]:
        """Ids of the failures that wait for a label of this reviewer, those that are worth most first.

        Args:
            ledger: failures, labels and cases.
            by: the reviewer.
            app: only of this application.
            incident: only of this incident.
            risk: only of this risk category.

        Raises:
            StoreError: the ledger failed.
        """
        with self._turn:
            states = self.states(ledger)
            order = self._ordered(ledger, states)
            return [
                i for i in order
                if open_to(by, states[i][1]) and _fits(states[i][0], app, incident, risk)
            ]  # fmt: skip

    def queued(self, ledger: Ledger, failures: Sequence[str]) -> list[Queued]:
        """Failures with why they stand where they stand; those are left out that are not there, or that nobody has to label.

        Raises:
            StoreError: the ledger failed.
        """
        with self._turn:
            states = self.states(ledger)
            self._ordered(ledger, states)
            some = [i for i in failures if i in states and states[i][1].state in WAITING]
            return [replace(self._order[i], failure=states[i][0], settled=states[i][1]) for i in some]

    def after(self, failure: str, waiting: list[str]) -> list[str]:
        """Those of some waiting failures that stand behind a failure in the order; all where it is not in it."""
        with self._turn:
            place = {i: k for k, i in enumerate(self._order)}
            return [i for i in waiting if place.get(i, -1) > place[failure]] if failure in place else waiting

    def near(self, ledger: Ledger, failure: Failure, most: int = 3) -> list[tuple[Case, float]]:
        """Tested cases of the application whose question resembles a failure's, the nearest first, each with its cosine.

        Raises:
            StoreError: the ledger failed.
        """
        with self._cases.turn:
            if (entry := ledger.last_entry()) != self._cases_entry:  # it reads the names of thousands of cases
                self._cases.catch_up(ledger)
                self._cases_entry = entry
            vector = self._vectors_of([failure])[0]
            found, _ = near_and_nearest(self._cases.vectors, vector, ALIKE) if len(self._cases) else ([], None)
            ids = self._cases.ids
            some = ((ledger.get(Case, ids[row]), cosine) for row, cosine in found[: 10 * most])
            return [(c, x) for c, x in some if c is not None and c.retired is None and c.app == failure.app][:most]

    def ready(self, ledger: Ledger) -> Ready:
        """What people have settled that is no case yet.

        Raises:
            StoreError: the ledger failed.
        """
        with self._turn:
            agreed = [(f, said) for f, said in self.states(ledger).values() if said.state == "agreed"]
            known = {c.id for c in ledger.all(Case)} if agreed else set()
            refused = {d.id for d in ledger.all(NearDuplicate) if d.choice == "refuse"}
            left = [f.id for f, said in agreed if self._case_of(f, said) not in known]
            return Ready(failures=tuple(i for i in left if i not in refused), refused=sum(i in refused for i in left))

    def rest(self) -> None:
        """Wait until the order is made, where it is just being made beside; for tests and for who is in no hurry."""
        worker = self._worker
        if worker is not None:
            worker.join()

    def _case_of(self, failure: Failure, said: Settled) -> str:
        kept = self._names.get(failure.id)
        if kept is None or kept[0] is not said:
            kept = self._names[failure.id] = (said, case_id(failure.app, failure.question, said.ground_truth or ""))
        return kept[1]

    def _ordered(self, ledger: Ledger, states: Mapping[str, tuple[Failure, Settled]]) -> list[str]:
        """The waiting failures in order; those that the order does not have yet stand last, the riskiest first."""
        waiting = [i for i, (_, said) in states.items() if said.state in WAITING]
        fresh = [i for i in waiting if i not in self._order]
        of = (len(ledger.all(Case)), len(waiting))
        if waiting and (fresh or (of != self._made_of and time.monotonic() - self._made_s > REST_S)):
            self._made_of = of
            self._make(ledger, [states[i] for i in waiting], beside=len(waiting) > AT_ONCE)
        fresh = [i for i in waiting if i not in self._order]
        for q in sorted((unplaced(*states[i]) for i in fresh), key=lambda q: -q.priority):
            self._order[q.failure.id] = q
        there = set(waiting)
        return [i for i in self._order if i in there]

    def _make(self, ledger: Ledger, waiting: list[tuple[Failure, Settled]], *, beside: bool) -> None:
        self._made_s = time.monotonic()
        labels = [x for f, _ in waiting for x in self._states[f.id][1]]

        def make() -> None:
            failures = [f for f, _ in waiting]
            vectors = self._vectors_of(failures)
            with self._cases.turn:
                self._cases.catch_up(ledger)
                of = cases_by_app(ledger, self._cases, {f.app for f in failures})
            found = prioritise(failures, labels, vectors, of)
            with self._turn:
                self._order = {q.failure.id: q for q in found}

        if not beside:
            make()
        elif self._worker is None or not self._worker.is_alive():
            self._worker = threading.Thread(target=_quietly(make), name="andon-label-queue", daemon=True)
            self._worker.start()

    def _vectors_of(self, failures: list[Failure]) -> Vectors:
        missing = [f for f in failures if f.id not in self._vectors]
        if missing:
            new = self._embedder.embed([f.question for f in missing])
            self._vectors |= {  # one step: other threads read it
                f.id: v for f, v in zip(missing, new, strict=True)
            }
        return np.stack([self._vectors[f.id] for f in failures])


def _quietly(make: Callable[[], None]) -> Callable[[], None]:
    """In a thread beside: where the store refuses, the order stays as it is, and the next request tries again and says why."""

    def run() -> None:
        try:
            make()
        except AndonError:
            return

    return run


def _fits(f: Failure, app: str | None, incident: str | None, risk: str | None) -> bool:
    return app in (None, f.app) and incident in (None, f.incident) and risk in (None, f.risk_category)
