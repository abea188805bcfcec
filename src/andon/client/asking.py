"""How a server is asked: all levers in one request, and the stream of events that says when to ask again."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from andon.client.answers import MOST_BYTES
from andon.client.rows import connect, headers_of

__all__ = ["BULK", "LINE_BYTES", "TIMEOUT_S", "Asker", "Refusal", "Reply", "Stream", "plain"]

BULK = "/ofrep/v1/evaluate/flags"
TIMEOUT_S = 2.0
"""How long the server may say nothing during a request. Nobody in the application waits for it."""

LINE_BYTES = 2**16
"""Of one line of an event stream, and of all data of one event."""

_WHOLE_S = 10.0
"""How long one request may take, from the connection to the end of its answer, however steadily that comes."""


class Reply(NamedTuple):
    """An answer of the server."""

    status: int
    body: bytes
    etag: str
    wait_s: float
    """How long the server asks to wait, 0 where it does not."""


class Refusal(Exception):  # noqa: N818 - an answer, not a failure of ours
    """A status that is no success."""

    def __init__(self, status: int, wait_s: float) -> None:
        super().__init__(f"HTTP status {status}")
        self.status, self.wait_s = status, wait_s


class Asker:
    """One kept connection that asks for all levers."""

    def __init__(self, endpoint: str, token: str | None, context: dict[str, str]) -> None:
        self._endpoint, self._token = endpoint, token
        self._body = json.dumps({"context": context}).encode()
        self._connection: Any = None
        self._base = ""

    def __call__(self, etag: str, told: dict[str, str]) -> Reply:
        """Ask, once more where a kept connection was closed meanwhile; 304 where `etag` still names the answer.

        Args:
            etag: of the answer that is known, empty when none is.
            told: what an event said of the new state: it keeps a server or cache that is behind from answering 304.

        Raises:
            OSError, http.client.HTTPException: there was no answer.
            ValueError: endpoint or token cannot be used, or the answer is too large.
        """
        import http.client
        from urllib.parse import urlencode

        path = f"{BULK}?{urlencode(told)}" if told else BULK
        headers = (
            headers_of(self._token) | {"Content-Type": "application/json"} | ({"If-None-Match": etag} if etag else {})
        )
        while True:
            kept = self._connection is not None
            try:
                if not kept:
                    self._connection, self._base = connect(self._endpoint, TIMEOUT_S)
                with _in_time(self._connection):
                    self._connection.request("POST", self._base + path, self._body, headers)
                    return self._reply()
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.close()
                if not kept or isinstance(error, TimeoutError | ValueError):
                    raise

    def close(self) -> None:
        """Forget the connection; the next question makes a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _reply(self) -> Reply:
        answer = self._connection.getresponse()
        parts: list[bytes] = []
        left = MOST_BYTES
        while part := answer.read1(2**16):
            parts.append(part)
            left -= len(part)
            if left < 0:
                raise ValueError(f"the answer has more than {MOST_BYTES} bytes")
        answer.close()  # `read1` does not notice the end, and an answer that is not over blocks the connection
        etag = answer.getheader("ETag", "")
        return Reply(answer.status, b"".join(parts), etag if plain(etag) else "", _wait_s(answer))


class Stream:
    """An open event stream."""

    def __init__(self, endpoint: str, token: str | None, path: str, silence_s: float) -> None:
        """Open it.

        Args:
            endpoint: base URL of the server.
            token: bearer token.
            path: of the stream.
            silence_s: how long it may say nothing, a heart-beat included.

        Raises:
            Refusal: the server gives none.
            OSError, http.client.HTTPException: there was no answer.
            ValueError: endpoint or token cannot be used.
        """
        self._connection, base = connect(endpoint, TIMEOUT_S)
        try:
            with _in_time(self._connection):
                self._connection.request("GET", base + path, None, headers_of(token) | {"Accept": "text/event-stream"})
                self._socket = self._connection.sock
                self._answer = self._connection.getresponse()
            if self._answer.status != 200 or "event-stream" not in self._answer.getheader("Content-Type", ""):
                self._answer.close()
                raise Refusal(self._answer.status, _wait_s(self._answer))
            self._socket.settimeout(silence_s)
        except BaseException:
            self._connection.close()
            raise

    def events(self) -> Iterator[tuple[str, bytes]]:
        """(type, data) of each event as it comes; for every other line a sign of life, of type ``:`` for a heart-beat.

        Raises:
            OSError, http.client.HTTPException: the stream broke, or was silent for too long.
            ValueError: a line or an event is too long.
        """
        kind, data = b"message", b""
        while line := self._answer.readline(LINE_BYTES + 1):
            if len(line) > LINE_BYTES or len(data) > LINE_BYTES:
                raise ValueError(f"an event has more than {LINE_BYTES} bytes")
            name, _, text = line.rstrip(b"\r\n").partition(b":")
            text = text.removeprefix(b" ")
            if name == b"data":
                data += text + b"\n"
            elif name == b"event":
                kind = text
            if not line.strip():
                if data:
                    yield kind.decode("utf-8", "replace"), data[:-1]
                kind, data = b"message", b""
            yield ":" if line.startswith(b":") else "", b""

    def cut(self) -> None:
        """End it, from any thread; whoever reads it wakes up."""
        import socket

        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Forget it; for the thread that reads it."""
        self._answer.close()
        self._connection.close()


@contextmanager
def _in_time(connection: Any) -> Iterator[None]:
    """Cut a connection whose answer is not there in time: a byte now and then, of headers too, keeps every other limit away.

    Raises:
        TimeoutError: it was cut.
    """
    import socket

    if connection.sock is None:
        connection.connect()
    sock, over = connection.sock, threading.Event()

    def cut() -> None:
        over.set()
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(_WHOLE_S, cut)
    timer.daemon = True
    with suppress(RuntimeError):  # no more threads: then without
        timer.start()
    try:
        yield
    except Exception as error:
        if over.is_set():
            raise TimeoutError(f"the answer took more than {_WHOLE_S:g} s") from error
        raise
    finally:
        timer.cancel()
    if over.is_set():
        raise TimeoutError(f"the answer took more than {_WHOLE_S:g} s")


def plain(text: str) -> bool:
    """Whether a server's word may be sent back to it."""
    return len(text) <= 256 and text.isascii() and text.isprintable()


def _wait_s(answer: Any) -> float:
    asked = answer.getheader("Retry-After", "")
    return float(asked) if asked.isdecimal() and len(asked) < 10 else 0.0
