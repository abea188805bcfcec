"""The ledger's commands: its revision and its copies, without a password ever in a list of processes or on a screen."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from andon.cli.ledgers import _named
from andon.store import Ledger
from andon.store.databases import url_of
from andon.store.migrations import HEAD


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    id: str


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a ledger of two entries."""
    with closing(Ledger.open(tmp_path / "home" / "ledger.db")) as ledger:
        for name in "ab":
            ledger.put(Note(id=name), now_us=1, by="ada")
    return tmp_path / "home"


def ids(path: Path) -> list[str]:
    """Of all entries, in their order."""
    with closing(sqlite3.connect(path)) as plain:
        return [row[0] for row in plain.execute("SELECT id FROM versions ORDER BY entry")]


def test_down_and_up(type_, home):
    """The settings' ledger is brought down and up, each time it is said from where to where; what is shown as SQL is not done."""
    assert type_("ledger", "upgrade") == (0, f"the ledger is at revision {HEAD} already\n", "")
    code, out, _ = type_("ledger", "downgrade", "1", "--sql")
    assert (code, out.splitlines()[-1]) == (0, "DROP INDEX versions_trail;")
    assert type_("ledger", "upgrade", "--sql")[1].startswith("the ledger is at revision")
    assert type_("ledger", "downgrade", "1")[1] == f"the ledger was at revision {HEAD}, and is at revision 1 now\n"
    code, out, _ = type_("ledger", "upgrade", "--sql")
    assert out.startswith("CREATE INDEX versions_trail ON versions")
    assert type_("ledger", "upgrade")[1] == f"the ledger was at revision 1, and is at revision {HEAD} now\n"
    assert ids(home / "ledger.db") == ["a", "b"]


def test_what_cannot_be_brought_anywhere(type_, home, tmp_path, monkeypatch):
    """No such revision, no ledger and a later Andon's ledger are errors of the input, each with what to do."""
    code, _, err = type_("ledger", "downgrade", "0")
    assert (code, f"give 1 to {HEAD}" in err) == (2, True)
    with closing(sqlite3.connect(home / "ledger.db")) as plain:
        plain.execute(f"UPDATE ledger_state SET revision = {HEAD + 1}, andon = '9.9'")
        plain.commit()
    code, _, err = type_("ledger", "upgrade")
    assert (code, "use Andon 9.9 or a later one" in err, f"type andon ledger downgrade {HEAD}" in err) == (
        2,
        True,
        True,
    )
    monkeypatch.setenv("ANDON_HOME", str(tmp_path / "nowhere"))
    code, _, err = type_("ledger", "upgrade")
    assert (code, "there is no ledger at" in err) == (2, True)
    assert not (tmp_path / "nowhere").exists()


def test_a_copy_is_made_and_told_of(type_, home, tmp_path):
    """What is copied is said with its digest and what to do next; a rehearsal leaves nothing; a second copy is refused."""
    code, rehearsed, _ = type_("ledger", "copy", "copy.db", "--rehearse")
    assert (code, "2 entries would be copied (rehearsed, and undone)" in rehearsed) == (0, True)
    assert not (tmp_path / "copy.db").exists()
    code, out, _ = type_("ledger", "copy", "copy.db")
    lines = out.splitlines()
    assert code == 0
    assert lines[0].startswith(
        "2 entries copied from sqlite:///home/ledger.db to sqlite:///copy.db, the last is number 2"
    )
    assert lines[1] == rehearsed.splitlines()[1]
    assert lines[2] == f"to go on with the copy, set ANDON_LEDGER={tmp_path}/copy.db and start Andon again"
    assert ids(tmp_path / "copy.db") == ["a", "b"]
    code, _, err = type_("ledger", "copy", "copy.db")
    assert (code, "holds records already" in err) == (2, True)


def test_a_place_may_come_by_standard_input(type_, home, tmp_path):
    """A dash takes the URL from a line of standard input, the source's before the target's."""
    assert type_("ledger", "copy", "-", lines="one.db\n")[0] == 0
    assert type_("ledger", "copy", "-", "--from", "-", lines="one.db\ntwo.db\n")[0] == 0
    assert ids(tmp_path / "two.db") == ["a", "b"]
    code, _, err = type_("ledger", "copy", "-")
    assert (code, "not said where" in err) == (2, True)


@pytest.mark.parametrize("words", [("{}",), ("x.db", "--from", "{}")])
@pytest.mark.parametrize("url", ["postgresql://me:pw4711@127.0.0.1:1/x", "postgresql://127.0.0.1:1/x?password=pw4711"])
def test_a_password_is_no_argument(type_, home, words, url):
    """A URL with a password as an argument is refused with what to do instead; by standard input it is taken, and never shown."""
    code, out, err = type_("ledger", "copy", *(word.format(url) for word in words))
    assert (code, "~/.pgpass" in err) == (2, True)
    assert "4711" not in out + err
    code, out, err = type_("ledger", "copy", *(word.format("-") for word in words), lines=f"{url}\n")
    assert (code, "refused" in err) == (4, True)
    assert "4711" not in out + err


def test_an_empty_database_is_shown_how_a_ledger_is_made_in_it(type_, tmp_path, monkeypatch):
    """Before the first start the SQL that makes it is printed, and nothing done; without --sql that is the first start's to do."""
    monkeypatch.setenv("ANDON_LEDGER", str(tmp_path / "empty.db"))
    sqlite3.connect(tmp_path / "empty.db").close()
    (tmp_path / "empty.db").touch()
    code, out, _ = type_("ledger", "upgrade", "--sql")
    assert (code, out.startswith("CREATE TABLE versions")) == (0, True)
    code, _, err = type_("ledger", "upgrade")
    assert (code, "it is made when Andon is started on it" in err) == (2, True)
    with closing(sqlite3.connect(tmp_path / "empty.db")) as plain:
        assert plain.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
        plain.executescript(out)
    assert type_("ledger", "upgrade") == (0, f"the ledger is at revision {HEAD} already\n", "")


def test_a_copy_is_named_as_the_setting_names_it():
    """What is said to be set is what the documentation writes, for every folder that Andon may be started in, without a password."""
    named = "postgresql://me@h/x"
    assert _named(url_of(named)) == f"ANDON_LEDGER={named}"
    assert (
        _named(url_of("postgresql://me:pw4711@h/x"))
        == "ANDON_LEDGER=postgresql://me:***@h/x (with the password in place of ***)"
    )
    assert _named(url_of("sqlite:///a b.db")) == f"ANDON_LEDGER={Path.cwd()}/a b.db"


def test_what_is_no_backup_leaves_no_home(type_, tmp_path):
    """Who restores from another folder by mistake is told so, and finds nothing new."""
    (tmp_path / "pictures").mkdir()
    code, _, err = type_("restore", "pictures")
    assert (code, "is no backup" in err, "another one" in err) == (2, True, True)
    assert [path.name for path in tmp_path.iterdir()] == ["pictures"]
