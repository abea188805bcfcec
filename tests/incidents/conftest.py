"""Fixtures: a receiver of what is sent."""

from collections.abc import Iterator

import pytest
from receivers import Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that listens."""
    with receiving() as found:
        yield found
