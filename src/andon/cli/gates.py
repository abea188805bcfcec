"""The command that CI runs: gate."""

import json
import os
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from andon import __version__
from andon.cli.running import (
    App,
    Asker,
    Budget,
    GoldenFile,
    PerMinute,
    Retries,
    Timeout,
    Workers,
    apart,
    cases_of,
    left_out,
)
from andon.cli.screen import now_us, opened, say, who
from andon.errors import InputError, StoreError
from andon.evals import (
    FORMS,
    Baseline,
    EvalRun,
    Verdict,
    exit_code,
    junit_of,
    lines_of,
    markdown_of,
    sarif_of,
    summarise,
)
from andon.evals import run as evals
from andon.evals.power import plan
from andon.evals.power import say as said_of
from andon.evals.rules import TEXT, Rules
from andon.evals.run.rules import RULES, rules_in
from andon.golden import Case
from andon.golden.files import read_text
from andon.loop import Loop
from andon.store import write_whole

__all__ = ["AUTO", "RulesFile", "gate", "power_of"]

AUTO = "auto"
"""The baseline that was set with `andon eval baseline`."""

RulesFile = Annotated[
    Path | None, typer.Option("--rules", help=f"The rules; {RULES} where it is there.", exists=True, dir_okay=False)
]


BaselineName = Annotated[
    str | None,
    typer.Option(
        "--baseline", metavar="FILE|auto", help="What to compare with: a saved run, or the baseline that was set."
    ),
]
BaselineTarget = Annotated[
    str | None, typer.Option(help="How the version in place is asked, where a lost high-risk case is asked again.")
]


def gate(
    target: Annotated[str | None, typer.Option(help=f"What is tested: {', '.join(FORMS)}.")] = None,
    rules_file: RulesFile = None,
    baseline: BaselineName = None,
    baseline_target: BaselineTarget = None,
    bar: Annotated[float | None, typer.Option(help="The pass rate that must be shown over all cases.")] = None,
    golden_file: GoldenFile = None,
    app: App = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML here.", dir_okay=False)] = None,
    sarif: Annotated[Path | None, typer.Option(help="Write SARIF 2.1.0 here.", dir_okay=False)] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write Markdown for a pull request.", dir_okay=False)] = None,
    out: Annotated[Path | None, typer.Option(help="Save the run here, to be a baseline.", dir_okay=False)] = None,
    workers: Workers = 4,
    per_minute: PerMinute = None,
    budget_usd: Budget = None,
    retries: Retries = 2,
    timeout: Timeout = None,
    init: Annotated[bool, typer.Option("--init", help=f"Write {RULES} to begin with, and stop.")] = False,
) -> None:
    """Pass (exit 0), fail (1), undecided (3) or could not run (4)."""
    with opened() as loop:
        cases = cases_of(loop, golden_file, app)
        if init:
            _init(len(cases))
            return
        if target is None:
            raise InputError(f"no --target is given; allowed: {'; '.join(FORMS)}")
        asker = Asker(loop, app, workers, per_minute, budget_usd, retries, timeout)
        rules = rules_in(rules_file, now_us=now_us())
        place_of = _baseline_file(baseline, rules, rules_file)
        if power := power_of(rules, bar, cases):
            say(power)
        if place_of is None:
            before, place = _baseline(loop, baseline, baseline_target, cases, app, bar)
        else:
            before, place = evals.load_run(place_of), baseline_target
        apart([junit, sarif, markdown, out], [place_of, golden_file, rules_file or RULES], target, place)
        run, verdict = _ask(asker, cases, before, target, place, rules, bar, left_out(golden_file, app, cases))
    if out:
        evals.save_run(run, out)
    _report(run, verdict, cases, before, golden_file, junit=junit, sarif=sarif, markdown=markdown)
    raise typer.Exit(exit_code(verdict))


def _ask(
    asker: Asker,
    cases: list[Case],
    before: EvalRun | None,
    target: str,
    place: str | None,
    rules: Rules,
    bar: float | None,
    left_out: set[str],
) -> tuple[EvalRun, Verdict]:
    asked, in_place = asker.target(target), None if place is None else asker.target(place)
    run = asker.run(cases, asked, repeats=rules.repeats)
    verdict = evals.gate_change(
        asker.loop.ledger,
        run,
        before,
        cases,
        asker.again,
        target=asked,
        place=in_place,
        rules=rules,
        bar=bar,
        left_out=left_out,
        now_us=now_us(),
        by=who(),
        rng=np.random.default_rng(0),
    )
    return run, verdict


def power_of(rules: Rules, bar: float | None, cases: list[Case]) -> str:
    """What each bar of the rules can show with these cases, in words; empty where there is none."""
    said = []
    for rule in rules.rules:
        if rule.kind == "bar" and rule.limit is not None and rule.limit < 1:
            n = sum(rules.rule_of((c.risk_category,)) is rule for c in cases)
            if n:
                said.append(
                    f"{rule.category}: {said_of(plan(n, rate=rule.limit, bar=rule.limit, repeats=rules.repeats))}"
                )
    if bar is not None and 0 < bar < 1 and cases:
        said.append(said_of(plan(len(cases), rate=bar, bar=bar, repeats=rules.repeats)))
    return "\n".join([*said, ""]) if said else ""


def _init(n: int) -> None:
    if RULES.exists():
        raise InputError(f"{RULES} is there already; change it with an editor, or remove it first")
    write_whole(RULES, TEXT)
    say(f"{RULES} is written: keep it in git, and change it as you need.")
    say(said_of(plan(n or 50)) if n else f"The golden set is empty. An example: {said_of(plan(50))}")


def _baseline_file(named: str | None, rules: Rules, rules_file: Path | None) -> Path | None:
    """The saved run that is named here, else by the rules (beside their file); None where the baseline that was set counts."""
    if named is None and rules.baseline is not None:
        return (rules_file or RULES).parent / rules.baseline
    return None if named in (None, AUTO) else Path(str(named))


def _baseline(
    loop: Loop,
    named: str | None,
    target: str | None,
    cases: list[Case],
    app: str | None,
    bar: float | None,
) -> tuple[EvalRun | None, str | None]:
    """The run that was set as the baseline, and how its version is asked again, as far as it is known."""
    apps = {app} if app else {c.app for c in cases}
    known = {b.id: b for b in loop.ledger.all(Baseline)}
    found = [known[a] for a in sorted(apps) if a in known]
    if named is None and (bar is not None or len(apps) != 1 or not found):
        return None, target
    if len(apps) != 1 or not found:
        raise InputError(
            f"--baseline auto: {'name one application with --app' if len(apps) != 1 else 'no baseline is set'};"
            " `andon eval baseline` sets one"
        )
    return evals.baseline_of(loop.ledger, found[0].id), target or found[0].target


def _report(
    run: EvalRun,
    verdict: Verdict,
    cases: list[Case],
    before: EvalRun | None,
    golden_file: Path | None,
    *,
    junit: Path | None,
    sarif: Path | None,
    markdown: Path | None,
) -> None:
    say(summarise(run, verdict, cases, baseline=before))
    if junit:
        write_whole(junit, junit_of(run, verdict, cases, baseline=before))
    if sarif:
        lines = {} if golden_file is None else lines_of(read_text(golden_file), cases)
        path = None if golden_file is None else _relative(golden_file)
        log = sarif_of(run, verdict, cases, baseline=before, path=path, lines=lines, version=__version__)
        write_whole(sarif, json.dumps(log, indent=2) + "\n")
    page = markdown_of(run, verdict, cases, baseline=before)
    if markdown:
        write_whole(markdown, page)
    summary = os.environ.get("GITHUB_STEP_SUMMARY", "")
    if summary:
        try:
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(page)
        except OSError as error:
            raise StoreError(f"cannot write GITHUB_STEP_SUMMARY={summary}: {error.strerror}") from error


def _relative(path: Path) -> str | None:
    """A path as code hosts know it: relative to the working directory; None where it is not below it."""
    try:
        return path.resolve().relative_to(Path.cwd().resolve()).as_posix()
    except ValueError:
        return None
