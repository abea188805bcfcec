"""Pure mathematics of the loop: arrays or sufficient statistics in, arrays or a small result out.

Nothing here touches a store, a clock, a network, a log or global randomness; `rng` is an argument. Every docstring
gives the formula, shapes, assumptions, when to use something else, and the source.
"""

from andon.stats.baseline import LEAST_SPREAD, Baseline, Priors, clock_of, fit_baseline, like_weekend
from andon.stats.binomial import clopper_pearson, difference
from andon.stats.bins import bin_edges, bin_of
from andon.stats.edetector import RATIOS, detect, log_likelihood_ratio, permitted_run_length, step
from andon.stats.mix import mean_shift, mix_shift
from andon.stats.onset import Onset, locate_onset
from andon.stats.paired import Paired, compare_paired
from andon.stats.ridits import RIDIT_VARIANCE, Ridits, ridits_of

__all__ = [
    "LEAST_SPREAD",
    "RATIOS",
    "RIDIT_VARIANCE",
    "Baseline",
    "Onset",
    "Paired",
    "Priors",
    "Ridits",
    "bin_edges",
    "bin_of",
    "clock_of",
    "clopper_pearson",
    "compare_paired",
    "detect",
    "difference",
    "fit_baseline",
    "like_weekend",
    "locate_onset",
    "log_likelihood_ratio",
    "mean_shift",
    "mix_shift",
    "permitted_run_length",
    "ridits_of",
    "step",
]
