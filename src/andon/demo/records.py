"""Records of the demo."""

from dataclasses import dataclass
from pathlib import Path

from andon.changes import Change
from andon.traffic import Interaction

__all__ = ["Story", "Told"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """Simulated traffic and changes, and what is true of them."""

    name: str
    about: str
    """The published figures that the simulation keeps, in one sentence."""
    window_s: int
    traffic: tuple[Interaction, ...]
    changes: tuple[Change, ...]
    began_us: int
    """When harm began in truth."""
    cause: str
    """Kind of the true cause."""
    impact: str
    """The right class of the incident."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A story after the loop has run over it."""

    name: str
    text: str
    """The story as Andon saw it, for the screen."""
    documents: tuple[Path, ...]
