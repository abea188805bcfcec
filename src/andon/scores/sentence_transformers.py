"""The embedder `sentence-transformers`: any model of that package, which is optional because it brings torch."""

import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np

from andon.errors import ConfigError, SeamError
from andon.scores.records import Embedder, Vectors
from andon.settings import Settings

__all__ = ["load"]


def load(settings: Settings) -> Embedder:
    """The embedder of the model `ANDON_EMBEDDER_MODEL`, a name on the Hugging Face hub or a folder.

    Raises:
        ConfigError: the package is not installed, no model is named, or it cannot be loaded.
    """
    if importlib.util.find_spec("sentence_transformers") is None:
        raise ConfigError(
            "the embedder `sentence-transformers` needs its package: pip install 'andon[sentence-transformers]'"
        )
    if not settings.embedder_model:
        raise ConfigError(
            "the embedder `sentence-transformers` needs ANDON_EMBEDDER_MODEL, for example "
            "sentence-transformers/all-MiniLM-L6-v2, or a folder"
        )
    try:
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(settings.embedder_model)
    except Exception as error:  # hub, disk, torch: whatever it is, the operator's model does not load
        raise ConfigError(
            f"ANDON_EMBEDDER_MODEL={settings.embedder_model!r} cannot be loaded by sentence-transformers: {error}"
        ) from error
    return _SentenceTransformers(f"sentence-transformers:{settings.embedder_model}", model)


class _SentenceTransformers:
    def __init__(self, name: str, model: Any) -> None:
        self.name = name
        self._model = model

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of shape (len(texts), d).

        Raises:
            SeamError: the model failed, or gave a number that is not finite.
        """
        full = [i for i, text in enumerate(texts) if text.strip()]
        clean = [texts[i].encode("utf-8", "replace").decode() for i in full]
        try:
            found = self._model.encode(
                clean or ["width"], convert_to_numpy=True, normalize_embeddings=True, show_progress_bar=False
            )
        except Exception as error:  # foreign code on any device
            raise SeamError(f"the embedder {self.name} failed: {error}") from error
        if not np.isfinite(found).all():
            raise SeamError(f"the embedder {self.name} gave a number that is not finite")
        vectors = np.zeros((len(texts), found.shape[1]), np.float32)
        if full:
            vectors[full] = found
        return vectors
