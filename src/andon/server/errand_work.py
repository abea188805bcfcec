"""What can be asked for on the page and takes seconds to minutes: a function for each verb, done in a process of its own.

A verb takes an `Order`, and gives what came of it: a sentence, and small JSON. It reads and
writes as the command of the same name does. Rows that it appends are sealed after it, and the `Crank` commits them.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from andon.errors import InputError, StateError
from andon.evals import Progress
from andon.golden import run as golden
from andon.golden.words import added_words
from andon.incidents import Incident
from andon.incidents.recovery import unmet
from andon.incidents.run import find_incident, measure_recovery
from andon.investigations import Investigation
from andon.loop import Loop
from andon.loop.evaluating import Asked, evaluate, find_target, refresh
from andon.loop.proving import provers
from andon.postmortems.run import actions, draft_postmortem
from andon.server.background import now_us as clock_us
from andon.traffic import format_time, parse_time
from andon.traffic.quoting import quoted

__all__ = ["MOST_CHARS", "VERBS", "Order", "Report", "Verb", "about_of", "checked"]

Report = Callable[[str, float | None], None]
"""Tells what is done now, and the share of it that is done (0..1), None where nobody knows."""

Came = tuple[str, dict[str, Any]]
"""What came of it: in a sentence, and as small JSON."""

MOST_CHARS = 500
"""Of an argument."""

MOST = 10**15
"""Of a whole number that stands for any number."""

MOST_REPEATS = 100
_UNITS_US = {"m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """One kind of work that may be asked for."""

    do: "Callable[[Order], Came]"
    takes: Mapping[str, type]
    """Arguments that must be given, with their types; the first one says what the work is about."""
    may_take: Mapping[str, type]
    """Arguments that may be given."""
    quick: bool = False
    """It must not wait behind others: it has a process of its own, which is kept ready."""
    stoppable: bool = False
    """It may be stopped while it is done, and what was done is kept."""
    ends: bool = False
    """Its process ends after it: it may load code of users, of which the next one is to see the newest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One errand as its verb sees it."""

    loop: Loop
    args: Mapping[str, Any]
    """As `checked` lets them through."""
    by: str
    """Who asks."""
    now_us: int
    """The clock at the begin; of what must not wait, at the moment of asking."""
    report: Report


def checked(what: str, args: Mapping[str, Any]) -> tuple[Verb, dict[str, Any]]:
    """The verb and its arguments, if they are right; an argument that is None counts as not given.

    Raises:
        InputError: no such verb, an argument is unknown, missing or of another type; names what is allowed.
    """
    verb = VERBS.get(what)
    if verb is None:
        raise InputError(f"{quoted(what)} cannot be asked for; allowed are {', '.join(VERBS)}")
    known = {**verb.takes, **verb.may_take}
    given = {name: value for name, value in args.items() if value is not None}
    for name, value in given.items():
        if name not in known:
            raise InputError(f"{what} does not take {quoted(name)}; it takes {', '.join(known) or 'nothing'}")
        if known[name] is float and type(value) is int and abs(value) < MOST:
            given[name] = float(value)
        elif type(value) is not known[name]:
            raise InputError(f"{what}: {name} is {quoted(value)}; it must be of type {known[name].__name__}")
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{what}: {name} is {value}; it must be a finite number")
        if isinstance(value, str) and not 0 < len(value) <= MOST_CHARS:
            raise InputError(f"{what}: {name} has {len(value)} characters; 1 to {MOST_CHARS} are allowed")
    if missing := [name for name in verb.takes if name not in given]:
        raise InputError(f"{what} needs {', '.join(missing)}")
    return verb, given


def about_of(what: str, args: Mapping[str, Any]) -> str:
    """What the work is about: the incident, the action, the target; ``all`` where it is about everything."""
    first = next(iter(VERBS[what].takes), "app")
    return str(args.get(first, "all"))


def investigate(order: Order) -> Came:
    """Answer the four questions anew with everything that is known now, and draft the postmortem anew.

    Arguments: ``incident``, its id.
    """
    incident = find_incident(order.loop.ledger, order.args["incident"])
    order.report(f"investigating {incident.id} with everything that is known now", None)
    found = order.loop.look_into(incident, order.now_us).investigation
    first = found.suspects[0].title if found.suspects else None
    said = (
        f"{incident.id} was investigated; most likely: {first}"
        if first
        else f"{incident.id} was investigated; no suspect"
    )
    return said, {"incident": incident.id, "at_us": found.at_us, "suspects": len(found.suspects), "first": first}


def recover(order: Order) -> Came:
    """Measure the exit criteria of an incident now.

    Arguments: ``incident``, its id.
    """
    found = find_incident(order.loop.ledger, order.args["incident"])
    order.report(f"measuring the exit criteria of {found.id}", None)
    incident, plan = measure_recovery(order.loop.warehouse, order.loop.ledger, found, now_us=order.now_us, by=order.by)
    missing = () if incident.state == "closed" else unmet(incident, plan)
    met, of = sum(c.met is True for c in plan.criteria), len(plan.criteria)
    return f"{met} of {of} exit criteria of {incident.id} are met", {
        "incident": incident.id,
        "state": incident.state,
        "met": met,
        "of": of,
        "missing": [text[:MOST_CHARS] for text in missing],
    }


def prove(order: Order) -> Came:
    """Run the test of an action item; only a proof that is met closes it.

    Arguments: ``action``, its id.
    """
    order.report(f"running the test of {order.args['action']}", None)
    item = actions.prove_action(
        order.loop.ledger, order.args["action"], provers(order.loop), now_us=order.now_us, by=order.by
    )
    assert item.proof is not None
    word = {True: "proved", False: "NOT proved", None: "cannot tell"}[item.proof.met]
    text = item.proof.text[:MOST_CHARS]
    return f"{item.id} {word}: {text}", {"action": item.id, "state": item.state, "met": item.proof.met, "text": text}


def evaluate_target(order: Order) -> Came:
    """Ask a known target the golden cases of its application, keep the run, and judge it.

    Only targets that a person with access to the machine wrote down can be named, never a spec: see `loop.evaluating`.

    Arguments: ``target``, ``baseline:APP`` or ``probe:NAME`` (`known_targets` lists them); perhaps ``gate`` (judge it as a
    candidate, compared with the baseline of its application), ``baseline`` (candidates are compared with this run from
    now on), ``resume`` (go on with a run that was stopped), ``repeats`` (1 to 100), ``budget_usd``, ``per_minute``.
    """
    repeats = order.args.get("repeats", 1)
    if not 1 <= repeats <= MOST_REPEATS:
        raise InputError(f"evaluate: repeats is {repeats}; 1 to {MOST_REPEATS} are allowed")
    known = find_target(order.loop.ledger, order.loop.probes, order.args["target"])

    def tell(p: Progress) -> None:
        t = p.whole
        spent = "" if p.spent_usd is None else f", spent ${p.spent_usd:.2f}"
        if p.stopping is not None:
            order.report(f"stopping: {p.stopping} questions are on their way and are waited for", None)
        else:
            said = f"{t.done} of {t.all}, {t.passed} pass, {t.failed} fail, {t.errors} could not run{spent}"
            order.report(said, t.done / t.all if t.all else None)

    order.report(f"asking {known.name} the golden cases of {known.app}", 0.0)
    run, verdict = evaluate(
        order.loop,
        Asked(**{**order.args, "repeats": repeats, "target": known.name, "by": order.by}),
        clock=clock_us,
        report=tell,
    )
    return f"{verdict.outcome}: {verdict.reason}", {
        "run": run.id,
        "app": known.app,
        "target": known.name,
        "gate": bool(order.args.get("gate")),
        "baseline": bool(order.args.get("baseline")) and verdict.outcome != "error",
        "outcome": verdict.outcome,
        "reason": verdict.reason[:MOST_CHARS],
        "passed": verdict.passed,
        "failed": verdict.failed,
        "errors": verdict.errors,
    }


def capture(order: Order) -> Came:
    """Capture what failed now, with the day that is not over yet.

    Arguments: perhaps ``since``, how far back to look: 30m, 24h, 7d, or a time in ISO 8601; 7d unless given.
    """
    since_us = _since_us(order.args.get("since", "7d"), order.now_us)
    order.report(f"scoring what came, and capturing what failed since {format_time(since_us)[:16]}", None)
    counts = order.loop.capture(order.now_us, since_us)
    captured = sum(c.captured for c in counts)
    return f"{captured} failures captured", {
        "captured": captured,
        "rules": [{"rule": c.rule, "captured": c.captured, "known": c.known, "left_out": c.left_out} for c in counts],
    }


def freeze(order: Order) -> Came:
    """Freeze the evidence of open incidents before a lever moves; the clock is that of the moment of asking.

    Arguments: perhaps ``app``, whose lever is about to move; without it all open incidents, as a lever may belong to none.
    """
    order.report("freezing the evidence of open incidents", None)
    frozen = order.loop.freeze(order.args.get("app"), order.now_us)
    said = f"evidence of {', '.join(frozen)} is frozen" if frozen else "evidence of what is open is frozen already"
    return said, {"frozen": frozen}


def probe(order: Order) -> Came:
    """Ask a probe now, whether it is due or not; the next turn of the loop opens the incident where it pages.

    Arguments: ``name``, its name in andon.toml.
    """
    order.report(f"asking the probe {order.args['name']}", None)
    done = order.loop.probe(order.now_us, order.args["name"])[0]
    said = (
        f"could not be asked: {done.problem}" if done.problem else f"{done.passed} of {done.passed + done.failed} pass"
    )
    return f"{done.id}: {said}", {
        "probe": done.id,
        "passed": done.passed,
        "failed": done.failed,
        "errors": done.errors,
        "signals": list(done.signals),
        "problem": done.problem[:MOST_CHARS],
    }


def redraft(order: Order) -> Came:
    """Draft the postmortem of an incident anew from its latest investigation.

    Arguments: ``incident``, its id.
    """
    incident: Incident = find_incident(order.loop.ledger, order.args["incident"])
    found = order.loop.ledger.get(Investigation, incident.id)
    if found is None:
        raise StateError(f"{incident.id} was not investigated yet; ask for that first")
    order.report(f"drafting the postmortem of {incident.id}", None)
    draft = draft_postmortem(order.loop.warehouse, order.loop.ledger, incident, found, now_us=order.now_us)
    return f"the postmortem of {draft.id} was drafted anew", {"incident": draft.id, "at_us": draft.at_us}


def add(order: Order) -> Came:
    """Make golden cases of labelled failures, and ask the baselines of their applications what is new.

    Arguments: none.
    """
    loop = order.loop
    vectors = golden.CaseVectors(loop.embedder, loop.settings.place)
    result = golden.add_cases(
        loop.ledger, loop.embedder, now_us=order.now_us, by=order.by, thresholds=loop.thresholds, vectors=vectors,
        report=order.report,
    )  # fmt: skip
    told = []
    for app in dict.fromkeys(c.app for c in result.added):
        order.report(f"asking the baseline of {app} what is new in its golden set", None)
        told.append(refresh(loop, app, by=order.by, now_us=clock_us()))
    baselines = [text[:MOST_CHARS] for text in told if text]
    return "; ".join([added_words(result), *baselines])[:MOST_CHARS], {
        "added": len(result.added),
        "known": len(result.known),
        "refused": len(result.refused),
        "near": sum(d.choice != "refuse" for d in result.decisions),
        "conflicts": len(result.conflicts),
        "baselines": baselines,
    }


def cover(order: Order) -> Came:
    """Measure which share of an application's questions has a golden case near it, and keep the map.

    Arguments: ``app``, the application.
    """
    loop, app = order.loop, order.args["app"]
    found = golden.measure_coverage(
        loop.warehouse, loop.ledger, loop.embedder, loop.scorers, app=app, now_us=order.now_us, report=order.report
    )
    golden.keep_coverage(loop.ledger, found, now_us=order.now_us, by=order.by)
    share = found.whole.covered if found.whole else None
    said = (
        f"cannot tell: {found.reason}" if share is None else f"{share:.1%} of what is asked of {app} has a case near it"
    )
    return said[:MOST_CHARS], {"app": app, "covered": share, "reason": found.reason[:MOST_CHARS]}


def _since_us(text: str, now_us: int) -> int:
    found = re.fullmatch(r"([0-9]{1,6})([mhd])", text, re.ASCII)
    return max(now_us - int(found[1]) * _UNITS_US[found[2]], 0) if found else parse_time(text)


_INCIDENT = {"incident": str}

VERBS: Mapping[str, Verb] = {
    "investigate": Verb(do=investigate, takes=_INCIDENT, may_take={}),
    "recover": Verb(do=recover, takes=_INCIDENT, may_take={}),
    "prove": Verb(do=prove, takes={"action": str}, may_take={}),
    "evaluate": Verb(
        do=evaluate_target,
        takes={"target": str},
        may_take={
            "gate": bool,
            "baseline": bool,
            "resume": bool,
            "repeats": int,
            "budget_usd": float,
            "per_minute": float,
        },
        stoppable=True,
        ends=True,
    ),
    "capture": Verb(do=capture, takes={}, may_take={"since": str}),
    "freeze": Verb(do=freeze, takes={}, may_take={"app": str}, quick=True),
    "probe": Verb(do=probe, takes={"name": str}, may_take={}, ends=True),
    "redraft": Verb(do=redraft, takes=_INCIDENT, may_take={}),
    "add": Verb(do=add, takes={}, may_take={}, ends=True),
    "cover": Verb(do=cover, takes={"app": str}, may_take={}),
}
"""What may be asked for."""
