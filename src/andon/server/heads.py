"""HTTP whose heads have an end: uvicorn keeps the address and the headers of a request in memory before anybody asks who sends it."""

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["MOST", "HeadsProtocol"]

MOST = 512 * 1024
"""Bytes of a request before its body. A little more is taken, and a part of the body before it on the same connection counts too."""


class HeadsProtocol(HttpToolsProtocol):
    """One connection; ended with status 400 where a head does not end."""

    def __init__(self, *args: Any, **named: Any) -> None:
        """A new connection, as uvicorn makes it."""
        super().__init__(*args, **named)
        self._in_head, self._head = True, 0

    def data_received(self, data: bytes) -> None:
        """Read on, unless the head is too long already."""
        if self._in_head and self._head > MOST:
            self.send_400_response("The head of this request is too long.")
            return
        super().data_received(data)
        if self._in_head:
            self._head += len(data)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head, self._head = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its head is over."""
        self._in_head = False
        super().on_headers_complete()
