"""The command traffic-shift: did the traffic itself change?"""

from typing import Annotated

import numpy as np
import typer

from andon.cli.screen import now_us, opened, say, show_table
from andon.errors import InputError
from andon.monitors.run import traffic_window
from andon.monitors.shift import TrafficShift, compare_traffic
from andon.monitors.verdicts import percent
from andon.store import Span, Where
from andon.traffic import parse_time

__all__ = ["add_to"]

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
        before, after = (traffic_window(loop.warehouse, loop.embedder, span, where) for span in spans)
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


def _tell(found: TrafficShift) -> None:
    rows = [
        (f"{c.p_corrected:.2g}", c.test, _given(c.psi), _given(c.jensen_shannon), c.sentence) for c in found.columns
    ]
    show_table(("p", "test", "PSI", "JS", "what moved"), rows, empty="there is too little traffic to compare")
    kinds = [
        ("new" if g.new else "more", percent(g.before / g.before_all), percent(g.after / g.after_all), g.name)
        for g in found.grown
    ]
    show_table(("", "before", "now", "kind of question"), kinds, empty="no kind of question takes a larger share")
    for text in found.untold:
        say(text)
    say("p is corrected for everything that was tried (Holm). PSI, JS and numbers are shown only.")


def _given(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
