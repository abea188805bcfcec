"""What the page of one interaction shows: its tables, its versions and facts, what of the answer nothing supports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from andon.scores import explain_groundedness
from andon.scores.judging import Judged, Measured
from andon.traffic import VERSIONS, Interaction, format_time
from andon.traffic.run import Story
from andon.web.pages.traffic_steps import failing_of, steps_of, steps_text, took
from andon.web.tables import Cell, Column, Table, as_markdown

__all__ = [
    "FOLD",
    "LENIENT",
    "STRICTER",
    "Part",
    "bad_name",
    "clean",
    "facts_of",
    "feedback_table",
    "grounded_parts",
    "name_of",
    "passages_table",
    "scores_table",
    "shown_value",
    "story_markdown",
    "tools_table",
    "versions_of",
]  # fmt: skip

FOLD = 4_000
"""Characters of a text that are shown at first."""

STRICTER, LENIENT = "exact_match", "normalised_match"
"""The first fails where the second passes: another spelling is nothing to be told first."""

HALF = 0.5
"""A sentence of which less is in the passages is marked."""

MOST_SAID = 100
_BAD = {
    "thumbs": "thumbs down", "format_ok": "broken format", "citation_valid": "invalid citation", "language_match": "wrong language",
    "normalised_match": "not the expected answer", "exact_match": "another wording", "label_match": "wrong label", "probe_pass": "probe failed",
}  # fmt: skip
_WAYS = {"up": "high is bad", "down": "low is bad", "both": "both ways", "unknown": "not said"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A piece of an answer."""

    text: str
    why: str = ""
    """Why it is marked; empty: it is not."""


def clean(text: str) -> str:
    """One line without characters that nobody sees."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def name_of(metric: str) -> str:
    """The name of a metric in words."""
    return metric.removesuffix("_s").removesuffix("_usd").replace("_", " ")


def bad_name(measured: Measured) -> str:
    """What a bad value of a metric is called."""
    if measured.metric in _BAD:
        return _BAD[measured.metric]
    name = name_of(measured.metric)
    return f"no {name}" if measured.kind == "binary" and measured.bad == "down" else name


def grounded_parts(i: Interaction, values: Mapping[str, float]) -> list[Part]:
    """The answer in pieces: sentences that the passages do not support carry why. Where nothing told so, it is one piece."""
    answer = i.answer or ""
    passages = [c.text for c in i.contexts]
    if not answer or not passages or "groundedness" not in values:
        return [Part(text=answer)]
    parts, at = [], 0
    for claim in explain_groundedness(answer, passages):
        if claim.supported >= HALF and not claim.missing_numbers:
            continue
        start = answer.find(claim.text, at)
        if start < 0:
            continue
        lacking = ", ".join((*claim.missing_numbers, *claim.missing_words)[:8])
        why = f"{claim.supported:.0%} of it is in the passages" + (f"; they lack: {lacking}" if lacking else "")
        parts += [Part(text=answer[at:start])] if start > at else []
        parts.append(Part(text=claim.text, why=why))
        at = start + len(claim.text)
    return [*parts, Part(text=answer[at:])] if at < len(answer) else parts


def versions_of(i: Interaction) -> list[tuple[str, str, str, str]]:
    """Which version of each part it saw: words, value, where its changes are, and where else it was."""
    found = []
    for field in VERSIONS:
        value = getattr(i, field)
        if value and not (field == "requested_model" and value == i.model):
            words = field.removesuffix("_version").replace("_", " ")
            changes = f"/changes?{urlencode({'text': value, 'range': 'all'})}"
            found.append((words, value, changes, f"/traffic?{urlencode({'app': i.app, field: value})}"))
    return found


def facts_of(i: Interaction) -> list[tuple[str, str]]:
    """Figures and words of it that have no place of their own, as far as they are known."""
    tokens = [
        f"{n:,} {words}"
        for n, words in (
            (i.input_tokens, "in"), (i.output_tokens, "out"), (i.cache_read_tokens, "from a cache"),
            (i.cache_write_tokens, "to a cache"), (i.reasoning_tokens, "for reasoning"),
        )
        if n is not None
    ]  # fmt: skip
    pairs = (
        ("took", None if i.latency_s is None else took(i.latency_s)),
        ("first token", None if i.first_token_s is None else f"after {took(i.first_token_s)}"),
        ("tokens", ", ".join(tokens) or None), ("cost", None if i.cost_usd is None else f"${i.cost_usd:.4g}"),
        ("finished by", i.finish_reason), ("refused", _word(i.refused)), ("escalated", _word(i.escalated)), ("guardrail", i.guardrail),
        ("confidence", None if i.confidence is None else f"{i.confidence:.2f}"), ("arm", i.arm),
        ("stands for", f"{i.weight:,.4g} like it" if i.weight != 1 else None), ("trace", i.trace_id),
    )  # fmt: skip
    return [(name, value) for name, value in pairs if value]


def _word(value: bool | None) -> str | None:
    return None if value is None else "yes" if value else "no"


def shown_value(value: float, unit: str, kind: str) -> str:
    """A score as people read it."""
    if kind == "binary" and value in (0.0, 1.0):
        return "yes" if value else "no"
    if unit == "s":
        return took(value)
    return f"{value:,.0f}" if unit in ("tokens", "characters", "calls") else f"{value:.4g}"


def scores_table(judged: Sequence[Judged]) -> Table:
    """How it was judged."""
    columns = (
        Column(key="metric", title="score"), Column(key="value", title="value", kind="number"), Column(key="bad", title="says", kind="tag"),
        Column(key="cut", title="bad beyond", kind="number"), Column(key="direction", title="direction"), Column(key="harm", title="harm"),
        Column(key="version", title="scorer"), Column(key="about", title="what it is", wide=True),
    )  # fmt: skip
    rows = [
        {
            "metric": m.metric,
            "value": Cell(value=shown_value(j.value, m.unit, m.kind), tone="bad" if j.bad else ""),
            "bad": "" if j.bad is None else "fail" if j.bad else "pass", "cut": None if j.cut is None else shown_value(j.cut, m.unit, m.kind),
            "direction": _WAYS[m.bad], "harm": m.harm, "version": f"@{m.version}" if m.version else "people", "about": m.about,
            "_tone": "bad" if j.bad else "",
        }
        for j in judged
        for m in (j.measured,)
    ]  # fmt: skip
    empty = "It is not scored yet: that takes a turn of the loop, some seconds after it came. Probes and samples may be left out."
    return Table(name="scores", title="How it was judged", columns=columns, rows=rows, empty=empty)


def feedback_table(story: Story) -> Table:
    """What was said about it."""
    columns = (
        Column(key="time", title="when", kind="time"), Column(key="kind", title="kind", kind="tag"), Column(key="value", title="said"),
        Column(key="text", title="words", kind="long", wide=True), Column(key="by", title="by"), Column(key="scope", title="about"),
    )  # fmt: skip
    rows = [
        {
            "time": f.time_us, "kind": f.kind.replace("_", " "), "value": _said(f.kind, f.value, f.label, f.name, f.error),
            "text": f.text if f.text is None else f.text[:FOLD], "by": f.author or f.source,
            "scope": "this answer" if f.scope == "interaction" else "the session",
        }
        for f in story.feedback[:MOST_SAID]
    ]  # fmt: skip
    empty = (
        "Nobody said anything about it. Thumbs, corrections and ratings come with the client's `feedback` call or OTLP."
    )
    return Table(name="feedback", title="What people said", columns=columns, rows=rows, empty=empty.replace("`", ""))


def _said(kind: str, value: float | None, label: str | None, name: str | None, error: str | None) -> str:
    if error:
        return f"could not be made: {error}"
    if kind == "thumb" and value is not None:
        return "thumbs up" if value >= HALF else "thumbs down"
    words = [w for w in (name, label) if w]
    return " ".join([*words, *([] if value is None else [f"{value:g}"])])


def passages_table(i: Interaction) -> Table:
    """What was retrieved."""
    columns = (
        Column(key="id", title="id", kind="code"),
        Column(key="score", title="score", kind="number"),
        Column(key="text", title="text", kind="long"),
    )
    rows = [{"id": c.id, "score": c.score, "text": c.text} for c in i.contexts]
    return Table(name="passages", title="Passages", columns=columns, rows=rows)


def tools_table(i: Interaction) -> Table:
    """What tools were called, with what."""
    columns = tuple(
        Column(key=k, title=k, kind="code" if k == "arguments" else "text")
        for k in ("name", "arguments", "result", "error")
    )
    rows = [{"name": t.name, "arguments": t.arguments, "result": t.result, "error": t.error} for t in i.tool_calls]
    return Table(name="tools", title="Tool calls", columns=columns, rows=rows)


def story_markdown(story: Story, judged: Sequence[Judged], link: str) -> str:
    """The story for a chat or a ticket: texts stand in blocks of code, so that nothing in them is markup."""
    i = story.interaction
    lines = [
        f"## {clean(i.app)}, {format_time(i.time_us, 'millisecond')}",
        "",
        f"Interaction {_block_line(i.id)} ({link})",
        "",
    ]
    for title, text in (
        ("Question", i.query),
        ("Prediction", i.prediction),
        ("Answer", i.answer),
        ("Expected", i.expected_answer),
        ("Error", i.error),
    ):
        if text:
            lines += [f"**{title}**", "", _block(text[:FOLD]), ""]
    steps = steps_of(story)
    if len(steps) > 1:
        failing = [f"{f.failed} of {f.times} {f.name} failed: {f.error[:200]}" for f in failing_of(steps)]
        lines += ["**Steps**", "", _block("\n".join([steps_text(steps), *failing])), ""]
    for table in (passages_table(i), tools_table(i)):
        if table.rows:
            lines += [f"**{table.title}**", "", as_markdown(table)]
    for table in (scores_table(judged), feedback_table(story)):
        if table.rows:
            lines += [f"**{table.title}**", "", as_markdown(table)]
    versions = [{"part": words, "version": value} for words, value, _, _ in versions_of(i)]
    if versions:
        columns = (Column(key="part", title="part"), Column(key="version", title="version"))
        lines += [
            "**Versions**",
            "",
            as_markdown(Table(name="versions", title="Versions", columns=columns, rows=versions)),
        ]
    return "\n".join(lines)


def _block(text: str) -> str:
    """A block of code that the text cannot end."""
    shown = "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)
    runs = "".join(c if c == "`" else " " for c in shown).split()
    fence = "`" * max(3, max((len(r) for r in runs), default=0) + 1)
    return f"{fence}\n{shown}\n{fence}"


def _block_line(text: str) -> str:
    shown = clean(text).replace("`", "'")
    return f"`{shown}`"
