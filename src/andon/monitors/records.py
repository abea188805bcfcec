"""Records of the stage `monitors`: what is watched, and what a chart says when it leaves its limits."""

from dataclasses import dataclass, field
from typing import Literal

from andon.scores import Harm
from andon.scores.rows import PROBE

__all__ = ["SOFT", "TOPIC_SHARE", "TRAFFIC", "Crowded", "Level", "Monitor", "NewNormal", "Point", "Signal", "names"]

Level = Literal["page", "warning"]
"""A page wakes somebody up; a warning is kept, and stands beside pages of the same event."""

TRAFFIC = "traffic"
"""Name of the metric that counts interactions: silence is a signal too."""

TOPIC_SHARE = "topic_share"
"""Name of the metric that is the share of a topic in the questions of its app."""

SOFT = (TOPIC_SHARE, "query_novelty", "markdown", "answer_chars", "input_tokens", "reasoning_tokens", "tool_calls")
"""Metrics of what is asked, and of style: they warn, maybe before the answers suffer, and page nobody."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Monitor:
    """One chart: the rate of harm on one metric, in one direction, in one part of the traffic of one app."""

    app: str
    environment: str
    metric: str
    direction: str
    """``up``: high values harm. ``down``: low values harm."""
    scope: tuple[tuple[str, str], ...] = ()
    """The part of the traffic, as (field, value) pairs; empty is all of it."""
    aspect: str = ""
    """Of a number metric: empty is its typical value, ``tail`` its worst part, ``beyond x`` what an objective bounds."""
    objective: str = ""
    """Name of the objective whose limit is the baseline of this chart; empty for a baseline that is learned."""
    at_most: float | None = None
    """The limit of that objective: largest acceptable rate of harm."""

    @property
    def warns(self) -> bool:
        """Whether it never pages: what is asked, style, silence of a part, and metrics that are not measured."""
        part = bool(self.scope or self.aspect)
        return self.metric in SOFT or (self.metric == TRAFFIC and part)

    @property
    def id(self) -> str:
        """Readable and stable name."""
        scope = ",".join(f"{k}={v}" for k, v in self.scope) or "all"
        what = ".".join(filter(None, (self.metric, self.direction, self.aspect)))
        limit = f"/objective={self.objective}" if self.objective else ""
        return f"{self.app}/{self.environment}/{what}/{scope}{limit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One window on a control chart."""

    start_us: int
    end_us: int
    n: int
    x: int
    """Interactions that harm."""
    low: float
    centre: float
    high: float
    """Limits of the rate x / n if the baseline still held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A chart left its limits: evidence that the rate of harm rose above its baseline."""

    id: str
    monitor: str
    app: str
    environment: str
    metric: str
    direction: str
    aspect: str = ""
    scope: dict[str, str] = field(default_factory=dict)
    level: Level = "page"
    objective: str = ""
    """Name of the objective that was broken; empty where the baseline was learned."""
    mix: str = ""
    """What a shift of the traffic mix explains, where that was asked before anyone was paged."""
    proposal: str = ""
    """What whoever wrote the limit wants done when it is broken; nothing is done by itself."""
    kind: str = "binary"
    harm: Harm = "usefulness"
    at_us: int
    """End of the window in which the chart signalled."""
    window_us: int
    every_us: int = 0
    """Of a run of a probe: how often it is asked; else 0."""
    x: int
    """Harmful interactions between onset and alarm."""
    n: int
    baseline_x: int
    baseline_n: int
    baseline_from_us: int
    baseline_to_us: int
    cut: float | None = None
    """For a number metric: the bound of the baseline's worst fifth; values beyond it count as harm."""
    dispersion: float = 0.0
    stands_for: float = 1.0
    """Interactions that one of x, n, baseline_x and baseline_n stands for: the greatest sampling weight of this chart."""
    persistence: float = 1.0
    """By how much serial correlation inflates the variance of long sums on this chart."""
    clock: tuple[float, ...] = ()
    """What the baseline expects by hour of the day (UTC): 24 of working days, 24 of weekends. A rate of harm; of traffic,
    interactions an hour; of how often a metric is measured, its share of answers. Empty where the figures beside it are counted otherwise than the chart (typical values)."""
    rule: str = "e-SR mixture, negative binomial"
    statistic: float
    threshold: float
    """Mean number of hours (of `cluster_us` each) between false alarms of this chart."""
    onset_us: int
    onset_low_us: int
    onset_high_us: int
    """95 % interval of the onset."""
    onset_probability: tuple[tuple[int, float], ...] = ()
    """Posterior of the onset: (start of the window, probability) where it exceeds 0.001."""

    @property
    def of_probes(self) -> bool:
        """Whether its part of the traffic is one of probes."""
        return self.scope.get("source") == PROBE

    @property
    def rate(self) -> float:
        """Rate of harm between onset and alarm."""
        return self.x / self.n

    @property
    def baseline_rate(self) -> float:
        """Rate of harm in the baseline."""
        return self.baseline_x / self.baseline_n


@dataclass(frozen=True, slots=True, kw_only=True)
class NewNormal:
    """A person accepted a change as the new normal: these charts learn their baseline anew."""

    id: str
    monitor: str
    """Id of a chart; with ``*`` at its end, the beginning of the ids of several."""
    from_us: int
    """What came before is forgotten."""
    accepted_us: int
    """When it was said; charts that are turned again forget at this time, not before it."""
    why: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowded:
    """A field, or a pair of fields, with more values than are watched apart: those that came later have no charts."""

    id: str
    """The field (``task``), or the pair (``segment and task``) where neither alone has too many."""
    seen_us: int
    """End of the windows in which it was found out."""


def names(pattern: str, monitor: str) -> bool:
    """Whether a pattern names a monitor: its id, or its beginning with ``*`` behind it."""
    return monitor.startswith(pattern[:-1]) if pattern.endswith("*") else monitor == pattern
