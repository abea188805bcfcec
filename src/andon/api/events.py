"""The event stream that tells clients to ask for their levers again: OFREP 0.3.0, ADR-8 (server-sent events).

An event is a notification, not data: it carries what the levers' state is called and when it was noticed, never a value.
"""

import asyncio
from asyncio import FIRST_COMPLETED
from collections.abc import Awaitable, Callable
from contextlib import suppress

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from andon.api.errors import RETRY_AFTER_S, error_response

__all__ = ["BEAT_S", "MOST_STREAMS", "EventStream", "Streams"]

BEAT_S = 5.0
"""A comment is sent after this long without an event: a client that misses one polls, so that is how late it learns of a pull."""

MOST_STREAMS = 1_000
"""More are refused with 503 and an integer ``Retry-After``; a client without a stream polls."""

_BEAT = b":\n\n"
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


async def _always() -> bool:
    return True


class Streams:
    """The open event streams of one server. All of it runs in the server's event loop, except `tell`."""

    def __init__(self) -> None:
        self.open = 0
        """How many streams are open."""
        self.told = ""
        """The state that was told last."""
        self._event = b""
        self._number = 0
        self._ended = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news: asyncio.Future[None] | None = None

    def tell(self, state: str, now_us: int) -> None:
        """Send every open stream an event when `state` is not what was told last; any thread may call it.

        Whoever calls it has made what it speaks of readable before: a client that is told asks at once.

        Args:
            state: one word for all that is served; it differs when anything that is served does.
            now_us: when that was noticed. It is sent in whole seconds since 1970, the form that ADR-8 recommends.
        """
        if state == self.told:
            return
        self.told = state
        said = orjson.dumps({"type": "refetchEvaluation", "etag": state, "lastModified": now_us // 1_000_000})
        self._event = b"id: %b\nevent: message\ndata: %b\n\n" % (state.encode(), said)
        if (loop := self._loop) is not None:
            with suppress(RuntimeError):  # the loop was closed a moment ago: nobody is left to be told
                loop.call_soon_threadsafe(self._wake)

    def end(self) -> None:
        """End all streams, and those that are opened from now on: the server shuts down and must not wait for them."""
        self._ended, self._loop = True, None
        self._release()

    async def feed(
        self, send: Send, gone: "asyncio.Future[None]", heard: str, may: Callable[[], Awaitable[bool]] = _always
    ) -> None:
        """Send one client what is told from now on, until it is `gone`, may not hear it any more, or the streams are ended.

        Events that a slow client has not taken yet are one event: it can ask for the present state only.

        Args:
            send: the way to the client.
            gone: done when the client has left.
            heard: the event that the client heard last, empty when it heard none. There is one event per state, so an event
                comes at once when this is not the present one.
            may: whether the client may still hear it; asked before each event and each beat.
        """
        if not self._ended:
            self._loop = asyncio.get_running_loop()
        seen = self._number if heard in ("", self.told) else self._number - 1
        # From here on nothing is missed, and only now can the client know that its stream is open and ask.
        await send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
        chunk = _BEAT  # a proxy that waits for the first bytes passes the answer on
        while not (self._ended or gone.done()):
            if seen != self._number:
                seen, chunk = self._number, self._event
            if not chunk:
                news, _ = await asyncio.wait((self._awaited(), gone), timeout=BEAT_S, return_when=FIRST_COMPLETED)
                chunk = b"" if news else _BEAT
                continue
            if not await may():  # asked last: what was told meanwhile is told to nobody who may not hear it any more
                break
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            chunk = b""
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _awaited(self) -> "asyncio.Future[None]":
        if self._news is None:
            self._news = asyncio.get_running_loop().create_future()
        return self._news

    def _wake(self) -> None:
        self._number += 1
        self._release()

    def _release(self) -> None:
        news, self._news = self._news, None
        if news is not None:
            news.set_result(None)


class EventStream(Response):
    """An answer that goes on until its client leaves, may not hear it any more, or the streams are ended."""

    def __init__(self, streams: Streams, last_event_id: str, may: Callable[[], Awaitable[bool]] = _always) -> None:
        """An answer yet to be sent.

        Args:
            streams: what it is one of.
            last_event_id: the event that the client heard last, empty when it heard none.
            may: whether the client may still hear it.
        """
        super().__init__()
        self._streams, self._heard, self._may = streams, last_event_id, may

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        streams = self._streams
        if streams.open >= MOST_STREAMS:
            said = f"{MOST_STREAMS:,} event streams are open already; ask for the levers again every second instead"
            busy = error_response(503, "Busy", said, {"retry-after": str(RETRY_AFTER_S)}, path=scope["path"])
            await busy(scope, receive, send)
            return
        streams.open += 1
        gone = asyncio.ensure_future(_left(receive))
        try:
            await streams.feed(send, gone, self._heard, self._may)
        finally:
            gone.cancel()
            streams.open -= 1


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
