"""The failure log of a capture script: what was asked, what came, why it was wrong, and what would have been right.

Its rows have `timestamp, query, model_answer, retrieved_contexts, failure_reason, correct_answer`. Each is two facts: an
interaction, and what somebody said about it afterwards.
"""

from collections.abc import Collection, Mapping
from typing import Any

from andon.traffic.files.cells import parse_cell
from andon.traffic.intake import field_of, interaction_of
from andon.traffic.records import Feedback, Interaction

__all__ = ["capture_of", "is_capture"]

_REASON = "failure_reason"


def is_capture(names: Collection[str]) -> bool:
    """Whether rows with these names come from a failure log."""
    return _REASON in names and any(field_of(n) in ("query", "answer") for n in names)


def capture_of(row: Mapping[str, Any]) -> tuple[Interaction, Feedback | None]:
    """The interaction of a row, and the correction (else the thumb down) that it holds; None where it names no failure.

    Raises:
        InputError: a field has the wrong type, or there is no time.
    """
    opened = {k: parse_cell(v) if isinstance(v, str) and field_of(k) == "contexts" else v for k, v in row.items()}
    interaction = interaction_of(opened)
    right, reason = interaction.expected_answer or None, interaction.attributes.get(_REASON) or None
    if right is None and reason is None:
        return interaction, None
    return interaction, Feedback(
        id=f"{interaction.id}:failure",
        interaction_id=interaction.id,
        time_us=interaction.time_us,
        kind="thumb" if right is None else "correction",
        value=0.0 if right is None else None,
        text=reason if right is None else right,
    )
