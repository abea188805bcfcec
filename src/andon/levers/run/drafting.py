"""Plan an experiment as somebody asks for it: what is missing is filled in from recent traffic, and it is told what it can see.

Nothing is written by `plan_draft`; `write_drafted` writes what was planned, and refuses what cannot see what it is made for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal, NamedTuple

from andon.errors import InputError
from andon.levers.records import Lever
from andon.levers.registry import check_environment, find_version, same_value
from andon.levers.registry import line as line_of
from andon.levers.run.declaring import known_lever, live_in
from andon.levers.run.reading import versions_of
from andon.levers.run.splitting import check_start
from andon.rollouts import Experiment, Guardrail
from andon.rollouts.findings import alphas_of
from andon.rollouts.plan import Asked, Plan, guard_margin, guard_power, plan_rollout
from andon.rollouts.run.planning import (
    Recent,
    change_plan,
    check_changeable,
    find_experiment,
    how_many_came,
    recent_traffic,
    risk_metrics,
    values_of,
    write_plan,
)
from andon.rollouts.run.reading import folded, known_metric
from andon.rollouts.told import guarded_text, points_text, version_text
from andon.scores import Scorer
from andon.settings import is_high_risk
from andon.store import Ledger, Warehouse, Where
from andon.traffic import quoted

__all__ = [
    "LEAST_CANARY",
    "Draft",
    "Drafted",
    "Guarded",
    "better_of",
    "guardrail_of",
    "plan_draft",
    "usual_margin",
    "write_drafted",
]

DEFAULT = "default"
"""Names the declared default of a lever where a version is asked for."""

LEAST_MARGIN, MOST_MARGIN = 0.001, 0.05
"""Between these is the harm of a rate that is accepted unless another is given."""

LEAST_CANARY = 1 / 48
"""Days: half an hour."""

Reader = Callable[[str, str | None], Recent | None]
"""(metric, risk category) -> what the last seven days say of it."""

_SHARES = {"ab": 0.5, "canary": 0.05, "shadow": 0.05}
"""Of the users, for the treatment, unless another is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An experiment as it is asked for; None is filled in."""

    kind: Literal["ab", "canary", "shadow"]
    lever: str | None
    by: str | None
    treatment: str
    control: str | None
    environment: str
    app: str | None
    metric: str
    better: str | None
    effect: float | None
    hypothesis: str | None
    share: float | None
    days: float
    method: str
    guardrails: Sequence[str]
    base: float | None
    per_day: float | None
    on_harm: str | None
    change: str | None


def better_of(metric: str, better: str | None, scorers: Sequence[Scorer]) -> str:
    """Where a metric shall go; unless it is said, away from what its scorer calls bad.

    Raises:
        InputError: it is neither up nor down.
    """
    if better is None:
        try:
            return "down" if known_metric(metric, scorers).up_is_bad else "up"
        except InputError:
            raise InputError(f"say where {quoted(metric)} shall go: --better up or --better down") from None
    if better not in ("up", "down"):
        raise InputError(f"--better {quoted(better)} is not known; up or down is")
    return better


def guardrail_of(text: str) -> Guardrail:
    """A guardrail as somebody types it: ``error:0.002``, or ``high:refusal:0.01`` for one risk category.

    Raises:
        InputError: it is none.
    """
    *risk, metric, margin = text.split(":") if text.count(":") in (1, 2) else ("", "")
    try:
        size = float(margin)
    except ValueError:
        size = -1.0
    if not (metric.strip() and 0 < size < 1 and all(r.strip() for r in risk)):
        raise InputError(
            f"{quoted(text)} is not a guardrail; METRIC:MARGIN or RISK:METRIC:MARGIN is, with a margin between 0 and 1 (error:0.002, "
            "high:refusal:0.01)"
        )
    return Guardrail(metric=metric.strip(), margin=size, risk_category=risk[0].strip() if risk else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """What the plan can show of one guardrail."""

    metric: str
    risk_category: str | None
    margin: float
    harm_now: float | None
    """Share that is harmed now, in the last seven days; None where no such traffic came."""
    power: float | None
    """Chance that it is shown to hold in the planned time, if nothing changes; None: cannot tell."""
    could: float | None
    """The smallest margin that could be shown to be kept; None: nothing, or cannot tell."""
    harm: str = ""
    """What counts as harm, of a number."""

    @property
    def blocks(self) -> bool:
        """Whether it is rather not shown to hold, which blocks every promotion."""
        return self.power is None or self.power < 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafted:
    """A plan that is not written yet, and what it can see."""

    draft: Draft
    experiment: Experiment
    """As it would be written; under another id."""
    plan: Plan
    guards: tuple[Guarded, ...] = ()
    told: tuple[str, ...] = ()
    """What was filled in, and from what: a sentence each."""
    unshown: str = ""
    """Which guardrails keep it from promoting, and what to do about that; empty where none does."""


def plan_draft(
    warehouse: Warehouse, ledger: Ledger, scorers: Sequence[Scorer], draft: Draft, *, by: str, now_us: int
) -> Drafted:
    """Fill in what is missing, and compute what the plan can see. Nothing is written.

    Args:
        warehouse: recent traffic and its scores.
        ledger: levers, versions, experiments.
        scorers: whose metrics are known.
        draft: what is asked for.
        by: who asks.
        now_us: the clock.

    Raises:
        InputError: something named is unknown, both versions are the same, or nothing came to plan from.
        StateError: it is to change an experiment that was started.
    """
    here = _Here(warehouse, ledger, scorers, now_us)
    environment = check_environment(draft.environment)
    told = _of_lever(here, draft, environment) if _is_of_lever(draft) else _of_field(here, draft, environment)
    if draft.change is not None:
        check_changeable(ledger, draft.change, of=told.lever or told.field, kind=draft.kind)
    better = better_of(draft.metric, draft.better, scorers)

    read = _reader(here, draft, told, environment)
    recent = read(draft.metric, None)
    _check_known(here, draft, told.app, environment, recent)
    now = draft.base if draft.base is not None else recent.mean if recent else 0.0
    effect = draft.effect if draft.effect is not None else _usual_margin(now, better, recent)
    base = _assumed(recent) if recent and draft.base is None else now
    experiment = Experiment(
        id=draft.change or "EXP-0000", kind=draft.kind, app=told.app, environment=environment, lever=told.lever, field=told.field,
        control=told.control, treatment=told.treatment, share=told.share, metric=draft.metric, better=better,  # type: ignore[arg-type]
        hypothesis=line_of("hypothesis", draft.hypothesis or _usual(told, draft.metric, effect), 2_000), effect=effect,
        guardrails=_guardrails(here, draft, told.app, read), method=draft.method, base=base,  # type: ignore[arg-type]
        spread=recent.spread if recent else None, planned=(1, 1), days=draft.days, on_harm=_on_harm(draft, told.field),
        by=by, at_us=now_us,
    )  # fmt: skip
    plan = plan_rollout(_asked(experiment, draft, recent, told.planned))
    guards = _guards(plan, experiment, read)
    plan = replace(plan, unshown=tuple(guarded_text(g.metric, g.risk_category) for g in guards if g.blocks))
    experiment = replace(
        experiment, planned=plan.chosen.needed, arrives=plan.arrives, design_effect=plan.asked.design_effect
    )
    said = (*_recent_told(told, recent, draft, experiment), *_margin_told(draft, experiment))
    return Drafted(
        draft=draft, experiment=experiment, plan=plan, guards=guards, told=said, unshown=_unshown_told(plan),
    )  # fmt: skip


def write_drafted(ledger: Ledger, drafted: Drafted, *, anyway: bool, start: bool, now_us: int) -> Experiment:
    """Write a plan down; one that cannot see its effect only on demand.

    Args:
        ledger: where it is written.
        drafted: the plan.
        anyway: write one that cannot see what it is made for, too.
        start: it is to be started at once, so one that cannot be started now is not written.
        now_us: the clock.

    Raises:
        InputError: the plan cannot see what it is made for.
        StateError: it is to change an experiment that was started, or to start one that cannot be (`check_start`).
    """
    if not drafted.plan.sees and not anyway:
        raise InputError(
            "nothing is written, because the plan cannot see what it is made for; change it, or write it all the same by --anyway"
        )
    change = drafted.draft.change
    named = "this experiment" if change is None else find_experiment(ledger, change).id
    experiment = replace(drafted.experiment, id=named)
    if start:
        check_start(ledger, experiment, now_us)
    write = write_plan if change is None else change_plan
    return write(ledger, experiment, now_us=now_us)


class _Here(NamedTuple):
    """What a plan is made from."""

    warehouse: Warehouse
    ledger: Ledger
    scorers: Sequence[Scorer]
    now_us: int


class _Told(NamedTuple):
    """What is compared, and where it comes from."""

    app: str
    lever: str | None
    field: str | None
    control: str | None
    treatment: str | None
    share: float | None
    """That was planned."""
    planned: float
    """With which power is computed."""
    why: str = ""
    """Where `planned` comes from, if nobody planned one."""


def _reader(here: _Here, draft: Draft, told: _Told, environment: str) -> Reader:
    """Reads recent traffic, each metric and risk category once."""
    arms = None if told.field is None else Where(column=told.field, op="in", value=(told.control, told.treatment))  # type: ignore[arg-type]

    @cache
    def read(metric: str, risk: str | None) -> Recent | None:
        return recent_traffic(
            here.warehouse, told.app, environment, metric, here.now_us,
            scorers=here.scorers, risk=risk, arms=arms, days=draft.days,
        )  # fmt: skip

    return read


def _is_of_lever(draft: Draft) -> bool:
    if (draft.lever is None) == (draft.by is None):
        raise InputError(
            "say what is compared, by one of two options: --lever, whose versions Andon serves, or --by, a field of traffic that tells "
            "versions apart which something else serves (--by prompt_version --control v1 --treatment v2 --app bot)"
        )
    return draft.lever is not None


def _of_lever(here: _Here, draft: Draft, environment: str) -> _Told:
    lever = known_lever(here.ledger, draft.lever or "")
    app = draft.app or lever.app
    if app == "default" and draft.app is None:
        raise InputError(f"{lever.id} is declared for any application; say whose traffic is compared: --app")
    live = live_in(here.ledger, lever.id, environment)
    control = None if live is None else live.digest
    if draft.control is not None:
        control = _digest(here, lever, draft.control)
    share = _SHARES[draft.kind] if draft.share is None else draft.share
    treatment = _digest(here, lever, draft.treatment)
    versions = versions_of(here.ledger, lever.id)
    values = [lever.default if d is None else find_version(lever, versions, d).value for d in (treatment, control)]
    if same_value(*values):
        where = ", which is live" if draft.control is None else ""
        raise InputError(
            f"treatment and control are the same, {version_text(control)} of {lever.id}{where}; name another --treatment or --control"
        )
    return _Told(app, lever.id, None, control, treatment, share, share)


def _of_field(here: _Here, draft: Draft, environment: str) -> _Told:
    """Two values of a field of traffic: the control must have come, and whoever serves the treatment takes it out."""
    field, control, treatment, app = draft.by or "", draft.control, draft.treatment, draft.app
    if control is None or app is None:
        raise InputError(
            f"with --by, say what {quoted(field)} is for who has the version in place, --control, and --app"
        )
    if draft.kind == "shadow":
        raise InputError("a shadow is for a lever: --lever; nothing tells Andon which answers nobody was served")
    if control == treatment:
        raise InputError(f"control and treatment are both {quoted(control)}; name two values of {field}")
    came = values_of(here.warehouse, app, environment, field, here.now_us)
    if control not in came:
        there = ", ".join(f"{quoted(v, 40)} ({n:,.0f})" for v, n in list(came.items())[:10])
        scored = _unscored(here, app, environment)
        raise InputError(
            f"no interaction of {quoted(app)} in {environment} has {field} {quoted(control)} in the last 7 days; there came "
            f"{there or 'none with any value'}{scored}"
        )
    if draft.share is not None:
        return _Told(app, None, field, control, treatment, draft.share, draft.share)
    if treatment not in came:
        usual = _SHARES[draft.kind]
        why = f"with {100 * usual:g} % for the treatment, which has not come yet"
        return _Told(app, None, field, control, treatment, None, usual, why)
    part = came[treatment] / (came[control] + came[treatment])
    why = f"with {100 * part:.3g} % for the treatment, as it came in the last 7 days"
    return _Told(app, None, field, control, treatment, None, part, why)


def _check_known(here: _Here, draft: Draft, app: str, environment: str, recent: Recent | None) -> None:
    """Whether the figures of a plan are there.

    Raises:
        InputError: nothing came that says them, and they were not given.
    """
    if recent is not None:
        return
    if known_metric(draft.metric, here.scorers).kind == "number":
        raise InputError(
            f"{quoted(draft.metric)} is a number, and no interaction of {quoted(app)} in {environment} has it in the last 7 days, so nothing "
            f"says how much it varies{_unscored(here, app, environment)}; wait for traffic, or name another metric or --app"
        )
    if draft.base is None or draft.per_day is None:
        raise InputError(
            f"no interaction of {quoted(app)} in {environment} has {quoted(draft.metric)} in the last 7 days, so nothing says how it is now"
            f"{_unscored(here, app, environment)}; give --base and --per-day (users), or name another metric or --app"
        )


def _unscored(here: _Here, app: str, environment: str) -> str:
    """That traffic came and none of it has scores, where that is so."""
    now = here.now_us
    came = how_many_came(here.warehouse, "interactions", app, environment, now)
    if came == 0 or how_many_came(here.warehouse, "scores", app, environment, now) > 0:
        return ""
    return f" ({came:,} came, and none is scored yet: run `andon tick`)"


def _asked(e: Experiment, draft: Draft, recent: Recent | None, share: float) -> Asked:
    harm, up = e.kind != "ab", e.better == "up"
    base = 1 - e.base if harm and up and e.spread is None else e.base  # a canary counts what is harmed
    return Asked(
        kind=e.kind, metric=e.metric, base=base, effect=e.effect, up=harm or up, spread=e.spread, share=share, days=e.days,
        per_day=draft.per_day if draft.per_day is not None else recent.per_day if recent else 0.0, method=e.method,
        arrivals=recent.arrivals if recent and draft.per_day is None else (),
        alpha=e.alpha, harm_alpha=alphas_of(e)[0], power=e.power, design_effect=recent.design_effect if recent else 1.0,
    )  # fmt: skip


def _guardrails(here: _Here, draft: Draft, app: str, read: Reader) -> tuple[Guardrail, ...]:
    """Those that were named; of a canary without any, the risk metrics of the application, high risk first.

    Raises:
        InputError: a metric is unknown, or one guardrail stands twice.
    """
    named = [guardrail_of(text) for text in draft.guardrails]
    for guardrail in named:
        known_metric(guardrail.metric, here.scorers)
    if len({(g.metric, None if g.risk_category is None else folded(g.risk_category)) for g in named}) != len(named):
        raise InputError("a guardrail stands twice; name each metric of a risk category once")
    if named or draft.kind == "ab":
        return tuple(sorted(named, key=lambda g: not is_high_risk(g.risk_category)))
    metrics, risks = risk_metrics(here.warehouse, app, draft.environment, here.now_us, here.scorers)
    wanted: list[tuple[str, str | None]] = [(m, r) for r in risks for m in metrics]
    wanted += [(m, None) for m in metrics if m != draft.metric]
    return tuple(Guardrail(metric=m, margin=_half(read(m, r)), risk_category=r) for m, r in wanted)


def _assumed(recent: Recent) -> float:
    """What a plan takes the metric for now: a rate that was the same in all that came is taken for half an event off that."""
    if recent.spread is not None or min(recent.mean, 1 - recent.mean) > 1e-12:
        return recent.mean
    half = 0.5 / recent.interactions
    return half if recent.mean < 0.5 else 1 - half


def _half(recent: Recent | None) -> float:
    return LEAST_MARGIN if recent is None else usual_margin(recent.harmed)


def usual_margin(harmed: float) -> float:
    """Harm that is accepted unless somebody says how much: half of what there is now, of a rate; two digits."""
    return float(f"{min(max(harmed / 2, LEAST_MARGIN), MOST_MARGIN):.2g}")


def _usual_margin(base: float, better: str, recent: Recent | None) -> float:
    if recent is not None and recent.spread is not None:
        return float(f"{abs(base) / 10 or recent.spread / 10:.2g}")
    return usual_margin(base if better == "down" else 1 - base)


def _digest(here: _Here, lever: Lever, named: str) -> str | None:
    if named == DEFAULT:
        return None
    return find_version(lever, versions_of(here.ledger, lever.id), named).digest


def _usual(told: _Told, metric: str, effect: float) -> str:
    what = f"{told.treatment or DEFAULT} of {told.lever}" if told.field is None else f"{told.field} {told.treatment}"
    return f"{what} does not harm {metric} by more than {effect:g}"


def _on_harm(draft: Draft, field: str | None) -> Literal["roll back", "tell"]:
    if draft.on_harm not in (None, "roll back", "tell"):
        raise InputError(f"--on-harm {quoted(draft.on_harm or '')} is not known; 'roll back' or 'tell' is")
    if field is not None and draft.on_harm == "roll back":
        raise InputError(f"Andon does not serve {field}, so it takes nothing out: leave --on-harm out, or say 'tell'")
    return "tell" if field is not None or draft.on_harm == "tell" else "roll back"


def _margin_told(draft: Draft, e: Experiment) -> list[str]:
    if draft.effect is not None:
        return []
    number = e.spread is not None
    half = "a tenth of the mean now" if number else "half of the rate now"
    if not number and e.effect in (LEAST_MARGIN, MOST_MARGIN):
        half = f"the {'least' if e.effect == LEAST_MARGIN else 'most'} that is taken for half of a rate"
    size = f"{e.effect:.3g}" if number else points_text(e.effect)
    return [f"It accepts {half} as harm of {e.metric}, {size}; --margin says otherwise."]


def _recent_told(told: _Told, recent: Recent | None, draft: Draft, e: Experiment) -> list[str]:
    said = []
    if told.field is not None:
        said.append(f"Andon does not serve {told.field}, so harm is told and nothing is taken out.")
    if told.why:
        said.append(f"Nobody planned a split (--share), so it is not checked; power is computed {told.why}.")
    if recent is None:
        return said
    parts = []
    if draft.base is None:
        now = (
            f"{100 * recent.mean:.3g} %"
            if recent.spread is None
            else f"{recent.mean:.4g} (standard deviation {recent.spread:.3g})"
        )
        parts.append(f"{draft.metric} is {now}")
    if draft.per_day is None:
        parts.append(f"{recent.users:,} users came")
    if parts:
        said.append(
            f"From {recent.interactions:,} interactions of {told.app} in the last 7 days: {' and '.join(parts)}."
        )
    if draft.base is None and e.base != recent.mean:
        harmless = e.kind != "ab" and (recent.mean < 0.5) == (e.better == "down")
        same = "No harm" if harmless else f"Only one value of {e.metric}"
        said.append(f"{same} came in the last 7 days: half an event is assumed.")
    if recent.unnamed:
        said.append(
            f"{recent.unnamed:,} of them name no user and count as one user each: where users come back, power is less than told here."
        )
    return said


def _guards(plan: Plan, e: Experiment, read: Reader) -> tuple[Guarded, ...]:
    """How surely each guardrail is shown to hold."""
    found = []
    whole = read(e.metric, None)
    for g in e.guardrails:
        seen = read(g.metric, g.risk_category)
        if seen is None or whole is None:
            found.append(
                Guarded(metric=g.metric, risk_category=g.risk_category, margin=g.margin, harm_now=None, power=None, could=None)
            )  # fmt: skip
            continue
        asked, part = replace(plan.asked, design_effect=seen.design_effect), min(1.0, seen.users / whole.users)
        found.append(
            Guarded(
                metric=g.metric, risk_category=g.risk_category, margin=g.margin, harm_now=seen.harmed,
                power=guard_power(asked, seen.harmed, g.margin, part), could=guard_margin(asked, seen.harmed, part),
                harm=seen.harm,
            )
        )  # fmt: skip
    return tuple(found)


def _unshown_told(plan: Plan) -> str:
    if not plan.unshown:
        return ""
    return (
        f"{', '.join(plan.unshown)}: rather not shown to hold with this traffic, and without that it ends in a hold. Accept more, run "
        "longer, or name the guardrails that matter, with a reason in the hypothesis."
    )
