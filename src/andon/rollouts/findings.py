"""What each metric of an experiment shows at one look, as findings with their sentences. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from andon.rollouts.arms import Pair, Split
from andon.rollouts.effects import Seen, Told, boundary, mean_effect, rate_effect, told_next
from andon.rollouts.records import Decision, Experiment, Finding, Guardrail
from andon.settings import is_high_risk
from andon.stats.e_process import guardrail_e
from andon.stats.paired import holm
from andon.stats.two_sample import UserSums, heterogeneity
from andon.traffic import quoted

__all__ = [
    "FEWEST",
    "HIGH_RISK_SHARE",
    "Guarded",
    "Present",
    "alphas_of",
    "guard_finding",
    "primary_finding",
    "primary_of",
    "ratio_of",
    "segment_findings",
    "shown",
]

FEWEST = 100
"""Units of each arm below which no normal law is trusted."""

HIGH_RISK_SHARE = 0.75
"""Of the error rate of harm: for what guards high risk, where something else is guarded, too."""

Role = Literal["primary", "guardrail", "segment"]
Verdict = Literal["better", "worse", "not worse", "undecided"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """One guardrail as the traffic shows it: x counts what was harmed."""

    pair: Pair | None
    """None where it cannot be read."""
    before: tuple[float, float] | None = None
    """Harmed and all interactions before the start: a first idea of the control's rate, no part of any effect."""
    problem: str = ""
    """Why it cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """All that came from the start of an experiment until one look."""

    at_us: int
    days: float
    """Since the start."""
    last: bool
    """Nothing more will come."""
    whole: bool
    """The planned time is over."""
    split: Split
    primary: Guarded
    """Of an A/B, x sums the metric's values."""
    past: tuple[UserSums, UserSums] | None = None
    """The users of an A/B on the primary metric before the start."""
    segments: Mapping[str, Pair]
    """The primary metric by risk category."""
    guards: tuple[Guarded, ...] = ()
    """In the order of the experiment's guardrails."""


def alphas_of(experiment: Experiment) -> tuple[float | None, tuple[float, ...]]:
    """Error rates, one-sided, at which harm is shown: of the primary (None of an A/B) and of each guardrail.

    They add up to the experiment's alpha. What guards high risk shares three quarters of it, all else the last quarter; where there
    is only one kind, it has all. So harm anywhere is told without cause with probability alpha at most, and high risk is told first.
    """
    high = [is_high_risk(g.risk_category) for g in experiment.guardrails]
    watched = [*high, False] if experiment.kind != "ab" else high
    counts = {True: sum(watched), False: len(watched) - sum(watched)}
    share = {True: HIGH_RISK_SHARE, False: 1 - HIGH_RISK_SHARE} if all(counts.values()) else {True: 1.0, False: 1.0}
    each = [experiment.alpha * share[kind] / counts[kind] for kind in watched]
    return (each[-1], tuple(each[:-1])) if experiment.kind != "ab" else (None, tuple(each))


def primary_of(experiment: Experiment, present: Present) -> Seen | None:
    """The primary metric's effect: of means where the plan has a spread, else of rates; None where an arm has nothing."""
    if present.primary.pair is None:
        return None
    effect = rate_effect if experiment.spread is None else mean_effect
    return effect(present.primary.pair, present.past)


def primary_finding(
    experiment: Experiment, looks: Sequence[Decision], present: Present, c: float, information: float
) -> Finding:
    """The primary metric: better or worse of an A/B; harmed, or not worse by more than `effect`, of a canary and a shadow."""
    alpha, _ = alphas_of(experiment)
    if alpha is not None and experiment.spread is None:
        guardrail = Guardrail(metric=experiment.metric, margin=experiment.effect)
        return guard_finding(guardrail, present.primary, _before(looks, "primary"), c, alpha, experiment, "primary")
    seen = primary_of(experiment, present)
    if seen is None:
        return _unread(experiment.metric, "primary", None, present.primary.problem)
    up = 1 if experiment.better == "up" else -1
    interval = seen.interval(c) if _enough(present.primary.pair) else None
    low, high = interval or (None, None)
    verdict: Verdict = "undecided"
    why = ""
    if low is not None and high is not None:
        gains = (low, high) if up == 1 else (-high, -low)
        if alpha is None:
            verdict = "better" if gains[0] > 0 and up * seen.z >= c else verdict
            verdict = "worse" if gains[1] < 0 and up * seen.z <= -c else verdict
        else:
            verdict = "not worse" if gains[0] >= -experiment.effect else verdict
    if alpha is not None and seen.se is not None and _enough(present.primary.pair):
        limit = boundary("confidence sequence", [], information, 2 * alpha, last=False)
        if verdict != "not worse" and -up * seen.z >= limit:
            verdict, why = "worse", f"; {-up * seen.z:.1f} standard errors worse, {limit:.1f} show it at any look"
    text = f"{experiment.metric}: {_arms(seen, present.primary.pair)}; {_effect(seen, low, high)}{_cuped(seen)}{why}: {_said(verdict, experiment)}"
    return Finding(
        metric=experiment.metric, role="primary", control=seen.control, treatment=seen.treatment, effect=seen.estimate,
        low=low, high=high, verdict=verdict, text=text,
    )  # fmt: skip


def guard_finding(
    guardrail: Guardrail,
    guarded: Guarded,
    before: Sequence[Finding],
    c: float,
    alpha: float,
    experiment: Experiment,
    role: Role = "guardrail",
) -> Finding:
    """A guardrail: harmed by an e-process over all looks, or not worse by more than its margin by the interval of this look.

    Args:
        guardrail: what is guarded.
        guarded: what came.
        before: findings of the same at earlier looks.
        c: boundary of this look in standard errors.
        alpha: one-sided error rate of harm, over all looks.
        experiment: whose it is.
        role: in the finding.
    """
    pair = guarded.pair
    seen = None if pair is None else rate_effect(pair)
    steps = [f.told for f in before if f.told is not None]
    told = told_next(seen, steps[-1] if steps else None)
    log_e = _log_e([*steps, told] if told else steps, guarded.before, guardrail.margin, experiment.planned[0])
    if seen is None or pair is None:
        return _unread(guardrail.metric, role, guardrail.risk_category, guarded.problem, log_e, told)
    low, high = (seen.interval(c) if _enough(pair) else None) or (None, None)
    not_worse = high is not None and high <= guardrail.margin
    harmed = log_e >= math.log(1 / alpha)
    verdict: Verdict = "not worse" if not_worse else "worse" if harmed else "undecided"
    text = f"{_name(guardrail)}: harm {_arms(seen, pair)}; {_effect(seen, low, high)}"
    if harmed:
        text += f"; evidence of harm {_odds(log_e)}, {1 / alpha:,.0f} to 1 show it"
    margin = f"{100 * guardrail.margin:g} points"
    ends = {
        "not worse": f"not worse by more than {margin}",
        "worse": "it is worse",
        "undecided": f"not shown that it is worse by at most {margin}",
    }
    return Finding(
        metric=guardrail.metric, role=role, risk_category=guardrail.risk_category, control=seen.control, treatment=seen.treatment,
        effect=seen.estimate, low=low, high=high, verdict=verdict, text=f"{text}: {ends[verdict]}", log_e=log_e, told=told,
    )  # fmt: skip


def segment_findings(experiment: Experiment, present: Present, c: float) -> tuple[list[Finding], str]:
    """The primary effect in each risk category, high risk first, and a sentence on whether they differ.

    A verdict is Holm's over the categories at the level of this look: ``2 Phi(-c)``. It decides nothing; guardrails do.
    """
    effect = rate_effect if experiment.spread is None else mean_effect
    found = [(risk, pair, effect(pair)) for risk, pair in present.segments.items()]
    known = [(risk, pair, seen) for risk, pair, seen in found if seen is not None and _enough(pair) and seen.se]
    known.sort(key=lambda each: (not is_high_risk(each[0]), each[0]))
    if not known:
        return [], ""
    adjusted = holm([2 * float(special.ndtr(-abs(seen.z))) for _, _, seen in known])
    level = 2 * float(special.ndtr(-c)) if math.isfinite(c) else 0.0
    counted_as_harm = experiment.kind != "ab" and experiment.spread is None
    harm_up = counted_as_harm or experiment.better == "down"
    findings = []
    for (risk, pair, seen), p in zip(known, adjusted, strict=True):
        low, high = seen.interval(c) or (None, None)
        worse = (seen.z > 0) == harm_up
        verdict: Verdict = ("worse" if worse else "better") if p <= level else "undecided"
        text = f"{experiment.metric} in {quoted(risk)}: {_arms(seen, pair)}; {_effect(seen, low, high)}: "
        text += verdict if verdict != "undecided" else "nothing shown there by itself"
        finding = Finding(
            metric=experiment.metric, role="segment", risk_category=risk, control=seen.control, treatment=seen.treatment,
            effect=seen.estimate, low=low, high=high, verdict=verdict, text=text,
        )  # fmt: skip
        findings.append(finding)
    differ = heterogeneity([s.estimate for _, _, s in known], [s.se or math.inf for _, _, s in known])
    if differ is None:
        return findings, ""
    said = (
        "differs between risk categories more than chance would make it"
        if differ.p < 0.05
        else "is not shown to differ between risk categories"
    )
    return (
        findings,
        f"The effect {said} (Q = {differ.q:.1f} with {differ.df} degrees of freedom, p = {differ.p:.2g} at this look)",
    )


def shown(looks: Sequence[Decision], finding: Finding, verdict: str) -> bool:
    """Whether this look or an earlier one showed it: what a boundary has shown stays shown."""
    earlier = (f for look in looks for f in look.findings if _same(f, finding))
    return finding.verdict == verdict or any(f.verdict == verdict for f in earlier)


def _same(one: Finding, other: Finding) -> bool:
    return (one.metric, one.role, one.risk_category) == (other.metric, other.role, other.risk_category)


def _before(looks: Sequence[Decision], role: str) -> list[Finding]:
    return [f for look in looks for f in look.findings if f.role == role]


def _log_e(told: Sequence[Told], before: tuple[float, float] | None, margin: float, planned: int) -> float:
    """The highest log e-value so far that there is any harm; what earlier traffic says of the rate counts like the planned control at most."""
    if not told:
        return 0.0
    batches = np.diff(np.array([(0.0, 0.0, 0.0, 0.0), *told]), axis=0)
    batches[:, 1::2] = np.maximum(batches[:, 1::2], 0.0)
    batches[:, 0::2] = np.clip(batches[:, 0::2], 0.0, batches[:, 1::2])  # sums taken apart again are off by a rounding
    ratio, history = 1.5, []
    if before is not None and before[1] > 0:
        share = min(1.0, planned / before[1])
        history = [[before[0] * share, before[1] * share, 0.0, 0.0]]
        ratio = ratio_of(before[0] / before[1], margin)
    return max(0.0, float(guardrail_e(np.vstack([*history, batches]), ratio=ratio).max()))


def ratio_of(rate: float, margin: float) -> float:
    """The odds ratio of harm that shall be shown quickest: of a rate that rises by the margin. Any harm may be shown all the same."""
    p = min(max(rate, 1e-4), 0.5)
    worse = min(p + max(margin, 0.05 * p), 0.95)
    return min(max(worse / (1 - worse) / (p / (1 - p)), 1.2), 4.0)


def _unread(
    metric: str, role: Role, risk: str | None, problem: str, log_e: float | None = None, told: Told | None = None
) -> Finding:
    where = "" if risk is None else f" in {quoted(risk)}"
    text = f"{metric}{where}: {problem or 'nothing came in at least one arm'}, so nothing can be said"
    return Finding(
        metric=metric, role=role, risk_category=risk, control=None, treatment=None, effect=None, low=None, high=None,
        verdict="undecided", text=text, log_e=log_e, told=told,
    )  # fmt: skip


def _enough(pair: Pair | None) -> bool:
    return pair is not None and all(arm.units >= FEWEST for arm in pair)


def _name(guardrail: Guardrail) -> str:
    return (
        guardrail.metric
        if guardrail.risk_category is None
        else f"{guardrail.metric} in {quoted(guardrail.risk_category)}"
    )


def _arms(seen: Seen, pair: Pair | None) -> str:
    assert pair is not None
    control, treatment = pair
    rate = seen.counts is not None
    one, other = (f"{100 * v:.3g} %" if rate else f"{v:.4g}" for v in (seen.treatment, seen.control))
    return f"{one} of {treatment.rows:,.0f} in the treatment, {other} of {control.rows:,.0f} in the control"


def _effect(seen: Seen, low: float | None, high: float | None) -> str:
    factor, unit = (100.0, " points") if seen.counts is not None else (1.0, "")
    effect = f"{factor * seen.estimate:+.3g}{unit}"
    if low is None or high is None:
        return f"{effect}, no interval yet"
    return f"{effect} ({factor * low:+.3g} to {factor * high:+.3g})"


def _cuped(seen: Seen) -> str:
    return f", users' past taken out, which is {100 * seen.removed:.0f} % of the noise" if seen.removed else ""


def _said(verdict: str, experiment: Experiment) -> str:
    if verdict == "not worse":
        return f"not worse by more than {experiment.effect:g}"
    return {"better": "shown better", "worse": "shown worse"}.get(verdict, "nothing shown yet")


def _odds(log_e: float) -> str:
    return f"{math.exp(log_e):,.0f} to 1" if log_e < 20 else "above 10^8 to 1"
