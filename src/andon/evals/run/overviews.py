"""Runs in a list: what each says in a line, read once; and their verdicts, judged once.

A run of thousands of answers is megabytes: a list must not read all of them each time. What a run says never changes (its id
is a digest of it), so the lines and verdicts of one ledger are kept in memory.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterator
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary, proxy

import numpy as np

from andon.evals.pairs import rate_interval
from andon.evals.records import Baseline, Confirmed, EvalRun, Probed, Verdict
from andon.evals.repeats import counts_of
from andon.evals.rules import Rules
from andon.evals.run.gating import judge_kept
from andon.evals.run.quarantine import quarantined
from andon.golden import Case
from andon.store import Ledger

__all__ = ["Overview", "Overviews", "baseline_before", "overviews_of"]

KEPT = 1_000
"""Verdicts that are kept: the ones that were asked for last."""

PROBED = 40
"""Answers of a probe that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """One kept run without its answers."""

    id: str
    at_us: int
    app: str | None
    target: str
    golden: str
    repeats: int
    versions: dict[str, str] = field(default_factory=dict)
    cases: int
    passed: int
    """Attempts; so are `failed` and `errors`."""
    failed: int
    errors: int
    low: float | None
    """95 % interval of the pass rate; None where nothing ran."""
    high: float | None
    spent_usd: float | None
    """None where the target tells no cost."""

    @property
    def rate(self) -> float | None:
        """Share of the attempts that ran which passed."""
        ran = self.passed + self.failed
        return self.passed / ran if ran else None


class Overviews:
    """The lines and verdicts of the runs of one ledger; threads share it."""

    def __init__(self, ledger: Ledger) -> None:
        """Nothing is read yet."""
        self._ledger: Ledger = proxy(ledger)
        self._lines: dict[str, Overview] = {}
        self._verdicts: OrderedDict[Hashable, Verdict] = OrderedDict()
        self._probed: dict[str, tuple[int, list[Probed]]] = {}
        self._turn = threading.Lock()

    def of(self, name: str) -> Overview | None:
        """One run; None where none of this id is kept.

        Raises:
            StoreError: the ledger failed.
        """
        if (known := self._lines.get(name)) is None and (run := self._ledger.get(EvalRun, name)) is not None:
            known = self._lines[name] = _line(run)
        return known

    def newest(self, wanted: Callable[[Overview], bool] | None = None) -> Iterator[Overview]:
        """The runs, the last one kept first; each is read when it is its turn.

        Raises:
            StoreError: the ledger failed.
        """
        for _, name in reversed(self._ledger.ids(EvalRun)):
            line = self.of(name)
            if line is not None and (wanted is None or wanted(line)):
                yield line

    def verdict(
        self, name: str, baseline: str | None, rules: Rules, now_us: int, rng: np.random.Generator | None = None
    ) -> Verdict | None:
        """What the gate says of a kept run, beside another one or alone; None where one of them is not kept.

        Args:
            name: of the run.
            baseline: of what it is compared with.
            rules: of the gate.
            now_us: the clock, for quarantines.
            rng: resamples for the notes of a page of its own; None for a list, without notes, as they ask for other runs.

        Raises:
            StoreError: the ledger failed.
        """
        whole = rng is not None
        out = frozenset(quarantined(self._ledger, now_us))
        cases = self._ledger.all(Case)
        pair = None if baseline is None else f"{name}/{baseline}"
        again = pair is not None and self._ledger.get(Confirmed, pair) is not None
        others = len(self._ledger.ids(EvalRun)) if whole else 0
        kept = sum(c.retired is None for c in cases), len(cases)
        key = (name, baseline, repr(rules), _in_force(rules, now_us), out, again, whole, others, kept)
        with self._turn:
            if (known := self._verdicts.get(key)) is not None:
                self._verdicts.move_to_end(key)
                return known
        run = self._ledger.get(EvalRun, name)
        beside = None if baseline is None else self._ledger.get(EvalRun, baseline)
        if run is None or (baseline is not None and beside is None):
            return None
        told = [c for c in cases if c.retired is None and run.app in (None, c.app)] if whole else ()
        found = judge_kept(self._ledger, run, beside, told, rules=rules, now_us=now_us, rng=rng)
        with self._turn:
            self._verdicts[key] = found
            while len(self._verdicts) > KEPT:
                self._verdicts.popitem(last=False)
        return found

    def probed(self, name: str, most: int = PROBED) -> list[Probed]:
        """What a probe said the last times that it was asked, the oldest first.

        Raises:
            StoreError: the ledger failed.
        """
        latest = self._ledger.latest(Probed, name)
        if latest is None:
            return []
        known = self._probed.get(name)
        if known is None or known[0] != latest.version:
            found = [v.record for v in self._ledger.history(Probed, name)][-PROBED:]
            known = self._probed[name] = latest.version, found
        return known[1][-most:]

    def against_baseline(self, line: Overview, rules: Rules, now_us: int) -> Verdict | None:
        """What the gate says of a run beside the baseline of its application; None where there is none, or it is that or older.

        Raises:
            StoreError: the ledger failed.
        """
        base = baseline_before(self, self._ledger.all(Baseline), line)
        return None if base is None else self.verdict(line.id, base.id, rules, now_us)


def overviews_of(ledger: Ledger) -> Overviews:
    """Those of a ledger, the same ones each time."""
    with _TURN:
        found = _KNOWN.get(ledger)
        if found is None:
            found = _KNOWN[ledger] = Overviews(ledger)
        return found


def baseline_before(overviews: Overviews, baselines: Collection[Baseline], line: Overview) -> Overview | None:
    """The baseline that a run is a candidate against: that of its application, where the run came after it."""
    base = next((b for b in baselines if b.id == line.app), None)
    if base is None or base.run == line.id:
        return None
    found = overviews.of(base.run)
    return found if found is not None and found.at_us <= line.at_us else None


def _line(run: EvalRun) -> Overview:
    passed, failed, errors = counts_of(run.results)
    low, high = _interval(run)
    spent = [r.cost_usd for r in run.results if r.cost_usd is not None]
    return Overview(
        id=run.id, at_us=run.at_us, app=run.app, target=run.target, golden=run.golden, repeats=run.repeats,
        versions=dict(run.versions), cases=len({r.case_id for r in run.results}), passed=passed, failed=failed, errors=errors,
        low=low, high=high, spent_usd=sum(spent) if spent else None,
    )  # fmt: skip


def _interval(run: EvalRun) -> tuple[float | None, float | None]:
    ran = [r for r in run.results if r.outcome != "error"]
    if not ran:
        return None, None
    _, _, low, high = rate_interval(ran, 0.95)
    return low, high


def _in_force(rules: Rules, now_us: int) -> frozenset[str]:
    return frozenset(rules.set_aside(now_us))


_KNOWN: "WeakKeyDictionary[Ledger, Overviews]" = WeakKeyDictionary()
_TURN = threading.Lock()
