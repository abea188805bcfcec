"""Golden cases as pytest tests: a test that carries `andon.case` is asked every case of a golden set.

import andon

@andon.case("golden.jsonl")
def test_answers(case, andon_check):
    andon_check(my_app(case.question))

Loading this plug-in loads pytest and nothing else; everything of Andon is imported once a test uses it. Results travel on the
test reports, so that pytest-xdist brings them to one place; they are put in the order of the golden set there.
"""

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from andon.evals import CaseResult, EvalRun, Output, Verdict
    from andon.evals.rules import Rules
    from andon.golden import Case

__all__ = [
    "Gathering",
    "andon_check",
    "pytest_addoption",
    "pytest_configure",
    "pytest_deselected",
    "pytest_generate_tests",
    "pytest_runtest_makereport",
]

_MARK = "andon"
_ATTEMPT = "andon_attempt"
_SHOWN = 20
_LONGEST = 400
_WORST = ("fail", "error", "pass")

_Set = tuple[str, str | None, str | None]
"""A golden set as a mark names it: path, application, incident."""

_SETS = pytest.StashKey["dict[_Set, list[Case]]"]()
_MEASURES = pytest.StashKey[Any]()
_QUARANTINED = pytest.StashKey[dict[str, str]]()
_CHECKED = pytest.StashKey["list[CaseResult]"]()
_PART = pytest.StashKey[bool]()
"""Whether golden cases were deselected."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Four options; without a golden case none of them does anything."""
    group = parser.getgroup("andon", "golden cases (andon)")
    group.addoption("--andon-repeats", type=_count, default=1, metavar="K", help="Ask every golden case K times.")
    group.addoption("--andon-out", metavar="FILE", help="Save the run, to be the baseline of later ones.")
    group.addoption(
        "--andon-baseline",
        metavar="FILE",
        help="Compare with a saved run: the verdict then decides, not each failing case (fail: exit 1).",
    )
    group.addoption(
        "--andon-undecided",
        choices=("fail", "pass"),
        default="fail",
        help="With a baseline: what an undecided verdict does to the exit status (default: fail).",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Name the mark, so that --strict-markers knows it; a run never becomes the baseline that it is compared with."""
    config.addinivalue_line(
        "markers", f"{_MARK}(golden, app=None, incident=None): ask this test every case of a golden set (JSONL)."
    )
    config.addinivalue_line("markers", f"{_ATTEMPT}(k): which attempt at its case a test is; set by --andon-repeats.")
    if not hasattr(config, "workerinput"):  # with pytest-xdist: the process that reports, not its workers
        gathering = Gathering(config)
        if gathering.out is not None and gathering.out == gathering.baseline:
            raise pytest.UsageError("--andon-out and --andon-baseline are the same file; save the run elsewhere")
        config.pluginmanager.register(gathering, "andon-gathering")


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Remember that golden cases are left out (``-k``, ``-m``, ``--lf``)."""
    for item in items:
        if _case_of(item) is not None:
            item.config.stash[_PART] = True


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each case, by its id; with repeats one for each attempt. In the order of the file, always."""
    mark = metafunc.definition.get_closest_marker(_MARK)
    if mark is None:
        return
    config = metafunc.config
    cases = _cases(config, _set_of(mark, metafunc.definition))
    out = _quarantined(config)
    repeats: int = config.getoption("--andon-repeats")
    parameters = [
        pytest.param(
            case,
            id=case.id if repeats == 1 else f"{case.id}-{k + 1}",
            marks=[getattr(pytest.mark, _ATTEMPT)(k), *_excused(out.get(case.id))],
        )
        for case in cases
        for k in range(repeats)
    ]
    metafunc.parametrize("case", parameters)


@pytest.fixture
def andon_check(request: pytest.FixtureRequest) -> "Callable[[str | Mapping[str, Any] | Output | None], CaseResult]":
    """Score an answer as `andon gate` does, and fail the test where it does not pass: ``andon_check(answer)``.

    The answer is a text, None, a mapping with `answer` and perhaps `contexts` and `tool_calls`, or an `andon.evals.Output`.
    """
    case = _case_of(request.node)
    if case is None:
        pytest.fail(
            'andon_check is for a test that carries @andon.case("golden.jsonl") and takes `case`', pytrace=False
        )
    checked = request.node.stash[_CHECKED] = []  # a test that is run again begins anew
    began = time.perf_counter()

    def check(answer: "str | Mapping[str, Any] | Output | None") -> "CaseResult":
        __tracebackhide__ = True
        took_s = time.perf_counter() - began
        result = _score(request.config, case, answer, took_s)
        checked.append(result)
        if result.outcome == "error":
            from andon.errors import SeamError

            raise SeamError(result.detail)
        if result.outcome == "fail":
            pytest.fail(_story(case, result), pytrace=False)
        return result

    return check


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: "pytest.CallInfo[None]"
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Write the attempt on the report; with a baseline a failing case is no failing test, for the verdict decides."""
    report = yield
    case = _case_of(item)
    if case is None or call.when == "teardown" or (call.when == "setup" and call.excinfo is None):
        return report
    error = None if call.excinfo is None else call.excinfo.value
    if isinstance(error, pytest.skip.Exception):
        report.andon = None  # type: ignore[attr-defined]
        return report
    result = _attempt(item, case, error, call.duration)
    mark = item.get_closest_marker(_MARK)
    assert mark is not None
    part = item.config.stash.get(_PART, False)
    report.andon = {"result": asdict(result), "set": list(_set_of(mark, item)), "part": part}  # type: ignore[attr-defined]
    if error is None and result.outcome != "pass" and not hasattr(report, "wasxfail"):
        report.outcome, report.longrepr = (
            "failed",
            _plain(result.detail),
        )  # nothing was checked, or the test passed over it
    if result.outcome == "fail" and report.failed and item.config.getoption("--andon-baseline"):
        report.outcome = "skipped"
        report.wasxfail = "fails; the verdict at the end decides"
    return report


class Gathering:
    """The attempts of one session, wherever they ran: put together, saved, compared at the end."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self.baseline, self.out = (
            None if (name := config.getoption(option)) is None else (config.invocation_params.dir / name).resolve()
            for option in ("--andon-baseline", "--andon-out")
        )
        self._attempts: dict[str, dict[str, Any]] = {}
        self._part = False
        self._verdict: Verdict | None = None
        self._said: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the first answer of a test: one that is run again until it passes has not passed. An error is no answer."""
        if not hasattr(report, "andon"):
            return
        said: dict[str, Any] | None = report.andon
        known = self._attempts.get(report.nodeid)
        self._part = self._part or said is None or said["part"]
        if said is not None and (known is None or known["result"]["outcome"] == "error"):
            self._attempts[report.nodeid] = said

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Compare the run, save it, and let the verdict decide; what was asked for and cannot be done is no success."""
        if self._config.getoption("collectonly") or not (self._attempts or self.baseline or self.out):
            return
        ended = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)
        if session.shouldfail or session.shouldstop or session.exitstatus not in ended:
            self._said = ["pytest was stopped: no run is saved, and there is no verdict"]
            return
        if not self._attempts:
            self._said = ["error: no golden case was asked, so no run is saved, and there is no verdict"]
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
            return
        from andon.errors import AndonError

        try:
            self._finish()
        except AndonError as error:
            self._said.append(f"error: {error}")
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
            return
        if self._verdict is None:
            return
        waved = self._config.getoption("--andon-undecided") == "pass"
        if self._verdict.outcome not in ("pass", "undecided" if waved else "pass"):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what came of the cases, and the verdict."""
        if self._said:
            terminalreporter.section("golden cases")
            for line in self._said:
                terminalreporter.write_line(_plain(line))

    def _finish(self) -> None:
        from andon.errors import InputError
        from andon.evals import judge
        from andon.evals.run import load_run, save_run

        before = load_run(self.baseline) if self.baseline else None
        every = self._every()
        run = self._run(every)
        self._said = list(_counted(run))
        if before is not None:
            rules = _rules(self._config)
            self._verdict = judge(
                run, before, rules=rules, quarantined=_quarantined(self._config), left_out=_left_out(self._config)
            )
            self._said += _judged(self._verdict, every)
            self._said += _not_taken(rules, self._config)
        if self.out is None:
            return
        if self._part or len(run.results) < len(every) * run.repeats:
            why = "not every golden case was asked (skipped, deselected, chosen by name), and a baseline holds them all"
            raise InputError(f"no run is saved in {self.out.name}: {why}")
        save_run(run, self.out)
        self._said.append(f"the run is saved in {self.out.name}")

    def _every(self) -> "list[Case]":
        """The cases of the sets that were asked, in their order: those that were skipped or deselected, too."""
        sets = sorted({tuple(said["set"]) for said in self._attempts.values()}, key=str)
        return list({c.id: c for one in sets for c in _cases(self._config, one)}.values())

    def _run(self, every: "Sequence[Case]") -> "EvalRun":
        from andon.evals import CaseResult, EvalRun, scorer_versions
        from andon.evals.run.runs import named
        from andon.golden import golden_digest

        asked = {said["result"]["case_id"] for said in self._attempts.values()}
        cases = [c for c in every if c.id in asked]
        found: dict[tuple[str, int], CaseResult] = {}
        for said in self._attempts.values():
            result = CaseResult(**{**said["result"], "judged": tuple(said["result"]["judged"])})
            key = (result.case_id, result.repeat)
            found[key] = min(found.get(key, result), result, key=lambda r: _WORST.index(r.outcome))
        repeats: int = self._config.getoption("--andon-repeats")
        apps = {c.app for c in cases}
        return named(
            EvalRun(
                id="",
                at_us=time.time_ns() // 1000,
                target="pytest",
                golden=golden_digest(cases),
                scorers=scorer_versions(cases, *_measures(cases)),
                results=tuple(found[c.id, k] for c in cases for k in range(repeats) if (c.id, k) in found),
                app=apps.pop() if len(apps) == 1 else None,
                repeats=repeats,
            )
        )


def _excused(why: str | None) -> list[pytest.MarkDecorator]:
    return [] if why is None else [pytest.mark.xfail(reason=why, strict=False)]


def _set_of(mark: pytest.Mark, item: pytest.Item) -> _Set:
    """The set that a mark names; its path is relative to the test's file, else to pytest's root folder."""
    if len(mark.args) != 1 or set(mark.kwargs) - {"app", "incident"}:
        raise pytest.Collector.CollectError(f'{item.nodeid}: write @andon.case("golden.jsonl", app=..., incident=...)')
    path = next(
        (p for folder in (item.path.parent, item.config.rootpath) if (p := folder / mark.args[0]).is_file()), None
    )
    if path is None:
        raise pytest.Collector.CollectError(
            f"{item.nodeid}: there is no golden set {mark.args[0]!s} beside the test or in {item.config.rootpath}"
        )
    return str(path), mark.kwargs.get("app"), mark.kwargs.get("incident")


def _cases(config: pytest.Config, named: _Set) -> "list[Case]":
    """The cases of a set that are tested, each once."""
    known = config.stash.setdefault(_SETS, {})
    if named not in known:
        from andon.errors import AndonError
        from andon.golden.files import read_set

        path, app, incident = named
        try:
            each = {c.id: c for c in read_set(Path(path), app=app or "default")}
        except AndonError as error:
            raise pytest.Collector.CollectError(_plain(str(error))) from None
        known[named] = [
            c for c in each.values() if app in (None, c.app) and incident in (None, c.incident) and c.retired is None
        ]
    if not known[named]:
        raise pytest.Collector.CollectError(f"{named[0]} holds no case to ask; an empty golden set tests nothing")
    return known[named]


def _left_out(config: pytest.Config) -> set[str]:
    """Cases of the sets that no mark asks for: they are retired, or of another application or incident."""
    from andon.golden.files import read_set

    asked = {c.id for cases in config.stash[_SETS].values() for c in cases}
    return {c.id for path, app, _ in config.stash[_SETS] for c in read_set(Path(path), app=app or "default")} - asked


def _rules(config: pytest.Config) -> "Rules":
    """The rules in pytest's root folder, as `andon gate` takes them; else the default ones."""
    from andon.evals.rules import DEFAULT, parse_rules
    from andon.golden.files import read_text

    file = config.rootpath / "andon-gate.toml"
    return parse_rules(read_text(file), name=file.name, now_us=time.time_ns() // 1000) if file.is_file() else DEFAULT


def _not_taken(rules: "Rules", config: pytest.Config) -> Iterator[str]:
    """The keys of the rules that pytest cannot honour."""
    if rules.baseline is not None:
        yield "`baseline` of andon-gate.toml does not count here: --andon-baseline does"
    if rules.repeats not in (1, config.getoption("--andon-repeats")):
        yield f"`repeats` of andon-gate.toml does not count here: --andon-repeats {rules.repeats} does"


def _quarantined(config: pytest.Config) -> dict[str, str]:
    """Cases that decide nothing for now, each with the reason: from the rules, and the ledger of the home where there is one."""
    if _QUARANTINED not in config.stash:
        from andon.errors import AndonError
        from andon.evals.run import quarantined
        from andon.settings import load
        from andon.store import Ledger
        from andon.traffic.clock import minute_text

        now_us = time.time_ns() // 1000
        try:
            found = _rules(config).set_aside(now_us)
        except AndonError:
            found = {}  # the end of the session says what is wrong with the rules
        file = load().home / "ledger.db"
        if file.is_file():
            ledger = Ledger.open(file)
            try:
                found |= quarantined(ledger, now_us)
            finally:
                ledger.close()
        config.stash[_QUARANTINED] = {
            i: _plain(f"quarantined until {minute_text(q.until_us)}: {q.why}") for i, q in found.items()
        }
    return config.stash[_QUARANTINED]


def _case_of(item: pytest.Item) -> "Case | None":
    """The case that a test is asked; None for every other test."""
    if item.get_closest_marker(_MARK) is None:
        return None
    parameters = getattr(item, "callspec", None)
    return None if parameters is None else parameters.params.get("case")


def _score(config: pytest.Config, case: "Case", answer: Any, took_s: float) -> "CaseResult":
    from andon.evals import Output, score_case
    from andon.evals.targets.reading import output_of

    output = answer if isinstance(answer, Output) else output_of(answer, "the test")
    if _MEASURES not in config.stash:
        every = [c for cases in config.stash[_SETS].values() for c in cases]
        config.stash[_MEASURES] = _measures(every)
    result = score_case(case, output, *config.stash[_MEASURES])
    return replace(result, latency_s=took_s if output.latency_s is None else output.latency_s)


def _measures(cases: "Sequence[Case]") -> Any:
    """The scorers that these cases ask for, and the embedder."""
    from andon.evals.scorers import scorers_for
    from andon.scores.embedding import Cached, choose
    from andon.scores.run import installed_scorers
    from andon.settings import load

    settings = load()
    return scorers_for(cases, installed_scorers(), settings), Cached(choose(settings))


def _attempt(item: pytest.Item, case: "Case", error: BaseException | None, took_s: float) -> "CaseResult":
    """What came of one attempt: the worst of what was checked, else the test's own word."""
    from andon.evals import CaseResult

    attempt = item.get_closest_marker(_ATTEMPT)
    checks: list[CaseResult] | None = item.stash.get(_CHECKED, None)
    checked = sorted(checks or (), key=lambda r: _WORST.index(r.outcome))
    own = CaseResult(case_id=case.id, outcome="pass", risk_category=case.risk_category, latency_s=took_s)
    result = checked[0] if checked else own
    if checks == [] and error is None:
        result = replace(own, outcome="error", detail="the test never called andon_check, so nothing was measured")
    if error is not None and result.outcome == "pass":
        kind: Literal["fail", "error"] = (
            "fail" if isinstance(error, AssertionError | pytest.fail.Exception) else "error"
        )
        result = replace(result, outcome=kind, detail=_plain(f"{type(error).__name__}: {error}")[:_LONGEST])
    answer = (
        None if result.answer is None else result.answer.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    )
    return replace(result, repeat=attempt.args[0] if attempt else 0, cluster=case.variant_of or case.id, answer=answer)


def _story(case: "Case", result: "CaseResult") -> str:
    from andon.traffic.quoting import quoted

    return "\n".join(
        (
            f"case {case.id}: {_plain(result.detail)}",
            f"  question: {quoted(case.question, _LONGEST)}",
            f"  expected: {quoted(case.ground_truth, _LONGEST)}",
            f"  got:      {'no answer' if result.answer is None else quoted(result.answer, _LONGEST)}",
        )
    )


def _counted(run: "EvalRun") -> Iterator[str]:
    """What came of the cases, in one line, and those that differ from attempt to attempt."""
    from andon.evals.shown import outcomes as outcomes_of

    by_case: dict[str, list[str]] = {}
    for r in run.results:
        by_case.setdefault(r.case_id, []).append(r.outcome)
    outcomes = Counter(outcomes_of(run).values())
    attempts = f", {run.repeats} attempts each" if run.repeats > 1 else ""
    yield f"{len(by_case)} cases{attempts}: {outcomes['pass']} pass, {outcomes['fail']} fail, {outcomes['error']} could not run"
    flaky = [(i, each) for i, each in by_case.items() if {"pass", "fail"} <= set(each)]
    for case_id, each in flaky[:_SHOWN]:
        yield f"  flaky: {case_id} passes {each.count('pass')} of {len(each)} times"
    if len(flaky) > _SHOWN:
        yield f"  and {len(flaky) - _SHOWN} more"


def _judged(verdict: "Verdict", cases: "Sequence[Case]") -> Iterator[str]:
    from andon.traffic.quoting import quoted

    yield f"{verdict.outcome}: {verdict.reason}"
    yield from verdict.notes
    yield from (f"what would decide it: {text}" for text in verdict.decides)
    known = {c.id: c for c in cases}
    for case_id in verdict.lost[:_SHOWN]:
        yield f"  lost: {case_id} {quoted(known[case_id].question, 100) if case_id in known else ''}"
    if len(verdict.lost) > _SHOWN:
        yield f"  and {len(verdict.lost) - _SHOWN} more"


def _plain(text: str) -> str:
    """One line that no terminal obeys."""
    return "".join(c if c.isprintable() else " " for c in text)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 1000):
        raise ValueError(text)
    return int(text)
