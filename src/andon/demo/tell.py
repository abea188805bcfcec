"""Run the stories through the loop and write their postmortems."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from andon.changes.run import record_change
from andon.demo.records import Story, Told
from andon.demo.stories import STORIES
from andon.errors import InputError
from andon.incidents import duration, odds
from andon.loop import Loop, Replay, open_loop, replay
from andon.postmortems.run import write_documents
from andon.settings import load
from andon.traffic.clock import minute_text
from andon.traffic.run import record

__all__ = ["empty_folder", "tell"]

BATCH = 20_000


def tell(out: Path, *, seed: int = 0, report: Callable[[str, float], None] | None = None) -> list[Told]:
    """Simulate every story, run it through the loop in a store of its own below `out`, and write its documents.

    Raises:
        InputError: `out` exists and was not made by an earlier demo.
    """
    empty_folder(out)
    told = []
    for number, (name, simulate) in enumerate(STORIES.items()):
        tell_of = partial(_tell_of, report, name, number)
        tell_of("simulating", 0.0)
        story = simulate(np.random.default_rng([seed, number]))
        told.append(_told(story, out / name, seed, tell_of))
    return told


def empty_folder(out: Path) -> None:
    """Make the folder of a demo, without what an earlier one left there.

    Raises:
        InputError: it exists and was not made by an earlier demo.
    """
    marker = out / ".andon-demo"
    if out.exists() and any(out.iterdir()) and not marker.exists():
        raise InputError(f"{out} holds something else; give another folder with --out")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    marker.touch()


def _tell_of(report: Callable[[str, float], None] | None, name: str, number: int, text: str, share: float) -> None:
    if report is not None:
        report(f"{name}: {text}", number + share)


def _told(story: Story, folder: Path, seed: int, report: Callable[[str, float], None]) -> Told:
    loop = open_loop(load().apart(folder / "store", window_s=story.window_s), seed=seed)
    try:
        for change in story.changes:
            record_change(loop.ledger, change, now_us=change.at_us, by=change.author)
        for start in range(0, len(story.traffic), BATCH):
            record(loop.warehouse, story.traffic[start : start + BATCH])
        result = replay(loop, (), report=report)
        documents = [path for p in result.postmortems for path in write_documents(p, folder)]
        return Told(name=story.name, text=_text(story, loop, result, documents), documents=tuple(documents))
    finally:
        loop.close()


def _text(story: Story, loop: Loop, result: Replay, documents: list[Path]) -> str:
    lines = [
        f"\n{story.name}: {story.about}",
        f"  {len(story.traffic):,} interactions, similarity by {loop.embedder.name}",
    ]
    for p in result.postmortems:
        first = p.investigation.suspects[0]
        lag = max(0.0, (p.incident.alarmed_us - story.began_us) / 1e6)
        lines += [
            f"  {p.incident.id} {p.incident.severity} {p.incident.impact}: {p.incident.title}",
            f"  planted at {minute_text(story.began_us)} UTC, alarmed at {minute_text(p.incident.alarmed_us)} ({duration(lag)} later)",
            f"  first suspect ({odds(first.probability)}): {first.title}",
        ]
    lines += [f"  read {path}" for path in documents if path.suffix == ".html"]
    lines += [f"  go on: ANDON_HOME={loop.settings.home} andon incident show {p.id}" for p in result.postmortems[:1]]
    return "\n".join(lines)
