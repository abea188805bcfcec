"""A server of levers that answers as a test tells it (the client must stand what no real server does), and a cache that reads it."""

import json
import queue
import socket
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from andon.client.levers import LeverCache

STREAM = [{"type": "sse", "endpoint": {"requestUri": "/ofrep/v1/events"}, "inactivityDelaySec": 120}]
EVENT = b'event: message\ndata: {"type":"refetchEvaluation","etag":"e2","lastModified":1771622898}\n\n'


def flag(key, value, **more):
    """One entry of a bulk answer."""
    return {"key": key, "value": value, "reason": "STATIC", "variant": "default", "metadata": {"held": False}, **more}


def _handler(outer):
    """What answers the requests that a `LeverServer` gets."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            outer.addresses.append(self.client_address)
            outer.asked.append((self.path, dict(self.headers), json.loads(body), time.monotonic()))
            answer = outer.answers.pop(0) if outer.answers else outer.answer(self.headers.get("If-None-Match"))
            if answer is None or outer.hanging:
                outer.released.wait(30)
                self.close_connection = True
                return
            self.reply(*answer)
            self.close_connection = self.close_connection or outer.dropping

        def do_GET(self):
            outer.opened.append((self.path, dict(self.headers), time.monotonic()))
            if not outer.streams:
                self.reply(503, b"", {"Retry-After": "1"})
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream; charset=utf-8")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            lines: queue.Queue[bytes] = queue.Queue()
            outer.lines.append(lines)
            self.close_connection = True
            while (line := lines.get()) != b"":
                try:
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(line), line))
                    self.wfile.flush()
                except OSError:
                    return

        def reply(self, status, body=b"", headers=None):
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            if status != 304:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    return Handler


class LeverServer:
    """`flags` are served with an ETag; an item of `answers` is served instead, once: (status, body, headers), or None to hang."""

    def __init__(self, *flags, streams=(), port=0):
        self.flags, self.streams, self.answers = list(flags), list(streams), []
        self.asked, self.opened, self.addresses, self.released = [], [], [], threading.Event()
        self.hanging = self.dropping = False
        self.lines: list[queue.Queue[bytes]] = []

        class Http(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, request, client_address):
                pass  # a client that left is no failure

        self.http = Http(("127.0.0.1", port), _handler(self))
        self.port = self.http.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def answer(self, known=None):
        """What the bulk endpoint says now."""
        body = json.dumps({"flags": self.flags, "metadata": {}, "eventStreams": self.streams}).encode()
        etag = f'"{hash(body)}"'
        return (304, b"", {"ETag": etag}) if known == etag else (200, body, {"ETag": etag})

    def say(self, data):
        """Send bytes over every open stream."""
        for lines in self.lines:
            lines.put(data)

    def stop(self):
        """End all of it, as a killed server does."""
        self.released.set()
        self.say(b"")
        self.http.shutdown()
        self.http.server_close()


@contextmanager
def serving(*flags, streams=(), port=0):
    """A `LeverServer` for the length of a block."""
    server = LeverServer(*flags, streams=streams, port=port)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def silent():
    """An endpoint that accepts connections and never answers."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(50)
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"


def closed_port():
    """An endpoint that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}"


def until(true, seconds=5.0):
    """Wait until something is true; the seconds that it took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, "it did not come true in time"
        time.sleep(0.002)
    return time.monotonic() - began


@contextmanager
def reading(url, *, cache=None, wait_s=2.0, token=None, app="bot", environment="production"):
    """A started cache, and what it told."""
    told = []
    found = LeverCache(
        url,
        token=token,
        app=app,
        environment=environment,
        cache=cache,
        tell=lambda event, keys: told.append((event, keys)),
    )
    found.told = told
    found.start(wait_s)
    try:
        yield found
    finally:
        found.stop()


def value(cache, key):
    """What a lever gives to everybody, None where it is not known."""
    entry = cache.find(key)
    return None if entry is None else entry.given(None, False).value
