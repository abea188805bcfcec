"""Laws of the GitHub Action: its shell runs, inputs never become shell, the exit code is kept, the comment is one comment."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"]}

MODEL = "ANSWERS = {f'question {k}?': str(k) for k in range(8)}\n\ndef good(q):\n    return ANSWERS[q]\n\ndef bad(q):\n    return 'no'\n"

GH = """#!/bin/sh
printf '%s\\n' "$*" >> "$GH_LOG"
case "$*" in
  *--paginate*) [ -z "$GH_BROKEN" ] || exit 1; printf '%s' "$GH_COMMENTS" ;;
esac
"""


class Job:
    """A job of a workflow: its folder, its files, and the steps of the action that it runs."""

    def __init__(self, folder: Path, **inputs: str) -> None:
        self.folder, self.output, self.log = folder, folder / "output", folder / "gh.log"
        self.summary = folder / "summary.md"
        defaults = {name: str(value.get("default", "")) for name, value in ACTION["inputs"].items()}
        self.values = {f"inputs.{name}": value for name, value in {**defaults, **inputs}.items()}
        self.values |= {
            "runner.temp": str(folder / "tmp"),
            "github.token": "t",
            "github.event.pull_request.number": "7",
            "steps.gate.outputs.exit-code": "",
        }
        programs = folder / "bin"
        programs.mkdir()
        andon = f"#!/bin/sh\nexec '{sys.executable}' -c 'from andon.cli import main; main()' \"$@\"\n"
        for name, text in (("andon", andon), ("gh", GH)):
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        rows = [{"question": f"question {k}?", "answer": "wrong", "ground_truth": str(k)} for k in range(8)]
        (folder / "golden.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
        (folder / "model_of_action.py").write_text(MODEL)

    def step(self, name: str, **more: str) -> "subprocess.CompletedProcess[str]":
        """Run the shell of a step as a runner does."""
        step = STEPS[name]
        env = {key: self._filled(str(value)) for key, value in step.get("env", {}).items()}
        base = {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "HOME": str(self.folder), "ANDON_EMBEDDER": "hashed",
            "ANDON_HOME": str(self.folder / "home"), "GITHUB_OUTPUT": str(self.output), "GITHUB_REPOSITORY": "team/app",
            "GITHUB_STEP_SUMMARY": str(self.summary), "GH_LOG": str(self.log), "PYTHONPATH": str(ROOT / "src"),
        }  # fmt: skip
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**base, **env, **more},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def gate(self) -> dict[str, str]:
        """Run the gate; its outputs go to the steps that follow."""
        done = self.step("Ask the candidate")
        assert done.returncode == 0, done.stderr
        found = dict(line.split("=", 1) for line in self.output.read_text().splitlines())
        self.values |= {f"steps.gate.outputs.{name}": value for name, value in found.items()}
        return found

    def _filled(self, text: str) -> str:
        return re.sub(r"\$\{\{ ([a-z_.-]+) \}\}", lambda m: self.values[m[1]], text)


@pytest.fixture
def bash() -> None:
    """Skip where there is no bash."""
    if subprocess.run(["bash", "-c", "true"], check=False).returncode:
        pytest.skip("there is no bash here")


def test_inputs_never_become_shell() -> None:
    """No step puts an expression into its script: inputs reach it as variables, which a shell does not read as code."""
    assert [name for name, step in STEPS.items() if "${{" in step.get("run", "")] == []
    used = set(re.findall(r"inputs\.([a-z-]+)", json.dumps(ACTION["runs"])))
    assert used == set(ACTION["inputs"])


def test_every_input_is_in_the_docs() -> None:
    """The page about the gate names every input of the action, and the permissions that it needs."""
    page = (ROOT / "docs" / "how-to" / "gate-a-change.md").read_text(encoding="utf-8")
    assert [name for name in ACTION["inputs"] if f"`{name}`" not in page] == []
    assert "pull-requests: write" in page


@pytest.mark.usefixtures("bash")
@pytest.mark.parametrize(("model", "word", "code"), [("good", "pass", 0), ("bad", "fail", 1), ("none", "error", 2)])
def test_the_job_ends_as_the_gate_does(tmp_path: Path, model: str, word: str, code: int) -> None:
    """Against a real model the reports are written, the summary is the report, and the last step ends with the gate's code."""
    (tmp_path / "andon-gate.toml").write_text('[[rule]]\ncategory = "*"\nbar = 0.5\n')
    job = Job(tmp_path, target=f"python:model_of_action:{model}")
    assert job.gate() == {"exit-code": str(code), "outcome": word}
    reports = tmp_path / "tmp" / "andon-gate"
    if code != 2:
        assert {p.name for p in reports.iterdir()} == {"run.json", "report.md", "junit.xml", "report.sarif"}
        assert job.summary.read_text() == (reports / "report.md").read_text()
    assert job.step("Give the verdict").returncode == code


@pytest.mark.usefixtures("bash")
def test_a_hostile_input_is_a_word(tmp_path: Path) -> None:
    """A target or a name that looks like shell is one word of the command, and runs nothing."""
    job = Job(tmp_path, target='recorded:$(touch owned) `touch owned` "; touch owned; "', name="a b$(touch owned)")
    assert job.gate()["outcome"] == "error"
    job.step("Comment on the pull request")
    assert not (tmp_path / "owned").exists()


@pytest.mark.usefixtures("bash")
@pytest.mark.parametrize(
    ("undecided", "code", "ends"),
    [
        ("fail", "0", 0),
        ("fail", "3", 3),
        ("pass", "3", 0),
        ("pass", "1", 1),
        ("pass", "4", 4),
        ("fail", "4", 4),
        ("maybe", "0", 2),
    ],
)
def test_undecided_is_the_users_choice(tmp_path: Path, undecided: str, code: str, ends: int) -> None:
    """Undecided fails the job unless the input says pass; no other outcome can be waved through."""
    job = Job(tmp_path, target="x", undecided=undecided)
    job.values["steps.gate.outputs.exit-code"] = code
    assert job.step("Give the verdict").returncode == ends


@pytest.mark.usefixtures("bash")
def test_there_is_one_comment(tmp_path: Path) -> None:
    """The first run writes a comment, the next ones bring it up to date; one that cannot be written never changes the outcome."""
    job = Job(tmp_path, target="python:model_of_action:good")
    reports = tmp_path / "tmp" / "andon-gate"
    reports.mkdir(parents=True)
    job.values["steps.gate.outputs.exit-code"] = "0"
    (reports / "report.md").write_text("**Pass**: all\n")
    assert job.step("Comment on the pull request", GH_COMMENTS="").returncode == 0
    assert job.step("Comment on the pull request", GH_COMMENTS="41\n42\n").returncode == 0
    calls = [line for line in job.log.read_text().splitlines() if "--paginate" not in line]
    body = f"--field body=@{reports}/comment.md"
    assert calls == [
        f"api --method POST repos/team/app/issues/7/comments {body}",
        f"api --method PATCH repos/team/app/issues/comments/41 {body}",
    ]
    assert (reports / "comment.md").read_text() == "<!-- andon gate: andon-gate -->\n**Pass**: all\n"
    broken = job.step("Comment on the pull request", GH_BROKEN="yes")
    assert (broken.returncode, "pull-requests: write" in broken.stdout) == (0, True)


@pytest.mark.usefixtures("bash")
@pytest.mark.parametrize("report", [None, "**Pass**: all\n", "**Could not run**: none of 8 cases ran\n"])
@pytest.mark.parametrize("code", ["2", "4", "130", ""])
def test_no_old_pass_stands_where_nothing_was_decided(tmp_path: Path, code: str, report: str | None) -> None:
    """After a wrong call, a gate that could not run, or an installation that failed, the comment says so, whatever lies there."""
    job = Job(tmp_path, target="x")
    job.values["steps.gate.outputs.exit-code"] = code
    reports = tmp_path / "tmp" / "andon-gate"
    if report is not None:
        reports.mkdir(parents=True)
        (reports / "report.md").write_text(report)
    assert job.step("Comment on the pull request", GH_COMMENTS="41\n").returncode == 0
    assert "--method PATCH" in job.log.read_text()
    text = (reports / "comment.md").read_text()
    assert text.startswith("<!-- andon gate: andon-gate -->\n**Could not run**: ")
    assert "Pass" not in text
    assert (report is None or "Pass" in report) == ("no verdict on this change" in text)
    assert "!cancelled()" in STEPS["Comment on the pull request"]["if"]


def fake(folder: Path, script: str) -> None:
    """Another program in place of `andon`."""
    (folder / "bin" / "andon").write_text(f"#!/bin/sh\n{script}\n")


@pytest.mark.usefixtures("bash")
def test_an_answer_commands_no_runner(tmp_path: Path) -> None:
    """What the gate prints, on both streams, stands between `::stop-commands::` with a new word and that word."""
    said = "##[add-path]/evil ::set-output name=outcome::pass"
    words = []
    for k in range(2):
        (tmp_path / str(k)).mkdir()
        job = Job(tmp_path / str(k), target="x")
        fake(job.folder, f"echo '{said}'; echo '{said}' >&2; exit 3")
        done = job.step("Ask the candidate")
        first, *between, last = done.stdout.splitlines()
        word = first.removeprefix("::stop-commands::")
        assert (last, between, done.stderr) == (f"::{word}::", [said, said], "")
        words.append(word)
    assert words[0] != words[1]
    assert all(re.fullmatch("[0-9a-f]{32}", w) for w in words)


@pytest.mark.usefixtures("bash")
@pytest.mark.parametrize(("code", "word"), [(0, "error"), (1, "error"), (3, "error"), (127, "error")])
def test_a_verdict_has_a_report(tmp_path: Path, code: int, word: str) -> None:
    """A program that ends with the code of a verdict and writes no report gave none: an old report is not taken for its own."""
    job = Job(tmp_path, target="x")
    fake(tmp_path, f"exit {code}")
    (tmp_path / "tmp" / "andon-gate").mkdir(parents=True)
    (tmp_path / "tmp" / "andon-gate" / "report.md").write_text("**Pass**: all\n")
    assert job.gate() == {"exit-code": str(code if code == 127 else 4), "outcome": word}


def test_the_action_uses_only_what_it_says() -> None:
    """Foreign actions are those for Python and artifacts; every shell is bash; what can be left out has a default."""
    used: list[Any] = [step["uses"].split("@")[0] for step in STEPS.values() if "uses" in step]
    assert used == ["actions/setup-python", "actions/upload-artifact"]
    assert {step["shell"] for step in STEPS.values() if "run" in step} == {"bash"}
    assert [name for name, value in ACTION["inputs"].items() if value.get("required")] == ["target"]
    assert all("default" in value for value in ACTION["inputs"].values() if not value.get("required"))
