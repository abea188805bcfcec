"""A control chart as one inline SVG: pure text, no script, no style attribute.

Colours are attributes, so that a file by itself has them; a page says its own by the classes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from html import escape
from itertools import pairwise
from typing import Literal
from unicodedata import east_asian_width

from andon.monitors.records import Point
from andon.monitors.verdicts import percent
from andon.traffic import format_time

__all__ = ["NARROW", "WIDTH", "Kind", "Mark", "draw_chart"]

WIDTH, NARROW, HEIGHT = 860, 400, 300
"""Widths for a page and for a phone, where a wide chart is either cut or too small to read."""
HALO = 'stroke="#fff" stroke-width="4" stroke-linejoin="round" paint-order="stroke"'
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
SMALLEST = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)
"""Rates at which the axis may end; else at 1."""
Kind = Literal["alarm", "change", "pull", "other"]
_COLOURS: dict[str, str] = {"alarm": "#dc2626", "change": "#7c3aed", "pull": "#0f766e", "other": "#7c3aed"}
_DASHES: dict[str, str] = {"alarm": "", "change": ' stroke-dasharray="4 2"', "pull": ' stroke-dasharray="1.5 3"'}
_SHAPES: dict[str, str] = {
    "alarm": "M{x:.1f} {y:.1f}l-5.5-9h11z",
    "change": "M{x:.1f} {y:.1f}l-5-5 5-5 5 5z",
    "pull": "M{a:.1f} {y:.1f}v-9h9v9z",
}
"""A triangle, a diamond and a square: what happened is not told by colour alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Something that happened, as a line across the chart."""

    at_us: int
    text: str = ""
    """Its label; hostile input, and escaped. Empty: only the line, and its shape."""
    kind: Kind = "other"
    link: str = ""
    """Where it leads."""
    title: str = ""
    """What it says when it is pointed at; the label unless given."""


def draw_chart(
    points: Sequence[Point],
    *,
    title: str,
    marks: Sequence[tuple[int, str] | Mark] = (),
    onset: tuple[int, int] | None = None,
    onsets: Sequence[tuple[int, int]] = (),
    width: int = WIDTH,
    link: Callable[[Point], str] | None = None,
    span: tuple[int, int] | None = None,
    zone: tzinfo = UTC,
    limits: bool = True,
) -> str:
    """A p-chart with stepped limits, centre line, points, a band for the onset's interval and labelled marks.

    Args:
        points: the windows, in order of time.
        title: what the rate is; also the accessible name.
        marks: changes, alarms, pulls, as `Mark` or (time_us, label); labels are hostile input and escaped.
        onset: the 95 % interval of the onset.
        onsets: those of several.
        width: units across, at least 300; `NARROW` for a phone. Letters keep their size, so a narrow chart stays legible.
        link: where a point leads; it is then hit anywhere in its column.
        span: first and last time of the axis, in microseconds; that of the points unless given.
        zone: of the times on the axis.
        limits: whether limits are drawn, and points beyond them marked; of missing traffic they say nothing to the eye.

    Returns:
        The text of an ``<svg>`` element that scales to its container.
    """
    if not points:
        return f'<p class="empty">No observations to draw for {_safe(title)}.</p>'
    if not limits:
        points = [replace(p, low=0.0, high=1.0) for p in points]
    frame = _Frame(points, width, span, zone, limits=limits)
    role = "group" if link is not None else "img"  # what is in an image has no links
    out = [
        f'<svg viewBox="0 0 {width} {HEIGHT}" role="{role}" aria-label="{_safe(title)}" class="chart" '
        f'data-plot="{LEFT} {frame.right} {width}" data-span="{frame.start} {frame.end}" '
        'xmlns="http://www.w3.org/2000/svg" font-family="system-ui, sans-serif" font-size="11">',
        f"<title>{_safe(title)}</title>",
        f"<desc>{escape(_describe(points))}</desc>",
    ]
    out += _axes(frame, points)
    for low, high in (*onsets, *([onset] if onset is not None else [])):
        if low < frame.end and high > frame.start:
            left, right = frame.x(max(low, frame.start)), frame.x(min(high, frame.end))
            out.append(
                f'<rect class="onset" x="{left:.1f}" y="{TOP}" width="{max(2.0, right - left):.1f}" '
                f'height="{HEIGHT - TOP - BOTTOM}" fill="#d97706" fill-opacity="0.18"/>'
            )
    out += _limits(frame, points) if limits else []
    out += _series(frame, points, link)
    out += _marks(frame, [m if isinstance(m, Mark) else Mark(at_us=m[0], text=m[1]) for m in marks])
    out.append("</svg>")
    return "".join(out)


class _Frame:
    """Where values lie on the paper."""

    def __init__(
        self, points: Sequence[Point], width: int, span: tuple[int, int] | None, zone: tzinfo, *, limits: bool
    ) -> None:
        self.right, self.zone = width - RIGHT, zone
        start, end = points[0].start_us, points[-1].end_us
        self.start, self.end = (start, end) if span is None else (min(start, span[0]), max(end, span[1]))
        highest = max(max(p.x / p.n, min(p.high, 1.0) if limits else 0.0) for p in points)
        self.top = next((t for t in SMALLEST if highest <= t * 0.95), 1.0)

    def x(self, time_us: float) -> float:
        return LEFT + (time_us - self.start) / max(1, self.end - self.start) * (self.right - LEFT)

    def clock(self, time_us: int) -> str:
        """A time of the axis: ``2026-03-08T12:00``."""
        return f"{datetime.fromtimestamp(time_us / 1e6, self.zone):%Y-%m-%dT%H:%M}"

    @property
    def ahead_us(self) -> int:
        """How far the clock of the axis is ahead of UTC."""
        ahead = datetime.fromtimestamp(self.end / 1e6, self.zone).utcoffset()
        return 0 if ahead is None else round(ahead.total_seconds() * 1e6)

    def y(self, rate: float) -> float:
        return HEIGHT - BOTTOM - min(rate, self.top) / self.top * (HEIGHT - TOP - BOTTOM)


def _axes(frame: _Frame, points: Sequence[Point]) -> list[str]:
    out = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        rate = share * frame.top
        y = frame.y(rate)
        out.append(
            f'<line x1="{LEFT}" x2="{frame.right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#94a3b8" stroke-opacity="0.25" class="grid"/>'
        )
        label = percent(rate)
        out.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="#64748b">{label}</text>')
    for at, text in _times(frame):
        x, half = frame.x(at), len(text) * LETTER / 2
        place = min(max(x, LEFT + half), frame.right - half)  # whole, at both ends
        out.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM + 4}" stroke="#94a3b8" class="tick"/>'
        )
        out.append(f'<text x="{place:.1f}" y="{HEIGHT - 24}" text-anchor="middle" fill="#64748b">{text}</text>')
    n = sum(p.n for p in points)
    out.append(
        f'<text x="{frame.right}" y="{HEIGHT - 8}" text-anchor="end" fill="#64748b">n = {n:,} · times in {_safe(str(frame.zone))}</text>'
    )
    return out


def _times(frame: _Frame) -> list[tuple[int, str]]:
    """Round times for the axis and how they are written: ``03-08 12:00`` below four days, else ``2026-03-08``."""
    span = frame.end - frame.start
    most = 6 if frame.right - LEFT > 500 else 3
    step = next((s for s in STEPS if span <= s * most), -(-span // most))
    ahead = frame.ahead_us
    first = -(-(frame.start + ahead) // step) * step - ahead
    places = list(range(first, frame.end + 1, step)) or [frame.start]
    part = slice(5, 16) if span < CLOCK_SPAN else slice(0, 10)
    return [(at, frame.clock(at)[part].replace("T", " ")) for at in places[: most + 1]]


def _limits(frame: _Frame, points: Sequence[Point]) -> list[str]:
    upper = [f"{frame.x(t):.1f},{frame.y(p.high):.1f}" for p in points for t in (p.start_us, p.end_us)]
    lower = [f"{frame.x(t):.1f},{frame.y(p.low):.1f}" for p in reversed(points) for t in (p.end_us, p.start_us)]
    centre = [f"{frame.x(t):.1f},{frame.y(p.centre):.1f}" for p in points for t in (p.start_us, p.end_us)]
    line = 'fill="none" stroke="#64748b"'
    return [
        f'<polygon class="limits" points="{" ".join(upper + lower)}" fill="#64748b" fill-opacity="0.12"/>',
        f'<polyline class="limit" points="{" ".join(upper)}" {line} stroke-opacity="0.6" stroke-dasharray="3 3"/>',
        f'<polyline class="centre" points="{" ".join(centre)}" {line}/>',
    ]


def _series(frame: _Frame, points: Sequence[Point], link: Callable[[Point], str] | None) -> list[str]:
    middle = [(frame.x((p.start_us + p.end_us) / 2), frame.y(p.x / p.n), p) for p in points]
    runs = [middle[:1]]
    for before, here in pairwise(middle):
        if here[2].start_us - before[2].end_us > before[2].end_us - before[2].start_us:
            runs.append([])  # what is missing is a gap
        runs[-1].append(here)
    out = []
    for run in (r for r in runs if len(r) > 1):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in run)
        out.append(
            f'<polyline class="line" points="{path}" fill="none" stroke="#2563eb" stroke-width="1.5" stroke-linejoin="round"/>'
        )
    for x, y, p in middle:
        beyond = p.x / p.n > p.high + 1e-12
        colour, radius = ("#dc2626", 3.4) if beyond else ("#2563eb", 2.0)
        title = f"<title>{_at(frame, p.start_us)}: {p.x} of {p.n} ({percent(p.x / p.n)})</title>"
        place = f'class="point{" beyond" if beyond else ""}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}"'
        if link is None:
            out.append(f"<circle {place}>{title}</circle>")
        else:
            out.append(f'<a href="{_safe(link(p))}" tabindex="-1">{title}{_column(frame, p)}<circle {place}/></a>')
    return out


def _at(frame: _Frame, time_us: int) -> str:
    """A time as people read it when they point at it."""
    return format_time(time_us) if frame.zone is UTC else frame.clock(time_us).replace("T", " ")


def _column(frame: _Frame, p: Point) -> str:
    """All of the paper above and below a point, to be hit."""
    left, right = frame.x(p.start_us), frame.x(p.end_us)
    return (
        f'<rect class="hit" x="{left:.1f}" y="{TOP}" width="{max(1.0, right - left):.1f}" '
        f'height="{HEIGHT - TOP - BOTTOM}" fill="#64748b" fill-opacity="0"/>'
    )


def _marks(frame: _Frame, marks: Sequence[Mark]) -> list[str]:
    """Lines with labels: each label beside its own line, on the side where it crosses no other, in a row that is free.

    Right of its line if there is room before the next one, else left if there is room after the one before, else where
    there is more; so a label is never nearer to another's line than to its own where both fit.
    """
    inside = sorted((m for m in marks if frame.start <= m.at_us <= frame.end), key=lambda m: (m.at_us, m.text))
    shown = [(frame.x(m.at_us), _safe_text(m.text[:60]), m) for m in inside]
    places = sorted({x for x, _, _ in shown})
    out = [_line(x, next(m for at, _, m in shown if at == x)) for x in places]
    taken: list[tuple[float, float, int]] = []
    for x, label, mark in shown:
        if not label:
            out.append(_linked(mark, _shape(mark.kind, x)))
            continue
        long = _length(label) + 10
        room_right = min((p for p in places if p > x), default=frame.right) - x
        room_left = x - max((p for p in places if p < x), default=LEFT)
        on_right = long <= room_right or (long > room_left and _room(frame, x, long, room_left, room_right))
        low, high = (x, x + long) if on_right else (x - long, x)
        row = next(r for r in range(len(taken) + 1) if all(r != t or high <= a or low >= b for a, b, t in taken))
        taken.append((low, high, row))
        anchor, shift = ("start", 5) if on_right else ("end", -5)
        text = (
            f'<text class="{_name(mark)}" x="{x + shift:.1f}" y="{TOP - 6 + ROW * row}" text-anchor="{anchor}" '
            f'fill="{_COLOURS[mark.kind]}" {HALO}>{escape(label, quote=True)}</text>'
        )
        out.append(_linked(mark, _shape(mark.kind, x) + text))
    return out


def _name(mark: Mark) -> str:
    return "mark" if mark.kind == "other" else f"mark {mark.kind}"


def _line(x: float, mark: Mark) -> str:
    dashes = _DASHES.get(mark.kind, _DASHES["change"])
    return (
        f'<line class="{_name(mark)}" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 14}" y2="{HEIGHT - BOTTOM}" '
        f'stroke="{_COLOURS[mark.kind]}"{dashes}/>'
    )


def _shape(kind: Kind, x: float) -> str:
    """What stands on the axis at the foot of a line, by its kind."""
    if kind not in _SHAPES:
        return ""
    path = _SHAPES[kind].format(x=x, a=x - 4.5, y=HEIGHT - BOTTOM)
    return f'<path class="foot {kind}" d="{path}" fill="{_COLOURS[kind]}"/>'


def _linked(mark: Mark, inside: str) -> str:
    title = mark.title or mark.text if mark.link or mark.title else ""
    told = f"<title>{_safe(title[:300])}</title>" if title else ""
    if mark.link:
        hit = inside.replace("<path ", '<path stroke="#000" stroke-opacity="0" stroke-width="14" ', 1)
        return f'<a href="{_safe(mark.link)}">{told}{hit}</a>'
    return f"<g>{told}{inside}</g>" if told else inside


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
