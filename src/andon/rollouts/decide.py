"""One look at an experiment: promote, hold, roll back, or undecided for so many days. Pure.

In this order: nothing came; the split is broken; harm is shown; the primary metric is worse; everything is shown that a promotion
needs; the time is over; else undecided. A metric that looks good never outweighs one that harms.
"""

import math
from collections.abc import Sequence

import numpy as np

from andon.rollouts.compare import MISMATCH
from andon.rollouts.effects import Seen, Told, boundary
from andon.rollouts.findings import (
    FEWEST,
    Present,
    alphas_of,
    guard_finding,
    primary_finding,
    primary_of,
    segment_findings,
    shown,
)
from andon.rollouts.plan import LEAST_DAYS, LEAST_USERS
from andon.rollouts.records import Arm, Decision, Experiment, Finding, Outcome
from andon.stats.e_process import split_e

__all__ = ["decide"]

CROSSED = 0.01
"""Share of users in both arms above which the split is taken for broken."""

_AT_END = 2.03
"""About the boundary of the last look: for the guess how long it takes."""

_OUT_OF_REACH = 0.5
"""Share of the planned information at the end below which the traffic is too little for the plan."""


def decide(experiment: Experiment, looks: Sequence[Decision], present: Present) -> Decision:
    """Decide at one look, from the looks so far and all that came until now.

    1. Nothing came: undecided, at the end hold. 2. The split is not as planned (`split_e` at 0.001, over all looks; or more than 1 % of the users are
    in both arms): hold, and no effect is read. 3. Harm is shown on a guardrail, or on a canary's metric: roll back; error rates as in
    `alphas_of`. 4. The primary metric of an A/B is shown worse (alpha / 2): roll back. 5. An A/B's primary is shown better (alpha / 2),
    every guardrail not worse by more than its margin, with 1,000 users in each arm and 7 whole days; a canary's metric not worse by
    more than `effect` and so every guardrail: promote. 6. The time is over: hold. 7. Undecided, with a guess of the days.

    Of users who come back, each look reads all they did so far, as one unit; a boundary then spends no more than it may, because
    estimates of looks resemble each other more than those of new users would. Boundaries follow the information that is in, or the
    time that has passed where less of that has: a test that is larger than planned still runs over whole weeks, and one that is
    smaller spends at its end what is left.

    Args:
        experiment: the plan, as it was written first.
        looks: its decisions so far, in order.
        present: what came from the start until this look.
    """
    split = _split_p(experiment, looks, present)
    seen = primary_of(experiment, present)
    information = _information(experiment, seen)
    fraction = _fraction(experiment, present, information)
    look = _Look(experiment, looks, present, seen, split, fraction)
    control, treatment, crossed, _ = present.split
    if control + treatment == 0:
        variants = f"{experiment.id.lower()}-control"
        return look.so(
            "hold" if present.last else "undecided",
            f"nothing came of this experiment: no interaction names the variant {variants} or the treatment's",
        )
    if split is not None and split < MISMATCH:
        return look.so(
            "hold",
            f"the split is broken: {control:,} users in the control and {treatment:,} in the treatment where a share of "
            f"{experiment.share:g} was planned (p = {split:.2g} over all looks, sample-ratio mismatch); no effect is read until the "
            "cause is found",
        )
    if experiment.kind != "shadow" and crossed > CROSSED * (control + treatment - crossed) and crossed > 1:
        return look.so(
            "hold",
            f"the split is broken: {crossed:,} of {control + treatment - crossed:,} users were seen in both arms; no effect is read until "
            "the cause is found (another targeting key in one place of the application is the usual one)",
        )
    c = boundary(
        experiment.method,
        [look.fraction for look in looks] + [fraction],
        information or 0.0,
        experiment.alpha,
        last=present.whole,
    )
    return look.read(c, information or 0.0)


class _Look:
    """What goes into the decision, whatever it is."""

    def __init__(
        self,
        experiment: Experiment,
        looks: Sequence[Decision],
        present: Present,
        seen: Seen | None,
        split: float | None,
        fraction: float | None,
    ) -> None:
        self.experiment, self.looks, self.present, self.seen = experiment, looks, present, seen
        self.split, self.fraction = split, fraction
        self.notes = _notes(experiment, present)

    def read(self, c: float, information: float) -> Decision:
        """The decision where the split is sound."""
        experiment, looks, present = self.experiment, self.looks, self.present
        _, alphas = alphas_of(experiment)
        primary = primary_finding(experiment, looks, present, c, information)
        guards = [
            guard_finding(g, guarded, _earlier(looks, k), c, alpha, experiment)
            for k, (g, guarded, alpha) in enumerate(zip(experiment.guardrails, present.guards, alphas, strict=True))
        ]
        segments, differ = segment_findings(experiment, present, c)
        if differ:
            self.notes.append(differ)
        findings = (primary, *guards, *segments)
        ab = experiment.kind == "ab"
        harmed = [f for f in (*guards, *([] if ab else [primary])) if f.verdict == "worse"]
        if harmed:
            first = min(harmed, key=lambda f: f.risk_category is None)
            others = f" (and {len(harmed) - 1} more)" if len(harmed) > 1 else ""
            veto = (
                "; that the primary metric is better does not outweigh it" if ab and primary.verdict == "better" else ""
            )
            return self.so("roll back", f"harm is shown{others}: {first.text}{veto}", findings)
        if ab and primary.verdict == "worse":
            return self.so("roll back", f"the primary metric is worse: {primary.text}", findings)
        lacking = self._lacking(primary, guards)
        if not lacking:
            what = "the primary metric is better" if ab else "it does no more harm than is accepted"
            rest = " and no guardrail is worse by more than its margin" if guards else ""
            return self.so("promote", f"{what}{rest}: {primary.text}", findings)
        if present.last:
            over = "the planned time is over" if present.whole else f"it was stopped after {present.days:.1f} days"
            return self.so("hold", f"{over}, and a promotion is not earned: {'; '.join(lacking)}", findings)
        left = experiment.days - present.days
        if 0 < information < _OUT_OF_REACH * present.days / experiment.days:
            more = present.days / information - present.days
            said = (
                f"this traffic cannot decide it in the {_time(left)} that are left: what was planned would take about "
                f"{_time(more)} more, and the offline gate can (`andon gate`)"
            )
        else:
            more = self._more_days(guards, left)
            said = f"about {_time(more)} more, if all stays as it is"
        return self.so("undecided", f"{'; '.join(lacking)}; {said}", findings, more)

    def so(
        self, outcome: Outcome, reason: str, findings: tuple[Finding, ...] = (), more_days: float | None = None
    ) -> Decision:
        """The record."""
        experiment, present = self.experiment, self.present
        number = len(self.looks) + 1
        primary = findings[0] if findings else None
        arms = [
            Arm(name=name, n=n, events=0 if pair is None or experiment.spread is not None else round(pair.x), interactions=0 if pair is None else round(pair.rows))
            for name, n, pair in zip(
                ("control", "treatment"), present.split[:2], present.primary.pair or (None, None), strict=True
            )
        ]  # fmt: skip
        return Decision(
            id=f"{experiment.id}@{number:04d}", at_us=present.at_us, app=experiment.app, metric=experiment.metric,
            control=arms[0], treatment=arms[1], outcome=outcome, reason=reason,
            effect=primary.effect if primary else None, low=primary.low if primary else None,
            high=primary.high if primary else None, ratio_mismatch=self.split, experiment=experiment.id, look=number,
            fraction=self.fraction if findings else None, more_days=more_days, findings=findings, notes=tuple(self.notes),
        )  # fmt: skip

    def _lacking(self, primary: Finding, guards: Sequence[Finding]) -> list[str]:
        """What a promotion still needs, as sentences; empty is a promotion."""
        experiment, present, looks = self.experiment, self.present, self.looks
        lacking = []
        control, treatment = present.split[:2]
        if experiment.kind == "ab":
            ahead = primary.effect is not None and (primary.effect > 0) == (experiment.better == "up")
            if not (ahead and shown(looks, primary, "better")):
                lacking.append(f"the primary metric is not shown better: {primary.text.rpartition(': ')[0]}")
            if present.days < LEAST_DAYS - 1e-9:
                lacking.append(f"{present.days:.1f} of at least {LEAST_DAYS} whole days are over")
            if min(control, treatment) < LEAST_USERS:
                lacking.append(
                    f"{min(control, treatment):,} users are in the smaller arm, at least {LEAST_USERS:,} are needed"
                )
        elif not shown(looks, primary, "not worse"):
            lacking.append(f"no promotion yet: {primary.text}")
        elif min(control, treatment) < FEWEST:
            lacking.append(f"{min(control, treatment):,} users are in the smaller arm, at least {FEWEST} are needed")
        for finding, guardrail in zip(guards, experiment.guardrails, strict=True):
            within = finding.effect is not None and finding.effect <= guardrail.margin
            if not (within and shown(looks, finding, "not worse")):
                lacking.append(f"guardrail {finding.text}")
        return lacking

    def _more_days(self, guards: Sequence[Finding], left: float) -> float:
        """About the days until everything lacking is shown, if effects and traffic stay; the end decides at the latest."""
        experiment, present, seen = self.experiment, self.present, self.seen
        if seen is None or not seen.se or experiment.method == "fixed":
            return left
        gain = seen.estimate if experiment.better == "up" else -seen.estimate
        if experiment.kind == "ab":
            rooms = [(gain, seen.se)]
        else:
            harm = seen.estimate if experiment.spread is None else -gain
            rooms = [(experiment.effect - harm, seen.se)]
        for finding, guardrail in zip(guards, experiment.guardrails, strict=True):
            if finding.effect is not None and finding.told is not None:
                rooms.append((guardrail.margin - finding.effect, _se(finding.told)))
        if any(room <= 0 for room, _ in rooms):
            return left
        more = present.days * (max((_AT_END * se / room) ** 2 for room, se in rooms) - 1)
        if experiment.kind == "ab":
            users = min(present.split[:2])
            more = max(more, LEAST_DAYS - present.days, present.days * (LEAST_USERS / users - 1) if users else left)
        return min(max(more, 1.0 if experiment.kind == "ab" else 1 / 24), left)  # the next look at the soonest


def _time(days: float) -> str:
    hours = max(1, round(24 * days))
    return "an hour" if hours == 1 else f"{hours} hours" if days < 2 else f"{days:,.0f} days"


def _se(told: Told) -> float:
    """Standard error of a guardrail's effect, from what its e-process was told."""
    x1, n1, x2, n2 = told
    if not (n1 and n2):
        return math.inf
    p = min(max((x1 + x2) / (n1 + n2), 0.5 / (n1 + n2)), 1.0)
    return math.sqrt(p * (1 - p) * (1 / n1 + 1 / n2))


def _earlier(looks: Sequence[Decision], k: int) -> list[Finding]:
    """The findings of the k-th guardrail at earlier looks."""
    found = []
    for look in looks:
        guards = [f for f in look.findings if f.role == "guardrail"]
        if guards:
            found.append(guards[k])
    return found


def _split_p(experiment: Experiment, looks: Sequence[Decision], present: Present) -> float | None:
    """p-value of the split that may be read at any look; None for a shadow, which draws no users, and where nobody came."""
    if experiment.kind == "shadow" or not sum(present.split[:2]):
        return None
    counts = [(look.control.n, look.treatment.n) for look in looks] + [present.split[:2]]
    highest = np.maximum.accumulate(
        np.array([(0, 0), *counts])
    )  # users who are erased are no new ones when others come
    new = np.diff(highest, axis=0)
    highest_e = float(split_e(new[:, 0], new[:, 1], experiment.share).max())
    return min(1.0, math.exp(-min(highest_e, 690.0)))


def _information(experiment: Experiment, seen: Seen | None) -> float | None:
    """Share of the planned information that is in: one over the squared standard error, over that of the plan."""
    if seen is None or not seen.se:
        return None
    variance = experiment.spread**2 if experiment.spread is not None else experiment.base * (1 - experiment.base)
    planned = variance * sum(1 / max(1, n) for n in experiment.planned)
    return planned / seen.se**2 if planned > 0 else 1.0


def _fraction(experiment: Experiment, present: Present, information: float | None) -> float | None:
    if information is None:
        return None
    if experiment.method == "confidence sequence":
        return information
    return min(information, present.days / experiment.days)


def _notes(experiment: Experiment, present: Present) -> list[str]:
    control, treatment, crossed, unnamed = present.split
    notes = []
    if crossed and experiment.kind != "shadow":
        notes.append(
            f"{crossed:,} users were seen in both arms, and count in each: somewhere another targeting key is sent"
        )
    if unnamed:
        notes.append(
            f"{unnamed:,} of {control + treatment:,} units are interactions that name no user and count as one each: if users have "
            "several, intervals are too narrow and the check of the split is too strict"
        )
    return notes
