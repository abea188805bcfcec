"""Laws of agreement between reviewers."""

import numpy as np
import pytest

from andon.golden import Label
from andon.golden.agreement import FEWEST, agreement_of
from andon.golden.cases import label_id


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
