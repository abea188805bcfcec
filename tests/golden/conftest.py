from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from andon.golden import Case, Failure
from andon.golden.cases import case_id, failure_id
from andon.store import Ledger

settings.register_profile(
    "andon", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # a busy machine is no failure
settings.load_profile("andon")
NOW_US = 1_795_132_800_000_000  # 2026-11-20


class Words:
    """An embedder double: a bag of words."""

    name = "words-1"

    def __init__(self) -> None:
        self.places: dict[str, int] = {}

    def embed(self, texts):
        rows = np.zeros((len(texts), 500), np.float32)
        for i, text in enumerate(texts):
            for word in text.casefold().split():
                rows[i, self.places.setdefault(word, len(self.places)) % 500] += 1
            rows[i] /= np.linalg.norm(rows[i]) or 1
        return rows


@pytest.fixture
def words() -> Words:
    """An embedder double, new for each test."""
    return Words()


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """An empty ledger in memory."""
    book = Ledger("sqlite://")
    yield book
    book.close()


@pytest.fixture
def now_us() -> int:
    """A fixed time, 2026-11-20."""
    return NOW_US


@pytest.fixture
def failure() -> Callable[..., Failure]:
    """Make a failure; its id is that of its content."""

    def make(question: str = "How tall is K2?", answer: str | None = "8848 m", app: str = "default", **more) -> Failure:
        return Failure(
            id=failure_id(app, question, answer), captured_us=NOW_US, app=app, question=question, answer=answer, **more
        )

    return make


@pytest.fixture
def case() -> Callable[..., Case]:
    """Make a case; its id is that of its content."""

    def make(question: str = "How tall is K2?", truth: str = "8611 m", app: str = "default", **more) -> Case:
        fields = {"answer": "8848 m", "contexts": (), "source": "", "failure_reason": "", "added_date": "2026-11-20"}
        return Case(
            **{"id": case_id(app, question, truth), **fields, **more}, question=question, ground_truth=truth, app=app
        )

    return make
