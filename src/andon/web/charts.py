"""Small drawings as inline SVG: pure text, no script, no style attribute; colours come from the style sheet by class."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, log, nan

from markupsafe import Markup, escape

__all__ = ["Stop", "bars", "interval", "loop", "meter", "share", "span", "span_axis", "spark", "strip"]


def spark(
    values: Sequence[float | None], label: str, *, limit: float | None = None, tone: str = "", least: float = 0.0
) -> Markup:
    """A line without axes: the course of one figure. What is missing is a gap, never a zero.

    Args:
        values: in order of time; None and NaN where nothing is known.
        label: what it shows, for who cannot see it.
        limit: a level that is drawn as a dashed line.
        tone: ``bad`` or ``warn``, where it is.
        least: up to where the scale goes at least.
    """
    known = [nan if v is None else float(v) for v in values]
    there = [v for v in known if isfinite(v)]
    if not there:
        return Markup('<svg class="spark" viewBox="0 0 100 36" role="img" aria-label="{}: nothing yet"></svg>').format(
            label
        )
    top = max([*there, limit or 0.0, least]) or 1.0
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
    return Markup(
        '<svg class="bars" viewBox="0 0 1000 56" preserveAspectRatio="none" role="{}" aria-label="{}">{}</svg>'
    ).format(
        "group" if links else "img",
        label,
        Markup("".join(parts)),  # noqa: S704 - escaped above
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


WIDE, HIGH, BOX, TALL = 1000, 262, 146, 84


def loop(stops: Sequence[Stop], motto: str = "") -> Markup:
    """The loop as a picture: the stages around a ring, each with what it holds now, each a link.

    Args:
        stops: in the order of the loop; the first half runs along the top, the second back along the bottom.
        motto: a sentence in the middle.
    """
    half = (len(stops) + 1) // 2
    places = [(_across(n, half), 4.0) for n in range(half)]
    places += [(_across(half - 1 - n, half), HIGH - TALL - 4.0) for n in range(len(stops) - half)]
    top, bottom = 4 + TALL / 2, HIGH - 4 - TALL / 2
    left, right, bend = BOX / 2, WIDE - BOX / 2, (bottom - top) / 2
    parts = [
        f'<path class="track" d="M{left} {top}H{right}a{bend} {bend} 0 0 1 0 {bottom - top}H{left}a{bend} {bend} 0 0 1 0 {top - bottom}z"/>'
    ]
    gaps = [(_across(n, half) + BOX + (_across(1, half) - BOX) / 2) for n in range(half - 1)]
    parts += [f'<path class="way" d="M{x - 3:.1f} {top - 5}l6 5-6 5"/>' for x in gaps]
    parts += [f'<path class="way" d="M{x + 3:.1f} {bottom - 5}l-6 5 6 5"/>' for x in gaps]
    parts.append(
        f'<path class="way" d="M{right + bend - 5:.1f} {HIGH / 2 - 3}l5 6 5-6M{left - bend - 5:.1f} {HIGH / 2 + 3}l5-6 5 6"/>'
    )
    if motto:
        parts.append(
            f'<text class="motto" x="{WIDE / 2}" y="{HIGH / 2 + 5}" text-anchor="middle">{escape(motto)}</text>'
        )
    for stop, (x, y) in zip(stops, places, strict=True):
        parts.append(
            f'<a href="{escape(stop.link)}" class="stop {escape(stop.tone)}"><rect x="{x:.1f}" y="{y:.1f}" width="{BOX}" height="{TALL}" rx="10"/>'
            f'<text class="name" x="{x + 12:.1f}" y="{y + 23:.1f}">{escape(stop.title)}</text>'
            f'<text class="count" x="{x + 12:.1f}" y="{y + 50:.1f}">{escape(stop.count)}</text>'
            f'<text class="note" x="{x + 12:.1f}" y="{y + 70:.1f}">{escape(stop.note)}</text></a>'
        )
    said = "; ".join(f"{s.title}: {s.count} {s.note}" for s in stops)
    return Markup('<svg class="loop" viewBox="-50 0 1100 {}" role="group" aria-label="The loop. {}">{}</svg>').format(
        HIGH,
        said,
        Markup("".join(parts)),  # noqa: S704 - escaped above
    )


def _across(n: int, of: int) -> float:
    return n * (WIDE - BOX) / max(1, of - 1)


TICKS_S = (
    (60, "1 min"),
    (600, "10 min"),
    (3_600, "1 h"),
    (21_600, "6 h"),
    (86_400, "1 d"),
    (604_800, "1 w"),
    (2_592_000, "30 d"),
)


def span_axis() -> Markup:
    """The scale under `span`: from ten seconds to half a year, each factor as wide as any other of its size."""
    parts = [
        f'<text x="{_of_time(s):.2f}%" y="12" text-anchor="middle"{_thin(n)}>{word}</text>'
        for n, (s, word) in enumerate(TICKS_S)
    ]
    return Markup('<svg class="span axis" width="100%" height="16" aria-hidden="true">{}</svg>').format(
        Markup("".join(parts))  # noqa: S704 - numbers and words of ours
    )


def span(
    label: str, *, shortest: float | None, longest: float | None, middle: float | None = None, low: float | None = None,
    high: float | None = None,
) -> Markup:  # fmt: skip
    """How long something took, on the scale of `span_axis`.

    A thin line goes from the shortest to the longest, a band is the interval of the median, a dot the median.

    Args:
        label: all of it in words, for who cannot see it.
        shortest: in seconds; None: it never happened.
        longest: in seconds.
        middle: the median; None: too few to tell.
        low: where its interval begins.
        high: where it ends.
    """
    parts = [f'<line class="tick" x1="{_of_time(s):.2f}%" x2="{_of_time(s):.2f}%" y1="0" y2="22"/>' for s, _ in TICKS_S]
    if shortest is not None and longest is not None:
        a, b = _of_time(shortest), _of_time(longest)
        parts.append(f'<line class="whole" x1="{a:.2f}%" x2="{max(b, a + 0.4):.2f}%" y1="11" y2="11"/>')
        if middle is None:
            parts += [f'<circle class="end" cx="{x:.2f}%" cy="11" r="3.5"/>' for x in {a, b}]
    if middle is not None and low is not None and high is not None:
        a, b = _of_time(low), _of_time(high)
        parts.append(f'<rect class="band" x="{a:.2f}%" width="{max(0.6, b - a):.2f}%" y="6" height="10" rx="3"/>')
        parts.append(f'<circle class="middle" cx="{_of_time(middle):.2f}%" cy="11" r="4.5"/>')
    return Markup('<svg class="span" width="100%" height="22" role="img" aria-label="{}">{}</svg>').format(
        label,
        Markup("".join(parts)),  # noqa: S704 - numbers only
    )


def share(x: int, n: int, low: float, high: float, label: str, *, tone: str = "") -> Markup:
    """A share with its interval, on a scale from none to all; with n = 0 the empty scale."""
    parts = ['<line class="tick" x1="0%" x2="0%" y1="3" y2="19"/><line class="tick" x1="50%" x2="50%" y1="3" y2="19"/>']
    parts.append(
        '<line class="tick" x1="100%" x2="100%" y1="3" y2="19"/><line class="whole" x1="0%" x2="100%" y1="11" y2="11"/>'
    )
    if n:
        parts.append(
            f'<rect class="band" x="{100 * low:.2f}%" width="{max(0.6, 100 * (high - low)):.2f}%" y="6" height="10" rx="3"/>'
        )
        parts.append(f'<circle class="middle" cx="{min(99.0, max(1.0, 100 * x / n)):.2f}%" cy="11" r="4.5"/>')
    return Markup('<svg class="span {}" width="100%" height="22" role="img" aria-label="{}">{}</svg>').format(
        tone,
        label,
        Markup("".join(parts)),  # noqa: S704 - numbers only
    )


def interval(
    low: float | None, value: float | None, high: float | None, label: str, *, reach: float, tone: str = "", mark: float | None = None,
) -> Markup:  # fmt: skip
    """A difference with its interval around zero, on a scale from ``-reach`` to ``reach``; what lies beyond is cut off.

    Args:
        low: where the interval begins; None: nothing is known.
        value: the difference.
        high: where the interval ends.
        label: all of it in words, for who cannot see it.
        reach: the same for drawings that are read together.
        tone: ``good``, ``bad`` or ``warn``, where the interval says so.
        mark: a limit that is drawn as a dashed line, such as what is accepted.
    """

    def x(at: float) -> float:
        return 50 + 50 * min(1.0, max(-1.0, at / (reach or 1.0))) * 0.98

    parts = ['<line class="zero" x1="50%" x2="50%" y1="0" y2="22"/>']
    if mark is not None and abs(mark) <= reach:
        parts.append(f'<line class="accepted" x1="{x(mark):.2f}%" x2="{x(mark):.2f}%" y1="1" y2="21"/>')
    if low is not None and high is not None:
        parts.append(
            f'<rect class="band" x="{x(low):.2f}%" width="{max(0.6, x(high) - x(low)):.2f}%" y="6" height="10" rx="3"/>'
        )
    if value is not None:
        parts.append(f'<circle class="middle" cx="{x(value):.2f}%" cy="11" r="4.5"/>')
    return Markup('<svg class="interval-bar {}" width="100%" height="22" role="img" aria-label="{}">{}</svg>').format(
        tone,
        label,
        Markup("".join(parts)),  # noqa: S704 - numbers only
    )


def strip(words: Sequence[str], label: str, *, links: Sequence[str] = (), titles: Sequence[str] = ()) -> Markup:
    """Outcomes one after the other: ``pass`` is low and full, ``fail`` high and full, ``error`` hollow; so colour is not the only sign.

    Args:
        words: in order of time.
        label: what they are, for who cannot see them.
        links: where each leads.
        titles: what each says when it is pointed at.
    """
    parts = []
    for n, word in enumerate(words):
        y, high = (8, 10) if word == "pass" else (2, 16)
        kind = word if word in ("pass", "fail", "error") else "error"
        title = f"<title>{escape(titles[n])}</title>" if n < len(titles) else ""
        box = f'<rect class="{kind}" x="{n * 9 + 1}" y="{y}" width="6" height="{high}" rx="1.5">{title}</rect>'
        parts.append(f'<a href="{escape(links[n])}" tabindex="-1">{box}</a>' if n < len(links) and links[n] else box)
    wide = max(9, 9 * len(words))
    return Markup(
        '<svg class="strip-of" viewBox="0 0 {} 20" width="{}" height="20" role="img" aria-label="{}">{}</svg>'
    ).format(
        wide,
        wide,
        label,
        Markup("".join(parts)),  # noqa: S704 - escaped above
    )


def _of_time(seconds: float) -> float:
    """Where a duration lies between ten seconds and 180 days, in per cent, by its logarithm."""
    shortest, longest = 10.0, 180 * 86_400.0
    return 100 * log(min(max(seconds, shortest), longest) / shortest) / log(longest / shortest)


def _thin(n: int) -> str:
    """Every second word is left out where it is narrow."""
    return ' class="thin"' if n % 2 else ""
