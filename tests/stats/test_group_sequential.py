"""Laws of group-sequential tests."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from andon.stats import group_sequential as gs

FIVE = [0.2, 0.4, 0.6, 0.8, 1.0]
KINDS: tuple[gs.Spending, ...] = ("obrien-fleming", "pocock", "square")
LOOKS = st.lists(st.integers(1, 130), min_size=1, max_size=7, unique=True).map(lambda ks: [k / 100 for k in sorted(ks)])


@given(LOOKS, st.sampled_from(KINDS), st.sampled_from([0.05, 0.01, 0.2]))
def test_another_look_never_moves_an_earlier_boundary(looks: list[float], kind: gs.Spending, alpha: float) -> None:
    """The boundaries of the first looks are the same, to the last digit, whatever looks come later."""
    every = gs.bounds(looks, alpha, kind)
    for k in range(1, len(looks)):
        assert gs.bounds(looks[:k], alpha, kind).tolist() == every[:k].tolist()


@given(LOOKS, st.sampled_from(KINDS), st.sampled_from([0.05, 0.01, 0.2]))
def test_what_is_spent_is_what_crosses(looks: list[float], kind: gs.Spending, alpha: float) -> None:
    """Without an effect the boundaries are crossed, by each look, as often as the spending function says: alpha at the end."""
    found = gs.crossing(looks, gs.bounds(looks, alpha, kind), 0.0)
    spent = [gs.spent(t, alpha, kind) for t in looks]
    assert np.cumsum(found.upper + found.lower) == pytest.approx(spent, abs=1e-7)
    assert found.upper == pytest.approx(found.lower, abs=1e-12)


@given(LOOKS, st.sampled_from(KINDS), st.floats(0.3, 3))
def test_a_clock_of_its_own_spends_by_the_clock(looks: list[float], kind: gs.Spending, power: float) -> None:
    """Whatever comes between the looks, and in whatever unit, what crosses is what the clock allows: alpha when it is 1."""
    clock = [*(min(1.0, t**power) for t in looks[:-1]), 1.0]
    limits = gs.bounds([1000 * t for t in looks], 0.05, kind, clock=clock)
    found = gs.crossing(looks, limits, 0.0)
    spent = [gs.spent(t, 0.05, kind) for t in clock]
    assert np.cumsum(found.upper + found.lower) == pytest.approx(spent, abs=1e-7)


def test_over_running_spends_what_is_left() -> None:
    """A last look beyond the plan spends the rest; after all is spent there is no boundary any more."""
    late = gs.bounds([0.5, 1.1])
    found = gs.crossing([0.5, 1.1], late, 0.0)
    assert float((found.upper + found.lower).sum()) == pytest.approx(0.05, abs=1e-9)
    assert gs.bounds([0.5, 1.0, 1.1])[2] == math.inf
    assert late[1] > gs.bounds([0.5, 1.0])[1]  # less correlated with the look before


def test_one_look_is_the_fixed_test() -> None:
    """One look at the end: 1.96, a power of 80 % at a drift of 2.8, no inflation, all of the sample."""
    assert gs.bounds([1.0]) == pytest.approx([1.959964], abs=1e-6)
    drift = float(stats.norm.ppf(0.975) + stats.norm.ppf(0.8))
    assert float(gs.crossing([1.0], [1.959964], drift).upper[0]) == pytest.approx(0.8, abs=1e-6)
    assert gs.inflation(1) == pytest.approx(1.0, abs=1e-6)
    assert gs.expected_share([1.0], [1.959964], drift) == 1.0


def test_spending_starts_at_nothing_and_ends_at_alpha() -> None:
    """Nothing is spent at 0, alpha from 1 on, more with more information, and early less by O'Brien-Fleming's."""
    times = np.linspace(0, 1.3, 27).tolist()
    for kind in KINDS:
        each = [gs.spent(t, 0.05, kind) for t in times]
        assert each[0] == 0
        assert each == sorted(each)
        assert each[-1] == pytest.approx(0.05)
        assert gs.spent(1.0, 0.05, kind) == pytest.approx(0.05)
    assert gs.spent(0.2) < gs.spent(0.2, kind="pocock") / 1000


def test_an_effect_the_other_way_crosses_the_other_side() -> None:
    """With the opposite drift upper and lower change places."""
    up, down = (gs.crossing(FIVE, gs.bounds(FIVE), d) for d in (1.7, -1.7))
    assert up.upper == pytest.approx(down.lower, abs=1e-12)
    assert up.lower == pytest.approx(down.upper, abs=1e-12)
    assert float(up.upper.sum()) > 0.3


def test_crossing_is_what_a_simulation_counts() -> None:
    """Share that crosses first at each look, in 200,000 drawn tests with an effect: within 4 standard errors."""
    rng, looks = np.random.default_rng(3), [0.15, 0.5, 0.55, 1.0]
    limits, drift = gs.bounds(looks, kind="pocock"), 2.2
    steps = np.diff([0.0, *looks])
    z = np.cumsum(rng.normal(drift * steps, np.sqrt(steps), (200_000, 4)), axis=1) / np.sqrt(looks)
    over = np.abs(z) >= limits
    first = np.where(over.any(axis=1), over.argmax(axis=1), 4)
    found = gs.crossing(looks, limits, drift)
    for k in range(4):
        for side, expected in ((1, found.upper[k]), (-1, found.lower[k])):
            seen = float(np.mean((first == k) & (side * z[:, k] > 0)))
            assert abs(seen - expected) <= 4 * math.sqrt(expected * (1 - expected) / 200_000) + 1e-5
    share = float(np.mean(np.array([*looks, 1.0])[first]))
    assert gs.expected_share(looks, limits, drift) == pytest.approx(share, abs=0.003)


def test_looks_without_a_boundary_stop_nothing() -> None:
    """An infinite limit is never crossed, and the looks after it are as if it were not there."""
    found = gs.crossing([0.3, 0.6, 1.0], [math.inf, 2.5, 2.0], 1.0)
    without = gs.crossing([0.6, 1.0], [2.5, 2.0], 1.0)
    assert found.upper[0] == 0
    assert found.upper[1:] == pytest.approx(without.upper, abs=1e-9)
    assert found.lower[1:] == pytest.approx(without.lower, abs=1e-9)
    assert gs.bounds([1e-3, 1.0])[0] == math.inf


def test_many_looks_keep_alpha() -> None:
    """Hourly looks for four weeks: the boundaries together are crossed in 5 %, and the first weeks have high ones."""
    looks = [(k + 1) / 672 for k in range(672)]
    limits = gs.bounds(looks)
    found = gs.crossing(looks, limits, 0.0)
    assert float((found.upper + found.lower).sum()) == pytest.approx(0.05, abs=1e-6)
    assert bool(np.all(np.diff(limits[np.isfinite(limits)]) < 0))


def test_a_look_integrates_only_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks taken one after another integrate once each, also where only the clock moved; the numbers are those of all at once."""
    steps, step = [0], gs._State.step

    def counted(*given: object) -> object:
        steps[0] += 1
        return step(*given)  # type: ignore[arg-type]

    came = [100.0 * (k + 1 + 0.3 * (k % 3)) for k in range(60)]
    clock = [((k + 1) / 60) ** 1.1 for k in range(60)]
    every = gs.bounds(came, 0.0371, "square", clock=clock)
    gs._RUNS.clear()
    monkeypatch.setattr(gs._State, "step", counted)
    for k in range(60):
        for alpha in (0.0371, 0.0123):
            silent = [*clock[:k], clock[k] * 0.99] if k else clock[:1]
            gs.bounds(came[: k + 1], alpha, "square", clock=silent)
            one = gs.bounds(came[: k + 1], alpha, "square", clock=clock[: k + 1])
            if alpha == 0.0371:
                assert one.tolist() == every[: k + 1].tolist()
    assert steps[0] <= 2 * 2 * 60
    for k in range(2 * gs._MOST_RUNS):
        gs.bounds([1.0, 2.0 + k], 0.05)
    assert len(gs._RUNS) <= gs._MOST_RUNS


def test_inflation_grows_with_looks() -> None:
    """More looks need more sample, Pocock's spending more than O'Brien-Fleming's; what is spared on average is more."""
    for kind, most in zip(KINDS, (1.05, 1.3, 1.12), strict=True):
        each = [gs.inflation(k, kind=kind) for k in (1, 2, 5, 14)]
        assert each == sorted(each)
        assert each[-1] < most
    assert gs.inflation(5) < gs.inflation(5, kind="pocock")


def test_a_repeated_interval_excludes_zero_exactly_beyond_the_boundary() -> None:
    """The interval at a look excludes 0 exactly where ``|z|`` is beyond the boundary of that look."""
    for bound in gs.bounds(FIVE):
        for z in (bound - 1e-9, bound + 1e-9):
            low, high = gs.repeated_interval(z * 0.3, 0.3, float(bound))
            assert (low > 0) == (z > bound)
            assert high - low == pytest.approx(0.6 * bound)


@given(st.integers(1, 5), st.floats(0.0, 6.0), st.sampled_from(KINDS))
def test_the_p_value_after_stopping_agrees_with_the_boundary(look: int, z: float, kind: gs.Spending) -> None:
    """The p-value is at most what was spent by this look exactly when the boundary was crossed, and never more than 1."""
    limits = gs.bounds(FIVE, kind=kind)
    p = gs.stagewise_p(FIVE[:look], limits, z)
    assert 0 <= p <= 1
    if abs(z - limits[look - 1]) > 1e-6:
        assert (p <= gs.spent(FIVE[look - 1], kind=kind)) == (z > limits[look - 1])


def test_a_p_value_at_the_first_look_is_the_plain_one() -> None:
    """Stopped at the first look, z = 5 has the p-value of a single look, whatever its sign."""
    plain = 2 * float(stats.norm.sf(5))
    assert gs.stagewise_p([0.2], [], 5.0) == pytest.approx(plain, rel=1e-9)
    assert gs.stagewise_p([0.2], [], -5.0) == pytest.approx(plain, rel=1e-9)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: gs.bounds([0.5, 0.5]), "look 2 is at 0.5"),
        (lambda: gs.bounds([0.5, 0.4]), "look 2 is at 0.4"),
        (lambda: gs.bounds([0.0, 0.4]), "look 1 is at 0.0"),
        (lambda: gs.bounds([math.nan]), "look 1 is at nan"),
        (lambda: gs.bounds([0.5, 0.50001]), "leave out looks"),
        (lambda: gs.bounds([0.5], 1.0), "alpha=1.0"),
        (lambda: gs.bounds([0.5], kind="linear"), "kind='linear'"),  # type: ignore[arg-type]
        (lambda: gs.spent(-0.1), "fraction=-0.1"),
        (lambda: gs.crossing([0.5, 1.0], [2.0], 0.0), "2 numbers"),
        (lambda: gs.crossing([0.5], [-1.0], 0.0), "0 or more"),
        (lambda: gs.bounds([0.5, 1.0], clock=[0.5]), "must be 2 shares"),
        (lambda: gs.bounds([0.5, 1.0], clock=[0.5, 0.4]), "never fall"),
        (lambda: gs.inflation(0), "looks=0"),
        (lambda: gs.inflation(3, power=0.01), "power=0.01"),
        (lambda: gs.repeated_interval(1.0, 0.0, 2.0), "se=0.0"),
    ],
)
def test_nonsense_is_refused(call: object, said: str) -> None:
    """What cannot be computed is refused, with the value."""
    with pytest.raises(ValueError, match=said):
        call()  # type: ignore[operator]


def test_no_look_has_no_boundary() -> None:
    """Of no looks there are no boundaries."""
    assert gs.bounds([]).shape == (0,)
