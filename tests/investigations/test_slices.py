"""Laws of the slice scan, on cells with a known cause."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import slices_simulated as simulated
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from slices_simulated import FIELDS, WIDTHS, grid

from andon.investigations import slices
from andon.investigations.slices import Cells, find_slices, group_rows

PAGE = Path(__file__).parents[2] / "docs" / "methods" / "slices.md"


def where(cells: Cells, limit: int = 5) -> list[dict[str, str]]:
    """The conditions of what is found."""
    return [s.where for s in find_slices(cells, 0.03, limit)]


@pytest.mark.parametrize(
    "truth",
    [{"task": 3}, {"task": 3, "prompt": 1}, {"risk": 0, "task": 5, "model": 2}, {"risk": 1}, {"model": 0, "prompt": 0}],
    ids=str,
)
@pytest.mark.parametrize("seed", range(4))
def test_the_planted_slice_is_the_only_one(truth: dict[str, int], seed: int) -> None:
    """A slice of one, two or three attributes that rose is told as it is: no part of it, nothing around it, nothing else."""

    def rate(codes: NDArray[np.int64]) -> NDArray[np.float64]:
        inside = np.all([codes[:, FIELDS.index(f)] == v for f, v in truth.items()], axis=0)
        return np.where(inside, 0.25, 0.03)

    found = find_slices(grid(np.random.default_rng(seed), rate), 0.03)
    assert [s.where for s in found] == [{f: f"{f}{v}" for f, v in truth.items()}]
    assert found[0].share > 0.5  # harm outside of it wanders too, and a slice of three attributes is small
    assert found[0].score > 10


@pytest.mark.parametrize("seed", range(4))
def test_a_rise_that_differs_within_the_slice_is_one_slice(seed: int) -> None:
    """A slice whose cells rose to rates from 10 % to 40 % is told whole, not as the part that rose most."""
    rng = np.random.default_rng(seed)

    def rate(codes: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.where(codes[:, 1] == 3, np.where(codes[:, 2] == 0, 0.4, rng.uniform(0.1, 0.25, len(codes))), 0.03)

    assert where(grid(rng, rate)) == [{"task": "task3"}]


@pytest.mark.parametrize("seed", range(4))
def test_two_slices_at_once(seed: int) -> None:
    """Two causes at once are two slices, the one that carries more harm first, and each counts itself only."""

    def rate(codes: NDArray[np.int64]) -> NDArray[np.float64]:
        first, second = codes[:, 1] == 3, (codes[:, 1] == 6) & (codes[:, 3] == 1)
        return np.where(first, 0.3, np.where(second, 0.3, 0.03))

    cells = grid(np.random.default_rng(seed), rate)
    found = find_slices(cells, 0.03)
    assert [s.where for s in found] == [{"task": "task3"}, {"task": "task6", "prompt": "prompt1"}]
    inside = cells.codes[:, 1] == 3
    assert (found[0].after_x, found[0].after_n) == (cells.after_x[inside].sum(), cells.after_n[inside].sum())
    assert (found[0].outside_x, found[0].outside_n) == (cells.after_x[~inside].sum(), cells.after_n[~inside].sum())
    assert (found[0].before_x, found[0].before_n) == (cells.before_x[inside].sum(), cells.before_n[inside].sum())


@pytest.mark.parametrize("rise", [1.0, 2.0, 6.0])
def test_what_all_traffic_shares_is_no_slice(rise: float) -> None:
    """When nothing rose, or everything alike, at most one scan in twenty tells a slice."""
    told = 0
    for seed in range(60):
        cells = grid(np.random.default_rng(seed), lambda codes: np.full(len(codes), 0.03 * rise), mean_n=30)
        told += bool(find_slices(cells, 0.03))
    assert told <= 3


@pytest.mark.parametrize("rate", [0.05, 0.18, 0.6])
def test_harm_from_nothing_that_hits_all_alike_is_no_slice(rate: float) -> None:
    """Where no harm was seen before and all topics fail alike since, a rise beyond any that slices have, none is told."""
    told = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        cells = grid(rng, lambda codes: np.full(len(codes), rate), base=0.0, mean_n=100, widths=(20,))
        told += bool(find_slices(cells, 0.001))
    assert told <= 1


@pytest.mark.parametrize("seed", range(4))
def test_a_slice_within_harm_from_nothing(seed: int) -> None:
    """Where no harm was seen before, the part that fails more than the rest is told, and no other."""
    rng = np.random.default_rng(seed)
    cells = grid(rng, lambda codes: np.where(codes[:, 0] == 1, 0.6, 0.15), base=0.0, mean_n=100, widths=(20,))
    assert where(cells) == [{"risk": "risk1"}]


def test_a_slice_has_more_than_the_rest_or_rose_more() -> None:
    """A part is told where its rate or its rise is surely above the rest's, by counts; else not, whatever the scan says."""
    cells = grid(np.random.default_rng(0), lambda codes: np.full(len(codes), 0.1), widths=(4,))
    inside = np.array([True, False, False, False])

    def stands_out(before: tuple[float, float], since: tuple[float, float]) -> bool:
        made = replace(
            cells,
            before_x=np.where(inside, *before),
            before_n=np.full(4, 1000.0),
            after_x=np.where(inside, *since),
            after_n=np.full(4, 1000.0),
        )
        return slices._stands_out(made, made.before_x / made.before_n, inside, ~inside, 4)

    assert stands_out((10, 10), (300, 100))  # more than elsewhere
    assert stands_out((1, 200), (50, 200))  # less than elsewhere, but only it rose
    assert not stands_out((1, 2), (160, 183))
    assert not stands_out((10, 10), (105, 100))
    assert not stands_out((1, 50), (3, 50))


@pytest.mark.slow
def test_one_scan_in_twenty_at_most() -> None:
    """Over 500 stretches of nothing, with rates that differ by cell, no more than 5 % tell a slice."""
    told = 0
    for seed in range(500):
        rng = np.random.default_rng(seed)
        base = rng.beta(2, 40, 96)
        told += bool(find_slices(grid(rng, lambda codes, base=base: base, base=base), 0.03))
    assert told <= 25


def test_a_slice_on_top_of_a_rise_of_all() -> None:
    """Where all rates doubled and one task's rose tenfold, that task is the slice."""

    def rate(codes: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.where(codes[:, 1] == 3, 0.35, 0.07)

    for seed in range(4):
        assert where(grid(np.random.default_rng(seed), rate, mean_n=200)) == [{"task": "task3"}]


def test_what_always_failed_is_no_slice() -> None:
    """A slice whose rate was as high before is not told; only what rose is."""

    def base(codes: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.where(codes[:, 1] == 0, 0.4, 0.03)

    codes = grid(np.random.default_rng(0), base).codes
    cells = grid(np.random.default_rng(1), lambda c: np.where(c[:, 1] == 3, 0.2, base(c)), base=base(codes))
    assert where(cells) == [{"task": "task3"}]


def test_a_fall_is_no_slice() -> None:
    """A slice in which harm became rarer is never told."""
    cells = grid(np.random.default_rng(0), lambda c: np.where(c[:, 1] == 0, 0.02, 0.3), base=0.3)
    assert where(cells) == []


def test_a_new_version_borrows_the_rates_of_what_it_replaces() -> None:
    """A version that was not there before is held against the same tasks before: bad ones are named, fine ones are not.

    One task always fails more often than the rest; the new prompt, which serves half, fails in another task only.
    """
    rng = np.random.default_rng(0)

    def base(c: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.where(c[:, 1] == 0, 0.4, 0.02)

    cells = grid(rng, lambda c: np.where((c[:, 1] == 3) & (c[:, 3] == 1), 0.3, base(c)), base=0.0)
    n1 = np.where(cells.codes[:, 3] == 1, 0, 100)
    old = replace(cells, before_n=n1.astype(float), before_x=rng.binomial(n1, base(cells.codes)).astype(float))
    assert where(old) == [{"task": "task3", "prompt": "prompt1"}]


def test_few_cases_are_no_slice() -> None:
    """Four harmed interactions are no slice, however rare harm was; with a fifth they are one."""
    found = {}
    for harmed in (4, 5):
        cells = grid(np.random.default_rng(0), lambda c: np.zeros(len(c)), base=0.001, mean_n=400, widths=WIDTHS[:3])
        x = np.where((cells.codes == (0, 3, 0)).all(axis=1), harmed, 0).astype(float)
        n = np.where(x > 0, harmed, cells.after_n)
        found[harmed] = find_slices(replace(cells, after_x=x, after_n=n), 0.001)
    assert found[4] == ()
    assert [s.where for s in found[5]] == [{"risk": "risk0", "task": "task3", "model": "model0"}]


def test_nothing_to_scan() -> None:
    """No cells, no fields, or no traffic since the onset: no slices, and no error."""
    cells = grid(np.random.default_rng(0), lambda c: np.full(len(c), 0.5))
    assert find_slices(replace(cells, after_n=np.zeros(96), after_x=np.zeros(96)), 0.03) == ()
    assert find_slices(replace(cells, fields=(), values=(), codes=np.zeros((96, 0), np.int64)), 0.03) == ()
    none = {name: np.zeros(0) for name in ("before_x", "before_n", "after_x", "after_n")}
    assert find_slices(replace(cells, codes=np.zeros((0, 4), np.int64), **none), 0.03) == ()


def test_without_a_time_before_the_baseline_is_expected() -> None:
    """Where nothing was seen before, cells are held against the baseline that is given."""
    cells = grid(np.random.default_rng(0), lambda c: np.where(c[:, 1] == 3, 0.3, 0.03))
    bare = replace(cells, before_x=np.zeros(96), before_n=np.zeros(96))
    assert [s.where for s in find_slices(bare, 0.03)] == [{"task": "task3"}]


def test_missing_values_are_no_attribute() -> None:
    """Interactions without a value belong to no slice of that field, also when they carry the harm."""
    cells = grid(np.random.default_rng(0), lambda c: np.where(c[:, 1] == 0, 0.4, 0.03))
    codes = cells.codes.copy()
    codes[codes[:, 1] == 0, 1] = -1
    assert not any("task" in w for w in where(replace(cells, codes=codes)))


def test_the_simpler_of_two_names_for_the_same() -> None:
    """When a task is served by one model only, the task alone is told, not the task and its model."""
    cells = grid(np.random.default_rng(0), lambda c: np.where(c[:, 1] == 3, 0.4, 0.03))
    only = (cells.codes[:, 1] != 3) | (cells.codes[:, 2] == 0)
    kept = {name: getattr(cells, name)[only] for name in ("codes", "before_x", "before_n", "after_x", "after_n")}
    assert where(replace(cells, **kept)) == [{"task": "task3"}]


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), order=st.permutations(range(4)))
def test_order_does_not_matter(seed: int, order: list[int]) -> None:
    """Neither the order of the cells nor that of the fields changes what is found."""
    rng = np.random.default_rng(seed)
    cells = grid(rng, lambda c: np.where((c[:, 1] == 3) & (c[:, 3] == 0), 0.3, 0.03), mean_n=20)
    at = rng.permutation(96)
    sides = {name: getattr(cells, name)[at] for name in ("before_x", "before_n", "after_x", "after_n")}
    other = replace(
        cells,
        fields=tuple(cells.fields[f] for f in order),
        values=tuple(cells.values[f] for f in order),
        codes=cells.codes[at][:, order],
        **sides,
    )
    one, two = find_slices(cells, 0.03), find_slices(other, 0.03)
    assert [s.where for s in one] == [s.where for s in two]
    assert [s.score for s in one] == pytest.approx([s.score for s in two], abs=0.02)


@example([(13_690_007, 3, 134_746_033_209)])
@given(st.lists(st.tuples(st.integers(-1, 2**40), st.integers(-1, 3), st.integers(-1, 2**40)), max_size=30))
def test_rows_are_grouped_by_all_their_codes(rows: list[tuple[int, int, int]]) -> None:
    """Equal rows get one number, different ones different numbers, from 0 without gaps; great codes overflow nothing."""
    codes = np.array(rows, dtype=np.int64).reshape(len(rows), 3)
    found = group_rows(codes)
    assert {(int(a), row) for a, row in zip(found, rows, strict=True)} == {
        (k, row) for row in set(rows) for k in {int(found[rows.index(row)])}
    }
    assert sorted(set(found.tolist())) == list(range(len(set(rows))))


@pytest.mark.slow
def test_the_page_says_what_the_simulation_gives() -> None:
    """The tables of docs/methods/slices.md are those of the seeded simulation, to the letter."""
    page = PAGE.read_text(encoding="utf-8")
    for part in simulated.measure():
        assert part in page, "run `python tests/investigations/slices_simulated.py` and put this on the page:\n" + part
