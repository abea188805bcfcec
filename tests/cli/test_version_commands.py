"""Commands of versions: who approves reads what changed since somebody approved, and a gate judges what was tested."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from andon.evals import EvalRun
from andon.evals.run import load_run, save_run
from andon.evals.run.runs import named
from andon.levers import Version
from andon.store import Ledger

Type = Callable[..., tuple[int, str, str]]


@pytest.fixture
def as_(type_: Type, monkeypatch: pytest.MonkeyPatch) -> Type:
    """Type a command about a lever as somebody; a lever for prompts is declared."""

    def typed(name: str, *words: str) -> tuple[int, str, str]:
        monkeypatch.setenv("USER", name)
        monkeypatch.setenv("LOGNAME", name)
        return type_(*words)

    assert typed("ann", "lever", "declare", "prompt", "--kind", "string", "--default", "zero", "--safe", "no")[0] == 0
    return typed


@pytest.fixture
def add(as_: Type) -> Callable[..., str]:
    """Write a version as ann, approved by bob where asked; returns its digest."""

    def written(value: str, *more: str, approved: bool = False, live: bool = False) -> str:
        digest = as_("ann", "lever", "version", "add", "prompt", "--value", value, "--why", "w", *more)[1].split("@")[
            1
        ][:12]
        for words in (("version", "approve", "prompt", digest),) if approved or live else ():
            assert as_("bob", "lever", *words, "--why", "w")[0] == 0
        for to in ("staging", "production") if live else ():
            assert as_("bob", "lever", "promote", "prompt", digest, "--to", to, "--why", "w")[0] == 0
        return digest

    return written


def test_a_diff_is_from_what_somebody_approved(as_: Type, add: Callable[..., str]) -> None:
    """From the nearest approved origin, else from what is live, else from the default; the first line says which and why."""

    def diff(*names: str) -> tuple[str, list[str]]:
        code, out, err = as_("bob", "lever", "version", "diff", "prompt", *names)
        assert code == 0, err
        first, *lines = out.splitlines()
        return first, [line for line in lines if line[0] in "+-" and line[:3] not in ("+++", "---")]

    one = add("one")
    assert diff(one) == (
        f"prompt@{one} compared with the default of prompt: it was made from no version",
        ["-zero", "+one"],
    )
    two = add("two", "--from", one)
    first, lines = diff(two)
    assert lines == ["-zero", "+two"]
    assert f"prompt@{one}, which it was made from, is not approved, and no other is live" in first
    live = add("live", live=True)
    three = add("three", "--from", two)
    first, lines = diff(three)
    assert lines == ["-live", "+three"]
    assert first == (
        f"prompt@{three} compared with prompt@{live}: prompt@{two}, which it was made from, is not approved, and this is live in "
        "production"
    )
    assert as_("bob", "lever", "version", "approve", "prompt", one, "--why", "w")[0] == 0
    first, lines = diff(three)
    assert lines == ["-one", "+three"]
    assert f"compared with prompt@{one}: prompt@{two}, which it was made from, is not approved" in first
    assert diff(two) == (
        f"prompt@{two} compared with prompt@{one}: it was made from this, which is approved",
        ["-one", "+two"],
    )
    assert diff("default", two)[1] == ["-zero", "+two"]
    assert diff(two, "default")[1] == ["-two", "+zero"]
    assert "with itself" in diff("default", "default")[0]
    assert as_("bob", "lever", "version", "diff", "prompt", "default")[0] == 2


def test_nobody_writes_or_breaks_what_another_person_looks_at(as_: Type, add: Callable[..., str]) -> None:
    """Where the environment names nobody, no version is written or approved and no glass broken; a lever is held all the same."""
    digest = add("one")
    for words in (
        ("version", "add", "prompt", "--value", "two"),
        ("version", "approve", "prompt", digest),
        ("hold", "prompt", "--value", "two", "--for", "1h", "--break-glass"),
        ("review", "pull-prompt-00001"),
    ):
        code, _, err = as_("", "lever", *words, "--why", "w")
        assert (code, "set USER to your name" in err) == (2, True)
    assert as_("", "lever", "hold", "prompt", "--for", "1h", "--why", "w", "--break-glass")[0] == 0


@pytest.fixture
def run(as_: Type, tmp_path: Path) -> Callable[..., str]:
    """Make a file with a run that says which versions it tested."""
    cases = [{"question": f"question {k}", "ground_truth": f"answer {k}", "risk_category": "shop"} for k in range(30)]
    (tmp_path / "golden.jsonl").write_text("".join(json.dumps(c) + "\n" for c in cases))
    rows = [{"question": f"question {k}", "answer": f"answer {k}"} for k in range(30)]
    (tmp_path / "good.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    target = ("--golden", "golden.jsonl", "--target", "recorded:good.jsonl", "--out", "first.json")
    assert as_("ann", "eval", "run", *target)[0] == 0
    first: EvalRun = load_run(tmp_path / "first.json")

    def made(name: str, **versions: str) -> str:
        save_run(named(replace(first, versions=versions)), tmp_path / name)
        return name

    return made


def test_a_gate_judges_a_run_of_this_very_version(
    as_: Type, add: Callable[..., str], run: Callable[..., str], tmp_path: Path
) -> None:
    """A run of another version, of an unknown one or the baseline itself is no verdict, and nothing is written of it."""
    one, two = add("one"), add("two")
    before = run("before.json", version="0.9")
    ledger = Ledger.open(tmp_path / "home" / "ledger.db")

    def gate(name: str, *more: str, baseline: str = before) -> tuple[int, str, str]:
        words = ("version", "gate", "prompt", two, "--golden", "golden.jsonl", "--baseline", baseline, "--run", name)
        return as_("ann", "lever", *words, *more)

    entry = ledger.last_entry()
    untold = run("untold.json", model="large", settings=two, revision=one)
    for name, more, said in (
        (run("other.json", version=one), (), f"tested prompt@{one}, not prompt@{two}"),
        (run("other.json", version=one), ("--vouch",), f"tested prompt@{one}, not prompt@{two}"),
        (run("short.json", prompt_version=f"prompt@{one}"), ("--vouch",), f"tested prompt@{one}"),
        (untold, (), "--vouch"),
        (run("nothing.json"), (), f'version = "{two}"'),
    ):
        code, _, err = gate(name, *more)
        assert (code, said in err) == (2, True), err
    tested = run("tested.json", version=two[:6])
    assert "compared with itself" in gate(tested, baseline=tested)[2]
    assert ledger.last_entry() == entry
    code, out, _ = gate(tested)
    assert (code, "does not say" in out) == (0, False)
    code, out, _ = gate(untold, "--vouch")
    assert (code, "ann says that it was this one" in out) == (0, True)
    version = next(v for v in ledger.all(Version) if v.digest == two)
    assert [g.outcome for g in version.gates] == ["pass", "pass"]
