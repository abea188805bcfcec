"""Pure mathematics of the loop: arrays or sufficient statistics in, arrays or a small result out.

Nothing here touches a store, a clock, a network, a log or global randomness; `rng` is an argument. Every docstring
gives the formula, shapes, assumptions, when to use something else, and the source.
"""

from andon.stats.agreement import Estimate, alpha_interval, area_under, cohens_kappa, krippendorff_alpha
from andon.stats.baseline import LEAST_SPREAD, Baseline, Priors, clock_of, fit_baseline, like_weekend
from andon.stats.binomial import clopper_pearson, difference
from andon.stats.bins import bin_edges, bin_of
from andon.stats.edetector import RATIOS, detect, log_likelihood_ratio, log_ratios, permitted_run_length, step
from andon.stats.explained import MixExplained, explained_by_mix
from andon.stats.mix import classifier_test, jensen_shannon, ks, mean_shift, mix_shift, mmd, psi
from andon.stats.onset import Onset, locate_onset
from andon.stats.paired import (
    Paired,
    PairedDrop,
    attempts_worse,
    compare_paired,
    design_effect,
    holm,
    paired_bootstrap,
    paired_drop,
    sign_flip,
)
from andon.stats.ridits import RIDIT_VARIANCE, Ridits, ridits_of
from andon.stats.segments import ChangePoint, find_changes

__all__ = [
    "LEAST_SPREAD",
    "RATIOS",
    "RIDIT_VARIANCE",
    "Baseline",
    "ChangePoint",
    "Estimate",
    "MixExplained",
    "Onset",
    "Paired",
    "PairedDrop",
    "Priors",
    "Ridits",
    "alpha_interval",
    "area_under",
    "attempts_worse",
    "bin_edges",
    "bin_of",
    "classifier_test",
    "clock_of",
    "clopper_pearson",
    "cohens_kappa",
    "compare_paired",
    "design_effect",
    "detect",
    "difference",
    "explained_by_mix",
    "find_changes",
    "fit_baseline",
    "holm",
    "jensen_shannon",
    "krippendorff_alpha",
    "ks",
    "like_weekend",
    "locate_onset",
    "log_likelihood_ratio",
    "log_ratios",
    "mean_shift",
    "mix_shift",
    "mmd",
    "paired_bootstrap",
    "paired_drop",
    "permitted_run_length",
    "psi",
    "ridits_of",
    "sign_flip",
    "step",
]
