"""Two arms compared from sufficient statistics: means, rates, whole distributions, users with many interactions.

The engine sums, these functions decide. The unit is what was allocated: a user (or session) is one unit however many
interactions it has, because its interactions resemble each other. An effect is the treatment less the control.

Which: rates `two_rates`, over interactions of users with their `user_design_effect`; means `welch`, as a percentage `relative`; any
ordered measure without a model `mann_whitney`; a mean over interactions of users `clustered`, then `welch`; less noise by what
users did before `cuped`, then `welch`; whether the effect differs between parts of the traffic `heterogeneity`; several metrics `holm`.

All are for one look at a planned size. Use instead: `andon.stats.sequences` where one looks again and again; `paired` where both
arms are the same cases. What a plan can see is computed in `andon.stats.power`.
"""

import math
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike
from scipy import special

from andon.stats.binomial import difference

__all__ = [
    "Adjusted",
    "Effect",
    "Heterogeneity",
    "Moments",
    "UserSums",
    "clustered",
    "cuped",
    "design_effects",
    "heterogeneity",
    "mann_whitney",
    "moments",
    "relative",
    "two_rates",
    "user_design_effect",
    "welch",
]

_ROUNDING = 1e-12
"""Share of a sum of squares below which a centred one is rounding: all values are then the same."""

_SMALL_EXPECTED = 5
"""Expected count below which the chi-square law is not trusted (Cochran, Biometrics 10 (1954), 417-451)."""


class Moments(NamedTuple):
    """One arm: independent units, their mean, and their sample variance (divided by n - 1; 0 for a single unit)."""

    n: float
    mean: float
    variance: float


class Effect(NamedTuple):
    """Treatment less control, its interval at level 1 - alpha, the two-sided p-value of no effect, and a standard error."""

    estimate: float
    low: float
    high: float
    p: float
    se: float

    def at_odds(self, alpha: float = 0.05) -> bool:
        """Whether p and the interval say different things: p <= alpha while 0 is inside, or p > alpha while it is outside.

        Only `two_rates` can be at odds with itself, because its test and its interval are two methods. It is then a close
        call: say so, and take the more cautious answer.
        """
        return (self.p <= alpha) == (self.low <= 0 <= self.high)


def moments(n: float, total: float, squares: float) -> Moments:
    """Mean and sample variance of n units from the sum of their values and of the squares of these.

    ``variance = (squares - total^2 / n) / (n - 1)``. Where that is below 1e-12 of ``squares / n`` it is rounding, and 0 is
    given; so measure values from a point near them if they differ by less than a millionth of their size.

    Raises:
        ValueError: there is no unit, or no such values exist.
    """
    if not n >= 1:
        raise ValueError(f"n={n} must be at least 1; an arm without units has no mean")
    centred = _centred(squares - total * total / n, squares)
    return Moments(n=n, mean=total / n, variance=centred / (n - 1) if n > 1 else 0.0)


def welch(control: Moments, treatment: Moments, alpha: float = 0.05) -> Effect | None:
    """Difference of two means with Welch's t: ``d / sqrt(v1/n1 + v2/n2)``, variances as they are in each arm.

    Degrees of freedom by Welch and Satterthwaite, ``(a + b)^2 / (a^2/(n1 - 1) + b^2/(n2 - 1))`` with ``a = v1/n1`` and
    ``b = v2/n2``. The interval is ``d -+ t se``, so it leaves 0 out exactly where p < alpha.

    Assumes independent units, and enough of them that a mean is about normal: a few dozen, hundreds where values are skewed.
    Not for rare events in a small arm: few of them come, their variance comes out too small, and the arm looks better than it is.
    Use instead: `two_rates` for rare yes or no, also of `clustered` users; `mann_whitney` where a few huge values rule the mean.

    Returns:
        None where it cannot be told: an arm has fewer than two units, or neither arm varies.

    Source: Welch, Biometrika 34 (1947), 28-35; Satterthwaite, Biometrics Bulletin 2 (1946), 110-114.
    """
    _check_alpha(alpha)
    freedom = _freedom(control, treatment)
    if freedom is None:
        return None
    se = math.sqrt(control.variance / control.n + treatment.variance / treatment.n)
    return _student(treatment.mean - control.mean, se, freedom, alpha)


def relative(control: Moments, treatment: Moments, alpha: float = 0.05) -> Effect | None:
    """Change as a share of the control's mean, ``(m2 - m1) / |m1|``: 0.1 is ten percent more.

    Delta method: ``se^2 = v2 / (n2 m1^2) + v1 m2^2 / (n1 m1^4)``, degrees of freedom as in `welch`. It may be significant where
    `welch` is not, and the other way round; the absolute difference decides, this one is for reading.

    Returns:
        None where `welch` gives None, and where the control's own interval holds 0: then no bound on a ratio exists
        (Fieller), and a percentage would be made up.

    Source: Deng, Knoblich & Lu, KDD 2018, section 3.1; degrees of freedom as GrowthBook does. The refusal is ours, by Fieller,
    Journal of the Royal Statistical Society B 16 (1954), 175-185.
    """
    _check_alpha(alpha)
    freedom = _freedom(control, treatment)
    if freedom is None:
        return None
    base = abs(control.mean)
    if base <= _quantile(control.n - 1, alpha) * math.sqrt(control.variance / control.n):
        return None
    of_treatment = treatment.variance / treatment.n / base**2
    of_control = control.variance / control.n * treatment.mean**2 / base**4
    return _student((treatment.mean - control.mean) / base, math.sqrt(of_treatment + of_control), freedom, alpha)


def two_rates(
    x_control: int,
    n_control: int,
    x_treatment: int,
    n_treatment: int,
    alpha: float = 0.05,
    *,
    design_effect: float = 1.0,
) -> Effect | None:
    """Difference of two rates: Newcombe's interval, and a p-value that fits the counts.

    p is Pearson's chi-square without correction, or Fisher's exact test where an expected count is below 5. The interval is
    `andon.stats.difference` (Newcombe's method 10). These are two methods: near alpha one may say yes and the other no, most
    with Fisher, which is cautious; `Effect.at_odds` tells. ``se`` is Agresti's and Caffo's (one success and one failure added
    to each arm), so that it is not 0 where nothing happened.

    Interactions of users: all counts are divided by the ``design_effect`` (`user_design_effect` of the sums of both arms
    together; below 1 it counts as 1), and for Fisher rounded. Where arms are unequal and events rare it errs far less than `welch`
    on `clustered` arms (measured in docs/methods/two-arms.md).

    Returns:
        None where an arm is empty.

    Source: Pearson, Philosophical Magazine 50 (1900); Fisher, *The Design of Experiments* (1935), chapter 2; Newcombe, Statistics
    in Medicine 17 (1998), 873-890; Agresti & Caffo, The American Statistician 54 (2000), 280-288; the design effect: Rao & Scott,
    Biometrics 48 (1992), 577-585.
    """
    _check_alpha(alpha)
    for x, n in ((x_control, n_control), (x_treatment, n_treatment)):
        if not 0 <= x <= n:
            raise ValueError(f"x={x} of n={n} is no rate; 0 <= x <= n is allowed")
    if not 0 < design_effect < math.inf:
        raise ValueError(f"design_effect={design_effect} must be finite and above 0")
    if n_control == 0 or n_treatment == 0:
        return None
    x1, n1, x2, n2 = (count / max(1.0, design_effect) for count in (x_control, n_control, x_treatment, n_treatment))
    units, events = n1 + n2, x1 + x2
    if min(n1, n2) * min(events, units - events) < _SMALL_EXPECTED * units:
        counts = [round(count) for count in (x1, n1 - x1, x2, n2 - x2)]
        p = float(scipy.stats.fisher_exact(np.array(counts).reshape(2, 2)).pvalue)
    else:
        p = float(
            special.chdtrc(1, (x2 / n2 - x1 / n1) ** 2 / (events / units * (1 - events / units) * (1 / n1 + 1 / n2)))
        )
    estimate, low, high = difference(x1, n1, x2, n2, 1 - alpha)  # type: ignore[arg-type]  # effective counts are no integers
    return Effect(estimate, low, high, p, _agresti_caffo(x1, n1, x2, n2))


def mann_whitney(control_counts: ArrayLike, treatment_counts: ArrayLike) -> tuple[float, float] | None:
    """Probability of superiority and its two-sided p-value, from counts in the same ordered bins, lowest first.

    Superiority is ``P(T > C) + P(T = C) / 2`` for one unit of each arm: 0.5 where the arms are alike, 1 where every unit of the
    treatment is above every one of the control. Units in one bin count as equal. With U = superiority x n1 n2 and t_j units in
    bin j of N, p is from the normal law with ``variance = n1 n2 / 12 (N + 1 - sum(t^3 - t) / (N (N - 1)))`` and a continuity
    correction of one half: what ``scipy.stats.mannwhitneyu`` gives for the same units one by one.

    p is for "the arms have the same distribution". It says nothing of means: for those `welch`. With fewer than about eight units
    in an arm the normal law is rough.

    Args:
        control_counts: shape (bins,), units of the control per bin.
        treatment_counts: the same bins for the treatment.

    Returns:
        None where an arm is empty; p = 1 where all units are in one bin, as any allocation of them would look the same.

    Source: Mann & Whitney, Annals of Mathematical Statistics 18 (1947), 50-60; ties: Lehmann, *Nonparametrics* (1975), section 1.4.
    """
    c, t = np.asarray(control_counts, dtype=float), np.asarray(treatment_counts, dtype=float)
    if c.ndim != 1 or c.shape != t.shape:
        raise ValueError(f"counts have shapes {c.shape} and {t.shape}; both arms need the same bins, in one row")
    both = c + t
    if not (np.isfinite(both).all() and (c >= 0).all() and (t >= 0).all()):
        raise ValueError("counts must be finite and not negative")
    n1, n2 = float(c.sum()), float(t.sum())
    if n1 == 0 or n2 == 0:
        return None
    n = n1 + n2
    u = float(t @ (np.cumsum(c) - c / 2))
    superiority = u / (n1 * n2)
    if np.count_nonzero(both) == 1:
        return superiority, 1.0
    shares = both / n  # the cubes of large counts would lose the small ones
    ties = float(np.sum(shares**3) * n - 1 / n) / (1 - 1 / n)
    variance = n1 * n2 / 12 * (n + 1 - ties)
    z = max(0.0, abs(u - n1 * n2 / 2) - 0.5) / math.sqrt(variance)
    return superiority, min(1.0, 2 * float(special.ndtr(-z)))


def clustered(users: float, x: float, n: float, xx: float, nn: float, xn: float) -> Moments:
    """The ratio ``R = sum(x) / sum(n)`` over users with several interactions each, as moments of users for `welch`.

    For user i with n_i interactions and x_i of them harmful (or a sum of values x_i): linearised, a user counts as
    ``R + (x_i - R n_i) / (n / users)``. The mean of these is R and their variance
    ``(xx - 2 R xn + R^2 nn) / (n / users)^2 / (users - 1)``, so ``variance / users`` is that of R by the delta method.

    Assumes independent users; the number of interactions of a user may depend on the arm, but then R compares other
    mixes of users, too. Use instead: `two_rates` with `user_design_effect` for yes or no in unequal arms, or where it is rare.

    Args:
        users: users with at least one interaction in the arm.
        x: sum of x_i.
        n: sum of n_i.
        xx: sum of x_i^2.
        nn: sum of n_i^2.
        xn: sum of x_i n_i.

    Source: Deng, Knoblich & Lu, "Applying the Delta Method in Metric Analytics", KDD 2018, section 3.2 (arXiv 1803.06336).
    """
    if not (users >= 1 and n > 0):
        raise ValueError(f"users={users} and n={n} must be at least one user and one interaction")
    ratio = x / n
    centred = _centred(xx - 2 * ratio * xn + ratio * ratio * nn, xx + ratio * ratio * nn)
    scale = n / users
    return Moments(n=users, mean=ratio, variance=centred / scale**2 / (users - 1) if users > 1 else 0.0)


def user_design_effect(by_user: Moments, by_interaction: Moments) -> float | None:
    """By how much the variance of a mean is larger for users than if their interactions were independent.

    ``(v1 / n1) / (v2 / n2)`` of `clustered` and of `moments` over single interactions (for yes or no: ``moments(n, x, x)``).
    `two_rates` and `andon.stats.power` take it. Estimate it from both arms as one, whose sums add up. None where it cannot be told: fewer than two users,
    or interactions that do not vary.

    Source: Kish, *Survey Sampling* (1965), section 8.2.
    """
    if by_user.n < 2 or by_interaction.variance == 0:
        return None
    return by_user.variance / by_user.n / (by_interaction.variance / by_interaction.n)


Sums = tuple[float, float, float, float, float, float]
"""Of one side: users, x, n, xx, nn and xn as in `clustered`."""


def design_effects(first: Sums, second: Sums) -> tuple[float, float]:
    """By how much each side's variance is larger than that of as many independent interactions, for yes or no; 1 at least.

    With R = x / n of a side, ``E sum (x_i - R n_i)^2 = R (1 - R) (n + rho (nn - n))`` where rho is the correlation of two
    interactions of one user. rho is what both sides together say (each around its own R, so the effect does not count as
    resemblance; times U / (U - 1) for U users), from 0 to 1; a side's design effect is ``1 + rho (nn / n - 1)``. One rho,
    because a side with few harmed says little of its own; two effects, because users may have many interactions on one side
    and few on the other. Where nobody has two interactions it is 1; where all of a side are of one user, rho counts as 1.

    Source: Kish, *Survey Sampling* (1965), section 8.2; counts divided by it: Rao & Scott, Biometrics 48 (1992), 577-585.
    """
    more = most = 0.0
    for users, x, n, xx, nn, xn in (first, second):
        if users < 2:
            more = most = 1.0  # nothing tells users apart from each other
            break
        rate = x / n
        more += (xx - 2 * rate * xn + rate**2 * nn) * users / (users - 1) - rate * (1 - rate) * n
        most += rate * (1 - rate) * (nn - n)
    rho = min(1.0, max(0.0, more / most)) if most > 0 else 0.0
    one, other = (1 + rho * (nn / max(n, 1.0) - 1) for _, _, n, _, nn, _ in (first, second))
    return max(1.0, one), max(1.0, other)


class UserSums(NamedTuple):
    """What `cuped` needs of one arm: sums over users of y (now) and of x (the same before the experiment)."""

    users: float
    y: float
    yy: float
    seen: float
    """Users with a value from before; the next four sums are over these only."""
    y_seen: float
    x: float
    xx: float
    xy: float


class Adjusted(NamedTuple):
    """Both arms after `cuped`, for `welch`."""

    control: Moments
    treatment: Moments
    theta: float
    removed: float
    """Share of the variance of the difference that is gone; 1 / (1 - removed) times as many users would say as much."""


def cuped(control: UserSums, treatment: UserSums) -> Adjusted | None:
    """Take out of y what x from before the experiment explains: ``y - theta (x - m)``, m the mean of x over both arms.

    ``theta = (S_xy of control + of treatment) / (S_xx of both)``, each S centred within its arm, so that an effect does not leak
    into theta: it is the slope, and the effect that of an analysis of covariance. Users without an x get the mean m (they
    are left as they are); because x is from before the allocation that biases nothing.

    x must be from before the experiment began: anything that the treatment can move would take the effect out with the noise.

    Returns:
        None where x does not vary, or an arm has fewer than two users.

    Source: Deng, Xu, Kohavi & Walker, "Improving the Sensitivity of Online Controlled Experiments by Utilizing Pre-Experiment
    Data", WSDM 2013, section 3.2. They pool theta over both arms as one sample; centring within arms is ours.
    """
    arms = (control, treatment)
    if any(arm.users < 2 or not 0 <= arm.seen <= arm.users for arm in arms):
        if any(not 0 <= arm.seen <= arm.users for arm in arms):
            raise ValueError(
                f"seen={control.seen}, {treatment.seen} of users={control.users}, {treatment.users}; none may exceed"
            )
        return None
    seen = control.seen + treatment.seen
    if seen == 0:
        return None
    middle = (control.x + treatment.x) / seen
    x = [arm.x - arm.seen * middle for arm in arms]  # sums of x - m: users without a value add 0
    scale = [arm.xx + arm.seen * middle**2 for arm in arms]
    s_xx = [
        _centred(arm.xx - 2 * middle * arm.x + arm.seen * middle**2 - d * d / arm.users, size)
        for arm, d, size in zip(arms, x, scale, strict=True)
    ]
    s_xy = [arm.xy - middle * arm.y_seen - d * arm.y / arm.users for arm, d in zip(arms, x, strict=True)]
    if sum(s_xx) == 0:
        return None
    theta = sum(s_xy) / sum(s_xx)
    before, after = [], []
    for arm, d, xx, xy in zip(arms, x, s_xx, s_xy, strict=True):
        plain = moments(arm.users, arm.y, arm.yy)
        s_yy = plain.variance * (arm.users - 1)
        left = _centred(s_yy - 2 * theta * xy + theta * theta * xx, arm.yy)
        before.append(plain.variance / arm.users)
        after.append(Moments(arm.users, plain.mean - theta * d / arm.users, left / (arm.users - 1)))
    remains = sum(arm.variance / arm.n for arm in after)
    return Adjusted(after[0], after[1], theta, 1 - remains / sum(before) if sum(before) > 0 else 0.0)


class Heterogeneity(NamedTuple):
    """Whether effects of parts differ by more than chance would make them."""

    q: float
    df: int
    p: float
    i2: float
    """Share of the variation between the effects that is not chance, 0..1."""


def heterogeneity(effects: ArrayLike, ses: ArrayLike) -> Heterogeneity | None:
    """Cochran's Q over independent effects: is the effect the same in every risk category?

    ``Q = sum(w (e - mean)^2)`` with ``w = 1 / se^2`` and the mean weighted by w; chi-square with k - 1 degrees of freedom under one
    common effect. ``I^2 = max(0, (Q - df) / Q)``. A small p says that the mean effect hides parts that differ: look at each,
    with `holm`. A large one is no proof of sameness: with few parts, or noisy ones, little is seen.

    Args:
        effects: shape (k,), one per part, in the same unit.
        ses: shape (k,), their standard errors, above 0.

    Returns:
        None for fewer than two parts.

    Source: Cochran, Biometrics 10 (1954), 101-129; I^2: Higgins & Thompson, Statistics in Medicine 21 (2002), 1539-1558.
    """
    e, se = np.asarray(effects, dtype=float), np.asarray(ses, dtype=float)
    if e.ndim != 1 or e.shape != se.shape or not (np.isfinite(e).all() and np.isfinite(se).all() and (se > 0).all()):
        raise ValueError(f"{e.size} effects and {se.size} standard errors; each effect needs one, finite and above 0")
    if len(e) < 2:
        return None
    weights = (se.min() / se) ** 2
    q = float(weights @ (e - weights @ e / weights.sum()) ** 2 / se.min() ** 2)
    df = len(e) - 1
    return Heterogeneity(q, df, float(special.chdtrc(df, q)), max(0.0, (q - df) / q) if q > 0 else 0.0)


def _student(estimate: float, se: float, freedom: float, alpha: float) -> Effect:
    half = _quantile(freedom, alpha) * se
    return Effect(
        estimate, estimate - half, estimate + half, 2 * float(special.stdtr(freedom, -abs(estimate) / se)), se
    )


def _quantile(freedom: float, alpha: float) -> float:
    return -float(special.stdtrit(freedom, alpha / 2))


def _freedom(control: Moments, treatment: Moments) -> float | None:
    """Degrees of freedom by Welch and Satterthwaite; None where there is no variance to estimate."""
    for arm in (control, treatment):
        if not (arm.variance >= 0 and math.isfinite(arm.mean) and math.isfinite(arm.variance)):
            raise ValueError(f"{arm} is no sample; a finite mean and a variance of at least 0 are allowed")
    if control.n < 2 or treatment.n < 2:
        return None
    a, b = control.variance / control.n, treatment.variance / treatment.n
    if a + b == 0:
        return None
    share = a / (a + b)
    return 1 / (share**2 / (control.n - 1) + (1 - share) ** 2 / (treatment.n - 1))


def _agresti_caffo(x1: float, n1: float, x2: float, n2: float) -> float:
    p1, p2 = (x1 + 1) / (n1 + 2), (x2 + 1) / (n2 + 2)
    return math.sqrt(p1 * (1 - p1) / (n1 + 2) + p2 * (1 - p2) / (n2 + 2))


def _centred(value: float, size: float) -> float:
    """A centred sum of squares that came as the difference of larger ones; 0 where it is rounding."""
    if not (math.isfinite(value) and value >= -1e-9 * abs(size)):
        raise ValueError(f"the sums belong to no values: a sum of squares around the mean would be {value:g}")
    return 0.0 if value <= _ROUNDING * size else value


def _check_alpha(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise ValueError(f"alpha={alpha} must be between 0 and 1, both excluded")
