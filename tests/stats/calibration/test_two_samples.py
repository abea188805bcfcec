"""Two samples of vectors, numbers or categories: false positives, power, and figures by hand."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from andon.stats.mix import classifier_test, jensen_shannon, ks, mmd, psi
from figures import say

TESTS = {"mmd": mmd, "classifier": classifier_test}


def cloud(rng: np.random.Generator, n: int, spread: float = 1.0, towards: float = 0.0) -> np.ndarray:
    """Unit vectors around one direction, wider or moved."""
    rows = spread * rng.normal(size=(n, 16)) + 4 * np.eye(16)[0] + towards * np.eye(16)[1]
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("name", TESTS)
@pytest.mark.parametrize(("n", "m"), [(60, 60), (150, 40)])
def test_false_positives(name: str, n: int, m: int) -> None:
    """Two samples of one cloud are called different at 5 % in 5 % of the cases (2 to 8.5 %), however unequal their sizes."""
    rng = np.random.default_rng(41)
    p = [TESTS[name](cloud(rng, n), cloud(rng, m), rng, rounds=59)[0] for _ in range(300)]
    share = float(np.mean(np.array(p) <= 0.05))
    say(f"{name} {n}/{m}: {share:.1%} false positives at 5 %")
    assert 0.02 <= share <= 0.085


@pytest.mark.parametrize("name", TESTS)
def test_a_moved_cloud_is_seen(name: str) -> None:
    """A cloud that moved by one standard deviation is seen in nearly every sample, and its size says how far."""
    rng = np.random.default_rng(42)
    found = [TESTS[name](cloud(rng, 80), cloud(rng, 80, towards=1.0), rng, rounds=59) for _ in range(30)]
    assert np.mean([p <= 0.05 for p, _ in found]) >= 0.9
    none = TESTS[name](cloud(rng, 80), cloud(rng, 80), rng, rounds=59)[1]
    assert np.mean([size for _, size in found]) > none


def test_mmd_sees_a_change_of_spread_that_leaves_the_mean() -> None:
    """Questions that became more various around the same mean are seen by MMD in most samples."""
    rng = np.random.default_rng(43)
    both = []
    for _ in range(20):
        wide = rng.normal(size=(120, 8)).astype(np.float32)
        both.append(mmd(wide, 1.8 * rng.normal(size=(120, 8)).astype(np.float32), rng, rounds=99)[0])
    assert np.mean(np.array(both) <= 0.05) >= 0.8


def test_mmd_by_hand() -> None:
    """Two pairs of points on a line: the median squared distance is 1, and the unbiased MMD^2 follows from six kernels."""
    x, y = np.array([[0.0], [1.0]]), np.array([[2.0], [3.0]])
    # squared distances 1, 1, 1, 4, 4, 9: median (1 + 4) / 2 = 2.5
    k = {d: math.exp(-d / 2.5) for d in (1, 4, 9)}
    by_hand = k[1] + k[1] - 2 * (k[4] + k[9] + k[1] + k[4]) / 4
    _, value = mmd(x.astype(np.float32), y.astype(np.float32), np.random.default_rng(1), rounds=9)
    assert value == pytest.approx(by_hand, abs=1e-5)


def test_mmd_sees_a_second_point_where_most_rows_are_equal() -> None:
    """Fifty times one question against thirty of it and twenty of another: the median distance is 0, and the shift is seen."""
    rng = np.random.default_rng(8)
    for pair in (np.eye(4)[:2], *(rng.normal(size=(2, d)) for d in range(50, 400, 30))):
        one, two = pair / np.linalg.norm(pair, axis=1, keepdims=True)
        before = np.repeat([one], 50, axis=0).astype(np.float32)
        after = np.concatenate([np.repeat([one], 30, axis=0), np.repeat([two], 20, axis=0)]).astype(np.float32)
        p, far = mmd(before, after, np.random.default_rng(9), rounds=199)
        # the scale is their distance: the kernel is 1 for equal rows and 1/e for others
        within = (30 * 29 + 20 * 19 + 2 * 30 * 20 / math.e) / (50 * 49)
        assert p == 1 / 200
        assert far == pytest.approx(1 + within - 2 * (0.6 + 0.4 / math.e), abs=1e-4)


def test_mmd_finds_its_scale_outside_of_its_sample() -> None:
    """One row that differs among twelve hundred sets the scale, whether the sample for the median holds it or not."""
    before, after = (np.repeat([[1.0, 0.0]], 600, axis=0).astype(np.float32) for _ in range(2))
    after[7] = [0.0, 1.0]
    sizes = [mmd(before, after, np.random.default_rng(seed), rounds=1)[1] for seed in range(6)]
    assert sizes == pytest.approx([sizes[0]] * 6)
    assert sizes[0] != 0


@pytest.mark.parametrize("name", TESTS)
def test_equal_vectors_are_no_evidence(name: str) -> None:
    """Where all vectors are equal there is nothing to find, although one side comes first."""
    same = np.ones((30, 4), dtype=np.float32)
    p, _ = TESTS[name](same, same, np.random.default_rng(2), rounds=99)
    assert p > 0.05


@pytest.mark.parametrize("name", TESTS)
def test_p_is_never_zero_and_repeats(name: str) -> None:
    """However far apart, p is at least 1 / (1 + rounds); the same seed gives the same figures."""
    rng = np.random.default_rng(3)
    one, two = cloud(rng, 40), cloud(rng, 40, towards=20.0)
    found = [TESTS[name](one, two, np.random.default_rng(4), rounds=99) for _ in range(2)]
    assert found[0] == found[1]
    assert found[0][0] == pytest.approx(1 / 100)


def test_the_classifier_ranks() -> None:
    """Clouds that do not overlap are told apart in all pairs, equal ones in about half."""
    rng = np.random.default_rng(5)
    assert classifier_test(cloud(rng, 50), cloud(rng, 50, towards=30.0), rng, rounds=9)[1] == pytest.approx(
        1.0, abs=0.01
    )
    assert abs(classifier_test(cloud(rng, 400), cloud(rng, 400), rng, rounds=9)[1] - 0.5) < 0.08


@pytest.mark.parametrize("name", TESTS)
def test_too_few_vectors_are_refused(name: str) -> None:
    """A side that is too small is refused with both numbers."""
    with pytest.raises(ValueError, match="1 and 30"):
        TESTS[name](np.ones((1, 3), np.float32), np.ones((30, 3), np.float32), np.random.default_rng(1))


def test_ks_is_scipys() -> None:
    """The statistic and its asymptotic p-value are those of SciPy; values that are not finite are refused."""
    rng = np.random.default_rng(6)
    one, two = rng.normal(size=200), rng.normal(0.3, 1, 150)
    expected = scipy_stats.ks_2samp(one, two, method="asymp")
    assert ks(one, two) == pytest.approx((expected.pvalue, expected.statistic))
    with pytest.raises(ValueError, match="finite"):
        ks(one, np.array([np.nan]))


def test_psi_by_hand() -> None:
    """Half a count is added to each category: PSI of 60/40 against 40/60 is 0.2 ln(60.5/40.5) x 200/101."""
    # shares 60.5/101 and 40.5/101: each of the two categories adds (20/101) ln(60.5/40.5)
    assert psi({"a": 60, "b": 40}, {"a": 40, "b": 60}) == pytest.approx(2 * 20 / 101 * math.log(60.5 / 40.5))
    assert psi({"a": 7}, {"a": 9}) == 0.0
    assert math.isfinite(psi({"a": 100}, {"b": 100}))


def test_psi_without_a_shift_crosses_its_threshold_in_small_windows() -> None:
    """Why it never pages: with 100 against 100 in 20 categories most samples of one mix exceed 0.1."""
    rng = np.random.default_rng(7)
    values = [
        psi(*({str(i): int(v) for i, v in enumerate(rng.multinomial(100, np.ones(20) / 20))} for _ in range(2)))
        for _ in range(200)
    ]
    say(
        f"PSI above 0.1 without a shift: {np.mean(np.array(values) > 0.1):.0%}; above 0.25: {np.mean(np.array(values) > 0.25):.0%}"
    )
    assert np.mean(np.array(values) > 0.1) > 0.9


def test_jensen_shannon_is_scipys_and_bounded() -> None:
    """It is SciPy's distance to base 2, 1 for mixes that share nothing, 0 for equal ones."""
    from scipy.spatial.distance import jensenshannon

    assert jensen_shannon({"a": 60, "b": 40}, {"a": 30, "b": 70}) == pytest.approx(
        float(jensenshannon([0.6, 0.4], [0.3, 0.7], base=2))
    )
    assert jensen_shannon({"a": 5}, {"b": 3}) == pytest.approx(1.0)
    assert jensen_shannon({"a": 5, "b": 5}, {"a": 1, "b": 1}) == 0.0
    with pytest.raises(ValueError, match="both sides"):
        jensen_shannon({"a": 1}, {})
