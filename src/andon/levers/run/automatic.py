"""Pull levers by the rules that people wrote."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from andon.errors import InputError, StateError
from andon.evals import Probed
from andon.evals.probes import METRIC as PROBE_PASS
from andon.incidents import Incident
from andon.incidents.run.timeline import Attached
from andon.levers.pulls import Asked, draft_pull, in_force, latest
from andon.levers.records import Lever, Pull
from andon.levers.rules import (
    Breaker,
    Budget,
    Counted,
    Due,
    Grounds,
    OnProbe,
    OnSignal,
    PullRefused,
    PullRule,
    author_of,
    counted_from_us,
    due_pulls,
    may_pull,
)
from andon.levers.run.declaring import known_lever, versions_of
from andon.levers.run.pulling import settle
from andon.levers.run.reading import pulls_by_lever, pulls_of
from andon.monitors import Signal
from andon.scores.rows import PROBE
from andon.store import Ledger, Rollup, Span, Warehouse, Where
from andon.traffic import quoted

__all__ = ["ByRule", "Freeze", "pull_by_rules"]

Freeze = Callable[[str | None, int], Sequence[str]]
"""Freezes evidence of the open incidents of an application (None: of all) and returns their ids, as `Loop.freeze` does."""


class ByRule(NamedTuple):
    """What became of a rule that was due."""

    rule: PullRule
    pull: Pull | None
    """What was written; None where the pull was refused."""
    refused: str = ""
    """Why, where this was not said before."""


def pull_by_rules(
    warehouse: Warehouse,
    ledger: Ledger,
    rules: Sequence[PullRule],
    *,
    fresh: Iterable[Signal] = (),
    freeze: Freeze | None = None,
    now_us: int,
) -> list[ByRule]:
    """Pull what the rules ask for now, at most one pull of each lever; returns what was pulled, and what was refused anew.

    Costs one `Rollup` for each breaker and budget that could pull, and for the others reads of the ledger by id. Nothing is
    remembered but what the ledger holds: after a restart the signals of open incidents and the last runs of probes say the same.

    Args:
        warehouse: holds the table ``scores``.
        ledger: where pulls are written.
        rules: in the order of the file.
        fresh: signals of this turn, after each has its incident; those that came late to an incident are known from here only.
        freeze: called before each pull; that it fails keeps no lever from being pulled.
        now_us: the clock.

    Raises:
        StoreError: the disk or the ledger refused; calling again goes on.
    """
    if not rules:
        return []
    levers = {lever.id: lever for lever in ledger.all(Lever)}
    pulls = pulls_by_lever(ledger, {r.lever for r in rules})
    ready = [r for r in rules if may_pull(r, rules, pulls[r.lever], now_us)]
    if not ready:
        return []
    seen = _seen(warehouse, ledger, ready, levers, pulls, fresh, now_us)
    acted: list[ByRule] = []
    for due in due_pulls(rules, levers, pulls, seen, now_us):
        place = (due.rule.lever, due.rule.environment)
        if any(a.pull and (a.pull.lever, a.pull.environment) == place for a in acted):
            continue
        done = _pull(ledger, due, pulls[due.rule.lever], freeze, now_us)
        if done is not None:
            acted.append(done)
    return acted


def _pull(ledger: Ledger, due: Due, mine: Sequence[Pull], freeze: Freeze | None, now_us: int) -> ByRule | None:
    """Write one pull; None where a refusal was told before, or somebody else moved the lever meanwhile."""
    rule = due.rule
    try:
        lever, versions = known_lever(ledger, rule.lever), versions_of(ledger, rule.lever)
        draft_pull(lever, mine, versions, _asked(due), now_us)
    except (InputError, StateError) as error:
        return _refused(ledger, rule, str(error), now_us)
    evidence = "" if freeze is None else _frozen(freeze, rule.app or lever.app, now_us)
    again = pulls_of(ledger, rule.lever)  # freezing took its time, and people come first
    if any(look(again, rule) != look(mine, rule) for look in (_last, lambda p, r: _held(p, r, now_us))):
        return None
    pull = draft_pull(lever, again, versions, _asked(due, evidence), now_us)
    try:
        ledger.put(pull, now_us=now_us, by=pull.by, expect=0)
    except StateError:  # somebody pulled it in this very moment: theirs stands
        return None
    settle(ledger, rule.lever, now_us)
    if (known := ledger.get(PullRefused, rule.name)) is not None and known.reason:
        ledger.put(PullRefused(id=rule.name, lever=rule.lever, reason="", at_us=now_us), now_us=now_us, by=pull.by)
    return ByRule(rule, pull)


def _asked(due: Due, evidence: str = "") -> Asked:
    rule = due.rule
    return Asked(
        value=rule.value, why=due.why, by=author_of(rule), until_us=due.until_us, environment=rule.environment,
        incident=due.incident, trade_off=rule.trade_off, exit=due.exit, rule=rule.name, evidence=evidence,
    )  # fmt: skip


def _refused(ledger: Ledger, rule: PullRule, reason: str, now_us: int) -> ByRule | None:
    known = ledger.get(PullRefused, rule.name)
    if known is not None and (known.lever, known.reason) == (rule.lever, reason):
        return None
    refused = PullRefused(id=rule.name, lever=rule.lever, reason=reason, at_us=now_us)
    ledger.put(refused, now_us=now_us, by=author_of(rule))
    return ByRule(rule, None, reason)


def _frozen(freeze: Freeze, app: str, now_us: int) -> str:
    try:
        frozen = freeze(app, now_us)
    except Exception as error:  # whatever it is: nothing may keep a rule from stopping the harm
        return f"could not be frozen: {quoted(f'{type(error).__name__}: {error}', 300)}"
    return f"frozen of {', '.join(frozen)}" if frozen else "nothing to freeze: no open incident whose evidence was old"


def _seen(
    warehouse: Warehouse,
    ledger: Ledger,
    ready: Sequence[PullRule],
    levers: Mapping[str, Lever],
    pulls: Mapping[str, Sequence[Pull]],
    fresh: Iterable[Signal],
    now_us: int,
) -> Grounds:
    signalled = [r for r in ready if isinstance(r.when, OnSignal)]
    probes = {r.when.probe for r in ready if isinstance(r.when, OnProbe)}
    incidents = ledger.all(Incident) if signalled or probes else []
    home = {name: i.id for i in incidents for name in i.signals}
    going_on = {i.id: i for i in incidents if i.state != "closed" and i.recovered_us is None}
    signals: dict[str, tuple[Signal, Incident]] = {}
    for one in fresh if signalled else ():
        if (of := going_on.get(_home(ledger, home, one.id) or "")) is not None:
            signals[one.id] = one, of
    for incident in going_on.values():
        for name in incident.signals:
            # the name of a signal begins with that of its chart: others need not be read
            if name not in signals and any(f"/{r.environment}/{_metric(r)}." in name for r in signalled):
                signal = ledger.get(Signal, name)
                if signal is not None:
                    signals[name] = signal, incident
    probed = {name: found for name in probes if (found := ledger.get(Probed, name)) is not None}
    broken = {}
    for probe, last in probed.items():
        pages = [s for name in last.signals if (s := ledger.get(Signal, name)) is not None and s.level == "page"]
        for page in (s for s in pages if s.metric == PROBE_PASS):
            broken[probe] = _home(ledger, home, page.id)
    return Grounds(
        signals=list(signals.values()), going_on=going_on, probed=probed, broken=broken,
        counted={r.name: c for r in ready if (c := _counted(warehouse, r, levers, pulls[r.lever], now_us)) is not None},
    )  # fmt: skip


def _counted(
    warehouse: Warehouse, rule: PullRule, levers: Mapping[str, Lever], mine: Sequence[Pull], now_us: int
) -> Counted | None:
    from_us, when = counted_from_us(rule, mine, now_us), rule.when
    if from_us is None or not isinstance(when, Breaker | Budget):
        return None
    app = rule.app or (levers[rule.lever].app if rule.lever in levers else None)
    where = [Where(column="environment", op="eq", value=rule.environment)]
    where += [Where(column="app", op="eq", value=app)] if app is not None else []
    where += [Where(column=k, op="eq", value=v) for k, v in when.scope]
    where += [Where(column="source", op="eq" if when.metric == PROBE_PASS else "ne", value=PROBE)]
    plan = Rollup(
        table="scores", metrics=(when.metric,), measures=("n", "w", "wsum"), where=tuple(where),
        span=Span(start_us=from_us, end_us=now_us + 1),
    )  # fmt: skip
    row = warehouse.run(plan).to_pylist()[0]
    n, weight, total = (row[f"{when.metric}.{measure}"] or 0 for measure in ("n", "w", "wsum"))
    return Counted(int(n), float(weight), float(total))


def _home(ledger: Ledger, home: Mapping[str, str], signal: str) -> str | None:
    """The incident that holds a signal."""
    if signal in home:
        return home[signal]
    late = ledger.get(Attached, signal)
    return None if late is None else late.incident


def _metric(rule: PullRule) -> str:
    assert isinstance(rule.when, OnSignal)
    return rule.when.metric


def _last(mine: Sequence[Pull], rule: PullRule) -> str | None:
    last = latest(mine, rule.environment)
    return None if last is None else last.id


def _held(mine: Sequence[Pull], rule: PullRule, now_us: int) -> Pull | None:
    return in_force(mine, now_us, rule.environment)
