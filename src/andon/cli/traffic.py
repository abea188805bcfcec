"""Commands about traffic: import, show, intake, erase."""

from pathlib import Path
from typing import Annotated

import typer

from andon.cli.screen import now_us, opened, progress, say, show_table, who
from andon.errors import InputError, StateError
from andon.traffic import Interaction, format_time

__all__ = ["add_to"]

LONGEST = 2_000
"""Characters of a text that `show` prints."""


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(name="import")(import_)
    for command in (show, intake, erase):
        app.command()(command)


def import_(
    places: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="JSON lines, JSON, CSV or Parquet files, or folders of such files.", exists=True
        ),
    ],
    feedback: Annotated[
        bool, typer.Option("--feedback", help="The files hold feedback, whatever their names.")
    ] = False,
) -> None:
    """Take in traffic, feedback and changes from files. Bad rows are named and the rest kept; again duplicates nothing."""
    from andon.loop import passed_over
    from andon.traffic.files.inbox import ready_files, scan
    from andon.traffic.files.kinds import table_of
    from andon.traffic.run import import_files

    listed = (ready_files(scan(p), {}, now_us(), 0) if p.is_dir() else [p] for p in places)
    files = [file for some in listed for file in some]
    changes = [f for f in files if table_of(f) == "changes" and not feedback]
    traffic = [f for f in files if f not in changes]
    with opened() as loop, progress("importing", None) as tell:
        moved = [loop.record_changes(f, now_us()) for f in changes]
        result = import_files(
            loop.warehouse,
            traffic,
            table="feedback" if feedback else None,
            intake=loop.intake,
            report=lambda p: tell(f"importing {Path(p.file).name}: {p.rows:,} rows are durable", 0.0),
        )
        loop.intake.flush(now_us())
    for bad in result.bad_rows[:20]:
        say(f"{Path(bad.file).name}:{bad.line}: {bad.reason}  {bad.text}")
    if result.bad > 20:
        say(f"... and {result.bad - 20:,} more bad rows")
    if changes:
        say(f"{sum(len(received.changes) for received in moved):,} changes are recorded")
        if ignored := [i for received in moved for i in received.ignored]:
            say(passed_over(ignored))
    say(f"{result.acknowledged:,} of {result.rows:,} rows are in; {result.bad:,} were bad")
    if result.bad and not result.acknowledged:
        raise InputError("no row could be read; the lines above say why")


def show(
    identity: Annotated[str, typer.Argument(metavar="ID", help="Id of an interaction, or of a trace.")],
) -> None:
    """Show one interaction as a story: question, what was retrieved, steps, answer, versions, feedback."""
    from andon.store import Slice, Where
    from andon.traffic.run import feedback_on, read_interactions_by_id

    with opened() as loop:
        loop.warehouse.commit()
        found = read_interactions_by_id(loop.warehouse, [identity])
        said = feedback_on(loop.warehouse, identity)
        mine = (Where(column="trace_id", op="eq", value=identity),)
        spans = loop.warehouse.run(Slice(table="spans", columns=("id",), where=mine)).num_rows
    if not found:
        if spans:
            say(
                f"{spans} spans of this trace are in, and no interaction yet: it is made when no span has come for a while"
            )
            return
        raise InputError(f"there is no interaction or trace {identity!r} in the tables")
    _tell(found[0])
    for f in said:
        say(f"  {format_time(f.time_us)} {f.kind}: {_words(f.label, f.value, f.text)} ({f.author or f.source})")


def _tell(i: Interaction) -> None:
    head = (i.app, i.environment, i.risk_category, i.task, i.error and f"error: {i.error}")
    say(f"{format_time(i.time_us, 'millisecond')}  {'  '.join(h for h in head if h)}")
    say(f"question  {_short(i.query)}")
    for n, c in enumerate(i.contexts, 1):
        say(f"context {n} {_short(c.text, 200)}" + ("" if c.score is None else f"  (score {c.score:.3g})"))
    for s in i.steps:
        say(
            f"step      {s.start_s:8.3f} s  {s.kind:9} {s.name}  {s.latency_s:.3f} s"
            + (f"  {s.error}" if s.error else "")
        )
    for t in i.tool_calls:
        say(f"tool      {t.name}({_short(t.arguments, 200)}) -> {_short(t.error or t.result, 200)}")
    say(f"answer    {_short(i.answer)}")
    pairs = {
        "model": i.model, "asked for": i.requested_model, "prompt": i.prompt_version, "index": i.index_version,
        "code": i.code_version, "arm": i.arm, "latency": None if i.latency_s is None else f"{i.latency_s:.3f} s",
        "tokens": None if i.input_tokens is None else f"{i.input_tokens} in, {i.output_tokens} out",
        "finish": i.finish_reason, "user": i.user_id, "session": i.session_id,
    }  # fmt: skip
    say("  ".join(f"{name}: {value}" for name, value in pairs.items() if value))


def intake() -> None:
    """What was done to rows on their way in: redacted, sampled out, not kept."""
    from andon.traffic.run import intake_report

    with opened() as loop:
        rows = [(what, subject, f"{n:,}") for what, subject, n in intake_report(loop.warehouse)]
    show_table(("what", "of which", "how many"), rows, empty="nothing was redacted, sampled out or passed over")


def erase(
    user: Annotated[str, typer.Option(help="The `user_id` that your application sends; as it is before redaction.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this nothing is erased.")] = False,
) -> None:
    """Erase what came from one user from all tables and records, and look again whether anything is left."""
    if not yes:
        raise InputError("this cannot be undone; give --yes to erase")
    with opened() as loop:
        done = loop.erase(user, now_us(), who())
    say(f"{done.id}: removed {', '.join(f'{n:,} {table}' for table, n in done.rows.items()) or 'no rows'}")
    say(f"texts blanked in {done.records:,} versions of records")
    if done.retired or done.dismissed:
        say(f"{done.retired:,} golden cases retired, {done.dismissed:,} failures dismissed: what they asked is gone")
    if done.left:
        raise StateError(f"left: {'; '.join(done.left)}")
    say("looked again: nothing is left. Files that you keep elsewhere (golden cases in git) are not reached.")
    say(
        "where a server runs, do it again in a few minutes: what its loop was making of the traffic meanwhile was not reached"
    )


def _words(*values: object) -> str:
    return " ".join(str(v) for v in values if v is not None)


def _short(text: str | None, most: int = LONGEST) -> str:
    flat = " ".join((text or "(none)").split())
    return flat if len(flat) <= most else f"{flat[:most]}..."
