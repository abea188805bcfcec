"""Commands about failures and their labels: golden capture, failures, queue, label, accept, agreement, adjudicate."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from andon.cli.labelling import ask, whence
from andon.cli.screen import before, now_us, opened, plain, say, show_table, who
from andon.errors import InputError, StoreError
from andon.golden import (
    Failure,
    Label,
    Queued,
    Refusal,
    label_lines,
    label_sheet,
    labels_by_failure,
    needed,
    open_to,
    settled,
)
from andon.golden import run as golden
from andon.golden.cases import person

__all__ = ["add_to"]

MOST_NAMED = 5
"""Rows of a file of labels that are named because they fit no failure."""

App = Annotated[str | None, typer.Option(help="Only failures of this application.")]
As = Annotated[str | None, typer.Option("--as", help="Your name, where the environment does not say it.")]


def add_to(group: typer.Typer) -> None:
    """Add these commands to `andon golden`."""
    group.command(name="capture")(capture)
    group.command(name="failures")(failures)
    group.command(name="queue")(queue)
    group.command(name="label")(label)
    group.command(name="accept")(accept)
    group.command(name="agreement")(agreement)
    group.command(name="adjudicate")(adjudicate)


def capture(
    since: Annotated[str, typer.Option(help="How far back to look: 30m, 24h, 7d, or a time in ISO 8601.")] = "7d",
) -> None:
    """Capture what failed now, with the day that is not over yet; `andon serve` does it by itself."""
    now = now_us()
    with opened() as loop:
        counts = loop.capture(now, before(now, since))
    show_table(
        ("rule", "captured", "known", "left out"), [(c.rule, c.captured, c.known, c.left_out) for c in counts], empty=""
    )
    n = sum(c.captured for c in counts)
    say(f"{_failures(n)} captured" + ("; `andon golden queue` shows them" if n else ""))


def failures() -> None:
    """Captured failures, and what people have said of them so far."""
    with opened() as loop:
        labels = labels_by_failure(loop.ledger.all(Label))
        found = loop.ledger.all(Failure)
    rows = [
        (
            f.id,
            whence(f),
            f.source,
            f.question[:80],
            (f.answer or "(no answer)")[:60],
            settled(f, labels.get(f.id, ())).state,
            f.suggested_by,
        )
        for f in found
    ]
    head = ("failure", "asked of", "from", "question", "failing answer", "state", "suggestion")
    show_table(head, rows, empty="no failure was captured yet; `andon golden capture` looks for some now")


def queue(
    out: Annotated[Path | None, typer.Option(help="Write a sheet to fill in: .csv or .jsonl.")] = None,
    app: App = None,
    reviewer: Annotated[str | None, typer.Option(help="Only what this reviewer can still label.")] = None,
) -> None:
    """What to label next and why, who has labelled it, and who is still needed."""
    if out is not None and out.suffix not in (".csv", ".jsonl"):
        raise InputError(f"--out is {out}; a file that ends with .csv or .jsonl is allowed")
    with opened() as loop:
        vectors = golden.CaseVectors(loop.embedder, loop.settings.place)
        found = golden.queue(loop.ledger, loop.embedder, app=app, vectors=vectors)
    if reviewer is not None:
        found = [q for q in found if open_to(reviewer, q.settled)]
    if out is not None:
        _write(out, found, reviewer or "")
        return
    rows = [
        (
            number,
            q.failure.id,
            whence(q.failure),
            f"{q.priority:.2f}",
            q.why,
            q.failure.source,
            q.failure.question[:80],
            ", ".join(q.settled.authors),
            _still(q),
        )
        for number, q in enumerate(found, 1)
    ]
    head = ("", "failure", "asked of", "priority", "why", "from", "question", "labelled by", "needs")
    show_table(head, rows, empty="nothing waits for a label")


def _still(q: Queued) -> str:
    if q.settled.state == "conflict":
        return "an adjudicator"
    left = needed(q.failure) - len(q.settled.authors)
    return "1 reviewer" if left == 1 else f"{left} reviewers"


def _write(out: Path, found: list[Queued], author: str) -> None:
    """The queue as a sheet; what needs an adjudicator is not in it, for another label would not settle it."""
    chosen = [q.failure for q in found if q.settled.state != "conflict"]
    csv = out.suffix == ".csv"
    text = label_sheet(chosen, author=author) if csv else label_lines(chosen, author=author)
    try:
        with out.open("xb") as sheet:
            sheet.write(
                text.encode("utf-8-sig" if csv else "utf-8")
            )  # without its mark Excel takes UTF-8 for its own code
    except FileExistsError:
        raise InputError(
            f"{out} is there already, and may hold labels: read them with `andon golden label --file {out}`, or name another file"
        ) from None
    except OSError as error:
        raise StoreError(f"cannot write {out}: {error.strerror}", retryable=True) from error
    say(f"{_failures(len(chosen))} in {out}; read the labels back with `andon golden label --file {out}`")


def label(
    file: Annotated[
        Path | None,
        typer.Option(help="JSONL or CSV with id or question, and ground_truth or verdict.", exists=True),
    ] = None,
    name: As = None,
    app: App = None,
    incident: Annotated[str | None, typer.Option(help="Only failures of this incident.")] = None,
) -> None:
    """Say what the right answers are: one failure after the other at the keyboard, or from a file."""
    by = _name(name)
    with opened() as loop:
        if file is None:
            vectors = golden.CaseVectors(loop.embedder, loop.settings.place)
            waiting = golden.queue(loop.ledger, loop.embedder, app=app, incident=incident, vectors=vectors)
            mine = [q for q in waiting if open_to(by, q.settled)]
            if not mine:
                say(f"nothing waits for a label of {by}; `andon golden add` makes cases of what is labelled")
                return
            done = ask(loop.ledger, mine, by, sys.stdin)
            say(f"{_failures(done)} labelled by {by}, {len(mine) - done} left")
            return
        rows = golden.read_labels(file)
        result = golden.label_failures(loop.ledger, rows, now_us=now_us(), by=by, app=app, incident=incident)
        still = golden.still_tested(loop.ledger, {*result.labelled})
    _tell(result.refused)
    for each in still:
        say(f"{each.id}: {each.reason}")
    chosen = "" if app is incident is None else " and chosen"
    for unknown in result.unknown[:MOST_NAMED]:
        say(plain(f"no failure with this id or question was captured{chosen}: {unknown[:80]}"))
    say(
        f"{_failures(len(result.labelled))} labelled, {len(result.unchanged)} had this label, {len(result.refused)} refused, "
        f"{len(result.unknown)} unknown, {result.blank} blank"
    )


def accept(name: As = None) -> None:
    """Accept the expected answers that came with the data as labels; a user's correction needs a person who reads it."""
    with opened() as loop:
        result = golden.accept_suggestions(loop.ledger, now_us=now_us(), by=_name(name))
    _tell(result.refused)
    say(f"{_failures(len(result.labelled))} labelled from expected answers that came with the data")


def _failures(n: int) -> str:
    return f"{n} failure{'' if n == 1 else 's'}"


def _tell(refused: Sequence[Refusal]) -> None:
    for each in refused:
        say(plain(f"refused {each.id}: {each.reason}"))


def agreement(app: App = None) -> None:
    """How far reviewers agree, and which failures they label differently."""
    with opened() as loop:
        found = golden.reviewer_agreement(loop.ledger, np.random.default_rng(0), app=app)
        differ = golden.conflicting(loop.ledger, app=app)
    rows = [
        (
            "all" if k == 0 else " and ".join(a.reviewers),
            a.failures,
            "" if a.alpha is None else f"{a.alpha:.3f}",
            "" if a.low is None or a.high is None else f"{a.low:.3f} to {a.high:.3f}",
            a.text,
        )
        for k, a in enumerate(found)
    ]
    show_table(("reviewers", "failures", "alpha", "95 % interval", "what it says"), rows, empty="")
    if differ:
        say("")
    words = [(f.id, f.question[:80], x.author, _word(x)) for f, each in differ for x in each]
    show_table(("conflict", "question", "reviewer", "says"), words, empty="no conflict waits for an adjudicator")
    if differ:
        say("settle one with `andon golden adjudicate FAILURE --take REVIEWER`, `--answer TEXT` or `--dismiss WHY`")


def _word(label: Label) -> str:
    return f"dismissed: {label.note}" if label.verdict == "dismiss" else label.ground_truth[:200]


def adjudicate(
    failure: Annotated[str, typer.Argument(help="Id of the failure, F-...")],
    take: Annotated[str | None, typer.Option(help="The reviewer whose label holds.")] = None,
    answer: Annotated[str | None, typer.Option(help="The right answer.")] = None,
    dismiss: Annotated[str | None, typer.Option(help="Why no case comes of it.")] = None,
    name: As = None,
) -> None:
    """Settle a failure that reviewers label differently; it takes somebody who is not one of them."""
    by = _name(name)
    with opened() as loop:
        result = golden.adjudicate(
            loop.ledger, failure, now_us=now_us(), by=by, take=take, answer=answer, dismiss=dismiss
        )
        still = golden.still_tested(loop.ledger, {failure})
    said = "" if result.ground_truth is None else f"agreed on {result.ground_truth}, "
    say(plain(f"{failure} is {said}{result.why}"))
    for each in still:
        say(each.reason)


def _name(given: str | None) -> str:
    if given is not None and not given.strip():
        raise InputError("--as is empty; give your name")
    return person(who() if given is None else given)
