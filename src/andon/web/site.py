"""What the pages are handed by the composition root, and the seams through which they see the rest of the process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from andon.access import Attempts
from andon.api import Streams
from andon.errors import StateError
from andon.settings import Settings

__all__ = ["Errand", "Errands", "NoErrands", "Site"]


class Errand(Protocol):
    """Long work that somebody asked for, as it stands now."""

    @property
    def id(self) -> str:
        """Its name, as links carry it."""

    @property
    def what(self) -> str:
        """What is done, in one word."""

    @property
    def about(self) -> str:
        """What it is about: an incident, an action, a probe."""

    @property
    def state(self) -> str:
        """``waiting``, ``working``, ``done`` or ``failed``."""

    @property
    def text(self) -> str:
        """What it does now, or what came of it."""

    @property
    def share(self) -> float | None:
        """How much is done, 0..1; None where that cannot be told."""

    @property
    def error(self) -> str:
        """Why it failed, and what to do."""


class Errands(Protocol):
    """Who does long work for people: in a process of its own, because this one takes traffic in."""

    def ask(self, what: str, by: str, **args: Any) -> str:
        """Ask for work and return its id at once."""

    def get(self, id: str) -> Errand | None:  # noqa: A002 - the field is called id
        """One errand, if it is still known."""

    def all(self) -> Sequence[Errand]:
        """The last ones, the newest first."""

    def stop(self, id: str, by: str = "somebody") -> None:  # noqa: A002
        """Stop one; what it has done stays."""

    def warm(self) -> None:
        """Have somebody ready: a lever may be pulled soon."""


class NoErrands:
    """Nobody who does long work: for a server without a process beside it."""

    def ask(self, what: str, by: str, **args: Any) -> str:  # noqa: ARG002 - as the protocol has it
        """Refuse.

        Raises:
            StateError: always.
        """
        raise StateError(f"this server does no long work, and {what!r} is long: use the command line beside it")

    def get(self, id: str) -> None:  # noqa: A002
        """There is none."""

    def all(self) -> Sequence[Errand]:
        """There are none."""
        return ()

    def stop(self, id: str, by: str = "somebody") -> None:  # noqa: A002
        """There is nothing to stop."""

    def warm(self) -> None:
        """There is nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Everything the pages need of the process that serves them."""

    ledger: Any
    """The records (`andon.store.Ledger`), remembered between requests."""
    warehouse: Any
    """The tables (`andon.store.Warehouse`) with scores, for reading."""
    settings: Settings
    charts: Any
    """The state of every chart (`andon.monitors.board.ChartBoard`), as the loop published it last."""
    streams: Streams
    """Tells open pages that there is something new."""
    errands: Errands = field(default_factory=NoErrands)
    attempts: Attempts = field(default_factory=Attempts)
    now_us: Callable[[], int]
    problems: Callable[[], list[str]] = field(default=list)
    """Why the process is not well; nothing when it is."""
    warnings: Callable[[], list[str]] = field(default=list)
    """What somebody must look at though all work is done."""
    took_in: Callable[[], int] = field(default=lambda: 0)
    """Interactions and spans that came in since the start."""
    first_us: Callable[[], int] = field(default=lambda: 0)
    """When the first of them came; 0 while nothing has."""
    note: Callable[[], str] = field(default=str)
    """A sentence that every page shows while it is not empty."""
    levers: Any = None
    """What levers give (`andon.levers.run.Board`), as applications are told it; None: the pages read it themselves."""
    readers: Any = None
    """Which applications ask for levers, and when they did last; None: not known."""
