"""Rules, repeats, clusters, asking again: what the gate says of groups of cases."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.evals import CaseResult, EvalRun, Verdict, judge
from andon.evals.pairs import rate_interval
from andon.evals.rules import Rules, parse_rules
from andon.evals.sentences import shifted
from andon.evals.shifts import score_shifts
from andon.evals.verdict import confirm_plan
from andon.stats import attempts_worse, compare_paired, holm

AT_MOST = parse_rules('[[rule]]\ncategory = "*"\nat_most = 0.02')
BARS = parse_rules('[[rule]]\ncategory = "high-risk"\nbar = 0.9\n[[rule]]\ncategory = "*"\nbar = 0.5')


def make(
    words: dict[str, str] | str, risk: str | dict[str, str] = "standard", clusters: dict[str, str] | None = None
) -> EvalRun:
    """A run from a word for each case: one letter for each attempt, p passed, f failed, e could not run."""
    words = {f"G-{i}": c for i, c in enumerate(words)} if isinstance(words, str) else words
    names = {"p": "pass", "f": "fail", "e": "error"}
    results = tuple(
        CaseResult(
            case_id=case,
            repeat=k,
            outcome=names[c],
            risk_category=risk if isinstance(risk, str) else risk.get(case, "standard"),
            cluster=(clusters or {}).get(case),
        )
        for case, word in words.items()
        for k, c in enumerate(word)
    )
    return EvalRun(id="E-1", at_us=0, target="t", golden="g", scorers="m@1", results=results)


def cases(word: str, n: int, start: int = 0) -> dict[str, str]:
    """So many cases with the same attempts."""
    return {f"G-{start + i}": word for i in range(n)}


def said(verdict: Verdict) -> str:
    """All that a verdict says."""
    return "; ".join((verdict.reason, *verdict.notes, *verdict.decides))


words = st.lists(st.text("pf", min_size=3, max_size=3), min_size=1, max_size=30)


@given(words, st.sampled_from(["standard", "high"]))
def test_a_run_against_itself_passes_with_any_repeats(each, risk):
    """The same attempts on both sides lose nothing: pass, in every category, however flaky the cases are."""
    run = make({f"G-{i}": w for i, w in enumerate(each)}, risk)
    verdict = judge(run, run)
    assert (verdict.outcome, verdict.lost) == ("pass", ())
    assert set(verdict.flaky) == {f"G-{i}" for i, w in enumerate(each) if len(set(w)) > 1}


@given(words, words, st.sampled_from(["standard", "high"]))
def test_a_lost_case_of_high_risk_never_passes(before, now, risk):
    """With a case of high risk whose pass rate fell the gate never passes unless it is asked again; elsewhere it may."""
    shared = min(len(before), len(now))
    old, new = (make({f"G-{i}": w for i, w in enumerate(each[:shared])}, risk) for each in (before, now))
    verdict = judge(new, old)
    fell = {f"G-{i}" for i in range(shared) if now[i].count("p") < before[i].count("p")}
    assert set(verdict.lost) == fell
    if risk == "high" and fell:
        assert verdict.outcome in ("fail", "undecided")


def test_repeats_count_as_the_attempts_they_are():
    """One case that always passed and never passes now is one cluster: p = 1/2; five such cases are 1/32; attempts are no cases."""
    rest = cases("ppppp", 20, start=50)
    one = judge(make({"G-0": "fffff", **rest}), make({"G-0": "ppppp", **rest}))
    five = judge(make({**cases("fffff", 5), **rest}), make({**cases("ppppp", 5), **rest}))
    assert (one.p_worse, five.p_worse) == (pytest.approx(0.5), pytest.approx(1 / 32))
    assert (one.outcome, five.outcome) == ("undecided", "fail")


def test_repeats_show_the_loss_of_one_high_risk_case():
    """Five of five before and none of five now is p = 1/252 for that case, which fails the gate; three of five is undecided."""
    rest = cases("ppppp", 20, start=1)
    before = make({"G-0": "ppppp", **rest}, "high")
    gone = judge(make({"G-0": "fffff", **rest}, "high"), before)
    worse = judge(make({"G-0": "ppffp", **rest}, "high"), before)
    assert gone.outcome == "fail"
    assert "G-0 passed 5 of 5 before and 0 of 5 now" in said(gone)
    assert gone.groups[0].p == pytest.approx(3 / 252)  # three tests could fail this gate
    assert worse.outcome == "undecided"


@pytest.mark.parametrize("risk", ["standard", "high"])
def test_unequal_attempts_hide_no_failure(risk):
    """One attempt before and five now, of which the first passes and four fail: lost by all attempts, tested by the first, no pass."""
    verdict = judge(make({"G-0": "pffff", **cases("ppppp", 9, 1)}, risk), make({"G-0": "p", **cases("p", 9, 1)}, risk))
    assert (verdict.outcome, verdict.lost, verdict.p_worse) == ("undecided", ("G-0",), 1.0)
    assert "run the baseline with 5" in said(verdict)
    assert judge(make(cases("ppppp", 9), risk), make(cases("p", 9), risk)).outcome == "pass"
    assert judge(make(cases("p", 9), risk), make(cases("ppppp", 9), risk)).outcome == "pass"


def test_all_attempts_of_unequal_runs_show_a_loss():
    """Ten of ten before and none of three now is 1/286 by Fisher's test of all attempts, and fails the gate."""
    rest = {"before": cases("p" * 10, 20, 1), "now": cases("ppp", 20, 1)}
    verdict = judge(make({"G-0": "fff", **rest["now"]}, "high"), make({"G-0": "p" * 10, **rest["before"]}, "high"))
    assert verdict.outcome == "fail"
    assert "G-0 passed 10 of 10 before and 0 of 3 now" in said(verdict)
    assert verdict.groups[0].p == pytest.approx(3 / 286)


def test_an_attempt_that_could_not_run_is_left_out():
    """Attempts that ran are compared; a case without any is in no group; flaky is what passed and failed."""
    verdict = judge(
        make({"G-0": "epp", "G-1": "fpe", **cases("ppp", 28, 2)}), make({"G-0": "ppp", **cases("ppp", 29, 1)})
    )
    assert verdict.lost == ("G-1",)
    assert verdict.errors == 2
    assert verdict.flaky == ("G-1",)


def test_variants_of_one_case_are_one_case():
    """Six lost variants of one case are one cluster and may be chance; six lost cases are a regression."""
    lost, before = "f" * 6 + "p" * 20, "p" * 26
    together = {f"G-{i}": "one" for i in range(6)}
    assert judge(make(lost), make(before)).outcome == "fail"
    verdict = judge(make(lost, clusters=together), make(before, clusters=together))
    assert (verdict.outcome, verdict.p_worse) == ("undecided", pytest.approx(0.5))


def test_at_most_passes_fails_or_is_undecided_by_its_bounds():
    """One loss in 1,000 is shown to be at most 2 % worse, in 50 it is not; 100 of 1,000 is shown to be more."""
    found = [
        judge(make("f" * k + "p" * (n - k)), make("p" * n), rules=AT_MOST) for k, n in ((1, 1000), (1, 50), (100, 1000))
    ]
    assert [v.outcome for v in found] == ["pass", "undecided", "fail"]
    group = found[1].groups[0]
    assert -group.high < 0.02 < -group.low
    assert group.margin == 0.02
    # with nothing lost the bound is z^2 / (n + z^2): 133 cases show 2 %, 132 do not
    assert [judge(make("p" * n), make("p" * n), rules=AT_MOST).outcome for n in (132, 133)] == ["undecided", "pass"]


def test_what_would_decide_at_most_decides_it():
    """As many cases as it asks for, with the same share of losses, pass."""
    verdict = judge(make("f" * 2 + "p" * 198), make("p" * 200), rules=AT_MOST)
    assert verdict.outcome == "undecided"
    need = int(verdict.decides[0].split("about ")[1].split()[0].replace(",", ""))
    assert need < 600
    assert (
        judge(make("f" * (need // 100) + "p" * (need - need // 100)), make("p" * need), rules=AT_MOST).outcome == "pass"
    )
    fewer = need * 9 // 10
    assert (
        judge(
            make("f" * -(-fewer // 100) + "p" * fewer), make("p" * fewer + "p" * -(-fewer // 100)), rules=AT_MOST
        ).outcome
        == "undecided"
    )


def test_a_category_that_got_worse_behind_an_equal_average_fails_and_is_named():
    """Ten lost in one category and ten gained in another: the average is equal, the gate fails, and says where."""
    risk = {f"G-{i}": "first" if i < 20 else "second" for i in range(40)}
    verdict = judge(make("f" * 10 + "p" * 30, risk), make("p" * 20 + "f" * 10 + "p" * 10, risk))
    assert verdict.outcome == "fail"
    assert "first (of *): worse than the baseline" in said(verdict)
    parts = {g.name: (g.outcome, len(g.lost), len(g.gained)) for g in verdict.groups if g.part_of}
    assert parts == {"first": ("fail", 10, 0), "second": ("pass", 0, 10)}


def test_an_equal_average_with_many_flips_is_undecided_and_says_so():
    """Ten lost, ten gained in one category: neither better nor worse is shown; the flips are counted."""
    verdict = judge(make("f" * 10 + "p" * 30), make("p" * 10 + "f" * 10 + "p" * 20))
    assert verdict.outcome == "undecided"
    assert "equal on average, but 20 cases flipped" in said(verdict)
    risk = {f"G-{i}": "first" if i < 4 else "second" for i in range(40)}
    verdict = judge(make("ffff" + "p" * 36, risk), make("p" * 4 + "f" * 4 + "p" * 32, risk))
    assert verdict.outcome == "undecided"
    assert "more lost than gained in first (4 lost, 0 gained)" in said(verdict)


def test_more_groups_make_each_test_stricter():
    """Holm over all tests: five lost fail alone, and are undecided where high risk is tested too; six still fail."""
    high = {f"H-{i}": "p" for i in range(10)}
    risk = dict.fromkeys(high, "high")

    def outcome(lost: int, extra: dict[str, str]) -> str:
        now, before = ({**cases(word, lost), **cases("p", 20, 50), **extra} for word in ("f", "p"))
        return judge(make(now, risk), make(before, risk)).outcome

    assert [outcome(5, {}), outcome(5, high), outcome(6, high)] == ["fail", "undecided", "fail"]
    group = judge(make({**cases("f", 6), **high}, risk), make({**cases("p", 6), **high}, risk)).groups[1]
    assert group.p == pytest.approx(3 / 64)


def test_a_group_that_is_too_small_to_fail_makes_no_other_test_stricter():
    """Four cases can never come to 5 %: with four of high risk five lost elsewhere fail, with five of high risk they are undecided."""
    at_once = parse_rules("confirm = 0")
    found = []
    for size in (4, 5):
        high = {f"H-{i}": "p" for i in range(size)}
        now, before = ({**cases(word, 5), **cases("p", 20, 50), **high} for word in ("f", "p"))
        risk = dict.fromkeys(high, "high")
        found.append(judge(make(now, risk), make(before, risk), rules=at_once).outcome)
    assert found == ["fail", "undecided"]


def test_each_lost_case_that_is_asked_again_is_paid_for():
    """Five of five and one of five shows one lost case; among four lost cases it may be the luck of the draw."""
    for k, outcome in ((1, "fail"), (4, "undecided")):
        before, now = make("p" * k + "f" * 4 + "p" * 20, "high"), make("f" * k + "p" * 24, "high")
        names = [f"G-{i}" for i in range(k)]
        old = make(dict.fromkeys(names, "ppppp"), "high")
        new = make({**dict.fromkeys(names, "ppppp"), "G-0": "pffff"}, "high")
        verdict = judge(now, before, confirmations=(new, old))
        assert verdict.outcome == outcome, verdict.reason


def test_a_quarantined_case_decides_nothing():
    """Lost, broken or of high risk: a quarantined case is named and left out; with all of them there is no verdict."""
    run, before = make("f" + "p" * 9, "high"), make("p" * 10, "high")
    verdict = judge(run, before, quarantined=["G-0", "G-77"])
    assert (verdict.outcome, verdict.quarantined, verdict.passed, verdict.failed) == ("pass", ("G-0",), 9, 0)
    assert "1 case in quarantine" in said(verdict)
    assert judge(run, before, quarantined=[f"G-{i}" for i in range(10)]).outcome == "error"
    assert judge(make("e" + "p" * 9, "high"), before, quarantined=["G-0"]).outcome == "pass"


def test_a_case_of_an_incident_that_was_never_shown_is_named():
    """Only where the run holds it."""
    verdict = judge(make("ppp"), make("ppp"), unshown=["G-1", "G-9"])
    assert "1 case of an incident was never shown to fail on the old version and to pass on the fix: G-1" in said(
        verdict
    )


def test_rules_with_bars_need_no_baseline():
    """Each bar is held against its own cases; a rule that compares waits for a baseline, unless a bar fails first."""
    risk = {f"G-{i}": "high" for i in range(40)}
    run = make("p" * 40 + "f" * 10 + "p" * 50, risk)
    verdict = judge(run, None, rules=BARS)
    assert [(g.name, g.n, g.outcome) for g in verdict.groups] == [("high-risk", 40, "pass"), ("*", 60, "pass")]
    assert verdict.outcome == "pass"
    mixed = parse_rules('[[rule]]\ncategory = "high-risk"\nno_regression = true\n[[rule]]\ncategory = "*"\nbar = 0.5')
    assert judge(run, None, rules=mixed).outcome == "undecided"
    assert judge(run, run, rules=mixed).outcome == "pass"
    assert judge(make("p" * 40 + "f" * 60, risk), None, rules=mixed).outcome == "fail"


def test_cases_without_a_rule_decide_nothing():
    """They are counted; where one of them is lost or of high risk the gate does not pass, and where none has a rule neither."""
    only = parse_rules('[[rule]]\ncategory = "billing"\nnot_worse = true')
    risk = {"G-0": "billing"}
    same = judge(make("p" + "f" * 9, risk), make("p" + "f" * 9, risk), rules=only)
    assert (same.outcome, "no rule covers 9 cases" in said(same)) == ("pass", True)
    lost = judge(make("p" + "f" * 9, risk), make("p" * 10, risk), rules=only)
    assert lost.outcome == "undecided"
    assert "no rule covers what is lost or of high risk: G-1, G-2, G-3, G-4, G-5 and 4 more" in said(lost)
    assert judge(make("pp"), make("pp"), rules=only).outcome == "undecided"


def again(before: str, now: str, risk: str = "high") -> tuple[EvalRun, EvalRun]:
    """New attempts at the first case, of this version and of the baseline's."""
    return make({"G-0": now}, risk), make({"G-0": before}, risk)


LOST, KEPT = make("f" + "p" * 20, "high"), make("p" * 21, "high")


@pytest.mark.parametrize(
    ("before", "now", "outcome"),
    [
        ("ppppp", "fffff", "fail"),
        ("pppppp", "ffffff", "fail"),
        ("ppppp", "ppppp", "pass"),
        ("ppfpp", "ppppf", "pass"),
        ("ppppp", "ppppf", "undecided"),
        ("pppp", "pppp", "undecided"),
        ("ppppp", "ppp", "undecided"),
        ("fffff", "fffff", "undecided"),
        ("fffff", "fpfff", "undecided"),
        ("fffff", "ppppp", "pass"),
        ("ppppp", "eeeee", "undecided"),
        ("p", "f", "undecided"),
    ],
)
def test_a_lost_case_that_is_asked_again_is_shown_cleared_or_open(before, now, outcome):
    """Never again: fail. As often as before, where the version in place still passes it: pass. Anything between: undecided."""
    verdict = judge(LOST, KEPT, confirmations=again(before, now))
    assert verdict.outcome == outcome
    assert judge(LOST, KEPT).outcome == "undecided"


def test_what_is_to_be_asked_again():
    """The lost cases of high risk, and so many attempts that "never again" would be shown; none where none was lost, or is wanted."""
    plan = confirm_plan(LOST, KEPT)
    assert (plan.cases, plan.attempts) == (("G-0",), 5)
    assert confirm_plan(KEPT, KEPT) is None
    assert confirm_plan(LOST, None) is None
    assert confirm_plan(LOST, KEPT, parse_rules("confirm = 0")) is None
    assert confirm_plan(LOST, KEPT, quarantined=["G-0"]) is None
    assert confirm_plan(make("fp"), make("pp")) is None
    many = confirm_plan(make("f" * 60, "high"), make("p" * 60, "high"))
    assert (
        2 * 60 * attempts_worse(many.attempts, many.attempts, 0, many.attempts) <= 0.05
    )  # two tests could fail this gate
    assert many.attempts == 6


def test_the_planned_attempts_decide_whatever_the_number_of_lost_cases():
    """Of k lost cases one never passes again: the gate fails by the attempts that the plan asked for, whatever the others do."""
    rules = Rules(rules=parse_rules("").rules)
    for k in (1, 2, 4, 30):
        high = {f"G-{i}": "high" for i in range(120)}
        before = make("p" * k + "f" * (60 - k) + "p" * 60, high)
        now = make("f" * k + "p" * (60 - k) + "p" * 60, high)
        plan = confirm_plan(now, before, rules)
        attempts = plan.attempts
        old = make(dict.fromkeys(plan.cases, "p" * attempts), "high")
        new = make({case: ("f" if case == "G-0" else "p") * attempts for case in plan.cases}, "high")
        verdict = judge(now, before, confirmations=(new, old))
        assert verdict.outcome == "fail", verdict.reason
        assert f"G-0 passed {attempts} of {attempts} before and 0 of {attempts} now" in said(verdict)


def test_the_family_of_tests_does_not_grow_when_cases_are_asked_again():
    """The same tests are counted before and after asking again, so looking twice spends no more than the level."""
    first = judge(LOST, KEPT).groups[0].p
    asked = judge(LOST, KEPT, confirmations=again("ppppp", "ppppp")).groups[0].p
    assert first == asked == 1.0
    p = attempts_worse(5, 5, 0, 5)
    group = judge(LOST, KEPT, confirmations=again("ppppp", "fffff")).groups[0]
    assert group.p == pytest.approx(holm([p, compare_paired(21, 1, 0).p_worse])[0])


def test_a_verdict_is_the_same_twice():
    """No chance is in it: equal runs give an equal verdict."""
    assert judge(LOST, KEPT, confirmations=again("pppfp", "ffppf")) == judge(
        LOST, KEPT, confirmations=again("pppfp", "ffppf")
    )


def test_a_category_is_high_when_either_run_says_so_also_under_a_rule_of_its_own():
    """Renaming the risk of a case does not move it from under the strict rule."""
    rules = parse_rules(
        '[[rule]]\ncategory = "high-risk"\nno_regression = true\n[[rule]]\ncategory = "standard"\nat_most = 0.5\n'
    )
    verdict = judge(make("f" + "p" * 99, "standard"), make("p" * 100, "high"), rules=rules)
    assert [g.name for g in verdict.groups] == ["high-risk"]
    assert verdict.outcome == "undecided"


def test_an_interval_of_clustered_attempts_is_no_narrower_than_that_of_its_cases():
    """Ten attempts at each of ten cases say no more than ten cases where each case always does the same."""
    ten = {**cases("p" * 10, 9), "G-9": "f" * 10}
    many, few = judge(make(ten), None), judge(make({k: v[0] for k, v in ten.items()}), None)
    assert many.high - many.low >= few.high - few.low - 0.02
    assert (many.passed, few.passed) == (90, 9)


def test_a_thousand_cases_with_five_attempts_are_judged_in_a_second():
    """Vectorised: the whole verdict, intervals, tests and power included."""
    import time

    rng = np.random.default_rng(0)
    risk = {f"G-{i}": ["high", "first", "second"][i % 3] for i in range(1000)}
    old, new = (
        make({f"G-{i}": "".join("p" if x else "f" for x in rng.random(5) < 0.9) for i in range(1000)}, risk)
        for _ in "ab"
    )
    begun = time.perf_counter()
    verdict = judge(new, replace(old, golden="other"))
    assert time.perf_counter() - begun < 1
    assert len(verdict.groups) == 4


def test_the_first_sentence_says_that_a_loss_was_cleared():
    """A gate that passes with a lost case says why in its reason: asked again, it passes as often as the version in place."""
    verdict = judge(LOST, KEPT, confirmations=again("ppppp", "ppppp"))
    assert (verdict.outcome, verdict.lost) == ("pass", ("G-0",))
    assert verdict.reason.endswith(", of high risk; asked again, it passes as often as the version in place")


def test_a_version_in_place_that_fails_too_clears_nothing():
    """Neither version passes the lost case any more: undecided, with that reason, and the baseline is to be run again."""
    verdict = judge(LOST, KEPT, confirmations=again("fffff", "fffff"))
    assert "asked again, the version in place fails now too: G-0" in said(verdict)
    assert verdict.decides == ("run the baseline again",)


@pytest.mark.parametrize("categories", [1, 3, 12])
def test_the_attempts_that_are_asked_for_decide_whatever_the_number_of_tests(categories):
    """With many risk categories each test is stricter, so more attempts are asked for: "never again" then fails, one fewer does not."""
    rules = parse_rules("confirm = 1")
    risk = {"G-0": "high", **{f"H-{i}": f"c{i % categories}" for i in range(10 * categories)}}
    rest = {case: "p" for case in risk if case != "G-0"}
    now, before = (make({"G-0": word, **rest}, risk) for word in "fp")
    k = confirm_plan(now, before, rules).attempts
    found = [judge(now, before, rules=rules, confirmations=again("p" * n, "f" * n)).outcome for n in (k, k - 1)]
    assert found == ["fail", "undecided"]


def test_few_clusters_keep_the_promise_of_a_bar():
    """Ten clusters of twenty at exactly the bar: it passes in no more than the promised 2.5 %; clusters count at most once."""
    rng = np.random.default_rng(5)
    bars = parse_rules('[[rule]]\ncategory = "*"\nbar = 0.95')
    passed = 0
    for _ in range(200):
        rates = rng.beta(1.425, 0.075, 10)  # correlation 0.4 within a cluster
        words = {f"G-{i}": "p" if rng.random() < rates[i // 20] else "f" for i in range(200)}
        run = make(words, clusters={f"G-{i}": f"c{i // 20}" for i in range(200)})
        passed += judge(run, None, rules=bars).outcome == "pass"
    assert passed <= 10  # 2.5 % of 200 and two standard errors


def test_what_falls_together_counts_once():
    """Eight cases lost by themselves fail; eight that one cluster lost are undecided, and the cluster is named."""
    before, now = make("p" * 40), make("f" * 8 + "p" * 32)
    assert judge(now, before).outcome == "fail"
    together = {f"G-{i}": "refund-policy" for i in range(8)}
    verdict = judge(make("f" * 8 + "p" * 32, clusters=together), make("p" * 40, clusters=together))
    assert verdict.outcome == "undecided"
    assert "8 lost, in 1 of 33 clusters (refund-policy): what falls together counts once" in said(verdict)


def graded(values: dict[str, float], clusters: int) -> EvalRun:
    """A run of cases that all pass, with a graded score each."""
    results = tuple(
        CaseResult(
            case_id=case, outcome="pass", value=v, measured="groundedness@1 x", cluster=f"c{int(case[2:]) % clusters}"
        )
        for case, v in values.items()
    )
    return EvalRun(id="E-1", at_us=0, target="t", golden="g", scorers="groundedness@1", results=results)


def test_a_score_that_sinks_is_told_while_every_case_passes():
    """The mean of a graded score and the interval of its change, whatever the verdict; with few clusters no interval."""
    rng = np.random.default_rng(2)
    old = {f"G-{i}": float(v) for i, v in enumerate(rng.uniform(0.8, 0.9, 60))}
    new = {case: v - 0.05 + float(rng.normal(0, 0.01)) for case, v in old.items()}
    now, before = graded(new, 60), graded(old, 60)
    assert judge(now, before).outcome == "pass"
    (told,) = shifted(score_shifts(now, before, np.random.default_rng(0)))
    assert told.startswith("mean groundedness 0.8")
    assert "(-0.05" in told
    low, high = map(float, told.split("95 % interval ")[1].split(";")[0].split(" to "))
    assert -0.06 < low < high < -0.04
    (few,) = score_shifts(graded(new, 12), graded(old, 12), np.random.default_rng(0))
    assert few.low is None


def test_right_and_wrong_are_no_graded_score():
    """Values of 0 and 1 alone are the pass rate said twice."""
    same = graded({f"G-{i}": 1.0 for i in range(30)}, 30)
    assert score_shifts(same, same, np.random.default_rng(0)) == ()


def test_cases_in_clusters_are_worth_their_design_effect_and_students_quantile():
    """Four clusters of five equal answers, three of which pass: n / (20/3) x (t19 / t3)^2 = 3 x (2.0930 / 3.1824)^2 = 1.2976."""
    results = make(
        {f"G-{i}": "f" if i < 5 else "p" for i in range(20)}, clusters={f"G-{i}": f"c{i // 5}" for i in range(20)}
    ).results
    passes, n, *_ = rate_interval(results, 0.95)
    assert (passes, n) == (pytest.approx(0.9732, abs=1e-4), pytest.approx(1.2976, abs=1e-4))
