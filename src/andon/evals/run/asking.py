"""Ask a target every case, as often as wanted, and score what it says."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from andon.errors import InputError, SeamError
from andon.evals.pace import Bucket, BusyError, back_off, bucket_of, pause, reserve
from andon.evals.records import CaseResult, CaseScorer, EvalRun, Output, Progress, Tally, Target
from andon.evals.run.keeping import Kept, attempt_key
from andon.evals.run.runs import run_of
from andon.evals.scoring import score_case, scorer_versions
from andon.evals.targets.reading import output_of
from andon.golden import Case
from andon.scores import Embedder, Scorer
from andon.scores.records import Vectors
from andon.traffic.quoting import quoted

__all__ = ["NOT_ASKED", "run_evals", "versions_of"]

NOT_ASKED = "not asked: the budget of "
"""How the detail of an attempt begins after the budget was spent."""

Scorers = Mapping[str, Scorer | CaseScorer]


def run_evals(
    cases: Iterable[Case],
    target: Target,
    scorers: Scorers,
    embedder: Embedder,
    *,
    now_us: int,
    repeats: int = 1,
    workers: int = 4,
    per_minute: float | None = None,
    budget_usd: float | None = None,
    retries: int = 2,
    kept: Kept | None = None,
    report: Callable[[Progress], None] | None = None,
    app: str | None = None,
    versions: Mapping[str, str] | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] | None = None,
) -> EvalRun:
    """Ask the target each case `repeats` times, `workers` at a time, and score the answers.

    Results stand by case, then by repeat. The id is a digest of the content, apart from how long answers took. The same
    content (question, contexts, what is expected, application, repeat) is asked once, unless the target sees the case's id.

    - An exception of the target or a scorer is an execution error of that attempt. After a retryable `SeamError` it is asked
      again, up to `retries` times, after a growing pause or the one that the target asks for.
    - `per_minute`: so many questions a minute are asked at most, retries included.
    - `budget_usd`: nothing more is asked once this run has cost so much (up to `workers` answers may go beyond).
    - `kept` (`open_kept`): where answers are kept and taken from. A run that goes on has the time of its begin.
    - `versions`: what is tested, as far as the caller knows; model and version of the target are added.
    - `report` is called in this thread after each attempt; `clock` and `sleep` are for tests.

    Raises:
        InputError: `workers`, `repeats`, `retries`, the rate or the budget is too small.
        StoreError: an answer could not be kept.
        KeyboardInterrupt: the user stopped it; nothing more is asked, and what was answered or on its way is kept.
    """
    _check(workers=workers, repeats=repeats, retries=retries, budget_usd=budget_usd)
    each = list({c.id: c for c in cases}.values())
    attempts = [_Attempt(case=c, repeat=r, key=attempt_key(target, c, r)) for c in each for r in range(repeats)]
    asker = _Asker(
        target=target, retries=retries, budget_usd=budget_usd, bucket=bucket_of(per_minute), clock=clock, sleep=sleep, kept=kept
    )  # fmt: skip
    at_us, results = _kept_results(attempts, asker, scorers, _OneAtATime(embedder), workers, report, now_us)
    return run_of(
        each,
        (replace(r, repeat=a.repeat) for r, a in zip(results, attempts, strict=True)),
        at_us=at_us,
        target=target.name,
        scorers=scorer_versions(each, scorers, embedder),
        repeats=repeats,
        app=app,
        versions={**versions_of(target), **(versions or {})},
    )


def versions_of(target: Target) -> dict[str, str]:
    """What a target says of itself: its model, its version and a digest of its settings or code, where it knows them."""
    found = {name: getattr(target, name, None) for name in ("model", "version", "settings")}
    told = {name: value for name, value in found.items() if isinstance(value, str) and value}
    if "settings" in told:
        told["settings"] = hashlib.sha256(told["settings"].encode()).hexdigest()[:12]
    return told


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    case: Case
    repeat: int
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answered:
    """What came of one question."""

    output: Output | str
    """The output, or why there is none."""
    reused: bool
    spent: bool
    """Whether it was paid for in this run."""


@dataclass(slots=True, kw_only=True)
class _Asker:
    """Asks at the pace and within the budget of a run; its methods may be called by many threads."""

    target: Target
    retries: int
    budget_usd: float | None
    bucket: Bucket
    clock: Callable[[], float]
    sleep: Callable[[float], None] | None
    kept: Kept | None
    stop: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    spent_usd: float | None = None
    unpriced: bool = False
    """An answer came without its cost."""
    broken: bool = False
    """Something has no answer, so that the run can go on later."""

    def answer(self, attempt: _Attempt) -> _Answered:
        """The answer that is kept, else the target's."""
        there = None if self.kept is None else self.kept.get(attempt.key)
        if there is not None and self.kept is not None:
            return _Answered(output=there, reused=True, spent=self.kept.resumed)
        output = self._asked(attempt)
        if isinstance(output, str):
            self.broken = True
        elif self.kept is not None:
            self.kept.keep(attempt.key, output)
        return _Answered(output=output, reused=False, spent=True)

    def pay(self, cost_usd: float | None) -> None:
        """Count what an answer and its judgement cost."""
        if cost_usd is not None:
            with self.lock:
                self.spent_usd = (self.spent_usd or 0.0) + cost_usd

    def _asked(self, attempt: _Attempt) -> Output | str:
        tries = 0
        while True:
            if (why := self._over_budget()) is not None:
                return why
            self._wait_for_turn()
            tries += 1
            try:
                output = self._timed(attempt)
            except SeamError as error:
                if not error.retryable or tries > self.retries:
                    return _why(error, tries)
                self._hold_back(attempt.key, tries, error)
            except KeyboardInterrupt:
                self.stop.set()  # at once: this thread may take the next question before anybody looks
                raise
            except BaseException as error:  # whatever a user's function raises is that case's error
                return f"{type(error).__name__}: {quoted(str(error), 300)}"
            else:
                if output.cost_usd is None:
                    self.unpriced = True
                return output

    def _timed(self, attempt: _Attempt) -> Output:
        again = getattr(self.target, "attempt", None)  # recorded answers know which attempt is which
        begun = time.perf_counter()
        said = self.target.ask(attempt.case) if again is None else again(attempt.case, attempt.repeat)
        took_s = time.perf_counter() - begun
        output = output_of(said, self.target.name)
        return output if output.latency_s is not None else replace(output, latency_s=took_s)

    def _over_budget(self) -> str | None:
        if self.budget_usd is None:
            return None
        if (self.spent_usd or 0.0) >= self.budget_usd:
            return f"{NOT_ASKED}${self.budget_usd:g} is spent"
        if self.unpriced:
            return (
                f"not asked: there is a budget of ${self.budget_usd:g}, and {quoted(self.target.name)} does not say what an"
                " answer costs; a target file has prices (price_per_million_in, price_per_million_out) or a path `cost_usd`"
            )
        return None

    def _wait_for_turn(self) -> None:
        wait_s = 1.0
        while wait_s > 0:  # a pause may have been asked for while this turn was waited for
            with self.lock:
                self.bucket, wait_s = reserve(self.bucket, self.clock())
            self._wait(wait_s)
            with self.lock:
                wait_s = self.bucket.not_before_s - self.clock()

    def _hold_back(self, key: str, tries: int, error: SeamError) -> None:
        asked_s = error.wait_s if isinstance(error, BusyError) else None
        wait_s = back_off(key, tries, asked_s)
        if asked_s is not None:
            with self.lock:
                self.bucket = pause(self.bucket, self.clock() + wait_s)
        else:
            self._wait(wait_s)

    def _wait(self, wait_s: float) -> None:
        if wait_s > 0:
            (self.sleep or self.stop.wait)(wait_s)
        if self.stop.is_set():
            raise KeyboardInterrupt


class _OneAtATime:
    """An embedder that threads take turns at: a plug-in need not be safe for threads."""

    def __init__(self, embedder: Embedder) -> None:
        self.name = embedder.name
        self._embedder, self._turn = embedder, threading.Lock()

    def embed(self, texts: Sequence[str]) -> Vectors:
        """The vectors of the embedder inside."""
        with self._turn:
            return self._embedder.embed(texts)


def _kept_results(
    attempts: Sequence[_Attempt],
    asker: _Asker,
    scorers: Scorers,
    embedder: Embedder,
    workers: int,
    report: Callable[[Progress], None] | None,
    now_us: int,
) -> tuple[int, list[CaseResult]]:
    """When the run began, and all its results; answers are on disk when it returns or raises."""
    kept = asker.kept
    if kept is None:
        return now_us, _all_results(attempts, asker, scorers, embedder, workers, report)
    at_us = kept.begin(now_us)
    try:
        results = _all_results(attempts, asker, scorers, embedder, workers, report)
        kept.end(whole=not asker.broken)
    finally:
        kept.close()
    return at_us, results


def _all_results(
    attempts: Sequence[_Attempt],
    asker: _Asker,
    scorers: Scorers,
    embedder: Embedder,
    workers: int,
    report: Callable[[Progress], None] | None,
) -> list[CaseResult]:
    places: dict[str, list[int]] = {}
    for place, attempt in enumerate(attempts):
        places.setdefault(attempt.key, []).append(place)
    results: list[CaseResult | None] = [None] * len(attempts)
    progress = _begun(attempts)

    def work(same: Sequence[int]) -> tuple[bool, list[tuple[int, CaseResult]]]:
        answered = asker.answer(attempts[same[0]])
        scored = [(i, _score(attempts[i].case, answered.output, scorers, embedder)) for i in same]
        for nth, (_, result) in enumerate(scored):
            asker.pay(_paid(result, answered, first=nth == 0))
        return answered.reused, scored

    with _pool(workers, asker.stop) as pool:
        futures: list[Future[tuple[bool, list[tuple[int, CaseResult]]]]] = [
            pool.submit(work, s) for s in places.values()
        ]
        try:
            for future in as_completed(futures):
                reused, scored = future.result()
                for place, result in scored:
                    results[place] = result
                    progress = _counted(progress, result, reused, asker.spent_usd)
                    if report is not None:
                        report(progress)
        except KeyboardInterrupt:
            if report is not None:
                report(replace(progress, stopping=sum(f.running() for f in futures)))
            raise
    return [r for r in results if r is not None]


@contextmanager
def _pool(workers: int, stop: threading.Event) -> Iterator[ThreadPoolExecutor]:
    """A pool of threads. When something goes wrong what was not begun is not asked; Ctrl-C waits for what is on its way."""
    pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="andon-evals")
    try:
        yield pool
    except BaseException as error:
        stop.set()
        pool.shutdown(wait=isinstance(error, KeyboardInterrupt), cancel_futures=True)
        raise
    pool.shutdown()


def _paid(result: CaseResult, answered: _Answered, *, first: bool) -> float | None:
    """What a result cost in this run: the answer is paid once, a judgement each time."""
    if isinstance(answered.output, str) or result.cost_usd is None:
        return None
    return result.cost_usd if answered.spent and first else result.cost_usd - (answered.output.cost_usd or 0.0)


def _score(case: Case, output: Output | str, scorers: Scorers, embedder: Embedder) -> CaseResult:
    if isinstance(output, str):
        return CaseResult(case_id=case.id, outcome="error", detail=output, risk_category=case.risk_category)
    try:
        return replace(score_case(case, output, scorers, embedder), latency_s=output.latency_s)
    except (Exception, SystemExit) as error:
        detail = f"scorer {case.metric}: {type(error).__name__}: {quoted(str(error), 300)}"
        return CaseResult(
            case_id=case.id,
            outcome="error",
            answer=output.answer,
            detail=detail,
            risk_category=case.risk_category,
            latency_s=output.latency_s,
            cost_usd=output.cost_usd,
        )


def _begun(attempts: Sequence[_Attempt]) -> Progress:
    categories: dict[str, int] = {}
    for a in attempts:
        name = a.case.risk_category or ""
        categories[name] = categories.get(name, 0) + 1
    return Progress(whole=Tally(all=len(attempts)), categories={k: Tally(all=n) for k, n in sorted(categories.items())})


def _counted(progress: Progress, result: CaseResult, reused: bool, spent_usd: float | None) -> Progress:
    name = result.risk_category or ""
    return Progress(
        whole=_one_more(progress.whole, result),
        categories={**progress.categories, name: _one_more(progress.categories[name], result)},
        reused=progress.reused + reused,
        spent_usd=spent_usd,
    )


def _one_more(tally: Tally, result: CaseResult) -> Tally:
    match result.outcome:
        case "pass":
            return replace(tally, passed=tally.passed + 1)
        case "fail":
            return replace(tally, failed=tally.failed + 1)
        case _:
            return replace(tally, errors=tally.errors + 1)


def _check(*, workers: int, repeats: int, retries: int, budget_usd: float | None) -> None:
    for name, value, least in (("workers", workers, 1), ("repeats", repeats, 1), ("retries", retries, 0)):
        if value < least:
            raise InputError(f"{name} is {value}; at least {least} is allowed")
    if budget_usd is not None and not budget_usd > 0:
        raise InputError(f"budget_usd is {budget_usd}; more than 0 is allowed, and no value means no limit")


def _why(error: SeamError, tries: int) -> str:
    return quoted(str(error), 500)[1:-1] + (f" (asked {tries} times)" if tries > 1 else "")
