"""The tests of action items that need golden cases, eval runs or levers; and what cases caught since. Pure.

A proof says True (the test was run and met), False (run and not met) or None (it cannot be told, and what is missing).
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from andon.evals import EvalRun, judge
from andon.evals.rules import DEFAULT, Rules
from andon.evals.shown import outcomes
from andon.golden import Case
from andon.levers.pulls import turn
from andon.levers.records import Lever, Pull
from andon.levers.registry import same_value
from andon.postmortems import ActionItem, Criterion, Proof
from andon.traffic import format_time, quoted

__all__ = ["cases_pass", "catches", "gate_blocks", "lever_exists"]

MOST_NAMED = 5


def cases_pass(item: ActionItem, cases: Sequence[Case], runs: Sequence[EvalRun], now_us: int) -> Proof:
    """The test of ``case passes``: the named cases pass in the latest runs, as many in a row of one target as asked for.

    The subject is ids of cases, by commas or spaces, or ``cases of INC-0001``: all that came of an incident. Runs are those
    that `andon eval run` and `andon gate` kept. The target of the newest one decides, and the proof names it; run it again
    where a bad version was tested on purpose. A run in which a case could not be run counts neither way, and so do recorded
    answers: asked again they are the same answers.
    """
    asked = _criterion(item)
    ids = _ids(asked.subject, cases)
    known = {c.id for c in cases}
    if not ids:
        return _proof(
            None, f"no golden case has come of this yet ({quoted(asked.subject)}); label failures and add cases", now_us
        )
    if lost := [i for i in ids if i not in known]:
        return _proof(None, f"there is no golden case {', '.join(map(quoted, lost[:MOST_NAMED]))}", now_us)
    told = [(r, of) for r in runs if not r.target.startswith("recorded:") and (of := _told(ids, r))]
    many = f"{len(ids)} case{'' if len(ids) == 1 else 's'}"
    if not told:
        text = f"no kept run of a live target holds all of {many}; `andon eval run --target ...` makes one"
        return _proof(None, text, now_us)
    told.sort(key=lambda t: (t[0].at_us, t[0].id), reverse=True)
    target = told[0][0].target
    passes, failing = _row([of for r, of in told if r.target == target])
    if passes >= asked.times:
        return _proof(True, f"{many} passed the last {passes} runs in a row on {quoted(target, 120)}", now_us)
    if passes:
        text = f"{many} passed {passes} of {asked.times} runs in a row on {quoted(target, 120)}; run it {asked.times - passes} more"
        return _proof(None, text, now_us)
    named = ", ".join(failing[:MOST_NAMED]) + (", ..." if len(failing) > MOST_NAMED else "")
    return _proof(False, f"{len(failing)} of {many} fail in the latest run on {quoted(target, 120)}: {named}", now_us)


def gate_blocks(
    item: ActionItem,
    runs: Sequence[EvalRun],
    now_us: int,
    *,
    rules: Rules = DEFAULT,
    quarantined: Collection[str] = (),
) -> Proof:
    """The test of ``gate blocks``: the gate fails on the latest run of the named target (its name holds the subject as a word).

    The baseline is the newest run of another target over the same golden set; without one nobody can tell. Rules and
    quarantine are those of the gate itself.
    """
    asked = _criterion(item)
    named = re.compile(rf"(?<![\w.-]){re.escape(asked.subject)}(?![\w-]|\.\d)")
    theirs = [r for r in runs if named.search(r.target)]
    if not theirs:
        text = f"the gate was never run on {quoted(asked.subject, 120)}; `andon gate --target ...` keeps a run"
        return _proof(None, text, now_us)
    bad = max(theirs, key=lambda r: r.at_us)
    others = [r for r in runs if not named.search(r.target) and r.golden == bad.golden]
    baseline = max(others, key=lambda r: r.at_us, default=None)
    if baseline is None:
        text = (
            f"no kept run of another target is over the golden set of {bad.id}; `andon eval run --target ...` makes one"
        )
        return _proof(None, text, now_us)
    verdict = judge(bad, baseline, rules=rules, quarantined=quarantined)
    text = (
        f"gate on {quoted(bad.target, 120)} at {format_time(bad.at_us)}, against the run of {quoted(baseline.target, 120)}:"
        f" {verdict.outcome}; {verdict.reason}"
    )
    return _proof({"fail": True, "pass": False}.get(verdict.outcome), text, now_us)


def lever_exists(item: ActionItem, levers: Iterable[Lever], pulls: Iterable[Pull], now_us: int) -> Proof:
    """The test of ``lever exists``: it is declared, and was held once at its safe value."""
    asked = _criterion(item)
    lever = next((x for x in levers if x.id == asked.subject), None)
    if lever is None:
        return _proof(False, f"no lever {quoted(asked.subject, 120)} is declared", now_us)
    held = [p for p in pulls if p.lever == lever.id and same_value(p.value, lever.safe)]
    if not held:
        text = f"lever {lever.id} is declared, but was never held at its safe value {quoted(lever.safe)}: hold it once in a drill"
        return _proof(False, text, now_us)
    last = max(held, key=turn)
    end = "and still is" if last.released_us is None else f"until {format_time(last.released_us)}"
    text = f"lever {lever.id} was held at its safe value {quoted(lever.safe)} from {format_time(last.at_us)}, {end} ({last.id})"
    return _proof(True, text, now_us)


def catches(cases: Iterable[Case], runs: Iterable[EvalRun]) -> Mapping[str, int]:
    """Incident -> eval runs in which a case of it failed that had passed before: what its cases caught since."""
    incident_of = {c.id: c.incident for c in cases if c.incident}
    passed: set[str] = set()
    found = dict.fromkeys(incident_of.values(), 0)
    for run in sorted(runs, key=lambda r: (r.at_us, r.id)):
        seen = outcomes(run)
        failed = {i for i, outcome in seen.items() if outcome == "fail"}
        for incident in {incident_of[c] for c in failed & passed if c in incident_of}:
            found[incident] += 1
        passed |= {i for i, outcome in seen.items() if outcome == "pass"}
    return found


def _told(ids: Sequence[str], run: EvalRun) -> dict[str, str]:
    """What became of these cases in a run; nothing where none failed and one could not be run, or is not in it."""
    of = outcomes(run)
    found = {i: of.get(i, "error") for i in ids}
    return found if "fail" in found.values() or "error" not in found.values() else {}


def _row(told: Iterable[Mapping[str, str]]) -> tuple[int, list[str]]:
    """How many runs pass all cases in a row, the newest first, and which cases fail in the one that ends the row."""
    passes = 0
    for of in told:
        if failing := [i for i, outcome in of.items() if outcome == "fail"]:
            return passes, failing
        passes += 1
    return passes, []


def _ids(subject: str, cases: Sequence[Case]) -> list[str]:
    if found := re.fullmatch(r"cases of (\S+)", subject):
        return [c.id for c in cases if c.incident == found[1]]
    return list(dict.fromkeys(re.split(r"[\s,]+", subject.strip())))


def _criterion(item: ActionItem) -> Criterion:
    assert item.criterion is not None, "an item without a test is never tested"
    return item.criterion


def _proof(met: bool | None, text: str, now_us: int) -> Proof:
    return Proof(met=met, text=text, at_us=now_us)
