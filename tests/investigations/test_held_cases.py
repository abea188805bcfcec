"""Laws of the cases of the bench by other authors: each can be simulated, its harm is there and its truth can be found or is nobody."""

import numpy as np
import pytest

cases = pytest.importorskip(
    "bench.incidents_cases", reason="bench is beside the sources, run from the repository's root"
)
held = pytest.importorskip("bench.incidents_held", reason="bench is beside the sources, run from the repository's root")
unseen = pytest.importorskip("bench.incidents_unseen", reason="bench is beside the sources")
worlds = pytest.importorskip("bench.incidents_worlds", reason="bench is beside the sources")

OTHERS = {**held.HELD, **unseen.UNSEEN}
MOST = 100_000
"""Interactions: a replay should take a few seconds."""


def built(name: str, seed: int = 7):
    """The world of a case, as the replay makes it."""
    rng = np.random.default_rng(seed)
    return worlds.make(OTHERS[name](rng), rng)


def test_no_case_is_told_twice():
    """Each case has a name of its own; of the held-out ones at least a dozen are new, and some have no cause of ours."""
    assert len(OTHERS.keys() | cases.CASES.keys()) == len(cases.CASES) + len(held.HELD) + len(unseen.UNSEEN)
    told = [make(np.random.default_rng(7)) for make in held.HELD.values()]
    assert len({c.source for c in told} - {c(np.random.default_rng(7)).source for c in cases.CASES.values()}) >= 12
    assert 5 <= sum(not c.own for c in told) <= len(told) / 2


@pytest.mark.parametrize("name", OTHERS)
def test_the_truth_can_be_found(name):
    """Each cause is in the log, or its version is seen in the traffic after the onset; without a cause it is no own change."""
    world = built(name)
    case = world.case
    assert case.name == name
    assert 1_000 < len(world.times_us) <= MOST
    assert world.times_us[0] < world.onset_us < world.end_us
    since = world.times_us >= world.onset_us
    seen = {value for column in world.segments.values() for value in column[since]}
    logged = {c.id.removeprefix("CHG-") for c in world.changes}
    assert case.causes <= logged | seen
    assert case.causes <= {m.name for m in case.moves}
    assert case.causes or not case.own


@pytest.mark.parametrize("name", OTHERS)
def test_the_harm_is_there(name):
    """Within the part of the traffic that the fault hits some metric moves by four standard errors after the onset."""
    world = built(name)
    fault = world.case.faults[0]
    part = np.ones(len(world.times_us), dtype=bool)
    for column, value in fault.where.items():
        part &= world.segments[column] == value
    since = world.times_us >= world.onset_us
    moved = []
    for metric in fault.effects:
        values = world.scores.column(metric).to_numpy(zero_copy_only=False).astype(float)
        known = part & ~np.isnan(values)
        was, now = values[known & ~since], values[known & since]
        moved.append(abs(now.mean() - was.mean()) / np.sqrt(was.var() / len(was) + now.var() / len(now)))
    assert max(moved) > 4
