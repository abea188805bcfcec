"""Laws of what is read from the tables for the question "what changed?"."""

from dataclasses import replace

import numpy as np
import pytest
from planted import HOUR, MINUTE, T0, Planted, asked, signal

from andon.changes import Change
from andon.investigations import Suspect, Traffic
from andon.investigations.run.case import Case
from andon.investigations.run.changed import _Counts, _surge, _Versions, changes_near, suspects_of
from andon.store import Rollup, Span, Warehouse


def suspects(store: Planted) -> dict[str, Suspect]:
    """Suspects by version, or by id where they have none in their title."""
    return {s.title.split(" -> ")[-1].split(" ")[0] if " -> " in s.title else s.id: s for s in store.look().suspects}


def probability(store: dict[str, Suspect], name: str) -> float:
    """Of a suspect; 0 where it is none."""
    return store[name].probability if name in store else 0.0


def test_a_version_that_was_soon_replaced_is_not_acquitted(plant) -> None:
    """Code c2 brings the harm and c3 follows within the hour: c2 stands above what came later and above nobody."""
    before = [asked(k, T0 - 10 * HOUR + k * MINUTE, code_version="c1") for k in range(600)]
    first = [asked(k, T0 + k * MINUTE // 2, refused=k % 3 == 0, code_version="c2") for k in range(30)]
    rest = [asked(k, T0 + 15 * MINUTE + k * MINUTE // 2, refused=k % 3 == 0, code_version="c3") for k in range(200)]
    found = suspects(plant([*before, *first, *rest]))
    assert probability(found, "c2") > max(probability(found, "c3"), 0.5)
    assert any("c2 or a later version" in w for w in found["c2"].supports)


def test_a_rolled_back_version_is_no_later_one(plant) -> None:
    """Going back to the version of before does not carry a change on: who saw it again is not exposed to the change."""
    before = [asked(k, T0 - 10 * HOUR + k * MINUTE, prompt_version="p1") for k in range(600)]
    after = [
        asked(k, T0 + k * MINUTE // 2, refused=k < 60 and k % 2 == 0, prompt_version="p2" if k < 60 else "p1")
        for k in range(240)
    ]
    back = Change(
        id="back", at_us=T0 + 4 * MINUTE, kind="prompt", title="back to p1", app="triage", before="p2", after="p1",
        version_field="prompt_version",
    )  # fmt: skip
    found = {s.id: s for s in plant([*before, *after], changes=(back,)).look().suspects}
    p2 = next(s for s in found.values() if "p1 -> p2" in s.title)
    assert p2.probability > 0.9
    assert any("harm 50 % among those who saw it, 0 %" in w for w in p2.supports)


def test_one_of_two_models_behind_the_same_name(plant) -> None:
    """When only the traffic of one requested model fails, and nothing was changed, the provider is first, with figures."""
    before = [asked(k, T0 - 10 * HOUR + k * MINUTE, requested_model="ab"[k % 3 == 0]) for k in range(600)]
    after = [
        asked(k, T0 + k * MINUTE // 2, refused=k % 3 == 0 and k % 2 == 0, requested_model="ab"[k % 3 == 0])
        for k in range(240)
    ]
    found = plant([*before, *after]).look()
    assert found.suspects[0].id == "no own change: provider"
    assert "b (requested model): harm 50 % among those who saw it, 0 %" in found.suspects[0].supports[0]


def test_two_changes_of_one_incident_are_told_together(plant) -> None:
    """A route that few saw fails them; a load change without a version sends many more there: both say so, and neither is lost."""
    start = T0 - 30 * HOUR
    rows = []
    for k in range(36 * 60):
        at = start + k * MINUTE
        routed = at >= T0 - 20 * HOUR and k % (4 if at >= T0 else 50) == 0
        rows.append(asked(k, at, refused=routed, route_version="r2" if routed else "r1"))
    balancer = Change(id="balancer", at_us=T0 - MINUTE, kind="config", title="load balanced anew", app="triage")
    found = plant(rows, changes=(balancer,)).look(T0 + 5 * HOUR).suspects
    assert {s.id for s in found[:2]} >= {"balancer"}
    both = [s for s in found[:2] if any("the share of the traffic that saw r2 rose from " in w for w in s.supports)]
    assert len(both) == 2


def test_changes_of_the_same_hour_do_not_raise_each_other(plant) -> None:
    """A hidden change beside the change that brought the version is not said to have raised its share."""
    before = [asked(k, T0 - 10 * HOUR + k * MINUTE, prompt_version="p1") for k in range(600)]
    after = [
        asked(k, T0 + k * MINUTE // 2, refused=k % 4 == 0, prompt_version="p2" if k % 4 == 0 else "p1")
        for k in range(240)
    ]
    beside = Change(id="beside", at_us=T0 + MINUTE, kind="config", title="beside", app="triage")
    found = plant([*before, *after], changes=(beside,)).look().suspects
    assert not any("rose from" in w for s in found for w in s.supports)


def test_sampled_traffic_gives_the_same_order(plant) -> None:
    """Rows that stand for ten interactions each rank as rows that stand for one: a weight is no further evidence."""
    before = [asked(k, T0 - 10 * HOUR + k * MINUTE, prompt_version="p1") for k in range(600)]
    after = [
        asked(k, T0 + k * MINUTE // 2, refused=k % 4 == 0, prompt_version="p2" if k % 2 == 0 else "p1")
        for k in range(240)
    ]
    rows = [*before, *after]
    one, ten = (plant([replace(i, weight=w) for i in rows]).look().suspects for w in (1.0, 10.0))
    assert [(s.id, s.probability) for s in one] == [(s.id, s.probability) for s in ten]


def test_what_reached_only_the_failing_part_stands_first(plant) -> None:
    """Two changes of the same minute: the one that only the failing part saw is above the one that all traffic saw."""
    before = [asked(k, T0 - 10 * HOUR + k * MINUTE, prompt_version="p1", code_version="c1") for k in range(600)]
    after = [
        asked(k, T0 + k * MINUTE // 2, refused=k % 6 == 1, code_version="c2", prompt_version="p2" if k % 2 else "p1")
        for k in range(240)
    ]  # risk is high where k is odd
    lead = signal(scope={"risk_category": "high"}, x=11, n=30, baseline_x=1, baseline_n=200)
    found = suspects(plant([*before, *after], lead=lead))
    assert found["p2"].probability > 2 * found["c2"].probability
    assert any("traffic outside of the part that fails saw it as well" in w for w in found["c2"].against)


def test_the_failing_part_may_be_one_model(plant) -> None:
    """Where the chart's part is the traffic of one model, its silent move is compared with the rest of all traffic."""
    before = [asked(k, T0 - 10 * HOUR + k * MINUTE, requested_model="ab"[k % 3 == 0]) for k in range(600)]
    after = [
        asked(k, T0 + k * MINUTE // 2, refused=k % 3 == 0 and k % 2 == 0, requested_model="ab"[k % 3 == 0])
        for k in range(240)
    ]
    lead = signal(scope={"requested_model": "b"}, x=11, n=30, baseline_x=1, baseline_n=200)
    found = plant([*before, *after], lead=lead).look()
    assert found.suspects[0].id == "no own change: provider"
    assert "b (requested model)" in found.suspects[0].supports[0]


def test_a_version_that_was_taken_back_before_the_harm_is_acquitted(plant) -> None:
    """Traffic that went back to the old version before the onset does not count as having a later one."""
    rows = [
        asked(
            k, at, prompt_version="p2" if T0 - HOUR <= at < T0 - 10 * MINUTE else "p1", refused=at >= T0 and k % 3 == 0
        )
        for k in range(720)
        for at in (T0 - 10 * HOUR + k * MINUTE,)
    ]
    back = Change(
        id="back", at_us=T0 - 10 * MINUTE, kind="prompt", title="back to p1", app="triage", before="p2", after="p1",
        version_field="prompt_version",
    )  # fmt: skip
    found = plant(rows, changes=(back,)).look().suspects
    p2 = next(s for s in found if "p1 -> p2" in s.title)
    assert p2.probability < 0.01


def ramped(start: int, hours: int) -> list:
    """Traffic before `T0` of which version p2 takes over a share that grows from 0 to 1 in this many hours."""
    rng = np.random.default_rng(4)
    rows = []
    for k in range(30 * 60):
        at = T0 - 30 * HOUR + k * MINUTE
        share = (at - start) / (hours * HOUR) if at >= start else 0.0
        rows.append(asked(k, at, prompt_version="p2" if rng.random() < share else "p1"))
    return rows


def case_of(store: Planted) -> Case:
    """What the question is asked of."""
    before = Span(start_us=T0 - 30 * HOUR, end_us=T0 - HOUR)
    return Case(store.warehouse, store.lead, before, Span(start_us=T0 - HOUR, end_us=T0))


def test_arrivals_follow_a_rollout(plant) -> None:
    """Those who see a version come when the rollout brings them: their times spread over it, and the shares sum to 1."""
    start = T0 - 20 * HOUR
    p2 = Change(
        id="p2", at_us=start, kind="prompt", title="p2", app="triage", after="p2", version_field="prompt_version"
    )
    slow, fast = (_Versions(case_of(plant(ramped(start, hours))), start).arrivals(p2, {"p2"}) for hours in (16, 0.01))
    for found in (slow, fast):
        assert sum(share for _, share in found) == pytest.approx(1)
        assert all(at >= start for at, _ in found)
    middle = sum((at - start) / HOUR * share for at, share in slow)
    assert 4 < middle < 7
    assert fast == ((start, pytest.approx(1.0)),)


def test_the_share_before_is_that_before_the_change(plant) -> None:
    """Of a version that half of the traffic had before the change was made, the share is told; of a new one, none."""
    rows = [
        asked(k, T0 - 30 * HOUR + k * MINUTE, prompt_version="p3" if k >= 28 * 60 else "p2" if k % 2 else "p1")
        for k in range(30 * 60)
    ]
    versions = _Versions(case_of(plant(rows)), T0 - 20 * HOUR)
    told = {"kind": "prompt", "title": "t", "app": "triage", "version_field": "prompt_version"}
    assert versions.share_before(Change(id="a", at_us=T0 - 2 * HOUR, after="p2", **told)) == pytest.approx(
        0.5, abs=0.01
    )
    assert versions.share_before(Change(id="b", at_us=T0 - 2 * HOUR, after="p3", **told)) == 0


def test_more_changes_ask_no_more_questions(plant, monkeypatch) -> None:
    """The tables are read as often for twelve changes of a version field as for two: each reading may be of millions of rows."""
    asked_for = []
    real = Warehouse.run
    monkeypatch.setattr(Warehouse, "run", lambda self, plan: asked_for.append(plan) or real(self, plan))
    counts = []
    for many in (2, 12):
        rows = [
            asked(k, T0 - 10 * HOUR + k * MINUTE, refused=k > 600 and k % 3 == 0, prompt_version=f"p{k * many // 720}")
            for k in range(720)
        ]
        store = plant(rows)
        asked_for.clear()
        case = replace(case_of(store), after=Span(start_us=T0, end_us=T0 + 2 * HOUR))
        log = changes_near(case, store.ledger, store.lead)
        found = suspects_of(case, log, Traffic(shifted=False, explained=0.0), store.lead)
        assert sum(s.own for s in found) >= min(many - 1, 10)
        counts.append(sum(isinstance(plan, Rollup) for plan in asked_for))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("weight", [1.0, 10.0])
def test_a_small_rise_of_a_dose_is_chance(plant, weight: float) -> None:
    """A version that a handful more saw after a hidden change was not raised by it, whatever each of the few stands for."""
    start = T0 - 30 * HOUR
    rows = []
    for k in range(36 * 12):
        at = start + k * 5 * MINUTE
        routed = at >= T0 - 20 * HOUR and (k % 40 == 0 or (T0 + MINUTE < at < T0 + 3 * HOUR and k % 12 == 1))
        rows.append(asked(k, at, refused=routed, route_version="r2" if routed else "r1", weight=weight))
    balancer = Change(id="balancer", at_us=T0 - MINUTE, kind="config", title="load balanced anew", app="triage")
    found = plant(rows, changes=(balancer,)).look(T0 + 5 * HOUR).suspects
    assert not any("rose from" in w for s in found for w in s.supports)


def test_who_asked_before_a_change_is_no_one_to_compare_with(plant) -> None:
    """A version that all saw from an hour after the dated onset on has no others, though harm was there in that hour already."""
    rows = [
        asked(
            k, T0 - 10 * HOUR + k * MINUTE, refused=k >= 600 and k % 3 == 0, prompt_version="p2" if k >= 660 else "p1"
        )
        for k in range(840)
    ]
    case = replace(case_of(plant(rows)), after=Span(start_us=T0, end_us=T0 + 4 * HOUR))
    counts = _Counts(case)
    whole, own = (counts.exposure("prompt_version", {"p2"}, 0.0, since) for since in (0, T0 + HOUR))
    assert whole.other_n == 60
    assert own.other_n < 20  # of the one stretch of 20 min in which it came
    assert own.exposed_n == whole.exposed_n == 180
    late = counts.exposure("prompt_version", {"p2"}, 0.0, T0 + 9 * HOUR)
    assert late == whole


def test_a_deploy_that_was_written_down_late_is_found(plant) -> None:
    """Code that traffic shows from the onset on is the suspect, though its entry in the log is an hour younger."""
    before = [asked(k, T0 - 10 * HOUR + k * MINUTE, code_version="c1") for k in range(600)]
    after = [asked(k, T0 + k * MINUTE // 2, refused=k % 3 == 0, code_version="c2") for k in range(240)]
    entry = Change(id="by-hand", at_us=T0 + HOUR, kind="code", title="c2 by hand", app="triage", after="c2")
    found = plant([*before, *after], changes=(entry,)).look().suspects
    assert found[0].id == "by-hand"
    assert found[0].at_us == T0
    assert any("1.0 h before it was recorded" in w for w in found[0].supports)


def test_who_made_the_failing_part_is_compared_with_the_rest(plant) -> None:
    """Where the failing part is one model and a change reached just that model, it has the contrast, and not the provider."""
    rows = [
        asked(
            k, at, requested_model="ab"[k % 3 == 0], refused=at >= T0 and k % 3 == 0 and k % 2 == 0,
            code_version="c2" if at >= T0 and k % 3 == 0 else "c1",
        )
        for k in range(840)
        for at in (T0 - 10 * HOUR + k * MINUTE,)
    ]  # fmt: skip
    lead = signal(scope={"requested_model": "b"}, x=11, n=30, baseline_x=1, baseline_n=200)
    found = plant(rows, lead=lead).look(T0 + 4 * HOUR).suspects
    assert "c2" in found[0].title
    assert any("0 % among the others at the same time" in w for w in found[0].supports)


def test_a_surge_is_more_than_any_earlier_day(plant) -> None:
    """Twice the traffic of the same hours of every earlier day is a surge; as much as always, a second day, or a few rows that stand for many are none."""

    def surge(days: int, times: int, step: int = 1) -> str:
        rows = [
            asked(k, T0 - days * 24 * HOUR + k * 2 * MINUTE, code_version="c1") for k in range((days * 24 + 4) * 30)
        ]
        rows += [asked(k, T0 + k * 2 * MINUTE + j) for j in range(1, times) for k in range(120)]
        kept = [replace(r, weight=float(step)) for r in rows[::step]]
        case = case_of(plant(kept, discover=False))
        before, after = Span(start_us=T0 - days * 24 * HOUR, end_us=T0), Span(start_us=T0, end_us=T0 + 4 * HOUR)
        return _surge(replace(case, before=before, after=after))

    assert surge(4, 2) == "2.0 times the traffic of the same hours on the busiest of 4 earlier days"
    assert surge(4, 1) == ""
    assert surge(2, 2) == ""
    assert surge(4, 2, 40) == ""


def test_a_change_after_the_first_failures_of_its_window_is_hardly_accused(plant) -> None:
    """Of two changes in the window of the onset the one before the first failures is the suspect, not the one after them."""
    before = [asked(k, T0 - 10 * HOUR + k * MINUTE // 4) for k in range(2_400)]
    after = [asked(k, T0 + k * MINUTE // 4, refused=k >= 10 and k % 2 == 0) for k in range(480)]
    early, late = (
        Change(id=name, at_us=T0 + int(minutes * MINUTE), kind="config", title=name, app="triage")
        for name, minutes in (("early", 0.5), ("late", 4.5))
    )
    found = suspects(plant([*before, *after], changes=[early, late]))
    assert found["early"].probability > 3 * found["late"].probability
