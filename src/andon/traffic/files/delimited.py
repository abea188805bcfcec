"""CSV and its relatives, row by row: what cannot be read is named with its line, and the rows after it are read.

The first row names the columns. The text is UTF-8, with or without a byte order mark; the delimiter is found by itself.
"""

import csv
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from andon.errors import InputError
from andon.traffic.intake import MAX_LINE, field_of
from andon.traffic.quoting import quoted

__all__ = ["MAX_COLUMNS", "Table", "open_table"]

MAX_COLUMNS = 5_000
"""Most columns that are read."""
_DELIMITERS = (",", ";", "\t", "|")
_ALSO = ("failure_reason", "kind", "thumb", "thumbs", "rating", "correction", "comment")
"""Names that lead to no field of an interaction, and still say what a table is."""
_AGAIN = 64 * 2**20
"""Most characters that are read a second time because a quote was not closed: a hostile file must not cost its square."""
csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE))  # 128 kB unless told, and an answer may be longer


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """An opened table: the names of its columns, and its rows."""

    names: tuple[str, ...]
    rows: Iterator[tuple[int, str, dict[str, str] | InputError]]
    """Each with the number and text of its (first) line; a row has the cells that are not empty."""


def open_table(lines: Iterator[bytes], *, delimiter: str | None = None, tell: Callable[[], int] | None = None) -> Table:
    """The table in these lines.

    Args:
        lines: Raw lines, each with its end; one longer than `MAX_LINE` may be cut after that.
        delimiter: The character between cells; found from the first row unless given.
        tell: Position in the file after the line that was read last, to name the byte that is no UTF-8.

    Raises:
        InputError: there is no row of names, or it cannot be read.
    """
    text = _Lines(lines, tell)
    first = next((t for t in text if t.strip()), None)
    if first is None:
        return Table(names=(), rows=iter(()))
    told = first.rstrip("\r\n").lower()
    if len(told) == 5 and told.startswith("sep="):  # a line that Excel writes and reads
        delimiter = told[4]
        first = next((t for t in text if t.strip()), "")
    text.give_back_last()
    delimiter = delimiter or _delimiter(first)
    spaced = any(cell.startswith(" ") for cell in first.split(delimiter)[1:])
    reader = csv.reader(text, delimiter=delimiter, skipinitialspace=spaced, strict=True)
    try:
        cells = next(reader, [])
    except csv.Error as error:
        raise InputError(f"the first row, which names the columns, cannot be read: {quoted(str(error), 80)}") from error
    names = _names(cells)
    return Table(names=names, rows=_rows(reader, text, names))


class _Lines:
    """Lines as text, one by one; those of the row that is being read are remembered, to be read again on their own."""

    def __init__(self, lines: Iterator[bytes], tell: Callable[[], int] | None) -> None:
        self._lines = lines
        self._tell = tell
        self._back: deque[tuple[int, str]] = deque()
        self._count = 0
        self._again = 0
        self.row: list[tuple[int, str]] = []
        self._size = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        number, text = self._back.popleft() if self._back else self._read()
        self.row.append((number, text))
        self._size += len(text)
        if len(self.row) > 1 and self._size > MAX_LINE:
            raise InputError(f"the row is longer than {MAX_LINE} characters; a quote may be open that nothing closes")
        return text

    def begin_row(self) -> None:
        """Forget the lines of the last row."""
        self.row, self._size = [], 0

    def give_back_last(self) -> None:
        """Read the last line once more."""
        self._back.appendleft(self.row[-1])
        self.begin_row()

    def resume(self) -> int:
        """After a row that cannot be read, go on with the line after its first; returns how many lines are given up."""
        rest = self.row[1:]
        self._again += sum(len(text) for _, text in rest)
        if self._again > _AGAIN:
            return len(rest)
        self._back.extendleft(reversed(rest))
        return 0

    def _read(self) -> tuple[int, str]:
        line = next(self._lines)
        self._count += 1
        if self._count == 1 and line.startswith(b"\xef\xbb\xbf"):
            line = line[3:]
        self.row.append((self._count, ""))  # so that an error has its line
        if len(line) > MAX_LINE:
            raise InputError(f"the line is longer than {MAX_LINE} bytes")
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            at = "" if self._tell is None else f" (byte {self._tell() - len(line) + error.start + 1:,} of the file)"
            raise InputError(
                f"byte {error.start + 1} of the line{at} is 0x{line[error.start]:02x}, which is not UTF-8 here; save the file "
                f"as UTF-8 (`iconv -f WINDOWS-1252 -t UTF-8`, or `CSV UTF-8` in a spreadsheet) and import it again"
            ) from None
        if "\x00" in text:
            raise InputError("the line holds a NUL byte, which no text has; the file may be damaged, or not UTF-8")
        self.row.pop()
        return self._count, text


def _rows(
    reader: Iterator[list[str]], text: _Lines, names: tuple[str, ...]
) -> Iterator[tuple[int, str, dict[str, str] | InputError]]:
    while True:
        text.begin_row()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (csv.Error, InputError) as error:
            (line, first), lost = text.row[0], text.resume()
            more = f"; so do {lost:,} lines after it, which are not read again" if lost else ""
            yield line, first, InputError(f"{_reason(error)}{more}")
            continue
        row = {name: cell for name, cell in zip(names, cells, strict=False) if cell != ""}
        if not row:
            continue
        line, first = text.row[0]
        if len(cells) < len(names) or any(cells[len(names) :]):
            yield (
                line,
                first,
                InputError(
                    f"the row has {len(cells):,} cells, and the first row names {len(names):,}; one cell each is allowed"
                ),
            )
        else:
            yield line, first, row


def _reason(error: Exception) -> str:
    if isinstance(error, InputError):
        return str(error)
    if "unexpected end of data" in str(error):
        return "a quote is opened and never closed; double each quote within a quoted cell"
    if "new-line character" in str(error):
        return "a carriage return stands alone within the line; end each line with LF or CRLF"
    return f"the row cannot be read as CSV: {quoted(str(error), 80)}; double each quote within a quoted cell"


def _delimiter(line: str) -> str:
    """The character that cuts the line into the most names that lead to a field; else into the most cells."""

    def cells(character: str) -> list[str]:
        try:
            return next(csv.reader([line], delimiter=character), [])
        except csv.Error:
            return []

    def known(character: str) -> tuple[int, int]:
        found = cells(character)
        return sum(_is_known(_name(cell)) for cell in found), len(found)

    return max(_DELIMITERS, key=known)


def _names(cells: list[str]) -> tuple[str, ...]:
    """A name for each column, no two the same: upper case and spaces do not matter where they lead to a field."""
    if len(cells) > MAX_COLUMNS:
        raise InputError(f"the first row names {len(cells):,} columns; up to {MAX_COLUMNS:,} are read")
    exact = {cell.strip() for cell in cells}
    found: dict[str, None] = {}
    for at, cell in enumerate(cells, 1):
        plain, name = cell.strip(), _name(cell)
        name = (plain if name in exact else name) or f"column {at}"
        found[name if name not in found else f"{name} (column {at})"] = None
    return tuple(found)


def _name(cell: str) -> str:
    plain = cell.strip()
    lower = plain.lower().replace(" ", "_").replace("-", "_")
    return lower if not _is_known(plain) and _is_known(lower) else plain


def _is_known(name: str) -> bool:
    return name in _ALSO or field_of(name) is not None
