"""Run an eval or a gate of a target that is known here: what the page may ask for, and what asks nobody at a keyboard.

A target may be a program, a module or a file, and an endpoint may be one that only this machine reaches: whoever chooses it
freely runs code here, or has this machine ask where he cannot, and sends the golden set there. So nobody who asks by the page
chooses it freely. He names a target that somebody with access to the machine wrote down: that of a baseline (`Baseline`, set by
`andon eval baseline`) or of a probe (``[[probe]]`` in andon.toml). No spec is taken from a request, whatever its form, so
nothing has to tell a harmless one from another. An eval that becomes a baseline keeps the spec that was known before, so this
holds for ever.
"""

import os
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from andon.errors import ConfigError, InputError, StateError
from andon.evals import Baseline, EvalRun, Progress, Verdict, make_target
from andon.evals import run as evals
from andon.evals.probes import Probe
from andon.evals.records import Target
from andon.evals.run.rules import rules_in
from andon.evals.scorers import scorers_for
from andon.evals.targets import CallableTarget, CommandTarget
from andon.golden import Case
from andon.golden.run import load_set
from andon.loop.turning import Loop
from andon.store import Ledger
from andon.traffic.quoting import quoted

__all__ = ["Asked", "KnownTarget", "evaluate", "find_target", "known_targets", "refresh", "revision_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownTarget:
    """A target that may be asked because a person with access to this machine wrote it down."""

    name: str
    """How a request names it: ``baseline:APP`` or ``probe:NAME``."""
    app: str
    """The application whose golden cases it is asked."""
    spec: str
    """How it is asked, in a form that `make_target` takes."""
    source: str
    """Where it was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What somebody asked for."""

    target: str
    """Name of a `KnownTarget`."""
    gate: bool = False
    """Judge it as a candidate, compared with the baseline of its application; otherwise the run stands by itself."""
    repeats: int = 1
    """Attempts at each case; of a gate its rules say how many."""
    resume: bool = False
    """Go on with a run that was broken off."""
    baseline: bool = False
    """Candidates are compared with this run from now on, unless it could not run."""
    budget_usd: float | None = None
    """Ask nothing more once this is spent."""
    per_minute: float | None = None
    """Most questions a minute."""
    workers: int = 4
    by: str


def known_targets(ledger: Ledger, probes: Iterable[Probe]) -> list[KnownTarget]:
    """The targets that may be asked without a person at the machine: of baselines, then of probes, each in their order.

    Raises:
        StoreError: the ledger failed.
    """
    kept = [
        KnownTarget(name=f"baseline:{b.id}", app=b.id, spec=b.target, source=f"the baseline that {b.by} set")
        for b in sorted(ledger.all(Baseline), key=lambda b: b.id)
    ]
    written = [KnownTarget(name=f"probe:{p.name}", app=p.app, spec=p.target, source=p.source) for p in probes]
    return [*kept, *written]


def find_target(ledger: Ledger, probes: Iterable[Probe], name: str) -> KnownTarget:
    """The known target of this name.

    Raises:
        InputError: there is none; names those that there are.
        StoreError: the ledger failed.
    """
    known = {t.name: t for t in known_targets(ledger, probes)}
    if name not in known:
        raise InputError(
            f"{quoted(name)} is not the name of a known target; known are {', '.join(known) or 'none'}: `andon eval baseline"
            " --target ...` on the machine, or [[probe]] in andon.toml, makes one known"
        )
    return known[name]


def evaluate(
    loop: Loop, asked: Asked, *, clock: Callable[[], int], report: Callable[[Progress], None] | None = None
) -> tuple[EvalRun, Verdict]:
    """Ask a known target the golden cases of its application, keep the run, and judge it.

    Answers are kept in the home as they come, so that a run that is stopped can go on.

    Args:
        loop: the store, the scorers and the embedder.
        asked: what is asked, and how.
        clock: the time in microseconds; a run takes minutes.
        report: called after each attempt.

    Raises:
        InputError: the target is not known or leads nowhere, the golden set is empty, or there is nothing to go on with.
        StateError: a gate is asked for, and nothing was set to compare with.
        ConfigError: a case needs a scorer that is not set up.
        StoreError: the disk or the ledger failed.
        KeyboardInterrupt: it was stopped; what was answered is kept.
    """
    if asked.gate and asked.baseline:
        raise InputError("a gate judges a candidate, and sets no baseline: ask for one of them")
    known = find_target(loop.ledger, loop.probes, asked.target)
    cases = [c for c in load_set(loop.ledger, known.app) if c.retired is None]
    if not cases:
        raise InputError(f"the golden set of {quoted(known.app)} is empty; label failures and add them first")
    target = make_target(known.spec)
    asker = _Asker(loop, known.app, asked, clock, report)
    if asked.gate:
        return _judged(asker, cases, target)
    run = asker.run(cases, target, asked.repeats)
    evals.keep_run(loop.ledger, run, now_us=clock(), by=asked.by)
    verdict = evals.judge_kept(loop.ledger, run, None, cases, now_us=clock())
    if asked.baseline and verdict.outcome != "error":
        evals.set_baseline(loop.ledger, run, target=known.spec, now_us=clock(), by=asked.by, app=known.app)
    return run, verdict


def _judged(asker: "_Asker", cases: Sequence[Case], target: Target) -> tuple[EvalRun, Verdict]:
    """The gate: the candidate compared with the baseline of its application, by the rules of this machine."""
    ledger, clock = asker.loop.ledger, asker.clock
    kept, before = ledger.get(Baseline, asker.app), evals.baseline_of(ledger, asker.app)
    if kept is None or before is None:
        raise StateError(f"{quoted(asker.app)} has no baseline to compare with; run an eval that becomes one first")
    rules, in_place = rules_in(None, now_us=clock()), make_target(kept.target)
    run = asker.run(cases, target, rules.repeats)
    verdict = evals.gate_change(
        ledger, run, before, cases, asker.again, target=target, place=in_place, rules=rules, now_us=clock(),
        by=asker.asked.by, rng=np.random.default_rng(0),
    )  # fmt: skip
    return run, verdict


def refresh(
    loop: Loop, app: str, *, by: str, now_us: int, report: Callable[[Progress], None] | None = None
) -> str | None:
    """Run the baseline of an application on what its golden set has gained; says what became of it, None without a baseline.

    Raises:
        StoreError: the disk or the ledger failed.
    """
    kept = loop.ledger.get(Baseline, app)
    if kept is None:
        return None
    try:
        target = make_target(kept.target)
        cases = load_set(loop.ledger, app)
        done = evals.refresh_baseline(
            loop.ledger, app, cases, scorers_for(cases, loop.scorers, loop.settings), loop.embedder, now_us=now_us, by=by,
            target=target, versions=revision_of(target), report=report,
        )  # fmt: skip
    except (InputError, ConfigError) as error:
        return f"the baseline stays as it is: {error}"
    return done.said


class _Asker:
    """Asks targets within the limits of one request."""

    def __init__(
        self,
        loop: Loop,
        app: str,
        asked: Asked,
        clock: Callable[[], int],
        report: Callable[[Progress], None] | None,
    ) -> None:
        self.loop, self.app, self.asked, self.clock = loop, app, asked, clock
        self._report, self._left_usd = report, asked.budget_usd

    def run(self, cases: Sequence[Case], target: Target, repeats: int) -> EvalRun:
        """Ask every case, with answers kept as they come."""
        folder = self.loop.settings.place / "evals"
        kept = evals.open_kept(folder, target, take="resume" if self.asked.resume else "nothing")
        if self.asked.resume and (kept is None or not kept.resumed):
            raise InputError(f"no run of {quoted(target.name)} was broken off; ask without going on")
        return self._ask(cases, target, repeats, kept)

    def again(self, cases: Sequence[Case], target: Target, repeats: int) -> EvalRun | None:
        """Ask lost cases again; nothing that is kept is taken, for these attempts have to be new."""
        if self._left_usd is not None and self._left_usd <= 0:
            return None
        return self._ask(cases, target, repeats, None)

    def _ask(self, cases: Sequence[Case], target: Target, repeats: int, kept: evals.Kept | None) -> EvalRun:
        spent_usd = 0.0

        def report(p: Progress) -> None:
            nonlocal spent_usd
            spent_usd = p.spent_usd or 0.0
            if self._report is not None:
                self._report(p)

        run = evals.run_evals(
            cases, target, scorers_for(cases, self.loop.scorers, self.loop.settings), self.loop.embedder,
            now_us=self.clock(), repeats=repeats, workers=self.asked.workers, per_minute=self.asked.per_minute,
            budget_usd=self._left_usd, kept=kept, report=report, app=self.app, versions=revision_of(target),
        )  # fmt: skip
        if self._left_usd is not None:
            self._left_usd -= spent_usd
        return run


def revision_of(target: Target) -> dict[str, str]:
    """The git revision of the working directory, for a target that is its code: so two versions can be told apart."""
    if not isinstance(target, CallableTarget | CommandTarget):
        return {}
    for name in ("GITHUB_SHA", "CI_COMMIT_SHA"):
        if text := os.environ.get(name, "").strip():
            return {"revision": "".join(c if c.isprintable() else " " for c in text)[:64]}
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"],  # noqa: S607 - whatever git the user has
            capture_output=True, text=True, timeout=10, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return {"revision": done.stdout.strip()} if done.returncode == 0 and done.stdout.strip() else {}
