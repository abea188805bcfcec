"""Monitors: every chart, how near each is to its limit, and what the budget of false pages costs."""

from typing import Any
from urllib.parse import quote

import numpy as np

from andon.incidents import duration
from andon.monitors import BudgetRow, ChartBoard, ChartState
from andon.monitors.budget import BUDGETS, budget_of, paging_weight
from andon.monitors.records import TRAFFIC, Crowded
from andon.web import charts
from andon.web.asking import Ask, Page
from andon.web.pages.monitors_words import (
    LEAST_MISSING,
    column_of,
    is_rank,
    part_of,
    rate_text,
    sentence,
    subject,
    tone_of,
)
from andon.web.routing import Pages
from andon.web.tables import Cell, Column, Table

__all__ = ["board_of", "budget_rows", "budget_table_of", "chart_link", "pages", "typical_of"]

pages = Pages()

DAY_US = 24 * 3_600_000_000
SHOWN = 50
"""Charts of one page."""

MOST = 10_000
"""Charts of one file."""

EVERY = 1 << 40
ORDERS = {"near": "worst", "signal": "last signal", "seen": "most observations", "name": "name"}
PHASES = {"watching": "watching", "learning": "learning", "quiet": "quiet"}
LEVELS = {"page": "may page", "warning": "only warns"}


def board_of(ask: Ask) -> ChartBoard | None:
    """The charts as they are published now, held for this request; None where none ever were."""
    board = ask.site.charts
    if board is None:
        return None
    board.refresh()
    pinned: ChartBoard = board.pinned()
    return pinned if len(pinned) else None


def chart_link(chart: str) -> str:
    """The path of a chart."""
    return f"/monitors/{quote(chart, safe='')}"


@pages.read("/monitors")
def monitors(ask: Ask) -> Page:
    """All charts, the one that is nearest to its limit first."""
    board = board_of(ask)
    if board is None:
        table = _table(ask, None, [])
        return Page(template="monitors/empty.html", title="Monitors", tables=[table], context={"all": table})
    said = {
        name: ask.query.get(name, "") for name in ("text", "app", "environment", "metric", "phase", "level", "order")
    }
    found = board.search(
        said["text"][:200], said["app"], said["metric"], said["phase"], EVERY, environment=said["environment"],
        warns={"warning": True, "page": False}.get(said["level"]), order=said["order"] or "near",
    )  # fmt: skip
    last = max(0, (len(found) - 1) // SHOWN)
    number = 0 if ask.exporting else min(last, _number(ask.query.get("page", "")))
    some = found[:MOST] if ask.exporting else found[number * SHOWN : (number + 1) * SHOWN]
    table = _table(ask, board, some.tolist())
    typical = typical_of(board)
    budget = budget_rows(ask, board, typical)
    cost = budget_table_of(ask, budget, "What other budgets cost on a typical chart")
    return Page(
        template="monitors/all.html",
        title="Monitors",
        tables=[table, cost],
        context={
            "all": table, "found": len(found), "wanted": said, "number": number, "last": last, "orders": ORDERS, "phases": PHASES,
            "levels": LEVELS, "values": {n: board.values(n) for n in ("app", "environment", "metric")}, "column_of": column_of,
            "narrows": any(v for k, v in said.items() if k != "order"), "counts": _counts(board), "cost": cost,
            "until_us": board.until_us, "stale": board.late_us(ask.now_us) > 0,
            "crowded": sorted(ask.ledger.all(Crowded), key=lambda c: c.id), "typical": typical,
            "typical_link": chart_link(typical.id) if typical else "", "now_row": _present(ask, budget),
            "budget": ask.site.settings.false_pages_per_month, "words": _filtered(said),
        },
    )  # fmt: skip


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0


def _counts(board: ChartBoard) -> dict[str, int]:
    """How many charts do what, and how many crossed their thresholds within a day."""
    watching, learning = board.phases
    at = board.column("signalled_us")
    last = (at > 0) & (at > board.until_us - DAY_US)
    warns = board.column("warns").astype(bool)
    return {
        "watching": watching, "learning": learning, "quiet": len(board) - watching - learning, "crossed": int(last.sum()),
        "paged": int((last & ~warns).sum()),
    }  # fmt: skip


def _filtered(said: dict[str, str]) -> str:
    """What is shown, in words."""
    parts = [f"“{said['text']}”"] if said["text"] else []
    parts += [said[name] for name in ("app", "environment") if said[name]]
    parts += [column_of(said["metric"])] if said["metric"] else []
    parts += [PHASES.get(said["phase"], ""), LEVELS.get(said["level"], "")]
    return ", ".join(filter(None, parts))


def _table(ask: Ask, board: ChartBoard | None, numbers: list[int]) -> Table:
    columns = (
        Column(key="chart", title="chart", wide=True), Column(key="app", title="app"),
        Column(key="course", title="last 24 h", kind="picture"), Column(key="now", title="last hour", kind="number"),
        Column(key="usual", title="usual", kind="number"), Column(key="way", title="on its way", kind="picture"),
        Column(key="nearness", title="", kind="rate"), Column(key="phase", title="phase"),
        Column(key="signalled", title="last signal", kind="time"),
    )  # fmt: skip
    rows = []
    if board is not None:
        for i, hours in zip(
            numbers, [()] * len(numbers) if ask.exporting else board.sparks(numbers).tolist(), strict=True
        ):
            rows.append(_row(board.state(i), hours, pictures=not ask.exporting))
    narrow = "No chart is like that: leave a filter out." if board is not None else "Nothing is watched yet."
    left = set() if ask.exporting or board is None else {"nearness"}
    if board is not None and not ask.exporting and len(board.values("app")) * len(board.values("environment")) == 1:
        left.add("app")
    kept = tuple(c for c in columns if c.key not in left)
    return Table(name="charts", title="Charts", columns=kept, rows=rows, empty=narrow)


def _row(state: ChartState, hours: Any, *, pictures: bool) -> dict[str, Any]:
    tone, usual = tone_of(state), 0.5 if is_rank(state) else None if state.metric == TRAFFIC else state.usual
    limit = state.at_most if state.at_most is not None else usual
    row: dict[str, Any] = {
        "chart": Cell(value=subject(state), link=chart_link(state.id), note=f"{part_of(state)}{_about(state)}"),
        "app": Cell(value=state.app, note=state.environment), "now": Cell(value=rate_text(state, state.rate_hour), tone=tone),
        "usual": "–" if limit is None else rate_text(state, min(limit, 1.0)), "nearness": state.nearness,
        "phase": Cell(value=state.phase, tone="soft"), "signalled": state.signalled_us, "_tone": tone,
    }  # fmt: skip
    if not pictures:
        return row | {"chart": state.id}
    label = f"{sentence(state)}; the last 24 hours"
    row["course"] = charts.spark(
        hours, label, limit=limit, tone=tone, least=LEAST_MISSING if state.metric == TRAFFIC else 0.0
    )
    way, share = f"{state.nearness:.0%} of the way to its threshold", state.nearness
    if tone == "bad":  # what crossed begins anew, and would look like what is far from it
        way, share = "crossed its threshold within a day", 1.0
    row["way"] = charts.meter(share if state.phase == "watching" else None, way, tone=tone)
    return row


def _about(state: ChartState) -> str:
    """What else tells it from others like it."""
    words = {"tail": ", its worst part"}.get(state.aspect, "")
    return (
        words + (f", objective {state.objective}" if state.objective else "") + (", only warns" if state.warns else "")
    )


def typical_of(board: ChartBoard) -> ChartState | None:
    """The chart in the middle of those that may page, by how much harm an hour its baseline has."""
    x, n = board.column("baseline_x"), board.column("baseline_n")
    hours = board.column("baseline_to_us") - board.column("baseline_from_us")
    kinds, aspects, metrics, phases = (board.texts(name) for name in ("kind", "aspect", "metric", "phase"))
    told = [
        (k == "binary" or bool(a)) and m != TRAFFIC and p == "watching"
        for k, a, m, p in zip(kinds, aspects, metrics, phases, strict=True)
    ]
    may = np.array(told, dtype=np.bool_) & ~board.column("warns").astype(bool) & (hours > 0) & (n > x) & (x >= 1)
    some = np.flatnonzero(may)
    if not len(some):
        return None
    order = some[np.argsort(x[some] / hours[some], kind="stable")]
    return board.state(int(order[len(order) // 2]))


def budget_rows(ask: Ask, board: ChartBoard, state: ChartState | None) -> list[BudgetRow]:
    """What budgets mean for a chart, the one that is set among them."""
    if state is None:
        return []
    budgets = sorted({*BUDGETS, ask.site.settings.false_pages_per_month})
    return budget_of(state, paging_weight(board), budgets)


def _present(ask: Ask, rows: list[BudgetRow]) -> BudgetRow | None:
    return next((r for r in rows if r.false_pages_per_month == ask.site.settings.false_pages_per_month), None)


def budget_table_of(ask: Ask, rows: list[BudgetRow], title: str) -> Table:
    """Budgets beside each other, as a table."""
    columns = (
        Column(key="budget", title="false pages a month"), Column(key="between", title="this chart alone, one in"),
        Column(key="double", title="twice the harm is told in"), Column(key="tenfold", title="ten times the harm in"),
    )  # fmt: skip
    now = ask.site.settings.false_pages_per_month
    made = [
        {
            "budget": Cell(value=f"{r.false_pages_per_month:g}", note="as it is set" if r.false_pages_per_month == now else ""),
            "between": duration(3600 * r.between_h), "double": _delay(r.double_h), "tenfold": _delay(r.tenfold_h),
        }
        for r in rows
    ]  # fmt: skip
    empty = "No chart with harm to count watches yet, so the cost of a budget cannot be told."
    return Table(name="budget", title=title, columns=columns, rows=made, empty=empty)


def _delay(hours: float | None) -> str:
    return "over 90 d" if hours is None else duration(3600 * hours)
