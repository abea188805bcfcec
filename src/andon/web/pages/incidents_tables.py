"""The tables of an incident: on its page, and as files."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from urllib.parse import quote

from andon.incidents import Delivery, Incident, Recovery, Related, Report, RunbookState, TimelineEvent, TimelineMark
from andon.incidents.runbooks import entry_of
from andon.incidents.timeline import t_of
from andon.incidents.words import one_line
from andon.investigations import Analysis, Example, Investigation
from andon.levers import Effect, Lever, Pull, value_text
from andon.web.tables import Cell, Column, Table

__all__ = [
    "analyses_of",
    "criteria_of",
    "deliveries_of",
    "evidence_of",
    "examples_of",
    "first_alarms_of",
    "incident_link",
    "incidents_of",
    "interaction_link",
    "levers_of",
    "parts_of",
    "proposals_of",
    "pulls_of",
    "related_of",
    "reports_of",
    "runbook_of",
    "slices_of",
    "suspects_of",
    "timeline_of",
]

HOUR_US = 3_600_000_000


def incident_link(incident_id: str, anchor: str = "") -> str:
    """The page of an incident, or a part of it."""
    return f"/incidents/{quote(incident_id, safe='')}" + (f"#{anchor}" if anchor else "")


def interaction_link(interaction_id: str, at_us: int) -> str:
    """One interaction as a story."""
    return f"/traffic/{quote(interaction_id, safe='')}?at={at_us}"


def incidents_of(incidents: Iterable[Incident]) -> Table:
    """Incidents with their times."""
    columns = (
        Column(key="incident", title="incident", kind="code"), Column(key="severity", title="severity", kind="tag"),
        Column(key="state", title="state", kind="tag"), Column(key="class", title="class"),
        Column(key="title", title="what is wrong", wide=True), Column(key="app", title="app"),
        Column(key="environment", title="environment"), Column(key="failure", title="failure type"),
        Column(key="began", title="began", kind="time"), Column(key="alarmed", title="alarmed", kind="time"),
        Column(key="stabilised", title="stabilised", kind="time"), Column(key="recovered", title="recovered", kind="time"),
        Column(key="closed", title="closed", kind="time"), Column(key="ending", title="closed as"),
    )  # fmt: skip
    rows = [
        {
            "incident": Cell(value=i.id, link=incident_link(i.id)), "severity": i.severity, "state": i.state, "class": i.impact,
            "title": i.title, "app": i.app, "environment": i.environment, "failure": i.failure, "began": i.onset_us,
            "alarmed": i.alarmed_us, "stabilised": i.stabilised_us, "recovered": i.recovered_us, "closed": i.closed_us,
            "ending": i.closed_as,
        }
        for i in incidents
    ]  # fmt: skip
    return Table(name="incidents", title="Incidents", columns=columns, rows=rows)


def examples_of(found: Investigation) -> Table:
    """Failing and passing interactions, for files."""
    columns = (
        Column(key="interaction", title="interaction", kind="code"), Column(key="side", title="side"),
        Column(key="at", title="at", kind="time"), Column(key="question", title="question", kind="long"),
        Column(key="answer", title="answer", kind="long"), Column(key="expected", title="expected", kind="long"),
        Column(key="from", title="known from"), Column(key="value", title="value", kind="number"),
        Column(key="confidence", title="confidence", kind="number"),
    )  # fmt: skip

    def row(e: Example, side: str) -> dict[str, object]:
        return {
            "interaction": Cell(value=e.interaction_id, link=interaction_link(e.interaction_id, e.at_us)), "side": side,
            "at": e.at_us, "question": e.question, "answer": e.answer, "expected": e.expected, "from": e.expected_from,
            "value": e.value, "confidence": e.confidence,
        }  # fmt: skip

    rows = [*(row(e, "failing") for e in found.examples), *(row(e, "passing") for e in found.passing)]
    return Table(name="examples", title="Failing and passing answers", columns=columns, rows=rows)


def suspects_of(found: Investigation) -> Table:
    """Ranked explanations, for files."""
    columns = (
        Column(key="probability", title="probability", kind="rate"), Column(key="suspect", title="suspect", wide=True),
        Column(key="kind", title="kind"), Column(key="at", title="at", kind="time"), Column(key="for", title="for", kind="long"),
        Column(key="against", title="against", kind="long"), Column(key="disproof", title="would disprove it", kind="long"),
        Column(key="tests", title="tests", kind="long"),
    )  # fmt: skip
    rows = [
        {
            "probability": s.probability, "suspect": s.title, "kind": s.kind, "at": s.at_us, "for": "; ".join(s.supports),
            "against": "; ".join(s.against), "disproof": s.disproof,
            "tests": "; ".join(f"{t.name}: {t.result}: {t.text}" for t in s.tests),
        }
        for s in found.suspects
    ]  # fmt: skip
    return Table(name="suspects", title="Suspects", columns=columns, rows=rows)


def _rate(x: float, n: float) -> Cell:
    return Cell(value=x / n if n else None, note=f"{x:,} of {n:,}" if n else "no traffic")


def slices_of(found: Investigation) -> Table:
    """Parts of the traffic by up to three attributes that carry the harm."""
    columns = (
        Column(key="part", title="part of the traffic", wide=True), Column(key="before", title="before", kind="rate"),
        Column(key="since", title="since", kind="rate"), Column(key="elsewhere", title="elsewhere since", kind="rate"),
        Column(key="share", title="share of the harm", kind="rate"),
    )  # fmt: skip
    rows = [
        {
            "part": ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in s.where.items()), "before": _rate(s.before_x, s.before_n),
            "since": _rate(s.after_x, s.after_n), "elsewhere": _rate(s.outside_x, s.outside_n), "share": s.share,
        }
        for s in found.slices
    ]  # fmt: skip
    empty = "No part of the traffic surely has more of the harm than the rest."
    return Table(
        name="slices", title="Parts of the traffic that carry the harm", columns=columns, rows=rows, empty=empty
    )


def parts_of(found: Investigation) -> Table:
    """Harm by each single attribute, before and since, with the interval of the difference."""
    columns = (
        Column(key="field", title="attribute"), Column(key="value", title="value", wide=True),
        Column(key="before", title="before", kind="rate"), Column(key="since", title="since", kind="rate"),
        Column(key="difference", title="difference, 95 % interval"),
    )  # fmt: skip
    rows = [
        {
            "field": p.field.replace("_", " "), "value": p.value, "before": _rate(p.before_x, p.before_n),
            "since": _rate(p.after_x, p.after_n),
            "difference": f"{100 * p.low:+.1f} to {100 * p.high:+.1f} points" if p.before_n and p.after_n else "cannot tell",
        }
        for p in found.parts
    ]  # fmt: skip
    return Table(
        name="parts",
        title="By single attributes",
        columns=columns,
        rows=rows,
        empty="Traffic carries no attributes to cut it by.",
    )


def first_alarms_of(found: Investigation, incident: Incident) -> Table:
    """Which metric spoke first."""
    columns = (
        Column(key="metric", title="metric", wide=True), Column(key="at", title="spoke first", kind="time"),
        Column(key="after", title="after it began", kind="duration"),
    )  # fmt: skip
    rows = [
        {"metric": name, "at": at, "after": max(0.0, (at - incident.onset_us) / 1e6)} for name, at in found.first_alarms
    ]
    return Table(
        name="first-alarms", title="Which metric spoke first", columns=columns, rows=rows,
        empty="No signal of it is in the ledger: people reported it.",
    )  # fmt: skip


def proposals_of(found: Investigation) -> Table:
    """Limits that would have spoken sooner, by replay."""
    columns = (
        Column(key="limit", title="limit", wide=True), Column(key="metric", title="metric"),
        Column(key="fired", title="would have spoken", kind="time"), Column(key="sooner", title="sooner by", kind="duration"),
        Column(key="false", title="false pages a month", kind="number"), Column(key="command", title="add it", kind="code"),
    )  # fmt: skip
    rows = [
        {
            "limit": p.title, "metric": p.metric, "fired": p.fired_us, "sooner": p.sooner_s, "false": round(p.false_pages, 3),
            "command": p.command,
        }
        for p in found.gap.proposals
    ]  # fmt: skip
    return Table(
        name="proposals", title="Limits that would have seen it sooner", columns=columns, rows=rows,
        empty="Of the limits that were replayed none would have been sooner.",
    )  # fmt: skip


def analyses_of(found: Investigation) -> list[tuple[Analysis, Table | None]]:
    """The looks at usual mechanisms, each with its table where it has one; what was found comes first."""
    order = {"yes": 0, "cannot tell": 1, "no": 2}
    return [(a, _analysis(a)) for a in sorted(found.analyses, key=lambda a: order[a.found])]


def _analysis(a: Analysis) -> Table | None:
    if len(a.rows) < 2:
        return None
    columns = tuple(Column(key=f"{n} {t}".strip(), title=t, wide=n == 0) for n, t in enumerate(a.rows[0]))
    rows = [{c.key: v for c, v in zip(columns, row, strict=False)} for row in a.rows[1:]]
    return Table(name=a.name.replace(" ", "-"), title=a.name.capitalize(), columns=columns, rows=rows)


def evidence_of(found: Investigation) -> Table:
    """Every figure that is stated, with what gives it again."""
    columns = (
        Column(key="id", title="figure", kind="code"), Column(key="claim", title="what it counts", wide=True),
        Column(key="figures", title="figures"), Column(key="rows", title="rows frozen", kind="number"),
        Column(key="upto", title="up to commit", kind="number"), Column(key="digest", title="SHA-256", kind="code"),
    )  # fmt: skip
    rows = [
        {
            "id": e.id, "claim": e.claim, "figures": "; ".join(f"{k} {v:,.6g}" for k, v in e.figures.items()), "rows": len(e.rows),
            "upto": e.upto, "digest": e.digest,
        }
        for e in found.evidence
    ]  # fmt: skip
    return Table(
        name="evidence", title="Evidence", columns=columns, rows=rows, empty="The investigation states no figures."
    )


def levers_of(levers: Sequence[tuple[Lever, Pull | None]], incident: Incident, now_us: int, *, hold: bool) -> Table:
    """The levers of this app, whether each is held, and the way to hold it for this incident."""
    columns = (
        Column(key="lever", title="lever", kind="code"), Column(key="about", title="what it does", wide=True),
        Column(key="held", title="now", kind="tag"), Column(key="value", title="at"), Column(key="safe", title="safe value"),
        Column(key="until", title="until", kind="time"), Column(key="do", title=""),
    )  # fmt: skip
    rows = []
    for lever, pull in levers:
        link = f"/levers/{quote(lever.id, safe='')}"
        soon = pull is not None and pull.until_us - now_us < HOUR_US
        do = (
            Cell(value="Hold it for this incident", link=f"{link}?incident={quote(incident.id, safe='')}")
            if hold and not pull
            else ""
        )
        rows.append(
            {
                "lever": Cell(value=lever.id, link=link), "about": lever.about or None, "held": "held" if pull else "not held",
                "value": value_text(pull.value if pull else lever.default), "safe": value_text(lever.safe),
                "until": Cell(value=pull.until_us, tone="warn" if soon else "") if pull else None, "do": do,
            }
        )  # fmt: skip
    return Table(
        name="levers", title="Levers of this application", columns=columns, rows=rows,
        empty=f"No lever of {one_line(incident.app)} is declared, so nothing can be switched from here. A lever is a setting that the "
        "application reads from Andon: a model, a prompt, a switch to a person.",
        empty_link=("/levers", "Levers"),
    )  # fmt: skip


def pulls_of(pulls: Sequence[Pull], effects: Mapping[str, Sequence[Effect]]) -> Table:
    """What was pulled for this incident, and what it did."""
    columns = (
        Column(key="lever", title="lever", kind="code"), Column(key="value", title="held at"),
        Column(key="at", title="from", kind="time"), Column(key="ended", title="until", kind="time"),
        Column(key="by", title="by"), Column(key="why", title="why"), Column(key="effect", title="what it did", wide=True),
    )  # fmt: skip
    rows = []
    for p in pulls:
        measured = effects.get(p.id, ())
        rows.append(
            {
                "lever": Cell(value=p.lever, link=f"/levers/{quote(p.lever, safe='')}"), "value": value_text(p.value), "at": p.at_us,
                "ended": Cell(value=p.released_us or p.until_us, note="" if p.released_us else "expires"), "by": p.by, "why": p.why,
                "effect": "; ".join(e.text for e in measured) or Cell(value="not measured yet", tone="soft"),
            }
        )  # fmt: skip
    return Table(
        name="pulls", title="Pulls for this incident, and what they did", columns=columns, rows=rows,
        empty="No lever was pulled for this incident.",
    )  # fmt: skip


def criteria_of(plan: Recovery) -> Table:
    """Exit criteria as they were measured last, and steps, for files."""
    columns = (
        Column(key="id", title="", kind="code"), Column(key="what", title="what must be true", wide=True),
        Column(key="met", title="met", kind="tag"), Column(key="measured", title="measured", wide=True),
        Column(key="at", title="at", kind="time"), Column(key="by", title="by"),
    )  # fmt: skip
    words = {True: "met", False: "not met", None: "cannot tell"}
    rows = [
        {
            "id": c.id, "what": c.text, "met": words[c.met] if c.measured else "not measured", "measured": c.measured,
            "at": c.at_us, "by": c.by,
        }
        for c in plan.criteria
    ]  # fmt: skip
    rows += [
        {
            "id": s.id, "what": f"{s.text}; check: {s.check}", "met": "done" if s.done_us else "open", "measured": s.seen,
            "at": s.done_us, "by": s.by,
        }
        for s in plan.steps
    ]  # fmt: skip
    return Table(name="recovery", title="Exit criteria and steps", columns=columns, rows=rows)


def runbook_of(state: RunbookState) -> Table:
    """The runbook with what was found, for files."""
    columns = (
        Column(key="phase", title="phase"), Column(key="item", title="item", kind="code"),
        Column(key="what", title="what", wide=True), Column(key="found", title="found", kind="tag"),
        Column(key="text", title="answer", wide=True), Column(key="by", title="by"), Column(key="at", title="at", kind="time"),
    )  # fmt: skip
    rows = []
    for item in state.runbook.items:
        e = entry_of(state, item.id)
        rows.append(
            {
                "phase": item.phase, "item": item.id, "what": item.text, "found": e.found if e else None,
                "text": e.text if e else None, "by": e.by if e else None, "at": e.at_us if e else None,
            }
        )  # fmt: skip
    return Table(name="runbook", title=f"Runbook: {state.runbook.name}", columns=columns, rows=rows)


def timeline_of(incident: Incident, events: Iterable[TimelineEvent], marks: Mapping[str, TimelineMark]) -> Table:
    """The timeline with both clocks, for files."""
    columns = (
        Column(key="entry", title="entry", kind="code"), Column(key="t", title="T"),
        Column(key="happened", title="happened", kind="time"), Column(key="learned", title="learned", kind="time"),
        Column(key="kind", title="kind"), Column(key="what", title="what", wide=True), Column(key="by", title="by"),
        Column(key="mark", title="mark"),
    )  # fmt: skip
    rows = [
        {
            "entry": e.id, "t": t_of(e.happened_us, incident.alarmed_us), "happened": e.happened_us, "learned": e.learned_us,
            "kind": e.kind, "what": e.text, "by": e.by,
            "mark": f"{m.mark}: {m.why}" if (m := marks.get(e.id)) is not None and m.mark != "shown" else None,
        }
        for e in events
    ]  # fmt: skip
    return Table(name="timeline", title=f"Timeline of {incident.id}", columns=columns, rows=rows)


def related_of(found: Sequence[Related], known: Callable[[str], Incident | None]) -> Table:
    """Incidents that are like this one."""
    columns = (
        Column(key="incident", title="incident", kind="code"), Column(key="alike", title="alike", kind="rate"),
        Column(key="state", title="state", kind="tag"), Column(key="title", title="what was wrong", wide=True),
        Column(key="why", title="why it is alike", wide=True),
    )  # fmt: skip
    rows = []
    for r in found:
        other = known(r.id)
        rows.append(
            {
                "incident": Cell(value=r.id, link=incident_link(r.id)), "alike": r.score, "state": other.state if other else "",
                "title": other.title if other else None, "why": r.why,
            }
        )  # fmt: skip
    return Table(
        name="related", title="Related incidents", columns=columns, rows=rows,
        empty="No other incident has the same metric, part of the traffic, kind of change and failure type.",
    )  # fmt: skip


def reports_of(reports: Iterable[Report]) -> Table:
    """What people said."""
    columns = (
        Column(key="at", title="at", kind="time"), Column(key="by", title="by"), Column(key="text", title="what they said", wide=True),
        Column(key="interaction", title="about", kind="code"), Column(key="near_miss", title="near miss", kind="mark"),
    )  # fmt: skip
    rows = [
        {
            "at": r.at_us, "by": r.by, "text": r.text, "near_miss": r.near_miss,
            "interaction": Cell(value=r.interaction_id, link=interaction_link(r.interaction_id, r.at_us)) if r.interaction_id else None,
        }
        for r in sorted(reports, key=lambda r: (r.at_us, r.id))
    ]  # fmt: skip
    return Table(
        name="reports",
        title="Reports of people",
        columns=columns,
        rows=rows,
        empty="Nobody reported it: the charts noticed it.",
    )


def deliveries_of(deliveries: Iterable[Delivery]) -> Table:
    """Who was told, when, and whether it arrived."""
    columns = (
        Column(key="at", title="at", kind="time"), Column(key="channel", title="channel"), Column(key="reason", title="why"),
        Column(key="severity", title="told as", kind="tag"), Column(key="state", title="arrived", kind="tag"),
        Column(key="attempt", title="attempt", kind="number"), Column(key="error", title="what went wrong", wide=True),
    )  # fmt: skip
    tones = {"sent": "good", "failed": "bad", "unknown": "warn", "sending": "soft", "quiet": "soft"}
    rows = [
        {
            "at": d.at_us, "channel": d.channel, "reason": d.reason, "severity": d.severity,
            "state": Cell(value=d.state, tone=tones[d.state]), "attempt": d.attempt, "error": d.error or None,
        }
        for d in sorted(deliveries, key=lambda d: (d.at_us, d.id))
    ]  # fmt: skip
    return Table(
        name="deliveries", title="Who was told", columns=columns, rows=rows,
        empty="Nobody was told: no channel is set up. Name one in ANDON_CHANNELS, and send a test.",
        empty_link=("/settings", "Channels"),
    )  # fmt: skip
