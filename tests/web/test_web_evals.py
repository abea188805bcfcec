"""Eval runs on the page: what the gate says, case by case; and what can be asked for."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from browsing import NAMES, NOW, House, Visitor, seen

from andon.evals import Baseline, CaseResult, EvalRun, Probed, Quarantine
from andon.evals import run as evals
from andon.evals.run.runs import run_of
from andon.golden import Case
from andon.golden.cases import case_id
from andon.web.pages import evals as runs_page

DAY = 86_400_000_000
EVIL = '<script>alert(1)</script>"><img src=x onerror=alert(2)>\u202e\x07'
PROBES = {"probe": [{"name": "daily", "app": "bot", "target": "https://example.org/ask", "every": "1d"}]}


@dataclass
class Asked:
    """One errand, as the page sees it."""

    id: str
    what: str
    about: str
    args: Mapping[str, Any]
    state: str = "waiting"
    text: str = ""
    share: float | None = None
    error: str = ""
    result: Mapping[str, Any] | None = None


@dataclass
class Desk:
    """Who keeps what is asked for."""

    errands: list[Asked] = field(default_factory=list)
    stopped: list[tuple[str, str]] = field(default_factory=list)

    def ask(self, what: str, by: str, **args: Any) -> str:
        """Keep it."""
        given = {k: v for k, v in args.items() if v is not None}
        self.errands.insert(
            0, Asked(f"W{len(self.errands)}", what, str(next(iter(given.values()))), {**given, "by": by})
        )
        return self.errands[0].id

    def get(self, id: str) -> Asked | None:  # noqa: A002
        """One of them."""
        return next((e for e in self.errands if e.id == id), None)

    def all(self) -> Sequence[Asked]:
        """All of them."""
        return self.errands

    def stop(self, id: str, by: str = "somebody") -> None:  # noqa: A002
        """Remember who stopped it."""
        self.stopped.append((id, by))

    def warm(self) -> None:
        """Nothing to warm."""


def golden(n: int, app: str = "bot", **more: Any) -> list[Case]:
    """Cases of an application."""
    each = []
    for i in range(n):
        question, truth = f"How tall is mountain {i}?", f"{8000 + i} m"
        fields = {"risk_category": ("medical", "low")[i % 2], **more}
        each.append(
            Case(
                question=question, answer="7 m", contexts=(), ground_truth=truth, source="", failure_reason="", added_date="2026-01-01",
                id=case_id(app, question, truth), app=app, **fields,
            )
        )  # fmt: skip
    return each


def run_with(cases: Sequence[Case], bad: Sequence[int] = (), *, days: float = 1, broken: Sequence[int] = (), repeats: int = 1, answer: str = "7 m", flaky: Sequence[int] = ()) -> EvalRun:  # fmt: skip
    """A run in which these cases fail, could not run, or pass every second time."""
    results = []
    for i, c in enumerate(cases):
        for k in range(repeats):
            fails = i in bad or (i in flaky and k % 2 == 1)
            outcome = "error" if i in broken else "fail" if fails else "pass"
            said = None if outcome == "error" else answer if outcome == "fail" else f"It is {c.ground_truth} tall"
            results.append(
                CaseResult(
                    case_id=c.id, repeat=k, outcome=outcome, answer=said, detail=f"measured {i}", risk_category=c.risk_category,  # type: ignore[arg-type]
                    latency_s=0.25, cost_usd=0.001, value=float(outcome == "pass"), measured="m@1",
                )
            )  # fmt: skip
    return run_of(
        cases,
        results,
        at_us=NOW - round(days * DAY),
        target="bot-target",
        scorers="m@1",
        repeats=repeats,
        versions={"revision": f"r{days:g}"},
    )


@dataclass
class Shelf:
    """A house with cases, a baseline and a candidate that lost ten of sixty."""

    house: House
    cases: list[Case]
    base: EvalRun
    bad: EvalRun
    desk: Desk

    def sees(self, path: str, role: str = "responder") -> Any:
        """What a page shows somebody."""
        return self.house.visitor(role).sees(path)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """Runs that are kept."""
    desk = Desk()
    house = House(tmp_path, more={"errands": desk})
    object.__setattr__(house.site, "settings", replace(house.site.settings, tables=PROBES))
    cases = golden(60)
    for c in cases:
        house.ledger.put(c, now_us=NOW - 30 * DAY, by="Rita")
    base, bad = run_with(cases, [0], days=9), run_with(cases, [0, *range(2, 22, 2)], days=2)
    evals.keep_run(house.ledger, base, now_us=NOW - 9 * DAY, by="Ada")
    evals.set_baseline(house.ledger, base, target="https://example.org/ask", now_us=NOW - 9 * DAY, by="Ada")
    evals.keep_run(house.ledger, bad, now_us=NOW - 2 * DAY, by="Rob")
    return Shelf(house, cases, base, bad, desk)


def forms(visitor: Visitor, path: str) -> set[str]:
    """Where the forms of a page are sent."""
    return set(visitor.sees(path).forms)


def test_the_list_says_first_what_fails(shelf: Shelf) -> None:
    """The head names the application whose newest candidate fails, its row the verdict, and the baseline is named as such."""
    page = shelf.sees("/evals")
    assert "The newest candidate of bot fails the gate" in page.text
    assert "10 of 60 cases passed before and fail now" in page.text
    assert "what candidates of bot are compared with" in page.text
    assert f"/evals/{shelf.bad.id}" in page.links


def test_an_empty_house_teaches(house: House) -> None:
    """With no run it is said what makes one, to everybody; and there is nothing to compare."""
    page = house.visitor("viewer").sees("/evals")
    assert "No run is kept yet" in page.text
    assert "andon eval baseline" in page.text
    assert "No probe is set up" in page.text
    assert "not two runs" in house.visitor("viewer").sees("/evals/compare").text


@pytest.mark.parametrize(
    ("query", "shown"), [("outcome=fail", True), ("outcome=pass", False), ("app=bot", True), ("app=other", False)]
)
def test_filters_leave_what_fits(shelf: Shelf, query: str, shown: bool) -> None:
    """A filter leaves the runs that fit, and says what would bring others where none does."""
    rows = shelf.house.visitor("viewer").client.get(f"/evals?{query}&as=json&table=runs").json()
    assert any(r["run"] == shelf.bad.id for r in rows) is shown
    if not shown:
        assert "No run is kept that fits" in shelf.sees(f"/evals?{query}").text


def test_a_file_of_runs_that_lacks_older_ones_says_so(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file with all runs says nothing; one that leaves older ones out says so in its head, and has the newest."""
    viewer = shelf.house.visitor("viewer")
    whole = viewer.get("/evals?as=json&table=runs")
    assert len(whole.json()) > 1
    assert "andon-cut" not in whole.headers
    monkeypatch.setattr(runs_page, "MOST", 1)
    cut = viewer.get("/evals?as=json&table=runs")
    assert cut.json() == whole.json()[:1]
    assert "there may be more" in cut.headers["andon-cut"]


def test_a_run_shows_its_verdict_its_rules_and_what_was_lost(shelf: Shelf) -> None:
    """The page of a run begins with the verdict; the rules have intervals; a lost case stands with both answers and what differs marked."""
    answer = shelf.house.visitor("viewer").get(f"/evals/{shelf.bad.id}")
    page = seen(answer)
    assert page.text.count("Fail: 10 of 60 cases passed before and fail now") == 1
    assert "interval-bar" in answer.text
    assert "<del>It is 8002 m tall</del>" in answer.text
    assert "<ins>7 m</ins>" in answer.text
    assert "expected 8002 m" in page.text
    assert f"/evals/compare?a={shelf.base.id}&b={shelf.bad.id}" in page.links
    assert answer.headers["content-security-policy"]
    assert "style=" not in answer.text


def test_cases_are_filtered_by_where_they_stand_and_risk(shelf: Shelf) -> None:
    """Of all cases those that fit the filters are left, in the file too."""
    client = shelf.house.visitor("viewer").client
    path = f"/evals/{shelf.bad.id}?as=json&table=cases"
    assert len(client.get(path).json()) == 60
    assert len(client.get(path + "&stands=lost").json()) == 10
    assert {r["risk"] for r in client.get(path + "&risk=low").json()} == {"low"}
    [one] = client.get(path + "&q=mountain+47%3F").json()
    assert one["expected"] == "8047 m"


def test_a_case_shows_every_attempt_beside_the_baseline(shelf: Shelf) -> None:
    """The page of a case shows what is expected, what was said before and now, and leads to its neighbours and to the golden set."""
    run = run_with(shelf.cases, [4], days=1, repeats=3, flaky=[6])
    evals.keep_run(shelf.house.ledger, run, now_us=NOW - DAY, by="Rob")
    case = shelf.cases[6]
    page = shelf.sees(f"/evals/{run.id}/cases/{case.id}", "viewer")
    assert "How tall is mountain 6?" in page.text
    assert "2 of 3 attempts pass" in page.text
    assert "attempt 3" in page.text
    assert f"/golden/{case.id}" in page.links
    assert seen(shelf.house.visitor("viewer").get(f"/evals/{run.id}/cases/nothing")).text.count("has no case")
    several = shelf.sees(f"/evals/{run.id}", "viewer")
    assert "is flaky" in several.text


def test_a_case_of_a_run_leads_to_its_golden_case(shelf: Shelf) -> None:
    """The short address of a case is that of the golden set."""
    answer = shelf.house.visitor("viewer").get("/evals/cases/G-1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/golden/G-1")


def test_two_runs_side_by_side(shelf: Shelf) -> None:
    """Two runs are compared by the gate's rules both ways; only what differs is shown unless all is asked for."""
    path = f"/evals/compare?a={shelf.base.id}&b={shelf.bad.id}"
    page = shelf.sees(path, "viewer")
    assert "Fail: 10 of 60 cases passed before and fail now" in page.text
    assert "The other way round: pass: nothing that passed fails now" in page.text
    assert "10 cases" in page.text
    assert "60 cases" in shelf.sees(path + "&all=1", "viewer").text
    text = shelf.house.visitor("viewer").get(path + "&as=md").text
    assert text.startswith("**Fail**")


def test_files_for_continuous_integration(shelf: Shelf) -> None:
    """JUnit, SARIF and the run itself are files that say the same; what is saved is read by the command line."""
    client = shelf.house.visitor("viewer").client
    junit = client.get(f"/evals/{shelf.bad.id}/junit.xml")
    assert "attachment" in junit.headers["content-disposition"]
    assert ElementTree.fromstring(junit.text).tag in ("testsuites", "testsuite")
    assert json.loads(client.get(f"/evals/{shelf.bad.id}/sarif.json").text)["version"] == "2.1.0"
    file = shelf.house.folder / "run.json"
    file.write_bytes(client.get(f"/evals/{shelf.bad.id}/run.json").content)
    assert evals.load_run(file) == shelf.bad


@pytest.mark.parametrize("kind", ["csv", "json", "md"])
def test_tables_are_files(shelf: Shelf, kind: str) -> None:
    """Every table of the pages is had as CSV, JSON and Markdown."""
    client = shelf.house.visitor("viewer").client
    for path, table in (
        ("/evals", "runs"),
        ("/evals", "probes"),
        ("/evals", "quarantine"),
        (f"/evals/{shelf.bad.id}", "rules"),
        (f"/evals/{shelf.bad.id}", "cases"),
    ):
        answer = client.get(f"{path}?as={kind}&table={table}")
        assert answer.status_code == 200, (path, table)
    assert shelf.bad.id in client.get(f"/evals?as={kind}&table=runs").text.replace("\\", "")


def test_a_known_target_is_asked(shelf: Shelf) -> None:
    """Who may asks a known target, within limits; who asks stands in the errand."""
    visitor = shelf.house.visitor("responder")
    assert "/evals" in forms(visitor, "/evals")
    visitor.does(
        "/evals", {"target": "baseline:bot", "way": "gate", "budget_usd": "2.5", "repeats": "3"}, origin="/evals"
    )
    [asked] = shelf.desk.errands
    assert asked.args == {
        "target": "baseline:bot",
        "gate": True,
        "repeats": 3,
        "budget_usd": 2.5,
        "by": NAMES["responder"],
    }
    visitor.does("/evals", {"target": "probe:daily", "way": "baseline", "resume": "yes"})
    assert shelf.desk.errands[0].args["baseline"] is True
    assert shelf.desk.errands[0].args["resume"] is True


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"target": "https://evil.example/"}, "not known"),
        ({"target": "command:rm -rf /"}, "not known"),
        ({"target": "baseline:bot", "way": "best"}, "choose one"),
        ({"target": "baseline:bot", "repeats": "0"}, "1 to 100"),
        ({"target": "baseline:bot", "repeats": "2.5"}, "whole number"),
        ({"target": "baseline:bot", "budget_usd": "-1"}, "above 0"),
        ({"target": "baseline:bot", "budget_usd": "nan"}, "not a number"),
    ],
)  # fmt: skip
def test_no_spec_is_taken_from_a_form(shelf: Shelf, fields: Mapping[str, str], why: str) -> None:
    """Only names of targets that somebody wrote down here are asked; what is refused is said beside the form, with what was typed."""
    answer = shelf.house.visitor("responder").send("/evals", {"budget_usd": "7", **fields}, origin="/evals")
    assert answer.status_code == 422
    assert why in seen(answer).text
    assert not shelf.desk.errands
    assert any(
        a.get("name") == "budget_usd" and a.get("value") == fields.get("budget_usd", "7") for _, a in seen(answer).tags
    )


def test_a_viewer_is_shown_no_buttons(shelf: Shelf) -> None:
    """Buttons that somebody may not press are not there."""
    for path in ("/evals", f"/evals/{shelf.bad.id}", f"/evals/{shelf.bad.id}/cases/{shelf.cases[3].id}"):
        assert not forms(shelf.house.visitor("viewer"), path), path
    assert "/evals" not in forms(shelf.house.visitor("reviewer"), "/evals")


def test_what_is_asked_now_is_shown_and_stopped(shelf: Shelf) -> None:
    """An errand shows how far it is, hostile text harmlessly, and is stopped by who may, in his name."""
    shelf.desk.errands.append(Asked("W9", "evaluate", EVIL, {}, "working", f"61 of 180 {EVIL}", 0.33))
    answer = shelf.house.visitor("responder").get("/evals")
    assert "61 of 180" in answer.text
    assert "<script>alert" not in answer.text
    shelf.house.visitor("responder").does("/evals/stop", {"errand": "W9"}, origin="/evals")
    assert shelf.desk.stopped == [("W9", NAMES["responder"])]


def test_a_server_without_errands_says_so(house: House) -> None:
    """Where nobody does long work the form is refused with what to do instead."""
    cases = golden(3)
    base = run_with(cases)
    evals.set_baseline(house.ledger, base, target="https://example.org/ask", now_us=NOW, by="Ada")
    answer = house.visitor("responder").send("/evals", {"target": "baseline:bot"}, origin="/evals")
    assert answer.status_code == 409
    assert "command line" in seen(answer).text


def test_probes_are_shown_and_asked(shelf: Shelf) -> None:
    """A probe shows when it was asked and what it said, and is asked now by who may; another name is refused."""
    done = Probed(id="daily", at_us=NOW - DAY, run=shelf.bad.id, passed=40, failed=10)
    shelf.house.ledger.put(done, now_us=NOW - DAY, by="andon")
    assert "40 of 50 pass; below its bar of 95%" in shelf.sees("/evals").text
    visitor = shelf.house.visitor("responder")
    visitor.does("/evals/probes/daily", origin="/evals")
    assert (shelf.desk.errands[0].what, shelf.desk.errands[0].args["name"]) == ("probe", "daily")
    assert visitor.send("/evals/probes/other", origin="/evals").status_code == 422


def test_a_case_is_set_aside_and_decides_again(shelf: Shelf) -> None:
    """A reviewer sets a case aside with a reason and takes it back; the record has the name; without a reason a run must show it flaky."""
    case, path = shelf.cases[5].id, f"/evals/{shelf.bad.id}/cases/{shelf.cases[5].id}"
    visitor = shelf.house.visitor("reviewer")
    page = visitor.does(
        "/evals/quarantine", {"case": case, "days": "7", "why": "the index is rebuilt", "to": path}, origin=path
    )
    assert "the index is rebuilt" in page.text
    kept = shelf.house.ledger.get(Quarantine, case)
    assert kept is not None
    assert (kept.by, kept.until_us) == (NAMES["reviewer"], NOW + 7 * DAY)
    assert case in visitor.sees("/evals").text
    visitor.does("/evals/quarantine", {"case": case, "days": "0"}, origin="/evals")
    assert not evals.quarantined(shelf.house.ledger, NOW)
    refused = visitor.send("/evals/quarantine", {"case": case, "days": "3"}, origin=path)
    assert (refused.status_code, "say why" in seen(refused).text) == (422, True)
    assert visitor.send("/evals/quarantine", {"case": case, "days": "99", "why": "x"}, origin=path).status_code == 422
    away = visitor.send("/evals/quarantine", {"case": case, "days": "1", "why": "x", "to": "//evil.example"})
    assert away.headers["location"] == "/"


def test_a_run_becomes_the_baseline_and_the_one_before_again(shelf: Shelf) -> None:
    """A responder makes a run the baseline with the spec that is known, and takes it back; no spec comes from the form."""
    good = run_with(shelf.cases, days=1)
    evals.keep_run(shelf.house.ledger, good, now_us=NOW - DAY, by="Rob")
    visitor = shelf.house.visitor("responder")
    page = visitor.does(f"/evals/{good.id}/baseline", {"target": "baseline:bot"}, origin=f"/evals/{good.id}")
    kept = shelf.house.ledger.get(Baseline, "bot")
    assert kept is not None
    assert (kept.run, kept.by, kept.target) == (good.id, NAMES["responder"], "https://example.org/ask")
    assert f"/evals/{shelf.base.id}/baseline" in page.forms
    visitor.does(f"/evals/{shelf.base.id}/baseline", {"target": "baseline:bot"})
    assert evals.baseline_of(shelf.house.ledger, "bot") == shelf.base
    refused = visitor.send(f"/evals/{good.id}/baseline", {"target": "https://evil.example"}, origin=f"/evals/{good.id}")
    assert refused.status_code == 422


def test_a_run_that_could_not_run_is_no_baseline(shelf: Shelf) -> None:
    """More than 5 % errors: the page says so, offers nothing, and what is sent all the same is refused."""
    broken = run_with(shelf.cases, days=1, broken=range(20))
    evals.keep_run(shelf.house.ledger, broken, now_us=NOW - DAY, by="Rob")
    path = f"/evals/{broken.id}"
    page = shelf.sees(path)
    assert "Could not run: 20 of 60 cases could not run" in page.text
    assert f"{path}/baseline" not in page.forms
    assert (
        shelf.house.visitor("responder").send(f"{path}/baseline", {"target": "baseline:bot"}, origin=path).status_code
        == 422
    )


def test_hostile_texts_are_harmless(house: House) -> None:
    """Whatever questions, answers, details, categories and names hold, it is shown as text, and no address leads elsewhere."""
    cases = [
        replace(c, question=EVIL, ground_truth=EVIL + c.ground_truth, cluster=EVIL)
        for c in golden(4, risk_category=EVIL)
    ]
    for c in cases:
        house.ledger.put(c, now_us=NOW, by=EVIL)
    base, now = run_with(cases, days=3), run_with(cases, [1, 2], answer=EVIL, repeats=2)
    bad = replace(now, target=EVIL, versions={EVIL: EVIL}, results=tuple(replace(r, detail=EVIL) for r in now.results))
    evals.set_baseline(house.ledger, base, target="https://example.org/ask", now_us=NOW - 3 * DAY, by=EVIL[:60])
    evals.keep_run(house.ledger, bad, now_us=NOW, by=EVIL)
    visitor = house.visitor("owner")
    for path in (
        "/evals",
        f"/evals/{bad.id}",
        f"/evals/{bad.id}/cases/{cases[1].id}",
        f"/evals/compare?a={base.id}&b={bad.id}",
        "/evals/compare",
    ):
        answer = visitor.get(path)
        assert answer.status_code == 200, path
        assert "<script>alert" not in answer.text, path
        assert "<img" not in answer.text, path
        assert "\u202e" not in seen(answer).text, path
        assert "\x07" not in seen(answer).text, path


def test_what_is_not_there_is_gone(shelf: Shelf) -> None:
    """A run, a case or a comparison that is not there is a 404 with the way to those that are."""
    for path in (
        "/evals/E-nothing",
        "/evals/E-nothing/junit.xml",
        f"/evals/compare?a=E-nothing&b={shelf.bad.id}",
        f"/evals/{shelf.bad.id}?baseline=E-x",
    ):
        answer = shelf.house.visitor("viewer").get(path)
        assert (answer.status_code, "/evals" in seen(answer).links) == (404, True), path


def test_a_list_reads_each_run_once(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second look at the list reads no run again: a run is megabytes."""
    visitor = shelf.house.visitor("viewer")
    visitor.sees("/evals")
    read: list[str] = []
    get = shelf.house.ledger.get

    def counted(kind: type, name: str) -> Any:
        if kind is EvalRun:
            read.append(name)
        return get(kind, name)

    monkeypatch.setattr(shelf.house.ledger, "get", counted)
    visitor.sees("/evals")
    assert read == []
