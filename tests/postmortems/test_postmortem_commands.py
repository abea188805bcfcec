"""Laws of `andon postmortem write` and `andon postmortem templates`."""

from collections.abc import Callable
from pathlib import Path

import pytest
from drafted import T0, postmortem

from andon.postmortems import Review
from andon.store import Ledger

Type = Callable[..., tuple[int, str, str]]


@pytest.fixture
def drafted(tmp_path: Path) -> Path:
    """A home whose ledger holds an incident and its draft; returns the working directory."""
    (tmp_path / "home").mkdir()
    book = Ledger.open(tmp_path / "home" / "ledger.db")
    p = postmortem("a\x1b]0;owned\x07b")
    book.put(p.incident, now_us=T0, by="andon")
    book.put(p, now_us=T0, by="andon")
    book.close()
    return tmp_path


def test_a_postmortem_is_written_by_the_template_that_is_asked_for(type_: Type, drafted: Path) -> None:
    """`write` puts Markdown, page and chart into the folder, by the template of the option, and prints their paths."""
    code, out, _ = type_("postmortem", "write", "INC-0001", "--out", "docs")
    assert code == 0
    assert out.split() == ["docs/INC-0001.md", "docs/INC-0001.html", "docs/INC-0001-chart.svg"]
    assert "## What explains it" in (drafted / "docs" / "INC-0001.md").read_text()
    assert type_("postmortem", "write", "INC-0001", "--out", "docs", "--template", "questions")[0] == 0
    assert "## 2. What changed?" in (drafted / "docs" / "INC-0001.md").read_text()


def test_the_template_of_the_review_is_used_unless_another_is_asked_for(type_: Type, drafted: Path) -> None:
    """A review that chose a template keeps it."""
    book = Ledger.open(drafted / "home" / "ledger.db")
    book.put(Review(id="INC-0001", template="ml"), now_us=T0, by="ann")
    book.close()
    assert type_("postmortem", "write", "INC-0001")[0] == 0
    assert "## Causes by layer" in (drafted / "postmortems" / "INC-0001.md").read_text()


def test_a_copied_template_is_the_teams_own(type_: Type, drafted: Path) -> None:
    """`templates --copy` writes the file beside andon.toml; changed, it is what `write` uses, and it is listed as yours."""
    code, out, _ = type_("postmortem", "templates", "--copy", "llm")
    assert code == 0
    assert "templates/llm.md is yours" in out
    (drafted / "templates" / "llm.md").write_text("# {{ incident.id }}\n\nOur way. {{ people('Next', 'what now?') }}\n")
    assert type_("postmortem", "write", "INC-0001", "--out", "docs")[0] == 0
    assert "Our way." in (drafted / "docs" / "INC-0001.md").read_text()
    (drafted / "templates" / "short.md").write_text("# {{ incident.id }}\n\n{{ people('Next', 'what now?') }}\n")
    _, out, _ = type_("postmortem", "templates")
    assert [line.split("  ")[0].strip() for line in out.splitlines()] == ["template", "llm", "ml", "questions", "short"]
    assert "yours, in place of ours" in out
    assert "asks people for Next" in out


def test_templates_lie_beside_the_configuration(type_: Type, drafted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration elsewhere has its templates beside it."""
    (drafted / "etc").mkdir()
    (drafted / "etc" / "andon.toml").write_text("")
    monkeypatch.setenv("ANDON_CONFIG", str(drafted / "etc" / "andon.toml"))
    assert type_("postmortem", "templates", "--copy", "ml")[0] == 0
    assert (drafted / "etc" / "templates" / "ml.md").exists()


def test_errors_say_what_to_do_next(type_: Type, drafted: Path) -> None:
    """A wrong template, incident or file is exit 2 with the choices, in one line, and nothing is written."""
    for words, said in (
        (("write", "INC-0001", "--template", "nope"), "built in are llm, ml, questions"),
        (("write", "INC-0009"), "there are: INC-0001"),
        (("templates", "--copy", "nope"), "built in are llm, ml, questions"),
    ):
        code, _, err = type_("postmortem", *words)
        assert code == 2
        assert said in err
        assert len(err.splitlines()) == 1
    (drafted / "templates").mkdir()
    (drafted / "templates" / "ours.md").write_text("# T\n\n{{ impakt }}\n")
    code, _, err = type_("postmortem", "write", "INC-0001", "--template", "ours")
    assert code != 0
    assert "templates/ours.md, line 3: 'impakt' is not known" in err
    assert not (drafted / "postmortems").exists()


def test_a_lost_template_breaks_no_other_document(type_: Type, drafted: Path) -> None:
    """A template that was taken away is told in its own document; learning, search, review and export work as before."""
    (drafted / "templates").mkdir()
    own = drafted / "templates" / "ours.md"
    own.write_text("# {{ incident.id }}\n\n## Zeppelin\n\n{{ people('Zeppelin', 'why?') }}\n")
    assert type_("postmortem", "edit", "INC-0001", "--template", "ours")[0] == 0
    assert "(words: zeppelin)" in type_("postmortem", "search", "zeppelin")[1]  # the document, not another text
    own.unlink()
    for words in (
        ("learning",),
        ("postmortem", "show", "INC-0001"),
        ("postmortem", "search", "refuse"),
        ("postmortem", "export", "INC-0001", "--as", "aiid"),
        ("postmortem", "write", "INC-0001"),
    ):
        assert type_(*words)[0] == 0, words
    assert "The template ours was not at hand" in (drafted / "postmortems" / "INC-0001.md").read_text()
    code, _, err = type_("postmortem", "edit", "INC-0001", "--template", "ours")
    assert code == 2
    assert "there is no template 'ours'" in err


def test_nothing_of_a_record_is_obeyed_by_the_terminal(type_: Type, drafted: Path) -> None:
    """What the commands print and write holds no escape of a hostile text."""
    _, out, err = type_("postmortem", "write", "INC-0001")
    written = (drafted / "postmortems" / "INC-0001.md").read_text() + (
        drafted / "postmortems" / "INC-0001.html"
    ).read_text()
    assert not {"\x1b", "\x07"} & set(out + err + written)
