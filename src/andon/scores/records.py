"""Records of the stage `scores`: what a scorer and an embedder are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from andon.traffic import Interaction

__all__ = ["Embedder", "Harm", "Scorer", "Vectors"]

Vectors = NDArray[np.float32]
"""Shape (n, d), every row of length 1, so that a dot product is a cosine."""

Harm = Literal["availability", "correctness", "usefulness", "safety", "cost", "compliance"]


class Embedder(Protocol):
    """Texts in, unit vectors out. One method; a double is any object with a name and this method."""

    @property
    def name(self) -> str:
        """Name and version that every similarity carries, e.g. ``all-MiniLM-L6-v2``."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of shape (len(texts), d), float32, in the order of the texts. An empty text is a zero vector."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorer:
    """One way to measure an interaction: a function, its version and what its number means."""

    name: str
    """Name of the metric, e.g. ``refusal``; a lower-case identifier."""
    version: str
    """A changed version is a changed measure: it is recorded as a change and its series starts anew."""
    kind: Literal["binary", "number"]
    """``binary`` scores are 0 or 1 and are watched as a rate; a number is watched by its typical value and by its tail."""
    bad: Literal["up", "down", "both"]
    """Direction that harms."""
    harm: Harm
    """What the user loses when it moves the bad way."""
    unit: str
    """``rate``, ``cosine``, ``s``, ``tokens``, ``characters``, ``calls``, ``usd``, ``share``, ``score``."""
    about: str
    """One sentence: what the number is."""
    score: Callable[[Interaction, Embedder], float | None]
    """The number, or None where it does not apply (never 0 for "cannot tell")."""
    texts: Callable[[Interaction], Sequence[str]] | None = None
    """Texts that `score` will embed; they are embedded in one batch beforehand."""
