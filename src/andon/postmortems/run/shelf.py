"""Postmortems as they are read again and again: what was worked out of one is kept for as long as nothing in it changes."""

import threading
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from andon.postmortems.html import Body, body_of
from andon.postmortems.markdown import render_markdown, signed_text
from andon.postmortems.records import Postmortem
from andon.postmortems.review import Standing, digest_of, standing_of
from andon.postmortems.run.review import people_write
from andon.store import Ledger

__all__ = ["Shelf", "shelf_of"]

MOST = 500
"""Postmortems that are kept; those that were not read for the longest time go first."""


@dataclass(slots=True)
class _Kept:
    """What was worked out of a postmortem."""

    p: Postmortem
    markdown: str = ""
    body: Body | None = None
    digest: str = ""


class Shelf:
    """Documents of postmortems, made once for each state of them. Threads share it."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, bool], _Kept] = {}
        self._lock = threading.Lock()

    def markdown(self, p: Postmortem) -> str:
        """`render_markdown`."""
        kept = self._of(p)
        if not kept.markdown:
            kept.markdown = render_markdown(p)
        return kept.markdown

    def body(self, p: Postmortem) -> Body:
        """`body_of`, for a page with a title of its own."""
        kept = self._of(p)
        if kept.body is None:
            kept.body = body_of(p, self.markdown(p), under=True)
        return kept.body

    def digest(self, p: Postmortem) -> str:
        """`digest_of` its `signed_text`: what a sign-off is of."""
        kept = self._of(p)
        if not kept.digest:
            kept.digest = digest_of(signed_text(p))
        return kept.digest

    def standing(self, p: Postmortem) -> Standing:
        """Where the review of this text stands, as `run.review.stand` says it."""
        required = people_write(p)
        return standing_of(p.review, digest=self.digest(p), severity=p.incident.severity, required=required)

    def _of(self, p: Postmortem) -> _Kept:
        """What is kept of this very state; comparing is quick where the parts are the same objects."""
        key = (p.id, p.published_us is not None)
        with self._lock:
            kept = self._kept.pop(key, None)
            if kept is None or (kept.p is not p and kept.p != p):
                kept = _Kept(p)
            self._kept[key] = kept
            while len(self._kept) > MOST:
                self._kept.pop(next(iter(self._kept)))
            return kept


_SHELVES: WeakKeyDictionary[Ledger, Shelf] = WeakKeyDictionary()
_LOCK = threading.Lock()


def shelf_of(ledger: Ledger) -> Shelf:
    """The shelf of a ledger, for as long as that is open."""
    with _LOCK:
        return _SHELVES.setdefault(ledger, Shelf())
