"""Evidence that can be checked: figures from rows, a digest over both, and the verdict when the tables are asked again.

Pure. A figure is checked three ways: the digest says that nobody edited it, the frozen rows give it again, and so does the
plan, asked of the tables as they were (rows of later commits left out). What cannot be checked is said to be so.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from andon.investigations.records import Evidence
from andon.traffic.erasure import ERASED

__all__ = ["MOST_ROWS", "Check", "checked", "figures_about", "figures_from", "intact", "plain_rows", "same", "sealed"]

MOST_ROWS = 2_000
"""Rows of an answer that are copied out; figures are those of all of its rows."""

DIGITS = 12
"""Significant digits of what is frozen: engines add numbers in any order, and the last digits differ from run to run."""

_SUMS = ("rows", "n", "sum", "sumsq", "w", "wsum")

Outcome = Literal["same", "changed", "DIFFERS", "cannot tell"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What became of one figure when it was asked for again."""

    id: str
    claim: str
    outcome: Outcome
    """``same``. ``changed``: the frozen rows give it, the tables have lost rows since. ``DIFFERS``: something is wrong."""
    text: str


def figures_about(evidence: Iterable[Evidence], *words: str) -> tuple[str, ...]:
    """Ids of the figures whose claim has all of these words."""
    return tuple(e.id for e in evidence if all(w in e.claim for w in words))


def plain_rows(rows: Iterable[Mapping[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Rows as they are frozen: numbers with 12 significant digits, never NaN or infinite."""
    return tuple({str(k): _plain(v) for k, v in row.items()} for row in rows)


def figures_from(plan: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The figures that an answer's rows give: a pure function, so the frozen rows give them again.

    A roll-up without keys and windows is one row, and its numbers are the figures. Of any other roll-up the counts and sums
    are added up, beside ``groups``; of a histogram ``n``, beside ``groups``. Rows themselves (slice, sample, look-up) are
    counted as ``rows``, with ``n`` and ``sum`` of each column of numbers.
    """
    kind = plan.get("plan")
    if kind == "Rollup" and not plan.get("keys") and plan.get("window_us") is None:
        return {k: _round(float(v)) for k, v in (rows[0] if rows else {}).items() if _is_number(v)}
    found: dict[str, float] = {}
    if kind in ("Rollup", "Histogram"):
        names = [
            k for k in (rows[0] if rows else {}) if k.rpartition(".")[2] in _SUMS and k not in (plan["keys"] or ())
        ]
        found = {k: _total(row.get(k) for row in rows) for k in names}
        return {**found, "groups": float(len(rows))}
    for name in plan.get("columns", ()):
        values = [v for row in rows if _is_number(v := row.get(name))]
        if values and name not in ("time_us", "seq", "day", "id_hash"):
            found |= {f"{name}.n": float(len(values)), f"{name}.sum": _total(values)}
    return {"rows": float(len(rows)), **found}


def sealed(evidence: Evidence, rows: Sequence[Mapping[str, Any]], upto: int | None) -> Evidence:
    """The evidence with the rows of its answer copied out (at most 2,000), and the digest over all of it."""
    kept = plain_rows(rows[:MOST_ROWS])
    figures = {k: _round(float(v)) for k, v in evidence.figures.items()} or figures_from(
        evidence.plan, plain_rows(rows)
    )
    found = replace(evidence, rows=kept, figures=figures, upto=upto)
    return replace(found, digest=_digest(found))


def intact(evidence: Evidence) -> bool:
    """Whether plan, figures and rows are those that were frozen."""
    return evidence.digest == _digest(evidence)


def same(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    """Whether figures agree: counts exactly, sums to 1e-9 of their size. What only `other` has does not count."""
    return all(
        name in other
        and (value == other[name] if _counts(name) else math.isclose(value, other[name], rel_tol=1e-9, abs_tol=1e-9))
        for name, value in one.items()
    )


def checked(
    evidence: Evidence,
    now: Mapping[str, float] | None,
    *,
    late: int | None,
    gone: int | None,
    why: str = "",
    erased: bool = False,
) -> Check:
    """The verdict on one figure.

    Args:
        evidence: what was frozen.
        now: what the tables give for the same plan, without rows of later commits; None where they cannot be asked.
        late: rows that came since and fulfil the plan; None where they cannot be counted.
        gone: rows that were there and are not any more; None where they cannot be counted.
        why: what may have taken them, in words.
        erased: whether a user was erased since it was frozen: only then may texts be blanked, and the digest another one.
    """
    erased = erased and ERASED in json.dumps((evidence.plan, evidence.rows), ensure_ascii=False)
    outcome, text = _of_record(evidence, erased=erased) or _of_tables(evidence, now, late, gone, why, erased=erased)
    return Check(id=evidence.id, claim=evidence.claim, outcome=outcome, text=text)


def _of_record(evidence: Evidence, *, erased: bool) -> tuple[Outcome, str] | None:
    """What the record alone says; None where it agrees with itself."""
    if not evidence.digest:
        return "cannot tell", "it was written by a version that froze no rows; investigate again"
    if not erased and not intact(evidence):
        return "DIFFERS", "the record was edited: its digest is another one"
    frozen = figures_from(evidence.plan, evidence.rows)
    if rest := sorted(set(evidence.figures) - set(frozen)):
        return "cannot tell", f"the plan alone does not give {', '.join(rest)}"
    if len(evidence.rows) < MOST_ROWS and not same(evidence.figures, frozen):  # erasure blanks texts, never numbers
        return "DIFFERS", "the frozen rows give other figures"
    return None


def _of_tables(
    evidence: Evidence, now: Mapping[str, float] | None, late: int | None, gone: int | None, why: str, *, erased: bool
) -> tuple[Outcome, str]:
    """What the tables say."""
    base = "same from the frozen rows" if len(evidence.rows) < MOST_ROWS and not erased else "the digest is intact"
    base = "texts were erased from the frozen rows" if erased else base
    if now is None:
        return "cannot tell", f"{base}; the tables cannot be asked{': ' + why if why else ''}"
    came = f"; {late:,} rows came late and are left out" if late else ""
    if same(evidence.figures, now):
        return "same", f"same{came}"
    if gone:
        return "changed", f"{base}; the tables have changed since: {gone:,} rows are gone{_of(why)}{came}"
    if gone is None or evidence.upto is None:
        return "changed", f"{base}; the tables give other figures now{_of(why)}{came}"
    return "DIFFERS", f"the tables give other figures, although no row of then is gone{came}"


def _of(why: str) -> str:
    return f" ({why})" if why else ""


def _counts(name: str) -> bool:
    return name in ("rows", "groups") or name.endswith(".n")


def _digest(e: Evidence) -> str:
    figures = {k: float(v) for k, v in e.figures.items()}
    whole = {"plan": e.plan, "figures": figures, "rows": list(e.rows), "upto": e.upto}
    text = json.dumps(whole, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _total(values: Iterable[Any]) -> float:
    return _round(math.fsum(v for v in values if _is_number(v)))


def _round(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return _round(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value if value is None or isinstance(value, str | int | bool) else str(value)
