"""Real experiments of a shop (ab-asos, CC BY 4.0), looked at day by day: our effects beside gbstats' on the same sums."""

import csv
import gzip
import math
import os
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from andon.rollouts.arms import MISMATCH
from andon.rollouts.effects import boundary
from andon.stats.e_process import split_e
from andon.stats.sequences import asymptotic_half_width
from andon.stats.two_sample import Effect, Moments, relative, welch
from bench.figures import ROOT, figure, note, scratch
from bench.peers import ask

__all__ = ["run"]

PACK = Path(os.environ.get("SHARED_DATA", ROOT.parent / "shared" / "data")) / "ab-asos" / "experiments.csv.gz"
REQUIREMENTS = ("gbstats==0.8.0", "numpy<2")
TUNING = 5_000
"""gbstats' default: the size of both arms at which a sequential interval is tightest."""

Series = tuple[str, str, str]
"""Experiment, variant, metric."""


class Look(NamedTuple):
    """One cumulative row."""

    day: float
    control: Moments
    treatment: Moments


def run() -> None:
    """Agreement, decisions of each way of looking, and alarms of the split."""
    if not PACK.is_file():
        note(f"{PACK} is not there: nothing was compared")
        return
    series = _read()
    rows = [look for looks in series.values() for look in looks]
    ours = [_effects(look) for look in rows]
    _compare(rows, ours)
    broken = _splits(series)
    _decisions({key: looks for key, looks in series.items() if key[:2] not in broken})


def _read() -> dict[Series, list[Look]]:
    found: dict[Series, list[Look]] = defaultdict(list)
    left_out = 0
    with gzip.open(PACK, "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            arms = []
            for arm in ("c", "t"):
                texts = [row[f"{what}_{arm}"] for what in ("count", "mean", "variance")]
                arms.append(Moments(*(float(text) if text else math.nan for text in texts)))
            if any(not (a.n >= 2 and a.variance > 0 and math.isfinite(a.mean)) for a in arms):
                left_out += 1
                continue
            key = row["experiment_id"], row["variant_id"], row["metric_id"]
            found[key].append(Look(float(row["time_since_start"]), *arms))
    for looks in found.values():
        looks.sort(key=lambda look: look.day)
    experiments = len({key[0] for key in found})
    note(
        f"{experiments} experiments, {len(found)} series, {sum(map(len, found.values()))} looks; {left_out} rows without a variance left out"
    )
    return dict(found)


def _effects(look: Look) -> dict[str, Effect | None]:
    whole = welch(look.control, look.treatment)
    assert whole is not None
    n = look.control.n + look.treatment.n
    half = asymptotic_half_width(whole.se**2 * n, int(n), n_opt=TUNING)
    sequential = Effect(whole.estimate, whole.estimate - half, whole.estimate + half, math.nan, whole.se)
    return {"absolute": whole, "relative": relative(look.control, look.treatment), "sequential": sequential}


def _compare(rows: list[Look], ours: list[dict[str, Effect | None]]) -> None:
    with scratch() as folder:
        table = np.array([[*look.control, *look.treatment] for look in rows])
        np.savez(folder / "rows.npz", rows=table, tuning=TUNING)
        theirs: dict[str, Any] | None = ask("gbstats", REQUIREMENTS, "gbstats_effects.py", str(folder))
    if theirs is None:
        return
    for name in ("absolute", "relative", "sequential"):
        pairs = [(o[name], t) for o, t in zip(ours, theirs[name], strict=True)]
        both = [(o, np.array(t)) for o, t in pairs if o is not None]
        apart = np.array([np.abs(np.array([*o[:4]]) - t) / ([o.se] * 3 + [1.0]) for o, t in both])
        same = sum((o.low > 0) == (t[1] > 0) and (o.high < 0) == (t[2] < 0) for o, t in both)
        figure(f"rollouts.asos.{name}.estimate_apart", apart[:, 0].max(), "standard errors")
        figure(f"rollouts.asos.{name}.interval_apart", apart[:, 1:3].max(), "standard errors")
        if name != "sequential":
            figure(f"rollouts.asos.{name}.p_apart", apart[:, 3].max(), "p")
        figure(f"rollouts.asos.{name}.decisions_alike", 100 * same / len(both), "%")
        note(
            f"{name}: {len(both)} looks, {same} decide alike, {len(pairs) - len(both)} refused by us (no percentage of a base that may be 0)"
        )
    checks = [
        (_half_p(look.control.n, look.treatment.n), p)
        for look, (p,) in zip(rows, theirs["ratio"], strict=True)
        if look.control.n + look.treatment.n >= 1_000
    ]
    figure("rollouts.asos.split_p_apart", max(abs(a - b) for a, b in checks), "p")


def _decisions(series: dict[Series, list[Look]]) -> None:
    """What each way of looking says of each series; the plan is the size that was reached, and the split is sound."""
    said: dict[str, dict[Series, str]] = defaultdict(dict)
    stops: dict[str, list[float]] = defaultdict(list)
    for key, looks in series.items():
        effects = [welch(look.control, look.treatment) for look in looks]
        z = [0.0 if e is None else e.estimate / e.se for e in effects]
        information = [0.0 if e is None else (effects[-1].se / e.se) ** 2 for e in effects]  # type: ignore[union-attr]
        days = [look.day / looks[-1].day for look in looks]
        fractions = [min(pair) for pair in zip(information, days, strict=True)]  # as `decide` does
        for name in ("fixed", "group sequential", "confidence sequence"):
            limits = [
                boundary(name, fractions[: k + 1], information[k], 0.05, last=k == len(looks) - 1)
                for k in range(len(looks))
            ]
            said[name][key], at = _first(z, limits)
            stops[name].append(looks[at].day / looks[-1].day)
        said["p < 0.05 at any look"][key], _ = _first(z, [1.96] * len(looks))
    whole = said["fixed"]
    for name, verdicts in said.items():
        counts = {v: sum(x == v for x in verdicts.values()) for v in ("up", "down", "nothing")}
        alike = sum(verdicts[key] == whole[key] for key in whole)
        median = f", median end at {np.median(stops[name]):.2f} of the time" if name in stops else ""
        note(
            f"{name}: {counts['up']} up, {counts['down']} down, {counts['nothing']} nothing of {len(whole)} series; {alike} as at the end{median}"
        )
        figure(f"rollouts.asos.{name.replace(' ', '_')}.as_at_the_end", 100 * alike / len(whole), "%")
        per_experiment = {key[:2]: True for key in whole}
        for key in whole:
            per_experiment[key[:2]] &= verdicts[key] == whole[key]
        note(
            f"{name}: all metrics as at the end in {sum(per_experiment.values())} of {len(per_experiment)} comparisons"
        )


def _first(z: list[float], limits: list[float]) -> tuple[str, int]:
    for k, (value, limit) in enumerate(zip(z, limits, strict=True)):
        if abs(value) >= limit:
            return "up" if value > 0 else "down", k
    return "nothing", len(z) - 1


def _half_p(control: float, treatment: float) -> float:
    """p-value of Pearson's chi-square that a split in halves is as uneven as this."""
    return float(stats.chi2.sf((control - treatment) ** 2 / (control + treatment), 1))


def _splits(series: dict[Series, list[Look]]) -> set[tuple[str, str]]:
    named, broken = [], set()
    comparisons = {key[:2]: looks for key, looks in series.items() if key[2] == "1"}
    chi = 0
    for key, looks in comparisons.items():
        counts = np.array([(0, 0)] + [(look.control.n, look.treatment.n) for look in looks])
        new = np.diff(np.maximum.accumulate(counts), axis=0)  # some counts fall by a few users
        logs = split_e(new[:, 0], new[:, 1], 0.5)
        at_end = _half_p(*counts[-1])
        chi += at_end < MISMATCH
        if logs.max() >= math.log(1 / MISMATCH):
            broken.add(key)
            day = looks[int(np.argmax(logs >= math.log(1 / MISMATCH)))].day
            named.append(
                f"{key[0]}/{key[1]} ({counts[-1, 0]:,.0f} : {counts[-1, 1]:,.0f}, day {day:g}, chi-square at the end p = {at_end:.2g})"
            )
    figure("rollouts.asos.split_alarms", len(named), "comparisons", "chi-square at the end", chi)
    note(f"{len(named)} of {len(comparisons)} splits are not half and half: " + "; ".join(named))
    return broken


if __name__ == "__main__":
    run()
