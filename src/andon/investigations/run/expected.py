"""Question 1, read from the tables: what was the output, and what should it have been?"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from andon.investigations.examples import choose, confidence_of, described, expected_of, nearest, same_text
from andon.investigations.records import Confidence, Example, HarmedSlice, Twin
from andon.investigations.run.case import DAY_US, Case, figures_of
from andon.scores import Embedder, failing
from andon.stats.bins import bin_edges
from andon.store import Histogram, Rollup, Sample, Slice, Span, Where
from andon.traffic import SEGMENTS, VERSIONS, Interaction
from andon.traffic.run import read_interactions_by_id

__all__ = ["EXAMPLES", "confidence_split", "examples_of", "harmed_interactions", "passing_beside"]


EXAMPLES = 12

SAMPLED = 20 * EXAMPLES
"""Interactions on each side from which examples are chosen."""

MOST_TWINS = 50 * EXAMPLES
"""Earlier answers to the same questions that are looked at, the newest of them."""


def harmed_interactions(case: Case) -> list[tuple[Interaction, float]]:
    """A seeded sample of harmed interactions with the value of the metric."""
    return _sampled(case, case.harm, seed=1)


def passes(case: Case) -> Where:
    """The condition that an interaction fulfils which was measured and did not fail."""
    op, bound = failing(case.signal.kind, case.signal.direction, case.signal.cut)
    return Where(column=case.signal.metric, op="lt" if op == "ge" else "ge", value=bound)


def _sampled(case: Case, which: Where, seed: int) -> list[tuple[Interaction, float]]:
    metric = case.signal.metric
    plan = Sample(
        table="scores",
        n=SAMPLED,
        seed=seed,
        columns=("interaction_id", "time_us", metric),
        span=case.after,
        where=(*case.scope, which),
    )
    table = case.warehouse.run(plan)
    values = dict(zip(table["interaction_id"].to_pylist(), table[metric].to_pylist(), strict=True))
    day = Span(start_us=case.after.start_us - DAY_US, end_us=case.after.end_us)
    found = {i.id: i for i in read_interactions_by_id(case.warehouse, sorted(k for k in values if k), day)}
    return [(found[k], float(v)) for k, v in values.items() if k in found]


def examples_of(
    case: Case,
    harmed: Sequence[tuple[Interaction, float]],
    slices: Sequence[HarmedSlice] = (),
    first: Sequence[tuple[Interaction, float]] = (),
) -> tuple[Example, ...]:
    """Representative failing interactions, one per question, with what the answer should have been where that is known.

    Args:
        case: the affected traffic.
        harmed: a random sample of failing interactions.
        slices: the parts that carry the harm, the surest first.
        first: interactions that stand first whatever they are: what a person reported.
    """
    chosen = [*first, *choose([h for h in harmed if h[0].id not in {i.id for i, _ in first}], slices, EXAMPLES)]
    chosen = chosen[:EXAMPLES]
    corrections = _corrections(case, [i.id for i, _ in chosen])
    twins = _twins(case, {i.query or "": i.answer for i, _ in chosen})
    return tuple(_example(i, v, corrections.get(i.id), twins.get(i.query or "")) for i, v in chosen)


def _example(interaction: Interaction, value: float, correction: str | None, twin: Twin | None) -> Example:
    expected, source = expected_of(interaction, correction, twin)
    return replace(_shown(interaction, value), expected=expected, expected_from=source, twin=twin)


def _shown(interaction: Interaction, value: float) -> Example:
    return Example(
        interaction_id=interaction.id,
        at_us=interaction.time_us,
        question=interaction.query or "",
        answer=interaction.answer,
        value=value,
        confidence=interaction.confidence,
        contexts=tuple(c.text for c in interaction.contexts),
        versions=described(interaction, VERSIONS),
        segments=described(interaction, SEGMENTS),
    )


def passing_beside(
    case: Case, chosen: Sequence[Interaction], examples: Sequence[Example], embedder: Embedder
) -> tuple[Example, ...]:
    """Passing interactions of the same time and kind, one for each failing example in its order while there are any."""
    if not examples:
        return ()
    passing = [(i, v) for i, v in _sampled(case, passes(case), seed=3) if i.query and (i.answer or i.prediction)]
    by_id = {i.id: i for i in chosen}
    failing_ones = [by_id[e.interaction_id] for e in examples if e.interaction_id in by_id]
    texts = [i.query or "" for i in (*failing_ones, *(i for i, _ in passing))]
    vectors = embedder.embed(texts)
    k = len(failing_ones)
    found = nearest(failing_ones, [i for i, _ in passing], vectors[:k], vectors[k:])
    return tuple(_shown(*passing[m]) for m in found if m >= 0)


def confidence_split(case: Case) -> Confidence:
    """Failing answers of a sure system and of an unsure one, counted over all of them; figures are kept as evidence."""
    metric = case.signal.metric
    if metric == "confidence":
        text = "confidence is what is looked into, so it does not part the failures"
        return Confidence(high=0, low=0, unknown=0, text=text)
    if "confidence" not in case.warehouse.schema("scores").names:
        return confidence_of(None, 0, 0, 0)
    base = (*case.scope, passes(case))
    plan = Histogram(table="scores", metric="confidence", span=case.after, where=base)
    cut = _median(case.warehouse.run(plan).to_pylist())
    harmed = (*case.scope, case.harm)
    if cut is None:
        return confidence_of(None, 0, 0, round(case.count(case.after, case.harm)))
    case.keep("confidence of passing answers since the onset, by bin", plan, {})
    counts = []
    for words, op in (("at least", "ge"), ("below", "lt")):
        side = Where(column="confidence", op="ge" if op == "ge" else "lt", value=cut)
        asked = Rollup(table="scores", metrics=(metric,), span=case.after, where=(*harmed, side))
        figures = figures_of(case.warehouse, asked)
        case.keep(f"failing answers with a confidence of {words} {cut:.3g}", asked, figures)
        counts.append(round(figures.get(f"{metric}.w", 0.0)))
    unknown = round(case.count(case.after, case.harm, Where(column="confidence", op="null")))
    return confidence_of(cut, counts[0], counts[1], unknown)


def _median(rows: Sequence[dict[str, int]]) -> float | None:
    """The lower edge of the bin that holds the median."""
    total = sum(r["n"] for r in rows)
    passed = 0
    for r in sorted(rows, key=lambda r: r["bin"]):
        passed += r["n"]
        if 2 * passed >= total:
            return float(f"{max(0.0, bin_edges(r['bin'])[0]):.6g}")
    return None


def _corrections(case: Case, ids: Sequence[str]) -> dict[str, str]:
    """What people said the right answer is, by interaction; the latest word counts."""
    if not ids:
        return {}
    where = (
        Where(column="interaction_id", op="in", value=tuple(ids)),
        Where(column="kind", op="eq", value="correction"),
        Where(column="text", op="not_null"),
    )
    until = Span(start_us=case.after.start_us - DAY_US, end_us=case.after.end_us)
    found = case.warehouse.run(Slice(table="feedback", columns=("interaction_id", "text"), span=until, where=where))
    return dict(zip(found["interaction_id"].to_pylist(), found["text"].to_pylist(), strict=True))


def _twins(case: Case, failing_answers: Mapping[str, str | None]) -> dict[str, Twin]:
    """By question: the newest answer to it from before the onset that was fine by the same metric, and is not the failing one.

    All questions are looked for at once: reading the texts of the traffic is what costs.
    """
    asked = tuple(q for q in failing_answers if q)
    if not asked:
        return {}
    segments = {k: v for k, v in case.signal.scope.items() if k in SEGMENTS}  # what rows of traffic know of themselves
    pairs = {"app": case.signal.app, "environment": case.signal.environment, **segments}
    where = (
        Where(column="query", op="in", value=asked),
        *(Where(column=k, op="eq", value=v) for k, v in pairs.items()),
    )
    columns = ("id", "time_us", "query", "answer")
    newest = Slice(
        table="interactions", columns=columns, span=case.before, where=where, limit=MOST_TWINS, newest_first=True
    )
    rows = [r for r in case.warehouse.run(newest).to_pylist() if r["answer"] and r["answer"].strip()]
    fine = _fine(case, [str(r["id"]) for r in rows])
    found: dict[str, Twin] = {}
    for r in rows:
        question, answer = r["query"], r["answer"]
        if r["id"] in fine and question not in found and not same_text(answer, failing_answers[question]):
            found[question] = Twin(answer=answer, at_us=r["time_us"])
    return found


def _fine(case: Case, ids: Sequence[str]) -> set[str]:
    """Those of these interactions from before the onset that were measured and did not fail."""
    if not ids:
        return set()
    among = Where(column="interaction_id", op="in", value=tuple(ids))
    where = (among, *case.scope, passes(case))
    rows = case.warehouse.run(Slice(table="scores", columns=("interaction_id",), span=case.before, where=where))
    return set(rows["interaction_id"].to_pylist())
