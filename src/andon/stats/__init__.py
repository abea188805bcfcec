"""Pure mathematics of the loop: arrays or sufficient statistics in, arrays or a small result out.

Nothing here touches a store, a clock, a network, a log or global randomness; `rng` is an argument. Every docstring
gives the formula, shapes, assumptions, when to use something else, and the source.
"""

from andon.stats.baseline import dispersion, dispersion_of, guarded, moments
from andon.stats.binomial import clopper_pearson, difference
from andon.stats.bins import bin_edges, bin_of
from andon.stats.edetector import ODDS, log_likelihood_ratio, permitted_run_length, step
from andon.stats.mix import mean_shift, mix_shift
from andon.stats.onset import Onset, locate_onset
from andon.stats.paired import Paired, compare_paired

__all__ = [
    "ODDS",
    "Onset",
    "Paired",
    "bin_edges",
    "bin_of",
    "clopper_pearson",
    "compare_paired",
    "difference",
    "dispersion",
    "dispersion_of",
    "guarded",
    "locate_onset",
    "log_likelihood_ratio",
    "mean_shift",
    "mix_shift",
    "moments",
    "permitted_run_length",
    "step",
]
