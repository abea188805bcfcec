"""Laws of what people are told of experiments: a decision does not wait in a ledger while users are given the treatment."""

from collections.abc import Callable
from typing import Any

import pytest

from andon.incidents import Message
from andon.incidents.hooks import pagerduty_event, webhook_event
from andon.levers import Version
from andon.levers.run import start_split, stop_split
from andon.levers.run.telling import tell_levers
from andon.rollouts import Arm, Decision, Experiment
from andon.rollouts.notices import standing_text
from andon.rollouts.records import Outcome
from andon.rollouts.run.looking import SETTLE_US
from andon.rollouts.run.standing import decided_experiments, late_looks
from andon.store import Ledger

T0 = 1_790_000_000_000_000
HOUR = 3_600_000_000
DAY = 24 * HOUR
EVIL = "<!here> @channel [x](https://evil.com) \x1b[2J `rm -rf` *b*"
Decide = Callable[..., Decision]


class Heard:
    """A channel that keeps what it is told."""

    def __init__(self, *, follows: bool = False) -> None:
        self.name, self.follows = "pager" if follows else "chat", follows
        self.messages: list[Message] = []

    def send(self, message: Message) -> None:
        self.messages.append(message)

    def open(self) -> set[str]:
        """The keys of a pager's alerts that are open."""
        keys: set[str] = set()
        for event in (pagerduty_event(m, "k" * 32) for m in self.messages):
            (keys.add if event["event_action"] == "trigger" else keys.discard)(event["dedup_key"])
        return keys


@pytest.fixture
def started(
    ledger: Ledger, approved: Callable[[str], Version], experiment: Callable[..., Experiment]
) -> Callable[..., Experiment]:
    """A function that starts a canary of a day."""

    def make(**more: Any) -> Experiment:
        treatment = more.pop("treatment", None) or approved("new").digest
        plan = experiment(treatment, **{"kind": "canary", "days": 1.0, "share": 0.05, **more})
        ledger.put(plan, now_us=T0, by="ann")
        start_split(ledger, plan, why="to know", by="ann", now_us=T0)
        return plan

    return make


@pytest.fixture
def decide(ledger: Ledger) -> Decide:
    """A function that writes what a look decided."""

    def make(outcome: Outcome, look: int = 1, reason: str = "refusals rose", written_us: int | None = None) -> Decision:
        arms = [Arm(name=name, n=100, events=10) for name in ("control", "treatment")]
        decision = Decision(
            id=f"EXP-0001@{look:04d}", at_us=T0 + look * HOUR, app="bot", metric="refusal", outcome=outcome, reason=reason,
            experiment="EXP-0001", look=look, control=arms[0], treatment=arms[1],
        )  # fmt: skip
        ledger.put(decision, now_us=written_us or decision.at_us, by="rollouts")
        return decision

    return make


@pytest.mark.parametrize(
    ("outcome", "title", "tone"),
    [
        ("roll back", "EXP-0001 harms, and still runs: canary of version ", "urgent"),
        ("hold", "EXP-0001 is not to go on: canary of version ", "warning"),
        ("promote", "EXP-0001 may be promoted: canary of version ", "note"),
    ],
)
def test_a_decision_is_told_once(
    ledger: Ledger, started: Callable[..., Experiment], decide: Decide, outcome: Outcome, title: str, tone: str
) -> None:
    """What was decided and why, that it is still served, and the command; once, however many looks say the same."""
    started(on_harm="tell")
    heard = Heard()
    decide("undecided")
    assert tell_levers(ledger, [heard], T0 + HOUR) == 0
    decide(outcome, 2)
    assert tell_levers(ledger, [], T0 + 2 * HOUR) == 0  # nobody was told, so nothing counts as told
    assert tell_levers(ledger, [heard], T0 + 2 * HOUR) == 1
    decide("undecided", 3)
    decide(outcome, 4)
    assert tell_levers(ledger, [heard], T0 + 4 * HOUR) == 0
    (message,) = heard.messages
    assert message.title.startswith(title)
    assert message.title.endswith(" of lever prompt in production")
    assert message.tone == tone
    assert message.text.startswith(f"{outcome.capitalize()}: refusals rose")
    assert "The treatment is still served to 5 % of the users" in message.text
    assert 'andon rollout stop EXP-0001 --why "..."' in message.text
    event = webhook_event(message)
    assert (event["type"], event["data"]["decision"], event["data"]["lever"]) == ("rollout.decided", outcome, "prompt")


def test_harm_that_is_found_after_a_promotion_is_told(
    ledger: Ledger, started: Callable[..., Experiment], decide: Decide
) -> None:
    """Another outcome is told, and pages anew: an alert that was acknowledged when it looked good does not hide it."""
    started(on_harm="tell")
    pager = Heard(follows=True)
    decide("promote")
    tell_levers(ledger, [pager], T0 + HOUR)
    decide("roll back", 2)
    tell_levers(ledger, [pager], T0 + 2 * HOUR)
    assert [m.tone for m in pager.messages] == ["note", "urgent"]
    assert pager.open() == {"andon-EXP-0001-promote", "andon-EXP-0001-roll-back"}


def test_a_pager_is_told_the_end(ledger: Ledger, started: Callable[..., Experiment], decide: Decide) -> None:
    """Its alerts are resolved when the experiment is stopped; a chat is told of the decision alone."""
    started(on_harm="tell")
    pager, chat = Heard(follows=True), Heard()
    for look, outcome in ((1, "hold"), (2, "roll back")):
        decide(outcome, look)
        tell_levers(ledger, [pager, chat], T0 + look * HOUR)
    stop_split(ledger, "EXP-0001", why="it harms", by="bob", now_us=T0 + 3 * HOUR)
    assert tell_levers(ledger, [pager, chat], T0 + 3 * HOUR) == 2
    assert tell_levers(ledger, [pager, chat], T0 + 4 * HOUR) == 0
    assert pager.open() == set()
    assert [m.event for m in chat.messages] == ["rollout.decided"] * 2
    assert len({m.id for m in pager.messages}) == len(pager.messages)


def test_what_was_taken_out_is_told_as_that(ledger: Ledger, started: Callable[..., Experiment], decide: Decide) -> None:
    """Where the rule took the treatment out before anybody was told: who and why, with no command to do it again."""
    started()
    pager, chat = Heard(follows=True), Heard()
    decide("roll back")
    stop_split(ledger, "EXP-0001", why="EXP-0001@0001: refusals rose", by="rule of ann", now_us=T0 + HOUR)
    tell_levers(ledger, [pager, chat], T0 + HOUR)
    (message,) = chat.messages
    assert message.title.startswith("EXP-0001 harmed, and is over: canary of version ")
    assert message.tone == "warning"
    assert "It was ended by rule of ann: EXP-0001＠0001: refusals rose" in message.text
    assert "andon rollout stop" not in message.text
    assert pager.open() == set()


def test_last_month_is_no_news(ledger: Ledger, started: Callable[..., Experiment], decide: Decide) -> None:
    """A channel that is set up later is told of what runs or ended within a day."""
    started()
    decide("hold")
    heard = Heard()
    assert tell_levers(ledger, [heard], T0 + 2 * DAY + 1) == 0
    assert tell_levers(ledger, [heard], T0 + 2 * DAY) == 1
    assert "Its time is over." in heard.messages[0].text


def test_what_waits_is_listed_with_its_command(
    ledger: Ledger, started: Callable[..., Experiment], decide: Decide
) -> None:
    """While the treatment of a decided experiment is served, it is named with what to do; not before, and not after."""
    plan = started(on_harm="tell")
    assert decided_experiments(ledger, T0 + HOUR) == []
    decide("promote", 1)
    first = decide("roll back", 2, reason=EVIL)
    decide("roll back", 3)
    (found,) = decided_experiments(ledger, T0 + 3 * HOUR)
    assert found.decision == first
    assert found.runs(T0 + HOUR)
    assert not found.runs(T0 + DAY)
    line = standing_text(found, T0 + 3 * HOUR)
    assert line.startswith(
        f"{plan.id}: roll back, decided 2026-09-21T16:13:20Z, and the treatment is still served to 5 %"
    )
    assert line.endswith(': andon rollout stop EXP-0001 --why "..."')


@pytest.fixture
def elsewhere(started: Callable[..., Experiment]) -> Callable[[], Experiment]:
    """A function that starts a canary of a day of what something else than Andon serves."""
    field = {"lever": None, "field": "prompt_version", "treatment": "v2", "control": "v1", "share": None}
    return lambda: started(**field, on_harm="tell")


@pytest.mark.parametrize("stopped", [False, True])
def test_harm_that_something_else_serves_is_not_over_with_its_experiment(
    ledger: Ledger, elsewhere: Callable[[], Experiment], decide: Decide, stopped: bool
) -> None:
    """Neither the end of its time nor a stop takes it out: it is urgent, an alert of it stays, and it is listed for a week."""
    elsewhere()
    if stopped:
        stop_split(ledger, "EXP-0001", why="seen enough", by="bob", now_us=T0 + 23 * HOUR)
    decide("roll back", 24)
    pager, chat = Heard(follows=True), Heard()
    assert tell_levers(ledger, [pager, chat], T0 + 25 * HOUR) == 2
    assert tell_levers(ledger, [pager, chat], T0 + 26 * HOUR) == 0
    (message,) = chat.messages
    assert message.title.startswith("EXP-0001 harms; take it out where it is served: canary of v2 as ")
    assert message.tone == "urgent"
    assert "Something else than Andon serves the treatment: take it out there." in message.text
    assert "andon rollout stop" not in message.text
    assert pager.open() == {"andon-EXP-0001-roll-back"}
    (found,) = decided_experiments(ledger, T0 + 8 * DAY)
    assert found.stands(T0 + 8 * DAY)
    line = standing_text(found, T0 + 8 * DAY)
    assert "something else than Andon serves the treatment: take it out there" in line
    assert line.endswith(": andon rollout show EXP-0001")
    assert decided_experiments(ledger, T0 + 8 * DAY + 1) == []


def test_a_hold_that_something_else_serves_ends_with_its_experiment(
    ledger: Ledger, elsewhere: Callable[[], Experiment], decide: Decide
) -> None:
    """Only harm stays: what was merely not shown is a note once it is over, and is not listed."""
    elsewhere()
    decide("hold", 24)
    (found,) = decided_experiments(ledger, T0 + 25 * HOUR)
    assert not found.stands(T0 + 25 * HOUR)
    pager = Heard(follows=True)
    tell_levers(ledger, [pager], T0 + 25 * HOUR)
    assert [m.tone for m in pager.messages] == ["note", "note"]
    assert pager.open() == set()


def test_an_end_that_was_decided_late_is_told(
    ledger: Ledger, started: Callable[..., Experiment], decide: Decide
) -> None:
    """After a weekend without a server, what the looks decide is told for a day from when they were written."""
    started()
    decide("roll back", 24, written_us=T0 + 4 * DAY)
    heard = Heard()
    assert tell_levers(ledger, [heard], T0 + 5 * DAY + 1) == 0
    assert tell_levers(ledger, [heard], T0 + 5 * DAY) == 1
    assert heard.messages[0].title.startswith("EXP-0001 harmed, and is over")


def test_a_look_that_is_not_taken_is_listed(ledger: Ledger, started: Callable[..., Experiment], decide: Decide) -> None:
    """A look that is due for an hour and not written is named with since when; none once it is, or nothing is left to look at."""
    started(on_harm="tell")
    due, late = T0 + HOUR + SETTLE_US, T0 + 2 * HOUR + SETTLE_US
    assert late_looks(ledger, late - 1) == []
    assert late_looks(ledger, late) == [("EXP-0001", due)]
    decide("undecided", 1)
    assert late_looks(ledger, late) == []
    assert late_looks(ledger, late + HOUR) == [("EXP-0001", due + HOUR)]
    stop_split(ledger, "EXP-0001", why="enough", by="bob", now_us=T0 + 90 * 60_000_000)
    assert late_looks(ledger, late + HOUR) == [("EXP-0001", due + HOUR // 2)]
    decide("roll back", 2)
    assert late_looks(ledger, T0 + 9 * DAY) == []


def test_what_people_and_traffic_wrote_is_harmless(
    ledger: Ledger, started: Callable[..., Experiment], decide: Decide
) -> None:
    """No mention, link, markup or control character reaches a chat."""
    started(hypothesis=EVIL, app=EVIL, metric=EVIL, by=EVIL)
    decide("roll back", reason=EVIL)
    pager = Heard(follows=True)
    tell_levers(ledger, [pager], T0 + HOUR)
    stop_split(ledger, "EXP-0001", why=EVIL, by=EVIL, now_us=T0 + 3 * HOUR)
    tell_levers(ledger, [pager], T0 + 3 * HOUR)
    assert len(pager.messages) == 2
    for m in pager.messages:
        for text in (
            m.title,
            m.text,
            m.markdown,
            *m.details.values(),
            standing_text(decided_experiments(ledger, T0)[0], T0),
        ):
            assert not any(bad in text for bad in ("<!", "@channel", "](", "https:", "evil.com", "\x1b", "*b*", "`rm"))
