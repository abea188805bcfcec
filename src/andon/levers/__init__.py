"""Reversible, recorded, expiring settings that the user's application reads; the only stage that changes it.

In: a person's (or a written rule's) decision. Out: `Lever` and `Pull` records, a `Change` per pull and per end of one, and
the value that OFREP serves. Always true: every pull has an author, a reason, an undo and an expiry; at most one pull holds
a lever; a lever keeps one type for ever. What touches the ledger is in `andon.levers.run`.
"""

from andon.levers.records import Lever, LeverValue, Pull
from andon.levers.registry import (
    MAX_HOLD_US,
    check_key,
    check_lever,
    check_value,
    evaluate,
    in_force,
    latest,
    value_text,
)

__all__ = [
    "MAX_HOLD_US",
    "Lever",
    "LeverValue",
    "Pull",
    "check_key",
    "check_lever",
    "check_value",
    "evaluate",
    "in_force",
    "latest",
    "value_text",
]
