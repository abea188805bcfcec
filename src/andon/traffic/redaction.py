"""Redaction before anything is written: personal data and secrets in rows become marks that can still be grouped.

A mark is ``[email:3f2a91c07d11]``: the rule, and the first 12 hexadecimal digits of the HMAC-SHA256 of the normalised
value. The same value has the same mark everywhere, under one key; without the key nobody can tell which value it was.

What identifies a row or a version is left as it is (`LEFT`); every other text is covered, in JSON at any depth, its
numbers excepted. Redacting twice is redacting once.
"""

import hmac
import json
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from andon.errors import ConfigError
from andon.traffic.forms import HIDDEN, Form, Found, found_in
from andon.traffic.personal_forms import CARD, EMAIL, IP, NATIONAL_ID, PHONE, PHONE_FIELD, phone_of
from andon.traffic.quoting import quoted
from andon.traffic.secret_forms import KEY, SECRET_FIELD, secret_of

__all__ = ["DEFAULT_RULES", "LEFT", "RULES", "Redaction", "mark_of", "own_rules", "redact", "redaction"]

RULES: Mapping[str, tuple[Form, ...]] = MappingProxyType(
    {"key": KEY, "email": EMAIL, "national_id": NATIONAL_ID, "card": CARD, "phone": PHONE, "ip": IP}
)
"""The rules by name, in the order in which they are tried: what one has covered, the next does not see."""
DEFAULT_RULES = "email,phone,card,key,national_id"
LEFT = frozenset(
    ("id", "interaction_id", "trace_id", "span_id", "parent_span_id", "kind", "status", "app", "environment", "arm", "provider", "model")
    + ("requested_model", "prompt_version", "policy_version", "index_version", "corpus_version", "embedding_model")
    + ("route_version", "tools_version", "code_version", "revision", "agent_version", "scope")
)
"""Columns, and fields of structs, that are never touched: they identify a row, a version or a system."""

_FIELDS: Mapping[str, tuple[str, Callable[[str, str], Found | None]]] = MappingProxyType(
    {"key": (SECRET_FIELD, secret_of), "phone": (PHONE_FIELD, phone_of)}
)
"""Rules that a JSON field's name can trigger: the hint, and what of the value it is."""

_LEAST_KEY = 16
_DEPTH = 4
"""How deep JSON within JSON is read; what lies deeper is read as text, through its escapes."""
_PASSES = 4
"""A mark is a boundary, beside which more may be found: so often are texts that changed looked at again."""
_DIGITS = 12
_OWN_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_ESCAPE = re.compile(r"(?<!\\)\\++(?:u[0-9A-Fa-f]{4}|[\"'/bfnrt])")
_PLAIN_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_JSON_TOKEN = re.compile(r'("(?:[^"\\]++|\\.)*+")(\s*+:)?|[\[\]{}]', re.DOTALL)
_OPEN, _CLOSE = "\x01", "\x02"
_NO_SIGNS = re.compile("[\x01\x02\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Redaction:
    """What is redacted, and under which key. Make one with `redaction`."""

    rules: tuple[str, ...]
    """Names of `RULES`, in their order."""
    key: bytes = field(repr=False)
    own: tuple[tuple[str, str], ...] = ()
    """The operator's rules: name, and expression of RE2."""


def redaction(names: str, key: bytes, own: Mapping[str, str] | None = None) -> Redaction:
    """The redaction by these rules: names of `RULES` with commas between, or ``none``; and the operator's own.

    Raises:
        ConfigError: an unknown rule, a key that can be guessed, or an own rule that cannot be run safely.
    """
    wanted = [name.strip() for name in names.split(",")] if names.strip() != "none" else []
    for name in wanted:
        if name not in RULES:
            raise ConfigError(f"{quoted(name)} is no rule of redaction; allowed: {', '.join(RULES)}, or none alone")
    if len(key) < _LEAST_KEY:
        raise ConfigError(f"the key of redaction has {len(key)} bytes; {_LEAST_KEY} or more are allowed")
    mine = dict(own or {})
    for name, pattern in mine.items():
        _check_own(name, pattern)
    return Redaction(rules=tuple(r for r in RULES if r in wanted), key=key, own=tuple(mine.items()))


def own_rules(text: str | bytes) -> dict[str, str]:
    """The operator's own rules from the JSON text of a file: an object of names and expressions.

    Raises:
        ConfigError: it is no such object.
    """
    try:
        rules = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"the own rules are not JSON: {error}") from error
    if not isinstance(rules, dict) or not all(isinstance(pattern, str) for pattern in rules.values()):
        raise ConfigError(f"the own rules are {quoted(rules)}; an object of names and expressions is allowed")
    return rules


def redact(rows: pa.Table, rules: Redaction) -> tuple[pa.Table, dict[tuple[str, str], int]]:
    """The rows with marks in place of what the rules find, and how many values that were, by (column, rule).

    Schema, order and number of rows are kept. A field of a list of structs counts as ``contexts.text``.
    """
    counts: Counter[tuple[str, str]] = Counter()
    if not rules.rules and not rules.own:
        return rows, {}

    def change(path: str, texts: pa.Array) -> pa.Array:
        return _redacted(texts, rules, lambda rule: counts.update([(path, rule)]))

    for place, column in enumerate(rows.schema):
        if column.name in LEFT:
            continue
        whole = rows.column(place)
        chunks = [_changed(chunk, column.name, change) for chunk in whole.chunks]
        if any(new is not old for new, old in zip(chunks, whole.chunks, strict=True)):
            rows = rows.set_column(place, column, pa.chunked_array(chunks, type=column.type))
    return rows, dict(counts)


def mark_of(text: str, rules: Redaction, rule: str | None = None) -> str:
    """A text as it stands in the tables, so that what was redacted can be found again.

    With a `rule` all of the text is taken for a value of that rule, as it is where a field's name said so.
    """
    if rule is None:
        return str(_redacted(pa.array([text], pa.string()), rules, lambda _: None)[0])
    text = text.strip()
    found = next((f for form in RULES.get(rule, ()) for f in found_in(text, form)), None)
    return _mark(rule, found[2] if found and found[:2] == (0, len(text)) else _normal(rule, text), rules)


def _check_own(name: str, pattern: str) -> None:
    allowed = "lower-case letters, digits and _, beginning with a letter, that are no built-in rule"
    if not _OWN_NAME.fullmatch(name) or name in RULES or name == "none":
        raise ConfigError(f"the own rule is called {quoted(name)}; allowed: {allowed}")
    said = f"the expression {quoted(pattern)} of the own rule {name}"
    bare = re.sub(r"\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]|\\.", "", re.sub(r"\\[QEC]", "*", pattern), flags=re.DOTALL)
    if re.search(r"[*+]|\{\d*,\}", bare):
        raise ConfigError(f"{said} has no greatest length; write how often, as in [0-9]{{6,10}}, in place of * or +")
    if re.search(r"[\^$]", bare) or re.search(r"\\[AzZ]", pattern):
        raise ConfigError(
            f"{said} has an anchor; it is looked for anywhere in a text: write \\b for the edge of a word"
        )
    try:
        matches_nothing = pc.match_substring_regex(pa.array([""]), pattern)[0].as_py()
    except pa.ArrowInvalid as error:
        raise ConfigError(f"{said} is none of RE2 (github.com/google/re2/wiki/Syntax): {error}") from error
    if matches_nothing:
        raise ConfigError(f"{said} matches nothing at all, and so every text; allowed: one that needs a character")


def _changed(array: pa.Array, path: str, change: Callable[[str, pa.Array], pa.Array]) -> pa.Array:
    """The array with its texts changed, at any depth of lists and structs; the same object where none was."""
    kind = array.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return change(path, array)
    if pa.types.is_string_view(kind) or pa.types.is_dictionary(kind):
        plain = array.cast(pa.large_string()) if not pa.types.is_dictionary(kind) else array.dictionary_decode()
        new = _changed(plain, path, change)
        return array if new is plain else new.cast(kind)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        items = array.flatten()
        new = _changed(items, path, change)
        if new is items:
            return array
        sizes = pc.fill_null(pc.list_value_length(array), 0)
        offsets = pa.concat_arrays([pa.array([0], sizes.type), pc.cumulative_sum(sizes)])
        return type(array).from_arrays(offsets, new, type=kind, mask=array.is_null() if array.null_count else None)
    if pa.types.is_struct(kind):
        parts = array.flatten()
        news = [
            part if f.name in LEFT else _changed(part, f"{path}.{f.name}", change)
            for f, part in zip(kind, parts, strict=True)
        ]
        if all(new is part for new, part in zip(news, parts, strict=True)):
            return array
        return pa.StructArray.from_arrays(news, fields=list(kind), mask=array.is_null() if array.null_count else None)
    return array


def _redacted(texts: pa.Array, rules: Redaction, count: Callable[[str], None]) -> pa.Array:
    """An array of texts with marks in it; the same object where nothing was found."""
    if texts.null_count == len(texts):
        return texts
    suspects = _suspects(texts, rules)
    where = pc.indices_nonzero(suspects)
    if not len(where):
        return texts
    old: list[str] = texts.take(where).to_pylist()
    new, live = list(old), list(range(len(old)))
    for _ in range(_PASSES):
        before = [new[k] for k in live]
        names = _rules_by_text(before, rules)
        after = [
            _rewritten(text, which, rules, count) if which else text for text, which in zip(before, names, strict=True)
        ]
        for k, text in zip(live, after, strict=True):
            new[k] = text
        live = [k for k, text, was in zip(live, after, before, strict=True) if text != was]
        if not live:
            break
    if new == old:
        return texts
    return pc.replace_with_mask(texts, suspects, pa.array(new, texts.type))


def _suspects(texts: pa.Array, rules: Redaction) -> pa.Array:
    """Which raw texts may hold something: a superset of those that do."""
    hint = _hint(rules.rules)
    found = pc.match_substring_regex(texts, hint) if hint else pa.array([False] * len(texts))
    for _, pattern in rules.own:
        found = pc.or_(found, pc.match_substring_regex(texts, pattern))
    if rules.own:
        found = pc.or_(found, pc.match_substring(texts, "\\"))  # decoded, it may read otherwise
    return pc.fill_null(found, False)


@cache
def _hint(names: tuple[str, ...]) -> str:
    """One expression of RE2 over raw text for all of these rules; empty where there are none."""
    hints = [one.hint for name in names for one in RULES[name]]
    hints += [_FIELDS[name][0] for name in names if name in _FIELDS]
    return "|".join(f"(?:{hint})" for hint in (*hints, HIDDEN)) if hints else ""


def _rules_by_text(texts: list[str], rules: Redaction) -> list[list[str]]:
    """For each text the rules that may find something in it."""
    found: list[list[str]] = [[] for _ in texts]
    column = pa.array(texts, pa.large_string())
    for name in rules.rules:
        for k in pc.indices_nonzero(pc.match_substring_regex(column, _hint((name,)))).to_pylist():
            found[k].append(name)
    if rules.own:
        leaves = [list(_leaves(text)) for text in texts]
        owners = [k for k, said in enumerate(leaves) for _ in said]
        flat = pa.array([_NO_SIGNS.sub("\ufffd", leaf) for said in leaves for leaf in said], pa.large_string())
        for name, pattern in rules.own:
            hits = pc.indices_nonzero(pc.match_substring_regex(flat, pattern)).to_pylist()
            for k in {owners[hit] for hit in hits}:
                found[k].insert(0, name)
    return found


def _is_json(text: str) -> bool:
    if not text.lstrip()[:1].startswith(("{", "[", '"')):
        return False
    try:
        orjson.loads(text)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return False
    return True


def _leaves(text: str, depth: int = 0) -> Iterator[str]:
    """The decoded texts that a text is made of."""
    if depth < _DEPTH and _is_json(text):
        waiting = [orjson.loads(text)]
        while waiting:
            value = waiting.pop()
            if isinstance(value, str):
                yield from _leaves(value, depth + 1)
            elif isinstance(value, dict):
                waiting.extend((*value, *value.values()))
            elif isinstance(value, list):
                waiting.extend(value)
    else:
        yield _decoded(text)[0]


def _rewritten(
    text: str, names: list[str], rules: Redaction, count: Callable[[str], None], under: str = "", depth: int = 0
) -> str:
    """A text with marks in it; `under` is the name of the JSON field that holds it."""
    if under and not _marks(rules).fullmatch(text):
        for name in (name for name in names if name in _FIELDS):
            found = _FIELDS[name][1](under, text)
            if found is not None and not _marks(rules).fullmatch(text, found[0]):
                count(name)
                return text[: found[0]] + _mark(name, found[2], rules) + text[found[1] :]
    if depth < _DEPTH and _is_json(text):
        return _rewritten_json(text, names, rules, count, depth)
    return _rewritten_plain(text, names, rules, count)


def _rewritten_json(text: str, names: list[str], rules: Redaction, count: Callable[[str], None], depth: int) -> str:
    """Valid JSON with marks in its texts; all else in it, numbers and spaces too, stays as it is written."""
    fields, pieces, at = [""], [], 0
    for token in _JSON_TOKEN.finditer(text):
        literal, is_name = token[1], token[2] is not None
        if literal is None:
            if token[0] in "[{":
                fields.append(fields[-1] if token[0] == "[" else "")
            else:
                fields.pop()
            continue
        said = json.loads(literal) if "\\" in literal else literal[1:-1]
        if is_name:
            fields[-1] = said
        new = _rewritten(said, names, rules, count, "" if is_name else fields[-1], depth + 1)
        if new != said:
            pieces += [text[at : token.start(1)], json.dumps(new, ensure_ascii=literal.isascii())]
            at = token.end(1)
    return "".join((*pieces, text[at:]))


def _rewritten_plain(text: str, names: list[str], rules: Redaction, count: Callable[[str], None]) -> str:
    view, origin = _decoded(text)
    free = [(0, len(view))]  # what no mark covers yet
    free = _without(free, (m.span() for m in _marks(rules).finditer(view)))
    marks: list[tuple[int, int, str]] = []
    for name in names:
        for look in _finders(name, rules):
            taken = []
            for start, end in free:
                for low, high, value in look(view[start:end]):
                    taken.append((start + low, start + high))
                    marks.append((start + low, start + high, _mark(name, value, rules)))
                    count(name)
            free = _without(free, taken) if taken else free
    pieces, at = [], 0
    for start, end, mark in sorted(marks):
        pieces += [text[at : origin(start)], mark]
        at = origin(end)
    return "".join((*pieces, text[at:]))


def _without(spans: list[tuple[int, int]], taken: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The parts of spans (in order, apart) that are outside of others (in order, apart, each within one of them)."""
    rest, holes = [], list(taken)
    at = 0
    for start, end in spans:
        low = start
        while at < len(holes) and holes[at][1] <= end:
            if holes[at][0] > low:
                rest.append((low, holes[at][0]))
            low = holes[at][1]
            at += 1
        if low < end:
            rest.append((low, end))
    return rest


def _decoded(text: str) -> tuple[str, Callable[[int], int]]:
    """A text without the escapes that pieces of JSON leave in it, and where a place of it is in the original."""
    if "\\" not in text:
        return text, lambda place: place
    pieces, at, size = [], 0, 0
    places, shifts = [0], [0]
    for escape in _ESCAPE.finditer(text):
        code = escape[0].lstrip("\\")
        char = chr(int(code[1:], 16)) if len(code) > 1 else _PLAIN_ESCAPES.get(code, code)
        pieces += [text[at : escape.start()], char]
        size += escape.start() - at + 1
        at = escape.end()
        places.append(size)
        shifts.append(at - size)
    return "".join((*pieces, text[at:])), lambda place: place + shifts[bisect_right(places, place) - 1]


def _finders(name: str, rules: Redaction) -> list[Callable[[str], Iterable[Found]]]:
    own = dict(rules.own).get(name)
    if own is not None:
        return [lambda text: _found_own(text, own)]
    return [lambda text, one=one: found_in(text, one) for one in RULES[name]]  # type: ignore[misc]


def _found_own(text: str, pattern: str) -> Iterator[Found]:
    """What an expression of RE2 finds, which no text can make slow; signs are set around it to see where it is."""
    signed = pc.replace_substring_regex(pa.array([_NO_SIGNS.sub("\ufffd", text)]), pattern, f"{_OPEN}\\0{_CLOSE}")[
        0
    ].as_py()
    at = 0
    for k, piece in enumerate(re.split(f"[{_OPEN}{_CLOSE}]", signed)):
        if k % 2 and piece:
            yield at, at + len(piece), text[at : at + len(piece)]
        at += len(piece)


@cache
def _marks(rules: Redaction) -> re.Pattern[str]:
    names = "|".join((*RULES, *(name for name, _ in rules.own)))
    return re.compile(rf"\[(?:{names}):[0-9a-f]{{{_DIGITS}}}\]")


def _mark(rule: str, value: str, rules: Redaction) -> str:
    digest = hmac.digest(rules.key, value.encode("utf-8", "surrogatepass"), "sha256")
    return f"[{rule}:{digest.hex()[:_DIGITS]}]"


def _normal(rule: str, text: str) -> str:
    if rule == "email":
        return text.lower()
    if rule in ("phone", "card"):
        return re.sub("[^0-9]", "", text)
    return re.sub("[^0-9A-Za-z]", "", text).upper() if rule == "national_id" else text
