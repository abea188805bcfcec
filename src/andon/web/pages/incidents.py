"""Incidents: all of them, a report by a person, a whole timeline, and the log of the questions that were asked meanwhile."""

from collections.abc import Iterator, Sequence

from starlette.responses import Response, StreamingResponse

from andon.incidents import Incident, Recovery
from andon.incidents.records import Severity
from andon.incidents.run.runbook import query_log
from andon.incidents.run.timeline import marks_of, timeline_of
from andon.incidents.states import OVERRULED
from andon.incidents.timeline import brief, t_of
from andon.incidents.triage import CLASSES
from andon.web.asking import Ask, Page
from andon.web.pages import incidents_acts, incidents_one
from andon.web.pages.incidents_acts import found
from andon.web.pages.incidents_tables import incidents_of
from andon.web.pages.incidents_tables import timeline_of as timeline_table
from andon.web.pages.incidents_text import next_text
from andon.web.routing import Pages

__all__ = ["pages"]

pages = Pages()
pages.all = [*incidents_acts.pages.all, *incidents_one.pages.all]

ROWS = 50
"""Incidents of one page."""

ENTRIES = 100
"""Entries of the timeline of one page."""

MOST = 10_000
"""Rows of a file."""

VIEWS = {"open": "Open", "closed": "Closed", "all": "All"}
PHASES = ("open", "stabilised", "diagnosed", "fixed", "recovered", "closed")
KINDS = ("onset", "change", "lever", "signal", "alert", "feedback", "report", "told", "evaluation", "state", "note")


@pages.read("/incidents")
def incidents(ask: Ask) -> Page:
    """All incidents: open ones first."""
    every = ask.ledger.all(Incident)
    view = ask.query.get("state", "open")
    view = view if view in VIEWS else "open"
    some = [i for i in every if _fits(ask, i)]
    counts = {v: sum(_seen(i, v) for i in some) for v in VIEWS}
    wanted = sorted((i for i in some if _seen(i, view)), key=_order)
    first = _first(ask, len(wanted), ROWS)
    plans = {r.id: r for r in ask.ledger.all(Recovery)}
    shown = wanted[:MOST] if ask.exporting else wanted[first : first + ROWS]
    return Page(
        template="incidents/list.html",
        title="Incidents",
        tables=[incidents_of(shown)],
        context={
            "rows": [(i, next_text(i, plans.get(i.id) or Recovery(id=i.id)) if i.state != "closed" else "") for i in shown[:ROWS]],
            "view": view, "views": VIEWS, "counts": counts, "any": bool(every), "told": _told(ask),
            "apps": _values(i.app for i in every), "classes": tuple(CLASSES), "severities": OVERRULED["severity"],
            "phases": PHASES, "first": first, "of": len(wanted), "step": ROWS,
            "reporting": "report" in ask.query or (ask.wrong is not None and ask.wrong.action == "/incidents/report"),
        },
    )  # fmt: skip


def _order(i: Incident) -> tuple[bool, bool, Severity | str, int, str]:
    """Open ones first, harm that goes on before harm that was stopped, the worse first; closed ones by time."""
    closed = i.state == "closed"
    return closed, i.stabilised_us is not None and not closed, "" if closed else i.severity, -i.alarmed_us, i.id


def _seen(i: Incident, view: str) -> bool:
    return view == "all" or (i.state == "closed") == (view == "closed")


def _fits(ask: Ask, i: Incident) -> bool:
    q = ask.query
    for name, value in (("app", i.app), ("severity", i.severity), ("class", i.impact), ("phase", i.state)):
        if q.get(name) and q[name] != value:
            return False
    words = q.get("text", "").casefold().split()
    if not words:
        return True
    text = " ".join((i.id, i.title, i.app, i.environment, i.failure or "", i.closed_why or "", i.metric)).casefold()
    return all(w in text for w in words)


def _told(ask: Ask) -> str:
    """The filters as words; empty where there are none."""
    q = ask.query
    told = [
        f"{name} {q[key]}"
        for key, name in (("app", "of"), ("severity", ""), ("class", ""), ("phase", "in state"))
        if q.get(key)
    ]
    told += [f"with “{q['text']}”"] if q.get("text") else []
    return ", ".join(t.strip() for t in told)


def _values(values: Iterator[str]) -> list[str]:
    return sorted({v for v in values if v})


def _first(ask: Ask, n: int, step: int) -> int:
    """Number of the first row of this page."""
    text = ask.query.get("from", "0")
    first = int(text) if text.isdecimal() and len(text) < 9 else 0
    return max(0, min(first, (n - 1) // step * step))


@pages.read("/incidents/{id}/timeline")
def timeline(ask: Ask, id: str) -> Page:  # noqa: A002 - the field is called id
    """What happened in order, with both clocks; every signal and what somebody hid where all is asked for."""
    incident = found(ask, id)
    every, kind = ask.query.get("all") == "yes", ask.query.get("kind", "")
    marks = marks_of(ask.ledger, incident)
    events = timeline_of(ask.ledger, incident, hidden=every)
    kinds = [k for k in KINDS if any(e.kind == k for e in events)]
    left = 0
    if not every:
        events, left = brief(events, marks, alarmed_us=incident.alarmed_us)
    if kind:
        alike = ("change", "lever") if kind == "change" else (kind,)
        events = [e for e in events if e.kind in alike]
    chosen = ask.query.get("entry", "")
    first = _first(ask, len(events), ENTRIES)
    if chosen and "from" not in ask.query:
        at = next((n for n, e in enumerate(events) if e.id.rpartition("-")[2] == chosen), 0)
        first = at // ENTRIES * ENTRIES
    shown: Sequence[object] = events[first : first + ENTRIES]
    return Page(
        template="incidents/timeline.html",
        title=f"Timeline of {incident.id}",
        tables=[timeline_table(incident, events[:MOST], marks)],
        context={
            "i": incident, "events": shown, "marks": marks, "t_of": t_of, "left": left, "every": every, "kind": kind,
            "kinds": kinds, "chosen": chosen, "first": first, "of": len(events), "step": ENTRIES,
        },
    )  # fmt: skip


@pages.read("/incidents/{id}/queries.csv")
def queries(ask: Ask, id: str) -> Response:  # noqa: A002
    """The full query log since the onset, with the type of each query and whether it was harmed."""
    incident = found(ask, id)
    lines = query_log(ask.warehouse, ask.ledger, incident, now_us=ask.now_us)
    headers = {
        "content-disposition": f'attachment; filename="andon-{incident.id}-queries.csv"',
        "cache-control": "no-store",
    }
    return StreamingResponse(_pieces(lines), media_type="text/csv; charset=utf-8", headers=headers)


def _pieces(lines: Iterator[str]) -> Iterator[bytes]:
    """Lines in pieces that are worth sending."""
    kept: list[str] = []
    for line in lines:
        kept.append(line)
        if len(kept) == 2_000:
            yield "".join(kept).encode("utf-8", "backslashreplace")
            kept.clear()
    yield "".join(kept).encode("utf-8", "backslashreplace")
