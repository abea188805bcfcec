"""Repeats are data: how often a case passes, whether it is flaky, and how much of the spread is the judge's own. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from andon.errors import InputError
from andon.evals.records import CaseResult
from andon.stats import clopper_pearson

__all__ = [
    "AtK",
    "Flake",
    "Repeats",
    "Spread",
    "attempts_of",
    "counts_of",
    "flake_of",
    "flakes_of",
    "pass_at_k",
    "pass_hat_k",
    "repeats_of",
    "spread_of",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class AtK:
    """A rate over cases of which each was attempted at least `k` times."""

    k: int
    value: float | None
    """None: it cannot be told, because no case was attempted so often."""
    cases: int
    """Cases that it is the mean of: those of which fewer than `k` attempts ran are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flake:
    """How one case behaved over its attempts."""

    case: str
    passed: int
    ran: int
    errors: int = 0
    """Attempts that could not run: they count neither way."""
    word: Literal["always", "never", "flaky", "cannot tell"]
    """``always`` and ``never`` are what was seen; the interval says what may be. Fewer than two attempts: cannot tell."""
    low: float | None = None
    high: float | None = None
    """Exact 95 % interval of the chance that two attempts disagree, 0 to 0.5."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Where the spread of judged values comes from: the answers of one question, or the judge of one answer."""

    answers: float | None
    """Variance between answers to the same case. None: no case has two judged answers."""
    judge: float | None
    """Variance between judgements of the same answer. None: no answer was judged twice."""
    truncated: bool = False
    """The estimate between answers was negative and is given as 0: the judge's own spread explains all of it."""
    share: float | None = None
    """Share of the judge in the variance of a single judgement, 0 to 1."""
    cases: int
    judgements: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """What the repeats of one run say."""

    cases: int
    at_least_one: tuple[AtK, ...]
    """pass@k for k = 1, 2, ..., up to the most attempts of a case."""
    all_of: tuple[AtK, ...]
    """pass^k for the same k."""
    always: int
    never: int
    flaky: int
    untold: int
    """Cases with fewer than two attempts that ran."""
    flake_rate: float | None
    """Chance that two attempts at a case disagree, mean over the cases for which it can be told: pass@2 less pass^2. By luck of
    the draw that may be more than 0.5, which no chance ``2 p (1 - p)`` is; then 0.5 is given."""
    flakes: tuple[Flake, ...]
    """Flaky cases, those that pass nearest to half of the time first."""
    spread: Spread


def pass_at_k(passed: ArrayLike, ran: ArrayLike, k: int) -> AtK:
    """pass@k: the chance that at least one of `k` attempts at a case passes, mean over cases.

    ``1 - C(n - c, k) / C(n, k)`` for c passes of n attempts: unbiased, unlike ``1 - (1 - c/n)**k``. Computed as the product
    ``1 - prod_{i = n-c+1..n} (1 - k/i)``, for all cases at once.

    Args:
        passed: c of each case, whole numbers.
        ran: n of each case; attempts that could not run do not count. A case with n < k is left out.
        k: 1 or more.

    Source: Chen et al., Evaluating Large Language Models Trained on Code, arXiv:2107.03374 (2021), equation 1.
    Use instead: `pass_hat_k` where every attempt has to be right (an agent that serves customers).

    Raises:
        InputError: k is less than 1, or a case has more passes than attempts.
    """
    c, n = _checked(passed, ran, k)
    return AtK(k=k, value=_mean(1.0 - _share(n - c, n, k)), cases=len(n))


def pass_hat_k(passed: ArrayLike, ran: ArrayLike, k: int) -> AtK:
    """pass^k: the chance that all of `k` attempts at a case pass, mean over cases: ``C(c, k) / C(n, k)``, unbiased.

    Arguments and errors as for `pass_at_k`.

    Source: Yao et al., tau-bench: A Benchmark for Tool-Agent-User Interaction in Real-World Domains, arXiv:2406.12045 (2024),
    section 3. Use instead: `pass_at_k` where a checker picks the right one of several attempts.
    """
    c, n = _checked(passed, ran, k)
    return AtK(k=k, value=_mean(_share(c, n, k)), cases=len(n))


def flake_of(case: str, passed: int, ran: int, errors: int = 0) -> Flake:
    """How one case behaved, and the interval of the chance ``2 p (1 - p)`` that two attempts disagree.

    The interval is the image of the exact (Clopper-Pearson) interval of p, so it covers at least 95 % of the time; five passes
    of five still allow a chance of 0.5.

    Raises:
        InputError: more passes than attempts.
    """
    if not 0 <= passed <= ran:
        raise InputError(f"{passed} passes of {ran} attempts; at most as many passes as attempts are allowed")
    if ran < 2:
        return Flake(case=case, passed=passed, ran=ran, errors=errors, word="cannot tell")
    low, high = clopper_pearson(passed, ran)
    ends = (2 * low * (1 - low), 2 * high * (1 - high))
    return Flake(
        case=case,
        passed=passed,
        ran=ran,
        errors=errors,
        word="always" if passed == ran else "flaky" if passed else "never",
        low=min(ends),
        high=0.5 if low <= 0.5 <= high else max(ends),
    )


def attempts_of(results: Iterable[CaseResult]) -> dict[str, list[CaseResult]]:
    """Case -> its attempts, in the order of the run."""
    found = defaultdict[str, list[CaseResult]](list)
    for r in results:
        found[r.case_id].append(r)
    return dict(found)


def counts_of(results: Iterable[CaseResult]) -> tuple[int, int, int]:
    """How many attempts passed, how many failed, and how many could not run."""
    said = [r.outcome for r in results]
    return said.count("pass"), said.count("fail"), said.count("error")


def flakes_of(results: Iterable[CaseResult]) -> list[Flake]:
    """How each case of a run behaved, in the order of the run."""
    counts = {case: counts_of(each) for case, each in attempts_of(results).items()}
    return [flake_of(case, passed, passed + failed, errors) for case, (passed, failed, errors) in counts.items()]


def spread_of(judged: Iterable[Sequence[Sequence[float]]]) -> Spread:
    """The variance of judged values between answers to one case, apart from that between judgements of one answer.

    One-way random effects within each case, pooled over cases, by the method of moments: with a answers of n_j judgements,
    ``MSW = SSW / sum (n_j - 1)`` and ``MSB = SSB / sum (a - 1)``; the judge's variance is MSW, that of the answers
    ``(MSB - MSW) / n0`` with ``n0 = sum over cases of (N - sum n_j^2 / N) / sum (a - 1)``. A negative estimate is given as 0.

    Args:
        judged: for each case its answers, for each answer its judgements.

    Assumes that the variances are alike from case to case. With all judgements equal both variances are 0.
    Source: Searle, Casella & McCulloch, Variance Components (1992), section 3.6 (unbalanced data); for one case and
    equal numbers the textbook estimate. We differ in that cases are fixed: their differences are in neither variance.
    """
    ssw = ssb = size = 0.0
    df_within = df_between = cases = count = 0
    for case in judged:
        answers = [np.asarray(a, np.float64) for a in case if len(a)]
        if not answers:
            continue
        sizes = np.array([len(a) for a in answers], np.float64)
        means = np.array([a.mean() for a in answers])
        total = sizes.sum()
        cases, count = cases + 1, count + int(total)
        ssw += sum(float(((a - m) ** 2).sum()) for a, m in zip(answers, means, strict=True))
        ssb += float((sizes * (means - (sizes * means).sum() / total) ** 2).sum())
        size += float(total - (sizes**2).sum() / total)
        df_within += int(total) - len(answers)
        df_between += len(answers) - 1
    judge = ssw / df_within if df_within else None
    between = None if not df_between or judge is None else (ssb / df_between - judge) / (size / df_between)
    answers_var = None if between is None else max(between, 0.0)
    whole = None if answers_var is None or judge is None else answers_var + judge
    return Spread(
        answers=answers_var,
        judge=judge,
        truncated=between is not None and between < 0,
        share=judge / whole if judge is not None and whole else None,
        cases=cases,
        judgements=count,
    )


def repeats_of(results: Iterable[CaseResult]) -> Repeats:
    """What the repeats of one run say: pass@k and pass^k for every k, which cases are flaky, whose the spread is."""
    results = list(results)
    flakes = flakes_of(results)
    passed, ran = [f.passed for f in flakes], [f.ran for f in flakes]
    ks = range(1, max(ran, default=0) + 1)
    words = [f.word for f in flakes]
    one, both = (rate(passed, ran, 2).value for rate in (pass_at_k, pass_hat_k))
    return Repeats(
        cases=len(flakes),
        at_least_one=tuple(pass_at_k(passed, ran, k) for k in ks),
        all_of=tuple(pass_hat_k(passed, ran, k) for k in ks),
        always=words.count("always"),
        never=words.count("never"),
        flaky=words.count("flaky"),
        untold=words.count("cannot tell"),
        flake_rate=None if one is None or both is None else min(0.5, one - both),
        flakes=tuple(sorted((f for f in flakes if f.word == "flaky"), key=lambda f: abs(f.passed / f.ran - 0.5))),
        spread=spread_of([r.judged for r in each] for each in attempts_of(results).values()),
    )


def _checked(passed: ArrayLike, ran: ArrayLike, k: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    c, n = np.asarray(passed, np.int64), np.asarray(ran, np.int64)
    if k < 1:
        raise InputError(f"k is {k}; 1 or more is allowed")
    if c.shape != n.shape or c.ndim != 1:
        raise InputError(
            f"passes of shape {c.shape} and attempts of shape {n.shape}; two lists of one length are allowed"
        )
    if bool(((c < 0) | (c > n)).any()):
        raise InputError("a case has more passes than attempts, or fewer than none")
    enough = n >= k
    return c[enough], n[enough]


def _share(part: NDArray[np.int64], whole: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """``C(part, k) / C(whole, k)``: all of k drawn without putting back are of the part."""
    drawn = np.arange(k)
    left = np.maximum(part[:, None] - drawn, 0).astype(np.float64)
    return np.asarray((left / (whole[:, None] - drawn)).prod(axis=1), np.float64)


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(values.mean()) if len(values) else None
