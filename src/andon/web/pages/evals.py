"""Eval runs: what the gate says of each, what is being asked now, the probes, and what decides nothing for a while."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from markupsafe import Markup

from andon.errors import AndonError, InputError
from andon.evals import Baseline
from andon.evals import run as evals
from andon.evals.probes import Probe, every_text, next_us, probed_text, probes_of
from andon.evals.run.overviews import Overview, overviews_of
from andon.golden import Case
from andon.loop.evaluating import KnownTarget, known_targets
from andon.web import charts
from andon.web.asking import Ask, Done, Page, Undo
from andon.web.pages.evals_shown import SAID, Judged, judged, rate_text, rules_of, runs_table, said
from andon.web.routing import Pages
from andon.web.tables import Cell, Column, Table

__all__ = ["known_here", "pages", "probes_here", "undone"]

pages = Pages()
DAY_US = 86_400_000_000
SHOWN = 20
"""Runs of one page."""
MOST = 1_000
"""Runs of one file: each is read once."""
COURSE = 24
"""Runs of an application whose pass rate is drawn."""
WAYS = {"gate": "as a candidate: judged beside the baseline", "alone": "by itself", "baseline": "as the new baseline"}


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """An application: what its candidates are compared with, and what the last one said."""

    name: str
    baseline: Baseline | None
    base: Overview | None
    last: Judged | None
    course: Markup
    """What fails, run by run."""
    runs: int


@pages.read("/evals")
def runs(ask: Ask) -> Page:
    """All runs, the newest first."""
    _, problem = rules_of(ask)
    bases = {b.id: b for b in ask.ledger.all(Baseline)}
    probes, probes_problem = probes_here(ask)
    found, more, number = _found(ask, {a: b.run for a, b in bases.items()})
    apps = _apps(ask, bases)
    tables = [runs_table(found, exporting=ask.exporting, more=more), _probes_table(ask, probes), _quarantine_table(ask)]
    return Page(
        template="evals/all.html",
        title="Eval runs",
        tables=tables,
        context={
            "sentence": _sentence(apps),
            "apps": apps,
            "runs": tables[0],
            "more": more,
            "number": number,
            "probes": tables[1] if probes else None,
            "probes_problem": probes_problem,
            "probe_names": [p.name for p in probes],
            "quarantine": tables[2],
            "rules_problem": problem,
            "targets": known_targets(ask.ledger, probes),
            "gated": sorted(bases),
            "ways": WAYS,
            "working": [e for e in ask.site.errands.all() if e.what in ("evaluate", "probe")][:4],
            "result": lambda e: getattr(e, "result", None) or {},
            "all_apps": sorted({a.name for a in apps}),
            "words": {**SAID, "baseline": "baseline", "alone": "not compared"},
            "rate_text": rate_text,
            "verdict_of": said,
            "filtered": any(ask.query.get(n) for n in ("app", "outcome", "target")),
            "cases": sum(c.retired is None for c in ask.ledger.all(Case)),
        },
    )


@pages.act("/evals", role="responder")
def start(ask: Ask) -> Done:
    """Ask a known target the golden cases of its application."""
    target, way = ask.given("target", "what is asked"), ask.maybe("way") or "gate"
    if way not in WAYS:
        raise InputError(f"a run is judged {', '.join(WAYS)}; choose one of them")
    known = {t.name: t for t in known_targets(ask.ledger, probes_here(ask)[0])}
    if target not in known:
        raise InputError("this target is not known any more: load the page again and choose one of those that are")
    repeats = None if ask.maybe("repeats") is None else ask.number("repeats", "attempts")
    if repeats is not None and (repeats != int(repeats) or not 1 <= repeats <= 100):
        raise InputError(f"{repeats:g} attempts at each case; a whole number of 1 to 100 is allowed")
    ask.site.errands.ask(
        "evaluate", by=ask.by, target=target, gate=way == "gate" or None, baseline=way == "baseline" or None,
        resume=ask.maybe("resume") is not None or None, repeats=None if repeats is None else int(repeats),
        budget_usd=_limit(ask, "budget_usd", "the budget"), per_minute=_limit(ask, "per_minute", "questions a minute"),
    )  # fmt: skip
    return Done(
        to="/evals", said=f"{target} is asked the golden cases of {known[target].app}: this page shows how far it is."
    )


@pages.act("/evals/stop", role="responder")
def stop(ask: Ask) -> Done:
    """Stop a run; what was answered is kept."""
    ask.site.errands.stop(ask.given("errand"), by=ask.by)
    return Done(
        to="/evals", said="It is stopped. What was answered is kept: start it again with “go on” to ask only the rest."
    )


@pages.act("/evals/probes/{name}", role="responder")
def ask_probe(ask: Ask, name: str) -> Done:
    """Ask a probe now."""
    if name not in {p.name for p in probes_here(ask)[0]}:
        raise InputError("there is no such probe in andon.toml")
    ask.site.errands.ask("probe", by=ask.by, name=name)
    return Done(to="/evals", said=f"The probe {name} is being asked.")


@pages.act("/evals/quarantine", role="reviewer")
def quarantine(ask: Ask) -> Done:
    """Let a case decide nothing for some days, or decide again."""
    case = ask.given("case", "the case")
    days = ask.number("days", "days")
    to = ask.maybe("to") or "/evals"
    made = evals.quarantine(
        ask.ledger, case, ask.now_us + round(days * DAY_US), ask.maybe("why") or "", now_us=ask.now_us, by=ask.by
    )
    if made.until_us <= ask.now_us:
        return Done(to=to, said=f"{made.id} decides again.")
    return Done(
        to=to, said=f"{made.id} decides nothing for {days:g} days: {made.why}",
        undo=Undo(action="/evals/quarantine", fields={"case": made.id, "days": "0", "to": to}),
    )  # fmt: skip


def probes_here(ask: Ask) -> tuple[tuple[Probe, ...], str]:
    """The probes of andon.toml, and why they cannot be read."""
    settings = ask.site.settings
    try:
        return probes_of(settings.tables, settings.config), ""
    except AndonError as error:
        return (), str(error)


def _limit(ask: Ask, name: str, what: str) -> float | None:
    if ask.maybe(name) is None:
        return None
    value = ask.number(name, what)
    if value <= 0:
        raise InputError(f"{what} is {value:g}; a number above 0 is allowed, and none where it is left empty")
    return value


def _found(ask: Ask, baselines: Mapping[str, str]) -> tuple[list[Judged], bool, int]:
    """The runs of this page, whether there are older ones, and its number."""
    app, outcome, target = (ask.query.get(n, "") for n in ("app", "outcome", "target"))
    rules, _ = rules_of(ask)

    def fits(line: Overview) -> bool:
        return app in ("", line.app) and target in ("", line.target)

    lines = overviews_of(ask.ledger).newest(fits)
    each = (judged(ask, line, rules, baselines) for line in lines)
    if outcome:
        each = (j for j in each if j.word == outcome)
    if ask.exporting:
        some = list(islice(each, MOST + 1))
        return some[:MOST], len(some) > MOST, 0
    text = ask.query.get("page", "")
    number = int(text) if text.isdecimal() and len(text) < 5 else 0
    some = list(islice(each, number * SHOWN, (number + 1) * SHOWN + 1))
    return some[:SHOWN], len(some) > SHOWN, number


def _apps(ask: Ask, bases: Mapping[str, Baseline]) -> list[App]:
    """The applications of the newest runs and of all baselines."""
    overviews, (rules, _) = overviews_of(ask.ledger), rules_of(ask)
    by_app: dict[str, list[Overview]] = {a: [] for a in bases}
    for line in islice(overviews.newest(), 4 * COURSE):
        by_app.setdefault(line.app or "several", []).append(line)
    found, baselines = [], {a: b.run for a, b in bases.items()}
    for name, lines in sorted(by_app.items()):
        kept = bases.get(name)
        last = next((line for line in lines if kept is None or line.id != kept.run), None)
        course = [None if line.rate is None else 1 - line.rate for line in reversed(lines[:COURSE])]
        found.append(
            App(
                name=name, baseline=kept, base=None if kept is None else overviews.of(kept.run),
                last=None if last is None else judged(ask, last, rules, baselines), runs=len(lines),
                course=charts.spark(course, f"share that fails in the last {len(course)} runs of {name}"),
            )
        )  # fmt: skip
    return found


def _sentence(apps: list[App]) -> str:
    """The head: what the gate says of the newest candidates."""
    told = [a for a in apps if a.last is not None and a.last.verdict is not None]
    worst = [a for a in told if a.last and a.last.verdict and a.last.verdict.outcome == "fail"]
    open_ = [a for a in told if a.last and a.last.verdict and a.last.verdict.outcome in ("undecided", "error")]
    if not apps:
        return "No eval run yet"
    if not told:
        return "No candidate was compared with a baseline yet"
    if worst:
        names = ", ".join(a.name for a in worst[:3])
        return f"The newest candidate of {names} fails the gate"
    if open_:
        return f"The gate cannot decide about the newest candidate of {', '.join(a.name for a in open_[:3])}"
    return f"The newest candidate{'s' if len(told) > 1 else ''} of {', '.join(a.name for a in told[:3])} pass{'' if len(told) > 1 else 'es'} the gate"


def _probes_table(ask: Ask, probes: tuple[Probe, ...]) -> Table:
    columns = (
        Column(key="probe", title="probe", kind="code"), Column(key="app", title="of"), Column(key="every", title="asked every"),
        Column(key="drawn", title="last times", kind="picture"), Column(key="last", title="last asked", kind="time"),
        Column(key="said", title="what it said", wide=True), Column(key="next", title="next", kind="time"),
    )  # fmt: skip
    rows = []
    for p in probes:
        asked = overviews_of(ask.ledger).probed(p.name)
        last = asked[-1] if asked else None
        words = [
            "error" if d.problem else "fail" if d.passed < p.bar * (d.passed + d.failed) else "pass" for d in asked
        ]
        label = f"{words.count('pass')} of {len(words)} times it kept its bar"
        links = [f"/evals/{d.run}" if d.run else "" for d in asked]
        bad = last is not None and words[-1] != "pass"
        rows.append(
            {
                "probe": p.name, "app": Cell(value=p.app, note=p.environment), "every": every_text(p),
                "drawn": charts.strip(words, label, links=links) if words else None, "last": None if last is None else last.at_us,
                "said": Cell(
                    value=probed_text(p, last) or "never asked", tone="bad" if bad else "", link=f"/evals/{last.run}" if last and last.run else ""
                ),
                "next": max(next_us(p, last), ask.now_us),
            }
        )  # fmt: skip
    return Table(name="probes", title="Probes", columns=columns, rows=rows, empty="No probe is set up.")


def _quarantine_table(ask: Ask) -> Table:
    columns = (
        Column(key="case", title="case", kind="code"), Column(key="question", title="question", wide=True),
        Column(key="until", title="until", kind="time"), Column(key="by", title="by"), Column(key="why", title="why"),
    )  # fmt: skip
    rows = []
    for q in sorted(evals.quarantined(ask.ledger, ask.now_us).values(), key=lambda q: q.until_us):
        case = ask.ledger.get(Case, q.id)
        question = None if case is None else case.question[:200]
        rows.append(
            {
                "case": Cell(value=q.id, link=f"/golden/{q.id}"),
                "question": question,
                "until": q.until_us,
                "by": q.by,
                "why": q.why,
            }
        )
    empty = "Every case decides. A flaky case can be set aside for some days, on its own page in a run: it is still asked and shown."
    return Table(name="quarantine", title="Cases in quarantine", columns=columns, rows=rows, empty=empty)


def known_here(ask: Ask, app: str | None) -> list[KnownTarget]:
    """The known targets of an application."""
    return [t for t in known_targets(ask.ledger, probes_here(ask)[0]) if t.app == app]


def undone(old: Baseline, known: list[KnownTarget]) -> Undo | None:
    """How the baseline before is set again; None where its target is not known any more."""
    same: Any = next((t.name for t in known if t.spec == old.target), None)
    return None if same is None else Undo(action=f"/evals/{old.run}/baseline", fields={"target": same})
