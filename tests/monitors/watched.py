"""Score rows on the real store, and what `Watch` makes of them: rates by part of the traffic, steps, mixes, evaluators."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from andon.monitors import Signal
from andon.monitors.run import Watch
from andon.scores import score_schema
from andon.scores.builtin import SCORERS
from andon.store import Ledger, Warehouse

WIDTH_US = 300_000_000
HOUR_US = 12 * WIDTH_US
START_US = 1_700_000_000_000_000 // HOUR_US * HOUR_US
SCHEMA = score_schema(SCORERS)
SHIFT, END = 156, 228
"""Windows of five minutes: thirteen hours of history, six hours after the shift."""

PER_WINDOW = 40
Row = dict[str, Any]
Rate = float | Callable[[int], float]


def rows(
    rate: Mapping[str, Rate] | Rate,
    share: Callable[[int], Mapping[str, float]] = lambda _: {"": 1.0},
    *,
    key: str = "task",
    metric: str = "error",
    windows: range = range(END),
    per_window: int = PER_WINDOW,
    seed: int = 1,
    **fields: Any,
) -> list[Row]:
    """Score rows whose `key` takes values with these shares, by window, and whose metric is 1 with this rate, by value."""
    rng, made = np.random.default_rng([seed, windows.start]), []
    for w in windows:
        shares = share(w)
        for value in rng.choice(list(shares), per_window, p=list(shares.values())).tolist():
            chosen = rate[value] if isinstance(rate, Mapping) else rate
            p = chosen(w) if callable(chosen) else chosen
            name = f"{seed}-{windows.start}-{len(made)}"
            made.append({
                "id": name, "interaction_id": name, "time_us": at(w) + int(rng.integers(0, WIDTH_US)), "weight": 1.0,
                "scorers": "s", "app": "shop", "environment": "production", metric: float(rng.random() < p),
                **({key: value} if value else {}), **fields,
            })  # fmt: skip
    return made


def at(window: int) -> int:
    """Start of a window."""
    return START_US + window * WIDTH_US


def step(before: float, after: float, window: int = SHIFT) -> Callable[[int], float]:
    """A value that changes at a window."""
    return lambda w: after if w >= window else before


def mix(**grown: float) -> Callable[[int], Mapping[str, float]]:
    """Shares of `bad` traffic of 10 % that become these at the shift."""
    return lambda w: {"good": 1 - sum(grown.values()), **grown} if w >= SHIFT else {"good": 0.9, "bad": 0.1}


Store = tuple[Warehouse, Ledger]


def watch(store: Store, budget: float = 1.0, **fields: Any) -> Watch:
    """A new process's watch."""
    return Watch(*store, SCORERS, window_s=300, false_pages_per_month=budget, **fields)


def turned(store: Store, until: int = END, budget: float = 1.0, **fields: Any) -> list[Signal]:
    """What the charts say up to a window."""
    return watch(store, budget, **fields).advance(at(until))


def whole(signals: Sequence[Signal], metric: str = "error") -> list[Signal]:
    """Those of the chart of a metric over all traffic, its learned baseline."""
    return [s for s in signals if s.metric == metric and not s.scope and not s.objective]


def judged(evaluator: str, mean: Callable[[int], float], seed: int) -> list[Row]:
    """What one evaluator says: numbers around a mean, by window."""
    made = rows(0.0, evaluator=evaluator, metric="evaluation", seed=seed, per_window=15)
    rng = np.random.default_rng(seed)
    for row in made:
        window = (row["time_us"] - START_US) // WIDTH_US
        row["evaluation"] = float(np.clip(rng.normal(mean(window), 0.1), 0.01, 1))
    return made
