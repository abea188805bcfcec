"""Published numbers about rates: each test names its source."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats as scipy_stats

from andon.stats import clopper_pearson, compare_paired, difference

# Newcombe, Statistics in Medicine 17 (1998), 873-890, Table II, method 10 (hybrid score, no continuity correction).
# The paper gives p1 - p2 for a/m - b/n; `difference` takes the rate that is subtracted first.
NEWCOMBE = [
    ((56, 70, 48, 80), (0.2000, 0.0524, 0.3339)),
    ((9, 10, 3, 10), (0.6000, 0.1705, 0.8090)),
    ((6, 7, 2, 7), (0.5714, 0.0582, 0.8062)),
    ((5, 56, 0, 29), (0.0893, -0.0381, 0.1926)),
    ((0, 10, 0, 20), (0.0000, -0.1611, 0.2775)),
    ((0, 10, 0, 10), (0.0000, -0.2775, 0.2775)),
    ((10, 10, 0, 20), (1.0000, 0.6791, 1.0000)),
    ((10, 10, 0, 10), (1.0000, 0.6075, 1.0000)),
]


@pytest.mark.parametrize(("table", "expected"), NEWCOMBE)
def test_newcombe_table_ii(table: tuple[int, int, int, int], expected: tuple[float, float, float]) -> None:
    """The eight worked examples of Newcombe's Table II come out to the four digits that he printed."""
    a, m, b, n = table
    assert difference(b, n, a, m) == pytest.approx(expected, abs=5e-5)


def test_difference_needs_observations_on_both_sides() -> None:
    """A difference with an empty side is refused, never guessed."""
    with pytest.raises(ValueError, match="n1=0"):
        difference(0, 0, 1, 2)


@pytest.mark.parametrize(
    ("x", "n", "expected", "digits"),
    [
        # by hand for x = 0: (1 - high)^50 = 0.025, so high = 1 - 0.025^(1/50) = 1 - exp(-3.688879/50) = 0.07112
        (0, 50, (0.0, 0.07112), 1e-5),
        # three in a thousand (rule-of-thumb tables of the exact interval): 0.00062 to 0.00874
        (3, 1000, (0.00062, 0.00874), 5e-6),
    ],
)
def test_clopper_pearson_published(x: int, n: int, expected: tuple[float, float], digits: float) -> None:
    """The exact interval agrees with published values (Clopper & Pearson, Biometrika 26 (1934), 404-413)."""
    assert clopper_pearson(x, n) == pytest.approx(expected, abs=digits)


def test_rule_of_three() -> None:
    """No harm in 2,995 observations bounds the rate below 0.1 % with 95 % one-sided confidence, and 2,994 do not."""
    # (1 - 0.001)^n <= 0.05  <=>  n >= ln 0.05 / ln 0.999 = 2994.2; one-sided 95 % is the upper end at level 0.90
    assert clopper_pearson(0, 2995, 0.90)[1] < 0.001 < clopper_pearson(0, 2994, 0.90)[1]


def test_clopper_pearson_is_the_inversion_of_the_binomial_tails() -> None:
    """At each end of the exact interval the tail that speaks against it has probability 2.5 %."""
    low, high = clopper_pearson(7, 40)
    assert scipy_stats.binom.sf(6, 40, low) == pytest.approx(0.025, rel=1e-9)
    assert scipy_stats.binom.cdf(7, 40, high) == pytest.approx(0.025, rel=1e-9)


def test_clopper_pearson_knows_nothing_from_nothing() -> None:
    """Without observations the interval is everything, and counts that cannot be are refused."""
    assert clopper_pearson(0, 0) == (0.0, 1.0)
    assert clopper_pearson(5, 5)[1] == 1.0
    with pytest.raises(ValueError, match="x=3"):
        clopper_pearson(3, 2)


def test_mcnemar_on_the_primes_of_llmdrift() -> None:
    """GPT-4 from March to June lost 476 of 1,000 primes and gained 147: p = 2.1e-41 (two-sided, as published)."""
    # Chen, Zaharia & Zou, How is ChatGPT's behavior changing over time? (2023), data of the prime task: 840 -> 511 right.
    result = compare_paired(1000, lost=476, gained=147)
    assert 840 - 476 + 147 == 511
    assert 2 * result.p_worse == pytest.approx(2.1e-41, rel=0.03)
    assert result.p_better == pytest.approx(1.0)


def test_mcnemar_by_hand() -> None:
    """Five losses and no gain: p = 2^-5, and the other direction is certain."""
    result = compare_paired(20, lost=5, gained=0)
    assert (result.p_worse, result.p_better) == pytest.approx((1 / 32, 1.0))


def test_nothing_differs() -> None:
    """Runs that differ in no case are no evidence of anything, and counts beyond n are refused."""
    assert compare_paired(9, 0, 0).p_worse == 1.0
    with pytest.raises(ValueError, match="within n=3"):
        compare_paired(3, 2, 2)


def test_difference_narrows_with_more_data() -> None:
    """The same two rates are told apart better with more data: the interval shrinks."""
    ends = [difference(k, 10 * k, 2 * k, 10 * k)[1:] for k in (1, 4, 16, 64)]
    widths = [high - low for low, high in ends]
    assert all(b < a for a, b in pairwise(widths))
    assert np.isclose(difference(1, 10, 2, 10)[0], 0.1)
