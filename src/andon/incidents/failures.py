"""Which of the six failure types do the signals point to? A table, the row that applied, and the reason in a sentence."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from andon.changes import Change
from andon.incidents.records import FailureType
from andon.incidents.words import one_line, phrase_of
from andon.monitors import Signal
from andon.monitors.records import TOPIC_SHARE, TRAFFIC
from andon.scores.rows import NOVELTY

__all__ = [
    "FAILURE_RULES",
    "FAMILIES",
    "MOVES",
    "NEAR_US",
    "FailureRule",
    "Family",
    "Group",
    "failure_rows",
    "group_rows",
    "says_input",
    "suggest_failure",
]

Group = Literal["retrieval", "infrastructure", "tools", "behaviour", "input", "outcome"]
Family = Literal["prompt", "model", "configuration", "index", "data", "other"]

NEAR_US = 72 * 3_600_000_000
"""A change this long before the earliest onset, or within its interval, lies near it. Longer lags are normal (an index that
ages for weeks), but then many changes lie in between and their kinds tell nothing; ranking suspects weighs them all."""

EARLY_US = 24 * 3_600_000_000
"""Signals of the first day count: what moves later is as likely a consequence."""

_UP, _DOWN = ("up",), ("down",)
_BOTH = ("up", "down")

MOVES: Mapping[Group, Mapping[str, Sequence[str]]] = {
    "retrieval": {"retrieval_score": _DOWN, "groundedness": _DOWN, "context_used": _DOWN, "citation_valid": _DOWN},
    "infrastructure": {"error": _UP, "latency_s": _UP, "first_token_s": _UP, TRAFFIC: _DOWN},
    "tools": {"tool_error": _UP, "tool_retries": _UP},
    "behaviour": {
        "refusal": _BOTH,
        "policy_refusal": _BOTH,
        "capability_refusal": _UP,
        "guardrail_block": _UP,
        "format_ok": _DOWN,
        "language_match": _DOWN,
        "markdown": _BOTH,
        "truncated": _UP,
        "output_tokens": _BOTH,
        "answer_chars": _BOTH,
        "reasoning_tokens": _BOTH,
        "tool_calls": _BOTH,
    },
    "input": {TOPIC_SHARE: _UP, NOVELTY: _UP, "input_tokens": _BOTH},
}
"""What each group of metrics is, by the directions that count. All other metrics are outcomes: every failure moves them."""

_FAMILY_KINDS: Mapping[Family, tuple[str, ...]] = {
    "prompt": ("prompt", "policy"),
    "model": ("model", "provider"),
    "configuration": ("routing", "sampling parameter", "tool schema", "permission", "budget", "config", "lever"),
    "index": ("index", "embedding model"),
    "data": ("corpus", "traffic source"),
    "other": ("code", "scorer", "other"),
}
FAMILIES: Mapping[str, Family] = {kind: family for family, kinds in _FAMILY_KINDS.items() for kind in kinds}
"""The family of each kind of change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRule:
    """One row: what moved first, the nearest change beside it, and the failure type that both point to."""

    moved: Group
    change: Family | None
    """Family of the change nearest to the onset; None: none of those that the other rows of this group name."""
    failure: FailureType | None
    because: str


FAILURE_RULES: tuple[FailureRule, ...] = (
    FailureRule(
        moved="retrieval",
        change=None,
        failure="retrieval regression",
        because="retrieval or the use of what was retrieved moved before or without anything else",
    ),
    FailureRule(
        moved="infrastructure",
        change="configuration",
        failure="config error",
        because="calls fail, stall or stay away, and a setting changed near the onset",
    ),
    FailureRule(
        moved="infrastructure",
        change=None,
        failure="infrastructure failure",
        because="calls fail, stall or stay away, and no setting changed near the onset",
    ),
    FailureRule(
        moved="tools",
        change="configuration",
        failure="config error",
        because="tools fail, and a setting changed near the onset",
    ),
    FailureRule(
        moved="tools",
        change=None,
        failure="infrastructure failure",
        because="tools fail, and no setting changed near the onset",
    ),
    FailureRule(
        moved="behaviour",
        change="prompt",
        failure="prompt regression",
        because="the way of answering jumped when a prompt or policy changed",
    ),
    FailureRule(
        moved="behaviour",
        change="model",
        failure="model drift",
        because="the way of answering jumped when the model or its provider changed",
    ),
    FailureRule(
        moved="behaviour",
        change="configuration",
        failure="config error",
        because="the way of answering jumped when a setting changed",
    ),
    FailureRule(
        moved="behaviour",
        change="index",
        failure="retrieval regression",
        because="the way of answering jumped when the index or its embedding model changed",
    ),
    FailureRule(
        moved="behaviour",
        change="data",
        failure="data quality regression",
        because="the way of answering jumped when the corpus or the source of the traffic changed",
    ),
    FailureRule(
        moved="behaviour",
        change="other",
        failure=None,
        because="the way of answering jumped near a change of code, which may be any of the six types",
    ),
    FailureRule(
        moved="behaviour",
        change=None,
        failure="model drift",
        because="the way of answering jumped, and nothing of ours changed near the onset",
    ),
    FailureRule(
        moved="input",
        change=None,
        failure="data quality regression",
        because="other questions or inputs came, and nothing but outcomes moved beside them",
    ),
    FailureRule(
        moved="outcome",
        change="prompt",
        failure="prompt regression",
        because="outcomes got worse, and the change nearest to the onset is one of a prompt or policy",
    ),
    FailureRule(
        moved="outcome",
        change="model",
        failure="model drift",
        because="outcomes got worse, and the change nearest to the onset is one of the model or its provider",
    ),
    FailureRule(
        moved="outcome",
        change="configuration",
        failure="config error",
        because="outcomes got worse, and the change nearest to the onset is one of a setting",
    ),
    FailureRule(
        moved="outcome",
        change="index",
        failure="retrieval regression",
        because="outcomes got worse, and the change nearest to the onset is one of the index or its embedding model",
    ),
    FailureRule(
        moved="outcome",
        change="data",
        failure="data quality regression",
        because="outcomes got worse, and the change nearest to the onset is one of the corpus or the source of the traffic",
    ),
    FailureRule(
        moved="outcome",
        change=None,
        failure=None,
        because="only outcomes moved, which every failure type moves, and no change near the onset tells more",
    ),
)
"""The rule, row by row; `andon incident rules` and the methods page show it.

Within a group the row of the nearest change applies, else the one without a change. Source of the six types and their
signals: the taxonomy that guides to LLM incidents share; the order of the groups is ours: causes before consequences.
"""

_ORDER: tuple[Group, ...] = ("retrieval", "infrastructure", "tools", "behaviour")
"""Who goes first when groups moved in the same moment."""


def failure_rows() -> list[tuple[str, str, str, str]]:
    """The table of failures for people: what moved first, the nearest change, the failure type, why."""
    changes = {f: ", ".join(kinds) for f, kinds in _FAMILY_KINDS.items()}
    return [
        (r.moved, "none of these" if r.change is None else changes[r.change], r.failure or "cannot tell", r.because)
        for r in FAILURE_RULES
    ]


def group_rows() -> list[tuple[str, str]]:
    """The groups of metrics for people, with what counts as moved."""
    rows = [(group, ", ".join(_ways(m, ways) for m, ways in metrics.items())) for group, metrics in MOVES.items()]
    return [*rows, ("outcome", "every other metric")]


def _ways(metric: str, ways: Sequence[str]) -> str:
    return f"{metric} {' or '.join(ways)}"


def suggest_failure(
    signals: Sequence[Signal], changes: Iterable[Change], onset_low_us: int, onset_us: int, onset_high_us: int
) -> tuple[FailureType | None, str]:
    """The failure type that signals and changes point to (None where they do not tell), and the reason in a sentence.

    Args:
        signals: of one incident; pages of the first day count, and of warnings those about what is asked.
        changes: of its application and environment; those near the onset count.
        onset_low_us: earliest onset.
        onset_us: estimated onset; the change nearest to it decides.
        onset_high_us: latest onset.
    """
    pages = [s for s in signals if s.level == "page"]
    if not pages:
        return None, "cannot tell: no chart has signalled"
    first_us = min(s.at_us for s in pages)
    early = [s for s in pages if s.at_us - first_us <= EARLY_US]
    moved = _first_moved(early)
    near = [c for c in changes if onset_low_us - NEAR_US <= c.at_us <= onset_high_us]
    asked = [s for s in signals if abs(s.at_us - first_us) <= EARLY_US and says_input(s)]
    if moved is None and asked:
        return _said(_rule("input", ()), asked, None)
    moved = moved or "outcome"
    named = {r.change for r in FAILURE_RULES if r.moved == moved and r.change not in (None, "other")}
    telling = [c for c in near if FAMILIES.get(c.kind) in named]
    nearest = min(telling, key=lambda c: (abs(c.at_us - onset_us), c.id), default=None)
    if nearest is None and moved == "behaviour" and asked:
        return _said(_rule("input", ()), asked, None)
    if nearest is None and moved == "behaviour":
        nearest = min(near, key=lambda c: (abs(c.at_us - onset_us), c.id), default=None)
    rule = _rule(moved, () if nearest is None else (FAMILIES.get(nearest.kind, "other"),))
    return _said(rule, [s for s in early if _group(s) == moved], nearest)


def says_input(signal: Signal) -> bool:
    """Whether a signal, be it a warning, says that other questions or inputs come."""
    return bool(signal.mix) or _group(signal) == "input"


def _group(signal: Signal) -> Group:
    for group, metrics in MOVES.items():
        if signal.direction in metrics.get(signal.metric, ()):
            return group
    return "outcome"


def _first_moved(signals: Sequence[Signal]) -> Group | None:
    """The group of causes whose first chart signalled first; slow because longer is no fault of the infrastructure."""
    if any(s.metric in ("output_tokens", "reasoning_tokens", "tool_calls") for s in signals):
        signals = [s for s in signals if s.metric not in ("latency_s", "first_token_s")]
    first = {
        group: min(s.at_us for s in signals if _group(s) == group)
        for group in _ORDER
        if any(_group(s) == group for s in signals)
    }
    return min(first, key=lambda g: (first[g], _ORDER.index(g)), default=None)


def _rule(moved: Group, family: tuple[Family, ...]) -> FailureRule:
    rows = {r.change: r for r in FAILURE_RULES if r.moved == moved}
    return rows[family[0]] if family and family[0] in rows else rows[None]


def _said(rule: FailureRule, signals: Sequence[Signal], change: Change | None) -> tuple[FailureType | None, str]:
    what = sorted({phrase_of(s.metric, s.direction) for s in signals})
    seen = ", ".join(what[:3]) + (f" and {len(what) - 3} more" if len(what) > 3 else "")
    beside = f"; {change.kind}: {one_line(change.title)}" if change is not None and rule.change is not None else ""
    return rule.failure, f"{rule.failure or 'cannot tell'}: {rule.because} ({seen}{beside})"
