import numpy as np
import pytest
from scipy import stats

from andon.errors import InputError
from andon.evals.power import cases_for_drop, chance_of_finding, cries_wolf, least_drop, plan, say
from andon.stats import clopper_pearson


def test_fifty_questions_and_a_bar_of_95_percent_cry_wolf_in_46_percent():
    """Exact: at most 47 of 50 pass with probability 0.46 when each passes with 0.95; said so when a gate is set up."""
    assert cries_wolf(50, 0.95, 0.95) == pytest.approx(stats.binom.cdf(47, 50, 0.95))
    assert f"{cries_wolf(50, 0.95, 0.95):.0%}" == "46%"
    text = say(plan(50))
    assert "50 cases and a plain bar of 0.95" in text
    assert "fewer than the bar pass in 46% of runs" in text


@pytest.mark.parametrize(("n", "bar", "fewest"), [(100, 0.95, 95), (20, 0.95, 19), (10, 0.3, 3), (3, 1.0, 3)])
def test_a_plain_bar_is_met_from_the_fewest_cases(n, bar, fewest):
    """Exactly the bar is no alarm, however the product of n and the bar is rounded."""
    assert cries_wolf(n, 0.9, bar) == pytest.approx(stats.binom.cdf(fewest - 1, n, 0.9))


@pytest.mark.parametrize(
    ("n", "drop", "noise", "alpha"), [(100, 0.1, 0.1, 0.05), (40, 0.2, 0.0, 0.05), (300, 0.03, 0.05, 0.01)]
)
def test_the_power_is_that_of_simulated_comparisons(n, drop, noise, alpha):
    """The exact sum agrees with 40,000 drawn comparisons within three standard errors."""
    rng = np.random.default_rng(3)
    lost, gained, _ = rng.multinomial(n, [noise / 2 + drop, noise / 2, 1 - noise - drop], 40_000).T
    found = float(np.mean(stats.binom.sf(lost - 1, lost + gained, 0.5) <= alpha))
    assert chance_of_finding(n, drop, noise, alpha) == pytest.approx(found, abs=3 * 0.5 / 200)


def test_the_smallest_drop_is_found_in_four_runs_of_five():
    """At the smallest drop the power is 80 %, a little below it is less; more cases find smaller drops; four find none."""
    for n, noise in ((60, 0.0), (200, 0.1), (1000, 0.3)):
        drop = least_drop(n, noise)
        assert chance_of_finding(n, drop, noise, 0.05) >= 0.8 > chance_of_finding(n, drop - 2e-3, noise, 0.05)
    drops = [least_drop(n, 0.1) for n in (50, 100, 400, 2000)]
    assert drops == sorted(drops, reverse=True)
    assert least_drop(4, 0.0) is None
    assert least_drop(0, 0.1) is None


def test_repeats_find_smaller_drops():
    """Five attempts divide the noise by five; a noise that is no chance of each attempt would not fall, and it says so."""
    assert plan(200, discordance=0.1, repeats=5).mde < plan(200, discordance=0.1).mde
    assert plan(200, discordance=0.1, repeats=5).shows_margin < plan(200, discordance=0.1).shows_margin


def test_cases_that_show_a_bar_show_it_in_four_runs_of_five():
    """With the named number of cases at least 79 % of runs have an interval above the bar; a rate at the bar never has."""
    found = plan(50, rate=0.98, bar=0.95)
    n = found.shows_bar
    enough = next(x for x in range(n + 1) if clopper_pearson(x, n)[0] >= 0.95)
    assert stats.binom.sf(enough - 1, n, 0.98) >= 0.79
    assert plan(50, rate=0.95, bar=0.95).shows_bar is None
    assert "No number of cases" in say(plan(50, rate=0.95, bar=0.95))


def test_cases_for_a_margin():
    """By hand: (1.6449 + 0.8416)^2 x 0.05 / 0.02^2 = 773; without noise the bound of nothing lost, 1.6449^2 x 0.98 / 0.02 = 133."""
    assert cases_for_drop(0.02, 0.05, 0.05) == 773
    assert cases_for_drop(0.02, 0.0, 0.05) == 133


@pytest.mark.parametrize(
    "wrong", [{"n": 0}, {"repeats": 0}, {"rate": 0}, {"bar": 1.1}, {"margin": 1}, {"discordance": 1}, {"alpha": 0.6}]
)
def test_impossible_plans_are_refused(wrong):
    """A number out of its range is named."""
    with pytest.raises(InputError, match=next(iter(wrong)).split("_")[0]):
        plan(**{"n": 50, **wrong})


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"rate": 1.5, "bar": 1.5}, "bar is 1.5; a share above 0 and at most 1 is"),
        ({"rate": 0}, "rate is 0; a share above 0 and at most 1 is"),
        ({"margin": 1}, "margin is 1; a share above 0 and below 1 is"),
        ({"discordance": 1}, "discordance is 1; a share of at least 0 and below 1 is"),
        ({"alpha": 0.6}, "alpha is 0.6; a share above 0 and at most 0.5 is"),
    ],
)
def test_what_is_allowed_is_what_is_taken(wrong, word):
    """The message names the range that is taken, ends included; of a bar that is also the rate, the bar."""
    with pytest.raises(InputError, match=word):
        plan(50, **wrong)
    assert plan(50, rate=1, bar=1, discordance=0, alpha=0.5).n == 50
