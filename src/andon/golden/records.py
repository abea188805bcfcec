"""Records of the stage `golden`: from a failure to a case that must pass for ever."""

from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = [
    "AddResult",
    "CaptureResult",
    "Case",
    "Failure",
    "Label",
    "LabelResult",
    "LabelRow",
    "NearDuplicate",
    "Refusal",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A failing interaction that was captured; the same failure (question and answer) is captured once."""

    id: str
    """``F-`` and a digest of app, question and answer."""
    captured_us: int
    app: str
    question: str
    answer: str | None
    contexts: tuple[str, ...] = ()
    reason: str = ""
    """Why it counts as a failure, with the metric and its value."""
    source: str = ""
    """Where it comes from, e.g. ``incident INC-0001``, ``thumbs-down``."""
    metric: str = "normalised_match"
    """The scorer that says whether an answer to this question passes."""
    direction: str = "down"
    """Direction of `metric` that harms: ``down`` means that a passing answer scores high."""
    cut: float | None = None
    """For a number metric: the bound that a passing answer keeps."""
    interaction_id: str | None = None
    incident: str | None = None
    risk_category: str | None = None
    segment: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    suggestion: str | None = None
    """A right answer that somebody else gave (a correction, the expected answer, a passing twin): never the failing one."""
    suggested_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One reviewer's (or the data owner's) word on what the right answer is; each reviewer has one for each failure."""

    id: str
    """``label_id(failure, author)``."""
    failure: str
    """Id of the failure."""
    verdict: Literal["answer", "dismiss"] = "answer"
    """``dismiss``: this was no failure, or nobody can say what is right; `note` says why."""
    ground_truth: str = ""
    """The right answer; empty where it is dismissed."""
    author: str
    at_us: int
    note: str = ""
    final: bool = False
    """An adjudication: it settles what reviewers say differently."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One golden case. The first seven fields are the field's common JSONL columns, in this order."""

    question: str
    answer: str | None
    contexts: tuple[str, ...]
    ground_truth: str
    source: str
    failure_reason: str
    added_date: str
    """ISO date, e.g. ``2026-11-20``."""

    id: str
    """``G-`` and a digest of app, question and ground truth: the content names the case."""
    app: str = "default"
    metric: str = "normalised_match"
    direction: str = "down"
    cut: float | None = None
    risk_category: str | None = None
    incident: str | None = None
    label_author: str | None = None
    embedder: str | None = None
    """The embedder by whose similarity this case was found to be new."""
    nearest: float | None = None
    """Cosine to the nearest case that was there before; None for the first."""
    expect: dict[str, Any] = field(default_factory=dict)
    """What its scorer asks beyond the right answer, by key: ``tolerance``, ``schema``, ``tools``, ``criteria``, ..."""
    variant_of: str | None = None
    """Id of the case that asks the same in other words; both are tested, and count as one cluster."""
    retired: str | None = None
    """ISO date from which it is no longer tested; it stays in the set's history."""
    retired_why: str | None = None
    line: str | None = field(default=None, compare=False)
    """The line of the file that this case was read from: unknown keys and the very bytes are written back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NearDuplicate:
    """What was decided about a labelled failure whose question is near a case's: a proposal by Andon, or a person's word."""

    id: str
    """Id of the failure."""
    case: str
    """Id of the near case."""
    cosine: float
    embedder: str
    choice: Literal["refuse", "variant", "keep"]
    """``refuse``: it adds nothing. ``variant``: added as a variant of the case. ``keep``: added as a case of its own."""
    by: str
    """``andon`` for a proposal; a person's name once somebody decided."""
    at_us: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRow:
    """One row of a label file: a right answer for a failure that is named by its id or by its question."""

    line: int
    """Number of the line in its file, from 1."""
    id: str | None
    question: str | None
    ground_truth: str
    """Empty: nobody has labelled this row yet."""
    author: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Something that was not taken in, and why."""

    id: str
    """The failure, case or row that was refused."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureResult:
    """What became of captured failures."""

    captured: tuple[str, ...]
    known: tuple[str, ...]
    """Ids of failures that were captured before."""
    refused: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelResult:
    """What became of labels."""

    labelled: tuple[str, ...]
    """Ids of failures that have a new right answer."""
    unchanged: tuple[str, ...] = ()
    """Ids of failures that had this right answer already."""
    unknown: tuple[str, ...] = ()
    """Ids and questions for which no failure was captured."""
    refused: tuple[Refusal, ...] = ()
    blank: int = 0
    """Rows that nobody has labelled yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddResult:
    """What became of labelled failures, or of the lines of a file, on their way into the golden set."""

    added: tuple[Case, ...]
    known: tuple[str, ...] = ()
    """Ids of failures (or cases) whose content is a case already."""
    refused: tuple[Refusal, ...] = ()
    """Near-duplicates, each with the case that it resembles, the cosine and the embedder."""
    unlabelled: int = 0
    """Failures that wait for a person's word."""
    conflicts: tuple[tuple[str, str], ...] = ()
    """Pairs of cases with the same question and different right answers: a person has to say which one holds."""
