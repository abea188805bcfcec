"""Laws of what counts as another change beside a hold."""

from dataclasses import replace

import pytest

from andon.changes import Change
from andon.levers import Lever, LeverValue, Pull, value_text
from andon.levers.effects import Seen, others_of
from andon.levers.pulls import ended_change, lever_change, pulled_change

T0 = 1_790_000_000_000_000
MINUTE = 60_000_000
PROMPT = Lever(id="desk.prompt", kind="string", default="cite", safe="cite", app="desk")
SEEN = Seen(from_us=T0, pulled_us=T0 + 10 * MINUTE, since_us=T0 + 11 * MINUTE, until_us=T0 + 30 * MINUTE, read=True)


def pull(number: int, minute: int, value: str = "cite") -> Pull:
    """A pull of the lever."""
    return Pull(
        id=f"pull-desk.prompt-0000{number}", lever=PROMPT.id, value=value, at_us=T0 + minute * MINUTE, by="ann", why="harm",
        until_us=T0 + 90 * MINUTE,
    )  # fmt: skip


def given(lever: Lever, minute: int, name: str = "p1") -> Change:
    """A version of a lever that went live."""
    return lever_change(
        lever,
        "production",
        f"lever-{lever.id}-production-{name}",
        "promoted",
        T0 + minute * MINUTE,
        "cite",
        "more",
        "bob",
    )


def test_what_the_lever_would_have_given_is_no_other_change() -> None:
    """The version with which harm began, and one that went live under the hold, are what it is compared with."""
    held = pull(1, 10)
    mine = [given(PROMPT, 0), pulled_change(PROMPT, None, held, "more"), given(PROMPT, 20, "p2")]
    assert others_of(mine, [held], SEEN) == []


def test_a_version_that_went_live_before_the_pull_is_another_change() -> None:
    """Between the onset and the pull the same lever may have ended the harm by itself, by a promotion or a new default."""
    held = pull(1, 10)
    mine = [given(PROMPT, 0), given(PROMPT, 3, "p2"), pulled_change(PROMPT, None, held, "more")]
    assert others_of(mine, [held], SEEN) == [mine[1]]
    assert others_of(mine, [held], replace(SEEN, began_us=T0 + 3 * MINUTE)) == []  # harm may have begun with it


@pytest.mark.parametrize(("value", "shadow"), [("v2", True), (2.0, False), (True, False)])
def test_a_bare_figure_is_no_shadow(value: LeverValue, shadow: bool) -> None:
    """A text that traffic shows when the pull is read is the pull itself; another version named 2.0 then is another change."""
    held = replace(pull(1, 10), value=value)
    seen = Change(
        id="S", at_us=T0 + 11 * MINUTE, kind="code", title="code", after=value_text(value), origin="traffic",
        version_field="code_version",
    )  # fmt: skip
    assert others_of([seen], [held], SEEN) == ([] if shadow else [seen])


def test_other_levers_and_other_holds_are_other_changes() -> None:
    """A version of another lever, and an earlier hold of this one at another value with its end, are named."""
    before, held = pull(1, 2, "less"), pull(2, 10)
    ended = ended_change(
        PROMPT, Pull(**{f: getattr(before, f) for f in before.__slots__} | {"released_us": T0 + 5 * MINUTE}), "more"
    )
    others = [
        given(Lever(id="desk.model", kind="string", default="a", safe="a", app="desk"), 3),
        pulled_change(PROMPT, None, before, "more"),
        ended,
    ]
    assert others_of(others, [held], SEEN) == others
