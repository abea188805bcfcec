"""Change points against people: the series of the Turing Change Point Dataset, and its published metrics and figures.

Source: van den Burg & Williams, *An evaluation of change point detection algorithms* (2020), arXiv:2003.06222, section 4
(annotations of five people, covering metric, F1 with a margin of 5), table 2 (univariate series, default settings).
"""

import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from andon.stats.segments import find_changes

Floats = NDArray[np.float64]
Annotations = Mapping[object, Iterable[int]]

BEST_DEFAULT_F1 = 0.698
"""F1 of binary segmentation, the best of the 14 methods of the paper with default settings, over its univariate series."""


def f_measure(annotations: Annotations, found: Iterable[int], margin: int = 5) -> float:
    """F1 as TCPDBench computes it: index 0 counts as found and as marked; precision over all people, recall their mean."""
    marked = {k: {0, *v} for k, v in annotations.items()}
    found = {0, *found}
    precision = _hits(set().union(*marked.values()), found, margin) / len(found)
    recall = float(np.mean([_hits(m, found, margin) / len(m) for m in marked.values()]))
    return 2 * precision * recall / (precision + recall)


def _hits(marked: set[int], found: set[int], margin: int) -> int:
    """Marked points with a found one within the margin; a found point serves one marked point."""
    left, hits = set(found), 0
    for point in marked:
        near = min(((abs(point - f), f) for f in left if abs(point - f) <= margin), default=None)
        if near is not None:
            left.remove(near[1])
            hits += 1
    return hits


def covering(annotations: Annotations, found: Iterable[int], n: int) -> float:
    """Share of each person's stretches that the found ones cover (greatest Jaccard index, by length), mean over people."""
    ours = _stretches(found, n)
    covers = []
    for theirs in annotations.values():
        best = [(len(a), max(len(a & b) / len(a | b) for b in ours)) for a in _stretches(theirs, n)]
        covers.append(sum(size * share for size, share in best) / n)
    return float(np.mean(covers))


def _stretches(cuts: Iterable[int], n: int) -> list[set[int]]:
    ends = sorted({0, n, *cuts})
    return [set(range(a, b)) for a, b in pairwise(ends)]


def binary_segmentation(y: Floats, most: int = 5) -> list[int]:
    """The comparison: shifts of the mean of the standardised series, penalty 3 ln n (MBIC), at most 5 (the defaults of `changepoint`)."""
    y = (y - y.mean()) / (y.std() or 1.0)
    cuts: list[int] = []
    while len(cuts) < most:
        gains = []
        for a, b in zip([0, *cuts], [*cuts, len(y)], strict=True):
            part, total = y[a:b], np.cumsum(y[a:b])
            k = np.arange(1, b - a)
            if len(k):
                gain = (
                    total[:-1] ** 2 / k + (total[-1] - total[:-1]) ** 2 / (len(part) - k) - total[-1] ** 2 / len(part)
                )
                gains.append((float(gain.max()), a + 1 + int(gain.argmax())))
        gain, cut = max(gains)
        if gain <= 3 * np.log(len(y)):
            break
        cuts = sorted([*cuts, cut])
    return cuts


@dataclass(frozen=True)
class Case:
    name: str
    values: Floats
    annotations: Mapping[str, list[int]]


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    """The series of the pack."""
    place = Path(os.environ.get("SHARED_DATA", Path(__file__).parents[4] / "shared" / "data"))
    path = place / "series-tcpd" / "series.jsonl"
    if not path.is_file():
        pytest.skip(f"no real data in {place}: put the packs there, or name their folder in SHARED_DATA")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [Case(r["series"], np.array(r["values"], dtype=np.float64), r["annotations"]) for r in rows]


def test_metrics_of_tcpdbench() -> None:
    """The metrics are those of TCPDBench: the worked examples in its docstrings come out."""
    # github.com/alan-turing-institute/TCPDBench, analysis/scripts/metrics.py
    assert f_measure({1: [10, 20], 2: [11, 20], 3: [10], 4: [0, 5]}, [10, 20]) == pytest.approx(1.0)
    assert f_measure({1: [], 2: [10], 3: [50]}, [10]) == pytest.approx(0.9090909090909091)
    assert f_measure({1: [], 2: [10], 3: [50]}, []) == pytest.approx(0.8)
    assert covering({1: [10, 20], 2: [10], 3: [0, 5]}, [10, 20], 45) == pytest.approx(0.7962962962962963)


def test_finding_nothing_scores_as_published(cases: list[Case]) -> None:
    """The method that never finds anything scores what the paper's tables give it: 1 on `bank`."""
    zero = {c.name: f_measure(c.annotations, []) for c in cases}
    known = {"bank": 1.0, "centralia": 0.7628866, "run_log": 0.4455959, "bitcoin": 0.4496124, "nile": 0.8235294}
    assert {n for n in zero if n in known} >= {"bank"}
    for name in zero.keys() & known.keys():
        assert zero[name] == pytest.approx(known[name], abs=1e-6)


def test_changes_agree_with_people_better_than_the_best_published_default(cases: list[Case]) -> None:
    """With its one setting, mean F1 over all series and over the paper's kind of series, and whichever is left out, is above 0.698."""
    own, nothing, binseg, cover = {}, {}, {}, {}
    for c in cases:
        found = [change.at for change in find_changes(c.values)]
        seen = np.flatnonzero(~np.isnan(c.values))
        cuts = [int(seen[k]) for k in binary_segmentation(c.values[seen])]
        own[c.name], cover[c.name] = f_measure(c.annotations, found), covering(c.annotations, found, len(c.values))
        nothing[c.name], binseg[c.name] = f_measure(c.annotations, []), f_measure(c.annotations, cuts)
        say(
            f"{c.name:18} n {len(c.values):4} F1 {own[c.name]:.3f} cover {cover[c.name]:.3f}"
            f" | nothing {nothing[c.name]:.3f} binseg {binseg[c.name]:.3f} | found {found}"
        )
    paper = [n for n in own if not n.startswith("quality_control") and n != "uk_coal_employ"]
    for name, group in (("all", list(own)), ("of the paper's table", paper)):
        means = [np.mean([s[n] for n in group]) for s in (own, cover, nothing, binseg)]
        least = min(np.mean([own[n] for n in group if n != out]) for out in group)
        say(
            f"{len(group)} series ({name}): F1 {means[0]:.3f} (least with one left out {least:.3f}), cover {means[1]:.3f};"
            f" F1 of finding nothing {means[2]:.3f}, of binary segmentation {means[3]:.3f}"
        )
        assert least > BEST_DEFAULT_F1
        assert means[0] > max(means[2], means[3])


def test_a_known_shift_is_found_where_it_was_made(cases: list[Case]) -> None:
    """The quality-control series with one made shift shows exactly one, the place people agree on inside its interval; noise none."""
    by_name = {c.name: c for c in cases}
    if "quality_control_1" in by_name:
        (change,) = find_changes(by_name["quality_control_1"].values)
        assert change.low <= 144 <= change.high
        assert change.after > change.before
    if "quality_control_5" in by_name:
        assert find_changes(by_name["quality_control_5"].values) == []


def say(text: str) -> None:
    """Write one line: `pytest -s` shows it."""
    sys.stdout.write(text + "\n")
