"""Laws of looking at an experiment in real traffic: real warehouse, real ledger."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from andon.levers import Lever
from andon.levers.run import allocation_of, declare, turn_levers
from andon.rollouts import Allocation, Decision, Experiment, Guardrail
from andon.rollouts.arms import arm_of
from andon.rollouts.run import look_at
from andon.rollouts.run.looking import SETTLE_US, is_over, waits_for
from andon.rollouts.run.reading import present_of
from andon.scores import SCORERS, hashed, score_schema
from andon.scores.run import score_new
from andon.settings import Settings
from andon.store import Ledger, Warehouse
from andon.traffic import SCHEMAS, Interaction
from andon.traffic.run import record

DAY_US, HOUR_US = 86_400_000_000, 3_600_000_000
T0 = 1_790_000_000_000_000

AB = Experiment(
    id="EXP-0001", kind="ab", app="bot", lever="prompt", control=None, treatment="aaaaaaaaaaaa", share=0.5,
    hypothesis="fewer refusals", metric="refusal", better="down", effect=0.1, base=0.4,
    guardrails=(Guardrail(metric="error", margin=0.05), Guardrail(metric="error", margin=0.2, risk_category="HIGH")),
    planned=(1_100, 1_100), days=8.0, by="ann", at_us=T0,
)  # fmt: skip
CANARY = replace(AB, kind="canary", metric="error", effect=0.02, base=0.01, share=0.2, days=1.0, guardrails=())


def split_by(experiment: Experiment, **more: Any) -> Allocation:
    """How an experiment splits from T0 on."""
    fields: dict[str, Any] = {
        "id": "prompt:production", "experiment": experiment.id, "lever": "prompt", "environment": "production",
        "control": None, "treatment": "aaaaaaaaaaaa", "share": experiment.share, "shadow": experiment.kind == "shadow",
        "salt": "s", "from_us": T0, "until_us": T0 + round(experiment.days * DAY_US), "by": "ann", "why": "try",
    }  # fmt: skip
    return Allocation(**{**fields, **more})


class Store:
    """A warehouse and a ledger."""

    def __init__(self, folder: Path) -> None:
        self.warehouse = Warehouse(folder, {**SCHEMAS, "scores": score_schema(SCORERS)})
        self.ledger = Ledger("sqlite://")
        self.count = 0

    def add(self, n: int, **fields: Any) -> None:
        """Rows; a function is called with the number of the row."""
        schema = score_schema(SCORERS)
        rows = []
        for i in range(n):
            row = {
                "app": "bot",
                "environment": "production",
                "weight": 1.0,
                "risk_category": "low",
                "error": 0.0,
                "refusal": 0.0,
                **fields,
            }
            row = {name: value(i) if callable(value) else value for name, value in row.items()}
            rows.append({name: {"id": f"s{self.count + i}", **row}.get(name) for name in schema.names})
        self.count += n
        self.warehouse.append("scores", pa.Table.from_pylist(rows, schema=schema))
        self.warehouse.commit()

    def score(self, now_us: int) -> None:
        """Score what came."""
        score_new(self.warehouse, self.ledger, SCORERS, hashed.load(Settings()), now_us=now_us)

    def look(self, experiment: Experiment, now_us: int, **more: Any) -> list[Decision]:
        """Look at it."""
        return look_at(self.warehouse, self.ledger, SCORERS, experiment, split_by(experiment, **more), now_us)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A real warehouse and ledger."""
    store = Store(tmp_path)
    yield store
    store.warehouse.close()
    store.ledger.close()


def arm(i: int) -> str:
    """Every second user."""
    return "exp-0001-treatment" if i % 2 else "exp-0001-control"


def traffic(
    store: Store, days: int, users: int, rate: tuple[float, float], first: int = 0, seed: int = 7, **more: Any
) -> None:
    """Users who come once, so many each day; the primary's rate in each arm."""
    rng = np.random.default_rng(seed)
    for day in range(first, days):
        fields: dict[str, Any] = {
            "time_us": lambda i, day=day: T0 + day * DAY_US + (i + 1) * (DAY_US // (users + 1)),
            "user_id": lambda i, day=day: f"u{day}-{i}",
            "arm": arm,
            "refusal": lambda i: float(rng.random() < rate[i % 2]),
            "risk_category": lambda i: "high" if i % 6 < 2 else "low",
        }
        store.add(users, **{**fields, **more})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("exp-0001-treatment", "treatment"),
        ("exp-0001-control", "control"),
        ("prompt=exp-0001-treatment,tools=on", "treatment"),
        ("a=exp-0002-control, prompt=exp-0001-control", "control"),
        ("exp-0001-treatment,exp-0001-control", None),
        ("exp-00011-control", None),
        ("exp-0001-treatment-shadow", None),
        ("unallocated", None),
        ("", None),
        (None, None),
    ],
)
def test_arms_are_read_from_variants(text: str | None, found: str | None) -> None:
    """A variant by itself or after its flag's key; another experiment's, both at once, or none count for no arm."""
    assert arm_of(text, split_by(AB)) == found


def test_a_shadows_treatment_is_what_was_asked_for() -> None:
    """Of a shadow only ``-shadow`` is the treatment."""
    shadow = split_by(replace(AB, kind="shadow"))
    names = ("exp-0001-treatment-shadow", "exp-0001-treatment", "exp-0001-control")
    assert [arm_of(name, shadow) for name in names] == ["treatment", None, "control"]


def test_present_sums_users_of_both_arms(store: Store) -> None:
    """Sums are over users, in the asked time, app and arms only, without probes; crossed and unnamed users are counted."""
    now = {"time_us": T0 + 1}
    store.add(3, **now, user_id="ann", arm="exp-0001-control", refusal=lambda i: float(i == 0))
    store.add(1, **now, user_id="bob", arm="p=exp-0001-control,q=x", weight=2.0)
    store.add(2, **now, user_id="cat", arm="exp-0001-treatment", refusal=1.0, risk_category="High")
    store.add(1, **now, user_id="cat", arm="exp-0001-control", refusal=None)
    store.add(2, **now, arm="exp-0001-treatment", weight=3.0, refusal=1.0)
    store.add(5, time_us=T0 - 1, user_id="old", arm="exp-0001-control")
    store.add(5, time_us=T0 + DAY_US, user_id="late", arm="exp-0001-control")
    store.add(5, **now, user_id="other", arm="exp-0001-control", app="other")
    store.add(5, **now, user_id="probe", arm="exp-0001-control", source="probe")
    seen = present_of(store.warehouse, SCORERS, AB, split_by(AB), T0 + DAY_US)
    assert tuple(seen.split) == (3, 3, 1, 2, True)
    control, treatment = seen.primary.pair or (None, None)
    assert control is not None
    assert treatment is not None
    assert (control.units, control.rows, control.x, control.n, control.xx, control.nn, control.xn) == (
        2,
        4,
        1,
        5,
        1,
        13,
        3,
    )
    assert (treatment.units, treatment.x, treatment.n, treatment.xx, treatment.nn) == (3, 8, 8, 4 + 18, 4 + 18)
    high = seen.guards[1].pair
    assert high is not None
    assert (high[0].n, high[1].n) == (0, 2)
    assert set(seen.segments) == {"low", "High"}


def test_a_better_treatment_is_promoted_after_a_week(store: Store) -> None:
    """Looks are daily, written once with running ids, and the treatment that is better is promoted on day 7, not before."""
    traffic(store, 8, 400, (0.45, 0.25))
    found = store.look(AB, T0 + 9 * DAY_US)
    assert [d.id for d in found] == [f"EXP-0001@{k:04d}" for k in range(1, 9)]
    assert [d.outcome for d in found] == ["undecided"] * 6 + ["promote"] * 2
    assert [d.at_us for d in found] == [T0 + k * DAY_US for k in range(1, 9)]
    assert store.ledger.all(Decision) == found
    assert store.look(AB, T0 + 20 * DAY_US) == []


def test_decisions_do_not_depend_on_when_one_asks(store: Store, tmp_path: Path) -> None:
    """Asking every three hours gives the decisions that asking once at the end gives."""
    traffic(store, 8, 400, (0.4, 0.38))
    other = Store(tmp_path / "other")
    traffic(other, 8, 400, (0.4, 0.38))
    often = [d for h in range(3, 9 * 24, 3) for d in store.look(AB, T0 + h * HOUR_US)]
    assert often == other.look(AB, T0 + 9 * DAY_US)
    assert len(often) == 8
    assert often[-1].outcome == "hold"


def test_a_look_waits_for_late_traffic(store: Store) -> None:
    """A look is taken five minutes after its time, and not a microsecond sooner."""
    traffic(store, 1, 400, (0.4, 0.4))
    due = T0 + DAY_US + 5 * 60_000_000
    assert store.look(AB, due - 1) == []
    assert len(store.look(AB, due)) == 1


def test_a_harmful_canary_is_rolled_back_within_hours(store: Store) -> None:
    """A canary is looked at every hour, harm rolls it back on the way, and no look follows."""
    rng = np.random.default_rng(3)
    store.add(
        6_000,
        time_us=lambda i: T0 + (i + 1) * (DAY_US // 6_001),
        user_id=lambda i: f"u{i}",
        arm=lambda i: "exp-0001-control" if i % 5 else "exp-0001-treatment",
        error=lambda i: float(rng.random() < (0.01 if i % 5 else 0.15)),
    )
    found = store.look(CANARY, T0 + 2 * DAY_US)
    assert found[-1].outcome == "roll back"
    assert 1 <= len(found) < 24
    assert found[0].at_us == T0 + HOUR_US


def asked(name: str, time_us: int, app: str = "bot", **fields: Any) -> Interaction:
    """An interaction of the experiment's control."""
    told = {"query": "How tall is K2?", "answer": "8611 m", "arm": "exp-0001-control", "user_id": name}
    return Interaction(id=name, time_us=time_us, app=app, **{**told, **fields})


def test_a_look_waits_for_what_came_and_is_not_scored(store: Store) -> None:
    """A look whose traffic is not scored yet is not taken, and is not lost: after scoring it counts all that came."""
    split, now = split_by(AB), T0 + 2 * DAY_US
    record(store.warehouse, [asked(f"u{k}", T0 + 1 + k * DAY_US) for k in range(2)])
    record(store.warehouse, [asked("other", T0 + 1, app="other")])
    store.warehouse.commit()
    assert waits_for(store.warehouse, store.ledger, AB, split, now) == T0 + 1
    assert store.look(AB, now) == []
    store.score(now)
    assert waits_for(store.warehouse, store.ledger, AB, split, now) is None
    assert [d.control.n for d in store.look(AB, now)] == [1]
    record(store.warehouse, [asked("other2", T0 + 1, app="other")])
    store.warehouse.commit()
    due = now + SETTLE_US
    assert [d.control.n for d in store.look(AB, due)] == [2]


def test_a_look_does_not_wait_for_what_came_after_it(store: Store) -> None:
    """Traffic of today that is not scored yet keeps yesterday's look from nothing, and tomorrow's from being taken."""
    record(store.warehouse, [asked("late", T0 + DAY_US)])
    store.warehouse.commit()
    assert [d.look for d in store.look(AB, T0 + 9 * DAY_US)] == [1]


def test_harm_after_a_promotion_is_rolled_back(store: Store) -> None:
    """A treatment that was promoted and begins to harm while it is still served is taken out by a later look."""
    declare(store.ledger, Lever(id="prompt", kind="string", default="a", safe="a"), T0, "ann")
    plan = replace(AB, days=14.0)
    for it in (plan, split_by(plan)):
        store.ledger.put(it, now_us=T0, by="ann")
    bad = {"error": lambda i: float(i % 2 and i % 3 == 0)}
    traffic(store, 7, 400, (0.45, 0.25))
    assert looked(store, T0 + 7 * DAY_US + SETTLE_US)[-1] == "EXP-0001@0007"
    assert store.ledger.all(Decision)[-1].outcome == "promote"
    traffic(store, 9, 400, (0.45, 0.25), first=7, **bad)
    assert looked(store, T0 + 9 * DAY_US)
    last = store.ledger.all(Decision)[-1]
    assert last.outcome == "roll back"
    split = allocation_of(store.ledger, plan.id)
    assert split is not None
    assert last.id in (split.ended_why or "")
    assert looked(store, T0 + 20 * DAY_US) == []


def test_what_was_promoted_is_looked_at_until_its_end(store: Store) -> None:
    """The looks after a promotion end with the split, each with the same outcome."""
    traffic(store, 9, 400, (0.45, 0.25))
    end = T0 + 8 * DAY_US - HOUR_US
    found = store.look(AB, T0 + 20 * DAY_US, ended_us=end, ended_by="ann", ended_why="promoted")
    assert found[-1].at_us == end
    assert [d.outcome for d in found[6:]] == ["promote", "promote"]
    assert is_over(AB, split_by(AB, ended_us=end), found)


def test_a_silent_last_day_loses_nothing(store: Store) -> None:
    """Traffic that stops before the end: the last look tells the effect of all that came, and decides by it."""
    traffic(store, 7, 400, (0.40, 0.355), seed=5)
    found = store.look(AB, T0 + 9 * DAY_US)
    assert found[-2].control == found[-1].control
    assert found[-1].low is not None
    assert [d.outcome for d in found[-2:]] == ["undecided", "promote"]


def test_the_users_of_thumbs_must_be_alike(store: Store) -> None:
    """Where a treatment makes more users give a thumb, what thumbs say of the two is not told as an effect."""
    plan = replace(AB, metric="thumbs", better="up", effect=0.1, base=0.5)
    given = {"thumbs": lambda i: None if i % 10 > 3 + i % 2 * 4 else float(i % 3 > 0)}
    traffic(store, 8, 400, (0.4, 0.4), **given)
    last = store.look(plan, T0 + 9 * DAY_US)[-1]
    assert "cannot tell" in last.findings[0].text
    assert last.effect is None


def test_rows_of_different_weights_check_no_split(store: Store) -> None:
    """Errors are kept, the rest is sampled: a treatment with more errors has more users in sight, and no split is called broken."""
    traffic(store, 1, 4_000, (0.4, 0.4), weight=lambda i: 1.0 if i % 2 else 20.0, arm=lambda i: arm(int(i % 3 > 0)))
    look = store.look(AB, T0 + 2 * DAY_US)[0]
    assert look.ratio_mismatch is None
    assert any("different numbers of interactions" in note for note in look.notes)


def test_an_ended_experiment_has_its_last_look_at_its_end(store: Store) -> None:
    """Stopped on day 3.5: the last look is then, and holds."""
    traffic(store, 8, 400, (0.4, 0.38))
    end = T0 + 3 * DAY_US + DAY_US // 2
    found = store.look(AB, T0 + 20 * DAY_US, ended_us=end, ended_by="ann", ended_why="enough")
    assert [d.at_us for d in found][-2:] == [T0 + 3 * DAY_US, end]
    assert (found[-1].outcome, "stopped after 3.5 days" in found[-1].reason) == ("hold", True)


def test_a_number_is_guarded_by_the_worst_fifth_of_before(store: Store) -> None:
    """A guardrail on a number counts what is worse than four fifths of the traffic before the start, the same in every look."""
    store.add(1_000, time_us=T0 - DAY_US, user_id=lambda i: f"b{i}", latency_s=lambda i: 0.1 * 1.05 ** (i % 100))
    plan = replace(AB, guardrails=(Guardrail(metric="latency_s", margin=0.05),))
    slow = {"latency_s": lambda i: (0.1 if i % 2 == 0 else 0.2) * 1.05 ** (i // 2 % 100)}
    traffic(store, 2, 1_200, (0.4, 0.4), **slow)
    seen = present_of(store.warehouse, SCORERS, plan, split_by(plan), T0 + 2 * DAY_US)
    guard = seen.guards[0]
    assert guard.pair is not None
    assert guard.pair[0].x / guard.pair[0].n == pytest.approx(0.2, abs=0.02)
    assert guard.pair[1].x / guard.pair[1].n == pytest.approx(0.34, abs=0.02)
    assert guard.pair[1].units == 1_200
    assert store.look(plan, T0 + 3 * DAY_US)[-1].outcome == "roll back"


def test_slow_interactions_are_counted_with_their_user(store: Store) -> None:
    """What is in the worst fifth belongs to the user whose interaction it is, however users are numbered."""
    store.add(100, time_us=T0 - 1, latency_s=lambda i: 0.1 * 1.05**i)
    store.add(2, time_us=T0 + 1, user_id="ann", arm="exp-0001-control", latency_s=0.1)
    store.add(3, time_us=T0 + 1, user_id="bob", arm="exp-0001-control", latency_s=99.0)
    plan = replace(AB, guardrails=(Guardrail(metric="latency_s", margin=0.05),))
    guard = present_of(store.warehouse, SCORERS, plan, split_by(plan), T0 + 2).guards[0]
    assert guard.pair is not None
    control = guard.pair[0]
    assert (control.units, control.rows, control.x, control.n, control.xx, control.nn, control.xn) == (
        2,
        5,
        3,
        5,
        9,
        13,
        9,
    )


def test_what_was_before_is_of_the_same_environment(store: Store) -> None:
    """The worst fifth comes from where the experiment runs."""
    for environment, slow in (("production", 1.0), ("staging", 9.0)):
        store.add(
            100,
            time_us=T0 - 1,
            environment=environment,
            user_id=lambda i: f"u{i}",
            latency_s=slow,
        )
    store.add(
        100, time_us=T0 + 1, user_id=lambda i: f"u{i}", arm=arm, latency_s=5.0, refusal=lambda i: float(i % 3 == 0)
    )
    plan = replace(AB, guardrails=(Guardrail(metric="latency_s", margin=0.05),))
    for environment, now in (("production", 50), ("staging", 0)):
        here = replace(plan, environment=environment)  # type: ignore[arg-type]
        seen = present_of(store.warehouse, SCORERS, here, split_by(here), T0 + 2)
        assert seen.guards[0].pair is not None
        assert seen.guards[0].pair[0].x == now


def test_a_rate_that_harms_downward_counts_zeros(store: Store) -> None:
    """Guardrails and canaries count harm: of a rate that is to be high, what is at 0."""
    store.add(100, time_us=T0 + 1, user_id=lambda i: f"u{i}", arm=arm, language_match=lambda i: float(i >= 8))
    guarded = replace(AB, guardrails=(Guardrail(metric="language_match", margin=0.05),))
    canary = replace(CANARY, metric="language_match", better="up")
    for plan in (guarded, canary):
        seen = present_of(store.warehouse, SCORERS, plan, split_by(plan), T0 + 2)
        guard = (*seen.guards, seen.primary)[0]
        assert guard.pair is not None
        assert (guard.pair[0].x, guard.pair[1].x, guard.pair[0].n) == (4, 4, 50)


def test_a_number_without_a_past_cannot_be_guarded(store: Store) -> None:
    """Without traffic before the start there is no worst fifth, and the guardrail says so."""
    plan = replace(AB, guardrails=(Guardrail(metric="latency_s", margin=0.05),))
    traffic(store, 1, 400, (0.4, 0.4), latency_s=1.0)
    look = store.look(plan, T0 + 2 * DAY_US)[0]
    assert "there was no traffic before the start" in look.findings[1].text


def test_an_unknown_metric_is_said(store: Store) -> None:
    """A metric whose scorer is gone is no crash: nothing can be said of it, so nothing is promoted."""
    traffic(store, 1, 400, (0.4, 0.4))
    plan = replace(AB, metric="gone", guardrails=(Guardrail(metric="gone", margin=0.1),))
    look = store.look(plan, T0 + 2 * DAY_US)[0]
    assert look.outcome == "undecided"
    assert "gone: it is not measured any more" in look.findings[0].text


def test_the_past_of_users_is_found(store: Store) -> None:
    """Users who were there before bring their past: the noise that it explains is taken out of an A/B."""
    rng = np.random.default_rng(4)
    habit = rng.random(800)
    for time_us in (T0 - DAY_US, T0 + 1):
        fields: dict[str, Any] = {"arm": arm} if time_us > T0 else {}
        store.add(
            3_200,
            time_us=time_us,
            user_id=lambda i: f"u{i % 800}",
            refusal=lambda i: float(rng.random() < habit[i % 800]),
            **fields,
        )
    look = store.look(AB, T0 + 2 * DAY_US)[0]
    assert "users' past taken out" in look.findings[0].text


def test_no_traffic_at_all_is_undecided(store: Store) -> None:
    """Without a row of the experiment each look says that nothing came, and the last one is a hold."""
    found = store.look(AB, T0 + 20 * DAY_US)
    assert [d.outcome for d in found] == ["undecided"] * 7 + ["hold"]
    store.add(5, time_us=T0 + 1, arm="another")
    assert "no interaction names the variant" in store.look(replace(AB, id="EXP-0003"), T0 + 2 * DAY_US)[0].reason


def test_risk_categories_of_hostile_traffic_are_bounded(store: Store) -> None:
    """Spellings of one category are one segment, and at most twenty are told."""
    store.add(
        400, time_us=T0 + 1, user_id=lambda i: f"u{i}", arm=arm, risk_category=lambda i: ("High", " high")[i // 2 % 2]
    )
    store.add(400, time_us=T0 + 1, user_id=lambda i: f"v{i}", arm=arm, risk_category=lambda i: f"<{i // 4}>")
    seen = present_of(store.warehouse, SCORERS, AB, split_by(AB), T0 + 2)
    assert len(seen.segments) == 20
    assert [pair[0].n for risk, pair in seen.segments.items() if risk.strip().casefold() == "high"] == [200]


def test_the_risk_categories_with_the_most_rows_are_told(store: Store) -> None:
    """Thirty categories of six users each do not crowd out the one in which two users asked twenty times each."""
    store.add(180, time_us=T0 + 1, user_id=lambda i: f"u{i}", arm=arm, risk_category=lambda i: f"a{i // 6}")
    store.add(
        40, time_us=T0 + 1, user_id=lambda i: f"few{i % 2}", arm=arm, risk_category=lambda i: ("z", " Z")[i // 2 % 2]
    )
    seen = present_of(store.warehouse, SCORERS, AB, split_by(AB), T0 + 2)
    assert sum(arm.n for arm in seen.segments[" Z"]) == 40
    assert len(seen.segments) == 20


def test_every_started_experiment_is_looked_at(store: Store) -> None:
    """The loop asks for all: those that were started are looked at, a plan that was not is left alone."""
    traffic(store, 2, 400, (0.4, 0.4))
    store.ledger.put(AB, now_us=T0, by="ann")
    store.ledger.put(replace(AB, id="EXP-0002"), now_us=T0, by="ann")
    store.ledger.put(split_by(AB), now_us=T0, by="ann")
    assert looked(store, T0 + 3 * DAY_US) == [f"EXP-0001@{k:04d}" for k in (1, 2)]


def test_a_finished_experiment_is_still_looked_at_when_another_follows(store: Store) -> None:
    """The lever's next experiment does not hide the last look of the one before."""
    traffic(store, 2, 400, (0.4, 0.4))
    first = split_by(AB, ended_us=T0 + DAY_US, ended_by="ann", ended_why="next")
    for it in (AB, first, split_by(replace(AB, id="EXP-0002"), from_us=T0 + DAY_US)):
        store.ledger.put(it, now_us=T0, by="ann")
    assert looked(store, T0 + 3 * DAY_US) == ["EXP-0001@0001"]


def test_a_treatment_that_harms_is_taken_out_even_after_a_crash(store: Store) -> None:
    """Where the plan wants it, the turn after the decision ends the split, though the one that decided was cut off."""
    declare(store.ledger, Lever(id="prompt", kind="string", default="a", safe="a"), T0, "ann")
    traffic(store, 2, 400, (0.1, 0.6))
    store.ledger.put(AB, now_us=T0, by="ann")
    store.ledger.put(split_by(AB), now_us=T0, by="ann")
    decided = look_at(store.warehouse, store.ledger, SCORERS, AB, split_by(AB), T0 + 2 * DAY_US)
    assert decided[-1].outcome == "roll back"
    assert looked(store, T0 + 2 * DAY_US) == []
    ended = allocation_of(store.ledger, AB.id)
    assert ended is not None
    assert ended.ended_us == T0 + 2 * DAY_US
    assert decided[-1].id in (ended.ended_why or "")
    assert looked(store, T0 + 3 * DAY_US) == []


def looked(store: Store, now_us: int) -> list[str]:
    """The decisions of one turn of the loop."""
    failed: list[Exception] = []
    done = turn_levers(
        store.warehouse, store.ledger, (), scorers=SCORERS, expire=lambda _: None, now_us=now_us, failed=failed.append
    )
    assert not failed
    return [d.id for d in done.decided]
