"""Hold, extend and release levers, and review broken glass: what a form asks, and what is done."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from andon.errors import InputError, StateError
from andon.incidents import Incident
from andon.incidents.run import find_incident
from andon.levers import Asked, Lever, Pull, find_version, in_force, value_text
from andon.levers import run as levers
from andon.levers.registry import check_environment, same_value
from andon.levers.run.freezing import FREEZE_S, app_of, freeze_before
from andon.levers.run.giving import earlier, rule_against
from andon.levers.run.reading import pulls_of
from andon.levers.run.served import served_within
from andon.levers.words import gave_way, value_of_text
from andon.traffic import quoted
from andon.web.asking import Ask, Done, Undo
from andon.web.pages.levers_shown import brief, clock, lever_of, on_page, quiet
from andon.web.routing import Pages

__all__ = ["FIELDS", "SPANS", "Choice", "asked_of", "choices_of", "open_incidents_of", "pages"]

pages = Pages()

SPANS = {
    "30m": "30 minutes",
    "2h": "2 hours",
    "8h": "8 hours",
    "1d": "1 day",
    "7d": "7 days",
    "30d": "30 days",
    "until": "until a time",
}
_SPAN_US = {"30m": 1_800, "2h": 7_200, "8h": 28_800, "1d": 86_400, "7d": 604_800, "30d": 2_592_000}
FIELDS = ("choice", "value", "environment", "for", "until", "why", "trade_off", "exit", "incident", "break_glass")
"""What the form of a hold has; a link with them in its query shows the form filled in."""

SERVED_S = 1.0
"""How long is waited for the word that it is served: this process looks many times a second."""

MOST_LOOKED_AT = 3_000
"""Characters of a form that can be looked at before it is sent: it is in the address then."""

MOST_VERSIONS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Something that a lever can be held at."""

    id: str
    title: str
    text: str
    note: str = ""
    tone: str = ""


def choices_of(ask: Ask, lever: Lever) -> list[Choice]:
    """What a lever can be held at, the value that stops harm first; another value can be typed beside these."""
    found = [Choice(id="safe", title="Safe value", text=brief(lever.safe), note="stops harm")]
    if not same_value(lever.default, lever.safe):
        found.append(Choice(id="default", title="Default", text=brief(lever.default), note="as declared"))
    versions = levers.versions_of(ask.ledger, lever.id)
    live = levers.live_in(ask.ledger, lever.id, "production")
    if live is not None:
        try:
            value = levers.version_before(ask.ledger, lever.id, "production")
            found.append(
                Choice(id="before", title="Roll back", text=brief(value), note="what was live before the present one")
            )
        except StateError:
            pass  # nothing was
    for v in reversed(versions[-MOST_VERSIONS:]):
        gate = v.gates[-1].outcome if v.gates else ""
        wrong = "nobody approved it" if not v.approvals else f"the gate says {gate}" if gate not in ("", "pass") else ""
        is_live = live is not None and live.digest == v.digest
        note = wrong or ("live in production" if is_live else f"approved by {v.approvals[-1].by}")
        title = f"Version {v.digest}"
        found.append(
            Choice(
                id=f"version:{v.digest}",
                title=title,
                text=quoted(v.why, 80)[1:-1],
                note=note,
                tone="warn" if wrong else "",
            )
        )
    return found


def open_incidents_of(ask: Ask, lever: Lever) -> dict[str, str]:
    """The incidents that a hold may answer, the newest first, with what people read."""
    app = app_of(lever)
    mine = [i for i in ask.ledger.all(Incident) if i.state != "closed" and app in (None, i.app)]
    return {i.id: f"{i.id}: {i.title[:90]}" for i in sorted(mine, key=lambda i: -i.alarmed_us)}


def asked_of(ask: Ask, lever: Lever) -> Asked:
    """What the form of a hold asks for.

    Raises:
        InputError: a field is missing or says nothing that is allowed.
        StateError: it asks to roll back, and nothing was live before.
    """
    environment = check_environment(ask.maybe("environment") or "production")
    incident = ask.maybe("incident")
    if incident is not None:
        find_incident(ask.ledger, incident)
    fixed_us = ask.time_us("until")
    span = ask.maybe("for") or ("until" if fixed_us is not None else "")
    if span not in SPANS:
        raise InputError(f"for how long: {quoted(span)} is not one of {', '.join(SPANS.values())}")
    if span == "until" and fixed_us is None:
        raise InputError("until when? Fill in the time at which the hold ends, or choose how long it lasts")
    until_us = fixed_us if span == "until" and fixed_us is not None else ask.now_us + _SPAN_US[span] * 1_000_000
    asked = Asked(
        value=_value(ask, lever, environment), why=ask.given("why", "why"), by=ask.by, until_us=until_us, until_fixed=span == "until",
        environment=environment, incident=incident, trade_off=ask.maybe("trade_off") or "", exit=ask.maybe("exit") or "",
    )  # fmt: skip
    broken = ask.maybe("break_glass") is not None and rule_against(ask.ledger, lever, asked) is not None
    return replace(asked, break_glass=broken)


def _value(ask: Ask, lever: Lever, environment: Any) -> Any:
    choice = ask.maybe("choice") or "safe"
    if choice == "safe":
        return lever.safe
    if choice == "default":
        return lever.default
    if choice == "before":
        return earlier(ask.ledger, lever, environment, None)
    if choice == "value":
        text = ask.form.get("value", "").replace("\r\n", "\n")
        if not text.strip() and lever.kind != "string":
            raise InputError(
                "the value is empty: type the value that the lever is to be held at, or choose another one"
            )
        return value_of_text(lever, text)
    if choice.startswith("version:"):
        return find_version(lever, levers.versions_of(ask.ledger, lever.id), choice.removeprefix("version:")).value
    raise InputError(f"{quoted(choice)} is nothing that {lever.id} can be held at: choose one of those that are shown")


@pages.act("/levers/{key}/hold", role="responder")
def hold(ask: Ask, key: str) -> Done:
    """Hold a lever; evidence is frozen first, and nothing that goes wrong with that keeps it from being held."""
    lever = lever_of(ask, key)
    asked = asked_of(ask, lever)
    try:
        levers.plan_hold(ask.ledger, key, asked, ask.now_us)  # what is wrong is said before anything is frozen
    except StateError as error:
        rule = None if asked.break_glass else rule_against(ask.ledger, lever, asked)
        raise (
            error
            if rule is None
            else StateError(f"{on_page(rule)}. In an emergency, break the glass: the last field of this form.")
        ) from error
    if ask.maybe("then") == "look":
        query = urlencode({k: v for k in FIELDS if (v := ask.form.get(k, "").strip())})
        if len(query) > MOST_LOOKED_AT:
            raise InputError(
                "this is too long to be looked at before: write the value as a version, and look at a hold of that"
            )
        return Done(to=f"/levers/{key}/plan?{query}")
    before = in_force(pulls_of(ask.ledger, key), ask.now_us, check_environment(asked.environment))
    parts, _ = freeze_before(ask.ledger, lever, lambda _: _frozen(ask, lever))
    pull = _held(ask, lever, asked, "; ".join(parts))
    said = f"{key} is held at {brief(pull.value)} in {pull.environment} until {clock(ask, pull.until_us)}."
    if pull.break_glass:
        said += " The glass is broken: somebody else has to review it."
    said += f" {_sentence(served_within(ask.ledger, pull, SERVED_S))} {_sentence('; '.join(parts))}"
    superseded = before is not None and any(gave_way(p.released_why) == pull.id for p in pulls_of(ask.ledger, key))
    undo = _again(before) if superseded and before is not None else _release(pull)
    return Done(to=f"/levers/{key}", said=said, undo=undo)


def _held(ask: Ask, lever: Lever, asked: Asked, evidence: str) -> Pull:
    now_us = ask.site.now_us()  # freezing took its time
    until_us = asked.until_us if asked.until_fixed else asked.until_us + now_us - ask.now_us
    return levers.hold(
        ask.ledger, lever.id, asked.value, why=asked.why, by=asked.by, until_us=until_us, until_fixed=asked.until_fixed,
        now_us=now_us, environment=asked.environment, incident=asked.incident, trade_off=asked.trade_off, exit=asked.exit,
        break_glass=asked.break_glass, evidence=evidence,
    )  # fmt: skip


def _frozen(ask: Ask, lever: Lever) -> Sequence[str] | None:
    """Have the evidence frozen by who does long work; None where that takes longer than a pull waits.

    Raises:
        StateError: it cannot be done; says why.
    """
    app, errands = app_of(lever), ask.site.errands
    name = errands.ask("freeze", by=ask.by, **({} if app is None else {"app": app}))
    until_s = time.monotonic() + FREEZE_S
    while True:
        errand = errands.get(name)
        if errand is None:
            raise StateError("nobody knows what became of it")
        if errand.state == "failed":
            raise StateError(errand.error)
        if errand.state == "done":
            result: Mapping[str, Any] = getattr(errand, "result", None) or {}
            return [str(i) for i in result.get("frozen", ())]
        if time.monotonic() >= until_s:
            return None
        time.sleep(0.02)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _release(pull: Pull) -> Undo:
    fields = {"pull": pull.id, "why": f"taken back by who pulled it ({pull.id})"}
    return Undo(action=f"/levers/{pull.lever}/release/{pull.environment}", fields=fields)


def _again(pull: Pull) -> Undo | None:
    """Hold a lever as it was held before; None where that is too long for a cookie."""
    text = value_text(pull.value)
    value = {"choice": f"version:{pull.digest}"} if pull.digest else {"choice": "value", "value": text}
    fields = {
        **value, "environment": pull.environment, "for": "until", "until": _iso(pull.until_us), "why": f"again as by {pull.id}: {pull.why}"[:300],
        "incident": pull.incident or "", "trade_off": pull.trade_off[:300], "exit": pull.exit[:300],
    }  # fmt: skip
    return None if len(text) > 500 else Undo(action=f"/levers/{pull.lever}/hold", fields=fields)


def _iso(us: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(us / 1e6, UTC).isoformat()


@pages.act("/levers/{key}/release/{place}", role="responder")
def release(ask: Ask, key: str, place: str) -> Done:
    """End a hold before its time is over; one that took the place of what was seen is not ended."""
    lever = lever_of(ask, key)
    pull = levers.release(
        ask.ledger, lever.id, why=ask.given("why", "why"), by=ask.by, environment=place,
        meant=ask.maybe("pull"), now_us=ask.now_us,
    )  # fmt: skip
    from andon.levers.run.giving import resting_text

    rest = resting_text(ask.ledger, lever, pull.environment, ask.now_us)
    said = f"{key} is released in {pull.environment}: {quiet(rest)} is given again. {_sentence(served_within(ask.ledger, pull, SERVED_S))}"
    return Done(to=f"/levers/{key}", said=said, undo=_again(pull) if pull.until_us > ask.now_us else None)


@pages.act("/levers/{key}/extend/{place}", role="responder")
def extend(ask: Ask, key: str, place: str) -> Done:
    """Let the hold that was seen last longer, or end sooner: the same value, for the same incident; nothing that is served moves."""
    lever = lever_of(ask, key)
    environment = check_environment(place)
    held = in_force(pulls_of(ask.ledger, key), ask.now_us, environment)
    if held is None or held.id != ask.maybe("pull"):
        who = "nobody" if held is None else f"{held.id} by {held.by}"
        raise StateError(
            f"{who} holds {key} in {place} meanwhile, not {ask.maybe('pull')}: look at what is served now, and hold it anew"
        )
    form = {**ask.form, "choice": "safe", "environment": environment}
    wanted = asked_of(replace(ask, form=form), lever)
    asked = replace(wanted, value=held.value, incident=held.incident, trade_off=held.trade_off, exit=held.exit)
    glass = held.break_glass and rule_against(ask.ledger, lever, asked) is not None
    pull = _held(ask, lever, replace(asked, break_glass=glass), f"nothing moved: it goes on from {held.id}")
    return Done(to=f"/levers/{key}", said=f"{key} stays held until {clock(ask, pull.until_us)}.", undo=_again(held))


@pages.act("/levers/{key}/review", role="reviewer")
def review(ask: Ask, key: str) -> Done:
    """Look at why somebody else broke the glass."""
    lever_of(ask, key)
    done = levers.review(
        ask.ledger, ask.given("pull"), why=ask.given("why", "what you think of it"), by=ask.by, now_us=ask.now_us
    )
    return Done(to=f"/levers/{key}", said=f"{done.id} by {done.by} is reviewed.")
