"""Question 3, read from the tables: isolated or systematic, in which part of the traffic, and who was hit?"""

from andon.investigations.records import Impact
from andon.investigations.run.case import Case, figures_of
from andon.store import Rollup, Span
from andon.traffic import SEGMENTS, VERSIONS

__all__ = ["impact_of", "parts_of", "totals"]


def totals(case: Case) -> list[float]:
    """Harm and traffic before the onset, since it, and in the last tenth of the time since it, kept as evidence."""
    start, end = case.after.start_us, case.after.end_us
    lately = Span(start_us=end - max(case.signal.window_us, (end - start) // 10), end_us=end)
    numbers = []
    for name, span in (("before the onset", case.before), ("since the onset", case.after), ("lately", lately)):
        for what, extra in (("harmed interactions", (case.harm,)), ("interactions", ())):
            plan = Rollup(table="scores", metrics=(case.signal.metric,), span=span, where=(*case.scope, *extra))
            figures = figures_of(case.warehouse, plan)
            case.keep(f"{what} {name}", plan, figures)
            numbers.append(figures[f"{case.signal.metric}.w"])
    return numbers


def parts_of(case: Case) -> list[tuple[str, str, int, int, int, int]]:
    """Harm before and after by each value of each segment and version field; a value that all traffic has tells nothing."""
    rows = []
    for name in (*SEGMENTS, *VERSIONS):
        after, before = case.by(name, case.after), case.by(name, case.before)
        if name in case.signal.scope or len({*after, *before}) < 2:
            continue
        harm_after, harm_before = case.by(name, case.after, case.harm), case.by(name, case.before, case.harm)
        units = case.units(name)
        for value, n in after.items():
            counts = (harm_before.get(value, 0), before.get(value, 0), harm_after.get(value, 0), n)
            x1, n1, x2, n2 = (round(c / units[value]) for c in counts)
            rows.append((name, value, x1, n1, x2, n2))
    return list(dict.fromkeys(rows))


def impact_of(case: Case, baseline: float, x2: float, n2: float, *, lately: float | None) -> Impact:
    """Who was hit since the onset."""
    users = len(case.by("user_id", case.after, case.harm))
    sessions = len(case.by("session_id", case.after, case.harm))
    return Impact(
        n=round(n2),
        harmed=round(x2),
        excess=round(max(0.0, x2 - n2 * baseline), 1),
        lately=lately,
        users=users or None,
        sessions=sessions or None,
    )
