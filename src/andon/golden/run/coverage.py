"""How much of the live traffic the golden set covers."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from andon.errors import InputError, SeamError
from andon.golden.coverage import Asked, Coverage, CoverageMap, coverage_of, nearest_cosines
from andon.golden.run.sets import load_set
from andon.scores import LABELS, Embedder, Scorer, Vectors
from andon.scores.rows import PROBE
from andon.scores.topics import Topics, assign
from andon.store import Ledger, Rollup, Sample, Slice, Span, Warehouse, Where

__all__ = ["DAYS", "apps_with_traffic", "keep_coverage", "measure_coverage"]

DAYS = 7
QUESTIONS = 5_000
"""Questions that are looked at: the interval of a share is then at most 1.4 points to either side."""

DAY_US = 86_400_000_000
SEED = 6
BATCH = 500
OPENING = 256
"""Characters of a question by which it is compared: a long one shows early what it is about."""


def apps_with_traffic(warehouse: Warehouse, *, now_us: int, environment: str = "production") -> list[str]:
    """The applications to which somebody spoke in the last seven days.

    Raises:
        StoreError: the store failed.
    """
    plan = Rollup(table="interactions", keys=("app",), span=_span(now_us), where=(_is("environment", environment),))
    return sorted(str(app) for app in warehouse.run(plan)["app"].to_pylist() if app is not None)


def measure_coverage(
    warehouse: Warehouse,
    ledger: Ledger,
    embedder: Embedder,
    scorers: Sequence[Scorer],
    *,
    app: str,
    now_us: int,
    environment: str = "production",
    report: Callable[[str, float], None] | None = None,
) -> Coverage:
    """Which share of an app's questions of the last seven days has a case near it, by risk category and topic.

    A sample of the questions is compared with every case that is tested. Probes are left out: they are cases themselves. Where
    there is no question with a text, or the embedder fails, nobody can tell, and the reason is given. `report` is told what is
    done, and the share of it, 0..1.

    Raises:
        StoreError: the store failed.
    """
    cases = load_set(ledger, app)
    rows = _sampled(warehouse, app, environment, now_us)
    if not rows:
        return _cannot(app, len(cases), embedder, "no question with a text came in the last seven days")
    texts = list(dict.fromkeys(r["query"][:OPENING] for r in rows))
    place = {t: i for i, t in enumerate(texts)}
    try:
        vectors = _embedded(embedder, [*texts, *(c.question[:OPENING] for c in cases)], report)
        vectors, of_cases = vectors[: len(texts)], vectors[len(texts) :]
        topics = _topics(ledger, f"{app}/{environment}", embedder, vectors)
    except (SeamError, InputError) as error:
        return _cannot(app, len(cases), embedder, f"the questions could not be compared: {error}")
    cosines = nearest_cosines(vectors, of_cases)
    harmed = _harmed(warehouse, scorers, {r["id"] for r in rows}, now_us)
    at = [place[r["query"][:OPENING]] for r in rows]
    asked = [
        Asked(
            question=r["query"],
            weight=r["weight"] or 1.0,
            topic=topics[i] if topics else None,
            risk_category=r["risk_category"],
            harmed=r["id"] in harmed,
        )
        for r, i in zip(rows, at, strict=True)
    ]
    return coverage_of(asked, cosines[np.array(at)], app=app, cases=len(cases), embedder=embedder.name)


def keep_coverage(ledger: Ledger, found: Coverage, *, now_us: int, by: str) -> CoverageMap:
    """Keep what was measured, for who looks at it later.

    Raises:
        StoreError: the ledger failed.
    """
    kept = CoverageMap(id=found.app, at_us=now_us, by=by, found=found)
    ledger.put(kept, now_us=now_us, by=by)
    return kept


def _embedded(embedder: Embedder, texts: list[str], report: Callable[[str, float], None] | None) -> Vectors:
    """Vectors of texts, in batches, so that whoever waits sees how far it is."""
    parts = []
    for top in range(0, len(texts), BATCH):
        parts.append(embedder.embed(texts[top : top + BATCH]))
        if report is not None:
            report("comparing questions", min(1.0, (top + BATCH) / len(texts)))
    return np.concatenate(parts)


def _sampled(warehouse: Warehouse, app: str, environment: str, now_us: int) -> list[dict[str, Any]]:
    plan = Sample(
        table="interactions",
        n=QUESTIONS,
        seed=SEED,
        columns=("id", "query", "weight", "risk_category"),
        span=_span(now_us),
        where=(
            _is("app", app),
            _is("environment", environment),
            Where(column="query", op="not_null"),
            Where(column="source", op="ne", value=PROBE),
        ),
    )
    return [r for r in warehouse.run(plan).to_pylist() if r["query"].strip()]


def _topics(ledger: Ledger, name: str, embedder: Embedder, vectors: Vectors) -> list[str] | None:
    """Name of the topic of each question; None where topics are not learned yet, or by another embedder."""
    topics = ledger.get(Topics, name)
    if topics is None or topics.embedder != embedder.name:
        return None
    return ["like no topic" if i < 0 else topics.topics[i].name for i in assign(topics, vectors).tolist()]


def _harmed(warehouse: Warehouse, scorers: Iterable[Scorer], ids: set[str], now_us: int) -> set[str]:
    """Interactions that a scorer of rates, or a person, called bad."""
    bad: dict[str, str] = {s.name: s.bad for s in scorers if s.kind == "binary" and s.bad != "both"}
    bad |= {metric: direction for metric, (_, direction, *_) in LABELS.items()}
    plan = Slice(
        table="scores",
        columns=("interaction_id", *bad),
        span=_span(now_us),
        where=(Where(column="interaction_id", op="in", value=tuple(sorted(ids))),),
    )
    table = warehouse.run(plan)
    found: set[str] = set()
    names = np.array(table["interaction_id"].to_pylist(), dtype=object)
    for metric, direction in bad.items():
        values = table[metric].to_numpy(zero_copy_only=False).astype(np.float64)
        worse = values >= 0.5 if direction == "up" else values < 0.5
        found |= set(names[worse & ~np.isnan(values)].tolist())
    return found


def _cannot(app: str, cases: int, embedder: Embedder, reason: str) -> Coverage:
    return Coverage(app=app, cases=cases, embedder=embedder.name, threshold=0.0, whole=None, reason=reason)


def _is(column: str, value: str) -> Where:
    return Where(column=column, op="eq", value=value)


def _span(now_us: int) -> Span:
    return Span(start_us=now_us - DAYS * DAY_US, end_us=now_us + 1)
