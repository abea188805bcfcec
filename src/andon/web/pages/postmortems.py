"""Postmortems: the library, what the incidents taught, and what a review should talk about."""

from collections.abc import Sequence
from typing import Any

from andon.incidents import Incident
from andon.loop.learning import learned_so_far
from andon.postmortems.learning import Agenda, Learned, Share, Spread, share_text, spread_text
from andon.postmortems.run.documents import layouts_beside
from andon.postmortems.run.entries import Entry, entries_of, lessons_in
from andon.postmortems.run.search import search_postmortems
from andon.postmortems.search import Found
from andon.scores.embedding import Cached, choose
from andon.web.asking import Ask, Page
from andon.web.routing import Pages
from andon.web.tables import Cell, Column, Kind, Table

__all__ = ["pages"]

pages = Pages()
DAY_US = 86_400_000_000
PATIENCE_S = 0.05
"""So long postmortems that were not read yet are read for one search; the server reads all of them soon after its start."""
A_PAGE, MOST_FOUND, MOST = 20, 50, 10_000
SINCE = {"90d": ("90 days", 90), "365d": ("a year", 365), "": ("everything", 0)}
STATUSES = {"": "any status", "draft": "draft", "in review": "in review", "published": "published"}


@pages.read("/postmortems")
def library(ask: Ask) -> Page:
    """All postmortems, or those that fit a search."""
    asked = {name: ask.query.get(name, "").strip() for name in ("q", "app", "impact", "failure", "status")}
    status = asked["status"] if asked["status"] in STATUSES else ""
    found = _search(ask, asked["q"], asked["failure"] or None) if asked["q"] else None
    everything = entries_of(ask.ledger)
    known = everything if not status and found is None else entries_of(
        ask.ledger, status=status, ids=None if found is None else [f.postmortem for f in found]
    )  # fmt: skip
    fitting = [e for e in known if _fits(e, asked)]
    if found is not None:
        order = {f.postmortem: n for n, f in enumerate(found)}
        fitting.sort(key=lambda e: order[e.incident.id])
    page = int(n) if (n := ask.query.get("page", "")).isdecimal() and len(n) < 6 else 0
    shown = fitting[:MOST] if ask.exporting else fitting[page * A_PAGE : (page + 1) * A_PAGE]
    lessons = lessons_in(ask.ledger, [e.incident.id for e in shown])
    rows = [(e, lessons.get(e.incident.id, "")) for e in shown]
    return Page(
        template="postmortems/library.html",
        title="Postmortems",
        tables=[_table(rows)],
        context={
            "rows": rows, "asked": asked, "everything": everything, "fitting": len(fitting), "number": page,
            "more": len(fitting) > (page + 1) * A_PAGE, "statuses": STATUSES, "passages": {f.postmortem: f for f in found or ()},
            "choices": {k: sorted({v for e in everything if (v := _of(e, k))}) for k in ("app", "impact", "failure")},
            "filtered": any(asked.values()),
        },
    )  # fmt: skip


@pages.read("/postmortems/learning")
def learning(ask: Ask) -> Page:
    """What the incidents taught."""
    learned, agenda = _learned(ask)
    spans = [(f"Onset to alarm, {quarter}", s) for quarter, s in learned.lags]
    spans += [
        ("Alarm to first lever", learned.to_lever), ("First lever to recovery", learned.lever_to_recovery),
        ("Alarm to harm stopped", learned.to_stabilise), ("Onset to close", learned.to_close),
    ]  # fmt: skip
    shares = [("Found by us before any person", learned.found_by_us, "")]
    shares += [(f"Actions proved within {days} days", s, "") for days, s in learned.verified]
    shares.append(("Came back after it was closed", learned.recurred, "warn" if learned.recurred.x else ""))
    return Page(
        template="postmortems/learning.html",
        title="What the incidents taught",
        tables=[_spans(spans), _shares(shares), _failures(learned), _golden(learned, ask), _again(learned)],
        context={
            "learned": learned, "agenda": agenda, "spans": [(t, s, spread_text(s)) for t, s in spans],
            "shares": [(t, s, tone, share_text(s)) for t, s, tone in shares], "since": _since(ask), "choices": SINCE,
            "most": max([n for _, n in learned.failures], default=0),
        },
    )  # fmt: skip


@pages.read("/postmortems/agenda")
def talk(ask: Ask) -> Page:
    """What is unresolved, in the order in which a review should take it."""
    _, agenda = _learned(ask)
    return Page(
        template="postmortems/agenda.html",
        title="To talk about",
        tables=[_agenda(agenda)],
        context={"agenda": agenda, "titles": {i.id: i.what for i in ask.ledger.all(Incident)}},
    )


def _learned(ask: Ask) -> tuple[Learned, tuple[Agenda, ...]]:
    days = SINCE[_since(ask)][1]
    since = ask.now_us - days * DAY_US if days else 0
    layouts = layouts_beside(ask.site.settings.config)
    return learned_so_far(ask.ledger, now_us=ask.now_us, since_us=since, layouts=layouts)


def _since(ask: Ask) -> str:
    return s if (s := ask.query.get("since", "")) in SINCE else ""


def _search(ask: Ask, words: str, failure: str | None) -> list[Found]:
    layouts = layouts_beside(ask.site.settings.config)
    return search_postmortems(
        ask.ledger, _embedder(ask), words[:1000], failure=failure, most=MOST_FOUND, layouts=layouts, within_s=PATIENCE_S
    )


_EMBEDDERS: dict[str, Cached] = {}
"""The embedder that searches, by its setting: loading one takes seconds, and it remembers what it has read."""


def _embedder(ask: Ask) -> Cached:
    name = ask.site.settings.embedder
    if name not in _EMBEDDERS:
        _EMBEDDERS[name] = Cached(choose(ask.site.settings))
    return _EMBEDDERS[name]


def _of(entry: Entry, field: str) -> str:
    return str(getattr(entry.incident, field) or "")


def _fits(entry: Entry, asked: dict[str, str]) -> bool:
    return all(not asked[k] or _of(entry, k) == asked[k] for k in ("app", "impact", "failure"))


def _table(rows: Sequence[tuple[Entry, str]]) -> Table:
    columns = (
        Column(key="incident", title="incident", kind="code"), Column(key="status", title="status", kind="tag"),
        Column(key="severity", title="severity", kind="tag"), Column(key="impact", title="class"), Column(key="failure", title="failure type"),
        Column(key="app", title="app"), Column(key="alarmed", title="alarmed", kind="time"),
        Column(key="title", title="what was wrong", wide=True), Column(key="lesson", title="lesson", wide=True),
    )  # fmt: skip
    made: list[dict[str, Any]] = [
        {
            "incident": Cell(value=e.incident.id, link=f"/postmortems/{e.incident.id}"), "status": e.status,
            "severity": e.incident.severity, "impact": e.incident.impact, "failure": e.incident.failure, "app": e.incident.app,
            "alarmed": e.incident.alarmed_us, "title": e.incident.title, "lesson": lesson,
        }
        for e, lesson in rows
    ]  # fmt: skip
    return Table(name="postmortems", title="Postmortems", columns=columns, rows=made)


def _spans(spans: Sequence[tuple[str, Spread]]) -> Table:
    keys: tuple[tuple[str, str, Kind], ...] = (
        ("n", "incidents", "number"), ("shortest", "shortest", "duration"), ("median", "median", "duration"),
        ("low", "from", "duration"), ("high", "to", "duration"), ("longest", "longest", "duration"),
    )  # fmt: skip
    columns = (Column(key="what", title=""), *(Column(key=k, title=t, kind=kind) for k, t, kind in keys))
    rows = [
        {
            "what": what, "n": s.n, "shortest": s.shortest_s, "median": s.median_s, "low": s.low_s, "high": s.high_s,
            "longest": s.longest_s,
        }
        for what, s in spans
    ]  # fmt: skip
    return Table(name="durations", title="How long it takes", columns=columns, rows=rows)


def _shares(shares: Sequence[tuple[str, Share, str]]) -> Table:
    columns = (
        Column(key="what", title=""), Column(key="x", title="so many", kind="number"), Column(key="n", title="of", kind="number"),
        Column(key="low", title="from", kind="rate"), Column(key="high", title="to", kind="rate"),
    )  # fmt: skip
    rows = [{"what": what, "x": s.x, "n": s.n, "low": s.low, "high": s.high} for what, s, _ in shares]
    return Table(name="shares", title="How reliably", columns=columns, rows=rows)


def _failures(learned: Learned) -> Table:
    columns = (Column(key="failure", title="failure type"), Column(key="incidents", title="incidents", kind="number"))
    rows = [{"failure": name, "incidents": n} for name, n in learned.failures]
    return Table(name="failures", title="Failure types", columns=columns, rows=rows)


def _golden(learned: Learned, ask: Ask) -> Table:
    titles = {i.id: i.what for i in ask.ledger.all(Incident)}
    columns = (
        Column(key="incident", title="incident", kind="code"), Column(key="title", title="what was wrong", wide=True),
        Column(key="cases", title="golden cases", kind="number"),
        Column(key="catches", title="runs in which they caught something", kind="number"),
    )  # fmt: skip
    rows = [
        {
            "incident": Cell(value=name, link=f"/postmortems/{name}"),
            "title": titles.get(name),
            "cases": cases,
            "catches": caught,
        }
        for name, cases, caught in learned.golden
    ]
    empty = "No incident in this time."
    return Table(name="golden", title="What became of the incidents", columns=columns, rows=rows[-MOST:], empty=empty)


def _again(learned: Learned) -> Table:
    columns = (
        Column(key="closed", title="was closed", kind="code"), Column(key="again", title="came back as"),
        Column(key="signature", title="recognised by", wide=True),
    )  # fmt: skip
    rows = [
        {
            "closed": Cell(value=r.closed, link=f"/incidents/{r.closed}"), "again": ", ".join(r.again),
            "signature": ", ".join(filter(None, map(str, r.signature))),
        }
        for r in learned.recurrences
    ]  # fmt: skip
    empty = "Nothing that was closed has come back, as far as its application, metric, scope and likeliest change tell."
    return Table(name="again", title="What came back", columns=columns, rows=rows, empty=empty)


def _agenda(agenda: Sequence[Agenda]) -> Table:
    columns = (
        Column(key="incident", title="incident", kind="code"), Column(key="what", title="what", kind="tag"),
        Column(key="text", title="", wide=True),
    )  # fmt: skip
    rows = [
        {"incident": Cell(value=a.incident, link=f"/postmortems/{a.incident}"), "what": a.what, "text": a.text}
        for a in agenda
    ]
    return Table(name="agenda", title="To talk about", columns=columns, rows=rows)
