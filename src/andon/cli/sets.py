"""Commands about the golden set as a whole: golden list, export, import, retire, history, coverage, growth, reframe."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from andon.cli.running import refresh
from andon.cli.screen import now_us, opened, plain, progress, say, show_table, who
from andon.errors import InputError
from andon.golden import Case
from andon.golden import run as golden
from andon.golden.coverage import Hole
from andon.golden.formats import FORMATS, OWN
from andon.traffic import parse_time
from andon.traffic.clock import format_time

__all__ = ["add_to"]

NONE_YET = (
    "no golden case yet; `andon golden add` makes cases of labelled failures, `andon golden import FILE` takes a set in"
)

App = Annotated[str | None, typer.Option(help="Only cases of this application.")]
CaseId = Annotated[str, typer.Argument(help="Id of the case, G-...", metavar="CASE")]

ORIGINS = ("incident", "feedback", "score", "re-framing", "by hand")
MOST_HOLES = 12
SHOWN = 80
"""Characters of an example."""

MOST_NAMED = 20
"""Refused rows of a file that are named, each on its line; the others are counted."""

DAY_US = 86_400_000_000


def add_to(group: typer.Typer) -> None:
    """Add these commands to `andon golden`."""
    group.command(name="list")(list_)
    group.command(name="export")(export)
    group.command(name="import")(import_)
    group.command()(retire)
    group.command()(history)
    group.command()(coverage)
    group.command()(growth)
    group.command()(reframe)


def list_(
    app: App = None,
    incident: Annotated[str | None, typer.Option(help="Only cases of this incident.")] = None,
    at: Annotated[
        str | None, typer.Option(help="The set as it was at the end of this day, or at this time (ISO 8601).")
    ] = None,
    retired: Annotated[bool, typer.Option("--retired", help="Retired cases too.")] = False,
) -> None:
    """The golden cases."""
    until = None if at is None else parse_time(at) + (DAY_US - 1 if len(at) == len("2026-11-01") else 0)
    with opened() as loop:
        cases = golden.load_set(loop.ledger, app, retired=retired, incident=incident, at_us=until)
    rows = [
        (
            c.id,
            c.added_date,
            c.incident,
            c.question[:80],
            c.ground_truth[:60],
            c.metric,
            _state(c.retired, c.variant_of),
        )
        for c in cases
    ]
    show_table(
        ("case", "added", "incident", "question", "right answer", "metric", ""),
        rows,
        empty=NONE_YET if at is None else f"no golden case at {at}",
    )


def export(
    path: Annotated[Path, typer.Argument(help="File to write.")],
    app: App = None,
    form: Annotated[str, typer.Option("--format", help=f"{', '.join(FORMATS)}.")] = OWN,
) -> None:
    """Write the golden set as JSONL that a team keeps in git, or in the format of another tool."""
    with opened() as loop:
        n, left_out = golden.export_as(loop.ledger, path, form, app=app)
    for refused in left_out[:MOST_NAMED]:
        say(f"left out {refused.id}: {refused.reason}")
    also = f", {len(left_out)} left out" if left_out else ""
    say(f"{n} lines written to {path}" if form == OWN else f"{n} cases written to {path} as {form}{also}")


def import_(
    path: Annotated[Path, typer.Argument(help="File to read.", exists=True)],
    app: Annotated[str, typer.Option(help="Application of cases that name none.")] = "default",
    form: Annotated[
        str | None, typer.Option("--format", help=f"{', '.join(FORMATS)}; else recognised by its content.")
    ] = None,
) -> None:
    """Take an existing golden set in, of Andon or of another tool."""
    with opened() as loop:
        result = golden.import_set(loop.ledger, path, now_us=now_us(), by=who(), app=app, form=form)
        changed = [c for i in result.changed if (c := loop.ledger.get(Case, i)) is not None]
        told = [refresh(loop, name) for name in dict.fromkeys(c.app for c in (*result.added, *changed))]
    for refused in result.refused[:MOST_NAMED]:
        say(f"refused {refused.id}: {refused.reason}")
    if len(result.refused) > MOST_NAMED:
        say(f"and {len(result.refused) - MOST_NAMED} more refused")
    if result.refused:
        say(f"what is refused is in no set: correct it in {path} and import it again; what was taken in stays as it is")
    for one, other in result.conflicts:
        say(f"conflict: {one} and {other} ask the same and differ in what is right")
    for doubt in result.doubts[:MOST_NAMED]:
        say(plain(f"{doubt.id}: {doubt.reason}"))
    become = (("changed", result.changed), ("retired", result.retired), ("brought back", result.back))
    for what, ids in become:
        if ids:
            say(f"{what}: {', '.join(ids[:MOST_NAMED])}{', ...' if len(ids) > MOST_NAMED else ''}")
    counts = "".join(f", {len(ids)} {what}" for what, ids in become if ids)
    say(
        f"{path} {'was read' if form else 'is recognised'} as {result.form}: "
        f"{len(result.added)} case{'s' * (len(result.added) != 1)} added, {len(result.known)} known{counts}, {len(result.refused)} refused"
    )
    for said in filter(None, told):
        say(said)


def retire(
    case: CaseId,
    why: Annotated[str, typer.Option(help="The reason, for whoever misses the test.")],
    back: Annotated[bool, typer.Option("--back", help="Bring it back instead.")] = False,
) -> None:
    """Take a case out of what is tested; it stays in the files and in the history."""
    with opened() as loop:
        done = golden.retire(loop.ledger, case, why=why, now_us=now_us(), by=who(), back=back)
        variants = [] if back else [c for c in golden.load_set(loop.ledger) if c.variant_of == case]
    say(f"{done.id} is {'tested again' if back else f'retired since {done.retired}'}: {done.retired_why}")
    for c in variants:
        say(plain(f"its variant {c.id} is still tested: {c.question[:SHOWN]} (right answer: {c.ground_truth[:SHOWN]})"))


def history(
    case: Annotated[str | None, typer.Argument(help="Id of a case, G-...", metavar="[CASE]")] = None, app: App = None
) -> None:
    """What became of a case, or without one the states of the whole set by day."""
    with opened() as loop:
        if case is not None:
            entries = golden.history_of(loop.ledger, case)
            rows = [(format_time(e.at_us)[:16].replace("T", " "), e.by, e.what) for e in entries]
            show_table(("when", "by", "what"), rows, empty="")
            return
        states = golden.states_of(loop.ledger, app)
    show_table(
        ("day", "set", "cases", "added", "retired", "changed"),
        [(s.day, s.digest, s.cases, s.added, s.retired, s.changed) for s in states],
        empty=NONE_YET,
    )


def coverage(
    app: Annotated[str | None, typer.Option(help="The application; not needed where there is only one.")] = None,
) -> None:
    """Which share of the last seven days' questions has a golden case near it, and where the holes are."""
    now = now_us()
    with opened() as loop:
        loop.warehouse.commit()
        name = app or _only(golden.apps_with_traffic(loop.warehouse, now_us=now))
        with progress("comparing questions") as tell:
            found = golden.measure_coverage(
                loop.warehouse, loop.ledger, loop.embedder, loop.scorers, app=name, now_us=now, report=tell
            )
    if found.whole is None:
        say(f"cannot tell the coverage of {name}: {found.reason}")
        return
    whole = found.whole
    say(
        f"{whole.covered:.1%} of what is asked of {name} has a case near it (95% interval {whole.low:.1%} to {whole.high:.1%}); "
        f"{found.cases} cases, {whole.questions:,} questions of the last seven days"
    )
    say(
        f"near: a cosine of at least {found.threshold:g} by {found.embedder}; nothing is said about how well the case tests it"
    )
    if not found.cases:
        say(
            "no case is of this application: `andon golden list` shows whose they are, `andon golden import --app` says it"
        )
    for head, shares in (("risk category", found.by_risk), ("topic", found.by_topic)):
        rows = [
            (s.part, f"{s.traffic:.1%}", f"{s.covered:.0%}", f"{s.low:.0%} to {s.high:.0%}", s.questions)
            for s in shares
        ]
        show_table((head, "of traffic", "covered", "interval", "questions"), rows, empty=f"no {head} is known")
    _tell_holes(found.holes)


def _tell_holes(holes: Sequence[Hole]) -> None:
    rows = [
        (
            h.topic,
            f"{h.traffic:.1%}",
            "" if h.harm is None else f"{h.harm:.0%}",
            f"{h.covered:.0%}",
            " | ".join(" ".join(e.split())[:SHOWN] for e in h.examples),
        )
        for h in holes[:MOST_HOLES]
    ]
    show_table(
        ("hole", "uncovered traffic", "of all harm", "covered", "asked there"),
        rows,
        empty="no hole: everything is covered",
    )


def growth(app: App = None) -> None:
    """How the golden set grew in the last twelve weeks, against 5 to 10 cases a week."""
    with opened() as loop:
        found = golden.growth(loop.ledger, app, now_us=now_us())
    rows = [(w.monday, w.added, *(w.by_origin.get(o, 0) for o in ORIGINS), w.retired) for w in found.weeks]
    show_table(("week of", "added", *ORIGINS, "retired"), rows, empty="")
    say(f"tested now: {found.tested}, retired: {found.retired}")
    say(found.verdict)


def reframe(
    app: App = None,
    risk: Annotated[
        str | None, typer.Option(help="Cases of this risk category; of the high ones unless given.")
    ] = None,
    limit: Annotated[int, typer.Option(help="New re-framings at most.", min=1)] = 20,
) -> None:
    """Ask high-risk cases in adversarial words: each re-framing waits in the label queue, none is added by itself."""
    with opened() as loop:
        done, made = golden.reframe(loop.ledger, app, limit=limit, now_us=now_us(), by=who(), risk=risk)
    show_table(
        ("failure", "of case", "question"),
        [(f.id, f.variant_of, f.question[:160]) for f in made],
        empty="no new re-framing",
    )
    say(
        f"{len(done.captured)} re-framings wait for a label, {len(done.known)} were made before; `andon golden label` decides"
    )


def _only(apps: list[str]) -> str:
    if not apps:
        raise InputError("no application had traffic in the last seven days, so nobody can tell what is covered")
    if len(apps) > 1:
        raise InputError(f"which application? give --app: {', '.join(apps)}")
    return apps[0]


def _state(retired: str | None, variant_of: str | None) -> str:
    return f"retired {retired}" if retired else f"variant of {variant_of}" if variant_of else ""
