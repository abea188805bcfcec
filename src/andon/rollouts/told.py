"""A plan in words: the first sentence says whether it sees what it is made for. Pure."""

import math

from andon.rollouts.plan import DIFFERING, LEAST_USERS, MOST_DAYS, Asked, Plan
from andon.rollouts.records import Experiment
from andon.traffic import format_time

__all__ = [
    "guarded_text",
    "late_text",
    "more_text",
    "plan_rows",
    "points_text",
    "power_text",
    "say_plan",
    "size_text",
    "time_text",
    "version_text",
    "versions_text",
]


def say_plan(plan: Plan) -> list[str]:
    """The plan in sentences."""
    a = plan.asked
    told = [_verdict(plan)]
    if not plan.sees:
        told += _ways_out(plan)
    told += _of_ab(plan) if a.kind == "ab" else _of_canary(plan)
    if a.arrivals:
        told.append(_of_arrivals(a))
    if a.design_effect != 1:
        told.append(
            f"One user is counted as {1 / a.design_effect:.3g} independent interactions (how many each has, and how much they resemble each other)."
        )
    return told


def plan_rows(plan: Plan) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Head and rows of the table: what each way of looking needs and sees."""
    a = plan.asked
    time = time_text(a.days)
    sees = f"sees in {time}" if a.kind == "ab" else f"excludes in {time}"
    head: tuple[str, ...] = ("looking", "users needed", "which takes", f"power in {time}", sees)
    rows: list[tuple[str, ...]] = []
    for w in plan.ways:
        size = (
            "nothing"
            if w.smallest is None
            else f"{size_text(a, w.smallest)} {'or more' if a.kind == 'ab' else 'of harm'}"
        )
        rows.append((w.name, f"{w.needed[0]:,} + {w.needed[1]:,}", time_text(w.days), power_text(w.power), size))
    return head, rows


def _verdict(plan: Plan) -> str:
    a, power = plan.asked, power_text(plan.chosen.power)
    came = f"in {time_text(a.days)} ({plan.arrives[0]:,} users in the control, {plan.arrives[1]:,} in the treatment)"
    what = f"a change of {a.metric} {_change(a)} is found" if a.kind == "ab" else f"{_harmless(a)} is shown"
    if plan.sees:
        return f"This plan can see it: {what} with a power of {power} {came}."
    if plan.unshown and plan.short is None and plan.chosen.power >= a.power - 0.005:
        return (
            f"This plan cannot promote: {', '.join(plan.unshown)} {'is' if len(plan.unshown) == 1 else 'are'} rather not shown to hold {came}, "
            f"though {what} with a power of {power}."
        )
    if plan.chosen.days > MOST_DAYS:
        gate = "" if plan.golden is None else f" The offline gate can, with about {_about(plan.golden)} golden cases."
        return f"This traffic cannot show it: {what} with a power of {power} {came}, and {MOST_DAYS} days, the most, are too few as well.{gate}"
    if plan.short is not None:
        return f"This plan decides nothing: {plan.short}; {what} with a power of {power} {came}."
    return f"This plan cannot see it: {what} with a power of only {power} {came}; {a.power:g} is asked."


def _ways_out(plan: Plan) -> list[str]:
    a, way = plan.asked, plan.chosen
    told = []
    if way.days <= MOST_DAYS:
        told.append(f"It takes {time_text(way.days)}.")
    if way.smallest is not None:
        what = "sees a change by" if a.kind == "ab" else "excludes harm of"
        told.append(f"In {time_text(a.days)} it {what} {size_text(a, way.smallest)} or more.")
    if a.share < 0.4:
        told.append(f"A larger share than {100 * a.share:.3g} % sees it sooner; half is quickest.")
    if plan.golden is not None:
        told.append(
            f"The offline gate asks both versions the same questions, and sees {size_text(a, a.effect)} with about {_about(plan.golden)} golden "
            f"cases where {100 * DIFFERING:.0f} % of them differ by chance: `andon eval run`, then `andon gate`."
        )
    return told


def _of_ab(plan: Plan) -> list[str]:
    a, told = plan.asked, []
    if plan.naive is not None and a.days >= 2:
        told.append(
            f"Who looks every day for p < {a.alpha:g}, without one of these methods, finds a change where there is none in {100 * plan.naive:.0f} % "
            f"of tests instead of {100 * a.alpha:.3g} %."
        )
    told.append(
        f'"{LEAST_USERS:,} per arm" alone has a power of {power_text(plan.thumb)} for this change: it is the least that is asked for, and no plan.'
    )
    return told


def _of_canary(plan: Plan) -> list[str]:
    a = plan.asked
    time = time_text(a.days)
    if plan.harm is None:
        harm = f"No harm is shown in {time} in four of five cases, whatever its size: too few are served the treatment."
    else:
        harm = (
            f"It takes the treatment out in {time}, in four of five cases, from harm of {size_text(a, plan.harm)} on; less than that may "
            f"go on until the end. Any harm that is shown does so, unless it is surely smaller than {size_text(a, a.effect)}."
        )
    return [
        harm,
        f"A single look at the end, which asks for any harm at all, would find one of {size_text(a, a.effect)} with a power of {power_text(plan.thumb)}.",
    ]


def _of_arrivals(a: Asked) -> str:
    days, new = len(a.arrivals), a.arrivals[-1] - (a.arrivals[-2] if len(a.arrivals) > 1 else 0.0)
    within = "a day" if days == 1 else f"{days} days"
    return (
        f"Users are counted once: {a.arrivals[0]:,.0f} came on the first day of recent traffic, {a.arrivals[-1]:,.0f} within {within}; after "
        f"that {new:,.0f} new ones a day are reckoned with, as many as on the last of these days."
    )


def _harmless(a: Asked) -> str:
    now = "" if a.spread is not None else f" of {a.metric} ({100 * a.base:.3g} % now)"
    what = f"harm{now}" if now else f"what {a.metric} loses"
    return f"that a treatment which changes nothing raises {what} by {size_text(a, a.effect)} at most"


def _change(a: Asked) -> str:
    if a.spread is not None:
        return f"from {a.base:.4g} {'up' if a.up else 'down'} by {a.effect:.4g}"
    return f"from {100 * a.base:.3g} % to {100 * (a.base + (a.effect if a.up else -a.effect)):.3g} %"


def _about(cases: int) -> str:
    return f"{float(f'{cases:.2g}'):,.0f}"


def version_text(digest: str | None) -> str:
    """What an arm is given, for people."""
    return "the default" if digest is None else f"version {digest}"


def versions_text(e: Experiment) -> str:
    """What is compared with what, for people: not yet made harmless."""
    if e.field is not None:
        return f"{e.field} {e.treatment} against {e.control}"
    return f"{version_text(e.treatment)} of {e.lever} against {version_text(e.control)}"


def guarded_text(metric: str, risk_category: str | None) -> str:
    """What is guarded, for people: not yet made harmless."""
    return metric if risk_category is None else f"{metric} in {risk_category}"


def late_text(name: str, due_us: int) -> str:
    """That a look of an experiment is due since `due_us` (microseconds) and not taken."""
    return f"a look waits since {format_time(due_us)}: andon rollout look {name} takes it, or says what it waits for"


def size_text(asked: Asked, size: float) -> str:
    """A size of change in the unit of the metric."""
    if asked.spread is not None:
        return f"{size:.3g}"
    return points_text(size)


def points_text(size: float) -> str:
    """A difference of rates in points of a percent."""
    points = f"{100 * size:.2g}"
    return f"{points} point{'' if points == '1' else 's'}"


def power_text(power: float) -> str:
    """A power for people; none is told as certainty."""
    return "above 0.99" if power > 0.99 else f"{power:.2f}"


def time_text(days: float) -> str:
    """A time for people: hours below two days."""
    if days == math.inf:
        return "for ever"
    if days < 2:
        hours = f"{24 * days:.3g}"
        return f"{hours} hour{'' if hours == '1' else 's'}"
    return f"{days:,.3g} days" if days < 1000 else f"{days:,.0f} days"


def more_text(soonest: float, latest: float) -> str:
    """How many days more, for people: a range where the two differ; hours below two days."""
    unit, one, factor = ("hours", "an hour", 24) if latest < 2 else ("days", "a day", 1)
    low, high = (max(1, round(factor * days)) for days in (soonest, latest))
    if low != high:
        return f"{low:,} to {high:,} {unit}"
    return f"about {one if high == 1 else f'{high:,} {unit}'}"
