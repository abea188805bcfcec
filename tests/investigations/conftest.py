"""Fixtures: stores with a planted failure."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from planted import Planted


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Callable[..., Planted]]:
    """Make stores."""
    made: list[Planted] = []

    def make(*args, **more) -> Planted:
        made.append(Planted(tmp_path / str(len(made)), *args, **more))
        return made[-1]

    yield make
    for store in made:
        store.close()
