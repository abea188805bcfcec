"""How often the interval of an effect holds the truth, by seeded simulation."""

import numpy as np
import pytest

from andon import stats
from andon.levers.effects import Grouped, design_effects


def simulated(
    rng: np.random.Generator, users: tuple[int, int], each: tuple[int, int], p: tuple[float, float], rho: float
) -> tuple[float, float]:
    """How often the interval holds the true difference: without users, and with their design effect; 1,000 holds."""
    beta = [rng.beta(q * (1 / rho - 1), (1 - q) * (1 / rho - 1), (1000, u)) for q, u in zip(p, users, strict=True)]
    harmed = [rng.binomial(m, b) for m, b in zip(each, beta, strict=True)]
    plain = counted = 0
    for sides in zip(*harmed, strict=True):
        x, n = [int(s.sum()) for s in sides], [u * m for u, m in zip(users, each, strict=True)]
        sums = [
            Grouped(users=u, x=s.sum(), n=u * m, xx=s @ s, nn=u * m * m, xn=m * s.sum())
            for s, u, m in zip(sides, users, each, strict=True)
        ]
        d = design_effects(*sums)
        for k, by in enumerate(((1.0, 1.0), d)):
            _, low, high = stats.difference(x[0] / by[0], n[0] / by[0], x[1] / by[1], n[1] / by[1])  # type: ignore[arg-type]
            plain, counted = (
                plain + (k == 0 and low <= p[1] - p[0] <= high),
                counted + (k == 1 and low <= p[1] - p[0] <= high),
            )
    return plain / 1000, counted / 1000


@pytest.mark.parametrize(
    ("users", "each", "p", "rho", "least"),
    [
        ((100, 100), (5, 5), (0.05, 0.05), 0.2, 0.93),
        ((100, 100), (5, 5), (0.05, 0.05), 0.5, 0.93),
        ((100, 100), (5, 5), (0.4, 0.01), 0.5, 0.93),
        ((20, 400), (5, 5), (0.05, 0.05), 0.2, 0.93),
        ((400, 50), (1, 20), (0.05, 0.05), 0.5, 0.89),  # published: 50 users say little of themselves
    ],
)
def test_the_interval_holds_the_truth_where_harm_stays_with_users(
    users: tuple[int, int], each: tuple[int, int], p: tuple[float, float], rho: float, least: float
) -> None:
    """About as often as promised; by single interactions far less. The figures stand in the documentation."""
    plain, counted = simulated(np.random.default_rng(0), users, each, p, rho)
    assert counted >= least
    assert plain < counted - 0.05


def test_how_often_a_pull_that_does_nothing_is_said_to_have_worked() -> None:
    """Where nothing singled the time before out, in one of forty; after a false alarm mostly, which the documentation says."""
    rng = np.random.default_rng(0)

    def fell(before: tuple[int, int], after: tuple[int, int]) -> bool:
        return stats.difference(*before, *after)[2] < 0

    even = [fell((int(x), 500), (int(y), 500)) for x, y in rng.binomial(500, 0.05, (1000, 2))]
    worst = rng.binomial(100, 0.05, (1000, 168)).max(axis=1)
    alarmed = [fell((int(x), 100), (int(y), 400)) for x, y in zip(worst, rng.binomial(400, 0.05, 1000), strict=True)]
    assert 0.01 < np.mean(even) < 0.04
    assert 0.7 < np.mean(alarmed) < 0.85
