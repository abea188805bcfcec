"""Absolute limits beside the statistical ones, and which charts are watched: what `andon.toml` and OpenSLO files say.

A chart asks whether harm became more frequent than it was; an objective says how frequent it may ever be. An objective
raises no alarm here: the detector takes its limit as a baseline. What stands here is what was written, and what a sample
shows about a limit.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from andon.errors import InputError
from andon.monitors.openslo import Documents, SloRow, slo_rows
from andon.monitors.records import TRAFFIC
from andon.monitors.series import Metric, metrics_of, watched
from andon.monitors.tables import keys_of, number, text
from andon.monitors.verdicts import (
    GREATEST_LIMIT,
    LEAST_LIMIT,
    ErrorBudget,
    LimitVerdict,
    clean_sample,
    error_budget,
    percent,
    valid_limit,
    verdict,
)
from andon.scores import SCORERS, Scorer
from andon.settings import HIGH_RISK, Settings, is_high_risk
from andon.traffic import SEGMENTS, quoted
from andon.traffic.retention import retention

__all__ = [
    "BEYOND",
    "BUDGET_WINDOW_S",
    "FILE",
    "HIGH_RISK",
    "ErrorBudget",
    "LimitVerdict",
    "MonitorRule",
    "Objective",
    "aspect_of",
    "check_config",
    "clean_sample",
    "error_budget",
    "matching",
    "objectives_of",
    "objectives_of_openslo",
    "rule_for",
    "rules_of",
    "verdict",
]

FILE = "andon.toml"
BUDGET_WINDOW_S = 30 * 86_400
"""Window of an error budget where nothing else is said."""

HIGH_RISK_WEIGHT = 4.0
"""Charts of these risk categories get four times the share of the false pages that another chart gets."""

LIGHTEST, HEAVIEST = 0.001, 1000.0

BEYOND = "beyond "
"""Aspect of a number metric that has an objective: the share of values beyond its bound, which stands behind it."""

Scope = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """How frequent harm may be at most, on one metric, in one part of the traffic."""

    name: str
    app: str | None = None
    """None: every application."""
    environment: str | None = None
    metric: str
    direction: Literal["up", "down"]
    """``up``: high values harm. ``down``: low values harm."""
    scope: Scope = ()
    """The part of the traffic, as (field, value) pairs in the order of `andon.traffic.SEGMENTS`; empty is all of it."""
    at_most: float
    """The largest acceptable rate of harm, 1e-6 to 0.999."""
    beyond: float | None = None
    """For a number metric: one interaction is harm from this value on (``up``), or below it (``down``)."""
    window_s: int = BUDGET_WINDOW_S
    """Length of the rolling window of its error budget."""
    source: str
    """Where it was written: file and key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorRule:
    """What an operator said about charts. None says nothing, and matches everything."""

    app: str | None = None
    environment: str | None = None
    metric: str | None = None
    direction: str | None = None
    scope: Scope = ()
    """The rule holds for every chart within this part of the traffic."""
    watch: bool | None = None
    weight: float | None = None
    """How large the chart's share of the false pages is, where an ordinary chart has 1."""
    source: str


def objectives_of(
    tables: Mapping[str, Any], scorers: Sequence[Scorer] = SCORERS, file: str = FILE
) -> tuple[Objective, ...]:
    """All objectives of a configuration: the tables ``[[objective]]``, then those of its OpenSLO documents.

    Args:
        tables: `Settings.tables`; under ``openslo`` the documents, not the paths.
        scorers: what is measured; the metrics that people give are known too.
        file: how messages call the file.

    Raises:
        InputError: something is not understood; names file, entry and key.
    """
    metrics = {m.name: m for m in metrics_of(scorers)}
    found = [_objective(row, place, metrics) for place, row in _entries(tables, "objective", file)]
    found += objectives_of_openslo(tables.get("openslo", ()), scorers)
    first: dict[str, Objective] = {}
    for objective in found:
        other = first.setdefault(objective.name, objective)
        if other is not objective:
            raise InputError(f"{objective.source}: name = {quoted(objective.name)} is that of {other.source} too")
    return tuple(found)


def objectives_of_openslo(documents: Documents, scorers: Sequence[Scorer] = SCORERS) -> tuple[Objective, ...]:
    """The objectives of OpenSLO v1 documents (kinds SLO and SLI).

    The indicator's ``metricSource`` has the type ``andon`` and the spec ``{metric, app, environment, where}``. A
    ``ratioMetric`` counts interactions whose metric is 1, as ``good`` or ``bad``; a ``thresholdMetric`` is put to a number.

    Args:
        documents: pairs of a place (``slo/medical.yaml, document 1``) and the parsed document.
        scorers: what is measured.

    Raises:
        InputError: something is not understood; names file, document and key.

    Source: OpenSLO specification, ``openslo/v1``. Different here: `andon.monitors.openslo` says what is refused.
    """
    metrics = {m.name: m for m in metrics_of(scorers)}
    return tuple(_of_slo(row, metrics) for row in slo_rows(documents))


def rules_of(
    tables: Mapping[str, Any], scorers: Sequence[Scorer] = SCORERS, file: str = FILE
) -> tuple[MonitorRule, ...]:
    """The tables ``[[monitor]]`` of a configuration, in their order; `TRAFFIC` is a metric here too.

    Raises:
        InputError: something is not understood; names file, entry and key.
    """
    metrics = {m.name: m for m in (*metrics_of(scorers), Metric(TRAFFIC, "number", "both", "availability"))}
    return tuple(_rule(row, place, metrics) for place, row in _entries(tables, "monitor", file))


def aspect_of(beyond: float | None) -> str:
    """The aspect of charts that an objective with this bound limits: ``beyond 10``, every digit of it; empty for a rate."""
    return "" if beyond is None else f"{BEYOND}{_exact(beyond)}"


def matching(
    objectives: Iterable[Objective], app: str, environment: str, metric: str, direction: str, scope: Scope
) -> tuple[Objective, ...]:
    """The objectives that limit exactly this chart, the strictest first."""
    found = [
        o
        for o in objectives
        if (o.metric, o.direction) == (metric, direction)
        and o.app in (None, app)
        and o.environment in (None, environment)
        and dict(o.scope) == dict(scope)
    ]
    return tuple(sorted(found, key=lambda o: (o.at_most, o.name)))


def rule_for(
    rules: Iterable[MonitorRule], app: str, environment: str, metric: str, direction: str, scope: Scope
) -> tuple[bool, float]:
    """Whether a chart is watched, and its weight; of the rules that hold for it the last that says it counts.

    A rule holds for every chart within its part of the traffic: one for ``task = "chat"`` also for the pair of that task
    and a risk category. Without a rule a chart is watched, with weight 4 where its risk category is high, critical or
    unacceptable, else 1.
    """
    high = is_high_risk(dict(scope).get("risk_category"))
    watch, weight = True, HIGH_RISK_WEIGHT if high else 1.0
    for rule in rules:
        pairs = ((rule.app, app), (rule.environment, environment), (rule.metric, metric), (rule.direction, direction))
        if all(said in (None, value) for said, value in pairs) and set(rule.scope) <= set(scope):
            watch = watch if rule.watch is None else rule.watch
            weight = weight if rule.weight is None else rule.weight
    return watch, weight


def check_config(settings: Settings, scorers: Sequence[Scorer] = SCORERS) -> list[str]:
    """What was understood of a configuration, in lines: how many objectives and rules, and each of them.

    Raises:
        ConfigError: how long tables keep their rows is not understood.
        InputError: an objective or a rule is not understood; names file, entry and key.
    """
    retention(settings.retention)
    objectives = objectives_of(settings.tables, scorers, settings.config)
    rules = rules_of(settings.tables, scorers, settings.config)
    lines = [f"{len(objectives)} objective{'' if len(objectives) == 1 else 's'}"]
    for o in objectives:
        beyond = "" if o.beyond is None else f" {'from' if o.direction == 'up' else 'below'} {_exact(o.beyond)}"
        what = f"harm by {o.metric} ({'high' if o.direction == 'up' else 'low'}{beyond})"
        least = f"a clean sample must have {clean_sample(o.at_most):,} interactions to show it"
        where = f"{_part(o.scope)} of {_whose(o.app, o.environment)}"
        lines.append(f"  {o.name}: {what} at most {percent(o.at_most, 6)} in {where}; {least} ({o.source})")
    lines.append(f"{len(rules)} monitor rule{'' if len(rules) == 1 else 's'}")
    for r in rules:
        said = [*(() if r.watch is None else (f"watch = {str(r.watch).lower()}",))]
        said += [] if r.weight is None else [f"weight = {r.weight:g}"]
        charts = f"charts of {r.metric or 'every metric'}" + (f" ({r.direction})" if r.direction else "")
        lines.append(
            f"  {', '.join(said)}: {charts} in {_part(r.scope)} of {_whose(r.app, r.environment)} ({r.source})"
        )
    return lines


def _exact(value: float) -> str:
    """A number with every digit that it has: ``2``, ``0.5``, ``1234567``."""
    return repr(float(value)).removesuffix(".0")


def _part(scope: Scope) -> str:
    return ", ".join(f"{k} {quoted(v)}" for k, v in scope) or "all traffic"


def _whose(app: str | None, environment: str | None) -> str:
    whose = "every application" if app is None else quoted(app)
    return whose if environment is None else f"{whose} in {quoted(environment)}"


def _entries(tables: Mapping[str, Any], kind: str, file: str) -> list[tuple[str, Any]]:
    rows = tables.get(kind, [])
    if not isinstance(rows, list):
        raise InputError(f"{file}: {kind} = {quoted(rows)} must be a list of tables: write [[{kind}]]")
    return [(f"{file}, {kind} {i}", row) for i, row in enumerate(rows, 1)]


def _objective(row: Any, place: str, metrics: Mapping[str, Metric]) -> Objective:
    keys = ("name", "metric", "at_most", "where", "beyond", "direction", "app", "environment")
    row = keys_of(row, place, keys, ("name", "metric", "at_most"))
    name = text(row, "name", place) or ""
    metric, scope = _metric(row, place, metrics), _scope(row, place)
    return Objective(
        name=name,
        app=text(row, "app", place),
        environment=text(row, "environment", place),
        metric=metric.name,
        direction=_direction(row, place, metric, scope),
        scope=scope,
        at_most=_limit(number(row, "at_most", place), f"{place}: at_most"),
        beyond=_beyond(row, place, metric),
        source=place,
    )


def _of_slo(row: SloRow, metrics: Mapping[str, Metric]) -> Objective:
    metric, scope = _metric(row.measure, row.place, metrics), _scope(row.measure, row.place)
    if metric.kind != row.kind:
        needed = "a ratioMetric" if metric.kind == "binary" else "a thresholdMetric with op and value"
        raise InputError(f"{row.place}: metric = {quoted(metric.name)} is a {metric.kind} metric, which needs {needed}")
    if row.direction not in metric.directions:
        asked = "bad (failure, lte, lt)" if row.direction == "down" else "good (success, gte, gt)"
        raise InputError(f"{row.place}: metric = {quoted(metric.name)} {_harms(metric)}; use it with {asked}")
    _must_be_watched(metric.name, row.direction, scope, row.place)
    return Objective(
        name=row.name,
        app=text(row.measure, "app", row.place),
        environment=text(row.measure, "environment", row.place),
        metric=metric.name,
        direction=row.direction,
        scope=scope,
        at_most=_limit(row.at_most, f"{row.source}: what the target leaves,"),
        beyond=row.beyond,
        window_s=row.window_s or BUDGET_WINDOW_S,
        source=row.source,
    )


def _rule(row: Any, place: str, metrics: Mapping[str, Metric]) -> MonitorRule:
    row = keys_of(row, place, ("metric", "direction", "where", "app", "environment", "watch", "weight"))
    metric = _metric(row, place, metrics) if row.get("metric") is not None else None
    direction = row.get("direction")
    allowed = ("up", "down") if metric is None else metric.directions
    if direction is not None and direction not in allowed:
        raise InputError(f"{place}: direction = {quoted(direction)} must be {' or '.join(allowed)}, or be left out")
    watch, weight = row.get("watch"), number(row, "weight", place)
    if watch is None and weight is None:
        raise InputError(f"{place}: watch and weight are missing; say one, or leave the table out")
    if watch is not None and not isinstance(watch, bool):
        raise InputError(f"{place}: watch = {quoted(watch)} must be true or false")
    if weight is not None and (watch is False or not LIGHTEST <= weight <= HEAVIEST):
        why = "means nothing with watch = false" if watch is False else f"must be {LIGHTEST} to {HEAVIEST:g}"
        raise InputError(f"{place}: weight = {weight:g} {why}; watch = false switches a chart off")
    return MonitorRule(
        app=text(row, "app", place),
        environment=text(row, "environment", place),
        metric=None if metric is None else metric.name,
        direction=direction,
        scope=_scope(row, place),
        watch=watch,
        weight=weight,
        source=place,
    )


def _metric(row: Mapping[str, Any], place: str, metrics: Mapping[str, Metric]) -> Metric:
    name = row["metric"]
    if not isinstance(name, str) or name not in metrics:
        raise InputError(f"{place}: metric = {quoted(name)} is not measured; there are {', '.join(metrics)}")
    return metrics[name]


def _scope(row: Mapping[str, Any], place: str) -> Scope:
    where = keys_of({} if row.get("where") is None else row["where"], f"{place}, where", SEGMENTS)
    said = [(k, text(where, k, f"{place}, where")) for k in SEGMENTS]
    scope = tuple((k, value) for k, value in said if value is not None)
    if len(scope) > 2:
        raise InputError(
            f"{place}: where names {', '.join(k for k, _ in scope)}; parts of the traffic are watched by at most two"
        )
    return scope


def _direction(row: Mapping[str, Any], place: str, metric: Metric, scope: Scope) -> Literal["up", "down"]:
    said = row.get("direction")
    if said is None and len(metric.directions) > 1:
        raise InputError(f"{place}: direction is missing: {metric.name} {_harms(metric)}; say which is limited")
    if said is not None and said not in metric.directions:
        raise InputError(f"{place}: direction = {quoted(said)}, but {metric.name} {_harms(metric)}")
    direction: Literal["up", "down"] = "up" if (said or metric.directions[0]) == "up" else "down"
    _must_be_watched(metric.name, direction, scope, place)
    return direction


def _harms(metric: Metric) -> str:
    words = {"up": "when it is high (up)", "down": "when it is low (down)"}
    return f"harms {' and '.join(words[d] for d in metric.directions)}"


def _must_be_watched(metric: str, direction: str, scope: Scope, place: str) -> None:
    if not watched(metric, direction, scope):
        raise InputError(
            f"{place}: where = {_part(scope)} is not watched for {metric} ({direction}): it is no harm there"
        )


def _beyond(row: Mapping[str, Any], place: str, metric: Metric) -> float | None:
    beyond = number(row, "beyond", place)
    if metric.kind == "binary" and beyond is not None:
        raise InputError(f"{place}: beyond = {beyond:g} means nothing: {metric.name} is 0 or 1; leave it out")
    if metric.kind == "number" and beyond is None:
        raise InputError(
            f"{place}: beyond is missing: {metric.name} is a number; say from which value on one interaction is harm"
        )
    return beyond


def _limit(value: float | None, what: str) -> float:
    if value is None or not valid_limit(value):
        raise InputError(
            f"{what} = {quoted(value)} must be a rate from {LEAST_LIMIT:g} to {GREATEST_LIMIT}; 0.001 is 0.1 %, and no sample shows 0"
        )
    return value
