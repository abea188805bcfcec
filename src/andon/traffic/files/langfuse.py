"""What Langfuse exports: traces with their observations become interactions, observations alone spans, scores feedback.

Read are a trace with its observations (``{"trace": ..., "observations": [...]}``, or the API's trace), single observations
and scores as they are exported to blob storage (camelCase and snake_case), and traces without observations.

An observation becomes a span with the attributes of OpenInference and OpenTelemetry that `andon.traffic.conventions.readings` lists;
what the SDK sent by itself (``metadata.attributes``) wins over what Langfuse derived from it.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from andon.errors import InputError
from andon.traffic.clock import parse_time
from andon.traffic.conventions.traces import assemble
from andon.traffic.conventions.values import number
from andon.traffic.files.cells import parse_cell
from andon.traffic.files.observations import attributes_of, decoded, text_of, trace_attributes
from andon.traffic.quoting import quoted
from andon.traffic.records import Feedback, Interaction, SpanRow

__all__ = ["is_export", "records_of_export"]

_OF_TRACE = frozenset(("traceId", "trace_id"))
_OF_WHOM = frozenset((*_OF_TRACE, "sessionId", "session_id"))
_OBSERVATION = frozenset(
    ("parentObservationId", "parent_observation_id", "projectId", "project_id", "statusMessage", "status_message")
)
_SOURCES = {"ANNOTATION": "human", "EVAL": "model", "API": "code"}
_ERROR = re.compile(r"([A-Za-z_][\w.]*(?:Error|Exception|Timeout|Interrupt))\b")
_THUMB = re.compile(r"(user[-_ ]?)?(feedback|thumbs?)", re.IGNORECASE)
"""Names under which an application sends the thumbs of its users as scores."""


def is_export(names: Collection[str]) -> bool:
    """Whether an object with these names is a trace, an observation or a score of Langfuse."""
    if "observations" in names and ("trace" in names or ("id" in names and "timestamp" in names)):
        return True
    started = "type" in names and ("startTime" in names or "start_time" in names)
    if started and not _OF_TRACE.isdisjoint(names) and not _OBSERVATION.isdisjoint(names):
        return True
    if _is_score(names):
        return True
    return "id" in names and "timestamp" in names and ("bookmarked" in names or "htmlPath" in names)


def records_of_export(row: Mapping[str, Any]) -> tuple[list[Interaction | Feedback | SpanRow], list[str]]:
    """What an object of which `is_export` is true holds, and why parts of it were left out.

    A whole trace is one interaction with the trace's id; its scores and corrections are feedback. A single observation is
    a span: a trace may be spread over lines and files, and becomes an interaction when it is whole.

    Raises:
        InputError: there is no id or no time.
    """
    if "observations" in row or ("timestamp" in row and not _is_score(row)):
        return _trace(row)
    if _is_score(row):
        return [_score(_camel(row), None)], []
    known = _camel(row)
    return [_span(known, _id(known, "traceId"), trace=known)], []


def _is_score(names: Collection[str]) -> bool:
    typed = "dataType" in names or "data_type" in names
    return typed and "source" in names and "name" in names and not _OF_WHOM.isdisjoint(names)


def _trace(row: Mapping[str, Any]) -> tuple[list[Interaction | Feedback | SpanRow], list[str]]:
    inner = row.get("trace")
    trace = _camel({**row, **inner} if isinstance(inner, dict) else row)
    identity = _id(trace, "id")
    spans: list[SpanRow] = []
    refused: list[str] = []
    observations = row.get("observations")
    for item in observations if isinstance(observations, list) else []:
        if isinstance(item, str):
            continue  # a list of traces names their observations only
        if not isinstance(item, dict):
            refused.append(f"an observation is {quoted(item)}; an object is allowed")
            continue
        known = _camel(item)
        try:
            spans.append(_span(known, identity, trace=None))
        except InputError as error:
            refused.append(f"observation {quoted(known.get('name') or known.get('id'))}: {error}")
    records: list[Interaction | Feedback | SpanRow] = []
    if spans:
        records.extend(assemble(_with_trace(_counted_once(spans), trace)))
    else:
        records.append(_bare(trace, identity))
    for name in ("scores", "corrections"):
        listed = trace.get(name)
        for item in listed if isinstance(listed, list) else []:
            if not isinstance(item, dict):
                continue  # as above, or a summary
            try:
                records.append(_score(_camel(item), identity))
            except InputError as error:
                refused.append(f"score {quoted(item.get('name'))}: {error}")
    return records, refused


def _bare(trace: Mapping[str, Any], identity: str) -> Interaction | SpanRow:
    """A trace without observations: an interaction where it says how long it took, else a span that waits for them."""
    time_us = _time(trace, "timestamp", "createdAt")
    latency = number(trace.get("latency"))
    whole = SpanRow(
        trace_id=identity,
        span_id=identity,
        name=_word(trace.get("name")) or "trace",
        time_us=time_us,
        end_us=time_us,
        attributes={"openinference.span.kind": "CHAIN", **trace_attributes(trace), **_said(trace)},
    )
    if latency is None or not 0 <= latency < 1e9:
        return whole
    (found,) = assemble([replace(whole, end_us=time_us + round(latency * 1e6))])
    cost = number(trace.get("totalCost"))
    return found if cost is None or cost <= 0 else replace(found, cost_usd=cost)


def _with_trace(spans: Sequence[SpanRow], trace: Mapping[str, Any]) -> list[SpanRow]:
    """The spans, with what the trace says of itself in its outermost ones: the first has the question, the last the answer."""
    ids = {s.span_id for s in spans}
    ordered = sorted(spans, key=lambda s: (s.time_us, -s.end_us, s.span_id))
    outer = [s for s in ordered if s.parent_span_id not in ids]
    own = [s for s in outer if s.attributes.get("openinference.span.kind") in ("AGENT", "CHAIN")]
    said = _said(trace)
    if "andon.answer" not in said and (found := _answer_below(ordered, own)) is not None:
        said["andon.answer"] = found
    more: dict[str, dict[str, Any]] = {}
    for span in outer[:1]:
        more[span.span_id] = trace_attributes(trace)
    for at, name in ((own[:1], "andon.query"), (own[-1:], "andon.answer")):
        if at and name in said:
            more.setdefault(at[0].span_id, {})[name] = said[name]
    return [replace(s, attributes={**more[s.span_id], **s.attributes}) if s.span_id in more else s for s in spans]


def _said(trace: Mapping[str, Any]) -> dict[str, Any]:
    """The question and the answer as the trace itself has them."""
    found = {"andon.query": text_of(trace.get("input"), answer=False)}
    found["andon.answer"] = text_of(trace.get("output"), answer=True)
    return {name: text for name, text in found.items() if text is not None}


def _answer_below(ordered: Sequence[SpanRow], outer: Sequence[SpanRow]) -> str | None:
    """What the last step of the application below a silent outermost one gave, where that is a step and no call."""
    at = list(outer)
    for _ in range(len(ordered)):
        if not at or any("output.value" in s.attributes for s in at):
            break
        ids = {s.span_id for s in at}
        below = [s for s in ordered if s.parent_span_id in ids and s not in at]
        at = [s for s in below if s.attributes.get("openinference.span.kind") in ("AGENT", "CHAIN")]
    texts = (s.attributes["output.value"] for s in reversed(at) if "output.value" in s.attributes)
    return next((t for t in texts if isinstance(t, str)), None)


def _counted_once(spans: Sequence[SpanRow]) -> list[SpanRow]:
    """The spans without the usage of a call within which others have counted theirs.

    Two instrumentations of one call both report it, and the outer one may report a running total of the whole agent; the
    inner one is nearer to the provider, whose count it passes on.
    """
    calls = {s.span_id: s for s in spans if s.attributes.get("openinference.span.kind") == "LLM"}
    parents = {s.span_id: s.parent_span_id for s in spans}
    inside: dict[str, list[SpanRow]] = {}
    for span in calls.values():
        at, seen = parents[span.span_id], {span.span_id}
        while at is not None and at not in calls and at not in seen:
            seen.add(at)
            at = parents.get(at)
        if at is not None and at in calls and at != span.span_id:
            inside.setdefault(at, []).append(span)
    dropped = {at for at, inner in inside.items() if all("llm.token_count.prompt" in s.attributes for s in inner)}
    names = ("llm.token_count.", "llm.cost.", "gen_ai.usage.", "operation.cost")
    return [
        replace(s, attributes={k: v for k, v in s.attributes.items() if not k.startswith(names)})
        if s.span_id in dropped
        else s
        for s in spans
    ]


def _span(row: Mapping[str, Any], trace_id: str, *, trace: Mapping[str, Any] | None) -> SpanRow:
    """An observation as a span; with `trace`, what the row says of its trace is added."""
    time_us = _time(row, "startTime")
    end_us = max(time_us, _time(row, "endTime")) if row.get("endTime") not in (None, "") else time_us
    parent = _word(row.get("parentObservationId"))
    failed = str(row.get("level")).upper() == "ERROR"
    message = _word(row.get("statusMessage"))
    attributes = attributes_of(row, outermost=parent is None)
    if trace is not None:
        attributes = {**trace_attributes(trace, metadata=False), **attributes}
    if failed and message is not None and (told := _ERROR.match(message)):
        attributes.setdefault("error.type", told[1])
    events: tuple[dict[str, Any], ...] = ()
    if row.get("completionStartTime") not in (None, ""):
        first_us = _time(row, "completionStartTime")
        events = ({"name": "First Token Stream Event", "time_us": first_us, "attributes": {}},)
    return SpanRow(
        trace_id=trace_id,
        span_id=_id(row, "id"),
        parent_span_id=parent,
        name=_word(row.get("name")) or "",
        time_us=time_us,
        end_us=end_us,
        status="error" if failed else "unset",
        status_message=message,
        attributes=attributes,
        events=events,
    )


def _score(row: Mapping[str, Any], trace_id: str | None) -> Feedback:
    """A score, or a correction, of a trace or a session."""
    of_trace = _word(row.get("traceId")) or trace_id
    interaction_id = of_trace or _word(row.get("sessionId"))
    if interaction_id is None:
        raise InputError("traceId is missing; a score needs the trace or the session that it is about")
    data_type = str(row.get("dataType")).upper()
    word = next((w for n in ("stringValue", "longStringValue") if (w := _word(row.get(n))) is not None), None)
    value = number(row.get("value"))
    if value is None:
        word = word or _word(row.get("value"))
    if data_type == "CATEGORICAL":
        value = None  # the place of the word in a list, and no measure
    source = _SOURCES.get(str(row.get("source")).upper(), "human")
    name, comment = _word(row.get("name")), _word(row.get("comment"))
    if data_type == "CORRECTION":
        kind, text, label = "correction", word or comment, None
        if text is None:
            raise InputError("the corrected text is missing")
    elif source == "code" and value in (0, 1) and name is not None and _THUMB.fullmatch(name):
        kind, text, label, source = "thumb", comment, None, "human"
    else:
        kind, text, label = "evaluation", comment, word
        if value is None and label is None:
            raise InputError("value is missing; a score has a number or a word")
    return Feedback(
        id=_id(row, "id"),
        interaction_id=interaction_id,
        time_us=_time(row, "timestamp", "createdAt"),
        kind=kind,
        value=value,
        text=text,
        author=_word(row.get("authorUserId")),
        scope="session" if of_trace is None else "interaction",
        name=name,
        label=label,
        source=source,
    )


def _camel(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with the names of the API: ``trace_id`` -> ``traceId``; structures that came as text are opened."""
    found: dict[str, Any] = {}
    for key, value in row.items():
        head, *rest = key.split("_") if "_" in key else (key,)
        name = head + "".join(part.capitalize() for part in rest)
        found.setdefault("model" if name == "providedModelName" else name, value)
    for name in (
        "metadata",
        "usageDetails",
        "costDetails",
        "modelParameters",
        "usage",
        "tags",
        "scores",
        "corrections",
    ):
        if isinstance(found.get(name), str):
            found[name] = decoded(parse_cell(found[name]))
    return found


def _id(row: Mapping[str, Any], name: str) -> str:
    found = _word(row.get(name))
    if found is None:
        raise InputError(f"{name} is {quoted(row.get(name))}; text is allowed")
    return found


def _time(row: Mapping[str, Any], *names: str) -> int:
    value = next((row[n] for n in names if row.get(n) not in (None, "")), None)
    try:
        return parse_time(value)
    except InputError as error:
        raise InputError(f"{names[0]}: {error}") from None


def _word(value: Any) -> str | None:
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None
