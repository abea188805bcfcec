"""From where on a number harms, as the charts that signalled have told it."""

from collections.abc import Iterable, Mapping

from andon.monitors.records import Signal

__all__ = ["cuts_of"]


def cuts_of(
    signals: Iterable[Signal], app: str, environment: str, part: Mapping[str, str | None]
) -> dict[tuple[str, str], float]:
    """The bound of harm of each number metric and direction, for one interaction.

    Args:
        signals: of any application.
        app: of the interaction.
        environment: of the interaction.
        part: its segments by name; a signal of another part of the traffic says nothing about it.

    Returns:
        By metric and direction the cut of the newest signal that is about such traffic; of metrics on which no chart has
        signalled there is none.
    """
    told: dict[tuple[str, str], Signal] = {}
    for s in signals:
        if s.cut is None or (s.app, s.environment) != (app, environment):
            continue
        if any(part.get(name) != value for name, value in s.scope.items()):
            continue
        before = told.get((s.metric, s.direction))
        if before is None or (s.at_us, s.id) > (before.at_us, before.id):
            told[s.metric, s.direction] = s
    return {key: s.cut for key, s in told.items() if s.cut is not None}
