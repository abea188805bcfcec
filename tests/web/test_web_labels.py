"""Laws of the label queue's pages: one failure after the other, blindly, with a way back; who differs does not decide."""

from pathlib import Path

import pytest
from browsing import House, seen
from goldens import HOSTILE, harmless, hashed_house, made_case, made_failure, said_by

from andon.golden import Case, Failure, Label
from andon.golden.cases import label_id


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A site that makes cases by itself."""
    return hashed_house(tmp_path)


def label_of(house: House, failure: Failure, author: str) -> Label | None:
    """The label of somebody, as it is kept."""
    return house.ledger.get(Label, label_id(failure.id, author))


def test_a_failure_is_labelled_and_the_next_one_shown(house: House) -> None:
    """A right answer is kept in the person's name, and the page after it shows the next failure and says what was done."""
    first = made_failure(
        house,
        "How tall is K2?",
        risk_category=None,
        contexts=("K2 is a mountain.",),
        said="wrong!",
        reason="thumbs = 0",
    )
    second = made_failure(house, "Who painted Guernica?", "Dali")
    rita = house.visitor("reviewer")
    page = rita.sees("/labels")
    shown, other = (first, second) if first.question in page.text else (second, first)
    assert f"/labels/{shown.id}/label" in page.forms
    assert "0 of 2 today" in page.text
    after = rita.does(f"/labels/{shown.id}/label", {"answer": "the right one"}, origin="/labels")
    kept = label_of(house, shown, "Rita")
    assert kept is not None
    assert (kept.ground_truth, kept.author) == ("the right one", "rita")
    assert house.ledger.latest(Label, kept.id).by == "rita"  # type: ignore[union-attr]
    assert other.question in after.text
    assert "1 of 2 today" in after.text
    assert "the right one" in after.text
    assert f"/labels/{shown.id}/withdraw" in after.forms


def test_everything_that_a_reviewer_needs_is_there(house: House) -> None:
    """Question, failing answer, contexts, why it was captured, what the user said, how it will be tested, and the links."""
    made_failure(
        house, contexts=("K2 is a mountain.", "It is in Pakistan."), said="that is wrong", reason="a user gave a thumbs-down (thumbs = 0)",
        interaction_id="it/1", incident="INC-0007", suggestion="8611 m", suggested_by="correction", versions={"model": "m-1"},
    )  # fmt: skip
    page = house.visitor("reviewer").sees("/labels")
    for words in (
        "How tall is K2?", "8848 m", "K2 is a mountain.", "that is wrong", "a user gave a thumbs-down", "8611 m", "the user's correction",
        "m-1", "says the same as the right answer",
    ):  # fmt: skip
        assert words in page.text, words
    assert "/traffic/it%2F1" in page.links
    assert "/incidents/INC-0007" in page.links
    assert any(a.get("data-key") == "1" for _, a in page.tags)


def test_a_suggestion_is_taken_without_a_script(house: House) -> None:
    """The link of a suggestion puts it into the field, and what is then saved notes whose word it was."""
    f = made_failure(house, suggestion="8611 m", suggested_by="passing twin")
    rita = house.visitor("reviewer")
    assert ">\n8611 m</textarea>" in rita.get("/labels?take=1").text
    rita.does(f"/labels/{f.id}/label", {"answer": "8611 m"})
    kept = label_of(house, f, "rita")
    assert kept is not None
    assert kept.note == "accepted: passing twin"


def test_right_answers_of_near_cases_are_offered(house: House) -> None:
    """What is right in a case that asks nearly the same is offered beside, with the way to the case; the failing answer is not."""
    near = made_case(house, "How tall is K2 exactly?", "8611 metres")
    made_case(house, "how tall is K2 ?", "8848 m")
    made_case(house, "Who wrote Hamlet?", "Shakespeare")
    made_failure(house)
    page = house.visitor("reviewer").sees("/labels")
    assert "8611 metres" in page.text
    assert f"/golden/{near.id}" in page.links
    assert "Shakespeare" not in page.text
    assert sum("data-take" in a for _, a in page.tags) == 1


def test_a_label_is_taken_back(house: House) -> None:
    """Undo withdraws the label, in the person's name, and the failure is there again to be said anew."""
    f = made_failure(house)
    rita = house.visitor("reviewer")
    rita.does(f"/labels/{f.id}/label", {"answer": "9 m"})
    page = rita.does(f"/labels/{f.id}/withdraw")
    kept = label_of(house, f, "rita")
    assert kept is not None
    assert kept.verdict == "withdrawn"
    assert f"/labels/{f.id}/label" in page.forms
    assert rita.send(f"/labels/{f.id}/withdraw").status_code == 409


def test_a_failure_is_dismissed_with_a_reason(house: House) -> None:
    """A dismissal says why: by a usual reason with one press, or in words; without one it is refused."""
    one, two = made_failure(house, "a?"), made_failure(house, "b?")
    rita = house.visitor("reviewer")
    rita.does(f"/labels/{one.id}/dismiss", {"usual": "the answer was right", "why": ""})
    rita.does(f"/labels/{two.id}/dismiss", {"why": "a test of ours"})
    kept = [label_of(house, f, "rita") for f in (one, two)]
    assert [(k.verdict, k.note) for k in kept if k] == [
        ("dismiss", "the answer was right"),
        ("dismiss", "a test of ours"),
    ]
    three = made_failure(house, "c?")
    assert rita.send(f"/labels/{three.id}/dismiss", {"why": " "}, origin="/labels").status_code == 422
    assert label_of(house, three, "rita") is None


def test_what_was_skipped_comes_again_at_the_end(house: House) -> None:
    """Skipping shows the next one and writes nothing; at the end the page says how many were skipped and leads back to them."""
    for k in range(3):
        made_failure(house, f"question {k} of its own?")
    rita = house.visitor("reviewer")
    before = house.ledger.last_entry()
    met: list[str] = []
    path = "/labels"
    for _ in range(3):
        page = rita.sees(path)
        (form,) = (f for f in page.forms if f.endswith("/label"))
        met.append(form)
        (path,) = (a["href"] or "" for t, a in page.tags if t == "a" and a.get("data-key") == "s")
    assert len(set(met)) == 3
    end = rita.sees(path)
    assert "3 skipped" in end.text
    assert "/labels" in end.links
    assert house.ledger.last_entry() == before
    assert seen(rita.get("/labels")).forms[0] == met[0]


def test_after_a_label_the_filters_and_what_was_skipped_stay(house: House) -> None:
    """Who labels one application goes on with it."""
    f = made_failure(house, app="maps")
    made_failure(house, "Anything?", app="shop")
    rita = house.visitor("reviewer")
    page = rita.sees("/labels?app=maps&risk=&x=1")
    assert f.question in page.text
    answer = rita.send(
        f"/labels/{f.id}/label",
        {"answer": "9 m", "app": "maps", "after": "F-1", "x": "//evil"},
        origin="/labels?app=maps",
    )
    assert answer.headers["location"] == "/labels?app=maps&after=F-1"
    assert "Nothing waits" in rita.sees("/labels?app=maps").text
    assert "Anything?" in rita.sees("/labels?app=shop").text


def test_refusal_keeps_what_was_typed_at_its_failure(house: House) -> None:
    """The failing answer is no right answer: the page shows the same failure again, with what was typed and why it was refused."""
    f = made_failure(house, answer="8848 m")
    made_failure(house, "Zzz, which would come first?", risk_category="high")
    answer = house.visitor("reviewer").send(f"/labels/{f.id}/label", {"answer": " 8848 m. "}, origin="/labels")
    page = seen(answer)
    assert answer.status_code == 422
    assert "failing answer itself" in page.text
    assert f.question in page.text
    assert "8848 m. </textarea>" in answer.text
    assert not house.ledger.all(Label)


def test_a_failure_that_others_settled_meanwhile_waits_no_more(house: House) -> None:
    """A label that comes after somebody else settled the failure is refused, and nothing is kept."""
    f = made_failure(house)
    rita = house.visitor("reviewer")
    rita.sees("/labels")
    said_by(house, f, "Kim", "8611 m")
    answer = rita.send(f"/labels/{f.id}/label", {"answer": "9 m"}, origin="/labels")
    assert answer.status_code == 409
    assert "waits for you no more" in seen(answer).text
    assert ">\n9 m</textarea>" not in answer.text or label_of(house, f, "rita") is None
    assert label_of(house, f, "rita") is None


def test_a_second_reviewer_does_not_see_the_first_word(house: House) -> None:
    """Of a high risk, what the first reviewer said is on no page of the second, and is there once both have spoken."""
    f = made_failure(house, risk_category="high")
    said_by(house, f, "Kim", "8611 metres said Kim")
    rita, vic = house.visitor("reviewer"), house.visitor("viewer")
    for path in ("/labels", f"/labels/{f.id}", "/labels/list", "/labels/conflicts"):
        assert "said Kim" not in rita.get(path).text, path
        assert "said Kim" not in vic.get(path).text, path
    rita.does(f"/labels/{f.id}/label", {"answer": "something else"})
    assert "said Kim" in rita.sees(f"/labels/{f.id}").text
    assert "said Kim" in rita.sees("/labels/conflicts").text


def test_who_differs_does_not_decide(house: House) -> None:
    """Reviewers who differ see no form; somebody else takes one word, writes another, or dismisses, and it is kept in that name."""
    f = made_failure(house)
    said_by(house, f, "Rita", "8611 m")
    said_by(house, f, "Kim", "8612 m")
    rita, rob = house.visitor("reviewer"), house.visitor("responder")
    assert not [a for a in rita.sees("/labels/conflicts").forms if "adjudicate" in a]
    assert rita.send(f"/labels/{f.id}/adjudicate", {"take": "kim"}, origin="/labels/conflicts").status_code == 409
    page = rob.sees("/labels/conflicts")
    assert "8611 m" in page.text
    assert "8612 m" in page.text
    assert (
        rob.send(f"/labels/{f.id}/adjudicate", {"answer": "", "why": ""}, origin="/labels/conflicts").status_code == 422
    )
    after = rob.does(f"/labels/{f.id}/adjudicate", {"take": "kim"})
    assert "8612 m" in after.text
    final = house.ledger.get(Label, f"{f.id}/final")
    assert final is not None
    assert (final.ground_truth, final.author) == ("8612 m", "rob")
    assert "No reviewers differ" in rob.sees("/labels/conflicts").text


def test_who_decided_takes_the_decision_back(house: House) -> None:
    """A decision has an undo, and a button for who made it and nobody else; taken back, the reviewers differ again."""
    f = made_failure(house)
    said_by(house, f, "Rita", "8611 m")
    said_by(house, f, "Kim", "8612 m")
    rita, rob, ada = (house.visitor(role) for role in ("reviewer", "responder", "owner"))
    after = rob.does(f"/labels/{f.id}/adjudicate", {"take": "kim"})
    assert f"/labels/{f.id}/withdraw" in after.forms
    for other in (rita, ada):
        assert "Take my decision back" not in other.get(f"/labels/{f.id}").text
        assert other.send(f"/labels/{f.id}/withdraw", {"what": "decision"}).status_code == 409
    assert "Take my decision back" in rob.get(f"/labels/{f.id}").text
    page = rob.does(f"/labels/{f.id}/withdraw", {"what": "decision"})
    assert "reviewers differ again" in page.text
    assert "8611 m" in rob.sees("/labels/conflicts").text
    kept = house.ledger.latest(Label, f"{f.id}/final")
    assert kept is not None
    assert (kept.by, kept.record.verdict) == ("rob", "withdrawn")


def test_viewers_see_the_queue_and_no_form(house: House) -> None:
    """A viewer sees what waits as a list, opens one, and finds nothing to send."""
    f = made_failure(house)
    vic = house.visitor("viewer")
    for path in ("/labels", "/labels/list", f"/labels/{f.id}"):
        page = vic.sees(path)
        assert f.question in page.text
        assert page.forms == []


@pytest.mark.parametrize("form", ["csv", "json", "md"])
def test_the_queue_is_taken_along(house: House, form: str) -> None:
    """The whole queue is had as CSV, JSON and Markdown, with ids, not a screenful of it."""
    made = [made_failure(house, f"question number {k} of many?") for k in range(60)]
    rita = house.visitor("reviewer")
    assert "Page 1 of 2" in rita.sees("/labels/list").text
    text = rita.get(f"/labels/list?as={form}&table=queue").text
    assert all(f.id in text.replace("\\", "") for f in made)


def test_the_list_is_filtered_by_what_its_link_says(house: House) -> None:
    """Application, incident and risk category narrow the list, and the words say so."""
    one = made_failure(house, "one?", incident="INC-0001", risk_category="high")
    two = made_failure(house, "two?", app="shop")
    rita = house.visitor("reviewer")
    for query, there, gone in (("app=shop", two, one), ("incident=INC-0001", one, two), ("risk=high", one, two)):
        page = rita.sees(f"/labels/list?{query}")
        assert f"/labels/{there.id}" in page.links
        assert f"/labels/{gone.id}" not in page.links
        assert "1 failure waits" in page.text


def test_expected_answers_are_accepted_at_once(house: House) -> None:
    """The data owner's own answers become labels of who accepts them; users' corrections do not."""
    mine = made_failure(house, suggestion="8611 m", suggested_by="expected_answer")
    made_failure(house, "other?", suggestion="x", suggested_by="correction")
    rita = house.visitor("reviewer")
    assert "Accept 1 expected answers" in rita.sees("/labels/list").text
    rita.does("/labels/accept")
    assert [x.failure for x in house.ledger.all(Label)] == [mine.id]


def test_agreement_says_what_it_means_or_that_it_cannot_be_told(house: House) -> None:
    """With too few failures labelled by two it says so; with enough, alpha stands with its interval and words."""
    rita = house.visitor("reviewer")
    assert "Cannot tell" in rita.sees("/labels/agreement").text
    for k in range(14):
        f = made_failure(house, f"question {k}?", risk_category="high")
        said_by(house, f, "Kim", f"answer {k % 3}")
        said_by(house, f, "Lee", f"answer {k % 3 if k else 2}")
    page = rita.sees("/labels/agreement")
    assert "Alpha" in page.text
    assert "95 % interval" in page.text
    rows = rita.get("/labels/agreement?as=json&table=agreement").json()
    assert rows[0]["failures"] == 14
    assert 0.5 < rows[0]["alpha"] < 1


def test_texts_of_traffic_are_shown_harmlessly(house: House) -> None:
    """Whatever came with a failure or was typed is text on every page: never markup, never a control or a direction character."""
    f = made_failure(
        house, HOSTILE, HOSTILE + "!", app="app<b>", contexts=(HOSTILE,), said=HOSTILE, reason=HOSTILE, source=HOSTILE, suggestion=HOSTILE + "?",
        suggested_by=HOSTILE, risk_category="<i>", incident="INC<x>", interaction_id="a/../b\"", versions={"<v>": HOSTILE}, segment={"<s>": HOSTILE},
    )  # fmt: skip
    rita = house.visitor("reviewer")
    for path in ("/labels", "/labels?take=1", f"/labels/{f.id}", "/labels/list"):
        harmless(rita.get(path).text)
    said_by(house, f, "Kim <b>", "<script>alert(3)</script> \u202e right")
    said_by(house, f, "Lee", "other")
    for path in (f"/labels/{f.id}", "/labels/conflicts", "/labels/agreement"):
        harmless(house.visitor("responder").get(path).text)


def test_an_empty_queue_teaches(house: House) -> None:
    """Without any failure the pages say why, and lead to what would bring some."""
    page = house.visitor("reviewer").sees("/labels")
    assert "No failure was captured yet" in page.text
    assert "/golden/capture" in page.links
    assert house.visitor("viewer").sees("/labels").text


def test_settled_labels_are_made_cases_from_here(house: House) -> None:
    """Where labels are settled that are no case yet, one press makes the cases, in the name of who pressed."""
    f = made_failure(house)
    rita = house.visitor("reviewer")
    rita.does(f"/labels/{f.id}/label", {"answer": "8611 m"})
    page = rita.sees("/labels")
    assert "1 settled right answer is not in the golden set yet" in page.text
    assert "/golden/add" in page.forms
    after = rita.does("/golden/add")
    assert "1 case made" in after.text
    (made,) = house.ledger.all(Case)
    assert made.ground_truth == "8611 m"
    assert house.ledger.latest(Case, made.id).by == "Rita"  # type: ignore[union-attr]
    assert "not in the golden set yet" not in rita.sees("/labels").text


def test_the_queue_answers_at_once_with_thousands_of_failures(house: House) -> None:
    """A label and the page after it take well under a second of one core with 3,000 failures, whatever the machine does beside."""
    import time

    for k in range(3_000):
        made_failure(house, f"question {k} about topic {k % 40}?")
    rita = house.visitor("reviewer")
    page = rita.sees("/labels")
    began = time.process_time()
    for k in range(5):
        (form,) = (f for f in page.forms if f.endswith("/label"))
        page = rita.does(form, {"answer": f"answer {k}"}, origin="/labels")
    assert time.process_time() - began < 20


def test_a_case_that_was_made_meanwhile_is_offered_too(house: House) -> None:
    """What is near a failure is kept between looks, and known anew as soon as there is another case."""
    made_failure(house)
    rita = house.visitor("reviewer")
    assert "8611 metres" not in rita.sees("/labels").text
    made_case(house, "How tall is K2 exactly?", "8611 metres")
    assert "8611 metres" in rita.sees("/labels").text
