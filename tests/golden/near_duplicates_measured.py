"""Precision and recall of near-duplicate decisions on labelled pairs; prints the tables of docs/methods/near-duplicates.md.

`python tests/golden/near_duplicates_measured.py`, with the pack of pairs and the weights of MiniLM.
"""

import gzip
import json
import os
from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np

from andon.golden import THRESHOLD, Pair
from andon.golden.tune import Tuned, tune
from andon.scores import hashed, minilm
from andon.settings import Settings

PACK = (
    Path(os.environ.get("SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
    / "dedup-pairs"
    / "pairs.jsonl.gz"
)
NAMES = {"de": "de", "en": "en", "ko": "korean"}
EMBEDDERS = {"MiniLM": minilm.load, "hashed": hashed.load}


@cache
def pairs() -> tuple[Pair, ...]:
    """The pairs of the pack."""
    with gzip.open(PACK, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return tuple(
        Pair(
            a=r["question_1"],
            b=r["question_2"],
            same=r["duplicate"],
            language=NAMES[r["lang"]],
            source=r["source"],
        )
        for r in rows
    )


@cache
def cosines(name: str) -> np.ndarray:
    """The cosine of each pair."""
    rows = {t: k for k, t in enumerate(dict.fromkeys(t for p in pairs() for t in (p.a, p.b)))}
    vectors = EMBEDDERS[name](Settings()).embed(list(rows)).astype(np.float64)
    one, other = ([rows[getattr(p, side)] for p in pairs()] for side in "ab")
    return np.einsum("ij,ij->i", vectors[one], vectors[other])


@cache
def halves() -> np.ndarray:
    """Which half each pair is in, 0 or 1: pairs that share a question, over any number of steps, are in the same one."""
    root: dict[str, str] = {}

    def find(text: str) -> str:
        while root.setdefault(text, text) != text:
            root[text] = text = root[root[text]]
        return text

    for p in pairs():
        root[find(p.a)] = find(p.b)
    least: dict[str, str] = {}
    for text in sorted(root):
        least.setdefault(find(text), text)
    return np.array([sha256(least[find(p.a)].encode()).digest()[0] % 2 for p in pairs()])


def measured(name: str, half: int | None = None) -> tuple[Tuned, ...]:
    """What thresholds do to the pairs (of one half), with one embedder."""
    mine = np.ones(len(pairs()), bool) if half is None else halves() == half
    return tune([p for p, m in zip(pairs(), mine, strict=True) if m], cosines(name)[mine])


def at(one: Tuned, threshold: float, overlap: bool = False) -> str:
    """Precision with its interval, and recall, at a threshold, as cells of a table."""
    (p,) = (p for p in (one.overlap if overlap else one.points) if p.threshold == threshold)
    precision = (
        "none called the same"
        if p.precision is None
        else f"{p.precision:.3f} ({p.low:.3f} to {p.high:.3f}), n = {p.n:,}"
    )
    return f"{precision} | {p.recall:.3f}"


def sources(name: str) -> list[tuple[str, Tuned]]:
    """Every source of every language, by a name for it."""
    found = measured(name)
    several = {t.language for t in found if t.source is not None}
    only = {p.language: p.source for p in pairs()}
    return [
        (f"{t.source or only[t.language]}, {t.language}", t)
        for t in found
        if t.source is not None or t.language not in several
    ]


def default_table() -> list[str]:
    """Each source at the default threshold, by each embedder, and the baseline at its best comparable place."""
    lines = ["| source | pairs (same) | | AUC | precision at 0.92 | recall at 0.92 |", "|---|---|---|---|---|---|"]
    for k, (name, ours) in enumerate(sources("MiniLM")):
        other = sources("hashed")[k][1]
        size = f"{ours.n:,} ({ours.same:,})"
        lines.append(f"| {name} | {size} | MiniLM | {ours.auc:.3f} | {at(ours, THRESHOLD)} |")
        lines.append(f"| | | hashed | {other.auc:.3f} | {at(other, THRESHOLD)} |")
        lines.append(f"| | | word overlap | {ours.overlap_auc:.3f} | {at(ours, THRESHOLD, overlap=True)} |")
    return lines


def sweep_table() -> list[str]:
    """Precision and recall of MiniLM by threshold, each source."""
    shown = (0.7, 0.75, 0.8, 0.85, 0.9, 0.92, 0.95)
    lines = ["| source | " + " | ".join(f"{t:.2f}" for t in shown) + " |", "|---|" + "---|" * len(shown)]
    for name, one in sources("MiniLM"):
        points = {p.threshold: p for p in one.points}
        cells = [
            "none" if points[t].precision is None else f"{points[t].precision:.3f} / {points[t].recall:.3f}"
            for t in shown
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def held_out_table() -> list[str]:
    """A threshold picked on one half, and what it does to the other."""
    lines = [
        "| embedder | language | picked on | threshold | precision on the other half | recall there |",
        "|---|---|---|---|---|---|",
    ]
    for name in EMBEDDERS:
        for half in (0, 1):
            other = {t.language: t for t in measured(name, 1 - half) if t.source is None}
            for one in measured(name, half):
                if one.source is not None:
                    continue
                cells = (
                    "cannot tell | |"
                    if one.chosen is None
                    else f"{one.chosen:.2f} | {at(other[one.language], one.chosen)}"
                )
                lines.append(f"| {name} | {one.language} | half {half + 1} | {cells} |")
    return lines


def blind() -> str:
    """How many different Korean questions MiniLM cannot tell apart."""
    one = cosines("MiniLM") > 1 - 1e-5
    differ = np.array([p.a.split() != p.b.split() for p in pairs()])
    korean = np.array([p.language == "korean" for p in pairs()])
    other = np.array([not p.same for p in pairs()])
    both = one & differ & korean
    return f"{int(both.sum())} pairs of different Korean questions have a cosine of 1, {int((both & other).sum())} of them not the same"


if __name__ == "__main__":
    for table in (default_table(), sweep_table(), held_out_table(), [blind()]):
        print("\n".join(table), end="\n\n")  # noqa: T201
