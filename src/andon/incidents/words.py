"""Plain words for metrics, parts of the traffic and durations, so that a title reads like a sentence."""

from collections.abc import Mapping

from andon.changes import Change
from andon.incidents.records import Incident
from andon.monitors import Signal
from andon.monitors.records import TRAFFIC
from andon.monitors.verdicts import percent

__all__ = [
    "change_text",
    "duration",
    "exactly",
    "from_alarm",
    "odds",
    "one_line",
    "onset_text",
    "phrase_of",
    "scope_text",
    "signals_text",
]

_PHRASES = {
    ("error", "up"): "calls that fail or answer nothing",
    ("refusal", "up"): "answers that refuse",
    ("refusal", "down"): "answers that do not refuse",
    ("policy_refusal", "up"): "answers that refuse on principle",
    ("policy_refusal", "down"): "answers that do not refuse on principle",
    ("capability_refusal", "up"): "answers that say they cannot help",
    ("escalation", "up"): "conversations handed to a person",
    ("normalised_match", "down"): "wrong answers",
    ("exact_match", "down"): "answers that are not letter-exact",
    ("citation_valid", "down"): "answers that cite passages which were not retrieved",
    ("tool_error", "up"): "interactions with a failed tool call",
    ("tool_retries", "up"): "interactions that repeat a tool call",
    ("truncated", "up"): "answers that were cut off",
    ("format_ok", "down"): "answers without the format that was asked for",
    ("language_match", "down"): "answers in another language than the question",
    ("markdown", "up"): "answers written in Markdown",
    ("markdown", "down"): "answers not written in Markdown",
    ("guardrail_block", "up"): "interactions that a guardrail blocked",
    ("thumbs", "down"): "thumbs down",
    ("label_match", "down"): "wrong predictions",
    ("rating", "down"): "answers rated poor by people",
    ("follow_up", "up"): "answers after which the user asked again",
    ("correction", "up"): "answers that a user corrected",
    ("abandonment", "up"): "answers after which the user gave up",
    ("probe_pass", "down"): "probes that fail",
}
_NOUNS = {
    "groundedness": "groundedness in the retrieved passages",
    "context_used": "use of the retrieved passages",
    "retrieval_score": "retrieval scores",
    "answer_relevancy": "relevancy of the answer to the question",
    "confidence": "confidence of the system",
    "evaluation": "marks by evaluators",
    "latency_s": "latency",
    "first_token_s": "delay of the first token",
    "output_tokens": "answer length",
    "answer_chars": "answer length",
    "reasoning_tokens": "use of reasoning tokens",
    "input_tokens": "input length",
    "cache_hit": "use of the prompt cache",
    "tool_calls": "numbers of tool calls",
    "cost_usd": "cost",
}


def phrase_of(metric: str, direction: str) -> str:
    """What a monitor counts, as a plural noun phrase that fits "the share of ..."."""
    if (metric, direction) in _PHRASES:
        return _PHRASES[metric, direction]
    side = "high" if direction == "up" else "low"
    return f"interactions with unusually {side} {_NOUNS.get(metric, metric.replace('_', ' '))}"


def scope_text(scope: Mapping[str, str], app: str = "") -> str:
    """A part of the traffic in words: ``risk category “high”, task “case law”``; ``all traffic`` for the whole.

    Values come from traffic: each is put on one line, without characters that a terminal obeys, and shortened.

    Args:
        scope: the part.
        app: the application, which is named behind it unless it is empty: ``all traffic of app legal``.
    """
    part = ", ".join(f"{k.replace('_', ' ')} “{one_line(v)}”" for k, v in scope.items()) or "all traffic"
    return f"{part} of app {one_line(app)}" if app else part


def one_line(text: str, limit: int = 60) -> str:
    """Text from traffic on one line, shortened, without characters that a terminal obeys."""
    short = text[:limit] + ("…" if len(text) > limit else "")
    return " ".join("".join(c if c.isprintable() else " " for c in short).split()) or "(blank)"


def odds(probability: float) -> str:
    """A probability for people, never a certainty: ``< 1 %``, ``42 %``, ``> 99 %``."""
    if probability < 0.01:
        return "< 1 %"
    return "> 99 %" if probability > 0.99 else f"{probability:.0%}".replace("%", " %")


def duration(seconds: float, *, within_s: float = 0.0) -> str:
    """A duration for people: ``45 s``, ``12 min``, ``3 h 20 min``, ``6 d 4 h``; from 60 days ``75 d``, from two years ``28 years``.

    Args:
        seconds: how long; not negative.
        within_s: how wide the interval is within which its beginning is known, such as that of an onset. From a minute on no
            seconds are told, which would be false precision: ``0 min``.
    """
    s = round(seconds)
    if s < 120 and within_s < 60:
        return f"{s} s"
    minutes = round(s / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    if hours >= 2 * 8766:
        return f"{round(hours / 8766, 1):,g} years"  # of 365.25 days
    if hours >= 60 * 24:
        return f"{round(hours / 24)} d"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def exactly(us: int) -> str:
    """A short duration with a digit behind the point: seconds are what counts until a lever works."""
    return f"{us / 1e6:.1f} s" if us < 10_000_000 else duration(us / 1e6)


def from_alarm(incident: Incident, at_us: int) -> str:
    """How far a time is from the alarm (or the report): ``2.4 s after the alarm, 8.6 s after the end of its window``.

    The alarm is when the incident stood in the ledger and people could be told; the window that raised it ended some seconds
    before. Where nobody noted when it was written (a replay), the end of the window is the alarm.
    """
    alarm_us = incident.alarmed_us if incident.opened_us is None else incident.opened_us
    side = "before" if at_us < alarm_us else "after"
    told = f"{exactly(abs(at_us - alarm_us))} {side} the {'alarm' if incident.lead else 'report'}"
    if (
        incident.opened_us is None or not 0 <= at_us - incident.alarmed_us < 120_000_000
    ):  # seconds matter to nobody later
        return told
    return f"{told}, {exactly(at_us - incident.alarmed_us)} after the end of its window"


def change_text(change: Change) -> str:
    """What a timeline says of a change."""
    who = change.author if change.own else "not us"
    return f"{change.kind}: {change.title} ({who})"


def onset_text(signal: Signal) -> str:
    """What a timeline says of a signal's onset."""
    more = "less traffic" if signal.metric == TRAFFIC else f"more {phrase_of(signal.metric, signal.direction)}"
    return f"estimated onset of {more} in {scope_text(signal.scope)}"


def signals_text(strongest: Signal, n: int) -> str:
    """What a timeline says of `n` signals of one moment."""
    s, more = strongest, ""
    if n > 1:
        charts = "1 more chart left its limits" if n == 2 else f"{n - 1} more charts left their limits"
        more = f"; {charts} in the same window"
    where = scope_text(s.scope)
    if s.metric == TRAFFIC:
        what = f"interactions that are usual {'were not measured by ' + s.aspect if s.aspect else 'did not come'}"
        return f"traffic in {where}: {s.x:,} of {s.n:,} {what}{more}"
    usual = f"{s.baseline_x:,} of {s.baseline_n:,} ({percent(s.baseline_rate)})"
    if s.objective:
        usual = f"at most {percent(s.baseline_rate, 6)} by objective {one_line(s.objective)}"
    mix = f"; {one_line(s.mix, 300)}" if s.mix else ""
    more += f"; proposed: {one_line(s.proposal, 300)}" if s.proposal else ""
    what = phrase_of(s.metric, s.direction)
    return f"{what} in {where}: {s.x:,} of {s.n:,} ({percent(s.rate)}) against {usual}{mix}{more}"
