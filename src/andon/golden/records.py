"""Records of the stage `golden`: from a failure to a case that must pass for ever."""

from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = [
    "AddResult",
    "Agreement",
    "CaptureCursor",
    "CaptureDay",
    "CaptureResult",
    "Case",
    "Decided",
    "Failure",
    "ImportResult",
    "Label",
    "LabelResult",
    "LabelRow",
    "NearDuplicate",
    "Queued",
    "Refusal",
    "RuleCount",
    "Settled",
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
    said: str | None = None
    """What the user said of the answer, word for word."""
    source: str = ""
    """Where it comes from, e.g. ``incident INC-0001``, ``thumbs-down``."""
    metric: str = "normalised_match"
    """The scorer that says whether an answer to this question passes."""
    direction: str = "down"
    """Direction of `metric` that harms: ``down`` means that a passing answer scores high."""
    cut: float | None = None
    """For a number metric: the bound that a passing answer keeps."""
    value: float | None = None
    """What the failing answer had of `metric`; None where people said that it failed."""
    interaction_id: str | None = None
    incident: str | None = None
    risk_category: str | None = None
    segment: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    suggestion: str | None = None
    """A right answer that somebody else gave (a correction, the expected answer, a passing twin): never the failing one."""
    suggested_by: str | None = None
    variant_of: str | None = None
    """Id of the case that this is a re-framing of; its case is added as a variant of that one."""
    expect: dict[str, Any] = field(default_factory=dict)
    """What its scorer asks beyond the right answer, taken over from the case that it is a re-framing of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One reviewer's (or the data owner's) word on what the right answer is; each reviewer has one for each failure."""

    id: str
    """``label_id(failure, author)``."""
    failure: str
    """Id of the failure."""
    verdict: Literal["answer", "dismiss", "withdrawn"] = "answer"
    """``dismiss``: this was no failure, or nobody can say what is right; `note` says why. ``withdrawn``: its author took the
    label back, and it counts no more."""
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
    cluster: str | None = None
    """What this case stands or falls with, in a word (a document, a topic, a customer): cases of one cluster are compared as
    one. None: the case that it is a variant of, or itself."""
    retired: str | None = None
    """ISO date from which it is no longer tested; it stays in the set's history."""
    retired_why: str | None = None
    """Why it is retired; of a case that is tested again (`retired` is None), why it was brought back."""
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
    """Empty: nobody has labelled this row yet, or it is dismissed."""
    verdict: Literal["answer", "dismiss"] = "answer"
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
    decisions: tuple[NearDuplicate, ...] = ()
    """What was decided about the ones that are near a case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What the labels of a failure say together."""

    failure: str
    """Id of the failure."""
    state: Literal["waits", "second", "conflict", "agreed", "dismissed"]
    """``waits``: nobody has labelled it. ``second``: the risk asks for another reviewer. ``conflict``: reviewers differ, and
    somebody has to adjudicate. ``agreed``: `ground_truth` holds. ``dismissed``: no case comes of it."""
    ground_truth: str | None = None
    """The right answer; only where it is agreed."""
    authors: tuple[str, ...] = ()
    """Who has labelled it, in order of time; of an adjudicated one, who adjudicated."""
    why: str
    """The state in one sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """A failure that waits for a person, and why it stands where it stands in the queue."""

    failure: Failure
    settled: Settled
    priority: float
    """Twice the risk, and novelty and uncertainty, each 0..1."""
    risk: float
    novelty: float
    uncertainty: float
    why: str
    """The three parts in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureCursor:
    """How far scores have been looked through for failures to capture."""

    id: str = "captures"
    seq: int = 0
    """Sequence number of the table of scores."""
    days: tuple[str, ...] = ()
    """Days (``2026-11-20/app``) that have weaker signs to be weighed once they are over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureDay:
    """What was captured of one application's weaker signs of one day, and what was left out."""

    id: str
    """``2026-11-20/app``."""
    taken: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Ids of failures, by rule."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Answers with a sign that were beyond the day's bound, by rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleCount:
    """What one rule of capture found."""

    rule: str
    captured: int = 0
    known: int = 0
    """Failures that were captured before."""
    left_out: int = 0
    """Beyond the bound of their day, or without a question that could be asked again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far reviewers say the same of the same failures."""

    reviewers: tuple[str, ...]
    failures: int
    """Failures that at least two people labelled."""
    alpha: float | None
    """Krippendorff's alpha, 1 for full agreement, 0 for chance; None where it cannot be told."""
    low: float | None = None
    high: float | None = None
    """95 % bootstrap interval."""
    text: str
    """What it means, or why it cannot be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportResult:
    """What became of a file of cases."""

    form: str
    """The format that was recognised."""
    added: tuple[Case, ...]
    known: tuple[str, ...] = ()
    """Ids of cases that were there already."""
    changed: tuple[str, ...] = ()
    """Ids of cases that were there, and that the file has with another measure, other contexts or another risk category."""
    retired: tuple[str, ...] = ()
    """Ids of cases that were there, and that the file retires."""
    back: tuple[str, ...] = ()
    """Ids of cases that were retired, and that the file brings back."""
    doubts: tuple[Refusal, ...] = ()
    """Known cases of which file and ledger differ on whether they are tested, with what to do; the ledger's word stands."""
    refused: tuple[Refusal, ...] = ()
    """What was not taken in, by its place in the file, and why."""
    conflicts: tuple[tuple[str, str], ...] = ()
    """Pairs of cases with the same question and different right answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What became of a person's word on a near-duplicate."""

    decision: NearDuplicate
    case: Case | None = None
    """The case that is in the set by it; None where it was refused."""
    added: bool = False
    """Whether the case was not there before."""
