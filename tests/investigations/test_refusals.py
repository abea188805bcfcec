"""Laws of the look at refusals: where they rose or fell, of which kind, and what came with it."""

import numpy as np
import pytest
from intervals import points

from andon.investigations.refusals import Cohort, kind_of_refusal, refusal_spike, stock_phrase
from andon.traffic import Interaction

POLICY = "I'm sorry, but I can't help with that: it would be unethical."
CAPABILITY = "I do not have access to your account."


def said(answer: str | None, **fields) -> Interaction:
    """An interaction with this answer."""
    return Interaction(id="i", time_us=0, query="May I?", answer=answer, **fields)


def part(field: str, value: str, x1: int, n1: int, x2: int, n2: int) -> Cohort:
    """Refusals of a part of the traffic."""
    return Cohort(field=field, value=value, before_x=x1, before_n=n1, after_x=x2, after_n=n2)


@pytest.mark.parametrize(
    ("interaction", "kind"),
    [
        (said(POLICY), "policy"),
        (said(CAPABILITY), "capability"),
        (said("Yes, you may."), None),
        (said("Yes.", guardrail="PII"), "guardrail"),
        (said("Yes.", guardrail="Passed"), None),
        (said(" "), "empty"),
        (said(None, error="Timeout"), None),
        (said("", refused=False), None),
        (said("No.", refused=True), "unclear"),
        (said(POLICY, refused=False), None),
    ],
)
def test_kinds(interaction: Interaction, kind: str | None) -> None:
    """Policy, capability, a guardrail, nothing at all, or a refusal without a reason; the application's own word counts."""
    assert kind_of_refusal(interaction) == kind


def test_a_stock_phrase_is_one_opening() -> None:
    """The most common opening and its share, whatever the case and the digits."""
    told = [said(f"Ticket {k}: I CANNOT help.") for k in range(8)] + [said("Other words"), said(None)]
    assert stock_phrase(told) == ("ticket : i cannot help.", 0.8)
    assert stock_phrase([]) == ("", 0.0)


def test_over_blocking_and_missing_refusals() -> None:
    """Refusals that rise where the risk is low are over-blocking, those that fall where it is high are missing; in figures."""
    low = part("risk_category", "low", 10, 500, 200, 500)
    high = part("risk_category", "High", 480, 500, 200, 500)
    over = refusal_spike([low], [], [])
    assert over.found == "yes"
    assert over.text.startswith(
        "Over-blocking: refusals rose where the risk is not high; "
        'risk category "low" 2 % to 40 % (+33.5 to +42.4 points); '
    )
    head = ("part", "refused before", "refused since", "difference, interval")
    row = ("risk_category low", "10 of 500 (2 %)", "200 of 500 (40 %)", "+33.5 to +42.4 points")
    assert over.rows == (head, row)
    assert points(10, 500, 200, 500) == "+33.5 to +42.4 points"
    both = refusal_spike([low, high], [], [])
    assert both.text.startswith(
        "Missing refusals: they fell where the risk is high and over-blocking: refusals rose where the risk is not high; "
        'risk category "High" 96 % to 40 % (-61.0 to -50.4 points); '
    )
    assert points(480, 500, 200, 500, level=1 - 0.05 / 2) == "-61.0 to -50.4 points"
    assert refusal_spike([part("task", "x", 10, 500, 200, 500)], [], []).text.startswith("Refusals rose")


def test_parts_that_did_not_move_are_no_spike() -> None:
    """Equal rates, and sure differences below two points, are not found; parts of fewer than ten are not compared."""
    assert refusal_spike([part("all", "all traffic", 50, 500, 55, 500)], [], []).found == "no"
    assert refusal_spike([part("all", "all traffic", 1000, 10**6, 11_000, 10**6)], [], []).found == "no"
    assert refusal_spike([part("all", "all traffic", 0, 9, 9, 9)], [], []).found == "cannot tell"


def test_tasks_that_stand_still_are_left_alone() -> None:
    """Over 300 comparisons of 10 tasks without any change a spike is found in at most 5 %."""
    rng = np.random.default_rng(2)
    false = 0
    for _ in range(300):
        p = rng.uniform(0.02, 0.6, 10)
        x = rng.binomial(150, p, (2, 10))
        parts = [part("task", f"t{k}", int(a), 150, int(b), 150) for k, (a, b) in enumerate(x.T)]
        false += refusal_spike(parts, [], []).found == "yes"
    assert false / 300 <= 0.05


def test_the_same_interactions_under_two_names_are_one_part() -> None:
    """Where a category is all of the traffic it stands once, under its own name."""
    found = refusal_spike(
        [part("risk_category", "low", 10, 500, 200, 500), part("all", "all traffic", 10, 500, 200, 500)], [], []
    )
    assert [r[0] for r in found.rows] == ["part", "risk_category low"]


RISE = [part("all", "all traffic", 0, 500, 250, 500)]


LACK = "capability rather than policy: refusals for lack of access, knowledge or an answer +50.0 points"


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (
            [POLICY],
            "policy 0 % to 50 %; policy rather than capability: refusals on principle or by a guardrail +50.0 points",
        ),
        ([CAPABILITY], f"capability 0 % to 50 %; {LACK}"),
        ([""], f"empty 0 % to 50 %; {LACK}"),
        (
            [POLICY, CAPABILITY],
            "capability 0 % to 25 %, policy 0 % to 25 %; both policy and capability: refusals on principle or by a guardrail "
            "+25.0 points, for lack of access, knowledge or an answer +25.0 points",
        ),
    ],
)
def test_policy_against_capability(answers: list[str], words: str) -> None:
    """What rose is named by its kind: on principle or by a guardrail, for lack of something (nothing at all is a lack), or both."""
    before, after = [said("Yes.")] * 100, [said("Yes.")] * 50 + [said(a) for a in answers] * (50 // len(answers))
    found = refusal_spike(RISE, before, after)
    assert f"; by kind of refusal: {words}; " in found.text


def test_kinds_that_did_not_move_tell_nothing() -> None:
    """Where the samples show no kind that moved, that is said."""
    assert "nothing tells policy from capability" in refusal_spike(RISE, [said("Yes.")] * 50, [said("Yes.")] * 50).text


def test_one_phrase_for_all_and_the_versions_that_came_with_it() -> None:
    """One opening for most refusals is told as a rule speaking; new versions are named, and their absence too."""
    before, after = [said("Yes.")] * 100, [said("Yes.")] * 50 + [said(POLICY)] * 50
    found = refusal_spike(RISE, before, after, new_versions={"policy_version": "strict-2"})
    assert "100 % of refusals open with the same words, as a rule speaks" in found.text
    assert 'new since the onset: policy version "strict-2"' in found.text
    assert "no version of ours is new since the onset" in refusal_spike(RISE, before, after).text
