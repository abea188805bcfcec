"""Incidents that were looked into, as records: for the tests of their pages."""

from collections.abc import Sequence
from typing import Any

from browsing import NOW, House

from andon.incidents import Incident
from andon.investigations import (
    Analysis,
    Confidence,
    Evidence,
    Example,
    Gap,
    HarmedSlice,
    Impact,
    Investigation,
    Part,
    Proposal,
    Suspect,
    SuspectTest,
    Twin,
)
from andon.monitors import Signal

__all__ = ["HOSTILE", "HOUR", "ONSET", "NoWork", "Work", "an_incident", "looked_into", "raised"]

HOUR = 3_600_000_000
ONSET = NOW - 5 * HOUR
HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(1)>\x1b[31m\u202e'


def an_incident(house: House, name: str = "INC-0001", **fields: Any) -> Incident:
    """An open incident of the app `bot` that a chart leads, in the ledger."""
    told: dict[str, Any] = {
        "title": "The share of wrong answers rose from 1 % to 40 % in all traffic of app bot", "app": "bot", "environment": "production",
        "metric": "exact_match", "lead": f"{name}-lead", "signals": (f"{name}-lead",), "severity": "P2", "severity_reason": "P2: at least a tenth more",
        "impact": "correctness", "impact_reason": "correctness: wrong answers rose", "failure": "model drift",
        "failure_reason": "model drift: it jumped", "onset_us": ONSET, "onset_low_us": ONSET - HOUR // 2,
        "onset_high_us": ONSET + HOUR // 6, "alarmed_us": ONSET + HOUR, "last_signal_us": ONSET + HOUR,
    }  # fmt: skip
    incident = Incident(id=name, **{**told, **fields})
    house.ledger.put(incident, now_us=incident.alarmed_us, by="andon")
    return incident


def raised(house: House, incident: Incident) -> Signal:
    """Its leading signal, in the ledger."""
    signal = Signal(
        id=incident.lead, monitor="bot/production/exact_match.down/all", app="bot", environment="production", metric="exact_match",
        direction="down", harm="correctness", at_us=incident.alarmed_us, window_us=HOUR // 12, x=40, n=100, baseline_x=10,
        baseline_n=1000, baseline_from_us=ONSET - 200 * HOUR, baseline_to_us=ONSET - HOUR, statistic=9.0, threshold=1e6,
        onset_us=ONSET, onset_low_us=incident.onset_low_us, onset_high_us=incident.onset_high_us,
    )  # fmt: skip
    house.ledger.put(signal, now_us=signal.at_us, by="andon")
    return signal


def looked_into(house: House, name: str = "INC-0001", text: str = "") -> Investigation:
    """The four questions of an incident answered, with `text` in every field that comes from traffic or people."""
    failing = Example(
        interaction_id=f"i/1{text}", at_us=ONSET + 1, question=f"Is it safe?{text}", answer=f"Yes.{text}", value=1.0,
        expected=f"No.{text}", expected_from="passing twin", twin=Twin(answer="No.", at_us=ONSET - 9), confidence=0.9,
        contexts=(f"a passage{text}",), versions={"model": f"large-2{text}"},
    )  # fmt: skip
    passing = Example(interaction_id="i2", at_us=ONSET + 2, question="Is it blue?", answer=None, value=0.0)
    test = SuspectTest(name="dose", text=f"more of it, more harm{text} [E1, E2]", result="supports", evidence=("E1",))
    suspects = (
        Suspect(
            id="CHG-1", title=f"a new model{text}", kind="model", probability=0.93, own=True, at_us=ONSET - HOUR,
            supports=(f"it came first{text} [E1]",), against=("others changed too",), disproof=f"put it back{text}", tests=(test,),
        ),
        Suspect(id="no own change: unknown", title="no own change: unknown", kind="unknown", probability=0.001, own=False),
    )  # fmt: skip
    evidence = [
        Evidence(
            id=f"E{n}",
            claim=f"{what}{text}",
            plan={"plan": "Rollup"},
            figures={"rows": float(n)},
            rows=({"n": n},),
            digest="ab" * 32,
        )
        for n, what in enumerate(
            ("harmed interactions since the onset", "interactions since the onset", "limit would have spoken"), 1
        )
    ]
    rows: Sequence[tuple[str, ...]] = (("metric", "before"), (f"refusal{text}", "1 %"))
    found = Investigation(
        id=name, at_us=NOW - HOUR, examples=(failing,), passing=(passing,), confidence=Confidence(high=1, low=0, unknown=0, text="sure"),
        suspects=suspects, verdict="systematic", verdict_reason=f"40 of 100 harmed{text} [E1]",
        parts=(Part(field="task", value=f"law{text}", before_x=1, before_n=99, after_x=40, after_n=100, low=0.3, high=0.5),),
        slices=(HarmedSlice(where={"task": f"law{text}"}, before_x=1, before_n=99, after_x=40, after_n=100, outside_x=0, outside_n=9, score=3.0, share=1.0),),
        impact=Impact(n=100, harmed=40, excess=39.0, lately=0.4, users=12, sessions=13, again=2, most=3),
        first_alarms=((f"exact_match down{text}", ONSET + HOUR),),
        gap=Gap(
            kind="evaluation lag", text=f"it took an hour{text}",
            proposals=(Proposal(title=f"a tighter limit{text}", metric="exact_match", fired_us=ONSET + 60, sooner_s=3000.0, false_pages=0.1, command=f"andon monitor add{text}"),),
        ),
        analyses=(Analysis(name="silent regression", found="yes", text=f"Quality fell{text} [E2]", rows=tuple(rows), evidence=("E2",)), Analysis(name="tool cascade", found="no", text="None.")),
        evidence=tuple(evidence),
    )  # fmt: skip
    house.ledger.put(found, now_us=NOW - HOUR, by="andon")
    return found


class Work:
    """Long work as the page sees it: one piece."""

    def __init__(self, what: str, about: str, state: str = "working", text: str = "", error: str = "") -> None:
        """Something that was asked for."""
        self.id, self.what, self.about, self.state, self.text, self.error = "w1", what, about, state, text, error
        self.share = 0.5 if state == "working" else None


class NoWork:
    """Who takes orders and does nothing."""

    def __init__(self) -> None:
        """Nothing was asked for."""
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self.known: list[Work] = []

    def ask(self, what: str, by: str, **args: Any) -> str:
        """Keep what was asked for."""
        self.asked.append((what, by, args))
        return "w1"

    def get(self, id: str) -> Work | None:  # noqa: A002
        """One of them."""
        return next((w for w in self.known if w.id == id), None)

    def all(self) -> list[Work]:
        """All of them."""
        return self.known

    def stop(self, id: str) -> None:  # noqa: A002
        """Nothing goes on."""

    def warm(self) -> None:
        """Nobody waits."""
