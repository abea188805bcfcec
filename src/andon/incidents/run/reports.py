"""Take in what people say: "this answer is wrong", or "it nearly was"; it opens an incident, or joins one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from andon.errors import InputError, StateError
from andon.incidents.records import Incident, Report, TimelineEvent
from andon.incidents.reports import home_of, open_reported, report_id, report_text, same_question
from andon.incidents.run.states import noticed
from andon.incidents.run.timeline import ATTEMPTS, event
from andon.scores.rows import EVALUATOR, KEYS, TOPIC
from andon.store import Ledger, Lookup, Slice, Warehouse, Where
from andon.traffic import quoted

__all__ = ["MOST_CHARS", "receive_report"]

MOST_CHARS = 5_000
"""Longest text of a report."""


def receive_report(
    warehouse: Warehouse,
    ledger: Ledger,
    text: str,
    *,
    app: str | None = None,
    environment: str | None = None,
    interaction_id: str | None = None,
    near_miss: bool = False,
    by: str,
    now_us: int,
) -> Report:
    """Record what a person says of an answer, and open an incident for it or join the one that it belongs to.

    The same words by the same person of the same interaction are one report, for as long as its incident is not closed. Said again
    after the first time broke off, whatever that had written, they end as they would have then.

    Args:
        warehouse: where the interaction is looked up.
        ledger: where it is recorded.
        text: what is wrong, in the person's words.
        app: application; that of the interaction unless given.
        environment: the same; ``production`` where there is no interaction.
        interaction_id: the answer that it is about.
        near_miss: nobody was harmed, but only by luck.
        by: who says so.
        now_us: the clock.

    Raises:
        InputError: there is no text, or it cannot be told which application is meant.
        StateError: incidents were written by others at every attempt.
    """
    text = text.strip()
    if not 0 < len(text) <= MOST_CHARS:
        raise InputError(f"text={quoted(text)} is not allowed: say what is wrong in 1 to {MOST_CHARS:,} characters")
    seen = None if interaction_id is None else _seen(warehouse, interaction_id)
    app, environment = _place(app, environment, interaction_id, seen)
    report = Report(
        id=report_id(text, by, interaction_id),
        incident="",
        text=text,
        app=app,
        environment=environment,
        interaction_id=interaction_id,
        near_miss=near_miss,
        by=by,
        at_us=now_us,
    )
    return _recorded(warehouse, ledger, report, seen)


def _recorded(warehouse: Warehouse, ledger: Ledger, report: Report, seen: Mapping[str, Any] | None) -> Report:
    """The report as it stands in the ledger: the one that was known, or this one with its incident."""
    for attempt in range(ATTEMPTS):
        said = _said_before(ledger, report)
        for known in reversed(said):
            incident = ledger.get(Incident, known.incident)
            if incident is not None and incident.state != "closed":
                if not _is_told(ledger, known):
                    _tell(ledger, incident, known, seen)
                return known
        if said:
            report = replace(report, id=report_id(report.text, report.by, report.interaction_id, report.at_us))
        try:
            return _give(warehouse, ledger, report, seen)
        except StateError:  # another incident was opened, or this one written, at the same moment
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("the loop returns or raises")


def _said_before(ledger: Ledger, report: Report) -> list[Report]:
    """The reports of the same words by the same person of the same interaction."""
    first, about = report_id(report.text, report.by, report.interaction_id), (report.by, report.interaction_id)
    return [
        r
        for r in ledger.all(Report)
        if r.id == first or ((r.by, r.interaction_id) == about and report_id(r.text, *about) == first)
    ]


def _is_told(ledger: Ledger, report: Report) -> bool:
    """Whether the timeline has the entry of a report; it is known by person and time, as its text may have been erased."""
    entries = ledger.all(TimelineEvent, f"{report.incident}-")
    return any((e.kind, e.by, e.learned_us) == ("report", report.by, report.at_us) for e in entries)


def _tell(ledger: Ledger, incident: Incident, report: Report, seen: Mapping[str, Any] | None) -> None:
    question = None if seen is None else seen.get("query")
    text = report_text(report, question)
    event(ledger, incident, _time_of(report, seen), report.at_us, "report", text, by=report.by)


def _time_of(report: Report, seen: Mapping[str, Any] | None) -> int:
    """When the interaction took place; when it was reported where none is known."""
    return report.at_us if seen is None else min(int(seen["time_us"]), report.at_us)


def _place(
    app: str | None, environment: str | None, interaction_id: str | None, seen: Mapping[str, Any] | None
) -> tuple[str, str]:
    """Application and environment of a report: those of the interaction, which what was said must not contradict."""
    known = seen or {}
    for field, said in (("app", app), ("environment", environment)):
        if seen is not None and said and said != seen[field]:
            raise InputError(
                f"{field}={quoted(said)} is not that of interaction {quoted(interaction_id)}, which is {quoted(seen[field])}; "
                "leave it out"
            )
    app = app or known.get("app")
    if not app:
        why = "" if interaction_id is None else f"; no interaction {quoted(interaction_id)} is known here (yet)"
        raise InputError(f"say which application the report is about{why}")
    return app, environment or known.get("environment") or "production"


def _give(warehouse: Warehouse, ledger: Ledger, report: Report, seen: Mapping[str, Any] | None) -> Report:
    """Write a report with its incident, the incident first: who reads the report finds it."""
    incidents = ledger.all(Incident)
    begun = _begun(ledger, incidents, report)
    if begun is not None:  # it was said then
        report = replace(report, at_us=begun.alarmed_us)
    time_us = _time_of(report, seen)
    home = begun or home_of(
        incidents,
        app=report.app,
        environment=report.environment,
        seen=seen,
        time_us=time_us,
        asked_before=_asked_before(warehouse, ledger, report, seen),
    )
    if home is None:
        risk = None if seen is None else seen.get("risk_category")
        home = open_reported(len(incidents) + 1, report, risk_category=risk, time_us=time_us)
        ledger.put(home, now_us=report.at_us, by=report.by, expect=0)
    else:
        noticed(ledger, home, now_us=report.at_us, by=report.by)
    kept = replace(report, incident=home.id)
    ledger.put(kept, now_us=report.at_us, by=report.by)
    _tell(ledger, home, kept, seen)
    return kept


def _begun(ledger: Ledger, incidents: Sequence[Incident], report: Report) -> Incident | None:
    """The incident that was opened for this report when it was said before, and that broke off: no report belongs to it."""
    others = [i for i in incidents if i.state != "closed" and i.origin != "signal" and i.noticed_by == report.by]
    reported = {r.incident for r in ledger.all(Report)} if others else set()
    opened = open_reported(0, report, risk_category=None, time_us=report.at_us)
    for incident in others:
        if incident.id not in reported:
            first = ledger.history(Incident, incident.id)[0].record  # a signal that joined it gave it another title
            if (first.title, first.app, first.environment) == (opened.title, opened.app, opened.environment):
                return incident
    return None


def _asked_before(
    warehouse: Warehouse, ledger: Ledger, report: Report, seen: Mapping[str, Any] | None
) -> frozenset[str]:
    """Incidents to which a report of the same interaction, or of the same question, belongs.

    A report that names no interaction is held against the words of others that name none.
    """
    others = [
        r
        for r in ledger.all(Report)
        if (r.app, r.environment) == (report.app, report.environment) and r.id != report.id
    ]
    if report.interaction_id is None:
        return frozenset(r.incident for r in others if r.interaction_id is None and same_question(r.text, report.text))
    same = {r.incident for r in others if r.interaction_id == report.interaction_id}
    about = {r.interaction_id: r.incident for r in others if r.interaction_id is not None}
    if seen is None or not about:
        return frozenset(same)
    rows = warehouse.run(Lookup(table="interactions", ids=tuple(sorted(about)), columns=("id", "query"))).to_pylist()
    return frozenset(same | {about[r["id"]] for r in rows if same_question(r["query"], seen.get("query"))})


def _seen(warehouse: Warehouse, interaction_id: str) -> dict[str, Any] | None:
    """Fields of an interaction, with what scoring found out about it; None where it is not known."""
    columns = ("id", "time_us", "query", *KEYS)
    rows = warehouse.run(Lookup(table="interactions", ids=(interaction_id,), columns=columns)).to_pylist()
    if not rows:
        return None
    found: dict[str, Any] = rows[-1]
    if "scores" not in warehouse.tables():  # a process that only takes rows in knows no scorers
        return found
    about = (Where(column="interaction_id", op="eq", value=interaction_id),)
    for row in warehouse.run(Slice(table="scores", columns=(TOPIC, EVALUATOR), where=about)).to_pylist():
        found |= {k: v for k, v in row.items() if v is not None}
    return found
