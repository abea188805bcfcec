"""Laws of capturing from what was scored and said, on a real store."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from andon.errors import SeamError
from andon.golden import CaptureCursor, CaptureDay, Failure
from andon.golden.capture import A_DAY, RULES
from andon.golden.run import capture, capture_all, capture_new
from andon.golden.thresholds import Thresholds
from andon.incidents import Incident
from andon.loop import Loop, open_loop, replay
from andon.settings import Settings
from andon.traffic import Context, Feedback, Interaction
from andon.traffic.run import record, record_feedback

DAY = 86_400_000_000
US = 1_795_132_800_000_000  # 2026-11-20T00:00:00Z
S = 1_000_000


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    """A loop of a fresh home."""
    made = open_loop(Settings(home=tmp_path / "home", embedder="hashed", settle_s=1))
    yield made
    made.close()


def asked(n: int, at_us: int = US, **more) -> Interaction:
    """The n-th interaction: a question of its own, and an answer that is wrong."""
    fields = {"app": "shop", "query": f"how long may I keep article {n}", "answer": f"{n} weeks"}
    return Interaction(**({"id": f"i{n}", "time_us": at_us + n * S} | fields | more))


def said(n: int, kind: str = "thumb", at_us: int = US + 5_000 * S, **more) -> Feedback:
    """Feedback on the n-th interaction; a thumbs-down unless said otherwise."""
    value = {"thumb": 0.0}.get(kind, 1.0)
    fields = {"interaction_id": f"i{n}", "time_us": at_us, "kind": kind, "value": value}
    return Feedback(**({"id": f"f-{kind}-{n}"} | fields | more))


def counts(loop: Loop, now_us: int, since_us: int | None = None) -> dict[str, tuple[int, int, int]]:
    """Score what came, capture, and say what each rule did (captured, known, left out), those that did nothing left out."""
    loop.warehouse.commit()
    loop._score(now_us)
    found = capture_new(loop.warehouse, loop.ledger, loop.scorers, loop.embedder, now_us=now_us, since_us=since_us)
    assert tuple(c.rule for c in found) == RULES
    each = {c.rule: (c.captured, c.known, c.left_out) for c in found}
    return {rule: n for rule, n in each.items() if n != (0, 0, 0)}


def failures(loop: Loop) -> list[Failure]:
    """What was captured."""
    return loop.ledger.all(Failure)


def test_every_thumbs_down_is_captured_once(loop: Loop) -> None:
    """However many there are, whenever they come, and however often they are said: one failure for each question and answer."""
    record(loop.warehouse, [asked(n) for n in range(50)])
    record_feedback(loop.warehouse, [said(n) for n in range(30)])
    assert counts(loop, US + 6_000 * S) == {"thumbs-down": (30, 0, 0)}
    assert counts(loop, US + 6_001 * S) == {}
    late = [said(n, at_us=US + 20 * DAY) for n in range(30, 35)]
    again = [said(3, id="f-again", at_us=US + 20 * DAY), said(4, "correction", at_us=US + 20 * DAY)]
    record_feedback(loop.warehouse, [*late, *again])
    assert counts(loop, US + 20 * DAY)["thumbs-down"] == (5, 1, 0)
    assert len(failures(loop)) == 35
    assert all(f.reason.startswith("a user gave a thumbs-down (thumbs = 0)") for f in failures(loop))


def test_nothing_new_costs_no_question_to_the_tables(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing came since the last call, no plan is run and nothing is written."""
    record(loop.warehouse, [asked(n) for n in range(5)])
    record_feedback(loop.warehouse, [said(1)])
    counts(loop, US + 6_000 * S)
    versions = len(loop.ledger.history(CaptureCursor))

    def refuse(plan: object) -> None:
        raise AssertionError(f"asked {plan}")

    monkeypatch.setattr(loop.warehouse, "run", refuse)
    for k in range(3):
        capture_new(loop.warehouse, loop.ledger, loop.scorers, loop.embedder, now_us=US + (6_001 + k) * S)
    assert len(loop.ledger.history(CaptureCursor)) == versions


def test_a_correction_is_the_suggestion_even_when_it_comes_later(loop: Loop) -> None:
    """A corrected answer brings its right answer along; one that was captured before gets it without becoming another failure."""
    record(loop.warehouse, [asked(1), asked(2)])
    record_feedback(loop.warehouse, [said(1, "correction", text="14 days"), said(2)])
    assert counts(loop, US + 6_000 * S) == {"thumbs-down": (1, 0, 0), "correction": (1, 0, 0)}
    record_feedback(loop.warehouse, [said(2, "correction", text="30 days", at_us=US + 7_000 * S)])
    assert counts(loop, US + 8_000 * S) == {"correction": (0, 1, 0)}
    found = {f.interaction_id: (f.suggestion, f.suggested_by, f.source) for f in failures(loop)}
    assert found == {
        "i1": ("14 days", "correction", "correction"),
        "i2": ("30 days", "correction", "thumbs-down"),
    }


def test_probes_evals_and_what_has_no_question_are_not_captured(loop: Loop) -> None:
    """A thumbs-down on traffic that no user sent is passed over; one without a question is counted as left out."""
    record(
        loop.warehouse,
        [
            asked(1, source="probe"),
            asked(2, environment="eval"),
            asked(3, source="EVAL"),
            asked(4, query=None),
            asked(5),
        ],
    )
    record_feedback(loop.warehouse, [said(n) for n in range(1, 6)])
    assert counts(loop, US + 6_000 * S) == {"thumbs-down": (1, 0, 2)}
    assert [f.interaction_id for f in failures(loop)] == ["i5"]


def test_an_outage_does_not_bury_reviewers(loop: Loop) -> None:
    """Of the weaker signs of a day the worst twenty of each rule are captured when it is over; the rest is counted and kept."""
    rows = [asked(n, guardrail="toxic") for n in range(200)]
    rows += [asked(n, guardrail="toxic", risk_category="high") for n in range(200, 205)]
    record(loop.warehouse, rows)
    record_feedback(loop.warehouse, [said(n, "abandonment", at_us=US + 3_600 * S) for n in range(300)])
    record(loop.warehouse, [asked(n) for n in range(205, 300)])
    assert counts(loop, US + DAY) == {}
    found = counts(loop, US + DAY + 3_600 * S)
    assert found == {"guardrail block": (A_DAY, 0, 185), "abandonment": (A_DAY, A_DAY, 260)}
    assert sum(f.risk_category == "high" for f in failures(loop)) == 5
    day = loop.ledger.get(CaptureDay, "2026-11-20/shop")
    assert day is not None
    assert day.left_out == {"guardrail block": 185, "abandonment": 260}
    assert counts(loop, US + DAY + 3_601 * S) == {}


def test_rows_that_come_late_bring_their_day_back_within_its_bound(loop: Loop) -> None:
    """A day is weighed again for rows that came after, however old it is; it never gives more than its twenty."""
    record(loop.warehouse, [asked(n, guardrail="toxic") for n in range(15)])
    assert counts(loop, US + DAY + 3_600 * S) == {"guardrail block": (15, 0, 0)}
    record(loop.warehouse, [asked(n, guardrail="toxic") for n in range(15, 30)])
    assert counts(loop, US + DAY + 3_700 * S) == {"guardrail block": (5, 15, 10)}
    assert len(failures(loop)) == A_DAY
    record(loop.warehouse, [asked(n, at_us=US - 9 * DAY, guardrail="toxic") for n in range(50, 60)])
    assert counts(loop, US + DAY + 3_800 * S) == {"guardrail block": (10, 0, 0)}
    assert counts(loop, US + DAY + 3_801 * S) == {}


def test_nothing_of_a_month_is_passed_over(loop: Loop) -> None:
    """A month that comes at once is weighed day by day, as far back as it goes; each call goes on, and `capture_all` ends it."""
    for day in range(30):
        record(loop.warehouse, [asked(100 * day + n, at_us=US + day * DAY, guardrail="toxic") for n in range(2)])
    now_us = US + 45 * DAY
    assert counts(loop, now_us) == {"guardrail block": (20, 0, 0)}
    rest = capture_all(loop.warehouse, loop.ledger, loop.scorers, loop.embedder, now_us=now_us)
    assert [(c.rule, c.captured, c.left_out) for c in rest if c.captured] == [("guardrail block", 40, 0)]
    assert len(failures(loop)) == 60
    assert counts(loop, now_us) == {}


def test_a_replay_captures_all_days_that_are_over(tmp_path: Path) -> None:
    """A replay of three weeks captures from each of their days, the first as well as the last that is over."""
    loop = open_loop(Settings(home=tmp_path / "replayed", embedder="hashed", settle_s=1))
    days = range(21)
    hours = 2 * 3_600 * S
    record(loop.warehouse, [asked(n, at_us=US + n * DAY + hours, guardrail="toxic") for n in days])
    replay(loop, (), steps=2)
    assert sorted(f.answer for f in failures(loop)) == sorted(f"{day} weeks" for day in days[:-1])
    loop.close()


def test_a_failure_of_an_incident_that_people_told_of_before_gets_the_incident(loop: Loop) -> None:
    """What a thumbs-down captured is given the incident that samples the same answer later; it keeps the incident that it has."""
    record(loop.warehouse, [asked(1)])
    record_feedback(loop.warehouse, [said(1)])
    counts(loop, US + 6_000 * S)
    (before,) = failures(loop)
    for incident in ("INC-0001", "INC-0002"):
        sampled = replace(before, incident=incident, source=f"incident {incident}")
        assert capture(loop.ledger, [sampled], now_us=US + 7_000 * S).known == (before.id,)
    assert failures(loop) == [replace(before, incident="INC-0001")]


def test_the_threshold_of_the_configuration_holds_for_twins(loop: Loop) -> None:
    """An answer to a question that is only somewhat alike is a twin where the configuration says that it asks the same."""
    record(
        loop.warehouse,
        [asked(1, query="how long may I keep a loan"), asked(2, query="how long can I keep a loan", answer="14 days")],
    )
    record_feedback(loop.warehouse, [said(1), said(2, id="up", value=1.0)])
    loop.warehouse.commit()
    loop._score(US + 6_000 * S)
    told = {"now_us": US + 6_000 * S, "thresholds": Thresholds(by={"shop": 0.5})}
    capture_new(loop.warehouse, loop.ledger, loop.scorers, loop.embedder, **told)
    assert [(f.suggestion, f.suggested_by) for f in failures(loop)] == [("14 days", "near twin")]


def test_a_low_number_is_low_for_its_application(loop: Loop) -> None:
    """Retrieval scores far below those of the week before are captured, the lowest first, with the value and what is usual."""
    rng = np.random.default_rng(0)
    for day in range(-7, 1):
        scores = rng.uniform(0.6, 0.9, 60)
        if day == 0:
            scores[:3] = (0.3, 0.1, 0.2)
        passages = [(Context(text="a passage about something", score=float(s)),) for s in scores]
        rows = [asked(n, at_us=US + day * DAY, id=f"{day}/{n}", contexts=p) for n, p in enumerate(passages)]
        record(loop.warehouse, [replace(r, query=f"{r.query} on day {day}") for r in rows])
    counts(loop, US + DAY + 3_600 * S)
    low = [f for f in failures(loop) if f.source == "low retrieval score" and (f.interaction_id or "").startswith("0/")]
    assert [f.reason.split("(")[1].split(",")[0] for f in low[:3]] == [
        "retrieval_score = 0.1", "retrieval_score = 0.2", "retrieval_score = 0.3"
    ]  # fmt: skip
    assert all("usually from 0.6" in f.reason for f in low)
    assert all(f.metric == "normalised_match" for f in low)


def test_a_wrong_answer_is_captured_with_its_measure_and_what_was_expected(loop: Loop) -> None:
    """A scorer that says harm captures by its own metric; the expected answer is the suggestion."""
    record(loop.warehouse, [asked(1, expected_answer="14 days"), asked(2, expected_answer="2 weeks")])
    assert counts(loop, US + DAY + 3_600 * S) == {"low score": (1, 0, 0)}
    (f,) = failures(loop)
    assert (f.metric, f.value, f.suggestion, f.suggested_by) == ("normalised_match", 0.0, "14 days", "expected_answer")


def test_a_twin_with_a_thumbs_up_is_suggested(loop: Loop) -> None:
    """The suggestion of a thumbs-down is an answer to the same question that got a thumbs-up and no thumbs-down."""
    same = {"query": "how long may I keep a loan"}
    record(
        loop.warehouse,
        [asked(1, **same), asked(2, answer="14 days", **same), asked(3, answer="90 days", **same)],
    )
    up = [said(n, id=f"up-{n}", value=1.0) for n in (2, 3)]
    record_feedback(loop.warehouse, [*up, said(1), said(3)])
    counts(loop, US + 6_000 * S)
    found = {f.interaction_id: (f.suggestion, f.suggested_by) for f in failures(loop)}
    assert found == {"i1": ("14 days", "passing twin"), "i3": ("14 days", "passing twin")}


def test_a_broken_embedder_costs_no_failure(loop: Loop) -> None:
    """Where twins cannot be looked for, failures are captured without a suggestion."""

    class Down:
        name = "down"

        def embed(self, texts: object) -> None:
            raise SeamError("busy", retryable=True)

    record(loop.warehouse, [asked(1), asked(2)])
    record_feedback(loop.warehouse, [said(1), said(2, value=1.0)])
    loop.warehouse.commit()
    loop._score(US + 6_000 * S)
    capture_new(loop.warehouse, loop.ledger, loop.scorers, Down(), now_us=US + 6_000 * S)  # type: ignore[arg-type]
    assert [f.interaction_id for f in failures(loop)] == ["i1"]


def test_on_demand_the_day_need_not_be_over(loop: Loop) -> None:
    """Asked for a span, capture looks at all of it at once, whatever was looked at before; a second time finds nothing new."""
    record(loop.warehouse, [asked(n, guardrail="toxic") for n in range(30)])
    record_feedback(loop.warehouse, [said(40)])
    record(loop.warehouse, [asked(40)])
    first = loop.capture(US + 6_000 * S, US)
    assert [(c.rule, c.captured, c.left_out) for c in first if c.captured] == [
        ("thumbs-down", 1, 0), ("guardrail block", A_DAY, 10),
    ]  # fmt: skip
    again = {c.rule: (c.captured, c.known, c.left_out) for c in loop.capture(US + 6_100 * S, US)}
    assert again["thumbs-down"] == (0, 1, 0)
    assert again["guardrail block"] == (0, A_DAY, 10)


@pytest.mark.parametrize(("state", "named"), [("open", "INC-0001"), ("closed", None)])
def test_the_open_incident_is_named(loop: Loop, state: str, named: str | None) -> None:
    """A failure that an open incident is about carries its id; a closed one is over."""
    times = dict.fromkeys(("onset_us", "onset_low_us", "onset_high_us", "alarmed_us", "last_signal_us"), US)
    loop.ledger.put(
        Incident(
            id="INC-0001",
            title="t",
            app="shop",
            environment="production",
            metric="thumbs",
            lead="",
            state=state,
            **times,
        ),  # type: ignore[arg-type]
        now_us=US,
        by="t",
    )
    record(loop.warehouse, [asked(1)])
    record_feedback(loop.warehouse, [said(1)])
    counts(loop, US + 6_000 * S)
    assert [f.incident for f in failures(loop)] == [named]


def test_an_erasure_reaches_what_a_user_said(loop: Loop) -> None:
    """Question, comment and correction of an erased user are gone from their failures, however short; others' failures stay."""
    record(loop.warehouse, [asked(1, user_id="eve"), asked(2, user_id="bob")])
    record_feedback(
        loop.warehouse, [said(1, text="bad, Eve"), said(2, text="bad, Bob"), said(1, "correction", text="9 d")]
    )
    counts(loop, US + 6_000 * S)
    assert {(f.said, f.suggestion) for f in failures(loop)} == {("bad, Eve", "9 d"), ("bad, Bob", None)}
    assert loop.erase("eve", US + 7_000 * S, "dpo").left == ()
    eve, bob = sorted(failures(loop), key=lambda f: f.interaction_id or "")
    assert (eve.question, eve.said, eve.suggestion) == ("[erased]", "[erased]", None)
    assert (bob.said, bob.question) == ("bad, Bob", "how long may I keep article 2")


def test_the_service_captures_by_itself(loop: Loop) -> None:
    """What was said is captured beside the turns, with the open incident that is about the same."""
    record(loop.warehouse, [asked(n) for n in range(5)])
    record_feedback(loop.warehouse, [said(n) for n in range(3)])
    loop.tick(US + 6_000 * S)
    loop.capture_due(US + 6_000 * S)
    assert len(failures(loop)) == 3
