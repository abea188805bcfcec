"""Files of traffic into the store."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from andon.store import Warehouse
from andon.traffic.files.reading import check_file, read_traffic
from andon.traffic.intake import BadRow
from andon.traffic.run.taking import Intake

__all__ = ["ImportResult", "Progress", "import_files"]

_BATCH = 20_000
_COMMIT_ROWS = 100_000
_KEPT_BAD_ROWS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an import is; reported after each batch is durable."""

    file: str
    rows: int
    """Rows read so far, over all files."""
    acknowledged: int
    """Rows that will survive a crash from now on."""
    bad: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportResult:
    """What an import did."""

    files: tuple[str, ...]
    rows: int
    acknowledged: int
    """Rows taken in; those that were there before (the same id) are in the table once."""
    bad: int
    bad_rows: tuple[BadRow, ...]
    """The first 1,000 of them."""


def import_files(
    warehouse: Warehouse,
    paths: Iterable[Path | str],
    *,
    table: Literal["interactions", "feedback"] | None = None,
    report: Callable[[Progress], None] | None = None,
    intake: Intake | None = None,
) -> ImportResult:
    """Import files of traffic, and commit; what their rows are, the files and the rows say, unless `table` does.

    A crash at any moment loses no row that `report` has counted as acknowledged, and importing again adds no row twice.

    Raises:
        InputError: a file cannot be opened or read; checked for all files before the first row is taken.
        StoreError: the disk refused; importing again is safe.
    """
    intake = intake or Intake(warehouse)
    checked = [check_file(path) for path in paths]
    rows = acknowledged = bad = uncommitted = 0
    kept: list[BadRow] = []
    for path in checked:
        for batch in _batches(read_traffic(path, table), _BATCH):
            wrong = [row for row in batch if isinstance(row, BadRow)]
            taken = intake.records([row for row in batch if not isinstance(row, BadRow)])
            rows, bad = rows + len(batch), bad + len(wrong)
            acknowledged, uncommitted = acknowledged + taken, uncommitted + taken
            kept.extend(replace(row, file=str(path)) for row in wrong[: _KEPT_BAD_ROWS - len(kept)])
            if uncommitted >= _COMMIT_ROWS:
                warehouse.commit()
                uncommitted = 0
            if report is not None:
                report(Progress(file=str(path), rows=rows, acknowledged=acknowledged, bad=bad))
    warehouse.commit()
    warehouse.tidy()
    return ImportResult(
        files=tuple(map(str, checked)), rows=rows, acknowledged=acknowledged, bad=bad, bad_rows=tuple(kept)
    )


def _batches(rows: Iterator[Any], size: int) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
