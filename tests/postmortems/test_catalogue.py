"""Laws of what is kept in memory of postmortems: it says what the records say, at any moment."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from records_made import DAY, T0, action, draft, incident

from andon.incidents import TimelineEvent
from andon.postmortems import Postmortem
from andon.postmortems.review import write_section
from andon.postmortems.run.actions import actions_of, take_action
from andon.postmortems.run.catalogue import Catalogue, catalogue_of
from andon.postmortems.run.entries import entries_of, lessons_in
from andon.postmortems.run.review import all_working, change_review, in_short, publish, sign_postmortem
from andon.postmortems.run.search import make_texts, search_postmortems
from andon.postmortems.run.shelf import shelf_of
from andon.scores.hashed import load as hashed
from andon.settings import load
from andon.store import Ledger
from andon.traffic.records import Erasure

EMBEDDER = hashed(load({}))


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A ledger with two incidents and their drafts."""
    book = Ledger("sqlite://")
    for n in (1, 2):
        i = incident(f"INC-000{n}", alarmed_us=T0 + n * DAY)
        book.put(i, now_us=T0, by="andon")
        book.put(draft(i, action(f"INC-000{n}-A1")), now_us=T0, by="andon")
    yield book
    book.close()


def write(ledger: Ledger, name: str, section: str, text: str, by: str = "ann") -> None:
    """Somebody writes a section."""
    change_review(
        ledger, name, lambda r: write_section(r, section, text, allowed=[section], by=by, at_us=T0), now_us=T0, by=by
    )


def test_a_new_draft_is_seen_at_once(ledger: Ledger) -> None:
    """Proposals are those of the latest draft, also after others were kept in memory; a published one stays."""
    assert [i.title for i in actions_of(ledger)] == ["declare a lever"] * 2
    ledger.put(draft(incident("INC-0002"), action("INC-0002-A1", title="another")), now_us=T0, by="andon")
    assert [i.title for i in actions_of(ledger)] == ["declare a lever", "another"]
    take_action(ledger, "INC-0001-A1", owner="ann", now_us=T0, by="ann")
    assert [i.owner for i in actions_of(ledger)] == ["ann", None]


def test_in_short_says_of_reviews_and_actions_what_all_of_it_says(ledger: Ledger) -> None:
    """The short form has the same incident, review, actions and suspects as the whole."""
    write(ledger, "INC-0001", "Fix", "pinned")
    take_action(ledger, "INC-0002-A1", owner="ann", now_us=T0, by="ann")
    short, whole = in_short(ledger), all_working(ledger)
    assert list(short) == list(whole)
    for name, p in whole.items():
        mine = short[name]
        assert (mine.incident, mine.review, mine.actions, mine.layout) == (p.incident, p.review, p.actions, p.layout)
        assert mine.investigation.suspects == p.investigation.suspects


@pytest.mark.parametrize("what", ["draft", "review", "incident", "event", "action"])
def test_every_change_of_a_text_is_told(ledger: Ledger, what: str) -> None:
    """Whatever a postmortem is made of changes its number, and not that of others."""
    known = catalogue_of(ledger)
    before = known.changes()
    if what == "draft":
        ledger.put(draft(incident()), now_us=T0, by="andon")
    elif what == "review":
        write(ledger, "INC-0001", "Fix", "pinned")
    elif what == "incident":
        ledger.put(incident(severity="P1"), now_us=T0, by="ann")
    elif what == "event":
        event = TimelineEvent(id="t1", incident="INC-0001", happened_us=T0, learned_us=T0, kind="note", text="seen")
        ledger.put(event, now_us=T0, by="ann")
    else:
        take_action(ledger, "INC-0001-A1", owner="ann", now_us=T0, by="ann")
    after = known.changes()
    assert after("INC-0001") != before("INC-0001")
    assert after("INC-0002") == before("INC-0002")


def test_what_was_erased_is_forgotten(ledger: Ledger) -> None:
    """After an erasure everything is read anew: nothing of what was erased stays in memory."""
    known = Catalogue(ledger)
    assert known.drafts()["INC-0001"].actions[0].title == "declare a lever"
    assert ledger.blank(_without_lever, {Postmortem})
    ledger.put(Erasure(id="ERA-1", at_us=T0, rows={}, records=1), now_us=T0, by="ann")
    assert known.drafts()["INC-0001"].actions[0].title == "declare a ***"


def _without_lever(value: Any) -> Any:
    """A value of JSON without the word."""
    if isinstance(value, str):
        return value.replace("lever", "***") if value == "declare a lever" else value
    if isinstance(value, dict):
        return {k: _without_lever(v) for k, v in value.items()}
    return [_without_lever(v) for v in value] if isinstance(value, list) else value


def test_search_finds_what_was_just_written(ledger: Ledger) -> None:
    """A search sees a new text at once, whether its document was made before or there was no time to make it."""
    for within in (60.0, -1.0):
        assert not search_postmortems(ledger, EMBEDDER, "aardvark", within_s=within)
    write(ledger, "INC-0002", "Fix", "the aardvark was pinned")
    for within in (-1.0, 60.0, -1.0):
        (found,) = search_postmortems(ledger, EMBEDDER, "aardvark", within_s=within)
        assert (found.postmortem, found.section) == ("INC-0002", "Fix")


def test_texts_that_were_made_before_are_searched_at_once(ledger: Ledger) -> None:
    """After the texts are made a search without any time knows the whole document; before, only its short form."""
    short = search_postmortems(ledger, EMBEDDER, "detection lag", within_s=-1.0)
    took: list[float] = []
    make_texts(ledger, pause=took.append)
    assert len(took) == 2
    whole = search_postmortems(ledger, EMBEDDER, "detection lag", within_s=-1.0)
    assert [f.words for f in whole] == [("detection", "lag")] * 2
    assert not any(f.words for f in short)


def test_the_library_tells_status_and_lesson(ledger: Ledger) -> None:
    """The newest comes first; what is published keeps its lesson whatever is written later."""
    section = "How the factors worked together"
    assert [(e.incident.id, e.status, e.published) for e in entries_of(ledger)] == [
        ("INC-0002", "draft", False), ("INC-0001", "draft", False),
    ]  # fmt: skip
    write(ledger, "INC-0001", section, "Nobody asked. Not even once.")
    assert lessons_in(ledger, ["INC-0001"]) == {"INC-0001": "Nobody asked."}
    for name in ("Fix", "Why we were surprised", "What went well"):
        write(ledger, "INC-0001", name, "as planned")
    sign_postmortem(ledger, "INC-0001", now_us=T0, by="bob")
    publish(ledger, "INC-0001", now_us=T0, by="bob")
    write(ledger, "INC-0001", section, "Something else.")
    assert lessons_in(ledger, ["INC-0001"]) == {"INC-0001": "Nobody asked."}
    assert [e.incident.id for e in entries_of(ledger, status="published")] == ["INC-0001"]
    assert entries_of(ledger, ids=["INC-0009"]) == []


def test_a_document_is_made_anew_when_anything_in_it_changed(ledger: Ledger) -> None:
    """The shelf gives the same document for the same record, and another one for another."""
    p, shelf = all_working(ledger)["INC-0001"], shelf_of(ledger)
    first = shelf.body(p)
    assert shelf.body(replace(p)) is first
    other = replace(p, incident=replace(p.incident, title="another title"))
    assert "another title" in shelf.body(other).html
    assert shelf.digest(other) != shelf.digest(p)
