"""Tell people of pulls and of decided experiments, and keep when applications first read pulls."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from andon.errors import AndonError, StateError
from andon.incidents import Channel, Incident, Message
from andon.incidents.channels import send
from andon.incidents.notices import RETRY_US
from andon.incidents.words import one_line
from andon.levers.effects import holds_together, incident_of
from andon.levers.notices import Notice, What, due_notices, messages_of
from andon.levers.pulls import standing
from andon.levers.records import Announced, Effect, FirstRead, Lever, Pull
from andon.levers.registry import value_text
from andon.levers.run.declaring import live_in, versions_of
from andon.levers.run.effects import tell_effective
from andon.rollouts import Allocation
from andon.rollouts.notices import Decided, Telling, due_tellings, message_of
from andon.rollouts.run.standing import decided_experiments
from andon.store import Ledger

__all__ = ["Readers", "note_first_reads", "tell_levers"]

MOST_APPS = 200
MOST_NAME = 200
"""Characters of the name of an application."""

SEND_S = 10.0
"""How long the loop waits for channels; a slower one goes on in its own thread."""


class Readers:
    """When each pull in force was first given to whom, in memory: noting it takes no lock and no ledger.

    An answer is noted when it is made. A client is believed to be the application that its context names; one that names
    another application than the lever's is none that the pull is for, and is not noted.
    """

    def __init__(self, app_of: Callable[[str], str]) -> None:
        """Nothing is noted yet.

        Args:
            app_of: the application of a lever, by key; ``default`` where it is for any.
        """
        self._app_of = app_of
        self._asked: dict[str, int] = {}
        self._first: dict[tuple[str, bool], int] = {}
        self._written: set[tuple[str, bool]] = set()

    def note(self, answers: Iterable[Mapping[str, Any]], app: object, now_us: int) -> None:
        """Note the pulls in the OFREP bodies that a client is given.

        Args:
            answers: the bodies.
            app: the application that the client's context names, if it does: ``default`` is one without a name.
            now_us: the clock.
        """
        said = app if isinstance(app, str) else ""
        if said in self._asked or len(self._asked) < MOST_APPS:  # who invents names fills no memory
            self._asked[said[:MOST_NAME]] = now_us
        for answer in answers:
            if (metadata := answer.get("metadata")) is not None and (pull := metadata.get("pull")) is not None:
                fits = said != "" and self._app_of(answer["key"]) in ("default", said)
                if fits or said in ("", "default"):
                    self._first.setdefault((pull, fits), now_us)

    def asked(self) -> dict[str, int]:
        """When each application asked last for the value of any lever, since this server began; "" is one that named none."""
        return dict(self._asked)

    def fresh(self) -> list[tuple[tuple[str, bool], int]]:
        """Pulls, each with whether it was given to an application, that are not `kept` yet, with when that was first."""
        if len(self._first) == len(self._written):
            return []
        return [(first, at) for first, at in list(self._first.items()) if first not in self._written]

    def kept(self, first: tuple[str, bool]) -> None:
        """Say that it needs not to be written any more."""
        self._written.add(first)


def note_first_reads(ledger: Ledger, seen: Readers, now_us: int) -> list[FirstRead]:
    """Write when pulls were first read, and tell the timelines of their incidents; returns what is new.

    Each is written once, and once more when an application comes after a client that did not say what it is. Without a new read
    it costs nothing, so it may be called often. A hold that is renewed was effective before.

    Raises:
        StoreError: the ledger refused; what was not written is written by the next call.
    """
    written = []
    for first, at_us in seen.fresh():
        pull_id, by_application = first
        pull, known = ledger.get(Pull, pull_id), ledger.latest(FirstRead, pull_id)
        if pull is not None and (known is None or (by_application and not known.record.by_application)):
            read = FirstRead(id=pull_id, at_us=max(at_us, pull.at_us), by_application=by_application)
            try:
                ledger.put(read, now_us=now_us, by="andon", expect=0 if known is None else known.version)
            except StateError:  # another server was asked, too: the next call looks what it wrote
                continue
            written.append(read)
            _tell_timeline(ledger, pull, read, now_us)
        seen.kept(first)
    return written


def _tell_timeline(ledger: Ledger, pull: Pull, read: FirstRead, now_us: int) -> None:
    lever = ledger.get(Lever, pull.lever)
    incident = None if lever is None else incident_of(pull, lever, ledger.all(Incident))
    if incident is None or len(holds_together(pull, [p for p in ledger.all(Pull) if p.lever == pull.lever])) > 1:
        return
    tell_effective(ledger, incident, pull, read, now_us)


def tell_levers(ledger: Ledger, channels: Sequence[Channel], now_us: int, url: str = "") -> int:
    """Tell every channel of holds: begun, about to end, ended; each once. Of broken glass that nobody reviewed, daily.

    And of experiments: what a look decided, each outcome once.

    Returns how many messages were taken meanwhile, counted for each channel. What a channel is to be told is written down first, so
    a channel that was not told, because it failed or because Andon ended, is told by a later turn or start, for as long as it is
    news. That it is told is written down before it is sent, so that no other process and no later start tells it again: one that
    was cut off may have arrived, and is not repeated. Channels are told side by side; this returns after `SEND_S` at the latest, and
    never raises because of a channel.

    Args:
        ledger: pulls and experiments, and what was told of them.
        channels: where people are told; without any, nothing counts as told.
        now_us: the clock.
        url: address of this Andon, for links.

    Raises:
        StoreError: the ledger refused.
    """
    if not channels:
        return 0
    told = {t.id: t.at_us for t in ledger.all(Announced)}
    pulls, decided = ledger.all(Pull), decided_experiments(ledger, now_us)
    news = _News(pulls=pulls, decided=decided, now_us=now_us)
    for name, quiet in news.due(told):
        _announce(ledger, name, [c.name for c in channels if not quiet or _follows(c)], told, now_us)
    given = {c.name: (c, waiting) for c in channels if (waiting := _waiting(told, c.name, now_us))}
    posts = {name: news.packed(ledger, c, told, waiting, url) for name, (c, waiting) in given.items()}
    taken: list[str] = []
    until = time.monotonic() + SEND_S
    senders = [
        threading.Thread(target=_send, args=(ledger, given[name][0], found, told, now_us, until, taken), daemon=True)
        for name, found in posts.items()
        if found
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(max(0.0, until - time.monotonic()))
    return len(taken)


_Post = tuple[tuple[str, ...], Message]
"""A message, and the names of what it tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _News:
    """All that there may be to tell."""

    pulls: Sequence[Pull]
    decided: Sequence[Decided]
    now_us: int

    def due(self, told: Mapping[str, int]) -> list[tuple[str, bool]]:
        """Names of what is to be told now, by what was told and when; and whether only receivers are told that keep a state."""
        return [(n.id, n.quiet) for n in self._notices(told)] + [(t.id, t.ended) for t in self._tellings(told)]

    def packed(
        self, ledger: Ledger, channel: Channel, told: Mapping[str, int], waiting: Mapping[str, bool], url: str
    ) -> list[_Post]:
        """What a channel is told now.

        Args:
            ledger: has what messages name.
            channel: who is told.
            told: as for `due`.
            waiting: names of what the channel was not told yet, and whether it is time for that.
            url: address of this Andon.
        """
        known = {name: at_us for name, at_us in told.items() if name not in waiting}
        notices = [n for n in self._notices(known) if waiting.get(n.id)]
        tellings = [t for t in self._tellings(known) if waiting.get(t.id)]
        follows = _follows(channel)
        found: list[_Post] = []
        if notices:
            facts = (
                {x.id: x for x in ledger.all(Lever)},
                _latest_effects(ledger),
                _given(ledger, notices),
                self.now_us,
                url,
            )
            for group in _kinds([n for n in notices if follows or not n.quiet]):
                names = tuple(n.id for n in group)
                made = messages_of(group, *facts, each=follows)  # each by itself, or many as one
                found += (
                    zip(((n,) for n in names), made, strict=True) if len(made) == len(names) else [(names, made[0])]
                )
        told_now = (t for t in tellings if follows or not t.ended)
        return found + [((t.id,), message_of(t, self.now_us)) for t in told_now]

    def _notices(self, told: Mapping[str, int]) -> list[Notice]:
        return due_notices(self.pulls, told, self.now_us)

    def _tellings(self, told: Mapping[str, int]) -> list[Telling]:
        return due_tellings(self.decided, told, self.now_us)


def _follows(channel: Channel) -> bool:
    """Whether the receiver keeps an alert open until it is told the end."""
    return bool(getattr(channel, "follows", False))


def _kinds(notices: Sequence[Notice]) -> Iterable[Sequence[Notice]]:
    """Notices of one kind together, in the order of `messages_of`: broken glass first."""
    kinds: dict[str, list[Notice]] = {k: [] for k in ("glass", *get_args(What))}
    for notice in notices:
        kinds["glass" if notice.what == "held" and notice.pull.break_glass else notice.what].append(notice)
    return [group for group in kinds.values() if group]


def _due(name: str, channel: str) -> str:
    """Under which name it is kept from when on a channel is to be told something."""
    return f"{name} due: {channel}"


def _begun(name: str, channel: str) -> str:
    """Under which name it is kept when a channel was told it last: before it was sent."""
    return f"{name} told: {channel}"


def _waiting(told: Mapping[str, int], channel: str, now_us: int) -> dict[str, bool]:
    """Names of what a channel was not told yet, or could not be told, and whether it is time to do that."""
    end = _due("", channel)
    due = {id_.removesuffix(end): at_us for id_, at_us in told.items() if id_.endswith(end)}
    return {name: at_us <= now_us for name, at_us in due.items() if at_us > told.get(_begun(name, channel), 0)}


def _announce(ledger: Ledger, name: str, channels: Sequence[str], told: dict[str, int], now_us: int) -> None:
    """Write down that channels are to be told something, unless another process does."""
    for id_ in (*(_due(name, channel) for channel in channels), name):
        if not _note(ledger, id_, told, now_us, now_us):
            return


def _note(ledger: Ledger, id_: str, told: dict[str, int], at_us: int, now_us: int) -> bool:
    """Write a time down; False where another process wrote one since `told` was read."""
    known = ledger.latest(Announced, id_)
    if (known.record.at_us if known else None) != told.get(id_):
        return False
    try:
        ledger.put(Announced(id=id_, at_us=at_us), now_us=now_us, by="andon", expect=known.version if known else 0)
    except StateError:
        return False
    told[id_] = at_us
    return True


def _send(
    ledger: Ledger,
    channel: Channel,
    posts: Sequence[_Post],
    told: dict[str, int],
    now_us: int,
    until: float,
    taken: list[str],
) -> None:
    """Send one channel its messages in order until one fails or the time is up: the others wait for the next turn."""
    for names, message in posts:
        if time.monotonic() > until:
            return
        try:
            begun = [_note(ledger, _begun(name, channel.name), told, now_us, now_us) for name in names]
            if not all(begun):
                continue  # another process tells it
            state, _ = send(channel, message)
            if state == "sent":
                taken.append(channel.name)
                continue
            for name in names if state == "failed" else ():  # the other ones may have arrived
                again_us = now_us + _wait_us(told[name], now_us)
                _note(ledger, _due(name, channel.name), told, again_us, now_us)
        except AndonError:  # the ledger fails: what is not written as told is told later; the loop says why
            return
        return  # whoever failed is not given the next one


def _wait_us(since_us: int, now_us: int) -> int:
    """How long to wait after a failure: each time twice as long since the news came up, for an hour at most."""
    return min(max(RETRY_US[0], now_us - since_us), RETRY_US[-1])


def _latest_effects(ledger: Ledger) -> dict[str, Effect]:
    """The effect of each pull that was measured last."""
    return {e.pull: e for e in sorted(ledger.all(Effect), key=lambda e: (e.at_us, e.id))}


def _given(ledger: Ledger, notices: Sequence[Notice]) -> dict[str, str]:
    """What the lever of each pull gives while nobody holds it, in words."""
    given = {}
    for pull in (n.pull for n in notices):
        lever, live = ledger.get(Lever, pull.lever), live_in(ledger, pull.lever, pull.environment)
        assert lever is not None
        value, digest = standing(lever, live, versions_of(ledger, lever.id))
        split = ledger.get(Allocation, f"{lever.id}:{pull.environment}")
        text = f"“{one_line(value_text(value))}”, {'its default' if digest is None else f'version {digest}'}"
        if split is not None and split.ended_us is None:
            text += f", and {split.experiment} may split its users"
        given[pull.id] = text
    return given
