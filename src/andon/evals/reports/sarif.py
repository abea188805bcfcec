"""A run and its verdict as SARIF 2.1.0, so that a code host shows lost cases at their lines of the golden set."""

from collections.abc import Iterable, Mapping
from typing import Any

from andon.evals.records import EvalRun, Verdict
from andon.evals.reports.standing import FAILING, Standing, standings
from andon.golden import Case
from andon.postmortems.lint import sarif_log
from andon.traffic.quoting import quoted

__all__ = ["lines_of", "sarif_of"]

_MOST = 5_000
"""Results that code hosts show of one run; those that matter most come first."""


def lines_of(text: str, cases: Iterable[Case]) -> dict[str, int]:
    """The line of each case in a golden set's text, from 1; a case that was not read from this text has none."""
    numbers: dict[str, int] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        numbers.setdefault(line, number)
    return {c.id: numbers[c.line] for c in cases if c.line in numbers}


def sarif_of(
    run: EvalRun,
    verdict: Verdict,
    cases: Iterable[Case],
    *,
    baseline: EvalRun | None = None,
    path: str | None = None,
    lines: Mapping[str, int] | None = None,
    version: str,
) -> dict[str, Any]:
    """One SARIF log (OASIS, 27 March 2020): a rule and a result for each case that fails, the rule being named by the case.

    - Level ``error``: lost, new, or failing with nothing to compare with. ``note``: it failed in the baseline too.
    - A quarantined case that fails is suppressed; one that could not run is a notification of the tool, never a result.
    - `path` is the golden set's, relative to the repository, and `lines` says where in it a case stands (`lines_of`).
      Without them a result has no place, and code hosts show it in no diff.
    """
    each = standings(run, verdict, cases, baseline)
    order = {word: k for k, word in enumerate((*FAILING, "quarantined"))}
    failing = sorted((s for s in each if s.word in order and s.passed < s.ran), key=lambda s: order[s.word])[:_MOST]
    where = {} if path is None else dict(lines or {})
    invocation = {
        "executionSuccessful": verdict.outcome != "error",
        "toolExecutionNotifications": [
            {
                "level": "warning",
                "message": {"text": f"{s.case_id} could not run: {_text(s.shown.detail)}"},
            }
            for s in each
            if s.ran == 0
        ][:_MOST],
    }
    return sarif_log(
        "andon gate",
        version,
        rules=[_rule(s) for s in failing],
        results=[_result(s, k, path, where.get(s.case_id)) for k, s in enumerate(failing)],
        invocations=[invocation],
        properties={
            "verdict": verdict.outcome,
            "reason": _text(verdict.reason),
            "target": _text(run.target),
            "run": run.id,
        },
    )


def _rule(s: Standing) -> dict[str, Any]:
    asked = "a case that this golden set does not hold" if s.case is None else _text(s.case.question)
    expected = "" if s.case is None else f"Expected: {_text(s.case.ground_truth)}. "
    why = "" if s.case is None or not s.case.failure_reason else f"Why it is a case: {_text(s.case.failure_reason)}. "
    return {
        "id": s.case_id,
        "shortDescription": {"text": asked},
        "help": {
            "text": f"{expected}{why}Fix the change, or label the case anew where its right answer is another one."
        },
        "defaultConfiguration": {"level": "error"},
    }


def _result(s: Standing, index: int, path: str | None, line: int | None) -> dict[str, Any]:
    got = "no answer" if s.shown.answer is None else _text(s.shown.answer)
    said = {
        "lost": "Passed in the baseline, fails now",
        "new": "A new case fails",
        "before": "Failed in the baseline too",
    }
    parts = [said.get(s.word, "Fails"), s.share, f"got {got}", _text(s.shown.detail)]
    result: dict[str, Any] = {
        "ruleId": s.case_id,
        "ruleIndex": index,
        "level": "note" if s.word == "before" else "error",
        "message": {"text": "; ".join(part for part in parts if part) + "."},
        "partialFingerprints": {"primaryLocationLineHash": f"{s.case_id}:1"},
    }
    if path is not None and line is not None:
        place = {"artifactLocation": {"uri": _uri(path)}, "region": {"startLine": line}}
        result["locations"] = [{"physicalLocation": place}]
    if s.word == "quarantined":
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": "quarantined"}]
    return result


def _uri(path: str) -> str:
    """A path as a relative URI reference (RFC 3986): bytes outside the unreserved ones and ``/`` are percent-encoded."""
    kept = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/")
    return "".join(chr(b) if b in kept else f"%{b:02X}" for b in path.encode("utf-8", "replace"))


def _text(text: str) -> str:
    """Plain text of a SARIF message, shortened; a bracket would begin an embedded link (its section 3.11.6)."""
    return quoted(text, 500)[1:-1].replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
