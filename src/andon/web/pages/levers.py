"""Levers: what each gives now, who holds it and why, what that did; one lever with its pulls; what a hold would do."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from typing import Any
from urllib.parse import urlencode
from weakref import WeakKeyDictionary

from andon.errors import AndonError, StateError
from andon.evals.probes import probes_of
from andon.incidents import duration
from andon.levers import ENVIRONMENTS, Lever, LeverValue, Pull, Version, latest, standing, turn
from andon.levers import run as levers_run
from andon.levers.given import Given, given_text
from andon.levers.pulls import clock_note, pulled_change
from andon.levers.registry import value_text
from andon.levers.rule_tables import check_rules, describe_rules, pull_rules_of
from andon.levers.rules import PullRefused, PullRule
from andon.levers.run import Board
from andon.levers.run.declaring import splitting
from andon.levers.run.freezing import open_incidents
from andon.levers.run.giving import failing, given, given_by_all, resting_text, rule_against, unreviewed
from andon.levers.run.reading import pulls_of
from andon.levers.words import code_of
from andon.scores.run import installed_scorers
from andon.web.asking import Ask, Page
from andon.web.pages.levers_holding import FIELDS, SPANS, asked_of, choices_of, open_incidents_of
from andon.web.pages.levers_shown import (
    Told,
    brief,
    clock,
    difference,
    effects_of,
    held_table,
    kind_of,
    lever_of,
    levers_table,
    on_page,
    pulls_table,
    quiet,
    readers_of,
    told_of,
)
from andon.web.routing import Pages
from andon.web.tables import Cell, Column, Table

__all__ = ["lever", "pages"]

pages = Pages()

SHOWN = 50
"""Levers of one page."""

SHORT = 40
"""Characters of a value in the head of a page."""

MOST_PULLS = 12
"""Pulls that a lever's page shows before it is asked for all."""

_BOARDS: "WeakKeyDictionary[Any, Board]" = WeakKeyDictionary()


@pages.read("/levers")
def levers(ask: Ask) -> Page:
    """Every lever, those that are held first."""
    rows = given_by_all(ask.ledger, ask.now_us)
    held = sorted((g for pair in rows for g in pair if g.held is not None), key=_until)
    effects, pulls = effects_of(ask), ask.ledger.all(Pull)
    last = {p.lever: p for p in sorted(pulls, key=turn)}
    wanted = _like(rows, ask.query.get("q", ""), ask.query.get("app", ""))
    page = 0 if ask.exporting else int(n) if (n := ask.query.get("page", "")).isdecimal() and len(n) < 6 else 0
    some = wanted if ask.exporting else wanted[page * SHOWN : (page + 1) * SHOWN]
    filtered = bool(ask.query.get("q") or ask.query.get("app"))
    tables = [held_table(held, effects), levers_table(ask, some, last, filtered=filtered)]
    rules, problem = _rules(ask)
    tables += [_rules_table(ask, rules, pulls)] if rules else []
    return Page(
        template="levers/all.html",
        title=f"{len(held)} lever{'s' if len(held) != 1 else ''} held" if held else "Levers",
        tables=tables,
        context={
            "held": [(g, told_of(ask, [g.held], effects)[0]) for g in held if g.held is not None],
            "all": tables[1],
            "count": len(rows),
            "found": len(wanted),
            "number": page,
            "last_number": (len(wanted) - 1) // SHOWN if wanted else 0,
            "apps": sorted({g.lever.app for pair in rows for g in pair}),
            "glass": unreviewed(ask.ledger),
            "failing": failing(ask.ledger),
            "too_large": _too_large(ask),
            "rules": tables[2] if rules else None,
            "rules_problem": problem,
            "difference": difference,
            "shown": brief,
        },
    )


@pages.read("/levers/{key}")
def lever(ask: Ask, key: str) -> Page:
    """One lever: what it gives and why, the form that holds it, and what its pulls did."""
    one = lever_of(ask, key)
    if ask.may("responder"):
        with suppress(Exception):  # whatever it is: a lever can be held all the same
            ask.site.errands.warm()
    now = [given(ask.ledger, one, e, ask.now_us) for e in reversed(ENVIRONMENTS)]
    effects = effects_of(ask)
    pulls = sorted(pulls_of(ask.ledger, key), key=turn, reverse=True)
    everything = ask.exporting or "all" in ask.query
    told = told_of(ask, pulls if everything else pulls[:MOST_PULLS], effects)
    table = pulls_table(told)
    line, where = code_of(one)
    choices = choices_of(ask, one) if ask.may("responder") else []
    return Page(
        template="levers/lever.html",
        title=f"{key} is held" if now[0].held else key,
        tables=[table],
        markdown=lambda: _markdown(ask, now, told),
        context={
            "lever": one,
            "sentence": _sentence(ask, now),
            "now": [(g, next((t for t in told if g.held is not None and t.pull.id == g.held.id), None)) for g in now],
            "told": told,
            "more": len(pulls) - len(told),
            "pulls": table,
            "choices": choices,
            "spans": SPANS,
            "asked": {name: ask.query.get(name, "") for name in FIELDS},
            "incidents": open_incidents_of(ask, one),
            "evidence": open_incidents(ask.ledger, one),
            "readers": readers_of(ask, one),
            "code": (line, where),
            "failing": [f for f in failing(ask.ledger) if f.live.lever == key],
            "too_large": key in " ".join(_too_large(ask)),
            "rules": _rules_of_lever(ask, key),
            "versions": len(levers_run.versions_of(ask.ledger, key)),
            **_words(),
        },
    )


@pages.read("/levers/{key}/plan", role="responder")
def plan(ask: Ask, key: str) -> Page:
    """What a hold would do, before it is done: nothing is written."""
    one = lever_of(ask, key)
    asked = asked_of(replace(ask, form=ask.query), one)
    refused = ""
    try:
        drafted, instead, before = levers_run.plan_hold(ask.ledger, key, asked, ask.now_us)
    except StateError as error:  # what the form was looked at with has changed meanwhile
        return Page(
            template="levers/plan.html", title=f"A hold of {key}", live=False,
            context={"lever": one, "refused": str(error), "query": urlencode(ask.query), "plan": None},
        )  # fmt: skip
    mine = pulls_of(ask.ledger, key)
    live, versions = levers_run.live_in(ask.ledger, key, drafted.environment), levers_run.versions_of(ask.ledger, key)
    change = pulled_change(one, latest(mine, drafted.environment), drafted, standing(one, live, versions)[0])
    return Page(
        template="levers/plan.html",
        title=f"A hold of {key}",
        live=False,
        context={
            "lever": one,
            "refused": refused,
            "query": urlencode(ask.query),
            "plan": drafted,
            "instead": instead,
            "before": before,
            "same": value_text(instead) == value_text(drafted.value),
            "split": splitting(ask.ledger, key, drafted.environment, ask.now_us),
            "rest": quiet(resting_text(ask.ledger, one, drafted.environment, drafted.until_us)),
            "change": change,
            "evidence": open_incidents(ask.ledger, one),
            "readers": readers_of(ask, one),
            "rule": on_page(rule_against(ask.ledger, one, asked) or "") if drafted.break_glass else None,
            "clock_note": clock_note(mine, ask.now_us),
            "fields": {name: ask.query.get(name, "") for name in FIELDS if ask.query.get(name)},
            **_words(),
        },
    )


def _words() -> dict[str, Any]:
    return {
        "shown": brief, "version_text": _version_text, "kind_of": kind_of, "quiet": quiet, "given_text": given_text, "difference": difference,
        "duration_us": lambda us: duration(us / 1e6),
    }  # fmt: skip


def _version_text(value: LeverValue, digest: str | None) -> str:
    return brief(value) if digest is None else f"version {digest}: {brief(value)}"


def _until(now: Given) -> int:
    return now.held.until_us if now.held is not None else 0


def _like(rows: Sequence[tuple[Given, Given]], text: str, app: str) -> list[tuple[Given, Given]]:
    words = text.casefold().split()
    found = []
    for pair in rows:
        lever = pair[0].lever
        said = f"{lever.id} {lever.about} {lever.app}".casefold()
        if all(w in said for w in words) and app in ("", lever.app):
            found.append(pair)
    return found


def _sentence(ask: Ask, now: Sequence[Given]) -> str:
    """What a lever gives in production, as one sentence: the page's head."""
    production, key = now[0], now[0].lever.id
    held = production.held
    if held is not None:
        return f"{key} is held at {_named(held.value, held.digest)} in production until {clock(ask, held.until_us)}"
    staging = now[1].held
    also = "" if staging is None else f"; it is held in staging until {clock(ask, staging.until_us)}"
    if production.split is not None:
        return f"{key} gives {quiet(production.rest)}{also}"
    value = f"version {production.digest}" if production.digest else f"its default, {brief(production.value, SHORT)},"
    return f"{key} gives {value} in production: nobody holds it{also}"


def _named(value: LeverValue, digest: str | None) -> str:
    return brief(value, SHORT) if digest is None else f"version {digest}"


def _too_large(ask: Ask) -> list[str]:
    board = ask.site.levers
    if board is None:
        board = _BOARDS.get(ask.ledger)
        if board is None:
            board = _BOARDS[ask.ledger] = Board(ask.ledger)
        board.refresh()
    said: list[str] = board.too_large(ask.now_us)
    return said


def _markdown(ask: Ask, now: Sequence[Given], told: Sequence[Told]) -> str:
    from andon.web.tables import as_markdown

    lines = [f"# {_sentence(ask, now)}", ""]
    for g in now:
        if g.held is not None:
            lines.append(f"- {g.environment}: held by {_safe(g.held.by)}: {_safe(g.held.why)} ({g.held.id})")
        else:
            lines.append(f"- {g.environment}: {_safe(given_text(g.value, g.digest, g.gate))}")
    return "\n".join([*lines, "", "## Pulls", "", as_markdown(pulls_table(told))])


def _safe(text: str) -> str:
    plain = "".join(c if c.isprintable() else "\ufffd" for c in text)
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>()#|!~&" else c for c in plain)


@cache
def _scorers() -> tuple[Any, ...]:
    return tuple(installed_scorers())


def _rules(ask: Ask) -> tuple[tuple[PullRule, ...], str]:
    """The rules by which levers pull by themselves, and why they cannot be read."""
    settings = ask.site.settings
    if not settings.tables.get("pull"):
        return (), ""
    try:
        probes = probes_of(settings.tables, settings.config)
        return pull_rules_of(settings.tables, probes, _scorers(), settings.config, settings.settle_s), ""
    except AndonError as error:
        return (), str(error)


def _rules_of_lever(ask: Ask, key: str) -> list[tuple[str, str, str]]:
    """The rules that pull a lever: name, what they do, and what keeps them from it."""
    rules, _ = _rules(ask)
    mine = [r for r in rules if r.lever == key]
    return [(r.name, text, _stopped(ask, r)) for r, text in zip(mine, describe_rules(mine), strict=True)]


def _stopped(ask: Ask, rule: PullRule) -> str:
    refused = ask.ledger.get(PullRefused, rule.name)
    if refused is not None and refused.reason and refused.lever == rule.lever:
        return f"it wanted to pull at {clock(ask, refused.at_us)} and was refused: {refused.reason}"
    one = ask.ledger.get(Lever, rule.lever)
    versions: list[Version] = [] if one is None else levers_run.versions_of(ask.ledger, rule.lever)
    return next(iter(check_rules([rule], [] if one is None else [one], versions)), "")


def _rules_table(ask: Ask, rules: Sequence[PullRule], pulls: Sequence[Pull]) -> Table:
    columns = (
        Column(key="rule", title="rule"), Column(key="lever", title="lever", kind="code"), Column(key="what", title="what it does", wide=True),
        Column(key="by", title="by"), Column(key="last", title="last pulled", kind="time"), Column(key="stopped", title="what keeps it from pulling"),
    )  # fmt: skip
    rows = []
    for rule, text in zip(rules, describe_rules(rules), strict=True):
        mine = [p.at_us for p in pulls if p.rule == rule.name and p.lever == rule.lever]
        stopped = _stopped(ask, rule)
        rows.append(
            {
                "rule": rule.name, "lever": Cell(value=rule.lever, link=f"/levers/{rule.lever}"), "what": text.partition(": ")[2],
                "by": rule.by, "last": max(mine, default=None), "stopped": Cell(value=stopped, tone="bad") if stopped else None,
            }
        )  # fmt: skip
    return Table(name="rules", title="Rules that pull by themselves", columns=columns, rows=rows)
