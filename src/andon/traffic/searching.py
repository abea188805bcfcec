"""What is searched for in traffic: a search, its link, and its sentence.

A search is written into a URL and read from it without loss, so that a link shows the same view to whoever opens it.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from andon.errors import InputError
from andon.traffic.clock import format_time, parse_time
from andon.traffic.quoting import quoted
from andon.traffic.records import FEEDBACK_KINDS, SEGMENTS, VERSIONS

__all__ = [
    "EXACT",
    "KEYS",
    "LATER",
    "LONGEST",
    "MOST_SCORES",
    "Cursor",
    "ScoreCondition",
    "Search",
    "cursor_of",
    "query_of",
    "search_of",
    "sentence_of",
]

EXACT: tuple[str, ...] = (
    "app", "environment", *dict.fromkeys((*SEGMENTS, *VERSIONS)), "arm", "user_id", "session_id", "trace_id",
)  # fmt: skip
"""Fields of an interaction of which a search may name the value."""

KEYS: tuple[str, ...] = ("from", "to", *EXACT, "topic", "question", "answer", "error", "score", "feedback")
"""Keys of a search in a URL, in the order in which they are written."""

LATER = MappingProxyType(
    {
        "thumbs": "thumb",
        "label_match": "label",
        "rating": "rating",
        "follow_up": "follow_up",
        "correction": "correction",
        "abandonment": "abandonment",
        "probe_pass": "probe",
        "evaluation": "evaluation",
    }
)
"""Metrics that feedback gives, at the time when it was given: metric -> kind of feedback. All others have the time of
their interaction."""

LONGEST = 1_000
"""Most characters of a text that is searched for."""

MOST_SCORES = 8
"""Most conditions on scores of one search."""

_SCORE = re.compile(r"([a-z][a-z0-9_]{0,62})(>=|<)([^\s<>=]{1,40})", re.ASCII)
_CURSOR = re.compile(r"(-?[0-9]{1,18})(?::(.+))?", re.ASCII | re.DOTALL)
_OPS: MappingProxyType[str, Literal["ge", "lt"]] = MappingProxyType({">=": "ge", "<": "lt"})
_SIGNS = MappingProxyType({op: sign for sign, op in _OPS.items()})
_WORDS = MappingProxyType({"ge": "at least", "lt": "below"})
_YES_NO = MappingProxyType({"yes": True, "no": False})


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreCondition:
    """One condition on a score of an interaction."""

    metric: str
    """A column of the table ``scores``."""
    op: Literal["ge", "lt"]
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is looked for; all of it must hold, and what is None or empty is not asked."""

    start_us: int | None = None
    end_us: int | None = None
    """Not included."""
    exact: tuple[tuple[str, str], ...] = ()
    """Field (one of `EXACT`, in their order, once each) and the value that it must have."""
    topic: str | None = None
    """Key of the topic of the question, as the table ``scores`` has it."""
    question: str | None = None
    """Stands in the question, in whatever case."""
    answer: str | None = None
    """Stands in the answer, in whatever case."""
    error: bool | None = None
    """Whether the call failed."""
    scores: tuple[ScoreCondition, ...] = ()
    feedback: str | None = None
    """There is feedback of this kind (one of `FEEDBACK_KINDS`) on the interaction or on its session."""

    def value(self, field: str) -> str | None:
        """The value that a field must have; None where it is not asked."""
        return dict(self.exact).get(field)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """How far a list that runs from the newest to the oldest has come: what is older than this comes next."""

    time_us: int
    id: str | None = None
    """The last interaction that was told, at `time_us`; None where all at `time_us` and later were looked through."""

    def __str__(self) -> str:
        """The cursor as text, for a link (`cursor_of`)."""
        return str(self.time_us) if self.id is None else f"{self.time_us}:{self.id}"


def cursor_of(text: str) -> Cursor:
    """The cursor that was written as text.

    Raises:
        InputError: it is none.
    """
    found = _CURSOR.fullmatch(text)
    if found is None or not _is_unicode(text):
        raise InputError(f"{quoted(text)} is no place in a list; follow the link of the list, or leave it out")
    return Cursor(time_us=int(found[1]), id=found[2])


def search_of(query: Iterable[tuple[str, str]]) -> Search:
    """The search of a URL's query; a key without a value is not asked, as forms send it.

    Args:
        query: keys and values in their order. ``score`` may come several times (``groundedness<0.5``), all others once.

    Raises:
        InputError: a key is unknown or comes twice, or a value is not allowed; says which, and what is.
    """
    given: dict[str, str] = {}
    scores: list[ScoreCondition] = []
    for key, value in query:
        if key not in KEYS:
            raise InputError(f"{quoted(key)} is nothing to search by; the keys are {', '.join(KEYS)}")
        if not value:
            continue
        if len(value) > LONGEST or not _is_unicode(value):
            raise InputError(f"{key}={quoted(value)} must be Unicode text of at most {LONGEST:,} characters")
        if key == "score":
            scores.append(_condition(value))
        elif given.setdefault(key, value) != value:
            raise InputError(f"{key} comes twice, as {quoted(given[key])} and {quoted(value)}; give one value")
    if len(scores) > MOST_SCORES:
        raise InputError(f"a search has {len(scores)} conditions on scores; at most {MOST_SCORES} are allowed")
    start_us, end_us = _time(given, "from"), _time(given, "to")
    if start_us is not None and end_us is not None and start_us >= end_us:
        raise InputError(f"from={quoted(given['from'])} is not before to={quoted(given['to'])}; exchange them")
    error, kind = given.get("error"), given.get("feedback")
    if error is not None and error not in _YES_NO:
        raise InputError(f"error={quoted(error)} is neither yes nor no")
    if kind is not None and kind not in FEEDBACK_KINDS:
        raise InputError(f"feedback={quoted(kind)} is no kind of feedback; the kinds are {', '.join(FEEDBACK_KINDS)}")
    return Search(
        start_us=start_us,
        end_us=end_us,
        exact=tuple((field, given[field]) for field in EXACT if field in given),
        topic=given.get("topic"),
        question=given.get("question"),
        answer=given.get("answer"),
        error=None if error is None else _YES_NO[error],
        scores=tuple(dict.fromkeys(scores)),
        feedback=kind,
    )


def query_of(search: Search) -> list[tuple[str, str]]:
    """The search as keys and values of a URL's query, from which `search_of` makes the same search."""
    times = (("from", search.start_us), ("to", search.end_us))
    texts = (("topic", search.topic), ("question", search.question), ("answer", search.answer))
    return [
        *((key, format_time(us, "microsecond")) for key, us in times if us is not None),
        *search.exact,
        *((key, text) for key, text in texts if text),
        *([("error", "yes" if search.error else "no")] if search.error is not None else []),
        *(("score", f"{s.metric}{_SIGNS[s.op]}{s.value!r}") for s in search.scores),
        *([("feedback", search.feedback)] if search.feedback else []),
    ]


def sentence_of(search: Search) -> str:
    """The search in words, as one sentence; what people wrote stands in quotation marks."""
    parts = []
    if search.exact:
        parts.append("with " + ", ".join(f"{field.replace('_', ' ')} {quoted(v)}" for field, v in search.exact))
    if search.topic:
        parts.append(f"of topic {quoted(search.topic)}")
    for where, text in (("question", search.question), ("answer", search.answer)):
        if text:
            parts.append(f"whose {where} contains {quoted(text)}")
    if search.error is not None:
        parts.append("that failed" if search.error else "that did not fail")
    parts += [f"with {s.metric} {_WORDS[s.op]} {s.value:g}" for s in search.scores]
    if search.feedback:
        parts.append(f"with feedback of kind {search.feedback}")
    if search.start_us is not None:
        parts.append(f"from {format_time(search.start_us, 'second')}")
    if search.end_us is not None:
        parts.append(f"until {format_time(search.end_us, 'second')}")
    return " ".join(("Interactions" if parts else "All interactions", *parts, "newest first")) + "."


def _condition(text: str) -> ScoreCondition:
    found = _SCORE.fullmatch(text.replace(" ", ""))
    try:
        value = math.nan if found is None else float(found[3])
    except ValueError:
        value = math.nan
    if found is None or not math.isfinite(value):
        raise InputError(
            f"score={quoted(text)} is no condition; write a metric, >= or <, and a number, as in groundedness<0.5"
        )
    return ScoreCondition(metric=found[1], op=_OPS[found[2]], value=value)


def _time(given: dict[str, str], key: str) -> int | None:
    if key not in given:
        return None
    try:
        return parse_time(given[key])
    except InputError as error:
        raise InputError(f"{key}={quoted(given[key])}: {error}") from error


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
