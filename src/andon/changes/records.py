"""Records of the stage `changes`: one entry of the control-plane log."""

from dataclasses import dataclass, field

__all__ = ["KINDS", "Change", "Ignored", "Received"]

KINDS = (
    "model",
    "prompt",
    "policy",
    "routing",
    "index",
    "corpus",
    "embedding model",
    "tool schema",
    "permission",
    "sampling parameter",
    "budget",
    "provider",
    "traffic source",
    "code",
    "config",
    "scorer",
    "lever",
    "other",
)
"""What can be changed; most of it is not treated as a deploy elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something moved in the control plane of an AI system."""

    id: str
    at_us: int
    """When it happened."""
    kind: str
    """One of `KINDS`."""
    title: str
    """One line that a person recognises it by."""
    app: str = "default"
    environment: str = "production"
    before: str | None = None
    after: str | None = None
    version_field: str | None = None
    """The field of `Interaction` that carries `after`, when traffic shows who was exposed to the change."""
    scope: dict[str, str] = field(default_factory=dict)
    """Which traffic it can touch at all, by segment fields (``{"risk_category": "high"}``); empty is all of it."""
    author: str = "unknown"
    origin: str = "recorded"
    """``recorded`` by a person or pipeline, ``traffic`` (a version first seen there), ``lever`` (our own action)."""
    own: bool = True
    """False when we did not do it: a provider moved a model behind an alias, a new traffic source appeared."""
    link: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    """What was sent and has no field here, as text: at most 50 keys of 1,000 characters, without secrets.

    Of a change of a lever ``lever``, its key, ``shown as``, the names under which traffic may show what it gives, between
    blanks, and of a split ``control``, the name of the arm for which nothing changed.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """Something that was understood and is no change of what runs."""

    what: str
    """The sender's name for it, e.g. ``dev.cdevents.testcaserun.finished``."""
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What one body held."""

    changes: tuple[Change, ...] = ()
    ignored: tuple[Ignored, ...] = ()
    undated: frozenset[str] = frozenset()
    """Ids of changes that came without a time: theirs is that of their arrival, and a second delivery must not move it."""
    unnamed: frozenset[str] = frozenset()
    """Those of `undated` that came without a name either: the same words an hour later are another change."""
