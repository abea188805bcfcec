"""Fixtures: a real ledger, and hashing at a small cost, as a thousand passwords are tried here."""

import pytest

from andon.access import passwords
from andon.access.run import sessions
from andon.store import Ledger

NOW = 1_790_000_000_000_000
PASSWORD = "violet gravel 41 otters"


@pytest.fixture
def ledger() -> Ledger:
    """A fresh ledger in memory."""
    return Ledger("sqlite://")


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashing that takes microseconds: the same way, at another cost."""
    monkeypatch.setattr(passwords, "_LOG2_N", 2)
    monkeypatch.setattr(passwords, "_P", 1)
    monkeypatch.setattr(sessions, "NOBODYS", passwords.encode_password("nobody knows this", b"s" * 16))
