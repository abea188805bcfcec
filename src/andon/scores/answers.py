"""What an answer finally says, and whether that is the expected answer."""

import re
import unicodedata

from andon.scores.text import READ, normalise

__all__ = ["BOXED", "BRACKET", "answers_match", "final_answer", "final_answers", "plain"]

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


_TAKEN_BACK = re.compile(r"\bno\s{0,3}(?:[,!?;:]|\.(?!\s?\d)|$)", re.IGNORECASE)
"""A "no" that answers: "Yes. No." takes back, "Yes, at no cost" and "Yes, see No. 5" do not."""
_MATH = re.compile(r"\${1,2}(?=[^\s$])([^$\n]{1,200})(?<=[^\s\\])\${1,2}(?!\d)")
_COMPARES = r"(?<![-=<>]){sign}(?![<>])(?=\s?[-+.$€£¥]?\d)|(?<=\b[^\W_])\s?{sign}(?=\s?[^\W_])"
"""Before a number, or behind a single letter: not an arrow, a tag, a quoted line, or "Settings > Privacy"."""
_SIGNS = (
    (re.compile(r"±|\+/-"), " plusminus "),
    (re.compile(r"≠|!="), " unequal "),
    (re.compile(r"≤|(?<!<)<="), " atmost "),
    (re.compile(r"≥|(?<![>-])>="), " atleast "),
    (re.compile(_COMPARES.format(sign="<")), " below "),
    (re.compile(_COMPARES.format(sign=">")), " above "),
    (re.compile(r"(?<=\w)\+\+"), "plusplus"),
    (re.compile(r"(?<=\w)\+(?!\w)"), "plus"),
    (re.compile(r"(?<=\w)#(?!\w)"), "sharp"),
    (re.compile(r"(?<=\d)\s?\\?%"), " percent "),
    *((re.compile(rf"{sign}\s?(\d[\d.,]{{0,30}}(?<=\d))|(?<=\d)\s?{sign}"), rf"\1 {word} ")
      for sign, word in ((r"\\?\$", "dollar"), ("€", "euro"), ("£", "pound"), ("¥", "yen"))),
)  # fmt: skip


def final_answers(answer: str) -> list[str]:
    r"""All that an answer marks as final: each ``\boxed{...}``, else each ``[...]``, else what follows each "answer:"."""
    return next((found for pattern in (BOXED, BRACKET, _ANSWER) if (found := pattern.findall(answer))), [])


def final_answer(answer: str) -> str:
    r"""What an answer finally says: the last ``\boxed{...}``, else the last ``[...]``, else what follows "answer:", else all of it."""
    return [answer, *final_answers(answer)][-1]


def plain(text: str) -> str:
    """A text as `normalise` gives it, but with the signs that make another thing of it: C++, C#, A+, 5 %, $5, < 5, a ≠ 1, ±5.

    ``$`` around a formula, ``#`` before a word, ``+`` before a number and ``=`` say nothing. Reads the first 100,000 characters.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text[:READ])[:READ]
    if any(sign in text for sign in "+#%$€£¥<>≤≥≠±") or "!=" in text:
        text = _MATH.sub(r"\1", text[:READ])
        for pattern, word in _SIGNS:
            text = pattern.sub(word, text)
    return normalise(text)


def answers_match(answer: str, expected: str) -> bool:
    """Whether two answers say the same after normalisation, or one's final answer equals the other's; yes/no by first word.

    C++ is not C, 5 % is neither 5 nor $5, and p < 0.05 is not p > 0.05 (`plain`). A first word that the opening takes back is
    no answer ("No problem, yes you can").

    A blank answer matches nothing. Where normalisation leaves nothing of the expected answer (a sign, an emoji), the texts
    themselves are compared.
    """
    if not answer.strip() or not expected.strip():
        return False
    given, wanted = final_answer(answer), final_answer(expected)
    want = plain(wanted)
    if not want or len(wanted) > READ:
        return expected.strip() in (answer.strip(), given.strip())
    if want in (plain(text) for text in (answer, given) if len(text) <= READ):
        return True
    if want not in ("yes", "no") or BRACKET.search(answer):
        return False
    opening = answer[:OPENING]
    first, *others = normalise(opening).split() or [""]
    return first == want and not ("yes" in others if want == "no" else _TAKEN_BACK.search(opening))
