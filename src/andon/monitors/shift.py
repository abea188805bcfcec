"""Did the traffic itself change? Two windows of it, compared column by column and question by question."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from andon.monitors.verdicts import percent
from andon.scores.records import Vectors
from andon.scores.topics import Grown, novel_clusters
from andon.stats.explained import MixExplained, explained_by_mix
from andon.stats.mix import classifier_test, jensen_shannon, ks, mean_shift, mix_shift, mmd, psi

__all__ = ["ColumnShift", "TrafficShift", "TrafficWindow", "compare_traffic", "explain_strata"]

Floats = NDArray[np.float64]
Cell = tuple[str | None, ...]

ALPHA = 0.05
FEW = 20
"""Values on each side below which nothing is said about a column."""

SHOWN = 3
"""Categories that a sentence names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficWindow:
    """One stretch of traffic: what is compared."""

    categories: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Column -> value -> interactions."""
    numbers: Mapping[str, Floats] = field(default_factory=dict)
    """Column -> values, those that are missing left out."""
    questions: tuple[str, ...] = ()
    """Distinct questions: one that a user repeats forty times is one."""
    vectors: Vectors = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float32))
    """Unit vectors of the questions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnShift:
    """One test of one column."""

    column: str
    test: Literal["mix", "number", "questions", "mmd", "classifier"]
    p: float
    p_corrected: float
    """Holm-corrected over the tests of the comparison that decide; of a number, which is shown only, over the numbers."""
    size: float
    """How far it moved, by the test: total variation 0..1 (mix), largest distance of distribution functions 0..1
    (number), distance of means (questions), MMD^2 (mmd), AUC 0..1 (classifier)."""
    psi: float | None = None
    """Population stability index, for columns that have categories or tenths; shown, decides nothing."""
    jensen_shannon: float | None = None
    """Distance 0..1; shown, decides nothing."""
    sentence: str

    @property
    def shifted(self) -> bool:
        """Whether this is evidence at 5 %, over everything that was tried (a number: over the numbers)."""
        return self.p_corrected <= ALPHA


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficShift:
    """What changed in the traffic between two windows: evidence about what was asked, never about how well it was answered."""

    columns: tuple[ColumnShift, ...]
    """Surest first."""
    grown: tuple[Grown, ...]
    """Kinds of questions that take a larger share than before."""
    untold: tuple[str, ...]
    """Columns of which there was too little to say anything, in words."""
    embedder: str | None = None

    @property
    def shifted(self) -> bool:
        """Whether any test or kind of question is evidence; KS, shown only, does not count."""
        return bool(self.grown) or any(c.shifted and c.test != "number" for c in self.columns)


def compare_traffic(
    before: TrafficWindow,
    after: TrafficWindow,
    rng: np.random.Generator,
    *,
    embedder: str | None = None,
    thorough: bool = False,
) -> TrafficShift:
    """Compare two windows: every column by its test, p-values corrected for how many were tried, and new kinds of questions.

    Tests of numbers, which are shown only, are corrected among themselves.

    Args:
        before: what it is compared with.
        after: what may have shifted.
        rng: the seeded generator.
        embedder: name of the embedder that made the vectors.
        thorough: test the questions by MMD and by a classifier too, which takes seconds.

    Columns that only one side has are compared too: all of their values are new, or gone. Nothing here is a reason to wake
    anybody: whether harm rose is asked of the charts, and whether the mix explains it of `stats.explained_by_mix`.
    """
    tests, untold = [], []
    for column in sorted(before.categories.keys() | after.categories.keys()):
        counts = (before.categories.get(column, {}), after.categories.get(column, {}))
        sides = [sum(c.values()) for c in counts]
        tests += [_mix(column, *counts)] if min(sides) >= FEW else []
        untold += [] if min(sides) >= FEW else [_too_few(column, *sides)]
    for column in sorted(before.numbers.keys() | after.numbers.keys()):
        values = [np.asarray(w.numbers.get(column, ()), dtype=np.float64) for w in (before, after)]
        sides = [len(v) for v in values]
        tests += [_number(column, *values)] if min(sides) >= FEW else []
        untold += [] if min(sides) >= FEW else [_too_few(column, *sides)]
    grown: tuple[Grown, ...] = ()
    sides = [len(w.questions) for w in (before, after)]
    if min(sides) >= FEW:
        tests += _questions(before.vectors, after.vectors, rng, thorough)
        grown = novel_clusters(before.vectors, after.vectors, after.questions, rng)
    else:
        untold.append(_too_few("questions", *sides))
    # what is only shown must not weaken what decides
    families = [[t for t in tests if (t.test == "number") == shown] for shown in (False, True)]
    columns = sorted((c for family in families for c in _holm(family)), key=lambda c: (c.p, c.column, c.test))
    return TrafficShift(columns=tuple(columns), grown=grown, untold=tuple(untold), embedder=embedder)


def explain_strata(
    before: Mapping[Cell, tuple[float, float]], after: Mapping[Cell, tuple[float, float]], *, design: float = 1.0
) -> MixExplained:
    """Whether the mix explains a change of a rate, from (observations, harmful ones) by cell of segments and topics.

    Cells that only one side has are new, or gone. See `andon.stats.explained.explained_by_mix`, whose verdict `mix` is the
    only one that may spare somebody a page.

    Raises:
        ValueError: a side is empty.
    """
    cells = sorted({*before, *after}, key=str)
    (n0, x0), (n1, x1) = (zip(*(side.get(c, (0.0, 0.0)) for c in cells), strict=True) for side in (before, after))
    return explained_by_mix(n0, x0, n1, x1, design=design)


@dataclass(frozen=True, slots=True)
class _Test:
    column: str
    test: Literal["mix", "number", "questions", "mmd", "classifier"]
    p: float
    size: float
    sentence: str
    psi: float | None = None
    jensen_shannon: float | None = None


def _holm(tests: Sequence[_Test]) -> list[ColumnShift]:
    """The tests with Holm's correction (Scandinavian Journal of Statistics 6 (1979), 65-70), surest first."""
    ranked = sorted(tests, key=lambda t: (t.p, t.column, t.test))
    found, least = [], 0.0
    for i, t in enumerate(ranked):
        least = min(1.0, max(least, t.p * (len(ranked) - i)))
        unmoved = f"{t.column}: no shift is evident (p = {t.p:.2g}, {len(ranked)} tests)"
        shift = ColumnShift(
            column=t.column,
            test=t.test,
            p=t.p,
            p_corrected=least,
            size=t.size,
            psi=t.psi,
            jensen_shannon=t.jensen_shannon,
            sentence=f"{t.column}: {t.sentence}" if least <= ALPHA else unmoved,
        )
        found.append(shift)
    return found


def _mix(column: str, before: Mapping[str, int], after: Mapping[str, int]) -> _Test:
    p, size = mix_shift(before, after)
    n, m = sum(before.values()), sum(after.values())
    shares = {c: (before.get(c, 0) / n, after.get(c, 0) / m) for c in {**before, **after}}
    most = sorted(shares, key=lambda c: (-abs(shares[c][1] - shares[c][0]), c))[:SHOWN]
    told = ", ".join(f"{_one_line(c)} {percent(shares[c][0])} -> {percent(shares[c][1])}" for c in most)
    sentence = f"{percent(size)} of the traffic moved between values ({told})"
    return _Test(column, "mix", p, size, sentence, psi(before, after), jensen_shannon(before, after))


def _number(column: str, before: Floats, after: Floats) -> _Test:
    p, size = ks(before, after)
    middle = [float(np.median(v)) for v in (before, after)]
    tenths = _tenths(before, after)
    sentence = (
        f"median {middle[0]:.4g} -> {middle[1]:.4g} (largest distance of the distributions {size:.2f}; shown only)"
    )
    return _Test(column, "number", p, size, sentence, psi(*tenths), jensen_shannon(*tenths))


def _tenths(before: Floats, after: Floats) -> tuple[dict[str, int], dict[str, int]]:
    """Both sides counted in the tenths of the first; fewer where values repeat."""
    edges = np.unique(np.quantile(before, np.arange(1, 10) / 10))
    sides = [np.bincount(np.searchsorted(edges, v, side="right"), minlength=len(edges) + 1) for v in (before, after)]
    one, two = ({str(i): int(n) for i, n in enumerate(side)} for side in sides)
    return one, two


def _questions(before: Vectors, after: Vectors, rng: np.random.Generator, thorough: bool) -> list[_Test]:
    p, far = mean_shift(before, after, rng)
    tests = [_Test("questions", "questions", p, far, f"they ask of other things (distance of means {far:.3f})")]
    if thorough:
        p, far = mmd(before, after, rng)
        tests.append(_Test("questions", "mmd", p, far, f"another cloud of questions (MMD^2 {far:.4f})"))
        p, area = classifier_test(before, after, rng)
        words = f"a classifier tells a question of after from one of before in {percent(area)} of pairs (50 % by luck)"
        tests.append(_Test("questions", "classifier", p, area, words))
    return tests


def _too_few(column: str, before: int, after: int) -> str:
    return f"{column}: too few to tell ({before} before, {after} after; {FEW} are needed on each side)"


def _one_line(text: str, limit: int = 40) -> str:
    """A value from traffic on one line, shortened, without characters that a terminal obeys."""
    short = text[:limit] + ("…" if len(text) > limit else "")
    return " ".join("".join(c if c.isprintable() else " " for c in short).split()) or "(blank)"
