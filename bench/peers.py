"""Peers in environments of their own, so that nothing of theirs is ever installed into ours."""

import json
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

from bench.figures import ROOT, note

__all__ = ["ask"]

ENVIRONMENTS = ROOT / "bench" / ".envs"
LONGEST_S = 900


def ask(name: str, requirements: tuple[str, ...], script: str, *arguments: str) -> dict[str, Any] | None:
    """Run bench/peers_own/SCRIPT in the peer's environment; its answer, or None after a note that says why not."""
    python = _environment(name, requirements)
    if python is None:
        return None
    command = [str(python), str(ROOT / "bench" / "peers_own" / script), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=LONGEST_S)
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        said = (error.stderr or "nothing") if isinstance(error.stderr, str | None) else error.stderr.decode()
        note(f"{name} was not measured: {said.strip().splitlines()[-1]}")
        return None
    return answer


def _environment(name: str, requirements: tuple[str, ...]) -> Path | None:
    folder = ENVIRONMENTS / name
    stamp, wanted = folder / "requirements.txt", "\n".join(requirements)
    python = folder / "bin" / "python"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    note(f"making bench/.envs/{name} with {' '.join(requirements)}")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        venv.create(folder, with_pip=True)
        # pip writes to our stderr: its progress is seen, and stdout holds figures only
        install = [str(python), "-m", "pip", "install", "--disable-pip-version-check", *requirements]
        subprocess.run(install, check=True, stdout=sys.stderr)
    except (OSError, subprocess.CalledProcessError) as error:
        note(f"{name} was not measured: its environment could not be made ({error})")
        return None
    stamp.write_text(wanted, encoding="utf-8")
    return python
