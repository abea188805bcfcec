"""Times for people, in their own time zone."""

from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

__all__ = ["clock_text", "day_text", "exact_text", "second_text", "zone_names", "zone_of"]

UTC_ZONE = ZoneInfo("UTC")


@lru_cache(1)
def zone_names() -> tuple[str, ...]:
    """The names of all time zones, sorted."""
    return tuple(sorted(available_timezones()))


@lru_cache(500)
def zone_of(name: str) -> ZoneInfo:
    """The time zone of this name; UTC where there is none."""
    if not name or name not in zone_names():
        return UTC_ZONE
    return ZoneInfo(name)


def clock_text(us: int, zone: ZoneInfo, now_us: int) -> str:
    """A time as short as it can be understood: ``14:05`` of today, ``3 Mar 14:05`` of this year, else ``3 Mar 2025 14:05``."""
    at, now = (datetime.fromtimestamp(t / 1e6, UTC).astimezone(zone) for t in (us, now_us))
    if at.date() == now.date():
        return f"{at:%H:%M}"
    year = "" if at.year == now.year else f" {at.year}"
    return f"{at.day} {at:%b}{year} {at:%H:%M}"


def second_text(us: int, zone: ZoneInfo, now_us: int) -> str:
    """A time to the second: ``14:05:09`` of today, else with its day."""
    at = datetime.fromtimestamp(us / 1e6, UTC).astimezone(zone)
    today = at.date() == datetime.fromtimestamp(now_us / 1e6, UTC).astimezone(zone).date()
    return f"{at:%H:%M:%S}" if today else f"{day_text(us, zone, now_us)} {at:%H:%M:%S}"


def day_text(us: int, zone: ZoneInfo, now_us: int) -> str:
    """A day: ``3 Mar``, or ``3 Mar 2025`` of another year."""
    at, now = (datetime.fromtimestamp(t / 1e6, UTC).astimezone(zone) for t in (us, now_us))
    return f"{at.day} {at:%b}" + ("" if at.year == now.year else f" {at.year}")


def exact_text(us: int, zone: ZoneInfo) -> str:
    """A time with its zone, to the second: ``2026-03-03 14:05:09 CET``."""
    return f"{datetime.fromtimestamp(us / 1e6, UTC).astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"
