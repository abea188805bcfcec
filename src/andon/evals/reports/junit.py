"""A run and its verdict as JUnit XML, for the test pages of CI systems. Content of cases is hostile."""

from collections.abc import Iterable
from xml.etree import ElementTree as Xml

from andon.evals.records import EvalRun, Verdict
from andon.evals.reports.standing import FAILING, Standing, standings
from andon.golden import Case
from andon.traffic.clock import format_time

__all__ = ["GATE", "junit_of"]

GATE = "the gate"
"""Name of the test that stands for the verdict."""

_SAID = {
    "lost": "passed in the baseline, fails now",
    "new": "fails, and the baseline does not know it",
    "before": "failed in the baseline too",
    "fail": "fails",
}
_LONGEST = 10_000


def junit_of(run: EvalRun, verdict: Verdict, cases: Iterable[Case], *, baseline: EvalRun | None = None) -> str:
    r"""One XML document in the shape of Jenkins' ``junit-10.xsd``: a test for each case, and one named ``the gate``.

    - A case that fails is a ``failure`` whose type is ``lost``, ``new``, ``before`` or ``fail``; one that could not run is an
      ``error``; a quarantined one is ``skipped``. Its time is that of all its attempts.
    - The test ``the gate`` says what the exit code says: it passes only with the verdict ``pass``; ``fail`` and ``undecided``
      are failures of that type, for a gate that was not shown to pass is not open; ``error`` is an error.
    - Characters that XML 1.0 does not allow are written as escapes (``\x1b``).
    """
    each = standings(run, verdict, cases, baseline)
    tests = [_test(s) for s in each]
    gate = Xml.Element("testcase", name=GATE, classname="andon")
    if verdict.outcome != "pass":
        kind = "error" if verdict.outcome == "error" else "failure"
        _add(
            gate,
            kind,
            "\n".join((verdict.reason, *verdict.notes, *verdict.decides)),
            type=verdict.outcome,
            message=f"{verdict.outcome}: {verdict.reason}",
        )
    tests.append(gate)
    counts = {
        "tests": str(len(tests)),
        **{f"{kind}s": str(sum(t.find(kind) is not None for t in tests)) for kind in ("failure", "error")},
    }
    took_s = sum(r.latency_s or 0.0 for s in each for r in s.attempts)
    suite = Xml.Element("testsuite", {"name": "andon gate", **counts})
    suite.set("skipped", str(sum(t.find("skipped") is not None for t in tests)))
    suite.set("time", f"{took_s:.3f}")
    suite.set("timestamp", format_time(run.at_us).removesuffix("Z"))
    properties = Xml.SubElement(suite, "properties")
    for name, value in _facts(run, verdict):
        Xml.SubElement(properties, "property", name=_clean(name), value=_clean(value))
    suite.extend(tests)
    root = Xml.Element("testsuites", {"name": "andon", "time": f"{took_s:.3f}", **counts})
    root.append(suite)
    Xml.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(root, encoding="unicode") + "\n"


def _facts(run: EvalRun, verdict: Verdict) -> list[tuple[str, str]]:
    return [
        ("verdict", verdict.outcome),
        ("reason", verdict.reason),
        ("target", run.target),
        ("run", run.id),
        ("golden", run.golden),
        ("scorers", run.scorers),
        ("repeats", str(run.repeats)),
        *sorted(run.versions.items()),
    ]


def _test(s: Standing) -> Xml.Element:
    took_s = sum(r.latency_s or 0.0 for r in s.attempts)
    group = s.shown.risk_category or "no risk category"
    test = Xml.Element("testcase", name=_clean(s.case_id), classname=f"andon.{_clean(group)}", time=f"{took_s:.3f}")
    why = "; ".join(part for part in (s.share, s.shown.detail) if part)
    if s.word == "quarantined":
        _add(test, "skipped", "", type="quarantined", message="quarantined: it decides nothing for now")
    elif s.word == "error":
        _add(test, "error", _story(s), type="error", message=f"could not run: {why}")
    elif s.word in FAILING:
        _add(test, "failure", _story(s), type=s.word, message=": ".join(part for part in (_SAID[s.word], why) if part))
    return test


def _story(s: Standing) -> str:
    asked = [] if s.case is None else [f"question: {s.case.question}", f"expected: {s.case.ground_truth}"]
    got = [] if s.word == "error" else [f"got: {'(no answer)' if s.shown.answer is None else s.shown.answer}"]
    return "\n".join([*asked, *got, s.shown.detail])


def _add(test: Xml.Element, kind: str, text: str, *, type: str, message: str) -> None:  # noqa: A002 - JUnit's word
    Xml.SubElement(test, kind, type=type, message=_clean(message)).text = _clean(text)


def _clean(text: str) -> str:
    """Text that XML 1.0 can hold (its section 2.2) and no terminal obeys, shortened; every other character as an escape."""
    short = text[:_LONGEST] + ("…" if len(text) > _LONGEST else "")
    return "".join(c if c.isprintable() or c in "\n\t" else f"\\x{ord(c):02x}" for c in short)
