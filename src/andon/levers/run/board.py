"""What every lever serves, in memory."""

import hashlib
import threading
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import orjson

from andon.client.answers import MOST_BYTES, MOST_LEVERS
from andon.levers.pulls import latest
from andon.levers.records import ENVIRONMENTS, Environment, Lever, Promotion, Pull, Version
from andon.levers.run.reading import News, pulls_by_lever
from andon.levers.serving import Served, environment_of, evaluate
from andon.rollouts import Allocation
from andon.store import Ledger

__all__ = ["Board"]

_ALL_BYTES = MOST_BYTES * 3 // 4
"""Of the values in one answer with all levers; a client refuses a whole answer that is larger than it may be."""


@dataclass(frozen=True, slots=True)
class _State:
    """What is served between two ends."""

    mark: str
    large: dict[Environment, dict[str, bool]]
    """The levers that an answer with all has no room for -> whether it names them at least, as failures."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What was read last."""

    levers: dict[str, Served] = field(default_factory=dict)
    """By key, sorted."""
    ends: tuple[int, ...] = ()
    """When what holds or splits ends by itself, in order: nothing else changes what is served between two readings."""
    states: dict[int, _State] = field(default_factory=dict)
    """How many of them are over -> what is served then."""


class Board:
    """What every lever serves, in memory: reads touch neither the ledger nor a lock, and outlive both.

    `refresh` reads the ledger; whoever serves calls it at least every second. When it fails, the last known state stays:
    holds still expire on time, because their expiry is part of it.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._reading = threading.Lock()
        self._news = News()
        self._known = _Known()

    def refresh(self) -> None:
        """Read the levers that something was written about since the last time; now and then all.

        Raises:
            StoreError: the ledger cannot be read; what was known before is still served.
        """
        with (
            self._reading,
            self._news.touched(self._ledger) as (keys, whole),
        ):  # an older reading must not replace a newer
            if not keys:
                return
            before = {} if whole else self._known.levers
            pulls = pulls_by_lever(self._ledger, keys)
            read = {key: self._read(key, pulls.get(key, ()), before.get(key)) for key in keys}
            levers = {**before, **{key: served for key, served in read.items() if served is not None}}
            open_until = [p.until_us for s in levers.values() for p in s.pulls if p.released_us is None]
            open_until += [a.until_us for s in levers.values() for a in s.allocations]
            self._known = _Known(dict(sorted(levers.items())), tuple(sorted(open_until)))

    def _read(self, key: str, pulls: Iterable[Pull], before: Served | None) -> Served | None:
        lever = self._ledger.get(Lever, key)
        if lever is None:
            return None
        places = [f"{key}:{environment}" for environment in ENVIRONMENTS]
        live = [x for place in places if (x := self._ledger.get(Promotion, place)) is not None]
        splits = [a for p in places if (a := self._ledger.get(Allocation, p)) is not None and a.ended_us is None]
        return Served(
            lever=lever,
            pulls=tuple(p for e in ENVIRONMENTS if (p := latest(pulls, e)) is not None),
            live=tuple(live),
            allocations=tuple(splits),
            versions=self._wanted(live, splits, () if before is None else before.versions),
        )

    def _wanted(
        self, live: Iterable[Promotion], splits: Iterable[Allocation], known: Iterable[Version]
    ) -> tuple[Version, ...]:
        """The versions that are live or allocated; what a version says never changes, so each is read once."""
        ids = {f"{p.lever}@{p.digest}" for p in live if p.digest}
        ids |= {f"{a.lever}@{d}" for a in splits for d in (a.control, a.treatment) if d}
        had = {v.id: v for v in known}
        found = (had.get(i) or self._ledger.get(Version, i) for i in sorted(ids))
        return tuple(v for v in found if v is not None)

    def evaluate(self, key: str, context: Mapping[str, Any], now_us: int) -> dict[str, Any] | None:
        """The OFREP body of a lever, or None when there is no lever with this key."""
        found = self._known.levers.get(key)
        return None if found is None else evaluate(found, context, now_us)

    def evaluate_all(self, context: Mapping[str, Any], now_us: int) -> list[dict[str, Any]]:
        """The OFREP bodies of all levers, by key; one that fails stands among those that do not.

        Clients refuse an answer that is too large or has too many levers, so the largest levers fail instead: a client keeps
        what it last knew of them, and the small ones, every kill switch among them, are always there.
        """
        known = self._known
        large = _state(known, now_us).large[environment_of(context)]
        return [
            evaluate(served, context, now_us, bulk=True) if key not in large else _failure(key)
            for key, served in known.levers.items()
            if large.get(key, True)
        ]

    def state(self, now_us: int) -> str:
        """A mark that changes when what is served changes: by a pull, its end or its expiry, a promotion, an experiment."""
        return _state(self._known, now_us).mark

    def too_large(self, now_us: int) -> list[str]:
        """A problem that names the levers for which an answer with all levers has no room; empty where it has."""
        keys = sorted({key for large in _state(self._known, now_us).large.values() for key in large})
        if not keys:
            return []
        named = ", ".join(keys[:5]) + (f" and {len(keys) - 5} more" if len(keys) > 5 else "")
        return [f"too large for the answer with all levers, so applications are not given what is new of them: {named}"]

    @property
    def entry(self) -> int:
        """The entry of the ledger up to which it was read."""
        return self._news.entry

    def app_of(self, key: str) -> str:
        """The application that a lever is for, ``default`` for any; empty where there is no lever with this key."""
        found = self._known.levers.get(key)
        return "" if found is None else found.lever.app

    def keys(self) -> list[str]:
        """Keys of all levers, sorted."""
        return list(self._known.levers)

    def has_expired(self, now_us: int) -> bool:
        """Whether the time of a pull or an experiment is over and its end is not recorded yet."""
        return bisect_right(self._known.ends, now_us) > 0


def _state(known: _Known, now_us: int) -> _State:
    over = bisect_right(known.ends, now_us)
    if (found := known.states.get(over)) is None:
        mark, large = hashlib.sha256(), {}
        for place in ENVIRONMENTS:
            # with no user a lever that splits says how, which is more than it says with one
            written = {
                key: orjson.dumps(evaluate(served, {"environment": place}, now_us, bulk=True))
                for key, served in known.levers.items()
            }
            large[place] = _large({key: len(text) for key, text in written.items()})
            mark.update(b"\n".join(written.values()) + b"\n\n")
        found = known.states[over] = _State(mark.hexdigest()[:16], large)
    return found


def _large(sizes: Mapping[str, int]) -> dict[str, bool]:
    order = sorted(sizes, key=lambda key: (sizes[key], key))
    fit = bisect_right(list(accumulate(sizes[key] for key in order)), _ALL_BYTES)
    return {key: n < MOST_LEVERS for n, key in enumerate(order) if n >= min(fit, MOST_LEVERS)}


def _failure(key: str) -> dict[str, Any]:
    said = "too large for the answer with all levers: ask for it alone"
    return {"key": key, "errorCode": "GENERAL", "errorDetails": said}
