"""Runs on disk and in the ledger."""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from andon.errors import InputError
from andon.evals.records import CaseResult, EvalRun
from andon.evals.run.telling import tell_incidents
from andon.golden import Case, clusters_of, golden_digest
from andon.store import Ledger, write_whole
from andon.traffic.quoting import quoted

__all__ = ["dump", "keep_run", "load_run", "named", "newest_runs", "results_of", "run_of", "runs_with", "save_run"]

_RUN = TypeAdapter(EvalRun)


def save_run(run: EvalRun, path: Path) -> None:
    """Write a run as JSON, whole or not at all.

    Raises:
        StoreError: the disk failed.
    """
    write_whole(path, dump(run) + "\n")


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


def newest_runs(ledger: Ledger) -> Iterator[EvalRun]:
    """The runs that were kept, the last one kept first. They are read one by one, as a thousand of them are a gigabyte.

    Raises:
        StoreError: the ledger failed.
    """
    for _, name in reversed(ledger.ids(EvalRun)):
        if (run := ledger.get(EvalRun, name)) is not None:
            yield run


def runs_with(ledger: Ledger, cases: Collection[str]) -> list[EvalRun]:
    """The runs that were kept, newest first, with the results of these cases only; runs without any are left out.

    Raises:
        StoreError: the ledger failed.
    """
    wanted = frozenset(cases)
    cut = (replace(r, results=tuple(x for x in r.results if x.case_id in wanted)) for r in newest_runs(ledger))
    return [r for r in cut if r.results] if wanted else []


def results_of(ledger: Ledger, case: str, *, most: int = 20) -> list[tuple[EvalRun, tuple[CaseResult, ...]]]:
    """The newest kept runs that had a case, the newest first, each with its attempts at it; at most `most` runs are read.

    Raises:
        StoreError: the ledger failed.
    """
    runs = ((r, tuple(x for x in r.results if x.case_id == case)) for r in islice(newest_runs(ledger), most))
    return [(r, mine) for r, mine in runs if mine]


def run_of(
    cases: Sequence[Case],
    results: Iterable[CaseResult],
    *,
    at_us: int,
    target: str,
    scorers: str,
    repeats: int = 1,
    app: str | None = None,
    versions: Mapping[str, str] | None = None,
) -> EvalRun:
    """The run that these results of these cases are, with its id; each result gets the cluster of its case.

    Without `app` it is of the application that all cases share.
    """
    apps, cluster = {c.app for c in cases}, clusters_of(cases)
    run = EvalRun(
        id="",
        at_us=at_us,
        target=target,
        golden=golden_digest(cases),
        scorers=scorers,
        results=tuple(replace(r, cluster=cluster[r.case_id]) for r in results),
        app=app if app is not None or len(apps) != 1 else apps.pop(),
        repeats=repeats,
        versions=dict(versions or {}),
    )
    return named(run)


def named(run: EvalRun) -> EvalRun:
    """The run with its id: a digest of its content, apart from how long each answer took."""
    timeless = replace(run, id="", results=tuple(replace(r, latency_s=None) for r in run.results))
    return replace(run, id=f"E-{hashlib.sha256(dump(timeless).encode()).hexdigest()[:16]}")


def dump(run: EvalRun) -> str:
    """A run as JSON."""
    return json.dumps(asdict(run), indent=1, allow_nan=False)
