"""Laws of the plan of a recovery and of the close: what people add, drop, check and do, and what closing demands."""

from dataclasses import replace

import pytest
from test_goes_on import END
from test_recovery import BEGAN, CHART, SILENCE, WEEK, measured, opened, refusals, rows
from test_triage import HOUR

from andon.errors import InputError, StateError
from andon.incidents import Incident
from andon.incidents.recovery import suggest_criteria
from andon.incidents.run import find_incident, mark_entry, timeline_of
from andon.incidents.run.recovery import (
    add_exit_criterion,
    add_recovery_step,
    charts_of,
    close_incident,
    do_recovery_step,
    drop_exit_criterion,
    dropped_of,
    measure_recovery,
    recovery_of,
    see_exit_check,
)
from andon.levers import Lever
from andon.levers.run import declare, hold, release
from andon.monitors import Signal
from andon.store import Ledger, Warehouse


def test_one_chart_for_each_metric_of_the_class(store: tuple[Warehouse, Ledger]) -> None:
    """The leading chart and, of every other metric of its class, the one that holds its harm; nothing of other classes."""
    _, ledger = store
    incident = opened(
        ledger,
        refusals("whole", x=100, n=1000),
        refusals("part", x=95, n=100, scope={"risk_category": "high"}, monitor="m/part"),
        refusals("marks", metric="escalation", monitor="m/marks"),
        refusals("style", metric="output_tokens", monitor="m/warning", level="warning"),
        refusals("cost", metric="cost_usd", harm="cost", kind="number", cut=1.0, monitor="m/cost"),
    )
    signals = ledger.all(Signal)
    found = suggest_criteria(incident, signals, (), probes=False)
    assert [(c.id, c.kind, c.monitor) for c in found] == [("C1", "metric", "m/part"), ("C2", "metric", "m/marks")]
    assert suggest_criteria(incident, signals, found, probes=False) == []
    assert [c.id for c in suggest_criteria(incident, signals, found, probes=True)] == ["C3"]


def test_what_probes_show_is_watched_until_they_have_come_again(store: tuple[Warehouse, Ledger]) -> None:
    """Two days and the time between two runs, for their charts and their pass rate; charts of people keep their two days.

    A run that only warned says how often it comes as well as one that paged.
    """
    _, ledger = store
    scope = {"source": "probe", "segment": "weekly"}
    warned = refusals("run", x=3, n=50, scope=scope, monitor="m/probe", level="warning", every_us=WEEK * HOUR)
    incident = opened(
        ledger,
        refusals("people", x=100, n=1000),
        refusals("sum", metric="escalation", scope=scope, monitor="m/probe"),
    )
    found = suggest_criteria(incident, [*ledger.all(Signal), warned], (), probes=True)
    assert [(c.kind, c.monitor, c.watch_us // HOUR) for c in found] == [
        ("metric", CHART, 48),
        ("metric", "m/probe", 48 + WEEK),
        ("probe", "", 48 + WEEK),
    ]


def test_people_add_drop_and_check(store: tuple[Warehouse, Ledger]) -> None:
    """A dropped criterion is not suggested again and its id never used again; a check is met when somebody says what was seen."""
    warehouse, ledger = store
    rows(warehouse, range(100), 50, 1)
    incident = opened(ledger)
    measured(warehouse, ledger)
    plan = add_exit_criterion(ledger, incident, "twenty answers read", now_us=END, by="mia")
    assert [(c.id, c.kind, c.by) for c in plan.criteria][1:] == [("C2", "check", "mia")]
    with pytest.raises(StateError, match="the only criterion that is measured"):
        drop_exit_criterion(ledger, incident, "C1", "chart of another team", now_us=END, by="mia")
    plan = add_exit_criterion(ledger, incident, "", monitor=CHART, watch_us=24 * HOUR, now_us=END, by="mia")
    drop_exit_criterion(ledger, incident, "C1", "chart of another team", now_us=END, by="mia")
    assert [c.id for c in measured(warehouse, ledger).criteria] == ["C2", "C3"]
    with pytest.raises(StateError, match="nobody has looked yet"):
        close_incident(warehouse, ledger, incident, "fine", now_us=END, by="mia")
    see_exit_check(ledger, incident, "C2", "20 of 20 right", now_us=END + 5, by="bob")
    assert (plan.criteria[-1].id, plan.criteria[-1].watch_us) == ("C3", 24 * HOUR)
    closed = close_incident(warehouse, ledger, incident, "fine", now_us=END + 9, by="mia")
    assert closed.recovered_us == END + 5
    told = [e.text for e in timeline_of(ledger, incident) if e.kind == "state"]
    assert "exit criterion C1 dropped: chart of another team" in told
    assert "exit criterion C2 is met: 20 of 20 right" in told


def test_what_people_see_alone_ends_nothing_that_a_chart_signalled(store: tuple[Warehouse, Ledger]) -> None:
    """A plan without a measured criterion, however it came about, takes a recovery back and closes nothing; one more helps."""
    warehouse, ledger = store
    rows(warehouse, range(100), 50, 1)
    incident = opened(ledger)
    plan = measured(warehouse, ledger)
    plan = replace(plan, criteria=(), dropped=plan.criteria)  # as it could be dropped once
    ledger.put(plan, now_us=END, by="mia", expect=1)
    assert measured(warehouse, ledger).criteria == ()
    add_exit_criterion(ledger, incident, "answers read", now_us=END, by="mia")
    see_exit_check(ledger, incident, "C2", "20 of 20", now_us=END, by="mia")
    measured(warehouse, ledger)
    assert find_incident(ledger, incident.id).state == "open"
    taken_back = [e.text for e in timeline_of(ledger, incident) if e.text.startswith("not recovered after all: ")]
    assert "nothing is measured" in taken_back[0]
    with pytest.raises(StateError, match=r"nothing is measured.*add a criterion") as refused:
        close_incident(warehouse, ledger, incident, "looks fine", now_us=END, by="mia")
    assert "--chart" in refused.value.commands
    drop_exit_criterion(ledger, incident, "C2", "the measurement says it", now_us=END, by="mia")
    add_exit_criterion(ledger, incident, "", monitor=CHART, now_us=END, by="mia")
    assert close_incident(warehouse, ledger, incident, "inside", now_us=END, by="mia").closed_as == "recovered"


def test_what_was_dropped_is_told_with_the_reason(store: tuple[Warehouse, Ledger]) -> None:
    """Why, by whom, when and what it measured last; also after somebody hid that entry of the timeline."""
    warehouse, ledger = store
    rows(warehouse, range(100), 50, 1)
    incident = opened(ledger)
    measured(warehouse, ledger)
    for _ in range(2):
        plan = add_exit_criterion(ledger, incident, "", monitor=CHART, now_us=END, by="mia")
    assert dropped_of(ledger, incident, plan) == []
    drop_exit_criterion(ledger, incident, "C1", " twice is once ", now_us=END + 7, by="bob")
    plan = drop_exit_criterion(ledger, incident, "C2", "C1: another reason", now_us=END + 8, by="eve")
    for entry in timeline_of(ledger, incident):
        mark_entry(ledger, incident, entry, "hidden", why="tidy", now_us=END, by="ann")
    first, second = dropped_of(ledger, incident, plan)
    assert (first[0].id, first[0].measured[:14], first[1]) == ("C1", "2 % of 2,400 i", "twice is once")
    assert (first[2].by, first[2].learned_us) == ("bob", END + 7)
    assert (second[0].measured, second[1], second[2].by) == ("", "C1: another reason", "eve")


def test_each_chart_is_judged_by_its_first_page(store: tuple[Warehouse, Ledger]) -> None:
    """Charts that paged can be criteria, each with the baseline from before the harm; those that only warned cannot."""
    _, ledger = store
    incident = opened(ledger, refusals("b"), refusals("w", monitor="bot/warned", level="warning"))
    incident = opened(ledger, refusals("a", at_us=BEGAN + 9 * HOUR))
    assert {m: s.id for m, s in charts_of(ledger, incident).items()} == {CHART: "b"}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"text": " "}, "what a person shall check"),
        ({"text": "x", "monitor": "bot/none"}, CHART),
        ({"text": "x", "at_least": 0.0}, "no pass rate"),
        ({"text": "x", "at_least": 1.5}, "no pass rate"),
        ({"text": "x", "monitor": CHART, "at_least": 0.5}, "not both"),
        ({"text": "x", "watch_us": 0}, "90 days"),
    ],
)
def test_criteria_that_make_no_sense(store: tuple[Warehouse, Ledger], wrong: dict, says: str) -> None:
    """They are refused with what is allowed, and nothing is written."""
    _, ledger = store
    incident = opened(ledger)
    with pytest.raises(InputError, match=says):
        add_exit_criterion(ledger, incident, wrong.pop("text"), **wrong, now_us=END, by="mia")
    assert recovery_of(ledger, incident).criteria == ()


def test_what_is_measured_cannot_be_said(store: tuple[Warehouse, Ledger]) -> None:
    """Nobody can say that a chart is inside its limits; a reason and what was seen are demanded; unknown ids name the known."""
    warehouse, ledger = store
    incident = opened(ledger)
    measured(warehouse, ledger)
    with pytest.raises(InputError, match="is measured"):
        see_exit_check(ledger, incident, "C1", "looks good", now_us=END, by="mia")
    with pytest.raises(InputError, match="there are: C1"):
        see_exit_check(ledger, incident, "C9", "looks good", now_us=END, by="mia")
    with pytest.raises(InputError, match="say why"):
        drop_exit_criterion(ledger, incident, "C1", " ", now_us=END, by="mia")


def test_steps_are_taken_in_order_and_before_the_close(store: tuple[Warehouse, Ledger]) -> None:
    """A step waits for the check of the one before; closing waits for all of them."""
    warehouse, ledger = store
    rows(warehouse, range(100), 50, 1)
    incident = opened(ledger)
    for text in ("10 % of traffic", "everybody"):
        add_recovery_step(ledger, incident, text, "refusals below 3 %", now_us=END, by="mia")
    with pytest.raises(StateError, match="S2 comes after S1"):
        do_recovery_step(ledger, incident, "S2", "fine", now_us=END, by="mia")
    with pytest.raises(InputError, match="say what the check"):
        do_recovery_step(ledger, incident, "S1", " ", now_us=END, by="mia")
    plan = do_recovery_step(ledger, incident, "S1", "2.1 % of 900", now_us=END + 1, by="mia")
    assert (plan.steps[0].done_us, plan.steps[0].seen, plan.steps[0].by) == (END + 1, "2.1 % of 900", "mia")
    with pytest.raises(StateError, match="S1 is done already"):
        do_recovery_step(ledger, incident, "S1", "again", now_us=END, by="mia")
    with pytest.raises(StateError, match="Open steps: S2 everybody"):
        close_incident(warehouse, ledger, incident, "over", now_us=END, by="mia")
    do_recovery_step(ledger, incident, "S2", "2 % of 9,000", now_us=END + 2, by="mia")
    closed = close_incident(warehouse, ledger, incident, "over", now_us=END + 3, by="mia")
    with pytest.raises(StateError, match="stays as it was"):
        add_recovery_step(ledger, closed, "more", "x", now_us=END + 4, by="mia")
    assert measure_recovery(warehouse, ledger, closed, now_us=END + 99 * HOUR)[0] == closed


def test_false_alarms_and_duplicates_close_without_criteria(store: tuple[Warehouse, Ledger]) -> None:
    """They need a reason; a duplicate needs another incident that is none itself; recovered stays unsaid."""
    warehouse, ledger = store
    first = opened(ledger)
    for k, app in enumerate(("other", "third")):
        opened(ledger, refusals(app, app=app, monitor=app, at_us=BEGAN + (2 + k) * HOUR))
    _, second, third = ledger.all(Incident)

    def close(incident: Incident, ending: str, of: str | None = None) -> Incident:
        return close_incident(
            warehouse, ledger, incident, "same model", now_us=END, by="mia", ending=ending, duplicate_of=of
        )

    for ending, of, says in (
        ("duplicate", None, "say of which incident"),
        ("duplicate", second.id, "cannot be a duplicate"),
        ("duplicate", "INC-0099", "no incident"),
        ("false alarm", first.id, "only a duplicate"),
        ("solved", None, "false alarm"),
    ):
        with pytest.raises(InputError, match=says):
            close(second, ending, of)
    closed = close(second, "duplicate", first.id)
    assert (closed.closed_as, closed.duplicate_of, closed.recovered_us) == ("duplicate", first.id, None)
    assert timeline_of(ledger, closed)[-1].text == f"closed as duplicate of {first.id}: same model"
    with pytest.raises(InputError, match=f"it is one of {first.id}"):
        close(third, "duplicate", second.id)
    assert close(third, "false alarm").closed_as == "false alarm"


def test_what_was_taken_out_is_retired_when_its_traffic_is_gone(store: tuple[Warehouse, Ledger]) -> None:
    """Refused with the figure while anything of the part comes, or a lever may keep it away; other parts and probes may come."""
    warehouse, ledger = store

    def retire(now_us: int) -> Incident:
        incident = ledger.all(Incident)[0]
        return close_incident(warehouse, ledger, incident, "removed", now_us=now_us, by="mia", ending="retired")

    rows(warehouse, range(47, 148), 50, 15, task="triage")
    rows(warehouse, range(100), 50, 1, task="other")
    rows(warehouse, range(10), 1, 0, task="triage", source="probe")
    incident = opened(ledger, refusals(scope={"task": "triage"}, monitor="bot/production/refusal.up/task=triage"))
    with pytest.raises(StateError, match=r"retired: 50 interactions of task .?triage.? came in the last 48 h"):
        retire(END)
    declare(ledger, Lever(id="triage", kind="boolean", default=True, safe=False, app="bot"), BEGAN, "ann")
    hold(ledger, "triage", why="off", by="ann", until_us=END + 9 * HOUR, now_us=BEGAN + 2 * HOUR)
    with pytest.raises(StateError, match="lever triage held at false"):
        retire(END + HOUR)
    release(ledger, "triage", why="gone", by="ann", now_us=END - 40 * HOUR)
    with pytest.raises(StateError, match="lever triage held at false"):
        retire(END + HOUR)
    closed = retire(END + 8 * HOUR)
    assert (closed.state, closed.closed_as, closed.recovered_us) == ("closed", "retired", None)
    assert timeline_of(ledger, incident)[-1].text == "closed as retired: removed"


def test_what_is_rarely_asked_is_not_retired_by_two_quiet_days(store: tuple[Warehouse, Ledger]) -> None:
    """Where too little is known to be usual at these hours, that nothing came says nothing: cannot tell."""
    warehouse, ledger = store
    rows(warehouse, range(49, 400, 24), 1, 0)
    incident = opened(ledger)
    with pytest.raises(StateError, match="retired: cannot tell: nothing of all traffic came in the last 48 h"):
        close_incident(warehouse, ledger, incident, "removed", now_us=END, by="mia", ending="retired")
    rows(warehouse, range(101, 400), 1, 0)
    assert (
        close_incident(warehouse, ledger, incident, "x", now_us=END, by="mia", ending="retired").closed_as == "retired"
    )


def test_a_metric_that_is_not_measured_is_not_retired_while_answers_come(store: tuple[Warehouse, Ledger]) -> None:
    """Of a signal that a metric is not measured, all answers count; what was only reported has no traffic that could be gone."""
    warehouse, ledger = store
    rows(warehouse, range(100), 50, 0, refusal=None)
    incident = opened(ledger, refusals(**SILENCE, aspect="refusal"))
    with pytest.raises(StateError, match="retired: 2,400 interactions"):
        close_incident(warehouse, ledger, incident, "removed", now_us=END, by="mia", ending="retired")
    told = replace(incident, id="INC-0002", lead="", metric="", signals=(), origin="report")
    ledger.put(told, now_us=END, by="ann", expect=0)
    with pytest.raises(StateError, match="no chart says"):
        close_incident(warehouse, ledger, told, "removed", now_us=END, by="mia", ending="retired")


def test_a_report_is_over_when_somebody_looked(store: tuple[Warehouse, Ledger]) -> None:
    """Without a signal there is nothing to measure: a person checks what was reported."""
    warehouse, ledger = store
    incident = replace(opened(ledger), id="INC-0002", lead="", metric="", signals=(), origin="report")
    ledger.put(incident, now_us=END, by="ann", expect=0)
    _, plan = measure_recovery(warehouse, ledger, incident, now_us=END)
    assert [(c.kind, c.met, c.measured) for c in plan.criteria] == [("check", None, "nobody has looked yet")]
    see_exit_check(ledger, incident, "C1", "asked again: right", now_us=END, by="ann")
    assert close_incident(warehouse, ledger, incident, "right now", now_us=END, by="ann").state == "closed"
