"""Real agent runs that failed: is the step named that people marked, and are tools that fail told from those that harm?

Data: Zhang et al., *Which agent causes task failures and when?* (ICML 2025, MIT); Yao et al., *tau-bench* (2024, MIT); packs
`agent-failure-steps` and `agent-tau-bench`. The figures are published in `docs/methods/mechanisms.md`.
"""

import json
import re
from collections import Counter
from typing import Any

from data_packs import pack

from andon.investigations.cascades import MARKED, name_failing_step, tool_cascades
from andon.traffic import Interaction, Step, ToolCall

Run = dict[str, Any]

TOOLS = ("Computer_terminal", "WebSurfer", "FileSurfer")
FAILED = re.compile(
    r"exitcode: [1-9]|Traceback|\b(?:40[0134]|50[023])\b[^\n]{0,20}(?:Error|Forbidden|Not Found)|\bError(?: processing|:)"
    r"|timed? ?out|File Not Found|not found",
    re.IGNORECASE,
)
"""What says in the text of a tool's step that it failed: the pack has no status."""


def agent(step: dict[str, Any]) -> str:
    """The agent of a step, without whom it speaks to."""
    return str(step["agent"]).split(" (", maxsplit=1)[0]


def as_interaction(run: Run) -> Interaction:
    """A run as its steps were sent: who, of which kind, and whether it reported an error."""
    steps = tuple(
        Step(
            kind="tool" if agent(s) in TOOLS else "agent",
            name=agent(s),
            start_s=float(s["i"]),
            latency_s=1.0,
            error="failed" if agent(s) in TOOLS and FAILED.search(s["excerpt"]) else None,
        )
        for s in run["steps"]
    )
    return Interaction(id=run["case_id"], time_us=0, steps=steps)


def test_the_failing_step_beats_position_where_a_call_failed() -> None:
    """Where a tool reported an error, the named step and agent are right more often than first, last or busiest ones.

    Measured, misses included: it names 40 of 92 runs, the step in 15 and the agent in 22 of them. In the other 52 nothing
    reported an error, and nothing is named.
    """
    runs = pack("agent-failure-steps", "failures.jsonl")
    named = [(r, c) for r in runs if (c := name_failing_step(as_interaction(r))) is not None]
    step = sum(c.step == r["mistake_step"] for r, c in named)
    right = sum(c.name == r["mistake_agent"] for r, c in named)
    places = {
        "first": [0 for _ in named],
        "second": [1 for _ in named],
        "last": [len(r["steps"]) - 1 for r, _ in named],
    }
    by_place = {n: sum(k == r["mistake_step"] for k, (r, _) in zip(p, named, strict=True)) for n, p in places.items()}
    agents = {
        n: sum(agent(r["steps"][k]) == r["mistake_agent"] for k, (r, _) in zip(p, named, strict=True))
        for n, p in places.items()
    }
    busiest = sum(
        Counter(agent(s) for s in r["steps"] if s["agent"] != "human").most_common(1)[0][0] == r["mistake_agent"]
        for r, _ in named
    )
    assert (len(named), len(runs)) == (40, 92)
    assert (step, right) == (15, 22)
    assert f"in {step / len(runs):.0%}, its agent in {right / len(runs):.0%}".replace("%", " %") in MARKED
    assert by_place == {"first": 2, "second": 9, "last": 1}
    assert (agents, busiest) == ({"first": 14, "second": 15, "last": 17}, 13)


def test_no_error_names_nobody() -> None:
    """A run in which nothing reported an error has no culprit, instead of a guess."""
    runs = pack("agent-failure-steps", "failures.jsonl")
    quiet = [r for r in runs if not any(s.error for s in as_interaction(r).steps)]
    assert len(quiet) == 52
    assert all(name_failing_step(as_interaction(r)) is None for r in quiet)


def conversation(run: Run) -> tuple[Interaction, bool]:
    """A conversation with its tool calls, and whether it failed."""
    calls: list[dict[str, Any]] = []
    for m in run["messages"]:
        calls += [dict(t) for t in m.get("tool_calls") or []]
        if m["role"] == "tool":
            waiting = next(c for c in calls if "result" not in c and c["name"] == m["name"])
            waiting |= {"result": m["content"], "error": m["error"]}
    told = tuple(
        ToolCall(
            name=c["name"],
            arguments=json.dumps(c["arguments"]),
            result=c.get("result"),
            error="Error" if c.get("error") else None,
        )
        for c in calls
    )
    name = f"{run['task_id']}-{run['trial']}"
    return Interaction(id=name, time_us=0, query=name, answer="done", tool_calls=told), not run["success"]


def test_tool_errors_that_are_recovered_are_not_blamed() -> None:
    """A quarter of the conversations has a refused booking, and they fail no more often than the others: no cascade is claimed."""
    runs = [conversation(r) for r in pack("agent-tau-bench", "trajectories.jsonl.gz")]
    found = tool_cascades([], runs)
    assert found.found != "yes"
    assert "24.2 % of 91 sampled interactions with tool calls have a failing one" in found.text
    assert "harm 63.6 % among them, 60.9 % among those without" in found.text
    assert found.rows[1][0] == "update_reservation_flights"
