"""Tell people of pulls, and keep when applications first read them."""

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from andon.errors import StateError
from andon.incidents import Channel, Incident, Message
from andon.incidents.channels import send
from andon.incidents.words import one_line
from andon.levers.effects import holds_together, incident_of
from andon.levers.notices import Notice, due_notices, messages_of
from andon.levers.pulls import standing
from andon.levers.records import Effect, FirstRead, Lever, Pull, PullTold
from andon.levers.registry import value_text
from andon.levers.run.declaring import live_in, versions_of
from andon.levers.run.effects import tell_effective
from andon.rollouts import Allocation
from andon.store import Ledger

__all__ = ["Readers", "note_first_reads", "tell_levers"]

SEND_S = 10.0
"""How long the loop waits for channels; a slower one goes on in its own thread."""


class Readers:
    """When each pull in force was first given to an application, in memory: noting it takes no lock and no ledger.

    An answer is noted when it is made; whoever asks over OFREP counts as an application.
    """

    def __init__(self) -> None:
        self._first: dict[str, int] = {}
        self._written: set[str] = set()

    def note(self, answers: Iterable[Mapping[str, Any]], now_us: int) -> None:
        """Note the pulls in the OFREP bodies that an application is given."""
        for answer in answers:
            if (metadata := answer.get("metadata")) is not None and (pull := metadata.get("pull")) is not None:
                self._first.setdefault(pull, now_us)

    def fresh(self) -> list[tuple[str, int]]:
        """Pulls that were given and are not `kept` yet, with when that was first."""
        if len(self._first) == len(self._written):
            return []
        return [(p, at) for p, at in list(self._first.items()) if p not in self._written]

    def kept(self, pull: str) -> None:
        """Say that the first read of a pull stands in the ledger."""
        self._written.add(pull)


def note_first_reads(ledger: Ledger, seen: Readers, now_us: int) -> list[FirstRead]:
    """Write when pulls were first read, each once, and tell the timelines of their incidents; returns what is new.

    Without a new pull it costs nothing, so it may be called often. A hold that is renewed was effective before.

    Raises:
        StoreError: the ledger refused; what was not written is written by the next call.
    """
    fresh = seen.fresh()
    if not fresh:
        return []
    written = []
    for pull_id, at_us in fresh:
        pull = ledger.get(Pull, pull_id)
        if pull is not None and ledger.get(FirstRead, pull_id) is None:
            read = FirstRead(id=pull_id, at_us=max(at_us, pull.at_us))
            try:
                ledger.put(read, now_us=now_us, by="andon", expect=0)
            except StateError:  # another server was asked, too
                seen.kept(pull_id)
                continue
            written.append(read)
            _tell_timeline(ledger, pull, read, now_us)
        seen.kept(pull_id)
    return written


def _tell_timeline(ledger: Ledger, pull: Pull, read: FirstRead, now_us: int) -> None:
    lever = ledger.get(Lever, pull.lever)
    incident = None if lever is None else incident_of(pull, lever, ledger.all(Incident))
    if incident is None or len(holds_together(pull, [p for p in ledger.all(Pull) if p.lever == pull.lever])) > 1:
        return
    tell_effective(ledger, incident, pull, read.at_us, now_us)


def tell_levers(ledger: Ledger, channels: Sequence[Channel], now_us: int, url: str = "") -> int:
    """Tell every channel of holds: begun, about to end, ended; each once. Of broken glass that nobody reviewed, daily.

    Returns how many messages were sent, counted for each channel. It is written down before it is sent, so that no other process and no later start tells it again. Channels are told side by
    side; this returns after `SEND_S` at the latest, and never raises because of a channel.

    Args:
        ledger: pulls, and what was told of them.
        channels: where people are told; without any, nothing counts as told.
        now_us: the clock.
        url: address of this Andon, for links.

    Raises:
        StoreError: the ledger refused.
    """
    pulls = ledger.all(Pull) if channels else []
    if not pulls:
        return 0
    told = {t.id: t for t in ledger.all(PullTold)}
    notices = []
    for notice in due_notices(pulls, {t.id: t.at_us for t in told.values()}, now_us):
        mark = PullTold(id=notice.id, pull=notice.pull.id, what=notice.what, at_us=now_us)
        known = ledger.latest(PullTold, mark.id)
        if (known.record if known else None) != told.get(mark.id):
            continue  # another process tells it
        try:
            ledger.put(mark, now_us=now_us, by="andon", expect=known.version if known else 0)
        except StateError:
            continue
        notices.append(notice)
    if not notices:
        return 0
    facts = {x.id: x for x in ledger.all(Lever)}, _latest_effects(ledger), _given(ledger, notices), now_us, url
    few, each = messages_of(notices, *facts), messages_of(notices, *facts, each=True)
    given = [(c, each if getattr(c, "follows", False) else few) for c in channels]
    senders = [threading.Thread(target=_send, args=told_to, daemon=True) for told_to in given]
    for sender in senders:
        sender.start()
    until = time.monotonic() + SEND_S
    for sender in senders:
        sender.join(max(0.0, until - time.monotonic()))
    return sum(len(messages) for _, messages in given)


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
