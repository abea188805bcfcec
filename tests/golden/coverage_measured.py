"""Measure what "near a case" means on real questions with labelled intents, as the tables of `docs/methods/coverage.md`.

`python tests/golden/coverage_measured.py` prints them; the test beside it compares them with the page.
"""

import gzip
import json
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from andon.golden.coverage import ROUNDING, nearest_cosines
from andon.scores import Embedder, hashed, minilm
from andon.settings import Settings

DATA = Path(os.environ.get("SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
PACKS = ("intents-banking77", "intents-clinc-oos")
THRESHOLDS = (0.60, 0.65, 0.70, 0.75, 0.80, 0.92)
CASES = (1, 3, 10)
ASKED = 10
DRAWS = 20


def embedders() -> list[Embedder]:
    """MiniLM and the hashed embedder."""
    settings = Settings()
    return [minilm.load(settings), hashed.load(settings)]


def by_intent(pack: str) -> dict[str, list[str]]:
    """Questions of a pack by intent, at most 60 of each and at least 20; those without an intent are left out."""
    found: dict[str, list[str]] = {}
    with gzip.open(DATA / pack / "queries.jsonl.gz", "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            if row["intent"] != "oos":
                found.setdefault(row["intent"], []).append(row["text"])
    return {k: texts[:60] for k, texts in sorted(found.items()) if len(texts) >= max(CASES) + ASKED}


def rates(pack: str, embedder: Embedder) -> dict[int, list[tuple[float, float]]]:
    """By cases for each intent: (near where there is a case of the intent, near where there is none) at each threshold.

    In each draw, half of the intents have cases, and ten other questions of every intent are asked.
    """
    texts = by_intent(pack)
    vectors = {k: embedder.embed(v) for k, v in texts.items()}
    found: dict[int, list[tuple[float, float]]] = {}
    for n in CASES:
        rng = np.random.default_rng(n)
        hits = np.zeros((2, len(THRESHOLDS)))
        for _ in range(DRAWS):
            tested = set(rng.permutation(sorted(texts))[: len(texts) // 2].tolist())
            order = {k: rng.permutation(len(v)) for k, v in texts.items()}
            cases = np.concatenate([vectors[k][order[k][:n]] for k in sorted(tested)])
            for side in (0, 1):
                asked = [vectors[k][order[k][n : n + ASKED]] for k in texts if (k in tested) == (side == 0)]
                best = nearest_cosines(np.concatenate(asked), cases)
                hits[side] += [(best >= t - ROUNDING).mean() / DRAWS for t in THRESHOLDS]
        found[n] = list(zip(*hits.tolist(), strict=True))
    return found


def page_parts() -> Iterable[str]:
    """The tables of the page."""
    for embedder in embedders():
        lines = [
            f"| {embedder.name}: questions of | cases for each intent | "
            + " | ".join(f"{t:.2f}" for t in THRESHOLDS)
            + " |",
            "|---|---|" + "---|" * len(THRESHOLDS),
        ]
        for pack in PACKS:
            for n, pairs in rates(pack, embedder).items():
                lines.append(
                    f"| {pack} | {n} | " + " | ".join(f"{100 * a:.0f} / {100 * b:.0f}" for a, b in pairs) + " |"
                )
        yield "\n".join(lines)


if __name__ == "__main__":
    print("\n\n".join(page_parts()))  # noqa: T201
