"""What the levers of an application give, in its own memory: reads take microseconds, and outlive the server.

One daemon thread asks for all levers at once. Where the server announces an event stream, a second one holds it open and says
when to ask again; so a stream that hangs never keeps the first from asking. Neither raises anything into the application.
"""

import json
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from andon.client.answers import Entry, merged, read_answer
from andon.client.asking import Asker, Refusal, Stream, plain
from andon.client.kept import body_of, default_folder, file_name, load, save
from andon.client.rows import jitter

__all__ = ["POLL_S", "QUIET_S", "REFRESH_S", "SILENCE_S", "STALE_S", "LeverCache"]

POLL_S = 1.0
"""Between two questions while no event stream is known to work; so often it is looked whether it still does, too."""

REFRESH_S = 30.0
"""Between two questions while one does: an event that got lost costs this long at most."""

QUIET_S = 6.0
"""A stream that said nothing for this long, a heart-beat (5 s) and a little, is not relied on: levers are polled for."""

SILENCE_S = 20.0
"""A stream that said nothing for this long is opened again."""

STALE_S = 60.0
"""Values that the server did not confirm for this long are stale. They are served all the same."""

_LONGEST_WAIT_S, _LONGEST_ASKED_WAIT_S = 5.0, 30.0
_TOLD_UNKNOWN = 2  # after the first one OpenFeature itself may say that we are ready, because we do not fail a start
_EAGER_S = 5.0  # after an event, of several servers one may still be behind: the one that we ask
_SPACING_S = 0.05  # however many events come, so long between two questions at least
_NEVER = float("-inf")
_LOG = logging.getLogger("andon")

Tell = Callable[[str, list[str]], None]


class LeverCache:
    """The levers of one application in one environment.

    Code defaults are for what was never known. Whatever was known is served until the server says otherwise: also a hold
    whose time is over meanwhile, because a stop must not end for the reason that nobody can be asked. Only a lever that fails
    closed, and is not held, gives its safe value once it is stale.
    """

    _stop: threading.Event | None

    def __init__(
        self,
        endpoint: str,
        *,
        token: str | None,
        app: str,
        environment: str,
        cache: str | os.PathLike[str] | None,
        tell: Tell = lambda _event, _keys: None,
    ) -> None:
        """Make a cache; nothing is asked and no thread is started before `start`.

        Args:
            endpoint: base URL of the server.
            token: bearer token, where the server asks for one.
            app: the application.
            environment: which copy of it.
            cache: folder of the file that outlives the process; empty for the user's own, None for no file.
            tell: called by a thread of ours with ``"changed"`` and the keys, ``"stale"``, ``"unknown"`` where nothing was ever
                known and asking failed, or ``"ready"`` when it is neither any longer.
        """
        self._endpoint, self._token = endpoint, token
        self._context = {"environment": environment, "app": app}
        folder = default_folder() if cache == "" else cache
        self._file = Path(folder) / file_name(endpoint, app, environment) if folder else None
        self._tell = tell
        self._known: dict[str, Entry] = {}
        self._heard_at = self._stream_at = self._eager_until = _NEVER
        self._began = _NEVER
        self._etag, self._events, self._saved = "", "", b""
        self._was_stale = self._awaited = False
        self._said: set[str] = set()
        self._reset()
        _CACHES.add(self)

    def find(self, key: str) -> Entry | None:
        """What is known of a lever: no network, no disk, no lock."""
        return self._known.get(key)

    @property
    def known(self) -> bool:
        """Whether anything was ever learned, from the server or from the file."""
        return bool(self._known) or self._heard_at != _NEVER

    @property
    def stale(self) -> bool:
        """Whether the server has confirmed nothing for a minute, or nothing yet."""
        return time.monotonic() - self._heard_at > STALE_S

    def start(self, wait_s: float) -> None:
        """Start to keep it, and wait for first values, from the file or from the server, for at most `wait_s`."""
        with self._changing:
            if self._stop is None:
                self._begin()
        self._first.wait(wait_s)
        self._awaited = not self.known

    def stop(self) -> None:
        """Ask no more; what is known stays. Returns at once, the threads end within seconds."""
        with self._changing:
            stop, self._stop = self._stop, None
        if stop is not None:
            stop.set()
            self._wake.set()
            if (stream := self._stream) is not None:
                stream.cut()

    def _reset(self) -> None:
        """No thread: at the start, and in a forked child, where those of the parent do not run and may have held a lock."""
        self._changing = threading.Lock()
        self._first, self._wake = threading.Event(), threading.Event()
        self._stop = None
        self._stream: Stream | None = None
        self._stream_at, self._beats = _NEVER, 0
        self._told: dict[str, str] = {}

    def _begin(self) -> None:
        self._stop = stop = threading.Event()
        self._began = time.monotonic()
        self._run(self._keep, stop)

    def _run(self, work: Callable[[threading.Event], None], stop: threading.Event) -> None:
        try:
            threading.Thread(target=work, args=(stop,), name=f"andon-levers{work.__name__}", daemon=True).start()
        except RuntimeError as error:  # no more threads, or the interpreter ends
            self._first.set()
            self._say("thread", f"a thread could not be started, so levers are read late or not at all: {error}")

    def _keep(self, stop: threading.Event) -> None:
        """Ask for all levers, again and again: the one thread that changes what is known."""
        asker = Asker(self._endpoint, self._token, self._context)
        failures, followed = 0, False
        self._restore()
        while not stop.is_set():
            self._wake.clear()
            told, self._told = self._told, {}
            try:
                self._ask(asker, told, stop)
                failures, wait_s = 0, POLL_S
            except Exception as error:
                failures += 1
                asked_s = error.wait_s if isinstance(error, Refusal) else 0.0
                wait_s = _wait_s(failures, asked_s)
                self._say(type(error).__name__ + str(getattr(error, "status", "")), self._problem(error))
                if not self.known and failures <= _TOLD_UNKNOWN and not stop.is_set():
                    self._inform("unknown", [])
            self._first.set()
            if self._events and not followed:
                followed = True
                self._run(self._follow, stop)
            self._notice_age(stop)
            asked_at = time.monotonic()
            if not stop.wait(_SPACING_S):
                woken = self._wake.wait(wait_s - _SPACING_S)
                while not (woken or failures) and self._followed() and time.monotonic() - asked_at < REFRESH_S:
                    woken = self._wake.wait(POLL_S)
        asker.close()

    def _ask(self, asker: Asker, told: dict[str, str], stop: threading.Event) -> None:
        reply = asker(self._etag, told)
        if stop.is_set():
            return
        if reply.status == 200:
            answer = read_answer(reply.body)
            for problem in answer.problems[:1]:
                self._say("entry", f"a part of the levers' answer cannot be used: {problem}")
            if gone := sorted(self._known.keys() - answer.entries.keys()):
                said = f"the server does not know {len(gone)} levers that it knew ({gone[0]!r}, ...): is its store the right one?"
                self._say("gone", f"{said} What was known of them stays in force")
            changed = self._take(merged(self._known, answer.entries))
            self._etag, self._events = reply.etag, answer.events
        elif reply.status == 304 and self._etag:
            changed = []
        else:
            raise Refusal(reply.status, reply.wait_s)
        self._heard_at = time.monotonic()
        self._first.set()  # before the disk and the application's handlers, which may take their time
        if changed:
            self._inform("changed", changed)
        if self._awaited:
            self._awaited = False
            self._inform("ready", [])
        if reply.status == 200:
            self._keep_file()

    def _take(self, entries: dict[str, Entry]) -> list[str]:
        """Make new entries the known ones, all at once; the keys of those that differ."""
        known, self._known = self._known, entries
        both = known.keys() | entries.keys()
        return sorted(k for k in both if k not in known or k not in entries or known[k].said != entries[k].said)

    def _followed(self) -> bool:
        """Whether the stream can be relied on: heart-beats come through, as they are sent, and no event needs care."""
        now = time.monotonic()
        return self._beats > 1 and now - self._stream_at < QUIET_S and now > self._eager_until

    def _notice_age(self, stop: threading.Event) -> None:
        stale = self.known and self.stale and (self._heard_at != _NEVER or time.monotonic() - self._began > STALE_S)
        if stale != self._was_stale and not stop.is_set():
            self._was_stale = stale
            with suppress(Exception):  # as in `_say`
                if stale:
                    _LOG.warning("no contact for %g s: levers give what was last known, or what is safe", STALE_S)
                else:
                    _LOG.info("contact again: levers are fresh")
            self._inform("stale" if stale else "ready", [])

    def _follow(self, stop: threading.Event) -> None:
        """Hold the event stream open, and wake the other thread on every event."""
        failures = 0
        while not stop.is_set():
            asked_s = 0.0
            try:
                if path := self._events:
                    self._listen(path, stop)
                    failures = 0
            except Exception as error:
                failures = failures + 1 if self._stream_at == _NEVER else 0
                asked_s = error.wait_s if isinstance(error, Refusal) else 0.0
                if failures == 3:
                    self._say("stream", f"no event stream ({error}): levers are asked for every {POLL_S:g} s instead")
            if self._stream_at != _NEVER:
                self._stream_at, self._beats = _NEVER, 0
                self._wake.set()
            stop.wait(_wait_s(failures, asked_s))

    def _listen(self, path: str, stop: threading.Event) -> None:
        stream = self._stream = Stream(self._endpoint, self._token, path, SILENCE_S)
        try:
            if stop.is_set():  # it was stopped while the stream was being opened
                return
            for kind, data in stream.events():
                if stop.is_set():
                    return
                opened, self._stream_at = self._stream_at == _NEVER, time.monotonic()
                self._beats += kind == ":"
                told = _told(data) if kind == "message" else None
                if told is not None:
                    self._told, self._eager_until = told, time.monotonic() + _EAGER_S
                if opened or told is not None:  # what was pulled before the stream was open came with no event
                    self._wake.set()
        finally:
            self._stream = None if self._stream is stream else self._stream
            stream.close()

    def _restore(self) -> None:
        """What the file knows, unless the server was quicker or something is known already."""
        if self._file is None or self._known:
            return
        try:
            body = load(self._file)
            if body is not None:
                self._take(read_answer(body).entries)
                self._saved = body
        except Exception as error:
            self._say("file", f"what was kept of levers cannot be used: {self._file}: {error}")

    def _keep_file(self) -> None:
        if self._file is None:
            return
        try:
            body, left_out = body_of([entry.said for entry in self._known.values() if not entry.error])
            if left_out:
                self._say("full", f"the file of levers has no room for the largest {left_out} of them: {self._file}")
            if body != self._saved:
                save(self._file, body)
                self._saved = body
        except Exception as error:
            self._say("save", f"levers could not be kept for the next start: {self._file}: {error}")

    def _inform(self, event: str, keys: list[str]) -> None:
        try:
            self._tell(event, keys)
        except Exception as error:
            self._say("tell", f"who was told that levers are {event} failed: {type(error).__name__}: {error}")

    def _problem(self, error: Exception) -> str:
        kept = "what was last known is given" if self.known else "code defaults are given"
        return f"levers could not be read ({type(error).__name__}: {error}); {kept}"

    def _say(self, kind: str, message: str) -> None:
        if kind in self._said:
            return
        self._said.add(kind)
        with suppress(Exception):  # a log handler of the application that raises
            _LOG.warning("%s (said once)", message[:500])

    def _revive(self) -> None:
        """Go on in a forked child, with threads and connections of its own."""
        running = self._stop is not None
        self._reset()
        if running:
            self._begin()


def _wait_s(failures: int, asked_s: float) -> float:
    """Seconds until the next attempt: longer after each failure, and as long as the server asks, both within bounds."""
    wait_s = min(2.0 ** min(max(failures - 1, 0), 10), _LONGEST_WAIT_S) * jitter()
    return max(wait_s, min(asked_s, _LONGEST_ASKED_WAIT_S))


def _told(data: bytes) -> dict[str, str] | None:
    """What an event says of the new state, as it is handed on with the question; None where it is no news for us."""
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or said.get("type") != "refetchEvaluation":
        return None
    found = {"flagConfigEtag": said.get("etag"), "flagConfigLastModified": said.get("lastModified")}
    return {k: str(v) for k, v in found.items() if isinstance(v, str | int) and plain(str(v))}


_CACHES: "weakref.WeakSet[LeverCache]" = weakref.WeakSet()


def _after_fork() -> None:
    for cache in list(_CACHES):
        cache._revive()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
