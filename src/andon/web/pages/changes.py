"""Changes: what moved in the control plane, who moved it, and what came after it."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

from markupsafe import Markup

from andon.changes import KINDS, Change
from andon.changes.attributes import is_link
from andon.changes.lines import line_diff
from andon.changes.run import change_from, record_change
from andon.changes.searching import Wanted, counts_over, origin_of, search, values_of
from andon.errors import InputError
from andon.incidents import Incident
from andon.incidents.words import scope_text
from andon.investigations import Investigation
from andon.monitors import Point, Signal
from andon.traffic import VERSIONS, format_time, parse_time
from andon.web.asking import Ask, Done, Gone, Page
from andon.web.pages.levers_shown import clock
from andon.web.pages.levers_versions import lines_of
from andon.web.pages.monitors import board_of, chart_link
from andon.web.pages.monitors_words import part_of, subject
from andon.web.routing import Pages
from andon.web.tables import Cell, Column, Table

__all__ = ["pages"]

pages = Pages()

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
SHOWN = 50
"""Changes of one page."""

MOST = 10_000
"""Changes of one file."""

BARS = 60
RANGES = {"1d": "last day", "7d": "last 7 days", "30d": "last 30 days", "90d": "last 90 days", "all": "all time"}
_RANGE_US = {"1d": DAY_US, "7d": 7 * DAY_US, "30d": 30 * DAY_US, "90d": 90 * DAY_US}
ORIGINS = {
    "recorded": "recorded by people or pipelines", "traffic": "first seen in traffic", "lever": "our own levers",
    "not ours": "not done by us",
}  # fmt: skip

BEFORE_US, AFTER_US = 6 * HOUR_US, 24 * HOUR_US
"""What charts did is shown from so long before a change to so long after it."""

BLAMED_US = 30 * DAY_US
"""How long after a change an incident may have it as a suspect and is looked at here."""

MOST_INCIDENTS = 15
MOST_CHARTS = 6
MOST_SIGNALS = 15


@pages.read("/changes")
def changes(ask: Ask) -> Page:
    """The log, newest first."""
    everything = ask.ledger.all(Change)
    wanted, range_ = _wanted(ask)
    found = search(everything, wanted)
    number = 0 if ask.exporting else _page(ask)
    some = found[:MOST] if ask.exporting else found[number * SHOWN : (number + 1) * SHOWN]
    table = _table(ask, some, narrows=wanted.narrows or range_ != "all", any_=bool(everything))
    return Page(
        template="changes/all.html",
        title=f"{len(found):,} changes",
        tables=[table],
        context={
            "all": table, "found": len(found), "count": len(everything), "newest": found[0] if found else None,
            "strip": _strip(ask, found, wanted), "words": _filtered(ask, wanted, range_), "values": values_of(everything),
            "kinds": KINDS, "origins": ORIGINS, "ranges": RANGES, "range": range_, "number": number,
            "last_number": (len(found) - 1) // SHOWN if found else 0, "narrows": wanted.narrows or range_ != "30d",
            "own": sum(c.origin == "lever" for c in found), "seen": sum(c.origin == "traffic" for c in found),
            "fields": sorted(VERSIONS),
        },
    )  # fmt: skip


@pages.act("/changes", role="responder")
def record(ask: Ask) -> Done:
    """Record a change by hand."""
    at_us = ask.time_us("at")
    data = {
        name: ask.maybe(name)
        for name in ("kind", "title", "app", "environment", "before", "after", "version_field", "link")
    }
    given: dict[str, Any] = {k: v for k, v in data.items() if v is not None}
    given |= {"author": ask.by, "title": ask.given("title", "what changed"), "kind": ask.given("kind", "the kind")}
    change = change_from({**given, "at_us": ask.now_us if at_us is None else at_us}, now_us=ask.now_us)
    if change.at_us > ask.now_us:
        raise InputError(f"{format_time(change.at_us)} has not come yet: a change is recorded when it happened")
    if ask.ledger.get(Change, change.id) is None:  # the same words sent twice are one change
        record_change(ask.ledger, change, now_us=ask.now_us, by=ask.by)
    return Done(
        to=f"/changes/{quote(change.id, safe='')}",
        said="The change is in the log: it is a suspect of what begins after it.",
    )


@pages.read("/changes/{id:path}")
def change(ask: Ask, id: str) -> Page:  # noqa: A002 - the field is called id
    """One change: what moved, whom it is suspected of having harmed, and what charts did around it."""
    one: Change | None = ask.ledger.get(Change, id)
    if one is None:
        raise Gone(f"There is no change {id[:100]!r}", "/changes", "All changes")
    blamed, around = _blamed(ask, one), _around(ask, one)
    text = "\n".join(line_diff((one.before or "").split("\n"), (one.after or "").split("\n")))
    whole = max(len(one.before or ""), len(one.after or "")) > 120 or "\n" in f"{one.before}{one.after}"
    key = one.attributes.get("lever")
    tables = [
        _suspected(blamed),
        _signals(around if ask.exporting else around[:MOST_SIGNALS], with_id=ask.exporting),
    ]
    return Page(
        template="changes/change.html",
        title=one.title[:80],
        tables=tables,
        context={
            "change": one, "origin": ORIGINS.get(origin_of(one), one.origin), "lines": lines_of(text) if whole and one.before and one.after else [],
            "suspected": tables[0], "signals": tables[1],
            "more_signals": max(0, len(around) - MOST_SIGNALS), "worst": blamed[0] if blamed else None,
            "charts_": _charts(ask, one, around), "lever": key, "link": one.link if one.link and is_link(one.link) else "",
            "near": _near(ask, one), "from_us": one.at_us - BEFORE_US, "until_us": min(ask.now_us, one.at_us + AFTER_US),
        },
    )  # fmt: skip


def _page(ask: Ask) -> int:
    text = ask.query.get("page", "")
    return int(text) if text.isdecimal() and len(text) < 6 else 0


def _wanted(ask: Ask) -> tuple[Wanted, str]:
    """What the address asks for; a time that cannot be read is none."""
    q = ask.query
    said = {name: q.get(name, "") for name in ("text", "kind", "app", "environment", "author", "origin", "lever")}
    from_us, until_us = _moment(q.get("from", "")), _moment(q.get("to", ""))
    range_ = q.get("range", "")
    if from_us is not None or until_us is not None:
        range_ = "between"
    elif range_ not in RANGES:
        range_ = "all" if said["lever"] else "30d"
    if range_ in _RANGE_US:
        from_us = ask.now_us - _RANGE_US[range_]
    return Wanted(**said, from_us=from_us, until_us=until_us), range_


def _moment(text: str) -> int | None:
    try:
        return parse_time(text) if text else None
    except InputError:
        return None


def _filtered(ask: Ask, wanted: Wanted, range_: str) -> str:
    """What is looked for, in words."""
    parts = [f"{wanted.kind} changes" if wanted.kind else "changes"]
    parts += [f"of lever {wanted.lever}"] if wanted.lever else []
    parts += [f"of {wanted.app}"] if wanted.app else []
    parts += [f"in {wanted.environment}"] if wanted.environment else []
    parts += [f"by {wanted.author}"] if wanted.author else []
    parts += [f"{ORIGINS[wanted.origin]}"] if wanted.origin in ORIGINS else []
    parts += [f"with “{wanted.text}”"] if wanted.text else []
    if range_ == "between":
        since = "" if wanted.from_us is None else f" from {clock(ask, wanted.from_us)}"
        until = "" if wanted.until_us is None else f" to {clock(ask, wanted.until_us)}"
        return " ".join(parts) + since + until
    return " ".join(parts) + (f" of the {RANGES[range_]}" if range_ != "all" else " of all time")


def _strip(ask: Ask, found: Sequence[Change], wanted: Wanted) -> dict[str, Any] | None:
    """Changes over time as bars, each leading to its part of the time."""
    if not found:
        return None
    end_us = min(wanted.until_us or ask.now_us + 1, max(found[0].at_us, ask.now_us) + 1)
    start_us = found[-1].at_us if wanted.from_us is None else wanted.from_us
    start_us = min(start_us, end_us - HOUR_US)
    counts = counts_over(found, start_us, end_us, BARS)
    own = counts_over([c for c in found if c.origin == "lever"], start_us, end_us, BARS)
    width = -(-(end_us - start_us) // BARS)
    kept = {k: v for k, v in ask.query.items() if k not in ("from", "to", "range", "page", "as", "table")}
    edges = [(start_us + n * width, start_us + (n + 1) * width) for n in range(BARS)]
    links = [f"/changes?{urlencode({**kept, 'from': format_time(a), 'to': format_time(b)})}" for a, b in edges]
    titles = [
        f"{n:,} change{'s' if n != 1 else ''}{f', {o:,} of them our own levers' if o else ''}, {clock(ask, a)} to {clock(ask, b)}"
        for n, o, (a, b) in zip(counts, own, edges, strict=True)
    ]
    return {"counts": counts, "links": links, "titles": titles, "start_us": start_us, "end_us": end_us}


def _table(ask: Ask, some: Sequence[Change], *, narrows: bool, any_: bool) -> Table:
    columns = (
        Column(key="at", title="when", kind="time"), Column(key="kind", title="kind"), Column(key="what", title="what", wide=True),
        *((Column(key="before", title="before"), Column(key="after", title="after")) if ask.exporting else ()),
        Column(key="app", title="app"), Column(key="environment", title="where"), Column(key="author", title="who"),
        Column(key="origin", title="from", kind="tag"),
        *((Column(key="id", title="change", kind="code"), Column(key="link", title="link")) if ask.exporting else ()),
    )  # fmt: skip
    words = {"recorded": "", "traffic": "seen in traffic", "lever": "our lever", "not ours": "not ours"}
    rows = [
        {
            "at": c.at_us, "kind": c.kind, "what": Cell(value=c.title, link=f"/changes/{quote(c.id, safe='')}", note=_moved(c)),
            "before": c.before, "after": c.after, "app": "any" if c.app == "default" else c.app,
            "environment": c.environment, "author": c.author, "origin": words.get(origin_of(c), c.origin), "id": c.id, "link": c.link,
            "_tone": "warn" if not c.own else "",
        }
        for c in some
    ]  # fmt: skip
    if any_ and narrows:
        return Table(
            name="changes",
            title="Changes",
            columns=columns,
            rows=rows,
            empty="No change is like that, in this time.",
            empty_link=("/changes?range=all", "All changes"),
        )
    empty = (
        "No change is known yet. Pipelines send them to /v1/changes (a deploy event of GitHub, CloudEvents, CDEvents or plain JSON), "
        "new versions are found in traffic by themselves, pulls of levers are changes, and people record the rest here."
    )
    return Table(name="changes", title="Changes", columns=columns, rows=rows, empty=empty)


def _moved(one: Change) -> str:
    """What moved, where that is short and the title does not say it."""
    before, after = (" ".join((text or "").split()) for text in (one.before, one.after))
    if not after or max(len(before), len(after)) > 60 or (before in one.title and after in one.title):
        return ""
    return f"{before} → {after}" if before else f"now {after}"


def _blamed(ask: Ask, one: Change) -> list[tuple[Incident, Any]]:
    """The incidents that have a change among their suspects, the likeliest first."""
    later = [
        i for i in ask.ledger.all(Incident)
        if one.app in (i.app, "default") and i.onset_high_us >= one.at_us - DAY_US and i.onset_us <= one.at_us + BLAMED_US
    ]  # fmt: skip
    found = []
    for incident in sorted(later, key=lambda i: abs(i.onset_us - one.at_us))[:MOST_INCIDENTS]:
        looked = ask.ledger.get(Investigation, incident.id)
        suspect = next((s for s in (looked.suspects if looked else ()) if s.id == one.id), None)
        if suspect is not None:
            found.append((incident, suspect))
    return sorted(found, key=lambda pair: -pair[1].probability)


def _suspected(blamed: Sequence[tuple[Incident, Any]]) -> Table:
    columns = (
        Column(key="incident", title="incident", kind="code"), Column(key="odds", title="odds", kind="number"), Column(key="title", title="what is wrong", wide=True),
        Column(key="for", title="for", kind="number"), Column(key="against", title="against", kind="number"),
        Column(key="began", title="began", kind="time"), Column(key="state", title="state", kind="tag"),
    )  # fmt: skip
    from andon.incidents import odds

    rows = [
        {
            "incident": Cell(value=i.id, link=f"/incidents/{quote(i.id, safe='')}"), "odds": Cell(value=odds(s.probability), tone="bad" if s.probability >= 0.5 else ""),
            "title": i.what, "for": len(s.supports), "against": len(s.against), "began": i.onset_us, "state": i.state,
        }
        for i, s in blamed
    ]  # fmt: skip
    empty = "No incident that was investigated has it among its suspects."
    return Table(name="suspected", title="Incidents that have it as a suspect", columns=columns, rows=rows, empty=empty)


def _of_change(one: Change, app: str, environment: str) -> bool:
    return one.app in ("default", app) and one.environment == environment


def _around(ask: Ask, one: Change) -> list[Signal]:
    start, end = one.at_us - BEFORE_US, one.at_us + AFTER_US
    near = [s for s in ask.ledger.all(Signal) if start <= s.at_us < end and _of_change(one, s.app, s.environment)]
    return sorted(near, key=lambda s: s.at_us)


def _signals(around: Sequence[Signal], *, with_id: bool) -> Table:
    columns = (
        Column(key="at", title="alarmed", kind="time"), Column(key="chart", title="chart", wide=True),
        *([Column(key="monitor", title="id", kind="code")] if with_id else []), Column(key="level", title="level", kind="tag"),
        Column(key="before", title="usual", kind="rate"), Column(key="rate", title="then", kind="rate"), Column(key="onset", title="began", kind="time"),
    )  # fmt: skip
    rows = [
        {
            "at": s.at_us, "chart": Cell(value=subject(s), link=chart_link(s.monitor), note=scope_text(s.scope)),
            "monitor": s.monitor, "level": s.level,
            "before": s.baseline_x / s.baseline_n if s.baseline_n else None, "rate": s.x / s.n if s.n else None, "onset": s.onset_us,
        }
        for s in around
    ]  # fmt: skip
    empty = "No chart of its application left its limits from six hours before it to a day after it."
    return Table(
        name="signals", title="Charts that left their limits around it", columns=columns, rows=rows, empty=empty
    )


def _charts(ask: Ask, one: Change, around: Sequence[Signal]) -> list[tuple[str, str, Markup]]:
    """Charts of its application around a change, those that left their limits first, each as a line with the change in it."""
    board = board_of(ask)
    if board is None:
        return []
    app = "" if one.app == "default" else one.app
    found: list[tuple[str, str, Markup]] = []
    end_us = max(one.at_us + HOUR_US, min(one.at_us + AFTER_US, board.until_us))
    left = dict.fromkeys(s.monitor for s in around)
    first = [i for i in map(board.find, left) if i is not None]
    others = board.search(app=app, environment=one.environment, limit=4 * MOST_CHARTS).tolist()
    for i in dict.fromkeys([*first, *others]):
        points = board.points(i, one.at_us - BEFORE_US, end_us, 90)
        if any(p.n for p in points):
            state = board.state(i)
            name = f"{subject(state)}, {part_of(state)}"
            tone = "bad" if state.id in left else ""
            found.append((state.id, name, _line(points, one.at_us, f"{name}: around the change", tone)))
        if len(found) == MOST_CHARTS:
            break
    return found


def _line(points: Sequence[Point], at_us: int, label: str, tone: str) -> Markup:
    start, end = points[0].start_us, points[-1].end_us
    known = [((p.start_us + p.end_us) / 2, p.x / p.n, p.high) for p in points if p.n]
    top = max([v for _, v, _ in known] + [h for _, _, h in known if 0 < h < 1] + [1e-9])

    def at(us: float, value: float) -> str:
        return f"{100 * (us - start) / (end - start):.2f},{34 - 32 * min(1.0, value / top):.2f}"

    line, limit = " ".join(at(us, v) for us, v, _ in known), " ".join(at(us, h) for us, _, h in known)
    mark = 100 * (at_us - start) / (end - start)
    return Markup(
        '<svg class="spark {}" viewBox="0 0 100 36" preserveAspectRatio="none" role="img" aria-label="{}"><polyline class="limit" fill="none" points="{}"/>'
        '<polyline class="line" points="{}"/><path class="moment" d="M{} 0V36"/></svg>'
    ).format(tone, label, limit, line, f"{mark:.2f}")


def _near(ask: Ask, one: Change) -> list[Change]:
    """Other changes of the same hours: suspects beside it."""
    wanted = Wanted(environment=one.environment, from_us=one.at_us - BEFORE_US, until_us=one.at_us + BEFORE_US)
    found = search(ask.ledger.all(Change), wanted)
    return [c for c in found if c.id != one.id and (c.app == one.app or "default" in (c.app, one.app))][:8]
