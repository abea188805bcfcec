"""What happened when, as Markdown: the milestones of an incident, what was held, and its timeline without repetitions."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from andon.incidents import Incident, TimelineEvent, duration
from andon.incidents.words import exactly, from_alarm
from andon.postmortems.draft import minute, since_onset
from andon.postmortems.escaping import bullets, inert, prose, table
from andon.postmortems.records import Postmortem

__all__ = ["Held", "held", "hold_text", "milestones", "moves", "offset", "since_alarm", "summary_of", "timeline"]

TIMELINE = 25
"""Entries of the short timeline, and half as many as of the rest; a long incident has hundreds of signals."""
_WARNING = "warning: "
_FIGURES = re.compile(r": (?=[\d,]+ of [\d,]+ )")
"""Where the figures of a signal begin in its entry of the timeline."""

_BEGAN = re.compile(r"lever: (BREAK GLASS: )?lever ([a-z0-9._-]+) held at (.+) \((.*?)\)", re.DOTALL)
_ENDED = re.compile(r"lever: hold of lever ([a-z0-9._-]+) (released|expired): .+ \((.*?)\)", re.DOTALL)
_EFFECTIVE = re.compile(r"lever ([a-z0-9._-]+) effective in an application .+")
_EFFECT = re.compile(r"effect of lever ([a-z0-9._-]+)( so far)?: (.+)", re.DOTALL)
"""How the timeline tells of levers: changes as `andon.levers.pulls` names them, effects as `andon.levers.effects` does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A lever that was held, as the timeline tells of it; a hold that was renewed is one."""

    lever: str
    value: str
    """At what, and by which written rule where one pulled."""
    by: str
    at_us: int
    glass: bool
    """Whether a rule of approval was broken."""
    effective_us: int | None = None
    """When an application first read it; None where none is known to have."""
    effect: str = ""
    so_far: bool = False
    """Whether the effect was measured while it was held."""
    ended_us: int | None = None
    ended: str = ""

    @property
    def effective(self) -> str:
        """How long after the pull an application read it; empty where none is known to have."""
        return "" if self.effective_us is None else exactly(self.effective_us - self.at_us)


def held(events: Iterable[TimelineEvent]) -> tuple[Held, ...]:
    """The holds that a timeline tells of, in order."""
    found: list[Held] = []
    for e in sorted((e for e in events if e.kind == "lever"), key=lambda e: (e.happened_us, e.learned_us)):
        if m := _BEGAN.fullmatch(e.text):
            at = _last(found, m[2])
            if at is not None and found[at].ended_us is None:
                if found[at].value == m[3]:
                    continue
                found[at] = replace(found[at], ended_us=e.happened_us, ended="another hold took its place")
            found.append(Held(lever=m[2], value=m[3], by=m[4], at_us=e.happened_us, glass=m[1] is not None))
        elif m := _ENDED.fullmatch(e.text):
            how = "it expired" if m[2] == "expired" else f"{m[3]} released it"
            if (at := _last(found, m[1])) is not None and found[at].ended_us is None:
                found[at] = replace(found[at], ended_us=e.happened_us, ended=how)
        elif m := _EFFECTIVE.fullmatch(e.text):
            if (at := _last(found, m[1])) is not None and found[at].effective_us is None:
                found[at] = replace(found[at], effective_us=e.happened_us)
        elif (m := _EFFECT.fullmatch(e.text)) and (at := _last(found, m[1], e.happened_us)) is not None:
            found[at] = replace(found[at], effect=m[3], so_far=m[2] is not None)
    return tuple(found)


def _last(found: Sequence[Held], lever: str, before_us: int | None = None) -> int | None:
    """Which hold of a lever is the last; of an effect, before its end: what took its place may begin in that moment."""
    there = (k for k, h in enumerate(found) if h.lever == lever and (before_us is None or h.at_us < before_us))
    return max(there, default=None)


def since_alarm(incident: Incident, events: Iterable[TimelineEvent]) -> tuple[Held, ...]:
    """The holds that began after the alarm (or the report), in order."""
    return tuple(h for h in held(events) if h.at_us >= incident.alarmed_us)


def hold_text(incident: Incident, h: Held) -> str:
    """A hold, when it was effective, and the first sentence on its effect: what else moved stands where it is told."""
    text = f"a lever was held {from_alarm(incident, h.at_us)}: {h.lever} at {h.value} ({h.by})"
    text += f", effective in an application {h.effective} later" if h.effective else ""
    return text + (f"; {'so far ' if h.so_far else ''}{h.effect.partition('. ')[0]}" if h.effect else "")


def summary_of(p: Postmortem) -> tuple[str, ...]:
    """The paragraphs of the summary, with what was done to stop the harm behind what users lost.

    Of several holds after the alarm the first that was measured is told; the others stand among what was held.
    """
    ours = sorted(since_alarm(p.incident, p.timeline), key=lambda h: not h.effect)
    text = [f"{(said := hold_text(p.incident, h))[:1].upper()}{said[1:]}." for h in ours[:1]]
    return (*p.summary[:1], *text, *p.summary[1:])


def moves(p: Postmortem) -> list[tuple[int, str]]:
    """When levers moved, with a word for a chart; what only tells of a hold is no move."""
    holds = held(p.timeline)
    found = [(h.at_us, "lever held") for h in holds]
    found += [(h.ended_us, "hold ended") for h in holds if h.ended_us is not None]
    told = (_BEGAN, _ENDED, _EFFECTIVE, _EFFECT)
    others = [e for e in p.timeline if e.kind == "lever" and not any(form.fullmatch(e.text) for form in told)]
    return sorted([*found, *((e.happened_us, "lever") for e in others)])


def milestones(p: Postmortem) -> str:
    """The times of an incident, in order, both the estimated and the recorded ones; and what was held since it began."""
    i = p.incident
    ours = [h for h in held(p.timeline) if h.ended_us is None or h.ended_us > i.onset_low_us]
    first = next((h for h in ours if h.at_us >= i.alarmed_us), None)
    known = [
        ("began (estimated)", i.onset_us if i.lead else None),
        ("first visible to users", i.visible_us),
        ("alarmed" if i.lead else "reported", i.alarmed_us),
        ("noticed by a person", i.noticed_us),
        ("acknowledged", i.acked_us),
        ("lever held", first.at_us if first else None),
        ("effective in an application", first.effective_us if first else None),
        ("stabilised", i.stabilised_us),
        ("diagnosed", i.diagnosed_us),
        ("fixed", i.fixed_us),
        ("recovered", i.recovered_us),
        ("closed", i.closed_us),
    ]
    rows = [(name, minute(at), offset(i, at)) for name, at in known if at is not None]
    told = table(("milestone", "at", "T"), sorted(rows, key=lambda r: r[1]))
    return f"{told}\n\n### What was held\n\n{bullets(_hold(p, h) for h in ours)}" if ours else told


def _hold(p: Postmortem, h: Held) -> str:
    """One hold in sentences: who, when after the alarm, when an application read it, what it did, how it ended."""
    effective = f", effective in an application {h.effective} later" if h.effective else ""
    told = [f"held at {h.value} ({h.by}) {from_alarm(p.incident, h.at_us)}{effective}"]
    told += ["the glass was broken for it: nobody had approved this value"] if h.glass else []
    told += [f"{'So far: ' if h.so_far else ''}{h.effect}" if h.effect else "its effect is not measured yet"]
    lasted = "" if h.ended_us is None else f"{h.ended} after {duration((h.ended_us - h.at_us) / 1e6)}"
    told += [lasted or "it is still held"]
    return f"**{inert(h.lever)}** " + " ".join(
        f"{prose(p, t[:1].upper() + t[1:] if n else t, 900)}." for n, t in enumerate(told)
    )


def timeline(p: Postmortem) -> str:
    """The short form, what people pinned among it; then the entries that it leaves out, further signals of a metric as one."""
    head = "### Entry by entry\n\n" if held(p.timeline) else ""  # what was held stands between the milestones and these
    if len(p.timeline) <= 12:
        return head + _entries(p, p.timeline)
    short = [e for e in p.timeline if e.id in p.pinned or _key(p, e)][:TIMELINE]
    told = {e.id for e in short}
    rest = _grouped([e for e in p.timeline if e.id not in told], short)
    shown = rest[: 2 * TIMELINE]
    more = f"\n\n{len(rest) - len(shown):,} later entries are left out." if len(rest) > len(shown) else ""
    every = f"`andon incident timeline {p.id}` lists every signal by itself."
    return f"{head}{_entries(p, short)}\n\n### Further entries\n\n{_entries(p, shown)}{more}\n\n{every}"


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
