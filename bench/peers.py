"""Peers in environments of their own, so that nothing of theirs is ever installed into ours."""

import json
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

from bench.figures import ROOT, note

__all__ = ["ask", "environment", "version"]

ENVIRONMENTS = ROOT / "bench" / ".envs"
LONGEST_S = 900


def ask(name: str, requirements: tuple[str, ...], script: str, *arguments: str) -> dict[str, Any] | None:
    """Run bench/peers_own/SCRIPT in the peer's environment; its answer, or None after a note that says why not."""
    folder = environment(name, requirements)
    if folder is None:
        return None
    command = [str(folder / "bin" / "python"), str(ROOT / "bench" / "peers_own" / script), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=LONGEST_S)
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        said = (error.stderr or "nothing") if isinstance(error.stderr, str | None) else error.stderr.decode()
        note(f"{name} was not measured: {said.strip().splitlines()[-1]}")
        return None
    return answer


def environment(name: str, requirements: tuple[str, ...]) -> Path | None:
    """The folder of the peer's environment, made when it is not there; None after a note that says why it cannot be."""
    folder = ENVIRONMENTS / name
    stamp, wanted = folder / "requirements.txt", "\n".join(requirements)
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return folder
    note(f"making bench/.envs/{name} with {' '.join(requirements)}")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        venv.create(folder, with_pip=True)
        # pip writes to our stderr: its progress is seen, and stdout holds figures only
        python = str(folder / "bin" / "python")
        install = [python, "-m", "pip", "install", "--disable-pip-version-check", *requirements]
        subprocess.run(install, check=True, stdout=sys.stderr)
    except (OSError, subprocess.CalledProcessError) as error:
        note(f"{name} was not measured: its environment could not be made ({error})")
        return None
    stamp.write_text(wanted, encoding="utf-8")
    return folder


def version(folder: Path, package: str) -> str:
    """The version of a package in a peer's environment."""
    script = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"
    command = [str(folder / "bin" / "python"), "-c", script, package]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=LONGEST_S).stdout.strip()
