"""What a sample shows about an absolute limit, and how much of an error budget is spent."""

import math
from dataclasses import dataclass
from numbers import Integral
from typing import Literal

import scipy

from andon import stats
from andon.errors import InputError
from andon.traffic import quoted

__all__ = [
    "GREATEST_LIMIT",
    "LEAST_LIMIT",
    "ErrorBudget",
    "LimitVerdict",
    "clean_sample",
    "error_budget",
    "p_text",
    "percent",
    "valid_limit",
    "verdict",
]

LEAST_LIMIT, GREATEST_LIMIT = 1e-6, 0.999
"""Below one in a million no traffic shows anything, and a limit near 1 limits nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitVerdict:
    """What x harmful of n interactions show about a limit."""

    verdict: Literal["pass", "fail", "undecided"]
    """``fail``: the rate is surely above the limit. ``pass``: surely not. Else the sample does not decide."""
    reason: str
    x: int
    n: int
    at_most: float
    level: float
    probability_above: float | None
    """Posterior probability that the rate exceeds the limit; None where nothing was seen."""
    low: float
    high: float
    """Bounds of the rate; each holds with `level` by itself."""
    clean_n: int
    """Interactions that a sample without any harm must have to pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorBudget:
    """How much of the harm that an objective allows has happened."""

    allowed: float
    """Harmful interactions that the whole window may have, if traffic goes on as it came."""
    spent: float
    """Share of them that has happened; above 1 the objective is missed."""
    burn_rate: float
    """Rate of harm over the limit: at 1 the budget lasts exactly for the window, at 2 for half of it."""


def verdict(x: int, n: int, at_most: float, level: float = 0.95) -> LimitVerdict:
    """What x harmful of n interactions show about the limit `at_most`.

    The bounds are Clopper-Pearson's, each one-sided with `level` (together an interval of level ``2 level - 1``), so that
    verdict, bounds and `clean_sample` agree: ``fail`` when the lower one is above the limit, ``pass`` when the upper one
    is not. The probability is ``1 - F(at_most)`` of Jeffreys' posterior ``Beta(x + 1/2, n - x + 1/2)``.

    Assumes independent interactions and one look: whoever looks again and again needs the detector.

    Args:
        x: harmful interactions.
        n: interactions.
        at_most: the limit, a rate from 1e-6 to 0.999.
        level: above 0.5 and below 1.

    Raises:
        InputError: a value is out of range.

    Use instead: `andon.stats.edetector` to watch a limit; `andon.stats.clopper_pearson` for a two-sided interval.

    Source: Clopper & Pearson, Biometrika 26 (1934), 404-413. Brown, Cai & DasGupta, Statistical Science 16 (2001), 101-133,
    section 3.1 (Jeffreys).
    """
    x, n = _counts(x, n)
    clean_n = clean_sample(at_most, level)
    low, high = stats.clopper_pearson(x, n, 2 * level - 1)
    above = None if n == 0 else float(scipy.stats.beta.sf(at_most, x + 0.5, n - x + 0.5))
    word: Literal["pass", "fail", "undecided"] = "fail" if low > at_most else "pass" if high <= at_most else "undecided"
    sure = f"with {percent(level, 6)} confidence"
    if n == 0:
        reason = "no interaction yet"
    elif word == "fail":
        reason = f"{x:,} of {n:,} harmed: the rate is at least {percent(low)} {sure}, above {percent(at_most, 6)}"
    elif word == "pass":
        reason = f"{x:,} of {n:,} harmed: the rate is at most {percent(high)} {sure}, within {percent(at_most, 6)}"
    else:
        reason = f"{x:,} of {n:,} harmed: the rate may be {percent(low)} to {percent(high)}"
    if word == "undecided":
        reason += f"; a clean sample must have {clean_n:,} interactions to show a rate below {percent(at_most, 6)}"
    return LimitVerdict(
        verdict=word,
        reason=reason,
        x=x,
        n=n,
        at_most=at_most,
        level=level,
        probability_above=above,
        low=low,
        high=high,
        clean_n=clean_n,
    )


def clean_sample(at_most: float, level: float = 0.95) -> int:
    """How many interactions without any harm show that the rate is not above `at_most`, with one-sided confidence `level`.

    The least n with ``(1 - at_most)^n <= 1 - level``: 2,995 for 0.1 %, 998 for 0.3 %, 59 for 5 %.

    Raises:
        InputError: the limit or the level is out of range.

    Source: Hanley & Lippman-Hand, JAMA 249 (1983), 1743-1745 ("rule of three"); exact instead of 3 / at_most.
    """
    if not valid_limit(at_most):
        raise InputError(
            f"at_most = {quoted(at_most)} must be a rate from {LEAST_LIMIT:g} to {GREATEST_LIMIT}; 0.001 is 0.1 %"
        )
    if isinstance(level, bool) or not isinstance(level, int | float) or not 0.5 < level < 1:
        raise InputError(f"level = {quoted(level)} must be above 0.5 and below 1; 0.95 is usual")
    return max(1, math.ceil(math.log1p(-level) / math.log1p(-at_most) - 1e-9))


def error_budget(x: int, n: int, at_most: float, elapsed: float = 1.0) -> ErrorBudget | None:
    """The error budget of an objective; None where nothing was seen, which is neither spent nor unspent.

    ``allowed = at_most n / elapsed``, ``spent = x / allowed``, ``burn_rate = (x / n) / at_most``. Over a whole window spent
    and burn rate are the same; while it is young, a high burn rate has spent little as yet.

    Args:
        x: harmful interactions so far in the window.
        n: interactions so far in the window.
        at_most: the limit.
        elapsed: share of the window that x and n cover, above 0 and at most 1.

    Raises:
        InputError: a value is out of range.

    Source: Beyer et al., The Site Reliability Workbook (2018), ch. 5, "Alerting on Burn Rate".
    """
    x, n = _counts(x, n)
    if not valid_limit(at_most):
        raise InputError(
            f"at_most = {quoted(at_most)} must be a rate from {LEAST_LIMIT:g} to {GREATEST_LIMIT}; 0.001 is 0.1 %"
        )
    if isinstance(elapsed, bool) or not isinstance(elapsed, int | float) or not 0 < elapsed <= 1:
        raise InputError(f"elapsed = {quoted(elapsed)} must be a share of the window, above 0 and at most 1")
    if n == 0:
        return None
    burn_rate = x / n / at_most
    return ErrorBudget(allowed=at_most * n / elapsed, spent=burn_rate * elapsed, burn_rate=burn_rate)


def valid_limit(at_most: object) -> bool:
    """Whether this is a rate that a limit can have: 0 cannot be shown by any sample, 1 cannot be exceeded."""
    return (
        isinstance(at_most, int | float) and not isinstance(at_most, bool) and LEAST_LIMIT <= at_most <= GREATEST_LIMIT
    )


def p_text(p: float) -> str:
    """A p-value in words: ``p = 0.013``; below one in ten thousand, where models are wrong before the figure is, ``p < 0.0001``."""
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"


def percent(rate: float, digits: int = 3) -> str:
    """A rate for people: ``0.1 %``, ``2.95 %``."""
    return f"{100 * rate:.{digits}g} %"


def _counts(x: int, n: int) -> tuple[int, int]:
    for name, value in (("x", x), ("n", n)):
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise InputError(f"{name} = {quoted(value)} must be a whole number of interactions")
    if not 0 <= x <= n:
        raise InputError(f"x = {quoted(int(x))} must be from 0 to n = {quoted(int(n))}: harmful among all interactions")
    return int(x), int(n)
