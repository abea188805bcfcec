"""What the gate says of two runs, in sentences: the figures first, then whatever was not compared. Pure."""

from collections.abc import Collection, Sequence

from andon.evals.covering import Covered, listed
from andon.evals.pairs import Pair, Together, high_risk, other_measure, ran
from andon.evals.records import EvalRun, Group
from andon.evals.rules import REST, Rules
from andon.evals.shifts import ScoreShift
from andon.traffic import format_time

__all__ = [
    "changed_scorers",
    "count",
    "figure",
    "in_one_run",
    "name_of",
    "never_shown",
    "not_compared",
    "quarantines",
    "shifted",
    "worse_parts",
]


def figure(run: EvalRun, baseline: EvalRun, pairs: Sequence[Pair], every: Together, cleared: int = 0) -> str:
    """The comparison in one short sentence; `cleared` lost cases were asked again, and pass as often as before."""
    lost, one = len(every.lost), len(every.lost) == 1
    high = sum(high_risk(*p.categories) for p in pairs if p.change < 0)
    if not lost:
        said = f"nothing that passed fails now, of {count(every.n, 'case')} compared"
    elif every.attempts == every.n and not every.uneven:
        said = f"{lost} of {count(every.n, 'case')} passed before and {'fails' if one else 'fail'} now"
    else:
        said = f"{lost} of {count(every.n, 'case')} {'passes' if one else 'pass'} less often than before"
    said += f", {high} of them of high risk" if high and not one else ", of high risk" if high else ""
    if cleared:
        who = (
            "it passes" if one else "they pass" if cleared == lost else f"{cleared} of them pass{'es' * (cleared == 1)}"
        )
        said += f"; asked again, {who} as often as the version in place"
    there = {r.case_id for r in baseline.results}
    new = sum(case not in there and any(a.outcome == "fail" for a in each) for case, each in ran(run.results).items())
    errors = len({r.case_id for r in run.results if r.outcome == "error"})
    more = [
        f"{n} {what}"
        for n, what in ((len(every.gained), "gained"), (new, "new failing"), (errors, "could not run"))
        if n
    ]
    return said + (f"; {', '.join(more)}" if more else "")


def worse_parts(groups: Sequence[Group]) -> tuple[str, ...]:
    """Where the losses are, when several categories were compared together."""
    parts = [g for g in groups if g.part_of and len(g.lost) > len(g.gained)]
    parts.sort(key=lambda g: len(g.gained) - len(g.lost))
    said = listed([f"{g.name} ({len(g.lost)} lost, {len(g.gained)} gained)" for g in parts])
    return (f"more lost than gained in {said}",) if said else ()


def name_of(group: Group) -> str:
    """How a group is called in a sentence."""
    name = "the rest" if group.name == REST else group.name
    return name if not group.part_of else f"{name} (of {group.part_of})"


def not_compared(run: EvalRun, baseline: EvalRun, pairs: Sequence[Pair], covered: Sequence[Covered]) -> tuple[str, ...]:
    """What of a comparison was not compared, or not wholly; a sentence each."""
    found = []
    if other := other_measure(run, baseline):
        found.append(f"the measure of {count(len(other), 'case')} changed: run the baseline again ({listed(other)})")
    now, before = ran(run.results), ran(baseline.results)
    here, there = (max((len(side[p.case]) for p in pairs), default=0) for side in (now, before))
    if here != there:
        which = "baseline" if there < here else "gate"
        found.append(
            f"this run has {count(here, 'attempt')} at each case and the baseline {there}: run the {which} with {max(here, there)}"
        )
    ruled = {p.case for c in covered for p in c.pairs}
    if free := sum(p.case not in ruled for p in pairs):
        found.append(f"no rule covers {count(free, 'case')}, which decide nothing")
    return tuple(found)


def in_one_run(run: EvalRun, baseline: EvalRun | None, left_out: Collection[str]) -> tuple[str, ...]:
    """The cases that only one of the runs holds."""
    if baseline is None:
        return ()
    there, here = ({r.case_id: None for r in each.results} for each in (baseline, run))
    aside = {*left_out}
    bad = {r.case_id for r in run.results if r.outcome == "fail"}
    new = [case for case in here if case not in there]
    failing = [case for case in new if case in bad]
    gone = [case for case in there if case not in here and case not in aside]
    out = [case for case in there if case not in here and case in aside]
    found = []
    if new:
        fail = f", {len(failing)} of them fail: {listed(failing)}" if failing else ""
        found.append(f"the baseline does not hold {count(len(new), 'case')} of this golden set{fail}")
    if gone:
        found.append(f"{count(len(gone), 'case')} of the baseline did not run: {listed(gone)}")
    if out:
        found.append(f"left out of the baseline (retired by now, or of another application): {listed(out)}")
    return tuple(found)


def never_shown(run: EvalRun, unshown: Collection[str]) -> tuple[str, ...]:
    """The cases of incidents of which nobody knows that they test what they were made for."""
    found = [i for i in dict.fromkeys(r.case_id for r in run.results) if i in {*unshown}]
    if not found:
        return ()
    many = "1 case of an incident was" if len(found) == 1 else f"{len(found)} cases of incidents were"
    return (f"{many} never shown to fail on the old version and to pass on the fix: {listed(found)}",)


def quarantines(run: EvalRun, rules: Rules, aside: Sequence[str]) -> tuple[str, ...]:
    """Quarantines: how many hold, and those of the rules that are over."""
    here = {r.case_id for r in run.results}
    over = [f"{q.id} ({format_time(q.until_us)[:10]})" for q in rules.quarantine if q.id in here]
    return (
        *((f"{count(len(aside), 'case')} in quarantine did not decide",) if aside else ()),
        *(
            (f"the quarantine in {rules.quarantine[0].by} is over, so it decides again: {listed(over)}",)
            if over
            else ()
        ),
    )


def shifted(shifts: Sequence[ScoreShift]) -> tuple[str, ...]:
    """How the mean of each graded score moved."""
    found = []
    for s in shifts:
        far = "" if s.low is None or s.high is None else f", 95 % interval {s.low:+.3f} to {s.high:+.3f}"
        found.append(
            f"mean {s.metric} {s.before:.3f} before and {s.now:.3f} now ({s.now - s.before:+.3f}{far}; {count(s.cases, 'case')})"
        )
    return tuple(found)


def changed_scorers(now: str, before: str) -> str:
    """The scorers of both runs that have another version now."""
    old, new = (dict(part.split("@", 1) for part in text.split() if "@" in part) for text in (before, now))
    return ", ".join(
        f"{name} {old[name]} -> {new[name]}" for name in sorted(new) if name in old and old[name] != new[name]
    )


def count(n: int, what: str) -> str:
    """A number with its noun."""
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
