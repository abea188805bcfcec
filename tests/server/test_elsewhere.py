"""Laws of a replica that is asked for what others do: it says so, and where it is done, so that nothing is lost in silence."""

import socket
import time
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from andon.api.errors import add_handlers
from andon.errors import ConfigError
from andon.server.crank import Crank
from andon.server.elsewhere import say_elsewhere
from andon.server.serving import listen
from andon.settings import Settings


def asked(*only: str) -> TestClient:
    """A client of a replica with these roles, and a page that catches every path where it has pages."""
    app = FastAPI()
    add_handlers(app)
    say_elsewhere(app, only)
    if "ingest" in only:
        app.add_api_route("/v1/traces", lambda: {"kept": True}, methods=["POST"])
    if "web" in only:
        app.add_api_route("/{path:path}", lambda path: {"page": path}, methods=["GET"])
    return TestClient(app)


@pytest.mark.parametrize("path", ["traces", "logs", "interactions", "changes", "webhooks/github"])
def test_traffic_for_another_replica_is_not_dropped_in_silence(path: str) -> None:
    """An exporter is told to try again, and its log where to send: 405 or 404 would have it throw the traffic away."""
    answer = asked("web", "loop").post(f"/v1/{path}", content=b"x")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    error = answer.json()["error"]
    assert error["kind"] == "NotHere"
    for said in (
        "nothing was taken in",
        "--only web --only loop",
        f"send '/v1/{path}' to a replica with --only ingest",
    ):
        assert said in error["message"]


@pytest.mark.parametrize("path", ["/", "/sign-in", "/incidents/INC-0001"])
def test_a_page_of_another_replica_is_said_to_be_elsewhere(path: str) -> None:
    """A browser shows a sentence, and a program gets it as JSON; both with the status that nothing is there."""
    client = asked("ingest")
    page = client.get(path, headers={"accept": "text/html,*/*"})
    assert page.status_code == 404
    assert page.headers["content-type"].startswith("text/plain")
    assert page.text == (
        "this replica serves no pages (it runs with --only ingest); they are at a replica with --only web, or without --only"
    )
    plain = client.get(path)
    assert plain.status_code == 404
    assert plain.json()["error"]["kind"] == "NotFound"
    assert plain.json()["error"]["message"].endswith(page.text)


def test_what_is_here_is_answered() -> None:
    """Each role's own paths, a method that a path does not know, and a path of programs that nobody knows are as ever."""
    client = asked("ingest")
    assert client.post("/v1/traces").status_code == 200
    assert client.get("/v1/traces").status_code == 405
    assert "replica" not in client.get("/v1/nothing").text
    assert asked("web").get("/incidents").json() == {"page": "incidents"}
    everything = asked("ingest", "web", "loop")
    assert (everything.post("/v1/traces").status_code, everything.get("/v1/x").status_code) == (200, 200)


def test_what_fails_in_the_loops_process_is_told_as_that(tmp_path: Path) -> None:
    """Both processes have a clock: of a problem it is said which of them has it."""
    crank = Crank(Settings(home=tmp_path))
    crank._told = {"problems": ["clock: failed 4 times in a row (StoreError)", "loop: the lease could not be taken"]}
    crank._told_at = time.monotonic()
    crank._heard.set()
    assert crank.problems() == [
        "in the loop's process: clock: failed 4 times in a row (StoreError)",
        "loop: the lease could not be taken",
    ]


def test_a_taken_port_is_no_fault_of_the_settings(type_, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """Who starts Andon again after its end (systemd) does so where a port is taken, which passes; not where a setting is wrong."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("ANDON_PORT", str(taken.getsockname()[1]))
        code, _, err = type_("serve")
    assert (code, "set another ANDON_PORT" in err) == (4, True)
    with pytest.raises(ConfigError, match="cannot be listened on"):
        listen("192.0.2.1", 0, "token")
