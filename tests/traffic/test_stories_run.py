"""The story of one interaction."""

from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa
import pytest

from andon.scores import SCORERS, score_schema
from andon.scores.rows import score_row
from andon.store import Warehouse
from andon.traffic import SCHEMAS, Context, Feedback, Interaction, SpanRow, Step, ToolCall, spans_to_rows
from andon.traffic.run import interaction_story, record, record_feedback, stories

US, S, DAY = 1_790_000_000_000_000, 1_000_000, 86_400_000_000
TOLD = Interaction(
    id="told",
    time_us=US,
    app="shop",
    session_id="s",
    user_id="u",
    trace_id="a" * 32,
    query="Where is my parcel?",
    answer="On its way. " * 40,
    contexts=(Context(text="Parcels take two days.", id="d1", score=0.8),),
    tool_calls=(ToolCall(name="track", arguments="{}", error="timeout"),),
    steps=(Step(kind="tool", name="track", start_s=0.1, latency_s=2.0, error="timeout"),),
    model="m-2",
    requested_model="m",
    prompt_version="p7",
    risk_category="high",
    segment="free",
    attributes={"k": "v"},
)
BESIDE = [replace(TOLD, id=f"b{k:02d}", time_us=US - (15 - k) * 60 * S, contexts=(), trace_id=None) for k in range(15)]
AFTER = [replace(TOLD, id=f"c{k:02d}", time_us=US + k * 60 * S, contexts=(), trace_id=None) for k in range(13)]
OTHERS = [
    replace(TOLD, id="other app", app="desk", time_us=US + S),
    replace(TOLD, id="other session", session_id="t", time_us=US + S),
    replace(TOLD, id="no session", session_id=None, time_us=US + S),
    replace(TOLD, id="next week", time_us=US + 7 * DAY),
    replace(TOLD, id="long ago", session_id=None, time_us=US - 300 * DAY),
]
SAID = [
    Feedback(id="f1", interaction_id="told", time_us=US + 90 * DAY, kind="thumb", value=0.0),
    Feedback(id="f2", interaction_id="s", time_us=US + S, kind="rating", value=1.0, scope="session"),
    Feedback(id="f3", interaction_id="s", time_us=US + S, kind="thumb", value=1.0),
    Feedback(id="f4", interaction_id="told", time_us=US + S, kind="thumb", value=1.0, scope="session"),
    Feedback(id="f5", interaction_id="b01", time_us=US + S, kind="thumb", value=1.0),
]
SPANS = [
    SpanRow(
        trace_id="a" * 32, span_id=f"{k:016x}", name=f"step {k}", time_us=US + k, end_us=US + k + S, attributes={"n": k}
    )
    for k in range(3)
]


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """One interaction with everything, among others; scored twice, by two sets of scorers."""
    schema = score_schema(SCORERS)
    store = Warehouse(tmp_path_factory.mktemp("story"), {**SCHEMAS, "scores": schema})
    record(store, [TOLD, *BESIDE, *AFTER, *OTHERS])
    record_feedback(store, SAID)
    other = {"trace_id": "b" * 32}
    store.append("spans", spans_to_rows([*SPANS, replace(SPANS[0], **other)]))
    for digest, values in (("one", {"refusal": 1.0, "groundedness": 0.2, "topic": "t1"}), ("two", {"refusal": 0.0})):
        rows = [
            score_row(TOLD, values, digest, f"told/{digest}", US),
            score_row(BESIDE[0], {"format_ok": 1.0}, digest, f"b/{digest}", US),
        ]
        rows += [score_row(TOLD, {"thumbs": 1.0}, "people", "feedback/f0", US + S)] if digest == "two" else []
        store.append("scores", pa.Table.from_pylist(rows, schema=schema))
        store.commit()
    yield store
    store.close()


def test_a_story_carries_everything(warehouse):
    """A story holds the interaction as it was recorded, the last value of each score, what was said, and the spans of its trace."""
    story = interaction_story(warehouse, "told", at_us=US)
    assert story is not None
    assert story.interaction == TOLD
    assert dict(story.scores) == {"refusal": 0.0, "groundedness": 0.2, "thumbs": 1.0}
    assert story.topic == "t1"
    assert [f.id for f in story.feedback] == ["f2", "f1"]
    assert [s.name for s in story.spans] == ["step 0", "step 1", "step 2"]
    assert story.spans == tuple(SPANS)


@pytest.mark.parametrize("most", [4, 28, 200])
def test_a_story_tells_what_came_before_and_after(warehouse, monkeypatch, most):
    """The nearest of the same session of the same application come before and after, each once, in order, never the told one."""
    monkeypatch.setattr(stories, "_SESSION", most)
    story = interaction_story(warehouse, "told", at_us=US)
    assert [h.id for h in story.earlier] == [f"b{k:02d}" for k in range(5, 15)]
    assert [h.id for h in story.later] == [f"c{k:02d}" for k in range(10)]
    alone = interaction_story(warehouse, "no session", at_us=US + S)
    assert (alone.earlier, alone.later) == ((), ())


@pytest.mark.parametrize("at_us", [None, US, US + 1, US - 400 * DAY, 0])
@pytest.mark.parametrize("id_", ["told", "long ago", "next week"])
def test_a_story_is_found_with_any_time(warehouse, id_, at_us):
    """Without a time, or with a wrong one, the same story is found as with the right one."""
    right = next(i.time_us for i in (TOLD, *OTHERS) if i.id == id_)
    assert interaction_story(warehouse, id_, at_us=at_us) == interaction_story(warehouse, id_, at_us=right) is not None


@pytest.mark.parametrize("id_", ["none", "", "' OR 1=1 --", "told%", "t_ld", "\0", "told\0"])
def test_an_unknown_id_has_no_story(warehouse, id_):
    """An id that no interaction has gives None, with a time or without, whatever stands in it."""
    assert interaction_story(warehouse, id_) is None
    assert interaction_story(warehouse, id_, at_us=US) is None


def test_a_story_needs_no_scores(tmp_path):
    """Where nothing is scored, said or kept the story is the interaction alone."""
    store = Warehouse(tmp_path / "store", SCHEMAS)
    assert interaction_story(store, "told") is None
    record(store, [TOLD])
    store.commit()
    story = interaction_story(store, "told")
    assert story.interaction == TOLD
    assert (dict(story.scores), story.topic, story.feedback, story.earlier, story.later, story.spans) == (
        {},
        None,
        (),
        (),
        (),
        (),
    )
    store.close()
