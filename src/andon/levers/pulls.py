"""Which pull is in force, what a new one would do, and the changes that pulls are: values in, values out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from andon.changes import Change
from andon.errors import InputError, StateError
from andon.incidents import duration
from andon.levers.records import Environment, Lever, LeverValue, Promotion, Pull, Version
from andon.levers.registry import (
    MAX_HOLD_US,
    OURSELVES,
    check_environment,
    check_person,
    check_served,
    check_value,
    digest_of,
    line,
    same_value,
    shown_value,
    value_text,
)
from andon.traffic import format_time, quoted

__all__ = [
    "BROKEN_US",
    "CLOCKS_US",
    "Asked",
    "clock_note",
    "draft_pull",
    "draft_release",
    "ended_change",
    "expired",
    "how_ended",
    "in_force",
    "latest",
    "lever_change",
    "pulled_change",
    "standing",
    "superseded",
    "turn",
]

BROKEN_US = 24 * 3600 * 1_000_000
"""Longest time for which a broken glass holds a lever: by then another person has approved a version, or nobody will."""

CLOCKS_US = 60_000_000
"""How far two clocks may be apart before one of them is taken to be wrong."""

LENGTHENED_US = 24 * 3600 * 1_000_000
"""How far two clocks may be apart for a hold to last as long as was asked by either: zones and wrong days, not wrong years."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What somebody asks of a lever."""

    value: LeverValue | None = None
    """None: the safe value."""
    why: str
    by: str
    until_us: int
    until_fixed: bool = False
    """Whether the end was said as a moment and not as a span: no other clock moves it."""
    environment: str = "production"
    incident: str | None = None
    trade_off: str = ""
    exit: str = ""
    rule: str | None = None
    break_glass: bool = False
    evidence: str = ""


def latest(pulls: Iterable[Pull], environment: Environment = "production") -> Pull | None:
    """The newest of one lever's pulls in an environment; it supersedes all that came before it, also after it ended."""
    mine = (p for p in pulls if p.environment == environment)
    return max(mine, key=turn, default=None)


def turn(pull: Pull) -> tuple[int, str]:
    """The place of a pull among those of its lever: by their numbers, which no clock that was set wrong can mix up."""
    return len(pull.id), pull.id


def in_force(pulls: Iterable[Pull], now_us: int, environment: Environment = "production") -> Pull | None:
    """The one pull of one lever that holds it now: the newest, if it was not released and has not expired.

    When it began is not looked at: what is written holds, also for a server whose clock is behind that of who pulled.
    """
    pull = latest(pulls, environment)
    if pull is None or pull.released_us is not None or pull.until_us <= now_us:
        return None
    return pull


def draft_pull(lever: Lever, pulls: Sequence[Pull], versions: Iterable[Version], asked: Asked, now_us: int) -> Pull:
    """The pull that would be written; nothing is.

    Args:
        lever: which.
        pulls: all of this lever so far.
        versions: of levers.
        asked: what is asked.
        now_us: the clock. Where it is more than `CLOCKS_US` behind the last pull, one of the two is wrong, and nobody knows
            which: the hold begins by this one, and a person's span lasts as long as was asked by either, if they are no more
            than `LENGTHENED_US` apart and that is no longer than a hold may last. An end that is fixed stays. A rule's hold
            ends by its own clock, which is that of who serves.

    Raises:
        InputError: the value has another type, why or by is empty, or the time is not in the future or too far away.
        StateError: production must not see the value; `break_glass` lets it, for a day at most, and not again before another
            person has reviewed the last time.
    """
    environment = check_environment(asked.environment)
    why, by = line("why", asked.why, 2_000), line("by", asked.by, 200)
    if asked.break_glass:
        check_person(by)  # another one reviews it
    value = lever.safe if asked.value is None else check_value(lever, asked.value)
    _check_glass(lever, value, environment, versions, pulls, asked.break_glass)
    known = next((v.digest for v in versions if v.lever == lever.id and same_value(v.value, value)), None)
    most_us, until_us = (BROKEN_US if asked.break_glass else MAX_HOLD_US), asked.until_us
    if isinstance(until_us, bool) or not isinstance(until_us, int) or not now_us < until_us <= now_us + most_us:
        longest = "a day, which is the longest for a broken glass" if asked.break_glass else "90 days"
        raise InputError(
            f"a hold until {_time(until_us)} is not allowed: it ends after now ({format_time(now_us)}) and within {longest} "
            f"(by {format_time(now_us + most_us)}); who needs longer promotes another version"
        )
    after_us, behind_us = _after(pulls, now_us), _behind_us(pulls, now_us)
    if (
        asked.rule is None
        and not asked.until_fixed
        and behind_us <= LENGTHENED_US
        and until_us + behind_us <= now_us + most_us
    ):
        until_us += behind_us
    return Pull(
        id=f"pull-{lever.id}-{len(pulls) + 1:05d}",
        lever=lever.id,
        value=value,
        at_us=after_us if after_us < until_us else now_us,
        by=by,
        why=why,
        until_us=until_us,
        environment=environment,
        digest=known,
        incident=None if asked.incident is None else line("incident", asked.incident, 200),
        trade_off=line("trade_off", asked.trade_off, 2_000) if asked.trade_off.strip() else "",
        exit=line("exit", asked.exit, 2_000) if asked.exit.strip() else "",
        rule=asked.rule,
        break_glass=asked.break_glass,
        evidence=asked.evidence,
    )


def clock_note(pulls: Iterable[Pull], now_us: int) -> str:
    """What to tell a person whose clock is behind the last pull of a lever; empty where it is not."""
    pulls = list(pulls)
    if not (behind_us := _behind_us(pulls, now_us)):
        return ""
    last = max(pulls, key=turn)
    return (
        f"this clock ({format_time(now_us)}) is {duration(behind_us / 1e6)} behind that of {quoted(last.by, 200)}, by which {last.id} "
        "was written, so one of the two is wrong: compare it with `date -u` elsewhere, and look at when this hold ends"
        + (
            "; that is by this clock alone, as no hold is lengthened by more than a day"
            if behind_us > LENGTHENED_US
            else ""
        )
    )


def draft_release(lever: Lever, pulls: Sequence[Pull], *, why: str, by: str, environment: str, now_us: int) -> Pull:
    """The pull in force as it would be after its release; nothing is written.

    It ended now, by the clock of who releases it, also where the clock of who pulled was ahead: rules go on from there.

    Raises:
        InputError: why or by is empty.
        StateError: nothing holds the lever; says what held it last.
    """
    place = check_environment(environment)
    why, by = line("why", why, 2_000), line("by", by, 200)
    held = in_force(pulls, now_us, place)
    if held is None:
        last = latest(pulls, place)
        end_us = None if last is None else last.released_us or last.until_us
        how = "" if last is None or end_us is None else f"; {last.id} {how_ended(last)} at {format_time(end_us)}"
        raise StateError(
            f"nothing holds {lever.id} in {place}{how}. There is nothing to release: `andon lever show {lever.id}` says what is served"
        )
    return replace(held, released_us=min(_after([held], now_us), held.until_us), released_by=by, released_why=why)


def expired(pull: Pull) -> Pull:
    """The pull as it ended because its time was over."""
    return replace(pull, released_us=pull.until_us, released_by=OURSELVES, released_why="its time is over")


def superseded(pull: Pull, by: Pull) -> Pull:
    """The pull as it ended when the next one took its place, by whoever's clock within its own time."""
    at_us = max(pull.at_us, min(by.at_us, pull.until_us))
    return replace(pull, released_us=at_us, released_by=by.by, released_why=f"superseded by {by.id}")


def standing(lever: Lever, live: Promotion | None, versions: Iterable[Version]) -> tuple[LeverValue, str | None]:
    """What a lever gives while nobody holds it, and the digest of the version; no digest for the default."""
    if live is not None and live.digest is not None:
        version = next((v for v in versions if v.lever == lever.id and v.digest == live.digest), None)
        if version is not None:
            return version.value, version.digest
    return lever.default, None


def pulled_change(lever: Lever, before: Pull | None, pull: Pull, rest: LeverValue) -> Change:
    """The change that a pull is.

    Args:
        lever: which.
        before: the pull that came before it in this environment, whether it ended or not.
        pull: the pull.
        rest: what the lever gave then while nobody held it.
    """
    value = before.value if before is not None and _gave_way(before, pull) else rest
    loud = "BREAK GLASS: " if pull.break_glass else ""
    title = f"{loud}lever {lever.id} held at {shown_value(pull.value)}"
    name, shown = f"{pull.id}-held", pull.digest or "held"
    return lever_change(lever, pull.environment, name, title, pull.at_us, value, pull.value, pull.by, shown=shown)


def ended_change(lever: Lever, pull: Pull, rest: LeverValue) -> Change:
    """The change that the end of a pull is, by a person or because its time is over."""
    assert pull.released_us is not None
    how = how_ended(pull)
    title = f"hold of lever {lever.id} {how}: back to {shown_value(rest)}"
    author = pull.released_by or OURSELVES
    return lever_change(lever, pull.environment, f"{pull.id}-{how}", title, pull.released_us, pull.value, rest, author)


def lever_change(
    lever: Lever,
    environment: Environment,
    change_id: str,
    title: str,
    at_us: int,
    before: LeverValue,
    after: LeverValue,
    by: str,
    *,
    shown: str = "",
    **more: str,
) -> Change:
    """A change of what a lever gives in an environment.

    Applications may name what they run by the variant, the digest or the value itself: `andon.changes.discover` knows this
    change by them, so that what traffic shows then is no second one.

    Args:
        lever: which.
        environment: where.
        change_id: its id.
        title: the line that a person recognises it by.
        at_us: when.
        before: what it gave.
        after: what it gives.
        by: who.
        shown: the variant of answers that give it; the digest, or ``default``, unless it is said.
        more: other attributes.
    """
    variant = shown or ("default" if same_value(after, lever.default) else "")
    return Change(
        id=change_id,
        at_us=at_us,
        kind="lever",
        title=title,
        app=lever.app,
        environment=environment,
        before=_version_text(before),
        after=_version_text(after),
        author=by,
        origin="lever",
        own=True,
        attributes={"lever": lever.id, "shown as": f"{digest_of(after)} {variant}", **more},
    )


def how_ended(pull: Pull) -> str:
    """In a word how a pull ended, or will have ended once its time is over."""
    assert pull.released_us is not None or pull.until_us
    return "expired" if (pull.released_us or pull.until_us) >= pull.until_us else "released"


def _check_glass(
    lever: Lever,
    value: LeverValue,
    environment: Environment,
    versions: Iterable[Version],
    pulls: Iterable[Pull],
    break_glass: bool,
) -> None:
    """Refuse what production must not see, unless the glass is broken for it, and the last broken glass was reviewed."""
    waiting = next((p for p in pulls if p.break_glass and p.reviewed is None), None)
    if break_glass and waiting is None:
        return
    try:
        check_served(lever, value, environment, versions)
    except StateError as error:
        if waiting is None or not break_glass:
            raise
        raise StateError(
            f"{waiting.id} by {quoted(waiting.by, 200)} broke the glass of {lever.id} at {format_time(waiting.at_us)}, and nobody else has "
            f'looked at it: another person does (`andon lever review {waiting.id} --why "..."`), then it may be broken again. The safe '
            f"value ({shown_value(lever.safe)}) needs no glass: `andon lever hold {lever.id}`"
        ) from error


def _behind_us(pulls: Iterable[Pull], now_us: int) -> int:
    """How far the clock is behind the last pull of a lever; 0 where that is within what clocks may be apart."""
    last = max(pulls, key=turn, default=None)
    return last.at_us - now_us if last is not None and last.at_us - now_us > CLOCKS_US else 0


def _after(pulls: Iterable[Pull], now_us: int) -> int:
    """Now, or a moment after the last of these pulls where clocks that are a little apart would put it before."""
    last = max(pulls, key=turn, default=None)
    return last.at_us + 1 if last is not None and 0 <= last.at_us - now_us <= CLOCKS_US else now_us


def _time(time_us: object) -> str:
    """A time as a text, where it is one."""
    try:
        return format_time(time_us)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return quoted(time_us)


def _gave_way(before: Pull, pull: Pull) -> bool:
    return before.released_us is None or before.released_why == f"superseded by {pull.id}"


def _version_text(value: LeverValue) -> str:
    """A value in the log of changes: itself where it is short, else the digest that its version has."""
    text = value_text(value)
    return text if len(text) <= 200 else f"{digest_of(value)} ({len(text):,} characters)"
