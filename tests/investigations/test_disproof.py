"""Laws of the tests that would disprove a suspect: on figures, on a real store, on targets that are asked again."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from planted import HOUR, MINUTE, SORRY, T0, Planted, asked, prompt_failure, signal
from scipy.stats import fisher_exact, hypergeom

from andon import stats
from andon.changes import Change
from andon.changes.run import changes_of
from andon.incidents.run import signals_of
from andon.investigations.disproof import (
    compare_exposed,
    dose_test,
    other_versions_test,
    passages_test,
    replay_test,
    same_hour_test,
    same_questions_test,
    trace_test,
)
from andon.investigations.exposure import Bin
from andon.investigations.records import Analysis, Suspect, SuspectTest
from andon.investigations.run.analyses import analyses_of, look_at
from andon.investigations.run.case import Case, figures_of
from andon.investigations.run.disproof import run_tests
from andon.investigations.run.evidence import verify
from andon.investigations.silent import Side
from andon.monitors.objectives import Objective
from andon.monitors.verdicts import percent
from andon.store import Ledger, Span, from_json
from andon.traffic import Context, Interaction, ToolCall


def cell(x1: float, n1: float, x2: float, n2: float) -> Bin:
    """x1 of n1 exposed ones harmed, x2 of n2 others."""
    return Bin(exposed_x=x1, exposed_n=n1, other_x=x2, other_n=n2)


def test_one_stratum_is_the_plain_difference_with_fishers_test() -> None:
    """Mantel-Haenszel over one stratum is the difference of two rates; p is Fisher's; the interval is near Newcombe's."""
    found = compare_exposed([cell(18, 60, 9, 90)])
    assert found is not None
    assert found.difference == pytest.approx(18 / 60 - 9 / 90)
    assert found.p == pytest.approx(fisher_exact([[18, 42], [9, 81]], alternative="greater").pvalue)
    _, low, high = stats.difference(9, 90, 18, 60)
    assert found.low == pytest.approx(low, abs=0.02)
    assert found.high == pytest.approx(high, abs=0.02)


def test_the_stratified_test_is_exact() -> None:
    """The p-value is the tail over all tables with the margins of every stratum, summed by brute force."""
    strata = [(3, 5, 1, 6), (2, 4, 2, 7), (1, 3, 0, 2)]
    found = compare_exposed([cell(*s) for s in strata])
    laws = [hypergeom(m + k, a + b, m) for a, m, b, k in strata]
    observed = sum(s[0] for s in strata)
    tail = sum(
        float(np.prod([law.pmf(v) for law, v in zip(laws, values, strict=True)]))
        for values in itertools.product(range(6), repeat=3)
        if sum(values) >= observed
    )
    assert found is not None
    assert found.p == pytest.approx(tail)


def test_strata_undo_confounding() -> None:
    """Harm that goes with the hour, not with the version, has no difference within hours, whatever it is over all."""
    cells = [cell(90, 900, 10, 100), cell(40, 100, 360, 900)]
    found = compare_exposed(cells)
    assert found is not None
    assert found.difference == pytest.approx(0.0)
    assert found.p > 0.3


def test_no_common_stratum_is_no_contrast() -> None:
    """Where nobody, or everybody, saw the version in each stratum there is nothing to compare."""
    assert compare_exposed([cell(5, 10, 0, 0), cell(0, 0, 1, 10)]) is None
    assert compare_exposed([]) is None


def test_the_interval_covers() -> None:
    """Over 1,000 simulated incidents of 20 hours, 95 % intervals hold the true difference in 93 to 98 %."""
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(1000):
        m, k, base = rng.integers(3, 30, 20), rng.integers(3, 30, 20), rng.uniform(0.02, 0.3, 20)
        a, b = rng.binomial(m, base + 0.1), rng.binomial(k, base)
        found = compare_exposed([cell(*map(float, row)) for row in zip(a, m, b, k, strict=True)])
        assert found is not None
        held += found.low <= 0.1 <= found.high
    assert 0.93 <= held / 1000 <= 0.98


def test_many_harmed_use_the_normal_law() -> None:
    """Beyond 20,000 harmed the p-value is that of the normal law, near the exact one, and comes at once."""
    exact = compare_exposed([cell(4000, 20_000, 3900, 20_000)])
    more = compare_exposed([cell(16_000, 80_000, 15_800, 80_000)])
    assert exact is not None
    assert more is not None
    assert exact.p == pytest.approx(0.104, abs=0.01)
    assert more.p == pytest.approx(0.105, abs=0.02)


@pytest.mark.parametrize(
    ("windows", "rise", "result", "words"),
    [
        ([cell(30, 60, 1, 60)] * 3, 0.24, "supports", "explains 100 % of the rise"),
        ([cell(10, 100, 9, 100)] * 9, 0.3, "against", "too little"),
        ([cell(3, 30, 2, 30)], 0.1, "cannot tell", "at the same time"),
        ([cell(3, 3, 2, 3)], 0.5, "cannot tell", "10 of each are needed"),
        ([cell(30, 60, 0, 0)], 0.5, "cannot tell", "everybody saw v2"),
        ([cell(0, 0, 30, 60)], 0.5, "against", "nobody saw v2 since the onset, and yet there is harm"),
        ([], 0.5, "cannot tell", "nobody saw v2"),
    ],
)
def test_same_hour(windows: list[Bin], rise: float, result: str, words: str) -> None:
    """Those who saw it are surely worse, surely not by enough, or nobody can tell; and who did not see it at all clears it."""
    found = same_hour_test(windows, "v2", rise)
    assert found.result == result
    assert words in found.text


def test_versions_that_never_parted_need_replay() -> None:
    """A version that always came with another change is not judged; where they parted it is."""
    together = [cell(0, 0, 1, 100), cell(50, 100, 0, 0)]
    assert other_versions_test(together, "v2", ["code_version"]).result == "cannot tell"
    assert "only replay" in other_versions_test(together, "v2", ["code_version"]).text
    apart = [cell(50, 100, 2, 100), cell(45, 100, 3, 100)]
    assert other_versions_test(apart, "v2", ["code_version"]).result == "supports"
    innocent = [cell(2, 100, 2, 100), cell(45, 100, 55, 100), cell(1, 200, 1, 200)]
    assert other_versions_test(innocent, "v2", ["code_version"]).result != "supports"
    assert other_versions_test(apart, "v2", []).result == "cannot tell"


def hours(slope: float, shares: Sequence[float], seed: int = 1, n: int = 400) -> list[Bin]:
    """Hours whose rate of harm is 5 % and this much more per share exposed, spread over both groups alike."""
    rng = np.random.default_rng(seed)
    made = []
    for s in shares:
        exposed = int(n * s)
        x = rng.binomial(n, 0.05 + slope * s)
        made.append(cell(x * s, exposed, x * (1 - s), n - exposed))
    return made


RAMP = [0.0] * 10 + [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]


def test_dose() -> None:
    """Harm that follows the ramp supports, harm that does not speaks against, and a step is no dose."""
    assert dose_test(hours(0.3, RAMP), "v2", 0.3).result == "supports"
    assert dose_test(hours(0.0, RAMP), "v2", 0.3).result == "against"
    step = dose_test(hours(0.3, [0.0] * 10 + [1.0] * 10), "v2", 0.3)
    assert step.result == "cannot tell"
    assert "5 are needed" in step.text
    assert dose_test([], "v2", 0.3).result == "cannot tell"


def test_dose_is_seldom_wrong() -> None:
    """A harmless ramp beside a harm of another cause is called guilty in at most 2 % of 300 worlds."""
    wrong = [dose_test(hours(0.0, RAMP, seed), "v2", 0.2).result == "supports" for seed in range(300)]
    assert np.mean(wrong) <= 0.02


def side(mean: float, n: int = 500, variance: float = 0.02) -> Side:
    """A measure of a trace."""
    return Side(n=n, mean=mean, variance=variance)


def test_traces() -> None:
    """Poorer retrieval with the version supports, the same speaks against, too few values tell nothing, and say what is missing."""
    poorer = trace_test("retrieval logs", [("retrieval_score", "down", False, side(0.7), side(0.5))], "i2", apart=True)
    assert poorer.result == "supports"
    assert "i2, since the onset: retrieval score 0.7 without, 0.5 with it (moved)" in poorer.text
    same = trace_test("retrieval logs", [("retrieval_score", "down", False, side(0.7), side(0.7))], "i2", apart=True)
    assert same.result == "against"
    before = trace_test("retrieval logs", [("retrieval_score", "down", False, side(0.7), side(0.5))], "i2", apart=False)
    assert "everybody sees it now" in before.text
    few = trace_test("tool traces", [("tool_error", "up", True, side(0.1, 5), side(0.5, 5))], "t2", apart=True)
    assert few.result == "cannot tell"
    assert "too few interactions carry tool error" in few.text


def test_passages() -> None:
    """Other passages for the same questions support, the same ones speak against, unless they always differ."""
    assert passages_test([0.1] * 20, []).result == "supports"
    assert passages_test([1.0] * 20, []).result == "against"
    assert passages_test([0.1] * 9, []).result == "cannot tell"
    assert passages_test([0.1, 0.2] * 10, [0.1, 0.2] * 10).result == "cannot tell"
    assert passages_test([0.6, 0.5] * 10, [1.0] * 20).result == "supports"


def test_same_questions() -> None:
    """The same questions failing more often clears the traffic; as often as before supports it; few tell nothing."""
    assert same_questions_test([(False, True)] * 15 + [(False, False)] * 30, 0.3).result == "against"
    assert same_questions_test([(False, False)] * 200, 0.3).result == "supports"
    assert same_questions_test([(False, False)] * 200, None).result == "cannot tell"
    assert same_questions_test([(False, True)] * 19, 0.3).result == "cannot tell"


@pytest.mark.parametrize(
    ("pairs", "own", "none"),
    [
        ([(False, True)] * 20, "supports", "against"),
        ([(True, True)] * 20 + [(False, True)], "against", "supports"),
        ([(False, False)] * 20, "cannot tell", "cannot tell"),
        ([(False, True)] * 4, "cannot tell", "cannot tell"),
        ([(None, True)] * 20, "cannot tell", "cannot tell"),
        ([(False, True)] * 6 + [(True, False)] * 6, "cannot tell", "cannot tell"),
        ([(False, True)] * 7 + [(True, True)] * 60, "against", "supports"),
    ],
)
def test_replay(pairs: list[tuple[bool | None, bool | None]], own: str, none: str) -> None:
    """Inputs that fail on the new target only accuse our change; failing on both clears it; errors are neither."""
    assert replay_test(pairs, own=True).result == own
    assert replay_test(pairs, own=False).result == none


# ---- on a real store


def case_of(store: Planted, now_us: int) -> Case:
    """The case of its incident."""
    lead, incident = store.lead, store.incident
    before = Span(start_us=lead.baseline_from_us, end_us=max(incident.onset_low_us, lead.baseline_from_us + 1))
    return Case(store.warehouse, lead, before, Span(start_us=incident.onset_us, end_us=now_us))


def outcomes(store: Planted, now_us: int = T0 + 2 * HOUR, **more) -> dict[str, dict[str, SuspectTest]]:
    """The tests of each suspect that was tested, by title and name of the test."""
    suspects = store.look(now_us).suspects
    changes = changes_of(store.ledger, store.incident.app, store.incident.environment, 0, now_us)
    case = case_of(store, now_us)
    found = run_tests(case, suspects, changes, look_at(case), **more)
    assert [s.probability for s in found] == [s.probability for s in suspects]
    return {s.title: {t.name: t for t in s.tests} for s in found if s.tests}


def looked_into(store: Planted, now_us: int = T0 + 2 * HOUR, **more) -> dict[str, Analysis]:
    """The analyses by name."""
    case, signals = case_of(store, now_us), signals_of(store.ledger, store.incident)
    changes = changes_of(store.ledger, store.incident.app, store.incident.environment, 0, now_us)
    found = analyses_of(case, signals, changes, look_at(case), **more)
    return {a.name: a for a in found}


def test_a_guilty_prompt_is_supported_by_what_was_run(plant) -> None:
    """The prompt that half of the traffic saw: same time, other versions and policy decisions support it; replay is asked for."""
    found = outcomes(plant(prompt_failure()))["prompt v1 -> v2 (prompt_version)"]
    assert {n: t.result for n, t in found.items()} == {
        "same hour": "supports",
        "other versions": "supports",
        "dose": "cannot tell",
        "policy decisions": "supports",
        "old target": "cannot tell",
    }
    assert "with code version held fixed" in found["other versions"].text
    assert "--old T --new T" in found["old target"].text


def test_figures_of_a_test_can_be_recomputed(plant) -> None:
    """The evidence of a test names plans that give the same figures again: who saw the version, and how many were harmed."""
    store = plant(prompt_failure())
    case = case_of(store, T0 + 2 * HOUR)
    changes = changes_of(store.ledger, "triage", "production", 0, T0 + 2 * HOUR)
    found = run_tests(case, store.look().suspects, changes, look_at(case))
    ids = found[0].tests[0].evidence
    kept = {e.id: e for e in case.evidence}
    assert [kept[i].figures["refusal.w"] for i in ids] == [120.0, 90.0]
    for i in ids:
        assert figures_of(store.warehouse, from_json(kept[i].plan)) == kept[i].figures


def test_versions_that_came_together_are_left_to_replay(plant) -> None:
    """Prompt and code that moved for the same traffic support each other's contrast, and are said to need replay."""
    traffic = [replace(i, code_version="c1" if i.prompt_version == "v1" else "c2") for i in prompt_failure()]
    found = outcomes(plant(traffic))
    for title in ("prompt v1 -> v2 (prompt_version)", "code c1 -> c2 (code_version)"):
        assert found[title]["same hour"].result == "supports"
        assert found[title]["other versions"].result == "cannot tell"
        assert "only replay" in found[title]["other versions"].text


def test_an_innocent_change_is_cleared(plant) -> None:
    """A change that a random half saw, while the harm came to both halves alike, is spoken against."""
    rng = np.random.default_rng(2)
    before = [asked(k, T0 - 9 * HOUR + k * MINUTE, code_version="c1") for k in range(500)]
    after = [
        asked(k, T0 + k * MINUTE // 4, refused=bool(rng.random() < 0.4), code_version=f"c{1 + int(rng.random() < 0.5)}")
        for k in range(480)
    ]
    store = plant([*before, *after])
    changes = changes_of(store.ledger, "triage", "production", 0, T0 + 2 * HOUR)
    accused = Suspect(id=changes[0].id, title="accused", kind="code", probability=0.9, own=True)
    case = case_of(store, T0 + 2 * HOUR)
    found = {t.name: t.result for t in run_tests(case, [accused], changes, look_at(case))[0].tests}
    assert found["same hour"] == "against"


def replayed(old_refuses: bool) -> Callable[[Literal["old", "new"], Sequence[Interaction]], list[Interaction | None]]:
    """Two targets; the new one refuses."""

    def ask(which: Literal["old", "new"], asked_for: Sequence[Interaction]) -> list[Interaction | None]:
        refuses = which == "new" or old_refuses
        return [replace(i, answer=SORRY if refuses else "Rest.", refused=None) for i in asked_for]

    return ask


def test_targets_are_asked_the_failing_questions(plant) -> None:
    """With targets, a change that the old one does not have is accused, and one that it shares is cleared."""
    store = plant(prompt_failure())
    guilty = outcomes(store, ask=replayed(old_refuses=False))["prompt v1 -> v2 (prompt_version)"]["old target"]
    assert guilty.result == "supports"
    assert "15 inputs on both targets: 15 fail on the new one, 15 of them not on the old one" in guilty.text
    cleared = outcomes(store, ask=replayed(old_refuses=True))["prompt v1 -> v2 (prompt_version)"]["old target"]
    assert cleared.result == "against"


def test_a_metric_that_people_give_cannot_be_replayed(plant) -> None:
    """Answers of a replay have no thumbs: that is said, and no target is asked."""
    lead = signal(metric="thumbs", direction="down", id="t@1", monitor="t")

    def never(which: str, asked_for: Sequence[Interaction]) -> list[Interaction | None]:
        raise AssertionError("asked")

    store = plant([asked(k, T0 + k * MINUTE) for k in range(20)], lead=lead)
    case = case_of(store, T0 + HOUR)
    found = run_tests(case, store.look(T0 + HOUR).suspects, (), look_at(case), ask=never)
    assert any("said by people" in t.text for s in found for t in s.tests)


def test_nothing_known_is_said_not_raised(plant) -> None:
    """Without traffic, questions or versions the tests and the analyses say what is missing."""
    for traffic in ([], [asked(1, T0 + 1, refused=True)], [asked(1, T0 + 1, query=None, answer=None)]):
        store = plant(traffic)
        case = case_of(store, T0 + HOUR)
        looked = look_at(case)
        odd = Change(
            id="odd", at_us=T0 - HOUR, kind="other", title="odd", app="triage", version_field="nothing", after="x"
        )
        known = Suspect(id="odd", title="odd", kind="other", probability=0.9, own=True)
        assert all(t.result == "cannot tell" for s in run_tests(case, [known], [odd], looked) for t in s.tests)
        found = looked_into(store, T0 + HOUR)
        assert {a.found for a in found.values()} <= {"no", "cannot tell"}


def test_the_four_looks_on_a_prompt_failure(plant) -> None:
    """A prompt that refuses: a silent regression and a refusal spike of policy with the prompt's version; no tools, no retrieval."""
    found = looked_into(plant(prompt_failure()))
    assert {n: a.found for n, a in found.items()} == {
        "silent regression": "yes",
        "tool cascade": "no",
        "corpus drift": "no",
        "refusal spike": "yes",
    }
    assert 'new since the onset: prompt version "v2".' in found["refusal spike"].text
    assert "15 fail only since and 0 failed only before" in found["silent regression"].text


def test_a_small_rise_that_a_chart_found_is_a_fall_of_quality(plant) -> None:
    """Harm that went from 3 to 6 % is below what other metrics must move by, and is told all the same."""
    before = [asked(k, T0 - 9 * HOUR + k * MINUTE // 8, refused=k % 33 == 0) for k in range(4000)]
    after = [asked(k, T0 + k * MINUTE // 40, refused=k % 17 == 0) for k in range(4000)]
    found = looked_into(plant([*before, *after], lead=signal(baseline_x=100, baseline_n=3300)))["silent regression"]
    assert found.found == "yes"
    assert "harm (refusal up) 3.05 % to 5.9 %" in found.text


def test_errors_that_rise_are_not_silent(plant) -> None:
    """The same failure as errors of the call is seen by other monitoring, and called so."""
    traffic = [replace(i, error="Timeout" if i.answer == SORRY else None) for i in prompt_failure()]
    lead = signal(metric="error", id="e@1", monitor="e", harm="availability")
    assert looked_into(plant(traffic, lead=lead))["silent regression"].found == "no"


def test_a_tool_that_fails_is_found_with_its_objective(plant) -> None:
    """Calls that fail since the onset with harm among them are a cascade; limits of latency are read from the objectives."""
    failed = ToolCall(name="lookup", error="Timeout")
    traffic = [
        replace(
            i, tool_calls=(failed, failed, failed) if i.answer == SORRY else (ToolCall(name="lookup", result="ok"),)
        )
        for i in prompt_failure()
    ]
    fast = Objective(name="fast", metric="latency_s", direction="up", at_most=0.01, beyond=5.0, source="test")
    found = looked_into(plant(traffic), objectives=[fast])["tool cascade"]
    assert found.found == "yes"
    assert '90 of 90 harmed ones begin to fail at "lookup"' in found.text
    assert len(found.evidence) == 2


def rag(k: int, at_us: int, index: str, rng: np.random.Generator) -> Interaction:
    """An answer from an index: the newer one has poorer passages, and poor passages lead to refusals."""
    score = float(np.clip(rng.normal(0.7 if index == "i1" else 0.45, 0.1), 0, 1))
    refused = bool(rng.random() < 1.1 - score * 1.4)
    contexts = (Context(text="passage", id=f"{index}-{k % 40}", score=score),)
    return asked(k, at_us, refused=refused, index_version=index, corpus_version="c", contexts=contexts)


def test_an_index_with_poorer_passages_is_found_and_supported(plant) -> None:
    """A new index for half of the traffic: corpus drift is retrieval's, and the retrieval logs support the index."""
    rng = np.random.default_rng(3)
    before = [rag(k, T0 - 9 * HOUR + k * MINUTE, "i1", rng) for k in range(500)]
    after = [rag(k, T0 + k * MINUTE // 4, "i2" if k % 80 < 40 else "i1", rng) for k in range(480)]
    corpus = Change(id="corpus", at_us=T0 - 2 * HOUR, kind="corpus", title="filings added", app="triage")
    store = plant([*before, *after], changes=(corpus,), lead=signal(baseline_x=50, baseline_n=400))
    tests = outcomes(store)["index i1 -> i2 (index_version)"]
    assert tests["same hour"].result == "supports"
    suspects, changes = store.look().suspects, changes_of(store.ledger, "triage", "production", 0, T0 + 2 * HOUR)
    case = case_of(store, T0 + 2 * HOUR)
    found = run_tests(case, suspects, changes, look_at(case))
    logs = [t.result for s in found for t in s.tests if t.name == "retrieval logs" and "i2" in t.text]
    assert logs == ["supports"]
    drift = looked_into(store)["corpus drift"]
    assert drift.found == "yes"
    assert drift.text.startswith("Retrieval: ")


def test_a_stale_index_is_told_from_the_change_log(plant) -> None:
    """A corpus that changed after the last index is said to have an index that was not rebuilt."""
    rng = np.random.default_rng(3)
    traffic = [rag(k, T0 - 9 * HOUR + k * MINUTE, "i1", rng) for k in range(600)]
    corpus = Change(id="corpus", at_us=T0 - 48 * HOUR, kind="corpus", title="filings added", app="triage")
    index = Change(id="index", at_us=T0 - 24 * HOUR, kind="index", title="rebuilt", app="triage")
    stale = looked_into(plant(traffic, changes=(corpus,), discover=False), T0 + HOUR)["corpus drift"].text
    assert "the index was not rebuilt after the corpus changed 2.0 days from the onset" in stale
    fresh = looked_into(plant(traffic, changes=(corpus, index), discover=False), T0 + HOUR)["corpus drift"].text
    assert "not rebuilt" not in fresh


def test_the_samples_are_the_same_every_time(plant) -> None:
    """Looking twice gives the same texts and figures."""
    store = plant(prompt_failure())
    assert looked_into(store) == looked_into(store)


def test_the_figures_of_traces_and_doses_can_be_recomputed(plant) -> None:
    """What a trace compares, with and without the version, is kept, and so are the counts by hour of a dose that says something."""
    rng = np.random.default_rng(4)
    traffic = []
    for k in range(24 * 120):
        at = T0 - 12 * HOUR + k * MINUTE // 2
        new = at >= T0 and (at == T0 or rng.random() < 0.1 + (at - T0) / (15 * HOUR))
        told = {"prompt_version": "v2" if new else "v1", "code_version": "c1"}
        traffic.append(asked(k, at, refused=bool(rng.random() < (0.6 if new else 0.05)), **told))
    store = plant(traffic, lead=signal(baseline_from_us=T0 - 12 * HOUR))
    found = store.look(T0 + 12 * HOUR)
    tests = {t.name: t for s in found.suspects if "v1 -> v2" in s.title for t in s.tests}
    kept = {e.id: e for e in found.evidence}
    trace = [kept[i] for i in tests["policy decisions"].evidence]
    assert [e.claim for e in trace] == ["policy decisions without v2", "policy decisions with v2"]
    shares = [e.figures["policy_refusal.sum"] / e.figures["policy_refusal.n"] for e in trace]
    assert f"{percent(shares[0])} without, {percent(shares[1])} with it" in tests["policy decisions"].text
    assert tests["dose"].result == "supports"
    every, harmed = ([*kept[i].rows] for i in tests["dose"].evidence)
    hours = {r["window_us"]: [0.0] * 4 for r in every}
    for at, rows in ((1, every), (0, harmed)):
        for r in rows:
            hours[r["window_us"]][at + 2 * (r["prompt_version"] != "v2")] += r["refusal.w"]
    assert dose_test([cell(*hours[h]) for h in sorted(hours)], "v2", 0.3).text == tests["dose"].text
    assert {c.outcome for c in verify(store.warehouse, store.ledger, found)} == {"same"}


def test_rows_that_stand_for_three_contrast_like_plain_ones(plant) -> None:
    """Equal sampling weights change no contrast: rows are evidence for themselves, by window and by the versions held fixed."""
    plain = outcomes(plant(prompt_failure()))
    tripled = outcomes(plant([replace(i, weight=3.0) for i in prompt_failure()]))
    for name in ("same hour", "other versions"):
        texts = {found["prompt v1 -> v2 (prompt_version)"][name].text for found in (plain, tripled)}
        assert len(texts) == 1


def test_the_change_log_is_read_once(plant, monkeypatch) -> None:
    """Suspects, their tests and the look at the corpus are of one reading of the change log, whatever is entered meanwhile."""
    store, read = plant(prompt_failure()), []
    real = Ledger.all
    monkeypatch.setattr(Ledger, "all", lambda self, kind, *more: read.append(kind) or real(self, kind, *more))
    store.look()
    assert read.count(Change) == 1
