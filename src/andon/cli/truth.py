"""The command about the true rate: andon truth."""

from typing import Annotated

import numpy as np
import typer

from andon.cli.screen import before, now_us, opened, say, show_table
from andon.errors import InputError
from andon.monitors.run import rate_from_labels
from andon.monitors.truth import Truth
from andon.store import Rollup, Span, Warehouse, Where
from andon.traffic import parse_time

__all__ = ["add_to"]

SEED = 1
"""The posterior is drawn with the same seed each time: the same data give the same figures."""


def add_to(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(truth)


def truth(
    metric: Annotated[str, typer.Argument(help="What people say: label_match, thumbs or rating.")],
    proxy: Annotated[str, typer.Option(help="The cheap score on all traffic, e.g. groundedness.")],
    app: Annotated[str | None, typer.Option(help="The application; not needed where there is only one.")] = None,
    environment: Annotated[str, typer.Option(help="Its environment.")] = "production",
    since: Annotated[str, typer.Option(help="How far back (24h, 7d) or since when (ISO 8601).")] = "30d",
    until: Annotated[str | None, typer.Option(help="Until when (ISO 8601); now unless given.")] = None,
    level: Annotated[float, typer.Option(help="Level of the interval.")] = 0.95,
    within: Annotated[
        float | None, typer.Option(help="Wished half-width of the interval, e.g. 0.01 for one point.")
    ] = None,
    plan: Annotated[int, typer.Option(help="How many next labels to plan.")] = 100,
) -> None:
    """The true rate of harm, from few labels by people and a cheap score on all traffic."""
    if not 0 < level < 1 or (within is not None and not 0 < within < 1) or plan < 0:
        raise InputError("--level and --within must be between 0 and 1, both excluded, and --plan 0 or more")
    now = now_us()
    end = parse_time(until) if until else now
    with opened() as loop:
        name = app or _only_app(loop.warehouse, environment)
        found, lost = rate_from_labels(
            loop.warehouse,
            loop.scorers,
            np.random.default_rng(SEED),
            app=name,
            environment=environment,
            metric=metric,
            proxy=proxy,
            span=Span(start_us=before(end, since), end_us=end),
            now_us=now,
            level=level,
            half_width=within,
            plan=plan,
        )
    _tell(found, lost, metric, proxy, name)


def _only_app(warehouse: Warehouse, environment: str) -> str:
    where = (Where(column="environment", op="eq", value=environment),)
    apps = warehouse.run(Rollup(table="scores", keys=("app",), where=where))["app"].to_pylist()
    if len(apps) != 1:
        raise InputError(
            f"which application? give --app: {', '.join(map(str, apps))}"
            if apps
            else f"nothing is scored in environment {environment!r} yet; `andon import` or `andon serve` takes traffic in"
        )
    return str(apps[0])


def _tell(found: Truth, lost: int, metric: str, proxy: str, app: str) -> None:
    if found.interval is None:
        say(f"cannot tell the rate of harm by {metric} in {app}: {found.reason}")
    else:
        i = found.interval
        say(f"harm by {metric} in {app}: {i.rate:.2%} ({i.level:.0%} interval {i.low:.2%} to {i.high:.2%})")
        how = "stratified by the score, Jeffreys posterior" if found.method == "stratified" else "PPI++"
        say(f"method: {how}; {found.reason}")
    say(
        f"from {found.labels:,} labels and {found.scored:,} interactions with {proxy}"
        + (f", which stand for {found.stands_for:,.0f}" if round(found.stands_for) != found.scored else "")
    )
    if lost:
        say(f"{lost:,} more are labelled that have no {proxy} or lie outside the time; they are left out")
    if metric != "label_match" and found.labels:
        say("who rates is not drawn at random: this is the rate among interactions like the rated ones")
    if not found.strata:
        say("other times are asked for with --since and --until")
        return
    wished = f"a half-width of {100 * found.wished:.2g} points"
    if found.needed is None:
        say(f"{found.scored:,} scored interactions are too few for {wished}, however many are labelled; score more")
    else:
        say(f"{wished} takes about {found.needed:,} labels in all ({max(0, found.needed - found.labels):,} more)")
    rows = [
        (f"{s.lowest:.3g} to {s.highest:.3g}", f"{s.share:.1%}", f"{s.scored:,}", s.labels, s.harmed, s.next_labels)
        for s in found.strata
    ]
    total = sum(s.next_labels for s in found.strata)
    show_table((proxy, "share", "scored", "labels", "harmful", f"next {total}"), rows, empty="")
    say("draw the next labels at random within each row of this table")
