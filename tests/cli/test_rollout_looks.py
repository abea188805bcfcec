"""A look by hand scores first, and what the report says to type works when it is typed."""

import shlex
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from andon.levers import Lever
from andon.levers import run as levers
from andon.levers.run.declaring import live_in
from andon.loop import Loop, open_loop
from andon.rollouts import Decision, Experiment
from andon.scores import SCORERS, score_schema
from andon.settings import load
from andon.traffic import Interaction
from andon.traffic.run import record

Type = Callable[..., tuple[int, str, str]]
DAY = 86_400_000_000


@pytest.fixture
def loop(type_: Type) -> Iterator[Loop]:
    """A home with a lever and an approved version, which an A/B test serves to half of the users since nine days."""
    loop, now = open_loop(load()), time.time_ns() // 1000
    declared = Lever(id="prompt", kind="string", default="Hello.", safe="Ask a doctor.", app="bot")
    levers.declare(loop.ledger, declared, now - 40 * DAY, "ann")
    version = levers.add_version(loop.ledger, "prompt", "Hello!", why="kinder", by="bea", now_us=now - 39 * DAY)
    levers.approve_version(loop.ledger, "prompt", version.digest, why="read", by="bob", now_us=now - 38 * DAY)
    plan = Experiment(
        id="EXP-0001", kind="ab", app="bot", lever="prompt", control=None, treatment=version.digest, share=0.5,
        hypothesis="fewer refusals", metric="refusal", better="down", effect=0.1, base=0.4, planned=(1_100, 1_100),
        days=14.0, by="ann", at_us=now - 10 * DAY,
    )  # fmt: skip
    loop.ledger.put(plan, now_us=plan.at_us, by="ann")
    levers.start_split(loop.ledger, plan, why="as planned", by="ann", now_us=now - 9 * DAY)
    yield loop
    loop.close()


def test_the_commands_of_a_promotion_work_in_their_order(loop: Loop, type_: Type) -> None:
    """Each command that the report of a promoted treatment says to type does what it says; then the version is live."""
    n, rng, start = 8 * 600, np.random.default_rng(1), time.time_ns() // 1000 - 9 * DAY
    treated = np.arange(n) % 2 == 1
    columns: dict[str, Any] = {name: [None] * n for name in score_schema(SCORERS).names}
    columns["time_us"] = (start + 1 + np.arange(n) * (8 * DAY // n)).tolist()
    columns["arm"] = [f"exp-0001-{'treatment' if t else 'control'}" for t in treated]
    columns["refusal"] = (rng.random(n) < np.where(treated, 0.2, 0.45)).astype(float).tolist()
    columns |= {"id": [f"s{i}" for i in range(n)], "user_id": [f"u{i}" for i in range(n)]}
    columns |= {name: [value] * n for name, value in (("app", "bot"), ("environment", "production"), ("weight", 1.0))}
    loop.warehouse.append("scores", pa.table(columns, schema=score_schema(SCORERS)))
    loop.warehouse.commit()
    assert type_("rollout", "look", "1")[0] == 0
    text = type_("rollout", "show", "1")[1]
    assert text.splitlines()[1].startswith("Promote: ")
    commands = [line for line in text.splitlines() if line.startswith("andon ")]
    assert len(commands) == 3
    for command in commands:
        code, out, err = type_(*shlex.split(command)[1:])
        assert code == 0, f"{command}: {out}{err}"
    live = live_in(loop.ledger, "prompt", "production")
    split = levers.allocation_of(loop.ledger, "EXP-0001")
    assert live is not None
    assert split is not None
    assert live.digest == split.treatment
    assert split.ended_us is not None


def test_a_look_by_hand_scores_what_came_first(loop: Loop, type_: Type) -> None:
    """Interactions that nobody has scored are counted by the look that is typed, and none is spent on nothing."""
    start = time.time_ns() // 1000 - 9 * DAY
    names = ("exp-0001-control", "exp-0001-treatment")
    record(
        loop.warehouse,
        [
            Interaction(id=f"i{k}", time_us=start + DAY // 2, app="bot", environment="production", user_id=f"u{k}",
                        arm=names[k % 2], query="How tall is K2?", answer="8611 m")
            for k in range(40)
        ],
    )  # fmt: skip
    loop.warehouse.commit()
    code, out, _ = type_("rollout", "look", "1")
    assert code == 0
    assert "nothing came" not in out
    first = loop.ledger.get(Decision, "EXP-0001@0001")
    assert first is not None
    assert (first.control.n, first.treatment.n) == (20, 20)


def test_a_look_that_waits_says_for_what(loop: Loop, type_: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where what came is still not scored, no look is written, and the command names what scores it."""
    start = time.time_ns() // 1000 - 9 * DAY
    record(loop.warehouse, [Interaction(id="i", time_us=start + 1, app="bot", query="How tall is K2?")])
    loop.warehouse.commit()
    monkeypatch.setattr(Loop, "read", lambda self, now_us: None)
    out = type_("rollout", "look", "1")[1]
    assert "a look waits: what came to bot since" in out
    assert "andon tick scores it" in out
    assert loop.ledger.all(Decision) == []
