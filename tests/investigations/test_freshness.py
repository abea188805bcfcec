"""Laws of the look at retrieval: poorer passages against other answers from equal ones."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from andon.investigations.freshness import (
    age_days,
    corpus_drift,
    coverage,
    own_passage,
    retrieval_or_generation,
    unseen_documents,
)
from andon.traffic import Context, Interaction

DAY_US = 86_400_000_000
Judged = tuple[Interaction, bool]


def asked(
    k: int, score: float | None = None, *, text: str = "passage", doc: str | None = None, **fields
) -> Interaction:
    """An interaction with one passage."""
    return Interaction(id=f"i{k}", time_us=k, contexts=(Context(text=text, id=doc, score=score),), **fields)


def traffic(rng: np.random.Generator, n: int, mean: float, slope: float, base: float) -> list[Judged]:
    """Interactions whose harm rises as their retrieval score falls: ``base + slope (0.7 - score)``."""
    scores = np.clip(rng.normal(mean, 0.1, n), 0, 1)
    harm = rng.random(n) < np.clip(base + slope * (0.7 - scores), 0, 1)
    return [(asked(k, float(s)), bool(h)) for k, (s, h) in enumerate(zip(scores, harm, strict=True))]


@cache
def verdicts(mean: float, base: float, slope: float = 1.0, times: int = 40, n: int = 1000) -> dict[str, int]:
    """How often each verdict is given when passages move to this mean and harm at equal passages to this base."""
    rng = np.random.default_rng(int(1000 * mean + 10_000 * base))
    found = [
        retrieval_or_generation(traffic(rng, n, 0.7, slope, 0.2), traffic(rng, n, mean, slope, base)).verdict
        for _ in range(times)
    ]
    return {v: found.count(v) for v in ("retrieval", "generation", "both", "cannot tell")}


def test_poorer_passages_are_named() -> None:
    """Scores fall from 0.7 to 0.6 and harm follows the score as before: retrieval, and hardly ever generation."""
    found = verdicts(0.6, 0.2)
    assert found["retrieval"] >= 36
    assert found["generation"] == 0
    assert found["both"] <= 3


def test_other_answers_from_equal_passages_are_named() -> None:
    """Scores stay and harm rises at every score: generation, and never retrieval."""
    found = verdicts(0.7, 0.3)
    assert found["generation"] >= 36
    assert found["retrieval"] + found["both"] <= 2


def test_both_are_named() -> None:
    """Scores fall and harm rises at every score: both, or one of them, never a denial of both."""
    found = verdicts(0.6, 0.32)
    assert found["both"] >= 30


def test_nothing_is_named_where_nothing_moved() -> None:
    """Without any change neither is named in more than one in twenty times."""
    found = verdicts(0.7, 0.2)
    assert found["cannot tell"] >= 36


def test_poorer_passages_that_harm_nobody_are_acquitted() -> None:
    """Scores fall, but harm never depended on them, and rises for another reason: generation."""
    found = verdicts(0.6, 0.3, slope=0.0)
    assert found["generation"] >= 34
    assert found["retrieval"] == 0


def test_retrieval_that_stopped_is_said_and_its_limits_too() -> None:
    """No passages at all since: retrieval, with the words that nothing can be compared at equal passages."""
    before = [(asked(k, 0.7), k % 10 == 0) for k in range(200)]
    after = [(Interaction(id=f"a{k}", time_us=k), k % 2 == 0) for k in range(200)]
    found = retrieval_or_generation(before, after)
    assert found.verdict == "retrieval"
    assert "nothing was retrieved for 0 % before and 100 % since" in found.text
    assert "none can be compared" in found.text
    better = retrieval_or_generation(after, [(i, True) for i, _ in before])
    assert better.verdict == "cannot tell"


def test_more_answers_without_any_passage_are_retrieval() -> None:
    """Where nothing was retrieved is a kind of its own: a tenth before, half since, with more harm there, is retrieval."""

    def side(share: float) -> list[Judged]:
        without = [(Interaction(id=f"n{k}", time_us=k), k % 10 < 6) for k in range(int(1000 * share))]
        return without + [(asked(k, k % 50 / 50), k % 10 == 0) for k in range(int(1000 * (1 - share)))]

    found = retrieval_or_generation(side(0.1), side(0.5))
    assert found.verdict == "retrieval"
    assert found.by_retrieval == pytest.approx(0.2, abs=0.01)
    assert found.rows[1] == ("nothing", "60 of 100 (60 %)", "300 of 500 (60 %)")


def test_few_interactions_cannot_tell() -> None:
    """Below 40 on a side there is no verdict, and no share is claimed."""
    few = [(asked(k, 0.7), True) for k in range(39)]
    found = retrieval_or_generation(few * 5, few)
    assert (found.verdict, found.by_retrieval, found.by_generation) == ("cannot tell", 0.0, 0.0)


def test_an_app_without_retrieval_has_no_drift() -> None:
    """Where nothing was ever retrieved the answer is no; where nothing is known, "cannot tell"."""
    plain = [(Interaction(id=f"i{k}", time_us=k), True) for k in range(50)]
    assert corpus_drift(plain, plain).found == "no"
    assert corpus_drift([], []).found == "cannot tell"


def test_coverage_stands_in_for_scores() -> None:
    """Where no scores are sent, the share of the question's content words in the best passage is used, and named."""
    i = asked(1, query="What is the dose of aspirin?", text="The usual dose of aspirin is one tablet.")
    assert coverage(i) == 1.0
    assert coverage(asked(1, query="What is the dose of aspirin?", text="Paris is a town.")) == 0.0
    assert coverage(Interaction(id="i", time_us=0, query="dose?")) is None
    rows = [(i, k % 9 == 0) for k in range(50)]
    assert retrieval_or_generation(rows, rows).measure == "coverage"


def test_own_passage() -> None:
    """The expected answer is found in a passage, is not, or is not known."""
    told = {"expected_answer": "one tablet of aspirin daily"}
    assert own_passage(asked(1, text="Take one tablet of aspirin daily.", **told)) is True
    assert own_passage(asked(1, text="Paris is a town.", **told)) is False
    assert own_passage(asked(1, text="Take one tablet of aspirin daily.")) is None


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("(1970-01-05) news", 6.0),
        ("1970-01-02, revised 1970-01-09", 2.0),
        ("undated", None),
        ("1970-13-45", None),
        ("1969-12-31", 11.0),
        ("2026-01-0199", None),
    ],
)
def test_age_of_passages(text: str, days: float | None) -> None:
    """The newest date in the id or at the beginning of a passage gives the age; nonsense gives none."""
    assert age_days(Interaction(id="i", time_us=10 * DAY_US, contexts=(Context(text=text),))) == days


def test_new_documents_are_held_against_how_new_documents_usually_are() -> None:
    """A large corpus always shows new documents; only more of them than usual count, and often retrieved ones can vanish."""
    rng = np.random.default_rng(3)
    before = [asked(k, doc=f"d{rng.integers(40)}") for k in range(400)]
    same = [asked(1000 + k, doc=f"d{rng.integers(40)}") for k in range(400)]
    other = [asked(1000 + k, doc=f"n{rng.integers(40)}") for k in range(400)]
    (x1, n1), (x2, n2), vanished = unseen_documents(before, same)
    assert (n1, n2, vanished) == (200, 400, 0)
    assert abs(x1 / n1 - x2 / n2) < 0.05
    (x1, _), (x2, n2), vanished = unseen_documents(before, other)
    assert (x2, n2) == (400, 400)
    assert vanished >= 20
    assert (
        "more interactions draw mostly on documents"
        in corpus_drift(*([(i, False) for i in s] for s in (before, other))).text
    )


def test_the_change_log_is_told() -> None:
    """What the log says of corpus and index stands in the text, and the strata in the table."""
    rng = np.random.default_rng(4)
    found = corpus_drift(
        traffic(rng, 1000, 0.7, 1.0, 0.2), traffic(rng, 1000, 0.55, 1.0, 0.2), stale="the index was not rebuilt"
    )
    assert found.found == "yes"
    assert found.text.startswith("Retrieval: harm rises because passages became poorer; of +")
    assert "the index was not rebuilt" in found.text
    assert "retrieval score moved: 0.699 before, 0.549 since" in found.text
    assert found.rows[0] == ("retrieval score", "harmed before", "harmed since")


@pytest.mark.slow
def test_the_page_says_what_the_worlds_give() -> None:
    """The table of simulated worlds in docs/methods/mechanisms.md is what these worlds give, to the letter."""
    worlds = {
        "poorer passages": verdicts(0.6, 0.2),
        "worse answers at equal passages": verdicts(0.7, 0.3),
        "both": verdicts(0.6, 0.32),
        "poorer passages that harm nobody, and worse answers": verdicts(0.6, 0.3, slope=0.0),
        "no change": verdicts(0.7, 0.2),
    }
    rows = [f"| {name} | {' | '.join(map(str, found.values()))} |" for name, found in worlds.items()]
    table = "\n".join(
        ("| what happened | retrieval | generation | both | cannot tell |", "|---|---|---|---|---|", *rows)
    )
    page = Path(__file__).parents[2] / "docs" / "methods" / "mechanisms.md"
    assert table in page.read_text(encoding="utf-8"), "put this on the page:\n" + table
