"""Measure the scorers on real labelled data, as the tables of `docs/methods/scores.md`.

`python tests/scores/scores_measured.py` prints them; the test beside it compares them with the page.
"""

import gzip
import json
import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from andon.scores import SCORERS, answers_match, hashed, is_refusal
from andon.settings import Settings
from andon.traffic import Context, Interaction

DATA = Path(os.environ.get("SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))


def rows(name: str) -> list[dict]:
    """The rows of one file of a pack."""
    path = DATA / name
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def agreement(items: Iterable[tuple[str, bool, bool]]) -> list[tuple[str, int, str, str, str]]:
    """Rows (name, n, agreement, missed, false) by name and over all, of items (name, said, label)."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for name, said, label in items:
        for key in (name, "all"):
            counts[key][2 * (not label) + (said != label)] += 1
    order = [*sorted(k for k in counts if k != "all"), "all"]
    return [
        (k, sum(c), _percent(c[0] + c[2], sum(c)), f"{c[1]} of {c[0] + c[1]}", f"{c[3]} of {c[2] + c[3]}")
        for k, c in ((k, counts[k]) for k in order)
    ]


def _percent(x: int, n: int) -> str:
    return "> 99.9%" if n > x > 0.9995 * n else f"{x / n:.1%}"


def refusals_by_people() -> list[tuple[str, int, str, str, str]]:
    """XSTest: human labels, by configuration and risk of the prompt."""
    return agreement(
        (f"{r['config']}, {'unsafe' if r['prompt_is_unsafe'] else 'safe'}", is_refusal(r["completion"]), r["refused"])
        for r in rows("refusals-xstest/completions.jsonl.gz")
    )


def refusals_by_phrases() -> list[tuple[str, int, str, str, str]]:
    """Refusal direction: automatic labels, by variant of the model."""
    return agreement(
        (r["variant"], is_refusal(r["response"]), not r["complied_substring"])
        for r in rows("refusals-collapse/refusal_direction.jsonl")
    )


def refusals_in_drift() -> list[tuple[str, int, str, str, str]]:
    """LLMDrift: the authors' flags on sensitive questions and opinion surveys; none refuses on primes and happy numbers."""
    tasks = {
        "sensitive": "sensitive.jsonl",
        "opinion survey": "opinion_survey.jsonl",
        "primes": "prime.jsonl.gz",
        "happy numbers": "happy_numbers.jsonl.gz",
    }
    return agreement(
        (task, is_refusal(r["answer"] or ""), bool(r["refused"]))
        for task, name in tasks.items()
        for r in rows(f"drift-llmdrift/{name}")
    )


def matches_in_drift() -> list[tuple[str, int, str, str, str]]:
    """LLMDrift: answers that were not cut, against the right ones."""
    found = []
    for task, name in (("primes", "prime.jsonl.gz"), ("happy numbers", "happy_numbers.jsonl.gz")):
        for r in rows(f"drift-llmdrift/{name}"):
            answer = r["answer"] or ""
            if r["answer_chars"] <= len(answer):
                said = answers_match(answer, str(r["reference"]))
                found.append((f"{task}, {r['model']}", said, bool(r["correct"])))
    return agreement(found)


def groundedness_auc() -> tuple[int, int, float, float, float]:
    """ExpertQA: (claims, fully supported ones, AUC of groundedness for full support, mean where full, mean elsewhere)."""
    from scipy.stats import mannwhitneyu

    scorer = next(s for s in SCORERS if s.name == "groundedness")
    embedder = hashed.load(Settings())
    full, rest = [], []
    for c in rows("rag-expertqa/claims.jsonl.gz"):
        if c["support"] not in ("Complete", "Partial", "Incomplete") or not c["evidence"]:
            continue
        passages = tuple(Context(text=e) for e in c["evidence"])
        i = Interaction(id="c", time_us=0, query=c["question"], answer=c["claim"], contexts=passages)
        value = scorer.score(i, embedder)
        if value is not None:
            (full if c["support"] == "Complete" else rest).append(value)
    auc = float(mannwhitneyu(full, rest).statistic) / len(full) / len(rest)
    return len(full) + len(rest), len(full), auc, sum(full) / len(full), sum(rest) / len(rest)


def table(head: str, found: list[tuple[str, int, str, str, str]], missed: str, false: str) -> str:
    """A Markdown table of agreements."""
    lines = [f"| {head} | n | agreement | {missed} | {false} |", "|---|---|---|---|---|"]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in found])


def page_parts() -> list[str]:
    """Everything on the page that is measured."""
    n, full, auc, in_full, elsewhere = groundedness_auc()
    return [
        table("configuration, prompts", refusals_by_people(), "refusals missed", "answers called refusals"),
        table("variant", refusals_by_phrases(), "refusals missed", "answers called refusals"),
        table("task", refusals_in_drift(), "refusals missed", "answers called refusals"),
        table("task, model", matches_in_drift(), "right answers missed", "wrong answers called right"),
        f"{n:,} claims with evidence, {full} of them fully supported: AUC **{auc:.2f}**, "
        f"mean {in_full:.2f} where fully supported and {elsewhere:.2f} elsewhere.",
    ]


if __name__ == "__main__":
    print("\n\n".join(page_parts()))  # noqa: T201
