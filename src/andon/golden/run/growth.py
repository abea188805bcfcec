"""How the golden set grows, and re-framings that would make it grow."""

from andon.golden.growth import Growth, growth_of
from andon.golden.queue import labels_by_failure, settled
from andon.golden.records import CaptureResult, Failure, Label
from andon.golden.reframe import reframings
from andon.golden.run.capture import capture
from andon.golden.run.sets import load_set
from andon.golden.run.waiting import WAITING, LabelQueue
from andon.settings import is_high_risk
from andon.store import Ledger

__all__ = ["growth", "reframe"]


def growth(ledger: Ledger, app: str | None = None, *, now_us: int, queue: LabelQueue | None = None) -> Growth:
    """How the golden set (of one app) grew in the last twelve weeks, and how many failures wait for people.

    Args:
        ledger: cases, failures and labels.
        app: only of this application.
        now_us: the clock.
        queue: knows what waits, where the caller keeps one; else it is found out.

    Raises:
        StoreError: the ledger failed.
    """
    if queue is None:
        labels = labels_by_failure(ledger.all(Label))
        states = [(f, settled(f, labels.get(f.id, ()))) for f in ledger.all(Failure)]
    else:
        states = list(queue.states(ledger).values())
    waiting = sum(said.state in WAITING for f, said in states if app in (None, f.app))
    return growth_of(load_set(ledger, app, retired=True), waiting=waiting, now_us=now_us)


def reframe(
    ledger: Ledger, app: str | None = None, *, limit: int, now_us: int, by: str, risk: str | None = None
) -> tuple[CaptureResult, list[Failure]]:
    """Capture up to `limit` re-framings of the high-risk cases (or of those of one risk category) that were not made before.

    Returns what became of them, with those that are known, and the new ones. Each waits in the label queue for a person.

    Raises:
        StoreError: the ledger failed.
    """
    wanted = None if risk is None else risk.strip().casefold()
    cases = [
        c
        for c in load_set(ledger, app)
        if (is_high_risk(c.risk_category) if wanted is None else (c.risk_category or "").strip().casefold() == wanted)
    ]
    there = {f.id for f in ledger.all(Failure)}
    made = reframings(cases, at_us=now_us)
    known = tuple(f.id for f in made if f.id in there)
    new = [f for f in made if f.id not in there][:limit]
    done = capture(ledger, new, now_us=now_us, by=by)
    return CaptureResult(captured=done.captured, known=(*known, *done.known), refused=done.refused), new
