"""Laws of question 3 on a real store: the verdict, the parts, the slices and who was hit."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from planted import HOUR, MINUTE, T0, Planted, asked, prompt_failure, signal

from andon.investigations.run import spread
from andon.investigations.run.case import Case, figures_of
from andon.monitors import Objective
from andon.store import Rollup, Span, from_json
from andon.traffic import SEGMENTS, VERSIONS, Interaction

HOSTILE = "'; DROP TABLE scores; --\n\x1b[31m<b>"


@pytest.fixture
def case(plant: Callable[..., Planted]) -> Callable[..., Case]:
    """Store traffic, and take the case of its refusals."""

    def make(traffic: Sequence[Interaction], **fields: object) -> Case:
        store = plant(traffic, lead=signal(**fields))
        before, after = Span(start_us=T0 - 10 * HOUR, end_us=T0), Span(start_us=T0, end_us=T0 + 10 * HOUR)
        return Case(store.warehouse, store.lead, before, after)

    return make


def two_tasks(**fields: object) -> list[Interaction]:
    """Six tasks, two models; since the onset one task on one model is refused."""
    found = []
    for k in range(1200):
        at = T0 - 10 * HOUR + k * MINUTE
        told = {"task": f"task{k % 6}", "model": f"model{k // 6 % 2}", "user_id": f"u{k % 7}", **fields}
        found.append(asked(k, at, refused=at >= T0 and (k % 6, k // 6 % 2) == (2, 1), **told))
    return found


def objective(**fields: object) -> Objective:
    """A limit of refusals."""
    told = {"name": "calm", "metric": "refusal", "direction": "up", "at_most": 0.5, "source": "here"}
    return Objective(**{**told, **fields})


def judged(case: Case, *objectives: Objective) -> tuple[str, str]:
    """The verdict and its reason."""
    x1, n1, x2, n2, *_ = spread.totals(case)
    return spread.verdict_of(case, x1, n1, x2, n2, objectives)


def test_the_slice_of_two_attributes_is_found(case: Callable[..., Case]) -> None:
    """The refused task on the refusing model is the one slice, with all of the excess and the counts of the traffic."""
    traffic = two_tasks()
    found = spread.slices_of(case(traffic))
    assert [s.where for s in found] == [{"task": "task2", "model": "model1"}]
    since = [i for i in traffic if i.time_us >= T0]
    inside = [i for i in since if (i.task, i.model) == ("task2", "model1")]
    one = found[0]
    assert (one.after_x, one.after_n, one.outside_x, one.outside_n) == (
        len(inside),
        len(inside),
        0,
        len(since) - len(inside),
    )
    assert (one.before_x, one.before_n) == (0, 50)
    assert one.share == 1.0


def test_every_figure_of_a_slice_is_evidence(case: Callable[..., Case]) -> None:
    """The counts of a slice stand among the evidence, and its plans give them again."""
    planted = case(two_tasks())
    (one,) = spread.slices_of(planted)
    figures = {e.claim: e.figures["refusal.w"] for e in planted.evidence}
    name = "task task2, model model1"
    assert figures == {
        f"harmed interactions since the onset in {name}": one.after_x,
        f"interactions since the onset in {name}": one.after_n,
    }
    for e in planted.evidence:
        plan = from_json(e.plan)
        assert isinstance(plan, Rollup)
        assert figures_of(planted.warehouse, plan) == e.figures


def test_a_new_version_is_found(case: Callable[..., Case]) -> None:
    """A prompt that came with the onset is the slice, though nothing of it was seen before; what all traffic has is none."""
    found = spread.slices_of(case(prompt_failure()))
    assert [s.where for s in found] == [{"prompt_version": "v2"}]
    assert (found[0].before_n, found[0].after_x, found[0].after_n) == (0, 90, 120)


@pytest.mark.parametrize("make", [two_tasks, prompt_failure])
def test_parts_are_those_of_counting_by_hand(case: Callable[..., Case], make: Callable[[], list[Interaction]]) -> None:
    """Parts hold harm and traffic before and since of each value of each field of which there is more than one."""
    traffic = make()
    rows = set()
    for name in dict.fromkeys((*SEGMENTS, *VERSIONS)):
        counts: Counter[tuple[object, bool, bool]] = Counter()
        for i in traffic:
            if T0 - 10 * HOUR <= i.time_us < T0 + 10 * HOUR:
                value, since = getattr(i, name), i.time_us >= T0
                counts[value, since, False] += 1
                counts[value, since, True] += "sorry" in (i.answer or "")
        values = {v for v, _, _ in counts if v is not None}
        if len(values) > 1:
            rows |= {
                (
                    name,
                    v,
                    counts[v, False, True],
                    counts[v, False, False],
                    counts[v, True, True],
                    counts[v, True, False],
                )
                for v in values
                if counts[v, True, False]
            }
    assert set(spread.parts_of(case(traffic))) == rows


def test_wide_fields_are_counted_alone(case: Callable[..., Case], monkeypatch: pytest.MonkeyPatch) -> None:
    """A field with too many values has parts, the same as ever, and no slices; the narrower ones keep theirs."""
    planted = case(two_tasks())
    before = spread.parts_of(planted)
    monkeypatch.setattr(spread, "MOST_VALUES", 3)
    again = Case(planted.warehouse, planted.signal, planted.before, planted.after)
    assert sorted(spread.parts_of(again)) == sorted(before)
    assert not any("task" in s.where for s in spread.slices_of(again))


def test_the_widest_fields_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fields are left out, the widest first, until their combinations are few enough; rows bound them too."""
    monkeypatch.setattr(spread, "MOST_CELLS", 100)
    widths = {"a": 50, "b": 3, "c": 20, "d": 2}
    assert spread._fitting(list(widths), widths, 1e6) == ["b", "d"]
    assert spread._fitting(list(widths), widths, 99) == ["a", "b", "c", "d"]
    assert spread._fitting([], {}, 1e6) == []


def test_who_was_hit_again_and_again(case: Callable[..., Case]) -> None:
    """Users, sessions, those hit more than once and the most hits of one are those of counting by hand."""
    traffic = two_tasks()
    hits = Counter(i.user_id for i in traffic if "sorry" in (i.answer or ""))
    impact = spread.impact_of(case(traffic), 0.0, 1.0, 2.0, lately=None)
    assert (impact.users, impact.most) == (len(hits), max(hits.values()))
    assert impact.again == sum(1 for v in hits.values() if v > 1)
    nobody = spread.impact_of(case(two_tasks(user_id=None, session_id=None)), 0.0, 1.0, 2.0, lately=None)
    assert (nobody.users, nobody.sessions, nobody.again, nobody.most) == (None, None, None, None)


def one_user() -> list[Interaction]:
    """Since the onset one of many users is refused, always."""
    found = []
    for k in range(1200):
        at = T0 - 10 * HOUR + k * MINUTE
        user = "bot" if k % 10 == 0 else f"u{k % 97}"
        found.append(asked(k, at, refused=at >= T0 and user == "bot", user_id=user))
    return found


def test_one_user_who_fails_sixty_times_is_isolated(case: Callable[..., Case]) -> None:
    """Sixty refusals of one user among a hundred are one case; spread over users, as many are systematic."""
    verdict, reason = judged(case(one_user()))
    assert verdict == "isolated"
    assert "60 of 600 harmed" in reason
    assert "1 of 98 users were hit" in reason
    assert judged(case(two_tasks()))[0] == "systematic"


def test_sessions_stand_in_for_users(case: Callable[..., Case]) -> None:
    """Where no user is named, harm that gathers in one session is one case; where nobody is named at all, each is one."""
    traffic = [
        asked(k, T0 + k * MINUTE, refused=k % 10 == 0, user_id=None, session_id="s" if k % 10 == 0 else f"s{k % 97}")
        for k in range(600)
    ]
    verdict, reason = judged(case(traffic, baseline_x=5, baseline_n=500))
    assert (verdict, "sessions were hit" in reason) == ("isolated", True)
    nobody = [asked(k, T0 + k * MINUTE, refused=k % 10 == 0, user_id=None, session_id=None) for k in range(600)]
    planted = case(nobody)
    assert spread.verdict_of(planted, 5, 500, 60, 600)[0] == "systematic"


def test_the_baseline_in_the_reason_is_the_one_in_evidence(case: Callable[..., Case]) -> None:
    """What the verdict is held against is printed with the counts of the evidence beside it."""
    planted = case(two_tasks())
    reason = judged(planted)[1]
    x, n = (e.figures["refusal.w"] for e in planted.evidence[:2])
    assert f"against {x:,.0f} of {n:,.0f} before (0 %)" in reason


def test_an_objective_replaces_the_baseline(case: Callable[..., Case]) -> None:
    """An objective of this metric is the limit; one of another metric, app or direction is not, nor one of another part."""
    planted = case(two_tasks())
    assert judged(planted)[0] == "systematic"
    verdict, reason = judged(planted, objective())
    assert verdict == "isolated"
    assert "at most 50 % by objective calm" in reason
    others = (
        objective(metric="error"),
        objective(app="shop"),
        objective(environment="test"),
        objective(direction="down"),
    )
    assert judged(planted, *others) == judged(planted)
    assert judged(planted, objective(), objective(name="strict", at_most=0.02))[0] == "systematic"


def test_the_limit_of_a_risk_category_is_kept_within_all(case: Callable[..., Case]) -> None:
    """All traffic may be within its objective, and one risk category break its own: that is systematic, and said of it."""
    high = objective(name="careful", at_most=0.01, scope=(("risk_category", "low"),))
    verdict, reason = judged(case(two_tasks()), objective(), high)
    assert verdict == "systematic"
    assert reason.startswith("in risk_category low: ")
    assert "objective careful" in reason
    assert "objective calm" in reason


def test_the_limit_of_a_risk_category_holds_for_what_is_within_it(case: Callable[..., Case]) -> None:
    """An incident of one task in one risk category is held against the category's objective before that of all traffic."""
    planted = case(two_tasks(), scope={"risk_category": "low", "task": "task2"})
    limits = objective(name="all", at_most=0.001), objective(at_most=0.9, scope=(("risk_category", "low"),))
    verdict, reason = judged(planted, *limits)
    assert verdict == "isolated"
    assert "objective calm" in reason


def test_sampled_traffic_counts_as_the_rows_that_there_are(case: Callable[..., Case]) -> None:
    """Rows that stand for ten interactions each are evidence for one: verdict and slices are those of the rows."""
    plain, tenfold = case(two_tasks()), case(two_tasks(weight=10.0))
    assert judged(plain)[0] == judged(tenfold)[0]
    assert judged(plain)[1].split(" before")[0] == judged(tenfold)[1].split(" before")[0]
    assert spread.slices_of(plain) == spread.slices_of(tenfold)
    assert spread.parts_of(plain) == spread.parts_of(tenfold)


def test_harm_that_is_always_kept_does_not_raise_the_rate(case: Callable[..., Case]) -> None:
    """When refusals are always kept and other answers sampled one in ten, rates are those of the traffic, not of the rows."""
    traffic, drawn = [], np.random.default_rng(0).random(2400)
    for k in range(2400):
        refused = k % 23 == 0
        if refused or drawn[k] < 0.1:
            told = {"task": f"task{k % 2}", "model": f"model{k // 7 % 2}", "weight": 1.0 if refused else 10.0}
            traffic.append(asked(k, T0 - 10 * HOUR + k * MINUTE // 2, refused=refused, **told))
    planted = case(traffic)
    cells = spread._cells(planted)
    assert cells.after_x.sum() / cells.after_n.sum() < 0.07
    assert spread.slices_of(planted) == ()


def test_a_risk_category_that_is_kept_whole_counts_whole(case: Callable[..., Case]) -> None:
    """Where high risk is kept whole and the rest one in ten, 25 harmed rows of high risk are evidence for 25, not for 2.5."""
    traffic = []
    for k in range(1200):
        at, high, task = T0 - 10 * HOUR + k * MINUTE, k % 2 == 1, k // 2 % 6
        told = {"risk_category": "high" if high else "low", "task": f"task{task}", "weight": 1.0 if high else 10.0}
        traffic.append(asked(k, at, refused=at >= T0 and high and task == 2 and k // 12 % 2 == 0, **told))
    (one,) = spread.slices_of(case(traffic))
    assert one.where == {"risk_category": "high", "task": "task2"}
    assert (one.after_x, one.after_n) == (25, 50)


def test_hostile_values_are_values(case: Callable[..., Case]) -> None:
    """A segment that is SQL, HTML or a terminal's control sequence is a value like any other."""
    traffic = [
        asked(i, x.time_us, task=HOSTILE if x.task == "task2" else "calm", refused="sorry" in (x.answer or ""))
        for i, x in enumerate(two_tasks(model="m"))
    ]
    (one,) = spread.slices_of(case(traffic))
    assert one.where == {"task": HOSTILE}


@pytest.mark.parametrize("traffic", [[], [asked(1, T0 + 1)], [i for i in two_tasks() if i.time_us < T0]], ids=len)
def test_too_little_is_no_slice(case: Callable[..., Case], traffic: list[Interaction]) -> None:
    """Without traffic, with one interaction, or with none since the onset there are no parts of harm, and no error."""
    planted = case(traffic)
    assert spread.slices_of(planted) == ()
    assert all(row[5] > 0 for row in spread.parts_of(planted))
    assert judged(planted)[0] in ("undecided", "isolated")
