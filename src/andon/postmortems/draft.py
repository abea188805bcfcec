"""The parts of a draft that follow from the record: summary, contributing factors, proposed actions."""

from collections.abc import Iterable, Sequence
from typing import Literal

from andon.incidents import Incident, duration, odds, phrase_of, scope_text
from andon.investigations import Evidence, Investigation, Suspect
from andon.monitors import TRAFFIC, Point, Signal
from andon.monitors.verdicts import percent
from andon.postmortems.actions import SOME_LEVER, SOME_MONITOR, SOME_VERSION, due_after
from andon.postmortems.records import ActionItem, ContributingFactor, Criterion, Postmortem
from andon.traffic.clock import minute_text

__all__ = [
    "ALL_BEFORE",
    "ALL_SINCE",
    "CANNOT_TELL",
    "HARM_BEFORE",
    "HARM_SINCE",
    "STALE",
    "beyond_limit",
    "contributing_factors",
    "counts_of",
    "harmed_by_alarm",
    "lag_texts",
    "minute",
    "named_suspects",
    "over_us",
    "plain",
    "propose_actions",
    "refs_to",
    "reports",
    "since_onset",
    "slo_times",
    "summarise",
]

Proposed = tuple[Literal["prevent", "detect", "mitigate", "process"], str, Criterion]
"""Kind, title and criterion of an action."""

STALE = "index was not rebuilt"
"""Words by which the case of a suspect says that the corpus changed and the index did not."""

LABEL, PREVENT, DETECT, LEVER = 1, 2, 3, 4
"""Number of each proposal, whatever others a draft makes: a decision is kept by its number (``INC-0001-A2``) and must not
stand for another proposal in the next draft."""

LEAST_NAMED = 0.01
"""Probability from which the summary names the next explanation."""

HARM_BEFORE, ALL_BEFORE = "harmed interactions before the onset", "interactions before the onset"
HARM_SINCE, ALL_SINCE = "harmed interactions since the onset", "interactions since the onset"
HARM_LATELY, ALL_LATELY = "harmed interactions lately", "interactions lately"


def plain(text: str) -> str:
    """Text without characters that a terminal, an editor or a browser obeys (controls, direction marks); lines stay."""
    return text if text.isprintable() else "".join(c if c.isprintable() or c == "\n" else " " for c in text)


def minute(time_us: int) -> str:
    """A time to the minute, for reading: ``2026-11-20 09:41 UTC``."""
    return f"{minute_text(time_us)} UTC"


def since_onset(incident: Incident, at_us: int) -> str:
    """How far a time is from the onset, no finer than the onset is known: ``8 h 30 min``, ``0 min``."""
    return _told(incident, abs(at_us - incident.onset_us) / 1e6)


def lag_texts(incident: Incident) -> tuple[str, str, str]:
    """The detection lag in words, no finer than the onset is known: best estimate, shortest, longest."""
    best, low, high = (_told(incident, s) for s in incident.lag_s)
    return best, low, high


def _told(incident: Incident, seconds: float) -> str:
    return duration(seconds, within_s=(incident.onset_high_us - incident.onset_low_us) / 1e6)


def over_us(incident: Incident) -> int | None:
    """When the harm was over, by the first milestone that says so; None: it is not."""
    return incident.recovered_us or incident.fixed_us or incident.stabilised_us or incident.closed_us


def refs_to(found: Investigation, *claims: str) -> str:
    """References to the evidence with these claims: `` [E3, E4]``; empty where the investigation keeps none."""
    ids = [e.id for claim in claims for e in found.evidence if e.claim == claim]
    return f" [{', '.join(ids)}]" if ids else ""


def counts_of(evidence: Evidence) -> list[tuple[str, float]]:
    """The figures of a piece of evidence that a document shows: how many; the record keeps the sums as well."""
    figures = evidence.figures
    metrics = sorted(k.removesuffix(".n") for k in figures if k.endswith(".n"))
    if not metrics:
        return sorted(figures.items())
    return [(m, float(round(figures.get(f"{m}.w", figures[f"{m}.n"])))) for m in metrics]


def reports(p: Postmortem) -> str:
    """How many answers were reported; the report that opened the incident is one, whatever the timeline shows."""
    count = max(1, sum(e.kind == "report" for e in p.timeline))
    return f"{count} reported {'answer' if count == 1 else 'answers'}"


def beyond_limit(points: Sequence[Point], onset_us: int, until_us: int) -> tuple[int, int, int]:
    """SLO minutes: for how long the limit was broken since the onset, on the chart as it was drawn.

    Args:
        points: the chart.
        onset_us: the onset; of a window in which it lies, only the part since then counts.
        until_us: up to when data were used; of a window that goes on, only the part until then counts.

    Returns:
        Microseconds of the windows whose rate was above the upper limit, of all windows, both within the onset and
        `until_us`, and of the widest whole window, which is how finely this can be told.
    """
    since = [p for p in points if p.end_us > onset_us and p.start_us < until_us]
    spans = [min(p.end_us, until_us) - max(p.start_us, onset_us) for p in since]
    broken = sum(span for p, span in zip(since, spans, strict=True) if p.n and p.x / p.n > p.high + 1e-12)
    return broken, sum(spans), max((p.end_us - p.start_us for p in since), default=0)


def slo_times(broken_us: int, since_us: int) -> tuple[str, str]:
    """How long a limit was broken, and of how long: in minutes (``12``, ``480 minutes``), below ten of them to the second."""
    if since_us >= 600_000_000:
        return f"{broken_us // 60_000_000:,}", f"{since_us // 60_000_000:,} minutes"
    return duration(broken_us / 1e6), duration(since_us / 1e6)


def harmed_by_alarm(incident: Incident, signals: Iterable[Signal]) -> tuple[int, int] | None:
    """Harmed interactions, and all, between the onset and the first alarm, as the signal counted them that raised it.

    Of several that were raised in that moment it is one of the leading metric, of the incident's own part of the traffic
    first. None where another metric spoke first, or where what harmed was that nothing came: that is no count of answers.
    """
    known = list(signals)
    lead = next((s for s in known if s.id == incident.lead), None)
    if lead is None or lead.metric == TRAFFIC:
        return None
    what = (lead.metric, lead.direction, lead.aspect)
    first = [s for s in known if s.at_us == incident.alarmed_us and (s.metric, s.direction, s.aspect) == what]
    if not first:
        return None
    best = max(first, key=lambda s: (s.scope == incident.scope, s.id == incident.lead, s.x, s.id))
    return round(best.x * best.stands_for), round(best.n * best.stands_for)


def summarise(
    incident: Incident, found: Investigation, lead: Signal | None, points: Sequence[Point] = ()
) -> tuple[str, ...]:
    """The executive summary: what users lost, how late we knew, what most probably explains it. Three paragraphs.

    Args:
        incident: the incident.
        found: its investigation.
        lead: the leading signal; None for an incident that people reported and no chart saw.
        points: the control chart of the leading signal, for the time beyond its limit.
    """
    return (_lost(incident, found, lead, points), _lag(incident, lead), _cause(incident, found))


def _lost(incident: Incident, found: Investigation, lead: Signal | None, points: Sequence[Point]) -> str:
    impact = found.impact
    where = scope_text(incident.scope, incident.app)
    if not impact.n and lead is None:
        return f"How many interactions in {where} were hit is not measured: people reported it."
    if not impact.n:
        return f"How many interactions in {where} were hit cannot be told: no measured traffic is left of that time."
    what = phrase_of(lead.metric, lead.direction) if lead is not None else "interactions of the kind that was reported"
    begin, end = minute(incident.onset_us), minute(found.at_us)
    last = f"at {end}" if begin != end else f"{since_onset(incident, found.at_us)} later"
    span = f"Between {begin} and {end}" if over_us(incident) else f"Since {begin}, and not over {last}"
    text = (
        f"{span}, {impact.harmed:,} of {impact.n:,} interactions ({percent(impact.harmed / impact.n)}) in {where} were "
        f"harmed: {what}{refs_to(found, HARM_SINCE, ALL_SINCE)}"
    )
    rate, source = _baseline(found, lead)
    if rate is not None:
        beyond = f"about {impact.excess:,.0f} more than at the baseline of" if rate else "where the baseline is"
        text += f", {beyond} {percent(rate)}{source}"
    text += f". {_people(found)}"
    broken, since, _ = beyond_limit(points, incident.onset_us, found.at_us)
    if broken:
        limit = f"objective “{lead.objective}”" if lead is not None and lead.objective else "control limit"
        text += f" The {limit} was broken for {' of '.join(slo_times(broken, since))}."
    if impact.lately is not None:
        text += (
            f" At the end of that time the rate was {percent(impact.lately)}{refs_to(found, HARM_LATELY, ALL_LATELY)}."
        )
    return text


def _people(found: Investigation) -> str:
    impact = found.impact
    if impact.users:
        again = f", {impact.again:,} of them more than once" if impact.again else ""
        return f"It hit {impact.users:,} {'user' if impact.users == 1 else 'users'}{again}."
    if impact.sessions:
        return f"It hit {impact.sessions:,} sessions; traffic names no users."
    return "How many users that is cannot be told: traffic names no users."


def _baseline(found: Investigation, lead: Signal | None) -> tuple[float | None, str]:
    """The rate of harm before the onset and where it stands: in the evidence, or (where no traffic is left) in the signal."""
    by_claim = {e.claim: e for e in found.evidence}
    figures = [by_claim[c] for c in (HARM_BEFORE, ALL_BEFORE) if c in by_claim]
    if len(figures) == 2 and lead is not None:
        harmed, n = (dict(counts_of(e)).get(lead.metric, 0.0) for e in figures)
        if n:
            return harmed / n, refs_to(found, HARM_BEFORE, ALL_BEFORE)
    return (lead.baseline_rate, "") if lead is not None else (None, "")


def _lag(incident: Incident, lead: Signal | None) -> str:
    if lead is None:
        return f"No chart saw it; it was reported at {minute(incident.alarmed_us)}."
    best, low, high = lag_texts(incident)
    first, latest = minute(incident.onset_low_us), minute(incident.onset_high_us)
    interval = f" (95 % interval {first} to {latest})" if first != latest else ""
    return (
        f"It began at about {minute(incident.onset_us)}{interval} and was alarmed at {minute(incident.alarmed_us)}: a detection lag "
        f"of {best} ({low} to {high})."
    )


CANNOT_TELL = (
    "Cannot tell what changed: no chart saw it, so nothing dates its beginning and nothing singles out a change."
)
"""Of an incident that people reported and no signal joined."""


def named_suspects(incident: Incident, found: Investigation) -> tuple[Suspect, ...]:
    """The suspects whose probabilities say something: none where nothing was measured that dates the onset."""
    return found.suspects if incident.lead else ()


def _cause(incident: Incident, found: Investigation) -> str:
    if not incident.lead:
        return CANNOT_TELL
    if not found.suspects:
        return "Nothing could be named that explains it."
    first, *rest = found.suspects
    near = bool(rest) and rest[0].probability >= LEAST_NAMED
    second = f" The next explanation is “{rest[0].title}” ({odds(rest[0].probability)})." if near else ""
    return f"The most probable explanation is “{first.title}” ({odds(first.probability)}).{second}"


def contributing_factors(incident: Incident, found: Investigation) -> tuple[ContributingFactor, ...]:
    """Factors that the record shows. People add those that it cannot show."""
    factors = []
    suspects = named_suspects(incident, found)
    first = suspects[0] if suspects else None
    if first is not None and first.own and first.at_us is not None:
        text = f"“{first.title}” went live without a test that fails on these questions"
        factors.append(ContributingFactor(area="change control", text=text))
    elif first is not None and not first.own:
        text = f"“{first.title}” is not our change, so no review, gate or canary of ours could see it coming"
        factors.append(ContributingFactor(area="dependency", text=text))
    if any(STALE in s for suspect in suspects[:2] for s in suspect.supports):
        text = "the corpus and the index are changed apart, and nothing compares them"
        factors.append(ContributingFactor(area="data", text=text))
    if incident.lead and incident.lag_s[0] >= 3600:
        best, _, high = lag_texts(incident)
        text = f"the failure was live for {best} (up to {high}) before any chart had enough evidence"
        factors.append(ContributingFactor(area="observability", text=text))
    elif not incident.lead:
        factors.append(ContributingFactor(area="observability", text="people noticed it, and no chart did"))
    if found.examples:
        text = (
            f"{len(found.examples)} distinct failing questions were captured for which no golden case is recorded yet"
        )
        factors.append(ContributingFactor(area="testing", text=text))
    return tuple(factors)


def propose_actions(
    incident: Incident, found: Investigation, lead: Signal | None, *, helped: bool = False
) -> tuple[ActionItem, ...]:
    """Actions with a criterion that can be run; owners are for people to name.

    Args:
        incident: the incident.
        found: its investigation.
        lead: the leading signal; None for an incident that people reported and no chart saw.
        helped: whether harm fell under a lever that was held since the alarm; then none has to be made.
    """
    rows: dict[int, Proposed] = {}
    if found.examples:
        cases = Criterion(kind="case passes", subject=f"cases of {incident.id}", times=5)
        title = f"Label the {len(found.examples)} captured failures and add them to the golden set"
        rows[LABEL] = ("prevent", title, cases)
    suspects = named_suspects(incident, found)
    prevention = _prevention(suspects[0]) if suspects else "Find the cause, and add the case that shows it"
    rows[PREVENT] = ("prevent", prevention, Criterion(kind="gate blocks", subject=f"{SOME_VERSION}{incident.id}"))
    rows[DETECT] = _detection(found, lead)
    if not helped:
        what = phrase_of(lead.metric, lead.direction) if lead is not None else "this failure"
        lever = f"Declare a lever that stops {what} in {scope_text((lead or incident).scope, incident.app)}"
        rows[LEVER] = ("mitigate", lever, Criterion(kind="lever exists", subject=SOME_LEVER))
    due_us = due_after(incident.severity, found.at_us)
    return tuple(
        ActionItem(
            id=f"{incident.id}-A{n}", incident=incident.id, kind=kind, title=title, criterion=test, due_us=due_us
        )
        for n, (kind, title, test) in rows.items()
    )


def _detection(found: Investigation, lead: Signal | None) -> Proposed:
    if found.gap.proposals:
        best = found.gap.proposals[0]
        return (
            "detect",
            f"Add the monitor “{best.title}”: on replay it signals, {duration(best.sooner_s)} sooner than the first alarm",
            Criterion(kind="monitor fires", subject=SOME_MONITOR),
        )
    if lead is None:
        return (
            "detect",
            "Name the metric on which the reported answer fails, and watch it",
            Criterion(kind="monitor fires", subject=SOME_MONITOR),
        )
    return (
        "detect",
        f"Keep the chart of {phrase_of(lead.metric, lead.direction)} in {scope_text(lead.scope, lead.app)}, and replay this "
        "incident against it after every change of the settings",
        Criterion(kind="monitor fires", subject=lead.monitor),
    )


def _prevention(first: Suspect) -> str:
    if first.kind in ("model", "provider"):
        return "Pin the model version, and let a new one in only through the gate"
    if first.kind in ("corpus", "index", "embedding model"):
        return "Rebuild the index whenever the corpus changes, and gate the rebuilt index on the golden set"
    if first.kind in ("traffic", "traffic source"):
        return "Run the golden set, grown by these new kinds of questions, before a new traffic source is let in"
    return f"Run the gate on every {first.kind} change before it goes live"
