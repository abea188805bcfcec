"""Annotations on spans and evaluation events to feedback: identity, scope, target, and who said it."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_spans import T0, TRACE, event, span

from andon.traffic.conventions.annotations import EVALUATION, annotations_of, evaluation_of
from andon.traffic.conventions.traces import assemble
from andon.traffic.records import FEEDBACK_KINDS, LogRow
from andon.traffic.rows import feedback_from_rows, feedback_to_rows

LINKED = {"trace_id": "2" * 32, "span_id": "a" * 16, "attributes": {}}
FORMS = ["annotations.{n}.annotation", "evaluations.{n}.evaluation"]


def said(form=FORMS[0], n=0, scope="", **fields):
    """The attributes of one entry."""
    start = scope + form.format(n=n)
    return {f"{start}.{k}": v for k, v in fields.items()}


def only(*spans):
    """The single feedback on some spans."""
    (found,) = annotations_of(spans)
    return found


@pytest.mark.parametrize("form", FORMS)
def test_both_spellings_are_one_result(form):
    """An entry gives the same feedback under both names, at any index, sent twice or beside its other spelling."""
    fields = {"name": "hallucination", "score": 1, "label": "hallucinated", "explanation": "why", "annotator_kind": "LLM",
              "identifier": "judge-v2", "metadata": '{"evaluator": "grader"}'}  # fmt: skip
    found = only(span(openinference__span__kind="CHAIN", **said(form, 0, **fields)))
    assert (found.kind, found.name, found.value, found.label, found.text) == (
        "evaluation", "hallucination", 1.0, "hallucinated", "why",
    )  # fmt: skip
    assert (found.source, found.version, found.author) == ("model", "judge-v2", "grader")
    assert (found.interaction_id, found.scope, found.time_us) == (TRACE, "interaction", T0 + 1000)
    both = span(openinference__span__kind="CHAIN", **said(FORMS[0], 3, **fields), **said(FORMS[1], 1, **fields))
    assert annotations_of([both, both]) == [found]


@pytest.mark.parametrize("changed", ["name", "identifier", "span", "scope"])
def test_identity_is_scope_target_name_and_identifier(changed):
    """Another name, identifier, target or scope is another feedback; another index, score or label is the same one."""
    first = only(span(1, **said(name="n", identifier="i", score=1)))
    same = only(span(1, **said(n=7, name="n", identifier="i", score=0, label="x")))
    other = {
        "name": span(1, **said(name="m", identifier="i", score=1)),
        "identifier": span(1, **said(name="n", identifier="j", score=1)),
        "span": span(2, **said(name="n", identifier="i", score=1)),
        "scope": span(1, **said(scope="trace.", name="n", identifier="i", score=1)),
    }[changed]
    assert same.id == first.id
    assert only(other).id != first.id


def test_of_one_feedback_sent_twice_the_later_stays():
    """Feedback that is sent again replaces the earlier one, in whatever order the spans are read."""
    early = span(1, took=10, trace="3" * 32, links=[LINKED], **said(name="n", score=0))
    late = span(1, took=99, trace="4" * 32, links=[LINKED], **said(name="n", score=1))
    assert annotations_of([early, late]) == annotations_of([late, early])
    assert [f.value for f in annotations_of([late, early])] == [1.0]


def test_trace_and_session_scopes_are_applied_once():
    """Feedback on a trace or a session is one, however many spans carry it; a session's belongs to the session."""
    scoped = {
        **said(scope="trace.", name="quality", score=0.9),
        **said(FORMS[1], scope="session.", name="tone", label="kind"),
    }
    found = annotations_of([span(n, session__id="s-1", **scoped) for n in (1, 2, 3)])
    assert sorted((f.scope, f.interaction_id, f.name) for f in found) == [
        ("interaction", TRACE, "quality"), ("session", "s-1", "tone"),
    ]  # fmt: skip
    elsewhere = annotations_of([span(9, trace="5" * 32, session__id="s-1", **scoped)])
    assert {f.id for f in elsewhere if f.scope == "session"} == {f.id for f in found if f.scope == "session"}
    assert annotations_of([span(1, **said(scope="session.", name="tone", score=1))]) == []


@pytest.mark.parametrize("kind", ["EVALUATOR", None])
@pytest.mark.parametrize("scope", ["", "trace."])
def test_a_carrier_speaks_of_the_span_that_it_links(kind, scope):
    """Feedback that comes afterwards belongs to the linked trace, is the same as if it stood there, and is no interaction."""
    mine = {} if kind is None else {"openinference.span.kind": kind}
    carrier = span(1, links=[LINKED], **mine, **said(FORMS[1], scope=scope, name="n", score=0.5, annotator_kind="CODE"))
    found = only(carrier)
    assert (found.interaction_id, found.source) == (LINKED["trace_id"], "code")
    assert assemble([carrier]) == []
    inline = span(0xAAAAAAAAAAAAAAAA, trace=LINKED["trace_id"], **said(scope=scope, name="n", score=0.5))
    assert only(inline).id == found.id


def test_a_carrier_without_exactly_one_link_tells_no_target():
    """An evaluator with several links says of nothing; one without is inline; links of working spans mean something else."""
    several = span(1, links=[LINKED, LINKED], openinference__span__kind="EVALUATOR", **said(name="n", score=1))
    assert annotations_of([several]) == []
    assert only(span(1, openinference__span__kind="EVALUATOR", **said(name="n", score=1))).interaction_id == TRACE
    queued = span(1, links=[LINKED], openinference__span__kind="CHAIN", **said(name="n", score=1))
    assert only(queued).interaction_id == TRACE
    broken = {"trace_id": "", "span_id": "", "attributes": {}}
    assert annotations_of([span(1, links=[broken], **said(name="n", score=1))]) == []


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"name": "thumbs_up", "score": 1}, ("thumb", 1.0)),
        ({"name": "thumbs_up", "score": 0}, ("thumb", 0.0)),
        ({"name": "thumbs-down", "label": "x"}, ("thumb", 0.0)),
        ({"name": "user feedback", "label": "thumbs-up"}, ("thumb", 1.0)),
        ({"name": "user feedback", "label": "👎"}, ("thumb", 0.0)),
        ({"name": "Thumbs", "label": "up"}, ("thumb", 1.0)),
        ({"name": "thumb", "score": -1}, ("thumb", 0.0)),
        ({"name": "thumbs", "label": "?"}, ("evaluation", None)),
        ({"name": "correction", "explanation": "At nine."}, ("correction", None)),
        ({"name": "Correction", "label": "At nine."}, ("correction", None)),
        ({"name": "helpfulness", "score": 4}, ("evaluation", 4.0)),
    ],
)
def test_what_people_say_is_told_apart(fields, expected):
    """A person's thumb is a thumb, a correction has its right answer as text, and anything else is an evaluation."""
    found = only(span(**said(**fields, annotator_kind="HUMAN", identifier="ann@example.org")))
    assert (found.kind, found.value) == expected
    assert found.kind in FEEDBACK_KINDS
    assert (found.source, found.author, found.version) == ("human", "ann@example.org", None)
    assert found.text == ("At nine." if found.kind == "correction" else fields.get("explanation"))


@pytest.mark.parametrize(
    ("kind", "source"), [("HUMAN", "human"), ("LLM", "model"), ("CODE", "code"), ("llm", "model"), ("JEV", "model")]
)
def test_the_kind_of_annotator_is_the_source(kind, source):
    """Who judged is told in our words; a kind that nobody knows is a judge and never a person."""
    assert only(span(**said(name="n", score=1, annotator_kind=kind))).source == source
    assert only(span(**said(name="n", score=1))).source == "model"


def test_a_machine_gives_no_thumb():
    """A result named like a thumb that a model gave is an evaluation: thumbs are what people give."""
    assert only(span(**said(name="thumbs_up", score=1, annotator_kind="LLM"))).kind == "evaluation"
    assert only(span(**said(name="thumbs_up", score=1))).source == "human"


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        (said(name="n", score=1, identifier="i"), "i"),
        (said(name="n", score=1, identifier="i", metadata='{"version": 2}'), "2"),
        (said(name="n", score=1, identifier="i", metadata='{"judge_version": "j", "version": 2}'), "j"),
        ({**said(name="n", score=1, metadata='{"version": 2}'), "andon.judge_version": "own"}, "own"),
        (said(name="n", score=1, metadata="no JSON"), None),
        (said(name="n", score=1, metadata={"version": "structured"}), "structured"),
    ],
)
def test_the_version_of_the_judge_is_kept(attributes, expected):
    """The version of an evaluator is our own attribute, else its metadata's, else the identifier of the result."""
    assert only(span(**attributes)).version == expected


def test_entries_without_name_or_result_are_left_out():
    """An entry that lacks its name, or all of score, label and explanation, is no feedback; its neighbours are kept."""
    bad = {**said(n=0, score=1), **said(n=1, name="n"), **said(n=2, name="m", label="good"), "annotations.3": "x"}
    assert [f.name for f in annotations_of([span(**bad)])] == ["m"]
    assert annotations_of([span(openinference__span__kind="LLM")]) == []


RESULT = {"gen_ai.evaluation.name": "Relevance", "gen_ai.evaluation.score.value": 4.0, "gen_ai.evaluation.score.label": "relevant",
          "gen_ai.evaluation.explanation": "why"}  # fmt: skip


def log(body=None, trace_id=TRACE, span_id=f"{1:016x}", name=EVALUATION, **attributes):
    """A log record."""
    attributes = {k.replace("__", "."): v for k, v in attributes.items()}
    return LogRow(
        id="l", time_us=T0 + 5, trace_id=trace_id, span_id=span_id, name=name, body=body, attributes=attributes
    )


def test_an_evaluation_event_is_feedback():
    """The event of the conventions gives name, value, label and text for the interaction of its trace, from a judge."""
    found = evaluation_of(
        log(**RESULT, **{"gen_ai.evaluation.evaluator.type": "deterministic", "andon.judge_version": "2"})
    )
    assert (found.kind, found.name, found.value, found.label, found.text) == (
        "evaluation",
        "Relevance",
        4.0,
        "relevant",
        "why",
    )
    assert (found.interaction_id, found.time_us, found.source, found.version) == (TRACE, T0 + 5, "code", "2")
    assert evaluation_of(log(**RESULT)).source == "model"
    assert evaluation_of(log(body=RESULT)).value == 4.0


def test_an_evaluation_without_a_trace_belongs_to_its_response():
    """Without a trace the response names the interaction, without that the session; without any there is none."""
    found = evaluation_of(log(**RESULT, gen_ai__response__id="r-1", trace_id=None, span_id=None))
    assert found.interaction_id == "response:r-1"
    in_session = evaluation_of(log(**RESULT, session__id="s", trace_id=None, span_id=None))
    assert (in_session.scope, in_session.interaction_id) == ("session", "s")
    assert evaluation_of(log(**RESULT, trace_id=None, span_id=None)) is None
    assert evaluation_of(log(**RESULT, gen_ai__response__id="r-1")).interaction_id == TRACE


def test_a_failed_evaluation_is_neither_good_nor_bad():
    """An evaluation with an error has its error and no value and no label."""
    found = evaluation_of(log(**RESULT, error__type="timeout"))
    assert (found.error, found.value, found.label) == ("timeout", None, None)
    bare = evaluation_of(log(gen_ai__evaluation__name="Relevance", error__type="timeout"))
    assert (bare.error, bare.kind) == ("timeout", "evaluation")


def test_other_records_are_no_evaluations():
    """Records of another name, or without a name or a result of the evaluation, are none."""
    assert evaluation_of(log(**RESULT, name="gen_ai.choice")) is None
    assert evaluation_of(log(gen_ai__evaluation__name="Relevance")) is None
    assert evaluation_of(log(gen_ai__evaluation__score__value=1.0)) is None


def test_an_evaluation_is_the_same_as_log_as_event_and_as_annotation():
    """One result has one id, whether it comes as a log record, an event of a span or its carrier, or an annotation."""
    as_log = evaluation_of(log(**RESULT))
    on_span = only(span(1, gen_ai__operation__name="chat", events=[event(EVALUATION, 5, **RESULT)]))
    carried = span(9, trace="6" * 32, events=[event(EVALUATION, 5, **RESULT)],
                   links=[{"trace_id": TRACE, "span_id": f"{1:016x}", "attributes": {}}])  # fmt: skip
    annotated = only(span(1, **said(name="Relevance", score=4.0, label="relevant", explanation="why")))
    assert as_log == on_span == only(carried)
    assert annotated.id == as_log.id
    assert assemble([carried]) == []
    assert only(span(1, took=7, events=[{**event(EVALUATION, **RESULT), "time_us": 0}])).time_us == T0 + 7


def test_another_judge_is_another_evaluation():
    """Two evaluators, or two versions of one, that judge the same span under one name do not replace each other."""
    versions = [{}, {"gen_ai.evaluation.evaluator.version": "1"}, {"gen_ai.evaluation.evaluator.version": "2"},
                {"gen_ai.evaluation.evaluator.id": "e", "gen_ai.evaluation.evaluator.version": "1"}]  # fmt: skip
    assert len({evaluation_of(log(**RESULT, **v)).id for v in versions}) == 4


wild = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.lists(st.text(max_size=3), max_size=2) | (
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)
)  # fmt: skip
names = st.sampled_from([*(f"{s}{f.format(n=n)}.{k}" for s in ("", "trace.", "session.") for f in FORMS for n in (0, 1)
                           for k in ("name", "score", "label", "explanation", "annotator_kind", "identifier", "metadata")),
                         "annotations.0", "annotations.0.annotation", "session.id", "openinference.span.kind", *RESULT,
                         "error.type", "gen_ai.response.id", "andon.judge_version"])  # fmt: skip


@given(
    st.lists(st.tuples(st.dictionaries(names, wild, max_size=8), st.dictionaries(names, wild, max_size=8)), max_size=4),
    wild,
)
def test_hostile_annotations_give_feedback_that_fits_its_table(given_spans, body):
    """Whatever stands in annotations and events, what comes out is writable, and free of the order of the spans."""
    spans = [span(n + 1, links=[LINKED] * (n % 3), events=[event(EVALUATION, **second)], **first)
             for n, (first, second) in enumerate(given_spans)]  # fmt: skip
    found = annotations_of(spans)
    random.Random(1).shuffle(spans)
    assert annotations_of(spans) == found
    logged = [evaluation_of(log(body=body, **first)) for first, _ in given_spans]
    kept = [*found, *(f for f in logged if f is not None)]
    assert feedback_from_rows(feedback_to_rows(kept)) == kept
