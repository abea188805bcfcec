"""Question 3, read from the tables: isolated or systematic, in which part of the traffic, and who was hit?"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import prod

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from andon.investigations.records import HarmedSlice, Impact
from andon.investigations.run.case import Case, figures_of
from andon.investigations.scope import Limit, Users, Verdict, isolated_or_systematic
from andon.investigations.slices import Cells, find_slices, group_rows
from andon.monitors import Objective
from andon.scores.rows import TOPIC
from andon.store import Rollup, Span, Where
from andon.traffic import SEGMENTS, VERSIONS

__all__ = ["impact_of", "parts_of", "slices_of", "totals", "verdict_of"]

FIELDS = tuple(dict.fromkeys((*SEGMENTS, *VERSIONS, TOPIC)))
"""What a slice can be named by."""

SAMPLED_BY = "risk_category"
"""The field that says how much of the traffic is kept (`andon.traffic.sampling`)."""

MOST_VALUES = 300
"""A field with more values than this is no kind of traffic."""

MOST_CELLS = 300_000
"""Combinations of values that one scan looks at: about five seconds of work. The widest fields are left out first."""


def totals(case: Case) -> list[float]:
    """Harm and traffic before the onset, since it, and in the last tenth of the time since it, kept as evidence."""
    start, end = case.after.start_us, case.after.end_us
    lately = Span(start_us=max(start, end - max(case.signal.window_us, (end - start) // 10)), end_us=end)
    numbers = []
    for name, span in (("before the onset", case.before), ("since the onset", case.after), ("lately", lately)):
        for what, extra in (("harmed interactions", (case.harm,)), ("interactions", ())):
            numbers.append(_kept(case, f"{what} {name}", span, *extra))
    return numbers


def _kept(case: Case, claim: str, span: Span, *extra: Where) -> float:
    metric = case.signal.metric
    where = (*case.scope, *extra)
    plan = Rollup(table="scores", metrics=(metric,), measures=("n", "w"), span=span, where=where)
    figures = figures_of(case.warehouse, plan)
    case.keep(claim, plan, figures)
    return figures[f"{metric}.w"]


def verdict_of(
    case: Case, x0: float, n0: float, x2: float, n2: float, objectives: Iterable[Objective] = ()
) -> tuple[Verdict, str]:
    """Systematic, isolated or undecided, with the reason.

    The limit is that of the objective of this part of the traffic, else of a larger part that holds it (its risk category);
    where none is set, the rate before. An objective of a part within (one risk category of all traffic) is tested as well:
    harm that breaks one of them is systematic there.

    Args:
        case: the affected traffic.
        x0: harm before (sum of sampling weights).
        n0: interactions before.
        x2: harm since the onset.
        n2: interactions since.
        objectives: all that are set.
    """
    unit, users, scope = case.unit(), _users(case), set(case.signal.scope.items())
    mine = [o for o in objectives if _limits(case, o)]
    around = sorted((o for o in mine if set(o.scope) <= scope), key=lambda o: (-len(o.scope), o.at_most, o.name))
    limit = (
        Limit(rate=around[0].at_most, source=f"objective {around[0].name}")
        if around
        else Limit(rate=(x0 / unit + 0.5) / (n0 / unit + 1), counted=(round(x0 / unit), round(n0 / unit)))
    )
    verdict, reason = isolated_or_systematic(round(x2 / unit), round(n2 / unit), limit, users=users)
    for o in (o for o in mine if set(o.scope) > scope):
        part = tuple(Where(column=k, op="eq", value=v) for k, v in o.scope)
        x, n = case.count(case.after, case.harm, *part), case.count(case.after, *part)
        found, text = isolated_or_systematic(
            round(x / unit), round(n / unit), Limit(rate=o.at_most, source=f"objective {o.name}"), users=users
        )
        if found == "systematic":
            where = ", ".join(f"{k} {v}" for k, v in o.scope)
            reason = f"{reason}; in {where}: {text}" if verdict == found else f"in {where}: {text}; in all: {reason}"
            verdict = found
    return verdict, reason


def _limits(case: Case, o: Objective) -> bool:
    """Whether an objective is about this metric of this application, counted as the signal counts harm."""
    s = case.signal
    return (
        (o.metric, o.direction) == (s.metric, s.direction)
        and o.app in (None, s.app)
        and o.environment in (None, s.environment)
        and (s.kind == "binary" or o.beyond == s.cut)
    )


def _users(case: Case) -> Users | None:
    """Who was hit since the onset; sessions where no user is named, None where neither is."""
    unit = case.unit()
    for key, name in (("user_id", "users"), ("session_id", "sessions")):
        n, x = case.rollup((key,), case.after), case.rollup((key,), case.after, case.harm)
        if n[key].null_count == n.num_rows:
            continue
        among, harmed = _weights(n, case.signal.metric) / unit, _weights(x, case.signal.metric) / unit
        named, hit = _there(n[key]), _there(x[key])
        per_user = np.zeros(int(named.sum()))
        at = pc.index_in(x[key].filter(pa.array(hit)), n[key].filter(pa.array(named)).combine_chunks())
        per_user[at.to_numpy()] = harmed[hit]
        alone_x, alone_n = float(harmed[~hit].sum()), float(among[~named].sum())
        return Users(x=per_user, n=among[named], alone_x=alone_x, alone_n=alone_n, name=name)
    return None


def _weights(table: pa.Table, metric: str) -> NDArray[np.float64]:
    found: NDArray[np.float64] = table[f"{metric}.w"].to_numpy()
    return found


def _there(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = pc.is_valid(column).to_numpy()
    return found


def parts_of(case: Case) -> list[tuple[str, str, int, int, int, int]]:
    """Harm before and after by each value of each segment and version field; a value that all traffic has tells nothing."""
    cells, after = _cells(case), _values(case)
    rows = [row for name in cells.fields if name != TOPIC for row in _marginal(cells, name)]
    rest = [n for n, values in after.items() if n not in (*cells.fields, TOPIC) and values != {None}]
    alone = [name for name in rest if len(after[name]) == 1]
    before = _together(case, alone)
    for name in rest:
        n1 = before[name] if name in before else case.by(name, case.before)
        if len({*after[name], *n1} - {None}) > 1:
            rows += _rows_by(case, name, n1)
    return sorted(rows, key=lambda row: FIELDS.index(row[0]))


def _values(case: Case) -> dict[str, set[str | None]]:
    """The values since the onset of each field by which the traffic can be parted."""
    return {
        name: set(case.rollup((name,), case.after)[name].to_pylist())
        for name in FIELDS
        if name not in case.signal.scope
    }


def _marginal(cells: Cells, name: str) -> list[tuple[str, str, int, int, int, int]]:
    """The counts of each value of a field that interactions since the onset have."""
    f = cells.fields.index(name)
    code = cells.codes[:, f]
    sums = [
        np.bincount(code + 1, side, len(cells.values[f]) + 1)[1:]
        for side in (cells.before_x, cells.before_n, cells.after_x, cells.after_n)
    ]
    x1, n1, x2, n2 = ([round(v) for v in side.tolist()] for side in sums)
    return [(name, v, x1[k], n1[k], x2[k], n2[k]) for k, v in enumerate(cells.values[f]) if sums[3][k] > 0]


def _together(case: Case, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Interactions before by value of several fields that move rarely, in one pass over the traffic."""
    if not names:
        return {}
    table = case.rollup(tuple(names), case.before)
    found: dict[str, dict[str, float]] = {name: {} for name in names}
    for name in names:
        for value, w in zip(table[name].to_pylist(), _weights(table, case.signal.metric).tolist(), strict=True):
            if value is not None:
                found[name][value] = found[name].get(value, 0.0) + w
    return found


def _rows_by(case: Case, name: str, n1: dict[str, float]) -> list[tuple[str, str, int, int, int, int]]:
    x1, x2 = case.by(name, case.before, case.harm), case.by(name, case.after, case.harm)
    least, greatest = case.sampled()
    units = {} if least == greatest else case.units(name)
    rows = []
    for value, n2 in case.by(name, case.after).items():
        counts = (x1.get(value, 0), n1.get(value, 0), x2.get(value, 0), n2)
        a, b, c, d = (round(count / units.get(value, greatest)) for count in counts)
        rows.append((name, value, a, b, c, d))
    return rows


def slices_of(case: Case) -> tuple[HarmedSlice, ...]:
    """The parts of up to three attributes that carry the harm, the surest first, with the figures of each as evidence."""
    baseline = (case.signal.baseline_x + 0.5) / (case.signal.baseline_n + 1)
    found = find_slices(_cells(case), baseline)
    for s in found:
        part = tuple(Where(column=k, op="eq", value=v) for k, v in s.where.items())
        name = ", ".join(f"{k} {v}" for k, v in s.where.items())
        _kept(case, f"harmed interactions since the onset in {name}", case.after, case.harm, *part)
        _kept(case, f"interactions since the onset in {name}", case.after, *part)
    return found


def _cells(case: Case) -> Cells:
    """Harm by each combination of values that occurs, by one roll-up of each side."""
    if case.cells is None:
        after = _values(case)
        varied = [name for name, values in after.items() if len(values - {None}) >= 2 and len(values) <= MOST_VALUES]
        fields = _fitting(varied, {name: len(after[name]) for name in varied}, case.count(case.after))
        # a version of which every value is new says nothing about the time before, and would only multiply its cells
        known = [name for name in fields if name not in VERSIONS or after[name] & set(case.by(name, case.before))]
        sides = [
            case.rollup(tuple(names), span, *extra)
            for names, span in ((known, case.before), (fields, case.after))
            for extra in ((case.harm,), ())
        ]
        case.cells = _in_units(case, _joined(fields, sides, case.signal.metric))
    return case.cells


def _fitting(names: Sequence[str], widths: dict[str, int], rows: float) -> list[str]:
    """The fields without the widest, until their combinations are few enough to be looked at."""
    kept = sorted(names, key=lambda name: (widths[name], name))
    while kept and min(prod(widths[name] for name in kept), rows) > MOST_CELLS:
        kept.pop()
    return [name for name in names if name in kept]


def _joined(fields: Sequence[str], sides: Sequence[pa.Table], metric: str) -> Cells:
    """Roll-ups of harm and traffic before and since as one set of cells; a field that one leaves out has no value there."""
    if not fields:
        nothing, codes = np.zeros(0), np.zeros((0, 0), np.int64)
        return Cells(
            fields=(), values=(), codes=codes, before_x=nothing, before_n=nothing, after_x=nothing, after_n=nothing
        )
    columns = [
        pa.concat_arrays(
            [
                side[name].combine_chunks() if name in side.column_names else pa.nulls(side.num_rows, pa.string())
                for side in sides
            ]
        ).dictionary_encode()
        for name in fields
    ]
    codes = np.stack([c.indices.fill_null(-1).to_numpy().astype(np.int64) for c in columns], axis=1)
    at = group_rows(codes)
    kinds = np.zeros((int(at.max(initial=-1)) + 1, len(fields)), np.int64)
    kinds[at] = codes
    places = np.split(at, np.cumsum([side.num_rows for side in sides])[:-1].tolist())
    before_x, before_n, after_x, after_n = (
        np.bincount(place, _weights(side, metric), len(kinds)).astype(np.float64)
        for place, side in zip(places, sides, strict=True)
    )
    return Cells(
        fields=tuple(fields),
        values=tuple(tuple(c.dictionary.to_pylist()) for c in columns),
        codes=kinds,
        before_x=before_x,
        before_n=before_n,
        after_x=after_x,
        after_n=after_n,
    )


def _in_units(case: Case, cells: Cells) -> Cells:
    """Sums of weights as the interactions that they are evidence for: each is divided by the greatest weight around it.

    That is the greatest of its risk category, for by that traffic is sampled. Not of its cell: a small cell that holds harm
    only, of which all was kept, would have a rate that its traffic never had.
    """
    least, greatest = case.sampled()
    units = np.full(len(cells.codes), greatest)
    if least != greatest and SAMPLED_BY in cells.fields:
        f = cells.fields.index(SAMPLED_BY)
        by = case.units(SAMPLED_BY)
        units = np.array([*(by.get(v, greatest) for v in cells.values[f]), greatest])[cells.codes[:, f]]
    return replace(
        cells,
        before_x=cells.before_x / units,
        before_n=cells.before_n / units,
        after_x=cells.after_x / units,
        after_n=cells.after_n / units,
    )


def impact_of(case: Case, baseline: float, x2: float, n2: float, *, lately: float | None) -> Impact:
    """Who was hit since the onset, and who again and again."""
    metric = case.signal.metric
    counts = {}
    for key in ("user_id", "session_id"):
        where = (*case.scope, case.harm, Where(column=key, op="not_null"))
        plan = Rollup(table="scores", metrics=(metric,), measures=("n",), keys=(key,), span=case.after, where=where)
        counts[key] = case.warehouse.run(plan)[f"{metric}.n"].to_numpy()
    users = counts["user_id"]
    return Impact(
        n=round(n2),
        harmed=round(x2),
        excess=round(max(0.0, x2 - n2 * baseline), 1),
        lately=lately,
        users=len(users) or None,
        sessions=len(counts["session_id"]) or None,
        again=int((users > 1).sum()) if len(users) else None,
        most=int(users.max()) if len(users) else None,
    )
