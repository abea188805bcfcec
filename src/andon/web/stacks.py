"""Counts of several kinds as stacked columns: inline SVG, colours by class."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup, escape

__all__ = ["stacks"]

WIDE, HIGH, FOOT = 720, 200, 34


def stacks(
    columns: Sequence[tuple[str, Mapping[str, int]]],
    kinds: Sequence[str],
    label: str,
    *,
    band: tuple[int, int] | None = None,
) -> Markup:
    """One column for each period, stacked by kind.

    Args:
        columns: name of the period, and counts by kind.
        kinds: in the order in which they are stacked; class ``o1`` and so on.
        label: what it shows, for who cannot see it.
        band: a range of totals that is wanted, drawn behind.
    """
    totals = [sum(by.values()) for _, by in columns]
    top = max([*totals, band[1] + 1 if band else 1, 1])
    width, ground = (WIDE - 34) / max(1, len(columns)), HIGH - FOOT

    def y(n: float) -> float:
        return ground - (ground - 16) * n / top

    parts = []
    if band:
        low, high = band
        parts.append(
            f'<rect class="wanted" x="34" y="{y(high):.1f}" width="{WIDE - 34}" height="{y(low) - y(high):.1f}"/>'
        )
        parts += [f'<text class="tick" x="28" y="{y(n) + 4:.1f}" text-anchor="end">{n}</text>' for n in band]
    parts.append(f'<path class="ground" d="M34 {ground}H{WIDE}"/>')
    for k, (name, by) in enumerate(columns):
        x, at = 34 + k * width, 0
        for n, kind in enumerate(kinds, 1):
            count = by.get(kind, 0)
            if not count:
                continue
            title = f"<title>{escape(f'{name}: {count} {kind}')}</title>"
            parts.append(
                f'<rect class="o{n}" x="{x + width * 0.14:.1f}" y="{y(at + count):.1f}" width="{width * 0.72:.1f}" '
                f'height="{max(1.0, y(at) - y(at + count)):.1f}">{title}</rect>'
            )
            at += count
        middle = f'x="{x + width / 2:.1f}" text-anchor="middle"'
        if at:
            parts.append(f'<text class="sum" {middle} y="{y(at) - 5:.1f}">{at}</text>')
        parts.append(f'<text class="tick" {middle} y="{ground + 16}">{escape(name)}</text>')
    said = "; ".join(f"{name}: {total}" for (name, _), total in zip(columns, totals, strict=True))
    return Markup('<svg class="stacks" viewBox="0 0 {} {}" role="img" aria-label="{}. {}">{}</svg>').format(
        WIDE,
        HIGH,
        label,
        said,
        Markup("".join(parts)),  # noqa: S704 - escaped above
    )
