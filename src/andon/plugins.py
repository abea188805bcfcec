"""Plug-ins are entry points: one object each, no registration, no base class.

Groups (the built-ins use them too, so the seam is always exercised):

- ``andon.scorers``: a sequence of `andon.scores.Scorer`
- ``andon.embedders``: a function ``load(settings) -> andon.scores.Embedder``
- ``andon.case_scorers``: an `andon.evals.CaseScorer`, or a function ``load(settings, part) -> andon.evals.CaseScorer``

A package adds one with ``[project.entry-points."andon.scorers"]`` in its ``pyproject.toml``.
"""

from importlib.metadata import entry_points
from typing import Any

from andon.errors import ConfigError

__all__ = ["find", "load_all"]


def load_all(group: str) -> dict[str, Any]:
    """Load every plug-in of a group, by name, in alphabetical order.

    Raises:
        ConfigError: a plug-in cannot be imported (names the plug-in and its package's error).
    """
    return {name: _load(point) for name, point in sorted((p.name, p) for p in entry_points(group=group))}


def find(group: str, name: str) -> Any:
    """Load the one plug-in of a group that has this name.

    Raises:
        ConfigError: there is none (the message lists those installed) or it cannot be imported.
    """
    points = {p.name: p for p in entry_points(group=group)}
    if name not in points:
        raise ConfigError(
            f"{name!r} is not an installed plug-in of {group}; installed: {', '.join(sorted(points)) or 'none'}"
        )
    return _load(points[name])


def _load(point: Any) -> Any:
    try:
        return point.load()
    except Exception as error:  # a plug-in is foreign code: whatever it raises at import is its failure, named
        raise ConfigError(
            f"plug-in {point.name!r} of {point.group} ({point.value}) cannot be imported: {error}"
        ) from error
