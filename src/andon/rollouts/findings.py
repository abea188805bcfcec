"""What each metric of an experiment shows at one look, as findings with their sentences. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from scipy import special

from andon.rollouts.arms import Pair, Split
from andon.rollouts.effects import Seen, harm_limit, mean_effect, rate_effect
from andon.rollouts.records import Decision, Experiment, Finding, Guardrail
from andon.settings import is_high_risk
from andon.stats.paired import holm
from andon.stats.two_sample import UserSums, heterogeneity, two_rates
from andon.traffic import quoted

__all__ = [
    "CROSSED",
    "FEWEST",
    "HIGH_RISK_SHARE",
    "Guarded",
    "Present",
    "alphas_of",
    "comparable",
    "guard_finding",
    "harm_shown_at",
    "primary_finding",
    "primary_of",
    "segment_findings",
]

CROSSED = 0.01
"""Share of users in both arms above which users are not what was drawn."""

FEWEST = 100
"""Units of each arm below which no normal law is trusted."""

HIGH_RISK_SHARE = 0.75
"""Of the error rate of harm: for what guards high risk, where something else is guarded, too."""

UNLIKE = 0.001
"""p-value below which the arms are taken to differ in which users have a value of a metric."""

_DAY_US = 86_400_000_000

Role = Literal["primary", "guardrail", "segment"]
Verdict = Literal["better", "worse", "not worse", "undecided"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """One guardrail as the traffic shows it: x counts what was harmed."""

    pair: Pair | None
    """None where it cannot be read."""
    problem: str = ""
    """Why it cannot be read."""
    harm: str = ""
    """What counts as harm, of a number."""


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


def harm_shown_at(experiment: Experiment, looks: Sequence[Decision], present: Present, alpha: float) -> float:
    """Standard errors that show harm at this look, one-sided alpha over all looks until the planned time is over.

    What is in is counted by interactions: of users who come back that is more than they say, so looks seem to resemble each other
    less than they do, which errs on the safe side.
    """
    start_us = round(present.at_us - present.days * _DAY_US)  # whole: each look finds the same shares of those before
    pair = present.primary.pair or (None, None)
    rows = [max(n, 0.0 if arm is None else arm.rows) for n, arm in zip(present.split[:2], pair, strict=True)]
    came = [(present.at_us, rows)]
    for look in reversed(looks):
        if look.findings:  # else nothing was read
            came.append(
                (look.at_us, [float(max(arm.n, arm.interactions or 0)) for arm in (look.control, look.treatment)])
            )
    steps = [
        ((at_us - start_us) / _DAY_US / experiment.days, 1 / sum(1 / max(n, 1e-9) for n in two))
        for at_us, two in reversed(came)
    ]
    return harm_limit(steps, alpha)


def primary_finding(experiment: Experiment, looks: Sequence[Decision], present: Present, c: float) -> Finding:
    """The primary metric: better or worse of an A/B; harmed, or not worse by more than `effect`, of a canary and a shadow."""
    alpha, _ = alphas_of(experiment)
    limit = math.inf if alpha is None else harm_shown_at(experiment, looks, present, alpha)
    if alpha is not None and experiment.spread is None:
        guardrail = Guardrail(metric=experiment.metric, margin=experiment.effect)
        return guard_finding(guardrail, present.primary, limit, c, "primary")
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
    if verdict != "not worse" and _enough(present.primary.pair) and -up * seen.z >= limit:
        verdict, why = "worse", _harm(-up * seen.z, limit)
    text = f"{experiment.metric}: {_arms(seen, present.primary.pair)}; {_effect(seen, low, high)}{_cuped(seen)}{why}: {_said(verdict, experiment)}"
    return Finding(
        metric=experiment.metric, role="primary", control=seen.control, treatment=seen.treatment, effect=seen.estimate,
        low=low, high=high, verdict=verdict, text=text, se=seen.se,
    )  # fmt: skip


def guard_finding(guardrail: Guardrail, guarded: Guarded, limit: float, c: float, role: Role = "guardrail") -> Finding:
    """A guardrail: harmed by the exact test at this look's limit, or not worse by more than its margin by the interval of this look.

    Args:
        guardrail: what is guarded.
        guarded: what came.
        limit: standard errors that show harm at this look (`harm_shown_at`).
        c: boundary of this look's interval in standard errors.
        role: in the finding.
    """
    pair = guarded.pair
    seen = None if pair is None else rate_effect(pair)
    if seen is None or pair is None:
        return _unread(guardrail.metric, role, guardrail.risk_category, guarded.problem)
    low, high = (seen.interval(c) if _enough(pair) else None) or (None, None)
    not_worse = high is not None and high <= guardrail.margin
    harmed = seen.exact_z >= limit
    verdict: Verdict = "not worse" if not_worse else "worse" if harmed else "undecided"
    what = f" ({guarded.harm})" if guarded.harm else ""
    text = f"{_name(guardrail)}: harm{what} {_arms(seen, pair)}; {_effect(seen, low, high)}"
    if harmed:
        text += _harm(seen.exact_z, limit)
    margin = f"{100 * guardrail.margin:g} points"
    ends = {
        "not worse": f"not worse by more than {margin}",
        "worse": "it is worse",
        "undecided": f"not shown that it is worse by at most {margin}",
    }
    return Finding(
        metric=guardrail.metric, role=role, risk_category=guardrail.risk_category, control=seen.control, treatment=seen.treatment,
        effect=seen.estimate, low=low, high=high, verdict=verdict, text=f"{text}: {ends[verdict]}", se=seen.se,
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


def comparable(finding: Finding, pair: Pair | None, split: Split) -> Finding:
    """The finding, or that nothing can be told from it: users of one arm have a value more often than those of the other.

    A metric that exists for some users only (a thumb, an answer with sources) compares arms as long as who has one does not depend
    on the arm. Harm that is shown stays shown. Where users are not known it is not asked, nor where more than `CROSSED` of them are in
    both arms, as where requests are drawn: the larger arm then sees more of what each user does, so more of its users have a value.
    """
    users = split.control + split.treatment - split.crossed
    if pair is None or finding.effect is None or not split.of_users or split.crossed > CROSSED * users:
        return finding
    size = split[:2]
    have = [min(round(arm.units), n) for arm, n in zip(pair, size, strict=True)]
    test = two_rates(have[0], size[0], have[1], size[1])
    if test is None or test.p >= UNLIKE:
        return finding
    why = (
        f"{100 * have[1] / size[1]:.3g} % of the treatment's users have a value, {100 * have[0] / size[0]:.3g} % of the control's, so the two "
        "are not alike"
    )
    if finding.verdict == "worse":
        return replace(finding, text=f"{finding.text}; but {why}")
    where = "" if finding.risk_category is None else f" in {quoted(finding.risk_category)}"
    text = f"{finding.metric}{where}: cannot tell: {why}"
    return replace(finding, effect=None, low=None, high=None, verdict="undecided", text=text)


def _unread(metric: str, role: Role, risk: str | None, problem: str) -> Finding:
    where = "" if risk is None else f" in {quoted(risk)}"
    text = f"{metric}{where}: {problem or 'nothing came in at least one arm'}, so nothing can be said"
    return Finding(
        metric=metric, role=role, risk_category=risk, control=None, treatment=None, effect=None, low=None, high=None,
        verdict="undecided", text=text,
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


def _harm(z: float, limit: float) -> str:
    return f"; {z:.1f} standard errors worse, {limit:.1f} show harm at this look"
