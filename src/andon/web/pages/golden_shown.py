"""What the pages of the golden set show: tables of cases, of versions, of holes, and the map of coverage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from andon.evals import Quarantine
from andon.golden import Case
from andon.golden.coverage import Coverage, Hole
from andon.golden.growth import Growth, origin_of
from andon.golden.history import Moved, State
from andon.web.asking import Ask
from andon.web.tables import Cell, Column, Table

__all__ = [
    "ORIGINS",
    "Square",
    "apps_of",
    "case_table",
    "fits",
    "growth_table",
    "heat",
    "holes_table",
    "state_of",
    "versions_table",
]

FAIR = 0.8
"""Share of a square from which on it counts as covered."""

ORIGINS = ("incident", "feedback", "score", "re-framing", "by hand")


def apps_of(ask: Ask, cases: Sequence[Case]) -> list[str]:
    """The applications that are known, by their cases and failures."""
    from andon.golden import Failure

    return sorted({c.app for c in cases} | {f.app for f in ask.ledger.all(Failure)})


def state_of(case: Case, held: Mapping[str, Quarantine]) -> str:
    """``retired``, ``quarantined`` or ``tested``."""
    return "retired" if case.retired else "quarantined" if case.id in held else "tested"


def fits(case: Case, given: Mapping[str, str], held: Mapping[str, Quarantine]) -> bool:
    """Whether a case is among those that are asked for."""
    for key, value in (
        ("app", case.app),
        ("risk", case.risk_category or ""),
        ("metric", case.metric),
        ("incident", case.incident or ""),
    ):
        if given.get(key) and given[key] != value:
            return False
    if given.get("origin") and given["origin"] != origin_of(case):
        return False
    wanted = given.get("state") or "tested"
    is_ = state_of(case, held)
    if wanted not in ("all", is_) and (wanted, is_) != ("tested", "quarantined"):
        return False
    text = given.get("q", "").casefold()
    return (
        not text
        or text in case.question.casefold()
        or text in case.ground_truth.casefold()
        or text in case.id.casefold()
    )


def case_table(
    cases: Sequence[Case], held: Mapping[str, Quarantine], *, filtered: bool, exporting: bool = False
) -> Table:
    """Cases, one a row; a file has columns for what stands below the question on the page."""
    columns: tuple[Column, ...] = (
        Column(key="question", title="question and right answer", wide=True), Column(key="app", title="app"),
        Column(key="risk", title="risk"), Column(key="metric", title="measured by"), Column(key="origin", title="from"),
        Column(key="added", title="added", kind="code"), Column(key="state", title="state", kind="tag"),
    )  # fmt: skip
    if exporting:
        columns = (*columns[:5], Column(key="added", title="added"), Column(key="state", title="state"))
        more = (("right", "right answer"), ("case", "case"), ("incident", "incident"), ("variant_of", "variant of"))
        columns = (*columns, *(Column(key=k, title=t) for k, t in more))
    rows = [
        {
            "question": Cell(value=c.question[:300], link=f"/golden/{c.id}", note=c.ground_truth[:240]),
            "app": c.app, "risk": c.risk_category, "metric": c.metric, "origin": Cell(value=origin_of(c), note=c.incident or ""),
            "added": c.added_date, "state": state_of(c, held) if exporting else _tag(c, held), "right": c.ground_truth, "case": c.id,
            "incident": c.incident, "variant_of": c.variant_of,
        }
        for c in cases
    ]  # fmt: skip
    empty = (
        "No case fits these filters."
        if filtered
        else "There is no golden case yet. Label failures, then make cases of them; or take in a set that your team has."
    )
    link = ("/golden", "All cases") if filtered else ("/labels", "Label failures")
    return Table(name="cases", title="Golden cases", columns=columns, rows=rows, empty=empty, empty_link=link)


def _tag(case: Case, held: Mapping[str, Quarantine]) -> str:
    is_ = state_of(case, held)
    return is_ if is_ != "tested" else "variant" if case.variant_of else ""


def growth_table(grown: Growth) -> Table:
    """The last weeks in figures."""
    columns = (
        Column(key="week", title="week of"), Column(key="added", title="added", kind="number"),
        *(Column(key=o, title=o, kind="number") for o in ORIGINS), Column(key="retired", title="retired", kind="number"),
    )  # fmt: skip
    rows = [
        {"week": w.monday, "added": w.added, **{o: w.by_origin.get(o, 0) for o in ORIGINS}, "retired": w.retired}
        for w in reversed(grown.weeks)
    ]
    return Table(name="growth", title="Growth in the last twelve weeks", columns=columns, rows=rows)


def versions_table(states: Sequence[State], moves: Sequence[Moved], link: str) -> Table:
    """The states of the set by day, the newest first."""
    from andon.traffic import format_time

    people: dict[str, dict[str, None]] = {}
    for m in moves:
        people.setdefault(format_time(m.at_us)[:10], {})[m.by] = None
    columns = (
        Column(key="day", title="day"), Column(key="digest", title="digest", kind="code"), Column(key="cases", title="cases", kind="number"),
        Column(key="added", title="added", kind="number"), Column(key="retired", title="retired", kind="number"),
        Column(key="changed", title="changed", kind="number"), Column(key="by", title="by", wide=True),
    )  # fmt: skip
    rows = [
        {
            "day": Cell(value=s.day, link=f"{link}day={s.day}"), "digest": s.digest, "cases": s.cases, "added": s.added,
            "retired": s.retired, "changed": s.changed, "by": ", ".join(list(people.get(s.day, ()))[:5]),
        }
        for s in reversed(states)
    ]  # fmt: skip
    empty = "The set has no version yet: its first case makes one."
    return Table(
        name="versions",
        title="Versions of the set by day (UTC)",
        columns=columns,
        rows=rows,
        empty=empty,
        empty_link=("/labels", "Label failures"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Square:
    """One square of the map as it is drawn."""

    covered: float | None
    """None: nobody asked there."""
    questions: int = 0
    traffic: float = 0.0
    harmed: int = 0
    level: str = ""
    """``h0`` (nothing is covered) to ``h4``."""
    link: str = ""


def heat(found: Coverage) -> tuple[list[str], list[tuple[str, float, list[Square]]]]:
    """The map: names of the columns (risk categories), and rows (topics) with their share of traffic and squares.

    A square leads to the traffic where cases are missing, else to the cases.
    """
    risks = sorted({s.risk_category or "" for s in found.squares}, key=lambda r: (r == "", r))
    rows: dict[str | None, dict[str, Square]] = {}
    shares: dict[str | None, float] = {}
    for s in found.squares:
        risk = s.risk_category
        where = {"app": found.app, "risk" if s.covered >= FAIR else "risk_category": risk}
        rows.setdefault(s.topic, {})[risk or ""] = Square(
            covered=s.covered, questions=s.questions, traffic=s.traffic, harmed=s.harmed, level=f"h{min(4, int(s.covered * 5))}",
            link=("/golden?" if s.covered >= FAIR else "/traffic?") + urlencode({k: v for k, v in where.items() if v}),
        )  # fmt: skip
        shares[s.topic] = shares.get(s.topic, 0.0) + s.traffic
    ordered = sorted(rows, key=lambda t: -shares[t])
    drawn = [(t or "all questions", shares[t], [rows[t].get(r, Square(covered=None)) for r in risks]) for t in ordered]
    return [r or "no risk category" for r in risks], drawn


def holes_table(found: Coverage) -> Table:
    """Where questions have no case near them, the most harm first."""
    columns = (
        Column(key="topic", title="hole"), Column(key="traffic", title="of traffic", kind="rate"), Column(key="harm", title="of all harm", kind="rate"),
        Column(key="covered", title="covered", kind="rate"), Column(key="examples", title="asked there", wide=True, kind="long"),
    )  # fmt: skip
    rows: list[Mapping[str, Any]] = [
        {
            "topic": Cell(value=h.topic, link=_asked_there(found.app, h)), "traffic": h.traffic, "harm": h.harm, "covered": h.covered,
            "examples": "\n".join(" ".join(e.split())[:160] for e in h.examples),
        }
        for h in found.holes[:50]
    ]  # fmt: skip
    return Table(
        name="holes",
        title="Holes: what people ask and no case tests",
        columns=columns,
        rows=rows,
        empty="No hole: everything is covered.",
    )


def _asked_there(app: str, hole: Hole) -> str:
    """The traffic in which somebody asked what a hole shows."""
    if not hole.examples:
        return ""
    return "/traffic?" + urlencode({"app": app, "question": hole.examples[0][:200]})
