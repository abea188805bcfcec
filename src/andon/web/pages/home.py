"""Home: is anything wrong, what is held, what is owed."""

from collections.abc import Sequence
from typing import Any

from andon.evals import EvalRun
from andon.golden.run import growth
from andon.incidents import Incident
from andon.incidents.run import recovery_of
from andon.investigations import Investigation
from andon.levers import Pull, value_text
from andon.monitors import ChartBoard
from andon.postmortems import ActionItem, Published
from andon.rollouts import Allocation
from andon.rollouts.run.standing import decided_experiments
from andon.web.asking import Ask, Page
from andon.web.charts import Stop
from andon.web.pages.first import first_of
from andon.web.pages.health import health_of
from andon.web.pages.incidents_text import next_text
from andon.web.pages.monitors import board_of
from andon.web.routing import Pages
from andon.web.tables import Cell, Column, Table

__all__ = ["pages"]

pages = Pages()
DAY_US = 86_400_000_000
MOST = 8
"""Lines of each list here; the page of its own has all."""


@pages.read("/")
def home(ask: Ask) -> Page:
    """What everybody sees first."""
    incidents = ask.ledger.all(Incident)
    current = sorted(
        (i for i in incidents if i.state != "closed"),
        key=lambda i: (i.stabilised_us is not None, i.severity, -i.alarmed_us),
    )
    held = [p for p in ask.ledger.all(Pull) if p.released_us is None and p.until_us > ask.now_us]
    actions = [a for a in ask.ledger.all(ActionItem) if a.state in ("proposed", "open")]
    late = [a for a in actions if a.state == "open" and a.due_us < ask.now_us]
    grown = growth(ask.ledger, now_us=ask.now_us)
    board = board_of(ask)
    tables = [_held(ask, held), _owed(late)]
    return Page(
        template="home/home.html",
        title=f"{len(current)} open incident{'s' if len(current) != 1 else ''}" if current else "Home",
        tables=[_incidents(current), *tables],
        context={
            "current": [(i, next_text(i, recovery_of(ask.ledger, i))) for i in current[:MOST]],
            "more_incidents": max(0, len(current) - MOST),
            "held": tables[0],
            "owed": tables[1],
            "proposed": sum(a.state == "proposed" for a in actions),
            "growth": grown,
            "stops": _stops(ask, board, incidents, current, held, actions, grown),
            "health": health_of(board, ask.query.get("app", "")) if board is not None else None,
            "decided": [d for d in decided_experiments(ask.ledger, ask.now_us) if d.stands(ask.now_us)],
            "problems": [*ask.site.problems(), *ask.site.warnings()],
            "first": first_of(ask, calm=not incidents),
        },
    )


def _stops(
    ask: Ask, board: ChartBoard | None, incidents: Sequence[Incident], current: Sequence[Incident], held: Sequence[Pull],
    actions: Sequence[ActionItem], grown: Any,
) -> list[Stop]:  # fmt: skip
    """The loop with what each stage holds now, in its order."""
    watching, learning = board.phases if board is not None else (0, 0)
    came = board.came() if board is not None else None
    running = [a for a in ask.ledger.all(Allocation) if a.ended_us is None and a.until_us > ask.now_us]
    harm = sum(i.stabilised_us is None for i in current)
    looked, published = len(ask.ledger.ids(Investigation)), len(ask.ledger.ids(Published))
    late = sum(a.due_us < ask.now_us and a.state == "open" for a in actions)
    runs = len(ask.ledger.ids(EvalRun))
    return [
        Stop(
            title="Traffic", count=_short(ask.site.took_in() if came is None else round(came)),
            note="since the start" if came is None else "in 24 hours", link="/traffic",
        ),
        Stop(title="Monitors", count=_short(watching), note=f"watch, {learning:,} learn", link="/monitors"),
        Stop(
            title="Incidents", count=f"{len(current):,} open", note=f"{harm} not stabilised" if harm else f"of {len(incidents):,}",
            link="/incidents", tone="bad" if harm else "warn" if current else "",
        ),
        Stop(title="Investigations", count=_short(looked), note="looked into", link="/incidents?state=all"),
        Stop(title="Postmortems", count=_short(published), note="published", link="/postmortems"),
        Stop(
            title="Actions", count=f"{len(actions):,} owed", note=f"{late} overdue" if late else "none overdue", link="/actions",
            tone="warn" if late else "",
        ),
        Stop(
            title="Label queue", count=_short(grown.waiting), note="wait for a person", link="/labels",
            tone="warn" if grown.waiting > 100 else "",
        ),
        Stop(title="Golden set", count=_short(grown.tested), note="cases", link="/golden"),
        Stop(title="Eval runs", count=_short(runs), note="against the set", link="/evals"),
        Stop(title="Rollouts", count=f"{len(running):,}", note="running", link="/rollouts"),
        Stop(
            title="Levers", count=f"{len(held):,} held", note="a pull is a change", link="/levers", tone="warn" if held else ""
        ),
    ]  # fmt: skip


def _short(n: int) -> str:
    if n < 10_000:
        return f"{n:,}"
    return f"{n / 1e3:.3g} k" if n < 1_000_000 else f"{n / 1e6:.3g} M"


def _incidents(current: Sequence[Incident]) -> Table:
    columns = (
        Column(key="incident", title="incident", kind="code"), Column(key="severity", title="severity", kind="tag"),
        Column(key="state", title="state", kind="tag"), Column(key="title", title="what is wrong", wide=True),
        Column(key="app", title="app"), Column(key="began", title="began", kind="time"),
        Column(key="alarmed", title="alarmed", kind="time"),
    )  # fmt: skip
    rows = [
        {
            "incident": Cell(value=i.id, link=f"/incidents/{i.id}"), "severity": i.severity, "state": i.state, "title": i.title,
            "app": i.app, "began": i.onset_us, "alarmed": i.alarmed_us,
        }
        for i in current
    ]  # fmt: skip
    return Table(name="incidents", title="Open incidents", columns=columns, rows=rows)


def _held(ask: Ask, held: Sequence[Pull]) -> Table:
    columns = (
        Column(key="lever", title="lever", kind="code"), Column(key="value", title="held at"),
        Column(key="environment", title="where"), Column(key="until", title="until", kind="time"),
        Column(key="why", title="why", wide=True), Column(key="by", title="by"), Column(key="incident", title="incident"),
    )  # fmt: skip
    rows = [
        {
            "lever": Cell(value=p.lever, link=f"/levers/{p.lever}"), "value": value_text(p.value), "environment": p.environment,
            "until": Cell(value=p.until_us, tone="warn" if p.until_us - ask.now_us < DAY_US // 24 else ""), "why": p.why,
            "by": p.by, "incident": Cell(value=p.incident, link=f"/incidents/{p.incident}" if p.incident else ""),
        }
        for p in sorted(held, key=lambda p: p.until_us)
    ]  # fmt: skip
    empty = "No lever is held: your application runs on its own defaults, or on what was promoted."
    return Table(name="held", title="Levers that are held", columns=columns, rows=rows, empty=empty)


def _owed(late: Sequence[ActionItem]) -> Table:
    columns = (
        Column(key="action", title="action", kind="code"), Column(key="title", title="what", wide=True),
        Column(key="owner", title="owner"), Column(key="due", title="due", kind="time"),
    )  # fmt: skip
    rows = [
        {
            "action": Cell(value=a.id, link=f"/actions/{a.id}"), "title": a.title, "owner": a.owner or "nobody",
            "due": Cell(value=a.due_us, tone="bad"),
        }
        for a in sorted(late, key=lambda a: a.due_us)
    ]  # fmt: skip
    return Table(
        name="overdue", title="Actions that are overdue", columns=columns, rows=rows, empty="No action is overdue."
    )
