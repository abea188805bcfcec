"""What `Watch` makes of what people say, on the real store: objectives, rules, a new normal, the history of a backtest."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from watched import END, HOUR_US, SHIFT, START_US, WIDTH_US, Row, Store, at, judged, rows, step, turned, watch, whole

from andon.errors import InputError
from andon.monitors import MonitorRule, Objective, Signal
from andon.monitors.records import Crowded, NewNormal
from andon.monitors.run import accept, chart_of, history_of
from andon.scores.builtin import SCORERS
from andon.store import Ledger, Span

# --- objectives and rules -----------------------------------------------------------------------------------------------


def limit(at_most: float, metric: str = "error", **fields: Any) -> Objective:
    """An objective of every app."""
    return Objective(name="limit", metric=metric, direction="up", at_most=at_most, source="test", **fields)


@pytest.mark.parametrize(("rate", "broken"), [(0.05, True), (0.01, False)])
def test_an_objective_is_told_by_its_own_chart(store: Callable[..., Store], rate: float, broken: bool) -> None:
    """A rate above the limit from the start pages on the chart of the objective, the learned one is silent; below, both are."""
    made = rows(rate)
    signals = turned(store(made), objectives=[limit(0.02)])
    assert {(s.metric, s.objective, s.level) for s in signals if s.level == "page"} == (
        {("error", "limit", "page")} if broken else set()
    )
    for s in signals:
        if s.level == "page":
            assert s.monitor.endswith("/objective=limit")
            assert s.baseline_rate == pytest.approx(0.02)
            inside = [r["error"] for r in made if s.onset_us <= r["time_us"] < s.at_us]
            assert (s.x, s.n) == (sum(inside), len(inside))
    assert whole(signals) == []


@pytest.mark.parametrize(("at_most", "broken"), [(0.05, True), (0.3, False)])
def test_an_objective_of_a_number_bounds_what_is_beyond(
    store: Callable[..., Store], at_most: float, broken: bool
) -> None:
    """Fifteen answers in a hundred take more than ten seconds: too many for 5 %, not for 30 %."""
    made = rows(0.15, metric="latency_s")
    for row in made:
        row["latency_s"] = 20.0 if row["latency_s"] else 3.0
    signals = turned(store(made), objectives=[limit(at_most, "latency_s", beyond=10.0)])
    assert {(s.metric, s.objective, s.aspect) for s in signals} == (
        {("latency_s", "limit", "beyond 10")} if broken else set()
    )
    for s in signals:
        assert s.cut == pytest.approx(10.0, rel=0.02)
        assert s.rate == pytest.approx(0.15, abs=0.06)


@pytest.mark.parametrize(("direction", "op"), [("up", ">="), ("down", "<")])
@pytest.mark.parametrize("bound", [5.0, 5.000000000000001])
def test_the_bound_of_an_objective_is_exact(store: Callable[..., Store], direction: str, op: str, bound: float) -> None:
    """The chart of a bound counts exactly the rows that its signals and drawings count, among values of one bin too."""
    made = rows(0.0, metric="output_tokens", per_window=30)
    rng = np.random.default_rng(5)
    for row in made:
        row["output_tokens"] = 5.0 if rng.random() < 0.2 else float(rng.normal(5, 0.1))
    warehouse, ledger = store(made)
    harm = [r["output_tokens"] >= bound if op == ">=" else r["output_tokens"] < bound for r in made]
    one = Objective(name="limit", metric="output_tokens", direction=direction, at_most=0.2, beyond=bound, source="test")  # type: ignore[arg-type]
    monitors, _, _, n, x = history_of(warehouse, SCORERS, objectives=[one])
    (chart,) = [i for i, m in enumerate(monitors) if m.objective]
    assert (n[:, chart].sum(), x[:, chart].sum()) == (len(made), sum(harm))
    signals = [s for s in turned((warehouse, ledger), objectives=[one]) if s.objective]
    assert signals
    for s in signals:
        assert s.cut == bound
        inside = [h for h, r in zip(harm, made, strict=True) if s.onset_us <= r["time_us"] < s.at_us]
        assert (s.x, s.n) == (sum(inside), len(inside))
        drawn = chart_of(warehouse, s, start_us=s.onset_us, end_us=s.at_us)
        assert (sum(p.x for p in drawn), sum(p.n for p in drawn)) == (s.x, s.n)


def test_a_bound_is_counted_at_any_pace(store: Callable[..., Store]) -> None:
    """Objectives of numbers, of people's traffic with weights that change and of probes, are told alike at any pace."""
    made = [*rows(0.15, metric="latency_s"), *rows(0.3, metric="latency_s", source="probe", seed=2, per_window=3)]
    for i, row in enumerate(made):
        later = 1 + (row["time_us"] >= at(SHIFT)) + (row["time_us"] >= at(END - 5))
        row.update(latency_s=20.0 if row["latency_s"] else 3.0, weight=(1.0, 4.0)[i % 2] * later, error=0.0)
    limits = [limit(0.05, "latency_s", beyond=10.0), replace(limit(0.1, "latency_s", beyond=10.0), name="b")]
    once = turned(store(made), objectives=limits)
    assert {s.objective for s in once if s.level == "page"} == {"limit", "b"}
    process, slowly = watch(store(made), objectives=limits), []
    for window in range(7, END + 1, 17):
        slowly += process.advance(at(window))
        process.done()
    slowly += process.advance(at(END))
    assert [repr(s) for s in slowly] == [repr(s) for s in once]


def test_an_objective_of_a_part_bounds_that_part(store: Callable[..., Store]) -> None:
    """A limit on one task pages for it alone, though another task is worse."""
    signals = turned(
        store(rows({"a": 0.1, "b": 0.3}, lambda _: {"a": 0.5, "b": 0.5})),
        objectives=[limit(0.02, scope=(("task", "a"),))],
    )
    assert {(s.objective, tuple(s.scope.items())) for s in signals} == {("limit", (("task", "a"),))}


def test_a_rule_switches_charts_off(store: Callable[..., Store]) -> None:
    """What a rule does not watch raises no signal; the rest does, and objectives go on."""
    made = rows({"a": step(0.05, 0.5), "b": step(0.05, 0.5)}, lambda _: {"a": 0.5, "b": 0.5})
    off = MonitorRule(watch=False, scope=(("task", "a"),), source="test")
    scopes = [s.scope for s in turned(store(made), rules=[off])]
    assert {"task": "b"} in scopes
    assert {} in scopes
    assert {"task": "a"} not in scopes
    all_off = replace(off, scope=(), metric="error")
    signals = turned(store(made), rules=[all_off], objectives=[limit(0.1)])
    assert {s.objective for s in signals} == {"limit"}


def test_weights_share_the_budget_out(store: Callable[..., Store]) -> None:
    """A chart of weight w is tested at sum of weights / w x 720 / budget hours: the heavier, the sooner it tells."""
    made = rows({"a": step(0.05, 0.3), "b": step(0.05, 0.3)}, lambda _: {"a": 0.5, "b": 0.5})
    rule = MonitorRule(weight=5.0, metric="error", scope=(("task", "a"),), source="test")
    plain, weighed = (turned(store(made), rules=given) for given in ([], [rule]))

    def threshold(signals: Sequence[Signal], task: str) -> float:
        return max(s.threshold for s in signals if s.scope == {"task": task} and s.metric == "error")

    charts = 4  # errors of all and of both tasks, and all traffic; what can only warn takes no part of the budget
    assert threshold(plain, "a") == threshold(plain, "b") == pytest.approx(charts * 720)
    assert threshold(weighed, "a") == pytest.approx((charts + 4) / 5 * 720)
    assert threshold(weighed, "b") == pytest.approx((charts + 4) * 720)


def test_high_risk_weighs_four_times(store: Callable[..., Store]) -> None:
    """Without a rule, charts of a high risk category are tested at a quarter of the threshold of the others."""
    made = rows(step(0.05, 0.4), lambda _: {"high": 0.5, "low": 0.5}, key="risk_category")
    signals = [s for s in turned(store(made)) if s.metric == "error"]
    by = {s.scope.get("risk_category"): s.threshold for s in signals}
    assert by["high"] * 4 == pytest.approx(by["low"]) == pytest.approx(by[None])


# --- a new normal -------------------------------------------------------------------------------------------------------

LASTING, ACCEPTED, FURTHER, LAST = 156, 216, 360, 420
CHART = "shop/production/error.up/all"


def lasting() -> list[Row]:
    """A rate that rises twice, and stays."""
    return rows(lambda w: 0.4 if w >= FURTHER else 0.15 if w >= LASTING else 0.04, windows=range(LAST))


def take(
    ledger: Ledger, signals: Sequence[Signal], monitor: str = CHART, why: str = "the new model is bolder"
) -> NewNormal:
    """Accept what a chart showed, from its onset, at a window."""
    onset = max((s.onset_us for s in signals), default=at(LASTING))
    known = [s.monitor for s in signals]
    return accept(
        ledger, monitor, known, from_us=onset, why=why, by="ann", now_us=at(ACCEPTED) - 1, window_s=300
    )  # fmt: skip


@pytest.mark.parametrize("monitor", [CHART, "shop/production/error*"])
def test_an_accepted_shift_is_the_new_level(store: Callable[..., Store], monitor: str) -> None:
    """After a lasting shift was accepted its chart is silent, learns the new level, and pages for a further shift against it."""
    opened = store(lasting())
    process = watch(opened)
    before = process.advance(at(ACCEPTED))
    process.done()
    assert "page" in {s.level for s in whole(before)}
    accepted = take(opened[1], before, monitor)
    assert (accepted.accepted_us, accepted.by) == (at(ACCEPTED), "ann")
    watching = process.phases[0]
    assert process.advance(at(ACCEPTED + 1)) == []
    assert process.phases[0] < watching
    assert process.advance(at(ACCEPTED + 25)) == []  # two hours, and far more than a hundred observations
    assert process.phases[0] == watching
    assert process.advance(at(FURTHER)) == []
    found = [s for s in process.advance(at(LAST)) if s.level == "page"]
    assert whole(found)
    assert whole(found)[0].baseline_rate == pytest.approx(0.15, abs=0.03)
    assert whole(found)[0].baseline_from_us >= before[-1].onset_us // HOUR_US * HOUR_US
    assert abs(whole(found)[0].onset_us - at(FURTHER)) <= 3 * WIDTH_US


def test_what_nobody_accepted_stays_abnormal(store: Callable[..., Store]) -> None:
    """Without an acceptance the same history is held against the old level."""
    found = [s for s in turned(store(lasting()), LAST) if s.level == "page"]
    assert all(s.baseline_rate < 0.06 for s in whole(found))


def test_an_acceptance_touches_its_charts_alone(store: Callable[..., Store]) -> None:
    """Charts that the pattern does not name keep their baseline."""
    made = lasting()
    rng = np.random.default_rng(4)
    for row in made:
        row["refusal"] = float(rng.random() < (0.4 if row["time_us"] >= at(FURTHER) else 0.05))
    opened = store(made)
    process = watch(opened)
    take(opened[1], process.advance(at(ACCEPTED)))
    found = [s for s in process.advance(at(LAST)) if s.metric == "refusal" and s.level == "page"]
    assert found
    assert all(s.baseline_from_us == at(0) for s in found)


@pytest.mark.slow
@pytest.mark.parametrize("stops", [[LAST], [100, ACCEPTED, ACCEPTED + 1, 300, LAST], [*range(7, LAST, 40), LAST]])
@pytest.mark.parametrize("restart", [False, True])
def test_a_replay_forgets_at_the_same_time(store: Callable[..., Store], stops: list[int], restart: bool) -> None:
    """The same rows with the acceptance in the ledger give the same signals at any pace, with restarts: as it was live."""
    live = store(lasting())
    process = watch(live)
    expected = process.advance(at(ACCEPTED))
    accepted = take(live[1], expected)
    process.done()
    expected += process.advance(at(LAST))
    assert len({s.baseline_from_us for s in whole(expected)}) > 1
    warehouse, ledger = live[0], Ledger("sqlite://")
    ledger.put(accepted, now_us=accepted.accepted_us, by="ann")
    process, found = watch((warehouse, ledger)), []
    for stop in stops:
        process = watch((warehouse, ledger)) if restart else process
        found += process.advance(at(stop))
        process.done()
    assert [repr(s) for s in found] == [repr(s) for s in expected]


@pytest.mark.parametrize("accepted_at", [ACCEPTED, ACCEPTED + 5])
def test_an_accepted_level_of_a_number_is_watched_anew(store: Callable[..., Store], accepted_at: int) -> None:
    """After six times the latency was accepted a further rise pages, in parts too, nothing before it, and alike at any pace."""
    made = rows(0.0, lambda _: {"a": 0.5, "b": 0.5}, windows=range(LAST), seed=4)
    rng = np.random.default_rng(4)
    for row in made:
        window = (row["time_us"] - START_US) // WIDTH_US
        row["latency_s"] = (
            float(rng.lognormal(0, 0.4)) * (6 if window >= LASTING else 1) * (5 if window >= FURTHER else 1)
        )
    warehouse, ledger = store(made)
    accept(
        ledger, "shop/production/latency_s.up/all", ["shop/production/latency_s.up/all"], from_us=at(LASTING),
        why="a slower model", by="ann", now_us=at(accepted_at) - 1, window_s=300,
    )  # fmt: skip
    once = watch((warehouse, ledger)).advance(at(LAST))
    again = [s for s in once if s.metric == "latency_s" and s.at_us > at(accepted_at)]
    assert min(s.at_us for s in again) > at(FURTHER)
    assert {tuple(s.scope.values()) for s in again if s.level == "page"} == {(), ("a",), ("b",)}
    assert all(s.baseline_from_us == -(-at(accepted_at) // HOUR_US) * HOUR_US for s in again)
    replayed, slowly = Ledger("sqlite://"), []
    for accepted in ledger.all(NewNormal):
        replayed.put(accepted, now_us=accepted.accepted_us, by="ann")
    process = watch((warehouse, replayed))
    for window in [*range(11, LAST, 23), LAST]:
        slowly += process.advance(at(window))
        process.done()
    assert [repr(s) for s in slowly] == [repr(s) for s in once]


def test_what_cannot_be_accepted_is_refused() -> None:
    """A chart that never signalled, an empty reason or a time to come is not recorded; the message says what there is."""
    ledger = Ledger("sqlite://")
    known = {"from_us": 0, "by": "ann", "now_us": at(5), "window_s": 300}
    for misspelt in (
        "shop/production/eror.up/all",
        "shop/production/error.up/al",
        "shop/production/error.up",
        "shopping*",
    ):
        with pytest.raises(InputError) as caught:
            accept(ledger, misspelt, [CHART], why="because", **known)  # type: ignore[arg-type]
        assert misspelt in str(caught.value)
        assert CHART in str(caught.value)
    with pytest.raises(InputError, match="none has signalled yet"):
        accept(ledger, CHART, [], why="because", **known)  # type: ignore[arg-type]
    for why in ("", "  \n"):
        with pytest.raises(InputError, match="say why"):
            accept(ledger, CHART, [CHART], why=why, **known)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="is in the future"):
        accept(ledger, CHART, [CHART], why="because", **{**known, "from_us": at(6)})  # type: ignore[arg-type]
    assert ledger.all(NewNormal) == []


# --- the history of a backtest ------------------------------------------------------------------------------------------


def test_the_history_counts_the_rows(store: Callable[..., Store]) -> None:
    """Observations and harm of every chart by hour are those of the rows, once its part of the traffic is charted."""
    made = rows({"a": 0.1, "b": 0.3}, lambda _: {"a": 0.7, "b": 0.3}, per_window=7)
    probes = rows(0.9, source="probe", seed=2, per_window=5)
    monitors, kinds, first, n, x = history_of(store(made, probes)[0], SCORERS, objectives=[limit(0.02)])
    assert first == START_US // HOUR_US
    assert n.shape == x.shape == (END // 12, len(monitors))
    assert kinds["error"] == "binary"
    seen = set()
    for i, monitor in enumerate(monitors):
        if monitor.metric != "error":
            continue
        scope = dict(monitor.scope)
        of = [r for r in (*made, *probes) if ("source" in r) == ("source" in scope)]
        of = [r for r in of if all(r.get(k) == v for k, v in scope.items())]
        expected = np.zeros((2, len(n)))
        for row in of:
            hour = row["time_us"] // HOUR_US - first
            expected[:, hour] += 1, row["error"]
        if scope:  # a part is charted from the hour in which its fiftieth observation comes
            expected[:, np.cumsum(expected[0]) < 50] = 0
        assert (n[:, i] == expected[0]).all(), monitor.id
        assert (x[:, i] == expected[1]).all(), monitor.id
        seen.add((tuple(scope.items()), monitor.objective))
    assert seen == {
        ((), ""),
        ((), "limit"),
        ((("task", "a"),), ""),
        ((("task", "b"),), ""),
        ((("source", "probe"),), ""),
    } | {((("source", "probe"), ("task", t)), "") for t in "ab" if any(p.get("task") == t for p in probes)}


def test_the_history_is_cut_and_switched_off_as_asked(store: Callable[..., Store]) -> None:
    """A span and rules hold for the history too; one without scores is refused with what to do."""
    warehouse, _ = store(rows({"a": 0.1, "b": 0.3}, lambda _: {"a": 0.5, "b": 0.5}))
    off = MonitorRule(watch=False, metric="error", source="test")
    span = Span(start_us=at(24), end_us=at(96))
    monitors, _, first, n, _ = history_of(warehouse, SCORERS, rules=[off], span=span)
    assert {m.metric for m in monitors} == {"traffic"}
    assert (first, len(n)) == (at(24) // HOUR_US, 6)
    with pytest.raises(InputError, match=r"nothing has been scored.*andon tick"):
        history_of(warehouse, SCORERS, span=Span(start_us=0, end_us=HOUR_US))


def test_the_history_does_not_depend_on_how_it_is_read(
    store: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read in pieces of any length, the counts and charts are the same: parts that come late, topics, probes, evaluators."""
    made = rows({"a": 0.1, "b": 0.3}, lambda w: {"a": 1.0} if w < SHIFT else {"a": 0.5, "b": 0.5})
    asked = rows(0.1, lambda _: {"t00": 0.8, "t01": 0.2}, key="topic", seed=5, per_window=5)
    probes = rows(0.9, source="probe", seed=2, per_window=1, windows=range(60, 130))
    warehouse, _ = store(made, asked, probes, judged("Relevance@1", lambda _: 0.8, 3))
    once = history_of(warehouse, SCORERS)
    monkeypatch.setattr("andon.monitors.run.counts.CHUNK", 5)
    pieces = history_of(warehouse, SCORERS)
    order = [once[0].index(m) for m in pieces[0]]
    assert {m.metric for m in once[0]} == {"error", "traffic", "topic_share", "evaluation"}
    assert sorted(m.id for m in once[0]) == sorted(m.id for m in pieces[0])
    assert (once[3][:, order] == pieces[3]).all()
    assert (once[4][:, order] == pieces[4]).all()


# --- fields with too many values ----------------------------------------------------------------------------------------


def test_a_field_with_too_many_values_is_recorded_once(
    store: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not watched apart because a field has too many values is said in the ledger, once, by every process alike."""
    monkeypatch.setattr("andon.monitors.counting.MOST_PARTS", 10)
    monkeypatch.setattr("andon.monitors.counting.ROOM", 4)
    users = rows(0.05, lambda _: {f"user {i}": 0.05 for i in range(20)})
    models = rows(0.05, windows=range(SHIFT, END), requested_model="new", seed=2)
    opened = store(users, models)
    for stop in (60, END, END):
        watch(opened).advance(at(stop))
    assert [(v.record.id, v.record.seen_us) for v in opened[1].history(Crowded)] == [("task", at(60))]
    monitors, *_ = history_of(opened[0], SCORERS)
    assert (("requested_model", "new"),) in {m.scope for m in monitors}
