"""Commands about what is watched: monitor list, add, relearn and test; backtest."""

from math import inf, isfinite
from pathlib import Path
from statistics import median
from typing import Annotated

import orjson
import typer

from andon.cli import channels
from andon.cli.screen import now_us, opened, say, settings, show_table, who
from andon.errors import InputError
from andon.incidents import Incident, duration
from andon.loop import Loop
from andon.monitors import Signal
from andon.monitors.adding import added_objective, appended, named
from andon.monitors.backtest import CHARTS, Event, Setting, Trial, alarms_of, judge
from andon.monitors.records import Crowded, names
from andon.monitors.run import accept, history_of
from andon.scores.run import installed_scorers
from andon.scores.topics import Topics
from andon.store import Span
from andon.traffic import SEGMENTS, format_time, parse_time, quoted

__all__ = ["add_to"]

HOUR_US = 3_600_000_000


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(help="What is watched, and what was said about it.", no_args_is_help=True)
    group.command(name="list")(list_)
    group.command()(add)
    group.command()(topics)
    group.command()(relearn)
    group.command(name="test")(channels.test)
    app.add_typer(group, name="monitor")
    app.command()(backtest)


def list_() -> None:
    """What is watched: how many charts of each metric, and how often each may cry wolf."""
    with opened() as loop:
        monitors, _, first, n, _ = _history(loop, None)
        budget, crowded = loop.settings.false_pages_per_month, loop.ledger.all(Crowded)
    rows: dict[tuple[str, str, str, str], list[float]] = {}
    for monitor, seen in zip(monitors, n.sum(axis=0).tolist(), strict=True):
        what = ".".join(filter(None, (monitor.metric, monitor.direction, monitor.aspect)))
        kind = f"limit {monitor.at_most:g} ({monitor.objective})" if monitor.objective else "learned baseline"
        rows.setdefault((monitor.app, monitor.environment, what, kind), []).append(seen)
    said = [(*key, len(seen), f"{max(seen):,.0f}") for key, seen in sorted(rows.items())]
    show_table(("app", "environment", "metric", "", "charts", "observations"), said, empty="nothing is watched yet")
    hours = len(monitors) * 720 / budget
    say(
        f"{len(monitors)} charts since {format_time(first * HOUR_US)}; together {budget:g} false pages a month, so each "
        f"one in about {duration(3600 * hours)} of watching"
    )
    for field in crowded:
        say(f"{field.id}: too many values; since {format_time(field.seen_us)} new ones are not watched apart")


def add(
    metric: Annotated[str, typer.Argument(help="What is limited, e.g. refusal.")],
    at_most: Annotated[float, typer.Option(help="The largest acceptable rate of harm, e.g. 0.02.")],
    app: Annotated[str | None, typer.Option(help="The application; every one unless given.")] = None,
    environment: Annotated[str | None, typer.Option(help="Its environment; every one unless given.")] = None,
    scope: Annotated[
        list[str] | None, typer.Option(help="Part of the traffic, as field=value; twice for a pair of fields.")
    ] = None,
    direction: Annotated[str | None, typer.Option(help="up or down, where a metric may harm both ways.")] = None,
    beyond: Annotated[
        float | None, typer.Option(help="For a number: the value from which one interaction is harm.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What people call it; made of the rest unless given.")] = None,
) -> None:
    """Add a limit to andon.toml: a chart that signals when harm becomes more frequent than this."""
    chosen, file = settings(), Path(settings().config)
    where = dict(_pair(s) for s in scope or ())
    said = {
        "name": name, "metric": metric, "direction": direction, "at_most": at_most, "beyond": beyond, "where": where,
        "app": app, "environment": environment,
    }  # fmt: skip
    row = {"name": name or named(said), **{k: v for k, v in said.items() if v not in (None, {})}}
    added_objective(chosen.tables, row, installed_scorers(), chosen.config)
    whole, text = appended(file.read_text(encoding="utf-8-sig") if file.exists() else "", row, chosen.config)
    file.write_text(whole, encoding="utf-8")
    say(f"added to {file}; `andon serve` watches it from its next start on:\n\n{text}")


def _pair(said: str) -> tuple[str, str]:
    field, equals, value = said.partition("=")
    if not equals or field not in SEGMENTS:
        raise InputError(f"--scope {said!r} must be field=value; the fields are {', '.join(SEGMENTS)}")
    return field, value


def topics() -> None:
    """What is asked about: the topics that were learned from each application's questions, whose shares are watched."""
    with opened() as loop:
        found = loop.ledger.all(Topics)
    rows = [(t.id, topic.key, topic.n, topic.name) for t in sorted(found, key=lambda t: t.id) for topic in t.topics]
    head = ("application", "topic", "questions", "what they are about")
    show_table(head, rows, empty="no topics yet: they are learned from 2,000 distinct questions, or those of a week")


def relearn(
    monitor: Annotated[
        str, typer.Argument(help="A chart; with * at its end all that begin so: 'shop/production/refusal.up/*'.")
    ],
    why: Annotated[str, typer.Option(help="Why this is the new normal.")],
    since: Annotated[
        str | None, typer.Option(help="Learn from this time on (ISO 8601); from its last onset unless given.")
    ] = None,
) -> None:
    """Accept a change as the new normal: the charts learn their baseline anew, and who said so is recorded."""
    with opened() as loop:
        signals = [s for s in loop.ledger.all(Signal) if names(monitor, s.monitor)]
        known = [s.monitor for s in loop.ledger.all(Signal)]
        onset = max((s.onset_us for s in signals), default=0)
        done = accept(
            loop.ledger, monitor, known, from_us=parse_time(since) if since else onset, why=why, by=who(),
            now_us=now_us(), window_s=loop.settings.window_s,
        )  # fmt: skip
    say(f"charts of {done.monitor} learn anew from what came since {format_time(done.from_us)}")


def backtest(
    chart: Annotated[
        list[str] | None, typer.Option(help=f"Charts to try: {', '.join(CHARTS)}; all unless given.")
    ] = None,
    budget: Annotated[
        list[float] | None, typer.Option(help="False pages a month over everything; the setting unless given.")
    ] = None,
    learn: Annotated[
        float | None, typer.Option(help="Days to learn from; the first half, at most 28, unless given.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="Start of the history (ISO 8601).")] = None,
    until: Annotated[str | None, typer.Option(help="End of the history (ISO 8601).")] = None,
    events: Annotated[
        Path | None,
        typer.Option(help="JSONL of what did go wrong: name, app, environment, start, end; else the incidents."),
    ] = None,
) -> None:
    """Replay history through monitor settings: when each would have told of what went wrong, and its false pages."""
    for name in chart or ():
        if name not in CHARTS:
            raise InputError(f"there is no chart {name!r}; the charts are {', '.join(CHARTS)}")
    with opened() as loop:
        span = None
        if since or until:
            span = Span(start_us=parse_time(since) if since else 0, end_us=parse_time(until) if until else now_us())
        monitors, kinds, first, n, x = _history(loop, span)
        budgets = budget or [loop.settings.false_pages_per_month]
        known = _events(events) if events else [_of(i) for i in loop.ledger.all(Incident)]
    for b in budgets:
        if not 0 < b < inf:
            raise InputError(f"--budget {b:g} must be greater than 0: a page that is never false is never sent")
    if learn is not None and not isfinite(learn):
        raise InputError(f"--learn {learn:g} must be a number of days, at least 2")
    settings = [
        Setting(chart=c, false_pages_per_month=b)
        for c in CHARTS
        if not chart or c in chart
        for b in (budgets if c != "two-sigma" else budgets[:1])
    ]
    rows = round(learn * 24) if learn is not None else min(max(len(n) // 2, 48), 28 * 24)
    alarms = alarms_of(monitors, kinds, n, x, first, rows, settings)
    watched = (first + rows) * HOUR_US
    known = [e for e in known if e.end_us >= watched and e.start_us < (first + len(n)) * HOUR_US]
    trials = [judge(s, a, monitors, len(n) - rows, known) for s, a in zip(settings, alarms, strict=True)]
    say(
        f"learned from {format_time(first * HOUR_US)} to {format_time(watched)}, then watched "
        f"{(len(n) - rows) / 24:.1f} days with {len(known)} known event{'' if len(known) == 1 else 's'}"
    )
    head = ("setting", "alarms", "pages", "false", "false a month", "events told", "median lag")
    show_table(head, [_row(t, known) for t in trials], empty="nothing to try")
    for event in known:
        say(f"\n{event.name} of {event.app}, since {format_time(event.start_us)}")
        told = [(t.setting.name, *_first(t, event)) for t in trials]
        show_table(("setting", "told", "after", "by"), told, empty="")


def _history(loop: Loop, span: Span | None):  # type: ignore[no-untyped-def]
    return history_of(loop.warehouse, loop.scorers, span=span, objectives=loop.objectives, rules=loop.rules)


def _row(trial: Trial, events: list[Event]) -> tuple[object, ...]:
    lags = [(at - e.start_us) / 1e6 for e in events if (at := trial.found.get(e.name, (0, ""))[0])]
    return (
        trial.setting.name, trial.alarms, trial.pages, trial.false_pages, f"{trial.false_a_month:.2f}",
        f"{len(trial.found)} of {len(events)}", duration(max(0.0, median(lags))) if lags else "",
    )  # fmt: skip


def _first(trial: Trial, event: Event) -> tuple[str, str, str]:
    if event.name not in trial.found:
        return "never", "", ""
    at, monitor = trial.found[event.name]
    return format_time(at), duration(max(0.0, (at - event.start_us) / 1e6)), monitor


def _of(incident: Incident) -> Event:
    """What is known of an incident: from its estimated onset to its end, or its last signal."""
    return Event(
        name=incident.id, app=incident.app, environment=incident.environment, start_us=incident.onset_us,
        end_us=incident.closed_us or incident.last_signal_us,
    )  # fmt: skip


def _events(path: Path) -> list[Event]:
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    found: list[Event] = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
            found.append(
                Event(
                    name=str(row["name"]),
                    app=str(row["app"]),
                    environment=str(row.get("environment", "production")),
                    start_us=parse_time(row["start"]),
                    end_us=parse_time(row["end"]),
                )
            )
            if found[-1].end_us < found[-1].start_us:
                raise InputError("it ends before it starts")
            if found[-1].name in {e.name for e in found[:-1]}:
                raise InputError("another one has this name")
        except (orjson.JSONDecodeError, KeyError, TypeError, InputError) as error:
            raise InputError(
                f"{path}:{number} is not an event ({quoted(str(error), 100)}); one is "
                '{"name": "...", "app": "...", "start": "2026-03-02T10:00:00Z", "end": "2026-03-02T14:00:00Z"}'
            ) from error
    return found
