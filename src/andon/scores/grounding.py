"""How much of an answer the retrieved passages support, word by word, and what of each claim they lack.

No model: a word that was retold from a passage stands in it, an invented one mostly does not. How far that carries, and
how often it is wrong, is in `docs/methods/groundedness.md`.

Source: K-Precision, the share of an answer's words that stand in the passages: Adlakha, BehnamGhader, Lu, Meade & Reddy,
"Evaluating Correctness and Faithfulness of Instruction-Following Models for Question Answering", TACL 12 (2024). We weigh
the words, take the best passage for each claim, and leave out sentences that claim nothing.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from andon.scores.language import language_of
from andon.scores.text import KEPT, READ, STOP_WORDS

__all__ = ["Claim", "explain_groundedness", "groundedness"]

LETTERS = 6
"""First letters by which two words are the same word: *describe*, *describes*, *description*."""

FUNCTION = 0.25
"""Weight of a function word. It is not 0, because an answer that left the passages speaks otherwise (*I*, *you*, *would*)."""

NUMBER = 2.0
"""Weight of a number, where a word of content has 1: who gets a number wrong says nothing true with the other words."""

PASSAGES = 200
"""Passages that are looked at: the cost of an answer grows with them."""

OPENING = 300
"""Characters of a sentence by which it is told whether it states anything."""

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
"""Thai, Lao, Burmese, Khmer, Japanese, Chinese, Korean: words without spaces, or with endings that hide them."""

_TOKEN = re.compile(
    rf"(?:(?<!\S)-)?\d{{1,64}}(?:[.,]\d{{1,64}}){{0,8}}|[{_UNSPACED}]{{1,64}}|[^\W\d_{_UNSPACED}]{{1,64}}", re.UNICODE
)
_PAIRED = re.compile(f"[{_UNSPACED}]")
_THOUSANDS = re.compile(r"-?\d{1,3}(?:[.,]\d{3})+")

_MARKER = re.compile(r"^\s{0,20}(?:[-*•–>#|]{1,6}|\(?\d{1,3}[.)])\s{1,20}")
_CITATION = re.compile(
    r"\[\^?\d{1,3}(?:\s{0,3}[,-]\s{0,3}\d{1,3}){0,20}\]"
    r"|\b(?:passages?|documents?|sources?)\s{1,3}\d{1,3}(?:(?:,|\s{1,3}and)\s{1,3}\d{1,3}\b){0,20}",
    re.IGNORECASE,
)
"""Numbers that name a passage, not a quantity."""
_ENDS = re.compile(r"(?<=[.!?])[\"'”’)*]{0,3}(?:\s{0,2}\[[\d^,\s-]{1,20}\]){0,5}\s+|(?<=[。！？])")

_ADDRESS = re.compile(r"https?://\S{1,2000}")

HALF = 0.5
"""Below this it is asked whether answer and passages are in the same language."""

_COUNTED = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_NUMBERS = {word: str(n) for n, word in enumerate(_COUNTED, 2)}

_MORE = """
s t m d re ve ll am being having does did doing been only own same too very just each both few many much while where why whom
whose until against off over again further once my me yours mine him hers us let must might shall even yet yes yeah no nor ok
okay well oh hi hello please thanks sure here however therefore thus hence moreover overall additionally according based given
provided passage passages context contexts document documents mentioned
"""
_FUNCTION_WORDS = STOP_WORDS | frozenset(_MORE.split())
"""English words without content, among them those by which an answer speaks of its passages."""

_SOURCES = r"(?:passages?|contexts?|documents?|sources?|texts?|articles?|excerpts?|information|knowledge base)"
_SAYING = r"(?:mention|provid|specif|contain|includ|state|say|give|offer|indicat|address|discuss|cover|answer)"
_NOT = r"(?:\bnot|\bno|\bnever|\black|\binsufficient|n't)\b"
_DECLINES = re.compile(
    rf"\b{_SOURCES}\b[^.!?,]{{0,80}}{_NOT}[^.!?,]{{0,40}}\b{_SAYING}"
    rf"|{_NOT}[^.!?]{{0,30}}\b(?:{_SAYING}\w{{0,3}}|find|found|have|see)\b[^.!?]{{0,80}}\b{_SOURCES}\b"
    r"|\bi(?: am|'m)? (?:cannot|can't|can not|could not|couldn't|unable|not able|sorry|apologi[sz]e|don't know|do not know)\b"
    r"|\bunable to (?:answer|determine|provide|find)\b|\bcannot be (?:answered|determined)\b"
)
"""What an answer says of what is missing: no statement about the world that a passage could support."""

_TURNS = re.compile(
    r"(?<=[\w,;] )(?:but|however|although|though|while|instead|so)\b|^ (?:although|though|even though|while)\b"
)
"""Where one of these stands, a sentence that declines states something all the same; "However," at its beginning is none."""

_CUES = ("not", " no", "never", "lack", "insufficient", "n't", "unable", "sorry", "apolog")
"""One of these stands in whatever the pattern matches; it costs less to look for them first."""

_COURTESIES = (
    "let me know",
    "feel free to",
    "hope this help",
    "hope that help",
    "hope it help",
    "happy to help",
    "you're welcome",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One sentence of an answer that states something, and how much of it the passages say."""

    text: str
    supported: float
    """Share of its words, by weight, that stand in the passage that says most of it; 0 to 1."""
    weight: float
    """Weight of its words: how much it counts in the whole answer."""
    passage: int | None
    """Place of that passage among the contexts, from 0; None where no word of the claim stands in any."""
    missing_words: tuple[str, ...]
    """Words of content that do not stand in it, in their order."""
    missing_numbers: tuple[str, ...]
    missing_names: tuple[str, ...]
    """Words with a capital letter within the sentence."""


class _Word(NamedTuple):
    raw: str
    weight: float
    kind: str


def groundedness(answer: str, contexts: Sequence[str]) -> float | None:
    """The share of what an answer claims that the passages say: 1 where all of its words stand in them, 0 where none does.

    Of every claim (a sentence that states something) the words that stand in the one passage that says most of it,
    over all of its words; claims count by their words::

        sum over claims of the weight of the words found / sum over claims of the weight of all words

    A word of content weighs 1, a number 2, a function word 1/4. Linear in the length of the texts, of which 100,000
    characters each are read.

    An answer that only says that it cannot tell claims nothing that the passages do not say, and has 1.

    Returns:
        None where it cannot tell: no passage has text, the answer claims nothing (it asks back, it is polite), or it is in
        another language than every passage.

    Use instead: a judge where a wrong answer uses the passages' own words; this sees words, not sense.
    """
    claims = explain_groundedness(answer, contexts)
    total = sum(c.weight for c in claims)
    if not total:
        return 1.0 if _declines(answer[:OPENING]) and any(map(_vocabulary, contexts[:PASSAGES])) else None
    value = min(sum(c.supported * c.weight for c in claims) / total, 1.0)
    return None if value < HALF and _foreign(answer, contexts) else value


def explain_groundedness(answer: str, contexts: Sequence[str]) -> tuple[Claim, ...]:
    """Every claim of an answer with its support and what the passages lack of it; their weighted mean is `groundedness`.

    Returns:
        The claims in the order of the answer; none where it claims nothing, or no passage has text.
    """
    passages = [(n, v) for n, c in enumerate(contexts[:PASSAGES]) if (v := _vocabulary(c))]
    read = [(s, words) for s in _statements(answer) if (words := _words(s))] if passages else []
    if not any(w.kind != "function" for _, words in read for w in words.values()):
        return ()
    return tuple(_claim(s, words, passages) for s, words in read)


def _claim(sentence: str, words: dict[str, _Word], passages: Sequence[tuple[int, frozenset[str]]]) -> Claim:
    weight = sum(w.weight for w in words.values())
    held, best, there = 0.0, None, frozenset[str]()
    for n, vocabulary in passages:
        share = sum(w.weight for key, w in words.items() if key in vocabulary)
        if share > held:
            held, best, there = share, n, vocabulary
    lacking = [w for key, w in words.items() if key not in there]
    return Claim(
        text=sentence,
        supported=min(held / weight, 1.0),
        weight=weight,
        passage=best,
        missing_words=tuple(w.raw for w in lacking if w.kind == "word"),
        missing_numbers=tuple(w.raw for w in lacking if w.kind == "number"),
        missing_names=tuple(w.raw for w in lacking if w.kind == "name"),
    )


def _statements(answer: str) -> Iterator[str]:
    """The sentences of an answer that state something about the world: no question, lead-in, courtesy or inability."""
    for line in answer[:READ].splitlines():
        for part in _ENDS.split(_MARKER.sub("", line)):
            sentence = part.strip()
            if not sentence or sentence.endswith(("?", "？", ":", "：")):
                continue
            if not (_declines(sentence) or any(c in _folded(sentence) for c in _COURTESIES)):
                yield sentence


def _folded(sentence: str) -> str:
    return " " + sentence[:OPENING].casefold().replace("’", "'")


def _declines(sentence: str) -> bool:
    text = _folded(sentence)
    return any(c in text for c in _CUES) and _DECLINES.search(text) is not None and _TURNS.search(text) is None


def _words(text: str) -> dict[str, _Word]:
    """The different words of a sentence by the key under which a vocabulary knows them, in their order."""
    found: dict[str, _Word] = {}
    for n, raw in enumerate(_tokens(_CITATION.sub(" ", text))):
        keys, word = _read(raw)
        if n and word.kind == "word" and raw[0].isupper():
            word = _Word(raw, word.weight, "name")
        for key in keys:
            found.setdefault(key, word)
    return found


def _vocabulary(text: str) -> frozenset[str]:
    return _remembered(text) if len(text) <= KEPT else _remembered.__wrapped__(text)


@lru_cache(maxsize=2_000)
def _remembered(text: str) -> frozenset[str]:
    if "://" in text and not _TOKEN.search(_ADDRESS.sub(" ", _CITATION.sub(" ", text[:READ]))):
        return frozenset()  # an address is no passage
    return frozenset(key for raw in set(_tokens(text)) for key in _read(raw)[0])


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(unicodedata.normalize("NFKC", text[:READ])[:READ])


@lru_cache(maxsize=50_000)
def _read(raw: str) -> tuple[tuple[str, ...], _Word]:
    """What two words must share to be the same (first letters, the value, pairs of characters), and how the word counts."""
    word = raw.casefold()
    if raw[-1].isdigit():
        return (_number(raw),), _Word(raw, NUMBER, "number")
    if word in _NUMBERS:
        return (_NUMBERS[word],), _Word(raw, NUMBER, "number")
    if not raw.isascii() and _PAIRED.match(raw):
        return tuple(raw[i : i + 2] for i in range(len(raw) - 1)) or (raw,), _Word(raw, 1.0, "word")
    function = word in _FUNCTION_WORDS
    return (word[:LETTERS],), _Word(raw, FUNCTION if function else 1.0, "function" if function else "word")


def _number(raw: str) -> str:
    if _THOUSANDS.fullmatch(raw):
        return raw.replace(",", "").replace(".", "")
    whole, _, part = raw.replace(",", ".").partition(".")
    return (whole.lstrip("0") or "0") + ("." + part.rstrip("0") if part.rstrip("0") else "")


def _foreign(answer: str, contexts: Sequence[str]) -> bool:
    """Whether the answer is known to be in another language than every passage: then shared words say nothing."""
    own = language_of(answer)
    others = {language_of(c) for c in contexts[:PASSAGES] if c.strip()}
    return own is not None and None not in others and own not in others
