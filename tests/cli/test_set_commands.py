"""The commands about the golden set: what people type, and what they see."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

Type = Callable[..., tuple[int, str, str]]

LINES = '{"question": "What is the fee?", "ground_truth": "5 EUR"}\n{"question": "May a child take it?", "ground_truth": "ask a doctor", "risk_category": "high"}\n'


@pytest.fixture
def golden(tmp_path: Path, type_: Type) -> list[str]:
    """Two cases that were imported; their ids."""
    (tmp_path / "golden.jsonl").write_text(LINES)
    code, out, _ = type_("golden", "import", "golden.jsonl")
    assert (code, out) == (0, "golden.jsonl is recognised as andon: 2 cases added, 0 known, 0 refused\n")
    _, out, _ = type_("golden", "list")
    return [line.split()[0] for line in out.splitlines()[1:]]


def test_a_case_is_retired_seen_in_history_and_brought_back(type_: Type, tmp_path: Path, golden: list[str]) -> None:
    """Retired is said once, with who and why; the list leaves it out, the history keeps it, `--back` tests it again."""
    one, two = golden
    code, out, _ = type_("golden", "retire", one, "--why", "the fee is gone\x1b[2J")
    assert code == 0
    assert out.startswith(f"{one} is retired since 20")
    assert "\x1b" not in out
    code, _, err = type_("golden", "retire", one, "--why", "again")
    assert code == 2
    assert "by ann: the fee is gone" in err
    assert one not in type_("golden", "list")[1]
    assert "retired 20" in type_("golden", "list", "--retired")[1]
    assert type_("golden", "export", "golden.jsonl")[1] == "1 lines written to golden.jsonl\n"
    assert json.loads((tmp_path / "golden.jsonl").read_text().splitlines()[0])["retired_why"].startswith("the fee")
    out = type_("golden", "history", one)[1]
    assert "added" in out
    assert "retired: the fee is gone" in out
    assert type_("golden", "retire", one, "--why", "it is back", "--back")[0] == 0
    assert one in type_("golden", "list")[1]
    today = time.strftime("%Y-%m-%d", time.gmtime())
    assert today in type_("golden", "history")[1]
    assert two in type_("golden", "list", "--at", today)[1]
    assert type_("golden", "list", "--at", "2020-01-01")[1] == "no golden case at 2020-01-01\n"
    assert type_("golden", "history", "G-none")[0] == 2


def test_variants_that_go_on_are_named(type_: Type, tmp_path: Path, golden: list[str]) -> None:
    """Whoever retires a case is told which of its variants are still tested, with the right answer that may be as wrong."""
    row = {"question": "fee?\x1b[2J", "ground_truth": "5 EUR", "variant_of": golden[0]}
    gone = row | {"question": "gone?", "retired": "2026-01-01", "retired_why": "x"}
    (tmp_path / "v.jsonl").write_text(json.dumps(row) + "\n" + json.dumps(gone) + "\n")
    assert type_("golden", "import", "v.jsonl")[0] == 0
    out = type_("golden", "retire", golden[0], "--why", "wrong right answer")[1]
    assert "\x1b" not in out
    assert "is still tested: fee?" in out
    assert "(right answer: 5 EUR)" in out
    assert "gone?" not in out
    assert "still tested" not in type_("golden", "retire", golden[0], "--why", "right after all", "--back")[1]


def test_sets_of_others_are_taken_in_and_refusals_named(type_: Type, tmp_path: Path, golden: list[str]) -> None:
    """What was recognised, how many cases, and each refusal with its place and reason."""
    assert len(golden) == 2
    tests = [
        {"description": "ours", "vars": {"question": "q"}, "assert": [{"type": "equals", "value": "a"}]},
        {"description": "code", "vars": {"question": "q"}, "assert": [{"type": "javascript", "value": "true"}]},
    ]
    (tmp_path / "p.json").write_text(json.dumps({"tests": tests}))
    code, out, _ = type_("golden", "import", "p.json")
    assert code == 0
    assert 'refused test 2 ("code"): the assertion "javascript" is not taken' in out
    assert out.endswith("p.json is recognised as promptfoo: 1 case added, 0 known, 1 refused\n")
    code, out, _ = type_("golden", "export", "out.yaml", "--format", "promptfoo")
    assert (code, out) == (0, "3 cases written to out.yaml as promptfoo\n")
    assert "0 cases added, 3 known" in type_("golden", "import", "out.yaml", "--format", "promptfoo")[1]
    for form in ("langfuse", "phoenix", "openai-evals", "inspect"):
        assert type_("golden", "export", f"{form}.jsonl", "--format", form)[0] == 0
        assert f"recognised as {form}: 0 cases added, 3 known" in type_("golden", "import", f"{form}.jsonl")[1]
    assert type_("golden", "export", "x", "--format", "excel")[0] == 2
    (tmp_path / "odd.txt").write_text("hello")
    assert "promptfoo" in type_("golden", "import", "odd.txt")[2]


def test_what_an_edit_of_the_file_changed_is_said(type_: Type, tmp_path: Path, golden: list[str]) -> None:
    """An import names the cases that it changed and brought back, and tells where the file may be an old one."""
    one, two = golden
    (tmp_path / "golden.jsonl").write_text(LINES.replace('"high"', '"low"'))
    code, out, _ = type_("golden", "import", "golden.jsonl")
    assert code == 0
    assert f"changed: {two}\n" in out
    assert out.endswith("0 cases added, 1 known, 1 changed, 0 refused\n")
    assert type_("golden", "retire", one, "--why", "gone\x1b[2J")[0] == 0
    out = type_("golden", "import", "golden.jsonl")[1]
    assert f"andon golden retire {one} --back" in out
    assert "\x1b" not in out
    (tmp_path / "golden.jsonl").write_text(LINES.replace('"5 EUR"', '"5 EUR", "retired_why": "needed"'))
    assert f"brought back: {one}\n" in type_("golden", "import", "golden.jsonl")[1]


def test_a_doubtful_case_is_said(type_: Type, tmp_path: Path) -> None:
    """`golden add` names a case whose failure was dismissed since, and the command that takes it out; an erasure says what it retired."""
    now = time.time_ns() // 1000
    row = {"id": "i1", "time": now - 60_000_000, "query": "What is the fee?", "answer": "free", "user_id": "eve"}
    (tmp_path / "t.jsonl").write_text(json.dumps(row | {"expected_answer": "5 EUR"}) + "\n")
    assert type_("import", "t.jsonl")[0] == 0
    assert "1 failure captured" in type_("golden", "capture")[1]
    assert type_("golden", "accept")[0] == 0
    assert "1 case added" in type_("golden", "add")[1]
    failure, case = (
        type_("golden", "failures")[1].splitlines()[1].split()[0],
        type_("golden", "list")[1].splitlines()[1].split()[0],
    )
    label = {"id": failure, "verdict": "dismiss", "note": "a joke"}
    (tmp_path / "l.jsonl").write_text(json.dumps(label) + "\n")
    assert "1 failure labelled" in type_("golden", "label", "--file", "l.jsonl")[1]
    out = type_("golden", "add")[1]
    assert f"{case}: it is tested, and no right answer of {failure} holds any more" in out
    assert f"andon golden retire {case}" in out
    out = type_("erase", "--user", "eve", "--yes")[1]
    assert "1 golden cases retired, 0 failures dismissed" in out
    assert "nothing is left" in out


def test_coverage_growth_and_reframings_speak_plainly(type_: Type, tmp_path: Path, golden: list[str]) -> None:
    """Without traffic nobody can tell; with it the share, the holes and an example; re-framings wait for labels."""
    assert "no application had traffic" in type_("golden", "coverage")[2]
    assert type_("golden", "coverage", "--app", "default")[1].startswith("cannot tell the coverage of default")
    now = time.time_ns() // 1000
    rows = [
        {"id": f"i{k}", "time": now - 1_000_000 - k, "query": q, "answer": "a", "risk_category": "low"}
        for k, q in enumerate(["What is the fee?"] * 3 + ["how tall is\x1b[2J K2"])
    ]
    (tmp_path / "t.jsonl").write_text("".join(f"{json.dumps(r)}\n" for r in rows))
    assert type_("import", "t.jsonl")[0] == 0
    out = type_("golden", "coverage")[1]
    assert out.startswith("75.0% of what is asked of default has a case near it (95% interval 19.4% to 99.4%)")
    assert "how tall is" in out
    assert "\x1b" not in out
    out = type_("golden", "growth")[1]
    assert "cannot tell how fast the set grows" in out or "too slow" in out
    out = type_("golden", "reframe", "--limit", "2")[1]
    assert "2 re-framings wait for a label, 0 were made before" in out
    assert golden[1] in out
    assert "4 re-framings wait for a label, 2 were made before" in type_("golden", "reframe")[1]
    assert "6 captured failures wait" in type_("golden", "growth")[1]
