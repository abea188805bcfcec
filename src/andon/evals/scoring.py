"""One output of a target becomes pass, fail or error, by the scorer that found the failure."""

import math
from collections.abc import Iterable, Mapping

from andon.evals.records import CaseResult, Output
from andon.golden import Case, same_text
from andon.scores import LABELS, Embedder, Scorer, answers_match, failing
from andon.traffic import Context, Interaction
from andon.traffic.quoting import quoted

__all__ = ["GOLD", "LONG_WORDS", "SIMILAR", "score_case", "scorer_versions"]

GOLD = frozenset(
    (
        *LABELS,
        *("normalised_match", "truncated", "tool_error", "tool_retries", "tool_calls", "escalation", "guardrail_block"),
        *("retrieval_score", "confidence", "first_token_s", "input_tokens", "output_tokens", "reasoning_tokens"),
        *("cache_hit", "cost_usd"),
    )
)
"""Metrics for which an answer is compared with the right one: what people or the live system say, a target cannot return."""

LONG_WORDS = 12
"""A right answer of more words than this is compared by meaning: nobody repeats it to the letter."""

SIMILAR = 0.75
"""Cosine of an answer and a long right answer from which the answer passes."""

SIMILARITY = "similarity@1"


def score_case(case: Case, output: Output, scorers: Mapping[str, Scorer], embedder: Embedder) -> CaseResult:
    """The result of one case.

    - A missing answer fails, whatever the metric.
    - A metric of `GOLD`: the answer passes when it equals the right one (`answers_match`). Where the right answer has more
      than `LONG_WORDS` words, it passes when its cosine with the right answer is at least `SIMILAR` and greater than its
      cosine with the answer that failed. The failing answer itself never passes.
    - Any other metric: its scorer's number, against the case's direction and cut, as on live traffic. Contexts are those
      that the target gave, else those of the case.
    - No scorer of that name, a scorer that does not apply, a number without a cut: an execution error, with the reason.
    """
    if output.answer is None or not output.answer.strip():
        return _result(case, output, False, None, "no answer; a missing answer never passes")
    if case.metric in GOLD:
        return _compare(case, output, output.answer, embedder)
    return _measure(case, output, scorers, embedder)


def scorer_versions(cases: Iterable[Case], scorers: Mapping[str, Scorer], embedder: Embedder) -> str:
    """The versions of all that judged these cases, as ``name@version`` with spaces between, sorted.

    A measure that asks the embedder carries its name, so that another embedder is another measure.
    """
    used: set[str] = set()
    model = embedder.name
    for case in cases:
        scorer = scorers.get("normalised_match" if case.metric in GOLD else case.metric)
        if scorer is not None:
            used.add(f"{scorer.name}@{scorer.version}" + (f"+{model}" if scorer.texts else ""))
        if case.metric in GOLD and _long(case):
            used.add(f"{SIMILARITY}+{model}")
    return " ".join(sorted("_".join(each.split()) for each in used))


def _measure(case: Case, output: Output, scorers: Mapping[str, Scorer], embedder: Embedder) -> CaseResult:
    scorer = scorers.get(case.metric)
    if scorer is None:
        return _error(case, output, f"there is no scorer {quoted(case.metric)}; known: {', '.join(sorted(scorers))}")
    if scorer.kind == "number" and case.cut is None:
        return _error(
            case,
            output,
            f"{case.metric} is a number and the case has no cut; give the bound that a passing answer keeps",
        )
    value = scorer.score(_interaction(case, output), embedder)
    if value is None:
        return _error(case, output, f"{case.metric} does not apply to this output")
    if not math.isfinite(value):
        return _error(case, output, f"{case.metric} gave {value}; a finite number is allowed")
    operator, bound = failing(scorer.kind, case.direction, case.cut)
    passed = not (value >= bound if operator == "ge" else value < bound)
    return _result(
        case,
        output,
        passed,
        value,
        f"{case.metric} {value:.4g}, fails {'from' if operator == 'ge' else 'below'} {bound:.4g}",
    )


def _compare(case: Case, output: Output, answer: str, embedder: Embedder) -> CaseResult:
    failed = None if not case.answer or same_text(case.answer, case.ground_truth) else case.answer
    if failed is not None and same_text(answer, failed):
        return _result(case, output, False, 0.0, "the answer is the one that failed before")
    if not _long(case):
        passed = answers_match(answer, case.ground_truth)
        return _result(
            case, output, passed, float(passed), f"the answer {'equals' if passed else 'is not'} the right one"
        )
    vectors = embedder.embed((answer, case.ground_truth, *([] if failed is None else [failed])))
    to_right = float(vectors[0] @ vectors[1])
    passed, detail = (
        to_right >= SIMILAR,
        f"cosine {to_right:.3f} with the right answer, passes from {SIMILAR} ({embedder.name})",
    )
    if failed is not None:
        to_failed = float(vectors[0] @ vectors[2])
        passed = passed and to_right > to_failed
        detail += f"; {to_failed:.3f} with the one that failed, which must be less"
    return _result(case, output, passed, to_right, detail)


def _long(case: Case) -> bool:
    return len(case.ground_truth.split()) > LONG_WORDS


def _interaction(case: Case, output: Output) -> Interaction:
    return Interaction(
        id=case.id,
        time_us=0,
        app=case.app,
        environment="eval",
        query=case.question,
        answer=output.answer,
        contexts=tuple(Context(text=t) for t in output.contexts or case.contexts),
        risk_category=case.risk_category,
        latency_s=output.latency_s,
        expected_answer=case.ground_truth,
    )


def _result(case: Case, output: Output, passed: bool, value: float | None, detail: str) -> CaseResult:
    return CaseResult(
        case_id=case.id,
        outcome="pass" if passed else "fail",
        value=value,
        answer=output.answer,
        detail=detail,
        risk_category=case.risk_category,
    )


def _error(case: Case, output: Output, detail: str) -> CaseResult:
    return CaseResult(
        case_id=case.id, outcome="error", answer=output.answer, detail=detail, risk_category=case.risk_category
    )
