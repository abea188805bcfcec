"""The reference is written from the code, is complete, and cannot drift."""

import importlib.util
from dataclasses import fields
from pathlib import Path
from types import ModuleType

import pytest

from andon import settings
from andon.scores import LABELS, SCORERS
from andon.traffic import FEEDBACK_SYNONYMS, READINGS, SEGMENTS, SYNONYMS, VERSIONS, Feedback, Interaction

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    """The script that `make docs` runs."""
    spec = importlib.util.spec_from_file_location("make_docs", ROOT / "scripts" / "make_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _page(file: str) -> str:
    return (REFERENCE / file).read_text(encoding="utf-8")


def test_the_pages_are_up_to_date(maker: ModuleType) -> None:
    """The pages in docs/reference/ are those that the code gives now; `make docs` writes them."""
    made = maker.pages()
    stale = [file for file, text in made.items() if not (REFERENCE / file).is_file() or _page(file) != text]
    assert not stale, "run `make docs`"
    assert {p.name for p in REFERENCE.iterdir()} == set(made)


def test_making_the_pages_twice_gives_the_same(maker: ModuleType, tmp_path: Path) -> None:
    """Writing the pages is repeatable, and creates the folder where it is missing."""
    paths = maker.write(tmp_path / "reference")
    assert {p.name: p.read_text(encoding="utf-8") for p in paths} == maker.pages()


def test_the_first_sentence_says_what_a_page_is_for(maker: ModuleType) -> None:
    """Every page of the reference begins, below its title, with the sentence that says what is on it."""
    for text in maker.pages().values():
        title, first = [line for line in text.splitlines() if line and not line.startswith("<!--")][:2]
        assert title.startswith("# ")
        assert first.startswith("This page lists ")


@pytest.mark.parametrize("setting", settings.describe(), ids=lambda s: s[0])
def test_every_setting_is_documented(setting: tuple[str, str, str]) -> None:
    """Every setting stands on the page with its sentence."""
    name, _, about = setting
    assert f"| `{name}` |" in _page("settings.md")
    assert about in _page("settings.md")


def test_every_command_and_option_is_documented(maker: ModuleType) -> None:
    """Every command has a heading and a help text, and every argument and option a row and a meaning."""
    page = _page("cli.md")
    for words, command in maker.commands():
        called = " ".join(words)
        assert f"# `andon {called}`\n" in page
        assert command.help, f"andon {called} has no help"
        section = page.split(f"# `andon {called}`\n")[1].split("\n## ")[0]
        for p in () if getattr(command, "commands", None) else command.params:
            shown = p.opts[0] if p.param_type_name == "option" else p.metavar or p.name.upper()
            assert f"| `{shown}" in section, f"andon {called}: {shown} is missing"
            assert p.help, f"andon {called}: {shown} has no help"


@pytest.mark.parametrize("metric", [*(s.name for s in SCORERS), *LABELS])
def test_every_metric_is_documented(metric: str) -> None:
    """Every metric that is measured or given by people stands on the page."""
    assert f"| `{metric}` |" in _page("metrics.md")


@pytest.mark.parametrize("record", [Interaction, Feedback])
def test_every_field_is_documented(record: type) -> None:
    """Every field of an interaction and of feedback stands on the page."""
    for field in fields(record):
        assert f"| `{field.name}` |" in _page("fields.md")


def test_every_synonym_is_documented() -> None:
    """Every name under which a field is read stands in the row of its field."""
    page = _page("fields.md")
    for heading, synonyms in (("## An interaction", SYNONYMS), ("## Feedback", FEEDBACK_SYNONYMS)):
        part = page.split(f"{heading}\n")[1].split("\n## ")[0]
        rows = {line.split("`")[1]: line for line in part.splitlines() if line.startswith("| `")}
        for field, names in synonyms.items():
            assert not [n for n in names if f"`{n}`" not in rows[field]]


def test_versions_and_segments_are_documented() -> None:
    """The fields that are versions or segments of the traffic are listed as such."""
    page = _page("fields.md")
    assert not [f for f, kind in VERSIONS.items() if f"| `{f}` | {kind} |" not in page]
    assert not [s for s in SEGMENTS if f"`{s}`" not in page.rpartition("## Segments")[2]]


def test_every_attribute_that_is_read_is_documented() -> None:
    """Every span attribute from which a field is read stands in the row of its field."""
    page = [line for line in _page("otlp.md").splitlines() if line.startswith("| `")]
    rows = {f: "".join(line for line in page if line.split("`")[1] == f) for f in {r.field for r in READINGS}}
    assert not [(r.field, n) for r in READINGS for n in r.names if f"`{n}`" not in rows[r.field]]
