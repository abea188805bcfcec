"""Find the incidents that are like one: by the signature of the failure, and by what people wrote."""

from collections.abc import Callable, Sequence

from andon.incidents.records import Incident, Report, TimelineEvent
from andon.incidents.related import Related, related, shares, signature_of
from andon.scores import Embedder
from andon.store import Ledger

__all__ = ["MOST_KINDS", "related_to", "texts_of"]

MOST_KINDS = 20
"""Incidents whose likeliest change is looked up: an investigation is a large record."""


def related_to(
    ledger: Ledger,
    incident: Incident,
    embedder: Embedder,
    *,
    kind_of: Callable[[Incident], str | None] = lambda _: None,
    most: int = 5,
    most_texts: int = 10_000,
) -> tuple[Related, ...]:
    """The incidents that are like this one, the most alike first (`andon.incidents.related.related`).

    Args:
        ledger: incidents, reports and timelines.
        incident: the one that is asked about.
        embedder: makes vectors of what people wrote.
        kind_of: kind of the likeliest change of an incident, which a later stage knows; asked of `MOST_KINDS` incidents at most,
            the newest of those that are alike in anything else.
        most: how many are returned at most.
        most_texts: of so many incidents, the newest, what people wrote is compared.
    """
    incidents = ledger.all(Incident)
    texts = texts_of(ledger, incidents)
    if len(texts) > most_texts:
        newest = sorted((i for i in incidents if i.id in texts), key=lambda i: i.alarmed_us, reverse=True)[:most_texts]
        texts = {name: texts[name] for name in (incident.id, *(i.id for i in newest)) if name in texts}
    ids = sorted(texts) if incident.id in texts else []
    vectors = dict(zip(ids, embedder.embed([texts[i] for i in ids]), strict=True)) if ids else {}
    ours = signature_of(incident)
    near = [i for i in incidents if i.id in texts or shares(ours, i)]  # the kind of change alone is not enough
    newest = sorted(near, key=lambda i: i.alarmed_us, reverse=True)[:MOST_KINDS]
    kinds = {i.id: kind for i in (incident, *newest) if (kind := kind_of(i))}
    return related(incident, near, kinds=kinds, vectors=vectors, most=most)


def texts_of(ledger: Ledger, incidents: Sequence[Incident]) -> dict[str, str]:
    """What people wrote about incidents: reports, notes, and why they were closed.

    Titles are left out: they are made of metric and scope, which the signature holds, in words that all of them share.
    """
    found: dict[str, list[str]] = {}
    for report in ledger.all(Report):
        found.setdefault(report.incident, []).append(report.text)
    for entry in ledger.all(TimelineEvent):
        if entry.kind == "note":
            found.setdefault(entry.incident, []).append(entry.text)
    for incident in incidents:
        if incident.closed_why:
            found.setdefault(incident.id, []).append(incident.closed_why)
    return {i: "\n".join(texts) for i, texts in found.items() if any(t.strip() for t in texts)}
