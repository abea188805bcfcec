"""Laws of review: what is signed is the text that was read, what is published stays, and every step is kept."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from records_made import DAY, HOUR, T0, action, draft, incident

from andon.errors import InputError, StateError
from andon.incidents import TimelineEvent, TimelineMark
from andon.postmortems import Postmortem, Published, Review, render_markdown
from andon.postmortems.markdown import signed_text
from andon.postmortems.review import (
    add_factor,
    answer,
    choose_template,
    digest_of,
    remark,
    sign,
    standing_of,
    write_section,
)
from andon.postmortems.run.actions import take_action
from andon.postmortems.run.review import (
    all_working,
    amend,
    change_review,
    editions,
    people_write,
    publish,
    reviewed,
    sign_postmortem,
    stand,
    working,
)
from andon.store import Ledger


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A ledger with one incident and its draft."""
    book = Ledger("sqlite://")
    book.put(incident(), now_us=T0, by="andon")
    book.put(draft(None, action()), now_us=T0, by="andon")
    yield book
    book.close()


def write_all(ledger: Ledger, by: str = "writer", at: int = T0) -> None:
    """Write every section that the template asks people for."""
    for name in people_write(working(ledger, "INC-0001")):
        change_review(
            ledger, "INC-0001",
            lambda r, name=name: write_section(r, name, f"what we know of {name}", allowed=[name], by=by, at_us=at),
            now_us=at, by=by,
        )  # fmt: skip


def signed(ledger: Ledger, *people: str, at: int = T0) -> None:
    """Sign-offs of the text as it is now."""
    for who in people:
        sign_postmortem(ledger, "INC-0001", now_us=at, by=who)


def published(ledger: Ledger) -> Published:
    """A postmortem that went through review and was published."""
    write_all(ledger)
    signed(ledger, "reader")
    return publish(ledger, "INC-0001", now_us=T0 + HOUR, by="writer")


def test_nothing_is_published_before_it_is_complete(ledger: Ledger) -> None:
    """The refusal lists all that is missing: sections for people, open comments, sign-offs; one after the other goes away."""
    change_review(ledger, "INC-0001", lambda r: remark(r, "why so late?", by="ann", at_us=T0), now_us=T0, by="ann")
    asked = people_write(working(ledger, "INC-0001"))
    assert asked
    with pytest.raises(StateError) as refused:
        publish(ledger, "INC-0001", now_us=T0, by="ann")
    assert all(text in str(refused.value) for text in ("1 comment open (C1)", *asked, "1 sign-off"))
    write_all(ledger)
    signed(ledger, "reader")
    with pytest.raises(StateError) as refused:
        publish(ledger, "INC-0001", now_us=T0, by="ann")
    assert "comment" in str(refused.value)
    assert "sign-off" not in str(refused.value)
    change_review(ledger, "INC-0001", lambda r: answer(r, "c1", "no chart", by="bob"), now_us=T0, by="bob")
    assert publish(ledger, "INC-0001", now_us=T0, by="ann").postmortem.status == "published"


def test_writers_do_not_vouch_for_themselves(ledger: Ledger) -> None:
    """A sign-off of somebody who wrote a section does not count; one of somebody else does, and lapsed ones are not published."""
    signed(ledger, "early")
    write_all(ledger, by="writer")
    signed(ledger, "writer")
    assert stand(ledger, "INC-0001").signed == ()
    with pytest.raises(StateError, match="sign-off"):
        publish(ledger, "INC-0001", now_us=T0, by="writer")
    signed(ledger, "reader")
    assert stand(ledger, "INC-0001").signed == ("reader",)
    done = publish(ledger, "INC-0001", now_us=T0, by="writer")
    assert (done.by, [s.by for s in done.postmortem.review.signoffs]) == ("writer", ["writer", "reader"])
    assert "## Signed off\n\nreader on" in render_markdown(done.postmortem)
    assert done.postmortem.published_us == done.at_us


def test_the_most_severe_need_two(ledger: Ledger) -> None:
    """A P1 is published on two sign-offs of two people; the same person twice is one; severity is that of the incident now."""
    ledger.put(incident(severity="P1"), now_us=T0, by="ann")
    write_all(ledger)
    signed(ledger, "reader", "reader")
    with pytest.raises(StateError, match="1 sign-off of this text missing"):
        publish(ledger, "INC-0001", now_us=T0, by="writer")
    signed(ledger, "other")
    publish(ledger, "INC-0001", now_us=T0, by="writer")


@pytest.mark.parametrize("change", ["section", "factor", "template", "draft", "action"])
def test_a_sign_off_lapses_when_the_text_changes(ledger: Ledger, change: str) -> None:
    """Whatever changes the text (people, a new draft, a decision on an action) makes earlier sign-offs lapse, and says whose."""
    write_all(ledger)
    signed(ledger, "reader")
    assert not stand(ledger, "INC-0001").missing
    if change == "draft":
        ledger.put(draft(None, action(), summary=("More is known now.",)), now_us=T0 + DAY, by="andon")
    elif change == "action":
        take_action(ledger, "INC-0001-A1", owner="ann", now_us=T0, by="ann")
    else:
        name = people_write(working(ledger, "INC-0001"))[0]
        changes = {
            "section": lambda r: write_section(r, name, "other words", allowed=[name], by="writer", at_us=T0 + 1),
            "factor": lambda r: add_factor(r, "incentives", "launch dates were fixed"),
            "template": lambda r: choose_template(r, "questions"),
        }
        change_review(ledger, "INC-0001", changes[change], now_us=T0, by="writer")
    standing = stand(ledger, "INC-0001")
    assert (standing.signed, standing.lapsed) == ((), ("reader",))
    with pytest.raises(StateError, match="reader"):
        publish(ledger, "INC-0001", now_us=T0, by="writer")


def test_what_is_not_text_lapses_nothing(ledger: Ledger) -> None:
    """Another sign-off, a comment and its answer, and a redraft of the same content leave sign-offs as they are."""
    write_all(ledger)
    signed(ledger, "reader")
    change_review(ledger, "INC-0001", lambda r: remark(r, "fine", by="ann", at_us=T0), now_us=T0, by="ann")
    change_review(ledger, "INC-0001", lambda r: answer(r, "C1", "thanks", by="bob"), now_us=T0, by="bob")
    ledger.put(replace(draft(None, action()), at_us=T0 + 9 * DAY), now_us=T0 + 9 * DAY, by="andon")
    signed(ledger, "other", at=T0 + 9 * DAY)
    assert stand(ledger, "INC-0001").signed == ("reader", "other")
    done = publish(ledger, "INC-0001", now_us=T0 + 9 * DAY, by="writer")
    assert done.digest == digest_of(signed_text(done.postmortem))


def test_what_is_published_stays_as_it_is(ledger: Ledger) -> None:
    """Redrafts, edits, comments and decisions after publishing change the working text, and not a byte of the published one."""
    done = published(ledger)
    text = render_markdown(reviewed(ledger, "INC-0001"))
    ledger.put(draft(None, summary=("Everything was different.",)), now_us=T0 + DAY, by="andon")
    take_action(ledger, "INC-0001-A1", owner="ann", now_us=T0 + DAY, by="ann")
    change_review(ledger, "INC-0001", lambda r: add_factor(r, "data", "more"), now_us=T0 + DAY, by="ann")
    assert reviewed(ledger, "INC-0001") == done.postmortem
    assert render_markdown(reviewed(ledger, "INC-0001")) == text
    assert "Everything was different" in render_markdown(working(ledger, "INC-0001"))
    assert working(ledger, "INC-0001").status == "in review"
    assert [(a.id, a.owner) for a in working(ledger, "INC-0001").actions] == [("INC-0001-A1", "ann")]
    with pytest.raises(StateError, match="amend"):
        publish(ledger, "INC-0001", now_us=T0 + DAY, by="ann")


def test_an_amendment_goes_through_the_same_review(ledger: Ledger) -> None:
    """It needs a reason, another text and new sign-offs; the history keeps every version with its signatures."""
    with pytest.raises(StateError, match="publish"):
        amend(ledger, "INC-0001", "x", now_us=T0, by="ann")
    first = published(ledger)
    for why, error in ((" ", InputError), ("typo", StateError)):
        with pytest.raises(error):
            amend(ledger, "INC-0001", why, now_us=T0 + DAY, by="ann")
    with pytest.raises(StateError, match="nothing to sign"):
        signed(ledger, "reader")
    change_review(ledger, "INC-0001", lambda r: add_factor(r, "data", "labels came late"), now_us=T0 + DAY, by="ann")
    with pytest.raises(StateError, match="sign-off"):
        amend(ledger, "INC-0001", "labels", now_us=T0 + DAY, by="ann")
    signed(ledger, "reader", at=T0 + DAY)
    second = amend(ledger, "INC-0001", "labels came late", now_us=T0 + DAY, by="ann")
    assert [e.record for e in editions(ledger, "INC-0001")] == [first, second]
    assert [e.record.postmortem.status for e in editions(ledger, "INC-0001")] == ["published", "amended"]
    assert reviewed(ledger, "INC-0001").review.factors[0].text == "labels came late"
    assert "labels came late" in render_markdown(reviewed(ledger, "INC-0001"))
    assert (second.why, first.digest != second.digest) == ("labels came late", True)


def test_what_people_wrote_survives_every_redraft(ledger: Ledger) -> None:
    """The computed part is redrafted beside the human part; both are in the working text."""
    write_all(ledger)
    before = working(ledger, "INC-0001").review
    ledger.put(draft(None, summary=("More is known now.",)), now_us=T0 + DAY, by="andon")
    p = working(ledger, "INC-0001")
    assert p.review == before
    text = render_markdown(p)
    assert "More is known now" in text
    assert all(f"what we know of {name}" in text for name in people_write(p))


def test_the_incident_is_shown_as_it_is_now(ledger: Ledger) -> None:
    """A lever, a close and a pin that came after the last draft stand in the document; a published one stays as it was."""
    early = TimelineEvent(
        id="a", incident="INC-0001", happened_us=T0 + HOUR, learned_us=T0 + HOUR, kind="note", text="we look"
    )
    pulled = replace(early, id="b", happened_us=T0 + 9 * HOUR, kind="lever", text="lever strict held")
    foreign = replace(early, id="c", incident="INC-0002", text="elsewhere")
    for event in (early, pulled, foreign):
        ledger.put(event, now_us=T0, by="andon")
    closed = incident(state="closed", closed_us=T0 + 9 * HOUR)
    ledger.put(closed, now_us=T0 + 9 * HOUR, by="ann")
    ledger.put(TimelineMark(id="b", incident="INC-0001", mark="pinned", why="it held", by="ann"), now_us=T0, by="ann")
    p = working(ledger, "INC-0001")
    assert (p.incident, p.timeline, p.pinned) == (closed, (early, pulled), ("b",))
    text = render_markdown(p)
    assert "| closed | 2026-09-21 23:13 UTC |" in text
    assert "| lever (pinned) | lever strict held |" in text
    assert all_working(ledger) == {"INC-0001": p}
    hidden = TimelineMark(id="a", incident="INC-0001", mark="hidden", why="noise", by="ann")
    done = published(ledger)
    ledger.put(hidden, now_us=T0 + DAY, by="ann")
    assert working(ledger, "INC-0001").timeline == all_working(ledger)["INC-0001"].timeline == (pulled,)
    assert reviewed(ledger, "INC-0001") == done.postmortem
    assert stand(ledger, "INC-0001").lapsed == ("reader",)


def test_a_lost_template_is_not_published(ledger: Ledger) -> None:
    """Where the template of a review is not at hand, nobody publishes what stands in for it."""
    change_review(ledger, "INC-0001", lambda r: choose_template(r, "ours"), now_us=T0, by="ann")
    write_all(ledger)
    signed(ledger, "reader")
    assert "The template ours was not at hand" in render_markdown(working(ledger, "INC-0001"))
    with pytest.raises(StateError, match="put its file back") as refused:
        publish(ledger, "INC-0001", now_us=T0, by="ann")
    assert "--template llm" in refused.value.commands


def test_sections_are_those_of_the_template() -> None:
    """A section that the template lacks is refused with those there are; the same one again replaces; empty takes it out."""
    review = Review(id="INC-0001")
    with pytest.raises(InputError, match="What went well; What did not"):
        write_section(review, "Blame", "x", allowed=["What went well", "What did not"], by="ann", at_us=T0)
    one = write_section(review, "what went WELL", " a ", allowed=["What went well"], by="ann", at_us=T0)
    assert [(s.section, s.text, s.by) for s in one.sections] == [("What went well", "a", "ann")]
    two = write_section(one, "What went well", "b", allowed=["What went well"], by="bob", at_us=T0)
    assert [(s.text, s.by) for s in two.sections] == [("b", "bob")]
    assert write_section(two, "What went well", "  ", allowed=["What went well"], by="bob", at_us=T0).sections == ()
    with pytest.raises(InputError, match="100,000"):
        write_section(review, "A", "x" * 100_001, allowed=["A"], by="ann", at_us=T0)


def test_comments_are_answered_once() -> None:
    """A comment is open until it is answered; an unknown one, an empty answer and a second answer are refused."""
    review = remark(remark(Review(id="INC-0001"), "a", by="ann", at_us=T0), "b", by="bob", at_us=T0)
    assert review.status == "in review"
    done = answer(review, "C2", "yes", by="cid")
    assert [(c.id, c.resolved_by, c.answer) for c in done.comments] == [("C1", "", ""), ("C2", "cid", "yes")]
    for wrong, text, error in (("C9", "x", InputError), ("C1", " ", InputError), ("C2", "again", StateError)):
        with pytest.raises(error):
            answer(done, wrong, text, by="cid")
    with pytest.raises(InputError):
        remark(review, "\n", by="ann", at_us=T0)


def test_factors_have_an_area_and_stand_once() -> None:
    """People add factors of the known areas; the same twice is one; an unknown area or no text is refused."""
    review = add_factor(Review(id="INC-0001"), "incentives", "dates\nwere fixed")
    assert [(f.area, f.text) for f in review.factors] == [("incentives", "dates were fixed")]
    assert add_factor(review, "incentives", "dates were fixed") is review
    for area, text in (("people", "ann"), ("data", " ")):
        with pytest.raises(InputError):
            add_factor(review, area, text)


def test_two_spellings_of_a_name_are_one_person(ledger: Ledger) -> None:
    """Who wrote a section does not vouch for it under another spelling, and one person is no two sign-offs."""
    ledger.put(incident(severity="P1"), now_us=T0, by="ann")
    write_all(ledger)  # by "writer"
    signed(ledger, "Writer", "reader", "Reader ")
    assert len(stand(ledger, "INC-0001").signed) == 1
    with pytest.raises(StateError, match="1 sign-off of this text missing"):
        publish(ledger, "INC-0001", now_us=T0, by="writer")


def test_signing_again_replaces() -> None:
    """Each person has one sign-off, the latest; it counts for the digest that it is of."""
    review = sign(sign(Review(id="INC-0001"), "old", by="ann", at_us=T0), "new", by="ann", at_us=T0 + 1)
    standing = standing_of(review, digest="new", severity="P3", required=())
    assert (standing.signed, standing.lapsed, standing.missing) == (("ann",), (), ())
    assert standing_of(review, digest="newer", severity="P3", required=()).lapsed == ("ann",)


def test_a_review_needs_a_draft(ledger: Ledger) -> None:
    """An incident that has no draft cannot be reviewed, and nothing is written for it."""
    for refused in (
        lambda: working(ledger, "INC-0404"),
        lambda: change_review(ledger, "INC-0404", lambda r: remark(r, "x", by="a", at_us=T0), now_us=T0, by="a"),
        lambda: sign_postmortem(ledger, "INC-0404", now_us=T0, by="a"),
    ):
        with pytest.raises(InputError, match="has no draft yet; investigate it"):
            refused()
    assert ledger.all(Review) == []


def test_two_people_at_once_lose_nothing(ledger: Ledger) -> None:
    """When somebody else writes between reading and writing, the change is made again on top of theirs."""
    tries = []

    def late(review: Review) -> Review:
        if not tries:
            tries.append(1)
            change_review(ledger, "INC-0001", lambda r: remark(r, "first", by="bob", at_us=T0), now_us=T0, by="bob")
        return remark(review, "second", by="ann", at_us=T0)

    change_review(ledger, "INC-0001", late, now_us=T0, by="ann")
    comments = working(ledger, "INC-0001").review.comments
    assert [(c.id, c.text) for c in comments] == [("C1", "first"), ("C2", "second")]


def test_a_teams_template_is_part_of_the_text(ledger: Ledger) -> None:
    """The source of a team's template is frozen with what is published, and a changed source makes sign-offs lapse."""
    change_review(ledger, "INC-0001", lambda r: choose_template(r, "ours"), now_us=T0, by="ann")
    source = "# {{ incident.id }}\n\n## Why\n\n{{ people('Why', 'in a sentence') }}\n"
    assert people_write(working(ledger, "INC-0001", lambda _: source)) == ("Why",)
    change_review(
        ledger,
        "INC-0001",
        lambda r: write_section(r, "Why", "because", allowed=["Why"], by="ann", at_us=T0),
        now_us=T0,
        by="ann",
    )
    sign_postmortem(ledger, "INC-0001", now_us=T0, by="bob", layouts=lambda _: source)
    assert not stand(ledger, "INC-0001", lambda _: source).missing
    assert stand(ledger, "INC-0001", lambda _: f"{source}\nmore\n").lapsed == ("bob",)
    done = publish(ledger, "INC-0001", now_us=T0, by="ann", layouts=lambda _: source)
    assert done.postmortem.layout == source
    shown = reviewed(ledger, "INC-0001", lambda _: "changed")
    assert isinstance(shown, Postmortem)
    assert "because" in render_markdown(shown)
