from pathlib import Path

import judges_measured as measured
import pytest

from andon.errors import InputError
from andon.evals.agreement import Judged, judge_agreement, judged_rows

PAGE = Path(__file__).parents[2] / "docs" / "methods" / "judge.md"


def table(both_pass, judge_only, human_only, both_fail):
    """Judged answers with these counts."""
    cells = ((True, True, both_pass), (False, True, judge_only), (True, False, human_only), (False, False, both_fail))
    return [Judged(human=h, judge=j) for h, j, n in cells for _ in range(n)]


def test_agreement_counts_and_names_both_ways_of_being_wrong():
    """The table, the rates of each side and the lean are those of the counts."""
    found = judge_agreement(table(40, 6, 4, 10))
    assert (found.n, found.both_pass, found.judge_only, found.human_only, found.both_fail) == (60, 40, 6, 4, 10)
    assert found.accuracy.value == pytest.approx(50 / 60)
    assert found.sensitivity.value == pytest.approx(40 / 44)
    assert found.specificity.value == pytest.approx(10 / 16)
    assert found.chance == pytest.approx((46 * 44 + 14 * 16) / 3600)
    assert found.lean.value == pytest.approx(2 / 60)
    assert found.auc is None
    assert "6 of 16 wrong answers" in found.text


def test_a_judge_that_passes_everything_shows_nothing():
    """Its accuracy is the pass rate, and kappa is 0: the sentence says that agreement is not shown."""
    found = judge_agreement(table(95, 5, 0, 0))
    assert found.accuracy.value == 0.95
    assert found.chance == pytest.approx(0.95)
    assert found.text.startswith("agreement beyond chance is not shown: it passes 5 of 5 wrong answers")


def test_what_cannot_be_told_is_said():
    """No answers, few answers, or answers that people call all right or all wrong."""
    assert judge_agreement([]).text.startswith("cannot tell: 0 answers")
    assert judge_agreement([]).accuracy is None
    assert judge_agreement(table(10, 5, 5, 9)).text.startswith("cannot tell: 29 answers")
    assert "call all 40 answers right" in judge_agreement(table(30, 0, 10, 0)).text
    assert judge_agreement(table(30, 0, 10, 0)).specificity is None
    assert "call all 40 answers wrong" in judge_agreement(table(0, 30, 0, 10)).text


def test_a_judge_that_leans_to_one_side_is_seen_by_group():
    """The same judge, lenient with the answers of one version only."""
    rows = [
        Judged(human=i % 2 == 0, judge=(i % 2 == 0) or g == "new", group=g) for g in ("old", "new") for i in range(40)
    ]
    leans = judge_agreement(rows).leans
    assert (leans["old"].value, leans["new"].value) == (0, 0.5)
    assert leans["new"].low > 0.3
    assert leans["old"].low < 0 < leans["old"].high


def test_rows_of_a_file_are_read():
    """Words, truth values and numbers from 0 to 1; a number of the judge is its score; a wrong row is named."""
    read = judged_rows(
        [
            {"human": "Pass", "judge": 0.4, "group": "v2"},
            {"human": 1, "judge": "no", "score": -3},
            {"human": False, "judge": True},
        ]
    )
    assert read == [
        Judged(human=True, judge=False, score=0.4, group="v2"),
        Judged(human=True, judge=False, score=-3),
        Judged(human=False, judge=True),
    ]
    for row in (
        {"human": "good", "judge": True},
        {"human": True},
        {"human": True, "judge": 2},
        {"human": 1, "judge": 1, "score": "x"},
    ):
        with pytest.raises(InputError, match="row 2"):
            judged_rows([{"human": True, "judge": True}, row])


@pytest.fixture
def packs():
    """Skip, and say so, where the real data are absent."""
    absent = [name for name in measured.PACKS if not (measured.DATA / name).is_dir()]
    if absent:
        pytest.skip(f"real data absent: {', '.join(absent)} under {measured.DATA}; set SHARED_DATA")


def test_the_page_says_what_is_measured_on_real_judges(packs):
    """Every figure of the page about real judges is, to the letter, what the packs give."""
    page = PAGE.read_text(encoding="utf-8")
    stale = [part for part in measured.page_parts() if part not in page]
    assert not stale, "run `python tests/evals/judges_measured.py` and put this on the page:\n" + "\n\n".join(stale)


@pytest.mark.slow
def test_the_page_says_how_often_the_intervals_hold():
    """The simulated coverage of the intervals of kappa and AUC is what the page says."""
    page = PAGE.read_text(encoding="utf-8")
    stale = [part for part in measured.simulated_parts() if part not in page]
    assert not stale, "run `python tests/evals/judges_measured.py` and put this on the page:\n" + "\n\n".join(stale)
