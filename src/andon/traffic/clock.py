"""Times as the outside writes them, to and from microseconds since 1970 UTC, without rounding."""

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from andon.errors import InputError
from andon.traffic.quoting import quoted

__all__ = ["END_US", "FIRST_US", "Digits", "check_time", "format_time", "minute_text", "parse_time"]

Digits = Literal["minute", "second", "millisecond", "microsecond"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_NAIVE = datetime(1970, 1, 1)  # noqa: DTZ001 - a time without a zone is taken as UTC
_TICK = timedelta(microseconds=1)
FIRST_US = (datetime(2000, 1, 1, tzinfo=UTC) - _EPOCH) // _TICK
END_US = (datetime(2101, 1, 1, tzinfo=UTC) - _EPOCH) // _TICK
_NUMBER = re.compile(r"-?[0-9]{9,20}(\.[0-9]{1,12})?", re.ASCII)
_TIMESPEC = {
    "minute": "minutes",
    "second": "seconds",
    "millisecond": "milliseconds",
    "microsecond": "microseconds",
}
_ALLOWED = "ISO 8601 text (2026-01-31T12:00:00Z) or a number of s, ms, us or ns since 1970, from 2000 to 2100"


def parse_time(value: Any) -> int:
    """Microseconds since 1970 UTC of a time in any common form.

    Text is ISO 8601 (without a zone: UTC) or a number; a number is seconds, milliseconds, microseconds or nanoseconds by
    its magnitude, which between 2000 and 2100 cannot be mistaken. Digits beyond the microsecond are cut off.

    Raises:
        InputError: not a time, or one before 2000 or after 2100.
    """
    if isinstance(value, str):
        us = _from_text(value)
    elif isinstance(value, bool) or value is None:
        raise _refused(value)
    elif isinstance(value, int):
        us = _from_number(value, value)
    elif isinstance(value, float):
        us = _from_number(_decimal(value), value)
    elif isinstance(value, datetime):
        us = _from_datetime(value)
    elif isinstance(value, date):
        us = _from_datetime(datetime(value.year, value.month, value.day, tzinfo=UTC))
    else:
        raise _refused(value)
    if not FIRST_US <= us < END_US:
        raise _refused(value)
    return us


def check_time(us: int) -> int:
    """The same microseconds, when they lie from 2000 to 2100.

    Raises:
        InputError: they do not.
    """
    if not FIRST_US <= us < END_US:
        raise InputError(f"{us} us since 1970 is not between 2000 and 2100; the sender's clock or unit is wrong")
    return us


def format_time(us: int, digits: Digits = "second") -> str:
    """ISO 8601 text in UTC, with ``Z``; finer digits are cut off, never rounded."""
    moment = _EPOCH_NAIVE + timedelta(microseconds=us)
    return moment.isoformat(timespec=_TIMESPEC[digits]) + "Z"


def minute_text(us: int) -> str:
    """A time for people, in UTC: ``2026-01-31 12:00``; seconds are cut off."""
    return format_time(us)[:16].replace("T", " ")


def _from_text(text: str) -> int:
    stripped = text.strip()
    if _NUMBER.fullmatch(stripped):
        return _from_number(Decimal(stripped), text)
    try:
        return _from_datetime(datetime.fromisoformat(stripped))
    except (ValueError, OverflowError):
        raise _refused(text) from None


def _from_datetime(moment: datetime) -> int:
    return (moment - (_EPOCH_NAIVE if moment.tzinfo is None else _EPOCH)) // _TICK


def _from_number(number: int | Decimal, value: Any) -> int:
    if not 0 < number < 10**19:
        raise _refused(value)
    for unit_us in (1_000_000, 1_000, 1):
        if FIRST_US <= number * unit_us < END_US:
            return int(number * unit_us)
    us = int(number // 1000)
    if not FIRST_US <= us < END_US:
        raise _refused(value)
    return us


def _decimal(value: float) -> Decimal:
    if value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124 - NaN
        raise _refused(value)
    return Decimal(repr(value))  # the digits that were written, not the binary neighbour


def _refused(value: Any) -> InputError:
    return InputError(f"{quoted(value)} is not a time; allowed: {_ALLOWED}")
