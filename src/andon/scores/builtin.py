"""The built-in scorers: deterministic, cheap enough for all traffic, no model but the embedder.

Each is one pure function from an interaction to a number, or None where it does not apply.
"""

import re
from functools import lru_cache

import numpy as np

from andon.scores.records import Embedder, Harm, Scorer
from andon.scores.text import READ, content_words, normalise, sentences
from andon.traffic import Interaction

__all__ = ["SCORERS", "answers_match", "final_answer", "is_refusal"]

SUPPORTED_SHARE = 0.6
"""A sentence counts as grounded when this share of its content words stands in one passage."""

OPENING = 256
"""Characters of question and answer that are compared by meaning: an answer shows early whether it is on the question,
and the cost of an embedding grows with its length."""

_CITATION = re.compile(r"\[\^?(\d{1,3}(?:\s{0,3},\s{0,3}\d{1,3})*)\]")
# Every repetition below is bounded or deterministic: an answer is hostile input, and a megabyte of "[" must cost no more
# than a megabyte of prose.
_BOXED = re.compile(r"\\boxed\s{0,3}\{{1,3}([^{}]*)\}")
_BRACKET = re.compile(r"\[([^\[\]\n]{1,80})\]")
_ANSWER = re.compile(
    r"(?:^|\n|\.\s)\W{0,8}(?:the\s{1,3})?(?:final\s{1,3})?answer(?:\s{1,3}is\b\s{0,3}[:=]?|[*_]{0,3}\s{0,3}(?:[:=]|\n))"
    r"[ \t]{0,3}(?=([^\n]{1,200}))",
    re.IGNORECASE,
)

_CANNOT = (
    r"(?:can(?:no|')?t|can not|could ?n[o']t|won'?t|will not|would not|am (?:not able|unable)|'m (?:not able|unable)"
    r"|do(?: not|n'?t))"
)
_HELPING = (
    r"(?:assist|help|provide|comply|fulfill?|answer|offer|give|support|engage|discuss|participate|encourage|condone|endorse"
    r"|promote|share|create|generate|write|recommend|advise|determine|disclose|do that"
    r"|have (?:access|the (?:ability|capability)|personal opinions))"
)
_VALUE = r"(?:appropriate|ethical|acceptable|respectful|fair|productive|okay|ok|right|safe|justified|justifiable)"
_WHOSE = r"(?:personal|individual|the (?:individual|person)|one's|your (?:own|personal))"
_REFUSAL: tuple[tuple[tuple[str, ...], re.Pattern[str]], ...] = tuple(
    (cues, re.compile(p))
    for cues, p in (
        # apology followed by inability
        (("sorry", "apolog"), rf"\b(?:sorry|apologi[sz]e|apologies)\b[^.!?]{{0,60}}\b{_CANNOT}\b"),
        # inability as the first thing said
        (
            ("not", "n't", "cant", "wont", "unable"),
            r"^(?:(?:unfortunately|regrettably|no|hello|hi)\W{1,3})?i(?:'m| am)? (?:just |simply |currently )?"
            r"(?:can(?:no|')?t|can not|won'?t|will not|not (?:able|allowed|permitted|comfortable)|unable)\b"
            r"(?! (?:wait|stress|emphasi[sz]e|overstate|say enough|help but|agree more|recommend|thank))",
        ),
        # inability or unwillingness of the speaker
        (
            ("not", "n't", "cant", "wont", "dont", "unable"),
            rf"\b(?:i|we|it)\b[^.!?\n]{{0,60}}\b{_CANNOT}[^.!?\n]{{0,60}}\b{_HELPING}\b",
        ),
        (
            ("i must", "i have to", "i need to", "i will", "i refuse", "i decline"),
            r"\bi (?:must|have to|need to|will) (?:politely |respectfully )?(?:clarify|decline|refuse|stress|point out|challenge)\b"
            r"|\bi (?:refuse|decline) to\b",
        ),
        (
            ("as a",),
            r"\bas an? (?:ai|artificial intelligence)\b[^.!?\n]{0,120}\b(?:not|cannot|can'?t|don'?t|unable|committed|must)\b"
            r"(?![^.!?\n]{0,60}\b(?:but|however),? i can\b)",
        ),
        (
            ("not within my", "not in my"),
            r"\bnot (?:with)?in my (?:programming|ethic|guideline|capabilit|abilit|power)",
        ),
        # the question itself is rejected: on principle, by law, by policy, as unanswerable
        (
            ("not", "n't", "never", "neither"),
            r"\b(?:it|that|this|which|\w+ing(?: \w+){0,4})(?:'s| is| would be) (?:not|never|neither) (?:only )?(?:\w+ly )?"
            rf"(?:\w+ or )?(?:{_VALUE}|legal|a (?:good|healthy) (?:idea|thing|way))\b",
        ),
        (
            ("i don't", "i do not", "i'm not sure", "i am not sure"),
            r"\bi (?:don't (?:think|believe|feel)|do not (?:think|believe|feel)|(?:'m|am) not sure) (?:that )?"
            rf"(?:it|that|this)(?:'s| is| would be) (?:a )?(?:\w+ or )?{_VALUE}\b",
        ),
        (
            ("llegal", "ethical", "against the law", "acceptable", "okay", "justif"),
            r"\b(?:is|are|was|were) (?:\w+ly )?"
            r"(?:illegal|unethical|against the law|(?:never|not) (?:\w+ly )?(?:acceptable|okay|justified|justifiable))\b",
        ),
        (
            ("condemn", "disagree", "oppose", "condone"),
            r"\bi (?:strongly |firmly |do not |don't )?(?:condemn|disagree|oppose|condone)\b",
        ),
        (
            ("violence", "there"),
            r"\bviolence is never\b|\bthere (?:is|are|were) no (?:\w+ )?(?:reasons?|benefits|justification|excuse)\b",
        ),
        (
            ("against", "violate"),
            r"\b(?:against|violates?) (?:my|our|the|its) (?:policy|policies|guidelines|programming|principles|terms)\b",
        ),
        (
            ("question",),
            r"\bquestion (?:contains|assumes|perpetuates|is based on)[^.!?\n]{0,40}\b(?:harmful|offensive|inappropriate|stereotyp)",
        ),
        (
            ("depend", "subjective", "personal", "vary", "varies"),
            r"\b(?:this|that|it)(?: question| request| topic| answer| information| response)? "
            r"(?:is (?:a )?(?:very |highly )?(?:subjective|personal)"
            rf"|(?:(?:would|will|may|might|can) )?(?:depends? on|var(?:y|ies) (?:depending|based) on) {_WHOSE})",
        ),
        (("cannot be",), r"\b(?:this|that|it)\b[^.!?\n]{0,40}\bcannot be (?:answered|determined|shared|provided)\b"),
    )
)
"""Phrases that open refusals, each with cheap cues one of which must stand in the text before the pattern is tried."""

REFUSAL_REACH = 400
"""Characters from the start of an answer in which a refusal must stand: a refusal opens the answer, a caveat ends it."""


def is_refusal(answer: str) -> bool:
    """Whether an answer declines to answer, by phrases that open refusals in English (apology, inability, principle).

    It errs on the side of calling a moralising opening a refusal, as human annotators do ("partial refusal"). Where an
    application knows better it sends `refused` and this is not asked. Measured in `docs/methods/scores.md`.
    """
    return _opens_with_refusal(answer[: 4 * REFUSAL_REACH].lstrip()[:REFUSAL_REACH])


@lru_cache(maxsize=20_000)
def _opens_with_refusal(opening: str) -> bool:
    text = opening.replace("’", "'").lower()
    return any(p.search(text) is not None for cues, p in _REFUSAL if any(c in text for c in cues))


def final_answer(answer: str) -> str:
    r"""What an answer finally says: the last ``\boxed{...}``, else the last ``[...]``, else what follows "answer:", else all of it."""
    for pattern in (_BOXED, _BRACKET, _ANSWER):
        found = pattern.findall(answer)
        if found:
            return str(found[-1])
    return answer


def answers_match(answer: str, expected: str) -> bool:
    """Whether two answers say the same after normalisation, or one's final answer equals the other's; yes/no by first word.

    A blank answer matches nothing. Where normalisation leaves nothing of the expected answer (a sign, an emoji), the texts
    themselves are compared.
    """
    if not answer.strip() or not expected.strip():
        return False
    given, wanted = final_answer(answer), final_answer(expected)
    want = normalise(wanted)
    if not want or len(wanted) > READ:
        return expected.strip() in (answer.strip(), given.strip())
    if want in (normalise(text) for text in (answer, given) if len(text) <= READ):
        return True
    words = normalise(answer[:OPENING]).split(maxsplit=1)
    return want in ("yes", "no") and bool(words) and words[0] == want and not _BRACKET.search(answer)


_TOOL_FINISHES = frozenset(("tool_calls", "tool_call", "tool_use", "function_call"))


def _missing(i: Interaction) -> bool:
    return i.answer is None or not i.answer.strip()


def _answered(i: Interaction) -> str | None:
    return None if _missing(i) or i.error else i.answer


def _refusal(i: Interaction, _: Embedder) -> float | None:
    if i.refused is not None:
        return None if _missing(i) and not i.refused else float(i.refused)
    answer = _answered(i)
    return None if answer is None or i.query is None else float(is_refusal(answer))


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
    if _missing(i):
        return 0.0
    passages = [p for c in i.contexts if (p := content_words(c.text))]
    checked = [w for s in sentences(i.answer or "") if len(w := content_words(s)) >= 3]
    if not checked or not passages:
        return None
    return float(np.mean([max(len(w & p) / len(w) for p in passages) >= SUPPORTED_SHARE for w in checked]))


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


def _escalation(i: Interaction, _: Embedder) -> float | None:
    return None if i.escalated is None else float(i.escalated)


def _blocked(i: Interaction, _: Embedder) -> float | None:
    return None if not (i.guardrail or "").strip() else float((i.guardrail or "").strip().casefold() != "pass")


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
        about="Cosine of the openings of question and answer; -1 for a missing answer.",
        score=_answer_relevancy,
        texts=_relevancy_texts,
    ),
    _number("confidence", "down", "usefulness", "share", "The system's own confidence.", _confidence),
    _number("latency_s", "up", "availability", "s", "Time to the whole answer.", _latency),
    _number("output_tokens", "both", "usefulness", "tokens", "Length of the answer in tokens.", _output_tokens),
    _number("cost_usd", "up", "cost", "usd", "Cost of the interaction.", _cost),
)
"""The built-in scorers, in the order in which they are shown."""
