"""Tool cascades and retries: which call failed first, what it dragged along, and whether retries fit the objective."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from andon import stats
from andon.investigations.records import Analysis
from andon.monitors.verdicts import percent
from andon.traffic import Interaction, quoted

__all__ = [
    "Cascade",
    "Culprit",
    "RetryBound",
    "cascade_of",
    "name_failing_step",
    "retry_bounds",
    "tool_cascades",
]

Judged = tuple[Interaction, bool]
"""An interaction, and whether it was harmed."""

FEWEST = 20
"""Interactions with tool calls on a side below which nothing is compared."""

MARKED = "where people marked the step of failed runs, such a guess named it in 16 %, its agent in 24 %: docs/methods/mechanisms.md"
"""How far `name_failing_step` is to be trusted."""

_TIMEOUT = ("timeout", "timed out", "deadline", "timed_out")
_BUDGET = ("length", "max_tokens", "max_turns", "max_iterations", "budget", "recursion", "limit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cascade:
    """One interaction in which a tool call failed."""

    tool: str
    """The tool that failed first."""
    at: int
    """Its place among the calls, from 0."""
    error: str
    retries: int
    """Later calls of the same tool."""
    others: int
    """Later calls of other tools."""
    failures: int
    """Failed calls, the first one included."""
    recovered: bool
    """Whether a later call of the same tool succeeded."""
    ended: str
    """``timeout``, ``budget``, ``error``, ``empty`` or ``answered``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Culprit:
    """The step at which a failed run seems to have broken."""

    step: int
    """Its place among the steps, from 0: the last step of an agent before the first failing one, or that itself."""
    name: str
    failed: int
    """The step that failed."""
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryBound:
    """How long the observed attempts at one tool may take together."""

    tool: str
    attempts: int
    """The most calls of this tool in one interaction, of which all but the last failed."""
    longest_s: float
    """The longest failing call."""

    @property
    def worst_s(self) -> float:
        """The worst case: every attempt fails, and each as slowly as the slowest seen."""
        return self.attempts * self.longest_s


def cascade_of(i: Interaction) -> Cascade | None:
    """What followed the first failing tool call; None where no call failed."""
    at = next((k for k, t in enumerate(i.tool_calls) if t.error), None)
    if at is None:
        return None
    first, later = i.tool_calls[at], i.tool_calls[at + 1 :]
    return Cascade(
        tool=first.name,
        at=at,
        error=(first.error or "").strip(),
        retries=sum(t.name == first.name for t in later),
        others=sum(t.name != first.name for t in later),
        failures=sum(bool(t.error) for t in i.tool_calls),
        recovered=any(t.name == first.name and not t.error for t in later),
        ended=_ended(i),
    )


def _ended(i: Interaction) -> str:
    said = " ".join(filter(None, (i.error, i.finish_reason))).casefold()
    if any(w in said for w in _TIMEOUT):
        return "timeout"
    if any(w in said for w in _BUDGET):
        return "budget"
    if i.error:
        return "error"
    return "answered" if (i.answer or "").strip() else "empty"


def name_failing_step(i: Interaction) -> Culprit | None:
    """The step at which a failed run seems to have broken; None where no step failed.

    The first step that reports an error failed; what made it fail is most often said by the agent before it: the last agent
    or model step before (its parent where that is known). Where there is none the failing step itself is named.

    Measured on runs in which people marked the decisive step: `docs/methods/mechanisms.md`. An error in reasoning raises
    nothing, and is not seen here.
    """
    failed = next((k for k, s in enumerate(i.steps) if s.error and s.kind not in ("agent", "chain")), None)
    failed = next((k for k, s in enumerate(i.steps) if s.error), None) if failed is None else failed
    if failed is None:
        return None
    step = i.steps[failed]
    makers = [k for k in range(failed) if i.steps[k].kind in ("agent", "llm")]
    if step.kind in ("agent", "llm") or not makers:
        return Culprit(
            step=failed, name=step.name, failed=failed, why=f"{quoted(step.name)} is the first step that failed"
        )
    maker = step.parent if step.parent in makers else makers[-1]
    name = i.steps[maker].name
    return Culprit(
        step=maker,
        name=name,
        failed=failed,
        why=f"{quoted(name)} made the call of {quoted(step.name)} that failed first",
    )


def retry_bounds(interactions: Sequence[Interaction]) -> tuple[RetryBound, ...]:
    """Worst-case time of the retries that were observed, by tool, the longest first.

    ``worst = attempts x longest failing call``: the most attempts at a tool within one interaction, all but the last failed,
    each as long as the longest failing call of that tool (its timeout, where it has one). Needs steps with latencies.
    """
    attempts: dict[str, int] = {}
    longest: dict[str, float] = {}
    for i in interactions:
        runs: Counter[str] = Counter()
        for s in i.steps:
            if s.kind != "tool":
                continue
            runs[s.name] += 1
            if s.error:
                longest[s.name] = max(longest.get(s.name, 0.0), s.latency_s)
                attempts[s.name] = max(attempts.get(s.name, 0), runs[s.name])
            else:
                if runs[s.name] > 1:
                    attempts[s.name] = max(attempts.get(s.name, 0), runs[s.name])
                runs[s.name] = 0
    bounds = [RetryBound(tool=t, attempts=attempts[t], longest_s=longest[t]) for t in longest]
    return tuple(sorted(bounds, key=lambda b: (-b.worst_s, b.tool)))


def tool_cascades(
    before: Sequence[Judged],
    after: Sequence[Judged],
    *,
    limits_s: Sequence[tuple[str, float]] = (),
    evidence: Sequence[str] = (),
) -> Analysis:
    """Whether harm begins at a tool, and whether retries multiply it.

    Args:
        before: a sample of interactions before the onset.
        after: the same since.
        limits_s: objectives of latency, as (name, seconds that an answer may take).
        evidence: ids of the figures.

    Found: since the onset more interactions have a failing call than before (Newcombe's 95 % interval above 0), and harm is
    more frequent among them than among the others (the same).
    """
    old, new = [j for j in before if j[0].tool_calls], [j for j in after if j[0].tool_calls]
    if len(new) < FEWEST:
        text = f"Cannot tell: {len(new)} of {len(after)} sampled interactions since the onset have tool calls; {FEWEST} are needed."
        return Analysis(
            name="tool cascade", found="no" if after and not new else "cannot tell", text=_no_tools(after, new) or text
        )
    cascades = [(c, harmed) for i, harmed in new if (c := cascade_of(i)) is not None]
    x1, x2 = sum(cascade_of(i) is not None for i, _ in old), len(cascades)
    words = [f"{percent(x2 / len(new))} of {len(new)} sampled interactions with tool calls have a failing one"]
    more: bool | None = None
    if len(old) >= FEWEST:
        _, low, high = stats.difference(x1, len(old), x2, len(new))
        words[0] += f", {percent(x1 / len(old))} before ({low * 100:+.1f} to {high * 100:+.1f} points)"
        more = True if low > 0 else False if high < 0.02 or x2 == 0 else None
    linked, harm_words = _harm_of_failures(new, cascades)
    words += harm_words
    words += _broken_at(new)
    words += _amplification(old, new)
    words += _endings([c for c, _ in cascades])
    words += _limits([i for i, _ in new], limits_s)
    found: Literal["yes", "no", "cannot tell"] = "cannot tell"
    if more and linked:
        found = "yes"
    elif more is False or linked is False:
        found = "no"
    return Analysis(
        name="tool cascade",
        found=found,
        text=_sentence(words),
        rows=_by_tool(old, new, cascades),
        evidence=tuple(evidence),
    )


def _no_tools(after: Sequence[Judged], new: Sequence[Judged]) -> str:
    return f"None of {len(after)} sampled interactions since the onset calls a tool." if after and not new else ""


def _sentence(words: Sequence[str]) -> str:
    text = "; ".join(words)
    return text[0].upper() + text[1:] + "."


def _harm_of_failures(new: Sequence[Judged], cascades: Sequence[tuple[Cascade, bool]]) -> tuple[bool | None, list[str]]:
    """Whether harm goes with failing calls, and where the harm begins."""
    failing, fine = len(cascades), len(new) - len(cascades)
    x1 = sum(h for _, h in cascades)
    x2 = sum(h for _, h in new) - x1
    if not failing:
        return False, []
    words = []
    linked: bool | None = None
    if fine:
        _, low, high = stats.difference(x2, fine, x1, failing)
        words.append(
            f"harm {percent(x1 / failing)} among them, {percent(x2 / fine)} among those without "
            f"({low * 100:+.1f} to {high * 100:+.1f} points)"
        )
        linked = True if low > 0 else False if high < 0 else None
    harmed = Counter(c.tool for c, h in cascades if h)
    if harmed:
        tool, n = min(harmed.items(), key=lambda p: (-p[1], p[0]))
        words.append(f"{n} of {x1 + x2} harmed ones begin to fail at {quoted(tool)}")
    return linked, words


def _broken_at(new: Sequence[Judged]) -> list[str]:
    """At which step the harmed runs likely broke, where steps were sent."""
    runs = [i for i, harmed in new if harmed and i.steps]
    named = Counter(c.why for i in runs if (c := name_failing_step(i)) is not None)
    if not named:
        return [f"none of {len(runs)} harmed runs with steps reports an error in a step"] if runs else []
    why, n = min(named.items(), key=lambda p: (-p[1], p[0]))
    return [
        f"{n} of {len(runs)} harmed runs with steps likely broke alike: {why} "
        f"({len(runs) - named.total()} report no error; {MARKED})"
    ]


def _amplification(old: Sequence[Judged], new: Sequence[Judged]) -> list[str]:
    if not old:
        return []
    calls = [np.mean([len(i.tool_calls) for i, _ in side]) for side in (old, new)]
    return [f"{calls[0]:.2f} calls an interaction before, {calls[1]:.2f} since (x {calls[1] / calls[0]:.2f})"]


def _endings(cascades: Sequence[Cascade]) -> list[str]:
    if not cascades:
        return []
    again = [c for c in cascades if c.retries]
    words = [f"after the first failure {len(again)} of {len(cascades)} call the same tool again"]
    if again:
        words[0] += (
            f" ({np.mean([c.retries for c in again]):.1f} times, {sum(c.recovered for c in again)} with success)"
        )
    elsewhere = sum(c.others > 0 for c in cascades)
    cut = sum(c.ended in ("timeout", "budget") for c in cascades)
    return [*words, f"{elsewhere} go on to other tools, {cut} end at a timeout or budget"]


def _limits(new: Sequence[Interaction], limits_s: Sequence[tuple[str, float]]) -> list[str]:
    """Whether retries and timeouts fit the objectives of latency, in words."""
    bounds = [b for b in retry_bounds(new) if b.longest_s > 0]
    if not bounds:
        return ["how long failing calls take is not in the traffic, so retries cannot be held against an objective"]
    b = bounds[0]
    if not limits_s:
        return [
            f"{quoted(b.tool)}: {b.attempts} attempts x {b.longest_s:.3g} s = {b.worst_s:.3g} s; no objective of latency is set"
        ]
    words = []
    for name, most in sorted(limits_s, key=lambda p: p[1]):
        over = [b for b in bounds if b.worst_s > most]
        for b in over[:2]:
            words.append(
                f"{quoted(b.tool)}: {b.attempts} attempts x {b.longest_s:.3g} s exceed the {most:g} s of objective {name}"
            )
        if not over:
            words.append(
                f"{b.attempts} attempts x {b.longest_s:.3g} s of {quoted(b.tool)} are within the {most:g} s of objective {name}"
            )
    return words


def _by_tool(
    old: Sequence[Judged], new: Sequence[Judged], cascades: Sequence[tuple[Cascade, bool]]
) -> tuple[tuple[str, ...], ...]:
    calls: list[Counter[str]] = [Counter(), Counter()]
    errors: list[Counter[str]] = [Counter(), Counter()]
    for k, side in enumerate((old, new)):
        for i, _ in side:
            calls[k].update(t.name for t in i.tool_calls)
            errors[k].update(t.name for t in i.tool_calls if t.error)
    first, harmed = Counter(c.tool for c, _ in cascades), Counter(c.tool for c, h in cascades if h)
    names = sorted({*calls[0], *calls[1]}, key=lambda t: (-first[t], -errors[1][t], t))[:8]
    head = ("tool", "calls before", "failing", "calls since", "failing", "fails first", "of these harmed")
    rows = [
        (
            t[:60],
            f"{calls[0][t]:,}",
            percent(errors[0][t] / calls[0][t]) if calls[0][t] else "-",
            f"{calls[1][t]:,}",
            percent(errors[1][t] / calls[1][t]) if calls[1][t] else "-",
            str(first[t]),
            str(harmed[t]),
        )
        for t in names
    ]
    return (head, *rows)
