"""The page of one incident: what is wrong, for whom, since when, how sure; and everything that helps to end it."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from markupsafe import Markup

from andon.incidents import (
    Delivery,
    Incident,
    Recovery,
    Report,
    RunbookEntry,
    RunbookState,
    TimelineEvent,
    TimelineMark,
)
from andon.incidents.answers import acked_answer
from andon.incidents.clocks import Clock, clocks_of
from andon.incidents.run.recovery import charts_of, dropped_of, recovery_of
from andon.incidents.run.related import related_to
from andon.incidents.run.runbook import runbook_for
from andon.incidents.run.timeline import first_told, marks_of, timeline_of
from andon.incidents.runbooks import PHASES, clock_text, entry_of, next_item, with_entry
from andon.incidents.states import OVERRULED, next_act
from andon.incidents.timeline import brief, t_of
from andon.investigations import Example, Investigation
from andon.investigations.evidence import figures_about
from andon.levers import Effect, Lever, Pull, in_force
from andon.levers.concerning import pulls_about
from andon.monitors import Point, Signal, draw_chart
from andon.monitors.drawing import NARROW, WIDTH
from andon.postmortems import Postmortem
from andon.postmortems.html import CAPTION, draw_postmortem_chart
from andon.postmortems.run.review import working
from andon.scores import hashed
from andon.web.asking import Ask, Page
from andon.web.pages import incidents_tables as tables
from andon.web.pages.incidents_acts import found as incident_of
from andon.web.pages.incidents_text import as_page, next_text, phases_of, place_of, tone_of, verdict_text
from andon.web.routing import Pages
from andon.web.tables import Table

__all__ = ["pages"]

pages = Pages()

HOUR_US = 3_600_000_000
POINTS = 80
"""Of the chart."""
ENDS = 12
"""Entries of the short timeline at each end; what is between them is a link."""
PAIRS = 3
"""Failing and passing answers that are held beside each other at once."""
FOLDED = 6
"""Pairs of the page; the files have all."""
LIKELY = 0.01
"""Suspects below this probability are named and folded."""
MOST_TEXTS = 300
"""Incidents whose texts by people are compared when the page is made."""
_TITLES = re.compile(r"<title>[^<]*</title>(?=</circle>)")
_INSIDE = re.compile(r'<circle[^>]*r="2\.0"[^>]*></circle>')
_PIECES = re.compile(r"\[(E\d{1,4}(?:, E\d{1,4})*)\]|`([^`\n]{1,300})`")


@pages.read("/incidents/{id}")
def incident(ask: Ask, id: str) -> Page:  # noqa: A002 - the field is called id
    """One incident."""
    i = incident_of(ask, id)
    looked: Investigation | None = ask.ledger.get(Investigation, i.id)
    plan = recovery_of(ask.ledger, i)
    clocks = clocks_of(i, visible_us=i.visible_us, told=first_told(ask.ledger, i))
    context: dict[str, Any] = {
        "i": i, "found": looked, "plan": plan, "act": next_act(i, plan), "next": next_text(i, plan), "cited": cited,
        "phases": phases_of(i, clocks), "verdict": verdict_text(looked) if looked else "", "overrulable": OVERRULED,
        "errand": _errand(ask, i), "drafted": _drafted(ask, i), "chart": _chart(ask, i), "t_of": t_of,
        **_expected(looked), **_changed(looked), **_spread(looked, i), **_levers(ask, i), **_recovery(ask, i, plan),
        **_runbook(ask, i), **_timeline(ask, i), **_around(ask, i),
    }  # fmt: skip
    kept = [t for t in context.values() if isinstance(t, Table)]
    kept += [t for _, t in context["analyses"] if t is not None]
    names = ("suspects_table", "slices", "recovery_table", "pulls")
    told = [context[n] for n in names]
    return Page(
        template="incidents/one.html",
        title=f"{i.id} {i.severity} {i.state}",
        tables=kept,
        markdown=lambda: _markdown(ask, i, clocks, looked, plan, told),
        context=context,
    )


def _markdown(
    ask: Ask, i: Incident, clocks: Sequence[Clock], looked: Investigation | None, plan: Recovery, told: Sequence[Table]
) -> str:
    return as_page(i, clocks, looked, plan, told, ask.address)


def cited(text: str) -> list[tuple[str, str]]:
    """A text in pieces with what each is: ``ref`` for the id of a figure, ``code`` for what stood in backticks, else nothing."""
    pieces: list[tuple[str, str]] = []
    end = 0
    for match in _PIECES.finditer(text):
        pieces.append((text[end : match.start()], ""))
        pieces += [(name, "ref") for name in match[1].split(", ")] if match[1] else [(match[2], "code")]
        end = match.end()
    return [*pieces, (text[end:], "")]


def _errand(ask: Ask, i: Incident) -> Any:
    """Long work about this incident: what is under way, else what was done last."""
    mine = [e for e in ask.site.errands.all() if e.about == i.id]
    return next((e for e in mine if e.state in ("waiting", "working")), mine[0] if mine else None)


def _drafted(ask: Ask, i: Incident) -> bool:
    return ask.ledger.latest(Postmortem, i.id) is not None


def _chart(ask: Ask, i: Incident) -> dict[str, Any] | None:
    """The control chart of the leading signal, wide and narrow; None where no chart leads."""
    lead: Signal | None = ask.ledger.get(Signal, i.lead) if i.lead else None
    if lead is None:
        return None
    points = _points(ask, i, lead)
    shown: Postmortem | None = working(ask.ledger, i.id) if _drafted(ask, i) else None
    if shown is not None:
        shown = replace(shown, incident=i, points=tuple(points) or shown.points)
        drawn = [draw_postmortem_chart(shown, width=w) for w in (WIDTH, NARROW)]
    elif points:
        marks, onset = [(i.alarmed_us, "alarm")], (i.onset_low_us, i.onset_high_us)
        drawn = [draw_chart(points, title=i.title, marks=marks, onset=onset, width=w) for w in (WIDTH, NARROW)]
    else:
        drawn = ["", ""]
    drawn[1] = _INSIDE.sub(
        "", _TITLES.sub("", drawn[1])
    )  # nobody points at a phone; the line shows what is inside the limits
    wide, narrow = (Markup(svg) for svg in drawn)  # noqa: S704 - drawn by us; what comes from traffic is escaped there
    return {"wide": wide, "narrow": narrow, "monitor": lead.monitor, "caption": CAPTION}


def _points(ask: Ask, i: Incident, lead: Signal) -> list[Point]:
    """The chart as it is now, from as long before the onset as harm lasts; nothing where it is not kept any more."""
    charts = ask.site.charts
    number = charts.find(lead.monitor) if charts else None
    if number is None:
        return []
    end = min(ask.now_us, charts.until_us, (i.closed_us or ask.now_us) + 6 * HOUR_US)
    start = max(charts.begins_us, i.onset_low_us - max(6 * HOUR_US, (end - i.onset_low_us) // 2))
    found: list[Point] = [p for p in charts.points(number, start, end, POINTS) if p.n > 0] if start < end else []
    return found if len(found) > 1 and found[0].start_us < i.alarmed_us else []


def _expected(looked: Investigation | None) -> dict[str, Any]:
    """Question 1: failing answers beside passing ones, those of which the right one is known first."""
    if looked is None:
        return {
            "pairs": (),
            "more_pairs": (),
            "known": 0,
            "examples": Table(name="examples", title="Examples", columns=()),
        }
    failing = sorted(looked.examples, key=lambda e: e.expected is None)
    pairs: list[tuple[Example | None, Example | None]] = []
    passing = list(looked.passing)
    for e in failing:
        near = next((p for p in passing if p.question == e.question), passing[0] if passing else None)
        if near is not None:
            passing.remove(near)
        pairs.append((e, near))
    return {
        "pairs": pairs[:PAIRS], "more_pairs": pairs[PAIRS:FOLDED], "known": sum(e.expected is not None for e in failing),
        "examples": tables.examples_of(looked),
    }  # fmt: skip


def _changed(looked: Investigation | None) -> dict[str, Any]:
    """Question 2: suspects, the likely ones open."""
    if looked is None:
        return {
            "likely": (),
            "unlikely": (),
            "analyses": (),
            "suspects_table": Table(name="suspects", title="Suspects", columns=()),
        }
    likely = [s for n, s in enumerate(looked.suspects) if n == 0 or s.probability >= LIKELY]
    return {
        "likely": likely, "unlikely": [s for s in looked.suspects if s not in likely], "analyses": tables.analyses_of(looked),
        "suspects_table": tables.suspects_of(looked),
    }  # fmt: skip


def _spread(looked: Investigation | None, i: Incident) -> dict[str, Any]:
    """Questions 3 and 4, and the figures behind all four."""
    if looked is None:
        none = Table(name="slices", title="Parts of the traffic", columns=())
        return {"slices": none, "refs_of": {}}
    refs = {
        "harmed": figures_about(looked.evidence, "onset", "interactions"),
        "confidence": figures_about(looked.evidence, "confidence"),
        "gap": figures_about(looked.evidence, "limit would have spoken"),
    }
    return {
        "slices": tables.slices_of(looked), "parts": tables.parts_of(looked), "first_alarms": tables.first_alarms_of(looked, i),
        "proposals": tables.proposals_of(looked), "evidence": tables.evidence_of(looked), "refs_of": refs,
    }  # fmt: skip


def _levers(ask: Ask, i: Incident) -> dict[str, Any]:
    """The levers of this app, and what pulls for this incident did."""
    levers = sorted((x for x in ask.ledger.all(Lever) if x.app in (i.app, "default")), key=lambda x: x.id)
    every: list[Pull] = ask.ledger.all(Pull)
    of_lever: dict[str, list[Pull]] = defaultdict(list)
    for pull in every:
        of_lever[pull.lever].append(pull)
    where: Any = i.environment if i.environment in ("staging", "production") else "production"
    standing = [(x, in_force(of_lever[x.id], ask.now_us, where)) for x in levers]
    pulls = pulls_about(i, every, levers, ask.ledger.all(Incident))
    mine = {p.id for p in pulls}
    effects: dict[str, list[Effect]] = defaultdict(list)
    for effect in ask.ledger.all(Effect) if mine else ():
        if effect.pull in mine:
            effects[effect.pull].append(effect)
    hold = i.state != "closed" and ask.may("responder")
    return {"levers": tables.levers_of(standing, i, ask.now_us, hold=hold), "pulls": tables.pulls_of(pulls, effects)}


def _recovery(ask: Ask, i: Incident, plan: Recovery) -> dict[str, Any]:
    first = next((s.id for s in plan.steps if s.done_us is None), "")
    charts = sorted(charts_of(ask.ledger, i)) if i.state != "closed" and ask.may("responder") else []
    return {
        "dropped": dropped_of(ask.ledger, i, plan), "first_step": first, "signalled": charts,
        "recovery_table": tables.criteria_of(plan),
    }  # fmt: skip


def _runbook(ask: Ask, i: Incident) -> dict[str, Any]:
    """The runbook as far as it is done; one that nobody has begun is shown as it would be frozen."""
    state: RunbookState | None = ask.ledger.get(RunbookState, i.id)
    state = _acknowledged(state or RunbookState(id=i.id, runbook=runbook_for(ask.site.settings.config, i.failure)), i)
    following = next_item(state)
    phases = [
        (
            phase, clock_text(phase, ask.now_us - i.alarmed_us),
            [(item, entry_of(state, item.id), place_of(item.answer, i.id)) for item in state.runbook.items if item.phase == phase.name],
        )
        for phase in PHASES
    ]  # fmt: skip
    answered = sum(entry_of(state, item.id) is not None for item in state.runbook.items)
    return {
        "answers_us": max((e.at_us for e in state.entries if e.by == "andon"), default=None),
        "tone_of": tone_of, "ticking": ask.query.get("tick", ""), "runbook": state.runbook, "runbook_phases": phases, "next_item": following, "answered": answered,
        "runbook_table": tables.runbook_of(state),
    }  # fmt: skip


def _acknowledged(state: RunbookState, i: Incident) -> RunbookState:
    """The runbook with what the incident itself says by now: who is on it. Other answers are measured, and stay as they were."""
    item = next((item.id for item in state.runbook.items if item.answer == "acked"), "")
    entry = entry_of(state, item)
    if i.acked_us is None or (entry is not None and entry.by != "andon"):
        return state
    said = acked_answer(i)
    now = RunbookEntry(item=item, text=said.text, found=said.found, at_us=i.acked_us)
    return with_entry(state, now) if item else state


def _timeline(ask: Ask, i: Incident) -> dict[str, Any]:
    """The short form: how it began, and what came last."""
    marks: dict[str, TimelineMark] = marks_of(ask.ledger, i)
    events = timeline_of(ask.ledger, i)
    short, left = brief(events, marks, alarmed_us=i.alarmed_us)
    first: list[TimelineEvent] = short if len(short) <= 2 * ENDS else short[:ENDS]
    last = [] if first is short else short[-ENDS:]
    return {
        "first_events": first, "last_events": last, "between": len(short) - len(first) - len(last), "left": left, "marks": marks,
        "timeline": tables.timeline_of(i, short, marks),
    }  # fmt: skip


def _around(ask: Ask, i: Incident) -> dict[str, Any]:
    """Related incidents, what people said, and who was told."""
    looked = {name for _, name in ask.ledger.ids(Investigation)}

    def kind_of(other: Incident) -> str | None:
        found = ask.ledger.get(Investigation, other.id) if other.id in looked else None
        return found.suspects[0].kind if found is not None and found.suspects else None

    found = related_to(ask.ledger, i, hashed.load(ask.site.settings), kind_of=kind_of, most_texts=MOST_TEXTS)
    return {
        "related": tables.related_of(found, lambda name: ask.ledger.get(Incident, name)),
        "reports": tables.reports_of(r for r in ask.ledger.all(Report) if r.incident == i.id),
        "deliveries": tables.deliveries_of(d for d in ask.ledger.all(Delivery) if d.incident == i.id),
    }
