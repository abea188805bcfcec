"""Published numbers of always-valid bounds.

Sources: unit tests of the authors' library `confseq` (Howard et al. 2021; "all target values are from a reference
implementation in R") and of a C++ port of it (the confidence sequences of a rate), and unit tests of GrowthBook's statistics
package (Waudby-Smith et al. 2024).
"""

import math

import pytest

from andon.stats import sequences as seq

AT = {"v_opt": 100.0}


def test_normal_mixture_of_confseq() -> None:
    """rho, the two-sided and the one-sided bound at v = 100, alpha = 0.05 are those of the authors' R code."""
    assert seq.mixture_rho(100) == pytest.approx(12.60056, abs=1e-5)
    assert seq.normal_mixture_bound(100, **AT) == pytest.approx(30.35209, abs=1e-5)
    assert seq.normal_mixture_bound(100, **AT, two_sided=False) == pytest.approx(27.66071, abs=1e-5)


def test_other_mixtures_of_confseq() -> None:
    """Gamma-exponential, gamma-Poisson and beta-binomial bounds at v = 100, alpha = 0.05 are those of the authors' R code."""
    assert seq.gamma_exponential_bound(100, **AT, c=2) == pytest.approx(33.02017, abs=1e-5)
    assert seq.gamma_poisson_bound(100, **AT, c=2) == pytest.approx(30.1949, abs=1e-5)
    assert seq.beta_binomial_bound(100, **AT, g=0.2, h=0.8) == pytest.approx(31.4308, abs=1e-5)
    one_sided = seq.beta_binomial_bound(100, **AT, g=0.2, h=0.8, two_sided=False)
    assert one_sided == pytest.approx(28.41238, abs=1e-5)


def test_a_bernoulli_sum_has_a_largest_value() -> None:
    """Two values of at most 0.8 cannot sum to more than 1.6, however small alpha: the bound says so."""
    found = seq.beta_binomial_bound(2 * 0.2 * 0.8, **AT, g=0.2, h=0.8, two_sided=False)
    assert found == pytest.approx(2 * 0.8, abs=1e-5)


@pytest.mark.parametrize(("c", "expected"), [(3.0, 64.48755), (-1.0, 28.99389)])
def test_polynomial_stitching_of_confseq(c: float, expected: float) -> None:
    """The stitched bound at v = 100 with v_min = 10 is that of the authors' R code, for heavy and for light tails."""
    assert seq.stitching_bound(100, v_min=10, c=c) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("x", "n", "n_opt", "expected"),
    [
        (700, 1000, 100, (0.651629, 0.745949)),
        (15, 50, 50, (0.129556, 0.511896)),
        (5, 50, 50, (0.013021, 0.269264)),
        (1, 50, 50, (0.0, 0.13489)),
        (1, 2, 50, (0.0, 1.0)),
        (100, 200, 1, (0.328923, 0.671076)),
        (0, 1, 50, (0.0, 1.0)),
        (1, 1, 50, (0.0, 1.0)),
    ],
)
def test_bernoulli_sequence_of_confseq(x: int, n: int, n_opt: float, expected: tuple[float, float]) -> None:
    """The confidence sequence of a rate has the ends that confseq's tests expect."""
    assert seq.bernoulli_sequence(x, n, n_opt=n_opt) == pytest.approx(expected, abs=2e-6)


def test_quantile_bounds_of_confseq() -> None:
    """The band of the distribution function and the double-stitched bound of three quantiles are confseq's."""
    assert seq.distribution_bound(1000, n_min=100) == pytest.approx(0.08204769, abs=1e-7)
    for quantile, expected in ((0.5, 68.62803), (0.9, 43.72119), (0.1, 59.96521)):
        assert seq.quantile_bound(quantile, 1000, n_opt=100) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("alpha", [0.2, 0.01, 1e-6])
def test_mixtures_are_tuned_for_the_alpha_that_is_asked_for(alpha: float) -> None:
    """At every alpha a bound at v is within 0.2 % of the least that any tuning gives there, not at alpha = 0.05 alone."""
    others = [100.0 * 2.0**k for k in (-4, -3, -2, -1, -0.5, 0.5, 1, 2)]
    bounds = {
        "normal": lambda v: seq.normal_mixture_bound(100, alpha, v_opt=v),
        "normal, one side": lambda v: seq.normal_mixture_bound(100, alpha, v_opt=v, two_sided=False),
        "gamma-Poisson": lambda v: seq.gamma_poisson_bound(100, alpha, v_opt=v, c=0.1),
        "gamma-exponential": lambda v: seq.gamma_exponential_bound(100, alpha, v_opt=v, c=0.1),
        "beta-binomial": lambda v: seq.beta_binomial_bound(100, alpha, v_opt=v, g=0.5, h=0.5),
    }
    for name, bound in bounds.items():
        assert bound(100.0) <= 1.002 * min(bound(v) for v in others), name


def relative(sums: tuple[float, float], squares: tuple[float, float], sizes: tuple[int, int]) -> tuple[float, float]:
    """Relative difference of two means and its squared standard error by the delta method."""
    (a, b), (va, vb) = (
        [s / n for s, n in zip(sums, sizes, strict=True)],
        [(q - s * s / n) / (n - 1) for s, q, n in zip(sums, squares, sizes, strict=True)],
    )
    return (b - a) / a, vb / (a * a * sizes[1]) + va * b * b / (a**4 * sizes[0])


def test_growthbook_sequential_means() -> None:
    """Means 1396.87/3000 and 2422.7/3461, tuned to 1,000: relative effect 0.50336, -0.55844 to 1.56516."""
    sizes = (3000, 3461)
    effect, square = relative((1396.87, 2422.7), (52377.9767, 134698.29), sizes)
    half = seq.asymptotic_half_width(square * sum(sizes), sum(sizes), n_opt=1000)
    assert (effect, effect - half, effect + half) == pytest.approx((0.50336, -0.55844, 1.56516), abs=5e-6)


def test_growthbook_sequential_proportions() -> None:
    """Rates 1396/3000 and 2422/3461, tuned to 5,000 (their default): relative effect 0.50386, 0.40098 to 0.60675."""
    a, b, n, m = 1396 / 3000, 2422 / 3461, 3000, 3461
    square = b * (1 - b) / (a * a * m) + a * (1 - a) * b * b / (a**4 * n)
    half = seq.asymptotic_half_width(square * (n + m), n + m, n_opt=5000)
    assert ((b - a) / a, (b - a) / a - half, (b - a) / a + half) == pytest.approx((0.50386, 0.40098, 0.60675), abs=6e-6)


def test_bounds_know_nothing_from_nothing() -> None:
    """Before any observation a rate may be anything, before its first size the band is infinite, and nonsense is refused."""
    assert seq.bernoulli_sequence(0, 0, n_opt=10) == (0.0, 1.0)
    assert seq.distribution_bound(99, n_min=100) == math.inf
    with pytest.raises(ValueError, match="x=3"):
        seq.bernoulli_sequence(3, 2, n_opt=10)
    with pytest.raises(ValueError, match="alpha=1"):
        seq.normal_mixture_bound(1, 1, v_opt=1)
    with pytest.raises(ValueError, match="v_opt=0"):
        seq.mixture_rho(0)
