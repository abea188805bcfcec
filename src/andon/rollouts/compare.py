"""Two arms compared on one metric: is the split sound, and does the treatment harm more than we accept?"""

from typing import Literal, NamedTuple

from scipy import stats as scipy_stats

from andon.errors import InputError
from andon.rollouts.records import Arm
from andon.stats import difference

__all__ = ["MISMATCH", "Comparison", "compare", "ratio_p"]

MISMATCH = 0.001
"""p-value of the sample-ratio check below which the split itself is taken for broken and no effect is read."""

_EXACT_BELOW = 1000
_MOST = 10**9

Outcome = Literal["promote", "hold", "roll back"]


class Comparison(NamedTuple):
    """What two arms allow; the figures are None where they could not be computed."""

    outcome: Outcome
    reason: str
    effect: float | None = None
    """Harm of the treatment less harm of the control, as a difference of rates."""
    low: float | None = None
    high: float | None = None
    ratio_mismatch: float | None = None
    """p-value of the sample-ratio check; None when no share was planned or nothing came in."""


def ratio_p(control: int, treatment: int, planned_share: float) -> float:
    """p-value that an allocation with this planned share of the treatment splits as unevenly as this.

    Pearson's chi-square with one degree of freedom and no continuity correction; the exact binomial test below 1,000
    interactions. The sample-ratio mismatch is read before any effect, because a broken split biases every metric.

    Source: Fabijan et al., "Diagnosing Sample Ratio Mismatch in Online Controlled Experiments", KDD 2019.
    """
    n = control + treatment
    if n < _EXACT_BELOW:
        return float(scipy_stats.binomtest(treatment, n, planned_share).pvalue)
    expected = n * planned_share
    chi_square = (treatment - expected) ** 2 / expected + (treatment - expected) ** 2 / (n - expected)
    return float(scipy_stats.chi2.sf(chi_square, 1))


def compare(
    control: Arm, treatment: Arm, *, planned_share: float | None = 0.5, margin: float = 0.02, alpha: float = 0.05
) -> Comparison:
    """Promote, hold or roll back, from the harmful interactions of two independent arms.

    First the split: with a sample-ratio p-value under `MISMATCH` the outcome is hold, whatever the effect. Then the
    difference of harm rates with Newcombe's interval at level 1 - alpha: wholly above 0 is roll back; at most `margin` is
    promote (the treatment is not inferior by more than the margin); anything else is hold, with the number of further
    interactions per arm that would decide if the rates stay as they are.

    A single look: alpha holds when this is asked once, at a size fixed beforehand. Asked again and again until it says
    something, it errs more often than alpha: a treatment that is like the control is told to harm in 11 % of tests of 14 looks,
    instead of in 2.5 %. Use instead: an experiment, which may be looked at again. Interactions count as independent; where
    users were allocated and each has many interactions, the interval is too narrow.

    Args:
        control: The arm that is in place.
        treatment: The arm that asks to replace it.
        planned_share: Planned share of the treatment among both arms; None when no split was planned, which skips the
            check of the split.
        margin: Largest increase of the harm rate that is acceptable.
        alpha: Two-sided error rate of the interval.

    Raises:
        InputError: counts, share, margin or alpha are impossible.
    """
    _check(control, treatment, planned_share, margin, alpha)
    n = control.n + treatment.n
    mismatch = None if planned_share is None or n == 0 else ratio_p(control.n, treatment.n, planned_share)
    if mismatch is not None and planned_share is not None and mismatch < MISMATCH:
        return Comparison(
            outcome="hold",
            reason=f"the split is broken: {control.n} in {control.name!r} and {treatment.n} in {treatment.name!r} where a share of "
            f"{planned_share:g} for the treatment was planned (p = {mismatch:.2g}, sample-ratio mismatch); find the cause or give the "
            "share that was planned before an effect is read",
            ratio_mismatch=mismatch,
        )
    for arm in (control, treatment):
        if arm.n == 0:
            return Comparison(
                outcome="hold",
                reason=f"arm {arm.name!r} has no interactions on this metric yet",
                ratio_mismatch=mismatch,
            )
    effect, low, high = difference(control.events, control.n, treatment.events, treatment.n, 1 - alpha)
    outcome, reason = _read(control, treatment, low, high, margin, alpha)
    return Comparison(outcome=outcome, reason=reason, effect=effect, low=low, high=high, ratio_mismatch=mismatch)


def _read(control: Arm, treatment: Arm, low: float, high: float, margin: float, alpha: float) -> tuple[Outcome, str]:
    seen = f"{control.events} of {control.n} in {control.name!r}, {treatment.events} of {treatment.n} in {treatment.name!r}"
    interval = f"{100 * (1 - alpha):g} % interval {100 * low:+.2f} to {100 * high:+.2f} points"
    if low > 0:
        return "roll back", f"the treatment harms more: {seen} ({interval})"
    if high <= margin:
        return "promote", f"the treatment is worse by at most {100 * margin:g} points: {seen} ({interval})"
    more = _more(control, treatment, margin, alpha)
    would = (
        f"about {more} more interactions per arm"
        if more is not None
        else f"even {_MOST} more interactions per arm do not"
    )
    decide = "would decide at these rates" if more is not None else "decide at these rates"
    return "hold", f"undecided: {seen} ({interval}); {would} {decide}"


def _more(control: Arm, treatment: Arm, margin: float, alpha: float) -> int | None:
    """Fewest further interactions per arm that decide if both rates stay: doubling, then bisection to 1 %."""

    def decides(more: int) -> bool:
        n1, n2 = control.n + more, treatment.n + more
        x1, x2 = round(control.events / control.n * n1), round(treatment.events / treatment.n * n2)
        _, low, high = difference(x1, n1, x2, n2, 1 - alpha)
        return low > 0 or high <= margin

    high = 1
    while not decides(high):
        if high >= _MOST:
            return None
        high *= 2
    low = high // 2
    while high - low > max(1, high // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if decides(middle) else (middle, high)
    return high


def _check(control: Arm, treatment: Arm, planned_share: float | None, margin: float, alpha: float) -> None:
    for arm in (control, treatment):
        if not 0 <= arm.events <= arm.n:
            raise InputError(f"arm {arm.name!r} has {arm.events} events of {arm.n}; 0 <= events <= n is allowed")
    if planned_share is not None and not 0 < planned_share < 1:
        raise InputError(f"planned_share={planned_share} must be between 0 and 1, both excluded")
    if not 0 <= margin < 1:
        raise InputError(f"margin={margin} must be from 0 to below 1")
    if not 0 < alpha < 1:
        raise InputError(f"alpha={alpha} must be between 0 and 1, both excluded")
