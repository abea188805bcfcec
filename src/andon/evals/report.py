"""A run and its verdict as Markdown, for a pull request, a terminal or a file. Content of cases is hostile."""

from collections.abc import Iterable, Mapping, Sequence

from andon.evals.records import CaseResult, EvalRun, Verdict
from andon.golden import Case
from andon.traffic.clock import format_time
from andon.traffic.quoting import quoted

__all__ = ["SHOWN", "summarise"]

SHOWN = 20
"""Cases that a list shows; the rest is counted."""

_CELL = 200
_OPENING = {"pass": "**Pass**", "fail": "**Fail**", "undecided": "**Undecided**", "error": "**Could not run**"}


def summarise(run: EvalRun, verdict: Verdict, cases: Iterable[Case]) -> str:
    """Markdown: the outcome first, then passes by risk category, then lost, gained and broken cases with what was said.

    Texts stand in code spans, on one line, shortened, with control characters escaped: nothing in them is Markdown, HTML
    or an order to a terminal.
    """
    known = {c.id: c for c in cases}
    results = {r.case_id: r for r in run.results}
    lost, gained = set(verdict.lost), set(verdict.gained)
    failing = [r for r in run.results if r.outcome == "fail" and r.case_id not in lost]
    lines = [
        f"{_OPENING[verdict.outcome]}: {_plain(verdict.reason)}.",
        "",
        f"Target {_code(run.target)}, {format_time(run.at_us)}, run {_code(run.id)}, golden set {_code(run.golden)}.",
        "",
        *_table(run.results),
        *_list("Lost (passed in the baseline, fail now)", [results[i] for i in verdict.lost if i in results], known),
        *_list("Fail" if not lost else "Fail as before", failing, known),
        *_list("Gained", [r for r in run.results if r.case_id in gained], known),
        *_list("Could not run", [r for r in run.results if r.outcome == "error"], known),
    ]
    return "\n".join(lines) + "\n"


def _table(results: Sequence[CaseResult]) -> list[str]:
    by_category: dict[str, list[CaseResult]] = {}
    for r in results:
        by_category.setdefault(r.risk_category or "", []).append(r)
    rows = ["| risk category | cases | pass | fail | could not run |", "|---|---:|---:|---:|---:|"]
    groups = [(_code(name) if name else "(none)", by_category[name]) for name in sorted(by_category)]
    for name, group in (*groups, ("all", list(results))):
        counts = (sum(r.outcome == o for r in group) for o in ("pass", "fail", "error"))
        cell = name.replace("|", "\\|")
        rows.append(f"| {cell} | {len(group)} | {' | '.join(map(str, counts))} |")
    return rows


def _list(title: str, results: Sequence[CaseResult], cases: Mapping[str, Case]) -> list[str]:
    if not results:
        return []
    lines = ["", f"### {title}: {len(results)}", ""]
    for r in results[:SHOWN]:
        case = cases.get(r.case_id)
        lines.append(f"- {_code(r.case_id)} {'(not in this golden set)' if case is None else _code(case.question)}")
        if case is not None:
            lines.append(f"  - expected {_code(case.ground_truth)}")
        if r.outcome != "error" or r.answer is not None:
            lines.append(f"  - got {'no answer' if r.answer is None else _code(r.answer)}")
        if r.detail:
            lines.append(f"  - {_code(r.detail)}")
    if len(results) > SHOWN:
        lines.append(f"- and {len(results) - SHOWN} more")
    return lines


def _code(text: str) -> str:
    """A code span: its fence is longer than any run of backticks within."""
    shown = quoted(text, _CELL)[1:-1]
    fence, run = 1, 0
    for c in shown:
        run = run + 1 if c == "`" else 0
        fence = max(fence, run + 1)
    ticks = "`" * fence
    return (
        f"{ticks} {shown} {ticks}"
        if not shown.strip() or shown[0] in "` " or shown[-1] in "` "
        else f"{ticks}{shown}{ticks}"
    )


def _plain(text: str) -> str:
    """A sentence of ours, in which a name from outside may stand."""
    shown = quoted(text, 2000)[1:-1].rstrip(".")
    return "".join(f"\\{c}" if c in "\\`*_[]<>|#@" else c for c in shown)
