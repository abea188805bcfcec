"""Laws of the two reasons for which an answer declines."""

import pytest
import scores_measured as measured
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from andon.scores import SCORERS, hashed, is_refusal, refusal_reason
from andon.settings import Settings
from andon.traffic import Interaction

BY_NAME = {s.name: s for s in SCORERS}
EMBEDDER = hashed.load(Settings())
KINDS = ("refusal", "policy_refusal", "capability_refusal")


def values(answer: str, refused: bool | None = None) -> tuple[float | None, ...]:
    """The three scores of one answer: all refusals, those of policy, those of capability."""
    i = Interaction(id="i", time_us=0, query="q", answer=answer, refused=refused)
    return tuple(BY_NAME[name].score(i, EMBEDDER) for name in KINDS)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("I'm sorry, but I can't help with that.", "policy"),
        ("I cannot provide instructions for this, as it is illegal.", "policy"),
        ("It goes against our policy, so I can't share it.", "policy"),
        ("I'm not able to share that: it is confidential, and I have no access to it either.", "policy"),
        ("Violence is never the answer.", "policy"),
        ("I’m sorry, but I don’t have access to real-time data.", "capability"),
        ("I am unable to determine whether you are insured; I cannot provide an answer.", "capability"),
        ("As an AI, I don't have personal opinions.", "capability"),
        ("This question is subjective and depends on personal beliefs.", "capability"),
        (
            "I cannot give you the number, as it is not publicly available; it would not be ethical either.",
            "capability",
        ),
        ("K2 is 8611 m high.", None),
        ("I don't know.", None),
        ("", None),
    ],
)
def test_the_reason_that_is_given_first_counts(answer: str, reason: str | None) -> None:
    """A refusal has the reason that it names first, policy where it names none; an answer that is no refusal has none."""
    assert refusal_reason(answer) == reason


@pytest.mark.parametrize(
    ("answer", "refused", "reason"),
    [
        ("I'm sorry, but I can't help with that.", False, None),
        ("I don't know.", True, "capability"),
        ("That would be illegal here.", True, "policy"),
        ("Please call the branch.", True, None),
        ("", True, None),
    ],
)
def test_the_word_of_the_application_goes_first(answer: str, refused: bool, reason: str | None) -> None:
    """What the application says to be no refusal has no reason; of what it says to be one the reason is None if none is named."""
    assert refusal_reason(answer, refused) == reason


@given(st.text(max_size=300) | st.sampled_from(["Sorry, I can't.", "I don't have access.", "It is illegal."]))
@hypothesis_settings(deadline=None)
def test_refusals_are_the_union_of_their_reasons(answer: str) -> None:
    """For any answer, refusal is 1 exactly where one of the two reasons is, never both, and None where both are."""
    every, policy, capability = values(answer)
    if every is None:
        assert (policy, capability) == (None, None)
    else:
        assert every == float(is_refusal(answer)) == policy + capability


def test_refusals_are_the_union_of_their_reasons_on_real_answers() -> None:
    """The same on every answer of XSTest."""
    for r in _rows("refusals-xstest", "completions.jsonl.gz"):
        every, policy, capability = values(r["completion"])
        assert every == float(is_refusal(r["completion"])) == policy + capability


def test_reasons_agree_with_what_was_labelled_by_hand() -> None:
    """Of refusals that name one reason, at least nine tenths are told right, and at least three quarters of each reason."""
    _rows("refusals-xstest", "completions.jsonl.gz")
    _rows("drift-llmdrift", "sensitive.jsonl")
    made = [(label, refusal_reason(a)) for found in measured.answers_labelled().values() for label, a in found.values()]
    word = {"p": "policy", "c": "capability"}
    right = {k: [said == word[k] for label, said in made if label == k] for k in word}
    assert min(len(v) for v in right.values()) >= 50
    assert sum(map(sum, right.values())) / sum(map(len, right.values())) >= 0.9
    assert all(sum(v) / len(v) >= 0.75 for v in right.values())


def test_a_survey_is_declined_otherwise_than_a_harmful_request() -> None:
    """Nine tenths of the refusals of a survey are capability, and nine tenths of those of sensitive requests policy."""
    for name, reason in (("opinion_survey.jsonl", "capability"), ("sensitive.jsonl", "policy")):
        said = [refusal_reason(r["answer"] or "") for r in _rows("drift-llmdrift", name)]
        assert said.count(reason) / sum(s is not None for s in said) >= 0.9


def _rows(pack: str, name: str) -> list[dict]:
    if not (measured.DATA / pack).is_dir():
        pytest.skip(f"real data absent: {pack} under {measured.DATA}; set SHARED_DATA")
    return measured.rows(f"{pack}/{name}")
