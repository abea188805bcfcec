"""A drill: a bad prompt reaches a live RAG application, Andon sees it, takes it out, and measures what that did.

    pip install 'andon[openfeature]'
    python examples/stabilisation_drill.py            # two minutes; leaves the postmortem in ./drill

Everything is real: `andon serve` with its loop, the help desk of `rag_app.py` under load, a prompt that a second person approved
and a third one should have tested, and a rule that Ann wrote beforehand.
"""

import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from andon.incidents import Incident
from andon.levers import Pull
from andon.postmortems import Postmortem
from andon.store import Ledger
from rag_app import ASKED, CAREFUL, EAGER, HelpDesk, generate, retrieve

__all__ = ["Drill", "Timings"]

RULE = """\
[[pull]]
name = "careful prompt"
by = "ann"
lever = "helpdesk.prompt"
app = "helpdesk"
signal = "citation_valid"
for = "30m"
trade_off = "answers name fewer sources"
"""
METRIC = "citation_valid"
ANDON = (sys.executable, "-c", "from andon.cli import main; main()")
HISTORY_S, PER_S = 4 * 3600, 20
MOST_S = 600.0
"""Longest wait for anything: a machine that is busy with something else is slow, and no failure."""


class Timings(NamedTuple):
    """Seconds since the bad prompt was promoted."""

    served_bad: float
    """The application first used it."""
    alarm: float
    """The incident stood in the ledger, so people could be told."""
    held: float
    """The rule had pulled."""
    effective: float
    """The application used the careful prompt again."""
    opening: float
    """How long before the alarm the window had ended that raised it."""
    incident: str


class Drill:
    """One run, in a folder of its own."""

    def __init__(self, folder: Path, *, window_s: int = 10) -> None:
        """Write the configuration, the history and the lever with two versions of its prompt."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.desk: HelpDesk | None = None
        (folder / "andon.toml").write_text(RULE, encoding="utf-8")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        settings = {"HOME": str(folder / "home"), "PORT": str(self.port), "GRPC_PORT": "0", "EMBEDDER": "hashed"}
        settings |= {"WINDOW_S": str(window_s), "SETTLE_S": "1"}
        self.env = {**os.environ, **{f"ANDON_{k}": v for k, v in settings.items()}}
        self.andon("lever", "declare", "helpdesk.prompt", "--kind", "string", "--default", CAREFUL, "--safe", CAREFUL,
                   "--app", "helpdesk", "--about", "what the model is told", user="ann")  # fmt: skip
        said = self.andon(
            "lever", "version", "add", "helpdesk.prompt", "--value", EAGER, "--why", "more sources", user="bob"
        )
        self.eager = next(word for word in said.replace("@", " ").split() if len(word) == 12 and word.isalnum())
        self.andon("lever", "version", "approve", "helpdesk.prompt", self.eager, "--why", "reads well", user="cem")
        self.andon("lever", "promote", "helpdesk.prompt", self.eager, "--to", "staging", "--why", "try it", user="bob")
        self._history()  # last, so that little time passes until there is traffic again: silence is an incident of its own
        self.andon("import", "history.jsonl")

    def run(self, *, calm_s: float = 25.0) -> Timings:
        """Serve, ask, promote the bad prompt, and wait until it is gone and the postmortem tells what that did."""
        with (self.folder / "serve.log").open("wb") as log:
            serve = subprocess.Popen([*ANDON, "serve"], env=self.env, cwd=self.folder, stderr=log)
        ledger, stop = Ledger.open(self.folder / "home" / "ledger.db"), threading.Event()
        try:
            self._until(self._ready)
            self.desk = HelpDesk(f"http://127.0.0.1:{self.port}", cache=self.folder / "levers.json")
            crowd = threading.Thread(target=self._ask, args=(stop,), daemon=True)
            crowd.start()
            time.sleep(calm_s)
            self.andon("lever", "promote", "helpdesk.prompt", self.eager, "--to", "production", "--why", "looks good",
                       user="bob")  # fmt: skip
            start = time.monotonic()
            bad = self._until(lambda: self._prompt() == EAGER) - start
            alarm = self._until(lambda: any(i.metric == METRIC for i in ledger.all(Incident))) - start
            held = self._until(lambda: bool(ledger.all(Pull))) - start
            good = self._until(lambda: self._prompt() == CAREFUL) - start
            self._until(lambda: any("effect of lever" in e.text for p in ledger.all(Postmortem) for e in p.timeline))
            incident = next(i for i in ledger.all(Incident) if i.metric == METRIC)
            stop.set()
            crowd.join()
        finally:
            stop.set()
            if self.desk is not None:
                self.desk.close()
            ledger.close()
            serve.terminate()
            serve.wait(MOST_S)
        return Timings(bad, alarm, held, good, ((incident.opened_us or 0) - incident.alarmed_us) / 1e6, incident.id)

    def andon(self, *words: str, user: str = "ann") -> str:
        """Type a command; what it said."""
        done = subprocess.run(
            [*ANDON, *words],
            env={**self.env, "USER": user},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"andon {' '.join(words)}: {done.stderr}")
        return done.stdout

    def _history(self) -> None:
        """Four calm hours, one question a second, so that Andon knows what is usual."""
        rng, end_us = random.Random(0), time.time_ns() // 1000
        with (self.folder / "history.jsonl").open("w", encoding="utf-8") as file:
            for second in range(HISTORY_S):
                question = rng.choice(ASKED)
                found = retrieve(question)
                row = {
                    "id": f"history-{second}",
                    "time_us": end_us - (HISTORY_S - second) * 1_000_000,
                    "app": "helpdesk",
                    "query": question,
                    "answer": generate(question, found, CAREFUL if rng.random() < 0.99 else EAGER, cite=True),
                    "contexts": [passage._asdict() for passage in found],
                    "prompt_version": "default",
                    "user_id": f"user-{rng.randrange(500)}",
                    "risk_category": "orders",
                }
                file.write(json.dumps(row) + "\n")

    def _ask(self, stop: threading.Event) -> None:
        """Twenty questions a second, until it is enough."""
        assert self.desk is not None
        rng = random.Random(1)
        while not stop.wait(1 / PER_S):
            self.desk.answer(rng.choice(ASKED), user=f"user-{rng.randrange(500)}")

    def _prompt(self) -> str:
        """What the application would tell its model now."""
        assert self.desk is not None
        return self.desk.levers.get_string_value("helpdesk.prompt", CAREFUL)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _until(self, true: Callable[[], bool]) -> float:
        """Wait for something; when it was true."""
        until = time.monotonic() + MOST_S
        while not true():
            if time.monotonic() > until:
                raise TimeoutError(f"it took more than {MOST_S:g} s; {self.folder / 'serve.log'} says more")
            time.sleep(0.05)
        return time.monotonic()


if __name__ == "__main__":
    drill = Drill(Path(sys.argv[1] if len(sys.argv) > 1 else "drill").absolute())
    took = drill.run()
    print(f"the bad prompt was in use {took.served_bad:.1f} s after it was promoted")
    print(f"alarm after {took.alarm:.1f} s, {took.opening:.1f} s after the end of the window that raised it")
    print(f"held {took.held - took.alarm:.1f} s after the alarm")
    print(f"effective in the application {took.effective - took.alarm:.1f} s after the alarm")
    print(drill.andon("lever", "show", "helpdesk.prompt"))
    print(drill.andon("incident", "timeline", took.incident))
    print(drill.andon("postmortem", "write", took.incident, "--out", "postmortem"))
