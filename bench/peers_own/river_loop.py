"""In river's environment: seconds per update of its detectors on binary values, as a loop that asks for the flag."""

import json
import random
import sys
import time

from river import __version__, drift


def main(count: int) -> None:
    """Time the detectors on the same values."""
    rng = random.Random(0)
    values = [int(rng.random() < 0.05) for _ in range(count)]
    found = {"version": __version__}
    for name, make in (("ADWIN", drift.ADWIN), ("PageHinkley", drift.PageHinkley)):
        seconds = []
        for _ in range(3):
            detector = make()
            begun = time.perf_counter()
            for value in values:
                detector.update(value)
                if detector.drift_detected:
                    pass
            seconds.append(time.perf_counter() - begun)
        found[name] = min(seconds) / count
    print(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]))
