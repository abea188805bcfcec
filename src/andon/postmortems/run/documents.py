"""Write the documents of a postmortem, and keep a team's own templates."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from andon.errors import ConfigError, InputError, StateError
from andon.postmortems.html import draw_postmortem_chart, render_html
from andon.postmortems.markdown import BUILT_IN, built_in, check_template, render_markdown
from andon.postmortems.pdf import print_pdf
from andon.postmortems.records import Postmortem

__all__ = [
    "copy_template",
    "layout_of",
    "layouts_beside",
    "team_templates",
    "templates_beside",
    "with_template",
    "write_documents",
]

FOLDER = "templates"
"""Folder of a team's own templates, beside its andon.toml."""


def write_documents(postmortem: Postmortem, folder: Path, *, pdf: bool = False) -> tuple[Path, ...]:
    """Write ``INC-0001.md``, its chart ``INC-0001-chart.svg``, ``INC-0001.html`` and, if asked for, ``INC-0001.pdf``.

    Returns:
        The paths: Markdown, HTML, then the chart where there is one, then the PDF.

    Raises:
        ConfigError: the team's own template cannot be read or fails.
        SeamError: the PDF was asked for and there is no browser that prints it, or it fails. The rest is written.
    """
    texts = {".md": render_markdown(postmortem), ".html": render_html(postmortem)}
    if chart := draw_postmortem_chart(postmortem):
        texts["-chart.svg"] = chart
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for ending, text in texts.items():
        path = folder / f"{postmortem.id}{ending}"
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    if pdf:
        path = folder / f"{postmortem.id}.pdf"
        path.write_bytes(print_pdf(texts[".html"]))
        paths.append(path)
    return tuple(paths)


def with_template(postmortem: Postmortem, name: str, folder: Path) -> Postmortem:
    """The same postmortem by another template: a team's own of this name, else the built-in one.

    Raises:
        InputError: there is no template of this name; the message lists those there are.
        ConfigError: the team's own cannot be read.
    """
    return replace(postmortem, layout=layout_of(name, folder), review=replace(postmortem.review, template=name))


def layout_of(name: str, folder: Path) -> str:
    """Source of a team's own template of this name, checked; empty where the built-in one of this name is meant.

    Raises:
        InputError: there is no template of this name; the message lists those there are.
        ConfigError: the team's own cannot be read.
    """
    own = team_templates(folder)
    if name not in own:
        if name in BUILT_IN:
            return ""
        more = f"; in {folder}: {', '.join(own)}" if own else f"; {folder} holds none"
        raise InputError(f"there is no template {name!r}; built in are {', '.join(BUILT_IN)}{more}")
    source = _read(own[name])
    check_template(source, str(own[name]))
    return source


def templates_beside(config: str) -> Path:
    """Where a team keeps its own templates: beside its andon.toml."""
    return Path(config).parent / FOLDER


def layouts_beside(config: str) -> Callable[[str], str]:
    """Name of a template -> its source where it is a team's own, beside its andon.toml; else an empty text.

    It is empty for a template that is lost as well: that document says so, and those of all other incidents are read.
    """
    folder = templates_beside(config)
    return lambda name: layout_of(name, folder) if name in team_templates(folder) else ""


def team_templates(folder: Path) -> dict[str, Path]:
    """A team's own templates by name: the Markdown files of its folder."""
    return {path.stem: path for path in sorted(folder.glob("*.md")) if path.is_file()}


def copy_template(name: str, folder: Path) -> Path:
    """Copy a built-in template into a team's folder, to be changed there; returns the new file.

    Raises:
        InputError: there is no built-in template of this name.
        StateError: the file is there already.
    """
    source, path = built_in(name), folder / f"{name}.md"
    if path.exists():
        raise StateError(f"{path} is there already; change it, or move it away first")
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(source, encoding="utf-8")
    return path


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}; a template is a text file in UTF-8") from error
