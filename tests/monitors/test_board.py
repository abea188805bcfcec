"""Laws of what the loop publishes of its charts, and of the board that other processes read it from."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from charted import MONDAY_US, TRAFFIC, WHOLE, charts, monitor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from watched import HOUR_US, SCHEMA, WIDTH_US, Row, Store, at, rows, step, watch

from andon.monitors import Charts, Monitor, Objective, Point, Signal
from andon.monitors.board import ChartBoard
from andon.monitors.budget import budget_of, paging_weight
from andon.monitors.publication import KEY, STATE
from andon.monitors.run import chart_of, open_board
from andon.monitors.run.publishing import FOLDER, Publisher
from andon.store import Ledger, Place, Slice, Warehouse, keep_table, kept_table

BROKEN, LAST = 780, 816
"""Windows: 65 hours of history, so that some of it is only remembered by hours; three hours of harm."""

LIMIT = Objective(name="errors", metric="error", direction="up", at_most=0.02, source="test")
DAY_US = 24 * HOUR_US


def traffic() -> list[Row]:
    """An app whose errors and times rise, and one that falls silent."""
    shop = rows(
        {"a": step(0.01, 0.3, BROKEN), "b": 0.02}, lambda _: {"a": 0.5, "b": 0.5}, windows=range(LAST), per_window=10
    )
    rng = np.random.default_rng(7)
    for row in shop:
        slow = (row["time_us"] - at(0)) // WIDTH_US >= BROKEN and row["task"] == "a"
        row["latency_s"] = float(np.exp(rng.normal(2.0 if slow else 0.0, 0.5)))
    mute = rows(0.02, windows=range(BROKEN), per_window=10, seed=3)
    return [*shop, *({**row, "app": "mute"} for row in mute)]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, dict[str, tuple[Signal, ChartBoard]]]]:
    """The first signal of each chart, with a board of what was published when it was raised."""
    warehouse = Warehouse(tmp_path_factory.mktemp("told"), {"scores": SCHEMA})
    made = traffic()
    named = set().union(*made)
    warehouse.append("scores", pa.Table.from_pylist(made, schema=pa.schema([f for f in SCHEMA if f.name in named])))
    warehouse.commit()
    store = warehouse, Ledger("sqlite://")
    process, found = watch(store, objectives=[LIMIT], budget=50.0), {}
    process.advance(at(BROKEN))
    process.done()
    for window in range(BROKEN + 1, LAST + 1):
        for signal in process.advance(at(window)):
            board = open_board(warehouse.place)
            found.setdefault(signal.monitor, (signal, board))
        process.done()
    yield store, found
    warehouse.close()


CHARTS = {
    "binary": "shop/production/error.up/all",
    "part": "shop/production/error.up/task=a",
    "number": "shop/production/latency_s.up.tail/all",
    "objective": "shop/production/error.up/all/objective=errors",
    "traffic": "mute/production/traffic.down/all",
}


def same(ours: list[Point], theirs: list[Point]) -> None:
    """Counts are equal, limits to 1e-9."""
    assert [(p.start_us, p.end_us, p.n, p.x) for p in ours] == [(p.start_us, p.end_us, p.n, p.x) for p in theirs]
    for name in ("low", "centre", "high"):
        assert [getattr(p, name) for p in ours] == pytest.approx([getattr(p, name) for p in theirs], abs=1e-9)


@pytest.mark.parametrize("kind", CHARTS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_what_is_published_is_what_the_signal_shows(
    told: tuple[Store, dict[str, tuple[Signal, ChartBoard]]], kind: str, data: st.DataObject
) -> None:
    """Points of the board are those of `chart_of` for the same range: counts exactly, limits to 1e-9; by windows and by hours."""
    (warehouse, _), found = told
    signal, board = found[CHARTS[kind]]
    i = board.find(signal.monitor)
    assert i is not None
    last = (signal.at_us - at(0)) // WIDTH_US
    if data.draw(st.booleans(), label="windows"):
        start = data.draw(st.integers(last - 570, last - 1))
        end, points = data.draw(st.integers(start + 1, last)), data.draw(st.integers(1, 300))
        width = -(-(end - start) // points)
        end = min(last, start + -(-(end - start) // width) * width)
        if kind == "traffic":  # what is cut is expected whole by the one, in part by the other
            start, end = -(-(start + at(0) // WIDTH_US) // width), (end + at(0) // WIDTH_US) // width
            start, end = start * width - at(0) // WIDTH_US, end * width - at(0) // WIDTH_US
            if start >= end:
                return
            # of the same width, or the ends that were just put on it are in the middle of one
            points = (end - start) // width
    else:
        start, hours = 12 * data.draw(st.integers(3, 12)), data.draw(st.integers(1, 6))
        end = start + 12 * hours * data.draw(st.integers(1, (last - start) // 12 // hours))
        points = (end - start) // 12 // hours
        if kind == "traffic" and (at(start) % (hours * HOUR_US) or hours > 1):
            return
    theirs = chart_of(warehouse, signal, start_us=at(start), end_us=at(end), points=points)
    same(board.points(i, at(start), at(end), points), theirs)


def test_a_board_says_what_the_chart_knows(told: tuple[Store, dict[str, tuple[Signal, ChartBoard]]]) -> None:
    """State, rates of the last hour and day, and what is beside a chart agree with the signal and with the counts."""
    _, found = told
    signal, board = found[CHARTS["part"]]
    i = board.find(signal.monitor)
    assert i is not None
    state = board.state(i)
    assert (state.id, dict(state.scope), state.phase, state.until_us) == (
        signal.monitor, signal.scope, "watching", signal.at_us
    )  # fmt: skip
    assert (round(state.baseline_n), round(state.baseline_x)) == (signal.baseline_n, signal.baseline_x)
    assert state.threshold == signal.threshold
    assert state.clock == pytest.approx(signal.clock, rel=1e-5)
    hour = board.points(i, signal.at_us - HOUR_US, signal.at_us, 100)
    day = board.points(i, signal.at_us - DAY_US, signal.at_us, 300)
    assert state.rate_hour == pytest.approx(sum(p.x for p in hour) / sum(p.n for p in hour))
    assert state.rate_day == pytest.approx(sum(p.x for p in day) / sum(p.n for p in day))
    assert board.sparks([i])[0, -1] == pytest.approx(state.rate_hour)
    beside = [board.ids[j] for j in board.beside(i)]
    assert set(beside) == {"shop/production/error.up/all", "shop/production/error.up/task=b"}
    near = [board.state(j).nearness for j in board.beside(i)]
    assert near == sorted(near, reverse=True)
    assert list(board.search("TASK=A error", app="shop", metric="error", phase="watching")) == [i]
    assert board.search("task=a nowhere").tolist() == []


def test_silence_is_a_rate_too(told: tuple[Store, dict[str, tuple[Signal, ChartBoard]]]) -> None:
    """A chart of traffic that stopped says that everything is missing, in its state and in its spark."""
    _, found = told
    signal, board = found[CHARTS["traffic"]]
    i = board.find(signal.monitor)
    assert i is not None
    (point,) = board.points(i, signal.at_us - WIDTH_US, signal.at_us)
    assert point.x == point.n > 0
    later = max((b for _, b in found.values()), key=lambda b: b.until_us)
    j = later.find(signal.monitor)
    assert j is not None
    assert (later.state(j).rate_hour or 0) > (later.state(j).rate_day or 0) > 0


def test_a_typical_value_is_shown_by_its_rank(told: tuple[Store, dict[str, tuple[Signal, ChartBoard]]]) -> None:
    """The chart of a number's typical value lies at one half while nothing changes, within limits, and beyond them after."""
    _, found = told
    signal, board = found["shop/production/latency_s.up/task=a"]
    i = board.find(signal.monitor)
    assert i is not None
    calm = board.points(i, at(BROKEN) - DAY_US, at(BROKEN), 24)
    assert np.mean([p.x / p.n for p in calm]) == pytest.approx(0.5, abs=0.05)
    assert sum(p.low <= p.x / p.n <= p.high for p in calm) >= 23
    worse = board.points(i, at(BROKEN), signal.at_us, 24)
    assert sum(p.x for p in worse) / sum(p.n for p in worse) > calm[0].high


def test_health_counts_every_chart_of_people_once(told: tuple[Store, dict[str, tuple[Signal, ChartBoard]]]) -> None:
    """The rows `all` count every chart that is not quiet; the worst is that with the statistic nearest to its threshold."""
    _, found = told
    board = max((b for _, b in found.values()), key=lambda b: b.until_us)
    health = board.health()
    assert {row.category for row in health} == {"all"}
    assert sum(row.watching + row.learning for row in health) == sum(board.phases)
    error = next(row for row in health if row.metric == "error")
    near, metric = board.column("nearness"), board.texts("metric")
    assert error.worst is not None
    assert near[error.worst] == max(n for n, m in zip(near, metric, strict=True) if m == "error") == error.nearness
    assert error.signalled > 0
    assert len(error.spark) == 24
    assert error.harm == "availability"


# --- by hand: what a process holds, and what is on disk ------------------------------------------------------------------


class Weights:
    """Every observation stands for one interaction."""

    def weights_of(self, monitors: list[Monitor]) -> Any:
        return np.ones(len(monitors))


def turned(process: Charts, monitors: list[Monitor], windows: range, rate: float = 0.1, n: float = 20.0) -> int:
    """Advance with a steady rate; the end."""
    for m in monitors:
        process.index(m)
    given = np.full((2, len(windows), len(process.monitors)), n)
    given[1] *= rate
    first = MONDAY_US // process.window_us
    process.advance(first + windows.start, *given)
    return first + windows.stop


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where nothing is published yet."""
    return tmp_path


def test_an_empty_board_is_no_error(home: Path) -> None:
    """Where nothing is published there are no charts, no health and nothing to find; a number is refused by name."""
    board = open_board(home)
    assert (len(board), board.ids, board.health(), board.find("x"), board.phases) == (0, [], [], None, (0, 0))
    assert board.search("x").tolist() == []
    with pytest.raises(IndexError, match="no chart 0"):
        board.state(0)


def test_a_new_publication_is_seen_without_opening_again(home: Path) -> None:
    """An open board sees charts that were published after it was opened; one that was pinned stays as it was."""
    process, publisher, board = charts(width_us=WIDTH_US), Publisher(home), open_board(home)
    for k, windows in enumerate((range(30), range(30, 32), range(32, 35), range(35, 60))):  # two of them within an hour
        end = turned(process, [WHOLE, *(monitor(f"{j}") for j in range(k))], windows)
        pinned = board.pinned()
        publisher.publish(process, Weights(), end)  # type: ignore[arg-type]
        assert publisher.failed == ""
        assert board.refresh()
        assert not board.refresh()
        assert len(board) == k + 1
        assert board.until_us == end * WIDTH_US
        assert len(pinned) == k
        seen = board.points(0, board.begins_us, board.until_us, 1000)
        assert [(p.n, p.x) for p in seen] == [(20, 2)] * windows.stop
        assert [len(board.points(i, 0, board.until_us, 1000)) for i in range(1, k + 1)] == [
            windows.stop - begun for begun in (30, 32, 35)[:k]
        ]
    assert len(list((home / FOLDER).iterdir())) == 2


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    width=st.sampled_from([60, 300, 900, 3600, 7200]),
    seed=st.integers(0, 99),
)
def test_counts_survive_any_pace(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int], width: int, seed: int
) -> None:
    """However often it is published, and whatever the width of windows, the board has the counts that were turned."""
    process = charts(width_us=width * 1_000_000)
    publisher = Publisher(tmp_path_factory.mktemp("pace"))
    rng, made = np.random.default_rng(seed), []
    process.index(WHOLE)
    first = MONDAY_US // process.window_us
    for length in steps:
        n = rng.integers(1, 50, (length, 1)).astype(float)
        x = rng.binomial(n.astype(int), 0.2).astype(float)
        process.advance(first + len(made), n, x)
        made += list(zip(n[:, 0].astype(int), x[:, 0].astype(int), strict=True))
        publisher.publish(process, Weights(), first + len(made))  # type: ignore[arg-type]
    board = open_board(publisher._folder.here.parent)
    kept = made[-(48 * 3600 // width) :]
    points = board.points(0, board.until_us - len(kept) * process.window_us, board.until_us, len(kept))
    assert [(p.n, p.x) for p in points] == kept
    assert sum(p.n for p in board.points(0, 0, board.until_us, 10_000)) == sum(n for n, _ in made)


def test_a_chart_of_traffic_in_weights_shows_interactions(home: Path) -> None:
    """Where one row in ten is kept, what came and what usually comes are told in interactions, not in rows."""

    class Tens(Weights):
        def weights_of(self, monitors: list[Monitor]) -> Any:
            return np.full(len(monitors), 10.0)

    process, first = charts(width_us=WIDTH_US), MONDAY_US // WIDTH_US
    process.index(TRAFFIC)
    fives = np.arange(480)[:, None] < 470  # until then one in five was kept
    process.advance(first, np.where(fives, 1 / 60, 1 / 120), np.where(fives, 8.0, 4.0))
    Publisher(home).publish(process, Tens(), first + 480)  # type: ignore[arg-type]
    board = open_board(home)
    assert {(p.n, p.x) for p in board.points(0, board.until_us - 12 * WIDTH_US, board.until_us, 1)} == {(480, 0)}
    assert board.state(0).usual == pytest.approx(480, rel=0.01)


def test_a_crash_in_the_middle_leaves_the_publication_before(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that dies at any write of a publication leaves the one before, whole; the next one succeeds."""
    process, publisher, board = charts(width_us=WIDTH_US), Publisher(home), open_board(home)
    publisher.publish(process, Weights(), turned(process, [WHOLE], range(30)))  # type: ignore[arg-type]
    assert board.refresh()
    before = board.until_us

    class Killed(BaseException):
        pass

    rename = Path.replace
    for dies in (STATE, "counts"):

        def replace_or_die(self: Path, target: Path, dies: str = dies) -> Path:
            if Path(target).name.startswith(dies):
                raise Killed
            return rename(self, target)

        end = turned(process, [WHOLE], range(30, 50) if dies == STATE else range(50, 70))
        with monkeypatch.context() as patched:
            patched.setattr(Path, "replace", replace_or_die)
            with pytest.raises(Killed):
                publisher.publish(process, Weights(), end)  # type: ignore[arg-type]
        again = open_board(home)
        assert (again.until_us, len(again)) == (before, 1)
        assert len(again.points(0, 0, again.until_us, 1000)) == 30
    publisher.publish(process, Weights(), end)  # type: ignore[arg-type]
    assert board.refresh()
    assert len(board.points(0, 0, board.until_us, 1000)) == 70


def test_another_version_is_as_none(home: Path) -> None:
    """Tables of a version that this one does not know, or that say nothing of themselves, are as if they were not there."""
    process = charts(width_us=WIDTH_US)
    Publisher(home).publish(process, Weights(), turned(process, [WHOLE], range(30)))  # type: ignore[arg-type]
    state = kept_table(Place(home / FOLDER), STATE)
    assert state is not None
    told = json.loads(state.schema.metadata[KEY])
    for metadata in (
        {KEY: json.dumps({**told, "version": 99})},
        {KEY: "{"},
        {},
        {KEY: json.dumps({**told, "counts": "gone"})},
    ):
        keep_table(Place(home / FOLDER), STATE, state.replace_schema_metadata(metadata))
        assert len(open_board(home)) == 0
    keep_table(Place(home / FOLDER), STATE, state.replace_schema_metadata({KEY: json.dumps(told)}))
    assert len(open_board(home)) == 1


def test_two_processes_do_not_take_each_others_counts(home: Path) -> None:
    """Where two processes publish in turns, each state goes with the counts of its own process."""
    one, other = (charts(width_us=WIDTH_US) for _ in range(2))
    first, second = Publisher(home), Publisher(home)
    first.publish(one, Weights(), turned(one, [WHOLE], range(30), rate=0.1))  # type: ignore[arg-type]
    second.publish(other, Weights(), turned(other, [monitor("x"), WHOLE], range(30), rate=0.5))  # type: ignore[arg-type]
    first.publish(one, Weights(), turned(one, [WHOLE], range(30, 31), rate=0.1))  # type: ignore[arg-type]
    board = open_board(home)
    assert board.ids == [WHOLE.id]
    assert {(p.n, p.x) for p in board.points(0, 0, board.until_us, 1000)} == {(20, 2)}


def test_a_disk_that_refuses_stops_no_chart(home: Path) -> None:
    """Where nothing can be written the publisher says why and goes on; once it can be written, it is."""
    process, publisher = charts(width_us=WIDTH_US), Publisher(home)
    (home / FOLDER).write_text("in the way")
    end = turned(process, [WHOLE], range(30))
    publisher.publish(process, Weights(), end)  # type: ignore[arg-type]
    assert "cannot keep the table" in publisher.failed
    (home / FOLDER).unlink()
    publisher.publish(process, Weights(), end)  # type: ignore[arg-type]
    assert publisher.failed == ""
    assert len(open_board(home)) == 1


def test_risk_categories_have_rows_of_their_own(home: Path) -> None:
    """Charts of a risk category are in its rows and in those of `all`; probes are in neither."""
    risky = replace(WHOLE, scope=(("risk_category", "high"),))
    probes = replace(WHOLE, scope=(("source", "probe"),))
    process = charts(width_us=WIDTH_US)
    Publisher(home).publish(process, Weights(), turned(process, [WHOLE, risky, probes], range(60)))  # type: ignore[arg-type]
    board = open_board(home)
    counts = {(row.category, row.metric): row.watching + row.learning for row in board.health()}
    assert counts == {("all", "harm"): 2, ("high", "harm"): 1}
    assert [row.rate for row in board.health()] == pytest.approx([0.1, 0.1])
    assert len(board) == 3


def test_what_came_is_what_was_sent(told: tuple[Store, dict[str, tuple[Signal, ChartBoard]]]) -> None:
    """What came in the last hours is the number of interactions of all apps in them, those of a silent one included."""
    (warehouse, _), found = told
    board = max((b for _, b in found.values()), key=lambda b: b.until_us)
    times = warehouse.run(Slice(table="scores", columns=("time_us",)))["time_us"].to_pylist()
    for hours in (1, 24):
        begin_us = board.until_us - hours * HOUR_US
        assert board.came(hours) == pytest.approx(sum(begin_us <= t < board.until_us for t in times), abs=0.5)


def test_health_of_one_app_has_its_charts_only(told: tuple[Store, dict[str, tuple[Signal, ChartBoard]]]) -> None:
    """The rows of each app add up to those of all; an app that there is not has none."""
    _, found = told
    board = max((b for _, b in found.values()), key=lambda b: b.until_us)
    for what in ("watching", "learning", "signalled"):
        whole = sum(getattr(row, what) for row in board.health())
        assert sum(getattr(row, what) for app in ("shop", "mute") for row in board.health(app)) == whole
    assert board.health("nobody") == []
    for app in ("shop", "mute"):
        assert {board.ids[row.worst].split("/")[0] for row in board.health(app) if row.worst is not None} == {app}


def test_a_search_is_ordered_as_asked(told: tuple[Store, dict[str, tuple[Signal, ChartBoard]]]) -> None:
    """Every order lists the same charts; each is sorted by what it says, and levels and environments leave others out."""
    _, found = told
    board = max((b for _, b in found.values()), key=lambda b: b.until_us)
    near, by = set(board.search(limit=999).tolist()), {}
    for order in ("signal", "seen", "name"):
        by[order] = board.search(limit=999, order=order).tolist()
        assert set(by[order]) == near
    assert [board.ids[i] for i in by["name"]] == sorted(board.ids[i] for i in near)
    for order, column in (("signal", "signalled_us"), ("seen", "seen")):
        values = board.column(column)[by[order]].tolist()
        assert values == sorted(values, reverse=True)
    worst = [board.state(i) for i in board.search(limit=999).tolist()]
    recent = [s.signalled_us is not None and s.signalled_us > board.until_us - DAY_US for s in worst]
    ranks = [(told * (2 - s.warns), s.nearness) for told, s in zip(recent, worst, strict=True)]
    assert ranks == sorted(ranks, reverse=True)
    assert len({told for told, _ in ranks}) > 1
    warns, pages = (set(board.search(limit=999, warns=w).tolist()) for w in (True, False))
    assert warns | pages == near
    assert not warns & pages
    assert {board.state(i).warns for i in warns} <= {True}
    assert set(board.search(limit=999, environment="production").tolist()) == near
    assert board.search(limit=999, environment="nowhere").tolist() == []


def test_the_present_budget_gives_the_present_threshold(
    told: tuple[Store, dict[str, tuple[Signal, ChartBoard]]],
) -> None:
    """The row of the budget that is set has the threshold that the chart has; no row where no rate of harm could double."""
    _, found = told
    board = max((b for _, b in found.values()), key=lambda b: b.until_us)
    whole = paging_weight(board)
    for kind, chart in CHARTS.items():
        i = board.find(chart)
        assert i is not None
        rows = budget_of(board.state(i), whole, (25.0, 50.0))
        if kind == "traffic":
            assert rows == []
        else:
            assert rows[1].threshold == pytest.approx(board.state(i).threshold)
            assert rows[0].threshold == pytest.approx(2 * rows[1].threshold)
    typical = board.find("shop/production/latency_s.up/all")
    assert typical is not None
    assert budget_of(board.state(typical), whole) == []


def test_a_board_says_for_how_long_nothing_was_judged(told: tuple[Store, dict[str, tuple[Signal, ChartBoard]]]) -> None:
    """Up to fifteen minutes and three windows after the last window is in time; from then on it says how long; an empty one never is late."""
    _, found = told
    board = next(iter(found.values()))[1]
    allowed = 15 * 60_000_000 + 3 * WIDTH_US
    assert board.late_us(board.until_us + allowed) == 0
    assert board.late_us(board.until_us + allowed + 1) == allowed + 1
    assert ChartBoard(Nothing()).late_us(board.until_us) == 0


class Nothing:
    """Where nothing is published yet."""

    def stamp(self) -> None:
        """None."""

    def state(self) -> None:
        """None."""

    def counts(self, name: str) -> None:
        """None."""
