"""Laws of charts that another process goes on with: they are what they would have been, and nothing is told twice or lost."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from watched import END, HOUR_US, SCHEMA, START_US, WIDTH_US, Row, at, judged, mix, rows, step

from andon.errors import StoreError
from andon.monitors import Objective, Signal
from andon.monitors.records import NewNormal
from andon.monitors.resuming import resume, standing
from andon.monitors.run import Watch
from andon.monitors.run.publishing import STANDING, kept_charts
from andon.monitors.run.watching import WatchCursor
from andon.scores.builtin import SCORERS
from andon.store import Ledger, Place, Plan, Warehouse, keep_table

LIMIT = Objective(name="few errors", metric="error", direction="up", at_most=0.05, source="a test")


def everything() -> list[Row]:
    """Traffic with parts, numbers, an evaluator, probes and a metric that begins late, which goes wrong half-way."""
    rng = np.random.default_rng(3)
    made = rows({"good": step(0.02, 0.3), "bad": 0.4}, mix(bad=0.3))
    for row in made:
        row["latency_s"] = float(np.exp(rng.normal(1.0 if row["time_us"] > at(170) else 0.0, 0.5)))
    late = rows(0.0, windows=range(100, END), seed=5, metric="cost_usd", per_window=3, segment="new")
    probes = rows(0.0, seed=6, source="probe", per_window=2)
    return [*made, *late, *probes, *judged("judge", lambda w: 0.9 if w < 180 else 0.5, seed=4)]


def store(folder: Path, made: Sequence[Row]) -> tuple[Warehouse, Ledger]:
    """A store with these score rows."""
    warehouse, ledger = Warehouse(folder, {"scores": SCHEMA}), Ledger.open(folder / "ledger.db")
    warehouse.append("scores", pa.Table.from_pylist(list(made), SCHEMA))
    warehouse.commit()
    return warehouse, ledger


def watch(made: tuple[Warehouse, Ledger], **fields: Any) -> Watch:
    """A new process's watch."""
    given = {"window_s": 300, "false_pages_per_month": 30.0, "objectives": [LIMIT], **fields}
    return Watch(*made, SCORERS, **given)


def turn(process: Watch, until_us: int) -> list[str]:
    """Turn the charts, and say that what they signalled is dealt with."""
    found = process.advance(until_us)
    process.done()
    return [repr(s) for s in found]


def held(process: Watch) -> pa.Table:
    """Everything that a watch knows of its charts."""
    return standing(process._charts, process._counting, "", next=process._next, accepted=sorted(process._accepted))


def accepts(ledger: Ledger, window: int, monitor: str = "shop/*") -> None:
    """Somebody accepts what is as the new normal."""
    said = NewNormal(
        id=f"N{window}", monitor=monitor, from_us=at(window - 24), accepted_us=at(window), why="it is", by="ada"
    )
    ledger.put(said, now_us=at(window), by="ada")


class Reads(Warehouse):
    """Notes which times were asked for."""

    asked: list[int]

    def run(self, plan: Plan) -> pa.Table:
        self.asked.append(-1 if plan.span is None else plan.span.start_us)
        return super().run(plan)


@pytest.mark.parametrize("stops", [[24, 100, 157, 160, 200], [156, 171, 172, 173, 186], list(range(12, END, 12))])
def test_charts_go_on_as_if_nobody_had_stopped(tmp_path: Path, stops: list[int]) -> None:
    """Whoever takes over, at whatever window, has the charts of one process that was never stopped, to the last bit."""
    made = everything()
    alone = store(tmp_path / "alone", made)
    steady, expected = watch(alone), []
    many = store(tmp_path / "many", made)
    found = []
    for ledger in (alone[1], many[1]):
        accepts(ledger, 190)
    for stop in [*stops, END]:
        expected += turn(steady, at(stop))
        process = watch(many)
        found += turn(process, at(stop))
        assert held(process).equals(held(steady), check_metadata=True)
    assert found == expected
    assert len(found) > 5
    assert [repr(s) for s in many[1].all(Signal)] == [repr(s) for s in alone[1].all(Signal)]


def test_who_takes_over_reads_an_hour_and_no_more(tmp_path: Path) -> None:
    """A new process reads what came since the last full hour, however long the history is; without what was kept it reads all."""
    made = store(tmp_path, everything())
    turn(watch(made), at(200))
    reads = Reads(tmp_path, {"scores": SCHEMA})
    for kept, first_us in ((True, at(200) // HOUR_US * HOUR_US), (False, START_US)):
        if not kept:
            (tmp_path / STANDING / f"{STANDING}.arrow").unlink()
        reads.asked = []
        process = watch((reads, made[1]))
        turn(process, at(203))
        plain = [us for us in reads.asked if us >= 0]
        assert min(plain) >= first_us if kept else min(plain) == first_us
        assert (-1 in reads.asked) is not kept


def test_what_is_not_dealt_with_is_found_again(tmp_path: Path) -> None:
    """A process that dies between its signals and their incidents leaves charts behind that signal again."""
    made = store(tmp_path, everything())
    first = watch(made)
    turn(first, at(150))
    lost = [repr(s) for s in first.advance(at(200))]
    assert lost
    assert turn(watch(made), at(200)) == lost


def test_charts_that_cannot_be_kept_go_on_and_say_so(tmp_path: Path) -> None:
    """A disk that refuses costs nothing but the next start, and that is told until it takes them again."""
    made = store(tmp_path, everything())
    (tmp_path / STANDING).write_text("in the way")
    process = watch(made)
    assert turn(process, at(200))
    assert process.unkept
    (tmp_path / STANDING).unlink()
    turn(process, at(215))
    assert process.unkept == ""
    assert watch(made)._begin() == at(215) // process._width


@pytest.mark.parametrize(
    "other", [{"window_s": 600}, {"false_pages_per_month": 3.0}, {"objectives": []}, "torn", "of another version"]
)
def test_what_does_not_fit_is_turned_again(tmp_path: Path, other: Any) -> None:
    """Charts of other settings, of other code, or in a torn file are none: the counts are read again."""
    made = store(tmp_path, everything())
    turn(watch(made), at(200))
    file = tmp_path / STANDING / f"{STANDING}.arrow"
    if other == "torn":
        file.write_bytes(file.read_bytes()[:-1000])
    elif other == "of another version":
        process = watch(made)
        table = standing(process._charts, process._counting, "another mark", next=5, accepted=[])
        keep_table(Place(tmp_path / STANDING), STANDING, table)
    fields = other if isinstance(other, dict) else {}
    fresh, expected = watch(made, **fields), watch(store(tmp_path / "fresh", everything()), **fields)
    for process in (fresh, expected):
        turn(process, at(204))
    assert held(fresh).equals(held(expected), check_metadata=True)


def test_what_was_kept_is_no_program(tmp_path: Path) -> None:
    """Names in the file make no code run, and a file of other shape is refused or ignored, never half taken."""
    made = store(tmp_path, everything())
    turn(watch(made), at(200))
    table = kept_charts(made[0])
    assert table is not None
    assert b"pickle" not in (tmp_path / STANDING / f"{STANDING}.arrow").read_bytes()
    process = watch(made)
    assert (
        resume(table.replace_schema_metadata({}), process._charts, process._counting, process._mark, lambda _: True)
        is None
    )
    assert process._charts.monitors == []


@pytest.mark.parametrize("which", [0, 2, 7])
def test_a_ledger_that_refuses_once_loses_no_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: int
) -> None:
    """Whatever write of a turn fails, the next turn gives what the undisturbed one would have given, and the charts are the same."""
    steady = watch(store(tmp_path / "steady", everything()))
    expected = turn(steady, at(150)) + turn(steady, at(200))
    assert len(expected) > which
    warehouse, ledger = store(tmp_path / "shaken", everything())
    process, put, refused = watch((warehouse, ledger)), ledger.put, []

    def shaky(record: Any, **kwargs: Any) -> Any:
        if isinstance(record, Signal):
            refused.append(len(refused))
            if refused[-1] == which:
                raise StoreError("the database is gone", retryable=True)
        return put(record, **kwargs)

    monkeypatch.setattr(ledger, "put", shaky)
    found = []
    for window in (150, 200):
        try:
            found += turn(process, at(window))
        except StoreError:
            found += turn(process, at(window))
    assert found == expected
    assert held(process).equals(held(steady), check_metadata=True)
    assert [repr(s) for s in ledger.all(Signal)] == expected


@pytest.mark.parametrize("dealt", [False, True])
def test_a_ledger_that_was_brought_back_turns_charts_again(tmp_path: Path, dealt: bool) -> None:
    """A ledger from before the charts stood lacks their signals, or what they heard: they do not go on, and find it again."""
    warehouse, ledger = store(tmp_path / "one", everything())
    accepts(ledger, 190)
    turn(watch((warehouse, ledger)), at(200))
    back = store(tmp_path / "other", everything())[1]
    if dealt:
        back.put(WatchCursor(id="monitors", until_us=at(200)), now_us=at(200), by="andon")
    again, plain = watch((warehouse, back)), watch(store(tmp_path / "plain", everything()))
    found = [turn(process, at(204)) for process in (again, plain)]
    assert held(again).equals(held(plain), check_metadata=True)
    assert len(found[1]) > 5
    assert found[0] == ([] if dealt else found[1])


def test_a_new_normal_that_comes_late_is_heard(tmp_path: Path) -> None:
    """Where the clock of who accepts is behind, charts learn anew at the next window, once, also after a restart."""
    made = store(tmp_path, everything())
    process = watch(made)
    turn(process, at(200))
    accepts(made[1], 190, "shop/production/error.up/all")
    chart = next(i for i, m in enumerate(process._charts.monitors) if m.id == "shop/production/error.up/all")
    assert process._charts._learned[chart] >= 0
    turn(process, at(201))
    assert process._charts._learned[chart] < 0
    turn(process, at(204))
    seen = process._charts._seen[chart]
    again = watch(made)
    turn(again, at(205))
    assert again._charts._seen[chart] > seen > 0
    assert WIDTH_US * 12 == HOUR_US
