"""Laws of `andon tick`: who has a scheduler needs no service, so it does all that one does by itself, by the clock of the ledger."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from andon.errors import StoreError
from andon.loop import Loop
from andon.server import background
from andon.server import crank as crank_module
from andon.store import Ledger, Rollup, Warehouse, clock_of
from andon.traffic import SCHEMAS

Type = Callable[..., tuple[int, str, str]]
DAY_S = 86_400
HOUR_US = 3_600_000_000


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A function that sets the clock of the ledger's database so much later than it is."""
    return lambda us: monkeypatch.setattr(background, "clock_of", lambda ledger: clock_of(ledger) + us)


@pytest.fixture
def inbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A watched folder with one file in it, of a row of now and one that is older than rows are kept."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    rows = [
        {"id": f"i{age}", "time": time.time() - age * DAY_S, "app": "bot", "query": "q", "answer": "a"}
        for age in (0, 4)
    ]
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setenv("ANDON_INBOX", str(folder))
    monkeypatch.setenv("ANDON_RETENTION", "interactions=2d,scores=2d")
    return folder


def rows(home: Path) -> int:
    """Interactions that are kept."""
    warehouse = Warehouse(home, SCHEMAS)
    try:
        return int(warehouse.run(Rollup(table="interactions"))["rows"][0].as_py())
    finally:
        warehouse.close()


@pytest.mark.usefixtures("inbox")
def test_it_takes_in_and_forgets(type_: Type, tmp_path: Path, later: Callable[[int], None]) -> None:
    """What lies in the watched folder is taken in, judged in the same turn, and forgotten when it is too old; once."""
    later(HOUR_US)
    code, out, _ = type_("tick")
    assert code == 0
    assert "1 files taken in: " in out
    assert " 2 scored" in out
    assert "forgotten: 1 of interactions, 1 of scores" in out
    assert rows(tmp_path / "home") == 1
    code, out, _ = type_("tick")
    assert (code, "taken in" in out, "forgotten" in out) == (0, False, False)


def test_it_asks_the_probes_that_are_due(
    type_: Type, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, later: Callable[[int], None]
) -> None:
    """A probe is asked by a tick when its time has come, and not before."""
    (tmp_path / "andon.toml").write_text(
        f'[[probe]]\nname = "weekly"\napp = "legal"\ntarget = "recorded:{tmp_path}/model.jsonl"\nevery = "7d"\n'
        'cases = 12\nmetric = "citation_valid"\nbar = 0.95\n'
    )
    asked: list[int] = []
    monkeypatch.setattr(Loop, "probe", lambda _, now_us: asked.append(now_us) or [])
    code, _, err = type_("tick")
    assert (code, err) == (0, "")
    later(HOUR_US)
    assert type_("tick")[0] == 0
    assert len(asked) == 2
    assert asked[1] - asked[0] > 0.9 * HOUR_US


@pytest.mark.parametrize("years", [-20, 20])
def test_the_wall_clock_of_the_machine_moves_nothing(
    type_: Type, inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, years: int
) -> None:
    """Where it is wrong by years, no row is forgotten that must be kept, and what the tick writes has the time of the ledger."""
    (inbox / "a.jsonl").write_text(json.dumps({"id": "i", "time": time.time() - DAY_S, "query": "q"}) + "\n")
    assert type_("import", str(inbox / "a.jsonl"))[0] == 0
    real_ns = time.time_ns
    monkeypatch.setattr("time.time_ns", lambda: real_ns() + years * 365 * DAY_S * 10**9)
    code, out, _ = type_("tick")
    assert code == 0
    assert (" 1 scored" in out, "forgotten" in out) == (True, False)
    monkeypatch.undo()
    ledger = Ledger.open(tmp_path / "home" / "ledger.db")
    kinds = ledger.kinds_written(0)
    written = ledger.trail(kinds, limit=1_000)
    ledger.close()
    assert written
    assert [e for e in written if abs(e.at_us / 1e6 - time.time()) > 2 * DAY_S] == []
    assert rows(tmp_path / "home") == 1


@pytest.mark.usefixtures("inbox")
def test_what_fails_keeps_nothing_else_from_being_done(
    type_: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: Callable[[int], None]
) -> None:
    """A turn that fails costs nobody the retention of personal data; what failed is said, and the status is that of the failure."""

    def fail(*_: object) -> None:
        raise StoreError("the disk is full", retryable=True)

    later(HOUR_US)
    monkeypatch.setattr(Loop, "turn", fail)
    code, out, err = type_("tick")
    assert (code, "the disk is full" in err) == (4, True)
    assert "loop failed: StoreError: the disk is full" in out
    assert "forgotten: 1 of interactions" in out
    assert rows(tmp_path / "home") == 1


def test_it_does_what_a_service_does(tmp_path: Path) -> None:
    """Both take their work from one list: nothing that a service does by itself is left out of a tick."""
    from andon.loop import open_loop
    from andon.settings import Settings

    settings = Settings(home=tmp_path / "home", embedder="hashed", inbox=str(tmp_path))
    loop = open_loop(settings)
    tasks = crank_module.loop_tasks(loop, settings)
    assert {*tasks} == {w.name for w in crank_module.loop_work(loop, settings)}
    loop.close()


def test_its_help_says_what_it_does(type_: Type) -> None:
    """Whoever puts it into a scheduler reads what is done, and how often it is to be run."""
    out = " ".join(type_("tick", "--help")[1].split())
    for said in ("ANDON_INBOX", "probes", "forgets", "once an hour"):
        assert said in out
