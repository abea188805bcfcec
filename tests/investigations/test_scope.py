"""Laws of the verdict: isolated, systematic or undecided."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from andon import stats
from andon.investigations.scope import Limit, Users, design_effect, isolated_or_systematic
from andon.monitors.verdicts import percent


def users(x: list[int], n: list[int], **more: float) -> Users:
    """Users with this harm among these interactions."""
    return Users(x=np.array(x, float), n=np.array(n, float), **more)


@pytest.mark.parametrize(
    ("x", "n", "baseline", "verdict", "says"),
    [
        (0, 0, 0.1, "undecided", "no traffic after the onset; wait for some, or send probes"),
        (
            4, 4, 0.01, "isolated",
            "4 of 4 harmed (100 %, 95 % interval 39.8 % to 100 %) against 1 % before: fewer than 5 cases",
        ),
        (5, 10, 0.01, "systematic", "5 of 10 harmed (50 %, 95 % interval 18.7 % to 81.3 %) against 1 % before"),
        (
            11, 100, 0.1, "isolated",
            "11 of 100 harmed (11 %, 95 % interval 5.62 % to 18.8 %) against 10 % before: the interval holds the baseline",
        ),
        (
            5, 300, 0.1, "isolated",
            "5 of 300 harmed (1.67 %, 95 % interval 0.543 % to 3.85 %) against 10 % before: "
            "the interval lies below the baseline",
        ),
        (
            6, 40, 0.1, "undecided",
            "6 of 40 harmed (15 %, 95 % interval 5.71 % to 29.8 %) against 10 % before: "
            "the interval holds the baseline, and twice as much too; about 62 interactions would tell",
        ),
        (
            900, 20_000, 0.03, "systematic",
            "900 of 20,000 harmed (4.5 %, 95 % interval 4.22 % to 4.8 %) against 3 % before",
        ),
    ],
)  # fmt: skip
def test_the_verdict_by_the_exact_interval(x: int, n: int, baseline: float, verdict: str, says: str) -> None:
    """Systematic: five cases and an interval above the limit; isolated: an interval that excludes twice the limit; in figures."""
    assert isolated_or_systematic(x, n, Limit(rate=baseline)) == (verdict, says)
    if n:  # the interval of another library
        low, high = binomtest(x, n).proportion_ci(method="exact")
        assert f"({percent(x / n)}, 95 % interval {percent(low)} to {percent(high)})" in says


def test_an_objective_is_the_limit_where_one_is_set() -> None:
    """60 of 1,000 harmed is systematic against a baseline of 1 %, and isolated against an objective of 8 %, by its name."""
    assert isolated_or_systematic(60, 1000, Limit(rate=0.01))[0] == "systematic"
    verdict, reason = isolated_or_systematic(60, 1000, Limit(rate=0.08, source="objective chat refusals"))
    assert verdict == "isolated"
    assert "at most 8 % by objective chat refusals" in reason
    assert isolated_or_systematic(60, 1000, Limit(rate=0.02, source="objective strict"))[0] == "systematic"


def test_a_baseline_is_shown_as_it_was_counted() -> None:
    """No harm of 3,056 before is shown as that, though the test adds half a case; without a time before, that is said."""
    baseline = Limit(rate=0.5 / 3057, counted=(0, 3056))
    assert "against 0 of 3,056 before (0 %)" in isolated_or_systematic(60, 1000, baseline)[1]
    assert percent(baseline.rate) not in baseline.text
    assert "nothing is known of the time before" in Limit(rate=0.5, counted=(0, 0)).text


def test_undecided_says_how_many_would_tell() -> None:
    """At the number of interactions that an undecided verdict asks for, a rate at the limit is isolated and twice it is systematic."""
    _, reason = isolated_or_systematic(6, 40, Limit(rate=0.1))
    n = int(reason.split("about ")[1].split()[0].replace(",", ""))
    assert 40 < n < 1000
    assert isolated_or_systematic(round(0.1 * n), n, Limit(rate=0.1))[0] == "isolated"
    assert isolated_or_systematic(round(0.2 * n), n, Limit(rate=0.1))[0] == "systematic"


def test_two_hundred_failures_of_one_user_are_one_case() -> None:
    """200 harmed of 10,000 are systematic against 0.5 % when everybody is hit, and isolated when one user has them all."""
    spread = users([1] * 200 + [0] * 800, [10] * 1000)
    assert isolated_or_systematic(200, 10_000, Limit(rate=0.005), users=spread)[0] == "systematic"
    one = users([200] + [0] * 980, [200] + [10] * 980)
    verdict, reason = isolated_or_systematic(200, 10_000, Limit(rate=0.005), users=one)
    assert verdict == "isolated"
    assert "evidence for one, fewer than 5" in reason
    assert "1 of 981 users were hit" in reason


def test_many_users_hit_again_and_again_are_systematic() -> None:
    """Harm that gathers at a hundred users of a thousand, ten times each, is still systematic, with a wider interval."""
    gathered = users([10] * 100 + [0] * 900, [10] * 1000)
    assert 9 < design_effect(gathered) < 11
    verdict, reason = isolated_or_systematic(1000, 10_000, Limit(rate=0.02), users=gathered)
    assert verdict == "systematic"
    low, high = stats.clopper_pearson(100, 1000)
    assert f"95 % interval {percent(low)} to {percent(high)}" in reason
    assert "design effect 10" in reason


def test_those_who_name_nobody_are_people_of_their_own() -> None:
    """Interactions without a user neither gather nor dilute: alone, they have the variance of single draws."""
    assert design_effect(users([], [], alone_x=50, alone_n=1000)) == pytest.approx(1.0)
    mixed = users([10], [10], alone_x=0, alone_n=90)
    assert design_effect(mixed) == pytest.approx((9**2 + 90 * 0.1**2) / 9)
    assert design_effect(users([10], [10], alone_x=10, alone_n=90)) == pytest.approx((64 + 10 * 0.64 + 80 * 0.04) / 16)


@pytest.mark.parametrize("found", [users([5], [5]), users([0, 0], [5, 5]), users([], []), users([3], [9])])
def test_where_nothing_can_be_told_nothing_is_taken_away(found: Users) -> None:
    """All harmed, none harmed, nobody there, or one user who asked everything: the design effect is 1."""
    assert design_effect(found) == 1.0


def test_the_interval_covers_gathered_harm() -> None:
    """Of 400 draws in which whole users are hit or spared, at most 5 % are called systematic at the baseline itself."""
    rng = np.random.default_rng(1)
    called = plain = 0
    for _ in range(400):
        n = rng.poisson(20, 300) + 1
        x = rng.binomial(n, rng.beta(0.25, 2.25, 300))
        baseline = Limit(rate=0.1)
        called += isolated_or_systematic(int(x.sum()), int(n.sum()), baseline, users=users(x, n))[0] == "systematic"
        plain += isolated_or_systematic(int(x.sum()), int(n.sum()), baseline)[0] == "systematic"
    assert called <= 20
    assert plain > 60  # what is wrong without users


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=30),
    st.integers(0, 20),
    st.integers(0, 20),
    st.floats(1e-4, 0.9),
)
def test_any_counts_have_a_verdict(rows: list[tuple[int, int]], alone_x: int, alone_more: int, baseline: float) -> None:
    """Whatever the counts, there is a verdict with a reason, and the design effect is at least 1 and at most n."""
    found = users([a for a, _ in rows], [a + b for a, b in rows], alone_x=alone_x, alone_n=alone_x + alone_more)
    x, n = int(found.x.sum()) + alone_x, int(found.n.sum()) + alone_x + alone_more
    assert 1 <= design_effect(found) <= max(1.0, n)
    verdict, reason = isolated_or_systematic(x, n, Limit(rate=baseline), users=found)
    assert verdict in ("systematic", "isolated", "undecided")
    assert "nan" not in reason
    assert verdict != "systematic" or (x >= 5 and x / n > baseline)
