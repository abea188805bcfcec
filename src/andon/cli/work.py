"""Commands that turn the crank: replay, serve, tick, status, demo, change, model."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from andon.changes import KINDS, Change
from andon.changes.run import change_from, record_change
from andon.cli.screen import now_us, opened, progress, say, settings, show_table, who
from andon.errors import InputError
from andon.incidents import Incident, odds, open_channels
from andon.incidents.channels import NOBODY, urls_of
from andon.traffic import format_time

__all__ = ["add_to"]

WIDTHS_S = (60, 300, 900, 3600)
MOST_WINDOWS = 5_000

Role = StrEnum("Role", {"ingest": "ingest", "web": "web", "loop": "loop"})
"""As `andon.server.ROLES`, which takes long to import."""

Files = Annotated[
    list[Path], typer.Argument(help="JSON lines, JSON, CSV or Parquet files of traffic.", exists=True, dir_okay=False)
]


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (replay, serve, tick, status, demo):
        app.command()(command)
    change = typer.Typer(help="The log of what moved in the control plane.", no_args_is_help=True)
    change.command(name="record")(change_record)
    change.command(name="list")(change_list)
    app.add_typer(change, name="change")
    model = typer.Typer(help="The embedding model that compares texts by meaning.", no_args_is_help=True)
    model.command(name="fetch")(model_fetch)
    model.command(name="status")(model_status)
    app.add_typer(model, name="model")


def replay(
    files: Files,
    changes: Annotated[list[Path] | None, typer.Option(help="JSONL files of changes.", exists=True)] = None,
    feedback: Annotated[list[Path] | None, typer.Option(help="JSONL files of feedback.", exists=True)] = None,
    home: Annotated[
        Path | None, typer.Option(help="Folder for the replay's own store; it must be new or empty.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the postmortems.")] = Path("postmortems"),
    window: Annotated[
        int, typer.Option(help="Width of a window in seconds; 0 chooses by the length of the traffic.")
    ] = 0,
) -> None:
    """Run traffic files through the whole loop on the traffic's own clock."""
    from andon.loop import open_loop, passed_over
    from andon.loop import replay as run_replay
    from andon.postmortems.run import write_documents

    place = home or out / ".andon"
    if place.exists() and any(place.iterdir()):
        raise InputError(
            f"{place} is not empty; give a new folder with --home, or delete it: a replay starts from nothing"
        )
    chosen = settings().apart(place, window_s=window or _window_of(files))
    loop = open_loop(chosen)
    with progress("replaying") as tell:
        result = run_replay(
            loop,
            files,
            changes=changes or (),
            feedback=feedback or (),
            report=tell,
        )
    say(f"{result.imported.acknowledged:,} interactions, {len(result.changes)} changes, windows of {chosen.window_s} s")
    for what, taken in (("traffic", result.imported), ("feedback", result.feedback)):
        if taken is not None and taken.bad:
            bad = taken.bad_rows[0]
            say(f"{taken.bad:,} bad lines of {what}; the first: {Path(bad.file).name}:{bad.line}: {bad.reason}")
    if result.ignored:
        say(passed_over(result.ignored))
    for postmortem in result.postmortems:
        incident, first = postmortem.incident, postmortem.investigation.suspects[0]
        say(f"{incident.id} {incident.severity} {incident.impact}: {incident.title}")
        say(f"  first suspect ({odds(first.probability)}): {first.title}")
        for path in write_documents(postmortem, out):
            say(f"  {path}")
    if not result.postmortems:
        say("no incident: every chart stayed within its limits")
    loop.close()


def _window_of(files: list[Path]) -> int:
    """The narrowest of the usual widths that cuts this traffic into at most 5,000 windows."""
    from andon.traffic import BadRow, read_traffic

    times = [row.time_us for path in files for row in read_traffic(path) if not isinstance(row, BadRow)]
    span_s = (max(times) - min(times)) / 1e6 if times else 0
    return next((w for w in WIDTHS_S if span_s / w <= MOST_WINDOWS), WIDTHS_S[-1])


def serve(
    only: Annotated[
        list[Role] | None,
        typer.Option(help="What this replica does, where there are several; again for more. All unless given."),
    ] = None,
) -> None:
    """Run the service: OTLP and JSON in, the loop, levers over OFREP, the page."""
    from andon.server import ROLES, start_log
    from andon.server import serve as run

    start_log()
    run(settings(), only=only or ROLES)


def tick() -> None:
    """Turn the crank once, for people who have a scheduler. Where somebody else turns it, nothing is done twice.

    Takes in what lies in ANDON_INBOX, asks the probes that are due, turns the loop, captures failures, merges small files and forgets what is older
    than it may be kept: all that `andon serve` does by itself. Run it at least once an hour.
    """
    from andon.loop.turning import Tick
    from andon.server import do_once, hold_loop

    chosen = settings()
    channels = open_channels(chosen.channels)
    with opened(chosen) as loop, hold_loop(loop.ledger) as other:
        if other:
            say(f"nothing was done: the loop is turned by {other} at this moment")
            return
        done, failed = do_once(loop, chosen, channels)
    for what, name in (("files taken in", "inbox"), ("probes asked", "probes")):
        if isinstance(found := done.get(name), list) and found:
            say(f"{len(found)} {what}: {', '.join(f.id for f in found)}")
    if isinstance(turned := done.get("loop"), Tick):
        say(
            f"{turned.assembled} traces assembled, {turned.changes} new versions, {turned.scored} scored, {turned.signals} signals, "
            f"incidents touched: {', '.join(turned.incidents) or 'none'}, levers pulled: {', '.join(turned.pulled) or 'none'}, "
            f"messages: {turned.told}"
        )
    if isinstance(gone := done.get("retention"), dict) and gone:
        say(f"forgotten: {', '.join(f'{n:,} of {table}' for table, n in gone.items())}")
    for name, error in failed.items():
        say(f"{name} failed: {type(error).__name__}: {error}")
    if failed:
        raise next(iter(failed.values()))


def status() -> None:
    """Is anything wrong? Open incidents, what came in, and what is missing."""
    from andon.cli.lever_texts import failing
    from andon.cli.levers import unreviewed
    from andon.monitors.records import Crowded
    from andon.postmortems.run import overdue
    from andon.rollouts.notices import standing_text
    from andon.rollouts.run.standing import decided_experiments, late_looks
    from andon.rollouts.told import late_text
    from andon.scores.embedding import notice
    from andon.scores.run import ScorerFailure
    from andon.store import Rollup

    chosen, now = settings(), now_us()
    with opened(chosen) as loop:
        row = loop.warehouse.run(Rollup(table="interactions", metrics=("time_us",))).to_pylist()[0]
        incidents = [i for i in loop.ledger.all(Incident) if i.state != "closed"]
        failures = loop.ledger.all(ScorerFailure)
        late = overdue(loop.ledger, now)
        crowded = loop.ledger.all(Crowded)
        broken = [*unreviewed(loop.ledger), *failing(loop.ledger)]
        decided = [standing_text(d, now) for d in decided_experiments(loop.ledger, now) if d.stands(now)]
        waiting = [f"{name}: {late_text(name, due_us)}" for name, due_us in late_looks(loop.ledger, now)]
    if row["rows"]:
        say(
            f"{row['rows']:,} interactions from {format_time(int(row['time_us.min']))} to {format_time(int(row['time_us.max']))}"
        )
    else:
        say(f"no traffic yet in {chosen.place}; `andon import FILE` or `andon serve` takes it in")
    rows = [(i.id, i.severity, i.impact, i.state, i.title) for i in incidents]
    show_table(("incident", "", "class", "state", "what is wrong"), rows, empty="no open incident")
    for line in [*decided, *waiting, *broken]:
        say(line)
    for item in late:
        say(f"overdue: {item.id} of {item.owner or 'nobody'}, due {format_time(item.due_us)[:10]}: {item.title}")
    for f in failures:
        say(f"scorer {f.id} failed {f.count:,} times, last on {f.last_interaction}: {f.last_error}")
    for field in crowded:
        say(f"{field.id}: too many values; since {format_time(field.seen_us)} new ones are not watched apart")
    if text := notice(chosen):
        say(text)
    if not urls_of(chosen.channels):
        say(NOBODY)


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the stories' stores and postmortems.")] = Path("andon-demo"),
    seed: Annotated[int, typer.Option(help="Seed of the simulated traffic.")] = 0,
    serve_it: Annotated[
        bool,
        typer.Option(
            "--serve",
            help="Serve the pages and play the stories live on them: half a day in two minutes, then at the clock's own pace.",
        ),
    ] = False,
    port: Annotated[int | None, typer.Option(help="With --serve: the port; ANDON_PORT unless given.")] = None,
) -> None:
    """Tell three simulated stories with published numbers, each ending in a postmortem."""
    from andon.demo import tell as tell_stories

    if serve_it:
        from andon.demo import play
        from andon.server import start_log

        start_log()
        play(out, settings(), port=port, say=say)
        return
    with progress("the three stories", 3.0) as tell:
        told = tell_stories(out, seed=seed, report=tell)
    for story in told:
        say(story.text)


def change_record(
    kind: Annotated[str, typer.Option(help=f"What moved: {', '.join(KINDS)}.")],
    title: Annotated[str, typer.Option(help="One line that a person recognises it by.")],
    app: Annotated[str, typer.Option(help="The application.")] = "default",
    environment: Annotated[str, typer.Option(help="The environment.")] = "production",
    at: Annotated[str | None, typer.Option(help="When it happened (ISO 8601); now unless given.")] = None,
    before: Annotated[str | None, typer.Option(help="Version before.")] = None,
    after: Annotated[str | None, typer.Option(help="Version after.")] = None,
    field: Annotated[str | None, typer.Option(help="Field of the interactions that carries the version.")] = None,
    link: Annotated[str | None, typer.Option(help="Where to read more.")] = None,
) -> None:
    """Record a change: a model, prompt, policy, index, corpus, route, tool, budget..."""
    data: dict[str, object] = {"kind": kind, "title": title, "app": app, "environment": environment, "author": who()}
    extra = {"at": at, "before": before, "after": after, "version_field": field, "link": link}
    data |= {k: v for k, v in extra.items() if v is not None}
    now = now_us()
    with opened() as loop:
        change = record_change(loop.ledger, change_from(data, now_us=now), now_us=now, by=who())
    say(f"{change.id} {change.kind}: {change.title} at {format_time(change.at_us)}")


def change_list(limit: Annotated[int, typer.Option(help="How many of the newest.")] = 50) -> None:
    """What changed, newest first; versions first seen in traffic are here too."""
    with opened() as loop:
        found = sorted(loop.ledger.all(Change), key=lambda c: (-c.at_us, c.id))[:limit]
    rows = [(c.id, format_time(c.at_us), c.kind, c.app, c.title, c.author) for c in found]
    show_table(("change", "when", "kind", "app", "what", "who"), rows, empty="no change is recorded yet")


def model_fetch() -> None:
    """Install the weights of all-MiniLM-L6-v2 (90 MB, no torch), so that texts are compared by meaning."""
    from andon.scores.minilm import fetch

    fetch(say)


def model_status() -> None:
    """Which embedder is in use, and what is missing for a better one."""
    from andon.scores.embedding import choose, notice

    chosen = settings()
    say(f"embedder: {choose(chosen).name}")
    if text := notice(chosen):
        say(text)
