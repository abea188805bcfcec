"""Laws of labelling at a terminal: what is pasted or mistyped never becomes a right answer, and what was kept stays to be read."""

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from andon.golden import Failure, Label
from andon.store import Ledger

QUESTIONS = ("how long is a loan", "who pays the postage", "what does a card cost")
TYPED = "from andon.cli import main; main()"
PATIENCE_S = 60


class Terminal:
    """A sitting of `andon golden label` at a pseudo-terminal; it ends with the block."""

    def __init__(self, home: Path, **environment: str) -> None:
        book = Ledger.open(home / "home" / "ledger.db")
        for k, question in enumerate(QUESTIONS, 1):
            f = Failure(
                id=f"F-{k}", captured_us=1, app="shop", question=question, answer="no idea", risk_category="high"
            )
            book.put(f, now_us=1, by="andon")
        book.close()
        self._home = home
        self._here, there = pty.openpty()
        settings = {"ANDON_HOME": "home", "ANDON_EMBEDDER": "hashed", "USER": "ann", "TERM": "xterm", **environment}
        self._process = subprocess.Popen(
            [sys.executable, "-c", TYPED, "golden", "label"],
            stdin=there, stdout=there, stderr=there, cwd=home, env={**os.environ, **settings},
        )  # fmt: skip
        os.close(there)

    def __enter__(self) -> "Terminal":
        self.until(b"> ")
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._here)
        self._process.kill()
        self._process.wait()

    def until(self, mark: bytes) -> str:
        """What the screen shows up to a mark."""
        shown, end = b"", time.monotonic() + PATIENCE_S
        while mark not in shown:
            assert time.monotonic() < end, shown
            if select.select([self._here], [], [], 0.1)[0]:
                try:
                    shown += os.read(self._here, 65_536)
                except OSError:  # the sitting has ended
                    pytest.fail(shown.decode(errors="replace"))
        return shown.decode(errors="replace")

    def type(self, keys: bytes, mark: bytes = b"\r\n> ") -> str:
        """Press keys at once, and read the screen up to the next prompt."""
        os.write(self._here, keys)
        return self.until(mark)

    def labels(self) -> dict[str, str]:
        """Quit; the right answers that were kept, by failure."""
        os.write(self._here, b"q\n")
        self.until(b"left")
        book = Ledger.open(self._home / "home" / "ledger.db")
        found = {x.failure: x.ground_truth for x in book.all(Label)}
        book.close()
        return found


def test_a_paste_of_several_lines_labels_nothing(tmp_path: Path) -> None:
    """Lines that come at once are one paste: none of them is a label of this failure or of the next, bracketed or not."""
    with Terminal(tmp_path) as terminal:
        for paste in (
            b"line one\nline two\nline three\n",
            b"\x1b[200~line one\nline two\x1b[201~\r",
            b"line one\nline two",
        ):
            assert "use e for an answer of several lines" in terminal.type(paste)
        assert "2 of 3" in terminal.type(b"14 days\n")
        assert terminal.labels() == {"F-1": "14 days"}


def test_what_was_kept_stays_on_the_screen_and_keys_edit_the_line(tmp_path: Path) -> None:
    """The confirmation is not wiped by the next failure; arrow keys move and leave nothing in the right answer."""
    with Terminal(tmp_path) as terminal:
        shown = terminal.type(b"14 das\x1b[Dy\n")
        assert "labelled: 14 days (u takes it back)" in shown
        assert "2 of 3" in shown
        assert not {"\x1b[2J", "\x1b[H", "\x1bc"} & {shown[k : k + n] for k in range(len(shown)) for n in (2, 3, 4)}
        assert terminal.labels() == {"F-1": "14 days"}


def test_what_is_not_utf8_is_said_and_not_kept(tmp_path: Path) -> None:
    """A line of another encoding labels nothing where the locale lets it through, and is asked for again."""
    with Terminal(tmp_path, LC_ALL="POSIX", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0") as terminal:
        assert "not UTF-8" in terminal.type(b"Z\xfcrich, really\n")
        assert "2 of 3" in terminal.type(b"14 days\n")
        assert terminal.labels() == {"F-1": "14 days"}
