"""Precision and recall of near-duplicate decisions on labelled pairs; prints the tables of docs/methods/near-duplicates.md.

`python tests/golden/near_duplicates_measured.py`, with the pack of pairs and the weights of MiniLM.
"""

import gzip
import json
import os
from functools import cache
from pathlib import Path

import numpy as np

from andon.golden import THRESHOLD
from andon.golden.duplicates import other_numbers
from andon.golden.tune import Pair, Point, Tuned, tune
from andon.scores import hashed, minilm
from andon.settings import Settings

PACK = (
    Path(os.environ.get("SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
    / "dedup-pairs"
    / "pairs.jsonl.gz"
)
NAMES = {"de": "de", "en": "en", "ko": "korean"}
SPLITS = 40
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
def groups() -> np.ndarray:
    """What hangs together: pairs that share a question, over any number of steps, have the same number."""
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
    return np.unique([least[find(p.a)] for p in pairs()], return_inverse=True)[1]


@cache
def measured(name: str) -> tuple[Tuned, ...]:
    """What thresholds do to the pairs, with one embedder."""
    return tune(pairs(), cosines(name))


def at(points: tuple[Point, ...], threshold: float) -> str:
    """Precision with its interval, and recall, at a threshold, as cells of a table."""
    (p,) = (p for p in points if p.threshold == threshold)
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
    """Each source at the default threshold, by each embedder and by the baseline."""
    lines = ["| source | pairs (same) | | AUC | precision at 0.92 | recall at 0.92 |", "|---|---|---|---|---|---|"]
    for k, (name, ours) in enumerate(sources("MiniLM")):
        other = sources("hashed")[k][1]
        size = f"{ours.n:,} ({ours.same:,})"
        lines.append(f"| {name} | {size} | MiniLM | {ours.auc:.3f} | {at(ours.points, THRESHOLD)} |")
        lines.append(f"| | | hashed | {other.auc:.3f} | {at(other.points, THRESHOLD)} |")
        lines.append(f"| | | word overlap | {ours.overlap_auc:.3f} | {at(ours.overlap, THRESHOLD)} |")
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


def picked_table() -> list[str]:
    """Each way to compare at the threshold that `tune` picks for it on all pairs of a language."""
    lines = ["| language | | threshold | precision | recall |", "|---|---|---|---|---|"]
    for language in NAMES.values():
        by = {name: next(t for t in measured(name) if (t.language, t.source) == (language, None)) for name in EMBEDDERS}
        rows = [(name, t.chosen, t.points) for name, t in by.items()]
        rows.append(("word overlap", by["MiniLM"].overlap_chosen, by["MiniLM"].overlap))
        for place, (name, chosen, points) in enumerate(rows):
            cells = "cannot tell | |" if chosen is None else f"{chosen:.2f} | {at(points, chosen)}"
            lines.append(f"| {'' if place else language} | {name} | {cells} |")
    return lines


def number_table() -> list[str]:
    """What the rule on numbers forbids at any threshold, and what it takes from MiniLM at two of them."""
    apart = np.array([other_numbers(p.a, p.b) for p in pairs()])
    same = np.array([p.same for p in pairs()])
    lines = [
        "| source | the same, forbidden | not the same, forbidden | at 0.92: wrong, right | at 0.70: wrong, right |",
        "|---|---|---|---|---|",
    ]
    for source in dict.fromkeys(p.source for p in pairs()):
        mine = np.array([p.source == source for p in pairs()])
        shares = [f"{(apart & s & mine).sum() / (s & mine).sum():.1%}" for s in (same, ~same)]
        called = [apart & mine & (cosines("MiniLM") >= t - 1e-6) for t in (THRESHOLD, 0.7)]
        cells = [*shares, *(f"{int((c & ~same).sum())}, {int((c & same).sum())}" for c in called)]
        lines.append(f"| {source} | {' | '.join(cells)} |")
    return lines


def held_out_table() -> list[str]:
    """A threshold picked on a random half of what hangs together, and what it does to the other half, `SPLITS` times."""
    lines = [
        "| | language | thresholds | cannot tell | precision on the other half | below 0.95 | recall there |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in EMBEDDERS:
        for language in ("en", "korean"):
            rng, found, none = np.random.default_rng(20), [], 0
            mine = np.array([p.language == language for p in pairs()])
            for _ in range(SPLITS):
                half = (rng.random(groups().max() + 1) < 0.5)[groups()]
                one, other = (_whole(name, mine & side) for side in (half, ~half))
                if one.chosen is None:
                    none += 1
                else:
                    found.append(next(p for p in other.points if p.threshold == one.chosen))
            precision = [p.precision or 0.0 for p in found]
            lines.append(
                f"| {name} | {language} | {min(p.threshold for p in found):.2f} to {max(p.threshold for p in found):.2f}"
                f" | {none} | {min(precision):.3f} to {max(precision):.3f} | {sum(p < 0.95 for p in precision)} of {len(found)}"
                f" | {np.median([p.recall for p in found]):.2f} |"
            )
    return lines


def _whole(name: str, mine: np.ndarray) -> Tuned:
    return tune([p for p, m in zip(pairs(), mine, strict=True) if m], cosines(name)[mine])[0]


def blind() -> str:
    """How many different Korean questions MiniLM cannot tell apart."""
    one = cosines("MiniLM") > 1 - 1e-5
    differ = np.array([p.a.split() != p.b.split() for p in pairs()])
    korean = np.array([p.language == "korean" for p in pairs()])
    other = np.array([not p.same for p in pairs()])
    both = one & differ & korean
    return f"{int(both.sum())} pairs of different Korean questions have a cosine of 1, {int((both & other).sum())} of them not the same"


if __name__ == "__main__":
    for table in (default_table(), picked_table(), number_table(), sweep_table(), held_out_table(), [blind()]):
        print("\n".join(table), end="\n\n")  # noqa: T201
