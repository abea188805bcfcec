"""Laws of the event stream: when it speaks, what it says, how quickly, and what ends it."""

import asyncio
import statistics
import threading
import time
from typing import Any

import httpx2
import pytest
from live_levers import EVENTS, HOUR, KEY, TOKEN, Live, Stream, live_server, server_process

from andon.api import events
from andon.api.events import EventStream, Streams
from andon.client import levers
from andon.errors import StoreError
from andon.levers import Lever
from andon.levers.run import declare, hold, release
from andon.server import now_us
from andon.store import Ledger


def test_a_stream_is_open_and_silent_at_first(live: Live) -> None:
    """The answer begins at once, is never kept by anybody on the way, and has no event while nothing changes."""
    stream = live.stream()
    assert stream.status == 200
    for line in ("content-type: text/event-stream", "cache-control: no-store", "x-accel-buffering: no"):
        assert f"\r\n{line}" in stream.head
    assert stream.quiet(1.2)
    assert stream.events() == []


def test_a_pull_is_one_event_in_the_words_of_the_protocol(live: Live) -> None:
    """A pull is one event `message` with id, type, the state that bulk then has, and whole seconds since 1970 (ADR-8)."""
    stream = live.stream()
    live.hold()
    [event] = stream.events(1)
    assert stream.quiet(0.7)
    assert set(event) == {"type", "etag", "lastModified"}
    assert event["type"] == "refetchEvaluation"
    assert event["etag"] == live.bulk().json()["metadata"]["state"]
    assert isinstance(event["lastModified"], int)
    assert abs(event["lastModified"] - time.time()) < 10
    assert f"\nid: {event['etag']}\nevent: message\ndata: " in stream.sent.decode().replace("\r\n", "\n")


def test_other_news_are_no_event(live: Live) -> None:
    """What is written into the ledger without changing what is served, and a lever declared anew as it was, send nothing."""
    stream = live.stream()
    declare(live.ledger, Lever(id="policy", kind="string", default="v2", safe="v1", about="words"), now_us(), "ann")
    assert stream.quiet(1.2)
    declare(live.ledger, Lever(id="new", kind="boolean", default=False, safe=True), now_us(), "ann")
    assert len(stream.events(1)) == 1


def test_after_an_event_the_new_value_is_served(live: Live) -> None:
    """Pulls and releases by another process each bring an event within 250 ms, and who asks then is never given the old value."""
    other, stream = Ledger.open(live.path / "ledger.sqlite"), live.stream()
    took: list[float] = []
    for n in range(12):
        held = n % 2 == 0
        if held:
            hold(other, "kill-switch", why="harm", by="ann", until_us=now_us() + HOUR, now_us=now_us())
        else:
            release(other, "kill-switch", why="fixed", by="bob", now_us=now_us())
        begun = time.monotonic()
        event = stream.events(n + 1)[-1]
        took.append(time.monotonic() - begun)
        answer = live.bulk()
        assert {f["key"]: f["value"] for f in answer.json()["flags"]}["kill-switch"] is held
        assert answer.json()["metadata"]["state"] == event["etag"]
    assert statistics.median(took) < 0.25
    other.close()


def test_a_refetch_after_an_event_is_answered_in_full(live: Live) -> None:
    """A client that asks again as ADR-8 says, its old ETag and the event's words along, has the new answer; then 304."""
    known, stream = live.bulk().headers["etag"], live.stream()
    live.hold()
    [event] = stream.events(1)
    query = f"?flagConfigEtag={event['etag']}&flagConfigLastModified={event['lastModified']}"
    answer = live.bulk(query=query, tag=known)
    assert (answer.status_code, live.served()) == (200, True)
    assert live.bulk(query=query, tag=answer.headers["etag"]).status_code == 304


def test_an_expiry_alone_is_an_event(live: Live) -> None:
    """The end of a hold's time is told within 250 ms or so, though nobody pulled anything; its recording is no second event."""
    stream = live.stream()
    live.hold(for_us=1_500_000)
    ends = time.monotonic() + 1.5
    assert len(stream.events(1)) == 1
    assert time.monotonic() < ends
    assert len(stream.events(2)) == 2
    assert time.monotonic() - ends < 0.5
    assert live.served() is False
    assert stream.quiet(0.8)


def test_a_stream_survives_a_ledger_that_fails(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the ledger fails the stream stays, an expiry is told all the same, and a pull after the failure is told."""
    stream = live.stream()
    live.hold(for_us=1_000_000)
    assert len(stream.events(1)) == 1

    def fail(*_: object, **__: object) -> None:
        raise StoreError("gone", retryable=True)

    with monkeypatch.context() as broken:
        for name in ("all", "get", "put", "ids", "latest", "history", "last_entry"):
            broken.setattr(live.ledger, name, fail)
        assert len(stream.events(2)) == 2
        assert live.served() is False
        assert stream.quiet(0.5)
    live.hold("limit")
    assert len(stream.events(3)) == 3


def test_a_silent_stream_is_kept_alive(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """A comment comes when nothing else does, and is no event; more often than our client calls a stream quiet."""
    assert events.BEAT_S < levers.QUIET_S - 0.5, "or the client would poll all the time"
    monkeypatch.setattr(events, "BEAT_S", 0.1)
    stream = live.stream()
    assert stream.wait(b":\n\n", 3, times=5)
    assert stream.events() == []
    live.hold()
    assert len(stream.events(1)) == 1


def test_who_heard_another_state_is_told_at_once(live: Live) -> None:
    """A client that comes back with Last-Event-ID has an event at once when the state is another one since, else none."""
    first = live.stream()
    live.hold()
    heard = first.events(1)[0]["etag"]
    first.close()
    same = live.stream(last_event_id=heard)
    live.hold("limit")
    assert len(same.events(1)) == 1
    later = live.stream(last_event_id=heard)
    [event] = later.events(1)
    assert event["etag"] == live.bulk().json()["metadata"]["state"]
    assert later.quiet(0.5)


def test_a_stream_needs_the_token_too(live: Live) -> None:
    """Bearer and X-API-Key open a stream; nothing else does, a token in the address least of all."""
    for headers, status in (
        ({"authorization": f"Bearer {TOKEN}"}, 200),
        (KEY, 200),
        ({}, 401),
        ({"x-api-key": "x"}, 401),
    ):
        stream = Stream(live.server.port, dict(headers))
        assert stream.status == status
        stream.close()
    assert httpx2.get(f"{live.url}{EVENTS}?token={TOKEN}").status_code == 401


def test_there_is_a_limit_and_places_become_free(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the limit a stream is 503 with details and whole seconds to wait; who leaves makes room, 30 times over."""
    assert events.MOST_STREAMS == 1_000
    monkeypatch.setattr(events, "MOST_STREAMS", 3)
    kept = [live.stream() for _ in range(3)]
    answer = httpx2.get(f"{live.url}{EVENTS}", headers=KEY)
    assert (answer.status_code, answer.headers["retry-after"].isdigit()) == (503, True)
    assert "3" in answer.json()["errorDetails"]
    live.hold()
    assert all(len(stream.events(1)) == 1 for stream in kept)
    for _ in range(30):
        kept.pop(0).close()
        until = time.monotonic() + 5
        while (stream := live.stream()).status != 200:
            stream.close()
            assert time.monotonic() < until
            time.sleep(0.01)
        kept.append(stream)


def test_many_streams_hear_a_pull_while_rows_come_in(live: Live) -> None:
    """With 200 streams open and rows coming in, every stream hears each pull, no row is refused, and levers are read."""
    streams = [live.stream() for _ in range(200)]
    assert all(stream.status == 200 for stream in streams)
    done, statuses = threading.Event(), []

    def ingest(worker: int) -> None:
        n = 0
        while not done.is_set():
            rows = "\n".join(f'{{"id": "w{worker}-{n}-{i}", "time": 1790000000}}' for i in range(200))
            answer = httpx2.post(
                f"{live.url}/v1/interactions", content=rows, timeout=30,
                headers={**KEY, "content-type": "application/x-ndjson"},
            )  # fmt: skip
            statuses.append(answer.status_code)
            n += 1

    workers = [threading.Thread(target=ingest, args=(worker,)) for worker in range(2)]
    for worker in workers:
        worker.start()
    took: list[float] = []
    try:
        for n in range(6):
            begun = time.monotonic()
            live.hold() if n % 2 == 0 else live.release()
            assert all(len(stream.events(n + 1, 10)) == n + 1 for stream in streams)
            took.append(time.monotonic() - begun)
            assert live.served() is (n % 2 == 0)
    finally:
        done.set()
        for worker in workers:
            worker.join()
    assert set(statuses) == {200}
    assert statistics.median(took) < 2


def test_the_end_of_the_server_ends_the_streams(tmp_path: Any) -> None:
    """With 50 streams open a server ends within 3 s, not after its 10 s of grace, and each stream ends as HTTP wants it."""
    with live_server(tmp_path) as live:
        streams = [Stream(live.server.port, KEY) for _ in range(50)]
        begun = time.monotonic()
    assert time.monotonic() - begun < 3
    assert all(stream.ended(1) for stream in streams)
    for stream in streams:
        stream.close()


def test_a_signal_ends_a_server_with_open_streams(tmp_path: Any) -> None:
    """SIGTERM ends the process within 3 s while clients listen, with status 0."""
    with server_process(tmp_path) as (process, port):
        streams = [Stream(port, KEY) for _ in range(5)]
        process.terminate()
        begun = time.monotonic()
        assert process.wait(10) == 0
        assert time.monotonic() - begun < 3
        assert all(stream.ended(1) for stream in streams)
    for stream in streams:
        stream.close()


def test_what_a_slow_client_missed_is_one_event() -> None:
    """While one client takes nothing, all that is told is kept as one event: the last; nothing piles up for it."""

    async def story() -> list[bytes]:
        streams, gate, chunks = Streams(), asyncio.Event(), []
        streams.tell("s0", 0)

        async def send(message: Any) -> None:
            chunks.append(message.get("body", b""))
            if len(chunks) == 2:
                await gate.wait()

        gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        feeding = asyncio.create_task(streams.feed(send, gone, ""))
        await asyncio.sleep(0.01)
        for n in range(1, 101):
            streams.tell(f"s{n}", n * 1_000_000)
        await asyncio.sleep(0.01)
        gate.set()
        await asyncio.sleep(0.01)
        streams.end()
        await feeding
        return chunks

    chunks = asyncio.run(story())
    assert [b"refetchEvaluation" in chunk for chunk in chunks] == [False, False, True, False]
    assert b'"etag":"s100"' in chunks[2]


def test_nothing_told_while_a_stream_opens_is_lost() -> None:
    """What is told between the beginning of the answer and its first bytes is an event: a client asks after the beginning."""

    async def story() -> list[bytes]:
        streams, chunks = Streams(), []
        streams.tell("s0", 0)
        gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                streams.tell("s1", 0)
                await asyncio.sleep(0.01)
            chunks.append(message.get("body", b""))

        feeding = asyncio.create_task(streams.feed(send, gone, ""))
        await asyncio.sleep(0.05)
        gone.set_result(None)
        await feeding
        return chunks

    assert any(b'"etag":"s1"' in chunk for chunk in asyncio.run(story()))


def test_telling_after_the_end_is_harmless() -> None:
    """A thread that tells while or after the server ends harms nobody, and a stream that opens then ends at once."""
    streams, chunks = Streams(), []

    async def send(message: Any) -> None:
        chunks.append(message)

    async def receive() -> Any:
        await asyncio.sleep(60)

    async def story() -> None:
        feeding = asyncio.create_task(EventStream(streams, "")({"path": "/ofrep/v1/events"}, receive, send))
        await asyncio.sleep(0.01)
        streams.end()
        await feeding
        await EventStream(streams, "")({"path": "/ofrep/v1/events"}, receive, send)

    asyncio.run(story())
    streams.tell("late", 1)
    assert [m.get("more_body") for m in chunks] == [None, True, False, None, False]
    assert streams.open == 0


def test_telling_a_loop_that_is_closed_is_harmless() -> None:
    """Where the loop was closed before the streams were ended, nobody is left to be told, and telling says nothing."""
    streams = Streams()

    async def send(message: Any) -> None:
        pass

    async def story() -> None:
        feeding = asyncio.create_task(streams.feed(send, asyncio.get_running_loop().create_future(), ""))
        await asyncio.sleep(0.01)
        feeding.cancel()

    asyncio.run(story())
    streams.tell("late", 1)
    assert streams.told == "late"
