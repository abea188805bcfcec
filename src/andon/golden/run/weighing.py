"""Weaker signs of failures: the worst of each day, once it is over."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from andon.golden.capture import A_DAY, RULES, Measure, Sign, cut_of, measures_of, worst_first
from andon.golden.records import CaptureDay, Failure, RuleCount
from andon.golden.run.keeping import ROW, Keeper, feedback_of, sign_of
from andon.golden.run.twins import USERS
from andon.scores import Scorer, failing
from andon.store import Rollup, Sample, Span, Warehouse, Where
from andon.traffic.run import read_interactions_by_id

__all__ = ["start_of", "weigh"]

DAY_US = 86_400_000_000
WEEK_US, MONTH_US = 7 * DAY_US, 31 * DAY_US

SAMPLED = 500
"""Values beyond a bound of which the worst are chosen: where a day has more, it is a seeded sample of them."""

LEARNED = 20_000
"""Rows of the week before from which it is learned what is usual."""

READ = 5 * A_DAY
"""Interactions that are read for one rule and day: of those that say the same, only one is captured."""


def weigh(keeper: Keeper, scorers: Sequence[Scorer], days: Sequence[str]) -> list[RuleCount]:
    """Weigh the weaker signs of days against each other, and capture the worst."""
    measures = measures_of(scorers)
    counts: list[RuleCount] = []
    for key in days:
        signs, totals = _signs(keeper.warehouse, measures, key)
        before = day = keeper.ledger.get(CaptureDay, key) or CaptureDay(id=key)
        for rule in RULES:
            if totals.get(rule):
                mine = worst_first(s for s in signs if s.rule == rule)
                count, taken = _take(keeper, rule, mine, totals[rule], day.taken.get(rule, ()), start_of(key))
                counts.append(count)
                day = replace(day, taken=day.taken | {rule: taken}, left_out=day.left_out | {rule: count.left_out})
        if day != before:
            keeper.ledger.put(day, now_us=keeper.now_us, by="andon")
    return counts


def _signs(warehouse: Warehouse, measures: Sequence[Measure], key: str) -> tuple[list[Sign], dict[str, int]]:
    """The weaker signs of an application's day, and how many answers have one, by rule (at least so many)."""
    day_us, app = start_of(key), key.partition("/")[2]
    span = Span(start_us=day_us, end_us=day_us + DAY_US)
    mine = (Where(column="app", op="eq", value=app), *USERS)
    names = tuple(dict.fromkeys(m.metric for m in measures))
    plan = Rollup(table="scores", metrics=names, measures=("min", "max"), span=span, where=mine)
    (ends,) = warehouse.run(plan).to_pylist()
    numbers = [m for m in measures if m.kind == "number" and ends[f"{m.metric}.min"] is not None]
    usual = _usual(warehouse, numbers, Span(start_us=day_us - WEEK_US, end_us=day_us), mine)
    signs: list[Sign] = []
    totals: dict[str, int] = {}
    for m in measures:
        cut, scale = usual.get(m.metric, (None, 1.0))
        if m.kind == "number" and cut is None:
            continue
        op, bound = failing(m.kind, m.direction, cut)
        worst = ends[f"{m.metric}.{'max' if op == 'ge' else 'min'}"]
        if worst is None or not (worst >= bound if op == "ge" else worst < bound):
            continue
        harmed = (*mine, Where(column=m.metric, op="ge" if op == "ge" else "lt", value=bound))
        chosen = Sample(table="scores", n=SAMPLED, seed=1, columns=(*ROW, m.metric), span=span, where=harmed)
        rows = warehouse.run(chosen).to_pylist()
        n = len(rows)
        if n == SAMPLED:
            n = warehouse.run(Rollup(table="scores", span=span, where=harmed))["rows"][0].as_py()
        totals[m.rule] = max(totals.get(m.rule, 0), n)
        signs += [sign_of(r, m, cut, scale) for r in rows]
    return signs, {r: max(n, len({s.interaction_id for s in signs if s.rule == r})) for r, n in totals.items()}


def _usual(
    warehouse: Warehouse, numbers: Sequence[Measure], week: Span, mine: tuple[Where, ...]
) -> dict[str, tuple[float, float]]:
    """The bound of what is usual, and its distance from the median, of each number of which a week can tell it."""
    if not numbers:
        return {}
    columns = ("id", *dict.fromkeys(m.metric for m in numbers))
    rows = warehouse.run(Sample(table="scores", n=LEARNED, seed=0, columns=columns, span=week, where=mine))
    found = {m.metric: cut_of(rows[m.metric].drop_null().to_numpy(), m.direction) for m in numbers}
    return {m: (f[0], abs(f[1] - f[0]) or 1.0) for m, f in found.items() if f is not None}


def _take(
    keeper: Keeper, rule: str, worst: Sequence[tuple[Sign, ...]], total: int, taken: tuple[str, ...], day_us: int
) -> tuple[RuleCount, tuple[str, ...]]:
    """Capture the worst of a rule as far as its day has room; what was taken of the day by now."""
    room = A_DAY - len(taken)
    if room <= 0:
        left = max(0, total - len(taken))
        return RuleCount(rule=rule, known=len(taken), left_out=left), taken
    span = Span(start_us=day_us - MONTH_US, end_us=day_us + 2 * DAY_US)
    leads = {each[0].interaction_id: each[0] for each in worst[:READ]}
    known = {i.id: i for i in read_interactions_by_id(keeper.warehouse, list(leads), span)}
    said = feedback_of(keeper.warehouse, list(leads.values()), Span(start_us=day_us, end_us=day_us + DAY_US))
    failures: dict[str, Failure] = {}
    seen = 0
    for i, sign in leads.items():
        words = said[sign.feedback].text if sign.feedback and sign.feedback in said else None
        failure = keeper.failure(sign, known.get(i), words)
        if failure is None:
            continue
        if failure.id in failures or keeper.ledger.get(Failure, failure.id) is not None:
            seen += 1
        elif len(failures) < room:
            failures[failure.id] = failure
    result = keeper.keep(list(failures.values()))
    left = max(0, total - len(result.captured) - seen)
    count = RuleCount(rule=rule, captured=len(result.captured), known=seen + len(result.known), left_out=left)
    return count, (*taken, *result.captured)


def start_of(key: str) -> int:
    """When a day begins: microseconds since 1970."""
    return int(np.datetime64(key[:10], "us").astype(np.int64))
