"""What an answer finally says, and whether that is the expected answer."""

import re

from andon.scores.text import READ, normalise

__all__ = ["BOXED", "BRACKET", "answers_match", "final_answer"]

OPENING = 256
"""Characters in which a yes or no is looked for."""

# Every repetition below is bounded or deterministic: an answer is hostile input, and a megabyte of "[" must cost no more
# than a megabyte of prose.
BOXED = re.compile(r"\\boxed\s{0,3}\{{1,3}([^{}]*)\}")
BRACKET = re.compile(r"\[([^\[\]\n]{1,80})\]")
_ANSWER = re.compile(
    r"(?:^|\n|\.\s)\W{0,8}(?:the\s{1,3})?(?:final\s{1,3})?answer(?:\s{1,3}is\b\s{0,3}[:=]?|[*_]{0,3}\s{0,3}(?:[:=]|\n))"
    r"[ \t]{0,3}(?=([^\n]{1,200}))",
    re.IGNORECASE,
)


def final_answer(answer: str) -> str:
    r"""What an answer finally says: the last ``\boxed{...}``, else the last ``[...]``, else what follows "answer:", else all of it."""
    for pattern in (BOXED, BRACKET, _ANSWER):
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
    return want in ("yes", "no") and bool(words) and words[0] == want and not BRACKET.search(answer)
