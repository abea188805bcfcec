"""The tests that would disprove the first suspects, run on the tables, and on targets where they can be asked."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from andon.changes import Change
from andon.investigations.disproof import (
    Ask,
    dose_test,
    other_versions_test,
    passages_test,
    replay_test,
    same_hour_test,
    same_questions_test,
    trace_test,
)
from andon.investigations.exposure import SIDES, Bin
from andon.investigations.records import Suspect, SuspectTest
from andon.investigations.run.analyses import Looked, keep_figure
from andon.investigations.run.case import DAY_US, Case, figures_of
from andon.investigations.silent import FEWEST, side_of_sums
from andon.investigations.suspects import told_once
from andon.monitors.run import scope_of
from andon.scores import SCORERS, Embedder, failing
from andon.store import Rollup, Span, Where
from andon.traffic import VERSIONS, Interaction

__all__ = ["ASK_FOR_TARGETS", "run_tests"]

TESTED = 4
"""Suspects that are tested: those after the fourth share what is left of the probability."""

LEAST = 0.02
"""Less probable suspects are not tested."""

HOUR_US = 3_600_000_000

REPLAYED = 40
"""Inputs that are asked again: harmed ones, each question once."""

HELD = 5
"""Other version fields that are held fixed at most."""

ASK_FOR_TARGETS = (
    "nothing was asked again; `andon investigate` with --old T --new T asks both targets the same questions"
)

_MEASURES: dict[str, tuple[str, ...]] = {
    "tool traces": ("tool_error", "tool_retries"),
    "retrieval logs": ("retrieval_score", "citation_valid"),
    "policy decisions": ("policy_refusal", "guardrail_block"),
}
_TRACES = {
    "index": "retrieval logs",
    "corpus": "retrieval logs",
    "embedding model": "retrieval logs",
    "tool schema": "tool traces",
    "code": "tool traces",
    "permission": "tool traces",
    "budget": "tool traces",
    "prompt": "policy decisions",
    "policy": "policy decisions",
}
"""Which trace a kind of change would leave."""

_Key = tuple[Any, ...]
"""Values of the columns within which those who saw a version are compared with the others."""


@dataclass(frozen=True, slots=True)
class _World:
    """What the tests of all suspects share."""

    case: Case
    looked: Looked
    moved: tuple[str, ...]
    """Version fields that a change of the log moved."""
    rise: float | None
    """Rise of the rate of harm over all affected traffic; None where a side has no traffic."""
    unit: float


def run_tests(
    case: Case,
    suspects: Sequence[Suspect],
    changes: Sequence[Change],
    looked: Looked,
    *,
    ask: Ask | None = None,
    embedder: Embedder | None = None,
) -> tuple[Suspect, ...]:
    """The suspects with the tests that could be run on the first of them; probabilities stay as they are.

    Args:
        case: the affected traffic.
        suspects: ranked, the first most probable.
        changes: the change log that they were ranked from (`andon.investigations.run.changed.changes_near`).
        looked: the samples (`andon.investigations.run.analyses.look_at`).
        ask: asks the old and the new target; None where there are none.
        embedder: for metrics that compare meaning on replay.
    """
    known = {c.id: c for c in told_once(changes)}
    chosen = {s.id for s in suspects[:TESTED] if s.probability >= LEAST}
    fields = [c.version_field for c in known.values() if c.version_field in VERSIONS]
    columns = set(case.warehouse.schema("scores").names)
    moved = tuple(f for f in dict.fromkeys(fields) if f is not None and f in columns)
    world = _World(case, looked, moved, _rise(case), case.unit())
    replayed = _replayed(world, ask, embedder)
    return tuple(
        replace(s, tests=_tests(world, s, known.get(s.id), replayed)) if s.id in chosen else s for s in suspects
    )


def _tests(
    world: _World, suspect: Suspect, change: Change | None, replayed: tuple[SuspectTest, SuspectTest]
) -> tuple[SuspectTest, ...]:
    """All tests of one suspect, in the order in which a person would ask for them."""
    if change is None:
        tests = [same_questions_test([(a.before[1], a.since[1]) for a in world.looked.asked], world.rise)]
        return (*(tests if suspect.kind == "traffic" or suspect.id.endswith("traffic") else ()), replayed[1])
    tests = _by_version(world, change)
    if change.kind in ("index", "corpus", "embedding model"):
        tests.append(_same_passages(world))
    return (*tests, replayed[0])


def _by_version(world: _World, change: Change) -> list[SuspectTest]:
    name, value = change.version_field, change.after
    if name not in world.moved or value is None:
        return []
    windows = sorted(_exposed(world, name, value, ("window_us",)).items())
    start_us = max(world.case.after.start_us, change.at_us)
    since = [b for (at,), b in windows if at >= start_us]
    tests = [
        same_hour_test(since, value, world.rise, _evidence(world, name, value)),
        _held_fixed(world, name, value),
        _dose(world, name, value, windows),
    ]
    trace = _TRACES.get(change.kind)
    return [*tests, _trace(world, trace, name, value)] if trace else tests


def _dose(world: _World, name: str, value: str, windows: Sequence[tuple[_Key, Bin]]) -> SuspectTest:
    """The dose over hours; where it says something, its counts by the hour are kept as evidence."""
    sums: dict[int, list[float]] = {}
    for (at,), b in windows:
        hour = sums.setdefault(at // HOUR_US, [0.0] * 4)
        for k, side in enumerate(SIDES):
            hour[k] += getattr(b, side)
    test = dose_test([_bin(hour) for _, hour in sorted(sums.items())], value, world.rise)
    if test.result == "cannot tell":
        return test
    case, ids = world.case, []
    for what, extra in (("interactions", ()), ("harmed interactions", (case.harm,))):
        plan = Rollup(
            table="scores", metrics=(case.signal.metric,), measures=("w",), keys=(name,),
            window_us=max(HOUR_US, case.signal.window_us), span=_near(case), where=(*case.scope, *extra),
        )  # fmt: skip
        ids.append(case.keep(f"{what} by {name} and hour".replace("_", " "), plan, {}))
    return replace(test, evidence=tuple(ids))


def _rise(case: Case) -> float | None:
    n1, n2 = case.count(case.before), case.count(case.after)
    if not n1 or not n2:
        return None
    return case.count(case.after, case.harm) / n2 - case.count(case.before, case.harm) / n1


def _evidence(world: _World, name: str, value: str) -> tuple[str, ...]:
    """How many saw the version since the onset, and how many of them were harmed, kept as evidence."""
    case = world.case
    saw = Where(column=name, op="eq", value=value)
    ids = []
    for what, extra in (
        (f"interactions that saw {value} since the onset", ()),
        (f"harmed ones of {value}", (case.harm,)),
    ):
        plan = Rollup(
            table="scores",
            metrics=(case.signal.metric,),
            measures=("w",),
            span=case.after,
            where=(*case.scope, saw, *extra),
        )
        ids.append(keep_figure(case, what, plan))
    return tuple(ids)


def _near(case: Case) -> Span:
    """The time that versions are compared in: two days before the onset, and up to a week since."""
    start = case.after.start_us
    return Span(
        start_us=max(case.before.start_us, start - 2 * DAY_US), end_us=min(case.after.end_us, start + 7 * DAY_US)
    )


def _exposed(world: _World, name: str, value: str, within: tuple[str, ...]) -> dict[_Key, Bin]:
    """Harm among those who saw a version and among the others, within each combination of values of some columns."""
    case = world.case
    by_window = "window_us" in within
    keys = (name, *(f for f in within if f != "window_us"))
    sums: dict[_Key, list[float]] = {}
    for first, extra in ((1, ()), (0, (case.harm,))):
        table = case.rollup(keys, _near(case), *extra, window_us=case.signal.window_us if by_window else None)
        for row in table.to_pylist():
            cell = sums.setdefault(tuple(row[f] for f in within), [0.0] * 4)
            cell[first if row[name] == value else 2 + first] += row[f"{case.signal.metric}.w"] / world.unit
    return {at: _bin(cell) for at, cell in sums.items()}


def _bin(sums: Sequence[float]) -> Bin:
    return Bin(**dict(zip(SIDES, sums, strict=True)))


def _held_fixed(world: _World, name: str, value: str) -> SuspectTest:
    """Harm with and without the version, before and since, within each combination of the other fields that moved."""
    held = tuple(f for f in world.moved if f != name)[:HELD]
    cells = _exposed(world, name, value, held) if held else {}
    return other_versions_test(list(cells.values()), value, held)


def _trace(world: _World, trace: str, name: str, value: str) -> SuspectTest:
    """The measures of a trace with and without the version: since the onset, or else before it against since."""
    case = world.case
    saw, other = Where(column=name, op="eq", value=value), Where(column=name, op="ne", value=value)
    apart = case.count(world.looked.spans[1], other) / world.unit >= FEWEST
    metrics = tuple(m for m in _MEASURES[trace] if m in case.warehouse.schema("scores").names)
    before, since = world.looked.spans
    sides, ids = [], []
    for who, span, where in (("without", since if apart else before, other), ("with", since, saw)):
        plan = Rollup(
            table="scores", metrics=metrics, measures=("n", "sum", "sumsq", "w", "wsum"), span=span,
            where=(*scope_of(case.signal), where),
        )  # fmt: skip
        sides.append(figures_of(case.warehouse, plan))
        ids.append(case.keep(f"{trace} {who} {value}", plan, sides[-1]))
    compared = []
    for scorer in SCORERS:
        if scorer.name in metrics:
            bad = case.signal.direction if scorer.name == case.signal.metric else scorer.bad
            without, seen = (side_of_sums(row, scorer.name) for row in sides)
            compared.append((scorer.name, str(bad), scorer.kind == "binary", without, seen))
    return trace_test(trace, compared, value, apart=apart, evidence=ids)


def _same_passages(world: _World) -> SuspectTest:
    """Whether questions that were asked again retrieve other passages than before."""
    pairs = [(a.before[0], a.since[0], a.earlier) for a in world.looked.asked]
    overlap = [v for old, new, _ in pairs if (v := _overlap(old, new)) is not None]
    control = [v for old, _, one in pairs if one is not None and (v := _overlap(one, old)) is not None]
    return passages_test(overlap, control)


def _overlap(one: Interaction, other: Interaction) -> float | None:
    ids = [{c.id for c in i.contexts if c.id} for i in (one, other)]
    return len(ids[0] & ids[1]) / len(ids[0] | ids[1]) if ids[0] and ids[1] else None


def _replayed(world: _World, ask: Ask | None, embedder: Embedder | None) -> tuple[SuspectTest, SuspectTest]:
    """Ask both targets once; what came of it for a change of our own, and for "no own change"."""
    if ask is None:
        none = SuspectTest(name="old target", text=ASK_FOR_TARGETS, result="cannot tell")
        return none, none
    signal = world.case.signal
    scorer = next((s for s in SCORERS if s.name == signal.metric), None)
    if scorer is None or (scorer.texts is not None and embedder is None):
        text = f"{signal.metric} is said by people or a plug-in, so answers of a replay cannot be judged by it"
        unjudged = SuspectTest(name="old target", text=text, result="cannot tell")
        return unjudged, unjudged
    inputs: dict[str, Interaction] = {}
    for i, harmed in world.looked.after:
        if harmed and i.query and i.query.strip():
            inputs.setdefault(i.query, i)
    chosen = list(inputs.values())[:REPLAYED]
    op, bound = failing(signal.kind, signal.direction, signal.cut)

    def harmed_by(answer: Interaction | None) -> bool | None:
        value = None if answer is None else scorer.score(answer, embedder)  # type: ignore[arg-type]
        return None if value is None else value >= bound if op == "ge" else value < bound

    old, new = ([harmed_by(a) for a in answers] for answers in (ask("old", chosen), ask("new", chosen)))
    pairs = list(zip(old, new, strict=True))
    return replay_test(pairs, own=True), replay_test(pairs, own=False)
