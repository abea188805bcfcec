import os

import numpy as np
import pytest

from andon.golden.run import CaseVectors, forget_vectors
from andon.golden.run.vectors import _HEADER, _record
from andon.store import Ledger

QUESTIONS = ("how tall is K2", "may I fly with a cat", "where is Rome", "is 17 a prime", "who was first")


class Counting:
    """An embedder that counts the texts it was asked for: one axis for each word."""

    name = "counting-1"

    def __init__(self, shift: int = 0) -> None:
        self.asked: list[str] = []
        self.shift = shift

    def embed(self, texts):
        self.asked += texts
        rows = np.zeros((len(texts), 64), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.split():
                row[(sum(word.encode()) + self.shift) % 64] += 1
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def cases(ledger, case, now_us):
    """Five cases in the ledger."""
    found = [case(q) for q in QUESTIONS]
    for c in found:
        ledger.put(c, now_us=now_us, by="ann")
    return found


def caught_up(ledger: Ledger, home, embedder=None) -> tuple[CaseVectors, Counting]:
    """Vectors that have caught up, and the embedder that they asked."""
    embedder = embedder or Counting()
    vectors = CaseVectors(embedder, home)
    vectors.catch_up(ledger)
    return vectors, embedder


def file_of(home):
    """The one file of vectors."""
    (path,) = (home / "golden").glob("*.vectors")
    return path


def is_right(vectors: CaseVectors, cases) -> bool:
    """Whether there is the right vector of every case, once."""
    expected = {c.id: Counting().embed([c.question])[0] for c in cases}
    return sorted(vectors.ids) == sorted(expected) and all(
        np.array_equal(v, expected[i]) for i, v in zip(vectors.ids, vectors.vectors, strict=True)
    )


def test_a_question_is_embedded_once(ledger, cases, case, tmp_path, now_us):
    """A later process reads the vectors, and asks the embedder for what is new and for one that proves it is the same."""
    _, first = caught_up(ledger, tmp_path)
    assert first.asked == list(QUESTIONS)
    new = case("a new one")
    ledger.put(new, now_us=now_us, by="ann")
    again, second = caught_up(ledger, tmp_path)
    assert second.asked == [QUESTIONS[-1], "a new one"]
    assert is_right(again, [*cases, new])
    again.catch_up(ledger)
    assert second.asked == [QUESTIONS[-1], "a new one"]
    assert again.notice == ""


def test_what_a_crash_left_out_is_embedded_again(ledger, cases, case, tmp_path, now_us):
    """A case that reached the ledger and not the file is caught up with; a record that was half written is written again."""
    caught_up(ledger, tmp_path)
    path = file_of(tmp_path)
    for cut in (1, 100, _record(64).itemsize, _record(64).itemsize + 7, path.stat().st_size - _HEADER):
        os.truncate(path, path.stat().st_size - cut)
        vectors, _ = caught_up(ledger, tmp_path)
        assert is_right(vectors, cases)
        later, embedder = caught_up(ledger, tmp_path)
        assert is_right(later, cases)
        assert (embedder.asked, later.notice) == (
            [QUESTIONS[-1]] if later.ids[-1] == cases[-1].id else embedder.asked,
            "",
        )


@pytest.mark.parametrize(
    "place", [0, 3, 30, _HEADER + 2, _HEADER + 12, _HEADER + 200, _HEADER + _record(64).itemsize + 90]
)
def test_damage_is_found_said_and_repaired(ledger, cases, tmp_path, place):
    """Whatever byte of the header or of a record is wrong, no wrong vector is used, and the file is right afterwards."""
    caught_up(ledger, tmp_path)
    path = file_of(tmp_path)
    raw = bytearray(path.read_bytes())
    raw[place] ^= 0xFF
    path.write_bytes(raw)
    vectors, _ = caught_up(ledger, tmp_path)
    assert is_right(vectors, cases)
    assert "made anew" in vectors.notice
    again, _ = caught_up(ledger, tmp_path)
    assert is_right(again, cases)
    assert again.notice == ""


def test_zeros_that_a_crash_left_are_no_vectors(ledger, cases, tmp_path):
    """A record of zeros, which a file system may leave after a power cut, is damage and not a vector."""
    caught_up(ledger, tmp_path)
    with file_of(tmp_path).open("ab") as file:
        file.write(bytes(_record(64).itemsize))
    vectors, _ = caught_up(ledger, tmp_path)
    assert is_right(vectors, cases)
    assert "damaged" in vectors.notice


def test_vectors_of_another_embedder_are_not_used(ledger, cases, tmp_path):
    """An embedder that gives other vectors under the same name has the file made anew, and says so."""
    caught_up(ledger, tmp_path)
    vectors, embedder = caught_up(ledger, tmp_path, Counting(shift=5))
    assert "other vectors" in vectors.notice
    assert sorted(embedder.asked) == sorted([*QUESTIONS, QUESTIONS[-1]])
    np.testing.assert_array_equal(vectors.vectors, Counting(shift=5).embed(QUESTIONS))


def test_vectors_of_cases_that_the_ledger_does_not_hold_are_left_out(ledger, cases, tmp_path, case, now_us):
    """After the ledger was replaced, the file's other cases are near nothing."""
    caught_up(ledger, tmp_path)
    other = Ledger("sqlite://")
    mine = [cases[1], case("another")]
    for c in mine:
        other.put(c, now_us=now_us, by="ann")
    vectors, _ = caught_up(other, tmp_path)
    assert is_right(vectors, mine)


def test_two_processes_share_the_file(ledger, cases, case, tmp_path, now_us):
    """What one appends, the other reads instead of embedding it; each case stands once."""
    one, asked = caught_up(ledger, tmp_path)
    two, _ = caught_up(ledger, tmp_path)
    new = [case("a new one"), case("another new one")]
    for c in new:
        ledger.put(c, now_us=now_us, by="ann")
    two.catch_up(ledger)
    before = len(asked.asked)
    one.catch_up(ledger)
    assert len(asked.asked) == before
    two.add([new[0].id], two.embedder.embed([new[0].question]))
    assert is_right(one, [*cases, *new])
    assert is_right(two, [*cases, *new])
    assert is_right(caught_up(ledger, tmp_path)[0], [*cases, *new])


def test_a_folder_that_cannot_be_written_costs_the_saving_only(ledger, cases, tmp_path):
    """Where the file cannot be written, vectors are in memory, and that is said."""
    (tmp_path / "golden").write_text("a file is in the way")
    vectors, _ = caught_up(ledger, tmp_path)
    assert is_right(vectors, cases)
    assert "memory only" in vectors.notice


def test_an_erasure_can_remove_the_vectors(ledger, cases, tmp_path):
    """Nothing of the questions is left on disk; they are embedded again from what the ledger still holds."""
    caught_up(ledger, tmp_path)
    forget_vectors(tmp_path)
    assert not list((tmp_path / "golden").iterdir())
    forget_vectors(tmp_path / "nowhere")
    assert is_right(caught_up(ledger, tmp_path)[0], cases)


def test_vectors_live_in_memory_without_a_home(ledger, cases, case, now_us):
    """Without a home nothing is written, and growing keeps what is there."""
    vectors, _ = caught_up(ledger, None)
    more = [case(f"question {k}") for k in range(300)]
    for c in more:
        ledger.put(c, now_us=now_us, by="ann")
    vectors.catch_up(ledger)
    assert is_right(vectors, [*cases, *more])
    assert cases[0].id in vectors
    assert len(vectors) == 305
