"""A small real store with traffic, feedback and one incident, for the tests of timelines, runbooks and reports."""

from collections.abc import Sequence
from pathlib import Path

from test_triage import HOUR, T0, signal

from andon.incidents import Incident
from andon.incidents.run import respond
from andon.monitors import Signal
from andon.scores import SCORERS, hashed, score_schema
from andon.scores.run import score_feedback, score_new
from andon.settings import Settings
from andon.store import Ledger, Warehouse
from andon.traffic import SCHEMAS, Feedback, Interaction
from andon.traffic.run import record, record_feedback

EMBEDDER = hashed.load(Settings())
SORRY = "I'm sorry, but I can't help with that."


def asked(name: str, at_us: int, *, refused: bool = False, **fields) -> Interaction:
    """One interaction of the app `bot`, answered well or refused."""
    told = {"query": f"What about {name}?", "answer": SORRY if refused else "Rest and drink water.", "app": "bot"}
    return Interaction(id=name, time_us=at_us, **{**told, **fields})


def thumb(name: str, at_us: int, of: str, *, up: bool = False) -> Feedback:
    """A thumb of a user, down unless said otherwise."""
    return Feedback(id=name, interaction_id=of, time_us=at_us, kind="thumb", value=float(up))


class Store:
    """A warehouse and a ledger in a folder."""

    def __init__(self, folder: Path) -> None:
        self.warehouse = Warehouse(folder / "tables", {**SCHEMAS, "scores": score_schema(SCORERS)})
        self.ledger = Ledger.open(folder / "ledger.db")

    def take(self, traffic: Sequence[Interaction], feedback: Sequence[Feedback] = ()) -> None:
        """Take traffic and feedback in, and score them."""
        record(self.warehouse, list(traffic))
        record_feedback(self.warehouse, list(feedback))
        self.warehouse.commit()
        score_new(self.warehouse, self.ledger, SCORERS, EMBEDDER, now_us=T0)
        score_feedback(self.warehouse, self.ledger, SCORERS, now_us=T0)
        self.warehouse.commit()

    def raise_(self, *signals: Signal) -> Incident:
        """Put signals into the ledger and respond to them; returns the incident."""
        for s in signals or (signal("a"),):
            self.ledger.put(s, now_us=s.at_us, by="andon")
        return respond(self.ledger, signals or (signal("a"),))[-1]

    def close(self) -> None:
        """Close the store."""
        self.warehouse.close()
        self.ledger.close()


def week_of_feedback(per_hour: int = 2, spike: int = 12) -> tuple[list[Interaction], list[Feedback]]:
    """A week with so many thumbs-down an hour before the onset of `signal`, and a spike in its first two hours."""
    first = (T0 - 2 * HOUR) // HOUR
    traffic = [asked("seen", (first - 170) * HOUR)]
    downs = [
        thumb(f"d{h}-{k}", h * HOUR + k * HOUR // 20, "seen")
        for h in range(first - 168, first + 4)
        for k in range(spike if h in (first, first + 1) else per_hour)
    ]
    ups = [thumb(f"u{h}", h * HOUR, "seen", up=True) for h in range(first - 168, first + 4)]
    return traffic, downs + ups
