"""Is harm found, how soon, and what does looking cost? Against charts of the books, river, Evidently and what is possible.

Speed comes first, while nothing else runs; then delays, where the peers work on one core and we on the other.
"""

from bench.detection_delay import run_delays
from bench.detection_speed import run_speed

__all__ = ["run"]


def run() -> None:
    """All figures of detection."""
    run_speed()
    run_delays()
