"""Few labels and a cheap score on everything: a rate without the score's bias, and what labels cost.

A cheap score (a heuristic, a judge: the *proxy*) is there for all traffic and is wrong in unknown ways. People label a few
interactions. Together they give a rate that is as unbiased as the labels and narrower than they are alone:
`stratified_rate` for low rates and few labels, `ppi_rate` otherwise, `choose` says which and why. `allocate` plans the next
labels, `labels_needed` and `labels_for_change` price a promise. To watch both over time, `scores_log_ratio` and
`labels_log_ratio` are added and given to `edetector.step`: e-values of independent parts multiply.

All of it assumes that labels were drawn at random (within strata of the proxy for `stratified_rate`). Thumbs are not: who is
angry votes.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy.special import expit, logit

__all__ = [
    "Choice",
    "ProxyBaseline",
    "RateInterval",
    "allocate",
    "choose",
    "detection_delay",
    "labels_for_change",
    "labels_log_ratio",
    "labels_needed",
    "learn_proxy",
    "ppi_rate",
    "scores_log_ratio",
    "stratified_rate",
]

Floats = NDArray[np.float64]

DRAWS = 20_000
"""Draws of the posterior: the ends of a 90 % interval then vary by about 1 % of its width."""

LOW_RATE, FEW = 0.05, 300
"""Nearer to 0 or 1 than this, or below this number of labels, the normal interval of `ppi_rate` does not keep its level
(measured near 0; near 1 it is the same with harm and its absence exchanged)."""

GUARD = 1.5
"""Standard errors by which a proxy's baseline is pushed up: an estimate that is wrong costs delay, not pages."""

UNEVEN = 0.001
"""p-value below which labels are not spread over the strata as the traffic is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateInterval:
    """A rate, 0..1, with its interval."""

    rate: float
    low: float
    high: float
    level: float

    @property
    def half_width(self) -> float:
        """Half the length of the interval."""
        return (self.high - self.low) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which method to trust, with the reason."""

    method: Literal["stratified", "ppi"]
    reason: str


def stratified_rate(
    population: Floats, n: Floats, x: Floats, rng: np.random.Generator, level: float = 0.95
) -> RateInterval:
    """Rate of harm in the traffic from labels within strata of a proxy: a Bayesian post-stratified estimate.

    ``theta = sum_h W_h p_h`` with ``p_h ~ Beta(x_h + W_h/2, n_h - x_h + W_h/2)`` and shares ``W ~ Dirichlet(population_h)``. The
    interval has the equal-tailed quantiles of 20,000 draws; the rate is the posterior mean.

    The prior is *one* Jeffreys prior, shared out by share of the traffic. One for each stratum would add half a harmful label
    for each: with three strata of a useless proxy, 100 labels and a rate of 0.5 % it covers 60 % where 90 % is asked for,
    this one 90 %; where a proxy is good both cover alike. Draws and not a beta law matched to mean and variance: at a rate
    of 0.5 % with a good proxy that covers 96 to 98 % with intervals 6 to 9 % longer, because the posterior is too skewed.

    Any choice of how many labels each stratum gets is right, as long as they are drawn at random within it; a stratum
    without labels may have any rate, and widens the interval by its share.

    Args:
        population: scored interactions by stratum, shape (k,); with sampling weights their Kish effective number, in the
            proportions of the weights.
        n: labelled interactions by stratum, shape (k,); with weights the effective number.
        x: harmful ones among them, shape (k,); not always whole with weights.
        rng: the seeded generator.
        level: of the interval.

    Use instead: `ppi_rate` where `choose` says so; it uses the proxy's value, not only its stratum.

    Source: Gelman et al., *Bayesian Data Analysis*, 3rd ed., section 8.3 (stratified sampling); Brown, Cai & DasGupta,
    Statistical Science 16 (2001), 101-133 (Jeffreys). Near it: Fisch et al., *Stratified prediction-powered inference* (2024).
    """
    _check_strata(population, n, x)
    if not 0 < level < 1:
        raise ValueError(f"level={level} must be between 0 and 1, both excluded")
    a, b = _posterior(population, n, x)
    share = rng.dirichlet(np.maximum(population, 1e-9), DRAWS)
    draws = (share * rng.beta(a, b, (DRAWS, len(n)))).sum(axis=1)
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    mean = float((population / population.sum()) @ (a / (a + b)))
    return RateInterval(rate=mean, low=float(low), high=float(high), level=level)


def ppi_rate(
    truth: Floats,
    proxy: Floats,
    *,
    mean: float,
    variance: float,
    scored: float,
    weight: Floats | None = None,
    level: float = 0.95,
) -> RateInterval:
    """PPI++ for a mean: the proxy's mean on unlabelled traffic, corrected by what labels say about the proxy.

    ``theta = lam m + mean(y - lam f)`` with ``lam = cov(y, f) / ((1 + n/N) var f)`` (power tuning: a useless proxy gets
    weight 0) and standard error ``sqrt(lam^2 var(f) / N + var(y - lam f) / n)``; the interval is normal, cut at 0 and 1.

    Args:
        truth: harm by label, 0..1, shape (n,).
        proxy: value of the proxy for the same interactions, shape (n,).
        mean: mean of the proxy over scored interactions without label (weighted).
        variance: its variance there.
        scored: how many those are (N); with sampling weights their effective number.
        weight: sampling weights of the labelled ones, shape (n,); None is 1 each.
        level: of the interval.

    Raises:
        ValueError: fewer than two labels, no scored traffic, a label that is not within 0..1, or a number that is not finite.

    Assumes labels drawn at random from the same traffic, and enough harm among them for a normal interval: `choose` asks.

    Source: Angelopoulos, Duchi & Zrnic, *PPI++: efficient prediction-powered inference*, arXiv 2311.01453 (2023), section 6
    (power tuning), mean estimation; Angelopoulos et al., Science 382 (2023), 669-674.
    """
    if len(truth) != len(proxy) or len(truth) < 2 or scored <= 0:
        raise ValueError(
            f"2 or more labels with their proxy, and scored traffic, are needed; got {len(truth)}, {scored}"
        )
    for name, values in (("truth", truth), ("proxy", proxy), ("weight", truth if weight is None else weight)):
        if len(values) != len(truth) or not np.isfinite(values).all():
            raise ValueError(f"{name} needs {len(truth)} finite numbers; leave out labels whose proxy is missing")
    if weight is not None and not ((weight >= 0).all() and weight.sum() > 0):
        raise ValueError("sampling weights must be 0 or more, and one of them positive")
    if not (np.isfinite([mean, variance, scored]).all() and ((truth >= 0) & (truth <= 1)).all() and 0 < level < 1):
        raise ValueError(
            f"mean={mean}, variance={variance}, scored={scored} must be finite, labels and level={level} within 0..1"
        )
    share = np.full(len(truth), 1 / len(truth)) if weight is None else weight / weight.sum()
    n = 1 / float((share**2).sum())
    truth_mean, proxy_mean = float(share @ truth), float(share @ proxy)
    unbiased = n / max(n - 1, 1e-9)
    covariance = unbiased * float(share @ ((truth - truth_mean) * (proxy - proxy_mean)))
    lam = 0.0 if variance <= 0 else covariance / ((1 + n / scored) * variance)
    rest = truth - lam * proxy
    rate = lam * mean + float(share @ rest)
    spread = unbiased * float(share @ (rest - share @ rest) ** 2)
    error = math.sqrt(lam * lam * max(variance, 0.0) / scored + spread / n)
    z = float(scipy.stats.norm.ppf(0.5 + level / 2))
    rate, low, high = (min(max(v, 0.0), 1.0) for v in (rate, rate - z * error, rate + z * error))
    return RateInterval(rate=rate, low=low, high=high, level=level)


def choose(population: Floats, n: Floats, x: Floats) -> Choice:
    """Which estimate keeps its level here: `stratified_rate` or `ppi_rate`.

    Stratified below a rate of 5 % or above 95 %, below 300 labels, or where labels are not spread over the strata as the traffic is
    (chi-square, p < 0.001), because PPI++ needs labels drawn from all traffic alike. Shapes (k,).

    Source: coverage measured in `docs/methods/few-labels.md`.
    """
    _check_strata(population, n, x)
    labels = float(n.sum())
    if labels < FEW:
        return Choice(
            method="stratified", reason=f"{labels:.0f} labels are fewer than {FEW}: a normal interval is too short"
        )
    a, b = _posterior(population, n, x)
    rate = float((population / population.sum()) @ (a / (a + b)))
    if rate < LOW_RATE:
        return Choice(
            method="stratified",
            reason=f"the rate is below {LOW_RATE:.0%}: harm among the labels is too rare for a normal interval",
        )
    if 1 - rate < LOW_RATE:
        return Choice(
            method="stratified",
            reason=f"the rate is above {1 - LOW_RATE:.0%}: what is harmless is too rare among the labels for a normal interval",
        )
    expected = labels * population / population.sum()
    kept = expected >= 5
    if kept.sum() > 1:
        ratio = n[kept].sum() / expected[kept].sum()
        if float(scipy.stats.chisquare(n[kept], expected[kept] * ratio).pvalue) < UNEVEN:
            return Choice(
                method="stratified",
                reason="the labels are not spread as the traffic is; within strata of the proxy that does no harm",
            )
    return Choice(
        method="ppi",
        reason=f"{labels:.0f} labels at a rate of {rate:.0%} carry a normal interval, which uses every score",
    )


def allocate(population: Floats, n: Floats, x: Floats, budget: int, least: int = 10) -> NDArray[np.int64]:
    """How many of the next `budget` labels each stratum should get, shape (k,): Neyman's allocation.

    Labels in all, those that are there included, go to strata in proportion to ``W_h sqrt(p_h (1 - p_h))`` with
    ``p_h = (x_h + 1/2) / (n_h + 1)``, which makes the interval shortest for their number; first each stratum gets `least` labels,
    because what was never looked at is not known to be harmless. A stratum gets at most what it holds.

    Source: Neyman, J. Royal Statistical Society 97 (1934), 558-606; Cochran, *Sampling Techniques*, 3rd ed., 5.5.
    """
    _check_strata(population, n, x)
    if budget < 0 or least < 0:
        raise ValueError(f"budget={budget} and least={least} must be 0 or more")
    p = (x + 0.5) / (n + 1)
    wish = population / population.sum() * np.sqrt(p * (1 - p))
    room = np.maximum(np.floor(population - n), 0.0).astype(np.int64)
    given = np.zeros(len(n), dtype=np.int64)
    for _ in range(min(budget, int(room.sum()))):
        have = n + given
        # strata below the least come first; then the one that is furthest behind its share of the labels
        need = np.where(have < least, 1e9 - have, wish / (have + 1))
        given[int(np.argmax(np.where(given < room, need, -1.0)))] += 1
    return given


def labels_needed(population: Floats, n: Floats, x: Floats, half_width: float, level: float = 0.95) -> int | None:
    """Labels in all for an interval of about this half-width, allocated as `allocate` does; None if no number is enough.

    ``N = (z sum_h W_h sqrt(p_h (1 - p_h)))^2 / (half_width^2 - z^2 sum_h W_h (p_h - p)^2 / scored)`` with the rates so far, and at least
    ten a stratum: a forecast. The last term is the error of the shares, which no label removes. One stratum gives the price
    without a proxy.

    Args:
        population: scored interactions by stratum, shape (k,).
        n: labels so far, shape (k,); where there are none a rate of one half is assumed, the dearest.
        x: harmful ones, shape (k,).
        half_width: wished, in units of the rate (0.01 is one point).
        level: of the interval.

    Source: Cochran, *Sampling Techniques*, 3rd ed., 5.9 (sample size under Neyman's allocation).
    """
    _check_strata(population, n, x)
    if not 0 < half_width < 1:
        raise ValueError(f"half_width={half_width} must be between 0 and 1, both excluded")
    a, b = _posterior(population, n, x)
    p, share = a / (a + b), population / population.sum()
    z = float(scipy.stats.norm.ppf(0.5 + level / 2))
    spread = float(share @ np.sqrt(p * (1 - p)))
    # the shares are estimated too; no label removes that
    left = half_width**2 / z**2 - float(share @ (p - share @ p) ** 2) / float(population.sum())
    if left <= 0:
        return None
    found = max(math.ceil(spread**2 / left), 10 * len(n))
    return found if found <= population.sum() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyBaseline:
    """What a yes-or-no proxy and the truth were like together; all rates strictly between 0 and 1."""

    flagged: float
    """Share of scored interactions that the proxy calls harmful."""
    harm_flagged: float
    """Rate of harm among those."""
    harm_passed: float
    """Rate of harm among the others."""

    @property
    def rate(self) -> float:
        """Rate of harm in all traffic."""
        return self.flagged * self.harm_flagged + (1 - self.flagged) * self.harm_passed

    @property
    def sensitivity(self) -> float:
        """Share of the harm that the proxy flags."""
        return self.flagged * self.harm_flagged / self.rate

    @property
    def specificity(self) -> float:
        """Share of the harmless that it passes."""
        return (1 - self.flagged) * (1 - self.harm_passed) / (1 - self.rate)

    def at(self, odds: Floats) -> tuple[Floats, Floats, Floats]:
        """The three rates when the odds of harm are multiplied and the proxy errs as before; shapes as `odds`."""
        rate = expit(logit(self.rate) + np.log(odds))
        flagged = rate * self.sensitivity + (1 - rate) * (1 - self.specificity)
        return flagged, rate * self.sensitivity / flagged, rate * (1 - self.sensitivity) / (1 - flagged)


def learn_proxy(scored: float, flagged: float, labelled: Floats, harmed: Floats) -> ProxyBaseline:
    """The baseline of a proxy, guarded: each rate is pushed up by 1.5 standard errors on the logit scale.

    Rates are ``(x + 1/2) / (n + 1)`` with standard errors ``1 / sqrt((n + 1) p (1 - p))``.

    Args:
        scored: interactions that the proxy scored.
        flagged: those that it calls harmful.
        labelled: labels among the passed and the flagged, shape (2,), in this order.
        harmed: harmful ones among them, shape (2,).
    """
    if not 0 <= flagged <= scored or scored == 0 or labelled.min() < 1 or (harmed > labelled).any():
        raise ValueError(f"no baseline from {flagged} flagged of {scored}, {harmed} harmful of {labelled} labels")
    x = np.array([flagged, *harmed], dtype=np.float64)
    n = np.array([scored, *labelled], dtype=np.float64) + 1
    p = (x + 0.5) / n
    share = expit(logit(p) + GUARD / np.sqrt(n * p * (1 - p)))
    return ProxyBaseline(flagged=float(share[0]), harm_passed=float(share[1]), harm_flagged=float(share[2]))


def scores_log_ratio(scored: Floats, flagged: Floats, null: ProxyBaseline, odds: Floats) -> Floats:
    """Evidence of the proxy on all traffic: log likelihood ratio of each alternative, shape (m, k).

    With the null's flagged share q and that at higher odds of harm, q', it is ``f log(q'/q) + (n - f) log((1-q')/(1-q))``.
    Under the null *the rate of harm is at most the baseline's and the proxy errs as in the baseline* its exponential has
    expectation 1 or less.

    **What it assumes.** A proxy that flags more of the harmless (a judge with another model or prompt, another topic) looks
    exactly like more harm to it. A new version of the proxy is a new baseline; and believe no alarm of which the labels know
    nothing: `labels_log_ratio` is evidence that such drift does not make.

    Args:
        scored: interactions by window, shape (k,).
        flagged: those that the proxy calls harmful, shape (k,).
        null: the baseline (`learn_proxy`).
        odds: alternative odds ratios of harm, shape (m,) (`edetector.RATIOS`).
    """
    return _log_ratio(flagged, scored, null.flagged, null.at(odds)[0])


def labels_log_ratio(labelled: Floats, harmed: Floats, null: ProxyBaseline, odds: Floats) -> Floats:
    """Evidence of labels given the proxy, shape (m, k): log likelihood ratio of harm among passed and among flagged.

    As it is conditional on the proxy, it multiplies with that of `scores_log_ratio` (their logarithms add), and labels may be
    drawn from passed and flagged at any rates, as long as they are random within each. Alone it is a detector that a drifting
    proxy disturbs little: only by what harm among the passed and the flagged then is.

    Args:
        labelled: labels among passed and flagged, shape (k, 2), in this order.
        harmed: harmful ones among them, shape (k, 2).
        null: the baseline (`learn_proxy`).
        odds: alternative odds ratios of harm, shape (m,).
    """
    _, flagged, passed = null.at(odds)
    return _log_ratio(harmed[:, 0], labelled[:, 0], null.harm_passed, passed) + _log_ratio(
        harmed[:, 1], labelled[:, 1], null.harm_flagged, flagged
    )


def detection_delay(
    before: float,
    after: float,
    *,
    labels_per_h: float,
    false_alarm_every_h: float,
    scored_per_h: float = 0.0,
    sensitivity: float = 0.5,
    specificity: float = 0.5,
) -> float:
    """Mean hours until a rise of the rate of harm is seen, from labels and, if any, scored traffic with a proxy.

    Evidence an hour is ``K1 = labels kl(after, before) + (scored - labels) kl(q1, q0)``, kl the divergence of two rates and q
    the share that the proxy flags; K0 is the same with the rates exchanged. The threshold h solves ``e^h - h - 1 = K0 x hours
    between false alarms``; the delay is ``(h - 1 + e^-h) / K1``. It holds for the best detector that knows `after`; the mixture of
    the detector takes about a fifth more at its guaranteed threshold. A proxy with sensitivity = 1 - specificity tells nothing.

    Raises:
        ValueError: the rates do not rise within 0..1, hours or counts are not finite, or the proxy flags nothing or everything
            (sensitivity 0 and specificity 1, or the reverse), which is no proxy: leave it out.

    Source: Siegmund, *Sequential Analysis* (1985), II.6 (Brownian approximation of CUSUM's run length).
    """
    if not 0 < before < after < 1 or not 0 < false_alarm_every_h < math.inf:
        raise ValueError(
            f"a rise within 0..1 and hours above 0 are needed; got {before} to {after}, {false_alarm_every_h}"
        )
    if not (0 <= labels_per_h < math.inf and 0 <= scored_per_h < math.inf):
        raise ValueError(f"labels_per_h={labels_per_h} and scored_per_h={scored_per_h} must be 0 or more, and finite")
    q0, q1 = (p * sensitivity + (1 - p) * (1 - specificity) for p in (before, after))
    if not (0 <= sensitivity <= 1 and 0 <= specificity <= 1 and 0 < q0 < 1 and 0 < q1 < 1):
        raise ValueError(
            f"a proxy of sensitivity={sensitivity} and specificity={specificity} flags {q0:.0%} of the traffic; both must be "
            "within 0..1 and it must flag some and pass some; without a proxy leave both out"
        )
    only_scored = max(scored_per_h - labels_per_h, 0.0)
    risen = labels_per_h * _divergence(after, before) + only_scored * _divergence(q1, q0)
    calm = labels_per_h * _divergence(before, after) + only_scored * _divergence(q0, q1)
    if risen <= 0:
        return math.inf
    target = calm * false_alarm_every_h
    # h = log(1 + target + h), and h^2 / 2 < target; 1 more for rounding
    most = 1 + math.log1p(target + math.sqrt(2 * target))
    h = float(scipy.optimize.brentq(lambda t: math.expm1(t) - t - target, 0.0, most, xtol=1e-9))
    return (h + math.expm1(-h)) / risen


def labels_for_change(
    before: float,
    after: float,
    *,
    within_h: float,
    false_alarm_every_h: float,
    scored_per_h: float = 0.0,
    sensitivity: float = 0.5,
    specificity: float = 0.5,
) -> float:
    """Labels an hour that see a rise within `within_h` on average (`detection_delay`); 0 where the scored traffic does alone.

    What is scored, not what is labelled, usually sets the delay: a mediocre proxy on all traffic is worth more labels than
    anybody gives.
    """
    if within_h <= 0:
        raise ValueError(f"within_h={within_h} must be above 0")

    def late(labels: float) -> float:
        delay = detection_delay(
            before,
            after,
            labels_per_h=labels,
            false_alarm_every_h=false_alarm_every_h,
            scored_per_h=max(scored_per_h, labels),
            sensitivity=sensitivity,
            specificity=specificity,
        )
        return delay - within_h

    if scored_per_h > 0 and late(0.0) <= 0:
        return 0.0
    high = 1.0
    while late(high) > 0:
        high *= 2
    return float(scipy.optimize.brentq(late, 1e-6, high)) if late(1e-6) > 0 else 0.0


def _log_ratio(x: Floats, n: Floats, null: float, other: Floats) -> Floats:
    return np.asarray(np.outer(np.log(other / null), x) + np.outer(np.log((1 - other) / (1 - null)), n - x))


def _divergence(p: float, q: float) -> float:
    """Kullback-Leibler divergence of two rates, nats."""
    return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))


def _posterior(population: Floats, n: Floats, x: Floats) -> tuple[Floats, Floats]:
    """Parameters of the beta law of each stratum's rate."""
    prior = np.maximum(population / population.sum(), 1e-6) / 2
    return x + prior, n - x + prior


def _check_strata(population: Floats, n: Floats, x: Floats) -> None:
    if not len(population) == len(n) == len(x) or len(n) == 0:
        raise ValueError(f"population, n and x need one number a stratum; got {len(population)}, {len(n)}, {len(x)}")
    if not (0 < population.sum() < math.inf and (population >= 0).all()):
        raise ValueError("there must be scored interactions: population holds no positive, finite number")
    if not ((x >= 0).all() and (x <= n).all()):
        raise ValueError(f"harmful labels must be between 0 and the labels of a stratum; got {x} of {n}")
