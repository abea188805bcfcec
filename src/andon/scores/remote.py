"""The embedder `openai`: any endpoint that speaks ``POST {url}/embeddings`` as OpenAI does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from andon.errors import ConfigError
from andon.scores.posting import Endpoint, endpoint_at
from andon.scores.records import Embedder, Vectors
from andon.settings import Settings

__all__ = ["load"]

_BATCH = 128
_ANSWER_S = 60.0


def load(settings: Settings) -> Embedder:
    """The embedder of an OpenAI-compatible endpoint; nothing is sent before the first text.

    Raises:
        ConfigError: `ANDON_EMBEDDER_URL` or `ANDON_EMBEDDER_MODEL` is missing, the URL is not http(s), or the key
            cannot be sent in a header.
    """
    for value, variable, example in (
        (settings.embedder_url, "ANDON_EMBEDDER_URL", "https://api.openai.com/v1"),
        (settings.embedder_model, "ANDON_EMBEDDER_MODEL", "text-embedding-3-small"),
    ):
        if not value:
            raise ConfigError(f"the embedder `openai` needs {variable}, for example {example}")
    return _Remote(
        name=f"openai:{settings.embedder_model}",
        model=settings.embedder_model,
        endpoint=endpoint_at(
            f"the embedder openai:{settings.embedder_model}",
            settings.embedder_url,
            "embeddings",
            settings.embedder_key,
            "ANDON_EMBEDDER",
            answer_s=_ANSWER_S,
        ),
    )


@dataclass(slots=True, kw_only=True)
class _Remote:
    name: str
    model: str
    endpoint: Endpoint
    width: int = 0
    """Dimension of the first answer; every later one must have it."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of shape (len(texts), d); repeated texts are sent once, empty ones never.

        Raises:
            SeamError: the endpoint failed three times, refused, or gave an answer of the wrong form.
        """
        rows = {text: row for row, text in enumerate(dict.fromkeys(text for text in texts if text.strip()))}
        distinct = list(rows) or (["width"] if texts and not self.width else [])
        batches: list[Vectors] = []
        with self.endpoint.asked() as ask:
            for i in range(0, len(distinct), _BATCH):
                clean = [text.encode("utf-8", "replace").decode() for text in distinct[i : i + _BATCH]]
                request = {"model": self.model, "input": clean, "encoding_format": "float"}
                batches.append(self._checked(ask(request), len(clean)))
        vectors = np.zeros((len(texts), self.width), np.float32)
        if rows:
            full = [i for i, text in enumerate(texts) if text in rows]
            vectors[full] = np.concatenate(batches)[[rows[texts[i]] for i in full]]
        return vectors

    def _checked(self, answer: Any, n: int) -> Vectors:
        try:
            items = sorted(answer["data"], key=lambda item: item.get("index", 0))
            vectors = np.array([item["embedding"] for item in items], np.float64)
        except (KeyError, TypeError, ValueError, AttributeError):
            vectors = None
        if vectors is not None and len(vectors) != n:
            raise self.endpoint.failed(f"{n} texts were sent, {len(vectors)} vectors came back")
        if vectors is None or vectors.ndim != 2 or vectors.shape[1] == 0:
            raise self.endpoint.failed(
                "the answer is not {'data': [{'embedding': [numbers]}]} with vectors of one dimension"
            )
        self.width = self.width or vectors.shape[1]
        if vectors.shape[1] != self.width:
            raise self.endpoint.failed(f"vectors of {vectors.shape[1]} numbers after vectors of {self.width}")
        with np.errstate(over="ignore"):
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not (np.isfinite(lengths).all() and (lengths > 0).all()):
            raise self.endpoint.failed("a vector has length 0 or holds a number that is not finite")
        unit: Vectors = (vectors / lengths).astype(np.float32)
        return unit
