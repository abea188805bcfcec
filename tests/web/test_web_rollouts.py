"""Rollouts on the page: plans that say what they cannot see, decisions in a sentence, and what people do about them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from browsing import NAMES, NOW, House, Visitor, seen
from harmed import an_incident

from andon.levers import Lever, Promotion
from andon.levers import run as levers
from andon.rollouts import Allocation, Decision, Experiment
from andon.scores import SCORERS, score_schema
from andon.scores.run import installed_scorers

DAY = 86_400_000_000
EVIL = '<script>alert(1)</script>"><img src=x onerror=alert(2)>\u202e'
SCHEMA = score_schema(installed_scorers())


@dataclass
class Bot:
    """A house with a lever that has an approved version, and traffic of its application."""

    house: House
    digest: str

    def traffic(
        self, days_ago: float, days: float, per_day: int, seed: int, arms: str = "", **rates: tuple[float, float]
    ) -> None:
        """Users with one interaction each; rates of (control, treatment)."""
        rng, n = np.random.default_rng(seed), int(days * per_day)
        treated = rng.random(n) < (0.5 if arms else 0)
        columns: dict[str, Any] = {name: [None] * n for name in SCHEMA.names}
        columns["id"] = [f"{seed}-{i}" for i in range(n)]
        columns["time_us"] = np.sort(NOW - round(days_ago * DAY) + rng.integers(0, round(days * DAY), n)).tolist()
        columns.update(
            weight=[1.0] * n,
            app=["bot"] * n,
            environment=["production"] * n,
            user_id=[f"u{seed}-{i}" for i in range(n)],
        )
        columns["risk_category"] = rng.choice(["low", "medical"], n, p=[0.8, 0.2]).tolist()
        if arms:
            columns["arm"] = [f"{arms}-{'treatment' if t else 'control'}" for t in treated]
        for metric, (control, treatment) in rates.items():
            columns[metric] = (rng.random(n) < np.where(treated, treatment, control)).astype(float).tolist()
        self.house.site.warehouse.append("scores", pa.table(columns, schema=SCHEMA))
        self.house.site.warehouse.commit()

    def running(self, days_ago: float = 10.0, **more: Any) -> Experiment:
        """An A/B test of the greeting that was started so many days ago."""
        e = Experiment(
            **{
                "id": "EXP-0001", "kind": "ab", "app": "bot", "lever": "greeting", "control": None, "treatment": self.digest, "share": 0.5,
                "hypothesis": "Kinder words, fewer refusals.", "metric": "refusal", "better": "down", "effect": 0.02, "base": 0.06,
                "planned": (3000, 3000), "days": 14.0, "by": "Rob", "at_us": NOW - round(days_ago * DAY), **more,
            }
        )  # fmt: skip
        self.house.ledger.put(e, now_us=e.at_us, by="Rob")
        levers.start_split(self.house.ledger, e, why="try it", by="Rob", now_us=e.at_us)
        return e

    def look(self, e: Experiment) -> list[Decision]:
        """Take the looks that are due."""
        split = levers.allocation_of(self.house.ledger, e.id)
        assert split is not None
        return levers.look_and_act(self.house.site.warehouse, self.house.ledger, SCORERS, e, split, NOW)[0]


@pytest.fixture
def bot(tmp_path: Path) -> Bot:
    """A lever, a version that somebody approved, and a month of traffic."""
    house = House(tmp_path)
    lever = Lever(id="greeting", kind="string", default="Hello.", safe="Ask a person.", app="bot")
    levers.declare(house.ledger, lever, NOW - 40 * DAY, "Ada")
    made = levers.add_version(house.ledger, "greeting", "Hello!", why="kinder", by="Ann", now_us=NOW - 39 * DAY)
    levers.approve_version(house.ledger, "greeting", made.digest, why="read", by="Bob", now_us=NOW - 38 * DAY)
    return Bot(house, made.digest)


def plan(bot: Bot, **more: str) -> dict[str, str]:
    """The fields of a plan that can see what it is made for."""
    return {
        "kind": "ab", "of": "lever:greeting", "treatment": bot.digest, "metric": "refusal", "better": "down", "effect": "0.02",
        "hypothesis": "kinder words, fewer refusals", "base": "0.06", "per_day": "1000", **more,
    }  # fmt: skip


def query(fields: Mapping[str, str]) -> str:
    """As an address."""
    from urllib.parse import urlencode

    return f"/rollouts/new?{urlencode(fields)}"


def test_an_empty_house_teaches(house: House) -> None:
    """With no experiment it is said what one is and what it needs; who may plans one, others see no button."""
    assert "No experiment was planned yet" in house.visitor("viewer").sees("/rollouts").text
    assert "/rollouts/new" in house.visitor("responder").sees("/rollouts").links
    assert "/rollouts/new" not in house.visitor("viewer").sees("/rollouts").links
    assert house.visitor("reviewer").get("/rollouts/new").status_code == 403


def test_a_plan_says_what_it_sees_before_anything_is_written(bot: Bot) -> None:
    """Asking what a plan would see writes nothing; power, users and ways of looking stand there."""
    before = bot.house.ledger.last_entry()
    visitor = bot.house.visitor("responder")
    before = bot.house.ledger.last_entry()
    page = visitor.sees(query(plan(bot)))
    assert "This plan can see it" in page.text
    assert "every day, group-sequential" in page.text
    assert "Write it down and start it" in page.text
    assert bot.house.ledger.last_entry() == before


def test_a_plan_that_is_too_small_says_what_would_do(bot: Bot) -> None:
    """A plan that cannot see its effect says so, and what would do; it is refused unless it is wanted all the same."""
    small, visitor = plan(bot, effect="0.002", per_day="300"), bot.house.visitor("responder")
    page = visitor.sees(query(small))
    assert "cannot s" in page.text
    assert "golden cases" in page.text
    refused = visitor.send("/rollouts/new", {**small, "do": "write"}, origin=query(small))
    assert refused.status_code == 422
    assert "write it all the same" in seen(refused).text
    assert "--anyway" not in refused.text
    assert not bot.house.ledger.all(Experiment)
    visitor.does("/rollouts/new", {**small, "do": "write", "anyway": "yes"}, origin=query(small))
    [written] = bot.house.ledger.all(Experiment)
    assert (written.effect, written.by) == (0.002, NAMES["responder"])


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"of": "lever:nothing"}, "no lever"),
        ({"of": "file:x"}, "choose one"),
        ({"treatment": "default"}, "are the same"),
        ({"metric": "beauty"}, "not a metric"),
        ({"effect": "much"}, "not a number"),
        ({"better": ""}, "up or down"),
        ({"hypothesis": ""}, "hypothesis is empty"),
        ({"guardrails": "error"}, "not a guardrail"),
        ({"kind": "canary", "days": "0.001"}, "half an hour"),
        ({"of": "field:nonsense", "control": "a", "app": "bot"}, "not a field"),
    ],
)
def test_what_is_wrong_with_a_plan_is_said(bot: Bot, fields: Mapping[str, str], why: str) -> None:
    """A mistake in the form is said on the page with what was typed, and no option of the command line is named."""
    asked = plan(bot, **fields)
    answer = bot.house.visitor("responder").get(query(asked))
    assert answer.status_code == 200
    page = seen(answer)
    assert why in page.text
    assert "--" not in page.text
    assert "Write it down" not in page.text
    assert (
        bot.house.visitor("responder").send("/rollouts/new", {**asked, "do": "write"}, origin=query(asked)).status_code
        == 422
    )
    assert not bot.house.ledger.all(Experiment)


def test_a_plan_is_written_changed_and_started(bot: Bot) -> None:
    """A plan is written in the name of who planned it, changed until it starts, and started with a reason; then it cannot be changed."""
    visitor = bot.house.visitor("responder")
    page = visitor.does("/rollouts/new", {**plan(bot), "do": "write"}, origin=query(plan(bot)))
    assert "EXP-0001 is written" in page.text
    assert "Not started" in page.text
    [change] = [to for to in page.links if to.startswith("/rollouts/new?")]
    assert "This plan can see it" in visitor.sees(change + "&base=0.06&per_day=1000").text
    visitor.does("/rollouts/new", {**plan(bot, effect="0.03", change="EXP-0001"), "do": "write"}, origin=change)
    [e] = bot.house.ledger.all(Experiment)
    assert e.effect == 0.03
    assert visitor.send("/rollouts/EXP-0001/start", {"why": " "}, origin="/rollouts/EXP-0001").status_code == 422
    visitor.does("/rollouts/EXP-0001/start", {"why": "now"}, origin="/rollouts/EXP-0001")
    split = levers.allocation_of(bot.house.ledger, "EXP-0001")
    assert split is not None
    assert (split.by, split.why, split.share) == (NAMES["responder"], "now", 0.5)
    late = visitor.send("/rollouts/new", {**plan(bot, change="EXP-0001"), "do": "write"}, origin=change)
    assert late.status_code == 409


def test_written_and_started_at_once(bot: Bot) -> None:
    """One button does both, with the hypothesis as the reason; where it cannot be started nothing is written."""
    visitor = bot.house.visitor("responder")
    visitor.does("/rollouts/new", {**plan(bot), "do": "start"}, origin=query(plan(bot)))
    assert levers.allocation_of(bot.house.ledger, "EXP-0001") is not None
    page = visitor.sees(query(plan(bot)))
    assert "cannot be started at once" in page.text
    assert "end it first" in page.text
    assert "andon rollout stop" not in page.text
    assert "/rollouts/EXP-0001" in page.links
    refused = visitor.send("/rollouts/new", {**plan(bot), "do": "start"}, origin=query(plan(bot)))
    assert refused.status_code == 409
    assert "andon rollout stop" not in refused.text
    assert len(bot.house.ledger.all(Experiment)) == 1


def test_a_canary_takes_its_margin_and_guardrails_from_traffic(bot: Bot) -> None:
    """Of a canary nothing but the version must be said: what is missing is read from the last seven days, and told."""
    bot.traffic(7, 7, 2000, 5, refusal=(0.06, 0.06), error=(0.02, 0.02))
    asked = {
        "kind": "canary",
        "of": "lever:greeting",
        "treatment": bot.digest,
        "metric": "error",
        "days": "3",
        "share": "50",
    }
    page = bot.house.visitor("responder").sees(query(asked))
    assert "error is 1.9" in page.text or "error is 2" in page.text
    assert "refusal" in page.text
    assert "It accepts half of the rate now as harm" in page.text
    assert "--" not in page.text


def test_a_field_of_traffic_is_compared(bot: Bot) -> None:
    """Two values of a field that something else serves: both are offered as they came, and nothing is taken out by Andon."""
    bot.traffic(5, 5, 3000, 6, arms="v", refusal=(0.06, 0.04))
    asked = {**plan(bot), "of": "field:arm", "app": "bot", "control": "v-control", "treatment": "v-treatment"}
    page = bot.house.visitor("responder").sees(query(asked))
    assert "Andon does not serve arm" in page.text
    assert ("option", "v-control") in [(t, a.get("value")) for t, a in page.tags]


def promoted(bot: Bot) -> Experiment:
    """An experiment whose looks say promote."""
    e = bot.running()
    bot.traffic(10, 10, 3000, 2, arms="exp-0001", refusal=(0.06, 0.035), error=(0.01, 0.01))
    assert bot.look(e)[-1].outcome == "promote"
    return e


def test_the_decision_stands_first(bot: Bot) -> None:
    """The list and the page begin with the decision; the effect is drawn with its intervals, and nothing carries a style."""
    promoted(bot)
    assert "EXP-0001 may be promoted" in bot.house.visitor("viewer").sees("/rollouts").text
    answer = bot.house.visitor("viewer").get("/rollouts/EXP-0001")
    page = seen(answer)
    assert "Promote: the primary metric is better" in page.text
    assert "The split is sound" in page.text
    assert "interval-bar" in answer.text
    assert 'class="chart"' in answer.text
    assert "style=" not in answer.text
    assert not page.forms
    assert bot.house.visitor("viewer").get("/rollouts/1").status_code == 200


def test_a_promotion_goes_step_by_step(bot: Bot) -> None:
    """Who splits cannot promote, and production takes what staging has: the page offers the steps in this order, each in the person's name."""
    promoted(bot)
    visitor, here = bot.house.visitor("responder"), "/rollouts/EXP-0001"
    assert visitor.sees(here).forms == [f"{here}/end"]
    early = visitor.send(f"{here}/promote", {"to": "production", "why": "x"}, origin=here)
    assert early.status_code == 409
    assert visitor.does(f"{here}/end", {"why": "it is promoted"}, origin=here).forms == [f"{here}/promote"]
    ended = levers.allocation_of(bot.house.ledger, "EXP-0001")
    assert ended is not None
    assert (ended.ended_by, ended.ended_why) == (NAMES["responder"], "it is promoted")
    visitor.does(f"{here}/promote", {"to": "staging", "why": "seen"}, origin=here)
    last = visitor.does(f"{here}/promote", {"to": "production"}, origin=here)
    assert not last.forms
    live = bot.house.ledger.get(Promotion, "greeting:production")
    assert live is not None
    assert (live.digest, live.by, live.why) == (bot.digest, NAMES["responder"], "EXP-0001")
    assert visitor.send(f"{here}/promote", {"to": "moon"}, origin=here).status_code == 422


def test_harm_is_rolled_back_and_told(bot: Bot) -> None:
    """A canary that harms is taken out by its rule; the page says who ended it and why, and offers nothing more to end."""
    e = bot.running(1.0, kind="canary", metric="error", effect=0.005, base=0.01, days=2.0, hypothesis="harmless")
    bot.traffic(1, 1, 9000, 3, arms="exp-0001", error=(0.01, 0.05))
    assert bot.look(e)[-1].outcome == "roll back"
    page = bot.house.visitor("responder").sees("/rollouts/EXP-0001")
    assert "Roll back: harm is shown" in page.text
    assert "Everybody has the control again" in page.text
    assert not page.forms


def test_a_held_treatment_is_taken_out_by_hand(bot: Bot) -> None:
    """Where the plan only tells, harm that is still served is the first sentence of the list, and the page takes it out, once."""
    e = bot.running(1.0, kind="canary", metric="error", effect=0.005, base=0.01, days=2.0, on_harm="tell")
    bot.traffic(1, 1, 9000, 3, arms="exp-0001", error=(0.01, 0.05))
    bot.look(e)
    visitor, here = bot.house.visitor("responder"), "/rollouts/EXP-0001"
    assert "EXP-0001 harms, and is still served" in visitor.sees("/rollouts").text
    assert "Roll back: take the treatment out" in visitor.sees(here).text
    assert visitor.send(f"{here}/end", {"why": ""}, origin=here).status_code == 422
    visitor.does(f"{here}/end", {"why": "it harms"}, origin=here)
    again = visitor.send(f"{here}/end", {"why": "it harms"}, origin=here)
    assert (again.status_code, "it harms" in seen(again).text) == (409, True)


def test_what_is_not_looked_at_says_when_it_will_be(bot: Bot) -> None:
    """Before the first look it is undecided, with the time of the next one; an overdue look is told."""
    bot.running(0.2)
    page = bot.house.visitor("viewer").sees("/rollouts")
    assert "1 experiment runs, and it is not decided yet" in page.text
    assert "look 0 of 14" in page.text
    bot.house.now = NOW + 3 * DAY
    assert "A look waits" in bot.house.visitor("viewer").sees("/rollouts/EXP-0001").text


def test_reports_and_tables_are_files(bot: Bot) -> None:
    """The report is Markdown and a page of its own that may run nothing; every table is CSV, JSON and Markdown."""
    promoted(bot)
    client = bot.house.visitor("viewer").client
    assert client.get("/rollouts/EXP-0001?as=md").text.startswith("# EXP-0001")
    report = client.get("/rollouts/EXP-0001/report.html")
    assert "attachment" in report.headers["content-disposition"]
    assert "sandbox" in report.headers["content-security-policy"]
    for path, table in (("/rollouts", "rollouts"), ("/rollouts/EXP-0001", "primary"), ("/rollouts/EXP-0001", "looks")):
        for kind in ("csv", "json", "md"):
            assert client.get(f"{path}?as={kind}&table={table}").status_code == 200, (path, table, kind)
    assert len(client.get("/rollouts/EXP-0001?as=json&table=looks").json()) == 9
    [row] = client.get("/rollouts?as=json&table=rollouts").json()
    assert row["hypothesis"] == "Kinder words, fewer refusals."
    assert client.get("/rollouts?state=ended&as=json&table=rollouts").json() == []


def test_hostile_texts_are_harmless(bot: Bot) -> None:
    """Hypotheses, reasons, categories and names from anywhere are shown as text."""
    e = replace(bot.running(), hypothesis=EVIL)
    bot.house.ledger.put(e, now_us=NOW, by=EVIL)
    split = bot.house.ledger.get(Allocation, "greeting:production")
    assert split is not None
    bot.house.ledger.put(
        replace(split, why=EVIL, ended_us=NOW - DAY, ended_by=EVIL, ended_why=EVIL), now_us=NOW, by=EVIL
    )
    bot.traffic(10, 10, 500, 2, arms="exp-0001", refusal=(0.06, 0.05))
    bot.look(e)
    visitor = bot.house.visitor("owner")
    for path in (
        "/rollouts",
        "/rollouts/EXP-0001",
        query(plan(bot, hypothesis=EVIL, treatment=EVIL, guardrails=EVIL, metric=EVIL, app=EVIL)),
    ):
        text = visitor.get(path).text
        assert "<script>alert" not in text, path
        assert "<img" not in text, path
        if not path.startswith("/rollouts/new"):  # there it is what somebody typed, in the field that he typed it in
            assert "\u202e" not in text, path


def test_what_is_not_there_is_gone(house: House) -> None:
    """An experiment that is not there is a 404 with the way to those that are."""
    answer = house.visitor("viewer").get("/rollouts/EXP-9999")
    assert (answer.status_code, "/rollouts" in seen(answer).links) == (404, True)


def test_a_viewer_may_not(bot: Bot) -> None:
    """What a viewer sends is refused, and nothing is written."""
    bot.running()
    viewer: Visitor = bot.house.visitor("viewer")
    before = bot.house.ledger.last_entry()
    for what in ("start", "end", "promote"):
        assert viewer.send(f"/rollouts/EXP-0001/{what}", {"why": "x", "to": "production"}).status_code == 403
    assert bot.house.ledger.last_entry() == before


def test_home_counts_the_experiments_that_run(bot: Bot) -> None:
    """The loop on Home counts an experiment while it is served: neither one that is only planned, nor one that was stopped."""
    viewer = bot.house.visitor("viewer")
    an_incident(bot.house)  # before the first there is no loop to see
    e = bot.running()
    bot.house.ledger.put(replace(e, id="EXP-0002"), now_us=NOW, by="Rob")
    assert "Rollouts 1 running" in viewer.sees("/").text
    levers.stop_split(bot.house.ledger, e.id, why="enough", by="Rob", now_us=NOW)
    assert "Rollouts 0 running" in viewer.sees("/").text
