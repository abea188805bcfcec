"""Large plans, and what can happen to a cluster in the middle of one: the answer is the same, or an error says why there is none."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from ray_cluster import LOOPBACK, RUNNER, WORKER, Cluster, children, cluster, free_ports, missing, title_of

from andon.errors import ConfigError, InputError, StoreError
from andon.store import Engine, Histogram, Lookup, Plan, Rollup, Sample, Slice, Span, Warehouse
from andon.store import warehouse as warehouse_module

DAY = 86_400_000_000
METRICS = tuple(f"m{number}" for number in range(8))
SCHEMA = pa.schema(
    [("id", pa.string()), ("time_us", pa.int64()), ("app", pa.string()), *((name, pa.float64()) for name in METRICS)]
)
on_ray = pytest.mark.skipif(missing() is not None, reason=str(missing()))


def rows_of_a_day(n: int, day: int) -> pa.Table:
    """Rows of 20 applications."""
    rng = np.random.default_rng(day)
    ids = pa.array(np.arange(n) + day * n).cast(pa.string())
    apps = pa.array([f"app {at}" for at in range(20)]).take(pa.array(rng.integers(0, 20, n)))
    times = np.sort(rng.integers(day * DAY, (day + 1) * DAY, n))
    metrics = {name: rng.lognormal(0, 2, n) for name in METRICS}
    return pa.table({"id": ids, "time_us": times, "app": apps, **metrics}, schema=SCHEMA)


def filled(folder: Path, days: int, each: int) -> Path:
    """A store that has a file of each day."""
    store = Warehouse(folder, {"turns": SCHEMA})
    for day in range(days):
        store.append("turns", rows_of_a_day(each, day))
        store.commit()
    store.close()
    return folder


class Told:
    """An engine that fails as it is told to, and counts what it was asked."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.asked = list(errors), 0

    def run(self, plan: Plan, files: list[str], schema: pa.Schema) -> pa.Table:
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)
        return pa.table({"answer": [42]})


@pytest.fixture
def two_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Engine, Engine], Warehouse]:
    """A store of two files of 100 rows, in which 200 rows are many, for an engine and a cluster."""
    filled(tmp_path, 2, 100)
    monkeypatch.setattr(warehouse_module, "LARGE_ROWS", 200)
    return lambda engine, there: Warehouse(tmp_path, {"turns": SCHEMA}, engine, cluster=there)


BOTH, FIRST = Span(start_us=DAY // 2, end_us=9 * DAY), Span(start_us=0, end_us=DAY)
LARGE: tuple[Plan, ...] = (
    Rollup(table="turns"),
    Rollup(table="turns", span=BOTH),
    Histogram(table="turns", metric="m1"),
    Slice(table="turns", columns=("id",), limit=1),
    Sample(table="turns", n=1, seed=1, columns=("id",)),
)
SMALL: tuple[Plan, ...] = (
    Rollup(table="turns", span=FIRST),
    Slice(table="turns", columns=("id",), span=FIRST),
    Lookup(table="turns", ids=("1",), columns=("id",)),
)


@pytest.mark.parametrize("plan", LARGE + SMALL)
def test_large_plans_go_to_the_cluster(two_days: Callable[[Engine, Engine], Warehouse], plan: Plan) -> None:
    """A plan whose files have many rows is the cluster's alone; one that has fewer, or looks rows up by id, stays here."""
    here, there = Told(), Told()
    two_days(here, there).run(plan)
    assert (here.asked, there.asked) == ((0, 1) if plan in LARGE else (1, 0))


def test_without_a_cluster_every_plan_is_answered_here(two_days: Callable[..., Warehouse]) -> None:
    """Who has no cluster has no large plans."""
    here = Told()
    two_days(here, None).run(LARGE[0])
    assert here.asked == 1


LOST = StoreError("a machine was lost", retryable=True)


@pytest.mark.parametrize("failed", [0, 1, 2])
def test_what_fails_on_the_cluster_is_repeated(two_days: Callable[..., Warehouse], failed: int) -> None:
    """A plan that is lost twice is answered the third time, by the cluster."""
    here, there = Told(), Told(*[LOST] * failed)
    assert two_days(here, there).run(LARGE[0]).to_pylist() == [{"answer": 42}]
    assert (here.asked, there.asked) == (0, failed + 1)


def test_it_is_not_repeated_for_ever(two_days: Callable[..., Warehouse]) -> None:
    """After the third time there is an error with the reason; DuckDB is not asked for what may be too large for this machine."""
    here, there = Told(), Told(*[LOST] * 9)
    with pytest.raises(StoreError, match=r"a machine was lost \(attempt 3\)") as caught:
        two_days(here, there).run(LARGE[0])
    assert (here.asked, there.asked, caught.value.retryable) == (0, 3, True)


@pytest.mark.parametrize("error", [StoreError("it is broken"), InputError("it is wrong")])
def test_what_would_fail_again_is_not_repeated(two_days: Callable[..., Warehouse], error: Exception) -> None:
    """An error that is not retryable is the answer."""
    there = Told(error)
    with pytest.raises(type(error), match=str(error)):
        two_days(Told(), there).run(LARGE[0])
    assert there.asked == 1


@on_ray
@pytest.mark.parametrize(
    "address", ["", "auto", "head:6379", "ray://head", "ray://:10001", "ray://head:x", "ray://head:1/x"]
)
def test_addresses(address: str) -> None:
    """What is no address of a client server is refused at the start, with one that would be."""
    from andon.store.daft_ import Daft

    with pytest.raises(ConfigError, match="ray://host:port"):
        Daft(address)


@on_ray
def test_a_cluster_that_is_not_there(tmp_path: Path) -> None:
    """Nothing that listens is an error at once, which says what to do."""
    from andon.store.daft_ import Daft

    engine = Daft(f"ray://{LOOPBACK}:{free_ports(1)[0]}")
    began = time.monotonic()
    with pytest.raises(StoreError, match=r"ray://127.*start the Ray cluster.*ANDON_ENGINE") as caught:
        engine.run(Rollup(table="turns"), [], Warehouse(tmp_path, {"turns": SCHEMA}).schema("turns"))
    assert caught.value.retryable
    assert time.monotonic() - began < 10


@on_ray
@pytest.mark.slow(20)
@pytest.mark.parametrize("stays", [True, False])
def test_a_cluster_that_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stays: bool) -> None:
    """A machine that takes connections and never answers, or that loses its power then, is given up, and its driver ended."""
    from andon.store import daft_

    monkeypatch.setattr(daft_, "CHECK_S", 1)
    monkeypatch.setattr(daft_, "CONNECT_S", 6 if stays else 60)
    schema = Warehouse(tmp_path, {"turns": SCHEMA}).schema("turns")
    with socket.create_server((LOOPBACK, 0)) as silent, ThreadPoolExecutor(1) as thread:
        engine = daft_.Daft(f"ray://{LOOPBACK}:{silent.getsockname()[1]}")
        answer = thread.submit(engine.run, Rollup(table="turns"), [], schema)
        within(30, lambda: children(os.getpid(), "andon.store.daft_"))
        if not stays:
            silent.close()
        with pytest.raises(StoreError, match="not answered for 6 s" if stays else "no longer answers") as caught:
            answer.result(40)
    assert caught.value.retryable is not stays
    assert not children(os.getpid(), "andon.store.daft_")


PLAN = Rollup(table="turns", metrics=METRICS, keys=("app",), window_us=3_600_000_000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two million rows, of ten days."""
    return filled(tmp_path_factory.mktemp("large"), 10, 200_000)


@pytest.fixture(scope="module")
def right(folder: Path) -> pa.Table:
    """DuckDB's answer."""
    return Warehouse(folder, {"turns": SCHEMA}).run(PLAN)


@pytest.fixture(scope="module")
def machines() -> Iterator[Cluster]:
    """A cluster to which things happen."""
    with cluster() as started:
        yield started


@pytest.fixture
def store(folder: Path, machines: Cluster, right: pa.Table, monkeypatch: pytest.MonkeyPatch) -> Iterator[Warehouse]:
    """The store on a cluster that has both its machines, and has answered the plan before."""
    from andon.store.daft_ import Daft

    monkeypatch.setattr(warehouse_module, "LARGE_ROWS", 1_000_000)
    while len(machines.nodes) < 2:
        machines.start_worker()
    engine = Daft(machines.address)
    made = Warehouse(folder, {"turns": SCHEMA}, cluster=engine)
    alike(made.run(PLAN), right)
    within(
        90, lambda: [len(machines.processes(node, WORKER)) for node in range(2)] == [1, 1]
    )  # others go when Ray misses
    within(90, lambda: len(machines.processes(0, RUNNER)) == 1)  # their driver, which takes it half a minute
    yield made
    engine.close()


def alike(one: pa.Table, other: pa.Table) -> None:
    """Equal: counts and texts exactly, sums to 1e-9."""
    assert one.schema == other.schema
    for name in one.column_names:
        if pa.types.is_floating(one.schema.field(name).type):
            assert np.allclose(one[name].to_numpy(), other[name].to_numpy(), rtol=1e-9, atol=0), name
        else:
            assert one[name].equals(other[name]), name


def within(seconds: float, seen: Callable[[], object]) -> None:
    """Wait until something is to be seen."""
    end = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)


def amid(store: Warehouse, machines: Cluster, harm: Callable[[], None]) -> pa.Table:
    """What a plan gives to which this is done while both machines work on it."""
    workers = [pid for node in range(2) for pid in machines.processes(node, WORKER)]
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(store.run, PLAN)
        within(
            60, lambda: all(WORKER not in title_of(pid) for pid in workers)
        )  # at work they are called after their work
        harm()
        assert not answer.done()
        return answer.result(300)


@on_ray
@pytest.mark.slow(90)
@pytest.mark.parametrize("victim", ["worker", "runner", "driver"])
def test_a_process_is_killed(store: Warehouse, machines: Cluster, right: pa.Table, victim: str) -> None:
    """Whichever process of a plan is killed in its midst, on a worker, on the head or here, the answer is the same."""
    of = {
        "worker": machines.processes(1, WORKER),
        "runner": machines.processes(0, RUNNER),
        "driver": children(os.getpid(), "andon.store.daft_"),
    }
    (pid,) = of[victim]
    alike(amid(store, machines, lambda: os.kill(pid, signal.SIGKILL)), right)
    assert title_of(pid) == ""


@on_ray
@pytest.mark.slow(60)
def test_a_machine_is_lost(store: Warehouse, machines: Cluster, right: pa.Table) -> None:
    """A machine that loses its power in the midst of a plan takes results with it; the plan is repeated on what is left."""
    alike(amid(store, machines, lambda: machines.kill(1)), right)
    assert len(machines.nodes) == 1


@on_ray
@pytest.mark.slow(90)
def test_the_cluster_is_lost(store: Warehouse, machines: Cluster, right: pa.Table) -> None:
    """A cluster that goes away in the midst of a plan is an error in bounded time; small plans go on, large ones when it is back."""
    began = time.monotonic()
    with pytest.raises(StoreError, match=rf"nothing answers at {machines.address}.*\(attempt 3\)") as caught:
        amid(store, machines, machines.kill_all)
    assert caught.value.retryable
    assert time.monotonic() - began < 120
    began = time.monotonic()
    with pytest.raises(StoreError, match="nothing answers"):
        store.run(PLAN)
    assert time.monotonic() - began < 5
    assert store.run(Rollup(table="turns", span=FIRST)).to_pylist() == [{"rows": 200_000}]
    machines.start_head()
    machines.start_worker()
    alike(store.run(PLAN), right)
