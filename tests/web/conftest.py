"""A house for each test."""

from pathlib import Path

import pytest
from browsing import House


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A site with nothing in it but its owner."""
    return House(tmp_path)
