"""Declare levers, write, approve and promote their versions."""

import json
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from typing import Any

from andon.errors import InputError, StateError
from andon.levers.records import ENVIRONMENTS, GateResult, Lever, Promotion, Version
from andon.levers.registry import (
    approve,
    check_environment,
    check_key,
    check_lever,
    check_person,
    check_promotion,
    check_served,
    check_value,
    digest_of,
    find_version,
    line,
    same_value,
    shown_value,
)
from andon.levers.run.reading import pulls_of, versions_of
from andon.levers.run.recording import put_once, record_default, record_promotion
from andon.rollouts import Allocation
from andon.store import Ledger, Versioned
from andon.traffic import format_time, quoted

__all__ = [
    "DEFAULT",
    "add_version",
    "approve_version",
    "declare",
    "in_the_way",
    "known_lever",
    "live_in",
    "note_gate",
    "number_of",
    "promote",
    "splitting",
    "versions_of",
]


DEFAULT = "default"
"""What `promote` takes for the declared default; no digest reads so."""


def declare(ledger: Ledger, lever: Lever, now_us: int, by: str, *, seen: int | None = None) -> Lever:
    """Write a lever, or a new version of one.

    A changed default of a lever that nobody holds, and of which no version is live, is a change of what is served; so a new
    default or safe value is one that production may see already. The first declaration is no change: nothing was served before.

    Args:
        ledger: where it is written.
        lever: as it is to be.
        now_us: the clock.
        by: who.
        seen: how many declarations who declares has read the last of (0: of a lever that is new); None: whatever was declared.

    Raises:
        InputError: the lever contradicts itself.
        StateError: it was declared otherwise meanwhile, or it was declared with another kind (a lever keeps one type for ever), nobody approved its new values, an
            experiment gives the default to one arm, or somebody else declared it in the same moment.
    """
    declared = ledger.history(Lever, check_key(lever.id))
    if seen is not None and declared and declared[-1].version != seen:
        raise StateError(_meanwhile(declared, seen))
    if declared and (known := declared[-1].record).kind != lever.kind:
        raise StateError(
            f"{lever.id} is a {known.kind} lever and stays one, because applications read it as such; "
            f"declare another key for a {quoted(lever.kind)[1:-1]}"
        )
    lever, by = check_lever(lever), line("by", by, 200)
    if not declared:
        put_once(ledger, lever, now_us=now_us, by=by, expect=0, lever_id=lever.id, what=f"declared {lever.id}")
        return lever
    if _plain(known) == _plain(lever):
        return known
    versions = versions_of(ledger, lever.id)
    for value in (lever.default, lever.safe):
        check_served(known, value, "production", versions)
    splits = [number_of(ledger, Allocation, f"{lever.id}:{e}") for e in ENVIRONMENTS]
    if not same_value(known.default, lever.default):
        for environment in ENVIRONMENTS:
            split = splitting(ledger, lever.id, environment, now_us)
            if split is not None and None in (split.control, split.treatment):
                raise in_the_way(split, "and gives the default to one arm", "then declare the new default")
    pulls = pulls_of(ledger, lever.id)
    record_default(ledger, declared, pulls, now_us)
    what = f"declared {lever.id}, or started or ended an experiment on it,"
    put_once(
        ledger, lever, now_us=now_us, by=by, expect=declared[-1].version, lever_id=lever.id, what=what, beside=splits
    )
    record_default(ledger, ledger.history(Lever, lever.id), pulls, now_us)
    return lever


def add_version(
    ledger: Ledger, lever_id: str, value: Any, *, why: str, by: str, parent: str | None = None, now_us: int
) -> Version:
    """Write a version of a lever; the same value is the same version, with the author that wrote it first.

    Args:
        ledger: where it is written.
        lever_id: of which lever.
        value: of the lever's kind.
        why: what it is for.
        by: its author.
        parent: the version it was made from; the one that is live in production unless given.
        now_us: the clock.

    Raises:
        InputError: the lever or the parent is unknown, the value has another type, why is empty, or by is no name (`check_person`).
        StateError: another value has the same digest, or somebody else added it in the same moment.
    """
    lever = known_lever(ledger, lever_id)
    why, by = line("why", why, 2_000), check_person(by)
    checked = check_value(lever, value)
    digest = digest_of(checked)
    versions = versions_of(ledger, lever.id)
    known = next((v for v in versions if v.digest == digest), None)
    if known is not None and not same_value(known.value, checked):
        raise StateError(
            f"another value of {lever.id} has the digest {digest} too, which does not happen by chance; nothing was written: look at "
            f"who wrote {known.id} ({quoted(known.by, 200)}) and at this one, and change a character of this one"
        )
    if known is not None:
        return known
    live = live_in(ledger, lever.id, "production")
    from_ = find_version(lever, versions, parent).digest if parent is not None else live.digest if live else None
    version = Version(
        id=f"{lever.id}@{digest}",
        lever=lever.id,
        digest=digest,
        value=checked,
        at_us=now_us,
        by=by,
        why=why,
        parent=from_,
    )
    put_once(
        ledger, version, now_us=now_us, by=by, expect=0, lever_id=lever.id, what=f"added the same version {version.id}"
    )
    return version


def approve_version(ledger: Ledger, lever_id: str, named: str, *, why: str, by: str, now_us: int) -> Version:
    """Say that a version may be served to production; its author cannot.

    Raises:
        InputError: there is no such version, why is empty, or by is no name (`check_person`).
        StateError: the author approves, or somebody else changed the version in the same moment.
    """
    why, by = line("why", why, 2_000), line("by", by, 200)
    version, number = _version(ledger, lever_id, named)
    approved = approve(version, by=by, why=why, now_us=now_us)
    what = f"changed {version.id} (an approval, or a result of the gate)"
    put_once(ledger, approved, now_us=now_us, by=by, expect=number, lever_id=version.lever, what=what)
    return approved


def note_gate(ledger: Ledger, lever_id: str, named: str, result: GateResult, now_us: int) -> Version:
    """Write down what the gate said of a version; the newest counts.

    Raises:
        InputError: there is no such version.
        StateError: somebody else changed the version in the same moment.
    """
    version, number = _version(ledger, lever_id, named)
    noted = replace(version, gates=(*version.gates, result))
    what = f"changed {version.id} (an approval, or a result of the gate)"
    put_once(ledger, noted, now_us=now_us, by=result.by, expect=number, lever_id=version.lever, what=what)
    return noted


def promote(
    ledger: Ledger,
    lever_id: str,
    named: str,
    *,
    to: str,
    why: str,
    by: str,
    now_us: int,
) -> Promotion:
    """Make a version the one that is served in an environment while nobody holds the lever, or the declared default again.

    Args:
        ledger: where it is written.
        lever_id: which lever.
        named: the digest of a version, or `DEFAULT`.
        to: the environment.
        why: the reason.
        by: who.
        now_us: the clock.

    Raises:
        InputError: there is no such version or environment, or why or by is empty.
        StateError: production must not see it: it is not approved, the gate did not pass it, or it is not live in staging; an
            experiment splits the lever there; no version was ever live, so the default is; or somebody else promoted, changed the
            version, or started or ended an experiment, in the same moment.
    """
    lever, environment = known_lever(ledger, lever_id), check_environment(to)
    why, by = line("why", why, 2_000), line("by", by, 200)
    name = f"{lever.id}:{environment}"
    beside = [number_of(ledger, Allocation, name)]
    history = ledger.history(Promotion, name)
    digest = None
    if named != DEFAULT:
        version, number = _version(ledger, lever_id, named)
        digest = version.digest
        beside.append((Version, version.id, number))
        check_promotion(version, environment, live_in(ledger, lever.id, "staging"), [v.record for v in history])
    elif not history:
        raise StateError(
            f"no version of {lever.id} was ever live in {environment}: its default is, and nothing is written"
        )
    if history and history[-1].record.digest == digest:
        return history[-1].record
    if (split := splitting(ledger, lever.id, environment, now_us)) is not None:
        raise in_the_way(split, "and compares with what is live now", "then promote")
    record_promotion(ledger, history, now_us)
    promotion = Promotion(id=name, lever=lever.id, environment=environment, digest=digest, at_us=now_us, by=by, why=why)
    what = f"promoted a version of {lever.id} to {environment}, changed it, or started or ended an experiment there,"
    put_once(ledger, promotion, now_us=now_us, by=by, expect=len(history), lever_id=lever.id, what=what, beside=beside)
    record_promotion(ledger, ledger.history(Promotion, name), now_us)
    return promotion


def known_lever(ledger: Ledger, lever_id: str) -> Lever:
    """The declared lever.

    Raises:
        InputError: there is none of this key; names those there are.
    """
    lever = ledger.get(Lever, lever_id)
    if lever is None:
        known = ", ".join(sorted(x.id for x in ledger.all(Lever))) or "none yet"
        raise InputError(f"there is no lever {quoted(lever_id)}; declared: {known}")
    return lever


def live_in(ledger: Ledger, lever_id: str, environment: str) -> Promotion | None:
    """Which version is live in an environment; None where none ever was."""
    return ledger.get(Promotion, f"{lever_id}:{environment}")


def number_of(ledger: Ledger, kind: type[Any], name: str) -> tuple[type, str, int]:
    """Kind, id and present version of a record (0: there is none), for what is decided by it."""
    found = ledger.latest(kind, name)
    return kind, name, 0 if found is None else found.version


def splitting(ledger: Ledger, lever_id: str, environment: str, now_us: int) -> Allocation | None:
    """What splits the users of a lever in an environment now; None where nothing does."""
    found = ledger.get(Allocation, f"{lever_id}:{environment}")
    return None if found is None or found.ended_us is not None or found.until_us <= now_us else found


def in_the_way(split: Allocation, why: str = "", then: str = "") -> StateError:
    """That an experiment must be ended first: what it does, and what can be done once it is ended."""
    until = f"{split.experiment} splits {split.lever} in {split.environment} until {format_time(split.until_us)}"
    return StateError(
        f"{until}{why and ' '}{why}; end it first{then and ', '}{then}",
        commands=f"`andon rollout stop {split.experiment}`",
    )


def _meanwhile(declared: Sequence[Versioned[Lever]], seen: int) -> str:
    """Who declared a lever otherwise than somebody has read, and what is different."""
    last = declared[-1]
    if not seen:
        return f"{last.record.id} is declared already, by {quoted(last.by, 200)}: look at it, or choose another key"
    read = next((d.record for d in declared if d.version == seen), declared[0].record)
    pairs = ((f.name, getattr(read, f.name), getattr(last.record, f.name)) for f in fields(last.record))
    other = "; ".join(f"{name}: {shown_value(old)} is {shown_value(new)} now" for name, old, new in pairs if old != new)
    return f"{quoted(last.by, 200)} declared {last.record.id} anew meanwhile ({other or 'and back'}): look at it, and declare again what is still wanted"


def _plain(lever: Lever) -> str:
    return json.dumps(asdict(lever), sort_keys=True)


def _version(ledger: Ledger, lever_id: str, named: str) -> tuple[Version, int]:
    lever = known_lever(ledger, lever_id)
    found = find_version(lever, versions_of(ledger, lever_id), named)
    latest = ledger.latest(Version, found.id)
    assert latest is not None
    return latest.record, latest.version
