"""Rollouts: what is being compared in live traffic, what was decided, and what waits."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from andon.rollouts.plan import MOST_DAYS
from andon.rollouts.report import Report, headline, is_over, still_served
from andon.rollouts.run.looking import SETTLE_US, look_times
from andon.rollouts.told import versions_text
from andon.web.asking import Ask, Page
from andon.web.routing import Pages
from andon.web.tables import Cell, Column, Table

__all__ = ["KINDS", "TONES", "Row", "pages", "row_of", "short"]

pages = Pages()
SHOWN = 50
KINDS = {"ab": "A/B test", "canary": "canary", "shadow": "shadow"}
STATES = {"planned": "soft", "running": "good", "decided": "warn", "ended": "soft"}
TONES = {"promote": "good", "roll back": "bad", "hold": "warn", "undecided": "soft"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One experiment in a list."""

    report: Report
    state: str
    """``planned``, ``running``, ``decided`` (and still served) or ``ended``."""
    outcome: str
    """Of its last look; empty where none is taken."""
    said: str
    """Its decision in one sentence."""
    looks: int
    of: int
    """Looks that the plan has; 0 before the start."""
    next_us: int | None
    """When the next look is due; None where none is."""
    share: float | None
    """How much of its time is over."""
    served: bool
    """Whether something must be done about a treatment that harms, or is held, and is still served."""


@pages.read("/rollouts")
def rollouts(ask: Ask) -> Page:
    """All experiments, those that run first."""
    from andon.levers.run.reporting import outlines_of

    rows = [row_of(r) for r in outlines_of(ask.ledger, ask.now_us)]
    wanted = _wanted(ask, rows)
    text = ask.query.get("page", "")
    number = 0 if ask.exporting else int(text) if text.isdecimal() and len(text) < 5 else 0
    some = wanted[:10_000] if ask.exporting else wanted[number * SHOWN : (number + 1) * SHOWN]
    table = _table(some, exporting=ask.exporting)
    now = [r for r in rows if r.state in ("running", "decided")]
    return Page(
        template="rollouts/all.html",
        title=f"{len(now)} rollout{'s' if len(now) != 1 else ''} running" if now else "Rollouts",
        tables=[table],
        context={
            "sentence": _sentence(rows),
            "now": sorted(
                now, key=lambda r: (r.state != "decided", -(r.report.allocation.from_us if r.report.allocation else 0))
            ),
            "planned": [r for r in rows if r.state == "planned"],
            "all": table,
            "count": len(rows),
            "found": len(wanted),
            "number": number,
            "last_number": (len(wanted) - 1) // SHOWN if wanted else 0,
            "kinds": KINDS,
            "states": list(STATES),
            "tones": TONES,
            "apps": sorted({r.report.experiment.app for r in rows}),
            "compared": versions_text,
            "short": short,
            "filtered": any(ask.query.get(n) for n in ("app", "state", "kind")),
            "most_days": MOST_DAYS,
        },
    )


def row_of(report: Report) -> Row:
    """An experiment as a list shows it."""
    e, split = report.experiment, report.allocation
    outcome = report.decisions[-1].outcome if report.decisions else ""
    decided = outcome not in ("", "undecided")
    state = "planned" if split is None else "ended" if is_over(report) else "decided" if decided else "running"
    times = [] if split is None else look_times(e, split)
    taken = len(report.decisions)
    left = times[taken:] if outcome != "roll back" else []
    share = None
    if split is not None:
        end = split.until_us if split.ended_us is None else split.ended_us
        share = 1.0 if is_over(report) else (report.now_us - split.from_us) / max(1, end - split.from_us)
    return Row(
        report=report, state=state, outcome=outcome, said=headline(report, how=False), looks=taken, of=len(times),
        next_us=left[0] + SETTLE_US if left else None, share=share, served=still_served(report) is not None,
    )  # fmt: skip


def _sentence(rows: Sequence[Row]) -> str:
    """The head: what must be decided by people, else what runs."""
    decided = [r for r in rows if r.state == "decided" or (r.state == "ended" and r.served)]
    running = [r for r in rows if r.state == "running"]
    for outcome, what in (
        ("roll back", "harms, and is still served"),
        ("promote", "may be promoted"),
        ("hold", "is held: it may not go on as it is"),
    ):
        if found := [r.report.experiment.id for r in decided if r.outcome == outcome]:
            return f"{', '.join(found[:3])} {what}"
    if running:
        n = len(running)
        return f"{n} experiment{'s run' if n != 1 else ' runs'}, and {'none is' if n != 1 else 'it is not'} decided yet"
    return "No experiment runs"


def _wanted(ask: Ask, rows: Sequence[Row]) -> list[Row]:
    app, state, kind = (ask.query.get(n, "") for n in ("app", "state", "kind"))
    fit = [r for r in rows if app in ("", r.report.experiment.app) and kind in ("", r.report.experiment.kind)]
    return [r for r in fit if state in ("", r.state)]


def _table(rows: Sequence[Row], *, exporting: bool = False) -> Table:
    """Experiments in a list: on the page in few columns, in files with everything."""
    columns: tuple[Column, ...] = (
        Column(key="experiment", title="experiment", kind="code"), Column(key="state", title="state", kind="tag"),
        Column(key="outcome", title="decision", kind="tag"), Column(key="said", title="in one sentence", wide=True),
        Column(key="compared", title="compares"), Column(key="app", title="app"), Column(key="started", title="started", kind="time"),
    )  # fmt: skip
    if exporting:
        more = ("kind", "hypothesis", "metric", "better", "environment", "share", "looks", "by")
        columns = (*columns, Column(key="ended", title="ended", kind="time"), *(Column(key=k, title=k) for k in more))
    found: list[dict[str, Any]] = []
    for r in rows:
        e, split = r.report.experiment, r.report.allocation
        found.append(
            {
                "experiment": Cell(value=e.id, link=f"/rollouts/{e.id}"), "state": r.state, "outcome": r.outcome,
                "said": Cell(value=r.said if exporting else short(r.said)[0], note=e.hypothesis[:200]),
                "compared": Cell(value=versions_text(e), note=f"{KINDS[e.kind]}: {e.metric}", link=f"/levers/{e.lever}" if e.lever else ""),
                "app": Cell(value=e.app, note=e.environment), "started": None if split is None else split.from_us,
                "ended": None if split is None else split.ended_us, "kind": KINDS[e.kind], "hypothesis": e.hypothesis, "metric": e.metric,
                "better": e.better, "environment": e.environment, "share": e.share, "looks": r.looks, "by": e.by,
            }
        )  # fmt: skip
    empty = "No experiment fits."
    return Table(
        name="rollouts",
        title="Experiments",
        columns=columns,
        rows=found,
        empty=empty,
        empty_link=("/rollouts", "All experiments"),
    )


def short(said: str) -> tuple[str, str]:
    """A decision in a short sentence, and the figures behind it: empty where the sentence is short already."""
    parts = said.split(": ", 3)
    if len(said) < 150 or len(parts) < 4 or len(parts[2]) > 60:
        return said, ""
    return f"{parts[0]}: {parts[1]} ({parts[2]})", f"{parts[2]}: {parts[3]}"
