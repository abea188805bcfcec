"""Laws of the look at tools: first failure, what follows it, retries against the objective, flaky or systematic."""

from dataclasses import replace

import pytest

from andon.investigations.cascades import (
    cascade_of,
    flaky_or_systematic,
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
    by_calls = name_failing_step(calls("look", "book!"))
    assert by_calls is not None
    assert (by_calls.step, by_calls.name) == (1, "book")
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
    """Attempts in a row times the longest failing call; a success begins a new row; calls that never fail have no bound."""
    slow = steps(*[("tool", "search", 10.0, True)] * 3)
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
    assert "40 % of 200 sampled interactions with tool calls have a failing one, 2.5 % before" in found.text
    assert '60 of 64 harmed ones begin to fail at "book"' in found.text
    assert "1.05 calls an interaction before, 1.80 since (x 1.71)" in found.text
    assert "80 of 80 call the same tool again (2.0 times, 80 with success)" in found.text
    assert found.rows[1][:2] == ("book", "210")


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


def test_flaky_or_systematic() -> None:
    """Tasks that are alike are told from tasks that always fail; single tries and constant outcomes tell nothing."""
    flaky = {str(k): [(k + j) % 2 == 0 for j in range(4)] for k in range(40)}
    split = {str(k): [k < 20] * 4 for k in range(40)}
    alike, apart = flaky_or_systematic(flaky), flaky_or_systematic(split)
    assert alike is not None
    assert apart is not None
    assert (alike.always, alike.sometimes, alike.never) == (0, 40, 0)
    assert alike.p > 0.05
    assert (apart.always, apart.never, apart.expected) == (20, 20, pytest.approx(40 * 0.5**4))
    assert apart.p < 1e-6
    assert "some tasks are harder than others" in apart.text
    assert flaky_or_systematic({"a": [True], "b": [False]}) is None
    constant = flaky_or_systematic({"a": [True, True], "b": [True, True]})
    assert constant is not None
    assert constant.p == 1.0
