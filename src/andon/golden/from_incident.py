"""The failures that an investigation copied out, ready to be captured."""

from andon.golden.cases import failure_id, same_text
from andon.golden.records import Failure
from andon.incidents import Incident, phrase_of
from andon.investigations import Example, Investigation
from andon.monitors import Signal

__all__ = ["failures_of"]


def failures_of(incident: Incident, found: Investigation, lead: Signal | None) -> list[Failure]:
    """One failure per failing example that can be asked again, with the expected answer or a passing twin as suggestion.

    Without a leading signal (a person's report) the case is measured by the plain match of its right answer. What probes asked
    is none: it is a case already.
    """
    if lead is not None and lead.of_probes:
        return []
    return [_failure(incident, e, lead, found.at_us) for e in found.examples if e.question.strip()]


def _failure(incident: Incident, e: Example, lead: Signal | None, at_us: int) -> Failure:
    suggestion = e.expected if e.expected and not (e.answer and same_text(e.expected, e.answer)) else None
    origin = {"expected answer": "expected_answer"}.get(e.expected_from or "", e.expected_from)
    return Failure(
        id=failure_id(incident.app, e.question, e.answer),
        captured_us=at_us,
        app=incident.app,
        question=e.question,
        answer=e.answer,
        contexts=e.contexts,
        reason=f"{phrase_of(lead.metric, lead.direction)} ({lead.metric} = {e.value:.3g})"
        if lead
        else "reported by a person",
        source=f"incident {incident.id}",
        metric=lead.metric if lead else "normalised_match",
        direction=lead.direction if lead else "down",
        cut=lead.cut if lead else None,
        interaction_id=e.interaction_id,
        incident=incident.id,
        risk_category=e.segments.get("risk_category"),
        segment=e.segments,
        versions=e.versions,
        suggestion=suggestion,
        suggested_by=origin if suggestion else None,
    )
