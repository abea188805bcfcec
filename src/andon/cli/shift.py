"""The command traffic-shift: did the traffic itself change?"""

from typing import Annotated

import numpy as np
import typer

from andon.cli.screen import now_us, opened, say, show_table
from andon.errors import InputError
from andon.loop import Loop
from andon.monitors.shift import TrafficShift, TrafficWindow, compare_traffic
from andon.store import Rollup, Sample, Span, Where
from andon.traffic import SEGMENTS, parse_time

__all__ = ["add_to"]

COLUMNS = (*SEGMENTS, "source")
"""What the asker brings; versions are ours, and have the change log."""

NUMBERS = ("input_tokens",)
"""What the asker sets; what the system sets (latency, cost, length of the answer) is behaviour, and has its charts."""

QUESTIONS = 2_000
"""Questions of each side that are compared by meaning."""

NOTHING = "(none)"

Time = Annotated[str, typer.Option(help="Start of what may have shifted (ISO 8601).")]


def add_to(app: typer.Typer) -> None:
    """Add this command."""
    app.command(name="traffic-shift")(traffic_shift)


def traffic_shift(
    since: Time,
    against: Annotated[str, typer.Option(help="What it is compared with: two times, as START..END.")],
    until: Annotated[str | None, typer.Option(help="End of what may have shifted; now unless given.")] = None,
    app: Annotated[str | None, typer.Option(help="Only this application.")] = None,
    environment: Annotated[str | None, typer.Option(help="Only this environment.")] = None,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Test the questions by MMD and by a classifier too; takes seconds.")
    ] = False,
) -> None:
    """Did the traffic itself change? Its mix, its numbers and what is asked about, against an earlier stretch."""
    spans = _before(against), _span(since, until)
    pairs = {"app": app, "environment": environment}
    where = tuple(Where(column=k, op="eq", value=v) for k, v in pairs.items() if v is not None)
    with opened() as loop:
        loop.warehouse.commit()
        before, after = (_window(loop, span, where) for span in spans)
        name = loop.embedder.name
    found = compare_traffic(before, after, np.random.default_rng(0), embedder=name, thorough=thorough)
    say(f"{len(after.questions):,} distinct questions against {len(before.questions):,} ({name})")
    _tell(found)


def _before(text: str) -> Span:
    start, dots, end = text.partition("..")
    if not dots:
        raise InputError(f"--against {text!r} is not two times; write START..END, e.g. 2026-08-01..2026-08-08")
    return _span(start, end)


def _span(start: str, end: str | None) -> Span:
    span = Span(start_us=parse_time(start), end_us=parse_time(end) if end else now_us())
    if span.end_us <= span.start_us:
        raise InputError(f"{start} does not lie before {end or 'now'}; give a stretch of time that holds traffic")
    return span


def _window(loop: Loop, span: Span, where: tuple[Where, ...]) -> TrafficWindow:
    categories = {c: _counts(loop, c, span, where) for c in COLUMNS}
    plan = Sample(table="interactions", n=QUESTIONS, seed=3, columns=("query", *NUMBERS), span=span, where=where)
    rows = loop.warehouse.run(plan)
    questions = tuple(dict.fromkeys(q for q in rows["query"].to_pylist() if q and q.strip()))
    numbers = {c: rows[c].drop_null().to_numpy(zero_copy_only=False).astype(np.float64) for c in NUMBERS}
    return TrafficWindow(
        categories={c: counts for c, counts in categories.items() if counts.keys() - {NOTHING}},
        numbers={c: values for c, values in numbers.items() if len(values)},
        questions=questions,
        vectors=loop.embedder.embed(list(questions)),
    )


def _counts(loop: Loop, column: str, span: Span, where: tuple[Where, ...]) -> dict[str, int]:
    """Interactions by value, each row counted as the fraction that its sampling weight is of the greatest."""
    plan = Rollup(table="interactions", metrics=("weight",), keys=(column,), span=span, where=where)
    table = loop.warehouse.run(plan)
    unit = max((w for w in table["weight.max"].to_pylist() if w), default=1.0)
    values, sums = table[column].to_pylist(), table["weight.sum"].to_pylist()
    return {NOTHING if v is None else str(v): round((w or 0) / unit) for v, w in zip(values, sums, strict=True)}


def _tell(found: TrafficShift) -> None:
    rows = [
        (f"{c.p_corrected:.2g}", c.test, _given(c.psi), _given(c.jensen_shannon), c.sentence) for c in found.columns
    ]
    show_table(("p", "test", "PSI", "JS", "what moved"), rows, empty="there is too little traffic to compare")
    kinds = [
        ("new" if g.new else "more", f"{g.before / g.before_all:.1%}", f"{g.after / g.after_all:.1%}", g.name)
        for g in found.grown
    ]
    show_table(("", "before", "now", "kind of question"), kinds, empty="no kind of question takes a larger share")
    for text in found.untold:
        say(text)
    say("p is corrected for everything that was tried (Holm). PSI, JS and numbers are shown only.")


def _given(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
