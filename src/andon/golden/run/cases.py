"""Labelled failures become cases, unless they repeat one."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from andon.errors import InputError
from andon.golden.cases import same_text, to_case
from andon.golden.duplicates import THRESHOLD, find_duplicate, nearest, refusal
from andon.golden.records import AddResult, Case, Failure, Label, Refusal
from andon.scores import Embedder
from andon.store import Ledger

__all__ = ["add_cases", "conflicts"]


def add_cases(ledger: Ledger, embedder: Embedder, *, now_us: int, by: str, threshold: float = THRESHOLD) -> AddResult:
    """Make a case of every labelled failure, in the order of capture, unless it repeats a case; safe to call again.

    Raises:
        InputError: the threshold is not in (0, 1].
        StoreError: the ledger failed.
    """
    labels = {label.failure: label for label in ledger.all(Label)}
    failures = ledger.all(Failure)
    cases = ledger.all(Case)
    ids = {c.id for c in cases}
    known: list[str] = []
    refused: list[Refusal] = []
    fresh: list[tuple[Failure, Case]] = []
    for f in failures:
        if f.id not in labels:
            continue
        try:
            case = to_case(f, labels[f.id], added_us=now_us, nearest=None, embedder=embedder.name)
        except InputError as error:
            refused.append(Refusal(id=f.id, reason=str(error)))
            continue
        if case.id in ids:
            known.append(f.id)
        else:
            fresh.append((f, case))
    there = len(cases)
    vectors = embedder.embed([c.question for c in (*cases, *(c for _, c in fresh))])
    kept = list(range(there))  # rows of `vectors` that are cases, in step with `cases`
    added: list[Case] = []
    for row, (failure, case) in enumerate(fresh, there):
        twin = find_duplicate(cases, vectors[kept], case, vectors[row], threshold)
        if twin is not None:
            refused.append(Refusal(id=failure.id, reason=refusal(*twin, embedder.name, threshold)))
            continue
        near = nearest(vectors[kept], vectors[row])
        new = replace(case, nearest=None if near is None else round(near[1], 6))
        ledger.put(new, now_us=now_us, by=by)
        cases.append(new)
        kept.append(row)
        added.append(new)
    return AddResult(
        added=tuple(added),
        known=tuple(known),
        refused=tuple(refused),
        unlabelled=len(failures) - len({f.id for f in failures} & set(labels)),
        conflicts=conflicts(cases[:there], added),
    )


def conflicts(before: Sequence[Case], added: Iterable[Case]) -> tuple[tuple[str, str], ...]:
    """Pairs (new, older) of cases that ask the same and differ in what is right."""
    first: dict[tuple[str, str], Case] = {}
    for case in before:
        first.setdefault((case.app, case.question.strip()), case)
    pairs: list[tuple[str, str]] = []
    for case in added:
        there = first.setdefault((case.app, case.question.strip()), case)
        if there is not case and not same_text(there.ground_truth, case.ground_truth):
            pairs.append((case.id, there.id))
    return tuple(pairs)
