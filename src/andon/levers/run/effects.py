"""Measure what pulls did, and tell the timelines of their incidents."""

from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from andon.changes.run import changes_of
from andon.errors import InputError
from andon.incidents import Incident, TimelineEvent
from andon.incidents.run import timeline_of
from andon.incidents.run.timeline import event
from andon.incidents.words import exactly
from andon.levers.effects import (
    MOST_ROWS,
    Counted,
    Grouped,
    Seen,
    Waits,
    design_effects,
    due,
    effect_entry,
    effect_of,
    effective_entry,
    ended_us_of,
    final,
    holds_together,
    incident_of,
    lately_ended,
    next_us,
    others_of,
    seen_of,
    worth_telling,
)
from andon.levers.pulls import turn
from andon.levers.records import Effect, FirstRead, Lever, Pull
from andon.monitors import TRAFFIC, Signal
from andon.monitors.run import harm_of, missing_of, scope_of
from andon.store import Ledger, Rollup, Span, Warehouse

__all__ = ["Measured", "measure_effects", "tell_effective", "waits_for"]

TELLING = 1.05
"""A design effect below this is not worth a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one turn measured."""

    effects: tuple[Effect, ...] = ()
    """What was written."""
    retold: tuple[str, ...] = ()
    """Incidents whose timelines have a new entry: the drafts of their postmortems are behind."""


def measure_effects(warehouse: Warehouse, ledger: Ledger, now_us: int) -> Measured:
    """Measure every pull that is about an incident and whose time has come (`due`).

    What is counted is what the leading signal of the incident counts. The timeline of an incident that is not closed is told
    of a hold that lasts once there is enough to tell, and of how it ended; and when an application first read it.

    Raises:
        StoreError: the store refused.
    """
    pulls: dict[str, list[Pull]] = defaultdict(list)
    for pull in ledger.all(Pull):
        pulls[pull.lever].append(pull)
    lately = [p for of_lever in pulls.values() for p in of_lever if lately_ended(p, now_us)]
    if not lately:
        return Measured()
    known: dict[str, list[Effect]] = defaultdict(list)
    for effect in ledger.all(Effect):
        known[effect.pull].append(effect)
    levers, incidents = {x.id: x for x in ledger.all(Lever)}, ledger.all(Incident)
    effects: list[Effect] = []
    retold: dict[str, None] = {}
    for pull in sorted(lately, key=turn):
        if any(final(e, ended_us_of(pull, now_us)) for e in known[pull.id]):
            continue
        incident = incident_of(pull, levers[pull.lever], incidents)
        if incident is not None:
            together = holds_together(pull, pulls[pull.lever])
            new, told = _measure(warehouse, ledger, incident, together, known[pull.id], now_us)
            effects += [] if new is None else [new]
            retold |= {incident.id: None} if told else {}
    return Measured(effects=tuple(effects), retold=tuple(retold))


def waits_for(ledger: Ledger, pull: Pull, now_us: int) -> Waits:
    """What the next measurement of a hold that lasts waits for (`measure_effects`).

    Raises:
        StoreError: the ledger failed.
    """
    lever = ledger.get(Lever, pull.lever)
    incident = None if lever is None else incident_of(pull, lever, ledger.all(Incident))
    if incident is None:
        return Waits(us=None, why="it answers no incident, so there is no harm to measure it by")
    lead = ledger.get(Signal, incident.lead) if incident.lead else None
    if lead is None:
        return Waits(
            us=None, why=f"people reported {incident.id} and no chart saw it, so nothing measures what it does"
        )
    together = holds_together(pull, [p for p in ledger.all(Pull) if p.lever == pull.lever])
    reads = [r for p in together if (r := ledger.get(FirstRead, p.id)) is not None and r.by_application]
    seen = seen_of(incident, together, reads[0].at_us if reads else None, now_us)
    known = ledger.get(Effect, f"{pull.id}:{lead.metric}")
    since = "it was first read" if seen.read else "the pull"
    window = exactly(lead.window_us)
    why = (
        f"a window of the chart ({window}) after {since}" if known is None else "once it has lasted half as long again"
    )
    return Waits(us=next_us(known, seen, lead.window_us), why=why)


def tell_effective(
    ledger: Ledger, incident: Incident, pull: Pull, read: FirstRead, now_us: int
) -> TimelineEvent | None:
    """Tell the timeline of an incident when a pull was first read; a closed one grows no more."""
    if incident.state == "closed":
        return None
    said = effective_entry(pull, read, incident)
    return event(ledger, incident, read.at_us, max(now_us, read.at_us), "lever", said)


def _measure(
    warehouse: Warehouse, ledger: Ledger, incident: Incident, together: list[Pull], known: list[Effect], now_us: int
) -> tuple[Effect | None, bool]:
    """The effect if it was measured now, and whether the timeline was told of it."""
    pull, ended_us = together[-1], ended_us_of(together[-1], now_us)
    read_us = _first_read(ledger, incident, together, now_us)
    lead = ledger.get(Signal, incident.lead) if incident.lead else None
    if lead is None:
        if ended_us is not None and incident.state != "closed":
            event(ledger, incident, ended_us, ended_us, "lever", effect_entry(pull.lever, None, last=True))
        return None, False
    seen = seen_of(incident, together, read_us, now_us)
    last = next((e for e in known if e.metric == lead.metric), None)
    if not due(last, seen, ended_us=ended_us, window_us=lead.window_us, now_us=now_us):
        return None, False
    changes = changes_of(ledger, incident.app, incident.environment, seen.from_us, seen.until_us)
    before, after, problem, beside = Counted(x=0, n=0), Counted(x=0, n=0), "", ""
    try:
        if lead.metric == TRAFFIC:
            before, after = _silent(warehouse, lead, seen)
        else:
            before, after, beside = _harmed(warehouse, lead, seen)
    except InputError as error:  # a metric that is not measured any more
        problem = str(error)
    others = others_of(changes, together, seen)
    effect = effect_of(pull, lead, seen, before, after, others, now_us=now_us, problem=problem, beside=beside)
    over = final(effect, ended_us)
    fresh = over or (worth_telling(effect, pull) and not (last is not None and worth_telling(last, pull)))
    told = fresh and _tell(ledger, incident, pull, effect, over=over, now_us=now_us)
    ledger.put(effect, now_us=now_us, by="andon")
    return effect, told


def _first_read(ledger: Ledger, incident: Incident, together: list[Pull], now_us: int) -> int | None:
    """When an application first read one of the pulls of a hold; the timeline is told, should that have been cut off."""
    for pull in together:
        read = ledger.get(FirstRead, pull.id)
        if read is not None:
            if pull is together[0]:
                tell_effective(ledger, incident, pull, read, now_us)
            if read.by_application:
                return read.at_us
    return None


def _tell(ledger: Ledger, incident: Incident, pull: Pull, effect: Effect, *, over: bool, now_us: int) -> bool:
    """Tell a timeline of an effect; before the effect is written, so that a crash in between tells it no second time."""
    if incident.state == "closed":
        return False
    begins = effect_entry(pull.lever, effect, last=over).partition(": ")[0] + ": "
    told = (e for e in timeline_of(ledger, incident, hidden=True) if e.kind == "lever" and e.text.startswith(begins))
    since_us = effect.until_us if over else pull.at_us
    if not any(since_us <= e.happened_us <= effect.until_us for e in told):
        event(ledger, incident, effect.until_us, now_us, "lever", effect_entry(pull.lever, effect, last=over))
    return True


def _harmed(warehouse: Warehouse, lead: Signal, seen: Seen) -> tuple[Counted, Counted, str]:
    """Interactions of the part of the traffic that a signal is about, and those of them that its chart counts as harm.

    With the design effect of users, and what there is to say of it.
    """
    where = scope_of(lead)
    counts, weights, rows = [], [], 0
    spans = [
        Span(start_us=start, end_us=end)
        for start, end in ((seen.from_us, seen.pulled_us), (seen.since_us, seen.until_us))
    ]
    for span in spans:
        total = Rollup(table="scores", metrics=(lead.metric, "weight"), span=span, where=where)
        harmed = Rollup(table="scores", metrics=(lead.metric,), span=span, where=(*where, harm_of(lead)))
        (all_,), (bad,) = (warehouse.run(plan).to_pylist() for plan in (total, harmed))
        weights.append(all_["weight.max"] or 0.0)
        counts.append((bad[f"{lead.metric}.w"] or 0.0, all_[f"{lead.metric}.w"] or 0.0))
        rows += all_[f"{lead.metric}.n"] or 0
    unit = max(weights) or 1.0
    before, after = (Counted(x=round(min(x, n) / unit), n=round(n / unit)) for x, n in counts)
    if min(before.n, after.n) == 0:
        return before, after, ""
    if rows > MOST_ROWS:
        return before, after, f"of {rows:,} interactions each counts by itself, whoever made it"
    for key, whose in (("user_id", "user"), ("session_id", "session")):
        sides = [_grouped(warehouse, lead, span, key) for span in spans]
        if any(known for _, known in sides):
            each = design_effects(*(grouped for grouped, _ in sides))
            before, after = (replace(c, each=e) for c, e in zip((before, after), each, strict=True))
            if max(each) < TELLING:
                return before, after, ""
            as_many = f"{before.n / before.each:,.0f} and {after.n / after.each:,.0f}"
            return before, after, f"answers to one {whose} resemble each other, so these count as {as_many}"
    return before, after, "users are not known, so each interaction counts by itself"


def _grouped(warehouse: Warehouse, lead: Signal, span: Span, key: str) -> tuple[Grouped, bool]:
    """The sums of one stretch over users or sessions, and whether any is known; one without counts as a user of its own."""
    where, count = scope_of(lead), f"{lead.metric}.n"
    plan = Rollup(table="scores", metrics=(lead.metric,), measures=("n",), keys=(key,), span=span, where=where)
    total, bad = warehouse.run(plan), warehouse.run(replace(plan, where=(*where, harm_of(lead))))
    n, x = _numbers(total[count]), np.zeros(len(total))
    places = pc.index_in(bad[key], value_set=total[key])
    there = places.is_valid()  # rows that came between the two plans may be of another user
    x[places.filter(there).to_numpy()] = _numbers(bad[count].filter(there))
    x = np.minimum(x, n)
    nobody, somebody = total[key].is_null().to_numpy(), total[key].is_valid().to_numpy() & (n > 0)
    x0, n0, x, n = x[nobody].sum(), n[nobody].sum(), x[somebody], n[somebody]
    sums = (n0 + len(n), x0 + x.sum(), n0 + n.sum(), x0 + x @ x, n0 + n @ n, x0 + x @ n)
    return Grouped(*(float(s) for s in sums)), len(n) > 0


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    return np.asarray(column.to_numpy(), dtype=np.float64)


def _silent(warehouse: Warehouse, lead: Signal, seen: Seen) -> tuple[Counted, Counted]:
    """What usually comes within whole windows of the chart, and how much of it did not."""
    width = lead.window_us
    counts = []
    for start_us, end_us in ((seen.from_us, seen.pulled_us), (seen.since_us, seen.until_us)):
        start, end = -(-start_us // width) * width, end_us // width * width
        x, n = missing_of(warehouse, lead, start_us=start, end_us=end) if start < end else (0, 0)
        counts.append(Counted(x=x, n=n))
    return counts[0], counts[1]
