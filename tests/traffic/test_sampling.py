"""Sampling at the door: who is kept, with which weight, and whether rates stay true."""

import sys
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.errors import ConfigError, InputError
from andon.stats import log_likelihood_ratio, log_ratios
from andon.traffic import Interaction, from_rows, to_rows
from andon.traffic.sampling import Sampling, sample, sample_rows

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=3)
interactions = st.lists(
    st.builds(
        Interaction,
        id=names,
        time_us=st.just(10**15),
        session_id=st.none() | names,
        risk_category=st.sampled_from([None, "high", "HIGH", "low", "critical", ""]),
        weight=st.sampled_from([1.0, 3.0]),
    ),
    max_size=20,
)
samplings = st.builds(Sampling, rate=st.sampled_from([0.01, 0.05, 0.3, 0.9, 1.0]), seed=st.integers(0, 5))


def traffic(n, **fields):
    """Interactions that differ by their id."""
    return [Interaction(id=f"i{k}", time_us=10**15 + k, **fields) for k in range(n)]


@given(interactions, samplings, st.integers(0, 20), st.randoms())
def test_the_decision_is_a_function_of_seed_and_id(items, sampling, cut, random):
    """However the same interactions are cut into calls, ordered or repeated, the same ones are kept with the same weights."""
    kept, left_out = sample(items, sampling)
    first, second = sample(items[:cut], sampling), sample(items[cut:], sampling)
    assert (kept, left_out) == (first[0] + second[0], first[1] + second[1])
    shuffled = random.sample(items, len(items))
    assert sorted(map(repr, sample(shuffled + shuffled, sampling)[0])) == sorted(map(repr, kept + kept))


@given(interactions, st.integers(0, 5))
def test_samples_are_nested(items, seed):
    """What is kept at a small rate is kept at every larger one with the same seed."""
    kept = [
        {repr(replace(i, weight=1.0)) for i in sample(items, Sampling(rate=r, seed=seed))[0]} for r in (0.05, 0.5, 1)
    ]
    assert kept[0] <= kept[1] <= kept[2]


def test_decisions_never_change():
    """These ids and sessions are decided as in the first version: another process, machine or year decides alike."""
    sampling = Sampling(rate=0.2, seed=7)
    assert [i.id for i in sample(traffic(30), sampling)[0]] == ["i10", "i16", "i21", "i29"]
    assert [k for k in range(30) if sample(traffic(1, session_id=f"s{k}"), sampling)[0]] == [2, 4, 7, 12, 17, 18, 27]


@given(interactions, samplings)
def test_everything_high_risk_is_kept_as_it_is(items, sampling):
    """Interactions of the kept categories are all there, in any case of letters, and their weight is untouched."""
    kept, left_out = sample(items, sampling)
    wanted = [i for i in items if (i.risk_category or "").casefold() in ("high", "critical")]
    assert [i for i in kept if (i.risk_category or "").casefold() in ("high", "critical")] == wanted
    assert len(kept) + left_out == len(items)


@given(interactions, samplings)
def test_a_drawn_interaction_stands_for_one_over_the_rate(items, sampling):
    """The weight that came with a drawn interaction is multiplied by 1 / rate, and nothing else of it changes."""
    by_id = {repr(replace(i, weight=1.0)) + str(i.weight) for i in items}
    for i in sample(items, sampling)[0]:
        drawn = (i.risk_category or "").casefold() not in ("high", "critical")
        weight = round(i.weight * sampling.rate, 9) if drawn else i.weight
        assert repr(replace(i, weight=1.0)) + str(weight) in by_id


def test_a_session_is_kept_whole_or_not_at_all():
    """All turns of a session that are drawn share one fate, so that conversations and follow-ups stay whole."""
    turns = [replace(i, session_id=f"s{k % 50}") for k, i in enumerate(traffic(500))]
    kept, _ = sample(turns, Sampling(rate=0.3, seed=1))
    sizes = {s: sum(i.session_id == s for i in kept) for s in {i.session_id for i in kept}}
    assert 5 <= len(sizes) <= 28
    assert set(sizes.values()) == {10}


def test_an_empty_session_is_no_session():
    """Interactions whose session is empty are drawn one by one: they are not one huge conversation."""
    kept, left_out = sample(traffic(1000, session_id=""), Sampling(rate=0.5))
    assert 400 < len(kept) < 600
    assert left_out == 1000 - len(kept)


@given(interactions, samplings)
def test_rows_are_sampled_like_records(items, sampling):
    """The twin for Arrow tables keeps the same rows with the same weights, in the same order."""
    table, left_out = sample_rows(to_rows(items), sampling)
    assert (from_rows(table), left_out) == sample(items, sampling)


def test_rows_may_lack_columns():
    """A table without session, category and weight is sampled by id, and gets its weights; one without id is refused."""
    ids = [i.id for i in traffic(30)]
    table, left_out = sample_rows(pa.table({"id": ids}), Sampling(rate=0.2, seed=7))
    assert table["id"].to_pylist() == [i.id for i in sample(traffic(30), Sampling(rate=0.2, seed=7))[0]]
    assert set(table["weight"].to_pylist()) == {5.0}
    assert left_out == 30 - table.num_rows
    with pytest.raises(InputError, match="no column id"):
        sample_rows(pa.table({"name": ids}), Sampling(rate=0.2))


def test_broken_unicode_is_not_the_sampler_s_business():
    """An id that is no Unicode is decided like any other; the store refuses it with its reason."""
    kept, left_out = sample(traffic(1, session_id="\ud800"), Sampling(rate=0.5))
    assert len(kept) + left_out == 1


@pytest.mark.parametrize("rate", [0.0, 9e-7, -0.1, 1.0001, float("nan"), float("inf")])
def test_an_impossible_rate_is_refused(rate):
    """A rate of which no weight can be made is refused with its value and what is allowed."""
    with pytest.raises(ConfigError, match=f"{rate} is not allowed; from 0.000001 to 1"):
        Sampling(rate=rate)


def test_another_seed_is_another_sample():
    """Samples of two seeds at 30 % have about 9 % in common, so a second stage may sample again with a seed of its own."""
    items = traffic(20_000)
    one, other = ({i.id for i in sample(items, Sampling(rate=0.3, seed=s))[0]} for s in (1, 2))
    assert abs(len(one) / 20_000 - 0.3) < 0.015
    assert abs(len(one & other) / 20_000 - 0.09) < 0.01


RATES = st.floats(0.001, 0.9)


@given(st.lists(st.tuples(st.floats(0.01, 1.0), RATES, st.floats(0.01, 1.0)), min_size=1, max_size=5))
def test_rows_that_count_a_fraction_keep_the_detector_s_promise(strata):
    """Over any mix of categories, rows counted as at most one observation multiply the detector by at most 1 on average."""
    assert growth(strata).max() <= 1 + 1e-9


def test_rows_that_count_more_than_once_break_the_promise():
    """Weights summed as if they were counts make the detector grow under stable traffic; equal fractions leave it at 1 or below."""
    assert growth([(1.0, 0.05, 20.0)]).max() > 1.5
    assert growth([(0.5, 0.001, 1.0), (0.5, 0.002, 1.0)]) == pytest.approx(np.ones(8), abs=0.01)


def growth(strata):
    """Expected factor of one row on the detector, for each alternative, of strata (share, rate, what a row counts)."""
    share, rate, count = np.array(strata).T
    share = share / share.sum()
    null = (share * count * rate).sum() / (share * count).sum()
    scale, one = 1 / (1 - null), np.ones(len(share))
    fine, harmed = (
        np.exp(log_likelihood_ratio(count * x * scale, count * null * scale, 1e-9 * one, one, log_ratios(null * one)))
        for x in (0.0, 1.0)
    )
    return (fine * (1 - rate) + harmed * rate) @ share


def population():
    """Three thousand interactions in sessions: 4 % high-risk with much harm, the rest with harm that clusters in sessions."""
    rng = np.random.default_rng(11)
    items, harm = [], []
    while len(items) < 3000:
        session, bad = f"s{len(items)}", rng.beta(0.3, 4.0)
        for _ in range(int(rng.integers(1, 9))):
            high = rng.random() < 0.04
            number = len(items)
            items.append(
                Interaction(
                    id=f"i{number}", time_us=number, session_id=session, risk_category="high" if high else "low"
                )
            )
            harm.append(float(rng.random() < (0.6 if high else bad)))
    return items, dict(zip((i.id for i in items), harm, strict=True))


def estimates(items, harm, sampling):
    """One sample: weighted rate, its stated variance, the same without sessions, weighted total, and the unweighted rate."""
    kept, _ = sample(items, sampling)
    w = np.array([i.weight for i in kept])
    x = np.array([harm[i.id] for i in kept])
    rate = float(w @ x / w.sum())
    drawn = (w > 1) * np.sqrt(1 - sampling.rate)
    error = drawn * w * (x - rate)
    _, unit = np.unique([i.session_id for i in kept], return_inverse=True)
    stated = float((np.bincount(unit, error) ** 2).sum() / w.sum() ** 2)
    return rate, stated, float((error**2).sum() / w.sum() ** 2), float(w @ x), float(x.mean())


@pytest.mark.slow
def test_weighted_rates_are_unbiased_and_their_variance_is_as_stated():
    """Over 500 seeds the weighted total and rate hit the truth, the unweighted rate does not, and the stated variance is right."""
    items, harm = population()
    truth, total = np.mean(list(harm.values())), sum(harm.values())
    found = np.array([estimates(items, harm, Sampling(rate=0.2, seed=s)) for s in range(500)])
    rate, stated, without_sessions, weighted_total, unweighted = found.mean(axis=0)
    error = found[:, 0].std() / np.sqrt(len(found))
    figures = {
        "true rate": truth,
        "weighted": rate,
        "unweighted": unweighted,
        "standard error": found[:, 0].std(),
        "stated": np.sqrt(stated),
        "stated without sessions": np.sqrt(without_sessions),
        "weighted total / true": weighted_total / total,
    }
    sys.stdout.write(f"{ {k: round(float(v), 4) for k, v in figures.items()} }\n")
    assert abs(rate - truth) < 4 * error
    assert abs(weighted_total / total - 1) < 4 * found[:, 3].std() / np.sqrt(len(found)) / total
    assert abs(unweighted - truth) > 20 * error
    assert 0.85 < stated / found[:, 0].var() < 1.15
    assert without_sessions < 0.8 * found[:, 0].var()
