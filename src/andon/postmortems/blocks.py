"""The blocks from which templates build a postmortem: tables and lists in Markdown, made from one record.

Every text that came from traffic or people is made harmless here (`inert`, `prose`); what a block returns is safe Markdown.
"""

import re
from collections.abc import Callable, Iterable, Sequence

from andon.incidents import duration, odds, scope_text
from andon.investigations import Analysis, Evidence, HarmedSlice, Suspect
from andon.monitors.verdicts import percent
from andon.postmortems.draft import (
    ALL_BEFORE,
    ALL_SINCE,
    CANNOT_TELL,
    HARM_BEFORE,
    HARM_SINCE,
    beyond_limit,
    counts_of,
    lag_texts,
    minute,
    over_us,
    plain,
    refs_to,
    reports,
    since_onset,
    slo_times,
)
from andon.postmortems.escaping import bullets, inert, prose, quote, table
from andon.postmortems.happened import milestones, offset, summary_of, timeline
from andon.postmortems.lessons import (
    COST,
    USUAL_BEFORE,
    USUAL_SINCE,
    alike,
    checklist,
    cost_usd,
    interactions,
    lag_rows,
    layers,
    moved,
    steady,
    went_well,
    why_late,
)
from andon.postmortems.records import ActionItem, ContributingFactor, Postmortem

__all__ = ["BLOCKS", "EVIDENCE_HEAD"]

EVIDENCE_HEAD = ("", "what", "figures", "plan")
NOBODY = "nobody yet"
_SIDES = ("before the onset", "since the onset")
_LED = re.compile(r"^(?:unmoved|answers look otherwise): ")
"""How a text begins to tell several rows of a table."""
_IN_TABLES = re.compile(r"from the estimated onset|^(?:visible|alarmed|noticed by a person) after |^a limit on ")
"""Clauses on a gap whose figures stand in the tables of the lag and of proposals."""
_DIGITS = tuple("-0123456789")
VALUES = 12
"""Rows of the table of values."""
_KINDS = (("prevent", "Prevention"), ("detect", "Detection"), ("mitigate", "Mitigation"), ("process", "Process"))


def _status(p: Postmortem) -> str:
    i = p.incident
    kind = f" · {i.failure}" if i.failure else ""
    return f"**{i.severity} · {i.impact}{kind} · {i.state} · {inert(i.app)} ({inert(i.environment)}) · {_version(p)}**"


def _version(p: Postmortem) -> str:
    """Which text this is: of a draft the time of it, of a published one when that was and up to when it has data."""
    if p.status not in ("published", "amended"):
        return f"{p.status} of {minute(p.at_us)}"
    when = f" {minute(p.published_us)}" if p.published_us is not None else ""
    return f"{p.status}{when}, with data to {minute(p.investigation.at_us)}"


def _facts(p: Postmortem) -> str:
    impact, i = p.investigation.impact, p.incident
    best, low, high = lag_texts(i)
    broken, since, _ = beyond_limit(p.points, i.onset_us, p.investigation.at_us)
    slo = slo_times(broken, since)
    if not _measured(p):
        harmed, users = f"**{reports(p)}**, not measured", "**not measured**"
    else:
        harmed = f"**{impact.harmed:,}** of {impact.n:,} interactions{_harm_refs(p)}" if impact.n else "**cannot tell**"
        users = (
            f"**{impact.users:,}** distinct, among the harmed"
            if impact.users
            else "**cannot tell** traffic names no users"
        )
    cells = {
        "harmed": harmed,
        "users hit": users,
        "SLO minutes": f"**{slo[0]}** of {slo[1].removesuffix(' minutes')} beyond the limit"
        if since
        else "**cannot tell** no chart",
        "detection lag": f"**{best}** {low} to {high}, 95 %" if i.lead else "**cannot tell** no chart saw it",
        "lasted": "**cannot tell** nothing dates the onset"
        if not i.lead
        else f"**{since_onset(i, over_us(i) or p.investigation.at_us)}** "
        + ("from onset to the end of harm" if over_us(i) else "since the onset, not over"),
    }
    return table(tuple(cells), [tuple(cells.values())])


def _measured(p: Postmortem) -> bool:
    """Whether anything beside the reports themselves says who was hit."""
    return bool(p.incident.lead or p.investigation.impact.n)


def _summary(p: Postmortem) -> str:
    return "\n\n".join(prose(p, text) for text in summary_of(p))


def _chart(p: Postmortem) -> str:
    if not p.points:
        return "No observations to draw."
    return f"![{inert(p.chart_title, 300, blank='control chart')}]({p.id}-chart.svg)"


def _impact(p: Postmortem) -> str:
    i, impact = p.incident, p.investigation.impact
    broken, since, width = beyond_limit(p.points, i.onset_us, p.investigation.at_us)
    limit = f"objective {inert(p.objective)}" if p.objective else "control limit"
    rows = [
        ("who", f"{inert(scope_text(i.scope, i.app), 400)} ({inert(i.environment)})"),
        (
            "requests",
            f"{impact.harmed:,} of {impact.n:,} harmed, about {impact.excess:,.0f} beyond the baseline"
            f"{_refs(p, refs_to(p.investigation, HARM_SINCE, ALL_SINCE, HARM_BEFORE, ALL_BEFORE))}"
            if impact.n
            else "cannot tell: no measured traffic is left"
            if _measured(p)
            else f"not measured: {reports(p)}",
        ),
        ("users", _users(p)),
        (
            "SLO minutes",
            f"{limit} broken for {' of '.join(slo_times(broken, since))}, told in windows of {duration(width / 1e6)}"
            if since
            else "cannot tell: no chart",
        ),
    ]
    if (cost := cost_usd(p)) is not None:
        rows.append(("cost", prose(p, f"{cost[0]:,.2f} USD for the harmed interactions{cost[1]}")))
    rows += [("class", _reason(p, i.impact, i.impact_reason)), ("severity", _reason(p, i.severity, i.severity_reason))]
    if i.failure:
        rows.append(("failure type", _reason(p, i.failure, i.failure_reason)))
    rows += [
        (
            f"{o.field}, overruled",
            prose(p, f"{o.suggested or 'nothing'} was suggested; {o.chosen} was chosen: {o.why}"),
        )
        for o in i.overrules
    ]
    return table(("", ""), rows)


def _refs(p: Postmortem, refs: str) -> str:
    """References behind text that is Markdown already; empty where there is no evidence."""
    return f" {prose(p, refs.strip())}" if refs.strip(" []") else ""


def _harm_refs(p: Postmortem) -> str:
    return _refs(p, refs_to(p.investigation, HARM_SINCE, ALL_SINCE))


def _reason(p: Postmortem, word: str, reason: str) -> str:
    said = reason.startswith(f"{word}:") or not reason
    return prose(p, (reason or word) if said else f"{word}: {reason}")


def _users(p: Postmortem) -> str:
    impact = p.investigation.impact
    if not _measured(p):
        return f"not measured: {reports(p)}"
    if not impact.users:
        sessions = f"; {impact.sessions:,} sessions" if impact.sessions else ""
        return f"cannot tell: traffic names no users{sessions}"
    again = f"; {impact.again:,} more than once" if impact.again is not None else ""
    most = f"; one user {impact.most:,} times" if impact.most and impact.most > 1 else ""
    return f"{impact.users:,} users{again}{most}"


def _suspects(p: Postmortem) -> str:
    found = p.investigation.suspects
    if not found and p.incident.lead:
        return "Nothing could be named that explains it."
    if not p.incident.lead:
        return _unexplained(found)
    rows = [
        (inert(s.title, 400), inert(odds(s.probability)), minute(s.at_us) if s.at_us is not None else "–", _whose(s))
        for n, s in enumerate(found[:6])
        if n < 3 or s.probability >= 0.01
    ]
    told = [s for n, s in enumerate(found[:4]) if n == 0 or s.probability >= 0.05]
    return "\n\n".join([table(("explanation", "probability", "when", "whose"), rows), *(_case(p, s) for s in told)])


def _unexplained(found: Sequence[Suspect]) -> str:
    """Of an incident that people reported: the changes to look at, without probabilities, which nothing supports."""
    near = [s for s in found if s.own and s.at_us is not None][:6]
    if not near:
        return CANNOT_TELL
    rows = [(inert(s.title, 400), minute(s.at_us or 0)) for s in near]
    return f"{CANNOT_TELL}\n\nWhat was changed before it was reported, for people to look at:\n\n{table(('change', 'when'), rows)}"


def _whose(s: Suspect) -> str:
    return "our change" if s.own else "not our change"


def _case(p: Postmortem, s: Suspect) -> str:
    lines = [f"**For:** {prose(p, t)}" for t in s.supports] + [f"**Against:** {prose(p, t)}" for t in s.against]
    for t in s.tests:
        source = f" [{', '.join(t.evidence)}]" if t.evidence else ""
        lines.append(f"**Tested, {inert(t.name)}: {t.result}.** {prose(p, t.text + source)}")
    if s.disproof:
        lines.append(f"**To disprove it:** {prose(p, s.disproof)}")
    return f"### {inert(s.title, 160)}\n\n{bullets(lines)}" if lines else ""


def _analyses(p: Postmortem) -> str:
    found = p.investigation.analyses
    parts = [_analysis(p, a) for a in found if a.found == "yes"]
    no = [inert(a.name) for a in found if a.found == "no"]
    if no:
        parts.append(f"Looked for and not found: {', '.join(no)}.")
    parts += [f"Cannot tell, {inert(a.name)}: {prose(p, a.text)}" for a in found if a.found == "cannot tell"]
    return "\n\n".join(parts)


def _analysis(p: Postmortem, a: Analysis) -> str:
    """What was found, and the table; what the table says is not said again in the text."""
    of_rows = [_row_refs(p, a, row) for row in a.rows[1:13]]
    ids = [e for e in a.evidence if not any(f"[[{e}]]" in refs for refs in of_rows)]
    source = f" [{', '.join(ids)}]" if ids else ""
    text = f"**{inert(a.name).capitalize()}.** {prose(p, _beside_table(a) + source)}"
    if len(a.rows) < 2:
        return text
    width = len(a.rows[0])
    cells = [tuple(inert(c) for c in (*row, *[""] * width)[:width]) for row in a.rows[:13]]
    rows = [(first + refs, *rest) for (first, *rest), refs in zip(cells[1:], of_rows, strict=True)]
    return f"{text}\n\n{table(cells[0], rows)}"


def _beside_table(a: Analysis) -> str:
    """The text of an analysis without the figures of single rows of its table."""
    names = [row[0].replace("_", " ") for row in a.rows[1:] if row and row[0]]
    first, *rest = a.text.rstrip(".").split("; ")
    return "; ".join((plain(first).strip() or "–", *(clause for clause in rest if not _of_row(clause, names)))) + "."


def _of_row(clause: str, names: Iterable[str]) -> bool:
    """Whether a clause is the figures of a row: its name, and at once a number."""
    text = _LED.sub("", clause).replace('"', "").replace("_", " ")
    return any(text.startswith(f"{name} ") and text[len(name) + 1 :][:1] in _DIGITS for name in names)


def _row_refs(p: Postmortem, a: Analysis, row: Sequence[str]) -> str:
    """References to the evidence of one metric in the table of an analysis."""
    name = row[0].replace("_", " ") if row else ""
    if name.startswith("harm ("):
        return _refs(p, refs_to(p.investigation, HARM_BEFORE, ALL_BEFORE, HARM_SINCE, ALL_SINCE))
    claims = (f"{name} before the onset", f"{name} since the onset")
    ids = [e.id for e in p.investigation.evidence if e.claim in claims and e.id in a.evidence]
    return _refs(p, f"[{', '.join(ids)}]")


def _examples(p: Postmortem) -> str:
    found = p.investigation
    if not found.examples:
        return "No failing interaction could be read back."
    rows = [
        (
            quote(e.question, "(no question)"),
            quote(e.answer),
            f"{quote(e.expected)} ({inert(e.expected_from)})" if e.expected else "not known yet: a person labels it",
        )
        for e in found.examples[:6]
    ]
    parts = [table(("question", "answer", "expected"), rows)]
    if found.confidence.text:
        ids = ", ".join(e.id for e in found.evidence if "with a confidence of" in e.claim)
        source = f" [{ids}]" if ids else ""
        parts.append(prose(p, f"{_sentence(plain(found.confidence.text).strip(' .')) or '–'}{source}."))
    known = {(e.question, e.expected) for e in found.examples[:6]}  # what stands in the first table already
    fine = [
        (quote(e.question, "(no question)"), quote(e.answer))
        for e in found.passing[:4]
        if (e.question, e.answer) not in known
    ]
    if fine:
        parts += [
            "For comparison, answers of the same time and kind that were not harmed:",
            table(("question", "not harmed"), fine),
        ]
    return "\n\n".join(parts)


def _scope(p: Postmortem) -> str:
    found = p.investigation
    reason = f": {prose(p, found.verdict_reason).rstrip('.')}" if found.verdict_reason else ""
    parts = [f"**{found.verdict.capitalize()}**{reason}."]
    if alike(p):
        parts.append("Everywhere alike: no part of the traffic surely has more than the rest.")
    if found.slices:
        parts.append("Where the harm lies, the surest first:")
        rows = [_slice(p, s) for s in found.slices[:6]]
        parts.append(table(("part of the traffic", "before", "since", "outside of it", "share of the excess"), rows))
    if found.parts:
        rows = [
            (
                f"{inert(part.field.replace('_', ' '))} {inert(part.value, blank='(blank)')}",
                _share(part.before_x, part.before_n),
                _share(part.after_x, part.after_n),
                _interval(part.low, part.high),
            )
            for part in found.parts[:VALUES]
        ]
        parts.append(table(("value", "before", "since", "difference, 95 %"), rows))
        parts += _counted(p)
    elif not found.slices:
        parts.append("No part of the traffic can be told apart.")
    return "\n\n".join(parts)


def _slice(p: Postmortem, s: HarmedSlice) -> tuple[str, ...]:
    name = ", ".join(f"{k} {v}" for k, v in s.where.items())  # as the claims of its evidence say it
    source = refs_to(p.investigation, f"{HARM_SINCE} in {name}", f"{ALL_SINCE} in {name}")
    return (
        prose(p, scope_text(s.where) + source),
        _share(s.before_x, s.before_n),
        _share(s.after_x, s.after_n),
        _share(s.outside_x, s.outside_n),
        percent(round(s.share, 3)),
    )


def _counted(p: Postmortem) -> list[str]:
    """References to the counts by value, for each field of the table of values."""
    names = dict.fromkeys(part.field.replace("_", " ") for part in p.investigation.parts[:VALUES])
    told = [f"{inert(name)}{refs}" for name in names if (refs := _refs(p, refs_to(p.investigation, *_counts(name))))]
    return [f"Counted by {', '.join(told)}."] if told else []


def _counts(name: str) -> list[str]:
    return [f"{what} {when} by {name}" for when in _SIDES for what in ("harmed interactions", "interactions")]


def _share(x: int, n: int) -> str:
    return f"{x:,} of {n:,} ({percent(x / n)})" if n else "no traffic"


def _interval(low: float, high: float) -> str:
    if (low, high) == (-1.0, 1.0):
        return "cannot tell"
    return f"{100 * low:+.3g} to {100 * high:+.3g} points".replace("-", "−")


def _detection(p: Postmortem) -> str:
    found, i = p.investigation, p.incident
    alarms = [f"{when}: {inert(what, 300)}" for what, when in _once(moved(p))[:6]]
    parts = [_gap(p), f"Which charts spoke first:\n\n{bullets(alarms)}" if alarms else "No chart spoke."]
    if found.gap.proposals:
        rows = [
            (
                inert(x.title),
                offset(i, x.fired_us),
                duration(x.sooner_s),
                f"{x.false_pages:.3g}",
                inert(x.command, 600),
            )
            for x in found.gap.proposals[:5]
        ]
        head = ("monitor to add", "signals at", "sooner by", "false pages a month", "command")
        parts += ["Measured by replay of this incident's traffic:", table(head, rows)]
    return "\n\n".join(parts)


def _gap(p: Postmortem) -> str:
    """The kind of the gap with its reason, and the lag step by step; the whole sentence where it is made otherwise."""
    gap, rows = p.investigation.gap, lag_rows(p)
    if not gap.text:
        return "No gap is recorded."
    why = why_late(p)
    kind = "No gap" if gap.kind == "none" else gap.kind.capitalize()
    clauses = gap.text.rstrip(".").split("; ")
    if why:
        clauses = [why, *(c for c in clauses if not _IN_TABLES.search(c) and not c.startswith(f"{gap.kind}: "))]
    first, *rest = (prose(p, c) for c in clauses)
    told = f"**{kind}**: {first}.{''.join(f' {_sentence(c)}.' for c in rest)}"
    return f"{told}\n\n{table(('step', 'took', 'interval'), rows)}" if rows else told


def _sentence(clause: str) -> str:
    return clause[:1].upper() + clause[1:]


def _once(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The first of each, where a warning of the same thing does not come first."""
    first: dict[str, tuple[str, str]] = {}
    for what, when in pairs:
        first.setdefault(what.split(" (a warning")[0], (what, when))
    return list(first.values())


def _surprise(p: Postmortem) -> str:
    """What moved, and what people usually look at and did not move."""
    spoke = [inert(what.split(" (a warning")[0], 300) for what, _ in _once(moved(p))]
    parts = [f"What moved: {', '.join(spoke)}." if spoke else "No chart moved enough to signal."]
    calm = steady(p)
    if calm:
        refs = _refs(p, refs_to(p.investigation, USUAL_BEFORE, USUAL_SINCE))
        parts += [f"What is usually watched raised no signal{refs}:", table(("metric", "before", "since"), calm)]
    return "\n\n".join(parts)


def _factors(p: Postmortem) -> str:
    return _factor_list(p, (*p.factors, *p.review.factors)) or "None that the record shows."


def _factor_list(p: Postmortem, factors: Iterable[ContributingFactor]) -> str:
    return bullets(f"**{f.area.capitalize()}**: {prose(p, f.text)}" for f in factors)


def _interactions(p: Postmortem) -> str:
    texts = interactions(p)
    return bullets(prose(p, t) for t in texts) if texts else "The record shows no pair of factors that worked together."


def _went_well(p: Postmortem) -> str:
    return bullets(prose(p, t) for t in went_well(p))


def _actions(p: Postmortem) -> str:
    return _action_table(p, p.actions) if p.actions else "None yet."


def _actions_by_kind(p: Postmortem) -> str:
    parts = []
    for kind, title in _KINDS:
        rows = [a for a in p.actions if a.kind == kind]
        parts.append(f"### {title}\n\n" + (_action_table(p, rows) if rows else "None yet."))
    return "\n\n".join(parts)


def _action_table(p: Postmortem, actions: Sequence[ActionItem]) -> str:
    rows = [
        (
            f"{inert(a.id.rpartition('-')[2])}: {inert(a.title, 600)}",
            a.kind,
            inert(a.owner, blank=NOBODY),
            minute(a.due_us)[:10],
            prose(p, a.criterion.text if a.criterion else "nobody has chosen a test yet", 600),
            _proof(a),
        )
        for a in actions
    ]
    return table(("action", "kind", "owner", "due", "done when", "state"), rows)


def _proof(a: ActionItem) -> str:
    if a.state == "dropped":
        return f"dropped: {inert(a.why, blank='no reason given')}"
    if a.proof is not None:
        return f"{a.state}; {inert(a.proof.text, 400)}"
    return f"{a.state}, closed elsewhere without a proof" if a.claimed else a.state


def _layers(p: Postmortem) -> str:
    return table(("layer", "what the record shows"), [(name, prose(p, text)) for name, text in layers(p)])


def _checklist(p: Postmortem) -> str:
    return table(("question", "what the record answers"), [(q, prose(p, a)) for q, a in checklist(p)])


def _evidence(p: Postmortem) -> str:
    rows = [
        (
            e.id,
            inert(e.claim),
            ", ".join(f"{inert(k)}: {v:,.6g}" if v % 1 else f"{inert(k)}: {v:,.0f}" for k, v in _figures(e)[:8]) or "–",
            inert(str(e.plan.get("plan", "–")), 40),
        )
        for e in p.investigation.evidence
    ]
    if not rows:
        return "The investigation keeps no evidence."
    found = p.investigation.evidence
    checks = f"; andon evidence verify {p.id} checks {found[0].id} to {found[-1].id}" if found else ""
    told = (
        f"Figures with a reference can be computed again from the plans that are stored with these rows{checks}. Those without "
        "one, such as users, the timeline, windows of the chart, repeated questions and tests by the hour, were worked out from "
        "rows that are not kept here."
    )
    return f"{told}\n\n{table(EVIDENCE_HEAD, rows)}"


def _figures(e: Evidence) -> list[tuple[str, float]]:
    """How many; of the figures that the document computed, the sums that it shows."""
    if e.claim in (USUAL_BEFORE, USUAL_SINCE, COST):
        names = [k.removesuffix(".wsum") for k in e.figures if k.endswith(".wsum")]
        return [(f"{m} over {e.figures[f'{m}.w']:,.0f}", e.figures[f"{m}.wsum"]) for m in sorted(names)]
    return counts_of(e)


BLOCKS: dict[str, Callable[[Postmortem], str]] = {
    "status": _status,
    "facts": _facts,
    "summary": _summary,
    "chart": _chart,
    "impact": _impact,
    "milestones": milestones,
    "timeline": timeline,
    "suspects": _suspects,
    "analyses": _analyses,
    "examples": _examples,
    "scope": _scope,
    "detection": _detection,
    "surprise": _surprise,
    "factors": _factors,
    "interactions": _interactions,
    "went_well": _went_well,
    "actions": _actions,
    "actions_by_kind": _actions_by_kind,
    "layers": _layers,
    "checklist": _checklist,
    "evidence": _evidence,
}
"""What a template may print by name, beside the values of the record."""
