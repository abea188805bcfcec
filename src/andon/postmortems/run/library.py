"""All postmortems as a list: what each is about, and what it taught."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from andon.incidents import Incident
from andon.postmortems.lessons import lesson_of
from andon.postmortems.records import Postmortem, Published, Review, Status
from andon.store import Ledger

__all__ = ["Entry", "entries_of", "lesson_in"]


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


def lesson_in(ledger: Ledger, incident_id: str) -> str:
    """What a postmortem taught, in a sentence, as others see it; empty where nothing is known."""
    done = ledger.get(Published, incident_id)
    if done is not None:
        return lesson_of(done.postmortem)
    draft = ledger.get(Postmortem, incident_id)
    if draft is None:
        return ""
    return lesson_of(replace(draft, review=ledger.get(Review, incident_id) or Review(id=incident_id)))
