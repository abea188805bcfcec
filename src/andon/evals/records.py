"""Records of the stage `evals`: runs of a golden set against a target, and the verdict."""

from dataclasses import dataclass, field
from typing import Literal, Protocol

from andon.golden import Case
from andon.traffic import ToolCall

__all__ = ["CaseResult", "EvalRun", "Output", "Target", "Verdict"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What a target gave for one question."""

    answer: str | None
    contexts: tuple[str, ...] = ()
    latency_s: float | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None


class Target(Protocol):
    """Whatever answers questions: one method. An exception is an execution error of that case, not a failure."""

    @property
    def name(self) -> str:
        """How reports call this target."""

    def ask(self, case: Case) -> Output:
        """The target's output for the question of a case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """One attempt at one case in one run: passed, failed, or not run because of an execution error."""

    case_id: str
    repeat: int = 0
    """Which of the run's attempts at this case, from 0."""
    outcome: Literal["pass", "fail", "error"]
    value: float | None = None
    """The scorer's number; the mean where the same answer was judged more than once."""
    judged: tuple[float, ...] = ()
    """Each judgement of this one answer, where a judge was asked more than once: its variance is the judge's own."""
    answer: str | None = None
    detail: str = ""
    risk_category: str | None = None
    cluster: str | None = None
    """Cases of one cluster (variants of one case, questions of one topic) fail together and are resampled together."""
    latency_s: float | None = None
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalRun:
    """One run of a golden set against a target."""

    id: str
    at_us: int
    target: str
    golden: str
    """Digest of the golden set that was run (its cases, by content)."""
    scorers: str
    """Versions of the scorers, so that a changed scorer is never taken for a changed product: ``name@version`` of each, with spaces between; a measure that asks the embedder carries its name."""
    results: tuple[CaseResult, ...] = ()
    """By case in the order of the set, then by repeat."""
    app: str | None = None
    repeats: int = 1
    versions: dict[str, str] = field(default_factory=dict)
    """What was tested, as far as it is known: ``revision`` (git), ``model``, ``prompt_version``, ..."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The gate's word."""

    outcome: Literal["pass", "fail", "undecided", "error"]
    reason: str
    """One sentence with the figures, and for ``undecided`` what would decide it."""
    passed: int
    failed: int
    errors: int
    lost: tuple[str, ...] = ()
    """Ids of cases that passed in the baseline and fail now."""
    gained: tuple[str, ...] = ()
    low: float | None = None
    """Interval of the pass rate, exact at 95 %."""
    high: float | None = None
    p_worse: float | None = None
