"""Laws of the crank."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import create_engine, text

from andon.incidents import Incident
from andon.loop import Loop, open_loop, replay
from andon.monitors import Signal
from andon.settings import Settings
from andon.traffic import Interaction
from andon.traffic.run import record

START_US = 1_772_409_600_000_000
MINUTE_US = 60_000_000


def _traffic(hours: int = 4, seed: int = 0) -> list[Interaction]:
    """Ten interactions a minute; in the last hour a new model refuses half of what the old one answered."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(hours * 600):
        at = START_US + number * MINUTE_US // 10
        moved = number >= (hours - 1) * 600
        rows.append(
            Interaction(
                id=f"i{number:05d}",
                time_us=at,
                app="shop",
                query=f"question {number % 40}",
                answer="x",
                refused=bool(rng.random() < (0.5 if moved else 0.05)),
                requested_model="m",
                model="m-2" if moved else "m-1",
                latency_s=float(rng.lognormal()),
            )
        )
    return rows


def _loop(home: Path) -> Loop:
    return open_loop(Settings(home=home, window_s=60, settle_s=30, embedder="hashed"))


def _dump(home: Path) -> list[tuple[str, ...]]:
    """Every version of every record, without the cursors, whose number of versions is the number of ticks."""
    with create_engine(f"sqlite:///{home / 'ledger.db'}").connect() as connection:
        rows = connection.execute(text("select kind, id, version, at_us, author, body from versions")).fetchall()
    kept = [tuple(map(str, row)) for row in rows if not row[0].endswith("Cursor")]
    return sorted(kept)


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[Path]:
    """Fresh homes, one after the other."""
    return (tmp_path / str(k) for k in range(100))


@pytest.mark.slow
def test_the_pace_of_ticks_does_not_matter(homes: Iterator[Path]) -> None:
    """The same traffic gives the same records, byte for byte, whether the crank is turned once or forty times."""
    dumps = []
    for steps in (1, 3, 40):
        home = next(homes)
        loop = _loop(home)
        record(loop.warehouse, _traffic())
        replay(loop, (), steps=steps)
        loop.close()
        dumps.append([row for row in _dump(home) if row[0] not in ("Inventory", "ScorerSet")])
    assert dumps[0] == dumps[1] == dumps[2]
    assert any(row[0] == "Incident" for row in dumps[0])


def test_a_restart_between_ticks_changes_nothing(homes: Iterator[Path]) -> None:
    """A process that is replaced after every tick opens the same incidents as one that lives."""
    whole, broken = next(homes), next(homes)
    end = START_US + 5 * 60 * MINUTE_US
    for home, restarts in ((whole, False), (broken, True)):
        loop = _loop(home)
        record(loop.warehouse, _traffic())
        for k in range(1, 7):
            if restarts:
                loop.close()
                loop = _loop(home)
            loop.tick(START_US + (end - START_US) * k // 6)
        loop.close()
    assert [r for r in _dump(whole) if r[0] in ("Incident", "Signal")] == [
        r for r in _dump(broken) if r[0] in ("Incident", "Signal")
    ]


def test_traffic_that_comes_twice_changes_nothing(homes: Iterator[Path]) -> None:
    """Every row delivered twice, and shuffled, gives the same incidents as every row once."""
    once, twice = next(homes), next(homes)
    rows = _traffic()
    shuffled = [rows[k] for k in np.random.default_rng(1).permutation(len(rows))]
    for home, batches in ((once, [rows]), (twice, [shuffled, rows])):
        loop = _loop(home)
        for batch in batches:
            record(loop.warehouse, batch)
            loop.warehouse.commit()
        replay(loop, ())
        loop.close()
    kinds = ("Incident", "Signal", "Postmortem")
    assert [r for r in _dump(once) if r[0] in kinds] == [r for r in _dump(twice) if r[0] in kinds]


def test_a_stable_stream_opens_no_incident(homes: Iterator[Path]) -> None:
    """Traffic without a change raises no signal."""
    loop = _loop(next(homes))
    stable = [replace(i, refused=False, model="m-1") for i in _traffic(hours=6)]
    record(loop.warehouse, stable)
    replay(loop, ())
    assert loop.ledger.all(Signal) == []
    assert loop.ledger.all(Incident) == []
    loop.close()


def test_an_empty_store_is_quiet(homes: Iterator[Path]) -> None:
    """Ticks and a replay over nothing do nothing and raise nothing."""
    loop = _loop(next(homes))
    done = loop.tick(START_US)
    assert (done.scored, done.signals, done.incidents) == (0, 0, ())
    assert replay(loop, ()).incidents == ()
    loop.close()
