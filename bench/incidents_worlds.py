"""Traffic of a made-up application in which something goes wrong, with the truth known; vectorised, and written in bulk.

Nothing here is taken from the ranker of `andon.investigations`: who sees a change, how long it takes to hurt and what else
moves meanwhile come from the published cases (`bench.incidents_cases`) and from the distributions stated here. Scores are
written beside the traffic, because the embedding of answers is not what is tested; questions are compared by meaning as ever.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from andon.changes import Change
from andon.scores import SCORERS, score_schema
from andon.traffic import SCHEMAS

__all__ = ["ALWAYS", "APP", "HOUR_US", "START_US", "Case", "Fault", "Move", "World", "between", "make", "onset_hour"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

HOUR_US = 3_600_000_000
START_US = 1_773_014_400_000_000
"""Monday 9 March 2026, 00:00 UTC."""
APP = "bench"
ALWAYS = -1e6
"""Hour of a fault that has always been there."""

FIELDS = {
    "model": "model",
    "prompt": "prompt_version",
    "policy": "policy_version",
    "index": "index_version",
    "corpus": "corpus_version",
    "embedding model": "embedding_model",
    "routing": "route_version",
    "tool schema": "tools_version",
    "code": "code_version",
    "sampling parameter": "sampling_params",
    "traffic source": "source",
}
"""The field of an interaction that shows each kind of change, where one does."""

RATES = {"error": 0.01, "refusal": 0.03, "escalation": 0.09, "language_match": 0.996, "tool_error": 0.01}
RATES |= {"normalised_match": 0.9, "truncated": 0.008, "thumbs": 0.82}
NUMBERS = {"retrieval_score": (0.8, 0.06), "groundedness": (0.85, 0.07), "answer_chars": (420.0, 90.0)}
NUMBERS |= {"latency_s": (2.0, 0.5)}
THUMBS_GIVEN = 0.08
USUAL = frozenset(("error", "refusal", "escalation", "normalised_match"))
"""Rates that are measured everywhere; others where the case is about them."""

DECOYS_A_WEEK = (2, 5, 13, 4, 23, 50, 57, 1, 7, 3, 3, 51)
"""Deploys in the week before each of the twelve incidents of mybinder.org in `changes-mybinder`."""
MOST_DECOYS = 25
DECOY_KINDS = {
    "code": 0.30, "config": 0.18, "prompt": 0.17, "index": 0.05, "corpus": 0.05, "policy": 0.05, "routing": 0.05,
    "tool schema": 0.04, "model": 0.03, "sampling parameter": 0.03, "permission": 0.03, "budget": 0.02,
}  # fmt: skip
TOPICS = (
    "invoice", "delivery", "password", "refund", "subscription", "address", "voucher", "contract", "warranty", "login",
    "parcel", "payment", "colour", "size", "battery", "cable", "screen", "keyboard", "router", "printer", "camera",
    "speaker", "charger", "mount",
)  # fmt: skip
FRAMES = ("How do I change my {}?", "My {} does not work", "Where do I find the {}?", "Is the {} late again?")
NEW_TOPICS = (
    "ferry", "tsunami", "passport", "embassy", "vaccine", "quarantine", "airport", "visa", "curfew", "shelter",
    "evacuation", "insurance", "hospital", "consulate", "border", "flight", "customs", "ambulance",
)  # fmt: skip
NEW_FRAMES = (
    "Is the {} open to foreigners tonight",
    "Urgent, we are stranded at the {} with two children",
    "{} closed?!",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Something that moves in the control plane."""

    name: str
    kind: str
    at_h: float
    """Hours since the start of the traffic; negative: before it."""
    shown: bool = True
    """Whether interactions carry the version."""
    share: float = 1.0
    ramp_h: float = 0.0
    """Hours until that share is reached."""
    by: str = "user"
    """``user`` (sticky) or ``request``."""
    where: Mapping[str, str] = field(default_factory=dict)
    recorded: bool = True
    own: bool = True
    value: str | None = None
    """What the version field shows; its name unless given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Harm, and who gets it."""

    at_h: float
    effects: Mapping[str, float]
    """Metric -> its new rate; of a number, by how much its mean moves."""
    of: str | None = None
    """Only those who see this move; None: everybody."""
    where: Mapping[str, str] = field(default_factory=dict)
    growth_h: float = 0.0
    share: float = 1.0
    """Share of the users among them who are hit."""
    new_questions: float = 0.0
    """Share of the traffic that new kinds of questions make up in the end; then only they are hit."""
    waves_h: float = 0.0
    """Harm comes for this many hours and goes for as many, again and again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One scenario as it is to be simulated."""

    name: str
    source: str
    """The published incident that it keeps the figures of."""
    moves: tuple[Move, ...]
    faults: tuple[Fault, ...]
    causes: frozenset[str]
    """Names of the moves that are causes; empty: no change explains it (the traffic or the provider do)."""
    per_hour: float = 60.0
    before_h: int = 216
    after_h: int = 96
    models: tuple[str, ...] = ("large",)
    base: Mapping[str, float] = field(default_factory=dict)
    """Rates that differ from `RATES`."""
    usual: tuple[Fault, ...] = ()
    """What has always been so in some part of the traffic."""
    volume_after: float = 1.0
    decoys_a_week: float | None = None
    """Where the source says how much else was changed; else drawn from `DECOYS_A_WEEK`."""

    @property
    def own(self) -> bool:
        """Whether a change of ours is the cause."""
        return any(m.own for m in self.moves if m.name in self.causes)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A case with its traffic."""

    case: Case
    interactions: pa.Table
    scores: pa.Table
    changes: tuple[Change, ...]
    onset_us: int
    end_us: int
    segments: Mapping[str, NDArray[np.object_]]
    times_us: NDArray[np.int64]


def onset_hour(rng: np.random.Generator, before_h: int = 216) -> float:
    """Harm starts at any hour of the day after the quiet time."""
    return before_h + between(rng, 0, 24)


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """Any number from the one to the other."""
    return float(rng.uniform(low, high))


def make(case: Case, rng: np.random.Generator, *, near: bool = False) -> World:
    """Draw the traffic of a case, with decoys as they fall; with `near`, one more lies within six hours before the onset."""
    onset_h = min(f.at_h for f in case.faults)
    times_us = _arrivals(rng, case, onset_h)
    n = len(times_us)
    hours = (times_us - START_US) / HOUR_US
    users = np.array([f"u{k:04d}" for k in range(900)], dtype=object)[(rng.pareto(1.2, n) * 60).astype(int) % 900]
    every = {
        "risk_category": rng.choice(np.array(["high", "low"], dtype=object), n, p=(0.2, 0.8)),
        "task": rng.choice(np.array(["ask", "do", "write"], dtype=object), n, p=(0.6, 0.25, 0.15)),
        "segment": _by_user(users, rng, ("web", "app", "partner"), (0.5, 0.35, 0.15)),
        "requested_model": rng.choice(np.array(case.models, dtype=object), n),
    }
    parts = (*(f.where for f in (*case.usual, *case.faults)), *(m.where for m in case.moves))
    named = {"task", "requested_model"}.union(*parts)
    columns = {k: v for k, v in every.items() if k in named or (k == "segment" and rng.random() < 0.5)}
    moves = (*case.moves, *_decoys(rng, case, onset_h, near))
    seen, versions = _exposed(rng, moves, hours, users, columns)
    new = np.zeros(n, dtype=bool)
    for fault in case.faults:
        ramp = np.clip((hours - fault.at_h) / max(fault.growth_h, 1e-9), 0, 1) * (hours >= fault.at_h)
        if fault.new_questions:
            came = rng.random(n) < fault.new_questions * ramp
            new |= came if fault.of is None else came & seen[fault.of]
    values = _measured(rng, case, hours, users, columns, seen, new)
    ids = np.array([f"{case.name}-{k:07d}" for k in range(n)], dtype=object)
    row = {
        "id": ids,
        "time_us": times_us,
        "app": np.full(n, APP, dtype=object),
        "user_id": users,
        **columns,
        **versions,
    }
    row["environment"] = np.full(n, "production", dtype=object)
    interactions = _table(SCHEMAS["interactions"], {**row, "query": _questions(rng, new), "weight": np.ones(n)})
    scores = _table(score_schema(SCORERS), {**row, **values, "interaction_id": ids, "weight": np.ones(n)})
    return World(
        case=case,
        interactions=interactions,
        scores=scores,
        changes=tuple(_change(m) for m in moves if m.recorded),
        onset_us=START_US + int(onset_h * HOUR_US),
        end_us=START_US + int((case.before_h + case.after_h) * HOUR_US),
        segments={**columns, **versions},
        times_us=times_us,
    )


def _arrivals(rng: np.random.Generator, case: Case, onset_h: float) -> NDArray[np.int64]:
    """Poisson arrivals by the hour with a daily wave and a quiet weekend."""
    hour = np.arange(case.before_h + case.after_h)
    wave = 1 + 0.6 * np.sin((hour % 24 - 9) / 24 * 2 * np.pi)
    level = wave * np.where(hour // 24 % 7 >= 5, 0.7, 1.0) * np.where(hour >= onset_h, case.volume_after, 1.0)
    counts = rng.poisson(case.per_hour * level)
    at = np.repeat(hour, counts) + rng.random(counts.sum())
    return START_US + np.sort((at * HOUR_US).astype(np.int64))


def _by_user(
    users: NDArray[np.object_], rng: np.random.Generator, names: Sequence[str], shares: Sequence[float]
) -> NDArray[np.object_]:
    """A value per user."""
    known, at = np.unique(users, return_inverse=True)
    return rng.choice(np.array(names, dtype=object), len(known), p=shares)[at]


def _decoys(rng: np.random.Generator, case: Case, onset_h: float, near: bool) -> list[Move]:
    """Changes that harm nobody, as many a week as a real ledger had before its incidents, at any time."""
    span_h = case.before_h + 24
    drawn = min(int(rng.choice(DECOYS_A_WEEK)), MOST_DECOYS)
    weekly = drawn if case.decoys_a_week is None else case.decoys_a_week
    times = [*rng.uniform(4, span_h, rng.poisson(weekly * span_h / 168))]
    if near:
        times.append(onset_h - rng.uniform(0.1, 6))
    decoys = []
    for k, at_h in enumerate(times):
        kind = str(rng.choice(list(DECOY_KINDS), p=list(DECOY_KINDS.values())))
        shown = kind in FIELDS and bool(rng.random() < 0.75)
        style = rng.random()
        share = 1.0 if style < 0.8 else float(rng.uniform(0.05, 0.5))
        ramp_h = float(rng.uniform(6, 48)) if 0.5 <= style < 0.8 else 0.0
        recorded = not shown or bool(rng.random() < 0.75)
        decoys.append(
            Move(
                name=f"decoy-{k}",
                kind=kind,
                at_h=float(at_h),
                shown=shown,
                share=share,
                ramp_h=ramp_h,
                recorded=recorded,
            )
        )
    return decoys


def _exposed(
    rng: np.random.Generator,
    moves: Sequence[Move],
    hours: Floats,
    users: NDArray[np.object_],
    columns: Mapping[str, NDArray[np.object_]],
) -> tuple[dict[str, Bools], dict[str, NDArray[np.object_]]]:
    """Who sees each move, and the version fields; what came later stands in the field, whatever it carries on."""
    known, user = np.unique(users, return_inverse=True)
    versions = {f: np.full(len(hours), f"{f}-0", dtype=object) for f in FIELDS.values() if f != "source"}
    versions["model"] = np.array([f"{m}-0" for m in columns["requested_model"]], dtype=object)
    versions["source"] = np.full(len(hours), "direct", dtype=object)
    seen = {}
    for move in sorted(moves, key=lambda m: m.at_h):
        draw = rng.random(len(known))[user] if move.by == "user" else rng.random(len(hours))
        ramp = np.clip((hours - move.at_h) / move.ramp_h, 0, 1) if move.ramp_h else (hours >= move.at_h).astype(float)
        mask = (draw < move.share * ramp) & _part(move.where, columns)
        seen[move.name] = mask
        if move.shown:
            versions[FIELDS[move.kind]][mask] = move.value or move.name
    return seen, versions


def _part(where: Mapping[str, str], columns: Mapping[str, NDArray[np.object_]]) -> Bools:
    """Rows of one part of the traffic."""
    mask = np.ones(len(columns["task"]), dtype=bool)
    for name, value in where.items():
        mask &= columns[name] == value
    return mask


def _measured(
    rng: np.random.Generator,
    case: Case,
    hours: Floats,
    users: NDArray[np.object_],
    columns: Mapping[str, NDArray[np.object_]],
    seen: Mapping[str, Bools],
    new: Bools,
) -> dict[str, Floats]:
    """The scores: rates wander by 5 % from hour to hour, faults move them for those whom they hit."""
    n = len(hours)
    known, user = np.unique(users, return_inverse=True)
    wander = np.exp(rng.normal(0, 0.05, int(hours.max()) + 2))[hours.astype(int)]
    rates = {m: np.full(n, case.base.get(m, p)) for m, p in RATES.items()}
    for m, p in rates.items():
        odd = p < 0.5
        rates[m] = np.where(odd, p * wander, 1 - (1 - p) * wander)
    shifts = {m: np.zeros(n) for m in NUMBERS}
    for fault in (*case.usual, *case.faults):
        hit = _part(fault.where, columns) & (hours >= fault.at_h)
        hit &= rng.random(len(known))[user] < fault.share
        if fault.of is not None:
            hit &= seen[fault.of]
        if fault.waves_h:
            hit &= (hours - fault.at_h) // fault.waves_h % 2 == 0
        grown = np.clip((hours - fault.at_h) / fault.growth_h, 0, 1) if fault.growth_h else np.ones(n)
        if fault.new_questions:
            hit, grown = hit & new, np.ones(n)
        for metric, level in fault.effects.items():
            if metric in rates:
                rates[metric] = np.where(hit, rates[metric] + grown * (level - rates[metric]), rates[metric])
            else:
                shifts[metric] += hit * grown * level
    touched = USUAL.union(*(f.effects for f in case.faults))
    values = {m: (rng.random(n) < p).astype(float) for m, p in rates.items() if m in touched}
    if "thumbs" in values:
        values["thumbs"][rng.random(n) >= THUMBS_GIVEN] = np.nan
    failed = values["error"] == 1
    for m, (mean, sd) in NUMBERS.items():
        values[m] = np.maximum(0.0, rng.normal(mean, sd, n) + shifts[m])
    for m in ("normalised_match", "groundedness", "retrieval_score", "answer_chars"):
        values[m][failed] = np.nan
    return values


def _questions(rng: np.random.Generator, new: Bools) -> NDArray[np.object_]:
    """Questions of a small pool each; new kinds have their own."""
    old = np.array([f.format(t) for t in TOPICS for f in FRAMES], dtype=object)
    strange = np.array([f.format(t) for t in NEW_TOPICS for f in NEW_FRAMES], dtype=object)
    return np.where(new, rng.choice(strange, len(new)), rng.choice(old, len(new)))


def _change(move: Move) -> Change:
    shown = FIELDS.get(move.kind) if move.shown and move.value is None else None
    return Change(
        id=f"CHG-{move.name}",
        at_us=START_US + int(move.at_h * HOUR_US),
        kind=move.kind,
        title=f"{move.kind} changed: {move.name}",
        app=APP,
        after=move.name if shown else None,
        version_field=shown,
        own=move.own,
    )


def _table(schema: pa.Schema, columns: Mapping[str, NDArray[np.generic]]) -> pa.Table:
    """A table of this schema; columns that are not given are empty."""
    n = len(columns["id"])
    arrays = [
        pa.array(columns[f.name], type=f.type, from_pandas=True) if f.name in columns else pa.nulls(n, f.type)
        for f in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)
