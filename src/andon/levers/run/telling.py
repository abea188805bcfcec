"""Tell people of pulls and of decided experiments, and keep when applications first read pulls."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from andon.errors import StateError
from andon.incidents import Channel, Incident, Message
from andon.incidents.channels import send
from andon.incidents.words import one_line
from andon.levers.effects import holds_together, incident_of
from andon.levers.notices import Notice, due_notices, messages_of
from andon.levers.pulls import standing
from andon.levers.records import Announced, Effect, FirstRead, Lever, Pull
from andon.levers.registry import value_text
from andon.levers.run.declaring import live_in, versions_of
from andon.levers.run.effects import tell_effective
from andon.rollouts import Allocation
from andon.rollouts.notices import due_tellings, message_of
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

    Returns how many messages were sent, counted for each channel. It is written down before it is sent, so that no other
    process and no later start tells it again. Channels are told side by side; this returns after `SEND_S` at the latest, and
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
    told = {t.id: t for t in ledger.all(Announced)}
    due = due_notices(ledger.all(Pull), {t.id: t.at_us for t in told.values()}, now_us)
    notices = [n for n in due if _is_ours(ledger, n.id, told, now_us)]
    tellings = due_tellings(decided_experiments(ledger, now_us), told, now_us)
    tellings = [t for t in tellings if _is_ours(ledger, t.id, told, now_us)]
    if not notices and not tellings:
        return 0
    facts = {x.id: x for x in ledger.all(Lever)}, _latest_effects(ledger), _given(ledger, notices), now_us, url
    few = messages_of(notices, *facts) + [message_of(t, now_us) for t in tellings if not t.ended]
    each = messages_of(notices, *facts, each=True) + [message_of(t, now_us) for t in tellings]
    given = [(c, each if getattr(c, "follows", False) else few) for c in channels]
    senders = [threading.Thread(target=_send, args=told_to, daemon=True) for told_to in given]
    for sender in senders:
        sender.start()
    until = time.monotonic() + SEND_S
    for sender in senders:
        sender.join(max(0.0, until - time.monotonic()))
    return sum(len(messages) for _, messages in given)


def _is_ours(ledger: Ledger, name: str, told: Mapping[str, Announced], now_us: int) -> bool:
    """Whether it is for us to tell it: what another process wrote down meanwhile is told by that."""
    known = ledger.latest(Announced, name)
    if (known.record if known else None) != told.get(name):
        return False
    try:
        ledger.put(Announced(id=name, at_us=now_us), now_us=now_us, by="andon", expect=known.version if known else 0)
    except StateError:
        return False
    return True


def _send(channel: Channel, messages: Sequence[Message]) -> None:
    for message in messages:
        send(channel, message)


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
