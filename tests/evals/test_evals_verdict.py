from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.errors import InputError
from andon.evals import CaseResult, EvalRun, Verdict, exit_code, judge
from andon.evals.power import least_drop
from andon.evals.rules import parse_rules
from andon.settings import HIGH_RISK

AT_ONCE = parse_rules("confirm = 0")
"""The first lost case of high risk fails."""

ORDER = {"fail": 0, "undecided": 1, "pass": 2}


def make(word: str, golden: str = "g", scorers: str = "m@1", risk: str = "High") -> EvalRun:
    """A run from a word: p passed, f failed, e could not run; capital letters are of this risk category, which is high."""
    names = {"p": "pass", "f": "fail", "e": "error"}
    results = tuple(
        CaseResult(case_id=f"G-{i}", outcome=names[c.lower()], risk_category=risk if c.isupper() else None)
        for i, c in enumerate(word)
    )
    return EvalRun(id="E-1", at_us=0, target="t", golden=golden, scorers=scorers, results=results)


def said(verdict: Verdict) -> str:
    """All that a verdict says."""
    return "; ".join((verdict.reason, *verdict.notes, *verdict.decides))


outcomes = st.text("pfPF", min_size=1, max_size=60)


@given(outcomes)
def test_identical_runs_never_fail(word):
    """A run against itself loses nothing and passes, whatever its pass rate."""
    verdict = judge(make(word), make(word))
    assert (verdict.outcome, verdict.lost, verdict.gained) == ("pass", (), ())


@pytest.mark.parametrize(
    ("before", "now", "outcome"),
    [("", "", "pass"), ("m@1 a", "m@1 a", "pass"), ("", "m@1 a", "undecided"), ("m@1 a", "", "undecided")],
)
def test_runs_are_compared_where_they_are_measured_alike(before, now, outcome):
    """Runs of old, which do not say what measured them, compare with each other, and with no run that says it."""
    old, new = (
        replace(run, results=tuple(replace(r, measured=measured) for r in run.results))
        for run, measured in ((make("pppp"), before), (make("pppp"), now))
    )
    assert judge(new, old).outcome == outcome


def test_an_empty_golden_set_never_passes():
    """No cases, or none that ran, is `error`: with a baseline, without, and with any bar."""
    for baseline in (None, make(""), make("ppp")):
        for bar in (None, 0.01, 1.0):
            for word in ("", "e", "eee"):
                verdict = judge(make(word), baseline, bar=bar)
                assert verdict.outcome == "error"
                assert exit_code(verdict) == 4
                assert verdict.low is None


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40), st.sampled_from(["p", "P"]))
def test_more_losses_never_make_a_verdict_better(lost, gained, same, letter):
    """With one more case lost, fail stays fail and undecided does not become pass."""
    before = letter * (lost + 1) + "f" * gained + "p" * (same + 1)
    one = judge(make("f" * lost + letter.lower() + "p" * gained + "p" * (same + 1)), make(before))
    two = judge(make("f" * (lost + 1) + "p" * gained + "p" * (same + 1)), make(before))
    assert ORDER[two.outcome] <= ORDER[one.outcome]


@given(st.integers(0, 60), st.integers(1, 200), st.sampled_from([0.5, 0.8, 0.95, 1.0]))
def test_more_failures_never_make_a_verdict_on_the_bar_better(failed, n, bar):
    """Without a baseline, one more failing case of the same number never improves the outcome."""
    failed = min(failed, n - 1)
    one, two = (judge(make("f" * k + "p" * (n - k)), None, bar=bar) for k in (failed, failed + 1))
    assert ORDER[two.outcome] <= ORDER[one.outcome]


@given(st.text("pfe", min_size=1, max_size=60), outcomes)
def test_an_error_is_neither_pass_nor_fail(word, before):
    """Errors are counted apart, are never lost or gained, and above 5 % there is no verdict."""
    run, baseline = make(word), make(before)
    verdict = judge(run, baseline)
    assert (verdict.passed, verdict.failed, verdict.errors) == tuple(word.count(c) for c in "pfe")
    broken = {r.case_id for r in run.results if r.outcome == "error"}
    assert not broken & {*verdict.lost, *verdict.gained}
    assert (verdict.outcome == "error") == (20 * word.count("e") > len(word))


def test_one_error_in_twenty_is_tolerated_and_one_in_nineteen_is_not():
    """Exactly 5 % of errors is still a measurement, with a baseline that failed there and without one; more is none."""
    for baseline, bar in ((None, 0.9), (make("f" * 10 + "p" * 190), None)):
        assert judge(make("e" * 10 + "p" * 190), baseline, bar=bar).outcome == "pass"
        assert judge(make("e" * 10 + "p" * 180), baseline, bar=bar).outcome == "error"
    assert judge(make("e" + "p" * 19), None, bar=0.95).outcome == "undecided"
    assert judge(make("e" + "p" * 18), None).outcome == "error"


@pytest.mark.parametrize(
    ("lost", "gained", "p", "outcome"),
    [
        (1, 0, 0.5, "undecided"),
        (4, 0, 0.0625, "undecided"),
        (5, 0, 0.03125, "fail"),
        (7, 1, 9 / 256, "fail"),
        (6, 1, 8 / 128, "undecided"),
        (1, 7, 255 / 256, "pass"),
        (3, 3, 42 / 64, "undecided"),
        (0, 0, 1.0, "pass"),
        (0, 1, 1.0, "pass"),
    ],
)
def test_mcnemar_is_exact(lost, gained, p, outcome):
    """The p-value is the binomial tail of losses among differing cases, to the digit, and decides at 0.05."""
    before = "p" * lost + "f" * gained + "p" * 30
    verdict = judge(make("f" * lost + "p" * gained + "p" * 30), make(before))
    assert verdict.outcome == outcome
    assert verdict.p_worse == pytest.approx(p, abs=1e-12)
    assert (len(verdict.lost), len(verdict.gained)) == (lost, gained)


def test_undecided_says_what_would_decide_it():
    """The number of further lost cases that would show a regression is the smallest that does."""
    verdict = judge(make("ffpp" + "p" * 20), make("ppff" + "p" * 20))
    assert "7 more lost" in said(verdict)
    assert "7 more gained" in said(verdict)
    word = "f" * 9 + "pp"
    assert judge(make(word), make("p" * 9 + "ff")).outcome == "fail"
    assert judge(make(word[1:]), make("p" * 8 + "ff")).outcome == "undecided"


def test_one_lost_case_of_high_risk_never_passes():
    """High risk has no tolerated regression, in whichever run it is called so; gains do not buy it back."""
    gained = 50
    for word, before in (("F", "P"), ("f", "P"), ("F", "p")):
        run, baseline = make(word + "p" * gained), make(before + "f" * gained)
        verdict = judge(run, baseline)
        assert verdict.outcome == "undecided"
        assert "5 new attempts at G-0, of both versions" in said(verdict)
        assert judge(run, baseline, rules=AT_ONCE).outcome == "fail"
    assert judge(make("f" + "p" * gained), make("p" + "f" * gained)).outcome == "pass"


@pytest.mark.parametrize("risk", [" HIGH", "critical", "Unacceptable"])
def test_every_category_of_high_risk_is_one(risk):
    """What is high risk for sampling and severity is high risk for the gate: lost, or not run, is not passed over."""
    assert {risk.strip().casefold()} <= {*HIGH_RISK}
    lost, before = make("F" + "p" * 50, risk=risk), make("p" + "f" * 50)
    assert (judge(lost, before).outcome, judge(lost, before, rules=AT_ONCE).outcome) == ("undecided", "fail")
    assert judge(make("E" + "p" * 99, risk=risk), make("p" * 100)).outcome == "undecided"
    assert judge(make("F" + "p" * 50, risk="standard"), make("p" + "f" * 50)).outcome == "pass"


def test_a_high_risk_case_that_could_not_run_is_not_passed_over():
    """One error in a hundred is tolerated, but not where it hides a high-risk case that passed."""
    assert judge(make("E" + "p" * 99), make("P" + "p" * 99)).outcome == "undecided"
    assert judge(make("E" + "p" * 99), make("F" + "p" * 99)).outcome == "pass"
    assert judge(make("E" + "f" * 10 + "p" * 89), make("P" + "p" * 99)).outcome == "fail"
    assert judge(make("F" + "p" * 99), make("E" + "p" * 99)).outcome == "undecided"
    assert judge(make("P" + "p" * 99), make("E" + "p" * 99)).outcome == "pass"
    assert judge(make("E" + "p" * 99), None, bar=0.5).outcome == "undecided"
    assert judge(make("e" + "p" * 99), None, bar=0.5).outcome == "pass"


@pytest.mark.parametrize(
    ("word", "bar", "outcome"),
    [
        ("p" * 72, 0.95, "pass"),
        ("p" * 71, 0.95, "undecided"),
        ("p" * 59, 0.95, "undecided"),
        ("p" * 5, 0.4, "pass"),
        ("f" * 20 + "p" * 80, 0.95, "fail"),
        ("f" * 10 + "p" * 90, 0.95, "undecided"),
        ("p" * 3, 1.0, "pass"),
        ("f" + "p" * 500, 1.0, "fail"),
        ("e" + "p" * 500, 1.0, "undecided"),
    ],
)
def test_without_a_baseline_the_interval_is_held_against_the_bar(word, bar, outcome):
    """All above passes, all below fails, else undecided: 72 passing cases show 95 % (0.025^(1/72) >= 0.95), 71 do not."""
    assert judge(make(word), None, bar=bar).outcome == outcome


@pytest.mark.parametrize(("passed", "failed"), [(1, 0), (50, 0), (71, 0), (90, 10), (30, 1)])
def test_the_number_of_further_passing_cases_is_the_smallest(passed, failed):
    """As many further passing cases as the verdict names turn undecided into pass, and one less does not."""
    verdict = judge(make("p" * passed + "f" * failed), None, bar=0.95)
    more = int(verdict.decides[0].split()[0])
    assert judge(make("p" * (passed + more) + "f" * failed), None, bar=0.95).outcome == "pass"
    assert judge(make("p" * (passed + more - 1) + "f" * failed), None, bar=0.95).outcome == "undecided"
    assert failed or passed + more == 72


def test_the_interval_is_exact():
    """Clopper-Pearson: 8 of 10 is 0.4439 to 0.9748 at 95 %."""
    verdict = judge(make("p" * 8 + "ff"), None)
    assert (verdict.low, verdict.high) == (pytest.approx(0.44390, abs=5e-6), pytest.approx(0.97479, abs=5e-6))


def test_a_changed_scorer_is_not_a_changed_product():
    """Another version of a shared scorer is undecided and named; another metric beside it is not."""
    run = make("ffffffff", scorers="m@2 new@1")
    verdict = judge(run, make("pppppppp", scorers="m@1 old@1"))
    assert verdict.outcome == "undecided"
    assert "m 1 -> 2" in verdict.reason
    assert judge(run, make("pppppppp", scorers="m@2 old@1")).outcome == "fail"
    assert judge(make("p", scorers="s@1+a@x"), make("p", scorers="s@1+b@x")).outcome == "undecided"


def test_another_golden_set_is_said_and_only_shared_cases_count():
    """New failing cases do not decide where the risk is not high, but the first sentence counts them; those that are gone are named."""
    verdict = judge(make("pppff", golden="g2"), make("ppp", golden="g1"))
    assert verdict.outcome == "pass"
    assert verdict.reason == "nothing that passed fails now, of 3 cases compared; 2 new failing"
    assert "the baseline does not hold 2 cases of this golden set, 2 of them fail: G-3, G-4" in verdict.notes
    for golden in ("g1", "g2"):
        gone = judge(make("pp", golden=golden), make("ppp", golden="g1"))
        assert (gone.outcome, gone.notes) == ("pass", ("1 case of the baseline did not run: G-2",))
    apart = make("p", golden="g2")
    other = EvalRun(
        id="E-2", at_us=0, target="t", golden="g1", scorers="m@1", results=(CaseResult(case_id="x", outcome="pass"),)
    )
    assert judge(apart, other).outcome == "undecided"


@pytest.mark.parametrize(
    ("bar", "alpha"), [(0, 0.05), (1.1, 0.05), (-1, 0.05), (0.9, 0), (0.9, 0.6), (float("nan"), 0.05)]
)
def test_a_bar_and_a_level_are_shares(bar, alpha):
    """An impossible bar or level is refused."""
    with pytest.raises(InputError):
        judge(make("p"), None, bar=bar, alpha=alpha)


def test_exit_codes_are_apart():
    """Pass, fail, undecided and could-not-run are 0, 1, 3 and 4; 2 stays for wrong calls."""
    codes = [
        exit_code(Verdict(outcome=o, reason="", passed=0, failed=0, errors=0))
        for o in ("pass", "fail", "undecided", "error")
    ]
    assert codes == [0, 1, 3, 4]


def test_only_cases_that_ran_in_both_are_compared():
    """A case that could not run in one of the runs is not counted; where none is left, nothing is decided."""
    assert judge(make("p" * 30 + "e"), make("e" + "p" * 30)).reason.startswith(
        "nothing that passed fails now, of 29 cases compared"
    )
    assert judge(make("ppp"), make("eee")).outcome == "undecided"


def measured(word: str, *measures: str, risk: str = "High", start: int = 0) -> EvalRun:
    """A run in which each case has a measure of its own."""
    run = make(word, risk=risk)
    results = tuple(
        replace(r, measured=m, case_id=f"G-{i + start}")
        for i, (r, m) in enumerate(zip(run.results, measures, strict=True))
    )
    return replace(run, results=results)


@given(st.lists(st.sampled_from(["m@1 a", "m@1 b", "m@2 a", ""]), min_size=1, max_size=8), st.data())
def test_results_of_two_measures_are_never_compared(before, data):
    """Whatever was changed of a case's measure, it is neither lost nor gained; where the risk is high the gate does not pass."""
    now = data.draw(st.lists(st.sampled_from(["m@1 a", "m@1 b", ""]), min_size=len(before), max_size=len(before)))
    high = data.draw(st.booleans())
    new, old = (measured(w * len(before), *m) for w, m in (("P" if high else "p", now), ("F" if high else "f", before)))
    verdict = judge(new, old)
    other = {f"G-{i}" for i, (a, b) in enumerate(zip(now, before, strict=True)) if a and b and a != b}
    assert not other & {*verdict.gained, *verdict.lost}
    if other and (high or len(other) == len(before)):
        assert verdict.outcome == "undecided"
        assert "run the baseline again" in said(verdict) or "run the baseline on this golden set" in said(verdict)


def test_a_looser_metric_makes_no_version_pass():
    """One case of high risk whose metric was swapped, passing on both sides, among 30 that hold: undecided, and it is named."""
    now = measured("P" + "p" * 30, "contains@1 b", *["m@1 a"] * 30)
    verdict = judge(now, measured("P" + "p" * 30, *["m@1 a"] * 31))
    assert verdict.outcome == "undecided"
    assert "high-risk: of high risk, measured otherwise than in the baseline: G-0" in verdict.notes
    assert "the measure of 1 case changed: run the baseline again (G-0)" in verdict.notes
    low = judge(measured("p" * 31, "contains@1 b", *["m@1 a"] * 30), measured("p" * 31, *["m@1 a"] * 31))
    assert (low.outcome, "the measure of 1 case changed" in said(low)) == ("pass", True)


def test_a_new_case_of_high_risk_that_fails_is_no_pass():
    """The case of an incident fails on the fix that should cure it: undecided and named, until it passes or the baseline holds it."""
    verdict = judge(make("p" * 20 + "F"), make("p" * 20))
    assert verdict.outcome == "undecided"
    assert verdict.reason.endswith("; 1 new failing")
    assert "of high risk, new and failing: G-20" in said(verdict)
    assert judge(make("p" * 20 + "P"), make("p" * 20)).outcome == "pass"
    assert judge(make("p" * 20 + "F"), make("p" * 20 + "F")).outcome == "pass"


def test_a_deleted_case_of_high_risk_is_no_pass():
    """A case that passed in the baseline and was not run is named, unless it is retired, quarantined, or failed there too."""
    verdict = judge(make("p" * 20), make("p" * 20 + "P"))
    assert verdict.outcome == "undecided"
    assert "of high risk, in the baseline, and not run now: G-20" in said(verdict)
    assert judge(make("p" * 20), make("p" * 20 + "P"), left_out=["G-20"]).outcome == "pass"
    assert judge(make("p" * 20), make("p" * 20 + "P"), quarantined=["G-20"]).outcome == "pass"
    assert judge(make("p" * 20), make("p" * 20 + "F")).outcome == "pass"


def test_what_could_not_run_is_told_and_a_whole_category_is_no_pass():
    """One of forty that could not run is told; where it was all of its risk category, nothing can be said of that."""
    assert judge(make("p" * 39 + "e"), make("p" * 40)).reason.endswith("; 1 could not run")
    verdict = judge(make("p" * 39 + "E", risk="billing"), make("p" * 39 + "P", risk="billing"))
    assert verdict.outcome == "undecided"
    assert "nothing was compared of billing" in said(verdict)
    assert judge(make("p" * 39 + "E", risk="billing"), make("p" * 39 + "F", risk="billing")).outcome == "pass"
    assert judge(make("p" * 39 + "E", risk="billing"), make("p" * 39)).outcome == "undecided"


def test_a_crash_is_no_cheaper_than_a_wrong_answer():
    """A case of any risk that passed and cannot run now is no pass, also where most of its attempts could not run."""
    verdict = judge(make("e" + "p" * 99), make("p" * 100))
    assert verdict.outcome == "undecided"
    assert "passed before, could not run: G-0" in said(verdict)
    assert judge(make("e" + "p" * 99), make("f" + "p" * 99)).outcome == "pass"
    results = tuple(CaseResult(case_id="H", repeat=k, outcome=o) for k, o in enumerate(["pass", *["error"] * 4]))
    five = replace(make("p" * 200), results=(*make("p" * 200).results, *results))
    assert (
        judge(five, replace(five, results=tuple(replace(r, outcome="pass") for r in five.results))).outcome
        == "undecided"
    )


def test_a_comparison_that_carries_nothing_is_no_pass():
    """A baseline with more than 5 % of errors, fewer than half of the cases in both, a rule without cases: undecided, and said."""
    broken = judge(make("p" * 100), make("p" * 90 + "e" * 10))
    assert (broken.outcome, "10 of 100 attempts of the baseline could not run" in said(broken)) == ("undecided", True)
    few = judge(make("p" * 10), make("p" * 4))
    assert (few.outcome, "only 4 of 10 cases were compared" in said(few)) == ("undecided", True)
    assert judge(make("p" * 10), make("p" * 5)).outcome == "pass"
    rules = parse_rules(
        '[[rule]]\ncategory = "hgih-risk"\nno_regression = true\n[[rule]]\ncategory = "*"\nat_most = 0.5'
    )
    typo = judge(make("F" + "p" * 99), make("P" + "p" * 99), rules=rules)
    assert (typo.outcome, "a rule covers no case: hgih-risk" in said(typo)) == ("undecided", True)


def test_a_bar_is_held_beside_a_baseline():
    """With a baseline a bar that is asked for decides too: nothing was lost, and half of the cases fail."""
    run = make("p" * 50 + "f" * 50)
    assert [judge(run, run, bar=bar).outcome for bar in (None, 0.9, 0.3)] == ["pass", "fail", "pass"]


def test_runs_of_two_applications_are_not_compared():
    """The baseline of another application is a wrong call that names both."""
    shop, bank = (replace(make("pp"), app=app) for app in ("shop", "bank"))
    with pytest.raises(InputError, match=r"shop.*bank"):
        judge(shop, bank)
    assert judge(shop, replace(bank, app=None)).outcome == "pass"


def test_a_category_that_names_the_group_is_of_high_risk():
    """A case whose risk category is literally `high-risk` has no tolerated regression, and may not vanish."""
    assert judge(make("p" * 20, risk="high-risk"), make("p" * 20 + "P", risk="high-risk")).outcome == "undecided"


def test_no_run_names_attempts_as_cases():
    """Seven cases of five attempts that did not run are told as such, with the first cause."""
    results = tuple(
        CaseResult(case_id=f"G-{i}", repeat=k, outcome="error", detail="the budget of $2 is spent")
        for i in range(7)
        for k in range(5)
    )
    reason = judge(replace(make(""), results=results), None).reason
    assert reason == "none of 35 attempts at 7 cases ran; the first: the budget of $2 is spent"


def test_quarantines_of_the_rules_hold_until_their_day():
    """Until its day the case decides nothing; from then on it decides again, and that is told."""
    rules = parse_rules('[[quarantine]]\ncase = "G-0"\nuntil = 2026-12-01\nwhy = "flaky"')
    day_us = rules.quarantine[0].until_us
    old = make("P" * 20)
    before, after = (judge(replace(make("F" + "P" * 19), at_us=day_us + k), old, rules=rules) for k in (-1, 0))
    assert (before.outcome, before.quarantined) == ("pass", ("G-0",))
    assert (after.outcome, after.quarantined) == ("undecided", ())
    assert "the quarantine in andon-gate.toml is over, so it decides again: G-0 (2026-12-01)" in after.notes


def test_without_a_baseline_nothing_that_compares_can_pass():
    """The default rules compare: with no baseline there is no word on them, however good the run; a bar that is asked for decides."""
    run = make("F" + "p" * 299)
    alone = judge(run, None)
    assert alone.outcome == "undecided"
    assert "there is no baseline to compare with" in alone.reason
    assert "--baseline" in alone.decides[0]
    assert judge(run, None, bar=0.95).outcome == "pass"
    assert judge(make("f" * 60 + "p" * 40), None, bar=0.95).outcome == "fail"


LOW = parse_rules('[[rule]]\ncategory = "low"\nnot_worse = true')


@pytest.mark.parametrize(
    ("now", "before"),
    [
        ({}, {"H": "pass"}),
        ({"H": "fail"}, {}),
        ({"H": "error"}, {"H": "pass"}),
        ({"H": "fail"}, {"H": "pass"}),
        ({"M": "error"}, {"M": "pass"}),
        ({"M": "fail"}, {"M": "pass"}),
    ],
)
def test_what_no_rule_covers_does_not_pass_unseen(now, before):
    """A case of high risk, or one that was lost or could not run, blocks a pass where no rule covers it, in whichever run it is."""

    def run(found):
        risk = {"H": "critical", "M": "medium"}
        odd = tuple(CaseResult(case_id=c, outcome=o, risk_category=risk[c]) for c, o in found.items())
        low = tuple(CaseResult(case_id=f"L-{i}", outcome="pass", risk_category="low") for i in range(60))
        return replace(make(""), results=(*odd, *low))

    verdict = judge(run(now), run(before), rules=LOW)
    assert verdict.outcome == "undecided"
    assert any("no rule covers" in n and next(iter(now or before)) in n for n in verdict.notes)


def test_bars_alone_keep_what_guards_a_gate():
    """Rules of bars only: a misspelt category is told, the bar that is asked for counts, and what was lost is named."""
    rules = parse_rules('[[rule]]\ncategory = "hihg-risk"\nbar = 1.0\n[[rule]]\ncategory = "*"\nbar = 0.5')
    now, before = make("F" + "p" * 40), make("P" + "p" * 40)
    verdict = judge(now, before, rules=rules, bar=0.99)
    assert verdict.outcome == "undecided"
    assert verdict.lost == ("G-0",)
    assert any("a rule covers no case: hihg-risk" in n for n in verdict.notes)
    assert any(g.name == "every case" for g in verdict.groups)
    assert judge(now, None, rules=rules, bar=0.99).outcome == "undecided"
    assert judge(make("f" * 20 + "p" * 21), None, rules=rules, bar=0.99).outcome == "fail"


def test_a_case_that_is_left_out_is_told():
    """A failing case that the same change retires does not decide, and is named."""
    before, now = make("F" + "p" * 60), make("F" + "p" * 60)
    now = replace(now, results=now.results[1:])
    verdict = judge(now, before, left_out=["G-0"])
    assert verdict.outcome == "pass"
    assert any("left out of the baseline" in n and "G-0" in n for n in verdict.notes)


def test_losses_without_a_gain_are_not_equal_on_average():
    """Two lost and none gained is no equality, whatever p says."""
    verdict = judge(make("ff" + "p" * 60), make("p" * 62))
    assert verdict.outcome == "undecided"
    assert not any("equal on average" in n for n in verdict.notes)


def test_the_smallest_drop_is_that_of_the_gate():
    """What could have been found is told for the rule with most cases, at the level that its test has left among all of this gate."""
    before = make("".join("P" if i % 5 == 0 else "p" for i in range(100)))
    verdict = judge(before, before)
    rest = next(g for g in verdict.groups if g.name == "*")
    assert verdict.mde == rest.mde
    assert verdict.mde > least_drop(80, 0.0, 0.05)
