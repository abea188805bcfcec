"""Store people's words on what is right, and show what waits for them."""

import re
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from andon.errors import InputError, StateError
from andon.golden.agreement import agreement_of
from andon.golden.cases import OWNER, case_id, check_label, label_id, person
from andon.golden.files import parse_labels, read_text
from andon.golden.queue import BULK, labels_by_failure, open_to, prioritise, settled
from andon.golden.records import (
    Agreement,
    Case,
    Failure,
    Label,
    LabelResult,
    LabelRow,
    Queued,
    Refusal,
    Settled,
)
from andon.golden.run.vectors import FEW, CaseVectors
from andon.scores import Embedder, Vectors
from andon.store import Ledger
from andon.traffic.quoting import quoted

__all__ = [
    "accept_suggestions",
    "adjudicate",
    "cases_by_app",
    "conflicting",
    "give_label",
    "label_failures",
    "queue",
    "read_labels",
    "reviewer_agreement",
    "still_tested",
    "withdraw",
]

_UNSEEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters but tab and line ends, and halves of surrogate pairs: what an arrow key or another encoding leaves."""


def read_labels(path: Path) -> tuple[LabelRow, ...]:
    """The rows of a label file, JSONL or CSV.

    Raises:
        InputError: the file cannot be read, or a row is no label; names the lines.
    """
    return parse_labels(read_text(path), name=str(path))


def label_failures(
    ledger: Ledger,
    labels: Iterable[LabelRow],
    *,
    now_us: int,
    by: str,
    app: str | None = None,
    incident: str | None = None,
) -> LabelResult:
    """Store people's words on what is right. A row that names a question labels every failure of that question.

    Only failures of the app and of the incident are labelled, where these are given. The author is the row's, else `by`
    (`person`). Each author has one label of a failure: another word of theirs replaces it, and the ledger keeps both
    versions; two different ones in one call are one too many, and the second is refused. A row that dismisses says why in
    its note.

    Raises:
        StoreError: the ledger failed.
    """
    failures = {f.id: f for f in _failures(ledger, app, incident)}
    of_question: dict[str, list[Failure]] = {}
    for f in failures.values():
        of_question.setdefault(f.question.strip(), []).append(f)
    labelled: dict[str, None] = {}
    unchanged: dict[str, None] = {}
    unknown: list[str] = []
    refused: list[Refusal] = []
    given: dict[str, tuple[LabelRow, Label]] = {}
    blank = 0
    for row in labels:
        named = [failures[row.id]] if row.id in failures else []
        if row.id is None:
            named = of_question.get((row.question or "").strip(), [])
        if not named:
            unknown.append(row.id or row.question or "")
        elif row.verdict == "answer" and not row.ground_truth.strip():
            blank += 1
            continue
        for failure in named:
            try:
                label = _label_of(row, failure, by, now_us)
                first, twin = given.setdefault(label.id, (row, label))
                if (twin.verdict, twin.ground_truth) != (label.verdict, label.ground_truth):
                    raise InputError(
                        f"line {row.line}: {label.author} says something else in line {first.line}; keep one"
                    )
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


def give_label(
    ledger: Ledger,
    failure: str,
    *,
    now_us: int,
    by: str,
    answer: str = "",
    dismiss: str | None = None,
    note: str = "",
    again: bool = False,
) -> Label:
    """Store one person's word on one failure that waits for them: the right answer, or why it is dismissed.

    That the suggestion was taken is noted.

    Args:
        ledger: where labels are kept.
        failure: id of the failure.
        now_us: the clock.
        by: who labels.
        answer: the right answer.
        dismiss: why no case comes of it; None: there is a right answer.
        note: what else there is to say.
        again: whether the person has labelled it before and says something else now.

    Raises:
        InputError: there is no such failure, or the label is empty, the failing answer itself or unreadable.
        StateError: it waits for this person no more: others labelled it meanwhile. Nothing is kept.
    """
    found = ledger.get(Failure, failure)
    if found is None:
        raise InputError(f"there is no failure {quoted(failure)}; the label queue has those that wait")
    by = person(by)
    labels = ledger.all(Label, f"{failure}/")
    mine = any(x.author == by and not x.final and x.verdict != "withdrawn" for x in labels)
    if not (again and mine) and not open_to(by, settled(found, labels)):
        raise StateError("somebody labelled it meanwhile, and it waits for you no more; nothing is kept")
    taken = f"accepted: {found.suggested_by}" if dismiss is None and answer == found.suggestion else ""
    row = LabelRow(
        line=0, id=failure, question=None, ground_truth=answer if dismiss is None else "",
        verdict="answer" if dismiss is None else "dismiss", note=note or taken if dismiss is None else dismiss,
    )  # fmt: skip
    label = _label_of(row, found, by, now_us)
    _put_label(ledger, found, label, by)
    return label


def _label_of(row: LabelRow, failure: Failure, by: str, now_us: int) -> Label:
    author = person(row.author or "") or person(by)
    return Label(
        id=label_id(failure.id, author),
        failure=failure.id,
        verdict=row.verdict,
        ground_truth=row.ground_truth if row.verdict == "answer" else "",
        author=author,
        at_us=now_us,
        note=row.note,
    )


def accept_suggestions(ledger: Ledger, *, now_us: int, by: str) -> LabelResult:
    """Label every failure that waits for `by` and has the data owner's own gold: an expected answer.

    Suggestions from anywhere else (a user's correction, a passing twin) are left to a person who reads them. `by` is the author: who accepts, answers.
    The note says that it was in bulk: beside such a label the data owner's word does not count, for nobody read it.

    Raises:
        StoreError: the ledger failed.
    """
    by = person(by)
    said = labels_by_failure(ledger.all(Label))
    labelled: list[str] = []
    refused: list[Refusal] = []
    for f in ledger.all(Failure):
        if f.suggestion is None or f.suggested_by != OWNER or not open_to(by, settled(f, said.get(f.id, ()))):
            continue
        label = Label(
            id=label_id(f.id, by), failure=f.id, ground_truth=f.suggestion, author=by, at_us=now_us,
            note=f"{BULK}{f.suggested_by}",
        )  # fmt: skip
        try:
            _put_label(ledger, f, label, by)
            labelled.append(f.id)
        except InputError as error:
            refused.append(Refusal(id=f.id, reason=str(error)))
    return LabelResult(labelled=tuple(labelled), refused=tuple(refused))


def withdraw(ledger: Ledger, failure: str, *, now_us: int, by: str, decision: bool = False) -> None:
    """Take one's own label of a failure back; the ledger keeps what it was.

    Args:
        ledger: where labels are kept.
        failure: id of the failure.
        now_us: the clock.
        by: whose label it is.
        decision: take back not a label, but what `by` decided where reviewers differ (`adjudicate`): then they differ again.

    Raises:
        StateError: this reviewer has no label of it, or decided nothing.
    """
    by = person(by)
    before = ledger.get(Label, f"{failure}/final" if decision else label_id(failure, by))
    if before is None or before.verdict == "withdrawn" or person(before.author) != by:
        what = "decided nothing about" if decision else "has no label of"
        raise StateError(f"{by} {what} {quoted(failure)}; there is nothing to take back")
    ledger.put(replace(before, verdict="withdrawn", at_us=now_us), now_us=now_us, by=by)


def queue(
    ledger: Ledger,
    embedder: Embedder,
    *,
    app: str | None = None,
    incident: str | None = None,
    vectors: CaseVectors | None = None,
) -> list[Queued]:
    """The failures (of one app, of one incident) that wait for a person, those that are worth most first (`prioritise`).

    Args:
        ledger: failures, labels and cases.
        embedder: by whose similarity questions are near each other.
        app: only those of this application.
        incident: only those of this incident.
        vectors: those of the cases, where the caller keeps them; else they are computed.

    Raises:
        SeamError: the embedder failed.
        StoreError: the ledger failed.
    """
    failures = _failures(ledger, app, incident)
    labels = ledger.all(Label)
    said = labels_by_failure(labels)
    failures = [f for f in failures if settled(f, said.get(f.id, ())).state in ("waits", "second", "conflict")]
    if not failures:
        return []
    known = vectors or CaseVectors(embedder)
    with known.turn:
        known.catch_up(ledger)
        of = cases_by_app(ledger, known, {f.app for f in failures})
    return prioritise(failures, labels, embedder.embed([f.question for f in failures]), of)


def cases_by_app(ledger: Ledger, known: CaseVectors, apps: Collection[str]) -> dict[str, Vectors]:
    """The vectors of the tested cases of some applications; the caller holds `known.turn`.

    Raises:
        StoreError: the ledger failed.
    """
    row = {case: k for k, case in enumerate(known.ids)}
    rows: dict[str, list[int]] = {app: [] for app in apps}
    for c in ledger.all(Case):
        if c.retired is None and c.app in rows and c.id in row:
            rows[c.app].append(row[c.id])
    return {a: known.vectors[each] for a, each in rows.items() if each}


def adjudicate(
    ledger: Ledger,
    failure: str,
    *,
    now_us: int,
    by: str,
    take: str | None = None,
    answer: str | None = None,
    dismiss: str | None = None,
) -> Settled:
    """Say what holds where reviewers differ: one reviewer's label, another answer, or that it is dismissed.

    It is kept beside the labels of the reviewers, and settles the failure. Somebody decides who is not one of those who
    differ. Where only one person has labelled it, so that there is nobody to differ, that person may, and it is noted.
    A case that was made of it before and says something else stays in the set (`still_tested`).

    Args:
        ledger: where labels are kept.
        failure: id of the failure.
        now_us: the clock.
        by: who adjudicates.
        take: the reviewer whose label holds.
        answer: the right answer.
        dismiss: why no case comes of it.

    Raises:
        InputError: there is no such failure or reviewer, not exactly one of the three is given, or the answer is the failing one.
        StateError: nobody has labelled it, or `by` is one of those who differ.
    """
    found = ledger.get(Failure, failure)
    if found is None:
        raise InputError(f"there is no failure {quoted(failure)}; `andon golden queue` lists them")
    if sum(x is not None for x in (take, answer, dismiss)) != 1:
        raise InputError("give one of --take REVIEWER, --answer TEXT and --dismiss WHY")
    by, take = person(by), None if take is None else person(take)
    labels = labels_by_failure(x for x in ledger.all(Label) if x.failure == failure).get(failure, [])
    given = {person(x.author): x for x in labels if not x.final}
    if not given:
        raise StateError(f"nobody has labelled {failure} yet; label it first: `andon golden label`")
    if by in given and len(given) > 1:
        raise StateError(
            f"{by} is one of those who labelled {failure}; somebody else has to adjudicate, with --as NAME"
        )
    if take is not None and take not in given:
        raise InputError(f"{quoted(take)} has not labelled {failure}; {', '.join(sorted(given))} did")
    alone = " (the only reviewer)" if by in given else ""
    if take is not None:
        word = replace(given[take], note=f"adjudicated for {take}{alone}")
    elif answer is not None:
        word = replace(next(iter(given.values())), verdict="answer", ground_truth=answer, note=f"adjudicated{alone}")
    else:
        word = replace(next(iter(given.values())), verdict="dismiss", ground_truth="", note=f"{dismiss}{alone}")
    label = replace(word, id=f"{failure}/final", author=by, at_us=now_us, final=True)
    _put_label(ledger, found, label, by)
    return settled(found, [label])


def still_tested(ledger: Ledger, failures: Collection[str]) -> list[Refusal]:
    """Cases that are tested although the labels of their failure no longer say what is right in them, with what to do.

    Raises:
        StoreError: the ledger failed.
    """
    given: dict[str, list[str]] = {}
    few = len(failures) <= FEW
    names = [x.id for f in failures for x in ledger.all(Label, f"{f}/")] if few else [i for _, i in ledger.ids(Label)]
    for name in names:
        if (failure := name.rpartition("/")[0]) in failures:
            given.setdefault(failure, []).append(name)
    found: dict[str, Refusal] = {}
    for failure, names in given.items():
        versions = [ledger.history(Label, name) for name in names]
        f = ledger.get(Failure, failure)
        if f is None or sum(map(len, versions)) < 2:  # no label before this one: no case came of another
            continue
        said = settled(f, labels_by_failure(each[-1].record for each in versions).get(failure, ()))
        truths = {v.record.ground_truth for each in versions for v in each} - {said.ground_truth}
        for case in (ledger.get(Case, case_id(f.app, f.question, t)) for t in sorted(truths)):
            if case is not None and case.retired is None:
                text = f"case {case.id} is still tested: `andon golden retire {case.id} --why WHY` takes it out"
                found[case.id] = Refusal(id=failure, reason=text)
    return list(found.values())


def reviewer_agreement(ledger: Ledger, rng: np.random.Generator, *, app: str | None = None) -> list[Agreement]:
    """How far reviewers agree (of one app): all of them, then each pair (`agreement_of`).

    Raises:
        StoreError: the ledger failed.
    """
    mine = {f.id for f in _failures(ledger, app)}
    return agreement_of((x for x in ledger.all(Label) if x.failure in mine), rng)


def conflicting(ledger: Ledger, *, app: str | None = None) -> list[tuple[Failure, list[Label]]]:
    """The failures (of one app) of which reviewers say different things, with what each of them says.

    Raises:
        StoreError: the ledger failed.
    """
    said = labels_by_failure(ledger.all(Label))
    failures = [f for f in _failures(ledger, app) if f.id in said]
    return [(f, said[f.id]) for f in failures if settled(f, said[f.id]).state == "conflict"]


def _failures(ledger: Ledger, app: str | None, incident: str | None = None) -> list[Failure]:
    return [f for f in ledger.all(Failure) if app in (None, f.app) and incident in (None, f.incident)]


def _put_label(ledger: Ledger, failure: Failure, label: Label, by: str) -> bool:
    """Store a label; False when the failure has this right answer from this author already."""
    if unseen := _UNSEEN.search(label.ground_truth + label.note):
        raise InputError(
            f"the label holds {quoted(unseen[0])}, which nobody can see (an arrow key, or text that is not UTF-8); type it again"
        )
    if label.verdict == "answer":
        check_label(failure.answer, label.ground_truth)
    elif not label.note.strip():
        raise InputError("a dismissal says why: put the reason in `note`")
    before = ledger.get(Label, label.id)
    if before is not None and replace(before, at_us=label.at_us) == label:
        return False
    final = None if label.final else ledger.get(Label, f"{failure.id}/final")
    if final is not None:
        raise InputError(
            f"it is adjudicated by {final.author}, so another label changes nothing; `andon golden adjudicate {failure.id}` again"
        )
    ledger.put(label, now_us=label.at_us, by=by)
    return True
