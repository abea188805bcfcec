"""Read files of changes."""

from collections.abc import Sequence
from pathlib import Path

import orjson

from andon.changes import Ignored, Received, changes_of_body
from andon.errors import InputError
from andon.traffic import quoted

__all__ = ["passed_over", "read_changes"]


def passed_over(ignored: Sequence[Ignored]) -> str:
    """A sentence on what came with changes and is none: how much, and the first with its reason."""
    first = ignored[0]
    return f"{len(ignored):,} passed over, for they are no changes; the first: {quoted(first.what)}: {quoted(first.why, 200)}"


def read_changes(path: Path, *, now_us: int) -> Received:
    """The changes of a JSONL file, each line in any form that `/v1/changes` takes.

    Raises:
        InputError: a line is not a change; names the file and the line.
    """
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            found.append(changes_of_body(orjson.loads(line), headers={}, now_us=now_us))
        except (orjson.JSONDecodeError, InputError) as error:
            raise InputError(f"{path}:{number} is not a change: {error}") from error
    return Received(
        changes=tuple(c for f in found for c in f.changes),
        ignored=tuple(i for f in found for i in f.ignored),
        undated=frozenset().union(*(f.undated for f in found)),
        unnamed=frozenset().union(*(f.unnamed for f in found)),
    )
