"""The first run: the page waits for the first trace, says when it came, and what happens next."""

from dataclasses import dataclass
from urllib.parse import quote

from andon.monitors.charts import LEARN_HOURS, LEARN_N
from andon.traffic.run import came_by_app
from andon.web.asking import Ask

__all__ = ["First", "first_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class First:
    """What is known of the first traffic."""

    came_us: int | None = None
    """When it came, or, after a restart, when it happened; None while nothing has come."""
    apps: tuple[tuple[str, int, str], ...] = ()
    """Application, its interactions, and where they can be read; empty while traces are put together."""
    rows: int = 0
    """Rows that came in since the start, spans among them."""
    settle_s: int = 0
    """A trace is put together so long after its last span."""
    learning: int = 0
    """Charts that learn what is normal."""
    needs_n: int = LEARN_N
    """Observations that a chart needs until it watches."""
    needs_hours: int = LEARN_HOURS


def first_of(ask: Ask, *, calm: bool) -> First | None:
    """How the first run stands; None once it is over: a chart watches, or there was an incident.

    Args:
        ask: the request.
        calm: there was never an incident.
    """
    watching, learning = ask.site.charts.phases if ask.site.charts else (0, 0)
    if watching or not calm:
        return None
    arrived = ask.site.first_us() or None
    apps, first_us = came_by_app(ask.warehouse)
    if arrived is None and first_us is None and not ask.site.took_in():
        return First()
    return First(
        came_us=arrived or first_us or ask.now_us,
        apps=tuple((app, n, f"/traffic?app={quote(app, safe='')}") for app, n in apps),
        rows=ask.site.took_in(),
        settle_s=ask.site.settings.settle_s,
        learning=learning,
    )
