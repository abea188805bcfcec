"""Laws of channels that fail: the log says which, of what and why, without a secret, and whoever sends learns it as before."""

from pathlib import Path
from typing import Any

import pytest

from andon.errors import SeamError
from andon.incidents import Message, sample_message
from andon.incidents.channels import send
from andon.loop import open_loop
from andon.server import loop_work
from andon.server.logged import logged
from andon.settings import Settings


class Broken:
    """A channel that fails, of a receiver that keeps a state of its own."""

    name = "mail"
    follows = True

    def __init__(self, error: Exception) -> None:
        self.error = error

    def send(self, _: Message) -> None:
        raise self.error


@pytest.mark.parametrize(
    ("error", "outcome", "said"),
    [
        (SeamError("it could not be reached", retryable=True), "failed", "it could not be reached; it is tried again"),
        (SeamError("it did not answer", retryable=False), "unknown", "it did not answer; it may have arrived"),
        (ValueError("https://user:secret@host"), "unknown", "ValueError; it may have arrived"),
    ],
)
def test_a_failure_is_logged(caplog: pytest.LogCaptureFixture, error: Exception, outcome: str, said: str) -> None:
    """Once, with the channel and the message; what a foreign exception says stays out of it."""
    (channel,) = logged([Broken(error)])
    message = sample_message()
    assert send(channel, message)[0] == outcome
    (line,) = [r.getMessage() for r in caplog.records if r.name == "andon"]
    assert "mail could not be told of " in line
    assert said in line
    assert "secret" not in caplog.text


def test_a_channel_stays_what_it_is() -> None:
    """Its name and whether it keeps a state are asked of the channel itself."""
    (channel,) = logged([Broken(ValueError())])
    assert (channel.name, getattr(channel, "follows", False), getattr(channel, "other", 1)) == ("mail", True, 1)


def test_the_loop_of_a_service_logs_its_channels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a turn tells people of: pages, pulls and actions that are overdue."""
    loop = open_loop(Settings(home=tmp_path, embedder="hashed"))
    given: list[Any] = []
    monkeypatch.setattr(loop, "turn", lambda channels, _: given.extend(channels))
    (work,) = (w for w in loop_work(loop, loop.settings, [Broken(ValueError())]) if w.name == "loop")
    work._work()
    assert [type(c).__name__ for c in given] == ["LoggedChannel"]
    loop.close()
