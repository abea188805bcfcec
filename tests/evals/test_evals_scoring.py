from dataclasses import replace

import pytest

from andon.evals import Output, score_case, scorer_versions
from andon.scores import SCORERS, Scorer

BY_NAME = {s.name: s for s in SCORERS}
LONG = "the mountain called K2 is on the border of China and Pakistan and it is 8611 m high"


def judged(case, answer, words, contexts=None, latency_s=None):
    """The outcome of one answer to a case."""
    result = score_case(case, Output(answer=answer, contexts=contexts, latency_s=latency_s), BY_NAME, words)
    return result.outcome


@pytest.mark.parametrize("metric", [*BY_NAME, "thumbs", "rating", "label_match", "unheard_of"])
@pytest.mark.parametrize("answer", [None, "", " \n"])
def test_a_missing_answer_never_passes(case, words, metric, answer):
    """No answer fails for every metric and direction, also where a passing answer refuses or is short."""
    for direction in ("up", "down"):
        assert judged(case(metric=metric, direction=direction, cut=1.0, contexts=("c",)), answer, words) == "fail"


def test_a_right_answer_passes_and_a_wrong_one_fails(case, words):
    """The default metric compares with the right answer after normalisation."""
    assert judged(case(), "The answer: 8611 M.", words) == "pass"
    assert judged(case(), "8612 m", words) == "fail"


@pytest.mark.parametrize(
    "metric",
    ["thumbs", "rating", "label_match", "escalation", "tool_error", "guardrail_block", "cost_usd", "confidence"],
)
def test_what_a_target_cannot_return_is_compared_with_the_right_answer(case, words, metric):
    """Metrics of people and of the live system fall back to the right answer: pass and fail, never an error."""
    assert judged(case(metric=metric), "8611 m", words) == "pass"
    assert judged(case(metric=metric), "8848 m", words) == "fail"


def test_a_refusal_passes_or_fails_by_direction(case, words):
    """Harm upward: a passing answer does not refuse. Harm downward: a passing answer refuses."""
    refusing, helping = "I'm sorry, but I cannot help with that.", "Use kill -9."
    up, down = case(metric="refusal", direction="up"), case(metric="refusal", direction="down")
    assert [judged(c, a, words) for c in (up, down) for a in (refusing, helping)] == ["fail", "pass", "pass", "fail"]


def test_a_number_is_held_against_the_cut(case, words):
    """A number fails below its cut when it harms downward and from its cut on when it harms upward, as on live traffic."""
    slow = case(metric="latency_s", direction="up", cut=2.0)
    assert [judged(slow, "a", words, latency_s=s) for s in (1.99, 2.0)] == ["pass", "fail"]
    grounded = case(metric="groundedness", direction="down", cut=0.5, contexts=("K2 mountain height 8611 metres",))
    assert judged(grounded, "The mountain K2 has a height of 8611 metres.", words) == "pass"
    assert judged(grounded, "Nanga Parbat stands far away from here.", words) == "fail"
    assert judged(replace(grounded, cut=None), "The mountain K2 has a height.", words) == "error"


def test_contexts_of_the_target_go_before_those_of_the_case(case, words):
    """Grounding is measured on what the target retrieved; the case's contexts stand in only where it says nothing."""
    c = case(metric="groundedness", cut=0.5, contexts=("K2 mountain height 8611 metres",))
    answer = "The mountain K2 has a height of 8611 metres."
    assert judged(c, answer, words, contexts=("bananas are yellow fruit",)) == "fail"
    assert judged(c, answer, words) == "pass"
    assert judged(c, answer, words, contexts=()) == "error"  # it retrieved nothing, and does not pass by our passage


def test_what_cannot_be_measured_is_an_error_with_its_reason(case, words):
    """No such scorer, a score that does not apply, a NaN: neither pass nor fail."""
    nan = Scorer(
        name="odd",
        version="1",
        kind="binary",
        bad="up",
        harm="cost",
        unit="rate",
        about="",
        score=lambda _, __: float("nan"),
    )
    for metric, word in (("unheard_of", "no scorer"), ("citation_valid", "does not apply"), ("odd", "gave nan")):
        result = score_case(case(metric=metric), Output(answer="x"), {**BY_NAME, "odd": nan}, words)
        assert result.outcome == "error"
        assert word in result.detail


def test_a_long_right_answer_is_compared_by_meaning(case, words):
    """Beyond 12 words an answer passes from a cosine of 0.75 on, and the embedder is named."""
    c = case(truth=LONG, answer="I do not know that mountain")
    near = LONG.replace("is on the border", "lies at the border")
    result = score_case(c, Output(answer=near), BY_NAME, words)
    assert result.outcome == "pass"
    assert "words 1" in result.detail
    assert 0.75 <= result.value < 1
    assert judged(c, "bananas are yellow", words) == "fail"
    assert judged(c, LONG, words) == "pass"


def test_the_failing_answer_never_passes_by_resembling_the_right_one(case, words):
    """Right and failing answers may differ in one word: what is nearer to the failing one fails."""
    wrong = LONG.replace("8611", "8848")
    c = case(truth=LONG, answer=wrong)
    assert judged(c, wrong, words) == "fail"
    assert judged(c, wrong.upper() + "!", words) == "fail"
    assert judged(c, f"well {wrong}", words) == "fail"
    assert judged(c, f"well {LONG}", words) == "pass"
    assert judged(replace(c, answer=LONG), f"well {LONG}", words) == "pass"


def test_a_shared_citation_does_not_make_a_failing_answer_right(case, words):
    """The answer that failed fails again, even where the final-answer rule would find the same bracket in both."""
    c = case("Capital?", "Paris [1].", answer="Lyon [1].")
    assert judged(c, "Lyon [1].", words) == "fail"


def test_versions_name_every_measure_that_was_used(case, words):
    """Scorers in use with versions, and the embedder where it was asked; none that was not used."""
    assert scorer_versions([case()], BY_NAME, words) == "normalised_match@3"
    cases = [case(truth=LONG), case(metric="answer_relevancy", cut=0.5), case(metric="thumbs")]
    assert (
        scorer_versions(cases, BY_NAME, words) == "answer_relevancy@1+words_1 normalised_match@3 similarity@1+words_1"
    )
