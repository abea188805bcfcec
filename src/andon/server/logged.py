"""Channels whose failures stand in the log: a message that does not arrive must not be lost in silence."""

import logging
from collections.abc import Sequence
from typing import Any

from andon.errors import SeamError
from andon.incidents import Channel, Message
from andon.traffic import quoted

__all__ = ["LoggedChannel", "logged"]

_log = logging.getLogger("andon")


class LoggedChannel:
    """A channel as it is, but for what the log is told."""

    def __init__(self, channel: Channel) -> None:
        """Nothing is sent.

        Args:
            channel: whoever is told.
        """
        self.name = channel.name
        self._channel = channel

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def send(self, message: Message) -> None:
        """Tell it.

        Raises:
            SeamError: see `Channel.send`.
        """
        try:
            self._channel.send(message)
        except SeamError as error:
            self._say(message, str(error), "it is tried again" if error.retryable else "it may have arrived")
            raise
        except Exception as error:  # a channel is foreign code, and its text may hold a secret
            self._say(message, type(error).__name__, "it may have arrived")
            raise

    def _say(self, message: Message, why: str, then: str) -> None:
        _log.warning(
            "%s", quoted(f"{self.name} could not be told of {message.id or message.title}: {why}; {then}", 500)
        )


def logged(channels: Sequence[Channel]) -> list[Channel]:
    """The same channels, logged."""
    return [LoggedChannel(channel) for channel in channels]
