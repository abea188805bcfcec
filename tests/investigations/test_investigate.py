"""Laws of answering the four questions from a real store."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from planted import HOUR, MINUTE, SORRY, T0, Planted, asked, prompt_failure, signal

from andon.changes import Change
from andon.errors import InputError, StateError
from andon.incidents.run import restate
from andon.investigations import Evidence, Investigation, Limit, isolated_or_systematic, rank_parts
from andon.investigations.run import EXAMPLES, recompute
from andon.investigations.run.investigate import lead_of
from andon.investigations.usual import COST
from andon.monitors import TRAFFIC, Signal
from andon.traffic import Feedback

DECOY = Change(id="decoy", at_us=T0 - 3 * MINUTE, kind="config", title="cache doubled", app="triage")
UNKNOWN_FIELD = Change(
    id="odd",
    at_us=T0 - 2 * HOUR,
    kind="other",
    title="odd",
    app="triage",
    version_field="no_such_column",
    after="x",
)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planted]:
    """A prompt of which half of the traffic sees a version that refuses, beside decoys."""
    store = Planted(tmp_path_factory.mktemp("planted"), prompt_failure(), changes=(DECOY, UNKNOWN_FIELD))
    yield store
    store.close()


@pytest.fixture(scope="module")
def found(planted: Planted) -> Investigation:
    """Its investigation."""
    return planted.look()


def test_the_true_cause_is_first(found: Investigation) -> None:
    """The planted version stands first, above a nearer decoy and a version that everybody saw, with the contrast in words."""
    first = found.suspects[0]
    assert (first.kind, first.own) == ("prompt", True)
    assert "v1 -> v2" in first.title
    assert first.probability > 0.5
    assert any("among those who saw it" in s for s in first.supports)
    assert {s.id for s in found.suspects} >= {"decoy", "odd"}


def test_the_numbers_are_those_of_the_traffic(found: Investigation) -> None:
    """Harm, traffic, users and excess are counted exactly."""
    assert (found.impact.n, found.impact.harmed) == (240, 90)
    assert found.impact.excess == 90.0
    hit = [i for i in prompt_failure() if i.answer == SORRY]
    assert (found.impact.users, found.impact.sessions) == (
        len({i.user_id for i in hit}),
        len({i.session_id for i in hit}),
    )
    assert found.verdict == "systematic"
    assert "90 of 240 harmed" in found.verdict_reason


def test_evidence_gives_the_same_figures_again(planted: Planted, found: Investigation) -> None:
    """Every piece of evidence, recomputed from its plan, has the figures that it states; E1 to E6 are the totals."""
    assert [e.id for e in found.evidence[:6]] == ["E1", "E2", "E3", "E4", "E5", "E6"]
    assert [e.figures["refusal.n"] for e in found.evidence[:6]] == [0, 590, 90, 240, 9, 24]
    for e in found.evidence:
        again = recompute(planted.warehouse, e)
        assert {k: again[k] for k in e.figures} == e.figures


def test_what_is_no_plan_is_refused(planted: Planted) -> None:
    """Evidence whose plan is none of the five is refused by name."""
    with pytest.raises(InputError, match="not a plan"):
        recompute(planted.warehouse, Evidence(id="E9", claim="x", plan={"plan": "Drop"}, figures={}))


def test_examples_are_failing_and_expect_something_else(found: Investigation) -> None:
    """Examples are distinct failing questions; what they expect is a fine answer from before, never the failing one."""
    assert 1 <= len(found.examples) <= EXAMPLES
    assert len({e.question for e in found.examples}) == len(found.examples)
    for e in found.examples:
        assert e.answer == SORRY
        assert e.expected_from == "passing twin"
        assert e.expected == e.twin.answer != e.answer
        assert e.twin.at_us < T0
        assert e.versions["prompt_version"] == "v2"
        assert e.segments["risk_category"] in ("high", "low")


def test_the_part_that_carries_the_harm_is_first(found: Investigation) -> None:
    """Of all parts of the traffic, the one that saw the new version shows the surest rise."""
    assert (found.parts[0].field, found.parts[0].value) in (("prompt_version", "v2"), ("code_version", "c2")) or (
        found.parts[0].low > 0
    )
    v2 = next(p for p in found.parts if p.value == "v2")
    v1 = next(p for p in found.parts if p.value == "v1")
    assert (v2.after_x, v2.after_n, v1.after_x, v1.after_n) == (90, 120, 0, 120)
    assert (v2.low, v2.high) == (-1.0, 1.0)


def test_the_same_question_gives_the_same_answer(planted: Planted, found: Investigation) -> None:
    """Investigating again with the same clock and seed writes no new version; earlier, less is known."""
    versions = len(planted.ledger.history(Investigation))
    assert planted.look() == found
    assert len(planted.ledger.history(Investigation)) == versions
    early = planted.look(T0 + 30 * MINUTE)
    assert early.impact.n == 60
    assert planted.look() == found


def test_the_gap_and_the_first_alarm(found: Investigation) -> None:
    """The detection gap begins with the incident's lag in words, and the first alarms name metric and direction."""
    assert found.gap.text.startswith(
        "30 min from the estimated onset to the first alarm (between 25 min and 35 min, 95 %)"
    )
    assert "22 harmed of 60 interactions" in found.gap.text
    assert found.first_alarms == (("refusal up", T0 + 30 * MINUTE),)


def everybody(**fields) -> list:
    """A short failure: everybody is refused."""
    before = [asked(k, T0 - 3 * HOUR + k * MINUTE, **fields) for k in range(100)]
    return before + [asked(k, T0 + k * MINUTE, refused=True, **fields) for k in range(30)]


@pytest.mark.parametrize(
    ("fields", "expected", "source"),
    [
        ({"expected_answer": "Take rest."}, "Take rest.", "expected answer"),
        ({"expected_answer": SORRY}, "the person's word", "correction"),
        ({"expected_answer": f" {SORRY}\n"}, "the person's word", "correction"),
    ],
)
def test_where_the_expected_answer_comes_from(plant, fields, expected, source) -> None:
    """An expected answer comes first, then a person's correction; one that equals the failing answer is never taken."""
    traffic = everybody(**fields)
    corrections = [
        Feedback(id=f"f{i.id}", interaction_id=i.id, time_us=i.time_us + 1, kind="correction", text="the person's word")
        for i in traffic
    ]
    examples = plant(traffic, feedback=corrections).look(T0 + HOUR).examples
    assert examples
    assert {(e.expected, e.expected_from) for e in examples} == {(expected, source)}


def test_a_failing_answer_is_never_its_own_twin(plant) -> None:
    """When the same text was scored fine before, it is no expected answer for itself."""
    traffic = [replace(i, answer=SORRY, refused=i.time_us >= T0) for i in everybody()]
    examples = plant(traffic).look(T0 + HOUR).examples
    assert examples
    assert all(e.expected is None and e.expected_from is None and e.twin is None for e in examples)


def test_a_twin_of_another_environment_does_not_count(plant) -> None:
    """Only answers of the same app and environment are twins."""
    traffic = [replace(i, environment="production" if i.time_us >= T0 else "staging") for i in everybody()]
    examples = plant(traffic).look(T0 + HOUR).examples
    assert examples
    assert all(e.twin is None for e in examples)


def test_probes_are_no_traffic_of_people(plant) -> None:
    """Questions that we ask ourselves are left out of every figure, example and part."""
    people = plant(everybody()).look(T0 + HOUR)
    probes = [replace(i, id=f"probe-{i.id}", source="probe", answer="Fine.") for i in everybody()]
    found = plant([*everybody(), *probes]).look(T0 + HOUR)
    assert found.impact == people.impact
    assert found.parts == people.parts
    assert not [e for e in found.examples if e.interaction_id.startswith("probe-")]


@pytest.mark.parametrize(
    ("name", "traffic", "verdict"),
    [
        ("no traffic at all", [], "undecided"),
        ("no traffic since the onset", [i for i in everybody() if i.time_us < T0], "undecided"),
        ("no traffic before", [i for i in everybody() if i.time_us >= T0], "systematic"),
        ("one interaction", [asked(1, T0 + 1, refused=True)], "isolated"),
        ("no users, sessions or segments", everybody(user_id=None, session_id=None, risk_category=None), "systematic"),
        ("no questions", [replace(i, query=None, refused=i.time_us >= T0) for i in everybody()], "systematic"),
        ("blank questions", everybody(query="  "), "systematic"),
        ("no answers", [replace(i, answer=None) for i in everybody()], "undecided"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_missing_data_are_said_not_raised(plant, name, traffic, verdict) -> None:
    """Whatever is missing, the investigation says so: a verdict it can hold, suspects that sum to 1, no invented example."""
    found = plant(traffic, lead=signal(onset_probability=())).look(T0 + HOUR)
    assert found.verdict == verdict
    assert sum(s.probability for s in found.suspects) == pytest.approx(1.0, abs=1e-5)
    assert len(found.suspects) >= 3
    if name.startswith("no users"):
        assert (found.impact.users, found.impact.sessions) == (None, None)
    if not traffic or verdict == "undecided":
        assert found.examples == ()
        assert found.impact.harmed == 0


def test_few_questions_do_not_clear_the_traffic(plant) -> None:
    """Where there are too few questions to compare, the traffic is a suspect with that as its words."""
    found = plant([asked(1, T0 + 1, refused=True)]).look(T0 + HOUR)
    traffic = next(s for s in found.suspects if s.id == "no own change: traffic")
    assert "too few distinct questions" in traffic.against[0]


def test_new_questions_with_the_harm_name_the_traffic(plant) -> None:
    """When questions of a new kind carry the harm and nothing was changed, the traffic itself is first."""
    strange = [
        asked(k, T0 + k * MINUTE, refused=True, query=f"Refund my parcel number {k * 7919} from the shop in Utrecht")
        for k in range(60)
    ]
    usual = [asked(k, T0 + k * MINUTE + 1) for k in range(60)]
    before = [asked(k, T0 - 9 * HOUR + k * MINUTE) for k in range(500)]
    found = plant([*before, *usual, *strange]).look()
    assert found.suspects[0].id == "no own change: traffic"
    assert "questions changed" in found.suspects[0].supports[0]


def test_a_change_recorded_and_seen_is_one_suspect(plant) -> None:
    """A deploy that somebody recorded without a version field is shown once, with the exposure that traffic tells."""
    deploy = Change(id="deploy", at_us=T0 - MINUTE, kind="prompt", title="new prompt", app="triage", after="v2")
    found = plant(prompt_failure(), changes=(deploy,)).look()
    assert found.suspects[0].id == "deploy"
    assert [s.kind for s in found.suspects].count("prompt") == 1
    assert any("among those who saw it" in s for s in found.suspects[0].supports)


def test_a_version_that_was_always_there_is_doubted(plant) -> None:
    """A recorded change to a version that traffic had long before is no likely cause."""
    noop = Change(
        id="noop",
        at_us=T0 - MINUTE,
        kind="code",
        title="noop",
        app="triage",
        version_field="code_version",
        after="c1",
    )
    traffic = everybody(code_version="c1")
    found = {s.id: s for s in plant(traffic, changes=(noop,)).look(T0 + HOUR).suspects}
    assert "100 % of the traffic saw c1 before this change" in " ".join(found["noop"].against)
    assert found["noop"].probability < 0.5


def test_a_corpus_without_a_new_index(plant) -> None:
    """A corpus change without a rebuilt index says so; with one it does not."""
    corpus = Change(id="corpus", at_us=T0 - 1000 * HOUR, kind="corpus", title="filings added", app="triage")
    index = Change(id="index", at_us=T0 - 900 * HOUR, kind="index", title="index rebuilt", app="triage")
    stale = plant([asked(1, T0 + 1)], changes=(corpus,)).look()
    assert "not rebuilt" in " ".join(next(s for s in stale.suspects if s.id == "corpus").supports)
    fresh = plant([asked(1, T0 + 1)], changes=(corpus, index)).look()
    assert "not rebuilt" not in " ".join(next(s for s in fresh.suspects if s.id == "corpus").supports)


def test_changes_of_others_and_of_long_ago_are_no_suspects(plant) -> None:
    """Changes of another app, from after the onset or more than 60 days back, are not among the suspects."""
    changes = [
        replace(DECOY, id="other", app="shop"),
        replace(DECOY, id="later", at_us=T0 + HOUR),
        replace(DECOY, id="ancient", at_us=T0 - 61 * 24 * HOUR),
        DECOY,
    ]
    found = plant([asked(1, T0 + 1)], changes=changes).look()
    assert [s.id for s in found.suspects if not s.id.startswith("no own")] == ["decoy"]


def test_an_incident_without_its_signal_is_refused(planted: Planted) -> None:
    """An incident whose leading signal is not in the ledger cannot be investigated, and the error says which."""
    lost = replace(planted.incident, lead="gone")
    other = Planted.__new__(Planted)
    other.__dict__.update(planted.__dict__, incident=lost)
    with pytest.raises(StateError, match="gone"):
        other.look()


def test_number_metrics_use_their_cut(plant) -> None:
    """For a number metric, harm is what lies beyond the cut of the signal."""
    traffic = [replace(i, latency_s=9.0 if i.time_us >= T0 else 1.0, answer="fine") for i in everybody()]
    lead = signal(metric="latency_s", kind="number", cut=5.0, id="l@1", monitor="l", harm="availability")
    found = plant(traffic, lead=lead).look(T0 + HOUR)
    assert (found.impact.harmed, found.impact.n) == (30, 30)
    assert all(e.value == 9.0 and e.expected is None for e in found.examples)


def silence(**fields) -> Signal:
    """What the chart of traffic says when a fifth of what is usual comes."""
    told = {
        "metric": TRAFFIC, "direction": "down", "kind": "number", "id": "tr@1", "monitor": "tr", "harm": "availability",
        "x": 48, "n": 60, "baseline_x": 0, "baseline_n": 30_195,
    }  # fmt: skip
    return signal(**{**told, **fields})


def fallen(errors: int) -> list:
    """Ten hours of an interaction a minute with 1 % of errors, then one in five minutes, of which the last ones fail."""
    before = [asked(k, T0 - 10 * HOUR + k * MINUTE, error="timeout" if k % 100 == 0 else None) for k in range(600)]
    since = [asked(k, T0 + (60 + k * 300) * 1_000_000) for k in range(24)]
    return before + [replace(i, error="timeout") if k >= 24 - errors else i for k, i in enumerate(since)]


@pytest.mark.parametrize(("errors", "verdict"), [(0, "undecided"), (1, "undecided"), (12, "systematic")])
def test_traffic_that_fell_is_not_cleared_by_those_who_came(plant, errors, verdict) -> None:
    """Few errors among those who came are not "isolated": what is missing is said, and errors are held against errors before."""
    store = plant(fallen(errors), lead=silence())
    found = store.look()
    assert found.verdict == verdict
    assert found.verdict_reason.startswith("48 of 60 usual interactions did not come until the alarm (80 %)")
    assert "of those who came since the onset" in found.verdict_reason
    assert (found.impact.n, found.impact.harmed) == (24, errors)
    lead = lead_of(store.warehouse, store.ledger, store.incident, now_us=T0 + 2 * HOUR)
    assert (lead.metric, lead.x, lead.n) == ("error", errors, 24)
    assert (lead.baseline_x, lead.baseline_n) == (6, 595)
    assert not any(e.claim == COST for e in found.evidence)


def test_traffic_that_fell_is_visible_from_the_onset(plant) -> None:
    """Who gets no answer sees it at once, whenever the first error came; the evidence is what did not come."""
    found = plant(fallen(1), lead=silence()).look()
    assert "visible after 0 s" in found.gap.text
    assert "48 of 60 usual interactions that did not come" in found.gap.text


def test_the_title_of_traffic_that_fell_stays(plant) -> None:
    """The rate of errors among those who came says nothing of how much traffic is missing: the title is the alarm's."""
    store = plant(fallen(0), lead=silence())
    assert store.incident.title.startswith("Traffic fell to 20 % of what is usual")
    told = restate(store.ledger, store.incident, store.look().impact.lately, now_us=T0 + 2 * HOUR)
    assert told.title == store.incident.title


@pytest.mark.parametrize(
    ("x", "n", "baseline", "verdict"),
    [
        (0, 0, 0.1, "undecided"),
        (4, 4, 0.01, "isolated"),
        (5, 10, 0.01, "systematic"),
        (11, 100, 0.1, "isolated"),
        (0, 100, 0.1, "isolated"),
    ],
)
def test_isolated_or_systematic(x: int, n: int, baseline: float, verdict: str) -> None:
    """Systematic needs five cases and an exact interval above the baseline; without traffic nothing is decided."""
    assert isolated_or_systematic(x, n, Limit(rate=baseline))[0] == verdict


def test_parts_are_ranked_by_how_sure_the_rise_is() -> None:
    """Parts without traffic since are left out, sure rises stand first, and at most the limit is shown."""
    rows = [
        ("task", "small", 0, 10, 5, 10),
        ("task", "large", 0, 1000, 500, 1000),
        ("task", "gone", 5, 10, 0, 0),
        ("task", "new", 0, 0, 5, 5),
    ]
    assert [p.value for p in rank_parts(rows)] == ["large", "small", "new"]
    assert len(rank_parts(rows, limit=1)) == 1
