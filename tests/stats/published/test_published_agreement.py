"""Agreement of two and of many, and the area under the ROC curve: published examples with their sections, and laws."""

import numpy as np
import pytest

from andon.stats import alpha_interval, area_under, cohens_kappa, krippendorff_alpha

# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (25 January 2011): the reliability data of each section.
A = ["0100000010", "1110010000"]  # A: binary data, two observers, no missing data (Meg and Owen, ten articles)
B = ["aabbdcccedda", "babbbccceddd"]  # B: nominal data, two observers, no missing data (Ben and Gerry)
C = ["123321412...", "1233224125.3", ".3332342251.", "12332441251."]  # C: any number of observers, missing data


def units_of(rows: list[str]) -> list[list[float]]:
    """The values of each unit, without the missing ones (`.`)."""
    return [[float(ord(v)) for v in column if v != "."] for column in zip(*rows, strict=True)]


@pytest.mark.parametrize(
    ("rows", "level", "alpha"),
    [
        (A, "nominal", 0.095),
        (B, "nominal", 0.692),
        (C, "nominal", 0.743),
        (C, "ordinal", 0.815),
        (C, "interval", 0.849),
    ],
)
def test_published_examples(rows, level, alpha):
    """Sections A (0.095), B (0.692), C (0.743) and D (ordinal 0.815, interval 0.849) of Krippendorff 2011."""
    assert krippendorff_alpha(units_of(rows), level) == pytest.approx(alpha, abs=0.0005)


def test_alpha_by_hand():
    """Two of four units agree: alpha = 1 - 7 x 4 / 32, worked out below."""
    # values a a | b b | a b | b a: n = 8, four of each; observed: two ordered pairs that differ in each of two units, weight 1
    # -> 4; expected: 8^2 - 4^2 - 4^2 = 32; alpha = 1 - (8 - 1) x 4 / 32 = 0.125
    assert krippendorff_alpha([[0, 0], [1, 1], [0, 1], [1, 0]]) == pytest.approx(0.125)


def test_what_cannot_be_told_is_none():
    """Without a unit that two people labelled, or where all say the same everywhere, there is no alpha."""
    assert krippendorff_alpha([]) is None
    assert krippendorff_alpha([[1], [2]]) is None
    assert krippendorff_alpha([[1, 1], [1, 1]]) is None
    assert krippendorff_alpha([[1, 1], [2, 2]]) == 1.0


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
def test_alpha_does_not_depend_on_order_or_on_single_values(level):
    """Reviewers and units may come in any order, and units with one value say nothing."""
    units = units_of(C)
    rng = np.random.default_rng(3)
    mixed = [list(rng.permutation(u)) for u in (units[k] for k in rng.permutation(len(units)))]
    assert krippendorff_alpha([*mixed, [7.0]], level) == pytest.approx(krippendorff_alpha(units, level))


def test_ordinal_asks_for_order_only():
    """A monotone change of the scale leaves the ordinal alpha as it is, and moves that of intervals."""
    units = units_of(C)
    bent = [[v**9 for v in u] for u in units]
    assert krippendorff_alpha(bent, "ordinal") == pytest.approx(krippendorff_alpha(units, "ordinal"))
    assert krippendorff_alpha(bent, "interval") != pytest.approx(krippendorff_alpha(units, "interval"), abs=0.001)


def test_chance_agreement_is_zero():
    """Reviewers who toss coins have an alpha near 0 whatever the coin."""
    rng = np.random.default_rng(5)
    for share in (0.5, 0.9):
        units = (rng.random((20_000, 2)) < share).astype(float)
        assert krippendorff_alpha(units.tolist()) == pytest.approx(0, abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "least"), [(20, 0.85), (60, 0.90)])
def test_the_interval_holds_the_truth(n, least):
    """Over 300 seeded samples the 95 % interval holds alpha (here 0.6) in about as many as it says; in fewer where n is small."""
    # both say the truth with probability p each, else the other one of two values: alpha = (2p - 1)^2 for a fair truth
    p, rng = (1 + 0.6**0.5) / 2, np.random.default_rng(n)
    held = 0
    for _ in range(300):
        truth = rng.random(n) < 0.5
        units = np.stack([truth ^ (rng.random(n) > p) for _ in range(2)], axis=1).astype(float)
        interval = alpha_interval(units.tolist(), rng, draws=300)
        held += interval is not None and interval[0] <= 0.6 <= interval[1]
    assert held / 300 >= least


@pytest.mark.parametrize(
    ("counts", "kappa", "low", "high"),
    [
        ((20, 10, 5, 15), 0.4, 0.151092290476661, 0.6489077095233389),
        ((88, 10, 14, 40), 0.649500384319754, 0.5219479571687563, 0.7770528114707517),
        ((118, 2, 5, 3), 0.43434343434343436, 0.08903490359215932, 0.7796519650947094),
    ],
)
def test_kappa_and_its_interval_are_those_of_statsmodels(counts, kappa, low, high):
    """Reference: statsmodels 0.15.0, `stats.inter_rater.cohens_kappa`, which is itself checked against SAS."""
    found = cohens_kappa(*counts)
    assert (found.value, found.low, found.high) == pytest.approx((kappa, low, high), abs=1e-12)


def test_kappa_knows_what_it_cannot_tell():
    """No answers, or one word for all of them: None. Never a difference: 1, without an interval."""
    assert cohens_kappa(0, 0, 0, 0) is None
    assert cohens_kappa(9, 0, 0, 0) is None
    assert (cohens_kappa(5, 0, 0, 5).value, cohens_kappa(5, 0, 0, 5).low) == (1.0, None)
    assert cohens_kappa(90, 10, 0, 0).value == pytest.approx(0)


def test_the_area_is_the_share_of_pairs_in_order():
    """By hand: of 3 x 2 pairs 4 are in order and 1 is a tie; and it is the mean over all pairs for any scores."""
    found = area_under(np.array([3.0, 2.0, 1.0]), np.array([0.0, 2.0]))
    assert found.value == pytest.approx((2 + 1.5 + 1) / 6)
    rng = np.random.default_rng(1)
    right, wrong = rng.integers(0, 9, 60) + 1.0, rng.integers(0, 9, 40) + 0.0
    pairs = (right[:, None] > wrong).mean() + (right[:, None] == wrong).mean() / 2
    assert area_under(right, wrong).value == pytest.approx(pairs)
    assert area_under(right, np.array([])) is None
    assert area_under(right + 100, wrong).low is None


def test_the_area_s_variance_is_delong_s():
    """The interval is the logit of DeLong's variance, computed here from all pairs, as the paper writes it."""
    rng = np.random.default_rng(2)
    right, wrong = rng.normal(1, 1, 30), rng.normal(0, 1, 20)
    psi = (right[:, None] > wrong) + 0.5 * (right[:, None] == wrong)
    variance = psi.mean(1).var(ddof=1) / 30 + psi.mean(0).var(ddof=1) / 20
    found, a = area_under(right, wrong), psi.mean()
    half = 1.959963984540054 * np.sqrt(variance) / (a * (1 - a))
    ends = [1 / (1 + np.exp(-(np.log(a / (1 - a)) + sign * half))) for sign in (-1, 1)]
    assert [found.low, found.high] == pytest.approx(ends)
