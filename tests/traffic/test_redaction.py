"""The laws of redaction: nothing planted survives, nothing else changes, and what was one value stays one value."""

import json
import re
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from redaction_values import EVERY, FOUND, LEFT, redacted, rule_of

from andon.errors import ConfigError
from andon.traffic import SCHEMAS, Feedback, Interaction, feedback_to_rows, to_rows
from andon.traffic.redaction import DEFAULT_RULES, RULES, Redaction, mark_of, own_rules, redact, redaction

module = sys.modules["andon.traffic.redaction.cover"]  # the package may give its name to the function
DEFAULT = rule_of(DEFAULT_RULES)
MARK = re.compile(r"\[([a-z][a-z0-9_]*):[0-9a-f]{12}\]")
VALUES = [(rule, value) for rule, values in FOUND.items() for value in values]
TABLES = ("interactions", "feedback", "spans", "logs")
Encode = Callable[[str], str]


def _dotnet(text: str) -> str:
    """JSON as encoders write it that escape what HTML might misread."""
    said = json.dumps(text)
    return re.sub("[+<>&'/=@]", lambda m: f"\\u{ord(m[0]):04X}", said)


def _every_letter(text: str) -> str:
    units = text.encode("utf-16-be")
    return '"' + "".join(f"\\u{units[k : k + 2].hex()}" for k in range(0, len(units), 2)) + '"'


ENCODERS: dict[str, Encode] = {
    "orjson": lambda t: orjson.dumps({"a": t, "n": 1}).decode(),
    "json": lambda t: json.dumps([{"role": "user", "content": t}], indent=1),
    "php": lambda t: json.dumps({"text": t}).replace("/", "\\/"),
    "dotnet": lambda t: f'{{"x": [1, {_dotnet(t)}]}}',
    "every letter": lambda t: f'{{"x":{_every_letter(t)}}}',
    "named": lambda t: json.dumps({"db.Password_1": t, "phone number 2": [t], "access token": {"a": [1, t]}}),
    "cut off": lambda t: json.dumps({"a": t, "b": "the rest is miss"})[:-7],
    "in prose": lambda t: f"The answer was {json.dumps(t)}, I think.",
}
encodings = st.lists(st.sampled_from(sorted(ENCODERS)), max_size=3)
letters = st.text(
    st.characters(codec="utf-8", categories=("L", "P", "S", "Zs", "Cc"), exclude_characters="\\%+@=:/[("), max_size=20
)
edges = st.sampled_from((" ", "\n", "\t", ", ", "; ", "<", " \u2014 ", "\u3002", "\r\n", "\u00a0|"))


def _encoded(text: str, names: list[str]) -> str:
    for name in names:
        text = ENCODERS[name](text)
    return text


def _strings(value: Any) -> list[str]:
    """All texts in a cell, at any depth of lists and structs."""
    if isinstance(value, dict):
        return [s for v in value.values() for s in _strings(v)]
    if isinstance(value, list):
        return [s for v in value for s in _strings(v)]
    return [value] if isinstance(value, str) else []


def _decoded(text: str) -> str:
    """A text in which no escape of JSON hides anything."""
    for _ in range(6):
        text = re.sub(r"\\(?:u([0-9A-Fa-f]{4})|([\"'/\\]))", lambda m: chr(int(m[1], 16)) if m[1] else m[2], text)
    return text


def _places() -> list[tuple[str, str, str | None]]:
    """Every place of a text in the tables: table, column, and field of its structs."""
    places: list[tuple[str, str, str | None]] = []
    for table in TABLES:
        for column in SCHEMAS[table]:
            if pa.types.is_string(column.type):
                places.append((table, column.name, None))
            elif pa.types.is_list(column.type):
                fields = column.type.value_type
                places += [(table, column.name, f.name) for f in fields if pa.types.is_string(f.type)]
    return places


def _rows(place: tuple[str, str, str | None], text: str) -> pa.Table:
    table, column, field = place
    cell = text if field is None else [{field: "nothing"}, {field: text}]
    rows: list[dict[str, Any]] = [{"id": "a"}, {"id": "b", column: cell}, {"id": "c"}]
    return pa.Table.from_pylist(rows, schema=SCHEMAS[table])


def _is_left(place: tuple[str, str, str | None]) -> bool:
    return place[1] in module.LEFT or place[1] == "interaction_id" or place[2] in ("kind", "model")


COVERED = [place for place in _places() if not _is_left(place)]
UNTOUCHED = [place for place in _places() if _is_left(place)]


@settings(max_examples=400)
@given(st.sampled_from(VALUES), st.sampled_from(COVERED), encodings, letters, edges, edges, letters)
def test_a_planted_value_is_nowhere_afterwards(planted, place, names, before, left, right, after):
    """A value is in no cell afterwards, whatever the column, the nesting of JSON, the escapes and the text around it."""
    rule, value = planted
    rows = _rows(place, _encoded(f"{before}{left}{value}{right}{after}", names))
    new, counts = redact(rows, rule_of(rule))
    path = place[1] if place[2] is None else f"{place[1]}.{place[2]}"
    assert counts[path, rule] >= 1
    for text in _strings(new.to_pylist()):
        assert value not in text
        assert value not in _decoded(text)


FRAGMENTS = [
    *(value for _, value in VALUES),
    *(text for texts in LEFT.values() for text in texts),
    *(
        "phone",
        "Tel.",
        "number is",
        "тел",
        "电话",
        "password",
        '"api_key": ',
        "token=",
        "bearer ",
        "SSN ",
        "://a:",
        "=",
        ":",
    ),
    *(
        "jane",
        "@",
        "example.com",
        "%40",
        "%2B",
        "%",
        "+",
        "00",
        "0171",
        "4111",
        "1111",
        "86095742719",
        "DE89",
        "AB",
        "12",
    ),
    *(
        " ",
        "-",
        ".",
        "/",
        ",",
        "(",
        ")",
        "\n",
        "\t",
        "\\",
        "n",
        "u0041",
        '"',
        "'",
        "{",
        "}",
        "[",
        "]",
        "_",
        "é",
        "\u00a0",
    ),
    *("\u2011", "\u2009", "[email:0123456789ab]", "[phone:491511234567]"),
]
fragments = st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=8).map("".join)


@st.composite
def respaced(draw: Callable[[Any], Any]) -> str:
    """A value with other separators between its characters than people put there."""
    _, value = draw(st.sampled_from(VALUES))
    bare = re.sub(r"[ ./()\-]", "", value)
    between = st.sampled_from(("", "", "", " ", "-", ".", "/", ") ", " (", "\u00a0", "\u2011", "  ", "\u202f"))
    return "".join(c + draw(between) for c in bare)


def _without_alarms(text: str, rules: Redaction) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_alarm", lambda names: lambda said: isinstance(said, str))
        return redacted(text, rules)


@settings(max_examples=500)
@given(st.one_of(fragments, respaced(), letters), fragments, encodings)
def test_the_alarms_miss_nothing(text, more, names):
    """With the quick tests before them the exact forms find all that they find without: in any text, in any JSON."""
    for said in (text, more + text, f"{text} {more}"):
        raw = _encoded(said, names)
        assert redacted(raw) == _without_alarms(raw, EVERY)


FIELDS = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(("", "x_", "my ", "db.")),
        st.sampled_from(
            ("password", "apiKey", "client-secret", "id_token", "token", "set-cookie", "phone", "mobile no", "tel")
        ),
        st.sampled_from(("", "s", "_1", " 2", ".", " key", "_hash", "Number", "12345", "_type")),
    ),
)
HELD = st.sampled_from(
    ("a", "Bearer abc", "5551234567", "+49 (151) 123-4567", "0123456789abcdef0", "true", "x y", "***", "")
)


@settings(max_examples=300)
@given(
    FIELDS, HELD, st.sampled_from((lambda v: v, lambda v: [v], lambda v: ["home", [v]], lambda v: {"b": v})), encodings
)
def test_the_alarms_miss_no_field(name, value, wrap, names):
    """Nor do they miss a text that is a value because of the name of its JSON field, however that is written."""
    for said in (json.dumps({name: wrap(value)}), json.dumps([{name: wrap(value)}], indent=2, ensure_ascii=False)):
        raw = _encoded(said, names)
        assert redacted(raw) == _without_alarms(raw, EVERY)


@settings(max_examples=300)
@given(fragments, encodings)
def test_redacting_twice_is_redacting_once(text, names):
    """What was redacted is left as it is, and nothing is counted again."""
    once, _ = redact(pa.table({"query": [_encoded(text, names)]}), EVERY)
    twice, counts = redact(once, EVERY)
    assert twice["query"].to_pylist() == once["query"].to_pylist()
    assert counts == {}


@settings(max_examples=200)
@given(fragments, encodings)
def test_json_stays_valid_and_keeps_its_shape(text, names):
    """Valid JSON is valid JSON afterwards, with the same structure and the same numbers."""
    raw = ENCODERS["orjson"](_encoded(text, [n for n in names if n not in ("cut off", "in prose")]))

    def shape(value: Any) -> Any:
        if isinstance(value, dict):
            return [shape(v) for v in value.values()]
        return [shape(v) for v in value] if isinstance(value, list) else None if isinstance(value, str) else value

    assert shape(orjson.loads(redacted(raw))) == shape(orjson.loads(raw))


@settings(max_examples=200)
@given(
    st.lists(st.sampled_from([t for texts in LEFT.values() for t in texts]), max_size=6),
    letters,
    st.sampled_from(COVERED),
)
def test_a_text_without_a_value_is_not_changed(texts, more, place):
    """Where no rule finds anything the rows are the same object, and nothing is counted."""
    words = [w for w in texts if redacted(w) == w]
    rows = _rows(place, f" {more} ; ".join(words))
    new, counts = redact(rows, EVERY)
    if not counts:
        assert new is rows
    else:
        assert any(MARK.search(s) for s in _strings(new.to_pylist()))


@settings(max_examples=150)
@example(
    [
        (
            ("interactions", "session_id", None),
            _encoded("jane.doe@example.com[email:0123456789ab]", ["every letter", "dotnet"]),
        )
    ]
)
@given(st.lists(st.tuples(st.sampled_from(COVERED), st.builds(_encoded, fragments, encodings)), min_size=1, max_size=6))
def test_the_counts_add_up(cells):
    """The counts by column and rule are the numbers of marks that are now in the cells of that column."""
    for table in TABLES:
        mine = [(place, text) for place, text in cells if place[0] == table and not MARK.search(_decoded(text))]
        if not mine:
            continue
        rows = pa.concat_tables([_rows(place, text) for place, text in mine])
        new, counts = redact(rows, EVERY)
        seen: Counter[tuple[str, str]] = Counter()
        for row in new.to_pylist():
            for column, cell in row.items():
                fields = (
                    [(f"{column}.{n}", v) for item in cell for n, v in item.items()]
                    if isinstance(cell, list)
                    else [(column, cell)]
                )
                seen.update((path, m[1]) for path, v in fields if isinstance(v, str) for m in MARK.finditer(v))
        assert seen == counts


@pytest.mark.parametrize("place", UNTOUCHED, ids=str)
def test_identity_and_versions_are_left(place: tuple[str, str, str | None]) -> None:
    """What identifies a row, a version or a system is not touched, even where it looks like a value."""
    rows = _rows(place, "jane.doe@example.com")
    assert redact(rows, EVERY) == (rows, {})


def test_every_text_column_is_covered_or_left_on_purpose() -> None:
    """A new text column is covered without being named anywhere; what is left is this list."""
    assert {(t, c) for t, c, f in UNTOUCHED if f is None} == {
        *(
            ("interactions", c)
            for c in ("id", "app", "environment", "trace_id", "provider", "model", "requested_model")
        ),
        *(("interactions", c) for c in ("prompt_version", "policy_version", "index_version", "corpus_version", "arm")),
        *(
            ("interactions", c)
            for c in ("embedding_model", "route_version", "tools_version", "code_version", "revision")
        ),
        *(("interactions", c) for c in ("agent_version",)),
        *(("feedback", c) for c in ("id", "interaction_id", "kind", "scope", "version")),
        *(("spans", c) for c in ("id", "trace_id", "span_id", "parent_span_id", "kind", "status")),
        *(("logs", c) for c in ("id", "trace_id", "span_id")),
    }


def test_marks_group_equal_values_under_one_key_only() -> None:
    """A value has one mark in every table, column and nesting under one key, and another under another key."""
    person = "Jane.Doe@example.com"
    asked = Interaction(
        id="a", time_us=1, user_id=person, query=f"I am {person.lower()}", attributes={"x": json.dumps([person])}
    )
    said = Feedback(id="f", interaction_id="a", time_us=2, kind="thumb", value=1.0, author=person)
    tables = [redact(rows, DEFAULT)[0] for rows in (to_rows([asked]), feedback_to_rows([said]))]
    texts = [s for table in tables for s in _strings(table.to_pylist())]
    marks = [m[0] for s in texts for m in MARK.finditer(s)]
    assert len(marks) == 4
    assert set(marks) == {mark_of(person, DEFAULT)}
    other = redaction(DEFAULT_RULES, b"another key that is long enough too")
    assert mark_of(person, other) != mark_of(person, DEFAULT)
    assert mark_of("john.doe@example.com", DEFAULT) != mark_of(person, DEFAULT)


def test_a_mark_is_the_keyed_hash_of_the_value() -> None:
    """A mark is the first twelve hexadecimal digits of the HMAC-SHA256 of the normalised value (RFC 2104), no plain hash."""
    import hashlib
    import hmac

    digest = hmac.new(DEFAULT.key, b"jane.doe@example.com", hashlib.sha256).hexdigest()
    assert mark_of("Jane.Doe@Example.com", DEFAULT) == f"[email:{digest[:12]}]"
    digits = hmac.new(DEFAULT.key, b"4915112345678", hashlib.sha256).hexdigest()
    assert mark_of("+49 151 12345678", DEFAULT) == f"[phone:{digits[:12]}]"


def test_an_operator_finds_a_person_again() -> None:
    """The mark of a text is the text as it stands in the tables; with a rule all of it is taken for such a value."""
    rows = to_rows([Interaction(id="a", time_us=1, user_id="user jane@example.com", session_id="4711")])
    new, _ = redact(rows, DEFAULT)
    assert new["user_id"][0].as_py() == mark_of("user jane@example.com", DEFAULT)
    assert mark_of("4711", DEFAULT) == new["session_id"][0].as_py() == "4711"
    stored = redacted("phone 5551234567", DEFAULT)
    assert stored == f"phone {mark_of('5551234567', DEFAULT, 'phone')}"
    named = json.loads(redacted(json.dumps({"password": "hunter2"}), DEFAULT))
    assert named["password"] == mark_of("hunter2", DEFAULT, "key")
    assert mark_of("+49 151 12345678", DEFAULT, "phone") == mark_of("+49 151 12345678", DEFAULT)


def test_feedback_on_a_session_still_finds_it() -> None:
    """The name of a session becomes the same mark in its interactions and in feedback about it; ids of rows are left."""
    session = "jane.doe@example.com"
    asked, _ = redact(to_rows([Interaction(id="a", time_us=1, session_id=session)]), DEFAULT)
    said = [
        Feedback(id="f", interaction_id=session, time_us=2, kind="rating", value=1.0, scope="session"),
        Feedback(id="g", interaction_id=session, time_us=2, kind="rating", value=1.0),
    ]
    about, counts = redact(feedback_to_rows(said), DEFAULT)
    assert about["interaction_id"].to_pylist() == [asked["session_id"][0].as_py(), session]
    assert counts == {("interaction_id", "email"): 1}


def _odd_tables() -> dict[str, pa.Table]:
    mail, text = "jane@example.com", ["a", None, "jane@example.com", ""]
    lists = [[{"text": mail, "id": None, "score": 1.5}], None, [], [None, {"text": None, "id": mail, "score": None}]]
    kind = SCHEMAS["interactions"].field("contexts").type
    chunked = pa.table({"query": pa.chunked_array([text, [], text], pa.string())})
    deep = pa.list_(pa.list_(pa.struct([("text", pa.large_string())])))
    return {
        "chunks": chunked,
        "slice": chunked.slice(2, 3),
        "empty": chunked.slice(0, 0),
        "no chunks": pa.table({"query": pa.chunked_array([], pa.string())}),
        "nulls": pa.table({"query": pa.nulls(3, pa.string())}),
        "large": pa.table({"query": pa.array(text, pa.large_string())}),
        "view": pa.table({"query": pa.array(text, pa.string_view())}),
        "dictionary": pa.table({"query": pa.array(text).dictionary_encode()}),
        "structs": pa.table({"contexts": pa.array(lists, kind)}),
        "slice of structs": pa.table({"contexts": pa.array(lists * 2, kind)}).slice(3, 4),
        "deep": pa.table({"x": pa.array([[[{"text": mail}], None], None, []], deep)}),
        "metadata": pa.table(
            {"query": text}, schema=pa.schema([pa.field("query", pa.string(), metadata={"a": "b"})], {"c": "d"})
        ),
        "others": pa.table({"n": [1, 2], "b": [True, None], "t": pa.array([1, 2], pa.timestamp("us"))}),
    }


@pytest.mark.parametrize("name", _odd_tables())
def test_schema_rows_and_nulls_are_kept(name: str) -> None:
    """Whatever its chunks, slices, nulls and types, a table keeps schema, metadata and rows; only texts change."""
    rows = _odd_tables()[name]
    new, _ = redact(rows, DEFAULT)
    new.validate(full=True)
    assert new.schema.equals(rows.schema, check_metadata=True)
    expected = json.dumps(rows.to_pylist(), default=str).replace(
        "jane@example.com", mark_of("jane@example.com", DEFAULT)
    )
    assert json.dumps(new.to_pylist(), default=str) == expected


def test_spaces_and_numbers_of_json_stay_as_written() -> None:
    """Of JSON only the texts with marks are written anew: spaces, numbers beyond 64 bits, escapes and order stay."""
    mail, numbers = "jane@example.com", '{ "z":1.0,"a" : 123456789012345678901234567890,\n "z":2 '
    for text in (f'{numbers}, "m":"caf\\u00e9 {mail}" }}', f'{numbers}, "m":"café {mail}", "u": "caf\\u00e9"}}'):
        assert redacted(text) == text.replace(mail, mark_of(mail, EVERY))


def test_what_was_redacted_is_no_value() -> None:
    """A mark is left, even where its digits look like a value or a rule of the operator's finds them."""
    rules = redaction(DEFAULT_RULES, EVERY.key, {"hex": "[0-9a-f]{12}"})
    text = "phone [phone:491511234567] password=[key:0123456789ab] [hex:0123456789ab]"
    assert redacted(text, rules) == text
    assert redacted("0123456789ab", rules) == mark_of("0123456789ab", rules)
    assert redacted('{"token": "a;jane@example.com"}') == f'{{"token": "a;{mark_of("jane@example.com", EVERY)}"}}'


def test_names_of_fields_are_covered_where_they_are_values() -> None:
    """A JSON field that is called by a person's address loses it; all other names of fields stay."""
    new = json.loads(redacted('{"jane@example.com": {"password_hint": 1}, "gen_ai.request.model": "gpt-4o"}'))
    assert list(new) == [mark_of("jane@example.com", EVERY), "gen_ai.request.model"]


def test_own_rules_are_tried_first_and_at_any_depth() -> None:
    """An operator's rule finds its values in plain text and in nested JSON, before the built-in ones look."""
    rules = redaction("email", EVERY.key, {"customer": r"\bC-[0-9]{6,8}\b", "desk": r"desk[0-9]@example\.com"})
    text = json.dumps({"a": "ask C-1234567", "b": json.dumps(["it\nC-123456\u00e9", "desk1@example.com"]), "C-12": 1})
    new, counts = redact(pa.table({"query": ["C-123456, C-123456", text, None, "C-12 C-123456789"]}), rules)
    assert counts == {("query", "customer"): 4, ("query", "desk"): 1}
    assert new["query"][0].as_py() == ", ".join([mark_of("C-123456", rules)] * 2)
    assert new["query"].to_pylist()[2:] == [None, "C-12 C-123456789"]
    assert "C-123" not in new["query"][1].as_py()
    assert redact(new, rules) == (new, {})


@settings(max_examples=150)
@given(
    st.sampled_from(("TICKET#[0-9]{4}é?", r"\bTICKET#[0-9]{4}\b", "T[^a]{5}#1234", "(?i)ticket#12[0-9]{2}")),
    fragments,
    edges,
    letters,
    encodings,
)
def test_own_rules_find_what_is_planted(pattern, text, edge, more, names):
    """A value of an own rule is nowhere afterwards, whatever stands around it and however it is nested in JSON."""
    rules = redaction("none", EVERY.key, {"ticket": pattern})
    new, counts = redact(pa.table({"answer": [_encoded(f"{text}{edge}TICKET#1234{edge}{more}", names)]}), rules)
    assert "TICKET#1234" not in _decoded(new["answer"][0].as_py())
    assert counts["answer", "ticket"] >= 1


@pytest.mark.parametrize(
    ("name", "pattern", "said"),
    [
        ("Customer", "C[0-9]{6}", "is called"),
        ("email", "C[0-9]{6}", "is called"),
        ("none", "C[0-9]{6}", "is called"),
        ("c", "C[0-9]+", "no greatest length"),
        ("c", "(a*)*b", "no greatest length"),
        ("c", "x{3,}", "no greatest length"),
        ("c", r"\Qx\E", "no greatest length"),
        ("c", "^C[0-9]{6}", "anchor"),
        ("c", "C[0-9]{6}$", "anchor"),
        ("c", r"C[0-9]{6}\z", "anchor"),
        ("c", "(?<=x)C", "none of RE2"),
        ("c", r"(C)\1", "none of RE2"),
        ("c", "C(", "none of RE2"),
        ("c", "C?", "empty text"),
        ("c", "", "empty text"),
    ],
)
def test_an_own_rule_that_cannot_be_run_safely_is_refused(name: str, pattern: str, said: str) -> None:
    """A wrong name, no greatest length, an anchor, what RE2 cannot run and what matches nothing are refused with a reason."""
    with pytest.raises(ConfigError, match=said):
        redaction("email", EVERY.key, {name: pattern})


@pytest.mark.parametrize(
    "pattern", ["C[0-9]{6}", r"[A-Z*+^$]{2,4}\+\*", r"[]a]{1,2}x", "[[:alpha:]]{3}-[^]]", "(?i)kunde \\d{5}", "a?b"]
)
def test_an_own_rule_of_bounded_length_is_taken(pattern: str) -> None:
    """Stars, plus signs and anchors that stand for themselves do not make a rule dangerous."""
    assert redaction("email", EVERY.key, {"mine": pattern}).own == (("mine", pattern),)


def test_wrong_settings_are_refused_with_what_is_allowed() -> None:
    """An unknown rule, a key that can be guessed and a file that is no object of texts are refused when they are read."""
    with pytest.raises(ConfigError, match=f'"emails" is no rule .*{", ".join(RULES)}'):
        redaction("emails,phone", EVERY.key)
    with pytest.raises(ConfigError, match="is no rule"):
        redaction("email,none", EVERY.key)
    with pytest.raises(ConfigError, match="3 bytes; 16 or more"):
        redaction("email", b"abc")
    for text in ("[1]", '{"a": 1}', "{", '"a"'):
        with pytest.raises(ConfigError, match="an object of names and expressions is allowed"):
            own_rules(text)
    assert own_rules(b'{"customer": "C[0-9]{6}"}') == {"customer": "C[0-9]{6}"}


def test_the_key_is_not_shown() -> None:
    """A redaction that is printed or logged does not tell its key."""
    assert "key of the test" not in repr(EVERY)


def test_none_switches_off() -> None:
    """Without rules the rows are left as they are."""
    rows = pa.table({"query": ["jane@example.com"]})
    assert redact(rows, redaction("none", EVERY.key)) == (rows, {})
