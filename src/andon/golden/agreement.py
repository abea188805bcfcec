"""Whether reviewers say the same of the same failures: Krippendorff's alpha."""

from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np

from andon.golden.queue import labels_by_failure
from andon.golden.records import Agreement, Label
from andon.scores.text import normalise
from andon.stats import alpha_interval, clopper_pearson, krippendorff_alpha

__all__ = ["FEWEST", "RELIABLE", "TENTATIVE", "agreement_of"]

FEWEST = 10
"""Failures that at least two people labelled, below which nothing is said."""

TENTATIVE, RELIABLE = 0.667, 0.8
"""Conventions of Krippendorff (Content Analysis, 2nd ed. 2004, p. 241): below the first nothing should be concluded from
labels, from the second on they can be relied on. They come from practice, not from a proof."""


def agreement_of(labels: Iterable[Label], rng: np.random.Generator) -> list[Agreement]:
    """How far reviewers agree: all of them first, then each pair of two who labelled a failure in common, by name.

    Labels are names: two right answers are the same value when they are the same text after normalisation, and to dismiss is
    a value of its own. Adjudications are left out, for whoever adjudicates has read the others.
    """
    given = {f: {x.author: _value(x) for x in each if not x.final} for f, each in labels_by_failure(labels).items()}
    numbers = {v: k for k, v in enumerate(sorted({v for each in given.values() for v in each.values()}))}
    units = [{a: numbers[v] for a, v in each.items()} for each in given.values() if len(each) >= 2]
    people = sorted({a for each in units for a in each})
    found = [_agreement(tuple(people), [list(u.values()) for u in units], rng)]
    if len(people) > 2:
        for one, other in combinations(people, 2):
            both = [[u[one], u[other]] for u in units if one in u and other in u]
            if both:
                found.append(_agreement((one, other), both, rng))
    return found


def _value(label: Label) -> tuple[str, str]:
    if label.verdict == "dismiss":
        return "dismiss", ""
    return "answer", normalise(label.ground_truth) or label.ground_truth.strip().casefold()


def _agreement(reviewers: tuple[str, ...], units: Sequence[Sequence[int]], rng: np.random.Generator) -> Agreement:
    n = len(units)
    if n < FEWEST:
        text = f"cannot tell: {n} failures were labelled by two people; from {FEWEST} on it is said"
        return Agreement(reviewers=reviewers, failures=n, alpha=None, text=text)
    alpha = krippendorff_alpha(units)
    if alpha is None:
        text = f"cannot tell: every label of the {n} failures is the same, so nothing tells agreement from habit"
        return Agreement(reviewers=reviewers, failures=n, alpha=None, text=text)
    interval = alpha_interval(units, rng)
    if interval is None:
        most = clopper_pearson(0, n)[1]
        text = f"all {n} agree; up to {most:.0%} of failures may still be labelled differently (exact 95 % interval)"
        return Agreement(reviewers=reviewers, failures=n, alpha=alpha, text=text)
    low, high = interval
    return Agreement(reviewers=reviewers, failures=n, alpha=alpha, low=low, high=high, text=_meaning(alpha, low, high))


def _meaning(alpha: float, low: float, high: float) -> str:
    if low >= RELIABLE:
        return f"labels can be relied on: surely {RELIABLE} or more"
    if high < TENTATIVE:
        return f"labels cannot be relied on: surely below {TENTATIVE}; agree on what counts as right, then label again"
    if alpha >= RELIABLE:
        return f"reliable by its value, but the interval does not exclude less than {RELIABLE}; label more by two"
    word = "good for tentative conclusions" if alpha >= TENTATIVE else "not reliable"
    return f"{word} by its value, but the interval does not exclude another answer; label more by two"
