"""Records of the stage `evals`: runs of a golden set against a target, and the verdict."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from andon.golden import Case
from andon.scores import Embedder
from andon.traffic import ToolCall

__all__ = [
    "Baseline",
    "CaseResult",
    "CaseScorer",
    "Confirmed",
    "EvalRun",
    "Group",
    "Measured",
    "Output",
    "Probed",
    "Progress",
    "Quarantine",
    "Refreshed",
    "Tally",
    "Target",
    "Verdict",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What a target gave for one question."""

    answer: str | None
    contexts: tuple[str, ...] | None = None
    """The passages that it retrieved, `()` where it says that there were none; None: it says nothing of passages."""
    latency_s: float | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None

    def passages(self, case: Case) -> tuple[str, ...]:
        """What the answer had to go by: what the target retrieved; only where it says nothing of that, the case's own."""
        return case.contexts if self.contexts is None else self.contexts


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
    judged_by: str = ""
    """The model that judged, as its endpoint calls it; empty where none was asked. Judgements by two are not comparable."""
    answer: str | None = None
    detail: str = ""
    risk_category: str | None = None
    cluster: str | None = None
    """Cases of one cluster (variants of one case, questions of one topic) fail together and are resampled together."""
    latency_s: float | None = None
    cost_usd: float | None = None
    measured: str = ""
    """What decided it: the versions of the scorers and the digest of the case (`measured_by`). Results that differ in it are
    never compared. Of an own assertion: ``pytest`` and its test. Empty: a run of old, or it could not run."""


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
    """One short sentence with the figures."""
    passed: int
    """Attempts that passed; with one attempt of each case these are cases. Quarantined cases are not counted."""
    failed: int
    errors: int
    lost: tuple[str, ...] = ()
    """Ids of cases that passed in the baseline and fail now; with repeats: that pass less often than they did."""
    gained: tuple[str, ...] = ()
    low: float | None = None
    """Interval of the pass rate, exact at 95 %; cases of one cluster and attempts at one case are not independent cases."""
    high: float | None = None
    p_worse: float | None = None
    """One-sided p over all shared cases that losses outnumber gains by chance; the groups decide, not this number."""
    groups: tuple["Group", ...] = ()
    """One for each rule that had cases, then its risk categories where it has several."""
    mde: float | None = None
    """Of the rule with most cases: the smallest drop of the pass rate that it would have found with 80 % power."""
    notes: tuple[str, ...] = ()
    """What the rules that decided say, and whatever of the two runs was not compared; a sentence each."""
    decides: tuple[str, ...] = ()
    """What more would decide it: how many cases, or attempts at which; empty unless undecided."""
    quarantined: tuple[str, ...] = ()
    """Ids of cases of this run that do not decide, because somebody quarantined them."""
    flaky: tuple[str, ...] = ()
    """Ids of cases that both passed and failed within one of the two runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """The last time that a probe was asked; its versions are its history."""

    id: str
    """Name of the probe."""
    at_us: int
    run: str = ""
    """Id of its `EvalRun`; empty where it could not be asked at all."""
    passed: int = 0
    failed: int = 0
    errors: int = 0
    signals: tuple[str, ...] = ()
    """Ids of the signals of this run: while an incident holds a page of the chart, that one. None where its limits were kept, or
    nothing can be told."""
    waiting: tuple[str, ...] = ()
    """Ids of the pages of earlier runs that no incident held yet."""
    kept_us: int | None = None
    """When it was last asked with answers that kept its limits; None: never."""
    problem: str = ""
    """Why it could not be asked: no case fits, no such target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What one rule of the gate says about the cases that it covers."""

    name: str
    """The category of the rule (``high-risk``, ``high``, ``*``); of a part its own risk category."""
    part_of: str = ""
    """For one risk category of a rule that covers several: that rule's category. A part can fail the gate; undecided, it does
    not hold up a pass."""
    rule: str
    """In words: ``no regression``, ``not worse``, ``at most 2 % worse``, ``pass rate at least 95 %``."""
    outcome: Literal["pass", "fail", "undecided"]
    why: str
    n: int
    """Cases that were compared; for a bar, cases that ran."""
    before: float | None = None
    """Mean pass rate of these cases in the baseline."""
    now: float | None = None
    lost: tuple[str, ...] = ()
    gained: tuple[str, ...] = ()
    difference: float | None = None
    """``now - before``: below 0 is worse."""
    low: float | None = None
    """Interval of the difference (of the pass rate, for a bar); each end is a one-sided bound at the gate's level."""
    high: float | None = None
    p: float | None = None
    """The p-value by which it fails, adjusted for the number of tests of this gate (Holm)."""
    margin: float | None = None
    """The drop that ``at_most`` allows, or the bar."""
    mde: float | None = None
    """Smallest drop that this comparison would have found with 80 % power."""
    decides: str = ""
    """For ``undecided``: what would decide it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a case scorer found."""

    value: float
    """Its number; 1 and 0 where it knows only right and wrong."""
    passed: bool | None = None
    """None: the case's direction and cut decide by `value`."""
    detail: str
    """One line for people: what was compared, and what was wrong. Hostile parts of the answer are quoted."""
    judged: tuple[float, ...] = ()
    """Each judgement, where a judge was asked more than once about this one answer."""
    cost_usd: float | None = None
    """What the judgement itself cost, where its endpoint says so."""
    by: str = ""
    """The model that judged, as its endpoint calls it; empty where none was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseScorer:
    """One way to say whether an output is what a case expects: a function, its version and what it is."""

    name: str
    """The metric of the cases that it scores, e.g. ``numeric``; a lower-case identifier, or ``family:part``."""
    version: str
    """A changed version is a changed measure: results of two versions are never compared."""
    about: str
    """One sentence: when an answer passes."""
    score: Callable[[Case, Output, Embedder], Measured | None]
    """None: it does not apply to this output. An `AndonError` says what is wrong with the case's `expect`, or the world."""
    needs_answer: bool = True
    """False where tool calls without a text are an output that it can judge. No answer and no call never passes."""
    embeds: bool = False
    """Whether it asks the embedder: then the embedder's name belongs to the measure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How far a part of a run is."""

    all: int
    """Attempts that there are to be."""
    passed: int = 0
    failed: int = 0
    errors: int = 0

    @property
    def done(self) -> int:
        """Attempts that are over."""
        return self.passed + self.failed + self.errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is: told after every attempt."""

    whole: Tally
    categories: dict[str, Tally]
    """By risk category; ``""`` where a case has none."""
    reused: int = 0
    """Attempts whose answer was there already, from a run that was broken off or from the cache."""
    spent_usd: float | None = None
    """What the answers of this run cost so far; None as long as the target tells no cost."""
    stopping: int | None = None
    """The user stopped the run: so many questions are on their way, and are waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """A case that decides nothing for a while, because it is flaky or for a reason that somebody gave. It is still run."""

    id: str
    """Id of the case."""
    until_us: int
    """From then on it decides again, by itself."""
    by: str
    why: str
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The run of an application that candidates are compared with."""

    id: str
    """The application."""
    target: str
    """The spec by which its target can be asked again; it holds no secret."""
    run: str
    """Id of the `EvalRun`."""
    by: str
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshed:
    """What became of a baseline when the golden set had changed."""

    run: EvalRun | None = None
    """The new baseline; None where nothing was changed."""
    asked: int = 0
    """Cases that were asked."""
    said: str
    """One sentence: what was done, or why nothing was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """New attempts at what a comparison had lost, of both versions: with them its verdict can be made again."""

    id: str
    """Id of the run, a slash, and that of its baseline."""
    now: EvalRun
    """Of the candidate."""
    before: EvalRun
    """Of the version in place."""
