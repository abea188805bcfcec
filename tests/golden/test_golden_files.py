import csv
import io
import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.errors import InputError
from andon.golden import Case, label_sheet
from andon.golden.cases import case_id
from andon.golden.files import COMMON, merge_cases, parse_cases, parse_labels, read_set, render_cases

SEVEN = (
    '{"question": "How tall is K2?", "answer": "8848 m", "contexts": ["K2 is 8611 m"], "ground_truth": "8611 m", '
    '"source": "prod", "failure_reason": "wrong", "added_date": "2026-01-31"}\n'
    '{"question":"Wie hei\\u00dft das?","answer":null,"contexts":[],"ground_truth":"K2 – 乔戈里峰","source":"","failure_reason":"",'
    '"added_date":"2026-02-01"}\n'
)
said = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
extras = st.dictionaries(
    st.sampled_from(["tags", "x", "ID", "notes"]),
    st.none() | st.booleans() | said | st.lists(st.floats(allow_nan=False, allow_infinity=False)),
)


@st.composite
def lines(draw):
    """One line of some team's golden set: any key order, spacing, escapes and unknown keys."""
    row = {
        "question": draw(said),
        "answer": draw(st.none() | st.text()),
        "contexts": draw(st.lists(st.text(), max_size=2)),
    }
    row |= {"ground_truth": draw(said), "source": draw(st.text()), "failure_reason": draw(st.text())}
    row |= {"added_date": "2026-01-01"} | draw(extras)
    items = list(row.items())
    if draw(st.booleans()):
        items = draw(st.permutations(items))
    return json.dumps(
        dict(items), ensure_ascii=draw(st.booleans()), separators=draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    )


def encodable(text: str) -> bool:
    """Whether a text can be UTF-8."""
    return not any("\ud800" <= c <= "\udfff" for c in text)


def test_a_file_of_seven_fields_is_written_back_to_the_byte(tmp_path):
    """Reading and writing the field's common format changes nothing: no key more, no escape less."""
    path = tmp_path / "golden.jsonl"
    path.write_bytes(SEVEN.encode())
    cases = read_set(path)
    assert render_cases(cases).encode() == path.read_bytes()
    assert cases[0].ground_truth == "8611 m"
    assert cases[0].contexts == ("K2 is 8611 m",)
    assert cases[1].answer is None


def asked(text: str) -> tuple[str, str]:
    """The question and the right answer of a line; two lines of one case with other contexts are refused."""
    row = json.loads(text)
    return row["question"], row["ground_truth"]


@given(st.lists(lines().filter(encodable), max_size=5, unique_by=asked))
def test_any_golden_set_round_trips_to_the_byte(texts):
    """Key order, spacing, escapes and unknown keys of every line survive reading and writing."""
    text = "".join(f"{t}\n" for t in texts)
    assert render_cases(parse_cases(text)) == text
    assert merge_cases(text, parse_cases(text)) == text


@given(
    st.builds(
        Case,
        question=said,
        answer=st.none() | st.text(),
        contexts=st.lists(st.text()).map(tuple),
        ground_truth=said,
        source=st.text(),
        failure_reason=st.text(),
        added_date=st.text(),
        id=st.just(""),
        app=st.sampled_from(["default", "shop"]),
        metric=st.just("groundedness"),
        direction=st.sampled_from(["up", "down"]),
        cut=st.none() | st.floats(-9, 9),
        risk_category=st.none() | said,
        nearest=st.none() | st.floats(-1, 1),
        cluster=st.none() | said,
    )
)
def test_our_own_cases_round_trip(case):
    """What Andon writes, it reads as the same case; the seven common fields come first and in their order."""
    case = replace(case, id=case_id(case.app, case.question, case.ground_truth))
    text = render_cases([case])
    assert text.count("\n") == 1
    assert parse_cases(text) == (case,)
    assert tuple(json.loads(text))[: len(COMMON)] == COMMON


@pytest.mark.parametrize(
    "text", ["\ufeff" + SEVEN, SEVEN.replace("\n", "\r\n"), "\n\n" + SEVEN + "\n", SEVEN.rstrip("\n"), SEVEN + SEVEN]
)
def test_merging_keeps_the_bytes_of_a_file_and_appends(text, case):
    """Marks, line ends, empty and repeated lines of a file stay; a new case is appended once, on a line of its own."""
    assert merge_cases(text, parse_cases(text)) == text
    new = case("new?", "yes")
    merged = merge_cases(text, [*parse_cases(text), new])
    assert merged.startswith(text)
    assert parse_cases(merged)[-1] == new
    assert merge_cases(merged, [new]) == merged


def test_a_changed_case_keeps_unknown_keys():
    """A case that was changed is written anew, the unknown keys of its line last."""
    (case,) = parse_cases('{"tags": ["a", 1.50], "question": "q", "ground_truth": "t"}')
    row = json.loads(render_cases([replace(case, risk_category="high")]))
    assert row["tags"] == ["a", 1.5]
    assert row["risk_category"] == "high"
    assert tuple(row)[:7] == COMMON
    assert list(row)[-1] == "tags"


def test_a_file_of_another_app_stays_as_it_is():
    """An app that was given from outside is not written into the team's file, and its lines are recognised."""
    cases = parse_cases(SEVEN, app="shop")
    assert {c.app for c in cases} == {"shop"}
    assert merge_cases(SEVEN, cases) == SEVEN
    assert [c.id for c in parse_cases(render_cases(cases))] == [c.id for c in cases]


@pytest.mark.parametrize("own", ["case-17", 17, None, {"n": 1}, "G-0123456789abcdef", "\x1b[31m"])
def test_an_edited_case_is_a_new_case(own):
    """The content names a case, whatever id its line gives; a team's own id is kept in the file, ours follows the content."""
    text = json.dumps({"question": "q", "ground_truth": "t2", "id": own}) + "\n"
    (case,) = parse_cases(text)
    assert case.id == case_id("default", "q", "t2")
    assert render_cases([case]) == text
    changed = json.loads(render_cases([replace(case, risk_category="high")]))
    assert changed["id"] == (case.id if own == "G-0123456789abcdef" else own)


def test_one_case_has_one_measure():
    """Two lines with the same question and right answer are one case, and may not be measured in two ways, nor asked with two sets of passages."""
    line = '{"question": "q", "ground_truth": "t", "metric": "%s"}\n'
    assert len(parse_cases(line % "refusal" * 2)) == 2
    with pytest.raises(InputError, match="line 2: it is the case of line 1"):
        parse_cases(line % "refusal" + line % "exact_match")
    asked = '{"question": "q", "ground_truth": "t", "contexts": ["%s"]}\n'
    with pytest.raises(InputError, match="line 2: it is the case of line 1, and differs in contexts; keep one of them"):
        parse_cases(asked % "a" + asked % "b")


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        ("{", "not JSON"),
        ("[]", "not an object"),
        ('"text"', "not an object"),
        ('{"question": "q"}', "ground_truth"),
        ('{"question": " ", "ground_truth": "t"}', "question"),
        ('{"question": ["q"], "ground_truth": "t"}', "question"),
        ('{"question": "q", "ground_truth": true}', "ground_truth"),
        ('{"question": "q", "ground_truth": NaN}', "not JSON"),
        ('{"question": "q", "ground_truth": 1e999}', "ground_truth"),
        ('{"question": "q", "ground_truth": "t", "contexts": [1]}', "contexts"),
        ('{"question": "q", "ground_truth": "t", "contexts": 5}', "contexts"),
        ('{"question": "q", "ground_truth": "t", "cut": "high"}', "cut"),
        ('{"question": "q", "ground_truth": "t", "cut": ' + "9" * 400 + "}", "cut"),
        ('{"question": "q", "ground_truth": "t", "direction": "sideways"}', "up or down"),
        ("[" * 100_000, "not JSON"),
        ('\x1b[2J{"question"', "not JSON"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_left_out(bad, word):
    """A line that is no case refuses the file, with number and reason, and nothing that a terminal obeys."""
    with pytest.raises(InputError, match=r"line 3: ") as caught:
        parse_cases(SEVEN + bad + "\n")
    assert word in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_many_bad_lines_are_counted():
    """Five bad lines are named, the rest counted."""
    with pytest.raises(InputError, match=r"line 5: .*and 95 more"):
        parse_cases("x\n" * 100)


def test_a_file_that_is_not_utf8_or_not_there_is_named(tmp_path):
    """The path and the line stand in the message."""
    path = tmp_path / "golden.jsonl"
    with pytest.raises(InputError, match="cannot read"):
        read_set(path)
    path.write_bytes(SEVEN.encode() + b'{"question": "\xff"}')
    with pytest.raises(InputError, match="not UTF-8 at line 3"):
        read_set(path)


def test_huge_and_odd_texts_survive(case):
    """A megabyte, half a surrogate pair, U+2028 and a formula are content like any other."""
    for text in ("x" * 1_000_000, "\ud800", "a\u2028b\u0085c", "=1+1", "</script>", '"\n\r\\'):
        made = case(question=text, answer=text)
        (read,) = parse_cases(render_cases([made]).encode().decode())
        assert read == made


def test_labels_are_read_from_jsonl_and_csv():
    """Both forms give the same rows; a row names its failure by id or by question."""
    jsonl = '{"id": "F-1", "ground_truth": "yes", "author": "ann"}\n{"question": "q, really", "ground_truth": ""}\n'
    sheet = '\ufeffid,question,ground_truth,author\r\nF-1,,yes,ann\r\n,"q, really",,\r\n'
    a, b = parse_labels(jsonl), parse_labels(sheet)
    assert [(r.id, r.question, r.ground_truth, r.author) for r in a] == [
        ("F-1", None, "yes", "ann"),
        (None, "q, really", "", None),
    ]
    assert [(r.id, r.question, r.ground_truth, r.author) for r in b] == [
        (r.id, r.question, r.ground_truth, r.author) for r in a
    ]
    assert parse_labels(sheet.replace('"q, really"', "q").replace(",", ";"))[1].question == "q"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('{"ground_truth": "t"}', "line 1: neither"),
        ('{"id": "F-1"}', "ground_truth is missing"),
        ("id,answer\nF-1,x\n", "header"),
        ("", "header"),
        ("id,ground_truth\nF-1,a,b\n", "line 2: it has more cells"),
        ('id,ground_truth\nF-1,"open\n', "is not CSV"),
        ("id,ground_truth\n,t\n", "line 2: neither"),
        ("id,ground_truth\nF-1\n", "line 2: ground_truth is missing"),
    ],
)
def test_a_bad_label_is_named(text, word):
    """A label file with a bad row is refused with line and reason."""
    with pytest.raises(InputError, match=word):
        parse_labels(text)


@given(
    st.text() | st.text("a =;'\t\r\n-"),
    st.sampled_from(["", "=", "+", "-", "@", "\t", "\r", "'=", "a;=", "a\t'=", "a\r\n="]),
)
def test_a_sheet_holds_no_formula_and_is_read_back(text, start):
    """No cell of a sheet begins as a formula, whatever the spreadsheet takes for the separator; ids, and a suggestion copied as the label, come back as they were."""
    from andon.golden import Failure

    hostile = start + text
    f = Failure(
        id="F-1", captured_us=0, app="a", question=hostile, answer=hostile, suggestion=hostile or None, reason=hostile
    )
    sheet = label_sheet([f])
    header, row = csv.reader(io.StringIO(sheet, newline=""))
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for cell in row)
    assert not any(re.search(r"[;\t\r\n][=+\-@＝＋－＠]", cell) for cell in row)
    filled = io.StringIO()
    cells = dict(zip(header, row, strict=True))
    csv.writer(filled).writerows([header, (cells | {"ground_truth": cells["suggestion"], "author": "ann"}).values()])
    (label,) = parse_labels(filled.getvalue())
    assert (label.id, label.author) == ("F-1", "ann")
    assert label.ground_truth == hostile


def test_a_huge_cell_is_read():
    """A cell beyond the csv module's usual limit is read, and the limit is as before."""
    before = csv.field_size_limit()
    (row,) = parse_labels("id,ground_truth\nF-1," + "x" * 300_000 + "\n")
    assert len(row.ground_truth) == 300_000
    assert csv.field_size_limit() == before
