"""What a stranger may send before anybody asks who it is."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn

from andon.server.heads import MOST, HeadsProtocol


async def takes_all(_: Any, receive: Any, send: Any) -> None:
    """An application that takes everything."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@contextmanager
def served(app: Any = takes_all) -> Iterator[int]:
    """An application on a free port."""
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


def test_trailers_without_end_are_not_kept() -> None:
    """What stands behind a chunked body ends soon too, be it many fields or one: the connection is closed after half a megabyte."""
    head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n"
    many = b"".join(b"h%d: x\r\n" % n for n in range(20_000))
    with served() as port:
        for start, part in ((b"", many), (b"x: ", b"a" * 200_000)):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as made, pytest.raises(ConnectionError):  # noqa: PT012
                made.sendall(head + start)
                for _ in range(4_000):
                    made.sendall(part)
        assert b" 200 " in answers(port, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"), "others are served all the same"


def test_a_trailer_is_no_header() -> None:
    """What comes behind the body is not added to the headers, by which it was decided who asks."""
    told: list[list[tuple[bytes, bytes]]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        told.append(list(scope["headers"]))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    sent = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\ncookie: a=b\r\n\r\n"
    with served(app) as port:
        assert b" 200 " in answers(port, sent)
    assert [name for name, _ in told[0]] == [b"host", b"transfer-encoding"]
