"""Text from traffic and people as harmless Markdown: one line, a sentence with references, a section, a table."""

import re
from collections.abc import Iterable, Sequence

from andon.postmortems.draft import plain
from andon.postmortems.records import Postmortem, Written

__all__ = ["FOR_PEOPLE", "bullets", "inert", "prose", "quote", "table", "written"]

FOR_PEOPLE = "_For people to write_"
_SPECIAL = re.compile(r"([\\`*_{}\[\]|#~!$])")
_LINK = re.compile(r"(?i)(\b[a-z][a-z0-9+.-]{1,20}):(?=//)|\b(www)\.")
_START = re.compile(r"^(\d{1,9}(?=[.)](?:\s|$))|(?=[-+](?:\s|$)|[-=]+$|:-))(.)")
"""What makes a list, a rule or a heading of the line that it begins."""
_ENTITIES = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;"}
_REF = re.compile(r"\\\[(E\d{1,4}(?:, E\d{1,4})*)\\\]")
_NAMELESS = re.compile(r"“ ?”")
_LEAD = re.compile(r"(?:[-+*] |\d{1,3}[.)] |> )?")


def inert(text: str | None, limit: int = 240, blank: str = "–") -> str:
    """Text from traffic on one line, shortened, with every character that Markdown or HTML reads made harmless.

    Bare addresses are broken as well: GitHub would make links of them. A name in quotation marks that has no visible
    character is told as such.
    """
    line = _NAMELESS.sub("“(blank)”", " ".join(plain((text or "").strip()[: 20 * limit]).split()))
    if not line:
        return blank
    if len(line) > limit:
        line = line[: limit - 1] + "…"
    escaped = _SPECIAL.sub(r"\\\1", line).translate(_ENTITIES)
    whole = _LINK.sub(lambda m: f"{m[1]}\\:" if m[1] else f"{m[2]}\\.", escaped)
    return _START.sub(r"\1\\\2", whole)


def quote(text: str | None, blank: str = "(no answer)") -> str:
    """What somebody asked or was answered, in quotation marks: these are not our words."""
    made = inert(text, blank="")
    return f"“{made}”" if made else blank


def prose(p: Postmortem, text: str, limit: int = 2000) -> str:
    """Our own sentence, which may quote names from traffic: escaped, but references to evidence that is there are links.

    Backticks around commands are left out: escaped they would stand there as such.
    """
    known = {e.id for e in p.investigation.evidence}

    def linked(found: re.Match[str]) -> str:
        ids = found[1].split(", ")
        return " ".join(f"[[{i}]](#evidence)" for i in ids) if known.issuperset(ids) else found[0]

    return _REF.sub(linked, inert(text.replace("`", ""), limit))


def written(p: Postmortem, section: Written) -> str:
    """What a person wrote: paragraphs, lists and quotations stay; everything else that Markdown reads is made harmless."""
    lines = []
    for line in plain(section.text).strip().split("\n"):
        lead = _LEAD.match(line.strip())
        mark = lead[0] if lead else ""
        rest = line.strip()[len(mark) :]
        if not rest.strip():
            lines.append("")
        else:
            bullet = "- " if mark[:1] in ("-", "+", "*") else mark
            lines.append(bullet + prose(p, rest))
    return "\n".join(lines)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown already."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def bullets(items: Iterable[str]) -> str:
    """A list of lines that are Markdown already."""
    return "\n".join(f"- {item}" for item in items)
