"""What a stranger may send before anybody asks who it is."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from andon.server.heads import MOST, HeadsProtocol


@contextmanager
def served() -> Iterator[int]:
    """An application that takes everything, on a free port."""

    async def app(_: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    config = uvicorn.Config(
        app, port=0, http=HeadsProtocol, loop="uvloop", log_level="error", lifespan="off", ws="none"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(5)


def answers(port: int, *parts: bytes) -> bytes:
    """What comes back until the server closes, or has answered."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as made:
        try:
            for part in parts:
                made.sendall(part)
        except OSError:  # it closed while we sent
            pass
        found = b""
        try:
            while b"\r\n\r\n" not in found and (more := made.recv(65_536)):
                found += more
        except OSError:
            pass
        return found


def test_a_head_without_end_is_not_kept() -> None:
    """An address, a header or headers without end are not read on for ever: the connection ends soon after half a megabyte."""
    much = [b"a" * 100_000] * (4 * MOST // 100_000)
    many = [b"h: x\r\n" * 20_000] * (4 * MOST // 120_000)
    with served() as port:
        begun = time.monotonic()
        for start, rest in (
            (b"GET /", much),
            (b"GET / HTTP/1.1\r\nhost: x\r\nx: ", much),
            (b"GET / HTTP/1.1\r\nhost: x\r\n", many),
        ):
            assert b" 200 " not in answers(port, start, *rest, b"\r\n\r\n")
        assert time.monotonic() - begun < 5
        assert b" 200 " in answers(port, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"), "others are served all the same"


def test_a_large_body_is_no_head() -> None:
    """A body of any size, and the next request on the same connection, are taken as ever."""
    body = b"b" * (3 * MOST)
    head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
    with served() as port, socket.create_connection(("127.0.0.1", port), timeout=10) as made:
        for _ in range(2):
            made.sendall(head + body)
            found = b""
            while not found.endswith(b"ok"):
                found += made.recv(65_536)
            assert b" 200 " in found
