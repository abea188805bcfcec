"""Real snapshots of real systems as runs of a golden set, and the gate's word on each pair: `python tests/evals/packs_judged.py DATA`.

The packs hold the outcome of every item, so nothing is asked and nothing scored: what is checked is the verdict.
"""

import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from andon.evals import CaseResult, EvalRun, Verdict, judge

Row = dict[str, Any]

DRIFT = {
    "prime": ("prime.jsonl.gz", "correct"),
    "happy numbers": ("happy_numbers.jsonl.gz", "correct"),
    "code": ("code.jsonl", "correct"),
    "opinion survey": ("opinion_survey.jsonl", "answered"),
    "sensitive": ("sensitive.jsonl", "refused"),
}
"""Task of drift-llmdrift -> its file, and what passes: refusing a sensitive question is right, refusing a survey is not."""


def rows_of(path: Path) -> list[Row]:
    """The rows of a JSONL file, gzipped or not."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def run_of(target: str, results: list[tuple[str, bool, str]]) -> EvalRun:
    """A run from (item, passed, category)."""
    return EvalRun(
        id=f"E-{target}",
        at_us=0,
        target=target,
        golden="g",
        scorers="pack@1",
        results=tuple(
            CaseResult(case_id=item, outcome="pass" if passed else "fail", risk_category=category)
            for item, passed, category in results
        ),
    )


def bfcl(data: Path) -> Iterator[tuple[str, str, EvalRun, EvalRun]]:
    """Each model at three dates; a category of calls stands for the risk category."""
    rows = rows_of(data / "tools-bfcl" / "calls.jsonl.gz")
    runs: dict[tuple[str, str], list[tuple[str, bool, str]]] = {}
    for r in rows:
        runs.setdefault((r["model"], r["snapshot"]), []).append((r["item_id"], r["passed"], r["category"]))
    for before, now in (("2024-07-06", "2024-07-25"), ("2024-07-25", "2024-08-11")):
        for model in sorted({m for m, _ in runs}):
            pair = (run_of(f"{model} {date}", runs[model, date]) for date in (before, now))
            yield f"tools-bfcl {model}", f"{before[5:]} to {now[5:]}", *pair


def llmdrift(data: Path) -> Iterator[tuple[str, str, EvalRun, EvalRun]]:
    """Each task and family in March and in June; and the two families together, where the averages nearly cancel."""
    both: dict[str, list[tuple[str, bool, str]]] = {"2023-03": [], "2023-06": []}
    for task, (name, passes) in DRIFT.items():
        runs: dict[tuple[str, str], list[tuple[str, bool, str]]] = {}
        for r in rows_of(data / "drift-llmdrift" / name):
            passed = not r["refused"] if passes == "answered" else bool(r[passes])
            family = r["model_family"]
            runs.setdefault((family, r["snapshot"]), []).append((r["query_id"], passed, task))
            if task == "prime":
                both[r["snapshot"]].append((f"{family} {r['query_id']}", passed, family))
        for family in sorted({f for f, _ in runs}):
            pair = (run_of(f"{family} {month}", runs[family, month]) for month in both)
            yield f"drift-llmdrift {family}, {task}", "March to June", *pair
    yield "drift-llmdrift both families, prime", "March to June", *(run_of(m, results) for m, results in both.items())


def expertqa(data: Path) -> Iterator[tuple[str, str, EvalRun, EvalRun]]:
    """Two retrieval indexes behind one reader; an answer passes when experts found every claim of it supported. No question has two."""
    rows = rows_of(data / "rag-expertqa" / "answers.jsonl.gz")
    runs: dict[str, list[tuple[str, bool, str]]] = {}
    for r in rows:
        passed = bool(r["n_claims"]) and r["n_claims_fully_supported"] == r["n_claims"]
        runs.setdefault(r["system"], []).append((r["question"], passed, r["risk_tier"]))
    pair = (run_of(system, runs[system]) for system in ("rr_gs_gpt4", "rr_sphere_gpt4"))
    yield "rag-expertqa two indexes, every claim", "google to sphere", *pair


def expertqa_claims(data: Path) -> Iterator[tuple[str, str, EvalRun, EvalRun]]:
    """The same claims, judged twice by the experts: is it supported by what is cited, and is it true?"""
    claims = rows_of(data / "rag-expertqa" / "claims.jsonl.gz")
    known = [c for c in claims if c["support"] != "N/A" and c["correctness"]]
    results = []
    for good in (
        lambda c: c["correctness"] in ("Definitely correct", "Probably correct"),
        lambda c: c["support"] == "Complete",
    ):
        results.append(
            [(f"{c['response_id']} {c['claim_index']}", good(c), c["risk_tier"], c["response_id"]) for c in known]
        )
    runs = []
    for target, each in zip(("true", "supported"), results, strict=True):
        base = run_of(target, [(i, p, t) for i, p, t, _ in each])
        clustered = tuple(
            CaseResult(case_id=i, outcome="pass" if p else "fail", risk_category=t, cluster=answer)
            for i, p, t, answer in each
        )
        runs.append(EvalRun(id=base.id, at_us=0, target=target, golden="g", scorers="pack@1", results=clustered))
    yield "rag-expertqa claims, true against supported", "the same claims", *runs


def judged(data: Path) -> Iterator[tuple[str, str, Verdict]]:
    """The verdict on every pair of snapshots."""
    for pairs in (bfcl, llmdrift, expertqa, expertqa_claims):
        for name, when, before, now in pairs(data):
            yield name, when, judge(now, before)


def row(name: str, when: str, v: Verdict) -> str:
    """One row of the table."""
    whole = [g for g in v.groups if not g.part_of and g.before is not None and g.now is not None]
    n = sum(g.n for g in whole)
    before, now = (sum(g.n * getattr(g, side) for g in whole) / max(1, n) for side in ("before", "now"))
    rates = f"{before:.3f} | {now:.3f}" if whole else "- | -"
    worse = ", ".join(g.name for g in v.groups if g.part_of and g.outcome == "fail") or "-"
    p = "-" if v.p_worse is None else f"{v.p_worse:.2g}"
    return f"| {name} | {when} | {n} | {rates} | {len(v.lost)} | {len(v.gained)} | {p} | {worse} | **{v.outcome}** |"


if __name__ == "__main__":
    for name, when, verdict in judged(Path(sys.argv[1])):
        sys.stdout.write(row(name, when, verdict) + "\n")
