"""What the page of an incident says in words: the next act, the phases, where an answer is seen, and all of it as Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from andon.incidents import Incident, Recovery, RunbookEntry, duration, odds
from andon.incidents.clocks import Clock
from andon.incidents.runbooks import DUTIES
from andon.incidents.states import next_act
from andon.incidents.words import one_line
from andon.investigations import Investigation
from andon.postmortems.escaping import inert
from andon.traffic.clock import minute_text
from andon.web.pages.incidents_tables import incident_link
from andon.web.tables import Table, as_markdown

__all__ = ["PLACES", "Phase", "as_page", "next_text", "phases_of", "place_of", "tone_of", "verdict_text"]

PLACES: Mapping[str, tuple[str, str]] = {
    "goes-on": ("#chart", "the chart"),
    "fresh-sample": ("#chart", "the chart"),
    "model-changes": ("/timeline?kind=change", "changes"),
    "retrieval-changes": ("/timeline?kind=change", "changes"),
    "prompt-changes": ("/timeline?kind=change", "changes"),
    "other-changes": ("/timeline?kind=change", "changes"),
    "traffic-shift": ("#changed", "what changed"),
    "held": ("#levers", "levers"),
    "query-log": ("/queries.csv", "the query log as CSV"),
    "acked": ("#next", "what is next"),
    "evidence": ("#evidence", "the evidence"),
    "criteria": ("#recovery", "exit criteria"),
}
"""Where the answers of a runbook are seen on this site: a part of the page of the incident, or a page below it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One phase of an incident as the strip shows it."""

    name: str
    at_us: int | None
    after: str
    """How long after the onset, or before it."""
    note: str
    now: bool
    """Whether it is the one that is awaited."""


def phases_of(incident: Incident, clocks: Sequence[Clock]) -> list[Phase]:
    """The phases; the first one that people or measurements still have to reach is the one that is awaited."""
    awaited = None
    if incident.state != "closed":
        past = ("began", "first visible", "alarmed", "reported", "first told")
        awaited = next((c.name for c in clocks if c.at_us is None and c.name not in past), None)
    return [
        Phase(
            name=c.name.removeprefix("first ") if c.name == "first told" else c.name, at_us=c.at_us,
            after=_after(c, incident), note=c.note, now=c.name == awaited,
        )
        for c in clocks
    ]  # fmt: skip


def _after(clock: Clock, incident: Incident) -> str:
    if clock.at_us is None or clock.name == "began":
        return ""
    s = (clock.at_us - incident.onset_us) / 1e6
    within_s = (incident.onset_high_us - incident.onset_low_us) / 1e6
    return f"{'+' if s >= 0 else '-'}{duration(abs(s), within_s=within_s)}"


def next_text(incident: Incident, recovery: Recovery) -> str:
    """The next thing to do in one sentence, for who has the buttons beside it."""
    step = next((s for s in recovery.steps if s.done_us is None), None)
    stop = "Stop the harm, by a lever for instance, and say that it is stabilised."
    if not incident.lead:
        stop = "See whether it is so: stop the harm and say that it is stabilised, or close it as a false alarm."
    told = {
        "nothing": "It is closed. The postmortem holds what was learned.",
        "stop": stop,
        "diagnose": "Find the cause (its suspects are ranked), and say that it is diagnosed.",
        "fix": "Take the cause away, and say that it is fixed.",
        "step": f"Take step {step.id}: {one_line(step.text, 200)}. Check: {one_line(step.check, 200)}" if step else "",
        "measure": "Nothing is measured, and what a chart signalled recovers by a measurement: add an exit criterion that is measured.",
        "close": "All exit criteria are met: close it.",
        "look": "Look again whether what was reported is right now, and say what you saw: that meets the exit criterion.",
        "wait": "Wait until it stays away: the exit criteria are measured every hour.",
    }
    return told[next_act(incident, recovery)]


def place_of(answer: str, incident_id: str) -> tuple[str, str]:
    """Where an answer of the runbook is seen, and how that is called; ("", "") for what a person ticked."""
    place, text = PLACES.get(answer, ("", ""))
    return (incident_link(incident_id) + place, text) if place else ("", "")


def tone_of(answer: str, entry: RunbookEntry | None) -> str:
    """How an answer of the runbook is coloured: what has to be done is good where it is, harm where it is not."""
    if entry is None or entry.found == "cannot tell":
        return ""
    if entry.found == "done":
        return "good"
    bad = {"yes": answer in ("goes-on", "fresh-sample"), "no": answer in DUTIES}
    good = {"yes": answer in DUTIES, "no": answer in ("goes-on", "fresh-sample")}
    return "bad" if bad[entry.found] else "good" if good[entry.found] else ""


def verdict_text(found: Investigation) -> str:
    """How wide it is, in half a sentence."""
    i = found.impact
    if not i.n:
        return found.verdict
    users = "" if i.users is None else f", {i.users:,} user{'s' if i.users != 1 else ''} hit"
    return f"{found.verdict}, {i.harmed:,} of {i.n:,} interactions harmed{users}"


def as_page(
    incident: Incident,
    clocks: Sequence[Clock],
    found: Investigation | None,
    plan: Recovery,
    tables: Sequence[Table],
    url: str,
) -> str:
    """The incident as Markdown, for a chat or a ticket: what is wrong, since when, what is next, and the suspects."""
    i = incident
    lines = [
        f"# {i.id}: {inert(i.title, 400)}",
        "",
        f"{i.severity}, {i.state}, {i.impact}, {inert(i.app)} ({inert(i.environment)})",
        "",
    ]
    low, high = minute_text(i.onset_low_us), minute_text(i.onset_high_us)
    lines.append(f"Since {minute_text(i.onset_us)} UTC (between {low} and {high}).")
    if found is not None and found.suspects:
        first = found.suspects[0]
        lines.append(f"Most likely ({odds(first.probability)}): {inert(first.title)}. It is {verdict_text(found)}.")
    lines += ["", f"Next: {inert(next_text(i, plan), 500)}", "", f"{url}{incident_link(i.id)}", "", "## Phases", ""]
    lines += [
        f"- {c.name}: {'not yet' if c.at_us is None else minute_text(c.at_us) + ' UTC'}{', ' + inert(c.note) if c.note else ''}"
        for c in clocks
    ]
    for table in tables:
        if table.rows:
            lines += ["", f"## {inert(table.title)}", "", as_markdown(table).rstrip()]
    return "\n".join(lines) + "\n"
