"""Corpus and freshness drift: did retrieval become poorer, and is it retrieval or generation that harms?"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
import scipy
from numpy.typing import NDArray

from andon import stats
from andon.investigations.records import Analysis
from andon.investigations.silent import compare_sides, side_of
from andon.monitors.verdicts import p_text, percent
from andon.scores.text import content_words
from andon.traffic import Interaction

__all__ = [
    "Blame",
    "age_days",
    "corpus_drift",
    "coverage",
    "own_passage",
    "retrieval_or_generation",
    "unseen_documents",
]

Judged = tuple[Interaction, bool]
Floats = NDArray[np.float64]
Verdict = Literal["retrieval", "generation", "both", "cannot tell"]

FEWEST = 40
"""Interactions on a side below which retrieval and generation are not told apart."""

STRATA = 12
"""Kinds of retrieval that are compared with each other: twelfths of all passages' quality, and "nothing retrieved"."""

OVERLAP = 0.1
"""Where fewer than this share of the smaller side have counterparts of equal retrieval, none are compared."""

MATERIAL = 0.2
"""A part that brings less than this share of the rise is not named."""

SUPPORTED = 0.6
"""A passage holds the expected answer when this share of its content words stands in it."""

_DATE = re.compile(r"\b(20\d\d|19\d\d)-(\d\d)-(\d\d)(?!\d)")
_HEAD = 200
"""Characters of a passage in which its date is looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blame:
    """Whether the rise of harm goes with poorer passages, or with other answers from equal ones."""

    verdict: Verdict
    by_retrieval: float
    """Rise of the rate of harm that poorer passages bring by themselves; 0 where it cannot be told."""
    by_generation: float
    """Rise at equal quality of the passages."""
    measure: str
    """What stands for the quality of the passages: ``retrieval score``, or ``coverage`` (`coverage`)."""
    text: str
    rows: tuple[tuple[str, ...], ...] = ()


def coverage(i: Interaction) -> float | None:
    """Share of the question's content words that stand in its best passage; None without a question or passages."""
    asked = content_words(i.query or "")
    if not asked or not i.contexts:
        return None
    return max(len(asked & content_words(c.text)) / len(asked) for c in i.contexts)


def own_passage(i: Interaction) -> bool | None:
    """Whether a passage holds the expected answer (60 % of its content words); None where either is not known."""
    wanted = content_words(i.expected_answer or "")
    if not wanted or not i.contexts:
        return None
    return any(len(wanted & content_words(c.text)) >= SUPPORTED * len(wanted) for c in i.contexts)


def age_days(i: Interaction) -> float | None:
    """Age of the newest passage in days, by the date (``2026-03-01``) in its id or at its beginning; None without one."""
    asked = date.fromordinal(date(1970, 1, 1).toordinal() + i.time_us // 86_400_000_000)
    found = []
    for c in i.contexts:
        for year, month, day in _DATE.findall(f"{c.id or ''} {c.text[:_HEAD]}"):
            try:
                found.append((asked - date(int(year), int(month), int(day))).days)
            except ValueError:  # no day of any calendar
                continue
    return float(min(found)) if found else None


def retrieval_or_generation(before: Sequence[Judged], after: Sequence[Judged]) -> Blame:
    """Is harm higher because passages are poorer, or at equal passages?

    The interactions of both sides are put into twelfths by the quality of their passages (mean retrieval score; where scores
    are not sent, `coverage`), those that retrieved nothing apart. With shares w and rates of harm p of these kinds of
    retrieval, before (0) and since (1),

        retrieval = sum (w1 - w0) p0,     generation = sum w1 (p1 - p0)

    with the intervals of `andon.stats.explained_by_mix`. The verdict names a part whose 95 % interval lies above 0 and that
    brings at least a fifth of the rise; alone, if the other one is not evident and less than half of it. Where the passages
    of both sides have hardly any quality in common, nothing can be compared at equal passages: if they became poorer
    (Mann-Whitney, 0.1 %) while harm rose, the verdict is retrieval, and a part of generation cannot be excluded.

    Assumes that the score means the same on both sides: another embedding model or retriever has another scale, and then
    `coverage` or replay must decide. What harms through the passages but leaves their score unmoved counts as generation.

    Use instead: `andon.investigations.disproof.replay_test` where an old and a new target can be asked.

    Source: Kitagawa, Journal of the American Statistical Association 50 (1955), 1168-1194; the reading of strata as kinds of
    retrieval is ours, measured in `docs/methods/mechanisms.md`.
    """
    measure, qualities = _qualities(before, after)
    sides = [
        [(q, h) for q, (_, h) in zip(qs, side, strict=True)]
        for qs, side in zip(qualities, (before, after), strict=True)
    ]
    known = [[(q, h) for q, h in side if q is not None] for side in sides]
    if min(map(len, known)) < FEWEST:
        few = f"{len(known[0])} and {len(known[1])} sampled interactions before and since show their retrieval; {FEWEST} are needed"
        return Blame(verdict="cannot tell", by_retrieval=0.0, by_generation=0.0, measure=measure, text=few)
    values = np.array([q for side in known for q, _ in side])
    given = values[values > -np.inf]
    cuts = np.unique(np.quantile(given, np.arange(1, STRATA) / STRATA)) if len(given) else np.empty(0)
    counts = np.zeros((4, len(cuts) + 2))
    for k, side in enumerate(known):
        for q, harmed in side:
            place = 0 if q == -np.inf else 1 + int(np.searchsorted(cuts, q, side="right"))
            counts[2 * k, place] += 1
            counts[2 * k + 1, place] += harmed
    if np.minimum(counts[0], counts[2]).sum() < OVERLAP * min(counts[0].sum(), counts[2].sum()):
        return _apart(known, counts, cuts, measure)
    split = stats.explained_by_mix(*counts)
    verdict = _verdict(split)
    text = (
        f"of {(split.after - split.before) * 100:+.1f} points of harm, {split.mix * 100:+.1f} "
        f"({split.mix_low * 100:+.1f} to {split.mix_high * 100:+.1f}) come with poorer passages and {split.behaviour * 100:+.1f} "
        f"({split.behaviour_low * 100:+.1f} to {split.behaviour_high * 100:+.1f}) at equal ones, by {measure}"
    )
    return Blame(
        verdict=verdict,
        by_retrieval=split.mix,
        by_generation=split.behaviour,
        measure=measure,
        text=text,
        rows=_strata(counts, cuts, measure),
    )


def _verdict(split: stats.MixExplained) -> Verdict:
    """Which part of the rise is evident; a part that the other one may equal is not named."""
    rise = split.after - split.before
    retrieval = split.mix_low > 0 and split.mix >= MATERIAL * rise
    generation = split.behaviour_low > 0 and split.behaviour >= MATERIAL * rise
    if retrieval and generation:
        return "both"
    if retrieval and split.behaviour < rise / 2:
        return "retrieval"
    if generation and split.mix < rise / 2:
        return "generation"
    return "cannot tell"


def _apart(known: Sequence[Sequence[tuple[float, bool]]], counts: Floats, cuts: Floats, measure: str) -> Blame:
    """What can be said when passages are so different that hardly any two interactions can be compared."""
    quality = [[q for q, _ in side] for side in known]
    p = float(scipy.stats.mannwhitneyu(quality[1], quality[0], alternative="less").pvalue)
    rates = [float(np.mean([h for _, h in side])) for side in known]
    rise = rates[1] - rates[0]
    nothing = [float(np.mean([q == -np.inf for q in side])) for side in quality]
    poorer = p < 0.001 and rise > 0
    text = (
        f"passages since are so unlike those before that none can be compared at equal {measure}; nothing was retrieved for "
        f"{percent(nothing[0])} before and {percent(nothing[1])} since, and harm went from {percent(rates[0])} to {percent(rates[1])}"
    )
    return Blame(
        verdict="retrieval" if poorer else "cannot tell",
        by_retrieval=rise if poorer else 0.0,
        by_generation=0.0,
        measure=measure,
        text=text,
        rows=_strata(counts, cuts, measure),
    )


def _qualities(before: Sequence[Judged], after: Sequence[Judged]) -> tuple[str, list[list[float | None]]]:
    """The quality of the passages of each interaction; -inf where nothing was retrieved by an app that retrieves."""
    retrieved = [i for i, _ in (*before, *after) if i.contexts]
    scored = sum(any(c.score is not None for c in i.contexts) for i in retrieved)
    by_score = 2 * scored > len(retrieved)
    values: list[list[float | None]] = [
        [(_score(i) if by_score else coverage(i)) if i.contexts else -np.inf if retrieved else None for i, _ in side]
        for side in (before, after)
    ]
    return "retrieval score" if by_score else "coverage", values


def _score(i: Interaction) -> float | None:
    scores = [c.score for c in i.contexts if c.score is not None]
    return float(np.mean(scores)) if scores else None


def _strata(counts: Floats, cuts: Floats, measure: str) -> tuple[tuple[str, ...], ...]:
    edges = ["nothing", *(f"below {c:.3g}" for c in cuts), f"from {cuts[-1]:.3g}" if len(cuts) else "any"]
    rows = [
        (edge, *(f"{int(x)} of {int(n)}" + (f" ({percent(x / n)})" if n else "") for n, x in ((n0, x0), (n1, x1))))
        for edge, n0, x0, n1, x1 in zip(edges, *counts, strict=True)
        if n0 + n1
    ]
    return ((measure, "harmed before", "harmed since"), *rows)


def unseen_documents(
    before: Sequence[Interaction], after: Sequence[Interaction]
) -> tuple[tuple[int, int], tuple[int, int], int]:
    """Interactions whose passages are of documents not seen earlier, as ((x, n) before, (x, n) since, vanished documents).

    Known are the documents that the earlier half of `before` retrieved; the later half is the control, because new documents
    are normal in a large corpus. An interaction counts when more than half of its passages are of unknown documents. A
    document has vanished when it was retrieved before and would have been expected at least 7 times since, but never was
    (chance below ``exp(-7) = 0.001``).
    """
    named = [[i for i in side if any(c.id for c in i.contexts)] for side in (before, after)]
    old = sorted(named[0], key=lambda i: (i.time_us, i.id))
    earlier, later = old[: len(old) // 2], old[len(old) // 2 :]
    known = {c.id for i in earlier for c in i.contexts if c.id}
    unknown = [
        sum(2 * sum(c.id not in known for c in i.contexts if c.id) > sum(bool(c.id) for c in i.contexts) for i in side)
        for side in (later, named[1])
    ]
    seen = Counter(c.id for i in old for c in i.contexts if c.id)
    now = {c.id for i in named[1] for c in i.contexts}
    times = len(named[1]) / len(old) if old else 0.0
    vanished = sum(n * times >= 7 and document not in now for document, n in seen.items())
    return (unknown[0], len(later)), (unknown[1], len(named[1])), vanished


def corpus_drift(
    before: Sequence[Judged],
    after: Sequence[Judged],
    *,
    stale: str = "",
    evidence: Sequence[str] = (),
) -> Analysis:
    """Whether what is retrieved became poorer or another, and whether that harms.

    Args:
        before: a sample of interactions before the onset, each with whether it was harmed.
        after: the same since.
        stale: what the change log says of corpus and index, in words.
        evidence: ids of the figures.

    Found: the verdict is retrieval or both. Not found: it is generation, or nothing is retrieved at all.
    """
    if not any(i.contexts for i, _ in (*before, *after)):
        none = (
            "No sampled interaction retrieves passages."
            if after
            else "Cannot tell: there is no traffic since the onset."
        )
        return Analysis(
            name="corpus drift", found="no" if after else "cannot tell", text=none, evidence=tuple(evidence)
        )
    blame = retrieval_or_generation(before, after)
    words = [_VERDICTS[blame.verdict], blame.text]
    words += _moved(before, after)
    words += _documents(before, after)
    words += [stale] if stale else []
    found: Literal["yes", "no", "cannot tell"] = "cannot tell"
    if blame.verdict in ("retrieval", "both"):
        found = "yes"
    elif blame.verdict == "generation":
        found = "no"
    text = "; ".join(words)
    return Analysis(
        name="corpus drift",
        found=found,
        text=text[0].upper() + text[1:] + ".",
        rows=blame.rows,
        evidence=tuple(evidence),
    )


_VERDICTS = {
    "retrieval": "retrieval: harm rises because passages became poorer",
    "generation": "generation, not retrieval: harm rises at equal passages",
    "both": "both retrieval and generation: passages became poorer, and answers from equal ones worse",
    "cannot tell": "whether retrieval or generation harms cannot be told",
}


def _moved(before: Sequence[Judged], after: Sequence[Judged]) -> list[str]:
    """Retrieval score, own passage found and age of passages before and since, where they are known."""
    sides = ([i for i, _ in before], [i for i, _ in after])
    told: tuple[tuple[str, Callable[[Interaction], float | None], bool, str], ...] = (
        ("retrieval score", _score, False, "down"),
        ("own passage found", own_passage, True, "down"),
        ("age of the newest passage in days", age_days, False, "up"),
    )
    moves = [
        compare_sides(name, *(side_of(map(of, s)) for s in sides), rate=rate, bad=bad, family=len(told))
        for name, of, rate, bad in told
    ]
    words = []
    for m in moves:
        if m is None:
            continue
        show = percent if m.rate else "{:.3g}".format
        state = {"moved": "moved", "the same": "is the same", "cannot tell": "may have moved"}[m.word]
        words.append(f"{m.name.replace('_', ' ')} {state}: {show(m.before)} before, {show(m.after)} since")
    poor = _poorer(after)
    return [*words, poor] if poor else words


def _poorer(after: Sequence[Judged]) -> str:
    """Whether the harmed ones since the onset had poorer passages than the others (Mann-Whitney), in words."""
    _, (_, qualities) = _qualities((), after)
    harmed = [q for q, (_, h) in zip(qualities, after, strict=True) if q is not None and h]
    fine = [q for q, (_, h) in zip(qualities, after, strict=True) if q is not None and not h]
    if min(len(harmed), len(fine)) < 10:
        return ""
    test = scipy.stats.mannwhitneyu(harmed, fine)
    worse = 1 - float(test.statistic) / (len(harmed) * len(fine))
    return f"a harmed answer had poorer passages than a good one in {percent(worse)} of pairs (Mann-Whitney {p_text(float(test.pvalue))})"


def _documents(before: Sequence[Judged], after: Sequence[Judged]) -> list[str]:
    (x1, n1), (x2, n2), vanished = unseen_documents([i for i, _ in before], [i for i, _ in after])
    if min(n1, n2) < 20:
        return ["passages carry no ids, so new and vanished documents cannot be seen"] if n1 + n2 == 0 else []
    _, low, _ = stats.difference(x1, n1, x2, n2)
    words = []
    if low > 0:
        shares = f"{percent(x1 / n1)} before, {percent(x2 / n2)} since"
        words.append(f"more interactions draw mostly on documents that were not retrieved earlier ({shares})")
    return [*words, f"{vanished} often retrieved documents vanished"] if vanished else words
