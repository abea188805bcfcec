"""The tests that would disprove the first suspects, run on the tables, and on targets where they can be asked."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from andon.changes import Change
from andon.investigations.disproof import (
    Ask,
    Cell,
    dose_test,
    other_versions_test,
    passages_test,
    replay_test,
    same_hour_test,
    same_questions_test,
    trace_test,
)
from andon.investigations.records import Suspect, SuspectTest
from andon.investigations.run.analyses import Looked, keep_figure, look_at
from andon.investigations.run.case import DAY_US, Case
from andon.investigations.silent import FEWEST, Side
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
    *,
    looked: Looked | None = None,
    ask: Ask | None = None,
    embedder: Embedder | None = None,
) -> tuple[Suspect, ...]:
    """The suspects with the tests that could be run on the first of them; probabilities stay as they are.

    Args:
        case: the affected traffic.
        suspects: ranked, the first most probable.
        changes: the changes that they were ranked from.
        looked: the samples, where they were read already (`look_at`).
        ask: asks the old and the new target; None where there are none.
        embedder: for metrics that compare meaning on replay.
    """
    known = {c.id: c for c in told_once(changes)}
    chosen = {s.id for s in suspects[:TESTED] if s.probability >= LEAST}
    fields = [c.version_field for c in known.values() if c.version_field in VERSIONS]
    columns = set(case.warehouse.schema("scores").names)
    moved = tuple(f for f in dict.fromkeys(fields) if f is not None and f in columns)
    looked = looked or look_at(case)
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
    windows = _windows(world, name, value)
    start_us = max(world.case.after.start_us, change.at_us)
    tests = [
        same_hour_test([c for at, c in windows if at >= start_us], value, world.rise, _evidence(world, name, value)),
        _held_fixed(world, name, value),
        dose_test(_hours(windows), value, world.rise),
    ]
    trace = _TRACES.get(change.kind)
    return [*tests, _trace(world, trace, name, value)] if trace else tests


def _hours(windows: Sequence[tuple[int, Cell]]) -> list[Cell]:
    """The windows put together by the hour."""
    sums: dict[int, list[float]] = {}
    for at, c in windows:
        hour = sums.setdefault(at // HOUR_US, [0.0] * 4)
        for k, v in enumerate((c.exposed_x, c.exposed_n, c.other_x, c.other_n)):
            hour[k] += v
    return [Cell(exposed_x=x, exposed_n=n, other_x=ox, other_n=on) for _, (x, n, ox, on) in sorted(sums.items())]


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


def _windows(world: _World, name: str, value: str) -> list[tuple[int, Cell]]:
    """Harm by window of the chart among those who saw a version and the others, from two days before the onset on."""
    case = world.case
    span = _near(case)
    sums: dict[int, list[float]] = {}
    for first, extra in ((1, ()), (0, (case.harm,))):
        plan = Rollup(
            table="scores",
            metrics=(case.signal.metric,),
            measures=("w",),
            keys=(name,),
            window_us=case.signal.window_us,
            span=span,
            where=(*case.scope, *extra),
        )
        for row in case.warehouse.run(plan).to_pylist():
            cell = sums.setdefault(row["window_us"], [0.0] * 4)
            cell[first if row[name] == value else 2 + first] += row[f"{case.signal.metric}.w"] / world.unit
    return [
        (start, Cell(exposed_x=x, exposed_n=n, other_x=other_x, other_n=other_n))
        for start, (x, n, other_x, other_n) in sorted(sums.items())
    ]


def _held_fixed(world: _World, name: str, value: str) -> SuspectTest:
    """Harm with and without the version, before and since, within each combination of the other fields that moved."""
    case = world.case
    held = tuple(f for f in world.moved if f != name)[:HELD]
    if not held:
        return other_versions_test((), value, ())
    span = _near(case)
    sums: dict[tuple[str | None, ...], list[float]] = {}
    for first, extra in ((1, ()), (0, (case.harm,))):
        plan = Rollup(
            table="scores",
            metrics=(case.signal.metric,),
            measures=("w",),
            keys=(name, *held),
            span=span,
            where=(*case.scope, *extra),
        )
        for row in case.warehouse.run(plan).to_pylist():
            cell = sums.setdefault(tuple(row[f] for f in held), [0.0] * 4)
            cell[first if row[name] == value else 2 + first] += row[f"{case.signal.metric}.w"] / world.unit
    cells = [Cell(exposed_x=x, exposed_n=n, other_x=ox, other_n=on) for x, n, ox, on in sums.values()]
    return other_versions_test(cells, value, held)


def _trace(world: _World, trace: str, name: str, value: str) -> SuspectTest:
    """The measures of a trace with and without the version: since the onset, or else before it against since."""
    case = world.case
    saw, other = Where(column=name, op="eq", value=value), Where(column=name, op="ne", value=value)
    apart = case.count(world.looked.spans[1], other) / world.unit >= FEWEST
    metrics = tuple(m for m in _MEASURES[trace] if m in case.warehouse.schema("scores").names)
    sides = []
    before, since = world.looked.spans
    for span, where in ((since if apart else before, other), (since, saw)):
        plan = Rollup(
            table="scores",
            metrics=metrics,
            measures=("n", "sum", "sumsq", "w", "wsum"),
            span=span,
            where=(*scope_of(case.signal), where),
        )
        sides.append(case.warehouse.run(plan).to_pylist()[0])
    measures = []
    for scorer in SCORERS:
        if scorer.name in metrics:
            bad = case.signal.direction if scorer.name == case.signal.metric else scorer.bad
            without, seen = (_side(row, scorer.name) for row in sides)
            measures.append((scorer.name, str(bad), scorer.kind == "binary", without, seen))
    return trace_test(trace, measures, value, apart=apart)


def _side(row: dict[str, float | None], metric: str) -> Side:
    """Mean and variance from the sums of a roll-up."""
    n = row[f"{metric}.n"] or 0.0
    if not n:
        return Side(n=0.0, mean=0.0, variance=0.0)
    w = row[f"{metric}.w"] or n
    plain = (row[f"{metric}.sum"] or 0.0) / n
    mean = (row[f"{metric}.wsum"] or 0.0) / w
    return Side(n=n, mean=mean, variance=max(0.0, (row[f"{metric}.sumsq"] or 0.0) / n - plain**2))


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
