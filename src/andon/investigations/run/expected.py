"""Question 1, read from the tables: what was the output, and what should it have been?"""

from collections.abc import Sequence

from andon.investigations.records import Example, Twin
from andon.investigations.run.case import DAY_US, Case
from andon.scores import failing
from andon.store import Sample, Slice, Span, Where
from andon.traffic import SEGMENTS, VERSIONS, Interaction
from andon.traffic.run import read_interactions_by_id

__all__ = ["EXAMPLES", "examples_of", "harmed_interactions"]


EXAMPLES = 12


def harmed_interactions(case: Case) -> list[tuple[Interaction, float]]:
    """A seeded sample of harmed interactions with the value of the metric."""
    metric = case.signal.metric
    plan = Sample(
        table="scores",
        n=4 * EXAMPLES,
        seed=1,
        columns=("interaction_id", "time_us", metric),
        span=case.after,
        where=(*case.scope, case.harm),
    )
    table = case.warehouse.run(plan)
    values = dict(zip(table["interaction_id"].to_pylist(), table[metric].to_pylist(), strict=True))
    day = Span(start_us=case.after.start_us - DAY_US, end_us=case.after.end_us)
    found = {i.id: i for i in read_interactions_by_id(case.warehouse, sorted(values), day)}
    return [(found[k], float(v)) for k, v in values.items() if k in found]


def examples_of(case: Case, harmed: Sequence[tuple[Interaction, float]]) -> tuple[Example, ...]:
    """Failing interactions, one per question, with what the answer should have been where that is known."""
    examples: dict[str, Example] = {}
    corrections = _corrections(case, [i.id for i, _ in harmed])
    for interaction, value in harmed:
        question = interaction.query or ""
        if question in examples or len(examples) >= EXAMPLES:
            continue
        twin = _twin(case, question, interaction.answer) if question else None
        known = (
            (interaction.expected_answer, "expected answer"),
            (corrections.get(interaction.id), "correction"),
            (twin.answer if twin else None, "passing twin"),
        )
        expected, source = next(
            ((t, how) for t, how in known if t and t.strip() and not _same(t, interaction.answer)), (None, None)
        )
        examples[question] = Example(
            interaction_id=interaction.id,
            at_us=interaction.time_us,
            question=question,
            answer=interaction.answer,
            value=value,
            expected=expected,
            expected_from=source,
            twin=twin,
            confidence=interaction.confidence,
            contexts=tuple(c.text for c in interaction.contexts),
            versions={k: v for k in VERSIONS if (v := getattr(interaction, k)) is not None},
            segments={k: v for k in SEGMENTS if (v := getattr(interaction, k)) is not None},
        )
    return tuple(examples.values())


def _same(one: str, other: str | None) -> bool:
    return other is not None and one.strip() == other.strip()


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


def _twin(case: Case, question: str, failing_answer: str | None) -> Twin | None:
    """An answer to the same question before the onset that was fine by the same metric, and is not the failing one."""
    same = (Where(column="query", op="eq", value=question), Where(column="app", op="eq", value=case.signal.app))
    segments = {k: v for k, v in case.signal.scope.items() if k in SEGMENTS}  # what rows of traffic know of themselves
    pairs = {"environment": case.signal.environment, **segments}
    scope = tuple(Where(column=k, op="eq", value=v) for k, v in pairs.items())
    columns = ("id", "time_us", "answer")
    rows = case.warehouse.run(
        Slice(
            table="interactions", columns=columns, span=case.before, where=(*same, *scope), limit=20, newest_first=True
        )
    ).to_pylist()
    if not rows:
        return None
    ids = Where(column="interaction_id", op="in", value=tuple(str(r["id"]) for r in rows))
    metric = case.signal.metric
    scored = case.warehouse.run(
        Slice(table="scores", columns=("interaction_id", metric), span=case.before, where=(ids, *case.scope))
    ).to_pylist()
    op, bound = failing(case.signal.kind, case.signal.direction, case.signal.cut)
    fine = {r["interaction_id"] for r in scored if (r[metric] < bound if op == "ge" else r[metric] >= bound)}
    given = (r for r in rows if r["id"] in fine and r["answer"] and r["answer"].strip())
    row = next((r for r in given if not _same(r["answer"], failing_answer)), None)
    return Twin(answer=row["answer"], at_us=row["time_us"]) if row else None
