"""What the pages of eval runs show: runs, rules and cases as tables, cards and small drawings."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from andon.errors import AndonError
from andon.evals import CaseResult, EvalRun, Verdict
from andon.evals.records import Group
from andon.evals.repeats import Repeats
from andon.evals.reports import Standing
from andon.evals.rules import DEFAULT, Rules
from andon.evals.run.overviews import Overview, overviews_of
from andon.evals.run.rules import rules_in
from andon.monitors.verdicts import percent
from andon.web import charts
from andon.web.asking import Ask, Gone
from andon.web.differing import word_diff
from andon.web.tables import Cell, Column, Table

__all__ = [
    "SAID",
    "WORDS",
    "Card",
    "Judged",
    "cards_of",
    "cases_table",
    "flaky_table",
    "groups_table",
    "judged",
    "overview_of",
    "rate_text",
    "repeats_table",
    "rules_of",
    "run_of",
    "runs_table",
    "said",
]

WORDS: Mapping[str, str] = {
    "lost": "lost", "new": "new, fails", "fail": "fails", "error": "could not run", "gained": "gained", "before": "fails as before",
    "quarantined": "quarantined", "pass": "passes",
}  # fmt: skip
"""What each word of a standing is called, the most urgent first."""

TONES = {
    "lost": "bad",
    "new": "bad",
    "fail": "bad",
    "error": "warn",
    "gained": "good",
    "before": "soft",
    "quarantined": "soft",
    "pass": "good",
}
SAID = {"pass": "pass", "fail": "fail", "undecided": "undecided", "error": "could not run"}

LONGEST = 20_000
"""Characters of an answer that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A run in a list, with what the gate says of it."""

    line: Overview
    verdict: Verdict | None
    """None where it is compared with nothing."""
    note: str
    """Then: why."""
    baseline: bool = False

    @property
    def word(self) -> str:
        """Its outcome, as filters name it."""
        return "baseline" if self.baseline else "alone" if self.verdict is None else self.verdict.outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One case of a run beside what the other run said."""

    standing: Standing
    word: str
    tone: str
    before: CaseResult | None
    """In the other run; None where that does not hold it."""
    left: Markup | None
    """The answer of the other run, with what only it says marked; None where there is none."""
    right: Markup | None
    """The answer of this run."""
    strip: Markup | None
    """All attempts of this run, where there were several."""
    strip_before: Markup | None


def rules_of(ask: Ask) -> tuple[Rules, str]:
    """The rules of the gate as this machine has them, and why they cannot be read; then the default ones are taken."""
    try:
        return rules_in(None, now_us=ask.now_us), ""
    except AndonError as error:
        return DEFAULT, str(error)


def overview_of(ask: Ask, name: str) -> Overview:
    """One kept run in a line.

    Raises:
        Gone: there is none.
    """
    found = overviews_of(ask.ledger).of(name)
    if found is None:
        raise Gone(f"There is no eval run {name[:60]!r}", "/evals", "All eval runs")
    return found


def run_of(ask: Ask, name: str) -> EvalRun:
    """One kept run.

    Raises:
        Gone: there is none.
    """
    found: EvalRun | None = ask.ledger.get(EvalRun, name)
    if found is None:
        raise Gone(f"There is no eval run {name[:60]!r}", "/evals", "All eval runs")
    return found


def judged(ask: Ask, line: Overview, rules: Rules, baselines: Mapping[str, str]) -> Judged:
    """What the gate says of a run.

    Args:
        ask: the request.
        line: the run.
        rules: of the gate.
        baselines: application -> the run that its candidates are compared with.
    """
    if line.id in baselines.values():
        app = next(a for a, run in baselines.items() if run == line.id)
        return Judged(line=line, verdict=None, note=f"what candidates of {app} are compared with", baseline=True)
    verdict = overviews_of(ask.ledger).against_baseline(line, rules, ask.now_us)
    why = ""
    if verdict is None:
        why = "older than the baseline" if line.app in baselines else "no baseline to compare with"
    return Judged(line=line, verdict=verdict, note=why)


def said(verdict: Verdict) -> str:
    """A verdict in one sentence."""
    word = {"pass": "Pass", "fail": "Fail", "undecided": "Undecided", "error": "Could not run"}[verdict.outcome]
    return f"{word}: {verdict.reason}"


def rate_text(line: Overview) -> str:
    """What passes of a run, and how sure that is."""
    if line.rate is None or line.low is None or line.high is None:
        return "no attempt ran"
    what = "cases" if line.repeats == 1 else "attempts"
    return f"{line.passed:,} of {line.passed + line.failed:,} {what} pass: {percent(line.rate)}, 95 % interval {percent(line.low)} to {percent(line.high)}"


def runs_table(rows: Iterable[Judged], *, exporting: bool = False, more: bool = False) -> Table:
    """Runs in a list, newest first: on the page in few columns, in files with everything; ``more`` where older ones are left out."""
    columns: tuple[Column, ...] = (
        Column(key="run", title="run", kind="code"), Column(key="at", title="when", kind="time"), Column(key="app", title="app"),
        Column(key="target", title="asked"), Column(key="outcome", title="gate", kind="tag"), Column(key="verdict", title="verdict"),
        Column(key="pass_rate", title="pass", kind="rate"), Column(key="low", title="low", kind="rate"), Column(key="high", title="high", kind="rate"),
        Column(key="cases", title="cases", kind="number"), Column(key="passed", title="pass", kind="number"), Column(key="failed", title="fail", kind="number"),
        Column(key="errors", title="could not run", kind="number"), Column(key="attempts", title="attempts", kind="number"),
        Column(key="spent_usd", title="spent", kind="number"), Column(key="versions", title="versions"),
    )  # fmt: skip
    found = [_run_row(j) for j in rows]
    if not exporting:
        columns = (
            Column(key="outcome", title="gate", kind="tag"), Column(key="verdict", title="verdict", wide=True), Column(key="app", title="app"),
            Column(key="pass_rate", title="pass", kind="rate"), Column(key="drawn", title="95 % interval", kind="picture"),
            Column(key="cases", title="cases", kind="number"), Column(key="at", title="when", kind="time"), Column(key="spent", title="spent", kind="number"),
        )  # fmt: skip
    empty = (
        "No run is kept that fits. A run asks the golden cases of an application to a target, and keeps what it said."
    )
    every = ("/evals", "All eval runs")
    return Table(name="runs", title="Eval runs", columns=columns, rows=found, empty=empty, empty_link=every, more=more)


def _run_row(j: Judged) -> dict[str, Any]:
    r, v = j.line, j.verdict
    versions = ", ".join(f"{k} {x}" for k, x in sorted(r.versions.items()))
    several = f", {r.repeats} attempts each" if r.repeats > 1 else ""
    broken = f"{r.errors:,} could not run" if r.errors else ""
    picture = None
    if r.low is not None and r.high is not None:
        picture = charts.share(r.passed, r.passed + r.failed, r.low, r.high, rate_text(r))
    return {
        "run": r.id, "at": r.at_us, "app": r.app or "several", "target": r.target,
        "outcome": "baseline" if j.baseline else "not compared" if v is None else SAID[v.outcome],
        "verdict": Cell(
            value=v.reason if v is not None else j.note if j.baseline else f"{r.passed:,} of {r.passed + r.failed:,} pass",
            link=f"/evals/{r.id}", note=_whence(j),
        ),
        "pass_rate": Cell(value=r.rate, note=broken), "low": r.low, "high": r.high, "drawn": picture,
        "cases": Cell(value=r.cases, note=several[2:]), "passed": r.passed, "failed": r.failed, "errors": r.errors, "attempts": r.repeats,
        "spent_usd": r.spent_usd, "spent": None if r.spent_usd is None else f"${r.spent_usd:.2f}", "versions": versions,
        "_tone": "bad" if v is not None and v.outcome == "fail" else "",
    }  # fmt: skip


def _whence(j: Judged) -> str:
    """Which run a row is, on one line: what was asked, its id, versions that neither of them names, why it is not compared."""
    r = j.line
    new = sorted((k, x) for k, x in r.versions.items() if x not in r.target and x not in r.id)
    versions = (f"{k.removesuffix('_version').replace('_', ' ')} {x}" for k, x in new)
    why = j.note if j.note.startswith("older") else ""
    return " · ".join(x for x in (r.target, r.id, ", ".join(versions)[:120], why) if x)


def groups_table(groups: Sequence[Group], *, exporting: bool = False) -> Table:
    """What each rule of the gate says, with the interval of its difference drawn around zero."""
    columns: tuple[Column, ...] = (
        Column(key="rule", title="rule"), Column(key="outcome", title="word", kind="tag"), Column(key="before", title="before", kind="rate"),
        Column(key="now", title="now", kind="rate"), Column(key="drawn", title="worse | better", kind="picture"), Column(key="difference", title="difference", kind="number"),
        Column(key="cases", title="cases", kind="number"), Column(key="lost", title="lost", kind="number"),
        Column(key="gained", title="gained", kind="number"), Column(key="why", title="why", wide=True),
    )  # fmt: skip
    if exporting:
        more = ("part_of", "asks", "low", "high", "p", "margin", "mde", "decides")
        columns = (*columns, *(Column(key=k, title=k.replace("_", " ")) for k in more))
    ends = [abs(v) for g in groups if g.difference is not None for v in (g.low, g.high, g.difference) if v is not None]
    rows = [_group_row(g, max([0.02, *ends]), rest="all cases" if len(groups) == 1 else "the rest") for g in groups]
    return Table(
        name="rules",
        title="What each rule says",
        columns=columns,
        rows=rows,
        empty="No rule had a case: nothing was compared.",
    )


def _group_row(g: Group, reach: float, rest: str) -> dict[str, Any]:
    name = rest if g.name == "*" else g.name
    difference, interval, picture = _difference(g, reach)
    return {
        "rule": Cell(value=f"of these {name}" if g.part_of else name, note="" if g.part_of else g.rule), "cases": g.n, "before": g.before,
        "now": g.now, "drawn": picture, "difference": Cell(value=difference, note=interval),
        "lost": Cell(value=len(g.lost), tone="bad" if g.lost else ""), "gained": Cell(value=len(g.gained), tone="good" if g.gained else ""),
        "outcome": SAID[g.outcome], "why": Cell(value=g.why, note=g.decides), "part_of": g.part_of, "asks": g.rule, "low": g.low,
        "high": g.high, "p": g.p, "margin": g.margin, "mde": g.mde, "decides": g.decides,
    }  # fmt: skip


def _difference(g: Group, reach: float) -> tuple[str, str, Markup | None]:
    """The difference and its interval in words and drawn; of a bar its pass rate."""
    if g.difference is None:
        if g.low is None or g.high is None or g.now is None:
            return "", "", None
        text = f"{percent(g.low)} to {percent(g.high)}"
        return (
            percent(g.now),
            text,
            charts.share(round(g.now * g.n), g.n, g.low, g.high, f"pass rate {percent(g.now)}, interval {text}"),
        )
    text = f"{100 * g.difference:+.1f} points".replace("-", "−")
    span = "" if g.low is None or g.high is None else f"{100 * g.low:+.1f} to {100 * g.high:+.1f}".replace("-", "−")
    tone = "bad" if g.outcome == "fail" else "good" if g.low is not None and g.low > 0 else ""
    mark = None if g.margin is None else -g.margin
    label = f"difference of the pass rate: {text}, interval {span or 'not known'}"
    return text, span, charts.interval(g.low, g.difference, g.high, label, reach=reach, tone=tone, mark=mark)


def cards_of(standings: Iterable[Standing], baseline: EvalRun | None) -> list[Card]:
    """Cases beside what the other run said of them, in the order in which they are given."""
    before: dict[str, list[CaseResult]] = {}
    for r in () if baseline is None else baseline.results:
        before.setdefault(r.case_id, []).append(r)
    return [_card(s, before.get(s.case_id, [])) for s in standings]


def _card(s: Standing, there: Sequence[CaseResult]) -> Card:
    other = _same_attempt(s, there)
    left = None if other is None or other.answer is None else other.answer[:LONGEST]
    right = None if s.shown.answer is None else s.shown.answer[:LONGEST]
    both = left is not None and right is not None
    marked = word_diff(left or "", right or "") if both else tuple(_clean(t) for t in (left, right))
    return Card(
        standing=s, word=WORDS[s.word], tone=TONES[s.word], before=other, left=marked[0], right=marked[1],
        strip=_strip(s.attempts, "in this run"), strip_before=_strip(there, "before"),
    )  # fmt: skip


def _clean(text: str | None) -> Markup | None:
    """A text as HTML that is compared with none."""
    return None if text is None else word_diff(text, text)[0]


def _same_attempt(s: Standing, there: Sequence[CaseResult]) -> CaseResult | None:
    """What stands beside the attempt that is shown: of a case that was lost one that passed, else the same attempt."""
    wanted = {"lost": "pass", "gained": "fail"}.get(s.word)
    found = next((r for r in there if r.outcome == wanted), None)
    return found or next((r for r in there if r.repeat == s.shown.repeat), None) or (there[0] if there else None)


def _strip(attempts: Sequence[CaseResult], where: str) -> Markup | None:
    if len(attempts) < 2:
        return None
    words = [r.outcome for r in attempts]
    counts = ", ".join(
        f"{words.count(w)} {t}"
        for w, t in (("pass", "pass"), ("fail", "fail"), ("error", "could not run"))
        if w in words
    )
    return charts.strip(words, f"attempts {where}: {counts}")


def cases_table(ask: Ask, name: str, standings: Sequence[Standing], beside: str = "") -> Table:
    """Cases of a run: on the page in few columns, in files with everything.

    Args:
        ask: the request.
        name: of the run.
        standings: the cases.
        beside: query of the links, with what the run is compared with.
    """
    rows = [_case_row(s, f"/evals/{name}/cases/{s.case_id}{beside}") for s in standings]
    columns: tuple[Column, ...] = (
        Column(key="case", title="case", kind="code"), Column(key="stands", title="stands", kind="tag"), Column(key="question", title="question"),
        Column(key="expected", title="expected"), Column(key="answer", title="answer"), Column(key="detail", title="measured"),
        Column(key="risk", title="risk"), Column(key="cluster", title="cluster"), Column(key="passed", title="passes", kind="number"),
        Column(key="ran", title="ran", kind="number"), Column(key="latency_s", title="took", kind="number"), Column(key="cost_usd", title="cost", kind="number"),
    )  # fmt: skip
    if not ask.exporting:
        rows = [_short(row, s) for row, s in zip(rows, standings, strict=True)]
        columns = (
            Column(key="stands", title="stands", kind="tag"), Column(key="question", title="question", wide=True), Column(key="answer", title="answer"),
            Column(key="risk", title="risk"), Column(key="drawn", title="attempts", kind="picture"), Column(key="took", title="took", kind="number"),
            Column(key="cost", title="cost", kind="number"),
        )  # fmt: skip
        if not any(len(s.attempts) > 1 for s in standings):
            columns = tuple(c for c in columns if c.key != "drawn")
    return Table(name="cases", title="Cases", columns=columns, rows=rows, empty="No case of this run fits.")


def _case_row(s: Standing, link: str) -> dict[str, Any]:
    r, case = s.shown, s.case
    return {
        "case": Cell(value=s.case_id, link=link), "stands": WORDS[s.word], "question": None if case is None else case.question,
        "expected": None if case is None else case.ground_truth, "answer": r.answer, "detail": r.detail, "risk": r.risk_category,
        "cluster": _cluster(s), "passed": s.passed, "ran": s.ran, "latency_s": r.latency_s, "cost_usd": r.cost_usd,
    }  # fmt: skip


def _short(row: dict[str, Any], s: Standing) -> dict[str, Any]:
    """A row for the page: texts cut, what belongs together in one cell."""
    expected = "" if row["expected"] is None else f"expected: {_cut(row['expected'], 90)}"
    cost = row["cost_usd"]
    return {
        **row,
        "question": Cell(value=_cut(row["question"], 140) or s.case_id, link=row["case"].link, note=expected),
        "answer": Cell(
            value=_cut(row["answer"], 110), note="" if s.shown.outcome == "pass" else _cut(row["detail"], 90) or ""
        ),
        "risk": Cell(value=row["risk"], note=row["cluster"] or ""),
        "drawn": _strip(s.attempts, "in this run"),
        "took": None if s.shown.latency_s is None else f"{s.shown.latency_s:.2f} s",
        "cost": None if cost is None else f"${cost:.4f}",
    }


def _cluster(s: Standing) -> str | None:
    """What the case stands or falls with, where that is more than itself."""
    return None if s.shown.cluster in (None, s.case_id) else s.shown.cluster


def _cut(text: str | None, longest: int) -> str | None:
    if text is None or len(text) <= longest:
        return text
    return text[: longest - 1] + "…"


def repeats_table(found: Repeats) -> Table:
    """Pass rates of several attempts: one of k, and all of k."""
    columns = (
        Column(key="k", title="attempts", kind="number"), Column(key="any", title="one passes (pass@k)", kind="rate"),
        Column(key="all", title="all pass (pass^k)", kind="rate"), Column(key="cases", title="cases", kind="number"),
    )  # fmt: skip
    pairs = list(zip(found.at_least_one, found.all_of, strict=True))
    rows = [
        {"k": a.k, "any": a.value, "all": b.value, "cases": a.cases}
        for a, b in pairs
        if a.k in (1, 2, 3, 5, 8, 10, len(pairs))
    ]
    return Table(name="repeats", title="Several attempts at each case", columns=columns, rows=rows)


def flaky_table(name: str, found: Repeats, *, most: int = 10_000) -> Table:
    """Cases that both passed and failed within a run."""
    columns = (
        Column(key="case", title="case", kind="code"), Column(key="passed", title="passes", kind="number"), Column(key="ran", title="of", kind="number"),
        Column(key="low", title="disagree, at least", kind="rate"), Column(key="high", title="at most", kind="rate"),
    )  # fmt: skip
    rows: list[dict[str, Any]] = [
        {
            "case": Cell(value=f.case, link=f"/evals/{name}/cases/{f.case}"),
            "passed": f.passed,
            "ran": f.ran,
            "low": f.low,
            "high": f.high,
        }
        for f in found.flakes[:most]
    ]
    return Table(
        name="flaky", title="Cases that are flaky", columns=columns, rows=rows, empty="No case both passed and failed."
    )
