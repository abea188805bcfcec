"""Laws of agreement between reviewers; published examples with their sections."""

import numpy as np
import pytest

from andon.golden import Label, label_id
from andon.golden.agreement import FEWEST, agreement_of, alpha_interval, krippendorff_alpha

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


def label(failure: str, author: str, text: str = "", **more) -> Label:
    """A reviewer's label; without a text a dismissal."""
    verdict = "answer" if text else "dismiss"
    fields = {"id": label_id(failure, author), "verdict": verdict, "at_us": 1}
    return Label(**(fields | more), failure=failure, author=author, ground_truth=text)


def test_the_same_text_and_a_dismissal_are_values():
    """Spelling is no disagreement, a dismissal is; withdrawn labels, adjudications and single labels are not counted."""
    labels = []
    for k in range(FEWEST):
        labels += [label(f"F-{k}", "ann", f"{k} days"), label(f"F-{k}", "bob", f" {k} Days." if k else "")]
    labels += [
        label("F-x", "ann", "1"),
        label("F-0", "eve", "7", final=True),
        label("F-1", "eve", "8", verdict="withdrawn"),
    ]
    (found,) = agreement_of(labels, np.random.default_rng(0))
    assert (found.reviewers, found.failures) == (("ann", "bob"), FEWEST)
    # n = 20 values: nine pairs alike, one pair of two names that nobody else used
    assert found.alpha == pytest.approx(1 - 19 * 2 / (400 - 9 * 4 - 2))
    assert found.low is not None
    assert found.low < found.alpha < found.high


def test_few_failures_and_agreement_alone_are_said_to_be_so():
    """Below ten failures nothing is said; full agreement comes with how many may still differ, never with an interval of 1 to 1."""
    few = [label(f"F-{k}", who, str(k)) for k in range(FEWEST - 1) for who in ("ann", "bob")]
    (found,) = agreement_of(few, np.random.default_rng(0))
    assert found.alpha is None
    assert found.text.startswith("cannot tell: 9 failures")
    (found,) = agreement_of([*few, *(label("F-9", w, "9") for w in ("ann", "bob"))], np.random.default_rng(0))
    assert (found.alpha, found.low) == (1.0, None)
    assert "up to 31%" in found.text
    same = [label(f"F-{k}", who, "yes") for k in range(20) for who in ("ann", "bob")]
    (found,) = agreement_of(same, np.random.default_rng(0))
    assert found.alpha is None
    assert "habit" in found.text


def test_pairs_are_told_apart():
    """With three reviewers each pair has its own agreement, over the failures that both labelled."""
    labels = [label(f"F-{k}", w, f"{k}" if w != "eve" else "?") for k in range(12) for w in ("ann", "bob", "eve")]
    everybody, *pairs = agreement_of(labels, np.random.default_rng(0))
    assert everybody.reviewers == ("ann", "bob", "eve")
    assert {p.reviewers: p.alpha == 1.0 for p in pairs} == {
        ("ann", "bob"): True, ("ann", "eve"): False, ("bob", "eve"): False,
    }  # fmt: skip
