"""Hold, release and expire levers."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from andon.errors import InputError, StateError
from andon.levers.pulls import (
    Asked,
    draft_pull,
    draft_release,
    ended_change,
    expired,
    how_ended,
    in_force,
    pulled_change,
    standing,
    superseded,
    turn,
)
from andon.levers.records import ENVIRONMENTS, Environment, Lever, LeverValue, Promotion, Pull, Version
from andon.levers.registry import OURSELVES, check_environment, check_value, digest_of, line, reviewed
from andon.levers.run.declaring import known_lever, live_in, number_of
from andon.levers.run.reading import News, pulls_by_lever, pulls_of, versions_of
from andon.levers.run.recording import put_once, record, record_default, record_promotion, resting, value_of
from andon.levers.run.splitting import settle_split
from andon.rollouts import Allocation
from andon.store import Ledger
from andon.traffic import quoted

__all__ = ["Expiry", "expire", "hold", "plan_hold", "read_by_a_pull", "release", "review", "settle", "version_before"]


def hold(
    ledger: Ledger,
    lever_id: str,
    value: Any = None,
    *,
    why: str,
    by: str,
    until_us: int,
    now_us: int,
    **more: Any,
) -> Pull:
    """Hold a lever at a value (its safe value unless given) until a time; supersedes the pull that holds it now.

    Args:
        ledger: where it is written.
        lever_id: which.
        value: of the lever's kind.
        why: the reason.
        by: who.
        until_us: when it ends by itself.
        now_us: the clock.
        more: the other fields of `Asked`: until_fixed, environment, incident, trade_off, exit, rule, break_glass,
            evidence.

    Raises:
        InputError: the lever is unknown, the value has another type, why or by is empty, or the time is not in the future
            or more than 90 days away.
        StateError: production must not see the value, or somebody else pulled or declared the lever, or changed the version,
            in the same moment.
    """
    asked = Asked(value=value, why=why, by=by, until_us=until_us, **more)
    place, beside = check_environment(asked.environment), read_by_a_pull(ledger, lever_id, asked.value)
    lever = known_lever(ledger, lever_id)
    pulls, _ = _settle(ledger, lever, pulls_of(ledger, lever.id), now_us, (place,))
    pull = draft_pull(lever, pulls, versions_of(ledger, lever.id), asked, now_us)
    what = f"pulled {lever.id}, declared it or changed the version"
    put_once(ledger, pull, now_us=now_us, by=pull.by, expect=0, lever_id=lever.id, what=what, beside=beside)
    _settle(ledger, lever, [*pulls, pull], now_us, (place,))
    return pull


def read_by_a_pull(ledger: Ledger, lever_id: str, value: Any) -> list[tuple[type, str, int]]:
    """What decides whether a pull may be made: the declaration of its lever, and the version that its value is, approvals and all.

    They are read before anything else is: what changes from here on until the pull is written keeps it from being written.

    Raises:
        InputError: the lever is unknown, or the value has another type.
    """
    declared = number_of(ledger, Lever, lever_id)
    lever = known_lever(ledger, lever_id)
    held = lever.safe if value is None else check_value(lever, value)
    return [declared, number_of(ledger, Version, f"{lever.id}@{digest_of(held)}")]


def plan_hold(ledger: Ledger, lever_id: str, asked: Asked, now_us: int) -> tuple[Pull, LeverValue, Pull | None]:
    """What `hold` would write, what is served now instead, and the pull that holds it now; nothing is written.

    Raises:
        InputError, StateError: what `hold` would raise.
    """
    lever, pulls = known_lever(ledger, lever_id), pulls_of(ledger, lever_id)
    versions = versions_of(ledger, lever_id)
    pull = draft_pull(lever, pulls, versions, asked, now_us)
    live = live_in(ledger, lever_id, pull.environment)
    now = in_force(pulls, now_us, pull.environment)
    return pull, standing(lever, live, versions)[0] if now is None else now.value, now


def version_before(ledger: Ledger, lever_id: str, environment: str) -> LeverValue:
    """What was live before the version that is live now first was: what a rollback holds.

    So a rollback leads to something older, however often it is asked for: after the way back from a bad version, it does not
    lead to that version again. The default is the oldest: it was live before anything was promoted.

    Raises:
        InputError: the lever is unknown.
        StateError: nothing was live before.
    """
    lever = known_lever(ledger, lever_id)
    history = [v.record for v in ledger.history(Promotion, f"{lever.id}:{environment}")]
    if not history:
        raise StateError(
            f"no version of {lever.id} was ever promoted to {environment}, so there is none before; "
            "`andon lever hold` holds the safe value"
        )
    digests = [None, *(p.digest for p in history)]
    first = digests.index(digests[-1])
    if first == 0:
        raise StateError(
            f"the default of {lever.id} is live in {environment}, and was before any version; `andon lever hold` holds the safe value, "
            f"or with --version one of those that `andon lever version list {lever.id}` shows"
        )
    return value_of(ledger, lever, digests[first - 1])


def release(
    ledger: Ledger,
    lever_id: str,
    *,
    why: str,
    by: str,
    now_us: int,
    environment: str = "production",
    meant: str | None = None,
) -> Pull:
    """End the pull that holds a lever; from now on what is live (else the default) is served.

    Args:
        ledger: where it is written.
        lever_id: which.
        why: the reason.
        by: who.
        now_us: the clock.
        environment: where.
        meant: the pull that whoever releases it has seen; another one that took its place is not ended. None: whichever it is.

    Raises:
        InputError: the lever is unknown, or why or by is empty.
        StateError: nothing holds the lever, another pull does than the one that is meant, or somebody else ended the hold in the
            same moment.
    """
    lever, place = known_lever(ledger, lever_id), check_environment(environment)
    pulls, _ = _settle(ledger, lever, pulls_of(ledger, lever.id), now_us, (place,))
    ended = draft_release(lever, pulls, why=why, by=by, environment=environment, now_us=now_us)
    if meant is not None and ended.id != meant:
        raise StateError(
            f"{ended.id} by {quoted(ended.by, 200)} holds {lever.id} in {place} meanwhile, not {meant}; nothing was released: look at "
            "why it is held, and release that if it is still needed"
        )
    what = f"ended {ended.id}"
    latest = ledger.latest(Pull, ended.id)
    number = (
        0 if latest is None or latest.record.released_us is not None else latest.version
    )  # a review does not end it
    ended = replace(ended, reviewed=None if latest is None else latest.record.reviewed)
    put_once(ledger, ended, now_us=now_us, by=ended.released_by or by, expect=number, lever_id=lever.id, what=what)
    _settle(ledger, lever, [ended if p.id == ended.id else p for p in pulls], now_us, (place,))
    return ended


def review(ledger: Ledger, pull_id: str, *, why: str, by: str, now_us: int) -> Pull:
    """Write down what another person thinks of a broken glass.

    Raises:
        InputError: there is no such pull.
        StateError: it broke no glass, was reviewed already, or the same person reviews it.
    """
    why, by = line("why", why, 2_000), line("by", by, 200)
    latest = ledger.latest(Pull, pull_id)
    if latest is None:
        waiting = ", ".join(p.id for p in ledger.all(Pull) if p.break_glass and p.reviewed is None) or "none"
        raise InputError(f"there is no pull {quoted(pull_id)}; waiting for a review: {waiting}")
    pull = reviewed(latest.record, by=by, why=why, now_us=now_us)
    what = f"reviewed or ended {pull.id}"
    put_once(ledger, pull, now_us=now_us, by=by, expect=latest.version, lever_id=pull.lever, what=what)
    return pull


def settle(ledger: Ledger, lever_id: str, environment: Environment, now_us: int) -> None:
    """Write what follows from the pulls of one lever in an environment: changes, and the end of what was superseded or is over."""
    _settle(ledger, known_lever(ledger, lever_id), pulls_of(ledger, lever_id), now_us, (environment,))


def expire(ledger: Ledger, now_us: int) -> list[Pull]:
    """What an `Expiry` does, once, with a look at all levers."""
    return Expiry(ledger)(now_us)


class Expiry:
    """Ends every pull and every split whose time is over, each with a change of its own, once.

    It also completes what a crash left half-written: a pull, an end, a promotion, a split or a new default without its change.
    The first call looks at all levers. Later ones look at those that something was written about since, and at those whose
    time has come: where there are none, a call is two small queries.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self._news = ledger, News()
        self._ends: dict[str, int] = {}  # lever -> when the next of its pulls and splits ends

    def __call__(self, now_us: int) -> list[Pull]:
        """The pulls that ended now.

        Raises:
            StoreError: the ledger cannot be used; the next call begins where this one did.
        """
        ended: list[Pull] = []
        with self._news.touched(self._ledger) as (keys, _):
            keys |= {key for key, end_us in self._ends.items() if end_us <= now_us}
            pulls = pulls_by_lever(self._ledger, keys) if keys else {}
            for key in sorted(keys):
                ended += _settle_lever(self._ledger, key, pulls.get(key, []), self._ends, now_us)
        return ended


def _settle_lever(ledger: Ledger, key: str, pulls: list[Pull], ends: dict[str, int], now_us: int) -> list[Pull]:
    """Write all that follows from the records of one lever; returns the pulls whose time is over and that ended now."""
    declared = ledger.history(Lever, key)
    if not declared:
        return []
    record_default(ledger, declared, pulls, now_us)
    settled, over = _settle(ledger, declared[-1].record, pulls, now_us)
    open_until = [p.until_us for p in settled if p.released_us is None]
    for environment in ENVIRONMENTS:
        record_promotion(ledger, ledger.history(Promotion, f"{key}:{environment}"), now_us)
        split = ledger.get(Allocation, f"{key}:{environment}")
        if split is not None and settle_split(ledger, split, now_us).ended_us is None:
            open_until.append(split.until_us)
    ends.pop(key, None)
    if open_until:
        ends[key] = min(open_until)
    return over


def _settle(
    ledger: Ledger, lever: Lever, pulls: list[Pull], now_us: int, places: Iterable[Environment] = ENVIRONMENTS
) -> tuple[list[Pull], list[Pull]]:
    """All pulls of a lever after writing what follows from them, and those whose time is over and that ended now.

    Who pulls in one environment settles that one alone (`places`): a clock that is wrong ends nothing elsewhere.

    Pulls are written before their changes, guarded by their version, and a change is computed from its pull. So whoever
    settles next completes what a crash left, and two who settle at once write the same.
    """
    settled: list[Pull] = []
    over: list[Pull] = []
    for environment in ENVIRONMENTS:
        mine = sorted((p for p in pulls if p.environment == environment), key=turn)
        if mine and environment in places:
            mine, ended = _settle_in(ledger, lever, mine, now_us)
            over += ended
        settled += mine
    return settled, over


def _settle_in(ledger: Ledger, lever: Lever, ordered: list[Pull], now_us: int) -> tuple[list[Pull], list[Pull]]:
    last = ordered[-1]
    before = ordered[-2] if len(ordered) > 1 else None
    over: list[Pull] = []

    def rest(at_us: int) -> LeverValue:
        return resting(ledger, lever.id, last.environment, at_us)

    if before is not None and before.released_us is None:
        ordered[-2] = before = _write_end(ledger, superseded(before, last), now_us)[0]
    record(ledger, f"{last.id}-held", lambda: pulled_change(lever, before, last, rest(last.at_us)), now_us)
    if last.released_us is None and last.until_us <= now_us:
        ordered[-1], mine = _write_end(ledger, expired(last), now_us)
        if not mine:  # who ended it says so
            return ordered, []
        over = [ordered[-1]]
    if (ended := ordered[-1]).released_us is not None:
        name = f"{ended.id}-{how_ended(ended)}"
        record(ledger, name, lambda: ended_change(lever, ended, rest(ended.released_us or now_us)), now_us)
    return ordered, over


def _write_end(ledger: Ledger, ended: Pull, now_us: int) -> tuple[Pull, bool]:
    """The pull as the ledger has it now, and whether it was ended by this call; another process may have been quicker."""
    latest = ledger.latest(Pull, ended.id)
    assert latest is not None, "what ends was read from the ledger"
    if latest.record.released_us is not None:
        return latest.record, False
    ended = replace(ended, reviewed=latest.record.reviewed)  # a review does not end it
    try:
        ledger.put(ended, now_us=now_us, by=ended.released_by or OURSELVES, expect=latest.version)
    except StateError:
        return ledger.get(Pull, ended.id) or ended, False
    return ended, True
