"""Probes: golden cases that are asked again and again, of production or staging, so that a fall is seen without any traffic.

A probe stands in ``andon.toml``:

    [[probe]]
    name = "citations-weekly"
    app = "legal"
    target = "target.toml"      # any form that `andon eval run --target` takes
    every = "7d"
    cases = 50
    metric = "citation_valid"   # only cases that this scorer judges
    bar = 0.95                  # the smallest pass rate that is acceptable
    lever = "citations"         # what is proposed to be held when the bar is broken
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from andon.errors import InputError
from andon.evals.records import EvalRun, Probed
from andon.golden import Case
from andon.monitors import Monitor, Objective, Signal
from andon.monitors.tables import keys_of, number, text
from andon.scores.rows import PROBE
from andon.traffic.quoting import quoted

__all__ = ["ALPHA", "METRIC", "Probe", "chosen", "due", "objectives_of_probes", "probes_of", "signal_of"]

METRIC = "probe_pass"
"""The metric of a probe: whether an answer passed its golden case."""

ALPHA = 0.05
"""A probe whose true pass rate is just its bar pages in at most this share of its runs."""

HOUR_US = 3_600_000_000
_UNITS_S = {"m": 60, "h": 3600, "d": 86400}
_LEAST_S, _MOST_S = 60, 90 * 86400
_FIELDS = ("name", "app", "environment", "target", "every", "cases", "metric", "risk", "bar", "lever")
_ONSETS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A part of the golden set that is asked on a schedule."""

    name: str
    app: str
    environment: str = "production"
    target: str
    """What is asked, in a form that `make_target` takes."""
    every_s: int
    cases: int | None = None
    """At most this many cases, always the same ones; None: all that fit."""
    metric: str | None = None
    """Only cases that this scorer judges."""
    risk: str | None = None
    """Only cases of this risk category."""
    bar: float = 0.95
    """The smallest pass rate that is acceptable."""
    lever: str | None = None
    """What is proposed to be held when the bar is broken; nothing is pulled by itself."""
    source: str
    """Where it was written: file and entry."""

    @property
    def monitor(self) -> Monitor:
        """The chart of its pass rate, with the bar as its limit."""
        return Monitor(
            app=self.app, environment=self.environment, metric=METRIC, direction="down", scope=(("source", PROBE),),
            objective=self.name, at_most=round(1 - self.bar, 9),
        )  # fmt: skip


def probes_of(tables: Mapping[str, Any], file: str) -> tuple[Probe, ...]:
    """The probes of a configuration, in their order.

    Raises:
        InputError: an entry is not understood, or two have one name; names file, entry and key.
    """
    rows = tables.get("probe", [])
    if not isinstance(rows, list):
        raise InputError(f"{file}: probe = {quoted(rows)} must be a list of tables: write [[probe]]")
    found: dict[str, Probe] = {}
    for number_, row in enumerate(rows, 1):
        probe = _probe(row, f"{file}, probe {number_}")
        if probe.name in found:
            raise InputError(f"{probe.source}: name = {quoted(probe.name)} is taken by {found[probe.name].source}")
        found[probe.name] = probe
    return tuple(found.values())


def objectives_of_probes(probes: Iterable[Probe]) -> tuple[Objective, ...]:
    """The bar of each probe as an objective, so that its pass rate has a chart and an error budget."""
    return tuple(
        Objective(
            name=p.name, app=p.app, environment=p.environment, metric=METRIC, direction="down",
            scope=p.monitor.scope, at_most=p.monitor.at_most or 0.0, source=p.source,
        )
        for p in probes
        if p.bar < 1
    )  # fmt: skip


def due(probe: Probe, last: Probed | None, now_us: int) -> bool:
    """Whether it is time to ask again."""
    return last is None or now_us - last.at_us >= probe.every_s * 1_000_000


def chosen(probe: Probe, cases: Iterable[Case]) -> list[Case]:
    """The cases that a probe asks: those that fit, and of too many always the same, drawn by a digest of their ids."""
    fit = [
        c
        for c in cases
        if c.app == probe.app
        and c.retired is None
        and probe.metric in (None, c.metric)
        and probe.risk in (None, c.risk_category)
    ]
    return sorted(fit, key=lambda c: hashlib.sha256(c.id.encode()).digest())[: probe.cases]


def signal_of(probe: Probe, run: EvalRun, before: Probed | None, *, window_us: int) -> Signal | None:
    """What a run says of the probe's bar: a page, a warning, or nothing.

    A page where the pass rate is shown to be below the bar: were it at the bar, so many failures or more would come in at
    most `ALPHA` of all runs (exact binomial). A warning where it is below and may be chance: at a true 95 %, fifty questions
    are below a bar of 95 % in 46 % of all runs. The onset lies between the run before and this one.
    """
    ran = [r for r in run.results if r.outcome != "error"]
    n, x = len(ran), sum(r.outcome == "fail" for r in ran)
    if n == 0 or 1 - x / n >= probe.bar:
        return None
    p = float(stats.binomtest(x, n, 1 - probe.bar, alternative="greater").pvalue) if probe.bar < 1 else 0.0
    every_h = probe.every_s / 3600
    low = run.at_us - probe.every_s * 1_000_000 if before is None else min(before.at_us, run.at_us - 1)
    monitor, onsets = probe.monitor, np.unique(np.linspace(low, run.at_us - 1, _ONSETS).astype(np.int64))
    return Signal(
        id=f"{monitor.id}@{run.id}",
        monitor=monitor.id,
        app=monitor.app,
        environment=monitor.environment,
        metric=METRIC,
        direction="down",
        scope=dict(monitor.scope),
        level="page" if p <= ALPHA else "warning",
        objective=probe.name,
        harm="correctness",
        at_us=run.at_us,
        window_us=window_us,
        x=x,
        n=n,
        baseline_x=round(1e6 * (1 - probe.bar)),
        baseline_n=1_000_000,
        baseline_from_us=low,
        baseline_to_us=max(low + 1, run.at_us - 1),
        proposal=_proposal(probe),
        rule="exact binomial test of a probe against its bar",
        statistic=float(f"{every_h / max(p, 1e-12):.9g}"),
        threshold=every_h / ALPHA,
        onset_us=int(onsets[len(onsets) // 2]),
        onset_low_us=low,
        onset_high_us=run.at_us,
        onset_probability=tuple((int(t), round(1 / len(onsets), 6)) for t in onsets),
    )


def _probe(row: object, place: str) -> Probe:
    table = keys_of(row, place, _FIELDS, ("name", "app", "target", "every"))
    bar, cases = number(table, "bar", place), number(table, "cases", place)
    if bar is not None and not 0.5 <= bar <= 1:
        raise InputError(f"{place}: bar = {bar:g}; a pass rate of 0.5 to 1 is allowed")
    if cases is not None and (cases != int(cases) or cases < 1):
        raise InputError(f"{place}: cases = {cases:g}; a whole number of 1 or more is allowed")
    return Probe(
        name=text(table, "name", place) or "",
        app=text(table, "app", place) or "",
        environment=text(table, "environment", place) or "production",
        target=text(table, "target", place, longest=2000) or "",
        every_s=_every(text(table, "every", place) or "", place),
        cases=None if cases is None else int(cases),
        metric=text(table, "metric", place),
        risk=text(table, "risk", place),
        bar=0.95 if bar is None else bar,
        lever=text(table, "lever", place),
        source=place,
    )


def _proposal(probe: Probe) -> str:
    if probe.lever is None:
        return ""
    return f"hold {probe.lever} at its safe value until the cases pass again: andon lever hold {probe.lever} --for 24h"


def _every(said: str, place: str) -> int:
    found = re.fullmatch(r"([0-9]{1,5})([mhd])", said)
    seconds = int(found[1]) * _UNITS_S[found[2]] if found else 0
    if not _LEAST_S <= seconds <= _MOST_S:
        raise InputError(f"{place}: every = {quoted(said)}; a time from 1m to 90d, such as 15m, 6h or 7d, is allowed")
    return seconds
