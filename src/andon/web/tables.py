"""A table, once: as HTML on the page, and as CSV, JSON and Markdown for who takes it along."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from andon.traffic import format_time

__all__ = ["MOST", "Cell", "Column", "Kind", "Table", "as_csv", "as_json", "as_markdown"]

Kind = Literal["text", "long", "number", "rate", "duration", "time", "tag", "code", "mark", "picture"]
"""``number``: right-aligned. ``rate``: 0..1, shown in per cent. ``duration``: seconds. ``time``: microseconds since 1970. ``tag``: a
word in a coloured box. ``mark``: yes, no or None. ``picture``: markup of ours, left out of files."""

MOST = 10_000
"""Rows of a file: pages give no more of them."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column."""

    key: str
    """Key of its values in the rows, and its name in CSV and JSON."""
    title: str
    kind: Kind = "text"
    wide: bool = False
    """Whether it takes the room that the others leave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A value with more than itself."""

    value: Any
    link: str = ""
    """A path of ours."""
    tone: str = ""
    """``bad``, ``warn``, ``good``, ``soft``: how it is coloured."""
    note: str = ""
    """A second line, smaller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Columns and rows."""

    name: str
    """Of the file, and in the address: ``a-z`` and ``-``."""
    title: str
    """What is in it, for screen readers and files."""
    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Any]] = field(default=())
    """By key of the column: a plain value, or a `Cell`."""
    empty: str = "Nothing here yet."
    """What is said where there are no rows: why, and what would bring some."""
    empty_link: tuple[str, str] | None = None
    """(path, text) of what to do then."""
    more: bool = False
    """Whether there are rows that are not in it, though a file of it is asked for."""

    @property
    def cut(self) -> bool:
        """Whether a file of it may lack rows: then it says so, in its name, its headers and its Markdown."""
        return self.more or len(self.rows) >= MOST


def as_csv(table: Table) -> str:
    """The table as CSV (RFC 4180). A text that a spreadsheet would run as a formula begins with an apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    columns = _kept(table)
    writer.writerow([c.key for c in columns])
    for row in table.rows:
        writer.writerow([_harmless(_plain(row, c)) for c in columns])
    return out.getvalue()


def as_json(table: Table) -> list[dict[str, Any]]:
    """The rows as plain values; times are ISO 8601 in UTC."""
    columns = _kept(table)
    rows: list[dict[str, Any]] = orjson.loads(
        orjson.dumps([{c.key: _plain(row, c) for c in columns} for row in table.rows], default=str)
    )
    return rows


def as_markdown(table: Table) -> str:
    """The table as Markdown (GitHub's), with everything that could be markup escaped."""
    columns = _kept(table)
    lines = ["| " + " | ".join(_cell(c.title) for c in columns) + " |", "|" + " --- |" * len(columns)]
    lines += ["| " + " | ".join(_cell(_plain(row, c)) for c in columns) + " |" for row in table.rows]
    lines += ["", f"Only {len(table.rows):,} rows are given here; there may be more."] if table.cut else []
    return "\n".join(lines) + "\n"


def _kept(table: Table) -> list[Column]:
    return [c for c in table.columns if c.kind != "picture"]


def _plain(row: Mapping[str, Any], column: Column) -> Any:
    value = row.get(column.key)
    value = value.value if isinstance(value, Cell) else value
    if column.kind == "time" and isinstance(value, int):
        return format_time(value)
    return value


def _harmless(value: Any) -> Any:
    if isinstance(value, str):
        text = "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in value)
        return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text
    return "" if value is None else value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = " ".join(str(value).split())
    text = "".join(c if c.isprintable() else "\ufffd" for c in text)
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>()#|!~&" else c for c in text)
