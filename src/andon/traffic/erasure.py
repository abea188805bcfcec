"""Erasure of one user: which texts are theirs, and how a record looks without them. Pure; `andon.loop.Loop.erase` acts.

A client may call a user, and say, anything: ``open``, ``P1``, the name of another application. So a name is taken out only
where a field names people, and words by which the loop works are never texts of a user, whatever they are equal to.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from andon.traffic.quoting import quoted
from andon.traffic.records import SEGMENTS, VERSIONS, Interaction

__all__ = ["ERASED", "Blanking", "Traces", "texts_of"]

ERASED = "[erased]"
"""What stands in place of a text."""

_LONG = 20
"""A text of at least this many characters is recognised wherever it stands; a shorter one only beside the user's ids. Of a
text that was cut, so many characters before the ellipsis are enough."""

_CUT = ("…", "...")

_PEOPLE = frozenset(("user_id", "user", "users", "user.id", "enduser", "enduser.id", "andon.user_id", "llm.user"))
"""Fields that name users. Authors are people of the team: a user who takes such a name is not them."""

_IDS = frozenset(("id", "interaction_id", "trace_id", "last_interaction", "failure"))
"""Fields that hold ids of interactions and traces, and of failures that were captured of them."""

_PARTS = frozenset(("scope", "where", "segment", "segments", "versions", "mix"))
"""Fields whose value says which part of the traffic is meant; no value in them is one user's own, but a name is."""

_OURS = frozenset(
    (
        *_IDS, *_PARTS, *SEGMENTS, *VERSIONS, "app", "environment", "arm", "monitor", "metric", "lead", "incident",
        "signals", "duplicate_of", "lever", "item", "case_id", "channel", "section", "embedder", "scorers", "target",
        "golden", "plan", "table", "column", "keys", "columns", "metrics", "measures", "op", "direction", "kind", "unit",
        "bad", "harm", "level", "impact", "severity", "state", "status", "field", "origin", "phase", "found",
        "mark", "tone", "area", "outcome", "verdict", "fail", "closed_as", "template", "name", "version_field", "before",
        "after", "digest", "centroids", "choice", "cluster", "variant_of", "case", "retired", "by", "author", "acked_by", "noticed_by", "released_by", "resolved_by",
        "suggested_by", "label_author", "owner", "days", "taken", "run", "experiment", "control", "treatment", "salt", "ended_by", "pull",
        "parent", "rule", "role", "method", "better", "on_harm",
    )
)  # fmt: skip
"""Fields that hold the loop's own words: ids, names of things and of the team, one of a few allowed words."""

_SAID = frozenset(("reason", "result", "what"))
_SAID_WORDS = frozenset(
    (
        "opened",
        "late",
        "worse",
        "still",
        "unsure",
        "acked",
        "closed",
        "supports",
        "against",
        "cannot tell",
        "held",
        "ending",
        "ended",
        "unreviewed",
    )
)
"""Three fields hold one of these words in some records, and a text in others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """What one user left behind."""

    ids: frozenset[str]
    """Ids of interactions and traces."""
    sessions: frozenset[str]
    texts: frozenset[str]
    """What was asked, answered, retrieved and passed to tools."""
    asked: frozenset[tuple[str, str, str | None]] = frozenset()
    """Application, question and answer of the interactions."""


def texts_of(interaction: Interaction) -> set[str]:
    """Every text of an interaction that may be the user's own."""
    found = {interaction.query, interaction.answer, interaction.expected_answer, interaction.user_id}
    found |= {c.text for c in interaction.contexts}
    found |= {t for call in interaction.tool_calls for t in (call.arguments, call.result)}
    found |= set(interaction.attributes.values())
    return {t for t in found if t and t.strip()}


class Blanking:
    """Replaces a user's texts in the JSON of records.

    A name is replaced where a field names users, the value of a plan's condition on such a column too. A text of at least 20
    characters is replaced wherever it stands, as it is, as JSON or a message of ours spells it, or cut off by an ellipsis; a
    shorter one only in a record about the user's interactions; both only in fields that may hold a text at all. Of a text
    that is a JSON object, such as the line of a file, the values are looked at.

    `only_about` leaves every record alone that is not about the user's interactions: what others asked and tested is theirs.
    """

    def __init__(
        self, *, names: Collection[str], ids: Collection[str], texts: Collection[str], only_about: bool = False
    ) -> None:
        self._only_about = only_about
        self._names, self._ids = frozenset(names) - {""}, frozenset(ids)
        self._texts = frozenset(texts) - self._ids - {""}
        forms = {f for t in self._texts if len(t) >= _LONG for f in _forms(t)}
        self._long = tuple(sorted(forms, key=lambda t: (-len(t), t)))

    def __call__(self, value: Any) -> Any:
        """The value without the texts; the same object when there is none of them in it."""
        about = self._is_about(value, "")
        changed = self._blanked(value, "", about) if about or not self._only_about else value
        return value if changed == value else changed

    def touches(self, body: str) -> bool:
        """Whether a record still holds one of the texts."""
        value = json.loads(body)
        return bool(self(value) is not value)

    def _is_about(self, value: Any, key: str) -> bool:
        """Whether an id of theirs, or their name as that of a user, stands anywhere in it."""
        if isinstance(value, str):
            named = key in _PEOPLE and value in self._names
            return named or (value in self._ids and (key in _IDS or key not in _OURS))
        if isinstance(value, dict):
            return any(self._is_about(v, _key(value, k, key)) for k, v in value.items())
        return isinstance(value, list) and any(self._is_about(v, key) for v in value)

    def _blanked(self, value: Any, key: str, about: bool) -> Any:
        if isinstance(value, dict):
            return {k: self._blanked(v, _key(value, k, key), about) for k, v in value.items()}
        if isinstance(value, list):
            return [self._blanked(v, key, about) for v in value]
        if not isinstance(value, str) or value == ERASED:
            return value
        if key in _PEOPLE:
            return ERASED if value in self._names else value
        if key in _OURS or (key in _SAID and value in _SAID_WORDS):
            return value
        return self._without_texts(value, about)

    def _without_texts(self, value: str, about: bool) -> str:
        if value in self._texts and (about or len(value) >= _LONG):
            return ERASED
        if value.startswith("{") and (inner := _object(value)) is not None:
            without = self._blanked(inner, "", about)
            value = value if without == inner else json.dumps(without)
        for text in self._long:
            if text[:_LONG] in value:
                value = _without_cut(value.replace(text, ERASED), text)
        return value


def _forms(text: str) -> set[str]:
    """The spellings of a text: its own, on one line, in JSON, and in a message of ours (`quoted`)."""
    spelt = {json.dumps(text), json.dumps(text, ensure_ascii=False), quoted(text, len(text))}
    return {f for f in (text, " ".join(text.split()), *(s[1:-1] for s in spelt)) if len(f) >= _LONG}


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _without_cut(value: str, text: str) -> str:
    """A value without the places where a text begins and is cut off by an ellipsis after `_LONG` characters or more."""
    at = 0
    while (at := value.find(text[:_LONG], at)) >= 0:
        end = at + sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(value[at:], text, strict=False)))
        cut = next((c for c in _CUT if value.startswith(c, end)), "")
        if cut or value.endswith(_CUT, at + _LONG, end):  # the text may hold an ellipsis where it was cut
            value, at = value[:at] + ERASED + value[end + len(cut) :], at + len(ERASED)
        else:
            at = end
    return value


def _key(pairs: dict[str, Any], key: str, above: str) -> str:
    """What a value is, by its key; the value of a condition or a cell is what its column is, and a part of the traffic a part."""
    column = pairs.get("column", pairs.get("field"))
    if key == "value" and isinstance(column, str):
        return column
    return above if above in _PARTS and key not in _PEOPLE else key
