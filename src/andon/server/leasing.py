"""Which replica turns the loop: whoever holds the lease, and nobody else writes in its name."""

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from andon.errors import AndonError, StoreError
from andon.server.background import Repeated
from andon.store import LEASE_S, Lease, Ledger

__all__ = ["Leased", "hold_loop", "replica_name"]

LOOP = "loop"

OVERTAKEN = 3
"""Status of a process that ended because another replica had taken over."""

SPARE = 10
"""Such a part of the lease is left when a process ends that could not renew it."""

TELL_S = 0.2
"""How long it has for a line in the log."""

_log = logging.getLogger("andon")


def replica_name() -> str:
    """How this process is called where replicas are told apart; no other one is called so."""
    return f"{socket.gethostname()} {os.getpid()} {secrets.token_hex(4)}"


class Leased:
    """The work of whoever holds the lease, in this process: begun once it does, and its end is the end of the process."""

    def __init__(self, ledger: Ledger, work: Sequence[Repeated], replica: str, lease_s: float = LEASE_S) -> None:
        """Nothing is begun yet.

        Args:
            ledger: that of the work; from now on nobody writes through it who does not hold the lease.
            work: what is done.
            replica: name of this process.
            lease_s: how long the lease lasts.
        """
        self._lease, self._work, self._began = Lease(ledger, LOOP, replica, lease_s), work, False
        self._spare_s, self._given_back = lease_s / SPARE, threading.Event()
        ledger.guard = self._lease.guard

    def look(self) -> dict[str, Any]:
        """Take or renew the lease, and begin the work once it is there; ends the process where it was lost. Call it each second."""
        try:
            if self._lease.take() and not self._lease.held:  # the database let us wait for longer than a lease lasts
                self._lease.take()
        except StoreError as error:
            if not self._began or self._lease.held:
                return {"problems": [f"loop: the lease could not be taken or renewed ({error})"]}
        if self._began and not self._lease.held:
            _end(f"the loop is turned by {self._lease.other or 'another replica'} now")
        if not self._began and self._lease.held:
            self._began = True
            threading.Thread(target=self._watch, name="andon-watchdog", daemon=True).start()
            for w in self._work:
                w.start()
        return {"waits_for": self._lease.other}

    def give_back(self) -> None:
        """Let another replica go on at once."""
        self._given_back.set()
        if self._lease.held:
            with suppress(AndonError):
                self._lease.release()

    def _watch(self) -> None:
        """End the process before the lease is over, by its steady clock alone: `look` may wait for the database for longer than that."""
        while (rest_s := self._lease.left_s - self._spare_s) > 0:
            if self._given_back.wait(rest_s):
                return
        if not self._given_back.is_set():
            _end("the lease could not be renewed in time, so the loop may be turned by another replica now")


def _end(why: str) -> None:
    """End the process at once: whatever its threads believe is of a past that ended without them. Not even a log may hold it up."""
    threading.Thread(target=_log.warning, args=("%s; this process ends", why), daemon=True).start()
    time.sleep(TELL_S)
    os._exit(OVERTAKEN)


@contextmanager
def hold_loop(ledger: Ledger) -> Iterator[str]:
    """Hold the lease within the block, which may turn the loop once; gives the name of who holds it where it is another one.

    Where it is lost within the block, nothing more is written through this ledger, also where nobody holds it any more: see
    `Ledger.guard`.

    Raises:
        StoreError: the ledger cannot be written.
    """
    lease, ended = Lease(ledger, LOOP, replica_name()), threading.Event()

    def renew() -> None:
        while not ended.wait(LEASE_S / 4):
            with suppress(StoreError):
                if not lease.take():
                    return  # the guard says so to whoever writes

    if not lease.take():
        yield lease.other
        return
    renewing = threading.Thread(target=renew, name="andon-lease", daemon=True)
    ledger.guard = lease.guard
    renewing.start()
    try:
        yield ""
    finally:
        ended.set()
        renewing.join()
        ledger.guard = None
        if lease.held:
            lease.release()
