"""What an application asked and answered, on its way to the server.

What could not be sent is counted in `Andon.stats`, and the first problem of each kind is logged once (logger ``andon``). Rows
are sent by one daemon thread, in batches, and sent again while the server is away; each has an id, so that a repeated row is
one row. The fields of `Andon.record` are those of ``andon.traffic.Interaction``; others become attributes.
"""

import atexit
import json
import logging
import os
import threading
import time
import uuid
import weakref
from collections import deque
from contextlib import suppress
from datetime import date
from typing import Any, NamedTuple

__all__ = ["Andon", "Stats", "connect", "headers_of", "jitter"]

_LOG = logging.getLogger("andon")
_BATCH_ROWS, _BATCH_BYTES = 500, 2**20
_ROW_BYTES, _QUEUE_BYTES = 4 * 2**20, 64 * 2**20
_LINGER_S, _TIMEOUT_S, _EXIT_S = 0.5, 10.0, 3.0
_ATTEMPTS, _FIRST_WAIT_S, _LONGEST_WAIT_S = 10, 0.2, 30.0
_AGAIN = frozenset({408, 425, 429})


class Stats(NamedTuple):  # not a dataclass: importing those would double the time that this module takes
    """Counts of rows since the client was made; every row is queued, sent, dropped or rejected."""

    queued: int
    """Waiting, or on their way."""
    sent: int
    """Acknowledged by the server."""
    retried: int
    """Attempts that were repeated (rows, counted once for each repetition)."""
    dropped: int
    """Given up: the queue was full, the server could not read them or refused them, or it stayed away too long."""
    rejected: int
    """Never queued, because they were no valid input."""


class Andon:
    """A queue and a thread in front of one Andon server."""

    _closed: bool
    _queue_bytes: int
    _hurry: int

    def __init__(
        self,
        endpoint: str = "http://localhost:4318",
        *,
        token: str | None = None,
        app: str | None = None,
        queue_size: int = 10_000,
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        """Make a client; nothing is sent and no thread is started before the first row.

        Args:
            endpoint: base URL of the server.
            token: bearer token, where the server asks for one.
            app: value of the field `app` for rows that do not have their own.
            queue_size: rows that may wait; further ones are dropped and counted.
            timeout_s: how long one request may take.
        """
        self._endpoint, self._token, self._app = endpoint, token, app
        self._queue_size, self._timeout_s = queue_size, timeout_s
        self._said: set[str] = set()
        self._reset()
        _CLIENTS.add(self)

    def record(self, /, *, id: str | None = None, **fields: Any) -> str:  # noqa: A002 - the field's name
        """Queue one interaction and return its id (a new one unless given); the time is now unless given."""
        identity = uuid.uuid4().hex
        try:
            identity = str(id) if id else identity
            row = {"id": identity, **({"app": self._app} if self._app else {}), **fields}
            self._put("/v1/interactions", row)
        except Exception as error:
            self._reject(error)
        return identity

    def feedback(
        self,
        /,
        interaction_id: str,
        thumb: str | None = None,
        *,
        kind: str | None = None,
        value: float | str | None = None,
        text: str | None = None,
        **fields: Any,
    ) -> None:
        """Queue what somebody said about an interaction: ``"up"``, ``"down"``, or a `kind` with `value` or `text`."""
        try:
            if thumb is not None:
                kind, value = kind or "thumb", thumb if value is None else value
            if not interaction_id or kind is None:
                raise ValueError("feedback needs the id of an interaction, and 'up', 'down' or a kind")
            row = {"id": uuid.uuid4().hex, "interaction_id": str(interaction_id), "kind": kind, **fields}
            row.update({k: v for k, v in (("value", value), ("text", text)) if v is not None})
            self._put("/v1/feedback", row)
        except Exception as error:
            self._reject(error)

    @property
    def stats(self) -> Stats:
        """What became of the rows so far."""
        with self._changed:
            return Stats(
                queued=len(self._queue) + self._flying,
                sent=self._sent,
                retried=self._retried,
                dropped=self._dropped,
                rejected=self._rejected,
            )

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Wait until every row queued so far is sent or given up; False when the time was over before."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            goal = self._done + len(self._queue) + self._flying
            self._hurry = max(self._hurry, goal)
            self._changed.notify_all()
            while self._done < goal:
                rest = deadline - time.monotonic()
                if rest <= 0 or self._thread is None or not self._thread.is_alive():
                    return False
                self._changed.wait(rest)
            return True

    def close(self, timeout_s: float = _EXIT_S) -> None:
        """Send what waits, for at most `timeout_s`; what is left then is dropped and counted. Later rows are dropped."""
        try:
            self.flush(timeout_s)
        finally:
            with self._changed:
                self._closed = True
                left = len(self._queue)
                self._queue.clear()
                self._queue_bytes = 0
                self._done += left
                self._dropped += left
                self._changed.notify_all()
            if left:
                self._say("closed", f"{left} rows were not sent before the time to close was over")

    def __enter__(self) -> "Andon":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _reset(self) -> None:
        """An empty queue without a thread: at the start, and in a forked child, whose parent sends what waited."""
        self._changed = threading.Condition()
        self._queue: deque[tuple[str, bytes]] = deque()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._queue_bytes = self._flying = self._done = self._hurry = 0
        self._sent = self._retried = self._dropped = self._rejected = 0

    def _put(self, path: str, row: dict[str, Any]) -> None:
        if not any(row.get(name) is not None for name in ("time_us", "time", "timestamp")):
            row["time_us"] = time.time_ns() // 1000
        line = _encoded(row)
        with self._changed:
            full = len(self._queue) + self._flying >= self._queue_size
            full = full or self._queue_bytes + len(line) > _QUEUE_BYTES
            if self._closed or full:
                self._dropped += 1
            else:
                self._start()
                self._queue.append((path, line))
                self._queue_bytes += len(line)
                if len(self._queue) == 1 or len(self._queue) == _BATCH_ROWS:
                    self._changed.notify_all()
        if full:
            self._say("full", f"the queue of {self._queue_size} rows is full; further rows are dropped and counted")

    def _start(self) -> None:
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="andon-client", daemon=True)
            thread.start()
            self._thread = thread

    def _reject(self, error: Exception) -> None:
        with self._changed:
            self._rejected += 1
        with suppress(Exception):  # an error that cannot even be written down
            self._say(f"rejected {type(error).__name__}", f"a row was rejected: {type(error).__name__}: {error}")

    def _say(self, kind: str, message: str) -> None:
        if kind in self._said:
            return
        self._said.add(kind)
        with suppress(Exception):  # a log handler of the application that raises
            _LOG.warning("%s (said once; see Andon.stats)", message[:500])

    def _run(self) -> None:
        post = _Post(self._endpoint, self._token, self._timeout_s)
        while True:
            batch = self._next_batch()
            if batch is None:
                post.close()
                return
            path, lines = batch
            sent = 0
            try:
                sent = self._send(post, path, b"\n".join(lines) + b"\n", len(lines))
            except Exception as error:
                self._say(f"failed {type(error).__name__}", f"rows were dropped: {type(error).__name__}: {error}")
            with self._changed:
                self._flying = 0
                self._done += len(lines)
                self._sent += sent
                self._dropped += len(lines) - sent
                self._changed.notify_all()

    def _next_batch(self) -> tuple[str, list[bytes]] | None:
        """Wait for rows, a little longer for a batch of them, and take those of one path; None when closed."""
        with self._changed:
            while not self._queue:
                if self._closed:
                    return None
                self._changed.wait()
            until = time.monotonic() + _LINGER_S
            while len(self._queue) < _BATCH_ROWS and self._hurry <= self._done and not self._closed:
                rest = until - time.monotonic()
                if rest <= 0:
                    break
                self._changed.wait(rest)
            if not self._queue:
                return None  # only closing empties it
            path, size = self._queue[0][0], 0
            lines: list[bytes] = []
            while self._queue and self._queue[0][0] == path and len(lines) < _BATCH_ROWS and size < _BATCH_BYTES:
                line = self._queue.popleft()[1]
                lines.append(line)
                size += len(line)
            self._queue_bytes -= size
            self._flying = len(lines)
            return path, lines

    def _send(self, post: "_Post", path: str, body: bytes, rows: int) -> int:
        """Send rows until an answer ends it; how many of them the server kept."""
        wait = _FIRST_WAIT_S
        for attempt in range(_ATTEMPTS):
            status, asked_s, problem, refused = post(path, body)
            if 200 <= status < 300:
                if refused:
                    self._say("refused", f"{self._endpoint}{path} kept {rows - refused} of {rows} rows: {problem}")
                return rows - min(refused, rows)
            self._say(f"status {status}", f"{self._endpoint}{path} did not take {rows} rows: {problem}")
            if status and status < 500 and status not in _AGAIN:
                return 0
            if attempt + 1 == _ATTEMPTS or not self._pause(max(asked_s, wait * jitter())):
                return 0
            wait = min(2 * wait, _LONGEST_WAIT_S)
            with self._changed:
                self._retried += rows
        return 0

    def _pause(self, seconds: float) -> bool:
        """Wait before the next attempt; False when the client was closed meanwhile."""
        until = time.monotonic() + min(seconds, _LONGEST_WAIT_S)
        with self._changed:
            while not self._closed and (rest := until - time.monotonic()) > 0:
                self._changed.wait(rest)
            return not self._closed


class _Post:
    """One kept connection to the server."""

    def __init__(self, endpoint: str, token: str | None, timeout_s: float) -> None:
        self._endpoint, self._token, self._timeout_s = endpoint, token, timeout_s
        self._connection: Any = None
        self._base = ""

    def __call__(self, path: str, body: bytes) -> tuple[int, float, str, int]:
        """Post rows: (status, seconds the server asks to wait, what was wrong, rows refused); status 0 when no answer came.

        Raises:
            ValueError: the endpoint or the token cannot be used at all.
        """
        import http.client

        headers = headers_of(self._token) | {"Content-Type": "application/x-ndjson"}
        try:
            if self._connection is None:
                self._connection, self._base = connect(self._endpoint, self._timeout_s)
            self._connection.request("POST", self._base + path, body, headers)
            answer = self._connection.getresponse()
            text = answer.read(2**16)
            if not answer.isclosed():
                self.close()  # a longer answer than we care to read
            asked = answer.getheader("Retry-After", "")
            wait_s = float(asked) if asked.isdecimal() else 0.0
            return answer.status, wait_s, f"{answer.status} {text[:200]!r}", _refused(text)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            return 0, 0.0, f"{type(error).__name__}: {error}", 0

    def close(self) -> None:
        """Forget the connection; the next post makes a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def connect(endpoint: str, timeout_s: float) -> tuple[Any, str]:
    """A connection to a server, not opened yet, and what goes in front of every path.

    Raises:
        ValueError: it is no endpoint.
    """
    import http.client
    from urllib.parse import urlsplit

    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{endpoint!r} is no endpoint; allowed: http://host:port or https://host:port")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname, parts.port, timeout=timeout_s), parts.path.rstrip("/")


def headers_of(token: str | None) -> dict[str, str]:
    """What every request says of us.

    Raises:
        ValueError: no header takes the token; the message does not show it, as that of the standard library would.
    """
    headers = {"User-Agent": "andon-client"}
    if token:
        if not (token.isascii() and token.isprintable()):
            raise ValueError("the token has characters that no header takes")
        headers["Authorization"] = f"Bearer {token}"
    return headers


def jitter() -> float:
    """0.5 to 1, by which a wait is multiplied: clients that failed together do not come back together."""
    return 0.5 + os.urandom(1)[0] / 510


def _encoded(row: dict[str, Any]) -> bytes:
    text = json.dumps(row, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
    line = text.encode("utf-8", "replace")  # half a surrogate pair is no text anywhere else
    if len(line) > _ROW_BYTES:
        raise ValueError(f"the row has {len(line)} bytes; up to {_ROW_BYTES} are allowed")
    return line


def _refused(answer: bytes) -> int:
    """Rows that the server could not read, by its answer."""
    with suppress(ValueError, TypeError, AttributeError):
        return int(json.loads(answer).get("rejected_count", 0))
    return 0


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, uuid.UUID) or type(value).__name__ == "Decimal":
        return str(value)
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:  # a number of NumPy
        return value.item()
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} is no JSON; text, numbers, lists and dicts are allowed")


_CLIENTS: "weakref.WeakSet[Andon]" = weakref.WeakSet()


def _close_all() -> None:
    until = time.monotonic() + _EXIT_S
    for client in list(_CLIENTS):
        client.close(max(0.0, until - time.monotonic()))


def _after_fork() -> None:
    for client in list(_CLIENTS):
        client._reset()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
