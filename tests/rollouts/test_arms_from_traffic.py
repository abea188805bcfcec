"""Laws of experiments on a field of traffic, whose versions something else than Andon serves."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from andon.changes import Change
from andon.errors import StateError
from andon.levers.run import allocation_of, look_and_act, start_split, stop_split, turn_levers
from andon.rollouts import Allocation, Decision, Experiment, Guardrail
from andon.rollouts.findings import Present
from andon.rollouts.notices import Decided, Telling, message_of
from andon.rollouts.report import Report, render_text
from andon.rollouts.run.reading import present_of
from andon.scores import SCORERS, score_schema
from andon.store import Ledger, Warehouse
from andon.traffic.rows import SCHEMAS

DAY_US, HOUR_US = 86_400_000_000, 3_600_000_000
T0 = 1_790_000_000_000_000

CANARY = Experiment(
    id="EXP-0001", kind="canary", app="bot", lever=None, field="prompt_version", control="v1", treatment="v2", share=None,
    hypothesis="v2 does not harm", metric="error", better="down", effect=0.02, base=0.01, planned=(500, 500), days=1.0,
    on_harm="tell", by="ann", at_us=T0,
)  # fmt: skip


class Store:
    """A real warehouse and ledger."""

    def __init__(self, folder: Path) -> None:
        self.warehouse = Warehouse(folder, {**SCHEMAS, "scores": score_schema(SCORERS)})
        self.ledger = Ledger("sqlite://")
        self.count = 0

    def add(self, n: int, **fields: Any) -> None:
        """Rows since the start; a function is called with the number of the row."""
        rows = []
        for i in range(n):
            row = {"id": f"s{self.count + i}", "time_us": T0 + i, "weight": 1.0, "app": "bot", "environment": "production", "error": 0.0, "user_id": f"u{self.count + i}", **fields}  # fmt: skip
            row = {name: value(i) if callable(value) else value for name, value in row.items()}
            rows.append({name: row.get(name) for name in score_schema(SCORERS).names})
        self.count += n
        self.warehouse.append("scores", pa.Table.from_pylist(rows, schema=score_schema(SCORERS)))
        self.warehouse.commit()

    def start(self, experiment: Experiment = CANARY) -> Allocation:
        """Start it at T0."""
        self.ledger.put(experiment, now_us=T0, by="ann")
        return start_split(self.ledger, experiment, why="rolled out by the gateway", by="ann", now_us=T0)

    def present(self, experiment: Experiment = CANARY, hours: int = 1) -> Present:
        """What came of it, some hours after its start."""
        return present_of(self.warehouse, SCORERS, experiment, self.start(experiment), T0 + hours * HOUR_US)

    def look(self, experiment: Experiment = CANARY, hours: int = 2) -> Decision:
        """The last look, some hours after its start."""
        split = allocation_of(self.ledger, experiment.id) or self.start(experiment)
        made, ended = look_and_act(
            self.warehouse, self.ledger, SCORERS, experiment, split, T0 + hours * HOUR_US - HOUR_US // 2
        )
        assert ended is None
        return made[-1]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """See `Store`."""
    store = Store(tmp_path)
    yield store
    store.warehouse.close()
    store.ledger.close()


def harm(present: Present) -> list[tuple[float, float]]:
    """(all, harmed) of control and treatment, of the first guardrail or else the primary."""
    pair = (*present.guards, present.primary)[0].pair
    assert pair is not None
    return [(arm.n, arm.x) for arm in pair]


def test_arms_are_the_rows_with_either_value(store: Store) -> None:
    """Of this application, place and time only, without probes; other values of the field are in neither arm."""
    store.add(40, prompt_version=lambda i: f"v{1 + i % 2}", error=lambda i: float(i < 3))
    for other in ({"app": "x"}, {"environment": "staging"}, {"source": "probe"}, {"time_us": T0 - 1}, {"time_us": T0 + HOUR_US}):  # fmt: skip
        store.add(20, prompt_version="v2", **{"error": 1.0, **other})
    store.add(20, prompt_version="v3", error=1.0)
    store.add(20, prompt_version=None, error=1.0)
    assert harm(store.present()) == [(20, 2), (20, 1)]


def test_the_arm_column_is_a_field_too(store: Store) -> None:
    """Two values of `arm`, as another system of flags wrote them, are compared as they are."""
    store.add(40, arm=lambda i: "ab"[i % 2], error=lambda i: float(i < 10))
    assert harm(store.present(replace(CANARY, field="arm", control="a", treatment="b"))) == [(20, 5), (20, 5)]


def test_arms_have_the_rates_of_the_traffic(store: Store) -> None:
    """Rows count with their sampling weights."""
    store.add(40, prompt_version=lambda i: f"v{1 + i % 2}", error=lambda i: float(i < 10), weight=lambda i: 9.0 if i < 10 else 1.0)  # fmt: skip
    assert harm(store.present()) == [(60, 45), (60, 45)]


def test_what_was_before_is_of_the_control(store: Store) -> None:
    """The worst fifth before the start is that of what was in place, not of a treatment that was already tried."""
    store.add(50, time_us=T0 - 1, prompt_version="v1", latency_s=1.0)
    store.add(50, time_us=T0 - 1, prompt_version="v2", latency_s=9.0)
    store.add(40, prompt_version=lambda i: f"v{1 + i % 2}", latency_s=lambda i: 5.0 if i < 30 else 1.0)
    seen = store.present(replace(CANARY, guardrails=(Guardrail(metric="latency_s", margin=0.1),)))
    assert harm(seen) == [(20, 15), (20, 15)]


@pytest.mark.parametrize(
    ("metric", "before", "now", "harmed"),
    [
        ("latency_s", (1.0, 60, 9.0), 9.0, True),  # 40 % are slow already: those are the harm that may grow
        ("latency_s", (1.0, 60, 9.0), 1.0, False),
        ("latency_s", (9.0, 0, 9.0), 9.0, False),  # nothing but one value: only what is worse than it
        ("latency_s", (9.0, 0, 9.0), 20.0, True),
        ("groundedness", (1.0, 60, 0.3), 0.3, True),
        ("groundedness", (1.0, 60, 0.3), 1.0, False),
    ],
)
def test_the_worst_bin_is_harm_even_where_it_is_more_than_a_fifth(
    store: Store, metric: str, before: tuple[float, int, float], now: float, harmed: bool
) -> None:
    """Where many have the worst value, more of it is harm; where all have one value, only what is worse."""
    usual, n, worst = before
    store.add(100, time_us=T0 - 1, prompt_version="v1", **{metric: lambda i: usual if i < n else worst})
    store.add(20, prompt_version=lambda i: f"v{1 + i % 2}", **{metric: now})
    plan = replace(CANARY, guardrails=(Guardrail(metric=metric, margin=0.1),))
    assert harm(store.present(plan)) == [(10, 10 * harmed), (10, 10 * harmed)]


def test_what_counts_as_harm_of_a_number_is_said(store: Store) -> None:
    """The finding names the value from which on it is harm, its unit, and of what it is the worst part."""
    store.add(1_000, time_us=T0 - 1, prompt_version="v1", latency_s=lambda i: 0.1 * 1.05 ** (i % 100))
    store.add(400, prompt_version=lambda i: f"v{1 + i % 2}", latency_s=1.0)
    found = store.look(replace(CANARY, guardrails=(Guardrail(metric="latency_s", margin=0.1),)))
    assert (
        "latency_s: harm (above 4.78 s, the worst 20 % of the two weeks before the start) 0 % of 200"
        in found.findings[1].text
    )


def test_harm_is_told_and_nothing_is_taken_out(store: Store) -> None:
    """A look rolls back in words: what is served is served by something else; report and message say so, and no change is written."""
    store.add(2_000, prompt_version=lambda i: f"v{1 + i % 2}", error=lambda i: float(i % 2 and i % 10 < 6))
    decision = store.look()
    assert decision.outcome == "roll back"
    split = allocation_of(store.ledger, "EXP-0001")
    assert split is not None
    assert split.ended_us is None
    assert store.ledger.all(Change) == []
    told = render_text(Report(experiment=CANARY, decisions=[decision], allocation=split))
    assert told.startswith("EXP-0001: prompt_version v2 against v1\nRoll back: harm is shown")
    assert "Andon does not serve prompt_version: take the treatment out" in told
    assert "Nobody planned a split: not checked" in told
    text = message_of(Telling(of=Decided(experiment=CANARY, split=split, decision=decision), outcome="roll back"), T0)
    assert "Something else than Andon serves the treatment: take it out there" in text.text


def test_a_split_that_nobody_planned_is_not_checked(store: Store) -> None:
    """One in ten and every user in both arms: read all the same, with a note. Where a share was planned, it holds."""
    store.add(
        1_000, prompt_version=lambda i: "v1" if i % 10 else "v2", user_id=lambda i: f"u{i // 20}", time_us=lambda i: T0 + 1
    )  # fmt: skip
    free, planned = store.look(), store.look(replace(CANARY, id="EXP-0002", share=0.5))
    assert (free.outcome, free.ratio_mismatch, bool(free.findings)) == ("undecided", None, True)
    assert "nobody planned a split" in free.notes[0]
    assert "50 users were seen in both" in free.notes[0]
    assert (planned.outcome, "the split is broken" in planned.reason) == ("hold", True)


def test_nothing_came_names_the_field(store: Store) -> None:
    """Where neither value came, the look says which were looked for."""
    assert 'no interaction has prompt_version "v1" or "v2"' in store.look().reason


def test_it_runs_once_and_ends_by_itself(store: Store) -> None:
    """It may be stopped, is not started twice, splits no lever, and is over when its time is; the last look is taken."""
    store.add(200, prompt_version=lambda i: f"v{1 + i % 2}")
    store.start()
    with pytest.raises(StateError, match="runs once"):
        store.start()
    failed: list[Exception] = []
    finished: set[str] = set()
    turn_levers(
        store.warehouse, store.ledger, (), scorers=SCORERS, expire=lambda _: None, finished=finished,
        now_us=T0 + 2 * DAY_US, failed=failed.append,
    )  # fmt: skip
    split = allocation_of(store.ledger, "EXP-0001")
    assert failed == []
    assert split is not None
    assert (split.ended_us, split.share, split.lever) == (T0 + DAY_US, 0.0, None)
    other = replace(CANARY, id="EXP-0002")
    store.start(other)
    assert stop_split(store.ledger, other.id, why="enough", by="ann", now_us=T0 + HOUR_US).ended_us == T0 + HOUR_US
    with pytest.raises(StateError, match="ended at"):
        stop_split(store.ledger, other.id, why="enough", by="ann", now_us=T0 + HOUR_US)
