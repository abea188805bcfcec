"""A run and its verdict as Markdown, for a pull request, a terminal or a file. Content of cases is hostile."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from andon.evals.pairs import rate_interval
from andon.evals.records import CaseResult, EvalRun, Verdict
from andon.evals.reports.standing import Standing, Word, standings
from andon.golden import Case
from andon.traffic.clock import format_time
from andon.traffic.quoting import quoted

__all__ = ["LONGEST", "SHOWN", "markdown_of", "rules_table", "summarise", "tell", "todo_text"]

SHOWN = 20
"""Cases that a list shows; the rest is counted."""

LONGEST = 60_000
"""Characters of a report: GitHub refuses a comment of more than 65,536."""

_CELL = 200
_OPENING = {"pass": "**Pass**", "fail": "**Fail**", "undecided": "**Undecided**", "error": "**Could not run**"}
_TODO = {
    "pass": "Nothing is to be done.",
    "fail": "Fix what was lost, or label a case anew where its right answer is another one now.",
    "undecided": "This is neither a pass nor a failure: decide it with more evidence.",
    "error": "This is no measurement: see what could not run, and why.",
}
_LOOK = "The rules let it pass; look at what was lost."
_SECTIONS: Sequence[tuple[str, tuple[Word, ...], bool]] = (
    ("Lost (passed in the baseline, fail now)", ("lost",), False),
    ("New cases that fail", ("new",), False),
    ("Fail", ("fail",), False),
    ("Could not run", ("error",), False),
    ("Fail as before", ("before",), True),
    ("Gained", ("gained",), True),
    ("Quarantined", ("quarantined",), True),
)


_LINKED = re.compile(
    r"[@#]|:(?=//)|www(?=\.)|\bgh-(?=\d)|(?<!\b[EFG]-)\b[0-9a-f]{6}(?=[0-9a-f]{1,34}\b)", re.IGNORECASE
)
"""What a zero-width space must follow, for else a code host makes a link of it: people and e-mail addresses, issues (``#1``,
``owner/repo#1``, ``GH-1``), addresses (GitHub Flavored Markdown 0.29, section 6.9) and commits, but not ids of ours."""


@dataclass(frozen=True, slots=True)
class _Section:
    title: str
    head: tuple[str, ...]
    items: tuple[str, ...]
    folded: bool


def summarise(run: EvalRun, verdict: Verdict, cases: Iterable[Case], *, baseline: EvalRun | None = None) -> str:
    """The outcome first, then rules, lost and broken cases with what was said, for a terminal: nothing is folded away.

    Texts stand in code spans, on one line, shortened, with control characters escaped: nothing in them is Markdown, HTML
    or an order to a terminal.
    """
    return _render(run, verdict, cases, baseline, reason=_line, folds=False)


def tell(run: EvalRun, verdict: Verdict, cases: Iterable[Case]) -> str:
    """The same of a run of which nobody asked for a verdict: what passes, and how sure that is."""
    if verdict.outcome == "error":
        return summarise(run, verdict, cases)
    out = {*verdict.quarantined}
    ran = [r for r in run.results if r.case_id not in out and r.outcome != "error"]
    n, asked = len(ran), len({r.case_id for r in ran})
    what = f"{n} cases" if asked == n else f"{n} attempts at {asked} cases"
    said = f"{sum(r.outcome == 'pass' for r in ran)} of {what} pass ({_rate(ran)})"
    said += f"; {verdict.errors} could not run" if verdict.errors else ""
    bare = replace(verdict, groups=(), decides=(), mde=None)
    return _render(run, bare, cases, None, reason=_line, folds=False, first=f"{said}.")


def markdown_of(run: EvalRun, verdict: Verdict, cases: Iterable[Case], *, baseline: EvalRun | None = None) -> str:
    """The same for a pull request: details fold, no text mentions anybody, and it is never longer than `LONGEST`."""
    return _render(run, verdict, cases, baseline, reason=_prose, folds=True)


def todo_text(verdict: Verdict) -> str:
    """What is to be done after a verdict, in a sentence."""
    return _LOOK if verdict.outcome == "pass" and verdict.lost else _TODO[verdict.outcome]


def rules_table(verdict: Verdict) -> str:
    """What each rule says, as a table for a terminal; empty where the verdict came without rules."""
    return "\n".join(_rules(verdict, _line))


def _render(
    run: EvalRun,
    verdict: Verdict,
    cases: Iterable[Case],
    baseline: EvalRun | None,
    *,
    reason: Callable[[str], str],
    folds: bool,
    first: str = "",
) -> str:
    each = standings(run, verdict, cases, baseline)
    lines = [first or f"{_OPENING[verdict.outcome]}: {reason(verdict.reason)}. {todo_text(verdict)}"]
    for head, said in (("", verdict.notes), ("**What would decide it**", verdict.decides)):
        lines += ["", *([head, ""] if head else []), *(f"- {reason(text)}" for text in said[:SHOWN])] if said else []
    lines += ["", *(_rules(verdict, reason) or _categories(each))]
    left = LONGEST - sum(len(line) + 1 for line in lines)
    for section in _sections(run, verdict, each, baseline):
        shown = list(_section(section, left, folds=folds))
        lines += shown
        left -= sum(len(line) + 1 for line in shown)
    return "\n".join(lines) + "\n"


def _sections(run: EvalRun, verdict: Verdict, each: Sequence[Standing], baseline: EvalRun | None) -> Iterator[_Section]:
    """What a report holds, the most urgent first; facts about the run last."""
    for title, words, folded in _SECTIONS:
        found = [s for s in each if s.word in words]
        if found:
            yield _Section(f"{title}: {len(found)}", (), tuple(map(_item, found)), folded)
    flaky = set(verdict.flaky)
    if flaky:
        said = tuple(
            f"- {_code(s.case_id)} {s.passed} of {s.ran} attempts pass now" for s in each if s.case_id in flaky
        )
        yield _Section(f"Flaky (pass and fail within one run): {len(flaky)}", (), said, True)
    if verdict.groups:
        yield _Section("By risk category", tuple(_categories(each)), (), True)
    facts = [f"- target {_code(run.target)}, run {_code(run.id)}, {format_time(run.at_us)}"]
    often = f"{run.repeats} attempts at each case" if run.repeats > 1 else "one attempt at each case"
    facts.append(f"- golden set {_code(run.golden)}, {often}, measured by {_code(run.scorers)}")
    if baseline is not None:
        facts.append(f"- baseline {_code(baseline.target)}, run {_code(baseline.id)}, {format_time(baseline.at_us)}")
    facts += [f"- {_code(name)} {_code(value)}" for name, value in sorted(run.versions.items())]
    if verdict.mde is not None:
        facts.append(f"- smallest drop that this comparison finds with 80 % power: {100 * verdict.mde:.1f} points")
    spent = [r.cost_usd for r in run.results if r.cost_usd is not None]
    if spent:
        facts.append(f"- spent ${sum(spent):.2f}")
    yield _Section("What was run", (), tuple(facts), True)


def _section(section: _Section, left: int, *, folds: bool) -> Iterator[str]:
    """The lines of a section that fit into `left` characters."""
    folded = section.folded and folds
    top = [f"<details><summary>{section.title}</summary>"] if folded else [f"### {section.title}"]
    end = ["", "</details>"] if folded else []
    room = left - sum(len(line) + 1 for line in (*top, *section.head, *end)) - 100
    if room < 0:
        return
    body = list(section.head)
    for k, item in enumerate(section.items):
        room -= len(item) + 1
        if room < 0 or k == SHOWN:
            body.append(f"- and {len(section.items) - k} more")
            break
        body.append(item)
    yield from ("", *top, "", *body, *end)


def _rules(verdict: Verdict, reason: Callable[[str], str]) -> list[str]:
    """What each rule says, with its interval; empty where the verdict came without rules."""
    if not verdict.groups:
        return []
    rows = ["| rule | cases | before | now | difference | lost | gained | word |", "|---|--:|--:|--:|---|--:|--:|---|"]
    for g in verdict.groups[:SHOWN]:
        low, high = (
            "" if end is None else f"{100 * end:+.1f}" if g.difference is not None else f"{end:.1%}"
            for end in (g.low, g.high)
        )
        span = f" ({low} to {high})" if low and high else ""
        now = _percent(g.now) + (span if g.difference is None else "")
        difference = "" if g.difference is None else f"{100 * g.difference:+.1f} points{span}"
        word = f"**{g.outcome}**" + ("" if g.p is None or g.outcome == "pass" else f", p = {g.p:.2g}")
        counts = (str(g.n), _percent(g.before), now, difference, str(len(g.lost)), str(len(g.gained)), word)
        rows.append(f"| {_cell(g.name)} {reason(g.rule[:_CELL])} | {' | '.join(counts)} |")
    if len(verdict.groups) > SHOWN:
        rows.append(f"| and {len(verdict.groups) - SHOWN} more | | | | | | | |")
    return rows


def _categories(each: Sequence[Standing]) -> list[str]:
    by_category: dict[str, list[Standing]] = {}
    decide = [s for s in each if s.word != "quarantined"]
    for s in decide:
        by_category.setdefault(s.shown.risk_category or "", []).append(s)
    rows = [
        "| risk category | cases | pass | fail | could not run | pass rate, 95 % interval |",
        "|---|--:|--:|--:|--:|---|",
    ]
    names = sorted(by_category, key=lambda name: (-len(by_category[name]), name))
    groups = [(_cell(name) if name else "(none)", by_category[name]) for name in names[:SHOWN]]
    for name, group in (*groups, ("all", decide)):
        counts = (sum(s.outcome == word for s in group) for word in ("pass", "fail", "error"))
        rate = _rate([r for s in group for r in s.attempts])
        rows.append(f"| {name} | {len(group)} | {' | '.join(map(str, counts))} | {rate} |")
    return rows


def _rate(results: Sequence[CaseResult]) -> str:
    """What passes of what ran, and how sure that is: cases of one cluster and attempts at one case count as what they are."""
    ran = [r for r in results if r.outcome != "error"]
    if not ran:
        return "cannot tell"
    _, _, low, high = rate_interval(ran, 0.95)
    return f"{sum(r.outcome == 'pass' for r in ran) / len(ran):.1%}, {low:.1%} to {high:.1%}"


def _item(s: Standing) -> str:
    lines = [f"- {_code(s.case_id)} {'(not in this golden set)' if s.case is None else _code(s.case.question)}"]
    if s.case is not None:
        lines.append(f"  - expected {_code(s.case.ground_truth)}")
    if s.shown.outcome != "error" or s.shown.answer is not None:
        lines.append(f"  - got {'no answer' if s.shown.answer is None else _code(s.shown.answer)}")
    lines += [f"  - {text}" for text in (s.share, _code(s.shown.detail) if s.shown.detail else "") if text]
    return "\n".join(lines)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _cell(text: str) -> str:
    return _code(text).replace("|", "\\|")


def _code(text: str) -> str:
    """A code span: its fence is longer than any run of backticks within."""
    shown = quoted(text, _CELL)[1:-1][: 2 * _CELL]
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


def _line(text: str) -> str:
    """A sentence of ours, in which a name from outside may stand, on one line."""
    return quoted(text, 2000)[1:-1][:3000].rstrip(".")


def _prose(text: str) -> str:
    """The same in Markdown: nothing in it is markup, and nothing is linked or told of it."""
    apart = _LINKED.sub("\\g<0>\u200b", _line(text))
    return "".join(f"\\{c}" if c in "\\`*_[]<>|#~&$" else c for c in apart)
