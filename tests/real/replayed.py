"""Real rows as traffic: a stable period, then what really changed, and what the charts said of it.

The rows are real, the pace is ours: rows are drawn with replacement, seeded, and arrive at random with a daily wave of
volume. Everything goes through the loop as an application's traffic would.
"""

import gzip
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from andon.incidents import Incident
from andon.loop import open_loop, replay
from andon.monitors import Signal
from andon.settings import Settings

Row = dict[str, Any]

START_US = 1_717_372_800_000_000
"""Monday, 3 June 2024, 00:00 UTC."""
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US


def rows_of(path: Path) -> list[Row]:
    """The rows of a JSONL file, gzipped or not."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


@dataclass(frozen=True, kw_only=True)
class Played:
    """What came of a replay; warnings are kept apart from pages."""

    signals: list[Signal]
    incidents: list[Incident]
    switch_us: int
    end_us: int

    @property
    def pages(self) -> list[Signal]:
        """Signals that wake somebody up."""
        return [s for s in self.signals if s.level == "page"]

    @property
    def early(self) -> list[Signal]:
        """Pages before anything changed: every one is false."""
        return [s for s in self.pages if s.at_us <= self.switch_us]

    @property
    def late(self) -> list[Signal]:
        """Pages after the switch."""
        return [s for s in self.pages if s.at_us > self.switch_us]

    def of(self, metric: str, direction: str, *, aspect: str = "", **scope: str) -> Signal | None:
        """The first page since the switch of exactly this chart; of a number the typical value, unless its tail is asked for."""
        return next((s for s in self.late if _is(s, metric, direction, aspect, scope)), None)

    def warning(self, metric: str, direction: str, *, aspect: str = "", **scope: str) -> Signal | None:
        """The first signal of either kind since the switch of exactly this chart."""
        late = (s for s in self.signals if s.at_us > self.switch_us)
        return next((s for s in late if _is(s, metric, direction, aspect, scope)), None)

    def holds(self, signal: Signal) -> bool:
        """Whether the onset interval of a signal holds the switch."""
        return signal.onset_low_us <= self.switch_us < signal.onset_high_us

    def onsets(self) -> float:
        """Share of the late pages whose onset interval holds the switch."""
        return float(np.mean([self.holds(s) for s in self.late]))


def _is(signal: Signal, metric: str, direction: str, aspect: str, scope: dict[str, str]) -> bool:
    return (signal.metric, signal.direction, signal.aspect, signal.scope) == (metric, direction, aspect, scope)


def play(
    home: Path,
    before: Sequence[Row],
    after: Sequence[Row],
    *,
    per_hour: float,
    days: tuple[int, int] = (10, 3),
    seed: int = 0,
) -> Played:
    """Replay `days[0]` days of rows drawn from `before`, then `days[1]` days from `after`; a row's `_thumb` is feedback."""
    rng = np.random.default_rng(seed)
    switch_us, end_us = START_US + days[0] * DAY_US, START_US + sum(days) * DAY_US
    traffic, thumbs = [], []
    for rows, start, end in ((before, START_US, switch_us), (after, switch_us, end_us)):
        times = arrivals(rng, start, end, per_hour)
        for at, pick in zip(times, rng.integers(0, len(rows), len(times)), strict=True):
            row, number = rows[int(pick)], len(traffic)
            traffic.append({"id": f"r{number:06d}", "time": at, **{k: v for k, v in row.items() if k[0] != "_"}})
            if "_thumb" in row:
                about = {"id": f"f{number:06d}", "interaction_id": f"r{number:06d}", "time": at, "kind": "thumb"}
                thumbs.append({**about, "value": float(row["_thumb"])})
    return Played(**run(home, traffic, thumbs), switch_us=switch_us, end_us=end_us)


def arrivals(rng: np.random.Generator, start_us: int, end_us: int, per_hour: float) -> list[int]:
    """Random times between two, so many an hour on average, half as many again by day and half as many by night."""
    hours = np.arange(start_us, end_us, HOUR_US)
    pace = per_hour * (1 - 0.5 * np.cos(2 * np.pi * (hours % DAY_US) / DAY_US))
    count = rng.poisson(pace)
    return sorted(int(t) for t in np.repeat(hours, count) + rng.integers(0, HOUR_US, int(count.sum())))


def run(home: Path, traffic: Iterable[Row], feedback: Iterable[Row], window_s: int = 300) -> dict[str, Any]:
    """Replay rows through a loop of its own, with one false page a month accepted; signals and incidents."""
    home.mkdir(parents=True, exist_ok=True)
    files = {"traffic": traffic, "feedback": feedback}
    for name, rows in files.items():
        with (home / f"{name}.jsonl").open("w", encoding="utf-8") as out:
            out.writelines(json.dumps(row) + "\n" for row in rows)
    loop = open_loop(Settings(home=home / "store", embedder="hashed", window_s=window_s))
    try:
        given = [home / "feedback.jsonl"] if (home / "feedback.jsonl").stat().st_size else []
        result = replay(loop, [home / "traffic.jsonl"], feedback=given)
        signals = sorted(loop.ledger.all(Signal), key=lambda s: (s.at_us, s.id))
        return {"signals": signals, "incidents": list(result.incidents)}
    finally:
        loop.close()


def tell(
    name: str, played: Played, expected: str, metric: str, direction: str, *, aspect: str = "", **scope: str
) -> Signal | None:
    """Print one line of the table in `docs/methods/real-data.md`; returns the page, if there was one."""
    page = played.of(metric, direction, aspect=aspect, **scope)
    signal = page or played.warning(metric, direction, aspect=aspect, **scope)
    said, onset = "silent", ""
    if signal is not None:
        lag = (signal.at_us - played.switch_us) / HOUR_US
        low, high = ((t - played.switch_us) / HOUR_US for t in (signal.onset_low_us, signal.onset_high_us))
        said = f"{'page' if page else 'warning only'} after {lag:.1f} h"
        onset = f"{low:+.1f} to {high:+.1f} h{'' if played.holds(signal) else ': misses'}"
    what = ", ".join(filter(None, (direction, aspect)))
    say(f"| {name}: `{metric}` {what} | {expected} | {said} | {onset} |")
    return page


def summary(name: str, played: Played) -> None:
    """Print what all charts of a replay said together."""
    held = f"{played.onsets():.0%} of their onset intervals hold the switch" if played.late else "no onset"
    first = f" (first after {(played.late[0].at_us - played.switch_us) / HOUR_US:.1f} h)" if played.late else ""
    warnings = [s for s in played.signals if s.level == "warning"]
    soon = sum(s.at_us <= played.switch_us for s in warnings)
    say(
        f"== {name}: before {len(played.early)} pages and {soon} warnings, after {len(played.late)} pages{first} and"
        f" {len(warnings) - soon} warnings, {held}, {len(played.incidents)} incidents"
    )
    for s in (x for x in played.signals if x.at_us <= played.switch_us):
        say(
            f"   early {s.level} {s.monitor} at {(s.at_us - START_US) / DAY_US:.2f} d,"
            f" {s.baseline_x} of {s.baseline_n} to {s.x} of {s.n}"
        )


def say(text: str) -> None:
    """Write one line: `pytest -s` shows it."""
    sys.stdout.write(text + "\n")
