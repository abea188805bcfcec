"""Laws of a turn about experiments: each is looked at until its last look is written, and what harms is taken out."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ruled import BREAKER, World, rules

from andon.errors import StoreError
from andon.levers import Version
from andon.levers.run import allocation_of, look_and_act, start_split, stop_split, turn_levers
from andon.rollouts import Arm, Decision, Experiment
from andon.rollouts.run.looking import SETTLE_US
from andon.scores import SCORERS, score_schema
from andon.store import Ledger, Warehouse
from andon.traffic import SCHEMAS

T0 = 1_790_000_000_000_000
HOUR = 3_600_000_000
Plan = Callable[..., Experiment]
Make = Callable[[str], Version]


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    """A warehouse without traffic."""
    warehouse = Warehouse(tmp_path, {**SCHEMAS, "scores": score_schema(SCORERS)})
    yield warehouse
    warehouse.close()


@pytest.fixture
def start(ledger: Ledger, approved: Make, experiment: Plan) -> Callable[[str, int], Experiment]:
    """A function that starts a canary of a day."""

    def make(name: str, at_us: int) -> Experiment:
        plan = experiment(approved("new").digest, id=name, kind="canary", days=1.0)
        ledger.put(plan, now_us=at_us, by="ann")
        start_split(ledger, plan, why="to know", by="ann", now_us=at_us)
        return plan

    return make


def test_an_experiment_is_looked_at_until_its_last_look(
    warehouse: Warehouse,
    ledger: Ledger,
    start: Callable[[str, int], Experiment],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that runs, or whose last look is not due yet, is read by every turn; one that is over is read once more, and never again."""
    read: list[str] = []
    all_ = ledger.all

    def heard(kind: type, begins: str = "") -> list[object]:
        if kind is Decision:
            read.append(begins)
        return all_(kind, begins=begins)

    finished: set[str] = set()

    def turn(now_us: int, known: set[str] | None = finished) -> tuple[list[str], set[str]]:
        failed: list[Exception] = []
        read.clear()
        done = turn_levers(
            warehouse, ledger, (), scorers=SCORERS, expire=lambda _: None, finished=known, now_us=now_us,
            failed=failed.append,
        )  # fmt: skip
        assert not failed
        return [d.id for d in done.decided], {*read}

    start("EXP-0001", T0)
    monkeypatch.setattr(ledger, "all", heard)
    end = T0 + HOUR + HOUR // 2
    assert turn(T0 + HOUR + SETTLE_US) == (["EXP-0001@0001"], {"EXP-0001@"})
    stop_split(ledger, "EXP-0001", why="enough", by="ann", now_us=end)
    start("EXP-0002", end)
    assert turn(end) == ([], {"EXP-0001@", "EXP-0002@"})
    assert finished == set()
    assert turn(end + SETTLE_US)[0] == ["EXP-0001@0002"]
    assert finished == {"EXP-0001"}
    assert turn(end + SETTLE_US + 1) == ([], {"EXP-0002@"})
    again: set[str] = set()
    assert turn(end + SETTLE_US + 1, again) == ([], {"EXP-0001@", "EXP-0002@"})
    assert again == finished
    assert turn(end + SETTLE_US + 1, None) == ([], {"EXP-0001@", "EXP-0002@"})


def decided(ledger: Ledger, plan: Experiment, outcome: str) -> None:
    """The first look at an experiment, as written."""
    arms = [Arm(name=name, n=100, events=10) for name in ("control", "treatment")]
    ledger.put(
        Decision(
            id=f"{plan.id}@0001", at_us=T0 + HOUR, app="bot", metric="refusal", outcome=outcome,  # type: ignore[arg-type]
            reason="for a test", experiment=plan.id, look=1, control=arms[0], treatment=arms[1],
        ),
        now_us=T0 + HOUR,
        by="rollouts",
    )  # fmt: skip


def test_one_that_is_decided_and_ended_is_over(
    warehouse: Warehouse, ledger: Ledger, start: Callable[[str, int], Experiment]
) -> None:
    """A decision is the last one: while users are split it is acted on, and once that has ended nothing is left to do."""
    decided(ledger, start("EXP-0001", T0), "promote")
    finished: set[str] = set()
    for now_us, over in ((T0 + HOUR, set()), (T0 + 2 * HOUR, {"EXP-0001"})):
        turn_levers(
            warehouse, ledger, (), scorers=SCORERS, expire=lambda _: None, finished=finished, now_us=now_us,
            failed=lambda error: pytest.fail(str(error)),
        )  # fmt: skip
        assert finished == over
        if not over:
            stop_split(ledger, "EXP-0001", why="enough", by="ann", now_us=now_us + 1)


@pytest.mark.parametrize(("outcome", "ends"), [("roll back", True), ("promote", False), ("undecided", False)])
def test_what_a_look_decided_is_done_by_whoever_looks_next(
    warehouse: Warehouse, ledger: Ledger, start: Callable[[str, int], Experiment], outcome: str, ends: bool
) -> None:
    """A decision that was written and not acted on ends the split at the next look; nothing else does."""
    plan = start("EXP-0001", T0)
    decided(ledger, plan, outcome)
    split = allocation_of(ledger, plan.id)
    assert split is not None
    made, ended = look_and_act(warehouse, ledger, SCORERS, plan, split, T0 + HOUR + SETTLE_US)
    assert (made, ended is not None) == ([], ends)
    assert allocation_of(ledger, plan.id) == (ended or split)
    if ended is not None:
        assert look_and_act(warehouse, ledger, SCORERS, plan, ended, T0 + 9 * HOUR) == ([], None)


def test_what_fails_in_a_turn_keeps_no_lever_from_being_pulled(tmp_path: Path) -> None:
    """A ledger that cannot write an expiry fails a turn, and rules pull in it all the same; each failure is told."""
    world, failed = World(tmp_path / "warehouse"), list[str]()
    world.traffic(20, T0, values={"error": 1.0})

    def expire(now_us: int) -> None:
        raise StoreError("the disk is full", retryable=True)

    done = turn_levers(
        world.warehouse, world.ledger, rules(BREAKER), scorers=SCORERS, expire=expire, now_us=T0,
        failed=lambda error: failed.append(str(error)),
    )  # fmt: skip
    assert [p.lever for p in done.pulled] == ["tools.search"]
    assert failed == ["the disk is full"]
    world.ledger.close()
    world.warehouse.close()
