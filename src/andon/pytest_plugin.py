"""Golden cases as pytest tests: a test that carries `andon.case` is asked every case of a golden set.

import andon

@andon.case("golden.jsonl")
def test_answers(case, andon_check):
    andon_check(my_app(case.question))

Loading this plug-in loads pytest and nothing else; everything of Andon is imported once a test uses it. Results travel on the
test reports, so that pytest-xdist brings them to one place; they are put in the order of the golden set there.
"""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from andon.evals import CaseResult, EvalRun, Output, Quarantine
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
_LONGEST = 400
_WORST = ("fail", "error", "pass")
_ITSELF = "pytest "
"""How the measure of an own assertion begins; its test follows."""

_Set = tuple[str, str | None, str | None]
"""A golden set as a mark names it: path, application, incident."""

_SETS = pytest.StashKey["dict[_Set, tuple[Case, ...]]"]()
_MEASURES = pytest.StashKey[Any]()
_QUARANTINED = pytest.StashKey["dict[str, Quarantine]"]()
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
    cases = _cases(metafunc.config, _set_of(mark, metafunc.definition))
    out = _quarantined(metafunc.config)
    repeats: int = metafunc.config.getoption("--andon-repeats")
    parameters = []
    for case in cases:
        why = f"quarantined: {_line(out[case.id].why)}" if case.id in out else None
        marks = [] if why is None else [pytest.mark.xfail(reason=why, strict=False)]
        for k in range(repeats):
            name = _asked_as(metafunc.config, case, k)
            parameters.append(pytest.param(case, id=name, marks=[getattr(pytest.mark, _ATTEMPT)(k), *marks]))
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
        # nothing was checked, or the test passed over it
        report.outcome, report.longrepr = "failed", _line(result.detail)
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
        self._outcome = "pass"
        """What the verdict says; there is one with a baseline only."""
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
            self._said.append(f"error: {_line(str(error), 2000)}")
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
            return
        waved = self._outcome == "undecided" and self._config.getoption("--andon-undecided") == "pass"
        if self._outcome != "pass" and not waved:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what came of the cases, and the verdict."""
        if self._said:
            terminalreporter.section("golden cases")
            for line in self._said:
                terminalreporter.write_line(line)

    def _finish(self) -> None:
        from andon.errors import InputError
        from andon.evals import judge, summarise, tell
        from andon.evals.run import load_run, save_run

        before = load_run(self.baseline) if self.baseline else None
        every = self._every()
        run, out = self._run(every), _quarantined(self._config)
        if before is None:
            self._said = tell(run, judge(run, None, quarantined=out), every).splitlines()
        else:
            rules = _rules(self._config)
            verdict = judge(run, before, rules=rules, quarantined=out, left_out=_left_out(self._config))
            self._outcome = verdict.outcome
            self._said = summarise(run, verdict, every, baseline=before).splitlines()
            if rules.baseline is not None:
                self._said.append("`baseline` of andon-gate.toml does not count here: --andon-baseline does")
            if rules.repeats not in (1, run.repeats):
                self._said.append(
                    f"`repeats` of andon-gate.toml does not count here: --andon-repeats {rules.repeats} does"
                )
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
        from andon.evals import CaseResult, scorer_versions
        from andon.evals.run.runs import run_of
        from andon.evals.scoring import measured_by

        found: dict[tuple[str, int], list[CaseResult]] = {}
        scored = set()
        for said in self._attempts.values():
            result = CaseResult(**said["result"] | {"judged": tuple(said["result"]["judged"])})
            found.setdefault((result.case_id, result.repeat), []).append(result)
            if not result.measured.startswith(_ITSELF):
                scored.add(result.case_id)
        cases = [c for c in every if c.id in {case for case, _ in found}]
        measures = _measures(cases)
        measured = {c.id: measured_by(c, *measures) for c in cases}
        repeats: int = self._config.getoption("--andon-repeats")
        each = ((c.id, k) for c in cases for k in range(repeats))
        return run_of(
            cases,
            (_together(found[key], measured[key[0]]) for key in each if key in found),
            at_us=_now_us(),
            target="pytest",
            scorers=scorer_versions([c for c in cases if c.id in scored], *measures) or _ITSELF.strip(),
            repeats=repeats,
        )


def _set_of(mark: pytest.Mark, item: pytest.Item) -> _Set:
    """The set that a mark names; its path is relative to the test's file, else to pytest's root folder."""
    if len(mark.args) != 1 or set(mark.kwargs) - {"app", "incident"}:
        raise pytest.Collector.CollectError(f'{item.nodeid}: write @andon.case("golden.jsonl", app=..., incident=...)')
    folders = (item.path.parent, item.config.rootpath)
    path = next((p for folder in folders if (p := folder / mark.args[0]).is_file()), None)
    if path is None:
        raise pytest.Collector.CollectError(
            f"{item.nodeid}: there is no golden set {mark.args[0]!s} beside the test or in {item.config.rootpath}"
        )
    return str(path), mark.kwargs.get("app"), mark.kwargs.get("incident")


def _cases(config: pytest.Config, named: _Set) -> "list[Case]":
    """The cases of a set that are tested, each once."""
    path, app, incident = named
    known = config.stash.setdefault(_SETS, {})
    if named not in known:
        from andon.errors import AndonError
        from andon.golden.files import read_set

        try:
            known[named] = read_set(Path(path), app=app or "default")
        except AndonError as error:
            raise pytest.Collector.CollectError(_line(str(error), 2000)) from None
    each = {c.id: c for c in known[named] if c.retired is None}
    found = [c for c in each.values() if app in (None, c.app) and incident in (None, c.incident)]
    if not found:
        raise pytest.Collector.CollectError(f"{path} holds no case to ask; an empty golden set tests nothing")
    return found


def _left_out(config: pytest.Config) -> set[str]:
    """Cases of the sets that no mark asks for: they are retired, or of another application or incident."""
    sets = config.stash[_SETS]
    return {c.id for each in sets.values() for c in each} - {c.id for named in sets for c in _cases(config, named)}


def _rules(config: pytest.Config) -> "Rules":
    """The rules in pytest's root folder, as `andon gate` takes them; else the default ones."""
    from andon.evals.run.rules import rules_in

    return rules_in(None, folder=config.rootpath, now_us=_now_us())


def _quarantined(config: pytest.Config) -> "dict[str, Quarantine]":
    """Cases that decide nothing for now: by the rules, and by the ledger of the home where there is one."""
    if _QUARANTINED not in config.stash:
        from andon.errors import AndonError
        from andon.evals.run import quarantined
        from andon.settings import load
        from andon.store import has_ledger, open_ledger

        try:
            found = _rules(config).set_aside(_now_us())
        except AndonError:
            found = {}  # the end of the session says what is wrong with the rules
        if has_ledger(chosen := load()):
            ledger = open_ledger(chosen)
            try:
                found |= quarantined(ledger, _now_us())
            finally:
                ledger.close()
        config.stash[_QUARANTINED] = found
    return config.stash[_QUARANTINED]


def _case_of(item: pytest.Item) -> "Case | None":
    """The case that a test is asked; None for every other test."""
    if item.get_closest_marker(_MARK) is None:
        return None
    parameters = getattr(item, "callspec", None)
    return None if parameters is None else parameters.params.get("case")


def _score(config: pytest.Config, case: "Case", answer: Any, took_s: float) -> "CaseResult":
    from andon.evals import score_case
    from andon.evals.targets.reading import output_of

    output = output_of(answer, "the test")
    if _MEASURES not in config.stash:
        config.stash[_MEASURES] = _measures([c for named in config.stash[_SETS] for c in _cases(config, named)])
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
    k = attempt.args[0] if attempt else 0
    checks: list[CaseResult] | None = item.stash.get(_CHECKED, None)
    checking = checks is not None or "andon_check" in getattr(item, "fixturenames", ())
    own = CaseResult(
        case_id=case.id,
        outcome="pass",
        risk_category=case.risk_category,
        latency_s=took_s,
        measured="" if checking else _itself(item, _asked_as(item.config, case, k)),
    )
    result = min(checks or (own,), key=lambda r: _WORST.index(r.outcome))
    if checks == [] and error is None:
        result = replace(own, outcome="error", detail="the test never called andon_check, so nothing was measured")
    if error is not None and result.outcome == "pass":
        said = _line(f"{type(error).__name__}: {error}")
        failed = isinstance(error, AssertionError | pytest.fail.Exception)
        result = replace(result, outcome="fail" if failed else "error", detail=said)
    return replace(result, repeat=k)


def _asked_as(config: pytest.Config, case: "Case", k: int) -> str:
    """What the id of a test calls an attempt at a case."""
    return case.id if config.getoption("--andon-repeats") == 1 else f"{case.id}-{k + 1}"


def _itself(item: pytest.Item, asked_as: str) -> str:
    """A test as the measure of what it asserts: its node id without the case. Another test is another measure."""
    return f"{_ITSELF}{item.listchain()[-2].nodeid}::{item.name.replace(asked_as, '')}"


def _together(tests: "Sequence[CaseResult]", measure: str) -> "CaseResult":
    """One attempt at a case, from the tests that made it: the worst of them, measured by all; `measure` is that of the check."""
    by = sorted({r.measured or measure for r in tests}, key=lambda m: (m.startswith(_ITSELF), m))
    return replace(min(tests, key=lambda r: _WORST.index(r.outcome)), measured=" ".join(by))


def _story(case: "Case", result: "CaseResult") -> str:
    got = "no answer" if result.answer is None else f'"{_line(result.answer)}"'
    return (
        f"case {case.id}: {_line(result.detail)}\n"
        f'  question: "{_line(case.question)}"\n  expected: "{_line(case.ground_truth)}"\n  got:      {got}'
    )


def _line(text: str, limit: int = _LONGEST) -> str:
    """One line that no terminal obeys."""
    from andon.traffic.quoting import quoted

    return quoted(text, limit)[1:-1]


def _now_us() -> int:
    return time.time_ns() // 1000


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 1000):
        raise ValueError(text)
    return int(text)
