"""What an erasure leaves of the golden set: nothing that asks for a text which is gone."""

from collections.abc import Collection
from dataclasses import replace

from andon.golden.queue import labels_by_failure, settled
from andon.golden.records import Case, Failure, Label
from andon.store import Ledger
from andon.traffic.clock import format_time
from andon.traffic.erasure import ERASED

__all__ = ["made_of", "without_erased"]

WHY = "what it asks, or what is right, was the text of a user and is erased"


def made_of(ledger: Ledger, interactions: Collection[str]) -> frozenset[str]:
    """Ids of the failures that were captured of interactions, and of the cases that ask the same and nobody else asked.

    Raises:
        StoreError: the ledger failed.
    """
    failures = ledger.all(Failure)
    theirs = {f.id for f in failures if f.interaction_id in interactions}
    asked = {(f.app, f.question) for f in failures if f.id in theirs}
    asked -= {(f.app, f.question) for f in failures if f.id not in theirs}
    cases = (c.id for c in ledger.all(Case) if (c.app, c.question) in asked) if asked else ()
    return frozenset((*theirs, *cases))


def without_erased(ledger: Ledger, *, now_us: int, by: str) -> tuple[int, int]:
    """Retire the cases, and dismiss the failures, of which a text was erased that they cannot do without; how many of each.

    Raises:
        StoreError: the ledger failed; calling again goes on.
    """
    cases = [c for c in ledger.all(Case) if c.retired is None and (ERASED in c.question or ERASED in c.ground_truth)]
    for case in cases:
        ledger.put(replace(case, retired=format_time(now_us)[:10], retired_why=WHY), now_us=now_us, by=by)
    labels = labels_by_failure(ledger.all(Label))
    failures = [
        f for f in ledger.all(Failure) if ERASED in f.question and settled(f, labels.get(f.id, ())).state != "dismissed"
    ]
    for failure in failures:
        word = Label(
            id=f"{failure.id}/final",
            failure=failure.id,
            verdict="dismiss",
            author=by,
            at_us=now_us,
            note=WHY,
            final=True,
        )
        ledger.put(word, now_us=now_us, by=by)
    return len(cases), len(failures)
