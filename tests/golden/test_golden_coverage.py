"""Laws of coverage: a share of the traffic with an honest interval, by part, and holes with the most harm first."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.errors import InputError
from andon.golden.coverage import Asked, coverage_of, nearest_cosines
from andon.stats.binomial import clopper_pearson


def measured(asked, cosines, threshold=0.75):
    """The coverage of a sample."""
    return coverage_of(asked, np.array(cosines), app="shop", cases=3, embedder="e", threshold=threshold)


def test_nearest_is_the_greatest_cosine():
    """In blocks or not, each question has the cosine of its nearest case; without a case nothing is near."""
    rng = np.random.default_rng(1)
    q, c = (rng.normal(size=(n, 8)).astype(np.float32) for n in (5_000, 7))
    q, c = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (q, c))
    assert nearest_cosines(q, c) == pytest.approx((q @ c.T).max(axis=1))
    assert set(nearest_cosines(q, c[:0])) == {-1.0}
    assert measured([Asked(question="q")], nearest_cosines(q[:1], c[:0])).whole.covered == 0


def test_the_share_is_of_the_traffic_and_its_interval_of_the_sample():
    """Equal weights give Clopper-Pearson; unequal ones the weighted share and a wider interval."""
    cosines = [0.9] * 30 + [0.1] * 70
    plain = measured([Asked(question="q", weight=7.0)] * 100, cosines).whole
    assert (plain.covered, plain.low, plain.high) == pytest.approx((0.3, *clopper_pearson(30, 100)))
    skewed = [Asked(question="q", weight=9.0 if k < 30 else 1.0) for k in range(100)]
    whole = measured(skewed, cosines).whole
    assert whole.covered == pytest.approx(270 / 340)
    assert whole.high - whole.low > plain.high - plain.low


@given(
    st.lists(
        st.tuples(st.floats(0.1, 50), st.floats(-1, 1), st.sampled_from([None, "high", "low"])), min_size=1, max_size=60
    )
)
def test_shares_are_shares(rows):
    """Every share lies in its interval, parts add up to the traffic that has them, and uncovered holes to what is uncovered."""
    asked = [Asked(question=f"q{i}", weight=w, risk_category=r, topic=f"t{i % 3}") for i, (w, _, r) in enumerate(rows)]
    found = measured(asked, [c for _, c, _ in rows])
    for s in (found.whole, *found.by_risk, *found.by_topic):
        assert 0 <= s.low <= s.covered + 1e-9
        assert s.covered - 1e-9 <= s.high <= 1
    assert sum(s.traffic for s in found.by_topic) == pytest.approx(1)
    assert sum(h.traffic for h in found.holes) == pytest.approx(1 - found.whole.covered)


def test_holes_with_harm_come_first_and_show_what_is_asked():
    """A small hole in which people were harmed stands above a large harmless one; harmed questions are shown first."""
    asked = [Asked(question=f"small {k}", topic="fees") for k in range(80)]
    asked += [Asked(question=f"safe {k}", topic="dosage") for k in range(9)]
    asked += [
        Asked(question="harmed", topic="dosage", harmed=True),
        Asked(question="near", topic="dosage", harmed=True),
    ]
    first, second = measured(asked, [0.2] * 80 + [0.3] * 9 + [0.7, 0.9]).holes
    assert (first.topic, first.harm, first.covered) == ("dosage", 0.5, pytest.approx(1 / 11))
    assert first.examples == ("harmed", "safe 0", "safe 1")
    assert (second.topic, second.harm) == ("fees", 0)


def test_the_edge_counts_as_near():
    """A cosine that is the threshold to rounding covers."""
    found = measured([Asked(question="a"), Asked(question="b")], [0.75 - 1e-9, 0.7499])
    assert found.whole.covered == 0.5
    assert measured([Asked(question="a")], [1.0]).holes == ()


def test_nothing_asked_is_an_error():
    """An empty sample has no share; a weight that is not positive is no weight."""
    with pytest.raises(InputError, match="at least one question"):
        measured([], [])
    with pytest.raises(InputError, match="weights above 0"):
        measured([Asked(question="q", weight=0)], [1])
