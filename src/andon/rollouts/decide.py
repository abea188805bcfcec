"""One look at an experiment: promote, hold, roll back, or undecided for so many days. Pure.

In this order: nothing came; the split is broken; harm is shown; the primary metric is worse; everything is shown that a promotion
needs; the time is over; else undecided. A metric that looks good never outweighs one that harms. What is decided stays decided, but
for harm: that is looked for as long as anybody is served the treatment.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from andon.rollouts.arms import MISMATCH
from andon.rollouts.effects import Seen, boundary
from andon.rollouts.findings import (
    CROSSED,
    Present,
    alphas_of,
    comparable,
    guard_finding,
    harm_shown_at,
    primary_finding,
    primary_of,
    segment_findings,
)
from andon.rollouts.plan import LEAST_DAYS, LEAST_USERS
from andon.rollouts.records import Arm, Decision, Experiment, Finding, Outcome
from andon.rollouts.told import more_text
from andon.stats.e_process import split_e
from andon.traffic import quoted

__all__ = ["decide"]

_AT_END = 2.03
"""About the boundary of the last look: for the guess how long it takes."""

_OUT_OF_REACH = 0.5
"""Share of the planned information at the end below which the traffic is too little for the plan."""


def decide(experiment: Experiment, looks: Sequence[Decision], present: Present) -> Decision:
    """Decide at one look, from the looks so far and all that came until now.

    After the first decision that is not "undecided" the looks go on, because the treatment is still served: they decide the same
    again, or to roll back. Harm and "worse" are shown by boundaries that hold over all looks until the end, so this costs
    nothing. Until then, in this order:

    1. Nothing came: undecided, at the end hold. 2. The split is not as planned (`split_e` at 0.001, over all looks; or more than 1 % of the users are
    in both arms): hold, and no effect is read. 3. Harm is shown on a guardrail, or on a canary's metric: roll back; error rates as in
    `alphas_of`. 4. The primary metric of an A/B is shown worse (alpha / 2): roll back. 5. An A/B's primary is shown better (alpha / 2),
    every guardrail not worse by more than its margin, all of it at this look, with 1,000 users in each arm and 7 whole days; a
    canary's metric not worse by more than `effect` and so every guardrail: promote. 6. The time is over: hold. 7. Undecided, with a guess of the days.

    Of users who come back, each look reads all they did so far, as one unit; a boundary then spends no more than it may, because
    estimates of looks resemble each other more than those of new users would. Boundaries follow the information that is in, or the
    time that has passed where less of that has: a test that is larger than planned still runs over whole weeks, and one that is
    smaller spends at its end what is left.

    Args:
        experiment: the plan, as it was written first.
        looks: its decisions so far, in order.
        present: what came from the start until this look.
    """
    now = _decided_now(experiment, looks, present)
    first = next((look for look in looks if look.outcome != "undecided"), None)
    if first is None or now.outcome == "roll back":
        return now
    since = "no harm is shown since then" if now.findings else f"since then: {now.reason}"
    reason = f"{first.reason} (decided at look {first.look}; {since})"
    return replace(now, outcome=first.outcome, reason=reason, more_days=None, most_days=None)


def _decided_now(experiment: Experiment, looks: Sequence[Decision], present: Present) -> Decision:
    """What this look decides, whatever an earlier one did."""
    split = _split_p(experiment, looks, present)
    seen = primary_of(experiment, present)
    information = _information(experiment, seen)
    fraction = _fraction(experiment, present, information)
    look = _Look(experiment, looks, present, seen, split, fraction)
    control, treatment, crossed = present.split[:3]
    if control + treatment == 0:
        named = f"names the variant {experiment.id.lower()}-control or the treatment's"
        if experiment.field is not None:
            named = f"has {experiment.field} {quoted(experiment.control or '')} or {quoted(experiment.treatment or '')}"
        return look.so(
            "hold" if present.last else "undecided", f"nothing came of this experiment: no interaction {named}"
        )
    if split is not None and split < MISMATCH:
        return look.so(
            "hold",
            f"the split is broken: {control:,} users in the control and {treatment:,} in the treatment where a share of "
            f"{experiment.share:g} was planned (p = {split:.2g} over all looks, sample-ratio mismatch); no effect is read until the "
            "cause is found",
        )
    if _draws_users(experiment) and crossed > CROSSED * (control + treatment - crossed) and crossed > 1:
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
        primary = primary_finding(experiment, looks, present, c)
        primary = comparable(primary, present.primary.pair, present.split)
        guards = [
            comparable(
                guard_finding(g, guarded, harm_shown_at(experiment, looks, present, alpha), c),
                guarded.pair,
                present.split,
            )
            for g, guarded, alpha in zip(experiment.guardrails, present.guards, alphas, strict=True)
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
            days = (more, more)
            said = (
                f"this traffic cannot decide it in time ({more_text(left, left)} left): what was planned would take "
                f"{more_text(more, more)} more, and the offline gate can (`andon gate`)"
            )
        else:
            days = self._more_days(guards, left)
            said = f"{more_text(*days)} more, if all stays as it is"
        return self.so("undecided", f"{'; '.join(lacking)}; {said}", findings, days)

    def so(
        self,
        outcome: Outcome,
        reason: str,
        findings: tuple[Finding, ...] = (),
        more: tuple[float | None, float | None] = (None, None),
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
            fraction=self.fraction if findings else None, more_days=more[0], most_days=more[1], findings=findings, notes=tuple(self.notes),
        )  # fmt: skip

    def _lacking(self, primary: Finding, guards: Sequence[Finding]) -> list[str]:
        """What a promotion still needs, as sentences; empty is a promotion."""
        experiment, present = self.experiment, self.present
        lacking = []
        control, treatment = present.split[:2]
        if experiment.kind == "ab":
            if primary.verdict != "better":
                said = primary.text if primary.effect is None else primary.text.rpartition(": ")[0]
                lacking.append(f"the primary metric is not shown better: {said}")
            if present.days < LEAST_DAYS - 1e-9:
                lacking.append(f"{present.days:.1f} of at least {LEAST_DAYS} whole days are over")
            if min(control, treatment) < LEAST_USERS:
                lacking.append(
                    f"{min(control, treatment):,} users are in the smaller arm, at least {LEAST_USERS:,} are needed"
                )
        elif primary.verdict != "not worse":
            lacking.append(f"no promotion yet: {primary.text}")
        return [*lacking, *(f"guardrail {finding.text}" for finding in guards if finding.verdict != "not worse")]

    def _more_days(self, guards: Sequence[Finding], left: float) -> tuple[float, float]:
        """About the days until everything lacking is shown, if traffic stays: with each effect a standard error better, and worse."""
        experiment, present, seen = self.experiment, self.present, self.seen
        if seen is None or not seen.se or experiment.method == "fixed":
            return left, left
        gain = seen.estimate if experiment.better == "up" else -seen.estimate
        if experiment.kind == "ab":
            rooms = [(gain, seen.se)]
        else:
            harm = seen.estimate if experiment.spread is None else -gain
            rooms = [(experiment.effect - harm, seen.se)]
        for finding, guardrail in zip(guards, experiment.guardrails, strict=True):
            if finding.effect is not None and finding.se is not None:
                rooms.append((guardrail.margin - finding.effect, finding.se))
        least = 1 / 24  # the next look at the soonest
        if experiment.kind == "ab":
            users = min(present.split[:2])
            least = max(1.0, LEAST_DAYS - present.days, present.days * (LEAST_USERS / users - 1) if users else left)
        most = []
        for errors in (1, -1):
            needed = max((_AT_END * se / room) ** 2 if (room := at + errors * se) > 0 else math.inf for at, se in rooms)
            most.append(min(max(present.days * (needed - 1), least), left))
        return most[0], most[1]


def _draws_users(experiment: Experiment) -> bool:
    """Whether each user has one arm: not in a shadow, and not where nobody planned a split."""
    return experiment.kind != "shadow" and experiment.share is not None


def _split_p(experiment: Experiment, looks: Sequence[Decision], present: Present) -> float | None:
    """p-value of the split that may be read at any look; None where no users were to be drawn or are known, and where nobody came."""
    if experiment.share is None or experiment.kind == "shadow" or not sum(present.split[:2]):
        return None
    if not present.split.of_users:
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
    planned = variance * experiment.design_effect * sum(1 / max(1, n) for n in experiment.planned)
    return planned / seen.se**2 if planned > 0 else 1.0


def _fraction(experiment: Experiment, present: Present, information: float | None) -> float | None:
    if information is None:
        return None
    if experiment.method == "confidence sequence":
        return information
    return min(information, present.days / experiment.days)


def _notes(experiment: Experiment, present: Present) -> list[str]:
    control, treatment, crossed, unnamed, uneven = present.split
    notes = []
    if experiment.share is None:
        both = f"; {crossed:,} users were seen in both, and count in each" if crossed else ""
        notes.append(
            f"nobody planned a split, so it is not checked, and what differs may be who was given which version{both}"
        )
    elif crossed and experiment.kind != "shadow":
        notes.append(
            f"{crossed:,} users were seen in both arms, and count in each: somewhere another targeting key is sent"
        )
    if unnamed:
        notes.append(
            f"{unnamed:,} of {control + treatment:,} units are interactions that name no user and count as one each: if users have "
            "several, intervals are too narrow"
        )
    if not present.split.of_users and _draws_users(experiment):
        why = "rows stand for different numbers of interactions" if uneven else "users are not named"
        notes.append(
            f"cannot tell whether the split is as planned: {why}, so the units of the arms are not what was drawn; that "
            f"{control:,} came in the control and {treatment:,} in the treatment says nothing by itself"
        )
    return notes
