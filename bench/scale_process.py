"""One measurement of `bench.scale`, in a process of its own: prints JSON."""

import json
import re
import resource
import shutil
import sqlite3
import sys
import time
import zlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from andon.incidents import Incident
from andon.loop import Loop, open_loop
from andon.monitors.records import NewNormal, Signal
from andon.monitors.run.watching import WatchCursor
from andon.settings import Settings
from andon.store import Histogram, Rollup, open_warehouse
from andon.traffic import SCHEMAS
from andon.traffic.run import record
from bench.figures import ROOT
from bench.web_store import END_US

SECOND_US, MINUTE_US, DAY_US = 1_000_000, 60_000_000, 86_400_000_000
BEGIN_US = END_US + 6 * MINUTE_US
"""Turns begin here: the first start adds what lies between."""
KEYS = ("app", "task", "risk_category")

CAUGHT_UP = 2_000
"""Interactions of a turn that has much to catch up with."""


def main(words: list[str]) -> int:
    """Measure."""
    what, folder, *more = words
    ways: dict[str, Callable[[], dict[str, Any]]] = {
        "start": lambda: _start(Path(folder), first=True),
        "again": lambda: _start(Path(folder), first=False),
        "turns": lambda: _turns(Path(folder)),
        "storm": lambda: _storm(Path(folder)),
        "cold": lambda: _cold(Path(folder)),
        "rate": lambda: _rate(Path(folder), more[0]),
        "backfill": lambda: _backfill(Path(folder), more[0]),
    }
    told = ways[what]()
    told["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(told))
    return 0


def _loop(folder: Path) -> Loop:
    return open_loop(Settings(home=folder))


def _start(folder: Path, *, first: bool) -> dict[str, Any]:
    """Charts up to the end of the store: of all history, or from how they were kept.

    What comes after the end is scored by scorers, and all before was drawn: so it is accepted as a new normal, and charts go on
    without a signal. A turn follows, so that topics are learned. Both are done once, and not told.
    """
    if first:
        shutil.rmtree(folder / "standing", ignore_errors=True)
    began, loop = time.perf_counter(), _loop(folder)
    loop._watch.advance(END_US)
    loop._watch.done()
    took, (watching, learning) = time.perf_counter() - began, loop.charts
    if first:
        now = NewNormal(id="drawn", monitor="*", from_us=END_US, accepted_us=END_US, why="drawn until here", by="bench")
        loop.ledger.put(now, now_us=END_US, by="bench")
        _more(loop, END_US, BEGIN_US)
        loop.turn((), count(BEGIN_US).__next__)
    return {"seconds": took, "charts": watching + learning}


def _more(loop: Loop, start_us: int, end_us: int, **fields: Any) -> int:
    """Take in traffic after the end of the store as it came a day before, but for some fields; returns how many interactions.

    What they say is as long as it was, and English, as it is scored: a made-up language has twice as many word pieces.
    """
    from andon.store import Slice, Span
    from andon.traffic.rows import from_rows

    span = Span(start_us=start_us - DAY_US, end_us=end_us - DAY_US)
    found = from_rows(
        loop.warehouse.run(Slice(table="interactions", columns=tuple(SCHEMAS["interactions"].names), span=span))
    )
    prose = _prose()
    record(
        loop.warehouse,
        [
            replace(
                i,
                id=f"again-{i.id}",
                trace_id=None,
                time_us=i.time_us + DAY_US,
                **{
                    "query": prose(f"{i.id}/query", i.query),
                    "answer": prose(f"{i.id}/answer", i.answer),
                    **fields,
                },
            )
            for i in found
        ],
    )
    return len(found)


@cache
def _prose() -> Callable[[str, str | None], str | None]:
    """As many characters of the guides' words as a text has, another place for each name."""
    guides = " ".join(p.read_text(encoding="utf-8") for p in sorted((ROOT / "docs" / "how-to").glob("*.md")))
    words = " ".join(re.findall(r"[A-Za-z']+", guides))

    def prose(name: str, text: str | None) -> str | None:
        if text is None:
            return None
        begin = words.index(" ", zlib.crc32(name.encode()) % (len(words) - 20_000)) + 1
        return words[begin : begin + min(len(text), 19_000)]

    return prose


def _turns(folder: Path) -> dict[str, Any]:
    """Turns of a loop that has run for a while: of a service, every five seconds, and the one that ends a window."""
    work = _copy(folder)
    loop, seconds, windows, taken = _loop(work), [], [], 0
    at_us = BEGIN_US
    fives = [5] * 20
    steps = [s * SECOND_US for s in (*fives, 160, *fives, 200, *fives)]  # windows end among the second and third twenty
    for step in steps:
        taken = _more(loop, at_us, at_us + step)
        at_us += step
        began, before = time.perf_counter(), loop.ledger.get(WatchCursor, "monitors")
        loop.turn((), count(at_us).__next__)
        took = time.perf_counter() - began
        if step == 5 * SECOND_US and at_us > BEGIN_US + MINUTE_US:  # the first ones open what the rest has open
            (seconds if loop.ledger.get(WatchCursor, "monitors") == before else windows).append(took)
    incidents = len(loop.ledger.all(Incident))
    began = time.perf_counter()
    loop.capture_due(END_US + 26 * 60 * MINUTE_US)
    captured = time.perf_counter() - began
    shutil.rmtree(work)
    return {"seconds": seconds, "windows": windows, "rows": taken, "incidents": incidents, "captured": captured}


def _storm(folder: Path) -> dict[str, Any]:
    """A quarter of an hour in which every answer of every application fails, late: the turn in which most charts signal."""
    work = _copy(folder)
    with closing(sqlite3.connect(work / "ledger.db")) as ledger, ledger:  # what was drawn is what is usual
        ledger.execute("DELETE FROM versions WHERE kind = 'NewNormal'")
    loop, at_us, turns = _loop(work), BEGIN_US, []
    for _ in range(15):
        _more(loop, at_us, at_us + MINUTE_US, error="timeout", answer=None, latency_s=60.0)
        at_us += MINUTE_US
        began, before = time.perf_counter(), len(loop.ledger.all(Signal))
        loop.turn((), count(at_us).__next__)
        turns.append((len(loop.ledger.all(Signal)) - before, time.perf_counter() - began))
    incidents = len(loop.ledger.all(Incident))
    shutil.rmtree(work)
    return {"signals": max(turns)[0], "seconds": max(turns)[1], "all": sum(n for n, _ in turns), "incidents": incidents}


def _cold(folder: Path) -> dict[str, Any]:
    """A process that starts, turns the loop once for a minute of traffic, and ends: what a scheduler runs."""
    work = _copy(folder)
    loop = _loop(work)
    _more(loop, BEGIN_US, BEGIN_US + MINUTE_US)
    loop.close()
    began = time.perf_counter()
    code = (
        "import sys; from itertools import count; from pathlib import Path; from andon.loop import open_loop; "
        "from andon.settings import Settings; loop = open_loop(Settings(home=Path(sys.argv[1]))); "
        f"loop.turn((), count({BEGIN_US + MINUTE_US}).__next__); loop.close()"
    )
    import subprocess

    subprocess.run([sys.executable, "-c", code, str(work)], check=True)
    wall = time.perf_counter() - began
    shutil.rmtree(work)
    return {"wall": wall}


def _rate(folder: Path, embedder: str) -> dict[str, Any]:
    """One turn that has much to catch up with: how much of a processor an interaction takes, judged windows included."""
    work = _copy(folder)
    loop, at_us, taken = open_loop(Settings(home=work, embedder=embedder)), BEGIN_US, 0
    while not taken:  # a first turn learns topics, and has them ready
        taken = _more(loop, at_us, at_us + MINUTE_US)
        at_us += MINUTE_US
    loop.turn((), count(at_us).__next__)
    taken = 0
    while taken < CAUGHT_UP:
        taken += _more(loop, at_us, at_us + MINUTE_US)
        at_us += MINUTE_US
    began, busy = time.perf_counter(), time.process_time()
    loop.turn((), count(at_us).__next__)
    seconds, busy = time.perf_counter() - began, time.process_time() - busy
    shutil.rmtree(work)
    return {"per_s": taken / seconds, "cpu_ms": 1000 * busy / taken, "rows": taken}


def _copy(folder: Path) -> Path:
    """A store that may be changed: its data files are the same ones."""
    work = folder.parent / f"{folder.name}-work"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(
        folder,
        work,
        copy_function=lambda a, b: Path(b).hardlink_to(a) if a.endswith(".parquet") else shutil.copy2(a, b),
    )
    return work


def _backfill(folder: Path, engine: str) -> dict[str, Any]:
    """Rates and a histogram by five minutes over everything."""
    from andon.scores import score_schema
    from andon.scores.run import installed_scorers

    if engine == "duckdb":
        from andon.store.duck import Duck

        answers: Any = Duck()
    else:
        from andon.store.daft_ import Daft

        answers = Daft(None if engine == "daft" else engine)
    store = open_warehouse(Settings(home=folder), {**SCHEMAS, "scores": score_schema(installed_scorers())})
    binary = tuple(s.name for s in installed_scorers() if s.kind == "binary")[:8]
    plans = [
        Rollup(table="scores", metrics=binary, measures=("n", "sum"), keys=KEYS, window_us=5 * MINUTE_US),
        Histogram(table="scores", metric="latency_s", keys=("app",), window_us=60 * MINUTE_US),
    ]
    groups = []
    for plan in plans[:1]:  # once to connect, and to have the files in memory
        answers.run(replace(plan, keys=(), window_us=None), store._files(plan, here=True), store.schema("scores"))
    began = time.perf_counter()
    for plan in plans:
        groups.append(answers.run(plan, store._files(plan, here=True), store.schema("scores")).num_rows)
    return {"seconds": time.perf_counter() - began, "groups": groups}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
