"""Actions on the page: taken, changed, tested, dropped; nothing but a proof makes one done."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from browsing import House, seen
from postmortem_records import DAY, T0, action, draft, incident

from andon.postmortems import ActionItem, Criterion, Proof
from andon.postmortems.actions import SOME_LEVER
from andon.postmortems.run.actions import claim_action, find_action, prove_action, take_action, versions_of
from andon.traffic import parse_time

HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(2)>\x07\u202eevil\u202c {{ 7*7 }}'
PAGE = "/actions/INC-0001-A1"
NAMED = {"test": "lever exists", "subject": "strict"}


@dataclass(frozen=True)
class Asked:
    """One errand as the page sees it."""

    id: str
    what: str
    about: str
    by: str
    state: str = "working"
    text: str = "running the test"
    share: float | None = None
    error: str = ""


@dataclass
class Writer:
    """Writes down which errands are asked for."""

    asked: list[Asked] = field(default_factory=list)

    def ask(self, what: str, by: str, **args: Any) -> str:
        """Take an errand."""
        self.asked.insert(0, Asked(id=f"e{len(self.asked)}", what=what, about=next(iter(args.values())), by=by))
        return self.asked[0].id

    def all(self) -> Sequence[Asked]:
        """The newest first."""
        return self.asked


@pytest.fixture
def proposed(tmp_path: Path) -> House:
    """A house with one incident and two proposals, one of which names no lever yet."""
    house = House(tmp_path, now=T0 + 2 * DAY, more={"errands": Writer()})
    house.ledger.put(incident(), now_us=T0, by="andon")
    unnamed = action("INC-0001-A2", title="a lever", criterion=Criterion(kind="lever exists", subject=SOME_LEVER))
    house.ledger.put(draft(None, action(), unnamed), now_us=T0, by="andon")
    return house


def put_to_test(house: House, *, met: bool | None, text: str = "it was looked at") -> None:
    """The test of the action is run, by whoever does long work."""

    def prover(_: ActionItem, now_us: int) -> Proof:
        return Proof(met=met, text=text, at_us=now_us)

    prove_action(house.ledger, "INC-0001-A1", {"lever exists": prover}, now_us=house.now, by="Rita")


def of(house: House, name: str = "INC-0001-A1") -> ActionItem:
    """The action as it is recorded."""
    return find_action(house.ledger, name)


def test_a_proposal_is_taken_and_given_back(proposed: House) -> None:
    """Taking makes it the commitment of who pressed, due by severity; the undo makes it nobody's again; both are in the record."""
    rita = proposed.visitor("reviewer")
    assert "nobody's commitment yet" in rita.sees(PAGE).text
    assert "INC-0001-A1 is Rita's" in rita.does(f"{PAGE}/take", origin=PAGE).text
    item = of(proposed)
    assert (item.state, item.owner, item.due_us) == ("open", "Rita", proposed.now + 30 * DAY)
    assert "INC-0001-A1 is nobody's again" in rita.does(f"{PAGE}/give-back").text
    assert (of(proposed).state, of(proposed).owner) == ("proposed", None)
    assert [v.by for v in versions_of(proposed.ledger, "INC-0001-A1")] == ["Rita", "Rita"]


def test_a_test_is_named_when_it_is_taken(proposed: House) -> None:
    """What nothing could prove is refused with what was typed kept, and taken once its test names something."""
    rita, page = proposed.visitor("reviewer"), "/actions/INC-0001-A2"
    refused = rita.send(f"{page}/take", {"owner": "Bea"}, origin=page)
    assert refused.status_code == 422
    assert "which lever" in seen(refused).text
    assert ("input", "Bea") in [(t, a.get("value")) for t, a in seen(refused).tags]
    rita.does(f"{page}/take", {"owner": "Bea", **NAMED}, origin=page)
    assert of(proposed, "INC-0001-A2").criterion == Criterion(kind="lever exists", subject="strict")
    bad = rita.send(f"{page}/take", {"owner": "Bea", "test": "hope", "subject": "for the best"}, origin=page)
    assert bad.status_code == 422


def test_owner_date_and_test_can_be_changed(proposed: House) -> None:
    """Each change says in the history what it was; a date is read in the zone of the reader; the undo brings the former ones back."""
    rita = proposed.visitor("reviewer")
    rita.does(f"{PAGE}/take", origin=PAGE)
    rita.client.cookies.set("andon_zone", "Europe/Berlin")
    before = of(proposed)
    answer = rita.send(
        f"{PAGE}/take", {"owner": "Bea", "due": "2026-10-10T12:00", **NAMED, "subject": "other"}, origin=PAGE
    )
    assert of(proposed).due_us == parse_time("2026-10-10T10:00:00Z")
    page = rita.client.get(answer.headers["location"]).text
    assert "Bea takes it over from Rita" in page
    said = page.split('class="said"')[1].split("</form>")[0]
    rita.does(f"{PAGE}/take", dict(re.findall(r'name="(owner|due|test|subject|times)" value="([^"]*)"', said)))
    assert of(proposed) == before


def test_a_date_that_was_only_shown_is_not_changed(proposed: House) -> None:
    """Sending the form with the date that it showed keeps the date to the microsecond, and records no change of it."""
    take_action(
        proposed.ledger, "INC-0001-A1", owner="Rob", due_us=T0 + 9 * DAY + 12_345, now_us=proposed.now, by="Rob"
    )
    rita = proposed.visitor("reviewer")
    shown = next(a["value"] for t, a in rita.sees(PAGE).tags if t == "input" and a.get("name") == "due")
    assert shown
    rita.does(f"{PAGE}/take", {"owner": "Bea", "due": shown}, origin=PAGE)
    assert (of(proposed).owner, of(proposed).due_us) == ("Bea", T0 + 9 * DAY + 12_345)


@pytest.mark.parametrize(
    ("subject", "says"),
    [
        ("bot/production/refusal.up/all", "the chart of answers that refuse in all traffic of app bot signals"),
        ("bot/production/refusal.up.far/risk_category=high", "the chart of answers that refuse in risk category high of app bot"),
        ("a monitor of ours", "a monitor of ours signals when"), ("a/b/c/d", "a/b/c/d signals when"),
    ],
)  # fmt: skip
def test_a_chart_is_named_by_what_it_counts(proposed: House, subject: str, says: str) -> None:
    """What proves an action names a chart in words, with its id beneath; what is no id of a chart stays as it is."""
    test = Criterion(kind="monitor fires", subject=subject)
    take_action(proposed.ledger, "INC-0001-A1", owner="Rob", criterion=test, now_us=T0 + DAY, by="Rob")
    viewer = proposed.visitor("viewer")
    assert says in viewer.sees("/actions").text
    assert says in viewer.sees(PAGE).text
    assert subject in viewer.sees(PAGE).text


def test_two_people_do_not_overwrite_each_other(proposed: House) -> None:
    """A form of before somebody else's change is refused, and says how it is now."""
    rita, rob = proposed.visitor("reviewer"), proposed.visitor("responder")
    read = next(a["value"] for t, a in rita.sees(PAGE).tags if t == "input" and a.get("name") == "read")
    rob.does(f"{PAGE}/take", {"read": read}, origin=PAGE)
    answer = rita.send(f"{PAGE}/take", {"read": read, "owner": "Rita"}, origin=PAGE)
    assert answer.status_code == 409
    assert "was changed meanwhile: it is open, Rob's" in seen(answer).text
    assert of(proposed).owner == "Rob"


def test_only_a_proof_makes_it_done(proposed: House) -> None:
    """The button asks for the test; what came of it is on the page; not met and cannot tell leave it open, met closes it."""
    rita = proposed.visitor("reviewer")
    assert rita.send(f"{PAGE}/prove", origin=PAGE).status_code == 409, "a proposal has nothing to prove"
    rita.does(f"{PAGE}/take", origin=PAGE)
    page = rita.does(f"{PAGE}/prove", origin=PAGE)
    (asked,) = proposed.site.errands.all()
    assert (asked.what, asked.about, asked.by) == ("prove", "INC-0001-A1", "Rita")
    assert "running the test" in page.text
    assert f"{PAGE}/prove" not in page.forms, "it runs already"
    proposed.site.errands.asked.clear()  # type: ignore[attr-defined]
    for met, word in ((None, "cannot tell"), (False, "not met")):
        put_to_test(proposed, met=met, text=f"because {word}")
        assert f"because {word}" in rita.sees(PAGE).text
        assert of(proposed).state == "open"
    put_to_test(proposed, met=True, text="held once")
    page = rita.sees(PAGE)
    assert of(proposed).state == "done"
    assert "Proved" in page.text
    assert all(f"because {word}" in page.text for word in ("cannot tell", "not met")), "the history has every proof"
    assert f"{PAGE}/drop" not in page.forms
    assert rita.send(f"{PAGE}/drop", {"why": "done"}, origin=PAGE).status_code == 409


def test_a_claim_is_a_claim(proposed: House) -> None:
    """A closed ticket is shown as what somebody says; the action stays open and the address is a link only where it is one."""
    rita = proposed.visitor("reviewer")
    rita.does(f"{PAGE}/take", origin=PAGE)
    assert rita.send(f"{PAGE}/claim", {"link": "javascript:alert(1)"}, origin=PAGE).status_code == 422
    page = rita.does(
        f"{PAGE}/claim", {"said": "#41 was closed by mia", "link": "https://github.com/a/b/issues/41"}, origin=PAGE
    )
    assert "claimed, not proved" in page.text
    assert "https://github.com/a/b/issues/41" in page.links
    assert of(proposed).state == "open"
    assert rita.send(f"{PAGE}/link", {"link": "ftp://x"}, origin=PAGE).status_code == 422
    rita.does(f"{PAGE}/link", {"link": "https://tickets.example/7"}, origin=PAGE)
    assert of(proposed).link == "https://tickets.example/7"
    assert "INC-0001-A1" in rita.sees("/actions?state=claimed").text


def test_what_is_dropped_says_why_and_can_be_restored(proposed: House) -> None:
    """A reason is needed and stays; the undo makes it what it was."""
    rita = proposed.visitor("reviewer")
    assert rita.send(f"{PAGE}/drop", {"why": ""}, origin=PAGE).status_code == 422
    assert "the model is gone" in rita.does(f"{PAGE}/drop", {"why": "the model is gone"}, origin=PAGE).text
    assert f"{PAGE}/restore" in rita.sees(PAGE).forms
    rita.does(f"{PAGE}/restore")
    assert (of(proposed).state, of(proposed).why) == ("proposed", "")
    assert rita.send(f"{PAGE}/restore").status_code == 409


def test_the_list_has_what_is_overdue_first(proposed: House) -> None:
    """Overdue ones come first and are counted in the first sentence; views and filters are in the address; files hold the same rows."""
    take_action(
        proposed.ledger,
        "INC-0001-A2",
        owner="Rob",
        criterion=Criterion(kind="lever exists", subject="k"),
        now_us=T0,
        by="Rob",
    )
    take_action(proposed.ledger, "INC-0001-A1", owner="Rita", due_us=T0 + DAY, now_us=T0, by="Rob")
    rita = proposed.visitor("reviewer")
    assert "1 action is overdue, the longest by" in rita.sees("/actions").text
    rows = rita.client.get("/actions?as=json&table=actions").json()
    assert [r["action"] for r in rows] == ["INC-0001-A1", "INC-0001-A2"]
    assert rita.client.get("/actions?state=mine&as=csv").text.count("INC-0001-A") == 1
    assert (
        "INC\\-0001\\-A2" in (text := rita.client.get("/actions?owner=Rob&as=md&table=actions").text)
        or "INC-0001-A2" in text
    )
    assert rita.client.get("/actions?incident=INC-0009&as=json&table=actions").json() == []
    assert "No action is proved yet" in rita.sees("/actions?state=done").text


def test_people_add_actions(proposed: House) -> None:
    """What somebody adds is a commitment at once, with its owner and its test; without a test it is refused and kept."""
    rita = proposed.visitor("reviewer")
    said = {"incident": "INC-0001", "title": "declare it", "kind": "mitigate", "owner": "Bea", "times": "5"}
    refused = rita.send("/actions", {**said, "test": "lever exists"}, origin="/actions")
    assert refused.status_code == 422
    assert ("input", "declare it") in [(t, a.get("value")) for t, a in seen(refused).tags]
    rita.does("/actions", {**said, **NAMED}, origin="/actions")
    item = of(proposed, "INC-0001-B1")
    assert (item.owner, item.state, item.title) == ("Bea", "open", "declare it")
    rita.does("/actions", {**said, "test": "case passes", "subject": "cases of INC-0001"}, origin="/actions")
    test = of(proposed, "INC-0001-B2").criterion
    assert test == Criterion(kind="case passes", subject="cases of INC-0001", times=5)


def test_a_viewer_is_offered_nothing_to_do(proposed: House) -> None:
    """Who only reads sees the actions, their proof and no form."""
    viewer = proposed.visitor("viewer")
    for path in ("/actions", PAGE):
        assert [f for f in viewer.sees(path).forms if f.startswith("/actions")] == []


def test_hostile_text_is_text(proposed: House) -> None:
    """Titles, owners, claims, reasons and proofs are text wherever they are shown."""
    proposed.ledger.put(draft(None, action(title=HOSTILE)), now_us=T0, by="andon")
    take_action(proposed.ledger, "INC-0001-A1", owner=HOSTILE, now_us=proposed.now, by=HOSTILE)
    claim_action(proposed.ledger, "INC-0001-A1", said=HOSTILE, now_us=proposed.now, by="github")
    put_to_test(proposed, met=False, text=HOSTILE)
    owner = proposed.visitor("owner")
    for path in ("/actions", PAGE, f"/actions?owner={quote(HOSTILE)}"):
        page = owner.sees(path)
        assert not [a for t, a in page.tags if t == "img" or any(k.startswith("on") for k in a)], path
        assert [a for t, a in page.tags if t == "script" and "src" not in a] == [], path
        assert not re.search("[\x07\u202e]", page.text), path
    assert "<script>" not in owner.client.get(f"{PAGE}?as=md").text


def test_an_empty_house_teaches(house: House) -> None:
    """With no action the page says where they come from; one that is not there is 404."""
    viewer = house.visitor("viewer")
    assert "Each postmortem proposes actions" in viewer.sees("/actions").text
    assert viewer.get("/actions/INC-0001-A1").status_code == 404
