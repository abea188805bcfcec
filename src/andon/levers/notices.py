"""What people are told of pulls, and when: a lever is held, its hold ends soon, it ended, a broken glass needs or got a review.

The first line is the one that is needed; what people or versions wrote is made harmless (`andon.incidents.messages.neutral`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from andon.incidents import Message, duration
from andon.incidents.messages import neutral
from andon.incidents.records import Tone
from andon.levers.effects import ended_us_of
from andon.levers.pulls import how_ended, turn
from andon.levers.records import Effect, Lever, Pull
from andon.levers.registry import value_text
from andon.traffic import format_time
from andon.traffic.clock import minute_text

__all__ = ["SOON_US", "Notice", "What", "due_notices", "messages_of"]

What = Literal["held", "ending", "ended", "unreviewed", "reviewed"]

SOON_US = 15 * 60_000_000
"""People are told that a hold ends so long before, or at the last tenth of its time where that is less."""

DAY_US = 86_400_000_000
STALE_US = DAY_US
"""The end of a hold is no news after this: a channel that is set up today is not told of last month."""

MOST = 5
"""Notices of one kind that are told each by itself; more of them, such as those of a drill, are one message."""

MOST_LISTED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something to tell of a pull."""

    what: What
    pull: Pull
    quiet: bool = False
    """News only for receivers that keep a state: a review, or the end of a pull whose place another one took, which is told."""

    @property
    def id(self) -> str:
        """That it was told is kept under this name."""
        return f"{self.pull.id}:{self.what}"


def due_notices(pulls: Iterable[Pull], told: Mapping[str, int], now_us: int) -> list[Notice]:
    """What is to be told now, the oldest pull of a lever first.

    One that ended before anybody was told of it is told by its end; a broken glass always by itself.

    Args:
        pulls: all of them.
        told: what was told (`Notice.id`) and when last.
        now_us: the clock.
    """
    found = []
    ordered = sorted(pulls, key=turn)
    ids = {p.id for p in ordered}
    for pull in ordered:
        ended_us = ended_us_of(pull, now_us)
        if ended_us is not None and now_us - ended_us > STALE_US and not pull.break_glass:
            continue  # most of them
        superseded = (pull.released_why or "").removeprefix("superseded by ") in ids
        whats: list[tuple[What, bool]] = [
            ("held", _is_news(pull, now_us)),
            ("ending", _ends_soon(pull, now_us)),
            ("ended", _has_ended(pull, now_us)),
        ]
        named = [Notice(what=w, pull=pull, quiet=w == "ended" and superseded) for w, is_due in whats if is_due]
        waits, reviewed = Notice(what="unreviewed", pull=pull), Notice(what="reviewed", pull=pull, quiet=True)
        if pull.reviewed is not None and waits.id in told:
            named.append(reviewed)
        found += [n for n in named if n.id not in told]
        if pull.break_glass and pull.reviewed is None and now_us - told.get(waits.id, pull.at_us) >= DAY_US:
            found.append(waits)
    return found


def _is_news(pull: Pull, now_us: int) -> bool:
    ended_us = ended_us_of(pull, now_us)
    return ended_us is None or (pull.break_glass and now_us - ended_us <= STALE_US)


def _ends_soon(pull: Pull, now_us: int) -> bool:
    left_us = pull.until_us - now_us
    return ended_us_of(pull, now_us) is None and left_us <= min(SOON_US, (pull.until_us - pull.at_us) // 10)


def _has_ended(pull: Pull, now_us: int) -> bool:
    ended_us = ended_us_of(pull, now_us)
    return ended_us is not None and now_us - ended_us <= STALE_US


def messages_of(
    notices: Sequence[Notice],
    levers: Mapping[str, Lever],
    effects: Mapping[str, Effect],
    given: Mapping[str, str],
    now_us: int,
    url: str = "",
    *,
    each: bool = False,
) -> list[Message]:
    """The messages of these notices, broken glass first; many of one kind are one message.

    What is `Notice.quiet` is left out, save for receivers that keep an alert for each pull.

    Args:
        notices: what is to be told.
        levers: by id.
        effects: the latest one by pull.
        given: what the lever of each pull gives while nobody holds it, in words.
        now_us: the clock.
        url: address of this Andon; empty without one.
        each: for receivers that keep an alert for each pull: every notice is a message of its own.
    """
    kinds: dict[str, list[Notice]] = {k: [] for k in ("glass", "held", "ending", "ended", "unreviewed", "reviewed")}
    for notice in (n for n in notices if each or not n.quiet):
        kinds["glass" if notice.what == "held" and notice.pull.break_glass else notice.what].append(notice)
    messages = []
    for kind, group in kinds.items():
        if len(group) > MOST and not each:
            messages.append(_together(kind, group, now_us))
        else:
            messages += [_message(n, levers[n.pull.lever], effects, given[n.pull.id], now_us, url) for n in group]
    return messages


def _message(notice: Notice, lever: Lever, effects: Mapping[str, Effect], given: str, now_us: int, url: str) -> Message:
    pull = notice.pull
    texts: dict[What, Callable[[], tuple[list[str], list[str]]]] = {
        "held": lambda: _held(pull, lever, given),
        "ending": lambda: _ending(pull, lever, given),
        "ended": lambda: _ended(pull, effects.get(pull.id), given, now_us),
        "unreviewed": lambda: _unreviewed(pull),
        "reviewed": lambda: _reviewed(pull),
    }
    lines, commands = texts[notice.what]()
    link = f"{url.rstrip('/')}/incidents/{quote(pull.incident, safe='')}" if url and pull.incident else ""
    see = [f"See: {link}"] if link else []
    about = f"andon-{pull.id}" + ("-review" if notice.what in ("unreviewed", "reviewed") else "")
    facts = {
        "lever": pull.lever,
        "pull": pull.id,
        "app": neutral(lever.app, 60),
        "environment": pull.environment,
        "held at": _value(pull),
        "by": neutral(pull.by, 60),
        "rule": neutral(pull.rule, 100) if pull.rule else "",
        "until": format_time(pull.until_us),
        "incident": neutral(pull.incident, 60) if pull.incident else "",
    }
    return Message(
        title=_title(notice, now_us),
        text="\n".join([*lines, *see, *commands]),
        markdown="\n\n".join([*lines, *see, *(f"`{c}`" for c in commands)]),
        tone=_tone(notice),
        about=about,
        id=f"andon-{pull.id}-{notice.what}" + (f"-{now_us // DAY_US}" if notice.what == "unreviewed" else ""),
        event=f"lever.{notice.what}",
        at_us=now_us,
        link=link,
        details={k: v for k, v in facts.items() if v},
    )


def _title(notice: Notice, now_us: int) -> str:
    pull = notice.pull
    where = f"lever {pull.lever} in {pull.environment}"
    loud = "BREAK GLASS: " if pull.break_glass else ""
    if notice.what == "held":
        return f"{loud}{where} is held at {_value(pull)}, by {_author(pull)}"
    if notice.what == "ending":
        return f"{loud}the hold of {where} ends in {duration(max(0, pull.until_us - now_us) / 1e6)}"
    if notice.what == "ended":
        return f"{loud}the hold of {where} {_how(pull)}"
    if notice.what == "reviewed":
        return f"Reviewed: the broken glass of {where}"
    ago = duration((now_us - pull.at_us) / 1e6)
    return f"Not reviewed: the glass was broken {ago} ago for {where}"


def _tone(notice: Notice) -> Tone:
    if notice.what == "held" and notice.pull.break_glass:
        return "urgent"
    if notice.what == "reviewed" or (notice.what == "ended" and how_ended(notice.pull) == "released"):
        return "note"
    return "note" if notice.what == "held" and notice.pull.rule is None else "warning"


def _held(pull: Pull, lever: Lever, given: str) -> tuple[list[str], list[str]]:
    lasts = duration((pull.until_us - pull.at_us) / 1e6)
    lines = []
    if pull.break_glass:
        lines.append(
            "A rule of approval was broken: this value was approved by nobody. Another person looks at it, and says so."
        )
    lines += [
        _why(pull),
        f"It ends by itself after {lasts}, at {minute_text(pull.until_us)} UTC; then the lever gives {neutral(given, 120)} again.",
    ]
    lines += [f"Trade-off: {neutral(pull.trade_off)}"] if pull.trade_off else []
    lines += [f"To be released when: {neutral(pull.exit)}"] if pull.exit else []
    lines += [f"Evidence: {neutral(pull.evidence)}"] if pull.evidence else []
    commands = [f"andon lever release {lever.id}{_place(pull)} --why ..."]
    if pull.break_glass:
        commands.append(f"andon lever review {pull.id} --why ...")
    return lines, commands


def _ending(pull: Pull, lever: Lever, given: str) -> tuple[list[str], list[str]]:
    lines = [
        f"At {minute_text(pull.until_us)} UTC the lever gives {neutral(given, 120)} again; now it is held at {_value(pull)}.",
        _why(pull),
    ]
    lines += [f"It was to be released when: {neutral(pull.exit)}. Is that so?"] if pull.exit else []
    value = "" if pull.value == lever.safe else f" --version {pull.digest}" if pull.digest else " --value ..."
    about = f" --incident {neutral(pull.incident, 60)}" if pull.incident else ""
    glass = " --break-glass" if pull.break_glass else ""
    prolong = f"andon lever hold {lever.id}{value}{_place(pull)} --for 4h{about}{glass} --why ..."
    return [*lines, "To go on holding it:"], [prolong]


def _ended(pull: Pull, effect: Effect | None, given: str, now_us: int) -> tuple[list[str], list[str]]:
    ended_us = ended_us_of(pull, now_us) or pull.until_us
    held = f"It was held at {_value(pull)} for {duration((ended_us - pull.at_us) / 1e6)}"
    lines = [f"The lever gives {neutral(given, 120)} again. {held}, until {minute_text(ended_us)} UTC."]
    if how_ended(pull) == "released":
        lines.append(f"Because: {neutral(pull.released_why or '')}")
    lines.append(_why(pull))
    lines.append(f"Effect: {neutral(effect.text, 700)}" if effect is not None else "Its effect is not measured.")
    return lines, [f"andon lever show {pull.lever}"]


def _unreviewed(pull: Pull) -> tuple[list[str], list[str]]:
    lines = [
        f"{neutral(pull.by, 60)} held the lever at {_value(pull)}, which nobody had approved; another person looks at it.",
        _why(pull),
    ]
    return lines, [f"andon lever review {pull.id} --why ..."]


def _reviewed(pull: Pull) -> tuple[list[str], list[str]]:
    assert pull.reviewed is not None
    return [f"{neutral(pull.reviewed.by, 60)} looked at it: {neutral(pull.reviewed.why)}"], []


def _together(kind: str, group: Sequence[Notice], now_us: int) -> Message:
    titles = {
        "glass": "BREAK GLASS: {n} levers are held at values that nobody approved",
        "held": "{n} levers are held",
        "ending": "{n} holds end soon",
        "ended": "{n} holds ended",
        "unreviewed": "{n} times the glass was broken, and nobody has reviewed it",
    }
    lines = [f"{_title(n, now_us)}. {_why(n.pull)}" for n in group[:MOST_LISTED]]
    if len(group) > MOST_LISTED:
        lines.append(f"And {len(group) - MOST_LISTED:,} more.")
    first = group[0].pull.id
    return Message(
        title=titles[kind].format(n=f"{len(group):,}"),
        text="\n".join([*lines, "andon lever list"]),
        markdown="\n\n".join([*lines, "`andon lever list`"]),
        tone=_tone(group[0]),
        about=f"andon-levers-{kind}",
        id=f"andon-{first}-{kind}-{now_us}",
        event=f"lever.{group[0].what}",
        at_us=now_us,
    )


def _why(pull: Pull) -> str:
    about = f", for {neutral(pull.incident, 60)}" if pull.incident else ""
    return f"Pulled by {_author(pull)}{about}: {neutral(pull.why)}"


def _author(pull: Pull) -> str:
    by = neutral(pull.by, 100)
    return by if pull.rule is None or pull.rule in pull.by else f"the rule “{neutral(pull.rule, 100)}” ({by})"


def _how(pull: Pull) -> str:
    how = how_ended(pull)
    return f"was {how} by {neutral(pull.released_by or 'somebody', 60)}" if how == "released" else how


def _value(pull: Pull) -> str:
    version = f" (version {pull.digest})" if pull.digest else ""
    return f"“{neutral(value_text(pull.value), 60)}”{version}"


def _place(pull: Pull) -> str:
    return "" if pull.environment == "production" else f" --environment {pull.environment}"
