"""Run files of traffic through the loop on the traffic's own clock."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from andon.changes import Change, Ignored
from andon.changes.run import record_change
from andon.golden.run import capture_all
from andon.incidents import Incident
from andon.investigations import Investigation
from andon.loop.files import read_changes
from andon.loop.turning import Loop
from andon.postmortems import Postmortem
from andon.store import Rollup
from andon.traffic.run import ImportResult, import_files

__all__ = ["Replay", "replay"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What a replay ended with."""

    imported: ImportResult
    feedback: ImportResult | None = None
    """What became of the files of feedback; None where none were given."""
    ignored: tuple[Ignored, ...] = ()
    """What the files of changes held besides changes."""
    incidents: tuple[Incident, ...] = ()
    postmortems: tuple[Postmortem, ...] = ()
    investigations: tuple[Investigation, ...] = ()
    start_us: int = 0
    end_us: int = 0
    changes: tuple[Change, ...] = field(default_factory=tuple)


def replay(
    loop: Loop,
    traffic: Sequence[Path],
    *,
    changes: Sequence[Path] = (),
    feedback: Sequence[Path] = (),
    report: Callable[[str, float], None] | None = None,
    steps: int = 12,
) -> Replay:
    """Run traffic files through the loop on the traffic's own clock, then look into every incident with all of it.

    Args:
        loop: the loop of an empty or earlier home.
        traffic: files of interactions.
        changes: JSONL files of changes.
        feedback: JSONL files of feedback.
        report: told what is being done, and the share done, 0..1.
        steps: how many ticks; their number does not change the result.
    """
    tell = report or (lambda *_: None)
    tell("importing traffic", 0.0)
    imported = import_files(loop.warehouse, traffic, intake=loop.intake)
    said = import_files(loop.warehouse, feedback, table="feedback", intake=loop.intake) if feedback else None
    loop.warehouse.commit()
    row = loop.warehouse.run(Rollup(table="interactions", metrics=("time_us",)))
    start, last = row["time_us.min"][0].as_py(), row["time_us.max"][0].as_py()
    if start is None:
        return Replay(imported=imported, feedback=said)
    start, end = int(start), int(last) + 1
    moved = [read_changes(path, now_us=end) for path in changes]
    for change in (c for received in moved for c in received.changes):
        record_change(loop.ledger, change, now_us=change.at_us, by=change.author)
    width = loop.settings.window_s * 1_000_000
    close_us = -(-end // width) * width + loop.settings.settle_s * 1_000_000
    for k in range(1, steps + 1):
        tell("turning the crank", 0.1 + 0.75 * k / steps)
        loop.tick(start + (close_us - start) * k // steps)
    incidents = loop.ledger.all(Incident)
    postmortems = []
    for incident in incidents:
        tell(f"looking into {incident.id}", 0.9)
        postmortems.append(loop.look_into(incident, end))
    capture_all(loop.warehouse, loop.ledger, loop.scorers, loop.embedder, now_us=end, thresholds=loop.thresholds)
    tell("done", 1.0)
    return Replay(
        imported=imported,
        feedback=said,
        ignored=tuple(i for received in moved for i in received.ignored),
        incidents=tuple(incidents),
        postmortems=tuple(postmortems),
        investigations=tuple(p.investigation for p in postmortems),
        start_us=start,
        end_us=end,
        changes=tuple(loop.ledger.all(Change)),
    )
