"""An object store with the interface of S3, for tests: moto, with faults that can be switched on. A process of its own.

``PUT /-/faults/NAME`` switches a fault on, ``DELETE`` off:

- ``down``: every request is answered 503.
- ``careless``: a put replaces what is there, though it says that it must not.
- ``lost``: the next entry of a Delta log is put, and the answer to whoever put it is 500.
- ``full``: no file of rows can be put.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

BUCKET = "tables"
"""The bucket that is there from the start."""

FAULTS = ("down", "careless", "lost", "full")


class ObjectStore:
    """A running store."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.env = {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "not a secret",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
        }

    @contextmanager
    def fault(self, name: str) -> Iterator[None]:
        """Within the block this is wrong with the store."""
        self.ask("PUT", f"/-/faults/{name}")
        try:
            yield
        finally:
            self.ask("DELETE", f"/-/faults/{name}")

    def ask(self, method: str, path: str) -> bytes:
        """The answer to a request."""
        with urlopen(Request(self.url + path, method=method), timeout=10) as answer:
            return bytes(answer.read())


def missing() -> str | None:
    """Why there can be no object store here; None where there can."""
    if not find_spec("moto") or not find_spec("flask"):
        return "MOTO IS NOT INSTALLED HERE, so nothing of tables in a bucket is tested: pip install 'moto[s3,server]'"
    return None


@contextmanager
def running(port: int) -> Iterator[ObjectStore]:
    """A store with one bucket, in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-P", __file__, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        store, end = ObjectStore(port), time.monotonic() + 60
        while True:
            with suppress(URLError, ConnectionError):
                store.ask("PUT", f"/{BUCKET}")
                break
            assert process.poll() is None, "the object store did not come up"
            assert time.monotonic() < end, "the object store did not come up within a minute"
            time.sleep(0.1)
        yield store
    finally:
        process.kill()
        process.wait()


def serve(port: int) -> None:
    """Serve until killed. Requests are worked on one by one, so that a put with a condition is whole."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    os.environ.setdefault("MOTO_S3_DEFAULT_MAX_KEYS", "1000")
    moto, turn, faults = DomainDispatcherApplication(create_backend_app), threading.Lock(), set()

    def answer(env: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        method, path = env["REQUEST_METHOD"], env["PATH_INFO"]

        def refuse(status: str) -> Iterable[bytes]:
            env["wsgi.input"].read(int(env.get("CONTENT_LENGTH") or 0))
            start(status, [("Content-Length", "0")])
            return [b""]

        with turn:
            if path.startswith("/-/faults/"):
                (faults.add if method == "PUT" else faults.discard)(path.rpartition("/")[2])
                return refuse("200 OK")
            if "down" in faults:
                return refuse("503 Service Unavailable")
            puts = method in ("PUT", "POST")
            if puts and "full" in faults and path.endswith(".parquet"):
                return refuse("507 Insufficient Storage")
            if "careless" in faults:
                env.pop("HTTP_IF_NONE_MATCH", None)
            entry = method == "PUT" and "/_delta_log/0" in path and path.endswith(".json")
            if entry and "lost" in faults:
                faults.discard("lost")
                list(moto(env, lambda *_: None))
                start("500 Internal Server Error", [("Content-Length", "0")])
                return [b""]
            return list(moto(env, start))

    make_server("127.0.0.1", port, answer, threaded=True).serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
