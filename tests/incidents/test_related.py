"""Laws of related incidents: the same failure is found again, and why is said."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_triage import HOUR, T0, signal
from walked import EMBEDDER, Store

from andon.incidents import Incident, open_incident
from andon.incidents.related import related, signature_of
from andon.incidents.run import add_note
from andon.incidents.run.related import related_to, texts_of
from andon.incidents.run.reports import receive_report


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store on disk."""
    made = Store(tmp_path)
    yield made
    made.close()


def incident(number: int, **fields) -> Incident:
    """An incident of refusals in one task, of a known type."""
    told = {"scope": {"task": "faq"}, "failure": "prompt regression", **fields}
    lead = signal(f"s{number}", scope=told.pop("scope"), metric=told.pop("metric", "refusal"))
    return replace(open_incident(number, [lead]), **told)


def test_the_signature_has_four_parts() -> None:
    """Metric, part, kind of change and failure type; what is not known is empty, all traffic is a part."""
    assert signature_of(incident(1), "prompt") == ("refusal", "task=faq", "prompt", "prompt regression")
    whole = incident(2, scope={}, failure=None)
    assert signature_of(whole) == ("refusal", "all traffic", "", "")
    two = incident(3, scope={"task": "faq", "risk_category": "high"})
    assert signature_of(two)[1] == "risk_category=high,task=faq"
    assert signature_of(replace(whole, metric="", lead="")) == ("", "", "", "")


def find(one: Incident, *others: Incident, kinds=None, vectors=None):
    """The related ones."""
    return related(one, others, kinds=kinds or {}, vectors=vectors or {})


def test_the_more_is_the_same_the_more_alike() -> None:
    """Each part that is the same adds its weight; the order is by likeness, and each says what is the same."""
    one = incident(1)
    kinds = {"INC-0001": "prompt", "INC-0002": "prompt", "INC-0003": "model"}
    same, near = incident(2), incident(3)
    far = incident(4, scope={"task": "x"}, failure=None)
    other = incident(5, metric="error", scope={"task": "y"}, failure="infrastructure failure")
    found = find(one, other, far, near, same, one, kinds=kinds)
    assert [(r.id, round(r.score, 9)) for r in found] == [("INC-0002", 1.0), ("INC-0003", 0.8), ("INC-0004", 0.35)]
    assert (
        found[1].why
        == "same metric (refusal); same part of the traffic (task=faq); same failure type (prompt regression)"
    )
    assert found[0].same == ("metric", "part of the traffic", "kind of change", "failure type")


def test_what_is_not_known_is_not_the_same() -> None:
    """Two unknown changes or failure types are no likeness."""
    one, other = incident(1, failure=None), incident(2, failure=None, metric="error", scope={"task": "y"})
    assert find(one, other) == ()


def test_duplicates_and_itself_are_passed_over() -> None:
    """An incident is not related to itself, nor to what was found to be the same."""
    one = incident(1)
    assert find(one, one, replace(incident(2), duplicate_of="INC-0001")) == ()
    assert find(replace(one, duplicate_of="INC-0003"), incident(3)) == ()


def test_texts_move_the_score_where_people_wrote_about_both() -> None:
    """Three tenths are the cosine of the texts; where one of the two has no metric, texts alone decide."""
    one, other = incident(1), incident(2)
    a, b = np.array([1, 0], np.float32), np.array([0.6, 0.8], np.float32)
    assert find(one, other, vectors={"INC-0001": a})[0].likeness is None
    (found,) = find(one, other, vectors={"INC-0001": a, "INC-0002": b})
    assert found.score == pytest.approx(0.7 * 0.8 + 0.3 * 0.6)
    assert found.why.endswith("texts are alike (0.60)")
    said = replace(other, metric="", lead="", scope={}, failure=None)
    (found,) = find(one, said, vectors={"INC-0001": a, "INC-0002": b})
    assert (found.score, found.same) == (pytest.approx(0.6), ())
    assert find(one, said, vectors={"INC-0001": a, "INC-0002": np.array([0, 1], np.float32)}) == ()


@given(st.lists(st.sampled_from(["refusal", "error", ""]), min_size=2, max_size=6))
def test_likeness_is_mutual_and_bounded(metrics: list[str]) -> None:
    """If one is related to another, so is the other to the one, with the same score, which is 0..1."""
    found = [incident(k, metric=m or "refusal") for k, m in enumerate(metrics, 1)]
    made = [i if m else replace(i, metric="", lead="", scope={}) for i, m in zip(found, metrics, strict=True)]
    for i in made:
        for r in related(i, made, kinds={}, vectors={}, most=99):
            (other,) = [o for o in made if o.id == r.id]
            back = {b.id: b.score for b in related(other, made, kinds={}, vectors={}, most=99)}
            assert back[i.id] == r.score
            assert 0 <= r.score <= 1


def test_what_people_wrote_is_read_from_the_ledger(store: Store) -> None:
    """Reports and notes are texts, titles and signals are not; kinds of changes come from whoever knows them."""
    first = store.raise_(signal("a", scope={"task": "faq"}))
    second = store.raise_(signal("b", app="other", at_us=T0 + 90 * HOUR, onset_us=T0 + 89 * HOUR))
    add_note(store.ledger, first, "the index lost half of its passages", happened_us=T0, now_us=T0, by="ann")
    said = "the index has lost half of all passages"
    receive_report(store.warehouse, store.ledger, said, app="third", by="mia", now_us=T0)
    assert texts_of(store.ledger, store.ledger.all(Incident)) == {
        first.id: "the index lost half of its passages",
        "INC-0003": said,
    }
    found = related_to(store.ledger, first, EMBEDDER, kind_of=lambda i: "index" if i.metric else None)
    assert [r.id for r in found] == ["INC-0003", second.id]
    assert "texts are alike" in found[0].why
    assert {"metric", "kind of change"} <= set(found[1].same)
    assert "part of the traffic" not in found[1].same


def test_the_command_says_why(type_) -> None:
    """`andon incident related` lists them with the reason, or says that there is none."""
    from andon.cli.screen import opened
    from andon.incidents.run import respond

    with opened() as loop:
        for name, app in (("a", "bot"), ("b", "other")):
            s = signal(name, app=app, scope={"task": "faq"})
            loop.ledger.put(s, now_us=T0, by="andon")
            respond(loop.ledger, [s])
        alone = signal("c", app="third", metric="error", harm="availability", at_us=T0)
        loop.ledger.put(alone, now_us=T0, by="andon")
        respond(loop.ledger, [alone])
    code, out, _ = type_("incident", "related", "INC-0001")
    assert code == 0
    assert "INC-0002" in out
    assert "same metric (refusal); same part of the traffic (task=faq)" in out
    assert "INC-0003" not in out
    assert "no incident is like it" in type_("incident", "related", "INC-0003")[1]
