"""The table ``scores``: one row per scored interaction, one column per metric, and the keys it is watched by."""

from collections.abc import Mapping, Sequence

import pyarrow as pa

from andon.scores.records import Harm, Scorer
from andon.traffic import SEGMENTS, VERSIONS, Feedback, Interaction

__all__ = ["KEYS", "LABELS", "failing", "feedback_columns", "score_row", "score_schema"]

KEYS: tuple[str, ...] = ("app", "environment", *dict.fromkeys((*SEGMENTS, *VERSIONS)), "arm", "user_id", "session_id")
"""Columns copied from the interaction, so that a metric can be sliced without a join."""

LABELS: Mapping[str, tuple[str, str, Harm, str]] = {
    "thumbs": ("thumb", "down", "usefulness", "Thumbs up."),
    "label_match": ("label", "down", "correctness", "The label that came later equals the answer or prediction."),
    "rating": ("rating", "down", "correctness", "A person's rating, 0..1."),
}
"""Metrics that people give: name -> (kind of feedback, bad direction, harm, what it is)."""


def score_schema(scorers: Sequence[Scorer]) -> pa.Schema:
    """Schema of the table ``scores`` for these scorers (and the metrics that people give)."""
    metrics = [s.name for s in scorers] + list(LABELS)
    return pa.schema(  # an interaction of which more came to light is scored again
        metadata={"andon.repeated": "replaces"},
        fields=[pa.field("id", pa.string(), nullable=False), pa.field("time_us", pa.int64(), nullable=False)]
        + [pa.field("interaction_id", pa.string()), pa.field("weight", pa.float64()), pa.field("scorers", pa.string())]
        + [pa.field(k, pa.string()) for k in KEYS]
        + [pa.field(m, pa.float64()) for m in metrics],
    )


def score_row(
    interaction: Interaction, values: Mapping[str, float], scorers: str, row_id: str, time_us: int
) -> dict[str, object]:
    """One row: the keys of the interaction and these metric values; `scorers` names the versions that made them."""
    row: dict[str, object] = {k: getattr(interaction, k) for k in KEYS}
    row.update(values)
    row.update(id=row_id, time_us=time_us, interaction_id=interaction.id, weight=interaction.weight, scorers=scorers)
    return row


def feedback_columns(feedback: Feedback, interaction: Interaction) -> dict[str, float]:
    """The metric that one piece of feedback gives, or nothing when its kind is not a measure."""
    for metric, (kind, *_) in LABELS.items():
        if feedback.kind != kind or feedback.scope != "interaction" or feedback.error is not None:
            continue
        if kind == "label" and feedback.text is not None:
            if not feedback.text.strip():
                return {}
            given = interaction.prediction if interaction.prediction is not None else interaction.answer
            return {metric: float(given is not None and given.strip() == feedback.text.strip())}
        return {} if feedback.value is None else {metric: float(feedback.value)}
    return {}


def failing(kind: str, direction: str, cut: float | None) -> tuple[str, float]:
    """The condition under which one value of a metric counts as failing, as (operator, bound) for a plan's `Where`.

    A rate fails at 1 when it harms upward and at 0 when it harms downward; a number fails beyond the baseline's `cut`.
    """
    if kind == "binary":
        return ("ge", 0.5) if direction == "up" else ("lt", 0.5)
    if cut is None:
        raise ValueError("a number fails beyond a cut; the monitor has not learned one yet")
    return ("ge", cut) if direction == "up" else ("lt", cut)
