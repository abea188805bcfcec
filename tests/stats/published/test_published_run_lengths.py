"""Published run lengths: every table, program and formula that the charts' limits rest on."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import special
from scipy import stats as scipy_stats

from andon.stats.binomial import clopper_pearson
from andon.stats.run_length import (
    CountCusum,
    CountEwma,
    NormalCusum,
    NormalEwma,
    Scheme,
    average_run_length,
    limit_for,
)

Floats = NDArray[np.float64]


def nodes(low: float, high: float, count: int) -> tuple[Floats, Floats]:
    """Gauss-Legendre nodes and weights."""
    y, w = np.polynomial.legendre.leggauss(count)
    return low + (high - low) * (y + 1) / 2, w * (high - low) / 2


def agree(scheme: Scheme, limit: float, shifts: str, printed: str) -> None:
    """Check a printed row: each figure within one unit of its last printed digit."""
    for shift, figure in zip(shifts.split(), printed.split(), strict=True):
        unit = 10.0 ** -len(figure.partition(".")[2])
        found = average_run_length(scheme, limit, shift=float(shift))
        assert found == pytest.approx(float(figure), abs=unit), f"{scheme}, limit {limit}, shift {shift}"


@pytest.mark.parametrize(
    ("weight", "limit", "printed"),
    [
        (0.5, 3.071, "500. 255. 88.8 35.9 17.5 6.53 3.63 2.50 1.93 1.58 1.34 1.07"),
        (0.03, 2.437, "500. 76.7 29.3 17.6 12.6 8.07 5.99 4.80 4.03 3.49 3.11 2.55"),
    ],
)
def test_lucas_and_saccucci(weight: float, limit: float, printed: str) -> None:
    """Two-sided EWMA: Lucas & Saccucci, Technometrics 32 (1990), 1-12, Table 3."""
    agree(NormalEwma(weight=weight), limit, "0 .25 .5 .75 1 1.5 2 2.5 3 3.5 4 5", printed)


@pytest.mark.parametrize(
    ("weight", "limit", "after"),
    [(0.4, 3.054, 14.3), (0.25, 2.998, 11.1), (0.2, 2.962, 10.5), (0.1, 2.814, 10.3), (0.05, 2.615, 11.4)],
)
def test_montgomery_ewma_pairs(weight: float, limit: float, after: float) -> None:
    """Pairs for a run length of 500: Montgomery, Introduction to Statistical Quality Control, 7th ed., Table 9.11."""
    scheme = NormalEwma(weight=weight)
    assert average_run_length(scheme, limit) == pytest.approx(500, abs=0.5)
    assert average_run_length(scheme, limit, shift=1) == pytest.approx(after, abs=0.051)
    assert limit_for(scheme, 500) == pytest.approx(limit, abs=6e-4)


# Crowder's 3.95 at shift 1.25 for weight 0.5 is a misprint: its neighbours are 4.91 and 2.80, the value is 3.59
CROWDER = "0 .25 .5 .75 1 1.25 1.5 1.75 2 2.25 2.5 2.75 3 3.25 3.5 3.75 4"


@pytest.mark.parametrize(
    ("weight", "printed"),
    [
        (0.5, "26.45 20.12 11.89 7.29 4.91 3.59 2.80 2.29 1.94 1.70 1.51 1.37 1.26 1.18 1.12 1.08 1.05"),
        (0.05, "127.53 43.94 18.97 11.64 8.38 6.56 5.41 4.62 4.04 3.61 3.26 2.99 2.76 2.56 2.39 2.26 2.15"),
    ],
)
def test_crowder(weight: float, printed: str) -> None:
    """Two-sided EWMA with limits of two sigma: Crowder, Technometrics 29 (1987), 401-407, Table 1."""
    agree(NormalEwma(weight=weight), 2.0, CROWDER, printed)


@pytest.mark.parametrize(("weight", "upper", "both"), [(0.75, 209.3, 104.0), (0.5, 3907.5, 1952.0)])
def test_waldmann_ewma(weight: float, upper: float, both: float) -> None:
    """One- and two-sided EWMA: Waldmann, Applied Statistics 35 (1986), 151-158, Tables 2 and 1 (bounds; to 0.05 %)."""
    limit = 2 * math.sqrt((2 - weight) / weight)  # he states limits of 2 in the unit of the observations
    assert average_run_length(NormalEwma(weight=weight, side="upper"), limit) == pytest.approx(upper, rel=5e-4)
    assert average_run_length(NormalEwma(weight=weight), limit) == pytest.approx(both, rel=5e-4)


def test_ewma_with_exact_limits() -> None:
    """One-sided EWMA whose limits follow the variance: simulation of 10^9 runs in the manual of R's spc (`xewma.arl`)."""
    scheme = NormalEwma(weight=0.1, side="upper", exact=True)
    limit = limit_for(scheme, 500)
    for shift, simulated in ((0.5, 21.637), (1, 6.7596), (1.5, 3.5398), (2, 2.3038), (2.5, 1.7004), (3, 1.3675)):
        # standard errors: 0.0006 at 0.5, 0.0001 beyond
        assert average_run_length(scheme, limit, shift=shift) == pytest.approx(
            simulated, abs=0.002 if shift < 1 else 3e-4
        )


@pytest.mark.parametrize(
    ("head_start", "printed"),
    [
        (0.0, "168. 74.2 26.6 13.3 8.38 4.75 3.34 2.62 2.19 1.71 1.31"),
        (0.5, "149. 62.7 20.1 8.97 5.29 2.86 2.01 1.59 1.32 1.07 1.01"),
    ],
)
def test_lucas_and_crosier(head_start: float, printed: str) -> None:
    """Two-sided CUSUM k 0.5, h 4, without and with head start: Lucas & Crosier, Technometrics 24 (1982), Table 1."""
    agree(NormalCusum(head_start=head_start), 4.0, "0 .25 .5 .75 1 1.5 2 2.5 3 4 5", printed)


def test_montgomery_cusum_and_siegmund() -> None:
    """CUSUM k 0.5, h 5: 465 and 10.4 (Montgomery, 7th ed., Table 9.3); Siegmund's formula, section 9.1.4, agrees within 1 %."""
    agree(NormalCusum(), 5.0, "0 1", "465. 10.4")

    def siegmund(drift: float, h: float = 5.0) -> float:
        b = h + 1.166
        return (math.exp(-2 * drift * b) + 2 * drift * b - 1) / (2 * drift * drift)

    assert siegmund(-0.5) / 2 == pytest.approx(469.1, abs=0.05)
    for shift in (0.0, 1.0):
        both = 1 / (1 / siegmund(shift - 0.5) + 1 / siegmund(-shift - 0.5))
        assert average_run_length(NormalCusum(), 5.0, shift=shift) == pytest.approx(both, rel=0.01)


def test_brook_and_evans() -> None:
    """One-sided CUSUM k 0.5, h 3: 117.59 and 3.75: Brook & Evans, Biometrika 59 (1972), 539-549, section 4.3."""
    agree(NormalCusum(side="upper"), 3.0, "0 1.5", "117.59 3.75")


def test_vance() -> None:
    """One-sided CUSUM k 0, h 10: Vance, J. Quality Technology 18 (1986), 189-193, Table 1 (2071.51 there is 2071.57)."""
    scheme = NormalCusum(reference=0, side="upper")
    agree(scheme, 10.0, "-.125 0 .125 .25 .5 .75 1", "400.28 124.66 59.30 36.71 20.37 14.06 10.75")
    assert average_run_length(scheme, 10.0, shift=-0.25) == pytest.approx(2071.51, rel=5e-5)


def test_waldmann_cusum() -> None:
    """CUSUM k 0.5, h 3, and two-sided k 0.6: Waldmann, Technometrics 28 (1986), 61-67, Tables 1, 3, 5 and 6."""
    agree(NormalCusum(side="upper"), 3.0, "-.5 .5", "1963. 17.35")
    assert average_run_length(NormalCusum(side="upper"), 3.0) == pytest.approx(117.4, abs=0.2)
    assert average_run_length(NormalCusum(reference=0.6), 3.0, shift=-0.2) == pytest.approx(65.4, abs=0.1)


def test_sas_functions() -> None:
    """EWMAARL and CUSUMARL of the SAS/QC user's guide: ten digits for EWMA, seven for CUSUM (24 nodes there)."""
    assert average_run_length(NormalEwma(weight=0.25), 3, shift=1) == pytest.approx(11.154267016, rel=1e-10)
    upper = NormalCusum(reference=0.25, side="upper")
    assert average_run_length(upper, 8, shift=2.5) == pytest.approx(4.1500836225, rel=5e-8)
    started = NormalCusum(reference=0.25, side="upper", head_start=0.1 / 8)
    assert average_run_length(started, 8, shift=2.5) == pytest.approx(4.1061588131, rel=1e-8)
    # theirs is 1e-6 lower: 24 nodes lose the lower side, whose run length is beyond 1e12
    assert average_run_length(NormalCusum(reference=0.25), 8, shift=2.5) == pytest.approx(4.1500826715, rel=5e-7)


@pytest.mark.parametrize(
    ("shift", "printed"),
    [
        (0.5, (48.453, 75.354, 110.950, 155.224)),
        (1.0, (11.1543, 15.7378, 25.6391, 43.8947)),
        (1.5, (5.4697, 6.1111, 8.7201, 14.9677)),
        (2.0, (3.61677, 3.46850, 4.15346, 6.30296)),
    ],
)
def test_sas_ewma_table(shift: float, printed: tuple[float, ...]) -> None:
    """Weights 0.25, 0.5, 0.75 and 1 (Shewhart) with 3 sigma: SAS/QC user's guide, MACONTROL, Output 9.5.1."""
    for weight, figure in zip((0.25, 0.5, 0.75, 1.0), printed, strict=True):
        assert average_run_length(NormalEwma(weight=weight), 3, shift=shift) == pytest.approx(figure, rel=1e-5)


def test_sas_cusum_scheme() -> None:
    """CUSUM k 0.5, h 3, one-sided: 117.596 in control and 6.40391 after a shift of 1: SAS/QC user's guide, CUSUM, Figure 6.11."""
    agree(NormalCusum(side="upper"), 3.0, "0 1", "117.596 6.40391")


def test_shewhart_is_the_ewma_of_weight_one() -> None:
    """With weight 1 the run length is 1 / 0.0027 = 370.4, for any limit the inverse of its tails."""
    for limit in (1.0, 3.0, 4.5):
        tails = 2 * special.ndtr(-limit)
        assert average_run_length(NormalEwma(weight=1.0), limit) == pytest.approx(1 / tails, rel=1e-9)


def test_knoth_and_steinmetz() -> None:
    """Binomial EWMA n 5, p 0.02, weight 0.3, limit 0.649169922: 370.4: Knoth & Steinmetz, Int. J. Production Research 51 (2013)."""
    n, p, weight = 5, 0.02, 0.3
    limit = (0.649169922 - n * p) / math.sqrt(n * p * (1 - p) * weight / (2 - weight))
    assert average_run_length(CountEwma(rate=p, n=n, weight=weight), limit) == pytest.approx(370.4, rel=1e-3)


@pytest.mark.parametrize(
    ("odds", "started", "printed"), [(2.0, False, 438), (2.0, True, 333), (0.5, False, 437), (0.5, True, 318)]
)
def test_lucas_poisson_cusum(odds: float, started: bool, printed: float) -> None:
    """Poisson CUSUM k 0.25, h 10, mean 0.25, up and down: Lucas, Technometrics 27 (1985), 129-144, Tables 2 to 5."""
    # the baseline whose reference value for these odds is k; the truth lies at 0.25; Lucas signals at h, we above it
    baseline = 0.25 * math.log(odds) / (odds - 1)
    below = 9.75
    scheme = CountCusum(rate=baseline, n=None, odds=odds, head_start=5 / below if started else 0.0)
    found = average_run_length(scheme, below * abs(math.log(odds)), shift=math.log(0.25 / baseline))
    assert found == pytest.approx(printed, abs=1.0)


def test_jones_champ_and_rigdon() -> None:
    """EWMA 0.2, 2.636 with 20 estimated subgroups of 5: 144.458 instead of 200.325 (simulation of 10^8 runs, R's spc).

    Jones, Champ & Rigdon, Technometrics 43 (2001), 156-167, Table 1: the mean over baselines, as they computed it.
    """
    scheme, limit, m, df = NormalEwma(weight=0.2), 2.636, 20, 80
    assert average_run_length(scheme, limit) == pytest.approx(200.325, abs=0.06)
    c4 = math.sqrt(2 / df) * math.exp(special.gammaln((df + 1) / 2) - special.gammaln(df / 2))
    mean = 0.0
    for spread, a in zip(*nodes(0.55, 1.45, 24), strict=True):  # sigma of the baseline over the true one
        density = scipy_stats.chi2.pdf(df * spread * spread, df) * 2 * df * spread
        for error, b in zip(*nodes(0, 6, 40), strict=True):  # standard errors of the baseline's mean, both signs alike
            length = average_run_length(scheme, limit / c4, shift=error / math.sqrt(m) / spread, scale=1 / spread)
            mean += 2 * a * b * density * scipy_stats.norm.pdf(error) * length
    assert mean == pytest.approx(144.458, abs=0.05)


def test_exact_intervals_of_rare_events() -> None:
    """0/50, 3/1000 (Clopper & Pearson, Biometrika 26 (1934), 404-413), and 0 of 2,995 bounds the rate below 0.1 %."""
    assert clopper_pearson(0, 50) == pytest.approx((0, 0.0711), abs=5e-5)
    assert clopper_pearson(3, 1000) == pytest.approx((0.00062, 0.00874), abs=5e-6)
    assert clopper_pearson(0, 2995, 0.90)[1] < 0.001
