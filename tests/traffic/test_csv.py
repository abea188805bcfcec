"""Tables of text: what fits is kept, what does not is named by its line, and a table of predictions has features."""

import csv
import gzip
import io
import json
import time
from collections import Counter

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from andon.errors import InputError
from andon.traffic import BadRow, Context, Feedback, Interaction, interaction_of, parse_time
from andon.traffic.files import cells as cells_module
from andon.traffic.files.cells import feature_columns, parse_cell
from andon.traffic.files.delimited import MAX_COLUMNS, open_table
from andon.traffic.files.reading import check_file, read_traffic
from andon.traffic.intake import MAX_LINE

WHEN = "2026-01-31T12:00:00Z"
US = parse_time(WHEN)
LOG = ["timestamp", "query", "model_answer", "retrieved_contexts", "failure_reason", "correct_answer"]


@pytest.fixture
def read(tmp_path):
    """Reads text or bytes as a file of this name."""

    def of(body, name="rows.csv", table=None):
        (tmp_path / name).write_bytes(body.encode() if isinstance(body, str) else body)
        return list(read_traffic(tmp_path / name, table))

    return of


def rows_of(text, delimiter=None):
    """The rows of a table in memory."""
    return [row for _, _, row in open_table(io.BytesIO(text.encode()), delimiter=delimiter).rows]


def test_a_table_gives_what_the_same_json_gives(read):
    """A row of CSV is the interaction that the same row in JSON is: numbers, flags, lists, objects and free attributes."""
    row = {"id": "a", "time": WHEN, "question": "why?", "response": "because, \"yes\"\nand no", "latency_ms": "1500",
           "refused": "false", "prompt_tokens": "12", "team": "blue", "tool_calls": '[{"name": "t", "arguments": {"q": 1}}]',
           "contexts": '["one", {"text": "two", "id": "7"}]', "metadata": '{"tier": "gold"}'}  # fmt: skip
    out = io.StringIO()
    writer = csv.DictWriter(out, list(row))
    writer.writeheader()
    writer.writerow(row)
    whole = {**row, "contexts": json.loads(row["contexts"]), "tool_calls": json.loads(row["tool_calls"])}
    assert read(out.getvalue()) == [interaction_of(whole)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_delimiter_line_ends_and_mark_are_found(read, delimiter, ending, mark):
    """Comma, semicolon, tab and bar, either line end, with or without byte order mark: the same rows."""
    lines = ["id,time,query,answer", f'a,{WHEN},"x; | y",z', f"b,{WHEN},q,"]
    body = mark + ending.join(line.replace(",", delimiter) for line in lines)
    assert [(r.id, r.query, r.answer) for r in read(body)] == [("a", "x; | y", "z"), ("b", "q", None)]


def test_endings_and_compression_read_the_same(read):
    """.csv, .tsv, both compressed, and in upper case, give the same rows; so does Excel's line ``sep=``."""
    tabs = f"time\tquery\n{WHEN}\ta,b\n".encode()
    first = read(tabs, "rows.tsv")
    assert (first[0].query, len(first)) == ("a,b", 1)
    for name, body in (("rows.TSV", tabs), ("rows.csv", tabs), ("rows.tsv.gz", gzip.compress(tabs))):
        assert read(body, name) == first
    assert read(b"sep=\t\n" + tabs) == first


def test_an_empty_cell_was_not_sent(read):
    """An empty cell is null in every field, as a table cannot say the difference; a row without any cell is no row."""
    (found,) = read(f"time,query,answer,latency,team\n{WHEN},,,,\n,,,,\n\n")
    assert (found.query, found.answer, found.latency_s, found.attributes) == (None, None, None, {})


def test_names_of_columns_are_found_in_any_spelling(read):
    """Upper case, spaces and dashes do not matter where they lead to a field; other names stay as they are."""
    (found,) = read(f"Timestamp, User Input ,Model-Name,Shoe Size,Team,team\n{WHEN},q,m,43,a,b\n")
    assert (found.query, found.model) == ("q", "m")
    assert found.attributes == {"Shoe Size": "43", "Team": "a", "team": "b"}
    (both,) = read(f"time,Query,query\n{WHEN},a,b\n")
    assert (both.query, both.attributes) == ("b", {"Query": "a"})


def test_columns_of_one_name_are_both_kept(read):
    """A repeated name and an empty one get names of their own, so that no cell is lost."""
    (found,) = read(f"time,query,query,,\n{WHEN},a,b,c,d\n")
    assert found.query == "a"
    assert found.attributes == {"query (column 3)": "b", "column 4": "c", "column 5": "d"}


def test_a_bad_row_has_its_line_and_the_others_are_kept(read):
    """Lines are counted with quoted line breaks and empty lines; a bad row is named by its first line, the rest is kept."""
    long = "x" * (MAX_LINE + 10)
    body = [
        b"time,query,latency",
        f'{WHEN},"two\nlines",1'.encode(),
        b"",
        f"{WHEN},q,fast".encode(),
        f"{WHEN},too few".encode(),
        f"{WHEN},too,1,many".encode(),
        f"{WHEN},a\x00b,1".encode(),
        f"{WHEN},caf\xe9,1".encode("latin-1"),
        f"{WHEN},{long},1".encode(),
        f'{WHEN},"quoted"not,1'.encode(),
        b"soon,q,1",
        f"{WHEN},last,1,,".encode(),
    ]
    found = read(b"\n".join(body))
    bad = [f for f in found if isinstance(f, BadRow)]
    assert [f.query for f in found if isinstance(f, Interaction)] == ["two\nlines", "last"]
    assert [b.line for b in bad] == [5, 6, 7, 8, 9, 10, 11, 12]
    said = ["latency", "2 cells", "4 cells", "NUL", "0xe9", "longer than", "double each quote", "soon"]
    assert all(word in b.reason for word, b in zip(said, bad, strict=True)), [b.reason for b in bad]
    assert bad[0].text == f"{WHEN},q,fast\\x0a"
    assert all(b.text.isprintable() and b.reason.isprintable() for b in bad)


def test_a_byte_that_is_no_utf8_is_found_in_the_file(read, tmp_path):
    """The reason names the position in the file, compressed or not, and what to do."""
    body = f"time,query\n{WHEN},ok\n{WHEN},caf".encode() + b"\xe9\n"
    at = body.index(b"\xe9") + 1
    for name, raw in (("a.csv", body), ("b.csv.gz", gzip.compress(body))):
        (bad,) = [f for f in read(raw, name) if isinstance(f, BadRow)]
        assert f"byte {at} of the file" in bad.reason
        assert "iconv" in bad.reason
        assert bad.line == 3


@pytest.mark.parametrize("end", ["", "\n", f"\n{WHEN},more"])
def test_a_quote_that_is_never_closed_costs_its_own_row(read, end):
    """An open quote does not swallow the rows after it: its row is bad, theirs are kept."""
    found = read(f'time,query\n{WHEN},a\n{WHEN},"open\n{WHEN},b\n{WHEN},c{end}')
    assert [f.line for f in found if isinstance(f, BadRow)] == [3]
    assert [f.query for f in found if isinstance(f, Interaction)][:3] == ["a", "b", "c"]


def test_a_hostile_table_costs_no_square(tmp_path):
    """Rows that each leave a quote open are read in a time that grows with the file, and the reading ends."""
    path = tmp_path / "rows.csv"
    path.write_text("time,query\n" + 'x","y\n' * 400_000 + '"' + "z" * 2**20 + "\n" + 'x","y\n' * 400_000)
    began = time.perf_counter()
    found = Counter(type(f) for f in read_traffic(path))
    assert set(found) == {BadRow}
    assert time.perf_counter() - began < 60


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"query,answer\nq,a\n", "no column is a time.*query, answer"),
        (b"2026-01-31T12:00:00Z,q\n2026-01-31T12:00:01Z,r\n", "the first row must name the columns"),
        (",".join(["time", *(f"c{i}" for i in range(10_000))]).encode(), "10,001 columns; up to 5,000"),
        (b'time,"open\n', "first row"),
        (b"caf\xe9,time\n", "UTF-8"),
        (b"time,a\rx\n", "first row"),
        (b"x" * (MAX_LINE + 2), "longer than"),
        (b"PK\x03\x04rest", "Excel workbook.*CSV UTF-8"),
        (b"\xd0\xcf\x11\xe0rest", "old Excel"),
        ("time,q\n".encode("utf-16"), "UTF-16.*iconv"),
        (b"PAR1rest", "Parquet file"),
        (b"SQLite format 3\x00", "SQLite"),
        (gzip.compress(b"time,q"), "add .gz"),
    ],
)
def test_what_is_no_table_is_refused_at_once(tmp_path, body, reason):
    """A file without names, of another kind or in another encoding is an InputError before the first row, and says why."""
    path = tmp_path / "rows.csv"
    path.write_bytes(body)
    with pytest.raises(InputError, match=reason) as caught:
        check_file(path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def test_an_empty_table_has_no_rows(read):
    """A file of nothing, and one of names only, give no row and no error."""
    assert read("") == read("time,query\n") == read("\n\n") == []


@given(
    st.lists(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20), min_size=3, max_size=3),
             min_size=1, max_size=5),
    st.sampled_from(",;\t|"),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)  # fmt: skip
@settings(max_examples=200)
def test_any_text_survives_a_table(rows, delimiter, quoting):
    """Whatever text a writer of CSV puts into cells, with any delimiter, comes back as it was."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, quoting=quoting)
    writer.writerows([["time", "a", "b", "c"], *([WHEN, *row] for row in rows)])
    expected = [{k: v for k, v in zip("abc", row, strict=True) if v} | {"time": WHEN} for row in rows]
    assert rows_of(out.getvalue(), delimiter) == expected


@pytest.mark.parametrize(
    "header",
    ["timestamp,prediction,prediction_proba,actual", "time,y_pred,y_pred_proba,y_true", "ts,predicted,score,target",
     "event_timestamp,predicted_label,probability,true_label", "datetime,prediction_label,y_score,label",
     "created_at,Predicted Class,Proba,Actual Value"],
)  # fmt: skip
def test_common_headers_of_predictions_are_read(read, header):
    """The headers under which predictions are commonly written lead to prediction, score and label; the rest is features."""
    (found,) = read(f"{header},age,city,zero\n{WHEN},1,0.75,0,41,Rome,-0.0e1\n")
    assert (found.prediction, found.prediction_score, found.label) == ("1", 0.75, "0")
    assert found.features == {"age": 41.0, "city": "Rome", "zero": 0.0}
    assert found.attributes == {}


def test_features_are_numbers_where_the_whole_cell_is_one(read):
    """A cell is a number where all of it is; NaN and the empty cell were not sent; row numbers of pandas are no input."""
    body = f",Unnamed: 0,time,prediction,a,b,c,d,e,f\n0,0,{WHEN},1,1e3,1e3x,nan,NaN,,1e999\n"
    (found,) = read(body)
    assert found.features == {"a": 1000.0, "b": "1e3x", "f": "1e999"}
    assert found.attributes == {"column 1": "0", "Unnamed: 0": "0"}


def test_only_a_table_with_a_prediction_has_features(read):
    """Without a prediction unknown columns are attributes; ``features.x`` is a feature always; JSON has its object."""
    assert read(f"time,age\n{WHEN},41\n")[0].attributes == {"age": "41"}
    (dotted,) = read(f"time,features.weight,feature.age,team\n{WHEN},80,41,blue\n")
    assert (dotted.features, dotted.attributes, dotted.weight) == ({"weight": 80.0, "age": 41.0}, {"team": "blue"}, 1.0)
    (whole,) = read(f'time,prediction,features,age\n{WHEN},1,"{{""x"": 2}}",41\n')
    assert (whole.features, whole.attributes) == ({"x": 2.0}, {"age": "41"})
    (json_row,) = read(orjson.dumps({"time": WHEN, "prediction": 1, "age": 41}), "rows.jsonl")
    assert (json_row.features, json_row.attributes) == ({}, {"age": "41"})


def test_a_parquet_table_of_predictions_has_features_too(tmp_path):
    """Columns of a Parquet table beside a prediction are features: numbers, texts, flags, dates, decimals; NaN and null not."""
    table = pa.table(
        {"time": [US], "y_pred": ["no"], "age": pa.array([41], pa.int32()), "city": ["Rome"], "member": [True],
         "born": pa.array([0], pa.date32()), "price": pa.array([1], pa.decimal128(5, 2)), "nan": [float("nan")],
         "none": pa.array([None], pa.float64()), "__index_level_0__": [7]}
    )  # fmt: skip
    pq.write_table(table, tmp_path / "rows.parquet")
    (found,) = read_traffic(tmp_path / "rows.parquet")
    assert found.features == {"age": 41.0, "city": "Rome", "member": 1.0, "born": "1970-01-01", "price": 1.0}
    assert found.attributes == {"__index_level_0__": "7"}


def test_a_nested_feature_is_a_bad_row(tmp_path):
    """A list beside a prediction is named; it is no number and no text."""
    pq.write_table(pa.table({"time": [US], "y_pred": ["no"], "vector": [[1.0]]}), tmp_path / "rows.parquet")
    (bad,) = read_traffic(tmp_path / "rows.parquet")
    assert "vector" in bad.reason


@given(st.lists(st.sampled_from(["time", "prediction", "y_pred", "age", "features", "features.x", "index", "team"])))
def test_a_column_is_a_feature_or_a_field_never_both(names):
    """No column that leads to a field is a feature, and without a prediction only the dotted ones are."""
    found = feature_columns(names)
    assert not {"time", "prediction", "y_pred", "features", "index"} & set(found)
    if not {"prediction", "y_pred"} & set(names):
        assert set(found) <= {"features.x"}


@pytest.mark.parametrize(
    ("cell", "texts"),
    [
        ('["a", "b"]', ["a", "b"]),
        ("['it''s', \"b\"]", ["its", "b"]),
        ("['a\\nb', 'c']", ["a\nb", "c"]),
        ("('a', 'b')", ["a", "b"]),
        (" [{'text': 'a', 'id': '1'}] ", ["a"]),
        ('{"text": "a"}', ["a"]),
        ("[1] says a source [2]", ["[1] says a source [2]"]),
        ("plain text", ["plain text"]),
        ("[not, a, list]", ["[not, a, list]"]),
        ("['a'] + ['b']", ["['a'] + ['b']"]),
        ("[__import__('os').getcwd()]", ["[__import__('os').getcwd()]"]),
        ("['\\d']", ["['\\d']"]),
        ("['\\ud800']", ["['\\ud800']"]),
        ("[{'text': 'a', 'score': 99999999999999999999}]", ["[{'text': 'a', 'score': 99999999999999999999}]"]),
        ("[" * 5000 + "]" * 5000, ["[" * 5000 + "]" * 5000]),
        ("[" + "-" * 20000 + "1]", ["[" + "-" * 20000 + "1]"]),
    ],
)
def test_contexts_are_read_as_json_as_python_prints_them_or_as_text(read, cell, texts):
    """A cell of contexts may be a list in JSON or in Python, or text; nothing in it is ever run."""
    out = io.StringIO()
    csv.writer(out).writerows([["time", "retrieved_contexts"], [WHEN, cell]])
    assert [c.text for c in read(out.getvalue())[0].contexts] == texts


@given(st.text(max_size=40) | st.text("[](){}'\"\\,0x ", max_size=40))
@settings(max_examples=300)
def test_any_cell_is_parsed_or_left(text):
    """Parsing a cell never raises, and gives a list, an object, or the text as it was."""
    found = parse_cell(text)
    assert found == text or isinstance(found, list | dict)
    assert found == text or orjson.dumps(found)


def test_a_long_literal_is_left_alone(monkeypatch):
    """A cell above the bound is not given to Python's parser."""
    monkeypatch.setattr(cells_module.ast, "literal_eval", lambda text: pytest.fail("parsed"))
    text = "['" + "a" * 2**20 + "']"
    assert parse_cell(text) == text


LOG_ROWS = [
    {"timestamp": WHEN, "query": "q1", "model_answer": "wrong", "retrieved_contexts": ["c1", "c2"],
     "failure_reason": "hallucination", "correct_answer": "right"},
    {"timestamp": WHEN, "query": "q2", "model_answer": "rude", "retrieved_contexts": ["c3"], "failure_reason": "tone",
     "correct_answer": None},
    {"timestamp": WHEN, "query": "q3", "model_answer": "fine", "retrieved_contexts": ["c4"], "failure_reason": None,
     "correct_answer": None},
]  # fmt: skip


def log_as_csv(contexts):
    """The failure log as CSV, with contexts written by this function."""
    out = io.StringIO()
    writer = csv.DictWriter(out, LOG)
    writer.writeheader()
    writer.writerows({**row, "retrieved_contexts": contexts(row["retrieved_contexts"])} for row in LOG_ROWS)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("log.csv", log_as_csv(json.dumps)),
        ("log.csv", log_as_csv(str)),
        ("log.jsonl", "\n".join(map(json.dumps, LOG_ROWS))),
        ("log.json", json.dumps(LOG_ROWS, indent=2)),
        (
            "log.jsonl",
            "\n".join(json.dumps({**r, "retrieved_contexts": str(r["retrieved_contexts"])}) for r in LOG_ROWS),
        ),
    ],
)
def test_a_failure_log_gives_interactions_and_what_was_said_of_them(read, name, body):
    """Each row is an interaction, and a correction where the right answer is known, else a thumb down with the reason."""
    found = read(body, name)
    asked = [f for f in found if isinstance(f, Interaction)]
    said = [f for f in found if isinstance(f, Feedback)]
    assert len(found) == 5
    assert [(i.query, i.answer, i.expected_answer, i.time_us) for i in asked] == [
        ("q1", "wrong", "right", US), ("q2", "rude", None, US), ("q3", "fine", None, US)]  # fmt: skip
    assert [i.contexts for i in asked] == [
        (Context(text="c1"), Context(text="c2")),
        (Context(text="c3"),),
        (Context(text="c4"),),
    ]
    assert [i.attributes for i in asked] == [{"failure_reason": "hallucination"}, {"failure_reason": "tone"}, {}]
    assert [(f.interaction_id, f.kind, f.value, f.text) for f in said] == [
        (asked[0].id, "correction", None, "right"), (asked[1].id, "thumb", 0.0, "tone")]  # fmt: skip
    assert {f.time_us for f in said} == {US}
    again = read(body, name)
    assert [f.id for f in again] == [f.id for f in found]


def test_feedback_is_known_by_its_columns(read):
    """A table that points at interactions, says something and holds no content is feedback; with content it is traffic."""
    (said,) = read(f"interaction_id,time,Thumb,comment\na,{WHEN},down,wrong\n")
    assert (said.kind, said.value, said.text) == ("thumb", 0.0, "wrong")
    (asked,) = read(f"interaction_id,time,rating,query\na,{WHEN},5,q\n")
    assert isinstance(asked, Interaction)
    (told,) = read(f"interaction_id,time,type\na,{WHEN},copy\n", "x.feedback.csv")
    assert (told.kind, isinstance(told, Feedback)) == ("copy", True)


def test_tables_are_read_at_thousands_of_rows_a_second(tmp_path, record_property):
    """A table of predictions with 20 inputs is read at thousands of rows a second at least, on one slow core."""
    path = tmp_path / "rows.csv"
    names = ["timestamp", "prediction", "prediction_proba", "actual", *(f"f{i}" for i in range(20))]
    line = ",".join([WHEN, "1", "0.7", "1", *(f"{i}.25" for i in range(20))])
    path.write_text("\n".join([",".join(names), *[line] * 20_000]))
    began = time.perf_counter()
    assert sum(isinstance(f, Interaction) for f in read_traffic(path)) == 20_000
    took = time.perf_counter() - began
    record_property("rows_per_s", 20_000 / took)
    assert took < 15


def test_the_widest_table_is_read(read):
    """As many columns as are allowed are read."""
    names = ",".join(["time", *(f"c{i}" for i in range(MAX_COLUMNS - 1))])
    (found,) = read(f"{names}\n{WHEN}{',1' * (MAX_COLUMNS - 1)}\n")
    assert len(found.attributes) == MAX_COLUMNS - 1
