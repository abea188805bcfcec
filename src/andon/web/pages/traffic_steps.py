"""The steps of one interaction: in which order, what each tool was given and gave, what failed and was tried again."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from andon.incidents import duration
from andon.traffic import Interaction, Step, ToolCall
from andon.traffic.run import Story
from andon.web.tables import Cell, Column, Table
from andon.web.waterfall import bar

__all__ = [
    "Failing",
    "Stepped",
    "error_of",
    "failing_of",
    "loose_calls",
    "steps_of",
    "steps_table",
    "steps_text",
    "took",
    "tools_text",
]

MOST_STEPS = 200
KINDS = ("agent", "chain", "llm", "tool", "retriever", "reranker", "embedding", "guardrail")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepped:
    """A step as the page shows it."""

    step: Step
    depth: int
    model: str = ""
    """Its model, where its name does not say it."""
    call: ToolCall | None = None
    """What the tool was given and gave, where it can be told which call the step was."""
    again: str = ""
    """That the same tool had just failed, and whether it was given the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """A step that failed, with all others of its name."""

    name: str
    kind: str
    times: int
    failed: int
    error: str
    """The most frequent error."""
    passed_last: bool
    """Whether the last of them did not fail."""


def took(seconds: float) -> str:
    """How long an answer took: finer than how long an incident lasts."""
    if not 0 <= seconds < 10:
        return duration(seconds)
    return f"{seconds * 1000:.0f} ms" if seconds < 0.9995 else f"{seconds:.1f} s"


def steps_of(story: Story) -> list[Stepped]:
    """The steps in their order; where the interaction has none, the spans of its trace."""
    i = story.interaction
    steps = list(i.steps)
    if not steps and story.spans:
        first = min(s.time_us for s in story.spans)
        places = {s.span_id: n for n, s in enumerate(story.spans)}
        steps = [
            Step(
                kind="other", name=s.name, parent=places.get(s.parent_span_id or ""), start_s=(s.time_us - first) / 1e6,
                latency_s=max(0, s.end_us - s.time_us) / 1e6, error=(s.status_message or "error") if s.status == "error" else None,
            )
            for s in story.spans
        ]  # fmt: skip
    calls = _calls_of(steps, i.tool_calls)
    found: list[Stepped] = []
    before: dict[str, Stepped] = {}
    for n, s in enumerate(steps[:MOST_STEPS]):
        named = bool(s.model) and any((s.model or "").startswith(word) for word in s.name.split() if len(word) > 2)
        one = Stepped(
            step=s, depth=_depth(steps, n), model="" if named else s.model or "", call=calls.get(n),
            again=_again(before.get(s.name), s, calls.get(n)),
        )  # fmt: skip
        found.append(one)
        if s.kind == "tool":
            before[s.name] = one
    return found


def _calls_of(steps: Sequence[Step], calls: Sequence[ToolCall]) -> dict[int, ToolCall]:
    """Place of a step -> the call that it was: one after the other by name, where there are as many steps as calls of it."""
    places: dict[str, list[int]] = {}
    for n, s in enumerate(steps):
        if s.kind == "tool":
            places.setdefault(s.name, []).append(n)
    asked: dict[str, list[ToolCall]] = {}
    for c in calls:
        asked.setdefault(c.name, []).append(c)
    same = (name for name in asked if len(asked[name]) == len(places.get(name, ())))
    return {n: c for name in same for n, c in zip(places[name], asked[name], strict=True)}


def _again(before: Stepped | None, step: Step, call: ToolCall | None) -> str:
    if step.kind != "tool" or before is None or not (before.step.error or (before.call and before.call.error)):
        return ""
    if call is None or before.call is None or call.arguments is None or before.call.arguments is None:
        return "tried again"
    return f"tried again, with {'the same' if call.arguments == before.call.arguments else 'other'} arguments"


def _depth(steps: Sequence[Step], n: int) -> int:
    depth, seen = 0, {n}
    while (parent := steps[n].parent) is not None and 0 <= parent < len(steps) and parent not in seen and depth < 6:
        n, depth = parent, depth + 1
        seen.add(n)
    return depth


def error_of(one: Stepped) -> str:
    """With what a step failed; empty where it did not."""
    return one.step.error or (one.call.error if one.call else None) or ""


def loose_calls(i: Interaction, steps: Sequence[Stepped]) -> list[ToolCall]:
    """The calls of tools that no step shows."""
    shown = {id(s.call) for s in steps if s.call is not None}
    return [c for c in i.tool_calls if id(c) not in shown]


def failing_of(steps: Sequence[Stepped]) -> list[Failing]:
    """What failed, by kind and name, the most frequent first."""
    found: dict[tuple[str, str], list[str]] = {}
    for s in steps:
        found.setdefault((s.step.kind, s.step.name), []).append(error_of(s))
    failing = [
        Failing(
            name=name, kind=kind, times=len(errors), failed=sum(map(bool, errors)), passed_last=not errors[-1],
            error=Counter(e for e in errors if e).most_common(1)[0][0],
        )
        for (kind, name), errors in found.items()
        if any(errors)
    ]  # fmt: skip
    return sorted(failing, key=lambda f: -f.failed)


def steps_text(steps: Sequence[Stepped]) -> str:
    """How many steps there were, and of what."""
    n = len(steps)
    kinds = Counter(s.step.kind for s in steps)
    parts = [
        f"{kinds[k]} of {words[0] if kinds[k] == 1 else words[1]}"
        for k, words in (
            ("llm", ("a model", "models")), ("tool", ("a tool", "tools")), ("retriever", ("a retriever", "retrievers")),
        )
        if kinds[k]
    ]  # fmt: skip
    said = f"{n} step{'s' if n != 1 else ''}"
    return f"{said}: {', '.join(parts)}" if parts and n > 1 else said


def tools_text(i: Interaction) -> str:
    """How many of its tools failed; empty where none did."""
    steps = [s for s in i.steps if s.kind == "tool"]
    failed = max(sum(bool(s.error) for s in steps), sum(bool(c.error) for c in i.tool_calls))
    times = max(len(steps), len(i.tool_calls))
    return f"{failed} of {times} tool call{'s' if times != 1 else ''} failed" if failed else ""


def steps_table(steps: Sequence[Stepped], story: Story) -> Table:
    """What was done, as a waterfall."""
    whole = max([s.step.start_s + s.step.latency_s for s in steps] + [story.interaction.latency_s or 0.0])
    columns = (
        Column(key="step", title="step"), Column(key="kind", title="kind", kind="tag"), Column(key="when", title="when", kind="picture", wide=True),
        Column(key="start_s", title="after", kind="number"), Column(key="latency_s", title="took", kind="number"),
        Column(key="model", title="model"), Column(key="tokens", title="tokens"), Column(key="error", title="error"),
    )  # fmt: skip
    rows = [_row(one, whole) for one in steps]
    kept = (
        columns
        if any(s.step.model or s.step.input_tokens for s in steps)
        else [c for c in columns if c.key not in ("model", "tokens")]
    )
    kept = kept if any(error_of(s) for s in steps) else [c for c in kept if c.key != "error"]
    return Table(name="steps", title="Steps", columns=kept, rows=rows, empty="It had one step only.")


def _row(one: Stepped, whole: float) -> dict[str, object]:
    s, error = one.step, error_of(one)
    return {
        "step": f"{'· ' * one.depth}{s.name}", "kind": s.kind,
        "when": bar(
            s.start_s, s.latency_s, whole, f"after {took(s.start_s)}, for {took(s.latency_s)}",
            kind=s.kind if s.kind in KINDS else "other", bad=bool(error),
        ),
        "start_s": took(s.start_s), "latency_s": took(s.latency_s), "model": s.model or "",
        "tokens": " / ".join(f"{n:,}" for n in (s.input_tokens, s.output_tokens) if n is not None),
        "error": Cell(value=error, tone="bad"), "_tone": "bad" if error else "",
    }  # fmt: skip
