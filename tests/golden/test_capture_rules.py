"""Laws of the capture rules, without any store."""

import numpy as np
import pytest

from andon.errors import InputError
from andon.golden.capture import Sign, captured, cut_of, measures_of, not_users, worst_first
from andon.golden.cases import failure_id
from andon.golden.twins import Passing, find_twin
from andon.incidents import Incident
from andon.scores.run import installed_scorers
from andon.traffic import Context, Interaction

US = 1_795_132_800_000_000


def asked(**more) -> Interaction:
    """An interaction with a question and an answer."""
    fields = {"id": "i1", "time_us": US, "app": "shop", "query": "How tall is K2?", "answer": "8848 m"}
    return Interaction(**(fields | more))


def sign(rule="low score", **more) -> Sign:
    """A sign of the interaction above."""
    return Sign(**({"rule": rule, "interaction_id": "i1", "metric": "groundedness", "value": 0.1} | more))


def test_a_failure_carries_what_explains_it():
    """Question, answer, contexts, versions, segments and source go along; the reason is one sentence with metric and value."""
    i = asked(contexts=(Context(text="K2 is 8611 m."),), model="m-2", prompt_version="p7", risk_category="high")
    f = captured(sign(cut=0.4), i, now_us=US)
    assert f.id == failure_id("shop", "How tall is K2?", "8848 m")
    assert f.contexts == ("K2 is 8611 m.",)
    assert (f.versions["model"], f.versions["prompt_version"]) == ("m-2", "p7")
    assert (f.source, f.risk_category, f.interaction_id) == ("low score", "high", "i1")
    assert "groundedness = 0.1, usually from 0.4" in f.reason
    assert (f.metric, f.direction, f.cut, f.value) == ("groundedness", "down", 0.4, 0.1)


def test_what_people_said_is_measured_by_the_right_answer():
    """A thumbs-down has no scorer: an answer passes when it is the right one; the words stand apart."""
    f = captured(sign("thumbs-down", metric="thumbs", value=0.0), asked(), now_us=US, said="off by a lot")
    assert (f.metric, f.cut, f.value) == ("normalised_match", None, None)
    assert (f.reason, f.said) == ("a user gave a thumbs-down (thumbs = 0)", "off by a lot")


def test_a_suggestion_is_never_the_failing_answer():
    """A correction is the suggestion, unless it says the same as the answer that failed."""
    given = captured(sign("correction", metric="correction", value=1.0), asked(), now_us=US, correction="8611 m")
    assert (given.suggestion, given.suggested_by) == ("8611 m", "correction")
    same = captured(sign("correction", metric="correction", value=1.0), asked(), now_us=US, correction=" 8848 M. ")
    assert same.suggestion is None


def test_without_a_question_nothing_can_be_asked_again():
    """An interaction without a question is refused."""
    with pytest.raises(InputError, match="no question"):
        captured(sign(), asked(query=" "), now_us=US)


def test_an_incident_is_named_only_for_its_metric_part_and_time():
    """A failure belongs to an open incident about the same metric, in the same part of the traffic, since its onset."""

    def incident(**more) -> Incident:
        fields = {"id": "INC-1", "title": "t", "app": "shop", "environment": "production", "metric": "groundedness"}
        times = dict.fromkeys(("onset_us", "onset_low_us", "onset_high_us", "alarmed_us", "last_signal_us"), US)
        return Incident(**(fields | {"lead": "s"} | times | more))

    def named(i: Incident) -> str | None:
        return captured(sign(), asked(risk_category="high"), now_us=US, incidents=[i]).incident

    assert named(incident(scope={"risk_category": "high"})) == "INC-1"
    for other in (
        {"metric": "thumbs"},
        {"environment": "staging"},
        {"scope": {"topic": "t1"}},
        {"onset_low_us": US + 1},
    ):
        assert named(incident(**other)) is None


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, False),
        ({"source": "Probe"}, True),
        ({"environment": "eval"}, True),
        ({"source": "evals"}, True),
        ({"attributes": {"user_agent.synthetic.type": "test"}}, True),
        ({"source": "newsletter", "environment": "staging"}, False),
    ],
)
def test_probes_and_evals_are_no_users(more, said):
    """Traffic that no user sent is known by its environment, its source or OpenTelemetry's mark."""
    assert not_users(asked(**more)) is said


def test_what_is_unusually_low():
    """At least the lowest 1 % fail below the cut; few values, a constant, and lows that are usual tell nothing."""
    rng = np.random.default_rng(1)
    values = rng.random(5_000)
    cut, median = cut_of(values, "down")
    assert np.mean(values < cut) == pytest.approx(0.01, abs=0.001)
    assert median == pytest.approx(0.5, abs=0.05)
    high, _ = cut_of(values, "up")
    assert np.mean(values >= high) == pytest.approx(0.01, abs=0.001)
    zeros = np.where(rng.random(5_000) < 0.03, 0.0, 0.5 + values / 2)
    assert np.mean(zeros < cut_of(zeros, "down")[0]) == pytest.approx(0.03, abs=0.01)
    assert cut_of(np.where(rng.random(5_000) < 0.2, 0.0, values + 1), "down") is None
    assert cut_of(np.ones(5_000), "down") is None
    assert cut_of(np.ones(5_000), "up") is None
    assert cut_of(values[:199], "down") is None


def test_the_worst_come_first():
    """High risk goes first, then how many signs an answer has, then how far beyond the usual it is."""
    signs = [
        sign(interaction_id="deep", depth=9.0),
        sign(interaction_id="flat", depth=0.1),
        sign(interaction_id="two", depth=0.2),
        sign(interaction_id="two", metric="citation_valid", value=0.0),
        sign(interaction_id="risky", depth=0.1, risk="High"),
    ]
    found = worst_first(signs)
    assert [each[0].interaction_id for each in found] == ["risky", "two", "deep", "flat"]
    assert found[1][0].metric == "citation_valid"


def test_what_a_right_answer_would_not_mend_is_no_failure():
    """Cost, speed, outages and metrics without a harmful direction are not captured; retrieval and guardrails have own rules."""
    found = {m.metric: m.rule for m in measures_of(installed_scorers())}
    assert not {"latency_s", "cost_usd", "error", "refusal", "markdown", "exact_match", "output_tokens"} & set(found)
    assert found["retrieval_score"] == "low retrieval score"
    assert found["guardrail_block"] == "guardrail block"
    assert found["citation_valid"] == found["groundedness"] == found["label_match"] == "low score"


def test_a_twin_asks_the_same_and_answers_otherwise(failure, words):
    """A near question with the same numbers whose answer passed is a twin; its own failing answer never is."""
    f = failure("please tell me whether 17 is a prime number or not and say it in one word only", "no", app="shop")

    def twin(question: str, answer: str, app: str = "shop", values=None):
        vectors = words.embed([f.question, question])
        return find_twin(
            f, vectors[0], [Passing(app=app, question=question, answer=answer, values=values)], vectors[1:]
        )

    assert twin(f.question, "yes") == ("yes", "passing twin")
    assert twin(f"{f.question} please", "yes") == ("yes", "near twin")
    assert twin(f.question.replace("17", "19"), "yes") is None
    assert twin(f.question, "No!") is None
    assert twin(f.question, "yes", app="other") is None
    assert twin("what is the weather", "yes") is None
    assert twin(f.question, "yes", values={"normalised_match": 1.0}) is None


def test_a_scorers_pass_makes_a_twin_only_for_its_own_failures(failure, words):
    """An answer that kept the cut of the scorer that found the failure is a twin; one that fell below it is not."""
    f = failure("q", "bad", metric="groundedness", cut=0.4, value=0.1)
    vector = words.embed(["q"])

    def twin(**values: float):
        p = Passing(app="default", question="q", answer="good", values=values)
        return find_twin(f, vector[0], [p], vector)

    assert twin(groundedness=0.9) == ("good", "passing twin")
    assert twin(groundedness=0.2) is None
    assert twin(citation_valid=1.0) is None
