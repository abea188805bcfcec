"""A postmortem as one self-contained HTML page: no script, no request, readable on a phone, on paper and at night.

It is the Markdown of the same template, drawn inside a page: tables that fold on a phone, the control chart inline, an
anchor for each section and each piece of evidence.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import takewhile

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup, escape

from andon.monitors import draw_chart
from andon.monitors.drawing import NARROW, WIDTH
from andon.postmortems.blocks import EVIDENCE_HEAD
from andon.postmortems.draft import plain
from andon.postmortems.escaping import FOR_PEOPLE
from andon.postmortems.happened import moves
from andon.postmortems.markdown import render_markdown
from andon.postmortems.records import Postmortem

__all__ = ["CAPTION", "Body", "body_of", "draw_postmortem_chart", "render_html"]

_REF = re.compile(r"\[(E\d+)\]")
_LINK = re.compile(r"#[A-Za-z0-9_-]*|https?://[^\s]+|[A-Za-z0-9_.-]{1,80}-chart\.svg")
_ODDS = re.compile(r"[<>]? ?(\d{1,3}) %")
CAPTION = (
    "Grey band: what the rate may be while the baseline holds. Red points: above it. Amber: 95 % interval of the onset. "
    "Dashed: alarm, changes, levers, milestones."
)
TAKEN = frozenset(("chart", "main", "live", "nav", "keys", "keys-title", "once", "favicon"))
"""Names of other places of the page that the body stands in."""

MARKS = 8
"""Vertical lines on the chart."""

NEAR = 14
"""Lines nearer than this, in units of the drawing, are one line with one label: nobody could tell which label is whose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """The document without the page around it."""

    html: Markup
    """Elements without a style or a script of their own, so that a page with a strict policy can hold them."""
    contents: tuple[tuple[str, str], ...]
    """Its headings: (anchor, title)."""


def render_html(p: Postmortem) -> str:
    """The whole page, by the template of its review. No element or attribute comes from traffic.

    Raises:
        ConfigError: the team's own template cannot be read or fails.
    """
    body = body_of(p)
    title = plain(f"{p.incident.id}: {p.incident.title}"[:400])
    return _shell().render(title=title, body=body.html, contents=body.contents if len(body.contents) > 4 else ())


def body_of(p: Postmortem, markdown: str | None = None, *, under: bool = False) -> Body:
    """The document, by the template of its review, for a page that has its own frame. No element or attribute comes from traffic.

    Args:
        p: the postmortem.
        markdown: what `render_markdown` made of it, where that is known already.
        under: whether the page around it has a title of its own: all headings are one rank lower then.

    Raises:
        ConfigError: the team's own template cannot be read or fails.
    """
    tokens = _markdown().parse(render_markdown(p) if markdown is None else markdown)
    contents = _mark_up(tokens, p)
    for token in tokens if under else ():
        if token.type.startswith("heading_"):
            token.tag = f"h{min(6, int(token.tag[1]) + 1)}"
    html = _markdown().renderer.render(list(_scrolling(tokens)), _markdown().options, {})
    return Body(html=Markup(html), contents=tuple(contents))  # noqa: S704 - everything in it was made harmless


def draw_postmortem_chart(p: Postmortem, *, width: int = WIDTH) -> str:
    """The control chart of the leading signal with its marks, as SVG; empty where there is nothing to draw."""
    if not p.points:
        return ""
    i, span_us = p.incident, p.points[-1].end_us - p.points[0].start_us
    return draw_chart(
        p.points,
        title=plain(p.chart_title[:400]) or "control chart",
        marks=_together(_marks(p), span_us * NEAR // width),
        onset=(i.onset_low_us, i.onset_high_us),
        width=width,
    )


def _marks(p: Postmortem) -> list[tuple[int, str]]:
    """The alarm, the changes that explain it best, lever pulls and milestones; those that matter most, no two alike."""
    i = p.incident
    marks = [(i.alarmed_us, "alarm" if i.lead else "reported")]
    likely = [s for n, s in enumerate(p.investigation.suspects[:3]) if n == 0 or s.probability >= 0.05]
    marks += [(s.at_us, f"{s.kind} change") for s in likely if s.at_us is not None]
    told = {at for at, _ in marks}  # a promotion that explains it is a move of a lever as well
    marks += [m for m in moves(p) if m[0] not in told]
    ends = ((i.stabilised_us, "stabilised"), (i.fixed_us, "fixed"), (i.recovered_us, "recovered"))
    marks += [(at, word) for at, word in ends if at is not None]
    return list(dict.fromkeys(marks))[:MARKS]


def _together(marks: Sequence[tuple[int, str]], near_us: int) -> list[tuple[int, str]]:
    """The marks in order of time, those that follow each other within `near_us` as one at the time of the first."""
    found: list[tuple[int, str]] = []
    for at_us, word in sorted(marks, key=lambda mark: mark[0]):
        if found and at_us - found[-1][0] < near_us:
            words = dict.fromkeys((*found[-1][1].split(", "), word))
            found[-1] = found[-1][0], ", ".join(words)
        else:
            found.append((at_us, word))
    return found


def _mark_up(tokens: list[Token], p: Postmortem) -> list[tuple[str, str]]:
    """Give the tokens what a page needs beyond Markdown; returns the table of contents as (anchor, title)."""
    contents: list[tuple[str, str]] = []
    anchors: set[str] = set()
    for n, token in enumerate(tokens):
        if token.type == "heading_open" and token.tag == "h2":  # lower ones may quote names from traffic
            title = _words(tokens[n + 1])
            anchor = _anchor(title, anchors)
            token.attrSet("id", anchor)
            contents.append((anchor, title))
        elif token.type == "table_open":
            _mark_table(tokens, n, first=not contents)
        elif token.type == "paragraph_open":
            _mark_paragraph(tokens, n, p)
        elif token.type == "inline":
            _mark_references(token.children or [])
    return contents


def _scrolling(tokens: Sequence[Token]) -> Iterator[Token]:
    """The tokens with a box around each table, so that a wide one scrolls and the page does not."""
    for token in tokens:
        if token.type == "table_open":
            yield Token(
                "html_block", "", 0, content='<div class="scroll" tabindex="0" role="group" aria-label="table">\n'
            )
        yield token
        if token.type == "table_close":
            yield Token("html_block", "", 0, content="</div>\n")


def _words(token: Token) -> str:
    return "".join(c.content for c in token.children or [] if c.type in ("text", "code_inline"))


def _anchor(title: str, taken: set[str]) -> str:
    """A name for a heading: its letters and digits; never that of evidence, of a form, of the chart or of another heading."""
    word = "-".join(re.findall(r"[a-z0-9]+", title.lower()))[:60] or "section"
    anchor, n = f"s-{word}" if word in TAKEN or re.fullmatch(r"[ef]\d+", word) else word, 1
    while anchor in taken:
        n += 1
        anchor = f"{word}-{n}"
    taken.add(anchor)
    return anchor


def _mark_table(tokens: Sequence[Token], start: int, *, first: bool) -> None:
    """Name each cell after its column, for phones; draw the first table as tiles; anchor the rows of evidence."""
    head: list[str] = []
    rows = list(_rows(tokens, start))
    for opening, cells in rows:
        if not head:
            head = [_words(inline) for _, inline in cells]
            for cell, inline in cells:
                if not _words(inline):  # a head cell says what its column is
                    closing = next(n for n in range(start, len(tokens)) if tokens[n] is inline) + 1
                    cell.tag = tokens[closing].tag = "td"
            tokens[start].attrSet("class", _kind(head, len(rows), first=first))
            continue
        for column, (cell, inline) in enumerate(cells):
            name = head[column] if column < len(head) else ""
            cell.attrSet("data-label", name)
            odds = _ODDS.fullmatch(_words(inline).strip())
            if name == "probability" and odds:
                inline.children = [*(inline.children or []), _bar(min(100, int(odds[1])))]
        if tuple(head) == EVIDENCE_HEAD and cells and re.fullmatch(r"E\d+", _words(cells[0][1])):
            opening.attrSet("id", _words(cells[0][1]))


def _bar(share: int) -> Token:
    """A probability as a bar, beside its number."""
    drawn = (
        '<svg class="odds" viewBox="0 0 100 5" preserveAspectRatio="none" aria-hidden="true"><rect class="all" width="100" '
        f'height="5" rx="2"/><rect class="part" width="{max(2, share)}" height="5" rx="2"/></svg>'
    )
    return Token("html_inline", "", 0, content=drawn)


def _kind(head: Sequence[str], rows: int, *, first: bool) -> str:
    if first and rows == 2 and all(head):
        return "facts"
    if tuple(head) == EVIDENCE_HEAD:
        return "evidence"
    return "pairs" if list(head) == ["", ""] else "wide" if len(head) > 2 else "plain"


def _rows(tokens: Sequence[Token], start: int) -> Iterator[tuple[Token, list[tuple[Token, Token]]]]:
    """Rows of a table: (opening of the row, its cells as (opening, content))."""
    row: tuple[Token, list[tuple[Token, Token]]] | None = None
    for n in range(start, len(tokens)):
        token = tokens[n]
        if token.type == "table_close":
            return
        if token.type == "tr_open":
            row = (token, [])
        elif token.type in ("td_open", "th_open") and row is not None:
            row[1].append((token, tokens[n + 1]))
        elif token.type == "tr_close" and row is not None:
            yield row


def _mark_paragraph(tokens: list[Token], start: int, p: Postmortem) -> None:
    """A chart takes the place of its image, places for people are drawn as such, the lines under the title stand out."""
    inline = tokens[start + 1]
    children = inline.children or []
    if len(children) == 1 and children[0].type == "image" and str(children[0].attrGet("src")).endswith("-chart.svg"):
        wide, narrow = draw_postmortem_chart(p), draw_postmortem_chart(p, width=NARROW)
        caption = escape(plain(p.chart_title[:400]))
        html = (
            f'<figure id="chart"><div class="plot">{wide}</div><div class="plot phone">{narrow}</div>'
            f"<figcaption>{caption}. {CAPTION}</figcaption></figure>\n"
        )
        tokens[start] = Token("html_block", "", 0, content=html, block=True)
        inline.children, inline.content = [], ""
        tokens[start + 2].hidden = True
    elif inline.content.startswith(FOR_PEOPLE):
        tokens[start].attrSet("class", "people")
    elif start >= 3 and tokens[start - 1].type == "heading_close" and tokens[start - 1].tag == "h1":
        tokens[start].attrSet("class", "status")


def _mark_references(children: Sequence[Token]) -> None:
    """``[E3]`` leads to the row of that evidence."""
    for n, child in enumerate(children):
        if child.type == "link_open" and child.attrGet("href") == "#evidence":
            found = _REF.fullmatch("".join(c.content for c in takewhile(_inside, children[n + 1 :])))
            if found:
                child.attrSet("href", f"#{found[1]}")
                child.attrSet("class", "ref")


def _inside(token: Token) -> bool:
    return token.type != "link_close"


@cache
def _markdown() -> MarkdownIt:
    md = MarkdownIt("commonmark", {"html": False, "linkify": False, "typographer": False}).enable("table")
    md.validateLink = lambda url: _LINK.fullmatch(url) is not None  # type: ignore[method-assign]
    return md


@cache
def _shell() -> Template:
    env = Environment(
        loader=PackageLoader("andon.postmortems"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return env.get_template("page.html")
