"""What a search of the page of traffic asks: read from its address, written as words, chips and links."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from urllib.parse import quote, urlencode

from starlette.responses import RedirectResponse

from andon.traffic import format_time
from andon.traffic.searching import Cursor as Place
from andon.traffic.searching import Search, cursor_of, query_of, search_of
from andon.web.asking import Ask
from andon.web.zones import clock_text

__all__ = ["OWN", "RANGES", "Asked", "Chip", "asked_of", "href", "looks_like_an_id", "tidy", "words_of"]

HOUR_US = 3_600_000_000
RANGES = {"1h": "last hour", "24h": "last 24 hours", "7d": "last 7 days", "30d": "last 30 days"}
RANGE_US = {"1h": HOUR_US, "24h": 24 * HOUR_US, "7d": 7 * 24 * HOUR_US, "30d": 30 * 24 * HOUR_US}
OWN = ("range", "before", "long", "as", "table", "text", "in", "metric", "op", "value", "pick")
"""Keys of the address that are no conditions of a search."""

PLACES = {
    "question": "question",
    "answer": "answer",
    "user": "user_id",
    "session": "session_id",
    "trace": "trace_id",
    "id": "id",
}
"""What the field of free text may be compared with: the key that it becomes."""

_ID = re.compile(r"(?=.*\d)[A-Za-z0-9][A-Za-z0-9_.:/-]{5,199}", re.ASCII)
_FIELDS = {
    "user_id": "user",
    "session_id": "session",
    "trace_id": "trace",
    "risk_category": "risk",
    "prompt_version": "prompt",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """One condition as words, and the address without it."""

    words: str
    without: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A search, and how much of its list is shown."""

    search: Search
    """With the times of its range."""
    plain: Search
    """Without them."""
    range: str
    """One of `RANGES`, or empty."""
    before: Place | None


def href(search: Search, *, range_: str = "", before: Place | None = None) -> str:
    """The address of a search."""
    pairs: list[tuple[str, str]] = [(k, v) for k, v in query_of(search) if k != "score"]
    if search.scores:
        pairs.append(("score", ",".join(v for k, v in query_of(search) if k == "score")))
    pairs += [("range", range_)] if range_ else []
    pairs += [("before", str(before))] if before is not None else []
    return "/traffic" + (f"?{urlencode(pairs)}" if pairs else "")


def asked_of(ask: Ask) -> Asked:
    """What the address asks for.

    Raises:
        InputError: a key or a value of it is not allowed.
    """
    conditions: list[tuple[str, str]] = []
    for key, value in ask.pairs:
        if key == "score":
            conditions += [(key, v) for v in value.split(",") if v.strip()]
        elif key in ("from", "to") and value:
            conditions.append((key, _moment(ask, value)))
        elif key not in OWN:
            conditions.append((key, value))
    plain = search_of(conditions)
    before = cursor_of(ask.query["before"]) if ask.query.get("before") else None
    range_ = ask.query.get("range", "")
    if range_ not in RANGES or plain.start_us is not None or plain.end_us is not None:
        return Asked(search=plain, plain=plain, range="", before=before)
    return Asked(
        search=replace(plain, start_us=ask.now_us - RANGE_US[range_]), plain=plain, range=range_, before=before
    )


def tidy(ask: Ask) -> RedirectResponse | None:
    """Where a form leads whose address holds empty fields or parts of a condition; None where the address is as links write it.

    Raises:
        InputError: the search is not allowed.
    """
    if ask.exporting:
        return None
    given = [(k, v) for k, v in ask.pairs if k not in ("before", "long", "pick")]
    told = [(k, v) for k, v in given if v.strip() and k not in ("text", "in", "metric", "op", "value")]
    text, metric, value = (ask.query.get(k, "").strip() for k in ("text", "metric", "value"))
    if text:
        key = PLACES.get(ask.query.get("in", ""), "question")
        if key == "id":
            return RedirectResponse(f"/traffic/{quote(text, safe='')}", 303)
        told = [(k, v) for k, v in told if k != key] + [(key, text)]
    if metric and value:
        sign = "<" if ask.query.get("op") == "lt" else ">="
        told.append(("score", f"{metric}{sign}{value}"))
    if told == given and len({k for k, _ in given}) == len(given):
        return None
    asked = asked_of(replace(ask, pairs=told, query=dict(told)))
    return RedirectResponse(href(asked.plain, range_=asked.range), 303)


def looks_like_an_id(text: str | None) -> bool:
    """Whether what somebody searches for could be the id of an interaction."""
    return text is not None and _ID.fullmatch(text) is not None


def words_of(ask: Ask, asked: Asked) -> list[Chip]:
    """The conditions as words, each with the address without it; without the times of a range that has a choice of its own."""
    s, plain = asked.search, asked.plain
    found: list[tuple[str, Search]] = [
        (
            f"{_FIELDS.get(f, f.removesuffix('_version').replace('_', ' '))} {v}",
            replace(plain, exact=_but(plain.exact, (f, v))),
        )
        for f, v in s.exact
    ]
    if s.topic:
        found.append((f"topic {s.topic}", replace(plain, topic=None)))
    if s.question:
        found.append((f"question contains “{s.question}”", replace(plain, question=None)))
    if s.answer:
        found.append((f"answer contains “{s.answer}”", replace(plain, answer=None)))
    if s.error is not None:
        found.append(("failed" if s.error else "did not fail", replace(plain, error=None)))
    for c in s.scores:
        sign = "at least" if c.op == "ge" else "below"
        found.append(
            (
                f"{c.metric.replace('_', ' ')} {sign} {c.value:g}",
                replace(plain, scores=tuple(x for x in plain.scores if x != c)),
            )
        )
    if s.feedback:
        found.append((f"feedback: {s.feedback.replace('_', ' ')}", replace(plain, feedback=None)))
    if plain.start_us is not None:
        found.append((f"from {clock_text(plain.start_us, ask.zone, ask.now_us)}", replace(plain, start_us=None)))
    if plain.end_us is not None:
        found.append((f"until {clock_text(plain.end_us, ask.zone, ask.now_us)}", replace(plain, end_us=None)))
    return [Chip(words=w, without=href(without, range_=asked.range)) for w, without in found]


def _but(pairs: Iterable[tuple[str, str]], one: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(p for p in pairs if p != one)


def _moment(ask: Ask, text: str) -> str:
    """A time as a search takes it; without a zone it is in that of who asks, as the fields of a form send it."""
    from datetime import datetime

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    if moment.tzinfo is not None:
        return text
    try:
        return format_time(int(moment.replace(tzinfo=ask.zone).timestamp() * 1_000_000), "microsecond")
    except (OverflowError, ValueError):
        return text
