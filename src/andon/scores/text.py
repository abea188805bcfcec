"""Words and sentences of a text, for scorers that compare texts without a model."""

import re
import unicodedata
from functools import lru_cache

__all__ = ["KEPT", "READ", "STOP_WORDS", "content_words", "normalise", "number_value", "sentences"]

_WORD = re.compile(r"(?:(?<![^\W_])-(?=\d))?[^\W_]+(?:[.,]\d+)*", re.UNICODE)
_MINUS = str.maketrans("−‒–", "---")
_SENTENCE = re.compile(r"(?<=[.!?。！？])\s+|\n+")
_THOUSANDS = re.compile(r"-?\d{1,3}(?:[.,]\d{3})+")
_ARTICLES = frozenset(("a", "an", "the"))

STOP_WORDS = frozenset(
    [
        "a",
        "about",
        "after",
        "all",
        "also",
        "an",
        "and",
        "any",
        "are",
        "as",
        "at",
        "be",
        "because",
        "been",
        "but",
        "by",
        "can",
        "could",
        "did",
        "do",
        "does",
        "for",
        "from",
        "had",
        "has",
        "have",
        "he",
        "her",
        "his",
        "how",
        "i",
        "if",
        "in",
        "into",
        "is",
        "it",
        "its",
        "may",
        "more",
        "most",
        "no",
        "not",
        "of",
        "on",
        "one",
        "or",
        "other",
        "our",
        "out",
        "she",
        "should",
        "so",
        "some",
        "such",
        "than",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "to",
        "under",
        "up",
        "was",
        "we",
        "were",
        "what",
        "when",
        "which",
        "who",
        "will",
        "with",
        "would",
        "you",
        "your",
    ]
)
"""English words without content. Texts in other languages keep all their words: the score is then a little lower."""


READ = 100_000
"""Characters of a text that are read: a longer one is no answer to a question, and must not cost seconds."""

KEPT = 4_096
"""Characters up to which a text's words are remembered: short texts repeat, and long ones would fill the memory."""


def normalise(text: str) -> str:
    """Case, punctuation, articles and spacing taken away (the SQuAD rule, for any script); a number keeps its sign.

    Reads the first 100,000 characters.
    """
    return _normalise(text) if len(text) <= KEPT else _normalise.__wrapped__(text)


def number_value(digits: str) -> str:
    """One spelling for all of a number, of digits with points or commas: ``1,149`` is ``1149``, and ``4.50`` is ``4.5``.

    Three digits behind a point or comma are thousands.
    """
    if _THOUSANDS.fullmatch(digits):
        return digits.replace(",", "").replace(".", "")
    whole, _, part = digits.replace(",", ".").partition(".")
    return (whole.lstrip("0") or "0") + ("." + part.rstrip("0") if part.rstrip("0") else "")


def content_words(text: str) -> frozenset[str]:
    """The set of words that carry content."""
    return _content_words(text) if len(text) <= KEPT else _content_words.__wrapped__(text)


@lru_cache(maxsize=20_000)
def _normalise(text: str) -> str:
    words = _WORD.findall(unicodedata.normalize("NFKC", text[:READ])[:READ].casefold().translate(_MINUS))
    return " ".join(w for w in words if w not in _ARTICLES)


@lru_cache(maxsize=20_000)
def _content_words(text: str) -> frozenset[str]:
    return frozenset(w for w in normalise(text).split() if w not in STOP_WORDS and (len(w) > 1 or w.isdigit()))


def sentences(text: str) -> tuple[str, ...]:
    """The sentences and lines of a text, without empty ones."""
    return tuple(s for part in _SENTENCE.split(text[:READ]) if (s := part.strip()))
