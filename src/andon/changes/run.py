"""Record changes, and find the versions that traffic shows for the first time."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import count
from types import MappingProxyType
from urllib.parse import unquote

from andon.changes.discover import MANY, SHOWN_US, Inventory, Sighting, discover, group_field, inventory_id, shown_by
from andon.changes.fields import change_from
from andon.changes.records import KINDS, Change, Received
from andon.errors import InputError
from andon.store import Ledger, Rollup, Span, Warehouse, Where
from andon.traffic import SEGMENTS, VERSIONS
from andon.traffic.quoting import quoted

__all__ = ["AGAIN_US", "change_from", "changes_of", "facets", "find_versions", "record_change", "record_changes"]

AGAIN_US = 600_000_000
"""The same words within this time of each other are one change sent twice."""

_LATELY, _ENDS_US = 300_000, 2**62


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


def record_changes(ledger: Ledger, received: Received, *, now_us: int) -> list[Change]:
    """Write what one body held, and answer what stands in the log now; a second delivery adds nothing.

    A change that came without a time keeps that of its first arrival. One that came without a name either is the same change
    within ten minutes (senders repeat a request whose answer was lost) and another one later.

    Raises:
        InputError: see `record_change`; or its id is that of a change which Andon found or made itself.
    """
    changes = [_settled(ledger, change, received) for change in received.changes]
    return [record_change(ledger, change, now_us=now_us, by=change.author) for change in changes]


def _settled(ledger: Ledger, change: Change, received: Received) -> Change:
    """The change under the id and time that it has in the log."""
    first = change.id
    for number in count(2):
        known = ledger.get(Change, change.id)
        if known is None:
            return change
        if known.origin != "recorded":
            raise InputError(f"id {quoted(change.id)} is that of a change which Andon found itself; choose another")
        if first not in received.undated:
            return change
        if first not in received.unnamed or abs(change.at_us - known.at_us) <= AGAIN_US:
            return replace(change, at_us=known.at_us)
        change = replace(change, id=f"{first}-{number}")
    raise AssertionError("count() does not end")


def changes_of(ledger: Ledger, app: str, environment: str, start_us: int, end_us: int) -> list[Change]:
    """The changes of an app within a range of time, in order of time; a lever that names no app may be read by any."""
    found = [
        c
        for c in ledger.all(Change)
        if (c.app == app or (c.kind == "lever" and c.app == "default"))
        and c.environment == environment
        and start_us <= c.at_us < end_us
    ]
    return sorted(found, key=lambda c: (c.at_us, c.id))


def find_versions(warehouse: Warehouse, ledger: Ledger, *, now_us: int) -> list[Change]:
    """Search traffic that came since the last call for versions that were not there before, and record them.

    A version that a lever gives is no new change: the change of the lever is told who saw it (`shown_by`).
    """
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
            start_us, end_us = change.at_us - SHOWN_US, change.at_us + AGAIN_US
            near = changes_of(ledger, change.app, change.environment, start_us, end_us)
            if (of_lever := shown_by(change, near)) is None:
                found.append(change)
            if of_lever not in near:
                ledger.put(of_lever or change, now_us=change.at_us, by="andon")
        ledger.put(inventory, now_us=now_us, by="andon")
    ledger.put(ChangeCursor(id="changes", seq=newest), now_us=now_us, by="andon")
    return found


def facets(
    warehouse: Warehouse, ledger: Ledger, *, app: str | None = None, environment: str | None = None
) -> dict[str, tuple[str, ...]]:
    """Values to choose from when traffic is filtered, by field: ``app``, ``environment``, `VERSIONS` and `SEGMENTS`.

    Versions are those that were ever seen, the newest first; a field that holds no versions (`MANY`) has none. Segments are those
    of about the last 300,000 interactions, the most frequent first. With `app` or `environment` given, versions and segments are
    those seen there.
    """
    places = {tuple(unquote(part) for part in i.id.split("/")): i for i in ledger.all(Inventory)}
    mine = [i for place, i in places.items() if app in (None, place[0]) and environment in (None, place[1])]
    found: dict[str, tuple[str, ...]] = {}
    for k, name in enumerate(("app", "environment")):
        found[name] = tuple(sorted({place[k] for place in places} | set(_lately(warehouse, name))))
    for name in VERSIONS:
        times: dict[str, int] = {}
        for values in (v for i in mine for key, v in i.seen.items() if key.partition("|")[0] == name):
            if len(values) <= MANY:
                times |= {value: min(at, times.get(value, at)) for value, at in values.items()}
        found[name] = tuple(sorted(times, key=lambda value: (-times[value], value)))
    there = {k: v for k, v in (("app", app), ("environment", environment)) if v is not None}
    return found | {name: _lately(warehouse, name, there) for name in SEGMENTS if name not in VERSIONS}


def _lately(warehouse: Warehouse, name: str, there: Mapping[str, str] = MappingProxyType({})) -> tuple[str, ...]:
    """The values of a field in the last interactions, the most frequent first."""
    span = Span(start_us=warehouse.back_to("interactions", _ENDS_US, _LATELY) or 0, end_us=_ENDS_US)
    where = tuple(Where(column=column, op="eq", value=value) for column, value in there.items())
    plan = Rollup(table="interactions", keys=(name,), span=span, where=(*where, Where(column=name, op="not_null")))
    rows = warehouse.run(plan)
    counted = zip(rows["rows"].to_pylist(), rows[name].to_pylist(), strict=True)
    return tuple(value for _, value in sorted(counted, key=lambda c: (-c[0], c[1]))[:MANY])


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
