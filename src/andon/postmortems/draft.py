"""The parts of a draft that follow from the record: summary, contributing factors, proposed actions."""

from andon.incidents import Incident, duration, odds, phrase_of, scope_text
from andon.investigations import Evidence, Investigation, Suspect
from andon.monitors import Signal
from andon.postmortems.records import ActionItem, ContributingFactor, Criterion
from andon.traffic import format_time

__all__ = ["contributing_factors", "counts_of", "minute", "plain", "propose_actions", "summarise"]

DUE_DAYS = {"P1": 15, "P2": 30, "P3": 30}
DAY_US = 86_400_000_000


def plain(text: str) -> str:
    """Text without characters that a terminal, an editor or a browser obeys (controls, direction marks); lines stay."""
    return text if text.isprintable() else "".join(c if c.isprintable() or c == "\n" else " " for c in text)


def minute(time_us: int) -> str:
    """A time to the minute, for reading: ``2026-11-20 09:41 UTC``."""
    return format_time(time_us)[:16].replace("T", " ") + " UTC"


def summarise(incident: Incident, found: Investigation, lead: Signal) -> tuple[str, ...]:
    """The executive summary: what users lost, how we know, what most probably caused it. At most three paragraphs."""
    impact = found.impact
    rate, source = _baseline(found, lead)
    who = f", {impact.users:,} users" if impact.users else f", {impact.sessions:,} sessions" if impact.sessions else ""
    lost = (
        f"Between {minute(incident.onset_us)} and {minute(found.at_us)}, {impact.harmed:,} of {impact.n:,} interactions "
        f"in {scope_text(incident.scope)} were {phrase_of(lead.metric, lead.direction)} [E3, E4]{who}: about "
        f"{impact.excess:,.0f} more than the baseline of {rate:.1%} would have given{source}."
    )
    if impact.lately is not None:
        lost += f" At the end of that time it was {impact.lately:.1%} [E5, E6]."
    best, low, high = incident.lag_s
    lag = (
        f"It began at about {minute(incident.onset_us)} (95 % interval {minute(incident.onset_low_us)} to "
        f"{minute(incident.onset_high_us)}) and was alarmed at {minute(incident.alarmed_us)}: a detection lag of "
        f"{duration(best)} ({duration(low)} to {duration(high)})."
    )
    return (lost, lag, _cause(found))


def _baseline(found: Investigation, lead: Signal) -> tuple[float, str]:
    """The rate of harm before the onset and where it stands: in the evidence, or (where no traffic is left) in the signal."""
    figures = [dict(counts_of(e)).get(lead.metric, 0.0) for e in found.evidence[:2]]
    if len(figures) == 2 and figures[1]:
        return figures[0] / figures[1], " [E1, E2]"
    return lead.baseline_rate, ""


def counts_of(evidence: Evidence) -> list[tuple[str, float]]:
    """The figures of a piece of evidence that a document shows: how many; the record keeps the sums as well."""
    figures = evidence.figures
    metrics = sorted(k.removesuffix(".n") for k in figures if k.endswith(".n"))
    return [(m, float(round(figures.get(f"{m}.w", figures[f"{m}.n"])))) for m in metrics]


def _cause(found: Investigation) -> str:
    if not found.suspects:
        return "Nothing could be named that explains it."
    first, *rest = found.suspects
    second = f" The next explanation is “{rest[0].title}” ({odds(rest[0].probability)})." if rest else ""
    return f"The most probable explanation is “{first.title}” ({odds(first.probability)}).{second}"


def contributing_factors(incident: Incident, found: Investigation) -> tuple[ContributingFactor, ...]:
    """Factors that the record shows. People add those that it cannot show."""
    factors = []
    best, _, high = incident.lag_s
    if best >= 3600:
        text = (
            f"the failure was live for {duration(best)} (up to {duration(high)}) before any chart had enough evidence"
        )
        factors.append(ContributingFactor(area="observability", text=text))
    first = found.suspects[0] if found.suspects else None
    if first is not None and not first.own:
        text = f"{first.title}: nothing of ours changed, so no review, gate or canary of ours could see it coming"
        factors.append(ContributingFactor(area="dependency", text=text))
    elif first is not None and first.at_us is not None:
        text = f"{first.title} went live without a test that fails on these questions"
        factors.append(ContributingFactor(area="change control", text=text))
    if any("index was not rebuilt" in s for suspect in found.suspects[:2] for s in suspect.supports):
        factors.append(
            ContributingFactor(
                area="data", text="the corpus and the index are changed apart, and nothing compares them"
            )
        )
    if found.examples:
        text = (
            f"{len(found.examples)} distinct failing questions were captured for which no golden case is recorded yet"
        )
        factors.append(ContributingFactor(area="testing", text=text))
    return tuple(factors)


def propose_actions(incident: Incident, found: Investigation, lead: Signal) -> tuple[ActionItem, ...]:
    """Actions with a criterion that can be run; owners are for people to name."""
    due = found.at_us + DUE_DAYS[incident.severity] * DAY_US
    label = (
        (
            "prevent",
            f"Label the {len(found.examples)} captured failures and add them to the golden set",
            Criterion(kind="case passes", subject=f"cases of {incident.id}", times=5),
        ),
    )
    rows = [
        *(label if found.examples else ()),
        (
            "prevent",
            _prevention(found.suspects[0]) if found.suspects else "Find the cause, and add the case that shows it",
            Criterion(kind="gate blocks", subject=f"the version of {incident.id}"),
        ),
        (
            "detect",
            f"Keep the monitor {lead.monitor} and replay this incident against it after every change of the settings",
            Criterion(kind="monitor fires", subject=lead.monitor),
        ),
        (
            "mitigate",
            f"Declare a lever that stops {phrase_of(lead.metric, lead.direction)} in {scope_text(lead.scope)}",
            Criterion(kind="lever exists", subject="NAME"),
        ),
    ]
    return tuple(
        ActionItem(id=f"{incident.id}-A{n}", incident=incident.id, kind=kind, title=title, criterion=test, due_us=due)
        for n, (kind, title, test) in enumerate(rows, 1)
    )


def _prevention(first: Suspect) -> str:
    if first.kind in ("model", "provider"):
        return "Pin the model version, and let a new one in only through the gate"
    if first.kind in ("corpus", "index", "embedding model"):
        return "Rebuild the index whenever the corpus changes, and gate the rebuilt index on the golden set"
    if first.kind in ("traffic", "traffic source"):
        return "Run the golden set, grown by these new kinds of questions, before a new traffic source is let in"
    return f"Run the gate on every {first.kind} change before it goes live"
