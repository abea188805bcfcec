"""Laws of the look at tools: first failure, what follows it, retries against the objective."""

from dataclasses import replace

import pytest
from intervals import points

from andon.investigations.cascades import (
    MARKED,
    cascade_of,
    name_failing_step,
    retry_bounds,
    tool_cascades,
)
from andon.traffic import Interaction, Step, ToolCall


def calls(*told: str, **fields) -> Interaction:
    """An interaction with these tool calls; ``name!`` failed."""
    made = tuple(ToolCall(name=t.rstrip("!"), error="boom" if t.endswith("!") else None) for t in told)
    return Interaction(id="i", time_us=0, tool_calls=made, **{"answer": "fine", **fields})


def steps(*told: tuple[str, str, float, bool]) -> Interaction:
    """An interaction with these steps: (kind, name, seconds, failed)."""
    made = tuple(
        Step(kind=k, name=n, start_s=float(j), latency_s=s, error="boom" if bad else None)
        for j, (k, n, s, bad) in enumerate(told)
    )
    return Interaction(id="i", time_us=0, steps=made, tool_calls=(ToolCall(name="search"),))


def test_what_follows_the_first_failure() -> None:
    """The first failing call, its retries, other tools after it, recovery and how the interaction ended."""
    found = cascade_of(calls("look", "book!", "book!", "pay", "book", finish_reason="max_tokens"))
    assert found is not None
    assert (found.tool, found.at, found.retries, found.others, found.failures) == ("book", 1, 2, 1, 2)
    assert found.recovered
    assert found.ended == "budget"
    assert cascade_of(calls("look", "book")) is None


@pytest.mark.parametrize(
    ("fields", "ended"),
    [
        ({}, "answered"),
        ({"answer": " "}, "empty"),
        ({"error": "ReadTimeout"}, "timeout"),
        ({"error": "ValueError"}, "error"),
        ({"finish_reason": "length"}, "budget"),
    ],
)
def test_how_it_ended(fields: dict, ended: str) -> None:
    """Timeouts and budgets are told from errors, empty answers and answers."""
    found = cascade_of(calls("book!", **fields))
    assert found is not None
    assert found.ended == ended


def test_the_culprit_is_who_made_the_failing_call() -> None:
    """The agent before the first failing tool is named; a failing agent itself; a tool where no agent is known; else nobody."""
    found = name_failing_step(
        steps(
            ("agent", "planner", 1, False),
            ("tool", "search", 1, False),
            ("agent", "coder", 1, False),
            ("tool", "run", 1, True),
        )
    )
    assert found is not None
    assert (found.step, found.name, found.failed) == (2, "coder", 3)
    own = name_failing_step(steps(("agent", "planner", 1, True)))
    assert own is not None
    assert (own.step, own.name) == (0, "planner")
    alone = name_failing_step(steps(("tool", "search", 1, True)))
    assert alone is not None
    assert alone.name == "search"
    assert name_failing_step(steps(("agent", "planner", 1, False))) is None


def test_a_failing_agent_above_a_failing_tool_is_not_named_for_it() -> None:
    """An outer agent that reports the error of a call within it did not fail first, although it began first."""
    outer = steps(("agent", "crew", 9, True), ("agent", "coder", 5, False), ("tool", "run", 1, True))
    parents = (None, 0, 1)
    told = replace(outer, steps=tuple(replace(s, parent=p) for s, p in zip(outer.steps, parents, strict=True)))
    found = name_failing_step(told)
    assert found is not None
    assert (found.step, found.name, found.failed) == (1, "coder", 2)


def test_the_worst_case_of_retries() -> None:
    """Attempts in a row times the longest failing call; a success begins a new row; what never fails, or is no tool, has none."""
    slow = steps(*[("tool", "search", 10.0, True)] * 3, ("llm", "search", 60.0, True), ("agent", "crew", 90.0, True))
    fine = steps(*[("tool", "search", 1.0, False)] * 7, ("tool", "pay", 30.0, False))
    bounds = retry_bounds([slow, fine])
    assert [(b.tool, b.attempts, b.longest_s, b.worst_s) for b in bounds] == [("search", 3, 10.0, 30.0)]
    assert retry_bounds([fine]) == ()


def world(failing: int, of: int, harm_failing: int, harm_fine: int) -> list[tuple[Interaction, bool]]:
    """Interactions of which some have a failing call that is tried again, and how many of each kind are harmed."""
    bad = [(calls("book!", "book!", "book"), k < harm_failing) for k in range(failing)]
    return bad + [(calls("book"), k < harm_fine) for k in range(of - failing)]


def test_a_cascade_is_found_where_failures_rose_and_harm_goes_with_them() -> None:
    """More failing calls since the onset, with more harm among them: found, with shares, amplification and the tool."""
    found = tool_cascades(world(5, 200, 1, 3), world(80, 200, 60, 4))
    assert found.found == "yes"
    assert found.text == (
        "40 % of 200 sampled interactions with tool calls have a failing one, 2.5 % before (+30.2 to +44.6 points); "
        "harm 75 % among them, 3.33 % among those without (+60.1 to +80.1 points); "
        '60 of 64 harmed ones begin to fail at "book"; 1.05 calls an interaction before, 1.80 since (x 1.71); '
        "after the first failure 80 of 80 call the same tool again (2.0 times, 80 with success); "
        "0 go on to other tools, 0 end at a timeout or budget; "
        "how long failing calls take is not in the traffic, so retries cannot be held against an objective."
    )
    assert points(5, 200, 80, 200) == "+30.2 to +44.6 points"
    assert points(4, 120, 60, 80) == "+60.1 to +80.1 points"
    assert found.rows[1:] == (("book", "210", "4.76 %", "360", "44.4 %", "80", "60"),)


def test_tools_that_fail_as_before_are_acquitted() -> None:
    """Neither failures that did not rise nor failures without harm are a cascade; few tool calls tell nothing."""
    assert tool_cascades(world(80, 200, 60, 4), world(60, 200, 50, 4)).found == "no"
    assert tool_cascades(world(0, 200, 0, 20), world(80, 200, 0, 60)).found == "no"
    assert tool_cascades(world(1, 10, 1, 1), world(5, 10, 5, 1)).found == "cannot tell"
    assert tool_cascades([], [(Interaction(id="i", time_us=0), True)]).found == "no"
    assert tool_cascades([], []).found == "cannot tell"


def test_retries_are_held_against_the_objective() -> None:
    """Three attempts of ten seconds exceed an objective of five; a generous one they meet; without one that is said."""
    slow = [(steps(*[("tool", "search", 10.0, True)] * 3), True)] * 30
    assert (
        '"search": 3 attempts x 10 s exceed the 5 s of objective fast'
        in tool_cascades([], slow, limits_s=[("fast", 5.0)]).text
    )
    assert "within the 60 s of objective slow" in tool_cascades([], slow, limits_s=[("slow", 60.0)]).text
    assert "no objective of latency is set" in tool_cascades([], slow).text
    assert "cannot be held against an objective" in tool_cascades([], world(30, 60, 1, 1)).text


def test_the_step_that_likely_broke_is_told_of_harmed_runs() -> None:
    """Of harmed runs with steps: who made the call that failed first, in how many, how many report nothing, and how far to trust it."""
    broken = steps(("agent", "planner", 1, False), ("agent", "coder", 1, False), ("tool", "run", 1, True))
    other = steps(("agent", "planner", 1, False), ("tool", "search", 1, True))
    quiet = steps(("agent", "planner", 1, False), ("tool", "search", 1, False))
    runs = [(broken, True)] * 12 + [(other, True)] * 5 + [(quiet, True)] * 3 + [(other, False)] * 30
    assert (
        '12 of 20 harmed runs with steps likely broke alike: "coder" made the call of "run" that failed first '
        f"(3 report no error; {MARKED})"
    ) in tool_cascades([], runs).text
    assert "docs/methods/mechanisms.md" in MARKED
    assert "none of 30 harmed runs with steps reports an error" in tool_cascades([], [(quiet, True)] * 30).text
    assert "harmed runs with steps" not in tool_cascades([], world(30, 60, 20, 1)).text
