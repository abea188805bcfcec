"""Does the golden set grow as fast as the system fails, and no faster than people can review?"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from andon.golden.records import Case

__all__ = ["FEWEST", "MOST", "WEEKS", "Growth", "Origin", "Week", "growth_of", "origin_of"]

FEWEST, MOST = 5, 10
"""Cases a week: what a team is advised to add. Fewer, and failures come back untested; more, and nobody reviews them with care."""

WEEKS = 12
JUDGED = 4
"""Whole weeks over which the verdict is formed: one bad or quiet week says nothing."""

Origin = str
"""``incident``, ``feedback``, ``score``, ``re-framing`` or ``by hand``."""

_FEEDBACK = ("thumbs-down", "correction", "abandonment", "follow-up")
_SCORES = ("guardrail block", "low retrieval score", "low score")


@dataclass(frozen=True, slots=True, kw_only=True)
class Week:
    """What was added and retired in one week."""

    monday: str
    """ISO date of its first day, UTC."""
    added: int
    by_origin: dict[str, int]
    retired: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """How a golden set grew in the last twelve weeks; the last of them is not over."""

    weeks: tuple[Week, ...]
    tested: int
    """Cases that are tested now."""
    retired: int
    waiting: int
    """Captured failures that wait for a label, a second reviewer or an adjudication."""
    a_week: float | None
    """Mean over the last four whole weeks; None where the set is younger than one."""
    verdict: str
    """One sentence, with the figures, and what to do."""
    pace: str
    """How fast it grows, in one sentence without what to do."""


def origin_of(case: Case) -> Origin:
    """Where a case comes from, by its source."""
    if case.source.startswith("re-framing of "):
        return "re-framing"
    if case.incident is not None or case.source.startswith("incident "):
        return "incident"
    if case.source in _FEEDBACK:
        return "feedback"
    return "score" if case.source in _SCORES else "by hand"


def growth_of(cases: Sequence[Case], *, waiting: int, now_us: int) -> Growth:
    """The growth of a set, retired cases included; a case without a date it was added on counts in the total only."""
    today = datetime.fromtimestamp(now_us / 1e6, tz=UTC).date()
    this = today - timedelta(days=today.weekday())
    mondays = [this - timedelta(weeks=k) for k in range(WEEKS - 1, -1, -1)]
    added = [(m, origin_of(c)) for c in cases if (m := _monday(c.added_date)) is not None]
    gone = Counter(_monday(c.retired) for c in cases if c.retired is not None)
    weeks = []
    for monday in mondays:
        origins = Counter(origin for m, origin in added if m == monday)
        weeks.append(
            Week(monday=monday.isoformat(), added=origins.total(), by_origin=dict(origins), retired=gone[monday])
        )
    first = min((m for m, _ in added), default=this)
    whole = [w for w, m in zip(weeks, mondays, strict=True) if first <= m < this][-JUDGED:]
    a_week = sum(w.added for w in whole) / len(whole) if whole else None
    pace = _pace(a_week, len(whole), len(cases))
    return Growth(
        weeks=tuple(weeks),
        tested=sum(c.retired is None for c in cases),
        retired=sum(c.retired is not None for c in cases),
        waiting=waiting,
        a_week=a_week,
        verdict=_verdict(pace, a_week, waiting, len(cases)),
        pace=pace,
    )


def _pace(a_week: float | None, whole: int, cases: int) -> str:
    if not cases:
        return "there is no golden case yet"
    if a_week is None:
        return "cannot tell how fast the set grows: it is younger than a whole week"
    pace = f"{a_week:.1f} cases a week over the last {whole} whole week{'s' if whole > 1 else ''}, against {FEWEST} to {MOST}"
    word = "too slow" if a_week < FEWEST else "fast" if a_week > MOST else "on target"
    return f"{word}: {pace}"


def _verdict(pace: str, a_week: float | None, waiting: int, cases: int) -> str:
    todo = f"{waiting or 'no'} captured failure{' waits' if waiting == 1 else 's wait'} for people's words"
    if not cases:
        return f"{pace}; {todo}: `andon golden label`, then `andon golden add`"
    if a_week is not None and a_week < FEWEST:
        next_ = (
            "`andon golden label` turns them into cases"
            if waiting
            else "capture more, or there is nothing to learn from"
        )
        return f"{pace}; {todo}: {next_}"
    if a_week is not None and a_week > MOST:
        return f"{pace}; look whether they are reviewed with care; {todo}"
    return f"{pace}; {todo}"


def _monday(day: str | None) -> date | None:
    try:
        found = date.fromisoformat((day or "")[:10])
    except ValueError:
        return None
    return found - timedelta(days=found.weekday())
