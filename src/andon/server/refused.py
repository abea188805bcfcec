"""Lever reads that were not let in: an application with a wrong token runs on its code defaults, and would do so in silence."""

import logging
import time

from andon.api.errors import OFREP

__all__ = ["RefusedReads"]

MINUTES = 5
"""For so long refused reads are told of."""

_log = logging.getLogger("andon")


class RefusedReads:
    """How many were refused in each of the last minutes. All of it runs in the server's event loop."""

    def __init__(self) -> None:
        self._minutes: dict[int, int] = {}
        self._last = ""

    def note(self, path: str, why: str, client: str) -> None:
        """Count a request that was not let in, if it was to read levers; the log is told once a minute."""
        if not path.startswith(OFREP):
            return
        minute = int(time.monotonic() // 60)
        told = minute in self._minutes
        self._minutes[minute] = self._minutes.get(minute, 0) + 1
        self._last = f"the last of {client}: {why}"
        if not told:
            _log.warning("%s", self.warnings()[0])

    def warnings(self) -> list[str]:
        """What somebody must look at; nothing where none was refused lately."""
        minute = int(time.monotonic() // 60)
        self._minutes = {m: n for m, n in self._minutes.items() if m > minute - MINUTES}
        if not (count := sum(self._minutes.values())):
            return []
        s = "s were" if count > 1 else " was"
        return [
            f"{count:,} lever read{s} refused in the last {MINUTES} minutes, so some application is given no hold and runs on its code "
            f"defaults; {self._last}"
        ]
