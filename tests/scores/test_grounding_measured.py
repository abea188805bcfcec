"""The figures on the page `docs/methods/groundedness.md` are those that are measured."""

from collections.abc import Callable, Sequence
from pathlib import Path

import grounding_measured as measured
import pytest
from scores_measured import DATA

PAGE = Path(__file__).parents[2] / "docs" / "methods" / "groundedness.md"
PACKS = ("rag-grounded-dialogue", "rag-mtrag", "rag-expertqa", "rag-ragtruth")


@pytest.fixture(autouse=True)
def packs() -> None:
    """Skip, and say so, where the real data are absent."""
    absent = [name for name in PACKS if not (DATA / name).is_dir()]
    if absent:
        pytest.skip(f"real data absent: {', '.join(absent)} under {DATA}; set SHARED_DATA")


@pytest.mark.slow
def test_the_page_says_what_is_measured() -> None:
    """Every table of the page is, to the letter, what the present scorer gives on the packs."""
    page = PAGE.read_text(encoding="utf-8")
    stale = [part for part in measured.page_parts() if part not in page]
    assert not stale, "run `python tests/scores/grounding_measured.py` and put this on the page:\n" + "\n\n".join(stale)


def test_people_and_the_scorer_agree_on_what_was_made_up() -> None:
    """On answers by which nothing was chosen the AUC is at least 0.92 (version 1: 0.83), and no model's is below 0.85."""
    judged = measured.dialogue(1)
    assert _auc(judged) >= 0.92
    for model in ("wow, ctrl", "wow, t5", "wow, doha", "wow, gpt2"):
        assert _auc([j for j in judged if j.part == model]) >= 0.85, model


def test_unfaithful_answers_have_less() -> None:
    """Answers that people grade below 3 of 4 for faithfulness: AUC at least 0.88 (version 1: 0.87)."""
    rated = measured.turns()
    value = [measured.groundedness(j.answer, j.passages) for j in rated]
    assert None not in value
    grades = measured.np.array([j.label for j in rated])
    assert measured.faithful(measured.np.array(value, dtype=float), grades) >= 0.88


@pytest.mark.parametrize("pack", [measured.dialogue, measured.others, measured.claims])
def test_the_rules_cost_nothing_beside_the_plain_share_of_words(pack: Callable[[], list[measured.Judged]]) -> None:
    """No rule may lose more than one point of AUC of what the plain share of words has, on any pack."""
    judged = [j for j in pack() if measured.groundedness(j.answer, j.passages) is not None]
    assert _auc(judged) >= _auc(judged, measured.plain_share) - 0.01


def _auc(
    judged: list[measured.Judged], score: Callable[[str, Sequence[str]], float | None] = measured.groundedness
) -> float:
    told = [(v, j.label) for j in judged if (v := score(j.answer, j.passages)) is not None]
    values, labels = (measured.np.array(x, dtype=float) for x in zip(*told, strict=True))
    return measured.auc(values, labels)
