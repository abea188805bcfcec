"""A person accepts a change as the new normal."""

from collections.abc import Sequence
from hashlib import blake2b

from andon.errors import InputError
from andon.monitors.records import NewNormal, names
from andon.store import Ledger
from andon.traffic import format_time

__all__ = ["accept"]


def accept(
    ledger: Ledger, monitor: str, known: Sequence[str], *, from_us: int, why: str, by: str, now_us: int, window_s: int
) -> NewNormal:
    """Record that what a chart shows is the new normal; from the next window on it learns its baseline anew.

    Args:
        ledger: where it is recorded.
        monitor: id of a chart; with ``*`` at its end, the beginning of the ids of several.
        known: ids of charts, of signals say, to tell a misspelt one.
        from_us: what came before is forgotten.
        why: the reason that is recorded.
        by: who says so.
        now_us: the time.
        window_s: width of a window.

    Raises:
        InputError: no such chart, no reason, or a time to come.
    """
    if not why.strip():
        raise InputError("say why this is the new normal: it will be read when the same chart is asked about again")
    if not any(names(monitor, k) for k in known):
        told = ", ".join(sorted(set(known))[:20]) or "none has signalled yet"
        raise InputError(
            f"no chart {monitor!r} has signalled (a * at the end means all that begin so); those that have: {told}"
        )
    if from_us > now_us:
        raise InputError(f"{format_time(from_us)} is in the future: until then the charts would say nothing")
    width = window_s * 1_000_000
    at_us = (now_us // width + 1) * width  # a window is judged once: the next is the first that is learned from anew
    digest = blake2b(f"{monitor}/{at_us}".encode(), digest_size=6).hexdigest()
    accepted = NewNormal(id=f"NORMAL-{digest}", monitor=monitor, from_us=from_us, accepted_us=at_us, why=why, by=by)
    ledger.put(accepted, now_us=now_us, by=by)
    return accepted
