"""What a bulk answer says (OFREP 0.3.0), checked: one entry for each lever. Nothing of a server is believed unchecked."""

import json
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from andon.client.allocation import UNALLOCATED, allocate

__all__ = [
    "MISSING",
    "MOST_BYTES",
    "MOST_LEVERS",
    "Answer",
    "Entry",
    "Given",
    "Nested",
    "Split",
    "key_text",
    "merged",
    "read_answer",
]

MOST_BYTES = 8 * 2**20
"""Of one answer, and of the file that keeps the last one."""

MOST_LEVERS = 10_000
"""In one answer."""

MISSING: Any = object()
"""Instead of a value: the server has no opinion, so that the code default is right (OFREP's ADR-6)."""

_MOST_ARMS, _LONGEST_NAME = 100, 512
_REASONS = frozenset({"STATIC", "TARGETING_MATCH", "SPLIT", "DISABLED", "DEFAULT", "CACHED", "STALE", "UNKNOWN"})


class Nested(NamedTuple):
    """An object or a list, kept as JSON: whoever reads it gets a copy that nobody else can change."""

    text: str

    def copy(self) -> Any:
        """The value anew. Reading JSON again is as quick as ``copy.deepcopy`` for small values, and five times for larger."""
        return json.loads(self.text)


class Split(NamedTuple):
    """How a lever gives users one arm each: what `allocate` needs, and what the arms give."""

    salt: str
    shares: tuple[float, ...]
    arms: tuple[tuple[str, Any], ...]
    """(variant, value) of each; the treatment comes first."""
    shadow: bool


class Given(NamedTuple):
    """What a lever gives to one user."""

    value: Any
    """A bool, int, float or str, a `Nested`, or `MISSING`."""
    reason: str
    variant: str | None


def key_text(targeting_key: object) -> str | None:
    """The text of a targeting key by which users are split: applications give the numbers of their users, too.

    None where it is neither a text nor a whole number of up to 64 bits: longer ones do not come through JSON as they are.
    """
    if isinstance(targeting_key, int) and not isinstance(targeting_key, bool):
        return str(targeting_key) if -(2**63) <= targeting_key < 2**64 else None
    return targeting_key if isinstance(targeting_key, str) else None


class Entry(NamedTuple):
    """One lever of an answer."""

    value: Any
    reason: str
    variant: str | None
    metadata: dict[str, bool | int | float | str]
    split: Split | None = None
    safe: Any = MISSING
    """What to give instead while nobody can confirm it: of a lever that fails closed and is not held."""
    error: tuple[str, str] | None = None
    """OFREP's error code and details, where the server could not say."""
    said: Any = None
    """The entry as it came."""

    def given(self, targeting_key: object, shadow: bool, stale: bool = False) -> Given:
        """What it gives: the arm of a user where users are split, else the same to all.

        A lever that splits gives the control's value, as variant of no arm, where nobody can say whose request it is. Where a
        candidate is run in the shadow, a request that says so gets the treatment under a variant of its own.

        Args:
            targeting_key: the user.
            shadow: whether the request is one of a candidate that runs in the shadow.
            stale: nobody has confirmed it lately: what is safe is given where it fails closed, else what was last known.
        """
        stale = stale or self.reason == "STALE"
        if stale and self.safe is not MISSING:
            return Given(self.safe, "STALE", "safe")
        split = self.split
        if split is not None:
            if shadow and split.shadow:
                variant, value = split.arms[0]
                return Given(value, "STALE" if stale else "SPLIT", f"{variant}-shadow")
            if key := key_text(targeting_key):
                index = allocate(key, split.salt, split.shares)
                if index != UNALLOCATED:
                    variant, value = split.arms[index]
                    return Given(value, "STALE" if stale else "SPLIT", variant)
        return Given(self.value, "STALE" if stale else self.reason, self.variant)


class Answer(NamedTuple):
    """A bulk answer."""

    entries: dict[str, Entry]
    events: str
    """Path of the event stream; empty when there is none."""
    problems: list[str]
    """What could not be read, in a few words each."""


def read_answer(body: bytes) -> Answer:
    """A bulk answer from its JSON. One bad entry is a failure of its lever only.

    Raises:
        ValueError: it is no bulk answer, or larger than allowed.
    """
    if len(body) > MOST_BYTES:
        raise ValueError(f"more than {MOST_BYTES} bytes")
    try:
        data = json.loads(body.decode())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    flags = data.get("flags") if isinstance(data, dict) else None
    if not isinstance(flags, list):
        raise ValueError("it is no object with a list `flags`")
    entries: dict[str, Entry] = {}
    problems: list[str] = []
    if len(flags) > MOST_LEVERS:
        problems.append(f"{len(flags)} levers, of which the first {MOST_LEVERS} are read")
    for flag in flags[:MOST_LEVERS]:
        key = flag.get("key") if isinstance(flag, dict) else None
        if not isinstance(key, str) or not 0 < len(key) <= _LONGEST_NAME:
            problems.append("an entry has no key")
        elif flag.get("errorCode") != "FLAG_NOT_FOUND":
            entries[key] = _entry(key, flag, problems)
    return Answer(entries, _events(data), problems)


def merged(known: dict[str, Entry], new: dict[str, Entry]) -> dict[str, Entry]:
    """The new entries; of a lever that the server could not evaluate or no longer names, what was known of it before.

    Andon never deletes a lever: a server that does not name one has an empty or an older store, and that ends no hold.
    """
    usable = {k: e._replace(reason="STALE") for k, e in known.items() if not e.error}
    failed = {k: e for k, e in usable.items() if k in new and new[k].error}
    gone = [(k, e) for k, e in usable.items() if k not in new][: MOST_LEVERS - len(new)]
    return {**new, **failed, **dict(gone)}


def _entry(key: str, flag: dict[str, Any], problems: list[str]) -> Entry:
    if "errorCode" in flag:
        return Entry(
            MISSING, "ERROR", None, {}, error=(str(flag["errorCode"]), str(flag.get("errorDetails", ""))), said=flag
        )
    try:
        value = _value(flag["value"]) if "value" in flag else MISSING
        variant, reason, metadata = flag.get("variant"), flag.get("reason"), flag.get("metadata")
        variant = variant if isinstance(variant, str) and len(variant) <= _LONGEST_NAME else None
        reason = reason if isinstance(reason, str) and reason in _REASONS else "UNKNOWN"
        metadata = metadata if isinstance(metadata, dict) else {}
        plain = {k: v for k, v in metadata.items() if isinstance(v, bool | int | float | str) and k not in _OURS}
    except (ValueError, RecursionError) as error:
        problems.append(f"the value of {key[:100]!r}: {error}")
        return Entry(MISSING, "ERROR", None, {}, error=("PARSE_ERROR", f"its value cannot be used: {error}"), said=flag)
    read: dict[str, Any] = {"split": None, "safe": MISSING}
    for name, reader in _OURS.items():
        if name in metadata:
            try:
                read[name] = reader(metadata[name])
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                problems.append(f"`{name}` of {key[:100]!r}: {type(error).__name__}: {error}")
    return Entry(value, reason, variant, plain, **read, said=flag)


def _value(value: Any) -> Any:
    if isinstance(value, dict | list):
        return Nested(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")))
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f"{value} is no value of a lever")
    return value


def _split(text: str) -> Split:
    data = json.loads(text)
    salt, arms = data["salt"], data["arms"]
    shares = tuple(arm["share"] for arm in arms)
    if (
        not isinstance(salt, str) or not salt.encode() or not 0 < len(arms) <= _MOST_ARMS
    ):  # or no UTF-8: a ValueError too
        raise ValueError(f"a salt and up to {_MOST_ARMS} arms are allowed")
    if not all(isinstance(s, int | float) and 0 <= s <= 1 for s in shares) or sum(shares) > 1 + 1e-9:
        raise ValueError(f"shares {shares} are not 0 to 1 and at most 1 together")
    if not all(isinstance(arm["variant"], str) and len(arm["variant"]) <= _LONGEST_NAME for arm in arms):
        raise ValueError("an arm has no name")
    return Split(
        salt, shares, tuple((arm["variant"], _value(arm["value"])) for arm in arms), data.get("shadow") is True
    )


_OURS: dict[str, Callable[[str], Any]] = {"split": _split, "safe": lambda text: _value(json.loads(text))}
"""Metadata that are for us, not for the application, and what reads them."""


def _events(data: dict[str, Any]) -> str:
    """Path of the first event stream on the server itself: another one's would be sent our token."""
    streams = data.get("eventStreams")
    for stream in streams if isinstance(streams, list) else []:
        endpoint = stream.get("endpoint") if isinstance(stream, dict) and stream.get("type") == "sse" else None
        path = endpoint.get("requestUri") if isinstance(endpoint, dict) and not endpoint.get("origin") else None
        if isinstance(path, str) and path.startswith("/") and path.isascii() and len(path) <= _LONGEST_NAME:
            return path
    return ""
