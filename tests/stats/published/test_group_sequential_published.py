"""Published numbers of group-sequential tests.

Sources: Jennison & Turnbull, *Group Sequential Methods with Applications to Clinical Trials* (2000), Tables 2.1 to 2.4 (the
constants and inflation factors of Pocock's and of O'Brien and Fleming's test; compared with a public transcription, the page
not seen); output of the R package ldbounds 1.1 (Lan & DeMets's own program) in a question on R-help of March 2020; the read-me
of the Julia package SeqBounds; the boundaries at five looks of ldbounds, recalled. All are confirmed here by an integration of
another kind.
"""

import math

import numpy as np
import pytest
from scipy import optimize, stats

from andon.stats import group_sequential as gs

CONSTANTS = {  # Table 2.1, looks 1 to 10
    0.01: [2.576, 2.772, 2.873, 2.939, 2.986, 3.023, 3.053, 3.078, 3.099, 3.117],
    0.05: [1.960, 2.178, 2.289, 2.361, 2.413, 2.453, 2.485, 2.512, 2.535, 2.555],
    0.10: [1.645, 1.875, 1.992, 2.067, 2.122, 2.164, 2.197, 2.225, 2.249, 2.270],
}
POCOCK = {  # Table 2.2: (alpha, power)
    (0.01, 0.8): [1.000, 1.092, 1.137, 1.166, 1.187, 1.203, 1.216, 1.226, 1.236, 1.243],
    (0.05, 0.8): [1.000, 1.110, 1.166, 1.202, 1.229, 1.249, 1.265, 1.279, 1.291, 1.301],
    (0.10, 0.8): [1.000, 1.121, 1.184, 1.224, 1.254, 1.277, 1.296, 1.311, 1.325, 1.337],
    (0.01, 0.9): [1.000, 1.084, 1.125, 1.152, 1.170, 1.185, 1.197, 1.206, 1.215, 1.222],
    (0.05, 0.9): [1.000, 1.100, 1.151, 1.183, 1.207, 1.225, 1.239, 1.252, 1.262, 1.271],
    (0.10, 0.9): [1.000, 1.110, 1.166, 1.202, 1.228, 1.249, 1.266, 1.280, 1.292, 1.302],
}
O_BRIEN_FLEMING = {  # Table 2.4: (alpha, power)
    (0.01, 0.8): [1.000, 1.001, 1.007, 1.011, 1.015, 1.017, 1.019, 1.021, 1.022, 1.024],
    (0.05, 0.8): [1.000, 1.008, 1.017, 1.024, 1.028, 1.032, 1.035, 1.037, 1.038, 1.040],
    (0.10, 0.8): [1.000, 1.016, 1.027, 1.035, 1.040, 1.044, 1.047, 1.049, 1.051, 1.053],
    (0.01, 0.9): [1.000, 1.001, 1.006, 1.010, 1.014, 1.016, 1.018, 1.020, 1.021, 1.022],
    (0.05, 0.9): [1.000, 1.007, 1.016, 1.022, 1.026, 1.030, 1.032, 1.034, 1.036, 1.037],
    (0.10, 0.9): [1.000, 1.014, 1.025, 1.032, 1.037, 1.041, 1.044, 1.046, 1.048, 1.049],
}
ROUNDED = 0.00051
"""Three digits are printed."""


def constant_of(looks: int, alpha: float, power: float) -> float:
    """The constant C of the classic tests: limits ``C t^power``, 0 for Pocock's and -1/2 for O'Brien and Fleming's."""
    fractions = [(k + 1) / looks for k in range(looks)]

    def limits(constant: float) -> list[float]:
        return [constant * t**power for t in fractions]

    def error(constant: float) -> float:
        found = gs.crossing(fractions, limits(constant), 0.0)
        return float((found.upper + found.lower).sum()) - alpha

    return float(optimize.brentq(error, 1.0, 5.0))


def inflation_of(looks: int, alpha: float, wanted: float, power: float) -> float:
    """Inflation factor of limits ``C t^power``."""
    fractions = [(k + 1) / looks for k in range(looks)]
    constant = constant_of(looks, alpha, power)
    limits = [constant * t**power for t in fractions]
    fixed = float(stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(wanted))
    drift = optimize.brentq(lambda d: float(gs.crossing(fractions, limits, d).upper.sum()) - wanted, 1.0, 7.0)
    return (float(drift) / fixed) ** 2


@pytest.mark.parametrize("alpha", CONSTANTS)
def test_pocock_constants(alpha: float) -> None:
    """The constant of Pocock's test for 1 to 10 looks is the printed one (Table 2.1)."""
    found = [constant_of(k + 1, alpha, 0.0) for k in range(10)]
    assert found == pytest.approx(CONSTANTS[alpha], abs=ROUNDED)


def test_o_brien_fleming_constants() -> None:
    """C_B(2), C_B(5) and C_B(10) at alpha 0.05 are 1.977, 2.040 and 2.087 (Table 2.3, recalled)."""
    found = [constant_of(looks, 0.05, -0.5) for looks in (2, 5, 10)]
    assert found == pytest.approx([1.977, 2.040, 2.087], abs=ROUNDED)


@pytest.mark.parametrize(("alpha", "power"), POCOCK)
def test_inflation_factors(alpha: float, power: float) -> None:
    """Both tests need as much more sample than one look as is printed, for 1 to 10 looks (Tables 2.2 and 2.4)."""
    for shape, table in ((0.0, POCOCK), (-0.5, O_BRIEN_FLEMING)):
        found = [inflation_of(k + 1, alpha, power, shape) for k in range(10)]
        assert found == pytest.approx(table[alpha, power], abs=ROUNDED)


def test_repeated_significance_tests() -> None:
    """Repeated tests at 5 %: 8.3, 14.2, 19.3, 24.8, 32.0 % err by 2, 5, 10, 20, 50 looks (Armitage et al. 1969, Table 2, recalled)."""
    for looks, expected in ((2, 0.083), (5, 0.142), (10, 0.193), (20, 0.248), (50, 0.320)):
        found = gs.crossing([(k + 1) / looks for k in range(looks)], [1.959964] * looks, 0.0)
        assert float((found.upper + found.lower).sum()) == pytest.approx(expected, abs=ROUNDED)


def test_spending_boundaries_of_ldbounds() -> None:
    """Five looks, alpha 0.05: the boundaries that ldbounds prints (recalled; its own grid is good to 1e-4)."""
    looks = [0.2, 0.4, 0.6, 0.8, 1.0]
    assert gs.bounds(looks) == pytest.approx([4.8769, 3.3569, 2.6803, 2.2898, 2.0310], abs=1.2e-4)
    assert gs.bounds(looks, kind="pocock") == pytest.approx([2.4380, 2.4268, 2.4101, 2.3966, 2.3859], abs=1.2e-4)


def test_unplanned_looks_of_ldbounds() -> None:
    """Looks at 10 %, 33 % and all, alpha 0.05: 6.9913, 3.7308, 1.9605; spent 2.7227e-12, 1.9097e-4, 0.05 (R-help, 2020)."""
    looks = [0.1, 0.33, 1.0]
    assert gs.bounds(looks) == pytest.approx([6.9913, 3.7308, 1.9605], abs=1.5e-4)
    assert [gs.spent(t) for t in looks] == pytest.approx([2.7227e-12, 1.9097e-4, 0.05], rel=1e-4)


def test_one_sided_boundaries_of_seqbounds() -> None:
    """One-sided alpha 0.05 (0.1 on both): 3.74955, 2.53993, 2.01604, 1.72014 at the quarters, with their grid of 0.05."""
    looks = [0.25, 0.5, 0.75, 1.0]
    assert gs.bounds(looks, 0.1) == pytest.approx([3.74955, 2.53993, 2.01604, 1.72014], abs=5e-5)
    assert [gs.spent(t, 0.1) / 2 for t in looks] == pytest.approx([8.85754e-5, 0.0055746, 0.0236251, 0.05], rel=1e-5)


@pytest.mark.parametrize(
    ("looks", "alpha", "kind"),
    [
        ([0.2, 0.4, 0.6, 0.8, 1.0], 0.05, "obrien-fleming"),
        ([0.2, 0.4, 0.6, 0.8, 1.0], 0.05, "pocock"),
        ([0.1, 0.33, 1.0], 0.05, "obrien-fleming"),
        ([0.3, 0.31, 0.9, 1.2], 0.01, "pocock"),
    ],
)
def test_another_integration_agrees(looks: list[float], alpha: float, kind: gs.Spending) -> None:
    """The multivariate normal law of the z statistics (Genz's integration) leaves the boundaries as often as was spent."""
    limits, times = gs.bounds(looks, alpha, kind), np.array(looks)
    for k in range(2, len(looks) + 1):
        law = np.sqrt(np.minimum.outer(times[:k], times[:k]) / np.maximum.outer(times[:k], times[:k]))
        normal = stats.multivariate_normal(np.zeros(k), law, maxpts=2_000_000, abseps=1e-8, releps=1e-8, seed=1)
        left = 1 - float(normal.cdf(limits[:k], lower_limit=-limits[:k]))
        assert left == pytest.approx(gs.spent(looks[k - 1], alpha, kind), abs=2e-6)
    assert math.isclose(gs.spent(looks[-1], alpha, kind), alpha)
