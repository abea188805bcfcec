"""The laws that `andon.testing` gives to plug-in authors hold for what is built in, and bite."""

from dataclasses import replace

import pytest

from andon.evals import make_target
from andon.golden import Case
from andon.scores import SCORERS, Scorer, hashed
from andon.settings import Settings
from andon.testing import check_embedder, check_scorer, check_target

CASE = Case(
    question="2 + 2?",
    answer=None,
    contexts=(),
    ground_truth="4",
    source="",
    failure_reason="",
    added_date="2026-01-01",
    id="G-1",
)


@pytest.mark.parametrize("scorer", SCORERS, ids=lambda s: s.name)
def test_every_built_in_scorer_keeps_the_laws(scorer: Scorer) -> None:
    """What we ask of plug-ins holds for our own scorers."""
    check_scorer(scorer)


def test_a_scorer_that_breaks_a_law_is_named() -> None:
    """A rate that is no rate, an unstable or a nameless scorer is refused."""
    good = SCORERS[0]
    with pytest.raises(AssertionError, match="rate"):
        check_scorer(replace(good, kind="binary", score=lambda *_: 0.5))
    with pytest.raises(AssertionError, match="identifier"):
        check_scorer(replace(good, name="My Scorer"))
    calls = iter(range(1000))
    with pytest.raises(AssertionError, match="two values"):
        check_scorer(replace(good, kind="number", score=lambda *_: float(next(calls))))


def test_the_hashed_embedder_keeps_the_laws() -> None:
    """What we ask of embedders holds for the one that is always there."""
    check_embedder(hashed.load(Settings()))


def test_a_python_target_keeps_the_laws() -> None:
    """A target made from a callable answers with an output."""
    assert check_target(make_target("python:json:dumps"), CASE).answer
