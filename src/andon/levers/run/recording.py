"""Write records once, and the changes that follow from them: at once, or later where a crash came in between.

A record is written before its change, and the change is computed from records alone. So whoever looks next completes what is
missing, and two who look at once write the same. Only the latest record of a kind can lack its change: whoever writes the
next one completes it first.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from andon.changes import Change
from andon.errors import StateError
from andon.levers.pulls import lever_change, standing
from andon.levers.records import ENVIRONMENTS, Environment, Lever, LeverValue, Promotion, Pull, Version
from andon.levers.registry import same_value, shown_value
from andon.rollouts import Allocation
from andon.store import Ledger, Versioned
from andon.traffic import quoted

__all__ = [
    "named",
    "put_once",
    "record",
    "record_default",
    "record_promotion",
    "record_split",
    "resting",
    "value_of",
]


def put_once(
    ledger: Ledger,
    it: Any,
    *,
    now_us: int,
    by: str,
    expect: int,
    lever_id: str,
    what: str,
    beside: Iterable[tuple[type, str, int]] = (),
) -> int:
    """Write the next version of what was read as version `expect`; returns its number.

    Args:
        ledger: where.
        it: what is written.
        now_us: the clock.
        by: who.
        expect: the version that was read; 0 for none.
        lever_id: the lever that it is about.
        what: somebody else did, where they came first.
        beside: (kind, id, version) of other records by which this was decided; none of them may have changed.

    Raises:
        StateError: somebody else wrote it, or one of those beside it, in the same moment; nothing was written.
    """
    try:
        return ledger.put(it, now_us=now_us, by=by, expect=expect, beside=beside)
    except StateError as error:
        raise StateError(
            f"somebody else {what} in the same moment; nothing of yours was written: look at `andon lever show {lever_id}`, and do it "
            f"again if it is still needed ({error})"
        ) from error


def record(ledger: Ledger, change_id: str, make: Callable[[], Change], now_us: int) -> None:
    """Write a change if it was not written yet."""
    if ledger.get(Change, change_id) is None:
        change = make()
        ledger.put(change, now_us=now_us, by=change.author)


def record_default(ledger: Ledger, declared: Sequence[Versioned[Lever]], pulls: Iterable[Pull], now_us: int) -> None:
    """Write that the latest declaration of a lever changed its default, where that changed what is served.

    It did not where a version was live, or a pull held the lever.

    Args:
        ledger: where it is written.
        declared: all declarations of the lever.
        pulls: of the lever.
        now_us: the clock.
    """
    if len(declared) < 2 or same_value(declared[-2].record.default, declared[-1].record.default):
        return
    last, known = declared[-1], declared[-2].record
    lever, at_us = last.record, last.at_us
    held = {p.environment for p in pulls if p.at_us <= at_us < (p.released_us or p.until_us)}
    for environment in ENVIRONMENTS:
        name = f"lever-{lever.id}-v{last.version}-{environment}"
        if environment in held or ledger.get(Change, name) is not None:
            continue
        live = _live_at(_promotions(ledger, lever.id, environment), at_us)
        if live is None or live.digest is None:
            title = f"default of lever {lever.id} set to {shown_value(lever.default)}"
            change = lever_change(lever, environment, name, title, at_us, known.default, lever.default, last.by)
            ledger.put(change, now_us=now_us, by=last.by)


def record_promotion(ledger: Ledger, history: Sequence[Versioned[Promotion]], now_us: int) -> None:
    """Write that the latest promotion of a lever in an environment changed what is live there."""
    if not history:
        return
    last = history[-1]
    live = last.record

    def make() -> Change:
        lever = _declared_at(ledger, live.lever, live.at_us)
        version = ledger.get(Version, f"{live.lever}@{live.digest}")
        values = [value_of(ledger, lever, d) for d in (history[-2].record.digest if history[1:] else None, live.digest)]
        why = "" if version is None else f": {quoted(version.why, 80)}"
        title = f"{named(live.digest)} of lever {lever.id} promoted to {live.environment}{why}"
        return lever_change(lever, live.environment, name, title, live.at_us, values[0], values[1], live.by)

    name = f"lever-{live.lever}-{live.environment}-p{last.version}"
    record(ledger, name, make, now_us)


def record_split(ledger: Ledger, split: Allocation, now_us: int) -> None:
    """Write that a split of users began, and that it ended if it did. Where no lever is split, nothing changed."""
    lever_id = split.lever
    if lever_id is None:
        return
    name = f"lever-{lever_id}-{split.experiment}"

    def began() -> Change:
        lever = _declared_at(ledger, lever_id, split.from_us)
        control, treatment = (value_of(ledger, lever, d) for d in (split.control, split.treatment))
        whom = "who asks for the shadow" if split.shadow else f"{split.share:.3g} of the users"
        title = f"{split.experiment} began: {whom} may be given {named(split.treatment)} of lever {lever.id}"
        arm, rest = split.variants
        return lever_change(
            lever, split.environment, f"{name}-began", title, split.from_us, control, treatment, split.by,
            shown=arm, control=rest,
        )  # fmt: skip

    def ended() -> Change:
        assert split.ended_us is not None
        lever = _declared_at(ledger, lever_id, split.ended_us)
        rest = resting(ledger, lever.id, split.environment, split.ended_us)
        why, by = quoted(split.ended_why or "", 100)[1:-1], split.ended_by or split.by
        title = f"{split.experiment} ended: nobody is given the treatment of lever {lever.id} any more ({why})"
        treatment = value_of(ledger, lever, split.treatment)
        return lever_change(lever, split.environment, f"{name}-ended", title, split.ended_us, treatment, rest, by)

    record(ledger, f"{name}-began", began, now_us)
    if split.ended_us is not None:
        record(ledger, f"{name}-ended", ended, now_us)


def resting(ledger: Ledger, lever_id: str, environment: Environment, at_us: int) -> LeverValue:
    """What a lever gave at a time while nobody held it: the version that was live, else the default of then."""
    lever = _declared_at(ledger, lever_id, at_us)
    live = _live_at(_promotions(ledger, lever_id, environment), at_us)
    found = None if live is None else ledger.get(Version, f"{lever_id}@{live.digest}")
    return standing(lever, live, () if found is None else (found,))[0]


def value_of(ledger: Ledger, lever: Lever, digest: str | None) -> LeverValue:
    """The value of a version; the default where there is no digest."""
    found = None if digest is None else ledger.get(Version, f"{lever.id}@{digest}")
    return lever.default if found is None else found.value


def _promotions(ledger: Ledger, lever_id: str, environment: Environment) -> list[Versioned[Promotion]]:
    return ledger.history(Promotion, f"{lever_id}:{environment}")


def _live_at(history: Iterable[Versioned[Promotion]], at_us: int) -> Promotion | None:
    return next((v.record for v in reversed(list(history)) if v.record.at_us <= at_us), None)


def _declared_at(ledger: Ledger, lever_id: str, at_us: int) -> Lever:
    """The lever as it was declared then; the first declaration for a clock that is behind it."""
    declared = ledger.history(Lever, lever_id)
    return next((v.record for v in reversed(declared) if v.at_us <= at_us), declared[0].record)


def named(digest: str | None) -> str:
    """A version in a text."""
    return "the default" if digest is None else f"version {digest}"
