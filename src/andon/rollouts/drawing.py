"""The effect of an experiment over time as one inline SVG: pure text, no script, colours from CSS with fallbacks."""

from collections.abc import Sequence
from html import escape
from typing import Literal, NamedTuple

__all__ = ["NARROW", "WIDTH", "Looked", "draw_effect"]

WIDTH, NARROW, HEIGHT = 860, 400, 300
"""Widths for a page and for a phone."""
LEFT, RIGHT, TOP, BOTTOM = 64, 18, 24, 46
HALO = 'paint-order="stroke" stroke="var(--page,#fff)" stroke-width="4" stroke-linejoin="round"'
"""Attributes, no style: a strict content policy refuses those."""
GOOD, BAD, BLUE = "var(--good,#15803d)", "var(--bad,#dc2626)", "var(--link,#2563eb)"
COLOURS = {"better": GOOD, "not worse": GOOD, "worse": BAD, "undecided": BLUE}
STEPS = (1, 2, 5)
HOUR_STEPS, DAY_STEPS = (1, 2, 3, 6, 12, 24), (1, 2, 7, 14, 28)


class Looked(NamedTuple):
    """One look."""

    days: float
    """Since the start."""
    effect: float
    low: float | None
    """Interval; None where none is known yet."""
    high: float | None
    verdict: Literal["better", "worse", "not worse", "undecided"]
    text: str
    """What the point says when it is pointed at."""


def draw_effect(
    looks: Sequence[Looked],
    *,
    title: str,
    planned: float,
    planned_label: str,
    unit: str = "",
    end: tuple[float, str] | None = None,
    until: float = 0.0,
    width: int = WIDTH,
) -> str:
    """Effect and interval of every look, no effect as a line, and the line that matters to the plan.

    Args:
        looks: in order; their effects in the unit in which they are shown.
        title: what is drawn; also the accessible name.
        planned: the effect that is worth having, or the harm that is accepted.
        planned_label: says which.
        unit: behind the numbers of the axis.
        end: (days, word) of the decision.
        until: days of the last look, which may have read no effect.
        width: units across, at least 300.

    Returns:
        An ``<svg>`` element that scales to its container, or a paragraph where nothing was looked at.
    """
    if not looks:
        return '<p class="empty">No look has read an effect yet, so there is nothing to draw.</p>'
    frame = _Frame(looks, planned, width, end, until)
    out = [
        f'<svg viewBox="0 0 {width} {HEIGHT}" role="img" aria-label="{_safe(title)}" class="chart" '
        'xmlns="http://www.w3.org/2000/svg" font-family="system-ui, sans-serif" font-size="11">',
        f"<title>{_safe(title)}</title>",
        f"<desc>{_safe(looks[-1].text)}</desc>",
        *_axes(frame, unit),
        *_intervals(frame, looks),
        *_lines(frame, planned, planned_label),
        *_points(frame, looks),
        *_end(frame, end),
        "</svg>",
    ]
    return "".join(out)


class _Frame:
    """Where values lie on the paper. What reaches far beyond the rest, as first intervals do, is cut off."""

    def __init__(
        self, looks: Sequence[Looked], planned: float, width: int, end: tuple[float, str] | None, until: float
    ) -> None:
        self.right = width - RIGHT
        self.end = max(looks[-1].days, end[0] if end else 0.0, until, 1e-9)
        inner = [0.0, planned, *(p.effect for p in looks[len(looks) // 3 :])]
        later = [p for p in looks[len(looks) // 2 :] if p.low is not None and p.high is not None]
        inner += [v for p in later for v in (p.low, p.high) if v is not None]
        low, high = min(inner), max(inner)
        pad = 0.08 * (high - low) or 1.0
        self.low, self.high = low - pad, high + pad

    def x(self, days: float) -> float:
        return LEFT + days / self.end * (self.right - LEFT)

    def y(self, value: float) -> float:
        inside = min(max(value, self.low), self.high)
        return HEIGHT - BOTTOM - (inside - self.low) / (self.high - self.low) * (HEIGHT - TOP - BOTTOM)


def _axes(frame: _Frame, unit: str) -> list[str]:
    out = []
    step = _step((frame.high - frame.low) / 6)
    first = round(-(-frame.low // step))
    for k in range(first, first + 12):
        value = k * step
        if value > frame.high:
            break
        y = frame.y(value)
        out.append(
            f'<line x1="{LEFT}" x2="{frame.right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#94a3b8" stroke-opacity="0.25"/>'
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="#64748b">{_signed(value)}</text>'
        )
    hours = frame.end < 4
    span = frame.end * 24 if hours else frame.end
    most = 8 if frame.right > 500 else 4
    each = next((s for s in (HOUR_STEPS if hours else DAY_STEPS) if span <= s * most), 28)
    for k in range(int(span / each + 1e-9) + 1):
        x = frame.x(k * each / 24 if hours else k * each)
        anchor = "start" if k == 0 else "end" if x > frame.right - 20 else "middle"
        out.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM + 4}" stroke="#94a3b8"/>'
            f'<text x="{x:.1f}" y="{HEIGHT - 26}" text-anchor="{anchor}" fill="#64748b">{k * each}</text>'
        )
    word = "hours" if hours else "days"
    out.append(
        f'<text x="{frame.right}" y="{HEIGHT - 8}" text-anchor="end" fill="#94a3b8">{word} since the start</text>'
        f'<text x="{LEFT - 8}" y="{TOP - 10}" text-anchor="end" fill="#94a3b8">{_safe(unit)}</text>'
    )
    return out


def _intervals(frame: _Frame, looks: Sequence[Looked]) -> list[str]:
    known = [(p.days, p.low, p.high, p.verdict) for p in looks if p.low is not None and p.high is not None]
    out = []
    if len(known) > 1:
        upper = [f"{frame.x(d):.1f},{frame.y(high):.1f}" for d, _, high, _ in known]
        lower = [f"{frame.x(d):.1f},{frame.y(low):.1f}" for d, low, _, _ in reversed(known)]
        out.append(f'<polygon points="{" ".join(upper + lower)}" fill="{BLUE}" fill-opacity="0.12"/>')
    for days, low, high, verdict in known if len(known) <= 40 else known[-1:]:
        x = frame.x(days)
        out.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{frame.y(low):.1f}" y2="{frame.y(high):.1f}" stroke="{COLOURS[verdict]}" '
            'stroke-opacity="0.55" stroke-width="1.5"/>'
        )
    return out


def _lines(frame: _Frame, planned: float, label: str) -> list[str]:
    """No effect, and the line of the plan; the labels lie on the left, on the outer sides, where first intervals seldom are read."""
    out = []
    zero, line = frame.y(0.0), frame.y(planned)
    places = (
        ("no effect", zero, "var(--soft,#64748b)", "", line < zero),
        (label, line, "var(--ask,#b45309)", ' stroke-dasharray="5 4"', zero < line),
    )
    for text, y, colour, dashes, below in places:
        at = y + 14 if below else y - 5
        out.append(
            f'<line x1="{LEFT}" x2="{frame.right}" y1="{y:.1f}" y2="{y:.1f}" stroke="{colour}"{dashes}/>'
            f'<text x="{LEFT + 6}" y="{at:.1f}" fill="{colour}" {HALO}>{_safe(text)}</text>'
        )
    return out


def _points(frame: _Frame, looks: Sequence[Looked]) -> list[str]:
    path = " ".join(f"{frame.x(p.days):.1f},{frame.y(p.effect):.1f}" for p in looks)
    out = [f'<polyline points="{path}" fill="none" stroke="{BLUE}" stroke-width="1.5" stroke-linejoin="round"/>']
    for p in looks:
        radius = 4.0 if p is looks[-1] else 2.6
        out.append(
            f'<circle cx="{frame.x(p.days):.1f}" cy="{frame.y(p.effect):.1f}" r="{radius}" fill="{COLOURS[p.verdict]}">'
            f"<title>{_safe(p.text)}</title></circle>"
        )
    return out


def _end(frame: _Frame, end: tuple[float, str] | None) -> list[str]:
    if end is None:
        return []
    x = frame.x(min(end[0], frame.end))
    return [
        f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 4}" y2="{HEIGHT - BOTTOM}" stroke="#7c3aed" stroke-dasharray="4 2"/>'
        f'<text class="mark" x="{x - 5:.1f}" y="{TOP - 8}" text-anchor="end" fill="#7c3aed" {HALO}>{_safe(end[1])}</text>'
    ]


def _step(rough: float) -> float:
    """The next larger of 1, 2 and 5 times a power of ten."""
    power = 10.0 ** int(f"{rough:e}".partition("e")[2])
    return next((m * power for m in STEPS if m * power >= rough), 10 * power)


def _signed(value: float) -> str:
    return f"{value + 0.0:+.3g}".replace("-", "−") if abs(value) > 1e-12 else "0"


def _safe(text: str) -> str:
    """Hostile text for XML: markup escaped, characters that nobody sees (controls, direction marks) replaced."""
    return escape("".join(c if c.isprintable() else "\ufffd" for c in text[:500]), quote=True)
