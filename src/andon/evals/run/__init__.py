"""What touches the store and the world: ask, score, keep."""

from andon.evals.run.asking import run_evals
from andon.evals.run.runs import keep_run, latest_run, load_run, save_run

__all__ = ["keep_run", "latest_run", "load_run", "run_evals", "save_run"]
