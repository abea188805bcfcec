"""Records of the stage `changes`: one entry of the control-plane log."""

from dataclasses import dataclass, field

__all__ = ["KINDS", "Change"]

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
