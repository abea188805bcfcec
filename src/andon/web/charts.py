"""Small drawings as inline SVG: pure text, no script, no style attribute; colours come from the style sheet by class."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, nan

from markupsafe import Markup, escape

__all__ = ["Stop", "bars", "loop", "meter", "spark"]


def spark(values: Sequence[float | None], label: str, *, limit: float | None = None, tone: str = "") -> Markup:
    """A line without axes: the course of one figure. What is missing is a gap, never a zero.

    Args:
        values: in order of time; None and NaN where nothing is known.
        label: what it shows, for who cannot see it.
        limit: a level that is drawn as a dashed line.
        tone: ``bad`` or ``warn``, where it is.
    """
    known = [nan if v is None else float(v) for v in values]
    there = [v for v in known if isfinite(v)]
    if not there:
        return Markup('<svg class="spark" viewBox="0 0 100 36" role="img" aria-label="{}: nothing yet"></svg>').format(label)
    top = max([*there, limit or 0.0]) or 1.0
    step = 100 / max(1, len(known) - 1)

    def y(value: float) -> float:
        return 34 - 32 * value / top

    runs: list[list[tuple[float, float]]] = [[]]
    for n, v in enumerate(known):
        if isfinite(v):
            runs[-1].append((n * step, y(v)))
        elif runs[-1]:
            runs.append([])
    parts = []
    for run in filter(None, runs):
        points = " ".join(f"{x:.1f},{v:.1f}" for x, v in run)
        if len(run) == 1:
            parts.append(f'<path class="line" d="M{run[0][0]:.1f} {run[0][1]:.1f}h.01" stroke-linecap="round"/>')
            continue
        parts.append(f'<polygon class="area" points="{run[0][0]:.1f},36 {points} {run[-1][0]:.1f},36"/>')
        parts.append(f'<polyline class="line" points="{points}"/>')
    if limit is not None:
        parts.append(f'<path class="limit" d="M0 {y(limit):.1f}H100"/>')
    return Markup(
        '<svg class="spark {}" viewBox="0 0 100 36" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
    ).format(tone, label, Markup("".join(parts)))  # noqa: S704 - numbers only


def bars(counts: Sequence[float], label: str, *, links: Sequence[str] = (), titles: Sequence[str] = ()) -> Markup:
    """Counts as bars, each a link where there are links.

    Args:
        counts: in order.
        label: what they are, for who cannot see them.
        links: where each bar leads.
        titles: what each bar says when it is pointed at.
    """
    top, width = max([*counts, 1]), 1000 / max(1, len(counts))
    parts = []
    for n, count in enumerate(counts):
        high = 0 if count <= 0 else max(1.5, 54 * count / top)
        title = f"<title>{escape(titles[n])}</title>" if titles else ""
        bar = (
            f'<rect x="{n * width + 0.5:.1f}" y="{56 - high:.1f}" width="{max(0.5, width - 1):.1f}" height="{high:.1f}">'
            f"{title}</rect>"
        )
        if links:
            bar = f'<a href="{escape(links[n])}" tabindex="-1">{bar}</a>'
        parts.append(bar)
    return Markup('<svg class="bars" viewBox="0 0 1000 56" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>').format(
        label, Markup("".join(parts))  # noqa: S704 - escaped above
    )


def meter(share: float | None, label: str, *, tone: str = "") -> Markup:
    """How much of a whole, 0..1; None: not known."""
    part = 0.0 if share is None else 100 * min(1.0, max(0.0, share))
    return Markup(
        '<svg class="meter {}" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<rect class="all" width="100" height="8" rx="1"/><rect class="part" width="{}" height="8" rx="1"/></svg>'
    ).format(tone, label, f"{part:.1f}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """One stage of the loop in its picture."""

    title: str
    count: str
    """What it holds now, as a short text."""
    note: str
    link: str
    tone: str = ""


WIDE, HIGH, BOX, TALL = 1000, 252, 148, 84


def loop(stops: Sequence[Stop]) -> Markup:
    """The loop as a picture: the stages around a ring, each with what it holds now, each a link.

    Args:
        stops: in the order of the loop; the first half runs along the top, the second back along the bottom.
    """
    half = (len(stops) + 1) // 2
    places = [(_across(n, half), 4.0) for n in range(half)]
    places += [(_across(half - 1 - n, half), HIGH - TALL - 4.0) for n in range(len(stops) - half)]
    top, bottom = 4 + TALL / 2, HIGH - 4 - TALL / 2
    left, right = BOX / 2, WIDE - BOX / 2
    parts = [
        f'<path class="track" d="M{left} {top}H{right}a{(bottom - top) / 2} {(bottom - top) / 2} 0 0 1 0 {bottom - top}H{left}'
        f'a{(bottom - top) / 2} {(bottom - top) / 2} 0 0 1 0 {top - bottom}z"/>'
    ]
    for stop, (x, y) in zip(stops, places, strict=True):
        parts.append(
            f'<a href="{escape(stop.link)}" class="stop {escape(stop.tone)}"><rect x="{x:.1f}" y="{y:.1f}" width="{BOX}" height="{TALL}" rx="10"/>'
            f'<text class="name" x="{x + 12:.1f}" y="{y + 23:.1f}">{escape(stop.title)}</text>'
            f'<text class="count" x="{x + 12:.1f}" y="{y + 50:.1f}">{escape(stop.count)}</text>'
            f'<text class="note" x="{x + 12:.1f}" y="{y + 70:.1f}">{escape(stop.note)}</text></a>'
        )
    said = "; ".join(f"{s.title}: {s.count} {s.note}" for s in stops)
    return Markup('<svg class="loop" viewBox="-50 0 1100 {}" role="group" aria-label="The loop. {}">{}</svg>').format(
        HIGH, said, Markup("".join(parts))  # noqa: S704 - escaped above
    )


def _across(n: int, of: int) -> float:
    return n * (WIDE - BOX) / max(1, of - 1)
