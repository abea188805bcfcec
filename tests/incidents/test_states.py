"""Laws of milestones, of what people overrule, of who noticed first and of what was visible when."""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from closing import close
from hypothesis import given
from hypothesis import strategies as st
from test_goes_on import END, SCHEMA, about, put
from test_triage import HOUR, T0, signal

from andon.changes import Change
from andon.errors import InputError, StateError
from andon.incidents import Delivery, ExitCriterion, Incident, Recovery, Report, Step, due, open_incident
from andon.incidents.records import Origin
from andon.incidents.run import ack_incident, find_incident, respond, restate, timeline_of
from andon.incidents.run import signals as stage
from andon.incidents.run.states import first_visible, mark_incident, noticed, overrule_incident, tell_visible
from andon.incidents.states import MARKS, mark, overrule, state_of, what_next
from andon.monitors import Signal
from andon.store import Ledger, Warehouse
from andon.traffic.clock import minute_text


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger on disk."""
    book = Ledger.open(tmp_path / "other.db")
    yield book
    book.close()


def tell(ledger: Ledger, *signals: Signal) -> Incident:
    """Give these signals to the one incident there is."""
    for s in signals:
        ledger.put(s, now_us=s.at_us, by="andon")
    respond(ledger, signals)
    (incident,) = ledger.all(Incident)
    return incident


def thumbs_down(at_us: int) -> pa.Table:
    """One row of scores: somebody did not like an answer."""
    told = {"id": "d", "time_us": at_us, "interaction_id": "d", "weight": 1.0, "scorers": "s", "app": "bot", "environment": "production", "thumbs": 0.0}  # fmt: skip
    return pa.table({f.name: pa.array([told.get(f.name)], f.type) for f in SCHEMA}, schema=SCHEMA)


def opened() -> Incident:
    """An open incident whose onset is 1 to 3 hours before T0."""
    return open_incident(1, [signal("a")])


@given(st.permutations(MARKS))
def test_milestones_come_in_any_order(order: list[str]) -> None:
    """The state is the furthest milestone reached, however people came there, and each keeps its own time."""
    incident = opened()
    for k, name in enumerate(order):
        incident = mark(incident, name, T0 + k, now_us=T0 + 9)
        reached = order[: k + 1]
        assert incident.state == next(s for s in ("fixed", "diagnosed", "stabilised") if s in reached)
        assert getattr(incident, f"{name}_us") == T0 + k
    assert incident.state == state_of(incident) == "fixed"


@pytest.mark.parametrize(("at_us", "says"), [(T0 - 2 * HOUR - 1, "harm began at"), (T0 + 1, "future")])
def test_a_milestone_lies_between_the_onset_and_now(at_us: int, says: str) -> None:
    """What was reached happened neither before harm can have begun nor after now; both ends are allowed."""
    with pytest.raises(InputError, match=says):
        mark(opened(), "stabilised", at_us, now_us=T0)
    for allowed in (T0 - 2 * HOUR, T0):
        assert mark(opened(), "stabilised", allowed, now_us=T0).stabilised_us == allowed


def test_what_people_cannot_mark(ledger: Ledger) -> None:
    """Recovery is measured, a closed incident stays, and a mark has a reason."""
    incident = tell(ledger, signal("a"))
    with pytest.raises(InputError, match="stabilised, diagnosed, fixed"):
        mark_incident(ledger, incident, "recovered", "x", at_us=T0, now_us=T0, by="ann")
    with pytest.raises(InputError, match="say why"):
        mark_incident(ledger, incident, "fixed", " ", at_us=T0, now_us=T0, by="ann")
    close(ledger, incident, "over", now_us=T0 + 1, by="ann")
    with pytest.raises(StateError, match="closed already"):
        mark_incident(ledger, incident, "fixed", "x", at_us=T0, now_us=T0 + 2, by="ann")


def test_a_mark_has_two_clocks_and_corrections_are_kept(ledger: Ledger) -> None:
    """The timeline says when it happened, when it was learned and by whom; a corrected time leaves the first entry there."""
    incident = tell(ledger, signal("a"))
    mark_incident(ledger, incident, "stabilised", "model pinned", at_us=T0 + 5, now_us=T0 + HOUR, by="ann")
    done = mark_incident(ledger, incident, "stabilised", "it was later", at_us=T0 + 9, now_us=T0 + 2 * HOUR, by="bob")
    assert (done.stabilised_us, done.state, done.noticed_by) == (T0 + 9, "stabilised", "ann")
    entries = [
        (e.happened_us, e.learned_us, e.by, e.text.split(" (")[0])
        for e in timeline_of(ledger, incident)
        if e.kind == "state"
    ]
    assert entries == [
        (T0 + 5, T0 + HOUR, "ann", "stabilised: model pinned"),
        (T0 + 9, T0 + 2 * HOUR, "bob", "stabilised"),
    ]


def test_the_loop_leaves_an_overruled_field_alone(ledger: Ledger) -> None:
    """Signals, titles and classes may go on moving: what a person chose stays, and the latest suggestion stands beside it."""
    incident = tell(ledger, signal("a"))
    assert incident.severity == "P2"
    said = overrule_incident(ledger, incident, "severity", "P1", "the board meets now", now_us=T0 + 5, by="mia")
    assert (said.severity, said.impact) == ("P1", "usefulness")
    incident = tell(ledger, signal("b", metric="exact_match", direction="down", harm="correctness", at_us=T0 + HOUR))
    assert (incident.severity, incident.impact, incident.lead) == ("P1", "correctness", "b")
    restate(ledger, incident, 0.7, now_us=T0 + 2 * HOUR)
    incident = find_incident(ledger, incident.id)
    assert incident.severity == "P1"
    for part in ("P1: the board meets now", "said mia", "the signals suggest P2: any correctness harm"):
        assert part in incident.severity_reason
    (word,) = incident.overrules
    assert (word.suggested, word.chosen, word.by, word.at_us) == ("P2", "P1", "mia", T0 + 5)
    assert word.latest.startswith("P2: any correctness harm")


def test_a_title_says_how_bad_it_was_not_how_good_it_is_again(ledger: Ledger) -> None:
    """A rate that goes on rising moves the title; one that falls does not, nor does any once the harm is stopped."""
    incident = tell(ledger, signal("a"))
    raised = incident.title
    assert raised == f"{incident.what} since {minute_text(incident.onset_us)} UTC"
    assert restate(ledger, incident, 0.021, now_us=T0 + HOUR).title == raised
    worse = restate(ledger, incident, 0.9, now_us=T0 + HOUR).title
    assert "to 90 %" in worse
    assert restate(ledger, incident, 0.03, now_us=T0 + HOUR).title == worse
    mark_incident(ledger, incident, "stabilised", "the lever is held", at_us=T0 + 5, now_us=T0 + 2 * HOUR, by="ann")
    assert restate(ledger, incident, 0.95, now_us=T0 + 3 * HOUR).title == worse


def test_another_class_suggests_another_severity(ledger: Ledger) -> None:
    """Severity follows the class a person chose, and goes on following it; a worse signal does not take the class back."""
    incident = tell(ledger, signal("a", x=5))
    assert (incident.impact, incident.severity) == ("usefulness", "P3")
    incident = overrule_incident(ledger, incident, "impact", "safety", "doses", now_us=T0 + 5, by="mia")
    assert (incident.impact, incident.severity) == ("safety", "P1")
    incident = tell(ledger, signal("b", metric="error", harm="availability", at_us=T0 + 72 * HOUR, onset_us=T0, x=40))
    assert (incident.impact, incident.severity, incident.lead) == ("safety", "P1", "b")
    assert "the signals suggest availability: " in incident.impact_reason


def test_a_second_overrule_keeps_the_first(ledger: Ledger) -> None:
    """All words are kept, the last one counts, and the reason names one suggestion, not the word before it."""
    incident = tell(ledger, signal("a"))
    overrule_incident(ledger, incident, "failure", "config error", "first thought", now_us=T0 + 1, by="mia")
    incident = overrule_incident(ledger, incident, "failure", "model drift", "logs", now_us=T0 + 2, by="bob")
    assert [o.chosen for o in incident.overrules] == ["config error", "model drift"]
    assert incident.failure == "model drift"
    assert "first thought" not in incident.failure_reason
    texts = [e.text for e in timeline_of(ledger, incident) if "overruled" in e.text]
    assert texts == [
        "failure overruled: config error instead of model drift: first thought",
        "failure overruled: model drift instead of config error: logs",
    ]


@pytest.mark.parametrize(
    ("field", "value", "why", "says"),
    [
        ("state", "closed", "x", "impact, severity, failure"),
        ("severity", "P0", "x", "P1, P2, P3"),
        ("impact", "reputation", "x", "safety"),
        ("failure", "bug", "x", "config error"),
        ("severity", "P1", " ", "say why"),
    ],
)
def test_what_cannot_be_overruled(field: str, value: str, why: str, says: str) -> None:
    """An unknown field or value is refused with the choices, and there is no overrule without a reason."""
    with pytest.raises(InputError, match=says):
        overrule(opened(), field, value, why, by="mia", now_us=T0)


def test_a_lower_severity_is_no_worse_news(ledger: Ledger) -> None:
    """A person who lowers the severity wakes nobody; one who raises it does."""
    incident = tell(ledger, signal("a"))
    told = [
        Delivery(
            id="d",
            incident=incident.id,
            reason="opened",
            channel="c",
            severity="P2",
            signal_us=T0,
            at_us=T0,
            state="sent",
        )
    ]
    lower = overrule(incident, "severity", "P3", "test traffic", by="mia", now_us=T0)
    higher = overrule(incident, "severity", "P1", "patients", by="mia", now_us=T0)
    assert due(lower, told, now_us=T0 + 1, goes_on=lambda: True) is None
    assert due(higher, told, now_us=T0 + 1, goes_on=lambda: True).reason == "worse"


def test_the_first_person_noticed_it(ledger: Ledger) -> None:
    """Whoever speaks first is kept, whatever comes later; an acknowledgement and a mark count, the loop does not."""
    incident = tell(ledger, signal("a"))
    assert incident.noticed_us is None
    noticed(ledger, incident, now_us=T0 + 5, by="ann")
    ack_incident(ledger, incident, now_us=T0 + 7, by="bob")
    incident = tell(ledger, signal("b", at_us=T0 + HOUR))
    assert (incident.noticed_us, incident.noticed_by, incident.acked_by) == (T0 + 5, "ann", "bob")


def test_a_closed_incident_notices_nothing(ledger: Ledger) -> None:
    """A note after the close changes no figure of the incident."""
    closed = close(ledger, tell(ledger, signal("a")), "over", now_us=T0 + 1, by="ann")
    assert noticed(ledger, closed, now_us=T0 + 5, by="ann") == closed


def test_any_order_of_signals_keeps_the_word(tmp_path: Path) -> None:
    """After an overrule, signals in any order of arrival leave the same incident."""
    found = set()
    for seed in range(4):
        book = Ledger("sqlite://")
        incident = tell(book, signal("a"))
        overrule_incident(book, incident, "severity", "P3", "known", now_us=T0, by="mia")
        later = [signal(f"s{k}", at_us=T0 + HOUR, x=30 + k, harm=("cost", "correctness")[k % 2]) for k in range(5)]
        found.add(repr(tell(book, *random.Random(seed).sample(later, 5))))
        book.close()
    assert len(found) == 1


def test_a_warning_of_other_questions_tells_the_kind_of_failure(ledger: Ledger) -> None:
    """It changes neither lead nor severity; after a day, or where a person overruled it, the kind stays."""
    before = tell(ledger, signal("a", metric="escalation"))
    assert before.failure is None
    asked = signal("w", metric="topic_share", level="warning", scope={"topic": "t01"}, at_us=T0 + HOUR)
    after = tell(ledger, asked)
    assert (after.failure, after.lead, after.severity) == ("data quality regression", before.lead, before.severity)
    book = Ledger("sqlite://")
    tell(book, signal("a", metric="escalation"))
    assert tell(book, replace(asked, at_us=T0 + 25 * HOUR)).failure is None
    book.close()


def test_a_change_that_is_learned_late_tells_the_kind_of_failure(ledger: Ledger) -> None:
    """When an incident is looked into again, changes that were recorded meanwhile count; a person's word stays."""
    incident = tell(ledger, signal("a", metric="escalation"))
    moved = Change(id="c", at_us=T0 - HOUR, kind="prompt", title="shorter answers", app="bot")
    ledger.put(moved, now_us=T0 + 5, by="ann")
    incident = restate(ledger, incident, 0.3, now_us=T0 + 6)
    assert incident.failure == "prompt regression"
    assert "prompt: shorter answers" in incident.failure_reason
    overrule_incident(ledger, incident, "failure", "config error", "the flag", now_us=T0 + 7, by="mia")
    assert restate(ledger, incident, 0.4, now_us=T0 + 8).failure == "config error"


def test_a_new_title_does_not_lose_what_somebody_writes_meanwhile(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The title is brought up to date on what somebody wrote at the same moment; a new lead keeps its own, a close stays."""
    incident = tell(ledger, signal("a"))
    first = stage.signals_of

    def with_meanwhile(happens: Callable[[], object]) -> Incident:
        def read(book: Ledger, home: Incident) -> list[Signal]:
            monkeypatch.setattr(stage, "signals_of", first)
            happens()
            return first(book, home)

        monkeypatch.setattr(stage, "signals_of", read)
        return restate(ledger, incident, 0.77, now_us=T0 + 6)

    told = with_meanwhile(lambda: ack_incident(ledger, incident, now_us=T0 + 5, by="ann"))
    assert (told.acked_by, "to 77 %" in told.title) == ("ann", True)
    ledger.put(replace(told, title="before"), now_us=T0 + 6, by="andon")
    told = with_meanwhile(lambda: tell(ledger, signal("b", at_us=T0 + 7, harm="safety")))
    assert (told.lead, "77 %" in told.title) == ("b", False)
    told = with_meanwhile(lambda: close(ledger, incident, "over", now_us=T0 + 8, by="mia"))
    assert (told.state, "77 %" in told.title) == ("closed", False)


def test_first_visible_is_the_first_harmed_answer_since_the_onset(store: tuple[Warehouse, Ledger]) -> None:
    """Harm before the earliest onset, or in other parts of the traffic, is not it; without any harm nothing is said."""
    warehouse, ledger = store
    times = {"onset_us": END - 2 * HOUR, "onset_low_us": END - 3 * HOUR, "onset_high_us": END - HOUR, "at_us": END}
    incident = about(ledger, scope={"task": "faq"}, **times)
    ledger.put(incident, now_us=END, by="andon", expect=0)
    put(warehouse, 10, 10, hours_ago=4)
    put(warehouse, 10, 10, hours_ago=1, task="other")
    put(warehouse, 10, 0, hours_ago=0)
    assert first_visible(warehouse, ledger, incident) is None
    assert tell_visible(warehouse, ledger, incident, now_us=END).visible_us is None
    put(warehouse, 4, 4, hours_ago=1)
    told = tell_visible(warehouse, ledger, incident, now_us=END)
    assert told.visible_us == END - 2 * HOUR
    assert ledger.get(Incident, incident.id) == told


def test_a_report_makes_it_visible(store: tuple[Warehouse, Ledger]) -> None:
    """A report that came before any harmed answer counts; a near miss reached no user."""
    warehouse, ledger = store
    incident = about(ledger, onset_low_us=END - 3 * HOUR, at_us=END)
    put(warehouse, 4, 4, hours_ago=0)
    for name, at_us, near in (("a", END - 90, False), ("b", END - 2 * HOUR, True)):
        report = Report(
            id=name, incident=incident.id, text="wrong", app="bot", environment="production", near_miss=near, by="ann", at_us=at_us
        )  # fmt: skip
        ledger.put(report, now_us=at_us, by="ann")
    assert first_visible(warehouse, ledger, incident) == END - HOUR
    ledger.put(replace(ledger.get(Report, "a"), at_us=END - HOUR - 7), now_us=END, by="ann")
    assert first_visible(warehouse, ledger, incident) == END - HOUR - 7


@pytest.mark.parametrize(("aspect", "first"), [("", END - 2 * HOUR), ("refusal", None)])
def test_traffic_that_did_not_come_was_visible_from_the_onset(
    store: tuple[Warehouse, Ledger], aspect: str, first: int | None
) -> None:
    """A fall of traffic harms no answer: thumbs-down on what came are not it; what was only not measured nobody saw."""
    warehouse, ledger = store
    times = {"onset_us": END - 2 * HOUR, "onset_low_us": END - 3 * HOUR, "at_us": END}
    incident = about(ledger, metric="traffic", direction="down", aspect=aspect, **times)
    put(warehouse, 4, 4, hours_ago=1)
    warehouse.append("scores", thumbs_down(END - 2 * HOUR - 5))
    warehouse.commit()
    assert first_visible(warehouse, ledger, incident) == first


@pytest.mark.parametrize("origin", ["report", "near miss"])
def test_what_is_next_where_no_chart_has_spoken(origin: Origin) -> None:
    """A report is looked into first, a near miss has no harm to stop, and neither waits for a measurement that nobody makes."""
    incident = replace(opened(), lead="", metric="", signals=(), origin=origin, acked_us=T0)
    first = what_next(incident, None)
    assert ("stop the harm" in first) is (origin == "report")
    assert ("false alarm" in first) is (origin == "report")
    assert ("mark INC-0001 diagnosed" in first) is (origin == "near miss")
    last = what_next(replace(incident, stabilised_us=T0, diagnosed_us=T0, fixed_us=T0, state="fixed"), None)
    assert "criterion check INC-0001" in last
    assert "measures" not in last
    joined = replace(incident, lead="a")
    assert "andon lever hold" in what_next(joined, None)


def test_what_is_next_follows_the_state() -> None:
    """Each state names one next thing and its command; open steps come before the watch, and nothing after the close."""
    incident = replace(opened(), acked_us=T0)
    asked = [what_next(replace(incident, acked_us=None), None)]
    for name in MARKS:
        asked.append(what_next(incident, None))
        incident = mark(incident, name, T0, now_us=T0)
    first = Step(id="S1", text="a tenth", check="no refusal", done_us=T0, seen="none")
    plan = Recovery(id=incident.id, steps=(first, Step(id="S2", text="the rest", check="no refusal")))
    asked += [what_next(incident, plan), what_next(incident, None)]
    over = replace(incident, recovered_us=T0, state="recovered")
    asked += [what_next(over, None), what_next(replace(over, state="closed", closed_us=T0), None)]
    words = ("ack INC-0001", "stabilised", "diagnosed", "mark INC-0001 fixed", "step done INC-0001 S2", "incident recovery", "close INC-0001", "Nothing")  # fmt: skip
    for text, word in zip(asked, words, strict=True):
        assert word in text
    assert len(set(asked)) == len(asked)


def test_what_is_next_where_nothing_is_measured() -> None:
    """With ticked checks alone there is nothing to wait for: a criterion that is measured is to be added."""
    incident = replace(opened(), acked_us=T0, fixed_us=T0, state="fixed")
    seen = ExitCriterion(id="C1", kind="check", text="answers read", met=True)
    plan = Recovery(id=incident.id, criteria=(seen,))
    assert "add a criterion that is measured (`andon incident criterion add INC-0001" in what_next(incident, plan)
    assert "Wait" in what_next(incident, replace(plan, criteria=(seen, replace(seen, id="C2", kind="probe"))))
    assert "Wait" in what_next(incident, Recovery(id=incident.id))  # measuring suggests them
    assert "Look again" in what_next(replace(incident, lead="", origin="report"), plan)
