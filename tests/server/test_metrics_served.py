"""Laws of what a live replica is measured by, and of how it leaves."""

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from running import answers, eventually, free_port, serving

from andon import __version__
from andon.errors import StoreError
from andon.incidents import Incident
from andon.levers import Lever
from andon.levers.run import declare, hold
from andon.postmortems.records import ActionItem
from andon.scores import SCORERS, score_schema
from andon.server import Repeated, Server, create_server, now_us
from andon.server.vitals import WAIT_S, LedgerFacts, LedgerLook
from andon.store import Ledger, Warehouse
from andon.traffic import SCHEMAS

LINES = {"content-type": "application/x-ndjson"}
HOUR_US = 3_600_000_000

Told = dict[tuple[str, ...], float]


@pytest.fixture
def store(tmp_path: Path) -> tuple[Warehouse, Ledger]:
    """A real warehouse and ledger; the server closes them."""
    schemas = {**SCHEMAS, "scores": score_schema(SCORERS)}
    return Warehouse(tmp_path / "warehouse", schemas), Ledger.open(tmp_path / "ledger.sqlite")


@pytest.fixture
def server(store: tuple[Warehouse, Ledger]) -> Iterator[Server]:
    """A live server without a token."""
    with create_server(*store, None).running() as server:
        yield server


def scraped(port: int) -> Told:
    """What is told, by the name of the sample and the values of its labels."""
    answer = httpx2.get(f"http://127.0.0.1:{port}/metrics", timeout=10)
    assert answer.status_code == 200
    families = list(text_string_to_metric_families(answer.text))
    assert all(f.documentation.endswith(".") for f in families), "each has a sentence"
    return {(s.name, *s.labels.values()): s.value for f in families for s in f.samples}


def incident(number: int, **more: Any) -> Incident:
    """One of them."""
    return Incident(
        id=f"INC-{number:04}", title="t", app="shop", environment="production", metric="error", lead="s", onset_us=1,
        onset_low_us=1, onset_high_us=1, alarmed_us=1, last_signal_us=1, **more,
    )  # fmt: skip


def action(number: int, due_us: int) -> ActionItem:
    """A commitment."""
    return ActionItem(
        id=f"INC-0001-A{number}",
        incident="INC-0001",
        kind="process",
        title="t",
        due_us=due_us,
        owner="ann",
        state="open",
    )


def test_rows_are_counted_by_table(server: Server) -> None:
    """Rows that were taken in are counted in their table, whoever sent them; what was refused is not; the version is told."""
    at = f"http://127.0.0.1:{server.port}"
    body = b'{"id": "i1", "time": 1790000000}\n{"id": "i2", "time": 1790000000}\n{"id": "i3", "time": "never"}'
    assert httpx2.post(f"{at}/v1/interactions", content=body, headers=LINES).json()["accepted"] == 2
    told = scraped(server.port)
    assert told["andon_rows_total", "server", "interactions"] == 2
    assert told["andon_rows_total", "server", "spans"] == 0
    assert told["andon_build_info", __version__] == 1
    assert told["andon_ready",] == 1


def test_what_waits_in_the_journal_is_told(server: Server, store: tuple[Warehouse, Ledger]) -> None:
    """Bytes that are not committed are told, and how long the oldest of them wait; 0 once they are in the tables."""
    store[0].commit = lambda: None  # type: ignore[method-assign,assignment,return-value]
    server.work[0].stop()
    body = b'{"id": "i1", "time": 1790000000}'
    httpx2.post(f"http://127.0.0.1:{server.port}/v1/interactions", content=body, headers=LINES)
    first = scraped(server.port)
    assert first["andon_journal_bytes",] == store[0].uncommitted_bytes() > 0
    time.sleep(0.2)
    assert 0.2 <= scraped(server.port)["andon_journal_oldest_seconds",] - first["andon_journal_oldest_seconds",] < 5
    Warehouse.commit(store[0])
    told = scraped(server.port)
    assert (told["andon_journal_bytes",], told["andon_journal_oldest_seconds",]) == (0, 0)


def test_background_work_is_told_by_name(store: tuple[Warehouse, Ledger]) -> None:
    """Work that fails counts its runs and failures, is told to fail, and its last success gets older; once it succeeds it is well."""

    class Loop:
        broken = True

        def turn(self, *_: object) -> None:
            if self.broken:
                raise ZeroDivisionError

        def capture_due(self, _: int) -> None:
            """Nothing failed."""

    loop = Loop()
    with create_server(*store, loop, tick_s=0.02).running() as server:
        eventually(lambda: scraped(server.port)["andon_background_failures_total", "server", "loop"] > 3)
        told = scraped(server.port)
        assert told["andon_ready",] == 0
        assert told["andon_background_failing", "server", "loop"] == 1
        assert told["andon_background_failing", "server", "levers"] == 0
        eventually(lambda: scraped(server.port)["andon_background_since_success_seconds", "server", "loop"] > 2)
        assert told["andon_background_runs_total", "server", "loop"] > 3
        loop.broken = False
        eventually(lambda: scraped(server.port)["andon_background_failing", "server", "loop"] == 0)
        eventually(lambda: scraped(server.port)["andon_background_since_success_seconds", "server", "loop"] < 1.8)


def test_work_that_was_not_begun_has_no_state() -> None:
    """Work of a replica that waits is not begun; once it runs, its runs are those that ended."""
    gate = threading.Event()
    work = Repeated("slow", gate.wait, 0.01)
    assert not work.begun
    work.start()
    assert work.begun
    time.sleep(0.1)
    assert (work.state().runs, work.state().failures) == (0, 0)
    gate.set()
    eventually(lambda: work.state().runs > 1)
    work.stop()


def test_what_the_ledger_says_is_told(server: Server, store: tuple[Warehouse, Ledger]) -> None:
    """Open incidents by severity, levers that are held and overdue actions are counted; what is closed, released or in time is not."""
    ledger, now = store[1], now_us()
    for number, (severity, state) in enumerate((("P1", "open"), ("P1", "fixed"), ("P1", "closed"), ("P3", "open"))):
        ledger.put(incident(number, severity=severity, state=state), now_us=now, by="andon")
    for key in ("a", "b"):
        declare(ledger, Lever(id=key, kind="boolean", default=False, safe=True), now, "ann")
    hold(ledger, "a", why="w", by="ann", until_us=now + HOUR_US, now_us=now)
    for number, due_us in enumerate((now - HOUR_US, now + HOUR_US)):
        ledger.put(action(number, due_us), now_us=now, by="ann")
    told = scraped(server.port)
    assert {s: told["andon_incidents_open", s] for s in ("P1", "P2", "P3")} == {"P1": 2, "P2": 0, "P3": 1}
    assert (told["andon_levers_pulled",], told["andon_actions_overdue",]) == (1, 1)
    assert told["andon_ledger_readable",] == 1
    assert ("andon_loop_behind_seconds",) not in told, "nothing was judged yet"


def test_a_ledger_that_is_gone_is_told(
    server: Server, store: tuple[Warehouse, Ledger], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands in a ledger that cannot be read is absent and not 0, a metric says so, and everything else is told."""
    monkeypatch.setattr("andon.server.vitals.ASK_S", 0.0)
    assert ("andon_incidents_open", "P1") in scraped(server.port)
    (tmp_path / "ledger.sqlite").rename(tmp_path / "moved.sqlite")
    told = scraped(server.port)
    assert told["andon_ledger_readable",] == 0
    assert told["andon_build_info", __version__] == 1
    gone = ("andon_incidents_open", "andon_levers_pulled", "andon_actions_overdue", "andon_loop_behind_seconds")
    assert not [key for key in told if key[0] in gone]


def test_a_ledger_that_hangs_holds_up_no_scrape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the database does not answer, whoever scrapes waits half a second at most, and it is asked once, not by each of them."""
    gate, asked = threading.Event(), []

    def read(*_: object) -> LedgerFacts:
        asked.append(1)
        assert gate.wait(20)
        return LedgerFacts(incidents={}, pulled=0, overdue=0, judged_us=None)

    monkeypatch.setattr(LedgerFacts, "read", read)
    ledger = Ledger.open(tmp_path / "ledger.db")
    look = LedgerLook(ledger, now_us)
    began = time.monotonic()
    assert [look() for _ in range(3)] == [None] * 3
    assert time.monotonic() - began < 3 * WAIT_S + 5
    assert asked == [1]
    gate.set()
    eventually(lambda: look() is not None)
    assert asked == [1]
    ledger.close()


def test_the_ledger_is_asked_every_few_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scrapes within a few seconds of each other share one answer, also where it was a refusal; a later one asks again."""
    ledger, answers_ = Ledger.open(tmp_path / "ledger.db"), []

    def read(*_: object) -> LedgerFacts:
        answers_.append(1)
        if len(answers_) == 1:
            raise StoreError("gone", retryable=True)
        return LedgerFacts(incidents={}, pulled=len(answers_), overdue=0, judged_us=None)

    monkeypatch.setattr(LedgerFacts, "read", read)
    monkeypatch.setattr("andon.server.vitals.ASK_S", 0.3)
    look = LedgerLook(ledger, now_us)
    assert [look(), look(), look()] == [None] * 3
    time.sleep(0.35)
    facts = [look(), look()]
    assert [f and f.pulled for f in facts] == [2, 2]
    ledger.close()


def test_both_processes_are_told_and_the_replica_hands_over(tmp_path: Path) -> None:
    """A real replica tells what its loop does, and that it was started again; asked to end, it is unready while it still serves."""
    port, home = free_port(), tmp_path / "home"
    with serving(home, port, {"ANDON_STORE": str(tmp_path / "store")}) as process:
        body = f'{{"id": "i1", "time": {time.time() - 900}, "query": "q", "answer": "a"}}'.encode()
        httpx2.post(f"http://127.0.0.1:{port}/v1/interactions", content=body, headers=LINES)
        eventually(lambda: ("andon_loop_behind_seconds",) in scraped(port), 60)
        eventually(lambda: scraped(port)["andon_rows_total", "loop", "scores"] == 1)
        told = scraped(port)
        assert told["andon_loop_turns_here",] == 1
        assert told["andon_background_failing", "loop", "loop"] == 0
        assert told["andon_background_runs_total", "loop", "commit"] > 0
        assert 0 < told["andon_loop_behind_seconds",] < 1000
        assert told["andon_charts", "learning"] > 0
        assert told["andon_loop_process_resident_memory_bytes",] > 1e6
        assert told["andon_loop_process_restarts_total",] == 0
        assert named_in_the_docs() <= {key[0] for key in told} | {"andon_http_request_duration_seconds"}
        [child] = [c for p in Path(f"/proc/{process.pid}/task").glob("*/children") for c in p.read_text().split()]
        os.kill(int(child), signal.SIGKILL)
        eventually(lambda: scraped(port)["andon_loop_process_restarts_total",] == 1)
        eventually(lambda: answers(port, "/readyz"))
        begun = HTTPConnection("127.0.0.1", port, timeout=10)
        begun.putrequest("POST", "/v1/interactions")
        begun.putheader("content-type", LINES["content-type"])
        begun.putheader("content-length", str(len(body)))
        begun.endheaders(body[:5])
        process.send_signal(signal.SIGTERM)
        asked = time.monotonic()
        eventually(lambda: httpx2.get(f"http://127.0.0.1:{port}/readyz").status_code == 503, 2)
        assert "shutdown" in httpx2.get(f"http://127.0.0.1:{port}/readyz").json()["problems"][0]
        assert answers(port, "/healthz"), "it serves on for a moment"
        eventually(lambda: not listens(port), 10)
        assert 2 < time.monotonic() - asked < 15
        begun.send(body[5:])
        assert begun.getresponse().status == 200, "what was begun is finished"
        begun.close()
        assert process.wait(30) == 0


def test_ctrl_c_hands_nothing_over(tmp_path: Path) -> None:
    """Who presses Ctrl-C waits for no load balancer: the port is closed at once, also where other replicas could go on."""
    port = free_port()
    with serving(tmp_path / "home", port, {"ANDON_STORE": str(tmp_path / "store")}) as process:
        process.send_signal(signal.SIGINT)
        asked = time.monotonic()
        eventually(lambda: not listens(port), 10)
        assert time.monotonic() - asked < 2.5
        assert process.wait(30) == 0


def named_in_the_docs() -> set[str]:
    """The metrics that the page names, in its tables and in its alerts."""
    page = Path(__file__).parents[2] / "docs/how-to/watch-andon.md"
    return set(re.findall(r"\bandon_[a-z_]+[a-z]\b(?!\*)", page.read_text(encoding="utf-8")))


def listens(port: int) -> bool:
    """Whether somebody takes a connection."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
