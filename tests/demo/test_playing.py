"""Laws of the stories that are played live."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import httpx2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.demo import STORIES
from andon.demo.serving import play
from andon.demo.staging import CAUGHT_UP_US, CUTS, LEVER, LIVE_US, STEP_US, next_us, rests, stage
from andon.errors import InputError
from andon.settings import load

END = 1_795_305_600_000_000


def test_every_story_is_on_one_clock() -> None:
    """All stories end together: harm of each begins as long before the end as is said, with the traffic of its baseline before it."""
    stories = [tell(np.random.default_rng([0, n])) for n, tell in enumerate(STORIES.values())]
    staged = stage(stories, END)
    assert set(CUTS) == set(STORIES)
    times = [t.time_us for t in staged.traffic]
    assert times == sorted(times)
    for story in stories:
        cut, mine = CUTS[story.name], [t for t in staged.traffic if t.app == story.name]
        began_us = END - cut.ago_us
        whole = [t for t in story.traffic if t.time_us >= story.began_us - cut.before_us]
        assert [t.id for t in mine] == [t.id for t in whole]
        assert mine[0].time_us >= began_us - cut.before_us
        assert {m.time_us - w.time_us for m, w in zip(mine, whole, strict=True)} == {began_us - story.began_us}
        assert mine[-1].time_us > END  # it goes on after what is played fast
    assert len(staged.changes) >= 5


def test_nothing_is_played_twice_or_left_out() -> None:
    """Stretches that follow each other hold each interaction once."""
    staged = stage([STORIES["support"](np.random.default_rng([0, 2]))], END)
    cuts = [0, END - LIVE_US, END - LIVE_US // 2, END, 2**62]
    parts = [staged.between(a, b)[0] for a, b in pairwise(cuts)]
    assert [t.id for part in parts for t in part] == [t.id for t in staged.traffic]


@given(st.integers(0, LIVE_US), st.floats(0, 1e5))
def test_the_clock_of_a_demo_catches_up_and_never_passes(lag_us: int, passed_s: float) -> None:
    """It goes forward, at most one step at a time, and never beyond the real clock."""
    now_us = END - lag_us
    until_us = next_us(now_us, END, passed_s)
    assert now_us <= until_us <= END
    assert until_us - now_us <= STEP_US


@given(st.integers(0, LIVE_US), st.floats(0, 60))
def test_a_demo_rests_only_once_it_has_caught_up(lag_us: int, passed_s: float) -> None:
    """While it is behind it never waits; then for seconds, so that one that is left open does not take a processor."""
    assert not (rests(lag_us, passed_s) and lag_us >= CAUGHT_UP_US)
    assert not rests(lag_us, 5.0)
    assert rests(0, 1.0)


def test_a_folder_of_somebody_is_left_alone(tmp_path: Path) -> None:
    """A folder that holds something else is refused, and nothing in it is touched."""
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="something else"):
        play(tmp_path, load({}), port=1, say=lambda _: None)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.slow(150)
def test_three_incidents_open_while_one_watches(tmp_path: Path) -> None:
    """The real command: by its link one comes in, and the three incidents appear one after the other, each with its draft.

    The lever of the support story is there to be held, and failures wait for labels.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-c", "from andon.cli import main; main()", "demo", "--serve", "--port", str(port)]
    environment = {**os.environ, "ANDON_EMBEDDER": "hashed", "PYTHONUNBUFFERED": "1"}
    with (
        subprocess.Popen(
            [*command, "--out", str(tmp_path / "out")], stdout=subprocess.PIPE, env=environment
        ) as process,
        httpx2.Client(timeout=30) as client,
    ):
        try:
            _watch(process, client, f"http://127.0.0.1:{port}")
        finally:
            process.kill()  # one that is left over would be waited for


def _watch(process: "subprocess.Popen[bytes]", client: httpx2.Client, address: str) -> None:
    """Come in by the link as soon as it is told, and look until all has happened."""
    assert process.stdout is not None
    link = next(found[0] for line in process.stdout if (found := re.search(r"http://\S+/join/\S+", line.decode())))
    said = {"password": "a horse that is correct", "again": "a horse that is correct"}
    assert client.post(link, data=said).status_code == 303  # who is told the link is answered there
    until = time.monotonic() + 600
    apps: list[str] = []
    while len(apps) < 3:
        assert time.monotonic() < until, apps
        rows = json.loads(client.get(f"{address}/incidents?as=json&table=incidents").content)
        apps += [r["app"] for r in rows if r["app"] not in apps]
        time.sleep(1)
    assert sorted(apps) == ["legal", "support", "triage"]
    while f'href="/levers/{LEVER}"' not in client.get(f"{address}/").text:  # the note, once it has caught up
        assert time.monotonic() < until
        time.sleep(1)
    assert client.get(f"{address}/levers/{LEVER}").status_code == 200
    process.send_signal(signal.SIGINT)
    assert process.wait(40) == 0
