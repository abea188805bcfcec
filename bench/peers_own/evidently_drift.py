"""In Evidently's environment: its default drift test of one column, on days of the bench, and how long a report takes.

Each example is an .npz file in the folder: how often each value came in the history and on some days.
"""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from evidently import Report
from evidently.metrics import ValueDrift


def column(counts: Any) -> pd.DataFrame:
    """The values themselves: 0 and 1 are whole numbers, a score is a multiple of a hundredth."""
    whole = np.repeat(np.arange(len(counts)), counts)
    return pd.DataFrame({"value": whole if len(counts) == 2 else whole / (len(counts) - 1)})


def main(folder: str) -> None:
    """Measure every example of a folder."""
    found: dict[str, Any] = {"version": version("evidently")}
    seconds = []
    for path in sorted(Path(folder).glob("*.npz")):
        data = np.load(path)
        before = column(data["before"])
        values = []
        for day in data["days"]:
            begun = time.perf_counter()
            snapshot = Report([ValueDrift(column="value")]).run(column(day), before)
            seconds.append(time.perf_counter() - begun)
            values.append(float(snapshot.dict()["metrics"][0]["value"]))
        found[path.stem] = values
    found["report_s"] = sorted(seconds)[len(seconds) // 2]
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
