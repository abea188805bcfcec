"""One case through the real loop, and what it said when the incident opened."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from andon.changes import Change
from andon.incidents import Incident
from andon.investigations import Investigation, Suspect
from andon.loop import Loop, open_loop
from andon.scores.run import ScoreCursor
from andon.settings import Settings
from bench.figures import scratch
from bench.incidents_cases import CASES
from bench.incidents_held import HELD
from bench.incidents_unseen import UNSEEN
from bench.incidents_worlds import HOUR_US, World, make

__all__ = ["ALL", "Outcome", "replay_case"]

ALL = {**CASES, **HELD, **UNSEEN}

WINDOW_S = 900
STEP_US = 6 * HOUR_US
NOBODY = "no own change"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one replay gave, and what was true."""

    case: str
    seed: int
    near: bool
    """Whether a decoy was put right before the onset."""
    own: bool
    """Whether a change of ours was the cause."""
    shown: bool
    """Whether interactions carry the version of a cause."""
    opened: bool
    """Whether an incident opened for it at all."""
    place: int = 99
    """Rank of the truth; the three explanations without any change count as one."""
    truth_stated: float = 0.0
    """Probability that was given to the truth."""
    stated: float = 0.0
    """Probability of the first explanation, those without any change taken as one."""
    right: bool = False
    """Whether that one was true."""
    first_own: bool = True
    """Whether that one is a change of ours."""
    first: str = ""
    truth: str = ""
    onset_error_h: float = 0.0
    lag_h: float = 0.0
    precision: float = 0.0
    """Share of the traffic in the incident's scope that the fault could hit."""
    recall: float = 0.0
    """Share of the traffic that the fault could hit which lies in the incident's scope."""
    seconds: float = 0.0


def replay_case(name: str, seed: int, near: bool = False) -> Outcome:
    """Simulate a case, run the loop until an incident opens, and compare its first investigation with the truth."""
    began = time.perf_counter()
    rng = np.random.default_rng([sum(name.encode()), seed])
    world = make(ALL[name](rng), rng, near=near)
    with scratch() as folder:
        loop = _loaded(folder, world, seed)
        try:
            incident = _first_incident(loop, world)
            if incident is None:
                return Outcome(
                    case=name,
                    seed=seed,
                    near=near,
                    own=world.case.own,
                    shown=_shown(world),
                    opened=False,
                    seconds=time.perf_counter() - began,
                )
            return _scored(loop, world, incident, seed, near, began)
        finally:
            loop.close()


def _loaded(folder: Path, world: World, seed: int) -> Loop:
    """A loop whose tables hold this traffic and its scores, and whose log holds the changes that were recorded."""
    loop = open_loop(Settings(home=folder, window_s=WINDOW_S, embedder="hashed"), seed=seed)
    loop.warehouse.append("interactions", world.interactions)
    loop.warehouse.append("scores", world.scores)
    loop.warehouse.commit()
    measured = ScoreCursor(id="scores", seq=loop.warehouse.newest("interactions"))
    loop.ledger.put(measured, now_us=int(world.times_us[0]), by="bench")
    for change in world.changes:
        loop.ledger.put(change, now_us=change.at_us, by="bench")
    return loop


def _first_incident(loop: Loop, world: World) -> Incident | None:
    """The first incident that was raised after harm began, as it opened; None where there is none."""
    now_us = world.onset_us
    while now_us <= world.end_us:
        loop.tick(now_us)
        found = [i for i in loop.ledger.all(Incident) if i.alarmed_us >= world.onset_us]
        if found:
            first = min(found, key=lambda i: i.alarmed_us)
            return loop.ledger.history(Incident, first.id)[0].record
        now_us += STEP_US
    return None


def _scored(loop: Loop, world: World, incident: Incident, seed: int, near: bool, began: float) -> Outcome:
    case = world.case
    found = loop.ledger.history(Investigation, incident.id)[0].record
    truth = _ids(loop.ledger.all(Change), case.causes)
    groups = _groups(found.suspects)
    names = truth if case.causes else {NOBODY}
    place = next((k for k, (g, _) in enumerate(groups, 1) if g in names), 99)
    precision, recall = _overlap(world, incident)
    return Outcome(
        case=case.name,
        seed=seed,
        near=near,
        own=case.own,
        shown=_shown(world),
        opened=True,
        place=place,
        truth_stated=sum(p for g, p in groups if g in names),
        stated=groups[0][1],
        right=groups[0][0] in names,
        first_own=next((s.own for s in found.suspects if s.id == groups[0][0]), False),
        first=next((s.title for s in found.suspects if s.id == groups[0][0]), groups[0][0]),
        truth=", ".join(sorted(case.causes)) or NOBODY,
        onset_error_h=abs(incident.onset_us - world.onset_us) / HOUR_US,
        lag_h=(incident.alarmed_us - world.onset_us) / HOUR_US,
        precision=precision,
        recall=recall,
        seconds=time.perf_counter() - began,
    )


def _shown(world: World) -> bool:
    return any(m.shown for m in world.case.moves if m.name in world.case.causes)


def _ids(changes: Sequence[Change], causes: frozenset[str]) -> set[str]:
    return {c.id for c in changes if c.id.removeprefix("CHG-") in causes or c.after in causes}


def _groups(suspects: Sequence[Suspect]) -> list[tuple[str, float]]:
    """Explanations by probability; that no change explains it is one of them."""
    total: dict[str, float] = {}
    for s in suspects:
        key = NOBODY if s.id.startswith(NOBODY) else s.id
        total[key] = total.get(key, 0.0) + s.probability
    return sorted(total.items(), key=lambda p: (-p[1], p[0]))


def _overlap(world: World, incident: Incident) -> tuple[float, float]:
    """How well the incident's scope covers the traffic that the faults of its time could hit."""
    since = world.times_us >= world.onset_us
    inside, harmed = since.copy(), np.zeros(len(since), dtype=bool)
    for name, value in incident.scope.items():
        inside &= world.segments[name] == value
    for fault in world.case.faults:
        part = since.copy()
        for name, value in fault.where.items():
            part &= world.segments[name] == value
        harmed |= part
    both = float((inside & harmed).sum())
    return both / max(1.0, float(inside.sum())), both / max(1.0, float(harmed.sum()))
