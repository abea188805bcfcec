"""Commands about investigations: the four questions, and the figures behind them."""

from collections.abc import Sequence
from typing import Annotated

import typer

from andon.cli.screen import now_us, opened, say, show_table
from andon.errors import InputError, StateError
from andon.evals.disproof import ask_of
from andon.evals.targets import make_target
from andon.incidents import Incident, duration, odds
from andon.incidents.run import find_incident
from andon.investigations import Evidence, Investigation, SuspectTest
from andon.investigations.evidence import figures_about
from andon.investigations.run.evidence import investigation_of
from andon.investigations.run.evidence import verify as verify_evidence
from andon.loop import Loop
from andon.monitors.verdicts import percent
from andon.traffic import format_time

__all__ = ["add_to"]

Id = Annotated[str, typer.Argument(metavar="INCIDENT", help="The incident, e.g. INC-0001.")]
Version = Annotated[int | None, typer.Option(min=1, help="Version of the investigation; the latest unless given.")]
First = Annotated[bool, typer.Option("--first", help="What was frozen when the incident opened.")]

SHOWN = 4
"""Rows of each table of `andon investigate`: four questions fit on one screen."""

CHARS = 70
"""Of a question or an answer in a table."""


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(investigate)
    evidence = typer.Typer(help="The figures behind an investigation.", no_args_is_help=True)
    evidence.command()(verify)
    evidence.command()(show)
    app.add_typer(evidence, name="evidence")


def investigate(
    incident_id: Id,
    old: Annotated[
        str | None, typer.Option(help="Target as it was before, to ask the failing questions again.")
    ] = None,
    new: Annotated[
        str | None, typer.Option(help="Target as it is now; both are given as for `andon eval run`.")
    ] = None,
) -> None:
    """Answer the four questions anew with everything that is known now."""
    if (old is None) != (new is None):
        raise InputError("give both --old and --new: a replay compares the two on the same questions")
    ask = ask_of(make_target(old), make_target(new)) if old is not None and new is not None else None
    with opened() as loop:
        incident = find_incident(loop.ledger, incident_id)
        found = loop.look_into(incident, now_us(), ask).investigation
    say(incident.title)
    _output(found)
    _changed(found)
    _spread(found)
    _late(found, incident)
    say(f"\nFigures: {len(found.evidence)}, frozen; `andon evidence verify {found.id}` recomputes them")


def _output(found: Investigation) -> None:
    """Question 1."""
    known = [e for e in found.examples if e.expected is not None]
    say("\n1. What was the output, and what should it have been?")
    if not found.examples:
        say("   cannot tell: no failing interaction can be read back")
        return
    say(
        f"   {len(found.examples)} failing answers stand for it; what was expected is known of {len(known)}; "
        f"confidence: {found.confidence.text or 'not looked at'}{_ids(found, 'confidence')}"
    )
    rows = [
        (_short(e.question), _short(e.answer), _short(e.expected), e.expected_from)
        for e in (*known, *(e for e in found.examples if e.expected is None))
    ]
    show_table(("question", "failing answer", "expected", "known from"), rows[:SHOWN], empty="")
    beside = [(_short(e.question), _short(e.answer)) for e in found.passing[: SHOWN // 2]]
    if beside:
        show_table(("beside it: question of the same time and kind", "passing answer"), beside, empty="")


def _changed(found: Investigation) -> None:
    """Question 2."""
    say("\n2. What changed?")
    if not found.suspects:
        say("   cannot tell: nothing could be named that explains it")
        return
    first = found.suspects[0]
    say(f"   most likely ({odds(first.probability)}): {first.title}")
    rows = [
        (odds(s.probability), s.title, "; ".join(s.supports), "; ".join(s.against), _tests(s.tests) or s.disproof)
        for s in found.suspects[:SHOWN]
    ]
    show_table(("", "suspect", "for", "against", "tests"), rows, empty="")
    for a in found.analyses:
        if a.found == "yes":
            say(f"   {a.name}: {a.text}{_list(a.evidence)}")


def _tests(tests: Sequence[SuspectTest]) -> str:
    return "; ".join(f"{t.name}: {t.result}{_list(t.evidence)}" for t in tests)


def _spread(found: Investigation) -> None:
    """Question 3."""
    say("\n3. Isolated or systematic?")
    i = found.impact
    again = "" if i.again is None else f", {i.again:,} of them more than once"
    users = "traffic names no users" if i.users is None else f"{i.users:,} users{again}"
    say(f"   {found.verdict}: {found.verdict_reason}{_ids(found, 'onset', 'interactions')}")
    say(f"   hit since the onset: {i.harmed:,} interactions, about {i.excess:,.0f} beyond the baseline; {users}")
    slices = [
        (
            ", ".join(f"{k} {v}" for k, v in s.where.items()),
            _rate(s.before_x, s.before_n),
            _rate(s.after_x, s.after_n),
            _rate(s.outside_x, s.outside_n),
            percent(s.share),
        )
        for s in found.slices[:SHOWN]
    ]
    parts = [
        (f"{p.field} {p.value}", _rate(p.before_x, p.before_n), _rate(p.after_x, p.after_n), "", "")
        for p in found.parts[:SHOWN]
    ]
    if parts and not slices:
        alike = "everywhere alike: " if found.verdict == "systematic" else ""
        say(f"   {alike}no part of the traffic surely has more of the harm than the rest")
    head = ("part of the traffic", "before", "since", "elsewhere since", "share of the harm")
    show_table(head, slices or parts, empty="   no part of the traffic stands out")


def _late(found: Investigation, incident: Incident) -> None:
    """Question 4."""
    say("\n4. Why was it not seen sooner?")
    say(f"   {found.gap.text}{_ids(found, 'limit would have spoken')}")
    rows = [
        (p.title, format_time(p.fired_us), duration(p.sooner_s), f"{p.false_pages:.2g}") for p in found.gap.proposals
    ]
    if rows:
        show_table(("limit", "would have spoken", "sooner by", "false a month"), rows, empty="")
        say(f"   add it: {found.gap.proposals[0].command}")
    if incident.lead and not found.first_alarms:
        say("   no signal of it is in the ledger")


def verify(incident_id: Id, version: Version = None, first: First = False) -> None:
    """Recompute every figure of an investigation: from its digest, its frozen rows and the tables."""
    with opened() as loop:
        found, number = _chosen(loop, incident_id, version, first=first)
        checks = verify_evidence(loop.warehouse, loop.ledger, found)
    say(f"version {number} of the investigation of {incident_id}: what was known at {format_time(found.at_us)}")
    rows = [(c.id, c.claim, "DIFFERS: " + c.text if c.outcome == "DIFFERS" else c.text) for c in checks]
    show_table(("", "figure", "recomputed"), rows, empty="the investigation holds no figures")
    counts = {o: sum(c.outcome == o for c in checks) for o in ("same", "changed", "cannot tell", "DIFFERS")}
    say(", ".join(f"{n} {o}" for o, n in counts.items() if n) or "nothing to check")
    if counts["DIFFERS"]:
        wrong = ", ".join(c.id for c in checks if c.outcome == "DIFFERS")
        raise StateError(
            f"{wrong} of {incident_id} cannot be recomputed: the record or the tables were altered; compare with "
            f"`andon evidence verify {incident_id} --first`"
        )


def show(
    incident_id: Id,
    evidence_id: Annotated[
        str | None, typer.Argument(metavar="FIGURE", help="One figure, e.g. E3; all in short unless given.")
    ] = None,
    version: Version = None,
    first: First = False,
) -> None:
    """What an investigation states as figures; of one of them the plan, the figures and the frozen rows."""
    with opened() as loop:
        found, number = _chosen(loop, incident_id, version, first=first)
    if evidence_id is None:
        rows = [(e.id, e.claim, _told(e.figures), len(e.rows)) for e in found.evidence]
        show_table(("", "figure", "counts", "rows frozen"), rows, empty="the investigation holds no figures")
        return
    e = next((e for e in found.evidence if e.id == evidence_id), None)
    if e is None:
        known = ", ".join(e.id for e in found.evidence) or "none"
        raise InputError(f"version {number} of {incident_id} has no figure {evidence_id!r}; it has {known}")
    _one(e)


def _one(e: Evidence) -> None:
    say(f"{e.id}: {e.claim}\n")
    span = e.plan.get("span") or {}
    plan = [(k, v) for k, v in e.plan.items() if v not in (None, [], "") and k not in ("span", "where")]
    times = [(k, format_time(v)) for k, v in span.items()]
    where = [
        ("where", f"{w['column']} {w['op']} {'' if w['value'] is None else w['value']}")
        for w in e.plan.get("where", ())
    ]
    upto = [("commits", "not known" if e.upto is None else f"up to {e.upto}"), ("digest", e.digest or "none")]
    show_table(("plan", ""), [*plan, *times, *where, *upto], empty="")
    say("")
    show_table(("figure", "value"), [(k, f"{v:,.12g}") for k, v in e.figures.items()], empty="no figures")
    say(f"\n{len(e.rows)} rows frozen{':' if e.rows else ''}")
    if e.rows:
        head = tuple(e.rows[0])
        show_table(head, [tuple(_short(r.get(k)) for k in head) for r in e.rows[:20]], empty="")


def _chosen(loop: Loop, incident_id: str, version: int | None, *, first: bool) -> tuple[Investigation, int]:
    if first and version is not None:
        raise InputError(f"--first is --version 1; give one of them, not --version {version} too")
    return investigation_of(loop.ledger, find_incident(loop.ledger, incident_id), 1 if first else version)


def _told(figures: dict[str, float]) -> str:
    return ", ".join(f"{k} {v:,.6g}" for k, v in figures.items() if k.endswith((".n", ".w", "rows", "groups")))


def _ids(found: Investigation, *words: str) -> str:
    """References to the figures whose claim has all of these words."""
    return _list(figures_about(found.evidence, *words))


def _list(ids: tuple[str, ...]) -> str:
    return f" [{', '.join(ids[:6])}]" if ids else ""


def _rate(x: int, n: int) -> str:
    return f"{percent(x / n)} of {n:,}" if n else "no traffic"


def _short(text: object) -> str:
    if text is None:
        return ""
    line = " ".join(str(text).split())
    return line if len(line) <= CHARS else line[: CHARS - 1] + "…"
