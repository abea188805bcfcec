"""How much of an answer the retrieved passages say, word by word, and what of each sentence they lack.

No model: a word that was retold from a passage stands in it, an invented one mostly does not. How far that carries, and
how often it is wrong, is in `docs/methods/groundedness.md`.

Source: K-Precision, the share of an answer's words that stand in the passages: Adlakha, BehnamGhader, Lu, Meade & Reddy,
"Evaluating Correctness and Faithfulness of Instruction-Following Models for Question Answering", TACL 12 (2024). We count
every word once and a function word half, and leave out sentences that decline.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from andon.scores.language import language_of
from andon.scores.text import KEPT, READ, STOP_WORDS, number_value

__all__ = ["Claim", "explain_groundedness", "groundedness"]

FUNCTION = 0.5
"""Weight of a function word. It is not 0, because an answer that left the passages speaks otherwise (*I*, *you*, *would*)."""

PASSAGES = 200
"""Passages that are looked at: the cost of an answer grows with them."""

OPENING = 300
"""Characters of a sentence by which it is told whether it declines."""

HALF = 0.5
"""Below this it is asked whether answer and passages are in the same language."""

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
"""Thai, Lao, Burmese, Khmer, Japanese, Chinese, Korean: words without spaces, or with endings that hide them."""

_TOKEN = re.compile(
    rf"(?:(?<!\S)-)?\d{{1,64}}(?:[.,]\d{{1,64}}){{0,8}}|[{_UNSPACED}]{{1,64}}|[^\W\d_{_UNSPACED}]{{1,64}}", re.UNICODE
)
_PAIRED = re.compile(f"[{_UNSPACED}]")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")
_ITEM = re.compile(r"\s{0,20}\(?\d{1,3}[.)]\s")
_CITATION = re.compile(
    r"\[\^?\d{1,3}(?:\s{0,3}[,-]\s{0,3}\d{1,3}){0,20}\]"
    r"|\b(?:passages?|documents?|sources?)\s{1,3}\d{1,3}(?:(?:,|\s{1,3}and)\s{1,3}\d{1,3}\b){0,20}",
    re.IGNORECASE,
)
"""Numbers that name a passage, not a quantity."""
_ADDRESS = re.compile(r"https?://\S{1,2000}")

_FUNCTION_WORDS = STOP_WORDS | {"hello", "hi", "ok", "okay", "please", "thank", "thanks", "yeah", "yes"}
"""English words that claim nothing by themselves."""

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
    r"(?<=[\w,;] )(?:but|however|although|though|while|instead|so)\b|^(?:although|though|even though|while)\b"
)
"""Where one of these stands, a sentence that declines states something all the same; "However," at its beginning is none."""

_CUES = ("not", "no ", "never", "lack", "insufficient", "n't", "unable", "sorry", "apolog")
"""One of these stands in whatever the pattern matches; it costs less to look for them first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One sentence of an answer, and how much of it the passages say."""

    text: str
    supported: float
    """Share of its words that stand in a passage, as in `groundedness`; 0 to 1."""
    missing_words: tuple[str, ...]
    """Words of content that stand in no passage, in their order."""
    missing_numbers: tuple[str, ...]
    """Numbers whose value stands in no passage."""


def groundedness(answer: str, contexts: Sequence[str]) -> float | None:
    """The share of an answer's words that stand in its passages: 1 where all of them do, 0 where none does.

    Of the different words of the answer, those that stand in any of the passages; a function word counts half::

        weight of the different words that are found / weight of all different words

    A number is a word, and the same as another by its value. Sentences that decline ("the passages do not mention...") are
    left out; an answer that says nothing else claims nothing that the passages do not say, and has 1. Linear in the length
    of the texts, of which 100,000 characters each are read.

    Returns:
        None where it cannot tell: no passage has text, the answer has no word of content ("Yes."), or it is in another
        language than every passage.

    Use instead: a judge where a wrong answer uses the passages' own words; this sees words, not sense.
    """
    held = _vocabulary(contexts)
    words = {key: raw for sentence in _statements(answer) for key, raw in _words(sentence).items()}
    if not held:
        return None
    if all(_weight(raw) == FUNCTION for raw in words.values()):
        return 1.0 if _declines(answer) else None
    value = _share(words, held)
    return None if value < HALF and _foreign(answer, contexts) else value


def explain_groundedness(answer: str, contexts: Sequence[str]) -> tuple[Claim, ...]:
    """Every sentence of an answer that does not decline, with its share and what the passages lack of it.

    Returns:
        The sentences in the order of the answer; none where no passage has text.
    """
    held = _vocabulary(contexts)
    read = [(s, words) for s in _statements(answer) if (words := _words(s))] if held else []
    return tuple(_claim(sentence, words, held) for sentence, words in read)


def _claim(sentence: str, words: dict[str, str], held: frozenset[str]) -> Claim:
    lacking = dict.fromkeys(raw for key, raw in words.items() if key not in held)
    return Claim(
        text=sentence,
        supported=_share(words, held),
        missing_words=tuple(w for w in lacking if not w[-1].isdigit() and _weight(w) == 1),
        missing_numbers=tuple(w for w in lacking if w[-1].isdigit()),
    )


def _share(words: dict[str, str], held: frozenset[str]) -> float:
    found = sum(_weight(raw) for key, raw in words.items() if key in held)
    return found / sum(map(_weight, words.values()))


def _weight(raw: str) -> float:
    return FUNCTION if raw.casefold() in _FUNCTION_WORDS else 1.0


def _statements(answer: str) -> Iterator[str]:
    """The sentences of an answer that state something, or try to: none that says what it cannot tell."""
    for line in answer[:READ].splitlines():
        item = _ITEM.match(line)
        for part in _SENTENCE.split(line[item.end() :] if item else line):
            if (sentence := part.strip()) and not _declines(sentence):
                yield sentence


def _declines(sentence: str) -> bool:
    text = sentence[:OPENING].casefold().replace("’", "'")
    return any(c in text for c in _CUES) and _DECLINES.search(text) is not None and _TURNS.search(text) is None


def _words(text: str) -> dict[str, str]:
    """The different words of a text, by what two words must share to be the same, in their order."""
    return {key: raw for raw in _tokens(_CITATION.sub(" ", text)) for key in _keys(raw)}


def _vocabulary(contexts: Sequence[str]) -> frozenset[str]:
    """What the passages hold: the keys of their words."""
    read: Iterable[frozenset[str]] = (
        _remembered(c) if len(c) <= KEPT else _remembered.__wrapped__(c) for c in contexts[:PASSAGES]
    )
    return frozenset().union(*read)


@lru_cache(maxsize=2_000)
def _remembered(text: str) -> frozenset[str]:
    if "://" in text and not _TOKEN.search(_ADDRESS.sub(" ", _CITATION.sub(" ", text[:READ]))):
        return frozenset()  # an address is no passage
    return frozenset(key for raw in set(_tokens(text)) for key in _keys(raw))


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(unicodedata.normalize("NFKC", text[:READ])[:READ])


@lru_cache(maxsize=50_000)
def _keys(raw: str) -> tuple[str, ...]:
    """The value of a number, the pairs of characters where no spaces part words, else the word whatever its case."""
    if raw[-1].isdigit():
        return (number_value(raw),)
    if not raw.isascii() and _PAIRED.match(raw):
        return tuple(raw[i : i + 2] for i in range(len(raw) - 1)) or (raw,)
    return (raw.casefold(),)


def _foreign(answer: str, contexts: Sequence[str]) -> bool:
    """Whether the answer is known to be in another language than every passage: then shared words say nothing."""
    own = language_of(answer)
    others = {language_of(c) for c in contexts[:PASSAGES] if c.strip()}
    return own is not None and None not in others and own not in others
