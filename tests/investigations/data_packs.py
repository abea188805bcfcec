"""The rows of packs of real data, for the tests that are run on them."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

DATA = Path(os.environ.get("SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))


def pack(name: str, file: str) -> list[dict[str, Any]]:
    """The rows of a pack; without it the test is skipped and says how to have it."""
    path = DATA / name / file
    if not path.is_file():
        pytest.skip(f"no {path}: put the packs there, or name their folder in SHARED_DATA")
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
