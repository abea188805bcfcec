"""Which interactions stand for a failure: representative ones, passing ones beside them, and what was expected.

Pure: interactions in, choices out.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from andon import stats
from andon.investigations.records import Confidence, HarmedSlice, Twin
from andon.monitors.verdicts import percent
from andon.scores import Vectors
from andon.traffic import SEGMENTS, Interaction

__all__ = ["choose", "confidence_of", "described", "expected_of", "nearest", "same_text"]


def choose(
    harmed: Sequence[tuple[Interaction, float]], slices: Sequence[HarmedSlice], limit: int
) -> list[tuple[Interaction, float]]:
    """Failing interactions with distinct questions, spread over the parts that carry the harm, and over users.

    One at a time is taken from the part of which fewest were taken (the surest first), then of the user of whom fewest
    were, then in the order given, which should be random.

    Args:
        harmed: interactions with the value of the metric.
        slices: the parts that carry the harm, the surest first; an interaction belongs to the first that holds it.
        limit: how many are wanted.
    """
    waiting = [(i, v, _slice(i, slices)) for i, v in harmed]
    parts: Counter[int] = Counter()
    users: Counter[str] = Counter()
    questions: set[str] = set()
    chosen: list[tuple[Interaction, float]] = []
    while waiting and len(chosen) < limit:
        at = min(
            range(len(waiting)),
            key=lambda k: (parts[waiting[k][2]], users[waiting[k][0].user_id or ""], waiting[k][2], k),
        )
        interaction, value, part = waiting.pop(at)
        question = interaction.query or ""
        if question in questions:
            continue
        questions.add(question)
        parts[part] += 1
        users[interaction.user_id or ""] += 1
        chosen.append((interaction, value))
    return chosen


def _slice(interaction: Interaction, slices: Sequence[HarmedSlice]) -> int:
    """The number of the first part that holds the interaction; those in none come last."""
    for k, found in enumerate(slices):
        if all(getattr(interaction, field, None) == value for field, value in found.where.items()):
            return k
    return len(slices)


def nearest(
    failing: Sequence[Interaction], passing: Sequence[Interaction], failing_at: Vectors, passing_at: Vectors
) -> list[int]:
    """For each failing interaction the passing one to hold beside it, as its number; -1 where there is none left.

    It is the one with the most similar question among those with the most segments in common; none is taken twice.

    Args:
        failing: k failing interactions.
        passing: m passing ones of the same time and part of the traffic.
        failing_at: embedded questions, shape (k, d).
        passing_at: shape (m, d).
    """
    taken: set[int] = set()
    found = []
    for k, one in enumerate(failing):
        likeness = passing_at @ failing_at[k] if len(passing) else np.zeros(0)
        free = [m for m in range(len(passing)) if m not in taken]
        best = max(free, key=lambda m: (_same_segments(one, passing[m]), round(float(likeness[m]), 6), -m), default=-1)
        if best >= 0:
            taken.add(best)
        found.append(best)
    return found


def _same_segments(one: Interaction, other: Interaction) -> int:
    return sum(getattr(one, s) == getattr(other, s) for s in SEGMENTS)


def expected_of(interaction: Interaction, correction: str | None, twin: Twin | None) -> tuple[str | None, str | None]:
    """What the answer should have been, and who says so; never the failing answer itself.

    What came with the data goes before what a user said, and that before an answer to the same question that was fine.
    """
    known = (
        (interaction.expected_answer, "expected answer"),
        (correction, "correction"),
        (twin.answer if twin else None, "passing twin"),
    )
    return next(
        ((t, how) for t, how in known if t and t.strip() and not same_text(t, interaction.answer)), (None, None)
    )


def same_text(one: str, other: str | None) -> bool:
    """Whether two answers are the same but for white space around them."""
    return other is not None and one.strip() == other.strip()


def confidence_of(cut: float | None, high: int, low: int, unknown: int) -> Confidence:
    """Failing answers by how sure the system was, against the median confidence of answers that passed.

    Half of the passing answers are above the cut. Failing answers that are above it as often (the exact 95 % interval
    holds one half) tell nothing; otherwise the side points to where to look.

    Args:
        cut: median confidence of passing answers; None where it is not known.
        high: failing answers at or above it.
        low: failing answers below it.
        unknown: failing answers without a confidence.
    """
    if cut is None or high + low == 0:
        text = "cannot tell: the answers carry no confidence; send it with each interaction (`confidence`, 0..1)"
        return Confidence(high=0, low=0, unknown=high + low + unknown, cut=None, text=text)
    n = high + low
    least, most = stats.clopper_pearson(high, n)
    told = (
        f"{high:,} of {n:,} failing answers {'is' if high == 1 else 'are'} at least as sure as half of the passing ones"
    )
    told += (
        f" ({_tenths(high / n)}, 95 % interval {_tenths(least)} to {_tenths(most)})"
        if most >= 0.001
        else " (under 0.1 %)"
    )
    if least > 0.5:
        why = "sure and wrong: look at what the system knows, not at how hard the question is: retrieval, index, corpus, prompt, labels"
    elif most < 0.5:
        why = "unsure and wrong: look at what reached it: unusual or hard questions, routing, a truncated or missing context"
    else:
        why = "neither side stands out, so confidence does not tell the causes apart"
    return Confidence(high=high, low=low, unknown=unknown, cut=cut, text=f"{told}; {why}")


def _tenths(share: float) -> str:
    """A share to a tenth of a percent: more digits say nothing here."""
    return percent(round(share, 3))


def described(interaction: Interaction, fields: Mapping[str, Any] | Sequence[str]) -> dict[str, str]:
    """The values of these fields that the interaction has."""
    return {k: v for k in fields if (v := getattr(interaction, k)) is not None}
