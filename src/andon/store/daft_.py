"""Plans on Daft: on the processors of this machine, or on a Ray cluster where one machine is too small. Extra ``andon[ray]``.

Only a process of its own, the driver, ever speaks to Ray. In the service, Ray would print, take over signals, and never connect
a second time after it lost its cluster, as Daft can be told only once per process where it works. As it is, whatever happens to
Ray happens to one plan, which may be repeated.
"""

import json
import logging
import math
import os
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, reduce
from importlib.util import find_spec
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from operator import and_, eq, ge, lt
from tempfile import TemporaryFile
from typing import IO
from urllib.parse import urlsplit

import pyarrow as pa

from andon.errors import ConfigError, StoreError
from andon.store.engine import SAMPLE_PRIME, answer_schema, sample_order
from andon.store.plan import (
    BIN_BASE,
    OFFSET,
    TINY,
    Histogram,
    Lookup,
    Plan,
    Rollup,
    Sample,
    Slice,
    Where,
    from_json,
    to_json,
)

QUIET = {"DAFT_ANALYTICS_ENABLED": "0", "DAFT_PROGRESS_BAR": "0", "DAFT_SHOW_QUERY_ID": "0"}
"""Daft would report its use over the internet, and tell a terminal what it does; read when it is imported."""

os.environ.update(QUIET)
try:
    import daft
    from daft import DataFrame, DataType, Expression, col, lit
    from daft.functions import when
    from daft.io import DataSource, DataSourceTask
    from daft.io.pushdowns import Pushdowns
except ImportError as error:  # pragma: no cover - tests that need it are skipped
    raise ConfigError(f"the engine Daft is not installed ({error}); pip install 'andon[ray]'") from error

__all__ = ["Daft"]

CONNECT_S = 90
"""How long a driver may take to start and connect: about 5 s where a cluster answers."""

PLAN_S = 1800
"""How long a plan may take: one that waits for machines which never come must not hold its thread for ever."""

CHECK_S = 10
"""Every so often the cluster is asked for a sign of life while a plan is out; after `MISSED` times without, the plan is lost."""

MISSED = 3

PARTITIONS = 8
"""Into how many parts the groups of each file go on a cluster: as many parts as files would make a plan over 80 files take four
times as long, and there are few groups left by then."""

HALF = 2**31

_INT, _FLOAT = DataType.int64(), DataType.float64()
_OPERATORS = {"eq": eq, "ge": ge, "lt": lt}


class Daft:
    """Answers plans; threads may share it, and on a cluster take turns."""

    def __init__(self, cluster: str | None = None) -> None:
        """Choose where plans are worked on; a cluster is connected to at the first plan.

        Args:
            cluster: ``ray://host:port`` of a Ray cluster's client server (its head listens on 10001 by itself). Every machine of
                it must have Daft and the Python and Ray versions of this one, and see the files of the store under the same
                paths. Joining as a node (``host:6379``, ``auto``) is not supported: a service would need a Ray of its own
                machine. None works in this process.

        Raises:
            ConfigError: the address is none, or Ray is not installed.
        """
        self._cluster = cluster
        self._driver: _Driver | None = None
        self._turn = threading.Lock()
        if cluster is None:
            _work_here()
        else:
            _host_and_port(cluster)
            if not find_spec("ray") or not find_spec("grpc"):
                raise ConfigError(f"a cluster, {cluster}, needs Ray and its client; pip install 'andon[ray]'")

    def run(self, plan: Plan, files: Sequence[str], schema: pa.Schema) -> pa.Table:
        """Answer a plan (see `Engine`).

        Sums do not depend on the order in which workers end, and are the same on a cluster as in this process.

        Raises:
            InputError: the plan does not fit the schema.
            StoreError: Daft failed, or the cluster did; retryable where a file could not be read, or a machine, a worker, the
                driver or the cluster was lost. The next plan gets a new driver.
        """
        answer_schema(plan, schema)
        if self._cluster is None:
            with _engine_errors("Daft"):
                return _answered(plan, files, schema)
        with self._turn:
            try:
                self._driver = self._driver or _Driver(self._cluster)
                return self._driver.ask(plan, files, schema)
            except BaseException:  # an answer that comes later must not be taken for that to the next plan
                self._hang_up()
                raise

    def close(self) -> None:
        """End the driver, if there is one; the cluster goes on."""
        with self._turn:
            self._hang_up()

    def _hang_up(self) -> None:
        if self._driver is not None:
            self._driver.stop()
            self._driver = None


class _Driver:
    """A process that puts plans to a Ray cluster, one after another; it ends with this one."""

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        if not _answers(cluster):
            raise StoreError(
                f"nothing answers at {cluster}: start the Ray cluster, with a client server on this port, or set "
                "ANDON_ENGINE to where it is; a plan this large is not answered on this machine instead",
                retryable=True,
            )
        self._line, theirs = Pipe()
        said = TemporaryFile()  # noqa: SIM115 - closed by `stop`
        with theirs:
            command = [sys.executable, "-P", "-m", __name__, cluster, str(theirs.fileno())]
            process = subprocess.Popen(  # noqa: S603 - a program of our own
                command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                pass_fds=[theirs.fileno()],
                process_group=0,  # Ctrl-C is for the service, which then hangs up
                env={**os.environ, **QUIET, "RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_DASHBOARD": "1"},
            )
        self._said, self._process = said, process
        self.stop = weakref.finalize(self, _stop, process, self._line, said)
        try:
            self._hear(CONNECT_S)
        except BaseException:
            self.stop()
            raise

    def ask(self, plan: Plan, files: Sequence[str], schema: pa.Schema) -> pa.Table:
        """The answer to a plan."""
        with self._dying():
            self._line.send_bytes(json.dumps({"plan": to_json(plan), "files": list(files)}).encode())
            self._line.send_bytes(schema.serialize())
        self._hear(PLAN_S)
        with self._dying(), pa.ipc.open_stream(self._line.recv_bytes()) as found:
            return found.read_all()

    def _hear(self, limit_s: float) -> None:
        """Wait until the driver says that it is done; raises what it says instead."""
        end, missed = time.monotonic() + limit_s, 0
        with self._dying():
            while not self._line.poll(CHECK_S):
                missed = 0 if _answers(self._cluster) else missed + 1
                if missed == MISSED:
                    raise StoreError(f"the Ray cluster {self._cluster} no longer answers", retryable=True)
                if time.monotonic() > end:  # to ask again would take as long
                    raise StoreError(f"the Ray cluster {self._cluster} has not answered for {limit_s} s")
            told = json.loads(self._line.recv_bytes())
        if told["error"] is not None:
            raise StoreError(told["error"], retryable=told["retryable"])

    @contextmanager
    def _dying(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, OSError) as error:
            self._said.seek(0)
            last = self._said.read().decode(errors="replace").strip().splitlines()[-1:]
            what = f"the driver of the Ray cluster {self._cluster} ended in its work ({self._process.poll()})"
            raise StoreError(": ".join([what, *last]), retryable=True) from error


def _stop(process: subprocess.Popen[bytes], line: Connection, said: IO[bytes]) -> None:
    """Hang up, which ends a driver that is not at work; kill it if it is."""
    line.close()
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    said.close()


def _answers(cluster: str) -> bool:
    """Whether a client server can be reached."""
    try:
        socket.create_connection(_host_and_port(cluster), timeout=5).close()
    except OSError:
        return False
    return True


def _host_and_port(cluster: str) -> tuple[str, int]:
    try:
        parts = urlsplit(cluster)
        if parts.scheme == "ray" and parts.hostname and parts.port and cluster.endswith(f":{parts.port}"):
            return parts.hostname, parts.port
    except ValueError:
        pass
    raise ConfigError(f"{cluster!r} is not the address of a Ray cluster; write ray://host:port, of its client server")


def _drive(cluster: str, line: Connection) -> None:
    """The whole work of a driver: connect, then answer plans until the other side hangs up."""
    try:
        with _engine_errors(f"the connection to the Ray cluster {cluster}"):
            import ray

            ray.init(cluster, log_to_driver=False, logging_level=logging.ERROR, runtime_env={"env_vars": QUIET})
            daft.set_runner_ray()  # whatever Ray is connected to
            daft.set_execution_config(shuffle_aggregation_default_partitions=PARTITIONS)
        _tell(line)
    except StoreError as error:
        return _tell(line, error)
    while True:
        try:
            asked, schema = json.loads(line.recv_bytes()), pa.ipc.read_schema(pa.py_buffer(line.recv_bytes()))
        except EOFError:
            return None
        try:
            with _engine_errors(f"the Ray cluster {cluster}", ray=True):
                found = _answered(from_json(asked["plan"]), asked["files"], schema)
        except StoreError as error:
            _tell(line, error)
            continue
        _tell(line)
        written = pa.BufferOutputStream()
        with pa.ipc.new_stream(written, found.schema) as stream:
            stream.write_table(found)
        line.send_bytes(written.getvalue())


def _tell(line: Connection, error: StoreError | None = None) -> None:
    told = {"error": error and str(error), "retryable": bool(error and error.retryable)}
    line.send_bytes(json.dumps(told).encode())


@cache
def _work_here() -> None:
    with _engine_errors("Daft"):
        daft.set_runner_native()


@contextmanager
def _engine_errors(who: str, *, ray: bool = False) -> Iterator[None]:
    """Makes a StoreError of whatever Daft or Ray raises, a panic too, which is no `Exception`."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        cause = error
        while (inner := getattr(cause, "cause", None)) is not None:  # what a worker raised, in the words of the worker
            cause = inner
        if isinstance(cause, daft.exceptions.DaftCoreException | ImportError):  # would come again, but for a lost file
            retryable = isinstance(cause, daft.exceptions.DaftTransientError) or "(os error" in str(cause)
        else:
            retryable = ray or isinstance(cause, OSError)
        said = next((line.strip() for line in str(cause).splitlines() if line.strip()), "")
        raise StoreError(f"{who} failed: {type(cause).__name__}: {said}", retryable=retryable) from error


def _answered(plan: Plan, files: Sequence[str], schema: pa.Schema) -> pa.Table:
    answer = answer_schema(plan, schema)
    rows = _chosen(_Files(files, schema).read(), plan)
    found = _grouped(rows, plan, schema) if isinstance(plan, Rollup | Histogram) else _ordered(rows, plan)
    return found.select(*(col(name) for name in answer.names)).to_arrow().cast(answer)


class _Files(DataSource):  # type: ignore[misc]  # mypy does not see Daft
    """Exactly these files, with exactly these columns.

    `daft.read_parquet` takes a path for a pattern, and on Ray leaves out a file that is not there, without a word.
    """

    def __init__(self, files: Sequence[str], schema: pa.Schema) -> None:
        self._files, self._schema = files, daft.Schema.from_pyarrow_schema(schema)

    @property
    def name(self) -> str:
        return "files"

    @property
    def schema(self) -> daft.Schema:
        return self._schema

    async def get_tasks(self, pushdowns: Pushdowns) -> AsyncIterator[DataSourceTask]:
        """One task for each file, which costs a cluster 0.04 s."""
        for file in self._files:
            yield DataSourceTask.parquet(file, self._schema, pushdowns=pushdowns)


def _chosen(rows: DataFrame, plan: Plan) -> DataFrame:
    conditions = [_condition(where) for where in getattr(plan, "where", ())]
    if plan.span is not None:
        conditions += [col("time_us") >= lit(plan.span.start_us), col("time_us") < lit(plan.span.end_us)]
    if isinstance(plan, Lookup):
        conditions.append(_among("id", plan.ids))
    if isinstance(plan, Histogram):
        conditions.append(col(plan.metric).not_null())
    return rows.where(reduce(and_, conditions)) if conditions else rows


def _condition(where: Where) -> Expression:
    column, value = col(where.column), where.value
    if isinstance(value, bool):  # Daft makes `x = true` a bare x, which fails on a file that lacks x
        column, value = column.cast(_INT), int(value)
    match where.op:
        case "null" | "not_null":
            return column.is_null() if where.op == "null" else column.not_null()
        case "in":
            assert isinstance(value, tuple)
            return _among(where.column, value)
        case "contains":
            return column.lower().contains(lit(value).lower())
        case "ne":
            return (column != lit(value)) | column.is_null()
        case _:
            compared: Expression = _OPERATORS[where.op](column, lit(value))
            return compared


def _among(column: str, texts: Sequence[str]) -> Expression:
    return col(column).is_in(list(texts)) if texts else lit(False)


def _grouped(rows: DataFrame, plan: Rollup | Histogram, schema: pa.Schema) -> DataFrame:
    keys = {name: col(name) for name in plan.keys}
    if plan.window_us is not None:
        width = lit(plan.window_us)  # % rounds towards zero; windows before 1970 must round down like all others
        keys = {"window_us": col("time_us") - ((col("time_us") % width + width) % width), **keys}
    parts: dict[str, Expression] = {}
    made: dict[str, Expression] = {}
    if isinstance(plan, Histogram):
        keys["bin"] = _bin(plan.metric)
        made["n"] = _counted(parts, col("time_us"), "all")
    else:
        made["rows"] = _counted(parts, col("time_us"), "all")
        for metric in plan.metrics:
            made |= _measures(parts, metric, plan.measures, "weight" in schema.names)
    counted = [part.alias(name) for name, part in parts.items()]
    if not keys:
        return rows.agg(*counted).select(*(e.alias(name) for name, e in made.items()))
    grouped = rows.groupby(*(e.alias(name) for name, e in keys.items())).agg(*counted)
    named = grouped.select(*(col(name) for name in keys), *(e.alias(name) for name, e in made.items()))
    return named.sort([col(name) for name in keys], nulls_first=False)


def _measures(
    parts: dict[str, Expression], metric: str, wanted: Sequence[str], weighted: bool
) -> dict[str, Expression]:
    """The measures of a metric, made of aggregates that are added to `parts`."""
    value, weight = col(metric).cast(_FLOAT), col("weight").fill_null(lit(1.0))
    ways: dict[str, Callable[[], Expression]] = {
        "n": lambda: _counted(parts, value),
        "sum": lambda: _total(parts, value),
        "sumsq": lambda: _total(parts, value * value),
        "min": lambda: _part(parts, value.min()),
        "max": lambda: _part(parts, value.max()),
    }
    if weighted:
        ways["w"] = lambda: _total(parts, when(value.not_null(), weight))
        ways["wsum"] = lambda: _total(parts, weight * value)
    return {f"{metric}.{name}": make() for name, make in ways.items() if not wanted or name in wanted}


def _part(parts: dict[str, Expression], aggregate: Expression) -> Expression:
    name = f"part {len(parts)}"
    parts[name] = aggregate
    return col(name)


def _counted(parts: dict[str, Expression], value: Expression, mode: str = "valid") -> Expression:
    return _part(parts, value.count(mode)).cast(_INT)


def _total(parts: dict[str, Expression], value: Expression) -> Expression:
    """The sum, 0 over nothing, the same to the last bit whatever worker ends first: see `duck.SETUP`.

    In halves of 31 bits, each of which adds up in 64 for 2**31 rows: only sums of 64 bits are begun on the machine that has the
    rows. Decimals, which would do it in one, send every row to another.
    """
    scaled = value * lit(2.0**20)
    whole = scaled.cast(_INT)  # null where it is too great
    rest = ((scaled - whole.cast(_FLOAT)) * lit(2.0**62)).cast(_INT)
    counted, fitting = _part(parts, value.count()), _part(parts, whole.count())
    exact = _joined(parts, whole) / lit(2.0**20) + _joined(parts, rest) / lit(2.0**82)
    fits = (fitting == counted) & (counted < lit(2**31))
    return when(fits, exact).otherwise(_part(parts, value.sum())).fill_null(lit(0.0))


def _joined(parts: dict[str, Expression], number: Expression) -> Expression:
    """The sum of integers, as a double."""
    low = number % lit(HALF)
    lows, highs = _part(parts, low.sum()), _part(parts, _highs(number, low).sum())
    left = lows % lit(HALF)
    return (highs + _highs(lows, left)).cast(_FLOAT) * lit(float(HALF)) + left.cast(_FLOAT)


def _highs(number: Expression, low: Expression) -> Expression:
    return ((number - low).cast(_FLOAT) / lit(float(HALF))).cast(_INT)  # exact: what is divided has 32 bits and zeros


def _bin(metric: str) -> Expression:
    value, zero = col(metric).cast(_FLOAT), lit(0).cast(_INT)
    size = value.abs()
    tiny = size < lit(TINY)
    power = (when(tiny, lit(TINY)).otherwise(size).ln() / lit(math.log(BIN_BASE))).floor().cast(_INT) + lit(OFFSET)
    return when(tiny, zero).when(value > lit(0.0), power).otherwise(zero - power)


def _ordered(rows: DataFrame, plan: Slice | Sample | Lookup) -> DataFrame:
    if isinstance(plan, Sample):
        a, b = sample_order(plan.seed)
        p = lit(SAMPLE_PRIME)
        place = ((col("id_hash") % p + p) % p * lit(a) + lit(b)) % p
        return rows.with_column("its place", place).sort([col("its place"), col("id")]).limit(plan.n)
    found = rows.sort([col("time_us"), col("id")], desc=isinstance(plan, Slice) and plan.newest_first)
    limit = plan.limit if isinstance(plan, Slice) else None
    return found if limit is None else found.limit(limit)


if __name__ == "__main__":
    with Connection(int(sys.argv[2])) as _line:
        _drive(sys.argv[1], _line)
