"""Words and sentences of a text, for scorers that compare texts without a model."""

import re
import unicodedata
from functools import lru_cache

__all__ = ["content_words", "normalise", "sentences"]

_WORD = re.compile(r"[^\W_]+(?:[.,]\d+)*", re.UNICODE)
_SENTENCE = re.compile(r"(?<=[.!?。！？])\s+|\n+")
_ARTICLES = frozenset(("a", "an", "the"))

STOP_WORDS = frozenset(
    """a about after all also an and any are as at be because been but by can could did do does for from had has have he
    her his how i if in into is it its may more most no not of on one or other our out she should so some such than that
    the their them then there these they this to under up was we were what when which who will with would you your""".split()
)
"""English words without content. Texts in other languages keep all their words: the score is then a little lower."""


@lru_cache(maxsize=20_000)
def normalise(text: str) -> str:
    """Case, punctuation, articles and spacing taken away (the SQuAD rule, for any script)."""
    words = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    return " ".join(w for w in words if w not in _ARTICLES)


@lru_cache(maxsize=20_000)
def content_words(text: str) -> frozenset[str]:
    """The set of words that carry content."""
    return frozenset(w for w in normalise(text).split() if w not in STOP_WORDS and (len(w) > 1 or w.isdigit()))


@lru_cache(maxsize=20_000)
def sentences(text: str) -> tuple[str, ...]:
    """The sentences and lines of a text, without empty ones."""
    return tuple(s for part in _SENTENCE.split(text) if (s := part.strip()))
