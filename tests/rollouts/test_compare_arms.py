"""Laws of the comparison of two arms."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from andon.errors import InputError
from andon.rollouts import Arm, compare, ratio_p
from andon.stats import difference


def arm(name: str, n: int, events: int) -> Arm:
    """An arm, in short."""
    return Arm(name=name, n=n, events=events)


COUNTS = st.integers(1, 3000).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))


def test_published_sample_ratio_mismatch() -> None:
    """10,200 against 9,800 where halves were planned has chi-square 8.00 and p = 0.00468, the textbook figures."""
    assert ratio_p(10_200, 9_800, 0.5) == pytest.approx(0.00468, abs=5e-6)


def test_published_difference_of_rates() -> None:
    """56/70 less 48/80 has Newcombe's method 10 interval 0.0524 to 0.3339 (Newcombe 1998, table II, case a)."""
    result = compare(arm("c", 80, 48), arm("t", 70, 56))
    assert result.effect == pytest.approx(0.2)
    assert (result.low, result.high) == (pytest.approx(0.0524, abs=5e-5), pytest.approx(0.3339, abs=5e-5))
    assert result.outcome == "roll back"


@given(COUNTS)
def test_identical_arms_never_roll_back(counts: tuple[int, int]) -> None:
    """Two arms with the same counts are promoted or held, never rolled back."""
    result = compare(arm("c", *counts), arm("t", *counts))
    assert result.outcome != "roll back"
    assert result.ratio_mismatch == pytest.approx(1)


@given(COUNTS, COUNTS)
def test_swapping_arms_flips_the_sign(a: tuple[int, int], b: tuple[int, int]) -> None:
    """The effect of b over a is minus that of a over b, its interval is mirrored, and the split looks the same."""
    assert ratio_p(a[0], b[0], 0.5) == pytest.approx(ratio_p(b[0], a[0], 0.5))
    one = compare(arm("a", *a), arm("b", *b), planned_share=None)
    two = compare(arm("b", *b), arm("a", *a), planned_share=None)
    assert one.effect is not None
    assert one.low is not None
    assert one.high is not None
    assert (two.effect, two.low, two.high) == pytest.approx((-one.effect, -one.high, -one.low), abs=1e-12)
    assert not (one.outcome == two.outcome == "roll back")


def test_a_broken_split_is_read_before_the_effect() -> None:
    """With a sample-ratio mismatch the outcome is hold and no effect is given, however much the treatment harms."""
    result = compare(arm("c", 10_600, 0), arm("t", 9_400, 9_000))
    assert result.outcome == "hold"
    assert "split is broken" in result.reason
    assert (result.effect, result.low, result.high) == (None, None, None)


def test_the_planned_share_is_what_the_split_is_checked_against() -> None:
    """A canary of one tenth is sound when a tenth was planned, broken when half was, and unchecked when nothing was."""
    control, treatment = arm("c", 9000, 90), arm("t", 1000, 10)
    assert compare(control, treatment, planned_share=0.1).outcome == "promote"
    assert "split is broken" in compare(control, treatment).reason
    unchecked = compare(control, treatment, planned_share=None)
    assert (unchecked.outcome, unchecked.ratio_mismatch) == ("promote", None)


@pytest.mark.parametrize(("n1", "n2"), [(0, 0), (0, 5), (5, 0)])
def test_an_empty_arm_decides_nothing(n1: int, n2: int) -> None:
    """Without data in an arm the outcome is hold, and no figure is invented."""
    result = compare(arm("c", n1, 0), arm("t", n2, 0))
    assert (result.outcome, result.effect) == ("hold", None)
    assert "no interactions" in result.reason


@given(st.integers(30, 400), st.floats(0.0, 0.3), st.floats(0.0, 0.3))
def test_the_announced_number_of_interactions_decides(n: int, p1: float, p2: float) -> None:
    """With as many more interactions per arm as a hold announces, at the same rates, the comparison decides."""
    control, treatment = arm("c", n, round(n * p1)), arm("t", n, round(n * p2))
    result = compare(control, treatment)
    assume(result.outcome == "hold")
    found = re.search(r"about (\d+) more", result.reason)
    assert found is not None
    total = n + int(found[1])
    again = compare(
        arm("c", total, round(control.events / n * total)), arm("t", total, round(treatment.events / n * total))
    )
    assert again.outcome != "hold"


def test_more_harm_than_the_margin_is_never_promoted() -> None:
    """A promotion's interval ends at or under the margin, over a grid of counts."""
    for events in range(0, 200, 7):
        result = compare(arm("c", 1000, 60), arm("t", 1000, events))
        _, low, high = difference(60, 1000, events, 1000)
        expected = "roll back" if low > 0 else "promote" if high <= 0.02 else "hold"
        assert result.outcome == expected


def test_small_splits_are_checked_exactly() -> None:
    """Under 1,000 interactions the split is checked with the exact binomial test: 10 of 10 in one arm has p = 2 x 0.5^10."""
    assert ratio_p(0, 10, 0.5) == pytest.approx(2 * 0.5**10)


@pytest.mark.parametrize(
    "wrong",
    [{"planned_share": 0.0}, {"planned_share": 1.0}, {"margin": -0.1}, {"margin": 1.0}, {"alpha": 0.0}, {"alpha": 1.0}],
)
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    """A share, margin or alpha outside its range is refused, and so are more events than interactions."""
    with pytest.raises(InputError, match=next(iter(wrong))):
        compare(arm("c", 10, 1), arm("t", 10, 1), **wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="events"):
        compare(arm("c", 10, 11), arm("t", 10, 1))
