"""The built-in scorers: deterministic, cheap enough for all traffic, no model but the embedder.

Each is one pure function from an interaction to a number, or None where it does not apply.
"""

import re
from collections import Counter

import numpy as np
import orjson

from andon.scores.answers import answers_match
from andon.scores.formats import asked_format, has_markdown, keeps_format
from andon.scores.grounding import groundedness
from andon.scores.language import language_of
from andon.scores.records import Embedder, Harm, Scorer
from andon.scores.refusals import Reason, is_refusal, refusal_reason
from andon.scores.text import content_words
from andon.traffic import Interaction, ToolCall
from andon.traffic.conventions.readings import FINISH_REASONS

__all__ = ["SCORERS"]

OPENING = 256
"""Characters of question and answer that are compared by meaning: an answer shows early whether it is on the question,
and the cost of an embedding grows with its length."""

_CITATION = re.compile(r"\[\^?(\d{1,3}(?:\s{0,3},\s{0,3}\d{1,3})*)\]")

ARGUMENTS = 10_000
"""Characters of a tool's arguments beyond which they are compared as they are, not as JSON."""

_LET_PASS = frozenset(("pass", "passed", "ok", "none", "safe", "allow", "allowed"))
"""What a guardrail says, in any case, when it lets an answer pass."""

_TOOL_FINISHES = frozenset(("tool_calls", "tool_call", "tool_use", "function_call"))


def _missing(i: Interaction) -> bool:
    return i.answer is None or not i.answer.strip()


def _answered(i: Interaction) -> str | None:
    return None if _missing(i) or i.error else i.answer


def _refusal(i: Interaction, _: Embedder | None) -> float | None:
    if i.refused is not None:
        return None if _missing(i) and not i.refused else float(i.refused)
    answer = _answered(i)
    return None if answer is None or i.query is None else float(is_refusal(answer))


def _refused_for(i: Interaction, reason: Reason) -> float | None:
    """Whether it is a refusal for this reason; None also for one whose reason cannot be told."""
    refused = _refusal(i, None)
    if not refused:
        return refused
    found = refusal_reason(i.answer or "", i.refused)
    return None if found is None else float(found == reason)


def _policy_refusal(i: Interaction, _: Embedder) -> float | None:
    return _refused_for(i, "policy")


def _capability_refusal(i: Interaction, _: Embedder) -> float | None:
    return _refused_for(i, "capability")


def _error(i: Interaction, _: Embedder) -> float | None:
    silent = _missing(i) and i.prediction is None and not _asks_for_tools(i) and not _unrecorded(i)
    return float(bool(i.error) or silent)


def _asks_for_tools(i: Interaction) -> bool:
    """Whether this is a step of an agent that ended with tool calls instead of an answer."""
    return bool(i.tool_calls) and (i.finish_reason or "").casefold() in _TOOL_FINISHES


def _unrecorded(i: Interaction) -> bool:
    """Whether the texts were not sent at all (content capture is off), although tokens came back."""
    return i.query is None and i.answer is None and bool(i.output_tokens)


def _groundedness(i: Interaction, _: Embedder) -> float | None:
    if not i.contexts:
        return None
    return 0.0 if _missing(i) else groundedness(i.answer or "", [c.text for c in i.contexts])


def _citation_valid(i: Interaction, _: Embedder) -> float | None:
    if _missing(i) or not (i.contexts or i.index_version or i.corpus_version or i.embedding_model):
        return None  # without a sign of retrieval a number in brackets is no citation
    cited = {int(n) for group in _CITATION.findall(i.answer or "") for n in group.split(",")}
    if not cited:
        return None
    labels = {c.id for c in i.contexts}
    return float(all(1 <= n <= len(i.contexts) or str(n) in labels for n in cited))


def _retrieval_score(i: Interaction, _: Embedder) -> float | None:
    scores = [c.score for c in i.contexts if c.score is not None]
    return float(np.mean(scores)) if scores else None


def _context_used(i: Interaction, _: Embedder) -> float | None:
    if not i.contexts:
        return None
    if _missing(i):
        return 0.0
    words = content_words(i.answer or "")
    used = [len(words & p) >= max(2, 0.1 * len(p)) for c in i.contexts if (p := content_words(c.text))]
    return float(np.mean(used)) if used else None


def _relevancy_texts(i: Interaction) -> tuple[str, ...]:
    if i.query is None or i.answer is None or _missing(i) or not i.query.strip():
        return ()
    return i.query.strip()[:OPENING], i.answer.strip()[:OPENING]


def _answer_relevancy(i: Interaction, embedder: Embedder) -> float | None:
    if i.query is None or not i.query.strip() or i.prediction is not None:
        return None
    if _missing(i):
        return -1.0  # the lowest cosine: an answer that is off the question may have one below 0
    query, answer = embedder.embed(_relevancy_texts(i))
    return float(query @ answer)


def _expected(i: Interaction) -> str | None:
    return i.expected_answer if i.expected_answer is not None and i.expected_answer.strip() else None


def _given(i: Interaction) -> str:
    """What the user got: the answer, or a classical model's prediction where that is all there is."""
    return (i.prediction or "" if _missing(i) else i.answer or "").strip()


def _exact_match(i: Interaction, _: Embedder) -> float | None:
    expected = _expected(i)
    return None if expected is None else float(_given(i) == expected.strip())


def _normalised_match(i: Interaction, _: Embedder) -> float | None:
    expected = _expected(i)
    return None if expected is None else float(answers_match(_given(i), expected))


def _tool_error(i: Interaction, _: Embedder) -> float | None:
    return float(any(t.error for t in i.tool_calls)) if i.tool_calls else None


def _tool_calls(i: Interaction, _: Embedder) -> float | None:
    return float(len(i.tool_calls)) if i.tool_calls or i.tools_version is not None else None


def _tool_retries(i: Interaction, _: Embedder) -> float | None:
    if not i.tool_calls:
        return None
    times = Counter(t.name for t in i.tool_calls)
    again = [t for t in i.tool_calls if times[t.name] > 1]
    if any(t.arguments is None for t in again):
        return None  # called again, but nobody says with what
    return float(len({(t.name, _arguments(t)) for t in again}) < len(again))


def _arguments(call: ToolCall) -> str | bytes:
    """Arguments of a call, the same for the same JSON in another order or spacing."""
    text = (call.arguments or "").strip()
    if len(text) > ARGUMENTS:
        return text
    try:
        return orjson.dumps(orjson.loads(text), option=orjson.OPT_SORT_KEYS)
    except orjson.JSONDecodeError:
        return text


def _truncated(i: Interaction, _: Embedder) -> float | None:
    if i.finish_reason is None or not i.finish_reason.strip():
        return None
    words = (w.strip().lower().replace("-", "_") for w in i.finish_reason.split(","))
    return float(any(FINISH_REASONS.get(w) == "length" for w in words))


def _format_ok(i: Interaction, _: Embedder) -> float | None:
    answer = _answered(i)
    wanted = None if answer is None else asked_format(i)
    return None if answer is None or wanted is None else float(keeps_format(answer, wanted))


def _markdown(i: Interaction, _: Embedder) -> float | None:
    answer = _answered(i)
    return None if answer is None else float(has_markdown(answer))


def _language_match(i: Interaction, _: Embedder) -> float | None:
    answer = _answered(i)
    if answer is None or i.query is None:
        return None
    asked, given = language_of(i.query), language_of(answer)
    return None if asked is None or given is None else float(asked == given)


def _answer_chars(i: Interaction, _: Embedder) -> float | None:
    return None if _missing(i) or i.output_tokens is not None else float(len((i.answer or "").strip()))


def _escalation(i: Interaction, _: Embedder) -> float | None:
    return None if i.escalated is None else float(i.escalated)


def _blocked(i: Interaction, _: Embedder) -> float | None:
    said = (i.guardrail or "").strip().casefold()
    return float(said not in _LET_PASS) if said else None


def _input_tokens(i: Interaction, _: Embedder) -> float | None:
    return None if i.input_tokens is None else float(i.input_tokens)


def _cache_hit(i: Interaction, _: Embedder) -> float | None:
    if not i.input_tokens or i.cache_read_tokens is None or i.cache_read_tokens > i.input_tokens:
        return None
    return i.cache_read_tokens / i.input_tokens


def _reasoning_tokens(i: Interaction, _: Embedder) -> float | None:
    return None if i.reasoning_tokens is None else float(i.reasoning_tokens)


def _first_token(i: Interaction, _: Embedder) -> float | None:
    return i.first_token_s


def _latency(i: Interaction, _: Embedder) -> float | None:
    return i.latency_s


def _output_tokens(i: Interaction, _: Embedder) -> float | None:
    return None if i.output_tokens is None else float(i.output_tokens)


def _cost(i: Interaction, _: Embedder) -> float | None:
    return i.cost_usd


def _confidence(i: Interaction, _: Embedder) -> float | None:
    return i.confidence


def _rate(name: str, bad: str, harm: Harm, about: str, score: object, version: str = "1") -> Scorer:
    return Scorer(name=name, version=version, kind="binary", bad=bad, harm=harm, unit="rate", about=about, score=score)  # type: ignore[arg-type]


def _number(name: str, bad: str, harm: Harm, unit: str, about: str, score: object, version: str = "1") -> Scorer:
    return Scorer(name=name, version=version, kind="number", bad=bad, harm=harm, unit=unit, about=about, score=score)  # type: ignore[arg-type]


SCORERS: tuple[Scorer, ...] = (
    _rate("error", "up", "availability", "The call failed, or succeeded with an empty answer.", _error),
    _rate("refusal", "both", "usefulness", "The answer declines to answer (policy or capability).", _refusal),
    _rate(
        "policy_refusal",
        "both",
        "usefulness",
        "The answer declines because it should not: ethics, law, policy, privacy, harm.",
        _policy_refusal,
    ),
    _rate(
        "capability_refusal",
        "up",
        "usefulness",
        "The answer declines because it cannot: no access, no knowledge, no ability.",
        _capability_refusal,
    ),
    _rate("escalation", "up", "usefulness", "The application handed the conversation to a person.", _escalation),
    _rate(
        "normalised_match",
        "down",
        "correctness",
        "The final answer equals the expected one after normalisation.",
        _normalised_match,
        version="3",
    ),
    _rate("exact_match", "down", "correctness", "The answer equals the expected one to the letter.", _exact_match),
    _rate(
        "citation_valid",
        "down",
        "correctness",
        "Every citation in the answer names a passage that was retrieved.",
        _citation_valid,
    ),
    _rate("tool_error", "up", "correctness", "At least one tool call of the interaction failed.", _tool_error),
    _rate(
        "tool_retries",
        "up",
        "correctness",
        "A tool was called again with the same arguments.",
        _tool_retries,
    ),
    _rate("truncated", "up", "usefulness", "The answer was cut off at the limit of its length.", _truncated),
    _rate(
        "format_ok",
        "down",
        "usefulness",
        "The answer has the format that was asked for (JSON, box, brackets).",
        _format_ok,
    ),
    _rate("language_match", "down", "usefulness", "The answer is in the language of the question.", _language_match),
    _rate(
        "markdown",
        "both",
        "usefulness",
        "The answer has Markdown: headings, lists, tables, bold text or code fences.",
        _markdown,
    ),
    _rate(
        "guardrail_block",
        "up",
        "compliance",
        "A guardrail said something else than pass, passed, ok, none, safe, allow or allowed.",
        _blocked,
        "2",
    ),
    _number(
        "groundedness",
        "down",
        "correctness",
        "share",
        "Share of the answer's words that stand in the passages, function words at half weight.",
        _groundedness,
        "2",
    ),
    _number(
        "context_used",
        "down",
        "correctness",
        "share",
        "Share of the retrieved passages that the answer draws on.",
        _context_used,
    ),
    _number(
        "retrieval_score",
        "down",
        "correctness",
        "score",
        "Mean score of the retrieved passages, as the retriever gave it.",
        _retrieval_score,
    ),
    Scorer(
        name="answer_relevancy",
        version="1",
        kind="number",
        bad="down",
        harm="usefulness",
        unit="cosine",
        about="Cosine of the openings of question and answer; -1 for a missing answer.",
        score=_answer_relevancy,
        texts=_relevancy_texts,
    ),
    _number("confidence", "down", "usefulness", "share", "The system's own confidence.", _confidence),
    _number("latency_s", "up", "availability", "s", "Time to the whole answer.", _latency),
    _number("first_token_s", "up", "availability", "s", "Time to the first token of the answer.", _first_token),
    _number("output_tokens", "both", "usefulness", "tokens", "Length of the answer in tokens.", _output_tokens),
    _number(
        "answer_chars",
        "both",
        "usefulness",
        "characters",
        "Length of the answer in characters, where no tokens were sent.",
        _answer_chars,
    ),
    _number("reasoning_tokens", "both", "usefulness", "tokens", "Tokens spent on reasoning.", _reasoning_tokens),
    _number("input_tokens", "both", "cost", "tokens", "Length of what went in, in tokens.", _input_tokens),
    _number("cache_hit", "down", "cost", "share", "Share of the input tokens that were read from a cache.", _cache_hit),
    _number("tool_calls", "both", "usefulness", "calls", "Tool calls in the interaction.", _tool_calls),
    _number("cost_usd", "up", "cost", "usd", "Cost of the interaction.", _cost),
)
"""The built-in scorers, in the order in which they are shown."""
