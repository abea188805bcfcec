"""One eval run: the verdict and why, what was lost, every case; one case of it; two runs side by side; files for CI."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import numpy as np
from starlette.responses import RedirectResponse, Response

from andon import __version__
from andon.errors import InputError
from andon.evals import Baseline, EvalRun, Verdict, junit_of, markdown_of, sarif_of
from andon.evals import run as evals
from andon.evals.repeats import repeats_of
from andon.evals.reports import Standing, standings, todo_text
from andon.evals.run.overviews import Overview, baseline_before, overviews_of
from andon.golden import Case
from andon.web.asking import Ask, Done, Gone, Page
from andon.web.pages.evals import known_here, undone
from andon.web.pages.evals_shown import (
    SAID,
    WORDS,
    cards_of,
    cases_table,
    flaky_table,
    groups_table,
    overview_of,
    rate_text,
    repeats_table,
    rules_of,
    run_of,
    said,
)
from andon.web.routing import Pages

__all__ = ["pages"]

pages = Pages()

SHOWN = 25
"""Cases of one page of the table."""
CARDS = 12
"""Cases that are shown whole, of those that need a look."""
LOOK = ("lost", "new", "fail", "error", "gained")
ALONE = "none"
"""In the address: compare with nothing."""
_FILE = {"cache-control": "no-store", "content-security-policy": "default-src 'none'; sandbox"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """A run, what it is compared with, and what follows."""

    run: EvalRun
    line: Overview
    base: EvalRun | None
    base_line: Overview | None
    verdict: Verdict
    cases: Sequence[Case]
    """Those of the run that the golden set holds, retired ones too."""
    each: Sequence[Standing]


@pages.read("/evals/compare")
def compare(ask: Ask) -> Page:
    """Two runs side by side, case by case."""
    before, after = ask.query.get("a", "").strip(), ask.query.get("b", "").strip()
    choices = _choices(ask)
    if not (before and after):
        return Page(
            template="evals/choose.html",
            title="Compare two runs",
            live=False,
            context={"choices": choices, "a": before, "b": after},
        )
    both = _beside(ask, after, before)
    back = overviews_of(ask.ledger).verdict(before, after, rules_of(ask)[0], ask.now_us)
    assert both.base is not None
    everything = "all" in ask.query or ask.exporting
    answers = _outcomes(both.base)
    differ = [
        s for s in both.each if everything or s.word in ("lost", "gained", "new") or answers.get(s.case_id) != s.outcome
    ]
    number, some = _page(ask, _sorted(differ), CARDS)
    tables = [
        groups_table(both.verdict.groups, exporting=ask.exporting),
        cases_table(ask, after, some if not ask.exporting else differ),
    ]
    return Page(
        template="evals/compare.html",
        title=f"{after} compared with {before}",
        tables=tables,
        live=False,
        markdown=lambda: markdown_of(both.run, both.verdict, both.cases, baseline=both.base),
        context={
            "r": both,
            "notes": _notes(both.verdict),
            "back": back,
            "verdict_of": said,
            "words": SAID,
            "todo": todo_text(both.verdict),
            "groups": tables[0],
            "cards": cards_of(some, both.base),
            "differ": len(differ),
            "number": number,
            "last_number": (len(differ) - 1) // CARDS if differ else 0,
            "everything": everything,
            "rate_text": rate_text,
            "choices": choices,
        },
    )


@pages.read("/evals/cases/{case}")
def golden_case(ask: Ask, case: str) -> Response:
    """A golden case has a page of its own."""
    del ask
    return RedirectResponse(f"/golden/{quote(case, safe='')}", 303)


@pages.read("/evals/{name}")
def one(ask: Ask, name: str) -> Page:
    """One run."""
    r = _beside(ask, name, ask.query.get("baseline"))
    look = [s for s in _sorted(r.each) if s.word in LOOK]
    wanted = _wanted(ask, r.each)
    number, some = _page(ask, wanted, SHOWN)
    repeats = repeats_of(r.run.results) if r.run.repeats > 1 else None
    tables = [groups_table(r.verdict.groups, exporting=ask.exporting), cases_table(ask, name, some, _beside_query(ask))]
    tables += (
        [repeats_table(repeats), flaky_table(name, repeats, most=10_000 if ask.exporting else 8)]
        if repeats is not None
        else []
    )
    latest = ask.ledger.latest(EvalRun, name)
    bases = [b.id for b in ask.ledger.all(Baseline) if b.run == name]
    words = Counter(s.word for s in r.each)
    return Page(
        template="evals/one.html",
        title=f"{SAID[r.verdict.outcome]}: {name}" if r.base else f"{r.run.app or 'several'}: {name}",
        tables=tables,
        markdown=lambda: markdown_of(r.run, r.verdict, r.cases, baseline=r.base),
        context={
            "r": r,
            "notes": _notes(r.verdict),
            "sentence": said(r.verdict) if r.base or r.verdict.outcome == "error" else rate_text(r.line),
            "todo": todo_text(r.verdict) if r.base else "",
            "words": SAID,
            "rate_text": rate_text,
            "by": "" if latest is None else latest.by,
            "bases": bases,
            "targets": known_here(ask, r.run.app),
            "groups": tables[0] if r.base else None,
            "cards": cards_of(look[:CARDS], r.base),
            "look": len(look),
            "cases": tables[1],
            "found": len(wanted),
            "number": number,
            "last_number": (len(wanted) - 1) // SHOWN if wanted else 0,
            "counts": [(w, t, words[w]) for w, t in WORDS.items() if words[w]],  # type: ignore[index]
            "risks": sorted({x.risk_category or "" for x in r.run.results}),
            "clusters": sorted({x.cluster for x in r.run.results if x.cluster and x.cluster != x.case_id})[:200],
            "repeats": repeats,
            "repeat_tables": tables[2:],
            "filtered": any(ask.query.get(n) for n in ("stands", "risk", "cluster", "q")),
            "choices": _choices(ask),
        },
    )


@pages.read("/evals/{name}/cases/{case}")
def one_case(ask: Ask, name: str, case: str) -> Page:
    """One case of a run: every attempt, beside what the other run said."""
    r = _beside(ask, name, ask.query.get("baseline"))
    ordered = _sorted(r.each)
    at = next((n for n, s in enumerate(ordered) if s.case_id == case), None)
    if at is None:
        raise Gone(f"{name} has no case {case[:60]!r}", f"/evals/{name}", f"The run {name}")
    held = evals.quarantined(ask.ledger, ask.now_us).get(case)
    there = [] if r.base is None else [x for x in r.base.results if x.case_id == case]
    return Page(
        template="evals/case.html",
        title=f"{case} in {name}",
        tables=[cases_table(ask, name, [ordered[at]])],
        context={
            "r": r,
            "card": cards_of([ordered[at]], r.base)[0],
            "there": there,
            "quarantine": held,
            "before_it": ordered[at - 1].case_id if at else None,
            "after_it": ordered[at + 1].case_id if at + 1 < len(ordered) else None,
            "words": SAID,
        },
    )


@pages.read("/evals/{name}/junit.xml")
def junit(ask: Ask, name: str) -> Response:
    """The run as JUnit XML, for CI."""
    r = _beside(ask, name, ask.query.get("baseline"))
    return _file(junit_of(r.run, r.verdict, r.cases, baseline=r.base), f"{name}.xml", "application/xml")


@pages.read("/evals/{name}/sarif.json")
def sarif(ask: Ask, name: str) -> Response:
    """The run as SARIF 2.1.0, for code hosts."""
    r = _beside(ask, name, ask.query.get("baseline"))
    log = sarif_of(r.run, r.verdict, r.cases, baseline=r.base, path=None, lines={}, version=__version__)
    return _file(json.dumps(log, indent=2) + "\n", f"{name}.sarif.json", "application/json")


@pages.read("/evals/{name}/run.json")
def saved(ask: Ask, name: str) -> Response:
    """The run as a file, as the command line saves and reads it."""
    from andon.evals.run.runs import dump

    return _file(dump(run_of(ask, name)) + "\n", f"{name}.json", "application/json")


@pages.act("/evals/{name}/baseline", role="responder")
def make_baseline(ask: Ask, name: str) -> Done:
    """Compare candidates with this run from now on."""
    run = run_of(ask, name)
    asked = ask.given("target", "how its target is asked again")
    known = known_here(ask, run.app)
    target = next((t for t in known if t.name == asked), None)
    if target is None:
        raise InputError(
            f"this target is not known for {run.app or 'several applications'}: load the page again and choose one that is"
        )
    old = None if run.app is None else ask.ledger.get(Baseline, run.app)
    made = evals.set_baseline(ask.ledger, run, target=target.spec, now_us=ask.now_us, by=ask.by, app=run.app)
    undo = None if old is None or old.run == run.id else undone(old, known)
    return Done(to=f"/evals/{name}", said=f"Candidates of {made.id} are compared with this run from now on.", undo=undo)


def _beside(ask: Ask, name: str, other: str | None) -> Beside:
    """A run and what it is compared with: what is asked for, else the baseline of its application.

    Raises:
        Gone: one of them is not kept.
    """
    overviews = overviews_of(ask.ledger)
    line, run = overview_of(ask, name), run_of(ask, name)
    if other:
        base_line = None if other == ALONE else overview_of(ask, other)
    else:
        base_line = baseline_before(overviews, ask.ledger.all(Baseline), line)
    base = None if base_line is None else run_of(ask, base_line.id)
    rng = np.random.default_rng(0)
    verdict = overviews.verdict(name, None if base is None else base.id, rules_of(ask)[0], ask.now_us, rng)
    assert verdict is not None
    if base is None:
        verdict = replace(verdict, groups=(), decides=(), mde=None)
    here = {r.case_id for r in run.results}
    cases = [c for c in ask.ledger.all(Case) if c.id in here]
    return Beside(
        run=run, line=line, base=base, base_line=base_line, verdict=verdict, cases=cases, each=standings(run, verdict, cases, base),
    )  # fmt: skip


def _beside_query(ask: Ask) -> str:
    """What a run is compared with, for links to its cases."""
    other = ask.query.get("baseline", "")
    return f"?baseline={quote(other, safe='')}" if other else ""


def _notes(verdict: Verdict) -> list[str]:
    """What must be known, without what the table of the rules says."""
    return [n for n in verdict.notes if not any(g.why and n.endswith(g.why) for g in verdict.groups)]


def _sorted(each: Sequence[Standing]) -> list[Standing]:
    """The most urgent first."""
    order = list(WORDS)
    return sorted(each, key=lambda s: order.index(s.word))


def _outcomes(run: EvalRun) -> dict[str, str]:
    from andon.evals.shown import outcomes

    return outcomes(run)


def _wanted(ask: Ask, each: Sequence[Standing]) -> list[Standing]:
    """The cases that fit the filters, the most urgent first."""
    stands, risk, cluster = (ask.query.get(n, "") for n in ("stands", "risk", "cluster"))
    words = ask.query.get("q", "").casefold().split()

    def fits(s: Standing) -> bool:
        if stands and s.word != stands:
            return False
        if risk and (s.shown.risk_category or "none") != risk:
            return False
        if cluster and s.shown.cluster != cluster:
            return False
        text = (
            f"{s.case_id} {'' if s.case is None else s.case.question} {s.shown.answer or ''}".casefold()
            if words
            else ""
        )
        return all(w in text for w in words)

    return [s for s in _sorted(each) if fits(s)]


def _page(ask: Ask, all_: Sequence[Standing], size: int) -> tuple[int, Sequence[Standing]]:
    """The number of the page, and what is on it."""
    if ask.exporting:
        return 0, all_[:10_000]
    text = ask.query.get("page", "")
    number = int(text) if text.isdecimal() and len(text) < 5 else 0
    return number, all_[number * size : (number + 1) * size]


def _choices(ask: Ask) -> list[tuple[str, str]]:
    """Runs that can be compared with: the newest ones, and the baselines."""
    from itertools import islice

    found: dict[str, Any] = {line.id: line for line in islice(overviews_of(ask.ledger).newest(), 40)}
    for base in ask.ledger.all(Baseline):
        if (line := overviews_of(ask.ledger).of(base.run)) is not None:
            found[line.id] = line
    bases = {b.run for b in ask.ledger.all(Baseline)}
    from andon.web.zones import clock_text

    return [
        (
            r.id,
            f"{r.app or 'several'}, {clock_text(r.at_us, ask.zone, ask.now_us)}, {r.id}{', the baseline' if r.id in bases else ''}",
        )
        for r in found.values()
    ]


def _file(text: str, name: str, kind: str) -> Response:
    head = {
        **_FILE,
        "content-disposition": f'attachment; filename="{"".join(c if (c.isascii() and c.isalnum()) or c in "-._" else "-" for c in name)}"',
    }
    return Response(text, media_type=f"{kind}; charset=utf-8", headers=head)
