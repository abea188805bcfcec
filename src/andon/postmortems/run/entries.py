"""All postmortems as a list: what each is about, and what it taught."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from andon.incidents import Incident
from andon.postmortems.lessons import lesson_of
from andon.postmortems.records import Postmortem, Published, Review, Status
from andon.postmortems.run.catalogue import catalogue_of
from andon.store import Ledger

__all__ = ["Entry", "entries_of", "lessons_in"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One postmortem in the list."""

    incident: Incident
    status: Status
    published: bool
    """Whether others see a version that people signed."""


def entries_of(ledger: Ledger, *, status: str = "", ids: Collection[str] | None = None) -> list[Entry]:
    """Postmortems, the one of the newest incident first; the documents themselves are not read.

    Args:
        ledger: where they are.
        status: ``draft``, ``in review``, ``published`` (amended ones too); empty for all.
        ids: only those of these incidents.
    """
    incidents = {i.id: i for i in ledger.all(Incident)}
    reviews = {r.id: r.status for r in ledger.all(Review)}
    out = {name for _, name in ledger.ids(Published)}
    found = []
    for _, name in ledger.ids(Postmortem):
        incident, stands = incidents.get(name), reviews.get(name, "draft")
        if incident is None or (ids is not None and name not in ids):
            continue
        word = "published" if stands == "amended" else stands
        if not status or word == status:
            found.append(Entry(incident=incident, status=stands, published=name in out))
    return sorted(found, key=lambda e: (-e.incident.alarmed_us, e.incident.id))


def lessons_in(ledger: Ledger, ids: Collection[str]) -> dict[str, str]:
    """What postmortems taught, each in a sentence, as others see them; an empty text where nothing is known."""
    known = catalogue_of(ledger)
    published, drafts = known.published(ids), known.drafts(ids)
    found = {}
    for name in ids:
        draft = drafts.get(name)
        if name in published:
            found[name] = lesson_of(published[name])
        elif draft is not None:
            found[name] = lesson_of(replace(draft, review=ledger.get(Review, name) or Review(id=name)))
    return found
