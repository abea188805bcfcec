"""Failures, labels and cases in the ledger; golden sets on disk."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from andon.errors import InputError, StateError, StoreError
from andon.golden.cases import OWNER, check_label, same_text, to_case
from andon.golden.duplicates import THRESHOLD, find_duplicate, nearest, refusal
from andon.golden.files import merge_cases, parse_cases, parse_labels, read_text, render_cases
from andon.golden.records import AddResult, CaptureResult, Case, Failure, Label, LabelResult, LabelRow, Refusal
from andon.scores import Embedder
from andon.store import Ledger

__all__ = [
    "accept_suggestions",
    "add_cases",
    "capture",
    "export",
    "import_set",
    "label_failures",
    "load_set",
    "read_labels",
]


def capture(ledger: Ledger, failures: Iterable[Failure], *, now_us: int, by: str = "andon") -> CaptureResult:
    """Store failures (`to_failure` makes them), each once: its id is a digest of app, question and answer.

    Raises:
        StoreError: the ledger failed; what was captured before stays, and calling again is safe.
    """
    captured: list[str] = []
    known: list[str] = []
    refused: list[Refusal] = []
    for failure in failures:
        try:
            ledger.put(failure, now_us=now_us, by=by, expect=0)
            captured.append(failure.id)
        except StateError:
            known.append(failure.id)
        except InputError as error:
            refused.append(Refusal(id=failure.id, reason=str(error)))
    return CaptureResult(captured=tuple(captured), known=tuple(known), refused=tuple(refused))


def read_labels(path: Path) -> tuple[LabelRow, ...]:
    """The rows of a label file, JSONL or CSV.

    Raises:
        InputError: the file cannot be read, or a row is no label; names the lines.
    """
    return parse_labels(read_text(path), name=str(path))


def label_failures(ledger: Ledger, labels: Iterable[LabelRow], *, now_us: int, by: str) -> LabelResult:
    """Store people's words on what is right. A row that names a question labels every failure of that question.

    The author is the row's, else `by`. A failure that had another label gets this one; the ledger keeps both versions.

    Raises:
        StoreError: the ledger failed.
    """
    failures = {f.id: f for f in ledger.all(Failure)}
    of_question: dict[str, list[Failure]] = {}
    for f in failures.values():
        of_question.setdefault(f.question.strip(), []).append(f)
    labelled: dict[str, None] = {}
    unchanged: dict[str, None] = {}
    unknown: list[str] = []
    refused: list[Refusal] = []
    blank = 0
    for row in labels:
        named = [failures[row.id]] if row.id in failures else []
        if row.id is None:
            named = of_question.get((row.question or "").strip(), [])
        if not named:
            unknown.append(row.id or row.question or "")
        elif not row.ground_truth.strip():
            blank += 1
            continue
        for failure in named:
            label = Label(
                id=failure.id, ground_truth=row.ground_truth, author=row.author or by, at_us=now_us, note=row.note
            )
            try:
                (labelled if _put_label(ledger, failure, label, by) else unchanged)[failure.id] = None
            except InputError as error:
                refused.append(Refusal(id=failure.id, reason=str(error)))
    return LabelResult(
        labelled=tuple(labelled),
        unchanged=tuple(unchanged),
        unknown=tuple(unknown),
        refused=tuple(refused),
        blank=blank,
    )


def accept_suggestions(ledger: Ledger, *, now_us: int, by: str) -> LabelResult:
    """Label every unlabelled failure for which the data owner's own gold is there: an expected answer, or a correction.

    Suggestions from anywhere else (a passing twin, a model) are left to a person. `by` is the author: who accepts, answers.

    Raises:
        StoreError: the ledger failed.
    """
    done = {label.id for label in ledger.all(Label)}
    labelled: list[str] = []
    refused: list[Refusal] = []
    for f in ledger.all(Failure):
        if f.id in done or f.suggestion is None or f.suggested_by not in OWNER:
            continue
        label = Label(id=f.id, ground_truth=f.suggestion, author=by, at_us=now_us, note=f"accepted: {f.suggested_by}")
        try:
            _put_label(ledger, f, label, by)
            labelled.append(f.id)
        except InputError as error:
            refused.append(Refusal(id=f.id, reason=str(error)))
    return LabelResult(labelled=tuple(labelled), refused=tuple(refused))


def add_cases(ledger: Ledger, embedder: Embedder, *, now_us: int, by: str, threshold: float = THRESHOLD) -> AddResult:
    """Make a case of every labelled failure, in the order of capture, unless it repeats a case; safe to call again.

    Raises:
        InputError: the threshold is not in (0, 1].
        StoreError: the ledger failed.
    """
    labels = {label.id: label for label in ledger.all(Label)}
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
        conflicts=_conflicts(cases[:there], added),
    )


def load_set(ledger: Ledger, app: str | None = None) -> list[Case]:
    """The golden set (of one app), in the order in which cases were added.

    Raises:
        StoreError: the ledger failed.
    """
    return [c for c in ledger.all(Case) if app is None or c.app == app]


def export(ledger: Ledger, path: Path, *, app: str | None = None) -> int:
    """Write the golden set (of one app) as JSONL; returns how many lines are new.

    A file that is there keeps its lines to the byte, and new cases are appended: a test is never removed by an export.

    Raises:
        InputError: the file that is there is no golden set.
        StoreError: the ledger or the disk failed; the file is as it was.
    """
    cases = load_set(ledger, app)
    before = read_text(path) if path.exists() else ""
    after = merge_cases(before, cases, app=app or "default", name=str(path)) if before else render_cases(cases)
    if after == before and path.exists():
        return 0
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(after.encode("utf-8"))
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StoreError(f"cannot write {path}: {error.strerror}", retryable=True) from error
    return after[len(before) :].strip("\n").count("\n") + 1 if after != before else 0


def import_set(ledger: Ledger, path: Path, *, now_us: int, by: str, app: str = "default") -> AddResult:
    """Take in the cases of a JSONL golden set; the team's own choice stands, so near-duplicates are kept.

    A case whose ground truth is the failing answer itself is refused. `app` holds where a line names none.

    Raises:
        InputError: the file cannot be read, or a line is no case; nothing was written.
        StoreError: the ledger failed; calling again is safe.
    """
    cases = parse_cases(read_text(path), app=app, name=str(path))
    before = ledger.all(Case)
    ids = {c.id for c in before}
    added: list[Case] = []
    known: list[str] = []
    refused: list[Refusal] = []
    for case in cases:
        if case.id in ids:
            known.append(case.id)
            continue
        try:
            check_label(case.answer, case.ground_truth)
            ledger.put(case, now_us=now_us, by=by)
        except InputError as error:
            refused.append(Refusal(id=case.id, reason=str(error)))
            continue
        ids.add(case.id)
        added.append(case)
    return AddResult(
        added=tuple(added), known=tuple(known), refused=tuple(refused), conflicts=_conflicts(before, added)
    )


def _put_label(ledger: Ledger, failure: Failure, label: Label, by: str) -> bool:
    """Store a label; False when the failure has this right answer from this author already."""
    check_label(failure.answer, label.ground_truth)
    before = ledger.get(Label, failure.id)
    if before is not None and replace(before, at_us=label.at_us) == label:
        return False
    ledger.put(label, now_us=label.at_us, by=by)
    return True


def _conflicts(before: Sequence[Case], added: Iterable[Case]) -> tuple[tuple[str, str], ...]:
    first: dict[tuple[str, str], Case] = {}
    for case in before:
        first.setdefault((case.app, case.question.strip()), case)
    pairs: list[tuple[str, str]] = []
    for case in added:
        there = first.setdefault((case.app, case.question.strip()), case)
        if there is not case and not same_text(there.ground_truth, case.ground_truth):
            pairs.append((case.id, there.id))
    return tuple(pairs)
