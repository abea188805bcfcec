"""Worked examples of splitting a change of a rate into mix and behaviour."""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.stats.explained import explained_by_mix

DATA = Path(os.environ.get("SHARED_DATA", Path(__file__).parents[4] / "shared" / "data"))

# Admissions to Berkeley in 1973 by department A to F: Bickel, Hammel & O'Connell, Science 187 (1975), 398-404, as in R's
# `UCBAdmissions`. Men are "before" and women "after".
MEN = [825, 560, 325, 417, 191, 373], [512, 353, 120, 138, 53, 22]
WOMEN = [108, 25, 593, 375, 393, 341], [89, 17, 202, 131, 94, 24]


def test_berkeley_is_explained_by_the_mix_of_departments() -> None:
    """44.5 % of men and 30.4 % of women were admitted; at the men's rates by department 30.2 % of the women would be."""
    found = explained_by_mix(*MEN, *WOMEN)
    rates = np.array(MEN[1]) / np.array(MEN[0])
    expected = float((np.array(WOMEN[0]) * rates).sum() / sum(WOMEN[0]))  # direct standardisation by hand
    assert expected == pytest.approx(0.302, abs=5e-4)
    assert (found.before, found.after) == pytest.approx((1198 / 2691, 557 / 1835))
    assert found.expected == pytest.approx(expected, abs=0.005)  # borrowing moves the small stratum of women in B
    assert found.mix < -0.13
    assert found.behaviour_low < 0 < found.behaviour_high


def test_mantel_haenszel_of_berkeley() -> None:
    """The test of one common change is that of R's `mantelhaen.test(UCBAdmissions, correct = FALSE)`: p = 0.2169."""
    assert explained_by_mix(*MEN, *WOMEN).p_common == pytest.approx(0.2169, abs=5e-5)


def test_department_a_moves_apart() -> None:
    """Women of department A were admitted far more often than men, and no others were: departments moved apart."""
    found = explained_by_mix(*MEN, *WOMEN)
    assert found.p_apart is not None
    assert found.p_apart < 0.01
    rest = explained_by_mix(*(v[1:] for side in (MEN, WOMEN) for v in side))
    assert rest.verdict == "mix"
    assert rest.p_apart is not None
    assert rest.p_apart > 0.1


def test_two_strata_by_hand() -> None:
    """Half and half at 10 % and 30 %, then one in five and four in five: 6 points are mix, and nothing is behaviour."""
    found = explained_by_mix([5000, 5000], [500, 1500], [2000, 8000], [200, 2400])
    assert found.mix == pytest.approx((0.2 - 0.5) * 0.1 + (0.8 - 0.5) * 0.3)
    assert found.behaviour == pytest.approx(0.0)
    assert found.verdict == "mix"
    assert "20.0% was before" in found.reason


def test_new_kinds_of_traffic_are_mix() -> None:
    """A stratum that did not exist before explains the rise that it brings; nobody's behaviour is blamed for it."""
    found = explained_by_mix([9000, 1000, 0], [450, 100, 0], [1800, 200, 500], [90, 20, 300])
    assert found.verdict == "mix"
    assert found.new_share == pytest.approx(0.2)
    assert found.mix == pytest.approx(0.2 * (0.6 - 0.055), abs=1e-9)
    assert "20% of the traffic is of kinds that had none before" in found.reason


def test_what_cannot_be_compared_is_not_told() -> None:
    """Without a stratum on both sides, or with a handful of observations, the verdict is "cannot tell" and no p is made up."""
    apart = explained_by_mix([100, 0], [5, 0], [0, 100], [0, 50])
    assert (apart.verdict, apart.p_common, apart.p_apart) == ("cannot tell", None, None)
    assert explained_by_mix([4, 4], [1, 0], [3, 5], [1, 2]).verdict == "cannot tell"


@pytest.mark.parametrize(
    ("counts", "match"),
    [
        (([0], [0], [5], [1]), "before: there are no observations"),
        (([5], [6], [5], [1]), "before: every stratum"),
        (([5], [1], [5, 5], [1, 1]), "the same strata"),
        (([5], [float("nan")], [5], [1]), "before: every stratum"),
    ],
)
def test_impossible_counts_are_refused(counts: tuple[list[float], ...], match: str) -> None:
    """Counts that cannot be, or an empty side, are refused with what is wrong."""
    with pytest.raises(ValueError, match=match):
        explained_by_mix(*counts)


@pytest.mark.parametrize("design", [0.5, float("inf"), float("nan")])
def test_an_impossible_design_effect_is_refused(design: float) -> None:
    """A design effect below 1, infinite or missing is refused: it never becomes parts that are NaN."""
    with pytest.raises(ValueError, match=f"design={design}"):
        explained_by_mix([100, 100], [10, 10], [100, 100], [20, 20], design=design)


@given(st.lists(st.tuples(*[st.integers(0, 40)] * 4), min_size=1, max_size=12))
def test_parts_add_up(rows: list[tuple[int, ...]]) -> None:
    """For any counts the parts add up to the change, intervals hold their estimates, and every figure is finite."""
    n0, n1 = (np.array([max(r[i], r[i + 1]) for r in rows], dtype=float) for i in (0, 2))
    x0, x1 = (np.array([min(r[i], r[i + 1]) for r in rows], dtype=float) for i in (0, 2))
    n0[0] += 1
    n1[0] += 1
    found = explained_by_mix(n0, x0, n1, x1, design=1.7)
    assert found.mix + found.behaviour == pytest.approx(found.after - found.before, abs=1e-12)
    assert found.mix_low <= found.mix <= found.mix_high
    assert found.behaviour_low <= found.behaviour <= found.behaviour_high
    assert np.isfinite([found.mix_low, found.mix_high, found.behaviour_low, found.behaviour_high, found.apart]).all()


@given(st.lists(st.tuples(*[st.integers(1, 40)] * 3), min_size=2, max_size=8))
def test_an_unchanged_mix_explains_nothing(rows: list[tuple[int, ...]]) -> None:
    """Where the shares are the same, all of the change is behaviour, exactly."""
    n = np.array([max(r) for r in rows], dtype=float)
    found = explained_by_mix(n, [r[0] for r in rows], 2 * n, [r[1] for r in rows])
    assert found.mix == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(("file", "column", "bad"), [("prime", "correct", False), ("happy_numbers", "correct", False)])
def test_model_families_that_move_apart_are_behaviour(file: str, column: str, bad: bool) -> None:
    """GPT-3.5 and GPT-4 moved in opposite directions between March and June 2023: behaviour, however the average moved."""
    path = DATA / "drift-llmdrift" / f"{file}.jsonl.gz"
    if not path.is_file():
        pytest.skip(f"real data absent: {path}; set SHARED_DATA")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    counts = []
    for month in ("2023-03", "2023-06"):
        of = [
            [r[column] is bad for r in rows if (r["snapshot"], r["model_family"]) == (month, f)]
            for f in sorted({r["model_family"] for r in rows})
        ]
        counts += [[len(v) for v in of], [sum(v) for v in of]]
    found = explained_by_mix(*counts)
    assert found.verdict == "behaviour"
    assert found.p_apart is not None
    assert found.p_apart < 1e-9
    assert "moved apart" in found.reason
