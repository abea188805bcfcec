"""Commands about how failures become cases: golden add, decisions, decide, tune."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from andon.cli import checking, labels, sets
from andon.cli.running import refresh
from andon.cli.screen import fail, now_us, opened, plain, progress, say, show_table, who
from andon.golden import THRESHOLD, Case, Failure, Tuned, thresholds_of
from andon.golden import run as golden

__all__ = ["add_to"]

SHOWN = tuple(round(0.7 + 0.02 * k, 2) for k in range(16))
"""Thresholds of the table of `tune`; the default and the chosen one are shown too."""

Choice = StrEnum("Choice", {"refuse": "refuse", "variant": "variant", "keep": "keep"})


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(help="Failures become labelled cases that must pass for ever.", no_args_is_help=True)
    labels.add_to(group)
    sets.add_to(group)
    checking.add_to(group)
    group.command(name="add")(add)
    group.command(name="decisions")(decisions)
    group.command(name="decide")(decide)
    group.command(name="tune")(tune)
    app.add_typer(group, name="golden")


def add() -> None:
    """Turn labelled failures into golden cases; near-duplicates are refused by name."""
    with opened() as loop:
        thresholds = thresholds_of(loop.settings.tables, loop.settings.config)
        vectors = golden.CaseVectors(loop.embedder, loop.settings.place)
        with progress("golden cases") as tell:
            result = golden.add_cases(
                loop.ledger,
                loop.embedder,
                now_us=now_us(),
                by=who(),
                thresholds=thresholds,
                vectors=vectors,
                report=tell,
            )
        doubted = golden.doubts(loop.ledger)
        told = [refresh(loop, name) for name in dict.fromkeys(c.app for c in result.added)]
    if vectors.notice:
        fail(vectors.notice)
    for refused in result.refused:
        say(f"refused {refused.id}: {refused.reason}")
    for word in result.decisions:
        if word.choice != "refuse":
            say(f"added {word.id} although it is near {word.case} (cosine {word.cosine:.3f}): {word.why}")
    for one, other in result.conflicts:
        say(f"conflict: {one} and {other} ask the same and differ in what is right")
    for doubt in doubted:
        say(plain(f"{doubt.id}: {doubt.reason}"))
    say(
        f"{len(result.added)} case{'s' * (len(result.added) != 1)} added, {len(result.known)} known, {len(result.refused)} refused, {result.unlabelled} wait for a label"
        + (" (`andon golden label`)" if result.unlabelled else "")
    )
    if result.decisions:
        say("`andon golden decisions` lists the near-duplicates; `andon golden decide` overrules one")
    for said in filter(None, told):
        say(said)


def decisions() -> None:
    """What was decided about failures whose question is near a case's."""
    with opened() as loop:
        words = golden.decisions(loop.ledger)
        asked = {w.id: f.question for w in words if (f := loop.ledger.get(Failure, w.id)) is not None}
        known = {w.case: c.question for w in words if (c := loop.ledger.get(Case, w.case)) is not None}
    rows = [
        (w.id, w.choice, w.by, f"{w.cosine:.3f}", asked.get(w.id, "")[:80], w.case, known.get(w.case, "")[:80], w.why)
        for w in words
    ]
    show_table(
        ("failure", "choice", "by", "cosine", "question", "near case", "its question", "why"),
        rows,
        empty="no failure was near a case yet",
    )


def decide(
    failure: Annotated[str, typer.Argument(help="Id of the failure, F-...", metavar="FAILURE")],
    choice: Annotated[
        Choice, typer.Argument(help="Add nothing, add it as a variant of the case, or as a case of its own.")
    ],
    why: Annotated[str, typer.Option(help="The reason, for those who review it.")],
) -> None:
    """Say whether a near-duplicate is refused, added as a variant, or kept as a case of its own."""
    with opened() as loop, progress("golden cases") as tell:
        vectors = golden.CaseVectors(loop.embedder, loop.settings.place)
        vectors.catch_up(loop.ledger, tell)
        result = golden.decide(loop.ledger, vectors, failure, choice.value, why=why, by=who(), now_us=now_us())
    if vectors.notice:
        fail(vectors.notice)
    if result.case is None:
        say(f"{failure} is refused: it adds nothing to case {result.decision.case}")
    else:
        kind = f"a variant of {result.case.variant_of}" if result.case.variant_of else "a case of its own"
        say(f"{failure} is case {result.case.id}, {kind}{'' if result.added else '; it was in the set already'}")


def tune(
    pairs: Annotated[
        Path | None, typer.Argument(help="JSONL or CSV with a, b, same, and maybe lang and source.", exists=True)
    ] = None,
    app: Annotated[str | None, typer.Option(help="Application that the threshold is for.")] = None,
) -> None:
    """Measure which threshold of near-duplicates fits, on pairs of a file or on what people decided."""
    with opened() as loop:
        given = golden.read_pairs(pairs) if pairs else golden.decided_pairs(loop.ledger, app)
        found = golden.tune_on(loop.embedder, given)
        embedder = loop.embedder.name
    say(
        f"{len(given):,} pairs, of which people say that {sum(p.same for p in given):,} are the same; embedder {embedder}"
    )
    head = ("language", "source", "pairs", "same", "AUC", "AUC of word overlap")
    show_table(
        head,
        [(t.language or "unclear", t.source, t.n, t.same, _share(t.auc), _share(t.overlap_auc)) for t in found],
        empty="no pair",
    )
    for one in found:
        if one.inverted:
            fail(f"{_name(one)}: AUC {one.auc:.2f}: is `same` coded the other way round?")
        _show_points(one)
    _show_lines([t for t in found if t.source is None and not t.inverted], app)


def _show_points(one: Tuned) -> None:
    say("")
    say(f"{_name(one)}: precision (exact 95 % interval), recall and F1 by threshold, beside those of word overlap")
    wanted = {*SHOWN, THRESHOLD, one.chosen}
    rows = [
        (
            f"{p.threshold:.2f}{' <' if p.threshold == one.chosen else ''}",
            p.n, "" if p.precision is None else f"{p.precision:.3f} ({p.low:.3f} to {p.high:.3f})", f"{p.recall:.3f}",
            f"{p.f1:.3f}", o.n, _share(o.precision), f"{o.recall:.3f}", f"{o.f1:.3f}",
        )
        for p, o in zip(one.points, one.overlap, strict=True)
        if p.threshold in wanted and (p.n or o.n)
    ]  # fmt: skip
    head = ("threshold", "called the same", "precision", "recall", "F1", "overlap: called", "precision", "recall", "F1")
    show_table(head, rows, empty="")
    say(f"{'threshold ' + format(one.chosen, '.2f') + ': ' if one.chosen else ''}{one.why}")


def _show_lines(found: Sequence[Tuned], app: str | None) -> None:
    chosen = [t for t in found if t.chosen is not None]
    say("")
    if not chosen:
        say("no threshold could be chosen: nothing to write into andon.toml")
        return
    say("to use what was chosen, write into andon.toml:")
    say("[golden.threshold]")
    for t in chosen:
        key = (f'"{app}.{t.language}"' if t.language else f'"{app}"') if app else (t.language or "default")
        say(f"{key} = {t.chosen}")


def _name(one: Tuned) -> str:
    return f"{one.language or 'language unclear'}{', ' + one.source if one.source else ''}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
