"""The case scorer `citation`: the answer cites what it must, and nothing that is not there."""

import re

from andon.errors import InputError
from andon.evals.records import CaseScorer, Measured, Output
from andon.evals.scorers.matching import check_expect, right_unless
from andon.golden import Case
from andon.scores import Embedder
from andon.traffic.quoting import quoted

__all__ = ["CITATION"]

_BRACKETS = re.compile(r"\[\^?([^\[\]\n]{1,80})\](?!\()")


def _citation(case: Case, output: Output, _: Embedder) -> Measured | None:
    check_expect(case, "citations")
    must, may = _expected(case)
    n = len(output.passages(case))
    if n == 0 and output.contexts is None:
        return None
    if n == 0:
        return right_unless("the target retrieved no passage that could be cited")
    answer = output.answer or ""
    named = not all(c.isdigit() for c in (*must, *(may or ())))
    parts = [p.strip() for group in _BRACKETS.findall(answer) for p in re.split("[,;]", group)]
    cited = [p for p in dict.fromkeys(parts) if p.isdecimal() or (named and p and not re.search(r"\s", p))]
    known = {*must, *(may or ())}
    problem = None
    if not cited:
        problem = "it cites nothing"
    elif invalid := [c for c in cited if c not in known and not (c.isdecimal() and len(c) < 7 and 1 <= int(c) <= n)]:
        problem = f"[{quoted(invalid[0])[1:-1]}] names none of {n} passages"
    elif missing := [c for c in must if c not in cited]:
        problem = f"[{quoted(missing[0])[1:-1]}] must be cited, and is not"
    elif may is not None and (other := [c for c in cited if c not in known]):
        problem = f"[{quoted(other[0])[1:-1]}] may not be cited"
    return right_unless(problem, f"{len(cited)} citations, all right")


def _expected(case: Case) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    """What must be cited, and what else may be (None: any passage that is there)."""
    value = case.expect.get("citations", [])
    pair = value if isinstance(value, dict) else {"must": value}
    if not set(pair) <= {"must", "may"}:
        raise InputError(
            f"expect.citations has the keys {quoted(', '.join(map(str, pair)), 100)}; `must` and `may` are allowed"
        )
    may = pair.get("may")
    return _marks(pair.get("must", [])), None if may is None else _marks(may)


def _marks(value: object) -> tuple[str, ...]:
    items = value if isinstance(value, list | tuple) else None
    if items is None or not all(isinstance(i, str | int) and not isinstance(i, bool) and str(i).strip() for i in items):
        raise InputError(f"expect.citations holds {quoted(value)}; a list of numbers or ids is allowed")
    return tuple(str(i).strip() for i in items)


CITATION = CaseScorer(
    name="citation",
    version="2",
    about="The answer cites, every citation names a passage, all of `expect.citations` are among them, and nothing beyond `may`.",
    score=_citation,
)
