"""Andon: every failure of an AI system is paid for once.

A stage reads what earlier stages wrote, decides with pure functions, and writes its own records; `andon.loop` turns
the crank. The folders of this package are the loop, in order: traffic, changes, scores, monitors, incidents,
investigations, postmortems, golden, evals, rollouts, levers.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
