"""Freeze what an investigation rests on, and check it later against the frozen rows and the tables."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pyarrow as pa

from andon.errors import InputError, SeamError
from andon.incidents import Incident
from andon.investigations.evidence import MOST_ROWS, Check, checked, figures_from, plain_rows, sealed
from andon.investigations.records import Evidence, Investigation
from andon.investigations.run.case import Case, figures_of
from andon.investigations.usual import COST, USUAL_BEFORE, USUAL_SINCE, WATCHED
from andon.monitors.run import scope_of
from andon.store import Ledger, Lookup, Plan, Rollup, Sample, Warehouse, Where, from_json
from andon.traffic import SEGMENTS, VERSIONS
from andon.traffic.records import Erasure

__all__ = ["Frozen", "freeze", "freeze_open", "investigation_of", "keep_asked", "keep_usual", "recompute", "verify"]

FIELDS = frozenset((*SEGMENTS, *VERSIONS))
"""Columns whose values are parts of the traffic that an investigation speaks of."""

COMPARED = 1_000
"""Samples up to this size are copied out: examples, and questions that were compared."""


class Frozen(Warehouse):
    """A warehouse as it is now: rows of later commits are not there, and a plan that is asked twice is run once.

    So every figure of one investigation is of the same rows, whatever comes in meanwhile.
    """

    def __init__(self, warehouse: Warehouse) -> None:
        """Remember the newest commit of every table; nothing is copied."""
        self._of = warehouse
        self.upto = {table: warehouse.newest(table) for table in warehouse.tables()}
        self._answers: dict[Plan, pa.Table] = {}

    def run(self, plan: Plan) -> pa.Table:
        """Answer a plan from the rows that were committed when this began; look-ups by id find later versions too."""
        if plan in self._answers:
            return self._answers[plan]
        answer = self._of.run(_until(plan, self.upto.get(plan.table)))
        if answer.num_rows <= MOST_ROWS and not isinstance(plan, Lookup):
            self._answers[plan] = answer
        return answer

    def asked(self) -> list[tuple[Plan, int]]:
        """What was asked and has at most 2,000 rows, with the number of them, in order."""
        return [(plan, answer.num_rows) for plan, answer in self._answers.items()]

    def newest(self, table: str) -> int:
        """The newest commit that is seen."""
        return self.upto[table] if table in self.upto else self._of.newest(table)

    def tables(self) -> tuple[str, ...]:
        """Names of the tables, sorted."""
        return self._of.tables()

    def schema(self, table: str) -> pa.Schema:
        """Columns of a table as plans see them."""
        return self._of.schema(table)


def keep_asked(case: Case, warehouse: Frozen) -> None:
    """Keep what an investigation read by segment or version, and the samples that it compared, beside what it kept itself.

    Figures that are worked out of several answers (parts, slices, exposures, compared questions) can so be followed to
    them. Left out are lists of users and sessions, windows, and fields with a single value, which tell nothing.
    """
    kept = [from_json(e.plan) for e in case.evidence]
    read = [(p, rows) for p, rows in warehouse.asked() if p.table == "scores" and rows and p not in kept]
    counts = [
        (p, rows)
        for p, rows in read
        if isinstance(p, Rollup) and p.metrics == (case.signal.metric,) and p.window_us is None and p.keys
    ]
    split = {p.keys for p, rows in counts if rows > 1 and set(p.keys) <= FIELDS}
    told = [p for p, _ in counts if p.keys in split] + [p for p, _ in read if isinstance(p, Sample) and p.n <= COMPARED]
    for plan in told:
        case.keep(_claim(case, plan), plan, {})


def keep_usual(case: Case, *, cost: bool) -> None:
    """Keep what dashboards usually show before and since the onset, and (`cost`) what the harmed interactions cost.

    No question rests on these; documents show them beside the answers. Metrics that nobody measured are left out.
    """
    known = set(case.warehouse.schema("scores").names)
    people, watched = scope_of(case.signal), tuple(m for m in WATCHED if m in known)
    told = [(USUAL_BEFORE, watched, case.before, people), (USUAL_SINCE, watched, case.after, people)]
    if cost and "cost_usd" in known:
        told.append((COST, ("cost_usd",), case.after, (*people, case.harm)))
    for claim, metrics, span, where in told:
        plan = Rollup(table="scores", metrics=metrics, measures=("n", "w", "wsum"), span=span, where=where)
        figures = figures_of(case.warehouse, plan)
        case.keep(claim, plan, {k: v for k, v in figures.items() if figures.get(f"{k.rpartition('.')[0]}.n", 1)})


def _claim(case: Case, plan: Plan) -> str:
    where = getattr(plan, "where", ())
    other = any(w.column == case.signal.metric and w.op in ("ge", "lt") for w in where)
    what = "harmed interactions" if case.harm in where else "passing interactions" if other else "interactions"
    times = {case.before: "before the onset", case.after: "since the onset"}
    when = times.get(plan.span, "in a part of the time") if plan.span is not None else "at any time"
    if isinstance(plan, Sample):
        return f"seeded sample of up to {plan.n:,} {what} {when}"
    return f"{what} {when} by {', '.join(getattr(plan, 'keys', ()))}".replace("_", " ")


def freeze(warehouse: Frozen, evidence: Sequence[Evidence]) -> tuple[Evidence, ...]:
    """Each figure with the rows of its answer copied out, the newest commit that it saw, and a digest."""
    found = []
    for e in evidence:
        plan = from_json(e.plan)
        upto = None if isinstance(plan, Lookup) else warehouse.newest(plan.table)
        found.append(sealed(e, warehouse.run(plan).to_pylist(), upto))
    return tuple(found)


def freeze_open(
    ledger: Ledger, app: str | None, look: Callable[[Incident], object], since_us: Callable[[Incident], int]
) -> list[str]:
    """Look into every open incident of an application whose evidence is missing or old; call it before a lever is pulled.

    The newest comes first: a lever is rarely about another, and is not held up for long.

    Args:
        ledger: where incidents and investigations stand.
        app: whose lever is about to move; None where a lever belongs to none.
        look: investigates one incident.
        since_us: from when on evidence of an incident is fresh.

    Returns:
        Ids of the incidents that were looked into.

    Raises:
        Exception: one could not be looked into; all others are, and it says which.
    """
    concerned = [i for i in ledger.all(Incident) if app in (None, i.app) and i.state != "closed"]
    waiting = []
    for incident in sorted(concerned, key=lambda i: i.alarmed_us, reverse=True):
        known = ledger.latest(Investigation, incident.id)
        if known is None or known.at_us < since_us(incident):
            waiting.append(incident)
    failed: list[tuple[str, Exception]] = []
    for incident in waiting:
        try:
            look(incident)
        except Exception as error:  # whatever it is, the evidence of the others is not to be lost for it
            failed.append((incident.id, error))
    if failed:
        names, first = [name for name, _ in failed], failed[0][1]
        done = ", ".join(i.id for i in waiting if i.id not in names) or "no other"
        raise SeamError(f"{', '.join(names)}: {type(first).__name__}: {first} (frozen: {done})") from first
    return [i.id for i in waiting]


def investigation_of(ledger: Ledger, incident: Incident, version: int | None = None) -> tuple[Investigation, int]:
    """One version of an investigation and its number; the latest unless said. Version 1 was frozen when the incident opened.

    Raises:
        InputError: there is no such version, or none at all.
    """
    versions = ledger.history(Investigation, incident.id)
    if not versions:
        raise InputError(f"{incident.id} has no investigation yet; `andon investigate {incident.id}` makes one")
    wanted = len(versions) if version is None else version
    if not 1 <= wanted <= len(versions):
        raise InputError(f"{incident.id} has no version {wanted} of its investigation; there are 1 to {len(versions)}")
    return versions[wanted - 1].record, wanted


def verify(warehouse: Warehouse, ledger: Ledger, found: Investigation) -> tuple[Check, ...]:
    """Recompute every figure: the digest, the frozen rows, and the tables without what was committed later."""
    erased = any(e.at_us >= found.at_us for e in ledger.all(Erasure))
    return tuple(_verify(warehouse, e, erased) for e in found.evidence)


def recompute(warehouse: Warehouse, evidence: Evidence) -> dict[str, float]:
    """The figures of a piece of evidence from the tables as they are now, without rows that were committed later.

    Raises:
        InputError: the plan is not one of the five, or its table or columns are not there any more.
    """
    plan = _until(from_json(evidence.plan), evidence.upto)
    return figures_from(evidence.plan, plain_rows(warehouse.run(plan).to_pylist()))


def _verify(warehouse: Warehouse, evidence: Evidence, erased: bool) -> Check:
    try:
        plan = from_json(evidence.plan)
        bounded = _until(plan, evidence.upto)
        now = recompute(warehouse, evidence)
        if isinstance(plan, Lookup):
            return checked(evidence, now, late=None, gone=None, erased=erased)
        there, ever = _rows(warehouse, bounded), _rows(warehouse, plan)
        then = _then(evidence) if isinstance(plan, Rollup) else None
        gone = None if then is None else max(0, round(then) - there)
        why = "erased" if erased else "expired" if _older(warehouse, plan) else "expired, erased or measured anew"
        return checked(evidence, now, late=ever - there, gone=gone, why=why, erased=erased)
    except (InputError, TypeError) as error:  # a plan of a table or column that is not there any more
        return checked(evidence, None, late=None, gone=None, why=str(error), erased=erased)


def _then(evidence: Evidence) -> float | None:
    """How many rows fulfilled the plan then, by the frozen rows; by the figures where not all rows were frozen."""
    whole = len(evidence.rows) < MOST_ROWS
    return (figures_from(evidence.plan, evidence.rows) if whole else evidence.figures).get("rows")


def _rows(warehouse: Warehouse, plan: Plan) -> int:
    count = Rollup(table=plan.table, span=plan.span, where=getattr(plan, "where", ()))
    return int(warehouse.run(count)["rows"][0].as_py())


def _older(warehouse: Warehouse, plan: Plan) -> bool:
    """Whether the plan asks for a time before the oldest row of its table."""
    first = warehouse.run(Rollup(table=plan.table, metrics=("time_us",)))["time_us.min"][0].as_py()
    return plan.span is not None and (first is None or plan.span.start_us < first)


def _until(plan: Plan, upto: int | None) -> Plan:
    if upto is None or isinstance(plan, Lookup):
        return plan
    return replace(plan, where=(*plan.where, Where(column="seq", op="lt", value=upto + 1)))
