"""Searching real tables: what is found is what a filter over all rows finds, page by page, however often time is up."""

import random
from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import count

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from andon.errors import InputError
from andon.scores import SCORERS, score_schema
from andon.scores.rows import score_row
from andon.store import Warehouse
from andon.traffic import SCHEMAS, Feedback, Interaction
from andon.traffic.records import Hit
from andon.traffic.run import record, record_feedback, search_traffic, searching, volume
from andon.traffic.searching import LATER, Cursor, ScoreCondition, Search

US, HOUR, DAY = 1_790_000_000_000_000, 3_600_000_000, 86_400_000_000
HOSTILE = ["100 %", "a_b", "'; DROP TABLE interactions; --", '"', "\\", "a\0b", "%", "<b>", "$1", "Grüße", "🦆"]
WORDS = ["refund", "Refund my order", "where is it", "order 7", None, *HOSTILE]
rng = random.Random(5)


def asked(k: int) -> Interaction:
    """One of the interactions; several share a microsecond."""
    return Interaction(
        id=f"i{k:03d}",
        time_us=US - (k // 3) * 2 * HOUR,
        app=rng.choice(["shop", "desk"]),
        environment=rng.choice(["production", "production", "staging"]),
        session_id=rng.choice(["s1", "s2", "s3", None]),
        user_id=rng.choice(["u1", "u2", "u3"]),
        query=rng.choice(WORDS),
        answer=rng.choice([None, "x" * 400, "Yes.", "no refund"]),
        model=rng.choice(["m-1", "m-2", None]),
        risk_category=rng.choice(["high", "low"]),
        source=rng.choice(["web", "probe", None]),
        error=rng.choice([None, None, "timeout"]),
        latency_s=1.5,
    )


ASKED = [asked(k) for k in range(240)]
SAID = [
    Feedback(
        id=f"f{k}",
        interaction_id=rng.choice(["s1", "s2"]) if k % 7 == 0 else f"i{rng.randrange(260):03d}",
        time_us=US - rng.randrange(-40, 180) * HOUR,
        kind=rng.choice(["thumb", "rating", "follow_up"]),
        value=rng.choice([0.0, 0.5, 1.0, None]),
        scope="session" if k % 7 == 0 else "interaction",
        error="failed" if k % 11 == 0 else None,
    )
    for k in range(60)
]


def scored() -> list[dict[str, object]]:
    """Rows of scores: one or two of each interaction, and some that feedback gave."""
    rows = [
        score_row(
            i,
            {
                "groundedness": rng.choice([0.1, 0.5, 0.9]),
                "refusal": rng.choice([0.0, 1.0]),
                "topic": ("t01", "none", "t02")[int(i.id[1:]) % 3],
            },
            s,
            f"{i.id}/{s}",
            i.time_us,
        )
        for i in ASKED
        for s in ("one", "two")[: rng.choice([1, 1, 1, 2])]
    ]
    known = {i.id: i for i in ASKED}
    rows += [
        score_row(known[f.interaction_id], {"follow_up": 1.0}, "people", f"feedback/{f.id}", f.time_us)
        for f in SAID
        if f.kind == "follow_up" and f.interaction_id in known
    ]
    return rows


SCORED = scored()


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """The rows in several commits, out of order; stretches are short, so that a search takes many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(searching, "_FIRST_ROWS", 15)
        patch.setattr(searching, "_CANDIDATES", 5)
        store = Warehouse(tmp_path_factory.mktemp("search"), {**SCHEMAS, "scores": score_schema(SCORERS)})
        for part in range(4):
            record(store, ASKED[part::4])
            record_feedback(store, SAID[part::4])
            store.append("scores", pa.Table.from_pylist(SCORED[part::4], schema=score_schema(SCORERS)))
            store.commit()
        yield store
        store.close()


def fits(search: Search, i: Interaction) -> bool:
    """Whether an interaction is what a search looks for, in plain Python."""
    since = (search.start_us or 0) - DAY
    said = [f for f in SAID if f.time_us >= since]
    mine = [f for f in said if (f.scope, f.interaction_id) in (("interaction", i.id), ("session", i.session_id))]
    rows = [r for r in SCORED if r["interaction_id"] == i.id]
    own = [s for s in search.scores if s.metric not in LATER]
    checks = [
        search.start_us is None or i.time_us >= search.start_us,
        search.end_us is None or i.time_us < search.end_us,
        all(getattr(i, field) == value for field, value in search.exact),
        search.question is None or search.question.lower() in (i.query or "").lower(),
        search.answer is None or search.answer.lower() in (i.answer or "").lower(),
        search.error is None or (i.error is not None) == search.error,
        search.feedback is None or any(f.kind == search.feedback for f in mine),
        not (own or search.topic)
        or any(
            r["scorers"] != "people" and search.topic in (None, r["topic"]) and all(meets(s, r[s.metric]) for s in own)
            for r in rows
        ),
    ]
    for s in (s for s in search.scores if s.metric in LATER):
        if s.metric == "follow_up":
            given = [r[s.metric] for r in rows if r["scorers"] == "people" and r["time_us"] >= since]  # type: ignore[operator]
        else:
            given = [
                f.value for f in mine if f.kind == LATER[s.metric] and f.scope == "interaction" and f.error is None
            ]
        checks.append(any(meets(s, value) for value in given))
    return all(checks)


def meets(s: ScoreCondition, value: object) -> bool:
    """Whether a value meets a condition; none never does."""
    assert value is None or isinstance(value, float)
    return value is not None and (value >= s.value if s.op == "ge" else value < s.value)


def pages(warehouse: Warehouse, search: Search, limit: int, seconds: Iterator[float]) -> tuple[list[Hit], int]:
    """All pages joined, and how many of them were cut short."""
    rows: list[Hit] = []
    before, cut = None, 0
    for _ in range(400):
        found = search_traffic(warehouse, search, limit=limit, before=before, within_s=0.5, clock=lambda: next(seconds))
        rows += found.rows
        assert len(found.rows) <= limit
        assert found.complete == (len(found.rows) == limit or found.next is None)
        cut += not found.complete
        if found.next is None:
            return rows, cut
        assert found.searched_back_to_us == found.next.time_us
        assert before is None or (found.next.time_us, found.next.id or "") < (before.time_us, before.id or "")
        before = found.next
    raise AssertionError("the search does not end")


conditions = st.builds(
    ScoreCondition,
    metric=st.sampled_from(["groundedness", "refusal", "thumbs", "rating", "follow_up"]),
    op=st.sampled_from(["ge", "lt"]),
    value=st.sampled_from([0.2, 0.5, 0.6]),
)
EXACT_VALUES = {
    "app": ["shop", "desk", "none"],
    "environment": ["production", "staging"],
    "source": ["web", "probe"],
    "model": ["m-1", "m-2"],
    "risk_category": ["high"],
    "user_id": ["u1", "u2"],
    "session_id": ["s1", "s3"],
}
exact = st.sets(st.sampled_from(sorted(EXACT_VALUES)), max_size=2).flatmap(
    lambda names: st.tuples(*(st.tuples(st.just(n), st.sampled_from(EXACT_VALUES[n])) for n in sorted(names)))
)
searches = st.builds(
    Search,
    start_us=st.sampled_from([None, None, US - 90 * HOUR, US - 10 * HOUR]),
    end_us=st.sampled_from([None, None, US - 30 * HOUR]),
    exact=exact,
    topic=st.sampled_from([None, None, "t01", "t99"]),
    question=st.sampled_from([None, None, "refund", "ORDER", "e", *HOSTILE]),
    answer=st.sampled_from([None, None, "x", "yes"]),
    error=st.sampled_from([None, None, True, False]),
    scores=st.one_of(st.just(()), st.lists(conditions, max_size=2, unique=True).map(tuple)),
    feedback=st.sampled_from([None, None, None, "thumb", "follow_up"]),
)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(searches, st.sampled_from([1, 7, 50, 300]), st.booleans(), st.sampled_from([0, 5, 10_000]))
def test_pages_joined_are_all_that_a_filter_finds(warehouse, search, limit, hurried, few):
    """Pages of any size joined are what a filter over all rows finds: in order, none twice, none lost, also when time is always up.

    So it is whether little was said about them or much, which is looked for in another way.
    """
    if limit == 1:
        search = replace(search, start_us=max(search.start_us or 0, US - 50 * HOUR))
    expected = sorted((i for i in ASKED if fits(search, i)), key=lambda i: (i.time_us, i.id), reverse=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(searching, "_FEW", few)
        rows, _ = pages(warehouse, search, limit, iter(count(0.0, 1.0 if hurried else 0.0)))
    assert [(h.id, h.time_us) for h in rows] == [(i.id, i.time_us) for i in expected]


def test_the_engine_is_not_asked_for_a_million_ids(warehouse, monkeypatch):
    """However much was said, a plan names few ids: each costs microseconds and half a kilobyte."""
    asked, run = [], warehouse.run

    def look(plan):
        asked.append(max((len(w.value) for w in getattr(plan, "where", ()) if w.op == "in"), default=0))
        return run(plan)

    monkeypatch.setattr(searching, "_FEW", 5)
    monkeypatch.setattr(warehouse, "run", look)
    found = search_traffic(warehouse, Search(feedback="thumb"), limit=4, clock=lambda: 0.0)
    assert len(found.rows) == 4
    assert max(asked) <= 5


def test_what_was_not_looked_through_is_not_called_searched(warehouse):
    """When time is up the answer says so and how far it came; going on finds the same rows as without a limit of time."""
    search = Search(question="order 7")
    seconds = count(0.0, 1.0)
    first = search_traffic(warehouse, search, within_s=0.5, clock=lambda: next(seconds))
    assert not first.complete
    assert first.next == Cursor(time_us=first.searched_back_to_us)
    assert all(h.time_us >= first.searched_back_to_us for h in first.rows)
    whole, never = pages(warehouse, search, 50, iter(count(0.0, 0.0)))
    again, cut = pages(warehouse, search, 50, iter(count(0.0, 1.0)))
    assert never == 0 < cut
    assert whole == again != []


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_found_to_the_letter(warehouse, text):
    """Wildcards, quotes, NUL and SQL stand for themselves in a search, in texts as in values."""
    rows, _ = pages(warehouse, Search(question=text), 300, iter(count(0.0, 0.0)))
    assert [h.query for h in rows] == [q for i in sorted(ASKED, key=lambda i: (i.time_us, i.id), reverse=True) if text.lower() in (q := i.query or "").lower()]  # fmt: skip
    assert rows
    assert pages(warehouse, Search(exact=(("app", text),)), 300, iter(count(0.0, 0.0)))[0] == []


def test_a_list_shows_what_a_list_needs(warehouse):
    """A row of a list has the fields of its interaction; a long text is cut and says so."""
    rows, _ = pages(warehouse, Search(), 300, iter(count(0.0, 0.0)))
    known = {i.id: i for i in ASKED}
    assert len(rows) == len(ASKED)
    for h in rows:
        i = known[h.id]
        assert {f.name: getattr(h, f.name) for f in fields(Hit) if f.name != "answer"} == {
            f.name: getattr(i, f.name) for f in fields(Hit) if f.name != "answer"
        }
        assert h.answer == ("x" * 300 + "…" if i.answer == "x" * 400 else i.answer)


def test_an_empty_store_is_searched_to_its_beginning(tmp_path):
    """Where there is no traffic a search is complete and finds nothing, and there is no volume; a score is refused there."""
    store = Warehouse(tmp_path / "store", SCHEMAS)
    found = search_traffic(store, Search(), clock=lambda: 0.0)
    assert (found.rows, found.complete, found.next, found.searched_back_to_us) == ((), True, None, None)
    assert volume(store, Search()) is None
    asks = Search(scores=(ScoreCondition(metric="groundedness", op="lt", value=0.5),))
    with pytest.raises(InputError, match="none yet"):
        search_traffic(store, asks, clock=lambda: 0.0)
    store.close()


def test_an_impossible_search_is_refused(warehouse):
    """A metric that is none, and a page without rows, are refused with what is allowed."""
    for metric in ("niceness", "weight", "app"):
        with pytest.raises(InputError, match="groundedness"):
            search_traffic(
                warehouse, Search(scores=(ScoreCondition(metric=metric, op="lt", value=0.5),)), clock=lambda: 0.0
            )
    with pytest.raises(InputError, match="limit=0"):
        search_traffic(warehouse, Search(), limit=0, clock=lambda: 0.0)
    with pytest.raises(InputError, match="buckets=0"):
        volume(warehouse, Search(), buckets=0)


@settings(max_examples=25, deadline=None)
@given(searches, st.integers(1, 70))
def test_volume_counts_what_a_search_finds(warehouse, search, buckets):
    """The volume of a search adds up to what it finds, bucket by bucket; of scores and feedback it says nothing."""
    found = volume(warehouse, search, buckets)
    if search.scores or search.topic or search.feedback or (search.start_us or 0) >= (search.end_us or US + 1):
        assert found is None
        return
    assert found is not None
    assert len(found.counts) <= buckets + 1
    times = [i.time_us for i in ASKED if fits(search, i)]
    at = [found.start_us + k * found.width_us for k in range(len(found.counts))]
    assert list(found.counts) == [sum(a <= t < a + found.width_us for t in times) for a in at]
    assert sum(found.counts) == len(times)


def test_volume_that_costs_too_much_is_not_known(warehouse):
    """Over more rows than are allowed the volume is None, over a tenth of them where a text is looked for."""
    assert volume(warehouse, Search(), most_rows=200) is None
    assert volume(warehouse, Search(), most_rows=250) is not None
    assert volume(warehouse, Search(question="e"), most_rows=250) is None
    assert volume(warehouse, Search(question="e", start_us=US - 10 * HOUR), most_rows=250) is not None
