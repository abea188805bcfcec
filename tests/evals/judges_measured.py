"""Measure judges and case scorers on real labelled data, as the tables of `docs/methods/judge.md`.

`python tests/evals/judges_measured.py` prints them; the test beside it compares them with the page.
"""

import gzip
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
from scipy.stats import norm

from andon.evals import Output, score_case
from andon.evals.agreement import JudgeAgreement, Judged, judge_agreement
from andon.evals.scorers.numbers import NUMERIC
from andon.golden import Case
from andon.stats import Estimate, area_under, cohens_kappa

DATA = Path(os.environ.get("SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
PACKS = ("rag-mtrag", "rag-ragtruth", "drift-llmdrift")

FAITHFUL = 3
"""Mean rating (1 to 4) from which people call an answer faithful."""


def rows(name: str) -> list[dict]:
    """The rows of one file of a pack."""
    with gzip.open(DATA / name, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def mtrag(judge: str) -> list[Judged]:
    """MTRAG's answers: people's mean rating of faithfulness, and a model's score; both as pass or fail."""
    return [
        Judged(
            human=float(np.mean(r["human"]["faithfulness"])) >= FAITHFUL,
            judge=r["judge"][judge] >= 0.5,
            score=r["judge"][judge],
            group=r["model"],
        )
        for r in rows("rag-mtrag/human_eval.jsonl.gz")
    ]


def raters() -> list[Judged]:
    """The first two ratings of each answer, as if the second were a judge."""
    pairs = (r["human"]["faithfulness"] for r in rows("rag-mtrag/human_eval.jsonl.gz"))
    return [Judged(human=a >= FAITHFUL, judge=b >= FAITHFUL, score=b) for a, b, *_ in pairs]


def words() -> list[Judged]:
    """RAGTruth's answers: hallucination as people marked it, and the share of content words that stand in the passages."""
    return [
        Judged(human=not r["hallucinated"], judge=s >= 0.8, score=s)
        for r in rows("rag-ragtruth/qa_responses.jsonl.gz")
        if (s := r["response_words_in_context"]) is not None
    ]


def happy_numbers() -> str:
    """`numeric` on happy numbers whose answer is whole in the pack, against the pack's own mark."""
    found: Counter[tuple[bool, str]] = Counter()
    for r in rows("drift-llmdrift/happy_numbers.jsonl.gz"):
        if r["answer"] is None or r["answer_chars"] > 1200:
            continue
        case = Case(
            question=r["query"], answer=None, contexts=(), ground_truth=r["reference"], source="", failure_reason="",
            added_date="", id="G-0", metric="numeric",
        )  # fmt: skip
        outcome = score_case(case, Output(answer=r["answer"]), {"numeric": NUMERIC}, None).outcome  # type: ignore[arg-type]
        found[r["correct"], outcome] += 1
    right, wrong = found[True, "pass"], found[False, "fail"]
    return f"`numeric` says of {right} right answers pass and of {wrong} wrong ones fail; {found.total() - right - wrong} otherwise."


def _said(share: Estimate | None) -> str:
    if share is None:
        return "-"
    if share.low is None or share.high is None:
        return f"{share.value:.2f}"
    return f"{share.value:.2f} ({share.low:.2f} to {share.high:.2f})"


def _row(name: str, found: JudgeAgreement) -> str:
    wrong = found.judge_only + found.both_fail
    cells = (
        name, str(found.n), _said(found.accuracy), f"{found.chance:.2f}", _said(found.kappa), f"{found.alpha:.2f}",
        f"{found.judge_only} of {wrong}", _said(found.auc),
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def agreement_table() -> str:
    """How far each judge agrees with people."""
    return "\n".join(
        (
            "| judge | answers | accuracy | by chance | kappa | alpha | wrong answers passed | AUC |",
            "|---|---:|---|---|---|---|---|---|",
            _row("MTRAG, judge `rl_f` (faithfulness)", judge_agreement(mtrag("rl_f"))),
            _row("MTRAG, judge `rb_llm` (likeness to a reference)", judge_agreement(mtrag("rb_llm"))),
            _row("MTRAG, a second person", judge_agreement(raters())),
            _row("RAGTruth, share of words in the passages, from 0.8", judge_agreement(words())),
        )
    )


def lean_table() -> str:
    """Pass rate by the judge less pass rate by people, by who gave the answer."""
    found = {j: judge_agreement(mtrag(j)).leans for j in ("rl_f", "rb_llm")}
    groups = sorted(found["rl_f"])
    lines = [f"| {g} | {_points(found['rl_f'][g])} | {_points(found['rb_llm'][g])} |" for g in groups]
    return "\n".join(("| answers of | `rl_f` | `rb_llm` |", "|---|---|---|", *lines))


def _points(share: Estimate) -> str:
    return f"{100 * share.value:+.0f} ({100 * (share.low or 0):+.0f} to {100 * (share.high or 0):+.0f})"


def clustered_line() -> str:
    """The interval of kappa for `rl_f` by drawing whole questions or conversations, beside the formula's."""
    answers, data = mtrag("rl_f"), rows("rag-mtrag/human_eval.jsonl.gz")
    said = []
    for key in ("task_id", "conversation_id"):
        unit = np.unique([r[key] for r in data], return_inverse=True)[1]
        tables = np.zeros((unit.max() + 1, 4), int)
        for place, r in zip(unit, answers, strict=True):
            tables[place, 2 * (not r.human) + (not r.judge)] += 1
        rng = np.random.default_rng(6)
        drawn = (tables[rng.integers(0, len(tables), len(tables))].sum(0) for _ in range(2000))
        found = [k.value for a, c, b, d in drawn if (k := cohens_kappa(int(a), int(b), int(c), int(d))) is not None]
        said.append(f"{np.quantile(found, 0.025):.2f} to {np.quantile(found, 0.975):.2f}")
    return f"drawing whole questions gives {said[0]}, whole conversations (11 of them) {said[1]}"


LAWS = {
    "as `rl_f` above": (207, 23, 8, 23),
    "half of the answers right, 80 % alike": (40, 10, 10, 40),
    "95 % right, 96 % alike": (93, 2, 2, 3),
}


def kappa_table() -> str:
    """How often the 95 % interval of kappa holds the true one."""
    rng = np.random.default_rng(6)
    lines = ["| truth | n = 30 | 50 | 100 | 300 |", "|---|---|---|---|---|"]
    for name, law in LAWS.items():
        p = np.array(law) / sum(law)
        agree, chance = p[0] + p[3], (p[0] + p[1]) * (p[0] + p[2]) + (p[2] + p[3]) * (p[1] + p[3])
        cells = []
        for n in (30, 50, 100, 300):
            drawn = [cohens_kappa(*map(int, c)) for c in rng.multinomial(n, p, 2000)]
            told = [k for k in drawn if k is not None and k.low is not None and k.high is not None]
            held = np.mean([k.low <= (agree - chance) / (1 - chance) <= k.high for k in told])  # type: ignore[operator]
            none = 1 - len(told) / len(drawn)
            cells.append(f"{held:.2f}" + (f" (no interval in {none:.0%})" if none >= 0.005 else ""))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def area_table() -> str:
    """How often the 95 % interval of the AUC holds the true one: normal scores."""
    rng = np.random.default_rng(6)
    sizes = ((20, 20), (200, 20), (215, 46))
    lines = ["| AUC | 20 right, 20 wrong | 200, 20 | 215, 46 |", "|---|---|---|---|"]
    for area in (0.7, 0.9, 0.97):
        shift, cells = np.sqrt(2) * norm.ppf(area), []
        for m, n in sizes:
            drawn = [area_under(rng.normal(shift, 1, m), rng.normal(0, 1, n)) for _ in range(2000)]
            told = [s for s in drawn if s is not None and s.low is not None and s.high is not None]
            cells.append(f"{np.mean([s.low <= area <= s.high for s in told]):.2f}")  # type: ignore[operator]
        lines.append(f"| {area} | {' | '.join(cells)} |")
    return "\n".join(lines)


def page_parts() -> list[str]:
    """Everything on the page that is measured on the packs."""
    return [agreement_table(), lean_table(), clustered_line(), happy_numbers()]


def simulated_parts() -> list[str]:
    """Everything on the page that is simulated."""
    return [kappa_table(), area_table()]


if __name__ == "__main__":
    print("\n\n".join((*page_parts(), *simulated_parts())))  # noqa: T201
