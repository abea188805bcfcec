"""The label queue: one failure at a time, a right answer in seconds; where people differ, somebody else decides."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from andon.errors import InputError
from andon.golden import Failure, needed
from andon.golden import run as golden
from andon.golden.agreement import FEWEST
from andon.golden.cases import person
from andon.golden.records import Settled
from andon.golden.words import passes_when
from andon.web.asking import Ask, Done, Gone, Page, Undo
from andon.web.pages.labels_shown import (
    PAGE,
    acceptable,
    agreement_table,
    case_of,
    filters_of,
    is_high,
    next_address,
    offers,
    queue_of,
    queue_table,
    seen_labels,
    seen_text,
    today_count,
)
from andon.web.routing import Pages

__all__ = ["pages"]

pages = Pages()

WHYS = ("the answer was right", "nobody can say what is right", "the question makes no sense", "it is a test or a joke")
"""Usual reasons to dismiss a failure, each one press away."""

MOST_CONFLICTS = 20


@pages.read("/labels")
def label(ask: Ask) -> Page:
    """The failure that is worth most of those that wait for who asks; for a viewer the list."""
    if not ask.may("reviewer"):
        return _listed(ask)
    if ask.wrong is not None and ask.wrong.action.startswith("/labels/F-"):
        return _one(ask, _failure(ask, ask.wrong.action.split("/")[2]), asked_for=False)
    queue, chosen = queue_of(ask), filters_of(ask.query)
    waiting = queue.waiting(ask.ledger, ask.by, **chosen)
    ahead = queue.after(ask.query["after"], waiting) if ask.query.get("after") else waiting
    if ahead:
        return _one(ask, _failure(ask, ahead[0]), waiting=waiting, skipped=len(waiting) - len(ahead))
    states = queue.states(ask.ledger)
    return Page(
        template="labels/none.html",
        title="Label queue",
        context={
            **_frame(ask, states),
            "skipped": len(waiting),
            "filters": chosen,
            "failures": len(states),
            "ready": queue.ready(ask.ledger),
            "second": sum(said.state == "second" for _, said in states.values()),
        },
    )


@pages.read("/labels/list")
def listed(ask: Ask) -> Page:
    """Everything that waits for somebody, as a list."""
    return _listed(ask)


def _listed(ask: Ask) -> Page:
    queue, chosen = queue_of(ask), filters_of(ask.query)
    states = queue.states(ask.ledger)
    ids = queue.waiting(ask.ledger, "", **chosen)
    differ = [
        i for i, (f, said) in states.items() if said.state == "conflict" and all(chosen[k] == _of(f, k) for k in chosen)
    ]
    ids = [*differ, *ids]
    at = 0 if ask.exporting else max(0, _number(ask.query.get("page")) - 1) * PAGE
    shown = ids[:10_000] if ask.exporting else ids[at : at + PAGE]
    rows = queue.queued(ask.ledger, shown)
    table = queue_table(ask, rows, at + 1)
    return Page(
        template="labels/list.html",
        title=f"{len(ids):,} wait for a label",
        tables=[table],
        context={
            **_frame(ask, states),
            "table": table,
            "total": len(ids),
            "page_now": at // PAGE + 1,
            "pages_all": -(-len(ids) // PAGE),
            "filters": chosen,
            "choices": {k: sorted({v for f, s in states.values() if s.state in ("waits", "second", "conflict") and (v := _of(f, k))}) for k in ("app", "incident", "risk")},
            "acceptable": acceptable(ask, states) if ask.may("reviewer") else 0,
            "ready": queue.ready(ask.ledger),
        },
    )  # fmt: skip


@pages.read("/labels/conflicts")
def conflicts(ask: Ask) -> Page:
    """Failures of which reviewers say different things: somebody who is not one of them decides."""
    found = golden.conflicting(ask.ledger, app=ask.query.get("app"))
    me = person(ask.by)
    if ask.wrong is not None:  # what was refused stays on the page, wherever it stands
        named = ask.wrong.action.split("/")[2]
        found.sort(key=lambda each: each[0].id != named)
    rows = [
        {"failure": f, "labels": labels, "mine": any(x.author == me for x in labels), "check": passes_when(f)}
        for f, labels in found[:MOST_CONFLICTS]
    ]
    states = queue_of(ask).states(ask.ledger)
    return Page(
        template="labels/conflicts.html",
        title=f"{len(found)} conflicts" if found else "No conflicts",
        live=False,
        context={**_frame(ask, states), "rows": rows, "total": len(found)},
    )


@pages.read("/labels/agreement")
def agreement(ask: Ask) -> Page:
    """How far reviewers say the same."""
    found = golden.reviewer_agreement(ask.ledger, np.random.default_rng(0), app=ask.query.get("app"))
    states = queue_of(ask).states(ask.ledger)
    table = agreement_table(found)
    return Page(
        template="labels/agreement.html",
        title="Agreement of reviewers",
        tables=[table],
        context={**_frame(ask, states), "whole": found[0], "table": table, "least": FEWEST},
    )


@pages.read("/labels/{failure}")
def one(ask: Ask, failure: str) -> Page:
    """One failure, whatever became of it."""
    return _one(ask, _failure(ask, failure), asked_for=True)


@pages.act("/labels/accept", role="reviewer")
def accept(ask: Ask) -> Done:
    """Take the expected answers that came with the data as labels."""
    done = golden.accept_suggestions(ask.ledger, now_us=ask.now_us, by=ask.by)
    refused = f"; {len(done.refused)} refused: {done.refused[0].reason}" if done.refused else ""
    return Done(to="/labels/list", said=f"{_counted(len(done.labelled))} labelled from expected answers{refused}.")


@pages.act("/labels/{failure}/label", role="reviewer")
def give(ask: Ask, failure: str) -> Done:
    """Say what would have been right."""
    found = _failure(ask, failure)
    answer = ask.given("answer", "the right answer")
    golden.give_label(
        ask.ledger, found.id, answer=answer, note=ask.maybe("note") or "", now_us=ask.now_us, by=ask.by, again=True
    )
    return _given(ask, found, f"Labelled “{found.question[:80]}”: {answer[:160]}")


@pages.act("/labels/{failure}/dismiss", role="reviewer")
def dismiss(ask: Ask, failure: str) -> Done:
    """Say that no case comes of it, and why."""
    found = _failure(ask, failure)
    why = ask.maybe("usual") or ask.given("why", "the reason")
    golden.give_label(ask.ledger, found.id, dismiss=why, now_us=ask.now_us, by=ask.by, again=True)
    return _given(ask, found, f"Dismissed “{found.question[:80]}”: {why[:160]}")


@pages.act("/labels/{failure}/withdraw", role="reviewer")
def withdraw(ask: Ask, failure: str) -> Done:
    """Take one's own label back, or what one decided where reviewers differ."""
    found, decision = _failure(ask, failure), ask.maybe("what") == "decision"
    golden.withdraw(ask.ledger, found.id, now_us=ask.now_us, by=ask.by, decision=decision)
    said = "Your decision is taken back: reviewers differ again" if decision else "Your label is taken back"
    return Done(to=f"/labels/{found.id}", said=_and_cases(ask, found, said))


@pages.act("/labels/{failure}/adjudicate", role="reviewer")
def adjudicate(ask: Ask, failure: str) -> Done:
    """Say what holds where reviewers differ."""
    found = _failure(ask, failure)
    take, answer, why = ask.maybe("take"), ask.maybe("answer"), ask.maybe("why")
    if sum(x is not None for x in (take, answer, why)) != 1:
        raise InputError("choose one: take a reviewer's word, write another right answer, or say why it is no failure")
    said = golden.adjudicate(ask.ledger, found.id, now_us=ask.now_us, by=ask.by, take=take, answer=answer, dismiss=why)
    right = f"right is “{said.ground_truth[:160]}”" if said.ground_truth else said.why
    undo = Undo(action=f"/labels/{found.id}/withdraw", fields={"what": "decision"})
    return Done(to="/labels/conflicts", said=_and_cases(ask, found, f"Settled: {right}"), undo=undo)


def _given(ask: Ask, found: Failure, text: str) -> Done:
    undo = Undo(action=f"/labels/{found.id}/withdraw")
    return Done(to=next_address(ask.form), said=_and_cases(ask, found, text), undo=undo)


def _and_cases(ask: Ask, failure: Failure, text: str) -> str:
    """What was done, and which cases are still tested although their right answer holds no more."""
    tested = golden.still_tested(ask.ledger, {failure.id})
    names = ", ".join(each.reason.split(" ", 2)[1] for each in tested)
    still = f" Still tested, with another right answer: {names}; retire it in the golden set." if names else ""
    return f"{text.rstrip('.')}.{still}"


def _one(
    ask: Ask, failure: Failure, *, asked_for: bool = False, waiting: list[str] | None = None, skipped: int = 0
) -> Page:
    queue = queue_of(ask)
    states = queue.states(ask.ledger)
    said = states[failure.id][1]
    labels, hidden = seen_labels(ask, failure, said)
    me = person(ask.by)
    mine = next((x for x in labels if x.author == me and not x.final), None)
    found = offers(ask, failure)
    taken = _number(ask.query.get("take"))
    left = waiting if waiting is not None else queue.waiting(ask.ledger, ask.by, **filters_of(ask.query))
    can = (
        ask.may("reviewer")
        and not any(x.final for x in labels)
        and (mine is not None or said.state in ("waits", "second"))
    )
    return Page(
        template="labels/one.html",
        title=seen_text(failure.question[:80]),
        live=False,
        context={
            **_frame(ask, states),
            "failure": failure,
            "queued": next(iter(queue.queued(ask.ledger, [failure.id])), None),
            "said_of_it": said,
            "labels": labels,
            "hidden": hidden,
            "mine": mine,
            "decided": next((x for x in labels if x.author == me and x.final), None),
            "can": can,
            "high": is_high(failure),
            "reviewers": needed(failure),
            "offers": found,
            "typed": found[taken - 1].text if 0 < taken <= len(found) else mine.ground_truth if mine else "",
            "check": passes_when(failure),
            "case": case_of(ask, failure, said),
            "asked_for": asked_for,
            "left": len(left),
            "skipped": skipped,
            "today": today_count(ask),
            "whys": WHYS,
            "filters": filters_of(ask.query),
            "on": {k: ask.query[k] for k in ("app", "incident", "risk", "after") if ask.query.get(k)},
            "skip": next_address({**ask.query, "after": failure.id}),
        },
    )


def _frame(ask: Ask, states: Mapping[str, tuple[Failure, Settled]]) -> dict[str, Any]:
    """What every page of the queue shows: its tabs with their counts."""
    differ = sum(said.state == "conflict" for _, said in states.values())
    waiting = sum(said.state in ("waits", "second", "conflict") for _, said in states.values())
    tabs = [] if not ask.may("reviewer") else [("/labels", "Label")]
    tabs += [
        ("/labels/list", f"All that wait ({waiting:,})"), ("/labels/conflicts", f"Conflicts ({differ:,})"),
        ("/labels/agreement", "Agreement"),
    ]  # fmt: skip
    return {"tabs_all": tabs, "errands": [e for e in ask.site.errands.all() if e.what in ("add", "capture")][:3]}


def _failure(ask: Ask, name: str) -> Failure:
    found: Failure | None = ask.ledger.get(Failure, name)
    if found is None:
        raise Gone(f"There is no failure {name[:100]!r}", "/labels", "Label queue")
    return found


def _of(failure: Failure, key: str) -> str | None:
    return failure.risk_category if key == "risk" else getattr(failure, key)


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 7 else 0


def _counted(n: int) -> str:
    return f"{n:,} failure{'' if n == 1 else 's'}"
