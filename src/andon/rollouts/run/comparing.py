"""Compare two arms of live traffic and write the decision."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from andon.errors import InputError
from andon.rollouts.compare import Comparison, compare
from andon.rollouts.records import Arm, Decision
from andon.scores import LABELS, SCORERS, Scorer
from andon.scores.rows import PROBE
from andon.store import Histogram, Ledger, Rollup, Span, Warehouse, Where
from andon.traffic import VERSIONS, quoted

__all__ = ["Metric", "compare_arms", "cut_of", "known_metric"]

_WORST = 0.2
"""Share of the control that counts as harmed on a metric that is a number: its worst fifth."""


class Metric(NamedTuple):
    """How a metric is read as harm."""

    name: str
    kind: Literal["binary", "number"]
    up_is_bad: bool


def compare_arms(
    warehouse: Warehouse,
    ledger: Ledger,
    *,
    app: str,
    metric: str,
    by: str,
    control: str,
    treatment: str,
    span: Span,
    now_us: int,
    environment: str = "production",
    planned_share: float | None = 0.5,
    margin: float = 0.02,
    alpha: float = 0.05,
    scorers: Sequence[Scorer] = SCORERS,
) -> Decision:
    """Compare the interactions of an app whose field `by` is `treatment` with those where it is `control`.

    A rate harms at its bad value; a number harms in the worst fifth of the control (read from log bins, so "a fifth" is
    the largest share of whole bins that is not above it). A metric that may harm both ways is read upward. Each scored
    row counts as the fraction that its sampling weight is of the greatest one, so that arms have the rates of the traffic.

    Args:
        warehouse: Holds the table ``scores``.
        ledger: Gets the decision; asking the same again at the same time writes nothing new.
        app: The application.
        metric: A scorer's metric or one that people give (``thumbs``).
        by: ``arm`` or a version field, e.g. ``prompt_version``.
        control: Value of `by` that is in place.
        treatment: Value of `by` that asks to replace it.
        span: Event time to look at.
        now_us: Time of the decision.
        environment: Where the interactions come from; those of probes never count.
        planned_share: Planned share of the treatment among both; None when nobody planned a split.
        margin: Largest acceptable increase of harm.
        alpha: Two-sided error rate.
        scorers: The scorers whose metrics are known.

    Raises:
        InputError: the metric or the field is unknown, or both arms have one name.
    """
    known = known_metric(metric, scorers)
    if by != "arm" and by not in VERSIONS:
        raise InputError(f"by={quoted(by)} is not a field that tells arms apart; arm, {', '.join(VERSIONS)} are")
    if control == treatment:
        raise InputError(f"control and treatment are both {quoted(control)}; name two values of {by}")
    where = (
        Where(column="app", op="eq", value=app), Where(column="environment", op="eq", value=environment),
        Where(column="source", op="ne", value=PROBE), Where(column=by, op="in", value=(control, treatment)),
    )  # fmt: skip
    counts = (_rate_counts if known.kind == "binary" else _number_counts)(warehouse, known, by, control, span, where)
    arms = [
        Arm(name=name, n=n, events=events) for name in (control, treatment) for n, events in (counts.get(name, (0, 0)),)
    ]
    result = compare(arms[0], arms[1], planned_share=planned_share, margin=margin, alpha=alpha)
    question = repr((app, environment, metric, by, control, treatment, span, now_us, planned_share, margin, alpha))
    ledger.put(decision := _decision(question, now_us, app, metric, arms, result), now_us=now_us, by="rollouts")
    return decision


def _decision(question: str, now_us: int, app: str, metric: str, arms: Sequence[Arm], result: Comparison) -> Decision:
    return Decision(
        id=f"DEC-{hashlib.sha256(question.encode()).hexdigest()[:10]}",
        at_us=now_us,
        app=app,
        metric=metric,
        control=arms[0],
        treatment=arms[1],
        **result._asdict(),
    )


def known_metric(name: str, scorers: Sequence[Scorer]) -> Metric:
    """A metric that is measured or that people give; one that may harm both ways is read upward.

    Raises:
        InputError: it is neither.
    """
    for scorer in scorers:
        if scorer.name == name:
            return Metric(name, scorer.kind, scorer.bad != "down")
    if name in LABELS:
        kind, bad = LABELS[name][:2]
        return Metric(name, "number" if kind == "rating" else "binary", bad != "down")
    raise InputError(
        f"{quoted(name)} is not a metric; the metrics are {', '.join([s.name for s in scorers] + list(LABELS))}"
    )


def _rate_counts(
    warehouse: Warehouse, metric: Metric, by: str, _: str, span: Span, where: tuple[Where, ...]
) -> dict[str, tuple[int, int]]:
    metrics = (metric.name, "weight")
    rows = warehouse.run(Rollup(table="scores", metrics=metrics, keys=(by,), span=span, where=where))
    unit = max(rows["weight.max"].to_pylist(), default=None) or 1.0
    columns = (rows.column(c).to_pylist() for c in (by, f"{metric.name}.w", f"{metric.name}.wsum"))
    counts: dict[str, tuple[int, int]] = {}
    for arm, w, total in zip(*columns, strict=True):
        n, ones = round(w / unit), round((total or 0.0) / unit)
        counts[arm] = (n, ones if metric.up_is_bad else n - ones)
    return counts


def _number_counts(
    warehouse: Warehouse, metric: Metric, by: str, control: str, span: Span, where: tuple[Where, ...]
) -> dict[str, tuple[int, int]]:
    valued = (*where, Where(column=metric.name, op="not_null"))
    plan = Histogram(table="scores", metric=metric.name, keys=(by, "weight"), span=span, where=valued)
    columns = [warehouse.run(plan).column(c).to_pylist() for c in (by, "bin", "n", "weight")]
    unit = max((w or 1.0 for w in columns[3]), default=1.0)
    bins: dict[str, dict[int, float]] = {}
    for arm, index, n, w in zip(*columns, strict=True):
        counted = bins.setdefault(arm, {})
        counted[index] = counted.get(index, 0.0) + n * (w or 1.0) / unit
    sign = 1 if metric.up_is_bad else -1
    cut = cut_of(bins.get(control, {}), sign)
    return {
        arm: (round(sum(of.values())), round(sum(n for k, n in of.items() if cut is not None and sign * k > cut)))
        for arm, of in bins.items()
    }


def cut_of(bins: Mapping[int, float], sign: int) -> int | None:
    """Signed bin beyond which at most the worst share of the control lies: strictly beyond it is harm."""
    room = _WORST * sum(bins.values())
    for index in sorted(bins, key=lambda i: -sign * i):
        room -= bins[index]
        if room < 0:
            return sign * index
    return None
