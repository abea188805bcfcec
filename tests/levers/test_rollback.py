"""Laws of the way back: it leads to something older, however often it is taken."""

from collections.abc import Callable
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from andon.errors import StateError
from andon.levers import Lever, Version
from andon.levers.run import add_version, declare, promote, version_before
from andon.store import Ledger

T0 = 1_790_000_000_000_000
DEFAULT = "be helpful"


def test_a_second_rollback_does_not_serve_the_bad_version(ledger: Ledger, live: Callable[[str], Version]) -> None:
    """B was bad, and A was promoted again; what a rollback holds then is what was live before A, not B."""
    good = live("a")
    live("b")
    assert version_before(ledger, "prompt", "production") == "a"
    promote(ledger, "prompt", good.digest, to="production", why="b is bad", by="ann", now_us=T0 + 2)
    assert version_before(ledger, "prompt", "production") == DEFAULT


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "c", DEFAULT]), min_size=1, max_size=8))
def test_a_rollback_never_leads_to_something_newer(story: list[str]) -> None:
    """Whatever was promoted in whatever order: a rollback holds what was live before the live one first was, or nothing.

    Nothing is older than the default.
    """
    ledger = Ledger("sqlite://")
    declare(ledger, Lever(id="prompt", kind="string", default=DEFAULT, safe="say nothing"), T0, "ann")
    named = {v: add_version(ledger, "prompt", v, why="w", by="ann", now_us=T0).digest for v in ("a", "b", "c")}
    oldest_first, live = [DEFAULT], DEFAULT
    for value in story:
        with suppress(StateError):  # the default, before anything was promoted
            promote(ledger, "prompt", named.get(value, "default"), to="staging", why="w", by="ann", now_us=T0)
        live = value
        oldest_first += [] if value in oldest_first else [value]
        if live == DEFAULT:
            with suppress(StateError):
                raise AssertionError(version_before(ledger, "prompt", "staging"))
        else:
            back = version_before(ledger, "prompt", "staging")
            assert oldest_first.index(str(back)) < oldest_first.index(live)
    ledger.close()
