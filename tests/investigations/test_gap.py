"""Laws of the detection gap: two clocks, the kind by measurement, and limits that were replayed."""

import shlex
from dataclasses import replace
from time import process_time

import numpy as np
import pytest
from planted import HOUR, MINUTE, SORRY, T0, asked, prompt_failure, signal

from andon.incidents import Delivery, Incident
from andon.investigations.gap import (
    Candidate,
    Clocks,
    Replayed,
    gap_from,
    limit_of,
    proposal_of,
    replay_limits,
    sooner_limits,
)
from andon.investigations.records import Proposal
from andon.traffic import Feedback, Interaction

WINDOW = 5 * MINUTE
FIRST = T0 // WINDOW - 3 * 288
BEFORE = 3 * 288
ONSET = (FIRST + BEFORE) * WINDOW


def candidate(rate: float, later: float, seed: int = 0, n: int = 20, hours: int = 12, **fields) -> Candidate:
    """Three days at one rate of harm, then some hours at another."""
    rng = np.random.default_rng(seed)
    rates = np.repeat([rate, later], [BEFORE, hours * 12])
    seen = np.full(len(rates), float(n))
    told = {"metric": "refusal", "direction": "up", "kind": "binary", "harm": "usefulness"}
    return Candidate(**{**told, **fields}, n=seen, x=rng.binomial(n, rates).astype(float))


def replayed(*candidates: Candidate, threshold: float = 50_000.0) -> list[Replayed]:
    """What they would have done."""
    return replay_limits(
        candidates, app="shop", environment="production", first_window=FIRST, window_us=WINDOW, onset_us=ONSET,
        threshold=threshold,
    )  # fmt: skip


def test_a_limit_is_the_upper_end_of_what_was_usual() -> None:
    """It lies above the rate of the time before, with two digits, and knows nothing of the time since."""
    quiet, loud = candidate(0.02, 0.02), candidate(0.02, 0.9)
    limit = limit_of(quiet, BEFORE)
    assert limit is not None
    assert quiet.x[:BEFORE].sum() / quiet.n[:BEFORE].sum() < limit < 0.03
    assert limit == float(f"{limit:.2g}")
    assert limit_of(loud, BEFORE) == limit


def test_no_limit_without_a_time_before_or_where_failing_is_usual() -> None:
    """Fewer than 100 observations give none, and neither does what fails more often than not."""
    assert limit_of(candidate(0.02, 0.5), 4) is None
    assert limit_of(candidate(0.8, 0.9), BEFORE) is None


def test_the_replay_says_when_and_how_often_falsely() -> None:
    """A large rise is found within hours of the onset and not before; what did not rise is silent."""
    rose, calm = replayed(candidate(0.02, 0.2), candidate(0.02, 0.02, seed=3, metric="error"))
    assert rose.fired_us is not None
    assert ONSET < rose.fired_us <= ONSET + 3 * HOUR
    assert calm.fired_us is None
    assert (rose.false, calm.false) == (0, 0)
    assert rose.guaranteed == pytest.approx(720 / 50_000)
    assert rose.months == pytest.approx(0.1)


def test_a_high_risk_part_has_four_times_the_share() -> None:
    """Its limit may be wrong four times as often, as that of a running chart may."""
    part = candidate(0.02, 0.2, scope=(("risk_category", "high"),))
    assert replayed(part)[0].guaranteed == pytest.approx(4 * 720 / 50_000)


def test_hours_that_vary_together_make_a_limit_slower() -> None:
    """No limit is taken for surer than the charts that ran: with their persistence the replay speaks later."""
    free, slow = replayed(candidate(0.02, 0.1))[0], replayed(candidate(0.02, 0.1, persistence=4.0))[0]
    assert free.fired_us is not None
    assert slow.fired_us is None or slow.fired_us > free.fired_us


def test_a_limit_that_cries_wolf_is_counted() -> None:
    """What signals on the time before counts as false pages, and goes behind what does not."""
    wild = candidate(0.02, 0.2, metric="error")
    wild.x[400:420] = wild.n[400:420]
    found = replayed(candidate(0.02, 0.2), wild)
    assert found[1].false == 1
    assert found[1].false_pages == pytest.approx(10.0)
    ranked = sooner_limits(found, onset_us=ONSET, seen_us=ONSET + 12 * HOUR, window_us=WINDOW, metric="error", known=())
    assert [r.candidate.metric for r in ranked] == ["refusal", "error"]


def test_only_what_is_sooner_and_new_is_proposed() -> None:
    """Limits that would not have spoken a window sooner, or that stand already, are left out; one for each metric."""
    c = candidate(0.02, 0.2)
    part = candidate(0.02, 0.2, scope=(("task", "a b"),))
    found = replayed(c, part)
    assert found[0].fired_us is not None

    def ranked(seen_us: int, known=()) -> tuple[Proposal, ...]:
        chosen = sooner_limits(found, onset_us=ONSET, seen_us=seen_us, window_us=WINDOW, metric="refusal", known=known)
        return tuple(proposal_of(r, "shop", "production", seen_us) for r in chosen)

    assert len(ranked(ONSET + 12 * HOUR)) == 1
    first = min(f.fired_us or 0 for f in found)
    assert ranked(first) == ()
    assert ranked(first + (first - ONSET) // 10) == ()
    assert ranked(first + (first - ONSET) // 2) != ()
    stands = signal(objective="x", metric="refusal", direction="up", scope={})
    assert all("task" in p.title for p in ranked(ONSET + 12 * HOUR, [stands]))


def test_the_command_survives_hostile_names() -> None:
    """Values of traffic are quoted, so that a shell gives them back letter by letter."""
    evil = "a'; rm -rf ~ #$(x)"
    found = replayed(candidate(0.02, 0.2, scope=(("task", evil),)))
    proposal = proposal_of(found[0], evil, "production", ONSET + 12 * HOUR)
    words = shlex.split(proposal.command)
    assert words[:4] == ["andon", "monitor", "add", "refusal"]
    assert words[words.index("--app") + 1] == evil
    assert words[words.index("--scope") + 1] == f"task={evil}"


def incident(**fields) -> Incident:
    """An incident that was alarmed an hour after its onset."""
    told = {
        "id": "INC-0001", "title": "t", "app": "shop", "environment": "production", "metric": "refusal", "lead": "s",
        "onset_us": T0, "onset_low_us": T0 - HOUR, "onset_high_us": T0 + MINUTE, "alarmed_us": T0 + HOUR,
        "last_signal_us": T0 + HOUR,
    }  # fmt: skip
    return Incident(**{**told, **fields})


PROPOSAL = Proposal(
    title="wrong answers at most 1 % in all traffic", metric="other", fired_us=T0 + MINUTE, sooner_s=3000.0,
    false_pages=0.01, command="andon monitor add other",
)  # fmt: skip


@pytest.mark.parametrize(
    ("clocks", "proposals", "young", "kind", "words"),
    [
        ({}, (), False, "evaluation lag", "more than chance"),
        ({"alarmed_us": T0 + 2 * WINDOW}, (), False, "none", "as soon as"),
        ({}, (PROPOSAL,), False, "signal missing", "no limit stood"),
        ({}, (replace(PROPOSAL, metric="refusal"),), False, "evaluation lag", "a limit needs less"),
        ({"delay_s": 1800.0}, (PROPOSAL,), False, "evaluation lag", "30 min or more after the answer"),
        ({}, (), True, "no process control", "hardly learned"),
        ({"warned_us": T0 + 10 * MINUTE}, (), False, "no process control", "a warning stood 50 min before"),
        ({"noticed_us": T0 + 9 * HOUR}, (), False, "no process control", "8 h passed after the alarm"),
        (
            {"told_us": T0 + HOUR, "now_us": T0 + 9 * HOUR},
            (),
            False,
            "no process control",
            "nobody has said anything yet",
        ),
        ({"now_us": T0 + 9 * HOUR}, (), False, "evaluation lag", "nobody was told"),
        ({"noticed_us": T0 + HOUR + MINUTE}, (PROPOSAL,), False, "signal missing", "noticed by a person after 61 min"),
    ],
)
def test_the_kind_is_decided_by_what_was_measured(clocks, proposals, young, kind, words) -> None:
    """Each kind of gap by the figures that make it."""
    told = {
        "onset_us": T0,
        "visible_us": T0 + MINUTE,
        "alarmed_us": T0 + HOUR,
        "noticed_us": None,
        "now_us": T0 + 2 * HOUR,
    }
    found = gap_from(incident(), signal(), Clocks(**{**told, **clocks}), proposals, young=young)
    assert found.kind == kind
    assert words in found.text
    assert "visible after 60 s" in found.text


def test_the_lag_is_told_with_what_it_rests_on() -> None:
    """Lag, its interval, the evidence at the alarm, and the time between false alarms: 10,000 hours are 417 days."""
    clocks = Clocks(onset_us=T0, visible_us=T0 + MINUTE, alarmed_us=T0 + HOUR, noticed_us=None, now_us=T0 + 2 * HOUR)
    found = gap_from(incident(), signal(threshold=10_000.0), clocks, (), young=False)
    assert found.text.startswith(
        "60 min from the estimated onset to the first alarm (between 59 min and 2 h, 95 %); the evidence was 22 harmed of "
        "60 interactions, and the chart raises a false alarm once in 417 d; visible after 60 s, alarmed after 60 min, "
        "nobody was told; evaluation lag: "
    )
    days = gap_from(incident(), signal(threshold=10.0, window_us=24 * HOUR), clocks, (), young=False)
    assert "a false alarm once in 10 d; " in days.text  # wider windows: as many of these


def test_no_monitor_spoke() -> None:
    """A reported incident has no signal: what is missing is a limit, or the measure itself."""
    clocks = Clocks(onset_us=T0, visible_us=None, alarmed_us=None, noticed_us=T0, now_us=T0 + HOUR)
    bare = gap_from(incident(lead="", metric=""), None, clocks, (), young=False)
    assert bare.kind == "signal missing"
    assert "measure what was reported" in bare.text
    assert bare.text.startswith(
        "no monitor spoke; a person reported it, and when it began is not known; signal missing"
    )
    said = gap_from(incident(lead="", metric=""), None, replace(clocks, answered_us=T0 - HOUR), (), young=False)
    assert said.text.startswith("no monitor spoke; a person reported it 60 min after the answer; signal missing")
    assert gap_from(incident(lead="", metric=""), None, clocks, (PROPOSAL,), young=False).kind == "signal missing"


def test_feedback_that_comes_late_is_an_evaluation_lag(plant) -> None:
    """Where thumbs down come an hour after the answers, half of what they tell is that late."""
    traffic = [asked(k, T0 - 9 * HOUR + k * MINUTE) for k in range(500)]
    traffic += [asked(k, T0 - HOUR + k * MINUTE // 2) for k in range(240)]
    said = [thumb(i, down=i.time_us >= T0 - HOUR) for i in traffic]
    lead = signal(metric="thumbs", direction="down", monitor="t", id="t@1", onset_us=T0, at_us=T0 + HOUR)
    store = plant(traffic, feedback=said, lead=lead)
    found = store.look(T0 + 90 * MINUTE)
    assert found.impact.harmed > 20
    assert found.gap.kind == "evaluation lag"
    assert "half of thumbs is known 60 min or more after the answer" in found.gap.text


def thumb(i: Interaction, *, down: bool) -> Feedback:
    """A thumb, an hour after the answer."""
    return Feedback(
        id=f"f{i.id}", interaction_id=i.id, time_us=i.time_us + HOUR, kind="thumb", value=0.0 if down else 1.0
    )


def test_two_clocks_from_the_store(plant) -> None:
    """First visible is the first harmed answer since the onset; told is the first message that arrived."""
    store = plant(prompt_failure())
    hit = min(i.time_us for i in prompt_failure() if i.answer == SORRY)
    assert f"visible after {(hit - T0) // 1_000_000} s" in store.look().gap.text
    delivery = Delivery(
        id="d", incident="INC-0001", reason="opened", channel="c", severity="P3", signal_us=T0, at_us=T0 + 30 * MINUTE,
        state="sent",
    )  # fmt: skip
    store.ledger.put(delivery, now_us=T0, by="andon")
    assert store.look().gap.kind == "no process control"


def test_the_gap_is_quick() -> None:
    """Sixty limits with three days before the onset take less than five seconds of work."""
    many = [candidate(0.02, 0.1, seed=k, metric=f"m{k}") for k in range(60)]
    begun = process_time()
    assert len(replayed(*many)) == 60
    assert process_time() - begun < 5


def test_the_evidence_is_of_the_limit_that_is_proposed(plant) -> None:
    """Of two limits on one metric that fire in the same window, the counts of the proposed one are kept, not of the other."""
    traffic = []
    for k in range(12 * 240):
        at = T0 - 10 * HOUR + k * MINUTE // 4
        told = {"task": "chat" if k % 2 else "triage", "segment": "s2" if k % 40 == 0 else "s1"}
        # a burst elsewhere before, so that limits on more than the task are slow
        burst = k % 2 and T0 - 5 * HOUR <= at < T0 - 5 * HOUR + 15 * MINUTE
        traffic.append(asked(k, at, refused=bool(burst) or k % 100 == 0 or (at >= T0 and k % 2 == 0), **told))
    lead = signal(scope={"segment": "s1", "task": "triage"}, at_us=T0 + 100 * MINUTE)
    found = plant(traffic, lead=lead).look()
    proposal = next(p for p in found.gap.proposals if p.metric == "refusal")
    assert proposal.title.endswith("in task “triage”")  # its part in one segment spoke in the same window
    harmed, every = (e for e in found.evidence if " by refusal up in" in e.claim)
    assert "up in {'task': 'triage'} until" in harmed.claim
    mine = [i for i in traffic if i.task == "triage" and T0 <= i.time_us < proposal.fired_us]
    assert (harmed.figures["rows"], every.figures["rows"]) == (sum(i.answer == SORRY for i in mine), len(mine))
