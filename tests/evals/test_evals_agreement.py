from pathlib import Path

import judges_measured as measured
import numpy as np
import pytest

from andon.errors import InputError
from andon.evals import Judged, judge_agreement, judge_shift, judged_rows
from andon.evals.agreement import area_under, cohens_kappa

PAGE = Path(__file__).parents[2] / "docs" / "methods" / "judge.md"


def table(both_pass, judge_only, human_only, both_fail):
    """Judged answers with these counts."""
    cells = ((True, True, both_pass), (False, True, judge_only), (True, False, human_only), (False, False, both_fail))
    return [Judged(human=h, judge=j) for h, j, n in cells for _ in range(n)]


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


def test_a_changed_judge_is_measured_on_the_same_answers():
    """The shift, both ways of differing and McNemar's p; a stricter judge is named, chance is not."""
    old = [True] * 80 + [False] * 20
    found = judge_shift(old, [True] * 70 + [False] * 30)
    assert (found.before, found.now, found.differ) == (0.8, 0.7, 10)
    assert found.shift.value == pytest.approx(-0.1)
    assert found.p == pytest.approx(2 / 2**10)
    assert "the new judge is stricter" in found.text
    assert "not shown" in judge_shift(old, [not o if i in (0, 99) else o for i, o in enumerate(old)]).text
    assert judge_shift(old, old).shift.low < 0 < judge_shift(old, old).shift.high
    with pytest.raises(InputError, match="100 answers and the new one 1"):
        judge_shift(old, [True])


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
