"""Versions first seen in traffic become changes, whether or not anybody recorded a deploy."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from andon.changes.records import Change
from andon.traffic import VERSIONS

__all__ = [
    "MANY",
    "PLAIN_US",
    "SHOWN_US",
    "Inventory",
    "Sighting",
    "discover",
    "group_field",
    "inventory_id",
    "shown_by",
]

MANY = 200
"""A field with more values than this does not hold versions; its new values are no changes."""

SHOWN_US = 48 * 3_600_000_000
"""What a lever gives is first seen within this time: an application may rest at night and over a day off."""

PLAIN_US = 600_000_000
"""A bare value, such as ``v2``, is taken for that of a lever within this time of its change: others may have a v2, too."""

_FIGURE = re.compile(r"true|false|-?\d+(\.\d+)?(e[-+]?\d+)?", re.ASCII)
"""A bare number or boolean: so many things are 2.0 or true that it names nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A value of a version field in new traffic."""

    app: str
    environment: str
    field: str
    group: str
    """The requested model behind a resolved one; empty for other fields."""
    value: str
    first_us: int
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """The versions of one app that traffic has shown so far: ``field|group`` -> value -> first time seen.

    At most one value more than `MANY` is kept of a field: it holds no versions then.
    """

    id: str
    """``app/environment`` (`inventory_id`)."""
    seen: dict[str, dict[str, int]] = field(default_factory=dict)


def group_field(name: str) -> str | None:
    """The field within which a value is compared with the one before: a resolved model belongs to the requested one."""
    return "requested_model" if name == "model" else None


def inventory_id(app: str, environment: str) -> str:
    """Id of the inventory of an app: ``app/environment``, with every other slash marked."""
    return "/".join(part.replace("%", "%25").replace("/", "%2F") for part in (app, environment))


def discover(inventory: Inventory, sightings: Iterable[Sighting]) -> tuple[Inventory, list[Change]]:
    """Add sightings to the inventory; every value that is new beside earlier ones is a change at its first time.

    The first value of a field is the inventory, not a change; nor is a value that turns out to be older than all known
    ones (it came late). A new resolved model behind the same requested model is a change that somebody else made
    (``own=False``), and so is a new traffic source. Any partition of the same sightings into calls, in order of time,
    gives the same changes.
    """
    seen = {key: dict(values) for key, values in inventory.seen.items()}
    changes = []
    for s in sorted(sightings, key=lambda s: (s.first_us, s.field, s.group, s.value)):
        values = seen.setdefault(f"{s.field}|{s.group}", {})
        if s.value in values or len(values) > MANY:
            continue
        earlier = [v for v in values if values[v] <= s.first_us]
        before = max(earlier, key=lambda v: (values[v], v), default=None)
        values[s.value] = s.first_us
        if before is not None and len(values) <= MANY:
            changes.append(_change(s, before))
    return replace(inventory, seen=seen), changes


def shown_by(sighted: Change, near: Iterable[Change]) -> Change | None:
    """The change of a lever that traffic shows here, with the field and value by which traffic tells who saw it.

    An application names the version that it runs by what the lever gave it: the variant, the digest of the version, or the
    value itself. So what traffic shows for the first time then is no change beside that of the lever, but the same one. A bare
    value may be the name of something else, so it must come within `PLAIN_US`, and numbers and booleans name nothing; nor is
    a lever that traffic shows in one field seen in another. Rather a change too many than a deploy that is lost.

    Args:
        sighted: a version that traffic shows for the first time (`discover`).
        near: changes of its application and environment, up to `SHOWN_US` before it and a little after it (clocks differ).

    Returns:
        The latest such change; as it was where another sighting told the field and value already. None: it is none of a lever.
    """
    levers = [] if sighted.kind == "traffic source" else [c for c in near if c.origin == "lever"]
    same = [c for c in levers if _shows(sighted, c)]
    if not same:
        return None
    change = max(same, key=lambda c: (c.at_us, c.id))
    if change.version_field is not None or sighted.after == change.attributes.get("control"):
        return change
    return replace(change, version_field=sighted.version_field, before=sighted.before, after=sighted.after)


def _shows(sighted: Change, change: Change) -> bool:
    """Whether a version that traffic shows is what the change of a lever gives."""
    if change.version_field not in (None, sighted.version_field):
        return False
    if sighted.after in (change.attributes.get("control"), *change.attributes.get("shown as", "").split()):
        return True
    soon = abs(sighted.at_us - change.at_us) <= PLAIN_US
    return soon and sighted.after == change.after and not _FIGURE.fullmatch(sighted.after or "")


def _change(s: Sighting, before: str) -> Change:
    silent = s.field == "model" and s.group != ""
    own = not silent and s.field != "source"
    if silent:
        title = f"the model behind {s.group} moved from {before} to {s.value}"
    elif s.field == "source":
        title = f"a new traffic source appeared: {s.value}"
    else:
        title = f"{VERSIONS[s.field]} {before} -> {s.value}" + ("" if s.field == VERSIONS[s.field] else f" ({s.field})")
    digest = hashlib.sha256(f"{inventory_id(s.app, s.environment)}/{s.field}/{s.group}/{s.value}".encode()).hexdigest()[
        :10
    ]
    return Change(
        id=f"CHG-{digest}",
        at_us=s.first_us,
        kind=VERSIONS[s.field],
        title=title,
        app=s.app,
        environment=s.environment,
        before=before,
        after=s.value,
        version_field=s.field,
        scope={"requested_model": s.group} if s.field == "model" and s.group else {},
        author="seen in traffic",
        origin="traffic",
        own=own,
    )
