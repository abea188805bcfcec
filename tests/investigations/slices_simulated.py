"""Cells with a known cause, to measure `find_slices`; prints the tables of `docs/methods/slices.md`.

`python tests/investigations/slices_simulated.py` runs it, in some fifteen seconds.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from andon.investigations.slices import Cells, find_slices

Floats = NDArray[np.float64]

FIELDS = ("risk", "task", "model", "prompt")
WIDTHS = (2, 8, 3, 2)


def grid(
    rng: np.random.Generator,
    rate: Callable[[NDArray[np.int64]], NDArray[np.float64]],
    *,
    base: float | NDArray[np.float64] = 0.03,
    mean_n: float = 60,
    widths: tuple[int, ...] = WIDTHS,
) -> Cells:
    """Every combination of values, each with about `mean_n` interactions before and since; `rate` is that of each since."""
    codes = np.stack([c.ravel() for c in np.meshgrid(*map(np.arange, widths), indexing="ij")], axis=1)
    n1, n2 = rng.poisson(mean_n, len(codes)), rng.poisson(mean_n, len(codes))
    x1, x2 = rng.binomial(n1, base), rng.binomial(n2, rate(codes))
    return Cells(
        fields=FIELDS[: len(widths)],
        values=tuple(tuple(f"{name}{k}" for k in range(w)) for name, w in zip(FIELDS, widths, strict=False)),
        codes=codes,
        before_x=x1.astype(float),
        before_n=n1.astype(float),
        after_x=x2.astype(float),
        after_n=n2.astype(float),
    )


RUNS = 100
RISES = (1.5, 2.0, 3.0, 5.0)
PLANTED = (
    ("one attribute (1/8 of traffic)", {"task": 3}),
    ("two (1/16)", {"task": 3, "prompt": 1}),
    ("three (1/32)", {"risk": 0, "task": 5, "prompt": 1}),
)


def found_exactly(truth: dict[str, int], rise: float) -> int:
    """In how many of `RUNS` runs the planted slice and no other is told: harm 3 % before, 200 interactions in a cell."""

    def rate(codes: NDArray[np.int64]) -> Floats:
        inside = np.all([codes[:, FIELDS.index(f)] == v for f, v in truth.items()], axis=0)
        return np.where(inside, 0.03 * rise, 0.03)

    wanted = [{f: f"{f}{v}" for f, v in truth.items()}]
    made = (grid(np.random.default_rng(seed), rate, mean_n=200) for seed in range(RUNS))
    return sum([s.where for s in find_slices(cells, 0.03)] == wanted for cells in made)


def told(make: Callable[[np.random.Generator], Cells], runs: int, rate: float = 0.03) -> str:
    """In how many runs any slice is told."""
    n = sum(bool(find_slices(make(np.random.default_rng(seed)), rate)) for seed in range(runs))
    return f"{n} of {runs}"


def differing(rng: np.random.Generator) -> Cells:
    """Rates that differ from cell to cell and stay."""
    base = rng.beta(2, 40, 96)
    return grid(rng, lambda codes: base, base=base)


def wandering(sd: float, mean_n: float, *, by_task: bool = False) -> Callable[[np.random.Generator], Cells]:
    """Rates of 3 % whose logarithms wander by this standard deviation from cell to cell, or from task to task."""

    def make(rng: np.random.Generator) -> Cells:
        def rate(codes: NDArray[np.int64]) -> Floats:
            wander = rng.normal(0, sd, 8)[codes[:, 1]] if by_task else rng.normal(0, sd, len(codes))
            return 0.03 * np.exp(wander)

        return grid(rng, rate, mean_n=mean_n)

    return make


def from_nothing(n_before: int, n_since: int, rate: float) -> Callable[[np.random.Generator], Cells]:
    """Twenty topics that never failed before, and fail alike since."""

    def make(rng: np.random.Generator) -> Cells:
        n1, n2 = (rng.multinomial(n, np.full(20, 0.05)) for n in (n_before, n_since))
        return Cells(
            fields=("topic",), values=(tuple(map(str, range(20))),), codes=np.arange(20)[:, None],
            before_x=np.zeros(20), before_n=n1.astype(float), after_x=rng.binomial(n2, rate).astype(float),
            after_n=n2.astype(float),
        )  # fmt: skip

    return make


NOTHING = (
    ("nothing, all rates 3 %", lambda rng: grid(rng, lambda c: np.full(len(c), 0.03)), 500, 0.03),
    ("nothing, rates differ from cell to cell", differing, 500, 0.03),
    ("single cells wander by 20 %, 60 interactions in each", wandering(0.2, 60), 200, 0.03),
    ("single cells wander by 40 %, 1,000 in each", wandering(0.4, 1000), 200, 0.03),
    ("whole tasks wander by 10 %, 12,000 in each", wandering(0.1, 1000, by_task=True), 200, 0.03),
    ("whole tasks wander by 20 %, 12,000 in each", wandering(0.2, 1000, by_task=True), 200, 0.03),
    ("all alike, from 0 of 3,056 to 18 % of 2,000", from_nothing(3056, 2000, 0.18), 100, 0.5 / 3057),
    ("all alike, from 0 of 3,056 to 18 % of 500", from_nothing(3056, 500, 0.18), 100, 0.5 / 3057),
    ("all alike, from 0 of 300,000 to 10 % of 20,000", from_nothing(300_000, 20_000, 0.1), 100, 0.5 / 300_001),
)


def measure() -> tuple[str, str]:
    """The two tables."""
    head = f"| rise | {' | '.join(name for name, _ in PLANTED)} |\n|---|---|---|---|\n"
    exact = [
        f"| x {rise:g} | {' | '.join(f'{found_exactly(truth, rise) / RUNS:.2f}' for _, truth in PLANTED)} |\n"
        for rise in RISES
    ]
    none = [f"| {name} | {told(make, runs, rate)} |\n" for name, make, runs, rate in NOTHING]
    return head + "".join(exact), "| what rose | told a slice |\n|---|---|\n" + "".join(none)


if __name__ == "__main__":
    print("\n".join(measure()))  # noqa: T201
