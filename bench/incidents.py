"""Is what changed found? Replays of published incidents with known truth, scored on what was known when the incident opened.

Every case is told with decoys as they fall, and once (`HARD`) with a decoy put within the six hours before the onset, with seeds
that were not used while the ranker was made. It was made with `CASES`; `HELD` was written by somebody who had not seen it, and
other seeds of it were used to mend it once it was measured; `UNSEEN` is by another such author, and nothing was mended after it
was measured. Tables for `docs/methods/suspects.md` go to stderr. At the end: the four questions over twenty million interactions.
"""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from statistics import mean, median

import numpy as np

from bench import questions
from bench.figures import figure, note
from bench.incidents_cases import CASES
from bench.incidents_held import HELD
from bench.incidents_replay import ALL, Outcome, replay_case
from bench.incidents_unseen import UNSEEN

__all__ = ["run"]

SEEDS = (601, 602, 603)
HELD_SEEDS = (801, 802)
UNSEEN_SEEDS = (901, 902)
HARD = (701,)
EDGES = (0.0, 0.5, 0.8, 0.95, 1.01)
"""Stated probabilities are compared with how often they were right within these bounds."""


def run() -> None:
    """All figures of incidents."""
    largest_first = sorted(ALL, key=lambda name: (-_rows(name), name))  # the last replays are short, and nobody waits
    own = {**dict.fromkeys(CASES, SEEDS), **dict.fromkeys(HELD, HELD_SEEDS), **dict.fromkeys(UNSEEN, UNSEEN_SEEDS)}
    seeds = {name: (*own[name], *HARD) for name in ALL}
    asked = [(name, seed, seed in HARD) for name in largest_first for seed in seeds[name]]
    with ProcessPoolExecutor(2) as pool:
        found = []
        for o in pool.map(replay_case, *zip(*asked, strict=True)):
            note(f"{o.case} {o.seed}: {f'place {o.place}' if o.opened else 'not opened'}, {o.seconds:.0f} s")
            found.append(o)
    order = list(ALL)
    found.sort(key=lambda o: (order.index(o.case), o.seed))
    missed = _misses(found)
    for line in (*_cases(found), "", *_reliability([o for o in found if o.opened]), "", "misses:", *missed):
        note(line)
    hard = [o for o in found if o.opened and o.near]
    found = [o for o in found if not o.near]
    opened = [o for o in found if o.opened]
    figure("incidents.replays", len(found), "replays")
    figure("incidents.opened", len(opened) / len(found), "share")
    for name, some in (
        ("", opened),
        (".cases_at_hand", [o for o in opened if o.case in CASES]),
        (".held_cases", [o for o in opened if o.case in HELD]),
        (".unseen_cases", [o for o in opened if o.case in UNSEEN]),
        (".near_decoy", hard),
        (".near_decoy_unseen", [o for o in hard if o.case in UNSEEN]),
        (".own_change_shown", [o for o in opened if o.own and o.shown]),
        (".own_change_hidden", [o for o in opened if o.own and not o.shown]),
    ):
        figure(f"incidents.top1{name}", mean(o.place == 1 for o in some), "share")
        figure(f"incidents.top3{name}", mean(o.place <= 3 for o in some), "share")
    nobody = [o for o in opened if not o.own]
    figure("incidents.no_own_change_recall", mean(not o.first_own for o in nobody), "share")
    figure("incidents.no_own_change_precision", mean(not o.own for o in opened if not o.first_own), "share")
    figure("incidents.calibration_error", _calibration_error(opened), "share")
    unseen = [o for o in opened if o.case in UNSEEN]
    figure("incidents.no_own_change_recall.unseen_cases", mean(not o.first_own for o in unseen if not o.own), "share")
    figure("incidents.calibration_error.unseen_cases", _calibration_error(unseen), "share")
    figure("incidents.onset_error_h", median(o.onset_error_h for o in opened), "h")
    figure("incidents.detection_lag_h", median(o.lag_h for o in opened), "h")
    figure("incidents.scope_precision", mean(o.precision for o in opened), "share")
    figure("incidents.scope_recall", mean(o.recall for o in opened), "share")
    questions.run()


def _rows(name: str) -> float:
    """About how much traffic a case has."""
    case = ALL[name](np.random.default_rng(0))
    return case.per_hour * (case.before_h + case.after_h)


def _bins(opened: Sequence[Outcome]) -> list[list[Outcome]]:
    return [some for low, high in pairwise(EDGES) if (some := [o for o in opened if low <= o.stated < high])]


def _calibration_error(opened: Sequence[Outcome]) -> float:
    """Mean distance of what was stated from what came true, over bins, by their size."""
    return sum(
        len(some) / len(opened) * abs(mean(o.stated for o in some) - mean(o.right for o in some))
        for some in _bins(opened)
    )


def _reliability(opened: Sequence[Outcome]) -> list[str]:
    rows = [
        f"| {mean(o.stated for o in some):.2f} | {len(some)} | {mean(o.right for o in some):.2f} |"
        for some in _bins(opened)
    ]
    return ["| stated | incidents | right |", "|---|---|---|", *rows]


def _cases(found: Sequence[Outcome]) -> list[str]:
    """The cases whose truth was always first, in a line, and a table of the others."""
    lines = ["| case | replays | opened | first | among three | onset off by (h) | alarm after (h) |", "|---" * 7 + "|"]
    always = []
    for name in ALL:
        mine = [o for o in found if o.case == name]
        some = [o for o in mine if o.opened]
        times = (
            f"{median(o.onset_error_h for o in some):.1f} | {median(o.lag_h for o in some):.1f}" if some else "- | -"
        )
        first, three = sum(o.place == 1 for o in some), sum(o.place <= 3 for o in some)
        told = name + ("" if name in CASES else " *" if name in HELD else " **")
        if first == len(mine):
            always.append(told)
        else:
            lines.append(f"| {told} | {len(mine)} | {len(some)} | {first} | {three} | {times} |")
    return [f"first in every replay: {', '.join(always)}", "", *lines]


def _named(o: Outcome) -> str:
    return f"{o.case} {o.seed}" + (" (near decoy)" if o.near else "")


def _misses(found: Sequence[Outcome]) -> list[str]:
    """Every replay whose truth was not first, by name, with what was said instead."""
    lines = []
    for o in found:
        if not o.opened:
            lines.append(f"- {_named(o)}: no incident opened")
        elif o.place != 1:
            place = f"place {o.place}, with {o.truth_stated:.2f}" if o.place < 99 else "not among the suspects"
            lines.append(f"- {_named(o)}: {o.truth} ({place}); first, with {o.stated:.2f}: {o.first}")
    return lines or ["- none"]
