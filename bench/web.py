"""The pages over ten million interactions and ten thousand charts: how long each takes, asked over HTTP one after the other.

The store is built once (`bench.web_store`) and its charts are turned once, which takes minutes; both are kept. Pages are served
by a process of their own with nothing else to do; every request carries a session, as a browser's would.
"""

import gzip
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote, urlencode

import numpy as np
from numpy.typing import NDArray

from andon.access.run import found, owned, sign_in
from andon.changes import Change
from andon.golden import Case, Failure
from andon.incidents import Incident
from andon.incidents.run import respond
from andon.investigations import Investigation
from andon.levers import Lever
from andon.levers import run as levers
from andon.loop import open_loop
from andon.monitors import Monitor, Signal
from andon.monitors.charts import Charts
from andon.monitors.run.publishing import Publisher
from andon.settings import load
from andon.store import Ledger, Slice
from bench.figures import figure, note
from bench.web_records import EXPERIMENTS, measured, measured_places
from bench.web_store import APPS, END_US, PARTS, RISKS, START_US, TASKS, web_store
from bench.web_store import ROWS as WHOLE

__all__ = ["fill", "run"]

ROWS = int(os.environ.get("BENCH_WEB_ROWS", "10000000"))
"""Rows of the store; one of another size has a folder of its own."""
TIMES = 40
CHARTS, WINDOW_US, TURNED = 10_000, 300_000_000, 36 * 48
"""Charts, the width of their windows, and how many windows they were turned through: six days."""
METRICS = ("error", "refusal", "escalation", "citation_valid", "tool_error", "thumbs", "policy_refusal", "empty_answer")
PASSWORD = "a horse that is correct"
HOUR_US = 3_600_000_000
PEOPLE = "Ada"
FILLED = {
    "monitor": "<svg", "traffic": "class=\"hit", "interaction": "beat answered", "two interactions": "They differ in", "changes": "change number", "change": "change number",
    "incidents": "/incidents/INC-", "incident": "suspect", "timeline": "pin or hide", "levers": "support.lever-00", "lever": "Pulls",
    "actions": "/actions/INC-", "labels": "What it answered", "label list": "question number", "golden": "case number", "case": "case number",
    "evals": "support of build", "run": "case number", "two runs": "case number", "rollouts": f"EXP-{EXPERIMENTS:04d}", "rollout": "Kinder words",
    "rollout plan": "Write it down", "audit": "/settings/audit/", "audit entry": "change number",
}  # fmt: skip
"""What a page must show, so that nothing is timed that is empty."""


def run() -> None:
    """Each page's 95th percentile, and what the first one weighs."""
    name = "andon-bench-web" if ROWS == WHOLE else f"andon-bench-web-{ROWS}"
    folder = web_store(Path(tempfile.gettempdir()) / name, ROWS)
    fill(folder)
    with _serving(folder) as (port, cookie):
        floor = _p95("floor", port, cookie, lambda _: "/sign-in")[1]
        for name, place in _places(folder).items():
            median, p95, size = _p95(name, port, cookie, place)
            figure(f"web.p95_ms.{name}", p95, "ms", "a page that reads nothing", floor)
            note(f"{name}: median {median:.0f} ms, p95 {p95:.0f} ms, {size:,} bytes")
            if name == "home":
                figure("web.first_page_bytes", size + _weight(port, cookie), "B")


def fill(folder: Path) -> None:
    """Turn ten thousand charts up to the end of the store, look into what they found, and put in what people would have done."""
    mark, more = folder / "filled.json", folder / "measured.json"
    if not mark.exists():
        _fill_charts(folder, mark)
    if not more.exists():
        ledger = Ledger.open(folder / "ledger.db")
        measured(ledger)
        ledger.close()
        more.write_text("{}")


def _fill_charts(folder: Path, mark: Path) -> None:
    loop = open_loop(replace(load({}), home=folder, embedder="hashed"))
    try:
        begun = time.perf_counter()
        signals = _charts(folder)
        for signal in signals:
            loop.ledger.put(signal, now_us=signal.at_us, by="andon")
        note(f"{CHARTS:,} charts, {len(signals)} signals, {time.perf_counter() - begun:.0f} s")
        respond(loop.ledger, signals)
        for incident in loop.ledger.all(Incident)[:3]:
            begun = time.perf_counter()
            loop.look_into(incident, END_US)
            note(f"{incident.id} looked into, {time.perf_counter() - begun:.0f} s")
        _people_did(loop.ledger)
        if not owned(loop.ledger):
            found(loop.ledger, PEOPLE, PASSWORD, now_us=END_US)
    finally:
        loop.close()
    mark.write_text(json.dumps({"charts": CHARTS, "signals": len(signals)}))


class _Even:
    """Every interaction counts once."""

    def weights_of(self, monitors: Sequence[Monitor]) -> NDArray[np.float64]:
        """One for each chart."""
        return np.ones(len(monitors))


def _charts(folder: Path) -> list[Signal]:
    """Charts as the loop leaves them, with counts that are drawn: turning them through ten million rows takes an hour.

    In the last two hours one chart in a hundred is harmed.
    """
    rng = np.random.default_rng(0)
    parts = [
        (),
        *((("risk_category", r),) for r in RISKS),
        *((("task", t),) for t in TASKS),
        *((("segment", p),) for p in PARTS),
    ]
    parts += [(("risk_category", r), ("task", t)) for r in RISKS for t in TASKS]
    monitors = [
        Monitor(app=app, environment="production", metric=metric, direction="up", scope=part)
        for app in APPS for metric in METRICS for part in parts
    ][:CHARTS]  # fmt: skip
    while len(monitors) < CHARTS:
        n = len(monitors)
        monitors.append(replace(monitors[n % 4_800], scope=(("topic", f"t{n:05}"),)))
    charts = Charts(WINDOW_US, 1.0, dict.fromkeys(METRICS, "binary"), {(m, "up"): "correctness" for m in METRICS})
    for monitor in monitors:
        charts.index(monitor)
    first, signals = (END_US - TURNED * WINDOW_US) // WINDOW_US, []
    for start in range(0, TURNED, 48):
        n = rng.poisson(3, (48, CHARTS)).astype(float)
        rate = np.full((48, CHARTS), 0.05)
        if start + 48 >= TURNED:
            rate[-24:, ::100] = 0.6
        signals += charts.advance(first + start, n, rng.binomial(n.astype(int), rate).astype(float))
    Publisher(folder).publish(charts, _Even(), first + TURNED)
    return [s for s in signals if s.level == "page"][:60]


def _people_did(ledger: Ledger) -> None:
    chosen = random.Random(0)
    kinds = ("model", "prompt", "policy", "routing", "index", "corpus")
    for n in range(2_000):
        at = START_US + n * 20 * 60_000_000
        change = Change(
            id=f"CHG-{n:05}",
            at_us=at,
            kind=chosen.choice(kinds),
            title=f"change number {n}",
            app="support",
            author="ci",
        )
        ledger.put(change, now_us=at, by="ci")
    for n in range(3_000):
        at = START_US + n * 10 * 60_000_000
        question = f"question number {n} about {chosen.choice(kinds)}"
        ledger.put(
            Failure(id=f"F-{n:05}", captured_us=at, app="support", question=question, answer="no", reason="refusal"),
            now_us=at, by="andon",
        )  # fmt: skip
    for n in range(2_000):
        case = Case(
            question=f"case number {n}", answer=None, contexts=(), ground_truth="yes", source="by hand", failure_reason="",
            added_date="2026-10-01", id=f"G-{n:05}", app="support", risk_category=chosen.choice(("low", "high")),
        )  # fmt: skip
        ledger.put(case, now_us=END_US, by="Ada")
    for n in range(40):
        lever = Lever(id=f"support.lever-{n:02}", kind="boolean", default=True, safe=False, app="support")
        levers.declare(ledger, lever, START_US, "Ada")
    for n in range(8):
        levers.hold(
            ledger,
            f"support.lever-{n:02}",
            False,
            why="it harms",
            by="Rob",
            until_us=END_US + HOUR_US,
            now_us=END_US - HOUR_US,
        )


def _places(folder: Path) -> dict[str, Callable[[random.Random], str]]:
    ledger = Ledger.open(folder / "ledger.db")
    signals = [s.monitor for s in ledger.all(Signal)]
    incidents = [i.id for i in ledger.all(Investigation)]
    entries = [e.entry for e in ledger.trail(["Change"], limit=200) if e.id.startswith("CHG-")]
    compared = measured_places(ledger)
    ledger.close()
    loop = open_loop(replace(load({}), home=folder, embedder="hashed"))
    rows = loop.warehouse.run(
        Slice(table="interactions", columns=("id", "time_us"), limit=200, newest_first=True)
    ).to_pylist()
    loop.close()

    def stretch(chosen: random.Random) -> dict[str, str]:
        end = START_US + chosen.randrange(2 * 24, 30 * 24) * HOUR_US
        return {"from": _iso(end - 24 * HOUR_US), "to": _iso(end)}

    def monitor(chosen: random.Random) -> str:
        return f"/monitors/{quote(chosen.choice(signals), safe='')}"

    def story(chosen: random.Random) -> str:
        row = chosen.choice(rows)
        return f"/traffic/{quote(row['id'], safe='')}?at={row['time_us']}"

    def pair(chosen: random.Random) -> str:
        one, other = chosen.sample(rows, 2)
        query = {"a": one["id"], "a_at": one["time_us"], "b": other["id"], "b_at": other["time_us"]}
        return f"/traffic/compare?{urlencode(query)}"

    apps = ("support", "contracts", "billing", "clinic-triage")
    return {
        "home": lambda _: "/",
        "monitors": lambda c: "/monitors?" + urlencode({"text": c.choice(apps)}),
        "monitor": monitor,
        "traffic": lambda _: "/traffic",
        "traffic by app": lambda c: "/traffic?" + urlencode({"app": c.choice(apps), **stretch(c)}),
        "traffic by word": lambda c: "/traffic?" + urlencode({"question": c.choice(("bran", "cor", "zephyrgrade"))}),
        "traffic by score": lambda c: "/traffic?" + urlencode({"app": c.choice(apps), "score": "refusal>=0.5"}),
        "interaction": story,
        "two interactions": pair,
        "changes": lambda _: "/changes",
        "change": lambda c: f"/changes/CHG-{c.randrange(2_000):05}",
        "incidents": lambda _: "/incidents",
        "incident": lambda c: f"/incidents/{c.choice(incidents)}",
        "timeline": lambda c: f"/incidents/{c.choice(incidents)}/timeline",
        "levers": lambda _: "/levers",
        "lever": lambda c: f"/levers/support.lever-{c.randrange(40):02}",
        "postmortems": lambda _: "/postmortems",
        "postmortem": lambda c: f"/postmortems/{c.choice(incidents)}",
        "actions": lambda _: "/actions",
        "labels": lambda _: "/labels",
        "label list": lambda _: "/labels/list",
        "golden": lambda _: "/golden",
        "case": lambda c: f"/golden/G-{c.randrange(2000):05}",
        **compared,
        "settings": lambda _: "/settings",
        "audit": lambda _: "/settings/audit",
        "audit entry": lambda c: f"/settings/audit/{c.choice(entries)}",
    }


def _iso(us: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(us / 1e6))


@contextmanager
def _serving(folder: Path) -> Iterator[tuple[int, str]]:
    ledger = Ledger.open(folder / "ledger.db")
    assert owned(ledger)
    _, secret = sign_in(ledger, PEOPLE, PASSWORD, now_us=END_US)
    ledger.close()
    command = [sys.executable, "-m", "bench.web_server", str(folder), str(END_US)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        yield port, f"andon_session={secret}; andon_zone=UTC"
    finally:
        process.kill()
        process.wait()


def _p95(name: str, port: int, cookie: str, place: Callable[[random.Random], str]) -> tuple[float, float, int]:
    """Median and 95th percentile in milliseconds, and the largest answer in bytes as it was sent."""
    chosen, took, size = random.Random(1), [], 0
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    for _ in range(TIMES + 2):  # the first two are what a cache costs; they are told apart
        path = place(chosen)
        begun = time.perf_counter()
        connection.request("GET", path, headers={"cookie": cookie, "accept-encoding": "gzip"})
        answer = connection.getresponse()
        body = answer.read()
        took.append((time.perf_counter() - begun) * 1e3)
        assert answer.status in (200, 303), (name, path, answer.status, body[:300])
        size = max(size, len(body))
    page = gzip.decompress(body) if answer.getheader("content-encoding") == "gzip" else body
    assert FILLED.get(name, "").encode() in page, (name, path, FILLED[name])
    connection.close()
    note(f"{name}: the first took {took[0]:.0f} ms")
    return statistics.median(took[2:]), sorted(took[2:])[int(0.95 * TIMES) - 1], size


def _weight(port: int, cookie: str) -> int:
    """Bytes of the style sheets, scripts and drawings that the first page brings with it."""
    total = 0
    for name in ("tokens.css", "andon.css", "andon.js", "live.js", "keys.js", "icons.svg", "lamp-red.svg"):
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", f"/static/{name}", headers={"cookie": cookie})
        total += len(connection.getresponse().read())
        connection.close()
    return total
