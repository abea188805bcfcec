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
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy

from andon.errors import InputError
from andon.evals.pairs import rate_interval
from andon.evals.records import EvalRun, Probed
from andon.evals.repeats import counts_of
from andon.evals.verdict import ERRORS_MAX
from andon.golden import Case
from andon.monitors import Monitor, Objective, Signal
from andon.monitors.tables import keys_of, number, text
from andon.scores.rows import PROBE
from andon.traffic.quoting import quoted

__all__ = [
    "ALPHA",
    "METRIC",
    "Probe",
    "chosen",
    "every_text",
    "next_us",
    "objectives_of_probes",
    "probed_text",
    "probes_of",
    "signals_of",
]

METRIC = "probe_pass"
"""The metric of a probe: whether an answer passed its golden case."""

ALPHA = 0.05
"""A probe whose true pass rate is just its bar pages in at most this share of its runs."""

BAR = 0.95
"""The smallest pass rate that is acceptable where a probe names none."""

AGAIN_S = 3600
"""A probe that could not be asked is tried again after this time, if it is not due sooner."""

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
    bar: float = BAR
    """The smallest pass rate that is acceptable."""
    lever: str | None = None
    """What is proposed to be held when the bar is broken; nothing is pulled by itself."""
    source: str
    """Where it was written: file and entry."""

    @property
    def monitor(self) -> Monitor:
        """The chart of its pass rate, with the bar as its limit: of its own answers, whose `segment` is its name."""
        return Monitor(
            app=self.app, environment=self.environment, metric=METRIC, direction="down",
            scope=(("source", PROBE), ("segment", self.name)), objective=self.name, at_most=round(1 - self.bar, 9),
        )  # fmt: skip

    @property
    def error_monitor(self) -> Monitor:
        """The chart of what could not be asked; more than this is no measurement, as for the gate."""
        return replace(self.monitor, metric="error", direction="up", at_most=ERRORS_MAX)


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


def next_us(probe: Probe, last: Probed | None) -> int:
    """When it is time to ask again; a probe that could not be asked is tried again within the hour."""
    if last is None:
        return 0
    return last.at_us + (min(probe.every_s, AGAIN_S) if last.problem else probe.every_s) * 1_000_000


def probed_text(probe: Probe, done: Probed | None) -> str:
    """What a probe said when it was asked last; empty where it never was."""
    if done is None:
        return ""
    if done.problem:
        return f"could not be asked: {done.problem}"
    ran = done.passed + done.failed
    errors = f", {done.errors} could not be asked" if done.errors else ""
    below = "below" if done.passed < probe.bar * ran else "keeps"
    return f"{done.passed} of {ran} pass{errors}; {below} its bar of {probe.bar:.0%}"


def every_text(probe: Probe) -> str:
    """How often a probe is asked: ``7d``, ``6h``, ``15m``."""
    for unit, seconds in (("d", 86400), ("h", 3600)):
        if probe.every_s % seconds == 0:
            return f"{probe.every_s // seconds}{unit}"
    return f"{probe.every_s // 60}m"


def chosen(probe: Probe, cases: Iterable[Case]) -> list[Case]:
    """The cases that a probe asks: those that fit, and of too many always the same, drawn by a digest of their ids."""
    fit = [
        c
        for c in cases
        if c.app == probe.app
        and c.retired is None
        and probe.metric in (None, c.metric)
        and (probe.risk is None or probe.risk.casefold() == (c.risk_category or "").casefold())
    ]
    return sorted(fit, key=lambda c: hashlib.sha256(c.id.encode()).digest())[: probe.cases]


def signals_of(probe: Probe, run: EvalRun, before: Probed | None, *, window_us: int) -> list[Signal]:
    """What a run says of the probe: that fewer pass than its bar asks for, and that too many could not be asked.

    Each is a page where it is shown: were the rate at its limit, so many failures or more would come in at most `ALPHA` of
    all runs (exact binomial). A pass rate that is below the bar and may be chance is a warning: at a true 95 %, fifty
    questions are below a bar of 95 % in 46 % of all runs. The onset lies between the last run that kept the limits and this one.
    """
    ran = [r for r in run.results if r.outcome != "error"]
    _, failed, errors = counts_of(run.results)
    found = []
    if ran:  # variants of one case fail together, and count as one
        passes, n, *_ = rate_interval(ran, 1 - ALPHA)
        found += _signal(probe, run, before, probe.monitor, (failed, len(ran)), (n - passes, n), window_us)
    counts = errors, len(run.results)
    return found + _signal(probe, run, before, probe.error_monitor, counts, counts, window_us)


def _signal(
    probe: Probe,
    run: EvalRun,
    before: Probed | None,
    monitor: Monitor,
    counts: tuple[int, int],
    independent: tuple[float, float],
    window_us: int,
) -> list[Signal]:
    """A signal where more than the limit fail; (failures, attempts) as they are, and as independent cases would have them."""
    limit, (x, n), (x_, n_) = monitor.at_most or 0.0, counts, independent
    if x <= limit * n:
        return []
    # the binomial tail, for counts that are not whole too
    p = float(scipy.stats.beta.cdf(limit, x_, n_ - x_ + 1)) if limit else 0.0
    every_h = probe.every_s / 3600
    every_us = probe.every_s * 1_000_000
    low = run.at_us - every_us if before is None or before.kept_us is None else min(before.kept_us, run.at_us - 1)
    onsets = np.unique(np.linspace(low, run.at_us - 1, _ONSETS).astype(np.int64))
    failing = monitor.metric == METRIC
    signal = Signal(
        id=f"{monitor.id}@{run.id}",
        monitor=monitor.id,
        app=monitor.app,
        environment=monitor.environment,
        metric=monitor.metric,
        direction=monitor.direction,
        scope=dict(monitor.scope),
        level="page" if p <= ALPHA else "warning",
        objective=probe.name,
        harm="correctness" if failing else "availability",
        proposal=_proposal(probe) if failing else "",
        at_us=run.at_us + 1,  # its answers came before: time runs up to the signal, and without it
        window_us=window_us,
        every_us=every_us,
        x=x,
        n=n,
        baseline_x=round(1e6 * limit),
        baseline_n=1_000_000,
        baseline_from_us=low,
        baseline_to_us=max(low + 1, run.at_us - 1),
        rule="exact binomial test of a probe against its limit",
        statistic=float(f"{every_h / max(p, 1e-12):.9g}"),
        threshold=every_h / ALPHA,
        onset_us=int(onsets[len(onsets) // 2]),
        onset_low_us=low,
        onset_high_us=run.at_us,
        onset_probability=tuple((int(t), round(1 / len(onsets), 6)) for t in onsets),
    )
    return [signal]


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
        bar=BAR if bar is None else bar,
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
