"""Answer the four questions of an incident from the tables and the change log, and keep the evidence."""

from dataclasses import replace

import numpy as np

from andon.errors import InputError, StateError
from andon.incidents import Incident
from andon.incidents.run import signals_of
from andon.investigations.records import Evidence, Investigation
from andon.investigations.run.case import Case, figures_of
from andon.investigations.run.changed import suspects_of, traffic_of
from andon.investigations.run.expected import examples_of, harmed_interactions
from andon.investigations.run.late import first_alarms, gap_of
from andon.investigations.run.spread import impact_of, parts_of, totals
from andon.investigations.scope import isolated_or_systematic, rank_parts
from andon.monitors import TRAFFIC
from andon.scores import Embedder
from andon.store import Ledger, Rollup, Span, Warehouse, from_json

__all__ = ["investigate", "recompute"]


def investigate(
    warehouse: Warehouse,
    ledger: Ledger,
    incident: Incident,
    embedder: Embedder,
    *,
    now_us: int,
    rng: np.random.Generator,
) -> Investigation:
    """Answer the four questions with what was known at `now_us`, and record the answer.

    Where data are missing the answer says so (``undecided``, no examples, "too few questions"); it never raises for them.

    Raises:
        StateError: the ledger holds no leading signal of this incident.
    """
    signals = signals_of(ledger, incident)
    lead = next((s for s in signals if s.id == incident.lead), None)
    if lead is None:
        raise StateError(
            f"{incident.id} has no signal {incident.lead!r} in the ledger, so there is nothing to look into"
        )
    if lead.metric == TRAFFIC:  # what did not come has no rows: what came is looked into, by whether it failed
        lead = replace(lead, metric="error", direction="up", kind="binary")
    before = Span(start_us=lead.baseline_from_us, end_us=max(incident.onset_low_us, lead.baseline_from_us + 1))
    case = Case(warehouse, lead, before, Span(start_us=incident.onset_us, end_us=now_us))
    opener = next((s for s in signals if (s.at_us, s.onset_us) == (incident.alarmed_us, incident.onset_us)), lead)
    x1, n1, x2, n2, x3, n3 = totals(case)
    x0, n0 = (x1, n1) if n1 else (lead.baseline_x, lead.baseline_n)
    unit = case.unit()
    verdict, reason = isolated_or_systematic(round(x2 / unit), round(n2 / unit), (x0 / unit + 0.5) / (n0 / unit + 1))
    harmed = harmed_interactions(case)
    traffic = traffic_of(case, embedder, rng)
    found = Investigation(
        id=incident.id,
        at_us=now_us,
        examples=examples_of(case, harmed),
        suspects=suspects_of(case, ledger, traffic, opener),
        verdict=verdict,
        verdict_reason=reason,
        parts=rank_parts(parts_of(case)),
        impact=impact_of(case, x0 / n0 if n0 else 0.0, x2, n2, lately=x3 / n3 if n3 else None),
        first_alarms=first_alarms(signals),
        gap=gap_of(incident, lead),
        evidence=tuple(case.evidence),
    )
    ledger.put(found, now_us=now_us, by="andon")
    return found


def recompute(warehouse: Warehouse, evidence: Evidence) -> dict[str, float]:
    """Run the plan of a piece of evidence again; the figures must be the same.

    Raises:
        InputError: the plan is not one of the five, or is not a roll-up.
    """
    plan = from_json(evidence.plan)
    if not isinstance(plan, Rollup):
        raise InputError(f"evidence {evidence.id} holds a {type(plan).__name__}; only roll-ups carry figures")
    return figures_of(warehouse, plan)
