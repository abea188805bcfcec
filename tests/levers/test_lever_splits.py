"""Laws of splitting users between two versions of a lever while an experiment runs."""

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.changes import Change
from andon.client.allocation import allocate
from andon.errors import InputError, StateError
from andon.levers import UNALLOCATED, Lever, Promotion, Pull, Version
from andon.levers.run import (
    Board,
    add_version,
    allocation_of,
    declare,
    expire,
    hold,
    known_lever,
    live_in,
    promote,
    start_split,
    stop_split,
)
from andon.rollouts import Allocation, Experiment
from andon.store import Ledger

T0 = 1_790_000_000_000_000
DAY = 24 * 3600 * 1_000_000
Plan = Callable[..., Experiment]
Make = Callable[[str], Version]


def start(ledger: Ledger, experiment: Experiment, now_us: int = T0 + 10, **more: Any) -> Allocation:
    """An experiment begun."""
    return start_split(ledger, experiment, **{"why": "to know", "by": "ann", "now_us": now_us, **more})


def read(ledger: Ledger, now_us: int = T0 + 20, /, **context: Any) -> Mapping[str, Any]:
    """What a request of this context is answered."""
    board = Board(ledger)
    board.refresh()
    body = board.evaluate("prompt", context, now_us)
    assert body is not None
    return body


def bulk(ledger: Ledger, now_us: int = T0 + 20, /, **context: Any) -> Mapping[str, Any]:
    """The entry of the prompt in the answer for all levers."""
    board = Board(ledger)
    board.refresh()
    return next(body for body in board.evaluate_all(context, now_us) if body["key"] == "prompt")


def user_of(experiment: Experiment, arm: int) -> str:
    """A user of one arm."""
    salt, shares = f"prompt:{experiment.id}", (experiment.share, 1 - experiment.share)
    return next(f"user-{n}" for n in range(1000) if allocate(f"user-{n}", salt, shares) == arm)


def test_each_user_is_given_the_value_of_their_arm(
    ledger: Ledger, live: Make, approved: Make, experiment: Plan
) -> None:
    """A split says SPLIT, the arm as variant and the experiment, and gives each user the version of their arm."""
    plan = experiment(approved("new").digest, live("old").digest)
    start(ledger, plan)
    for arm, (value, variant) in enumerate((("new", "exp-0001-treatment"), ("old", "exp-0001-control"))):
        assert read(ledger, targetingKey=user_of(plan, arm)) == {
            "key": "prompt", "value": value, "reason": "SPLIT", "variant": variant,
            "metadata": {"held": False, "experiment": "EXP-0001"},
        }  # fmt: skip


def test_only_the_environment_of_the_experiment_is_split(ledger: Ledger, approved: Make, experiment: Plan) -> None:
    """An experiment in staging leaves production alone, and the other way round."""
    start(ledger, experiment(approved("new").digest, environment="staging"))
    assert read(ledger, targetingKey="u")["reason"] == "STATIC"
    assert read(ledger, targetingKey="u", environment="staging")["reason"] == "SPLIT"


def test_a_hold_wins_over_a_split(ledger: Ledger, approved: Make, experiment: Plan) -> None:
    """Who is held is held: all users of both arms are given the value of the pull, and are split again after it."""
    plan = experiment(approved("new").digest)
    start(ledger, plan)
    hold(ledger, "prompt", why="harm", by="ann", until_us=T0 + 30, now_us=T0 + 15)
    for context in ({}, {"targetingKey": user_of(plan, 0)}, {"targetingKey": user_of(plan, 1)}, {"shadow": True}):
        body = read(ledger, **context)
        assert (body["value"], body["reason"], body["variant"]) == ("say nothing", "STATIC", "held")
    assert bulk(ledger)["value"] == "say nothing"
    assert read(ledger, T0 + 30, targetingKey=user_of(plan, 0))["value"] == "new"


@pytest.mark.parametrize("how", ["stopped", "expired", "expired and recorded"])
def test_after_an_experiment_everybody_has_what_is_live(
    ledger: Ledger, live: Make, approved: Make, experiment: Plan, how: str
) -> None:
    """An experiment that ended, or whose time is over whether that is recorded or not, gives nobody the treatment."""
    old = live("old")
    plan = experiment(approved("new").digest, old.digest, days=1.0)
    start(ledger, plan)
    now = T0 + 10 + DAY
    if how == "stopped":
        now = T0 + 50
        stop_split(ledger, "EXP-0001", why="seen enough", by="bob", now_us=now)
    else:
        assert read(ledger, now - 1, targetingKey=user_of(plan, 0))["value"] == "new"
    if how == "expired and recorded":
        expire(ledger, now + 99)
    for context in ({}, {"targetingKey": user_of(plan, 0)}, {"targetingKey": user_of(plan, 1)}):
        assert (read(ledger, now, **context)["value"], read(ledger, now, **context)["variant"]) == ("old", old.digest)
    expire(ledger, now + 100)
    kept = allocation_of(ledger, "EXP-0001")
    assert kept is not None
    assert (kept.ended_us, kept.ended_by) == (now, "bob" if how == "stopped" else "andon")
    assert [(c.at_us, c.before, c.after) for c in ledger.all(Change)[2:]] == [
        (T0 + 10, "old", "new"),
        (now, "new", "old"),
    ]


def test_the_control_is_what_is_live(ledger: Ledger, live: Make, approved: Make, experiment: Plan) -> None:
    """A control that users do not have now is refused, by name, with what is live: nobody's answers change at the end."""
    new, other = approved("new"), approved("other")
    with pytest.raises(
        StateError, match=f"control of EXP-0001 is version {other.digest}, but the default of prompt is live"
    ):
        start(ledger, experiment(new.digest, other.digest))
    old = live("old")
    for control in (None, other.digest):
        entry = ledger.last_entry()
        with pytest.raises(StateError, match=f"but version {old.digest} of prompt is live in production"):
            start(ledger, experiment(new.digest, control))
        assert ledger.last_entry() == entry
    start(ledger, experiment(new.digest, old.digest))


def test_what_is_live_stays_while_it_is_compared(ledger: Ledger, live: Make, approved: Make, experiment: Plan) -> None:
    """While users are split nothing is promoted there, and an arm's default is not declared anew; after it both may be."""
    new, old = approved("new"), approved("old")
    promote(ledger, "prompt", new.digest, to="staging", why="w", by="ann", now_us=T0)
    start(ledger, experiment(new.digest))
    lever = ledger.get(Lever, "prompt")
    assert lever is not None
    other = replace(lever, default="say nothing")
    for act in (
        lambda now: promote(ledger, "prompt", new.digest, to="production", why="w", by="ann", now_us=now),
        lambda now: declare(ledger, other, now, "ann"),
    ):
        entry = ledger.last_entry()
        with pytest.raises(StateError, match=r"EXP-0001 splits prompt in production until .* end it first") as refused:
            act(T0 + 20)
        assert refused.value.commands == "`andon rollout stop EXP-0001`"
        assert ledger.last_entry() == entry
    declare(ledger, replace(lever, about="texts may change"), T0 + 20, "ann")
    promote(ledger, "prompt", old.digest, to="staging", why="elsewhere", by="ann", now_us=T0 + 20)
    promote(ledger, "prompt", new.digest, to="staging", why="elsewhere", by="ann", now_us=T0 + 20)
    stop_split(ledger, "EXP-0001", why="done", by="ann", now_us=T0 + 30)
    promote(ledger, "prompt", new.digest, to="production", why="it won", by="ann", now_us=T0 + 31)
    assert read(ledger, T0 + 32)["value"] == "new"


def test_nothing_unapproved_is_an_arm_in_production(ledger: Ledger, approved: Make, experiment: Plan) -> None:
    """An arm that nobody approved is refused in production and taken in staging; nothing is written."""
    draft = add_version(ledger, "prompt", "draft", why="w", by="ann", now_us=T0)
    entry = ledger.last_entry()
    with pytest.raises(StateError, match="not approved"):
        start(ledger, experiment(draft.digest))
    assert ledger.last_entry() == entry
    start(ledger, experiment(draft.digest, environment="staging"))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"lever": "promt"}, 'there is no lever "promt"; declared: prompt'),
        ({"treatment": "ffffffffffff"}, "is no version of prompt; there are"),
        ({"treatment": None}, "are the same"),
        ({"environment": "prod"}, "staging and production have"),
        ({"share": 0.0}, "share of 0.0"),
        ({"share": 1.0}, "between 0 and 1"),
        ({"share": math.nan}, "share of nan"),
        ({"days": 0.0}, "for 0.0 days"),
        ({"days": 91.0}, "up to 90 days"),
        ({"days": math.inf}, "for inf days"),
    ],
)
def test_a_plan_that_cannot_run_is_refused(
    ledger: Ledger, approved: Make, experiment: Plan, fields: dict[str, Any], says: str
) -> None:
    """An unknown lever, version or environment, equal arms, a share or a time that is none: said by name, nothing written."""
    plan = replace(experiment(approved("new").digest), **fields)
    entry = ledger.last_entry()
    with pytest.raises(InputError, match=says):
        start(ledger, plan)
    assert ledger.last_entry() == entry


def test_one_experiment_at_a_time_and_each_once(ledger: Ledger, approved: Make, experiment: Plan) -> None:
    """A second experiment on a lever waits for the end of the first, and one that ran never runs again."""
    plan = experiment(approved("new").digest)
    second = replace(plan, id="EXP-0002")
    start(ledger, plan)
    with pytest.raises(StateError, match=r"EXP-0001 splits prompt in production until .* end it first") as refused:
        start(ledger, second)
    assert refused.value.commands == "`andon rollout stop EXP-0001`"
    with pytest.raises(StateError, match="EXP-0001 was started before"):
        start(ledger, plan)
    stop_split(ledger, "EXP-0001", why="w", by="ann", now_us=T0 + 20)
    with pytest.raises(StateError, match="EXP-0001 was started before"):
        start(ledger, plan)
    start(ledger, second, T0 + 21)
    assert read(ledger, T0 + 22, targetingKey="u")["metadata"]["experiment"] == "EXP-0002"


def test_what_never_ran_or_ended_is_not_stopped(ledger: Ledger, approved: Make, experiment: Plan) -> None:
    """Stopping an unknown experiment names those that run; stopping one that ended, or whose time is over, says when and why."""
    with pytest.raises(InputError, match=r'"EXP-9" was never started.*running: none'):
        stop_split(ledger, "EXP-9", why="w", by="ann", now_us=T0)
    start(ledger, experiment(approved("new").digest, days=1.0))
    with pytest.raises(InputError, match="running: EXP-0001"):
        stop_split(ledger, "EXP-9", why="w", by="ann", now_us=T0)
    with pytest.raises(StateError, match="its time is over"):
        stop_split(ledger, "EXP-0001", why="w", by="ann", now_us=T0 + 2 * DAY)
    kept = allocation_of(ledger, "EXP-0001")
    assert kept is not None
    assert (kept.ended_us, kept.ended_by) == (T0 + 10 + DAY, "andon")


def test_a_request_of_nobody(ledger: Ledger, approved: Make, experiment: Plan) -> None:
    """Without a user, or with one that is none, the control's value is given to no arm; a bulk answer says how to split."""
    plan = experiment(approved("new").digest, share=0.25)
    start(ledger, plan)
    for context in ({}, {"targetingKey": ""}, {"targetingKey": None}):
        single, body = read(ledger, **context), bulk(ledger, **context)
        assert (single["value"], single["reason"], single["variant"]) == ("be helpful", "DEFAULT", UNALLOCATED)
        assert single["metadata"] == {"held": False, "experiment": "EXP-0001"}
        assert (body["value"], body["reason"], body["variant"]) == ("be helpful", "DEFAULT", UNALLOCATED)
        assert json.loads(body["metadata"]["split"]) == {
            "salt": "prompt:EXP-0001",
            "shadow": False,
            "arms": [
                {"variant": "exp-0001-treatment", "share": 0.25, "value": "new"},
                {"variant": "exp-0001-control", "share": 0.75, "value": "be helpful"},
            ],
        }
    for key in (7.0, True, ["u"], {"id": "u"}, 2**64):
        assert read(ledger, targetingKey=key) == read(ledger)
        assert bulk(ledger, targetingKey=key) == bulk(ledger)


def test_the_number_of_a_user_is_its_text(ledger: Ledger, approved: Make, experiment: Plan) -> None:
    """Applications give whole numbers as targeting keys: each is given the arm of its text."""
    start(ledger, experiment(approved("new").digest))
    arms = set()
    for key in (*range(40), -7, 2**64 - 1):
        body = read(ledger, targetingKey=key)
        assert body == read(ledger, targetingKey=str(key)) == bulk(ledger, targetingKey=key)
        arms.add(body["variant"])
    assert arms == {"exp-0001-treatment", "exp-0001-control"}


def test_no_targeting_key_fails_a_lever_that_does_not_split(ledger: Ledger) -> None:
    """Whatever an application gives as targeting key, a lever that splits nobody is served, a hold above all."""
    hold(ledger, "prompt", why="harm", by="ann", until_us=T0 + DAY, now_us=T0)
    for key in (7, 7.5, True, ["u"], {"id": "u"}, None, ""):
        assert read(ledger, targetingKey=key)["value"] == "say nothing"
        assert bulk(ledger, targetingKey=key)["value"] == "say nothing"


def test_a_shadow_changes_nothing_for_users(ledger: Ledger, live: Make, approved: Make, experiment: Plan) -> None:
    """In a shadow all users have the control, with a key and without; only who asks for the shadow is given the treatment."""
    plan = experiment(approved("new").digest, live("old").digest, kind="shadow", share=0.3)
    start(ledger, plan)
    for context in ({}, {"targetingKey": ""}, *({"targetingKey": f"user-{n}"} for n in range(200)), {"shadow": "true"}):
        body = read(ledger, **context)
        assert (body["value"], body["variant"], body["reason"]) == ("old", "exp-0001-control", "SPLIT")
    for context in ({"shadow": True}, {"shadow": True, "targetingKey": "u"}):
        body = read(ledger, **context)
        assert (body["value"], body["variant"]) == ("new", "exp-0001-treatment-shadow")
    said = json.loads(bulk(ledger)["metadata"]["split"])
    assert (said["shadow"], [a["share"] for a in said["arms"]]) == (True, [0.0, 1.0])


def test_only_a_shadow_gives_the_treatment_to_who_asks(ledger: Ledger, approved: Make, experiment: Plan) -> None:
    """In a live split nobody chooses their arm by asking for the shadow."""
    plan = experiment(approved("new").digest)
    start(ledger, plan)
    assert read(ledger, shadow=True, targetingKey=user_of(plan, 1))["variant"] == "exp-0001-control"


def test_client_and_server_agree_for_every_user(ledger: Ledger, approved: Make, experiment: Plan) -> None:
    """What a provider allocates from the bulk answer is what the server answers, for 10,000 keys of all kinds."""
    start(ledger, experiment(approved("new").digest, share=0.3))
    board = Board(ledger)
    board.refresh()
    split = json.loads(bulk(ledger)["metadata"]["split"])
    shares = [a["share"] for a in split["arms"]]
    keys = [*(f"user-{n}" for n in range(9_000)), *(chr(32 + 7 * n) for n in range(1_000))]
    for key in keys:
        arm = split["arms"][allocate(key, split["salt"], shares)]
        body = board.evaluate("prompt", {"targetingKey": key}, T0 + 20)
        assert body is not None
        assert (body["value"], body["variant"]) == (arm["value"], arm["variant"])


@pytest.mark.parametrize("share", [0.01, 0.05, 0.3, 0.5, 0.9])
def test_arms_are_as_large_as_planned(share: float) -> None:
    """Over 40,000 users the share of the treatment is the planned one, within what chance allows once in a million."""
    n = 40_000
    count = sum(allocate(f"user-{i}", "prompt:EXP-0001", (share, 1 - share)) == 0 for i in range(n))
    assert abs(count - n * share) < 4.9 * math.sqrt(n * share * (1 - share))


def test_two_experiments_split_independently() -> None:
    """The arm in one experiment says nothing of the arm in another: all four combinations are a quarter each."""
    n = 20_000
    both = Counter(tuple(allocate(f"u{i}", f"prompt:EXP-{e}", (0.5, 0.5)) for e in (1, 2)) for i in range(n))
    assert all(abs(count - n / 4) < 4.9 * math.sqrt(n * 3 / 16) for count in both.values())
    assert len(both) == 4


@given(st.text(), st.text(), st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_a_user_stays_in_the_treatment_while_it_grows(key: str, salt: str, shares: list[float]) -> None:
    """Over growing shares a user goes into the treatment at most once and never leaves it; asked again the answer is the same."""
    arms = [allocate(key, salt, (share, 1 - share)) for share in sorted(shares)]
    assert arms == sorted(arms, reverse=True)
    assert arms == [allocate(key, salt, (share, 1 - share)) for share in sorted(shares)]


def test_a_clock_behind_splits_what_was_started(ledger: Ledger, approved: Make, experiment: Plan) -> None:
    """A server whose clock is behind that of who started gives each user the arm that all other servers give."""
    plan = experiment(approved("new").digest)
    start(ledger, plan, T0 + DAY)
    for arm in (0, 1):
        key = user_of(plan, arm)
        assert read(ledger, T0, targetingKey=key) == read(ledger, T0 + DAY, targetingKey=key)


def test_two_who_start_at_once(ledger: Ledger, approved: Make, experiment: Plan, first: Callable[..., None]) -> None:
    """Of two who start experiments on a lever in the same moment one is told; one splits, and one change says so."""
    plan = experiment(approved("new").digest)
    first(Allocation, lambda: start(ledger, replace(plan, id="EXP-0002"), by="eve"))
    with pytest.raises(
        StateError, match=r"somebody else started or ended an experiment on prompt in production, .* in the same"
    ):
        start(ledger, plan)
    assert allocation_of(ledger, "EXP-0001") is None
    assert [(c.id, c.author) for c in ledger.all(Change)] == [("lever-prompt-EXP-0002-began", "eve")]
    start(ledger, replace(plan, environment="staging"))


@pytest.mark.parametrize(
    ("named", "is_live"),
    [("other", True), ("default", True), ("declared", True), ("other", False), ("declared", False)],
)
def test_what_is_live_does_not_change_while_an_experiment_starts(
    ledger: Ledger, live: Make, approved: Make, experiment: Plan, first: Callable[..., None], named: str, is_live: bool
) -> None:
    """Who starts while somebody else promotes, goes back to the default or declares another is told; nothing splits."""
    digest = live("old").digest if is_live else None
    plan, other = experiment(approved("new").digest, digest), approved("other")
    promote(ledger, "prompt", other.digest, to="staging", why="w", by="eve", now_us=T0 + 4)
    lever = known_lever(ledger, "prompt")

    def act() -> None:
        if named == "declared":
            declare(ledger, replace(lever, default="other"), T0 + 5, "eve")
        else:
            name = other.digest if named == "other" else named
            promote(ledger, "prompt", name, to="production", why="w", by="eve", now_us=T0 + 5)

    first(Allocation, act)
    with pytest.raises(StateError, match="promoted a version or declared the lever in the same moment"):
        start(ledger, plan)
    assert read(ledger)["reason"] == "STATIC"
    assert allocation_of(ledger, "EXP-0001") is None
    assert not [c for c in ledger.all(Change) if "EXP-0001" in c.id]


def test_an_experiment_starts_while_somebody_promotes(
    ledger: Ledger, approved: Make, experiment: Plan, first: Callable[..., None]
) -> None:
    """Who promotes or declares another default while an experiment starts is told; its control stays what is live."""
    new, other = approved("new"), approved("other")
    promote(ledger, "prompt", other.digest, to="staging", why="w", by="ann", now_us=T0 + 4)
    lever = known_lever(ledger, "prompt")
    for n, (kind, act) in enumerate(
        [
            (
                Promotion,
                lambda: promote(ledger, "prompt", other.digest, to="production", why="w", by="b", now_us=T0 + 5),
            ),
            (Lever, lambda: declare(ledger, replace(lever, default="other"), T0 + 5, "ann")),
        ]
    ):
        plan = experiment(new.digest, id=f"EXP-000{n}")
        first(kind, lambda plan=plan: start(ledger, plan, by="eve"))
        with pytest.raises(StateError, match=r"started or ended an experiment .* in the same moment"):
            act()
        assert live_in(ledger, "prompt", "production") is None
        assert known_lever(ledger, "prompt") == lever
        assert read(ledger, targetingKey=user_of(plan, 1))["value"] == "be helpful"
        stop_split(ledger, plan.id, why="w", by="eve", now_us=T0 + 11)


def test_two_who_stop_at_once(ledger: Ledger, approved: Make, experiment: Plan, first: Callable[..., None]) -> None:
    """Of two who stop an experiment in the same moment one is told, and it ends once; a tick in between is no error."""
    start(ledger, experiment(approved("new").digest, days=1.0))
    first(Allocation, lambda: stop_split(ledger, "EXP-0001", why="w", by="eve", now_us=T0 + 20))
    with pytest.raises(StateError, match="somebody else ended EXP-0001 in the same moment"):
        stop_split(ledger, "EXP-0001", why="w", by="ann", now_us=T0 + 20)
    start(ledger, experiment(approved("other").digest, id="EXP-0003", days=1.0), T0 + 30)
    first(Allocation, lambda: stop_split(ledger, "EXP-0003", why="w", by="eve", now_us=T0 + 40))
    expire(ledger, T0 + 2 * DAY)
    assert [(c.id, c.author) for c in ledger.all(Change)] == [
        ("lever-prompt-EXP-0001-began", "ann"),
        ("lever-prompt-EXP-0001-ended", "eve"),
        ("lever-prompt-EXP-0003-began", "ann"),
        ("lever-prompt-EXP-0003-ended", "eve"),
    ]


@pytest.mark.parametrize("survives", range(9))
@pytest.mark.parametrize("look", [True, False])
def test_a_crash_leaves_no_split_without_its_changes(
    ledger: Ledger, approved: Make, experiment: Plan, power_cut: Callable[[int], Any], survives: int, look: bool
) -> None:
    """Wherever starts, a stop and an expiry break off, the next tick or start completes each beginning and end, once."""
    plan = experiment(approved("new").digest, days=1.0)
    with power_cut(survives):
        start(ledger, plan)
        stop_split(ledger, "EXP-0001", why="w", by="ann", now_us=T0 + 20)
        start(ledger, replace(plan, id="EXP-0002"), T0 + 30)
        expire(ledger, T0 + 2 * DAY)
    if look:
        expire(ledger, T0 + 2 * DAY)
        entry = ledger.last_entry()
        expire(ledger, T0 + 2 * DAY)
        assert ledger.last_entry() == entry
    start(ledger, replace(plan, id="EXP-0009"), T0 + 3 * DAY)
    wanted = set()
    for kept in ledger.history(Allocation):
        wanted.add(f"lever-prompt-{kept.record.experiment}-began")
        if kept.record.ended_us is not None or kept.record.experiment != "EXP-0009":
            wanted.add(f"lever-prompt-{kept.record.experiment}-ended")
    assert Counter(c.id for c in ledger.all(Change)) == Counter(wanted)
    assert {v.version for v in ledger.history(Change)} == {1}


def test_an_overdue_experiment_is_ended_before_the_next_begins(
    ledger: Ledger, approved: Make, experiment: Plan
) -> None:
    """An experiment whose time is over and whose end nobody wrote down ends by the next start: on time, with a change."""
    plan = experiment(approved("new").digest, days=1.0)
    start(ledger, plan)
    start(ledger, replace(plan, id="EXP-0002"), T0 + 3 * DAY)
    ended = allocation_of(ledger, "EXP-0001")
    assert ended is not None
    assert (ended.ended_us, ended.ended_why) == (T0 + 10 + DAY, "its time is over")
    assert [c.id.rpartition("-")[2] for c in ledger.all(Change)] == ["began", "ended", "began"]
    assert (ledger.all(Promotion), ledger.all(Pull)) == ([], [])
