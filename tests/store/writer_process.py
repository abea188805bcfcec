"""A process for the crash tests: appends batches of rows, says on stdout which are acknowledged, commits now and then."""

import random
import sys
from pathlib import Path

import pyarrow as pa

from andon.store import Warehouse

SCHEMA = pa.schema([("id", pa.string()), ("time_us", pa.int64()), ("text", pa.string())])


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(root: str, first: str, batches: str, size: str, seed: str) -> None:
    """Write `batches` batches of `size` rows with the ids first, first + 1 ..., then commit."""
    rng = random.Random(seed)
    store = Warehouse(Path(root), {"turns": SCHEMA})
    say("ready")
    for batch in range(int(batches)):
        start = int(first) + batch * int(size)
        ids = range(start, start + int(size))
        rows = {
            "id": [str(i) for i in ids],
            "time_us": [i * 1000 for i in ids],
            "text": ["x" * rng.randrange(99)] * len(ids),
        }
        store.append("turns", pa.table(rows, schema=SCHEMA))
        say(f"{start} {start + int(size)}")
        if rng.random() < 0.4:
            store.commit()
    store.commit()


if __name__ == "__main__":
    main(*sys.argv[1:])
