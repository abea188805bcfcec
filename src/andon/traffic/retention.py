"""How long each table keeps its rows: the operator's setting, read, and what is due to be forgotten now."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from andon.errors import ConfigError
from andon.traffic.quoting import quoted

__all__ = ["DEFAULT", "due", "retention"]

_UNITS = {"d": 86_400_000_000, "h": 3_600_000_000}
_PART = re.compile(r"([A-Za-z_]+)\s*=\s*([0-9]{1,9})\s*([A-Za-z]*)")
_LONGEST_US = 36_525 * _UNITS["d"]
_ALLOWED = "a list such as spans=30d, interactions=400d (d for days, h for hours, from 1h to 36525d)"

DEFAULT: Mapping[str, int] = MappingProxyType(
    {
        table: days * _UNITS["d"]
        for table, days in (
            ("interactions", 400),
            ("feedback", 400),
            ("spans", 30),
            ("logs", 30),
            ("scores", 400),
            ("intake", 30),
        )
    }
)
"""Microseconds that each table keeps its rows when nothing is said: a year and a month, so that a year can be compared with
the one before; raw material that has been read a month."""


def retention(text: str) -> Mapping[str, int]:
    """Microseconds that each table keeps its rows, from text such as ``spans=30d, interactions=400d``.

    Tables that the text does not name keep theirs as in `DEFAULT`; empty text changes nothing.

    Raises:
        ConfigError: a part is no ``table=number`` with a unit, names an unknown table or one twice, or is out of range.
    """
    chosen: dict[str, int] = {}
    for part in (p for p in (raw.strip() for raw in text.split(",")) if p):
        found = _PART.fullmatch(part)
        if found is None:
            raise ConfigError(f"retention {quoted(part)} cannot be read; {_ALLOWED} is allowed")
        table, number, unit = found.groups()
        if table not in DEFAULT:
            raise ConfigError(f"retention {quoted(part)}: there is no table {quoted(table)}; {', '.join(DEFAULT)} are")
        if unit not in _UNITS:
            raise ConfigError(f"retention {quoted(part)}: {quoted(unit)} is no unit; d (days) and h (hours) are")
        if table in chosen:
            raise ConfigError(f"retention {quoted(part)}: {table} is given twice; give it once")
        chosen[table] = int(number) * _UNITS[unit]
        if not 0 < chosen[table] <= _LONGEST_US:
            raise ConfigError(f"retention {quoted(part)} is out of range; {_ALLOWED} is allowed")
    return MappingProxyType({**DEFAULT, **chosen})


def due(tables: Mapping[str, int], now_us: int) -> dict[str, int]:
    """Per table the event time before which its rows are to be forgotten, as `Warehouse.expire` takes it.

    Args:
        tables: microseconds that each table keeps its rows (`retention`).
        now_us: the present time.
    """
    return {table: now_us - kept_us for table, kept_us in tables.items()}
