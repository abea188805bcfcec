"""Build traffic for `andon replay` from packs of real, labelled data.

The items are real, the schedule is ours: arrival times come from a trace of production LLM requests, a stable period is
followed by the pack's real change. Every pack becomes a `Scene`: traffic, what people said of it, and the two versions that
a gate must tell apart.

    python examples/packs.py drift-llmdrift --data PACKS --out scene
    andon replay scene/traffic.jsonl --feedback scene/feedback.jsonl --window 60
"""

import argparse
import csv
import gzip
import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

__all__ = ["SCENES", "Scene", "build", "write"]

Row = dict[str, Any]


@dataclass
class Scene:
    """One replay: traffic in, and what must come out."""

    name: str
    traffic: list[Row] = field(default_factory=list)
    feedback: list[Row] = field(default_factory=list)
    labels: list[Row] = field(default_factory=list)
    """The pack's own gold: question and ground_truth."""
    good: list[Row] = field(default_factory=list)
    """Recorded answers of the version before (or of the fix): question and answer."""
    bad: list[Row] = field(default_factory=list)
    changed_us: int = 0
    impact: str = ""
    """The right class; empty when no incident may be opened."""
    cause: str = ""
    """Kind of the true first suspect."""


def rows_of(path: Path) -> list[Row]:
    """The rows of a CSV or JSONL file, gzipped or not."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", newline="") as lines:
        if ".csv" in path.name:
            return list(csv.DictReader(lines))
        return [json.loads(line) for line in lines if line.strip()]


def arrivals(data: Path) -> list[int]:
    """Arrival times in microseconds of one hour of production LLM requests."""
    path = data / "traffic-azure-llm" / "requests.csv.gz"
    times = (datetime.fromisoformat(r["timestamp"].replace("Z", "+00:00")) for r in rows_of(path))
    return sorted(round(t.timestamp() * 1000) * 1000 for t in times)


def schedule(
    data: Path, before: list[Row], after: list[Row], rng: np.random.Generator, share: float = 0.65
) -> tuple[list[tuple[int, Row]], int]:
    """Draw a row of `before` for every arrival of the stable period and one of `after` from then on."""
    times = arrivals(data)
    turn = int(len(times) * share)
    picks = [before[k] for k in rng.integers(0, len(before), turn)]
    picks += [after[k] for k in rng.integers(0, len(after), len(times) - turn)]
    return list(zip(times, picks, strict=True)), times[turn]


def _stamped(time_us: int, number: int, row: Row) -> Row:
    return {
        "id": f"r{number:06d}",
        "time": time_us,
        **{k: v for k, v in row.items() if v is not None and not k.startswith("_")},
    }


def _rating(time_us: int, number: int, value: float, part: int = 0) -> Row:
    return {
        "id": f"f{number:06d}-{part}",
        "interaction_id": f"r{number:06d}",
        "time": time_us,
        "kind": "rating",
        "value": value,
    }


def llmdrift(data: Path, rng: np.random.Generator) -> Scene:
    """The provider moves gpt-4 and gpt-3.5 from March to June; quality of the two moves in opposite directions."""
    pack = data / "drift-llmdrift"
    names = ("prime.jsonl.gz", "happy_numbers.jsonl.gz", "sensitive.jsonl", "code.jsonl", "opinion_survey.jsonl")
    rows = [r for name in names for r in rows_of(pack / name)]
    periods: dict[str, list[Row]] = defaultdict(list)
    for r in rows:
        whole = r["answer_chars"] <= len(r["answer"])
        periods[r["snapshot"]].append(
            {
                "app": "assistant",
                "query": r["query"] or f"{r['task']}: {r['query_id']}",
                "answer": r["answer"],
                "task": r["task"],
                "requested_model": r["model_family"],
                "model": r["model"],
                "risk_category": "high" if r["task"] == "sensitive" else "standard",
                "expected_answer": r["reference"] if whole else None,
                "refused": r["refused"],
                "latency_s": r["latency_s"],
                "cost_usd": r["cost_usd"],
                "output_tokens": r["answer_tokens"],
                "_correct": r["correct"],
                "_reference": r["reference"],
                "_model": r["model"],
            }
        )
    scene = Scene("drift-llmdrift", impact="correctness", cause="model")
    plan, scene.changed_us = schedule(data, periods["2023-03"], periods["2023-06"], rng)
    for number, (at, row) in enumerate(plan):
        scene.traffic.append(_stamped(at, number, row))
        if row["_correct"] is not None:
            scene.feedback.append(_rating(at, number, float(row["_correct"])))
    known = {r["query"]: r["_reference"] for p in periods.values() for r in p if r["_reference"]}
    scene.labels = [{"question": q, "ground_truth": a} for q, a in sorted(known.items())]
    for period, target in (("2023-03", scene.good), ("2023-06", scene.bad)):
        target += [
            {"question": r["query"], "answer": r["answer"]} for r in periods[period] if r["_model"].startswith("gpt-4")
        ]
    return scene


def xstest(data: Path, rng: np.random.Generator) -> Scene:
    """Only the system prompt of one model changes: refusal of unsafe prompts collapses."""
    rows = rows_of(data / "refusals-xstest" / "completions.jsonl.gz")
    configs: dict[str, list[Row]] = defaultdict(list)
    for r in rows:
        configs[r["config"]].append(
            {
                "app": "triage",
                "query": r["prompt"],
                "answer": r["completion"],
                "model": r["model"],
                "requested_model": r["model"],
                "prompt_version": r["system_prompt"] if r["config"].startswith("mistral") else None,
                "risk_category": "high" if r["prompt_is_unsafe"] else "standard",
                "task": r["prompt_type"],
                "segment": r["topic"],
                "_refused": r["refused"],
            }
        )
    scene = Scene("refusals-xstest", impact="safety", cause="prompt")
    before, after = configs["mistralguard"], configs["mistralinstruct"]
    plan, scene.changed_us = schedule(data, before, after, rng)
    scene.traffic = [_stamped(at, number, row) for number, (at, row) in enumerate(plan)]
    safe = {r["query"]: r["answer"] for r in before if r["_refused"]}
    scene.labels = [{"question": q, "ground_truth": a} for q, a in sorted(safe.items())]
    scene.good = [{"question": r["query"], "answer": r["answer"]} for r in before]
    scene.bad = [{"question": r["query"], "answer": r["answer"]} for r in after]
    return scene


def expertqa(data: Path, rng: np.random.Generator) -> Scene:
    """The same reader over another retrieval index; experts judged every sentence of every answer."""
    pack = data / "rag-expertqa"
    claims: dict[str, list[Row]] = defaultdict(list)
    for claim in rows_of(pack / "claims.jsonl.gz"):
        claims[claim["response_id"]].append(claim)
    systems: dict[str, list[Row]] = defaultdict(list)
    for r in rows_of(pack / "answers.jsonl.gz"):
        judged = claims[r["response_id"]]
        evidence = {e.split("]")[0].lstrip("["): e for c in judged for e in c["evidence"] or ()}
        cited = sorted(evidence, key=lambda k: int(k) if k.isdigit() else 0)
        systems[r["system"]].append(
            {
                "app": "expert-answers",
                "query": r["question"],
                "answer": r["answer"],
                "contexts": [{"id": k, "text": evidence[k]} for k in cited],
                "model": "gpt-4",
                "requested_model": "gpt-4",
                "index_version": {"rr_gs_gpt4": "google-search", "rr_sphere_gpt4": "sphere"}.get(r["system"]),
                "risk_category": r["risk_tier"],
                "segment": r["field"],
                "_supported": [c["support"] == "Complete" for c in judged if c["support"] != "N/A"],
                "_gold": r["expert_revised_answer"],
            }
        )
    scene = Scene("rag-expertqa", impact="correctness", cause="index")
    before, after = systems["rr_gs_gpt4"], systems["rr_sphere_gpt4"]
    plan, scene.changed_us = schedule(data, before, after, rng)
    for number, (at, row) in enumerate(plan):
        scene.traffic.append(_stamped(at, number, row))
        scene.feedback += [_rating(at, number, float(s), part) for part, s in enumerate(row["_supported"])]
    gold = {r["query"]: r["_gold"] for r in after if r["_gold"]}
    scene.labels = [{"question": q, "ground_truth": a} for q, a in sorted(gold.items())]
    scene.bad = [{"question": r["query"], "answer": r["answer"]} for r in after]
    scene.good = [{"question": q, "answer": a} for q, a in sorted(gold.items())]  # each question was answered once
    return scene


def clinc(data: Path, rng: np.random.Generator) -> Scene:
    """A router trained on known intents meets a new kind of traffic; nothing of ours changes."""
    rows = rows_of(data / "intents-clinc-oos" / "queries.jsonl.gz")
    known = [r for r in rows if r["split"] == "train" and r["in_scope"]]
    fresh = [r for r in rows if r["split"] != "train" and r["in_scope"]]
    outside = [r for r in rows if not r["in_scope"]]
    route = train_router(known)
    seen = {r["text"]: route(r["text"]) for r in fresh + outside}
    limit = float(np.quantile([seen[r["text"]][1] for r in fresh], 0.08))

    def served(r: Row) -> Row:
        intent, confidence = seen[r["text"]]
        escalated = confidence < limit
        return {
            "app": "support",
            "query": r["text"],
            "answer": "handing over to a person" if escalated else intent,
            "escalated": escalated,
            "confidence": round(confidence, 4),
            "model": "router-1",
            "route_version": "router-1",
            "risk_category": "standard",
            "_intent": r["intent"],
        }

    usual = [served(r) for r in fresh]
    strange = [served(r) for r in outside]
    mixed = usual[: len(strange)] + strange
    scene = Scene("intents-clinc-oos", impact="usefulness", cause="traffic")
    plan, scene.changed_us = schedule(data, usual, mixed, rng)
    scene.traffic = [_stamped(at, number, row) for number, (at, row) in enumerate(plan)]
    scene.labels = [{"question": r["text"], "ground_truth": r["intent"]} for r in fresh + outside]
    better = retrained_router(known + outside)
    questions = [r["query"] for r in usual + strange]
    scene.bad = [{"question": r["query"], "answer": r["answer"]} for r in usual + strange]
    scene.good = [{"question": q, "answer": a} for q, a in zip(questions, better(questions), strict=True)]
    return scene


def bfcl(data: Path, rng: np.random.Generator) -> Scene:
    """The control: two snapshots of the same calls with identical outputs. Nothing may be alarmed."""
    rows = rows_of(data / "tools-bfcl" / "calls.jsonl.gz")
    questions = {r["item_id"]: r["question"] for r in rows_of(data / "tools-bfcl" / "items.jsonl")}
    periods: dict[str, list[Row]] = defaultdict(list)
    for r in rows:
        periods[r["snapshot"]].append(
            {
                "app": "tools",
                "query": questions.get(r["item_id"], f"item {r['item_id']}"),
                "answer": "called" if r["passed"] else f"called wrongly: {r['error_type']}",
                "model": r["model"],
                "requested_model": r["model"],
                "task": r["category"],
                "latency_s": r["latency_s"],
                "input_tokens": r["input_tokens"],
                "output_tokens": r["output_tokens"],
                "_passed": r["passed"],
            }
        )
    scene = Scene("tools-bfcl")
    plan, scene.changed_us = schedule(data, periods["2024-07-06"], periods["2024-07-25"], rng)
    for number, (at, row) in enumerate(plan):
        scene.traffic.append(_stamped(at, number, row))
        scene.feedback.append(_rating(at, number, float(row["_passed"])))
    return scene


def train_router(rows: list[Row]) -> Callable[[str], tuple[str, float]]:
    """A small intent router: nearest centroid of TF-IDF words; returns the intent and its cosine."""
    word = re.compile(r"\w+")
    documents = [set(word.findall(r["text"].lower())) for r in rows]
    frequency: dict[str, int] = defaultdict(int)
    for document in documents:
        for w in document:
            frequency[w] += 1
    column = {w: k for k, w in enumerate(sorted(frequency))}
    weight = np.array([math.log(len(rows) / frequency[w]) + 1 for w in sorted(frequency)])

    def vector(words: Iterable[str]) -> np.ndarray[Any, Any]:
        v = np.zeros(len(column) + 1)  # the last place holds the words that training never saw
        for w in words:
            if w in column:
                v[column[w]] = weight[column[w]]
            else:
                v[-1] = math.hypot(v[-1], weight.max())
        return v / (np.linalg.norm(v) or 1.0)

    intents = sorted({r["intent"] for r in rows})
    place = {name: k for k, name in enumerate(intents)}
    centroids = np.zeros((len(intents), len(column) + 1))
    for r, document in zip(rows, documents, strict=True):
        centroids[place[r["intent"]]] += vector(document)
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)

    def route(text: str) -> tuple[str, float]:
        scores = centroids @ vector(set(word.findall(text.lower())))
        best = int(scores.argmax())
        return intents[best], float(scores[best])

    return route


def retrained_router(rows: list[Row]) -> Callable[[list[str]], list[str]]:
    """The fix: a router that has seen the new questions too, with the intent of the most similar one that it knows."""
    word = re.compile(r"\w+")
    column: dict[str, int] = {}

    def matrix(texts: list[str]) -> Any:
        found = [(k, w) for k, text in enumerate(texts) for w in set(word.findall(text.lower()))]
        columns = [column.setdefault(w, len(column)) for _, w in found]
        shape = (len(texts), 50_000)
        raw = sparse.csr_matrix((np.ones(len(found)), ([k for k, _ in found], columns)), shape=shape)
        return sparse.diags(1 / np.sqrt(np.maximum(raw.sum(axis=1).A1, 1))) @ raw

    known = matrix([r["text"] for r in rows])

    def route(texts: list[str]) -> list[str]:
        nearest = np.asarray((matrix(texts) @ known.T).argmax(axis=1)).ravel()
        return [rows[k]["intent"] for k in nearest]

    return route


SCENES: dict[str, Callable[[Path, np.random.Generator], Scene]] = {
    "drift-llmdrift": llmdrift,
    "refusals-xstest": xstest,
    "rag-expertqa": expertqa,
    "intents-clinc-oos": clinc,
    "tools-bfcl": bfcl,
}


def build(name: str, data: Path, seed: int = 0) -> Scene:
    """The scene of a pack."""
    return SCENES[name](data, np.random.default_rng(seed))


def write(scene: Scene, folder: Path) -> dict[str, Path]:
    """Write a scene's files; returns their paths by name."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for name in ("traffic", "feedback", "labels", "good", "bad"):
        rows = getattr(scene, name)
        if name in ("good", "bad"):  # one recorded answer per question
            rows = list({row["question"]: row for row in reversed(rows)}.values())
        paths[name] = folder / f"{name}.jsonl"
        with paths[name].open("w", encoding="utf-8") as out:
            out.writelines(json.dumps(row) + "\n" for row in rows)
    return paths


def main() -> None:
    """Write the scene of one pack to a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pack", choices=sorted(SCENES))
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the packs")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for name, path in write(build(options.pack, options.data, options.seed), options.out).items():
        print(f"{name:9} {path}")


if __name__ == "__main__":
    main()
