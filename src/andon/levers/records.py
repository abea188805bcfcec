"""Records of the stage `levers`: reversible settings of the user's AI system that Andon serves."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Lever", "LeverValue", "Pull"]

LeverValue = bool | str | float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lever:
    """A setting that the user's application reads over OpenFeature (OFREP)."""

    id: str
    """The flag key: ``[a-z0-9._-]`` only, because clients mangle anything else."""
    kind: Literal["boolean", "string", "number"]
    default: LeverValue
    """What the application must pass as its code default: every error path of a client returns it."""
    safe: LeverValue
    """The value that stops harm."""
    fail: Literal["open", "closed"] = "open"
    """``closed``: when in doubt the safe value is right, so the code default must be the safe value."""
    about: str = ""
    app: str = "default"
    """The application that reads it: the changes that pulls write are looked for there."""
    environment: str = "production"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """One lever held at one value, by somebody, for a reason, until a time."""

    id: str
    lever: str
    value: LeverValue
    at_us: int
    by: str
    why: str
    until_us: int
    """A hold always expires; the expiry is recorded as a change of its own."""
    incident: str | None = None
    trade_off: str = ""
    released_us: int | None = None
    """When it ended: released by a person, superseded by the next pull, or expired."""
    released_by: str | None = None
    released_why: str | None = None
