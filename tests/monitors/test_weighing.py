"""Laws of what is read of the rows for a signal: right, once for all charts of an application, and never more than it takes."""

import operator
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from watched import HOUR_US, START_US, Row, Store

from andon.monitors import Signal
from andon.monitors.run.charting import harm_of
from andon.monitors.run.weighing import KINDS, MANY, Weighing, usual_span
from andon.store import Span

DAY_US = 24 * HOUR_US

SIGNAL = Signal(
    id="s", monitor="m", app="shop", environment="production", metric="error", direction="up", at_us=START_US + HOUR_US,
    window_us=300_000_000, x=1, n=2, baseline_x=1, baseline_n=2, baseline_from_us=START_US, baseline_to_us=START_US + HOUR_US,
    statistic=1.0, threshold=1.0, onset_us=START_US, onset_low_us=START_US, onset_high_us=START_US,
)  # fmt: skip


def made(count: int, rng: random.Random) -> list[Row]:
    """Rows of two applications, of people and of probes, with and without segments."""
    return [
        {
            "id": str(k), "interaction_id": str(k), "time_us": START_US + rng.randrange(4 * HOUR_US), "weight": rng.choice([1.0, 2.5]),
            "scorers": "s", "app": rng.choice(["shop", "desk"]), "environment": "production",
            "task": rng.choice([None, "faq", "draft"]), "risk_category": rng.choice([None, "high", "low"]),
            "requested_model": rng.choice(["large", "small"]), "source": rng.choice([None, "web", "probe"]),
            "error": rng.choice([None, 0.0, 0.0, 1.0]), "latency_s": rng.choice([None, 0.5, 2.0, 4.0]),
        }
        for k in range(count)
    ]  # fmt: skip


def expected(rows: list[Row], signal: Signal, span: Span, harm: Callable[[float], bool]) -> dict[Any, float]:
    """The same, row by row."""
    found: dict[Any, float] = defaultdict(float)
    for row in rows:
        scope = {"app": signal.app, "environment": signal.environment, **signal.scope}
        mine = all(row[k] == v for k, v in scope.items()) and ("source" in scope or row["source"] != "probe")
        if mine and span.start_us <= row["time_us"] < span.end_us:
            value = row[signal.metric]
            found[tuple(row.get(k) for k in KINDS)] += row["weight"] if value is not None and harm(value) else 0.0
    return {cell: weight for cell, weight in found.items() if weight}


SCOPES: list[dict[str, str]] = [
    {}, {"task": "faq"}, {"task": "draft"}, {"risk_category": "high", "task": "faq"}, {"requested_model": "small"},
    {"requested_model": "large"}, {"source": "probe"}, {"task": "never seen"},
]  # fmt: skip


@pytest.mark.parametrize("scope", SCOPES)
def test_weights_are_those_of_the_signals_own_rows(store: Callable[..., Store], scope: dict[str, str]) -> None:
    """Of each part of the traffic: what was observed, and what of it was harm, by kind of question; probes only where asked for."""
    rows = made(600, random.Random(1))
    weights, span = Weighing(store(rows)[0]), Span(start_us=START_US + HOUR_US, end_us=START_US + 3 * HOUR_US)
    number = replace(SIGNAL, metric="latency_s", kind="number", cut=2.0)
    for each in (SIGNAL, replace(SIGNAL, direction="down"), number, replace(number, direction="down")):
        signal = replace(each, scope=scope)
        bound, beyond = signal.cut or 0.5, {"up": operator.ge, "down": operator.lt}[signal.direction]
        for harm, conditions in (
            (lambda v: True, ()),
            (partial(lambda is_bad, b, v: is_bad(v, b), beyond, bound), (harm_of(signal),)),
        ):
            found = {cell: weight for cell, weight in weights(signal, span, *conditions).items() if weight}
            assert found == expected(rows, signal, span, harm)


def test_a_storm_reads_what_one_signal_does(store: Callable[..., Store], monkeypatch: pytest.MonkeyPatch) -> None:
    """However many values of a segment signal, the rows are read once."""
    rows = made(200, random.Random(2))
    for k, row in enumerate(rows):
        row["segment"] = f"customer {k}"
    warehouse, plans = store(rows)[0], []
    run = warehouse.run
    monkeypatch.setattr(warehouse, "run", lambda plan: plans.append(plan) or run(plan))
    weights, span = Weighing(warehouse), Span(start_us=START_US, end_us=START_US + 4 * HOUR_US)
    for k in range(200):
        weights(replace(SIGNAL, scope={"segment": f"customer {k}"}), span)
    assert len(plans) == 1


ages = st.integers(0, 400 * 24)


@given(ages, ages, st.integers(-30, 24 * 30), st.integers(1, 10**7))
def test_what_is_usual_lies_before_the_onset_and_within_the_baseline(first: int, age: int, after: int, n: int) -> None:
    """Of an older chart whole days, one week or at most four; of a young one its baseline as it is."""
    start, end = first * HOUR_US, (first + age + 1) * HOUR_US
    signal = replace(
        SIGNAL, baseline_from_us=start, baseline_to_us=end, onset_us=max(0, end + after * HOUR_US), baseline_n=n
    )
    span = usual_span(signal)
    until = min(end, signal.onset_us)
    assert span.start_us >= start
    assert span.end_us <= until
    whole = until // DAY_US - -(-start // DAY_US)
    if whole <= 7:
        assert (span.start_us, span.end_us) == (start, until)
        return
    days = (span.end_us - span.start_us) / DAY_US
    assert span.end_us == until // DAY_US * DAY_US
    assert days == (7 if n * 7 * DAY_US / (end - start) >= MANY else min(28, whole))
