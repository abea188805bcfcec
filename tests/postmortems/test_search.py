"""Laws of search: what holds the words is found with the passage, what means the same is found too, nothing is obeyed."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records_made import DAY, HOUR, T0, draft, incident

from andon.errors import InputError
from andon.postmortems import render_markdown
from andon.postmortems.run.search import search_postmortems
from andon.postmortems.search import Section, plain_sections, search_sections, words_of
from andon.scores.hashed import load
from andon.settings import Settings
from andon.store import Ledger

HASHED = load(Settings())


class Means:
    """An embedder for which two groups of words mean the same."""

    name = "means-1"

    def embed(self, texts):
        rows = np.zeros((len(texts), 3), np.float32)
        for i, text in enumerate(texts):
            words = set(words_of(text))
            rows[i] = (bool(words & {"refusal", "declined"}), bool(words & {"index", "corpu"}), 0.001)
            rows[i] /= np.linalg.norm(rows[i])
        return rows


def sections(**texts: str) -> list[Section]:
    """One section per postmortem."""
    return [Section(postmortem=name, name="summary", text=text) for name, text in texts.items()]


def test_rare_words_weigh_more() -> None:
    """What holds the rare word comes before what holds the frequent one, and what holds neither is not there."""
    texts = sections(
        a="the answers were wrong", b="the answers cited filings", c="the answers were late", d="tools failed"
    )
    found = search_sections("answers filings", texts, HASHED)
    assert found[0].postmortem == "b"
    assert found[0].words == ("answer", "filing")
    assert "d" not in {f.postmortem for f in found if f.similarity < 0.35}


def test_case_accents_and_plurals_do_not_matter() -> None:
    """Words are compared without case, accents and a plural s, in the query as in the text."""
    assert words_of("Réfusals of CASES, class") == ["refusal", "of", "case", "class"]
    assert search_sections("REFUSAL", sections(a="many réfusals"), HASHED)[0].words == ("refusal",)


def test_meaning_finds_what_words_do_not() -> None:
    """A postmortem without any of the words is found when its summary means the same, and says that it was by meaning."""
    texts = sections(a="the bot declined to help", b="the index was stale")
    found = search_sections("refusals", texts, Means())
    assert [(f.postmortem, f.words) for f in found] == [("a", ())]
    assert found[0].similarity > 0.9
    both = search_sections("refusals", sections(a="the bot declined", b="refusals rose"), Means())
    assert {f.postmortem for f in both} == {"a", "b"}
    assert both[0].postmortem == "b"  # by words and by meaning


def test_each_postmortem_stands_once_with_its_best_section() -> None:
    """Several sections of one postmortem are one result, with the section that fits best and a passage around the words."""
    long = " ".join(["filler"] * 200)
    texts = [
        Section(postmortem="a", name="summary", text="an index"),
        Section(postmortem="a", name="Detection", text=f"{long} the stale index was rebuilt {long}"),
        Section(postmortem="a", name="Actions", text="nothing"),
    ]
    (found,) = search_sections("stale index rebuilt", texts, HASHED)
    assert found.section == "Detection"
    assert "stale index was rebuilt" in found.snippet
    assert len(found.snippet) <= 222
    assert found.snippet.startswith("…")
    assert found.snippet.endswith("…")


@pytest.mark.parametrize("query", ["", "  ", "?!", "x" * 1_001])
def test_a_query_without_words_is_refused(query: str) -> None:
    """Nothing to look for, or too much, is an error of the caller, not an empty result."""
    with pytest.raises(InputError):
        search_sections(query, sections(a="x"), HASHED)


@given(st.text(max_size=300))
def test_any_markdown_gives_plain_text(text: str) -> None:
    """Whatever a document holds, its sections are printable text, and searching them does not fail."""
    found = plain_sections("INC-0001", f"# Title\n\n{text}\n\n## Part\n\n{text}")
    assert all(c == "\n" or c.isprintable() for s in found for c in s.text + s.name)
    search_sections("title", found, HASHED)


def test_sections_read_like_the_page() -> None:
    """Tables, links, emphasis and escapes become the words that people see."""
    text = "# INC-0001: a\\_b\n\n**P1** see [E3](#e3)\n\n## Impact\n\n| who | n |\n|---|---|\n| all \\| some | 4 &lt; 5 |\n"
    first, second = plain_sections("INC-0001", text)
    assert (first.name, first.text) == ("title", "INC-0001: a_b\n\nP1 see E3")
    assert second.name == "Impact"
    assert second.text.split() == ["who", "n", "all", "|", "some", "4", "<", "5"]


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A ledger with two drafts that differ in their summary."""
    book = Ledger("sqlite://")
    for k, (text, failure) in enumerate(
        (("The index was stale.", "retrieval regression"), ("Refusals \x1b[31m flared.", None)), 1
    ):
        i = incident(f"INC-000{k}", alarmed_us=T0 + k * DAY, failure=failure)
        book.put(i, now_us=T0, by="andon")
        book.put(draft(i, summary=(text,)), now_us=T0, by="andon")
    yield book
    book.close()


def test_postmortems_are_searched_as_others_see_them(ledger: Ledger) -> None:
    """The rendered text is searched; failure type and time narrow it down, by what the incident is now."""

    def ids(query: str, **more) -> list[str]:
        return [f.postmortem for f in search_postmortems(ledger, HASHED, query, **more) if f.words]

    assert ids("stale index") == ["INC-0001"]
    assert set(ids("incident INC")) <= {"INC-0001", "INC-0002"}
    assert ids("stale index", failure="prompt regression") == []
    assert ids("stale", since_us=T0 + DAY + HOUR) == []
    known = ledger.get(type(incident()), "INC-0001")
    assert known is not None
    ledger.put(replace(known, failure="config error"), now_us=T0, by="ann")
    assert ids("stale index", failure="config error") == ["INC-0001"]
    (hostile,) = [f for f in search_postmortems(ledger, HASHED, "flared") if f.words]
    assert hostile.snippet.isprintable()
    assert "# INC-0002" in render_markdown(draft(incident("INC-0002")))
