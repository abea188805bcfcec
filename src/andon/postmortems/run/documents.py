"""Write the documents of a postmortem."""

from pathlib import Path

from andon.postmortems.html import render_html
from andon.postmortems.markdown import render_markdown
from andon.postmortems.records import Postmortem

__all__ = ["write_documents"]


def write_documents(postmortem: Postmortem, folder: Path) -> tuple[Path, Path]:
    """Write ``INC-0001.md`` and ``INC-0001.html`` into a folder; returns the two paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / f"{postmortem.id}.md", folder / f"{postmortem.id}.html"
    paths[0].write_text(render_markdown(postmortem), encoding="utf-8")
    paths[1].write_text(render_html(postmortem), encoding="utf-8")
    return paths
