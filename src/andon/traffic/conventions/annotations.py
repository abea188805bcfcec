"""What others said of an answer in telemetry: annotations of OpenInference, evaluation events of OpenTelemetry GenAI.

Both give `Feedback` whose id is a digest of (scope, target, name, identifier): the same result sent again, in the other
spelling, or at another place of a list, is the same feedback and replaces it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from andon.traffic.clock import END_US, FIRST_US
from andon.traffic.conventions.values import number, parse_json, text
from andon.traffic.conventions.views import layout_of, objects_of
from andon.traffic.records import Feedback, LogRow, SpanRow

__all__ = ["EVALUATION", "annotations_of", "evaluation_of"]

EVALUATION = "gen_ai.evaluation.result"
"""Name of the event, in log records and on spans."""

_FORMS = (("annotations", "annotation"), ("evaluations", "evaluation"))
_SCOPES = {"": "span", "trace.": "trace", "session.": "session"}
_LISTS = frozenset(f"{prefix}{plural}" for prefix in _SCOPES for plural, _ in _FORMS)
_CARRIERS = ("EVALUATOR", "UNKNOWN", "", None)
"""Kinds of span that may carry feedback to another; a link of any other span says something else."""
_SOURCES = {
    "HUMAN": "human", "USER": "human", "LLM": "model", "LLM_JUDGE": "model", "MODEL": "model", "CODE": "code",
    "DETERMINISTIC": "code", "HEURISTIC": "code",
}  # fmt: skip
_SESSIONS = ("session.id", "gen_ai.conversation.id")
_JUDGE_VERSION = "andon.judge_version"
_VERSIONS = ("judge_version", "evaluator_version", "version", "rubric_version")
_AUTHORS = ("annotator", "annotator_name", "author", "evaluator", "evaluator_name", "judge", "user_id", "user")
_EVENT_KINDS = ("gen_ai.evaluation.evaluator.type", "gen_ai.evaluation.annotator_kind", "annotator_kind")
_EVENT_IDS = ("gen_ai.evaluation.identifier", "identifier")
_EVENT_VERSIONS = (_JUDGE_VERSION, "gen_ai.evaluation.evaluator.version", "gen_ai.evaluator.version")
_EVENT_AUTHORS = (
    "andon.judge", "gen_ai.evaluation.evaluator.name", "gen_ai.evaluation.evaluator.id", "gen_ai.evaluation.evaluator",
    "gen_ai.evaluator.name", "gen_ai.evaluator.id",
)  # fmt: skip
_UP, _DOWN = ("thumbsup", "thumbup", "👍"), ("thumbsdown", "thumbdown", "👎")


class _Result(NamedTuple):
    """One result, in whichever convention it came."""

    name: str
    score: float | None
    label: str | None
    explanation: str | None
    source: str | None
    """None where the sender did not say who judged."""
    identifier: str | None
    version: str | None
    author: str | None
    error: str | None = None


class _Target(NamedTuple):
    """What a result is about."""

    scope: str
    """``span``, ``trace``, ``session`` or ``response``."""
    id: str
    interaction_id: str


def annotations_of(spans: Sequence[SpanRow]) -> list[Feedback]:
    """The feedback that spans carry: annotations, evaluations, and events `EVALUATION`; ordered by time and id.

    The order of the spans and repeated spans do not matter. Feedback on a span belongs to the interaction of its trace; a
    carrier with one link to the linked trace. What has no name, no result or no target that can be told is left out.
    """
    found: list[Feedback] = []
    for span in spans:
        lists = _LISTS.intersection(layout_of(span.attributes).flat)
        if lists:
            found.extend(_annotated(span, lists))
        for event in span.events:
            if event["name"] == EVALUATION:
                found.extend(_in_event(span, event))
    last = {f.id: f for f in sorted(found, key=lambda f: (f.time_us, repr(f)))}
    return sorted(last.values(), key=lambda f: (f.time_us, f.id))


def evaluation_of(log: LogRow) -> Feedback | None:
    """The feedback in a log record `EVALUATION`; None for any other record, and where nothing says what it is about.

    It belongs to the interaction of its trace; without one to the response that it names (interaction ``response:ID``).
    """
    if log.name != EVALUATION:
        return None
    body = log.body if isinstance(log.body, dict) else {}
    attributes = {**log.attributes, **body}
    result = _evaluated(attributes)
    response = text(attributes.get("gen_ai.response.id"))
    session = _session(attributes)
    if result is None:
        return None
    if log.trace_id is not None:
        return _feedback(result, _within(log.trace_id, log.span_id), log.time_us)
    if response is not None:
        return _feedback(result, _Target("response", response, f"response:{response}"), log.time_us)
    return None if session is None else _feedback(result, _Target("session", session, session), log.time_us)


def _annotated(span: SpanRow, lists: frozenset[str]) -> list[Feedback]:
    found = []
    for prefix, scope in _SCOPES.items():
        about = _target(span, scope)
        for plural, singular in _FORMS if about is not None else ():
            name = f"{prefix}{plural}"
            for item in objects_of(span.attributes, name) if name in lists else ():
                inner = item.get(singular) if isinstance(item, dict) else None
                result = _result(inner, span) if isinstance(inner, dict) else None
                if result is not None and about is not None:
                    found.append(_feedback(result, about, span.end_us))
    return found


def _in_event(span: SpanRow, event: Mapping[str, Any]) -> list[Feedback]:
    about, result = (
        _target(span, "span"),
        _evaluated({_JUDGE_VERSION: span.attributes.get(_JUDGE_VERSION), **event["attributes"]}),
    )
    if about is None or result is None:
        return []
    known = FIRST_US <= event["time_us"] < END_US
    return [_feedback(result, about, event["time_us"] if known else span.end_us)]


def _target(span: SpanRow, scope: str) -> _Target | None:
    """What the feedback on a span is about; None where that cannot be told."""
    if scope == "session":
        session = _session(span.attributes)
        return None if session is None else _Target("session", session, session)
    kind = span.attributes.get("openinference.span.kind")
    if kind in _CARRIERS and len(span.links) == 1:
        trace_id, span_id = span.links[0].get("trace_id"), span.links[0].get("span_id")
        if not isinstance(trace_id, str) or len(trace_id) != 32:
            return None
        return _within(trace_id, span_id if scope == "span" and isinstance(span_id, str) else None)
    if kind == "EVALUATOR" and span.links:
        return None  # exactly one link says which span was judged
    return _within(span.trace_id, span.span_id if scope == "span" else None)


def _within(trace_id: str, span_id: str | None) -> _Target:
    if span_id is None:
        return _Target("trace", trace_id, trace_id)
    return _Target("span", f"{trace_id}:{span_id}", trace_id)


def _session(attributes: Mapping[str, Any]) -> str | None:
    return next((s for s in (text(attributes.get(n)) for n in _SESSIONS) if s is not None), None)


def _result(said: Mapping[str, Any], span: SpanRow) -> _Result | None:
    """One entry of a list of annotations; None where it lacks its name or any result."""
    metadata = said.get("metadata")
    metadata = parse_json(metadata) if isinstance(metadata, str) else metadata
    metadata = metadata if isinstance(metadata, dict) else {}
    kind, identifier = text(said.get("annotator_kind")), text(said.get("identifier"))
    source = None if kind is None else _SOURCES.get(kind.upper(), "model")
    versions = (text(v) for v in (span.attributes.get(_JUDGE_VERSION), *(metadata.get(n) for n in _VERSIONS)))
    version, author = next(filter(None, versions), None), _first(metadata, _AUTHORS)
    return _checked(
        name=text(said.get("name")),
        score=_score(said.get("score")),
        label=text(said.get("label")),
        explanation=text(said.get("explanation")),
        source=source,
        identifier=identifier,
        version=identifier if version is None and source != "human" else version,
        author=identifier if author is None and source == "human" else author,
    )


def _evaluated(said: Mapping[str, Any]) -> _Result | None:
    """The attributes of an event `EVALUATION`; an evaluation that failed has its error and no result."""
    kind, version, author = _first(said, _EVENT_KINDS), _first(said, _EVENT_VERSIONS), _first(said, _EVENT_AUTHORS)
    error = text(said.get("error.type"))
    return _checked(
        name=text(said.get("gen_ai.evaluation.name")),
        score=None if error else _score(said.get("gen_ai.evaluation.score.value")),
        label=None if error else text(said.get("gen_ai.evaluation.score.label")),
        explanation=text(said.get("gen_ai.evaluation.explanation")),
        source=None if kind is None else _SOURCES.get(kind.upper(), "model"),
        identifier=_first(said, _EVENT_IDS) or "/".join(filter(None, (author, version))) or None,
        version=version,
        author=author,
        error=error,
    )


def _checked(*, name: str | None, **rest: Any) -> _Result | None:
    told = any(rest.get(n) is not None for n in ("score", "label", "explanation", "error"))
    return _Result(name=name, **rest) if name is not None and told else None


def _feedback(result: _Result, about: _Target, time_us: int) -> Feedback:
    identity = orjson.dumps([about.scope, about.id, result.name, result.identifier or ""])
    kind, value, said = "evaluation", result.score, result.explanation
    if result.source in ("human", None) and result.error is None:
        thumb = _thumb(result)
        if thumb is not None:
            kind, value = "thumb", thumb
        elif _plain(result.name) == "correction":
            kind, said = "correction", result.explanation or result.label
    human = result.source == "human" or (result.source is None and kind != "evaluation")
    return Feedback(
        id=hashlib.sha256(identity).hexdigest()[:32],
        interaction_id=about.interaction_id,
        time_us=time_us,
        kind=kind,
        value=value,
        text=said,
        author=result.author,
        scope="session" if about.scope == "session" else "interaction",
        name=result.name,
        label=result.label,
        source="human" if human else result.source or "model",
        version=result.version,
        error=result.error,
    )


def _thumb(result: _Result) -> float | None:
    """1 for a thumb up, 0 for a thumb down; None where neither name nor label speaks of thumbs."""
    name, label = _plain(result.name), _plain(result.label or "")
    of_thumbs = "thumb" in name or name in (*_UP, *_DOWN)
    if label in _UP or (of_thumbs and label in ("up", "positive", "true", "yes")):
        return 1.0
    if label in _DOWN or (of_thumbs and label in ("down", "negative", "false", "no")):
        return 0.0
    if not of_thumbs:
        return None
    if name in _DOWN:
        return 0.0
    if result.score is not None:
        return 1.0 if result.score > 0 else 0.0
    return 1.0 if name in _UP else None


def _plain(word: str) -> str:
    return "".join(c for c in word.lower() if c not in " _-.")


def _first(said: Mapping[str, Any], names: Sequence[str]) -> str | None:
    return next(filter(None, (text(said.get(n)) for n in names)), None)


def _score(value: Any) -> float | None:
    return float(value) if isinstance(value, bool) else number(value)
