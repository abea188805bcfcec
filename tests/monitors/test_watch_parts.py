"""What `Watch` makes of parts of the traffic, on the real store: mix, probes, evaluators, topics, objectives, a new normal."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from andon.errors import InputError
from andon.monitors import MonitorRule, Objective, Signal
from andon.monitors.records import NewNormal
from andon.monitors.run import Watch, accept, chart_of, history_of
from andon.scores import score_schema
from andon.scores.builtin import SCORERS
from andon.store import Ledger, Span, Warehouse

WIDTH_US = 300_000_000
HOUR_US = 12 * WIDTH_US
START_US = 1_700_000_000_000_000 // HOUR_US * HOUR_US
SCHEMA = score_schema(SCORERS)
SHIFT, END = 156, 228
"""Windows of five minutes: thirteen hours of history, six hours after the shift."""

PER_WINDOW = 40
Row = dict[str, Any]
Rate = float | Callable[[int], float]


def rows(
    rate: Mapping[str, Rate] | Rate,
    share: Callable[[int], Mapping[str, float]] = lambda _: {"": 1.0},
    *,
    key: str = "task",
    metric: str = "error",
    windows: range = range(END),
    per_window: int = PER_WINDOW,
    seed: int = 1,
    **fields: Any,
) -> list[Row]:
    """Score rows whose `key` takes values with these shares, by window, and whose metric is 1 with this rate, by value."""
    rng, made = np.random.default_rng([seed, windows.start]), []
    for w in windows:
        shares = share(w)
        for value in rng.choice(list(shares), per_window, p=list(shares.values())).tolist():
            chosen = rate[value] if isinstance(rate, Mapping) else rate
            p = chosen(w) if callable(chosen) else chosen
            name = f"{seed}-{windows.start}-{len(made)}"
            made.append({
                "id": name, "interaction_id": name, "time_us": at(w) + int(rng.integers(0, WIDTH_US)), "weight": 1.0,
                "scorers": "s", "app": "shop", "environment": "production", metric: float(rng.random() < p),
                **({key: value} if value else {}), **fields,
            })  # fmt: skip
    return made


def at(window: int) -> int:
    """Start of a window."""
    return START_US + window * WIDTH_US


def step(before: float, after: float, window: int = SHIFT) -> Callable[[int], float]:
    """A value that changes at a window."""
    return lambda w: after if w >= window else before


def mix(**grown: float) -> Callable[[int], Mapping[str, float]]:
    """Shares of `bad` traffic of 10 % that become these at the shift."""
    return lambda w: {"good": 1 - sum(grown.values()), **grown} if w >= SHIFT else {"good": 0.9, "bad": 0.1}


Store = tuple[Warehouse, Ledger]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Callable[..., Store]]:
    """Opens a store with such rows."""
    opened: list[Warehouse] = []

    def make(*parts: Sequence[Row]) -> Store:
        warehouse = Warehouse(tmp_path / str(len(opened)), {"scores": SCHEMA})
        opened.append(warehouse)
        filled = [{n: r.get(n) for n in SCHEMA.names} for part in parts for r in part]
        warehouse.append("scores", pa.Table.from_pylist(filled, schema=SCHEMA))
        warehouse.commit()
        return warehouse, Ledger("sqlite://")

    yield make
    for warehouse in opened:
        warehouse.close()


def watch(store: Store, budget: float = 1.0, **fields: Any) -> Watch:
    """A new process's watch."""
    return Watch(*store, SCORERS, window_s=300, false_pages_per_month=budget, **fields)


def turned(store: Store, until: int = END, budget: float = 1.0, **fields: Any) -> list[Signal]:
    """What the charts say up to a window."""
    return watch(store, budget, **fields).advance(at(until))


def whole(signals: Sequence[Signal], metric: str = "error") -> list[Signal]:
    """Those of the chart of a metric over all traffic, its learned baseline."""
    return [s for s in signals if s.metric == metric and not s.scope and not s.objective]


# --- only the mix? ------------------------------------------------------------------------------------------------------


def test_a_rise_that_is_only_the_mix_wakes_nobody(store: Callable[..., Store]) -> None:
    """Two tasks with constant rates, the bad one grows: all traffic has more harm; it is a warning that tells of the mix."""
    signals = turned(store(rows({"good": 0.02, "bad": 0.4}, mix(bad=0.6))))
    assert "error" in {s.metric for s in signals} <= {"error", "traffic"}  # there is less of the good task
    assert all(s.level == "warning" for s in signals)
    (signal,) = [s for s in whole(signals) if s.mix]
    assert "the mix of now would give" in signal.mix
    assert signal.statistic >= signal.threshold  # it would have been a page
    assert signal.rate > 3 * signal.baseline_rate


def test_other_behaviour_pages(store: Callable[..., Store]) -> None:
    """Four times the harm in every task, at the same mix, pages, and nothing is said of the mix."""
    rates = {"good": step(0.02, 0.12), "bad": step(0.2, 0.8)}
    signals = whole(turned(store(rows(rates, lambda _: {"good": 0.9, "bad": 0.1}))))
    assert "page" in {s.level for s in signals}
    assert all(not s.mix for s in signals if s.level == "page")


def test_behaviour_beside_a_mix_still_pages(store: Callable[..., Store]) -> None:
    """The bad task grows and gets worse too: it pages, and the page says what the mix would have given."""
    rates = {"good": step(0.02, 0.2), "bad": step(0.4, 0.7)}
    found = [s for s in whole(turned(store(rows(rates, mix(bad=0.5))))) if s.level == "page"]
    assert found
    assert any("the mix of now would give" in s.mix for s in found)


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_a_new_task_that_fails_is_no_mere_mix(store: Callable[..., Store], share: float) -> None:
    """A brand-new task that always fails has no behaviour of before, yet pages: new kinds that fail are not spared."""
    rates = {"good": 0.02, "bad": 0.1, "new": 1.0}
    signals = turned(store(rows(rates, mix(bad=0.1, new=share))))
    assert "page" in {s.level for s in whole(signals)}


def test_a_mix_that_hides_a_new_task_says_so(store: Callable[..., Store]) -> None:
    """Where the growth of the bad task explains the rise, a small new task that fails spoils no page; its share is told."""
    rates = {"good": 0.02, "bad": 0.4, "new": 1.0}
    spared = [s for s in whole(turned(store(rows(rates, mix(bad=0.6, new=0.04))))) if s.mix]
    assert spared
    assert all("of the traffic is of kinds that had none before, which cannot be compared" in s.mix for s in spared)


# --- probes -------------------------------------------------------------------------------------------------------------


def test_probes_have_charts_of_their_own(store: Callable[..., Store]) -> None:
    """Failing probes page nobody on users' charts: what they say stands on charts of probes."""
    calm = rows(0.05)
    probes = rows(step(0.05, 0.9), source="probe", seed=2, per_window=10)
    signals = turned(store(calm, probes))
    assert signals
    assert all(s.scope.get("source") == "probe" for s in signals if s.metric != "traffic")
    assert {s.level for s in signals} >= {"page"}


def test_users_charts_count_users_alone(store: Callable[..., Store]) -> None:
    """Figures and drawings of users' signals are those of users' rows; probes beside them move none."""
    slow = rows(step(0.1, 0.7), metric="latency_s", seed=3)
    for row in slow:
        row["latency_s"] = 1.0 + 5 * row["latency_s"] + int(row["id"][-1]) / 100
    users = [*rows(step(0.05, 0.4)), *slow]
    probes = rows(0.9, source="probe", seed=2, latency_s=100.0)
    alone, beside = store(users), store(users, probes)
    found = [s for s in turned(beside, budget=30.0) if "source" not in s.scope]
    assert {s.metric for s in found if s.level == "page"} == {"error", "latency_s"}
    for s in found:
        cut = 0.5 if s.cut is None else s.cut
        values = [r[s.metric] for r in users if s.metric in r and s.onset_us <= r["time_us"] < s.at_us]
        assert (s.x, s.n) == (sum(v >= cut for v in values), len(values)), s.id
        drawn = [chart_of(w, s, start_us=at(0), end_us=at(END)) for w in (alone[0], beside[0])]
        assert drawn[0] == drawn[1], s.id


def test_probes_explain_no_page_away(store: Callable[..., Store]) -> None:
    """Four times the harm among users pages, however the mix of failing probes moved beside it."""
    users = rows({"good": step(0.05, 0.2)}, lambda _: {"good": 1.0})
    probes = [
        *rows(1.0, task="bad", source="probe", seed=2, windows=range(SHIFT), per_window=20),
        *rows(1.0, task="bad", source="probe", seed=3, windows=range(SHIFT, END), per_window=200),
    ]
    found = whole(turned(store(users, probes)))
    assert "page" in {s.level for s in found}
    assert all(not s.mix for s in found)


# --- evaluations --------------------------------------------------------------------------------------------------------


def judged(evaluator: str, mean: Callable[[int], float], seed: int) -> list[Row]:
    """What one evaluator says: numbers around a mean, by window."""
    made = rows(0.0, evaluator=evaluator, metric="evaluation", seed=seed, per_window=15)
    rng = np.random.default_rng(seed)
    for row in made:
        window = (row["time_us"] - START_US) // WIDTH_US
        row["evaluation"] = float(np.clip(rng.normal(mean(window), 0.1), 0.01, 1))
    return made


def test_evaluators_are_series_of_their_own(store: Callable[..., Store]) -> None:
    """One version of an evaluator drifts: only its own charts signal, and they count its own numbers."""
    drifting, steady = judged("Relevance@2", step(0.8, 0.5), 1), judged("Relevance@1", lambda _: 0.3, 2)
    found = [s for s in turned(store(rows(0.05, seed=9), drifting, steady)) if s.metric == "evaluation"]
    assert {s.scope["evaluator"] for s in found} == {"Relevance@2"}
    assert {s.direction for s in found} == {"down"}
    for s in found:
        inside = [r["evaluation"] for r in drifting if s.onset_us <= r["time_us"] < s.at_us]
        assert (s.x, s.n) == (sum(v < s.cut for v in inside), len(inside))


def test_a_new_version_of_an_evaluator_is_no_drift(store: Callable[..., Store]) -> None:
    """Another version that judges more severely from one window on begins a series; nothing fell."""
    old = [r for r in judged("Relevance@1", lambda _: 0.8, 1) if r["time_us"] < at(SHIFT)]
    new = [r for r in judged("Relevance@2", lambda _: 0.4, 2) if r["time_us"] >= at(SHIFT)]
    assert [s for s in turned(store(rows(0.05, seed=9), old, new)) if s.metric == "evaluation"] == []


def test_evaluations_and_feedback_are_no_traffic(store: Callable[..., Store]) -> None:
    """Where answers stop and evaluations go on, it is silence, at any pace of the crank."""
    answers = rows(0.05, windows=range(SHIFT))
    evaluations = judged("Relevance@1", lambda _: 0.8, 2)
    once = turned(store(answers, evaluations))
    silence = next(s for s in whole(once, "traffic") if s.at_us > at(SHIFT))
    points = chart_of(store(answers, evaluations)[0], silence, start_us=at(0), end_us=at(END), points=END)
    assert all(p.x == p.n for p in points if p.start_us >= at(SHIFT))  # what did not come: everything
    other = store(answers, evaluations)
    process, slowly = watch(other), []
    for window in range(6, END + 1, 6):
        slowly += process.advance(at(window))
    assert [repr(s) for s in slowly] == [repr(s) for s in once]


# --- topics -------------------------------------------------------------------------------------------------------------


def test_harm_in_one_topic_is_found_there(store: Callable[..., Store]) -> None:
    """The rate of each topic is charted: one that gets worse signals by its name, the other does not."""
    rates = {"t00": 0.03, "t01": step(0.03, 0.6)}
    signals = turned(store(rows(rates, lambda _: {"t00": 0.8, "t01": 0.2}, key="topic")))
    assert {"topic": "t01"} in [s.scope for s in signals if s.metric == "error" and s.level == "page"]
    assert {"topic": "t00"} not in [s.scope for s in signals]


def test_a_growing_topic_warns_and_wakes_nobody(store: Callable[..., Store]) -> None:
    """A topic whose share grows from a tenth to a half is told as a warning, however large; no page, and none of the other."""

    def share(w: int) -> Mapping[str, float]:
        return {"t00": 0.5, "t01": 0.5} if w >= SHIFT else {"t00": 0.9, "t01": 0.1}

    made = rows(0.05, share, key="topic")
    signals = turned(store(made))
    found = [s for s in signals if s.metric == "topic_share"]
    assert found
    assert {s.scope["topic"] for s in found} == {"t01"}
    assert {s.level for s in signals} == {"warning"}
    assert max(s.statistic / s.threshold for s in found) >= 1
    for s in found:
        inside = [r["topic"] for r in made if s.onset_us <= r["time_us"] < s.at_us]
        assert (s.x, s.n) == (inside.count("t01"), len(inside))
        assert s.baseline_rate == pytest.approx(0.1, abs=0.03)


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

    charts = 6  # errors and traffic, of all and of both tasks
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
    monkeypatch.setattr("andon.monitors.run.CHUNK", 5)
    pieces = history_of(warehouse, SCORERS)
    order = [once[0].index(m) for m in pieces[0]]
    assert {m.metric for m in once[0]} == {"error", "traffic", "topic_share", "evaluation"}
    assert sorted(m.id for m in once[0]) == sorted(m.id for m in pieces[0])
    assert (once[3][:, order] == pieces[3]).all()
    assert (once[4][:, order] == pieces[4]).all()
