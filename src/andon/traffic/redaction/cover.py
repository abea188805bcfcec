"""Redaction before anything is written: personal data and secrets in rows become marks that can still be grouped.

A mark is ``[email:3f2a91c07d11]``: the rule, and the first 12 hexadecimal digits of the HMAC-SHA256 of the normalised
value. The same value has the same mark everywhere, under one key; without the key nobody can tell which value it was.

What identifies a row, a version or a system is left as it is (`LEFT`); every other text is covered, in JSON at any depth,
its numbers excepted. Redacting twice is redacting once.
"""

import hmac
import json
import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from types import MappingProxyType

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from andon.errors import ConfigError
from andon.traffic.quoting import quoted
from andon.traffic.records import VERSIONS
from andon.traffic.redaction.forms import HIDDEN, Found, Rule, found_in
from andon.traffic.redaction.personal_forms import CARD, EMAIL, IP, NATIONAL_ID, PHONE, phone_number
from andon.traffic.redaction.secret_forms import KEY

__all__ = ["DEFAULT_RULES", "LEFT", "RULES", "Redaction", "mark_of", "own_rules", "redact", "redaction"]

RULES: Mapping[str, Rule] = MappingProxyType(
    {"key": KEY, "email": EMAIL, "national_id": NATIONAL_ID, "card": CARD, "phone": PHONE, "ip": IP}
)
"""The rules by name, in the order in which they are tried: what one has covered, the next does not see."""
DEFAULT_RULES = "email,phone,card,key,national_id"
_FREE_TEXT = {"sampling_params", "source"}
"""Versions in which a person or a program may write anything: settings of a call, the address of a page."""
LEFT = frozenset(
    {"id", "trace_id", "span_id", "parent_span_id", "kind", "status", "scope", "app", "environment", "arm", "version"}
    | (set(VERSIONS) - _FREE_TEXT)
)
"""Columns that are never touched: they identify a row, a version or a system."""
_LEFT_FIELDS = ("kind", "model")
"""The same for fields of structs; the id of a context is what somebody called a document, and covered."""

_LEAST_KEY = 16
_DEPTH = 4
"""How deep JSON within JSON is read; what lies deeper is read as text, through its escapes."""
_PASSES = 16
"""A mark is a boundary, beside which more may be found: so often are texts that changed looked at again."""
_DIGITS = 12
_BLOCK = 512
"""Texts that are looked at together: few enough to stay in the processor's cache."""
_OWN_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_PLAIN_PATTERN = re.compile(
    r"(?:[0-9A-Za-z _\-#:;,=@!%~|(){}?]|\\[bdw.+*?(){}|\[\]\-#]|"
    r"\[(?:[0-9]-[0-9]|[A-Z]-[A-Z]|[a-z]-[a-z]|[0-9A-Za-z _#:;,=@!%~|(){}?.+*$]|\\[dw.\-])+\])*"
)
"""An expression that finds only characters that JSON does not escape: what it finds in a text, it finds in its JSON."""
_ESCAPE = re.compile(r"(?<!\\)\\++(?:u[0-9A-Fa-f]{4}|[\"'/bfnrt])")
_PLAIN_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_JSON_TOKEN = re.compile(r'("(?:[^"\\]++|\\.)*+")(\s*+:)?|[\[\]{}]', re.DOTALL)
_SIGNS = re.compile("[\x01\x02]")
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
    wanted = [] if names.strip() == "none" else [name.strip() for name in names.split(",")]
    for name in wanted:
        if name not in RULES:
            raise ConfigError(f"{quoted(name)} is no rule of redaction; allowed: {', '.join(RULES)}, or none alone")
    if len(key) < _LEAST_KEY:
        raise ConfigError(f"the key of redaction has {len(key)} bytes; {_LEAST_KEY} or more are allowed")
    for name, pattern in (own or {}).items():
        _check_own(name, pattern)
    return Redaction(rules=tuple(name for name in RULES if name in wanted), key=key, own=tuple((own or {}).items()))


def own_rules(text: str | bytes) -> dict[str, str]:
    """The operator's own rules from the JSON text of a file: an object of names and expressions.

    Raises:
        ConfigError: it is no such object.
    """
    try:
        rules = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ConfigError(
            f"the own rules are not JSON: {error}; an object of names and expressions is allowed"
        ) from error
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
        chunks = rows.column(place).chunks
        if column.name != "interaction_id":
            new = [_changed(chunk, column.name, change) for chunk in chunks]
        elif "scope" in rows.column_names:
            new = _sessions_changed(chunks, rows.column("scope").chunks, change)
        else:
            continue
        if any(a is not b for a, b in zip(new, chunks, strict=True)):
            rows = rows.set_column(place, column, pa.chunked_array(new, type=column.type))
    return rows, dict(counts)


def mark_of(text: str, rules: Redaction, rule: str | None = None) -> str:
    """A text as it stands in the tables, so that what was redacted can be found again.

    With a `rule` all of the text is taken for a value of that rule, as it is where a field's name said so.
    """
    if rule is None:
        return str(_redacted(pa.array([text], pa.string()), rules, lambda _: None)[0])
    forms = RULES[rule].forms if rule in RULES else ()
    found = (value for form in forms for start, end, value in found_in(form, text) if (start, end) == (0, len(text)))
    return _mark(rule, next(found, None) or _normal(rule, text), rules)


def _normal(rule: str, text: str) -> str:
    """A value as its rule would normalise it, were it of the right form."""
    if rule == "phone":
        return phone_number(text)
    if rule == "email":
        return text.lower()
    return re.sub(r"[ .\-]", "", text).upper() if rule in ("card", "national_id") else text


def _check_own(name: str, pattern: str) -> None:
    """A rule that RE2 can run, of bounded length: then no text makes it slow, and decoding cannot hide a match."""
    if not _OWN_NAME.fullmatch(name) or name in RULES or name == "none":
        raise ConfigError(
            f"an own rule is called {quoted(name)}; allowed: up to 32 lower-case letters, digits and _, "
            f"beginning with a letter, except {', '.join(RULES)} and none"
        )
    said = f"the expression {quoted(pattern)} of the own rule {name}"
    bare = re.sub(r"\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]|\\.", "", re.sub(r"\\[QEC]", "*", pattern), flags=re.DOTALL)
    if re.search(r"[*+]|\{\d*,\}", bare):
        raise ConfigError(f"{said} has no greatest length; write how often, as in [0-9]{{6,10}}, in place of * or +")
    if re.search(r"[\^$]", bare) or re.search(r"\\[AzZ]", pattern):
        raise ConfigError(f"{said} has an anchor, but is looked for anywhere in a text; \\b is the edge of a word")
    try:
        needs_nothing = pc.match_substring_regex(pa.array([""]), pattern)[0].as_py()
    except pa.ArrowInvalid as error:
        raise ConfigError(f"{said} is none of RE2 (github.com/google/re2/wiki/Syntax): {error}") from error
    if needs_nothing:
        raise ConfigError(f"{said} matches the empty text, and so every text; allowed: one that needs a character")


# Columns


def _changed(array: pa.Array, path: str, change: Callable[[str, pa.Array], pa.Array]) -> pa.Array:
    """The array with its texts changed, at any depth of lists and structs; the same object where none was."""
    kind, kinds = array.type, pa.types
    if kinds.is_string(kind) or kinds.is_large_string(kind):
        return change(path, array)
    if kinds.is_dictionary(kind) or kinds.is_string_view(kind):
        plain = array.cast(pa.large_string())
        new = _changed(plain, path, change)
        return array if new is plain else new.cast(kind)
    if kinds.is_list(kind) or kinds.is_large_list(kind):
        items = array.flatten()
        new = _changed(items, path, change)
        return array if new is items else _list_of(new, array)
    if kinds.is_struct(kind):
        parts = array.flatten()
        paths = [None if f.name in _LEFT_FIELDS else f"{path}.{f.name}" for f in kind]
        new = [part if at is None else _changed(part, at, change) for at, part in zip(paths, parts, strict=True)]
        if any(a is not b for a, b in zip(new, parts, strict=True)):
            return pa.StructArray.from_arrays(new, fields=list(kind), mask=array.is_null())
    return array


def _list_of(items: pa.Array, like: pa.Array) -> pa.Array:
    """Lists of other items, as long and as null as those of another array."""
    sizes = pc.fill_null(pc.list_value_length(like), 0)
    offsets = pa.concat_arrays([pa.array([0], sizes.type), pc.cumulative_sum(sizes)])
    return type(like).from_arrays(offsets, items, type=like.type, mask=like.is_null())


def _sessions_changed(
    ids: list[pa.Array], scopes: list[pa.Array], change: Callable[[str, pa.Array], pa.Array]
) -> list[pa.Array]:
    """What feedback is about: the id of an interaction is left, the name of a session is covered as in its interactions."""
    chunks = []
    for chunk, scope in zip(ids, scopes, strict=True):
        sessions = pc.if_else(pc.equal(scope, "session"), chunk, None)
        new = change("interaction_id", sessions)
        chunks.append(chunk if new is sessions else pc.coalesce(new, chunk))
    return chunks


def _redacted(texts: pa.Array, rules: Redaction, count: Callable[[str], None]) -> pa.Array:
    """An array of texts with marks in it; the same object where nothing was found."""
    suspects = _suspects(texts, rules)
    new = dict(suspects)
    live = list(new)
    for _ in range(_PASSES):
        looks = zip(live, _looks([new[k] for k in live], rules, count), strict=True)
        changed = {k: _rewritten(new[k], look) for k, look in looks if look.names or look.own}
        live = [k for k, text in changed.items() if text != new[k]]
        if not live:
            break
        new |= changed
    places = [k for k, text in suspects if new[k] != text]
    if not places:
        return texts
    mask = np.zeros(len(texts), bool)
    mask[places] = True
    return pc.replace_with_mask(texts, pa.array(mask), pa.array([new[k] for k in places], texts.type))


# Which texts, and which rules for each


@cache
def _alarm(names: tuple[str, ...]) -> Callable[[str], bool]:
    """One quick test of a raw text for all of these rules.

    Rust's regex, which pydantic brings along, keeps its automaton from call to call. RE2 (in Arrow) is as quick over many
    rows, but builds its own anew for each call, which for one request of 500 spans takes four times as long as the search.
    """
    from pydantic_core import SchemaValidator, core_schema

    alarms = "|".join((*(RULES[name].alarm for name in names), HIDDEN))
    return SchemaValidator(core_schema.str_schema(pattern=f"(?-u){alarms}")).isinstance_python


def _suspects(texts: pa.Array, rules: Redaction) -> list[tuple[int, str]]:
    """Place and text of those that may hold something: a superset of those that do."""
    if texts.null_count == len(texts):
        return []
    own = _own_suspects(texts, rules) if rules.own else frozenset()
    alarm = _alarm(rules.rules)
    found: list[tuple[int, str]] = []
    for start in range(0, len(texts), _BLOCK):
        block = texts.slice(start, _BLOCK).to_pylist()
        rings = enumerate(map(alarm, block), start)
        found += [(k, block[k - start]) for k, rang in rings if rang or k in own]
    return found


def _own_suspects(texts: pa.Array, rules: Redaction) -> frozenset[int]:
    found = pc.match_substring_regex(texts, HIDDEN)
    for _, pattern in rules.own:
        if _PLAIN_PATTERN.fullmatch(pattern):
            found = pc.or_(found, pc.match_substring_regex(texts, pattern.replace("\\b", "")))
        else:
            found = pc.or_(found, pc.match_substring(texts, "\\"))  # decoded, such a text may read otherwise
            found = pc.or_(found, pc.match_substring_regex(texts, pattern))
    return frozenset(pc.indices_nonzero(pc.fill_null(found, False)).to_pylist())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What is looked for in one text."""

    names: tuple[str, ...]
    """The rules of `RULES` whose alarm went off."""
    own: tuple[tuple[str, str, frozenset[str]], ...]
    """Name and expression of the own rules that find something, and the decoded texts in which they do."""
    rules: Redaction
    count: Callable[[str], None]


def _looks(texts: list[str], rules: Redaction, count: Callable[[str], None]) -> list[_Look]:
    """For each text what may be found in it."""
    names = [tuple(name for name in rules.rules if _alarm((name,))(text)) for text in texts]
    own: list[list[tuple[str, str, frozenset[str]]]] = [[] for _ in texts]
    if rules.own:
        leaves = [(k, _NO_SIGNS.sub("\ufffd", leaf)) for k, text in enumerate(texts) for leaf in _leaves(text)]
        said = pa.array([leaf for _, leaf in leaves], pa.large_string())
        for name, pattern in rules.own:
            hits = pc.indices_nonzero(pc.match_substring_regex(said, pattern)).to_pylist()
            where = frozenset(leaves[hit][1] for hit in hits)
            for k in {leaves[hit][0] for hit in hits}:
                own[k].append((name, pattern, where))
    return [
        _Look(names=which, own=tuple(mine), rules=rules, count=count) for which, mine in zip(names, own, strict=True)
    ]


def _leaves(text: str, depth: int = 0) -> Iterator[str]:
    """The decoded texts that a text is made of."""
    if depth == _DEPTH or not _is_json(text):
        yield _decoded(text)[0]
        return
    waiting = [orjson.loads(text)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield from _leaves(value, depth + 1)
        elif isinstance(value, dict):
            waiting.extend((*value, *value.values()))
        elif isinstance(value, list):
            waiting.extend(value)


# One text


def _rewritten(text: str, look: _Look, under: str = "", depth: int = 0) -> str:
    """A text with marks in it; `under` is the name of the JSON field that holds it."""
    for name in look.names if under else ():
        found = _by_field(name, under, text)
        if found is not None and not _marks(look.rules).search(text):
            look.count(name)
            return text[: found[0]] + _mark(name, found[2], look.rules) + text[found[1] :]
    if not look.own and not _alarm(look.names)(text):
        return text
    if depth < _DEPTH and _is_json(text):
        return _rewritten_json(text, look, depth)
    return _rewritten_plain(text, look)


def _by_field(name: str, under: str, text: str) -> Found | None:
    read = RULES[name].field
    return None if read is None else read(under, text)


def _rewritten_json(text: str, look: _Look, depth: int) -> str:
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
        new = _rewritten(said, look, "" if is_name else fields[-1], depth + 1)
        if new != said:
            pieces += [text[at : token.start(1)], json.dumps(new, ensure_ascii=literal.isascii())]
            at = token.end(1)
    return "".join((*pieces, text[at:]))


def _rewritten_plain(text: str, look: _Look) -> str:
    """A text with marks in it. What is beside a new mark is looked at when the text is looked at again."""
    view, origin = _decoded(text)
    taken = _Spans([m.span() for m in _marks(look.rules).finditer(view)])
    marks: list[tuple[int, int, str]] = []
    for name, find in _finders(text, view, look):
        found = list(find(view, taken.is_free))
        if found:
            taken = _Spans([*taken.spans, *((low, high) for low, high, _ in found)])
            marks += [(low, high, _mark(name, value, look.rules)) for low, high, value in found]
            for _ in found:
                look.count(name)
    pieces, at = [], 0
    for low, high, mark in sorted(marks):
        pieces += [text[at : origin(low)], mark]
        at = origin(high)
    return "".join((*pieces, text[at:]))


Find = Callable[[str, Callable[[int, int], bool]], Iterable[Found]]


class _Spans:
    """Parts of a text that are taken, none of which overlaps another."""

    __slots__ = ("_starts", "spans")

    def __init__(self, spans: list[tuple[int, int]]) -> None:
        self.spans = sorted(spans)
        self._starts = [start for start, _ in self.spans]

    def is_free(self, start: int, end: int) -> bool:
        before = bisect_left(self._starts, end) - 1  # the last that begins before the end
        return before < 0 or self.spans[before][1] <= start


def _finders(text: str, view: str, look: _Look) -> Iterator[tuple[str, Find]]:
    """What to run over a text that reads `view` when decoded, in order: the own rules first."""
    said = _NO_SIGNS.sub("\ufffd", view) if look.own else view
    yield from ((name, partial(_found_own, pattern)) for name, pattern, where in look.own if said in where)
    for name in look.names:
        if _alarm((name,))(text):
            yield from ((name, partial(found_in, form)) for form in RULES[name].forms)


def _is_json(text: str) -> bool:
    if not text.lstrip()[:1].startswith(("{", "[", '"')):
        return False
    try:
        orjson.loads(text)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return False
    return True


def _decoded(text: str) -> tuple[str, Callable[[int], int]]:
    """A text without the escapes that pieces of JSON leave in it, and where a place of it is in the original."""
    origins: list[tuple[list[int], list[int]]] = []
    while "\\" in text and len(origins) < _DEPTH:
        plain, places, shifts = _unescaped(text)
        if plain == text:
            break
        origins.append((places, shifts))
        text = plain

    def origin(place: int) -> int:
        for places, shifts in reversed(origins):
            place += shifts[bisect_right(places, place) - 1]
        return place

    return text, origin


def _unescaped(text: str) -> tuple[str, list[int], list[int]]:
    """A text with one layer of escapes less; from each of the places on, the original is by a shift further."""
    pieces, at, size, places, shifts = [], 0, 0, [0], [0]
    for escape in _ESCAPE.finditer(text):
        code = escape[0].lstrip("\\")
        pieces += [
            text[at : escape.start()],
            chr(int(code[1:], 16)) if len(code) > 1 else _PLAIN_ESCAPES.get(code, code),
        ]
        size += escape.start() - at + 1
        at = escape.end()
        places.append(size)
        shifts.append(at - size)
    return "".join((*pieces, text[at:])), places, shifts


def _found_own(pattern: str, text: str, is_free: Callable[[int, int], bool]) -> Iterator[Found]:
    """What an expression of RE2 finds, which no text can make slow; signs are set around it to see where it is."""
    plain = pa.array([_NO_SIGNS.sub("\ufffd", text)], pa.large_string())
    signed = pc.replace_substring_regex(plain, pattern, "\x01\\0\x02")[0].as_py()
    at = 0
    for k, piece in enumerate(_SIGNS.split(signed)):
        if k % 2 and piece and is_free(at, at + len(piece)):
            yield at, at + len(piece), text[at : at + len(piece)]
        at += len(piece)


def _marks(rules: Redaction) -> re.Pattern[str]:
    return _marks_of((*RULES, *(name for name, _ in rules.own)))


@cache
def _marks_of(names: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"\[(?:{'|'.join(names)}):[0-9a-f]{{{_DIGITS}}}\]")


def _mark(rule: str, value: str, rules: Redaction) -> str:
    digest = hmac.digest(rules.key, value.encode("utf-8", "surrogatepass"), "sha256")
    return f"[{rule}:{digest.hex()[:_DIGITS]}]"
