"""Verdicts: what a sample shows about an absolute limit, and how much of an error budget is spent."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate
from scipy.stats import binom

from andon.errors import InputError
from andon.monitors.objectives import clean_sample, error_budget, verdict
from andon.monitors.verdicts import p_text

HOW_TO = Path(__file__).resolve().parents[2] / "docs" / "how-to"


@pytest.mark.parametrize(("at_most", "n"), [(0.05, 59), (0.01, 299), (0.003, 998), (0.001, 2_995), (0.0001, 29_956)])
def test_a_clean_sample_of_the_stated_size_passes_and_one_less_does_not(at_most: float, n: int) -> None:
    """0 of 2,995 shows a rate below 0.1 % with 95 % confidence, and 0 of 2,994 does not; likewise for other limits."""
    assert clean_sample(at_most) == n
    enough, short = verdict(0, n, at_most), verdict(0, n - 1, at_most)
    assert (enough.verdict, short.verdict) == ("pass", "undecided")
    assert f"a clean sample must have {n:,} interactions to show a rate below {100 * at_most:g} %" in short.reason


@given(at_most=st.floats(1e-6, 0.999), level=st.floats(0.501, 0.999))
def test_a_clean_sample_is_the_least_that_decides(at_most: float, level: float) -> None:
    """The size of a clean sample is the least n for which n interactions without harm have at most the tail of chance."""
    n = clean_sample(at_most, level)
    chance = [k * math.log1p(-at_most) for k in (n - 1, n)]
    assert chance[1] <= math.log1p(-level) + 1e-6
    assert n == 1 or chance[0] > math.log1p(-level) - 1e-6


@pytest.mark.parametrize(("x", "n"), [(1, 20), (3, 1_000), (7, 50), (19, 20)])
def test_each_bound_holds_with_the_level_by_itself(x: int, n: int) -> None:
    """At the lower bound x or more, and at the upper bound x or fewer, have exactly 5 % chance."""
    found = verdict(x, n, 0.1)
    assert binom.sf(x - 1, n, found.low) == pytest.approx(0.05)
    assert binom.cdf(x, n, found.high) == pytest.approx(0.05)


@pytest.mark.parametrize(("n", "at_most"), [(60, 0.05), (300, 0.01), (2_000, 0.003)])
def test_a_wrong_verdict_is_rare(n: int, at_most: float) -> None:
    """Computed over all outcomes: at the limit a sample fails with at most 5 %, and just above it passes with at most 5 %."""
    words = [verdict(x, n, at_most).verdict for x in range(n + 1)]
    chance = binom.pmf(np.arange(n + 1), n, at_most)
    above = binom.pmf(np.arange(n + 1), n, at_most * 1.0001)
    assert sum(p for p, word in zip(chance, words, strict=True) if word == "fail") <= 0.05
    assert sum(p for p, word in zip(above, words, strict=True) if word == "pass") <= 0.05
    assert words == sorted(words, key=["pass", "undecided", "fail"].index)


@pytest.mark.parametrize(("x", "n", "at_most"), [(0, 10, 0.1), (2, 30, 0.05), (40, 100, 0.3)])
def test_the_probability_is_that_of_jeffreys_posterior(x: int, n: int, at_most: float) -> None:
    """The probability above the limit is the integral of rate^(x-1/2) (1-rate)^(n-x-1/2) beyond it, as a share of all."""

    def mass(low: float, high: float) -> float:
        return float(integrate.quad(lambda p: p ** (x - 0.5) * (1 - p) ** (n - x - 0.5), low, high, limit=200)[0])

    expected = mass(at_most, 1) / (mass(0, at_most) + mass(at_most, 1))
    assert verdict(x, n, at_most).probability_above == pytest.approx(expected, abs=1e-6)


def test_without_interactions_nothing_is_said() -> None:
    """No interaction gives undecided, no probability, the widest bounds, no budget: neither good nor bad."""
    found = verdict(0, 0, 0.001)
    assert (found.verdict, found.probability_above, found.low, found.high) == ("undecided", None, 0, 1)
    assert found.reason.startswith("no interaction yet")
    assert error_budget(0, 0, 0.001) is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((-1, 10, 0.1), "x = -1"), ((11, 10, 0.1), "n = 10"), ((0, -1, 0.1), "n = -1"), ((0.5, 10, 0.1), "x = 0.5"),
        ((True, 10, 0.1), "x = True"), ((0, 10, 0), "at_most = 0"), ((0, 10, 1), "at_most = 1"),
        ((0, 10, math.nan), "at_most = nan"), ((0, 10, -0.1), "at_most = -0.1"), ((0, 10, 5e-324), "at_most = 5e-324"),
    ],
)  # fmt: skip
def test_nonsense_is_refused(arguments: tuple[Any, ...], words: str) -> None:
    """Counts that are none, and limits that no sample shows, are refused with the value, by verdict and budget alike."""
    for function in (verdict, error_budget):
        with pytest.raises(InputError) as error:
            function(*arguments)
        assert words in str(error.value)


@pytest.mark.parametrize("level", [0.5, 1.0, 95, math.nan, True])
def test_a_level_that_is_none_is_refused(level: float) -> None:
    """A level is above 0.5 and below 1; 95 instead of 0.95 is refused, not clipped."""
    with pytest.raises(InputError, match="level = "):
        verdict(0, 10, 0.1, level)


def test_a_budget_is_spent_by_harm_and_may_be_overspent() -> None:
    """6 harmful of 8,000 at 0.1 % spent three quarters; a third of the way it burns at that rate and has spent a quarter."""
    whole, young, over = (
        error_budget(6, 8_000, 0.001),
        error_budget(6, 8_000, 0.001, 1 / 3),
        error_budget(3, 100, 0.01),
    )
    assert whole is not None
    assert young is not None
    assert over is not None
    assert (whole.allowed, whole.spent, whole.burn_rate) == pytest.approx((8, 0.75, 0.75))
    assert (young.allowed, young.spent, young.burn_rate) == pytest.approx((24, 0.25, 0.75))
    assert over.spent == pytest.approx(3)
    for elapsed in (0, 1.5, math.nan):
        with pytest.raises(InputError, match="elapsed = "):
            error_budget(6, 8_000, 0.001, elapsed)


def test_the_figures_of_the_guide_are_computed() -> None:
    """The table of clean samples in the guide, and its Python example, give what the functions give."""
    page = (HOW_TO / "set-objectives.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in page.split("(95 %) |\n")[1].split("\n\n")[0].splitlines()[1:]]
    assert dict(rows) == {limit: f"{clean_sample(float(limit[:-2]) / 100):,}" for limit, _ in rows}
    assert len(rows) == 5
    said: list[object] = []
    exec(page.split("```python\n")[1].split("```")[0], {"print": said.append})
    assert said == [verdict(0, 500, 0.001).reason, "pass", "fail", error_budget(6, 8_000, 0.001)]
    assert error_budget(6, 8_000, 0.001).spent == pytest.approx(0.75)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.0, "p < 0.0001"), (1e-300, "p < 0.0001"), (1e-4, "p = 0.0001"), (0.0123, "p = 0.012"), (1.0, "p = 1")],
)
def test_a_p_value_is_never_told_as_nothing(p: float, text: str) -> None:
    """A p-value of 0 would be proof; below one in ten thousand only that is said."""
    assert p_text(p) == text
