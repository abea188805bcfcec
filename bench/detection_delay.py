"""How long detectors take to find what goes wrong, all at the same rate of false alarms, against what is possible.

Thresholds are set on 60 days of stable traffic until each series has one false alarm in 30 days; then shifts are timed.
Ours is also taken as it is delivered, at the threshold that promises this rate without looking at stable data.
"""

import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.detection_detectors import DETECTORS, Detector
from bench.detection_rules import calibrate, delays, false_alarms
from bench.detection_traffic import SCENARIOS, Scenario, Seen, bound, draw
from bench.figures import figure, note, scratch
from bench.peers import ask

__all__ = ["run_delays"]

Floats = NDArray[np.float64]

RIVER = ("river==0.26.1",)
EVIDENTLY = ("evidently==0.7.23", "pandas>=2,<3")

PEER_SERIES = 60
"""Series that river sees: the first of ours."""

PER_REQUEST = 100.0
"""Up to this many requests an hour river sees every one; above, one value an hour, because more would take minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one detector made of one scenario."""

    about: str
    false_alarms: float
    """For each series in 30 days, at the threshold of `delays`."""
    usual_false_alarms: float
    """The same at the threshold that books give, or that the default is."""
    delays: Floats
    """Hours to the alarm, one per series; infinite is never."""

    @property
    def text(self) -> str:
        """Median (90 % quantile) and what was never found, as a cell of a table."""
        middle, late = (np.quantile(self.delays, q, method="higher") for q in (0.5, 0.9))
        never = float(np.isinf(self.delays).mean())
        lost = f", {'under 1 %' if never < 0.01 else f'{never:.0%}'} never" if never else ""
        return "never" if np.isinf(middle) else f"{middle:.3g} ({'never' if np.isinf(late) else f'{late:.3g}'}){lost}"

    @property
    def median(self) -> float | None:
        """Median delay in hours; None when at least half of the series never alarm."""
        middle = float(np.quantile(self.delays, 0.5, method="higher"))
        return middle if np.isfinite(middle) else None


def run_delays(scenarios: Sequence[Scenario] = SCENARIOS) -> None:
    """Time all detectors on all scenarios; figures on stdout, a Markdown table on stderr."""
    drawn = {}
    for number, scenario in enumerate(scenarios):
        rng = np.random.default_rng([7, number])
        drawn[scenario.name] = (draw(rng, scenario, shifted=False)[0], *draw(rng, scenario, shifted=True))
    with scratch() as folder, ThreadPoolExecutor(1) as pool:
        streams, days = folder / "streams", folder / "days"
        streams.mkdir()
        days.mkdir()
        for scenario in scenarios:
            stable, shifted, _ = drawn[scenario.name]
            _hand_over(streams / f"{scenario.name}.npz", scenario, stable, shifted)
            np.savez(days / f"{scenario.name}.npz", **shifted.examples)
        asked = pool.submit(lambda: (_river(streams), ask("evidently", EVIDENTLY, "evidently_drift.py", str(days))))
        rows = {s.name: _measured(s, *drawn[s.name]) for s in scenarios}
        note("our detectors are through; waiting for the peers")
        river, evidently = asked.result()
    for scenario in scenarios:
        found = rows[scenario.name]
        if not _same_distance(evidently, scenario, drawn[scenario.name][1]):
            del found["evidently"]
        found |= _rows_of_river(river, scenario)
        _print(scenario, found)
    if evidently is not None:
        note(
            f"one report of Evidently {evidently['version']} on one column and day takes {evidently['report_s']:.2g} s"
        )
    _table(scenarios, rows)


def _measured(scenario: Scenario, stable: Seen, shifted: Seen, fleet: Any) -> dict[str, Row]:
    """The detectors that run here, and the bound."""
    nothing = {"false_alarms": 1.0, "usual_false_alarms": 1.0}
    about = "Lorden's bound, log(720) / (n KL)"
    rows = {"bound": Row(about=about, delays=bound(scenario, fleet, shifted.start), **nothing)}
    for detector in DETECTORS:
        quiet, loud = detector.fit(stable), detector.fit(shifted)
        usual = false_alarms(quiet(detector.usual))
        threshold = _threshold(detector, quiet)
        rows[detector.name] = Row(
            about=detector.about,
            false_alarms=false_alarms(quiet(threshold)),
            usual_false_alarms=usual,
            delays=_within(scenario, delays(loud(threshold), shifted.start)),
        )
        if detector.name == "ours":
            promised = _within(scenario, delays(loud(detector.usual), shifted.start))
            rows["ours_promised"] = Row(
                about="Andon as delivered", false_alarms=usual, usual_false_alarms=usual, delays=promised
            )
    return rows


def _threshold(detector: Detector, quiet: Any) -> float:
    return detector.usual if detector.low == detector.high else calibrate(quiet, detector.low, detector.high)


def _within(scenario: Scenario, found: Floats) -> Floats:
    """Alarms later than the watch after a shift find nothing."""
    return np.where(found <= scenario.watched, found, np.inf)


def _hand_over(path: Path, scenario: Scenario, stable: Seen, shifted: Seen) -> None:
    """Write what river shall see: every request where they are few, else each hour's standardised value."""
    k = slice(0, PEER_SERIES)
    data: dict[str, Any] = {"history": len(stable.x0), "start": shifted.start[k]}
    for part, seen in (("stable", stable), ("shifted", shifted)):
        data[f"{part}_hours"] = len(seen.x0) + len(seen.x)
        if _few(scenario):
            data[f"{part}_x"] = np.concatenate([seen.x0, seen.x])[:, k]
            data[f"{part}_n"] = np.concatenate([seen.n0, seen.n])[:, k]
        else:
            bad, before = np.concatenate([seen.bad0, seen.bad])[:, k], seen.bad0[:, k]
            data[f"{part}_value"] = (bad - np.nanmean(before, axis=0)) / np.nanstd(before, axis=0)
    np.savez(path, **data)


def _few(scenario: Scenario) -> bool:
    return scenario.rate > 0 and scenario.volume <= PER_REQUEST


def _river(folder: Path) -> dict[str, Any] | None:
    return ask("river", RIVER, "river_delays.py", str(folder))


def _rows_of_river(answer: Mapping[str, Any] | None, scenario: Scenario) -> dict[str, Row]:
    if answer is None:
        return {}
    return {
        name.casefold(): Row(
            about=f"river {answer['version']} {name} on each {'request' if _few(scenario) else 'hour'}",
            false_alarms=found["false_alarms"],
            usual_false_alarms=found["usual_false_alarms"],
            delays=_within(scenario, np.array(found["delays"])),
        )
        for name, found in answer[scenario.name].items()
    }


def _same_distance(answer: Mapping[str, Any] | None, scenario: Scenario, shifted: Seen) -> bool:
    """Whether our distance is the one that Evidently finds on the same days; without Evidently it is not known."""
    if answer is None:
        note(
            f"{scenario.name}: without Evidently its row is left out, as nothing says that our distance is its distance"
        )
        return False
    ours = shifted.drift[shifted.examples["which"], 0]
    if np.allclose(ours, answer[scenario.name], rtol=1e-6, atol=1e-9):
        return True
    note(f"{scenario.name}: Evidently finds {answer[scenario.name]}, we compute {ours.tolist()}: its row is left out")
    return False


def _print(scenario: Scenario, rows: Mapping[str, Row]) -> None:
    """One line for each detector: our median delay, and that of the other."""
    ours, name = rows["ours"].median, scenario.name
    promised, least = rows["ours_promised"], rows["bound"].median
    figure(f"detection.promised_false_alarms_30d.{name}", promised.false_alarms, "alarms", "permitted", 1.0)
    if promised.median is not None:
        figure(f"detection.promised_delay_h.{name}", promised.median, "h", rows["bound"].about, least)
    if ours is None:
        figure(f"detection.never_found_share.{name}", float(np.isinf(rows["ours"].delays).mean()), "share")
        return
    if least is not None:
        figure(f"detection.delay_over_bound.{name}", ours / least, "x")
    best = rows["oracle"].median
    if best is not None:
        figure(f"detection.delay_over_oracle.{name}", ours / best, "x")
    for key, row in rows.items():
        if key not in ("ours", "ours_promised"):
            never = float(np.isinf(row.delays).mean())
            lost = f"; {never:.0%} never found" if never else ""
            far = "" if key == "bound" else f", {row.false_alarms:.2g} false alarms in 30 days{lost}"
            figure(f"detection.delay_h.{name}.against_{key}", ours, "h", row.about + far, row.median)


def _table(scenarios: Sequence[Scenario], rows: Mapping[str, Mapping[str, Row]]) -> None:
    """The same as Markdown, with the tails."""
    names = list(dict.fromkeys(key for found in rows.values() for key in found))
    lines = ["| hours to the alarm: median (90 %) | " + " | ".join(s.about for s in scenarios) + " |"]
    lines.append("|---" * (len(scenarios) + 1) + "|")
    for key in names:
        cells = [rows[s.name][key].text if key in rows[s.name] else "not measured" for s in scenarios]
        lines.append(f"| {_abouts(rows, key)} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "| false alarms in 30 days: as usually set → as compared | " + " | ".join(s.name for s in scenarios) + " |",
    ]
    lines.append("|---" * (len(scenarios) + 1) + "|")
    for key in names:
        if key in ("bound", "ours_promised"):
            continue
        found = [rows[s.name].get(key) for s in scenarios]
        cells = ["not measured" if r is None else f"{r.usual_false_alarms:.2g} → {r.false_alarms:.2g}" for r in found]
        lines.append(f"| {_abouts(rows, key)} | " + " | ".join(cells) + " |")
    print("\n".join(["", *lines, ""]), file=sys.stderr, flush=True)


def _abouts(rows: Mapping[str, Mapping[str, Row]], key: str) -> str:
    """What a detector is called; where it is not the same in all scenarios, all its names."""
    return "; ".join(dict.fromkeys(found[key].about for found in rows.values() if key in found))
