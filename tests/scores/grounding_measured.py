"""Measures groundedness on the data packs, and prints the tables of `docs/methods/groundedness.md`.

Run: ``python tests/scores/grounding_measured.py``.
"""

import hashlib
import re
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from scipy.stats import pearsonr, rankdata, spearmanr

sys.path.insert(0, str(Path(__file__).parent))

from scores_measured import lines_of, rows

from andon.scores import explain_groundedness, groundedness, grounding
from andon.scores.text import _content_words, _normalise, content_words, sentences

Numbers = NDArray[np.float64]
Figure = Callable[[Numbers, Numbers], float]
Line = tuple[str, int, int, str, str, str, str]

RESAMPLES = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One answer with its passages and what people said of it."""

    answer: str
    passages: tuple[str, ...]
    label: float
    """1 and 0 where people said supported or not; else their grade."""
    part: str
    cluster: str
    """What rows share that are not independent: a passage, a conversation, a question."""


def version_1(answer: str, passages: Sequence[str]) -> float | None:
    """The scorer before this one: share of the sentences of which 60 % of the content words stand in one passage."""
    known = [p for text in passages if (p := content_words(text))]
    checked = [w for s in sentences(answer) if len(w := content_words(s)) >= 3]
    if not checked or not known:
        return None
    return float(np.mean([max(len(w & p) / len(w) for p in known) >= 0.6 for w in checked]))


def plain_share(answer: str, passages: Sequence[str]) -> float | None:
    """What anybody computes: the share of the different words of an answer that stand in any of its passages."""
    words = set(re.findall(r"\w+", answer.casefold()))
    held = set(re.findall(r"\w+", " ".join(passages).casefold()))
    return len(words & held) / len(words) if words else None


def dialogue(half: int | None = None) -> list[Judged]:
    """BEGIN: fully attributable or not; 43 generic answers left out. Half 0 is the one by which we chose."""
    return [
        Judged(
            answer=r["response"],
            passages=(r["context"],),
            label=float(r["label"] == "Fully attributable"),
            part=f"{r['domain']}, {r['model']}",
            cluster=r["context"],
        )
        for r in rows("rag-grounded-dialogue/turns.jsonl.gz")
        if r["label"] != "Generic" and half in (None, _half(r["context"]))
    ]


def turns() -> list[Judged]:
    """MTRAG: the mean of up to three grades of faithfulness, 1 to 4."""
    return [
        Judged(
            answer=r["response"],
            passages=tuple(c["text"] for c in r["contexts"]),
            label=r["human_faithfulness_mean"],
            part=f"{r['domain']}, {r['model']}",
            cluster=r["conversation_id"],
        )
        for r in rows("rag-mtrag/human_eval.jsonl.gz")
        if r["contexts"] and r["human_faithfulness_mean"] is not None
    ]


def judges() -> dict[str, list[float]]:
    """MTRAG: what automatic judges said of the same answers."""
    found: dict[str, list[float]] = {}
    for r in rows("rag-mtrag/human_eval.jsonl.gz"):
        if r["contexts"] and r["human_faithfulness_mean"] is not None:
            for name in ("rb_llm", "rl_f", "RougeL", "Bert-KPrec"):
                found.setdefault(name, []).append(r["judge"][name])
    return found


def claims() -> list[Judged]:
    """ExpertQA: a claim, the evidence that it cites, and whether an expert found it fully supported."""
    return [
        Judged(
            answer=r["claim"],
            passages=tuple(r["evidence"]),
            label=float(r["support"] == "Complete"),
            part=r["system"],
            cluster=r["response_id"],
        )
        for r in rows("rag-expertqa/claims.jsonl.gz")
        if r["support"] in ("Complete", "Partial", "Incomplete") and r["evidence"]
    ]


def others(half: int | None = None) -> list[Judged]:
    """RAGTruth has no passages in the pack: the other three models' answers to the same question stand in for them."""
    by_question: dict[str, list[dict]] = {}
    for r in rows("rag-ragtruth/qa_responses.jsonl.gz"):
        by_question.setdefault(r["source_id"], []).append(r)
    return [
        Judged(
            answer=r["response"],
            passages=tuple(o["response"] for o in given if o is not r),
            label=float(not r["hallucinated"]),
            part=r["model"],
            cluster=question,
        )
        for question, given in by_question.items()
        if half in (None, _half(question))
        for r in given
    ]


def spans() -> tuple[int, float]:
    """RAGTruth, as above, claim by claim: (claims, AUC of support against whether a marked span touches the claim)."""
    support, label = [], []
    by_question: dict[str, list[dict]] = {}
    for r in rows("rag-ragtruth/qa_responses.jsonl.gz"):
        by_question.setdefault(r["source_id"], []).append(r)
    for given in by_question.values():
        for r in given:
            for claim in explain_groundedness(r["response"], [o["response"] for o in given if o is not r]):
                start = r["response"].find(claim.text)
                end = start + len(claim.text)
                if start >= 0:
                    support.append(claim.supported)
                    label.append(float(not any(x["start"] < end and x["end"] > start for x in r["labels"])))
    return len(support), auc(np.array(support), np.array(label))


def crude() -> float:
    """RAGTruth: AUC of the share of words that comes with the pack, against the answer's label."""
    known = [r for r in rows("rag-ragtruth/qa_responses.jsonl.gz") if r["response_words_in_context"] is not None]
    share = np.array([r["response_words_in_context"] for r in known])
    return auc(share, np.array([float(not r["hallucinated"]) for r in known]))


def auc(value: Numbers, label: Numbers) -> float:
    """Chance that a supported answer has the higher value, ties counting half."""
    good = label > 0
    n, m = int(good.sum()), int((~good).sum())
    return float((rankdata(value)[good].sum() - n * (n + 1) / 2) / n / m) if n and m else float("nan")


def faithful(value: Numbers, grade: Numbers) -> float:
    """AUC for a mean grade of at least 3 of 4."""
    return auc(value, (grade >= 3).astype(float))


def most_faithful(value: Numbers, grade: Numbers) -> float:
    """AUC for a mean grade of at least 3.5 of 4."""
    return auc(value, (grade >= 3.5).astype(float))


def rank_correlation(value: Numbers, grade: Numbers) -> float:
    """Spearman's."""
    return float(spearmanr(value, grade).statistic)


def correlation(value: Numbers, grade: Numbers) -> float:
    """Pearson's."""
    return float(pearsonr(value, grade).statistic)


def line(name: str, judged: list[Judged], figure: Figure = auc) -> Line:
    """A row of a table (`HEAD`), on answers that groundedness tells; 95 % intervals draw whole clusters."""
    plain, now = (
        np.array([score(j.answer, j.passages) for j in judged], float) for score in (plain_share, groundedness)
    )
    told = np.flatnonzero(~np.isnan(now))
    plain, now = plain[told], now[told]
    label = np.array([judged[n].label for n in told])
    groups: dict[str, list[int]] = {}
    for place, n in enumerate(told):
        groups.setdefault(judged[n].cluster, []).append(place)
    clusters, rng, drawn = list(groups.values()), np.random.default_rng(1), []
    for _ in range(RESAMPLES):
        taken = np.concatenate([clusters[c] for c in rng.integers(0, len(clusters), len(clusters))])
        drawn.append((figure(plain[taken], label[taken]), figure(now[taken], label[taken])))
    draws = np.array(drawn)
    low, high = np.nanpercentile(draws[:, 1], (2.5, 97.5))
    less, more = np.nanpercentile(draws[:, 1] - draws[:, 0], (2.5, 97.5))
    of_plain, of_now = figure(plain, label), figure(now, label)
    first = np.array([version_1(judged[n].answer, judged[n].passages) for n in told], float)
    known = ~np.isnan(first)
    return (
        name,
        len(told),
        len(judged) - len(told),
        f"{figure(first[known], label[known]):.2f}",
        f"{of_plain:.3f}",
        f"{of_now:.3f} ({low:.2f} to {high:.2f})",
        f"{of_now - of_plain:+.3f} ({less:+.3f} to {more:+.3f})",
    )


def by_part(judged: Iterable[Judged], figure: Figure = auc) -> list[Line]:
    """A line for every part with at least five rows of either label."""
    parts: dict[str, list[Judged]] = {}
    for j in judged:
        parts.setdefault(j.part, []).append(j)
    enough = {p: js for p, js in sorted(parts.items()) if 5 <= sum(j.label > 0 for j in js) <= len(js) - 5}
    return [line(part, js, figure) for part, js in enough.items()]


def tried() -> list[tuple[str, str, str]]:
    """What was left out: (what, BEGIN, RAGTruth), each the AUC with the interval of its difference to the formula."""
    weight, keys, numerals = grounding._weight, grounding._keys, {w: str(n) for n, w in enumerate(NUMERALS)}
    left_out: dict[str, dict[str, Any]] = {
        "function words count as any other": {"_weight": lambda _: 1.0},
        "function words count a quarter": {"FUNCTION": 0.25},
        "numbers count double": {"_weight": lambda raw: weight(raw) * (2 if raw[-1].isdigit() else 1)},
        "*eight* is the same as 8": {"_keys": lambda raw: tuple(numerals.get(k, k) for k in keys(raw))},
        "words are the same if their first six letters are": {"_keys": lambda raw: tuple(k[:6] for k in keys(raw))},
        "sentences that decline counted like any other": {"_declines": lambda _: False},
    }
    halves = [(judged, _values(judged)) for judged in (dialogue(0), others(0))]
    found = []
    for name, changes in left_out.items():
        with mock.patch.multiple(grounding, **changes):
            found.append((name, *(_beside(judged, now, _values(judged)) for judged, now in halves)))
    return found


def _values(judged: list[Judged]) -> Numbers:
    grounding._remembered.cache_clear()
    return np.array([groundedness(j.answer, j.passages) for j in judged], float)


def _beside(judged: list[Judged], now: Numbers, other: Numbers) -> str:
    """AUC of other values, and the interval of the difference to the present ones: on rows that both tell, by cluster."""
    told = np.flatnonzero(~np.isnan(now) & ~np.isnan(other))
    label = np.array([j.label for j in judged])
    groups: dict[str, list[int]] = {}
    for n in told:
        groups.setdefault(judged[n].cluster, []).append(n)
    clusters, rng, drawn = list(groups.values()), np.random.default_rng(1), []
    for _ in range(RESAMPLES):
        taken = np.concatenate([clusters[c] for c in rng.integers(0, len(clusters), len(clusters))])
        drawn.append(auc(other[taken], label[taken]) - auc(now[taken], label[taken]))
    less, more = np.nanpercentile(drawn, (2.5, 97.5))
    return f"{auc(other[told], label[told]):.3f} ({less:+.3f} to {more:+.3f})"


def cost() -> list[tuple[str, int, str, str, str]]:
    """(answers, their mean length, their passages', seconds for 1,000 by groundedness, by version 1), each passage new once."""
    found = []
    for name, judged in (("MTRAG", turns()), ("BEGIN", dialogue())):
        seconds = []
        for score in (groundedness, version_1):
            for remembered in (grounding._remembered, grounding._keys, _content_words, _normalise):
                remembered.cache_clear()
            began = time.process_time()
            for j in judged:
                score(j.answer, j.passages)
            seconds.append(f"{(time.process_time() - began) / len(judged) * 1000:.2f}")
        length = round(float(np.mean([len(j.answer) for j in judged])))
        held = round(float(np.mean([sum(map(len, j.passages)) for j in judged])))
        found.append((name, length, str(held), *seconds))
    return found


NUMERALS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
HEAD = ("answers", "n", "not told", "version 1", "plain share", "groundedness", "more than plain")


def page_parts() -> list[str]:
    """Everything on the page that is measured."""
    rated = turns()
    grades = np.array([j.label for j in rated])
    expert = [j for j in claims() if groundedness(j.answer, j.passages) is not None]
    n_spans, spans_auc = spans()
    return [
        lines_of(
            HEAD,
            [
                line("BEGIN, the half by which we chose", dialogue(0)),
                line("BEGIN, the other half", dialogue(1)),
                line("MTRAG, grade at least 3 of 4", rated, faithful),
                line("MTRAG, grade at least 3.5 of 4", rated, most_faithful),
                line("ExpertQA, claims whose evidence has text", expert),
                line("RAGTruth, other answers for passages, our half", others(0)),
                line("RAGTruth, other answers for passages, other half", others(1)),
            ],
        ),
        lines_of(
            HEAD,
            [
                line("MTRAG, Spearman", rated, rank_correlation),
                line("MTRAG, Pearson", rated, correlation),
                *(
                    line(f"Spearman, {part}", [j for j in rated if part in j.part], rank_correlation)
                    for part in ("clapnq", "govt", "ibmcloud", "gpt-4o", "llama-3.1-405b-instruct", "reference")
                ),
            ],
        ),
        lines_of(
            ("judge", "Spearman", "AUC, grade at least 3"),
            [
                (name, f"{rank_correlation(v, grades):.2f}", f"{faithful(v, grades):.2f}")
                for name, v in ((k, np.array(v, dtype=float)) for k, v in judges().items())
            ],
        ),
        lines_of(HEAD, by_part(dialogue(1))),
        lines_of(HEAD, [*by_part(expert), *by_part(others(1))]),
        f"{n_spans:,} claims of RAGTruth, other answers for passages: AUC **{spans_auc:.2f}**",
        f"the share of words that comes with RAGTruth: AUC **{crude():.2f}**",
        lines_of(("what", "BEGIN", "RAGTruth, stand-in"), tried()),
    ]


def _half(key: str) -> int:
    return hashlib.sha256(f"7:{key}".encode()).digest()[0] % 2


if __name__ == "__main__":
    took = lines_of(("answers", "characters", "of passages", "groundedness, s", "version 1, s"), cost())
    print("\n\n".join([*page_parts(), took]))  # noqa: T201
