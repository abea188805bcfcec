"""Search over the postmortems in the ledger."""

import math
import time
from collections.abc import Callable, Sequence
from threading import Lock
from weakref import WeakKeyDictionary

from andon.incidents import Incident
from andon.postmortems.draft import plain
from andon.postmortems.markdown import render_markdown
from andon.postmortems.records import Postmortem, Review
from andon.postmortems.run.catalogue import catalogue_of
from andon.postmortems.run.review import Layouts, built_in_only, reviewed
from andon.postmortems.search import Found, Section, counted, plain_sections, search_sections
from andon.scores import Embedder
from andon.store import Ledger

__all__ = ["make_texts", "search_postmortems"]


def search_postmortems(
    ledger: Ledger,
    embedder: Embedder,
    query: str,
    *,
    failure: str | None = None,
    since_us: int = 0,
    most: int = 10,
    layouts: Layouts = built_in_only,
    within_s: float = math.inf,
) -> list[Found]:
    """Postmortems (as others see them) that fit words and meaning of a query, the best first.

    Args:
        ledger: where they are.
        embedder: texts to unit vectors.
        query: words, or a sentence.
        failure: only incidents of this failure type.
        since_us: only incidents alarmed since.
        most: how many at most.
        layouts: sources of a team's templates.
        within_s: for how long texts are made that no search has made yet, in seconds, those of the newest incidents first; of
            the others this search knows the title, the factors, the actions and what people wrote.

    Raises:
        InputError: the query has no word.
        SeamError: the embedder failed.
    """
    sources, until = _Sources(layouts), time.monotonic() + within_s
    changes, sections = catalogue_of(ledger).changes(), list[Section]()
    for incident, draft in _newest_first(ledger):
        if incident.alarmed_us >= since_us and failure in (None, incident.failure):
            sections += _sections(ledger, draft, changes(draft.id), sources, until=until)
    return search_sections(query, sections, embedder, most=most)


def make_texts(
    ledger: Ledger, layouts: Layouts = built_in_only, *, pause: Callable[[float], None] | None = None
) -> None:
    """Make the texts that no search has made yet, so that none has to wait for them; those of the newest incidents first.

    Args:
        ledger: where they are.
        layouts: sources of a team's templates.
        pause: called after each with how long it took, in seconds, by who works beside others.
    """
    sources, changes = _Sources(layouts), catalogue_of(ledger).changes()
    for _, draft in _newest_first(ledger):
        begun = time.monotonic()
        for section in _sections(ledger, draft, changes(draft.id), sources, until=math.inf):
            counted(section)
        if pause is not None:
            pause(time.monotonic() - begun)


def _newest_first(ledger: Ledger) -> list[tuple[Incident, Postmortem]]:
    """Drafts in short, each with its incident as it is now."""
    incidents = {i.id: i for i in ledger.all(Incident)}
    pairs = [(incidents.get(p.id, p.incident), p) for p in catalogue_of(ledger).drafts().values()]
    return sorted(pairs, key=lambda pair: (-pair[0].alarmed_us, pair[1].id))


class _Sources(dict[str, str]):
    """Sources of a team's templates, each read once."""

    def __init__(self, layouts: Layouts) -> None:
        super().__init__()
        self._layouts = layouts

    def __missing__(self, name: str) -> str:
        self[name] = self._layouts(name)
        return self[name]


_TEXTS: WeakKeyDictionary[Ledger, dict[str, tuple[int, str, tuple[Section, ...]]]] = WeakKeyDictionary()
"""Of each ledger, the sections of each postmortem: after how many changes, by which team's template, and the text."""

_LOCK = Lock()


def _sections(ledger: Ledger, short: Postmortem, changes: int, sources: _Sources, *, until: float) -> Sequence[Section]:
    with _LOCK:
        kept = _TEXTS.setdefault(ledger, {})
    review = ledger.get(Review, short.id)
    source = sources[review.template if review else "llm"]
    known = kept.get(short.id)
    if known is not None and known[:2] == (changes, source):
        return known[2]
    if time.monotonic() > until:
        return _in_short(short, review)
    p = reviewed(ledger, short.id, sources.__getitem__)
    found = tuple(plain_sections(p.id, render_markdown(p)))
    kept[short.id] = (changes, source, found)
    return found


def _in_short(p: Postmortem, review: Review | None) -> list[Section]:
    """What can be searched of a postmortem without making its text."""
    parts = {
        "title": p.incident.title,
        "Contributing factors": "\n".join(f.text for f in (*p.factors, *(review.factors if review else ()))),
        "Prevention": "\n".join(a.title for a in p.actions),
        **{s.section: s.text for s in (review.sections if review else ())},
    }
    return [Section(postmortem=p.id, name=name, text=plain(text)) for name, text in parts.items() if text]
