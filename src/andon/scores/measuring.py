"""Ask every scorer about every interaction, so that one that fails takes no other number with it."""

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np

from andon.errors import SeamError
from andon.scores.records import Embedder, Scorer, Vectors
from andon.scores.rows import feedback_columns, possible_events
from andon.traffic import Feedback, Interaction, quoted

__all__ = ["Guarded", "ScorerFailure", "count_failure", "values_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerFailure:
    """A scorer that failed: it gave no number for some interactions, and everything else went on."""

    id: str
    """Name and version of the scorer; ``topic`` and the name of the embedder, for topics and novelty."""
    count: int
    """Interactions that have no number of it."""
    last_interaction: str
    last_error: str


class Guarded:
    """An embedder that fails in one way only, and that nobody waits for twice.

    Whatever the embedder inside raises is a `SeamError`, and so is a vector that is not finite. After a failure that may pass
    (a time-out, a busy endpoint) it fails at once: make another one to ask again.
    """

    def __init__(self, embedder: Embedder) -> None:
        self.name = embedder.name
        self._embedder = embedder
        self._down: str | None = None

    def embed(self, texts: Sequence[str]) -> Vectors:
        """What the embedder inside gives.

        Raises:
            SeamError: it failed, now or, if that may pass, at an earlier call.
        """
        if self._down is not None:
            raise SeamError(self._down, retryable=True)
        try:
            vectors = self._embedder.embed(texts)
            finite = bool(np.isfinite(vectors).all())
        except SeamError as error:
            self._down = str(error) if error.retryable else None
            raise
        except Exception as error:  # a plug-in may raise anything
            raise SeamError(f"the embedder {self.name} raised {type(error).__name__}: {error}") from error
        if not finite:
            raise SeamError(f"the embedder {self.name} gave a number that is not finite")
        return vectors


def values_of(
    interactions: Sequence[Interaction],
    scorers: Sequence[Scorer],
    embedder: Embedder,
    failures: dict[str, ScorerFailure] | None = None,
) -> list[dict[str, float]]:
    """The scores of each interaction: metric -> value, without the metrics that do not apply.

    A scorer that raises, or gives something else than a finite number or None, has no number there and is counted in
    `failures`; a plug-in must not stop the loop. If the texts of a scorer cannot be embedded it has no number for any of
    these interactions: numbers of those alone that need no embedding (a missing answer) would be another measure.
    """
    counted = {} if failures is None else failures
    left_out = {s.name: _embed_texts(s, interactions, embedder, counted) for s in scorers if s.texts is not None}
    return [_values(i, scorers, embedder, left_out, counted) for i in interactions]


def _embed_texts(
    scorer: Scorer, interactions: Sequence[Interaction], embedder: Embedder, failures: dict[str, ScorerFailure]
) -> set[str]:
    """Embed what a scorer will ask for in one batch, which the embedder remembers; ids about which it cannot be asked."""
    texts: dict[str, None] = {}
    left_out = set()
    for i in interactions:
        try:
            texts.update(dict.fromkeys(scorer.texts(i) if scorer.texts is not None else ()))
        except Exception as error:
            left_out.add(i.id)
            count_failure(failures, _name(scorer), [i], error)
    try:
        if texts:
            embedder.embed(list(texts))
    except Exception as error:
        count_failure(failures, _name(scorer), [i for i in interactions if i.id not in left_out], error)
        return {i.id for i in interactions}
    return left_out


def _values(
    interaction: Interaction,
    scorers: Sequence[Scorer],
    embedder: Embedder,
    left_out: Mapping[str, Set[str]],
    failures: dict[str, ScorerFailure],
) -> dict[str, float]:
    values: dict[str, float] = {}
    for s in scorers:
        if interaction.id in left_out.get(s.name, ()):
            continue
        try:
            value = s.score(interaction, embedder)
            number = None if value is None else float(value)
            if number is not None and not math.isfinite(number):
                raise ValueError(f"{number} is not a finite number; None says that a metric does not apply")
        except Exception as error:
            count_failure(failures, _name(s), [interaction], error)
            continue
        if number is not None:
            values[s.name] = number
    return values | possible_events(interaction) | (_label_match(interaction) if interaction.label is not None else {})


def count_failure(
    failures: dict[str, ScorerFailure], name: str, interactions: Sequence[Interaction], error: Exception
) -> None:
    """Count interactions that have no number of a scorer, because of an error."""
    if interactions:
        count = len(interactions) + (failures[name].count if name in failures else 0)
        what = quoted(f"{type(error).__name__}: {error}", 200)
        failures[name] = ScorerFailure(id=name, count=count, last_interaction=interactions[-1].id, last_error=what)


def _name(scorer: Scorer) -> str:
    return f"{scorer.name}@{scorer.version}"


def _label_match(interaction: Interaction) -> dict[str, float]:
    """A label that came with the interaction, as the score that it would have been later."""
    label = Feedback(
        id=f"{interaction.id}/label",
        interaction_id=interaction.id,
        time_us=interaction.time_us,
        kind="label",
        text=interaction.label,
    )
    return {metric: float(value) for metric, value in feedback_columns(label, interaction).items()}
