"""Plan a rollout: what it needs and what it cannot see, before anybody is served; then it is written down, and perhaps started."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any

from andon.errors import AndonError, InputError, StateError
from andon.levers import ENVIRONMENTS, Lever, Version
from andon.levers import run as levers
from andon.levers.registry import value_text
from andon.levers.run.drafting import LEAST_CANARY, Draft, Drafted, plan_draft, write_drafted
from andon.rollouts import Experiment
from andon.rollouts.plan import METHODS, MOST_DAYS
from andon.rollouts.run.planning import find_experiment, values_of
from andon.rollouts.told import guarded_text, plan_rows, points_text, power_text, say_plan, time_text, versions_text
from andon.scores import LABELS
from andon.scores.run import installed_scorers
from andon.traffic import VERSIONS
from andon.web.asking import Ask, Done, Page
from andon.web.routing import Pages
from andon.web.tables import Column, Table

__all__ = ["FIELDS", "as_page_says", "fields_of", "in_words", "named_in", "pages"]

pages = Pages()

FIELDS = (
    "kind", "of", "app", "environment", "treatment", "control", "metric", "better", "effect", "days", "share", "method",
    "hypothesis", "guardrails", "base", "per_day", "on_harm", "change",
)  # fmt: skip
"""Fields of the form, as addresses carry them."""

_WORDS = {
    "--better": "“should go”", "--effect": "“smallest change worth having”", "--margin": "“largest harm that is accepted”", "--base": "“as it is now”", "--per-day": "“new users a day”",
    "--share": "“share of the users”", "--treatment": "“treatment”", "--control": "“control”", "--app": "“application”", "--lever": "a lever",
    "--by": "a field of traffic", "--spread": "the standard deviation", "--on-harm": "“when harm is shown”", "--anyway": "“write it all the same”",
    "--days": "“days”", "--guardrail": "“guardrails”",
}  # fmt: skip
"""What options of the command line are called on the page."""


@pages.read("/rollouts/new", role="responder")
def new(ask: Ask) -> Page:
    """The form, and what the plan that is asked for can see."""
    q = dict(ask.query)
    drafted, problem = None, ""
    if q.get("treatment") and q.get("metric"):
        try:
            drafted = _drafted(replace(ask, form=ask.query))
        except (InputError, StateError) as error:
            problem = in_words(str(error))
    of = q.get("of", "")
    lever = ask.ledger.get(Lever, of.removeprefix("lever:")) if of.startswith("lever:") else None
    tables = [] if drafted is None else [_ways(drafted), _guards(drafted)]
    not_yet = "" if drafted is None else _start_problem(ask, drafted)
    return Page(
        template="rollouts/new.html",
        title="Plan a rollout" if not q.get("change") else f"Change {q['change']}",
        tables=tables,
        live=False,
        context={
            "q": {name: q.get(name, "") for name in FIELDS},
            "kind": q.get("kind") if q.get("kind") in ("ab", "canary", "shadow") else "ab",
            "of": of,
            "levers": sorted(ask.ledger.all(Lever), key=lambda x: x.id),
            "lever": lever,
            "versions": [] if lever is None else _versions(ask, lever, q.get("environment") or "production"),
            "values": _values(ask, of, q.get("app", ""), q.get("environment") or "production"),
            "traffic_fields": ("arm", *VERSIONS),
            "metrics": _metrics(),
            "environments": ENVIRONMENTS,
            "methods": METHODS,
            "apps": sorted({x.app for x in ask.ledger.all(Lever)} | {e.app for e in ask.ledger.all(Experiment)}),
            "problem": problem,
            "drafted": drafted,
            "sentences": [] if drafted is None else _sentences(drafted),
            "told": [] if drafted is None else [in_words(t) for t in drafted.told],
            "harms": []
            if drafted is None
            else list(dict.fromkeys((g.metric, g.harm) for g in drafted.guards if g.harm)),
            "ways": tables[0] if tables else None,
            "guards": tables[1] if tables else None,
            "compared": None if drafted is None else versions_text(drafted.experiment),
            "start_problem": not_yet,
            "other": named_in(not_yet),
        },
    )


@pages.act("/rollouts/new", role="responder")
def write(ask: Ask) -> Done:
    """Write the plan down, and start it where that is asked for."""
    starts = ask.form.get("do") == "start"
    with as_page_says():
        written = write_drafted(
            ask.ledger, _drafted(ask), anyway=ask.form.get("anyway") == "yes", start=starts, now_us=ask.now_us
        )
        if starts:
            levers.start_split(ask.ledger, written, why=written.hypothesis, by=ask.by, now_us=ask.now_us)
    then = " and started." if starts else ". Nobody is served the treatment before it is started."
    return Done(to=f"/rollouts/{written.id}", said=f"{written.id} is written{then}")


@contextmanager
def as_page_says() -> Iterator[None]:
    """Let what is refused be said with the names that the fields and buttons have here."""
    try:
        yield
    except (InputError, StateError) as error:
        raise type(error)(in_words(str(error))) from error


def fields_of(e: Experiment) -> dict[str, str]:
    """The fields of the form that make this plan."""
    guards = "\n".join(
        f"{g.risk_category + ':' if g.risk_category else ''}{g.metric}:{g.margin:g}" for g in e.guardrails
    )
    made = {
        "kind": e.kind, "of": f"lever:{e.lever}" if e.lever else f"field:{e.field}", "app": e.app, "environment": e.environment,
        "treatment": e.treatment or "default", "control": "" if e.lever else e.control, "metric": e.metric, "better": e.better, "effect": f"{e.effect:g}",
        "days": f"{e.days:g}", "share": "" if e.share is None else f"{100 * e.share:g}", "method": e.method, "hypothesis": e.hypothesis,
        "guardrails": guards, "on_harm": e.on_harm if e.lever else "",
    }  # fmt: skip
    return {k: v for k, v in made.items() if v}


def _drafted(ask: Ask) -> Drafted:
    """The plan that the form asks for.

    Raises:
        InputError: something is missing, unknown, or no number.
        StateError: it is to change an experiment that was started.
    """
    return plan_draft(ask.warehouse, ask.ledger, _scorers(), _draft(ask), by=ask.by, now_us=ask.now_us)


def _draft(ask: Ask) -> Draft:
    kind = ask.maybe("kind") or "ab"
    if kind not in ("ab", "canary", "shadow"):
        raise InputError("a rollout is an A/B test, a canary or a shadow: choose one of them")
    ab, of = kind == "ab", ask.given("of", "what is compared")
    what, _, name = of.partition(":")
    if what not in ("lever", "field") or not name:
        raise InputError("what is compared is a lever or a field of traffic: choose one of them")
    if ab and ask.maybe("better") is None:
        raise InputError("say where the metric should go, up or down: an A/B test is about an improvement")
    days = _number(ask, "days", "days")
    days = (14.0 if ab else 1.0) if days is None else days
    if not ab and not LEAST_CANARY <= days <= MOST_DAYS:
        raise InputError(
            f"{days:g} days are no time that a canary may take; half an hour (0.021) to {MOST_DAYS} days are allowed"
        )
    share = _number(ask, "share", "share of the users")
    change = ask.maybe("change")
    if change is not None:
        change = find_experiment(ask.ledger, change).id
    return Draft(
        kind=kind, lever=name if what == "lever" else None, by=name if what == "field" else None, treatment=ask.given("treatment", "treatment"),  # type: ignore[arg-type]
        control=ask.maybe("control"), environment=ask.maybe("environment") or "production", app=ask.maybe("app"),
        metric=ask.given("metric", "metric"), better=ask.maybe("better"),
        effect=ask.number("effect", "size") if ab else _number(ask, "effect", "size"),
        hypothesis=ask.given("hypothesis", "hypothesis") if ab else ask.maybe("hypothesis"), share=None if share is None else share / 100,
        days=days, method=(ask.maybe("method") or "group sequential") if ab else "group sequential",
        guardrails=[line.strip() for line in (ask.maybe("guardrails") or "").splitlines() if line.strip()],
        base=_number(ask, "base", "as it is now"), per_day=_number(ask, "per_day", "new users a day"), on_harm=ask.maybe("on_harm"),
        change=change,
    )  # fmt: skip


def _number(ask: Ask, name: str, what: str) -> float | None:
    return None if ask.maybe(name) is None else ask.number(name, what)


def _sentences(drafted: Drafted) -> list[str]:
    """What the plan can see: first whether it sees what it is made for, in a short sentence, then the figures, then what would do."""
    first, *rest = say_plan(drafted.plan)
    head, _, figures = first.partition(": ")
    return [head, figures[:1].upper() + figures[1:], *rest]


def in_words(text: str) -> str:
    """A message for the command line with the names that the fields have here."""
    return re.sub(r"--[a-z-]+", lambda m: _WORDS.get(m[0], m[0]), text)


def named_in(text: str) -> str:
    """The experiment that a message names; empty where it names none."""
    found = re.search(r"EXP-\d{4,}", text)
    return found[0] if found else ""


def _versions(ask: Ask, lever: Lever, environment: str) -> list[tuple[str, str]]:
    """(digest, what people read) of what can be given, the newest first; the default last."""
    live = levers.live_in(ask.ledger, lever.id, environment)
    digest = None if live is None else live.digest

    def words(v: Version) -> str:
        said = f"{v.digest}: {value_text(v.value)[:60]}"
        said += ", live" if v.digest == digest else "" if v.approvals else ", not approved yet"
        return said

    found = [(v.digest, words(v)) for v in sorted(levers.versions_of(ask.ledger, lever.id), key=lambda v: -v.at_us)]
    return [*found, ("default", f"the default: {value_text(lever.default)[:60]}{', live' if digest is None else ''}")]


def _values(ask: Ask, of: str, app: str, environment: str) -> Mapping[str, float]:
    """The values of a field of traffic in the last seven days; none where nobody said of which application."""
    field = of.removeprefix("field:")
    if not of.startswith("field:") or not app:
        return {}
    try:
        return dict(list(values_of(ask.warehouse, app, environment, field, ask.now_us).items())[:50])
    except AndonError:
        return {}


@cache
def _scorers() -> tuple[Any, ...]:
    return tuple(installed_scorers())


@cache
def _metrics() -> dict[str, str]:
    """Metric -> what it is, for people."""
    return {s.name: s.name for s in _scorers()} | {name: f"{name} (people tell)" for name in LABELS}


def _start_problem(ask: Ask, drafted: Drafted) -> str:
    """Why it could not be started at once; empty where it could."""
    try:
        levers.check_start(ask.ledger, replace(drafted.experiment, id="this plan"), ask.now_us)
    except AndonError as error:
        return in_words(str(error))
    return ""


def _ways(drafted: Drafted) -> Table:
    head, rows = plan_rows(drafted.plan)
    keys = ("looking", "users", "takes", "power", "sees")
    columns = tuple(Column(key=k, title=t) for k, t in zip(keys, head, strict=True))
    return Table(
        name="ways",
        title="What each way of looking needs and sees",
        columns=columns,
        rows=[dict(zip(keys, r, strict=True)) for r in rows],
    )


def _guards(drafted: Drafted) -> Table:
    time = time_text(drafted.plan.asked.days)
    columns = (
        Column(key="guardrail", title="guardrail"), Column(key="accepts", title="accepts"), Column(key="now", title="harm now"),
        Column(key="power", title=f"shown to hold in {time}"), Column(key="could", title="could be shown to keep"),
    )  # fmt: skip
    rows = [
        {
            "guardrail": guarded_text(g.metric, g.risk_category), "accepts": points_text(g.margin),
            "now": "no such traffic yet" if g.harm_now is None else f"{100 * g.harm_now:.3g} %",
            "power": "cannot tell" if g.power is None else power_text(g.power),
            "could": "cannot tell" if g.power is None else "nothing" if g.could is None else points_text(g.could),
            "_tone": "warn" if g.blocks else "",
        }
        for g in drafted.guards
    ]  # fmt: skip
    return Table(
        name="guardrails",
        title="What can be shown of each guardrail",
        columns=columns,
        rows=rows,
        empty="No guardrail: nothing else is watched for harm.",
    )
