"""Which embedder a process uses, and the cache in front of it."""

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from andon import plugins
from andon.errors import ConfigError
from andon.scores import hashed, minilm
from andon.scores.records import Embedder, Vectors
from andon.settings import Settings

__all__ = ["Cached", "choose", "notice"]


def choose(settings: Settings) -> Embedder:
    """The embedder that the settings name; `auto` is MiniLM where its weights are, else `hashed`.

    Where `auto` fell back, `notice` says so.

    Raises:
        ConfigError: there is no embedder of this name, or it cannot be loaded.
    """
    if settings.embedder == "auto":
        return minilm.load(settings) if minilm.available(settings) else hashed.load(settings)
    embedder = plugins.find("andon.embedders", settings.embedder)(settings)
    if not (isinstance(getattr(embedder, "name", None), str) and callable(getattr(embedder, "embed", None))):
        raise ConfigError(
            f"ANDON_EMBEDDER={settings.embedder!r} loads a {type(embedder).__name__}, which is not an embedder: it "
            "needs a `name` and a method `embed`"
        )
    found: Embedder = embedder
    return found


def notice(settings: Settings) -> str:
    """The sentence that an operator should read about the embedder chosen, or "" where there is nothing to say."""
    if settings.embedder != "auto" or minilm.available(settings):
        return ""
    return f"weights of {minilm.NAME} are not installed; using {hashed.NAME}; run `andon model fetch`"


class Cached:
    """An embedder in front of another that remembers its most recently used vectors; thread-safe.

    It has the name of the embedder inside, because it gives the same vectors. Texts are kept as digests only.
    """

    def __init__(self, embedder: Embedder, *, vectors: int = 50_000) -> None:
        self.name = embedder.name
        self._embedder = embedder
        self._max = vectors
        self._kept: OrderedDict[bytes, NDArray[np.float32]] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of shape (len(texts), d); only texts that are not remembered reach the embedder inside."""
        if not texts:
            return self._embedder.embed(texts)
        keys = [blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest() for text in texts]
        found: dict[bytes, NDArray[np.float32]] = {}
        with self._lock:
            for key in keys:
                if key in self._kept:
                    self._kept.move_to_end(key)
                    found[key] = self._kept[key]
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        if missing:
            # the lock is not held here: another thread may embed the same text, which costs time and nothing else
            new = dict(zip(missing, self._embedder.embed(list(missing.values())), strict=True))
            found.update(new)
            self._keep(new)
        return np.stack([found[key] for key in keys])

    def _keep(self, new: dict[bytes, NDArray[np.float32]]) -> None:
        with self._lock:
            for key, vector in list(new.items())[-self._max :] if self._max else ():
                self._kept[key] = vector.copy()  # a view would keep the whole batch alive
                self._kept.move_to_end(key)
            while len(self._kept) > self._max:
                self._kept.popitem(last=False)
