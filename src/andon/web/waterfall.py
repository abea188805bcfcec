"""Steps within the time of a whole, as bars: inline SVG, colours by class."""

from markupsafe import Markup

__all__ = ["bar"]


def bar(start: float, length: float, whole: float, label: str, *, kind: str = "other", bad: bool = False) -> Markup:
    """One step on the scale of the whole.

    Args:
        start: when it began, in the unit of `whole`.
        length: how long it took.
        whole: how long everything took.
        label: both in words, for who cannot see it.
        kind: of the step; a word of ours, used as a class.
        bad: whether it failed: then it is marked by more than its colour.
    """
    whole = whole if whole > 0 else 1.0
    x = min(99.5, max(0.0, 100 * start / whole))
    width = min(100.0 - x, max(0.5, 100 * length / whole))
    cross = f'<text class="x" x="{min(97.0, x + width / 2):.2f}%" y="12" text-anchor="middle">×</text>' if bad else ""
    return Markup(
        '<svg class="fall" width="100%" height="16" role="img" aria-label="{}"><line class="ground" x1="0" x2="100%" y1="8" y2="8"/>'
        '<rect class="{}" x="{}%" y="3" width="{}%" height="10" rx="3"/>{}</svg>'
    ).format(label, f"{kind} bad" if bad else kind, f"{x:.2f}", f"{width:.2f}", Markup(cross))  # noqa: S704 - numbers only
