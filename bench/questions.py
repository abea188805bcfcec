"""The four questions of an incident, over twenty million scored interactions: how long until all are answered?

The store is built as operation leaves it (files in the order of time, every row with its hash), with texts, users, sessions
and versions of ordinary size. One prompt version, served to half of the users, refuses one task. Building it takes minutes
and is not timed; it is deleted at the end.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from andon.changes import Change
from andon.incidents import Incident
from andon.incidents.run import respond
from andon.investigations import Investigation
from andon.investigations.run import investigate
from andon.monitors import Signal
from andon.scores import SCORERS, hashed, score_schema
from andon.settings import Settings
from andon.store import Ledger, Place, Warehouse
from andon.store import table as delta
from andon.store.rows import conform, stamp, stored_schema
from andon.traffic import SCHEMAS
from bench.figures import figure, note, scratch

__all__ = ["run"]

ROWS, CHUNK = 20_000_000, 400_000
DAY_US = 86_400_000_000
START_US, DAYS = 1_788_220_800_000_000, 28
ONSET_US = START_US + 26 * DAY_US
USERS, SESSIONS, QUESTIONS = 300_000, 5_000_000, 20_000
TASKS, SEGMENTS, TOPICS = 12, 25, 40
BAD_TASK, BASE, BAD = "task03", 0.03, 0.4
"""Refusals everywhere, and of the bad task under the new prompt."""

RELEASES = {25: "v8", 26: "v9"}
"""Days on which a prompt version began; `v9` is the bad one, for every second user."""

Floats = NDArray[np.float64]


def run(rows: int = ROWS, keep: Path | None = None) -> None:
    """Build the store, answer the four questions, print how long it took.

    Args:
        rows: how many interactions.
        keep: a folder in which the store stays, for another run; None builds it anew and deletes it.
    """
    if keep is not None:
        _measure(keep, rows)
        return
    with scratch() as folder:
        _measure(folder, rows)


def _measure(folder: Path, rows: int) -> None:
    built = (folder / "built").exists()
    warehouse = Warehouse(folder, {**SCHEMAS, "scores": score_schema(SCORERS)})
    if not built:
        begun = time.perf_counter()
        for start in range(0, rows, CHUNK):
            _write(folder, _drawn(start, min(CHUNK, rows - start), rows), start // CHUNK + 1)
        (folder / "built").touch()
        note(f"{rows:,} interactions and scores written in {time.perf_counter() - begun:.0f} s")
    ledger = Ledger("sqlite://")
    incident = _incident(ledger)
    with _steps(warehouse) as steps:
        begun, busy = time.perf_counter(), time.process_time()
        found = investigate(
            warehouse,
            ledger,
            incident,
            hashed.load(Settings()),
            now_us=START_US + DAYS * DAY_US,
            rng=np.random.default_rng(1),
        )
        seconds, busy = time.perf_counter() - begun, time.process_time() - busy
    _tell(found, steps, seconds, busy)
    figure(f"incidents.four_questions_{rows // 1_000_000}m_s", seconds, "s")
    warehouse.close()
    ledger.close()


def _tell(found: Investigation, steps: "list[tuple[str, float]]", seconds: float, busy: float) -> None:
    """What was found, and where the time went."""
    note(f"{seconds:.1f} s on {len(os.sched_getaffinity(0))} CPUs, {busy:.1f} s of CPU time; the rest is waiting")
    note(f"of the CPU time {sum(s for _, s in steps):.1f} s are in {len(steps)} plans:")
    for what, spent in sorted(steps, key=lambda s: -s[1])[:12]:
        note(f"  {spent:6.2f} s  {what}")
    note(f"verdict: {found.verdict}: {found.verdict_reason}")
    note(f"first suspect: {found.suspects[0].title} ({found.suspects[0].probability:.2f})")
    for s in found.slices[:3]:
        note(f"slice: {s.where}: {s.after_x} of {s.after_n}, {s.share:.2f} of the excess")
    note(f"impact: {found.impact}")
    right = bool(found.slices) and {"task": BAD_TASK, "prompt_version": "v9"}.items() <= found.slices[0].where.items()
    if found.verdict != "systematic" or not right:
        raise SystemExit("the planted failure was not found, so how long it took means nothing")


@contextmanager
def _steps(warehouse: Warehouse) -> "Iterator[list[tuple[str, float]]]":
    """CPU seconds of each plan that is run meanwhile."""
    steps: list[tuple[str, float]] = []
    run_plan = warehouse.run

    def timed(plan: Any) -> pa.Table:
        begun = time.process_time()
        answer = run_plan(plan)
        keys = getattr(plan, "keys", getattr(plan, "columns", ()))
        asked = f"{type(plan).__name__} of {plan.table} by {', '.join(keys[:4])}{' ...' if len(keys) > 4 else ''}"
        steps.append((f"{asked}: {answer.num_rows:,} rows", time.process_time() - begun))
        return answer

    warehouse.run = timed  # type: ignore[method-assign]
    try:
        yield steps
    finally:
        warehouse.run = run_plan  # type: ignore[method-assign]


def _incident(ledger: Ledger) -> Incident:
    """The signal that the chart of refusals would give, and the log of changes: the guilty one among ordinary ones."""
    hour = 3_600_000_000
    lead = Signal(
        id="shop/production/refusal.up/all@1",
        monitor="shop/production/refusal.up/all",
        app="shop",
        environment="production",
        metric="refusal",
        direction="up",
        at_us=ONSET_US + 2 * hour,
        window_us=300_000_000,
        x=2_600,
        n=59_500,
        baseline_x=540_000,
        baseline_n=18_000_000,
        baseline_from_us=START_US,
        baseline_to_us=ONSET_US - 6 * hour,
        statistic=2e4,
        threshold=1e4,
        onset_us=ONSET_US,
        onset_low_us=ONSET_US - hour,
        onset_high_us=ONSET_US + hour,
        onset_probability=((ONSET_US - hour, 0.2), (ONSET_US, 0.6), (ONSET_US + hour, 0.2)),
    )
    guilty = Change(id="prompt-v9", at_us=ONSET_US, kind="prompt", title="prompt v9", app="shop")
    guilty = replace(guilty, version_field="prompt_version", before="v8", after="v9")
    changes = [guilty]
    for day in range(DAYS):
        code = Change(id=f"code-{day}", at_us=START_US + day * DAY_US, kind="code", title=f"release {day}", app="shop")
        changes.append(replace(code, version_field="code_version", before=f"c{day - 1:02d}", after=f"c{day:02d}"))
    for k in range(20):
        at_us = START_US + k * DAYS * DAY_US // 20
        changes.append(Change(id=f"config-{k}", at_us=at_us, kind="config", title=f"setting {k}", app="shop"))
    for change in changes:
        ledger.put(change, now_us=change.at_us, by="bench")
    ledger.put(lead, now_us=lead.at_us, by="bench")
    return respond(ledger, [lead])[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    """Columns that both tables share, and those of either."""

    shared: dict[str, Any]
    interactions: dict[str, Any]
    scores: dict[str, Any]


def _drawn(start: int, k: int, rows: int) -> _Drawn:
    """The rows ``start`` to ``start + k`` of a stream that is even in time."""
    rng = np.random.default_rng(start)
    time_us = START_US + np.arange(start, start + k) * (DAYS * DAY_US // rows)
    day = (time_us - START_US) // DAY_US
    user = (USERS * rng.random(k) ** 2).astype(np.int64)  # some ask much more often than others
    task, segment, topic = (rng.integers(0, m, k) for m in (TASKS, SEGMENTS, TOPICS))
    old = np.where(day < 25, "v7", "v8")
    prompt = np.where((day >= 26) & (user % 2 == 0), "v9", old)
    refused = rng.random(k) < np.where((prompt == "v9") & (task == 3), BAD, BASE)
    digits = rng.bytes(16 * k).hex()
    ids = pa.array([digits[32 * i : 32 * i + 32] for i in range(k)])
    question = rng.integers(0, QUESTIONS, k)
    shared = {
        "id": ids,
        "time_us": time_us,
        "app": _constant("shop", k),
        "environment": _constant("production", k),
        "risk_category": _named("", np.array(["low", "standard", "high"])[rng.integers(0, 3, k)]),
        "task": _named("task", task, 2),
        "segment": _named("segment", segment, 2),
        "provider": _constant("provider", k),
        "requested_model": _constant("model", k),
        "model": _named("", np.where(rng.random(k) < 0.8, "model-large", "model-small")),
        "prompt_version": _named("", prompt),
        "policy_version": _constant("p1", k),
        "index_version": _named("i", day // 7, 2),
        "code_version": _named("c", day, 2),
        "user_id": _named("user", user, 6),
        "session_id": _named("session", user * (SESSIONS // USERS) + rng.integers(0, SESSIONS // USERS, k), 7),
        "weight": np.ones(k),
    }
    queries = _named("How do I change the delivery address of an order that has left the shop, case ", question, 5)
    answer = np.where(
        refused, "I'm sorry, but I can't help with that.", "Open your order, choose the address and save."
    )
    numbers = {"latency_s": rng.gamma(2.0, 0.4, k), "cost_usd": rng.gamma(2.0, 0.001, k)}
    interactions = {
        "query": queries,
        "answer": pc.binary_join_element_wise(pa.array(answer), " Reference: ", ids, ""),
        "refused": refused,
        "input_tokens": rng.integers(200, 4_000, k),
        "output_tokens": rng.integers(20, 800, k),
        **numbers,
    }
    scores = {
        "interaction_id": ids,
        "scorers": _constant("bench", k),
        "topic": _named("topic", topic, 2),
        "error": (rng.random(k) < 0.01).astype(float),
        "refusal": refused.astype(float),
        "groundedness": rng.beta(8, 2, k),
        "retrieval_score": rng.beta(6, 3, k),
        "context_used": (rng.random(k) < 0.9).astype(float),
        "input_tokens": interactions["input_tokens"].astype(float),
        "output_tokens": interactions["output_tokens"].astype(float),
        **numbers,
    }
    return _Drawn(shared=shared, interactions=interactions, scores=scores)


def _constant(text: str, k: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(np.zeros(k, np.int32), [text]).cast(pa.string())


def _named(prefix: str, values: NDArray[Any], digits: int = 0) -> pa.Array:
    """Each value with a prefix, as text."""
    kinds, at = np.unique(values, return_inverse=True)
    names = [f"{prefix}{v:0{digits}d}" if digits else f"{prefix}{v}" for v in kinds.tolist()]
    return pa.DictionaryArray.from_arrays(at.astype(np.int32), names).cast(pa.string())


def _write(folder: Path, drawn: _Drawn, seq: int) -> None:
    """One file of each table, straight into the tables: journal and the search for repeated ids are timed elsewhere."""
    schemas = {"interactions": SCHEMAS["interactions"], "scores": score_schema(SCORERS)}
    for name, own in (("interactions", drawn.interactions), ("scores", drawn.scores)):
        rows = conform(name, pa.table({**drawn.shared, **own}), schemas[name])
        place = Place(folder / "tables" / name)
        found = delta.snapshot(place)
        assert found is not None
        delta.append(place, found, stamp(rows, seq).select(stored_schema(schemas[name]).names), seq)
