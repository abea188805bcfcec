"""Levers on the page: what they give, held, released, extended, reviewed; versions; whatever is wrong is said, and harm is stopped."""

import re
import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from browsing import NOW, House, Seen, seen

from andon.changes import Change
from andon.evals import CaseResult, EvalRun
from andon.incidents import Incident
from andon.levers import Effect, FirstRead, GateResult, Lever, Promotion, Pull, Version
from andon.levers.run import add_version, approve_version, declare, hold, note_gate, promote
from andon.store import Ledger

HOUR = 3_600_000_000
EVIL = '<script>alert(1)</script>"><img src=x onerror=alert(1)>\u202e\x07'
FORM = {"choice": "safe", "why": "doses are wrong", "for": "2h", "environment": "production", "then": "hold"}


def _incident(ledger: Ledger, name: str = "INC-0001", app: str = "bot") -> None:
    ledger.put(
        Incident(
            id=name, title="wrong doses", app=app, environment="production", metric="m", lead="", onset_us=NOW - HOUR,
            onset_low_us=NOW - HOUR, onset_high_us=NOW - HOUR, alarmed_us=NOW, last_signal_us=NOW,
        ),
        now_us=NOW, by="andon",
    )  # fmt: skip


@pytest.fixture
def cite(house: House) -> House:
    """A house with a kill switch of the bot, a prompt and a number."""
    house.visitor("responder")
    declare(
        house.ledger,
        Lever(id="cite", kind="boolean", default=True, safe=False, about="cites sources", app="bot"),
        NOW - HOUR,
        "Ada",
    )
    declare(house.ledger, Lever(id="prompt", kind="string", default="old", safe="none"), NOW - HOUR, "Ada")
    declare(house.ledger, Lever(id="k", kind="number", default=8, safe=2), NOW - HOUR, "Ada")
    return house


def _held(house: House, lever: str = "cite") -> list[Pull]:
    return [p for p in house.ledger.all(Pull) if p.lever == lever]


def test_all_levers_and_what_they_give(cite: House) -> None:
    """The list says in its head how many are held; who looks sees value, end, reason and author, and only responders may declare."""
    hold(cite.ledger, "cite", why="doses", by="Rob", until_us=NOW + HOUR, now_us=NOW, trade_off="no sources")
    page = cite.visitor("viewer").sees("/levers")
    for word in (
        "1 lever is held",
        "cite",
        "doses",
        "by Rob",
        "No application is known to have read it",
        "No rule pulls by itself",
    ):
        assert word in page.text, word
    assert "/levers/new?form=1" not in page.links
    assert "/levers/new?form=1" in cite.visitor("responder").sees("/levers").links


def test_levers_are_found(cite: House) -> None:
    """The words and the application of the filter keep others out; what nobody is like says so, with a way to all."""
    visitor = cite.visitor("viewer")
    assert "prompt" not in _rows(visitor.sees("/levers?q=SOURCES"))
    assert "prompt" not in _rows(visitor.sees("/levers?app=bot"))
    nothing = visitor.sees("/levers?q=unheard")
    assert "No lever is like that" in nothing.text
    assert "/levers" in nothing.links


def _rows(page: Seen) -> str:
    return page.text.partition("All levers")[2]


def test_a_lever_says_what_it_gives(cite: House) -> None:
    """The head of a lever is one sentence; the page shows the line of code, and forms only to who may send them."""
    free = cite.visitor("viewer").sees("/levers/cite")
    assert "cite gives its default, true, in production: nobody holds it" in free.text
    assert 'client.get_boolean_value("cite", True)' in free.text
    assert free.forms == []
    assert "/levers/cite/hold" in cite.visitor("responder").sees("/levers/cite").forms
    hold(cite.ledger, "cite", why="doses", by="Rob", until_us=NOW + HOUR, now_us=NOW)
    held = cite.visitor("viewer").sees("/levers/cite")
    assert "cite is held at false in production until" in held.text
    assert "By Rob, because doses" in held.text
    assert cite.visitor("viewer").get("/levers/nobody").status_code == 404


def test_a_responder_holds_a_lever(cite: House) -> None:
    """A hold is written with who sent it, why, until when, its trade-off, its exit and what was frozen; it is a change of its own."""
    _incident(cite.ledger)
    more = {"incident": "INC-0001", "trade_off": "no sources", "exit": "below 2 %"}
    page = cite.visitor("responder").does("/levers/cite/hold", {**FORM, **more}, origin="/levers/cite")
    assert "cite is held at false in production until" in page.text
    (pull,) = _held(cite)
    assert (pull.by, pull.value, pull.until_us, pull.incident) == ("Rob", False, NOW + 2 * HOUR, "INC-0001")
    assert (pull.why, pull.trade_off, pull.exit) == ("doses are wrong", "no sources", "below 2 %")
    assert "could not be frozen" in pull.evidence  # nobody does long work in this house
    latest = cite.ledger.latest(Pull, pull.id)
    assert latest is not None
    assert latest.by == "Rob"
    assert cite.ledger.get(Change, f"{pull.id}-held") is not None
    assert "/levers/cite/release/production" in page.forms  # the undo


def test_a_hold_is_undone(cite: House) -> None:
    """The undo of a hold releases it; of a hold that took another one's place it brings that one back, with its end."""
    responder = cite.visitor("responder")
    page = responder.does("/levers/k/hold", FORM)
    assert _sends(responder, page, "Undo") == 303
    assert _held(cite, "k")[-1].released_by == "Rob"
    hold(cite.ledger, "k", 5, why="before", by="Vera", until_us=NOW + 5 * HOUR, now_us=NOW)
    cite.now += 1_000_000
    page = responder.does("/levers/k/hold", FORM)
    assert _sends(responder, page, "Undo") == 303
    last = _held(cite, "k")[-1]
    assert (last.value, last.until_us, last.by) == (5.0, NOW + 5 * HOUR, "Rob")
    assert "before" in last.why


def _sends(visitor: Any, page: Seen, button: str) -> int:
    """Send the form of the message on top, as its button would."""
    del button
    inside, action, fields = False, "", {}
    for tag, attrs in page.tags:
        if tag == "div" and attrs.get("class") == "said":
            inside = True
        if inside and tag == "form":
            action = attrs["action"] or ""
        if inside and action and tag == "input":
            fields[attrs["name"] or ""] = attrs.get("value") or ""
        if inside and tag == "button":
            break
    code: int = visitor.send(action, fields).status_code
    return code


def test_what_a_hold_would_do_is_shown_first(cite: House) -> None:
    """Looked at first, nothing is written; what would change, end and be frozen is said, and one press holds it so."""
    _incident(cite.ledger)
    responder = cite.visitor("responder")
    before = cite.ledger.last_entry()
    answer = responder.send(
        "/levers/cite/hold", {**FORM, "then": "look", "incident": "INC-0001"}, origin="/levers/cite"
    )
    assert answer.status_code == 303
    plan = responder.sees(answer.headers["location"])
    assert cite.ledger.last_entry() == before
    for word in (
        "would change what cite gives in production",
        "by nobody",
        "of INC-0001",
        "lever cite held at false",
        "doses are wrong",
    ):
        assert word in plan.text, word
    fields = {
        a["name"]: a.get("value") or ""
        for t, a in plan.tags
        if t == "input" and a.get("type") == "hidden" and a.get("name")
    }
    assert responder.send("/levers/cite/hold", fields).status_code == 303
    assert [p.value for p in _held(cite)] == [False]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"why": " "}, "why is empty"),
        ({"for": "until"}, "until when?"),
        ({"for": "a while"}, "is not one of"),
        ({"for": "until", "until": "2020-01-01T00:00"}, "is not allowed"),
        ({"incident": "INC-9999"}, "no incident"),
        ({"environment": "the moon"}, "has no levers"),
        ({"choice": "value", "value": "a lot"}, "is not a number"),
        ({"choice": "value", "value": ""}, "the value is empty"),
        ({"choice": "version:abcd"}, "is no version"),
        ({"choice": "before"}, "no version of k was ever promoted"),
    ],
)
def test_a_wrong_hold_keeps_what_was_typed(cite: House, wrong: dict[str, str], said: str) -> None:
    """What is wrong is said beside the form with all that was typed, and nothing is written."""
    before = cite.ledger.last_entry()
    sent = {**FORM, "trade_off": "slower answers", **wrong}
    answer = cite.visitor("responder").send("/levers/k/hold", sent, origin="/levers/k")
    assert answer.status_code in (409, 422)
    page = seen(answer)
    assert said in page.text
    assert "slower answers" in [a.get("value") for t, a in page.tags if t == "input"]
    assert cite.ledger.last_entry() == before


def test_production_sees_only_what_was_approved(cite: House) -> None:
    """A value that nobody approved is refused with the rule; with broken glass it is held for a day, and another person reviews it."""
    responder = cite.visitor("responder")
    sent = {**FORM, "choice": "value", "value": "new"}
    refused = responder.send("/levers/prompt/hold", sent, origin="/levers/prompt")
    assert refused.status_code == 409
    assert "nothing unapproved is served to production" in seen(refused).text
    assert "--break-glass" not in seen(refused).text
    assert "Break the glass" in seen(refused).text
    page = responder.does("/levers/prompt/hold", {**sent, "break_glass": "yes"})
    assert "The glass is broken" in page.text
    (pull,) = _held(cite, "prompt")
    assert pull.break_glass
    assert "/levers/prompt/review" not in responder.sees("/levers").forms
    review = cite.visitor("reviewer")
    assert "1 broken glass waits for a review" in review.sees("/levers").text
    assert "/levers/prompt/review" in review.sees("/levers").forms
    review.does("/levers/prompt/review", {"pull": pull.id, "why": "it was right"})
    assert _held(cite, "prompt")[0].reviewed is not None
    assert "waits for a review" not in review.sees("/levers").text


def test_no_glass_is_broken_without_a_rule(cite: House) -> None:
    """Where no rule stands against a value, the tick breaks nothing, and nobody has to review it."""
    cite.visitor("responder").does("/levers/cite/hold", {**FORM, "break_glass": "yes", "for": "7d"})
    assert [p.break_glass for p in _held(cite)] == [False]


def test_a_release_ends_the_hold_that_was_seen(cite: House) -> None:
    """A release ends the hold that the page showed and no other: who held it meanwhile is named, and keeps it."""
    first = hold(cite.ledger, "cite", why="a", by="Vera", until_us=NOW + HOUR, now_us=NOW)
    second = hold(cite.ledger, "cite", why="b", by="Walter", until_us=NOW + HOUR, now_us=NOW + 1)
    cite.now += 10
    responder = cite.visitor("responder")
    fields = {"pull": first.id, "why": "over"}
    refused = responder.send("/levers/cite/release/production", fields, origin="/levers/cite")
    assert refused.status_code == 409
    assert "Walter" in seen(refused).text
    page = responder.does("/levers/cite/release/production", {**fields, "pull": second.id})
    assert "cite is released in production: true (the default) is given again" in page.text
    last = cite.ledger.get(Pull, second.id)
    assert last is not None
    assert (last.released_by, last.released_why) == ("Rob", "over")


def test_a_hold_is_extended(cite: House) -> None:
    """An extended hold keeps its value, its incident and its exit; only its end moves. One that is held by another meanwhile is not."""
    _incident(cite.ledger)
    pull = hold(
        cite.ledger, "cite", why="a", by="Vera", until_us=NOW + HOUR, now_us=NOW, incident="INC-0001", exit="below 2 %"
    )
    cite.now += 1_000_000
    fields = {"pull": pull.id, "for": "1d", "why": "still wrong"}
    cite.visitor("responder").does("/levers/cite/extend/production", fields)
    last = _held(cite)[-1]
    assert (last.value, last.incident, last.exit, last.by, last.until_us) == (
        False,
        "INC-0001",
        "below 2 %",
        "Rob",
        cite.now + 24 * HOUR,
    )
    assert cite.visitor("responder").send("/levers/cite/extend/production", fields).status_code == 409


@dataclass
class Doing:
    """Somebody who does long work at once, never, or wrongly."""

    state: str = "done"
    asked: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    warmed: int = 0
    result: dict[str, Any] = field(default_factory=lambda: {"frozen": ["INC-0001"]})
    error: str = "the disk is full"
    id: str = "1"

    def ask(self, what: str, by: str, **args: Any) -> str:
        """Take an order."""
        self.asked.append((what, by, args))
        return self.id

    def get(self, id: str) -> "Doing":  # noqa: A002
        """It is itself what became of it."""
        assert id == self.id
        return self

    def all(self) -> tuple[()]:
        """Nothing to tell."""
        return ()

    def warm(self) -> None:
        """Be ready."""
        self.warmed += 1
        raise OSError("no process can be started")


@pytest.mark.parametrize(
    ("state", "said"),
    [("done", "evidence of INC-0001 is frozen"), ("failed", "the disk is full"), ("working", "held without waiting")],
)
def test_evidence_is_frozen_first(cite: House, monkeypatch: pytest.MonkeyPatch, state: str, said: str) -> None:
    """Evidence is frozen before the lever moves; that it fails or takes too long is recorded, and the lever is held all the same."""
    _incident(cite.ledger)
    doing = Doing(state=state)
    object.__setattr__(cite.site, "errands", doing)
    monkeypatch.setattr("andon.web.pages.levers_holding.FREEZE_S", 0.1)
    responder = cite.visitor("responder")
    assert responder.get("/levers/cite").status_code == 200
    assert doing.warmed == 1
    began = time.monotonic()
    responder.does("/levers/cite/hold", FORM)
    assert time.monotonic() - began < 3
    assert doing.asked == [("freeze", "Rob", {"app": "bot"})]
    assert [said in p.evidence for p in _held(cite)] == [True]


def test_effects_are_drawn_with_their_intervals(cite: House) -> None:
    """A pull is shown with what it did: both rates, the difference and its interval, and when an application first read it."""
    pull = hold(cite.ledger, "cite", why="a", by="Rob", until_us=NOW + HOUR, now_us=NOW)
    cite.ledger.put(FirstRead(id=pull.id, at_us=NOW + 2_000_000), now_us=NOW, by="andon")
    effect = Effect(
        id=f"{pull.id}:m", pull=pull.id, metric="m", direction="up", scope={}, before_x=30, before_n=100, after_x=5, after_n=100,
        difference=-0.25, low=-0.35, high=-0.15, from_us=NOW, until_us=NOW, at_us=NOW, text="harm fell by 25 points",
    )  # fmt: skip
    cite.ledger.put(effect, now_us=NOW, by="andon")
    page = cite.visitor("viewer").sees("/levers/cite")
    for word in ("harm fell by 25 points", "30 %", "5 %", "-25.0 points", "by an application 2 s after the pull"):
        assert word in page.text, word
    (drawn,) = {a["aria-label"] for t, a in page.tags if t == "svg" and "interval" in (a.get("class") or "")}
    assert drawn == "difference of the rate of harm -25.0 points, 95 % interval -35.0 to -15.0"
    row = cite.visitor("viewer").get("/levers/cite?as=json&table=pulls").json()[0]
    assert (row["before_x"], row["low"], row["high"], row["effect"]) == (30, -0.35, -0.15, "harm fell by 25 points")


def test_a_version_on_its_way(cite: House) -> None:
    """A version is written by one, approved by another and promoted by way of staging; each step is in the record with its person."""
    responder, reviewer = cite.visitor("responder"), cite.visitor("reviewer")
    page = responder.does("/levers/prompt/versions", {"value": "new\nline", "why": "kinder"})
    (version,) = cite.ledger.all(Version)
    assert (version.by, version.value) == ("Rob", "new\nline")
    assert "You wrote it: somebody else approves it" in page.text
    assert f"/levers/prompt/versions/{version.digest}/approve" not in page.forms
    own = responder.send(f"/levers/prompt/versions/{version.digest}/approve", {"why": "mine"})
    assert own.status_code == 409
    early = responder.send("/levers/prompt/promote/production", {"version": version.digest, "why": "now"})
    assert early.status_code == 409
    assert "is not approved" in seen(early).text
    reviewer.does(f"/levers/prompt/versions/{version.digest}/approve", {"why": "read"})
    for place in ("staging", "production"):
        done = responder.does(
            f"/levers/prompt/promote/{place}", {"version": version.digest, "why": "kinder", "seen": "default"}
        )
        assert f"is live in {place}" in done.text
    live = cite.ledger.get(Promotion, "prompt:production")
    assert live is not None
    assert (live.digest, live.by) == (version.digest, "Rob")
    assert _sends(responder, done, "Undo") == 303
    again = cite.ledger.get(Promotion, "prompt:production")
    assert again is not None
    assert again.digest is None


def test_who_promotes_has_seen_what_is_live(cite: House) -> None:
    """A promotion is refused where somebody else promoted meanwhile, and says who."""
    for text in ("one", "two"):
        made = add_version(cite.ledger, "prompt", text, why=text, by="Vera", now_us=NOW)
    promote(cite.ledger, "prompt", made.digest, to="staging", why="w", by="Walter", now_us=NOW)
    sent = {"version": made.digest, "why": "w", "seen": "default"}
    refused = cite.visitor("responder").send("/levers/prompt/promote/staging", sent, origin="/levers/prompt/versions")
    assert refused.status_code == 409
    assert "Walter promoted" in seen(refused).text


def test_versions_are_compared(cite: House) -> None:
    """A version is compared with what somebody has read, or any two; lines that came and went are marked by more than colour."""
    add_version(cite.ledger, "prompt", "old\nsecond\u200b", why="w", by="Vera", now_us=NOW)
    page = cite.visitor("viewer").sees("/levers/prompt/versions")
    marks = [t for t, _ in page.tags if t in ("ins", "del")]
    assert marks == ["ins"]
    assert "second\\u200b" in page.text
    assert "1 line added, 0 taken out" in page.text
    (version,) = cite.ledger.all(Version)
    back = cite.visitor("viewer").sees(f"/levers/prompt/versions?from={version.digest}&to=default")
    assert [t for t, _ in back.tags if t in ("ins", "del")] == ["del"]
    assert "is no version" in cite.visitor("viewer").sees("/levers/prompt/versions?to=nothing").text


def test_a_version_that_the_gate_fails_is_shouted(cite: House) -> None:
    """A version that is live though the gate did not pass it stands in front of the list and of its lever, with a way back."""
    made = add_version(cite.ledger, "prompt", "new", why="w", by="Vera", now_us=NOW)
    approve_version(cite.ledger, "prompt", made.digest, why="r", by="Walter", now_us=NOW)
    for place in ("staging", "production"):
        promote(cite.ledger, "prompt", made.digest, to=place, why="w", by="Walter", now_us=NOW)
    note_gate(
        cite.ledger,
        "prompt",
        made.digest,
        GateResult(outcome="fail", reason="wrong doses", by="ci", at_us=NOW, run="R-1"),
        NOW,
    )
    for path in ("/levers", "/levers/prompt"):
        page = cite.visitor("responder").sees(path)
        assert "though the gate did not pass it" in page.text
        assert "wrong doses" in page.text
        assert "/levers/prompt?choice=before#hold" in page.links
    assert "/evals/R-1" in cite.visitor("viewer").sees("/levers/prompt/versions").links
    cite.visitor("responder").does("/levers/prompt/hold", {**FORM, "choice": "before"})
    assert _held(cite, "prompt")[-1].value == "old"


def test_a_lever_is_declared(cite: House) -> None:
    """A new lever is declared with who did it; a key that is taken, a value of another kind or a contradiction is refused."""
    responder = cite.visitor("responder")
    form = {
        "key": "limit",
        "kind": "number",
        "default": "10",
        "safe": "0",
        "fail": "open",
        "app": "bot",
        "about": "requests",
    }
    assert "limit is declared" in responder.does("/levers/new", form).text
    latest = cite.ledger.latest(Lever, "limit")
    assert latest is not None
    assert (latest.by, latest.record.default, latest.record.app) == ("Rob", 10.0, "bot")
    for wrong, said in (
        ({}, "declared already"),
        ({"key": "x", "safe": "low"}, "is not a number"),
        ({"key": "x", "fail": "closed"}, "fails closed"),
    ):
        refused = responder.send("/levers/new", {**form, **wrong}, origin="/levers/new")
        assert refused.status_code in (409, 422)
        assert said in seen(refused).text
        assert "requests" in refused.text


def test_who_declares_anew_has_seen_the_last(cite: House) -> None:
    """Who declares a lever anew over what somebody else declared meanwhile is told who changed what, and nothing is overwritten."""
    responder = cite.visitor("responder")
    declare(
        cite.ledger,
        Lever(id="cite", kind="boolean", default=True, safe=False, about="by Walter", app="bot"),
        NOW,
        "Walter",
    )
    form = {"seen": "1", "default": "true", "safe": "false", "fail": "open", "app": "bot", "about": "mine"}
    refused = responder.send("/levers/cite/declaration", form, origin="/levers/cite/declaration")
    assert refused.status_code == 409
    assert "Walter" in seen(refused).text
    assert "by Walter" in seen(refused).text
    assert "mine" in refused.text
    responder.does("/levers/cite/declaration", {**form, "seen": "2"})
    lever = cite.ledger.get(Lever, "cite")
    assert lever is not None
    assert lever.about == "mine"


def test_a_lever_may_be_called_new(cite: House) -> None:
    """The page on which levers are declared hides no lever."""
    declare(cite.ledger, Lever(id="new", kind="boolean", default=True, safe=False), NOW, "Ada")
    assert "new gives its default" in cite.visitor("viewer").sees("/levers/new").text
    assert "/levers/new" in cite.visitor("responder").sees("/levers/new?form=1").forms


def test_hostile_texts_are_shown_harmlessly(cite: House) -> None:
    """Markup, control characters and characters that turn the line around are text wherever people or systems wrote them."""
    _incident(cite.ledger)
    declare(
        cite.ledger,
        Lever(id="evil", kind="string", default=EVIL, safe=EVIL + "!", about=EVIL, app=EVIL[:100]),
        NOW,
        "Ada",
    )
    made = add_version(cite.ledger, "evil", EVIL + "?", why=EVIL, by="Vera", now_us=NOW)
    approve_version(cite.ledger, "evil", made.digest, why=EVIL, by="Walter", now_us=NOW)
    hold(
        cite.ledger,
        "evil",
        why=EVIL,
        by="Rob",
        until_us=NOW + HOUR,
        now_us=NOW,
        trade_off=EVIL,
        exit=EVIL,
        incident="INC-0001",
    )
    note_gate(
        cite.ledger,
        "evil",
        made.digest,
        GateResult(outcome="fail", reason=EVIL, by="ci", at_us=NOW, run=EVIL[:50]),
        NOW,
    )
    responder = cite.visitor("responder")
    for path in (
        "/levers", "/levers/evil", "/levers/evil/versions", "/levers/evil/declaration", "/levers/evil/plan?choice=default&for=2h&why=%3Cscript%3E",
        "/levers/evil?value=%3Cscript%3E&choice=%22onx&why=%22%3E%3Cimg", "/levers?q=%3Cscript%3E&app=%22%3E",
    ):  # fmt: skip
        page = responder.client.get(path)
        assert page.status_code == 200, path
        assert "<script>alert" not in page.text, path
        assert "<img" not in page.text, path
        shown = re.sub(
            r"<textarea.*?</textarea>|<(input|option)[^>]*>", "", page.text, flags=re.DOTALL
        )  # fields keep what they edit
        assert "\u202e" not in shown, path
        assert not [a for t, a in Seen(page.text).tags if any(name.startswith("on") for name in a)], path


def test_tables_of_levers_can_be_taken_along(cite: House) -> None:
    """The held ones, all of them, pulls and versions are there as CSV, JSON and Markdown, with whole values."""
    long = "x" * 500
    made = add_version(cite.ledger, "prompt", long, why="w", by="Vera", now_us=NOW)
    approve_version(cite.ledger, "prompt", made.digest, why="w", by="Walter", now_us=NOW)
    hold(cite.ledger, "prompt", long, why="=1+1", by="Rob", until_us=NOW + HOUR, now_us=NOW)
    viewer = cite.visitor("viewer")
    assert viewer.get("/levers?as=json&table=held").json()[0]["value"] == long
    assert {r["lever"] for r in viewer.get("/levers?as=json&table=levers").json()} == {"cite", "prompt", "k"}
    assert "'=1+1" in viewer.get("/levers/prompt?as=csv&table=pulls").text
    assert viewer.get("/levers/prompt/versions?as=json&table=versions").json()[0]["value"] == long
    assert "is held at version" in viewer.get("/levers/prompt?as=md").text


def test_rules_that_pull_are_shown(cite: House) -> None:
    """A rule stands on the list and on its lever with what it does; one that cannot be read, or that cannot pull, says why."""
    rule = {
        "name": "stop", "lever": "cite", "by": "maria", "for": "4h", "metric": "error", "above": 0.5, "within": "5m",
    }  # fmt: skip
    cite.site.settings.tables["pull"] = [rule, {**rule, "name": "gone", "lever": "nobody"}]  # type: ignore[index]
    page = cite.visitor("viewer").sees("/levers")
    assert "maria holds cite at its safe value" in page.text
    assert "there is no lever nobody" in page.text
    assert "maria holds cite" in cite.visitor("viewer").sees("/levers/cite").text
    cite.site.settings.tables["pull"] = [{"name": "stop"}]  # type: ignore[index]
    assert "The rules cannot be read" in cite.visitor("viewer").sees("/levers").text


def test_who_reads_a_lever(cite: House) -> None:
    """Where the server knows which applications ask, a lever names those that may read it, and says when none has asked."""

    class Readers:
        def asked(self) -> dict[str, int]:
            return {"bot": NOW - 3_000_000, "shop": NOW, "": NOW}

    object.__setattr__(cite.site, "readers", Readers())
    assert "asked 3 s ago" in cite.visitor("viewer").sees("/levers/cite").text
    declare(cite.ledger, Lever(id="other", kind="boolean", default=True, safe=False, app="nobody"), NOW, "Ada")
    assert "has asked since this server began" in cite.visitor("viewer").sees("/levers/other").text


def test_a_lever_is_held_though_all_else_fails(cite: House) -> None:
    """With neither warehouse nor charts nor anybody for long work, the page is there and a lever is held."""
    _incident(cite.ledger)
    for name in ("warehouse", "charts", "errands"):
        object.__setattr__(cite.site, name, None)
    responder = cite.visitor("responder")
    assert responder.get("/levers/cite").status_code == 200
    assert responder.send("/levers/cite/hold", FORM).status_code == 303
    assert [p.value for p in _held(cite)] == [False]


def test_the_gate_judges_a_run_of_this_version(cite: House) -> None:
    """A kept run that names the version is judged and its verdict kept with who asked; one of another version, or of none, is refused."""
    one, two = (add_version(cite.ledger, "prompt", text, why=text, by="Vera", now_us=NOW) for text in ("one", "two"))
    result = CaseResult(case_id="c", outcome="fail", risk_category="high", answer="a")
    for name, versions in (("R-1", {"version": two.digest}), ("R-2", {"version": one.digest}), ("R-3", {})):
        run = EvalRun(id=name, at_us=NOW, target="t", golden="g", scorers="s", results=(result,), versions=versions)
        cite.ledger.put(run, now_us=NOW, by="ci")
    reviewer, path = cite.visitor("reviewer"), f"/levers/prompt/versions/{two.digest}/gate"
    assert path in reviewer.sees("/levers/prompt/versions").forms
    for name, said in (("R-2", "tested prompt@"), ("R-3", "does not say"), ("R-9", "there is no run")):
        refused = reviewer.send(path, {"run": name}, origin="/levers/prompt/versions")
        assert refused.status_code == 422
        assert said in seen(refused).text
    reviewer.does(path, {"run": "R-1"})
    reviewer.does(path, {"run": "R-3", "vouch": "yes"})
    version = cite.ledger.get(Version, two.id)
    assert version is not None
    assert [(g.run, g.by) for g in version.gates] == [("R-1", "Rita"), ("R-3", "Rita")]
    assert "Rita says that it was this one" in version.gates[1].reason
