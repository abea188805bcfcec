import json

import numpy as np
import pytest

from andon.errors import InputError
from andon.golden import LabelRow
from andon.golden.run import CaseVectors, add_cases, capture, decide, decided_pairs, label_failures, tune_on
from andon.golden.tune import GRID, Pair, at_threshold, parse_pairs, tune, word_overlap
from andon.stats import clopper_pearson


def pairs(n, same, language="en", source="", text="how is the weather"):
    """Pairs that are or are not the same."""
    return [Pair(a=text, b=text, same=same, language=language, source=source)] * n


def test_precision_recall_and_f1_are_those_of_counting():
    """By hand: of 4 called the same 3 are, of 5 that are the same 3 are called so."""
    same = np.array([1, 1, 1, 0, 1, 1, 0], bool)
    scores = np.array([1.0, 0.95, 0.92, 0.92, 0.91, 0.1, 0.2])
    p = at_threshold(same, scores, 0.92)
    assert (p.n, p.right, p.precision, p.recall, p.f1) == (4, 3, 3 / 4, 3 / 5, 6 / 9)
    assert (p.low, p.high) == clopper_pearson(3, 4)
    none = at_threshold(same, scores - 1, 0.92)
    assert (none.n, none.precision, none.low, none.high, none.recall, none.f1) == (0, None, 0.0, 1.0, 0.0, 0.0)


def test_the_lowest_threshold_that_is_surely_precise_is_picked():
    """The interval's lower end decides: 100 right ones and one wrong are not enough for 95 %, 400 and one are."""
    given = [*pairs(400, True), *pairs(1, False), *pairs(50, False)]
    cosines = np.array([0.85] * 400 + [0.86] + [0.6] * 50)
    (found,) = tune(given, cosines)
    assert found.chosen == 0.61
    few = [*pairs(72, True), *pairs(72, False)]
    assert tune(few, np.array([0.85] * 72 + [0.4] * 72))[0].chosen == GRID[0]
    (found,) = tune(few[1:], np.array([0.85] * 71 + [0.4] * 72))
    assert found.chosen is None
    assert "cannot tell" in found.why


def test_easy_pairs_do_not_hide_what_happens_to_hard_ones():
    """A threshold below whose precision one source stays is not picked for the language, however large the other source."""
    easy = [*pairs(900, True, source="easy"), *pairs(900, False, source="easy")]
    hard = [*pairs(30, True, source="hard"), *pairs(30, False, source="hard")]
    cosines = np.array([0.8] * 900 + [0.1] * 900 + [0.95] * 30 + [0.7] * 30)
    language, one, two = tune([*easy, *hard], cosines)
    assert (language.source, one.source, two.source) == (None, "easy", "hard")
    assert one.chosen == GRID[0]
    assert language.chosen == 0.71
    assert tune([*easy, *pairs(60, True, source="hard")], cosines)[0].chosen == GRID[0]


def test_a_threshold_that_one_source_carries_says_so():
    """Each source must be as precise as promised, few pairs or not; one that cannot show it by itself is named."""
    easy = [*pairs(900, True, source="easy"), *pairs(10, False, source="easy")]
    scored = [0.8] * 900 + [0.1] * 10
    for wrong, chosen in ((1, 0.51), (0, 0.5)):
        hard = [*pairs(19 - wrong, True, source="hard\x1b"), *pairs(wrong, False, source="hard\x1b")]
        cosines = np.array(scored + [0.8] * (19 - wrong) + [0.505] * wrong)
        language, *_ = tune([*easy, *hard], cosines)
        assert language.chosen == chosen
        assert f'not shown by the pairs of "hard\\x1b" ({19 - wrong} of {19 - wrong}) alone' in language.why
    assert "alone" not in tune([*easy, *pairs(100, True, source="b")], np.array([*scored, *[0.8] * 100]))[0].why


def test_a_threshold_is_picked_only_where_pairs_can_tell():
    """Where fewer than ten pairs are not the same by the cosine alone, every threshold looks right: none is picked. Nor is one below all pairs."""
    numbers = [Pair(a="is 17 a prime", b="is 19 a prime", same=False, language="en")] * 20
    for others, told in ((pairs(9, False), 9), ([], 0), (numbers, 0)):
        given = [*pairs(400, True), *others]
        (found,) = tune(given, np.array([0.95] * 400 + [0.93] * len(others)))
        assert (found.chosen, found.overlap_chosen) == (None, None)
        assert f"cannot tell: {told} pairs are not the same" in found.why
    given = [*pairs(400, True), *pairs(10, False)]
    assert tune(given, np.array([0.95] * 400 + [0.905] * 10))[0].chosen == 0.91
    assert tune(given, np.array([0.95] * 399 + [0.925] + [0.96] * 10))[0].chosen == 0.93


def test_word_overlap_has_its_own_threshold():
    """The baseline is measured by the same rule as the cosine: its threshold too is picked on the pairs."""
    same = [Pair(a="a b c d e f g h", b="a b c d e f g i", same=True, language="en")] * 100  # 7 of 9 words
    other = [Pair(a="a b c d e f g h", b="a b c d e f x y", same=False, language="en")] * 100  # 6 of 10
    (found,) = tune([*same, *other], np.zeros(200))
    assert (found.chosen, found.overlap_chosen, found.overlap_auc) == (None, 0.61, 1.0)


def test_labels_that_are_turned_round_are_seen():
    """An AUC below 0.3 is a sign that `same` is coded the other way round; with few pairs there is no AUC."""
    given = [*pairs(50, False), *pairs(50, True)]
    (found,) = tune(given, np.linspace(1, 0, 100))
    assert found.inverted
    assert found.auc == 0
    assert not tune(given, np.linspace(0, 1, 100))[0].inverted
    assert tune(given[45:], np.linspace(1, 0, 55))[0].auc is None


def test_other_numbers_are_never_called_the_same():
    """As in use: two questions with other numbers are two tests, however near they are; the AUC puts them last as well."""
    given = [Pair(a="is 17 a prime", b="is 19 a prime", same=False, language="en")] * 20
    (found,) = tune([*given, *pairs(20, True)], np.array([1.0] * 20 + [0.6] * 20))
    assert all(p.n == p.right for p in (*found.points, *found.overlap))
    assert (found.auc, found.overlap_auc) == (1, 1)


def test_word_overlap_is_the_share_of_words_in_common():
    """Jaccard on words, whatever their case and punctuation; texts without words have nothing in common."""
    assert word_overlap("How tall is K2?", "how tall is it") == 3 / 5
    assert word_overlap("?", "!") == 0


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_pairs_are_read_from_both_forms(form):
    """JSONL and CSV give the same pairs: words for true and false, a language by its code, its script or its words."""
    rows = [
        {"a": "wie hoch ist der Berg, und wo ist er", "b": "x", "same": "1", "lang": "", "source": "s"},
        {"a": "에베레스트", "b": "y", "same": "No", "lang": "ko", "source": ""},
        {"a": "z, quoted", "b": "z", "same": "TRUE", "lang": "EN", "source": ""},
    ]
    if form == "jsonl":
        text = "".join(json.dumps(r) + "\n\n" for r in rows)
    else:
        text = "\ufeffa,b,same,lang,source\r\n" + "".join(
            '"{a}",{b},{same},{lang},{source}\r\n'.format(**r) for r in rows
        )
    found = parse_pairs(text)
    assert [(p.same, p.language, p.source) for p in found] == [
        (True, "de", "s"),
        (False, "korean", ""),
        (True, "en", ""),
    ]
    assert parse_pairs('{"a": "q", "b": "r", "same": 0}')[0].same is False


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": "q", "b": "r", "same": true}\n{"a": "q"}', "line 2"),
        ('{"a": "q", "b": "r", "same": 2}', "same = 2"),
        ('{"a": "q", "b": "r", "same": 1.0}', "same = "),
        ('{"a": "q", "b": " ", "same": true}', "two questions"),
        ("{nonsense", "line 1"),
        ("a,b\nq,r\n", "same = "),
        ("", "holds no pair"),
    ],
)
def test_a_row_that_is_no_pair_is_named(text, said):
    """A file with a wrong row is refused, with the line and what is allowed."""
    with pytest.raises(InputError, match="pairs") as error:
        parse_pairs(text)
    assert said in str(error.value)


def test_what_people_decided_are_pairs(ledger, failure, words, now_us):
    """A refusal and a variant say that two questions are the same, keep that they are not; proposals say nothing."""
    asked = "may I take a cat on board of the night train to Rome"
    failures = [failure(f"{asked}{more}") for more in ("", " now", " please", " sir", " madam")]
    capture(ledger, failures, now_us=now_us)
    rows = [LabelRow(line=1, id=f.id, question=None, ground_truth="yes") for f in failures]
    label_failures(ledger, rows, now_us=now_us, by="ann")
    vectors = CaseVectors(words)
    add_cases(ledger, words, now_us=now_us, by="ann", vectors=vectors)
    assert decided_pairs(ledger) == ()
    for f, choice in zip(failures[1:4], ("refuse", "variant", "keep"), strict=True):
        decide(ledger, vectors, f.id, choice, why="looked", by="bob", now_us=now_us)
    found = decided_pairs(ledger)
    assert {p.a.removeprefix(asked): (p.b, p.same) for p in found} == {
        " now": (asked, True),
        " please": (asked, True),
        " sir": (asked, False),
    }
    assert decided_pairs(ledger, "other") == ()
    assert tune_on(words, found)[0].n == 3
    with pytest.raises(InputError, match="golden decide"):
        tune_on(words, ())
