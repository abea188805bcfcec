"""Laws of the golden set's pages: what is tested, why, how it fares, what it covers, and how it changes hands."""

import json
from pathlib import Path
from typing import Any

import pytest
from browsing import NOW, House, seen
from goldens import HOSTILE, harmless, hashed_house, made_case, made_failure, said_by

from andon.evals import CaseResult, Quarantine
from andon.evals.run import keep_run
from andon.evals.run.runs import run_of
from andon.golden import Case, CoverageMap, Failure, NearDuplicate
from andon.golden import run as golden
from andon.golden.cases import case_id
from andon.golden.coverage import Asked, coverage_of
from andon.scores import hashed
from andon.settings import load

DAY_US = 86_400_000_000


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A site that makes cases by itself."""
    return hashed_house(tmp_path)


def kept_run(house: House, cases: list[Case], outcomes: list[str], at_us: int) -> str:
    """A run of these cases, kept; returns its id."""
    results = [
        CaseResult(case_id=c.id, outcome=o, answer=f"answer of {c.id}", detail="compared")
        for c, o in zip(cases, outcomes, strict=True)
    ]  # type: ignore[arg-type]
    run = run_of(cases, results, at_us=at_us, target="file:answers.jsonl", scorers="normalised_match@1", app="maps")
    keep_run(house.ledger, run, now_us=at_us, by="ci")
    return run.id


def test_the_set_is_listed_with_its_pace(house: House) -> None:
    """The header says how many cases are tested and how fast the set grows, in words without commands; each case is a link."""
    one, gone = made_case(house), made_case(house, "Old?", "x", retired="2026-02-01", retired_why="the law changed")
    page = house.visitor("viewer").sees("/golden")
    assert "1 case must pass for ever" in page.text
    assert "`" not in page.text
    assert f"/golden/{one.id}" in page.links
    assert f"/golden/{gone.id}" not in page.links
    assert page.forms == []


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("app=shop", {"shop"}), ("risk=high", {"high"}), ("metric=refusal", {"refusal"}), ("origin=incident", {"incident"}),
        ("incident=INC-0001", {"incident"}), ("state=retired", {"retired"}), ("state=quarantined", {"held"}), ("q=NEEDLE", {"needle"}),
        ("state=all", {"shop", "high", "refusal", "incident", "retired", "held", "needle"}),
        ("", {"shop", "high", "refusal", "incident", "held", "needle"}),
    ],
)  # fmt: skip
def test_a_link_reproduces_what_is_filtered(house: House, query: str, found: set[str]) -> None:
    """Application, risk, metric, origin, incident, state and text narrow the list, alone and as a link."""
    made = {
        "shop": made_case(house, "a?", app="shop"), "high": made_case(house, "b?", risk_category="high"),
        "refusal": made_case(house, "c?", metric="refusal"),
        "incident": made_case(house, "d?", incident="INC-0001", source="incident INC-0001"),
        "retired": made_case(house, "e?", retired="2026-02-01", retired_why="old"), "held": made_case(house, "f?"),
        "needle": made_case(house, "where is the needle?"),
    }  # fmt: skip
    held = Quarantine(id=made["held"].id, until_us=NOW + DAY_US, by="Ada", why="flaky", at_us=NOW)
    house.ledger.put(held, now_us=NOW, by="Ada")
    links = house.visitor("viewer").sees(f"/golden?{query}").links
    assert {name for name, c in made.items() if f"/golden/{c.id}" in links} == found


@pytest.mark.parametrize("form", ["csv", "json", "md"])
def test_every_table_is_taken_along(house: House, form: str) -> None:
    """Each table of these pages is had as CSV, JSON and Markdown; the list as a whole, with ids."""
    cases = [made_case(house, f"question {k}?") for k in range(60)]
    kept_run(house, cases[:2], ["pass", "fail"], NOW)
    cover(house)
    vic = house.visitor("viewer")
    text = vic.get(f"/golden?as={form}&table=cases").text.replace("\\", "")
    assert all(c.id in text for c in cases)
    for path, name in (
        ("/golden/growth", "growth"), ("/golden/versions", "versions"), ("/golden/versions?day=2026-03-02", "moves"),
        ("/golden/coverage", "coverage"), ("/golden/coverage", "holes"), ("/golden/duplicates", "decisions"),
        ("/golden/capture", "rules"), (f"/golden/{cases[0].id}", "results"), (f"/golden/{cases[0].id}", "history"), ("/golden/import", "refused"),
    ):  # fmt: skip
        answer = vic.get(f"{path}{'&' if '?' in path else '?'}as={form}&table={name}")
        assert answer.status_code == 200, (path, name, answer.text[:200])


def test_a_case_tells_its_story(house: House) -> None:
    """Question, right answer, what failed, how it is measured, where it comes from, its variants, and each run that asked it."""
    f = made_failure(house, interaction_id="it-1", incident="INC-0001", reason="a user said so")
    said_by(house, f, "Rita", "8611 m")
    golden.add_cases(house.ledger, hashed.load(load({})), now_us=NOW, by="Rita")
    (case,) = house.ledger.all(Case)
    variant = made_case(house, "K2 is how tall?", variant_of=case.id)
    runs = [kept_run(house, [case], [o], NOW + k * DAY_US) for k, o in enumerate(("fail", "pass", "error"))]
    page = house.visitor("viewer").sees(f"/golden/{case.id}")
    for words in (
        "How tall is K2?",
        "8611 m",
        "8848 m",
        "a user said so",
        "It could not run in the last run, and passed in 1 of the last 3",
        "captured from",
    ):
        assert words in page.text, words
    for link in (
        f"/labels/{f.id}",
        "/traffic/it-1",
        "/incidents/INC-0001",
        f"/golden/{variant.id}",
        *(f"/evals/{r}" for r in runs),
    ):
        assert link in page.links, link
    assert page.forms == []
    assert f"/golden/{case.id}" in house.visitor("viewer").get(f"/golden/{case.id}?as=md").text
    assert house.visitor("viewer").get("/golden/G-none").status_code == 404


def test_a_case_is_retired_and_brought_back(house: House) -> None:
    """Retiring says why, is kept in the person's name, names variants that are still tested, and can be undone."""
    case = made_case(house)
    variant = made_case(house, "K2 is how tall?", variant_of=case.id)
    rita = house.visitor("reviewer")
    assert rita.send(f"/golden/{case.id}/retire", {"why": ""}, origin=f"/golden/{case.id}").status_code == 422
    page = rita.does(f"/golden/{case.id}/retire", {"why": "the mountain was measured anew"})
    assert variant.id in page.text
    kept = house.ledger.latest(Case, case.id)
    assert kept is not None
    assert (kept.record.retired_why, kept.by) == ("the mountain was measured anew", "Rita")
    assert f"/golden/{case.id}/back" in page.forms
    rita.does(f"/golden/{case.id}/back", {"why": "retired by mistake"})
    assert house.ledger.get(Case, case.id).retired is None  # type: ignore[union-attr]


def test_a_quarantine_is_set_and_ended(house: House) -> None:
    """A case decides nothing for the days that were chosen, for a reason; without one a flaky run has to show it."""
    case = made_case(house)
    rita = house.visitor("reviewer")
    refused = rita.send(f"/golden/{case.id}/quarantine", {"days": "7", "why": ""}, origin=f"/golden/{case.id}")
    assert refused.status_code == 422
    assert "flaky" in seen(refused).text
    assert rita.send(f"/golden/{case.id}/quarantine", {"days": "9999", "why": "x"}).status_code == 422
    page = rita.does(f"/golden/{case.id}/quarantine", {"days": "7", "why": "the judge changes its mind"})
    assert "in quarantine" in page.text
    kept = house.ledger.get(Quarantine, case.id)
    assert kept is not None
    assert (kept.by, kept.until_us) == ("Rita", NOW + 7 * DAY_US)
    rita.does(f"/golden/{case.id}/release")
    assert "in quarantine" not in rita.sees(f"/golden/{case.id}").text


def measure(**given: str) -> dict[str, str]:
    """A filled-in form of how a case is measured."""
    return {
        "metric": "normalised_match",
        "direction": "down",
        "cut": "",
        "expect": "",
        "risk": "",
        "cluster": "",
        "version": "1",
        **given,
    }


def test_how_a_case_is_measured_is_changed(house: House) -> None:
    """Metric, bound and what is expected are changed in the person's name, and stand in the history with what they were."""
    case = made_case(house)
    rita = house.visitor("reviewer")
    page = rita.does(f"/golden/{case.id}/measure", measure(metric="numeric", expect='{"tolerance": 0.01}', risk="high"))
    kept = house.ledger.latest(Case, case.id)
    assert kept is not None
    assert (kept.record.metric, kept.record.expect, kept.record.risk_category, kept.by) == (
        "numeric",
        {"tolerance": 0.01},
        "high",
        "Rita",
    )
    assert 'metric from "normalised_match" to "numeric"' in page.text
    for bad in (
        measure(expect="[1]", version="2"),
        measure(expect="{", version="2"),
        measure(cut="nan", version="2"),
        measure(metric=" ", version="2"),
        measure(version="99"),
    ):
        answer = rita.send(f"/golden/{case.id}/measure", bad, origin=f"/golden/{case.id}")
        assert answer.status_code == 422, bad
    assert house.ledger.latest(Case, case.id).version == 2  # type: ignore[union-attr]


def test_two_who_change_a_case_are_merged_or_told(house: House) -> None:
    """What others changed elsewhere stays; who changes the same is told who wrote what, keeps what was typed, and may overrule it."""
    case = made_case(house)
    rita, rob = house.visitor("reviewer"), house.visitor("responder")
    rob.does(f"/golden/{case.id}/measure", measure(cluster="mountains"))
    rita.does(f"/golden/{case.id}/measure", measure(risk="high"))
    now = house.ledger.get(Case, case.id)
    assert now is not None
    assert (now.cluster, now.risk_category) == ("mountains", "high")
    crossed = rita.send(f"/golden/{case.id}/measure", measure(cluster="peaks"), origin=f"/golden/{case.id}")
    page = seen(crossed)
    assert crossed.status_code == 409
    assert "mountains" in page.text
    assert "peaks" in crossed.text
    assert house.ledger.get(Case, case.id).cluster == "mountains"  # type: ignore[union-attr]
    hidden = {
        a["name"]: a.get("value") or "" for t, a in page.tags if t == "input" and a.get("name") in ("version", "over")
    }
    rita.does(f"/golden/{case.id}/measure", measure(cluster="peaks") | hidden)  # type: ignore[arg-type]
    last = house.ledger.get(Case, case.id)
    assert last is not None
    assert (last.cluster, last.risk_category) == ("peaks", "high")


def test_growth_and_versions_say_what_came_and_went(house: House) -> None:
    """Weeks are drawn and told by origin; a version is named by its digest, with who changed what on its day."""
    case = made_case(house)
    golden.retire(house.ledger, made_case(house, "Old?", "x").id, why="the law changed", now_us=NOW, by="Rob")
    vic = house.visitor("viewer")
    grown = vic.sees("/golden/growth")
    assert any(t == "svg" and a.get("class") == "stacks" for t, a in grown.tags)
    states = vic.sees("/golden/versions")
    (day,) = (x for x in states.links if "day=" in x)
    moved = vic.sees(day)
    assert f"/golden/{case.id}" in moved.links
    assert "retired: the law changed" in moved.text
    assert "Rob" in moved.text
    assert golden.states_of(house.ledger)[-1].digest in moved.text


def cover(house: House) -> None:
    """Keep a coverage of two topics and two risk categories."""
    asked = [Asked(question="How tall is K2?", topic="mountains", risk_category="low")] * 8
    asked += [Asked(question="May I take aspirin?", topic="health", risk_category="high", harmed=True)] * 2
    import numpy as np

    found = coverage_of(asked, np.array([0.9] * 8 + [0.1] * 2), app="maps", cases=1, embedder="hashed")
    golden.keep_coverage(house.ledger, found, now_us=NOW, by="Rita")


def test_the_map_shows_what_no_case_tests(house: House) -> None:
    """Topic by risk category with the share that is covered; a hole leads to the traffic, what is covered to the cases."""
    made_case(house)
    cover(house)
    page = house.visitor("viewer").sees("/golden/coverage?app=maps")
    assert "80 % of what is asked of maps has a case near it" in page.text
    assert "2 asked, 2 bad" in page.text
    assert "/golden?app=maps&risk=low" in page.links
    assert "/traffic?app=maps&risk_category=high" in page.links
    assert any(x.startswith("/traffic?app=maps&question=May") for x in page.links)


def test_coverage_is_measured_or_says_why_it_cannot_be_told(house: House) -> None:
    """Without traffic the page says that nobody can tell; what was measured is kept with who asked for it."""
    made_case(house)
    rita = house.visitor("reviewer")
    assert "Nobody has measured yet" in rita.sees("/golden/coverage").text
    page = rita.does("/golden/coverage", {"app": "maps"})
    assert "Cannot tell what is covered of maps" in page.text
    (kept,) = house.ledger.all(CoverageMap)
    assert kept.by == "Rita"


def near(house: House) -> tuple[Failure, Case]:
    """A labelled failure that Andon refused because it is near a case."""
    case = made_case(house, "How tall is the mountain K2 in metres?")
    f = made_failure(house, "how tall is the mountain K2, in metres?", "9000 m")
    said_by(house, f, "Rita", "8611 m")
    house.visitor("reviewer").does("/golden/add")
    (word,) = house.ledger.all(NearDuplicate)
    assert (word.choice, word.by) == ("refuse", "andon")
    return f, case


@pytest.mark.parametrize("choice", ["refuse", "variant", "keep"])
def test_a_person_decides_about_a_near_duplicate(house: House, choice: str) -> None:
    """Failure and near case stand side by side; the decision is kept in the person's name with its reason, and adds the case."""
    f, case = near(house)
    rita = house.visitor("reviewer")
    page = rita.sees("/golden/duplicates")
    assert f.question in page.text
    assert case.question in page.text
    path = f"/golden/duplicates/{f.id}/decide"
    refused = rita.send(path, {"choice": choice, "why": ""}, origin="/golden/duplicates")
    assert refused.status_code == 422
    assert rita.send(path, {"choice": "delete", "why": "x"}).status_code == 422
    rita.does(path, {"choice": choice, "why": "it asks for metres"})
    word = house.ledger.get(NearDuplicate, f.id)
    assert word is not None
    assert (word.choice, word.by, word.why) == (choice, "Rita", "it asks for metres")
    made = house.ledger.get(Case, case_id(f.app, f.question, "8611 m"))
    assert (made is None) == (choice == "refuse")
    assert made is None or made.variant_of == (case.id if choice == "variant" else None)


def test_a_set_is_pasted_and_what_is_refused_is_named(house: House) -> None:
    """Lines become cases in the person's name; what cannot be one is named with its reason, and what was typed is kept when nothing fits."""
    rita = house.visitor("reviewer")
    lines = [
        {"question": "How tall is K2?", "ground_truth": "8611 m"}, {"question": "Bad?", "answer": "no", "ground_truth": "No."},
    ]  # fmt: skip
    page = rita.does("/golden/import", {"text": "\n".join(map(json.dumps, lines)), "app": "maps", "form": ""})
    assert "1 added" in page.text
    assert "1 refused" in page.text
    assert "failing answer itself" in page.text
    (made,) = house.ledger.all(Case)
    assert (made.app, house.ledger.latest(Case, made.id).by) == ("maps", "Rita")  # type: ignore[union-attr]
    assert "failing answer itself" not in house.visitor("responder").sees("/golden/import").text
    wrong = rita.send("/golden/import", {"text": "no set at all", "app": "", "form": ""}, origin="/golden/import")
    assert wrong.status_code == 422
    assert "no set at all" in wrong.text
    assert rita.send("/golden/import", {"text": "{}", "form": "../etc"}).status_code == 422


def test_the_file_that_is_taken_along_is_taken_in_again(house: House, tmp_path: Path) -> None:
    """The JSONL is byte for byte what the command line writes, and becomes the same cases elsewhere."""
    made_case(house, HOSTILE, "8611 m"), made_case(house, "Old?", "x", retired="2026-02-01", retired_why="old")
    answer = house.visitor("viewer").get("/golden/export")
    golden.export_as(house.ledger, tmp_path / "set.jsonl", "andon")
    assert answer.content == (tmp_path / "set.jsonl").read_bytes()
    assert "attachment" in answer.headers["content-disposition"]
    other = hashed_house(tmp_path / "other")
    other.visitor("reviewer").does("/golden/import", {"text": answer.text})
    assert {c.id for c in other.ledger.all(Case)} == {c.id for c in house.ledger.all(Case)}
    assert house.visitor("viewer").get("/golden/export?format=inspect").status_code == 200
    assert house.visitor("viewer").get("/golden/export?format=nothing").status_code == 422


class Beside:
    """A double of who does long work: keeps what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, Any]]] = []

    def ask(self, what: str, by: str, **args: Any) -> str:
        """Keep what is asked."""
        self.asked.append((what, by, args))
        return "X-1"

    def all(self) -> list[Any]:
        """One errand that is being done, and one that failed."""
        from andon.server.errands import Errand

        return [
            Errand(
                id="X-1",
                what="add",
                about="all",
                by="Rita",
                at_us=NOW,
                state="working",
                text="embedding <b>",
                share=0.5,
            ),
            Errand(
                id="X-2", what="capture", about="all", by="Rita", at_us=NOW, state="failed", error="the disk is full"
            ),
        ]


def test_long_work_is_done_beside_and_shown(tmp_path: Path) -> None:
    """Making cases, measuring coverage and capturing are asked of who does long work, in the person's name, and shown while they run."""
    beside = Beside()
    house = House(tmp_path, more={"errands": beside})
    made_case(house)
    rita = house.visitor("reviewer")
    page = rita.does("/golden/add")
    assert "Making cases" in page.text
    assert "the disk is full" in page.text
    rita.does("/golden/coverage", {"app": "maps"})
    rita.does("/golden/capture", {"since": "24h"})
    assert rita.send("/golden/capture", {"since": "99y"}).status_code == 422
    assert beside.asked == [
        ("add", "Rita", {}),
        ("cover", "Rita", {"app": "maps"}),
        ("capture", "Rita", {"since": "24h"}),
    ]


def test_reframings_wait_for_people(house: House) -> None:
    """Re-framings of high-risk cases become failures that wait for a label; none becomes a case by itself."""
    made_case(house, "May I take aspirin with wine?", "Please ask a doctor.", risk_category="high")
    rita = house.visitor("reviewer")
    page = rita.does("/golden/reframe", {"limit": "3", "app": "", "risk": ""})
    assert "3 re-framings wait for a label" in page.text
    assert len(house.ledger.all(Failure)) == 3
    assert len(house.ledger.all(Case)) == 1
    assert rita.send("/golden/reframe", {"limit": "100000"}).status_code == 422


def test_what_is_captured_is_counted_by_rule(house: House) -> None:
    """Each rule says when it captures, how much, and how many it captured."""
    made_failure(house, source="thumbs-down"), made_failure(house, "b?", source="incident INC-0001")
    rows = {r["rule"]: r for r in house.visitor("viewer").get("/golden/capture?as=json&table=rules").json()}
    assert (rows["thumbs-down"]["day"], rows["incident"]["all"], rows["low score"]["all"]) == (1, 1, 0)


def test_texts_of_cases_are_shown_harmlessly(house: House) -> None:
    """Whatever stands in a case, a failure or a near-duplicate is text on every page."""
    case = made_case(
        house, HOSTILE, HOSTILE + " right", app="a<b>", answer=HOSTILE, contexts=(HOSTILE,), source=HOSTILE, failure_reason=HOSTILE, metric="m<i>",
        risk_category="r<i>", incident="I<i>", label_author=HOSTILE, cluster=HOSTILE, expect={"criteria": HOSTILE},
    )  # fmt: skip
    f = made_failure(house, HOSTILE + " again", app="a<b>")
    word = NearDuplicate(
        id=f.id, case=case.id, cosine=0.99, embedder="<b>", choice="refuse", by="andon", at_us=NOW, why=HOSTILE
    )
    house.ledger.put(word, now_us=NOW, by="andon")
    kept_run(house, [case], ["fail"], NOW)
    rita = house.visitor("reviewer")
    for path in (
        "/golden", "/golden?q=<script>alert(1)</script>", f"/golden/{case.id}", "/golden/duplicates", "/golden/versions?day=2026-03-02", "/golden/growth",
        "/golden/coverage", "/golden/capture", "/golden/import",
    ):  # fmt: skip
        harmless(rita.get(path).text)
    told = rita.get(f"/golden/{case.id}?as=md").text
    outside = "\n".join(x for x in told.split("\n") if not x.startswith("    "))
    harmless(outside)
    assert "m\\<i\\>" in outside
    assert "\x1b" not in told


def test_an_empty_set_teaches(house: House) -> None:
    """Without cases each page says why it is empty and what would fill it."""
    rita = house.visitor("reviewer")
    assert "/labels" in rita.sees("/golden").links
    assert "no golden case yet" in rita.sees("/golden").text
    for path in (
        "/golden/growth",
        "/golden/versions",
        "/golden/coverage",
        "/golden/duplicates",
        "/golden/capture",
        "/golden/import",
    ):
        assert rita.sees(path).text


def test_versions_are_read_anew_after_a_case_was_written(house: House) -> None:
    """The versions are kept between looks, for the whole set and for one application, until a case is written."""
    made_case(house, "How tall is K2?", "8611 m", app="maps")
    vic = house.visitor("viewer")
    for path in ("/golden/versions", "/golden/versions?app=maps"):
        assert ": 1 case, since" in vic.sees(path).text
    made_case(house, "How tall is Lhotse?", "8516 m", app="maps")
    for path in ("/golden/versions", "/golden/versions?app=maps"):
        assert ": 2 cases, since" in vic.sees(path).text
