"""Laws of examples: representative failing answers, passing ones beside them, what was expected, and how sure they were."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from planted import HOUR, MINUTE, SORRY, T0, asked, prompt_failure, signal

from andon.investigations.examples import choose, confidence_of, expected_of, nearest
from andon.investigations.records import HarmedSlice, Twin
from andon.investigations.run import EXAMPLES
from andon.scores import Vectors
from andon.traffic import Interaction


def one(k: int, **fields) -> tuple[Interaction, float]:
    """A failing interaction with a question of its own."""
    return asked(k, T0 + k, **{"query": f"question {k}", "task": "chat", **fields}), 1.0


def harmed_slice(**where: str) -> HarmedSlice:
    """A part that carries harm."""
    return HarmedSlice(
        where=where, before_x=0, before_n=1, after_x=1, after_n=1, outside_x=0, outside_n=1, score=1.0, share=1.0
    )


def test_one_user_does_not_fill_the_examples() -> None:
    """Where one user fails a hundred times and ten fail once, the ten are among the twelve."""
    harmed = [one(k, user_id="loud") for k in range(100)] + [one(200 + k, user_id=f"u{k}") for k in range(10)]
    users = Counter(i.user_id for i, _ in choose(harmed, (), EXAMPLES))
    assert sum(users.values()) == EXAMPLES
    assert users["loud"] == 2


def test_each_part_that_carries_the_harm_is_shown() -> None:
    """Examples are spread over the surest parts; what is in none of them comes last."""
    harmed = [one(k, task="chat") for k in range(40)]
    harmed += [one(100 + k, task="dosage") for k in range(3)] + [one(200 + k, task="refund") for k in range(30)]
    slices = (harmed_slice(task="dosage"), harmed_slice(task="refund"))
    tasks = [i.task for i, _ in choose(harmed, slices, EXAMPLES)]
    assert Counter(tasks)["dosage"] == 3
    assert tasks[0] == "dosage"
    assert Counter(tasks)["refund"] >= 4


def test_a_question_is_shown_once() -> None:
    """The same question from many users is one example."""
    harmed = [one(k, query="the same?", user_id=f"u{k}") for k in range(30)]
    assert len(choose(harmed, (), EXAMPLES)) == 1


def unit(*rows: list[float]) -> Vectors:
    """Vectors of length 1."""
    v = np.array(rows, dtype=np.float32)
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def test_the_nearest_passing_question_of_the_same_part_stands_beside() -> None:
    """Same segments go before likeness, likeness before order, and none stands beside two failing ones."""
    failing = [asked(1, T0, risk_category="high"), asked(2, T0, risk_category="high")]
    passing = [
        asked(3, T0, risk_category="low"),
        asked(4, T0, risk_category="high"),
        asked(5, T0, risk_category="high"),
    ]
    found = nearest(failing, passing, unit([1, 0], [1, 0]), unit([1, 0], [0, 1], [1, 1]))
    assert found == [2, 1]
    assert nearest(failing, [], unit([1, 0], [1, 0]), np.zeros((0, 2), np.float32)) == [-1, -1]


def test_what_was_expected_by_precedence() -> None:
    """What came with the data, then a correction, then a passing twin; never the failing answer, never a blank."""
    twin = Twin(answer="twin", at_us=T0)
    i = asked(1, T0, answer="wrong", expected_answer="gold")
    assert expected_of(i, "said", twin) == ("gold", "expected answer")
    assert expected_of(replace(i, expected_answer=None), "said", twin) == ("said", "correction")
    assert expected_of(replace(i, expected_answer=" "), None, twin) == ("twin", "passing twin")
    assert expected_of(replace(i, expected_answer="wrong "), " wrong", None) == (None, None)


@pytest.mark.parametrize(
    ("high", "low", "word"),
    [(30, 5, "sure and wrong"), (5, 30, "unsure and wrong"), (16, 15, "neither side"), (3, 1, "neither side")],
)
def test_confidence_points_only_where_it_is_sure(high: int, low: int, word: str) -> None:
    """A side is named when the exact interval of the share above the median excludes one half."""
    found = confidence_of(0.7, high, low, 2)
    assert word in found.text
    assert (found.high, found.low, found.unknown, found.cut) == (high, low, 2, 0.7)


def test_without_confidence_it_cannot_be_told() -> None:
    """Answers without a confidence are counted as such, with what to send."""
    found = confidence_of(None, 0, 0, 9)
    assert (found.cut, found.unknown) == (None, 9)
    assert "cannot tell" in found.text


def test_passing_answers_stand_beside_the_failing_ones(plant) -> None:
    """They are of the time since the onset, did not fail, and are of the same risk category."""
    found = plant(prompt_failure()).look()
    assert len(found.passing) == len(found.examples) == EXAMPLES
    for failing, passing in zip(found.examples, found.passing, strict=True):
        assert passing.answer != SORRY
        assert passing.value == 0.0
        assert T0 <= passing.at_us < T0 + 2 * HOUR
        assert passing.segments == failing.segments
    assert len({p.interaction_id for p in found.passing}) == EXAMPLES


def test_confidence_is_counted_over_all_failing_answers(plant) -> None:
    """The cut is the median of passing answers since the onset; failing ones are counted on its two sides."""
    traffic = prompt_failure()
    passing = 0
    for at, i in enumerate(traffic):
        if i.answer == SORRY:
            traffic[at] = replace(i, confidence=0.95)
        else:
            passing += 1
            traffic[at] = replace(i, confidence=0.6 if passing % 2 else 0.8)
    found = plant(traffic).look()
    assert (found.confidence.high, found.confidence.low, found.confidence.unknown) == (90, 0, 0)
    assert 0.58 < (found.confidence.cut or 0) < 0.82
    assert "sure and wrong" in found.confidence.text
    assert any("confidence" in e.claim for e in found.evidence)


def test_failing_answers_without_confidence_are_unknown(plant) -> None:
    """Where only passing answers carry one, the failing ones are unknown, not unsure."""
    traffic = [i if i.answer == SORRY else replace(i, confidence=0.7) for i in prompt_failure()]
    found = plant(traffic).look().confidence
    assert (found.high, found.low, found.unknown) == (0, 0, 90)
    assert "cannot tell" in found.text


def test_hostile_text_stays_data(plant) -> None:
    """What users wrote comes back letter by letter, and is no SQL, no format and no command."""
    nasty = "'); DROP TABLE scores; --  {0} %s <script>alert(1)</script> \x1b[31m =cmd|'/C calc'!A0"
    before = [
        asked(k, T0 - 9 * HOUR + k * MINUTE, query=f"{nasty} {k % 5}", answer=f"fine {nasty}") for k in range(200)
    ]
    after = [asked(k, T0 + k * MINUTE, refused=True, query=f"{nasty} {k % 5}", segment=nasty) for k in range(40)]
    lead = signal(scope={})
    found = plant([*before, *after], lead=lead).look(T0 + HOUR)
    assert {e.question for e in found.examples} == {f"{nasty} {k}" for k in range(5)}
    assert {e.expected for e in found.examples} == {f"fine {nasty}"}
    assert found.examples[0].segments["segment"] == nasty


@pytest.mark.parametrize(
    ("high", "low", "told"),
    [
        (1, 14_049, "1 of 14,050 failing answers is at least as sure as half of the passing ones (under 0.1 %);"),
        (0, 14_050, "0 of 14,050 failing answers are at least as sure as half of the passing ones (under 0.1 %);"),
        (
            1,
            999,
            "1 of 1,000 failing answers is at least as sure as half of the passing ones (0.1 %, 95 % interval 0 % to 0.6 %);",
        ),
        (
            300,
            700,
            "300 of 1,000 failing answers are at least as sure as half of the passing ones (30 %, 95 % interval 27.2 % to 32.9 %);",
        ),
    ],
)
def test_shares_of_confidence_are_told_to_a_tenth_of_a_percent(high: int, low: int, told: str) -> None:
    """One answer is, several are; no share has more digits than a tenth of a percent, and a tiny one is said as such."""
    assert told in confidence_of(0.7, high, low, 0).text


def test_confidence_does_not_part_its_own_failures(plant) -> None:
    """Where the confidence itself fell, nobody is told to send one: it is there, and is what is looked into."""
    traffic = [
        asked(k, T0 - 10 * HOUR + k * MINUTE, confidence=0.9 if k < 600 else 0.2, refused=k >= 600) for k in range(700)
    ]
    lead = signal(metric="confidence", direction="down", kind="number", cut=0.5)
    found = plant(traffic, lead=lead).look().confidence
    assert found.text == "confidence is what is looked into, so it does not part the failures"
    assert (found.high, found.low, found.unknown) == (0, 0, 0)
