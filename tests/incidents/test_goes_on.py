"""Laws of whether harm goes on, read from real tables."""

import numpy as np
import pyarrow as pa
import pytest
from test_triage import HOUR, T0, signal

from andon.incidents import Incident, open_incident
from andon.incidents.run import goes_on
from andon.scores import score_schema
from andon.scores.builtin import SCORERS
from andon.store import Ledger, Warehouse

SCHEMA = score_schema(SCORERS)
END = T0 // HOUR * HOUR


def put(
    warehouse: Warehouse, n: int, refused: int, *, hours_ago: float = 0.0, task: str = "faq", weight: float = 1.0
) -> None:
    """Rows of the hour that ends so long before END; some of them refuse."""
    start = END - int(hours_ago * HOUR) - HOUR
    time_us = start + np.arange(n) * HOUR // n
    ids = [f"{start}-{task}-{k}" for k in range(n)]
    columns = {
        "id": ids,
        "time_us": time_us,
        "interaction_id": ids,
        "weight": np.full(n, weight),
        "scorers": ["s"] * n,
        "app": ["bot"] * n,
        "environment": ["production"] * n,
        "task": [task] * n,
        "error": np.zeros(n),
        "refusal": (np.arange(n) * refused // n != (np.arange(n) + 1) * refused // n).astype(float),
    }
    nothing = {f.name: pa.nulls(n, f.type) for f in SCHEMA if f.name not in columns}
    warehouse.append(
        "scores", pa.table({f.name: nothing.get(f.name, columns.get(f.name)) for f in SCHEMA}, schema=SCHEMA)
    )
    warehouse.commit()


def about(ledger: Ledger, **fields) -> Incident:
    """An incident: 30 refusals in 100 against 2 in 100."""
    lead = signal("a", **fields)
    ledger.put(lead, now_us=T0, by="andon")
    return open_incident(1, [lead])


@pytest.mark.parametrize(
    ("n", "refused", "answer"),
    [(200, 60, True), (200, 4, False), (200, 0, False), (200, 12, True), (4, 0, None), (4, 4, True)],
)
def test_it_goes_on_while_the_rate_is_above_its_limits(
    store: tuple[Warehouse, Ledger], n: int, refused: int, answer: bool | None
) -> None:
    """The last hour decides; so little traffic that even the signal's rate would be within the limits cannot tell."""
    warehouse, ledger = store
    put(warehouse, n, refused)
    put(warehouse, 200, 100, hours_ago=2)
    assert goes_on(warehouse, ledger, about(ledger), now_us=END + 1) is answer


def test_only_the_part_of_the_leading_signal_counts(store: tuple[Warehouse, Ledger]) -> None:
    """Harm elsewhere is not harm here."""
    warehouse, ledger = store
    put(warehouse, 200, 4)
    put(warehouse, 200, 100, task="refund")
    assert goes_on(warehouse, ledger, about(ledger, scope={"task": "faq"}), now_us=END) is False
    assert goes_on(warehouse, ledger, about(ledger, scope={"task": "refund"}), now_us=END) is True


def test_without_traffic_nobody_can_tell(store: tuple[Warehouse, Ledger]) -> None:
    """No traffic, a metric that is gone or a signal that is gone: cannot tell, and no error."""
    warehouse, ledger = store
    assert goes_on(warehouse, ledger, about(ledger), now_us=END) is None
    put(warehouse, 200, 100)
    assert goes_on(warehouse, ledger, about(ledger, metric="plugin_that_is_gone"), now_us=END) is None
    assert goes_on(warehouse, ledger, open_incident(1, [signal("never written")]), now_us=END) is None


def test_wide_windows_are_read_for_longer(store: tuple[Warehouse, Ledger]) -> None:
    """With windows of an hour the last six count."""
    warehouse, ledger = store
    for hours in range(6):
        put(warehouse, 30, 9 if hours == 5 else 1, hours_ago=hours)
    incident = about(ledger, window_us=HOUR, baseline_x=10)
    assert goes_on(warehouse, ledger, incident, now_us=END) is True
    assert goes_on(warehouse, ledger, incident, now_us=END + HOUR) is False


SILENCE = {"metric": "traffic", "direction": "down", "x": 85, "n": 100, "baseline_x": 0, "at_us": END - HOUR}


@pytest.mark.parametrize(("came", "answer"), [(0, True), (30, True), (170, False), (200, False), (400, False)])
def test_silence_goes_on_until_half_of_it_is_made_up(
    store: tuple[Warehouse, Ledger], came: int, answer: bool | None
) -> None:
    """Traffic is held against the same hour of the week before: a quiet hour of every night is no outage, and no traffic is."""
    warehouse, ledger = store
    put(warehouse, 200, 4, hours_ago=7 * 24)
    put(warehouse, 5000, 4, hours_ago=7 * 24 - 5)
    put(warehouse, 5000, 4, hours_ago=5)
    if came:
        put(warehouse, came, 0)
    incident = about(ledger, onset_us=END - 3 * HOUR, onset_low_us=END - 4 * HOUR, **SILENCE)
    assert goes_on(warehouse, ledger, incident, now_us=END) is answer


def test_silence_is_held_against_a_week_before_it(store: tuple[Warehouse, Ledger]) -> None:
    """What came during the silence is not what is usual; without traffic before it nobody can tell."""
    warehouse, ledger = store
    fell = END - 8 * 24 * HOUR
    incident = about(ledger, onset_us=fell, onset_low_us=fell, **SILENCE)
    put(warehouse, 30, 0, hours_ago=7 * 24)
    put(warehouse, 30, 0)
    assert goes_on(warehouse, ledger, incident, now_us=END) is None
    put(warehouse, 200, 0, hours_ago=14 * 24)
    assert goes_on(warehouse, ledger, incident, now_us=END) is True


@pytest.mark.parametrize(("kept", "weight", "answer"), [(100, 2.0, False), (15, 2.0, True), (2, 100.0, None)])
def test_traffic_that_is_sampled_more_thinly_is_not_missing(
    store: tuple[Warehouse, Ledger], kept: int, weight: float, answer: bool | None
) -> None:
    """Rows count as what they stand for; so few rows that their noise hides half of the fall cannot tell."""
    warehouse, ledger = store
    put(warehouse, 200, 4, hours_ago=7 * 24)
    put(warehouse, kept, 0, weight=weight)
    incident = about(ledger, onset_us=END - 3 * HOUR, onset_low_us=END - 4 * HOUR, **SILENCE)
    assert goes_on(warehouse, ledger, incident, now_us=END) is answer
