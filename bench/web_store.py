"""A store of ten million interactions over thirty days, for what the page asks: `python -m bench.web_store [FOLDER] [ROWS]`.

Built once and kept: a folder that is whole is used again. The same rows come from the same seed, on every machine. Tables are
written file by file as a service leaves them behind: days compacted, the last hour in small files. Cursors in the ledger say
that all is scored and searched for versions, so `andon serve` on the folder begins at once.
"""

import argparse
import json
import math
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from andon.changes.run import find_versions
from andon.scores import LABELS, score_schema
from andon.scores.records import Scorer
from andon.scores.rows import EVENTS, KEYS
from andon.scores.run import ScoreCursor, installed_scorers
from andon.store import Ledger, Warehouse
from andon.store.rows import conform, stamp
from andon.store.table import append, snapshot
from andon.traffic import SCHEMAS
from andon.traffic.run import FollowUpCursor
from bench.figures import figure, note

__all__ = [
    "APPS",
    "DAYS",
    "END_US",
    "FEEDBACK",
    "PARTS",
    "RARE",
    "RISKS",
    "ROWS",
    "START_US",
    "TASKS",
    "main",
    "web_store",
]

ROWS, FEEDBACK, DAYS = 10_000_000, 100_000, 30
DAY_US = 86_400_000_000
START_US = 1_790_035_200_000_000  # 2026-09-22 00:00 UTC
END_US = START_US + DAYS * DAY_US
FRESH_FILES = 20
"""Small files that the last hour is in."""
RARE = "zephyrgrade"
"""A word that one question in a million holds."""

APPS = (
    "assistant", "billing", "checkout-help", "clinic-triage", "code-review", "contracts", "fraud-model", "hr-desk",
    "knowledge", "research-agent", "support", "translation",
)  # fmt: skip
RISKS = ("low", "medium", "high", "critical")
TASKS = ("answer", "summarise", "extract", "classify", "draft", "plan", "translate", "look up")
PARTS = ("free", "team", "business", "enterprise", "internal")
MODELS = ("large", "small", "reasoning")
TOPICS = 20
_VERSION = "bench-web-3"
_SYLLABLES = (
    "ba", "ce", "di", "fo", "gu", "ha", "je", "ki", "lo", "mu", "na", "pe", "ri", "so", "tu",
    "va", "we", "xi", "yo", "zu", "bran", "cor", "del", "fen", "gar", "hol", "jun", "kel", "mar", "nor",
)  # fmt: skip


class _Words:
    """Phrases of a made-up language with the lengths and the repetition of a real one."""

    def __init__(self, seed: int = 7) -> None:
        rng = np.random.default_rng(seed)
        made = rng.choice(_SYLLABLES, (6_000, 4))
        counts = rng.integers(1, 5, 6_000)
        words = ["".join(row[:n]) for row, n in zip(made, counts, strict=True)]
        common = _rank(rng, (40_000, 3), 6_000)
        lengths = rng.integers(2, 4, 40_000)
        phrases = [" ".join(words[k] for k in row[:n]) for row, n in zip(common, lengths, strict=True)]
        self._phrases = pa.array(phrases, pa.string())

    def texts(self, rng: np.random.Generator, n: int, fewest: int, most: int, end: str) -> pa.Array:
        """`n` texts of between so many phrases."""
        wanted = rng.integers(fewest, most + 1, n)
        columns = []
        for k in range(most):
            picked = np.minimum(rng.integers(0, 40_000, n), rng.integers(0, 40_000, n)).astype(np.int32)
            columns.append(pc.take(self._phrases, pa.array(picked, mask=wanted <= k)))
        joined = pc.binary_join_element_wise(*columns, " ", null_handling="skip")
        return pc.binary_join_element_wise(pc.utf8_capitalize(joined), end, "")


def web_store(folder: Path, rows: int = ROWS, *, plain: bool = False) -> Path:
    """Build the store in `folder`, or leave it as it is when a whole one of that size is there; returns the folder.

    Args:
        folder: where.
        rows: how many interactions.
        plain: fewer kinds of traffic, with some eight thousand charts instead of a hundred thousand.
    """
    mark = folder / "bench.json"
    wanted = {"version": _VERSION, "rows": rows} | ({"plain": True} if plain else {})
    if mark.exists() and json.loads(mark.read_text()) == wanted:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    scorers = installed_scorers()
    schemas = {**SCHEMAS, "scores": score_schema(scorers)}
    begun = time.perf_counter()
    store = Warehouse(folder, schemas)
    words, said = _Words(), min(FEEDBACK, rows // 100)
    seq, done = 0, 0
    for start_us, end_us, count in _files(rows):
        seq += 1
        asked = _interactions(words, np.random.default_rng(seq), start_us, end_us, count, seq)
        asked = _plain(asked) if plain else asked
        feedback = _feedback(asked, np.random.default_rng(10_000 + seq), -(-said * count // rows))
        for name, found in (
            ("interactions", asked),
            ("feedback", feedback),
            ("scores", _scores(asked, feedback, scorers, np.random.default_rng(20_000 + seq))),
        ):
            ready = stamp(conform(name, found, schemas[name]), seq)
            newest = snapshot(store.folder(name))
            assert newest is not None
            append(store.folder(name), newest, ready.sort_by("time_us"), seq)
        done += count
        note(f"{done:,} of {rows:,} rows, {done / (time.perf_counter() - begun):,.0f} a second")
    _settle(folder, store, seq)
    store.close()
    mark.write_text(json.dumps(wanted))
    figure("web_store.rows_per_s", rows / (time.perf_counter() - begun), "1/s")
    figure("web_store.bytes", sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()), "B")
    return folder


def _files(rows: int) -> Iterator[tuple[int, int, int]]:
    """Start, end and rows of each file: one for a day, but the last hour of the last in small ones."""
    last_hour = max(FRESH_FILES, rows // (DAYS * 24))
    sizes = [rows // DAYS] * DAYS
    sizes[-1] += rows - sum(sizes) - last_hour
    hour = END_US - DAY_US // 24
    for day, size in enumerate(sizes):
        yield START_US + day * DAY_US, min(START_US + (day + 1) * DAY_US, hour), size
    for k in range(FRESH_FILES):
        size = last_hour // FRESH_FILES + (k < last_hour % FRESH_FILES)
        ends = [hour + (END_US - hour) * at // FRESH_FILES for at in (k, k + 1)]
        yield ends[0], ends[1], size


def _interactions(words: _Words, rng: np.random.Generator, start_us: int, end_us: int, n: int, seq: int) -> pa.Table:
    at = (np.arange(n) + rng.random(n)) / n
    at = at - 0.1 * np.sin(2 * math.pi * at)  # fewer at night
    times = start_us + (np.clip(at, 0, 1 - 1e-9) * (end_us - start_us)).astype(np.int64)
    ids = _hex(rng, n)
    app = np.minimum(rng.geometric(0.22, n), len(APPS)) - 1
    session = (np.arange(n) + rng.integers(0, 40, n)) // 4  # about four turns, side by side
    week = ((times - START_US) // (7 * DAY_US)).astype(np.int64)
    rag, agent, classic = app % 3 == 0, app == APPS.index("research-agent"), app == APPS.index("fraud-model")
    failed = rng.random(n) < 0.012
    question = words.texts(rng, n, 3, 6, "?")
    asks = [(rng.random(n) < 0.15, f" Order {{}}-{seq}"), (rng.random(n) < 1e-6, f" {RARE}")]
    asks[1][0][: int(seq % 3 == 0)] = True
    for some, text in asks:
        tail = pa.array([text.format(k) for k in np.flatnonzero(some)], pa.string())
        question = pc.replace_with_mask(
            question, pa.array(some), pc.binary_join_element_wise(question.filter(pa.array(some)), tail, "")
        )
    latency = np.round(rng.gamma(2.0, 0.6, n), 3)
    columns: dict[str, Any] = {
        "id": ids,
        "time_us": times,
        "app": _named(APPS, app),
        "environment": _named(("production", "staging"), (rng.random(n) < 0.04).astype(int)),
        "session_id": _numbered("s", session, seq),
        "user_id": _numbered("u", _rank(rng, n, 200_000)),
        "trace_id": ids,
        "query": _without(question, classic),
        "answer": _without(words.texts(rng, n, 12, 22, "."), failed | classic),
        "contexts": _contexts(words, rng, rag),
        "tool_calls": _tool_calls(rng, agent),
        "provider": _named(("north", "south"), app % 2),
        "model": _named([f"{m}-{v}" for m in MODELS for v in (1, 2)], rng.integers(0, 3, n) * 2 + (week > 2)),
        "requested_model": _named(MODELS, rng.integers(0, 3, n)),
        "prompt_version": _named([f"p{k}" for k in range(8)], week + (app % 3)),
        "policy_version": _named(("2026-08", "2026-10"), (week > 1).astype(int)),
        "code_version": _named([f"1.{k}.0" for k in range(10)], (times - START_US) // (3 * DAY_US)),
        "source": _named(("web", "mobile", "api", "partner"), rng.integers(0, 4, n)),
        "risk_category": _named(RISKS, np.minimum(rng.geometric(0.5, n), 4) - 1),
        "task": _named(TASKS, rng.integers(0, len(TASKS), n)),
        "segment": _named(PARTS, rng.integers(0, len(PARTS), n)),
        "attributes": pa.array(["{}"] * n, pa.string()),
        "features": pa.array(["{}"] * n, pa.string()),
        "error": pa.array(np.where(failed, "timeout", None), pa.string()),
        "finish_reason": _named(("stop", "length"), (rng.random(n) < 0.02).astype(int)),
        "refused": pa.array(rng.random(n) < 0.03),
        "latency_s": latency,
        "first_token_s": np.round(latency * 0.3, 3),
        "input_tokens": rng.integers(80, 2_000, n),
        "output_tokens": rng.integers(20, 400, n),
        "cost_usd": np.round(latency * 0.002, 5),
        "prediction": pa.array(np.where(classic, np.where(rng.random(n) < 0.03, "fraud", "fine"), None), pa.string()),
        "weight": np.ones(n),
    }
    return pa.table(columns)


def _plain(asked: pa.Table) -> pa.Table:
    """Four applications with four tasks and two categories of risk, one environment, one model, no segments."""
    for name, names, few in (("app", APPS, 4), ("task", TASKS, 4), ("risk_category", RISKS, 2)):
        which = pc.index_in(asked[name], pa.array(names)).to_numpy() % few
        asked = asked.set_column(asked.column_names.index(name), name, _named(names, which))
    for name, value in (
        ("environment", "production"),
        ("requested_model", "large"),
        ("segment", None),
        ("source", None),
    ):
        asked = asked.set_column(asked.column_names.index(name), name, pa.array([value] * len(asked), pa.string()))
    return asked


def _contexts(words: _Words, rng: np.random.Generator, rag: np.ndarray[Any, Any]) -> pa.Array:
    some = 2 * int(rag.sum())
    parts = [
        words.texts(rng, some, 8, 10, "."), _numbered("doc", rng.integers(0, 5_000, some)),
        pa.array(np.round(rng.beta(5, 2, some), 3)),
    ]  # fmt: skip
    structs = pa.StructArray.from_arrays(parts, fields=list(SCHEMAS["interactions"].field("contexts").type.value_type))
    return pa.ListArray.from_arrays(_offsets(2 * rag), structs)


def _tool_calls(rng: np.random.Generator, agent: np.ndarray[Any, Any]) -> pa.Array:
    some = int(agent.sum())
    failed = rng.random(some) < 0.05
    parts = [
        _named(("search", "read_file", "run_query"), rng.integers(0, 3, some)),
        pa.array([f'{{"page": {k}}}' for k in rng.integers(0, 500, some)], pa.string()),
        pa.array(np.where(failed, None, "42 rows"), pa.string()),
        pa.array(np.where(failed, "timeout", None), pa.string()),
    ]
    structs = pa.StructArray.from_arrays(
        parts, fields=list(SCHEMAS["interactions"].field("tool_calls").type.value_type)
    )
    return pa.ListArray.from_arrays(_offsets(agent.astype(int)), structs)


def _feedback(asked: pa.Table, rng: np.random.Generator, n: int) -> pa.Table:
    n = min(n, asked.num_rows)
    about = np.sort(rng.choice(asked.num_rows, n, replace=False))
    kind = rng.integers(0, 4, n)
    up = rng.random(n) < 0.7
    return pa.table(
        {
            "id": _hex(rng, n),
            "interaction_id": asked["id"].take(pa.array(about)),
            "time_us": asked["time_us"].to_numpy()[about] + rng.integers(10_000_000, DAY_US, n),
            "kind": _named(("thumb", "thumb", "rating", "follow_up"), kind),
            "value": pa.array(np.where(kind < 2, up, np.round(rng.random(n), 1)), mask=kind == 3),
            "text": pa.array(np.where(up, None, "this is not what I asked for"), pa.string()),
            "author": _numbered("u", rng.integers(0, 2_000, n)),
            "scope": pa.array(["interaction"] * n),
            "source": pa.array(["human"] * n),
        }
    )


def _scores(asked: pa.Table, feedback: pa.Table, scorers: list[Scorer], rng: np.random.Generator) -> pa.Table:
    n = asked.num_rows
    keys = {k: asked[k] for k in KEYS if k in asked.column_names}
    columns: dict[str, Any] = {
        "id": pc.binary_join_element_wise(asked["id"], "0123456789ab", "/"),
        "time_us": asked["time_us"],
        "interaction_id": asked["id"],
        "weight": np.ones(n),
        "scorers": pa.array(["0123456789ab"] * n),
        **keys,
        "topic": _named([f"t{k}" for k in range(TOPICS)], rng.integers(0, TOPICS, n)),
        "query_novelty": np.round(rng.beta(2, 5, n), 3),
        **dict.fromkeys(EVENTS, np.zeros(n)),
    }
    for k, scorer in enumerate(scorers):
        if scorer.kind == "binary":
            values = (rng.random(n) < (0.03 if scorer.bad != "down" else 0.94)).astype(float)
        else:
            values = np.round(rng.beta(5, 2, n) if scorer.bad == "down" else rng.gamma(2.0, 50.0, n), 2)
        columns[scorer.name] = pa.array(values, mask=rng.random(n) < (k % 5) / 6)
    people = feedback.filter(pc.not_equal(feedback["kind"], "follow_up"))
    rows = pc.index_in(people["interaction_id"], asked["id"].combine_chunks())
    thumb = pc.equal(people["kind"], "thumb")
    given: dict[str, Any] = {
        "id": pc.binary_join_element_wise("feedback", people["id"], "/"),
        "time_us": people["time_us"],
        "interaction_id": people["interaction_id"],
        "weight": np.ones(people.num_rows),
        "scorers": pa.array(["people"] * people.num_rows, pa.string()),
        **{k: column.take(rows) for k, column in keys.items()},
        "thumbs": pc.if_else(thumb, people["value"], None),
        "rating": pc.if_else(thumb, None, people["value"]),
    }
    assert set(given) - {"id"} <= {*columns, *LABELS, "weight", "scorers"}
    return pa.concat_tables([pa.table(columns), pa.table(given)], promote_options="default")


def _settle(folder: Path, store: Warehouse, seq: int) -> None:
    """Leave behind what a loop that has seen all of it leaves: cursors, and the versions that traffic showed."""
    ledger = Ledger.open(folder / "ledger.db")
    ledger.put(ScoreCursor(id="scores", seq=seq, feedback_seq=seq), now_us=END_US, by="bench")
    ledger.put(FollowUpCursor(seq=seq), now_us=END_US, by="bench")
    find_versions(store, ledger, now_us=END_US)
    ledger.close()


def _rank(rng: np.random.Generator, shape: Any, most: int) -> Any:
    """Ranks below `most` of which the k-th comes about 1 / k times as often as the first."""
    return np.exp(rng.random(shape) * math.log(most)).astype(np.int64) - 1


def _hex(rng: np.random.Generator, n: int) -> pa.Array:
    """Ids of 32 hexadecimal digits, as traces have."""
    text = pa.py_buffer(rng.bytes(16 * n).hex().encode())
    return pa.Array.from_buffers(pa.string(), n, [None, pa.py_buffer(np.arange(n + 1, dtype=np.int32) * 32), text])


def _named(names: Any, which: Any) -> pa.Array:
    return pc.take(pa.array(list(names), pa.string()), pa.array(np.asarray(which, dtype=np.int64)))


def _numbered(prefix: str, numbers: Any, within: int | None = None) -> pa.Array:
    parts = [
        f"{prefix}{'' if within is None else within}-",
        pa.array(np.asarray(numbers, dtype=np.int64)).cast(pa.string()),
    ]
    return pc.binary_join_element_wise(*parts, "")


def _without(texts: pa.Array, none: Any) -> pa.Array:
    return pc.if_else(pa.array(none), None, texts)


def _offsets(counts: Any) -> pa.Array:
    return pa.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))


def main(words: list[str]) -> int:
    """Build the store, or say that it is there."""
    parser = argparse.ArgumentParser(prog="python -m bench.web_store")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(tempfile.gettempdir()) / "andon-bench-web")
    parser.add_argument("rows", nargs="?", type=int, default=ROWS)
    given = parser.parse_args(words)
    print(web_store(given.folder, given.rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
