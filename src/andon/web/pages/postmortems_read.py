"""One postmortem: read it, talk about it, sign it, publish it, take it along."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.responses import Response

from andon.errors import StateError
from andon.incidents import Incident
from andon.postmortems.exports import aiid_of, article_73_of, avid_of, awareness_of, organisation_of
from andon.postmortems.html import draw_postmortem_chart, render_html
from andon.postmortems.markdown import signed_text
from andon.postmortems.merging import compare_lines
from andon.postmortems.records import Postmortem, Published, Review
from andon.postmortems.review import (
    Standing,
    answer,
    ask_for_review,
    digest_of,
    remark,
    reopen,
    stands_by,
    unsign,
    vouching,
    withdraw,
    wrote,
)
from andon.postmortems.run import review as stage
from andon.postmortems.run.documents import layouts_beside
from andon.postmortems.run.shelf import Shelf, shelf_of
from andon.web.asking import Ask, Done, Gone, Page, Undo
from andon.web.routing import Pages
from andon.web.site import Errand
from andon.web.tables import Column, Table

__all__ = ["Reading", "errands_about", "layouts_of", "pages", "reading", "section_key"]

pages = Pages()
TEXTS = ("draft", "published", "changes")
_DOCUMENT = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A postmortem with where its review stands."""

    p: Postmortem
    """The text as it is now, published or not."""
    published: Published | None
    standing: Standing
    shelf: Shelf

    @property
    def same(self) -> bool:
        """Whether the published text is the one of now."""
        return self.published is not None and self.published.digest == self.standing.digest


@pages.read("/postmortems/{id}")
def read(ask: Ask, id: str) -> Page:  # noqa: A002 - named so in the path
    """The document, and beside it what is missing before others may see it."""
    r = reading(ask, id)
    editions = stage.editions(ask.ledger, id) if r.published else []
    text = _text(ask, r)
    number = (
        int(n) if (n := ask.query.get("edition", "")).isdecimal() and len(n) < 6 and 0 < int(n) <= len(editions) else 0
    )
    shown = (
        editions[number - 1].record.postmortem
        if number
        else r.published.postmortem
        if text == "published" and r.published
        else r.p
    )
    changes = (
        compare_lines(signed_text(r.published.postmortem), signed_text(r.p))
        if text == "changes" and r.published
        else []
    )
    return Page(
        template="postmortems/read.html",
        title=f"Postmortem {id}",
        tables=[_comments(r.p.review), _editions(editions)],
        markdown=lambda: r.shelf.markdown(shown),
        context={
            "r": r, "p": shown, "i": shown.incident, "text": text, "edition": number, "editions": editions, "changes": changes,
            "body": None if changes else r.shelf.body(shown), "wrote": wrote(r.p.review, ask.by), "errand": errands_about(ask, id, "redraft"),
            "signed": stands_by(r.p.review, ask.by, r.standing.digest),
            "key_of": section_key,
            "now": not number and (text == "draft" or r.same),
        },
    )  # fmt: skip


@pages.read("/postmortems/{id}/document")
def document(ask: Ask, id: str) -> Response:  # noqa: A002
    """The self-contained page, as it is sent to others: no frame, no script, its own styles."""
    p = _as_asked(ask, id)
    headers = {"content-security-policy": _DOCUMENT, "cache-control": "no-store", "x-content-type-options": "nosniff"}
    return Response(render_html(p), headers=headers, media_type="text/html; charset=utf-8")


@pages.read("/postmortems/{id}/files/{name}")
def download(ask: Ask, id: str, name: str) -> Response:  # noqa: A002
    """The document, or what is made of it for others, as a file."""
    p = _as_asked(ask, id)
    made = _FILES.get(name)
    if made is None:
        raise Gone(
            f"There is no file {name[:60]!r}; there are {', '.join(_FILES)}", f"/postmortems/{id}", f"Postmortem {id}"
        )
    text, kind = made(ask, p)
    if not text:
        raise Gone(f"{id} has no control chart: people reported it", f"/postmortems/{id}", f"Postmortem {id}")
    headers = {
        "content-disposition": f'attachment; filename="{p.id}{"-" if name[0] != "." else ""}{name}"', "cache-control": "no-store",
        "content-security-policy": "default-src 'none'; sandbox", "x-content-type-options": "nosniff",
    }  # fmt: skip
    return Response(text, headers=headers, media_type=kind)


@pages.act("/postmortems/{id}/comments", role="reviewer")
def comment(ask: Ask, id: str) -> Done:  # noqa: A002
    """Comment; nothing is published before somebody has answered."""
    text = ask.given("text", "the comment")
    made = _change(ask, id, lambda r: remark(r, text, by=ask.by, at_us=ask.now_us)).comments[-1]
    undo = Undo(action=f"/postmortems/{id}/comments/{made.id}/withdraw")
    return Done(to=f"/postmortems/{id}#comments", said=f"{made.id} waits for an answer.", undo=undo)


@pages.act("/postmortems/{id}/comments/{name}/resolve", role="reviewer")
def resolve(ask: Ask, id: str, name: str) -> Done:  # noqa: A002
    """Answer a comment, which resolves it."""
    text = ask.given("answer", "the answer")
    _change(ask, id, lambda r: answer(r, name, text, by=ask.by))
    undo = Undo(action=f"/postmortems/{id}/comments/{name}/reopen")
    return Done(to=f"/postmortems/{id}#comments", said=f"{name} is resolved.", undo=undo)


@pages.act("/postmortems/{id}/comments/{name}/reopen", role="reviewer")
def open_again(ask: Ask, id: str, name: str) -> Done:  # noqa: A002
    """Let a comment be open again."""
    _change(ask, id, lambda r: reopen(r, name))
    return Done(to=f"/postmortems/{id}#comments", said=f"{name} is open again.")


@pages.act("/postmortems/{id}/comments/{name}/withdraw", role="reviewer")
def take_comment_back(ask: Ask, id: str, name: str) -> Done:  # noqa: A002
    """Take one's own comment back."""
    _change(ask, id, lambda r: withdraw(r, name, by=ask.by))
    return Done(to=f"/postmortems/{id}#comments", said=f"{name} is withdrawn.")


@pages.act("/postmortems/{id}/request", role="reviewer")
def request(ask: Ask, id: str) -> Done:  # noqa: A002
    """Ask others to read it."""
    _change(ask, id, ask_for_review)
    return Done(to=f"/postmortems/{id}", said=f"{id} is in review.")


@pages.act("/postmortems/{id}/sign", role="reviewer")
def sign(ask: Ask, id: str) -> Done:  # noqa: A002
    """Stand by the text that was read."""
    stage.sign_postmortem(
        ask.ledger,
        id,
        now_us=ask.now_us,
        by=ask.by,
        layouts=layouts_of(ask),
        read=ask.given("read", "the text that you read"),
    )
    return Done(to=f"/postmortems/{id}", said="You stand by this text.", undo=Undo(action=f"/postmortems/{id}/unsign"))


@pages.act("/postmortems/{id}/unsign", role="reviewer")
def take_signature_back(ask: Ask, id: str) -> Done:  # noqa: A002
    """Take one's own sign-off back."""
    _change(ask, id, lambda r: unsign(r, by=ask.by))
    return Done(to=f"/postmortems/{id}", said="Your sign-off is taken back.")


@pages.act("/postmortems/{id}/publish", role="reviewer")
def publish(ask: Ask, id: str) -> Done:  # noqa: A002
    """Publish the text of now."""
    _same_text(ask, id)
    stage.publish(ask.ledger, id, now_us=ask.now_us, by=ask.by, layouts=layouts_of(ask))
    return Done(to=f"/postmortems/{id}", said=f"{id} is published. It stays as it is, whatever is computed later.")


@pages.act("/postmortems/{id}/amend", role="reviewer")
def amend(ask: Ask, id: str) -> Done:  # noqa: A002
    """Publish the text of now in place of the one that is published."""
    why = ask.given("why", "the reason")
    _same_text(ask, id)
    stage.amend(ask.ledger, id, why, now_us=ask.now_us, by=ask.by, layouts=layouts_of(ask))
    return Done(to=f"/postmortems/{id}", said=f"{id} is amended; the earlier version is kept.")


@pages.act("/postmortems/{id}/redraft", role="reviewer")
def redraft(ask: Ask, id: str) -> Done:  # noqa: A002
    """Have the computed part drafted anew."""
    reading(ask, id)
    ask.site.errands.ask("redraft", by=ask.by, incident=id)
    return Done(
        to=f"/postmortems/{id}", said="It is drafted anew from the latest investigation; what people wrote stays."
    )


def reading(ask: Ask, name: str) -> Reading:
    """The postmortem of an incident as it is now.

    Raises:
        Gone: there is none.
    """
    incident = ask.ledger.get(Incident, name)
    if incident is None:
        raise Gone(f"There is no incident {name[:60]!r}, so no postmortem of it", "/postmortems", "All postmortems")
    if ask.ledger.get(Postmortem, name) is None:
        raise Gone(
            f"{name} has no draft yet; it gets one when it is investigated", f"/incidents/{name}", f"Incident {name}"
        )
    p, shelf = stage.working(ask.ledger, name, layouts_of(ask)), shelf_of(ask.ledger)
    return Reading(p=p, published=ask.ledger.get(Published, name), standing=shelf.standing(p), shelf=shelf)


def layouts_of(ask: Ask) -> stage.Layouts:
    """Sources of the team's own templates."""
    return layouts_beside(ask.site.settings.config)


def section_key(section: str) -> str:
    """A section as names of fields and anchors carry it: the same for the same name, whatever is in that."""
    return digest_of(section)[:12]


def errands_about(ask: Ask, name: str, *verbs: str) -> Errand | None:
    """The newest errand of these verbs about something."""
    return next((e for e in ask.site.errands.all() if e.about == name and e.what in verbs), None)


def _text(ask: Ask, r: Reading) -> str:
    """Which text is shown: the published one, unless it is asked for otherwise."""
    asked = ask.query.get("text", "")
    if r.published is None or (asked not in TEXTS and ask.query.get("edition")):
        return "draft"
    return asked if asked in TEXTS else "published"


def _as_asked(ask: Ask, name: str) -> Postmortem:
    r = reading(ask, name)
    return r.published.postmortem if r.published is not None and ask.query.get("text") != "draft" else r.p


def _same_text(ask: Ask, name: str) -> None:
    """Refuse where the text is not the one that was read.

    Raises:
        StateError: it has changed meanwhile.
    """
    if reading(ask, name).standing.digest != ask.given("read", "the text that you read"):
        raise StateError(f"the text of {name} has changed since you read it; read it again first")


def _change(ask: Ask, name: str, change: Callable[[Review], Review]) -> Review:
    return stage.change_review(ask.ledger, name, change, now_us=ask.now_us, by=ask.by)


def _organisation(ask: Ask) -> dict[str, str]:
    return organisation_of(ask.site.settings.tables, ask.site.settings.config)


def _article(ask: Ask, p: Postmortem) -> str:
    aware_us, how = awareness_of(p.incident)
    return article_73_of(p, _organisation(ask), aware_us=aware_us, kind="general", now_us=ask.now_us, how=how)


def _json(record: Any) -> str:
    return orjson.dumps(record, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


_FILES: Mapping[str, Callable[[Ask, Postmortem], tuple[str, str]]] = {
    ".md": lambda ask, p: (shelf_of(ask.ledger).markdown(p), "text/markdown; charset=utf-8"),
    ".html": lambda _, p: (render_html(p), "text/html; charset=utf-8"),
    "chart.svg": lambda _, p: (draw_postmortem_chart(p), "image/svg+xml"),
    "avid.json": lambda ask, p: (_json(avid_of(p, _organisation(ask))), "application/json"),
    "aiid.json": lambda ask, p: (_json(aiid_of(p, _organisation(ask))), "application/json"),
    "article-73.md": lambda ask, p: (_article(ask, p), "text/markdown; charset=utf-8"),
}


def _comments(review: Review) -> Table:
    columns = (
        Column(key="comment", title="comment", kind="code"), Column(key="by", title="by"), Column(key="at", title="when", kind="time"),
        Column(key="text", title="", kind="long"), Column(key="answer", title="answer", kind="long"),
        Column(key="resolved_by", title="resolved by"),
    )  # fmt: skip
    rows = [
        {
            "comment": c.id,
            "by": c.by,
            "at": c.at_us,
            "text": c.text,
            "answer": c.answer or None,
            "resolved_by": c.resolved_by or None,
        }
        for c in review.comments
    ]
    return Table(name="comments", title="Comments", columns=columns, rows=rows, empty="No comment.")


def _editions(editions: Any) -> Table:
    columns = (
        Column(key="version", title="version", kind="number"), Column(key="at", title="published", kind="time"),
        Column(key="by", title="by"), Column(key="signed", title="signed by"), Column(key="why", title="why", wide=True),
        Column(key="digest", title="text", kind="code"),
    )  # fmt: skip
    rows = [
        {
            "version": e.version, "at": e.record.at_us, "by": e.record.by, "signed": ", ".join(signers_of(e.record)),
            "why": e.record.why or "first published", "digest": e.record.digest[:12],
        }
        for e in editions
    ]  # fmt: skip
    return Table(
        name="editions", title="What was published", columns=columns, rows=rows, empty="It was never published."
    )


def signers_of(published: Published) -> list[str]:
    """Who signed what was published and wrote none of it."""
    return [s.by for s in vouching(published.postmortem.review, published.digest)]
