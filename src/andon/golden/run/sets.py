"""The golden set: from the ledger, to a file, from a file."""

import os
from pathlib import Path

from andon.errors import InputError, StoreError
from andon.golden.cases import check_label
from andon.golden.files import merge_cases, parse_cases, read_text, render_cases
from andon.golden.records import AddResult, Case, Refusal
from andon.golden.run.cases import conflicts
from andon.store import Ledger

__all__ = ["export", "import_set", "load_set"]


def load_set(ledger: Ledger, app: str | None = None) -> list[Case]:
    """The golden set (of one app), in the order in which cases were added.

    Raises:
        StoreError: the ledger failed.
    """
    return [c for c in ledger.all(Case) if app is None or c.app == app]


def export(ledger: Ledger, path: Path, *, app: str | None = None) -> int:
    """Write the golden set (of one app) as JSONL; returns how many lines are new.

    A file that is there keeps its lines to the byte, and new cases are appended: a test is never removed by an export.

    Raises:
        InputError: the file that is there is no golden set.
        StoreError: the ledger or the disk failed; the file is as it was.
    """
    cases = load_set(ledger, app)
    before = read_text(path) if path.exists() else ""
    after = merge_cases(before, cases, app=app or "default", name=str(path)) if before else render_cases(cases)
    if after == before and path.exists():
        return 0
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(after.encode("utf-8"))
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StoreError(f"cannot write {path}: {error.strerror}", retryable=True) from error
    return after[len(before) :].strip("\n").count("\n") + 1 if after != before else 0


def import_set(ledger: Ledger, path: Path, *, now_us: int, by: str, app: str = "default") -> AddResult:
    """Take in the cases of a JSONL golden set; the team's own choice stands, so near-duplicates are kept.

    A case whose ground truth is the failing answer itself is refused. `app` holds where a line names none.

    Raises:
        InputError: the file cannot be read, or a line is no case; nothing was written.
        StoreError: the ledger failed; calling again is safe.
    """
    cases = parse_cases(read_text(path), app=app, name=str(path))
    before = ledger.all(Case)
    ids = {c.id for c in before}
    added: list[Case] = []
    known: list[str] = []
    refused: list[Refusal] = []
    for case in cases:
        if case.id in ids:
            known.append(case.id)
            continue
        try:
            check_label(case.answer, case.ground_truth)
            ledger.put(case, now_us=now_us, by=by)
        except InputError as error:
            refused.append(Refusal(id=case.id, reason=str(error)))
            continue
        ids.add(case.id)
        added.append(case)
    return AddResult(added=tuple(added), known=tuple(known), refused=tuple(refused), conflicts=conflicts(before, added))
