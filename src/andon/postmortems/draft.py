"""The parts of a draft that follow from the record: summary, contributing factors, proposed actions."""

from collections.abc import Sequence
from typing import Literal

from andon.incidents import Incident, duration, odds, phrase_of, scope_text
from andon.investigations import Evidence, Investigation, Suspect
from andon.monitors import Point, Signal
from andon.monitors.verdicts import percent
from andon.postmortems.records import ActionItem, ContributingFactor, Criterion
from andon.traffic import format_time

__all__ = [
    "ALL_SINCE",
    "HARM_SINCE",
    "beyond_limit",
    "contributing_factors",
    "counts_of",
    "minute",
    "plain",
    "propose_actions",
    "refs_to",
    "summarise",
]

Proposed = tuple[Literal["prevent", "detect", "mitigate", "process"], str, Criterion]
"""Kind, title and criterion of an action."""

DUE_DAYS = {"P1": 15, "P2": 30, "P3": 30}
DAY_US = 86_400_000_000
HARM_BEFORE, ALL_BEFORE = "harmed interactions before the onset", "interactions before the onset"
HARM_SINCE, ALL_SINCE = "harmed interactions since the onset", "interactions since the onset"
HARM_LATELY, ALL_LATELY = "harmed interactions lately", "interactions lately"


def plain(text: str) -> str:
    """Text without characters that a terminal, an editor or a browser obeys (controls, direction marks); lines stay."""
    return text if text.isprintable() else "".join(c if c.isprintable() or c == "\n" else " " for c in text)


def minute(time_us: int) -> str:
    """A time to the minute, for reading: ``2026-11-20 09:41 UTC``."""
    return format_time(time_us)[:16].replace("T", " ") + " UTC"


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


def beyond_limit(points: Sequence[Point], onset_us: int) -> tuple[int, int, int]:
    """SLO minutes: for how long the limit was broken since the onset, on the chart as it was drawn.

    Returns:
        Microseconds of the windows whose rate was above the upper limit, of all windows that ended after the onset, and of
        the widest single window, which is how finely this can be told.
    """
    since = [p for p in points if p.end_us > onset_us]
    broken = sum(p.end_us - p.start_us for p in since if p.n and p.x / p.n > p.high + 1e-12)
    return (
        broken,
        sum(p.end_us - p.start_us for p in since),
        max((p.end_us - p.start_us for p in since), default=0),
    )


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
    return (_lost(incident, found, lead, points), _lag(incident, lead), _cause(found))


def _lost(incident: Incident, found: Investigation, lead: Signal | None, points: Sequence[Point]) -> str:
    impact = found.impact
    where = scope_text(incident.scope)
    if not impact.n:
        return f"How many interactions in {where} were hit cannot be told: no measured traffic is left of that time."
    what = phrase_of(lead.metric, lead.direction) if lead is not None else "interactions of the kind that was reported"
    text = (
        f"Between {minute(incident.onset_us)} and {minute(found.at_us)}, {impact.harmed:,} of {impact.n:,} interactions "
        f"in {where} were {what}{refs_to(found, HARM_SINCE, ALL_SINCE)}"
    )
    rate, source = _baseline(found, lead)
    if rate is not None:
        text += f", about {impact.excess:,.0f} more than at the baseline of {percent(rate)}{source}"
    text += f". {_people(found)}"
    broken, since, _ = beyond_limit(points, incident.onset_us)
    if broken:
        limit = f"objective “{lead.objective}”" if lead is not None and lead.objective else "control limit"
        text += f" The {limit} was broken for {broken // 60_000_000:,} of {since // 60_000_000:,} minutes."
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
    best, low, high = incident.lag_s
    return (
        f"It began at about {minute(incident.onset_us)} (95 % interval {minute(incident.onset_low_us)} to "
        f"{minute(incident.onset_high_us)}) and was alarmed at {minute(incident.alarmed_us)}: a detection lag of "
        f"{duration(best)} ({duration(low)} to {duration(high)})."
    )


def _cause(found: Investigation) -> str:
    if not found.suspects:
        return "Nothing could be named that explains it."
    first, *rest = found.suspects
    second = f" The next explanation is “{rest[0].title}” ({odds(rest[0].probability)})." if rest else ""
    return f"The most probable explanation is “{first.title}” ({odds(first.probability)}).{second}"


def contributing_factors(incident: Incident, found: Investigation) -> tuple[ContributingFactor, ...]:
    """Factors that the record shows. People add those that it cannot show."""
    factors = []
    first = found.suspects[0] if found.suspects else None
    if first is not None and first.own and first.at_us is not None:
        text = f"{first.title} went live without a test that fails on these questions"
        factors.append(ContributingFactor(area="change control", text=text))
    elif first is not None and not first.own:
        text = f"{first.title}: nothing of ours changed, so no review, gate or canary of ours could see it coming"
        factors.append(ContributingFactor(area="dependency", text=text))
    if any("index was not rebuilt" in s for suspect in found.suspects[:2] for s in suspect.supports):
        text = "the corpus and the index are changed apart, and nothing compares them"
        factors.append(ContributingFactor(area="data", text=text))
    best, _, high = incident.lag_s
    if incident.lead and best >= 3600:
        text = (
            f"the failure was live for {duration(best)} (up to {duration(high)}) before any chart had enough evidence"
        )
        factors.append(ContributingFactor(area="observability", text=text))
    elif not incident.lead:
        factors.append(ContributingFactor(area="observability", text="people noticed it, and no chart did"))
    if found.examples:
        text = (
            f"{len(found.examples)} distinct failing questions were captured for which no golden case is recorded yet"
        )
        factors.append(ContributingFactor(area="testing", text=text))
    return tuple(factors)


def propose_actions(incident: Incident, found: Investigation, lead: Signal | None) -> tuple[ActionItem, ...]:
    """Actions with a criterion that can be run; owners are for people to name."""
    due = found.at_us + DUE_DAYS[incident.severity] * DAY_US
    rows: list[Proposed] = []
    if found.examples:
        cases = Criterion(kind="case passes", subject=f"cases of {incident.id}", times=5)
        rows.append(
            ("prevent", f"Label the {len(found.examples)} captured failures and add them to the golden set", cases)
        )
    prevention = _prevention(found.suspects[0]) if found.suspects else "Find the cause, and add the case that shows it"
    rows.append(("prevent", prevention, Criterion(kind="gate blocks", subject=f"the version of {incident.id}")))
    rows.append(_detection(found, lead))
    what = phrase_of(lead.metric, lead.direction) if lead is not None else "this failure"
    lever = f"Declare a lever that stops {what} in {scope_text((lead or incident).scope)}"
    rows.append(("mitigate", lever, Criterion(kind="lever exists", subject="NAME")))
    return tuple(
        ActionItem(id=f"{incident.id}-A{n}", incident=incident.id, kind=kind, title=title, criterion=test, due_us=due)
        for n, (kind, title, test) in enumerate(rows, 1)
    )


def _detection(found: Investigation, lead: Signal | None) -> Proposed:
    if found.gap.proposals:
        best = found.gap.proposals[0]
        sooner = f", {duration(best.sooner_s)} sooner than the first alarm" if best.fired_us is not None else ""
        return (
            "detect",
            f"Add the monitor “{best.title}”: on replay it signals{sooner}",
            Criterion(kind="monitor fires", subject=best.title),
        )
    if lead is None:
        return (
            "detect",
            "Name the metric on which the reported answer fails, and watch it",
            Criterion(kind="monitor fires", subject="a monitor of that metric"),
        )
    return (
        "detect",
        f"Keep the monitor {lead.monitor} and replay this incident against it after every change of the settings",
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
