"""Laws of ranking what changed."""

import math
import random
from dataclasses import replace
from pathlib import Path

import pytest
import suspects_simulated as simulated
from hypothesis import given, settings
from hypothesis import strategies as st

from andon.changes import KINDS, Change
from andon.investigations import Candidate, Exposure, Suspect, Traffic, rank_suspects
from andon.investigations.exposure import MOST, NEVER, Bin, growth, sharpness, weigh_exposure
from andon.investigations.priors import affinity, affinity_of_unknown, lag_density, track_record
from andon.investigations.suspects import Behind, contrasting, raised_by, told_once

HOUR = 3_600_000_000
T0 = 1_790_000_000_000_000
PAGE = Path(__file__).parents[2] / "docs" / "methods" / "suspects.md"
SAME = Traffic(shifted=False, explained=0.0, words=("questions are as before",))
EVERYBODY = Exposure(exposed_x=200, exposed_n=1000, other_x=0, other_n=0, before_share=0.0)
NOBODY = Exposure(exposed_x=0, exposed_n=0, other_x=200, other_n=1000, before_share=0.0)
CONTRAST = Exposure(exposed_x=190, exposed_n=500, other_x=10, other_n=500, before_share=0.0)
NO_CONTRAST = Exposure(exposed_x=100, exposed_n=500, other_x=100, other_n=500, before_share=0.0)


def change(name: str = "c", hours: float = -1.0, kind: str = "prompt", **more) -> Change:
    """A change this many hours after the onset."""
    told = {"version_field": "prompt_version", "after": f"{name} v2"}
    return Change(id=name, at_us=T0 + int(hours * HOUR), kind=kind, title=f"{name} changed", **{**told, **more})


def rank(*candidates: Candidate, traffic: Traffic = SAME, **more) -> tuple[Suspect, ...]:
    """Rank these for refusals that began about T0."""
    asked = {
        "metric": "refusal",
        "scope": {},
        "onset": ((T0 - HOUR // 2, T0, 0.3), (T0, T0 + HOUR // 2, 0.7)),
        "baseline": 0.02,
    }
    return rank_suspects(candidates, traffic=traffic, **{**asked, **more})


def chances(*candidates: Candidate, **more) -> dict[str, float]:
    """Probability by id."""
    return {s.id: s.probability for s in rank(*candidates, **more)}


exposures = st.none() | st.builds(
    lambda n1, n2, r1, r2, b: Exposure(
        exposed_x=int(n1 * r1), exposed_n=n1, other_x=int(n2 * r2), other_n=n2, before_share=b
    ),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 1),
)
worlds = st.lists(
    st.tuples(st.floats(-1500, 1), st.sampled_from(KINDS), exposures, st.sampled_from(("", "a note"))), max_size=8
)
traffics = st.builds(Traffic, shifted=st.booleans(), explained=st.floats(0, 1), tested=st.booleans())


@given(
    rows=worlds,
    traffic=traffics,
    metric=st.sampled_from(("refusal", "error", "groundedness", "mine")),
    baseline=st.floats(0, 1),
    seed=st.integers(0, 99),
)
@settings(deadline=None)
def test_probabilities_sum_to_one_and_order_is_no_matter(rows, traffic, metric, baseline, seed) -> None:
    """For any changes, exposures and traffic: probabilities sum to 1 and fall, the three "no own change" are there, permuting changes nothing."""
    candidates = [
        Candidate(change=change(f"c{k}", h, kind), exposure=e, note=note) for k, (h, kind, e, note) in enumerate(rows)
    ]
    found = rank(*candidates, traffic=traffic, metric=metric, baseline=baseline)
    chance = [s.probability for s in found]
    assert math.isclose(sum(chance), 1.0, abs_tol=1e-5)
    assert chance == sorted(chance, reverse=True)
    assert {s.id for s in found} >= {f"no own change: {w}" for w in ("traffic", "provider", "unknown")}
    assert len(found) == len(candidates) + 3
    assert all(s.disproof for s in found)
    shuffled = random.Random(seed).sample(candidates, len(candidates))
    assert rank(*shuffled, traffic=traffic, metric=metric, baseline=baseline) == found


@given(
    hours=st.floats(0.7, 100),
    lead=st.floats(0.1, 1000),
    kind=st.sampled_from(KINDS),
    exposure=exposures,
    traffic=traffics,
)
@settings(deadline=None)
def test_a_change_after_the_onset_is_never_above_an_equal_one_before(hours, lead, kind, exposure, traffic) -> None:
    """Of two changes alike in all but time, one recorded ten minutes after the onset never has the greater probability."""
    before = Candidate(change=change("before", -lead, kind), exposure=exposure)
    after = Candidate(change=change("after", hours, kind), exposure=exposure)
    found = chances(before, after, traffic=traffic)
    assert found["after"] <= found["before"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("metric", ["refusal", "error", "groundedness", "escalation"])
def test_what_the_failing_traffic_never_saw_is_no_suspect(kind: str, metric: str) -> None:
    """A change that the failing traffic did not see stays below 1 %, however near, usual and alone it is."""
    unseen = Candidate(change=change("unseen", -0.1, kind), exposure=NOBODY, note="a note")
    few = Candidate(
        change=change("few", -0.1, kind),
        exposure=Exposure(exposed_x=2, exposed_n=400, other_x=198, other_n=600, before_share=0.0),
    )
    elsewhere = Candidate(change=change("elsewhere", -0.1, kind, scope={"risk_category": "low"}))
    for candidate in (unseen, few, elsewhere):
        found = rank(candidate, metric=metric, scope={"risk_category": "high"})
        suspect = next(s for s in found if s.id == candidate.change.id)
        assert suspect.probability < 0.01
        assert suspect.against


def test_a_handful_of_failures_does_not_acquit() -> None:
    """One failing interaction that did not see a change is no proof against it."""
    one = Exposure(exposed_x=0, exposed_n=1, other_x=1, other_n=1, before_share=0.0)
    assert chances(Candidate(change=change(), exposure=one))["c"] > 0.05


def test_no_traffic_since_the_onset_says_nothing_of_exposure() -> None:
    """Without traffic since the onset a change is neither seen nor unseen."""
    none = Exposure(exposed_x=0, exposed_n=0, other_x=0, other_n=0, before_share=0.0)
    told, untold = rank(Candidate(change=change(), exposure=none)), rank(Candidate(change=change()))
    assert [s.probability for s in told] == [s.probability for s in untold]
    assert "no traffic" in " ".join(told[0].against)


def test_exposure_beats_nearness() -> None:
    """A change that only the failing traffic saw stands above a nearer one that failing and other traffic saw alike."""
    near = Candidate(change=change("near", -0.2), exposure=NO_CONTRAST)
    far = Candidate(change=change("far", -40), exposure=CONTRAST)
    assert rank(near, far)[0].id == "far"
    assert rank(replace(near, exposure=None), replace(far, exposure=None))[0].id == "near"


def test_more_contrast_is_more_suspect() -> None:
    """The same change is the more probable the more of the harm lies with those who saw it."""
    steps = [
        NO_CONTRAST,
        *(
            Exposure(exposed_x=x, exposed_n=500, other_x=200 - x, other_n=500, before_share=0.0)
            for x in (120, 150, 190)
        ),
    ]
    found = [chances(Candidate(change=change(hours=-40), exposure=e))["c"] for e in steps]
    assert found == sorted(found)
    assert found[0] < 0.05
    assert found[-1] > 0.5


def test_a_little_harm_among_the_others_does_not_acquit_the_cause() -> None:
    """Among a million interactions, a baseline that moved by a tenth for all does not clear the change that caused the rest."""
    e = Exposure(exposed_x=1_300, exposed_n=100_000, other_x=9_900, other_n=900_000, before_share=0.0)
    assert rank(Candidate(change=change(), exposure=e), baseline=0.01)[0].id == "c"


def test_a_version_that_was_there_before_the_change_is_a_poor_suspect() -> None:
    """Where most traffic had the version before the change was made, the record is doubted, and says so."""
    early = replace(EVERYBODY, before_share=0.9)
    found = rank(Candidate(change=change(), exposure=early))
    plain = chances(Candidate(change=change(), exposure=EVERYBODY))["c"]
    suspect = next(s for s in found if s.id == "c")
    assert suspect.probability < plain / 2
    assert "before this change" in suspect.against[0] + " ".join(suspect.against)


NEW = Traffic(shifted=True, explained=0.95, words=("the questions changed",))


@pytest.mark.parametrize("metric", ["refusal", "escalation", "error", "normalised_match"])
def test_new_questions_that_carry_the_harm_are_the_first_explanation(metric: str) -> None:
    """When new kinds of questions carry the harm, the traffic itself ranks above any change that everybody saw."""
    found = rank(Candidate(change=change(hours=-1), exposure=EVERYBODY), traffic=NEW, metric=metric)
    assert found[0].id == "no own change: traffic"
    assert found[0].supports == NEW.words


def test_a_new_source_is_named_before_the_traffic_in_general() -> None:
    """When new questions carry the harm and came from a new source, the source is the first explanation; unseen, it is not."""
    told = {"version_field": "source", "own": False}
    source = Candidate(change=change("tv", -30, "traffic source", **told), exposure=CONTRAST)
    assert rank(source, traffic=NEW, metric="escalation")[0].id == "tv"
    assert rank(replace(source, exposure=NOBODY), traffic=NEW, metric="escalation")[0].id == "no own change: traffic"


@pytest.mark.parametrize("explained", [0.0, 0.02])
def test_new_questions_without_the_harm_explain_nothing(explained: float) -> None:
    """New questions that fail no more than the others do not make the traffic the first explanation."""
    harmless = replace(NEW, explained=explained)
    assert rank(Candidate(change=change(hours=-1), exposure=EVERYBODY), traffic=harmless)[0].id == "c"
    if explained == 0:
        alone = chances(traffic=harmless)
        assert alone["no own change: traffic"] < alone["no own change: unknown"]


def test_the_same_questions_speak_against_the_traffic() -> None:
    """When the questions are as before, the traffic is the last of the "no own change", with the test as the reason."""
    found = {s.id: s for s in rank()}
    traffic = found["no own change: traffic"]
    assert traffic.against == SAME.words
    assert traffic.probability < found["no own change: provider"].probability


def test_untested_traffic_stays_possible() -> None:
    """Where there were too few questions to compare, the traffic is neither blamed nor cleared."""
    untested = Traffic(shifted=False, explained=0.0, words=("too few",), tested=False)
    assert chances(traffic=untested)["no own change: traffic"] > 3 * chances()["no own change: traffic"]


@pytest.mark.parametrize("metric", ["retrieval_score", "groundedness", "context_used", "citation_valid"])
@pytest.mark.parametrize("exposure", [None, EVERYBODY])
def test_a_corpus_of_six_weeks_ago(metric: str, exposure: Exposure | None) -> None:
    """A corpus that changed six weeks ago while the index was not rebuilt outranks "unknown" for retrieval metrics, and not for others."""
    corpus = Candidate(
        change=change("corpus", -6 * 7 * 24, "corpus", version_field="corpus_version"),
        exposure=exposure,
        note="the index was not rebuilt after the corpus changed",
    )
    prompt = Candidate(change=change("prompt", -6 * 7 * 24), exposure=exposure)
    found = chances(corpus, prompt, metric=metric)
    assert found["corpus"] > found["no own change: unknown"] > found["prompt"]
    assert chances(corpus, metric="latency_s")["corpus"] < chances(corpus, metric="latency_s")["no own change: unknown"]


def test_an_unknown_onset_leaves_the_times_out() -> None:
    """Without a posterior of the onset the times of changes say nothing, and the words say so."""
    found = rank(Candidate(change=change("a", -500)), Candidate(change=change("b", 5)), onset=())
    a, b = (s for s in found if s.id in "ab")
    assert a.probability == b.probability
    assert "not known" in " ".join((*a.supports, *a.against))


def test_words_of_a_change_without_a_version_field() -> None:
    """A change that no version field shows, or an unknown one, says that traffic cannot tell who saw it."""
    for field in (None, "no_such_field"):
        found = rank(Candidate(change=change(version_field=field)))
        assert "traffic does not show who saw it" in found[0].against


def test_a_change_told_twice_is_one_suspect() -> None:
    """A recorded change swallows its sighting in traffic and takes its version field; others stay."""
    told = change("told", -1, version_field=None, after="v2")
    seen = change("seen", -0.5, after="v2", origin="traffic")
    other = change("other", -0.5, after="v3", origin="traffic")
    early = change("early", -90, after="v2", origin="traffic")
    assert told_once([told, seen, other]) == [replace(told, version_field="prompt_version"), other]
    assert told_once([told, early]) == [told, early]
    assert told_once([seen, other]) == [seen, other]


def staged(*rows: tuple[float, float, float, float]) -> Exposure:
    """An exposure by stretches of time: (exposed harm, exposed, other harm, others)."""
    bins = tuple(Bin(exposed_x=a, exposed_n=b, other_x=c, other_n=d) for a, b, c, d in rows)
    sums = (sum(column) for column in zip(*rows, strict=True))
    return Exposure(
        **dict(zip(("exposed_x", "exposed_n", "other_x", "other_n"), sums, strict=True)), before_share=0.0, bins=bins
    )


def test_hours_are_compared_with_themselves() -> None:
    """A version that spreads while harm rises for all alike has no contrast, whatever the totals look like."""
    rising = staged((1, 50, 19, 950), (20, 200, 80, 800), (180, 600, 120, 400), (450, 900, 50, 100))
    totals = replace(rising, bins=())
    assert weigh_exposure(totals, "v2", 0.02)[0] == pytest.approx(MOST)
    assert weigh_exposure(rising, "v2", 0.02)[0] < 0.01
    guilty = staged((15, 50, 19, 950), (60, 200, 16, 800), (180, 600, 8, 400), (270, 900, 2, 100))
    assert weigh_exposure(guilty, "v2", 0.02)[0] == pytest.approx(MOST)


def test_later_versions_may_carry_a_change_on() -> None:
    """A version that was replaced before most of the harm is acquitted by itself, and not where its successors carry it on."""
    gone = Candidate(change=change("gone", -2), exposure=NOBODY)
    assert chances(gone)["gone"] < 0.01
    assert chances(replace(gone, carried=EVERYBODY))["gone"] > 0.3
    words = next(s for s in rank(replace(gone, carried=EVERYBODY)) if s.id == "gone").supports
    assert any("or a later version" in w for w in words)


def test_harm_of_one_model_alone_names_the_provider() -> None:
    """Where only one of two models fails and no change contrasts it, the provider stands first, with the figures; no lone near change does."""
    near = Candidate(change=change("near", -20, "config", version_field=None))
    small, large = (
        replace(CONTRAST, before_share=1.0),
        Exposure(exposed_x=10, exposed_n=500, other_x=190, other_n=500, before_share=1.0),
    )
    behind = [
        Behind(field="requested_model", value="large", exposure=small),
        Behind(field="requested_model", value="small", exposure=large),
    ]
    found = rank(near, behind=behind)
    assert found[0].id == "no own change: provider"
    assert "large (requested model): harm 38 %" in found[0].supports[0]
    assert rank(near)[0].id == "near"
    both = [replace(b, exposure=NO_CONTRAST) for b in behind]
    assert rank(near, behind=both) == rank(near)


def test_a_change_that_raised_the_dose_is_told_with_the_first() -> None:
    """A load change that sent more traffic to a faulty version gets its exposure, and both say so."""
    first = Candidate(change=change("first", -60), exposure=CONTRAST)
    second = Candidate(change=change("second", -0.5, "config", version_field=None, after=None))
    assert contrasting([first, second], 0.02) == [first]
    told = {s.id: s for s in rank(*raised_by(second, first, 0.008, 0.16))}
    for s in (told["first"], told["second"]):
        assert any("rose from 0.8 % to 16 %" in w for w in s.supports)
    alone = chances(first, second)
    assert told["second"].probability > alone["second"]
    assert any("among those who saw it" in w for w in told["second"].supports)


def test_the_course_of_the_harm_tells_a_deploy_from_an_ageing_corpus() -> None:
    """Harm that grows from the baseline speaks for a corpus, harm that is there at once for a deploy; little data say little."""
    grows = [(n * r, n) for n, r in zip([300.0] * 6, (0.03, 0.06, 0.1, 0.13, 0.16, 0.2), strict=True)]
    at_once = [(45.0, 300.0)] * 6
    assert growth(grows, 0.02) > 10
    assert growth(at_once, 0.02) < 0.1
    assert growth([(0.0, 1.0)] * 6, 0.02) == pytest.approx(1.0, abs=0.7)
    assert growth([(5.0, 10.0)] * 2, 0.02) == growth([], 0.02) == 1.0
    corpus = Candidate(change=change("corpus", -100, "corpus", version_field=None))
    deploy = Candidate(change=change("deploy", -40, "code", version_field=None))
    slow, fast = (chances(corpus, deploy, metric="groundedness", course=c) for c in (grows, at_once))
    assert slow["corpus"] / slow["deploy"] > 3 * fast["corpus"] / fast["deploy"]


def test_all_metrics_that_moved_have_a_say() -> None:
    """The leading metric counts most, further ones less, and a kind that comes after retrieval cannot move retrieval."""
    assert (
        affinity(("refusal",), "policy")
        > affinity(("error", "refusal"), "policy")
        > affinity(("error",), "policy")
        == 1
    )
    assert affinity(("groundedness", "retrieval_score"), "prompt") < 1 < affinity(("groundedness",), "index")
    prompt, index = Candidate(change=change("prompt", -1)), Candidate(change=change("index", -1, "index"))
    one, two = (chances(prompt, index, metric="normalised_match", others=o) for o in ((), ("retrieval_score",)))
    assert one["prompt"] == one["index"]
    assert two["index"] > 5 * two["prompt"]


def test_a_change_that_reached_just_the_failing_part_is_more_suspect() -> None:
    """Of two equal changes the one that the rest of the traffic saw as well is less suspect, and says so; without a scope it is no matter."""
    everywhere = Candidate(change=change("everywhere", -2), exposure=EVERYBODY, outside=1.0)
    here = Candidate(change=change("here", -2), exposure=EVERYBODY, outside=0.0)
    found = {s.id: s for s in rank(everywhere, here, scope={"task": "ask"})}
    assert found["here"].probability > 3 * found["everywhere"].probability
    assert any("traffic outside of the part that fails saw it as well" in w for w in found["everywhere"].against)
    assert any("hardly any traffic outside" in w for w in found["here"].supports)
    whole = chances(everywhere, here)
    assert whole["here"] == whole["everywhere"]


def test_what_is_changed_every_day_is_less_suspect() -> None:
    """Of two equal changes the one whose kind fills the log is less suspect, in any kind; a lone one loses nothing."""
    assert track_record(0) == track_record(1) == 1 > track_record(2) > track_record(20) > 0
    often = [Candidate(change=change(f"often{k}", -300.0 + k, "code", version_field=None)) for k in range(12)]
    code, config = (Candidate(change=change(kind, -2, kind, version_field=None)) for kind in ("code", "config"))
    alone, busy = (chances(code, config, *more, metric="error") for more in ((), often))
    assert busy["code"] / busy["config"] < 0.5 * alone["code"] / alone["config"]


def test_a_metric_of_the_part_itself_points_harder() -> None:
    """A tool's errors point to its schema more than to code, as code is one usual cause among others."""
    assert (
        affinity(("tool_error",), "tool schema")
        > 2 * affinity(("tool_error",), "code")
        > affinity(("tool_error",), "budget")
    )


def test_a_part_whose_own_metric_stands_still_is_less_suspect() -> None:
    """An index cannot spoil answers while retrieval is as before; where retrieval is not measured, nothing follows."""
    index, prompt = Candidate(change=change("index", -1, "index")), Candidate(change=change("prompt", -1))
    told, untold, idle = (
        chances(index, prompt, metric="normalised_match", still=s) for s in ((), ("tool_error",), ("retrieval_score",))
    )
    assert told == untold
    assert idle["index"] / idle["prompt"] < 0.3 * told["index"] / told["prompt"]
    assert affinity(("error",), "permission", ("tool_error",)) == affinity(("error",), "permission")
    assert affinity(("retrieval_score",), "index", ("retrieval_score",)) == affinity(("retrieval_score",), "index")


def test_a_slow_rollout_is_as_late_as_those_who_saw_it() -> None:
    """A rollout of two days, of which most came just before the onset, is nearer to it than one that all saw two days ago."""
    at_once = Candidate(change=change("once", -48), exposure=EVERYBODY)
    steps = tuple((T0 - k * HOUR, 1 / 48) for k in range(48, 0, -1))
    slow = replace(at_once, change=change("slow", -48), arrivals=steps)
    found = chances(at_once, slow)
    assert found["slow"] > 3 * found["once"]
    late = replace(slow, arrivals=tuple((T0 + (k + 5) * HOUR, 0.5) for k in range(2)))
    assert chances(at_once, late)["slow"] < 0.01


def test_two_causes_at_once_do_not_acquit_each_other() -> None:
    """Where the rest left the baseline too, who saw one cause still fares worse than they; far less sure than a clean contrast."""
    worse = staged(*[(60, 200, 120, 800)] * 6)
    alike = staged(*[(30, 200, 120, 800)] * 6)
    assert 1 < weigh_exposure(worse, "v2", 0.02)[0] < MOST / 5
    assert weigh_exposure(alike, "v2", 0.02)[0] == pytest.approx(NEVER)
    better = staged(*[(15, 200, 120, 800)] * 6)
    assert weigh_exposure(better, "v2", 0.02)[0] == pytest.approx(NEVER)


def test_the_sharper_of_two_contrasts_explains_the_other() -> None:
    """Both contrasts are beyond the bound; the one whose exposed all fail is above the one that half of them saw by chance."""
    sharp = Exposure(exposed_x=200, exposed_n=200, other_x=8, other_n=800, before_share=0.0)
    blunt = Exposure(exposed_x=200, exposed_n=600, other_x=8, other_n=400, before_share=0.0)
    assert sharpness(sharp, 0.02) > sharpness(blunt, 0.02) > math.log(MOST)
    found = chances(
        Candidate(change=change("a", -1), exposure=sharp), Candidate(change=change("b", -1), exposure=blunt)
    )
    assert found["a"] > 2 * found["b"]
    assert sharpness(None, 0.02) == sharpness(EVERYBODY, 0.02) == 0


def test_a_doubtful_shift_of_the_traffic_counts_by_its_probability() -> None:
    """New questions that carry the harm weigh less the less sure it is that they are new; a shift that is none, nothing."""
    near = Candidate(change=change("near", -0.2), exposure=EVERYBODY)
    first = [chances(near, traffic=replace(NEW, sure=sure))["no own change: traffic"] for sure in (0.0, 0.1, 0.5, 1.0)]
    assert first == sorted(first)
    assert first[0] < 0.02
    assert first[-1] > 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_lag_kernels_are_densities(kind: str) -> None:
    """Every lag kernel is 0 before the change and integrates to 1 after it."""
    import numpy as np

    assert lag_density(kind, -0.01) == 0
    lags = np.geomspace(1e-4, 2e4, 4000)
    assert np.trapezoid([lag_density(kind, h) for h in lags], lags) == pytest.approx(1.0, abs=0.01)


@pytest.mark.slow
def test_the_page_says_what_the_simulation_gives() -> None:
    """The tables of docs/methods/suspects.md are those of the seeded simulation, to the letter."""
    page = PAGE.read_text(encoding="utf-8")
    for part in simulated.measure(600):
        assert part in page, (
            "run `python tests/investigations/suspects_simulated.py` and put this on the page:\n" + part
        )


def test_simulated_worlds_are_ranked_better_than_by_time() -> None:
    """In seeded worlds the ranker is right more often than nearness to the onset, and is calibrated to within 0.12."""
    import numpy as np

    rng = np.random.default_rng(3)
    made = [simulated.world(rng, 1000.0, 3.0) for _ in range(150)]
    own = [w for w in made if w.cause != "no own change"]

    def right(how: str) -> float:
        return float(np.mean([simulated.place(w, simulated.by_rank(w, how)) == 1 for w in own]))

    assert right("with exposure") > right("nearest to the onset") + 0.05
    assert right("with exposure") > 0.65
    tops = [(s[0].probability, s[0].id.split(":")[0] == w.cause) for w in made for s in [simulated.ranked(w)]]
    assert abs(np.mean([p for p, _ in tops]) - np.mean([hit for _, hit in tops])) < 0.12


def test_a_late_entry_begins_when_traffic_showed_it() -> None:
    """What traffic showed before it was written down begins then, and says so; after another version it is a return."""
    late = change("late", 5, "code", version_field=None, after="v2")
    seen = change("seen", -0.1, "code", after="v2", origin="traffic")
    other = change("other", 2, "code", after="v1")
    assert told_once([late, seen]) == [replace(late, version_field="prompt_version", at_us=seen.at_us)]
    assert told_once([late, seen, other]) == [replace(late, version_field="prompt_version"), other]
    early = Candidate(change=told_once([late, seen])[0], exposure=EVERYBODY, entered_us=late.at_us)
    found = rank(early)
    assert found[0].id == "late"
    assert "traffic showed it 5.1 h before it was recorded, and that time counts" in found[0].supports
    assert found[0].probability > 0.8
    assert chances(Candidate(change=late, exposure=EVERYBODY))["late"] < 0.05


def test_a_notice_is_as_good_as_a_silent_move() -> None:
    """Where one model fails alone, a recorded move of a model stands above a silent one; one that traffic denies does not."""
    behind = [Behind(field="requested_model", value=v, exposure=e) for v, e in (("large", CONTRAST), ("small", NOBODY))]
    notice = change("notice", -10, "model", version_field=None, own=False)
    assert rank(Candidate(change=notice), behind=behind)[0].id == "notice"
    assert chances(Candidate(change=notice, exposure=NO_CONTRAST), behind=behind)["notice"] < 0.05


def test_a_hidden_change_may_have_reached_one_model() -> None:
    """Where one model fails alone, what nobody can see keeps more of its probability than what all traffic saw."""
    behind = [Behind(field="requested_model", value=v, exposure=e) for v, e in (("large", CONTRAST), ("small", NOBODY))]
    hidden, shown = Candidate(change=change("c")), Candidate(change=change("c"), exposure=EVERYBODY)
    alone, both = (tuple(chances(c, behind=b)["c"] for c in (hidden, shown)) for b in (behind, ()))
    assert alone[0] > alone[1]
    assert both[0] <= both[1]


@pytest.mark.parametrize(("metric", "speaks"), [("error", True), ("latency_s", True), ("refusal", False)])
def test_a_surge_speaks_for_the_traffic_where_load_can_hurt(metric: str, speaks: bool) -> None:
    """Far more traffic than on any earlier day explains errors and slowness, and no refusals."""
    near = Candidate(change=change("near", -5, "code"), exposure=EVERYBODY)
    words = "2.5 times the traffic of the same hours on the busiest of 8 earlier days"
    told, quiet = (
        next(s for s in rank(near, metric=metric, surge=w) if s.id == "no own change: traffic") for w in (words, "")
    )
    assert (told.probability > 10 * quiet.probability) == speaks
    assert (words in told.supports) == speaks
    if not speaks:
        assert told == quiet


def test_an_index_that_is_never_rebuilt_says_little() -> None:
    """The note of one stale corpus weighs more than that of each of five; without a note there is no such factor."""
    corpora = [Candidate(change=change(str(k), -40, "corpus"), note="the index was not rebuilt") for k in range(5)]
    rest = {"metric": "retrieval_score"}
    odds = []
    for noted in (0, 1, 5):
        found = chances(*(c if k < noted else replace(c, note="") for k, c in enumerate(corpora)), **rest)
        odds.append(found["0"] / found["no own change: unknown"])
    assert odds[1] == pytest.approx(6 * odds[0], rel=0.01)
    assert odds[2] == pytest.approx(2 * odds[0], rel=0.01)


def test_an_unknown_cause_is_an_average_one() -> None:
    """An unknown cause goes with the metrics that moved neither better than the best kind of change nor worse than the worst."""
    for metrics in (("error",), ("retrieval_score", "rating"), ("refusal", "escalation", "error")):
        kinds = [affinity(metrics, kind) for kind in KINDS]
        assert min(kinds) < affinity_of_unknown(metrics) < max(kinds)


def test_a_contrasted_change_is_not_taken_for_one_that_all_saw() -> None:
    """Where one model fails alone, changes that only part of the traffic saw keep their order and distance, sharpest or not."""
    behind = [Behind(field="requested_model", value=v, exposure=e) for v, e in (("large", CONTRAST), ("small", NOBODY))]
    duller = Exposure(exposed_x=90, exposed_n=250, other_x=16, other_n=750, before_share=0.0)
    found = [
        chances(
            Candidate(change=change("sharp"), exposure=CONTRAST, outside=0.1),
            Candidate(change=change("dull"), exposure=duller, outside=0.1),
            scope={"task": "ask"},
            behind=some,
        )
        for some in ((), behind)
    ]
    apart = [f["dull"] / f["sharp"] for f in found]
    assert apart[0] == pytest.approx(apart[1], rel=1e-3)


def test_what_fails_in_probes_is_no_shift_of_the_traffic() -> None:
    """Probes ask what they always asked: the traffic is hardly a suspect, and a change loses nothing by reaching everybody."""
    mine = Candidate(change=change(), exposure=EVERYBODY, outside=1.0)
    people = chances(mine, scope={"segment": "eu"}, metric="probe_pass")
    probes = chances(mine, scope={"source": "probe"}, metric="probe_pass")
    assert probes["no own change: traffic"] < people["no own change: traffic"] / 5
    assert probes["c"] > people["c"]
