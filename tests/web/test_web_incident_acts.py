"""What can be done on the page of an incident: each act does what its stage does, with the person's name in the record."""

import csv
import io
from typing import Any

import pytest
from browsing import NOW, House, Visitor, seen
from harmed import HOUR, ONSET, NoWork, an_incident, raised

from andon.incidents import (
    ExitCriterion,
    Incident,
    Recovery,
    Report,
    Runbook,
    RunbookEntry,
    RunbookItem,
    RunbookState,
    TimelineMark,
)
from andon.incidents.run.states import mark_incident
from andon.incidents.run.timeline import event, marks_of, timeline_of
from andon.incidents.runbooks import entry_of
from andon.store import Warehouse
from andon.traffic import Interaction
from andon.traffic.run import record

ONE = "/incidents/INC-0001"


def now(house: House) -> Incident:
    """The incident as it stands."""
    found: Incident | None = house.ledger.get(Incident, "INC-0001")
    assert found is not None
    return found


def said(house: House) -> list[tuple[str, str, str]]:
    """Kind, text and author of the entries of its timeline."""
    return [(e.kind, e.text, e.by) for e in timeline_of(house.ledger, now(house), hidden=True)]


@pytest.fixture
def rob(house: House) -> Visitor:
    """A responder, and an open incident."""
    an_incident(house)
    return house.visitor("responder")


def test_somebody_says_that_they_are_on_it(house: House, rob: Visitor) -> None:
    """An acknowledgement carries the name of who pressed the button; who comes later is told who it was."""
    rob.does(f"{ONE}/acknowledge", origin=ONE)
    assert (now(house).acked_by, now(house).acked_us) == ("Rob", NOW)
    assert ("state", "acknowledged", "Rob") in said(house)
    item = RunbookItem(id="take", phase="triage", text="Somebody is at it.", answer="acked")
    old = RunbookEntry(item="take", text="nobody has said so yet", found="no", at_us=NOW - HOUR)
    house.ledger.put(
        RunbookState(id="INC-0001", runbook=Runbook(name="ours", items=(item,)), entries=(old,)), now_us=NOW, by="andon"
    )
    page = rob.sees(ONE).text
    assert "Rob said so" in page
    assert "nobody has said so yet" not in page
    assert "Rob has acknowledged it already" in house.visitor("owner").does(f"{ONE}/acknowledge").text


@pytest.mark.parametrize("milestone", ["stabilised", "diagnosed", "fixed"])
def test_a_milestone_is_marked_with_why_and_since_when(house: House, rob: Visitor, milestone: str) -> None:
    """What was reached stands in the record since the time that was given in the reader's zone, with the reason and the name."""
    rob.client.cookies.set("andon_zone", "Europe/Zurich")  # 2026-03-02T00:00 UTC is 01:00 there
    rob.does(f"{ONE}/mark/{milestone}", {"why": "put back", "at": "2026-03-02T00:30", "seen": ""}, origin=ONE)
    assert getattr(now(house), f"{milestone}_us") == NOW - HOUR // 2
    assert ("state", f"{milestone}: put back", "Rob") in said(house)
    assert house.ledger.latest(Incident, "INC-0001").by == "Rob"


def test_a_milestone_without_a_reason_or_in_the_future_is_refused_with_what_was_typed(
    house: House, rob: Visitor
) -> None:
    """A refused form is shown again beside its message with what was typed, and nothing is written."""
    before = house.ledger.last_entry()
    answer = rob.send(f"{ONE}/mark/fixed", {"why": "my long reason", "at": "2031-01-01T00:00"}, origin=ONE)
    assert answer.status_code == 422
    assert "future" in seen(answer).text
    assert "my long reason" in answer.text
    assert 'value="2031-01-01T00:00"' in answer.text
    empty = rob.send(f"{ONE}/mark/fixed", {"why": " "}, origin=ONE)
    assert empty.status_code == 422
    assert rob.send(f"{ONE}/mark/happy", {"why": "x"}, origin=ONE).status_code == 422
    assert house.ledger.last_entry() == before


def test_two_who_mark_the_same_do_not_overwrite_each_other(house: House, rob: Visitor) -> None:
    """Who marks what somebody marked meanwhile is told so, keeps what was typed, and may send it again as a correction."""
    mark_incident(house.ledger, now(house), "stabilised", "mine", at_us=NOW - HOUR, now_us=NOW, by="Ada")
    answer = rob.send(f"{ONE}/mark/stabilised", {"why": "my reason", "seen": ""}, origin=ONE)
    assert answer.status_code == 409
    assert "meanwhile" in seen(answer).text
    assert "my reason" in answer.text
    assert now(house).stabilised_us == NOW - HOUR
    assert f'name="seen" value="{NOW - HOUR}"' in answer.text
    rob.does(f"{ONE}/mark/stabilised", {"why": "my reason", "seen": str(NOW - HOUR)}, origin=ONE)
    assert now(house).stabilised_us == NOW


def test_a_persons_word_stands_and_can_be_taken_back(house: House, rob: Visitor) -> None:
    """An overrule keeps both words and shows who said it; undo puts the word before it back, as another overrule."""
    page = rob.does(f"{ONE}/overrule/severity", {"chosen": "P1", "why": "children ask", "seen": "P2"}, origin=ONE)
    assert now(house).severity == "P1"
    assert [(o.suggested, o.chosen, o.by) for o in now(house).overrules] == [("P2", "P1", "Rob")]
    assert "children ask" in page.text
    undo = {a["name"]: a["value"] for t, a in page.tags if t == "input" and a.get("name") in ("chosen", "why", "seen")}
    rob.does(f"{ONE}/overrule/severity", {**undo, "chosen": "P2", "seen": "P1", "why": "taken back"}, origin=ONE)
    assert now(house).severity == "P2"
    assert len(now(house).overrules) == 2


@pytest.mark.parametrize(
    ("field", "sent", "status"),
    [
        ("severity", {"chosen": "P9", "why": "x"}, 422), ("severity", {"chosen": "P1"}, 422), ("colour", {"chosen": "red", "why": "x"}, 422),
        ("severity", {"chosen": "P2", "why": "x"}, 422), ("severity", {"chosen": "P1", "why": "x", "seen": "P3"}, 409),
    ],
)  # fmt: skip
def test_what_cannot_be_overruled_is_refused(
    house: House, rob: Visitor, field: str, sent: dict[str, str], status: int
) -> None:
    """A value that is none, no reason, the same value, or one that was changed meanwhile write nothing."""
    before = house.ledger.last_entry()
    assert rob.send(f"{ONE}/overrule/{field}", sent, origin=ONE).status_code == status
    assert house.ledger.last_entry() == before


def test_it_is_closed_as_what_it_was(house: House, rob: Visitor) -> None:
    """A false alarm is closed with the reason; as recovered only once every criterion is met, and the page says what is not."""
    raised(house, now(house))
    quiet = rob.send(f"{ONE}/close", {"ending": "recovered", "why": "looks fine"}, origin=ONE)
    assert quiet.status_code == 409
    assert "quiet recovery" in seen(quiet).text
    assert "measure again" in seen(quiet).text
    assert "andon incident" not in seen(quiet).text  # the page has buttons for it
    assert "looks fine" in quiet.text
    assert rob.send(f"{ONE}/close", {"ending": "happy", "why": "x"}, origin=ONE).status_code == 422
    assert rob.send(f"{ONE}/close", {"ending": "duplicate", "why": "x"}, origin=ONE).status_code == 422
    rob.does(f"{ONE}/close", {"ending": "false alarm", "why": "a test of ours"}, origin=ONE)
    assert (now(house).closed_as, now(house).closed_why) == ("false alarm", "a test of ours")
    assert ("state", "closed as false alarm: a test of ours", "Rob") in said(house)


def test_a_duplicate_names_the_other(house: House, rob: Visitor) -> None:
    """A duplicate is closed with the incident that it is one of."""
    an_incident(house, "INC-0002")
    rob.does(f"{ONE}/close", {"ending": "duplicate", "why": "the same", "duplicate_of": "INC-0002"}, origin=ONE)
    assert now(house).duplicate_of == "INC-0002"


@pytest.mark.parametrize(("path", "verb"), [("investigate", "investigate"), ("recovery/measure", "recover")])
def test_long_work_is_asked_for(house: House, rob: Visitor, path: str, verb: str) -> None:
    """Long work is asked for in the person's name; a server that does none says what to do instead."""
    refused = rob.send(f"{ONE}/{path}", origin=ONE)
    assert refused.status_code == 409
    assert "does no long work" in seen(refused).text
    work = NoWork()
    object.__setattr__(house.site, "errands", work)
    rob.does(f"{ONE}/{path}", origin=ONE)
    assert work.asked == [(verb, "Rob", {"incident": "INC-0001"})]


def test_exit_criteria_are_added_checked_and_dropped(house: House, rob: Visitor) -> None:
    """Each change of the plan of recovery stands in it, and in the timeline with the name."""
    lead = raised(house, now(house))
    add = f"{ONE}/recovery/criteria"
    rob.does(add, {"kind": "check", "text": "the desk has looked", "watch_h": "48"}, origin=ONE)
    rob.does(add, {"kind": "metric", "monitor": lead.monitor, "watch_h": "24", "at_least": "95"}, origin=ONE)
    rob.does(add, {"kind": "probe", "at_least": "90", "watch_h": "12"}, origin=ONE)
    rob.does(f"{add}/C1/check", {"seen_when_checked": "all is well"}, origin=ONE)
    page = rob.does(f"{add}/C3/drop", {"why": "no probes run"}, origin=ONE)
    plan = house.ledger.get(Recovery, "INC-0001")
    assert [(c.id, c.kind, c.met) for c in plan.criteria] == [("C1", "check", True), ("C2", "metric", None)]
    assert plan.criteria[1].watch_us == 24 * HOUR
    assert [(c.id, c.at_least) for c in plan.dropped] == [("C3", 0.9)]
    assert "no probes run" in page.text
    assert ("state", "exit criterion C3 dropped: no probes run", "Rob") in said(house)


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("recovery/criteria", {"kind": "check", "text": ""}), ("recovery/criteria", {"kind": "probe", "at_least": "many"}),
        ("recovery/criteria", {"kind": "metric", "monitor": "unknown"}), ("recovery/criteria", {"kind": "check", "text": "x", "watch_h": "1e9"}),
        ("recovery/criteria/C9/drop", {"why": "x"}), ("recovery/criteria/C1/drop", {}), ("recovery/criteria/C1/check", {}),
        ("recovery/steps", {"text": "a tenth"}), ("recovery/steps/S9/done", {"seen_when_checked": "x"}),
        ("runbook/nothing/tick", {}), ("note", {"text": " "}), ("note", {"text": "x", "happened": "yesterday-ish"}),
        ("timeline/ffff/pinned", {"why": "x"}),
    ],
)  # fmt: skip
def test_what_is_not_right_writes_nothing(house: House, rob: Visitor, path: str, sent: dict[str, str]) -> None:
    """A wrong or missing value is refused as the caller's, and leaves the records as they were."""
    plan = Recovery(id="INC-0001", criteria=(ExitCriterion(id="C1", kind="check", text="look"),))
    house.ledger.put(plan, now_us=NOW, by="andon")
    answer = rob.send(f"{ONE}/{path}", sent, origin=ONE)
    assert answer.status_code == 422, seen(answer).text[:300]
    assert house.ledger.get(Recovery, "INC-0001") == plan
    assert said(house) == []


def test_steps_are_taken_in_their_order(house: House, rob: Visitor) -> None:
    """A step is planned with its check and done with what was seen; the second one waits for the first."""
    for text in ("a tenth", "all"):
        rob.does(f"{ONE}/recovery/steps", {"text": text, "check": "an hour"}, origin=ONE)
    early = rob.send(f"{ONE}/recovery/steps/S2/done", {"seen_when_checked": "x"}, origin=ONE)
    assert early.status_code == 409
    rob.does(f"{ONE}/recovery/steps/S1/done", {"seen_when_checked": "61 fine"}, origin=ONE)
    steps = house.ledger.get(Recovery, "INC-0001").steps
    assert [(s.done_us, s.seen, s.by) for s in steps] == [(NOW, "61 fine", "Rob"), (None, "", "")]


def test_an_item_of_the_runbook_is_ticked(house: House, rob: Visitor) -> None:
    """A tick carries note and name; who ticks over somebody else's tick without having seen it is told."""
    rob.does(f"{ONE}/runbook/read/tick", {"note": "ten read", "seen": ""}, origin=ONE)
    entry = entry_of(house.ledger.get(RunbookState, "INC-0001"), "read")
    assert (entry.by, entry.text, entry.found) == ("Rob", "ten read", "done")
    late = house.visitor("owner").send(f"{ONE}/runbook/read/tick", {"note": "mine", "seen": ""}, origin=ONE)
    assert late.status_code == 409
    assert "Rob ticked read meanwhile" in seen(late).text
    assert "mine" in late.text


def test_a_note_is_an_entry_and_can_be_taken_back(house: House, rob: Visitor) -> None:
    """A note has its own time; undo hides it, and who was the first to say anything is known."""
    page = rob.does(f"{ONE}/note", {"text": "they\r\ncalled", "happened": "2026-03-01T23:00"}, origin=ONE)
    (entry,) = timeline_of(house.ledger, now(house))
    assert (entry.kind, entry.text, entry.by, entry.happened_us) == ("note", "they\ncalled", "Rob", NOW - HOUR)
    assert now(house).noticed_by == "Rob"
    (undo,) = [f for f in page.forms if f.endswith("/hidden")]
    rob.does(undo, {"why": "taken back"}, origin=ONE)
    assert timeline_of(house.ledger, now(house)) == []


def test_a_reviewer_comments(house: House) -> None:
    """Comments are notes: a reviewer writes them, though not what responders do."""
    an_incident(house)
    rita = house.visitor("reviewer")
    rita.does(f"{ONE}/note", {"text": "see the label"}, origin=ONE)
    assert said(house) == [("note", "see the label", "Rita")]
    assert rita.send(f"{ONE}/acknowledge", origin=ONE).status_code == 403


def test_an_entry_is_pinned_hidden_and_shown_again(house: House, rob: Visitor) -> None:
    """A mark carries why and who; the page offers it for the chosen entry only, and undo brings the mark before back."""
    made = event(house.ledger, now(house), ONSET, NOW, "note", "what was said")
    short = made.id.rpartition("-")[2]
    offered = rob.sees(f"{ONE}/timeline?entry={short}").forms
    assert {f.rpartition("/")[2] for f in offered if "/timeline/" in f} == {"pinned", "hidden"}
    page = rob.does(f"{ONE}/timeline/{short}/hidden", {"why": "a slip"}, origin=f"{ONE}/timeline?entry={short}")
    mark = marks_of(house.ledger, now(house))[made.id]
    assert mark == TimelineMark(id=made.id, incident="INC-0001", mark="hidden", why="a slip", by="Rob")
    assert f"{ONE}/timeline/{short}/shown" in page.forms
    rob.does(f"{ONE}/timeline/{short}/shown", {"why": "undone"}, origin=ONE)
    assert "what was said" in rob.sees(ONE).text
    refused = rob.send(f"{ONE}/timeline/{short}/pinned", {"why": ""}, origin=f"{ONE}/timeline?entry={short}")
    assert refused.status_code == 422
    assert "why" in seen(refused).text


def test_a_person_reports_a_problem(house: House) -> None:
    """What somebody says opens an incident in their name; the same app and words once more join it; a near miss is one."""
    rita = house.visitor("reviewer")
    page = rita.does("/incidents/report", {"text": "it told a dose", "app": "clinic"}, origin="/incidents")
    (incident,) = house.ledger.all(Incident)
    assert (incident.origin, incident.noticed_by, incident.app) == ("report", "Rita", "clinic")
    assert "it told a dose" in page.text
    rita.does("/incidents/report", {"text": "nearly sent", "app": "mail", "near_miss": "yes"}, origin="/incidents")
    assert [r.near_miss for r in house.ledger.all(Report)] == [False, True]
    lost = rita.send("/incidents/report", {"text": "no app is named"}, origin="/incidents")
    assert lost.status_code == 422
    assert "no app is named" in lost.text


def test_the_query_log_is_a_file(house: House, rob: Visitor) -> None:
    """The log of questions is a CSV file of one head and a line for each, whoever reads; formulas are harmless in it."""
    answer = rob.get(f"{ONE}/queries.csv")
    assert answer.headers["content-type"].startswith("text/csv")
    assert next(csv.reader(io.StringIO(answer.text)))[:2] == ["id", "time"]


def test_a_report_names_its_interaction(house: House) -> None:
    """A report of an interaction that is known takes application and time from it."""
    warehouse: Warehouse = house.site.warehouse
    told: dict[str, Any] = {"query": "How much?", "answer": "Half.", "app": "clinic", "environment": "production"}
    record(warehouse, [Interaction(id="i1", time_us=ONSET, **told)])
    warehouse.commit()
    house.visitor("reviewer").does(
        "/incidents/report", {"text": "a dose", "interaction": "i1"}, origin="/incidents?report=i1"
    )
    (report,) = house.ledger.all(Report)
    assert (report.app, report.interaction_id) == ("clinic", "i1")
    assert house.ledger.all(Incident)[0].onset_us == ONSET
