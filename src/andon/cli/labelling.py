"""One screen after the other: labelling at the keyboard alone. What people type is a key or the right answer."""

import os
import select
from collections.abc import Sequence
from contextlib import suppress
from typing import TextIO

import click
import typer

from andon.cli.screen import now_us, plain, say
from andon.errors import InputError, StateError
from andon.golden import Failure, LabelRow, Queued, needed
from andon.golden import run as golden
from andon.golden.queue import ORIGINS
from andon.store import Ledger

__all__ = ["HELP", "ask", "whence"]

HELP = """\
TEXT    the right answer; begin with a backslash where it would be read as a key: \\s
=       the suggestion is the right answer
e       write a long answer in $EDITOR, beginning with the suggestion
d WHY   dismiss: no failure, or nobody can say what is right
s       skip; so does an empty line
c       show the contexts
u       undo the last label of this sitting
?       this list
q       quit; every label that was given is kept"""

PASTE_S = 0.05
"""What comes so soon after a line was pasted with it: nobody types as fast."""


def ask(ledger: Ledger, waiting: Sequence[Queued], by: str, keys: TextIO) -> int:
    """Show one failure after the other and keep each label as soon as it is given; returns how many stand at the end.

    What other reviewers said is never shown: a second label is worth something only if it is given blindly.
    """
    done: list[int] = []
    at, shown = 0, -1
    while at < len(waiting):
        q = waiting[at]
        if shown != at:
            _show(q, at + 1, len(waiting))
            shown = at
        line = _typed(keys)
        if line is None:
            continue
        if not line or line.strip() == "q":
            break
        if line.strip() == "u":
            if not done:
                say("there is nothing to undo")
                continue
            at = done.pop()
            golden.withdraw(ledger, waiting[at].failure.id, now_us=now_us(), by=by)
            say(f"taken back: {waiting[at].failure.id}")
            shown = -1
        elif line.strip() in ("", "s"):
            at += 1
        elif (row := _row(line.rstrip("\n"), q)) is None:
            continue
        else:
            try:
                kept = _keep(ledger, row, by)
            except StateError as error:  # others labelled it meanwhile
                say(plain(str(error)))
                at += 1
                continue
            if kept:
                done.append(at)
                at += 1
    say("")
    return len(done)


def _typed(keys: TextIO) -> str | None:
    """The next line, empty at the end; None where what came cannot be one answer, which is said.

    On a terminal a paste of several lines comes as one line after the other, and each would label another failure.
    """
    live = keys.isatty()
    try:
        if live:
            with suppress(ImportError):  # without it, what arrow keys leave in a line is refused with the label
                import readline as _  # noqa: F401 - input() uses it: arrow keys move within the line
            line = f"{input('> ')}\n"
        else:
            typer.echo("> ", nl=False)
            line = keys.readline()
        line.encode()
    except EOFError:
        return ""
    except UnicodeError:
        if not live:
            raise InputError("a line is not UTF-8; the labels before it are kept, so give the rest as UTF-8") from None
        _drained(keys)
        say("that is not UTF-8, so nothing is kept; type it again")
        return None
    if live and (_drained(keys) or len(line.splitlines()) > 1):
        say("several lines came, and nothing is kept: use e for an answer of several lines")
        return None
    return line


def _drained(keys: TextIO) -> bool:
    """Whether more was there; it is thrown away."""
    found = False
    while select.select([keys], [], [], PASTE_S)[0] and os.read(keys.fileno(), 65_536):
        found = True
    return found


def _show(q: Queued, number: int, total: int) -> None:
    f = q.failure
    say("")
    two = ", two reviewers" if needed(f) > 1 else ""
    risk = f"risk {f.risk_category}{two}" if f.risk_category else "no risk category"
    say(plain(f"{number} of {total}  {f.id}  {risk}"))
    say(plain(f"asked of: {whence(f)}"))
    say(plain(f"why: {f.reason} [{f.source}]"))
    if f.said:
        say(plain(f"the user said: {f.said}"))
    say(plain(f"question: {f.question}"))  # on one line: no text can look like a line of ours
    if f.contexts:
        say(f"contexts: {len(f.contexts)} (c shows them)")
    say(plain(f"failing answer: {f.answer or '(no answer)'}"))
    if f.suggestion:
        say(plain(f"suggested: {f.suggestion}"))
        say(plain(f"  which is {ORIGINS.get(f.suggested_by or '', f.suggested_by or 'of unknown origin')}"))
    keys = "TEXT, = takes the suggestion, " if f.suggestion else "TEXT, "
    say(f"right answer? {keys}d WHY, e, s, c, u, q; ? explains")


def whence(failure: Failure) -> str:
    """Which application failed, in which incident and versions: the right answer depends on it."""
    incident = (failure.incident,) if failure.incident else ()
    return ", ".join((failure.app, *incident, *(f"{k} {v}" for k, v in sorted(failure.versions.items()))))


def _row(line: str, q: Queued) -> LabelRow | None:
    """The label that a line says; None where it says none."""
    f, typed = q.failure, line.strip()
    if _answered(typed, q):
        return None
    if typed.startswith("d "):
        return LabelRow(line=0, id=f.id, question=None, ground_truth="", verdict="dismiss", note=typed[2:].strip())
    text, note = typed.removeprefix("\\"), ""
    if typed == "e":
        text = _edited(f.suggestion or "")
    elif typed == "=":
        text, note = f.suggestion or "", f"accepted: {f.suggested_by}"
    return LabelRow(line=0, id=f.id, question=None, ground_truth=text, note=note) if text else None


def _answered(typed: str, q: Queued) -> bool:
    """Whether a line asks for something that is no label; it is answered."""
    if typed == "?":
        say(HELP)
    elif typed == "c":
        for k, text in enumerate(q.failure.contexts, 1):
            say(plain(f"[{k}] {text}"))
        if not q.failure.contexts:
            say("no context was sent with it")
    elif typed == "=" and not q.failure.suggestion:
        say("there is no suggestion; type the right answer")
    elif typed == "d":
        say("say why: d WHY")
    else:
        return False
    return True


def _edited(text: str) -> str:
    """What somebody wrote in their editor; empty where nothing was saved."""
    try:
        written = click.edit(text)
    except click.ClickException as error:
        say(plain(f"the editor failed: {error.message}; set EDITOR"))
        return ""
    if written is None or not written.strip():
        say("nothing was saved, so nothing is labelled")
        return ""
    return written.strip("\n")


def _keep(ledger: Ledger, row: LabelRow, by: str) -> bool:
    """Store a label and say what was stored, so that a slip is seen; False where it is refused."""
    failure, dismissed = row.id or "", row.verdict == "dismiss"
    try:
        golden.give_label(
            ledger,
            failure,
            answer=row.ground_truth,
            dismiss=row.note if dismissed else None,
            note=row.note,
            now_us=now_us(),
            by=by,
        )
    except InputError as error:
        say(plain(f"refused: {error}"))
        return False
    said = f"dismissed: {row.note}" if dismissed else f"labelled: {row.ground_truth}"
    say(plain(f"{said} (u takes it back)"))
    for each in golden.still_tested(ledger, {failure}):
        say(each.reason)
    return True
