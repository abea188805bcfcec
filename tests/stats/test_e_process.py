"""Laws of e-processes of two arms."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from andon.stats.e_process import guardrail_e, noninferiority_e, split_e

Sizes = list[tuple[int, int]]

BATCHES: dict[str, Sizes] = {
    "one batch": [(7, 5)],
    "a canary of 5 %": [(19, 1)],
    "mostly treatment": [(1, 12)],
    "two batches": [(3, 2), (2, 3)],
    "three batches, a ramp": [(4, 1), (2, 2), (1, 3)],
}
RATES = [0.0, 0.01, 0.1, 0.3, 0.5, 0.77, 0.95, 1.0]


def expectation(
    sizes: Sizes, rates: list[tuple[float, float]], log_e: Callable[[list[list[float]]], np.ndarray]
) -> float:
    """E[e] after the last batch, over all outcomes; rates of control and treatment for each batch."""
    arms = [(n, p) for size, rate in zip(sizes, rates, strict=True) for n, p in zip(size, rate, strict=True)]
    total = 0.0
    for outcome in itertools.product(*(range(n + 1) for n, _ in arms)):
        chance = math.prod(float(stats.binom.pmf(x, n, p)) for x, (n, p) in zip(outcome, arms, strict=True))
        if chance > 0:
            flat = [v for x, (n, _) in zip(outcome, arms, strict=True) for v in (x, n)]
            rows = [flat[k : k + 4] for k in range(0, len(flat), 4)]
            total += chance * math.exp(log_e(rows)[-1])
    return total


@pytest.mark.slow
@pytest.mark.parametrize("margin", [0.0, 0.05, 0.3])
@pytest.mark.parametrize("name", ["one batch", "a canary of 5 %", "mostly treatment"])
def test_the_expectation_is_at_most_one_under_every_point_of_the_null(name: str, margin: float) -> None:
    """Over all outcomes of a batch E[e] <= 1 wherever treatment <= control + margin, and nearly 1 somewhere on the edge."""
    most = 0.0
    for control, below in itertools.product(RATES, [0.0, 0.02, 0.2, 1.0]):
        rate = (control, min(1.0, max(0.0, control + margin - below)))
        found = expectation(BATCHES[name], [rate], lambda rows: guardrail_e(rows, margin, ratio=2.0))
        assert found <= 1 + 1e-9, rate
        most = max(most, found)
    assert most > 0.8


@pytest.mark.parametrize("margin", [0.05, 0.3])
@pytest.mark.parametrize("name", ["one batch", "a canary of 5 %", "mostly treatment"])
def test_so_it_is_for_the_other_side(name: str, margin: float) -> None:
    """Over all outcomes of a batch E[e] <= 1 wherever treatment >= control + margin."""
    most = 0.0
    for control, above in itertools.product([p for p in RATES if p + margin <= 1], [0.0, 0.02, 0.2, 1.0]):
        rate = (control, min(1.0, control + margin + above))
        found = expectation(BATCHES[name], [rate], lambda rows: noninferiority_e(rows, margin))
        assert found <= 1 + 1e-9, rate
        most = max(most, found)
    assert most > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("margin", [0.0, 0.1])
@pytest.mark.parametrize("name", ["two batches", "three batches, a ramp"])
def test_batches_may_have_rates_of_their_own(name: str, margin: float) -> None:
    """E[e] <= 1 over several batches whose rates differ, as long as the null holds in each: a bet sees earlier batches only."""
    sizes = BATCHES[name]
    for start in (0.05, 0.4, 0.7):
        rates = [(p, min(1.0, p + margin)) for p in (start, 0.9 - start, start / 2)[: len(sizes)]]
        assert expectation(sizes, rates, lambda rows: guardrail_e(rows, margin)) <= 1 + 1e-9
        if margin:
            assert expectation(sizes, rates, lambda rows: noninferiority_e(rows, margin)) <= 1 + 1e-9


ROWS = st.lists(
    st.tuples(st.integers(0, 300), st.integers(0, 300), st.floats(0, 1), st.floats(0, 1)).map(
        lambda r: [float(round(r[0] * r[2])), float(r[0]), float(round(r[1] * r[3])), float(r[1])]
    ),
    min_size=1,
    max_size=6,
)


@given(ROWS, st.sampled_from([0.0, 0.02]), st.integers(0, 5))
def test_empty_batches_and_later_batches_change_nothing(rows: list[list[float]], margin: float, at: int) -> None:
    """A batch without traffic leaves all e-values as they are, and what comes later never changes an earlier one."""
    whole = guardrail_e(rows, margin)
    with_empty = guardrail_e([*rows[:at], [0, 0, 0, 0], *rows[at:]], margin)
    assert np.delete(with_empty, min(at, len(rows))) == pytest.approx(whole, abs=1e-6)
    assert guardrail_e(rows[:at], margin) == pytest.approx(whole[:at], abs=1e-9)
    assert bool(np.all(np.isfinite(whole)))


@given(ROWS, st.booleans(), st.integers(1, 500))
def test_a_batch_of_one_arm_says_nothing(rows: list[list[float]], control: bool, n: int) -> None:
    """Traffic of one arm alone leaves the e-value where it was, for both sides and any margin."""
    alone = [n // 3, n, 0, 0] if control else [0, 0, n // 3, n]
    for log_e in (guardrail_e, lambda r: guardrail_e(r, 0.03), lambda r: noninferiority_e(r, 0.03)):
        found = log_e([*rows, alone])
        assert found[-1] == pytest.approx(found[-2], abs=1e-6)


def test_harm_is_shown_and_its_absence() -> None:
    """Twice the errors in a canary of 5 % are shown to be harm, equal rates to be within the margin, and never both."""
    harm, none = [[10, 1900, 4, 100]] * 10, [[95, 1900, 5, 100]] * 30
    assert guardrail_e(harm)[-1] > math.log(40)
    assert noninferiority_e(harm, 0.02)[-1] < 0
    assert noninferiority_e(none, 0.03)[-1] > math.log(40)
    assert guardrail_e(none)[-1] < 0
    assert guardrail_e(harm, 0.05)[-1] < guardrail_e(harm, 0.01)[-1] < guardrail_e(harm)[-1]


def test_arms_the_other_way_round_show_that_the_treatment_is_better() -> None:
    """10 % down to 8 % in 20,000 each is found with the arms swapped, and not with them as they are."""
    better = [[200, 2000, 160, 2000]] * 10
    swapped = [[row[2], row[3], row[0], row[1]] for row in better]
    assert guardrail_e(swapped)[-1] > math.log(40)
    assert guardrail_e(better)[-1] < 0


def test_huge_counts_stay_numbers() -> None:
    """A hundred million interactions a batch, rates at the ends, and a margin above what is left: finite all the same."""
    for rows in ([[10**4, 10**8, 2 * 10**4, 10**8]] * 3, [[0, 10**8, 10**8, 10**8]] * 3, [[10**8, 10**8, 0, 10**8]]):
        for margin in (0.0, 0.001, 0.9):
            assert bool(np.all(np.isfinite(guardrail_e(rows, margin))))
            assert margin == 0 or bool(np.all(np.isfinite(noninferiority_e(rows, margin))))
    assert guardrail_e([[10**4, 10**8, 2 * 10**4, 10**8]] * 3)[-1] > 1000


@pytest.mark.parametrize("share", [0.5, 0.05])
def test_a_split_that_holds_is_a_fair_bet(share: float) -> None:
    """E[e] = 1 over all splits of 200 users with the planned share, and above 1 with any other."""
    splits = np.arange(201)

    def mean(true: float) -> float:
        e = [math.exp(split_e([200 - k], [k], share)[0]) for k in splits]
        return float(stats.binom.pmf(splits, 200, true) @ e)

    assert mean(share) == pytest.approx(1.0, abs=1e-9)
    assert mean(share * 0.5) > 1.01
    assert mean(share * 1.5) > 1.01


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 5000)), min_size=1, max_size=8), st.floats(0.01, 0.99))
def test_a_split_has_two_sides_and_may_come_in_any_batches(counts: list[tuple[int, int]], share: float) -> None:
    """Swapping the arms and the share changes nothing, nor do empty batches, nor a finer cut of the same counts."""
    control, treated = ([c[k] for c in counts] for k in (0, 1))
    found = split_e(control, treated, share)
    assert split_e(treated, control, 1 - share) == pytest.approx(found, abs=1e-6)
    assert split_e([*control, 0], [*treated, 0], share)[-1] == pytest.approx(found[-1], abs=1e-9)
    assert split_e([sum(control)], [sum(treated)], share)[-1] == pytest.approx(found[-1], abs=1e-6)


def test_the_planned_share_may_ramp() -> None:
    """1 %, 5 %, 50 % as planned raise no alarm where one share for all would, and a broken ramp does."""
    control, treated, plan = [9900, 9500, 5000], [100, 500, 5000], [0.01, 0.05, 0.5]
    alarm = math.log(1000)
    assert float(split_e(control, treated, plan).max()) < 0
    assert split_e(control, treated, 0.2)[-1] > alarm
    assert split_e(control, treated[::-1], plan)[-1] > alarm
    assert split_e([10_200 * 3], [9_800 * 3], 0.5)[-1] > alarm


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: guardrail_e([[5, 4, 0, 1]]), "batch 0 is"),
        (lambda: guardrail_e([[1, 4, 0, 1], [-1, 4, 0, 1]]), "batch 1 is"),
        (lambda: guardrail_e([[1, 4, 0, math.nan]]), "batch 0 is"),
        (lambda: guardrail_e([[1, 4, 0]]), r"\(b, 4\)"),
        (lambda: guardrail_e([[1, 4, 0, 1]], 1.0), "margin=1.0"),
        (lambda: guardrail_e([[1, 4, 0, 1]], -0.1), "margin=-0.1"),
        (lambda: guardrail_e([[1, 4, 0, 1]], ratio=1.0), "ratio=1.0"),
        (lambda: noninferiority_e([[1, 4, 0, 1]], 0.0), "other way round"),
        (lambda: split_e([1], [1, 2], 0.5), "equally many"),
        (lambda: split_e([1], [-1], 0.5), "0 or more"),
        (lambda: split_e([1], [1], 1.0), "planned_share=1.0"),
    ],
)
def test_nonsense_is_refused(call: Callable[[], object], said: str) -> None:
    """What is no count, share or margin is refused, with the value."""
    with pytest.raises(ValueError, match=said):
        call()


def test_nothing_says_nothing() -> None:
    """Of no batches there are no e-values."""
    assert guardrail_e([]).shape == (0,)
    assert split_e([], [], 0.5).shape == (0,)
