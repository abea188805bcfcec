"""Follow-ups: a question that is asked again or corrected at once says that the answer before it failed.

The user says so without being asked, so it is feedback of kind ``follow_up`` on the answer before. The next question of a
conversation is none, however near its topic is. How often this is right is in `docs/methods/follow-ups.md`.

Source: Hassan, Shi, Craswell & Ramsey, "Beyond Clicks: Query Reformulation as a Predictor of Search Satisfaction", CIKM
2013 (the idea: a reformulated query is a sign that the results failed; the features here are our own).
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from hashlib import blake2b
from itertools import pairwise

from andon.traffic.records import Feedback, Interaction

__all__ = ["ALIKE", "AT_ONCE_S", "SIMILAR", "VERSION", "alike", "find_follow_ups", "objection"]

VERSION = "1"
"""Version of the rules below; another table of phrases is another measure."""

AT_ONCE_S = 600.0
"""Seconds after an answer within which a question is about that answer."""

PERSON_S = 2.0
"""Nobody reads an answer and asks again in less: that is a retry by a program, or a step of an agent."""

ALIKE = 0.8
"""`alike` from which a question is the one before in other words; chosen so that no ordinary next question reaches it."""

SIMILAR = 0.95
"""The same for the similarity of an embedder, chosen in the same way for the cosine of all-MiniLM-L6-v2."""

LEAST, MOST = 0.6, 0.95
"""How sure a question at the threshold is, and one that is repeated to the letter."""

OPENING = 300
"""Characters in which an objection is looked for: a user who objects begins with it."""

MOST_WORDS = 80
"""A longer text is a document or a template: sharing words means nothing, only repeating it does."""

READ = 100_000
"""Characters of a question that are read: a longer one must not cost seconds."""

SHOWN = 200
"""Characters of the question that the feedback keeps."""

_ASKING = {"who": "who", "whom": "who", "whose": "who", "why": "why", "when": "when", "where": "where"}
"""Words that make another question of the same content words ("why pay for it", "whom to pay for it")."""

_EMPTY = frozenset(
    "a about an and any are as at be been but by can could did do does for from had has have he her hi his how i if in "  # noqa: SIM905
    "into is it its me my of ok okay on or our please she should so some such thank thanks that the their them then "
    "there these they this to us was we were what when where which who why will with would yes you your".split()
)
"""English words without content, and courtesies."""

_WORD = re.compile(r"\w+")
_SPACE = re.compile(r"\s+")
_ROLE = re.compile(r"^\W*(?:user|human|customer|question|query)\s?:\s?")
_NOT = r"(?:'s not| is not| isn't| was not| wasn't| still isn't)"

_OBJECTIONS: tuple[tuple[str, float, re.Pattern[str]], ...] = tuple(
    (label, sure, re.compile(pattern))
    for label, sure, patterns in (
        (
            "complaint",
            0.95,
            (
                rf"\b(?:that|this|it){_NOT} (?:really |at all |quite |even )?"
                r"(?:what i|my question|the question|the answer|an answer|right|correct|true|helpful|useful|working)\b",
                r"(?:\bnot|n't) what i (?:\w+ )?(?:asked|meant|want|wanted|said|need|needed|am asking|was asking)\b",
                r"\byou(?: still)? (?:did not|didn't|have not|haven't|do not|don't|are not|aren't|never|keep)(?: \w+)? "
                r"(?:answer|answered|answering|address|addressed|addressing|understand|understood|listen|listening|read|get it)\b",
                r"\b(?:does not|doesn't|did not|didn't) (?:really |actually |even )?(?:answer|address) (?:my|the|that|it)\b",
                r"\b(?:that|this|it|the answer|your answer)(?:'s| is| was) (?:just |completely |totally |still |plain )?"
                r"(?:wrong|incorrect|false|nonsense|useless|irrelevant|no help|not helpful)\b",
                r"\byou(?:'re| are| were) (?:wrong|mistaken|incorrect)\b|\byou (?:have )?mis(?:under|read|heard)",
                r"\b(?:wrong answer|read my question|answer my question|answer the question)\b",
            ),
        ),
        (
            "correction",
            0.9,
            (
                r"\bi mean(?:t)?\b",
                r"\b(?:i'm|i am|i was) (?:actually |really |just |only )?(?:asking|talking about|referring)\b",
                r"^(?:no|nope|nah|actually|oops)\b[ ,.!-]{1,3}(?!that's (?:all|it|fine|ok|okay|alright)\b|thank)"
                r"(?:that|i|it|my|we|not|the|you|this|there)\b",
                r"\b(?:let me (?:rephrase|clarify|reword|repeat|be clear)|to clarify|what i (?:meant|asked|said)"
                r"|my question was|when i say|i should have said)\b",
            ),
        ),
        (
            "again",
            0.9,
            (
                r"\b(?:check|look|try|search|verify|answer|read|think|confirm)\b[^.!?]{0,30}"
                r"\b(?:again|once more|one more time|another time)\b",
                r"\bdouble[- ]?check\b",
                r"\b(?:as i (?:said|mentioned|asked|told|wrote)|i(?: have|'ve)? already (?:said|asked|told|mentioned|gave|given)"
                r"|i just (?:said|asked|told)|i asked|i repeat|i said)\b",
            ),
        ),
        (
            "doubt",
            0.6,
            (
                r"\b(?:are you (?:sure|certain|positive|serious)|how do you know (?:that|this|it))\b|\bhow do you know\?",
                r"\bthat (?:does not|doesn't|can't|cannot) (?:seem|sound|look|be)\b",
                r"^(?:is (?:that|this) (?:really )?(?:right|correct|true|so)|really|seriously)\b",
                r"^(?:but|hmm{0,5}|however)\b",
                r"^(?:\w{1,20}[,.!]? ){0,3}i (?:thought|think i (?:saw|read|heard)|believe you)\b",
                r", (?:correct|right|isn't it|isn't there|didn't they|doesn't it|aren't they|wasn't it)\?",
                r"^(?:is|are|was|were|does|do|did)n't\b",
                r"\byou (?:said|say|mention|mentioned|told me|just said|claim|claimed|wrote)\b",
            ),
        ),
        (
            "unclear",
            0.6,
            (
                r"\b(?:what do you mean|what are you (?:saying|talking)|are you saying|you(?:'re| are) saying)\b",
                r"\b(?:i'm|i am|still|bit|little) (?:\w+ ){0,2}confused\b",
                r"\b(?:do not|don't|did not|didn't) (?:quite |really |fully )?(?:understand|get|follow) "
                r"(?:it|that|this|you|your|what you)\b",
                r"\b(?:does not|doesn't|didn't) make (?:any )?sense\b|\b(?:not clear|unclear) (?:to me|what you)\b",
                r"^(?:what|huh|wait|pardon|excuse me|come again)\s?[?!]|^(?:wait|hold on|hang on)(?:,| a (?:second|minute|moment|sec)\b)",
                r"\b(?:clarify|rephrase|explain|reword|simplify) (?:that|this|your|what you)\b",
            ),
        ),
    )
    for pattern in patterns
)
"""What users say when an answer failed, in English: (label, how sure, pattern of lower-case text). Repetitions are bounded."""


def find_follow_ups(
    session: Sequence[Interaction],
    *,
    within_s: float = AT_ONCE_S,
    similar: Callable[[str, str], float] | None = None,
    similar_from: float = SIMILAR,
) -> list[Feedback]:
    """Feedback on every answer that the next question of its session says has failed, in the order of the questions.

    Only neighbours are compared, so a session may be cut into calls anywhere: give each call the last interaction of the one
    before together with the new ones, and all calls together give what one call gives for the whole session.

    Args:
        session: interactions, in any order; only those of one app, environment and `session_id` are compared.
        within_s: how long after the answer a question may come, in seconds.
        similar: likeness of two questions, 1 for the same meaning (the cosine of an embedder); beside `alike`, which counts
            words and letters.
        similar_from: likeness by `similar` from which it is the same question; it belongs to the embedder.

    Returns:
        Feedback of kind ``follow_up`` on the earlier interaction, at the time of the later one. ``label`` is ``repeated`` or
        one of complaint, correction, again, doubt, unclear; ``value`` says how sure, 0.6 to 0.95; ``text`` is the opening of
        the later question. The id follows from both ids, so finding it again adds nothing.
    """
    ordered = sorted(session, key=lambda i: (i.app, i.environment, i.session_id or "", i.time_us, i.id))
    found = []
    for before, after in pairwise(ordered):
        if not _at_once(before, after, within_s):
            continue
        query = _new_part(before, (after.query or "").strip())
        evidence = _evidence(before, query, similar, similar_from)
        if evidence is not None:
            found.append(_feedback(before, after, query, *evidence))
    return sorted(found, key=lambda f: (f.time_us, f.id))


def objection(text: str) -> tuple[str, float] | None:
    """The surest objection to an answer with which a text opens, as (label, how sure); None where there is none."""
    opening = _SPACE.sub(" ", _plain(text[: 2 * OPENING])).strip()[:OPENING]
    labels = ((label, sure) for label, sure, pattern in _OBJECTIONS if pattern.search(opening))
    return next(labels, None)  # the table is in the order of how sure they are


def alike(one: str, other: str) -> float:
    """How far two questions are the same in spelling, 0..1: 1 to the letter, but for case, punctuation and spacing.

    The mean of two Dice coefficients, of content words and of character trigrams. It is 0 where both ask differently (who,
    why, when, where), where a text has fewer than two content words ("continue", "yes please"), or is longer than 80 words
    and not repeated whole.
    """
    first, second = _words(one), _words(other)
    if first == second:
        return float(len(_content(first)) >= 2 or _unspaced("".join(first)))
    if not _comparable(first, second):
        return 0.0
    known, new, a, b = _content(first), _content(second), _trigrams(first), _trigrams(second)
    shared = 2 * len(known & new) / (len(known) + len(new))
    return (shared + 2 * (a & b).total() / (a.total() + b.total())) / 2


def _at_once(before: Interaction, after: Interaction, within_s: float) -> bool:
    """Whether a person can have asked this because of the answer before."""
    if before.session_id is None or before.id == after.id:
        return False
    if any(getattr(before, k) != getattr(after, k) for k in ("app", "environment", "session_id")):
        return False
    if before.tool_calls and not before.error and not (before.answer or "").strip():
        return False  # a step of an agent that asked for tools: nobody has been answered yet
    waited_s = (after.time_us - before.time_us) / 1e6 - (before.latency_s or 0.0)
    return PERSON_S <= waited_s <= within_s


def _evidence(
    before: Interaction, query: str, similar: Callable[[str, str], float] | None, similar_from: float
) -> tuple[str, float] | None:
    """What in the later question speaks against the earlier answer, and how sure it is."""
    question = (before.query or "").strip()
    if not question or not query:
        return None
    said = objection(query)
    if _asks(before.answer or ""):  # the user replies to a question: to repeat or to specify is what was asked for
        return None if said is None or said[0] == "correction" else said
    sure = _surely(alike(question, query), ALIKE)
    if similar is not None and sure < MOST and _comparable(_words(question), _words(query)):
        sure = max(sure, _surely(similar(question, query), similar_from))
    if said is not None and said[1] >= sure:
        return said
    return ("repeated", sure) if sure > 0 else None


def _surely(likeness: float, least: float) -> float:
    """How sure a likeness is, 0 below the least one."""
    if likeness < least:
        return 0.0
    return round(LEAST + (MOST - LEAST) * (min(likeness, 1.0) - least) / max(1 - least, 1e-9), 3)


def _new_part(before: Interaction, query: str) -> str:
    """What a query adds, where an application sends the whole conversation as the query."""
    question, answer = (before.query or "").strip(), (before.answer or "").strip()
    if question and len(answer) >= 20 and question in query and answer in query:
        query = query.rpartition(answer)[2].strip()
        return query[len(found[0]) :] if (found := _ROLE.match(query.casefold())) else query
    return query


def _asks(answer: str) -> bool:
    """Whether an answer ends with a question to the user."""
    return "?" in answer.rstrip()[-120:]


def _feedback(before: Interaction, after: Interaction, query: str, label: str, sure: float) -> Feedback:
    both = f"{len(before.id)}:{before.id}{after.id}"  # the length keeps two pairs of ids from giving one text
    text = " ".join(query[: 2 * SHOWN].split())
    return Feedback(
        id=f"follow-up/{blake2b(both.encode(), digest_size=16).hexdigest()}",
        interaction_id=before.id,
        time_us=after.time_us,
        kind="follow_up",
        value=sure,
        text=text if len(text) <= SHOWN else text[: SHOWN - 1] + "…",
        author="andon",
        label=label,
        source="andon",
        version=VERSION,
    )


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().replace("’", "'")


def _words(text: str) -> list[str]:
    return _WORD.findall(_plain(text[:READ]))


def _content(words: Sequence[str]) -> frozenset[str]:
    return frozenset(w for w in words if w not in _EMPTY)


def _comparable(first: Sequence[str], second: Sequence[str]) -> bool:
    """Whether two texts are questions of which more can be said than that they are repeated to the letter."""
    enough = min(len(_content(first)), len(_content(second))) >= 2 and max(len(first), len(second)) <= MOST_WORDS
    return enough and _asking(first) == _asking(second)


def _asking(words: Sequence[str]) -> frozenset[str]:
    return frozenset(_ASKING[w] for w in words if w in _ASKING)


def _unspaced(text: str) -> bool:
    """Whether a text is long enough to be a question in a script without spaces between words."""
    return sum(c >= "\u0e00" for c in text) >= 5


def _trigrams(words: Sequence[str]) -> Counter[str]:
    text = f" {' '.join(words)} "
    return Counter(text[k : k + 3] for k in range(len(text) - 2))
