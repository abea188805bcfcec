"""Measure the scorers on real labelled data, as the tables of `docs/methods/scores.md`.

`python tests/scores/scores_measured.py` prints them; the test beside it compares them with the page.
"""

import gettext
import gzip
import json
import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from andon.scores import SCORERS, answers_match, hashed, is_refusal, refusal_reason
from andon.scores.language import language_of
from andon.settings import Settings
from andon.traffic import Context, Interaction, ToolCall

BY_NAME = {s.name: s for s in SCORERS}
EMBEDDER = hashed.load(Settings())
LABELLED = Path(__file__).parent / "reference" / "refusal_reasons.json"
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

    full, rest = [], []
    for c in rows("rag-expertqa/claims.jsonl.gz"):
        if c["support"] not in ("Complete", "Partial", "Incomplete") or not c["evidence"]:
            continue
        passages = tuple(Context(text=e) for e in c["evidence"])
        i = Interaction(id="c", time_us=0, query=c["question"], answer=c["claim"], contexts=passages)
        value = measure("groundedness", i)
        if value is not None:
            (full if c["support"] == "Complete" else rest).append(value)
    auc = float(mannwhitneyu(full, rest).statistic) / len(full) / len(rest)
    return len(full) + len(rest), len(full), auc, sum(full) / len(full), sum(rest) / len(rest)


def measure(name: str, i: Interaction) -> float | None:
    """The value of one scorer."""
    return BY_NAME[name].score(i, EMBEDDER)


def answers_labelled() -> dict[str, dict[str, tuple[str, str]]]:
    """The answers whose reason of refusal was read and labelled by hand: part -> id -> (label, answer)."""
    labels = json.loads(LABELLED.read_text(encoding="utf-8"))
    texts = {f"{r['prompt_id']}/{r['config']}": r["completion"] for r in rows("refusals-xstest/completions.jsonl.gz")}
    for name in ("sensitive.jsonl", "opinion_survey.jsonl"):
        texts |= {f"{r['query_id']}/{r['model']}": r["answer"] or "" for r in rows(f"drift-llmdrift/{name}")}
    return {
        part: {i: (label, texts[i]) for i, label in found.items()} for part, found in labels.items() if part != "about"
    }


def reasons_by_hand() -> list[tuple[str, int, str, str, str]]:
    """Hand labels: (part, refusals, `cannot` called policy, `should not` called capability, both named, called capability)."""
    made = []
    for part, found in answers_labelled().items():
        said: dict[str, list[str | None]] = defaultdict(list)
        for label, answer in found.values():
            said[label].append(refusal_reason(answer))
        c, p, b = (said[k] for k in "cpb")
        made.append(
            (part, len(found), f"{c.count('policy')} of {len(c)}", f"{p.count('capability')} of {len(p)}",
             f"{b.count('capability')} of {len(b)}")
        )  # fmt: skip
    return made


def reasons_at_large() -> list[tuple[str, int, str, str, str]]:
    """Every answer that is called a refusal: (task, answers, refusals, policy, capability)."""
    answers = {
        "XSTest, unsafe prompts": [r["completion"] for r in _xstest() if r["prompt_is_unsafe"]],
        "XSTest, safe prompts": [r["completion"] for r in _xstest() if not r["prompt_is_unsafe"]],
        "LLMDrift, sensitive": [r["answer"] or "" for r in rows("drift-llmdrift/sensitive.jsonl")],
        "LLMDrift, opinion survey": [r["answer"] or "" for r in rows("drift-llmdrift/opinion_survey.jsonl")],
    }
    made = []
    for name, given in answers.items():
        said = [refusal_reason(a) for a in given]
        policy, capability = said.count("policy"), said.count("capability")
        made.append((name, len(given), str(policy + capability), str(policy), str(capability)))
    return made


def abstentions() -> str:
    """MTRAG: right answers to questions that the documents do not answer say so; how many are found."""
    told = [r for r in rows("rag-mtrag/conversations.jsonl.gz") if r["answerability"] in ("ANSWERABLE", "UNANSWERABLE")]
    said = {
        a: [refusal_reason(r["reference_answer"]) for r in told if r["answerability"] == a]
        for a in ("UNANSWERABLE", "ANSWERABLE")
    }
    none, some = said["UNANSWERABLE"], said["ANSWERABLE"]
    return (
        f"Of {len(none)} answers to unanswerable questions (MTRAG, written by people) {none.count('capability')} are found, and "
        f"{none.count('policy')} are called policy; of {len(some)} answers to answerable ones "
        f"{sum(x is not None for x in some)} is called a refusal"
    )


def formats_in_drift() -> list[tuple[str, int, str, str, str]]:
    """LLMDrift: `format_ok` against the labels, on answers that were not cut."""
    found = []
    for task, name in (("primes, [Yes] or [No]", "prime.jsonl.gz"), ("happy numbers, box", "happy_numbers.jsonl.gz")):
        for r in rows(f"drift-llmdrift/{name}"):
            answer = r["answer"] or ""
            if r["answer_chars"] <= len(answer):
                i = Interaction(id="d", time_us=0, query=r["query"], answer=answer)
                found.append((f"{task}, {r['model']}", measure("format_ok", i) == 1.0, bool(r["format_ok"])))
    return agreement(found)


def markdown_in_code() -> list[tuple[str, int, str, str]]:
    """LLMDrift, code: (model, answers, with Markdown, directly executable by the authors' flag)."""
    by_model: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for r in rows("drift-llmdrift/code.jsonl"):
        i = Interaction(id="c", time_us=0, answer=r["answer"])
        by_model[r["model"]].append((measure("markdown", i) == 1.0, bool(r["correct"])))
    return [
        (model, len(v), f"{sum(m for m, _ in v)} of {len(v)}", f"{sum(x for _, x in v)} of {len(v)}")
        for model, v in sorted(by_model.items())
    ]


def retries_in_agents() -> list[tuple[str, int, str, str]]:
    """tau-bench: (whether a tool was called again with the same arguments, runs, successful, mean number of calls)."""
    runs: dict[float | None, list[tuple[bool, int]]] = defaultdict(list)
    for r in rows("agent-tau-bench/trajectories.jsonl.gz"):
        said = [c for m in r["messages"] for c in m.get("tool_calls") or []]
        i = Interaction(id="t", time_us=0, tool_calls=tuple(_call(c) for c in said))
        runs[measure("tool_retries", i)].append((r["success"], len(said)))
    return [
        (word, len(v), _percent(sum(ok for ok, _ in v), len(v)), f"{sum(n for _, n in v) / len(v):.1f}")
        for word, v in (("no", runs[0.0]), ("yes", runs[1.0]))
    ]


def english_pairs() -> tuple[int, int, int]:
    """English questions and answers of four packs: (language told of both, called a mismatch, pairs)."""
    pairs = [(r["prompt"], r["completion"]) for r in _xstest()]
    pairs += [(r["conversation"][-1]["text"], r["response"]) for r in rows("rag-mtrag/human_eval.jsonl.gz")]
    pairs += [(r["question"], r["claim"]) for r in rows("rag-expertqa/claims.jsonl.gz")]
    for name in ("prime.jsonl.gz", "happy_numbers.jsonl.gz", "sensitive.jsonl"):
        pairs += [(r["query"], r["answer"] or "") for r in rows(f"drift-llmdrift/{name}")]
    said = [measure("language_match", Interaction(id="l", time_us=0, query=q, answer=a)) for q, a in pairs]
    return len(said) - said.count(None), said.count(0.0), len(said)


CATALOGUES = Path("/usr/share/locale")
SPOKEN = {
    "de": "de", "es": "es", "fr": "fr", "it": "it", "pt": "pt", "nl": "nl", "sv": "sv", "da": "da", "nb": "da", "pl": "pl",
    "tr": "tr", "id": "id", "ru": "cyrillic", "uk": "cyrillic", "el": "greek", "hi": "devanagari", "zh_CN": "han",
}  # fmt: skip
"""Languages of the catalogues, and what `language_of` should say."""


def sentences_in(language: str) -> list[str]:
    """Sentences of a language: translations of settings' descriptions on this machine (gettext catalogues), if there are any."""
    made = []
    for domain in ("gsettings-desktop-schemas", "dpkg-dev"):
        path = CATALOGUES / language / "LC_MESSAGES" / f"{domain}.mo"
        if path.is_file():
            with path.open("rb") as opened:
                messages = gettext.GNUTranslations(opened)._catalog  # type: ignore[attr-defined]
            pairs = ((k, v) for k, v in messages.items() if isinstance(k, str) and isinstance(v, str))
            texts = (" ".join(v.split()) for k, v in pairs if k and k != v and "%" not in v)
            made += [t for t in texts if len(t.split()) >= 6 or language == "zh_CN"]
    return made


def told_in(language: str) -> tuple[int, int, int]:
    """(sentences, told, told wrong) of a language, on the catalogues of this machine."""
    said = [language_of(t) for t in sentences_in(language)]
    told = [x for x in said if x is not None]
    return len(said), len(told), sum(x != SPOKEN[language] for x in told)


def languages() -> list[tuple[str, int, str, str]]:
    """(language, sentences, told, of these wrong) on the catalogues of this machine."""
    found = {language: told_in(language) for language in SPOKEN}
    return [(k, n, f"{told / n:.0%}", f"{wrong} of {told}") for k, (n, told, wrong) in found.items() if n]


def _xstest() -> list[dict]:
    return rows("refusals-xstest/completions.jsonl.gz")


def _call(said: dict) -> ToolCall:
    arguments = said["arguments"]
    return ToolCall(name=said["name"], arguments=arguments if isinstance(arguments, str) else json.dumps(arguments))


def lines_of(head: tuple[str, ...], found: Iterable[tuple]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join(lines + [f"| {' | '.join(map(str, row))} |" for row in found])


def table(head: str, found: list[tuple[str, int, str, str, str]], missed: str, false: str) -> str:
    """A Markdown table of agreements."""
    return lines_of((head, "n", "agreement", missed, false), found)


def page_parts() -> list[str]:
    """Everything on the page that is measured."""
    n, full, auc, in_full, elsewhere = groundedness_auc()
    told, mismatches, pairs = english_pairs()
    return [
        table("configuration, prompts", refusals_by_people(), "refusals missed", "answers called refusals"),
        table("variant", refusals_by_phrases(), "refusals missed", "answers called refusals"),
        table("task", refusals_in_drift(), "refusals missed", "answers called refusals"),
        table("task, model", matches_in_drift(), "right answers missed", "wrong answers called right"),
        lines_of(
            (
                "labelled by hand",
                "refusals",
                "cannot, called policy",
                "should not, called capability",
                "both, called capability",
            ),
            reasons_by_hand(),
        ),
        lines_of(("answers", "n", "refusals", "policy", "capability"), reasons_at_large()),
        abstentions(),
        table("task, model", formats_in_drift(), "formats kept, missed", "broken formats called kept"),
        lines_of(("model", "n", "with Markdown", "directly executable"), markdown_in_code()),
        lines_of(("called again", "runs", "successful", "calls"), retries_in_agents()),
        f"{pairs:,} English questions with their answers: told in {told / pairs:.0%}, and {mismatches} of these called a mismatch",
        f"{n:,} claims with evidence, {full} of them fully supported: AUC **{auc:.2f}**, "
        f"mean {in_full:.2f} where fully supported and {elsewhere:.2f} elsewhere.",
    ]


if __name__ == "__main__":
    spoken = lines_of(("language", "sentences", "told", "of these wrong"), languages())
    print("\n\n".join((*page_parts(), spoken)))  # noqa: T201
