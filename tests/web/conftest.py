"""A house for each test."""

import sys
from functools import cache
from pathlib import Path

import pytest

from andon.access.run.reading import hashed

sys.path.append(str(Path(__file__).parents[1] / "server"))  # a real server in a process: `running`

from browsing import House

_hashed = cache(hashed)


@pytest.fixture(autouse=True)
def _hash_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each password is hashed once in a process: hundreds of houses have the same people, and hashing is slow by design."""
    monkeypatch.setattr(sys.modules["andon.access.run.people"], "hashed", _hashed)


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A site with nothing in it but its owner."""
    return House(tmp_path)
