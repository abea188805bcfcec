"""Plans of experiments as people type them: what is asked, filled in from recent traffic, shown, and written down."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from andon.cli.screen import now_us, plain, say, show_table, who
from andon.errors import InputError
from andon.levers import Lever, find_version
from andon.levers import run as levers
from andon.levers.registry import check_environment
from andon.levers.registry import line as line_of
from andon.loop import Loop
from andon.rollouts import Experiment, Guardrail
from andon.rollouts.findings import alphas_of
from andon.rollouts.plan import Asked, Plan, guard_margin, guard_power, plan_rollout
from andon.rollouts.run.comparing import known_metric
from andon.rollouts.run.planning import (
    Recent,
    change_plan,
    check_changeable,
    find_experiment,
    recent_traffic,
    risk_metrics,
    write_plan,
)
from andon.rollouts.run.reading import folded
from andon.rollouts.told import guarded_text, plan_rows, points_text, power_text, say_plan, time_text
from andon.scores import Scorer
from andon.settings import is_high_risk
from andon.traffic import quoted

__all__ = ["Draft", "better_of", "guardrail_of", "show_plan", "write_down"]

DEFAULT = "default"
"""Names the declared default of a lever where a version is asked for."""

DEFAULT_MARGIN = 0.01
"""Harm that a guardrail accepts unless another is given: one point."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An experiment as it is asked for; None is filled in."""

    kind: str
    lever: str
    treatment: str
    control: str | None
    environment: str
    app: str | None
    metric: str
    better: str | None
    effect: float
    hypothesis: str | None
    share: float
    days: float
    method: str
    guardrails: Sequence[str]
    base: float | None
    per_day: float | None
    on_harm: str
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


def show_plan(plan: Plan) -> None:
    """What a plan can and cannot see."""
    first, *rest = say_plan(plan)
    say(first)
    show_table(*plan_rows(plan), empty="")
    for text in rest:
        say(text)


def write_down(loop: Loop, draft: Draft, *, anyway: bool) -> Experiment:
    """Fill in what is missing, show what the plan can see, and write it; a plan that cannot see its effect only on demand.

    Raises:
        InputError: something named is unknown, nothing came to plan from, or the plan cannot see its effect.
        StateError: it is to change an experiment that was started.
    """
    lever = levers.known_lever(loop.ledger, draft.lever)
    if draft.change is not None:
        check_changeable(loop.ledger, draft.change, lever=lever.id, kind=draft.kind)
    environment = check_environment(draft.environment)
    app = draft.app or lever.app
    if app == "default" and draft.app is None:
        raise InputError(f"{lever.id} is declared for any application; say whose traffic is compared: --app")
    better = better_of(draft.metric, draft.better, loop.scorers)
    recent = recent_traffic(loop.warehouse, app, environment, draft.metric, now_us(), scorers=loop.scorers)
    if recent is None and (draft.base is None or draft.per_day is None):
        raise InputError(
            f"no interaction of {quoted(app)} in {environment} has {quoted(draft.metric)} in the last 7 days, so nothing says how it is now; give --base and "
            "--per-day (users), or name another metric or --app"
        )
    live = levers.live_in(loop.ledger, lever.id, environment)
    experiment = Experiment(
        id=draft.change or "EXP-0000", kind=draft.kind, app=app, environment=environment, lever=lever.id,  # type: ignore[arg-type]
        control=_digest(loop, lever, draft.control) if draft.control is not None else None if live is None else live.digest,
        treatment=_digest(loop, lever, draft.treatment), share=draft.share,
        hypothesis=line_of("hypothesis", draft.hypothesis or _usual(draft), 2_000), metric=draft.metric, better=better,  # type: ignore[arg-type]
        effect=draft.effect, guardrails=_guardrails(loop, draft, app, environment), method=draft.method,  # type: ignore[arg-type]
        base=draft.base if draft.base is not None else recent.mean if recent else 0.0,
        spread=recent.spread if recent else None, planned=(1, 1), days=draft.days, on_harm=_on_harm(draft.on_harm),  # type: ignore[arg-type]
        by=who(), at_us=now_us(),
    )  # fmt: skip
    plan = plan_rollout(_asked(experiment, draft, recent), np.random.default_rng(0))
    show_plan(plan)
    _say_recent(app, recent, draft)
    _say_guards(loop, plan, experiment)
    if not plan.sees and not anyway:
        raise InputError(
            "nothing is written, because the plan cannot see what it is made for; change it, or write it all the same by --anyway"
        )
    experiment = replace(experiment, planned=plan.chosen.needed)
    if draft.change is None:
        return write_plan(loop.ledger, experiment, now_us=now_us())
    return change_plan(
        loop.ledger, replace(experiment, id=find_experiment(loop.ledger, draft.change).id), now_us=now_us()
    )


def _asked(e: Experiment, draft: Draft, recent: Recent | None) -> Asked:
    harm, up = e.kind != "ab", e.better == "up"
    base = 1 - e.base if harm and up and e.spread is None else e.base  # a canary counts what is harmed
    return Asked(
        kind=e.kind, metric=e.metric, base=base, effect=e.effect, up=harm or up, spread=e.spread, share=e.share, days=e.days,
        per_day=draft.per_day if draft.per_day is not None else recent.per_day if recent else 0.0, method=e.method,
        alpha=e.alpha, harm_alpha=alphas_of(e)[0], power=e.power, design_effect=recent.design_effect if recent else 1.0,
    )  # fmt: skip


def _guardrails(loop: Loop, draft: Draft, app: str, environment: str) -> tuple[Guardrail, ...]:
    """Those that were named; of a canary without any, the risk metrics of the application, high risk first.

    Raises:
        InputError: a metric is unknown, or one guardrail stands twice.
    """
    named = [guardrail_of(text) for text in draft.guardrails]
    for guardrail in named:
        known_metric(guardrail.metric, loop.scorers)
    if len({(g.metric, None if g.risk_category is None else folded(g.risk_category)) for g in named}) != len(named):
        raise InputError("a guardrail stands twice; name each metric of a risk category once")
    if named or draft.kind == "ab":
        return tuple(sorted(named, key=lambda g: not is_high_risk(g.risk_category)))
    metrics, risks = risk_metrics(loop.warehouse, app, environment, now_us(), loop.scorers)
    high = [Guardrail(metric=m, margin=DEFAULT_MARGIN, risk_category=r) for r in risks for m in metrics]
    rest = [Guardrail(metric=m, margin=DEFAULT_MARGIN) for m in metrics if m != draft.metric]
    return (*high, *rest)


def _digest(loop: Loop, lever: Lever, named: str) -> str | None:
    if named == DEFAULT:
        return None
    return find_version(lever, levers.versions_of(loop.ledger, lever.id), named).digest


def _usual(draft: Draft) -> str:
    return f"{draft.treatment} of {draft.lever} does not harm {draft.metric} by more than {draft.effect:g}"


def _on_harm(text: str) -> str:
    if text not in ("roll back", "tell"):
        raise InputError(f"--on-harm {quoted(text)} is not known; 'roll back' or 'tell' is")
    return text


def _say_recent(app: str, recent: Recent | None, draft: Draft) -> None:
    if recent is None:
        return
    parts = []
    if draft.base is None:
        now = (
            f"{100 * recent.mean:.3g} %"
            if recent.spread is None
            else f"{recent.mean:.4g} (standard deviation {recent.spread:.3g})"
        )
        parts.append(f"{draft.metric} is {now}")
    if draft.per_day is None:
        parts.append(f"{recent.per_day:,.0f} new users come a day, if they go on as they did")
    if parts:
        say(plain(f"From {recent.interactions:,} interactions of {app} in the last 7 days: {' and '.join(parts)}."))
    if recent.unnamed:
        say(
            f"{recent.unnamed:,} of them name no user and count as one user each: where users come back, power is less than told here."
        )


def _say_guards(loop: Loop, plan: Plan, e: Experiment) -> None:
    """How surely each guardrail is shown to hold: one that cannot be blocks every promotion."""
    rows, blocks = [], []
    whole = recent_traffic(loop.warehouse, e.app, e.environment, e.metric, now_us(), scorers=loop.scorers)
    for g in e.guardrails:
        seen = recent_traffic(
            loop.warehouse, e.app, e.environment, g.metric, now_us(), scorers=loop.scorers, risk=g.risk_category
        )
        where = guarded_text(g.metric, g.risk_category)
        if seen is None or whole is None:
            rows.append((where, points_text(g.margin), "no such traffic yet", "cannot tell", "cannot tell"))
            blocks.append(where)
            continue
        kind = known_metric(g.metric, loop.scorers)
        harm = 0.2 if kind.kind != "binary" else seen.mean if kind.up_is_bad else 1 - seen.mean
        asked, part = replace(plan.asked, design_effect=seen.design_effect), min(1.0, seen.users / whole.users)
        power, least = guard_power(asked, harm, g.margin, part), guard_margin(asked, harm, part)
        could = "nothing" if least is None else points_text(least)
        rows.append((where, points_text(g.margin), f"{100 * harm:.3g} %", power_text(power), could))
        if power < 0.5:
            blocks.append(where)
    if not rows:
        return
    head = ("guardrail", "accepts", "harm now", f"shown to hold in {time_text(e.days)}", "could be shown to keep")
    show_table(head, rows, empty="")
    if blocks:
        say(
            plain(
                f"{', '.join(blocks)}: rather not shown to hold with this traffic, and without that it ends in a hold. Accept more, run "
                "longer, or leave it out with a reason in the hypothesis."
            )
        )
