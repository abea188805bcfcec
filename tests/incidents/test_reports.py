"""Laws of reports and near misses: what a person says opens an incident or joins the one it belongs to, and is never lost."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from receivers import receiving
from test_messages import OBEYED, ours
from test_triage import HOUR, T0, signal
from walked import Store, asked

from andon.errors import InputError
from andon.incidents import Incident, Report, TimelineEvent, message_of, open_channels
from andon.incidents.records import Reason
from andon.incidents.reports import report_id, same_question
from andon.incidents.run import goes_on, notify, respond, restate, timeline_of
from andon.incidents.run.growing import grow_timeline
from andon.incidents.run.reports import receive_report

MINUTE = 60_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store on disk."""
    made = Store(tmp_path)
    yield made
    made.close()


def say(store: Store, text: str = "wrong dose", *, by: str = "mia", now_us: int = T0, **fields) -> Incident:
    """Report something; returns the incident that has it."""
    report = receive_report(store.warehouse, store.ledger, text, by=by, now_us=now_us, **fields)
    found = store.ledger.get(Incident, report.incident)
    assert found is not None
    return found


def test_a_report_opens_an_incident(store: Store) -> None:
    """It has no chart and says so; who reported noticed first; it was visible when the answer was given."""
    store.take([asked("one", T0 - HOUR, risk_category="low")])
    incident = say(store, "wrong  dose\nfor children", interaction_id="one")
    assert (incident.id, incident.origin, incident.severity) == ("INC-0001", "report", "P3")
    assert (incident.metric, incident.lead, incident.signals, incident.scope) == ("", "", (), {})
    assert incident.title == "Reported in bot: wrong dose for children"
    assert "no chart has measured it" in incident.impact_reason
    assert (incident.noticed_us, incident.noticed_by) == (T0, "mia")
    assert (incident.onset_us, incident.visible_us, incident.alarmed_us) == (T0 - HOUR, T0 - HOUR, T0)
    (entry,) = timeline_of(store.ledger, incident)
    assert (entry.kind, entry.happened_us, entry.learned_us, entry.by) == ("report", T0 - HOUR, T0, "mia")
    assert entry.text == "reported (interaction one): wrong dose for children; it was asked: What about one?"
    assert store.ledger.all(Report)[0].text == "wrong  dose\nfor children"


@pytest.mark.parametrize(("risk", "severity"), [("High", "P2"), ("unacceptable", "P2"), ("low", "P3"), (None, "P3")])
@pytest.mark.parametrize("near_miss", [False, True])
def test_a_high_risk_category_makes_it_more_urgent(
    store: Store, risk: str | None, severity: str, near_miss: bool
) -> None:
    """P3, and P2 where the risk category of the interaction is high; the rule is said."""
    store.take([asked("one", T0 - HOUR, risk_category=risk)])
    incident = say(store, interaction_id="one", near_miss=near_miss)
    assert incident.severity == severity
    assert incident.severity_reason.startswith(f"{severity}: a {'near miss' if near_miss else 'report'} ")


def test_a_near_miss_was_never_visible(store: Store) -> None:
    """Nobody was harmed, so that there is no time at which users saw it."""
    incident = say(store, "caught in review", app="bot", near_miss=True)
    assert (incident.origin, incident.visible_us, incident.environment) == ("near miss", None, "production")
    assert incident.title == "Nearly harmed in bot: caught in review"


@pytest.mark.parametrize(
    ("fields", "joins"),
    [
        ({"task": "faq", "time_us": T0 - HOUR}, True),
        ({"task": "faq", "time_us": T0 - 2 * HOUR}, True),
        ({"task": "faq", "time_us": T0 - 3 * HOUR}, False),
        ({"task": "refund", "time_us": T0 - HOUR}, False),
        ({"time_us": T0 - HOUR}, False),
        ({"task": "faq", "time_us": T0 - HOUR, "app": "other"}, False),
        ({"task": "faq", "time_us": T0 - HOUR, "environment": "staging"}, False),
    ],
)
def test_it_joins_where_the_harm_is_measured(store: Store, fields: dict, joins: bool) -> None:
    """It joins an open incident where the interaction lies in the leading chart's part, after the harm may have begun."""
    told = dict(fields)
    store.take([replace(asked("one", told.pop("time_us")), **told)])
    home = store.raise_(signal("a", scope={"task": "faq"}))
    incident = say(store, interaction_id="one", now_us=T0 + HOUR)
    assert (incident.id == home.id) is joins
    assert incident.noticed_by == "mia"
    assert [e.by for e in timeline_of(store.ledger, incident) if e.kind == "report"] == ["mia"]


def test_the_first_person_to_notice_stays_the_first(store: Store) -> None:
    """A later report of the same incident adds an entry and takes nobody's place."""
    store.take([asked("one", T0 - HOUR), asked("two", T0 - HOUR)])
    home = store.raise_()
    first = say(store, interaction_id="one", by="mia", now_us=T0 + 1)
    second = say(store, interaction_id="two", by="ann", now_us=T0 + 2)
    assert first.id == second.id == home.id
    assert (second.noticed_us, second.noticed_by) == (T0 + 1, "mia")
    assert len([e for e in timeline_of(store.ledger, home) if e.kind == "report"]) == 2


def test_the_same_question_is_the_same_incident(store: Store) -> None:
    """Reports of one interaction, or of one question apart from case and spaces, are one incident; another question is not."""
    rows = [asked("one", T0 - HOUR), asked("two", T0, query="what ABOUT  one?"), asked("three", T0, query="Else?")]
    store.take(rows)
    first = say(store, interaction_id="one")
    assert say(store, "I think so too", interaction_id="one", by="ann").id == first.id
    assert say(store, "bad", interaction_id="two", by="ann").id == first.id
    assert say(store, "bad", interaction_id="three", by="ann").id != first.id


def test_without_an_interaction_only_the_same_words_join(store: Store) -> None:
    """Whether what is not named lies in a measured part cannot be told, so it is an incident of its own."""
    home = store.raise_()
    first = say(store, "answers are rude", app="bot")
    assert first.id != home.id
    assert say(store, "Answers are RUDE", app="bot", by="ann").id == first.id
    assert say(store, "answers are slow", app="bot").id not in (first.id, home.id)


@pytest.mark.parametrize(("one", "other"), [(None, None), ("", ""), (" ", " "), ("a", None), ("a", "b")])
def test_questions_that_are_not_known_are_like_none(one: str | None, other: str | None) -> None:
    """An empty question is not the same as another empty one."""
    assert not same_question(one, other)


def test_the_same_report_again_changes_nothing(store: Store) -> None:
    """Sent twice it is one report; after its incident was closed, it is another one, of another incident."""
    store.take([asked("one", T0 - HOUR)])
    incident = say(store, interaction_id="one")
    before = list(store.ledger.bodies())
    assert say(store, "Wrong Dose", interaction_id="one", now_us=T0 + HOUR) == incident
    assert list(store.ledger.bodies()) == before
    store.ledger.put(replace(incident, state="closed", closed_us=T0 + HOUR), now_us=T0 + HOUR, by="ann")
    again = say(store, interaction_id="one", now_us=T0 + 2 * HOUR)
    assert again.id == "INC-0002"
    assert len({r.id for r in store.ledger.all(Report)}) == 2


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"text": "  "}, "1 to 5,000"),
        ({"text": "x" * 5_001, "app": "bot"}, "1 to 5,000"),
        ({"text": "bad"}, "say which application"),
        ({"text": "bad", "interaction_id": "gone"}, 'no interaction "gone" is known here'),
        ({"text": "bad", "interaction_id": "one", "app": "other"}, 'app="other" is not that of interaction "one"'),
        ({"text": "bad", "interaction_id": "one", "environment": "test"}, "environment="),
    ],
)
def test_what_cannot_be_recorded_is_refused(store: Store, fields: dict, match: str) -> None:
    """Without a text or an application, or with another application than the interaction's, nothing is written."""
    store.take([asked("one", T0 - HOUR)])
    with pytest.raises(InputError, match=match):
        receive_report(store.warehouse, store.ledger, **fields, by="mia", now_us=T0)
    assert store.ledger.all(Incident) == store.ledger.all(Report) == []


def test_a_report_of_what_is_not_here_yet_is_kept(store: Store) -> None:
    """An interaction that has not arrived does not keep a report from being recorded, where the application is said."""
    incident = say(store, interaction_id="to come", app="bot", environment="staging")
    assert (incident.environment, incident.onset_us) == ("staging", T0)
    assert store.ledger.all(Report)[0].interaction_id == "to come"


def test_a_signal_joins_a_report_and_leads_it(store: Store) -> None:
    """A chart that speaks within a day gives the incident its metric, part and title; that a person was first stays."""
    store.take([asked("one", T0 - HOUR)])
    reported = say(store, interaction_id="one")
    warned = store.raise_(signal("w", at_us=T0 + HOUR, level="warning"))
    assert (warned.id, warned.lead) == (reported.id, "")
    joined = store.raise_(signal("a", at_us=T0 + 5 * HOUR, onset_us=T0 + 3 * HOUR, scope={"task": "faq"}))
    assert (joined.id, joined.lead, joined.metric, joined.scope) == (reported.id, "a", "refusal", {"task": "faq"})
    assert (joined.origin, joined.noticed_by, joined.alarmed_us) == ("report", "mia", T0)
    assert joined.title.startswith("The share of answers that refuse rose")
    late = store.raise_(signal("b", at_us=T0 + 80 * HOUR, onset_us=T0 + 79 * HOUR))
    assert late.id != reported.id


def test_two_reports_at_once_are_two_incidents_or_one(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else opens an incident with the same number at the same moment: this report gets the next one."""
    from andon.incidents.run import reports as stage

    first = stage.home_of

    def meanwhile(*args, **fields):
        monkeypatch.setattr(stage, "home_of", first)
        say(store, "another", app="bot", by="ann")
        return first(*args, **fields)

    monkeypatch.setattr(stage, "home_of", meanwhile)
    assert say(store, "mine", app="bot").id == "INC-0002"
    assert sorted(r.incident for r in store.ledger.all(Report)) == ["INC-0001", "INC-0002"]


def test_who_said_what_of_which_is_the_id() -> None:
    """Another person, text, interaction or time is another report; case and spaces are not."""
    ids = [report_id("a b", "x", "i"), report_id("a c", "x", "i"), report_id("a b", "y", "i")]
    ids += [
        report_id("a b", "x", None),
        report_id("a b", "x", "i", 5),
        report_id("b", "a", "x i"),
        report_id("", "a", "b"),
    ]
    assert len(set(ids)) == len(ids)
    assert report_id("A  b", "x", "i") == ids[0]
    assert all(i.startswith("REP-") for i in ids)


HOSTILE = "<!channel> [x](http://evil.example) \x1b[2J =1+1 <img src=x>"


@pytest.mark.parametrize("reason", ["opened", "late", "worse", "still", "unsure", "closed"])
@pytest.mark.parametrize("near_miss", [False, True])
def test_people_are_told_without_a_chart(store: Store, reason: Reason, near_miss: bool) -> None:
    """A message about a report has a title and a severity, and nothing in it is obeyed."""
    incident = say(store, HOSTILE, app="<@U1>", near_miss=near_miss)
    made = message_of(incident, reason, now_us=T0 + HOUR, told_us=T0)
    assert "P3" in made.title or reason in ("late", "closed")
    assert not OBEYED.findall(made.title)
    assert not OBEYED.findall(ours(made.text))
    assert not OBEYED.findall(ours(made.markdown))


def test_nothing_that_works_on_incidents_needs_a_chart(store: Store) -> None:
    """Telling, restating, asking whether harm goes on, growing, and further signals pass over what is missing."""
    store.take([asked("one", T0 - HOUR)])
    incident = say(store, interaction_id="one")
    with receiving() as receiver:
        told = notify(
            store.ledger,
            open_channels(receiver.url),
            now_us=T0 + MINUTE,
            harmed=lambda i: goes_on(store.warehouse, store.ledger, i, now_us=T0),
        )
        assert [d.state for d in told] == ["sent"]
        assert receiver.titles == ["P3: Reported in bot: wrong dose"]
    assert goes_on(store.warehouse, store.ledger, incident, now_us=T0) is None
    assert restate(store.ledger, incident, 0.5, now_us=T0) == incident
    assert grow_timeline(store.warehouse, store.ledger, incident, now_us=T0 + HOUR) == []
    assert respond(store.ledger, []) == []
    assert incident.lag_s == (HOUR / 1e6,) * 3


def test_the_command_records_a_report(type_) -> None:
    """`andon incident report` says what was recorded where; a wrong interaction is named."""
    from andon.cli.screen import opened
    from andon.traffic.run import record

    with opened() as loop:
        record(loop.warehouse, [asked("one", T0)])
    code, out, _ = type_("incident", "report", "bad \x1b[2Jadvice", "--interaction", "one")
    assert code == 0
    assert "is recorded in INC-0001 (P3): Reported in bot: bad [2Jadvice" in out
    code, out, _ = type_("incident", "report", "nearly", "--app", "bot", "--near-miss")
    assert "INC-0002 (P3): Nearly harmed in bot: nearly" in out
    code, _, err = type_("incident", "report", "bad", "--interaction", "two")
    assert (code, "say which application" in err) == (2, True)
    with opened() as loop:
        assert {e.by for e in loop.ledger.all(TimelineEvent)} == {"ann"}
