"""Laws of the commands about who is told: what is shown, the exit codes, and that no secret is shown."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from receivers import Receiver
from test_triage import HOUR, T0, signal

from andon.incidents import Incident, open_channels
from andon.incidents.run import find_incident, notify, respond, timeline_of
from andon.store import Ledger

Type = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """The ledger of the home, with one incident, a page and a warning."""
    book = Ledger.open(tmp_path / "home" / "ledger.db")
    page = signal("a", scope={"task": "\x1b[2Jtriage"})
    for s in (page, signal("w", level="warning", at_us=T0 - 50 * HOUR, metric="error", x=7)):
        book.put(s, now_us=s.at_us, by="andon")
    respond(book, [page])
    yield book
    book.close()


def test_a_test_says_which_channel_went(type_: Type, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every channel gets a message marked as a test; if one fails the others are told all the same, and the exit code is 4."""
    monkeypatch.setenv("ANDON_CHANNELS", receiver.url)
    code, out, err = type_("channels", "test")
    assert (code, err) == (0, "")
    assert f"json://127.0.0.1:{receiver.port}" in out
    assert receiver.titles == ["TEST: this is what a page of Andon looks like"]
    monkeypatch.setenv("ANDON_CHANNELS", f"json://127.0.0.1:1/hook, {receiver.url}")
    code, out, err = type_("channels", "test")
    assert code == 4
    assert "it could not be reached" in out
    assert "1 of 2 channels could not be told: json://127.0.0.1:1" in err
    assert len(receiver.titles) == 2
    assert "s3cret" not in out + err


def test_without_channels_the_setting_is_named(type_: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody is told, list, test and status say so, and how to change it; a test that told nobody is a failure."""
    for words, expected in ((("channels", "list"), 0), (("channels", "test"), 2), (("status",), 0)):
        code, out, err = type_(*words)
        assert code == expected
        assert "nobody is told: ANDON_CHANNELS is not set" in (err if code else out)
    monkeypatch.setenv("ANDON_CHANNELS", "json://localhost")
    assert "nobody is told" not in type_("status")[1]


def test_a_service_without_channels_says_so_at_its_start(tmp_path: Path) -> None:
    """`andon serve` warns, once, that nobody is told."""
    settings = {"ANDON_HOME": str(tmp_path / "home"), "ANDON_PORT": _free_port(), "ANDON_GRPC_PORT": "0"}
    said = []
    with subprocess.Popen(
        [sys.executable, "-c", "from andon.cli import main; main()", "serve"],
        env={"PYTHONPATH": os.pathsep.join(sys.path), "ANDON_EMBEDDER": "hashed", **settings},
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    ) as service:
        watchdog = threading.Timer(60, service.kill)
        watchdog.start()
        assert service.stderr is not None
        for line in service.stderr:
            said.append(line)
            if "listens" in line:
                service.terminate()
        watchdog.cancel()
    assert "".join(said).count("nobody is told: ANDON_CHANNELS is not set") == 1


def _free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        return str(bound.getsockname()[1])


def test_a_wrong_url_is_one_line_without_the_url(type_: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL that is not understood ends with exit code 2 and its number."""
    monkeypatch.setenv("ANDON_CHANNELS", "slack://hush-hush")
    code, out, err = type_("channels", "test")
    assert (code, out) == (2, "")
    assert "channel 1 of ANDON_CHANNELS" in err
    assert "hush" not in err


def test_the_list_shows_what_failed(
    type_: Type, ledger: Ledger, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last success of each channel, its last error, and the latest deliveries are listed, without secrets."""
    monkeypatch.setenv("ANDON_CHANNELS", receiver.url)
    assert "nothing yet" in type_("channels", "list")[1]
    receiver.mode = "refuse"
    notify(ledger, open_channels(receiver.url), now_us=T0)
    code, out, err = type_("channels", "list")
    assert (code, err) == (0, "")
    assert "it answered with status 500" in out
    assert "INC-0001" in out
    receiver.mode = "ok"
    notify(ledger, open_channels(receiver.url), now_us=T0 + HOUR)
    out = type_("channels", "list")[1]
    assert "2026-09-21T15:13:20Z" in out
    assert "500" not in out
    assert "s3cret" not in out


def test_signals_are_listed_newest_first(type_: Type, ledger: Ledger) -> None:
    """Pages and warnings are listed with rate, baseline and onset; what came before `--since` is left out."""
    code, out, _ = type_("signals")
    lines = out.splitlines()
    assert code == 0
    assert [word for line in lines[1:] for word in line.split() if word in ("page", "warning")] == ["page", "warning"]
    assert "30 %" in lines[1]
    assert "2 %" in lines[1]
    assert "2026-09-21T13:13:20Z" in lines[1]
    assert "\x1b" not in out
    assert len(type_("signals", "--since", "2026-09-21T00:00:00Z")[1].splitlines()) == 2
    assert "no signal yet" in type_("signals", "--since", "2030-01-01")[1]
    assert type_("signals", "--since", "soon")[0] == 2


def test_an_acknowledgement_names_who_has_it(type_: Type, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one who types it is recorded; a second person is told who was first; an unknown incident is exit 2."""
    assert "INC-0001 was acknowledged by ann at " in type_("incident", "ack", "INC-0001")[1]
    monkeypatch.setenv("USER", "bob")
    assert "acknowledged by ann" in type_("incident", "ack", "INC-0001")[1]
    incident = find_incident(ledger, "INC-0001")
    assert isinstance(incident, Incident)
    assert incident.acked_by == "ann"
    assert [e.by for e in timeline_of(ledger, incident) if e.kind == "state"] == ["ann"]
    assert type_("incident", "ack", "INC-0009")[0] == 2
