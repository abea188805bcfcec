"""Files from outside: what fits is kept, what does not is named, and nothing ends the reading."""

import gzip
import json
import random
import time
from contextlib import suppress
from dataclasses import fields, replace
from datetime import UTC, datetime
from functools import partial

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from andon.errors import InputError
from andon.traffic import (
    FEEDBACK_SYNONYMS,
    SEGMENTS,
    SYNONYMS,
    VERSIONS,
    BadRow,
    Context,
    Feedback,
    Interaction,
    ToolCall,
    interaction_of,
    parse_time,
    read_feedback,
    read_interactions,
    traffic_in,
)

WHEN = "2026-01-31T12:00:00Z"
US = parse_time(WHEN)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
known_keys = st.sampled_from(
    sorted({f.name for f in fields(Interaction)} | {s for names in SYNONYMS.values() for s in names})
)


interactions_in, feedback_in = (partial(traffic_in, table=table) for table in ("interactions", "feedback"))


def one(row, read=interactions_in):
    """What becomes of one row."""
    (found,) = read([json.dumps(row).encode()])
    return found


def test_a_full_row_is_read_field_by_field():
    """Every kind of field arrives: texts, numbers, flags, contexts in both forms, tool calls, free attributes."""
    found = one(
        {
            "id": "a", "time": WHEN, "question": "why?", "response": "because", "model_version": "m-1", "latency_ms": 1500,
            "contexts": ["one", {"text": "two", "id": 7, "score": "0.5"}], "refused": False, "weight": 10,
            "tool_calls": [{"name": "search", "arguments": {"q": 1}, "result": "r"}], "prompt_tokens": "12",
            "attributes": {"team": "blue"}, "shoe_size": 43, "nested": {"a": [1]}, "cost": 0.25, "ground_truth": 4,
        }
    )  # fmt: skip
    assert found == Interaction(
        id="a", time_us=US, query="why?", answer="because", model="m-1", latency_s=1.5,
        contexts=(Context(text="one"), Context(text="two", id="7", score=0.5)), refused=False, weight=10.0,
        tool_calls=(ToolCall(name="search", arguments='{"q":1}', result="r"),), input_tokens=12, cost_usd=0.25,
        expected_answer="4", attributes={"team": "blue", "shoe_size": "43", "nested": '{"a":[1]}'},
    )  # fmt: skip


def test_a_prediction_of_a_classical_model_fits():
    """Features, prediction, score and label of a classical model are one interaction."""
    found = one(
        {"time": US, "features": {"age": 41, "city": "Rome", "member": True, "x": None}, "prediction": 1, "score": 0.9,
         "label": False}
    )  # fmt: skip
    assert (found.features, found.prediction, found.prediction_score, found.label) == (
        {"age": 41.0, "city": "Rome", "member": 1.0}, "1", 0.9, "false",
    )  # fmt: skip


@pytest.mark.parametrize("field", sorted(SYNONYMS))
def test_every_synonym_reads_its_field(field):
    """A row with a synonym is the row with the field's own name (ms names are divided by 1000)."""
    special = {"time_us": WHEN, "contexts": ["c"], "tool_calls": [{"name": "t"}], "attributes": {"a": "b"}}
    for name in SYNONYMS[field]:
        value = special.get(field, 1)
        row = {"time_us": US, "id": "i", field: value}
        other = {"time_us": US, "id": "i", name: value * 1000 if name.endswith("_ms") else value}
        if field in ("time_us", "id"):
            other.pop(field)
        assert one(other) == one(row), name


def test_synonyms_lead_to_fields_and_to_one_only():
    """Every synonym belongs to exactly one field, that field exists, and no synonym hides a field."""
    for table, record in ((SYNONYMS, Interaction), (FEEDBACK_SYNONYMS, Feedback)):
        names = [n for synonyms in table.values() for n in synonyms]
        own = {f.name for f in fields(record)}
        assert len(names) == len(set(names))
        assert set(table) <= own
        assert not own & set(names)


def test_the_name_itself_wins_and_nothing_is_lost():
    """Where a field comes under two names, its own name is taken and the other one is kept as an attribute."""
    found = one({"time": US, "model_version": "v7", "model": "gpt", "metadata": {"team": "a"}, "team": "b"})
    assert found.model == "gpt"
    assert sorted(found.attributes.values()) == ["a", "b", "v7"]


def test_a_missing_answer_is_none_and_an_empty_one_is_empty():
    """Null and absence are 'not sent'; an empty answer is a fact and stays."""
    assert one({"time": US, "answer": None}).answer is None
    assert one({"time": US}).answer is None
    assert one({"time": US, "answer": ""}).answer == ""
    assert one({"time": US, "model": ""}).model is None


def test_an_id_made_from_the_content_is_stable():
    """A row without an id gets the same one each time, whatever the order of its keys; another row gets another."""
    a, b = one({"time": WHEN, "query": "q"}), one({"query": "q", "time": WHEN})
    assert a.id == b.id == "d229360551aa34482ab291a645a400dd"  # written down: another version must make the same
    assert a.id != one({"time": WHEN, "query": "p"}).id
    assert one({"time": WHEN, "query": "q", "id": None}).id == a.id


@pytest.mark.parametrize(
    ("row", "names"),
    [
        ({}, ["time is missing", "ISO 8601"]),
        ({"time": "soon"}, ["time", '"soon"', "allowed"]),
        ({"time": US, "latency": "fast"}, ["latency", '"fast"', "number of seconds"]),
        ({"time": US, "latency": -1}, ["latency", "-1"]),
        ({"time": US, "input_tokens": 1.5}, ["input_tokens", "1.5", "whole number"]),
        ({"time": US, "input_tokens": True}, ["input_tokens", "True"]),
        ({"time": US, "confidence": 1.1}, ["confidence", "1.1", "0 to 1"]),
        ({"time": US, "query": ["a"]}, ["query", "a list of 1", "text is allowed"]),
        ({"time": US, "contexts": 5}, ["contexts", "5", "list"]),
        ({"time": US, "contexts": [{"id": 1}]}, ["contexts[0]", "text"]),
        ({"time": US, "refused": "maybe"}, ["refused", '"maybe"', "true or false"]),
        ({"time": US, "attributes": 3}, ["attributes", "3", "object"]),
        ({"time": US, "features": {"age": [1]}}, ["features", "age", "a list of 1"]),
        ({"time": US, "weight": 0}, ["weight", "0", "above 0"]),
        ({"time": US, "latency": float("nan")}, ["latency", "nan", "finite"]),
        ({"time": US, "features": {"age": float("-inf")}}, ["age", "-inf", "finite"]),
        ([1], ["a list of 1", "JSON object"]),
    ],
)
def test_a_bad_row_says_field_value_and_what_is_allowed(row, names):
    """A row that cannot be kept names the field, shows the value and says what is allowed."""
    found = one(row)
    assert isinstance(found, BadRow)
    assert all(name in found.reason for name in names), found.reason


@pytest.mark.parametrize(
    ("said", "meant"),
    [(False, None), (0, None), ("False", None), ("none", None), ("", None), (True, "error"), ("timeout", "timeout"), (500, "500"),
     ({"type": "rate_limit", "message": "slow down"}, "rate_limit"), ({"message": "no"}, '{"message":"no"}')],
)  # fmt: skip
def test_a_row_that_says_that_it_did_not_fail_did_not(said, meant):
    """A false error is none, of an interaction, a tool call and a step; what else is said is its type."""
    call, step = {"name": "search", "error": said}, {"kind": "tool", "error": said}
    found = one({"time": US, "error": said, "tool_calls": [call], "steps": [step]})
    assert (found.error, found.tool_calls[0].error, found.steps[0].error) == (meant, meant, meant)


def test_a_bad_row_has_its_line_and_the_others_are_kept(tmp_path):
    """Lines are counted from 1 with the empty ones, and every good line is kept."""
    path = tmp_path / "rows.jsonl"
    good = json.dumps({"time": WHEN, "query": "q"})
    path.write_text(f"\ufeff{good}\r\n\n{{broken\n\x1b[31m\u202e{'x' * 9999}\n{good}", encoding="utf-8")
    first, second, third, last = read_interactions(path)
    assert isinstance(first, Interaction)
    assert isinstance(last, Interaction)
    assert (second.line, third.line) == (3, 4)
    for bad in (second, third):
        assert bad.text.isprintable()
        assert len(bad.text) < 300
    assert third.text.startswith("\\x1b[31m\\u202e")


@settings(max_examples=300)
@given(st.binary(max_size=400))
def test_random_bytes_never_crash_the_reader(data):
    """Of random bytes every line that is not blank is a record or a BadRow with its number, in order."""
    lines = data.split(b"\n")
    for read, record in ((interactions_in, Interaction), (feedback_in, Feedback)):
        found = list(read(iter(lines)))
        filled = [n for n, line in enumerate(lines, 1) if line.removeprefix(b"\xef\xbb\xbf" if n == 1 else b"").strip()]
        assert len(found) == len(filled)
        assert all(isinstance(f, record) or (f.line == n and f.reason) for f, n in zip(found, filled, strict=True))


NAMED = ("app", "environment", "source", *SEGMENTS, *VERSIONS)


@settings(max_examples=300)
@given(st.dictionaries(known_keys | st.text(max_size=8), json_values, max_size=6))
@example({"code_version": "\x00"})
def test_random_json_is_a_record_or_a_reason(row):
    """Whatever JSON stands in the known fields, the row is an interaction that fits its table, or a printable reason."""
    from andon.traffic import from_rows, to_rows

    found = one({"time": US, **row})
    if isinstance(found, BadRow):
        assert found.reason.isprintable()
        assert len(found.reason) < 1000
    else:
        names = {f: v.replace("\0", "\ufffd") for f in NAMED if isinstance(v := getattr(found, f), str)}
        assert from_rows(to_rows([found])) == [replace(found, **names)]  # no database keeps a NUL in a name


@settings(max_examples=200)
@given(st.dictionaries(known_keys, json_values, max_size=6))
def test_random_values_raise_only_input_errors(row):
    """`interaction_of` of any values gives an interaction or raises InputError, never anything else."""
    with suppress(InputError):
        interaction_of(row)


def test_deep_and_long_rows_are_named(tmp_path):
    """Nesting that no writer could write again, and a line without an end, are BadRows; the next line is read."""
    good = orjson.dumps({"time": WHEN})
    deep = b'{"time": "%s", "x": %s1%s}' % (WHEN.encode(), b"[" * 500, b"]" * 500)
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(b"\n".join([deep, b"x" * (40 * 2**20), good]), 1))
    first, second, third = read_interactions(path)
    assert "nested too deeply" in first.reason
    assert "longer than" in second.reason
    assert (second.line, isinstance(third, Interaction)) == (2, True)


@given(st.data())
@settings(max_examples=30)
def test_a_damaged_gzip_file_keeps_what_came_before(tmp_path_factory, data):
    """A gzip file that is cut or altered gives the rows before the damage, which is named last, or an InputError."""
    path = tmp_path_factory.mktemp("gz") / "rows.jsonl.gz"
    body = gzip.compress(b"".join(orjson.dumps({"time": WHEN, "query": str(i)}) + b"\n" for i in range(200)))
    cut = data.draw(st.integers(0, len(body)))
    path.write_bytes(body[:cut] + data.draw(st.binary(max_size=20)))
    found = []
    with suppress(InputError):
        found = list(read_interactions(path))
    assert all(isinstance(f, Interaction | BadRow) for f in found)
    queries = [f.query for f in found if isinstance(f, Interaction)]
    assert queries[:3] == ["0", "1", "2"][: len(queries)]
    assert cut == len(body) or not found or isinstance(found[-1], BadRow)


def test_rows_before_a_damage_are_kept(tmp_path):
    """Of a compressed file that was cut in half about half of the rows are read, and the damage is the last thing said."""
    path = tmp_path / "rows.jsonl.gz"
    rng = random.Random(0)
    rows = [orjson.dumps({"time": WHEN, "query": rng.randbytes(100).hex()}) for _ in range(5_000)]
    body = gzip.compress(b"\n".join(rows))
    path.write_bytes(body[: len(body) // 2])
    *found, last = read_interactions(path)
    assert 2_300 < sum(isinstance(f, Interaction) for f in found) < 2_700
    assert "cannot be read further" in last.reason


def test_parquet_and_jsonl_give_the_same_interactions(tmp_path):
    """The same rows in Parquet (with timestamps, maps and structs) and in JSONL are the same interactions."""
    rows = [
        {"id": str(i), "time": f"2026-01-31T12:00:0{i}Z", "query": "q", "contexts": [{"text": "c", "id": "1"}],
         "metadata": {"team": "blue"}, "latency_ms": 5.0 * i, "x": None}
        for i in range(3)
    ]  # fmt: skip
    (tmp_path / "rows.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    moments = [datetime.fromisoformat(r["time"]) for r in rows]
    table = pa.Table.from_pylist([{**r, "metadata": None} for r in rows])
    for kind in (pa.timestamp("us", "UTC"), pa.timestamp("ns", "Asia/Tokyo"), pa.timestamp("ms")):
        stamped = table.set_column(1, "time", pa.array(moments, pa.timestamp("us", "UTC")).cast(kind))
        maps = pa.array([[("team", "blue")]] * 3, pa.map_(pa.string(), pa.string()))
        stamped = stamped.set_column(stamped.column_names.index("metadata"), "metadata", maps)
        pq.write_table(stamped, tmp_path / "rows.parquet")
        found = list(read_interactions(tmp_path / "rows.parquet"))
        assert found == list(read_interactions(tmp_path / "rows.jsonl"))
        assert found[1].latency_s == 0.005
        assert found[1].attributes == {"team": "blue"}


def test_a_parquet_timestamp_is_a_moment_and_not_a_number(tmp_path):
    """A timestamp of 1970 is refused; its microseconds are not taken for milliseconds of another year."""
    early = pa.array([1_700_000_000_000], pa.timestamp("us"))
    pq.write_table(pa.table({"time": early}), tmp_path / "rows.parquet")
    (bad,) = read_interactions(tmp_path / "rows.parquet")
    assert "1970-01-20" in bad.reason


def test_parquet_rows_that_do_not_fit_have_their_number(tmp_path):
    """A wrong row of a Parquet file is a BadRow with its number from 1, across batches; NaN is refused by name."""
    latencies = [0.5] * 5000
    latencies[3210] = float("nan")
    times = [datetime(2026, 1, 31, tzinfo=UTC)] * 5000
    pq.write_table(pa.table({"time": times, "latency": latencies}), tmp_path / "rows.parquet")
    found = list(read_interactions(tmp_path / "rows.parquet"))
    (bad,) = [f for f in found if isinstance(f, BadRow)]
    assert len(found) == 5000
    assert (bad.line, "latency is nan" in bad.reason) == (3211, True)


@settings(max_examples=50)
@given(st.binary(max_size=300), st.integers(0, 2000))
def test_a_damaged_parquet_file_is_refused_or_read(tmp_path_factory, noise, at):
    """A Parquet file with foreign bytes in it is an InputError or gives rows and BadRows, never a crash."""
    path = tmp_path_factory.mktemp("pq") / "rows.parquet"
    pq.write_table(pa.table({"time": [US] * 50, "query": [str(i) for i in range(50)]}), path)
    body = path.read_bytes()
    path.write_bytes(body[:at] + noise + body[at + len(noise) :])
    try:
        found = list(read_interactions(path))
    except InputError:
        return
    assert all(isinstance(f, Interaction | BadRow) for f in found)


@pytest.mark.parametrize(
    ("name", "body", "reason"),
    [
        ("rows.xlsx", b"", "ending"),
        ("rows.parquet", b"none", "not a Parquet"),
        ("\x1brows.jsonl", None, "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_input_error(tmp_path, name, body, reason):
    """A file with another ending, of another kind, or absent is refused at once, and the message is printable."""
    if body is not None:
        (tmp_path / name).write_bytes(body)
    with pytest.raises(InputError, match=reason) as caught:
        read_interactions(tmp_path / name)
    assert str(caught.value).isprintable()


def test_feedback_is_read_with_its_synonyms(tmp_path):
    """Thumbs in every spelling are 1 or 0; corrections, labels and ratings keep their text and value."""
    rows = [
        {"interaction_id": "a", "time": WHEN, "kind": "thumb", "value": "up"},
        {"interaction_id": "a", "time": WHEN, "thumb": "down", "comment": "wrong dose"},
        {"interaction_id": "a", "time": WHEN, "kind": "thumbs_up"},
        {"interaction_id": "a", "time": WHEN, "correction": "the right answer", "author": "ann"},
        {"interaction_id": "a", "time": WHEN, "rating": "0.8", "id": "f1"},
        {"interaction_id": "a", "time": WHEN, "kind": "label", "text": "spam"},
        {"interaction_id": "a", "time": WHEN, "kind": "copy"},
        {"interaction_id": "a", "time": WHEN, "label": "spam"},
        {"session_id": "s", "time": WHEN, "type": "thumbs_down"},
        {
            "trace_id": "a",
            "time": WHEN,
            "name": "Relevance",
            "label": "relevant",
            "score": 1,
            "annotator_kind": "LLM",
            "explanation": "it is",
            "evaluator_version": "3",
        },
    ]
    path = tmp_path / "feedback.ndjson"
    path.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    found = list(read_feedback(path))
    assert [(f.kind, f.value, f.text) for f in found] == [
        ("thumb", 1.0, None), ("thumb", 0.0, "wrong dose"), ("thumb", 1.0, None),
        ("correction", None, "the right answer"), ("rating", 0.8, None), ("label", None, "spam"), ("copy", None, None),
        ("label", None, "spam"), ("thumb", 0.0, None), ("evaluation", 1.0, "it is"),
    ]  # fmt: skip
    assert (found[3].author, found[4].id, len({f.id for f in found})) == ("ann", "f1", 10)
    assert [(f.scope, f.interaction_id, f.source) for f in found[7:]] == [
        ("interaction", "a", "human"), ("session", "s", "human"), ("interaction", "a", "model")]  # fmt: skip
    assert (found[9].name, found[9].label, found[9].version) == ("Relevance", "relevant", "3")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"time": WHEN, "kind": "copy"}, "interaction_id is missing"),
        ({"interaction_id": "a", "kind": "copy"}, "time is missing"),
        ({"interaction_id": "a", "time": WHEN}, "kind is missing"),
        ({"interaction_id": "a", "time": WHEN, "kind": "applause"}, "allowed: thumb, correction"),
        ({"interaction_id": "a", "time": WHEN, "kind": "thumb", "value": "sideways"}, "up"),
        ({"interaction_id": "a", "time": WHEN, "kind": "thumb"}, "value is missing"),
        ({"interaction_id": "a", "time": WHEN, "kind": "rating", "value": 5}, "0 to 1"),
        ({"interaction_id": "a", "time": WHEN, "kind": "label"}, "text is missing"),
        ({"interaction_id": "a", "time": WHEN, "kind": "evaluation"}, "a `value`, a `label`, or the `error`"),
        ({"interaction_id": "a", "time": WHEN, "kind": "copy", "scope": "world"}, "allowed: interaction, session"),
        ({"interaction_id": "a", "time": WHEN, "kind": "copy", "source": "oracle"}, "allowed: human, model"),
    ],
)
def test_bad_feedback_says_why(row, reason):
    """Feedback without its interaction, time or kind, or with a value that its kind does not have, is a BadRow."""
    found = one(row, feedback_in)
    assert isinstance(found, BadRow)
    assert reason in found.reason


@settings(max_examples=200)
@given(
    st.dictionaries(
        st.sampled_from(sorted({n for s in FEEDBACK_SYNONYMS.values() for n in s} | set(FEEDBACK_SYNONYMS))),
        json_values | st.sampled_from(["thumb", "rating", "label"]),
        max_size=7,
    )
)
def test_random_feedback_is_a_record_or_a_reason(row):
    """Whatever stands in the fields of feedback, the row is feedback or a printable reason."""
    found = one({"time": US, "interaction_id": "a", **row}, feedback_in)
    assert isinstance(found, Feedback) or found.reason.isprintable()


def test_fifty_thousand_lines_are_read_in_seconds(tmp_path, record_property):
    """A JSONL file is read at thousands of rows a second at least, on one slow core."""
    row = {"id": "x", "time": WHEN, "query": "what is it? " * 5, "answer": "an answer " * 30, "model": "gpt-4o",
           "contexts": ["c" * 100], "latency_s": 0.5, "input_tokens": 10, "team": "blue"}  # fmt: skip
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n".join(orjson.dumps({**row, "id": str(i)}) for i in range(50_000)))
    began = time.perf_counter()
    assert sum(isinstance(i, Interaction) for i in read_interactions(path)) == 50_000
    took = time.perf_counter() - began
    record_property("rows_per_s", 50_000 / took)
    assert took < 25
