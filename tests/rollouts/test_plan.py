"""What a plan can and cannot see: against published figures, and against simulations of what will be done."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import test_decide as decided
from hypothesis import given, settings
from hypothesis import strategies as st

from andon.errors import InputError
from andon.evals.power import plan as plan_of_gate
from andon.rollouts import Decision
from andon.rollouts.decide import decide
from andon.rollouts.plan import MOST_DAYS, Asked, Plan, guard_margin, guard_power, plan_rollout
from andon.rollouts.told import plan_rows, say_plan
from andon.stats import difference
from andon.stats.group_sequential import bounds, inflation
from andon.stats.power import size_for_rates

AB = Asked(metric="refusal", base=0.05, effect=0.005, up=False, per_day=48_000, days=14)
CANARY = Asked(kind="canary", metric="error", base=0.005, effect=0.003, per_day=48_000, share=0.05, days=1)


planned = plan_rollout


@pytest.mark.parametrize(("base", "effect", "power"), [(0.05, 0.005, 0.08), (0.20, 0.02, 0.21)])
def test_a_thousand_per_arm_is_told_with_its_power(base: float, effect: float, power: float) -> None:
    """The guides' 1,000 per arm sees a change of ten percent with the power that was measured: 0.08 at 5 %, 0.21 at 20 %."""
    plan = planned(replace(AB, base=base, effect=effect))
    assert plan.thumb == pytest.approx(power, abs=0.005)
    assert f'"1,000 per arm" alone has a power of {power:.2f}' in " ".join(say_plan(plan))


@pytest.mark.parametrize(("base", "effect", "each"), [(0.05, 0.005, 28_408), (0.20, 0.02, 6_039)])
def test_a_single_look_needs_the_published_sample(base: float, effect: float, each: int) -> None:
    """One look at the end needs 28,408 users per arm at 5 %, 6,039 at 20 %, as measured."""
    plan = planned(replace(AB, base=base, effect=effect, method="fixed"))
    assert plan.chosen.needed == (each, each)


@pytest.mark.parametrize(
    ("share", "days", "power"), [(0.05, 1, 0.60), (0.10, 1, 0.81), (0.20, 1, 0.95), (0.05, 3, 0.93)]
)
def test_a_day_at_five_percent_is_told_with_its_power(share: float, days: float, power: float) -> None:
    """A canary of 2,000 an hour that goes from 0.5 to 0.8 % is found by one look with the powers that were measured."""
    plan = planned(replace(CANARY, share=share, days=days))
    assert plan.thumb == pytest.approx(power, abs=0.005)
    assert f"with a power of {plan.thumb:.2f}." in say_plan(plan)[-1]


def test_looking_every_day_has_the_price_of_its_method() -> None:
    """Group-sequential looks cost what `inflation` says, the confidence sequence 1.5 to 2 times the sample of one look."""
    ways = {w.name: sum(w.needed) for w in planned(AB).ways}
    sequential, whenever, once = ways.values()
    assert list(ways)[-1] == "once, at the end"
    assert sequential / once == pytest.approx(inflation(14), abs=0.002)
    assert 1.5 < whenever / once < 2


def test_naive_peeking_is_told_with_its_error() -> None:
    """Looking at p < 0.05 on each of 14 days errs in 22 % of tests, as simulated in docs/methods/group-sequential.md."""
    plan = planned(AB)
    assert plan.naive == pytest.approx(0.22, abs=0.01)
    assert "in 22 % of tests" in " ".join(say_plan(plan))


def test_the_sample_that_is_asked_for_has_the_power_that_is_promised() -> None:
    """Simulated users of the planned number, looked at every day, show the change in 80 % of tests; without one in 2.5 %."""
    rng, looks = np.random.default_rng(1), 14
    asked = replace(AB, base=0.10, effect=0.02, per_day=1.0)
    needed = planned(replace(asked, per_day=48_000)).chosen.needed
    plan = planned(replace(asked, per_day=sum(needed) / looks))
    limits = bounds([(k + 1) / looks for k in range(looks)])
    each = needed[0] // looks
    found = []
    for p in (0.08, 0.10):
        x = rng.binomial(each, 0.10, (4_000, looks)).cumsum(axis=1)
        y = rng.binomial(each, p, (4_000, looks)).cumsum(axis=1)
        n = each * np.arange(1, looks + 1)
        pooled = (x + y) / (2 * n)
        z = (x - y) / n / np.sqrt(pooled * (1 - pooled) * 2 / n)
        found.append(float((z >= limits).any(axis=1).mean()))
    assert found[0] == pytest.approx(plan.chosen.power, abs=0.03)
    assert plan.chosen.power == pytest.approx(0.8, abs=0.005)
    assert found[1] == pytest.approx(0.025, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(("base", "margin"), [(0.02, 0.01), (0.10, 0.03)])
def test_an_unchanged_canary_passes_as_often_as_planned(base: float, margin: float) -> None:
    """Newcombe's interval of hourly looks, at their boundaries, excludes the margin as often as the plan says."""
    rng, looks, runs = np.random.default_rng(2), 24, 600
    asked = replace(CANARY, base=base, effect=margin, per_day=30_000, share=0.1)
    plan = planned(asked)
    needed = plan.chosen.needed
    asked = replace(asked, per_day=sum(needed))
    c = bounds([(k + 1) / looks for k in range(looks)])
    sizes = [n // looks for n in needed]
    x, y = (rng.binomial(n, base, (runs, looks)).cumsum(axis=1) for n in sizes)
    passed = 0
    for run in range(runs):
        for k in range(4, looks):  # before, nothing can be shown
            n1, n2 = sizes[0] * (k + 1), sizes[1] * (k + 1)
            tail = 2 * 0.5 * math.erfc(c[k] / math.sqrt(2))
            if c[k] < 7.5 and difference(int(x[run, k]), n1, int(y[run, k]), n2, 1 - tail)[2] <= margin:
                passed += 1
                break
    assert passed / runs == pytest.approx(0.8, abs=0.06)
    assert guard_power(asked, base, margin) == pytest.approx(0.8, abs=0.02)


@pytest.mark.slow
def test_harm_that_is_told_to_be_taken_out_is_taken_out_by_the_decision() -> None:
    """In simulated canaries `decide` rolls back the smallest harm that is told in four of five cases at least, a third of it rarely, none as promised."""
    asked = replace(CANARY, effect=0.01)
    plan = planned(asked)
    assert plan.harm is not None
    assert plan.harm < asked.effect
    found, less, none = (_taken_out(plan, harm, 100) for harm in (plan.harm, plan.harm / 3, 0.0))
    assert found >= 0.68
    assert less < 0.4
    assert none <= asked.alpha


def _taken_out(plan: Plan, harm: float, runs: int) -> float:
    """Share of canaries that `decide` rolls back, looked at every hour."""
    a, rng, looks = plan.asked, np.random.default_rng(9), 24
    experiment = replace(decided.CANARY, effect=a.effect, base=a.base, share=a.share, planned=plan.chosen.needed)
    out = 0
    for _ in range(runs):
        came = [
            rng.binomial(n // looks, p, looks).cumsum()
            for n, p in zip(plan.arrives, (a.base, a.base + harm), strict=True)
        ]
        made: list[Decision] = []
        while len(made) < looks and (not made or made[-1].outcome == "undecided"):
            k = len(made) + 1
            pair = decided.pair(*((n // looks * k, int(x[k - 1])) for n, x in zip(plan.arrives, came, strict=True)))
            made.append(decide(experiment, made, decided.present(k / looks, pair, experiment=experiment)))
        out += made[-1].outcome == "roll back"
    return out / runs


@given(
    st.floats(0.01, 0.5), st.floats(0.1, 0.5), st.floats(500, 1e5), st.sampled_from(["group sequential", "confidence sequence", "fixed"])
)  # fmt: skip
@settings(max_examples=40)
def test_more_users_never_see_less(base: float, part: float, per_day: float, method: str) -> None:
    """Twice the users see the same change with at least the same power, and a smaller one with the same power."""
    asked = replace(AB, base=base, effect=base * part, per_day=per_day, method=method)
    one, two = planned(asked), planned(replace(asked, per_day=2 * per_day))
    for small, large in zip(one.ways, two.ways, strict=True):
        assert large.power >= small.power - 0.01  # of few events power is a saw
        if small.smallest is not None and large.smallest is not None:
            assert large.smallest <= small.smallest * 1.02
    assert one.chosen.days >= two.chosen.days


def test_a_way_needs_the_same_sample_as_it_has_power_with() -> None:
    """A plan whose time brings exactly what a way needs has the power that was asked, for each way."""
    for asked in (replace(AB, method="confidence sequence"), replace(CANARY, effect=0.01), replace(CANARY, spread=1.0, base=2.0, effect=0.1)):  # fmt: skip
        way = planned(asked).chosen
        again = planned(replace(asked, per_day=sum(way.needed) / asked.days))
        assert again.chosen.power == pytest.approx(0.8, abs=0.01)
        assert again.chosen.smallest == pytest.approx(asked.effect, rel=0.01)


def test_users_with_several_interactions_count_for_what_they_say() -> None:
    """A design effect of 0.5 needs half of the users, and is told."""
    one, half = planned(AB), planned(replace(AB, design_effect=0.5))
    assert half.chosen.needed[0] == pytest.approx(one.chosen.needed[0] / 2, rel=0.001)
    assert "2 independent interactions" in " ".join(say_plan(half))


def test_a_number_is_planned_by_its_spread() -> None:
    """A score of standard deviation 0.25 that moves by 0.02: power 0.43 with 1,000 per arm, 2,454 for 0.8, as measured."""
    plan = planned(
        Asked(metric="rating", base=0.7, effect=0.02, spread=0.25, per_day=2_000 / 7, days=7, method="fixed")
    )
    assert plan.thumb == pytest.approx(0.43, abs=0.005)
    assert plan.chosen.needed == (2_454, 2_454)
    assert plan.golden is None
    assert "golden" not in " ".join(say_plan(plan))


def test_what_traffic_cannot_reach_is_said_first_and_the_gate_is_offered() -> None:
    """Where 90 days are too few, the first sentence says so with the number of golden cases that would show it."""
    plan = planned(replace(AB, per_day=300))
    assert not plan.sees
    assert plan.chosen.days > MOST_DAYS
    first = say_plan(plan)[0]
    assert first.startswith("This traffic cannot show it")
    cases = int(re.search(r"about ([0-9,]+) golden cases", first)[1].replace(",", ""))  # type: ignore[index]
    assert cases == pytest.approx(plan_of_gate(100, margin=0.005).shows_margin, rel=0.05)


def test_a_plan_that_is_too_short_names_the_time_it_takes() -> None:
    """A plan without the power says in its first sentence that it cannot see it, then how long it takes; whole weeks."""
    plan = planned(replace(AB, per_day=1_500))
    told = say_plan(plan)
    assert told[0].startswith("This plan cannot see it: a change of refusal from 5 % to 4.5 %")
    assert told[1] == f"It takes {plan.chosen.days:g} days."
    assert plan.chosen.days % 7 == 0
    assert planned(replace(AB, per_day=1_500, days=plan.chosen.days)).sees


@pytest.mark.parametrize(("change", "why"), [({"days": 6.0}, "days of a week"), ({"per_day": 140.0, "effect": 0.04}, "fewer than 1,000")])  # fmt: skip
def test_the_least_is_a_week_and_a_thousand(change: dict[str, float], why: str) -> None:
    """A plan of less than a week, or with fewer than 1,000 users in an arm, decides nothing however large the effect."""
    plan = planned(replace(AB, **change))  # type: ignore[arg-type]
    assert not plan.sees
    assert why in say_plan(plan)[0]


def test_a_rise_and_the_fall_of_its_complement_are_one() -> None:
    """A rate of 5 % that rises needs what one of 95 % needs that falls."""
    rise, fall = planned(replace(AB, up=True)), planned(replace(AB, base=0.95))
    assert rise.chosen.needed == fall.chosen.needed
    assert rise.chosen.needed[0] > size_for_rates(0.05, 0.055)[0]


def test_users_who_come_every_day_come_once() -> None:
    """50,000 users who come daily are 50,000 in two weeks, not 14 times as many; what does not suffice then takes for ever."""
    same = replace(AB, per_day=7_000, arrivals=(50_000.0,) * 7)
    plan = planned(same)
    assert plan.arrives == (25_000, 25_000)
    assert not plan.sees
    assert plan.chosen.days == math.inf
    assert say_plan(plan)[0].startswith("This traffic cannot show it")
    assert "0 new ones a day are reckoned with" in " ".join(say_plan(plan))
    assert "for ever" in plan_rows(plan)[1][0]
    half = planned(replace(same, arrivals=(10_000.0, 14_000.0), days=7.0))
    assert sum(half.arrives) == 14_000 + 5 * 4_000
    assert planned(replace(same, days=7.0, arrivals=tuple(7_000.0 * d for d in range(1, 8)))).arrives == (
        24_500,
        24_500,
    )


def test_a_day_is_reached_when_its_users_have_come() -> None:
    """What a plan needs has come when it says so: along the days of recent traffic, and as on the last one after them."""
    came = replace(CANARY, effect=0.01, arrivals=(30_000.0, 40_000.0, 45_000.0))
    for days in (0.5, 1.5, 3.0, 8.0):
        sizes = planned(replace(came, days=days)).arrives
        needed = planned(replace(came, days=days)).chosen
        again = planned(replace(came, days=min(needed.days, MOST_DAYS)))
        if needed.days <= MOST_DAYS:
            assert sum(again.arrives) == pytest.approx(sum(needed.needed), abs=2)
        assert sum(sizes) <= 45_000 + 5_000 * max(0.0, days - 3)


def test_a_guardrail_that_is_not_shown_to_hold_blocks_the_plan() -> None:
    """A plan that sees its effect, and can never show that a guardrail holds, does not see; the first sentence names the guardrail."""
    plan = planned(AB)
    assert plan.sees
    blocked = replace(plan, unshown=("error in high",))
    assert not blocked.sees
    assert say_plan(blocked)[0].startswith(
        "This plan cannot promote: error in high is rather not shown to hold in 14 days"
    )


def test_a_guardrail_on_rare_traffic_is_told_to_block() -> None:
    """A margin is shown in all traffic and not in a hundredth of it; the margin that could be shown is shown with 80 %."""
    assert guard_power(AB, 0.01, 0.002) > 0.99
    assert guard_power(AB, 0.01, 0.002, 0.01) < 0.3
    assert guard_power(AB, 0.01, 0.002, 1e-5) == 0
    least = guard_margin(AB, 0.01, 0.01)
    assert least is not None
    assert guard_power(AB, 0.01, least, 0.01) == pytest.approx(0.8, abs=0.001)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"base": 0.0}, "between 0 and 1"),
        ({"base": math.nan}, "between 0 and 1"),
        ({"effect": 0.06}, "cannot fall by 0.06; at most 0.05"),
        ({"effect": -0.01}, "direction is given apart"),
        ({"share": 1.0}, "the share is 1"),
        ({"per_day": 0.0}, "users a day is 0"),
        ({"per_day": math.inf}, "users a day is inf"),
        ({"days": 91.0}, "at most 90"),
        ({"method": "bayes"}, "group sequential, confidence sequence, fixed are"),
        ({"spread": 0.0}, "a spread above 0"),
        ({"per_day": 0.2}, "too few"),
    ],
)
def test_an_impossible_plan_is_refused_with_what_is_allowed(wrong: dict[str, object], says: str) -> None:
    """Every number out of its range is named with what is allowed."""
    with pytest.raises(InputError, match=re.escape(says)):
        planned(replace(AB, **wrong))  # type: ignore[arg-type]


def test_the_table_has_a_row_for_each_way_of_looking() -> None:
    """The chosen way stands first, and each row says what it needs, how long it takes, its power and what it sees."""
    head, rows = plan_rows(planned(replace(AB, method="fixed")))
    assert rows[0][0] == "once, at the end"
    assert {len(r) for r in rows} == {len(head)}
    assert rows[0][1:] == ("28,408 + 28,408", "7 days", "above 0.99", "0.15 points or more")
