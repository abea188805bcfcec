"""Laws of reports: the verdict first, every case once, nothing of a case obeyed by a page, a parser or a terminal."""

import json
import re
from xml.etree import ElementTree as Xml

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from andon.evals import (
    CaseResult,
    EvalRun,
    Verdict,
    judge,
    junit_of,
    lines_of,
    markdown_of,
    sarif_of,
    summarise,
    tell,
)
from andon.evals.records import Group
from andon.evals.reports import GATE, LONGEST, SHOWN, standings
from andon.evals.rules import parse_rules
from andon.evals.shown import outcomes
from andon.golden import Case
from andon.golden.files import parse_cases

AT = 1_790_000_000_000_000
HOSTILE = (
    "<script>alert(1)</script>\x1b[2J `x`` | ]]> \x00 @team #1 ![x](y) [a](b)\n# head \ud800 \u202e \ufffe </details>"
    " https://evil.example/login WWW.evil.example a@evil.example o/r#1 gh-1 abcdef1 x-abcdef1 &commat;team http&colon;//x"
)


LINKED = re.compile(r"://|www\.|@\w|#\d|\bGH-\d|(?<!G-)\b[0-9a-f]{7,40}\b", re.IGNORECASE)
"""What GitHub makes a link of, or tells somebody of, outside of a code span (GFM 0.29, section 6.9; "Autolinked references")."""


def case(k: int, question: str = "How tall?", **more) -> Case:
    """A case whose id is its number."""
    fields = {
        "answer": None,
        "contexts": (),
        "ground_truth": "8611 m",
        "source": "",
        "failure_reason": "",
        "added_date": "",
    }
    return Case(**{**fields, "id": f"G-{k:016x}", **more}, question=question)


def result(k: int, outcome: str, **more) -> CaseResult:
    """What came of a case."""
    return CaseResult(case_id=f"G-{k:016x}", outcome=outcome, **more)  # type: ignore[arg-type]


def run(*results: CaseResult, **more) -> EvalRun:
    """A run of these results."""
    fields = {"id": "E-1", "at_us": AT, "target": "t", "golden": "g", "scorers": "m@1"}
    return EvalRun(**{**fields, **more}, results=results)


NOW = run(
    result(1, "fail", answer=HOSTILE, detail=HOSTILE, risk_category="high", latency_s=0.5),
    result(2, "pass", latency_s=0.25),
    result(3, "fail"),
    result(4, "error", detail=HOSTILE),
    result(5, "fail"),
    result(6, "fail"),
    result(7, "pass"),
    target=HOSTILE,
    versions={"model": HOSTILE},
)
BEFORE = run(
    result(1, "pass"),
    result(2, "pass"),
    result(3, "fail"),
    result(4, "pass"),
    result(6, "pass"),
    result(7, "fail"),
    id="E-0",
)
CASES = [case(1, HOSTILE), *(case(k) for k in range(2, 8))]
VERDICT = Verdict(
    outcome="fail",
    reason=f"1 lost {HOSTILE}",
    passed=2,
    failed=4,
    errors=1,
    lost=("G-0000000000000001",),
    gained=("G-0000000000000007",),
    quarantined=("G-0000000000000006",),
    groups=(Group(name="a|b", rule="no regression", outcome="fail", why="", n=1, before=1.0, now=0.0, difference=-1.0, low=-1.0, high=-0.25, p=0.01),),
)  # fmt: skip


def texts() -> st.SearchStrategy[str]:
    """Any text at all, half of surrogate pairs too."""
    return st.text(
        st.characters(codec=None) | st.sampled_from("`<>&|[]@#\x00\x1b\n\r\t\ud800\u202e\ufffe"), max_size=60
    )


def test_every_case_has_one_word() -> None:
    """A case stands once, in the order of the run: lost, new, failing as before, broken, quarantined, gained or passed."""
    words = {s.case_id[-1]: s.word for s in standings(NOW, VERDICT, CASES, BEFORE)}
    assert words == {
        "1": "lost", "2": "pass", "3": "before", "4": "error", "5": "new", "6": "quarantined", "7": "gained",
    }  # fmt: skip
    assert [s.case_id for s in standings(NOW, VERDICT, CASES, BEFORE)] == [r.case_id for r in NOW.results]


@pytest.mark.parametrize("repeats", [1, 3])
def test_every_rate_is_told_in_one_way(repeats: int) -> None:
    """The table's interval counts clusters and attempts at one case as the first line does, and leaves out the same quarantines."""
    each = [(k, i) for k in range(10) for i in range(repeats)]
    now = run(*(result(k, "pass", repeat=i, cluster=f"c{k // 2}") for k, i in each), repeats=repeats)
    page = tell(now, judge(now, None, quarantined=["G-0000000000000009"]), [])
    what = "9 of 9 cases pass" if repeats == 1 else "27 of 27 attempts at 9 cases pass"
    first, rows = page.split(".\n", 1)
    assert first == f"{what} (100.0%, 47.8% to 100.0%)"  # five clusters: 0.025 ** (1 / 5)
    assert "| all | 9 | 9 | 0 | 0 | 100.0%, 47.8% to 100.0% |" in rows


def test_attempts_are_one_case() -> None:
    """A case with repeats is one case: it fails when one attempt fails, the first failing one is shown, errors are no attempts."""
    now = run(
        *(result(1, o, repeat=k, answer=f"a{k}") for k, o in enumerate(("error", "pass", "fail", "fail"))), repeats=4
    )
    (s,) = standings(now, judge(now, None), [], None)
    assert (s.word, s.passed, s.ran, s.shown.answer) == ("fail", 1, 3, "a2")
    assert "2 of 3 attempts failed" in junit_of(now, judge(now, None), [])


def test_the_first_sentence_is_the_verdict() -> None:
    """Markdown begins with the outcome and its figure, and says what to do; then the rules with their intervals."""
    first, _, table, *_ = markdown_of(NOW, VERDICT, CASES, baseline=BEFORE).split("\n")
    assert first.startswith("**Fail**: 1 lost ")
    assert "Fix what was lost" in first
    assert table.startswith("| rule | cases | before | now |")
    assert "-100.0 points (-100.0 to -25.0)" in markdown_of(NOW, VERDICT, CASES)


def test_undecided_says_what_would_decide() -> None:
    """The first sentence is short; what else there is to know, and what would decide it, stand below it as lists."""
    verdict = Verdict(
        outcome="undecided",
        reason="1 lost",
        passed=1,
        failed=1,
        errors=0,
        notes=("a", "b"),
        decides=("5 more", "6 more"),
    )
    for render in (markdown_of, summarise):
        lines = render(NOW, verdict, CASES).split("\n")
        assert lines[0] == "**Undecided**: 1 lost. This is neither a pass nor a failure: decide it with more evidence."
        assert lines[1:10] == ["", "- a", "- b", "", "**What would decide it**", "", "- 5 more", "- 6 more", ""]


def test_a_run_that_nobody_judges_has_no_verdict() -> None:
    """Without a bar or a baseline a run says how many cases pass, and how sure that is: no pass, no fail."""
    now = run(*(result(k, "pass" if k < 68 else "fail") for k in range(80)))
    page = tell(now, judge(now, None), [])
    assert page.startswith("68 of 80 cases pass (85.0%, 75.3% to 92.0%).\n")
    assert "**Fail**" not in page
    assert "0.95" not in page
    assert tell(run(), judge(run(), None), []).startswith("**Could not run**")


def test_a_case_with_an_attempt_that_could_not_run_does_not_pass() -> None:
    """One word for each case, wherever it is told: failed once it fails, passed where every attempt ran and passed, else not run."""
    now = run(
        *(result(k, o, repeat=i) for k, word in enumerate(("pe", "fe", "pp", "ee")) for i, o in
          enumerate({"p": "pass", "f": "fail", "e": "error"}[c] for c in word)),
        repeats=2,
    )  # fmt: skip
    found = [s.outcome for s in standings(now, judge(now, None), [], None)]
    assert found == ["error", "fail", "pass", "error"] == [*outcomes(now).values()]


@pytest.mark.parametrize("render", [markdown_of, summarise])
def test_nothing_of_a_case_is_obeyed(render) -> None:
    """No character of a case, a target or a reason reaches a terminal that it would obey."""
    page = render(NOW, VERDICT, CASES, baseline=BEFORE)
    assert all(c.isprintable() or c in "\n\u200b" for c in page)


@given(texts(), texts(), texts())
def test_nothing_of_a_case_is_markup(question: str, answer: str, reason: str) -> None:
    """A Markdown parser finds no tag but our own, no link, image or heading of a case, and a code host nothing to link or tell."""
    now = run(
        result(1, "fail", answer=HOSTILE + answer, detail=answer, risk_category=question), target=answer + HOSTILE
    )
    verdict = Verdict(
        outcome="fail", reason=HOSTILE + reason, passed=0, failed=1, errors=0, notes=(reason,), decides=(reason,)
    )
    page = markdown_of(now, verdict, [case(1, question + HOSTILE)])
    tokens = MarkdownIt("commonmark").enable("table").parse(page)
    each = [t for token in tokens for t in (token, *(token.children or ()))]
    tags = {t.content.strip() for t in each if t.type in ("html_block", "html_inline")}
    assert tags <= {f"<details><summary>{title}</summary>" for title in ("Fail: 1", "What was run")} | {"</details>"}
    assert not {t.type for t in each} & {"link_open", "image", "fence", "code_block", "blockquote_open", "hr"}
    assert {t.tag for t in each if t.type == "heading_open"} <= {"h3"}
    assert not [found for t in each if t.type == "text" and (found := LINKED.search(t.content))]


@given(texts(), texts())
def test_a_code_span_holds_any_text(question: str, answer: str) -> None:
    """Whatever a question or an answer holds, its line is one line, and its code span ends where the text does."""
    now = run(result(1, "fail", answer=answer))
    page = markdown_of(now, judge(now, None), [case(1, question)])
    lines = [line for line in page.split("\n") if "G-0000000000000001" in line]
    assert len(lines) == 1
    assert all(c.isprintable() or c == "\n" for c in page)
    fences = [m.group(1) for m in re.finditer(r"(`+)", lines[0].split("` ", 1)[1])]
    assert fences[0] == fences[-1]
    assert all(len(f) < len(fences[0]) for f in fences[1:-1])


def test_a_report_fits_into_a_comment() -> None:
    """However long texts are and however many cases fail, Markdown stays below GitHub's 65,536 characters and counts the rest."""
    long = "\x1b\u202e" * 5_000
    now = run(
        *(
            result(k, ("fail", "error", "pass")[k % 3], answer=long, detail=long, risk_category=f"c{k}{long}")
            for k in range(600)
        )
    )
    groups = tuple(Group(name=long, rule=long, outcome="fail", why=long, n=1) for _ in range(100))
    verdict = Verdict(
        outcome="fail",
        reason=long,
        passed=1,
        failed=1,
        errors=1,
        lost=tuple(r.case_id for r in now.results),
        groups=groups,
    )
    page = markdown_of(now, verdict, [case(k, long) for k in range(600)], baseline=now)
    assert len(page) <= LONGEST < 65_536
    assert f"and {200 - SHOWN} more" in page or re.search(r"and \d+ more", page)
    assert page.count("<details>") == page.count("</details>")


def test_junit_counts_what_it_holds() -> None:
    """One test for each case and one for the gate; failures, errors and skipped ones are counted; times add up."""
    suite = Xml.fromstring(junit_of(NOW, VERDICT, CASES, baseline=BEFORE)).find("testsuite")
    assert suite is not None
    tests = suite.findall("testcase")
    assert [t.get("name") for t in tests] == [*(r.case_id for r in NOW.results), GATE]
    kinds = {t.get("name", "")[-1]: (t[0].tag, t[0].get("type")) for t in tests if len(t)}
    assert kinds == {
        "1": ("failure", "lost"), "3": ("failure", "before"), "4": ("error", "error"), "5": ("failure", "new"),
        "6": ("skipped", "quarantined"), "e": ("failure", "fail"),
    }  # fmt: skip
    counts = {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped", "time")}
    assert counts == {"tests": "8", "failures": "4", "errors": "1", "skipped": "1", "time": "0.750"}


@pytest.mark.parametrize(
    ("outcome", "kind"), [("pass", None), ("fail", "failure"), ("undecided", "failure"), ("error", "error")]
)
def test_the_gate_is_a_test(outcome: str, kind: str | None) -> None:
    """The test named after the gate passes only with the verdict pass: what was not shown to pass is not green."""
    verdict = Verdict(outcome=outcome, reason="why", passed=1, failed=0, errors=0)  # type: ignore[arg-type]
    last = Xml.fromstring(junit_of(NOW, verdict, CASES)).findall("testsuite/testcase")[-1]
    assert last.get("name") == GATE
    assert [(e.tag, e.get("type")) for e in last] == ([] if kind is None else [(kind, outcome)])


JUNIT = {
    "testsuites": ({"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": ({"name", "tests", "failures", "errors", "skipped", "time", "timestamp"}, {"properties", "testcase"}),
    "properties": (set(), {"property"}),
    "property": ({"name", "value"}, set()),
    "testcase": ({"name", "classname", "time", "group"}, {"skipped", "error", "failure", "system-out", "system-err"}),
    **{name: ({"type", "message"}, set()) for name in ("skipped", "error", "failure")},
}
"""Elements of Jenkins' junit-10.xsd that are used: the attributes and children that it allows."""


@given(texts(), texts(), texts())
def test_junit_keeps_its_schema(question: str, answer: str, category: str) -> None:
    """Any text at all gives XML that parses, with the elements and attributes of junit-10.xsd and printable characters only."""
    now = run(
        result(1, "fail", answer=answer, detail=question, risk_category=category),
        target=answer,
        versions={"v": question},
    )
    text = junit_of(now, judge(now, None), [case(1, question)])
    for element in Xml.fromstring(text).iter():
        attributes, children = JUNIT[element.tag]
        assert set(element.attrib) <= attributes
        assert {child.tag for child in element} <= children
    assert all(c.isprintable() or c in "\n\t" for c in text)


def test_lost_cases_stand_at_their_lines() -> None:
    """A case's line is that of the file it was read from, with blank lines and a byte-order mark counted right."""
    rows = [json.dumps({"question": q, "ground_truth": "a"}) for q in ("one", "two", "three")]
    text = "\ufeff" + rows[0] + "\n\n" + rows[1] + "\n" + rows[2]
    cases = parse_cases(text)
    assert list(lines_of(text, cases).values()) == [1, 3, 4]
    assert lines_of("", cases) == {}


def test_sarif_names_case_place_and_level() -> None:
    """A rule and a result for each failing case, the lost first, as errors; as before is a note; a broken one is no result."""
    lines = {"G-0000000000000001": 3}
    log = sarif_of(NOW, VERDICT, CASES, baseline=BEFORE, path="data/gölden set.jsonl", lines=lines, version="1")
    assert set(log) == {"$schema", "version", "runs"}
    (only,) = log["runs"]
    results, rules = only["results"], only["tool"]["driver"]["rules"]
    assert [(r["ruleId"][-1], r["level"]) for r in results] == [
        ("1", "error"),
        ("5", "error"),
        ("3", "note"),
        ("6", "error"),
    ]
    assert [rules[r["ruleIndex"]]["id"] for r in results] == [r["ruleId"] for r in results]
    place = results[0]["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "data/g%C3%B6lden%20set.jsonl"}, "region": {"startLine": 3}}
    assert "locations" not in results[1]
    assert [r["suppressions"][0]["kind"] for r in results if "suppressions" in r] == ["external"]
    (invocation,) = only["invocations"]
    assert invocation["executionSuccessful"] is True
    assert [n["message"]["text"][:18] for n in invocation["toolExecutionNotifications"]] == ["G-0000000000000004"]


@given(texts(), texts())
def test_sarif_says_nothing_but_text(question: str, answer: str) -> None:
    """Any text gives JSON without control characters, in which no bracket begins a link (SARIF 2.1.0, 3.11.6)."""
    now = run(result(1, "fail", answer=answer, detail=question), target=answer)
    log = json.dumps(sarif_of(now, judge(now, None), [case(1, question)], version="1"), ensure_ascii=False)
    assert log.isprintable()
    log.encode()
    message = json.loads(log)["runs"][0]["results"][0]["message"]["text"]
    assert not re.search(r"(?<!\\)(?:\\\\)*\[", message)


def test_no_report_of_a_run_without_cases_breaks() -> None:
    """An empty run is told by every report: nothing was tested."""
    empty = run()
    verdict = judge(empty, None)
    assert markdown_of(empty, verdict, []).startswith("**Could not run**: the golden set is empty")
    assert 'errors="1"' in junit_of(empty, verdict, [])
    assert sarif_of(empty, verdict, [], version="1")["runs"][0]["invocations"][0]["executionSuccessful"] is False


def test_a_pass_with_losses_asks_to_look_at_them() -> None:
    """Where the rules let lost cases pass, the first line does not say that nothing is to be done."""
    rules = parse_rules('[[rule]]\ncategory = "*"\nbar = 0.5\n')
    now, before = (run(*(result(k, o if k == 0 else "pass") for k in range(40))) for o in ("fail", "pass"))
    assert "look at what was lost" in summarise(now, judge(now, before, rules=rules), [], baseline=before)
    assert "Nothing is to be done" in summarise(before, judge(before, before, rules=rules), [], baseline=before)
