"""A rate changed. Was it the mix of the traffic, or behaviour within each kind of it?"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc, ndtri

__all__ = ["MixExplained", "explained_by_mix"]

Floats = NDArray[np.float64]
Verdict = Literal["mix", "behaviour", "both", "cannot tell"]

ALPHA = 0.05
"""Level of every test and of the intervals."""

MATERIAL = 0.2
"""A part that carries less than this share of the change is not named, however sure it is: with enough traffic all is."""

LARGE = 3.0
"""Variance of the harmed of a stratum (about as many expected harmed) from which it is tested by itself; smaller strata
are tested together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MixExplained:
    """A change of a rate, split into what the mix did and what behaviour did; ``mix + behaviour = after - before``."""

    before: float
    after: float
    mix: float
    """What the mix of now does to the behaviour of before."""
    mix_low: float
    mix_high: float
    behaviour: float
    """What else changed, within strata, in the mix of now. The ends are 95 % intervals."""
    behaviour_low: float
    behaviour_high: float
    apart: float
    """Standard deviation of the changes of strata, beyond chance: 0 where all changed alike."""
    p_common: float | None
    """p-value of "behaviour is as before" against "it moved one way in all strata" (Mantel-Haenszel); None where no
    stratum can tell."""
    p_apart: float | None
    """p-value of "strata moved alike" against "they moved apart"; None where fewer than two are large enough to tell."""
    new_share: float
    """Share of the traffic now in strata that had none before; their behaviour cannot be compared."""
    verdict: Verdict
    reason: str
    """One sentence with the figures."""

    @property
    def expected(self) -> float:
        """The rate that the mix of now would have with the behaviour of before (direct standardisation)."""
        return self.before + self.mix


def explained_by_mix(
    n0: ArrayLike, x0: ArrayLike, n1: ArrayLike, x1: ArrayLike, *, design: float = 1.0
) -> MixExplained:
    """How much of the change of a rate is the mix of strata, and how much is behaviour within them.

    With shares ``w = n / sum n`` and rates ``p = x / n`` of each stratum, before (0) and after (1):

        mix = sum (w1 - w0) p0,     behaviour = sum w1 (p1 - p0)

    A stratum that was small before has no p0 to speak of. What it tells is joined with what p1 tells, less the change that
    is common to all strata (Mantel-Haenszel: mean of p1 - p0 with weights ``n0 n1 / (n0 + n1)``), each by its variance;
    that of the second holds t2, the variance of true changes between strata (`apart` squared). A stratum that is new
    is so taken to have changed as the others did, and what it brings is mix.

    Behaviour is evident when all strata moved one way (Mantel-Haenszel) or they moved apart (chi-square of what the
    common change leaves; this sees two model families that move in opposite directions and cancel), each tested at half
    of 5 %. The mix is evident when its 95 % interval excludes 0. A part is named when it is evident, is at least a fifth of
    the change, and has its direction.

    The verdict is `mix` only if, besides, behaviour is less than half of the change (one-sided, 95 %); otherwise nobody may
    be spared a page, and it is `cannot tell`.

    Args:
        n0: observations before of each stratum, shape (k,); fractions are allowed (sampling weights).
        x0: harmful ones of them.
        n1: observations after.
        x1: harmful ones of them.
        design: by how much clustering inflates variances, at least 1 and finite (``1 + (observations a window - 1) rho``).

    Strata must be kinds of *questions* (segments, topics), never versions, models or arms: a change of model would
    otherwise be called a change of the mix. A shift within a stratum counts as behaviour: make strata fine enough.

    Use instead: `difference` for two rates without strata, `mix_shift` for the mix without a rate.

    Raises:
        ValueError: a side is empty, counts are not 0 <= x <= n, or `design` is below 1 or not finite.

    Source: Kitagawa, Journal of the American Statistical Association 50 (1955), 1168-1194 (two parts of a difference of
    rates; here with the interaction in behaviour, as in Blinder, Journal of Human Resources 8 (1973), 436-455); Mantel &
    Haenszel, Journal of the National Cancer Institute 22 (1959), 719-748; DerSimonian & Laird, Controlled Clinical Trials 7
    (1986), 177-188 (t2). Ours: borrowing, intervals and verdict; measured in `docs/methods/traffic-shift.md`.
    """
    before, after = _side(n0, x0, "before"), _side(n1, x1, "after")
    if len(before[0]) != len(after[0]):
        raise ValueError(f"both sides need the same strata; got {len(before[0])} and {len(after[0])}")
    if not 1 <= design < np.inf:
        raise ValueError(f"design={design} must be at least 1, and finite; 1 where interactions are independent")
    some = before[0] + after[0] > 0
    return _split(before[0][some], before[1][some], after[0][some], after[1][some], design)


def _side(n: ArrayLike, x: ArrayLike, name: str) -> tuple[Floats, Floats]:
    total, harmed = np.atleast_1d(np.asarray(n, dtype=np.float64)), np.atleast_1d(np.asarray(x, dtype=np.float64))
    if total.shape != harmed.shape or not ((harmed >= 0) & (harmed <= total) & np.isfinite(total)).all():
        raise ValueError(f"{name}: every stratum needs counts 0 <= x <= n")
    if total.sum() <= 0:
        raise ValueError(f"{name}: there are no observations")
    return total, harmed


@dataclass(frozen=True, slots=True)
class _Changes:
    """What the strata tell of the rates before and of the change of behaviour."""

    rate0: Floats
    """Rate of each stratum before, as well as it is known."""
    error0: Floats
    """Its variance, without that of the common change."""
    shared: float
    """Variance of the mix that comes from the common change, which all rates before borrow alike."""
    variance: float
    """Of the behavioural part."""
    apart: float
    p_common: float | None
    p_apart: float | None


def _changes(n0: Floats, x0: Floats, n1: Floats, x1: Floats, design: float) -> _Changes:
    n, x = n0 + n1, x0 + x1
    weight = n0 * n1 / n
    total = weight.sum()
    rate = (x + 2 * (x.sum() + 0.5) / (n.sum() + 1)) / (n + 2)  # of both sides; none is 0 or 1 by luck
    if total <= 0:  # no stratum is on both sides: nothing can be compared, so behaviour may have changed by anything
        return _Changes(rate, rate * (1 - rate), 0.0, 1.0, 0.0, None, None)
    # what is harmed after, less what is expected if before and after are alike; its law given n0, n1 and x is exact
    surplus = x1 - n1 * x / n
    exact = np.where(n > 1, weight * (x / n) * (n - x) / np.maximum(n - 1, 1e-9), 0.0)
    common = surplus.sum() / total
    change = _over(surplus, weight, common)
    noise0, noise1 = (design * r * (1 - r) for r in (_inside(rate - common * n1 / n), _inside(rate + common * n0 / n)))
    error0, error1 = _over(noise0, n0, 0.0), _over(noise1, n1, 0.0)
    noise = (noise0 * n1 + noise1 * n0) / n  # weight times the variance of a change; finite where one side is empty
    by_chance = noise[weight > 0].sum() - (weight * noise).sum() / total
    freedom = total - (weight**2).sum() / total
    between = (weight * (change - common) ** 2).sum()
    apart2 = max(0.0, float((between - by_chance) / freedom)) if freedom > 1e-9 else 0.0
    # p0 by itself is known with variance error0; p1 less the common change tells it with variance error1 + apart2
    pull = noise0 * n1 / (noise0 * n1 + n0 * (noise1 + n1 * apart2))
    share0, share1 = n0 / n0.sum(), n1 / n1.sum()
    pulled = ((share1 - share0) * pull).sum()
    own = np.where(weight > 0, share1 + (share0 - share1) * pull, 0.0)
    errors = np.where(weight > 0, error0 + error1, 0.0)
    borrowed = (share0 - share1) * pull
    common_variance = ((weight * noise).sum() + apart2 * (weight**2).sum()) / total**2
    jointly = (weight * (own * errors + borrowed * apart2)).sum() / total
    variance = (
        (own**2 * errors).sum() + (borrowed**2).sum() * apart2 + pulled**2 * common_variance + 2 * pulled * jointly
    )
    return _Changes(
        rate0=np.where(n0 > 0, _over(x0, n0, 0) + pull * (change - common), _over(x1, n1, 0) - common),
        error0=np.where(n0 > 0, (1 - pull) * error0, error1 + apart2),
        shared=float(pulled**2 * common_variance),
        variance=float(variance),
        apart=float(np.sqrt(apart2)),
        **_tests(surplus, exact, design),
    )


def _over(above: Floats, below: Floats, empty: float) -> Floats:
    """A quotient, and this value where there is nothing to divide by."""
    return np.divide(above, below, out=np.full_like(above, empty), where=below > 0)


def _inside(rate: Floats) -> Floats:
    return np.clip(rate, 1e-4, 1 - 1e-4)


def _tests(surplus: Floats, variance: Floats, design: float) -> dict[str, float | None]:
    """p-values that all strata moved alike (Mantel-Haenszel), and that they moved apart (what it leaves)."""
    whole = variance.sum()
    if whole <= 0:
        return {"p_common": None, "p_apart": None}
    alike = surplus.sum() ** 2 / whole / design
    large = variance >= LARGE * design
    parts = (surplus[large] ** 2 / variance[large]).sum() / design
    small = variance[~large].sum()
    groups = int(large.sum())
    if small > 0:
        parts += surplus[~large].sum() ** 2 / small / design
        groups += 1
    p_apart = float(chdtrc(groups - 1, max(0.0, parts - alike))) if groups > 1 else None
    return {"p_common": float(chdtrc(1, alike)), "p_apart": p_apart}


def _split(n0: Floats, x0: Floats, n1: Floats, x1: Floats, design: float) -> MixExplained:
    w0, w1 = n0 / n0.sum(), n1 / n1.sum()
    before, after = float(x0.sum() / n0.sum()), float(x1.sum() / n1.sum())
    c = _changes(n0, x0, n1, x1, design)
    mix = float(((w1 - w0) * c.rate0).sum())
    behaviour = after - before - mix
    # shares are multinomial, and the rates that they stand for are known from a sample
    rate0 = _inside(c.rate0)
    shares = [((w * rate0**2).sum() - (w * rate0).sum() ** 2) / n for w, n in ((w0, n0.sum()), (w1, n1.sum()))]
    error = np.sqrt(design * max(0.0, sum(shares)) + ((w1 - w0) ** 2 * c.error0).sum() + c.shared)
    z = float(ndtri(1 - ALPHA / 2))
    half_m, half_b = z * float(error), z * float(np.sqrt(c.variance))
    new_share = float(w1[n0 == 0].sum())
    verdict, reason = _verdict(before, after, mix, half_m, half_b, c)
    if new_share >= 0.01:
        reason += f"; {new_share:.0%} of the traffic is of kinds that had none before, which cannot be compared"
    return MixExplained(
        before=before,
        after=after,
        mix=mix,
        mix_low=mix - half_m,
        mix_high=mix + half_m,
        behaviour=behaviour,
        behaviour_low=behaviour - half_b,
        behaviour_high=behaviour + half_b,
        apart=c.apart,
        p_common=c.p_common,
        p_apart=c.p_apart,
        new_share=new_share,
        verdict=verdict,
        reason=reason,
    )


def _verdict(before: float, after: float, mix: float, half_m: float, half_b: float, c: _Changes) -> tuple[Verdict, str]:
    change = after - before
    behaviour = change - mix
    direction = float(np.sign(change)) if abs(change) > np.hypot(half_b, half_m) else 0.0

    def counts(part: float) -> bool:
        return abs(part) >= MATERIAL * abs(change) and part * direction >= 0

    def rejects(p: float | None) -> bool:
        return p is not None and p <= ALPHA / 2

    moved = rejects(c.p_common) and counts(behaviour)
    parted = rejects(c.p_apart) and c.apart >= MATERIAL * abs(change)
    mixed = abs(mix) > half_m and counts(mix)
    seen = f"{after:.1%} is harmed now, {before:.1%} was before"
    expected = f"with the behaviour of before, the mix of now would give {before + mix:.1%}"
    opposite = f"kinds of traffic moved apart, by about {c.apart:.1%}"
    if moved or parted:
        words = f"{seen}; {expected}" + (f"; {opposite}" if parted else "")
        return ("both" if mixed else "behaviour"), words
    one_sided = float(ndtri(1 - ALPHA) / ndtri(1 - ALPHA / 2))
    largest = one_sided * half_b + (behaviour * direction if direction else abs(behaviour))
    if mixed and largest < 0.5 * abs(change if direction else mix):
        return "mix", f"{seen}; {expected}"
    if mixed:
        return "cannot tell", f"{seen}; {expected}, but behaviour may carry {largest:.1%} of it"
    return "cannot tell", f"{seen}; neither another mix nor other behaviour is evident"
