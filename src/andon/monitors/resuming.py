"""The charts as they stand, as one Arrow table, so that another process goes on where one stopped.

Turned again from the first window they would be the same: the table saves the time, and is worth nothing else. It is not
made of pickles: whoever can write where it lies must not be able to run code here.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from andon import stats
from andon.monitors.charts import Charts
from andon.monitors.counting import Counting
from andon.monitors.history import History
from andon.monitors.records import Monitor

__all__ = ["resume", "standing"]

KEY = b"andon"
SLOTS, WAITING = "slots ", "waiting "
REFERENCE = ("bins", "below", "upto")
"""Fields of a reference."""

Array = NDArray[Any]


def standing(charts: Charts, counting: Counting, mark: str, **more: Any) -> pa.Table:
    """What charts and their counting hold.

    Args:
        charts: whose windows were all turned up to now.
        counting: that of these charts.
        mark: of what they depend on beside their counts; who takes them over must have the same.
        more: JSON values that are given back.
    """
    history, k, apps = charts._history, len(charts.monitors), len(charts._apps)
    arrays = {f"charts {name}": a for name, a in _arrays(charts)}
    for name, a in _arrays(history):  # its rings have room to spare
        arrays[f"history {name}"] = a[:, : apps if name == "_weekend" else k]
    arrays |= {
        f"counting {name}": a for name, a in _arrays(counting) if name != "_tops"
    }  # which is of the last windows read
    arrays |= {SLOTS + json.dumps(stream): a for stream, a in counting._slots.items()}
    for key, reference in counting._references.items():
        arrays |= {f"{part} {json.dumps(key)}": getattr(reference, part) for part in REFERENCE}
    arrays |= {WAITING + json.dumps(key): np.concatenate(rows) for key, rows in counting._waiting.items()}
    told = {
        "mark": mark, "more": more, "monitors": [asdict(m) for m in charts.monitors],
        "quiet": sorted(charts._index[m] for m in charts.quiet), "apps": list(charts._apps), "hour": charts._hour,
        "last": history._last, "names": counting._names, "full": sorted(counting._full), "copies": counting._copies,
    }  # fmt: skip
    return pa.table(
        {
            "name": list(arrays),
            "dtype": [a.dtype.str for a in arrays.values()],
            "shape": pa.array([list(a.shape) for a in arrays.values()], pa.list_(pa.int64())),
            "data": pa.array([a.tobytes() for a in arrays.values()], pa.large_binary()),
        },
        metadata={KEY: json.dumps(told).encode()},
    )


def resume(
    table: pa.Table | None, charts: Charts, counting: Counting, mark: str, fits: Callable[[dict[str, Any]], bool]
) -> dict[str, Any] | None:
    """Let new charts and their counting go on from what a table holds; returns what was given with it.

    None, and they stay as they are, where there is no table, or one of another mark, or what was given with it does not fit:
    then they have to be turned again.
    """
    told = {} if table is None else json.loads((table.schema.metadata or {}).get(KEY, b"{}"))
    if table is None or told.get("mark") != mark or not fits(told["more"]):
        return None
    arrays = {
        name: np.frombuffer(data, dtype).reshape(shape).copy()
        for name, dtype, shape, data in zip(*(table[c].to_pylist() for c in table.column_names), strict=True)
    }
    monitors = [Monitor(**{**m, "scope": _pairs(m["scope"])}) for m in told["monitors"]]
    quiet = set(told["quiet"])
    for i, monitor in enumerate(monitors):
        charts.index(monitor, quiet=i in quiet)
    charts._apps = {(app, environment): i for i, (app, environment) in enumerate(told["apps"])}
    charts._hour, charts._history._last = told["hour"], told["last"]
    counting._names = [(app, environment, _pairs(scope)) for app, environment, scope in told["names"]]
    counting._parts = {part: i for i, part in enumerate(counting._names)}
    counting._of.update(tuple(name for name, _ in scope) for _, _, scope in counting._names)
    counting._full = {tuple(fields) for fields in told["full"]}
    counting._copies = [(chart, copy) for chart, copy in told["copies"]]
    holders = {"charts": charts, "history": charts._history, "counting": counting}
    for name, array in arrays.items():
        of, _, rest = name.partition(" ")
        if of in holders:
            setattr(holders[of], rest, array)
        elif name.startswith(SLOTS):
            metric, direction, aspect = json.loads(rest)
            counting._slots[metric, direction, aspect] = array
        elif name.startswith(WAITING):
            counting._waiting[_key(rest)] = [array]
        elif of == REFERENCE[0]:
            parts = {part: arrays[f"{part} {rest}"] for part in REFERENCE}
            counting._references[_key(rest)] = stats.Ridits(**parts)
    return dict(told["more"])


def _arrays(holder: Charts | History | Counting) -> Iterable[tuple[str, Array]]:
    return ((name, a) for name, a in vars(holder).items() if isinstance(a, np.ndarray))


def _pairs(scope: Iterable[Iterable[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((str(name), str(value)) for name, value in scope)


def _key(text: str) -> tuple[str, str, tuple[tuple[str, str], ...], str]:
    app, environment, scope, metric = json.loads(text)
    return app, environment, _pairs(scope), metric
