"""The rules in ``andon.toml`` by which levers are pulled, read strictly: what is not understood names file, entry and key.

Each entry ``[[pull]]`` has exactly one condition:

    [[pull]]
    name = "hold the model"
    lever = "model.version"
    by = "maria"                        # who wrote it, and stands for it
    for = "4h"
    signal = "refusal"                  # a chart of this metric pages
    where = {risk_category = "high"}    # in this part of the traffic
    # or: probe = "citations-weekly"                                        its bar is broken
    # or: metric = "error", above = 0.5, within = "5m", least = 20          circuit breaker
    # or: metric = "cost_usd", total = 500, within = "24h"                  budget
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from andon.errors import AndonError, InputError
from andon.evals.probes import Probe
from andon.incidents import duration, scope_text
from andon.levers.records import Lever, Version
from andon.levers.registry import check_environment, check_key, check_served, check_value, value_text
from andon.levers.rules import ANY_APP, LEAST, Breaker, Budget, OnProbe, OnSignal, PullRule, Scope
from andon.monitors import TRAFFIC
from andon.monitors.records import SOFT
from andon.monitors.series import Metric, all_metrics, metrics_of
from andon.monitors.tables import keys_of, number, text
from andon.monitors.verdicts import percent
from andon.scores import SCORERS, Scorer
from andon.traffic import SEGMENTS, quoted

__all__ = ["check_rules", "describe_rules", "pull_rules_of"]

_UNITS_S = {"m": 60, "h": 3600, "d": 86400}
_COMMON = ("name", "lever", "by", "for", "value", "trade_off", "exit", "environment")
_CONDITIONS = {
    "signal": ("signal", "where", "app"),
    "probe": ("probe",),
    "above": ("metric", "above", "within", "least", "where", "app"),
    "total": ("metric", "total", "within", "where", "app"),
}
"""The key that tells a condition -> all keys of that condition."""


def pull_rules_of(
    tables: Mapping[str, Any],
    probes: Iterable[Probe] = (),
    scorers: Sequence[Scorer] = SCORERS,
    file: str = "andon.toml",
    settle_s: int = 0,
) -> tuple[PullRule, ...]:
    """The rules of a configuration, in their order, which is their rank.

    Args:
        tables: the configuration.
        probes: that it has.
        scorers: whose metrics are measured.
        file: what errors name.
        settle_s: for how many seconds a trace is waited for: a breaker or budget that looks back less far than twice this sees nothing.

    Raises:
        InputError: an entry is not understood, names a metric or a probe that is not there, or a name that is taken, or looks back
            less far than traffic takes to come; names file, entry and key.
    """
    rows = tables.get("pull", [])
    if not isinstance(rows, list):
        raise InputError(f"{file}: pull = {quoted(rows)} must be a list of tables: write [[pull]]")
    known, found = {p.name: p for p in probes}, dict[str, PullRule]()
    for position, row in enumerate(rows, 1):
        rule = _rule(row, f"{file}, pull {position}", known, scorers)
        if rule.name in found:
            raise InputError(f"{rule.source}: name = {quoted(rule.name)} is taken by {found[rule.name].source}")
        if isinstance(rule.when, Breaker | Budget) and rule.when.within_s < 2 * settle_s:
            raise InputError(
                f"{rule.source}: within = {quoted(duration(rule.when.within_s))} is too short to see anything: a trace is counted {settle_s} s "
                f"after it came (settle_s); {duration(2 * settle_s)} or more is allowed, or set settle_s lower"
            )
        found[rule.name] = rule
    return tuple(found.values())


def check_rules(rules: Iterable[PullRule], levers: Iterable[Lever], versions: Sequence[Version] = ()) -> list[str]:
    """What would keep rules from pulling as things stand now, a sentence each; nothing where all could."""
    known, said = {x.id: x for x in levers}, []
    for rule in rules:
        lever = known.get(rule.lever)
        try:
            if lever is None:
                raise InputError(f"there is no lever {rule.lever}; declared: {', '.join(sorted(known)) or 'none yet'}")
            value = lever.safe if rule.value is None else check_value(lever, rule.value)
            check_served(lever, value, rule.environment, versions)
        except AndonError as error:
            said.append(f"{rule.source}: rule {quoted(rule.name, 100)} cannot pull: {error}")
    return said


def describe_rules(rules: Iterable[PullRule]) -> list[str]:
    """What was understood, a sentence for each rule."""
    return [
        f"{r.name}: {r.by} holds {r.lever} at {'its safe value' if r.value is None else quoted(value_text(r.value))} in "
        f"{r.environment} for {duration(r.hold_s)} when {_when(r)} ({r.source})"
        for r in rules
    ]


def _whose(rule: PullRule) -> str:
    if rule.app is None:
        return "the application of the lever"
    return "any application" if rule.app == ANY_APP else f"app {rule.app}"


def _when(rule: PullRule) -> str:
    when = rule.when
    if isinstance(when, OnProbe):
        return f"probe {when.probe} breaks its bar of {percent(when.bar)}"
    whose = f"{scope_text(dict(when.scope))} of {_whose(rule)}"
    if isinstance(when, OnSignal):
        return f"a chart of {when.metric} pages in {whose}"
    lately = f"of the last {duration(when.within_s)} in {whose}"
    if isinstance(when, Budget):
        return f"the sum of {when.metric} {lately} reaches {when.total:,.6g}"
    level = f"the rate of harm by {when.metric}" if when.binary else f"the mean of {when.metric}"
    above = percent(when.above) if when.binary else f"{when.above:,.6g}"
    return f"{level} {lately} is above {above} (of {when.least} interactions or more)"


def _rule(row: object, place: str, probes: Mapping[str, Probe], scorers: Sequence[Scorer]) -> PullRule:
    every = tuple(dict.fromkeys((*_COMMON, *(k for keys in _CONDITIONS.values() for k in keys))))
    table = keys_of(row, place, every, ("name", "lever", "by", "for"))
    told = [key for key in _CONDITIONS if table.get(key) is not None]
    if len(told) != 1:
        said = f"{' and '.join(told)} are several" if told else "none is there"
        raise InputError(
            f"{place}: a rule has exactly one condition: signal, probe, metric with above (breaker) or metric with total "
            f"(budget); {said}. Write one table for each"
        )
    keys_of(table, f"{place} (with {told[0]})", (*_COMMON, *_CONDITIONS[told[0]]))
    try:
        lever = check_key(text(table, "lever", place) or "")
        environment = check_environment(text(table, "environment", place) or "production")
    except InputError as error:
        raise InputError(f"{place}: {str(error).removeprefix(f'{place}: ')}") from error
    return PullRule(
        name=text(table, "name", place, 100) or "",
        lever=lever,
        by=text(table, "by", place, 80) or "",
        when=_condition(told[0], table, place, probes, scorers),
        hold_s=_seconds(table, "for", place),
        value=table.get("value"),
        trade_off=text(table, "trade_off", place, 2_000) or "",
        exit=text(table, "exit", place, 2_000) or "",
        environment=environment,
        app=text(table, "app", place),
        source=place,
    )


def _condition(
    told: str, table: Mapping[str, Any], place: str, probes: Mapping[str, Probe], scorers: Sequence[Scorer]
) -> OnSignal | OnProbe | Breaker | Budget:
    if told == "probe":
        name = text(table, "probe", place) or ""
        if name not in probes:
            raise InputError(
                f"{place}: probe = {quoted(name)} is not there; there are {', '.join(probes) or 'none'}: write [[probe]]"
            )
        return OnProbe(probe=name, bar=probes[name].bar)
    where = keys_of(table.get("where") or {}, f"{place}, where", SEGMENTS)
    scope = tuple((k, v) for k in SEGMENTS if (v := text(where, k, f"{place}, where")) is not None)
    if told == "signal":
        paging = [m.name for m in all_metrics(scorers) if m.name not in SOFT]
        metric = _metric(table, "signal", place, {**dict.fromkeys(paging), TRAFFIC: None})
        if metric == TRAFFIC and scope:
            raise InputError(
                f"{place}: where means nothing with signal = {quoted(TRAFFIC)}: only all traffic of an app pages"
            )
        return OnSignal(metric=metric, scope=scope)
    known = {m.name: m for m in metrics_of(scorers)}
    of = known[_metric(table, "metric", place, known)]
    within_s, limit = _seconds(table, "within", place), number(table, told, place) or 0.0
    if told == "above":
        return _breaker(table, place, of, limit, within_s, scope)
    if of.kind != "number" or "up" not in of.directions:
        adds = ", ".join(m.name for m in known.values() if m.kind == "number" and "up" in m.directions)
        raise InputError(f"{place}: metric = {quoted(of.name)} is nothing that a budget adds up; it may be {adds}")
    if limit <= 0:
        raise InputError(f"{place}: total = {limit:g} must be above 0")
    return Budget(metric=of.name, total=limit, within_s=within_s, scope=scope)


def _breaker(table: Mapping[str, Any], place: str, of: Metric, limit: float, within_s: int, scope: Scope) -> Breaker:
    least = number(table, "least", place)
    if least is not None and (least < 1 or least != int(least)):
        raise InputError(f"{place}: least = {least:g} must be a whole number of 1 or more")
    binary = of.kind == "binary"
    if binary and not 0 <= limit < 1:
        raise InputError(
            f"{place}: above = {limit:g} must be a rate of harm from 0 to below 1: {of.name} is a rate (0.5 is 50 %)"
        )
    if not binary and "up" not in of.directions:
        raise InputError(
            f"{place}: above = {limit:g} is no harm: low values of {of.name} harm; write signal = {quoted(of.name)}, whose chart "
            "watches them"
        )
    return Breaker(
        metric=of.name, binary=binary, up_is_bad="up" in of.directions, above=limit, within_s=within_s,
        least=LEAST if least is None else int(least), scope=scope,
    )  # fmt: skip


def _metric(table: Mapping[str, Any], key: str, place: str, known: Iterable[str]) -> str:
    name = text(table, key, place)
    if name is None:
        raise InputError(f"{place}: {key} is missing; say which metric is measured")
    if name not in known:
        silent = "warns, and never pages" if name in SOFT else "is not measured"
        raise InputError(f"{place}: {key} = {quoted(name)} {silent}; there are {', '.join(known)}")
    return name


def _seconds(table: Mapping[str, Any], key: str, place: str) -> int:
    said = text(table, key, place)
    if said is None:
        raise InputError(f"{place}: {key} is missing; say how long, such as 15m, 4h or 7d")
    found = re.fullmatch(r"([0-9]{1,6})([mhd])", said, re.ASCII)
    seconds = int(found[1]) * _UNITS_S[found[2]] if found else 0
    if not 60 <= seconds <= 90 * 86400:
        raise InputError(f"{place}: {key} = {quoted(said)}; a time from 1m to 90d, such as 15m, 4h or 7d, is allowed")
    return seconds
