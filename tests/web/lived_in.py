"""A store in which something of everything has happened: the support story through the loop, with what people did about it.

Made by the stages' own functions in the order of the story, so that every page has something to show: an incident that a lever
stabilised, one that is closed and has a published postmortem, experiments under way, eval runs, golden cases, actions.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from lived_traffic import AB_US, CANARY_US, HELD_US, HOUR, STORM_US, WRONG, WRONG_US, lived

from andon.access import Token
from andon.access.tokens import digest
from andon.changes.run import record_change
from andon.demo.stories import STORIES
from andon.evals import CaseResult, EvalRun, Quarantine
from andon.evals.run import keep_run, set_baseline
from andon.golden import Failure, LabelRow, golden_digest
from andon.golden.run import add_cases, label_failures, load_set
from andon.incidents import Incident
from andon.incidents.run import (
    ack_incident,
    add_exit_criterion,
    add_note,
    add_recovery_step,
    close_incident,
    mark_incident,
    receive_report,
    see_exit_check,
    tick_item,
)
from andon.levers import GateResult, Lever
from andon.levers import run as levers
from andon.loop import Loop, open_loop
from andon.loop.proving import provers
from andon.monitors import Signal
from andon.postmortems import Criterion
from andon.postmortems.review import digest_of
from andon.postmortems.run.actions import actions_of, add_action, prove_action, take_action
from andon.postmortems.run.review import publish, sign_postmortem
from andon.postmortems.run.writing import Edit, save_sections
from andon.rollouts import Experiment, Guardrail
from andon.rollouts.run.planning import write_plan
from andon.settings import is_high_risk, load
from andon.store import Ledger
from andon.traffic.run import record

__all__ = ["APP", "EARLIER", "ENDS", "STORM", "live_in"]

EARLIER, STORM = "INC-0001", "INC-0002"
"""The incident that is closed, with its postmortem published; and the one that people are at."""

APP = "support"
MINUTE = HOUR // 60
DAY = 24 * HOUR
ENDS = STORM_US + 9 * HOUR
"""The present of this store: 2026-03-10 18:00 UTC, nine hours after the bot began to hand everybody over."""

RIGHT = {
    "order number": "It is on its way and arrives within two days.",
    "return": "Print the label in your account and bring it to any parcel shop within 30 days.",
    "refund": "It is paid within five working days.",
    "log in": "Use the link to set a new password; it is valid for one hour.",
    "deliver": "Yes, change the address in the order until it is packed.",
    "invoice": "It is in your account, under Documents.",
    "warranty": "The partner gives the extended warranty: send it the number of the error.",
    "voucher": "Open your account, choose Vouchers, and enter the code of the letter.",
    "plumber": "The partner pays for the plumber when its installer does not come.",
    "nitrate": "Yes, the membrane removes nitrate down to 10 milligrams.",
    "cartridge": "Your first cartridge is free: it comes with the filter.",
}
"""What would have been right, by words of the question."""

OLD, NEW = "routes-2026-01", "routes-2026-03"


def live_in(home: Path) -> None:
    """Fill a folder with the store; some 14,000 interactions of nine days.

    Args:
        home: the `ANDON_HOME`, new or empty.
    """
    settings = replace(load({}), home=home, window_s=600, embedder="hashed")
    loop = open_loop(settings)
    try:
        story = STORIES["support"](np.random.default_rng([0, 2]))
        for change in story.changes:
            record_change(loop.ledger, change, now_us=change.at_us, by=change.author)
        record(loop.warehouse, list(lived(story.traffic)))
        loop.warehouse.commit()
        token = Token(
            id="tok_shop", name="the shop", scopes=("ingest", "levers"), digest=digest("nobody knows"), at_us=AB_US, by="Ada",
            until_us=ENDS + 60 * DAY,
        )  # fmt: skip
        loop.ledger.put(token, now_us=AB_US, by="Ada")
        _declare(loop.ledger)
        _experiment(loop.ledger)
        loop.tick(WRONG_US)
        _report_and_publish(loop)
        for at_us in (STORM_US, HELD_US):
            loop.tick(at_us)
        incident = loop.ledger.all(Incident)[-1]
        _hold(loop.ledger, incident)
        loop.tick(ENDS)
        loop.look_into(incident, ENDS)
        _respond(loop.ledger, incident)
        loop.act(ENDS)
        loop.follow(ENDS)
        loop.capture_due(ENDS)
        _label(loop)
        _evaluate(loop.ledger)
        _commit_to_actions(loop)
    finally:
        loop.close()


def _declare(ledger: Ledger) -> None:
    """Four levers; the prompt has a version that was approved and promoted, and a newer one that is tried out."""
    at = STORM_US - 20 * DAY
    for lever in (
        Lever(id="support.campaign", kind="boolean", default=True, safe=False, app=APP,
              about="Whether the bot takes chats that come from the partner's campaign."),
        Lever(id="support.answers", kind="boolean", default=True, safe=False, app=APP, about="Whether the bot answers at all."),
        Lever(id="support.prompt", kind="string", default="Answer briefly.", safe="Say: a colleague will answer.", app=APP,
              about="The prompt of the bot."),
        Lever(id="support.summary", kind="string", default="Sum the chat up in one line.", safe="", app=APP,
              about="How a chat is summed up for the colleague who takes over."),
    ):  # fmt: skip
        levers.declare(ledger, lever, at, "Ada")
    text = "Answer briefly, in the language of the question.\nName the page that you answer from."
    digest = _version(ledger, "support.prompt", text, "answers name their page", at_us=at + 11 * DAY)
    for environment in ("staging", "production"):
        levers.promote(
            ledger, "support.prompt", digest, to=environment, why="answers name their page", by="Rob", now_us=at + 13 * DAY
        )  # fmt: skip
    levers.hold(
        ledger, "support.answers", False, why="a drill", by="Rob", until_us=at + 14 * DAY + HOUR, now_us=at + 14 * DAY, environment="staging"
    )  # fmt: skip
    levers.release(
        ledger, "support.answers", why="it went dark within a second", by="Rob", now_us=at + 14 * DAY + 5 * MINUTE, environment="staging"
    )  # fmt: skip


def _version(ledger: Ledger, lever: str, text: str, why: str, *, at_us: int) -> str:
    """Write a version that somebody else approved and the gate let pass; returns its digest."""
    made = levers.add_version(ledger, lever, text, why=why, by="Rita", now_us=at_us)
    levers.approve_version(ledger, lever, made.digest, why="read it", by="Ada", now_us=at_us + 2 * HOUR)
    passed = GateResult(outcome="pass", reason="57 of 60 cases pass, none lost", by="ci", at_us=at_us + 3 * HOUR)
    levers.note_gate(ledger, lever, made.digest, passed, at_us + 3 * HOUR)
    return made.digest


def _experiment(ledger: Ledger) -> None:
    """An A/B test of the prompt and a canary of the summaries, both under way."""
    longer = "Answer in at most three sentences, in the language of the question.\nName the page that you answer from."
    live = levers.live_in(ledger, "support.prompt", "production")
    plans = (
        Experiment(
            id="", kind="ab", app=APP, lever="support.prompt", control=live.digest if live else None,
            treatment=_version(ledger, "support.prompt", longer, "fewer questions back", at_us=AB_US - DAY), share=0.5,
            hypothesis="Fuller answers settle more questions, so fewer chats are handed over.", metric="escalation", better="down",
            effect=0.03, base=0.1, planned=(1_900, 1_900), arrives=(5_000, 5_000), days=7.0,
            guardrails=(Guardrail(metric="latency_s", margin=0.05), Guardrail(metric="escalation", margin=0.05, risk_category="high")),
            by="Rita", at_us=AB_US,
        ),
        Experiment(
            id="", kind="canary", app=APP, lever="support.summary", control=None,
            treatment=_version(ledger, "support.summary", "Sum the chat up in three bullet points.", "one line says too little",
                               at_us=CANARY_US - DAY),
            share=0.25, hypothesis="Longer summaries slow nobody down.", metric="escalation", better="down", effect=0.1, base=0.1,
            planned=(900, 300), arrives=(1_080, 360), days=1.0, by="Rob", at_us=CANARY_US,
        ),
    )  # fmt: skip
    for plan in plans:
        written = write_plan(ledger, plan, now_us=plan.at_us)
        levers.start_split(ledger, written, why=plan.hypothesis, by=plan.by, now_us=plan.at_us)


def _hold(ledger: Ledger, incident: Incident) -> None:
    """Take the flood off the bot; it reads that at once."""
    levers.hold(
        ledger, "support.campaign", False, why="the campaign's chats are handed over one and all", by="Rob",
        until_us=ENDS + 3 * HOUR, now_us=HELD_US, incident=incident.id, trade_off="the partner's customers wait for a colleague",
        exit="hand-overs below 15 % for two hours",
    )  # fmt: skip
    board = levers.Board(ledger)
    board.refresh()
    readers = levers.Readers(board.app_of)
    if (given := board.evaluate("support.campaign", {"app": APP}, HELD_US + 1_000_000)) is not None:
        readers.note([given], APP, HELD_US + 1_000_000)
    levers.note_first_reads(ledger, readers, HELD_US + 1_000_000)


def _respond(ledger: Ledger, incident: Incident) -> None:
    at, by = incident.alarmed_us, "Rob"
    ack_incident(ledger, incident, now_us=at + 6 * MINUTE, by=by)
    said = "The desk says that every chat of the partner's campaign ends with a colleague; they are 40 chats behind."
    add_note(ledger, incident, said, happened_us=at - 20 * MINUTE, now_us=at + 9 * MINUTE, by=by)
    seen = "Chats of the campaign have their own queue; nobody waits longer than usual."
    mark_incident(ledger, incident, "stabilised", seen, at_us=HELD_US, now_us=HELD_US + 20 * MINUTE, by=by)
    lead = ledger.get(Signal, incident.lead)
    assert lead is not None
    at = HELD_US + HOUR
    add_exit_criterion(ledger, incident, "", monitor=lead.monitor, now_us=at, by=by)
    text = "The desk asks the ten questions of its list, and the bot answers nine itself"
    add_exit_criterion(ledger, incident, text, now_us=at, by=by)
    step = "10 % of the campaign's chats back to the bot"
    add_recovery_step(ledger, incident, step, "an hour below 15 %", now_us=at + HOUR, by=by)
    note = "ten read: all hand over at once"
    tick_item(ledger, incident, "read", note=note, config="andon.toml", now_us=at, by=by)


def _report_and_publish(loop: Loop) -> None:
    """A customer complains of one answer; it is put right, and the postmortem is published the same day."""
    ledger, at = loop.ledger, WRONG_US
    said = "You told me that returns are free for 100 days. I was charged 4.90 euros, and it is 30 days."
    receive_report(loop.warehouse, ledger, said, interaction_id=WRONG, by="a customer", now_us=at)
    incident = ledger.all(Incident)[-1]
    ack_incident(ledger, incident, now_us=at + 5 * MINUTE, by="Rita")
    fixed = "The page about returns names both the days and the price; the old one was taken out of the help."
    mark_incident(ledger, incident, "stabilised", fixed, at_us=at + HOUR, now_us=at + HOUR, by="Rita")
    mark_incident(
        ledger,
        incident,
        "diagnosed",
        "two help pages said different days",
        at_us=at + HOUR,
        now_us=at + HOUR,
        by="Rita",
    )
    mark_incident(ledger, incident, "fixed", fixed, at_us=at + HOUR, now_us=at + HOUR, by="Rita")
    plan = add_exit_criterion(
        ledger, incident, "Ten questions about returns are answered with 30 days and the price", now_us=at + HOUR, by="Rita"
    )  # fmt: skip
    see_exit_check(ledger, incident, plan.criteria[-1].id, "ten of ten", now_us=at + 2 * HOUR, by="Rita")
    close_incident(loop.warehouse, ledger, incident, "ten of ten answers are right", now_us=at + 2 * HOUR, by="Rita")
    loop.look_into(ledger.all(Incident)[-1], at + 2 * HOUR)
    texts = {
        "How the factors worked together": "Two pages of the help named different days, and nothing checks that pages agree.",
        "Fix": "The old page was taken out; the index was rebuilt at once.",
        "Why we were surprised": "Each page was right when it was written.",
        "What went well": "The customer could say so beside the answer, and 55 minutes later it was right.",
    }
    edits = [Edit(section=name, text=text, read=digest_of("")) for name, text in texts.items()]
    save_sections(ledger, incident.id, edits, now_us=at + 3 * HOUR, by="Rita")
    sign_postmortem(ledger, incident.id, now_us=at + 4 * HOUR, by="Rob")
    publish(ledger, incident.id, now_us=at + 4 * HOUR, by="Ada")


def _label(loop: Loop) -> None:
    found = loop.ledger.all(Failure)
    money = [f for f in found if is_high_risk(f.risk_category)][:8]
    rows = [
        LabelRow(
            line=n, id=f.id, question=None, ground_truth=next(v for k, v in RIGHT.items() if k in (f.question or ""))
        )
        for n, f in enumerate([*money, *(f for f in found if f not in money)][:30], 1)
    ]
    label_failures(loop.ledger, rows, now_us=ENDS - 2 * HOUR, by="Rita")
    add_cases(loop.ledger, loop.embedder, now_us=ENDS - HOUR, by="Rita")


def _evaluate(ledger: Ledger) -> None:
    """The baseline, a run to compare with it, and a case that is quarantined."""
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
        if version == OLD:
            set_baseline(ledger, run, target="https://support.example/answer", now_us=at, by="Rita")
    held = Quarantine(
        id=cases[-1].id, until_us=ENDS + 72 * HOUR, by="Rita", why="flaky since Monday", at_us=ENDS - HOUR
    )
    ledger.put(held, now_us=ENDS - HOUR, by="Rita")


def _commit_to_actions(loop: Loop) -> None:
    """One is overdue, one is owed, one is proved."""
    ledger = loop.ledger
    named = [a for a in actions_of(ledger, STORM) if a.criterion is not None and a.criterion.kind != "gate blocks"]
    for n, item in enumerate(named[:2]):
        due = ENDS - HOUR if n == 0 else ENDS + 14 * DAY
        take_action(ledger, item.id, owner="Rob", due_us=due, now_us=ENDS - 5 * HOUR, by="Rob")
    incident = ledger.get(Incident, EARLIER)
    assert incident is not None
    done = add_action(
        ledger, incident, "Anybody on call can switch the answers off", kind="mitigate", owner="Rita",
        criterion=Criterion(kind="lever exists", subject="support.answers"), now_us=WRONG_US + 3 * HOUR, by="Rita",
    )  # fmt: skip
    prove_action(ledger, done.id, provers(loop), now_us=WRONG_US + 4 * HOUR, by="Rita")
