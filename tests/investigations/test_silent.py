"""Laws of the look at silent regressions: what moved, what stood still, and when nobody can tell."""

import numpy as np
import pytest
from scipy.stats import binomtest

from andon.investigations.silent import (
    Move,
    Side,
    compare_sides,
    finish_reasons,
    same_questions,
    silent_regression,
)


def rate(x: int, n: int) -> Side:
    """A rate of x in n."""
    return Side(n=n, mean=x / n, variance=x / n * (1 - x / n))


def number(mean: float, sd: float, n: int) -> Side:
    """A number with this mean and spread."""
    return Side(n=n, mean=mean, variance=sd**2)


def moved(name: str, before: Side, after: Side, *, is_rate: bool = True, bad: str = "up") -> Move:
    """A comparison that could be made, alone in its family."""
    found = compare_sides(name, before, after, rate=is_rate, bad=bad, family=1)
    assert found is not None
    return found


QUIET = moved("error", rate(10, 5000), rate(11, 5000))
FALL = moved("groundedness", number(0.8, 0.2, 500), number(0.6, 0.2, 500), is_rate=False, bad="down")


@pytest.mark.parametrize(
    ("before", "after", "is_rate", "word"),
    [
        (rate(50, 1000), rate(150, 1000), True, "moved"),
        (rate(50, 1000), rate(52, 1000), True, "the same"),
        (rate(2, 40), rate(4, 40), True, "cannot tell"),
        (number(1.0, 0.5, 400), number(1.3, 0.5, 400), False, "moved"),
        (number(1.0, 0.5, 4000), number(1.01, 0.5, 4000), False, "the same"),
        (number(1.0, 0.5, 30), number(1.1, 0.5, 30), False, "cannot tell"),
        (number(1.0, 1.0, 10**7), number(1.01, 1.0, 10**7), False, "the same"),
        (number(1.0, 0.0, 100), number(1.0, 0.0, 100), False, "the same"),
        (number(1.0, 0.0, 100), number(2.0, 0.0, 100), False, "moved"),
    ],
)
def test_moved_the_same_or_cannot_tell(before: Side, after: Side, is_rate: bool, word: str) -> None:
    """A sure and material difference moved; one within 0.2 deviations is the same, however sure; else nobody can tell."""
    assert moved("m", before, after, is_rate=is_rate).word == word


def test_few_values_are_not_compared() -> None:
    """Below 20 values on a side there is no comparison at all, not one that says "the same"."""
    assert compare_sides("m", rate(1, 19), rate(5, 500), rate=True, bad="up", family=1) is None


def test_far_out_the_exact_test_decides() -> None:
    """Among 30 metrics, 50 against 82 of 300 is outside Newcombe's interval but not sure by Fisher's test: no move."""
    found = compare_sides("m", rate(50, 300), rate(82, 300), rate=True, bad="up", family=30)
    assert found is not None
    assert found.low > 0
    assert found.word == "cannot tell"


def test_worse_has_a_direction() -> None:
    """A metric is worse only when it moved the way that harms; with ``both`` either way is."""
    rise = (rate(50, 1000), rate(150, 1000))
    assert moved("m", *rise, bad="up").worse
    assert not moved("m", *rise, bad="down").worse
    assert moved("m", *rise, bad="both").worse
    assert not QUIET.worse


def test_metrics_that_stand_still_are_left_alone() -> None:
    """Over 600 comparisons of 5 metrics without any change, a move is told in at most 5 % (0.05 over the family)."""
    rng = np.random.default_rng(0)
    false = 0
    for _ in range(600):
        x = rng.binomial(300, rng.uniform(0.02, 0.5, 5), (2, 5))
        sides = [(rate(int(a), 300), rate(int(b), 300)) for a, b in x.T]
        found = [compare_sides("m", *pair, rate=True, bad="up", family=5) for pair in sides]
        false += any(m is not None and m.word == "moved" for m in found)
    assert false / 600 <= 0.05


def test_the_same_questions_are_a_paired_test() -> None:
    """Only questions that changed count, by the exact binomial tail of the way they went; without pairs nothing is claimed."""
    pairs = [(False, True)] * 9 + [(True, False)] * 2 + [(True, True)] * 30 + [(False, False)] * 60
    p = binomtest(9, 11, 0.5, alternative="greater").pvalue
    told = "of 101 questions asked before and since, {} fail only since and {} failed only before (exact McNemar, one-sided p"
    assert same_questions(pairs) == f"{told.format(9, 2)} = {p:.2g} for worse)"
    assert same_questions([(b, a) for a, b in pairs]) == f"{told.format(2, 9)} = {p:.2g} for better)"
    assert same_questions([]) == "no question was asked both before and since the onset"


def test_finish_reasons_are_told_when_they_changed() -> None:
    """Another mix of finish reasons is told with the reason that moved most; the same mix, and none at all, are not."""
    words = finish_reasons({"stop": 480, "length": 20, "x": 100}, {"stop": 300, "length": 150, "x": 150})
    assert words.endswith('): "stop" 80 % to 50 %')
    assert finish_reasons({"stop": 480, "length": 20}, {"stop": 485, "length": 15}) == ""
    assert finish_reasons({}, {"stop": 5}) == ""
    assert finish_reasons({"stop": 1}, {"length": 1}) == ""


def test_a_fall_while_calls_succeed_is_silent() -> None:
    """Quality fell, errors stood still: found, with both in words and in the table, the moved ones first."""
    found = silent_regression([QUIET, FALL], an_hour=(100.0, 101.0), evidence=("E1",))
    assert found.found == "yes"
    assert "; groundedness 0.8 to 0.6; unmoved: error 0.2 % to 0.22 %." in found.text
    assert found.rows[-1][:3] == ("interactions an hour", "100.0", "101.0")
    assert [r[0] for r in found.rows] == ["metric", "groundedness", "error", "interactions an hour"]
    assert found.evidence == ("E1",)


def test_what_others_see_is_not_silent() -> None:
    """When errors rose, or a chart of traffic or latency signalled, the answer is no, and says which."""
    errors = moved("error", rate(10, 5000), rate(400, 5000))
    assert silent_regression([errors, FALL]).found == "no"
    by_chart = silent_regression([QUIET, FALL], loud_signals=("traffic",))
    assert by_chart.found == "no"
    assert "traffic moved too" in by_chart.text


def test_errors_that_are_unknown_leave_it_open() -> None:
    """Without a measured error rate, or with too few calls to know it, nobody can say that it was silent."""
    assert silent_regression([FALL]).found == "cannot tell"
    unsure = moved("error", rate(0, 25), rate(1, 25))
    assert silent_regression([unsure, FALL]).found == "cannot tell"
    assert "whether error stood still cannot be told" in silent_regression([unsure, FALL]).text


def test_few_errors_beside_a_large_fall_are_quiet() -> None:
    """A rate of errors that can be at most a quarter of the fall of quality stood still beside it."""
    none = moved("error", rate(0, 300), rate(0, 240))
    large = moved("refusal", rate(0, 300), rate(90, 240))
    small = moved("refusal", rate(0, 300), rate(12, 240))
    assert none.word == "cannot tell"
    assert silent_regression([none, large]).found == "yes"
    assert silent_regression([none, small]).found == "cannot tell"


def test_style_alone_is_no_regression() -> None:
    """Longer answers are told, and are no harm by themselves."""
    longer = moved("answer_chars", number(100, 30, 500), number(200, 30, 500), is_rate=False, bad="both")
    steady = moved("groundedness", number(0.8, 0.2, 5000), number(0.8, 0.2, 5000), is_rate=False, bad="down")
    found = silent_regression([QUIET, longer, steady])
    assert found.found == "no"
    assert "; answers look otherwise: answer chars." in found.text


def test_nothing_measured_is_said() -> None:
    """Without any metric the answer is "cannot tell", with no table."""
    found = silent_regression([])
    assert (found.found, found.rows) == ("cannot tell", ())


def test_the_text_says_what_decides_and_leaves_the_rest_to_the_table() -> None:
    """The first clause is the finding; of many metrics that fell the surest is told; the table holds all, in this order."""
    latency = moved("latency_s", number(1.0, 0.5, 4000), number(1.0, 0.5, 4000), is_rate=False)
    others = [
        moved(f"metric_{k}", number(0.8, 0.2, 500), number(0.72 - k / 50, 0.2, 500), is_rate=False, bad="down")
        for k in range(4)
    ]
    found = silent_regression([QUIET, latency, FALL, *others], an_hour=(100.0, 101.0), paired="of 9 questions, 5 fail")
    assert found.text == (
        "Quality fell while calls succeeded as before; groundedness 0.8 to 0.6; unmoved: error 0.2 % to 0.22 %; "
        "of 9 questions, 5 fail."
    )
    surest = ["groundedness", "metric_3", "metric_2", "metric_1", "metric_0"]
    assert [r[0] for r in found.rows] == ["metric", *surest, "error", "latency_s", "interactions an hour"]
    assert ("groundedness", "0.8", "0.6", "-0.225 to -0.175", "moved") in found.rows
    errors = moved("error", rate(10, 5000), rate(400, 5000))
    assert "sees; error 0.2 % to 8 %; groundedness 0.8 to 0.6." in silent_regression([errors, FALL, *others]).text
