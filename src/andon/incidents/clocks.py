"""Pure: when what was reached of an incident, from the onset to the close."""

from dataclasses import dataclass

from andon.incidents.records import Delivery, Incident
from andon.incidents.timeline import told_text
from andon.incidents.words import duration
from andon.traffic.clock import minute_text

__all__ = ["Clock", "clocks_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """One phase of an incident."""

    name: str
    at_us: int | None
    """None: not reached, or not known."""
    note: str = ""
    """How long after the onset, by whom, or as what."""


def clocks_of(incident: Incident, *, visible_us: int | None, told: Delivery | None) -> tuple[Clock, ...]:
    """The phases in their order; that it was ``first told`` only where a message arrived.

    Args:
        incident: its latest version.
        visible_us: when users could first see it; None where nothing was found.
        told: the first message that a channel took (`andon.incidents.run.timeline.first_told`).
    """
    i = incident
    between = f"between {minute_text(i.onset_low_us)} and {minute_text(i.onset_high_us)}"
    best, low, high = i.lag_s
    lag = f"{duration(best)} after it began ({duration(low)} to {duration(high)})"
    how = "" if i.closed_as in (None, "recovered") else f"as {i.closed_as} {i.duplicate_of or ''}: "
    milestones = [(name, getattr(i, f"{name}_us")) for name in ("stabilised", "diagnosed", "fixed", "recovered")]
    return (
        Clock(name="began", at_us=i.onset_us, note=between),
        Clock(name="first visible", at_us=visible_us, note=_since(visible_us, i)),
        Clock(name="alarmed" if i.origin == "signal" else "reported", at_us=i.alarmed_us, note=lag),
        *(() if told is None else (Clock(name="first told", at_us=told.at_us, note=told_text(told, i)),)),
        Clock(name="noticed", at_us=i.noticed_us, note=f"by {i.noticed_by}" if i.noticed_by else ""),
        *(Clock(name=name, at_us=at_us, note=_since(at_us, i)) for name, at_us in milestones),
        Clock(name="closed", at_us=i.closed_us, note=f"{how}{i.closed_why or ''}"),
    )


def _since(at_us: int | None, incident: Incident) -> str:
    if at_us is None or at_us < incident.onset_us:
        return ""
    return f"{duration((at_us - incident.onset_us) / 1e6)} after it began"
