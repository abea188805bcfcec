from dataclasses import replace

import pytest

from andon.errors import InputError
from andon.golden import Label, golden_digest, same_text
from andon.golden.cases import case_id, failure_id, to_case, to_failure
from andon.traffic import Context, Interaction

ASKED = Interaction(
    id="i1", time_us=0, query="How tall is K2?", answer="8848 m", contexts=(Context(text="K2: 8611 m"),)
)


def test_a_failure_is_named_by_its_content():
    """App, question and answer, and nothing else, make a failure's id; no answer is not an empty answer."""
    a, b = (
        to_failure(i, reason=r, source="x", captured_us=t)
        for i, r, t in ((ASKED, "one", 1), (replace(ASKED, id="i2", model="m"), "two", 2))
    )
    assert a.id == b.id == failure_id("default", "How tall is K2?", "8848 m")
    assert (
        len(
            {
                failure_id("a", "b", "c"),
                failure_id("a", "bc", ""),
                failure_id("a", "b", None),
                failure_id("ab", "", "c"),
            }
        )
        == 4
    )


def test_an_interaction_without_a_question_is_no_failure_case():
    """What nobody could ask again is refused."""
    for query in (None, "", " \n"):
        with pytest.raises(InputError, match="no question"):
            to_failure(replace(ASKED, query=query), reason="", source="", captured_us=0)


@pytest.mark.parametrize(
    ("expected", "correction", "suggestion", "by"),
    [
        ("8611 m", None, "8611 m", "expected_answer"),
        ("8611 m", "8,611 m", "8,611 m", "correction"),
        ("8611 m", "The 8848 M!", "8611 m", "expected_answer"),
        ("8848 m.", None, None, None),
        ("  ", "", None, None),
    ],
)
def test_a_suggestion_is_never_the_failing_answer(expected, correction, suggestion, by):
    """A correction goes before the expected answer; what says the same as the failing answer is no suggestion."""
    i = replace(ASKED, expected_answer=expected)
    f = to_failure(i, reason="", source="", captured_us=0, correction=correction)
    assert (f.suggestion, f.suggested_by) == (suggestion, by)


@pytest.mark.parametrize("truth", ["8848 m", "8848 M.", " the  8848 m ", "*8848* m"])
def test_a_failing_answer_never_becomes_its_own_gold_label(failure, truth):
    """A label that equals the failing answer but for case, articles, punctuation and spaces is refused, for any metric."""
    for metric in ("normalised_match", "refusal", "groundedness"):
        f = failure(metric=metric)
        with pytest.raises(InputError, match="failing answer itself"):
            to_case(
                f,
                Label(id="L", failure=f.id, ground_truth=truth, author="a", at_us=0),
                added_us=0,
                nearest=None,
                embedder="w",
            )


def test_a_label_must_say_something_and_belong_to_the_failure(failure):
    """An empty label and another failure's label are refused."""
    f = failure()
    for label in (
        Label(id="L", failure=f.id, ground_truth=" ", author="a", at_us=0),
        Label(id="L", failure="F-x", ground_truth="8611", author="a", at_us=0),
    ):
        with pytest.raises(InputError):
            to_case(f, label, added_us=0, nearest=None, embedder="w")


def test_texts_without_words_are_compared_as_they_stand():
    """Normalisation to nothing does not make two texts the same."""
    assert not same_text("A", "?")
    assert not same_text("👍", "👎")
    assert same_text(" a ", "A")


def test_a_case_keeps_what_the_failure_knew(failure, now_us):
    """A case carries question, contexts, metric, cut, risk and incident of its failure, its label's author and date."""
    f = failure(contexts=("c",), metric="groundedness", cut=0.5, risk_category="high", incident="INC-0001")
    c = to_case(
        f,
        Label(id="L", failure=f.id, ground_truth="8611 m", author="ann", at_us=1),
        added_us=now_us,
        nearest=0.5,
        embedder="w",
    )
    assert (c.contexts, c.metric, c.cut, c.risk_category, c.incident) == (
        ("c",),
        "groundedness",
        0.5,
        "high",
        "INC-0001",
    )
    assert (c.id, c.added_date, c.label_author) == (case_id("default", f.question, "8611 m"), "2026-11-20", "ann")
    assert (c.nearest, c.embedder) == (0.5, "w")


def test_the_digest_of_a_set_is_its_content(case):
    """Order does not matter; a right answer, a cut or a case more does."""
    a, b = case(), case("How old is it?", "old")
    assert golden_digest([a, b]) == golden_digest([b, a])
    assert len({golden_digest(s) for s in ([], [a], [a, b], [replace(a, cut=0.5), b], [case(truth="8612 m"), b])}) == 5
