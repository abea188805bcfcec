"""A store in which something of everything has happened: the support story through the loop, then what people did about it.

Made by the stages' own functions with the clock of the story, so that every page has something to show.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from andon.changes.run import record_change
from andon.demo.stories import STORIES
from andon.evals import CaseResult, EvalRun, Quarantine
from andon.evals.run import keep_run
from andon.golden import Failure, LabelRow, golden_digest
from andon.golden.run import add_cases, label_failures, load_set
from andon.incidents import Incident
from andon.incidents.run import (
    ack_incident,
    add_exit_criterion,
    add_note,
    add_recovery_step,
    mark_incident,
    receive_report,
    tick_item,
)
from andon.levers import GateResult, Lever
from andon.levers import run as levers
from andon.loop import Loop, open_loop, replay
from andon.monitors import Signal
from andon.postmortems.run.actions import actions_of, take_action
from andon.settings import load
from andon.store import Ledger
from andon.traffic.run import record

__all__ = ["APP", "ENDS", "live_in"]

APP = "support"
MINUTE = 60_000_000
HOUR = 60 * MINUTE
ENDS = 1_773_165_600_000_000
"""The present of this store: 2026-03-10 18:00 UTC, nine hours after the bot began to hand everybody over."""

OLD, NEW = "routes-2026-01", "routes-2026-03"


def live_in(home: Path) -> None:
    """Fill a folder with the store; some 25,000 interactions of ten days.

    Args:
        home: the `ANDON_HOME`, new or empty.
    """
    settings = replace(load({}), home=home, window_s=600, embedder="hashed")
    loop = open_loop(settings)
    try:
        story = STORIES["support"](np.random.default_rng([0, 2]))
        loop = _told(loop, story)
        incident = loop.ledger.all(Incident)[0]
        _respond(loop, incident)
        _pull(loop.ledger, incident)
        _label(loop)
        _evaluate(loop.ledger)
        _commit_to_actions(loop.ledger)
    finally:
        loop.close()


def _told(loop: Loop, story: "object") -> Loop:
    for change in story.changes:  # type: ignore[attr-defined]
        record_change(loop.ledger, change, now_us=change.at_us, by=change.author)
    record(loop.warehouse, story.traffic)  # type: ignore[attr-defined]
    replay(loop, ())
    return loop


def _respond(loop: Loop, incident: Incident) -> None:
    ledger, at, by = loop.ledger, incident.alarmed_us, "Rob"
    ack_incident(ledger, incident, now_us=at + 6 * MINUTE, by=by)
    said = "The desk says that every chat of the partner's campaign ends with a colleague; they are 40 chats behind."
    add_note(ledger, incident, said, happened_us=at - 20 * MINUTE, now_us=at + 9 * MINUTE, by=by)
    seen = "Chats of the campaign have their own queue since 10:40; nobody waits longer than usual."
    mark_incident(ledger, incident, "stabilised", seen, at_us=at + 50 * MINUTE, now_us=at + 55 * MINUTE, by=by)
    lead = ledger.get(Signal, incident.lead)
    add_exit_criterion(ledger, incident, "", monitor=lead.monitor, now_us=at + HOUR, by=by)
    text = "The desk asks the ten questions of its list, and the bot answers nine itself"
    add_exit_criterion(ledger, incident, text, now_us=at + HOUR, by=by)
    add_recovery_step(
        ledger,
        incident,
        "10 % of the campaign's chats back to the bot",
        "an hour below 15 %",
        now_us=at + 2 * HOUR,
        by=by,
    )
    tick_item(
        ledger, incident, "read", note="ten read: all hand over at once", config="andon.toml", now_us=at + HOUR, by=by
    )
    receive_report(
        loop.warehouse, ledger, "I only wanted to know how to change the filter <b>", by="a customer",
        now_us=at + 3 * HOUR, app=APP, environment="production",
    )  # fmt: skip


def _pull(ledger: Ledger, incident: Incident) -> None:
    at = incident.alarmed_us
    for lever in (
        Lever(id="support.router", kind="string", default="intent-router-3", safe="intent-router-2", app=APP,
              about="Which router decides whether the bot answers or a colleague."),
        Lever(id="support.answers", kind="boolean", default=True, safe=False, app=APP, about="Whether the bot answers at all."),
        Lever(id="support.prompt", kind="string", default="Answer briefly.", safe="Say: a colleague will answer.", app=APP,
              about="The prompt of the bot."),
    ):  # fmt: skip
        levers.declare(ledger, lever, at - 20 * 24 * HOUR, "Ada")
    levers.hold(
        ledger, "support.router", "intent-router-2", why="the new router hands everybody over", by="Rob",
        until_us=ENDS + 3 * HOUR, now_us=at + 45 * MINUTE, incident=incident.id, trade_off="no answers in Dutch meanwhile",
        exit="hand-overs below 15 % for two hours",
    )  # fmt: skip
    text = "Answer briefly, in the language of the question.\nName the page that you answer from."
    made = levers.add_version(
        ledger, "support.prompt", text, why="answers name their page", by="Rita", now_us=at - 9 * 24 * HOUR
    )
    levers.approve_version(ledger, "support.prompt", made.digest, why="read it", by="Ada", now_us=at - 8 * 24 * HOUR)
    passed = GateResult(outcome="pass", reason="57 of 60 cases pass, none lost", by="ci", at_us=at - 8 * 24 * HOUR)
    levers.note_gate(ledger, "support.prompt", made.digest, passed, at - 8 * 24 * HOUR)
    for environment in ("staging", "production"):
        levers.promote(
            ledger, "support.prompt", made.digest, to=environment, why="answers name their page", by="Rob",
            now_us=at - 7 * 24 * HOUR,
        )  # fmt: skip


def _label(loop: Loop) -> None:
    failures = loop.ledger.all(Failure)[:24]
    rows = [
        LabelRow(line=n, id=f.id, question=None, ground_truth=f"Open the app, choose Filters, and follow step {n}.")
        for n, f in enumerate(failures, 1)
    ]
    label_failures(loop.ledger, rows, now_us=ENDS - 2 * HOUR, by="Rita")
    add_cases(loop.ledger, loop.embedder, now_us=ENDS - HOUR, by="Rita")


def _evaluate(ledger: Ledger) -> None:
    cases = load_set(ledger, APP)
    for number, (version, failing) in enumerate(((OLD, 3), (NEW, 5))):
        results = tuple(
            CaseResult(
                case_id=c.id, outcome="fail" if n % (24 // failing) == 0 else "pass", value=float(n % (24 // failing) != 0),
                answer="I am handing you over." if n % (24 // failing) == 0 else c.ground_truth, latency_s=0.8,
                detail="the answer is not the right one" if n % (24 // failing) == 0 else "as expected", measured="m",
            )
            for n, c in enumerate(cases)
        )  # fmt: skip
        at = ENDS - (40 - 20 * number) * MINUTE
        run = EvalRun(
            id=f"R-{version}", at_us=at, target=f"support {version}", golden=golden_digest(cases), scorers="normalised_match@1",
            results=results, app=APP, versions={"route_version": version},
        )  # fmt: skip
        keep_run(ledger, run, now_us=at, by="ci")
    if cases:
        held = Quarantine(
            id=cases[-1].id, until_us=ENDS + 72 * HOUR, by="Rita", why="flaky since Monday", at_us=ENDS - HOUR
        )
        ledger.put(held, now_us=ENDS - HOUR, by="Rita")


def _commit_to_actions(ledger: Ledger) -> None:
    named = [a for a in actions_of(ledger) if a.criterion is not None and a.criterion.kind != "gate blocks"]
    for n, item in enumerate(named[:2]):
        due = ENDS - 24 * HOUR if n == 0 else ENDS + 14 * 24 * HOUR
        take_action(ledger, item.id, owner="Rob", due_us=due, now_us=ENDS - 48 * HOUR, by="Rob")
