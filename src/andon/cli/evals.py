"""Commands about runs and the gate: eval, gate."""

from pathlib import Path
from typing import Annotated

import typer

from andon.cli.screen import now_us, opened, progress, say, who
from andon.errors import InputError
from andon.evals import FORMS, EvalRun, exit_code, judge, make_target
from andon.evals import run as evals
from andon.evals import summarise as summarise_run
from andon.golden import Case
from andon.golden import run as golden
from andon.golden.files import parse_cases, read_text
from andon.loop import Loop

__all__ = ["add_to"]

Target = Annotated[str, typer.Option(help=f"What is tested: {', '.join(FORMS)}.")]
App = Annotated[str | None, typer.Option(help="Only cases of this application.")]
GoldenFile = Annotated[
    Path | None, typer.Option("--golden", help="A golden set on disk instead of the store's.", exists=True)
]


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(help="Run golden cases against a target.", no_args_is_help=True)
    group.command(name="run")(run)
    app.add_typer(group, name="eval")
    app.command()(gate)


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
    return golden.load_set(loop.ledger, app) if path is None else list(parse_cases(read_text(path), name=str(path)))
