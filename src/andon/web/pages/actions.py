"""Actions: what shall be done, whose it is, and the proof that it was. Nothing here closes one but its test."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from andon.errors import StateError
from andon.incidents import Incident, duration
from andon.incidents.run import find_incident
from andon.incidents.words import phrase_of
from andon.levers import Lever
from andon.postmortems.actions import KINDS, criterion_of, nags, prove, state_text, steps_of, unnamed
from andon.postmortems.escaping import inert
from andon.postmortems.records import ActionItem, Criterion, Postmortem, Proof
from andon.postmortems.run import actions as stage
from andon.postmortems.tracking import steps_taken
from andon.traffic import format_time
from andon.web.asking import Ask, Done, Gone, Page, Undo
from andon.web.pages.postmortems_read import errands_about
from andon.web.routing import Pages
from andon.web.tables import Cell, Column, Table

__all__ = ["pages"]

pages = Pages()
A_PAGE, MOST = 50, 10_000
TESTS = {
    "case passes": "golden cases pass so many runs in a row",
    "monitor fires": "a monitor signals when the incident's traffic is replayed",
    "gate blocks": "the gate fails on a bad version",
    "lever exists": "a lever has a safe value and was pulled in a drill",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One way to look at the actions."""

    title: str
    fits: Callable[[ActionItem, Ask], bool]


def _late(item: ActionItem, ask: Ask) -> bool:
    return item.state == "open" and item.due_us < ask.now_us


VIEWS: Mapping[str, View] = {
    "": View(title="to do", fits=lambda i, _: i.state in ("open", "proposed")),
    "overdue": View(title="overdue", fits=_late),
    "mine": View(title="mine", fits=lambda i, ask: i.owner == ask.by and i.state == "open"),
    "open": View(title="taken", fits=lambda i, _: i.state == "open"),
    "proposed": View(title="proposed", fits=lambda i, _: i.state == "proposed"),
    "claimed": View(title="claimed", fits=lambda i, _: i.state == "open" and bool(i.claimed)),
    "done": View(title="done", fits=lambda i, _: i.state == "done"),
    "dropped": View(title="dropped", fits=lambda i, _: i.state == "dropped"),
    "all": View(title="all", fits=lambda _, __: True),
}


@pages.read("/actions")
def actions(ask: Ask) -> Page:
    """All of them, what is overdue first."""
    everything = stage.actions_of(ask.ledger)
    asked = {name: ask.query.get(name, "").strip() for name in ("state", "owner", "incident", "kind")}
    view = asked["state"] if asked["state"] in VIEWS else ""
    near = [
        i for i in everything if all(not asked[k] or getattr(i, k) == asked[k] for k in ("owner", "incident", "kind"))
    ]
    fitting = sorted((i for i in near if VIEWS[view].fits(i, ask)), key=lambda i: _order(i, ask))
    page = int(n) if (n := ask.query.get("page", "")).isdecimal() and len(n) < 6 else 0
    shown = fitting[:MOST] if ask.exporting else fitting[page * A_PAGE : (page + 1) * A_PAGE]
    table = _table(shown, ask, view)
    return Page(
        template="actions/actions.html",
        title="Actions",
        tables=[table],
        context={
            "table_of": table, "late": nags(near, ask.now_us), "proposed": sum(i.state == "proposed" for i in near),
            "counts": [(k, v.title, sum(v.fits(i, ask) for i in near)) for k, v in VIEWS.items()], "view": view, "asked": asked,
            "owners": sorted({i.owner for i in everything if i.owner}), "incidents": sorted({i.incident for i in everything}, reverse=True),
            "kinds": KINDS, "tests": TESTS, "number": page, "more": len(fitting) > (page + 1) * A_PAGE, "fitting": len(fitting),
            "filtered": any(asked[k] for k in ("owner", "incident", "kind")), "everything": len(everything),
            "subjects": _subjects(ask, None), "every": [i.id for i in ask.ledger.all(Incident)][-50:],
        },
    )  # fmt: skip


@pages.read("/actions/{id}")
def action(ask: Ask, id: str) -> Page:  # noqa: A002 - named so in the path
    """One action: the test that proves it, and what was done about it."""
    item = _found(ask, id)
    versions = [(v.record, v.at_us, v.by) for v in stage.versions_of(ask.ledger, id)]
    steps = steps_taken(versions)
    incident = ask.ledger.get(Incident, item.incident)
    return Page(
        template="actions/action.html",
        title=f"Action {id}",
        tables=[_history(steps)],
        markdown=lambda: _markdown(item, ask.now_us),
        context={
            "item": item, "incident": incident, "steps": list(reversed(steps)), "words": state_text(item, ask.now_us),
            "late": _late(item, ask), "commands": steps_of(item), "tests": TESTS, "errand": errands_about(ask, id, "prove"),
            "done_when": item.criterion and _done_when(item.criterion), "unnamed": item.criterion is not None and unnamed(item.criterion), "drafted": ask.ledger.latest(Postmortem, item.incident),
            "subjects": _subjects(ask, item), "ways": _ways(item), "due_in": duration(abs(item.due_us - ask.now_us) / 1e6),
            "read": _read_key(item), "shown_by": _day_field(ask, item) if item.state == "open" and not _late(item, ask) else "", "tested": [s for s in steps if s.proof is not None],
        },
    )  # fmt: skip


@pages.act("/actions", role="reviewer")
def add(ask: Ask) -> Done:
    """Add an action that nobody proposed; it is a commitment at once."""
    item = stage.add_action(
        ask.ledger, find_incident(ask.ledger, ask.given("incident", "the incident")), ask.given("title", "what shall be done"),
        kind=ask.given("kind", "the kind"), owner=ask.maybe("owner") or ask.by,  # type: ignore[arg-type]
        criterion=_criterion(ask), due_us=ask.time_us("due"), now_us=ask.now_us, by=ask.by,
    )  # fmt: skip
    return Done(to=f"/actions/{item.id}", said=f"{item.id} is {item.owner}'s.")


@pages.act("/actions/{id}/take", role="reviewer")
def take(ask: Ask, id: str) -> Done:  # noqa: A002
    """Make it somebody's commitment, or give it another owner, date or test."""
    before = _found(ask, id)
    _unchanged(ask, before)
    owner = ask.maybe("owner") or ask.by
    same = before.state == "open" and ask.maybe("due") == _day_field(ask, before)  # the field shows no seconds
    test = _criterion(ask) if ask.maybe("subject") else None
    item = stage.take_action(
        ask.ledger,
        id,
        owner=owner,
        due_us=None if same else ask.time_us("due"),
        criterion=test,
        now_us=ask.now_us,
        by=ask.by,
    )
    if before.state == "proposed":
        return Done(to=f"/actions/{id}", said=f"{id} is {item.owner}'s.", undo=Undo(action=f"/actions/{id}/give-back"))
    fields = {"owner": before.owner or ask.by, "due": _iso(before.due_us) if before.due_us > ask.now_us else ""}
    if before.criterion:
        fields |= {
            "test": before.criterion.kind,
            "subject": before.criterion.subject,
            "times": str(before.criterion.times),
        }
    return Done(to=f"/actions/{id}", said=f"{id} is changed.", undo=Undo(action=f"/actions/{id}/take", fields=fields))


@pages.act("/actions/{id}/give-back", role="reviewer")
def give_back(ask: Ask, id: str) -> Done:  # noqa: A002
    """Make it a proposal again."""
    _found(ask, id)
    item = stage.give_back_action(ask.ledger, id, now_us=ask.now_us, by=ask.by)
    return Done(to=f"/actions/{id}", said=f"{item.id} is nobody's again.")


@pages.act("/actions/{id}/prove", role="reviewer")
def prove_now(ask: Ask, id: str) -> Done:  # noqa: A002
    """Run its test, in a process of its own."""
    prove(_found(ask, id), Proof(met=None, text="", at_us=ask.now_us))  # refused at once where nothing is to be proved
    ask.site.errands.ask("prove", by=ask.by, action=id)
    return Done(to=f"/actions/{id}", said="The test runs. This page says what came of it.")


@pages.act("/actions/{id}/drop", role="reviewer")
def drop(ask: Ask, id: str) -> Done:  # noqa: A002
    """Give it up, with the reason."""
    _found(ask, id)
    item = stage.drop_action(ask.ledger, id, ask.given("why", "the reason"), now_us=ask.now_us, by=ask.by)
    return Done(to=f"/actions/{id}", said=f"{item.id} is dropped.", undo=Undo(action=f"/actions/{id}/restore"))


@pages.act("/actions/{id}/restore", role="reviewer")
def restore(ask: Ask, id: str) -> Done:  # noqa: A002
    """Take back that it was dropped."""
    _found(ask, id)
    item = stage.restore_action(ask.ledger, id, now_us=ask.now_us, by=ask.by)
    return Done(to=f"/actions/{id}", said=f"{item.id} is {'open' if item.state == 'open' else 'a proposal'} again.")


@pages.act("/actions/{id}/claim", role="reviewer")
def claim(ask: Ask, id: str) -> Done:  # noqa: A002
    """Say that it is done elsewhere; the proof is asked for, nothing is closed."""
    _found(ask, id)
    said = ask.maybe("said") or f"{ask.by} says that it is done"
    stage.claim_action(ask.ledger, id, said=said, link=ask.maybe("link") or "", now_us=ask.now_us, by=ask.by)
    return Done(to=f"/actions/{id}", said=f"{id} is claimed done. It stays open until its test is met.")


@pages.act("/actions/{id}/link", role="reviewer")
def link(ask: Ask, id: str) -> Done:  # noqa: A002
    """Say where the team tracks it."""
    before = _found(ask, id).link
    stage.link_action(ask.ledger, id, ask.maybe("link") or "", now_us=ask.now_us, by=ask.by)
    undo = Undo(action=f"/actions/{id}/link", fields={"link": before})
    return Done(
        to=f"/actions/{id}",
        said="Kept where it is tracked." if ask.maybe("link") else "The link is taken out.",
        undo=undo,
    )


def _found(ask: Ask, name: str) -> ActionItem:
    item = next((i for i in stage.actions_of(ask.ledger, name.rpartition("-")[0] or name) if i.id == name), None)
    if item is None:
        raise Gone(f"There is no action {name[:60]!r}", "/actions", "All actions")
    return item


def _unchanged(ask: Ask, item: ActionItem) -> None:
    """Refuse where somebody changed it since the form was shown.

    Raises:
        StateError: they did.
    """
    read = ask.maybe("read")
    if read is not None and read != _read_key(item):
        raise StateError(
            f"{item.id} was changed meanwhile: it is {state_text(item, ask.now_us)}, {item.owner or 'nobody'}'s. Look again, then send yours"
        )


def _read_key(item: ActionItem) -> str:
    """What a form remembers of an action, to see whether somebody changed it meanwhile."""
    test = item.criterion
    return f"{item.state}|{item.owner or ''}|{item.due_us if item.state == 'open' else ''}|{f'{test.kind} {test.subject} x{test.times}' if test else ''}"


def _criterion(ask: Ask) -> Criterion:
    kind, subject, times = (
        ask.given("test", "the kind of test"),
        ask.given("subject", "what the test is of"),
        ask.maybe("times"),
    )
    return criterion_of(f"{kind} {subject}" + (f" x{times}" if kind == "case passes" and times else ""))


def _subjects(ask: Ask, item: ActionItem | None) -> list[str]:
    """What tests are usually of, to choose from."""
    known = [name for _, name in ask.ledger.ids(Lever)]
    if item is not None:
        return [f"cases of {item.incident}", *known]
    return known


def _ways(item: ActionItem) -> list[tuple[str, str]]:
    """Pages that lead to the proof: (path, what is done there)."""
    if item.criterion is None or item.state in ("done", "dropped"):
        return []
    ways = {
        "case passes": [("/labels", "Label what failed"), ("/golden", "See its golden cases"), ("/evals", "Run them")],
        "gate blocks": [("/evals", "Runs of the gate")],
        "lever exists": [("/levers", "Declare it, give it a safe value, hold it once")],
        "monitor fires": [("/monitors", "The monitors and their limits")],
    }
    return ways[item.criterion.kind]


def _order(item: ActionItem, ask: Ask) -> tuple[int, int, str]:
    """Overdue, open, proposed, done, dropped; the first due first, of what is over the newest."""
    rank = {"open": 0 if _late(item, ask) else 1, "proposed": 2, "done": 3, "dropped": 4}[item.state]
    return rank, item.due_us if rank < 3 else -item.due_us, item.id


def _table(items: Sequence[ActionItem], ask: Ask, view: str) -> Table:
    columns = (
        Column(key="action", title="action", kind="code"), Column(key="title", title="what", wide=True),
        Column(key="state", title="state"), Column(key="owner", title="owner"), Column(key="due", title="due", kind="time"),
        Column(key="done_when", title="done when"), Column(key="kind", title="kind"),
    )  # fmt: skip
    rows = [_row(i, ask) for i in items]
    empty = {
        "": "Nothing is to do. Each postmortem proposes actions with a test that proves them; what people take stands here until that test is met.",
        "overdue": "No action is overdue.", "mine": "Nothing is yours. Take a proposal: an action without an owner is a wish.",
        "claimed": "Nobody has claimed anything that is not proved.", "done": "No action is proved yet. Only its test makes one done.",
    }.get(view, "No action fits.")  # fmt: skip
    return Table(name="actions", title="Actions", columns=columns, rows=rows, empty=empty)


def _row(item: ActionItem, ask: Ask) -> dict[str, Any]:
    tone = "bad" if _late(item, ask) else {"done": "good", "proposed": "soft", "dropped": "soft"}.get(item.state, "")
    return {
        "_tone": "bad" if _late(item, ask) else "",
        "action": Cell(value=item.id, link=f"/actions/{item.id}"),
        "title": item.title,
        "state": Cell(value=state_text(item, ask.now_us), tone=tone),
        "owner": item.owner or Cell(value="nobody yet", tone="soft"),
        "due": item.due_us if item.state == "open" else None,
        "done_when": _done_when(item.criterion) if item.criterion else "nobody has chosen a test yet",
        "kind": item.kind,
    }


def _done_when(test: Criterion) -> str:
    """The criterion as people say it: a chart by what it counts, not by its id."""
    app, _, counted, part = (*test.subject.split("/", 3), "", "", "")[:4]
    metric, direction = (*counted.split("."), "")[:2]
    if test.kind != "monitor fires" or direction not in ("up", "down") or not part:
        return test.text
    where = "all traffic" if part == "all" else part.replace("=", " ").replace("_", " ")
    return f"the chart of {phrase_of(metric, direction)} in {where} of app {app} signals when the incident's traffic is replayed"


def _history(steps: Sequence[Any]) -> Table:
    columns = (
        Column(key="at", title="when", kind="time"), Column(key="by", title="by"), Column(key="what", title="what", kind="tag"),
        Column(key="met", title="met", kind="mark"), Column(key="text", title="", kind="long"),
    )  # fmt: skip
    rows = [
        {"at": s.at_us, "by": s.by, "what": s.kind, "met": s.proof.met if s.proof else None, "text": s.text}
        for s in steps
    ]
    return Table(name="history", title="What was done about it", columns=columns, rows=rows)


def _markdown(item: ActionItem, now_us: int) -> str:
    lines = [
        f"**{item.id}**: {inert(item.title, 600)}",
        "",
        f"- {inert(state_text(item, now_us))}; {inert(item.owner, blank='nobody yet')}",
    ]
    lines.append(f"- done when {inert(item.criterion.text if item.criterion else 'somebody has chosen a test', 400)}")
    if item.proof is not None:
        lines.append(f"- last test: {inert(item.proof.text, 600)}")
    return "\n".join(lines) + "\n"


def _iso(us: int) -> str:
    return format_time(us)


def _day_field(ask: Ask, item: ActionItem) -> str:
    return f"{datetime.fromtimestamp(item.due_us / 1e6, UTC).astimezone(ask.zone):%Y-%m-%dT%H:%M}"
