"""Laws of what a lever gives now: read for one or for all it is the same, and it is what applications are given."""

from contextlib import suppress

from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st

from andon.errors import StateError
from andon.incidents import Incident
from andon.levers import Lever
from andon.levers.run import (
    Board,
    Readers,
    add_version,
    approve_version,
    declare,
    hold,
    promote,
    release,
    start_split,
)
from andon.levers.run.freezing import NOTHING_OPEN, freeze_before
from andon.levers.run.giving import given, given_by_all
from andon.levers.run.telling import MOST_APPS
from andon.rollouts import Experiment
from andon.store import Ledger

NOW = 1_790_000_000_000_000
HOUR = 3_600_000_000

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["hold", "release", "promote", "wait", "split"]), st.sampled_from(["staging", "production"])
    ),
    max_size=8,
)


def _experiment(control: str | None, treatment: str) -> Experiment:
    return Experiment(
        id="EXP-0001", kind="ab", app="bot", lever="prompt", control=control, treatment=treatment, share=0.5, hypothesis="h", metric="m",
        better="up", effect=0.1, base=0.5, planned=(10, 10), days=1.0, by="ann", at_us=NOW,
    )  # fmt: skip


@settings(max_examples=40, deadline=None)
@examples(STEPS)
def test_what_is_shown_is_what_is_served(steps: list[tuple[str, str]]) -> None:
    """Whatever was held, released, promoted, split and is over: what is shown as given now is what an application is given."""
    ledger, now = Ledger("sqlite://"), NOW
    lever = declare(ledger, Lever(id="prompt", kind="string", default="old", safe="none", app="bot"), now, "ann")
    digests = []
    for text in ("one", "two"):
        digests.append(add_version(ledger, "prompt", text, why=text, by="ann", now_us=now).digest)
        approve_version(ledger, "prompt", digests[-1], why="read", by="bob", now_us=now)
    for n, (what, place) in enumerate(steps):
        now += 1_000_000
        with suppress(StateError):  # not allowed now
            if what == "hold":
                hold(ledger, "prompt", "one", why="w", by="ann", until_us=now + HOUR, environment=place, now_us=now)
            elif what == "release":
                release(ledger, "prompt", why="w", by="ann", environment=place, now_us=now)
            elif what == "promote":
                promote(ledger, "prompt", digests[n % 2], to=place, why="w", by="ann", now_us=now)
            elif what == "split":
                start_split(ledger, _experiment(None, digests[1]), why="w", by="ann", now_us=now)
            else:
                now += 2 * HOUR
    board = Board(ledger)
    board.refresh()
    ((staging, production),) = given_by_all(ledger, now)
    for one in (staging, production):
        assert one == given(ledger, lever, one.environment, now)
        body = board.evaluate("prompt", {"environment": one.environment}, now)
        assert body is not None
        assert one.value == body["value"]
        assert (one.held is not None) == body["metadata"]["held"]
        assert (one.split is not None and one.held is None) == ("experiment" in body["metadata"])


def _incident(ledger: Ledger, name: str, app: str, state: str = "open") -> None:
    incident = Incident(
        id=name, title="t", app=app, environment="production", metric="m", lead="", onset_us=1, onset_low_us=1,
        onset_high_us=1, alarmed_us=1, last_signal_us=1, state=state,  # type: ignore[arg-type]
    )  # fmt: skip
    ledger.put(incident, now_us=NOW, by="andon")


def test_nothing_that_fails_keeps_a_lever_from_being_pulled() -> None:
    """Whatever freezing does, it ends in sentences for the record; of what is closed or another's, nothing is frozen."""
    ledger, lever = Ledger("sqlite://"), Lever(id="cite", kind="boolean", default=True, safe=False, app="bot")
    _incident(ledger, "INC-0001", "shop")
    _incident(ledger, "INC-0002", "bot", "closed")
    assert freeze_before(ledger, lever, lambda _: ["never asked"]) == ([NOTHING_OPEN], False)
    _incident(ledger, "INC-0003", "bot")
    _incident(ledger, "INC-0004", "bot")
    asked: list[list[str]] = []
    parts, late = freeze_before(ledger, lever, lambda known: asked.append([*known]) or ["INC-0004"])
    assert asked == [["INC-0003", "INC-0004"]]
    assert (parts, late) == (["evidence of INC-0004 is frozen", "evidence of INC-0003 is frozen already"], False)
    assert freeze_before(ledger, lever, lambda _: None)[1]

    def broken(_: object) -> list[str]:
        raise OSError("the disk is full")

    (part,), late = freeze_before(ledger, lever, broken)
    assert ("the disk is full" in part, late) == (True, False)


def test_who_asks_is_known_and_invented_names_fill_no_memory() -> None:
    """Each application is known with when it asked last; after many names, new ones are not kept, and old ones go on."""
    readers = Readers(lambda _: "default")
    for n in range(2 * MOST_APPS):
        readers.note([], f"app {n}", NOW + n)
    readers.note([], "app 0", NOW + 10_000)
    readers.note([], ["no name"], NOW + 10_001)
    assert len(readers.asked()) == MOST_APPS
    assert readers.asked()["app 0"] == NOW + 10_000
