"""Write a postmortem: the sections that are people's, with what the linter says as it is typed, and factors."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.responses import Response

from andon.errors import InputError, StateError
from andon.postmortems.lint import Finding, lint_text
from andon.postmortems.markdown import BUILT_IN, hints_of
from andon.postmortems.records import Review
from andon.postmortems.review import AREAS, add_factor, choose_template, digest_of, remove_factor
from andon.postmortems.run.documents import layout_of, team_templates, templates_beside
from andon.postmortems.run.review import change_review, people_write
from andon.postmortems.run.writing import Edit, save_sections, take_back, text_of
from andon.web.asking import Ask, Done, Page, Undo
from andon.web.pages.postmortems_read import Reading, layouts_of, reading, section_key
from andon.web.routing import Pages

__all__ = ["pages"]

pages = Pages()
MOST_LINTED = 30_000
"""Characters of a section that are read while somebody types."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One section on the page."""

    name: str
    """Of the field: which section, and the digest of the text that was read, so that nobody overwrites what they never saw."""
    section: str
    key: str
    hint: str
    text: str
    """What stands in the field."""
    theirs: str | None
    """What somebody else saved meanwhile at the same place; None where nobody did."""
    theirs_by: str
    by: str
    at_us: int | None
    findings: tuple[Finding, ...]
    anchor: str
    """Where the document tells what the record knows of it; empty where it does not."""

    @property
    def rows(self) -> int:
        """Lines that the field shows."""
        return min(24, max(4, sum(1 + len(line) // 90 for line in self.text.split("\n")) + 1))


@pages.read("/postmortems/{id}/edit", role="reviewer")
def edit(ask: Ask, id: str) -> Page:  # noqa: A002 - named so in the path
    """The sections that people write."""
    r = reading(ask, id)
    return Page(
        template="postmortems/edit.html",
        title=f"Write {id}",
        live=False,
        context={
            "r": r, "p": r.p, "i": r.p.incident, "fields": _fields(ask, r), "areas": AREAS, "templates": _templates(ask),
            "unasked": [s for s in r.p.review.sections if s.section not in people_write(r.p) and s.text],
        },
    )  # fmt: skip


@pages.act("/postmortems/{id}/edit", role="reviewer")
def save(ask: Ask, id: str) -> Done:  # noqa: A002
    """Keep what was written; where others wrote too, both, or both are shown."""
    r = reading(ask, id)
    edits = _edits(ask, r)
    if ask.maybe("do") == "check":
        found = sum(len(lint_text(e.text[:MOST_LINTED])) for e in edits)
        many = f"{found} place{'' if found == 1 else 's'} to look at, below the sections" if found else "nothing to say"
        raise InputError(f"checked, and not saved yet: {many}")
    saved = save_sections(ask.ledger, id, edits, now_us=ask.now_us, by=ask.by, layouts=layouts_of(ask))
    if saved.refused:
        what = "; ".join(f"{who} changed “{section}”" for section, who in saved.refused)
        kept = f" {_listed(saved.written)} is saved." if saved.written else ""
        raise StateError(
            f"{what} at the same place while you wrote.{kept} Theirs stands above yours: make one text of the two, and save again"
        )
    if not saved.written:
        return Done(to=f"/postmortems/{id}", said="Nothing was changed.")
    merged = f" {_listed(saved.merged)} holds what somebody else wrote meanwhile as well." if saved.merged else ""
    undo = Undo(
        action=f"/postmortems/{id}/edit/undo",
        fields={"before": str(saved.before), "sections": "\n".join(saved.written)},
    )
    to = f"/postmortems/{id}/edit" if ask.maybe("do") == "stay" else f"/postmortems/{id}"
    return Done(
        to=to, said=f"Saved: {', '.join(saved.written)}.{merged} Sign-offs of the earlier text have lapsed.", undo=undo
    )


@pages.act("/postmortems/{id}/edit/undo", role="reviewer")
def unsave(ask: Ask, id: str) -> Done:  # noqa: A002
    """Let sections say what they said before."""
    before = ask.given("before", "the version")
    if not (before.isdecimal() and len(before) < 10):
        raise InputError(f"{before[:20]!r} is no version")
    names = take_back(ask.ledger, id, ask.given("sections").split("\n"), int(before), now_us=ask.now_us, by=ask.by)
    return Done(
        to=f"/postmortems/{id}", said=f"Taken back: {', '.join(names)}." if names else "Nothing was to be taken back."
    )


@pages.act("/postmortems/{id}/lint", role="reviewer")
def lint(ask: Ask, id: str) -> Response:  # noqa: A002, ARG001
    """What the linter says of a text, for the script that asks while somebody types; nothing is kept."""
    text = ask.form.get("text", "").replace("\r\n", "\n")[:MOST_LINTED]
    found = [
        {
            "rule": f.rule,
            "line": f.line,
            "column": f.column,
            "end": f.end,
            "text": f.text,
            "why": f.why,
            "rewrite": f.rewrite,
        }
        for f in lint_text(text)
    ]
    return Response(
        orjson.dumps({"findings": found}), media_type="application/json", headers={"cache-control": "no-store"}
    )


@pages.act("/postmortems/{id}/factors", role="reviewer")
def factor(ask: Ask, id: str) -> Done:  # noqa: A002
    """Add a contributing factor that the record cannot show."""
    area, text = ask.given("area", "the area"), " ".join(ask.given("text", "the factor").split())
    _change(ask, id, lambda r: add_factor(r, area, text))
    undo = Undo(action=f"/postmortems/{id}/factors/remove", fields={"area": area, "text": text})
    return Done(
        to=f"/postmortems/{id}/edit#factors", said="Added. Sign-offs of the earlier text have lapsed.", undo=undo
    )


@pages.act("/postmortems/{id}/factors/remove", role="reviewer")
def no_factor(ask: Ask, id: str) -> Done:  # noqa: A002
    """Remove a factor that people added."""
    area, text = ask.given("area", "the area"), ask.given("text", "the factor")
    _change(ask, id, lambda r: remove_factor(r, area, text))
    undo = Undo(action=f"/postmortems/{id}/factors", fields={"area": area, "text": text})
    return Done(to=f"/postmortems/{id}/edit#factors", said="Removed.", undo=undo)


@pages.act("/postmortems/{id}/template", role="reviewer")
def template(ask: Ask, id: str) -> Done:  # noqa: A002
    """Choose another template; what people wrote stays."""
    name = ask.given("template", "the template")
    layout_of(name, templates_beside(ask.site.settings.config))  # refused where there is none of this name
    before = reading(ask, id).p.review.template
    _change(ask, id, lambda r: choose_template(r, name))
    undo = Undo(action=f"/postmortems/{id}/template", fields={"template": before})
    return Done(to=f"/postmortems/{id}/edit", said=f"{id} is written by the template {name}.", undo=undo)


def _fields(ask: Ask, r: Reading) -> list[Field]:
    """The sections in their order, with what was typed where it was refused."""
    review = r.p.review
    hints = hints_of(review.template if r.p.layout or review.template in BUILT_IN else "llm", r.p.layout)
    anchors = {title: anchor for anchor, title in r.shelf.body(r.p).contents}
    typed = _typed(ask.wrong.form) if ask.wrong is not None and ask.wrong.action.endswith("/edit") else {}
    return [_field(review, name, hint, typed, anchors.get(name, "")) for name, hint in hints.items()]


def _field(review: Review, section: str, hint: str, typed: Mapping[str, tuple[str, str]], anchor: str) -> Field:
    now = text_of(review, section)
    last = next((s for s in reversed(review.sections) if s.section == section), None)
    read, mine = typed.get(section_key(section), (digest_of(now), now))
    refused = read != digest_of(now) and mine.strip() != now and section_key(section) in typed
    text = mine if refused or read == digest_of(now) else now
    return Field(
        name=f"t-{section_key(section)}-{digest_of(now)}",
        section=section,
        key=section_key(section),
        hint=hint,
        text=text,
        theirs=now if refused else None,
        theirs_by=last.by if last else "somebody",
        by=last.by if last else "",
        at_us=last.at_us if last else None,
        findings=lint_text(text[:MOST_LINTED]),
        anchor=anchor,
    )


def _edits(ask: Ask, r: Reading) -> list[Edit]:
    asked = {section_key(s): s for s in people_write(r.p)}
    edits = []
    for key, (read, text) in _typed(ask.form).items():
        if key not in asked:
            raise StateError(
                "somebody chose another template meanwhile, which has other sections: copy your text, and load the page anew"
            )
        edits.append(Edit(section=asked[key], text=text, read=read))
    return edits


def _typed(form: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Key of a section -> (digest of the text that was read, what was typed)."""
    found = {}
    for name, value in form.items():
        head, _, rest = name.partition("-")
        key, _, read = rest.partition("-")
        if head == "t" and key and len(read) == 64:
            found[key] = (read, value.replace("\r\n", "\n").strip())
    return found


def _templates(ask: Ask) -> dict[str, str]:
    """Name of each template -> what it is for."""
    own = {name: f"{name}: your own" for name in team_templates(templates_beside(ask.site.settings.config))}
    return {name: f"{name}: {about}" for name, about in BUILT_IN.items()} | own


def _listed(names: Any) -> str:
    return ", ".join(f"“{n}”" for n in names)


def _change(ask: Ask, name: str, change: Any) -> Review:
    return change_review(ask.ledger, name, change, now_us=ask.now_us, by=ask.by)
