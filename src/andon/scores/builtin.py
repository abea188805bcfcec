"""The built-in scorers: deterministic, cheap enough for all traffic, no model but the embedder.

Each is one pure function from an interaction to a number, or None where it does not apply.
"""

import re
from functools import lru_cache

import numpy as np

from andon.scores.records import Embedder, Harm, Scorer
from andon.scores.text import content_words, normalise, sentences
from andon.traffic import Interaction

__all__ = ["SCORERS", "answers_match", "final_answer", "is_refusal"]

SUPPORTED_SHARE = 0.6
"""A sentence counts as grounded when this share of its content words stands in one passage."""

OPENING = 256
"""Characters of question and answer that are compared by meaning: an answer shows early whether it is on the question,
and the cost of an embedding grows with its length."""

_CITATION = re.compile(r"\[\^?(\d{1,3}(?:\s*,\s*\d{1,3})*)\]")
_BOXED = re.compile(r"\\+boxed\s*\{+([^{}]*)\}+")
_BRACKET = re.compile(r"\[+([^\[\]\n]{1,80})\]+")
_ANSWER = re.compile(
    r"(?:^|\n|\.\s)\W*(?:the\s+)?(?:final\s+)?answer(?:\s+is)?\s*[:=]?\s*([^\n]{1,200})", re.IGNORECASE
)

_CANNOT = r"(?:can(?:no|')?t|cannot|can not|could ?n[o']t|won'?t|will not|would not|am (?:not able|unable)|'m (?:not able|unable)|do(?: not|n'?t))"
_HELPING = (
    r"(?:assist|help|provide|comply|fulfil|answer|offer|give|support|engage|discuss|participate|encourage|condone|endorse|promote|share"
    r"|create|generate|write|recommend|advise|determine|disclose|do that|have (?:access|the (?:ability|capability)|personal opinions))"
)
_REFUSAL = tuple(
    re.compile(p, re.IGNORECASE)
    for p in (
        # apology followed by inability
        rf"\b(?:sorry|apologi[sz]e|apologies)\b[^.!?]{{0,60}}\b{_CANNOT}\b",
        # inability or unwillingness of the speaker
        rf"\b(?:i|we|it)\b[^.!?\n]{{0,60}}\b{_CANNOT}[^.!?\n]{{0,60}}\b{_HELPING}\b",
        r"\bi (?:must|have to|need to|will) (?:clarify|decline|refuse|stress)\b|\bi (?:refuse|decline) to\b",
        r"\bas an? (?:ai|artificial intelligence)\b[^.!?\n]{0,120}\b(?:not|cannot|can'?t|don'?t|unable|committed|must)\b",
        # the question itself is rejected: on principle, by law, by policy, as unanswerable
        r"\b(?:it|that|this|which|\w+ing(?: \w+){0,4})(?:'s| is| would be) (?:not|never|neither) (?:only )?(?:\w+ly )?"
        r"(?:appropriate|ethical|acceptable|legal|okay|ok|right|safe|justified|justifiable|a (?:good|healthy) (?:idea|thing|way))\b",
        r"\b(?:is|are|was|were) (?:\w+ly )?(?:illegal|unethical|against the law|(?:never|not) (?:\w+ly )?(?:acceptable|okay|justified|justifiable))\b",
        r"\bi (?:strongly |firmly |do not |don't )?(?:condemn|disagree|oppose|condone)\b",
        r"\bviolence is never\b|\bthere (?:is|are|were) no (?:\w+ )?(?:reasons?|benefits|justification|excuse)\b",
        r"\b(?:against|violates?) (?:my|our|the|its) (?:policy|policies|guidelines|programming|principles|terms)\b",
        r"\b(?:this|that|it)(?: question| request| topic)? (?:is (?:a )?(?:very |highly )?(?:subjective|personal)|depends on (?:personal|the (?:individual|person)|individual|one's))",
    )
)
REFUSAL_REACH = 400
"""Characters from the start of an answer in which a refusal must stand: a refusal opens the answer, a caveat ends it."""


@lru_cache(maxsize=20_000)
def is_refusal(answer: str) -> bool:
    """Whether an answer declines to answer, by phrases that open refusals in English (apology, inability, principle).

    It errs on the side of calling a moralising opening a refusal, as human annotators do ("partial refusal"). Where an
    application knows better it sends `refused` and this is not asked.
    """
    opening = answer[:REFUSAL_REACH].replace("’", "'")
    return any(p.search(opening) for p in _REFUSAL)


def final_answer(answer: str) -> str:
    r"""What an answer finally says: the last ``\boxed{...}``, else the last ``[...]``, else what follows "answer:", else all of it."""
    for pattern in (_BOXED, _BRACKET, _ANSWER):
        found = pattern.findall(answer)
        if found:
            return str(found[-1])
    return answer


def answers_match(answer: str, expected: str) -> bool:
    """Whether two answers say the same after normalisation, or one's final answer equals the other's; yes/no by first word."""
    want = normalise(final_answer(expected))
    if want in (normalise(answer), normalise(final_answer(answer))):
        return True
    words = normalise(answer).split(maxsplit=1)
    return want in ("yes", "no") and bool(words) and words[0] == want and not _BRACKET.search(answer)


def _missing(i: Interaction) -> bool:
    return i.answer is None or not i.answer.strip()


def _answered(i: Interaction) -> str | None:
    return None if _missing(i) or i.error else i.answer


def _refusal(i: Interaction, _: Embedder) -> float | None:
    if i.refused is not None:
        return float(i.refused)
    answer = _answered(i)
    return None if answer is None or i.query is None else float(is_refusal(answer))


def _error(i: Interaction, _: Embedder) -> float | None:
    silent = _missing(i) and not i.tool_calls and i.prediction is None
    return float(bool(i.error) or silent)


def _groundedness(i: Interaction, _: Embedder) -> float | None:
    if not i.contexts:
        return None
    if _missing(i):
        return 0.0
    passages = [content_words(c.text) for c in i.contexts]
    checked = [w for s in sentences(i.answer or "") if len(w := content_words(s)) >= 3]
    if not checked:
        return None
    return float(np.mean([max(len(w & p) / len(w) for p in passages) >= SUPPORTED_SHARE for w in checked]))


def _citation_valid(i: Interaction, _: Embedder) -> float | None:
    if _missing(i):
        return None
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
    return (i.query[:OPENING], i.answer[:OPENING]) if i.query and not _missing(i) and i.answer else ()


def _answer_relevancy(i: Interaction, embedder: Embedder) -> float | None:
    if not i.query or i.prediction is not None:
        return None
    if _missing(i):
        return 0.0
    query, answer = embedder.embed(_relevancy_texts(i))
    return float(query @ answer)


def _exact_match(i: Interaction, _: Embedder) -> float | None:
    if i.expected_answer is None:
        return None
    return float((i.answer or "").strip() == i.expected_answer.strip())


def _normalised_match(i: Interaction, _: Embedder) -> float | None:
    if i.expected_answer is None:
        return None
    return 0.0 if _missing(i) else float(answers_match(i.answer or "", i.expected_answer))


def _tool_error(i: Interaction, _: Embedder) -> float | None:
    return float(any(t.error for t in i.tool_calls)) if i.tool_calls else None


def _escalation(i: Interaction, _: Embedder) -> float | None:
    return None if i.escalated is None else float(i.escalated)


def _blocked(i: Interaction, _: Embedder) -> float | None:
    return None if i.guardrail is None else float(i.guardrail.casefold() != "pass")


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
    _rate("escalation", "up", "usefulness", "The application handed the conversation to a person.", _escalation),
    _rate(
        "normalised_match",
        "down",
        "correctness",
        "The final answer equals the expected one after normalisation.",
        _normalised_match,
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
    _rate("guardrail_block", "up", "compliance", "A guardrail spoke.", _blocked),
    _number(
        "groundedness",
        "down",
        "correctness",
        "share",
        "Share of the answer's sentences whose content words stand in one retrieved passage.",
        _groundedness,
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
        about="Cosine of the openings of question and answer.",
        score=_answer_relevancy,
        texts=_relevancy_texts,
    ),
    _number("confidence", "down", "usefulness", "share", "The system's own confidence.", _confidence),
    _number("latency_s", "up", "availability", "s", "Time to the whole answer.", _latency),
    _number("output_tokens", "both", "usefulness", "tokens", "Length of the answer in tokens.", _output_tokens),
    _number("cost_usd", "up", "cost", "usd", "Cost of the interaction.", _cost),
)
"""The built-in scorers, in the order in which they are shown."""
