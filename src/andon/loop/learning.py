"""What the incidents taught, with what only later stages know: pulls of levers, golden cases, and the runs that these failed."""

from andon.evals.run import runs_with
from andon.golden import Case
from andon.levers import Pull
from andon.levers.proofs import catches
from andon.postmortems.learning import Agenda, Learned
from andon.postmortems.run.learning import learn_from
from andon.postmortems.run.review import Layouts, built_in_only
from andon.store import Ledger

__all__ = ["learned_so_far"]


def learned_so_far(
    ledger: Ledger, *, now_us: int, since_us: int = 0, layouts: Layouts = built_in_only
) -> tuple[Learned, tuple[Agenda, ...]]:
    """What the incidents since a time taught, and what is unresolved.

    Args:
        ledger: where everything is.
        now_us: the clock.
        since_us: since when.
        layouts: sources of a team's templates.
    """
    cases = ledger.all(Case)
    pulls: dict[str, list[int]] = {}
    for pull in ledger.all(Pull):
        pulls.setdefault(pull.incident or "", []).append(pull.at_us)
    counts: dict[str, int] = {}
    for case in cases:
        counts[case.incident or ""] = counts.get(case.incident or "", 0) + 1
    return learn_from(
        ledger,
        now_us=now_us,
        since_us=since_us,
        pulls=pulls,
        cases=counts,
        catches=catches(cases, runs_with(ledger, {c.id for c in cases if c.incident})),
        layouts=layouts,
    )
