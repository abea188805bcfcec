"""Laws of what a pull did: what is counted, when it is measured, what is said of it."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon import stats
from andon.changes import Change
from andon.changes.run import record_change
from andon.incidents import Incident, open_incident
from andon.incidents.run import timeline_of
from andon.levers import Effect, FirstRead, Lever, Pull
from andon.levers.effects import Seen, due, holds_together, incident_of, seen_of
from andon.levers.run import add_version, approve_version, declare, expire, hold, promote, release
from andon.levers.run import effects as effects_module
from andon.levers.run.effects import measure_effects
from andon.monitors import Signal
from andon.scores import score_schema
from andon.scores.builtin import SCORERS
from andon.store import Ledger, Warehouse

MINUTE = 60_000_000
HOUR = 60 * MINUTE
T0 = 1_790_000_000_000_000 // HOUR * HOUR
WINDOW = 5 * MINUTE
SCHEMA = score_schema(SCORERS)
LEVER = Lever(id="model.version", kind="string", default="new", safe="old", app="bot")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[tuple[Warehouse, Ledger]]:
    """A store whose table of scores is empty, and a ledger with a lever."""
    warehouse, ledger = Warehouse(tmp_path, {"scores": SCHEMA}), Ledger.open(tmp_path / "ledger.db")
    declare(ledger, LEVER, T0 - 48 * HOUR, "ann")
    yield warehouse, ledger
    warehouse.close()
    ledger.close()


def put(
    warehouse: Warehouse, start_us: int, end_us: int, n: int, harmed: int, *, metric: str = "refusal", weight: float = 1.0,
    **keys: str | list[str],
) -> None:  # fmt: skip
    """Rows spread evenly over a stretch; so many of them, the first, have the metric at 1."""
    own = sorted((k, v if isinstance(v, str) else "each") for k, v in keys.items())
    ids = [f"{start_us}-{metric}-{k}-{own}" for k in range(n)]
    columns: dict[str, Any] = {
        "id": ids,
        "time_us": start_us + np.arange(n) * ((end_us - start_us) // max(n, 1)),
        "interaction_id": ids,
        "weight": np.full(n, weight),
        "scorers": ["s"] * n,
        "app": ["bot"] * n,
        "environment": ["production"] * n,
        "error": np.zeros(n),
        metric: (np.arange(n) < harmed).astype(float),
        **{k: [v] * n if isinstance(v, str) else v for k, v in keys.items()},
    }
    nothing = {f.name: pa.nulls(n, f.type) for f in SCHEMA if f.name not in columns}
    rows = pa.table({f.name: nothing.get(f.name, columns.get(f.name)) for f in SCHEMA}, schema=SCHEMA)
    warehouse.append("scores", rows)
    warehouse.commit()


def signal(**fields: Any) -> Signal:
    """A signal of refusals an hour after their onset at T0."""
    told: dict[str, Any] = {
        "id": "s1", "monitor": "bot/production/refusal.up/all", "app": "bot", "environment": "production", "metric": "refusal",
        "direction": "up", "at_us": T0 + HOUR, "window_us": WINDOW, "x": 30, "n": 100, "baseline_x": 20,
        "baseline_n": 1000, "baseline_from_us": T0 - 48 * HOUR, "baseline_to_us": T0 - 24 * HOUR, "statistic": 1e4,
        "threshold": 1e4, "onset_us": T0, "onset_low_us": T0 - HOUR, "onset_high_us": T0 + MINUTE,
    }  # fmt: skip
    return Signal(**{**told, **fields})


def opened(ledger: Ledger, **fields: Any) -> Incident:
    """The incident of that signal, in the ledger."""
    lead = signal(**fields)
    incident = open_incident(1, [lead])
    ledger.put(lead, now_us=lead.at_us, by="andon")
    ledger.put(incident, now_us=lead.at_us, by="andon")
    return incident


def pulled(ledger: Ledger, at_us: int, *, hours: float = 4, **more: Any) -> Pull:
    """The lever held at its safe value."""
    fields: dict[str, Any] = {"why": "refusals", "by": "ann", "until_us": at_us + round(hours * HOUR), "now_us": at_us}
    return hold(ledger, LEVER.id, **{**fields, **more})


def measure(warehouse: Warehouse, ledger: Ledger, at_us: int) -> list[Effect]:
    """What is measured at a time."""
    return list(measure_effects(warehouse, ledger, at_us).effects)


def only(found: list[Effect]) -> Effect:
    """The one that there is."""
    (one,) = found
    return one


def test_what_is_counted(store: tuple[Warehouse, Ledger]) -> None:
    """Before: from the onset to the pull. After: from the first read to now. The interval is that of `stats.difference`."""
    warehouse, ledger = store
    opened(ledger)
    put(warehouse, T0 - HOUR, T0, 300, 3)  # healthy: before the onset
    put(warehouse, T0, T0 + HOUR, 512, 210)
    pull = pulled(ledger, T0 + HOUR)
    put(warehouse, T0 + HOUR, T0 + HOUR + MINUTE, 70, 60)  # pulled, and not yet read
    ledger.put(FirstRead(id=pull.id, at_us=T0 + HOUR + MINUTE), now_us=T0 + HOUR + MINUTE, by="andon")
    put(warehouse, T0 + HOUR + MINUTE, T0 + 2 * HOUR, 498, 6)
    effect = only(measure(warehouse, ledger, T0 + 2 * HOUR))
    assert (effect.before_x, effect.before_n, effect.after_x, effect.after_n) == (210, 512, 6, 498)
    assert (effect.difference, effect.low, effect.high) == stats.difference(210, 512, 6, 498)
    assert (effect.from_us, effect.until_us, effect.metric, effect.direction) == (T0, T0 + 2 * HOUR, "refusal", "up")
    assert effect.text == (
        "answers that refuse in all traffic fell from 41 % (of 512) to 1.2 % (of 498): -39.8 points (95 % interval -44.2 to "
        "-35.4; users are not known, so each interaction counts by itself). No other change is recorded in this time; harm may have ended by itself"
    )
    assert ledger.get(Effect, f"{pull.id}:refusal") == effect


def test_a_promotion_that_may_have_ended_the_harm_is_named(store: tuple[Warehouse, Ledger]) -> None:
    """A good version of the same lever that went live between the onset and the pull is another change, not the hold's doing."""
    warehouse, ledger = store
    opened(ledger)
    digest = add_version(ledger, LEVER.id, "good", why="answers", by="bob", now_us=T0).digest
    approve_version(ledger, LEVER.id, digest, why="reads well", by="cem", now_us=T0)
    for place in ("staging", "production"):
        promote(ledger, LEVER.id, digest, to=place, why="answers", by="bob", now_us=T0 + 20 * MINUTE)
    pulled(ledger, T0 + HOUR)
    put(warehouse, T0, T0 + 20 * MINUTE, 200, 100)
    put(warehouse, T0 + 20 * MINUTE, T0 + 2 * HOUR, 400, 4)
    text = only(measure(warehouse, ledger, T0 + 2 * HOUR)).text
    assert "No other change" not in text
    assert f"1 other change in this time: “lever: version {digest} of lever {LEVER.id} promoted" in text


def test_a_hold_that_nobody_read_is_said_to_be_one(store: tuple[Warehouse, Ledger]) -> None:
    """A kill switch that no application asks for does nothing; its effect says so, beside the figures."""
    warehouse, ledger = store
    opened(ledger)
    pulled(ledger, T0 + HOUR)
    put(warehouse, T0, T0 + 2 * HOUR, 400, 0)
    assert "; no application is known to have read it. No other" in only(measure(warehouse, ledger, T0 + 2 * HOUR)).text


def test_only_the_part_and_the_users_of_the_signal_count(store: tuple[Warehouse, Ledger]) -> None:
    """Other parts of the traffic, other apps and probes are not counted."""
    warehouse, ledger = store
    opened(ledger, scope={"task": "faq"})
    pulled(ledger, T0 + HOUR)
    for since_us, harmed in ((T0, 40), (T0 + HOUR, 1)):
        put(warehouse, since_us, since_us + HOUR, 100, harmed, task="faq")
        put(warehouse, since_us, since_us + HOUR, 100, 90, task="refund")
        put(warehouse, since_us, since_us + HOUR, 100, 90, task="faq", app="shop")
        put(warehouse, since_us, since_us + HOUR, 100, 90, task="faq", source="probe")
    effect = only(measure(warehouse, ledger, T0 + 2 * HOUR))
    assert (effect.before_x, effect.before_n, effect.after_x, effect.after_n) == (40, 100, 1, 100)


def test_sampling_weights_count(store: tuple[Warehouse, Ledger]) -> None:
    """Harmed answers that are kept more often than others do not raise the rate: each row counts as its share of the greatest."""
    warehouse, ledger = store
    opened(ledger)
    pulled(ledger, T0 + HOUR)
    put(warehouse, T0, T0 + HOUR, 100, 100, weight=1.0)  # all that failed were kept
    put(warehouse, T0, T0 + HOUR, 90, 0, weight=10.0, task="calm")  # a tenth of the rest
    put(warehouse, T0 + HOUR, T0 + 2 * HOUR, 100, 0, weight=10.0)
    effect = only(measure(warehouse, ledger, T0 + 2 * HOUR))
    assert (effect.before_x, effect.before_n, effect.after_n) == (10, 100, 100)


def test_a_number_counts_beyond_the_cut_of_its_chart(store: tuple[Warehouse, Ledger]) -> None:
    """Of a number, harm is what its chart counts: values beyond the baseline's worst fifth."""
    warehouse, ledger = store
    opened(ledger, metric="latency_s", kind="number", cut=0.5)
    pulled(ledger, T0 + HOUR)
    put(warehouse, T0, T0 + HOUR, 100, 60, metric="latency_s")
    put(warehouse, T0 + HOUR, T0 + 2 * HOUR, 100, 20, metric="latency_s")
    effect = only(measure(warehouse, ledger, T0 + 2 * HOUR))
    assert (effect.before_x, effect.after_x) == (60, 20)
    assert effect.text.startswith("interactions with unusually high latency in all traffic fell from 60 %")


def by_users(warehouse: Warehouse, since_us: int, users: int, n: int, harmed: int, key: str = "user_id") -> None:
    """So many users with n interactions each in an hour; all of the first `harmed` users' are harmed."""
    whose = [f"u{k // n}" for k in range(users * n)]
    put(warehouse, since_us, since_us + HOUR, users * n, harmed * n, **{key: whose})


@pytest.mark.parametrize(("key", "whose"), [("user_id", "user"), ("session_id", "session")])
def test_users_count_and_not_their_interactions(store: tuple[Warehouse, Ledger], key: str, whose: str) -> None:
    """Where all interactions of a user are alike, 5 of each of 40 say what 40 say, and the sentence tells it."""
    warehouse, ledger = store
    opened(ledger)
    pulled(ledger, T0 + HOUR)
    by_users(warehouse, T0, 40, 5, 20, key)
    by_users(warehouse, T0 + HOUR, 40, 5, 10, key)
    effect = only(measure(warehouse, ledger, T0 + 2 * HOUR))
    assert (effect.before_x, effect.before_n, effect.after_x, effect.after_n) == (100, 200, 50, 200)
    assert (effect.difference, effect.low, effect.high) == pytest.approx(stats.difference(20, 40, 10, 40), abs=1e-12)
    assert f"; answers to one {whose} resemble each other, so these count as 40 and 40)" in effect.text


def test_users_who_are_all_alike_change_nothing(store: tuple[Warehouse, Ledger]) -> None:
    """Where harm does not stay with users the interval is that of single interactions, and nothing is said of them."""
    warehouse, ledger = store
    opened(ledger)
    pulled(ledger, T0 + HOUR)
    for since_us in (T0, T0 + HOUR):
        put(warehouse, since_us, since_us + HOUR, 200, 40, user_id=[f"u{k % 40}" for k in range(200)])
    effect = only(measure(warehouse, ledger, T0 + 2 * HOUR))
    assert (effect.low, effect.high) == stats.difference(40, 200, 40, 200)[1:]
    assert "resemble" not in effect.text


def test_one_user_says_nothing_of_all(store: tuple[Warehouse, Ledger]) -> None:
    """Two hundred interactions of one user are one: it cannot be told. Rows without a user are users of their own beside it."""
    warehouse, ledger = store
    opened(ledger)
    pulled(ledger, T0 + HOUR)
    by_users(warehouse, T0, 1, 200, 1)
    by_users(warehouse, T0 + HOUR, 1, 200, 0)
    assert only(measure(warehouse, ledger, T0 + 2 * HOUR)).text.startswith("cannot tell what it did")
    put(warehouse, T0, T0 + HOUR, 300, 60)
    put(warehouse, T0 + 2 * HOUR, T0 + 3 * HOUR, 300, 60)
    effect = only(measure(warehouse, ledger, T0 + 3 * HOUR))
    assert "count as" in effect.text
    assert effect.before_n == 500
    assert "fell from" not in effect.text  # by single interactions it would have, by far
    assert stats.difference(260, 500, 60, 500)[2] < 0


def test_of_very_many_users_are_not_counted(store: tuple[Warehouse, Ledger], monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a bound the cost of counting users is saved, and the sentence says that each interaction counts by itself."""
    warehouse, ledger = store
    opened(ledger)
    pulled(ledger, T0 + HOUR)
    by_users(warehouse, T0, 40, 5, 20)
    by_users(warehouse, T0 + HOUR, 40, 5, 10)
    monkeypatch.setattr(effects_module, "MOST_ROWS", 399)
    effect = only(measure(warehouse, ledger, T0 + 2 * HOUR))
    assert (effect.low, effect.high) == stats.difference(100, 200, 50, 200)[1:]
    assert "; of 400 interactions each counts by itself, whoever made it)" in effect.text


def test_too_little_cannot_tell(store: tuple[Warehouse, Ledger]) -> None:
    """Fewer than 20 on one side: cannot tell, with the figures; none at all: no difference either."""
    warehouse, ledger = store
    opened(ledger)
    pulled(ledger, T0 + HOUR)
    put(warehouse, T0, T0 + HOUR, 100, 40)
    nothing = only(measure(warehouse, ledger, T0 + HOUR + WINDOW))
    assert (nothing.difference, nothing.low, nothing.high) == (None, None, None)
    assert nothing.text.startswith(
        "cannot tell what it did to answers that refuse in all traffic: 100 interactions before it"
    )
    put(warehouse, T0 + HOUR, T0 + 2 * HOUR, 19, 0)
    few = only(measure(warehouse, ledger, T0 + 2 * HOUR))
    assert few.after_n == 19
    assert few.text.startswith("cannot tell what it did")


def test_no_change_is_said_as_such(store: tuple[Warehouse, Ledger]) -> None:
    """Where the interval holds 0, nothing fell: it cannot be told. Where it rose, that is said."""
    warehouse, ledger = store
    opened(ledger)
    pulled(ledger, T0 + HOUR)
    put(warehouse, T0, T0 + HOUR, 100, 40)
    put(warehouse, T0 + HOUR, T0 + 2 * HOUR, 100, 38)
    same = only(measure(warehouse, ledger, T0 + 2 * HOUR))
    assert same.low is not None
    assert same.high is not None
    assert same.low < 0 < same.high
    assert "so it cannot be told whether anything changed" in same.text
    assert "fell" not in same.text
    put(warehouse, T0 + 2 * HOUR, T0 + 3 * HOUR, 400, 390)
    assert "rose from 40 %" in only(measure(warehouse, ledger, T0 + 3 * HOUR)).text


def test_other_changes_are_counted_and_named(store: tuple[Warehouse, Ledger]) -> None:
    """What else moved in the time that is looked at is named, whatever it is; the pull itself is no other change."""
    warehouse, ledger = store
    opened(ledger)
    pulled(ledger, T0 + HOUR)
    for k, at_us in enumerate(
        (T0 - 1, T0 + HOUR // 2, T0 + HOUR + MINUTE, T0 + HOUR + 2 * MINUTE, T0 + HOUR + 3 * MINUTE)
    ):
        change = Change(id=f"c{k}", at_us=at_us, kind="prompt", title=f"prompt v{k}\x1b[2J", app="bot", author="bob")
        record_change(ledger, change, now_us=at_us, by="bob")
    put(warehouse, T0, T0 + 2 * HOUR, 100, 10)
    text = only(measure(warehouse, ledger, T0 + 2 * HOUR)).text
    assert "4 other changes in this time, the last 3 of them: “prompt: prompt v2 [2J (bob)”, " in text
    assert "held at" not in text
    assert "\x1b" not in text
    assert text.endswith("harm may have ended by itself")


@pytest.mark.parametrize(
    ("after", "minutes", "origin", "counts"),
    [
        ("held", 1, "traffic", 0),
        ("old", 1, "traffic", 0),
        ("another", 1, "traffic", 1),  # a version that this pull does not give
        ("held", 1, "recorded", 1),  # somebody says so: no shadow
        ("held", -1, "traffic", 1),  # it was there before
        ("held", 62, "traffic", 1),  # long after every application has read it
        (None, 1, "traffic", 1),
    ],
)
def test_what_traffic_shows_of_the_pull_itself_is_no_other_change(
    store: tuple[Warehouse, Ledger], after: str | None, minutes: int, origin: str, counts: int
) -> None:
    """A version that is first seen when the pull is read, and is what the pull gives, is the pull; all else is named."""
    warehouse, ledger = store
    opened(ledger)
    pulled(ledger, T0 + HOUR)
    at_us = T0 + HOUR + minutes * MINUTE
    shadow = Change(
        id="c", at_us=at_us, kind="prompt", title="prompt default -> held", app="bot", before="default", after=after,
        version_field="prompt_version", author="seen in traffic", origin=origin,
    )  # fmt: skip
    record_change(ledger, shadow, now_us=at_us, by="andon")
    put(warehouse, T0, T0 + 3 * HOUR, 300, 10)
    text = only(measure(warehouse, ledger, T0 + 3 * HOUR)).text
    assert ("1 other change in this time" in text) == bool(counts)


def test_a_report_without_a_signal_has_no_effect(store: tuple[Warehouse, Ledger]) -> None:
    """Nothing measures what only people reported: no effect is written, and the timeline says so once the hold has ended."""
    warehouse, ledger = store
    incident = replace(opened(ledger), lead="", metric="", signals=())
    ledger.put(incident, now_us=T0 + HOUR, by="andon")
    pull = pulled(ledger, T0 + HOUR)
    assert measure(warehouse, ledger, T0 + 2 * HOUR) == []
    assert told(ledger) == []
    for at_us in (T0 + 6 * HOUR, T0 + 7 * HOUR):
        assert measure(warehouse, ledger, at_us) == []
    assert told(ledger) == [
        "effect of lever model.version: not measured: people reported this incident, and no chart saw it"
    ]
    assert pull.id not in {e.pull for e in ledger.all(Effect)}


def test_a_metric_that_is_gone_cannot_be_told(store: tuple[Warehouse, Ledger]) -> None:
    """The effect on a metric whose plug-in was taken out says so, and keeps no other pull from being measured."""
    warehouse, ledger = store
    opened(ledger, metric="plugin_that_is_gone")
    pulled(ledger, T0 + HOUR)
    effect = only(measure(warehouse, ledger, T0 + 2 * HOUR))
    assert effect.difference is None
    assert effect.text.startswith("cannot tell: ")
    assert "plugin_that_is_gone" in effect.text


def test_silence_is_held_against_what_is_usual(store: tuple[Warehouse, Ledger]) -> None:
    """Of traffic that does not come, the share that is missing is compared, without an interval."""
    warehouse, ledger = store
    opened(ledger, metric="traffic", direction="down", x=85, n=100, baseline_x=0, clock=(120.0,) * 48)
    pulled(ledger, T0 + HOUR)
    put(warehouse, T0, T0 + HOUR, 12, 0)
    put(warehouse, T0 + HOUR, T0 + 2 * HOUR, 120, 0)
    effect = only(measure(warehouse, ledger, T0 + 2 * HOUR))
    assert (effect.before_x, effect.before_n, effect.after_x, effect.after_n) == (108, 120, 0, 120)
    assert (effect.difference, effect.low) == (-0.9, None)
    assert "usual interactions that did not come in all traffic went from 90 % (of 120) to 0 % (of 120)" in effect.text


def told(ledger: Ledger) -> list[str]:
    """What the timeline says of effects."""
    (incident,) = ledger.all(Incident)
    return [e.text for e in timeline_of(ledger, incident) if e.text.startswith(("effect of ", "lever "))]


def test_it_is_measured_again_while_it_lasts_and_a_last_time(store: tuple[Warehouse, Ledger]) -> None:
    """A version rests on half as much again as the one before; the last is made once the end is settled, and nothing after it.

    So a hold of four hours has few. The timeline is told twice: with enough on both sides, and at the end.
    """
    warehouse, ledger = store
    opened(ledger)
    put(warehouse, T0, T0 + HOUR, 600, 240)
    pull = pulled(ledger, T0 + HOUR)
    put(warehouse, T0 + HOUR, T0 + 5 * HOUR, 2400, 24)
    late = T0 + 5 * HOUR - WINDOW
    retold = []
    for at_us in range(T0 + HOUR, T0 + 8 * HOUR, MINUTE):
        expire(ledger, at_us)
        retold += measure_effects(warehouse, ledger, at_us).retold
    assert retold == ["INC-0001"] * 2
    versions = [v.record for v in ledger.history(Effect, f"{pull.id}:refusal")]
    ends = [e.until_us - pull.at_us for e in versions]
    assert ends[0] == WINDOW
    assert all(b >= min(max(a * 3 // 2, a + WINDOW), 4 * HOUR) for a, b in pairwise(ends[:-1]))
    assert len(versions) < 15
    assert [e.until_us for e in versions[-2:]] == [T0 + 5 * HOUR, T0 + 5 * HOUR]
    assert versions[-1].at_us == T0 + 5 * HOUR + 5 * MINUTE
    assert versions[-1].after_n == 2400
    assert late < versions[-1].until_us
    so_far, last = told(ledger)
    assert so_far.startswith(
        "effect of lever model.version so far: answers that refuse in all traffic fell from 40 % (of 600)"
    )
    assert last == f"effect of lever model.version: {versions[-1].text}"


def test_a_crash_tells_the_timeline_no_second_time(store: tuple[Warehouse, Ledger]) -> None:
    """The timeline is told before the effect is written; whoever measures again after a crash finds that."""
    warehouse, ledger = store
    opened(ledger)
    put(warehouse, T0, T0 + HOUR, 600, 240)
    pulled(ledger, T0 + HOUR)
    release(ledger, LEVER.id, why="mended", by="bob", now_us=T0 + 2 * HOUR)
    put(warehouse, T0 + HOUR, T0 + 2 * HOUR, 600, 6)
    real, crashed = ledger.put, []

    def put_or_crash(record: Any, **more: Any) -> int:
        if isinstance(record, Effect) and not crashed:
            crashed.append(record)
            raise KeyboardInterrupt
        return real(record, **more)

    ledger.put = put_or_crash  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        measure(warehouse, ledger, T0 + 3 * HOUR)
    put(warehouse, T0 + HOUR, T0 + 2 * HOUR, 1, 1, task="late")  # so that the sentence is another one
    measure(warehouse, ledger, T0 + 4 * HOUR)
    assert crashed[0].text != only(ledger.all(Effect)).text
    assert len(told(ledger)) == 1


def test_a_closed_timeline_grows_no_more(store: tuple[Warehouse, Ledger]) -> None:
    """The effect of a pull is measured after its incident was closed, too, but its timeline stays as it is."""
    warehouse, ledger = store
    incident = opened(ledger)
    pulled(ledger, T0 + HOUR)
    ledger.put(replace(incident, state="closed", closed_us=T0 + 2 * HOUR), now_us=T0 + 2 * HOUR, by="ann")
    put(warehouse, T0, T0 + 3 * HOUR, 600, 240)
    assert only(measure(warehouse, ledger, T0 + 3 * HOUR)).after_n == 400
    assert told(ledger) == []


def test_a_renewed_hold_is_one(store: tuple[Warehouse, Ledger]) -> None:
    """A pull at the same value that takes the place of another is compared with what was before both, not with its own effect."""
    warehouse, ledger = store
    opened(ledger)
    put(warehouse, T0, T0 + HOUR, 600, 240)
    pulled(ledger, T0 + HOUR)
    put(warehouse, T0 + HOUR, T0 + 3 * HOUR, 600, 6)
    second = pulled(ledger, T0 + 2 * HOUR)
    (effect,) = (e for e in measure(warehouse, ledger, T0 + 3 * HOUR) if e.pull == second.id)
    assert (effect.before_x, effect.before_n, effect.after_n) == (240, 600, 600)
    assert "No other change" in effect.text


def test_which_incident_a_pull_is_about() -> None:
    """The one it names, whatever its state; else the worst that was open there at that moment, and of these the newest."""
    first = open_incident(1, [signal()])
    worse = replace(open_incident(2, [signal()]), severity="P1", alarmed_us=T0 + HOUR + 1)
    pull = Pull(id="p", lever=LEVER.id, value="old", at_us=T0 + 2 * HOUR, by="a", why="w", until_us=T0 + 3 * HOUR)
    first = replace(first, severity="P2")
    assert incident_of(pull, LEVER, [first, worse]) == worse
    assert incident_of(replace(pull, incident=first.id), LEVER, [first, worse]) == first
    assert incident_of(replace(pull, incident="INC-9"), LEVER, [first, worse]) is None
    assert incident_of(replace(pull, at_us=T0), LEVER, [first, worse]) is None
    assert incident_of(replace(pull, environment="staging"), LEVER, [first, worse]) is None
    assert incident_of(pull, replace(LEVER, app="shop"), [first, worse]) is None
    assert incident_of(pull, replace(LEVER, app="default"), [first]) == first
    assert incident_of(pull, LEVER, [first, replace(worse, closed_us=pull.at_us)]) == first
    newer = replace(first, id="INC-0003", alarmed_us=first.alarmed_us + 1)
    assert incident_of(pull, LEVER, [first, newer]) == newer


def test_the_time_that_is_looked_at() -> None:
    """A day before the pull at most; where harm is dated after the pull, as long before it as after it."""
    pull = Pull(id="p", lever=LEVER.id, value="old", at_us=T0 + 72 * HOUR, by="a", why="w", until_us=T0 + 90 * HOUR)
    incident, now_us = open_incident(1, [signal()]), T0 + 74 * HOUR
    seen = seen_of(incident, [pull], None, now_us)
    assert seen == Seen(
        from_us=pull.at_us - 24 * HOUR, pulled_us=pull.at_us, since_us=pull.at_us, until_us=now_us, read=False,
        began_us=incident.onset_high_us,
    )  # fmt: skip
    late = replace(incident, onset_us=pull.at_us + 1)
    assert seen_of(late, [pull], pull.at_us + HOUR, now_us).from_us == pull.at_us - HOUR
    assert seen_of(late, [pull], pull.at_us - HOUR, now_us).since_us == pull.at_us


@given(st.integers(1, 90 * 24 * 60), st.integers(1, 60))
def test_a_hold_has_few_versions(lasts_min: int, turn_min: int) -> None:
    """However long a hold lasts and however often it is looked at, 30 versions of its effect are the most."""
    effect, written, at_us = None, 0, T0
    while at_us < T0 + lasts_min * MINUTE:
        if effect is not None:  # turns in which nothing is due change nothing
            at_us = max(at_us, T0 + (effect.until_us - T0) * 3 // 2 - turn_min * MINUTE)
        at_us += turn_min * MINUTE
        seen = Seen(from_us=T0 - HOUR, pulled_us=T0, since_us=T0, until_us=at_us, read=True)
        if due(effect, seen, ended_us=None, window_us=WINDOW, now_us=at_us):
            effect, written = measured(until_us=at_us), written + 1
    assert written <= 30


def measured(until_us: int) -> Effect:
    """An effect with nothing in it but the time that was looked at."""
    return Effect(
        id="p:refusal", pull="p", metric="refusal", direction="up", scope={}, before_x=0, before_n=0, after_x=0, after_n=0,
        difference=None, low=None, high=None, from_us=T0, until_us=until_us, at_us=until_us, text="",
    )  # fmt: skip


def test_holds_with_a_gap_or_another_value_are_not_one(store: tuple[Warehouse, Ledger]) -> None:
    """A hold that was released, or was at another value, is not the beginning of the next one."""
    _, ledger = store
    pulled(ledger, T0, value="new")
    second = pulled(ledger, T0 + 1)
    third = pulled(ledger, T0 + 2)
    release(ledger, LEVER.id, why="mended", by="bob", now_us=T0 + 3)
    fourth = pulled(ledger, T0 + 4)
    pulls = ledger.all(Pull)
    assert [p.id for p in holds_together(third, pulls)] == [second.id, third.id]
    assert [p.id for p in holds_together(fourth, pulls)] == [fourth.id]


def test_a_clock_that_was_set_back_does_not_part_a_hold() -> None:
    """Which pull came first, their numbers say: one that a wrong clock dated before the other is still the later one."""
    first = Pull(
        id="pull-x-00009", lever="x", value="old", at_us=T0 + HOUR, by="a", why="w", until_us=T0 + 5 * HOUR,
        released_us=T0 + HOUR, released_by="a", released_why="superseded by pull-x-00010",
    )  # fmt: skip
    second = Pull(id="pull-x-00010", lever="x", value="old", at_us=T0, by="a", why="w", until_us=T0 + 9 * HOUR)
    assert holds_together(second, [second, first]) == [first, second]
    assert holds_together(first, [second, first]) == [first]


@pytest.mark.parametrize("hours", [2, 3, 5])
@pytest.mark.parametrize("silent", [0, 1])
def test_what_is_usual_is_counted_for_the_stretch_alone(
    store: tuple[Warehouse, Ledger], hours: int, silent: int
) -> None:
    """However long the stretches are: what is usual in them, and what of that did not come, also where the last hours are silent."""
    warehouse, ledger = store
    opened(ledger, metric="traffic", direction="down", x=85, n=100, baseline_x=0, clock=(120.0,) * 48)
    pulled(ledger, T0 + HOUR, hours=6)
    put(warehouse, T0, T0 + HOUR, 120, 0)
    put(warehouse, T0 + HOUR, T0 + (1 + hours - silent) * HOUR, 120 * (hours - silent), 0)
    effect = only(measure(warehouse, ledger, T0 + (1 + hours) * HOUR))
    assert (effect.before_x, effect.before_n) == (0, 120)
    assert (effect.after_x, effect.after_n) == (120 * silent, 120 * hours)
