"""Words for charts: what one counts, how it stands, what it would take to page."""

from andon.incidents import duration
from andon.incidents.words import phrase_of, scope_text
from andon.monitors import ChartState, Signal
from andon.monitors.records import TRAFFIC
from andon.monitors.verdicts import percent

__all__ = [
    "LEAST_MISSING",
    "NEAR",
    "column_of",
    "is_rank",
    "part_of",
    "rate_text",
    "sentence",
    "standing",
    "subject",
    "tone_of",
]

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
NEAR = 0.8
"""From here on a chart is called near: a tenth of a threshold of 100,000 hours lies there."""

LEAST_MISSING = 0.2
"""Missing traffic is drawn on a scale up to at least this share: a thousandth must not look like all of it."""

_COLUMNS = {
    "error": "Errors", "refusal": "Refusals", "policy_refusal": "Refusals on principle", "capability_refusal": "Cannot help",
    "escalation": "Handed to a person", "normalised_match": "Wrong answers", "exact_match": "Not exact",
    "citation_valid": "False citations", "tool_error": "Tool errors", "tool_retries": "Tool retries", "truncated": "Cut off",
    "format_ok": "Wrong format", "language_match": "Wrong language", "guardrail_block": "Blocked", "thumbs": "Thumbs down",
    "label_match": "Wrong predictions", "rating": "Poor ratings", "follow_up": "Asked again", "correction": "Corrected",
    "abandonment": "Gave up", "probe_pass": "Failing probes", "latency_s": "Latency", "first_token_s": "First token",
    "cost_usd": "Cost", "output_tokens": "Answer tokens", "answer_chars": "Answer length", "input_tokens": "Input tokens",
    "groundedness": "Groundedness", "context_used": "Use of passages", "retrieval_score": "Retrieval",
    "answer_relevancy": "Relevancy", "confidence": "Confidence", "evaluation": "Evaluators", "query_novelty": "New questions",
    "topic_share": "Topics", TRAFFIC: "Missing traffic",
}  # fmt: skip


def column_of(metric: str) -> str:
    """A metric in one or two words."""
    return _COLUMNS.get(metric, metric.replace("_", " ").capitalize())


def is_rank(state: ChartState | Signal) -> bool:
    """Whether a chart shows a mean rank: that of a number's typical value."""
    return state.kind == "number" and not state.aspect and not state.objective and state.metric != TRAFFIC


def subject(state: ChartState | Signal) -> str:
    """What a chart counts, or that of a signal, as the beginning of a sentence."""
    if state.metric == TRAFFIC:
        return f"{column_of(state.aspect)}: measured" if state.aspect else "Traffic"
    if is_rank(state):
        return column_of(state.metric)
    if state.aspect.startswith("beyond "):
        side = "at least" if state.direction == "up" else "below"
        return f"{column_of(state.metric)} {side} {state.aspect.removeprefix('beyond ')}"
    text = phrase_of(state.metric, state.direction)
    return text[:1].upper() + text[1:]


def part_of(state: ChartState) -> str:
    """The part of the traffic that a chart is about."""
    return scope_text(dict(state.scope))


def rate_text(state: ChartState, rate: float | None) -> str:
    """A rate of a chart as people read it."""
    if rate is None:
        return "nothing yet"
    if state.metric == TRAFFIC:
        return f"{percent(round(rate, 3))} missing"
    return f"{rate:.2f}" if is_rank(state) else percent(rate)


def sentence(state: ChartState) -> str:
    """What a chart shows now, in the one sentence that is needed at night."""
    now = state.rate_hour
    if now is None:
        return f"{subject(state)}: nothing came yet"
    late = not state.hour_end_us or state.until_us - state.hour_end_us >= HOUR_US
    when = "in the last hour with traffic" if late else "in the last hour"
    return f"{subject(state)}: {_compared(state, now, when)}"


def _compared(state: ChartState, now: float, when: str) -> str:
    """The rate of now beside what is usual, or allowed."""
    if state.metric == TRAFFIC:
        if state.phase == "learning":
            return "what is usual is being learned"
        return f"{percent(1 - now)} of what {'usually is' if state.aspect else 'usually comes'} {when}"
    if is_rank(state):
        side = "higher" if state.direction == "up" else "lower"
        return f"{side} than {percent(now, 2)} of the baseline {when}, 50 % is usual"
    if state.at_most is not None:
        return f"{percent(now)} {when}, the limit is {percent(state.at_most, 6)}"
    return f"{percent(now)} {when}" + ("" if state.usual is None else f", usually {percent(min(state.usual, 1.0))}")


def tone_of(state: ChartState) -> str:
    """``bad`` within a day of a crossing, ``warn`` near the threshold, else nothing."""
    if state.phase != "watching":
        return ""
    if crossed(state):
        return "bad"
    return "warn" if state.nearness >= NEAR else ""


def crossed(state: ChartState) -> bool:
    """Whether it crossed its threshold within the last day."""
    return state.signalled_us is not None and state.until_us - state.signalled_us < DAY_US


def standing(state: ChartState, double_h: float | None = None, tenfold_h: float | None = None) -> str:
    """How a chart stands with its threshold, and how soon it would tell of harm."""
    tells = "warn" if state.warns or not state.own else "page"
    if state.phase == "learning":
        return f"It learns what is usual from {state.seen:,.0f} observations so far, and says nothing yet. Limits are trial limits, of what was seen."
    if state.phase == "quiet":
        return "It learns for the charts beside it, and never tells by itself."
    share = percent(state.nearness, 2)
    if crossed(state):
        text = "It crossed its threshold within the last 24 hours."
    elif state.nearness >= 1:
        text = (
            "Its evidence is beyond its threshold, and was told of by another chart or explained by the mix of traffic."
        )
    else:
        text = f"It watches: its evidence is {share} of the way to where it would {tells}."
    if double_h is not None:
        text += f" Twice the harm is typically told of in {duration(3600 * double_h)}"
        text += f", ten times in {duration(3600 * tenfold_h)}." if tenfold_h is not None else "."
    return text
