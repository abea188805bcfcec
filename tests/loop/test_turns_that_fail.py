"""Laws of a turn in which something fails: nothing else is lost, it is told, and the next turn goes on."""

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from test_loop_laws import MINUTE_US, START_US, _dump, _loop, _traffic

from andon.cli import main
from andon.errors import SeamError, StoreError
from andon.incidents import Incident, Message
from andon.loop import Loop, replay
from andon.loop import turning as crank
from andon.monitors import Signal
from andon.postmortems import Postmortem
from andon.traffic.run import record

END_US = START_US + 5 * 60 * MINUTE_US


class Heard:
    """A channel that keeps what it is told."""

    name = "chat"

    def __init__(self) -> None:
        self.titles: list[str] = []
        self.details: list[str] = []

    def send(self, message: Message) -> None:
        self.titles.append(message.title)
        self.details.append(str(message))


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[Path]:
    """Fresh homes, one after the other."""
    return (tmp_path / str(k) for k in range(100))


def taken(home: Path, apps: tuple[str, ...] = ("bank", "shop")) -> Loop:
    """A loop over applications that fail in the same hour."""
    loop = _loop(home)
    for app in apps:
        record(loop.warehouse, [replace(i, id=f"{app}-{i.id}", app=app) for i in _traffic()])
    return loop


def drafts(loop: Loop) -> dict[str, str]:
    """The applications whose incident has a draft, with its leading signal."""
    return {p.incident.app: p.incident.lead for p in loop.ledger.all(Postmortem)}


def found(loop: Loop) -> tuple[list[Incident], list[Signal], dict[str, str]]:
    """What a loop knows in the end."""
    return loop.ledger.all(Incident), loop.ledger.all(Signal), drafts(loop)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Incident], list[Signal], dict[str, str]]:
    """What a loop knows in the end in which nothing failed."""
    loop = taken(tmp_path_factory.mktemp("whole"))
    loop.tick(END_US)
    return found(loop)


@pytest.mark.parametrize("error", [SeamError("the embedder\nis away", retryable=True), ZeroDivisionError("x")])
def test_one_investigation_that_fails_costs_no_other_theirs(
    homes: Iterator[Path],
    whole: object,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    """The others are looked into, the failure is raised and logged on one line, and later turns end as if it had never been."""
    broken = taken(next(homes))
    look = crank.investigate
    away = [True]

    def failing(warehouse, ledger, incident, *args, **named):  # type: ignore[no-untyped-def]
        if incident.app == "bank" and away[0]:
            raise error
        return look(warehouse, ledger, incident, *args, **named)

    monkeypatch.setattr(crank, "investigate", failing)
    with caplog.at_level(logging.ERROR, "andon"), pytest.raises(type(error)):
        broken.tick(END_US)
    assert {i.app for i in broken.ledger.all(Incident)} == {"bank", "shop"}
    assert set(drafts(broken)) == {"shop"}
    (line,) = {r.getMessage() for r in caplog.records if "could not be looked into" in r.getMessage()}
    assert "\n" not in line
    with pytest.raises(type(error)):  # as long as it fails it is told, and nothing else suffers
        broken.tick(END_US + MINUTE_US)
    away[0] = False
    assert broken.tick(END_US + 2 * MINUTE_US).signals == 0
    assert found(broken) == whole


def test_people_are_told_of_an_incident_before_the_next_one_is_looked_into(
    homes: Iterator[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a large store looking takes a while: each is told of, with its suspects, when it was looked into; one that failed, at the end."""
    loop, look, chat = taken(next(homes), ("bank", "desk", "shop")), crank.investigate, Heard()
    before: dict[str, list[str]] = {}

    def watched(warehouse, ledger, incident, *args, **named):  # type: ignore[no-untyped-def]
        before.setdefault(incident.app, [*chat.titles])
        if incident.app == "desk":
            raise ZeroDivisionError("x")
        return look(warehouse, ledger, incident, *args, **named)

    monkeypatch.setattr(crank, "investigate", watched)
    with pytest.raises(ZeroDivisionError):
        loop.turn([chat], lambda: END_US)
    assert len(chat.titles) == 3
    assert ["bank" in title for title in chat.titles] == [True, False, False]
    assert ["shop" in title for title in chat.titles] == [False, True, False]
    assert "desk" in chat.titles[2]
    assert before == {"bank": [], "desk": chat.titles[:1], "shop": chat.titles[:1]}
    assert "suspect 1" in chat.details[0]
    assert "suspect 1" not in chat.details[2]
    with suppress(ZeroDivisionError):
        loop.turn([chat], lambda: END_US + MINUTE_US)
    assert len(chat.titles) == 3


def test_what_fails_beside_them_keeps_no_message_of_an_incident_back(
    homes: Iterator[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reminder that cannot be told, or a channel that fails amid the turn, costs no incident its look nor its message."""
    loop, chat = taken(next(homes)), Heard()
    told, away = crank.notify, [True]

    def failing(*args, **named):  # type: ignore[no-untyped-def]
        if named["of"] is not None and away[0]:
            raise StoreError("the ledger is away", retryable=True)
        return told(*args, **named)

    def reminding(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a record cannot be read")

    monkeypatch.setattr(crank, "notify", failing)
    monkeypatch.setattr(crank, "tell_overdue", reminding)
    with pytest.raises(ZeroDivisionError):
        loop.turn([chat], lambda: END_US)
    assert set(drafts(loop)) == {"bank", "shop"}
    assert len(chat.titles) == 2
    away[0] = False
    with pytest.raises(ZeroDivisionError):
        loop.turn([chat], lambda: END_US + MINUTE_US)
    assert len(chat.titles) == 2


def test_an_incident_that_found_another_lead_is_looked_into_again(
    homes: Iterator[Path],
) -> None:
    """If looking again after a new leading signal failed, the next turn does it: no draft stays about the former lead.

    So it is when the process begins anew, and in the one that drafted it when the incident finds its lead later.
    """
    home = next(homes)
    loop = taken(home, ("shop",))
    loop.tick(END_US)
    (draft,) = loop.ledger.all(Postmortem)
    former = replace(draft, incident=replace(draft.incident, lead="another"))
    loop.ledger.put(former, now_us=END_US, by="a turn that failed")
    loop.close()
    loop = _loop(home)
    loop.tick(END_US + MINUTE_US)
    (again,) = loop.ledger.all(Postmortem)
    assert again.incident.lead == draft.incident.lead
    (incident,) = loop.ledger.all(Incident)
    other = next(s.id for s in loop.ledger.all(Signal) if s.id != incident.lead)
    joined = replace(incident, lead=other, signals=(*incident.signals, other))
    loop.ledger.put(joined, now_us=END_US, by="a later signal")
    loop.tick(END_US + 2 * MINUTE_US)
    (anew,) = loop.ledger.all(Postmortem)
    assert anew.incident.lead == other


def test_signals_are_done_with_once_they_have_an_incident(
    homes: Iterator[Path], whole: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger that refuses an incident costs no signal: the next turn opens the same incidents."""
    broken = taken(next(homes))
    give = crank.respond

    def refusing(*_: object) -> list[Incident]:
        raise StoreError("the disk is full", retryable=True)

    monkeypatch.setattr(crank, "respond", refusing)
    with pytest.raises(StoreError):
        broken.tick(END_US)
    assert broken.ledger.all(Incident) == []
    monkeypatch.setattr(crank, "respond", give)
    broken.tick(END_US)
    assert found(broken) == whole


def test_an_embedder_that_is_away_stops_no_detection(homes: Iterator[Path]) -> None:
    """With an embedder that always fails, the incidents are opened all the same, in the turn in which they are due."""

    class Away:
        name = "hashed-ngram-512-v1"

        def embed(self, texts: object) -> object:
            raise SeamError("the embedder is away", retryable=True)

    loop = taken(next(homes))
    loop.embedder = Away()  # type: ignore[assignment]
    with suppress(SeamError):  # an investigation may need it
        loop.tick(END_US)
    assert {i.app for i in loop.ledger.all(Incident)} == {"bank", "shop"}


FINISHED = {
    "context": {
        "version": "0.4.1",
        "id": "e1",
        "source": "ci",
        "type": "dev.cdevents.testcaserun.finished.0.2.0",
        "timestamp": "2026-03-02T00:00:00Z",
    },
    "subject": {"id": "t1", "type": "testCaseRun", "content": {}},
}
"""A body that was understood and is no change."""


def _lines(path: Path, *values: object) -> Path:
    path.write_bytes(b"".join(v if isinstance(v, bytes) else orjson.dumps(v) + b"\n" for v in values))
    return path


def test_a_replay_keeps_what_became_of_feedback_and_changes(homes: Iterator[Path], tmp_path: Path) -> None:
    """Bad lines of feedback and what is no change are in the result, with line and reason; the rest is taken in."""
    traffic = _lines(tmp_path / "t.jsonl", *({"id": f"i{k}", "time": START_US + k, "query": "q"} for k in range(5)))
    feedback = _lines(
        tmp_path / "f.jsonl", {"interaction_id": "i1", "time": START_US, "thumb": "down"}, b"not json\n", {"thumb": 1}
    )
    changes = _lines(tmp_path / "c.jsonl", FINISHED, {"kind": "prompt", "title": "v8", "at": "2026-03-02T00:00:00Z"})
    loop = _loop(next(homes))
    result = replay(loop, [traffic], changes=[changes], feedback=[feedback])
    loop.close()
    assert result.feedback is not None
    assert (result.feedback.acknowledged, result.feedback.bad) == (1, 2)
    assert [(Path(b.file).name, b.line) for b in result.feedback.bad_rows] == [("f.jsonl", 2), ("f.jsonl", 3)]
    assert [c.title for c in result.changes] == ["v8"]
    (ignored,) = result.ignored
    assert "testcaserun" in ignored.what
    assert crank.passed_over(result.ignored).startswith("1 passed over")
    assert _dump(tmp_path / "0")


def test_a_file_with_a_hostile_name_writes_no_line_of_its_own(
    homes: Iterator[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A name with a line end, or a reason that repeats it, stays one line in the log."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    (folder / "a\n2026-01-01 ERROR all is lost\x1b[31m.csv").write_bytes(b"PK\x03\x04")
    _lines(folder / "b\n2026.changes.jsonl", b"not json\n")
    loop = _loop(next(homes))
    with caplog.at_level(logging.INFO, "andon"):
        (one, two) = loop.take_in(folder, int(max(p.stat().st_ctime for p in folder.iterdir()) * 1e6) + 60_000_000)
    loop.close()
    assert one.error
    assert two.error
    said = [r.getMessage() for r in caplog.records if "was not taken in" in r.getMessage()]
    assert len(said) == 2
    assert all(line.isprintable() for line in said)


def test_what_is_no_change_is_said_when_a_file_is_taken_in(
    homes: Iterator[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file of changes that holds none is not passed over in silence."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    path = _lines(folder / "a.changes.jsonl", FINISHED)
    loop = _loop(next(homes))
    with caplog.at_level(logging.INFO, "andon"):
        (done,) = loop.take_in(folder, int(path.stat().st_ctime * 1e6) + 60_000_000)
    loop.close()
    assert (done.rows, done.error) == (0, None)
    assert any("1 passed over" in r.getMessage() and "testcaserun" in r.getMessage() for r in caplog.records)


def test_commands_say_what_was_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`andon replay` and `andon import` count bad lines of feedback and what is no change, and show the first with its reason."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANDON_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ANDON_EMBEDDER", "hashed")
    _lines(tmp_path / "t.jsonl", *({"id": f"i{k}", "time": START_US + k, "query": "q"} for k in range(50)))
    _lines(tmp_path / "f.jsonl", b"not json\n", b"[\n")
    _lines(tmp_path / "x.changes.jsonl", FINISHED)
    outputs = []
    for words in (
        ["replay", "t.jsonl", "--changes", "x.changes.jsonl", "--feedback", "f.jsonl", "--home", "replayed"],
        ["import", "x.changes.jsonl"],
    ):
        monkeypatch.setattr("sys.argv", ["andon", *words])
        with suppress(SystemExit):
            main()
        outputs.append(capsys.readouterr().out)
    assert "2 bad lines of feedback; the first: f.jsonl:1:" in outputs[0]
    assert all("1 passed over" in out and "testcaserun" in out for out in outputs)
    assert "0 changes are recorded" in outputs[1]


def test_a_turn_reads_no_draft_that_it_knows(homes: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A process reads the draft of an incident once, whatever it is asked for: the turns after its first read none."""
    home = next(homes)
    first = taken(home)
    first.tick(END_US)
    first.close()
    loop = _loop(home)
    read: list[str] = []
    get = loop.ledger.get

    def asked(kind: type, name: str):  # type: ignore[no-untyped-def]
        read.extend([name] if kind is Postmortem else [])
        return get(kind, name)

    monkeypatch.setattr(loop.ledger, "get", asked)
    loop.tick(END_US + MINUTE_US)
    assert sorted(read) == ["INC-0001", "INC-0002"]
    loop.tick(END_US + 2 * MINUTE_US)
    assert len(read) == 2
    loop.close()
