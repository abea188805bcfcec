"""Laws of reading two arms out of the table of scores."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from andon.errors import InputError
from andon.rollouts import Decision
from andon.rollouts.run import compare_arms
from andon.scores import SCORERS, score_schema
from andon.store import Ledger, Span, Warehouse

T0 = 1_790_000_000_000_000
SPAN = Span(start_us=T0, end_us=T0 + 10_000_000)


class Store:
    def __init__(self, folder: Path) -> None:
        self.warehouse = Warehouse(folder, {"scores": score_schema(SCORERS)})
        self.ledger = Ledger("sqlite://")
        self.rows: list[dict[str, Any]] = []

    def add(self, n: int, time_us: int = T0, app: str = "bot", **fields: Any) -> None:
        start = len(self.rows)
        self.rows += [
            {
                "id": f"s{start + i}",
                "time_us": time_us + i,
                "weight": 1.0,
                "app": app,
                "environment": "production",
                **{k: v(i) if callable(v) else v for k, v in fields.items()},
            }
            for i in range(n)
        ]

    def compare(self, **fields: Any) -> Decision:
        schema = score_schema(SCORERS)
        filled = [{name: row.get(name) for name in schema.names} for row in self.rows]
        self.warehouse.append("scores", pa.Table.from_pylist(filled, schema=schema))
        self.warehouse.commit()
        asked = {
            "app": "bot",
            "metric": "error",
            "by": "arm",
            "control": "a",
            "treatment": "b",
            "span": SPAN,
            "now_us": T0,
        }
        return compare_arms(self.warehouse, self.ledger, **{**asked, **fields})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A real warehouse and ledger."""
    store = Store(tmp_path)
    yield store
    store.warehouse.close()
    store.ledger.close()


def test_a_rate_counts_its_bad_value_in_the_asked_traffic_only(store: Store) -> None:
    """Events are the rows at 1 of a rate that harms upward, of this app, span and these two arms, and the decision is kept."""
    store.add(200, arm="a", error=lambda i: float(i < 4))
    store.add(200, arm="b", error=lambda i: float(i < 60))
    store.add(50, arm="c", error=1.0)
    store.add(50, arm="b", error=1.0, app="other")
    store.add(50, arm="b", error=1.0, time_us=SPAN.end_us)
    store.add(50, arm="b")
    decision = store.compare()
    assert (decision.control.n, decision.control.events) == (200, 4)
    assert (decision.treatment.n, decision.treatment.events) == (200, 60)
    assert decision.outcome == "roll back"
    assert store.ledger.all(Decision) == [decision]
    assert store.compare() == decision
    assert len(store.ledger.history(Decision)) == 1


def test_probes_and_other_environments_do_not_count(store: Store) -> None:
    """Our own probes are no traffic, and staging counts only where it is asked for."""
    store.add(200, arm=lambda i: "ab"[i % 2], error=0.0)
    store.add(60, arm="b", error=1.0, source="probe")
    store.add(50, arm=lambda i: "ab"[i % 2], error=1.0, environment="staging")
    decision, staging = store.compare(), store.compare(environment="staging")
    assert [(a.n, a.events) for a in (decision.control, decision.treatment)] == [(100, 0), (100, 0)]
    assert staging.id != decision.id
    assert staging.treatment.events == staging.treatment.n > 0


def test_a_rate_that_harms_downward_counts_zeros(store: Store) -> None:
    """Of a metric whose fall harms, the rows at 0 are the events, and a version field tells arms apart as well."""
    store.add(100, prompt_version="v1", thumbs=lambda i: float(i >= 10))
    store.add(100, prompt_version="v2", thumbs=lambda i: float(i >= 30))
    decision = store.compare(metric="thumbs", by="prompt_version", control="v1", treatment="v2")
    assert (decision.control.events, decision.treatment.events) == (10, 30)
    assert decision.effect == pytest.approx(0.2)


def test_a_number_counts_the_worst_fifth_of_the_control(store: Store) -> None:
    """A number that harms upward counts what is worse than four fifths of the control, in both arms by the same cut."""
    store.add(500, arm="a", latency_s=lambda i: 0.1 * 1.05 ** (i % 100))
    store.add(500, arm="b", latency_s=lambda i: 0.2 * 1.05 ** (i % 100))
    decision = store.compare(metric="latency_s")
    assert decision.control.events == pytest.approx(100, abs=5)
    assert decision.treatment.events == pytest.approx(170, abs=10)
    assert decision.outcome == "roll back"


def test_a_number_that_harms_downward_counts_the_lowest(store: Store) -> None:
    """A number that harms downward counts what is lower than four fifths of the control; ties at the top are not events."""
    store.add(100, arm="a", groundedness=lambda i: 0.5 if i < 10 else 1.0)
    store.add(100, arm="b", groundedness=lambda i: 0.25 if i < 50 else 1.0)
    decision = store.compare(metric="groundedness")
    assert (decision.control.events, decision.treatment.events) == (10, 50)


def test_ties_of_the_control_do_not_hide_harm(store: Store) -> None:
    """Where the whole control has one value, what is worse than it counts, so harm is still seen."""
    store.add(100, arm="a", groundedness=1.0)
    store.add(100, arm="b", groundedness=lambda i: 0.0 if i < 40 else 1.0)
    decision = store.compare(metric="groundedness")
    assert (decision.control.events, decision.treatment.events, decision.outcome) == (0, 40, "roll back")


def test_no_traffic_is_a_hold(store: Store) -> None:
    """An arm that nobody saw is a decision to hold, with zero interactions and no effect."""
    store.add(100, arm="a", error=0.0)
    decision = store.compare(planned_share=None)
    assert (decision.outcome, decision.treatment.n, decision.effect) == ("hold", 0, None)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"metric": "nope"}, "the metrics are"), ({"by": "user_id"}, "arm, provider"), ({"treatment": "a"}, "two values")],
)
def test_a_wrong_question_names_what_is_allowed(store: Store, wrong: dict[str, str], says: str) -> None:
    """An unknown metric or field, or one value for both arms, is refused with what is allowed."""
    with pytest.raises(InputError, match=says):
        compare_arms(
            store.warehouse,
            store.ledger,
            **{
                "app": "bot",
                "metric": "error",
                "by": "arm",
                "control": "a",
                "treatment": "b",
                "span": SPAN,
                "now_us": T0,
                **wrong,
            },  # type: ignore[arg-type]
        )
