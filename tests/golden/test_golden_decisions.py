from dataclasses import replace

import pytest

from andon.errors import ConfigError, InputError, StateError
from andon.golden import Case, LabelRow, NearDuplicate, thresholds_of
from andon.golden.run import CaseVectors, add_cases, capture, decide, decisions, label_failures, load_set
from andon.golden.thresholds import Thresholds

ASKED = "may I take a cat on board of the night train to Rome"


@pytest.fixture
def world(ledger, failure, words, now_us):
    """A case, a failure that repeats it, a look-alike; and the failures by their last word."""
    texts = {ASKED: "yes", f"{ASKED} please": "Yes!", f"{ASKED} today": "no"}
    failures = {q.split()[-1]: failure(q) for q in texts}
    capture(ledger, failures.values(), now_us=now_us)
    rows = [LabelRow(line=1, id=f.id, question=None, ground_truth=texts[f.question]) for f in failures.values()]
    label_failures(ledger, rows, now_us=now_us, by="ann")
    return failures


@pytest.fixture
def say(ledger, words, now_us):
    """Decide, as bob."""
    vectors = CaseVectors(words)

    def decided(failure, choice, **more):
        vectors.catch_up(ledger)
        return decide(
            ledger, vectors, failure.id, choice, **{"why": "I looked", "by": "bob", "now_us": now_us + 9, **more}
        )

    return decided


def test_what_is_near_is_decided_and_kept_for_review(ledger, world, words, now_us):
    """A paraphrase is refused and a look-alike added, each with case, cosine, embedder and reason on record, once."""
    result = add_cases(ledger, words, now_us=now_us, by="ann")
    case, other = result.added
    assert [r.id for r in result.refused] == [world["please"].id]
    found = {w.id: w for w in decisions(ledger)}
    refused, kept = found[world["please"].id], found[world["today"].id]
    assert (refused.choice, refused.case, refused.by, refused.embedder) == ("refuse", case.id, "andon", "words-1")
    assert refused.cosine == pytest.approx((12 / 13) ** 0.5, abs=0.05)
    assert (kept.choice, kept.case, kept.by) == ("keep", case.id, "andon")
    assert "another right answer" in kept.why
    assert other.nearest == kept.cosine
    assert result.decisions == tuple(decisions(ledger))
    add_cases(ledger, words, now_us=now_us + 5, by="ann")
    assert len(ledger.history(NearDuplicate)) == 2


@pytest.mark.parametrize("choice", ["variant", "keep"])
def test_a_person_may_add_what_was_refused(ledger, world, words, say, now_us, choice):
    """Variant and keep add the case at once, and the next adding leaves it so; the proposal stays in the history."""
    (case, _) = add_cases(ledger, words, now_us=now_us, by="ann").added
    result = say(world["please"], choice)
    assert result.added
    assert result.case.question == f"{ASKED} please"
    assert result.case.variant_of == (case.id if choice == "variant" else None)
    assert ledger.get(Case, result.case.id) == result.case
    again = add_cases(ledger, words, now_us=now_us + 20, by="ann")
    assert (again.added, again.refused) == ((), ())
    assert world["please"].id in again.known
    assert [(v.record.by, v.record.choice) for v in ledger.history(NearDuplicate, world["please"].id)] == [
        ("andon", "refuse"),
        ("bob", choice),
    ]


def test_a_persons_refusal_stands_whatever_the_threshold(ledger, world, words, say, now_us):
    """What a person refused is not added when the threshold would let it in."""
    add_cases(ledger, words, now_us=now_us, by="ann")
    assert say(world["please"], "refuse", why="the same thing").case is None
    result = add_cases(ledger, words, now_us=now_us + 20, by="ann", thresholds=Thresholds(by={"default": 1.0}))
    assert result.added == ()
    assert "bob decided" in result.refused[0].reason
    assert "the same thing" in result.refused[0].reason


def test_deciding_twice_is_a_new_version(ledger, world, words, say, now_us):
    """A second word replaces the first one, in the set too; both are kept."""
    (case, _) = add_cases(ledger, words, now_us=now_us, by="ann").added
    assert say(world["please"], "keep").added
    result = say(world["please"], "variant")
    assert (result.added, result.case.variant_of) == (False, case.id)
    assert len(ledger.history(NearDuplicate, world["please"].id)) == 3
    assert sum(c.question == f"{ASKED} please" for c in load_set(ledger)) == 1


def test_what_is_in_the_set_is_taken_out_by_retiring(ledger, world, words, say, now_us):
    """Refusing what was added already is refused, and says how to take it out; nothing is recorded."""
    add_cases(ledger, words, now_us=now_us, by="ann")
    with pytest.raises(StateError, match="golden retire"):
        say(world["today"], "refuse")
    assert {w.by for w in decisions(ledger)} == {"andon"}


def test_a_decision_needs_something_to_decide_a_reason_and_a_person(ledger, world, words, say, failure, now_us):
    """An unknown failure, another word, an empty reason and the name of proposals are refused."""
    add_cases(ledger, words, now_us=now_us, by="ann")
    with pytest.raises(InputError, match="golden decisions"):
        say(failure("nobody asked"), "keep")
    for wrong in ({"choice": "merge"}, {"why": " "}, {"by": "andon"}):
        with pytest.raises(InputError):
            say(world["please"], **{"choice": "keep", **wrong})


def test_a_label_that_changed_frees_what_was_proposed(ledger, world, words, now_us):
    """Once the right answer is another one, the refusal becomes a look-alike, and the case is added."""
    add_cases(ledger, words, now_us=now_us, by="ann")
    row = LabelRow(line=1, id=world["please"].id, question=None, ground_truth="only in a box")
    label_failures(ledger, [row], now_us=now_us + 1, by="ann")
    result = add_cases(ledger, words, now_us=now_us + 2, by="ann")
    assert [c.ground_truth for c in result.added] == ["only in a box"]
    assert [w.choice for w in decisions(ledger)] == ["keep", "keep"]


def test_a_retired_case_is_repeated_by_nobody(ledger, world, words, now_us):
    """A failure that repeats a retired case is a case of its own: the retired one tests nothing."""
    case = add_cases(ledger, words, now_us=now_us, by="ann").added[0]
    ledger.put(replace(case, retired="2026-11-21", retired_why="gone"), now_us=now_us + 1, by="ann")
    result = add_cases(ledger, words, now_us=now_us + 2, by="ann")
    assert [c.question for c in result.added] == [f"{ASKED} please"]


def test_the_most_specific_threshold_holds():
    """Application and language go before the application, that before the language, that before the default, that before 0.92."""
    english, german, short = "how do I get to the station", "wie komme ich zu dem Bahnhof", "K2"
    by = {"default": 0.5, "de": 0.6, "shop": 0.7, "shop.de": 0.8}
    found = thresholds_of({"golden": {"threshold": by}}, "andon.toml")
    assert [found.of("shop", t) for t in (english, german, short)] == [0.7, 0.8, 0.7]
    assert [found.of("help", t) for t in (english, german, short)] == [0.5, 0.6, 0.5]
    assert thresholds_of({}, "andon.toml").of("shop", english) == 0.92
    assert thresholds_of({"golden": {"other": 1}}, "andon.toml").of("shop", german) == 0.92


@pytest.mark.parametrize(
    ("golden", "said"),
    [
        ({"threshold": 0.9}, "must be a table"),
        (3, "must be a table"),
        ({"threshold": {"de": 1.2}}, "de = "),
        ({"threshold": {"de": 0}}, "de = "),
        ({"threshold": {"de": True}}, "de = "),
        ({"threshold": {"de": "0.9"}}, "de = "),
        ({"threshold": {"shop": {"de": 0.9}}}, '"shop.de" = 0.92'),
    ],
)
def test_a_wrong_threshold_is_named(golden, said):
    """A value that is no cosine, and a name with a dot that is not quoted, are refused with file and key."""
    with pytest.raises(ConfigError, match=r"andon\.toml") as error:
        thresholds_of({"golden": golden}, "andon.toml")
    assert said in str(error.value)


def test_thresholds_decide(ledger, world, words, now_us):
    """With a threshold of 1 nothing but the same question is near, and all are added."""
    added = add_cases(ledger, words, now_us=now_us, by="a", thresholds=Thresholds(by={"default": 1.0})).added
    assert len(added) == 3
    assert [(w.id, w.choice) for w in decisions(ledger)] == [(world["please"].id, "keep")]


def test_a_paraphrase_a_little_below_the_threshold_can_be_merged(ledger, world, words, say, now_us):
    """What has the same right answer and a cosine up to 0.1 too low is added and listed, so that a person may merge it; what is further away, or has another right answer, is not."""
    case, paraphrase, other = add_cases(
        ledger, words, now_us=now_us, by="a", thresholds=Thresholds(by={"en": 1.0})
    ).added
    (word,) = decisions(ledger)
    assert (word.id, word.case, word.choice, word.by) == (world["please"].id, case.id, "keep", "andon")
    assert "a little below the threshold" in word.why
    assert say(world["please"], "variant").case.variant_of == case.id
    assert other.id != paraphrase.id


def test_the_same_right_answer_a_little_further_away_is_named_before_a_look_alike(ledger, failure, words, now_us):
    """Of a look-alike above the threshold and a paraphrase of another case below it, the decision is on the paraphrase."""
    texts = {f"{ASKED} now": "yes", f"{ASKED} please": "no", f"{ASKED} please today": "Yes."}
    failures = [failure(q) for q in texts]
    capture(ledger, failures, now_us=now_us)
    rows = [LabelRow(line=1, id=f.id, question=None, ground_truth=texts[f.question]) for f in failures]
    label_failures(ledger, rows, now_us=now_us, by="ann")
    first, *_ = add_cases(ledger, words, now_us=now_us, by="a", thresholds=Thresholds(by={"en": 0.95})).added
    word = ledger.get(NearDuplicate, failures[2].id)
    assert (word.case, word.choice) == (first.id, "keep")


@pytest.mark.parametrize("choice", ["refuse", "variant"])
@pytest.mark.parametrize("since", ["retired", "relabelled"])
def test_a_persons_word_holds_while_the_case_tests_the_same(ledger, world, words, say, now_us, choice, since):
    """Once the case is retired, or the right answer is another one, the failure is judged anew and added, and the reason names both."""
    please = world["please"]
    (case, _) = add_cases(ledger, words, now_us=now_us, by="ann").added
    ledger.put(replace(ledger.get(NearDuplicate, please.id), choice=choice, by="bob", why="x"), now_us=now_us, by="bob")
    if since == "retired":
        ledger.put(replace(case, retired="2026-11-21", retired_why="gone"), now_us=now_us + 1, by="ann")
    else:
        row = LabelRow(line=1, id=please.id, question=None, ground_truth="only in a box")
        label_failures(ledger, [row], now_us=now_us + 1, by="ann")
    result = add_cases(ledger, words, now_us=now_us + 20, by="ann")
    assert [(c.question, c.variant_of) for c in result.added] == [(please.question, None)]
    (word,) = result.decisions
    assert (word.choice, word.by) == ("keep", "andon")
    lost = "is retired since 2026-11-21" if since == "retired" else "has another right answer"
    assert word.why.startswith(f"bob decided {choice}, and {case.id} {lost}: ")
    assert add_cases(ledger, words, now_us=now_us + 30, by="ann").refused == ()
