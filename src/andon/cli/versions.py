"""Commands about the versions of a lever: add, list, diff, approve, gate, promote."""

from pathlib import Path
from typing import Annotated

import typer

from andon.cli.gates import AUTO, RulesFile
from andon.cli.lever_texts import parsed, show_versions, value_of
from andon.cli.running import GoldenFile, cases_of, find_run, left_out
from andon.cli.screen import NOBODY, now_us, opened, plain, say, who
from andon.errors import InputError, StateError
from andon.evals import Baseline, EvalRun, exit_code
from andon.evals import run as evals
from andon.evals.run.rules import rules_in
from andon.evals.run.runs import named
from andon.golden import run as golden
from andon.golden.files import read_text
from andon.levers import GateResult, Version, diff, find_version, in_force
from andon.levers import run as levers
from andon.levers.registry import check_approved
from andon.levers.run.reading import pulls_of
from andon.loop import Loop
from andon.traffic import format_time, quoted

__all__ = ["Key", "Why", "add_to", "somebody"]

Key = Annotated[str, typer.Argument(metavar="LEVER", help="The flag key that the application reads.")]
Digest = Annotated[str, typer.Argument(metavar="VERSION", help="Its digest, or the first four characters or more.")]
Why = Annotated[str, typer.Option(help="Why, for the record.")]

_WORDS = {"error": "could not run"}


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
    now = now_us()
    with opened() as loop:
        known = levers.known_lever(loop.ledger, lever)
        made = value_of(known, value or "") if file is None else parsed(known.kind, read_text(file))
        version = levers.add_version(loop.ledger, lever, made, why=why, by=who(), parent=from_, now_us=now)
    if version.at_us != now:
        say(
            f"{version.id} is there already, written by {plain(version.by)} at {format_time(version.at_us)}: {plain(version.why)}"
        )
        return
    say(f"{version.id} is written; nothing is served by that")
    if version.parent:
        say(f"what changed: andon lever version diff {lever} {version.digest}")
    say(f'somebody else reads and approves it: andon lever version approve {lever} {version.digest} --why "..."')


def list_(lever: Key) -> None:
    """Versions: author, approvals, what the gate said, and where each is live."""
    with opened() as loop:
        show_versions(loop.ledger, levers.known_lever(loop.ledger, lever))


def diff_(
    lever: Key,
    version: Digest,
    other: Annotated[
        str | None,
        typer.Argument(metavar="[OTHER]", help="Compare VERSION with this one; none: VERSION's origin with it."),
    ] = None,
) -> None:
    """What changed from one version to another; characters that nobody sees are written out."""
    with opened() as loop:
        known = levers.known_lever(loop.ledger, lever)
        versions = levers.versions_of(loop.ledger, lever)
        new = find_version(known, versions, version if other is None else other)
        if other is not None:
            old: Version | None = find_version(known, versions, version)
        else:
            old = next((v for v in versions if v.digest == new.parent), None)
    if old is not None and old.digest == new.digest:
        say(f"{new.id} is compared with itself; name two versions")
        return
    text = diff(old, new)
    for line in text.split("\n") if text else ["no line differs"]:
        say(quoted(line, len(line))[1:-1])


def approve(lever: Key, version: Digest, why: Why) -> None:
    """Say that production may see a version that somebody else wrote."""
    now = now_us()
    by = somebody("approves a version")
    with opened() as loop:
        done = levers.approve_version(loop.ledger, lever, version, why=why, by=by, now_us=now)
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
) -> None:
    """Judge a run that tested a version, and write the verdict beside it: pass (exit 0), fail (1), undecided (3)."""
    now = now_us()
    with opened() as loop:
        known = levers.known_lever(loop.ledger, lever)
        found = find_version(known, levers.versions_of(loop.ledger, lever), version)
        tested = _whole(find_run(loop, run), run)
        before = _compared_with(loop, tested, baseline)
        cases = golden.load_set(loop.ledger) if golden_file is None else cases_of(loop, golden_file, tested.app)
        verdict = evals.judge_kept(
            loop.ledger, tested, before, cases, rules=rules_in(rules_file, now_us=now),
            left_out=left_out(golden_file, tested.app, cases), now_us=now,
        )  # fmt: skip
        against = "no baseline" if before is None else f"run {before.id}"
        reason = f"{verdict.reason} (run {tested.id} of {quoted(tested.target, 120)} against {against}{_named_in(tested, found)})"
        if loop.ledger.get(EvalRun, tested.id) is None:
            evals.keep_run(loop.ledger, tested, now_us=now, by=who())
        result = GateResult(
            outcome=_WORDS.get(verdict.outcome, verdict.outcome),  # type: ignore[arg-type]
            reason=reason, by=who(), at_us=now, run=tested.id,
        )  # fmt: skip
        levers.note_gate(loop.ledger, lever, found.digest, result, now)
    say(plain(f"{found.id}: {result.outcome}. {reason}"))
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
    with opened() as loop:
        done = levers.promote(loop.ledger, lever, version, to=to, why=why, by=who(), now_us=now)
        held = in_force(pulls_of(loop.ledger, lever), now, done.environment)
    name = f"the default of {lever}" if done.digest is None else f"{lever}@{done.digest}"
    if done.at_us != now:
        say(f"{name} is live in {to} already, since {format_time(done.at_us)} by {plain(done.by)}; nothing is written")
    else:
        say(f"{name} is live in {to}")
    if held is not None:
        say(f"but {held.id} by {plain(held.by)} holds {to} until {format_time(held.until_us)}: it is served after that")


def somebody(what: str) -> str:
    """Who gives this command, where it takes another person than the one before.

    Raises:
        InputError: the environment names nobody.
    """
    by = who()
    if by == NOBODY:
        raise InputError(f"nobody knows who {what}: set USER to your name")
    return by


def _compared_with(loop: Loop, run: EvalRun, name: str) -> EvalRun | None:
    """The run to compare with; by `auto` the one that was set for the application, where there is one and it is another."""
    if name != AUTO:
        return _whole(find_run(loop, name), name)
    known = loop.ledger.get(Baseline, run.app) if run.app else None
    return None if known is None or known.run == run.id else evals.baseline_of(loop.ledger, known.id)


def _whole(run: EvalRun, name: str) -> EvalRun:
    """The run, when a file holds what was run: a verdict is computed, never typed."""
    if Path(name).is_file() and named(run).id != run.id:
        raise InputError(
            f"{name} was changed after it was saved (or another release of Andon saved it), so its verdict would be typed, not computed; run it again"
        )
    return run


def _named_in(run: EvalRun, version: Version) -> str:
    """A warning where nothing in a run says that it tested this version."""
    return "" if version.digest in run.versions.values() else "; the run does not say which version it tested"
