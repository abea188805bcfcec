"""In river's environment: ADWIN and PageHinkley on the traffic of the bench, set to equal false alarms.

Each scenario is an .npz file in the folder. Values of an hour come in order; where only hours are there, an hour is one
value. The history comes first, as in life. One-sided, as all detectors that are compared: PageHinkley looks up only, and
a cut of ADWIN counts when what it keeps is worse than the history.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import __version__, drift

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.detection_rules import calibrate, delays, false_alarms

Stream = list[tuple[list[float], list[int], float]]
"""For each series its values, the hours in which they came, and the mean of its history."""

STEPS = 9


def adwin(threshold: float) -> Any:
    """ADWIN that looks at every value; the threshold is 1 / delta."""
    return drift.ADWIN(delta=1 / threshold, clock=1)


def page_hinkley(threshold: float) -> Any:
    """PageHinkley with its threshold, called lambda in its documents."""
    return drift.PageHinkley(threshold=threshold, mode="up")


DETECTORS = {
    "ADWIN": (adwin, drift.ADWIN, 1.0001, 1e30),
    "PageHinkley": (page_hinkley, lambda: drift.PageHinkley(mode="up"), 0.01, 1e5),
}


def stream(data: Any, part: str, rng: np.random.Generator) -> Stream:
    """The values of each series; where requests are counted, harm comes at random places within its hour."""
    found: Stream = []
    if f"{part}_value" in data:
        values = data[f"{part}_value"].astype(float)
        for k in range(values.shape[1]):
            known = np.flatnonzero(np.isfinite(values[:, k]))
            found.append((values[known, k].tolist(), known.tolist(), 0.0))
        return found
    x, n = data[f"{part}_x"], data[f"{part}_n"]
    history = int(data["history"])
    for k in range(x.shape[1]):
        hours = np.repeat(np.arange(len(n)), n[:, k])
        first = np.repeat(np.cumsum(n[:, k]) - n[:, k], n[:, k])
        order = np.lexsort((rng.random(len(hours)), hours))
        values = np.zeros(len(hours))
        values[order] = np.arange(len(hours)) - first < np.repeat(x[:, k], n[:, k])
        mean = x[:history, k].sum() / max(n[:history, k].sum(), 1)
        found.append((values.tolist(), hours.tolist(), float(mean)))
    return found


def alarms(make: Callable[[], Any], given: Stream, hours: int, history: int) -> NDArray[np.bool_]:
    """Hours of the future in which the detector tells of a rise, shape (hours, series)."""
    found = np.zeros((hours, len(given)), dtype=bool)
    for k, (values, when, mean) in enumerate(given):
        detector = make()
        for value, hour in zip(values, when, strict=True):
            detector.update(value)
            if detector.drift_detected and getattr(detector, "estimation", np.inf) > mean:
                found[hour, k] = True
    return found[history:]


def measure(path: Path) -> dict[str, Any]:
    """Both detectors on one scenario."""
    data = np.load(path)
    rng = np.random.default_rng(0)
    given = {part: stream(data, part, rng) for part in ("stable", "shifted")}
    return {name: compare(data, given, *made) for name, made in DETECTORS.items()}


def compare(
    data: Any,
    given: dict[str, Stream],
    at: Callable[[float], Any],
    usual: Callable[[], Any],
    low: float,
    high: float,
) -> dict[str, Any]:
    """One detector at the threshold of equal false alarms, and as it is delivered."""

    def found(part: str, make: Callable[[], Any]) -> NDArray[np.bool_]:
        return alarms(make, given[part], int(data[f"{part}_hours"]), int(data["history"]))

    threshold = calibrate(lambda level: found("stable", lambda: at(level)), low, high, STEPS)
    return {
        "threshold": threshold,
        "false_alarms": false_alarms(found("stable", lambda: at(threshold))),
        "usual_false_alarms": false_alarms(found("stable", usual)),
        "delays": delays(found("shifted", lambda: at(threshold)), data["start"]).tolist(),
    }


def main(folder: str) -> None:
    """Measure every scenario of a folder."""
    found: dict[str, Any] = {"version": __version__}
    for path in sorted(Path(folder).glob("*.npz")):
        found[path.stem] = measure(path)
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
