"""Commands about rollouts: plan an experiment, write it down, start it, look at it, stop it."""

from pathlib import Path
from typing import Annotated

import typer

from andon.cli.rollout_plans import Draft, better_of, check_spread, show_plan, write_down
from andon.cli.screen import now_us, opened, opened_ledger, plain, say, show_table, span_us, who
from andon.errors import InputError
from andon.levers import run as levers
from andon.levers.run.drafting import LEAST_CANARY
from andon.levers.run.reporting import report_of
from andon.rollouts import Allocation, Decision, Experiment
from andon.rollouts.plan import MOST_DAYS, Asked, plan_rollout
from andon.rollouts.report import headline, render_html, render_markdown, render_text, still_served
from andon.rollouts.run.looking import SETTLE_US, look_times, waits_for
from andon.rollouts.run.planning import find_experiment
from andon.rollouts.told import version_text, versions_text
from andon.scores import SCORERS
from andon.store import Ledger, write_whole
from andon.traffic import format_time, quoted

__all__ = ["add_to"]

Name = Annotated[str, typer.Argument(metavar="EXPERIMENT", help="Its id, EXP-0001 or just 1.")]
Why = Annotated[str, typer.Option(help="Why, for the record.")]
LeverName = Annotated[
    str | None,
    typer.Option("--lever", metavar="LEVER", help="The lever whose versions are compared: Andon serves them."),
]
By = Annotated[
    str | None,
    typer.Option(
        metavar="FIELD",
        help="Instead of --lever: the field of traffic that tells apart what something else serves, e.g. prompt_version.",
    ),
]
Treatment = Annotated[
    str,
    typer.Option(metavar="VERSION", help="Digest of the version that asks to replace the other; with --by its value."),
]
Control = Annotated[
    str | None,
    typer.Option(
        metavar="VERSION",
        help="Digest of what is in place, or `default`; what is live unless given. With --by its value.",
    ),
]
Share = Annotated[
    float | None,
    typer.Option(help="Of the users, for the treatment. With --by, where nobody planned one, leave it out."),
]
Better = Annotated[str | None, typer.Option(help="Where the metric shall go, up or down; else away from its bad side.")]
Guards = Annotated[
    list[str] | None,
    typer.Option(
        "--guardrail",
        metavar="[RISK:]METRIC:MARGIN",
        help="What must not get worse, and by how much at most. Harm that is shown rolls back, unless it is surely smaller.",
    ),
]
Base = Annotated[float | None, typer.Option(help="The metric as it is now; from the last 7 days unless given.")]
PerDay = Annotated[float | None, typer.Option(help="New users a day; from the last 7 days unless given.")]
AppName = Annotated[
    str | None, typer.Option("--app", help="The application; the lever's unless given, needed with --by.")
]
Place = Annotated[str, typer.Option(help="production or staging.")]
OnHarm = Annotated[
    str | None, typer.Option(help="What is done when harm is shown: 'roll back', or 'tell'; with --by it is told.")
]
Anyway = Annotated[bool, typer.Option("--anyway", help="Write a plan that cannot see what it is made for.")]
Start = Annotated[bool, typer.Option("--start", help="Start it at once, with the hypothesis as the reason.")]
Change_ = Annotated[
    str | None, typer.Option("--change", metavar="EXPERIMENT", help="Rewrite this one, before its start.")
]
Method = Annotated[str, typer.Option(help="group sequential, confidence sequence or fixed.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(help="Decide whether a new version may go on.", no_args_is_help=True)
    for command in (plan, ab, canary, start, show, look, stop):
        group.command()(command)
    group.command(name="list")(list_)
    app.add_typer(group, name="rollout")


def plan(
    metric: Annotated[str, typer.Option(help="What is measured.")],
    base: Annotated[float, typer.Option(help="As it is now: a rate, or a mean with --spread.")],
    effect: Annotated[float, typer.Option(help="Absolute: the change worth having; of a canary the harm accepted.")],
    per_day: Annotated[float, typer.Option(help="New users a day, of both arms together.")],
    better: Better = None,
    share: Annotated[float | None, typer.Option(help="Of the users, for the treatment; 0.5, of a canary 0.05.")] = None,
    days: Annotated[float | None, typer.Option(help="How long; 14, of a canary 1.")] = None,
    spread: Annotated[float | None, typer.Option(help="Standard deviation of a user's value, of a number.")] = None,
    canary_: Annotated[bool, typer.Option("--canary", help="Plan a canary: does it harm?")] = False,
    method: Method = "group sequential",
) -> None:
    """What a plan can and cannot see, from figures alone: users, days, power, and the price of looking."""
    way = better_of(metric, better, SCORERS)
    check_spread(metric, spread, SCORERS)
    harm = canary_ and spread is None
    show_plan(
        plan_rollout(
            Asked(
                kind="canary" if canary_ else "ab", metric=metric, base=1 - base if harm and way == "up" else base,
                effect=effect, up=canary_ or way == "up", spread=spread, per_day=per_day,
                share=share if share is not None else 0.05 if canary_ else 0.5,
                days=days if days is not None else 1.0 if canary_ else 14.0, method=method,
            ),
        )
    )  # fmt: skip


def ab(
    treatment: Treatment,
    metric: Annotated[str, typer.Option(help="The primary metric.")],
    better: Annotated[str, typer.Option(help="Where it shall go: up or down.")],
    effect: Annotated[float, typer.Option(help="The smallest change that is worth having; absolute.")],
    hypothesis: Annotated[str, typer.Option(help="What you expect and why, in a sentence.")],
    lever: LeverName = None,
    by: By = None,
    control: Control = None,
    share: Share = None,
    guardrail: Guards = None,
    days: Annotated[float, typer.Option(help="How long at most; at least 7.")] = 14.0,
    method: Method = "group sequential",
    base: Base = None,
    per_day: PerDay = None,
    app: AppName = None,
    environment: Place = "production",
    on_harm: OnHarm = None,
    change: Change_ = None,
    anyway: Anyway = False,
    start_: Start = False,
) -> None:
    """Write down an A/B test: does a version improve a metric?"""
    _write(
        Draft(
            kind="ab", lever=lever, by=by, treatment=treatment, control=control, environment=environment, app=app, metric=metric,
            better=better, effect=effect, hypothesis=hypothesis, share=share, days=days, method=method,
            guardrails=guardrail or (), base=base, per_day=per_day, on_harm=on_harm, change=change,
        ),
        anyway=anyway, start_=start_,
    )  # fmt: skip


def canary(
    treatment: Treatment,
    lever: LeverName = None,
    by: By = None,
    metric: Annotated[str, typer.Option(help="The metric that must not get worse.")] = "error",
    margin: Annotated[
        float | None,
        typer.Option(
            help="The largest acceptable harm, absolute; half of the rate now unless given. Any harm that is shown rolls back, unless it is surely smaller."
        ),
    ] = None,
    for_: Annotated[str, typer.Option("--for", help="How long at most (30m, 24h, 3d).")] = "24h",
    share: Share = None,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="Serve it to nobody; the application asks for it beside.")
    ] = False,
    better: Better = None,
    guardrail: Guards = None,
    hypothesis: Annotated[
        str | None, typer.Option(help="What you expect; that it does not harm, unless given.")
    ] = None,
    control: Control = None,
    base: Base = None,
    per_day: PerDay = None,
    app: AppName = None,
    environment: Place = "production",
    on_harm: OnHarm = None,
    change: Change_ = None,
    anyway: Anyway = False,
    start_: Start = False,
) -> None:
    """Write down a canary: does a version harm? Its guardrails, unless named, are the risk metrics, high risk first."""
    days = (span_us(for_) or 0) / 86_400_000_000
    if not LEAST_CANARY <= days <= MOST_DAYS:
        raise InputError(
            f"--for {quoted(for_)} is no time that a canary may take; from 30m to {MOST_DAYS}d, a number of minutes (30m), hours (24h) or "
            "days (3d), is allowed"
        )
    _write(
        Draft(
            kind="shadow" if shadow else "canary", lever=lever, by=by, treatment=treatment, control=control, environment=environment,
            app=app, metric=metric, better=better, effect=margin, hypothesis=hypothesis, share=share, days=days,
            method="group sequential", guardrails=guardrail or (), base=base, per_day=per_day, on_harm=on_harm, change=change,
        ),
        anyway=anyway, start_=start_,
    )  # fmt: skip


def start(experiment: Name, why: Why) -> None:
    """Serve the treatment to its share of the users; from now on the plan cannot be changed."""
    with opened_ledger() as ledger:
        _start(ledger, find_experiment(ledger, experiment), why)


def list_() -> None:
    """Experiments, newest first, and what came of each."""
    now = now_us()
    with opened_ledger() as ledger:
        splits = {v.record.experiment: v.record for v in ledger.history(Allocation)}
        looks = {d.experiment: d for d in sorted(ledger.all(Decision), key=lambda d: d.look or 0)}
        rows = [
            (
                e.id,
                e.kind,
                quoted(e.lever or e.field or "", 40)[1:-1],
                quoted(e.treatment or "default", 40)[1:-1],
                f"{e.metric} {e.better}",
                _state(splits.get(e.id), now),
                looks[e.id].outcome if e.id in looks else "",
                e.by,
                quoted(e.hypothesis, 60)[1:-1],
            )
            for e in reversed(ledger.all(Experiment))
        ]
    head = ("experiment", "kind", "of", "treatment", "metric", "state", "decision", "by", "hypothesis")
    show_table(head, rows, empty="no experiment yet; `andon rollout ab` or `andon rollout canary` plans one")


def show(
    experiment: Name,
    html: Annotated[Path | None, typer.Option(help="Write the report as one HTML page.", dir_okay=False)] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write it as Markdown.", dir_okay=False)] = None,
) -> None:
    """The report: the decision and why, the effect, guardrails, risk categories, looks, and what the plan can see."""
    with opened_ledger() as ledger:
        report = report_of(ledger, find_experiment(ledger, experiment), now_us())
    for file, render in ((html, render_html), (markdown, render_markdown)):
        if file is not None:
            write_whole(file, render(report))
            say(f"{report.experiment.id} is written to {file}")
    if html is None and markdown is None:
        say(render_text(report).rstrip())


def look(experiment: Name) -> None:
    """Score what came, and take the looks that are due; a running server does so by itself."""
    now = now_us()
    with opened() as loop:
        found = find_experiment(loop.ledger, experiment)
        split = levers.allocation_of(loop.ledger, found.id)
        if split is None:
            raise InputError(f'{found.id} was not started: andon rollout start {found.id} --why "..."')
        loop.read(now)
        made, ended = levers.look_and_act(loop.warehouse, loop.ledger, loop.scorers, found, split, now)
        waits = waits_for(loop.warehouse, loop.ledger, found, split, now)
        report = report_of(loop.ledger, found, now_us())
    for decision in made:
        say(plain(f"{decision.id}, until {format_time(decision.at_us)}: {decision.outcome}: {decision.reason}"))
    if waits is not None:
        say(
            plain(
                f"a look waits: what came to {found.app} since {format_time(waits)} is not scored yet; andon tick scores it"
            )
        )
    elif not made:
        say(plain(f"no look is due. {headline(report)}"))
    if ended is not None:
        say(f"{found.id} is stopped: everybody has the control again")
    elif report.decisions and report.decisions[-1].outcome == "roll back":
        say(plain(still_served(report) or "everybody has the control again"))
    elif not report.decisions or report.decisions[-1].outcome == "undecided":
        coming = [t for t in look_times(found, split) if t + SETTLE_US > now]
        if coming:
            say(f"the next look is due {format_time(coming[0] + SETTLE_US)}")


def stop(experiment: Name, why: Why) -> None:
    """Take the treatment out: everybody has the control again. With --by, end the looks."""
    with opened_ledger() as ledger:
        found = find_experiment(ledger, experiment)
        done = levers.stop_split(ledger, found.id, why=why, by=who(), now_us=now_us())
    then = f"everybody is given {version_text(done.control)} of {done.lever} in {done.environment} again"
    if done.lever is None:
        then = f"it is not looked at any more; {found.field} is served as before, by what serves it"
    say(plain(f"{found.id} is stopped: {then}"))


def _write(draft: Draft, *, anyway: bool, start_: bool) -> None:
    with opened() as loop:
        written = write_down(loop, draft, anyway=anyway, start=start_)
        say(f"{written.id} is written: {plain(written.hypothesis)}")
        if start_:
            _start(loop.ledger, written, written.hypothesis)
            return
    say(f'start it: andon rollout start {written.id} --why "..."; until then --change {written.id} rewrites it')


def _start(ledger: Ledger, experiment: Experiment, why: str) -> None:
    split = levers.start_split(ledger, experiment, why=why, by=who(), now_us=now_us())
    whom = "who asks for the shadow" if split.shadow else f"{100 * split.share:.3g} % of the users"
    what = f"{whom} may be given {version_text(split.treatment)} of {split.lever}"
    if split.lever is None:
        what = f"{versions_text(experiment)} is looked at"
    say(plain(f"{experiment.id} is started: {what} in {split.environment} until {format_time(split.until_us)}"))
    say(f'watch it: andon rollout show {experiment.id}; end it: andon rollout stop {experiment.id} --why "..."')


def _state(split: Allocation | None, now: int) -> str:
    if split is None:
        return "planned"
    if split.ended_us is not None:
        return f"ended {format_time(split.ended_us)[:16]}"
    return f"{'runs' if split.until_us > now else 'over'} until {format_time(split.until_us)[:16]}"
