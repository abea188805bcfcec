"""A house for each test; a real server is started as the tests of the server start it."""

import sys
from pathlib import Path

import pytest
from browsing import House

sys.path.append(str(Path(__file__).parents[1] / "server"))


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A site with nothing in it but its owner."""
    return House(tmp_path)
