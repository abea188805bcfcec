"""Laws of erasing one user: nothing of theirs is left anywhere, and nothing of others is gone."""

import sqlite3
from pathlib import Path

import orjson
import pytest

from andon.errors import InputError
from andon.golden import Failure
from andon.loop import Loop, open_loop
from andon.settings import Settings
from andon.store import Slice
from andon.traffic import Context, Feedback, Interaction, SpanRow
from andon.traffic.records import Erasure, LogRow
from andon.traffic.redaction import mark_of
from andon.traffic.run import open_redaction, read_new

US = 1_790_000_000_000_000
S = 1_000_000
SECRET = "my very private question about a diagnosis"


def ids(loop: Loop, table: str, column: str = "id") -> list[str]:
    """One column of a table, sorted."""
    return sorted(loop.warehouse.run(Slice(table=table, columns=(column,)))[column].to_pylist())


def traffic(user: str, number: int, query: str) -> Interaction:
    """An interaction of a user."""
    return Interaction(
        id=f"{user[:3]}-{number}",
        time_us=US + number,
        user_id=user,
        session_id=f"s-{user}",
        query=query,
        answer=f"An answer for {user} that nobody else got.",
        contexts=(Context(text="A public passage of the handbook."),),
    )


@pytest.fixture
def loop(tmp_path: Path) -> Loop:
    """A loop with traffic, feedback, spans, log records, scores and a captured failure of two users."""
    loop = open_loop(Settings(home=tmp_path / "home", embedder="hashed", settle_s=1))
    for user in ("eve@example.com", "bob"):
        loop.intake.interactions([traffic(user, 1, f"{SECRET} of {user}"), traffic(user, 2, "yes")])
        loop.intake.feedback(
            [
                Feedback(
                    id=f"f-{user[:3]}", interaction_id=f"{user[:3]}-1", time_us=US, kind="thumb", value=0.0, author=user
                )
            ]
        )
    for trace, user in ((1, "eve@example.com"), (2, "bob")):
        attributes = {"metadata": orjson.dumps({"user_id": user}).decode(), "gen_ai.operation.name": "chat"}
        span = SpanRow(
            trace_id=f"{trace:032x}", span_id=f"{trace:016x}", time_us=US, end_us=US + S, attributes=attributes
        )
        loop.intake.records([span])
        said = LogRow(
            id=f"log-{trace}", time_us=US, trace_id=span.trace_id, span_id=span.span_id, name="gen_ai.user.message",
            body={"content": f"{SECRET} in a log of {user}"},
        )  # fmt: skip
        loop.intake.records([said])
        loop.intake.records(
            [SpanRow(trace_id=f"{trace + 8:032x}", span_id=f"{trace:016x}", time_us=US, end_us=US + 1000 * S,
                     attributes=attributes)]
        )  # fmt: skip
    loop.tick(US + 60 * S)
    for item in read_new(loop.warehouse, 0, 100)[0]:
        failure = Failure(
            id=f"F-{item.id}", captured_us=US, app="default", question=str(item.query), answer=item.answer,
            contexts=("A public passage of the handbook.",), interaction_id=item.id,
        )  # fmt: skip
        loop.ledger.put(failure, now_us=US, by="t")
    return loop


def bytes_below(folder: Path) -> bytes:
    """Everything that lies on the disk; SQLite's log is part of it."""
    return b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())


def test_nothing_of_the_user_is_left_and_nothing_of_others_is_gone(loop: Loop, tmp_path: Path) -> None:
    """Rows of every table and texts of every record of one user are gone, from the files too; the other user's stay."""
    before = {t: ids(loop, t) for t in loop.warehouse.tables()}
    done = loop.erase("eve@example.com", US + 99 * S, "dpo")
    assert done.left == ()
    assert done.rows["interactions"] == 3
    assert done.rows["spans"] == 2
    assert done.rows["logs"] == 1
    assert done.rows["feedback"] >= 1
    assert done.rows["scores"] >= 3
    for table in ("interactions", "spans", "logs", "scores"):
        assert 2 * len(ids(loop, table)) == len(before[table])
    assert set(ids(loop, "interactions", "user_id")) == {"bob"}
    failures = loop.ledger.all(Failure)
    assert sorted(f.question for f in failures if "bob" in str(f.question)) == [
        f"{SECRET} in a log of bob",
        f"{SECRET} of bob",
    ]
    assert sum(f.question == "yes" for f in failures) == 1
    assert sum(f.question == "[erased]" for f in failures) == 3
    mark = mark_of("eve@example.com", open_redaction(loop.settings))
    assert mark.startswith("[email:")
    loop.close()
    left = bytes_below(tmp_path / "home")
    assert b"eve@example.com" not in left
    assert mark.encode() not in left
    assert b"bob" in left


def test_the_proof_does_not_say_who_it_was(loop: Loop) -> None:
    """The record of an erasure holds counts and a keyed digest, no name; a second erasure finds nothing more."""
    done = loop.erase("eve@example.com", US, "dpo")
    assert "eve" not in repr(loop.ledger.get(Erasure, done.id))
    again = loop.erase("eve@example.com", US + 1, "dpo")
    assert (again.rows, again.records, again.left) == ({}, 0, ())
    loop.close()


def test_a_user_that_is_not_there_changes_nothing(loop: Loop) -> None:
    """Erasing somebody unknown, or nobody, removes nothing."""
    before = {t: ids(loop, t) for t in loop.warehouse.tables()}
    assert loop.erase("nobody", US, "dpo").rows == {}
    with pytest.raises(InputError, match="which user"):
        loop.erase("  ", US, "dpo")
    assert {t: ids(loop, t) for t in loop.warehouse.tables()} == before
    loop.close()


def test_the_ledger_stays_readable_by_others(loop: Loop, tmp_path: Path) -> None:
    """After an erasure the database is sound, and every record can be read."""
    loop.erase("eve@example.com", US, "dpo")
    assert loop.ledger.all(Failure)
    loop.close()
    with sqlite3.connect(tmp_path / "home" / "ledger.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
