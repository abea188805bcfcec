"""Laws of versions that the gate fails while they are live: wherever a lever is shown, it is said."""

from collections.abc import Callable
from pathlib import Path

from andon.levers import GateResult, Lever
from andon.levers.run import add_version, approve_version, declare, note_gate, promote
from andon.store import Ledger

Type = Callable[..., tuple[int, str, str]]
T0 = 1_790_000_000_000_000


def test_what_is_live_and_did_not_pass_its_gate_is_said(type_: Type, tmp_path: Path) -> None:
    """`lever show`, `lever list` and `status` say so for what is live, and no more once the gate passes.

    `status` speaks of production alone: staging is for trying.
    """
    ledger = Ledger.open(tmp_path / "home" / "ledger.db")
    declare(ledger, Lever(id="prompt", kind="string", default="old", safe="none"), T0, "ann")
    version = add_version(ledger, "prompt", "new", why="better", by="ann", now_us=T0)
    approve_version(ledger, "prompt", version.digest, why="read", by="bob", now_us=T0)
    for place in ("staging", "production"):
        promote(ledger, "prompt", version.digest, to=place, why="better", by="ann", now_us=T0)

    def said() -> list[bool]:
        shown = [
            " ".join(type_(*words)[1].split())
            for words in (("lever", "show", "prompt"), ("lever", "list"), ("status",))
        ]
        return ["gate did not pass it" in text.lower() and "wrong doses" in text for text in shown]

    assert said() == [False] * 3
    failed = GateResult(outcome="fail", reason="wrong doses", by="ci", at_us=T0)
    note_gate(ledger, "prompt", version.digest, failed, T0)
    assert said() == [True] * 3
    lines = [line for line in type_("status")[1].split("\n") if "though the gate did not pass it" in line]
    assert [line.partition(" though")[0] for line in lines] == ["live in production"]
    note_gate(ledger, "prompt", version.digest, GateResult(outcome="pass", reason="mended", by="ci", at_us=T0), T0)
    assert said() == [False] * 3
    ledger.close()
