"""One output of a target becomes pass, fail or error, by the scorer that found the failure or by what the case expects."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from andon.errors import AndonError
from andon.evals.records import CaseResult, CaseScorer, Measured, Output
from andon.evals.scorers.matching import SIMILAR, SIMILARITY, compare_meaning, fails_again, right_unless
from andon.golden import Case
from andon.golden.cases import case_digest
from andon.scores import LABELS, Embedder, Scorer, answers_match, failing
from andon.traffic import Context, Interaction
from andon.traffic.quoting import quoted

__all__ = ["GOLD", "LONG_WORDS", "SIMILAR", "measured_by", "score_case", "scorer_versions"]

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


def score_case(
    case: Case, output: Output, scorers: Mapping[str, Scorer | CaseScorer], embedder: Embedder
) -> CaseResult:
    """The result of one case.

    - A missing answer fails, whatever the metric; only a case scorer of tool calls looks at calls without an answer.
    - A metric with a case scorer: what it says of the case and the output (`andon.evals.scorers`).
    - A metric of `GOLD`: the answer passes when it equals the right one (`answers_match`). Where the right answer has more
      than `LONG_WORDS` words, it passes when its cosine with the right answer is at least `SIMILAR` and greater than its
      cosine with the answer that failed. The failing answer itself never passes.
    - Any other metric: its scorer's number, against the case's direction and cut, as on live traffic. Contexts are those
      that the target gave, `()` included; those of the case only where it says nothing of any.
    - No scorer of that name, a scorer that does not apply, a number without a cut, an expectation that cannot be read, a
      judge that cannot be asked: an execution error, with the reason.

    The cost is the output's and the judge's together. Attempt, cluster and latency are for the caller to add.

    Args:
        case: what was asked, and what is right.
        output: what the target gave.
        scorers: measures by metric, as `scorers_for` makes them.
        embedder: the embedder of similarities.
    """
    return replace(_scored(case, output, scorers, embedder), measured=measured_by(case, scorers, embedder))


def measured_by(case: Case, scorers: Mapping[str, Scorer | CaseScorer], embedder: Embedder) -> str:
    """What decides whether an answer to a case passes: its scorers with their versions, and the digest of what it tests.

    Two results that differ in it are results of two measures: a looser metric or cut makes no version better.
    """
    return f"{scorer_versions([case], scorers, embedder)} {case_digest(case)}".strip()


def scorer_versions(cases: Iterable[Case], scorers: Mapping[str, Scorer | CaseScorer], embedder: Embedder) -> str:
    """The versions of all that judged these cases, as ``name@version`` with spaces between, sorted.

    A measure that asks the embedder carries its name, so that another embedder is another measure.
    """
    used: set[str] = set()
    for case in cases:
        scorer = scorers.get(case.metric)
        if isinstance(scorer, CaseScorer):
            used.add(f"{scorer.name}@{scorer.version}" + (f"+{embedder.name}" if scorer.embeds else ""))
            continue
        scorer = scorers.get("normalised_match") if case.metric in GOLD else scorer
        if isinstance(scorer, Scorer):
            used.add(f"{scorer.name}@{scorer.version}" + (f"+{embedder.name}" if scorer.texts else ""))
        if case.metric in GOLD and _long(case):
            used.add(f"{SIMILARITY.name}@{SIMILARITY.version}+{embedder.name}")
    return " ".join(sorted("_".join(each.split()) for each in used))


def _scored(case: Case, output: Output, scorers: Mapping[str, Scorer | CaseScorer], embedder: Embedder) -> CaseResult:
    scorer = scorers.get(case.metric)
    answered = output.answer is not None and bool(output.answer.strip())
    if not answered and not (isinstance(scorer, CaseScorer) and not scorer.needs_answer and output.tool_calls):
        return _result(case, output, False, None, "no answer; a missing answer never passes")
    if case.metric in GOLD and not isinstance(scorer, CaseScorer):
        return _decided(case, output, _compare(case, output.answer or "", embedder), "binary")
    if scorer is None:
        return _error(case, output, f"there is no scorer {quoted(case.metric)}; known: {', '.join(sorted(scorers))}")
    try:
        found = _measure(case, output, scorer, embedder)
    except AndonError as error:
        return _error(case, output, f"{case.metric}: {error}")
    return _decided(case, output, found, scorer.kind if isinstance(scorer, Scorer) else "number")


def _decided(case: Case, output: Output, found: Measured | None, kind: str) -> CaseResult:
    """By the measure itself, or by its number and the case's direction and cut."""
    if found is None:
        return _error(case, output, f"{case.metric} does not apply to this output")
    if not math.isfinite(found.value):
        return _error(case, output, f"{case.metric} gave {found.value}; a finite number is allowed")
    if found.passed is not None:
        return _result(case, output, found.passed, found.value, found.detail, found)
    if kind == "number" and case.cut is None:
        said = f"{case.metric} is a number and the case has no cut; give the bound that a passing answer keeps"
        return _error(case, output, said)
    operator, bound = failing(kind, case.direction, case.cut)
    passed = found.value < bound if operator == "ge" else found.value >= bound
    detail = f"{case.metric} {found.value:.4g}, fails {'from' if operator == 'ge' else 'below'} {bound:.4g}"
    return _result(case, output, passed, found.value, f"{detail}; {found.detail}" if found.detail else detail, found)


def _measure(case: Case, output: Output, scorer: Scorer | CaseScorer, embedder: Embedder) -> Measured | None:
    if isinstance(scorer, CaseScorer):
        return scorer.score(case, output, embedder)
    value = scorer.score(_interaction(case, output), embedder)
    return None if value is None else Measured(value=value, detail="")


def _compare(case: Case, answer: str, embedder: Embedder) -> Measured:
    if again := fails_again(case, answer):
        return again
    if _long(case):
        return compare_meaning(case, answer, SIMILAR, embedder)
    return right_unless(
        None if answers_match(answer, case.ground_truth) else "the answer is not the right one",
        "the answer equals the right one",
    )


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
        contexts=tuple(Context(text=t) for t in output.passages(case)),
        tool_calls=output.tool_calls,
        risk_category=case.risk_category,
        latency_s=output.latency_s,
        expected_answer=case.ground_truth,
    )


def _result(
    case: Case, output: Output, passed: bool, value: float | None, detail: str, found: Measured | None = None
) -> CaseResult:
    spent = [c for c in (output.cost_usd, None if found is None else found.cost_usd) if c is not None]
    return CaseResult(
        case_id=case.id,
        outcome="pass" if passed else "fail",
        value=value,
        judged=() if found is None else found.judged,
        judged_by="" if found is None else found.by,
        answer=output.answer,
        detail=detail,
        risk_category=case.risk_category,
        cost_usd=sum(spent) if spent else None,
    )


def _error(case: Case, output: Output, detail: str) -> CaseResult:
    return CaseResult(
        case_id=case.id,
        outcome="error",
        answer=output.answer,
        detail=detail,
        risk_category=case.risk_category,
        cost_usd=output.cost_usd,
    )
