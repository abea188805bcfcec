"""Two arms, looked at whenever one likes: evidence that keeps its error rate at every look.

An e-process is a bet against a hypothesis that is fair or worse while the hypothesis holds: it starts at 1, and its
expectation is at most 1 at any time, however that time was chosen. So ``P(it ever reaches 1/alpha) <= alpha`` (Ville). All
functions here give its natural logarithm after each batch: the hypothesis is rejected at the first look at which that is
``log(1/alpha)`` or more, and stays rejected; ``exp(-highest so far)`` is a p-value that may be read at any look. A batch is what
came since the last look: an hour, a day. Rates may differ from batch to batch (days of the week, a ramp of the share): nothing
is lost but power, as long as the hypothesis holds in each batch.

Which: harm is shown by `guardrail_e`, its absence up to a margin by `noninferiority_e`, a broken split by `split_e`. Rollouts use
the last alone: their end is planned, and there `group_sequential` needs about 0.6 of the sample (docs/decisions/017).
`sequences.asymptotic_half_width`, for an interval, or for means.

Sources: Turner, Ly & Gruenwald, *Generic E-variables for exact sequential k-sample tests that allow for optional stopping*,
Journal of Statistical Planning and Inference 230 (2024); Turner & Gruenwald, *Exact anytime-valid confidence intervals for
contingency tables and beyond*, Statistics & Probability Letters 198 (2023); Lindon & Malek, *Anytime-valid inference for
multinomial count data*, Advances in Neural Information Processing Systems 35 (2022).
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

__all__ = ["guardrail_e", "noninferiority_e", "split_e"]

Floats = NDArray[np.float64]

FACTORS: Floats = 2.0 ** np.arange(-2.0, 3.25, 0.5)
WEIGHTS: Floats = np.exp(-np.abs(np.log2(FACTORS))) / np.exp(-np.abs(np.log2(FACTORS))).sum()
"""The mixture over effects: a quarter to eight times the planned log odds ratio, less weight for what is further from it."""

LEVELS = 7
"""Rates of the control that a batch is bet on: quantiles of what earlier batches say about it."""

SHIFTS: Floats = np.geomspace(0.005, 3.0, 10)
"""Departures from the planned split that are looked for, on either side, as logarithms of the ratio of the odds."""

_HALVINGS = 45
"""Of the interval in which the nearest null point lies; the error of a log e-value is about n times 2 to the minus this."""

_EDGE = 1e-9
"""Rates nearer to 0 or 1 than this are not bet on."""


def guardrail_e(batches: ArrayLike, margin: float = 0.0, *, ratio: float = 1.5) -> Floats:
    """Log e-value after each batch against "the treatment's rate of harm is at most the control's plus `margin`".

    ``e = sum_j w_j prod_batches mean_l L(a_jl) / L(q_jl)``: for each of several effects j and rates l of the control,
    likelihood of the batch under an alternative a = (p, r), r having j times the odds of p + margin, against the point
    q = (s, s + margin) of the null that is nearest to a in Kullback-Leibler divergence for the sizes of this batch. The
    rates l are quantiles of the Beta(x + 1/2, n - x + 1/2) of the control's earlier batches, so a bet never sees what it is
    settled by. Each ratio has expectation at most 1 at every point of the null, for any sizes, shares and margin: by the
    inequality of means it is at most the n-th power of a mean of linear functions of the point, and q being nearest
    bounds that mean by 1. So no large sample is needed, and 5 % against 95 % is as valid as half and half.

    For "the treatment is better", hand the arms over the other way round.

    Args:
        batches: rows (events of the control, its size, events of the treatment, its size), in order of time, shape (b, 4). A
            batch without one of the arms says nothing, and leaves e as it was; but its control tells later bets the rate, so a
            first row of the control's history, with no treatment, makes a first batch count that is large. Counts may be
            divided by a design effect where interactions come in users; see docs/methods/e-process.md for what that keeps.
        margin: largest harm that is accepted, as a difference of rates, at least 0 and below 1.
        ratio: odds ratio beyond the margin for which it shall be quickest, above 1; chosen beforehand. Any is valid.

    Returns:
        Natural logarithms, shape (b,).

    Raises:
        ValueError: on counts that are not 0 <= events <= size, or a margin or ratio that is not allowed.

    Sources: Turner, Ly & Gruenwald (2024) (ratios to the nearest point; rates plugged in from earlier batches); Turner &
    Gruenwald (2023) (differences of rates). Where we differ: a mixture over effects, not one
    plugged-in pair, so that the first batch counts.
    """
    if not ratio > 1:
        raise ValueError(f"ratio={ratio} must be above 1: the odds ratio of harm that shall be found quickest")
    if not 0 <= margin < 1:
        raise ValueError(f"margin={margin} must be at least 0 and below 1")
    return _log_e(*_arms(batches), margin, math.log(ratio))


def noninferiority_e(batches: ArrayLike, margin: float) -> Floats:
    """Log e-value after each batch against "the treatment's rate of harm is at least the control's plus `margin`".

    When it reaches ``log(1/alpha)``, the guardrail is passed: the treatment is not worse by the margin. It is `guardrail_e` on
    what was not harmed, with the margin on the other side, and quickest where the rates are equal.

    Args:
        batches: as in `guardrail_e`, shape (b, 4).
        margin: harm that must be excluded, as a difference of rates, above 0 and below 1.

    Returns:
        Natural logarithms, shape (b,).
    """
    if not 0 < margin < 1:
        raise ValueError(
            f"margin={margin} must be above 0 and below 1; to show that the treatment is better, hand guardrail_e the arms"
            " the other way round"
        )
    x_c, n_c, x_t, n_t = _arms(batches)
    return _log_e(n_c - x_c, n_c, n_t - x_t, n_t, -margin, None)


def split_e(n_control: ArrayLike, n_treatment: ArrayLike, planned_share: ArrayLike) -> Floats:
    """Log e-value after each batch against "each user goes to the treatment with the planned probability".

    ``e = mean_d exp(d T - sum_batches n log(1 - s + s exp(d)))``, T the users of the treatment and s the planned share: a mixture
    of likelihood ratios over shifts d of the log odds on either side. An alarm at ``log(1/0.001)`` has the usual error rate
    of a check of the sample ratio, at all looks together.

    Args:
        n_control: new users of the control in each batch, shape (b,).
        n_treatment: new users of the treatment, shape (b,).
        planned_share: share of the treatment, one number, or one for each batch of a ramp, shape (b,), between 0 and 1. What
            the users are: whatever was drawn. Interactions of one user are no draws.

    Returns:
        Natural logarithms, shape (b,).

    Source: Lindon & Malek (2022). Where we differ: shifts on a grid that is even in their logarithm
    instead of a Dirichlet prior, so that no concentration must be chosen and the share may change.
    """
    control, treated = (np.asarray(n, dtype=np.float64).reshape(-1) for n in (n_control, n_treatment))
    if control.shape != treated.shape or not bool(
        np.all((control >= 0) & (treated >= 0) & np.isfinite(control + treated))
    ):
        raise ValueError(
            "n_control and n_treatment must be equally many counts of 0 or more, one of each for every batch"
        )
    share = np.broadcast_to(np.asarray(planned_share, dtype=np.float64), control.shape)
    if not bool(np.all((share > 0) & (share < 1))):
        raise ValueError(f"planned_share={planned_share!r} must be between 0 and 1, both excluded")
    shifts = np.concatenate([-SHIFTS, SHIFTS])
    each = treated[:, None] * shifts - (control + treated)[:, None] * np.log1p(share[:, None] * np.expm1(shifts))
    return np.asarray(special.logsumexp(np.cumsum(each, axis=0), axis=1) - math.log(len(shifts)))


def _log_e(x_c: Floats, n_c: Floats, x_t: Floats, n_t: Floats, margin: float, effect: float | None) -> Floats:
    """Log e-values against "p_t <= p_c + margin"; `effect` is the planned log odds ratio, None for equal rates."""
    seen, size = (np.cumsum(each) - each for each in (x_c, n_c))  # of the control, before each batch
    quantiles = (np.arange(LEVELS) + 0.5) / LEVELS
    level = special.betaincinv(seen[:, None] + 0.5, (size - seen)[:, None] + 0.5, quantiles)[:, None, :]
    both = ((n_c > 0) & (n_t > 0))[:, None, None]  # one arm alone says nothing
    bet = both & (level > _EDGE) & (level < 1 - _EDGE) & (level + margin > _EDGE) & (level + margin < 1 - _EDGE)
    control = np.where(bet, level, 0.5 - margin / 2)  # (batches, 1, levels)
    edge = special.logit(control + margin)
    planned = special.logit(control) - edge if effect is None else effect
    treated = np.minimum(special.expit(edge + planned * FACTORS[:, None]), 1 - 1e-12)  # (batches, effects, levels)
    null = _nearest(control, treated, n_c[:, None, None], n_t[:, None, None], margin)
    log_ratio = _log_ratio(x_c, n_c, control, null) + _log_ratio(x_t, n_t, treated, null + margin)
    batch = special.logsumexp(np.where(bet, log_ratio, 0.0), axis=2) - math.log(LEVELS)
    return np.asarray(special.logsumexp(np.cumsum(batch, axis=0), b=WEIGHTS, axis=1))


def _nearest(control: Floats, treated: Floats, n_c: Floats, n_t: Floats, margin: float) -> Floats:
    """The s at which (s, s + margin) is nearest to (control, treated): where the derivative of the divergence is 0."""
    low, high = np.broadcast_to(control, treated.shape), np.minimum(treated - margin, 1.0)
    for _ in range(_HALVINGS):
        s = (low + high) / 2
        t = s + margin
        before = n_c * (s - control) * t * (1 - t) + n_t * (t - treated) * s * (1 - s) < 0
        low, high = np.where(before, s, low), np.where(before, high, s)
    return np.asarray((low + high) / 2)


def _log_ratio(x: Floats, n: Floats, alternative: Floats, null: Floats) -> Floats:
    """Log likelihood ratio of x events among n, shape (batches, effects, levels)."""
    events, others = x[:, None, None], (n - x)[:, None, None]
    return np.asarray(events * np.log(alternative / null) + others * np.log((1 - alternative) / (1 - null)))


def _arms(batches: ArrayLike) -> tuple[Floats, Floats, Floats, Floats]:
    rows = np.asarray(batches, dtype=np.float64)
    if rows.size == 0:
        rows = rows.reshape(0, 4)
    if rows.ndim != 2 or rows.shape[1] != 4:
        raise ValueError(f"batches have shape {rows.shape}; (b, 4) is needed: events and size of control and treatment")
    x, n = rows[:, 0::2], rows[:, 1::2]
    wrong = np.flatnonzero(~((x >= 0) & (x <= n) & np.isfinite(n)).all(axis=1))
    if len(wrong):
        raise ValueError(
            f"batch {wrong[0]} is {rows[wrong[0]].tolist()}; events must be between 0 and the size of their arm"
        )
    return rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3]
