"""Which captured failures people should label next, and what their labels say together."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from andon.golden.cases import OWNER, person, same_text
from andon.golden.records import Failure, Label, Queued, Settled
from andon.scores import Vectors
from andon.settings import is_high_risk

__all__ = [
    "BULK",
    "ORIGINS",
    "high_risk",
    "labels_by_failure",
    "needed",
    "open_to",
    "prioritise",
    "same_label",
    "settled",
    "unplaced",
]

BULK = "accepted in bulk: "
"""How the note of a label begins that its author gave without reading; the origin of the suggestion follows."""

SIGNS = ("follow-up", "abandonment", "low retrieval score")
"""Sources that hint at a failure and do not show it."""

ORIGINS = {
    "correction": "the user's correction",
    "expected_answer": "the expected answer that came with the data",
    "passing twin": "another answer to this question, which passed",
    "near twin": "an answer to a nearly equal question, which passed; check that it fits",
    "case": "the right answer of the case that this is a re-framing of",
}
"""What the origins of suggestions mean, for who has to judge one."""

ORDERED = 500
"""How many places of the queue take account of what stands above them; nobody labels more at a sitting."""

AT_ONCE = 256
"""Failures that are compared with all cases in one product, which bounds memory to so many numbers for each case."""


def high_risk(failure: Failure) -> bool:
    """Whether a failure is of a risk category of which nothing may be lost (`andon.settings.HIGH_RISK`)."""
    return is_high_risk(failure.risk_category)


def needed(failure: Failure) -> int:
    """How many reviewers have to say the same: two where the risk is high, else one."""
    return 2 if high_risk(failure) else 1


def labels_by_failure(labels: Iterable[Label]) -> dict[str, list[Label]]:
    """The labels that count (none that was withdrawn), by failure."""
    found: dict[str, list[Label]] = {}
    for label in labels:
        if label.verdict != "withdrawn":
            found.setdefault(label.failure, []).append(label)
    return found


def settled(failure: Failure, labels: Iterable[Label]) -> Settled:
    """What the labels of a failure say together; labels of other failures are passed over.

    An adjudication (`final`) settles it, the latest one of several. Without one, every reviewer has to say the same
    (`same_text`; a dismissal is a word of its own), and where the risk is high there have to be two of them, or one who read
    it and the expected answer that the data owner sent. Long answers are seldom worded alike: there, two reviewers make a
    conflict, and an adjudicator takes one of the texts.
    """
    counted = (x for x in labels if x.failure == failure.id and x.verdict != "withdrawn")
    mine = sorted(counted, key=lambda x: (x.at_us, x.author))
    last = next((x for x in reversed(mine) if x.final), None)
    if last is not None:
        return _ended(failure, last, (last.author,), f"adjudicated by {last.author}")
    authors = tuple(dict.fromkeys(person(x.author) for x in mine))
    if not mine:
        return Settled(failure=failure.id, state="waits", why="nobody has labelled it")
    if not all(same_label(mine[0], x) for x in mine[1:]):
        why = f"{_names(authors)} differ: somebody else has to adjudicate"
        return Settled(failure=failure.id, state="conflict", authors=authors, why=why)
    if len(authors) + _owner_says(failure, mine[0]) < needed(failure):
        why = f"labelled by {authors[0]}; risk {failure.risk_category} asks for a second reviewer"
        return Settled(failure=failure.id, state="second", authors=authors, why=why)
    return _ended(failure, mine[0], authors, f"{_names(authors)} {'agree' if len(authors) > 1 else 'labelled it'}")


def _owner_says(failure: Failure, label: Label) -> bool:
    """Whether the data owner gave the same right answer with the data: that is a reviewer's word, beside one who read it."""
    given = failure.suggestion if failure.suggested_by == OWNER else None
    if given is None or label.verdict != "answer" or label.note.startswith(BULK):
        return False
    return same_text(given, label.ground_truth)


def same_label(one: Label, other: Label) -> bool:
    """Whether two labels say the same: both dismiss, or both give the same right answer (`same_text`)."""
    if "dismiss" in (one.verdict, other.verdict):
        return one.verdict == other.verdict
    return same_text(one.ground_truth, other.ground_truth)


def open_to(reviewer: str, settled: Settled) -> bool:
    """Whether a failure waits for a label of this reviewer: it needs one, and they have not given theirs."""
    return settled.state in ("waits", "second") and person(reviewer) not in settled.authors


def prioritise(
    failures: Sequence[Failure],
    labels: Iterable[Label],
    vectors: Vectors,
    cases: Mapping[str, Vectors],
) -> list[Queued]:
    """The failures that wait for a person, those that are worth most first.

    ``priority = 2 risk + novelty + uncertainty``, each from 0 to 1:

    - risk: 1 for a high-risk category, else 0.
    - novelty: 1 less the cosine with the nearest question among the app's cases and the failures above it in the queue, so
      that twenty failures of one kind do not stand before everything else.
    - uncertainty: the greatest of 1 for reviewers who differ, 0.5 for one who waits for a second, 0.5 where the capture was a
      hint only (`SIGNS`), and ``1 - |value - cut| / |cut|`` for a number near its cut.

    Equal ones stand in the order of capture. From place `ORDERED` on, novelty is against cases alone. Time (n + m) n d.

    Args:
        failures: n failures, in the order of capture; settled ones are left out.
        labels: the labels of all of them.
        vectors: embedded questions of the failures, shape (n, d).
        cases: embedded questions of the golden cases by app, each of shape (m, d).
    """
    said = labels_by_failure(labels)
    states = [settled(f, said.get(f.id, ())) for f in failures]
    waiting = [k for k, s in enumerate(states) if s.state in ("waits", "second", "conflict")]
    nearest = np.zeros(len(failures))
    for app, known in cases.items():
        mine = [k for k in waiting if failures[k].app == app] if len(known) else []
        for some in (mine[at : at + AT_ONCE] for at in range(0, len(mine), AT_ONCE)):
            nearest[some] = np.clip(np.max(known @ vectors[some].T, axis=0), 0, 1)
    risk = np.array([float(high_risk(f)) for f in failures])
    unsure = [_uncertainty(f, s) for f, s in zip(failures, states, strict=True)]
    fixed = 2 * risk + np.array([u for u, _ in unsure])
    apps = np.array([f.app for f in failures])
    return [
        _queued(failures[k], states[k], float(risk[k]), 1 - near, unsure[k])
        for k, near in _in_order(waiting, fixed, nearest, apps, vectors)
    ]


def unplaced(failure: Failure, state: Settled) -> Queued:
    """A waiting failure of which nobody has measured yet how new it is: it counts as half new."""
    q = _queued(failure, state, float(high_risk(failure)), 0.5, _uncertainty(failure, state))
    return replace(q, why=q.why.replace("novelty 0.50", "novelty not measured yet"))


def _in_order(
    waiting: Sequence[int],
    fixed: NDArray[np.float64],
    nearest: NDArray[np.float64],
    apps: "NDArray[np.str_]",
    vectors: Vectors,
) -> list[tuple[int, float]]:
    """The waiting failures by falling priority, each with its cosine to the nearest of cases and those above it."""
    left = np.array(waiting, dtype=np.int64)
    near = nearest[left]
    found: list[tuple[int, float]] = []
    while len(left) and len(found) < ORDERED:
        at = int(np.argmax(np.round(fixed[left] + 1 - near, 5)))  # the first of equals: cosines are float32
        k = int(left[at])
        found.append((k, float(near[at])))
        left, near = np.delete(left, at), np.delete(near, at)
        alike = np.clip(vectors[left] @ vectors[k], 0, 1) * (apps[left] == apps[k])
        near = np.maximum(near, alike)
    rest = np.argsort(-np.round(fixed[left] + 1 - nearest[left], 5), kind="stable")
    return found + [(int(left[i]), float(nearest[left[i]])) for i in rest]


def _uncertainty(failure: Failure, state: Settled) -> tuple[float, str]:
    """How unsure the right answer is, 0..1, and why."""
    if state.state == "conflict":
        return 1.0, "reviewers differ"
    found = [(0.0, "")]
    if state.state == "second":
        found.append((0.5, "waits for a second reviewer"))
    if failure.source in SIGNS:
        found.append((0.5, f"{failure.source} is a hint only"))
    if failure.value is not None and failure.cut:
        near = max(0.0, 1 - abs(failure.value - failure.cut) / abs(failure.cut))
        found.append((near, f"{failure.metric} {failure.value:.3g} against a cut of {failure.cut:.3g}"))
    return max(found, key=lambda each: each[0])


def _queued(failure: Failure, state: Settled, risk: float, novelty: float, unsure: tuple[float, str]) -> Queued:
    why = [f"risk {failure.risk_category}"] if risk else []
    why.append(f"novelty {novelty:.2f}")
    if unsure[0] > 0:
        why.append(f"uncertainty {unsure[0]:.2f}: {unsure[1]}")
    priority = 2 * risk + novelty + unsure[0]
    return Queued(
        failure=failure,
        settled=state,
        priority=round(priority, 6),
        risk=risk,
        novelty=round(novelty, 6),
        uncertainty=round(unsure[0], 6),
        why="; ".join(why),
    )


def _ended(failure: Failure, label: Label, authors: tuple[str, ...], why: str) -> Settled:
    if label.verdict == "dismiss":
        note = f": {label.note}" if label.note else ""
        return Settled(failure=failure.id, state="dismissed", authors=authors, why=f"dismissed, {why}{note}")
    truth = label.ground_truth
    return Settled(failure=failure.id, state="agreed", ground_truth=truth, authors=authors, why=why)


def _names(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
