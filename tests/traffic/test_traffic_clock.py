"""Times: exact, by magnitude, and never absurd."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.errors import InputError
from andon.traffic import format_time, parse_time
from andon.traffic.clock import minute_text

FIRST = 946_684_800_000_000
LAST = 4_133_980_799_999_999
times = st.integers(FIRST, LAST)


@given(times)
def test_microseconds_survive_text_exactly(us):
    """A time written with microseconds and read again is the same number."""
    assert parse_time(format_time(us, "microsecond")) == us


@given(times)
def test_every_integer_unit_gives_the_same_time(us):
    """A number of s, ms, us or ns is recognised by its magnitude, and finer digits are cut off."""
    assert parse_time(us) == us
    assert parse_time(us * 1000 + 999) == us
    assert parse_time(us // 1000) == us // 1000 * 1000
    assert parse_time(us // 1_000_000) == us // 1_000_000 * 1_000_000
    assert parse_time(str(us // 1000)) == us // 1000 * 1000


@given(times)
def test_decimal_seconds_are_exact(us):
    """Seconds with six digits behind the point, as text or as a float, keep every microsecond."""
    text = f"{us // 1_000_000}.{us % 1_000_000:06d}"
    assert parse_time(text) == us
    assert parse_time(float(text)) == us == int(Decimal(repr(float(text))) * 1_000_000)


@given(times, st.integers(-14 * 60, 14 * 60))
def test_a_zone_moves_the_clock_not_the_time(us, minutes):
    """The same moment written in any zone is the same number."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
    local = moment.astimezone(timezone(timedelta(minutes=minutes)))
    assert parse_time(local) == parse_time(local.isoformat()) == us


def test_a_time_without_a_zone_is_utc():
    """Text, datetime and date without a zone are taken as UTC."""
    assert parse_time("2026-01-31T12:00:00") == parse_time("2026-01-31T12:00:00Z")
    assert parse_time("2026-01-31 12:00") == parse_time(datetime(2026, 1, 31, 12))  # noqa: DTZ001
    assert parse_time(date(2026, 1, 31)) == parse_time("2026-01-31") == parse_time("2026-01-31T00:00Z")


def test_format_cuts_and_never_rounds():
    """The last second of a year does not become the first of the next."""
    us = parse_time("2026-12-31T23:59:59.999999Z")
    assert format_time(us) == "2026-12-31T23:59:59Z"
    assert format_time(us, "millisecond") == "2026-12-31T23:59:59.999Z"
    assert format_time(us, "minute") == "2026-12-31T23:59Z"
    assert minute_text(us) == "2026-12-31 23:59"


@pytest.mark.parametrize(
    "value",
    ["", "yesterday", "1999-12-31T23:59:59Z", "2101-01-01", "2026-13-01", 0, 1, -1, 10**30, 1e300, float("nan"),
     float("inf"), True, None, [], "١٧٠٠٠٠٠٠٠٠", "9" * 5000, "0001-01-01T00:00:00+14:00"],
)  # fmt: skip
def test_what_is_no_time_is_refused_by_name(value):
    """A value that is no time, or absurd, is an InputError that shows it in one printable, short line."""
    with pytest.raises(InputError, match="is not a time; allowed") as caught:
        parse_time(value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


@given(st.one_of(st.text(), st.integers(), st.floats(), st.binary(), st.datetimes()))
def test_no_value_breaks_the_reader(value):
    """Whatever the value, the answer is a time of this century or an InputError."""
    refused = ""
    us = FIRST
    try:
        us = parse_time(value)
    except InputError as error:
        refused = str(error)
    assert refused.isprintable()
    assert FIRST <= us <= LAST


def test_a_number_too_long_to_print_is_refused():
    """A number of thousands of digits is an InputError, although Python refuses to print it."""
    with pytest.raises(InputError, match="more than 38 digits"):
        parse_time(10**5000)
