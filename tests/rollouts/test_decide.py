"""Laws of one look at an experiment."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from andon.rollouts import Decision, Experiment, Guardrail
from andon.rollouts.arms import Pair, Split, Sums
from andon.rollouts.decide import decide
from andon.rollouts.findings import Guarded, Present, alphas_of, harm_shown_at
from andon.stats import group_sequential
from andon.stats.two_sample import UserSums

DAY_US = 86_400_000_000

AB = Experiment(
    id="EXP-0001", kind="ab", app="bot", lever="prompt", control=None, treatment="aaaaaaaaaaaa", share=0.5,
    hypothesis="fewer refusals", metric="refusal", better="down", effect=0.02, base=0.1, planned=(4_000, 4_000), days=14.0,
    by="ann", at_us=0,
)  # fmt: skip
CANARY = replace(
    AB, kind="canary", metric="error", effect=0.005, base=0.005, share=0.05, days=1.0, planned=(45_600, 2_400)
)
GUARDS = (Guardrail(metric="error", margin=0.01), Guardrail(metric="refusal", margin=0.02, risk_category="high"))


def one_each(users: int, events: float) -> Sums:
    """Users with one interaction each."""
    return Sums(users, users, events, users, events, users, events)


def pair(control: tuple[int, float], treatment: tuple[int, float]) -> Pair:
    """Users and events of control and treatment."""
    return one_each(*control), one_each(*treatment)


def present(days: float, of: Pair, *guards: Pair, experiment: Experiment = AB, **more: Any) -> Present:
    """What came until a day."""
    end = days >= experiment.days
    fields: dict[str, Any] = {
        "at_us": round(days * DAY_US),
        "days": days,
        "last": end,
        "whole": end,
        "split": Split(int(of[0].units), int(of[1].units), 0, 0),
        "primary": Guarded(pair=of),
        "segments": {},
        "guards": tuple(Guarded(pair=g) for g in guards),
    }
    return Present(**{**fields, **more})


BETTER = pair((4_000, 400), (4_000, 240))
SAME = pair((4_000, 400), (4_000, 400))
GOOD_GUARD = pair((4_000, 40), (4_000, 40))


def test_nothing_came_is_undecided() -> None:
    """Where no interaction names an arm, nothing is decided, and the text says what was looked for."""
    look = decide(AB, [], present(1, (Sums(), Sums())))
    assert look.outcome == "undecided"
    assert "exp-0001-control" in look.reason
    assert (look.id, look.look, look.effect, look.findings) == ("EXP-0001@0001", 1, None, ())


def test_a_broken_split_hides_every_effect() -> None:
    """A sample-ratio mismatch is a hold with its p-value, though the treatment looks as good as can be; no finding is given."""
    look = decide(AB, [], present(14, pair((5_000, 500), (4_000, 40))))
    assert look.outcome == "hold"
    assert look.ratio_mismatch is not None
    assert look.ratio_mismatch < 0.001
    assert look.findings == ()
    assert look.effect is None


def test_an_arm_that_nobody_is_in_is_a_broken_split() -> None:
    """A thousand users of the control and none of the treatment: the split is broken, not merely early."""
    look = decide(AB, [], present(1, (one_each(1_000, 100), Sums())))
    assert (look.outcome, "split" in look.reason) == ("hold", True)


def test_users_in_both_arms_break_the_split() -> None:
    """More than 1 % of the users in both arms is a hold; fewer are named in a note, and effects are read."""
    many = decide(AB, [], present(14, BETTER, split=Split(4_000, 4_000, 100, 0)))
    few = decide(AB, [], present(14, BETTER, split=Split(4_000, 4_000, 40, 0)))
    assert (many.outcome, few.outcome) == ("hold", "promote")
    assert "100 of 7,900 users" in many.reason
    assert "40 users were seen in both arms" in few.notes[0]


def test_users_of_a_shadow_are_in_both_arms_by_design() -> None:
    """A shadow draws no users: neither its split nor users in both arms are held against it."""
    shadow = replace(CANARY, kind="shadow")
    harmless = pair((20_000, 100), (20_000, 100))
    look = decide(shadow, [], present(1, harmless, experiment=shadow, split=Split(20_000, 20_000, 20_000, 0)))
    assert (look.outcome, look.ratio_mismatch, look.notes) == ("promote", None, ())


def test_interactions_without_a_user_are_named() -> None:
    """Where no user is named, the decision says that each interaction counts as a unit."""
    look = decide(AB, [], present(14, BETTER, split=Split(4_000, 4_000, 0, 8_000)))
    assert "8,000 of 8,000 units are interactions that name no user" in look.notes[0]


def test_an_ab_promotes_what_is_better_and_harms_nothing() -> None:
    """Primary better at the boundary, guardrails within their margins, 7 days and 1,000 users: promote, with intervals."""
    plan = replace(AB, guardrails=GUARDS)
    look = decide(plan, [], present(14, BETTER, GOOD_GUARD, pair((1_000, 50), (1_000, 50)), experiment=plan))
    assert look.outcome == "promote"
    assert look.effect == pytest.approx(-0.04)
    assert look.high is not None
    assert look.high < 0
    assert [f.verdict for f in look.findings] == ["better", "not worse", "not worse"]


@pytest.mark.parametrize(
    ("days", "users", "lacks"),
    [(6, 4_000, "6.0 of at least 7 whole days"), (14, 900, "900 users are in the smaller arm")],
)
def test_an_ab_waits_for_a_week_and_for_a_thousand_users(days: float, users: int, lacks: str) -> None:
    """However clear it looks, a promotion needs 7 whole days and 1,000 users in each arm."""
    look = decide(AB, [], present(days, pair((users, 0.5 * users), (users, 0.05 * users))))
    assert look.outcome != "promote"
    assert lacks in look.reason
    assert "not shown better" not in look.reason


def test_a_good_primary_never_vetoes_a_guardrail() -> None:
    """A guardrail that is harmed rolls back though the primary is better, and the sentence says so."""
    plan = replace(AB, guardrails=GUARDS)
    harmed = pair((1_000, 50), (1_000, 150))
    look = decide(plan, [], present(14, BETTER, GOOD_GUARD, harmed, experiment=plan))
    assert look.outcome == "roll back"
    assert 'refusal in "high"' in look.reason
    assert "does not outweigh" in look.reason


def test_a_guardrail_that_is_not_shown_holds_a_promotion_back() -> None:
    """Too little traffic in a risk category: its guardrail is neither harmed nor passed, so nothing is promoted."""
    plan = replace(AB, guardrails=GUARDS)
    thin = pair((150, 7), (150, 8))
    look = decide(plan, [], present(14, BETTER, GOOD_GUARD, thin, experiment=plan))
    assert look.outcome == "hold"
    assert 'guardrail refusal in "high"' in look.reason


def test_a_guardrail_that_cannot_be_read_holds_a_promotion_back() -> None:
    """A guardrail without a measure is said to be unreadable, and is never taken for passed."""
    plan = replace(AB, guardrails=GUARDS[:1])
    unread = Guarded(pair=None, problem="it is not measured any more")
    look = decide(plan, [], present(14, BETTER, experiment=plan, guards=(unread,)))
    assert look.outcome == "hold"
    assert "it is not measured any more, so nothing can be said" in look.reason


def test_a_primary_that_is_worse_rolls_back_at_once() -> None:
    """An A/B whose primary is shown worse at the boundary is rolled back without waiting for the week."""
    look = decide(AB, [], present(5, pair((4_000, 400), (4_000, 700))))
    assert (look.outcome, look.findings[0].verdict) == ("roll back", "worse")


def test_the_direction_is_the_plans() -> None:
    """The same figures are a roll back for a metric that is to fall, and a promotion for one that is to rise."""
    worse = pair((4_000, 400), (4_000, 700))
    assert decide(AB, [], present(14, worse)).outcome == "roll back"
    assert decide(replace(AB, better="up"), [], present(14, worse)).outcome == "promote"


def test_no_effect_at_the_end_is_a_hold_and_before_it_undecided() -> None:
    """Without an effect: undecided with days that remain, then, when the time is over, hold; never roll back."""
    early = decide(AB, [], present(3, SAME))
    late = decide(AB, [early], present(14, SAME))
    assert (early.outcome, late.outcome) == ("undecided", "hold")
    assert early.most_days == pytest.approx(11)
    assert (late.more_days, late.most_days) == (None, None)


def test_a_plan_that_traffic_cannot_reach_is_told() -> None:
    """Where the days needed are far beyond the plan, the sentence says so and offers the offline gate."""
    look = decide(AB, [], present(10, pair((300, 30), (300, 28))))
    assert look.outcome == "undecided"
    assert "offline gate" in look.reason
    assert look.more_days is not None
    assert look.more_days > 2 * 14


def test_fixed_says_nothing_before_the_end() -> None:
    """A fixed horizon reads the primary once: undecided on the way however clear it is, and then at 1.96."""
    plan = replace(AB, method="fixed")
    clear = pair((4_000, 800), (4_000, 100))
    assert decide(plan, [], present(13, clear)).outcome == "undecided"
    assert decide(plan, [], present(13, clear)).low is None
    assert decide(plan, [], present(14, pair((4_000, 400), (4_000, 345)))).outcome == "promote"


def test_a_test_that_was_stopped_early_is_no_fixed_one() -> None:
    """Somebody who stops a fixed test on a good day gets no promotion from it."""
    plan = replace(AB, method="fixed")
    look = decide(plan, [], present(9, BETTER, last=True))
    assert look.outcome == "hold"
    assert "stopped after 9.0 days" in look.reason


def test_group_sequential_needs_more_early() -> None:
    """The same z is enough at the end and not at half-time; the confidence sequence needs more than either."""
    modest = pair((4_000, 400), (4_000, 340))  # z = 2.3
    assert decide(AB, [], present(14, modest)).findings[0].verdict == "better"
    assert decide(AB, [], present(7, modest)).findings[0].verdict == "undecided"
    sequence = replace(AB, method="confidence sequence")
    assert decide(sequence, [], present(14, modest)).findings[0].verdict == "undecided"


def test_a_promotion_is_shown_by_the_look_that_promotes() -> None:
    """What an earlier look showed, and this one does not, is no reason: of the primary metric, and of a guardrail."""
    strong = decide(AB, [], present(6, pair((4_000, 500), (4_000, 200))))
    assert strong.findings[0].verdict == "better"
    assert strong.outcome == "undecided"
    back = decide(AB, [strong], present(7, pair((4_000, 400), (4_000, 340))))
    assert (back.findings[0].verdict, back.outcome) == ("undecided", "undecided")
    plan = replace(AB, guardrails=GUARDS[:1])
    passed = decide(plan, [], present(6, SAME, pair((4_000, 40), (4_000, 40)), experiment=plan))
    assert passed.findings[1].verdict == "not worse"
    now = decide(plan, [passed], present(14, BETTER, pair((1_000, 10), (1_000, 15)), experiment=plan))
    assert [f.verdict for f in now.findings] == ["better", "undecided"]
    assert now.outcome == "hold"


def test_a_canary_is_promoted_by_the_look_that_shows_it() -> None:
    """A canary that was shown harmless at an early look, which was lost, must show it again."""
    plan = replace(CANARY, share=0.5, planned=(2_000, 2_000))
    good = decide(plan, [], present(0.9, pair((2_000, 20), (2_000, 2)), experiment=plan))
    assert good.findings[0].verdict == "not worse"
    before = replace(good, outcome="undecided")
    now = decide(plan, [before], present(0.95, pair((2_100, 20), (2_100, 20)), experiment=plan))
    assert now.findings[0].verdict == "undecided"
    assert now.outcome == "undecided"


def test_after_a_decision_harm_is_still_looked_for() -> None:
    """A promotion stays one at later looks, with its reason, until harm is shown: then it is a roll back."""
    plan = replace(AB, guardrails=GUARDS[:1])
    first = decide(plan, [], present(14, BETTER, GOOD_GUARD, experiment=plan))
    assert first.outcome == "promote"
    same = decide(plan, [first], present(14, SAME, GOOD_GUARD, experiment=plan))
    assert (same.outcome, same.more_days) == ("promote", None)
    assert first.reason in same.reason
    assert "decided at look 1; no harm is shown since then" in same.reason
    again = decide(plan, [first, same], present(14, SAME, GOOD_GUARD, experiment=plan))
    assert again.reason == same.reason
    harmed = decide(plan, [first, same], present(14, BETTER, pair((8_000, 80), (8_000, 280)), experiment=plan))
    assert harmed.outcome == "roll back"
    assert harmed.reason.startswith("harm is shown: error")


def test_a_split_that_breaks_after_a_decision_is_told() -> None:
    """What was decided is not decided again, and the reason says what the look found."""
    first = decide(AB, [], present(14, BETTER))
    later = decide(AB, [first], present(14, pair((8_000, 800), (6_000, 600))))
    assert later.outcome == "promote"
    assert "since then: the split is broken" in later.reason
    assert later.findings == ()


@settings(max_examples=40, deadline=None)
@given(st.floats(0.02, 0.3), st.floats(0.5, 1.5), st.integers(1, 13))
def test_the_days_that_are_left_are_a_range(base: float, ratio: float, day: int) -> None:
    """The range lies within the plan, and moves little when a day comes whose effect is that of the days before."""
    plan = replace(AB, method="confidence sequence", base=base)
    looks = [
        decide(plan, [], present(d, pair((300 * d, 300 * d * base), (300 * d, 300 * d * base * ratio))))
        for d in (day, day + 1)
    ]
    ranges = []
    for d, look in zip((day, day + 1), looks, strict=True):
        if look.more_days is None or look.most_days is None or look.more_days > plan.days:
            return
        assert 1 / 24 <= look.more_days <= look.most_days <= plan.days - d + 1e-9
        ranges.append((d + look.more_days, d + look.most_days))
    assert ranges[0][0] <= ranges[1][1] + 1e-9
    assert ranges[1][0] <= ranges[0][1] + 1e-9 or ranges[1][0] == pytest.approx(day + 2)


def test_the_days_that_are_left_are_said_as_a_range() -> None:
    """An effect that half-way is not shown: the sentence gives the days with luck and without."""
    look = decide(AB, [], present(7, pair((2_000, 200), (2_000, 170))))
    assert look.more_days is not None
    assert look.most_days is not None
    assert look.more_days < look.most_days
    assert f"{look.more_days:.0f} to {look.most_days:.0f} days more" in look.reason


def test_a_last_day_without_traffic_decides_by_all_that_came() -> None:
    """Nothing came on the last day: the last look reads the days before at what is left of alpha, and has an interval."""
    half = pair((2_000, 200), (2_000, 156))  # z = 2.4
    before = decide(AB, [], present(13, half))
    assert (before.outcome, before.findings[0].verdict) == ("undecided", "undecided")
    last = decide(AB, [before], present(14, half))
    assert last.findings[0].low is not None
    assert (last.outcome, last.findings[0].verdict) == ("promote", "better")


def test_who_is_not_known_breaks_no_split() -> None:
    """Interactions without a user, and rows of different weights, are no draws: no verdict on the split, but a note."""
    uneven = pair((5_000, 500), (4_000, 400))
    for split in (Split(5_000, 4_000, 0, 9_000), Split(5_000, 4_000, 0, 500), Split(5_000, 4_000, 0, 0, True)):
        look = decide(AB, [], present(14, uneven, split=split))
        assert look.ratio_mismatch is None
        assert "split is broken" not in look.reason
        assert any("cannot tell whether the split is as planned" in note for note in look.notes)
    few = decide(AB, [], present(14, uneven, split=Split(5_000, 4_000, 0, 400)))
    assert "the split is broken" in few.reason


def test_an_alarm_of_the_split_is_rare_where_few_are_not_named() -> None:
    """Units of which one in twenty-one comes in bursts of 20, evenly drawn: the check of the split alarms in few of 200 runs."""
    rng, alarms = np.random.default_rng(11), 0
    for _ in range(200):
        named, bursts = rng.binomial(10_000, 0.5), rng.binomial(25, 0.5)
        control, treatment = int(named + 20 * bursts), int(10_000 - named + 20 * (25 - bursts))
        split = Split(control, treatment, 0, 500)
        assert split.of_users
        look = decide(AB, [], present(7, pair((control, 100), (treatment, 100)), split=split))
        alarms += look.ratio_mismatch is not None and look.ratio_mismatch < 0.001
    assert alarms <= 3


def test_a_metric_that_one_arm_has_more_often_cannot_be_told() -> None:
    """30 % of the control and 40 % of the treatment have a value: no effect is told and nothing promoted, however good it looks."""
    split = Split(4_000, 4_000, 0, 0)
    look = decide(AB, [], present(14, pair((1_200, 300), (1_600, 160)), split=split))
    primary = look.findings[0]
    assert (primary.verdict, primary.effect, look.effect, look.outcome) == ("undecided", None, None, "hold")
    assert "cannot tell: 40 % of the treatment's users have a value, 30 % of the control's" in look.reason
    alike = decide(AB, [], present(14, pair((1_200, 300), (1_210, 121)), split=split))
    assert alike.findings[0].verdict == "better"


def test_harm_on_users_who_are_not_alike_is_still_harm() -> None:
    """A guardrail that one arm has more often is never passed, and harm on it is still shown, with what it may come from."""
    plan, split = replace(AB, guardrails=GUARDS[:1]), Split(4_000, 4_000, 0, 0)
    fine = decide(plan, [], present(14, BETTER, pair((1_200, 12), (1_600, 16)), experiment=plan, split=split))
    assert (fine.findings[1].verdict, fine.outcome) == ("undecided", "hold")
    assert fine.findings[1].effect is None
    bad = decide(plan, [], present(14, BETTER, pair((1_200, 12), (1_600, 320)), experiment=plan, split=split))
    assert (bad.findings[1].verdict, bad.outcome) == ("worse", "roll back")
    assert "40 % of the treatment's users have a value" in bad.reason


def test_users_in_both_arms_by_design_are_not_asked_whether_they_are_alike() -> None:
    """Requests are drawn, so the larger arm sees more of each user: a guardrail on part of the traffic can be passed all the same."""
    plan = replace(CANARY, share=None, field="model", lever=None, control="a", treatment="b", guardrails=GUARDS[1:])
    part = pair((9_860, 99), (2_840, 28))
    split = Split(10_000, 10_000, 10_000, 0)
    look = decide(plan, [], present(1, pair((10_000, 50), (10_000, 50)), part, experiment=plan, split=split))
    assert (look.findings[1].verdict, look.outcome) == ("not worse", "promote")
    once = decide(plan, [], present(1, pair((10_000, 50), (10_000, 50)), part, experiment=plan, split=Split(10_000, 10_000, 0, 0)))  # fmt: skip
    assert "cannot tell" in once.findings[1].text


def test_what_users_say_is_measured_against_what_the_plan_took_them_to_say() -> None:
    """Six independent interactions a user: a tenth of the planned users at half-time is a tenth of the plan, and its time will not do."""
    plan = replace(AB, design_effect=1 / 6)
    arm = Sums(400, 2_400, 240, 2_400, 400 * (0.6**2 + 6 * 0.1 * 0.9), 14_400, 1_440)  # var(x) = 6 p (1 - p)
    look = decide(plan, [], present(7, (arm, arm)))
    assert look.fraction == pytest.approx(0.10, rel=0.02)
    assert look.more_days == pytest.approx(63, rel=0.03)
    assert "this traffic cannot decide it in time" in look.reason
    full = replace(arm, units=4_000, rows=24_000, x=2_400, n=24_000, xx=10 * arm.xx, nn=144_000, xn=14_400)
    assert decide(plan, [], present(14, (full, full))).fraction == pytest.approx(1.0, rel=0.02)


def test_a_smaller_test_spends_at_its_end_what_is_left() -> None:
    """With half of the planned users the last look has the level that is left, not that of half-time."""
    half = pair((2_000, 200), (2_000, 156))  # z = 2.4
    assert decide(AB, [], present(14, half)).findings[0].verdict == "better"
    assert decide(AB, [], present(13, half)).findings[0].verdict == "undecided"


def test_a_larger_test_keeps_to_the_calendar() -> None:
    """Ten times the planned traffic on day 3 does not use up the error rate: the share of the plan is that of its days."""
    look = decide(AB, [], present(3.5, pair((40_000, 4_000), (40_000, 4_000))))
    assert look.fraction == pytest.approx(0.25)


def test_a_harmful_canary_is_rolled_back_at_an_early_hour() -> None:
    """A canary that triples errors is rolled back within hours, by the boundary of harm."""
    looks: list[Decision] = []
    for hour in range(1, 25):
        n = (1_900 * hour, 100 * hour)
        looks.append(
            decide(
                CANARY, looks, present(hour / 24, pair((n[0], 0.005 * n[0]), (n[1], 0.02 * n[1])), experiment=CANARY)
            )
        )
        if looks[-1].outcome != "undecided":
            break
    assert looks[-1].outcome == "roll back"
    assert len(looks) < 20
    assert "show harm at this look: it is worse" in looks[-1].reason


def test_a_harmless_canary_passes_at_its_end() -> None:
    """A canary that is surely not worse by more than the margin is promoted; with little traffic it is held."""
    ample = pair((45_600, 228), (20_000, 100))
    plan = replace(CANARY, share=20_000 / 65_600)
    assert decide(plan, [], present(1, ample, experiment=plan)).outcome == "promote"
    thin = pair((4_560, 23), (240, 1))
    look = decide(CANARY, [], present(1, thin, experiment=CANARY))
    assert look.outcome == "hold"


def test_no_errors_at_all_pass_a_canary() -> None:
    """Where nothing is harmed in either arm the interval is still computed, and enough traffic passes."""
    look = decide(CANARY, [], present(1, pair((45_600, 0), (2_400, 0)), experiment=CANARY))
    assert look.outcome == "promote"
    assert look.high is not None
    assert 0 < look.high < 0.005


def test_harm_within_the_margin_is_accepted() -> None:
    """Harm that is real and surely smaller than the margin is what was declared acceptable: no roll back."""
    small = pair((400_000, 4_000), (400_000, 4_400))
    plan = replace(CANARY, share=0.5)
    look = decide(plan, [], present(1, small, experiment=plan))
    assert (look.effect or 0) / (look.findings[0].se or 1) > 2.5
    assert look.outcome == "promote"


def test_alpha_is_split_over_what_is_guarded() -> None:
    """The error rates of harm add up to alpha, and high risk has three quarters of it."""
    plan = replace(CANARY, guardrails=(*GUARDS, Guardrail(metric="error", margin=0.01, risk_category="Critical")))
    primary, guards = alphas_of(plan)
    assert primary is not None
    assert primary + sum(guards) == pytest.approx(plan.alpha)
    assert guards[1] + guards[2] == pytest.approx(0.75 * plan.alpha)
    assert alphas_of(replace(AB, guardrails=GUARDS[:1])) == (None, (0.05,))


def test_users_with_many_interactions_count_once() -> None:
    """Ten equal interactions of a user say as much as one: interval and evidence are those of the users."""
    single = decide(AB, [], present(14, BETTER))
    tenfold = tuple(Sums(s.units, 10 * s.rows, 10 * s.x, 10 * s.n, 100 * s.xx, 100 * s.nn, 100 * s.xn) for s in BETTER)
    many = decide(AB, [], present(14, tenfold))
    assert (many.low, many.high) == (pytest.approx(single.low, rel=1e-3), pytest.approx(single.high, rel=1e-3))


def test_weights_do_not_make_certainty() -> None:
    """Rows that stand for twenty each have the rates of the traffic and the noise of the rows."""
    single = decide(AB, [], present(14, BETTER))
    heavy = tuple(Sums(s.units, s.rows, 20 * s.x, 20 * s.n, 400 * s.xx, 400 * s.nn, 400 * s.xn) for s in BETTER)
    weighted = decide(AB, [], present(14, heavy))
    assert (weighted.low, weighted.high) == (pytest.approx(single.low, rel=1e-3), pytest.approx(single.high, rel=1e-3))


def test_weights_do_not_make_certainty_where_nothing_happened() -> None:
    """Without an event no design effect can be estimated: rows that stand for twenty still count as rows."""
    none = pair((76_000, 0), (4_000, 0))
    heavy = tuple(Sums(s.units, s.rows, 0, 20 * s.n, 0, 400 * s.nn, 0) for s in none)
    high = [decide(CANARY, [], present(1, p, experiment=CANARY)).high for p in (none, heavy)]
    assert high[1] == pytest.approx(high[0])


def test_means_are_compared_where_the_plan_has_a_spread() -> None:
    """A primary that is a number: Welch's standard error, in the number's unit."""
    plan = replace(AB, metric="groundedness", better="up", base=0.7, spread=0.25, planned=(2_500, 2_500))
    n, v = 2_500, 0.0625

    def arm(mean: float) -> Sums:
        return Sums(n, n, n * mean, n, n * (v + mean**2), n, n * mean)

    look = decide(plan, [], present(14, (arm(0.70), arm(0.72)), experiment=plan))
    assert look.outcome == "promote"
    assert look.fraction == pytest.approx(1.0, rel=1e-3)
    assert look.effect == pytest.approx(0.02)


@pytest.mark.parametrize(("better", "moved", "outcome"), [("down", 0.5, "roll back"), ("up", 0.5, "promote"), ("up", -0.5, "roll back"), ("down", 0.0, "promote")])  # fmt: skip
def test_a_canary_on_a_mean(better: str, moved: float, outcome: str) -> None:
    """A canary whose metric is a number: harm against its direction rolls back at any look, and the rest passes at its end."""
    plan = replace(CANARY, metric="latency_s", better=better, base=2.0, spread=1.0, effect=0.2)
    arms = tuple(Sums(n, n, n * m, n, n * (1 + m * m), n, n * m) for n, m in ((22_800, 2.0), (1_200, 2.0 + moved)))
    early = decide(plan, [], present(0.5, arms, experiment=plan))
    assert early.outcome in ("undecided", outcome)
    arms = tuple(Sums(n, n, n * m, n, n * (1 + m * m), n, n * m) for n, m in ((45_600, 2.0), (2_400, 2.0 + moved)))
    assert decide(plan, [], present(1.0, arms, experiment=plan)).outcome == outcome


def test_the_past_of_users_takes_noise_out() -> None:
    """What users did before narrows the interval by what it explains, and the sentence says by how much."""
    rng = np.random.default_rng(5)
    n = 2_000
    before = rng.normal(size=(2, n))
    now = 0.8 * before + 0.6 * rng.normal(size=(2, n)) + 5
    arms = tuple(Sums(n, n, y.sum(), n, y @ y, n, y.sum()) for y in now)
    past = tuple(
        UserSums(n, y.sum(), y @ y, n, y.sum(), x.sum(), x @ x, x @ y) for x, y in zip(before, now, strict=True)
    )
    plan = replace(AB, metric="answer_chars", better="up", base=5.0, spread=1.0, planned=(n, n))
    plain, less = (decide(plan, [], present(14, arms, experiment=plan, past=p)) for p in (None, past))
    width = [(d.high or 0) - (d.low or 0) for d in (plain, less)]
    assert width[1] / width[0] == pytest.approx(0.6, abs=0.03)
    assert "which is 6" in less.findings[0].text


def test_segments_are_told_with_high_risk_first() -> None:
    """Each risk category has its finding, high risk first, and a note says whether they differ."""
    segments = {
        "low": pair((3_000, 300), (3_000, 120)),
        "high": pair((1_000, 100), (1_000, 180)),
        "tiny": pair((5, 1), (5, 0)),
    }
    look = decide(AB, [], present(14, pair((4_000, 400), (4_000, 300)), segments=segments))
    found = [f for f in look.findings if f.role == "segment"]
    assert [(f.risk_category, f.verdict) for f in found] == [("high", "worse"), ("low", "better")]
    assert any("differs between risk categories" in note for note in look.notes)


def test_hostile_names_are_quoted() -> None:
    """A risk category from traffic reaches sentences with its control characters escaped."""
    segments = {"\x1b[31mhigh": pair((1_000, 100), (1_000, 90)), "low": pair((1_000, 100), (1_000, 90))}
    look = decide(AB, [], present(14, SAME, segments=segments))
    assert all(f.text.isprintable() for f in look.findings)


def test_each_look_for_harm_integrates_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Earlier looks are the same to the last digit at every later one, so a canary of weeks costs as much per look as one of a day."""
    steps, step = [0], group_sequential._State.step

    def counted(*given: Any) -> Any:
        steps[0] += 1
        return step(*given)

    monkeypatch.setattr(group_sequential._State, "step", counted)
    t0, plan = 1_790_000_000_123_457, replace(CANARY, days=3.3, alpha=0.0417)
    looks: list[Decision] = []
    for k in range(1, 41):
        at_us = t0 + k * DAY_US // 24
        arms = pair((1_900 * k + k % 7, 10 * k), (100 * k, k))
        now = replace(present(k / 24, arms, experiment=plan, at_us=at_us), days=(at_us - t0) / DAY_US)
        looks.append(decide(plan, looks, now))
        steps[0] = 0
        assert 2 < harm_shown_at(plan, looks[:-1], now, 0.0311) < 12
        assert steps[0] <= 1
