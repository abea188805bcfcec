"""Search over the postmortems in the ledger."""

from andon.incidents import Incident
from andon.postmortems.run.review import Layouts, all_reviewed, built_in_only
from andon.postmortems.run.shelf import shelf_of
from andon.postmortems.search import Found, Section, search_sections
from andon.scores import Embedder
from andon.store import Ledger

__all__ = ["search_postmortems"]


def search_postmortems(
    ledger: Ledger,
    embedder: Embedder,
    query: str,
    *,
    failure: str | None = None,
    since_us: int = 0,
    most: int = 10,
    layouts: Layouts = built_in_only,
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

    Raises:
        InputError: the query has no word.
        SeamError: the embedder failed.
    """
    incidents = {i.id: i for i in ledger.all(Incident)}
    shelf = shelf_of(ledger)
    sections: list[Section] = []
    for p in all_reviewed(ledger, layouts).values():
        incident = incidents.get(p.id, p.incident)
        if incident.alarmed_us >= since_us and failure in (None, incident.failure):
            sections += shelf.sections(p)
    return search_sections(query, sections, embedder, most=most)
