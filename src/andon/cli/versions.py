"""Commands about the versions of a lever: add, list, diff, approve, gate, promote."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from andon.cli.gates import AUTO, RulesFile
from andon.cli.lever_texts import show_versions, value_of
from andon.cli.running import GoldenFile, cases_of, find_run, left_out
from andon.cli.screen import now_us, opened, opened_ledger, plain, say, somebody, who
from andon.errors import InputError, StateError
from andon.evals import EvalRun, exit_code
from andon.evals import run as evals
from andon.evals.run.rules import rules_in
from andon.evals.run.runs import named
from andon.golden import run as golden
from andon.golden.files import read_text
from andon.levers import Lever, Version, diff, find_version, in_force
from andon.levers import run as levers
from andon.levers.gating import names_version, result_of
from andon.levers.registry import check_approved, origin_of
from andon.levers.run.declaring import DEFAULT
from andon.levers.run.reading import pulls_of
from andon.levers.words import parsed
from andon.loop import Loop
from andon.traffic import format_time, quoted

__all__ = ["Key", "Why", "add_to"]

Key = Annotated[str, typer.Argument(metavar="LEVER", help="The flag key that the application reads.")]
Digest = Annotated[str, typer.Argument(metavar="VERSION", help="Its digest, or the first four characters or more.")]
Why = Annotated[str, typer.Option(help="Why, for the record.")]


def add_to(group: typer.Typer) -> None:
    """Add these commands to those of levers."""
    version = typer.Typer(help="What a lever may give: written, read, approved and gated.", no_args_is_help=True)
    for command in (add, diff_, approve, gate):
        version.command(name=command.__name__.rstrip("_"))(command)
    version.command(name="list")(list_)
    group.add_typer(version, name="version")
    group.command()(promote)


def add(
    lever: Key,
    why: Why,
    value: Annotated[str | None, typer.Option(help="The value; of an object its JSON; @FILE reads a file.")] = None,
    file: Annotated[Path | None, typer.Option(help="Read the value from this file.", dir_okay=False)] = None,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="VERSION", help="What it was made from; else what is live.")
    ] = None,
) -> None:
    """Write a version; nothing is served by that."""
    if (value is None) == (file is None):
        raise InputError("give the value either by --value or by --file")
    now, by = now_us(), somebody("writes a version, which somebody else approves")
    with opened_ledger() as ledger:
        known = levers.known_lever(ledger, lever)
        made = value_of(known, value or "") if file is None else parsed(known.kind, read_text(file))
        version = levers.add_version(ledger, lever, made, why=why, by=by, parent=from_, now_us=now)
    if version.at_us != now:
        say(
            f"{version.id} is there already, written by {plain(version.by)} at {format_time(version.at_us)}: {plain(version.why)}"
        )
        return
    say(f"{version.id} is written; nothing is served by that")
    say(f"what changed: andon lever version diff {lever} {version.digest}")
    say(f'somebody else reads and approves it: andon lever version approve {lever} {version.digest} --why "..."')


def list_(lever: Key) -> None:
    """Versions: author, approvals, what the gate said, and where each is live."""
    with opened_ledger() as ledger:
        show_versions(ledger, levers.known_lever(ledger, lever))


def diff_(
    lever: Key,
    version: Digest,
    other: Annotated[
        str | None,
        typer.Argument(
            metavar="[OTHER]",
            help="Show what changed from VERSION to this one; none: to VERSION, from what is approved.",
        ),
    ] = None,
) -> None:
    """What changed up to a version from what somebody has approved, or between two; `default` is the declared one.

    Characters that nobody sees are written out.
    """
    with opened_ledger() as ledger:
        known, live = levers.known_lever(ledger, lever), levers.live_in(ledger, lever, "production")
        versions = levers.versions_of(ledger, lever)
    old, new = (
        known if name == DEFAULT else find_version(known, versions, name) for name in (version, other or version)
    )
    why = "as asked"
    if other is None:
        if isinstance(new, Lever):
            raise InputError("the declared default is made from nothing; name another version to compare it with")
        old, why = origin_of(known, new, versions, live)
    elif old == new:
        say(f"{_name(new)} is compared with itself; name two versions")
        return
    say(f"{_name(new)} compared with {_name(old)}: {why}")
    text = diff(old, new)
    for line in text.split("\n") if text else ["no line differs"]:
        say(quoted(line, len(line))[1:-1])


def approve(lever: Key, version: Digest, why: Why) -> None:
    """Say that production may see a version that somebody else wrote."""
    now = now_us()
    by = somebody("approves a version")
    with opened_ledger() as ledger:
        done = levers.approve_version(ledger, lever, version, why=why, by=by, now_us=now)
    if done.approvals[-1].at_us != now:
        say(f"{done.id} was approved by {by} before")
    else:
        say(f"{done.id} by {plain(done.by)} is approved by {by}")
    try:
        check_approved(done)
    except StateError as error:
        say(f"production still must not see it: {error}")
        return
    say(f'next: andon lever promote {lever} {done.digest} --to staging --why "..."')


def gate(
    lever: Key,
    version: Digest,
    run: Annotated[str, typer.Option("--run", metavar="RUN", help="Id of the kept run that tested it, or a file.")],
    baseline: Annotated[
        str, typer.Option(metavar="RUN|auto", help="Id of a kept run or a file to compare with, or what was set.")
    ] = AUTO,
    rules_file: RulesFile = None,
    golden_file: GoldenFile = None,
    vouch: Annotated[
        bool, typer.Option("--vouch", help="Say yourself that the run tested this version, where the run does not.")
    ] = False,
) -> None:
    """Judge a run that tested a version, and write the verdict beside it: pass (exit 0), fail (1), undecided (3)."""
    now = now_us()
    with opened() as loop:
        known, versions = levers.known_lever(loop.ledger, lever), levers.versions_of(loop.ledger, lever)
        found = find_version(known, versions, version)
        tested = _whole(find_run(loop, run), run)
        vouched_by = _vouched(tested, found, known, versions, vouch=vouch)
        before = _compared_with(loop, tested, baseline)
        cases = golden.load_set(loop.ledger) if golden_file is None else cases_of(loop, golden_file, tested.app)
        verdict = evals.judge_kept(
            loop.ledger, tested, before, cases, rules=rules_in(rules_file, now_us=now),
            left_out=left_out(golden_file, tested.app, cases), now_us=now,
        )  # fmt: skip
        if loop.ledger.get(EvalRun, tested.id) is None:
            evals.keep_run(loop.ledger, tested, now_us=now, by=who())
        result = result_of(tested, before, verdict, vouched_by=vouched_by, by=who(), now_us=now)
        levers.note_gate(loop.ledger, lever, found.digest, result, now)
    say(plain(f"{found.id}: {result.outcome}. {result.reason}"))
    if result.outcome != "pass":
        say("production must not see it until a later run of it passes")
        if before is None:
            say("nothing was compared: give --baseline RUN, or set one with `andon eval baseline`")
    raise typer.Exit(exit_code(verdict))


def promote(
    lever: Key,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Its digest, or `default` for the declared one.")],
    to: Annotated[str, typer.Option(help="staging, then production.")],
    why: Why,
) -> None:
    """Make a version what is served in an environment while nobody holds the lever; `default` goes back to the declared one."""
    now = now_us()
    with opened_ledger() as ledger:
        done = levers.promote(ledger, lever, version, to=to, why=why, by=who(), now_us=now)
        held = in_force(pulls_of(ledger, lever), now, done.environment)
    name = f"the default of {lever}" if done.digest is None else f"{lever}@{done.digest}"
    if done.at_us != now:
        say(f"{name} is live in {to} already, since {format_time(done.at_us)} by {plain(done.by)}; nothing is written")
    else:
        say(f"{name} is live in {to}")
    if held is not None:
        say(f"but {held.id} by {plain(held.by)} holds {to} until {format_time(held.until_us)}: it is served after that")


def _name(one: Version | Lever) -> str:
    return f"the default of {one.id}" if isinstance(one, Lever) else one.id


def _compared_with(loop: Loop, run: EvalRun, name: str) -> EvalRun | None:
    """The run to compare with; by `auto` the one that was set for the application, where there is one.

    Raises:
        InputError: it is the run itself.
    """
    if name != AUTO:
        before: EvalRun | None = _whole(find_run(loop, name), name)
    else:
        before = evals.baseline_of(loop.ledger, run.app) if run.app else None
    if before is not None and before.id == run.id:
        raise InputError(
            f"run {run.id} would be compared with itself, which shows nothing; give --baseline with a run of what is served now"
        )
    return before


def _whole(run: EvalRun, name: str) -> EvalRun:
    """The run, when a file holds what was run: a verdict is computed, never typed."""
    if Path(name).is_file() and named(run).id != run.id:
        raise InputError(
            f"{name} was changed after it was saved (or another release of Andon saved it), so its verdict would be typed, not computed; run it again"
        )
    return run


def _vouched(run: EvalRun, version: Version, lever: Lever, versions: Sequence[Version], *, vouch: bool) -> str | None:
    """Who vouches that a run tested a version; None where the run itself says so.

    Raises:
        InputError: it names another version of the lever, or none and nobody vouches for it.
    """
    if names_version(run, version, lever, versions):
        return None
    if not vouch:
        raise InputError(
            f'run {run.id} does not say which version of {lever.id} it tested: write `version = "{version.digest}"` into the file of the '
            f"target and run it again, or say --vouch if you know that it was {version.id}"
        )
    return somebody("vouches for the run")
