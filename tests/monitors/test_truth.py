"""The true rate from few labels and a cheap score: the pure part, the reading of the store, and the command."""

import contextlib
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import typer

from andon.cli import main, screen
from andon.cli import truth as command
from andon.errors import InputError
from andon.monitors.run import rate_from_labels
from andon.monitors.truth import GivenLabel, ScoreCell, ScoreSums, Truth, truth_of
from andon.scores import score_schema
from andon.scores.builtin import SCORERS
from andon.scores.run import score_feedback, score_new
from andon.stats import bin_of
from andon.stats.labels import ppi_rate
from andon.store import Span, Warehouse

DAY_US = 86_400_000_000
START_US = 1_700_000_000_000_000
SCHEMA = score_schema(SCORERS)


def traffic(scores, weights=None):
    """The spread of scores over the traffic, as the warehouse tells it."""
    weights = np.ones(len(scores)) if weights is None else weights
    cells, sums = {}, {}
    for score, weight in zip(scores, weights, strict=True):
        key = (bin_of(score), weight)
        cells[key] = cells.get(key, 0) + 1
        n, total, squares = sums.get(weight, (0, 0.0, 0.0))
        sums[weight] = (n + 1, total + score, squares + score * score)
    return (
        [ScoreCell(bin=b, weight=w, n=n) for (b, w), n in cells.items()],
        [ScoreSums(weight=w, n=n, total=t, squares=s) for w, (n, t, s) in sums.items()],
    )


def made(rng, n, rate=0.2, good=0.8):
    """Harm and a score in 0..1 that is low where there is harm, so far as it is good."""
    harm = rng.random(n) < rate
    score = np.where(rng.random(n) < good, np.where(harm, 0.1, 0.9), 0.5) + rng.random(n) / 20
    return harm, score


def estimate(harm, score, chosen, weights=None, **options) -> Truth:
    """What the labels of the chosen interactions say about all of them."""
    weights = np.ones(len(harm)) if weights is None else weights
    labels = [GivenLabel(harm=bool(harm[i]), score=float(score[i]), weight=float(weights[i])) for i in chosen]
    return truth_of(*traffic(score, weights), labels, np.random.default_rng(1), worst="down", **options)


def test_few_labels_say_nothing_but_that_they_are_few() -> None:
    """With nine labels there is no rate: how many are missing is said, and where they belong."""
    harm, score = made(np.random.default_rng(2), 2000)
    found = estimate(harm, score, range(9), plan=60)
    assert found.interval is None
    assert found.method == "none"
    assert "at least 1 more" in found.reason
    assert sum(s.next_labels for s in found.strata) == 60
    assert found.needed is not None
    none = estimate(harm, score, [], plan=100)
    assert none.interval is None
    assert [s.next_labels >= 10 for s in none.strata] == [True] * 3
    assert "at least 10 more" in none.reason


def test_no_scored_traffic_is_said() -> None:
    """Where nothing has the score there is no rate, and no plan."""
    found = truth_of([], [], [GivenLabel(harm=True, score=1.0)] * 50, np.random.default_rng(1), worst="down")
    assert found.interval is None
    assert (found.scored, found.strata, found.reason) == (0, (), "no interaction has this score")


def test_strata_are_those_of_the_traffic() -> None:
    """Worst scores first, shares that sum to 1, ends at the worst fifth and the worse half, at either direction."""
    rng = np.random.default_rng(3)
    score = rng.random(5000) + 0.5
    labels = [GivenLabel(harm=False, score=float(v)) for v in score[:100]]
    down, up = (truth_of(*traffic(score), labels, rng, worst=w) for w in ("down", "up"))
    assert [round(s.share, 1) for s in down.strata] == [0.2, 0.3, 0.5]
    assert [round(s.share, 1) for s in up.strata] == [0.2, 0.3, 0.5]
    assert sum(s.share for s in down.strata) == pytest.approx(1)
    assert down.strata[0].highest <= down.strata[1].lowest <= down.strata[2].lowest
    assert up.strata[0].lowest >= up.strata[1].highest
    assert sum(s.labels for s in down.strata) == 100
    assert sum(s.scored for s in down.strata) == 5000


def test_a_yes_or_no_score_has_two_strata() -> None:
    """A score of 0 or 1 makes two strata with these ends, however many labels there are; a constant one makes one."""
    score = np.repeat([0.0, 1.0], [700, 300])
    labels = [GivenLabel(harm=v == 1.0, score=v) for v in score[::4]]
    found = truth_of(*traffic(score), labels, np.random.default_rng(1), worst="up")
    assert [(s.lowest <= v <= s.highest, s.scored) for s, v in zip(found.strata, (1.0, 0.0), strict=True)] == [
        (True, 300),
        (True, 700),
    ]
    same = truth_of(*traffic(np.ones(500)), labels, np.random.default_rng(1), worst="up")
    assert len(same.strata) == 1


@pytest.mark.parametrize("good", [0.9, 0.0])
def test_a_bad_score_does_not_make_the_rate_wrong(good: float) -> None:
    """Whether the score knows all or nothing, the mean of many estimates is the true rate; only the width differs."""
    rng = np.random.default_rng(4)
    found = []
    for _ in range(40):
        harm, score = made(rng, 4000, rate=0.2, good=good)
        found.append(estimate(harm, score, rng.choice(4000, 150, replace=False)).interval)
    assert np.mean([i.rate for i in found]) == pytest.approx(0.2, abs=0.02)
    assert np.mean([i.low <= 0.2 <= i.high for i in found]) >= 0.85


def test_labels_may_be_given_where_the_score_is_bad() -> None:
    """Labels drawn five times as often from the worst fifth do not bias the rate, and PPI++ is not used on them."""
    rng = np.random.default_rng(5)
    found = []
    for _ in range(25):
        harm, score = made(rng, 4000, rate=0.2, good=0.9)
        p = np.where(score < 0.4, 5.0, 1.0)
        found.append(estimate(harm, score, rng.choice(4000, 400, replace=False, p=p / p.sum())))
    assert {f.method for f in found} == {"stratified"}
    assert "spread" in found[0].reason
    assert np.mean([f.interval.rate for f in found]) == pytest.approx(0.2, abs=0.012)


def test_sampling_weights_count() -> None:
    """High-risk rows of weight 1 and rate 60 % beside sampled ones of weight 20 and 5 %: the rate is that of the traffic."""
    rng = np.random.default_rng(6)
    found = []
    for n in (200, 400):  # the stratified estimate, and PPI++
        for _ in range(25):
            high = np.arange(3000) < 1500
            harm = rng.random(3000) < np.where(high, 0.6, 0.15)
            score = np.where(rng.random(3000) < 0.7, 1.0 - harm, 0.5)
            weights = np.where(high, 1.0, 20.0)
            truth = estimate(harm, score, rng.choice(3000, n, replace=False), weights)
            found.append(truth.interval.rate)
            assert truth.stands_for == pytest.approx(1500 + 1500 * 20)
    assert np.mean(found) == pytest.approx((0.6 + 20 * 0.15) / 21, abs=0.015)  # unweighted: 0.375


def test_many_labels_at_a_high_rate_use_every_score() -> None:
    """With 400 evenly drawn labels at 20 % the estimate is PPI++ with the unlabelled scores, to the last digit."""
    rng = np.random.default_rng(7)
    harm, score = made(rng, 3000, good=0.6)
    found = estimate(harm, score, range(400))
    rest = score[400:]
    by_hand = ppi_rate(
        harm[:400].astype(float), score[:400], mean=rest.mean(), variance=rest.var(), scored=2600, weight=np.ones(400)
    )
    assert found.method == "ppi"
    assert found.interval.rate == pytest.approx(by_hand.rate)
    assert found.interval.low == pytest.approx(by_hand.low)
    assert "uses every score" in found.reason


def test_everything_labelled_is_no_error() -> None:
    """Where every interaction is labelled the rate is theirs."""
    harm, score = made(np.random.default_rng(8), 400)
    found = estimate(harm, score, range(400))
    assert found.method == "stratified"
    assert found.interval.rate == pytest.approx(harm.mean(), abs=0.01)


def test_the_wish_is_priced() -> None:
    """A smaller half-width takes more labels, about as the square; one that the traffic cannot give is None."""
    harm, score = made(np.random.default_rng(9), 5000)
    wide, narrow, hopeless = (estimate(harm, score, range(200), half_width=h).needed for h in (0.04, 0.02, 0.0005))
    assert 4 * wide <= narrow <= 5 * wide  # a little more: the shares of the strata are estimated too
    assert hopeless is None


def test_the_same_data_give_the_same_figures() -> None:
    """The posterior is drawn from the generator that was given: asked twice, it says the same."""
    harm, score = made(np.random.default_rng(10), 1000)
    assert estimate(harm, score, range(60)) == estimate(harm, score, range(60))


# ---------------------------------------------------------------------------------------------------- the store


def row(identity, day=0, app="shop", **values):
    """One row of the table `scores`."""
    filled = {
        "id": identity, "interaction_id": identity, "time_us": START_US + day * DAY_US, "weight": 1.0, "scorers": "s",
        "app": app, "environment": "production", **values,
    }  # fmt: skip
    return {name: filled.get(name) for name in SCHEMA.names}


def thumb(n, of, value, day=1, **values):
    """A thumb as scores have it: a row of its own with the interaction's id."""
    return {**row(f"feedback/{n}", day, thumbs=value, **values), "interaction_id": of}


def store(tmp_path: Path, rows) -> Warehouse:
    """A warehouse with these scores."""
    warehouse = Warehouse(tmp_path / "w", {"scores": SCHEMA})
    warehouse.append("scores", pa.Table.from_pylist(rows, schema=SCHEMA))
    warehouse.commit()
    return warehouse


def asked(warehouse: Warehouse, **changed):
    """The rate by thumbs with groundedness as the cheap score, of the first day."""
    options = {
        "app": "shop", "environment": "production", "metric": "thumbs", "proxy": "groundedness",
        "span": Span(start_us=START_US, end_us=START_US + DAY_US), "now_us": START_US + 30 * DAY_US,
    }  # fmt: skip
    return rate_from_labels(warehouse, SCORERS, np.random.default_rng(1), **{**options, **changed})


def test_labels_are_joined_with_their_interaction(tmp_path: Path) -> None:
    """Thumbs given days later count for the day of their interaction; the last one of each counts; others do not."""
    rows = [row(f"i{n}", groundedness=0.2 if n % 4 == 0 else 0.9) for n in range(400)]
    rows += [thumb(n, f"i{n}", 0.0 if n % 4 == 0 else 1.0, day=5) for n in range(100)]
    rows += [thumb(1000, "i1", 0.0, day=4)]  # taken back the day after
    rows += [row("late", day=2, groundedness=0.2), thumb(1001, "late", 0.0)]  # another day's
    rows += [row("other", app="till", groundedness=0.2), thumb(1002, "other", 0.0, app="till")]
    rows += [row("unscored"), thumb(1003, "unscored", 0.0)]
    rows += [row("probe", groundedness=0.2, source="probe"), thumb(1004, "probe", 0.0, source="probe")]
    warehouse = store(tmp_path, rows)
    found, lost = asked(warehouse)
    assert (found.scored, found.labels, lost) == (400, 100, 2)
    assert sum(s.harmed for s in found.strata) == 25
    assert [(s.labels, s.harmed) for s in found.strata] == [(25, 25), (75, 0)]
    assert found.interval.rate == pytest.approx(0.25, abs=0.02)
    assert found.interval.high - found.interval.low < 0.15
    warehouse.close()


def test_what_users_only_tell_when_it_is_bad_is_harm(tmp_path: Path) -> None:
    """A correction is harm, and its absence is not: 4 % corrected is a rate of 4 %."""
    rows = [row(f"i{n}", groundedness=0.9, correction=0.0) for n in range(1000)]
    rows += [{**row(f"feedback/{n}", 1, correction=1.0), "interaction_id": f"i{n}"} for n in range(40)]
    warehouse = store(tmp_path, rows)
    found, _ = asked(warehouse, metric="correction")
    assert found.interval.rate == pytest.approx(0.04, abs=0.01)
    warehouse.close()


def test_weights_of_the_traffic_reach_the_estimate(tmp_path: Path) -> None:
    """Rows of weight 20 count twenty times: a tenth of the rows, two thirds of the traffic."""
    rows = [row(f"i{n}", groundedness=0.9, weight=20.0 if n % 10 == 0 else 1.0) for n in range(1000)]
    rows += [thumb(n, f"i{n}", float(n % 10 != 0), weight=20.0 if n % 10 == 0 else 1.0) for n in range(200)]
    warehouse = store(tmp_path, rows)
    found, _ = asked(warehouse)
    assert found.stands_for == pytest.approx(900 + 100 * 20)
    assert found.interval.low < 20 / 29 < found.interval.high
    assert found.interval.rate > 0.55
    warehouse.close()


def test_a_metric_or_score_that_is_none_is_refused(tmp_path: Path) -> None:
    """What is not given by people, or not scored, is named, with what is allowed."""
    warehouse = store(tmp_path, [row("i")])
    with pytest.raises(InputError, match="thumbs"):
        asked(warehouse, metric="error")
    with pytest.raises(InputError, match="groundedness"):
        asked(warehouse, proxy="no_such_score")
    found, lost = asked(warehouse)
    assert (found.interval, lost) == (None, 0)
    warehouse.close()


# ---------------------------------------------------------------------------------------------------- the command


@pytest.fixture
def type_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """A function that types `andon truth ...` in a home of its own; others go through the whole command line."""
    monkeypatch.setenv("ANDON_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ANDON_EMBEDDER", "hashed")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    alone = typer.Typer()
    command.add_to(alone)

    def run(*words: str) -> str:
        if words[0] == "truth":
            alone(list(words[1:]), standalone_mode=False)
        else:
            monkeypatch.setattr(sys, "argv", ["andon", *words])
            with contextlib.suppress(SystemExit):
                main()
        return capsys.readouterr().out

    return run


def test_the_command_says_rate_method_and_plan(type_, tmp_path: Path) -> None:
    """From files to the sentence: rate with interval, labels and interactions, method and reason, price and plan."""
    words = "alpha beta gamma delta epsilon"
    rows, thumbs = [], []
    for n in range(300):
        bad = n % 5 == 0
        rows.append({
            "id": f"i{n}", "time": START_US + n * 1_000_000, "app": "shop", "query": "which letters come first?",
            "answer": "Nobody here knows anything whatsoever about letters." if bad else f"The letters are {words}.",
            "contexts": [{"text": f"The letters are {words}."}],
        })  # fmt: skip
        if n < 60:
            said = {"id": f"f{n}", "interaction_id": f"i{n}", "time": START_US + DAY_US, "kind": "thumb"}
            thumbs.append({**said, "value": 0 if bad else 1})
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (tmp_path / "f.jsonl").write_text("".join(json.dumps(r) + "\n" for r in thumbs))
    type_("import", "t.jsonl")
    type_("import", "f.jsonl", "--feedback")
    with screen.opened() as loop:
        score_new(loop.warehouse, loop.ledger, loop.scorers, loop.embedder, now_us=START_US + 2 * DAY_US)
        score_feedback(loop.warehouse, loop.ledger, loop.scorers, now_us=START_US + 2 * DAY_US)
    when = ("--since", "2023-11-14", "--until", "2023-11-16")
    out = type_("truth", "thumbs", "--proxy", "groundedness", "--within", "0.06", "--plan", "40", *when)
    assert "harm by thumbs in shop: 20." in out
    assert "95% interval" in out
    assert "stratified by the score" in out
    assert "60 labels are fewer than 300" in out
    assert "from 60 labels and 300 interactions with groundedness" in out
    assert "a half-width of 6 points takes about" in out
    assert "next 40" in out
    assert "not drawn at random" in out
    out = type_("truth", "thumbs", "--proxy", "groundedness", "--within", "0.001", *when)
    assert "300 scored interactions are too few for a half-width of 0.1 points" in out
    out = type_("truth", "rating", "--proxy", "groundedness", *when)
    assert "cannot tell the rate of harm by rating in shop: 0 labels are too few; give at least 10 more" in out


def test_the_command_refuses_nonsense(type_) -> None:
    """An empty store and impossible numbers are named, with what to do."""
    with pytest.raises(InputError, match="nothing is scored"):
        type_("truth", "thumbs", "--proxy", "groundedness")
    with pytest.raises(InputError, match="between 0 and 1"):
        type_("truth", "thumbs", "--proxy", "groundedness", "--within", "7")
