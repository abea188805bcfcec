"""Spans made by hand, for the tests of what is read from them."""

from andon.traffic.conventions.traces import assemble
from andon.traffic.records import SpanRow

T0 = 1_790_000_000_000_000
TRACE = "1" * 32


def span(
    number=1, parent=None, start=0, took=1000, *, name="", status="unset", events=(), links=(), trace=TRACE, **given
):
    """A span with its times in microseconds after `T0`; ``__`` in a name stands for a dot."""
    return SpanRow(
        trace_id=trace, span_id=f"{number:016x}", parent_span_id=None if parent is None else f"{parent:016x}", name=name,
        time_us=T0 + start, end_us=T0 + start + took, status=status, events=tuple(events), links=tuple(links),
        attributes={k.replace("__", "."): v for k, v in given.items()},
    )  # fmt: skip


def event(name, at=0, **attributes):
    """An event of a span."""
    return {"name": name, "time_us": T0 + at, "attributes": {k.replace("__", "."): v for k, v in attributes.items()}}


def one(*spans):
    """The single interaction of some spans."""
    (found,) = assemble(spans)
    return found
