"""One chart: what it shows, what happened around it, the rows behind each point."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from andon.changes import Change
from andon.errors import InputError
from andon.incidents import Incident
from andon.levers import Pull
from andon.monitors import ChartBoard, ChartState, Point, Signal, draw_chart
from andon.monitors.drawing import NARROW, WIDTH, Mark
from andon.monitors.records import TRAFFIC, NewNormal, names
from andon.monitors.run import accept
from andon.scores.topics import Topics
from andon.traffic import parse_time
from andon.web import charts
from andon.web.asking import Ask, Done, Gone, Page
from andon.web.pages.monitors import board_of, budget_rows, budget_table_of, chart_link
from andon.web.pages.monitors_rows import rows_link
from andon.web.pages.monitors_words import (
    column_of,
    is_rank,
    part_of,
    rate_text,
    sentence,
    standing,
    subject,
    tone_of,
)  # fmt: skip
from andon.web.routing import Pages
from andon.web.tables import Cell, Column, Table

__all__ = ["pages"]

pages = Pages()

HOUR_US = 3_600_000_000
RANGES = {
    "6h": ("6 h", 6 * HOUR_US),
    "24h": ("24 h", 24 * HOUR_US),
    "7d": ("7 d", 168 * HOUR_US),
    "36d": ("36 d", 864 * HOUR_US),
}
POINTS, FEW, LEAST = 96, 48, 24
"""Points across a page, across a phone, and where little was observed."""

ENOUGH = 12
"""Observations of a point: with fewer, points are wider, or nothing could be seen in them."""

LISTED, MOST = 30, 10_000
"""Points that are listed on the page, the newest, and in a file."""

MOST_MARKS = 12
"""Changes and pulls that are drawn; all of them are in the table."""

LABELLED = 3
"""With so many marks each has its label; with more only the shapes are drawn, which say what they are when pointed at."""

BESIDE = 12


@pages.read("/monitors/{id:path}")
def monitor(ask: Ask, id: str) -> Page:  # noqa: A002 - the name in the path
    """One chart over a range."""
    board = board_of(ask)
    number = None if board is None else board.find(id)
    if board is None or number is None:
        raise Gone(
            f"There is no chart {id[:200]!r}: it may be one of part of the traffic that came too rarely",
            "/monitors",
            "All monitors",
        )
    state = board.state(number)
    start_us, end_us, chosen = _range(ask, board)
    points = _points(board, number, start_us, end_us, exporting=ask.exporting)
    signals = sorted((s for s in ask.ledger.all(Signal) if s.monitor == id), key=lambda s: -s.at_us)
    around, marks = _around(ask, state, start_us, end_us)
    budget = budget_rows(ask, board, state)
    tables = {
        "points": _points_table(state, points[-(MOST if ask.exporting else LISTED) :], signals), "signals": _signals_table(ask, state, signals),
        "around": around, "beside": _beside_table(board, number, 400 if ask.exporting else BESIDE), "normals": _normals_table(ask, id),
        "cost": budget_table_of(ask, budget, "What the budget costs on this chart"),
    }  # fmt: skip
    now = next((r for r in budget if r.false_pages_per_month == ask.site.settings.false_pages_per_month), None)
    onset = signals[0].onset_us if signals else board.until_us - 24 * HOUR_US
    return Page(
        template="monitors/one.html",
        title=f"{column_of(state.metric)} · {part_of(state)} · {state.app}",
        tables=list(tables.values()),
        markdown=lambda: _markdown(ask, state, now),
        context={
            "s": state, "said_now": sentence(state), "subject": subject(state), "part": part_of(state), "tone": tone_of(state),
            "standing": standing(state, now.double_h if now else None, now.tenfold_h if now else None), "rank": is_rank(state),
            "traffic": state.metric == TRAFFIC, "usual": _usual(state), "rate": lambda r: rate_text(state, r),
            "drawn": _drawn(ask, state, points, signals, marks, (start_us, end_us)), "start_us": start_us, "end_us": end_us,
            "ranges": [(key, text) for key, (text, _) in RANGES.items()], "chosen": chosen, "ways": _ways(board, start_us, end_us),
            "rows": rows_link(state, start_us, end_us, signals), "beyond": 0 if state.metric == TRAFFIC else sum(p.x / p.n > p.high + 1e-12 for p in points), "count": len(points),
            "incidents": _incidents(ask, signals), "topic": _topic(ask, state),
            "limit_command": _limit_command(state), "onset_text": _field_time(ask, onset), "latest": signals[0] if signals else None,
            "budget": ask.site.settings.false_pages_per_month, "link": chart_link(id), "now_row": now, "has_change": any(m.kind == "change" for m in marks), "has_pull": any(m.kind == "pull" for m in marks), "sides": _sides(board, number), **tables,
        },
    )  # fmt: skip


@pages.act("/monitors/{id:path}/relearn", role="responder")
def relearn(ask: Ask, id: str) -> Done:  # noqa: A002
    """Accept what a chart shows as the new normal."""
    board = board_of(ask)
    if board is None or board.find(id) is None:
        raise Gone(f"There is no chart {id[:200]!r}", "/monitors", "All monitors")
    since = ask.time_us("since")
    if since is None:
        raise InputError("say from when on it is the new normal: what came before is forgotten")
    accept(
        ask.ledger, id, [id], from_us=since, why=ask.given("why", "why this is the new normal"), by=ask.by, now_us=ask.now_us,
        window_s=ask.site.settings.window_s,
    )  # fmt: skip
    return Done(
        to=chart_link(id),
        said="Accepted: from the next window on this chart learns its baseline anew, and says nothing meanwhile.",
    )


def _points(board: ChartBoard, number: int, start_us: int, end_us: int, *, exporting: bool) -> list[Point]:
    """The points of a range, wide enough that each has something to tell; in a file all of them."""
    points = [p for p in board.points(number, start_us, end_us, MOST if exporting else POINTS) if p.n > 0]
    total = sum(p.n for p in points)
    if exporting or total >= ENOUGH * len(points) or len(points) <= LEAST:
        return points
    return [p for p in board.points(number, start_us, end_us, max(LEAST, total // ENOUGH)) if p.n > 0]


def _incidents(ask: Ask, signals: Sequence[Signal]) -> list[Incident]:
    """Incidents that are open and have a signal of this chart."""
    mine = {s.id for s in signals}
    return [i for i in ask.ledger.all(Incident) if mine and i.state != "closed" and mine.intersection(i.signals)]


def _topic(ask: Ask, state: ChartState) -> str:
    """What a chart's topic is about; empty where it is of none."""
    key = dict(state.scope).get("topic")
    known: Topics | None = ask.ledger.get(Topics, f"{state.app}/{state.environment}") if key else None
    found = next((t.name for t in known.topics if t.key == key), "") if known is not None else ""
    return f"{key}: {found}" if found else ""


def _range(ask: Ask, board: ChartBoard) -> tuple[int, int, str]:
    """From when to when, and which of the choices that is; empty for one of its own."""
    start, end = _moment(ask.query.get("from", "")), _moment(ask.query.get("to", ""))
    if start is None and end is None:
        chosen = ask.query.get("range", "24h")
        chosen = chosen if chosen in RANGES else "24h"
        return max(board.begins_us, board.until_us - RANGES[chosen][1]), board.until_us, chosen
    end = min(board.until_us, board.until_us if end is None else end)
    start = max(board.begins_us, end - 24 * HOUR_US if start is None else start)
    least = 6 * board.window_us
    if end - start < least:
        end = min(board.until_us, max(end, start + least))
        start = max(board.begins_us, end - least)
    return start, end, ""


def _moment(text: str) -> int | None:
    """A time of the query: ISO 8601, or microseconds since 1970; None where it is neither."""
    if text.isascii() and text.isdigit():
        return int(text) if len(text) < 18 else None
    try:
        return parse_time(text) if text else None
    except InputError:
        return None


def _ways(board: ChartBoard, start_us: int, end_us: int) -> dict[str, tuple[int, int] | None]:
    """Where one can go from a range: before, after, closer, wider; None where there is nothing more."""
    span = end_us - start_us
    half, quarter = span // 2, span // 4
    low, high = board.begins_us, board.until_us
    wide = (max(low, start_us - half), min(high, end_us + half))
    return {
        "earlier": (max(low, start_us - half), max(low, start_us - half) + span) if start_us > low else None,
        "later": (min(high, end_us + half) - span, min(high, end_us + half)) if end_us < high else None,
        "closer": (start_us + quarter, end_us - quarter) if half >= 6 * board.window_us else None,
        "wider": wide if wide != (start_us, end_us) else None,
    }


def _drawn(
    ask: Ask, state: ChartState, points: Sequence[Point], signals: Sequence[Signal], marks: Sequence[Mark], span: tuple[int, int]
) -> tuple[Markup, Markup] | None:  # fmt: skip
    """The chart for a page and for a phone; None where nothing came."""
    if not points:
        return None
    inside = [s for s in signals if span[0] <= s.at_us <= span[1]]
    alarms = [
        Mark(at_us=s.at_us, text="alarm" if s.level == "page" else "warning", kind="alarm", link="#signals")
        for s in inside[:MOST_MARKS]
    ]
    shown = [*alarms, *marks[:MOST_MARKS]]
    if len(shown) > LABELLED:
        shown = [replace(m, text="", title=m.title or m.text) for m in shown]

    def one(some: Sequence[Point], width: int, *, linked: bool) -> Markup:
        drawn = draw_chart(
            some, title=f"{subject(state)}, {part_of(state)} of {state.app}: control chart", marks=shown, width=width,
            onsets=[(s.onset_low_us, s.onset_high_us) for s in inside[:MOST_MARKS]], span=span, zone=ask.zone, limits=state.metric != TRAFFIC,
            link=(lambda p: rows_link(state, p.start_us, p.end_us, signals)[0]) if linked else None,
        )  # fmt: skip
        return Markup(drawn)  # noqa: S704 - drawn by us; what comes from traffic is escaped there

    return one(points, WIDTH, linked=True), one(_fewer(points), NARROW, linked=False)  # a finger hits the table below


def _fewer(points: Sequence[Point]) -> list[Point]:
    """Every two points as one, for a phone: counts add up, limits are those of the first."""
    if len(points) <= FEW:
        return list(points)
    return [
        replace(a, end_us=b.end_us, n=a.n + b.n, x=a.x + b.x) if b is not a else a
        for a, b in zip(points[::2], [*points[1::2], points[-1]][: (len(points) + 1) // 2], strict=True)
    ]


def _around(ask: Ask, state: ChartState, start_us: int, end_us: int) -> tuple[Table, list[Mark]]:
    """Changes and pulls of its application within a range."""
    columns = (
        Column(key="at", title="at", kind="time"), Column(key="kind", title="kind", kind="tag"),
        Column(key="what", title="what", wide=True), Column(key="by", title="by"),
    )  # fmt: skip
    found: list[tuple[int, Mark, str, str, str]] = []
    for c in ask.ledger.all(Change):
        if (
            start_us <= c.at_us <= end_us
            and c.app in (state.app, "default")
            and c.environment == state.environment
            and c.origin != "lever"
        ):
            link = f"/changes/{quote(c.id, safe='')}"
            mark = Mark(
                at_us=c.at_us, text=f"{c.kind} change", kind="change", link=link, title=f"{c.kind} change: {c.title}"
            )
            found.append((c.at_us, mark, f"{c.kind} change", c.title, c.author))
    for p in ask.ledger.all(Pull):
        if start_us <= p.at_us <= end_us and p.environment == state.environment:
            mark = Mark(
                at_us=p.at_us,
                text="lever pulled",
                kind="pull",
                link=f"/levers/{quote(p.lever, safe='')}",
                title=f"{p.lever} pulled: {p.why}",
            )
            found.append((p.at_us, mark, "pull", f"{p.lever} pulled: {p.why}", p.by))
    found.sort(key=lambda f: -f[0])
    rows = [
        {"at": at, "kind": kind, "what": Cell(value=what, link=mark.link), "by": by}
        for at, mark, kind, what, by in found
    ]
    empty = f"No change of {state.app} and no pull is known in this range."
    return Table(name="around", title="Changes and pulls in this range", columns=columns, rows=rows, empty=empty), [
        f[1] for f in found
    ]


def _points_table(state: ChartState, points: Sequence[Point], signals: Sequence[Signal]) -> Table:
    columns = (
        Column(key="start", title="from", kind="time"), Column(key="end", title="to", kind="time"), Column(key="x", title="harm", kind="number"),
        Column(key="n", title="of", kind="number"), Column(key="rate", title="rate", kind="rate"), Column(key="low", title="low limit", kind="rate"),
        Column(key="centre", title="centre", kind="rate"), Column(key="high", title="limit", kind="rate"),
    )  # fmt: skip
    rows = [
        {
            "start": Cell(value=p.start_us, link=rows_link(state, p.start_us, p.end_us, signals)[0]), "end": p.end_us, "x": p.x, "n": p.n,
            "rate": p.x / p.n, "low": p.low, "centre": p.centre, "high": p.high, "_tone": "bad" if p.x / p.n > p.high + 1e-12 and state.metric != TRAFFIC else "",
        }
        for p in reversed(points)
    ]  # fmt: skip
    return Table(
        name="points",
        title="Points of the chart",
        columns=columns,
        rows=rows,
        empty="Nothing was observed in this range.",
    )


def _signals_table(ask: Ask, state: ChartState, signals: Sequence[Signal]) -> Table:
    columns = (
        Column(key="at", title="at", kind="time"), Column(key="level", title="level", kind="tag"), Column(key="rate", title="harm since its onset", kind="rate"),
        Column(key="usual", title="usual", kind="rate"), Column(key="n", title="of", kind="number"), Column(key="onset", title="began about", kind="time"),
        Column(key="incident", title="incident"),
    )  # fmt: skip
    of = {s: i.id for i in ask.ledger.all(Incident) for s in i.signals} if signals else {}
    rows = [
        {
            "at": Cell(value=s.at_us, link=f"{chart_link(s.monitor)}?from={s.onset_low_us - 6 * HOUR_US}&to={s.at_us + 6 * HOUR_US}"), "level": s.level,
            "rate": s.x / s.n if s.n else None, "usual": s.baseline_x / s.baseline_n if s.baseline_n else None, "n": s.n, "onset": s.onset_us,
            "incident": Cell(value=of.get(s.id), link=f"/incidents/{of[s.id]}" if s.id in of else ""),
        }
        for s in signals[:200]
    ]  # fmt: skip
    empty = "It has never signalled." if state.phase != "learning" else "It has never signalled: it still learns."
    return Table(name="signals", title="What it signalled", columns=columns, rows=rows, empty=empty)


def _normals_table(ask: Ask, chart: str) -> Table:
    columns = (
        Column(key="at", title="at", kind="time"), Column(key="since", title="normal since", kind="time"),
        Column(key="why", title="why", wide=True), Column(key="by", title="by"),
    )  # fmt: skip
    found = sorted((w for w in ask.ledger.all(NewNormal) if names(w.monitor, chart)), key=lambda w: -w.accepted_us)
    rows = [{"at": w.accepted_us, "since": w.from_us, "why": w.why, "by": w.by} for w in found]
    return Table(
        name="normals", title="What was accepted as the new normal", columns=columns, rows=rows, empty="Nothing was."
    )


def _sides(board: ChartBoard, number: int) -> list[dict[str, Any]]:
    """Charts of the same metric beside it, the worst first, as small pictures."""
    some = board.beside(number)[:BESIDE].tolist()
    found = []
    for i, hours in zip(some, board.sparks(some).tolist(), strict=True):
        state = board.state(i)
        tone = tone_of(state)
        found.append({
            "link": chart_link(state.id), "name": part_of(state), "rate": rate_text(state, state.rate_hour), "tone": tone,
            "phase": state.phase, "near": state.nearness,
            "spark": charts.spark(hours, f"{part_of(state)}: the last 24 hours", limit=_usual(state), tone=tone),
        })  # fmt: skip
    return found


def _beside_table(board: ChartBoard, number: int, most: int) -> Table:
    columns = (
        Column(key="chart", title="chart", kind="code", wide=True), Column(key="hour", title="last hour", kind="rate"),
        Column(key="day", title="last 24 h", kind="rate"), Column(key="nearness", title="on its way", kind="rate"), Column(key="phase", title="phase", kind="tag"),
    )  # fmt: skip
    states = [board.state(i) for i in board.beside(number)[:most].tolist()]
    rows = [
        {
            "chart": Cell(value=s.id, link=chart_link(s.id)),
            "hour": s.rate_hour,
            "day": s.rate_day,
            "nearness": s.nearness,
            "phase": s.phase,
        }
        for s in states
    ]
    return Table(
        name="beside",
        title="The same metric in other parts of the traffic",
        columns=columns,
        rows=rows,
        empty="It is watched nowhere else.",
    )


def _usual(state: ChartState) -> float | None:
    if state.at_most is not None:
        return state.at_most
    if is_rank(state):
        return 0.5
    return None if state.metric == TRAFFIC or state.usual is None else min(1.0, state.usual)


def _limit_command(state: ChartState) -> str:
    """How a limit is set on what this chart counts; nothing where one is, or where none can be."""
    if state.objective or state.metric == TRAFFIC or any(k == "topic" for k, _ in state.scope):
        return ""
    scope = "".join(f" --scope {_shell(f'{k}={v}')}" for k, v in state.scope)
    beyond = " --beyond VALUE" if state.kind == "number" else ""
    return (
        f"andon monitor add {state.metric} --at-most RATE --direction {state.direction}{beyond} --app {_shell(state.app)} "
        f"--environment {_shell(state.environment)}{scope}"
    )


def _shell(text: str) -> str:
    return shlex.quote("".join(c if c.isprintable() else "\ufffd" for c in text))


def _field_time(ask: Ask, us: int) -> str:
    """A time as a field of a form has it, in the reader's zone."""
    return f"{datetime.fromtimestamp(us / 1e6, ask.zone):%Y-%m-%dT%H:%M}"


def _markdown(ask: Ask, state: ChartState, now: Any) -> str:
    """The chart in a few lines, to be pasted."""

    def plain(text: str) -> str:
        return "".join(c if c.isprintable() and c not in "`*_[]<>|" else " " for c in text)

    told = standing(state, now.double_h if now else None, now.tenfold_h if now else None)
    return f"**{plain(sentence(state))}** ({plain(part_of(state))}, {plain(state.app)}, {plain(state.environment)})\n\n{told}\n\n{ask.address}{chart_link(state.id)}\n"
