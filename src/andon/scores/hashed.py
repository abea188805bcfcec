"""The embedder `hashed`: words and character n-grams by signed hashing, so that the loop runs without any weights.

It measures shared words and spelling, not meaning. Signed feature hashing keeps dot products unbiased (Weinberger et
al. 2009, arXiv:0902.2206); n-grams of 3 to 5 characters inside marked word boundaries are those of fastText
(Bojanowski et al. 2017, arXiv:1607.04606).
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from math import log, sqrt
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from andon.scores.records import Embedder, Vectors
from andon.settings import Settings

__all__ = ["NAME", "load"]

_WIDTH = 512
NAME = f"hashed-ngram-{_WIDTH}-v1"  # any change of a vector is a new version
_NGRAMS = (3, 4, 5)
_CHARACTERS_MAX = 100_000
_TEXTS_AT_ONCE = 1024
_WORDS_KEPT = 32_768
# Words of scripts without spaces are long: pieces of 64 bound the cost of a word. Marks and emoji are words too.
_WORD = re.compile(r"\w{1,64}|[^\w\s\x00-\x1f]")


def load(settings: Settings) -> Embedder:  # noqa: ARG001
    """The embedder of shared words and spelling (d = 512); it needs nothing."""
    return _Hashed()


class _Hashed:
    name = NAME

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of shape (len(texts), 512), from the first 100,000 characters of each text."""
        vectors = np.zeros((len(texts), _WIDTH), np.float32)
        for i in range(0, len(texts), _TEXTS_AT_ONCE):
            _embed_into(vectors[i : i + _TEXTS_AT_ONCE], texts[i : i + _TEXTS_AT_ONCE])
        return vectors


def _embed_into(vectors: Vectors, texts: Sequence[str]) -> None:
    cells: list[NDArray[np.int16]] = []
    values: list[NDArray[np.float32]] = []
    rows: list[int] = []
    weights: list[float] = []
    for row, text in enumerate(texts):
        for word, count in Counter(_words(text)).items():
            cell, value = _features(word)
            cells.append(cell)
            values.append(value)
            rows.append(row)
            weights.append(1.0 + log(count))
    if not cells:
        return
    sizes = [len(cell) for cell in cells]
    flat = np.repeat(np.array(rows) * _WIDTH, sizes) + np.concatenate(cells)
    sums = np.bincount(flat, np.repeat(weights, sizes) * np.concatenate(values), minlength=vectors.size)
    sums = sums.reshape(vectors.shape)
    lengths = np.sqrt(np.einsum("ij,ij->i", sums, sums))[:, None]
    np.divide(sums, lengths, out=vectors, where=lengths > 0, casting="same_kind")


def _words(text: str) -> list[str]:
    text = text[:_CHARACTERS_MAX]
    return _WORD.findall((text if text.isascii() else unicodedata.normalize("NFKC", text)).casefold())


@lru_cache(maxsize=_WORDS_KEPT)
def _features(word: str) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    """Cells and signed values of one word: half the energy in the word itself, half in its n-grams."""
    marked = f"<{word}>"
    grams = [marked[i : i + n] for n in _NGRAMS for i in range(len(marked) - n + 1)]
    hashes = np.array([crc32(f.encode("utf-8", "replace")) for f in (f" {word}", *grams)], np.uint32)
    hashes = _mix(hashes)
    values = np.full(len(hashes), 1.0 / sqrt(max(1, len(grams))), np.float32)
    values[0] = 1.0
    values[hashes >> np.uint32(31) == 1] *= -1
    return (hashes % np.uint32(_WIDTH)).astype(np.int16), values


def _mix(h: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The finaliser of MurmurHash3: a CRC alone is linear, so similar n-grams would share cells and signs."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h = (h ^ (h >> np.uint32(shift))) * np.uint32(factor)
    return h ^ (h >> np.uint32(16))
