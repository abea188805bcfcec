"""Store failures, each once; what both kinds of rules share."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from andon.errors import InputError, SeamError, StateError
from andon.golden.capture import Measure, Sign, captured, not_users
from andon.golden.records import CaptureResult, Failure, Refusal
from andon.golden.run.twins import with_twins
from andon.golden.thresholds import Thresholds
from andon.golden.twins import Passing
from andon.incidents import Incident
from andon.scores import Embedder
from andon.store import Ledger, Lookup, Span, Warehouse
from andon.traffic import SCHEMAS, Feedback, Interaction, feedback_from_rows

__all__ = ["ROW", "Keeper", "capture", "feedback_of", "sign_of"]

ROW = ("id", "time_us", "interaction_id", "risk_category")
"""Columns of scores that a sign is made of, beside its metric."""


def capture(ledger: Ledger, failures: Iterable[Failure], *, now_us: int, by: str = "andon") -> CaptureResult:
    """Store failures (`to_failure` makes them), each once: its id is a digest of app, question and answer.

    One that was captured before, of no incident, is given the incident of which it is captured now.

    Raises:
        StoreError: the ledger failed; what was captured before stays, and calling again is safe.
    """
    stored: list[str] = []
    known: list[str] = []
    refused: list[Refusal] = []
    for failure in failures:
        try:
            ledger.put(failure, now_us=now_us, by=by, expect=0)
            stored.append(failure.id)
        except StateError:
            known.append(failure.id)
            before = ledger.get(Failure, failure.id) if failure.incident else None
            if before is not None and before.incident is None:
                ledger.put(replace(before, incident=failure.incident), now_us=now_us, by=by)
        except InputError as error:
            refused.append(Refusal(id=failure.id, reason=str(error)))
    return CaptureResult(captured=tuple(stored), known=tuple(known), refused=tuple(refused))


@dataclass(frozen=True)
class Keeper:
    """Makes failures of signs, and stores them."""

    warehouse: Warehouse
    ledger: Ledger
    embedder: Embedder
    now_us: int
    thresholds: Thresholds
    liked: dict[str, list[Passing]] = field(default_factory=dict)
    """What people liked, by application, as far as it was looked for."""

    @cached_property
    def incidents(self) -> list[Incident]:
        """Those that are not closed, read once where a failure was found."""
        return [i for i in self.ledger.all(Incident) if i.state != "closed"]

    def keep(self, failures: Sequence[Failure]) -> CaptureResult:
        """Store failures, those without a suggestion with that of a passing twin, if they have one."""
        if not failures:
            return CaptureResult(captured=(), known=())
        new = [f for f in failures if self.ledger.get(Failure, f.id) is None]
        try:
            twins = with_twins(
                self.warehouse, self.embedder, new, now_us=self.now_us, thresholds=self.thresholds, liked=self.liked
            )
        except SeamError:  # the embedder is down: a failure is captured all the same
            twins = new
        instead = {f.id: f for f in twins}
        return capture(self.ledger, [instead.get(f.id, f) for f in failures], now_us=self.now_us)

    def failure(
        self, sign: Sign, interaction: Interaction | None, said: str | None, correction: str | None = None
    ) -> Failure | None:
        """The failure of a sign; None where no user asked, or nobody could ask it again."""
        if interaction is None or not_users(interaction):
            return None
        try:
            return captured(
                sign, interaction, now_us=self.now_us, said=said, correction=correction, incidents=self.incidents
            )
        except InputError:
            return None


def feedback_of(warehouse: Warehouse, signs: Sequence[Sign], span: Span) -> dict[str, Feedback]:
    """The feedback that signs come from, by id."""
    ids = tuple(dict.fromkeys(s.feedback for s in signs if s.feedback))
    if not ids:
        return {}
    plan = Lookup(table="feedback", ids=ids, columns=tuple(SCHEMAS["feedback"].names), span=span)
    return {f.id: f for f in feedback_from_rows(warehouse.run(plan))}


def sign_of(row: Mapping[str, Any], measure: Measure, cut: float | None = None, scale: float = 1.0) -> Sign:
    """The sign that a row of scores is; `scale` is the distance from the median to the cut."""
    value = float(row[measure.metric])
    return Sign(
        rule=measure.rule,
        interaction_id=row["interaction_id"] or "",
        metric=measure.metric,
        value=value,
        direction=measure.direction,
        cut=cut,
        depth=1.0 if cut is None else abs(value - cut) / scale,
        risk=row["risk_category"],
        feedback=row["id"].removeprefix("feedback/") if row["id"].startswith("feedback/") else None,
    )
