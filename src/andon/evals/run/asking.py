"""Ask a target every case and score what it says."""

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from andon.errors import InputError, SeamError
from andon.evals.records import CaseResult, EvalRun, Output, Target
from andon.evals.run.runs import dump
from andon.evals.scoring import score_case, scorer_versions
from andon.golden import Case, golden_digest
from andon.scores import Embedder, Scorer
from andon.traffic.quoting import quoted

__all__ = ["run_evals"]


def run_evals(
    cases: Iterable[Case],
    target: Target,
    scorers: Mapping[str, Scorer],
    embedder: Embedder,
    *,
    now_us: int,
    report: Callable[[int, int], None] | None = None,
    workers: int = 4,
) -> EvalRun:
    """Ask the target each case once, `workers` at a time, and score the answers; results are in the order of the cases.

    An exception of the target or of a scorer is an execution error of that case. `report` is called with (done, all)
    after each case. The run's id is a digest of its content.

    Raises:
        InputError: `workers` is less than 1.
        KeyboardInterrupt: the user stopped it; cases that were not begun are not asked.
    """
    if workers < 1:
        raise InputError(f"workers is {workers}; at least 1 is allowed")
    each = list({c.id: c for c in cases}.values())
    results: list[CaseResult] = []
    pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="andon-evals")
    try:
        for case, output in zip(each, pool.map(lambda c: _ask(target, c), each), strict=True):
            results.append(_score(case, output, scorers, embedder))
            if report is not None:
                report(len(results), len(each))
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()
    run = EvalRun(
        id="",
        at_us=now_us,
        target=target.name,
        golden=golden_digest(each),
        scorers=scorer_versions(each, scorers, embedder),
        results=tuple(results),
    )
    return replace(run, id=f"E-{hashlib.sha256(dump(run).encode()).hexdigest()[:16]}")


def _ask(target: Target, case: Case) -> Output | str:
    """The output, or why there is none."""
    begun = time.perf_counter()
    try:
        output = target.ask(case)
    except SeamError as error:
        return quoted(str(error), 500)[1:-1]
    except (Exception, SystemExit) as error:  # whatever a user's function raises is that case's error
        return f"{type(error).__name__}: {quoted(str(error), 300)}"
    took_s = time.perf_counter() - begun
    return Output(
        answer=None if output.answer is None else _unicode(output.answer),
        contexts=tuple(_unicode(c) for c in output.contexts),
        latency_s=took_s if output.latency_s is None else output.latency_s,
    )


def _score(case: Case, output: Output | str, scorers: Mapping[str, Scorer], embedder: Embedder) -> CaseResult:
    if isinstance(output, str):
        return CaseResult(case_id=case.id, outcome="error", detail=output, risk_category=case.risk_category)
    try:
        return score_case(case, output, scorers, embedder)
    except Exception as error:
        detail = f"scorer {case.metric}: {type(error).__name__}: {quoted(str(error), 300)}"
        return CaseResult(
            case_id=case.id, outcome="error", answer=output.answer, detail=detail, risk_category=case.risk_category
        )


def _unicode(text: str) -> str:
    """The text with halves of surrogate pairs replaced: JSON can spell them, but nothing can keep them."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
