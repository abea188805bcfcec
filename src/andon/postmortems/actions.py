"""Action items: proposals become commitments, commitments end by proof, what is overdue nags. Pure."""

import re
import shlex
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal, get_args

from andon.errors import InputError, StateError
from andon.incidents import Message, duration, neutral
from andon.postmortems.records import ActionItem, Criterion, Proof
from andon.traffic import format_time, quoted

__all__ = [
    "DUE_DAYS",
    "KINDS",
    "SOME_LEVER",
    "SOME_MONITOR",
    "SOME_VERSION",
    "Commitment",
    "Kind",
    "add",
    "claim",
    "criterion_of",
    "drop",
    "due_after",
    "give_back",
    "link_to",
    "merged",
    "nag_message",
    "nags",
    "prove",
    "restore",
    "state_text",
    "steps_of",
    "take",
    "unnamed",
]

Kind = Literal["prevent", "detect", "mitigate", "process"]
KINDS: tuple[Kind, ...] = get_args(Kind)

DUE_DAYS = {"P1": 15, "P2": 30, "P3": 30}
"""Days in which an action is due, by the severity of its incident."""

DAY_US = 86_400_000_000

MOST_TIMES = 100
MOST_TOLD = 10

SOME_LEVER, SOME_VERSION = "that is still to be named", "the version of "
SOME_MONITOR = "a monitor that is still to be named"
"""What a proposal says in place of a name that only people know: a lever, the target of a version (with the incident behind
it), a monitor. Nothing could prove such an item done, so it is named when somebody takes it."""

_FORMS = {
    "case passes": "case passes G-123 x5",
    "monitor fires": "monitor fires shop/production/refusal.up/all",
    "gate blocks": "gate blocks https://staging.example/chat",
    "lever exists": "lever exists strict-citations",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitment:
    """An action that somebody took, and when."""

    item: ActionItem
    """As it is now."""
    taken_us: int
    proved_us: int | None = None
    """When it was first proved done; None: it was not."""


def due_after(severity: str, now_us: int) -> int:
    """When an action that is taken now is due, by the severity of its incident."""
    return now_us + DUE_DAYS.get(severity, max(DUE_DAYS.values())) * DAY_US


def criterion_of(text: str) -> Criterion:
    """The criterion that a text states: a kind, a subject, and for cases how many runs in a row (``x5``; 1 unless said).

    Raises:
        InputError: it states none; the message shows the four forms.
    """
    words = " ".join(text.split())
    for kind in _FORMS:
        if words.casefold().startswith(f"{kind} "):
            subject, times = words[len(kind) + 1 :], 1
            if kind == "case passes" and (found := re.fullmatch(r"(.+) x([0-9]{1,6})", subject)):
                subject, times = found[1], int(found[2])
            if not 1 <= times <= MOST_TIMES:
                raise InputError(f"x{times} runs in a row are asked for; 1 to {MOST_TIMES} are allowed")
            return Criterion(kind=kind, subject=subject, times=times)  # type: ignore[arg-type]
    raise InputError(f"{quoted(text, 120)} is no test that Andon can run; the forms are: {'; '.join(_FORMS.values())}")


def take(item: ActionItem, *, owner: str, due_us: int, now_us: int, criterion: Criterion | None = None) -> ActionItem:
    """The item as somebody's commitment; one that was taken before gets another owner, date or test.

    Raises:
        StateError: it is done or dropped.
        InputError: nobody is named, the date is past, or there is no test by which it could be closed: none at all, or one
            that does not yet say of which lever, version or monitor.
    """
    if item.state in ("done", "dropped"):
        raise StateError(
            f"{item.id} is {item.state}; add another one", commands=f"`andon action add {item.incident} ...`"
        )
    _check(owner, due_us, now_us)
    test = criterion or item.criterion
    if test is None:
        raise InputError(f"{item.id} has no test that would prove it done; give it one", commands="--criterion TEST")
    if missing := unnamed(test):
        raise InputError(f"nothing could prove {item.id} done before it is said {missing[0]}", commands=missing[1])
    proof = item.proof if test == item.criterion else None  # of another test
    return replace(item, owner=owner.strip(), due_us=due_us, criterion=test, state="open", proof=proof)


def add(
    incident: str,
    known: Collection[str],
    *,
    title: str,
    kind: Kind,
    owner: str,
    criterion: Criterion,
    due_us: int,
    now_us: int,
) -> ActionItem:
    """An action that a person thought of, taken at once; its id has a B where those of proposals have an A.

    Args:
        incident: id of the incident.
        known: ids of all actions of this incident.
        title: what shall be done.
        kind: what it is for.
        owner: who sees to it.
        criterion: the test that proves it done.
        due_us: until when.
        now_us: the clock.

    Raises:
        InputError: it has no title, another kind, nobody is named, the date is past, or its test names nothing.
    """
    if not title.strip():
        raise InputError("say what shall be done: an action needs a title")
    if kind not in KINDS:
        raise InputError(f"{quoted(kind)} is no kind of action; {', '.join(KINDS)} are")
    _check(owner, due_us, now_us)
    if missing := unnamed(criterion):
        raise InputError(f"nothing could prove this done before it is said {missing[0]}", commands=missing[1])
    number = next(n for n in range(1, len(known) + 2) if f"{incident}-B{n}" not in known)
    return ActionItem(
        id=f"{incident}-B{number}",
        incident=incident,
        kind=kind,
        title=" ".join(title.split()),
        criterion=criterion,
        due_us=due_us,
        owner=owner.strip(),
        state="open",
    )


def prove(item: ActionItem, proof: Proof) -> ActionItem:
    """The item after its test was run. Only a met proof closes it; one that fails later opens it again.

    Raises:
        StateError: it is a proposal, or was dropped.
    """
    if item.state == "proposed":
        raise StateError(
            f"nobody has taken {item.id}; take it first, which makes it a commitment",
            commands=f"`andon action take {item.id} --owner NAME`",
        )
    if item.state == "dropped":
        raise StateError(f"{item.id} was dropped ({item.why}); nothing is to be proved")
    if proof.met is None and item.state == "done":
        return item  # what was proved stands until a test says otherwise
    return replace(item, proof=proof, state="done" if proof.met else "open")


def drop(item: ActionItem, why: str) -> ActionItem:
    """The item given up, with the reason.

    Raises:
        StateError: it is done.
        InputError: no reason was given.
    """
    if item.state == "done":
        raise StateError(f"{item.id} is done and proved; it cannot be dropped")
    if not why.strip():
        raise InputError(f"say why {item.id} is not worth doing any more: it will be read when the incident comes back")
    return replace(item, state="dropped", why=why.strip())


def restore(item: ActionItem) -> ActionItem:
    """A dropped item as it was: its owner's, or a proposal where it had none.

    Raises:
        StateError: it was not dropped.
    """
    if item.state != "dropped":
        raise StateError(f"{item.id} is {item.state}; only a dropped action can be restored")
    return replace(item, state="open" if item.owner else "proposed", why="")


def give_back(item: ActionItem) -> ActionItem:
    """A commitment as a proposal again, which is nobody's.

    Raises:
        StateError: it is no open commitment, or somebody has gone on with it: tested it, or said that it is done.
    """
    if item.state != "open":
        raise StateError(f"{item.id} is {item.state}; only an open action can be given back")
    if item.proof is not None or item.claimed:
        raise StateError(f"somebody has worked on {item.id} already; give it another owner, or drop it with the reason")
    return replace(item, state="proposed", owner=None)


def link_to(item: ActionItem, link: str) -> ActionItem:
    """The item with the address where the team tracks it; an empty one takes it out.

    Raises:
        StateError: nobody has taken it.
        InputError: the link is no http(s) address.
    """
    if item.state == "proposed":
        raise StateError(f"nobody has taken {item.id}; a ticket is for a commitment")
    _check_link(link)
    return replace(item, link=link)


def claim(item: ActionItem, *, said: str, link: str = "") -> ActionItem:
    """The item with somebody's word that it is done: proof is asked for, nothing is closed.

    Raises:
        StateError: it is a proposal, done or dropped.
        InputError: the link is no http(s) address.
    """
    if item.state != "open":
        raise StateError(f"{item.id} is {item.state}; only an open action can be claimed done")
    _check_link(link)
    return replace(item, claimed=said, link=link or item.link)


def merged(proposals: Sequence[ActionItem], kept: Iterable[ActionItem]) -> tuple[ActionItem, ...]:
    """What was proposed and what was decided, as one list: a decision replaces the proposal of the same id.

    Proposals are made anew with every draft; decisions (taken, added, dropped) stand in the ledger and are never lost.
    """
    decided = {item.id: item for item in kept}
    both = [decided.pop(p.id, p) for p in proposals]
    return (*both, *sorted(decided.values(), key=lambda i: _order(i.id)))


def nags(items: Iterable[ActionItem], now_us: int) -> tuple[ActionItem, ...]:
    """Commitments that are overdue, the longest first."""
    return tuple(sorted((i for i in items if i.state == "open" and i.due_us < now_us), key=lambda i: (i.due_us, i.id)))


def nag_message(items: Sequence[ActionItem], now_us: int) -> Message:
    """What people are told about overdue actions, by owner; harmless for chat, mail and terminals."""
    count = len(items)
    title = f"{count} action{'' if count == 1 else 's'} overdue, the first since {_day(min(i.due_us for i in items))}"
    by_owner = sorted(items, key=lambda i: (i.owner or "", i.due_us, i.id))
    lines = []
    for owner, theirs in groupby(by_owner, key=lambda i: i.owner or ""):
        mine = list(theirs)
        lines += [f"{neutral(owner, 60)}: {_nag(i, now_us)}" for i in mine[:MOST_TOLD]]
        if len(mine) > MOST_TOLD:
            lines.append(f"{neutral(owner, 60)}: and {len(mine) - MOST_TOLD} more")
    lines.append("An action is closed by its proof (andon action prove ID), not by a ticket.")
    return Message(
        title=title, text="\n".join(lines), markdown="\n\n".join(lines), tone="note", about="andon-actions-overdue"
    )


def state_text(item: ActionItem, now_us: int) -> str:
    """Where an item stands, in words."""
    if item.state == "done" and item.proof is not None:
        return f"proved {_day(item.proof.at_us)}"
    if item.state != "open":
        return item.state
    late = f"overdue by {duration((now_us - item.due_us) / 1e6)}" if item.due_us < now_us else "open"
    tested = "" if item.proof is None else ", test not met" if item.proof.met is False else ", test could not tell"
    return f"{late}{', claimed but not proved' if item.claimed else ''}{tested}"


def steps_of(item: ActionItem) -> tuple[str, ...]:
    """The way to the proof of an item, as commands in their order; what stands in capitals only people know.

    Empty where nothing is left to prove: it is done, or was dropped.
    """
    if item.state in ("done", "dropped"):
        return ()
    test, steps = item.criterion, []
    missing = ("by which test", "--criterion TEST") if test is None else unnamed(test)
    if item.state == "proposed" or missing:
        steps.append(
            f"andon action take {item.id} --owner NAME" + (f", and say {missing[0]}: {missing[1]}" if missing else "")
        )
    if test is not None:
        steps += _ways(test, item.incident)
    return (*steps, f"andon action prove {item.id}")


def _ways(test: Criterion, incident: str) -> list[str]:
    """What is to be done before a test can be met."""
    times = "once" if test.times == 1 else f"{test.times} times"
    key = "KEY" if test.subject == SOME_LEVER else shlex.quote(test.subject)
    ways = {
        "case passes": [f"andon eval run --target TARGET, {times}, on the system that is to be right"],
        "gate blocks": ["andon gate --target TARGET, on the bad version: it must fail"],
        "lever exists": [
            f"andon lever declare {key} --default VALUE --safe VALUE",
            f"andon lever hold {key} --why drill --for 10m",
        ],
        "monitor fires": [
            "keep the traffic of the incident: the proof replays it through the charts as they are set now"
        ],
    }[test.kind]
    if test.subject == f"cases of {incident}":
        return ["andon golden label", "andon golden add", *ways]
    if test.subject == SOME_MONITOR:
        return [
            f"andon monitor add METRIC --at-most RATE; `andon investigate {incident}` prints limits that were replayed",
            *ways,
        ]
    return ways


def _nag(item: ActionItem, now_us: int) -> str:
    late = duration((now_us - item.due_us) / 1e6)
    said = "; claimed done, not proved" if item.claimed else ""
    test = f" Done when: {neutral(item.criterion.text, 160)}." if item.criterion else ""
    return f"{item.id}, overdue by {late}{said}: {neutral(item.title, 160)}.{test}"


def _check(owner: str, due_us: int, now_us: int) -> None:
    if not owner.strip():
        raise InputError("an action needs an owner: the one person who sees to it")
    if due_us <= now_us:
        raise InputError(f"{format_time(due_us)} is past; an action is due in the future")


def _check_link(link: str) -> None:
    if link and not re.fullmatch(r"https?://[^\s<>\"]+", link):
        raise InputError(f"{quoted(link, 120)} is no http(s) address of a ticket")


def unnamed(test: Criterion) -> tuple[str, str] | None:
    """What a test leaves open that only people know, and how it is said at the command line; None where it names everything."""
    if test.kind == "lever exists" and test.subject == SOME_LEVER:
        return (
            "which lever, by its key",
            '--criterion "lever exists KEY"; `andon lever list` shows those that are declared',
        )
    if test.kind == "gate blocks" and test.subject.casefold().startswith(SOME_VERSION):
        return (
            "which version is the bad one, by a word of the name of its target",
            '--criterion "gate blocks TARGET"',
        )
    if test.kind == "monitor fires" and test.subject == SOME_MONITOR:
        return (
            "which monitor, by its id: APP/ENVIRONMENT/METRIC.up/PART, with PART = all or field=value, and /objective=* behind it "
            "for a limit",
            '--criterion "monitor fires ID"',
        )
    return None


def _order(item_id: str) -> tuple[str, int]:
    head = item_id.rstrip("0123456789")
    return head, int(item_id[len(head) :] or 0)


def _day(us: int) -> str:
    return format_time(us)[:10]
