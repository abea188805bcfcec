"""A control chart as one inline SVG: pure text, no script, colours from CSS with fallbacks."""

from collections.abc import Sequence
from html import escape

from andon.monitors.records import Point
from andon.monitors.verdicts import percent
from andon.traffic import format_time

__all__ = ["draw_chart"]

WIDTH, HEIGHT = 860, 300
HALO = "paint-order:stroke;stroke:var(--page,#fff);stroke-width:4px;stroke-linejoin:round"
"""Labels stand out from the lines that they cross; a page says its colour, a file by itself is white."""
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 20, 44


def draw_chart(
    points: Sequence[Point],
    *,
    title: str,
    marks: Sequence[tuple[int, str]] = (),
    onset: tuple[int, int] | None = None,
) -> str:
    """A p-chart with stepped limits, centre line, points, a band for the onset's interval and labelled marks.

    Args:
        points: the windows, in order of time.
        title: what the rate is; also the accessible name.
        marks: (time_us, label) of changes, alarms, pulls; labels are hostile input and escaped.
        onset: the 95 % interval of the onset.

    Returns:
        The text of an ``<svg>`` element that scales to its container.
    """
    if not points:
        return f'<p class="empty">No observations to draw for {_safe(title)}.</p>'
    frame = _Frame(points)
    out = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{_safe(title)}" class="chart" '
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

    def __init__(self, points: Sequence[Point]) -> None:
        self.start, self.end = points[0].start_us, points[-1].end_us
        highest = max(max(p.x / p.n, min(p.high, 1.0)) for p in points)
        self.top = next((t for t in (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8) if highest <= t * 0.95), 1.0)

    def x(self, time_us: float) -> float:
        return LEFT + (time_us - self.start) / max(1, self.end - self.start) * (WIDTH - LEFT - RIGHT)

    def y(self, rate: float) -> float:
        return HEIGHT - BOTTOM - min(rate, self.top) / self.top * (HEIGHT - TOP - BOTTOM)


def _axes(frame: _Frame, points: Sequence[Point]) -> list[str]:
    out = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        rate = share * frame.top
        y = frame.y(rate)
        out.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#94a3b8" stroke-opacity="0.25"/>'
        )
        label = percent(rate)
        out.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="#64748b">{label}</text>')
    long = frame.end - frame.start > 2 * 86_400_000_000
    for k in range(5):
        at = frame.start + (frame.end - frame.start) * k // 4
        text = format_time(at)[:10] if long else format_time(at)[11:16]
        anchor = "start" if k == 0 else "end" if k == 4 else "middle"
        out.append(f'<text x="{frame.x(at):.1f}" y="{HEIGHT - 24}" text-anchor="{anchor}" fill="#64748b">{text}</text>')
    n = sum(p.n for p in points)
    out.append(
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 8}" text-anchor="end" fill="#94a3b8">n = {n:,} · times in UTC</text>'
    )
    return out


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
    out = []
    texts = []  # above all lines
    row = 0
    for at, label in sorted(marks):
        if not frame.start <= at <= frame.end:
            continue
        x = frame.x(at)
        anchor, shift = ("end", -5) if x > WIDTH * 0.6 else ("start", 5)
        y = TOP + 10 + 14 * (row % 4)
        row += 1
        out.append(
            f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#7c3aed" '
            'stroke-dasharray="4 2"/>'
        )
        texts.append(
            f'<text class="mark" x="{x + shift:.1f}" y="{y}" text-anchor="{anchor}" fill="#7c3aed" style="{HALO}">'
            f"{_safe(label[:60])}</text>"
        )
    return out + texts


def _describe(points: Sequence[Point]) -> str:
    beyond = sum(p.x / p.n > p.high + 1e-12 for p in points)
    first, last = points[0], points[-1]
    return (
        f"{len(points)} windows from {format_time(first.start_us)} to {format_time(last.end_us)}; centre line "
        f"{sum(p.centre for p in points) / len(points):.1%}; {beyond} windows above the limit; last window {last.x} of {last.n}."
    )


def _safe(text: str) -> str:
    """Hostile text for XML: markup escaped, characters that nobody sees (controls, direction marks) replaced."""
    return escape("".join(c if c.isprintable() else "\ufffd" for c in text), quote=True)
