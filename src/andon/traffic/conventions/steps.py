"""The spans of one trace as a tree: who ran within whom, which spans are one call seen twice, and the steps of an agent."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from andon.traffic.conventions.readings import names_of
from andon.traffic.conventions.tokens import NONE, Tokens, tokens_of
from andon.traffic.conventions.values import text
from andon.traffic.conventions.views import View, text_of, view_of
from andon.traffic.records import SpanRow, Step

__all__ = ["MOST_STEPS", "RESPONSES", "Tree", "error_of", "order_of", "steps_of", "tool_name"]

MOST_STEPS = 500
"""Steps of one interaction; what a longer run did after them stays in the table of spans."""

RESPONSES = ("gen_ai.response.id", "ai.response.id")
"""Names of the provider's id of a response, by which one call is known wherever it is told of."""
_TOOL_IDS, _TOOL_NAMES = names_of("tool_calls.id"), names_of("tool_calls.name")
_MODELS = (*names_of("model"), *names_of("requested_model"))
_ANSWERED = names_of("model")
_STEP_NAMES = {
    "tool": _TOOL_NAMES,
    "agent": ("gen_ai.agent.name", "agent.name", "traceloop.entity.name", "graph.node.name"),
    "chain": ("gen_ai.workflow.name", "traceloop.entity.name", "graph.node.name"),
}
_STEP_MODELS = {"llm": _MODELS, "embedding": names_of("embedding_model"), "reranker": ("reranker.model_name",)}


class Tree:
    """The spans of one trace in time order, without those that judged the answer afterwards."""

    def __init__(self, spans: Sequence[SpanRow]) -> None:
        self.views = [view_of(s) for s in spans]
        self._parents = {v.row.span_id: v.row.parent_span_id for v in self.views}
        self._roles = {v.role for v in self.views}
        if "evaluator" in self._roles:
            self._leave_out_judges()
        self.ai = [v for v in self.views if v.ai]
        if not self.ai:
            return
        self.root = self._root()
        self.above = self.nearest(v.row.span_id for v in self.ai)
        """For each span the nearest span of the AI system within which it ran."""
        self.tops = self._tops()
        self.within: dict[str, list[View]] = defaultdict(list)
        """For each call the spans in which another instrumentation saw the same call."""
        self.repeated = self._tools_seen_twice()
        """Ids of the spans that show a call which another span shows already."""
        self.calls = self._calls()
        """The calls of models, each once, in time order; those of embedding models where there are no others."""
        self.speaking = self._speaking()
        """The calls that may have asked and answered for the user."""
        self.answering = self._answering()
        """The last call that says which model answered (else the last one), and the spans that saw the same call."""

    def of_role(self, *roles: str) -> list[View]:
        """The spans of these roles, in time order."""
        return [v for v in self.views if v.role in roles] if self._roles.intersection(roles) else []

    def group(self, call: View) -> list[View]:
        """A call, and the spans in which others saw the same call."""
        return [call, *self.within[call.row.span_id]] if call.row.span_id in self.within else [call]

    def total(self, call: View, read: Callable[[View], Any], add: Callable[[Any, Any], Any]) -> Any:
        """What a call counted itself; only where it counted nothing, what the calls within it did."""
        stack, total = [call], None
        while stack:
            view = stack.pop()
            own = read(view)
            if own is not None:
                total = own if total is None else add(total, own)
            else:
                stack.extend(self.within.get(view.row.span_id, ()))
        return total

    def tokens(self, call: View) -> Tokens:
        """The tokens of a call: its own count, completed by what others counted of the same call."""
        if "tokens" not in call.said:
            call.said["tokens"] = self._tokens(call)
        found: Tokens = call.said["tokens"]
        return found

    def _tokens(self, call: View) -> Tokens:
        found = tokens_of(call)
        stack = list(self.within.get(call.row.span_id, ()))
        inner = NONE
        while stack:
            view = stack.pop()
            own = tokens_of(view)
            if own == NONE:
                stack.extend(self.within.get(view.row.span_id, ()))
            else:
                inner = inner.plus(own)
        return found.or_else(inner) if inner != NONE else found

    def nearest(self, members: Iterable[str]) -> dict[str, str | None]:
        """For each span its nearest ancestor among `members`; a ring of parents has none."""
        among, found, parents = set(members), dict[str, str | None](), self._parents
        for view in self.views:
            own = view.row.span_id
            parent = parents[own]
            if parent is None or parent not in parents:
                found[own] = None
                continue
            if parent in found:  # as it nearly always is: what holds others begins before them
                found[own] = parent if parent in among else found[parent]
                continue
            path: dict[str, None] = {}
            at: str | None = own
            while at is not None and at not in found and at not in path and at in parents:
                path[at] = None
                at = parents[at]
            above = None if at is None or at not in found else at if at in among else found[at]
            for node in reversed(path):
                found[node] = above
                above = node if node in among else above
        return found

    def _leave_out_judges(self) -> None:
        judges = {v.row.span_id for v in self.views if v.role == "evaluator"}
        within = self.nearest(judges)
        self.views = [v for v in self.views if v.row.span_id not in judges and within[v.row.span_id] is None]
        self._parents = {v.row.span_id: v.row.parent_span_id for v in self.views}
        self._roles = {v.role for v in self.views}

    def _root(self) -> View:
        """The one span without a parent; where there is none or several, the longest of them (else of all)."""
        roots = [v for v in self.views if v.row.parent_span_id is None]
        return roots[0] if len(roots) == 1 else max(roots or self.views, key=lambda v: v.row.end_us - v.row.time_us)

    def _tops(self) -> list[View]:
        """The outermost spans of the application itself: agents, chains and spans without a role."""
        own = [v for v in self.ai if v.role in ("agent", "chain", "unknown")]
        if len(own) < 2:
            return own
        above = self.nearest(v.row.span_id for v in own)
        return [v for v in own if above[v.row.span_id] is None]

    def _calls(self) -> list[View]:
        roles = [v for v in self.ai if v.role != "unknown"]
        above = self.above if len(roles) == len(self.ai) else self.nearest(v.row.span_id for v in roles)
        models = self.of_role("llm") or [v for v in self.of_role("agent") if v.first(_MODELS) is not None]
        kept = self._once(models, above)
        embedded = self.of_role("embedding")
        embedded = self._once(embedded, above) if embedded else []
        return kept or embedded

    def _once(self, calls: list[View], above: dict[str, str | None]) -> list[View]:
        """The calls without those that are another one, seen within it or beside it by a second instrumentation.

        A call within a tool or an agent that ran within a call is a call of its own.
        """
        seen: dict[str, str] = {}
        kept: list[View] = []
        among = {v.row.span_id for v in calls}
        for view in calls:
            outer = above[view.row.span_id]
            if outer is not None and outer in among:
                self.within[outer].append(view)
                self.repeated.add(view.row.span_id)
                continue
            response = view.first(RESPONSES)
            if isinstance(response, str) and seen.setdefault(response, view.row.span_id) != view.row.span_id:
                self.repeated.add(view.row.span_id)
                continue
            kept.append(view)
        return kept

    def _tools_seen_twice(self) -> set[str]:
        """Spans of tools right within another span of the same run of a tool."""
        tools = {v.row.span_id: v for v in self.of_role("tool") if v.ai}
        found = set()
        for view in tools.values():
            outer = tools.get(self.above[view.row.span_id] or "")
            if outer is not None:
                mine, theirs = text(view.first(_TOOL_IDS)), text(outer.first(_TOOL_IDS))
                if mine == theirs if mine is not None and theirs is not None else tool_name(view) == tool_name(outer):
                    found.add(view.row.span_id)
        return found

    def _speaking(self) -> list[View]:
        """Calls of models that speak, without those of guardrails, whose words nobody reads, unless there are no others."""
        if self.calls and self.calls[0].role == "embedding":
            return []
        guards = self.of_role("guardrail")
        if not guards:
            return self.calls
        guarded = self.nearest(v.row.span_id for v in guards)
        return [c for c in self.calls if guarded[c.row.span_id] is None] or self.calls

    def _answering(self) -> list[View]:
        calls = self.speaking or self.calls
        groups = (self.group(c) for c in reversed(calls))
        said = next((g for g in groups if any(v.first(_ANSWERED) is not None for v in g)), None)
        return said or (self.group(calls[-1]) if calls else [])


def steps_of(tree: Tree) -> tuple[list[Step], int]:
    """The steps of a run in the order in which they began, at most `MOST_STEPS`, and how many were left out.

    Empty where a single span of the AI system was all.
    """
    own = [v for v in tree.ai if v.row.span_id not in tree.repeated] if tree.repeated else tree.ai
    if len(own) < 2:
        return [], 0
    kept = own[:MOST_STEPS]
    place = {v.row.span_id: i for i, v in enumerate(kept)}
    above = tree.above if len(kept) == len(tree.ai) else tree.nearest(place)
    begin = tree.views[0].row.time_us
    return [_step(tree, v, begin, place, above) for v in kept], len(own) - len(kept)


def error_of(view: View) -> str | None:
    """Type of the error with which a span ended; None where it did not fail."""
    said = view.attributes.get("error.type")
    if view.row.status != "error" and not said:
        return None
    raised = (e["attributes"].get("exception.type") for e in view.row.events if e["name"] == "exception")
    return text(said) or next((str(r).rpartition(".")[2] for r in raised if r), None) or "error"


def tool_name(view: View) -> str:
    """Name of the tool that ran in a span."""
    return text(view.first(_TOOL_NAMES)) or view.row.name


def order_of(span: SpanRow) -> tuple[int, int, str]:
    """Spans in time order: what holds others before what it holds."""
    return span.time_us, -span.end_us, span.span_id


def _step(tree: Tree, view: View, begin_us: int, place: dict[str, int], above: dict[str, str | None]) -> Step:
    role, row = view.role, view.row
    counted = role in ("llm", "embedding")
    tokens = tree.tokens(view) if counted else NONE
    group = tree.group(view) if counted else [view]
    outer = above[row.span_id]
    named = text_of(group, _STEP_NAMES[role]) if role in _STEP_NAMES else None
    return Step(
        kind="other" if role == "unknown" else role,
        name=named or row.name or role,
        parent=None if outer is None else place[outer],
        start_s=(row.time_us - begin_us) / 1e6,
        latency_s=(row.end_us - row.time_us) / 1e6,
        model=text_of(group, _STEP_MODELS[role]) if role in _STEP_MODELS else None,
        input_tokens=tokens.input,
        output_tokens=tokens.output,
        error=error_of(view),
    )
