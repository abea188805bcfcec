"""Seeded simulations of intervals and tests: coverage and false positives."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from andon import stats
from figures import say


@pytest.mark.parametrize("n", [5, 30, 200])
def test_clopper_pearson_coverage(n: int) -> None:
    """For every rate the exact interval covers with at least its level (computed, not simulated)."""
    ends = np.array([stats.clopper_pearson(x, n) for x in range(n + 1)])
    rates = np.linspace(0.001, 0.999, 400)
    law = scipy_stats.binom.pmf(np.arange(n + 1)[:, None], n, rates)
    covered = (ends[:, :1] <= rates) & (rates <= ends[:, 1:])
    coverage = (law * covered).sum(axis=0)
    say(f"Clopper-Pearson n={n}: least {coverage.min():.3f}, mean {coverage.mean():.3f}")
    assert coverage.min() >= 0.95


@pytest.mark.parametrize(("p1", "n1", "p2", "n2"), [(0.05, 40, 0.2, 60), (0.5, 30, 0.5, 30), (0.01, 500, 0.03, 300)])
def test_difference_coverage(p1: float, n1: int, p2: float, n2: int) -> None:
    """Newcombe's interval covers the true difference in 93 to 98 % (computed over all outcomes, not simulated)."""
    total = 0.0
    for x1 in range(int(scipy_stats.binom.ppf(1e-7, n1, p1)), int(scipy_stats.binom.ppf(1 - 1e-7, n1, p1)) + 1):
        for x2 in range(int(scipy_stats.binom.ppf(1e-7, n2, p2)), int(scipy_stats.binom.ppf(1 - 1e-7, n2, p2)) + 1):
            _, low, high = stats.difference(x1, n1, x2, n2)
            if low <= p2 - p1 <= high:
                total += float(scipy_stats.binom.pmf(x1, n1, p1) * scipy_stats.binom.pmf(x2, n2, p2))
    say(f"Newcombe p1={p1} n1={n1} p2={p2} n2={n2}: {total:.3f}")
    assert 0.93 <= total <= 0.98


@pytest.mark.parametrize("differing", [8, 25, 60])
def test_mcnemar_level(differing: int) -> None:
    """Under no change the exact paired test rejects at 5 % in at most 5 % (computed over all outcomes)."""
    lost = np.arange(differing + 1)
    p = np.array([stats.compare_paired(100, int(k), differing - int(k)).p_worse for k in lost])
    assert scipy_stats.binom.pmf(lost[p <= 0.05], differing, 0.5).sum() <= 0.05


def test_mean_shift_false_positive_rate() -> None:
    """Two samples of one cloud are called different at 5 % in 5 % of the cases (2.5 to 8 %, three standard errors)."""
    rng = np.random.default_rng(21)
    p = []
    for _ in range(400):
        cloud = rng.normal(size=(90, 16)) + np.eye(16)[0]
        cloud /= np.linalg.norm(cloud, axis=1, keepdims=True)
        unit = cloud.astype(np.float32)
        p.append(stats.mean_shift(unit[:50], unit[50:], rng, rounds=199)[0])
    share = float(np.mean(np.array(p) <= 0.05))
    say(f"mean shift: {share:.1%} false positives at 5 %")
    assert 0.025 <= share <= 0.08


def test_mean_shift_power() -> None:
    """A fifth of new questions in 300 is seen in nearly every sample, and the distance grows with the share."""
    rng = np.random.default_rng(22)
    found, distances = [], []
    for share in (0.2,) * 20 + (0.6,) * 20:
        old, new = (rng.normal(size=(300, 16)) + 2 * np.eye(16)[0] for _ in range(2))
        new[: int(300 * share)] += 4 * np.eye(16)[1]
        unit = [(v / np.linalg.norm(v, axis=1, keepdims=True)).astype(np.float32) for v in (old, new)]
        p, distance = stats.mean_shift(*unit, rng, rounds=199)
        found.append(p <= 0.05)
        distances.append(distance)
    assert np.mean(found) >= 0.95
    assert np.mean(distances[20:]) > 2 * np.mean(distances[:20])


@pytest.mark.parametrize(("n", "m", "k"), [(200, 200, 6), (1000, 100, 12), (60, 40, 20)])
def test_mix_shift_false_positive_rate(n: int, m: int, k: int) -> None:
    """Two samples of one mix, rare categories included, are called different at 5 % in 2 to 8 % of the cases."""
    rng = np.random.default_rng(23)
    weights = rng.dirichlet(np.ones(k))
    p = []
    for _ in range(800):
        before, after = rng.multinomial(n, weights), rng.multinomial(m, weights)
        p.append(stats.mix_shift(*({str(i): int(v) for i, v in enumerate(side)} for side in (before, after)))[0])
    share = float(np.mean(np.array(p) <= 0.05))
    say(f"mix shift n={n} m={m} k={k}: {share:.1%} false positives at 5 %")
    assert 0.02 <= share <= 0.08
