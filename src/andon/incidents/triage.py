"""Pure decisions about incidents: does a signal belong to one, what class, how severe, what to call it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from andon.changes import Change
from andon.incidents.failures import suggest_failure
from andon.incidents.records import Incident, Severity
from andon.incidents.states import overruled, state_of, with_suggestion
from andon.incidents.words import one_line, phrase_of, scope_text
from andon.monitors import Signal
from andon.monitors.records import TRAFFIC
from andon.monitors.verdicts import percent
from andon.scores import Harm
from andon.scores.rows import TOPIC
from andon.settings import HIGH_RISK, is_high_risk
from andon.traffic import SEGMENTS
from andon.traffic.clock import minute_text

__all__ = [
    "CLASSES",
    "MERGE_US",
    "SEVERITY_RULES",
    "WORST_FIRST",
    "SeverityRule",
    "classify",
    "join",
    "leaves_lead",
    "merges",
    "moved",
    "open_incident",
    "pages",
    "severest",
    "severity_of",
    "severity_rows",
    "suggested_severity",
    "suggests",
    "title_of",
    "worse",
    "worsened",
]

CLASSES: dict[Harm, str] = {
    "safety": "somebody may come to harm by an answer, or by one that was not refused",
    "compliance": "a rule, a law or a guardrail is broken",
    "correctness": "answers are wrong, or rest on nothing that was retrieved",
    "availability": "users get no answer, or one that is too late",
    "usefulness": "answers are right and do not help: refusals, hand-overs, other formats",
    "cost": "the same answers cost more",
}
"""The six classes by what users lose, worst first."""

WORST_FIRST: tuple[Harm, ...] = tuple(CLASSES)
"""The names of the classes, worst first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeverityRule:
    """One row of the rule of severity; the first row that fits decides."""

    severity: Severity
    harms: tuple[Harm, ...] = WORST_FIRST
    """Classes that it speaks of."""
    high_risk: bool = False
    """Whether it speaks only of parts of the traffic whose risk category is high, critical or unacceptable."""
    at_least: float | None = None
    """Smallest rise of the rate of harm in a signal's part of the traffic; None for any."""
    text: str
    """The rule in words; ``{harm}`` is the class."""


SEVERITY_RULES: tuple[SeverityRule, ...] = (
    SeverityRule(severity="P1", harms=("safety", "compliance"), text="any {harm} harm"),
    SeverityRule(
        severity="P1", high_risk=True, at_least=0.05, text="at least 5 % more of a high-risk category affected"
    ),
    SeverityRule(severity="P2", harms=("correctness", "availability"), text="any {harm} harm"),
    SeverityRule(severity="P2", at_least=0.10, text="at least a tenth more of the traffic affected"),
    SeverityRule(severity="P3", text="{harm} harm below a tenth of the traffic"),
)
"""Risk category x affected share x harm, as a table that a person can check; `andon incident rules` prints it."""

MERGE_US = 24 * 3_600_000_000
"""Signals of one app within this time of each other are one incident, and nothing splits it: of two failures that strike one
application within a day the second is told as part of the first, and has to be written up by hand."""


def severity_rows() -> list[tuple[str, str, str, str, str]]:
    """The rule of severity for people: severity, classes, risk category, rise of the rate of harm, the rule in words."""
    return [
        (
            r.severity,
            "any" if r.harms == WORST_FIRST else ", ".join(r.harms),
            ", ".join(HIGH_RISK) if r.high_risk else "any",
            "any" if r.at_least is None else f"at least {percent(r.at_least)}",
            r.text.format(harm=" or ".join(r.harms) if r.harms != WORST_FIRST else "any other"),
        )
        for r in SEVERITY_RULES
    ]


def pages(signal: Signal) -> bool:
    """Whether a signal may open an incident and lead it; a warning only stands in the timeline of one that is open."""
    return signal.level == "page"


def worse(one: Severity, other: Severity) -> bool:
    """Whether one severity is more urgent than another."""
    return one < other  # P1 before P2 before P3


def classify(signals: Sequence[Signal]) -> tuple[Harm, str, Signal]:
    """The class of an incident with these signals, the reason, and the leading signal.

    Warnings have no say. The worst harm among the other signals names the class. Among the signals of that class a rate
    leads before a worst-fifth proxy, if it spoke within a day of the first, and a segment before a topic; then those with
    at least nine tenths of the largest excess of harm, and of these the one whose rate rose most: the part of the traffic
    that holds all the harm and little else.
    """
    signals = [s for s in signals if pages(s)]
    worst = min(signals, key=lambda s: WORST_FIRST.index(s.harm))
    harm = worst.harm
    peers = [s for s in signals if s.harm == harm]
    first_us = min(s.at_us for s in peers)
    early = [s for s in peers if s.at_us - first_us <= MERGE_US]
    direct = [s for s in early if s.kind == "binary"] or early
    direct = [s for s in direct if TOPIC not in s.scope] or direct  # people know their segments, not the keys of topics
    most = max(_excess(s) for s in direct)
    least = 0.9 * most if most > 0 else most  # counts beyond a cut may fall while the typical value gets worse
    full = [s for s in direct if _excess(s) >= least]
    lead = max(full, key=lambda s: (round(s.rate - s.baseline_rate, 9), -len(s.scope), _first_segment(s), s.id))
    others = sorted({s.harm for s in signals} - {harm})
    reason = f"{harm}: {moved(lead)}"
    return harm, reason + (f"; also moved: {', '.join(others)}" if others else ""), lead


def _first_segment(signal: Signal) -> int:
    """Parts that hold the same traffic are named by risk category before task, and so on in the order of `SEGMENTS`."""
    return -min((SEGMENTS.index(k) for k in signal.scope if k in SEGMENTS), default=0)


def _excess(signal: Signal) -> float:
    """Harmed interactions beyond what the baseline would have given."""
    return signal.stands_for * (signal.x - signal.n * signal.baseline_rate)


def severity_of(harm: Harm, lead: Signal) -> tuple[Severity, str]:
    """P1, P2 or P3 by one signal, and the rule that says so: the first row of `SEVERITY_RULES` that fits."""
    excess = lead.rate - lead.baseline_rate
    high_risk = _high_risk(lead)
    moved_by = -excess if lead.metric == TRAFFIC else excess
    share = f"{'+' if moved_by >= 0 else ''}{percent(moved_by)} of {scope_text(lead.scope)}"
    rule = next(
        r
        for r in SEVERITY_RULES
        if harm in r.harms and (high_risk or not r.high_risk) and (r.at_least is None or excess >= r.at_least)
    )
    return rule.severity, f"{rule.severity}: {rule.text.format(harm=harm)} ({share})"


def severest(harm: Harm, lead: Signal, signals: Sequence[Signal]) -> tuple[Severity, str]:
    """The worst severity that the pages of an incident give, and its rule with the part of the traffic that it speaks of.

    Asked are the leading signal and, of the pages of its class, those that weigh: a part whose risk category is high,
    critical or unacceptable, or one that holds at least nine tenths of the leading one's excess of harm. A small part with a
    high rate would else pass for a tenth of the traffic. The first page that reached a severity gives the reason.

    Args:
        harm: class of the incident.
        lead: the leading signal.
        signals: of the incident, or those that are new to it.
    """
    least = 0.9 * _excess(lead)
    weigh = [s for s in signals if pages(s) and s.harm == lead.harm and (_high_risk(s) or _excess(s) >= least)]
    found = severity_of(harm, lead)
    for s in sorted(weigh, key=lambda s: (s.at_us, s.id)):
        told = severity_of(harm, s)
        if worse(told[0], found[0]):
            found = told
    return found


def _high_risk(signal: Signal) -> bool:
    return is_high_risk(signal.scope.get("risk_category"))


def title_of(lead: Signal, onset_us: int, rate: float | None = None) -> str:
    """What is wrong, for whom and since when, in one sentence (`Incident.what` leaves the last out).

    `rate` is the latest one known, else that of the signal.
    """
    now = lead.rate if rate is None else rate
    phrase = phrase_of(lead.metric, lead.direction)
    if lead.metric == TRAFFIC:
        what = f"Traffic fell to {percent(max(0.0, 1 - now))} of what is usual"
    elif lead.objective:
        allowed = f"objective {one_line(lead.objective)} allows {percent(lead.baseline_rate, 6)}"
        what = f"The share of {phrase} is {percent(now)} where {allowed}"
    else:
        what = f"The share of {phrase} rose from {percent(lead.baseline_rate)} to {percent(now)}"
    since = minute_text(onset_us)
    return f"{what} in {scope_text(lead.scope, lead.app)} since {since} UTC"


def moved(signal: Signal) -> str:
    """What a chart says has happened, in a few words."""
    what = "traffic fell" if signal.metric == TRAFFIC else f"{phrase_of(signal.metric, signal.direction)} rose"
    return f"{what} in {scope_text(signal.scope)}"


def open_incident(number: int, signals: Sequence[Signal]) -> Incident:
    """A new incident for signals of one app that were raised together, a page among them; its onset is the leading one's."""
    _, _, lead = classify(signals)
    blank = Incident(
        id=f"INC-{number:04d}",
        title="",
        app=lead.app,
        environment=lead.environment,
        metric=lead.metric,
        lead="",
        onset_us=lead.onset_us,
        onset_low_us=lead.onset_low_us,
        onset_high_us=lead.onset_high_us,
        alarmed_us=lead.at_us,
        last_signal_us=lead.at_us,
    )
    return join(blank, signals)


def join(incident: Incident, signals: Sequence[Signal], changes: Sequence[Change] = ()) -> Incident:
    """The incident with all these signals, its class, severity, failure type and title worked out anew.

    Number, onset and first alarm stay: a chart that speaks later, of a rate that is still rising, dates its own rise. Only
    an incident that a person reported takes the onset of its first signals. What a person overruled stays, with the new
    suggestion beside it; and harm that signals again is not recovered from.
    """
    harm, reason, lead = classify(signals)
    last_us = max(s.at_us for s in signals if pages(s))
    if not incident.lead:
        incident = replace(
            incident,
            onset_us=lead.onset_us,
            onset_low_us=min(lead.onset_low_us, incident.onset_low_us),
            onset_high_us=lead.onset_high_us,
        )
    if incident.recovered_us is not None and last_us > incident.last_signal_us:
        incident = replace(incident, recovered_us=None)
        incident = replace(incident, state=state_of(incident))
    incident = with_suggestion(incident, "impact", harm, reason)
    incident = with_suggestion(incident, "severity", *severest(incident.impact, lead, signals))
    return replace(
        suggests(incident, signals, changes),
        title=title_of(lead, incident.onset_us),
        scope=lead.scope,
        metric=lead.metric,
        lead=lead.id,
        signals=tuple(sorted(s.id for s in signals)),
        last_signal_us=max(last_us, incident.last_signal_us),
    )


def suggests(incident: Incident, signals: Sequence[Signal], changes: Sequence[Change]) -> Incident:
    """The incident with the failure type that these signals and changes point to, unless a person overruled it."""
    times = incident.onset_low_us, incident.onset_us, incident.onset_high_us
    failure, reason = suggest_failure(signals, changes, *times)
    return with_suggestion(incident, "failure", failure, reason)


def suggested_severity(incident: Incident, signals: Sequence[Signal]) -> Incident:
    """The incident with the severity that follows from its class and its signals, unless a person overruled it."""
    lead = next((s for s in signals if s.id == incident.lead), None)
    if lead is None:
        return incident  # as long as no chart leads, a person's report says how severe it is
    return with_suggestion(incident, "severity", *severest(incident.impact, lead, signals))


def worsened(incident: Incident, lead: Signal | None, signals: Sequence[Signal]) -> Incident:
    """The incident with the severity that further signals raise it to; they never lower it, and who leads stays.

    What `join` would say of all its signals, from its leading one and the new ones alone.
    """
    if lead is None or not any(pages(s) for s in signals):
        return incident
    word = overruled(incident, "severity")
    before = word.latest if word is not None else incident.severity_reason
    severity, reason = severest(incident.impact, lead, signals)
    known = next((s for s in ("P1", "P2", "P3") if before.startswith(f"{s}: ")), None)
    return with_suggestion(incident, "severity", severity, reason) if known is None or severity < known else incident


def leaves_lead(incident: Incident, signals: Sequence[Signal]) -> bool:
    """Whether these further signals cannot change who leads: warnings, and what comes after two days of no worse class.

    They may still say that it is more severe (`worsened`).

    An incident that a person reported is led by its first page; one whose class a person chose is always looked at anew.
    """
    rank = WORST_FIRST.index(incident.impact)
    told = [s for s in signals if pages(s)]
    if not incident.lead or incident.recovered_us is not None or overruled(incident, "impact"):
        return not told
    return all(WORST_FIRST.index(s.harm) >= rank and s.at_us - incident.alarmed_us > 2 * MERGE_US for s in told)


def merges(incident: Incident, signal: Signal) -> bool:
    """Whether a signal belongs to an incident that is not closed: same app and environment, and the same event.

    It is the same event when the same chart speaks again, or when the harm began before the incident's last signal was a
    day old. A warning from before the incident stays outside, so that it does not matter when it is given.
    """
    return (
        incident.state != "closed"
        and (pages(signal) or signal.at_us >= incident.alarmed_us)
        and (incident.app, incident.environment) == (signal.app, signal.environment)
        and (
            signal.onset_us - incident.last_signal_us <= MERGE_US
            or any(s.rpartition("@")[0] == signal.monitor for s in incident.signals)
        )
    )
