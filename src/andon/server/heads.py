"""HTTP whose heads have an end: uvicorn keeps the address and the headers of a request in memory before anybody asks who sends it.

So it does with the fields behind a chunked body (trailers), and adds them to the headers that were looked at before the body came.
"""

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["MOST", "HeadsProtocol"]

MOST = 512 * 1024
"""Bytes of a request that are no body, on end: before it, or behind it. A little more is taken, and a part of the body before it on
the same connection counts too."""


class HeadsProtocol(HttpToolsProtocol):
    """One connection; ended with status 400 where a head, or what stands behind a body, does not end."""

    def __init__(self, *args: Any, **named: Any) -> None:
        """A new connection, as uvicorn makes it."""
        super().__init__(*args, **named)
        self._in_head, self._bare = True, 0

    def data_received(self, data: bytes) -> None:
        """Read on, unless there was no body for too long already."""
        if self._bare > MOST:
            if not self.transport.is_closing():
                self.send_400_response("The head of this request is too long.")
            return
        super().data_received(data)
        self._bare += len(data)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head, self._bare = True, 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; a trailer is none, and nobody here asks for one."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Its head is over."""
        self._in_head, self._bare = False, 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """More of its body has come."""
        self._bare = 0
        super().on_body(body)
