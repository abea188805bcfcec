"""Answer the four questions of an incident from the tables and the change log, and keep the evidence."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from andon.errors import StateError
from andon.incidents import Incident
from andon.incidents.run import signals_of
from andon.investigations.disproof import Ask
from andon.investigations.records import Impact, Investigation
from andon.investigations.run.analyses import analyses_of, look_at
from andon.investigations.run.case import Case
from andon.investigations.run.changed import changes_near, suspects_of, traffic_of
from andon.investigations.run.disproof import run_tests
from andon.investigations.run.evidence import Frozen, freeze, keep_asked, keep_usual
from andon.investigations.run.expected import confidence_split, examples_of, harmed_interactions, passing_beside
from andon.investigations.run.late import first_alarms, gap_of
from andon.investigations.run.reported import Lens, counted, lens_of
from andon.investigations.run.spread import impact_of, parts_of, slices_of, totals, verdict_of
from andon.investigations.scope import Verdict, rank_parts
from andon.monitors import TRAFFIC, Objective, Signal
from andon.monitors.verdicts import percent
from andon.scores import SCORERS, Embedder, Scorer
from andon.store import Ledger, Span, Warehouse
from andon.traffic import Interaction

__all__ = ["investigate", "lead_of"]


def investigate(
    warehouse: Warehouse,
    ledger: Ledger,
    incident: Incident,
    embedder: Embedder,
    *,
    now_us: int,
    rng: np.random.Generator,
    scorers: Sequence[Scorer] = SCORERS,
    objectives: Sequence[Objective] = (),
    ask: Ask | None = None,
) -> Investigation:
    """Answer the four questions with what was known at `now_us`, and record the answer.

    All figures are of the rows that were committed when it began. Where data are missing the answer says so; it never raises
    for them. An incident that a person reported is looked at by the metric on which the reported interaction fails.

    Args:
        warehouse: the tables.
        ledger: changes, signals and reports; the answer is written to it.
        incident: what is looked into.
        embedder: compares questions.
        now_us: data up to here are used.
        rng: draws permutations.
        scorers: what is measured.
        objectives: the limits that stand.
        ask: asks an old and a new target; None where there are none.

    Raises:
        StateError: the ledger holds no leading signal of this incident.
    """
    frozen, signals = Frozen(warehouse), signals_of(ledger, incident)
    lead, lens = _lead(frozen, ledger, incident, signals, scorers, now_us)
    case, opener = _case(frozen, incident, lead, lens, now_us), _opener(incident, signals, lead)
    verdict, reason, impact = _verdict(case, lens, objectives, _named(signals, incident.lead) or lead)
    slices, harmed, reported = slices_of(case), harmed_interactions(case), _reported(lens)
    examples, looked = examples_of(case, harmed, slices, reported), look_at(case)
    changes = changes_near(case, ledger, opener)
    suspects = suspects_of(case, changes, traffic_of(case, embedder, rng), opener, signals)
    found = Investigation(
        id=incident.id,
        at_us=now_us,
        examples=examples,
        passing=passing_beside(case, [i for i, _ in (*harmed, *reported)], examples, embedder),
        confidence=confidence_split(case),
        suspects=run_tests(case, suspects, changes, looked, ask=ask, embedder=embedder),
        verdict=verdict,
        verdict_reason=reason,
        parts=rank_parts(parts_of(case)),
        slices=slices,
        impact=impact,
        first_alarms=first_alarms(signals),
        gap=gap_of(case, ledger, incident, signals, harmed, scorers, slices, _asked_at(reported)),
        analyses=analyses_of(case, signals, changes, looked, objectives=objectives),
    )
    keep_asked(case, frozen)
    if lens is None:
        keep_usual(case, cost=incident.metric != TRAFFIC)
    return _kept(ledger, replace(found, evidence=freeze(frozen, case.evidence)))


def _kept(ledger: Ledger, found: Investigation) -> Investigation:
    ledger.put(found, now_us=found.at_us, by="andon")
    return found


def _named(signals: Sequence[Signal], signal_id: str) -> Signal | None:
    return next((s for s in signals if s.id == signal_id), None)


def _asked_at(reported: Sequence[tuple[Interaction, float]]) -> int | None:
    """When the reported interaction came; None where none is named."""
    return reported[0][0].time_us if reported else None


def _reported(lens: Lens | None) -> list[tuple[Interaction, float]]:
    """The interaction that a person complained of, with the value of the metric by which it is looked at."""
    return [] if lens is None or lens.interaction is None else [(lens.interaction, lens.value or 0.0)]


def _opener(incident: Incident, signals: Sequence[Signal], lead: Signal) -> Signal:
    """The signal that dated the onset."""
    when = (incident.alarmed_us, incident.onset_us)
    return next((s for s in signals if (s.at_us, s.onset_us) == when), lead)


def _verdict(
    case: Case, lens: Lens | None, objectives: Sequence[Objective], chart: Signal
) -> tuple[Verdict, str, Impact]:
    """Isolated or systematic, why, and who was hit; `chart` is the leading signal as it was raised."""
    lead = case.signal
    x1, n1, x2, n2, x3, n3 = totals(case)
    x0, n0 = (x1, n1) if n1 or lens is not None or chart.metric == TRAFFIC else (lead.baseline_x, lead.baseline_n)
    verdict, reason = verdict_of(case, x0, n0, x2, n2, objectives)
    if lens is not None and lens.missing:
        verdict = "undecided" if lens.interaction is None else verdict  # nothing says what similar interactions are
        reason = f"{lens.missing}; {reason}"
    if chart.metric == TRAFFIC:
        verdict = "undecided" if verdict == "isolated" else verdict  # few errors among few people do not clear the rest
        reason = (
            f"{chart.x:,} of {chart.n:,} usual interactions did not come until the alarm ({percent(chart.rate)}), and nothing "
            f"can be read from those; of those who came since the onset {reason}"
        )
    return verdict, reason, impact_of(case, x0 / n0 if n0 else 0.0, x2, n2, lately=x3 / n3 if n3 else None)


def lead_of(
    warehouse: Warehouse, ledger: Ledger, incident: Incident, scorers: Sequence[Scorer] = SCORERS, *, now_us: int
) -> Signal:
    """The leading signal of an incident; of a reported one what stands in its place.

    Raises:
        StateError: the ledger holds no leading signal of this incident.
    """
    return _lead(warehouse, ledger, incident, signals_of(ledger, incident), scorers, now_us)[0]


def _lead(
    warehouse: Warehouse,
    ledger: Ledger,
    incident: Incident,
    signals: Sequence[Signal],
    scorers: Sequence[Scorer],
    now_us: int,
) -> tuple[Signal, Lens | None]:
    if not incident.lead:
        lens = lens_of(warehouse, ledger, incident, scorers, now_us=now_us)
        return lens.signal, lens
    lead = _named(signals, incident.lead)
    if lead is None:
        raise StateError(
            f"{incident.id} has no signal {incident.lead!r} in the ledger, so there is nothing to look into"
        )
    if lead.metric == TRAFFIC:  # what did not come has no rows: what came is looked into, by whether it failed
        lead = replace(lead, metric="error", direction="up", kind="binary", aspect="", cut=None)
        case = _case(warehouse, incident, lead, None, now_us)
        lead = counted(warehouse, lead, case.before, case.after)
    return lead, None


def _case(warehouse: Warehouse, incident: Incident, lead: Signal, lens: Lens | None, now_us: int) -> Case:
    """The affected traffic: from the baseline to the onset, and since."""
    if lens is not None:
        before = Span(start_us=lead.baseline_from_us, end_us=lead.baseline_to_us)
        return Case(warehouse, lead, before, Span(start_us=lead.onset_us, end_us=max(now_us, lead.onset_us + 1)))
    before = Span(start_us=lead.baseline_from_us, end_us=max(incident.onset_low_us, lead.baseline_from_us + 1))
    return Case(warehouse, lead, before, Span(start_us=incident.onset_us, end_us=now_us))
