"""Read all incidents, actions and reviews, and say what they teach."""

from collections.abc import Mapping, Sequence

from andon.incidents import Incident
from andon.postmortems.draft import named_suspects
from andon.postmortems.learning import Agenda, Learned, agenda_of, learn
from andon.postmortems.records import Published
from andon.postmortems.review import empty_sections
from andon.postmortems.run.actions import commitments_of
from andon.postmortems.run.review import Layouts, built_in_only, in_short, people_write
from andon.store import Ledger

__all__ = ["learn_from"]


def learn_from(
    ledger: Ledger,
    *,
    now_us: int,
    since_us: int = 0,
    pulls: Mapping[str, Sequence[int]],
    cases: Mapping[str, int],
    catches: Mapping[str, int],
    layouts: Layouts = built_in_only,
) -> tuple[Learned, tuple[Agenda, ...]]:
    """What the incidents since a time taught, and what is unresolved.

    What later stages know is passed in: when levers were pulled for an incident, how many golden cases came of it, and in
    how many eval runs these caught something.
    """
    incidents = ledger.all(Incident)
    commitments = commitments_of(ledger)
    drafts = in_short(ledger, layouts)
    named = {p.id: named_suspects(p.incident, p.investigation) for p in drafts.values()}
    learned = learn(
        incidents,
        commitments,
        now_us=now_us,
        since_us=since_us,
        pulls=pulls,
        kinds={name: found[0].kind for name, found in named.items() if found},
        cases=cases,
        catches=catches,
    )
    agenda = agenda_of(
        [i for i in incidents if i.alarmed_us >= since_us or i.closed_us is None],  # what goes on is never too old
        drafts,
        {name: empty_sections(p.review, people_write(p)) for name, p in drafts.items()},
        commitments,
        learned.recurrences,
        published=[p.id for p in ledger.all(Published)],
        now_us=now_us,
    )
    return learned, agenda
