"""Which interactions are captured as failures, and what is said of each: the rules, without any store.

What a person says (a thumbs-down, a correction) is always captured. Weaker signs are weighed against each other when their
day is over, and the worst `A_DAY` of each rule are captured, so that an outage does not bury reviewers.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from andon.golden.cases import to_failure
from andon.golden.records import Failure
from andon.incidents import Incident
from andon.incidents.words import one_line, phrase_of
from andon.scores import Scorer
from andon.scores.rows import is_probe
from andon.settings import is_high_risk
from andon.traffic import VERSIONS, Interaction

__all__ = [
    "ALWAYS",
    "A_DAY",
    "NOT_USERS",
    "RULES",
    "Measure",
    "Sign",
    "captured",
    "cut_of",
    "measures_of",
    "not_users",
    "worst_first",
]

ALWAYS = ("thumbs-down", "correction")
"""Rules of which everything is captured, however late it comes."""

RULES = (*ALWAYS, "guardrail block", "abandonment", "follow-up", "low retrieval score", "low score")
"""All rules; a failure has the name of its rule as its `source`."""

A_DAY = 20
"""Failures that each of the weaker rules captures of one application and day."""

FEWEST = 200
"""Values of the week before, below which nobody can say what is unusually low."""

LOWEST = 0.01
"""A number counts as low from this share of the values of the week before on."""

MOST_LOW = 0.05
"""Where more values than this share are as low (many are 0), that is usual there, and nothing is captured."""

NOT_USERS = ("probe", "probes", "eval", "evals", "golden")
"""Values of `environment` and `source`, in any case, of traffic that no user sent."""

_OF_PEOPLE = {"abandonment": "abandonment", "follow_up": "follow-up"}
_OWN_RULE = {"guardrail_block": "guardrail block", "retrieval_score": "low retrieval score"}
_PHRASES = {
    "thumbs-down": "a user gave a thumbs-down",
    "correction": "a user said what would have been right",
    "guardrail block": "a guardrail blocked it",
    "abandonment": "the user gave up",
    "follow-up": "the user asked again or objected at once",
}
_STRICTER = "exact_match"
"""Fails where `normalised_match` passes: another spelling is no failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A metric whose harmful values are signs of a failure."""

    rule: str
    metric: str
    direction: Literal["up", "down"]
    kind: Literal["binary", "number"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """One value that says that an answer failed."""

    rule: str
    interaction_id: str
    metric: str
    value: float
    direction: Literal["up", "down"] = "down"
    cut: float | None = None
    """Of a number: the bound of what is usual."""
    depth: float = 1.0
    """How bad: 1 for yes or no, else by how many times the distance from the median to the cut it is beyond the cut."""
    risk: str | None = None
    """Risk category."""
    feedback: str | None = None
    """Id of the feedback that it comes from."""


def measures_of(scorers: Sequence[Scorer]) -> list[Measure]:
    """The metrics by which the weaker rules go.

    Scorers of which one direction harms, and not by cost or availability: an answer that was slow, dear or never came is
    nothing that a right answer would mend. `exact_match` is left to `normalised_match`.
    """
    found = [Measure(rule=r, metric=m, direction="up", kind="binary") for m, r in _OF_PEOPLE.items()]
    found.append(Measure(rule="low score", metric="label_match", direction="down", kind="binary"))
    for s in scorers:
        if s.bad != "both" and s.harm not in ("cost", "availability") and s.name != _STRICTER:
            rule = _OWN_RULE.get(s.name, "low score")
            found.append(Measure(rule=rule, metric=s.name, direction=s.bad, kind=s.kind))
    return found


def cut_of(values: NDArray[np.float64], direction: Literal["up", "down"]) -> tuple[float, float] | None:
    """The bound beyond which a number is unusual, and the median, from the values of the week before; None for "cannot tell".

    Harmful downward: a value fails below the cut, which is the next value above the 1st percentile, so that at least the
    lowest 1 % fail. Harmful upward the same from above, where a value fails from the cut on. It cannot be told from fewer than
    `FEWEST` values, or where more than `MOST_LOW` of them would fail.
    """
    if len(values) < FEWEST:
        return None
    median = float(np.median(values))
    if direction == "up":
        cut = float(np.quantile(values, 1 - LOWEST, method="inverted_cdf"))
        failing = values >= cut
    else:
        above = values[values > np.quantile(values, LOWEST, method="inverted_cdf")]
        if not len(above):
            return None
        cut = float(above.min())
        failing = values < cut
    return None if np.mean(failing) > MOST_LOW else (cut, median)


def not_users(interaction: Interaction) -> bool:
    """Whether no user asked this: a probe, or a question of an eval."""
    said = {(interaction.environment or "").strip().casefold(), (interaction.source or "").strip().casefold()}
    return is_probe(interaction) or not said.isdisjoint(NOT_USERS)


def worst_first(signs: Iterable[Sign]) -> list[tuple[Sign, ...]]:
    """The signs of each interaction together, its deepest one first; the worst interactions first.

    The worst are those of high risk, then those with the most signs, then those that are furthest beyond what is usual.
    """
    of: dict[str, list[Sign]] = {}
    for s in signs:
        of.setdefault(s.interaction_id, []).append(s)
    together = [tuple(sorted(each, key=lambda s: (-s.depth, s.metric))) for each in of.values()]

    def badness(each: tuple[Sign, ...]) -> tuple[bool, int, float, str]:
        return not is_high_risk(each[0].risk), -len(each), -each[0].depth, each[0].interaction_id

    return sorted(together, key=badness)


def captured(
    sign: Sign,
    interaction: Interaction,
    *,
    now_us: int,
    said: str | None = None,
    correction: str | None = None,
    incidents: Iterable[Incident] = (),
) -> Failure:
    """The failure of which an interaction has a sign.

    A case is measured by the scorer that found it, else by its right answer.

    Args:
        sign: the deepest sign.
        interaction: what was asked and answered.
        now_us: the clock.
        said: the words of the feedback behind the sign, where there are any; they are kept apart from the reason, so that an
            erasure finds them.
        correction: what a user said would have been right.
        incidents: the open ones; the first whose metric and part of the traffic these are is named.

    Raises:
        InputError: the interaction has no question, so that nobody could ask it again.
    """
    scored = sign.rule == "low score"
    failure = to_failure(
        interaction,
        reason=_reason(sign, interaction),
        source=sign.rule,
        captured_us=now_us,
        metric=sign.metric if scored else "normalised_match",
        direction=sign.direction if scored else "down",
        cut=sign.cut if scored else None,
        incident=next((i.id for i in incidents if _is_of(interaction, sign.metric, i)), None),
        correction=correction,
        versions=VERSIONS,
    )
    words = said if said and said.strip() and sign.rule != "correction" else None
    return replace(failure, value=sign.value if scored else None, said=words)


def _reason(sign: Sign, interaction: Interaction) -> str:
    """Why it counts as a failure: one sentence with the metric and its value."""
    value = f"({sign.metric} = {sign.value:.3g}"
    if sign.rule not in _PHRASES:
        usual = "" if sign.cut is None else f", usually {'below' if sign.direction == 'up' else 'from'} {sign.cut:.3g}"
        return f"{phrase_of(sign.metric, sign.direction)} {value}{usual})"
    quote = f": “{one_line(interaction.guardrail or '')}”" if sign.rule == "guardrail block" else ""
    return f"{_PHRASES[sign.rule]} {value}){quote}"


def _is_of(interaction: Interaction, metric: str, incident: Incident) -> bool:
    """Whether an interaction is of the part and the time of an incident about this metric."""
    i = interaction
    if incident.metric != metric or (incident.app, incident.environment) != (i.app, i.environment):
        return False
    return i.time_us >= incident.onset_low_us and all(getattr(i, k, None) == v for k, v in incident.scope.items())
