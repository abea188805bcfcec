"""A help desk that Andon watches: it sends its answers, and reads from Andon whether it may name more sources."""

import json
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from typing import Any

__all__ = ["APP", "ASKED", "LEVER", "Desk", "rows"]

APP = "helpdesk"
LEVER = "helpdesk.sources"
ASKED = (
    "How long may I send things back?", "When is my refund paid?", "How many days does delivery take?",
    "What does shipping cost for 30 euros?", "For how many years is a gift card valid?", "Can orders be paid in instalments?",
    "How long is the warranty of batteries?", "How can I delete my account?", "Do shoes run small?", "A parcel came damaged: what now?",
)  # fmt: skip
PER_S, BATCH = 25, 5


def rows(at_us: Sequence[int], rng: random.Random, *, bad: float) -> list[dict[str, Any]]:
    """Answers of the help desk.

    Args:
        at_us: when each was given.
        rng: decides what is asked, and which answers are bad.
        bad: share of answers that cite passages which nobody retrieved.
    """
    found = []
    for at in at_us:
        n = rng.randrange(len(ASKED))
        text = f"What our handbook says of question {n + 1}: see the page {ASKED[n][:-1].lower()}."
        cited = " [1, 7, 9]" if rng.random() < bad else " [1]"
        found.append(
            {
                "id": f"{at}-{rng.randrange(10**9)}", "time_us": at, "app": APP, "query": ASKED[n], "answer": text + cited,
                "contexts": [{"id": f"page-{n}", "text": text, "score": 0.9}], "user_id": f"user-{rng.randrange(400)}",
                "risk_category": "orders", "latency_s": 0.4,
            }
        )  # fmt: skip
    return found


class Desk:
    """The application. Since a careless release it names more sources than it has, unless a lever says that it may not."""

    def __init__(self, port: int) -> None:
        """One that sends to a server of this machine and has sent nothing yet."""
        self.careless = False
        self._port, self._rng = port, random.Random(7)

    def history(self, hours: int = 4) -> None:
        """Send calm hours that end now, an answer a second."""
        end = time.time_ns() // 1000
        seconds = range(hours * 3600, 0, -1)
        for first in range(0, len(seconds), 4000):
            self._send(rows([end - s * 1_000_000 for s in seconds[first : first + 4000]], self._rng, bad=0.01))

    @contextmanager
    def open(self) -> Iterator[None]:
        """Answer questions in a thread for as long as the block takes."""
        over = threading.Event()
        thread = threading.Thread(target=self._run, args=(over,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(20)

    def _run(self, over: threading.Event) -> None:
        while not over.wait(BATCH / PER_S):
            try:
                bad = 0.5 if self.careless and self._more_sources() else 0.01
                self._send(rows([time.time_ns() // 1000 + n for n in range(BATCH)], self._rng, bad=bad))
            except (OSError, HTTPException):
                continue  # the server is away or busy: these answers are not shown to it

    def _more_sources(self) -> bool:
        """What the lever says; as the code has it where there is none."""
        status, said = self._post(f"/ofrep/v1/evaluate/flags/{LEVER}", {"context": {"app": APP}})
        return bool(json.loads(said)["value"]) if status == 200 else True

    def _send(self, sent: list[dict[str, Any]]) -> None:
        status, said = self._post("/v1/interactions", sent)
        if status != 200:
            raise HTTPException(f"{status}: {said[:300]!r}")

    def _post(self, path: str, body: object) -> tuple[int, bytes]:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()
