"""Laws of incidents that a person reported: looked at by what fails on the reported answer, or said what is missing."""

from dataclasses import replace

import numpy as np
import pytest
from planted import EMBEDDER, HOUR, MINUTE, SORRY, T0, Planted, asked

from andon.incidents import Incident, Report, duration
from andon.investigations import Investigation
from andon.investigations.run import investigate
from andon.investigations.run.investigate import lead_of
from andon.traffic import Feedback, Interaction

DAY = 24 * HOUR
NOW = T0 + HOUR


def reported(store: Planted, interaction_id: str | None, **fields) -> Incident:
    """An incident of one report, as it is opened by it."""
    told = {
        "id": "INC-0007", "title": "A person reports a wrong answer", "app": "triage", "environment": "production",
        "origin": "report", "metric": "", "lead": "", "onset_us": NOW, "onset_low_us": NOW - DAY, "onset_high_us": NOW,
        "alarmed_us": NOW, "last_signal_us": NOW, "noticed_us": NOW,
    }  # fmt: skip
    incident = Incident(**{**told, **fields})
    report = Report(
        id="REP-1", incident=incident.id, text="this is wrong", app="triage", environment="production",
        interaction_id=interaction_id, by="ann", at_us=NOW,
    )  # fmt: skip
    store.ledger.put(incident, now_us=NOW, by="ann")
    store.ledger.put(report, now_us=NOW, by="ann")
    return incident


def look(store: Planted, incident: Incident) -> Investigation:
    """Investigate it."""
    return investigate(store.warehouse, store.ledger, incident, EMBEDDER, now_us=NOW, rng=np.random.default_rng(1))


def weeks(rate: int) -> list[Interaction]:
    """Four good weeks, one interaction an hour, then a week in which every `rate`-th answer is refused."""
    before = [asked(k, T0 - 35 * DAY + k * HOUR, task="chat") for k in range(28 * 24)]
    return before + [
        asked(k, T0 - 7 * DAY + k * HOUR + MINUTE, refused=k % rate == 0, task="chat") for k in range(7 * 24 + 1)
    ]


def test_the_reported_answer_leads(plant) -> None:
    """The metric on which it fails is the lens, it is the first example, and similar interactions are judged."""
    store = plant(weeks(4))
    bad = next(i for i in weeks(4) if i.answer == SORRY and i.time_us > T0 - DAY)
    incident = reported(store, bad.id)
    found = look(store, incident)
    assert found.examples[0].interaction_id == bad.id
    lead = lead_of(store.warehouse, store.ledger, incident, now_us=NOW)
    assert lead.metric in ("refusal", "policy_refusal")
    assert lead.direction == "up"
    assert lead.scope == {"risk_category": bad.risk_category, "task": "chat"}
    assert found.verdict == "systematic"
    assert found.examples[0].expected_from == "passing twin"
    late = duration((NOW - bad.time_us) / 1e6)
    assert found.gap.text.startswith(f"no monitor spoke; a person reported it {late} after the answer; signal missing")
    assert "visible after" not in found.gap.text  # nothing dates an onset, so there is no lag since it
    assert found.gap.kind == "signal missing"
    assert sum(s.probability for s in found.suspects) == pytest.approx(1.0, abs=1e-5)
    assert {e.outcome for e in _checks(store, found)} == {"same"}


def _checks(store: Planted, found: Investigation):  # type: ignore[no-untyped-def]
    from andon.investigations.run.evidence import verify

    return verify(store.warehouse, store.ledger, found)


def test_proposals_are_held_against_the_report(plant) -> None:
    """How much sooner a limit would have spoken is counted to the report, whenever the incident is looked at."""
    store = plant(weeks(4))
    bad = next(i for i in weeks(4) if i.answer == SORRY and i.time_us > T0 - DAY)
    incident = reported(store, bad.id)
    rng = np.random.default_rng(1)
    found = investigate(store.warehouse, store.ledger, incident, EMBEDDER, now_us=NOW + 3 * HOUR, rng=rng)
    assert found.gap.proposals
    for p in found.gap.proposals:
        assert p.sooner_s == (NOW - p.fired_us) / 1e6


def test_a_single_case_is_isolated(plant) -> None:
    """One refused answer in a week of good ones is isolated, and nothing is said to have changed for all."""
    traffic = weeks(10_000)
    traffic[-5] = replace(traffic[-5], answer=SORRY)
    store = plant(traffic)
    found = look(store, reported(store, traffic[-5].id))
    assert found.verdict == "isolated"
    assert found.impact.harmed <= 2


def test_without_an_interaction_it_says_what_is_missing(plant) -> None:
    """No interaction named, or one that is not there: undecided, with the reason, and no error."""
    store = plant(weeks(4))
    bare = look(store, reported(store, None))
    assert bare.verdict == "undecided"
    assert bare.verdict_reason.startswith("the report names no interaction")
    gone = look(store, reported(store, "nowhere", id="INC-0008"))
    assert gone.verdict == "undecided"


def test_what_fails_on_no_metric_is_judged_by_thumbs(plant) -> None:
    """Where no metric fails on the reported answer, similar answers are judged by thumbs down, and it is said."""
    traffic = weeks(10_000)[: 28 * 24] + [asked(k, T0 - 7 * DAY + k * HOUR, task="chat") for k in range(7 * 24)]
    said = [
        Feedback(
            id=f"f{i.id}",
            interaction_id=i.id,
            time_us=i.time_us + 1,
            kind="thumb",
            value=float(i.time_us < T0 - 7 * DAY),
        )
        for i in traffic
        if i.id != traffic[-3].id
    ]
    store = plant(traffic, feedback=said)
    incident = reported(store, traffic[-3].id)
    found = look(store, incident)
    lead = lead_of(store.warehouse, store.ledger, incident, now_us=NOW)
    assert (lead.metric, lead.direction) == ("thumbs", "down")
    assert found.verdict_reason.startswith("no metric fails on the reported interaction")
    assert found.verdict == "systematic"
    assert found.examples[0].interaction_id == traffic[-3].id


def test_an_empty_store_is_no_crash(plant) -> None:
    """A report before any traffic is undecided."""
    store = plant([])
    assert look(store, reported(store, "x")).verdict == "undecided"
