"""A real receiver of webhooks on loopback that can be slow, refuse, hang up, stop and start again."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """Keeps what it is sent; behaves as `mode` says: ``ok``, ``refuse`` (with `status`), ``redirect``, ``hang up`` or ``slow``."""

    def __init__(self) -> None:
        self.mode = "ok"
        self.status = 500
        """That of a refusal."""
        self.slow_s = 1.0
        self.elsewhere = ""
        """Where a redirect leads."""
        self.port = 0
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        """Path, headers (names in lower case) and body of every message that came in whole, as they came."""
        self.got: list[dict[str, Any]] = []
        """Every message that came in whole, whatever was answered."""
        self.accepted: list[dict[str, Any]] = []
        """Those that were answered with 200, or would have been."""
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """The URL for ANDON_CHANNELS, with a secret in each of its parts."""
        return f"json://user-s3cret:pass-s3cret@127.0.0.1:{self.port}/path-s3cret?+X-Key=head-s3cret&-q=query-s3cret"

    @property
    def titles(self) -> list[str]:
        """Titles of the accepted messages, in order."""
        return [m["title"] for m in self.accepted]

    def start(self) -> None:
        """Listen, on the same port as before."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver._receive(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Stop listening: connections are refused."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _receive(self, request: BaseHTTPRequestHandler) -> None:
        mode = self.mode
        body = request.rfile.read(int(request.headers["content-length"]))
        self.requests.append((request.path, {k.lower(): v for k, v in request.headers.items()}, body))
        message = json.loads(body)
        self.got.append(message)
        if mode == "refuse":
            request.send_error(self.status)
            return
        if mode == "redirect":
            request.send_response(307)
            request.send_header("Location", self.elsewhere)
            request.end_headers()
            return
        self.accepted.append(message)
        if mode == "hang up":
            request.connection.close()
            return
        if mode == "slow":
            time.sleep(self.slow_s)
        request.send_response(200)
        request.end_headers()


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver that listens."""
    receiver = Receiver()
    receiver.start()
    try:
        yield receiver
    finally:
        receiver.stop()
