"""A small real store with a planted failure, for the tests of `investigate`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from andon.changes import Change
from andon.changes.run import find_versions
from andon.incidents import Incident
from andon.incidents.run import respond
from andon.investigations import Investigation
from andon.investigations.run import investigate
from andon.monitors import Signal
from andon.scores import SCORERS, hashed, score_schema
from andon.scores.run import score_feedback, score_new
from andon.settings import Settings
from andon.store import Ledger, Warehouse
from andon.traffic import SCHEMAS, Feedback, Interaction
from andon.traffic.run import record, record_feedback

T0 = 1_790_000_000_000_000
"""The onset."""
MINUTE = 60_000_000
HOUR = 60 * MINUTE
EMBEDDER = hashed.load(Settings())
SORRY = "I'm sorry, but I can't help with that."
TOPICS = ("blood pressure", "headache", "fever", "cough", "back pain", "sleep", "diet", "allergy")
QUESTIONS = tuple(f"What should I do about {t} on day {d}?" for t in TOPICS for d in range(1, 6))


def asked(k: int, at_us: int, *, refused: bool = False, **fields) -> Interaction:
    """The k-th interaction: a question of the pool, answered well or refused."""
    question = QUESTIONS[k % len(QUESTIONS)]
    told = {
        "query": question,
        "answer": SORRY if refused else f"Rest and drink water. ({question})",
        "app": "triage",
        "risk_category": "high" if k % 2 else "low",
        "user_id": f"u{k % 25}",
        "session_id": f"s{k % 50}",
    }
    return Interaction(id=f"i{at_us}-{k}", time_us=at_us, **{**told, **fields})


def prompt_failure() -> list[Interaction]:
    """Ten hours of good answers, then two in which those who see prompt v2 (half of the traffic) are refused."""
    before = [asked(k, T0 - 10 * HOUR + k * MINUTE, prompt_version="v1", code_version="c1") for k in range(590)]
    after = []
    for k in range(240):
        new = k % 4 >= 2
        at = T0 + k * MINUTE // 2
        versions = {"prompt_version": "v2" if new else "v1", "code_version": "c2"}
        after.append(asked(k, at, refused=new and k % 8 != 2, **versions))
    return before + after


def signal(**fields) -> Signal:
    """What the chart of refusals would say of it."""
    told = {
        "id": "triage/production/refusal.up/all@1",
        "monitor": "triage/production/refusal.up/all",
        "app": "triage",
        "environment": "production",
        "metric": "refusal",
        "direction": "up",
        "at_us": T0 + 30 * MINUTE,
        "window_us": 5 * MINUTE,
        "x": 22,
        "n": 60,
        "baseline_x": 2,
        "baseline_n": 400,
        "baseline_from_us": T0 - 10 * HOUR,
        "baseline_to_us": T0 - 3 * HOUR,
        "statistic": 2e4,
        "threshold": 1e4,
        "onset_us": T0,
        "onset_low_us": T0 - 5 * MINUTE,
        "onset_high_us": T0 + 5 * MINUTE,
        "onset_probability": ((T0 - 5 * MINUTE, 0.2), (T0, 0.7), (T0 + 5 * MINUTE, 0.1)),
    }
    return Signal(**{**told, **fields})


class Planted:
    """A store with this traffic, scored, and one incident for this signal."""

    def __init__(
        self,
        folder: Path,
        traffic: Sequence[Interaction],
        *,
        changes: Sequence[Change] = (),
        feedback: Sequence[Feedback] = (),
        lead: Signal | None = None,
        discover: bool = True,
    ) -> None:
        self.warehouse = Warehouse(folder, {**SCHEMAS, "scores": score_schema(SCORERS)})
        self.ledger = Ledger("sqlite://")
        self.lead = lead or signal()
        record(self.warehouse, list(traffic))
        record_feedback(self.warehouse, list(feedback))
        self.warehouse.commit()
        if discover:
            find_versions(self.warehouse, self.ledger, now_us=T0)
        for change in changes:
            self.ledger.put(change, now_us=change.at_us, by="ann")
        score_new(self.warehouse, self.ledger, SCORERS, EMBEDDER, now_us=T0)
        score_feedback(self.warehouse, self.ledger, SCORERS, now_us=T0)
        self.ledger.put(self.lead, now_us=self.lead.at_us, by="andon")
        self.incident: Incident = respond(self.ledger, [self.lead])[0]

    def look(self, now_us: int = T0 + 2 * HOUR, seed: int = 1) -> Investigation:
        """Investigate with what is known at this time."""
        rng = np.random.default_rng(seed)
        return investigate(self.warehouse, self.ledger, self.incident, EMBEDDER, now_us=now_us, rng=rng)

    def close(self) -> None:
        """Close the store."""
        self.warehouse.close()
        self.ledger.close()
