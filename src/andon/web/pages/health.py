"""Health on Home: risk category by metric, the second thing that everybody sees."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from andon.incidents.words import one_line
from andon.monitors import ChartBoard, HealthRow
from andon.monitors.records import SOFT, TRAFFIC
from andon.monitors.verdicts import percent
from andon.web import charts
from andon.web.pages.monitors import chart_link
from andon.web.pages.monitors_words import LEAST_MISSING, NEAR, column_of

__all__ = ["Health", "HealthCell", "health_of"]

HARMS = ("safety", "compliance", "correctness", "availability", "usefulness", "cost")
"""What is lost, in the order in which it is looked at."""

WIDE = 8
"""Metrics that are shown at once; the others are folded."""

ROWS = 12
"""Risk categories that are shown, the worst first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCell:
    """One metric in one risk category."""

    tone: str
    """``bad``, ``warn``, ``good`` or ``soft``."""
    sign: str
    """The same as a shape, so that colour is not the only sign."""
    word: str
    text: str
    """Its present rate."""
    link: str
    """To the chart that is nearest to its limit."""
    spark: Markup
    title: str
    side: str = ""
    """``too low`` where that is what harms, and the rate is shown of a metric that may harm both ways."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The matrix."""

    apps: Sequence[str]
    app: str
    """The one that is shown; empty: all."""
    columns: Sequence[tuple[str, str]]
    """Metric and its short name; those that are shown at once."""
    folded: Sequence[tuple[str, str]]
    rows: Sequence[tuple[str, dict[str, HealthCell]]]
    """Risk category, ``all`` first, and its cells by metric."""
    more: int
    """Risk categories that are not shown."""
    cells: int
    bad: int
    """Cells in which a chart crossed its limit within a day."""
    near: int
    learning: int
    folded_bad: int
    """Of the folded cells those that are bad or near."""


def health_of(board: ChartBoard, app: str) -> Health:
    """The matrix of an application, or of all of them.

    Args:
        board: the charts.
        app: which; empty: all. One that is not known is as empty.
    """
    apps = board.values("app")
    app = app if app in apps else ""
    told = board.health(app)
    ranks = dict(zip(board.texts("metric"), board.texts("kind"), strict=True))
    ids, ways = board.ids, board.texts("direction")
    both = {m for m, way in zip(board.texts("metric"), ways, strict=True) if way == "up"}
    metrics = _columns(told)
    by = {}
    for row in told:
        low = row.worst is not None and ways[row.worst] == "down" and row.metric in both
        by[row.category, row.metric] = _cell(row, ids, app, rank=ranks.get(row.metric) == "number", low=low)
    shown, folded = metrics[:WIDE], metrics[WIDE:]
    some = _categories(told)
    cells = list(by.values())
    hidden = set(folded)
    return Health(
        apps=apps, app=app, columns=[(m, column_of(m)) for m in _in_order(shown, told)],
        folded=[(m, column_of(m)) for m in _in_order(folded, told)],
        rows=[(c, {m: by[c, m] for m in metrics if (c, m) in by}) for c in some[:ROWS]], more=max(0, len(some) - ROWS),
        cells=len(cells), bad=sum(c.tone == "bad" for c in cells), near=sum(c.tone == "warn" for c in cells),
        learning=sum(c.tone == "soft" for c in cells),
        folded_bad=sum(c.tone in ("bad", "warn") for (_, m), c in by.items() if m in hidden),
    )  # fmt: skip


def _columns(told: Sequence[HealthRow]) -> list[str]:
    """Metrics, those that must be seen first: what signalled, what is near, then by what is lost."""
    signalled = dict.fromkeys(dict.fromkeys(row.metric for row in told), 0)
    near = dict.fromkeys(signalled, 0.0)
    for row in told:
        signalled[row.metric] += row.signalled
        near[row.metric] = max(near[row.metric], row.nearness)
    known = _in_order(list(signalled), told)
    return sorted(known, key=lambda m: (not signalled[m], near[m] < NEAR))


def _in_order(metrics: Sequence[str], told: Sequence[HealthRow]) -> list[str]:
    """In an order that stays from day to day: by what is lost; what is asked, and style, behind."""
    harm = {row.metric: row.harm for row in told}
    place = {h: n for n, h in enumerate(HARMS)}
    return sorted(metrics, key=lambda m: (m in SOFT, m != TRAFFIC, place.get(harm.get(m, ""), len(place)), m))


def _categories(told: Sequence[HealthRow]) -> list[str]:
    """Risk categories: all traffic, then the worst first."""
    worst: dict[str, tuple[int, float]] = {}
    for row in told:
        signalled, near = worst.get(row.category, (0, 0.0))
        worst[row.category] = signalled + row.signalled, max(near, row.nearness)
    return sorted(worst, key=lambda c: (c != "all", *(-v for v in worst[c]), c))


def _cell(row: HealthRow, ids: Sequence[str], app: str, *, rank: bool, low: bool) -> HealthCell:
    if row.signalled:
        tone, sign, word = "bad", "▲", f"{row.signalled} signalled in 24 h"
    elif row.worst is not None and row.nearness >= NEAR:
        tone, sign, word = "warn", "◆", "near its limit"
    elif row.worst is None:
        tone, sign, word = "soft", "○", "learning"
    else:
        tone, sign, word = "good", "●", "fine"
    where = "all traffic" if row.category == "all" else f"risk category {one_line(row.category)}"
    text = "–" if row.rate is None else f"{row.rate:.2f}" if rank else percent(row.rate, 2)
    known = "nothing in 24 h" if row.rate is None else f"rank {text}, 0.5 is usual" if rank else text
    if row.rate is None and tone != "soft":  # each topic has a share, all together have none
        text = {"bad": f"{row.signalled} chart{'s' if row.signalled != 1 else ''}", "warn": "near"}.get(tone, "fine")
        known = "no rate of all of it in 24 h"
    link = chart_link(ids[row.worst]) if row.worst is not None else _all_of(row, app)
    title = f"{column_of(row.metric)}, {where}: {known}, {word}; {row.watching:,} watch, {row.learning:,} learn"
    spark = charts.spark(
        row.spark, f"{column_of(row.metric)}, {where}, the last 24 hours", tone=tone if tone in ("bad", "warn") else "",
        least=LEAST_MISSING if row.metric == TRAFFIC else 0.0,
    )  # fmt: skip
    side = "too low" if low and not rank and tone in ("bad", "warn") else ""
    return HealthCell(tone=tone, sign=sign, word=word, text=text, link=link, spark=spark, title=title, side=side)


def _all_of(row: HealthRow, app: str) -> str:
    from urllib.parse import urlencode

    text = "" if row.category == "all" else f"risk_category={row.category}"
    return "/monitors?" + urlencode({k: v for k, v in (("metric", row.metric), ("app", app), ("text", text)) if v})
