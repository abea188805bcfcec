"""Actions in the ledger: take, add, prove, drop, claim; tell of overdue ones; the proof that a monitor fires."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from andon.errors import AndonError, InputError, StateError
from andon.incidents import Channel, Incident
from andon.incidents.channels import send
from andon.monitors import TRAFFIC, Charts, Monitor, MonitorRule, Objective
from andon.monitors.backtest import LEAST_HOURS, LEAST_N, Setting, alarms_of
from andon.monitors.records import names
from andon.monitors.run import history_of
from andon.postmortems import actions
from andon.postmortems.actions import Commitment, Kind, due_after, merged, nag_message, nags
from andon.postmortems.draft import since_onset
from andon.postmortems.records import ActionItem, Criterion, Nagged, Postmortem, Proof, Published
from andon.postmortems.run.catalogue import catalogue_of
from andon.scores import Scorer
from andon.store import Ledger, Span, Versioned, Warehouse
from andon.traffic import format_time, quoted

__all__ = [
    "ATTEMPTS",
    "Prover",
    "actions_of",
    "add_action",
    "claim_action",
    "commitments_of",
    "drop_action",
    "find_action",
    "give_back_action",
    "link_action",
    "monitor_fires",
    "overdue",
    "prove_action",
    "put_next",
    "restore_action",
    "take_action",
    "tell_overdue",
    "versions_of",
]

T = TypeVar("T")

_History = tuple[list[Monitor], dict[str, str], int, NDArray[np.float64], NDArray[np.float64]]

Prover = Callable[[ActionItem, int], Proof]
"""Runs the test of an item at a time (microseconds); the stage that can is not known here, so the wiring supplies it."""

ATTEMPTS = 3
"""How often a change is tried again when somebody writes the same record at the same time."""

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
WEEK_US = 7 * DAY_US

AGAIN_US = DAY_US // 24
"""When it is told again where no channel took it."""

SEND_S = 10.0
LEARN_DAYS = 28


def actions_of(ledger: Ledger, incident_id: str | None = None) -> list[ActionItem]:
    """All actions (of one incident): what was proposed, and what people decided about it.

    Proposals are those of the latest draft; where a postmortem is published, what it proposes under an id stays that.
    """
    kept = [i for i in ledger.all(ActionItem) if incident_id in (None, i.incident)]
    if incident_id is None:
        known = catalogue_of(ledger)
        drafts, published = list(known.drafts().values()), list(known.published().values())
    else:
        one, two = ledger.get(Postmortem, incident_id), ledger.get(Published, incident_id)
        drafts, published = [one] if one else [], [two.postmortem] if two else []
    proposals = {item.id: item for p in (*drafts, *published) for item in p.actions}
    return list(merged(list(proposals.values()), kept))


def find_action(ledger: Ledger, action_id: str) -> ActionItem:
    """The action with this id, proposed or decided.

    Raises:
        InputError: there is none; the message lists those of the same incident.
    """
    known = ledger.get(ActionItem, action_id)
    if known is not None:
        return known
    near = actions_of(ledger, action_id.rpartition("-")[0]) or actions_of(ledger)
    found = next((i for i in near if i.id == action_id), None)
    if found is None:
        told = ", ".join(i.id for i in near[:20]) or "none yet"
        raise InputError(f"there is no action {quoted(action_id)}; there are: {told}")
    return found


def take_action(
    ledger: Ledger,
    action_id: str,
    *,
    owner: str,
    due_us: int | None = None,
    criterion: Criterion | None = None,
    now_us: int,
    by: str,
) -> ActionItem:
    """Make a proposal somebody's commitment (or give a commitment another owner, date or test).

    Due in 15 days for P1, else in 30, from when it is taken, unless `due_us` says otherwise; an owner that changes later
    changes no date.

    Raises:
        InputError: there is no such action, no owner, no test, or the date is past.
        StateError: it is done or dropped, or somebody wrote it at the same moment.
    """

    def taken(item: ActionItem) -> ActionItem:
        until = due_us or (item.due_us if item.state == "open" else _due(ledger, item.incident, now_us))
        return actions.take(item, owner=owner, due_us=until, now_us=now_us, criterion=criterion)

    return _change(ledger, action_id, taken, now_us=now_us, by=by)


def add_action(
    ledger: Ledger,
    incident: Incident,
    title: str,
    *,
    kind: Kind,
    owner: str,
    criterion: Criterion,
    due_us: int | None = None,
    now_us: int,
    by: str,
) -> ActionItem:
    """Add an action that nobody proposed; it is a commitment at once.

    Raises:
        InputError: see `andon.postmortems.actions.add`.
        StateError: somebody added one at the same moment.
    """
    known = {i.id for i in actions_of(ledger, incident.id)}
    until = due_us or due_after(incident.severity, now_us)
    item = actions.add(
        incident.id, known, title=title, kind=kind, owner=owner, criterion=criterion, due_us=until, now_us=now_us
    )
    put_next(ledger, None, item, now_us=now_us, by=by)
    return item


def prove_action(ledger: Ledger, action_id: str, provers: Mapping[str, Prover], *, now_us: int, by: str) -> ActionItem:
    """Run the test of an action and record what came of it; only a proof that is met closes the action.

    Args:
        ledger: where actions are kept.
        action_id: the action.
        provers: kind of criterion -> the function that tests it.
        now_us: the clock.
        by: who asks for the test.

    Raises:
        InputError: there is no such action.
        StateError: it is a proposal, was dropped, or has no test.
    """
    item = find_action(ledger, action_id)
    actions.prove(item, Proof(met=None, text="", at_us=now_us))  # refused before a test that may take minutes
    if item.criterion is None:
        raise StateError(
            f"{item.id} has no test; give it one", commands=f"`andon action take {item.id} --criterion ...`"
        )
    prover = provers.get(item.criterion.kind)
    if prover is None:
        proof = Proof(met=None, text=f"nothing here can test “{item.criterion.kind}”", at_us=now_us)
    else:
        proof = prover(item, now_us)
    proof = replace(proof, by=by)
    return _change(ledger, action_id, lambda known: actions.prove(known, proof), now_us=now_us, by=by)


def drop_action(ledger: Ledger, action_id: str, why: str, *, now_us: int, by: str) -> ActionItem:
    """Give an action up, with the reason.

    Raises:
        InputError: there is no such action, or no reason.
        StateError: it is done.
    """
    return _change(ledger, action_id, lambda item: actions.drop(item, why), now_us=now_us, by=by)


def restore_action(ledger: Ledger, action_id: str, *, now_us: int, by: str) -> ActionItem:
    """Take back that an action was dropped.

    Raises:
        InputError: there is no such action.
        StateError: it was not dropped.
    """
    return _change(ledger, action_id, actions.restore, now_us=now_us, by=by)


def give_back_action(ledger: Ledger, action_id: str, *, now_us: int, by: str) -> ActionItem:
    """Make a commitment a proposal again.

    Raises:
        InputError: there is no such action.
        StateError: it is no open commitment, or somebody has gone on with it.
    """
    return _change(ledger, action_id, actions.give_back, now_us=now_us, by=by)


def link_action(ledger: Ledger, action_id: str, link: str, *, now_us: int, by: str) -> ActionItem:
    """Say where the team tracks an action.

    Raises:
        InputError: there is no such action, or the link is no http(s) address.
        StateError: nobody has taken it.
    """
    return _change(ledger, action_id, lambda item: actions.link_to(item, link.strip()), now_us=now_us, by=by)


def versions_of(ledger: Ledger, action_id: str) -> list[Versioned[ActionItem]]:
    """Everything that was ever recorded about an action, the first one first; nothing of a proposal that nobody decided on."""
    return ledger.history(ActionItem, action_id)


def claim_action(ledger: Ledger, action_id: str, *, said: str, link: str = "", now_us: int, by: str) -> ActionItem:
    """Record that somebody says elsewhere that an action is done; it stays open until it is proved.

    Raises:
        InputError: there is no such action, or the link is none.
        StateError: the action is not open.
    """
    return _change(ledger, action_id, lambda item: actions.claim(item, said=said, link=link), now_us=now_us, by=by)


def overdue(ledger: Ledger, now_us: int) -> tuple[ActionItem, ...]:
    """Commitments that are overdue, the longest first."""
    return nags(ledger.all(ActionItem), now_us)


def tell_overdue(ledger: Ledger, channels: Sequence[Channel], *, now_us: int) -> int:
    """Tell every channel of overdue actions, each owner's once a week; returns how many messages were sent.

    It is written down before it is sent, so that no other process and no later start tells it again; where no channel took it, it
    is sent again an hour later.
    """
    items = overdue(ledger, now_us) if channels else ()
    due = []
    for owner in dict.fromkeys(i.owner or "nobody" for i in items):
        told = ledger.get(Nagged, owner)
        if told is not None and now_us < (told.again_us or told.at_us + WEEK_US):
            continue
        theirs = [i for i in items if (i.owner or "nobody") == owner]
        try:
            new = Nagged(id=owner, at_us=now_us, items=tuple(i.id for i in theirs))
            put_next(ledger, told, new, now_us=now_us, by="andon")
        except StateError:  # another process tells it
            continue
        due += theirs
    if not due:
        return 0
    message, outcomes = nag_message(due, now_us), list[str]()
    senders = [threading.Thread(target=lambda c=c: outcomes.append(send(c, message)[0]), daemon=True) for c in channels]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(SEND_S / len(senders))
    if outcomes == ["failed"] * len(senders):  # it arrived nowhere
        for owner in dict.fromkeys(i.owner or "nobody" for i in due):
            told = ledger.get(Nagged, owner)
            if told is not None and told.at_us == now_us:
                put_next(ledger, told, replace(told, again_us=now_us + AGAIN_US), now_us=now_us, by="andon")
        return 0
    return len(senders)


def commitments_of(ledger: Ledger) -> list[Commitment]:
    """Every action that was ever taken, with when it was taken and first proved."""
    taken: dict[str, Commitment] = {}
    for version in ledger.history(ActionItem):
        item = version.record
        known = taken.get(item.id)
        if known is None and item.state == "proposed":
            continue
        proof = item.proof.at_us if item.proof is not None and item.proof.met else None
        first = known.proved_us if known is not None and known.proved_us is not None else proof
        taken[item.id] = Commitment(item=item, taken_us=known.taken_us if known else version.at_us, proved_us=first)
    return list(taken.values())


def monitor_fires(
    warehouse: Warehouse,
    ledger: Ledger,
    scorers: Sequence[Scorer],
    *,
    objectives: Sequence[Objective] = (),
    rules: Sequence[MonitorRule] = (),
    false_pages_per_month: float = 1.0,
) -> Prover:
    """The test of ``monitor fires``: the incident's traffic is replayed through the charts as they are set now.

    The baseline is learned from the hours before the onset (at most 28 days), all charts share the budget of false pages,
    and the monitor must signal between the onset and the end of the incident. A limit that people set (an objective) and
    traffic itself have no such baseline: they run hour by hour, as in service. Cannot tell where the traffic of that time is
    not kept any more, or where too little was observed before the onset.
    """

    def test(item: ActionItem, now_us: int) -> Proof:
        incident = ledger.get(Incident, item.incident)
        if incident is None or item.criterion is None:
            return Proof(met=None, text=f"there is no incident {item.incident}", at_us=now_us)
        end_us = (incident.closed_us or max(incident.last_signal_us, incident.alarmed_us)) + DAY_US
        span = Span(start_us=incident.onset_low_us - LEARN_DAYS * DAY_US, end_us=min(end_us, now_us))
        try:
            history = history_of(warehouse, scorers, objectives=objectives, rules=rules, span=span)
        except AndonError as error:
            return Proof(met=None, text=f"the incident's traffic cannot be replayed: {error}", at_us=now_us)
        met, text = _fires(item.criterion.subject, incident, history, false_pages_per_month)
        return Proof(met=met, text=text, at_us=now_us)

    return test


def _fires(
    subject: str, incident: Incident, history: _History, false_pages_per_month: float
) -> tuple[bool | None, str]:
    """Whether a monitor signals in a replay of an incident, and what happened in it."""
    monitors, kinds, first, n, x = history
    learn = incident.onset_low_us // HOUR_US - first
    if learn < LEAST_HOURS or learn >= len(n):
        return None, (
            f"{max(0, learn)} hours of traffic from before the onset are kept and {max(0, len(n) - learn)} from after it; "
            f"{LEAST_HOURS} before and one after are needed"
        )
    ours = [at for at, m in enumerate(monitors) if names(subject, m.id)]
    if not ours:
        return False, f"no chart {quoted(subject, 120)} watches this traffic as the settings are now"
    running = [at for at in ours if monitors[at].metric == TRAFFIC or monitors[at].at_most is not None]
    learned = {at for at in ours if at not in running and n[:learn, at].sum() >= LEAST_N}
    if not running and not learned:
        return None, f"{quoted(subject, 120)} had fewer than {LEAST_N} observations before the onset"
    ends = _ends(running, history, false_pages_per_month) if running else []
    if learned:
        setting = Setting(false_pages_per_month=false_pages_per_month)
        ((hours, series),) = alarms_of(monitors, kinds, n, x, first, learn, [setting])
        ends += [(int(h) + 1) * HOUR_US for h, at in zip(hours.tolist(), series.tolist(), strict=True) if at in learned]
    told = min((end for end in ends if end > incident.onset_low_us), default=None)
    how = f"replayed at {false_pages_per_month:g} false pages a month, learned from {learn} hours, watched {len(n) - learn}"
    if told is None:
        return False, f"{quoted(subject, 120)} did not signal; {how}"
    lag = since_onset(incident, max(told, incident.onset_us))
    return True, f"{quoted(subject, 120)} signals at {format_time(told)}, {lag} after the onset; {how}"


def _ends(running: Sequence[int], history: _History, false_pages_per_month: float) -> list[int]:
    """When charts of objectives and of traffic signal that run as in service: ends of hours, in order.

    Beside an objective runs the chart that learns how much hours vary; it tells nothing.
    """
    monitors, kinds, first, n, x = history
    columns: dict[Monitor, int] = {}
    for at in running:
        beside = replace(monitors[at], objective="", at_most=None)
        columns |= {beside: at, monitors[at]: at}
    ours = [monitors[at] for at in running]
    budget = false_pages_per_month * len(ours) / len(monitors)
    charts = Charts(HOUR_US, budget, kinds, {(m.metric, m.direction): "availability" for m in ours})
    for monitor in columns:
        charts.index(monitor, quiet=monitor not in ours)
    taken = list(columns.values())
    return [s.at_us for s in charts.advance(first, n[:, taken], x[:, taken]) if s.statistic >= s.threshold]


def put_next(ledger: Ledger, old: T | None, new: T, *, now_us: int, by: str) -> None:
    """Write the next version of a record if `old` is still the latest one (None: if there is none yet).

    Raises:
        StateError: somebody wrote another version meanwhile.
    """
    record_id: str = new.id  # type: ignore[attr-defined]
    known = ledger.latest(type(new), record_id)
    if (known.record if known else None) != old:
        raise StateError(f"{record_id} was changed by {known.by if known else 'nobody'} meanwhile; read it again")
    ledger.put(new, now_us=now_us, by=by, expect=known.version if known else 0)


def _change(
    ledger: Ledger, action_id: str, change: Callable[[ActionItem], ActionItem], *, now_us: int, by: str
) -> ActionItem:
    for attempt in range(ATTEMPTS):
        known = ledger.get(ActionItem, action_id)
        new = change(known or find_action(ledger, action_id))
        try:
            put_next(ledger, known, new, now_us=now_us, by=by)
        except StateError:
            if attempt == ATTEMPTS - 1:
                raise
            continue
        return new
    raise AssertionError("the last attempt returns or raises")


def _due(ledger: Ledger, incident_id: str, now_us: int) -> int:
    incident = ledger.get(Incident, incident_id)
    return due_after(incident.severity if incident else "", now_us)
