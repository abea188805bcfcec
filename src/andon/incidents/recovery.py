"""When is an incident over? Exit criteria that are measured, and the steps by which what was switched off comes back.

Harm that is not seen any more is no recovery: traffic may be gone, a lever may hide it, or it may pause (a *quiet recovery*).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import ceil

from andon.changes import Change
from andon.errors import InputError, StateError
from andon.incidents.notices import still_missing
from andon.incidents.records import ExitCriterion, Incident, Recovery, Step
from andon.incidents.states import measure_commands, unmeasured
from andon.incidents.triage import classify, pages
from andon.incidents.words import duration, one_line, phrase_of, scope_text
from andon.monitors import Signal
from andon.monitors.limits import control_points
from andon.monitors.records import TRAFFIC, Point
from andon.monitors.verdicts import percent
from andon.traffic import quoted
from andon.traffic.clock import minute_text

__all__ = [
    "PROBES_PASS",
    "WATCH_US",
    "Hold",
    "add_criterion",
    "add_step",
    "brings_news",
    "drop_criterion",
    "every_us_of",
    "holds_of",
    "judge_chart",
    "judge_masked",
    "judge_probes",
    "judge_silence",
    "met_us",
    "open_steps",
    "quiet_message",
    "see_check",
    "suggest_criteria",
    "take_step",
    "unmet",
]

HOUR_US = 3_600_000_000
WATCH_US = 48 * HOUR_US
"""How long a chart must stay inside its limits unless a person says otherwise: two days and two nights."""

PROBES_PASS = 0.95
"""Smallest share of probes that must pass unless a person says otherwise."""

MANY = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A lever that was held since harm began."""

    text: str
    by: str
    at_us: int
    ended_us: int | None
    """None while it is held."""


def suggest_criteria(
    incident: Incident, signals: Sequence[Signal], known: Iterable[ExitCriterion], *, probes: bool
) -> list[ExitCriterion]:
    """The criteria that are missing: the leading chart, one for each other metric of its class, and the probes.

    The chart of a metric is the one that would lead if no other metric had signalled: it holds at least nine tenths of that
    metric's harm. Without a signal a person looks at what was reported. What probes show is watched for longer by the time
    between two of their runs, so that one falls into the watch.

    Args:
        incident: its latest version.
        signals: of the incident.
        known: criteria that stand in the plan or were dropped: neither is suggested again.
        probes: whether probes of the application come in.
    """
    known = list(known)
    wanted: list[ExitCriterion] = []
    told = [s for s in signals if pages(s)]
    runs_us = WATCH_US + every_us_of(signals)
    lead = next((s for s in told if s.id == incident.lead), None)
    if lead is not None:
        groups: dict[tuple[str, str], list[Signal]] = {}
        for s in told:
            if s.harm == lead.harm:
                groups.setdefault((s.metric, s.direction), []).append(s)
        others = [classify(group)[2] for key, group in sorted(groups.items()) if key != (lead.metric, lead.direction)]
        wanted += [_of_chart(s, runs_us if s.of_probes else WATCH_US) for s in (lead, *others)]
    else:
        wanted.append(
            ExitCriterion(id="", kind="check", text="a person has looked again, and what was reported is right now")
        )
    if probes:
        wanted.append(_of_probes(PROBES_PASS, runs_us))
    has = {(c.kind, c.monitor) for c in known}
    fresh = [c for c in wanted if (c.kind, c.monitor) not in has]
    first = 1 + max((_number(c.id) for c in known), default=0)
    return [replace(c, id=f"C{k}") for k, c in enumerate(fresh, first)]


def add_criterion(
    recovery: Recovery,
    text: str,
    *,
    signal: Signal | None = None,
    at_least: float | None = None,
    watch_us: int = WATCH_US,
    by: str,
) -> Recovery:
    """The plan with one more criterion: a chart, a pass rate of probes, or else a check by a person.

    Args:
        recovery: the plan; an id is never used twice, that of a dropped criterion neither.
        text: what must be true, in words; may be empty for a chart or probes.
        signal: of the chart.
        at_least: pass rate, above 0 and at most 1.
        watch_us: how long it must hold.
        by: who says so.

    Raises:
        InputError: a check without words, a chart and probes at once, or a rate or time that is not allowed.
    """
    if signal is not None and at_least is not None:
        raise InputError("a criterion is about a chart or about probes, not both; add two")
    if at_least is not None and not 0 < at_least <= 1:
        raise InputError(f"{at_least} is no pass rate; give one above 0 and at most 1, such as 0.95")
    if not 0 < watch_us <= 90 * 24 * HOUR_US:
        raise InputError(f"it cannot hold for {duration(watch_us / 1e6)}; give a time up to 90 days, such as 48h")
    if signal is not None:
        criterion = _of_chart(signal, watch_us)
    elif at_least is not None:
        criterion = _of_probes(at_least, watch_us)
    elif text.strip():
        criterion = ExitCriterion(id="", kind="check", text=text.strip(), watch_us=watch_us)
    else:
        raise InputError("say what a person shall check before the incident may be closed")
    number = 1 + max((_number(c.id) for c in (*recovery.criteria, *recovery.dropped)), default=0)
    criterion = replace(criterion, id=f"C{number}", text=text.strip() or criterion.text, by=by)
    return replace(recovery, criteria=(*recovery.criteria, criterion))


def drop_criterion(incident: Incident, recovery: Recovery, criterion_id: str) -> Recovery:
    """The plan without a criterion; it stays among those that were dropped, with what was measured last.

    Raises:
        InputError: there is none with this id.
        StateError: it is the last one that is measured, of an incident that a chart signalled.
    """
    dropped = _criterion(recovery, criterion_id)
    kept = tuple(c for c in recovery.criteria if c is not dropped)
    if dropped.kind != "check" and (why := unmeasured(incident, kept)):
        only = f"{dropped.id} is the only criterion that is measured"
        raise StateError(
            f"{only}; without it {why} before you drop it, or close the incident as something else than recovered",
            commands=f"{measure_commands(incident.id)}, or close it with `--as ...`",
        )
    return replace(recovery, criteria=kept, dropped=(*recovery.dropped, dropped))


def see_check(recovery: Recovery, criterion_id: str, seen: str, *, by: str, now_us: int) -> Recovery:
    """The plan after a person looked at a check and found it met.

    Raises:
        InputError: there is no such criterion, it is one that is measured, or nothing was seen.
    """
    found = _criterion(recovery, criterion_id)
    if found.kind != "check":
        raise InputError(
            f"{found.id} is measured, nobody can say that it is met; drop it, with the reason, where it does not apply"
        )
    if not seen.strip():
        raise InputError(f"say what you saw when you checked {found.id}: {one_line(found.text, 200)}")
    looked = replace(found, met=True, measured=f"{seen.strip()} (seen by {by})", at_us=now_us)
    return replace(recovery, criteria=tuple(looked if c is found else c for c in recovery.criteria))


def add_step(recovery: Recovery, text: str, check: str) -> Recovery:
    """The plan with one more step, after all others.

    Raises:
        InputError: the step or its check is empty.
    """
    if not text.strip() or not check.strip():
        raise InputError("a step says what is let in again, and what must be seen before the next one may be taken")
    step = Step(id=f"S{len(recovery.steps) + 1}", text=text.strip(), check=check.strip())
    return replace(recovery, steps=(*recovery.steps, step))


def take_step(recovery: Recovery, step_id: str, seen: str, *, by: str, now_us: int) -> Recovery:
    """The plan with a step done and its check seen.

    Raises:
        InputError: there is no such step, or nothing was seen.
        StateError: it is done already, or the check of an earlier step was not seen yet.
    """
    step = next((s for s in recovery.steps if s.id == step_id), None)
    if step is None:
        known = ", ".join(s.id for s in recovery.steps) or "none yet"
        raise InputError(f"{recovery.id} has no step {quoted(step_id)}; there are: {known}")
    if step.done_us is not None:
        raise StateError(f"{step.id} is done already: {one_line(step.seen, 200)}")
    earlier = open_steps(recovery)[0]
    if earlier is not step:
        raise StateError(
            f"{step.id} comes after {earlier.id}, whose check was not seen yet: {one_line(earlier.check, 200)}"
        )
    if not seen.strip():
        raise InputError(f"say what the check of {step.id} showed: {one_line(step.check, 200)}")
    done = replace(step, done_us=now_us, seen=seen.strip(), by=by)
    return replace(recovery, steps=tuple(done if s is step else s for s in recovery.steps))


def open_steps(recovery: Recovery) -> list[Step]:
    """The steps that were not taken yet, in order."""
    return [s for s in recovery.steps if s.done_us is None]


def unmet(incident: Incident, recovery: Recovery) -> list[str]:
    """What keeps an incident from having recovered: first its unmet criteria with their figures; empty where nothing does.

    Every exit criterion must be met. One of them must be measured where a chart signalled; a report that no chart joined may
    end by what people see.
    """
    found = [
        f"{c.id} {one_line(c.text, 160)}: {one_line(c.measured or 'not measured', 240)}"
        for c in recovery.criteria
        if c.met is not True
    ]
    if why := unmeasured(incident, recovery.criteria):
        found.append(why)
    elif not recovery.criteria:
        found.append("there is no exit criterion at all: add one")
    return found


def brings_news(before: Recovery, after: Recovery) -> bool:
    """Whether a measurement says something that was not said before: another verdict, or a criterion that was missing."""
    return [(c.id, c.met) for c in before.criteria] != [(c.id, c.met) for c in after.criteria]


def met_us(recovery: Recovery) -> int:
    """When the last criterion had been met; only where all are."""
    return max(c.at_us or 0 for c in recovery.criteria)


def quiet_message(incident: Incident, recovery: Recovery) -> str:
    """Why an incident may not be closed, with everything that is unmet and what to do."""
    return (
        f"{incident.id} cannot be closed as recovered: that would be a quiet recovery, harm that is not seen any more and "
        f"may come back. Not met: {'; '.join(unmet(incident, recovery))}. Wait and measure again, drop with the reason what does "
        "not apply, or close it as what it was instead: a false alarm, a duplicate of another one, or retired where what was "
        "harmed was taken out for good"
    )


def holds_of(changes: Iterable[Change], since_us: int) -> list[Hold]:
    """The holds of levers that began since then, by time; each hold of a lever ends the one before it."""
    ordered = sorted((c for c in changes if c.kind == "lever" and c.at_us >= since_us), key=lambda c: (c.at_us, c.id))
    found: list[Hold] = []
    for k, change in enumerate(ordered):
        pull, what = _pull_of(change)
        if what != "held":
            continue
        ends = [c.at_us for c in ordered[k + 1 :] if _ends(c, pull)]
        found.append(Hold(text=change.title, by=change.author, at_us=change.at_us, ended_us=min(ends, default=None)))
    return found


def _pull_of(change: Change) -> tuple[str, str]:
    """The pull that a change of a lever tells of, and what became of it: `andon.levers` names changes so."""
    pull, _, what = change.id.rpartition("-")
    return pull, what


def _ends(change: Change, pull: str) -> bool:
    other, what = _pull_of(change)
    if what in ("released", "expired"):
        return other == pull
    return what == "held" and other.rpartition("-")[0] == pull.rpartition("-")[0]


def judge_masked(criterion: ExitCriterion, holds: Sequence[Hold], now_us: int) -> ExitCriterion | None:
    """The criterion as not met while a lever is held; None where none is."""
    held = [h for h in holds if h.ended_us is None]
    if not held:
        return None
    names = "; ".join(f"{one_line(h.text, 100)} since {minute_text(h.at_us)} UTC" for h in held[:3])
    text = f"cannot count while a lever may hide the harm ({names}): release it, step by step where that is safer"
    return replace(criterion, met=False, measured=text, at_us=now_us)


def judge_chart(
    criterion: ExitCriterion,
    signal: Signal,
    points: Sequence[Point],
    *,
    start_us: int,
    end_us: int,
    came: float,
    usual: float | None,
    unit: float = 1.0,
) -> ExitCriterion:
    """Whether a chart has been inside its limits for the watch window.

    The clock starts at the end of the last point above its limit. Hours that are each inside may still be too bad together,
    so the sum since then is held against limits for the sum: the beta-binomial that `control_points` uses, with the hours'
    correlation among them and the baseline's own uncertainty, which such a long sum no longer hides.

    Args:
        criterion: of this chart.
        signal: the first one of the chart that paged, with the baseline from before the harm.
        points: of the chart from `start_us` on.
        start_us: the earliest time from which quiet counts: the chart's last signal, or the end of the last hold; after `end_us`
            where no whole window has passed since.
        end_us: end of the last whole window.
        came: interactions that came within the last watch window (or since `start_us`).
        usual: interactions in as long a time before the onset; None where nothing is known. Then traffic must have come in at
            least half of the watch window, and in its last quarter; of a probe, since the time between two of its runs.
        unit: interactions that one row stands for, where traffic is sampled.
    """
    outside = [p for p in points if p.x > p.high * p.n]
    since = max([start_us, *(p.end_us for p in outside)])
    kept = [p for p in points if p.start_us >= since and p.end_us > end_us - criterion.watch_us]
    met: bool | None
    earliest = f"not yet, at the earliest at {minute_text(since + criterion.watch_us)} UTC"
    if usual and still_missing(came, usual, 1.0, unit):  # less than half of it
        what = f"only {percent(came / usual)} of the usual traffic came ({came:,.0f} of {usual:,.0f} interactions)"
        met, text = False, f"{what}: quiet because the traffic is gone, not because harm is"
    elif kept:
        met, text = _inside(signal, kept, since, end_us, criterion.watch_us)
        if met and not usual and (gap := _uncovered(kept, end_us, criterion.watch_us, signal.every_us)):
            met, text = None, f"cannot tell: {gap}, and nothing is known of how much is usual"
    elif outside and since == outside[-1].end_us:
        last = outside[-1]
        what = f"{_rate(last.x, last.n)} until {minute_text(since)} UTC, above the limit of {percent(last.high)}"
        met, text = False, f"{what}: {earliest}"
    elif since >= end_us:
        met, text = (
            False,
            f"no whole {'hour' if signal.window_us <= HOUR_US else 'window'} has passed since harm was seen: {earliest}",
        )
    else:
        met, text = None, f"cannot tell: nothing was measured since {minute_text(since)} UTC"
    return replace(criterion, met=met, measured=text, at_us=since + criterion.watch_us if met else end_us)


def _inside(signal: Signal, kept: Sequence[Point], since: int, end_us: int, watch_us: int) -> tuple[bool | None, str]:
    """Whether these points together are inside the limits, and have been for long enough."""
    n, x, lasted = sum(p.n for p in kept), sum(p.x for p in kept), end_us - since
    low, high = _limits(signal, kept)
    if x > high * n:
        return False, f"{_rate(x, n)} since {minute_text(since)} UTC, above the limit of {percent(high)}: not yet"
    if signal.rate <= high:
        few = f"{n:,} are so few that even the {percent(signal.rate)} of the signal is inside"
        return None, f"cannot tell: {few}"
    told = f"for {_hours(min(lasted, watch_us))} of {_hours(watch_us)}"
    runs = sum(p.n > 0 for p in kept)
    of = f" in {runs} run{'s' * (runs > 1)}" if signal.every_us >= HOUR_US else ""  # of an hour, one point
    inside = f"{_rate(x, n)}{of} inside limits {percent(low)} to {percent(high)} {told}"
    if lasted >= watch_us:
        return True, inside
    return False, f"{inside}: not yet, at the earliest at {minute_text(since + watch_us)} UTC"


def _uncovered(kept: Sequence[Point], end_us: int, watch_us: int, every_us: int) -> str:
    """What of the watch window had no traffic, in words; empty where half of it had some, and its last quarter too.

    A probe comes once in a while: empty where it came within the time between two of its runs.
    """
    lasted = [p for p in kept if p.n]
    covered = sum(p.end_us - max(p.start_us, end_us - watch_us) for p in lasted)
    if not every_us and 2 * covered < watch_us:
        return f"traffic came in only {_hours(covered)} of {_hours(watch_us)}"
    latest_us = max(p.end_us for p in lasted)
    late_us = max(watch_us // 4, every_us)
    return f"no traffic came since {minute_text(latest_us)} UTC" if latest_us <= end_us - late_us else ""


def _limits(signal: Signal, points: Sequence[Point]) -> tuple[float, float]:
    """Limits of the rate of many hours together.

    Beyond `MANY` interactions a smaller sum of the same variance stands in: its exact limits are the same, and quick.
    """
    n = sum(p.n for p in points)
    hours = sum(max(1, (p.end_us - p.start_us) // HOUR_US) for p in points)
    clusters = max(1.0, hours / max(1.0, signal.persistence))
    spread = 0.0 if n <= clusters else signal.dispersion * (n / clusters - 1) / (n - 1)
    spread += 1 / (signal.baseline_n + 1)
    if n > MANY:
        variance = 1 / n + spread * (1 - 1 / n)  # of the rate, in units of rate x (1 - rate)
        n = max(MANY, round(1 / variance))
        spread = max(0.0, (variance - 1 / n) / (1 - 1 / n)) if n == MANY else 0.0
    window = (points[0].start_us, points[-1].end_us, n, 0)
    (sums,) = control_points([window], signal.baseline_x, signal.baseline_n, spread, 1, signal.clock)
    return sums.low, sums.high


def judge_silence(
    criterion: ExitCriterion,
    signal: Signal,
    blocks: Sequence[tuple[int, float, float]],
    *,
    start_us: int,
    end_us: int,
    unit: float = 1.0,
) -> ExitCriterion:
    """Whether traffic that fell has been back for the watch window.

    Args:
        criterion: of this chart.
        signal: the one of the chart.
        blocks: (end of the block, interactions that came, interactions of the same hours a week before the fall).
        start_us: the earliest time from which it counts.
        end_us: end of the last block.
        unit: interactions that one row stands for, where traffic is sampled.
    """
    missing = [end for end, came, usual in blocks if still_missing(came, usual, signal.rate, unit)]
    came, usual = sum(b[1] for b in blocks), sum(b[2] for b in blocks)
    since = max([start_us, *missing])
    lasted = max(0, end_us - since)
    if still_missing(came, usual, signal.rate, unit) is None:
        return replace(
            criterion, met=None, at_us=end_us, measured="cannot tell: too little traffic is usual at these hours"
        )
    what = f"{came:,.0f} interactions where {usual:,.0f} are usual"
    told = f"{what}; back for {_hours(min(lasted, criterion.watch_us))} of {_hours(criterion.watch_us)}"
    if lasted < criterion.watch_us:
        return replace(criterion, met=False, at_us=end_us, measured=f"{told}: not yet")
    return replace(criterion, met=True, at_us=since + criterion.watch_us, measured=told)


def judge_probes(
    criterion: ExitCriterion, passed: int, n: int, *, start_us: int, end_us: int, unseen: str = ""
) -> ExitCriterion:
    """Whether enough probes passed within the watch window.

    Args:
        criterion: with its pass rate.
        passed: probes that were answered without the harm of the incident.
        n: probes, those without an answer too: a missing answer is never a good one.
        start_us: the earliest time from which probes count.
        end_us: the clock.
        unseen: a metric that the harm shows in and no probe measures: then a probe that was answered passes.
    """
    assert criterion.at_least is not None
    fewest = 20 if criterion.at_least == 1 else ceil(round(1 / (1 - criterion.at_least), 6))
    lasted = min(end_us - start_us, criterion.watch_us)
    if n < fewest:
        text = f"cannot tell: {n} probes came in {_hours(lasted)}; at least {fewest} are needed for {percent(criterion.at_least)}"
        return replace(criterion, met=None, at_us=end_us, measured=text)
    how = f"were answered (no probe measures {one_line(unseen)})" if unseen else "passed"
    told = f"{percent(passed / n)} of {n:,} probes {how} in {_hours(lasted)} of {_hours(criterion.watch_us)}"
    if passed < criterion.at_least * n or lasted < criterion.watch_us:
        return replace(criterion, met=False, at_us=end_us, measured=f"{told}: not yet")
    since = criterion.at_us if criterion.met and criterion.at_us is not None else end_us
    return replace(criterion, met=True, at_us=since, measured=told)


def every_us_of(signals: Iterable[Signal]) -> int:
    """How often the probe of these signals is asked, of several the one that is asked least; 0 where none is of a run."""
    return max((s.every_us for s in signals), default=0)


def _of_chart(signal: Signal, watch_us: int) -> ExitCriterion:
    if signal.metric == TRAFFIC:
        what = f"measuring by {one_line(signal.aspect)}" if signal.aspect else "traffic"
        text = f"{what} in {scope_text(signal.scope)} is back"
    else:
        text = f"the share of {phrase_of(signal.metric, signal.direction)} in {scope_text(signal.scope)} stays inside its limits"
    return ExitCriterion(id="", kind="metric", text=text, monitor=signal.monitor, watch_us=watch_us)


def _of_probes(at_least: float, watch_us: int) -> ExitCriterion:
    text = f"at least {percent(at_least)} of the probes pass"
    return ExitCriterion(id="", kind="probe", text=text, at_least=at_least, watch_us=watch_us)


def _criterion(recovery: Recovery, criterion_id: str) -> ExitCriterion:
    found = next((c for c in recovery.criteria if c.id == criterion_id), None)
    if found is None:
        known = ", ".join(c.id for c in recovery.criteria) or "none yet"
        raise InputError(f"{recovery.id} has no criterion {quoted(criterion_id)}; there are: {known}")
    return found


def _number(criterion_id: str) -> int:
    return int(criterion_id[1:])


def _rate(x: int, n: int) -> str:
    return f"{percent(x / n)} of {n:,}"


def _hours(us: int) -> str:
    return f"{us / HOUR_US:.0f} h" if us >= 2 * HOUR_US else duration(us / 1e6)
