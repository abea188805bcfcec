"""One golden case: what it asks, how it is measured, how it fared, and what people do with it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from andon.errors import InputError
from andon.evals import CaseResult, EvalRun
from andon.evals.run import quarantine, quarantined, results_of
from andon.golden import Case
from andon.golden import run as golden
from andon.golden.cases import case_id
from andon.golden.growth import origin_of
from andon.golden.run import Measure
from andon.golden.words import passes_when
from andon.web.asking import Ask, Done, Gone, Page, Undo
from andon.web.pages.golden import number_of
from andon.web.pages.labels_shown import queue_of, seen_text
from andon.web.routing import Pages
from andon.web.tables import Cell, Column, Table

__all__ = ["pages"]

pages = Pages()

DAY_US = 86_400_000_000
DAYS = (1, 7, 14, 30)
RUNS = 20
METRICS = ("normalised_match", "exact_match", "refusal", "escalation", "citation_valid", "numeric", "judge")
"""Offered where a metric is typed; others are taken too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fared:
    """How the case fared in one run."""

    run: EvalRun
    outcome: str
    """``pass``, ``fail``, ``error``, or ``mixed`` where attempts differ."""
    attempts: Sequence[CaseResult]


@pages.read("/golden/{case}")
def one(ask: Ask, case: str) -> Page:
    """A case."""
    found = ask.ledger.latest(Case, case)
    if found is None:
        raise Gone(f"There is no case {case[:100]!r}", "/golden", "Golden set")
    mine: Case = found.record
    fared = [_fared(run, attempts) for run, attempts in results_of(ask.ledger, case, most=RUNS)]
    entries = golden.history_of(ask.ledger, case)
    results = _results(fared, exporting=ask.exporting)
    states = queue_of(ask).states(ask.ledger)
    failures = [
        f for f, said in states.values()
        if f.app == mine.app and f.question == mine.question and said.ground_truth and case_id(f.app, f.question, said.ground_truth) == case
    ]  # fmt: skip
    return Page(
        template="golden/case.html",
        title=seen_text(mine.question[:80]),
        live=False,
        tables=[results, _history(entries)],
        markdown=lambda: _markdown(mine, fared, ask),
        context={
            "case": mine,
            "version": found.version,
            "changed_by": found.by,
            "changed_us": found.at_us,
            "origin": origin_of(mine),
            "check": passes_when(mine),
            "fared": list(reversed(fared)),
            "results": results,
            "sentence": _sentence(mine, fared),
            "entries": list(reversed(entries)),
            "held": quarantined(ask.ledger, ask.now_us).get(case),
            "failures": failures,
            "first": ask.ledger.get(Case, mine.variant_of) if mine.variant_of else None,
            "variants": [c for c in ask.ledger.all(Case) if c.variant_of == case],
            "expect": _as_json(mine.expect) if mine.expect else "",
            "risk": seen_text(mine.risk_category or ""),
            "cluster": seen_text(mine.cluster or ""),
            "metric": seen_text(mine.metric),
            "metrics": METRICS,
            "days": {str(d): f"{d} day{'s' if d > 1 else ''}" for d in DAYS},
            "conflict": ask.wrong is not None and ask.wrong.conflict,
        },
    )


@pages.act("/golden/{case}/measure", role="reviewer")
def measure(ask: Ask, case: str) -> Done:
    """Change how answers to a case are measured."""
    direction = ask.form.get("direction", "down")
    if direction not in ("up", "down"):
        raise InputError("say which values fail: high ones or low ones")
    wanted = Measure(
        metric=ask.given("metric", "the metric"), direction="up" if direction == "up" else "down",
        cut=None if ask.maybe("cut") is None else ask.number("cut", "the bound"), expect=_expected(ask.maybe("expect")),
        risk_category=ask.maybe("risk"), cluster=ask.maybe("cluster"),
    )  # fmt: skip
    before = ask.ledger.get(Case, case)
    after = golden.restate(
        ask.ledger, case, wanted, version=number_of(ask.form.get("version")), now_us=ask.now_us, by=ask.by,
        over=number_of(ask.form.get("over")) or None,
    )  # fmt: skip
    said = "Nothing was changed: it is measured so already." if after == before else f"Changed. {passes_when(after)}"
    return Done(to=f"/golden/{case}", said=said)


@pages.act("/golden/{case}/retire", role="reviewer")
def retire(ask: Ask, case: str) -> Done:
    """Take a case out of what is tested."""
    done = golden.retire(ask.ledger, case, why=ask.given("why", "the reason"), now_us=ask.now_us, by=ask.by)
    left = [c for c in golden.load_set(ask.ledger) if c.variant_of == case]
    more = f" Its variants are still tested: {', '.join(c.id for c in left[:5])}." if left else ""
    undo = Undo(action=f"/golden/{case}/back", fields={"why": "retired by mistake"})
    return Done(to=f"/golden/{case}", said=f"Retired: {done.retired_why}.{more}", undo=undo)


@pages.act("/golden/{case}/back", role="reviewer")
def back(ask: Ask, case: str) -> Done:
    """Test a retired case again."""
    golden.retire(ask.ledger, case, why=ask.given("why", "the reason"), now_us=ask.now_us, by=ask.by, back=True)
    return Done(to=f"/golden/{case}", said="It is tested again.")


@pages.act("/golden/{case}/quarantine", role="reviewer")
def hold(ask: Ask, case: str) -> Done:
    """Let a case decide nothing for some days; it is still run."""
    days = number_of(ask.form.get("days"))
    if days not in DAYS:
        raise InputError(f"for how many days? {', '.join(map(str, DAYS))} are allowed")
    made = quarantine(
        ask.ledger, case, ask.now_us + days * DAY_US, ask.maybe("why") or "", now_us=ask.now_us, by=ask.by
    )
    return Done(
        to=f"/golden/{case}",
        said=f"In quarantine for {days} days: {made.why}",
        undo=Undo(action=f"/golden/{case}/release"),
    )


@pages.act("/golden/{case}/release", role="reviewer")
def release(ask: Ask, case: str) -> Done:
    """End a quarantine."""
    quarantine(ask.ledger, case, ask.now_us, ask.maybe("why") or "", now_us=ask.now_us, by=ask.by)
    return Done(to=f"/golden/{case}", said="The quarantine is ended: the case decides again.")


def _fared(run: EvalRun, attempts: Sequence[CaseResult]) -> Fared:
    outcomes = {a.outcome for a in attempts}
    return Fared(run=run, outcome=outcomes.pop() if len(outcomes) == 1 else "mixed", attempts=attempts)


def _sentence(case: Case, fared: Sequence[Fared]) -> str:
    """What the case is for, and how it stands."""
    if case.retired:
        return f"Retired since {case.retired}: {case.retired_why}"
    if not fared:
        return "No kept run has asked it yet."
    last, passed = fared[0], sum(f.outcome == "pass" for f in fared)
    word = {"pass": "It passed", "fail": "It failed", "error": "It could not run", "mixed": "It passed and failed"}[
        last.outcome
    ]
    if len(fared) == 1:
        return f"{word} in the only run that asked it."
    return f"{word} in the last run, and passed in {passed} of the last {len(fared)}."


def _as_json(value: dict[str, Any]) -> str:
    """What a case expects, to be edited: what nobody sees is spelt out, so that nothing of it gets lost."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return "".join(c if c.isprintable() or c == "\n" or ord(c) > 0xFFFF else f"\\u{ord(c):04x}" for c in text)


def _expected(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        found = json.loads(text)
    except RecursionError:
        raise InputError("what it expects is nested too deep; flatten it") from None
    except ValueError as error:
        raise InputError(
            f'what it expects is not JSON: {error}. Write an object, such as {{"tolerance": 0.01}}'
        ) from None
    if not isinstance(found, dict):
        raise InputError('what it expects must be a JSON object, such as {"tolerance": 0.01}')
    return found


def _results(fared: Sequence[Fared], *, exporting: bool) -> Table:
    columns: tuple[Column, ...] = (
        Column(key="at", title="run of", kind="time"), Column(key="outcome", title="outcome", kind="tag"),
        Column(key="answer", title="answer, and what was found", wide=True), Column(key="value", title="value", kind="number"),
    )  # fmt: skip
    if exporting:
        columns = (
            *columns,
            Column(key="target", title="target"),
            Column(key="run", title="run"),
            Column(key="repeat", title="attempt", kind="number"),
            Column(key="detail", title="found"),
        )
    rows = [
        {
            "at": Cell(value=f.run.at_us, link=f"/evals/{f.run.id}", note=f.run.target[:80]), "run": f.run.id, "outcome": a.outcome, "target": f.run.target,
            "value": a.value, "answer": Cell(value=(a.answer or "")[:300] or None, note=a.detail[:300]), "detail": a.detail,
            "repeat": a.repeat,
        }
        for f in fared
        for a in f.attempts
    ]  # fmt: skip
    empty = "No kept run has asked this case yet. The next eval run does."
    return Table(
        name="results",
        title="How it fared in the last runs",
        columns=columns,
        rows=rows,
        empty=empty,
        empty_link=("/evals", "Eval runs"),
    )


def _history(entries: Sequence[Any]) -> Table:
    columns = (
        Column(key="at", title="when", kind="time"),
        Column(key="by", title="by"),
        Column(key="what", title="what", wide=True),
    )
    return Table(
        name="history",
        title="History of the case",
        columns=columns,
        rows=[{"at": e.at_us, "by": e.by, "what": e.what} for e in entries],
    )


def _markdown(case: Case, fared: Sequence[Fared], ask: Ask) -> str:
    """The case for a chat or a ticket; what came from traffic is quoted line by line."""

    def quote(text: str) -> str:
        shown = "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)
        return "\n".join(f"    {line}" for line in shown.split("\n"))

    def text(words: str) -> str:
        return "".join(f"\\{c}" if c in "\\`*_[]<>#|~&" else c for c in seen_text(words))

    parts = [
        f"## Golden case {case.id}",
        text(_sentence(case, fared)),
        "Question:",
        quote(case.question),
        "Right answer:",
        quote(case.ground_truth),
    ]
    if case.answer:
        parts += ["An answer that failed:", quote(case.answer)]
    return "\n\n".join([*parts, text(passes_when(case)), f"{ask.address}/golden/{case.id}"]) + "\n"
