"""Where the packs of real data are."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of the packs; without it the test is skipped and says how to have it."""
    place = Path(os.environ.get("SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not (place / "drift-llmdrift").is_dir():
        pytest.skip(f"no real data in {place}: put the packs there, or name their folder in SHARED_DATA")
    return place
