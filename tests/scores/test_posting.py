"""What the seams to models share: an answer ends in time and in size, and a pause that is asked for is kept."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from andon.errors import ConfigError, SeamError
from andon.scores import posting
from andon.scores.posting import Endpoint, endpoint_at


@pytest.fixture
def drip() -> Iterator[Endpoint]:
    """An endpoint that sends a space every 50 ms for 10 s, and never its answer."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            try:
                for _ in range(200):
                    self.wfile.write(b" " * 10_000)
                    self.wfile.flush()
                    if over.wait(0.05):
                        return
            except OSError:  # whoever asked has left
                pass

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/v1"
        endpoint = endpoint_at("the double", url, "x", "", "ANDON_DOUBLE", answer_s=0.4)
        yield replace(endpoint, sleep=lambda _: None)
        over.set()
        server.shutdown()
        thread.join()


def failure(endpoint: Endpoint) -> SeamError:
    """The error of one question."""
    with pytest.raises(SeamError) as caught, endpoint.asked() as ask:
        ask({"a": 1})
    return caught.value


def test_an_answer_that_never_ends_is_given_up(drip: Endpoint) -> None:
    """Each part comes in time and the whole never: after its time it is a retryable error, as any other timeout."""
    began = time.monotonic()
    error = failure(drip)
    assert error.retryable
    assert "no whole answer within 0.4 s" in str(error)
    assert time.monotonic() - began < 5


def test_an_answer_without_end_is_not_read(drip: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """More bytes than any answer has are an error at once, which asking again does not mend."""
    monkeypatch.setattr(posting, "MOST_BYTES", 15_000)
    error = failure(drip)
    assert not error.retryable
    assert "more than 15,000 bytes" in str(error)


def test_a_key_goes_before_a_password_and_neither_is_shown() -> None:
    """With a key the user and password of the URL are not sent; a message shows none of them, nor the query."""
    with_key = endpoint_at("x", "https://me:pw@host:1/v1/?t=s#f", "e", "key ", "ANDON_X")
    assert (with_key.url, with_key.key) == ("https://host:1/v1/e?t=s", "key")
    without = endpoint_at("x", "https://me:pw@host:1/v1", "e", "", "ANDON_X")
    assert without.url == "https://me:pw@host:1/v1/e"
    assert {with_key.place, without.place} == {"https://host:1/v1/e"}
    assert not any(secret in repr(e) for e in (with_key, without) for secret in ("pw", "key", "t=s"))
    with pytest.raises(ConfigError, match="ANDON_X_URL"):
        endpoint_at("x", "host", "e", "", "ANDON_X")
