"""Pure transitions of an incident: what people say has been reached, what they overrule, and what is next."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Literal, get_args

from andon.errors import InputError, StateError
from andon.incidents.records import ExitCriterion, FailureType, Incident, Overrule, Recovery, Severity, State, Step
from andon.incidents.words import one_line
from andon.scores import Harm
from andon.traffic import format_time, quoted

__all__ = [
    "MARKS",
    "OVERRULED",
    "Act",
    "Field",
    "Mark",
    "mark",
    "measure_commands",
    "next_act",
    "overrule",
    "overruled",
    "state_of",
    "unmeasured",
    "what_next",
    "with_suggestion",
]

Mark = Literal["stabilised", "diagnosed", "fixed"]
Act = Literal["nothing", "stop", "diagnose", "fix", "step", "measure", "close", "look", "wait"]
"""What is next: ``measure`` asks for a criterion that is measured, ``look`` for somebody who looks again."""
Field = Literal["impact", "severity", "failure"]

MARKS: tuple[Mark, ...] = get_args(Mark)
"""Milestones that people mark; recovery is measured."""

OVERRULED: dict[Field, tuple[str, ...]] = {
    "impact": get_args(Harm),
    "severity": get_args(Severity),
    "failure": get_args(FailureType),
}
"""What a person may overrule, and the values to choose from."""

_FURTHEST: tuple[State, ...] = ("closed", "recovered", "fixed", "diagnosed", "stabilised")


def state_of(incident: Incident) -> State:
    """The furthest milestone that an incident has reached; ``open`` where there is none."""
    return next((s for s in _FURTHEST if getattr(incident, f"{s}_us") is not None), "open")


def mark(incident: Incident, milestone: Mark, at_us: int, *, now_us: int) -> Incident:
    """The incident with a milestone; stabilised and diagnosed come in either order, and a later mark corrects an earlier one.

    Args:
        incident: as it is.
        milestone: what was reached.
        at_us: when it was reached: not before harm began at the earliest, not in the future.
        now_us: the clock.

    Raises:
        InputError: there is no such milestone, or the time is not allowed.
        StateError: the incident is closed.
    """
    _must_be_open(incident, "marked")
    if milestone not in MARKS:
        raise InputError(f"{quoted(milestone)} is no milestone that people mark; {', '.join(MARKS)} are")
    if at_us < incident.onset_low_us:
        raise InputError(
            f"{incident.id} cannot be {milestone} at {format_time(at_us)}: harm began at "
            f"{format_time(incident.onset_low_us)} at the earliest"
        )
    if at_us > now_us:
        raise InputError(f"{incident.id} cannot be {milestone} at {format_time(at_us)}: that is in the future")
    told: dict[str, Any] = {f"{milestone}_us": at_us}
    marked = replace(incident, **told)
    return replace(marked, state=state_of(marked))


def overruled(incident: Incident, field: Field) -> Overrule | None:
    """A person's last word on a field; None where the suggestion stands."""
    return next((o for o in reversed(incident.overrules) if o.field == field), None)


def overrule(incident: Incident, field: Field, chosen: str, why: str, *, by: str, now_us: int) -> Incident:
    """The incident with a person's word in place of what was suggested; both are kept.

    Raises:
        InputError: there is no such field or value, or no reason is given.
        StateError: the incident is closed.
    """
    _must_be_open(incident, "overruled")
    if field not in OVERRULED:
        raise InputError(f"{quoted(field)} cannot be overruled; {', '.join(OVERRULED)} can")
    if chosen not in OVERRULED[field]:
        raise InputError(f"{quoted(chosen)} is no {field}; choose one of: {', '.join(OVERRULED[field])}")
    if not why.strip():
        raise InputError(f"say why: the reason is kept beside what was suggested for the {field} of {incident.id}")
    before = overruled(incident, field)
    suggestion = before.latest if before is not None else getattr(incident, f"{field}_reason")
    word = Overrule(
        field=field,
        suggested=getattr(incident, field) or "",
        chosen=chosen,
        why=why.strip(),
        by=by,
        at_us=now_us,
        latest=suggestion,
    )
    told: dict[str, Any] = {field: chosen, f"{field}_reason": _reason(word)}
    return replace(incident, overrules=(*incident.overrules, word), **told)


def with_suggestion(incident: Incident, field: Field, value: str | None, reason: str) -> Incident:
    """The incident with what the signals suggest; where a person overruled it, the suggestion only stands beside their word."""
    word = overruled(incident, field)
    if word is None:
        told: dict[str, Any] = {field: value, f"{field}_reason": reason}
        return replace(incident, **told)
    latest = replace(word, latest=reason)
    others = tuple(latest if o is word else o for o in incident.overrules)
    told = {f"{field}_reason": _reason(latest)}
    return replace(incident, overrules=others, **told)


def _reason(word: Overrule) -> str:
    suggestion = f"; the signals suggest {word.latest}" if word.latest else ""
    return f"{word.chosen}: {one_line(word.why, 200)} (said {one_line(word.by)}{suggestion})"


def _must_be_open(incident: Incident, what: str) -> None:
    if incident.state == "closed":
        raise StateError(f"{incident.id} is closed already ({incident.closed_why}) and cannot be {what} any more")


def unmeasured(incident: Incident, criteria: Iterable[ExitCriterion]) -> str:
    """Why what people see is not enough, and what to do; empty where it is, or where a criterion is measured."""
    if not incident.lead or any(c.kind != "check" for c in criteria):
        return ""
    return "nothing is measured, and what a chart signalled recovers by a measurement: add a criterion that is measured"


def measure_commands(incident_id: str) -> str:
    """What adds a criterion that is measured, at the command line."""
    return f'`andon incident criterion add {incident_id} "" --chart ...` or `--probes 0.95`'


def next_act(incident: Incident, recovery: Recovery | None) -> Act:
    """The next thing to do, in one word: the first one of the list that is not done yet."""
    over = incident.recovered_us is not None
    fixed = over or incident.fixed_us is not None
    said = not incident.lead  # nothing but what people said
    missed = said and incident.origin == "near miss"  # nobody was harmed: there is nothing to stop
    stopped = fixed or missed or incident.stabilised_us is not None
    todo: tuple[tuple[Act, bool], ...] = (
        ("nothing", incident.state == "closed"),
        ("stop", not stopped),
        ("diagnose", not fixed and incident.diagnosed_us is None),
        ("fix", not fixed),
        ("step", _open_step(recovery) is not None),
        ("measure", bool(_bare(incident, recovery))),
        ("close", over),
        ("look", said),
    )
    return next((act for act, holds in todo if holds), "wait")


def what_next(incident: Incident, recovery: Recovery | None) -> str:
    """The same in one sentence with its command."""
    do, name = "andon incident", incident.id
    step, act = _open_step(recovery), next_act(incident, recovery)
    if act == "step" and step is not None:
        take = f"Take step {step.id} ({one_line(step.text, 100)}), check it ({one_line(step.check, 100)})"
        return f"{take}, and say what you saw: `{do} step done {name} {step.id} --seen ...`."
    if act == "measure":
        bare = _bare(incident, recovery)
        return f"{bare[:1].upper()}{bare[1:]} ({measure_commands(name)})."
    ack = "" if incident.acked_us else f"Say that you are on it (`{do} ack {name}`). "
    stop = "Stop the harm, by a lever (`andon lever hold`) say,"
    if not incident.lead:
        stop = f"See whether it is so (`{do} timeline {name}`): close it as a false alarm, or stop the harm,"
    told = {
        "nothing": f"Nothing: it is closed. `andon postmortem write {name}` writes down what was learned.",
        "stop": f"{ack}{stop} then `{do} mark {name} stabilised --why ...`.",
        "diagnose": f"Find the cause (`andon investigate {name}`), then `{do} mark {name} diagnosed --why ...`.",
        "fix": f"Take the cause away, then `{do} mark {name} fixed --why ...`.",
        "close": f"All exit criteria are met: `{do} close {name} --why ...`.",
        "look": f"Look again whether what was reported is right now, and say what you saw: `{do} recovery {name}` lists the exit "
        f"criteria, `{do} criterion check {name} C1 --seen ...` meets one.",
        "wait": f"Wait until it stays away: `{do} recovery {name}` measures the exit criteria.",
    }
    return told[act]


def _open_step(recovery: Recovery | None) -> Step | None:
    return next((s for s in recovery.steps if s.done_us is None), None) if recovery else None


def _bare(incident: Incident, recovery: Recovery | None) -> str:
    if recovery is None or not recovery.criteria:  # where there is none yet, measuring suggests them first
        return ""
    return unmeasured(incident, recovery.criteria)
