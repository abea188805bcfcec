"""Laws of growth and of re-framings: what was added is counted where it belongs, and nothing joins the set by itself."""

import pytest

from andon.golden import Failure, Label, LabelRow
from andon.golden.cases import case_id, to_case
from andon.golden.growth import growth_of
from andon.golden.reframe import FRAMES, reframings
from andon.golden.run import accept_suggestions, add_cases, capture, growth, label_failures, load_set, reframe, retire

DAY_US = 86_400_000_000


def dated(case, n, day, **more):
    """Cases that were added on a day."""
    return [case(f"{day} {k}", added_date=day, **more) for k in range(n)]


def test_weeks_begin_on_monday_and_origins_are_told_apart(case, now_us):
    """Friday 2026-11-20 is in the week of the 16th; a case is counted once, by where it came from."""
    cases = [
        *dated(case, 2, "2026-11-16", source="incident INC-1"),
        *dated(case, 1, "2026-11-15", source="thumbs-down"),
        *dated(case, 1, "2026-11-09", source="low score"),
        *dated(case, 3, "2026-11-20", source="crawled"),
        *dated(case, 1, "2026-11-18", source="re-framing of G-1", incident="INC-1"),
        *dated(case, 1, "", source="x"),
        *dated(case, 4, "2025-01-01", source="old", retired="2026-11-17", retired_why="x"),
    ]
    found = growth_of(cases, waiting=0, now_us=now_us)
    assert len(found.weeks) == 12
    last, before = found.weeks[-1], found.weeks[-2]
    assert (last.monday, last.added, last.retired) == ("2026-11-16", 6, 4)
    assert last.by_origin == {"incident": 2, "by hand": 3, "re-framing": 1}
    assert (before.monday, before.by_origin) == ("2026-11-09", {"feedback": 1, "score": 1})
    assert (found.tested, found.retired) == (9, 4)


@pytest.mark.parametrize(
    ("counts", "start", "a_week"),
    [
        ((3, 3, 3, 3), "too slow: 3.0 cases a week", 3),
        ((5, 5, 5, 5), "on target", 5),
        ((40, 0, 0, 1), "fast: 10.2", 10.25),
    ],
)
def test_the_verdict_is_about_four_whole_weeks(case, now_us, counts, start, a_week):
    """The week that is not over does not count, nor do older ones."""
    days = ("2026-10-21", "2026-10-28", "2026-11-04", "2026-11-11")
    cases = [c for n, day in zip(counts, days, strict=True) for c in dated(case, n, day)]
    cases += [*dated(case, 50, "2026-11-20"), *dated(case, 50, "2026-09-01")]
    found = growth_of(cases, waiting=2, now_us=now_us)
    assert found.a_week == a_week
    assert found.verdict.startswith(start)
    assert "2 captured failures wait" in found.verdict


def test_a_young_set_has_no_pace(case, now_us):
    """Without a whole week nobody can tell; without a case the verdict says what to do."""
    assert growth_of(dated(case, 9, "2026-11-20"), waiting=0, now_us=now_us).verdict.startswith("cannot tell")
    assert growth_of([], waiting=1, now_us=now_us).verdict.startswith(
        "there is no golden case yet; 1 captured failure waits"
    )


def high(case, ledger, now_us, **more):
    """A high-risk case in the ledger."""
    made = case("How much ibuprofen may a child take?", "ask a doctor", risk_category="high", **more)
    ledger.put(made, now_us=now_us, by="ann")
    return made


def test_reframings_wait_for_people_and_are_made_once(ledger, case, words, now_us):
    """Only high-risk cases are asked anew; a second call makes the rest, a third none; none is accepted in bulk or added."""
    parent = high(case, ledger, now_us, contexts=("c",), cut=0.5, metric="groundedness")
    ledger.put(case("low", risk_category="low"), now_us=now_us, by="ann")
    done, made = reframe(ledger, limit=4, now_us=now_us, by="ann")
    assert len(done.captured) == 4
    rest, _ = reframe(ledger, limit=4, now_us=now_us + 1, by="ann")
    assert (len(rest.captured), len(rest.known)) == (len(FRAMES) - 4, 4)
    again, none = reframe(ledger, limit=4, now_us=now_us + 2, by="ann")
    assert (again.captured, len(again.known), none) == ((), len(FRAMES), [])
    for f in made:
        assert parent.question in f.question
        assert (f.answer, f.suggestion, f.suggested_by, f.variant_of) == (None, "ask a doctor", "case", parent.id)
        assert (f.metric, f.cut, f.contexts, f.source) == ("groundedness", 0.5, ("c",), f"re-framing of {parent.id}")
    assert accept_suggestions(ledger, now_us=now_us, by="ann").labelled == ()
    assert add_cases(ledger, words, now_us=now_us, by="ann").added == ()
    assert growth(ledger, now_us=now_us).waiting == len(FRAMES)


def test_what_is_not_asked_anew(case):
    """Retired cases, re-framings, long questions and questions in another language stay as they are; frames hold braces."""
    english = case("What is the {question} of the child?", "t")
    made = reframings([english], at_us=0)
    assert [f.question.count("What is the {question} of the child?") for f in made] == [1] * len(FRAMES)
    assert reframings([english], at_us=0) == made
    assert len({f.id for f in made}) == len(FRAMES)
    for other in (
        case("What is it?", retired="2026-01-01"),
        case("What is it?", source="re-framing of G-1"),
        case("What is it? " * 60),
        case("¿Cuánto cuesta?"),
        case("Wie viel darf ein Kind davon nehmen, wenn es nicht schlafen kann und wir keine andere Wahl haben?"),
    ):
        assert reframings([other], at_us=0) == []
    assert all("arXiv" in f.found_in or f.found_in.startswith("no publication") for f in FRAMES.values())


def test_a_labelled_reframing_becomes_a_variant(ledger, case, now_us):
    """The case of a re-framing carries the parent, its measure and what it expects; retiring the parent asks nothing anew."""
    parent = high(case, ledger, now_us, metric="judge", expect={"criteria": "polite"})
    _, (f, *_) = reframe(ledger, limit=9, now_us=now_us, by="ann")
    assert isinstance(ledger.get(Failure, f.id), Failure)
    label_failures(
        ledger, [LabelRow(line=1, id=f.id, question=None, ground_truth="ask a doctor")], now_us=now_us, by="bob"
    )

    (label,) = ledger.all(Label)
    made = to_case(f, label, added_us=now_us, nearest=None, embedder="e")
    assert (made.id, made.variant_of) == (case_id("default", f.question, "ask a doctor"), parent.id)
    assert (made.metric, made.expect, made.risk_category) == ("judge", {"criteria": "polite"}, "high")
    retire(ledger, parent.id, why="x", now_us=now_us, by="ann")
    assert load_set(ledger) == []
    assert reframe(ledger, limit=9, now_us=now_us, by="ann")[1] == []
    assert capture(ledger, [f], now_us=now_us).known == (f.id,)


def test_a_reframing_is_no_duplicate_of_its_case(ledger, case, words, now_us):
    """Though it is nearly the same text with the same right answer, it is added, as a variant, once people say so."""
    parent = high(case, ledger, now_us)
    _, made = reframe(ledger, limit=9, now_us=now_us, by="ann")
    for person in ("bob", "cleo"):
        rows = [LabelRow(line=1, id=f.id, question=None, ground_truth="ask a doctor", author=person) for f in made]
        label_failures(ledger, rows, now_us=now_us, by=person)
    result = add_cases(ledger, words, now_us=now_us, by="ann")
    assert [c.variant_of for c in result.added] == [parent.id] * len(FRAMES)
    assert result.refused == ()
    assert reframe(ledger, limit=9, now_us=now_us, by="ann")[1] == []


def test_the_risk_is_chosen(ledger, case, now_us):
    """`risk` asks the cases of one category anew, whatever its letters."""
    ledger.put(case("What is the fee?", risk_category="Medium"), now_us=now_us, by="ann")
    assert reframe(ledger, limit=9, now_us=now_us, by="ann")[1] == []
    assert len(reframe(ledger, limit=9, now_us=now_us, by="ann", risk="medium")[1]) == len(FRAMES)
    assert reframe(ledger, "another", limit=9, now_us=now_us, by="ann", risk="medium")[0].known == ()
