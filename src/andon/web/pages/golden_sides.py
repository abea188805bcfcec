"""The golden set as a whole: how it grows, what it covers, its versions, its near-duplicates, and what is captured for it."""

from datetime import date
from typing import Any, Literal, get_args
from weakref import WeakKeyDictionary

from andon.errors import InputError
from andon.golden import Case, CoverageMap, Failure, NearDuplicate
from andon.golden import run as golden
from andon.golden.capture import A_DAY, ALWAYS, RULES
from andon.golden.history import Moved, State
from andon.golden.records import CaptureDay
from andon.golden.reframe import SOURCE
from andon.scores import hashed
from andon.scores.run import installed_scorers
from andon.traffic import format_time
from andon.web.asking import Ask, Done, Page
from andon.web.pages.golden import address, ask_or_do, golden_frame, number_of
from andon.web.pages.golden_shown import ORIGINS, apps_of, growth_table, heat, holes_table, versions_table
from andon.web.pages.labels_shown import queue_of
from andon.web.routing import Pages
from andon.web.stacks import stacks
from andon.web.tables import Cell, Column, Table

__all__ = ["pages"]

pages = Pages()

Choice = Literal["refuse", "variant", "keep"]
DAY_US = 86_400_000_000
PAGE = 20
DAYS = 60
"""Versions of one page."""
_CHRONICLES: "WeakKeyDictionary[Any, dict[str | None, tuple[int, tuple[list[State], list[Moved]]]]]" = (
    WeakKeyDictionary()
)
"""Ledger -> application -> its last entry when it was read, and the versions."""
SINCE = {"24h": "the last day", "7d": "the last week", "30d": "the last month"}
ABOUT = {
    "thumbs-down": "a user gave a thumbs-down", "correction": "a user said what would have been right",
    "guardrail block": "a guardrail blocked the question or the answer", "abandonment": "the user gave up after the answer",
    "follow-up": "the user asked again or objected at once", "low retrieval score": "the passages that were found hardly fit",
    "low score": "a scorer called the answer bad, or its number is unusually low",
}  # fmt: skip


@pages.read("/golden/growth")
def growth(ask: Ask) -> Page:
    """Whether the set grows as fast as the system fails."""
    app = ask.query.get("app") or None
    grown = golden.growth(ask.ledger, app, now_us=ask.now_us, queue=queue_of(ask))
    table = growth_table(grown)
    columns = [(f"{date.fromisoformat(w.monday):%-d %b}", w.by_origin) for w in grown.weeks]
    return Page(
        template="golden/growth.html",
        title="Growth of the golden set",
        tables=[table],
        context={
            **golden_frame(ask),
            "grown": grown,
            "table": table,
            "drawing": stacks(columns, ORIGINS, "Cases added each week, by where they come from", band=(5, 10)),
            "origins": ORIGINS,
            "app": app,
            "apps": apps_of(ask, ask.ledger.all(Case)),
        },
    )


@pages.read("/golden/versions")
def versions(ask: Ask) -> Page:
    """The states of the set by day, and what came and went on one of them."""
    app, day = ask.query.get("app") or None, ask.query.get("day", "")
    states, moves = _chronicle(ask, app)
    at = 0 if ask.exporting else max(0, number_of(ask.query.get("page")) - 1) * DAYS
    newest = states[::-1] if ask.exporting else states[::-1][at : at + DAYS]
    table = versions_table(newest[::-1], moves, address("/golden/versions", app=app) + ("&" if app else "?"))
    columns = (
        Column(key="at", title="when", kind="time"), Column(key="kind", title="", kind="tag"), Column(key="question", title="case", wide=True),
        Column(key="what", title="what"), Column(key="by", title="by"),
    )  # fmt: skip
    rows = [
        {
            "at": m.at_us, "kind": Cell(value=m.kind, tone=""), "question": Cell(value=m.case.question[:200], link=f"/golden/{m.case.id}"),
            "what": m.what, "by": m.by,
        }
        for m in reversed(moves) if format_time(m.at_us)[:10] == day
    ]  # fmt: skip
    moved = Table(
        name="moves",
        title=f"What changed on {day}" if day else "What changed",
        columns=columns,
        rows=rows[:2_000],
        empty="Nothing changed on this day.",
    )
    return Page(
        template="golden/versions.html",
        title="Versions of the golden set",
        tables=[table, moved],
        context={
            **golden_frame(ask),
            "table": table,
            "moved": moved,
            "day": day,
            "states": states,
            "page_now": at // DAYS + 1,
            "pages_all": -(-len(states) // DAYS),
            "app": app,
            "apps": apps_of(ask, ask.ledger.all(Case)),
        },
    )


def _chronicle(ask: Ask, app: str | None) -> tuple[list[State], list[Moved]]:
    """The versions of the set: read anew only after a case was written, for all versions of all cases are looked at."""
    kept, entry = _CHRONICLES.setdefault(ask.ledger, {}), ask.ledger.last_entry()
    known = kept.get(app)
    if known is None or known[0] > entry or ask.ledger.written([Case], known[0]):
        kept[app] = (entry, golden.chronicle(ask.ledger, app))
    return kept[app][1]


@pages.read("/golden/coverage")
def coverage(ask: Ask) -> Page:
    """What people ask and no case tests."""
    apps = apps_of(ask, ask.ledger.all(Case))
    kept: dict[str, CoverageMap] = {m.id: m for m in ask.ledger.all(CoverageMap)}
    apps = sorted({*apps, *kept})
    app = ask.query.get("app") or next((a for a in apps if a in kept), apps[0] if apps else "")
    mine = kept.get(app)
    found = mine.found if mine else None
    tables: list[Table] = []
    risks, rows = heat(found) if found is not None and found.whole is not None else ([], [])
    if found is not None and found.whole is not None:
        tables = [holes_table(found), _squares(app, found)]
    return Page(
        template="golden/coverage.html",
        title=f"Coverage of {app}" if app else "Coverage",
        tables=tables,
        context={
            **golden_frame(ask), "app": app, "apps": apps, "kept": mine, "found": found, "risks": risks, "rows": rows,
            "holes": tables[0] if tables else None,
        },
    )  # fmt: skip


def _squares(app: str, found: Any) -> Table:
    columns = (
        Column(key="app", title="app"), Column(key="topic", title="topic"), Column(key="risk", title="risk"),
        Column(key="questions", title="questions", kind="number"), Column(key="traffic", title="of traffic", kind="rate"),
        Column(key="covered", title="covered", kind="rate"), Column(key="harmed", title="bad answers", kind="number"),
    )  # fmt: skip
    rows = [
        {
            "app": app, "topic": s.topic, "risk": s.risk_category, "questions": s.questions, "traffic": s.traffic, "covered": s.covered,
            "harmed": s.harmed,
        }
        for s in found.squares
    ]  # fmt: skip
    return Table(name="coverage", title="Coverage by topic and risk category", columns=columns, rows=rows)


@pages.act("/golden/coverage", role="reviewer")
def measure(ask: Ask) -> Done:
    """Measure the coverage of an application."""
    app = ask.given("app", "the application")

    def now() -> str:
        embedder, site = hashed.load(ask.site.settings), ask.site
        found = golden.measure_coverage(
            site.warehouse, site.ledger, embedder, installed_scorers(), app=app, now_us=ask.now_us
        )
        golden.keep_coverage(ask.ledger, found, now_us=ask.now_us, by=ask.by)
        return f"Measured {app}" if found.whole else f"Cannot tell the coverage of {app}: {found.reason}"

    said = (
        ask_or_do(ask, "cover", now, app=app)
        or f"The coverage of {app} is being measured; this page tells when it is known."
    )
    return Done(to=address("/golden/coverage", app=app), said=said)


@pages.read("/golden/duplicates")
def duplicates(ask: Ask) -> Page:
    """Labelled failures that ask what a case asks already: refused, a variant, or kept."""
    words: list[NearDuplicate] = sorted(
        ask.ledger.all(NearDuplicate), key=lambda d: (d.by != "andon", d.choice != "refuse", -d.at_us)
    )
    at = max(0, number_of(ask.query.get("page")) - 1) * PAGE
    if ask.wrong is not None:  # what was refused stays on the page, wherever it stands
        named = ask.wrong.action.split("/")[3]
        words.sort(key=lambda d: d.id != named)
        at = 0
    pairs = [(d, ask.ledger.get(Failure, d.id), ask.ledger.get(Case, d.case)) for d in words[at : at + PAGE]]
    return Page(
        template="golden/duplicates.html",
        title="Near-duplicates",
        live=False,
        tables=[_decisions(ask, words)] if ask.exporting else [_decisions(ask, ())],
        context={
            **golden_frame(ask), "pairs": pairs, "total": len(words), "page_now": at // PAGE + 1, "pages_all": -(-len(words) // PAGE),
            "proposed": sum(d.by == "andon" for d in words), "settled": {i: s[1] for i, s in queue_of(ask).states(ask.ledger).items()},
        },
    )  # fmt: skip


def _decisions(ask: Ask, words: Any) -> Table:
    columns = tuple(
        Column(key=k, title=k) for k in ("failure", "choice", "by", "cosine", "question", "case", "its_question", "why")
    )
    asked = {f.id: f.question for f in ask.ledger.all(Failure)} if words else {}
    known = {c.id: c.question for c in ask.ledger.all(Case)} if words else {}
    rows = [
        {
            "failure": d.id, "choice": d.choice, "by": d.by, "cosine": round(d.cosine, 3), "question": asked.get(d.id, ""), "case": d.case,
            "its_question": known.get(d.case, ""), "why": d.why,
        }
        for d in words[:10_000]
    ]  # fmt: skip
    return Table(name="decisions", title="Near-duplicates and what was decided", columns=columns, rows=rows)


@pages.act("/golden/duplicates/{failure}/decide", role="reviewer")
def decide(ask: Ask, failure: str) -> Done:
    """Say what becomes of a near-duplicate."""
    choice: Choice | None = next((c for c in get_args(Choice) if c == ask.form.get("choice")), None)
    if choice is None:
        raise InputError("choose one: refuse it, add it as a variant, or keep it as a case of its own")
    done = golden.decide(
        ask.ledger, None, failure, choice, why=ask.given("why", "the reason"), by=ask.by, now_us=ask.now_us
    )
    if done.case is None:
        return Done(to="/golden/duplicates", said=f"Refused: it adds nothing to {done.decision.case}")
    kind = f"a variant of {done.case.variant_of}" if done.case.variant_of else "a case of its own"
    return Done(
        to="/golden/duplicates",
        said=f"It is {done.case.id}, {kind}{'' if done.added else '; it was in the set already'}",
    )


@pages.read("/golden/capture")
def captured(ask: Ask) -> Page:
    """What becomes a failure that waits for a label, by each rule, and what was left out."""
    failures: list[Failure] = ask.ledger.all(Failure)
    cases: list[Case] = ask.ledger.all(Case)
    today = format_time(ask.now_us)[:10]
    left: dict[str, int] = {}
    for d in ask.ledger.all(CaptureDay):
        for rule, n in d.left_out.items():
            left[rule] = left.get(rule, 0) + n
    table = _rules(failures, left, ask.now_us)
    return Page(
        template="golden/capture.html",
        title="What is captured",
        tables=[table],
        context={
            **golden_frame(ask),
            "table": table,
            "today": sum(
                format_time(f.captured_us)[:10] == today for f in failures if f.captured_us > ask.now_us - 2 * DAY_US
            ),
            "total": len(failures),
            "since": SINCE,
            "a_day": A_DAY,
            "reframed": sum(f.source.startswith(SOURCE) for f in failures),
            "choices": {
                "app": {"": "all", **{a: a for a in apps_of(ask, cases)}},
                "risk": {
                    "": "the high ones",
                    **{r: r for r in sorted({c.risk_category for c in cases if c.risk_category and c.retired is None})},
                },
            },
        },
    )


def _rules(failures: list[Failure], left: dict[str, int], now_us: int) -> Table:
    def kind(f: Failure) -> str:
        return (
            f.source
            if f.source in RULES
            else "re-framing"
            if f.source.startswith(SOURCE)
            else "incident"
            if f.source.startswith("incident ")
            else "other"
        )

    counts: dict[str, list[int]] = {}
    for f in failures:
        c = counts.setdefault(kind(f), [0, 0, 0])
        age = now_us - f.captured_us
        c[0] += age < DAY_US
        c[1] += age < 7 * DAY_US
        c[2] += 1
    about = {
        **ABOUT,
        "incident": "a failing example of an incident's investigation",
        "re-framing": "a case asked in adversarial words",
        "other": "another source",
    }
    names = [*RULES, "incident", *(k for k in ("re-framing", "other") if k in counts)]
    columns = (
        Column(key="rule", title="rule"), Column(key="about", title="when", wide=True), Column(key="bound", title="how many"),
        Column(key="day", title="last day", kind="number"), Column(key="week", title="last week", kind="number"),
        Column(key="all", title="ever", kind="number"), Column(key="left", title="left out", kind="number"),
    )  # fmt: skip
    rows = [
        {
            "rule": n, "about": about[n], "bound": "all" if n in (*ALWAYS, "incident", "re-framing", "other") else f"worst {A_DAY} a day",
            "day": (c := counts.get(n, [0, 0, 0]))[0], "week": c[1], "all": c[2], "left": left.get(n, 0),
        }
        for n in names
    ]  # fmt: skip
    return Table(name="rules", title="Rules of capture", columns=columns, rows=rows)


@pages.act("/golden/capture", role="reviewer")
def capture_now(ask: Ask) -> Done:
    """Look for failures now."""
    since = ask.form.get("since", "7d")
    if since not in SINCE:
        raise InputError(f"how far back? {', '.join(SINCE)} are allowed")
    ask.site.errands.ask("capture", ask.by, since=since)
    return Done(to="/golden/capture", said=f"Looking for failures of {SINCE[since]}; this page tells what was found.")


@pages.act("/golden/reframe", role="reviewer")
def reframe(ask: Ask) -> Done:
    """Make re-framings of high-risk cases; each waits for a label."""
    n = number_of(ask.maybe("limit") or "20")
    if not 1 <= n <= 500:
        raise InputError("how many? 1 to 500 are allowed")
    done, _ = golden.reframe(
        ask.ledger, ask.maybe("app"), limit=n, now_us=ask.now_us, by=ask.by, risk=ask.maybe("risk")
    )
    return Done(
        to="/golden/capture",
        said=f"{len(done.captured)} re-framings wait for a label, {len(done.known)} were made before",
    )
