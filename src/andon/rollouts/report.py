"""The report of an experiment as text, Markdown or one self-contained page: the decision and why come first. Pure.

The report is made once, as sections of paragraphs and tables of plain text; each form escapes them in one place.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from andon.postmortems.escaping import inert, table
from andon.rollouts.arms import MISMATCH
from andon.rollouts.drawing import NARROW, Looked, draw_effect
from andon.rollouts.records import Allocation, Decision, Experiment, Finding
from andon.rollouts.told import guarded_text, late_text, more_text, points_text, time_text, version_text, versions_text
from andon.stats.power import smallest_rate_change
from andon.traffic import format_time

__all__ = [
    "CAPTION",
    "OF_HARM",
    "Chart",
    "Report",
    "Rows",
    "Section",
    "drawn",
    "facts",
    "finding_row",
    "headline",
    "is_over",
    "named",
    "points_of",
    "render_html",
    "render_markdown",
    "render_text",
    "sections",
    "status",
    "still_served",
]

DAY_US = 86_400_000_000
LONGEST = 4_000
"""Characters of a paragraph; of a cell a tenth."""
CAPTION = (
    "Points: the effect at each look, green where it is shown to be good, red where harm is shown. Bars and band: the interval that "
    "holds at every look together, so looking often costs no error; the first ones are wide and are cut off."
)
OF_HARM = " Harm has a boundary of its own, one-sided, which may speak before or after the interval does."


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that a report says."""

    experiment: Experiment
    decisions: Sequence[Decision] = ()
    """Its looks, in order."""
    allocation: Allocation | None = None
    """None before the start."""
    written: Sequence[tuple[int, str]] = ()
    """(time, author) of each version of the plan."""
    gates: Sequence[tuple[str, str]] = ()
    """(version, what the gate said of it)."""
    changes: Sequence[tuple[int, str, str]] = ()
    """(time, id, title) of what the experiment wrote to the log of changes."""
    should_rise: Collection[str] = ()
    """Metrics of guardrails that should go up: harm is a fall of them, and is named as harm."""
    late_us: int | None = None
    """Since when a look is due that is not taken; None where none is late."""
    now_us: int = 0
    """The clock: a split whose time is over is over, though nobody has written its end yet."""


class Rows(NamedTuple):
    """A table of plain text."""

    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


class Chart(NamedTuple):
    """Where `drawn` stands, and what is said under it."""

    text: str


class Section(NamedTuple):
    """A part of the report: paragraphs and tables of plain text, not yet made harmless."""

    title: str
    blocks: Sequence[str | Rows | Chart]


def headline(report: Report, *, how: bool = True) -> str:
    """The decision and why, in one sentence; with `how`, and with the command that takes a look which is missing."""
    e, split = report.experiment, report.allocation
    if split is None:
        return f"Not started: {e.id} is a plan, and {'nobody is served the treatment' if e.field is None else 'it is not looked at'}."
    last = report.decisions[-1] if report.decisions else None
    if is_over(report) and (last is None or last.outcome == "undecided"):
        end = split.until_us if split.ended_us is None else split.ended_us
        command = f"andon rollout look {e.id} takes it, five minutes after the end at the soonest"
        then = command if how else "the server takes it five minutes after the end, as soon as what came is scored"
        return f"Not decided yet: it ended {format_time(end)}, and the look at all that came is not taken; {then}."
    if last is None:
        return "Undecided: it was not looked at yet."
    return f"{last.outcome.capitalize()}: {_sentence(last.reason)}"


def is_over(report: Report) -> bool:
    """Whether its time is over: Andon serves the treatment to nobody any more."""
    split = report.allocation
    return split is not None and (split.ended_us is not None or split.until_us <= report.now_us)


def _commands(report: Report) -> list[str]:
    """What carries out a promotion, in the order in which it works: who splits cannot promote, and production takes what staging has."""
    e = report.experiment
    done = [] if is_over(report) else [f'andon rollout stop {e.id} --why "it is promoted"']
    staging = ["staging"] if e.treatment is not None else []  # the default has no version that could be live there
    places = list(dict.fromkeys([*staging, e.environment]))
    version = e.treatment or "default"
    return [*done, *(f'andon lever promote {e.lever} {version} --to {place} --why "{e.id}"' for place in places)]


def still_served(report: Report) -> str | None:
    """What to do about a treatment that goes on being served after the last look; None where that is nothing.

    The end of an experiment takes out what a lever serves, and nothing that something else serves.
    """
    e, outcome = report.experiment, report.decisions[-1].outcome if report.decisions else "undecided"
    over = is_over(report)
    if outcome == "undecided" or (over and (e.field is None or outcome != "roll back")):
        return None
    stop = f'andon rollout stop {e.id} --why "..."'
    if e.field is None:
        return f"The treatment is still served: {stop} takes it out."
    what = "" if outcome == "roll back" else ", or further,"
    then = "" if over else f"; {stop} ends the looks"
    return (
        f"Andon does not serve {e.field}: take the treatment out{what} where it is served{then}. What can be pulled meanwhile: "
        "andon lever list."
    )


def render_text(report: Report) -> str:
    """For a terminal: lines without control characters; columns are cut by nobody."""
    e = report.experiment
    lines = [f"{e.id}: {versions_text(e)}", *(_line(x) for x in _opening(report)), ""]
    for section in _written_out(report):
        lines.append(section.title.upper())
        for block in section.blocks:
            if isinstance(block, Rows):
                lines += _columns(block)
            elif isinstance(block, str):
                lines.append(_line(block))
        lines.append("")
    return "\n".join(_line(x) if "\n" in x else x for x in lines).rstrip() + "\n"


def render_markdown(report: Report) -> str:
    """For a merge request or a wiki. The chart stands on the page only."""
    lead, *rest = _opening(report)
    parts = [
        f"# {report.experiment.id}: {inert(versions_text(report.experiment))}",
        f"**{inert(lead, LONGEST)}**",
        *(inert(x, LONGEST) for x in rest),
    ]
    for section in _written_out(report):
        parts.append(f"## {section.title}")
        for block in section.blocks:
            if isinstance(block, Rows):
                rows = [[inert(cell, LONGEST // 10) for cell in row] for row in block.rows]
                parts.append(table([inert(h) if h else " " for h in block.head], rows))
            elif isinstance(block, str):
                parts.append(inert(block, LONGEST))
    return "\n\n".join(parts) + "\n"


def render_html(report: Report) -> str:
    """One page without script or request, in the look of the postmortems, light and dark."""
    lead, *rest = _opening(report)
    found = []
    for section in sections(report):
        blocks = [_html_block(report, block) for block in section.blocks]
        found.append((section.title.lower().replace(" ", "-"), section.title, blocks))
    last = report.decisions[-1].outcome if report.decisions else "undecided"
    return _page().render(
        title=_line(f"{report.experiment.id}: {versions_text(report.experiment)}"), lead=_line(lead), rest=[_line(x) for x in rest],
        status=_line(status(report)), facts=facts(report), sections=found, style=Markup(_style()),  # noqa: S704 - ours
        outcome=last.replace(" ", "-"),
    )  # fmt: skip


def _html_block(report: Report, block: str | Rows | Chart) -> tuple[str, object]:
    if isinstance(block, Rows):
        rows = [[(block.head[k], _line(cell)) for k, cell in enumerate(row)] for row in block.rows]
        return "table", (block.head, rows)
    if isinstance(block, Chart):
        return "chart", (Markup(drawn(report)), Markup(drawn(report, NARROW)), block.text)  # noqa: S704 - escaped there
    return "text", _line(block)


def _written_out(report: Report) -> list[Section]:
    """The sections that say something without a picture."""
    return [s for s in sections(report) if not all(isinstance(b, Chart) for b in s.blocks)]


def _opening(report: Report) -> list[str]:
    e, split = report.experiment, report.allocation
    said = [headline(report)]
    outcome = report.decisions[-1].outcome if report.decisions else "undecided"
    if split is not None and split.ended_us is not None:
        rest = "Everybody has the control again." if e.field is None else "It is not looked at any more."
        said.append(f"It ended {format_time(split.ended_us)} by {split.ended_by}: {split.ended_why}. {rest}")
    if outcome == "promote" and e.lever:
        said += ["To promote it, type in this order:", *_commands(report)]
    elif (served := still_served(report)) is not None:
        said.append(served)
    if report.late_us is not None and not (outcome == "undecided" and is_over(report)):  # else it was said first
        said.append(_sentence(_upper(late_text(e.id, report.late_us))))
    if split is not None and any(at > split.from_us for at, _ in report.written):
        said.append(
            "THE PLAN WAS CHANGED AFTER THE START, so what it promises does not hold: treat the result as a first idea."
        )
    return said


def sections(report: Report) -> list[Section]:
    """What the report says under its opening, the figures of the last look first."""
    e, last = report.experiment, report.decisions[-1] if report.decisions else None
    found = [Section("Hypothesis", _hypothesis(report))]
    if last is not None:
        found.append(Section("Split", _split(report, last)))
        if points_of(report):
            found.append(Section("Effect over time", [Chart(CAPTION if e.kind == "ab" else CAPTION + OF_HARM)]))
        roles = (("primary", "Primary metric"), ("guardrail", "Guardrails"), ("segment", "By risk category"))
        for role, title in roles:
            rows = [f for f in last.findings if f.role == role]
            if rows:
                texts = (
                    [_sentence(f.text) for f in rows if f.text not in last.reason] if role != "segment" else [SEGMENTS]
                )
                found.append(Section(title, [_findings(report, rows), *texts]))
        if last.notes:
            found.append(Section("To know", [_sentence(n) for n in last.notes]))
        found.append(Section("Looks", [_looks(report)]))
    found.append(Section("What the plan can see", _plan(report)))
    if report.gates:
        found.append(Section("Gate", [Rows(("version", "what the gate said of it"), [tuple(g) for g in report.gates])]))
    if report.changes:
        rows_ = [(format_time(at), name, title) for at, name, title in report.changes]
        found.append(Section("Changes", [Rows(("when", "change", "title"), rows_)]))
    found.append(Section("Evidence", [_evidence(report)]))
    return found


SEGMENTS = "Told apart by Holm's procedure; they decide nothing by themselves: guardrails do."


def _hypothesis(report: Report) -> list[str | Rows]:
    e = report.experiment
    size = _amount(e, e.effect)
    aim = (
        f"{e.metric} goes {e.better} by {size} or more, from {_value(e, e.base)}"
        if e.kind == "ab"
        else f"{e.metric} ({_value(e, e.base)} before) harms by at most {size} more"
    )
    rows = [
        ("as written", e.hypothesis),
        ("metric", aim),
        ("who", _who(e)),
        ("for", f"{time_text(e.days)} at most"),
        ("method", f"{_method(e)}; alpha {e.alpha:g}, power {e.power:g}"),
        ("when harm is shown", "the treatment is taken out at once" if e.on_harm == "roll back" else "people are told"),
    ]  # fmt: skip
    rows += [("guardrail", f"{guarded_text(g.metric, g.risk_category)} harms by at most {points_text(g.margin)} more") for g in e.guardrails]  # fmt: skip
    told = "; ".join(f"{format_time(at)} by {by}" for at, by in report.written) or f"{format_time(e.at_us)} by {e.by}"
    split = report.allocation
    started = "" if split is None else f"; started {format_time(split.from_us)} by {split.by}: {split.why}"
    return [Rows(("", ""), [*rows, ("written", told + started)])]


def _who(e: Experiment) -> str:
    share = "whoever" if e.share is None else f"{100 * e.share:.3g} % of the users"
    if e.field is not None:
        return f"{share} of {e.app} in {e.environment} is served {e.field} {e.treatment} instead of {e.control}, by another system than Andon"
    shadow = ", as a shadow: nobody is served it" if e.kind == "shadow" else ""
    return f"{share} of {e.app} in {e.environment} get {version_text(e.treatment)} of {e.lever} instead of {version_text(e.control)}{shadow}"


def _split(report: Report, last: Decision) -> list[str | Rows]:
    c, t, e = last.control.n, last.treatment.n, report.experiment
    if e.kind == "shadow":
        return [f"A shadow draws no users: {t:,} were answered by the treatment as well, of {c:,}."]
    share = f"{100 * t / (c + t):.3g} %" if c + t else "none"
    if e.share is None:
        return [f"{t:,} users in the treatment and {c:,} in the control: {share}. Nobody planned a split: not checked."]
    p = last.ratio_mismatch
    verdict = (
        "cannot be checked"
        if p is None
        else f"is BROKEN (p = {p:.2g} over all looks): no effect is read"
        if p < MISMATCH
        else f"is sound (p = {p:.2g} over all looks; below {MISMATCH:g} is an alarm)"
    )
    return [
        f"{t:,} users in the treatment and {c:,} in the control: {share} where {100 * e.share:.3g} % was planned. The split {verdict}."
    ]


def named(report: Report, f: Finding | None = None) -> str:
    """What the figures of a row are of, of the primary metric unless it is given.

    Where they count harm of a metric that should go up, that is said: a fall would look like a gain.
    """
    e = report.experiment
    name = e.metric if f is None else guarded_text(f.metric, f.risk_category)
    if f is not None and f.role == "guardrail":
        falls = f.metric in report.should_rise
    else:
        falls = e.kind != "ab" and e.spread is None and e.better == "up"
    return f"harm of {name}" if falls else name


def _findings(report: Report, rows: Iterable[Finding]) -> Rows:
    head = ("metric", "control", "treatment", "effect", "interval", "verdict")
    return Rows(head, [finding_row(report, f) for f in rows])


def finding_row(report: Report, f: Finding) -> tuple[str, ...]:
    """A finding in words: metric, control, treatment, effect, interval, verdict."""
    e = report.experiment
    values = (_value(e, v, f) for v in (f.control, f.treatment))
    return named(report, f), *values, _signed(e, f.effect, f), _interval(e, f.low, f.high, f), f.verdict


def _looks(report: Report) -> Rows:
    e = report.experiment
    rows = [
        (
            str(d.look or "-"),
            format_time(d.at_us)[:16].replace("T", " "),
            f"{d.control.n:,} + {d.treatment.n:,}",
            "-" if d.fraction is None else f"{100 * d.fraction:.0f} %",
            _signed(e, d.effect),
            _interval(e, d.low, d.high),
            d.outcome + (f", {_more(d)} more" if d.outcome == "undecided" and d.more_days else ""),
        )
        for d in report.decisions
    ]
    effect = "effect" if named(report) == e.metric else "effect on harm"
    return Rows(("look", "until (UTC)", "users", "of the plan", effect, "interval", "outcome"), rows)


def _more(d: Decision) -> str:
    soonest = d.more_days or 0.0
    return more_text(soonest, soonest if d.most_days is None else d.most_days)


def _plan(report: Report) -> list[str]:
    e = report.experiment
    said = [
        f"The plan needs {e.planned[0]:,} users in the control and {e.planned[1]:,} in the treatment for a power of {e.power:g}."
    ]
    last = report.decisions[-1] if report.decisions else None
    if e.arrives is not None:
        came = "" if last is None else f"; {last.control.n:,} and {last.treatment.n:,} came until the last look"
        said.append(
            f"It expected {e.arrives[0]:,} and {e.arrives[1]:,} to come in {time_text(e.days)}, each worth {1 / e.design_effect:.3g} "
            f"independent interactions{came}."
        )
    if last is None or e.kind != "ab" or e.spread is not None or min(last.control.n, last.treatment.n) < 2:
        return said
    if not 0 < e.base < 1:
        return said
    way: Literal["up", "down"] = e.better
    found = smallest_rate_change(e.base, last.control.n, last.treatment.n, e.power, e.alpha, way)
    seen = "no change at all" if found is None else f"a change by {_amount(e, abs(found))}"
    said.append(
        f"The {last.control.n:,} and {last.treatment.n:,} users that came would see {seen} by a single look, counting each once; what is "
        "smaller may be there and not be seen."
    )
    return said


def _evidence(report: Report) -> str:
    if not report.decisions:
        return f"The plan is kept with every version of it: andon rollout show {report.experiment.id} computes this page from the record."
    return (
        "Every look is a record of its own, with the counts, effects and intervals above, and never changed; this page is computed from "
        "them. The plans of the questions to the tables behind those counts are not kept, so the counts themselves cannot be asked again "
        "once traffic has been deleted."
    )


def status(report: Report) -> str:
    """What kind of experiment it is, of what, and since when."""
    e, split = report.experiment, report.allocation
    kind = {"ab": "A/B test", "canary": "Canary", "shadow": "Shadow"}[e.kind]
    when = "not started" if split is None else f"since {format_time(split.from_us)[:16].replace('T', ' ')} UTC"
    if split is not None and split.ended_us is not None:
        when += f" until {format_time(split.ended_us)[:16].replace('T', ' ')} UTC"
    return f"{kind} · {e.app} · {e.environment} · {when}"


def facts(report: Report) -> list[tuple[str, str, str]]:
    """(name, figure, remark) of the tiles."""
    e, last = report.experiment, report.decisions[-1] if report.decisions else None
    if last is None:
        return []
    p = last.ratio_mismatch
    days = (last.at_us - report.allocation.from_us) / DAY_US if report.allocation else 0.0
    return [
        ("decision", last.outcome, f"look {last.look} of {e.id}"),
        (_line(f"effect on {named(report)}")[:60], _signed(e, last.effect), _interval(e, last.low, last.high)),
        ("users", f"{last.control.n + last.treatment.n:,}", f"{last.treatment.n:,} with the treatment"),
        ("time", f"{days:.3g} of {e.days:.3g} days" if e.days >= 2 else f"{24 * days:.3g} of {24 * e.days:.3g} h", "since the start"),
        ("split", "unknown" if p is None else "broken" if p < MISMATCH else "sound", "" if p is None else f"p = {p:.2g}"),
    ]  # fmt: skip


def points_of(report: Report) -> list[Looked]:
    """The effect at each look, as it is drawn."""
    split, e = report.allocation, report.experiment
    if split is None:
        return []
    factor, found = 1.0 if e.spread is not None else 100.0, []
    for d in report.decisions:
        primary = next((f for f in d.findings if f.role == "primary"), None)
        if primary is None or primary.effect is None or not math.isfinite(primary.effect):
            continue
        low, high = (None if v is None else factor * v for v in (primary.low, primary.high))
        text = f"{format_time(d.at_us)}: {_signed(e, primary.effect)} ({_interval(e, primary.low, primary.high)})"
        days = (d.at_us - split.from_us) / DAY_US
        found.append(Looked(days, factor * primary.effect, low, high, primary.verdict, text))
    return found


def drawn(report: Report, width: int | None = None) -> str:
    """The effect over time as an inline SVG without a style; there must be a look."""
    e, split = report.experiment, report.allocation
    last = report.decisions[-1]
    up = e.better == "up" if e.kind == "ab" else (e.spread is None or e.better == "down")
    planned = (1 if up else -1) * e.effect * (1.0 if e.spread is not None else 100.0)
    label = "worth having" if e.kind == "ab" else "accepted harm"
    assert split is not None
    decided = next(d for d in report.decisions if d.outcome == last.outcome)  # the looks go on after that
    end = None if last.outcome == "undecided" else ((decided.at_us - split.from_us) / DAY_US, last.outcome)
    wide = {} if width is None else {"width": width}
    return draw_effect(
        points_of(report), title=f"Effect of {e.id} on {named(report)} at each look", planned=planned, planned_label=label,
        unit="" if e.spread is not None else "points", end=end,
        until=(last.at_us - split.from_us) / DAY_US, **wide,
    )  # fmt: skip


def _method(e: Experiment) -> str:
    looks = "every day" if e.kind == "ab" else "every hour"
    how = "one look, at the end (fixed)" if e.method == "fixed" else f"{e.method}, looked at {looks}"
    return how if e.kind == "ab" else f"{how}; harm by a boundary of its own"


def _is_rate(e: Experiment, f: Finding | None) -> bool:
    return (f is not None and f.role == "guardrail") or e.spread is None


def _value(e: Experiment, v: float | None, f: Finding | None = None) -> str:
    if v is None:
        return "nothing came"
    return f"{100 * v:.3g} %" if _is_rate(e, f) else f"{v:.4g}"


def _amount(e: Experiment, v: float) -> str:
    return points_text(v) if e.spread is None else f"{v:.4g}"


def _signed(e: Experiment, v: float | None, f: Finding | None = None) -> str:
    if v is None:
        return "none read"
    text = f"{100 * v:+.2f} points" if _is_rate(e, f) else f"{v:+.3g}"
    return text.replace("-", "−")


def _interval(e: Experiment, low: float | None, high: float | None, f: Finding | None = None) -> str:
    if low is None or high is None:
        return "no interval yet"
    ends = (f"{100 * v:+.2f}" if _is_rate(e, f) else f"{v:+.3g}" for v in (low, high))
    return " to ".join(ends).replace("-", "−")


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _line(text: str) -> str:
    """Text on one line, without characters that a terminal or a browser obeys."""
    return " ".join("".join(c if c.isprintable() else " " for c in text[: 2 * LONGEST]).split())[:LONGEST]


def _columns(block: Rows) -> list[str]:
    rows = [[_line(cell) for cell in row] for row in (block.head, *block.rows)]
    if not any(rows[0]):
        rows = rows[1:]
    widths = [max(len(row[k]) for row in rows) for k in range(len(block.head) - 1)]
    return [
        "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[-1]]).rstrip() for row in rows
    ]


@cache
def _style() -> str:
    """The look of the postmortems, which is written there once."""
    source = PackageLoader("andon.postmortems").get_source(Environment(), "page.html")[0]  # noqa: S701 - read, not run
    return source.partition("<style>")[2].partition("</style>")[0]


@cache
def _page() -> Template:
    env = Environment(
        loader=PackageLoader("andon.rollouts"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return env.get_template("report.html")
