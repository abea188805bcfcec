"""Laws of what commands say of what is served: that a hold is, and that the treatment of a decided experiment still is."""

import time
from collections.abc import Callable
from pathlib import Path

from andon.levers import Lever
from andon.levers.run import add_version, approve_version, declare, start_split
from andon.rollouts import Arm, Decision, Experiment
from andon.store import Ledger

Type = Callable[..., tuple[int, str, str]]
HOUR = 3_600_000_000


def test_a_hold_without_a_server_is_not_said_to_be_served(type_: Type) -> None:
    """Nobody is left to believe that harm has stopped: a hold and its release say that no server has picked them up."""
    type_("lever", "declare", "x", "--default", "true", "--safe", "false")
    for words in (("hold", "x", "--for", "1h"), ("release", "x")):
        code, said, _ = type_("lever", *words, "--why", "harm")
        assert code == 0
        assert "NOT SERVED YET: no running server has picked it up" in said


def test_a_decided_experiment_that_is_still_served_is_named(type_: Type, tmp_path: Path) -> None:
    """`andon status` names it with why and the command that ends it; no more once it ended."""
    now = time.time_ns() // 1000
    ledger = Ledger.open(tmp_path / "home" / "ledger.db")
    declare(ledger, Lever(id="prompt", kind="string", default="old", safe="none", app="bot"), now, "ann")
    version = add_version(ledger, "prompt", "new", why="better", by="ann", now_us=now)
    approve_version(ledger, "prompt", version.digest, why="read", by="bob", now_us=now)
    plan = Experiment(
        id="EXP-0001", kind="canary", app="bot", lever="prompt", control=None, treatment=version.digest, share=0.05,
        hypothesis="as good", metric="refusal", better="down", effect=0.01, base=0.1, planned=(1000, 1000), days=1.0, by="ann",
        at_us=now, on_harm="tell",
    )  # fmt: skip
    ledger.put(plan, now_us=now, by="ann")
    start_split(ledger, plan, why="to know", by="ann", now_us=now)
    assert "EXP-0001" not in type_("status")[1]
    arms = [Arm(name=name, n=100, events=10) for name in ("control", "treatment")]
    decision = Decision(
        id="EXP-0001@0001", at_us=now, app="bot", metric="refusal", outcome="roll back", reason="refusals rose",
        experiment="EXP-0001", look=1, control=arms[0], treatment=arms[1],
    )  # fmt: skip
    ledger.put(decision, now_us=now, by="rollouts")
    (line,) = [line for line in type_("status")[1].split("\n") if "EXP-0001" in line]
    assert line.startswith("EXP-0001: roll back, decided ")
    assert "the treatment is still served to 5 % of the users: refusals rose: " in line
    assert "a look waits" not in line
    command = line.rpartition(": andon ")[2].replace('"..."', "harm").split()
    assert type_(*command)[0] == 0
    assert "EXP-0001" not in type_("status")[1]
    ledger.close()


def test_harm_that_something_else_serves_is_named_after_the_end(type_: Type, tmp_path: Path) -> None:
    """`andon status` names it though its experiment is stopped, and so does the report: the end takes nothing out."""
    now = time.time_ns() // 1000
    ledger = Ledger.open(tmp_path / "home" / "ledger.db")
    plan = Experiment(
        id="EXP-0001", kind="canary", app="bot", lever=None, field="prompt_version", control="v1", treatment="v2", share=None,
        hypothesis="as good", metric="refusal", better="down", effect=0.01, base=0.1, planned=(1000, 1000), days=1.0, by="ann",
        at_us=now - 3 * HOUR, on_harm="tell",
    )  # fmt: skip
    ledger.put(plan, now_us=now, by="ann")
    start_split(ledger, plan, why="to know", by="ann", now_us=now - 3 * HOUR)
    (line,) = [line for line in type_("status")[1].split("\n") if "EXP-0001" in line]
    assert line.startswith("EXP-0001: a look waits since ")
    assert line.endswith(": andon rollout look EXP-0001 takes it, or says what it waits for")
    assert "A look waits since " in type_("rollout", "show", "1")[1]
    arms = [Arm(name=name, n=100, events=10) for name in ("control", "treatment")]
    decision = Decision(
        id="EXP-0001@0001", at_us=now - 2 * HOUR, app="bot", metric="refusal", outcome="roll back", reason="refusals rose",
        experiment="EXP-0001", look=1, control=arms[0], treatment=arms[1],
    )  # fmt: skip
    ledger.put(decision, now_us=now, by="rollouts")
    assert type_("rollout", "stop", "1", "--why", "seen enough")[0] == 0
    (line,) = [line for line in type_("status")[1].split("\n") if "EXP-0001" in line]
    assert (
        "something else than Andon serves the treatment: take it out there: refusals rose: andon rollout show" in line
    )
    for command in ("show", "look"):
        said = type_("rollout", command, "1")[1]
        assert "Andon does not serve prompt_version: take the treatment out where it is served. " in said
        assert "andon rollout stop" not in said
        assert "A look waits" not in said
    ledger.close()
