"""Always-valid bounds: confidence that survives looking again and again.

Each bound `u(v)` holds for all times at once: a sum S of independent, centred observations with variance process V stays
below it, ``P(there is a time with S >= u(V)) <= alpha``. So one may look after every observation, stop when it pleases and
still have the error rate alpha. It is tightest near one amount of information (`v_opt`, `n_opt`), which is chosen
beforehand: where a decision is expected. The price against a single look at a fixed size: intervals 1.4 to 1.5 times as
long, or 2.3 times the sample for the same length (rates of 0.5 to 30 %).

Which bound: rates have `bernoulli_sequence`; bounded values `beta_binomial_bound`; counts `gamma_poisson_bound`; variances
that are estimated `gamma_exponential_bound` (sub-exponential); large samples and differences of means `asymptotic_half_width`
(only in the limit); where no size can be named beforehand `stitching_bound`; quantiles `quantile_bound` and
`distribution_bound`. Use instead: a fixed test where one looks once; the detector (`edetector`) where change is looked for.

Sources: Howard, Ramdas, McAuliffe & Sekhon, *Time-uniform, nonparametric, nonasymptotic confidence sequences*, Annals of
Statistics 49 (2021), 1055-1080; Howard & Ramdas, *Sequential estimation of quantiles*, Bernoulli 28 (2022), 1704-1728;
Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas, *Time-uniform central limit theory*, Annals of Statistics 52 (2024).
"""

import math
from collections.abc import Callable

import scipy
from scipy import special

__all__ = [
    "asymptotic_half_width",
    "bernoulli_sequence",
    "beta_binomial_bound",
    "distribution_bound",
    "gamma_exponential_bound",
    "gamma_poisson_bound",
    "mixture_rho",
    "normal_mixture_bound",
    "quantile_bound",
    "stitching_bound",
]

ETA, DECAY = 2.0, 1.4
"""Stitching: each epoch is twice as long as the last, and gets a share of alpha that falls as its number to this power."""


def mixture_rho(v_opt: float, alpha: float = 0.05, *, two_sided: bool = True) -> float:
    """Precision of the normal mixture that is tightest at `v_opt`: ``v / (2 log(1/a) + log(1 + 2 log(1/a)))``.

    One-sided bounds use twice the alpha. Source: Howard et al. (2021), on tuning boundaries; closed form of their code.
    """
    _check(v_opt=v_opt, alpha=alpha)
    spent = math.log(1 / min(alpha if two_sided else 2 * alpha, 0.999))
    return v_opt / (2 * spent + math.log(1 + 2 * spent))


def normal_mixture_bound(v: float, alpha: float = 0.05, *, v_opt: float, two_sided: bool = True) -> float:
    """Bound on a sub-Gaussian sum with variance process `v`.

    Two-sided, on ``|S|``: ``sqrt((v + rho) (log(1 + v/rho) + 2 log(1/alpha)))``. One-sided: the s at which
    ``log sqrt(4 rho / (v + rho)) + s^2 / (2 (v + rho)) + log Phi(s / sqrt(v + rho))`` reaches ``log(1/alpha)``.

    Source: Howard et al. (2021), two- and one-sided normal mixtures.
    """
    _check(v=v, alpha=alpha)
    rho = mixture_rho(v_opt, alpha, two_sided=two_sided)
    total = v + rho
    if two_sided:
        return math.sqrt(total * (math.log1p(v / rho) + 2 * math.log(1 / alpha)))
    half = 0.5 * math.log(4 * rho / total)
    return _solve(lambda s: half + s * s / (2 * total) + float(special.log_ndtr(s / math.sqrt(total))), v, alpha)


def gamma_exponential_bound(v: float, alpha: float = 0.05, *, v_opt: float, c: float) -> float:
    """One-sided bound on a sub-exponential sum of scale `c`: centred values at most c above their mean.

    The variance process may be estimated (the empirical Bernstein bound: c is then the range of one observation).

    Source: Howard et al. (2021), gamma-exponential mixture.
    """
    _check(v=v, alpha=alpha, c=c)
    square = c * c
    prior = mixture_rho(v_opt, alpha, two_sided=False) / square
    a = v / square + prior
    constant = prior * math.log(prior) - float(special.gammaln(prior)) - math.log(special.gammainc(prior, prior))

    def log_e(s: float) -> float:
        x = (c * s + v) / square
        mass = math.log(special.gammainc(a, x + prior))
        return constant + float(special.gammaln(a)) + mass - a * math.log(x + prior) + x

    return _solve(log_e, v, alpha)


def gamma_poisson_bound(v: float, alpha: float = 0.05, *, v_opt: float, c: float = 1.0) -> float:
    """One-sided bound on a sub-Poisson sum: counts in units of `c` less their expectation `v` (in units of c squared).

    Source: Howard et al. (2021), gamma-Poisson mixture.
    """
    _check(v=v, alpha=alpha, c=c)
    square = c * c
    prior = mixture_rho(v_opt, alpha, two_sided=False) / square
    b = v / square + prior
    constant = prior * math.log(prior) - float(special.gammaln(prior)) - math.log(special.gammaincc(prior, prior))

    def log_e(s: float) -> float:
        a = s / c + b
        mass = math.log(special.gammaincc(a, b))
        return constant + float(special.gammaln(a)) + mass - a * math.log(b) + v / square

    return _solve(log_e, v, alpha)


def beta_binomial_bound(
    v: float, alpha: float = 0.05, *, v_opt: float, g: float, h: float, two_sided: bool = True
) -> float:
    """Bound on a sub-Bernoulli sum: centred values from ``-g`` to ``h`` with variance process ``v = n g h``.

    Two-sided is the mixture over both directions; the bound is then valid for each side at alpha together. It is at most
    ``v / g``, which no sum can exceed. Source: Howard et al. (2021), beta-binomial mixtures.
    """
    _check(v=v, alpha=alpha, g=g, h=h)
    largest = v / g
    log_e = _beta_binomial(v_opt, alpha, g, h, two_sided)
    if log_e(largest, v) < math.log(1 / alpha):
        return largest
    return _solve(lambda s: log_e(s, v), v, alpha, largest)


def bernoulli_sequence(x: float, n: int, alpha: float = 0.05, *, n_opt: float) -> tuple[float, float]:
    """Confidence sequence of a rate: an interval that holds for all n at once with probability 1 - alpha.

    All rates p of which the two-sided beta-binomial mixture with ``g = p, h = 1 - p`` is below ``1/alpha``, (0, 1) for n = 0.

    Args:
        x: events among the observations so far.
        n: observations so far.
        alpha: error rate over all times.
        n_opt: number of observations at which the interval shall be tightest.

    Source: Howard et al. (2021), beta-binomial mixture inverted in p, as in the authors' code.
    """
    _check(alpha=alpha, n_opt=n_opt)
    if not 0 <= x <= n:
        raise ValueError(f"x={x} must be between 0 and n={n}")
    if n == 0:
        return 0.0, 1.0
    seen, enough = x / n, math.log(1 / alpha)

    def excess(p: float) -> float:
        variance = p * (1 - p)
        log_e = _beta_binomial(variance * n_opt, alpha, p, 1 - p, two_sided=True)
        return log_e((seen - p) * n, variance * n) - enough

    nearest = 1e-12  # at 0 and 1 the law is degenerate
    middle = min(max(seen, nearest), 1 - nearest)
    low = 0.0 if x == 0 or excess(nearest) <= 0 else float(scipy.optimize.brentq(excess, nearest, middle))
    high = 1.0 if x == n or excess(1 - nearest) <= 0 else float(scipy.optimize.brentq(excess, middle, 1 - nearest))
    return low, high


def stitching_bound(v: float, alpha: float = 0.05, *, v_min: float, c: float = 0.0) -> float:
    """One-sided bound that is valid from `v_min` on and grows as ``sqrt(v log log v)``: no size is named beforehand.

    ``sqrt(k1^2 v l + (k2 c l)^2) + k2 c l`` with ``l = 1.4 log log(2 v / v_min) + log(zeta(1.4) / (alpha log(2)^1.4))``; `c` is
    the scale of a sub-gamma sum (0: sub-Gaussian; negative where large values are bounded). For both sides use alpha / 2 each.

    Source: Howard et al. (2021), theorem 1 (polynomial stitching).
    """
    _check(v=v, alpha=alpha, v_min=v_min)
    v = max(v, v_min)
    k1, k2 = (ETA**0.25 + ETA**-0.25) / math.sqrt(2), (math.sqrt(ETA) + 1) / 2
    spent = DECAY * math.log(math.log(ETA * v / v_min)) + math.log(special.zeta(DECAY) / math.log(ETA) ** DECAY / alpha)
    shift = k2 * c * spent
    return math.sqrt(k1 * k1 * v * spent + shift * shift) + shift


def distribution_bound(n: int, alpha: float = 0.05, *, n_min: int, scale: float = 0.85) -> float:
    """Half-width of a band around the empirical distribution function that holds for all values and all n >= `n_min`.

    ``scale sqrt((log(1 + log(n / n_min)) + C) / n)``, C the least constant that spends alpha; infinite before `n_min`. It
    bounds every quantile at once. Source: Howard & Ramdas (2022), the law of the iterated
    logarithm for the empirical process.
    """
    _check(alpha=alpha, n_min=n_min)
    if scale <= math.sqrt(0.5):
        raise ValueError(f"scale={scale} must be above sqrt(1/2): below, no constant spends alpha")
    if n < n_min:
        return math.inf

    def log_error(eta: float, constant: float) -> float:
        gamma = 2 / eta * (scale - math.sqrt(2 * (eta - 1) / constant)) ** 2
        if gamma <= 1:
            return math.inf
        return math.log(4) - gamma * constant + math.log1p(1 / ((gamma - 1) * math.log(eta)))

    def least(constant: float) -> float:
        top = scipy.optimize.brentq(
            lambda eta: math.sqrt(eta / 2) + math.sqrt(2 * (eta - 1) / constant) - scale, 1, 2 * scale**2
        )
        at = scipy.optimize.minimize_scalar(
            lambda eta: log_error(eta, constant), bounds=(1, float(top)), method="bounded"
        )
        return float(at.fun)

    constant = float(scipy.optimize.brentq(lambda c: least(c) - math.log(alpha), 0.5, 1e4))
    return scale * math.sqrt((math.log1p(math.log(n / n_min)) + constant) / n)


def quantile_bound(quantile: float, n: int, alpha: float = 0.05, *, n_opt: int, delta: float = 0.5) -> float:
    """Bound on ``|#{values below a quantile} - n quantile|`` for all quantiles and all n at once (double stitching).

    Divided by n it is the rank band of that quantile's confidence sequence: tighter than `distribution_bound` in the tails.

    Source: Howard & Ramdas (2022), double stitching.
    """
    _check(alpha=alpha, n_opt=n_opt, delta=delta)
    if not 0 < quantile < 1:
        raise ValueError(f"quantile={quantile} must be between 0 and 1, both excluded")
    n_used = max(n, n_opt)
    logit = math.log(quantile / (1 - quantile))
    reach = float(special.expit(logit + 2 * delta * math.sqrt(n_opt * ETA / n_used)))
    r = quantile if quantile >= 0.5 else min(0.5, reach)
    spread = r * (1 - r)
    steps = math.sqrt(n_used / n_opt) * abs(logit) / (2 * delta) + 1
    zeta = float(special.zeta(DECAY))
    spent = DECAY * (math.log(math.log(ETA * n_used / n_opt)) + math.log(steps))
    spent += math.log(2 * zeta * (2 * zeta + 1) / (alpha * math.log(ETA) ** DECAY))
    k1, k2 = (ETA**0.25 + ETA**-0.25) / math.sqrt(2), (math.sqrt(ETA) + 1) / 2
    shift = k2 * (1 - 2 * quantile) / 3 * spent
    return (
        delta * math.sqrt(ETA * n_used * spread / n_opt) + math.sqrt(k1**2 * spread * n_used * spent + shift**2) + shift
    )


def asymptotic_half_width(variance: float, n: int, alpha: float = 0.05, *, n_opt: float) -> float:
    """Half-width of an asymptotic confidence sequence for a mean: ``sqrt(s2 2 (n r + 1) / (n^2 r) log(sqrt(n r + 1) / alpha))``.

    ``r = (2 log(1/a) + log(1 + 2 log(1/a))) / n_opt``. For a difference (or a relative one) of two means, `variance` is the
    squared standard error times n, n the size of both arms together. It holds in the limit only: with fewer than about a
    hundred observations, or rates below a percent, use a bound of this module that holds exactly.

    Source: Waudby-Smith et al. (2024), asymptotic confidence sequences; used so by GrowthBook's sequential tests.
    """
    _check(variance=variance, n=n, alpha=alpha, n_opt=n_opt)
    scaled = n / mixture_rho(n_opt, alpha)
    return math.sqrt(variance * 2 * (scaled + 1) / (n * scaled) * math.log(math.sqrt(scaled + 1) / alpha))


def _beta_binomial(v_opt: float, alpha: float, g: float, h: float, two_sided: bool) -> Callable[[float, float], float]:
    """Log of the beta-binomial mixture as a function of sum and variance process."""
    r = max(mixture_rho(v_opt, alpha, two_sided=two_sided) - g * h, 1e-3 * g * h)
    both = g + h
    x = 1.0 if two_sided else h / both
    normaliser = _log_beta_part(r / (g * both), r / (h * both), x)

    def log_e(s: float, v: float) -> float:
        fixed = v / (g * h) * math.log(both)
        fixed -= (v + h * s) / (h * both) * math.log(g) + (v - g * s) / (g * both) * math.log(h)
        return fixed + _log_beta_part((r + v - g * s) / (g * both), (r + v + h * s) / (h * both), x) - normaliser

    return log_e


def _log_beta_part(a: float, b: float, x: float) -> float:
    whole = float(special.betaln(a, b))
    return whole if x == 1.0 else whole + math.log(special.betainc(a, b, x))


def _solve(log_e: Callable[[float], float], v: float, alpha: float, high: float | None = None) -> float:
    """The sum at which a log e-value reaches ``log(1/alpha)``."""
    enough = math.log(1 / alpha)
    if high is None:
        high = max(v, 1.0)
        while log_e(high) <= enough:
            high *= 2
    return float(scipy.optimize.brentq(lambda s: log_e(s) - enough, 0.0, high))


def _check(**numbers: float) -> None:
    for name, value in numbers.items():
        if not value > 0 or (name == "alpha" and value >= 1):
            raise ValueError(f"{name}={value} must be above 0" + (" and below 1" if name == "alpha" else ""))
