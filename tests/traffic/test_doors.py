"""Which door a row comes through: JSON files, OTLP of the Collector, feedback known by its names, and hostile files."""

import gzip
import io
import json
import os
import tracemalloc
from contextlib import suppress
from pathlib import PurePath

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from andon.errors import InputError
from andon.traffic import BadRow, Feedback, Interaction, SpanRow, parse_time
from andon.traffic.files import documents
from andon.traffic.files.documents import values_of
from andon.traffic.files.kinds import column_reader, read_value, reader_of, table_of, traffic_in
from andon.traffic.files.reading import ENDINGS, check_file, read_feedback, read_interactions, read_traffic
from andon.traffic.records import LogRow

WHEN = "2026-01-31T12:00:00Z"
US = parse_time(WHEN)
ROW = {"time": WHEN, "query": "q", "answer": "a"}
SPAN = {
    "resourceSpans": [
        {
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
            "scopeSpans": [
                {
                    "spans": [
                        {
                            "traceId": "0af7651916cd43dd8448eb211c80319c",
                            "spanId": "b7ad6b7169203331",
                            "name": "chat",
                            "startTimeUnixNano": str(US * 1000),
                            "endTimeUnixNano": str(US * 1000 + 10**9),
                            "attributes": [{"key": "gen_ai.request.model", "value": {"stringValue": "m"}}],
                        }
                    ]
                }
            ],
        }
    ]
}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture
def read(tmp_path):
    """Reads bytes, text or a value as a file of this name."""

    def of(body, name="rows.json", table=None):
        raw = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else orjson.dumps(body)
        (tmp_path / name).write_bytes(raw)
        return list(read_traffic(tmp_path / name, table))

    return of


@given(
    st.lists(json_values, min_size=1, max_size=6),
    st.sampled_from([None, 1, 4]),
    st.sampled_from([",", "\n", " ,\r\n ", "\x1e"]),
    st.booleans(),
    st.integers(4, 40),
)
@settings(max_examples=300)
def test_the_values_of_a_file_are_told_apart(values, indent, between, in_array, chunk):
    """Values in an array, or one after another, come out one by one, however they are spaced and wherever a read ends."""
    if not in_array and isinstance(values[0], list):
        values = [{}, *values]  # a list that comes first is the file's own
    texts = [json.dumps(v, indent=indent) for v in values]
    body = between.join(texts)
    whole, before = (f"[{body}]" if in_array else f"\ufeff{body}\n").encode(), documents._CHUNK
    documents._CHUNK = chunk
    try:
        found = list(values_of(io.BytesIO(whole)))
    finally:
        documents._CHUNK = before
    assert [n for n, _ in found] == list(range(1, len(values) + 1))
    assert [json.loads(v) for _, v in found] == values


@given(st.binary(max_size=200) | st.text('{}[]",:\\ ax1', max_size=60).map(str.encode), st.integers(1, 9))
@settings(max_examples=300)
def test_any_bytes_are_told_apart_or_refused(data, chunk):
    """Of any bytes the splitter gives pieces of them, in order, and perhaps one reason at the end; it always ends."""
    before = documents._CHUNK
    documents._CHUNK = chunk
    try:
        found = list(values_of(io.BytesIO(data)))
    finally:
        documents._CHUNK = before
    assert all(v and v in data for _, v in found if isinstance(v, bytes))
    assert all(isinstance(v, bytes) for _, v in found[:-1])


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'[{"a": 1}, {"b": "cut', "cut off"),
        (b'[{"a": 1}, ', "ends within its array"),
        (b"[" * 100_000, "nested more than 1,000 deep"),
        (b'{"a":' * 100_000, "nested more than 1,000 deep"),
        (b'[{"a": "' + b"x" * (documents.MAX_VALUE + 2**21) + b'"}]', "longer than"),
        (b"[" + b"1" * (documents.MAX_VALUE + 2**21), "longer than"),
    ],
)
def test_a_file_that_cannot_be_told_apart_says_where(read, body, reason):
    """A value that is cut off, too deep or too long ends the reading with its number and what to do; those before stay."""
    found = read(body)
    assert reason in found[-1].reason
    assert all(isinstance(f, BadRow) for f in found)
    assert found[-1].line == len(found)


def test_a_json_file_is_rows_whatever_stands_around_them(read):
    """An array, one object, objects one after another, and an object around rows give the same rows."""
    rows = [{**ROW, "id": str(i)} for i in range(3)]
    expected = read(rows)
    assert [r.id for r in expected] == ["0", "1", "2"]
    assert read("\n".join(map(json.dumps, rows))) == expected
    assert read({"data": rows, "meta": {"page": 1}}) == expected
    assert read(gzip.compress(orjson.dumps(rows)), "rows.json.gz") == expected
    assert read(json.dumps(rows[0], indent=2)) == expected[:1]
    (said,) = read({"feedback": [{"interaction_id": "0", "time": WHEN, "type": "copy"}]})
    assert isinstance(said, Feedback)


def test_a_bad_value_is_named_by_its_number(read):
    """In a JSON file a bad row has its number from 1, and the rest is kept."""
    found = read([ROW, 5, {"query": "no time"}, ROW])
    assert [(f.line, f.reason.split(";")[0]) for f in found if isinstance(f, BadRow)] == [
        (2, "the row is 5"), (3, "time is missing")]  # fmt: skip
    assert sum(isinstance(f, Interaction) for f in found) == 2
    (bad,) = [f for f in read(b'[{"time": 1, "latency": NaN}]') if isinstance(f, BadRow)]
    assert "latency" in bad.reason


@pytest.mark.parametrize("name", ["traces.json", "traces.jsonl", "traces.json.gz"])
def test_files_of_the_collector_give_their_spans(read, name):
    """Requests of OTLP/JSON, one in each line as the Collector's file exporter writes them, give their spans."""
    body = orjson.dumps(SPAN) + b"\n" + orjson.dumps(SPAN) + b"\n"
    found = read(gzip.compress(body) if name.endswith(".gz") else body, name)
    assert [type(f) for f in found] == [SpanRow, SpanRow]
    assert (found[0].trace_id, found[0].attributes["service.name"]) == ("0af7651916cd43dd8448eb211c80319c", "shop")


def test_other_signals_of_the_collector_are_read_or_named(read):
    """Log records of model calls are read, other logs are nothing, metrics and bad spans are named."""
    record = {"timeUnixNano": str(US * 1000), "eventName": "gen_ai.choice", "body": {"stringValue": "hi"}}
    logs = {"resourceLogs": [{"scopeLogs": [{"logRecords": [record, {**record, "eventName": "app.start"}]}]}]}
    (log,) = read(logs)
    assert (type(log), log.name) == (LogRow, "gen_ai.choice")
    (bad,) = read({"resourceMetrics": []})
    assert "metrics" in bad.reason
    broken = orjson.loads(orjson.dumps(SPAN))
    broken["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"] = "zz"
    (refused,) = read(broken)
    assert "traceId" in refused.reason


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"interaction_id": "a", "time": WHEN, "kind": "copy"}, "copy"),
        ({"interaction_id": "a", "time": WHEN, "thumb": "up"}, "thumb"),
        ({"trace_id": "a", "time": WHEN, "rating": 0.5, "comment": "so"}, "rating"),
        ({"session_id": "s", "time": WHEN, "thumbs": "down"}, "thumb"),
        ({"trace_id": "a", "time": WHEN, "name": "Relevance", "label": "relevant", "score": 1}, "evaluation"),
        ({"interaction_id": "a", "time": WHEN, "kind": "copy", "query": "q"}, None),
        ({"interaction_id": "a", "time": WHEN, "rating": 5, "prediction": 1}, None),
        ({"id": "a", "time": WHEN, "rating": 5}, None),
        ({"trace_id": "a", "time": WHEN, "label": "spam"}, None),
    ],
)
def test_feedback_is_known_by_its_names(read, row, kind):
    """A row that points at an interaction, says something of it and holds no content is feedback; any other is not."""
    for name in ("rows.json", "rows.jsonl"):
        (found,) = read([row] if name == "rows.json" else row, name)
        assert getattr(found, "kind", None) == kind
        assert isinstance(found, Interaction if kind is None else Feedback)


def test_the_name_of_a_file_says_what_its_rows_are(read):
    """``*.feedback.*`` is feedback whatever its rows look like, and what the caller says wins over the name."""
    row = {"interaction_id": "a", "time": WHEN, "type": "copy"}
    assert isinstance(read(row, "x.feedback.json")[0], Feedback)
    assert isinstance(read(row, "x.json")[0], Interaction)
    assert isinstance(read(row, "x.json", "feedback")[0], Feedback)
    assert isinstance(read({**row, "kind": "copy"}, "y.feedback.json", "interactions")[0], Interaction)
    names = (
        "a.feedback.jsonl",
        "a.FEEDBACK.csv.gz",
        "feedback.json",
        "a.changes.jsonl",
        "feedback",
        "a.jsonl",
        "my-feedback.csv",
    )
    assert [table_of(n) for n in names] == [table_of(PurePath("a.changes.d") / n) for n in names]
    assert [table_of(n) for n in names] == ["feedback", "feedback", "feedback", "changes", None, None, None]


@given(
    st.dictionaries(
        st.sampled_from(
            ["time", "query", "interaction_id", "trace_id", "session_id", "kind", "thumb", "rating", "data", "rows", "observations",
             "trace", "id", "timestamp", "failure_reason", "traceId", "startTime", "type", "projectId", "source", "name",
             "dataType", "bookmarked", "htmlPath", "resourceSpans", "sessionId", "interactions", "label", "score"]
        ),
        st.sampled_from([WHEN, "x", 1, None, [], [{"time": WHEN}], {"id": "t"}, "thumb", "SPAN"]),
        max_size=8,
    )
)  # fmt: skip
@settings(max_examples=500)
def test_the_short_way_is_no_other_way(row):
    """A row that takes the short way, having no telling name, is read as the long way reads it."""
    from andon.traffic.files import kinds as doors

    raw = orjson.dumps(row)
    found, before = list(read_value(1, raw)), doors._TELLING
    doors._TELLING = frozenset(row)
    try:
        assert list(read_value(1, raw)) == found
    finally:
        doors._TELLING = before


@given(
    st.dictionaries(
        st.text(max_size=8) | st.sampled_from(["time", "trace_id", "observations", "kind"]), json_values, max_size=6
    )
)
@settings(max_examples=200)
def test_a_reader_raises_input_errors_only(row):
    """Whatever a row holds, its reader gives records and reasons, or raises InputError."""
    for reader in (reader_of(row), column_reader(tuple(row)), reader_of(row, "feedback")):
        with suppress(InputError):
            found = reader(row)
            assert all(isinstance(r, Interaction | Feedback | SpanRow) for r in found.records)


FORMS = sorted({e.removesuffix(".gz") for e in ENDINGS})
starts = st.sampled_from(
    [b"", b"[", b"{", b"time,query\n", b'time\tq\n"', b"\xff\xfe", b"\xef\xbb\xbf", b'{"time": 1769860800, ',
     b'{"observations": [{"id": "a", "startTime": 1769860800', b'{"resourceSpans": [', b"PK\x03\x04", b"\x1f\x8b\x08"]
)  # fmt: skip


@given(
    st.sampled_from(ENDINGS),
    starts,
    st.binary(max_size=120) | st.text('{}[]",:\n\t;', max_size=60).map(str.encode),
    st.booleans(),
)
@settings(max_examples=400, deadline=None)
def test_any_bytes_in_any_ending_are_records_reasons_or_an_input_error(tmp_path_factory, ending, start, rest, packed):
    """Any bytes under any ending, compressed or damaged, give only records and bad rows, or an InputError, all printable."""
    path = tmp_path_factory.mktemp("any") / f"rows{ending}"
    body = start + rest
    path.write_bytes(gzip.compress(body, 1) if packed and ending.endswith(".gz") else body)
    for read in (read_traffic, read_interactions, read_feedback):
        found, refused = [], ""
        try:
            found = list(read(path))
        except InputError as error:
            refused = str(error)
        assert refused == "" or refused.isprintable()
        assert all(isinstance(f, Interaction | Feedback | SpanRow | LogRow | BadRow) for f in found)
        assert all(
            f.line >= 1 and f.reason.isprintable() and f.text.isprintable() for f in found if isinstance(f, BadRow)
        )


@pytest.mark.parametrize("ending", [".csv", ".json", ".jsonl", ".parquet", ".jsonl.gz"])
def test_only_ordinary_files_are_opened(tmp_path, ending):
    """A pipe, a device and a folder are refused without waiting for them, whatever their name."""
    pipe, folder, device = (tmp_path / f"{name}{ending}" for name in ("pipe", "folder", "device"))
    os.mkfifo(pipe)
    folder.mkdir()
    device.symlink_to("/dev/zero")
    for path, reason in ((pipe, "no ordinary file"), (folder, "is a folder"), (device, "no ordinary file")):
        with pytest.raises(InputError, match=reason):
            check_file(path)


@pytest.mark.parametrize(
    ("name", "body", "reason"),
    [
        ("rows.json", b"PK\x03\x04", "ZIP"),
        ("rows.json", b"time,query\n", "not JSON: it begins with"),
        ("rows.json.gz", b'{"a": 1}', "take .gz from its name"),
        ("rows.csv.gz", gzip.compress(b"PK\x03\x04"), "ZIP"),
        ("rows.jsonl", gzip.compress(b"{}"), "add .gz"),
        ("rows.jsonl", '{"time": 1}'.encode("utf-16"), "UTF-16"),
        ("rows.xlsx", b"PK\x03\x04", "ending that is not read.*csv"),
        ("rows.csv.gz", gzip.compress(b"time,q\n" * 1000)[:20], "cannot be read"),
        ("rows\x00.csv", None, "is not a file that can be read"),
    ],
)
def test_a_file_of_another_kind_is_refused_at_once(tmp_path, name, body, reason):
    """A file that is not what its ending says is an InputError before the first row, and says what it is."""
    if body is not None:
        (tmp_path / name).write_bytes(body)
    with pytest.raises(InputError, match=reason) as caught:
        check_file(tmp_path / name)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["bomb.csv.gz", "bomb.jsonl.gz", "bomb.json.gz"])
def test_a_gzip_bomb_is_read_in_bounded_memory(tmp_path, name):
    """A small file that unpacks to 400 MB in one line is refused without ever being in memory as a whole."""
    path = tmp_path / name
    begin = {"csv": b"time,query\n1,", "jsonl": b'{"a": "', "json": b'[{"a": "'}[name.split(".")[1]]
    with gzip.open(path, "wb", 1) as out:
        out.write(begin)
        for _ in range(400):
            out.write(b"x" * 2**20)
    assert path.stat().st_size < 2 * 2**20
    tracemalloc.start()
    try:
        found = list(read_traffic(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [type(f) for f in found] == [BadRow]
    assert "longer than" in found[0].reason
    assert peak < 330 * 2**20


def test_a_long_array_is_read_in_bounded_memory(tmp_path):
    """An array of 40 MB is read row by row: what is held at a time is a small part of it."""
    path = tmp_path / "rows.json"
    path.write_bytes(b"[" + b",".join([orjson.dumps({**ROW, "answer": "a" * 4000})] * 10_000) + b"]")
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_traffic(path)) == 10_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10 * 2**20


def test_lines_of_every_kind_may_stand_in_one_file():
    """In JSON lines each line goes through its own door, and a broken one costs itself."""
    lines = [ROW, {"interaction_id": "a", "time": WHEN, "kind": "copy"}, SPAN, {"data": [ROW, ROW]}]
    found = list(traffic_in([*map(orjson.dumps, lines), b"{", b" "]))
    assert [type(f) for f in found] == [Interaction, Feedback, SpanRow, Interaction, Interaction, BadRow]
    assert found[-1].line == 5
