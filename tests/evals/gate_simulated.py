"""Comparisons of two versions whose truth is known, judged as `andon gate` does: `python tests/evals/gate_simulated.py` prints the tables.

A golden set has 40 % of its cases in clusters of four variants, which share luck within a run; one case in five is of high
risk. Of the cases 70 % always pass, 10 % never, 15 % pass nearly always (beta 18, 2) and 5 % half the time (beta 2, 2).
"""

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from andon.evals import CaseResult, EvalRun, Verdict, judge
from andon.evals.rules import DEFAULT, Rules, parse_rules
from andon.evals.verdict import confirm_plan
from andon.stats import clopper_pearson

TOGETHER = 0.5
"""Correlation, in one run, of the luck of cases that are variants of each other."""

Change = Callable[["World", np.ndarray], np.ndarray]


@dataclass(frozen=True)
class World:
    """The cases of one golden set."""

    rate: np.ndarray
    cluster: np.ndarray
    high: np.ndarray
    second: np.ndarray
    """Whether a case that is not of high risk is of the second of two categories."""
    together: float = TOGETHER
    named: bool = True
    """Whether the golden set says which cases are of one cluster."""


def world(n: int, rng: np.random.Generator) -> World:
    """Draw a golden set."""
    kind = rng.choice(4, n, p=[0.7, 0.1, 0.15, 0.05])
    rate = np.choose(kind, [np.ones(n), np.zeros(n), rng.beta(18, 2, n), rng.beta(2, 2, n)])
    variants = int(0.4 * n)
    cluster = np.concatenate([np.arange(variants) // 4, np.arange(variants, n)])
    high = np.zeros(n, bool)
    high[rng.permutation(n)[: n // 5]] = True
    return World(rate, cluster, high, rng.random(n) < 0.5)


def restless(n: int, rng: np.random.Generator) -> World:
    """Draw a golden set of one category in which every case is flaky (beta 2, 2)."""
    none = np.zeros(n, bool)
    variants = int(0.4 * n)
    cluster = np.concatenate([np.arange(variants) // 4, np.arange(variants, n)])
    return World(rng.beta(2, 2, n), cluster, none, none)


def topics(n: int, rng: np.random.Generator, named: bool = True) -> World:
    """Draw a golden set of one category in four questions to a topic, of which all pass or all fail, each half of the time."""
    none = np.zeros(n, bool)
    return World(np.full(n, 0.5), np.arange(n) // 4, none, none, together=1.0, named=named)


def unnamed(n: int, rng: np.random.Generator) -> World:
    """The same, where nobody named the clusters."""
    return topics(n, rng, named=False)


def run(w: World, rate: np.ndarray, repeats: int, rng: np.random.Generator, only: set[str] | None = None) -> EvalRun:
    """One run: every attempt of a case passes with its rate."""
    shared = rng.normal(size=(w.cluster.max() + 1, repeats))[w.cluster]
    latent = np.sqrt(w.together) * shared + np.sqrt(1 - w.together) * rng.normal(size=(len(rate), repeats))
    alone = np.bincount(w.cluster)[w.cluster] == 1
    latent[alone] = rng.normal(size=(int(alone.sum()), repeats))
    passed = latent < stats.norm.ppf(rate)[:, None]
    names = ["high" if h else "second" if s else "first" for h, s in zip(w.high, w.second, strict=True)]
    results = tuple(
        CaseResult(
            case_id=f"G-{i}",
            repeat=k,
            outcome="pass" if passed[i, k] else "fail",
            risk_category=names[i],
            cluster=f"c{w.cluster[i]}" if w.named else None,
        )
        for i in range(len(rate))
        if only is None or f"G-{i}" in only
        for k in range(repeats)
    )
    return EvalRun(id="E", at_us=0, target="t", golden="g", scorers="m@1", results=results, repeats=repeats)


def gate(w: World, now: np.ndarray, rules: Rules, rng: np.random.Generator) -> Verdict:
    """Run both versions, judge, and ask lost high-risk cases again where that could decide."""
    old, new = (run(w, rate, rules.repeats, rng) for rate in (w.rate, now))
    verdict = judge(new, old, rules=rules)
    plan = confirm_plan(new, old, rules)
    if verdict.outcome == "undecided" and plan is not None:
        again = tuple(run(w, rate, plan.attempts, rng, {*plan.cases}) for rate in (now, w.rate))
        verdict = judge(new, old, rules=rules, confirmations=again)
    return verdict


def same(w: World, rate: np.ndarray) -> np.ndarray:
    """Nothing changed."""
    return rate


def all_fall(points: float) -> Change:
    """Every case passes less often: the mean falls by as many points."""

    def change(w: World, rate: np.ndarray) -> np.ndarray:
        return rate * (1 - points / rate.mean())

    return change


def one_breaks(to: float) -> Change:
    """One high-risk case that always passed now passes at this rate."""

    def change(w: World, rate: np.ndarray) -> np.ndarray:
        now = rate.copy()
        now[np.flatnonzero(w.high & (rate == 1))[0]] = to
        return now

    return change


def one_category_falls(points: float) -> Change:
    """The first category falls, the second rises as far as it can: equal on average, or nearly."""

    def change(w: World, rate: np.ndarray) -> np.ndarray:
        first, second = ~w.high & ~w.second, ~w.high & w.second
        now = np.where(first, rate * (1 - points), rate)
        return np.where(second, np.minimum(1, rate + 0.5 * (1 - rate)), now)

    return change


def outcomes(
    change: Change,
    rules: Rules,
    n: int,
    rounds: int,
    *,
    seed: int = 11,
    draw: Callable[[int, np.random.Generator], World] = world,
) -> Counter[str]:
    """How often the gate said what."""
    rng = np.random.default_rng(seed)
    found: Counter[str] = Counter()
    for _ in range(rounds):
        w = draw(n, rng)
        found[gate(w, change(w, w.rate), rules, rng).outcome] += 1
    return found


def with_repeats(rules: Rules, repeats: int) -> Rules:
    """The same rules with as many attempts."""
    return Rules(rules=rules.rules, alpha=rules.alpha, repeats=repeats, confirm=rules.confirm)


AT_MOST = parse_rules(
    '[[rule]]\ncategory = "high-risk"\nno_regression = true\n[[rule]]\ncategory = "*"\nat_most = 0.05\n'
)
ONLY_AT_MOST = parse_rules('[[rule]]\ncategory = "*"\nat_most = 0.05\n')
NULL = [
    ("default rules", DEFAULT, 50, 1, world),
    ("default rules", DEFAULT, 50, 5, world),
    ("default rules", DEFAULT, 200, 1, world),
    ("default rules", DEFAULT, 200, 5, world),
    ("`at_most = 0.05` for the rest", AT_MOST, 200, 1, world),
    ("`at_most = 0.05` for the rest", AT_MOST, 200, 5, world),
    ("default rules, every case flaky, one category", DEFAULT, 200, 1, restless),
    ("default rules, every case flaky, one category", DEFAULT, 200, 5, restless),
    ("default rules, 50 topics that stand or fall whole, named as clusters", DEFAULT, 200, 1, topics),
]
CHANGED = [
    ("all cases, 5 points on average", all_fall(0.05), DEFAULT),
    ("all cases, 10 points on average", all_fall(0.10), DEFAULT),
    ("one high-risk case from always to never", one_breaks(0.0), DEFAULT),
    ("one high-risk case from always to half", one_breaks(0.5), DEFAULT),
    ("one category 20 % worse, another better", one_category_falls(0.2), DEFAULT),
]


def null_row(k: int, rounds: int) -> str:
    """One row of the first table."""
    name, rules, n, repeats, draw = NULL[k]
    found = outcomes(same, with_repeats(rules, repeats), n, rounds, draw=draw)
    low, high = clopper_pearson(found["fail"], rounds)
    shares = " | ".join(f"{found[o] / rounds:.1%}" for o in ("pass", "undecided"))
    return f"| {name} | {n} | {repeats} | {found['fail']} of {rounds:,} | {low:.1%} to {high:.1%} | {shares} |"


AT_ONCE = parse_rules("confirm = 0")
BROKEN = [
    ("`confirm = 0`", AT_ONCE, 50, world),
    ("`confirm = 0`", AT_ONCE, 200, world),
    ("50 topics that stand or fall whole, not named", DEFAULT, 200, unnamed),
]


def broken_row(k: int, rounds: int) -> str:
    """The same, where the promise is not kept: the first lost case of high risk fails, or nobody named what falls together."""
    name, rules, n, draw = BROKEN[k]
    found = outcomes(same, rules, n, rounds, draw=draw)
    low, high = clopper_pearson(found["fail"], rounds)
    return f"| {name} | {n} | 1 | {found['fail']} of {rounds:,} | {low:.1%} to {high:.1%} |"


def changed_row(k: int, rounds: int) -> str:
    """One row of the second table."""
    name, change, rules = CHANGED[k]
    cells = []
    for n in (50, 200):
        for repeats in (1, 5):
            found = outcomes(change, with_repeats(rules, repeats), n, rounds)
            cells.append(f"{found['fail'] / rounds:.2f} / {found['pass'] / rounds:.2f}")
    return f"| {name} | {' | '.join(cells)} |"


def margin_row(n: int, repeats: int, rounds: int) -> str:
    """One row of the third table: every case passes less often, and the mean falls by exactly what `at_most` allows."""
    found = outcomes(all_fall(0.05), with_repeats(ONLY_AT_MOST, repeats), n, rounds)
    return f"| {n} | {repeats} | {' | '.join(f'{found[o] / rounds:.1%}' for o in ('pass', 'fail', 'undecided'))} |"


BARS = [(10, 20, 0.8, 0.1), (10, 20, 0.95, 0.4), (20, 20, 0.95, 0.4), (100, 4, 0.95, 0.4)]


def bar_row(k: int, rounds: int) -> str:
    """One row of the fourth table: the true pass rate is exactly the bar, in clusters of cases that are correlated (beta-binomial)."""
    clusters, size, bar, together = BARS[k]
    rng = np.random.default_rng(11)
    scale = 1 / together - 1
    rules = parse_rules(f'[[rule]]\ncategory = "*"\nbar = {bar}\n')
    passed = 0
    for _ in range(rounds):
        rate = rng.beta(bar * scale, (1 - bar) * scale, clusters).repeat(size)
        none = np.zeros(clusters * size, bool)
        w = World(rate, np.arange(clusters * size) // size, none, none, together=0.0)
        passed += judge(run(w, rate, 1, rng), None, rules=rules).outcome == "pass"
    return f"| {clusters} | {size} | {bar:g} | {together:g} | {passed} of {rounds} |"


MARGIN = [(50, 1), (200, 1), (200, 5), (1000, 1)]

if __name__ == "__main__":
    for k in range(len(NULL)):
        sys.stdout.write(null_row(k, 1000) + "\n")
    for k in range(len(BROKEN)):
        sys.stdout.write(broken_row(k, 1000) + "\n")
    for k in range(len(CHANGED)):
        sys.stdout.write(changed_row(k, 200) + "\n")
    for n, repeats in MARGIN:
        sys.stdout.write(margin_row(n, repeats, 400) + "\n")
    for k in range(len(BARS)):
        sys.stdout.write(bar_row(k, 500) + "\n")
