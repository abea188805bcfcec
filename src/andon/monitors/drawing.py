"""A control chart as one inline SVG: pure text, no script, colours from CSS with fallbacks."""

from collections.abc import Sequence
from html import escape
from unicodedata import east_asian_width

from andon.monitors.records import Point
from andon.monitors.verdicts import percent
from andon.traffic import format_time

__all__ = ["NARROW", "WIDTH", "draw_chart"]

WIDTH, NARROW, HEIGHT = 860, 400, 300
"""Widths for a page and for a phone, where a wide chart is either cut or too small to read."""
HALO = "paint-order:stroke;stroke:var(--page,#fff);stroke-width:4px;stroke-linejoin:round"
"""Labels stand out from the lines that they cross; a page says its colour, a file by itself is white."""
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 20, 44
LETTER, ROW = 6.2, 14
"""Width of a letter, rather too wide, and height of a line of text, in units of the drawing."""
MINUTE = 60_000_000
HOUR, DAY = 60 * MINUTE, 1440 * MINUTE
STEPS = (
    *(k * MINUTE for k in (1, 2, 5, 15, 30)),
    *(k * HOUR for k in (1, 2, 3, 6, 12)),
    *(DAY << k for k in range(16)),
)
"""Distances of times on the axis; those up to a day begin at midnight UTC, so that a date stands where its day begins."""
CLOCK_SPAN = 4 * DAY
"""Below this span the axis shows clock times: days alone would repeat."""


def draw_chart(
    points: Sequence[Point],
    *,
    title: str,
    marks: Sequence[tuple[int, str]] = (),
    onset: tuple[int, int] | None = None,
    width: int = WIDTH,
) -> str:
    """A p-chart with stepped limits, centre line, points, a band for the onset's interval and labelled marks.

    Args:
        points: the windows, in order of time.
        title: what the rate is; also the accessible name.
        marks: (time_us, label) of changes, alarms, pulls; labels are hostile input and escaped.
        onset: the 95 % interval of the onset.
        width: units across, at least 300; `NARROW` for a phone. Letters keep their size, so a narrow chart stays legible.

    Returns:
        The text of an ``<svg>`` element that scales to its container.
    """
    if not points:
        return f'<p class="empty">No observations to draw for {_safe(title)}.</p>'
    frame = _Frame(points, width)
    out = [
        f'<svg viewBox="0 0 {width} {HEIGHT}" role="img" aria-label="{_safe(title)}" class="chart" '
        'xmlns="http://www.w3.org/2000/svg" font-family="system-ui, sans-serif" font-size="11">',
        f"<title>{_safe(title)}</title>",
        f"<desc>{escape(_describe(points))}</desc>",
    ]
    out += _axes(frame, points)
    if onset is not None and onset[0] < frame.end and onset[1] > frame.start:
        left, right = frame.x(max(onset[0], frame.start)), frame.x(min(onset[1], frame.end))
        out.append(
            f'<rect class="onset" x="{left:.1f}" y="{TOP}" width="{max(2.0, right - left):.1f}" '
            f'height="{HEIGHT - TOP - BOTTOM}" fill="#d97706" fill-opacity="0.18"/>'
        )
    out += _limits(frame, points)
    out += _series(frame, points)
    out += _marks(frame, marks)
    out.append("</svg>")
    return "".join(out)


class _Frame:
    """Where values lie on the paper."""

    def __init__(self, points: Sequence[Point], width: int) -> None:
        self.right = width - RIGHT
        self.start, self.end = points[0].start_us, points[-1].end_us
        highest = max(max(p.x / p.n, min(p.high, 1.0)) for p in points)
        self.top = next((t for t in (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8) if highest <= t * 0.95), 1.0)

    def x(self, time_us: float) -> float:
        return LEFT + (time_us - self.start) / max(1, self.end - self.start) * (self.right - LEFT)

    def y(self, rate: float) -> float:
        return HEIGHT - BOTTOM - min(rate, self.top) / self.top * (HEIGHT - TOP - BOTTOM)


def _axes(frame: _Frame, points: Sequence[Point]) -> list[str]:
    out = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        rate = share * frame.top
        y = frame.y(rate)
        out.append(
            f'<line x1="{LEFT}" x2="{frame.right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#94a3b8" stroke-opacity="0.25"/>'
        )
        label = percent(rate)
        out.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="#64748b">{label}</text>')
    for at, text in _times(frame):
        x, half = frame.x(at), len(text) * LETTER / 2
        place = min(max(x, LEFT + half), frame.right - half)  # whole, at both ends
        out.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM + 4}" stroke="#94a3b8"/>'
        )
        out.append(f'<text x="{place:.1f}" y="{HEIGHT - 24}" text-anchor="middle" fill="#64748b">{text}</text>')
    n = sum(p.n for p in points)
    out.append(
        f'<text x="{frame.right}" y="{HEIGHT - 8}" text-anchor="end" fill="#94a3b8">n = {n:,} · times in UTC</text>'
    )
    return out


def _times(frame: _Frame) -> list[tuple[int, str]]:
    """Round times for the axis and how they are written: ``03-08 12:00`` below four days, else ``2026-03-08``."""
    span = frame.end - frame.start
    most = 6 if frame.right - LEFT > 500 else 3
    step = next((s for s in STEPS if span <= s * most), -(-span // most))
    first = -(-frame.start // step) * step
    places = list(range(first, frame.end + 1, step)) or [frame.start]
    part = slice(5, 16) if span < CLOCK_SPAN else slice(0, 10)
    return [(at, format_time(at)[part].replace("T", " ")) for at in places[: most + 1]]


def _limits(frame: _Frame, points: Sequence[Point]) -> list[str]:
    upper = [f"{frame.x(t):.1f},{frame.y(p.high):.1f}" for p in points for t in (p.start_us, p.end_us)]
    lower = [f"{frame.x(t):.1f},{frame.y(p.low):.1f}" for p in reversed(points) for t in (p.end_us, p.start_us)]
    centre = [f"{frame.x(t):.1f},{frame.y(p.centre):.1f}" for p in points for t in (p.start_us, p.end_us)]
    return [
        f'<polygon class="limits" points="{" ".join(upper + lower)}" fill="#64748b" fill-opacity="0.12"/>',
        f'<polyline points="{" ".join(upper)}" fill="none" stroke="#64748b" stroke-opacity="0.6" stroke-dasharray="3 3"/>',
        f'<polyline class="centre" points="{" ".join(centre)}" fill="none" stroke="#64748b"/>',
    ]


def _series(frame: _Frame, points: Sequence[Point]) -> list[str]:
    middle = [(frame.x((p.start_us + p.end_us) / 2), frame.y(p.x / p.n), p) for p in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in middle)
    out = [f'<polyline points="{path}" fill="none" stroke="#2563eb" stroke-width="1.5" stroke-linejoin="round"/>']
    for x, y, p in middle:
        beyond = p.x / p.n > p.high + 1e-12
        colour, radius = ("#dc2626", 3.4) if beyond else ("#2563eb", 2.0)
        label = f"{format_time(p.start_us)}: {p.x} of {p.n} ({percent(p.x / p.n)})"
        out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}"><title>{label}</title></circle>')
    return out


def _marks(frame: _Frame, marks: Sequence[tuple[int, str]]) -> list[str]:
    """Lines with labels: each label beside its own line, on the side where it crosses no other, in a row that is free.

    Right of its line if there is room before the next one, else left if there is room after the one before, else where
    there is more; so a label is never nearer to another's line than to its own where both fit.
    """
    shown = [(frame.x(at), _safe_text(label[:60])) for at, label in sorted(marks) if frame.start <= at <= frame.end]
    places = sorted({x for x, _ in shown})
    out = [
        f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 14}" y2="{HEIGHT - BOTTOM}" stroke="#7c3aed" '
        'stroke-dasharray="4 2"/>'
        for x in places
    ]
    taken: list[tuple[float, float, int]] = []
    for x, label in shown:
        long = _length(label) + 10
        room_right = min((p for p in places if p > x), default=frame.right) - x
        room_left = x - max((p for p in places if p < x), default=LEFT)
        on_right = long <= room_right or (long > room_left and _room(frame, x, long, room_left, room_right))
        low, high = (x, x + long) if on_right else (x - long, x)
        row = next(r for r in range(len(taken) + 1) if all(r != t or high <= a or low >= b for a, b, t in taken))
        taken.append((low, high, row))
        anchor, shift = ("start", 5) if on_right else ("end", -5)
        out.append(
            f'<text class="mark" x="{x + shift:.1f}" y="{TOP - 6 + ROW * row}" text-anchor="{anchor}" fill="#7c3aed" '
            f'style="{HALO}">{escape(label, quote=True)}</text>'
        )
    return out


def _room(frame: _Frame, x: float, long: float, left: float, right: float) -> bool:
    """Whether a label that must cross a line goes to the right: where it stays on the paper, else where more is free."""
    fits_left, fits_right = x - long >= 0, x + long <= frame.right + RIGHT
    return right >= left if fits_left == fits_right else fits_right


def _length(text: str) -> float:
    """How wide a text is at most, about: letters of East Asia are twice as wide."""
    return sum(1.8 * LETTER if east_asian_width(c) in "WF" else LETTER for c in text)


def _describe(points: Sequence[Point]) -> str:
    beyond = sum(p.x / p.n > p.high + 1e-12 for p in points)
    first, last = points[0], points[-1]
    return (
        f"{len(points)} windows from {format_time(first.start_us)} to {format_time(last.end_us)}; centre line "
        f"{percent(sum(p.centre for p in points) / len(points))}; {beyond} windows above the limit; last window {last.x} of {last.n}."
    )


def _safe(text: str) -> str:
    """Hostile text for XML: markup escaped, characters that nobody sees (controls, direction marks) replaced."""
    return escape(_safe_text(text), quote=True)


def _safe_text(text: str) -> str:
    return "".join(c if c.isprintable() else "\ufffd" for c in text)
