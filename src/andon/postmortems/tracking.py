"""What happened to an action, one step for each decision and each test, from the versions of its record. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from andon.postmortems.records import ActionItem, Proof
from andon.traffic import format_time

__all__ = ["Step", "steps_taken"]

Kind = Literal["taken", "changed", "tested", "claimed", "dropped", "restored", "given back"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that somebody did about an action."""

    at_us: int
    by: str
    kind: Kind
    text: str
    proof: Proof | None = None
    """What came of the test, where this was one."""


def steps_taken(versions: Sequence[tuple[ActionItem, int, str]]) -> tuple[Step, ...]:
    """What was decided and tested, in order.

    Args:
        versions: of one action, the first one first, each with when (microseconds) and by whom it was written.
    """
    found: list[Step] = []
    before: ActionItem | None = None
    for item, at_us, by in versions:
        found += [Step(at_us=at_us, by=by, kind=k, text=t, proof=p) for k, t, p in _changes(before, item)]
        before = item
    return tuple(found)


def _changes(old: ActionItem | None, new: ActionItem) -> list[tuple[Kind, str, Proof | None]]:
    found: list[tuple[Kind, str, Proof | None]] = []
    state = old.state if old else "proposed"
    if new.state == "dropped" and state != "dropped":
        found.append(("dropped", f"dropped: {new.why}", None))
    elif state == "dropped" and new.state != "dropped":
        found.append(("restored", "restored", None))
    elif state == "open" and new.state == "proposed":
        found.append(("given back", "given back: it is nobody's commitment", None))
    elif state == "proposed" and new.state == "open":
        found.append(("taken", f"{new.owner} takes it, due {_day(new.due_us)}{_test(new)}", None))
    elif old is not None and (words := _terms(old, new)):
        found.append(("changed", words, None))
    if new.claimed and (old is None or old.claimed != new.claimed):
        found.append(("claimed", f"claimed: {new.claimed}", None))
    if new.link and (old is None or old.link != new.link):
        found.append(("changed", f"tracked at {new.link}", None))
    if new.proof is not None and (old is None or old.proof != new.proof):
        found.append(("tested", new.proof.text, new.proof))
    return found


def _terms(old: ActionItem, new: ActionItem) -> str:
    told = []
    if new.owner != old.owner:
        told.append(f"{new.owner} takes it over from {old.owner or 'nobody'}")
    if new.due_us != old.due_us and new.state == "open":
        told.append(f"due {_day(new.due_us)} instead of {_day(old.due_us)}")
    if new.criterion != old.criterion and new.criterion is not None:
        told.append(f"done when {new.criterion.text}")
    return "; ".join(told)


def _test(item: ActionItem) -> str:
    return f"; done when {item.criterion.text}" if item.criterion else ""


def _day(us: int) -> str:
    return format_time(us)[:10]
