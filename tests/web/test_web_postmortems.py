"""Postmortems on the page: read, write, talk, sign, publish; and what they taught."""

import json
import re
from pathlib import Path

import pytest
from browsing import House, Visitor, seen
from postmortem_records import DAY, HOUR, T0, action, draft, incident, rich

from andon.incidents import Incident
from andon.postmortems import Postmortem, Published, Review
from andon.postmortems.markdown import signed_text
from andon.postmortems.review import digest_of, remark, write_section
from andon.postmortems.run.review import change_review, people_write, sign_postmortem, working
from andon.web.pages.postmortems_read import section_key

HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(2)>\x07\u202eevil\u202c {{ 7*7 }}'
PAGE = "/postmortems/INC-0001"


@pytest.fixture
def drafted(tmp_path: Path) -> House:
    """A house with one incident and its draft, at a time after both."""
    house = House(tmp_path, now=T0 + 2 * DAY)
    house.ledger.put(incident(), now_us=T0, by="andon")
    house.ledger.put(draft(None, action()), now_us=T0, by="andon")
    return house


def field_of(section: str, read: str = "") -> str:
    """The name of a section's field for who read this text in it."""
    return f"t-{section_key(section)}-{digest_of(read)}"


def wrote(house: House, section: str, text: str, by: str) -> None:
    """Somebody writes a section by other means than the page."""
    change_review(
        house.ledger, "INC-0001", lambda r: write_section(r, section, text, allowed=[section], by=by, at_us=house.now),
        now_us=house.now, by=by,
    )  # fmt: skip


def write_all(visitor: Visitor) -> None:
    """Fill in every section on the page."""
    page = visitor.sees(f"{PAGE}/edit")
    names = [a["name"] or "" for t, a in page.tags if t == "textarea" and (a.get("name") or "").startswith("t-")]
    assert names
    visitor.does(f"{PAGE}/edit", dict.fromkeys(names, "the command takes any version"), origin=f"{PAGE}/edit")


def written(house: House) -> dict[str, tuple[str, str]]:
    """Section -> (text, by)."""
    review = house.ledger.get(Review, "INC-0001") or Review(id="INC-0001")
    return {s.section: (s.text, s.by) for s in review.sections}


def test_the_whole_way_to_a_published_postmortem(drafted: House) -> None:
    """One writes, another comments and answers, a third signs and publishes: each step is in the record with its author."""
    rita, rob, ada = (drafted.visitor(r) for r in ("reviewer", "responder", "owner"))
    assert "4 sections to write, 1 sign-off missing" in rita.sees(PAGE).text
    write_all(rita)
    assert {by for _, by in written(drafted).values()} == {"Rita"}
    said = rob.does(f"{PAGE}/comments", {"text": "why so late?"}, origin=PAGE)
    assert "1 comment" in said.text
    assert "C1 is resolved" in rita.does(f"{PAGE}/comments/C1/resolve", {"answer": "no chart"}, origin=PAGE).text
    digest = digest_of(signed_text(working(drafted.ledger, "INC-0001")))
    assert "You stand by this text" in ada.does(f"{PAGE}/sign", {"read": digest}, origin=PAGE).text
    assert f"{PAGE}/publish" in ada.sees(PAGE).forms
    assert "Published" in ada.does(f"{PAGE}/publish", {"read": digest}, origin=PAGE).text
    done = drafted.ledger.latest(Published, "INC-0001")
    assert done is not None
    assert (done.by, done.record.by, done.record.digest) == ("Ada", "Ada", digest)
    assert [v.by for v in drafted.ledger.history(Review, "INC-0001")][:3] == ["Rita", "Rob", "Rita"]


def test_who_wrote_it_is_not_asked_to_sign(drafted: House) -> None:
    """The page offers no sign-off to somebody who wrote a section, and offers it to the others."""
    rita = drafted.visitor("reviewer")
    write_all(rita)
    assert f"{PAGE}/sign" not in rita.sees(PAGE).forms
    assert f"{PAGE}/sign" in drafted.visitor("responder").sees(PAGE).forms


def test_only_the_text_that_was_read_is_signed(drafted: House) -> None:
    """A sign-off of a text that changed meanwhile is refused and nothing is written."""
    read = digest_of(signed_text(working(drafted.ledger, "INC-0001")))
    wrote(drafted, "Fix", "pinned", "Rita")
    answer = drafted.visitor("owner").send(f"{PAGE}/sign", {"read": read}, origin=PAGE)
    assert answer.status_code == 409
    assert "has changed since you read it" in seen(answer).text
    assert (drafted.ledger.get(Review, "INC-0001") or Review(id="")).signoffs == ()


def test_an_amendment_says_why_and_keeps_the_first(drafted: House) -> None:
    """After an amendment both versions can be read, and what changed is shown line by line."""
    write_all(drafted.visitor("reviewer"))
    sign_postmortem(drafted.ledger, "INC-0001", now_us=drafted.now, by="Rob")
    ada, rob = drafted.visitor("owner"), drafted.visitor("responder")
    ada.does(f"{PAGE}/publish", {"read": digest_of(signed_text(working(drafted.ledger, "INC-0001")))}, origin=PAGE)
    wrote(drafted, "Fix", "it was pinned", "Rita")
    assert "the text has changed since" in ada.sees(PAGE).text
    assert "it was pinned" not in ada.sees(PAGE).text, "others see what is published"
    changes = ada.client.get(f"{PAGE}?text=changes").text
    assert "<ins>it was pinned</ins>" in changes
    assert "<del>the command takes any version</del>" in changes
    read = digest_of(signed_text(working(drafted.ledger, "INC-0001")))
    rob.does(f"{PAGE}/sign", {"read": read}, origin=PAGE)
    assert ada.send(f"{PAGE}/amend", {"read": read, "why": " "}, origin=f"{PAGE}?text=draft").status_code == 422
    assert "amended" in ada.does(f"{PAGE}/amend", {"read": read, "why": "the fix was wrong"}, origin=PAGE).text
    assert "it was pinned" in ada.sees(PAGE).text
    assert "it was pinned" not in ada.sees(f"{PAGE}?edition=1").text
    rows = ada.client.get(f"{PAGE}?as=json&table=editions").json()
    assert [r["why"] for r in rows] == ["first published", "the fix was wrong"]


def test_edits_that_do_not_touch_are_merged(drafted: House) -> None:
    """Somebody else's change elsewhere in the same section is kept beside mine, and the page says so."""
    wrote(drafted, "Fix", "one\ntwo\nthree", "Rob")
    before = written(drafted)["Fix"][0]
    wrote(drafted, "Fix", "one\ntwo\nthree, theirs", "Rob")
    rita = drafted.visitor("reviewer")
    page = rita.does(f"{PAGE}/edit", {field_of("Fix", before): "one, mine\ntwo\nthree"}, origin=f"{PAGE}/edit")
    assert "holds what somebody else wrote meanwhile" in page.text
    assert written(drafted)["Fix"] == ("one, mine\ntwo\nthree, theirs", "Rita")


def test_edits_of_the_same_line_are_shown_to_who_comes_second(drafted: House) -> None:
    """Nothing of the section is written; theirs stands above, mine in the field, what else was sent is saved; the next save holds."""
    wrote(drafted, "Fix", "theirs", "Rob")
    rita = drafted.visitor("reviewer")
    sent = {field_of("Fix"): "mine", field_of("What went well"): "the gate"}
    answer = rita.send(f"{PAGE}/edit", sent, origin=f"{PAGE}/edit")
    assert answer.status_code == 409
    page = seen(answer)
    assert "Rob saved this meanwhile" in page.text
    assert re.search(r"<blockquote[^>]*>theirs</blockquote>", answer.text)
    assert re.search(rf'name="{field_of("Fix", "theirs")}"[^>]*>\nmine</textarea>', answer.text)
    assert written(drafted) == {"Fix": ("theirs", "Rob"), "What went well": ("the gate", "Rita")}
    rita.does(f"{PAGE}/edit", {field_of("Fix", "theirs"): "theirs and mine"}, origin=f"{PAGE}/edit")
    assert written(drafted)["Fix"] == ("theirs and mine", "Rita")


def test_who_changes_nothing_is_no_writer(drafted: House) -> None:
    """Sending a page back as it was writes nothing: that person may still sign."""
    wrote(drafted, "Fix", "pinned", "Rob")
    before = drafted.ledger.last_entry()
    said = drafted.visitor("reviewer").send(f"{PAGE}/edit", {field_of("Fix", "pinned"): "pinned"})
    assert said.status_code == 303
    assert written(drafted)["Fix"] == ("pinned", "Rob")
    review = drafted.ledger.latest(Review, "INC-0001")
    assert review is not None
    assert review.by == "Rob"
    assert before


def test_what_was_saved_is_taken_back(drafted: House) -> None:
    """The undo of a save brings the earlier text and its author back, unless somebody else has written since."""
    wrote(drafted, "Fix", "pinned", "Rob")
    rita = drafted.visitor("reviewer")
    rita.send(f"{PAGE}/edit", {field_of("Fix", "pinned"): "unpinned"}, origin=f"{PAGE}/edit")
    undo = {"before": "1", "sections": "Fix"}
    assert "Taken back: Fix" in rita.does(f"{PAGE}/edit/undo", undo).text
    assert written(drafted)["Fix"] == ("pinned", "Rob")
    rita.send(f"{PAGE}/edit", {field_of("Fix", "pinned"): "unpinned"}, origin=f"{PAGE}/edit")
    wrote(drafted, "Fix", "pinned again", "Rob")
    assert rita.send(f"{PAGE}/edit/undo", undo).status_code == 409
    assert written(drafted)["Fix"] == ("pinned again", "Rob")


def test_blame_is_told_while_it_is_typed_and_by_a_button(drafted: House) -> None:
    """The linter answers a script with the words, why and what to write instead; without one a button shows the same, and saves nothing."""
    rita = drafted.visitor("reviewer")
    text = "The on-call engineer should have noticed it."
    answer = rita.send(f"{PAGE}/lint", {"text": text})
    (found,) = answer.json()["findings"]
    assert (answer.status_code, found["rule"], found["text"]) == (200, "counterfactual", "should have noticed")
    assert text[found["column"] - 1 : found["end"] - 1] == "should have noticed"
    checked = rita.send(f"{PAGE}/edit", {field_of("Fix"): text, "do": "check"}, origin=f"{PAGE}/edit")
    assert checked.status_code == 422
    assert found["why"] in seen(checked).text
    assert found["rewrite"] in seen(checked).text
    assert f">\n{text}</textarea>" in checked.text
    assert written(drafted) == {}
    assert drafted.visitor("viewer").send(f"{PAGE}/lint", {"text": text}).status_code == 403


def test_a_refused_comment_keeps_what_was_typed(drafted: House) -> None:
    """An answer to a comment that is resolved already is shown again with the reason."""
    rita = drafted.visitor("reviewer")
    rita.does(f"{PAGE}/comments", {"text": "why?"}, origin=PAGE)
    answer = rita.send(f"{PAGE}/comments/C1/resolve", {"answer": " "}, origin=PAGE)
    assert answer.status_code == 422
    assert "is empty: fill it in" in seen(answer).text
    assert rita.send(f"{PAGE}/comments", {"text": "x" * 200_001}, origin=PAGE).status_code == 422


def test_comments_are_taken_back_and_opened_again(drafted: House) -> None:
    """A comment is withdrawn by its author only; a resolved one can be opened again."""
    rita, rob = drafted.visitor("reviewer"), drafted.visitor("responder")
    rita.does(f"{PAGE}/comments", {"text": "why?"}, origin=PAGE)
    assert rob.send(f"{PAGE}/comments/C1/withdraw").status_code == 409
    rob.does(f"{PAGE}/comments/C1/resolve", {"answer": "because"}, origin=PAGE)
    assert rita.send(f"{PAGE}/comments/C1/withdraw").status_code == 409
    rita.does(f"{PAGE}/comments/C1/reopen")
    rita.does(f"{PAGE}/comments/C1/withdraw")
    assert (drafted.ledger.get(Review, "INC-0001") or Review(id="")).comments == ()


def test_factors_templates_and_review_are_chosen_on_the_page(drafted: House) -> None:
    """A factor is added and removed, another template asks other sections, and a draft is put to review."""
    rita = drafted.visitor("reviewer")
    factor = {"area": "incentives", "text": "the release had a date"}
    assert "the release had a date" in rita.does(f"{PAGE}/factors", factor, origin=f"{PAGE}/edit").text
    assert "the release had a date" not in rita.does(f"{PAGE}/factors/remove", factor).text.replace("Removed.", "")
    assert rita.send(f"{PAGE}/factors", {"area": "people", "text": "x"}, origin=f"{PAGE}/edit").status_code == 422
    rita.does(f"{PAGE}/template", {"template": "ml"}, origin=f"{PAGE}/edit")
    assert working(drafted.ledger, "INC-0001").review.template == "ml"
    assert rita.send(f"{PAGE}/template", {"template": "../secret"}, origin=f"{PAGE}/edit").status_code == 422
    review = drafted.ledger.get(Review, "INC-0001")
    assert review is not None
    assert review.status == "in review"
    assert rita.send(f"{PAGE}/request", origin=PAGE).status_code == 409


def test_nothing_hostile_runs_on_any_page(drafted: House) -> None:
    """Text of traffic and of people is text: no tag, attribute, control or bidi character of it stands in any page of the part."""
    bad = rich(HOSTILE)
    drafted.ledger.put(bad.incident, now_us=T0, by="andon")
    drafted.ledger.put(bad, now_us=T0, by="andon")
    wrote(drafted, "Fix", HOSTILE, "Rita")
    change_review(
        drafted.ledger, "INC-0001", lambda r: remark(r, HOSTILE, by="Rita", at_us=T0), now_us=drafted.now, by="Rita"
    )
    owner = drafted.visitor("owner")
    tails = ("", "/edit", "?text=draft", "/document", "?edition=<script>&text=<b>")
    for path in (
        "/postmortems",
        "/postmortems?q=evil<script>",
        "/postmortems/learning",
        "/postmortems/agenda",
        *(PAGE + t for t in tails),
    ):
        answer = owner.client.get(path)
        assert answer.status_code == 200, path
        page = seen(answer)
        assert not [a for t, a in page.tags if t == "img" or any(k.startswith("on") for k in a)], path
        assert [a for t, a in page.tags if t == "script" and "src" not in a] == [], path
        assert not re.search("[\x07\u202e]", page.text), path
        assert not re.search(r' style="(?!paint-order)', answer.text), path


def test_the_document_has_its_own_policy_and_the_site_keeps_its(drafted: House) -> None:
    """The self-contained page may style itself and nothing else; the page around allows no style and no script of a document."""
    viewer = drafted.visitor("viewer")
    own = viewer.client.get(f"{PAGE}/document")
    assert "style-src 'unsafe-inline'" in own.headers["content-security-policy"]
    assert "script" not in own.headers["content-security-policy"]
    assert "unsafe" not in viewer.client.get(PAGE).headers["content-security-policy"]


def test_it_can_be_taken_along(drafted: House) -> None:
    """Markdown, HTML and what databases and authorities ask for are files with a name; what there is not is 404."""
    drafted.ledger.put(rich(), now_us=T0, by="andon")
    viewer = drafted.visitor("viewer")
    for name, kind in {
        ".md": "text/markdown", ".html": "text/html", "chart.svg": "image/svg+xml", "avid.json": "application/json",
        "aiid.json": "application/json", "article-73.md": "text/markdown",
    }.items():  # fmt: skip
        answer = viewer.client.get(f"{PAGE}/files/{name}")
        assert answer.status_code == 200, name
        assert answer.headers["content-type"].startswith(kind)
        assert 'filename="INC-0001' in answer.headers["content-disposition"]
        if kind == "application/json":
            json.loads(answer.text)
    assert viewer.client.get(f"{PAGE}/files/passwd").status_code == 404
    assert (
        viewer.client.get(f"{PAGE}?as=md").text.startswith("# INC\\-0001")
        or "INC-0001" in viewer.client.get(f"{PAGE}?as=md").text
    )


def test_a_viewer_reads_and_is_offered_nothing_to_do(drafted: House) -> None:
    """Who only reads sees no form but the one to leave, and cannot open the editor."""
    viewer = drafted.visitor("viewer")
    assert [f for f in viewer.sees(PAGE).forms if f.startswith("/postmortems")] == []
    assert viewer.get(f"{PAGE}/edit").status_code == 403


def test_the_library_filters_and_searches(drafted: House) -> None:
    """Filters and words are in the address; what is shown fits them; the same rows are in the files."""
    other = incident("INC-0002", app="shop", severity="P1", title="latency rose", alarmed_us=T0 + DAY)
    drafted.ledger.put(other, now_us=T0, by="andon")
    drafted.ledger.put(draft(other), now_us=T0, by="andon")
    wrote(drafted, "How the factors worked together", "The canary asked nothing. And more.", "Rita")
    viewer = drafted.visitor("viewer")
    page = viewer.sees("/postmortems")
    assert "2 postmortems, none published" in page.text
    assert "The canary asked nothing." in page.text
    assert "And more." not in page.text, "one sentence"
    assert "INC-0001" not in viewer.sees("/postmortems?app=shop").text.split("application shop")[1]
    assert (
        viewer.client.get("/postmortems?status=in+review&as=json&table=postmortems").json()[0]["incident"] == "INC-0001"
    )
    found = viewer.client.get("/postmortems?q=canary&as=json&table=postmortems").json()
    assert found[0]["incident"] == "INC-0001"
    assert "Nothing fits" in viewer.sees("/postmortems?app=nowhere").text


def test_what_was_learned_and_what_is_unresolved(drafted: House) -> None:
    """Figures of the stage are on the page with their intervals, as tables too; the agenda lists what waits."""
    drafted.ledger.put(
        incident(
            "INC-0003", closed_us=T0 + 9 * HOUR, stabilised_us=T0 + 5 * HOUR, closed_as="recovered", state="closed"
        ),
        now_us=T0,
        by="a",
    )
    drafted.now = T0 + 30 * DAY
    viewer = drafted.visitor("viewer")
    page = viewer.sees("/postmortems/learning")
    assert "too few to tell (1: 2 h)" in page.text
    rows = viewer.client.get("/postmortems/learning?as=json&table=durations").json()
    assert next(r for r in rows if r["what"] == "Alarm to harm stopped")["longest"] == 7200
    agenda = viewer.client.get("/postmortems/agenda?as=json&table=agenda").json()
    assert "not published" in [a["what"] for a in agenda]
    assert "closed" in viewer.sees("/postmortems/agenda").text
    assert "No incident has taught anything yet" in viewer.sees("/postmortems/learning?since=90d").text or rows


def test_an_empty_house_teaches(house: House) -> None:
    """With nothing there each page says why, and what would fill it; a postmortem that is not there is 404 with a way on."""
    viewer = house.visitor("viewer")
    assert "gets a draft by itself" in viewer.sees("/postmortems").text
    assert "Nothing to learn from" in viewer.sees("/postmortems/learning").text
    assert "Nothing is unresolved" in viewer.sees("/postmortems/agenda").text
    assert viewer.get("/postmortems/INC-0009").status_code == 404
    house.ledger.put(incident(), now_us=T0, by="andon")
    answer = viewer.get(PAGE)
    assert answer.status_code == 404
    assert "/incidents/INC-0001" in seen(answer).links
    assert isinstance(house.ledger.get(Incident, "INC-0001"), Incident)
    assert house.ledger.get(Postmortem, "INC-0001") is None
    assert people_write
