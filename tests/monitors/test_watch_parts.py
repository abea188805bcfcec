"""What `Watch` makes of parts of the traffic, on the real store: mix, probes, evaluators, topics."""

from collections.abc import Callable, Mapping

import pytest
from watched import END, SHIFT, Store, at, judged, mix, rows, step, turned, watch, whole

from andon.monitors.run import chart_of

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
        process.done()
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
