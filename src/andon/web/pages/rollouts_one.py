"""One rollout: what is decided and why, the effect at each look, what guards it, and what can be done about it."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from markupsafe import Markup
from starlette.responses import Response

from andon.errors import AndonError, InputError
from andon.levers import run as levers
from andon.levers.run.reporting import report_of, steps_of
from andon.rollouts import Experiment, Finding
from andon.rollouts.drawing import NARROW
from andon.rollouts.report import (
    CAPTION,
    OF_HARM,
    Report,
    Rows,
    drawn,
    facts,
    finding_row,
    headline,
    is_over,
    points_of,
    render_html,
    render_markdown,
    sections,
    status,
)
from andon.rollouts.run.planning import find_experiment
from andon.rollouts.told import version_text, versions_text
from andon.web import charts
from andon.web.asking import Ask, Done, Gone, Page
from andon.web.pages.rollouts import KINDS, TONES, row_of, short
from andon.web.pages.rollouts_new import as_page_says, fields_of, in_words, named_in
from andon.web.routing import Pages
from andon.web.tables import Cell, Column, Table

__all__ = ["pages"]

pages = Pages()
ROLES = (("primary", "Primary metric"), ("guardrail", "Guardrails"), ("segment", "By risk category"))
VERDICTS = {"better": "good", "not worse": "good", "worse": "bad", "undecided": ""}
LOOKS = 14
"""Looks that the table shows; the drawing and the file have all."""
_FILE = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox",
}


@pages.read("/rollouts/{name}")
def one(ask: Ask, name: str) -> Page:
    """One experiment."""
    report = _report(ask, name)
    e, row = report.experiment, row_of(report)
    last = report.decisions[-1] if report.decisions else None
    found = (
        []
        if last is None
        else [(title, _findings(report, role, [f for f in last.findings if f.role == role])) for role, title in ROLES]
    )
    tables = [t for _, t in found if t.rows]
    looks = _looks(report, everything=ask.exporting)
    plain = {s.title: s for s in sections(report)}
    texts = {title: [b for b in s.blocks if isinstance(b, str)] for title, s in plain.items()}
    draws = bool(points_of(report))
    return Page(
        template="rollouts/one.html",
        title=f"{row.outcome or row.state}: {name}",
        tables=[*tables, looks, *_plain_tables(report)],
        markdown=lambda: render_markdown(report),
        context={
            "e": e,
            "report": report,
            "row": row,
            "status": status(report),
            "compared": versions_text(e),
            "headline": short(headline(report, how=False)),
            "opening": _opening(report),
            "facts": facts(report),
            "drawn": (Markup(drawn(report)), Markup(drawn(report, NARROW))) if draws else None,  # noqa: S704 - escaped there
            "caption": CAPTION if e.kind == "ab" else CAPTION + OF_HARM,
            "findings": [(title, t) for title, t in found if t.rows],
            "texts": texts,
            "hypothesis": next((b.rows for b in plain["Hypothesis"].blocks if isinstance(b, Rows)), ()),
            "looks": looks,
            "gates": report.gates,
            "changes": report.changes,
            "events": _events(report),
            "steps": steps_of(ask.ledger, report) if last is not None and last.outcome == "promote" else [],
            "version": version_text(e.treatment),
            "start_problem": (not_yet := _start_problem(ask, report)),
            "other": "" if not not_yet or named_in(not_yet) == e.id else named_in(not_yet),
            "over": is_over(report),
            "kinds": KINDS,
            "tones": TONES,
            "change_query": urlencode({**fields_of(e), "change": e.id}),
        },
    )


@pages.read("/rollouts/{name}/report.html")
def report_page(ask: Ask, name: str) -> Response:
    """The report as one page to keep or send."""
    report = _report(ask, name)
    head = {**_FILE, "content-disposition": f'attachment; filename="{report.experiment.id}.html"'}
    return Response(render_html(report), media_type="text/html; charset=utf-8", headers=head)


@pages.act("/rollouts/{name}/start", role="responder")
def start(ask: Ask, name: str) -> Done:
    """Serve the treatment to its share; from now on the plan cannot be changed."""
    e = _experiment(ask, name)
    with as_page_says():
        split = levers.start_split(ask.ledger, e, why=ask.given("why", "why"), by=ask.by, now_us=ask.now_us)
    whom = "who asks for the shadow" if split.shadow else f"{100 * split.share:.3g} % of the users"
    what = (
        f"{whom} may be given {version_text(split.treatment)} of {split.lever}"
        if split.lever
        else f"{versions_text(e)} is looked at"
    )
    return Done(to=f"/rollouts/{e.id}", said=f"{e.id} is started: {what}.")


@pages.act("/rollouts/{name}/end", role="responder")
def end(ask: Ask, name: str) -> Done:
    """Take the treatment out: everybody has the control again."""
    e = _experiment(ask, name)
    done = levers.stop_split(ask.ledger, e.id, why=ask.given("why", "why"), by=ask.by, now_us=ask.now_us)
    then = f"everybody is given {version_text(done.control)} of {done.lever} in {done.environment} again"
    if done.lever is None:
        then = f"it is not looked at any more; {e.field} is served as before, by what serves it"
    return Done(to=f"/rollouts/{e.id}", said=f"{e.id} is ended: {then}.")


@pages.act("/rollouts/{name}/promote", role="responder")
def promote(ask: Ask, name: str) -> Done:
    """Make the treatment live in one environment, by the rules of every promotion."""
    e, report = _experiment(ask, name), _report(ask, name)
    if e.lever is None:
        raise InputError(
            f"Andon does not serve {e.field}, so it promotes nothing: let what serves it give the treatment to everybody"
        )
    place = ask.given("to", "where")
    if place not in {s.name for s in steps_of(ask.ledger, report)} - {"end"}:
        raise InputError(f"{place} is no environment of this promotion")
    levers.promote(
        ask.ledger,
        e.lever,
        e.treatment or "default",
        to=place,
        why=ask.maybe("why") or e.id,
        by=ask.by,
        now_us=ask.now_us,
    )
    return Done(
        to=f"/rollouts/{e.id}", said=f"{version_text(e.treatment).capitalize()} of {e.lever} is live in {place}."
    )


def _experiment(ask: Ask, name: str) -> Experiment:
    """The experiment of a page.

    Raises:
        Gone: there is none.
    """
    try:
        return find_experiment(ask.ledger, name)
    except InputError:
        raise Gone(f"There is no experiment {name[:60]!r}", "/rollouts", "All rollouts") from None


def _report(ask: Ask, name: str) -> Report:
    return report_of(ask.ledger, _experiment(ask, name), ask.now_us)


def _opening(report: Report) -> list[str]:
    """What follows from the decision, without commands: those are buttons."""
    e, split = report.experiment, report.allocation
    outcome = report.decisions[-1].outcome if report.decisions else "undecided"
    said = []
    if split is not None and split.ended_us is not None:
        rest = "Everybody has the control again." if e.field is None else "It is not looked at any more."
        said.append(f"{split.ended_by} ended it: {split.ended_why}. {rest}")
    elif split is not None and is_over(report):
        said.append(
            "Its time is over: everybody has the control again."
            if e.field is None
            else "Its time is over: it is not looked at any more."
        )
    elif outcome in ("hold", "roll back") and e.field is None:
        said.append("The treatment is still served: end the experiment to take it out.")
    if e.field is not None and outcome in ("hold", "roll back"):
        also = "" if outcome == "roll back" else ", or further,"
        said.append(
            f"Andon does not serve {e.field}: take the treatment out{also} where it is served. What can be pulled meanwhile stands under Levers."
        )
    if split is not None and any(at > split.from_us for at, _ in report.written):
        said.append(
            "The plan was changed after the start, so what it promises does not hold: treat the result as a first idea."
        )
    return said


def _findings(report: Report, role: str, rows: Sequence[Finding]) -> Table:
    """What is shown on metrics of one role, with the interval drawn around no effect."""
    e = report.experiment
    columns = (
        Column(key="metric", title="metric"), Column(key="verdict", title="verdict", kind="tag"), Column(key="control", title="control", kind="number"),
        Column(key="treatment", title="treatment", kind="number"), Column(key="drawn", title="less | more", kind="picture"),
        Column(key="effect", title="effect", kind="number"), Column(key="text", title="what was seen", wide=True),
    )  # fmt: skip
    margins = {(g.metric, g.risk_category): g.margin for g in e.guardrails}
    ends = [abs(v) for f in rows for v in (f.low, f.high, f.effect) if v is not None]
    marks = [
        margins.get((f.metric, f.risk_category)) if role == "guardrail" else e.effect if role == "primary" else None
        for f in rows
    ]
    reach = 1.05 * max([*ends, *(m for m in marks if m is not None)], default=1.0)
    found: list[dict[str, Any]] = []
    for f, mark in zip(rows, marks, strict=True):
        name, control, treatment, effect, interval, _ = finding_row(report, f)
        sign = -1 if role == "primary" and e.kind == "ab" and e.better == "down" else 1
        tone = VERDICTS[f.verdict]
        picture = charts.interval(
            f.low,
            f.effect,
            f.high,
            f"{name}: {effect}, {interval}",
            reach=reach,
            tone=tone,
            mark=None if mark is None else sign * mark,
        )
        found.append(
            {
                "metric": name if role != "segment" else f.risk_category or "none", "verdict": f.verdict, "control": control, "treatment": treatment,
                "drawn": picture, "effect": Cell(value=effect, note=interval, tone=tone if tone == "bad" else ""), "text": f.text,
                "_tone": "bad" if f.verdict == "worse" else "",
            }
        )  # fmt: skip
    return Table(name=role, title=dict(ROLES)[role], columns=columns, rows=found)


def _looks(report: Report, *, everything: bool) -> Table:
    """The looks that were taken, the newest first."""
    columns: tuple[Column, ...] = (
        Column(key="look", title="look", kind="number"), Column(key="until", title="until", kind="time"), Column(key="outcome", title="outcome", kind="tag"),
        Column(key="effect", title="effect", kind="number"), Column(key="control", title="control users", kind="number"),
        Column(key="treatment", title="treatment users", kind="number"), Column(key="fraction", title="of the plan", kind="rate"),
        Column(key="split_p", title="p of the split", kind="number"),
    )  # fmt: skip
    if everything:
        columns = (
            *columns,
            Column(key="low", title="low"),
            Column(key="high", title="high"),
            Column(key="why", title="why"),
        )
    table = next((b for s in sections(report) if s.title == "Looks" for b in s.blocks if isinstance(b, Rows)), None)
    words = [] if table is None else [(r[4], r[5]) for r in table.rows]
    rows: list[dict[str, Any]] = []
    for d, (effect, interval) in zip(report.decisions, words, strict=True):
        rows.append(
            {
                "look": d.look, "until": d.at_us, "outcome": d.outcome, "effect": Cell(value=effect, note=interval), "control": d.control.n,
                "treatment": d.treatment.n, "fraction": d.fraction, "split_p": d.ratio_mismatch, "low": d.low, "high": d.high,
                "why": d.reason,
            }
        )  # fmt: skip
    rows.reverse()
    return Table(
        name="looks",
        title="Looks",
        columns=columns,
        rows=rows if everything else rows[:LOOKS],
        empty="No look is taken yet.",
    )


def _plain_tables(report: Report) -> list[Table]:
    gates = Table(
        name="gates", title="What the gate said", columns=(Column(key="version", title="version", kind="code"), Column(key="said", title="what the gate said of it", wide=True)),
        rows=[{"version": v, "said": s} for v, s in report.gates],
    )  # fmt: skip
    changes = Table(
        name="changes", title="Changes that it wrote", columns=(Column(key="at", title="when", kind="time"), Column(key="change", title="change"), Column(key="title", title="title", wide=True)),
        rows=[{"at": at, "change": Cell(value=i, link=f"/changes/{i}"), "title": t} for at, i, t in report.changes],
    )  # fmt: skip
    return [t for t in (gates, changes) if t.rows]


def _events(report: Report) -> list[tuple[int, str, str, str]]:
    """(time, kind, who, what): its course, the earliest first; of the looks those that decided otherwise than the one before."""
    split = report.allocation
    found = [
        (at, "change", by, "wrote the plan" if n == 0 else "rewrote the plan")
        for n, (at, by) in enumerate(report.written)
    ]
    if split is not None:
        found.append((split.from_us, "lever", split.by, f"started it: {split.why}"))
    before = "undecided"
    for d in report.decisions:
        if d.outcome != before:
            found.append(
                (
                    d.at_us,
                    "signal" if d.outcome == "roll back" else "state",
                    f"look {d.look}",
                    f"{d.outcome}: {d.reason}",
                )
            )
        before = d.outcome
    if split is not None and split.ended_us is not None:
        found.append((split.ended_us, "lever", split.ended_by or "", f"ended it: {split.ended_why}"))
    return sorted(found, key=lambda x: x[0])


def _start_problem(ask: Ask, report: Report) -> str | None:
    """Why a plan cannot be started now; empty where it can, None where it was."""
    if report.allocation is not None:
        return None
    try:
        levers.check_start(ask.ledger, report.experiment, ask.now_us)
    except AndonError as error:
        return in_words(str(error))
    return ""
