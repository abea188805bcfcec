"""What an import brings along."""

import json
import subprocess
import sys

import pytest

HEAVY = {
    "torch", "transformers", "sentence_transformers", "sklearn", "pandas", "polars", "matplotlib", "ray", "daft",
    "huggingface_hub", "tensorflow", "onnxruntime", "openai", "IPython", "pytest", "hypothesis",
}  # fmt: skip


def brought_by(module: str) -> set[str]:
    """Modules that are loaded by importing one in a new process."""
    code = f"import sys, json; known = set(sys.modules); import {module}; print(json.dumps(sorted(set(sys.modules) - known)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_the_client_is_standard_library_only() -> None:
    """`andon.client` brings nothing into the host application but itself and the standard library."""
    brought = brought_by("andon.client")
    assert {m for m in brought if m.startswith("andon")} == {"andon", "andon.client", "andon.client.rows"}
    assert not {m for m in brought if not m.startswith("andon") and m.split(".")[0] not in sys.stdlib_module_names}


@pytest.mark.parametrize("module", ["andon.loop", "andon.cli", "andon.server"])
def test_heavy_packages_stay_outside(module: str) -> None:
    """The loop, the command line and the server load no torch and no other heavy or optional package by being imported."""
    assert not {m.split(".")[0] for m in brought_by(module)} & HEAVY


def test_the_command_line_does_not_load_the_server() -> None:
    """`andon status` does not pay for the web server: it is loaded by `andon serve`."""
    assert not {m.split(".")[0] for m in brought_by("andon.cli")} & {"uvicorn", "fastapi", "starlette"}


def test_statistics_are_loaded_where_they_are_used() -> None:
    """A command that computes nothing does not pay for scipy's statistics, a third of the time of its start."""
    assert not {"scipy.stats", "scipy.optimize", "scipy.sparse"} & brought_by("andon.cli")
