"""Pull levers by the rules that people wrote."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from andon.errors import InputError, StateError
from andon.evals import Probed
from andon.evals.probes import METRIC as PROBE_PASS
from andon.incidents import Incident, duration, scope_text
from andon.incidents.run import goes_on
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
    Scope,
    author_of,
    counted_from_us,
    due_pulls,
    may_pull,
    traffic_of,
)
from andon.levers.run.declaring import known_lever, versions_of
from andon.levers.run.freezing import FREEZE_S, freeze_within
from andon.levers.run.pulling import read_by_a_pull, settle
from andon.levers.run.reading import pulls_by_lever, pulls_of
from andon.monitors import TRAFFIC, Signal
from andon.scores.rows import PROBE
from andon.store import Ledger, Rollup, Span, Warehouse, Where
from andon.traffic import quoted

__all__ = ["LATELY_US", "ByRule", "Freeze", "pull_by_rules", "unmatched"]

LATELY_US = 7 * 86_400_000_000
"""Traffic that a rule looks at should have come within this time."""

_LATE = f"freezing takes longer than {FREEZE_S:.0f} s; it was held without waiting"
_SKIPPED = "not frozen before: evidence of another application took too long"

NEWS_US = 3_600_000_000
"""How old a signal may be (its window's end) to pull without a look whether harm goes on."""

Freeze = Callable[[str | None, int], Sequence[str]]
"""Freezes evidence of the open incidents of an application (None: of all) and returns their ids, as `Loop.freeze` does.

It is waited for `FREEZE_S` at most."""


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
    clock: Callable[[], int] | None = None,
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
        freeze: called before each pull, by a thread of its own; that it fails or takes long keeps no lever from being pulled.
        clock: says when a pull is written, for freezing takes its time; `now_us` unless given.
        now_us: when the rules are asked.

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
    frozen = _once(freeze, now_us)
    acted: list[ByRule] = []
    for due in due_pulls(rules, levers, pulls, seen, now_us):
        place = (due.rule.lever, due.rule.environment)
        if any(a.pull and (a.pull.lever, a.pull.environment) == place for a in acted):
            continue
        done = _pull(ledger, due, pulls[due.rule.lever], frozen, clock or (lambda: now_us))
        if done is not None:
            acted.append(done)
    return acted


def _pull(
    ledger: Ledger, due: Due, mine: Sequence[Pull], frozen: Callable[[str | None], str], clock: Callable[[], int]
) -> ByRule | None:
    """Write one pull; None where a refusal was told before, or somebody else moved the lever meanwhile."""
    rule, now_us = due.rule, clock()
    try:
        beside = read_by_a_pull(ledger, rule.lever, rule.value)
        lever, versions = known_lever(ledger, rule.lever), versions_of(ledger, rule.lever)
        draft_pull(lever, mine, versions, _asked(due), now_us)
    except (InputError, StateError) as error:
        return _refused(ledger, rule, str(error), now_us)
    evidence = frozen(traffic_of(rule, lever))
    again = pulls_of(ledger, rule.lever)  # freezing took its time, and people come first
    if any(look(again, rule) != look(mine, rule) for look in (_last, lambda p, r: _held(p, r, now_us))):
        return None
    now_us = clock()
    pull = draft_pull(lever, again, versions, _asked(due, evidence), now_us)
    try:
        ledger.put(pull, now_us=now_us, by=pull.by, expect=0, beside=beside)
    except StateError:  # somebody pulled it, declared it or changed the version meanwhile: the next turn looks again
        return None
    settle(ledger, rule.lever, rule.environment, now_us)
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


def _once(freeze: Freeze | None, now_us: int) -> Callable[[str | None], str]:
    """Freezes the evidence of an application before its first pull of a turn, and says what was done; once it took too long, no more."""
    told: dict[str | None, str] = {}

    def frozen(app: str | None) -> str:
        if freeze is not None and app not in told:
            told[app] = _SKIPPED if _LATE in told.values() else _frozen(freeze, app, now_us)
        return told.get(app, "")

    return frozen


def _frozen(freeze: Freeze, app: str | None, now_us: int) -> str:
    try:
        frozen = freeze_within(lambda: freeze(app, now_us))
    except Exception as error:  # whatever it is: nothing may keep a rule from stopping the harm
        return f"could not be frozen: {quoted(f'{type(error).__name__}: {error}', 300)}"
    if frozen is None:
        return _LATE
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
    signals = {name: s for name, s in signals.items() if _is_news(warehouse, ledger, *s, now_us)}
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


def _is_news(warehouse: Warehouse, ledger: Ledger, signal: Signal, incident: Incident, now_us: int) -> bool:
    """Whether a signal is a reason to pull now: it is of this hour, or harm is seen to go on; not what history or an outage brought."""
    if now_us - signal.at_us <= max(NEWS_US, 2 * signal.window_us):
        return True
    return goes_on(warehouse, ledger, incident, now_us=now_us) is True


def _counted(
    warehouse: Warehouse, rule: PullRule, levers: Mapping[str, Lever], mine: Sequence[Pull], now_us: int
) -> Counted | None:
    from_us, when = counted_from_us(rule, mine, now_us), rule.when
    if from_us is None or not isinstance(when, Breaker | Budget):
        return None
    app = traffic_of(rule, levers.get(rule.lever))
    where = _traffic(rule, app, when.metric, when.scope)
    plan = Rollup(
        table="scores", metrics=(when.metric, "weight"), measures=("n", "w", "wsum", "sumsq"), where=where,
        span=Span(start_us=from_us, end_us=now_us + 1),
    )  # fmt: skip
    row = warehouse.run(plan).to_pylist()[0]
    n, weight, total = (row[f"{when.metric}.{measure}"] or 0 for measure in ("n", "w", "wsum"))
    unweighted = n - (row["weight.n"] or 0)
    return Counted(int(n), float(weight), float(total), float((row["weight.sumsq"] or 0) + unweighted))


def _traffic(rule: PullRule, app: str | None, metric: str, scope: Scope) -> tuple[Where, ...]:
    """The rows of ``scores`` that a rule looks at: those that have its metric."""
    where = [Where(column="environment", op="eq", value=rule.environment)]
    where += [Where(column="app", op="eq", value=app)] if app is not None else []
    where += [Where(column=k, op="eq", value=v) for k, v in scope]
    where += [Where(column="source", op="eq" if metric == PROBE_PASS else "ne", value=PROBE)]
    where += [Where(column=metric, op="not_null")] if metric != TRAFFIC else []
    return tuple(where)


def unmatched(warehouse: Warehouse, rules: Iterable[PullRule], levers: Iterable[Lever], now_us: int) -> list[str]:
    """Rules about traffic of which none came in the last `LATELY_US`, a sentence each: a name may be misspelt.

    Args:
        warehouse: holds the table ``scores``.
        rules: all of them; those about a probe, or of a lever that is not declared, are left out.
        levers: all that are declared.
        now_us: the clock.
    """
    known, said = {x.id: x for x in levers}, []
    for rule in rules:
        when, lever = rule.when, known.get(rule.lever)
        if isinstance(when, OnProbe) or lever is None:
            continue
        app = traffic_of(rule, lever)
        where = _traffic(rule, app, when.metric, when.scope)
        span = Span(start_us=now_us - LATELY_US, end_us=now_us + 1)
        if not warehouse.run(Rollup(table="scores", where=where, span=span)).to_pylist()[0]["rows"]:
            told = f" with {when.metric}" if when.metric != TRAFFIC else ""
            whose = (
                f"{scope_text(dict(when.scope))} of {f'app {app}' if app else 'any application'} in {rule.environment}"
            )
            said.append(
                f"{rule.source}: rule {quoted(rule.name, 100)} looks at nothing: no interaction{told} matches {whose} in the last "
                f"{duration(LATELY_US / 1e6)}"
            )
    return said


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
