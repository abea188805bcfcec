"""An incident that a person reported: which metric shows it, if any does, as a signal that no chart gave."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from andon.incidents import Incident, Report
from andon.incidents.triage import WORST_FIRST
from andon.investigations.run.case import DAY_US
from andon.monitors import Signal, watched
from andon.monitors.records import SOFT
from andon.monitors.run import harm_of, scope_of
from andon.monitors.series import Metric, metrics_of
from andon.scores import Harm, Scorer, failing
from andon.scores.rows import PROBE
from andon.store import Ledger, Rollup, Slice, Span, Warehouse, Where
from andon.traffic import Interaction
from andon.traffic.run import read_interactions_by_id

__all__ = ["Lens", "counted", "lens_of", "reported_interaction"]

LATELY_US = 7 * DAY_US
BEFORE_US = 28 * DAY_US
"""The rate of the last seven days is held against the 28 days before them."""

ALIKE = ("risk_category", "task")
"""Segments in which interactions are similar to the reported one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lens:
    """What stands in place of a leading signal."""

    signal: Signal
    """As a chart would have given it; its figures are empty, and its onset is any time of the last seven days."""
    interaction: Interaction | None
    """The reported one; None where none is named or found."""
    value: float | None
    """What the metric says of it; None where no metric fails on it."""
    missing: str
    """What is not known, and what to do about it; empty where nothing is."""


def reported_interaction(ledger: Ledger, incident: Incident) -> str | None:
    """The first interaction that a report of this incident names; None where none does."""
    mine = [r for r in ledger.all(Report) if r.incident == incident.id]
    return next((r.interaction_id for r in sorted(mine, key=lambda r: (r.at_us, r.id)) if r.interaction_id), None)


def lens_of(
    warehouse: Warehouse, ledger: Ledger, incident: Incident, scorers: Sequence[Scorer], *, now_us: int
) -> Lens:
    """How a reported incident is looked at: by the metric on which the reported interaction fails, else by thumbs down.

    Of several metrics it is the one of the worst class of harm, then the one that fails most rarely among similar
    interactions (same risk category and task). Nothing dates the onset, so every time of the last seven days is as likely.
    """
    name = reported_interaction(ledger, incident)
    found = read_interactions_by_id(warehouse, [name]) if name else []
    interaction = found[0] if found else None
    at_us = interaction.time_us if interaction is not None else incident.alarmed_us
    start = min(now_us - LATELY_US, at_us)
    before = Span(start_us=start - BEFORE_US, end_us=start)
    scope = {k: v for k in ALIKE if (v := getattr(interaction, k, None)) is not None}
    missing = ""
    if name is None:
        missing = "the report names no interaction, so nothing says what failed; report again with the id of the answer"
    elif interaction is None:
        missing = f"the reported interaction {name!r} is not in the tables: not sent, sampled out, expired or erased"
    choice = _failing(warehouse, incident, interaction, scorers, scope, before) if interaction is not None else None
    metric, direction, harm, value = choice or ("thumbs", "down", "usefulness", None)
    if interaction is not None and choice is None:
        missing = "no metric fails on the reported interaction: what is wrong with it is not measured; similar answers are judged by thumbs down"
    day = tuple((at, 1 / 7) for at in range(start, start + LATELY_US, DAY_US))
    signal = Signal(
        id=f"{incident.id}@report", monitor="", app=incident.app, environment=incident.environment, metric=metric,
        direction=direction, scope=scope, harm=harm, at_us=incident.alarmed_us, window_us=300_000_000, x=0, n=1,
        baseline_x=0, baseline_n=1, baseline_from_us=before.start_us, baseline_to_us=before.end_us, statistic=0.0,
        threshold=0.0, onset_us=start, onset_low_us=start, onset_high_us=max(now_us, start + 1), onset_probability=day,
        rule="report",
    )  # fmt: skip
    signal = counted(warehouse, signal, before, Span(start_us=start, end_us=max(now_us, start + 1)))
    return Lens(signal=signal, interaction=interaction, value=value, missing=missing)


def counted(warehouse: Warehouse, signal: Signal, before: Span, since: Span) -> Signal:
    """The signal with harm and traffic before and since."""
    counts = []
    for span in (before, since):
        for extra in ((harm_of(signal),), ()):
            where = (*scope_of(signal), Where(column=signal.metric, op="not_null"), *extra)
            plan = Rollup(table="scores", metrics=(signal.metric,), measures=("w",), span=span, where=where)
            counts.append(round(warehouse.run(plan)[f"{signal.metric}.w"][0].as_py() or 0))
    x0, n0, x, n = counts
    return replace(signal, x=x, n=max(1, n), baseline_x=x0, baseline_n=max(1, n0))


def _failing(
    warehouse: Warehouse,
    incident: Incident,
    interaction: Interaction,
    scorers: Sequence[Scorer],
    scope: Mapping[str, str],
    before: Span,
) -> tuple[str, str, Harm, float] | None:
    """(metric, direction, harm, value) on which the interaction fails; None where it fails on none."""
    known = set(warehouse.schema("scores").names)
    metrics = [m for m in metrics_of(scorers) if m.kind == "binary" and m.name in known and m.name not in SOFT]
    names = tuple(m.name for m in metrics)
    near = Span(start_us=interaction.time_us, end_us=max(interaction.time_us, incident.alarmed_us) + BEFORE_US)
    me = (Where(column="interaction_id", op="eq", value=interaction.id),)
    values: dict[str, float] = {}
    for row in warehouse.run(Slice(table="scores", columns=names, span=near, where=me)).to_pylist():
        values |= {k: v for k, v in row.items() if v is not None}
    pairs = {"app": incident.app, "environment": incident.environment, **scope}
    where = (
        *(Where(column=k, op="eq", value=v) for k, v in pairs.items()),
        Where(column="source", op="ne", value=PROBE),
    )
    usual = warehouse.run(
        Rollup(table="scores", metrics=names, measures=("w", "wsum"), span=before, where=where)
    ).to_pylist()[0]
    candidates = []
    for m in metrics:
        for direction in m.directions:
            rate = _rate(usual, m, direction)
            op, bound = failing("binary", direction, None)
            fails = m.name in values and (values[m.name] >= bound if op == "ge" else values[m.name] < bound)
            if fails and (rate is None or rate <= 0.5) and watched(m.name, direction, tuple(scope.items())):
                harm = m.harm_of(direction)
                candidates.append((WORST_FIRST.index(harm), rate or 0.0, m.name, direction, harm))
    if not candidates:
        return None
    _, _, metric, direction, harm = min(candidates)
    return metric, direction, harm, values[metric]


def _rate(usual: Mapping[str, float | None], m: Metric, direction: str) -> float | None:
    """Rate of harm among similar interactions before; None where there were none and only one direction can harm.

    Of a metric that may harm both ways, each value is harm in one of them; without a time before, none of it is.
    """
    n, ones = usual[f"{m.name}.w"] or 0.0, usual[f"{m.name}.wsum"] or 0.0
    if not n:
        return None if len(m.directions) == 1 else 1.0
    return ones / n if direction == "up" else 1 - ones / n
