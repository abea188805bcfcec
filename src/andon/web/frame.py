"""The frame around every page: where one can go, and the lamp that says whether anything is wrong."""

from dataclasses import dataclass

from andon.incidents import Incident
from andon.web.asking import Ask

__all__ = ["NAVIGATION", "Lamp", "Place", "lamp_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One entry of the navigation."""

    path: str
    title: str
    key: str
    """Pressed after ``g``, it goes there."""
    icon: str
    """Name of its symbol in ``icons.svg``."""


NAVIGATION: tuple[tuple[str, tuple[Place, ...]], ...] = (
    ("", (Place(path="/", title="Home", key="h", icon="home"),)),
    (
        "Watch",
        (
            Place(path="/traffic", title="Traffic", key="t", icon="traffic"),
            Place(path="/monitors", title="Monitors", key="m", icon="monitors"),
            Place(path="/changes", title="Changes", key="c", icon="changes"),
        ),
    ),
    (
        "Respond",
        (
            Place(path="/incidents", title="Incidents", key="i", icon="incidents"),
            Place(path="/levers", title="Levers", key="l", icon="levers"),
        ),
    ),
    (
        "Learn",
        (
            Place(path="/postmortems", title="Postmortems", key="p", icon="postmortems"),
            Place(path="/actions", title="Actions", key="a", icon="actions"),
        ),
    ),
    (
        "Prevent",
        (
            Place(path="/labels", title="Label queue", key="q", icon="labels"),
            Place(path="/golden", title="Golden set", key="s", icon="golden"),
            Place(path="/evals", title="Eval runs", key="e", icon="evals"),
            Place(path="/rollouts", title="Rollouts", key="r", icon="rollouts"),
        ),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lamp:
    """The andon itself: red while something is wrong for users, amber while somebody owes an answer, else green."""

    colour: str
    text: str


def lamp_of(ask: Ask) -> Lamp:
    """The lamp of this moment."""
    harmed = [i for i in ask.ledger.all(Incident) if i.state not in ("closed", "recovered")]
    if worst := [i for i in harmed if i.stabilised_us is None]:
        return Lamp(colour="red", text=f"{len(worst)} incident{'s' if len(worst) != 1 else ''} not stabilised")
    if harmed:
        return Lamp(
            colour="amber", text=f"{len(harmed)} incident{'s' if len(harmed) != 1 else ''} stabilised, not over"
        )
    if problems := ask.site.problems():
        return Lamp(colour="amber", text=f"Andon itself is not well: {problems[0]}")
    return Lamp(colour="green", text="nothing is known to be wrong")
