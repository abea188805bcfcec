"""What became of a golden case, and of a golden set, from the versions that the ledger keeps."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

from andon.golden.cases import case_digest, digest_of
from andon.golden.records import Case, Failure, Label, NearDuplicate
from andon.traffic.clock import format_time
from andon.traffic.quoting import quoted

__all__ = ["Entry", "Moved", "State", "Step", "case_history", "set_changes", "set_states"]

Step = tuple[int, str, Case | Failure | Label | NearDuplicate]
"""One version of a record: its time in microseconds, who wrote it, and the record."""

SHOWN = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that happened to a case."""

    at_us: int
    by: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The golden set as it was at the end of a day on which it changed."""

    day: str
    """ISO date, UTC."""
    digest: str
    """Digest of the cases that were tested, by content: the same as in a run of that set."""
    cases: int
    """Cases that were tested."""
    added: int
    retired: int
    changed: int
    """Cases that were changed otherwise, or brought back; each counts once, however often that was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """One change to a case of a set."""

    at_us: int
    by: str
    case: Case
    """As it was after it."""
    kind: str
    """``added``, ``changed``, ``retired`` or ``back``."""
    what: str


def case_history(steps: Iterable[Step]) -> list[Entry]:
    """What happened to a case, oldest first, from the versions of its failure, labels, near-duplicate decisions and its own."""
    entries: list[Entry] = []
    before: Case | None = None
    for at_us, by, record in sorted(steps, key=lambda s: s[0]):
        if isinstance(record, Case):
            what = _added(record) if before is None else _changed(before, record)
            before = record
        elif isinstance(record, Failure):
            versions = ", ".join(f"{k} {v}" for k, v in sorted(record.versions.items()))
            what = f"failure {record.id} captured from {record.source or 'an unknown source'}: {record.reason or 'no reason given'}"
            what += f" ({versions})" if versions else ""
        elif isinstance(record, Label):
            what = _labelled(record)
        else:
            what = f"near {record.case} (cosine {record.cosine:.3f} by {record.embedder}): {record.choice}, because {record.why}"
        entries.append(Entry(at_us=at_us, by=by, what=what))
    return entries


def _labelled(label: Label) -> str:
    if label.verdict == "withdrawn":
        return "took their label back"
    right = "no case comes of it" if label.verdict == "dismiss" else f"right is {quoted(label.ground_truth, SHOWN)}"
    note = f" ({label.note})" if label.note else ""
    return f"{'adjudicated' if label.final else 'labelled'}: {right}{note}"


def set_changes(versions: Iterable[tuple[int, str, Case]]) -> list[Moved]:
    """What was done to the cases of a set, oldest first, from (time, who wrote it, version of a case) in the order of writing."""
    moved = []
    now: dict[str, Case] = {}
    for at_us, by, case in versions:
        before = now.get(case.id)
        if before is None:
            kind, what = "retired" if case.retired else "added", _added(case)
        elif case.retired is not None and before.retired is None:
            kind, what = "retired", _changed(before, case)
        else:
            kind, what = "back" if before.retired and not case.retired else "changed", _changed(before, case)
        now[case.id] = case
        moved.append(Moved(at_us=at_us, by=by, case=case, kind=kind, what=what))
    return moved


def set_states(versions: Sequence[tuple[int, Case]]) -> list[State]:
    """The states of a set by day, oldest first, from (time in microseconds, version of a case) in the order of writing."""
    states: list[State] = []
    now: dict[str, Case] = {}
    digests: dict[str, str] = {}
    day = ""
    added, retired, changed = (set[str]() for _ in range(3))
    for at_us, case in versions:
        today = format_time(at_us)[:10]
        if today != day and day:
            states.append(_state(day, digests, added, retired, changed))
            added, retired, changed = set(), set(), set()
        day = today
        before = now.get(case.id)
        if before is None:
            added.add(case.id)
        if case.retired is not None and (before is None or before.retired is None):
            retired.add(case.id)
        elif before is not None:
            changed.add(case.id)
        now[case.id] = case
        digests.pop(case.id, None)
        if case.retired is None:
            digests[case.id] = case_digest(case)
    return [*states, _state(day, digests, added, retired, changed)] if day else []


def _state(day: str, digests: dict[str, str], *touched: set[str]) -> State:
    added, retired, changed = map(len, touched)
    return State(
        day=day, digest=digest_of(digests.values()), cases=len(digests), added=added, retired=retired, changed=changed
    )


def _added(case: Case) -> str:
    near = "" if case.nearest is None else f", nearest case at cosine {case.nearest:.3f}"
    origin = f" from {case.source}" if case.source else ""
    incident = f" of {case.incident}" if case.incident and case.incident not in case.source else ""
    variant = f", a variant of {case.variant_of}" if case.variant_of else ""
    state = f", retired since {case.retired}: {case.retired_why}" if case.retired else ""
    return f"added{origin}{incident}, measured by {case.metric}{near}{variant}{state}"


def _changed(before: Case, case: Case) -> str:
    if case.retired is not None and before.retired is None:
        return f"retired: {case.retired_why}"
    if case.retired is None and before.retired is not None:
        return f"brought back: {case.retired_why}"
    names = [f.name for f in fields(Case) if f.name != "line" and getattr(before, f.name) != getattr(case, f.name)]
    if not names:
        return "changed: its line in the file"
    return "changed: " + "; ".join(f"{n} from {_word(getattr(before, n))} to {_word(getattr(case, n))}" for n in names)


def _word(value: object) -> str:
    return "nothing" if value in (None, "", (), {}) else quoted(str(value), SHOWN)
