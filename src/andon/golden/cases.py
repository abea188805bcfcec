"""From an interaction to a failure, and from a failure and a label to a case. Content names both, by digest."""

import hashlib
import json
import unicodedata
from collections.abc import Iterable
from typing import Literal

from andon.errors import InputError
from andon.golden.records import Case, Failure, Label
from andon.scores.text import normalise
from andon.traffic import Interaction
from andon.traffic.clock import format_time
from andon.traffic.erasure import ERASED
from andon.traffic.quoting import quoted

__all__ = [
    "OWNER",
    "case_digest",
    "case_id",
    "check_label",
    "clusters_of",
    "digest_of",
    "failure_id",
    "golden_digest",
    "is_erased",
    "label_id",
    "person",
    "same_text",
    "to_case",
    "to_failure",
]

OWNER = "expected_answer"
"""The origin of a suggestion that is the data owner's own gold, and so may be accepted unread. A user's correction may not."""


def failure_id(app: str, question: str, answer: str | None) -> str:
    """``F-`` and a digest of what failed: the same failure always has the same id."""
    return f"F-{_digest(app, question, answer)}"


def label_id(failure: str, author: str) -> str:
    """Where one reviewer's word on a failure is kept."""
    return f"{failure}/{_digest(person(author))}"


def person(name: str) -> str:
    """A reviewer's name as it is kept and compared: ``Bob``, ``bob`` and ``bob`` with a space behind it are one person.

    Raises:
        InputError: it holds what no eye sees, by which one person could be two.
    """
    same = " ".join(unicodedata.normalize("NFKC", name).split()).casefold()
    if not same.isprintable():
        raise InputError(f"the name {quoted(name)} holds characters that nobody sees; type it again")
    return same


def case_id(app: str, question: str, ground_truth: str) -> str:
    """``G-`` and a digest of what is asked and what is right."""
    return f"G-{_digest(app, question, ground_truth)}"


def is_erased(case: Case) -> bool:
    """Whether what a case asks, or what is right, was erased: its content no longer is the one that names it."""
    c = case
    return ERASED in c.question + c.ground_truth and c.id != case_id(c.app, c.question, c.ground_truth)


def case_digest(case: Case) -> str:
    """A digest of what a case tests: question, right answer, contexts and measure."""
    c = case
    content = (c.id, c.question, c.ground_truth, c.contexts, c.metric, c.direction, c.cut)
    return _digest(*content, json.dumps(c.expect, sort_keys=True)) if c.expect else _digest(*content)


def golden_digest(cases: Iterable[Case]) -> str:
    """A digest of a golden set by content, whatever the order of its cases."""
    return digest_of(case_digest(c) for c in cases)


def clusters_of(cases: Iterable[Case]) -> dict[str, str]:
    """Id of a case -> its cluster: the one that it names, else that of the case that it is a variant of, else itself."""
    of_id = {c.id: c for c in cases}
    found = {}
    for case in of_id.values():
        first = case.variant_of or case.id
        named = case.cluster or (of_id[first].cluster if first in of_id else None)
        found[case.id] = named or first
    return found


def digest_of(digests: Iterable[str]) -> str:
    """The digest of the golden set whose cases have these digests."""
    return _digest(*sorted(digests))


def same_text(one: str, other: str) -> bool:
    """Whether two texts say the same after normalisation; texts without any word are compared as they stand."""
    a, b = normalise(one), normalise(other)
    return a == b if a or b else one.strip().casefold() == other.strip().casefold()


def to_failure(
    interaction: Interaction,
    *,
    reason: str,
    source: str,
    captured_us: int,
    metric: str = "normalised_match",
    direction: Literal["up", "down"] = "down",
    cut: float | None = None,
    incident: str | None = None,
    correction: str | None = None,
    versions: Iterable[str] = (),
) -> Failure:
    """The failure that an interaction is. `correction` is what a user said would have been right.

    A right answer that came with the data (the correction, else the expected answer) becomes the suggestion, unless it
    says the same as the failing answer.

    Raises:
        InputError: the interaction has no question, so that nobody could ask it again.
    """
    i = interaction
    if i.query is None or not i.query.strip():
        raise InputError(f"interaction {quoted(i.id)} has no question; only what can be asked again becomes a case")
    suggestion, by = next(
        (
            (text, origin)
            for text, origin in ((correction, "correction"), (i.expected_answer, "expected_answer"))
            if text and text.strip() and not (i.answer is not None and same_text(text, i.answer))
        ),
        (None, None),
    )
    return Failure(
        id=failure_id(i.app, i.query, i.answer),
        captured_us=captured_us,
        app=i.app,
        question=i.query,
        answer=i.answer,
        contexts=tuple(c.text for c in i.contexts),
        reason=reason,
        source=source,
        metric=metric,
        direction=direction,
        cut=cut,
        interaction_id=i.id,
        incident=incident,
        risk_category=i.risk_category,
        segment={k: v for k in ("task", "segment", "requested_model") if (v := getattr(i, k)) is not None},
        versions={k: v for k in versions if (v := getattr(i, k)) is not None},
        suggestion=suggestion,
        suggested_by=by,
    )


def check_label(answer: str | None, ground_truth: str) -> None:
    """A failing answer never becomes its own gold label.

    This holds for every metric: where the right answer is a model's text (a better grounded one, an answer instead of a
    refusal), it is another text than the one that failed.

    Raises:
        InputError: the label is empty, or says the same as the failing answer.
    """
    if not ground_truth.strip():
        raise InputError("the label is empty; give the right answer in `ground_truth`")
    if answer is not None and same_text(answer, ground_truth):
        raise InputError(
            f"the label {quoted(ground_truth)} is the failing answer itself (apart from case, articles and punctuation);"
            " give the answer that would have been right, or dismiss the failure"
        )


def to_case(failure: Failure, label: Label, *, added_us: int, nearest: float | None, embedder: str) -> Case:
    """The golden case of a labelled failure; `nearest` is the cosine to the nearest case that was there before.

    Raises:
        InputError: the label belongs to another failure, is empty, or says the same as the failing answer.
    """
    if label.failure != failure.id:
        raise InputError(f"the label is for failure {quoted(label.failure)}, not for {quoted(failure.id)}")
    check_label(failure.answer, label.ground_truth)
    return Case(
        question=failure.question,
        answer=failure.answer,
        contexts=failure.contexts,
        ground_truth=label.ground_truth,
        source=failure.source,
        failure_reason=failure.reason,
        added_date=format_time(added_us)[:10],
        id=case_id(failure.app, failure.question, label.ground_truth),
        app=failure.app,
        metric=failure.metric,
        direction=failure.direction,
        cut=failure.cut,
        risk_category=failure.risk_category,
        incident=failure.incident,
        label_author=label.author,
        embedder=embedder,
        nearest=nearest,
        expect=failure.expect,
        variant_of=failure.variant_of,
    )


def _digest(*content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
