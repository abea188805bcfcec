"""Labelled failures become cases, unless they repeat one; what was decided about near-duplicates, and deciding otherwise."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Literal

from andon.errors import InputError, StateError
from andon.golden.cases import case_id, same_text, to_case
from andon.golden.duplicates import ROUNDING, judge, near_and_nearest, refusal
from andon.golden.queue import labels_by_failure, settled
from andon.golden.records import AddResult, Case, Decided, Failure, Label, NearDuplicate, Refusal, Settled
from andon.golden.run.vectors import FEW, CaseVectors
from andon.golden.thresholds import Thresholds
from andon.scores import Embedder, Vectors
from andon.scores.blas import one_blas_thread
from andon.scores.text import normalise
from andon.store import Ledger
from andon.traffic.quoting import quoted

__all__ = ["PROPOSED", "add_cases", "conflicts", "decide", "decisions", "doubts"]

PROPOSED = "andon"
"""Who makes proposals; no person has this name."""

MISSED = 0.1
"""How far below the threshold a question with the same right answer is pointed out, so that a person may merge it."""

LOOKED_AT = 20
"""Cases below the threshold of which the right answers are read, the nearest first."""


def add_cases(
    ledger: Ledger,
    embedder: Embedder,
    *,
    now_us: int,
    by: str,
    thresholds: Thresholds | None = None,
    vectors: CaseVectors | None = None,
    report: Callable[[str, float], None] | None = None,
) -> AddResult:
    """Make a case of every failure whose label is settled, in the order of capture, unless it repeats a case.

    Safe to call again. A near-duplicate is refused, and a look-alike added, by a `NearDuplicate` record that a person may
    decide otherwise (`decide`); what a person decided stands.

    Args:
        ledger: failures, labels and cases.
        embedder: by whose similarity questions are near each other.
        now_us: time of the call.
        by: who adds.
        thresholds: from which cosine on two questions count as the same one.
        vectors: those of the cases, where the caller keeps them; else they are computed.
        report: told what is being done, and the share done, 0..1.

    Raises:
        StoreError: the ledger failed; calling again is safe.
    """
    vectors = vectors or CaseVectors(embedder)
    adding = _Adding(ledger, vectors, thresholds or Thresholds(), now_us, by)
    # one question's products are too small to share: on a busy machine threads would wait for each other
    with vectors.turn, one_blas_thread():
        vectors.catch_up(ledger, report)
        fresh, known, refused, unlabelled = _sorted(ledger, vectors, now_us)
        for (failure, case), vector in zip(fresh, embedder.embed([c.question for _, c in fresh]), strict=True):
            refusal_ = adding.add(failure, case, vector)
            if refusal_ is not None:
                refused.append(refusal_)
    return AddResult(
        added=tuple(adding.added),
        known=tuple(known),
        refused=tuple(refused),
        unlabelled=unlabelled,
        conflicts=tuple(adding.conflicts),
        decisions=tuple(adding.decisions),
    )


def decisions(ledger: Ledger) -> list[NearDuplicate]:
    """What was decided about near-duplicates, by Andon or by people, in the order in which they were first met.

    Raises:
        StoreError: the ledger failed.
    """
    return ledger.all(NearDuplicate)


def decide(
    ledger: Ledger,
    vectors: CaseVectors | None,
    failure: str,
    choice: Literal["refuse", "variant", "keep"],
    *,
    why: str,
    by: str,
    now_us: int,
) -> Decided:
    """A person's word on a near-duplicate; ``variant`` and ``keep`` add its case at once.

    Args:
        ledger: holds the decisions.
        vectors: those of the cases.
        failure: id of the failure that was near a case.
        choice: ``refuse``, ``variant`` (added as a variant of the case) or ``keep`` (added as a case of its own).
        why: the reason, for those who review.
        by: the person.
        now_us: time of the decision.

    Raises:
        InputError: nothing was decided about this failure, the choice is another word, the reason is empty, or the person
            has the name of proposals.
        StateError: it is to be refused and is in the set already, its case is retired, or its label is no longer settled.
        StoreError: the ledger failed.
    """
    word, failed = ledger.get(NearDuplicate, failure), ledger.get(Failure, failure)
    if word is None or failed is None:
        raise InputError(
            f"nothing was decided about {quoted(failure)}; `andon golden decisions` lists what can be decided"
        )
    if choice not in ("refuse", "variant", "keep"):
        raise InputError(f"{quoted(choice)} is no decision; refuse, variant and keep are")
    if not why.strip():
        raise InputError("give a reason with --why, for those who review the decision")
    if by == PROPOSED:
        raise InputError(f"{PROPOSED!r} is the name of proposals; set USER to the name of the person who decides")
    labels = [x for x in ledger.all(Label) if x.failure == failure]
    said = settled(failed, labels)
    word = replace(word, choice=choice, by=by, why=why.strip(), at_us=now_us)
    if said.state != "agreed":
        raise StateError(f"{failure} has no right answer that holds: {said.why}; label it first")
    with nullcontext() if vectors is None else vectors.turn:
        case = _case(failed, said, now_us, word.embedder if vectors is None else vectors.embedder.name)
        there = ledger.get(Case, case.id)
        if there is not None and there.retired is None and choice == "refuse":
            raise StateError(f"{failure} is case {there.id} in the set already; `andon golden retire` takes it out")
        if there is not None and there.retired is not None and choice != "refuse":
            raise StateError(f"{failure}: {_retired(there)}")
        ledger.put(word, now_us=now_us, by=by)
        if choice == "refuse":
            return Decided(decision=word)
        wanted = there or replace(case, nearest=round(word.cosine, 6))
        wanted = replace(wanted, variant_of=word.case if choice == "variant" else None)
        ledger.put(wanted, now_us=now_us, by=by)
        if vectors is not None:
            vectors.add([wanted.id], vectors.embedder.embed([wanted.question]))
    return Decided(decision=word, case=wanted, added=there is None)


def conflicts(before: Sequence[Case], added: Iterable[Case]) -> tuple[tuple[str, str], ...]:
    """Pairs (new, older) of cases that ask the same and differ in what is right."""
    first: dict[tuple[str, str], Case] = {}
    for case in before:
        first.setdefault(_asked(case), case)
    pairs: list[tuple[str, str]] = []
    for case in added:
        there = first.setdefault(_asked(case), case)
        if there is not case and not same_text(there.ground_truth, case.ground_truth):
            pairs.append((case.id, there.id))
    return tuple(pairs)


def _asked(case: Case) -> tuple[str, str]:
    """The application and the question; equal where `same_text` says that the questions are the same."""
    return case.app, normalise(case.question) or case.question.strip().casefold()


def _retired(case: Case) -> str:
    return (
        f"its case {case.id} is retired since {case.retired} ({case.retired_why});"
        f" `andon golden retire {case.id} --back` tests it again"
    )


def doubts(ledger: Ledger) -> list[Refusal]:
    """What people should look at: agreed failures whose case is retired, and tested cases whose right answer holds no more.

    Reads all failures, and all labels with their history: for people who wait, not for a loop.

    Raises:
        StoreError: the ledger failed.
    """
    found: list[Refusal] = []
    for case, said in _doubted(ledger):
        if case.retired is not None:
            if case.ground_truth == said.ground_truth:
                found.append(Refusal(id=said.failure, reason=_retired(case)))
        elif said.ground_truth is None or not same_text(case.ground_truth, said.ground_truth):
            truth = said.ground_truth
            now = f"{quoted(truth)} is the right answer" if truth else "no right answer"
            holds = f"{now} of {said.failure} {'now' if truth else 'holds any more'} ({said.why})"
            reason = f"it is tested, and {holds}; `andon golden retire {case.id}` takes it out"
            found.append(Refusal(id=case.id, reason=reason))
    return found


def _doubted(ledger: Ledger) -> list[tuple[Case, Settled]]:
    """Cases of what labels say or ever said is right, with what the labels of the failure say now; what is agreed goes first."""
    versions = [v.record for v in ledger.history(Label)]
    labels = labels_by_failure({label.id: label for label in versions}.values())
    truths: dict[str, dict[str, None]] = {}
    for label in versions:
        truths.setdefault(label.failure, {})[label.ground_truth] = None
    wanted: dict[str, Settled] = {}
    for failure in ledger.all(Failure):
        said = settled(failure, labels.get(failure.id, ()))
        for truth in truths.get(failure.id, ()):
            name = case_id(failure.app, failure.question, truth)
            wanted[name] = said if truth == said.ground_truth else wanted.get(name, said)
    many = len(wanted) > FEW
    cases = ledger.all(Case) if many else [c for i in wanted if (c := ledger.get(Case, i)) is not None]
    return [(case, wanted[case.id]) for case in cases if case.id in wanted]


def _sorted(
    ledger: Ledger, vectors: CaseVectors, now_us: int
) -> tuple[list[tuple[Failure, Case]], list[str], list[Refusal], int]:
    """All failures: those to add with their cases, ids of those that are cases, what cannot be one, how many wait for a label."""
    labels = labels_by_failure(ledger.all(Label))
    fresh: list[tuple[Failure, Case]] = []
    known: list[str] = []
    refused: list[Refusal] = []
    unlabelled = 0
    for failure in ledger.all(Failure):
        said = settled(failure, labels.get(failure.id, ()))
        if said.state != "agreed":
            unlabelled += said.state != "dismissed"
            continue
        try:
            case = _case(failure, said, now_us, vectors.embedder.name)
        except InputError as error:
            refused.append(Refusal(id=failure.id, reason=str(error)))
            continue
        if case.id in vectors:
            known.append(failure.id)
        else:
            fresh.append((failure, case))
    return fresh, known, refused, unlabelled


_Near = Sequence[tuple[Case, float]]
"""Cases and their cosines, nearest first."""


class _Adding:
    """One call of `add_cases`: what was added so far, and what stands in the way of the next one."""

    def __init__(self, ledger: Ledger, vectors: CaseVectors, thresholds: Thresholds, now_us: int, by: str) -> None:
        self._ledger, self._vectors, self._thresholds = ledger, vectors, thresholds
        self._now_us, self._by = now_us, by
        self.added: list[Case] = []
        self.conflicts: list[tuple[str, str]] = []
        self.decisions: list[NearDuplicate] = []

    def add(self, failure: Failure, case: Case, vector: Vectors) -> Refusal | None:
        """Put a case into the set; the reason where it is refused."""
        if case.id in self._vectors:  # another failure of this call has the same question and right answer
            return Refusal(
                id=failure.id, reason=f"it repeats case {case.id}: the same question and the same right answer"
            )
        threshold = self._thresholds.of(case.app, case.question)
        there = self._vectors.vectors
        found, best = near_and_nearest(there, vector, max(threshold - MISSED, ROUNDING)) if len(there) else ([], None)
        near = sum(cosine >= threshold - ROUNDING for _, cosine in found)
        close, below = self._read(found[:near]), self._read(found[near : near + LOOKED_AT])
        if best is not None and not near:  # other punctuation or case is no other question, whatever the embedder says
            close = [(c, cosine) for c, cosine in self._read([best]) if same_text(c.question, case.question)]
        word = self._word(failure, case, close, below)
        if word is not None and word.choice == "refuse":
            return Refusal(id=failure.id, reason=self._why(word, threshold))
        case = replace(case, nearest=None if best is None else round(best[1], 6))
        if word is not None and word.choice == "variant":
            case = replace(case, variant_of=word.case)
        self._ledger.put(case, now_us=self._now_us, by=self._by)
        self._vectors.add([case.id], vector[None, :])
        self.added.append(case)
        self.conflicts += conflicts([c for c, _ in close if c.retired is None], [case])
        return None

    def _read(self, found: Sequence[tuple[int, float]]) -> list[tuple[Case, float]]:
        ids = self._vectors.ids
        cases = [(self._ledger.get(Case, ids[row]), cosine) for row, cosine in found]
        return [(case, cosine) for case, cosine in cases if case is not None]

    def _word(self, failure: Failure, case: Case, close: _Near, below: _Near) -> NearDuplicate | None:
        """What is decided about a case: a person's word while it holds, else what Andon proposes, which is kept."""
        before = self._ledger.get(NearDuplicate, failure.id)
        lapsed = ""
        if before is not None and before.by != PROPOSED:
            lapsed = self._lapsed(before, case)
            if not lapsed:
                return before
        found = None if case.variant_of is not None else _judged(case, close, below)
        if found is not None:
            other, cosine, choice, why = found
            word = NearDuplicate(
                id=failure.id, case=other.id, cosine=round(cosine, 6), embedder=self._vectors.embedder.name, choice=choice,
                by=PROPOSED, at_us=self._now_us, why=lapsed + why,
            )  # fmt: skip
        elif before is not None:  # its label or its neighbour has changed since
            why = f"{lapsed}it repeats no case that is tested" if lapsed else f"no longer near {before.case}"
            word = replace(before, choice="keep", by=PROPOSED, why=why, at_us=self._now_us)
        else:
            return None
        if before is None or replace(before, at_us=self._now_us) != word:
            self._ledger.put(word, now_us=self._now_us, by=PROPOSED)
        self.decisions.append(word)
        return word

    def _lapsed(self, word: NearDuplicate, case: Case) -> str:
        """Why a person's word that a case adds nothing to another holds no more; "" where it does."""
        other = self._ledger.get(Case, word.case)
        if word.choice == "keep" or other is None:
            return ""
        if other.retired is None and same_text(other.ground_truth, case.ground_truth):
            return ""
        now = "has another right answer" if other.retired is None else f"is retired since {other.retired}"
        return f"{word.by} decided {word.choice}, and {word.case} {now}: "

    def _why(self, word: NearDuplicate, threshold: float) -> str:
        other = self._ledger.get(Case, word.case)
        if word.by != PROPOSED or other is None:
            return f"{word.by} decided that it adds nothing to case {word.case}: {word.why}"
        if word.cosine + 1e-5 < threshold:
            return f"it repeats case {other.id}: the same question in another spelling, and the same right answer"
        return refusal(other, word.cosine, word.embedder, threshold)


def _judged(case: Case, close: _Near, below: _Near) -> tuple[Case, float, Literal["refuse", "keep"], str] | None:
    """As `judge`; where nothing near is the same test, a case `below` the threshold that may be is named, and `case` kept."""
    found, missed = judge(case, close), judge(case, below)
    if missed is None or missed[2] == "keep" or (found is not None and found[2] == "refuse"):
        return found
    return missed[0], missed[1], "keep", "the same right answer, and a cosine a little below the threshold"


def _case(failure: Failure, said: Settled, now_us: int, embedder: str) -> Case:
    """The case of a failure whose label is settled."""
    label = Label(
        id=failure.id,
        failure=failure.id,
        ground_truth=said.ground_truth or "",
        author=", ".join(said.authors),
        at_us=now_us,
    )
    return to_case(failure, label, added_us=now_us, nearest=None, embedder=embedder)
