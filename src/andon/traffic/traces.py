"""The spans of one trace to one `Interaction`.

Which attribute becomes which field is a table (`READINGS`), so that a new convention is a new name in a row. What needs
more than a look-up (messages, contexts, tool calls, double spans) is below it.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, Literal

import orjson

from andon.traffic.messages import compact_json, flat_list, inputs, outputs, parse_json, plain_text
from andon.traffic.otlp import SpanRow
from andon.traffic.records import Context, Interaction, ToolCall

__all__ = ["READINGS", "Reading", "assemble"]


@dataclass(frozen=True, slots=True)
class Reading:
    """Where one field is read."""

    field: str
    names: tuple[str, ...]
    """Attribute names; the first that is present is taken."""
    of: Literal["trace", "call", "calls", "embedding"] = "trace"
    """``trace``: the root, then the other spans in time order; ``call``: the model call that answered; ``calls``: the
    sum over model calls; ``embedding``: embedding spans."""
    kind: Literal["text", "number", "count", "flag"] = "text"


def _own(name: str) -> tuple[str, ...]:
    """The names under which an application says a thing that no convention has."""
    return (f"andon.{name}", f"metadata.{name}", f"traceloop.association.properties.{name}")


READINGS = (
    Reading("app", ("andon.app", "service.name", "openinference.project.name")),
    Reading("environment", ("deployment.environment.name", "deployment.environment")),
    Reading("session_id", ("gen_ai.conversation.id", "session.id", *_own("session_id"))),
    Reading("user_id", ("user.id", "enduser.id", *_own("user_id"))),
    Reading("provider", ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system"), "call"),
    Reading("model", ("gen_ai.response.model", "llm.response.model_name", "llm.model_name"), "call"),
    Reading(
        "requested_model",
        ("gen_ai.request.model", "llm.request.model_name", "llm.invocation_parameters.model"),
        "call",
    ),
    Reading(
        "prompt_version",
        (
            "andon.prompt_version",
            "gen_ai.prompt.version",
            "llm.prompt_template.version",
            "traceloop.prompt.version",
            "metadata.prompt_version",
        ),
    ),
    Reading("policy_version", _own("policy_version")),
    Reading("index_version", _own("index_version")),
    Reading("corpus_version", _own("corpus_version")),
    Reading(
        "embedding_model",
        (
            "andon.embedding_model",
            "gen_ai.response.model",
            "embedding.model_name",
            "gen_ai.request.model",
            "embedding.invocation_parameters.model",
        ),
        "embedding",
    ),
    Reading("route_version", _own("route_version")),
    Reading("code_version", ("andon.code_version", "service.version", "vcs.ref.head.revision")),
    Reading("source", _own("source")),
    Reading("arm", (*_own("arm"), "feature_flag.result.variant", "feature_flag.variant")),
    Reading("risk_category", _own("risk_category")),
    Reading("task", _own("task")),
    Reading("segment", _own("segment")),
    Reading("finish_reason", ("gen_ai.response.finish_reasons", "llm.finish_reason"), "call"),
    Reading("refused", _own("refused"), kind="flag"),
    Reading("escalated", _own("escalated"), kind="flag"),
    Reading("guardrail", _own("guardrail")),
    Reading("confidence", _own("confidence"), kind="number"),
    Reading(
        "input_tokens",
        ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt"),
        "calls",
        "count",
    ),
    Reading(
        "output_tokens",
        ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion"),
        "calls",
        "count",
    ),
    Reading("cost_usd", ("andon.cost_usd", "llm.cost.total", "operation.cost", "gen_ai.usage.cost"), "calls", "number"),
    Reading("expected_answer", _own("expected_answer")),
    Reading("prediction", _own("prediction")),
    Reading("prediction_score", _own("prediction_score"), kind="number"),
    Reading("label", _own("label")),
    Reading("weight", _own("weight"), kind="number"),
)
"""Every field that is read from an attribute, with the names in reading order: one row per field."""

_QUERY = ("andon.query", "input.value", "gen_ai.retrieval.query.text", "traceloop.entity.input")
_ANSWER = ("andon.answer", "output.value", "final_result", "traceloop.entity.output")
_AI = ("gen_ai.", "llm.", "retrieval.", "embedding.", "reranker.", "traceloop.", "input.value", "output.value")
_AI_NAMES = ("openinference.span.kind", "andon.query", "andon.answer", "andon.prediction")
_ROLES = {
    "LLM": "llm", "EMBEDDING": "embedding", "RETRIEVER": "retriever", "RERANKER": "reranker", "TOOL": "tool",
    "AGENT": "agent", "CHAIN": "chain", "GUARDRAIL": "other", "EVALUATOR": "other", "PROMPT": "other",
    "chat": "llm", "generate_content": "llm", "text_completion": "llm", "embeddings": "embedding",
    "retrieval": "retriever", "execute_tool": "tool", "invoke_agent": "agent", "create_agent": "other",
    "invoke_workflow": "chain", "workflow": "chain", "task": "chain", "agent": "agent", "tool": "tool",
    "completion": "llm", "embedding": "embedding", "rerank": "reranker",
}  # fmt: skip
_ROLE_NAMES = ("gen_ai.operation.name", "openinference.span.kind", "traceloop.span.kind", "llm.request.type")
_PARAMETERS = (
    ("temperature",), ("top_p",), ("top_k",), ("max_tokens", "max_completion_tokens", "max_output_tokens"), ("seed",),
    ("stop_sequences", "stop"), ("frequency_penalty",), ("presence_penalty",), ("choice.count", "n"),
    ("reasoning.level", "reasoning_effort"),
)  # fmt: skip
_NOT_FREE = (*_AI, "openinference.", "tool.", "telemetry.", "otel.", "service.instance.", "input.", "output.",
             "logfire.", "pydantic_ai.", "process.", "final_result", "model_request_parameters")  # fmt: skip
_FREE_LENGTH = 1_000
"""Longest free attribute that is copied into an interaction; longer ones stay in the table of spans."""
_FIRST_TOKEN_EVENTS = ("First Token Stream Event", "gen_ai.content.completion.chunk")


def assemble(spans: Sequence[SpanRow]) -> list[Interaction]:
    """One interaction for each trace that has at least one span of an AI system, ordered by time and id.

    The order of the spans and repeated spans do not matter. A trace without any attribute of a model, retrieval or
    agent (a health check, a database call) is none of ours and gives nothing.
    """
    traces: dict[str, dict[str, SpanRow]] = {}
    for span in sorted(spans, key=_order):
        trace = traces.setdefault(span.trace_id, {})
        known = trace.setdefault(span.span_id, span)
        if known is not span and _order(known) == _order(span) and repr(span) < repr(known):
            trace[span.span_id] = span  # two spans with one id: the choice must not depend on their order
    found = [_Trace(list(t.values())).interaction() for t in traces.values() if any(map(_is_ai, t.values()))]
    return sorted(found, key=lambda i: (i.time_us, i.id))


def _order(span: SpanRow) -> tuple[int, int, str]:
    return span.time_us, -span.end_us, span.span_id


def _is_ai(span: SpanRow) -> bool:
    return any(k.startswith(_AI) or k in _AI_NAMES for k in span.attributes)


class _Trace:
    """The spans of one trace in time order, with what several fields need."""

    def __init__(self, spans: list[SpanRow]) -> None:
        self.spans = [_widened(s) for s in spans]
        self.roles = {s.span_id: _role(s) for s in self.spans}
        self.parents = {s.span_id: s.parent_span_id for s in self.spans}
        self.root = self._root()
        models = self._of_role("llm") or [s for s in self._of_role("agent") if _is_model(s)]
        above = self._nearest({s.span_id for s in models})
        self.models = models
        self.within: dict[str | None, list[SpanRow]] = defaultdict(list)
        for span in models:
            self.within[above[span.span_id]].append(span)
        self.calls = _without_repeats(self.within[None])
        self.call = self._answering_call()

    def interaction(self) -> Interaction:
        first = self.spans[0]
        values: dict[str, Any] = {}
        for reading in READINGS:
            value = self._read(reading)
            if value is not None:
                values[reading.field] = value
        if not 0 <= values.get("confidence", 0.0) <= 1:
            del values["confidence"]
        if not values.get("weight", 1.0) > 0:
            del values["weight"]
        return Interaction(
            id=first.trace_id,
            trace_id=first.trace_id,
            time_us=first.time_us,
            query=self._query(),
            answer=self._answer(),
            contexts=self._contexts(),
            tool_calls=self._tool_calls(),
            tools_version=self._tools_version(),
            sampling_params=self._sampling_params(),
            error=self._error(),
            latency_s=(self.root.end_us - self.root.time_us) / 1e6,
            first_token_s=self._first_token_s(),
            attributes=self._free_attributes(),
            **values,
        )

    def _root(self) -> SpanRow:
        """The one span without a parent; where there is none or several, the longest of them (else of all)."""
        roots = [s for s in self.spans if s.parent_span_id is None]
        return max(roots or self.spans, key=lambda s: s.end_us - s.time_us)

    def _of_role(self, *roles: str) -> list[SpanRow]:
        return [s for s in self.spans if self.roles[s.span_id] in roles]

    def _nearest(self, members: set[str]) -> dict[str, str | None]:
        """For each span its nearest ancestor among `members`; a ring of parents has none."""
        found: dict[str, str | None] = {}
        for span in self.spans:
            path: dict[str, None] = {}
            at: str | None = span.span_id
            while at is not None and at not in found and at not in path and at in self.parents:
                path[at] = None
                at = self.parents[at]
            above = None if at is None or at not in found else at if at in members else found[at]
            for node in reversed(path):
                found[node] = above
                above = node if node in members else above
        return found

    def _answering_call(self) -> list[SpanRow]:
        """The last model call that says which model answered (else the last one), and the calls within it."""
        if not self.calls:
            return []
        said = next(r.names for r in READINGS if r.field == "model")
        groups = [[c, *self.within.get(c.span_id, ())] for c in self.calls]
        return next((g for g in reversed(groups) if any(_first(s, said) is not None for s in g)), groups[-1])

    def _read(self, reading: Reading) -> Any:
        convert = _CONVERT[reading.kind]
        if reading.of == "calls":
            return _sum(self._total(c, reading.names, convert) for c in self.calls)
        spans: Iterable[SpanRow]
        if reading.of == "call":
            spans = self.call
        elif reading.of == "embedding":
            spans = self._of_role("embedding")
        else:
            spans = (self.root, *self.spans)
        for name in reading.names:
            for span in spans:
                value = convert(span.attributes.get(name))
                if value is not None:
                    return value
        return None

    def _total(self, call: SpanRow, names: tuple[str, ...], convert: Callable[[Any], Any]) -> Any:
        """What a call counted itself; only where it counted nothing, what the calls within it did."""
        stack, total = [call], None
        while stack:
            span = stack.pop()
            own = next((v for v in (convert(span.attributes.get(n)) for n in names) if v is not None), None)
            if own is not None:
                total = own if total is None else total + own
            else:
                stack.extend(self.within.get(span.span_id, ()))
        return total

    def _tops(self) -> list[SpanRow]:
        """The outermost spans of the application itself: agents, chains and spans without a role."""
        own = [s for s in self._of_role("agent", "chain", "unknown") if _is_ai(s)]
        above = self._nearest({s.span_id for s in own})
        return [s for s in own if above[s.span_id] is None]

    def _query(self) -> str | None:
        for span in self._tops():
            text = plain_text(_first(span, _QUERY), answer=False)
            if text is None:
                text = _last_text(span, "user")
            if text is not None:
                return text
        for span in self.calls:
            text = _last_text(span, "user")
            if text is not None:
                return text
        rest = (*self.calls, *self._of_role("retriever", "embedding", "tool"))
        texts = (t for s in rest for t in (_last_text(s, "user"), plain_text(_first(s, _QUERY), answer=False)))
        return next((t for t in texts if t is not None), None)

    def _answer(self) -> str | None:
        for span in reversed(self._tops()):
            text = plain_text(_first(span, _ANSWER), answer=True)
            if text is None:
                text = _last_text(span, "")
            if text is not None:
                return text
        for span in reversed(self.calls):
            for part in (span, *self.within.get(span.span_id, ())):
                said = outputs(part)
                text = next((m.text for m in said if m.text is not None), None)
                if text is None and not said:
                    text = plain_text(_first(part, _ANSWER), answer=True)
                if text is not None:
                    return text
        return None

    def _contexts(self) -> tuple[Context, ...]:
        """Documents as the last reranker ordered them, else as the retrievers gave them; each once."""
        reranked = [_documents(s, "reranker.output_documents") for s in self._of_role("reranker")]
        ranked = next((docs for docs in reversed(reranked) if docs), None)
        if ranked is not None:
            return tuple(ranked)
        once: dict[tuple[str | None, str], Context] = {}
        for span in self.spans:
            for doc in _documents(span, "retrieval.documents"):
                once.setdefault((doc.id, doc.text), doc)
        return tuple(once.values())

    def _tool_calls(self) -> tuple[ToolCall, ...]:
        """Tools that ran, in time order, and tools that a model asked for and of which no run was seen."""
        found: list[tuple[tuple[int, int, str], str | None, ToolCall]] = []
        ran: dict[str, int] = {}
        for span in self._of_role("tool"):
            identity, call = _tool_run(span)
            ran[identity or call.name] = ran.get(identity or call.name, 0) + 1
            found.append((_order(span), identity, call))
        seen: set[str] = set()
        results: dict[str, str] = {}
        for span in self.models:
            for message in inputs(span):
                results.update(message.results)
            for asked in (a for m in outputs(span) for a in m.asked):
                if asked.id is not None and asked.id in seen:
                    continue
                seen.update(() if asked.id is None else (asked.id,))
                key = asked.id if asked.id in ran else asked.name
                if ran.get(key, 0) > 0:
                    ran[key] -= 1
                    continue
                found.append(
                    ((span.end_us, 0, span.span_id), asked.id, ToolCall(name=asked.name, arguments=asked.arguments))
                )
        found.sort(key=lambda f: f[0])
        return tuple(
            replace(c, result=results[i]) if c.result is None and i is not None and i in results else c
            for _, i, c in found
        )

    def _tools_version(self) -> str | None:
        """Hash of all tool definitions of the trace: another hash is another tool schema."""
        found: set[bytes] = set()
        for span in self.models:
            definitions = span.attributes.get("gen_ai.tool.definitions")
            listed = parse_json(definitions) if isinstance(definitions, str) else definitions
            if not isinstance(listed, list):
                flat = flat_list(span.attributes, "llm.tools")
                listed = [_below(t, "tool", "json_schema") for t in flat]
            for one in listed:
                known = parse_json(one) if isinstance(one, str) else one
                found.add(_canonical(one if known is None else known))
        return hashlib.sha256(b"\n".join(sorted(found))).hexdigest()[:16] if found else None

    def _sampling_params(self) -> str | None:
        found: dict[str, Any] = {}
        for names in _PARAMETERS:
            for name in names:
                wanted = (f"gen_ai.request.{name}", f"llm.invocation_parameters.{name}")
                value = next((v for v in (_first(s, wanted) for s in self.call) if v is not None), None)
                if value is not None and value != []:
                    found.setdefault(names[0], value)
        return _canonical(found).decode() if found else None

    def _error(self) -> str | None:
        """The error of the whole: the root's own, or that of the last model call when nothing was answered."""
        if self.root.status == "error" or self.root.attributes.get("error.type"):
            return _error_type(self.root)
        last = self.calls[-1] if self.calls else None
        if last is not None and last.status == "error" and self._answer() is None:
            return _error_type(last)
        return None

    def _first_token_s(self) -> float | None:
        """From the start of the trace to the first token of the call that answered."""
        for span in self.call:
            said = _number(span.attributes.get("gen_ai.response.time_to_first_chunk"))
            times = [e["time_us"] for e in span.events if e["name"] in _FIRST_TOKEN_EVENTS]
            first_us = span.time_us + round(said * 1e6) if said is not None and 0 <= said < 1e6 else None
            first_us = min(times) if first_us is None and times else first_us
            if first_us is not None and first_us >= span.time_us:
                return (first_us - self.spans[0].time_us) / 1e6
        return None

    def _free_attributes(self) -> dict[str, str]:
        used = {name for r in READINGS for name in r.names} | {*_QUERY, *_ANSWER, "metadata", "session.id", "user.id"}
        found: dict[str, str] = {}
        for span in (self.root, *self.spans):
            for key, value in span.attributes.items():
                text = _text(value)
                if text is None or len(text) > _FREE_LENGTH or key in used:
                    continue
                own = key.removeprefix("metadata.").removeprefix("traceloop.association.properties.")
                if own != key or key.startswith("andon.") or (span is self.root and not key.startswith(_NOT_FREE)):
                    found.setdefault(own, text)
        return found


def _widened(span: SpanRow) -> SpanRow:
    """The span with the entries of its JSON attributes as attributes of their own (``metadata.team``)."""
    more: dict[str, Any] = {}
    for name in ("metadata", "llm.invocation_parameters", "embedding.invocation_parameters"):
        inner = span.attributes.get(name)
        inner = parse_json(inner) if isinstance(inner, str) else inner
        if isinstance(inner, dict):
            more.update((f"{name}.{k}", v) for k, v in inner.items())
    return replace(span, attributes={**more, **span.attributes}) if more else span


def _role(span: SpanRow) -> str:
    for name in _ROLE_NAMES:
        role = _ROLES.get(str(span.attributes.get(name, "")))
        if role is not None:
            return role
    if _is_model(span):
        return "llm"
    return "tool" if "gen_ai.tool.name" in span.attributes else "unknown"


def _is_model(span: SpanRow) -> bool:
    names = ("gen_ai.request.model", "gen_ai.response.model", "llm.model_name", "gen_ai.usage.input_tokens")
    return _first(span, names) is not None


def _without_repeats(models: list[SpanRow]) -> list[SpanRow]:
    """Calls without those whose response was already seen in another branch (two instrumentations of one call)."""
    seen: dict[str, str | None] = {}
    kept = []
    for span in models:
        response = span.attributes.get("gen_ai.response.id")
        if isinstance(response, str) and seen.setdefault(response, span.span_id) != span.span_id:
            continue
        kept.append(span)
    return kept


def _first(span: SpanRow, names: Iterable[str]) -> Any:
    return next((span.attributes[n] for n in names if span.attributes.get(n) is not None), None)


def _last_text(span: SpanRow, role: str) -> str | None:
    """The last text of a role that went into a span; with no role, the last text that came out of it."""
    messages = [m for m in inputs(span) if m.role in (role, "")] if role else outputs(span)
    return next((m.text for m in reversed(messages) if m.text is not None), None)


def _documents(span: SpanRow, prefix: str) -> list[Context]:
    listed = span.attributes.get("gen_ai.retrieval.documents") if prefix == "retrieval.documents" else None
    listed = parse_json(listed) if isinstance(listed, str) else listed
    if not isinstance(listed, list):
        listed = [d.get("document", d) for d in flat_list(span.attributes, prefix)]
    return [_document(d) for d in listed if isinstance(d, dict)]


def _document(item: dict[str, Any]) -> Context:
    text = next((item[k] for k in ("content", "text", "page_content") if item.get(k) is not None), None)
    return Context(text=_text(text) or "", id=_text(item.get("id")), score=_number(item.get("score")))


def _tool_run(span: SpanRow) -> tuple[str | None, ToolCall]:
    name = _text(_first(span, ("gen_ai.tool.name", "tool.name", "traceloop.entity.name"))) or span.name
    arguments = _first(span, ("gen_ai.tool.call.arguments", "tool.parameters", "input.value", "traceloop.entity.input"))
    result = _first(span, ("gen_ai.tool.call.result", "output.value", "traceloop.entity.output"))
    identity = _text(_first(span, ("gen_ai.tool.call.id", "tool.id", "tool_call.id")))
    failed = span.status == "error" or span.attributes.get("error.type")
    return identity, ToolCall(
        name=name, arguments=compact_json(arguments), result=_text(result), error=_error_type(span) if failed else None
    )


def _error_type(span: SpanRow) -> str:
    raised = (e["attributes"].get("exception.type") for e in span.events if e["name"] == "exception")
    return (
        _text(span.attributes.get("error.type"))
        or next((str(r).rpartition(".")[2] for r in raised if r), None)
        or "error"
    )


def _below(tree: Any, *path: str) -> Any:
    for step in path:
        tree = tree.get(step) if isinstance(tree, dict) else None
    return tree


def _canonical(value: Any) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        return repr(value).encode("utf-8", "replace")


def _sum(values: Iterable[Any]) -> Any:
    known = [v for v in values if v is not None]
    return sum(known) if known else None


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value or None
    if value is None or value in ([], {}):
        return None
    if isinstance(value, list) and all(isinstance(v, str) for v in value):
        return ",".join(value)
    if isinstance(value, bool | int | float):
        return str(value).lower() if isinstance(value, bool) else str(value)
    return _canonical(value).decode("utf-8", "replace")


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) else None


def _count(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number is not None and 0 <= number < 2**53 and number == int(number) else None


def _flag(value: Any) -> bool | None:
    return {"true": True, "false": False, "1": True, "0": False}.get(str(value).lower())


_CONVERT: dict[str, Callable[[Any], Any]] = {"text": _text, "number": _number, "count": _count, "flag": _flag}
