"""Laws of recovery: what is measured, what only looks quiet, and since when it is over."""

from collections.abc import Callable
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pytest
from test_goes_on import END, SCHEMA
from test_triage import HOUR, signal

from andon.changes import Change
from andon.errors import StateError
from andon.incidents import Incident, Recovery
from andon.incidents.recovery import holds_of, judge_probes
from andon.incidents.run import ack_incident, find_incident, respond, signals_of, timeline_of
from andon.incidents.run import recovery as recovery_run
from andon.incidents.run.recovery import (
    add_exit_criterion,
    close_incident,
    measure_recovery,
    recovery_of,
)
from andon.levers import Lever
from andon.levers.run import declare, expire, hold, release
from andon.monitors import Signal
from andon.store import Ledger, Warehouse
from andon.traffic.clock import minute_text

BEGAN = END - 100 * HOUR
CHART = "bot/production/refusal.up/all"
WEEK = 7 * 24
SILENCE = {
    "monitor": "bot/production/traffic.down/all",
    "metric": "traffic",
    "direction": "down",
    "x": 85,
    "n": 100,
    "baseline_x": 0,
    "harm": "availability",
}


def rows(warehouse: Warehouse, hours: range, n: int, refused: int, **fields: object) -> None:
    """So many interactions in each of the hours that end so long before END; some of each refuse."""
    total = n * len(hours)
    k = np.tile(np.arange(n), len(hours))
    starts = np.repeat([END - (h + 1) * HOUR for h in hours], n)
    ids = [f"{uuid4()}" for _ in range(total)]
    columns = {
        "id": ids,
        "time_us": starts + k * HOUR // n,
        "interaction_id": ids,
        "weight": np.ones(total),
        "scorers": ["s"] * total,
        "app": ["bot"] * total,
        "environment": ["production"] * total,
        "error": np.zeros(total),
        "refusal": (k < refused).astype(float),
        **{name: [value] * total for name, value in fields.items()},
    }
    nothing = {f.name: pa.nulls(total, f.type) for f in SCHEMA if f.name not in columns}
    table = pa.table({f.name: nothing.get(f.name, columns.get(f.name)) for f in SCHEMA}, schema=SCHEMA)
    warehouse.append("scores", table)
    warehouse.commit()


def refusals(name: str = "a", **fields) -> Signal:
    """The chart of refusals: 30 of 100 against 2 of 100, four days before END."""
    told = {
        "monitor": CHART,
        "at_us": BEGAN + HOUR,
        "onset_us": BEGAN,
        "onset_low_us": BEGAN,
        "onset_high_us": BEGAN + HOUR,
    }
    return signal(name, **{**told, **fields})


def opened(ledger: Ledger, *signals: Signal) -> Incident:
    """The incident of these signals."""
    for s in signals or (refusals(),):
        ledger.put(s, now_us=s.at_us, by="andon")
    respond(ledger, signals or (refusals(),))
    return ledger.all(Incident)[0]


def measured(warehouse: Warehouse, ledger: Ledger, now_us: int = END) -> Recovery:
    """The plan of the only incident, measured."""
    return measure_recovery(warehouse, ledger, ledger.all(Incident)[0], now_us=now_us)[1]


def test_a_chart_back_inside_for_the_watch_window_is_recovery(store: tuple[Warehouse, Ledger]) -> None:
    """Two days inside the limits after the last bad hour: recovered since the end of these two days, not since somebody looked."""
    warehouse, ledger = store
    rows(warehouse, range(60, 100), 50, 15)
    rows(warehouse, range(60), 50, 1)
    incident = opened(ledger)
    (criterion,) = measured(warehouse, ledger).criteria
    assert criterion.met is True
    assert criterion.measured.startswith("2 % of 2,400 inside limits ")
    assert criterion.measured.endswith(" for 48 h of 48 h")
    recovered = find_incident(ledger, incident.id)
    assert recovered.state == "recovered"
    assert recovered.recovered_us == criterion.at_us
    assert abs(recovered.recovered_us - (END - 12 * HOUR)) <= 2 * HOUR
    assert timeline_of(ledger, incident)[-1].text.startswith("recovered: ")
    closed = close_incident(warehouse, ledger, incident, "two days inside", now_us=END, by="ann")
    assert (closed.state, closed.closed_as, closed.recovered_us) == ("closed", "recovered", recovered.recovered_us)


def test_not_yet_says_how_long(store: tuple[Warehouse, Ledger]) -> None:
    """31 quiet hours of 48 are not enough, and the figures say so; the close names what is missing and what to do."""
    warehouse, ledger = store
    rows(warehouse, range(31, 100), 50, 15)
    rows(warehouse, range(31), 50, 1)
    incident = opened(ledger)
    (criterion,) = measured(warehouse, ledger).criteria
    assert criterion.met is False
    assert "for 31 h of 48 h: not yet, at the earliest at " in criterion.measured
    with pytest.raises(StateError, match="quiet recovery") as refused:
        close_incident(warehouse, ledger, incident, "looks fine", now_us=END, by="ann")
    for part in ("C1 the share of answers that refuse", "31 h of 48 h", "measure again", "false alarm"):
        assert part in str(refused.value)
    assert "andon" not in str(refused.value)
    assert "`andon incident recovery INC-0001`" in refused.value.commands
    assert find_incident(ledger, incident.id).state == "open"


def test_minutes_after_the_harm_it_says_from_when_it_may_be_over(store: tuple[Warehouse, Ledger]) -> None:
    """Before the first whole hour without harm is over nothing can be measured: the criterion is not met, and says until when."""
    warehouse, ledger = store
    rows(warehouse, range(1, 40), 50, 15)
    opened(ledger, refusals(at_us=END - HOUR // 3))
    (criterion,) = measured(warehouse, ledger).criteria
    assert (criterion.met, criterion.measured.split(":")[0]) == (False, "no whole hour has passed since harm was seen")
    assert criterion.measured.endswith(f"not yet, at the earliest at {minute_text(END + 48 * HOUR)} UTC")


def test_a_single_bad_hour_starts_the_clock_again(store: tuple[Warehouse, Ledger]) -> None:
    """A false dawn: one hour above its limit within the window, and only the hours after it count."""
    warehouse, ledger = store
    rows(warehouse, range(10), 50, 1)
    rows(warehouse, range(10, 11), 50, 15)
    rows(warehouse, range(11, 100), 50, 1)
    opened(ledger)
    (criterion,) = measured(warehouse, ledger).criteria
    assert (criterion.met, criterion.measured.split("% for ")[1].split(",")[0]) == (False, "10 h of 48 h: not yet")
    rows(warehouse, range(1), 5, 5)
    (criterion,) = measured(warehouse, ledger).criteria
    assert "above the limit" in criterion.measured


def test_hours_that_are_each_inside_may_be_too_bad_together(store: tuple[Warehouse, Ledger]) -> None:
    """With four interactions an hour no hour stands out, but two days of them at 12 % do."""
    warehouse, ledger = store
    rows(warehouse, range(0, 100, 2), 4, 1)
    rows(warehouse, range(1, 100, 2), 4, 0)
    opened(ledger, refusals(baseline_n=5000, baseline_x=100))
    (criterion,) = measured(warehouse, ledger).criteria
    assert criterion.met is False
    assert "above the limit" in criterion.measured


def test_a_chart_that_signals_again_starts_the_clock_again(store: tuple[Warehouse, Ledger]) -> None:
    """The detector sees small lasting shifts that no hour shows: quiet counts from the chart's last signal."""
    warehouse, ledger = store
    rows(warehouse, range(100), 50, 1)
    opened(ledger, refusals(f"{CHART}@1"), refusals(f"{CHART}@2", at_us=END - 20 * HOUR, onset_us=END - 30 * HOUR))
    (criterion,) = measured(warehouse, ledger).criteria
    assert "for 20 h of 48 h: not yet, at the earliest at " in criterion.measured


def test_quiet_because_the_traffic_is_gone(store: tuple[Warehouse, Ledger]) -> None:
    """Inside the limits with a tenth of the traffic that is usual at these hours is not recovery, and it says why."""
    warehouse, ledger = store
    week = 7 * 24
    rows(warehouse, range(week - 60, week + 48), 50, 1)
    rows(warehouse, range(60), 5, 0)
    opened(ledger)
    (criterion,) = measured(warehouse, ledger).criteria
    assert criterion.met is False
    assert criterion.measured.startswith("only 10 % of the usual traffic came (240 of 2,400 interactions)")


@pytest.mark.parametrize("history", [48, 120])
def test_quiet_because_the_traffic_of_a_young_app_is_gone(store: tuple[Warehouse, Ledger], history: int) -> None:
    """Where no traffic is known of the same hours a week before, the mean of what came before harm is what is usual."""
    warehouse, ledger = store
    rows(warehouse, range(52, 100 + history), 100, 2)
    rows(warehouse, range(42, 52), 100, 2)
    incident = opened(ledger)
    (criterion,) = measured(warehouse, ledger).criteria
    assert criterion.met is False
    assert criterion.measured.startswith("only 12.5 % of the usual traffic came (600 of 4,800 interactions)")
    with pytest.raises(StateError, match="quiet recovery"):
        close_incident(warehouse, ledger, incident, "fine", now_us=END, by="ann")
    rows(warehouse, range(42), 100, 2)
    assert measured(warehouse, ledger).criteria[0].met is True


@pytest.mark.parametrize(
    ("hours", "says"),
    [
        (range(42, 100), "cannot tell: traffic came in only 6 h of 48 h, and nothing is known of how much is usual"),
        (range(14, 100), "cannot tell: no traffic came since "),
        (range(0, 100, 2), ""),
    ],
)
def test_unknown_traffic_must_cover_the_watch_window(store: tuple[Warehouse, Ledger], hours: range, says: str) -> None:
    """Where nothing is known of usual traffic, half of the hours and the last quarter must have some; else nobody can tell."""
    warehouse, ledger = store
    rows(warehouse, hours, 200, 4)
    opened(ledger)
    (criterion,) = measured(warehouse, ledger).criteria
    assert criterion.met is (None if says else True)
    assert criterion.measured.startswith(says)


def test_traffic_that_is_sampled_more_thinly_is_not_gone(store: tuple[Warehouse, Ledger]) -> None:
    """A tenth of the rows, each of which stands for ten interactions, is all of the usual traffic."""
    warehouse, ledger = store
    rows(warehouse, range(WEEK - 60, WEEK + 48), 100, 2)
    rows(warehouse, range(60), 10, 0, weight=10.0)
    opened(ledger)
    (criterion,) = measured(warehouse, ledger).criteria
    assert criterion.met is True


def test_thinly_sampled_traffic_is_back(store: tuple[Warehouse, Ledger]) -> None:
    """Blocks of six hours are held against each other by what their rows stand for, with the noise of the fewer rows."""
    warehouse, ledger = store
    rows(warehouse, range(60, 3 * WEEK), 50, 1)
    rows(warehouse, range(60), 10, 0, weight=5.0)
    opened(ledger, refusals(**SILENCE))
    (criterion,) = measured(warehouse, ledger).criteria
    assert (criterion.met, criterion.measured) == (
        True,
        "4,800 interactions where 4,800 are usual; back for 48 h of 48 h",
    )


def test_a_metric_that_is_measured_again_is_over(store: tuple[Warehouse, Ledger]) -> None:
    """A signal that a metric is not measured is over when it is, not when traffic comes that nobody measures."""
    warehouse, ledger = store
    rows(warehouse, range(100, 3 * WEEK), 50, 1)
    rows(warehouse, range(100), 50, 1, refusal=None)
    opened(ledger, refusals(**SILENCE, aspect="refusal"))
    (criterion,) = measured(warehouse, ledger).criteria
    assert (criterion.met, criterion.text) == (False, "measuring by refusal in all traffic is back")
    rows(warehouse, range(100), 50, 1)
    assert measured(warehouse, ledger).criteria[0].met is True


def test_a_long_watch_can_be_met(store: tuple[Warehouse, Ledger]) -> None:
    """A criterion that must hold for a month is met after a month: of a chart, and of traffic that fell."""
    warehouse, ledger = store
    rows(warehouse, range(40 * 24), 20, 0)
    rows(warehouse, range(40 * 24, 43 * 24), 20, 6)
    rows(warehouse, range(43 * 24, 60 * 24), 20, 0)
    began = END - 43 * 24 * HOUR
    times = {"at_us": began + HOUR, "onset_us": began, "onset_low_us": began, "onset_high_us": began + HOUR}
    incident = opened(ledger, refusals(**times), refusals("b", **SILENCE, **times))
    for monitor in (CHART, SILENCE["monitor"]):
        add_exit_criterion(ledger, incident, "", monitor=monitor, watch_us=30 * 24 * HOUR, now_us=END, by="mia")
    plan = measured(warehouse, ledger, END + HOUR // 2)
    assert [(c.monitor, c.met) for c in plan.criteria if c.watch_us > 48 * HOUR] == [
        (CHART, True),
        (SILENCE["monitor"], True),
    ]


def test_a_measurement_that_says_nothing_new_is_written_once_a_day(store: tuple[Warehouse, Ledger]) -> None:
    """Verdicts are written when they change, figures once a day or when a person measures; what is returned is always new."""
    warehouse, ledger = store
    rows(warehouse, range(30, 100), 50, 15)
    rows(warehouse, range(30), 50, 1)
    incident = opened(ledger)
    for hour in range(-50, 0):
        plan = measured(warehouse, ledger, END + hour * HOUR)
        assert plan.criteria[0].at_us == END + hour * HOUR
    assert [v.at_us for v in ledger.history(Recovery)] == [END + h * HOUR for h in (-50, -26, -2)]
    measure_recovery(warehouse, ledger, incident, now_us=END, by="ann")
    assert ledger.latest(Recovery, incident.id).at_us == END
    rows(warehouse, range(-20, 0), 50, 1)
    measured(warehouse, ledger, END + 17 * HOUR)
    assert ledger.latest(Recovery, incident.id).version == 4
    measured(warehouse, ledger, END + 18 * HOUR)
    assert (ledger.latest(Recovery, incident.id).version, recovery_of(ledger, incident).criteria[0].met) == (5, True)


def _while_measured(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Something happens once, after what an incident is was read and before its criteria are measured."""
    really, todo = recovery_run.measured, [happens]

    def slow(*args: object) -> object:
        if todo:
            todo.pop()()
        return really(*args)

    monkeypatch.setattr(recovery_run, "measured", slow)


def test_what_is_written_while_it_is_measured_does_not_lose_the_recovery(
    store: tuple[Warehouse, Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who acknowledges the incident meanwhile and the recovery both stand in the ledger."""
    warehouse, ledger = store
    rows(warehouse, range(100), 50, 1)
    incident = opened(ledger)
    _while_measured(monkeypatch, lambda: ack_incident(ledger, incident, now_us=END, by="ann"))
    measured(warehouse, ledger)
    found = find_incident(ledger, incident.id)
    assert (found.state, found.acked_by) == ("recovered", "ann")


def test_a_signal_while_it_is_measured_is_no_recovery(
    store: tuple[Warehouse, Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Criteria that were measured before a signal do not say that its harm is over, and do not close the incident."""
    warehouse, ledger = store
    rows(warehouse, range(100), 50, 1)
    incident = opened(ledger)
    back = refusals("b", monitor="bot/production/refusal.up/task=x", at_us=END, onset_us=BEGAN + 2 * HOUR)
    _while_measured(monkeypatch, lambda: opened(ledger, back))
    with pytest.raises(StateError, match="changed while it was measured"):
        close_incident(warehouse, ledger, incident, "over", now_us=END, by="mia")
    found = find_incident(ledger, incident.id)
    assert (found.state, "b" in {s.id for s in signals_of(ledger, found)}) == ("open", True)


def test_what_only_users_say_is_not_asked_of_probes(store: tuple[Warehouse, Ledger]) -> None:
    """Where no probe measures the leading metric a probe that was answered passes, and the figures say so."""
    warehouse, ledger = store
    rows(warehouse, range(100), 50, 1, thumbs=1.0)
    rows(warehouse, range(48), 4, 0, source="probe")
    opened(ledger, refusals(metric="thumbs", direction="down", monitor="bot/production/thumbs.down/all"))
    _, probes = measured(warehouse, ledger).criteria
    told = "of 192 probes were answered (no probe measures thumbs) in 48 h of 48 h"
    assert (probes.met, probes.measured) == (True, f"100 % {told}")
    rows(warehouse, range(48), 1, 0, source="probe", error=1.0)
    _, probes = measured(warehouse, ledger).criteria
    assert (probes.met, "80 % of 240 probes were answered" in probes.measured) == (False, True)


def test_without_traffic_nobody_can_tell(store: tuple[Warehouse, Ledger]) -> None:
    """No traffic and none to compare with, or so little that even the signal's rate would be inside: cannot tell, not met."""
    warehouse, ledger = store
    incident = opened(ledger)
    (criterion,) = measured(warehouse, ledger).criteria
    assert (criterion.met, criterion.measured[:30]) == (None, "cannot tell: nothing was measu")
    rows(warehouse, range(3), 1, 0)
    (criterion,) = measured(warehouse, ledger).criteria
    assert (criterion.met, "so few" in criterion.measured) == (None, True)
    with pytest.raises(StateError, match="cannot tell"):
        close_incident(warehouse, ledger, incident, "quiet", now_us=END, by="ann")


def test_a_lever_that_is_held_masks_the_harm(store: tuple[Warehouse, Ledger]) -> None:
    """While a lever is held nothing counts; after its release the clock begins, whatever the chart showed before."""
    warehouse, ledger = store
    rows(warehouse, range(100), 50, 1)
    opened(ledger)
    lever = Lever(id="answers", kind="boolean", default=True, safe=False, app="bot")
    declare(ledger, lever, BEGAN, "ann")
    hold(ledger, "answers", why="INC-0001", by="ann", until_us=END + HOUR, now_us=BEGAN + 2 * HOUR)
    (criterion,) = measured(warehouse, ledger).criteria
    assert criterion.met is False
    assert "cannot count while a lever may hide the harm (lever answers held at false since" in criterion.measured
    release(ledger, "answers", why="fixed", by="ann", now_us=END - 24 * HOUR)
    (criterion,) = measured(warehouse, ledger).criteria
    assert "for 24 h of 48 h: not yet, at the earliest at " in criterion.measured


def test_holds_end_by_release_expiry_or_the_next_hold(store: tuple[Warehouse, Ledger]) -> None:
    """Each hold of a real lever is open until the change that ended it; another lever's end does not end it."""
    _, ledger = store
    for name in ("a-b", "a"):
        declare(ledger, Lever(id=name, kind="number", default=1.5, safe=0.0, app="bot"), BEGAN, "ann")
    hold(ledger, "a-b", 0.1, why="x", by="ann", until_us=END, now_us=BEGAN + 1)
    hold(ledger, "a", 0.1, why="x", by="ann", until_us=BEGAN + 50, now_us=BEGAN + 2)
    hold(ledger, "a-b", 0.5, why="x", by="ann", until_us=END, now_us=BEGAN + 3)
    expire(ledger, BEGAN + 60)
    changes = ledger.all(Change)
    assert [(h.at_us - BEGAN, h.ended_us and h.ended_us - BEGAN) for h in holds_of(changes, BEGAN)] == [
        (1, 3),
        (2, 50),
        (3, None),
    ]
    assert holds_of(changes, BEGAN + 4) == []


def test_silence_is_over_when_the_traffic_is_back(store: tuple[Warehouse, Ledger]) -> None:
    """Traffic that fell is held against the same hours of the week before the fall, in blocks of six hours."""
    warehouse, ledger = store
    rows(warehouse, range(60, 3 * 7 * 24), 50, 1)
    rows(warehouse, range(30), 50, 1)
    opened(ledger, refusals(**SILENCE))
    (criterion,) = measured(warehouse, ledger).criteria
    assert criterion.met is False
    assert criterion.measured.endswith("back for 30 h of 48 h: not yet")
    rows(warehouse, range(30, 60), 45, 1)
    (criterion,) = measured(warehouse, ledger).criteria
    assert criterion.met is True


def test_probes_must_pass(store: tuple[Warehouse, Ledger]) -> None:
    """Where probes come in they are a criterion; a probe without an answer does not pass, and too few cannot tell."""
    warehouse, ledger = store
    rows(warehouse, range(100), 50, 1)
    rows(warehouse, range(48), 4, 0, source="probe")
    incident = opened(ledger)
    chart, probes = measured(warehouse, ledger).criteria
    assert (chart.met, probes.met, probes.kind) == (True, True, "probe")
    assert probes.measured == "100 % of 192 probes passed in 48 h of 48 h"
    rows(warehouse, range(5), 1, 0, source="probe", error=1.0, refusal=None)
    rows(warehouse, range(6), 1, 0, source="probe", error=1.0)
    chart, probes = measured(warehouse, ledger).criteria
    assert (chart.met, probes.met) == (True, False)
    assert probes.measured == "94.6 % of 203 probes passed in 48 h of 48 h: not yet"
    assert find_incident(ledger, incident.id).recovered_us is None
    few = judge_probes(probes, 19, 19, start_us=0, end_us=48 * HOUR)
    assert (few.met, "at least 20 are needed" in few.measured) == (None, True)
    short = judge_probes(probes, 50, 50, start_us=40 * HOUR, end_us=48 * HOUR)
    assert (short.met, "8 h of 48 h: not yet" in short.measured) == (False, True)


def test_recovery_is_taken_back_when_harm_returns(store: tuple[Warehouse, Ledger]) -> None:
    """A criterion that fails again, or another signal, makes it not recovered; the timeline keeps both."""
    warehouse, ledger = store
    rows(warehouse, range(100), 50, 1)
    incident = opened(ledger)
    measured(warehouse, ledger)
    assert find_incident(ledger, incident.id).state == "recovered"
    rows(warehouse, range(-2, 0), 50, 20)
    measured(warehouse, ledger, END + 2 * HOUR)
    assert find_incident(ledger, incident.id).state == "open"
    measured(warehouse, ledger, END)
    back = refusals("b", monitor="bot/production/refusal.up/task=x", at_us=END + HOUR, onset_us=BEGAN + 2 * HOUR)
    opened(ledger, back)
    found = find_incident(ledger, incident.id)
    assert (found.state, found.recovered_us, "b" in {s.id for s in signals_of(ledger, found)}) == ("open", None, True)
    texts = [e.text.split(":")[0] for e in timeline_of(ledger, incident) if "recovered" in e.text]
    assert texts.count("not recovered after all") == 2
