"""The spans of one trace to one `Interaction`.

Which attribute becomes which field is a table (`andon.traffic.conventions.readings`). What needs more than a look-up (texts, contexts,
tool calls, flags) is here.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import isfinite
from typing import Any

from andon.traffic.conventions.messages import asked_by, inputs, outputs, plain_text, raw_response
from andon.traffic.conventions.readings import PARAMETERS, PROVIDERS, READINGS, Reading, finish_reason, names_of
from andon.traffic.conventions.steps import MOST_STEPS, RESPONSES, Tree, error_of, order_of, steps_of, tool_name
from andon.traffic.conventions.tokens import NONE
from andon.traffic.conventions.values import CONVERT, canonical, compact_json, number, parse_json, text
from andon.traffic.conventions.views import View, text_of
from andon.traffic.records import Context, Interaction, SpanRow, ToolCall

__all__ = ["READINGS", "Reading", "assemble"]

_BY_PLACE = {"provider", "model", "requested_model"}
_OF_TRACE = tuple(
    (r.field, r.names, r.kind) for r in READINGS if r.of == "trace" and r.kind in CONVERT and r.field != "arm"
)
_OF_CALL = tuple(r for r in READINGS if r.of == "call" and r.field in _BY_PLACE)
_EMBEDDING_MODEL = next(r for r in READINGS if r.field == "embedding_model")
_PARAMETER_FIELDS = frozenset(p.field for p in PARAMETERS)
_ONE_CHOICE = ("sampling_params.choice.count", 1)
"""Not said by most senders, and no choice of anybody's."""
_FINISHED = names_of("finish_reason")
_COST = next(r for r in READINGS if r.field == "cost_usd")
_FIRST_TOKEN = tuple(
    (r.names, 1e3 if r.kind == "milliseconds" else 1e6) for r in READINGS if r.field == "first_token_s"
)
_QUERY, _INPUT = (r.names for r in READINGS if r.field == "query" and r.of == "top")
_ANSWER, _OUTPUT = (r.names for r in READINGS if r.field == "answer" and r.of == "top")
_SEARCHED, _EMBEDDED = names_of("query", "retrieval"), names_of("query", "embedding")
_RERANKED, _RETRIEVED = (r.names for r in READINGS if r.field == "contexts")
_ARGUMENTS, _RESULT, _TOOL_ID = (names_of(f"tool_calls.{n}") for n in ("arguments", "result", "id"))
_DEFINITIONS = names_of("tools_version")
_SAME_IN_TOOLS = {"input_schema": "parameters", "inputSchema": "parameters"}
_OWN_ARM = tuple(n for n in names_of("arm") if not n.startswith("feature_flag."))
_VARIANTS = tuple(n for n in names_of("arm") if n.startswith("feature_flag."))
_FLAG_EVENTS = ("feature_flag.evaluation", "feature_flag")
_FOUND_EVENTS = ("db.query.result", "db.search.result")
_FIRST_TOKEN_EVENTS = ("First Token Stream Event", "gen_ai.content.completion.chunk", "ai.stream.firstChunk")
_FREE_LENGTH = 1_000
"""Longest free attribute that is copied into an interaction; longer ones stay in the table of spans."""
_NOBODYS_NAME = "unknown_service"
"""What an SDK calls an application that nobody has named."""
_MOST_TOKENS = 2**53


def assemble(spans: Sequence[SpanRow]) -> list[Interaction]:
    """One interaction for each trace that has at least one span of an AI system, ordered by time and id.

    The order of the spans and repeated spans do not matter. A trace without any attribute of a model, retrieval or
    agent (a health check, a database call) is none of ours and gives nothing; nor does one that only judges another.
    """
    traces: dict[str, dict[str, SpanRow]] = {}
    for span in sorted(spans, key=order_of):
        trace = traces.setdefault(span.trace_id, {})
        known = trace.setdefault(span.span_id, span)
        if known is not span and order_of(known) == order_of(span) and known != span and repr(span) < repr(known):
            trace[span.span_id] = span  # two spans with one id: the choice must not depend on their order
    trees = (Tree(list(t.values())) for t in traces.values())
    found = [_Trace(tree).interaction() for tree in trees if tree.ai]
    return sorted(found, key=lambda i: (i.time_us, i.id))


class _Trace:
    """The fields of one trace's interaction."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.views = tree.views
        self.root = tree.root
        self.from_root = (self.root, *self.views)
        self.reads = frozenset[str]().union(*(v.layout.reads for v in self.views))

    def interaction(self) -> Interaction:
        first = self.views[0].row
        steps, left_out = steps_of(self.tree)
        flags = self._flags()
        values = self._values(flags)
        attributes = self._free_attributes(flags)
        if left_out:
            attributes["steps_left_out"] = str(left_out)
        return Interaction(
            id=first.trace_id,
            trace_id=first.trace_id,
            time_us=first.time_us,
            query=self._query(),
            answer=self._answer(),
            contexts=self._contexts(),
            tool_calls=self._tool_calls(),
            steps=tuple(steps),
            tools_version=self._tools_version(),
            sampling_params=self._sampling_params(),
            features=self._features(),
            error=self._error(),
            latency_s=(self.root.row.end_us - self.root.row.time_us) / 1e6,
            first_token_s=self._first_token_s(),
            attributes=attributes,
            **values,
        )

    def _values(self, flags: dict[str, str]) -> dict[str, Any]:
        """The fields that one attribute says, those that nobody said left out."""
        reads = self.reads
        values: dict[str, Any] = {f: self._of_trace(names, kind) for f, names, kind in _OF_TRACE if f in reads}
        for reading in _OF_CALL:
            if self.tree.speaking or reading.field == "provider":
                values[reading.field] = text_of(self.tree.answering, reading.names)
        provider = values.get("provider")
        values["provider"] = PROVIDERS.get(provider, provider) if provider is not None else None
        values["embedding_model"] = text_of(self.tree.of_role("embedding"), _EMBEDDING_MODEL.names)
        values["finish_reason"] = self._finish_reason()
        values["arm"] = self._of_trace(_OWN_ARM, "text") or _arm(flags)
        values.update(self._spent())
        if (values.get("app") or "").startswith(_NOBODYS_NAME):
            values["app"] = text_of(self.from_root, ("openinference.project.name",))
        if not 0 <= (values.get("confidence") or 0.0) <= 1:
            values["confidence"] = None
        if not (values.get("weight") or 0.0) > 0:
            values["weight"] = None
        return {name: value for name, value in values.items() if value is not None}

    def _of_trace(self, names: tuple[str, ...], kind: str) -> Any:
        """The value of the first of the names that any span has, the root's before the others'."""
        convert = CONVERT[kind]
        for name in names:
            for view in self.from_root:
                if name in view.attributes and (value := convert(view.attributes[name])) is not None:
                    return value
        return None

    def _spent(self) -> dict[str, Any]:
        tree, total, cost = self.tree, NONE, None
        for call in tree.calls:
            tokens = tree.tokens(call)
            total = total.plus(tokens) if total is not NONE else tokens
            paid = tree.total(call, _cost_of, float.__add__) if "cost_usd" in self.reads else None
            if paid is not None:
                cost = paid if cost is None else cost + paid
        spent: dict[str, Any] = {
            f"{n}_tokens": c for n, c in total._asdict().items() if c is not None and c < _MOST_TOKENS
        }
        return {**spent, "cost_usd": cost if cost is not None and isfinite(cost) else None}

    def _query(self) -> str | None:
        tree = self.tree
        for view in tree.tops:
            found = plain_text(view.first(_QUERY), answer=False)
            found = _asked_text(view) if found is None else found
            found = plain_text(view.first(_INPUT), answer=False) if found is None else found
            if found is not None:
                return found
        for call in tree.speaking:
            for view in tree.group(call):
                found = _asked_text(view)
                if found is not None:
                    return found
        places = (
            (tree.speaking, (*_QUERY, *_INPUT)),
            (tree.of_role("retriever", "reranker"), _SEARCHED),
            (tree.of_role("embedding"), _EMBEDDED),
            (tree.of_role("tool"), _INPUT),
        )
        texts = (_text_in(view, names) for views, names in places for view in views)
        return next((t for t in texts if t is not None), None)

    def _answer(self) -> str | None:
        tree = self.tree
        for view in reversed(tree.tops):
            found = plain_text(view.first(_ANSWER), answer=True)
            found = (
                next((m.text for m in reversed(outputs(view)) if m.text is not None), None) if found is None else found
            )
            found = plain_text(view.first(_OUTPUT), answer=True) if found is None else found
            if found is not None:
                return found
        for call in reversed(tree.speaking):
            for view in tree.group(call):
                found = plain_text(view.first(_ANSWER), answer=True)
                said = outputs(view)
                found = next((m.text for m in said if m.text is not None), None) if found is None else found
                if found is None and not said:
                    found = plain_text(view.first(_OUTPUT), answer=True)
                if found is not None:
                    return found
        return None

    def _contexts(self) -> tuple[Context, ...]:
        """Documents as the last reranker ordered them, else as the retrievers gave them; each once."""
        views = [v for v in self.views if v.row.events or "contexts" in v.layout.reads]
        for view in reversed(views):
            ranked = _documents(view, _RERANKED)
            if ranked:
                return tuple(ranked)
        once: dict[tuple[str | None, str], Context] = {}
        for view in views:
            for doc in (*_documents(view, _RETRIEVED), *_found_in_events(view.row)):
                once.setdefault((doc.id, doc.text), doc)
        return tuple(once.values())

    def _tool_calls(self) -> tuple[ToolCall, ...]:
        """Tools that ran, in time order, and tools that a model asked for and of which no run was seen."""
        tree = self.tree
        found: list[tuple[tuple[int, int, str], str | None, ToolCall]] = []
        ran: dict[str, int] = {}
        for view in tree.of_role("tool"):
            if view.row.span_id in tree.repeated:
                continue
            identity, call = _tool_run(view)
            ran[identity or call.name] = ran.get(identity or call.name, 0) + 1
            found.append((order_of(view.row), identity, call))
        seen: set[str] = set()
        for call_view in tree.calls:
            group = tree.group(call_view)
            for asked in next((a for a in map(asked_by, group) if a), ()):
                if asked.id is not None and asked.id in seen:
                    continue
                seen.update(() if asked.id is None else (asked.id,))
                key = asked.id if asked.id in ran else asked.name
                if ran.get(key, 0) > 0:
                    ran[key] -= 1
                    continue
                at = (call_view.row.end_us, 0, call_view.row.span_id)
                found.append((at, asked.id, ToolCall(name=asked.name, arguments=asked.arguments)))
        found.sort(key=lambda f: f[0])
        results = self._results() if any(i is not None and c.result is None for _, i, c in found) else {}
        return tuple(
            replace(c, result=results[i]) if c.result is None and i is not None and i in results else c
            for _, i, c in found
        )

    def _results(self) -> dict[str, str]:
        """Results of tools, by the id of the call, as later messages give them to a model."""
        found: dict[str, str] = {}
        for call in self.tree.calls:
            for view in self.tree.group(call):
                for message in (*inputs(view), *outputs(view)):
                    found.update(message.results)
        return found

    def _tools_version(self) -> str | None:
        """Hash of all tool definitions of the trace: another hash is another tool schema."""
        found: set[bytes] = set()
        known: set[str] = set()
        views = (v for call in self.tree.calls for v in self.tree.group(call) if "tools_version" in v.layout.reads)
        for view in views:
            for name in _DEFINITIONS:
                same = view.attributes.get(name)
                if isinstance(same, str):
                    if same in known:
                        break
                    known.add(same)
                defined = view.objects(name) if view.has(name) else []
                found.update(map(_definition, defined))
                if defined:
                    break
        return hashlib.sha256(b"\n".join(sorted(found))).hexdigest()[:16] if found else None

    def _sampling_params(self) -> str | None:
        found: dict[str, Any] = {}
        if self.reads.isdisjoint(_PARAMETER_FIELDS):
            return None
        places = {"call": self.tree.answering, "retrieval": self.tree.of_role("retriever", "reranker")}
        for reading in (p for p in PARAMETERS if p.field in self.reads):
            views = [v for v in places[reading.of] if reading.field in v.layout.reads]
            values = (v.attributes.get(n) for n in reading.names for v in views if n in v.attributes)
            value = next((v for v in values if v is not None and v != []), None)
            if value is not None and (reading.field, value) != _ONE_CHOICE:
                whole = isinstance(value, float) and value.is_integer()
                found[reading.field.removeprefix("sampling_params.")] = int(value) if whole else value
        return canonical(found).decode("utf-8", "replace") if found else None

    def _features(self) -> dict[str, float | str]:
        """The inputs of a classical model: ``andon.features`` as an object, or one attribute for each."""
        if "features" not in self.reads:
            return {}
        start, given = "andon.features", dict[str, Any]()
        for view in self.from_root:
            whole = view.attributes.get(start)
            whole = parse_json(whole) if isinstance(whole, str) else whole
            each = {n.removeprefix(f"{start}."): v for n, v in view.attributes.items() if n.startswith(f"{start}.")}
            given = {**(whole if isinstance(whole, dict) else {}), **each, **given}
        found: dict[str, float | str] = {}
        for name, value in given.items():
            known = float(value) if isinstance(value, int | float) and number(value) is not None else text(value)
            if known is not None:
                found[name] = known
        return found

    def _flags(self) -> dict[str, str]:
        """The variant of each flag that was evaluated, the first where there were several."""
        found: dict[str, str] = {}
        for view in self.views:
            if not view.row.events and "arm" not in view.layout.reads:
                continue
            events = (e["attributes"] for e in view.row.events if e["name"] in _FLAG_EVENTS)
            for attributes in (view.attributes, *events):
                variant = next((v for v in (text(attributes.get(n)) for n in _VARIANTS) if v is not None), None)
                if variant is not None and len(variant) <= _FREE_LENGTH:
                    found.setdefault(text(attributes.get("feature_flag.key")) or "", variant)
        return found

    def _error(self) -> str | None:
        """The error of the whole: the root's own, or that of the last model call when nothing was answered."""
        error = error_of(self.root)
        last = self.tree.calls[-1] if self.tree.calls else None
        if error is None and last is not None and last.row.status == "error" and self._answer() is None:
            return error_of(last)
        return error

    def _finish_reason(self) -> str | None:
        answering = self.tree.answering
        said = (finish_reason(v.attributes[n]) for n in _FINISHED for v in answering if n in v.attributes)
        found = next((f for f in said if f is not None), None)
        if found is None:
            in_messages = (finish_reason([m.finish for m in outputs(v)]) for v in answering)
            found = next((f for f in in_messages if f is not None), None)
        if found is None:
            raw = (finish_reason(_raw_finish(raw_response(v))) for v in answering)
            found = next((f for f in raw if f is not None), None)
        return found

    def _first_token_s(self) -> float | None:
        """From the start of the trace to the first token of the call that answered."""
        for view in self.tree.answering:
            row = view.row
            if not row.events and "first_token_s" not in view.layout.reads:
                continue
            first_us = None
            for names, unit in _FIRST_TOKEN:
                said = number(view.first(names))
                if first_us is None and said is not None and 0 <= said * unit < 1e12:
                    first_us = row.time_us + round(said * unit)
            times = [e["time_us"] for e in row.events if e["name"] in _FIRST_TOKEN_EVENTS]
            first_us = min(times) if first_us is None and times else first_us
            if first_us is not None and first_us >= row.time_us:
                return (first_us - self.views[0].row.time_us) / 1e6
        return None

    def _free_attributes(self, flags: dict[str, str]) -> dict[str, str]:
        found: dict[str, str] = {f"feature_flag.{k}": v for k, v in flags.items() if k}
        calls = (v for call in self.tree.calls[:MOST_STEPS] for v in self.tree.group(call))
        responses = dict.fromkeys(r for r in (view.first(RESPONSES) for view in calls) if isinstance(r, str) and r)
        if responses:
            found[RESPONSES[0]] = ",".join(responses)  # an evaluation may know no more of the call than this
        for view in self.from_root:
            layout, attributes = view.layout, view.attributes
            for name, kept in layout.free_of_root if view is self.root else layout.free:
                if kept not in found:
                    known = text(attributes[name])
                    if known is not None and len(known) <= _FREE_LENGTH:
                        found[kept] = known
        return found


def _arm(flags: dict[str, str]) -> str | None:
    if len(flags) < 2:
        return next(iter(flags.values()), None)
    return ",".join(f"{key}={variant}" for key, variant in sorted(flags.items()))


def _cost_of(view: View) -> float | None:
    for name in _COST.names:
        if name in view.attributes and (whole := number(view.attributes[name])) is not None:
            return whole
    parts = [n for n in (number(view.attributes.get(p)) for p in _COST.parts) if n is not None]
    return sum(parts) if parts else None


def _asked_text(view: View) -> str | None:
    """The last text of a user that went into a span."""
    return next((m.text for m in reversed(inputs(view)) if m.role in ("user", "") and m.text is not None), None)


def _text_in(view: View, names: Iterable[str]) -> str | None:
    asked = _asked_text(view)
    if asked is not None:
        return asked
    for name in names:
        several = name in ("embedding.embeddings", "ai.values")
        for item in reversed(view.objects(name)) if several else [view.attributes.get(name)]:
            inner = item.get("embedding", item) if isinstance(item, dict) else item
            found = plain_text(inner, answer=False)
            if found is not None:
                return found
    return None


def _documents(view: View, names: tuple[str, ...]) -> list[Context]:
    for name in names:
        if view.has(name):
            found = [d.get("document", d) for d in view.objects(name) if isinstance(d, dict)]
            if found:
                return [_document(d) for d in found if isinstance(d, dict)]
    return []


def _found_in_events(span: SpanRow) -> list[Context]:
    """What a vector database found, in the events of OpenLLMetry."""
    found = []
    for event in span.events:
        if event["name"] in _FOUND_EVENTS:
            start = event["name"] + "."
            found.append(_document({n.removeprefix(start): v for n, v in event["attributes"].items()}))
    return found


def _document(item: dict[str, Any]) -> Context:
    for name in ("content", "text", "page_content", "document"):
        said = item.get(name)
        if said is not None:
            break
    return Context(text=text(said) or "", id=text(item.get("id")), score=number(item.get("score")))


def _tool_run(view: View) -> tuple[str | None, ToolCall]:
    return text(view.first(_TOOL_ID)), ToolCall(
        name=tool_name(view),
        arguments=compact_json(view.first(_ARGUMENTS)),
        result=text(view.first(_RESULT)),
        error=error_of(view),
    )


def _definition(item: Any) -> bytes:
    """One tool's definition without what its convention or provider wraps it in."""
    inner = item.get("tool", item) if isinstance(item, dict) else item
    inner = inner.get("json_schema", inner) if isinstance(inner, dict) else inner
    known = parse_json(inner) if isinstance(inner, str) else inner
    if not isinstance(known, dict):
        return canonical(inner if known is None else known)
    function = known["function"] if isinstance(known.get("function"), dict) else known
    said = {_SAME_IN_TOOLS.get(k, k): v for k, v in function.items() if v is not None and v != ""}
    return canonical({k: v for k, v in said.items() if (k, v) != ("type", "function")})


def _raw_finish(raw: dict[str, Any]) -> Any:
    """Why generation ended, in the words of the response of OpenAI's Responses API, its chat API, or Anthropic's."""
    choices, items, details = raw.get("choices"), raw.get("output"), raw.get("incomplete_details")
    if isinstance(choices, list):
        return [c.get("finish_reason") for c in choices if isinstance(c, dict)]
    if raw.get("object") == "response" and raw.get("status") == "completed":
        called = isinstance(items, list) and any(
            isinstance(i, dict) and i.get("type") == "function_call" for i in items
        )
        return "tool_calls" if called else "stop"
    if raw.get("object") == "response":
        return details.get("reason") if isinstance(details, dict) else None
    return raw.get("stop_reason")
