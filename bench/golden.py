"""Near-duplicates among 100,000 cases: all pairs, one more case, and texts to vectors, beside what a user would run instead."""

import gzip
import json
import os
import random
import re
import resource
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from andon.golden import Case, Failure, Label, near_pairs
from andon.golden.cases import case_id, failure_id, label_id
from andon.golden.run import CaseVectors, add_cases
from andon.scores import Vectors, minilm
from andon.settings import Settings
from andon.store import Ledger
from bench.figures import ROOT, best_s, figure, note, scratch
from bench.peers import ask
from bench.scores import TORCH, weights_folder

__all__ = ["run"]

CASES, COPIES, WIDTH, THRESHOLD = 100_000, 30_000, 384, 0.92
SLICE = 2_048
"""Rows that are compared with all others by a plain matrix product, for the floor and for the recall."""

ADDED, TEXTS = 60, 500
PACKS = Path(os.environ.get("SHARED_DATA", ROOT.parent / "shared" / "data"))
CACHE = ROOT / "bench" / "results"
ASKED = ("text", "query", "question", "question_1", "question_2", "prompt", "utterance", "user", "input")
FAISS, SEMHASH = ("faiss-cpu>=1.9", "numpy>=2"), ("semhash>=0.3",)


def run() -> None:
    """Embedding, all pairs, one more case."""
    note(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    if not minilm.available(Settings()):
        note("nothing was measured: the weights of MiniLM are not installed; run `andon model fetch`")
        return
    texts, vectors = _questions()
    _embedding(texts[:TEXTS])
    with scratch() as folder:
        np.save(folder / "vectors.npy", vectors)
        (folder / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
        _all_pairs(folder, vectors)
    with scratch() as folder:
        _add_one(folder, texts, vectors)
    note(f"load of the machine: {os.getloadavg()[0]:.1f}")


def _questions() -> tuple[list[str], Vectors]:
    """100,000 short texts, 30,000 of them changed copies, with their vectors, which are kept for the next run."""
    texts = _texts()
    named, kept = CACHE / "golden-texts.json", CACHE / "golden-vectors.npy"
    CACHE.mkdir(exist_ok=True)
    if kept.is_file() and named.is_file() and json.loads(named.read_text(encoding="utf-8")) == texts:
        found: Vectors = np.load(kept)
        return texts, found
    note(f"embedding {len(texts):,} texts, which takes minutes, once")
    vectors = minilm.load(Settings()).embed(texts)
    np.save(kept, vectors)
    named.write_text(json.dumps(texts), encoding="utf-8")
    return texts, vectors


def _texts() -> list[str]:
    wanted = CASES - COPIES
    distinct = dict.fromkeys(_asked())
    for text in _sentences():
        if len(distinct) >= wanted:
            break
        distinct.setdefault(text)
    if len(distinct) < wanted:  # without the packs: words at random, which have less structure than questions
        note("the packs of real questions are not here: texts are words at random")
        words = re.findall(r"[a-z]{3,}", (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"))
        dice = random.Random(1)
        while len(distinct) < wanted:
            distinct.setdefault(" ".join(dice.choices(words, k=dice.randrange(6, 14))) + "?")
    texts = list(distinct)[:wanted]
    dice = random.Random(0)
    texts += [_changed(texts[k], dice) for k in dice.sample(range(wanted), COPIES)]
    dice.shuffle(texts)
    return texts


def _asked() -> Iterator[str]:
    """The questions of the packs of real data, where they are."""
    for path in sorted(PACKS.glob("*/*.jsonl*")):
        for row in _rows(path):
            for key, value in row.items() if isinstance(row, dict) else ():
                text = " ".join(value.split()) if key in ASKED and isinstance(value, str) else ""
                if 10 <= len(text) <= 200:
                    yield text


def _sentences() -> Iterator[str]:
    """The short sentences of their answers and passages."""
    for path in sorted([*PACKS.glob("rag-*/*.jsonl*"), *PACKS.glob("feedback-*/*.jsonl*")]):
        for row in _rows(path):
            for text in _strings(row):
                for sentence in re.split(r"(?<=[.!?])\s+", text):
                    short = " ".join(sentence.split())
                    if 20 <= len(short) <= 170:
                        yield short


def _rows(path: Path) -> Iterator[Any]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        yield from map(json.loads, file)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)


def _changed(text: str, dice: random.Random) -> str:
    """A text as somebody else would type it: a word more or less, two letters or two words in the other order."""
    words, way = text.split(), dice.randrange(5)
    if way == 0:
        return f"Please tell me: {text}"
    if way == 1 and len(words) > 2:
        del words[dice.randrange(len(words))]
        return " ".join(words)
    if way == 2:
        k = dice.randrange(len(text) - 1)
        return text[:k] + text[k + 1] + text[k] + text[k + 2 :]
    if way == 3 and len(words) > 2:
        k = dice.randrange(len(words) - 1)
        words[k], words[k + 1] = words[k + 1], words[k]
        return " ".join(words)
    return text.rstrip("?.!") + " please?"


def _embedding(texts: list[str]) -> None:
    embedder = minilm.load(Settings())
    per_s = len(texts) / best_s(lambda: embedder.embed(texts))
    with scratch() as folder:
        (folder / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
        paths = (str(weights_folder()), str(folder / "texts.json"), str(folder / "theirs.npy"))
        peer = ask("sentence-transformers", TORCH, "sentence_transformers_embed.py", *paths)
        if peer is None:
            figure("golden.embed_per_s", per_s, "1/s")
            return
        off = float(np.abs(np.load(folder / "theirs.npy") - embedder.embed(texts)).max())
    figure("golden.embed_per_s", per_s, "1/s", f"sentence-transformers {peer['version']}", peer["per_s"])
    figure("golden.embed_greatest_difference", off, "of a coordinate")


def _all_pairs(folder: Path, vectors: Vectors) -> None:
    """Ours in a process of its own, as the peers are; the floor is one matrix product of the same size."""
    file = str(folder / "vectors.npy")
    command = [sys.executable, "-m", "bench.golden", file, str(folder / "pairs.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    ours = json.loads(done.stdout.splitlines()[-1])
    pairs = np.load(folder / "pairs.npy")
    part = np.random.default_rng(0).choice(len(vectors), SLICE, replace=False)
    product = np.empty((SLICE, len(vectors)), np.float32)
    floor = best_s(lambda: np.matmul(vectors[part], vectors.T, out=product)) * len(vectors) / SLICE
    figure("golden.all_pairs_100k_s", ours["s"], "s", "one SGEMM of 100k x 384 x 100k (by a slice)", floor)
    figure("golden.all_pairs_100k_recall", _recall(pairs, part, product), "of the pairs of 2,048 rows")
    figure(
        "golden.all_pairs_100k_peak_mb", ours["peak_mb"], "MB", "1 GB beside Python and NumPy", 1000 + ours["before_mb"]
    )
    note(f"{len(pairs):,} pairs; {ours['before_mb']:.0f} MB before the vectors were read")
    peer = ask("faiss", FAISS, "faiss_pairs.py", file, str(THRESHOLD))
    if peer is not None:
        figure("golden.all_pairs_100k_s", ours["s"], "s", f"faiss-cpu {peer['version']} IndexFlatIP", peer["s"])
        figure("golden.all_pairs_100k_cpu_s", ours["cpu_s"], "s", "faiss", peer["cpu_s"])
        note(f"faiss found {peer['pairs']:,} pairs")
    peer = ask("semhash", SEMHASH, "semhash_pairs.py", file, str(folder / "texts.json"), str(THRESHOLD))
    if peer is not None:
        figure("golden.all_pairs_100k_s", ours["s"], "s", f"semhash {peer['version']}", peer["s"])
        figure("golden.all_pairs_100k_cpu_s", ours["cpu_s"], "s", "semhash", peer["cpu_s"])
        note(f"semhash kept {peer['kept']:,} of {CASES:,}")


def _recall(pairs: "np.ndarray[Any, Any]", part: "np.ndarray[Any, Any]", product: Vectors) -> float:
    """Share of the pairs that a plain matrix product finds for some rows which are among ours."""
    rows, columns = np.nonzero(product >= THRESHOLD)
    one, other = part[rows], columns
    apart = one != other
    wanted = {(min(a, b), max(a, b)) for a, b in zip(one[apart].tolist(), other[apart].tolist(), strict=True)}
    found = set(map(tuple, pairs.tolist()))
    return len(wanted & found) / len(wanted)


def pairs_of(file: str, out: str) -> None:
    """All pairs of a file of vectors, timed: what the process of its own does."""
    before = _peak_mb()
    vectors = np.load(file)
    seconds, cpu, pairs = [], [], np.empty((0, 2), np.int64)
    for _ in range(3):
        begun, busy = time.perf_counter(), time.process_time()
        parts = [np.stack([one, other], axis=1) for one, other, _ in near_pairs(vectors, THRESHOLD)]
        seconds.append(time.perf_counter() - begun)
        cpu.append(time.process_time() - busy)
        pairs = np.concatenate(parts)
    np.save(out, pairs)
    print(json.dumps({"s": min(seconds), "cpu_s": min(cpu), "before_mb": before, "peak_mb": _peak_mb()}))


def _peak_mb() -> float:
    """The largest memory that this process had so far; `getrusage` would count what its parent had when it was made."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    (line,) = (x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) / 1000


def _add_one(folder: Path, texts: list[str], vectors: Vectors) -> None:
    """One labelled failure after the other joins 100,000 cases, in one process that has them open."""
    ledger = Ledger.open(folder / "ledger.db")
    case = Case(
        question="", answer="I do not know", contexts=("a passage that the answer could draw on",), ground_truth="", id="G",
        source="thumbs-down", failure_reason="a user said that it is wrong", added_date="2026-01-01",
    )  # fmt: skip
    cases = [
        replace(case, id=case_id("default", q, f"answer {k}"), question=q, ground_truth=f"answer {k}")
        for k, q in enumerate(texts)
    ]
    _fill(ledger, folder / "ledger.db", cases)
    embedder = minilm.load(Settings())
    CaseVectors(embedder, folder).add([c.id for c in cases], vectors)
    begun = time.perf_counter()
    open_vectors = CaseVectors(embedder, folder)
    open_vectors.catch_up(ledger)
    figure("golden.open_100k_s", time.perf_counter() - begun, "s")
    times = [_added(ledger, embedder, open_vectors, f"{texts[k]} Or was it {k}?", k) for k in range(ADDED)]
    figure("golden.add_one_ms", statistics.median(times) * 1000, "ms", "the 20 ms that were promised", 20)
    figure("golden.add_one_p95_ms", sorted(times)[round(0.95 * ADDED) - 1] * 1000, "ms")
    begun = time.perf_counter()
    embedder.embed([f"{texts[5]} Or not?"])
    note(f"of this, embedding one question takes {1000 * (time.perf_counter() - begun):.1f} ms")
    failures = [_failure(f"{c.question} {k}") for k, c in enumerate(cases)]
    _fill(ledger, folder / "ledger.db", failures)
    _fill(ledger, folder / "ledger.db", [replace(_label(f), verdict="dismiss", ground_truth="") for f in failures])
    times = [_added(ledger, embedder, open_vectors, f"{texts[k]} And was it {k}?", k) for k in range(3)]
    figure("golden.add_one_beside_100k_handled_failures_ms", statistics.median(times) * 1000, "ms")
    ledger.close()


def _added(ledger: Ledger, embedder: Any, vectors: CaseVectors, question: str, k: int) -> float:
    failure = _failure(question)
    ledger.put(failure, now_us=k, by="bench")
    ledger.put(_label(failure), now_us=k, by="bench")
    begun = time.perf_counter()
    result = add_cases(ledger, embedder, now_us=k, by="bench", vectors=vectors)
    seconds = time.perf_counter() - begun
    if len(result.added) != 1:
        raise SystemExit(f"{len(result.added)} cases were added instead of one: {result.refused[-1:]}")
    return seconds


def _failure(question: str) -> Failure:
    found = failure_id("default", question, "no idea")
    return Failure(id=found, captured_us=0, app="default", question=question, answer="no idea", source="thumbs-down")


def _label(failure: Failure) -> Label:
    return Label(
        id=label_id(failure.id, "ann"),
        failure=failure.id,
        ground_truth=f"because of {failure.id}",
        author="ann",
        at_us=0,
    )


def _fill(ledger: Ledger, path: Path, records: list[Any]) -> None:
    """Write records as the ledger would, in one transaction: the first one tells how the ledger writes them."""
    ledger.put(records[0], now_us=0, by="bench")
    with sqlite3.connect(path) as database:
        kind = type(records[0]).__name__
        (body,) = database.execute(
            "select body from versions where kind = ? and id = ?", (kind, records[0].id)
        ).fetchone()
        known = json.loads(body)
        fields = [name for name in known if isinstance(known[name], str | None) or not known[name]]

        def text(record: Any) -> str:
            row = known | {name: getattr(record, name) for name in fields}
            return json.dumps(row, sort_keys=True, ensure_ascii=False, separators=(",", ":"))

        rows = [(kind, r.id, 1, 0, "bench", text(r)) for r in records[1:]]
        insert = "insert into versions (kind, id, version, at_us, author, body) values (?, ?, ?, ?, ?, ?)"
        database.executemany(insert, rows)


if __name__ == "__main__":
    pairs_of(*sys.argv[1:])
