"""One span, read once: what each of its attribute names is for, so that no later question looks at all of them again."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from andon.traffic.conventions.readings import KEPT, READINGS
from andon.traffic.conventions.values import listed, parse_json, text
from andon.traffic.records import SpanRow

__all__ = ["Layout", "View", "layout_of", "objects_of", "text_of", "view_of"]

_AI = (
    "gen_ai.", "llm.", "retrieval.", "embedding.", "reranker.", "traceloop.", "db.vector.", "ai.operationId", "ai.model.",
    "ai.prompt", "ai.response.", "ai.usage.", "ai.toolCall.", "ai.embedding", "input.value", "output.value",
)  # fmt: skip
_NOT_AI = ("gen_ai.evaluation.",)
"""Says how good an answer was; what made the answer is another span."""
_AI_NAMES = ("openinference.span.kind", "andon.query", "andon.answer", "andon.prediction")
_AI_EVENTS = ("gen_ai.", "db.query.result", "db.search.result")
_FLAT = frozenset(
    n for r in READINGS if r.kind in ("messages", "documents", "definitions") for n in r.names
) | {"embedding.embeddings", "reranker.input_documents"}  # fmt: skip
_FEEDBACK = tuple(f"{scope}{word}s" for scope in ("", "trace.", "session.") for word in ("annotation", "evaluation"))
_OWN = ("metadata.", "traceloop.association.properties.", "ai.telemetry.metadata.")
_OPENED = ("metadata", "llm.invocation_parameters", "embedding.invocation_parameters")
"""Attributes whose JSON text holds attributes of their own."""
_USED = frozenset(n for r in READINGS for n in (*r.names, *r.parts)) - set(KEPT)
_NOT_FREE = (
    *_AI, "openinference.", "tool.", "telemetry.", "otel.", "service.instance.", "input.", "output.", "logfire.", "process.",
    "pydantic_ai.", "final_result", "model_request_parameters", "model_name", "agent_name", "feature_flag.", "andon.features", "ai.", "annotations.",
    "evaluations.", "trace.annotations.", "trace.evaluations.", "session.annotations.", "session.evaluations.",
)  # fmt: skip
_FIELDS: dict[str, tuple[str, ...]] = {
    name: tuple(r.field for r in READINGS if name in (*r.names, *r.parts))
    for name in sorted({n for r in READINGS for n in (*r.names, *r.parts)})
}
_LONGEST_NAME = 200
"""Longer names are those of nobody's convention; they are left to the table of spans."""
_MOST_NAMES = 100
"""Layouts of more names are not remembered: they rarely come twice."""

_ROLES = {
    "LLM": "llm", "EMBEDDING": "embedding", "RETRIEVER": "retriever", "RERANKER": "reranker", "TOOL": "tool",
    "AGENT": "agent", "CHAIN": "chain", "GUARDRAIL": "guardrail", "EVALUATOR": "evaluator", "PROMPT": "other",
    "chat": "llm", "generate_content": "llm", "text_completion": "llm", "embeddings": "embedding",
    "retrieval": "retriever", "execute_tool": "tool", "invoke_agent": "agent", "create_agent": "other", "plan": "chain",
    "search_memory": "other", "create_memory": "other", "update_memory": "other", "upsert_memory": "other",
    "delete_memory": "other", "create_memory_store": "other", "delete_memory_store": "other",
    "invoke_workflow": "chain", "workflow": "chain", "task": "chain", "agent": "agent", "tool": "tool",
    "completion": "llm", "embedding": "embedding", "rerank": "reranker",
    "ai.generateText": "agent", "ai.streamText": "agent", "ai.generateObject": "agent", "ai.streamObject": "agent",
    "ai.embed": "embedding", "ai.embedMany": "embedding", "ai.toolCall": "tool",
}  # fmt: skip
_ROLE_NAMES = (
    "gen_ai.operation.name",
    "openinference.span.kind",
    "traceloop.span.kind",
    "llm.request.type",
    "ai.operationId",
)
_MODEL_NAMES = (
    "gen_ai.request.model", "gen_ai.response.model", "llm.model_name", "gen_ai.usage.input_tokens", "ai.model.id",
)  # fmt: skip


class Layout(NamedTuple):
    """What the names of a span's attributes are for; spans of one instrumentation have the same."""

    ai: bool
    reads: frozenset[str]
    """The fields of `READINGS` of which at least one name is present."""
    flat: dict[str, tuple[tuple[tuple[str, ...], str, str], ...]]
    """The flattened lists: name (``llm.input_messages``) -> (path in it, last step of the path, name of the attribute),
    ordered by index; one path is one object, however many attributes end below it."""
    deep: frozenset[str]
    """Those of the lists whose entries hold lists."""
    roles: tuple[str, ...]
    """The names present that say what a span does."""
    free: tuple[tuple[str, str], ...]
    """(name, name under which it is kept) of the free attributes that count wherever they stand."""
    free_of_root: tuple[tuple[str, str], ...]
    """The same of a root, of which all count that nobody has a field for."""


class View:
    """A span and what its attributes are for."""

    __slots__ = ("ai", "attributes", "layout", "role", "row", "said")

    def __init__(self, row: SpanRow, attributes: dict[str, Any]) -> None:
        self.row = row
        self.attributes = attributes
        """Those of the span, with the entries of its JSON attributes as attributes of their own (``metadata.team``)."""
        self.layout = layout_of(attributes)
        self.said: dict[str, Any] = {}
        """What was worked out from it already."""
        self.ai = self.layout.ai or (bool(row.events) and any(map(_is_ai_event, row.events)))
        self.role = _role(self)

    def first(self, names: Iterable[str]) -> Any:
        """The value of the first of the names that is present."""
        attributes = self.attributes
        for name in names:
            if name in attributes and (value := attributes[name]) is not None:
                return value
        return None

    def has(self, name: str) -> bool:
        """Whether an attribute, or a flattened list, of this name is there."""
        return name in self.attributes or name in self.layout.flat

    def objects(self, name: str) -> list[Any]:
        """The entries of a list: as it is, as JSON text, or flattened, in the order of their index."""
        if name in self.attributes:
            found = listed(self.attributes[name])
            if found:
                return found
        return _nested(self.attributes, self.layout, name)


def view_of(row: SpanRow) -> View:
    """The span, with its JSON attributes opened."""
    attributes = row.attributes
    more: dict[str, Any] = {}
    for name in _OPENED:
        if name in attributes:
            inner = attributes[name]
            inner = parse_json(inner) if isinstance(inner, str) else inner
            if isinstance(inner, dict):
                more.update((f"{name}.{k}", v) for k, v in inner.items())
                if name != "metadata":
                    below = ((f"{name}.{k}", v) for k, v in inner.items() if isinstance(v, dict))
                    more.update((f"{k}.{b}", v) for k, inside in below for b, v in inside.items())
    if row.status == "error" and "llm.model_name" in attributes and not _answered(attributes):
        more["llm.request.model_name"] = attributes["llm.model_name"]  # of a failed call it is the model asked for
        attributes = {k: v for k, v in attributes.items() if k != "llm.model_name"}
    return View(row, {**more, **attributes} if more else attributes)


def layout_of(attributes: Mapping[str, Any]) -> Layout:
    """What the names of some attributes are for."""
    names = tuple(attributes)
    return _layout(names) if len(names) <= _MOST_NAMES else _layout_of(names)


def objects_of(attributes: Mapping[str, Any], name: str) -> list[Any]:
    """The entries of a flattened list, in the order of their index."""
    return _nested(attributes, layout_of(attributes), name)


def text_of(views: Sequence[View], names: Iterable[str]) -> str | None:
    """The text of the first of the names that one of the spans has."""
    for name in names:
        for view in views:
            if name in view.attributes and (found := text(view.attributes[name])) is not None:
                return found
    return None


def _layout_of(names: tuple[str, ...]) -> Layout:
    ai = False
    reads: set[str] = set()
    flat: dict[str, list[tuple[tuple[str, ...], str, str]]] = {}
    paths: dict[tuple[str, ...], tuple[str, ...]] = {}
    free: list[tuple[str, str]] = []
    of_root: list[tuple[str, str]] = []
    for name in names:
        if len(name) > _LONGEST_NAME:
            continue
        ai = ai or name in _AI_NAMES or (name.startswith(_AI) and not name.startswith(_NOT_AI))
        start, path = _split(name)
        if start is not None:
            above = paths.setdefault(path[:-1], path[:-1])
            flat.setdefault(start, []).append((above, path[-1], name))
        reads.update(_FIELDS.get(name if start is None else start, ()))
        if name.startswith("andon.features."):
            reads.add("features")
        kept = _kept(name)
        if kept is not None:
            free.append((name, kept))
        elif name not in _USED and name not in _OPENED and not name.startswith(_NOT_FREE):
            of_root.append((name, name))
    ordered = {start: tuple(sorted(v, key=lambda entry: int((*entry[0], entry[1])[0]))) for start, v in flat.items()}
    deep = frozenset(k for k, v in flat.items() if any(s.isdecimal() for path, leaf, _ in v for s in (*path, leaf)[1:]))
    roles = tuple(name for name in _ROLE_NAMES if name in names)
    return Layout(ai, frozenset(reads), ordered, deep, roles, tuple(free), (*free, *of_root))


_layout = lru_cache(maxsize=1024)(_layout_of)


def _kept(name: str) -> str | None:
    """Under which name an attribute is kept wherever it stands; None where it is not."""
    if name in KEPT:
        return name
    if name in _USED or name.startswith("andon.features"):
        return None
    own = next((name.removeprefix(p) for p in _OWN if name.startswith(p)), None)
    return own or (name if name.startswith("andon.") else None)


def _is_ai_event(event: dict[str, Any]) -> bool:
    name: str = event["name"]
    return name.startswith(_AI_EVENTS) and not name.startswith(_NOT_AI)


def _split(name: str) -> tuple[str | None, tuple[str, ...]]:
    """The list that an attribute is a part of, and where in it: ``llm.tools.0.tool.name`` -> ``llm.tools``, 0.tool.name."""
    steps = name.split(".")
    for i, step in enumerate(steps):
        if step.isdecimal():
            start = ".".join(steps[:i])
            return (start, tuple(steps[i:])) if start in _FLAT or start in _FEEDBACK else (None, ())
    return None, ()


def _role(view: View) -> str:
    attributes = view.attributes
    for name in view.layout.roles:
        said = attributes[name]
        if isinstance(said, str):
            role = _ROLES.get(said) or _operation(said)
            if role is not None:
                return role
    if not view.ai:
        return "unknown"
    if view.first(_MODEL_NAMES) is not None:
        return "llm"
    if "gen_ai.tool.name" in attributes:
        return "tool"
    events = view.row.events
    if any(n.startswith("db.vector.") for n in attributes) or any(e["name"].startswith("db.") for e in events):
        return "retriever"
    return "unknown"


def _operation(said: str) -> str | None:
    """Operations of the Vercel AI SDK: ``ai.streamText.doStream``."""
    if not said.startswith("ai."):
        return None
    return "embedding" if said.endswith(".doEmbed") else "llm" if said.endswith((".doGenerate", ".doStream")) else None


def _answered(attributes: dict[str, Any]) -> bool:
    return "output.value" in attributes or any(n.startswith("llm.output_messages.") for n in attributes)


def _nested(attributes: Mapping[str, Any], layout: Layout, name: str) -> list[Any]:
    tree = _Branch()
    branch: _Branch | None = tree
    at: tuple[str, ...] | None = None
    for path, leaf, full in layout.flat.get(name, ()):
        if path is not at:
            at, branch = path, _branch(tree, path)
        if branch is not None:
            branch.setdefault(leaf, attributes[full])
    return list(map(_listed_again, tree.values()) if name in layout.deep else tree.values())


class _Branch(dict[str, Any]):
    """A dict of ours, told from one that was sent, to which nothing may be added."""


def _branch(tree: _Branch, path: tuple[str, ...]) -> _Branch | None:
    """Where in a tree a path ends; None where a leaf stands in its way: the leaf came first."""
    for step in path:
        below = tree.get(step)
        if below is None:
            below = tree[step] = _Branch()
        elif type(below) is not _Branch:
            return None
        tree = below
    return tree


def _listed_again(value: Any) -> Any:
    """A value in which dicts whose keys are indices are lists again."""
    if not isinstance(value, dict):
        return value
    if all(map(str.isdecimal, value)) and value:
        return [_listed_again(value[k]) for k in sorted(value, key=int)]
    return {k: _listed_again(v) for k, v in value.items()}
