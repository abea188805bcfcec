"""Read JSONL and Parquet files row by row: each row is a record or a `BadRow`, and no row ends the reading."""

import gzip
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from andon.errors import InputError
from andon.traffic.intake import (
    MAX_LINE,
    BadRow,
    bad_row,
    feedback_in,
    feedback_of,
    interaction_of,
    interactions_in,
)
from andon.traffic.quoting import quoted
from andon.traffic.records import Feedback, Interaction

__all__ = ["check_file", "lines_of", "read_feedback", "read_interactions"]

_LINES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
_PARQUET = ".parquet"
_ALLOWED = ", ".join((*_LINES, _PARQUET))
_ROWS = 2_000
"""Rows of a Parquet file that are turned into Python values at a time."""


def read_interactions(path: Path | str) -> Iterator[Interaction | BadRow]:
    """The rows of a JSONL or Parquet file, in its order.

    Raises:
        InputError: the file is not there, has another ending, or is no Parquet file at all.
    """
    path = check_file(path)
    if path.name.endswith(_PARQUET):
        return _parquet(path, interaction_of)
    return _read_lines(path, interactions_in)


def read_feedback(path: Path | str) -> Iterator[Feedback | BadRow]:
    """The rows of a JSONL or Parquet file as feedback, in its order.

    Raises:
        InputError: the file is not there, has another ending, or is no Parquet file at all.
    """
    path = check_file(path)
    if path.name.endswith(_PARQUET):
        return _parquet(path, feedback_of)
    return _read_lines(path, feedback_in)


def check_file(path: Path | str) -> Path:
    """The path, when its file can be opened and has an ending that is read.

    Raises:
        InputError: it cannot, and why.
    """
    path = Path(path)
    name = quoted(str(path), 200)
    if not path.name.endswith((*_LINES, _PARQUET)):
        raise InputError(f"{name} has an ending that is not read; allowed: {_ALLOWED}")
    try:
        with path.open("rb"):
            pass
        if path.name.endswith(_PARQUET):
            pq.read_schema(path)
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror or error}") from error
    except (pa.ArrowException, ValueError) as error:
        raise InputError(f"{name} is not a Parquet file: {quoted(str(error), 200)}") from error
    return path


def lines_of(stream: IO[bytes]) -> Iterator[bytes]:
    """The lines of a stream; of one longer than `MAX_LINE` only the beginning, which is refused later."""
    while line := stream.readline(MAX_LINE + 1):
        yield line
        if len(line) > MAX_LINE:
            while line and not line.endswith(b"\n"):
                line = stream.readline(MAX_LINE)


def _read_lines(path: Path, read: Callable[[Iterator[bytes]], Iterator[Any]]) -> Iterator[Any]:
    seen = 0

    def counted(stream: IO[bytes]) -> Iterator[bytes]:
        nonlocal seen
        for line in lines_of(stream):
            seen += 1
            yield line

    with ExitStack() as opened:
        stream: IO[bytes] = opened.enter_context(path.open("rb"))
        if path.name.endswith(".gz"):
            stream = BufferedReader(gzip.GzipFile(fileobj=stream), 2**20)
        try:
            yield from read(counted(stream))
        except (OSError, EOFError, zlib.error) as error:
            yield bad_row(seen + 1, f"the file cannot be read further: {error}", "")


def _parquet(path: Path, read: Callable[[Mapping[str, Any]], Any]) -> Iterator[Any]:
    number = 0
    with pq.ParquetFile(path) as file:
        batches = file.iter_batches(_ROWS)
        while True:
            try:
                batch = next(batches, None)
            except (OSError, pa.ArrowException, ValueError) as error:
                yield bad_row(number + 1, f"the file cannot be read further: {quoted(str(error), 200)}", "")
                return
            if batch is None:
                return
            for row in _rows_of(batch):
                number += 1
                yield _read_row(number, row, read)


def _read_row(number: int, row: Mapping[str, Any] | InputError, read: Callable[[Mapping[str, Any]], Any]) -> Any:
    if isinstance(row, InputError):
        return bad_row(number, str(row), "")
    try:
        return read(row)
    except InputError as error:
        return bad_row(number, str(error), str({k: v for k, v in row.items() if v is not None}))


def _rows_of(batch: pa.RecordBatch) -> Iterator[dict[str, Any] | InputError]:
    columns: list[list[Any]] = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            columns.append(_plain(column).to_pylist())
        except (pa.ArrowException, ValueError, OverflowError) as error:
            reason = InputError(f"{quoted(name)} holds a value that cannot be read: {quoted(str(error), 120)}")
            yield from [reason] * batch.num_rows
            return
    names = batch.schema.names
    for values in zip(*columns, strict=True):
        yield dict(zip(names, values, strict=True))


def _plain(column: pa.Array) -> pa.Array:
    """Timestamps in microseconds UTC (finer digits are cut off, no zone is UTC); other columns as they are."""
    if not pa.types.is_timestamp(column.type):
        return column
    return column.cast(pa.timestamp("us", column.type.tz), safe=False).cast(pa.int64()).cast(pa.timestamp("us", "UTC"))
