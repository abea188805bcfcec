"""Pure decisions about reports: does what a person says belong to an open incident, and what does it open else."""

import hashlib
from collections.abc import Mapping, Sequence

from andon.incidents.records import Incident, Origin, Report, Severity
from andon.incidents.words import one_line
from andon.settings import is_high_risk

__all__ = ["home_of", "open_reported", "report_id", "report_text", "same_question"]


def report_id(text: str, by: str, interaction_id: str | None, at_us: int | None = None) -> str:
    """``REP-`` and a digest of who said what of which interaction; with `at_us` the same words are another report."""
    said = "\0".join((by, interaction_id or "", " ".join(text.casefold().split()), "" if at_us is None else str(at_us)))
    return f"REP-{hashlib.sha256(said.encode()).hexdigest()[:12]}"


def same_question(one: str | None, other: str | None) -> bool:
    """Whether two questions are the same, apart from case and spaces; one that is not known is like none."""
    if not one or not other or not one.strip():
        return False
    return one.casefold().split() == other.casefold().split()


def home_of(
    incidents: Sequence[Incident],
    *,
    app: str,
    environment: str,
    seen: Mapping[str, str | None] | None,
    time_us: int,
    asked_before: frozenset[str],
) -> Incident | None:
    """The open incident to which a report belongs, the latest of several; None where it is a new one.

    It belongs to one that a chart leads, where the interaction lies in the part of the traffic of that chart and came after
    the harm began; and to any about whose question somebody reported before. An incident that only people reported has no
    measured part, so that it takes in no other question.

    Args:
        incidents: all incidents.
        app: application of the report.
        environment: its environment.
        seen: fields of the interaction; None where the report names none.
        time_us: when the interaction took place.
        asked_before: ids of the incidents to which a report of the same question belongs.
    """
    for incident in reversed(incidents):
        if incident.state == "closed" or (incident.app, incident.environment) != (app, environment):
            continue
        if incident.id in asked_before:
            return incident
        inside = seen is not None and all(seen.get(k) == v for k, v in incident.scope.items())
        if incident.lead and inside and incident.onset_low_us <= time_us:
            return incident
    return None


def open_reported(number: int, report: Report, *, risk_category: str | None, time_us: int) -> Incident:
    """A new incident for a person's report; no chart leads it until a signal joins.

    The onset is not known: it is put to when the interaction took place, by which the harm was there.

    Args:
        number: number of the incident.
        report: what was said; `Report.incident` is not read.
        risk_category: that of the interaction, where there is one.
        time_us: when the interaction took place; when it was reported where none is named.
    """
    severity, reason = _severity(report.near_miss, risk_category)
    origin: Origin = "near miss" if report.near_miss else "report"
    what = "Nearly harmed" if report.near_miss else "Reported"
    who = "a person caught it before it harmed anybody" if report.near_miss else "a person says so"
    return Incident(
        id=f"INC-{number:04d}",
        title=f"{what} in {one_line(report.app)}: {one_line(report.text, 120)}",
        app=report.app,
        environment=report.environment,
        impact="correctness",
        impact_reason=f"correctness: {who}; no chart has measured it",
        severity=severity,
        severity_reason=reason,
        origin=origin,
        metric="",
        lead="",
        onset_us=time_us,
        onset_low_us=time_us,
        onset_high_us=time_us,
        alarmed_us=report.at_us,
        last_signal_us=report.at_us,
        visible_us=None if report.near_miss else time_us,
        noticed_us=report.at_us,
        noticed_by=report.by,
    )


def _severity(near_miss: bool, risk_category: str | None) -> tuple[Severity, str]:
    what = "a near miss" if near_miss else "a report"
    if is_high_risk(risk_category):
        return "P2", f"P2: {what} in a high-risk category ({one_line(risk_category or '')}), not measured yet"
    return "P3", f"P3: {what} by a person, not measured yet"


def report_text(report: Report, question: str | None = None) -> str:
    """What a timeline says of a report."""
    what = "near miss" if report.near_miss else "reported"
    of = "" if report.interaction_id is None else f" (interaction {one_line(report.interaction_id)})"
    asked = "" if not question else f"; it was asked: {one_line(question, 120)}"
    return f"{what}{of}: {one_line(report.text, 500)}{asked}"
