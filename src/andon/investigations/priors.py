"""What is believed of a change before the traffic is asked: how often its kind does harm, how soon, and to which metrics.

Judged, not learned; `docs/methods/suspects.md` gives the reasons. An installation that labels its own incidents should
replace these tables.
"""

import math
from collections.abc import Collection, Mapping, Sequence

__all__ = [
    "HORIZON_H",
    "NOBODY",
    "WATCHED",
    "affinity",
    "affinity_of_unknown",
    "grows",
    "lag_density",
    "prior_of",
    "track_record",
    "usual_for",
]

HORIZON_H = 336.0
"""An unknown cause is taken to lie anywhere within two weeks of the onset."""

NOBODY: Mapping[str, float] = {"traffic": 0.3, "provider": 0.15, "unknown": 0.15}
"""The explanations in which we changed nothing, beside a change of ours (1). In thousands of postmortems of 2010-17 pushes of
binaries and configuration began 68 % of outages, user behaviour 9 %, providers 5 %, decay, capacity and hardware 12 %
(Google, The Site Reliability Workbook, appendix C); of 23 incidents of mybinder.org 18 had no guilty deploy."""

_PRIOR: Mapping[str, float] = {
    "corpus": 0.8, "tool schema": 0.8, "code": 0.7, "sampling parameter": 0.7, "scorer": 0.5,
    "permission": 0.5, "budget": 0.5, "other": 0.4,
}  # fmt: skip
"""How much of a suspect one change of a kind is; 1 where nothing stands here."""

SEASONED = 6.0
"""How many changes of a kind have to pass before one more of them is half the suspect that the first would be."""

_SCALES_H = (0.25, 3.0, 48.0, 720.0)
_LAGS: Mapping[str, tuple[float, float, float, float]] = {
    "corpus": (0.05, 0.1, 0.25, 0.6),
    "traffic source": (0.1, 0.2, 0.6, 0.1),
    "provider": (0.1, 0.2, 0.6, 0.1),
    "model": (0.25, 0.25, 0.4, 0.1),
}
_USUAL_LAGS = (0.3, 0.3, 0.3, 0.1)
"""What others change reaches us some time after its notice, so these wait longer than what we do ourselves."""

_GROWS: Mapping[str, float] = {"corpus": 0.8, "traffic source": 0.5, "model": 0.3, "provider": 0.3, "unknown": 0.4}
_USUALLY_GROWS = 0.15
"""How often harm grows over time among those who see a change of a kind: a corpus ages, a deploy hurts at once."""

AFFINITY = 2.5
"""How much more often a metric's usual suspects are its cause."""

DOWNSTREAM = 0.2
"""Factor of a kind that comes after what moved: a prompt cannot change what was retrieved before it was filled in."""

_GROUPS: Mapping[str, tuple[str, ...]] = {
    "retrieval": ("retrieval_score", "context_used", "groundedness", "citation_valid", "rating"),
    "refusal": ("refusal", "policy_refusal", "capability_refusal", "guardrail_block"),
    "error": ("error", "latency_s", "first_token_s"),
    "tool": ("tool_error", "tool_retries", "tool_calls"),
    "form": ("language_match", "format_ok", "markdown", "truncated", "answer_chars", "output_tokens"),
    "cost": ("cost_usd", "input_tokens", "cache_hit", "reasoning_tokens"),
    "escalation": ("escalation",),
    "quality": (
        "normalised_match",
        "exact_match",
        "label_match",
        "probe_pass",
        "answer_relevancy",
        "thumbs",
        "correction",
        "follow_up",
    ),
}
_SUSPECTS: Mapping[str, frozenset[str]] = {
    "retrieval": frozenset(("index", "corpus", "embedding model", "permission")),
    "refusal": frozenset(("policy", "prompt", "model", "provider")),
    "escalation": frozenset(("traffic source", "routing", "policy", "prompt")),
    "error": frozenset(("code", "provider", "config", "routing", "permission", "tool schema", "budget", "load")),
    "tool": frozenset(("tool schema", "permission", "code", "model")),
    "form": frozenset(("model", "prompt", "sampling parameter", "provider", "config", "code", "budget")),
    "cost": frozenset(("prompt", "model", "budget", "routing", "code")),
    "quality": frozenset(
        ("model", "provider", "prompt", "routing", "sampling parameter", "index", "corpus", "embedding model")
    ),
}
_OWN: Mapping[str, tuple[str, ...]] = {
    "index": ("retrieval_score",),
    "embedding model": ("retrieval_score",),
    "corpus": ("retrieval_score", "groundedness", "citation_valid"),
    "tool schema": ("tool_error", "tool_retries", "tool_calls"),
    "permission": ("tool_error",),
    "policy": ("policy_refusal", "guardrail_block", "refusal"),
}
"""The metrics that measure the changed part itself, and not the whole answer."""
_ALL_OWN = frozenset(m for metrics in _OWN.values() for m in metrics)
_ONLY_THROUGH = frozenset(("index", "embedding model", "tool schema", "policy"))
"""Parts that can hardly hurt but through what their own metrics measure; a corpus or a right may hurt past them."""
WATCHED = tuple(dict.fromkeys(m for kind in sorted(_ONLY_THROUGH) for m in _OWN[kind]))
"""The metrics of which it matters that they did not move."""

STILL = 0.2
"""Factor of such a part whose own metrics are measured and did not move: as for one that comes after what moved."""

_GROUP_OF = {metric: group for group, metrics in _GROUPS.items() for metric in metrics}
_UPSTREAM = frozenset(("retrieval_score",))
_AFTER_RETRIEVAL = frozenset(("prompt", "policy", "model", "sampling parameter", "tool schema", "budget"))


def prior_of(kind: str) -> float:
    """How much of a suspect one change of this kind is, before anything else is known."""
    return _PRIOR.get(kind, 1.0)


def track_record(times: int) -> float:
    """Factor of one change of a kind of which the log holds so many: ``1 / (1 + (times - 1) / SEASONED)``.

    Nearly all changes of a log hurt nobody, so each is evidence about its kind: what is changed every day is mostly harmless,
    of what is changed twice a year little is known. It is the mean of a beta-binomial rate of harm per change of a kind that is
    known beforehand as if from `SEASONED` changes, divided by that of a kind seen once.
    """
    return 1 / (1 + max(0, times - 1) / SEASONED)


def lag_density(kind: str, lag_h: float) -> float:
    """Density (1/h) that a change of this kind begins to hurt after this lag; 0 before it."""
    if lag_h < 0:
        return 0.0
    weights = _LAGS.get(kind, _USUAL_LAGS)
    return math.fsum(w / s * math.exp(-lag_h / s) for w, s in zip(weights, _SCALES_H, strict=True))


def grows(kind: str) -> float:
    """How often harm by this kind of cause grows among those who see it, instead of being there at once."""
    return _GROWS.get(kind, _USUALLY_GROWS)


def usual_for(metric: str, kind: str) -> bool:
    """Whether changes of this kind are among the usual causes when this metric moves."""
    usual = _SUSPECTS.get(_GROUP_OF.get(metric, ""))
    return usual is not None and (kind in usual or kind == "lever")  # a lever may hold any part of the system


def affinity_of_unknown(metrics: Sequence[str]) -> float:
    """The affinity of a cause of which no log tells what it is: the mean over the usual suspects of all metrics, by their priors.

    It may be of any kind. Held at 1, an unknown cause would be the less probable the more metrics move, as any other kind has
    some of them among its own. What stood still says nothing of it: it need not be a part that has metrics of its own.
    """
    kinds = sorted({kind for some in _SUSPECTS.values() for kind in some})
    total = math.fsum(prior_of(kind) for kind in kinds)
    return math.fsum(prior_of(kind) * affinity(metrics, kind) for kind in kinds) / total


def affinity(metrics: Sequence[str], kind: str, still: Collection[str] = ()) -> float:
    """How well a kind of change goes with the metrics that moved and with those that did not.

    ``AFFINITY ** sum(usual_k / 2**k) x DOWNSTREAM x STILL``, the leading metric first and the next ones less and less.
    ``usual`` is 2 where the metric measures the changed part itself (a tool's errors, for its schema): few other causes reach
    it. `DOWNSTREAM` counts where a metric moved that lies before this kind of change; `STILL` where the part has metrics of its
    own, and all of them that are measured did not move.

    Args:
        metrics: those that moved.
        kind: of the change.
        still: those that are known not to have moved (`WATCHED` ones).
    """
    own = _ALL_OWN if kind == "lever" else _OWN.get(kind, ())  # a lever may hold any part
    exponent = math.fsum((usual_for(m, kind) + (m in own)) / 2**k for k, m in enumerate(metrics))
    later = kind in _AFTER_RETRIEVAL and not _UPSTREAM.isdisjoint(metrics)
    idle = kind in _ONLY_THROUGH and not set(own).isdisjoint(still) and set(own).isdisjoint(metrics)
    return float(AFFINITY**exponent) * (DOWNSTREAM if later else 1.0) * (STILL if idle else 1.0)
