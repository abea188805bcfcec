"""Store people's words on what is right."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from andon.errors import InputError
from andon.golden.cases import OWNER, check_label, label_id
from andon.golden.files import parse_labels, read_text
from andon.golden.records import Failure, Label, LabelResult, LabelRow, Refusal
from andon.store import Ledger

__all__ = ["accept_suggestions", "label_failures", "read_labels"]


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
                id=label_id(failure.id, row.author or by),
                failure=failure.id,
                ground_truth=row.ground_truth,
                author=row.author or by,
                at_us=now_us,
                note=row.note,
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
    done = {label.failure for label in ledger.all(Label)}
    labelled: list[str] = []
    refused: list[Refusal] = []
    for f in ledger.all(Failure):
        if f.id in done or f.suggestion is None or f.suggested_by not in OWNER:
            continue
        label = Label(
            id=label_id(f.id, by), failure=f.id, ground_truth=f.suggestion, author=by, at_us=now_us,
            note=f"accepted: {f.suggested_by}",
        )  # fmt: skip
        try:
            _put_label(ledger, f, label, by)
            labelled.append(f.id)
        except InputError as error:
            refused.append(Refusal(id=f.id, reason=str(error)))
    return LabelResult(labelled=tuple(labelled), refused=tuple(refused))


def _put_label(ledger: Ledger, failure: Failure, label: Label, by: str) -> bool:
    """Store a label; False when the failure has this right answer from this author already."""
    check_label(failure.answer, label.ground_truth)
    before = ledger.get(Label, label.id)
    if before is not None and replace(before, at_us=label.at_us) == label:
        return False
    ledger.put(label, now_us=label.at_us, by=by)
    return True
