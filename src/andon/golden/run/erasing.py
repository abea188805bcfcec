"""What an erasure leaves of the golden set: nothing that asks for a text which is gone, and all that others asked too."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from andon.golden.cases import case_id, failure_id, is_erased
from andon.golden.queue import labels_by_failure, settled
from andon.golden.records import Case, Failure, Label
from andon.golden.reframe import SOURCE
from andon.store import Ledger, Slice, Warehouse, Where
from andon.traffic.clock import format_time
from andon.traffic.erasure import ERASED, Traces

__all__ = ["Made", "made_of", "without_erased"]

WHY = "what it asks, or what is right, was the text of a user and is erased"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What was made of a user's traffic in the golden set."""

    ids: frozenset[str]
    """Of failures, of cases, and of re-framings of these."""
    texts: frozenset[str]
    """Questions of re-framings, which hold a question that goes."""
    shared: frozenset[str]
    """What others said too, or what a case tests that came from elsewhere: it stays."""


def made_of(warehouse: Warehouse, ledger: Ledger, found: Traces) -> Made:
    """What was made of traffic that is no longer there: its failures, the cases of their labels, and re-framings of these.

    Raises:
        StoreError: the disk or the ledger failed.
    """
    failures, cases = ledger.all(Failure), ledger.all(Case)
    both: list[Failure | Case] = [*failures, *cases]
    labels = [v.record for v in ledger.history(Label)]
    captured = {failure_id(*each) for each in found.asked}
    theirs = {f.id: f for f in failures if f.interaction_id in found.ids or f.id in captured}
    said = ((theirs[x.failure], x.ground_truth) for x in labels if x.failure in theirs)
    made = {case_id(f.app, f.question, truth) for f, truth in said}
    first = {c.id: c for c in cases if c.id in made and c.embedder is not None}  # one without was in a file before
    sources = {f"{SOURCE}{c}" for c in first}
    again = [r for r in both if r.source in sources]
    ids = frozenset((*theirs, *first, *(r.id for r in again)))
    shared = {t for r in both if r.id not in ids for t in (r.question, *r.contexts)}
    shared |= {c.ground_truth for c in cases if c.id not in ids}
    shared |= {x.ground_truth for x in labels if x.failure not in ids}
    mine = [r for r in both if r.id in theirs or r.id in first]
    shared |= _in_traffic(
        warehouse, {t for r in mine for t in (r.question, r.answer) if t} | {c.ground_truth for c in first.values()}
    )
    shared |= {t for r in mine if r.question in shared for t in r.contexts}
    gone = {f"{SOURCE}{c.id}" for c in first.values() if c.question not in shared}
    texts = frozenset(r.question for r in again if r.source in gone)
    return Made(ids=ids, texts=texts, shared=frozenset(shared))


def _in_traffic(warehouse: Warehouse, texts: Collection[str]) -> set[str]:
    """Those of some texts that somebody asked, or was answered."""
    found: set[str] = set()
    for column in ("query", "answer", "expected_answer") if texts else ():
        among = (Where(column=column, op="in", value=tuple(sorted(texts))),)
        rows = warehouse.run(Slice(table="interactions", columns=(column,), where=among))
        found.update(rows[column].to_pylist())
    return found


def without_erased(ledger: Ledger, *, now_us: int, by: str) -> tuple[int, int]:
    """Retire the cases, and dismiss the failures, of which a text was erased that they cannot do without; how many of each.

    A right answer or a suggestion that was erased is none: labels with one are withdrawn, so that a person says what is right.

    Raises:
        StoreError: the ledger failed; calling again goes on.
    """
    cases = [c for c in ledger.all(Case) if c.retired is None and is_erased(c)]
    for case in cases:
        ledger.put(replace(case, retired=format_time(now_us)[:10], retired_why=WHY), now_us=now_us, by=by)
    for label in ledger.all(Label):
        if label.verdict == "answer" and ERASED in label.ground_truth:
            ledger.put(replace(label, verdict="withdrawn", at_us=now_us), now_us=now_us, by=by)
    for failure in ledger.all(Failure):
        if failure.suggestion is not None and ERASED in failure.suggestion:
            ledger.put(replace(failure, suggestion=None, suggested_by=None), now_us=now_us, by=by)
    labels = labels_by_failure(ledger.all(Label))
    failures = [
        f for f in ledger.all(Failure) if ERASED in f.question and settled(f, labels.get(f.id, ())).state != "dismissed"
    ]
    for failure in failures:
        word = Label(
            id=f"{failure.id}/final",
            failure=failure.id,
            verdict="dismiss",
            author=by,
            at_us=now_us,
            note=WHY,
            final=True,
        )
        ledger.put(word, now_us=now_us, by=by)
    return len(cases), len(failures)
