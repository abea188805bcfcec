"""`andon check` on the places that the settings name: it says what will not work, changes nothing, and keeps secrets."""

import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from andon.cli.places import check_places
from andon.settings import Settings
from andon.store import Ledger


@pytest.fixture
def chosen(tmp_path: Path) -> Settings:
    """Settings of a home that is not made yet."""
    return Settings(home=tmp_path / "home")


@pytest.fixture
def port() -> Iterator[int]:
    """A port on which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield int(listening.getsockname()[1])


def test_places_that_are_not_there_yet_are_well_and_are_not_made(chosen: Settings, tmp_path: Path) -> None:
    """Before the first start all is well, it is said what that start will make, and nothing was made by looking."""
    lines, problems = check_places(chosen)
    assert problems == []
    assert any("none yet; the first start makes" in line for line in lines)
    assert list(tmp_path.iterdir()) == []


def test_the_ledger_is_named_with_its_revision(chosen: Settings) -> None:
    """A ledger that is there is read and not changed."""
    Ledger.open(chosen.home / "ledger.db").close()
    before = (chosen.home / "ledger.db").read_bytes()
    lines, problems = check_places(chosen)
    assert problems == []
    assert any(line.startswith("ledger: ") and "revision" in line for line in lines)
    assert (chosen.home / "ledger.db").read_bytes() == before


def test_a_database_that_does_not_answer_is_a_problem_without_its_password(chosen: Settings) -> None:
    """What cannot be reached is named, and no secret is."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    ledger = f"postgresql://andon:opensesame@127.0.0.1:{port}/andon"
    lines, problems = check_places(replace(chosen, ledger=ledger, channels="json://user:letmein@127.0.0.1"))
    assert any(f"127.0.0.1:{port}" in p and "cannot be used" in p for p in problems)
    assert not any("opensesame" in said or "letmein" in said for said in (*lines, *problems))


def test_replicas_need_both_a_shared_ledger_and_shared_tables(chosen: Settings, tmp_path: Path) -> None:
    """One of the two alone is warned of; both are well."""
    store, ledger = str(tmp_path / "shared"), f"sqlite:///{tmp_path}/ledger.db"
    for fields, names in (({"store": store}, "ANDON_STORE is set"), ({"ledger": ledger}, "ANDON_LEDGER is set")):
        lines, _ = check_places(replace(chosen, **fields))
        assert any(line.startswith("warning") and names in line for line in lines)
    lines, problems = check_places(replace(chosen, store=store, ledger=ledger))
    assert problems == []
    assert list(tmp_path.iterdir()) == []
    assert not any("several replicas" in line for line in lines)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_a_problem(chosen: Settings, tmp_path: Path) -> None:
    """A folder, or the one in which it would be made, that refuses this user is named."""
    (tmp_path / "locked").mkdir(mode=0o500)
    _, problems = check_places(replace(chosen, home=tmp_path / "locked" / "home"))
    assert any("ANDON_HOME" in p and "may write" in p for p in problems)


def test_a_file_in_place_of_a_folder_is_a_problem(chosen: Settings, tmp_path: Path) -> None:
    """A home that is a file is named."""
    (tmp_path / "file").write_text("")
    _, problems = check_places(replace(chosen, home=tmp_path / "file"))
    assert any("ANDON_HOME" in p for p in problems)


def test_what_listens_and_what_is_told_is_looked_at(chosen: Settings, tmp_path: Path, port: int) -> None:
    """An engine that answers is well; one that does not, an open door without a token, a channel and an inbox that are none are not."""
    lines, problems = check_places(replace(chosen, engine=f"ray://127.0.0.1:{port}"))
    assert any("which answers" in line for line in lines)
    assert problems == []
    bad = replace(chosen, engine="ray://127.0.0.1:1", host="0.0.0.0", channels="nonsense", inbox=str(tmp_path / "none"))
    _, problems = check_places(bad)
    for part in ("ray://127.0.0.1:1", "ANDON_TOKEN", "channel 1", "ANDON_INBOX"):
        assert any(part in p for p in problems), (part, problems)
