"""Laws of what an erasure leaves of failures, labels and golden cases: all that others asked, nothing that one user alone did."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from andon.golden import Case, Failure, Label, LabelRow
from andon.golden.cases import case_id, to_failure
from andon.golden.files import parse_cases
from andon.golden.run import (
    accept_suggestions,
    add_cases,
    capture,
    export_as,
    import_set,
    label_failures,
    load_set,
    queue,
    reframe,
)
from andon.loop import Loop, open_loop
from andon.settings import Settings
from andon.traffic import Context, Interaction
from andon.traffic.erasure import ERASED
from andon.traffic.run import record

US = 1_790_000_000_000_000
ASKED = "How long may I keep a loan of the library?"
RIGHT = "You may keep a loan for fourteen days."
PASSAGE = "Loans of the library run for fourteen days, and can be extended once."
PRIVATE = "Am I pregnant?"


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    """A loop without traffic."""
    made = open_loop(Settings(home=tmp_path / "home", embedder="hashed", settle_s=1))
    yield made
    made.close()


def asks(loop: Loop, user: str, query: str, answer: str, *passages: str, **more) -> Failure:
    """A user asks; the failure that it is, captured."""
    i = Interaction(
        id=f"{user}-{len(golden(loop))}", time_us=US, user_id=user, query=query, answer=answer,
        contexts=tuple(Context(text=t) for t in passages), **more,
    )  # fmt: skip
    record(loop.warehouse, [i])
    loop.warehouse.commit()
    failure = to_failure(i, reason="r", source="thumbs-down", captured_us=US)
    capture(loop.ledger, [failure], now_us=US)
    return loop.ledger.get(Failure, failure.id) or failure


def gold(loop: Loop, failure: Failure, truth: str) -> Case:
    """The case of a failure that two people labelled."""
    for by in ("ann", "bob"):
        label_failures(
            loop.ledger, [LabelRow(line=1, id=failure.id, question=None, ground_truth=truth)], now_us=US, by=by
        )
    add_cases(loop.ledger, loop.embedder, now_us=US, by="ann")
    return loop.ledger.all(Case)[-1]


def filed(loop: Loop, *rows: dict[str, object]) -> Path:
    """A file of a team."""
    path = loop.settings.home.parent / "team.jsonl"
    path.write_text("".join(f"{json.dumps(r)}\n" for r in rows), encoding="utf-8")
    return path


def golden(loop: Loop) -> list[object]:
    """Every failure, label and case."""
    return [*loop.ledger.all(Failure), *loop.ledger.all(Label), *loop.ledger.all(Case)]


def test_what_others_asked_and_tested_outlives_a_user(loop: Loop) -> None:
    """One of two who asked the same goes: the team's case, the other's failure, and cases with a shared passage or answer stay."""
    import_set(loop.ledger, filed(loop, {"question": ASKED, "ground_truth": RIGHT}), now_us=US, by="ann")
    asks(loop, "u1", ASKED, "Two months.", PASSAGE)
    asks(loop, "u2", ASKED, "For ever.", PASSAGE)
    asks(loop, "u1", "When do I bring it back?", RIGHT)  # an answer that is the right one of a case
    live = asks(loop, "u3", "Can I extend the loan of a book?", "No.", PASSAGE)
    gold(loop, live, RIGHT)
    done = loop.erase("u1", US, "dpo")
    assert (done.retired, done.dismissed, done.left) == (0, 1, ())
    assert [(c.question, c.ground_truth) for c in load_set(loop.ledger)] == [(ASKED, RIGHT), (live.question, RIGHT)]
    assert loop.ledger.all(Case)[1].contexts == (PASSAGE,)
    assert [f.question for f in loop.ledger.all(Failure)] == [ASKED, ASKED, ERASED, live.question]
    assert [q.failure.question for q in queue(loop.ledger, loop.embedder)] == [ASKED, ASKED]


def test_a_case_that_the_team_wrote_is_theirs(loop: Loop) -> None:
    """A case of a file stays, though one user alone asked the same and was labelled so, or though it quotes one user."""
    quote = "What is the fee for the two books of mine?"
    rows = [
        {"question": ASKED, "ground_truth": RIGHT},
        {"question": f"{quote} Please.", "ground_truth": "14"},
    ]
    import_set(loop.ledger, filed(loop, *rows), now_us=US, by="ann")
    before = load_set(loop.ledger)
    gold(loop, asks(loop, "u1", ASKED, "Two months."), RIGHT)
    asks(loop, "u1", quote, "None.")
    assert loop.erase("u1", US, "dpo").left == ()
    assert load_set(loop.ledger) == before


def test_the_same_answer_to_others_is_theirs(loop: Loop) -> None:
    """What a user was answered stays the failing answer of others, and the right one where others were labelled with it."""
    wrong = "I am sorry, but I do not know that."
    asks(loop, "u1", "Where do I pay the fee of last year?", wrong)
    theirs = asks(loop, "u3", "Who is the head of the library?", wrong)
    case = gold(loop, asks(loop, "u1", ASKED, "Two months."), RIGHT)
    gold(loop, asks(loop, "u2", ASKED, "For ever."), RIGHT)
    again = gold(loop, asks(loop, "u1", "Can I keep it for a week?", "No."), "Yes, for up to two weeks.")
    asks(loop, "u2", again.question, "Never.")
    row = {"question": "And for ten days?", "ground_truth": again.ground_truth}
    import_set(loop.ledger, filed(loop, row), now_us=US, by="ann")
    for truth in (case.ground_truth, again.ground_truth):
        asks(loop, "u1", f"Once more: {truth}?", truth)  # the bot gives the right answers now
    assert loop.erase("u1", US, "dpo").left == ()
    assert loop.ledger.get(Failure, theirs.id) == theirs
    assert {case.id, again.id} <= {c.id for c in load_set(loop.ledger)}


@pytest.mark.parametrize("order", [("u1", "u2"), ("u2", "u1")])
def test_a_failure_that_two_users_share_goes_with_the_last_one(loop: Loop, order: tuple[str, str]) -> None:
    """The same question and answer are one failure: it stays while one of its users does, in whichever order they go."""
    asks(loop, "u1", ASKED, "Two months.", PASSAGE)
    case = gold(loop, asks(loop, "u2", ASKED, "Two months.", PASSAGE), RIGHT)
    assert len(loop.ledger.all(Failure)) == 1
    assert loop.erase(order[0], US, "dpo").left == ()
    assert load_set(loop.ledger) == [case]
    assert loop.ledger.all(Failure)[0].contexts == (PASSAGE,)
    done = loop.erase(order[1], US, "dpo")
    assert (done.retired, done.dismissed, done.left) == (1, 1, ())
    assert ASKED not in repr(golden(loop))
    assert PASSAGE not in repr(golden(loop))


def test_the_users_own_correction_goes_from_a_case_that_others_ask(loop: Loop) -> None:
    """A right answer in the user's own words is gone and its label withdrawn: the failure waits again, for other words."""
    said = "My sister Jane Roe at the desk says that it is two weeks"
    failure = asks(loop, "u1", ASKED, "Two months.", expected_answer=said)
    gold(loop, failure, said)
    asks(loop, "u2", ASKED, "For ever.")
    assert loop.erase("u1", US, "dpo").retired == 1
    assert "Jane" not in "".join(body for _, body in loop.ledger.bodies())
    assert accept_suggestions(loop.ledger, now_us=US, by="ann").labelled == ()
    assert add_cases(loop.ledger, loop.embedder, now_us=US, by="ann").added == ()
    waiting = [q.failure for q in queue(loop.ledger, loop.embedder)]
    assert [(f.question, f.suggestion) for f in waiting] == [(ASKED, None)] * 2


def test_a_reframing_goes_with_its_question(loop: Loop, tmp_path: Path) -> None:
    """However short a question is, its re-framings hold it nowhere: not in the queue, not as cases, in no export."""
    case = gold(loop, asks(loop, "u1", PRIVATE, "Yes.", risk_category="high"), "Ask a doctor.")
    other = gold(loop, asks(loop, "u2", "What is a loan?", "A fish.", risk_category="high"), "A thing that is lent.")
    made = reframe(loop.ledger, limit=20, now_us=US, by="ann")[1]
    assert len(made) == 12
    gold(loop, made[0], case.ground_truth)
    assert any(c.variant_of == case.id for c in load_set(loop.ledger))
    done = loop.erase("u1", US, "dpo")
    assert (done.retired, done.dismissed, done.left) == (2, 7, ())
    assert PRIVATE not in "".join(body for _, body in loop.ledger.bodies())
    export_as(loop.ledger, tmp_path / "after.jsonl", "andon")
    assert PRIVATE not in (tmp_path / "after.jsonl").read_text()
    assert load_set(loop.ledger) == [other]
    assert len(queue(loop.ledger, loop.embedder)) == 6
    assert loop.erase("u1", US, "dpo").records == 0


def test_an_import_does_not_bring_erased_texts_back(loop: Loop, tmp_path: Path) -> None:
    """Of an old file nothing is taken for a case that was erased; the line to delete is named, and the rest is taken."""
    gold(loop, asks(loop, "u1", PRIVATE, "Yes.", "Her file of last May."), "Ask a doctor.")
    other = gold(loop, asks(loop, "u2", "What is a loan?", "A fish."), "A thing that is lent.")
    old = tmp_path / "old.jsonl"
    export_as(loop.ledger, old, "andon")
    loop.erase("u1", US, "dpo")
    lines = [json.loads(x) | {"risk_category": "low"} for x in old.read_text().splitlines()]
    result = import_set(loop.ledger, filed(loop, *lines), now_us=US, by="ann")
    assert (len(result.known), result.changed) == (1, (other.id,))
    (doubt,) = result.doubts
    assert "line 1 of the file has it; delete it there" in doubt.reason
    bodies = "".join(body for _, body in loop.ledger.bodies())
    assert PRIVATE not in bodies
    assert "last May" not in bodies


def test_a_case_that_lost_its_failing_answer_is_edited_again_once_the_file_has_lost_it_too(loop: Loop) -> None:
    """A case that others ask stays tested without one user's answer; a line with that answer is not taken, one without is."""
    own = "Dear Jane Roe of Elm Street, yours is due in two months."
    case = gold(loop, asks(loop, "u1", ASKED, own), RIGHT)
    asks(loop, "u2", ASKED, "For ever.")
    loop.erase("u1", US, "dpo")
    assert [(c.id, c.answer) for c in load_set(loop.ledger)] == [(case.id, ERASED)]
    row = {"question": ASKED, "answer": own, "ground_truth": RIGHT, "risk_category": "low"}
    assert len(import_set(loop.ledger, filed(loop, row), now_us=US, by="ann").doubts) == 1
    assert "Jane" not in "".join(body for _, body in loop.ledger.bodies())
    result = import_set(loop.ledger, filed(loop, row | {"answer": ERASED}), now_us=US, by="ann")
    assert (result.changed, result.doubts) == ((case.id,), ())


def test_an_erased_case_is_in_no_new_line(loop: Loop, tmp_path: Path) -> None:
    """Exports do not grow by cases that were erased, and stay readable; a line that was there says that it is retired."""
    old, after = tmp_path / "old.jsonl", tmp_path / "after.jsonl"
    for k, query in enumerate((PRIVATE, "Is it a girl?")):
        case = gold(loop, asks(loop, "u1", query, f"Yes {k}."), "Ask a doctor.")
        loop.ledger.put(replace(case, metric=("contains", "exact_match")[k]), now_us=US, by="ann")
    kept = gold(loop, asks(loop, "u2", "What is a loan?", "A fish."), "A thing that is lent.")
    export_as(loop.ledger, old, "andon")
    loop.erase("u1", US, "dpo")
    written = [export_as(loop.ledger, after, "andon")[0] for _ in range(3)]
    assert written == [1, 0, 0]
    assert [c.id for c in parse_cases(after.read_text())] == [kept.id]
    export_as(loop.ledger, old, "andon")
    assert [c.retired is None for c in parse_cases(old.read_text())] == [False, False, True]
    assert export_as(loop.ledger, tmp_path / "after.json", "langfuse")[0] == 1


def test_a_question_that_says_what_stands_for_erased_texts_is_tested_on(loop: Loop) -> None:
    """A user who writes `[erased]` makes no case an erased one: its content still is the one that names it."""
    case = gold(loop, asks(loop, "u1", f"What does {ERASED} mean in my file?", "Nothing."), RIGHT)
    assert case.id == case_id("default", case.question, RIGHT)
    loop.erase("u2", US, "dpo")
    assert load_set(loop.ledger) == [case]
