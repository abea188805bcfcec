"""The same cases run twice: did the second run do worse?"""

from dataclasses import dataclass

from scipy import stats

__all__ = ["Paired", "compare_paired"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """A paired comparison of pass/fail: what was lost, what was gained, and how surprising that is."""

    n: int
    lost: int
    """Cases that passed before and fail now."""
    gained: int
    """Cases that failed before and pass now."""
    p_worse: float
    """Exact one-sided p-value that losses outnumber gains by chance."""
    p_better: float
    """Exact one-sided p-value that gains outnumber losses by chance."""


def compare_paired(n: int, lost: int, gained: int) -> Paired:
    """McNemar's exact test: of the cases that differ, each is lost or gained with probability 1/2 under no change.

    Assumes that cases are independent; repeats of one case are not cases. Use instead: an unpaired comparison
    (`difference`) when the two runs hold different cases.

    Source: McNemar, Psychometrika 12 (1947), 153-157, in the exact binomial form.
    """
    if lost < 0 or gained < 0 or lost + gained > n:
        raise ValueError(f"lost={lost} and gained={gained} must be counts within n={n}")
    differing = lost + gained
    if differing == 0:
        return Paired(n=n, lost=0, gained=0, p_worse=1.0, p_better=1.0)
    return Paired(
        n=n,
        lost=lost,
        gained=gained,
        p_worse=float(stats.binomtest(lost, differing, 0.5, alternative="greater").pvalue),
        p_better=float(stats.binomtest(gained, differing, 0.5, alternative="greater").pvalue),
    )
