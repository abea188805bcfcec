"""Laws of what is decided by a version: the gate that fails it in the same moment keeps it from being written."""

from collections.abc import Callable

import pytest

from andon.errors import StateError
from andon.levers import GateResult, Promotion, Version
from andon.levers.run import allocation_of, live_in, note_gate, promote, start_split
from andon.rollouts import Allocation, Experiment
from andon.store import Ledger

T0 = 1_790_000_000_000_000


def test_a_version_that_fails_its_gate_meanwhile_is_neither_promoted_nor_split(
    ledger: Ledger,
    approved: Callable[[str], Version],
    experiment: Callable[..., Experiment],
    first: Callable[[type, Callable[[], object]], None],
) -> None:
    """Between reading and writing the gate says fail: nothing goes live and nobody is given it; who tries again is told why."""
    version = approved("new")
    promote(ledger, "prompt", version.digest, to="staging", why="w", by="ann", now_us=T0)

    def failed() -> None:
        note_gate(ledger, "prompt", version.digest, GateResult(outcome="fail", reason="r", by="ci", at_us=T0), T0)

    def passed() -> None:
        note_gate(ledger, "prompt", version.digest, GateResult(outcome="pass", reason="r", by="ci", at_us=T0), T0)

    def live() -> None:
        promote(ledger, "prompt", version.digest, to="production", why="w", by="ann", now_us=T0 + 1)

    def split() -> None:
        start_split(ledger, experiment(version.digest), why="w", by="ann", now_us=T0 + 1)

    for kind, act in ((Promotion, live), (Allocation, split)):
        passed()
        first(kind, failed)
        with pytest.raises(StateError, match="in the same moment; nothing of yours was written"):
            act()
        with pytest.raises(StateError, match="the gate did not pass"):
            act()
    assert live_in(ledger, "prompt", "production") is None
    assert allocation_of(ledger, "EXP-0001") is None
