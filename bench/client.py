"""What `andon.client` costs the application that imports it."""

import json
import logging
import statistics
import subprocess
import sys

from andon.client import Andon
from bench.figures import best_s, figure

__all__ = ["run"]

CALLS = 5_000


def run() -> None:
    """Import, then the call that stands in the application's request."""
    ours, floor = _imports_ms("andon.client"), _imports_ms("json")
    figure("client.import_ms", ours, "ms", "import json", floor)
    row = {"query": "where is my order?", "answer": "on its way " * 40, "model": "model-1", "task": "orders"}
    logging.getLogger("andon").setLevel(logging.CRITICAL)
    client = Andon("http://127.0.0.1:9", app="bench", queue_size=100 * CALLS)  # port 9 discards; nothing answers
    call = best_s(lambda: [client.record(**row) for _ in range(CALLS)]) / CALLS
    encode = best_s(lambda: [json.dumps(row) for _ in range(CALLS)]) / CALLS
    client.close(timeout_s=0)
    figure("client.record_us", call * 1e6, "us", "json.dumps of the row", encode * 1e6)


def _imports_ms(module: str) -> float:
    """Median over new processes."""
    code = f"import time; a = time.perf_counter(); import {module}; print((time.perf_counter() - a) * 1000)"
    return statistics.median(
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(21)
    )
