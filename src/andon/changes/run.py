"""Record changes, and find the versions that traffic shows for the first time."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from andon.changes.discover import Inventory, Sighting, discover, group_field, inventory_id
from andon.changes.records import KINDS, Change
from andon.errors import InputError
from andon.store import Ledger, Rollup, Warehouse, Where
from andon.traffic import VERSIONS, parse_time
from andon.traffic.quoting import quoted

__all__ = ["change_from", "changes_of", "find_versions", "record_change"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeCursor:
    """How far traffic has been searched for new versions, as a sequence number of the table ``interactions``."""

    id: str
    seq: int


def record_change(ledger: Ledger, change: Change, *, now_us: int, by: str) -> Change:
    """Write a change to the log.

    Raises:
        InputError: the kind is not one of `KINDS`, or the title is empty.
    """
    if change.kind not in KINDS:
        raise InputError(f"kind={quoted(change.kind)} is not a kind of change; choose one of: {', '.join(KINDS)}")
    if not change.title.strip():
        raise InputError("a change needs a title: one line that a person recognises it by")
    ledger.put(change, now_us=now_us, by=by)
    return change


def change_from(data: Mapping[str, Any], *, now_us: int) -> Change:
    """A change from plain JSON: ``kind`` and ``title`` are required, ``at`` is any time text, unknown keys are refused.

    Raises:
        InputError: a field is missing, unknown or of the wrong type.
    """
    given = {str(k): v for k, v in data.items()}
    at = given.pop("at", None)
    given["at_us"] = _time(at) if at is not None else given.get("at_us", now_us)
    known = {f.name for f in fields(Change)}
    if unknown := sorted(set(given) - known):
        raise InputError(
            f"{quoted(unknown[0])} is not a field of a change; the fields are at, {', '.join(sorted(known))}"
        )
    for name in ("kind", "title"):
        if not isinstance(given.get(name), str):
            raise InputError(f"a change needs {name!r} as text; got {quoted(given.get(name))}")
    _check(given)
    content = json.dumps(given, sort_keys=True, default=str)
    given.setdefault("id", f"CHG-{hashlib.sha256(content.encode()).hexdigest()[:10]}")
    return Change(**given)


def _time(at: Any) -> int:
    try:
        return parse_time(at)
    except InputError as error:
        raise InputError(f"at: {error}") from error


def _check(given: Mapping[str, Any]) -> None:
    """Refuse a value of the wrong type, and name its field."""
    for name in ("id", "app", "environment", "author", "origin"):
        if name in given and not (isinstance(given[name], str) and given[name].strip()):
            raise InputError(f"{name} is {quoted(given[name])}; text that is not blank is allowed")
    for name in ("before", "after", "version_field", "link"):
        if not isinstance(given.get(name), str | None):
            raise InputError(f"{name} is {quoted(given[name])}; text or null is allowed")
    if given.get("version_field") is not None and given["version_field"] not in VERSIONS:
        raise InputError(f"version_field is {quoted(given['version_field'])}; one of {', '.join(VERSIONS)} is allowed")
    if isinstance(given["at_us"], bool) or not isinstance(given["at_us"], int):
        raise InputError(
            f"at_us is {quoted(given['at_us'])}; a whole number of microseconds is allowed, or `at` as text"
        )
    if not isinstance(given.get("own", True), bool):
        raise InputError(f"own is {quoted(given['own'])}; true or false is allowed")
    scope = given.get("scope", {})
    if not isinstance(scope, dict) or not all(isinstance(t, str) for pair in scope.items() for t in pair):
        raise InputError(f'scope is {quoted(scope)}; text by text is allowed, such as {{"risk_category": "high"}}')


def changes_of(ledger: Ledger, app: str, environment: str, start_us: int, end_us: int) -> list[Change]:
    """The changes of an app within a range of time, in order of time."""
    found = [
        c for c in ledger.all(Change) if c.app == app and c.environment == environment and start_us <= c.at_us < end_us
    ]
    return sorted(found, key=lambda c: (c.at_us, c.id))


def find_versions(warehouse: Warehouse, ledger: Ledger, *, now_us: int) -> list[Change]:
    """Search traffic that came since the last call for versions that were not there before, and record them."""
    cursor = ledger.get(ChangeCursor, "changes") or ChangeCursor(id="changes", seq=0)
    newest = warehouse.newest("interactions")
    if newest <= cursor.seq:
        return []
    sightings: dict[str, list[Sighting]] = defaultdict(list)
    for name in VERSIONS:
        for s in _sightings(warehouse, name, cursor.seq):
            sightings[inventory_id(s.app, s.environment)].append(s)
    found: list[Change] = []
    for key in sorted(sightings):
        inventory, changes = discover(ledger.get(Inventory, key) or Inventory(id=key), sightings[key])
        for change in changes:
            ledger.put(change, now_us=change.at_us, by="andon")
        ledger.put(inventory, now_us=now_us, by="andon")
        found.extend(changes)
    ledger.put(ChangeCursor(id="changes", seq=newest), now_us=now_us, by="andon")
    return found


def _sightings(warehouse: Warehouse, name: str, after_seq: int) -> list[Sighting]:
    group = group_field(name)
    keys = ("app", "environment", name) + ((group,) if group else ())
    where = (Where(column="seq", op="ge", value=after_seq + 1), Where(column=name, op="not_null"))
    table = warehouse.run(Rollup(table="interactions", metrics=("time_us",), keys=keys, where=where))
    groups = table[group].to_pylist() if group else [None] * len(table)
    return [
        Sighting(app=app, environment=environment, field=name, group=g or "", value=value, first_us=int(first), n=n)
        for app, environment, value, g, first, n in zip(
            table["app"].to_pylist(),
            table["environment"].to_pylist(),
            table[name].to_pylist(),
            groups,
            table["time_us.min"].to_pylist(),
            table["rows"].to_pylist(),
            strict=True,
        )
    ]
