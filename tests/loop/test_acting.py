"""Laws of what a turn does about levers: what fails keeps nothing else from being done, and a replay pulls nothing."""

from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from test_automatic_pulls import HOUR_US, MODEL, RULES
from test_loop_laws import START_US, _traffic

from andon.errors import StoreError
from andon.incidents import Incident, Message, Recovery
from andon.levers import Effect, Pull
from andon.levers.run import declare, hold, turning
from andon.loop import Loop, open_loop, replay
from andon.loop import turning as crank
from andon.monitors import Signal
from andon.postmortems import Postmortem
from andon.rollouts import Allocation, Decision, Experiment
from andon.settings import load
from andon.traffic.run import record

FOUND_US = START_US + 4 * HOUR_US + HOUR_US // 60  # the harm of the last hour has just been
RULE = RULES.split("[[pull]]")[1]


class Heard:
    """A channel that keeps what it is told."""

    name = "chat"

    def __init__(self) -> None:
        self.titles: list[str] = []

    def send(self, message: Message) -> None:
        self.titles.append(message.title)


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[], Loop]:
    """Opens the loop of one home whose only rule holds the model, a lever that is declared, when refusals page."""
    toml = tmp_path / "andon.toml"
    toml.write_text(f"window_s = 60\n[[pull]]\n{RULE}", encoding="utf-8")
    env = {"ANDON_HOME": str(tmp_path / "home"), "ANDON_CONFIG": str(toml), "ANDON_EMBEDDER": "hashed"}

    def open_() -> Loop:
        loop = open_loop(load(env))
        declare(loop.ledger, MODEL, START_US, "ann")
        return loop

    return open_


def failing(monkeypatch: pytest.MonkeyPatch) -> list[Signal]:
    """Rules fail from now on; the signals that they were given when everything had been looked into."""
    given: list[Signal] = []

    def fail(*_: object, **__: object) -> None:
        raise StoreError("the disk is full", retryable=True)

    def fail_late(*_: object, fresh: list[Signal], **__: object) -> None:
        given.extend(fresh)
        fail()

    monkeypatch.setattr(crank, "pull_by_rules", fail)
    monkeypatch.setattr(turning, "pull_by_rules", fail_late)
    return given


def test_a_turn_pulls_what_rules_ask_for(opened: Callable[[], Loop]) -> None:
    """The turn in which an incident opens holds its lever, tells of both, and counts both; a second turn does nothing again."""
    loop, heard = opened(), Heard()
    record(loop.warehouse, _traffic())
    done = loop.turn([heard], lambda: FOUND_US)
    assert done.incidents == ("INC-0001",)
    assert done.pulled == (MODEL.id,)
    (pull,) = loop.ledger.all(Pull)
    assert pull.incident == "INC-0001"
    assert any("is held at" in title for title in heard.titles)
    again = loop.turn([heard], lambda: FOUND_US + 1)
    assert (again.pulled, len(loop.ledger.all(Pull))) == ((), 1)
    loop.close()


def test_a_rule_that_fails_keeps_nothing_else_from_being_done(
    opened: Callable[[], Loop], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Effects are measured, people told, incidents followed, and the error is raised at the end."""
    loop, heard = opened(), Heard()
    record(loop.warehouse, _traffic())
    loop.tick(FOUND_US)
    (incident,) = loop.ledger.all(Incident)
    hold(loop.ledger, MODEL.id, why="refusals", by="ann", until_us=FOUND_US + HOUR_US, now_us=incident.alarmed_us)
    failing(monkeypatch)
    assert loop.ledger.all(Effect) == []
    with pytest.raises(StoreError, match="the disk is full"):
        loop.turn([heard], lambda: FOUND_US)
    assert [e.metric for e in loop.ledger.all(Effect)] == ["refusal"]
    assert any("is held at" in title for title in heard.titles)
    assert any("refus" in title.casefold() for title in heard.titles)
    assert loop.ledger.get(Recovery, incident.id) is not None
    loop.close()


def test_an_effect_that_cannot_be_measured_keeps_no_rule_from_pulling(
    opened: Callable[[], Loop], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What holds levers does not wait for what counts them: the pull stands, and the error is raised."""
    loop = opened()
    record(loop.warehouse, _traffic())

    def fail(*_: object) -> None:
        raise ZeroDivisionError("x")

    monkeypatch.setattr(turning, "measure_effects", fail)
    with pytest.raises(ZeroDivisionError):
        loop.turn([], lambda: FOUND_US)
    assert [p.lever for p in loop.ledger.all(Pull)] == [MODEL.id]
    loop.close()


def test_a_tick_that_fails_keeps_no_lever_from_being_pulled(
    opened: Callable[[], Loop], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An investigation that fails is raised, and the lever of its incident is held in the same turn."""
    loop = opened()
    record(loop.warehouse, _traffic())

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("x")

    monkeypatch.setattr("andon.loop.turning.investigate", fail)
    with pytest.raises(ZeroDivisionError):
        loop.turn([], lambda: FOUND_US)
    assert [p.lever for p in loop.ledger.all(Pull)] == [MODEL.id]
    assert loop.ledger.all(Postmortem) == []
    loop.close()


def test_signals_wait_for_a_turn_that_can_act(opened: Callable[[], Loop], monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a turn whose rules failed are given to the next one, in their order and each once; then they are done with."""
    loop = opened()
    record(loop.warehouse, _traffic())
    given = failing(monkeypatch)
    for k in range(2):
        with pytest.raises(StoreError):
            loop.turn([], lambda k=k: FOUND_US + k)  # type: ignore[misc]
    half = len(given) // 2
    assert half > 0
    assert given[:half] == given[half:]
    assert loop.ledger.all(Pull) == []
    monkeypatch.undo()
    later: list[list[Signal]] = []
    pull = turning.pull_by_rules

    def heard(*args: object, fresh: list[Signal], **named: object) -> object:
        later.append(list(fresh))
        return pull(*args, fresh=fresh, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(turning, "pull_by_rules", heard)
    assert loop.turn([], lambda: FOUND_US + 2).pulled == (MODEL.id,)
    assert later[0] == given[:half]
    loop.turn([], lambda: FOUND_US + 3)
    assert later[1] == []
    loop.close()


def test_a_loop_is_done_with_an_experiment_that_is_over(
    opened: Callable[[], Loop], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first turn of a process writes the last look of an experiment that ended; later ones read none of its decisions."""
    loop = opened()
    plan = Experiment(
        id="EXP-0001", kind="canary", app="shop", lever=MODEL.id, control=None, treatment="aaaaaaaaaaaa", share=0.5,
        hypothesis="no harm", metric="refusal", better="down", effect=0.01, base=0.1, planned=(10, 10), days=1.0,
        by="ann", at_us=START_US,
    )  # fmt: skip
    split = Allocation(
        id=f"{MODEL.id}:production", experiment=plan.id, lever=MODEL.id, environment="production", control=None,
        treatment=plan.treatment, share=0.5, salt="s", from_us=START_US, until_us=START_US + HOUR_US, by="ann", why="try",
        ended_us=START_US + HOUR_US, ended_by="andon", ended_why="its time is over",
    )  # fmt: skip
    for it in (plan, split):
        loop.ledger.put(it, now_us=START_US, by="ann")
    read, all_ = [], loop.ledger.all

    def heard(kind: type, begins: str = "") -> list[object]:
        read.append((kind, begins))
        return all_(kind, begins=begins)

    loop.act(FOUND_US)
    assert [d.id for d in loop.ledger.all(Decision)] == ["EXP-0001@0001"]
    monkeypatch.setattr(loop.ledger, "all", heard)
    loop.act(FOUND_US + 1)
    assert (Decision, "EXP-0001@") not in read
    assert read
    loop.close()


def test_a_replay_pulls_nothing(opened: Callable[[], Loop]) -> None:
    """A replay sees what happened: it finds the incident that the rule is about, and no lever moves."""
    loop = opened()
    record(loop.warehouse, _traffic())
    result = replay(loop, ())
    assert [i.metric for i in result.incidents] == ["refusal"]
    assert loop.ledger.all(Pull) == []
    loop.close()


def test_a_rule_pulls_before_anything_is_done_but_freezing(
    opened: Callable[[], Loop], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The incident is opened and its evidence frozen, once; runbook and draft, and what else is open, come after the pull.

    The incident says by the clock of the service when it stood in the ledger; a replay has no such clock.
    """
    monkeypatch.setattr("andon.levers.run.automatic.freeze_within", lambda freeze: freeze())  # on a slow machine too
    loop = opened()
    record(loop.warehouse, _traffic())
    done: list[tuple[str, int]] = []

    def noted(name: str) -> None:
        real = getattr(crank, name)

        def note(*args: object, **named: object) -> object:
            done.append((name, len(loop.ledger.all(Pull))))
            return real(*args, **named)

        monkeypatch.setattr(crank, name, note)

    for name in ("investigate", "brought_up_to_date", "draft_postmortem"):
        noted(name)
    turned = loop.turn([], partial(next, count(FOUND_US, 1_000)))
    assert done[:3] == [("investigate", 0), ("brought_up_to_date", 1), ("draft_postmortem", 1)], done
    names = [name for name, _ in done]  # a new leading signal is looked into anew
    assert names.count("investigate") == names.count("brought_up_to_date")
    (incident,), (pull,) = loop.ledger.all(Incident), loop.ledger.all(Pull)
    assert turned.pulled == (MODEL.id,)
    assert pull.evidence == f"frozen of {incident.id}"
    assert pull.at_us > (incident.opened_us or 0) > FOUND_US > incident.alarmed_us  # dated when it was written
    loop.close()


def test_a_tick_without_a_clock_pulls_nothing(opened: Callable[[], Loop]) -> None:
    """A replay sees what happened: no lever moves, and no incident says when it was opened."""
    loop = opened()
    record(loop.warehouse, _traffic())
    loop.tick(FOUND_US)
    (incident,) = loop.ledger.all(Incident)
    assert (loop.ledger.all(Pull), incident.opened_us) == ([], None)
    loop.close()
