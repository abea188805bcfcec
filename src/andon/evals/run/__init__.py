"""What touches the store and the world: ask, score, keep."""

from andon.evals.run.asking import run_evals
from andon.evals.run.baselines import baseline_of, refresh_baseline, set_baseline
from andon.evals.run.gating import gate_change, judge_kept
from andon.evals.run.keeping import KEPT_US, Kept, Take, expire_kept, forget_kept, open_kept
from andon.evals.run.quarantine import quarantine, quarantined
from andon.evals.run.runs import keep_run, load_run, newest_runs, results_of, runs_with, save_run

__all__ = [
    "KEPT_US",
    "Kept",
    "Take",
    "baseline_of",
    "expire_kept",
    "forget_kept",
    "gate_change",
    "judge_kept",
    "keep_run",
    "load_run",
    "newest_runs",
    "open_kept",
    "quarantine",
    "quarantined",
    "refresh_baseline",
    "results_of",
    "run_evals",
    "runs_with",
    "save_run",
    "set_baseline",
]
