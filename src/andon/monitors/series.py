"""Which charts there are: metric x direction x part of the traffic. Made by themselves from what comes in."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from andon.monitors.records import TRAFFIC
from andon.scores import LABELS, Harm, Scorer
from andon.scores.rows import EVALUATION, EVALUATOR, NOVELTY, TOPIC
from andon.traffic import SEGMENTS

__all__ = ["APART", "Metric", "all_metrics", "metrics_of", "parts_of", "tells", "watched"]

NOT_HIGH = frozenset(("low", "medium", "minimal", "limited", "standard", "normal", "none"))
"""Risk categories in which fewer refusals are no harm."""

REFUSALS = ("refusal", "policy_refusal")
"""Metrics of which less may be a matter of safety."""

APART = (EVALUATOR, "source")
"""Columns whose values are parts of their own: what one evaluator says is never mixed with what another one does, nor are
the answers to probes with those to people."""

COSTS = frozenset(("s", "tokens", "usd"))
"""Units of what is spent. Its tail is the worst fiftieth, as one slow answer in fifty is felt; that of a quality a fifth."""


@dataclass(frozen=True, slots=True)
class Metric:
    """What a chart must know of a metric: its name, kind, directions that harm, aspects and what is lost."""

    name: str
    kind: str
    bad: str
    harm: Harm
    unit: str = ""

    @property
    def directions(self) -> tuple[str, ...]:
        """Which ways harm: ``up`` or ``down``, or both."""
        return ("up", "down") if self.bad == "both" else (self.bad,)

    def harm_of(self, direction: str) -> Harm:
        """What is lost when the metric moves this way; fewer refusals are a matter of safety, more of usefulness."""
        return "safety" if self.name in REFUSALS and direction == "down" else self.harm

    def streams(self) -> list[tuple[str, str]]:
        """Its charts in each part of the traffic, as (direction, aspect): of a number its typical value and its tail."""
        spent_less = ("down", "tail") if self.unit in COSTS else None
        aspects = ("", "tail") if self.kind == "number" else ("",)
        return [(d, a) for d in self.directions for a in aspects if (d, a) != spent_less]

    @property
    def tail(self) -> float:
        """Share of the reference that is its tail."""
        return 0.02 if self.unit in COSTS else 0.2


def metrics_of(scorers: Sequence[Scorer]) -> list[Metric]:
    """The metrics of the scorers and those that people give, in their order."""
    given = [
        Metric(name, "number" if name == "rating" else "binary", bad, harm)
        for name, (_, bad, harm, _) in LABELS.items()
    ]
    return [Metric(s.name, s.kind, s.bad, s.harm, s.unit) for s in scorers] + given


def all_metrics(scorers: Sequence[Scorer]) -> list[Metric]:
    """Those, what evaluators of others say (which way harms, nobody tells), and how unlike the known what is asked is."""
    return [
        *metrics_of(scorers),
        Metric(EVALUATION, "number", "both", "correctness"),
        Metric(NOVELTY, "number", "up", "usefulness"),
    ]


def parts_of(cell: Mapping[str, str | None]) -> list[tuple[tuple[str, str], ...]]:
    """Parts of the traffic that a cell belongs to: all of it, each segment, each pair of segments, its topic."""
    present = [(k, v) for k in SEGMENTS if (v := cell.get(k)) is not None]
    topic = [((TOPIC, v),) for v in (cell.get(TOPIC),) if v is not None]
    return [(), *((p,) for p in present), *combinations(present, 2), *topic]


def watched(metric: str, direction: str, scope: Iterable[tuple[str, str]]) -> bool:
    """Whether a move of the metric in this direction harms in this part of the traffic."""
    if metric in REFUSALS and direction == "down":
        return dict(scope).get("risk_category", "").casefold() not in NOT_HIGH
    return metric != TRAFFIC or len(tuple(scope)) <= 1


def tells(metric: str, direction: str, baseline_rate: float) -> bool:
    """Whether a chart with this baseline can tell of harm: fewer refusals harm only where refusing was the rule."""
    return not (metric in REFUSALS and direction == "down" and baseline_rate > 0.5)
