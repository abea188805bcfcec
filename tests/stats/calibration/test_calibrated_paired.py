"""Seeded simulations of the paired comparisons: level of the tests, coverage of the intervals."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from andon import stats
from figures import say

SETTINGS = {
    # name: cases, attempts, clusters, correlation within a cluster, share of flaky cases, drop
    "50 cases": (50, 1, 50, 0.0, 0.3, 0.05),
    "200 cases": (200, 1, 200, 0.0, 0.2, 0.02),
    "200 cases, rarely flaky": (200, 1, 200, 0.0, 0.02, 0.0),
    "100 cases, 5 attempts": (100, 5, 100, 0.0, 0.3, 0.02),
    "200 cases in 8 clusters": (200, 1, 8, 0.5, 0.3, 0.05),
    "200 cases in 20 clusters": (200, 1, 20, 0.5, 0.3, 0.05),
    "200 cases in 20 clusters, 5 attempts": (200, 5, 20, 0.5, 0.3, 0.02),
    "300 cases in 60 clusters": (300, 1, 60, 0.3, 0.2, 0.02),
}


def draw(name: str, rng: np.random.Generator, drop: float | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Passes before and now (cases, attempts), and the cluster of each case; cases of a cluster fail together in one run."""
    cases, attempts, clusters, together, flaky, fall = SETTINGS[name]
    fall = fall if drop is None else drop
    cluster = np.sort(rng.integers(0, clusters, cases))
    rate = np.where(rng.random(cases) < flaky, rng.beta(2, 2, cases), 1 - 1e-9)

    def run(p: np.ndarray) -> np.ndarray:
        own = rng.normal(size=(cases, attempts))
        shared = rng.normal(size=clusters)[cluster][:, None]
        latent = np.sqrt(together) * shared + np.sqrt(1 - together) * own
        return latent < scipy_stats.norm.ppf(np.clip(p, 0, 1))[:, None]

    return run(rate), run(np.clip(rate - fall, 0, 1)), cluster


def true_drop(name: str) -> float:
    """The mean drop that `draw` makes, by a large draw of rates."""
    _, _, _, _, flaky, fall = SETTINGS[name]
    rng = np.random.default_rng(0)
    rate = np.where(rng.random(1_000_000) < flaky, rng.beta(2, 2, 1_000_000), 1 - 1e-9)
    return float(np.mean(rate - np.clip(rate - fall, 0, 1)))


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_the_interval_of_a_drop_covers(name: str) -> None:
    """Each bound of the score interval is wrong in at most 5 % (plus 1.5 points of noise); with eight clusters in 8.5 %, a miss."""
    rng = np.random.default_rng(5)
    truth, rounds = true_drop(name), 2000
    wrong = {"score": [0, 0], "bootstrap": [0, 0]}
    widths = {"score": 0.0, "bootstrap": 0.0}
    for _ in range(rounds):
        before, now, cluster = draw(name, rng)
        d = (now.astype(int) - before.astype(int)).ravel()
        cluster = (
            np.repeat(cluster, now.shape[1])
            if SETTINGS[name][2] < len(now)
            else np.repeat(np.arange(len(now)), now.shape[1])
        )
        found = stats.paired_drop(d, cluster, 0.9)
        ends = {
            "score": (found.low, found.high),
            "bootstrap": stats.paired_bootstrap(d, cluster, rng, level=0.9, rounds=400),
        }
        for method, (low, high) in ends.items():
            wrong[method][0] += low > truth
            wrong[method][1] += high < truth
            widths[method] += (high - low) / rounds
    for method, (low, high) in wrong.items():
        say(
            f"{name}, {method}: true drop below the interval {low / rounds:.1%}, above {high / rounds:.1%},"
            f" mean width {widths[method]:.3f}"
        )
    assert max(wrong["score"]) / rounds <= (0.065 if SETTINGS[name][2] >= 20 else 0.085)
