"""Laws of templates: a team's own is safe, says where it is wrong, and is kept with the postmortem."""

from dataclasses import replace
from pathlib import Path

import pytest
from drafted import postmortem
from markdown_it import MarkdownIt

from andon.errors import ConfigError, InputError, StateError
from andon.postmortems import Postmortem, render_html, render_markdown
from andon.postmortems.markdown import BUILT_IN, built_in, check_template, sections_of
from andon.postmortems.run.documents import copy_template, layout_of, team_templates, with_template

HOSTILE = "<b>x</b> | `y` [z](javascript:alert(1)) # h {{ 7 * 7 }}"


def own(source: str, p: Postmortem | None = None) -> Postmortem:
    """A record whose review uses this source as its team's template."""
    p = p or postmortem()
    return replace(p, layout=source, review=replace(p.review, template="ours"))


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_templates_are_templates_that_a_team_may_copy(name: str, tmp_path: Path) -> None:
    """A copy of a built-in template is valid, asks for the same sections and gives the same document."""
    path = copy_template(name, tmp_path / "templates")
    assert check_template(path.read_text(encoding="utf-8"), str(path)) == sections_of(name)
    ours = with_template(postmortem(), name, tmp_path / "templates")
    assert ours.layout == built_in(name)
    theirs = replace(postmortem(), review=replace(postmortem().review, template=name))
    assert render_markdown(ours) == render_markdown(theirs)


def test_a_copy_never_overwrites(tmp_path: Path) -> None:
    """Copying over a template that is there is refused, and leaves it as it is."""
    path = copy_template("llm", tmp_path)
    path.write_text("# Ours\n", encoding="utf-8")
    with pytest.raises(StateError, match="there already"):
        copy_template("llm", tmp_path)
    assert path.read_text(encoding="utf-8") == "# Ours\n"


def test_each_template_asks_people_for_something() -> None:
    """Each built-in template leaves places for people, in its order; none of them is called a root cause."""
    assert sections_of("llm") == (
        "How the factors worked together",
        "Fix",
        "Why we were surprised",
        "What went well",
    )
    assert sections_of("ml")[0] == "What the model was supposed to do"
    assert sections_of("questions") == ("Why we were surprised", "What went well")
    assert not any("root cause" in built_in(name).lower() for name in BUILT_IN)


@pytest.mark.parametrize(
    "line",
    [
        "{{ incident.title }}",
        "{% set t = incident.title %}{{ t }}",
        "{{ 'by ' ~ incident.app }}",
        "{{ 'by ' + incident.app }}",
        "{{ incident.title | replace('x', 'y') }}",
        "{{ '%s' | format(incident.title) }}",
        "{{ [incident.title, incident.app] | join(' and ') }}",
        "{{ incident.title | safe }}",
        "{% set block %}{{ incident.title }}{% endset %}{{ block }}",
        "{{ people('a', incident.title) }}",
        "{{ incident.scope }}",
        "{{ (summary | string) ~ incident.title }}",
        "{% for s in investigation.suspects %}{{ s.title }}{% endfor %}",
        "{% autoescape false %}{{ incident.title }}{% endautoescape %}",
    ],
)
def test_a_template_cannot_forget_to_escape(line: str) -> None:
    """Whatever a team's template does with a text from traffic, it is printed as text and nothing else."""
    markdown = render_markdown(own(f"# T\n\n{line}\n", postmortem(HOSTILE))).split("## Signed off")[0]
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(markdown)
    kinds = {t.type for block in tokens for t in (block, *(block.children or ()))}
    allowed = {"heading_open", "heading_close", "paragraph_open", "paragraph_close", "inline", "text", "text_special"}
    people = {"em_open", "em_close"} if "people(" in line else set()
    assert kinds <= allowed | people | {"softbreak"}, markdown


@pytest.mark.parametrize(
    ("source", "line", "word"),
    [
        ("# T\n\n{{ impakt }}", 3, "'impakt' is not known"),
        ("# T\n{% if %}", 2, "Expected an expression"),
        ("# T\n\n\n{{ incident.nope }}", 4, "nope"),
        ("{{ people(incident.title) }}", 1, "in quotes"),
        ("\n{% include 'x.md' %}", 2, "stands alone"),
        ("\n{% macro m(t) %}{{ t }}{% endmacro %}{{ m(incident.title) }}", 2, "stands alone"),
        ("{{ people }}", 1, "brackets"),
        ("\n{{ 1 / 0 }}", 2, "zero"),
        ("{{ incident.title | shout }}", 1, "shout"),
        ("{{ incident.title", 1, "end of print"),
        ("\n{{ incident.__class__.__mro__ }}", 2, "unsafe"),
        ("{{ ''.__class__.__base__.__subclasses__() }}", 1, ""),
        ("{{ (1).__class__('9') }}", 1, ""),
    ],
)
def test_an_error_names_file_line_and_what_is_allowed(source: str, line: int, word: str) -> None:
    """A template that is wrong, or that reaches for Python, is refused with its file, its line and what it may print."""
    with pytest.raises(ConfigError, match=rf"(?s)templates/ours\.md, line {line}: .*{word}") as caught:
        render_markdown(own(source))
    assert "\n" not in str(caught.value)
    assert "suspects" in str(caught.value) or "quotes" in str(caught.value) or "alone" in str(caught.value)


def test_a_teams_template_is_kept_with_the_postmortem(tmp_path: Path) -> None:
    """What was made by a team's template is made again to the letter after the file is gone."""
    (tmp_path / "ours.md").write_text("# {{ incident.id }}\n\n{{ summary }}\n\n{{ people('Next', 'what now?') }}\n")
    p = with_template(postmortem(), "ours", tmp_path)
    first = render_markdown(p)
    (tmp_path / "ours.md").unlink()
    assert render_markdown(p) == first
    assert "_For people to write_: what now?" in first
    assert sections_of("ours", p.layout) == ("Next",)


def test_an_unknown_template_is_named_with_the_known(tmp_path: Path) -> None:
    """A wrong name is answered with the names there are; a file that is no text is a ConfigError that names it."""
    (tmp_path / "ours.md").write_text("# T")
    with pytest.raises(InputError, match=r"'nope'.*llm, ml, questions.*ours"):
        layout_of("nope", tmp_path)
    with pytest.raises(InputError, match="llm, ml, questions"):
        sections_of("nope")
    (tmp_path / "bytes.md").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"bytes\.md"):
        layout_of("bytes", tmp_path)
    assert list(team_templates(tmp_path)) == ["bytes", "ours"]
    assert layout_of("llm", tmp_path / "none") == ""


def test_a_template_that_is_gone_and_was_not_kept_is_said() -> None:
    """A review that names a template of which no source is kept is shown by the template llm, and says so."""
    p = replace(postmortem(), review=replace(postmortem().review, template="lost"))
    markdown = render_markdown(p)
    assert "The template lost was not at hand" in markdown
    assert "## What explains it" in markdown


def test_the_same_template_gives_the_same_bytes() -> None:
    """A template has no clock and no dice: Jinja's random text is not there."""
    with pytest.raises(ConfigError, match="lipsum"):
        render_markdown(own("{{ lipsum() }}"))
    with pytest.raises(ConfigError, match="random"):
        render_markdown(own("{{ [1, 2, 3] | random }}"))


def test_html_and_scripts_of_a_template_are_text() -> None:
    """What looks like HTML in a team's template is shown as such; a link to a page is one, a link that runs code is none."""
    source = "# T\n\n<script>alert(1)</script>\n<b>hi</b>\n\n[ours](https://wiki.example/x) [bad](javascript:alert)\n"
    page = render_html(own(source))
    assert "&lt;script&gt;alert(1)" in page
    assert "<b>hi" not in page
    assert '<a href="https://wiki.example/x">ours</a>' in page
    assert 'href="javascript' not in page
