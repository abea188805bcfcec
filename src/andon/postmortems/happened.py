"""What happened when, as Markdown: the milestones of an incident, and its timeline without repetitions."""

import re
from collections.abc import Sequence
from dataclasses import replace

from andon.incidents import Incident, TimelineEvent, duration
from andon.postmortems.draft import minute, since_onset
from andon.postmortems.escaping import inert, prose, table
from andon.postmortems.records import Postmortem

__all__ = ["milestones", "offset", "timeline"]

TIMELINE = 25
"""Entries of the short timeline, and half as many as of the rest; a long incident has hundreds of signals."""
_WARNING = "warning: "
_FIGURES = re.compile(r": (?=[\d,]+ of [\d,]+ )")
"""Where the figures of a signal begin in its entry of the timeline."""


def milestones(p: Postmortem) -> str:
    """The times of an incident, in order; both the estimated and the recorded ones."""
    i = p.incident
    known = [
        ("began (estimated)", i.onset_us if i.lead else None),
        ("first visible to users", i.visible_us),
        ("alarmed" if i.lead else "reported", i.alarmed_us),
        ("noticed by a person", i.noticed_us),
        ("acknowledged", i.acked_us),
        ("stabilised", i.stabilised_us),
        ("diagnosed", i.diagnosed_us),
        ("fixed", i.fixed_us),
        ("recovered", i.recovered_us),
        ("closed", i.closed_us),
    ]
    rows = [(name, minute(at), offset(i, at)) for name, at in known if at is not None]
    return table(("milestone", "at", "T"), sorted(rows, key=lambda r: r[1]))


def timeline(p: Postmortem) -> str:
    """The short form, what people pinned among it; then the entries that it leaves out, further signals of a metric as one."""
    if len(p.timeline) <= 12:
        return _entries(p, p.timeline)
    short = [e for e in p.timeline if e.id in p.pinned or _key(p, e)][:TIMELINE]
    told = {e.id for e in short}
    rest = _grouped([e for e in p.timeline if e.id not in told], short)
    shown = rest[: 2 * TIMELINE]
    more = f"\n\n{len(rest) - len(shown):,} later entries are left out." if len(rest) > len(shown) else ""
    every = f"`andon incident timeline {p.id}` lists every signal by itself."
    return f"{_entries(p, short)}\n\n### Further entries\n\n{_entries(p, shown)}{more}\n\n{every}"


def _grouped(events: Sequence[TimelineEvent], before: Sequence[TimelineEvent]) -> list[TimelineEvent]:
    """The entries; the first warning and the first page of each metric stay, its further signals become one line.

    Args:
        events: the entries.
        before: entries that stand elsewhere: what spoke there has spoken already.
    """
    spoken = {_spoke(e) for e in before if e.kind == "signal"}
    out: dict[str, TimelineEvent] = {}
    later: dict[str, list[TimelineEvent]] = {}
    for e in events:
        if e.kind == "signal" and _spoke(e) in spoken:
            later.setdefault(_metric_of(e), []).append(e)
            out.setdefault(f"further {_metric_of(e)}", e)
        else:
            spoken |= {_spoke(e)} if e.kind == "signal" else set()
            out[e.id] = e
    for metric, group in later.items():
        if len(group) > 1:
            parts = len({_chart_of(e) for e in group})
            where = "on one chart" if parts == 1 else f"on {parts:,} charts"
            what = f"{metric}: {len(group):,} further signals {where} until {minute(group[-1].happened_us)}"
            out[f"further {metric}"] = replace(group[0], text=what)
    return list(out.values())


def _spoke(e: TimelineEvent) -> tuple[bool, str]:
    return e.text.startswith(_WARNING), _metric_of(e)


def _metric_of(e: TimelineEvent) -> str:
    """What a signal is of, without its part of the traffic, whose values stand in quotation marks and may say anything."""
    chart = _chart_of(e)
    return chart.partition(" “")[0].rpartition(" in ")[0] or chart


def _chart_of(e: TimelineEvent) -> str:
    """What a signal is of, without its figures: the same for warnings and pages of one chart."""
    return _FIGURES.split(e.text.removeprefix(_WARNING), maxsplit=1)[0]


def _key(p: Postmortem, e: TimelineEvent) -> bool:
    """Whether the short form holds an entry that nobody pinned."""
    if e.kind in ("state", "lever", "note", "report", "evaluation"):
        return True
    suspects = [s.at_us for s in p.investigation.suspects[:3]]
    first = next((x.id for x in p.timeline if x.kind == e.kind), "")
    return e.id == first if e.kind in ("onset", "signal", "alert") else e.kind == "change" and e.happened_us in suspects


def _entries(p: Postmortem, events: Sequence[TimelineEvent]) -> str:
    rows = [
        (
            minute(e.happened_us),
            offset(p.incident, e.happened_us),
            inert(e.kind, 60) + (" (pinned)" if e.id in p.pinned else ""),
            prose(p, e.text, 600),
            _later(e.learned_us - e.happened_us),
        )
        for e in events
    ]
    return table(("happened at", "T", "kind", "what", "learned"), rows) if rows else "Nothing is recorded."


def offset(incident: Incident, at_us: int) -> str:
    """A time since the onset, no finer than the onset is known: ``T+8 h 30 min``, ``T+0``."""
    said = since_onset(incident, at_us)
    return "T+0" if said in ("0 s", "0 min") else f"T{'+' if at_us > incident.onset_us else '−'}{said}"


def _later(us: int) -> str:
    return "at once" if us < 60_000_000 else f"{duration(us / 1e6)} later"
