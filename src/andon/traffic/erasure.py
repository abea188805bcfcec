"""Erasure of one user: which texts are theirs, and how a record looks without them. Pure; `andon.loop.Loop.erase` acts."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from andon.traffic.records import Interaction

__all__ = ["ERASED", "Blanking", "Traces", "texts_of"]

ERASED = "[erased]"
"""What stands in place of a text."""

_LONG = 20
"""A text of at least this many characters is recognised wherever it stands; a shorter one only beside the user's ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """What one user left behind."""

    ids: frozenset[str]
    """Ids of interactions and traces."""
    sessions: frozenset[str]
    texts: frozenset[str]
    """What was asked, answered, retrieved and passed to tools."""


def texts_of(interaction: Interaction) -> set[str]:
    """Every text of an interaction that may be the user's own."""
    found = {interaction.query, interaction.answer, interaction.expected_answer, interaction.user_id}
    found |= {c.text for c in interaction.contexts}
    found |= {t for call in interaction.tool_calls for t in (call.arguments, call.result)}
    found |= set(interaction.attributes.values())
    return {t for t in found if t and t.strip()}


class Blanking:
    """Replaces a user's texts in the JSON of records."""

    def __init__(self, *, names: Collection[str], ids: Collection[str], texts: Collection[str]) -> None:
        self._names, self._ids, self._texts = frozenset(names), frozenset(ids), frozenset(texts) - frozenset(ids)
        self._long = tuple(t for t in self._texts if len(t) >= _LONG)

    def __call__(self, value: Any) -> Any:
        """The value without the texts; the same object when there is none of them in it."""
        about = self._is_about(value)
        changed = self._blanked(value, about)
        return value if changed == value else changed

    def touches(self, body: str) -> bool:
        """Whether a record still holds one of the texts."""
        value = json.loads(body)
        return bool(self(value) is not value)

    def _is_about(self, value: Any) -> bool:
        """Whether an id or name of the user stands anywhere in it."""
        if isinstance(value, str):
            return value in self._ids or value in self._names
        if isinstance(value, dict):
            return any(self._is_about(v) for v in value.values())
        return isinstance(value, list) and any(self._is_about(v) for v in value)

    def _blanked(self, value: Any, about: bool) -> Any:
        if isinstance(value, dict):
            return {k: self._blanked(v, about) for k, v in value.items()}
        if isinstance(value, list):
            return [self._blanked(v, about) for v in value]
        if not isinstance(value, str) or value == ERASED:
            return value
        if value in self._names or (value in self._texts and (about or len(value) >= _LONG)):
            return ERASED
        for text in self._long:
            if text in value:
                value = value.replace(text, ERASED)
        return value
