"""The cache of levers: quick, current, and still there when the server is not."""

import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from itertools import pairwise

import pytest
from lever_server import EVENT, STREAM, flag, reading, serving, silent, until, value

from andon.client import levers as module
from andon.client.answers import MISSING, MOST_BYTES, MOST_LEVERS, Nested, merged, read_answer
from andon.client.asking import LINE_BYTES
from andon.client.kept import file_name, load
from andon.client.levers import LeverCache

BEATS = b":\n\n" * 2


@pytest.fixture
def quick(monkeypatch):
    """Waits of milliseconds instead of seconds."""
    monkeypatch.setattr(module, "POLL_S", 0.06)
    monkeypatch.setattr(module, "_LONGEST_WAIT_S", 0.1)


def test_all_levers_are_asked_for_in_one_request_with_context_and_token():
    """The question carries environment, application and token; every type of value arrives as it was served."""
    values = {"b": True, "s": "höchstens ✓", "n": 0.5, "o": {"a": [1, None]}, "l": [1, 2]}
    with serving(*(flag(k, v) for k, v in values.items())) as server, reading(server.url + "/", token="t0k3n") as cache:
        path, headers, body, _ = server.asked[0]
        assert (path, body) == ("/ofrep/v1/evaluate/flags", {"context": {"environment": "production", "app": "bot"}})
        assert headers["Authorization"] == "Bearer t0k3n"
        got = {k: value(cache, k) for k in values}
        assert {k: v.copy() if isinstance(v, Nested) else v for k, v in got.items()} == values
        assert not cache.stale
        assert cache.told == [("changed", sorted(values))]


def test_an_unchanged_answer_is_not_sent_again(quick):
    """Later questions carry the ETag and are answered 304; a change arrives by asking alone, where no stream is announced."""
    with serving(flag("a", True)) as server, reading(server.url) as cache:
        until(lambda: len(server.asked) > 3)
        assert server.asked[2][1]["If-None-Match"] == server.answer()[2]["ETag"]
        assert value(cache, "a") is True
        server.flags = [flag("a", False), flag("b", "x")]
        until(lambda: value(cache, "a") is False)
        until(lambda: cache.told[1:] == [("changed", ["a", "b"])])
        assert not server.opened


def test_an_event_is_followed_by_a_question_within_a_second():
    """With a stream open nothing is polled for; an event brings the new values well within a second, with what it said."""
    with serving(flag("a", True), streams=STREAM) as server, reading(server.url) as cache:
        until(lambda: server.lines)
        server.say(BEATS)
        until(cache._followed)
        until(lambda: len(server.asked) >= 2)  # what was pulled before the stream was open came with no event
        time.sleep(0.2)
        asked = len(server.asked)
        time.sleep(1.3)
        assert len(server.asked) == asked
        server.flags = [flag("a", False)]
        server.say(EVENT)
        assert until(lambda: value(cache, "a") is False) < 1
        assert server.asked[asked][0] == "/ofrep/v1/evaluate/flags?flagConfigEtag=e2&flagConfigLastModified=1771622898"
        time.sleep(1.3)
        assert len(server.asked) > asked + 1, "one of several servers may be behind: it is asked again"
        assert asked <= 4


def test_a_pull_between_the_first_answer_and_the_open_stream_is_not_missed(monkeypatch):
    """Levers are asked for after the stream is open, so what changed before that is seen without an event."""
    monkeypatch.setattr(module, "POLL_S", 20.0)
    with serving(flag("a", True), streams=STREAM) as server, reading(server.url) as cache:
        until(lambda: server.lines)
        server.flags = [flag("a", False)]
        server.say(b":\n\n")
        assert until(lambda: value(cache, "a") is False) < 1


def test_a_stream_that_says_nothing_is_not_trusted(quick):
    """While an open stream has said nothing or one word (a proxy holds it back, or dropped it), levers are polled for."""
    with serving(flag("a", True), streams=STREAM) as server, reading(server.url) as cache:
        until(lambda: server.lines)
        for turn, said in enumerate((b"", b":\n\n")):
            if said:
                server.say(said)
                until(lambda: cache._stream_at > 0)
                time.sleep(0.3)
            server.flags = [flag("a", float(turn))]
            assert until(lambda turn=turn: value(cache, "a") == turn) < 1.3


def test_a_stream_that_falls_silent_is_not_relied_on(monkeypatch):
    """Soon after a heart-beat is missed levers are polled for again, long before the stream is given up, until beats come."""
    monkeypatch.setattr(module, "QUIET_S", 1.5)
    with serving(flag("a", True), streams=STREAM) as server, reading(server.url) as cache:
        until(lambda: server.lines)
        server.say(BEATS)
        until(cache._followed)
        time.sleep(0.2)
        server.flags = [flag("a", False)]
        assert 0.5 < until(lambda: value(cache, "a") is False) < 3
        assert len(server.lines) == 1
        asked = len(server.asked)
        until(lambda: len(server.asked) > asked + 1)
        server.say(BEATS)
        until(cache._followed)
        time.sleep(0.2)
        asked = len(server.asked)
        time.sleep(1.1)
        assert len(server.asked) <= asked + 1


def test_a_silent_or_broken_stream_is_opened_again(monkeypatch):
    """A stream without heart-beats is given up and opened anew, as is one that the server ends."""
    monkeypatch.setattr(module, "SILENCE_S", 0.2)
    with serving(flag("a", True), streams=STREAM) as server, reading(server.url):
        until(lambda: len(server.lines) == 1)
        until(lambda: len(server.lines) == 2)
        server.lines[1].put(b":\n\n")
        server.lines[1].put(b"")
        until(lambda: len(server.lines) == 3)


@pytest.mark.parametrize(
    "data",
    [b"data: {}\n\n", b"data: nonsense\n\n", b'event: other\ndata: {"type":"refetchEvaluation"}\n\n', b"data: [1]\n\n",
     b'data: {"type":"more"}\n\n', b"\xff\xfe\n\n", b"data: " + b"[" * 50_000 + b"\n\n"],
)  # fmt: skip
def test_events_that_are_no_news_are_passed_over(monkeypatch, data):
    """Unknown types, other events and garbage do not make the client ask, and do not end the stream."""
    monkeypatch.setattr(module, "_SPACING_S", 0.0)
    with serving(flag("a", True), streams=STREAM) as server, reading(server.url) as cache:
        until(lambda: server.lines)
        server.say(BEATS)
        until(cache._followed)
        time.sleep(0.1)
        asked = len(server.asked)
        server.say(data)
        time.sleep(0.2)
        assert len(server.asked) == asked
        server.say(EVENT.replace(b"\n", b"\r\n"))
        until(lambda: len(server.asked) > asked)
        assert len(server.lines) == 1


def test_an_endless_line_ends_the_stream():
    """A line beyond the bound is not collected: the stream is closed and opened again."""
    with serving(flag("a", True), streams=STREAM) as server, reading(server.url):
        until(lambda: server.lines)
        server.say(b"data: " + b"x" * (LINE_BYTES + 10))
        until(lambda: len(server.lines) == 2)


def test_a_stream_elsewhere_is_never_opened():
    """Only a path on the server itself is followed: another host would be sent the token."""
    with serving() as other, serving(flag("a", True)) as server:
        port = f"127.0.0.1:{other.port}"
        for stream in (
            {"type": "sse", "url": f"http://{port}/x"},
            {"type": "sse", "endpoint": {"origin": f"http://{port}", "requestUri": "/x"}},
            {"type": "sse", "endpoint": {"requestUri": f"@{port}/x"}},
            {"type": "websocket", "endpoint": {"requestUri": "/x"}},
            {"type": "sse", "endpoint": "x"}, 7,
        ):  # fmt: skip
            server.streams = [stream]
            with reading(server.url, token="secret") as cache:
                assert value(cache, "a") is True
                time.sleep(0.1)
        assert not other.opened
        assert not server.opened


def test_a_refused_stream_is_asked_for_again_only_when_the_server_said(quick):
    """503 with Retry-After waits that long; meanwhile levers are polled for."""
    with serving(flag("a", True), streams=STREAM) as server:
        server.streams, announced = [], STREAM
        body = json.dumps({"flags": server.flags, "eventStreams": announced}).encode()
        server.answers = [(200, body, {})] * 1000
        with reading(server.url):
            until(lambda: len(server.opened) == 2)
            assert server.opened[1][2] - server.opened[0][2] >= 0.99
            assert len(server.asked) > 8


@pytest.mark.parametrize(
    "bad",
    [(500, b"", {}), (401, b"who?", {}), (404, b"", {}), (429, b"", {}), (302, b"", {"Location": "http://x/"}), (304, b"", {}),
     (200, b"<html>", {}), (200, b"\xff", {}), (200, b"[]", {}), (200, b'{"flags": 7}', {}), (200, b"[" * 100_000, {}),
     (200, b" " * (9 * 2**20), {})],
    ids=["500", "401", "404", "429", "302", "304", "html", "binary", "list", "number", "deep", "huge"],
)  # fmt: skip
def test_a_bad_answer_changes_nothing(quick, caplog, bad):
    """After any answer that is none the last known values stay, the reason is said once, and asking goes on."""
    with serving(flag("a", True)) as server, caplog.at_level(logging.WARNING, "andon"), reading(server.url) as cache:
        asked = len(server.asked)
        server.answers = [bad, bad, bad]
        server.flags = [flag("a", True), flag("b", True)]
        cache._etag = ""  # so that the 304 is none that was asked for
        until(lambda: value(cache, "b") is True)
        assert len(server.asked) >= asked + 4
        assert cache.told[1:] == [("changed", ["b"])]
    assert len([r for r in caplog.records if "could not be read" in r.getMessage()]) == 1


@pytest.mark.parametrize(
    ("start", "piece", "pause_s"),
    [(b"HTTP/1.1 200 OK\r\n\r\n", b" " * 2**16, 0.0), (b"HTTP/1.1 200 OK\r\n\r\n", b" ", 0.02), (b"HTTP/1.1 200 OK\r\nX-A: ", b"x", 0.02)],
    ids=["flood", "drip", "headers that drip"],
)  # fmt: skip
def test_an_answer_without_an_end_is_given_up(monkeypatch, start, piece, pause_s):
    """An answer that never ends is left when it is too large or takes too long: neither memory nor thread is lost to it."""
    monkeypatch.setattr("andon.client.asking._WHOLE_S", 0.5 if pause_s else 60.0)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        with reading(f"http://127.0.0.1:{listening.getsockname()[1]}", wait_s=0):
            sock, _ = listening.accept()
            sock.settimeout(5)
            began, sent = time.monotonic(), 0
            with sock, suppress(OSError):
                sock.recv(2**16)
                sock.sendall(start)
                while time.monotonic() - began < 5:
                    sock.sendall(piece)
                    sent += len(piece)
                    time.sleep(pause_s)
        assert time.monotonic() - began < 4
        assert sent < 2 * MOST_BYTES


def test_a_first_bad_answer_gives_nothing(quick):
    """Where nothing was ever known a bad answer leaves nothing known, and the wait for first values ends with it."""
    with serving(flag("a", True)) as server:
        server.answers = [(500, b"", {})] * 3
        began = time.monotonic()
        with reading(server.url, wait_s=5) as cache:
            assert time.monotonic() - began < 1
            assert not cache.known
            until(lambda: value(cache, "a") is True)


def test_retry_after_is_kept_within_bounds(quick, monkeypatch):
    """A server that asks to be left alone is, but never for so long that a stop could not arrive."""
    monkeypatch.setattr(module, "_LONGEST_ASKED_WAIT_S", 0.5)
    with serving(flag("a", True)) as server:
        server.answers = [(429, b"", {"Retry-After": "86400"}), (429, b"", {"Retry-After": "2024-02-07T12:00:00Z"})]
        with reading(server.url) as cache:
            until(lambda: value(cache, "a") is True)
        times = [at for *_, at in server.asked]
        assert times[1] - times[0] >= 0.45
        assert times[2] - times[1] < 0.45


def test_one_bad_entry_is_the_failure_of_one_lever():
    """Entries without a key are passed over; a lever that cannot be evaluated, or has no usable value, fails alone."""
    answer = read_answer(
        b'{"flags": [7, {"key": 1}, {"key": ""}, {"key": "a", "value": true}, {"key": "b", "value": null}, {"key": "c", "value": 1e999},'
        b'{"key": "d", "errorCode": "GENERAL", "errorDetails": "x"}, {"key": "e", "errorCode": "FLAG_NOT_FOUND"},'
        b'{"key": "f", "reason": "HELD", "variant": 7, "metadata": [1]}, {"key": "g", "value": {"x": NaN}},'
        b'{"key": "h", "value": 1, "metadata": {"ok": 1, "nested": {}, "none": null}}]}'
    )
    assert sorted(answer.entries) == ["a", "b", "c", "d", "f", "g", "h"]
    assert {k: e.error[0] for k, e in answer.entries.items() if e.error} == {
        "b": "PARSE_ERROR", "c": "PARSE_ERROR", "d": "GENERAL", "g": "PARSE_ERROR",
    }  # fmt: skip
    assert answer.entries["f"][:4] == (MISSING, "UNKNOWN", None, {})
    assert answer.entries["h"].metadata == {"ok": 1}
    assert len(answer.problems) == 6


def test_a_lever_that_cannot_be_evaluated_keeps_what_was_known():
    """A failure of one lever leaves its last known value, marked as stale; so does an answer that no longer names it."""
    known = read_answer(b'{"flags": [{"key": "a", "value": false}, {"key": "b", "value": true}]}').entries
    new = read_answer(
        b'{"flags": [{"key": "a", "errorCode": "GENERAL"}, {"key": "c", "errorCode": "GENERAL"}]}'
    ).entries
    both = merged(known, new)
    assert (both["a"].value, both["a"].reason, sorted(both)) == (False, "STALE", ["a", "b", "c"])
    assert (both["b"].value, both["b"].reason) == (True, "STALE")
    assert merged(both, known) == known, "fresh again with the next answer that names it"
    many = read_answer(json.dumps({"flags": [flag(f"k{n}", n) for n in range(MOST_LEVERS + 1)]}).encode())
    assert len(many.entries) == MOST_LEVERS == len(merged(known, many.entries)), (
        "but never more than one answer may have"
    )
    assert "of which the first" in many.problems[0]


def test_a_server_on_an_empty_store_ends_no_hold(quick, caplog, tmp_path):
    """Levers that the server no longer names stay as they were known, in memory and in the file; it is said once."""
    with serving(flag("a", False), flag("b", 1.0)) as server, caplog.at_level(logging.WARNING, "andon"):
        with reading(server.url, cache=tmp_path) as cache:
            for flags in ([flag("b", 2.0)], [], [flag("b", 3.0)]):
                server.flags = flags
                asked = len(server.asked)
                until(lambda asked=asked: len(server.asked) > asked + 2)
                assert (value(cache, "a"), cache.find("a").reason) == (False, "STALE")
            file = tmp_path / file_name(server.url, "bot", "production")
            until(lambda: read_answer(load(file)).entries["b"].value == 3.0)
        assert read_answer(load(file)).entries["a"].value is False
        assert "a" not in [key for _, keys in cache.told[1:] for key in keys]
    assert len([r for r in caplog.records if "is its store the right one" in r.getMessage()]) == 1


def test_a_failure_of_one_lever_reaches_neither_reader_nor_file(quick, tmp_path):
    """While the server cannot evaluate a lever its last known value is read, and kept for the next start."""
    with serving(flag("a", False), flag("b", 1.0)) as server:
        with reading(server.url, cache=tmp_path) as cache:
            server.flags = [*({"key": k, "errorCode": "GENERAL", "errorDetails": "x"} for k in "ac"), flag("b", 2.0)]
            until(lambda: value(cache, "b") == 2.0)
            assert value(cache, "a") is False
            file = tmp_path / file_name(server.url, "bot", "production")
            until(lambda: read_answer(load(file)).entries["b"].value == 2.0)
        assert read_answer(load(file)).entries["a"].value is False
        assert sorted(read_answer(load(file)).entries) == ["a", "b"]


def test_a_killed_server_changes_nothing_and_is_found_again(quick, monkeypatch):
    """Values outlive a server that hangs and one that is gone; a new one at the same address is found by itself."""
    monkeypatch.setattr(module, "STALE_S", 0.4)
    monkeypatch.setattr("andon.client.asking.TIMEOUT_S", 0.1)
    with serving(flag("a", False), streams=STREAM) as server, reading(server.url) as cache:
        server.hanging = True
        until(lambda: ("stale", []) in cache.told)
        server.stop()
        time.sleep(0.3)
        assert value(cache, "a") is False
        with serving(flag("a", True), streams=STREAM, port=server.port) as again:
            until(lambda: value(cache, "a") is True)
            until(lambda: again.lines)
            assert not cache.stale
    assert cache.told == [("changed", ["a"]), ("stale", []), ("changed", ["a"]), ("ready", [])]


def test_stale_values_become_fresh_again(quick, monkeypatch):
    """With the first answer after an outage values are fresh, and that is told."""
    monkeypatch.setattr(module, "STALE_S", 0.2)
    with serving(flag("a", False)) as server, reading(server.url) as cache:
        server.answers = [(500, b"", {})] * 1_000
        until(lambda: ("stale", []) in cache.told)
        server.answers = []
        until(lambda: ("ready", []) in cache.told)
        assert not cache.stale
        assert [e for e, _ in cache.told] == ["changed", "stale", "ready"]


@pytest.mark.parametrize("kept", [True, False])
def test_a_hung_server_costs_a_start_no_more_than_its_bound(tmp_path, kept):
    """With a server that accepts and never answers, starting waits 0.1 s, whether values were kept or not."""
    with silent() as url:
        if kept:
            (tmp_path / file_name(url, "bot", "production")).write_text(json.dumps({"flags": [flag("a", False)]}))
        began = time.monotonic()
        with reading(url, cache=tmp_path, wait_s=0.1) as cache:
            assert time.monotonic() - began < 0.6
            assert value(cache, "a") is (False if kept else None)
            assert cache.stale
            assert cache.known is kept


def test_reads_keep_their_microseconds_whatever_the_server_does(record_property):
    """Reading costs the same with a good, a dead and a hung server: some microseconds."""
    with serving(flag("a", True)) as server, reading(server.url) as good:
        record_property("p99_us", microseconds(good))
        server.hanging = True
        good._wake.set()
        until(lambda: len(server.asked) > 1)
        assert microseconds(good) < 50
    assert microseconds(good) < 50


def microseconds(cache, n=20_000):
    """The slowest but 1 % of n reads."""
    times = []
    for _ in range(n):
        began = time.perf_counter_ns()
        cache.find("a").given(None, False)
        times.append(time.perf_counter_ns() - began)
    return sorted(times)[int(n * 0.99)] / 1000


def test_the_token_is_never_logged(quick, caplog):
    """Whatever goes wrong, no log line has the token: not with a wrong one, nor with one that no header takes."""
    with serving() as server, caplog.at_level(logging.DEBUG):
        server.answers = [(401, b"s3cr3t is wrong", {}), (200, b'"s3cr3t"', {})]
        with reading(server.url, token="s3cr3t"):
            until(lambda: len(server.asked) > 2)
        for token in ("s3cr3t\r\nX-Evil: 1", "s3cr3t\u20ac"):
            with reading(server.url, token=token) as cache:
                assert not cache.known
        assert all("s3cr3t" in h["Authorization"] and "X-Evil" not in h for _, h, _, _ in server.asked)
    assert caplog.records
    assert "s3cr3t" not in caplog.text


@pytest.mark.parametrize("endpoint", ["ftp://x", "nonsense", "", "http://", "http://[::1", "http://a:99999"])
def test_an_endpoint_that_is_none_is_said_and_not_raised(caplog, endpoint):
    """A wrong endpoint raises nothing into the application; one warning names it."""
    with caplog.at_level(logging.WARNING, "andon"), reading(endpoint) as cache:
        assert not cache.known
    assert "could not be read" in caplog.text


def test_an_application_that_fails_when_told_does_not_stop_the_levers(quick):
    """An exception in what is told leaves the thread alive."""
    with serving(flag("a", True)) as server:
        cache = LeverCache(server.url, token=None, app="a", environment="production", cache=None, tell=lambda *_: 1 / 0)
        cache.start(2)
        server.flags = [flag("a", False)]
        until(lambda: value(cache, "a") is False)
        cache.stop()


def test_stopping_ends_the_threads_and_starting_begins_again():
    """After stop no thread is left, nothing is asked, and what is known stays; start begins anew."""
    with serving(flag("a", True), streams=STREAM) as server, reading(server.url) as cache:
        until(lambda: server.lines)
        server.say(b":\n\n")
        until(lambda: cache._stream_at > 0)
        assert len(threads()) == 2
        began = time.monotonic()
        cache.stop()
        assert time.monotonic() - began < 0.1
        until(lambda: not threads())
        asked = len(server.asked)
        time.sleep(0.2)
        assert len(server.asked) == asked
        assert value(cache, "a") is True
        server.flags = [flag("a", False)]
        cache.start(1)
        until(lambda: value(cache, "a") is False)


def threads():
    """Names of ours that run."""
    return [t.name for t in threading.enumerate() if t.name.startswith("andon-levers")]


@pytest.mark.parametrize("n", range(20))
def test_stopping_at_any_moment_ends_the_threads(n):
    """However early or late stop comes, the threads end soon."""
    with serving(flag("a", True), streams=STREAM) as server, reading(server.url, wait_s=0):
        time.sleep(n * 0.002)
    until(lambda: not threads(), 3)


def test_questions_share_one_connection(quick):
    """While the server keeps the connection every question goes over it, once."""
    with serving(flag("a", True)) as server, reading(server.url):
        until(lambda: len(server.asked) == 5)
        assert len(set(server.addresses)) == 1
        times = [at for *_, at in server.asked]
        assert min(b - a for a, b in pairwise(times)) > 0.04


def test_a_kept_connection_that_was_closed_meanwhile_is_no_failure(quick, caplog):
    """A server that closes connections without a word is asked again at once over a new one."""
    with serving(flag("a", 0.0)) as server, caplog.at_level(logging.WARNING, "andon"), reading(server.url) as cache:
        server.dropping = True
        for turn in (1.0, 2.0, 3.0):
            server.flags = [flag("a", turn)]
            until(lambda turn=turn: value(cache, "a") == turn)
    assert not caplog.records


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_keeps_its_levers_current():
    """After a fork (pre-forking servers) the child has a thread and a stream of its own, and the parent keeps its own."""
    code = """
import os, sys, time
from andon.client.levers import LeverCache
cache = LeverCache(sys.argv[1], token=None, app="bot", environment="production", cache=None)
cache.start(5)
def wait(value):
    until = time.monotonic() + 8
    while cache.find("a").value != value:
        if time.monotonic() > until:
            return 1
        time.sleep(0.01)
    return 0
assert wait(1.0) == 0
pid = os.fork()
if pid == 0:
    print("forked", flush=True)
    os._exit(wait(2.0))
_, status = os.waitpid(pid, 0)
assert status == 0, status
print("child done", flush=True)
sys.exit(wait(3.0))
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with serving(flag("a", 1.0), streams=STREAM) as server:
        with subprocess.Popen(
            [sys.executable, "-c", code, server.url],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout.readline() == "forked\n"
            until(lambda: len(server.lines) >= 2)
            server.flags = [flag("a", 2.0)]
            server.say(EVENT)
            assert process.stdout.readline() == "child done\n"
            server.flags = [flag("a", 3.0)]
            server.say(EVENT)
            said = process.communicate(timeout=30)
        assert process.returncode == 0, said


def test_importing_the_cache_brings_no_network():
    """The cache is standard library only, and loads neither http nor ssl before it is started."""
    code = """
import sys
import andon.client.levers
new = {m.partition(".")[0] for m in sys.modules}
new -= sys.stdlib_module_names | {"__main__"}
print(sorted(new), "ssl" in sys.modules, "http.client" in sys.modules)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "['andon'] False False"
