"""The command about the true rate: andon truth."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import typer

from andon.cli.screen import now_us, opened, say, show_table
from andon.errors import InputError
from andon.monitors.truth import GivenLabel, ScoreCell, ScoreSums, Truth, truth_of
from andon.scores import LABELS, Scorer
from andon.store import Histogram, Rollup, Slice, Span, Warehouse, Where
from andon.traffic import parse_time

__all__ = ["add_to", "rate_from_labels"]

DAY_US = 86_400_000_000
UNITS_US = {"m": 60_000_000, "h": 3_600_000_000, "d": DAY_US}
AT_ONCE = 5_000
"""Interactions whose score is looked up in one plan."""

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
            span=Span(start_us=_start(since, end), end_us=end),
            now_us=now,
            level=level,
            half_width=within,
            plan=plan,
        )
    _tell(found, lost, metric, proxy, name)


def rate_from_labels(
    warehouse: Warehouse,
    scorers: Sequence[Scorer],
    rng: np.random.Generator,
    *,
    app: str,
    environment: str,
    metric: str,
    proxy: str,
    span: Span,
    now_us: int,
    level: float = 0.95,
    half_width: float | None = None,
    plan: int = 100,
) -> tuple[Truth, int]:
    """The rate of harm by what people say, and how many of their labels had no score to go with them.

    Interactions are those of the span; labels of them count whenever they were given until now, the last one of each
    interaction. A rating below one half is harm. Rows join by ``interaction_id``, because feedback is a row of its own.

    Raises:
        InputError: the metric is not one that people give, or no scorer makes the proxy.
    """
    if metric not in LABELS:
        raise InputError(f"{metric!r} is no metric that people give; {', '.join(LABELS)} are")
    by_name = {s.name: s for s in scorers}
    if proxy not in by_name:
        raise InputError(f"{proxy!r} is no score; one of {', '.join(sorted(by_name))} is")
    worst: Literal["up", "down"] = "down" if by_name[proxy].bad == "down" else "up"
    scope = (Where(column="app", op="eq", value=app), Where(column="environment", op="eq", value=environment))
    scored = (*scope, Where(column=proxy, op="not_null"))
    bins = warehouse.run(Histogram(table="scores", metric=proxy, keys=("weight",), span=span, where=scope)).to_pylist()
    sums = warehouse.run(
        Rollup(table="scores", metrics=(proxy,), keys=("weight",), span=span, where=scored)
    ).to_pylist()
    harm = _harm(
        warehouse, scope, metric, Span(start_us=span.start_us - DAY_US, end_us=max(now_us, span.end_us) + DAY_US)
    )
    labels = _with_score(warehouse, harm, scored, proxy, span)
    found = truth_of(
        [ScoreCell(bin=r["bin"], weight=_weight(r), n=r["n"]) for r in bins],
        [
            ScoreSums(weight=_weight(r), n=r[f"{proxy}.n"], total=r[f"{proxy}.sum"], squares=r[f"{proxy}.sumsq"])
            for r in sums
        ],
        labels,
        rng,
        worst=worst,
        level=level,
        half_width=half_width,
        plan=plan,
    )
    return found, len(harm) - len(labels)


def _harm(warehouse: Warehouse, scope: tuple[Where, ...], metric: str, span: Span) -> dict[str, bool]:
    """Whether people call it harm, by interaction: their last word."""
    given = (*scope, Where(column=metric, op="not_null"), Where(column="interaction_id", op="not_null"))
    rows = warehouse.run(Slice(table="scores", columns=("interaction_id", metric), span=span, where=given)).to_pylist()
    return {r["interaction_id"]: r[metric] < 0.5 for r in rows}


def _with_score(
    warehouse: Warehouse, harm: Mapping[str, bool], scored: tuple[Where, ...], proxy: str, span: Span
) -> list[GivenLabel]:
    """The labels whose interaction lies in the span and has the score."""
    ids, found = sorted(harm), {}
    for at in range(0, len(ids), AT_ONCE):
        among = Where(column="interaction_id", op="in", value=tuple(ids[at : at + AT_ONCE]))
        columns = ("interaction_id", proxy, "weight")
        for r in warehouse.run(Slice(table="scores", columns=columns, span=span, where=(*scored, among))).to_pylist():
            identity = r["interaction_id"]
            found[identity] = GivenLabel(harm=harm[identity], score=r[proxy], weight=_weight(r))
    return list(found.values())


def _weight(row: dict[str, Any]) -> float:
    weight = row["weight"]
    return float(weight) if weight is not None and weight > 0 else 1.0


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


def _start(text: str, end: int) -> int:
    unit = UNITS_US.get(text[-1:])
    return end - int(text[:-1]) * unit if unit and text[:-1].isdigit() else parse_time(text)


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
