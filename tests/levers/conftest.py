from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import pytest

from andon.errors import StoreError
from andon.levers import Lever, Version
from andon.levers.run import add_version, approve_version, declare, promote
from andon.rollouts import Experiment
from andon.store import Ledger

T0 = 1_790_000_000_000_000
PROMPT = Lever(id="prompt", kind="string", default="be helpful", safe="say nothing", app="bot")


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A ledger in memory with a declared lever for a prompt."""
    ledger = Ledger("sqlite://")
    declare(ledger, PROMPT, T0, "ann")
    yield ledger
    ledger.close()


@pytest.fixture
def approved(ledger: Ledger) -> Callable[[str], Version]:
    """A function that adds a version of the prompt by ann, approved by bob."""

    def make(value: str) -> Version:
        version = add_version(ledger, "prompt", value, why=f"try {value}", by="ann", now_us=T0)
        return approve_version(ledger, "prompt", version.digest, why="read it", by="bob", now_us=T0)

    return make


@pytest.fixture
def live(ledger: Ledger, approved: Callable[[str], Version]) -> Callable[[str], Version]:
    """A function that makes an approved version of the prompt live in staging, then in production."""

    def make(value: str) -> Version:
        version = approved(value)
        for to in ("staging", "production"):
            promote(ledger, "prompt", version.digest, to=to, why="better", by="ann", now_us=T0 + 1)
        return version

    return make


@pytest.fixture
def experiment() -> Callable[..., Experiment]:
    """A function that plans an experiment on the prompt in production."""

    def make(treatment: str | None, control: str | None = None, **more: Any) -> Experiment:
        fields: dict[str, Any] = {
            "id": "EXP-0001", "kind": "ab", "app": "bot", "lever": "prompt", "control": control, "treatment": treatment,
            "share": 0.5, "hypothesis": "fewer refusals", "metric": "refusal", "better": "down", "effect": 0.01, "base": 0.1,
            "planned": (1000, 1000), "days": 14.0, "by": "ann", "at_us": T0,
        }  # fmt: skip
        return Experiment(**{**fields, **more})

    return make


@pytest.fixture
def power_cut(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], AbstractContextManager[None]]:
    """A context in which the ledger writes so many times and then never again."""

    @contextmanager
    def cut(survives: int) -> Iterator[None]:
        put, left = ledger.put, [survives]

        def put_until(*args: Any, **more: Any) -> int:
            left[0] -= 1
            if left[0] < 0:
                raise StoreError("power cut", retryable=True)
            return put(*args, **more)

        with monkeypatch.context() as patch, suppress(StoreError):
            patch.setattr(ledger, "put", put_until)
            yield

    return cut


@pytest.fixture
def first(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Callable[[type, Callable[[], object]], None]:
    """A function that lets somebody else act just before the next record of a kind is written."""

    def before(kind: type, act: Callable[[], object]) -> None:
        put = ledger.put

        def put_after(record: Any, **more: Any) -> int:
            if isinstance(record, kind):
                monkeypatch.setattr(ledger, "put", put)
                act()
            return put(record, **more)

        monkeypatch.setattr(ledger, "put", put_after)

    return before
