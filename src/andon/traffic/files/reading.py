"""Read files of traffic row by row: each row gives records or a `BadRow`, and no row ends the reading.

Read are JSON lines, JSON, CSV and its relatives (each also compressed with gzip) and Parquet. What the rows are is found
from their names (`andon.traffic.files.kinds`), or said by the name of the file. A file is read in bounded memory.
"""

import gzip
import stat
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from andon.errors import InputError
from andon.traffic.files.delimited import open_table
from andon.traffic.files.documents import values_of
from andon.traffic.files.kinds import Found, Record, Table, column_reader, read_value, table_of, traffic_in
from andon.traffic.files.langfuse import is_export
from andon.traffic.intake import MAX_LINE, BadRow, bad_row, field_of
from andon.traffic.quoting import quoted
from andon.traffic.records import Feedback, Interaction

__all__ = ["ENDINGS", "check_file", "lines_of", "read_feedback", "read_interactions", "read_traffic"]

_LINES = (".jsonl", ".ndjson")
_TABLES = {".csv": None, ".tsv": "\t"}
"""Endings of tables of text, with the delimiter that the ending says."""
_TEXTS = (*_LINES, ".json", *_TABLES)
_PARQUET = ".parquet"
ENDINGS = (*_TEXTS, *(f"{ending}.gz" for ending in _TEXTS), _PARQUET)
"""Endings of the files that are read; upper case does not matter."""
_ROWS = 2_000
"""Rows of a Parquet file that are turned into Python values at a time."""
_DAMAGED = (OSError, EOFError, zlib.error)
_STRANGERS = (
    (b"PK\x03\x04", "a ZIP archive, or an Excel workbook", "save the sheet as `CSV UTF-8`, or unpack the archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "save the sheet as `CSV UTF-8`"),
    (b"PAR1", "a Parquet file", "name it .parquet"),
    (b"\x1f\x8b", "compressed with gzip", "add .gz to its name"),
    (b"\x28\xb5\x2f\xfd", "compressed with Zstandard", "unpack it, or compress it with gzip"),
    (b"BZh", "compressed with bzip2", "unpack it, or compress it with gzip"),
    (b"\xfd7zXZ\x00", "compressed with xz", "unpack it, or compress it with gzip"),
    (b"SQLite format 3\x00", "an SQLite database", "export the table as CSV"),
    (b"%PDF", "a PDF document", "export the data as CSV"),
    (b"\xff\xfe", "text in UTF-16", "save it as UTF-8 (`iconv -f UTF-16 -t UTF-8`)"),
    (b"\xfe\xff", "text in UTF-16", "save it as UTF-8 (`iconv -f UTF-16 -t UTF-8`)"),
)
"""First bytes of what is no text of ours: what it is, and what to do."""


def read_traffic(path: Path | str, table: Table | None = None) -> Iterator[Record | BadRow]:
    """What the rows of a file hold, in its order: interactions, feedback, spans and log records.

    Args:
        path: The file; its ending says how it is read.
        table: What its rows are; unless given, the file's name says so (``thumbs.feedback.jsonl``), else the rows.

    Raises:
        InputError: the file cannot be read as what its ending says; before the first row.
    """
    path = check_file(path)
    said = table_of(path)
    table = table or (said if said != "changes" else None)
    return _parquet(path, table) if _ending(path) == _PARQUET else _read_text(path, table)


def read_interactions(path: Path | str) -> Iterator[Interaction | BadRow]:
    """The interactions among the rows of a file, and its bad rows, in its order.

    Raises:
        InputError: as `read_traffic`.
    """
    return (row for row in read_traffic(path, "interactions") if isinstance(row, Interaction | BadRow))


def read_feedback(path: Path | str) -> Iterator[Feedback | BadRow]:
    """The rows of a file as feedback, in its order.

    Raises:
        InputError: as `read_traffic`.
    """
    return (row for row in read_traffic(path, "feedback") if isinstance(row, Feedback | BadRow))


def check_file(path: Path | str) -> Path:
    """The path, when its file can be opened and begins as its ending says.

    Raises:
        InputError: it cannot or does not, and why.
    """
    path = Path(path)
    name = quoted(str(path), 200)
    ending = _ending(path)
    if ending is None:
        raise InputError(f"{name} has an ending that is not read; allowed: {', '.join(ENDINGS)}")
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "no ordinary file (a pipe, a socket or a device)"
            raise InputError(f"{name} is {what}; a file is allowed")
        if ending == _PARQUET:
            pq.read_schema(path)
        else:
            _check_text(path, ending)
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror or error}") from error
    except (EOFError, zlib.error) as error:
        raise InputError(f"{name} cannot be read: {error}") from error
    except (pa.ArrowException, ValueError) as error:
        what = "a Parquet file" if ending == _PARQUET else "a file that can be read"
        raise InputError(f"{name} is not {what}: {quoted(str(error), 200)}") from error
    return path


def lines_of(stream: IO[bytes]) -> Iterator[bytes]:
    """The lines of a stream; of one longer than `MAX_LINE` only the beginning, which is refused later."""
    while line := stream.readline(MAX_LINE + 1):
        yield line
        if len(line) > MAX_LINE:
            while line and not line.endswith(b"\n"):
                line = stream.readline(MAX_LINE)


def _ending(path: Path) -> str | None:
    return next((ending for ending in ENDINGS if path.name.lower().endswith(ending)), None)


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    with ExitStack() as opened:
        stream: IO[bytes] = opened.enter_context(path.open("rb"))
        if path.name.lower().endswith(".gz"):
            stream = BufferedReader(_Unpacked(stream), 2**20)
        yield stream


class _Unpacked(RawIOBase):
    """A compressed stream unpacked as far as it goes: what comes before a damage is read before the damage is an error."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._file = gzip.GzipFile(fileobj=stream)

    def readable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Position in what was unpacked."""
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer with what one step of unpacking gives."""
        data = self._file.read1(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _check_text(path: Path, ending: str) -> None:
    name = quoted(str(path), 200)
    with path.open("rb") as raw:
        begin = raw.read(16)
    if ending.endswith(".gz") and begin and not begin.startswith(b"\x1f\x8b"):
        raise InputError(f"{name} is not compressed with gzip, as its ending says; take .gz from its name")
    with _opened(path) as stream:
        begin = stream.read(64)
    for magic, what, advice in _STRANGERS:
        if begin.startswith(magic):
            raise InputError(f"{name} is {what}; {advice}")
    plain = ending.removesuffix(".gz")
    first = begin.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if plain == ".json" and first not in (b"", b"{", b"["):
        raise InputError(f"{name} is not JSON: it begins with {quoted(begin[:20])}; an object or a list is allowed")
    if plain in _TABLES:
        with _opened(path) as stream:
            try:
                _check_names(open_table(lines_of(stream), delimiter=_TABLES[plain], tell=stream.tell).names)
            except InputError as error:
                raise InputError(f"{name}: {error}") from error


def _check_names(names: tuple[str, ...]) -> None:
    if names and not any(field_of(name) == "time_us" for name in names) and not is_export(names):
        raise InputError(
            f"no column is a time; the first row must name the columns, and one of them `time` or `timestamp`; it holds "
            f"{quoted(', '.join(names), 200)}"
        )


def _read_text(path: Path, table: Table | None) -> Iterator[Record | BadRow]:
    ending = _ending(path) or ""
    plain = ending.removesuffix(".gz")
    reached = _Reached()
    with _opened(path) as stream:
        try:
            if plain in _TABLES:
                yield from _delimited(stream, _TABLES[plain], table, reached)
            elif plain == ".json":
                yield from _document(stream, table, reached)
            else:
                yield from traffic_in(reached.counted(lines_of(stream)), table)
        except _DAMAGED as error:
            yield bad_row(reached.row + 1, f"the file cannot be read further: {error}", "")


class _Reached:
    """The number of the row that was read last, for a file that breaks off."""

    def __init__(self) -> None:
        self.row = 0

    def counted(self, lines: Iterator[bytes]) -> Iterator[bytes]:
        for self.row, line in enumerate(lines, 1):
            yield line


def _document(stream: IO[bytes], table: Table | None, reached: _Reached) -> Iterator[Record | BadRow]:
    for number, value in values_of(stream):
        reached.row = number
        if isinstance(value, InputError):
            yield bad_row(number, str(value), "")
        else:
            yield from read_value(number, value, table)


def _delimited(
    stream: IO[bytes], delimiter: str | None, table: Table | None, reached: _Reached
) -> Iterator[Record | BadRow]:
    opened = open_table(reached.counted(lines_of(stream)), delimiter=delimiter, tell=stream.tell)
    _check_names(opened.names)
    read = column_reader(opened.names, table)
    for line, text, row in opened.rows:
        yield from _read_row(line, row, read, text)


def _parquet(path: Path, table: Table | None) -> Iterator[Record | BadRow]:
    number = 0
    with pq.ParquetFile(path) as file:
        read = column_reader(file.schema_arrow.names, table)
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
                yield from _read_row(number, row, read)


def _read_row(
    number: int,
    row: Mapping[str, Any] | InputError,
    read: Callable[[Mapping[str, Any]], Found],
    text: str | None = None,
) -> Iterator[Record | BadRow]:
    try:
        if isinstance(row, InputError):
            raise row
        found = read(row)
    except InputError as error:
        shown = row if isinstance(row, Mapping) else {}
        yield bad_row(
            number, str(error), str({k: v for k, v in shown.items() if v is not None}) if text is None else text
        )
        return
    yield from found.records
    for reason in found.refused:
        yield bad_row(number, reason, "")


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
