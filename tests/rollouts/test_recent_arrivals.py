"""What recent traffic says of who comes in the time of a plan."""

from pathlib import Path

import pyarrow as pa
import pytest

from andon.rollouts.run.planning import Recent, recent_traffic
from andon.scores import SCORERS, score_schema
from andon.store import Warehouse
from andon.traffic.rows import SCHEMAS

DAY_US = 86_400_000_000
NOW = 1_790_000_000_000_000


def recent(folder: Path, came: list[tuple[float, str | None]], days: float = 7.0) -> Recent:
    """What is read from interactions, each so many days ago and of this user; every tenth has an error."""
    rows = [
        {"id": f"s{i}", "time_us": NOW - round(ago * DAY_US), "weight": 1.0, "app": "bot", "environment": "production", "error": float(i % 10 == 0), "user_id": user}
        for i, (ago, user) in enumerate(came)
    ]  # fmt: skip
    warehouse = Warehouse(folder, {**SCHEMAS, "scores": score_schema(SCORERS)})
    warehouse.append("scores", pa.Table.from_pylist(rows, schema=score_schema(SCORERS)))
    warehouse.commit()
    found = recent_traffic(warehouse, "bot", "production", "error", NOW, days=days)
    assert found is not None
    return found


def test_who_comes_every_day_is_counted_on_the_first(tmp_path: Path) -> None:
    """Forty users who come daily, and two new ones each day: 42, 44, ... users within 1, 2, ... days."""
    came: list[tuple[float, str | None]] = [(6.999 - day, f"u{k}") for day in range(7) for k in range(40)]
    came += [(6.5 - day, f"new{day}-{k}") for day in range(7) for k in range(2)]
    assert recent(tmp_path, came).arrivals == tuple(42.0 + 2 * day for day in range(7))


def test_who_names_no_user_is_new_each_time(tmp_path: Path) -> None:
    """Interactions without a user are spread over the days evenly."""
    found = recent(tmp_path, [(6.99 - day, None) for day in range(7) for _ in range(10)])
    assert found.arrivals[-1] == pytest.approx(70, rel=0.01)
    assert found.arrivals[0] == pytest.approx(10, rel=0.01)


def test_a_user_says_as_much_as_in_the_time_of_the_plan(tmp_path: Path) -> None:
    """Users with one interaction a day count as one in a plan of a day, and as seven in one of a week."""
    came: list[tuple[float, str | None]] = [(6.99 - day, f"u{k}") for day in range(7) for k in range(97)]
    day, week = (recent(tmp_path / name, came, days) for name, days in (("day", 1.0), ("week", 7.0)))
    assert day.design_effect == pytest.approx(1.0, rel=0.02)
    assert week.design_effect < 0.3
    assert day.mean == week.mean
