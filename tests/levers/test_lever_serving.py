"""Laws of the memory that serves levers: its mark, what it holds, and what it says to whom."""

import gc
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import orjson
import pytest

from andon.client.answers import read_answer
from andon.errors import StoreError
from andon.levers import ENVIRONMENTS, Lever, Version, digest_of
from andon.levers.run import (
    Board,
    add_version,
    approve_version,
    declare,
    expire,
    hold,
    promote,
    release,
    review,
    start_split,
    stop_split,
)
from andon.rollouts import Experiment
from andon.store import Ledger

T0 = 1_790_000_000_000_000
HOUR = 3600 * 1_000_000
DAY = 24 * HOUR


def boarded(ledger: Ledger) -> Board:
    """A board that knows the ledger."""
    board = Board(ledger)
    board.refresh()
    return board


def test_state_changes_exactly_when_what_is_served_changes(
    ledger: Ledger, experiment: Callable[..., Experiment]
) -> None:
    """Acts that move what is served change the mark, in either environment; all others leave it, and so does time."""
    board = boarded(ledger)

    def moves(act: Callable[[], object], now: int = T0 + 10) -> bool:
        board.refresh()
        before = board.state(now)
        act()
        board.refresh()
        return board.state(now) != before

    add = lambda v: add_version(ledger, "prompt", v, why="w", by="ann", now_us=T0)  # noqa: E731
    one, two = digest_of("1"), digest_of("2")
    approve = lambda d: approve_version(ledger, "prompt", d, why="w", by="bob", now_us=T0)  # noqa: E731
    to = lambda d, e: promote(ledger, "prompt", d, to=e, why="w", by="ann", now_us=T0)  # noqa: E731
    texts = Lever(id="prompt", kind="string", default="be helpful", safe="say nothing", about="texts")
    acts: list[tuple[Callable[[], object], bool]] = [
        (lambda: add("1"), False),
        (lambda: add("2"), False),
        (lambda: approve(one), False),
        (lambda: approve(two), False),
        (lambda: to(one, "staging"), True),
        (lambda: to(one, "staging"), False),
        (lambda: to(one, "production"), True),
        (lambda: declare(ledger, texts, T0, "ann"), False),
        (lambda: start_split(ledger, experiment(two, one), why="w", by="ann", now_us=T0), True),
        (lambda: hold(ledger, "prompt", why="w", by="ann", until_us=T0 + 100, now_us=T0, break_glass=True), True),
        (lambda: review(ledger, "pull-prompt-00001", why="w", by="bob", now_us=T0), False),
        (lambda: release(ledger, "prompt", why="w", by="ann", now_us=T0 + 5), True),
        (lambda: stop_split(ledger, "EXP-0001", why="w", by="ann", now_us=T0 + 6), True),
        (lambda: declare(ledger, Lever(id="new", kind="boolean", default=False, safe=True), T0, "ann"), True),
        (lambda: expire(ledger, T0 + 10), False),
    ]
    assert [moves(act) for act, _ in acts] == [moved for _, moved in acts]


def test_an_expiry_alone_changes_the_state(ledger: Ledger, experiment: Callable[..., Experiment]) -> None:
    """The end of a hold and of an experiment changes the mark at its time, while the ledger is away, and at no other time."""
    version = add_version(ledger, "prompt", "1", why="w", by="ann", now_us=T0)
    approve_version(ledger, "prompt", version.digest, why="w", by="bob", now_us=T0)
    hold(ledger, "prompt", why="w", by="ann", until_us=T0 + 100, now_us=T0)
    start_split(ledger, experiment(version.digest, environment="staging", days=1.0), why="w", by="ann", now_us=T0)
    board = boarded(ledger)
    ledger.close()
    times = [T0, T0 + 99, T0 + 100, T0 + DAY - 1, T0 + DAY, T0 + 9 * DAY]
    states = [board.state(t) for t in times]
    assert [a == b for a, b in pairwise(states)] == [True, False, True, False, True]
    assert [board.has_expired(t) for t in times] == [False, False, True, True, True, True]


def test_versions_that_nobody_is_served_are_not_in_memory(ledger: Ledger, live: Callable[[str], Version]) -> None:
    """Of many versions the board keeps those that are live; one that is replaced goes."""
    gc.collect()
    of_others = [v for v in gc.get_objects() if isinstance(v, Version)]  # other tests' in this process
    board = boarded(ledger)
    for n in range(30):
        live(f"prompt {n}")
        board.refresh()
    gc.collect()
    kept = [v for v in gc.get_objects() if isinstance(v, Version) and not any(v is other for other in of_others)]
    assert {v.value for v in kept if v.lever == "prompt"} == {"prompt 29"}


def _broken(ledger: Ledger, value: str, environment: str, at_us: int) -> None:
    """A broken glass that somebody else looked at."""
    pull = hold(
        ledger, "prompt", value, why="w", by="ann", until_us=at_us + 150, now_us=at_us, environment=environment,
        break_glass=True,
    )  # fmt: skip
    review(ledger, pull.id, why="seen", by="bob", now_us=at_us)


@pytest.mark.parametrize("late", [True, False])
def test_a_board_that_reads_what_is_new_knows_what_one_does_that_reads_all(
    ledger: Ledger, experiment: Callable[..., Experiment], late: bool
) -> None:
    """A board that was refreshed after each act, or only at the end, says the same as one that was just made."""
    board = boarded(ledger)
    acts: list[Callable[[int], object]] = []
    for n in range(12):
        for place in ENVIRONMENTS:
            acts.append(partial(_broken, ledger, f"v{n}", place))
            if n % 3 == 0:
                acts.append(lambda t, e=place: release(ledger, "prompt", why="w", by="bob", now_us=t, environment=e))  # type: ignore[misc]
            if n % 4 == 0:
                acts.append(lambda t: expire(ledger, t + 60))
    for step, act in enumerate(acts):
        act(T0 + 100 * step)
        if not late:
            board.refresh()
        board.refresh()
        fresh = boarded(ledger)
        for t in (T0 + 100 * step + 1, T0 + 100 * step + 151):
            assert board.state(t) == fresh.state(t)
            for place in ENVIRONMENTS:
                assert board.evaluate_all({"environment": place}, t) == fresh.evaluate_all({"environment": place}, t)


def test_a_refresh_that_fails_half_way_leaves_what_was_known(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever a refresh breaks off, all of the old state is served, and the next one misses nothing."""
    hold(ledger, "prompt", why="w", by="ann", until_us=T0 + HOUR, now_us=T0)
    board = boarded(ledger)
    state = board.state(T0)
    release(ledger, "prompt", why="w", by="ann", now_us=T0 + 1)
    hold(ledger, "prompt", "2", why="w", by="ann", until_us=T0 + HOUR, now_us=T0 + 2, break_glass=True)

    def fail(*_: object, **__: object) -> None:
        raise StoreError("gone", retryable=True)

    for name in ("written", "get", "all"):
        with monkeypatch.context() as patch:
            patch.setattr(ledger, name, fail)
            with pytest.raises(StoreError):
                board.refresh()
            assert board.state(T0) == state
    board.refresh()
    body = board.evaluate("prompt", {}, T0 + 3)
    assert body is not None
    assert body["value"] == "2"


@pytest.mark.parametrize("environment", ["production", "prod", "Staging", "", None, 7, "dev", ["staging"]])
def test_who_does_not_say_staging_is_production(ledger: Ledger, environment: Any) -> None:
    """An application that says nothing, or anything else, is given what production is given: never what nobody approved."""
    draft = add_version(ledger, "prompt", "draft", why="w", by="ann", now_us=T0)
    promote(ledger, "prompt", draft.digest, to="staging", why="w", by="ann", now_us=T0)
    board = boarded(ledger)
    body, staged = (board.evaluate("prompt", {"environment": e}, T0 + 1) for e in (environment, "staging"))
    assert body is not None
    assert staged is not None
    assert (body["value"], staged["value"], staged["metadata"]) == (
        "be helpful",
        "draft",
        {"held": False, "version": draft.digest},
    )


def test_metadata_are_what_the_protocol_allows(ledger: Ledger, experiment: Callable[..., Experiment]) -> None:
    """Whatever is served, metadata are booleans, numbers and texts, and the reason is one that the client's enum knows."""
    from openfeature.flag_evaluation import Reason

    version = add_version(ledger, "prompt", "1", why="w", by="ann", now_us=T0)
    approve_version(ledger, "prompt", version.digest, why="w", by="bob", now_us=T0)
    start_split(ledger, experiment(version.digest), why="w", by="ann", now_us=T0)
    hold(
        ledger, "prompt", "1", why="w", by="ann", until_us=T0 + 100, now_us=T0, incident="INC-1", rule="r", exit="rate < 1 %",
        trade_off="t", environment="staging",
    )  # fmt: skip
    board = boarded(ledger)
    for context in ({}, {"environment": "staging"}, {"targetingKey": "u"}):
        for body in board.evaluate_all(context, T0 + 1):
            assert body["reason"] in Reason.__members__
            assert isinstance(body["variant"], str)
            assert all(isinstance(v, bool | str | float) for v in body["metadata"].values())
    held = board.evaluate("prompt", {"environment": "staging"}, T0 + 1)
    assert held is not None
    assert (held["variant"], held["metadata"]["rule"], held["metadata"]["exit"]) == (version.digest, "r", "rate < 1 %")


def test_levers_that_are_too_large_together_disarm_no_kill_switch(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where all levers are more than a client reads, the largest fail, named as a problem; all others are served as ever."""
    for n in range(8):
        declare(ledger, Lever(id=f"big-{n}", kind="string", default="x" * 1_000_000, safe=""), T0, "ann")
    declare(ledger, Lever(id="switch", kind="boolean", default=True, safe=False), T0, "ann")
    board = boarded(ledger)
    body = orjson.dumps({"flags": board.evaluate_all({}, T0)})
    answer = read_answer(body)
    failed = {key for key, entry in answer.entries.items() if entry.error}
    assert failed == {"big-6", "big-7"}, "of two that are alike the later one"
    assert len(answer.entries) == 10
    assert answer.entries["switch"].value is True
    (problem,) = board.too_large(T0)
    assert "big-6, big-7" in problem
    single = board.evaluate("big-7", {}, T0)
    assert single is not None
    assert len(single["value"]) == 1_000_000
    hold(ledger, "big-0", why="w", by="ann", until_us=T0 + 100, now_us=T0, environment="staging")
    board.refresh()
    for place, many in (("staging", 1), ("production", 2)):
        assert sum("errorCode" in b for b in board.evaluate_all({"environment": place}, T0 + 1)) == many
        assert sum("errorCode" in b for b in board.evaluate_all({"environment": place}, T0 + 100)) == 2
    monkeypatch.setattr("andon.levers.run.board.MOST_LEVERS", 4)
    small = boarded(ledger)
    assert [b["key"] for b in small.evaluate_all({}, T0)] == ["big-0", "big-1", "prompt", "switch"]
    assert boarded(Ledger("sqlite://")).too_large(T0) == []


@pytest.mark.parametrize("kind", ["string", "number"])
def test_a_lever_that_fails_closed_says_what_is_safe(ledger: Ledger, kind: Any) -> None:
    """In the answer with all levers; a hold is what somebody decided, so nothing is said instead of it."""
    safe: Any = "stop ü" if kind == "string" else 1.0
    declare(ledger, Lever(id="x", kind=kind, default=safe, safe=safe, fail="closed"), T0, "ann")
    board = boarded(ledger)
    entry = next(b for b in board.evaluate_all({}, T0) if b["key"] == "x")
    assert entry["metadata"] == {"held": False, "failClosed": True, "safe": orjson.dumps(safe).decode()}
    alone = board.evaluate("x", {}, T0)
    assert alone is not None
    assert alone["metadata"] == {"held": False, "failClosed": True}
    assert "safe" not in next(b for b in board.evaluate_all({}, T0) if b["key"] == "prompt")["metadata"]
    hold(ledger, "x", why="w", by="ann", until_us=T0 + 100, now_us=T0)
    board.refresh()
    assert "safe" not in next(b for b in board.evaluate_all({}, T0 + 1) if b["key"] == "x")["metadata"]
