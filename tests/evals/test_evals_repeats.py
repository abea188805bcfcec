"""Repeats: pass@k, pass^k, flakiness and spread, against published numbers and against counting everything."""

import gzip
import itertools
import json
import math
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.errors import InputError
from andon.evals import CaseResult
from andon.evals.repeats import flake_of, flakes_of, pass_at_k, pass_hat_k, repeats_of, spread_of

TAU = {4: 10, 3: 4, 2: 10, 1: 12, 0: 14}
"""tau-bench, gpt-4o, airline: passes of four trials -> tasks, as the published pass^1..4 determine it."""

LEAVES = ((3.28, 3.09, 3.03, 3.03), (3.52, 3.48, 3.38, 3.38), (2.88, 2.80, 2.81, 2.76), (3.34, 3.38, 3.23, 3.26))
"""Calcium in turnip greens: four leaves, four determinations (Snedecor & Cochran, Statistical Methods, table 10.13.1)."""

DYESTUFF = (
    (1545, 1440, 1440, 1520, 1580), (1540, 1555, 1490, 1560, 1495), (1595, 1550, 1605, 1510, 1560),
    (1445, 1440, 1595, 1465, 1545), (1595, 1630, 1515, 1635, 1625), (1520, 1455, 1450, 1480, 1445),
)  # fmt: skip
"""Yield of six batches of dyestuff (Davies & Goldsmith, 1972; `Dyestuff` of lme4)."""

DYESTUFF2 = (
    (7.298, 3.846, 2.434, 9.566, 7.990), (5.220, 6.556, 0.608, 11.788, -0.892), (0.110, 10.386, 13.434, 5.510, 8.166),
    (2.212, 4.852, 7.092, 9.288, 4.980), (0.282, 9.014, 4.458, 9.446, 7.198), (1.722, 4.782, 8.106, 0.758, 3.758),
)  # fmt: skip
"""Six batches that differ less than chance (Box & Tiao, 1973; `Dyestuff2` of lme4)."""


def results(words, **more):
    """Results of cases from words: p passed, f failed, e could not run."""
    names = {"p": "pass", "f": "fail", "e": "error"}
    return [
        CaseResult(case_id=f"G-{i}", repeat=r, outcome=names[c], **more)
        for i, word in enumerate(words)
        for r, c in enumerate(word)
    ]


def tau():
    """The published tasks as results."""
    return results([word for c, n in TAU.items() for word in n * ["p" * c + "f" * (4 - c)]])


def test_pass_hat_k_of_tau_bench_is_the_published_one():
    """gpt-4o, airline, 50 tasks of 4 trials: pass^1..4 = .420, .273, .220, .200; 26 tasks flaky, 10 always, 14 never."""
    r = repeats_of(tau())
    assert [round(a.value, 3) for a in r.all_of] == [0.42, 0.273, 0.22, 0.2]
    assert (r.flaky, r.always, r.never, r.untold) == (26, 10, 14, 0)
    assert [round(a.value, 2) for a in r.at_least_one] == [0.42, 0.57, 0.66, 0.72]


def test_the_trials_of_tau_bench_are_read_the_same():
    """The pack's half of the trajectories: 16 of 25 tasks flaky, 3 always, 6 never; within the whole, and pass^2 by hand."""
    place = Path(os.environ.get("SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
    path = place / "agent-tau-bench" / "trajectories.jsonl.gz"
    if not path.exists():
        pytest.skip(f"{path} is not here: the trials of tau-bench were not read")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    each = [
        CaseResult(case_id=str(r["task_id"]), repeat=r["trial"], outcome="pass" if r["success"] else "fail")
        for r in rows
    ]
    passes = Counter(Counter(x.case_id for x in each if x.outcome == "pass").values())
    r = repeats_of(each)
    assert (r.cases, r.flaky, r.always, r.never) == (25, 16, 3, 6)
    assert (r.always, r.flaky) == (passes[4], passes[1] + passes[2] + passes[3])
    assert all(passes[c] <= TAU[c] for c in (1, 2, 3, 4))
    assert r.never <= TAU[0]
    assert r.all_of[1].value == pytest.approx((passes[4] + passes[3] / 2 + passes[2] / 6) / 25)


@given(st.integers(0, 6), st.integers(0, 6), st.integers(1, 7))
def test_both_rates_are_the_share_of_all_draws(passed, failed, k):
    """pass@k and pass^k are shares of the draws of k attempts without putting back, counted one by one."""
    attempts = [True] * passed + [False] * failed
    draws = list(itertools.combinations(attempts, k))
    one, every = pass_at_k([passed], [passed + failed], k), pass_hat_k([passed], [passed + failed], k)
    if not draws:
        assert (one.value, one.cases) == (every.value, every.cases) == (None, 0)
        return
    assert one.value == pytest.approx(sum(map(any, draws)) / len(draws))
    assert every.value == pytest.approx(sum(map(all, draws)) / len(draws))


def test_pass_at_k_is_unbiased_where_the_plug_in_is_not():
    """Over many draws of 5 attempts at p = 0.2 the mean of pass@3 is 1 - 0.8^3; plugging in c/n is too low."""
    c = np.random.default_rng(5).binomial(5, 0.2, 200_000)
    mean = pass_at_k(c, np.full(len(c), 5), 3).value
    assert mean == pytest.approx(1 - 0.8**3, abs=0.004)
    assert (1 - (1 - c / 5) ** 3).mean() < mean - 0.03


def test_many_attempts_do_not_overflow():
    """A thousand attempts at ten thousand cases: finite, exact at the ends, and what logarithms of factorials say."""
    n = np.full(10_000, 1000)
    assert pass_at_k(n, n, 100).value == pass_hat_k(n, n, 100).value == 1
    assert pass_at_k(n * 0, n, 100).value == pass_hat_k(n * 0, n, 100).value == 0
    value = pass_at_k(n // 100, n, 100).value
    log = math.lgamma(991) - math.lgamma(891) - math.lgamma(1001) + math.lgamma(901)
    assert value == pytest.approx(1 - math.exp(log), rel=1e-9)


@pytest.mark.parametrize("args", [([1], [2], 0), ([3], [2], 1), ([-1], [2], 1), ([1, 1], [2], 1)])
def test_impossible_counts_are_refused(args):
    """A `k` below 1, more passes than attempts, or lists of two lengths are input errors."""
    for rate in (pass_at_k, pass_hat_k):
        with pytest.raises(InputError):
            rate(*args)


@given(st.integers(0, 8), st.integers(0, 8))
def test_the_flake_rate_is_the_share_of_pairs_that_disagree(passed, failed):
    """Of all pairs of attempts, those of which one passed and one failed, and at most 0.5; it lies within the case's interval."""
    attempts = [True] * passed + [False] * failed
    pairs = list(itertools.combinations(attempts, 2))
    rate, flake = (
        repeats_of(results(["p" * passed + "f" * failed])).flake_rate,
        flake_of("G-1", passed, passed + failed),
    )
    if not pairs:
        assert (flake.word, rate, flake.low, flake.high) == ("cannot tell", None, None, None)
        return
    assert rate == pytest.approx(min(0.5, sum(a != b for a, b in pairs) / len(pairs)))
    assert flake.word == ("always" if not failed else "never" if not passed else "flaky")
    assert 0 <= flake.low <= rate <= flake.high <= 0.5


def test_the_interval_of_the_flake_rate_covers():
    """For any chance of passing and 2 to 20 attempts, the interval holds 2p(1-p) at least 95 % of the time, exactly."""
    for n in (2, 3, 5, 10, 20):
        ends = [(f.low, f.high) for f in (flake_of("G", c, n) for c in range(n + 1))]
        for p in np.linspace(0, 1, 201):
            chance = [math.comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)]
            true = 2 * p * (1 - p)
            inside = [low - 1e-12 <= true <= high + 1e-12 for low, high in ends]
            assert sum(w for w, there in zip(chance, inside, strict=True) if there) >= 0.95 - 1e-9


def test_an_attempt_that_could_not_run_counts_neither_way():
    """Errors are told apart; a case of which one attempt ran is neither flaky nor stable."""
    flakes = flakes_of(results(["ppe", "pfe", "pee", "eee"]))
    assert [(f.passed, f.ran, f.errors, f.word) for f in flakes] == [
        (2, 2, 1, "always"), (1, 2, 1, "flaky"), (1, 1, 2, "cannot tell"), (0, 0, 3, "cannot tell"),
    ]  # fmt: skip
    r = repeats_of(results(["ppe", "pfe", "pee", "eee"]))
    assert [(a.k, a.cases) for a in r.all_of] == [(1, 3), (2, 2)]
    assert (r.untold, r.flake_rate) == (2, 0.5)
    empty = repeats_of([])
    assert (empty.cases, empty.all_of, empty.flake_rate, empty.spread.judge) == (0, (), None, None)


def test_variance_components_are_the_published_ones():
    """Turnip greens: 0.0724 between leaves, 0.0066 within; dyestuff: 1764.05 and 2451.25, as lme4 has them."""
    leaves, dye = spread_of([LEAVES]), spread_of([DYESTUFF])
    assert (round(leaves.answers, 4), round(leaves.judge, 4)) == (0.0724, 0.0066)
    assert (round(dye.answers, 2), round(dye.judge, 2)) == (1764.05, 2451.25)
    assert dye.share == pytest.approx(2451.25 / (1764.05 + 2451.25))
    assert not leaves.truncated
    assert (leaves.cases, leaves.judgements) == (1, 16)


def test_a_negative_variance_is_zero_and_said():
    """Batches that differ less than chance: 0 between them, and the record says that it was cut off at 0."""
    spread = spread_of([DYESTUFF2])
    assert (spread.answers, spread.truncated, spread.share) == (0, True, 1)
    assert spread.judge == pytest.approx(14.946, abs=0.001)


def test_spread_is_recovered_from_unbalanced_judgements():
    """Answers with sd 0.2 within cases of any mean and a judge with sd 0.1, two to four judgements: both are found."""
    rng = np.random.default_rng(3)
    cases = [
        [tuple(rng.normal(a, 0.1, rng.integers(2, 5))) for a in rng.normal(rng.uniform(), 0.2, 4)] for _ in range(3000)
    ]
    spread = spread_of(cases)
    assert spread.answers == pytest.approx(0.04, rel=0.05)
    assert spread.judge == pytest.approx(0.01, rel=0.05)


def test_what_cannot_be_told_of_the_spread_is_none():
    """One judgement of each answer says nothing of the judge; one answer of each case nothing of answers."""
    once = spread_of([[(0.1,), (0.9,)]])
    assert (once.answers, once.judge, once.share) == (None, None, None)
    alone = spread_of([[(0.1, 0.2)], [(0.5, 0.9)]])
    assert alone.judge is not None
    assert alone.answers is None
    same = spread_of([[(1.0, 1.0), (1.0, 1.0)]])
    assert (same.answers, same.judge, same.share) == (0, 0, None)
    run = [CaseResult(case_id="G", repeat=r, outcome="pass", judged=j) for r, j in enumerate(LEAVES)]
    assert repeats_of(run).spread == spread_of([LEAVES])
