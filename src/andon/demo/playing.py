"""What turns the loop while the stories are played live: it feeds their traffic on a clock of its own that catches up with the real one."""

import json
import logging
import os
import time
import urllib.request
from collections.abc import Mapping
from typing import Any

import numpy as np

from andon.changes.run import record_change
from andon.demo.staging import CAMPAIGN, LEVER, LIVE_S, LIVE_US, READY_S, Stage, next_us, rests, stage
from andon.demo.stories import STORIES
from andon.levers import Lever
from andon.levers.run import declare
from andon.loop import Loop, open_loop
from andon.server.background import Repeated, now_us
from andon.server.crank import TICK_S, Turned, told_of
from andon.settings import Settings
from andon.traffic.run import record

__all__ = ["Player", "turned"]

STEPS = 8
"""Turns of the loop over what was before."""

BATCH = 5_000
_log = logging.getLogger("andon")


class Player:
    """Plays the stories into one store. The first step takes in what was before; each later one plays on."""

    def __init__(self, loop: Loop, address: str, seed: int = 0) -> None:
        """Nothing is played yet.

        Args:
            loop: of an empty store.
            address: where levers are read, as the simulated application does; empty: nowhere.
            seed: of the stories.
        """
        self.lag_us = LIVE_US
        """How far the clock of the demo is behind."""
        self._loop, self._address, self._seed = loop, address, seed
        self._end_us = now_us() + int((READY_S + LIVE_S) * 1e6)
        self._stage: Stage | None = None
        self._at_us, self._stepped_s = 0, 0.0

    def told(self) -> Mapping[str, Any]:
        """What the serving process needs to know."""
        return {**told_of(self._loop), "lag_us": self.lag_us}

    def step(self) -> None:
        """Play what comes next, and turn the loop once."""
        if self._stage is None:
            self._stage = self._before()
            return
        now_s = time.monotonic()
        if rests(self.lag_us, now_s - self._stepped_s):
            return
        until_us = next_us(self._at_us, now_us(), now_s - self._stepped_s)
        self._stepped_s = now_s
        self._feed(self._stage, self._at_us, until_us)
        self._at_us = until_us
        try:
            self._loop.turn((), lambda: until_us)
        finally:
            self.lag_us = max(0, now_us() - until_us)

    def capture(self) -> None:
        """Capture what failed, as far as it was played: beside the turns, as a service does."""
        if self._stage is not None:
            self._loop.capture_due(self._at_us)

    def _before(self) -> Stage:
        """Take in everything up to now, and learn from it."""
        stories = [simulate(np.random.default_rng([self._seed, n])) for n, simulate in enumerate(STORIES.values())]
        staged = stage(stories, self._end_us)
        first_us = staged.traffic[0].time_us
        begin_us = now_us() - self.lag_us
        self._feed(staged, first_us, begin_us)
        for k in range(1, STEPS + 1):
            self._loop.tick(first_us + (begin_us - first_us) * k // STEPS)
        lever = Lever(
            id=LEVER, kind="boolean", default=True, safe=False, app="support",
            about="whether the bot takes conversations that the partner's campaign sends; false hands none of them to it",
        )  # fmt: skip
        declare(self._loop.ledger, lever, begin_us, "support-team")
        self._at_us, self._stepped_s = begin_us, time.monotonic()
        _log.info("the past is learned; %g hours are played in %g minutes from now on", LIVE_US / 3.6e9, LIVE_S / 60)
        return staged

    def _feed(self, staged: Stage, start_us: int, end_us: int) -> None:
        rows, changes = staged.between(start_us, end_us)
        if rows and not self._takes_campaign():
            rows = [r for r in rows if r.source != CAMPAIGN]
        for change in changes:
            record_change(self._loop.ledger, change, now_us=change.at_us, by=change.author)
        for start in range(0, len(rows), BATCH):
            record(self._loop.warehouse, rows[start : start + BATCH])

    def _takes_campaign(self) -> bool:
        """What the simulated bot is given for its lever, asked as any application asks."""
        if not self._address or self._stage is None:
            return True
        asked = json.dumps({"context": {"targetingKey": "demo", "app": "support"}}).encode()
        headers = {"content-type": "application/json"}
        if token := self._loop.settings.token:
            headers["authorization"] = f"Bearer {token}"
        request = urllib.request.Request(f"{self._address}/ofrep/v1/evaluate/flags/{LEVER}", asked, headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=2) as answer:  # noqa: S310 - our own address
                return json.loads(answer.read()).get("value") is not False
        except (OSError, ValueError):
            return True


def turned(settings: Settings) -> Turned:
    """The loop of a demo, for `andon.server.crank.turn_crank`."""
    os.nice(5)  # pages first
    loop = open_loop(settings)
    player = Player(loop, f"http://127.0.0.1:{settings.port}")
    work = [
        Repeated("stories", player.step, 0.1),
        Repeated("capture", player.capture, TICK_S),
        Repeated("compaction", loop.warehouse.tidy, 10.0),
    ]
    return Turned(warehouse=loop.warehouse, close=loop.close, work=work, told=player.told)
