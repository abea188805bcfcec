"""What holds for every test: the settings of the person who runs them do not reach the code."""

import os

import pytest
from hypothesis import settings

settings.register_profile("andon", deadline=None)  # a busy machine is no failure
settings.load_profile("andon")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings in the environment of the developer or of CI are hidden; tests set their own."""
    for name in list(os.environ):
        if name.startswith("ANDON_"):
            monkeypatch.delenv(name)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes get the name of their parameter: compressed ones may differ in each process, and pytest-xdist must agree."""
    return argname if isinstance(val, bytes) else None
