"""Reversible, recorded, expiring settings that the user's application reads; the only stage that changes it.

In: a person's (or a written rule's) decision. Out: `Lever`, `Version`, `Promotion` and `Pull` records, a `Change` for each
thing that moves what is served, and the value that OFREP serves. Always true: every pull has an author, a reason, an undo and
an expiry; at most one pull holds a lever in an environment; production sees only what was declared or approved; a lever keeps
one type for ever. What touches the ledger is in `andon.levers.run`.
"""

from andon.levers.pulls import Asked, in_force, latest, standing, turn
from andon.levers.records import (
    ENVIRONMENTS,
    Announced,
    Effect,
    FirstRead,
    GateResult,
    Lever,
    LeverValue,
    Promotion,
    Pull,
    Version,
)
from andon.levers.registry import (
    check_key,
    check_lever,
    check_value,
    diff,
    digest_of,
    find_version,
    value_text,
)
from andon.levers.serving import UNALLOCATED, Served, evaluate

__all__ = [
    "ENVIRONMENTS",
    "UNALLOCATED",
    "Announced",
    "Asked",
    "Effect",
    "FirstRead",
    "GateResult",
    "Lever",
    "LeverValue",
    "Promotion",
    "Pull",
    "Served",
    "Version",
    "check_key",
    "check_lever",
    "check_value",
    "diff",
    "digest_of",
    "evaluate",
    "find_version",
    "in_force",
    "latest",
    "standing",
    "turn",
    "value_text",
]
