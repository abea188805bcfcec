"""Pure decisions: Andon's answers to the items of a runbook, from values that were read. Each is yes, no or cannot tell."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from andon.changes import KINDS, Change
from andon.incidents.records import Incident, Recovery
from andon.incidents.recovery import holds_of
from andon.incidents.words import duration, one_line, phrase_of, scope_text
from andon.monitors import Signal
from andon.monitors.records import TRAFFIC
from andon.monitors.shift import TrafficShift
from andon.monitors.verdicts import percent
from andon.stats import clopper_pearson
from andon.traffic import VERSIONS
from andon.traffic.clock import minute_text

__all__ = [
    "KINDS_OF",
    "Answer",
    "QueryType",
    "acked_answer",
    "after_answer",
    "changes_answer",
    "criteria_answer",
    "evidence_answer",
    "fields_of",
    "goes_on_answer",
    "held_answer",
    "mitigated_us",
    "queries_answer",
    "recent_text",
    "sample_answer",
    "shift_answer",
]

_RETRIEVAL = ("index", "corpus", "embedding model")
_NAMED = ("model", "provider", *_RETRIEVAL, "prompt", "policy")

KINDS_OF = {
    "model-changes": ("model", "provider"),
    "retrieval-changes": _RETRIEVAL,
    "prompt-changes": ("prompt", "policy"),
    "other-changes": tuple(k for k in KINDS if k not in (*_NAMED, "lever", "traffic source")),
}
"""Kinds of changes by the answer that lists them; levers and the traffic have answers of their own."""

HOUR_US = 3_600_000_000

SHOWN = 4
"""Changes, types of queries and columns that a sentence names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the data say to an item."""

    found: Literal["yes", "no", "cannot tell"]
    text: str
    link: str = ""
    """Where it can be seen, where that is not the same for every incident."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryType:
    """Questions of one type since the onset."""

    name: str | None
    """None: those that carry no type."""
    n: int
    harmed: int | None
    """None where no chart says which are harmed."""


def fields_of(answer: str) -> dict[str, str]:
    """The fields of traffic in which changes of these kinds show by themselves, and the kind of each."""
    return {field: kind for field, kind in VERSIONS.items() if kind in KINDS_OF[answer]}


def changes_answer(
    answer: str, changes: Sequence[Change], *, onset_us: int, carried: Sequence[str], recorded: bool, span: str
) -> Answer:
    """Whether something of these kinds changed.

    A log without an entry proves something only where an entry would have been made: ``no`` needs traffic that carries the
    version, or somebody who recorded such changes before.

    Args:
        answer: a key of `KINDS_OF`.
        changes: all changes of the application in the time that is asked about.
        onset_us: best estimate of the onset, which the sentence refers to.
        carried: kinds of which traffic carries the version, so that a new one would have shown by itself.
        recorded: whether a person or a pipeline ever recorded a change of these kinds.
        span: that time in words.
    """
    kinds = KINDS_OF[answer]
    found = sorted((c for c in changes if c.kind in kinds), key=lambda c: (abs(c.at_us - onset_us), c.id))
    if found:
        told = [f"{c.kind}: {one_line(c.title, 100)} ({_from_onset(c.at_us, onset_us)})" for c in found[:SHOWN]]
        more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        return Answer(found="yes", text=f"{len(found)} {span}: {'; '.join(told)}{more}")
    what = "another kind" if answer == "other-changes" else _listed(kinds)
    text = f"no change of {what} is in the log {span}"
    if answer == "other-changes" or not carried:
        if recorded:
            return Answer(found="no", text=f"{text}, to which such changes were recorded before")
        silent = "" if answer == "other-changes" else ", and traffic does not say which version it saw"
        return Answer(found="cannot tell", text=f"{text}, but nobody has recorded one yet{silent}")
    text += f"; traffic carries {_listed([k for k in kinds if k in carried], 'and')}, so a new version would have shown"
    missing = [k for k in kinds if k not in carried]
    return Answer(
        found="no", text=f"{text}; of {_listed(missing, 'and')} only what is recorded is known" if missing else text
    )


def _listed(words: Sequence[str], last: str = "or") -> str:
    return f" {last} ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _from_onset(at_us: int, onset_us: int) -> str:
    side = "before" if at_us <= onset_us else "after"
    return f"{duration(abs(onset_us - at_us) / 1e6)} {side} the onset"


def sample_answer(lead: Signal | None, x: int, n: int, span: str) -> Answer:
    """Whether the rate of harm in a fresh sample is above the baseline, by exact 95 % intervals of both.

    ``yes``: they do not overlap. ``no``: the rate is one that the baseline may have, and surely not the one of the alarm.

    Args:
        lead: the leading signal; None where no chart measured the incident.
        x: harmed interactions of the sample, in the units of the chart.
        n: interactions of the sample.
        span: where the sample is from, in words.

    Source: Clopper & Pearson, Biometrika 26 (1934), 404-413 (`andon.stats.clopper_pearson`).
    """
    if lead is None:
        return Answer(found="cannot tell", text="no chart has measured this incident, so there is no baseline")
    if n == 0:
        return Answer(found="cannot tell", text=f"no interaction in {scope_text(lead.scope)} {span}")
    low, high = clopper_pearson(min(x, n), n)
    exact = clopper_pearson(lead.baseline_x, lead.baseline_n)[1]
    usual_high = lead.baseline_rate if lead.objective else exact
    what = (
        "interactions that usually come and did not"
        if lead.metric == TRAFFIC
        else phrase_of(lead.metric, lead.direction)
    )
    usual = "the objective" if lead.objective else f"{lead.baseline_x:,} of {lead.baseline_n:,} in the baseline"
    text = (
        f"{what} in {scope_text(lead.scope)}: {x:,} of {n:,} {span} ({percent(x / n)}, interval {percent(low)} to "
        f"{percent(high)}) against {percent(lead.baseline_rate)} ({usual})"
    )
    if low > usual_high:
        return Answer(found="yes", text=text)
    if high < lead.rate and x / n <= usual_high:
        return Answer(found="no", text=text)
    return Answer(found="cannot tell", text=f"{text}: too few to tell the two apart")


def recent_text(start_us: int, end_us: int) -> str:
    """The time from which is read whether harm goes on, in words: an hour, or more where windows are long."""
    long_us = end_us - start_us
    return f"in the {'hour' if long_us == HOUR_US else duration(long_us / 1e6)} before {minute_text(end_us)} UTC"


def goes_on_answer(goes_on: bool | None, lead: Signal | None, span: str) -> Answer:
    """Whether harm is seen now, by the leading chart's own limits (`goes_on`); `span` is the time that was read, in words."""
    if lead is None:
        return Answer(found="cannot tell", text="no chart has measured this incident; people say whether it goes on")
    where = f"the chart of {phrase_of(lead.metric, lead.direction)} in {scope_text(lead.scope)}"
    if lead.metric == TRAFFIC:
        where = f"traffic in {scope_text(lead.scope)}"
    if goes_on is None:
        return Answer(found="cannot tell", text=f"{where}: no traffic {span}, or too little to tell")
    side = "outside its limits" if goes_on else "back inside its limits"
    return Answer(found="yes" if goes_on else "no", text=f"{where} is {side} {span}")


def mitigated_us(incident: Incident, changes: Sequence[Change]) -> int | None:
    """When a lever was last held since the onset, or harm last stopped by what people say; None where neither was."""
    held = [h.at_us for h in holds_of(changes, incident.onset_low_us)]
    return max([*held, *(t for t in (incident.stabilised_us, incident.fixed_us) if t is not None)], default=None)


def after_answer(now: Answer, done_us: int | None, start_us: int, end_us: int) -> Answer:
    """Whether harm still goes on after it was mitigated.

    Args:
        now: whether it goes on (`goes_on_answer`).
        done_us: when it was mitigated (`mitigated_us`).
        start_us: start of the traffic that was looked at.
        end_us: its end.
    """
    if done_us is None:
        return Answer(found="cannot tell", text="not asked yet: nothing was mitigated")
    text = f"{now.text}; mitigated at {minute_text(done_us)} UTC"
    if done_us >= end_us or (now.found == "yes" and done_us > start_us):
        before = "all" if done_us >= end_us else "some"
        return Answer(found="cannot tell", text=f"{text}, and {before} of that traffic came before")
    return replace(now, text=text)


def shift_answer(found: TrafficShift | None, span: str) -> Answer:
    """Whether the traffic itself shifted, from a comparison (None: there was nothing to compare)."""
    if found is None or not (found.columns or found.grown):
        why = "" if found is None else f": {'; '.join(found.untold[:SHOWN])}"
        return Answer(found="cannot tell", text=f"too little traffic {span}{why}")
    if not found.shifted:
        tested = sum(c.test != "number" for c in found.columns)
        return Answer(found="no", text=f"no shift is evident {span} ({tested} tests, corrected for their number)")
    moved = [c.sentence for c in found.columns if c.shifted and c.test != "number"]
    moved += [
        f"{'new' if g.new else 'more'}: {one_line(g.name, 80)} ({percent(g.before / g.before_all)} -> "
        f"{percent(g.after / g.after_all)} of the questions)"
        for g in found.grown
    ]
    more = f"; and {len(moved) - SHOWN} more" if len(moved) > SHOWN else ""
    return Answer(found="yes", text=f"{span}: {'; '.join(moved[:SHOWN])}{more}")


def held_answer(changes: Sequence[Change]) -> Answer:
    """Whether a lever is held, by the changes that pulls and their ends are (`holds_of`)."""
    holds = holds_of(changes, 0)
    held = [h for h in holds if h.ended_us is None]
    if held:
        told = [f"{one_line(h.text, 100)} by {one_line(h.by)}" for h in held[:SHOWN]]
        more = f"; and {len(held) - SHOWN} more" if len(held) > SHOWN else ""
        return Answer(found="yes", text=f"{'; '.join(told)}{more}")
    return Answer(found="no", text=f"nothing is held now; holds of this application's levers until now: {len(holds)}")


def acked_answer(incident: Incident) -> Answer:
    """Whether somebody said that they are at it."""
    if incident.acked_us is None:
        return Answer(found="no", text="nobody has said so yet")
    after = duration(max(0, incident.acked_us - incident.alarmed_us) / 1e6)
    return Answer(found="yes", text=f"{one_line(incident.acked_by or 'somebody')} said so {after} after the alarm")


def evidence_answer(frozen_us: Sequence[int], changes: Sequence[Change], since_us: int) -> Answer:
    """Whether evidence was frozen, and before the first lever was pulled.

    Args:
        frozen_us: until when each version of the investigation knew, the first one first.
        changes: of the application; a pull is one.
        since_us: earliest onset; what was pulled before cannot have changed what is asked about.
    """
    if not frozen_us:
        return Answer(found="no", text="nothing is frozen yet")
    first = f"version 1 holds what was known at {minute_text(frozen_us[0])} UTC"
    latest = f", version {len(frozen_us)} at {minute_text(frozen_us[-1])} UTC" if len(frozen_us) > 1 else ""
    held = holds_of(changes, since_us)
    early = ""
    if held and held[0].at_us < frozen_us[0]:
        early = f"; a lever had moved before, at {minute_text(held[0].at_us)} UTC"
    return Answer(found="yes", text=f"{first}{latest}{early}")


def criteria_answer(recovery: Recovery | None) -> Answer:
    """Whether exit criteria are set, who set them, and how many are met."""
    criteria = () if recovery is None else recovery.criteria
    if not criteria:
        return Answer(found="no", text="none is set yet; those that the signals suggest are set within an hour")
    met = sum(c.met is True for c in criteria)
    whose = "" if any(c.by != "andon" for c in criteria) else ", as the signals suggest"
    told = "; ".join(f"{c.id} {one_line(c.text, 120)}" for c in criteria[:SHOWN])
    more = f"; and {len(criteria) - SHOWN} more" if len(criteria) > SHOWN else ""
    return Answer(found="yes", text=f"{len(criteria)} set{whose}, {met} met: {told}{more}")


def queries_answer(kind: str, types: Sequence[QueryType], span: str) -> Answer:
    """Whether the query log of the window is there, and what it holds by type of query.

    Args:
        kind: the field that types them (``task``, ``topic``, ``segment``); empty where none does.
        types: the types, in any order.
        span: the window in words.
    """
    n = sum(t.n for t in types)
    if n == 0:
        return Answer(found="no", text=f"no interaction {span}")
    if not kind:
        return Answer(
            found="yes", text=f"{n:,} interactions {span}{_harmed(types)}; no field says of which type they are"
        )
    most = sorted(types, key=lambda t: (-(t.harmed or 0), -t.n, t.name or ""))
    told = [f"{'without one' if t.name is None else one_line(t.name, 80)} {_count(t)}" for t in most[:SHOWN]]
    more = f"; and {len(types) - SHOWN} more" if len(types) > SHOWN else ""
    return Answer(found="yes", text=f"{n:,} interactions {span}{_harmed(types)}; by {kind}: {'; '.join(told)}{more}")


def _harmed(types: Sequence[QueryType]) -> str:
    counts = [t.harmed for t in types if t.harmed is not None]
    return f", {sum(counts):,} harmed" if counts else ""


def _count(t: QueryType) -> str:
    return f"{t.n:,}" if t.harmed is None else f"{t.harmed:,} of {t.n:,} harmed ({percent(t.harmed / t.n)})"
