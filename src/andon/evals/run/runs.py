"""Runs on disk and in the ledger."""

import hashlib
import json
import os
from dataclasses import asdict, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from andon.errors import InputError, StoreError
from andon.evals.records import EvalRun
from andon.evals.run.telling import tell_incidents
from andon.store import Ledger
from andon.traffic.quoting import quoted

__all__ = ["dump", "keep_run", "latest_run", "load_run", "named", "save_run"]

_RUN = TypeAdapter(EvalRun)


def save_run(run: EvalRun, path: Path) -> None:
    """Write a run as JSON, whole or not at all.

    Raises:
        StoreError: the disk failed.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(dump(run) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StoreError(f"cannot write {path}: {error.strerror}", retryable=True) from error


def load_run(path: Path) -> EvalRun:
    """The run that `save_run` wrote.

    Raises:
        InputError: the file cannot be read, or holds no run.
    """
    try:
        return _RUN.validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read the run {path}: {error.strerror}; save a run there first") from None
    except ValidationError as error:
        first = error.errors()[0]
        where, what = ".".join(map(str, first["loc"])), first["msg"]
        raise InputError(f"{path} holds no run: {quoted(f'{where} {what}'.strip(), 200)}") from None


def keep_run(ledger: Ledger, run: EvalRun, *, now_us: int, by: str) -> None:
    """Keep a run in the ledger, and tell the incidents whose golden cases were in it.

    Raises:
        StoreError: the ledger failed.
    """
    ledger.put(run, now_us=now_us, by=by)
    tell_incidents(ledger, run)


def latest_run(ledger: Ledger, *, target: str | None = None, golden: str | None = None) -> EvalRun | None:
    """The newest run that was kept (of a target, of a golden set), for a baseline; None if there is none.

    Raises:
        StoreError: the ledger failed.
    """
    fitting = [
        r
        for r in ledger.all(EvalRun)
        if (target is None or r.target == target) and (golden is None or r.golden == golden)
    ]
    return max(reversed(fitting), key=lambda r: r.at_us, default=None)


def named(run: EvalRun) -> EvalRun:
    """The run with its id: a digest of its content, apart from how long each answer took."""
    timeless = replace(run, id="", results=tuple(replace(r, latency_s=None) for r in run.results))
    return replace(run, id=f"E-{hashlib.sha256(dump(timeless).encode()).hexdigest()[:16]}")


def dump(run: EvalRun) -> str:
    """A run as JSON."""
    return json.dumps(asdict(run), indent=1, allow_nan=False)
