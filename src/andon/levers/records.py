"""Records of the stage `levers`: reversible settings of the user's AI system that Andon serves, their versions and pulls."""

from dataclasses import dataclass
from typing import Any, Literal

__all__ = [
    "ENVIRONMENTS",
    "Announced",
    "Approval",
    "Effect",
    "Environment",
    "FirstRead",
    "GateResult",
    "Lever",
    "LeverValue",
    "Promotion",
    "Pull",
    "Version",
]

LeverValue = bool | str | float | dict[str, Any] | list[Any]

Environment = Literal["staging", "production"]
ENVIRONMENTS: tuple[Environment, ...] = ("staging", "production")
"""Where a lever is read, in the order in which a version is promoted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lever:
    """A setting that the user's application reads over OpenFeature (OFREP)."""

    id: str
    """The flag key: ``[a-z0-9._-]`` only, because clients mangle anything else."""
    kind: Literal["boolean", "string", "number", "object"]
    default: LeverValue
    """What the application must pass as its code default: every error path of a client returns it."""
    safe: LeverValue
    """The value that stops harm."""
    fail: Literal["open", "closed"] = "open"
    """``closed``: when in doubt the safe value is right, so the code default must be the safe value."""
    about: str = ""
    app: str = "default"
    """The application that reads it: the changes that pulls write are looked for there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """Somebody who did not write a version says that it may be served to production."""

    by: str
    at_us: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """What the gate said of a version."""

    outcome: Literal["pass", "fail", "undecided", "could not run"]
    reason: str
    by: str
    at_us: int
    run: str | None = None
    """The eval run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A value of a lever that people wrote, read and approved: a prompt, a policy, a model's name."""

    id: str
    """``<lever>@<digest>``; the same value is the same version, whoever adds it again."""
    lever: str
    digest: str
    """First 12 hex digits of the SHA-256 of the value."""
    value: LeverValue
    at_us: int
    by: str
    """Its author, who cannot approve it."""
    why: str
    parent: str | None = None
    """Digest of the version it was made from: what its diff is against."""
    approvals: tuple[Approval, ...] = ()
    gates: tuple[GateResult, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """Which version is live in one environment while nobody holds the lever; the record's versions are the history."""

    id: str
    """``<lever>:<environment>``."""
    lever: str
    environment: Environment
    digest: str | None
    """None: the declared default again."""
    at_us: int
    by: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """One lever held at one value in one environment, by somebody, for a reason, until a time."""

    id: str
    lever: str
    value: LeverValue
    at_us: int
    """By the clock of who pulled; which of two pulls is the newer, the number in the id says."""
    by: str
    why: str
    until_us: int
    """A hold always expires; the expiry is recorded as a change of its own."""
    environment: Environment = "production"
    digest: str | None = None
    """The version that is held; None for a value that is none."""
    incident: str | None = None
    trade_off: str = ""
    exit: str = ""
    """The exit criterion: what must be true before it may be released."""
    rule: str | None = None
    """The written rule that pulled; None for a person."""
    break_glass: bool = False
    """Whether a rule of approval was broken; then another person looks at it afterwards."""
    evidence: str = ""
    """What was frozen before it, or why nothing was."""
    released_us: int | None = None
    """When it ended: released by a person, superseded by the next pull, or expired."""
    released_by: str | None = None
    released_why: str | None = None
    reviewed: Approval | None = None
    """Who looked at a broken glass afterwards, and what they think of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstRead:
    """When a pull was first given to an application that its lever is for, or to a client that did not say what it is."""

    id: str
    """The pull."""
    at_us: int
    by_application: bool = True
    """Whether it said that it is an application which the lever is for. An application's read takes the place of another client's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What one metric did before and after a pull."""

    id: str
    """``<pull>:<metric>``."""
    pull: str
    metric: str
    direction: Literal["up", "down"]
    """``up``: high values harm."""
    scope: dict[str, str]
    before_x: float
    """Interactions that were harmed between the onset (or as long before the pull as after it) and the pull."""
    before_n: float
    after_x: float
    after_n: float
    difference: float | None
    """Rate of harm after less before; None where one side has no traffic."""
    low: float | None
    high: float | None
    from_us: int
    until_us: int
    """The time that was looked at, with the pull in between."""
    at_us: int
    text: str
    """The same as a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """That people were told of something about a pull or an experiment: once, save for a broken glass that nobody reviews."""

    id: str
    """``<pull>:<what>``, or ``<experiment>:<decision>``; then ``<that> due: <channel>`` and ``<that> told: <channel>``."""
    at_us: int
