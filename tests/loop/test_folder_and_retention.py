"""Laws of what the loop does beside its turns: a watched folder, retention, imports of spans and changes."""

import os
from pathlib import Path
from types import SimpleNamespace

import orjson
import pytest

from andon.changes import Change
from andon.evals import Output
from andon.evals.run import open_kept
from andon.loop import Loop, open_loop
from andon.settings import Settings
from andon.store import Rollup
from andon.traffic import Feedback, Interaction
from andon.traffic.files.inbox import Imported
from andon.traffic.run import intake_report

US = 1_790_000_000_000_000
DAY = 86_400_000_000
S = 1_000_000


@pytest.fixture
def loop(tmp_path: Path) -> Loop:
    """A loop over an empty store."""
    return open_loop(Settings(home=tmp_path / "home", embedder="hashed", retention="spans=7d,interactions=30d"))


def rows(loop: Loop, table: str = "interactions") -> int:
    """Rows of a table."""
    return int(loop.warehouse.run(Rollup(table=table))["rows"][0].as_py())


def put(path: Path, *values: object, age_s: float = 60) -> None:
    """Write JSON lines into a file that was last touched some time before US."""
    path.write_bytes(b"".join(orjson.dumps(v) + b"\n" for v in values))
    os.utime(path, (US / S - age_s, US / S - age_s))


def test_what_is_put_into_the_folder_is_taken_in_once(loop: Loop, tmp_path: Path) -> None:
    """Traffic, feedback and changes of a folder are taken in by their names; a second look takes nothing; bad ones are said."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    put(folder / "a.jsonl", {"id": "i1", "time": US, "query": "q"}, {"nothing": 1})
    put(folder / "b.feedback.jsonl", {"interaction_id": "i1", "time": US, "thumb": "down"})
    put(folder / "c.changes.jsonl", {"kind": "prompt", "title": "v8", "at": "2026-09-21T12:00:00Z"})
    (folder / "d.csv").write_bytes(b"PK\x03\x04")
    later = max(p.stat().st_ctime for p in folder.iterdir()) * S + 60 * S
    done = {Path(i.id).name: i for i in loop.take_in(folder, int(later))}
    assert {name: (i.rows, i.bad) for name, i in done.items()} == {
        "a.jsonl": (1, 1),
        "b.feedback.jsonl": (1, 0),
        "c.changes.jsonl": (1, 0),
        "d.csv": (0, 0),
    }
    assert "ZIP" in str(done["d.csv"].error)
    assert (rows(loop), rows(loop, "feedback"), len(loop.ledger.all(Change))) == (1, 1, 1)
    assert loop.take_in(folder, int(later) + S) == []
    assert len(loop.ledger.all(Imported)) == 4
    loop.close()


def test_what_was_done_to_the_files_of_a_folder_is_told(loop: Loop, tmp_path: Path) -> None:
    """What was redacted in them is counted as what came over the network is, once the loop has turned."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    put(folder / "a.jsonl", {"id": "i1", "time": US, "query": "I am ann@example.com"})
    later = int((folder / "a.jsonl").stat().st_ctime * S) + 60 * S
    loop.take_in(folder, later)
    loop.read(later + S)
    loop.warehouse.commit()
    assert ("redacted", "email in interactions.query", 1) in intake_report(loop.warehouse)


def test_a_file_that_grew_is_read_again_and_doubles_nothing(loop: Loop, tmp_path: Path) -> None:
    """A log that is appended to is taken in again when it has been left alone: only what is new is added."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    path = folder / "a.jsonl"
    first = {"time": US, "query": "one"}
    put(path, first)
    loop.take_in(folder, int(path.stat().st_ctime * S) + 60 * S)
    put(path, first, {"time": US + 1, "query": "two"}, age_s=50)
    loop.take_in(folder, int(path.stat().st_ctime * S) + 120 * S)
    assert rows(loop) == 2
    loop.close()


def test_each_table_forgets_after_its_own_time(loop: Loop) -> None:
    """Rows older than their table keeps them are gone, younger ones and other tables stay."""
    for days in (1, 29, 31, 399, 401):
        time_us = US - days * DAY
        loop.intake.interactions([Interaction(id=f"i{days}", time_us=time_us, query="q")])
        loop.intake.feedback([Feedback(id=f"f{days}", interaction_id="i", time_us=time_us, kind="copy")])
    loop.warehouse.commit()
    assert dict(loop.forget(US)) == {"interactions": 3, "feedback": 1}
    assert (rows(loop), rows(loop, "feedback")) == (2, 4)
    assert dict(loop.forget(US)) == {}
    loop.close()


def test_kept_answers_of_targets_are_forgotten_after_a_month(loop: Loop) -> None:
    """What a target answered may hold what users said: it is kept for thirty days after its run began."""
    target = SimpleNamespace(name="bot", version="1")
    for days in (29, 31):
        kept = open_kept(loop.settings.home / "evals", target)
        assert kept is not None
        kept.begin(US - days * DAY)
        kept.keep(f"k{days}", Output(answer="a"))
        kept.close()
    assert dict(loop.forget(US)) == {"evals": 1}
    assert dict(loop.forget(US)) == {}
    loop.close()


def test_a_new_home_is_for_its_owner_only(loop: Loop) -> None:
    """Nobody else on the machine may look into what users said; a folder that was there keeps its mode."""
    assert loop.settings.home.stat().st_mode & 0o077 == 0
    loop.close()
