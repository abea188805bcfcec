"""Fixtures: the API over doubles, for laws about HTTP itself, and a live server for laws about levers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from live_levers import Live, live_server
from starlette.testclient import TestClient

from andon.api import Deps, LeverDeps, WebhookDeps, create_app
from andon.changes import Change, Received
from andon.errors import AndonError
from andon.incidents.records import Alert, AlertsTaken, Report


@dataclass
class Doubles:
    """Stands in for every stage: keeps what it is given, fails when told to."""

    spans: list[bytes] = field(default_factory=list)
    received: list[tuple[str, str]] = field(default_factory=list)
    rows: list[Any] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    refused_spans: list[str] = field(default_factory=list)
    fails: AndonError | Exception | None = None
    tokens: dict[str, frozenset[str]] = field(default_factory=dict)

    def receive(self, signal: str, body: bytes, form: str) -> tuple[int, list[str]]:
        self.fail()
        self.received.append((signal, form))
        self.spans.append(body)
        return 1, self.refused_spans

    def keep(self, rows: Sequence[Any]) -> int:
        self.fail()
        self.rows += rows
        return len(rows)

    def keep_changes(self, received: Received) -> list[str]:
        self.fail()
        self.changes += received.changes
        return [change.id for change in received.changes]

    def keep_alerts(self, alerts: Sequence[Alert]) -> AlertsTaken:
        self.fail()
        self.alerts += alerts
        return AlertsTaken()

    def keep_report(self, said: Mapping[str, Any]) -> Report:
        self.fail()
        return Report(
            id="REP-1", incident="INC-0001", text=said["text"], app="bot", environment="production", by="mia", at_us=1
        )  # fmt: skip

    def fail(self) -> None:
        if self.fails is not None:
            raise self.fails

    def evaluate(self, key: str, context: Mapping[str, Any]) -> dict[str, Any] | None:
        self.fail()
        body = {"key": key, "value": True, "reason": "STATIC", "variant": "held", "metadata": {}}
        return body if key == "kill-switch" else None

    def app(self, token: str = "") -> Any:
        return create_app(
            Deps(
                receive=self.receive,
                record=self.keep,
                webhooks=WebhookDeps(
                    record_changes=self.keep_changes,
                    receive_alerts=self.keep_alerts,
                    receive_report=self.keep_report,
                    issue_closed=lambda _: None,
                    now_us=lambda: 1_790_000_000_000_000,
                ),
                levers=LeverDeps(
                    evaluate=self.evaluate,
                    evaluate_all=lambda context: [dict(self.evaluate("kill-switch", context) or {})],
                    state=lambda: "state-1",
                    keys=lambda: ["kill-switch"],
                ),
                problems=lambda: self.problems,
                token=token,
                scopes_of=self.tokens.get,
            )
        )


Open = Callable[..., TestClient]


@pytest.fixture
def doubles() -> Doubles:
    """Doubles that keep everything."""
    return Doubles()


@pytest.fixture
def open_client(doubles: Doubles) -> Open:
    """Opens a client of the API, by default as a process on this machine."""

    def opened(token: str = "", address: str = "127.0.0.1", base_url: str = "http://127.0.0.1:4318") -> TestClient:
        return TestClient(doubles.app(token), base_url=base_url, client=(address, 50_000))

    return opened


@pytest.fixture
def client(open_client: Open) -> TestClient:
    """A client on this machine, of an API without a token."""
    return open_client()


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    """A live server with a few levers."""
    with live_server(tmp_path) as live:
        yield live
