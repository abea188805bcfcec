"""The embedder `openai`: any endpoint that speaks ``POST {url}/embeddings`` as OpenAI does."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx2
import numpy as np

from andon.errors import ConfigError, SeamError
from andon.scores.records import Embedder, Vectors
from andon.settings import Settings
from andon.traffic.quoting import quoted

__all__ = ["load"]

_BATCH = 128
_TIMEOUT_S = 60.0
_PAUSES_S = (0.5, 2.0)  # before the second and the third try


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
    try:
        parts = urlsplit(settings.embedder_url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        place = f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path.rstrip('/')}"
    except ValueError:
        usable, place = False, ""
    if not usable:  # the value is not repeated: it may hold a password
        raise ConfigError("ANDON_EMBEDDER_URL is not a URL of the form http(s)://host[:port]/path")
    if not (settings.embedder_key.isascii() and settings.embedder_key.isprintable()):
        raise ConfigError("ANDON_EMBEDDER_KEY holds a character that a header cannot carry (a line end, perhaps)")
    return _Remote(
        name=f"openai:{settings.embedder_model}",
        model=settings.embedder_model,
        url=f"{settings.embedder_url.rstrip('/')}/embeddings",
        place=f"{place}/embeddings",
        key=settings.embedder_key.strip(),
    )


@dataclass(slots=True, kw_only=True)
class _Remote:
    name: str
    model: str
    url: str = field(repr=False)
    place: str
    """The URL without user, password and query: what a message may show."""
    key: str = field(repr=False)
    sleep: Callable[[float], None] = time.sleep
    width: int = 0
    """Dimension of the first answer; every later one must have it."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of shape (len(texts), d); repeated texts are sent once, empty ones never.

        Raises:
            SeamError: the endpoint failed three times, refused, or gave an answer of the wrong form.
        """
        rows = {text: row for row, text in enumerate(dict.fromkeys(text for text in texts if text.strip()))}
        distinct = list(rows) or (["width"] if texts and not self.width else [])
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        batches: list[Vectors] = []
        with httpx2.Client(headers=headers, timeout=_TIMEOUT_S) as client:
            for i in range(0, len(distinct), _BATCH):
                clean = [text.encode("utf-8", "replace").decode() for text in distinct[i : i + _BATCH]]
                batches.append(self._checked(self._ask(client, clean), len(clean)))
        vectors = np.zeros((len(texts), self.width), np.float32)
        if rows:
            full = [i for i, text in enumerate(texts) if text in rows]
            vectors[full] = np.concatenate(batches)[[rows[texts[i]] for i in full]]
        return vectors

    def _ask(self, client: httpx2.Client, texts: list[str]) -> Any:
        request = {"model": self.model, "input": texts, "encoding_format": "float"}
        for pause in (*_PAUSES_S, None):
            try:
                answer = client.post(self.url, json=request)
            except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
                problem, retryable = (
                    f"{type(error).__name__}: {self._shown(str(error))}",
                    isinstance(error, httpx2.TransportError),
                )
            else:
                if answer.status_code == 200:
                    return self._decoded(answer)
                problem = f"HTTP {answer.status_code}: {self._shown(answer.text)}"
                retryable = answer.status_code == 429 or answer.status_code >= 500
            if pause is None or not retryable:
                raise self._failed(problem, retryable=retryable)
            self.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def _decoded(self, answer: httpx2.Response) -> Any:
        try:
            return answer.json()
        except ValueError:
            pass
        raise self._failed(f"the answer is not JSON: {self._shown(answer.text)}", retryable=False)

    def _checked(self, answer: Any, n: int) -> Vectors:
        try:
            items = sorted(answer["data"], key=lambda item: item.get("index", 0))
            vectors = np.array([item["embedding"] for item in items], np.float64)
        except (KeyError, TypeError, ValueError, AttributeError):
            vectors = None
        if vectors is not None and len(vectors) != n:
            raise self._failed(f"{n} texts were sent, {len(vectors)} vectors came back", retryable=False)
        if vectors is None or vectors.ndim != 2 or vectors.shape[1] == 0:
            raise self._failed(
                "the answer is not {'data': [{'embedding': [numbers]}]} with vectors of one dimension",
                retryable=False,
            )
        self.width = self.width or vectors.shape[1]
        if vectors.shape[1] != self.width:
            raise self._failed(f"vectors of {vectors.shape[1]} numbers after vectors of {self.width}", retryable=False)
        with np.errstate(over="ignore"):
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not (np.isfinite(lengths).all() and (lengths > 0).all()):
            raise self._failed("a vector has length 0 or holds a number that is not finite", retryable=False)
        unit: Vectors = (vectors / lengths).astype(np.float32)
        return unit

    def _failed(self, problem: str, *, retryable: bool) -> SeamError:
        return SeamError(f"the embedder {self.name} at {self.place} failed: {problem}", retryable=retryable)

    def _shown(self, text: str) -> str:
        """What the endpoint said as a message may show it: without secrets, short, on one line."""
        safe = text.replace(self.url, self.place)
        return quoted(safe.replace(self.key, "***") if self.key else safe, 200)
