"""Commands about runs and what they say: eval run, list, show, compare, baseline, quarantine, flaky, plan, judge-agreement; gate."""

from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from andon.cli.gates import RulesFile, gate
from andon.cli.running import (
    App,
    Asker,
    Budget,
    Cache,
    GoldenFile,
    PerMinute,
    Resume,
    Retries,
    TargetSpec,
    Timeout,
    Workers,
    apart,
    cases_of,
    find_run,
    left_out,
    take_of,
)
from andon.cli.screen import after, now_us, opened, say, show_table, who
from andon.errors import InputError
from andon.evals import Baseline, EvalRun, Quarantine, agreement, keepable_spec, summarise, tell
from andon.evals import run as evals
from andon.evals.power import plan as plan_of
from andon.evals.power import say as said_of
from andon.evals.repeats import AtK, repeats_of
from andon.evals.reports import rules_table
from andon.evals.run.asking import NOT_ASKED
from andon.evals.run.rules import rules_in
from andon.golden import Case
from andon.golden import run as golden
from andon.golden.files import read_text
from andon.golden.formats.rows import rows_of
from andon.loop import Loop
from andon.traffic import format_time

__all__ = ["add_to"]

MOST_RUNS = 50
"""Runs that a list shows."""

RunName = Annotated[str, typer.Argument(metavar="RUN", help="Id of a kept run, the beginning of one, or a file.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(help="Run golden cases against a target.", no_args_is_help=True)
    for command in (run, show, compare, baseline, quarantine, flaky, plan):
        group.command()(command)
    group.command(name="list")(list_)
    group.command(name="judge-agreement")(judge_agreement)
    app.add_typer(group, name="eval")
    app.command()(gate)


def run(
    target: TargetSpec,
    repeats: Annotated[int, typer.Option(min=1, max=1000, help="Attempts at each case.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Where to save the run, e.g. baseline.json.", dir_okay=False)] = None,
    golden_file: GoldenFile = None,
    app: App = None,
    workers: Workers = 4,
    per_minute: PerMinute = None,
    budget_usd: Budget = None,
    retries: Retries = 2,
    timeout: Timeout = None,
    resume: Resume = False,
    cache: Cache = False,
    baseline: Annotated[
        bool, typer.Option("--baseline", help="Candidates are compared with this run from now on (`--baseline auto`).")
    ] = False,
) -> None:
    """Run the golden set against a target and keep the run."""
    with opened() as loop:
        cases = _some(cases_of(loop, golden_file, app))
        apart([out], [golden_file], target)
        if baseline:
            _check_baseline(target, app, cases)
        asker = Asker(loop, app, workers, per_minute, budget_usd, retries, timeout)
        result = asker.run(cases, asker.target(target), repeats=repeats, take=take_of(resume=resume, cache=cache))
        evals.keep_run(loop.ledger, result, now_us=now_us(), by=who())
        verdict = evals.judge_kept(loop.ledger, result, None, cases, now_us=now_us())
        if out:
            evals.save_run(result, out)
        if baseline and verdict.outcome != "error":
            _set(loop, result, target, app)
    say(tell(result, verdict, cases))
    if repeats > 1:
        _flaky(result)
    if any(r.detail.startswith(NOT_ASKED) for r in result.results):
        say("What was not asked yet is asked by the same command with `--resume` and a larger `--budget-usd`.")
    if verdict.outcome == "error":
        if baseline:
            say("So it becomes no baseline: the one that was set before stays.")
        raise typer.Exit(4)


def list_(app: App = None) -> None:
    """The runs that were kept, newest first."""
    with opened() as loop:
        theirs = (r for r in evals.newest_runs(loop.ledger) if app in (None, r.app))
        runs = list(islice(theirs, MOST_RUNS + 1))
        bases = {b.run for b in loop.ledger.all(Baseline)}
    runs.sort(key=lambda r: r.at_us, reverse=True)
    show_table(
        ("run", "at", "target", "app", "cases", "pass", "fail", "could not run", "attempts", "spent", ""),
        [_row(r, "baseline" if r.id in bases else "") for r in runs[:MOST_RUNS]],
        empty="no run is kept yet; `andon eval run --target ...` makes one",
    )
    if len(runs) > MOST_RUNS:
        say("older ones are not shown")


def show(name: RunName) -> None:
    """One run: what passed, what failed and what was said."""
    with opened() as loop:
        found, cases = find_run(loop, name), _known(loop)
        verdict = evals.judge_kept(loop.ledger, found, None, cases, now_us=now_us())
    say(tell(found, verdict, cases))
    if found.repeats > 1:
        _flaky(found)


def compare(
    before: Annotated[str, typer.Argument(metavar="BEFORE", help="Id of a kept run, or a file.")],
    after_: Annotated[str, typer.Argument(metavar="AFTER", help="Id of a kept run, or a file.")],
    rules_file: RulesFile = None,
    golden_file: GoldenFile = None,
) -> None:
    """Compare two runs both ways by the rules of the gate; nobody is asked anything."""
    with opened() as loop:
        old, new, cases = find_run(loop, before), find_run(loop, after_), _known(loop)
        if golden_file is not None:
            cases = cases_of(loop, golden_file, old.app)
        rules, out = rules_in(rules_file, now_us=now_us()), left_out(golden_file, old.app, cases)
        forth, back = (
            evals.judge_kept(
                loop.ledger, *pair, cases, rules=rules, left_out=out, now_us=now_us(), rng=np.random.default_rng(0)
            )
            for pair in ((new, old), (old, new))
        )
    say(f"{new.target} ({new.id}) compared with {old.target} ({old.id})")
    say(summarise(new, forth, cases, baseline=old))
    say(f"The other way round, {old.id} compared with {new.id}: {back.outcome}. {back.reason}\n")
    say(rules_table(back))


def baseline(
    set_: Annotated[
        str | None, typer.Option("--set", metavar="RUN", help="Compare candidates with this kept run.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="How its target is asked again; alone: run the golden set against it first.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, max=1000, help="Attempts at each case.")] = 1,
    app: App = None,
) -> None:
    """Show or set the run that candidates are compared with; it is run by itself on cases that are added."""
    if set_ is None and target is not None:
        run(target, repeats=repeats, app=app, baseline=True)
        return
    with opened() as loop:
        if set_ is not None:
            found = find_run(loop, set_)
            if target is None:
                raise InputError(
                    f"run {found.id} tells what was asked ({found.target}), but not how it is asked again; give --target, too"
                )
            _set(loop, found, target, app)
            return
        known = {b.id: b for b in loop.ledger.all(Baseline) if app in (None, b.id)}
        rows = [
            (
                b.id,
                b.target,
                b.run,
                format_time(b.at_us)[:16],
                b.by,
                _counts(r) if (r := loop.ledger.get(EvalRun, b.run)) else "",
            )
            for b in known.values()
        ]
    head = ("app", "target", "run", "set", "by", "pass")
    show_table(head, rows, empty="no baseline is set; `andon eval baseline --target ...` runs and sets one")


def quarantine(
    case: Annotated[
        str | None, typer.Argument(metavar="CASE", help="Id of a golden case; none: show what there is.")
    ] = None,
    until: Annotated[str, typer.Option(help="7d, 24h or a time; at most 30 days. 0h ends a quarantine.")] = "7d",
    why: Annotated[str, typer.Option(help="The reason; without one a kept run must show that the case is flaky.")] = "",
) -> None:
    """Let a flaky case decide nothing for a while; it is still run, and shown."""
    with opened() as loop:
        if case is None:
            found = evals.quarantined(loop.ledger, now_us()).values()
            rows = [(q.id, format_time(q.until_us)[:16], q.by, q.why) for q in found]
            show_table(("case", "until", "by", "why"), rows, empty="no case is in quarantine")
            return
        now = now_us()
        made: Quarantine = evals.quarantine(loop.ledger, case, after(now, until), why, now_us=now, by=who())
    if made.until_us <= now:
        say(f"{made.id} decides again")
    else:
        say(f"{made.id} decides nothing until {format_time(made.until_us)[:16]}: {made.why}")


def flaky(
    name: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help="Id of a kept run, or a file; none: the newest one with repeats."),
    ] = None,
) -> None:
    """What the repeats of a run say: pass@k, pass^k, and which cases are flaky."""
    with opened() as loop:
        if name is not None:
            found = find_run(loop, name)
        else:
            newest = next((r for r in evals.newest_runs(loop.ledger) if r.repeats > 1), None)
            if newest is None:
                raise InputError("no kept run has repeats; `andon eval run --target ... --repeats 5` makes one")
            found = newest
    say(f"{found.id} of {format_time(found.at_us)[:16]}, target {found.target}")
    _flaky(found)


def plan(
    n: Annotated[int | None, typer.Option("--n", min=1, help="Cases; none: those of the golden set.")] = None,
    bar: Annotated[float, typer.Option(help="The pass rate that is asked for.")] = 0.95,
    rate: Annotated[float | None, typer.Option(help="The pass rate that the system truly has; none: the bar.")] = None,
    margin: Annotated[float, typer.Option(help="The drop that `at_most` accepts.")] = 0.02,
    discordance: Annotated[float, typer.Option(help="Share of cases that differ by chance between two runs.")] = 0.05,
    repeats: Annotated[int, typer.Option(min=1, max=1000, help="Attempts at each case.")] = 1,
    alpha: Annotated[float, typer.Option(help="Chance of a false fail.")] = 0.05,
    golden_file: GoldenFile = None,
) -> None:
    """What a gate with so many cases can tell, before anybody relies on it."""
    if n is None:
        with opened() as loop:
            n = len(cases_of(loop, golden_file, None))
        if n == 0:
            raise InputError("the golden set is empty; say with --n how many cases it shall have")
    chosen = plan_of(
        n,
        rate=bar if rate is None else rate,
        bar=bar,
        margin=margin,
        discordance=discordance,
        repeats=repeats,
        alpha=alpha,
    )
    say(said_of(chosen))


def judge_agreement(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="JSON or CSV: human, judge, perhaps score and group.", exists=True)
    ],
) -> None:
    """How far a judge says what people say of the same answers, and which way it leans."""
    found = agreement.judge_agreement(agreement.judged_rows(_rows(file)))
    show_table(
        ("", "people: pass", "people: fail"),
        [("judge: pass", found.both_pass, found.judge_only), ("judge: fail", found.human_only, found.both_fail)],
        empty="",
    )
    chance = "" if found.chance is None else f"by chance alone {found.chance:.1%}"
    rows = [
        ("same word", _share(found.accuracy), chance),
        ("kappa", _share(found.kappa, "{:.2f}"), "agreement beyond chance, 0 to 1"),
        ("alpha", "cannot tell" if found.alpha is None else f"{found.alpha:.2f}", "Krippendorff's, nominal"),
        ("right answers passed", _share(found.sensitivity), ""),
        ("wrong answers failed", _share(found.specificity), "what a gate lives on"),
        ("area under the curve", _share(found.auc, "{:.2f}"), "of the scores; 0.5 is a coin"),
        ("leans", _share(found.lean, "{:+.1%}"), "above 0: lenient"),
        *((f"leans, {name}", _share(share, "{:+.1%}"), "") for name, share in list(found.leans.items())[:MOST_RUNS]),
    ]
    show_table(("measure", "value, 95 % interval", ""), rows, empty="")
    say(f"{found.n} answers: {found.text}")


def _share(share: agreement.Share | None, form: str = "{:.1%}") -> str:
    if share is None:
        return "cannot tell"
    span = (
        "" if share.low is None or share.high is None else f" ({form.format(share.low)} to {form.format(share.high)})"
    )
    return form.format(share.value) + span


def _rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of JSON or CSV, in which what reads as a number is one."""
    rows, bad = rows_of(read_text(path), str(path))
    wrong = next((f"{b.id}: {b.reason}" for b in bad), None) or next(
        (f"{r.place} is no object" for r in rows if not isinstance(r.value, dict)), None
    )
    if wrong is not None:
        raise InputError(f"{path}: {wrong}; an object with `human` and `judge` is allowed")
    return [{k: _number(v) if isinstance(v, str) else v for k, v in r.value.items()} for r in rows]


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _flaky(run: EvalRun) -> None:
    found = repeats_of(run.results)
    pairs = list(zip(found.at_least_one, found.all_of, strict=True))
    rows = [(a.k, _rate(a), _rate(b), a.cases) for a, b in pairs if a.k in (1, 2, 3, 5, 8, 10, len(pairs))]
    show_table(("k", "pass@k: one of k", "pass^k: all k", "cases"), rows, empty="nothing ran")
    say(
        f"{found.cases} cases: {found.always} always pass, {found.never} never, {found.flaky} are flaky"
        + (f", {found.untold} cannot be told" if found.untold else "")
        + ("" if found.flake_rate is None else f"; two attempts at a case disagree in {found.flake_rate:.1%}")
    )
    head = ("flaky case", "passes", "two attempts disagree, 95 % interval")
    flakes = [(f.case, f"{f.passed} of {f.ran}", f"{f.low:.0%} to {f.high:.0%}") for f in found.flakes]
    show_table(head, flakes[:MOST_RUNS], empty="no case both passed and failed")
    if len(flakes) > MOST_RUNS:
        say(f"and {len(flakes) - MOST_RUNS} more")
    s = found.spread
    if s.share is not None:
        more = " (the estimate between answers was below 0, and is given as 0)" if s.truncated else ""
        say(f"of the variance of one judgement, {s.share:.0%} is the judge's own{more}")


def _set(loop: Loop, run: EvalRun, target: str, app: str | None) -> None:
    made = evals.set_baseline(loop.ledger, run, target=target, now_us=now_us(), by=who(), app=app)
    say(f"candidates of {made.id} are compared with run {made.run} of {made.target} from now on: {_counts(run)}")


def _check_baseline(target: str, app: str | None, cases: list[Case]) -> None:
    """What `set_baseline` would refuse is refused before anything is paid for."""
    keepable_spec(target)
    if app is None and len({c.app for c in cases}) > 1:
        raise InputError("the cases are of several applications; name one with --app: each has its own baseline")


def _some(cases: list[Case]) -> list[Case]:
    if not cases:
        raise InputError("the golden set is empty; `andon golden add` or `andon golden import` fills it")
    return cases


def _known(loop: Loop) -> list[Case]:
    """Every case of the store, to show what was asked."""
    return golden.load_set(loop.ledger)


def _row(run: EvalRun, note: str) -> tuple[object, ...]:
    counts = [sum(r.outcome == o for r in run.results) for o in ("pass", "fail", "error")]
    spent = [r.cost_usd for r in run.results if r.cost_usd is not None]
    cases = len({r.case_id for r in run.results})
    return (
        run.id,
        format_time(run.at_us)[:16],
        run.target,
        run.app,
        cases,
        *counts,
        run.repeats,
        f"${sum(spent):.2f}" if spent else "",
        note,
    )


def _counts(run: EvalRun) -> str:
    passed = sum(r.outcome == "pass" for r in run.results)
    return f"{passed} of {len(run.results)} attempts pass"


def _rate(found: AtK) -> str:
    return "cannot tell" if found.value is None else f"{found.value:.1%}"
