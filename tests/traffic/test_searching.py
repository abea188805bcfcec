"""A search, its link and its sentence."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.errors import InputError
from andon.scores import LABELS
from andon.scores.rows import EVALUATION
from andon.traffic.records import FEEDBACK_KINDS
from andon.traffic.searching import (
    EXACT,
    KEYS,
    LATER,
    LONGEST,
    Cursor,
    ScoreCondition,
    Search,
    cursor_of,
    query_of,
    search_of,
    sentence_of,
)

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)
times = st.integers(946_684_800_000_000, 4_133_980_799_999_999)
numbers = st.floats(allow_nan=False, allow_infinity=False)
conditions = st.builds(
    ScoreCondition, metric=st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True), op=st.sampled_from(["ge", "lt"]), value=numbers
)  # fmt: skip


@st.composite
def searches(draw):
    """Any search that a person can ask for."""
    spans = st.lists(times, min_size=2, max_size=2, unique=True).map(sorted)
    start_us, end_us = draw(spans)
    exact = draw(st.dictionaries(st.sampled_from(EXACT), texts, max_size=4))
    return Search(
        start_us=draw(st.sampled_from([None, start_us])),
        end_us=draw(st.sampled_from([None, end_us])),
        exact=tuple((field, exact[field]) for field in EXACT if field in exact),
        topic=draw(st.none() | texts),
        question=draw(st.none() | texts),
        answer=draw(st.none() | texts),
        error=draw(st.none() | st.booleans()),
        scores=tuple(dict.fromkeys(draw(st.lists(conditions, max_size=3)))),
        feedback=draw(st.none() | st.sampled_from(FEEDBACK_KINDS)),
    )


@given(searches())
def test_a_link_shows_the_same_view(search):
    """A search that is written into a link and read from it is the same search, and its sentence is one line."""
    assert search_of(query_of(search)) == search
    assert {key for key, _ in query_of(search)} <= set(KEYS)
    sentence = sentence_of(search)
    assert sentence.isprintable()
    assert sentence.endswith(".")


@given(times, st.none() | texts)
def test_a_place_in_a_list_survives_a_link(time_us, id_):
    """A cursor that is written as text and read again is the same cursor."""
    cursor = Cursor(time_us=time_us, id=id_)
    assert cursor_of(str(cursor)) == cursor


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ([("colour", "red")], "the keys are from, to, app"),
        ([("app", "a"), ("app", "b")], "app comes twice"),
        ([("error", "maybe")], "neither yes nor no"),
        ([("feedback", "applause")], "the kinds are thumb"),
        ([("from", "yesterday")], "is not a time"),
        ([("from", "2026-02-01"), ("to", "2026-01-01")], "is not before"),
        ([("score", "groundedness=1")], "groundedness<0.5"),
        ([("score", "groundedness<nan")], "groundedness<0.5"),
        ([("score", "x<1e999")], "groundedness<0.5"),
        ([("question", "x" * (LONGEST + 1))], "at most 1,000 characters"),
        ([("question", "\ud800")], "must be Unicode"),
        ([("score", f"m{k}<1") for k in range(9)], "at most 8"),
    ],
)
def test_what_is_no_search_is_refused_with_what_is(query, said):
    """A link with an unknown key or an impossible value is refused, and the message says what is allowed."""
    with pytest.raises(InputError, match=said):
        search_of(query)


@pytest.mark.parametrize("text", ["", "x", "1:", "12x", "1e9", "\ud800", "9" * 30])
def test_what_is_no_place_is_refused(text):
    """Text that no cursor was written as is refused."""
    with pytest.raises(InputError, match="no place in a list"):
        cursor_of(text)


def test_forms_may_send_what_is_not_asked():
    """A key without a value, as a form sends it, asks nothing."""
    assert search_of([(key, "") for key in KEYS]) == Search()
    assert sentence_of(Search()) == "All interactions newest first."


def test_a_sentence_names_all_that_is_asked():
    """The sentence of a search names each condition, and quotes what people wrote."""
    asked = [
        ("app", "shop"),
        ("topic", "t07"),
        ("question", "50 %\n"),
        ("error", "no"),
        ("score", "groundedness < 0.5"),
        ("feedback", "thumb"),
    ]
    search = search_of([*asked, ("from", "2026-01-01T00:00:00Z")])
    assert sentence_of(search) == (
        'Interactions with app "shop" of topic "t07" whose question contains "50 %\\x0a" that did not fail with groundedness below 0.5 '
        "with feedback of kind thumb from 2026-01-01T00:00:00Z newest first."
    )
    assert search.value("app") == "shop"
    assert search.value("task") is None
    assert math.isclose(search.scores[0].value, 0.5)


def test_metrics_of_feedback_are_those_that_the_scores_have():
    """The metrics that a search takes for given by feedback are those of the stage that measures, kind by kind."""
    assert dict(LATER) == {name: kind for name, (kind, *_) in LABELS.items()} | {EVALUATION: "evaluation"}
