"""The law of levers: whatever people do, production is served nothing that nobody approved."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from andon.changes import Change
from andon.errors import InputError, StateError
from andon.levers import ENVIRONMENTS, GateResult, Lever, Pull, digest_of
from andon.levers.run import (
    Board,
    add_version,
    allocation_of,
    approve_version,
    declare,
    expire,
    hold,
    note_gate,
    promote,
    release,
    review,
    start_split,
    stop_split,
    version_before,
)
from andon.rollouts import Experiment
from andon.store import Ledger

T0 = 1_790_000_000_000_000
HOUR = 3600 * 1_000_000
DAY = 24 * HOUR
DOSE = Lever(id="dose", kind="number", default=10.0, safe=0.0)
VALUES = st.sampled_from([5.0, 20.0, 30.0, 20.0, 30.0, 10.0])
STAGES = st.sampled_from(["unknown", "added", "staged", "approved", "approved and staged", "live"])
PEOPLE = st.sampled_from(["ann", "bob", "Ann "])
PLACES = st.sampled_from(ENVIRONMENTS)


@dataclass
class Held:
    """What the model knows of a hold."""

    value: float
    until_us: int
    broken: bool


class People(RuleBasedStateMachine):
    """People, rules and clocks that do to a lever whatever they like, and a model of what must be served."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger("sqlite://")
        self.board = Board(self.ledger)
        self.now = T0
        self.lever = DOSE
        self.authors: dict[float, str] = {}
        self.approved: set[float] = set()
        self.gates: dict[float, str] = {}
        self.declared = [DOSE]
        self.held: dict[str, Held] = {}
        self.live: dict[str, list[float | None]] = {e: [] for e in ENVIRONMENTS}
        self.split: dict[str, tuple[str, float | None, float | None, int]] = {}
        self.plans = 0
        declare(self.ledger, DOSE, T0, "ann")

    @initialize(two=STAGES, three=STAGES)
    def begin(self, two: str, three: str) -> None:
        """Stories begin in the middle: versions were added, approved, tried and promoted before."""
        for value, stage in ((20.0, two), (30.0, three)):
            if stage != "unknown":
                self.add(value, "ann")
            if stage in ("approved", "approved and staged", "live"):
                self.approve(value, "bob")
            if stage in ("staged", "approved and staged", "live"):
                self.promote(value, "staging")
            if stage == "live":
                self.promote(value, "production")

    def teardown(self) -> None:
        self.ledger.close()

    def may(self, value: float) -> bool:
        """Whether production may be given a value: declared or in between, or approved and not failed by the gate."""
        low, high = sorted((float(self.lever.default), float(self.lever.safe)))  # type: ignore[arg-type]
        return low <= value <= high or (value in self.approved and self.gates.get(value, "pass") == "pass")

    def rest(self, place: str) -> float:
        """What is given while nobody holds and nothing splits."""
        return self.valued(self.live[place][-1] if self.live[place] else None)

    def valued(self, value: float | None) -> float:
        """The value of a version, or the default."""
        return float(self.lever.default) if value is None else value  # type: ignore[arg-type]

    def tried(self, act: Callable[[], object], allowed: bool) -> bool:
        """Do it, or be told why not; then nothing is written."""
        expire(self.ledger, self.now)
        entry = self.ledger.last_entry()
        if allowed:
            act()
            return True
        with pytest.raises((InputError, StateError)) as told:
            act()
        assert len(str(told.value)) > 20
        assert self.ledger.last_entry() == entry
        return False

    def running(self, place: str) -> bool:
        return place in self.split and self.now < self.split[place][3]

    @rule(ahead=st.sampled_from([0, 1, HOUR, DAY]))
    def wait(self, ahead: int) -> None:
        self.now += ahead

    @rule()
    def look(self) -> None:
        expire(self.ledger, self.now)

    @rule(default=st.sampled_from([10.0, 5.0, 20.0]), safe=st.sampled_from([0.0, 0.0, 5.0, 30.0]))
    def declare_anew(self, default: float, safe: float) -> None:
        lever = Lever(id="dose", kind="number", default=default, safe=safe)
        known = (lever.default, lever.safe) == (self.lever.default, self.lever.safe)
        arms = [a for e in ENVIRONMENTS if self.running(e) for a in self.split[e][1:3]]
        free = lever.default == self.lever.default or None not in arms
        allowed = known or (free and self.may(default) and self.may(safe))
        if self.tried(lambda: declare(self.ledger, lever, self.now, "ann"), allowed):
            self.lever = lever
            self.declared.append(lever)

    @rule(value=VALUES, by=PEOPLE)
    def add(self, value: float, by: str) -> None:
        add_version(self.ledger, "dose", value, why="try", by=by, now_us=self.now)
        self.authors.setdefault(value, by)

    @rule(value=VALUES, by=PEOPLE)
    def approve(self, value: float, by: str) -> None:
        allowed = value in self.authors and self.authors[value].strip().lower() != by.strip().lower()
        act = lambda: approve_version(self.ledger, "dose", digest_of(value), why="read", by=by, now_us=self.now)  # noqa: E731
        if self.tried(act, allowed):
            self.approved.add(value)

    @rule(value=VALUES, outcome=st.sampled_from(["pass", "fail", "undecided", "could not run"]))
    def gate(self, value: float, outcome: Any) -> None:
        result = GateResult(outcome=outcome, reason="cases", by="ci", at_us=self.now)
        act = lambda: note_gate(self.ledger, "dose", digest_of(value), result, self.now)  # noqa: E731
        if self.tried(act, value in self.authors):
            self.gates[value] = outcome

    @rule(value=VALUES, place=PLACES)
    def promote(self, value: float, place: str) -> None:
        allowed = value in self.authors
        if place == "production":
            tried = value in self.live[place] or self.live["staging"][-1:] == [value]
            allowed = value in self.approved and self.gates.get(value, "pass") == "pass" and tried
        again = self.live[place][-1:] == [value]
        allowed = allowed and (again or not self.running(place))
        act = lambda: promote(  # noqa: E731
            self.ledger, "dose", digest_of(value), to=place, why="w", by="ann", now_us=self.now
        )
        if self.tried(act, allowed) and not again:
            self.live[place].append(value)

    @rule(place=PLACES)
    def promote_the_default(self, place: str) -> None:
        again = self.live[place][-1:] == [None]
        allowed = bool(self.live[place]) and (again or not self.running(place))
        act = lambda: promote(self.ledger, "dose", "default", to=place, why="w", by="ann", now_us=self.now)  # noqa: E731
        if self.tried(act, allowed) and not again:
            self.live[place].append(None)

    @rule(value=st.none() | VALUES, place=PLACES, broken=st.booleans(), hours=st.integers(1, 30), back=st.booleans())
    def hold(self, value: float | None, place: str, broken: bool, hours: int, back: bool) -> None:
        now = self.now - 2 * HOUR if back else self.now  # by a clock that is behind
        until = now + hours * HOUR
        self.now += 1
        wanted = float(self.lever.safe) if value is None else value  # type: ignore[arg-type]
        waiting = any(p.break_glass and p.reviewed is None for p in self.ledger.all(Pull))
        may = place == "staging" or self.may(wanted)
        allowed = hours <= 24 and (may or not waiting) if broken else may

        def act() -> None:
            pull = hold(
                self.ledger,
                "dose",
                value,
                why="harm",
                by="ann",
                until_us=until,
                now_us=now,
                environment=place,
                break_glass=broken,
            )
            assert pull.at_us < pull.until_us >= until
            self.held[place] = Held(wanted, pull.until_us, broken)

        self.tried(act, allowed)

    @rule(place=PLACES)
    def release(self, place: str) -> None:
        allowed = place in self.held and self.now < self.held[place].until_us
        if self.tried(
            lambda: release(self.ledger, "dose", why="w", by="bob", now_us=self.now, environment=place), allowed
        ):
            del self.held[place]

    @rule(place=PLACES)
    def roll_back(self, place: str) -> None:
        was: list[float | None] = [None, *self.live[place]]
        older = was[: was.index(was[-1])]  # all that was live before what is live first was
        allowed = bool(older) and (place == "staging" or self.may(self.valued(older[-1])))
        self.now += 1

        def act() -> None:
            value = version_before(self.ledger, "dose", place)
            hold(
                self.ledger,
                "dose",
                value,
                why="w",
                by="ann",
                until_us=self.now + HOUR,
                now_us=self.now,
                environment=place,
            )

        if self.tried(act, allowed):
            self.held[place] = Held(self.valued(older[-1]), self.now + HOUR, False)

    @rule(by=PEOPLE)
    def review(self, by: str) -> None:
        for pull in self.ledger.all(Pull):
            with suppress(StateError):
                review(self.ledger, pull.id, why="looked", by=by, now_us=self.now)

    @rule(
        treatment=st.none() | VALUES, control=st.none() | VALUES, place=PLACES, kind=st.sampled_from(["ab", "shadow"])
    )
    def start(self, treatment: float, control: float | None, place: Any, kind: Any) -> None:
        if control is None and self.live[place]:
            control = self.live[place][-1]
        arms = [None if v is None else digest_of(v) for v in (treatment, control)]
        self.plans += 1
        plan = Experiment(
            id=f"EXP-{self.plans:04d}", kind=kind, app="bot", environment=place, lever="dose", treatment=arms[0], control=arms[1],
            share=0.5, hypothesis="h", metric="m", better="up", effect=0.1, base=0.1, planned=(9, 9), days=1.5, by="ann", at_us=T0,
        )  # fmt: skip
        values = [float(self.lever.default) if v is None else v for v in (treatment, control)]  # type: ignore[arg-type]
        named = [v for v in (treatment, control) if v is not None]
        allowed = (
            all(v in self.authors for v in named)
            and values[0] != values[1]
            and (control == (self.live[place][-1] if self.live[place] else None))
            and not self.running(place)
            and (place == "staging" or all(v in self.approved and self.gates.get(v, "pass") == "pass" for v in named))
        )
        if self.tried(lambda: start_split(self.ledger, plan, why="w", by="ann", now_us=self.now), allowed):
            self.split[place] = (plan.id, treatment, control, self.now + round(1.5 * DAY))

    @rule(place=PLACES)
    def stop(self, place: str) -> None:
        name = self.split[place][0] if place in self.split else "EXP-9999"
        act = lambda: stop_split(self.ledger, name, why="w", by="ann", now_us=self.now)  # noqa: E731
        if self.tried(act, self.running(place)):
            del self.split[place]

    @invariant()
    def production_is_served_nothing_unapproved(self) -> None:
        """Safe value, default, between them, an approved version, or what a broken glass holds: and just what the model says."""
        self.board.refresh()
        pulls = {p.id: p for p in self.ledger.all(Pull)}
        for place in ENVIRONMENTS:
            hold = self.held.get(place)
            held = hold is not None and self.now < hold.until_us
            ends = (self.rest(place),) if not self.running(place) else self.split[place][1:3]
            wanted = {float(self.lever.default) if v is None else v for v in ends}  # type: ignore[arg-type]
            for context in ({}, {"targetingKey": "u1"}, {"targetingKey": "u2"}, {"targetingKey": "u4", "shadow": True}):
                given = [
                    self.board.evaluate("dose", {**context, "environment": place}, self.now),
                    *self.board.evaluate_all({**context, "environment": place}, self.now),
                ]
                for body in given:
                    assert body is not None
                    if held:
                        assert hold is not None
                        assert (body["value"], body["metadata"]["held"]) == (hold.value, True)
                    else:
                        assert body["value"] in wanted
                    values = [
                        body["value"],
                        *(a["value"] for a in json.loads(body["metadata"].get("split", '{"arms":[]}'))["arms"]),
                    ]
                    if place == "production" and not (held and pulls[body["metadata"]["pull"]].break_glass):
                        assert all(self.was_allowed(v) for v in values)
                    if held and hold is not None:
                        assert pulls[body["metadata"]["pull"]].break_glass == hold.broken

    def was_allowed(self, value: float) -> bool:
        """Approved, or between default and safe value of a declaration."""
        between = (sorted((float(d.default), float(d.safe))) for d in self.declared)  # type: ignore[arg-type]
        return value in self.approved or any(low <= value <= high for low, high in between)

    @invariant()
    def what_is_served_stands_in_the_log(self) -> None:
        """No act lacks its change, and none is written twice."""
        expire(self.ledger, self.now)
        expected = {f"{p.id}-held" for p in self.ledger.all(Pull)}
        written = self.ledger.history(Change)
        assert expected <= {v.record.id for v in written}
        assert {v.version for v in written} <= {1}
        for number in range(1, self.plans + 1):
            split = allocation_of(self.ledger, f"EXP-{number:04d}")
            if split is not None and split.ended_us is not None:
                assert f"lever-dose-{split.experiment}-ended" in {v.record.id for v in written}


def test_nothing_unapproved_is_ever_served_to_production() -> None:
    """After any acts in both environments production is served the safe value, the default, between, approved, or a broken glass."""
    run_state_machine_as_test(People, settings=settings(max_examples=70, stateful_step_count=12, deadline=None))


@pytest.mark.slow
def test_nothing_unapproved_is_ever_served_to_production_at_length() -> None:
    """The same law over longer stories."""
    run_state_machine_as_test(People, settings=settings(max_examples=100, stateful_step_count=30, deadline=None))
