"""Commands about golden cases and the gate: golden, eval, gate."""

from pathlib import Path
from typing import Annotated

import typer

from andon.cli.screen import now_us, opened, plain, progress, say, show_table, who
from andon.errors import InputError
from andon.evals import FORMS, EvalRun, exit_code, judge, make_target
from andon.evals import run as evals
from andon.evals import summarise as summarise_run
from andon.golden import Case, Failure, Label, LabelRow
from andon.golden import run as golden
from andon.loop import Loop

__all__ = ["add_to"]

Target = Annotated[str, typer.Option(help=f"What is tested: {', '.join(FORMS)}.")]
App = Annotated[str | None, typer.Option(help="Only cases of this application.")]
GoldenFile = Annotated[
    Path | None, typer.Option("--golden", help="A golden set on disk instead of the store's.", exists=True)
]

MOST_NAMED = 5
"""Rows of a file of labels that are named because they fit no failure."""


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(help="Failures become labelled cases that must pass for ever.", no_args_is_help=True)
    group.command(name="failures")(failures)
    group.command(name="label")(label)
    group.command(name="accept")(accept)
    group.command(name="add")(add)
    group.command(name="list")(list_)
    group.command(name="export")(export)
    group.command(name="import")(import_)
    app.add_typer(group, name="golden")
    group = typer.Typer(help="Run golden cases against a target.", no_args_is_help=True)
    group.command(name="run")(run)
    app.add_typer(group, name="eval")
    app.command()(gate)


def failures() -> None:
    """Captured failures, and which of them still wait for a person's word."""
    with opened() as loop:
        labelled = {x.id: x for x in loop.ledger.all(Label)}
        found = loop.ledger.all(Failure)
    rows = [
        (
            f.id,
            f.source,
            f.question[:80],
            (f.answer or "(no answer)")[:60],
            "labelled" if f.id in labelled else (f.suggested_by or "waits"),
        )
        for f in found
    ]
    show_table(("failure", "from", "question", "failing answer", "label"), rows, empty="no failure was captured yet")


def label(
    file: Annotated[
        Path | None, typer.Option(help="JSONL or CSV with id or question, and ground_truth.", exists=True)
    ] = None,
) -> None:
    """Say what the right answers are: from a file, or one by one at the prompt."""
    with opened() as loop:
        rows = golden.read_labels(file) if file else _ask(loop)
        result = golden.label_failures(loop.ledger, rows, now_us=now_us(), by=who())
    for refused in result.refused:
        say(f"refused {refused.id}: {refused.reason}")
    for name in result.unknown[:MOST_NAMED]:
        say(plain(f"no failure with this id or question was captured: {name[:80]}"))
    say(
        f"{len(result.labelled)} failures labelled, {len(result.unchanged)} had this label, {len(result.refused)} refused, "
        f"{len(result.unknown)} unknown, {result.blank} blank"
    )


def _ask(loop: Loop) -> list[LabelRow]:
    done = {x.id for x in loop.ledger.all(Label)}
    rows: list[LabelRow] = []
    for f in loop.ledger.all(Failure):
        if f.id in done:
            continue
        say("")
        say(plain(f"{f.id}  {f.reason}"))
        say(plain(f"question: {f.question}"))  # on one line: no text can look like a line of ours
        say(plain(f"failing answer: {f.answer or '(no answer)'}"))
        if f.suggestion:
            say(plain(f"suggested: {f.suggestion}"))
        how = "empty skips, = takes the suggestion" if f.suggestion else "empty skips"
        text = typer.prompt(f"right answer ({how})", default="", show_default=False)
        if f.suggestion and text.strip() == "=":
            text = f.suggestion
        if text.strip():
            rows.append(LabelRow(line=len(rows) + 1, id=f.id, question=None, ground_truth=text, author=who()))
    return rows


def accept() -> None:
    """Accept the right answers that came with the data (expected answers, users' corrections) as labels."""
    with opened() as loop:
        result = golden.accept_suggestions(loop.ledger, now_us=now_us(), by=who())
    say(f"{len(result.labelled)} failures labelled from the data owner's own answers")


def add() -> None:
    """Turn labelled failures into golden cases; near-duplicates are refused by name."""
    with opened() as loop:
        result = golden.add_cases(loop.ledger, loop.embedder, now_us=now_us(), by=who())
    for refused in result.refused:
        say(f"refused {refused.id}: {refused.reason}")
    for one, other in result.conflicts:
        say(f"conflict: {one} and {other} ask the same and differ in what is right")
    say(
        f"{len(result.added)} cases added, {len(result.known)} known, {len(result.refused)} refused, {result.unlabelled} wait for a label"
    )


def list_(
    app: App = None, incident: Annotated[str | None, typer.Option(help="Only cases of this incident.")] = None
) -> None:
    """The golden cases."""
    with opened() as loop:
        cases = [c for c in golden.load_set(loop.ledger, app) if incident in (None, c.incident)]
    rows = [(c.id, c.added_date, c.incident, c.question[:80], c.ground_truth[:60], c.metric) for c in cases]
    show_table(("case", "added", "incident", "question", "right answer", "metric"), rows, empty="no golden case yet")


def export(path: Annotated[Path, typer.Argument(help="JSONL file to write.")], app: App = None) -> None:
    """Write the golden set as JSONL that a team keeps in git."""
    with opened() as loop:
        n = golden.export(loop.ledger, path, app=app)
    say(f"{n} cases in {path}")


def import_(
    path: Annotated[Path, typer.Argument(help="JSONL file to read.", exists=True)],
    app: Annotated[str, typer.Option(help="Application of cases that name none.")] = "default",
) -> None:
    """Take an existing golden set in."""
    with opened() as loop:
        result = golden.import_set(loop.ledger, path, now_us=now_us(), by=who(), app=app)
    say(f"{len(result.added)} cases added, {len(result.known)} known, {len(result.refused)} refused")


def run(
    target: Target,
    out: Annotated[Path | None, typer.Option(help="Where to save the run, e.g. baseline.json.")] = None,
    golden_file: GoldenFile = None,
    app: App = None,
) -> None:
    """Run the golden set against a target and save the run."""
    with opened() as loop:
        cases = _cases(loop, golden_file, app)
        if not cases:
            raise InputError("the golden set is empty; `andon golden add` or `andon golden import` fills it")
        result = _run(loop, cases, target)
        evals.keep_run(loop.ledger, result, now_us=now_us(), by=who())
    if out:
        evals.save_run(result, out)
    say(summarise_run(result, judge(result, None), cases))


def gate(
    target: Target,
    baseline: Annotated[Path | None, typer.Option(help="A saved run to compare with.", exists=True)] = None,
    bar: Annotated[float | None, typer.Option(help="Without a baseline: the pass rate that must be reached.")] = None,
    golden_file: GoldenFile = None,
    app: App = None,
) -> None:
    """Pass (exit 0), fail (1), undecided (3) or could not run (4)."""
    with opened() as loop:
        cases = _cases(loop, golden_file, app)
        before = evals.load_run(baseline) if baseline else None
        result = _run(loop, cases, target)
        evals.keep_run(loop.ledger, result, now_us=now_us(), by=who())
    verdict = judge(result, before, bar=bar)
    say(summarise_run(result, verdict, cases))
    raise typer.Exit(exit_code(verdict))


def _run(loop: Loop, cases: list[Case], target: str) -> EvalRun:
    with progress("asking the target", len(cases)) as tell:
        return evals.run_evals(
            cases,
            make_target(target),
            {s.name: s for s in loop.scorers},
            loop.embedder,
            now_us=now_us(),
            report=lambda done, _: tell("asking the target", done),
        )


def _cases(loop: Loop, path: Path | None, app: str | None) -> list[Case]:
    if path is None:
        cases = golden.load_set(loop.ledger, app)
    else:
        from andon.golden.files import parse_cases, read_text

        cases = list(parse_cases(read_text(path), name=str(path)))
    return cases
