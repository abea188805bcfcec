"""In the environment of sentence-transformers: texts per second on torch, with the same weights and texts as ours."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import sentence_transformers
import torch


def main(weights: str, texts: str, out: str = "") -> None:
    """Time the model as its documentation says to use it; all vectors go to the file `out`, where one is named."""
    model = sentence_transformers.SentenceTransformer(weights, device="cpu")
    lines = json.loads(Path(texts).read_text(encoding="utf-8"))
    model.encode(lines[:64])
    seconds = []
    for _ in range(3):
        begun = time.perf_counter()
        vectors = model.encode(lines, normalize_embeddings=True, show_progress_bar=False)
        seconds.append(time.perf_counter() - begun)
    if out:
        np.save(out, vectors)
    found = {"per_s": len(lines) / min(seconds), "first": [float(v) for v in vectors[0]]}
    found["version"] = f"{sentence_transformers.__version__}, torch {torch.__version__}"
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
