"""Laws of what is done many times a second: it costs little where nothing is to be done, and misses nothing."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from andon.changes import Change
from andon.errors import StoreError
from andon.levers import Lever, Pull, Version, evaluate
from andon.levers.run import Board, Expiry, declare, hold, known_lever, promote, release, start_split
from andon.levers.run.upkeep import Upkeep
from andon.rollouts import Allocation, Experiment
from andon.store import Ledger

T0 = 1_790_000_000_000_000
HOUR = 3600 * 1_000_000
READS = ("all", "latest", "history", "ids", "last_entry", "written")


@pytest.fixture
def reads(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each way to read the ledger was used."""
    counted: Counter[str] = Counter()

    def counting(name: str) -> Callable[..., Any]:
        read = getattr(ledger, name)

        def count(*args: Any, **more: Any) -> Any:
            counted[name] += 1
            return read(*args, **more)

        return count

    for name in READS:
        monkeypatch.setattr(ledger, name, counting(name))
    return counted


def pulled(ledger: Ledger, now_us: int = T0, key: str = "prompt", **more: Any) -> Pull:
    """A lever held for an hour."""
    return hold(ledger, key, why="harm", by="ann", **{"until_us": now_us + HOUR, "now_us": now_us, **more})


def test_a_turn_in_which_nothing_is_due_is_two_small_queries(ledger: Ledger, reads: Counter[str]) -> None:
    """However many pulls there were, looking for what is over is two small queries while nothing was written and nothing is over."""
    expire_due = Expiry(ledger)
    for n in range(30):
        declare(ledger, Lever(id=f"x{n}", kind="boolean", default=False, safe=True), T0, "ann")
        pulled(ledger, key=f"x{n}")
        pulled(ledger, T0 + 1, key=f"x{n}")
    expire_due(T0 + 2)
    expire_due(T0 + 3)
    ledger.put(Change(id="c", at_us=T0, kind="other", title="t", app="bot"), now_us=T0, by="ann")
    reads.clear()
    assert expire_due(T0 + 4) == []
    assert reads == {"last_entry": 1, "written": 1}
    assert len(expire_due(T0 + 1 + HOUR)) == 30


def test_a_hold_reads_its_own_lever_only(ledger: Ledger, reads: Counter[str]) -> None:
    """What a hold reads does not grow with the pulls of other levers."""
    expire_due = Expiry(ledger)
    costs = []
    for n in range(2):
        reads.clear()
        pulled(ledger, T0 + n, key="prompt", until_us=T0 + n + 1)
        costs.append(sum(reads.values()))
        expire_due(T0 + n + 1)
        for k in range(20):
            declare(ledger, Lever(id=f"x{n}-{k}", kind="boolean", default=False, safe=True), T0, "ann")
            pulled(ledger, key=f"x{n}-{k}")
    assert costs[1] <= costs[0] + 2


def test_what_another_process_leaves_is_completed(
    tmp_path: Path, live: Callable[[str], Version], experiment: Callable[..., Experiment], ledger: Ledger
) -> None:
    """Pulls, promotions, splits and defaults that another process writes after the first look are settled like one's own."""
    mine, other = (Ledger.open(tmp_path / "ledger.db") for _ in range(2))
    expire_due = Expiry(mine)
    declare(mine, known_lever(ledger, "prompt"), T0, "ann")
    assert expire_due(T0) == []
    put = other.put

    def put_no_change(record: Any, **more: Any) -> int:
        if isinstance(record, Change):
            raise StoreError("power cut", retryable=True)
        return put(record, **more)

    other.put = put_no_change  # type: ignore[method-assign]
    declared = Lever(id="dose", kind="number", default=1.5, safe=0.0)
    acts: list[tuple[Callable[[], object], int]] = [
        (lambda: pulled(other, T0 + 1), 1),
        (lambda: release(other, "prompt", why="w", by="bob", now_us=T0 + 2), 1),
        (lambda: declare(other, declared, T0 + 3, "bob"), 0),
        (lambda: declare(other, replace(declared, default=0.5), T0 + 4, "bob"), 2),
    ]
    for n, (act, changes) in enumerate(acts):
        count = len(mine.all(Change))
        try:
            act()
        except StoreError:
            assert changes
        expire_due(T0 + 10 + n)
        assert len(mine.all(Change)) == count + changes
        assert expire_due(T0 + 10 + n) == []
    other.put = put  # type: ignore[method-assign]
    pulled(other, T0 + 50)
    assert len(expire_due(T0 + 50 + HOUR)) == 1
    assert not Counter(c.id for c in mine.all(Change)) - Counter({c.id for c in mine.all(Change)})
    for opened in (mine, other):
        opened.close()


def test_an_expiry_that_could_not_be_written_is_tried_again(
    ledger: Ledger,
    power_cut: Callable[[int], Any],
    live: Callable[[str], Version],
    experiment: Callable[..., Experiment],
) -> None:
    """Where recording an end fails half-way, the next turn completes it: of a hold, and of an experiment."""
    expire_due = Expiry(ledger)
    one = live("1")
    pulled(ledger, T0 + 5)
    promote(ledger, "prompt", "default", to="staging", why="w", by="ann", now_us=T0 + 5)
    start_split(ledger, experiment(one.digest, environment="staging", days=0.5), why="w", by="ann", now_us=T0 + 6)
    expire_due(T0 + 7)
    for survives in range(4):
        with power_cut(survives):
            expire_due(T0 + 13 * HOUR)
    expire_due(T0 + 13 * HOUR)
    ends = [c.id for c in ledger.all(Change) if c.id.endswith(("-expired", "-ended"))]
    assert sorted(ends) == ["lever-prompt-EXP-0001-ended", "pull-prompt-00001-expired"]
    assert [a.ended_why for a in ledger.all(Allocation)] == ["its time is over"]


def test_the_mark_of_what_is_served_is_made_once(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two readings the levers are evaluated for the mark once, and once more after each end in time; also back."""
    pulled(ledger)
    board, evaluated = Board(ledger), list[int]()
    board.refresh()

    def count(*args: Any, **more: Any) -> Any:
        evaluated.append(1)
        return evaluate(*args, **more)

    monkeypatch.setattr("andon.levers.run.board.evaluate", count)
    first = board.state(T0)
    once = len(evaluated)
    assert {board.state(T0 + n) for n in range(50)} == {first}
    assert len(evaluated) == once
    assert board.state(T0 + HOUR) != first
    assert len({board.state(T0 + HOUR + n) for n in range(50)}) == 1
    assert board.state(T0) == first  # a clock that was set back
    assert len(evaluated) == 2 * once


def test_a_look_at_nothing_new_is_two_small_queries(ledger: Ledger, reads: Counter[str]) -> None:
    """A server looks many times a second: where nothing was written it reads no record, and tells the same state."""
    told: list[tuple[str, int]] = []
    upkeep = Upkeep(ledger, Board(ledger), lambda state, now_us: told.append((state, now_us)))
    pulled(ledger)
    upkeep.look(T0 + 1)
    reads.clear()
    upkeep.look(T0 + 2)
    assert reads == {"last_entry": 1, "written": 1}
    release(ledger, "prompt", why="w", by="ann", now_us=T0 + 3)
    upkeep.look(T0 + 4)
    assert [one == told[0][0] for one, _ in told] == [True, True, False]


def test_levers_whose_names_begin_alike_do_not_mix(ledger: Ledger) -> None:
    """The pulls of `a` are not those of `a-b` or `a-00001`: each is numbered, served and expires by itself."""
    expire_due = Expiry(ledger)
    keys = ("a", "a-b", "a-00001")
    for key in keys:
        declare(ledger, Lever(id=key, kind="boolean", default=False, safe=True), T0, "ann")
    expire_due(T0)
    board = Board(ledger)
    for n, key in enumerate(keys):
        assert pulled(ledger, T0 + n, key=key).id == f"pull-{key}-00001"
    board.refresh()
    assert [b["value"] for b in board.evaluate_all({}, T0 + 9) if b["key"] in keys] == [True] * 3
    assert [p.lever for p in expire_due(T0 + HOUR + 1)] == ["a", "a-b"]
