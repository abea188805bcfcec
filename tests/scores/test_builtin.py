"""Laws of the built-in scorers."""

import time

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from andon.scores import SCORERS, answers_match, final_answer, hashed, is_refusal
from andon.scores.text import READ, content_words, normalise, sentences
from andon.settings import Settings
from andon.traffic import Context, Interaction, ToolCall

EMBEDDER = hashed.load(Settings())
BY_NAME = {s.name: s for s in SCORERS}
PASSAGES = (
    Context(text="Blood pressure above 180 needs a doctor at once, says the guideline.", id="g1", score=0.8),
    Context(text="A healthy adult rests eight hours each night.", id="g2", score=0.6),
)
RIGHT = "Blood pressure above 180 needs a doctor at once [1]."


def interaction(**fields) -> Interaction:
    """A good answer with everything that any scorer reads."""
    told = {
        "query": "What blood pressure needs a doctor at once?",
        "answer": RIGHT,
        "expected_answer": RIGHT,
        "contexts": PASSAGES,
        "tool_calls": (ToolCall(name="find", result="ok"),),
        "guardrail": "pass",
        "escalated": False,
        "confidence": 0.9,
        "latency_s": 1.5,
        "output_tokens": 12,
        "cost_usd": 0.01,
        "first_token_s": 0.4,
        "input_tokens": 200,
        "cache_read_tokens": 50,
        "reasoning_tokens": 7,
        "finish_reason": "stop",
    }
    return Interaction(id="i", time_us=0, **{**told, **fields})


def score(name: str, **fields) -> float | None:
    """The value of one scorer for a changed good answer."""
    return BY_NAME[name].score(interaction(**fields), EMBEDDER)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("error", 0.0),
        ("refusal", 0.0),
        ("policy_refusal", 0.0),
        ("capability_refusal", 0.0),
        ("escalation", 0.0),
        ("normalised_match", 1.0),
        ("exact_match", 1.0),
        ("citation_valid", 1.0),
        ("tool_error", 0.0),
        ("tool_retries", 0.0),
        ("tool_calls", 1.0),
        ("truncated", 0.0),
        ("markdown", 0.0),
        ("first_token_s", 0.4),
        ("input_tokens", 200.0),
        ("cache_hit", 0.25),
        ("reasoning_tokens", 7.0),
        ("guardrail_block", 0.0),
        ("groundedness", 1.0),
        ("context_used", 0.5),
        ("retrieval_score", 0.7),
        ("confidence", 0.9),
        ("latency_s", 1.5),
        ("output_tokens", 12.0),
        ("cost_usd", 0.01),
    ],
)
def test_a_scorer_gives_its_number_where_it_applies(name: str, value: float) -> None:
    """A good answer with every field sent has the value that each scorer's sentence promises."""
    assert score(name) == pytest.approx(value)


@pytest.mark.parametrize(
    ("name", "without"),
    [
        ("refusal", {"query": None}),
        ("refusal", {"answer": None}),
        ("refusal", {"error": "Timeout"}),
        ("policy_refusal", {"answer": None}),
        ("policy_refusal", {"query": None}),
        ("policy_refusal", {"answer": "The file stands in the annex.", "refused": True}),
        ("capability_refusal", {"error": "Timeout"}),
        ("capability_refusal", {"answer": "", "refused": True}),
        ("tool_retries", {"tool_calls": ()}),
        ("tool_retries", {"tool_calls": (ToolCall(name="a"), ToolCall(name="a"))}),
        ("tool_calls", {"tool_calls": ()}),
        ("truncated", {"finish_reason": None}),
        ("truncated", {"finish_reason": " "}),
        ("markdown", {"answer": None}),
        ("markdown", {"error": "Timeout"}),
        ("format_ok", {}),
        ("format_ok", {"query": "Answer in JSON.", "answer": None}),
        ("language_match", {"query": None}),
        ("language_match", {"query": "K2?"}),
        ("language_match", {"answer": "8611 m"}),
        ("answer_chars", {}),
        ("answer_chars", {"answer": " ", "output_tokens": None}),
        ("first_token_s", {"first_token_s": None}),
        ("input_tokens", {"input_tokens": None}),
        ("cache_hit", {"cache_read_tokens": None}),
        ("cache_hit", {"input_tokens": None}),
        ("cache_hit", {"input_tokens": 0, "cache_read_tokens": 0}),
        ("cache_hit", {"cache_read_tokens": 201}),
        ("reasoning_tokens", {"reasoning_tokens": None}),
        ("escalation", {"escalated": None}),
        ("normalised_match", {"expected_answer": None}),
        ("normalised_match", {"expected_answer": " "}),
        ("exact_match", {"expected_answer": None}),
        ("exact_match", {"expected_answer": ""}),
        ("citation_valid", {"answer": "No citation."}),
        ("citation_valid", {"answer": "take a[0]", "contexts": ()}),
        ("tool_error", {"tool_calls": ()}),
        ("guardrail_block", {"guardrail": None}),
        ("guardrail_block", {"guardrail": " "}),
        ("groundedness", {"contexts": ()}),
        ("groundedness", {"answer": "Yes."}),
        ("groundedness", {"contexts": (Context(text=" "),)}),
        ("context_used", {"contexts": ()}),
        ("context_used", {"contexts": (Context(text=""),)}),
        ("retrieval_score", {"contexts": (Context(text="unscored"),)}),
        ("answer_relevancy", {"query": None}),
        ("answer_relevancy", {"query": "  "}),
        ("answer_relevancy", {"prediction": "spam"}),
        ("confidence", {"confidence": None}),
        ("latency_s", {"latency_s": None}),
        ("output_tokens", {"output_tokens": None}),
        ("cost_usd", {"cost_usd": None}),
    ],
)
def test_cannot_tell_is_none(name: str, without: dict[str, object]) -> None:
    """Where a scorer lacks what it needs it gives None, never 0."""
    assert score(name, **without) is None


@pytest.mark.parametrize(
    ("name", "fields", "value"),
    [
        ("error", {"error": "Timeout"}, 1.0),
        ("error", {"answer": None, "tool_calls": (), "prediction": "spam"}, 0.0),
        ("error", {"answer": "", "finish_reason": "tool_calls"}, 0.0),
        ("error", {"answer": None, "query": None}, 0.0),
        ("refusal", {"refused": True}, 1.0),
        ("refusal", {"answer": "I'm sorry, but I can't help with that."}, 1.0),
        ("refusal", {"answer": "I'm sorry, but I can't help with that.", "refused": False}, 0.0),
        ("policy_refusal", {"answer": "I'm sorry, but I can't help with that."}, 1.0),
        ("policy_refusal", {"answer": "It would be illegal.", "refused": True}, 1.0),
        ("policy_refusal", {"answer": "I'm sorry, but I can't help with that.", "refused": False}, 0.0),
        ("capability_refusal", {"answer": "I'm sorry, I don't have access to your mails."}, 1.0),
        ("capability_refusal", {"answer": "I don't know that.", "refused": True}, 1.0),
        ("capability_refusal", {"answer": "I'm sorry, I don't have access to it.", "refused": False}, 0.0),
        ("tool_calls", {"tool_calls": (), "tools_version": "t1"}, 0.0),
        ("tool_calls", {"tool_calls": (ToolCall(name="a"),) * 40}, 40.0),
        ("tool_retries", {"tool_calls": (ToolCall(name="a", arguments="{}"), ToolCall(name="b", arguments="{}"))}, 0.0),
        (
            "tool_retries",
            {"tool_calls": (ToolCall(name="a", arguments='{"k":1}'), ToolCall(name="a", arguments='{"k":2}'))},
            0.0,
        ),
        (
            "tool_retries",
            {
                "tool_calls": (
                    ToolCall(name="a", arguments='{"k":1, "l":2}'),
                    ToolCall(name="a", arguments='{"l":2,"k":1}'),
                )
            },
            1.0,
        ),
        (
            "tool_retries",
            {"tool_calls": (ToolCall(name="a", arguments="k=1"), ToolCall(name="a", arguments=" k=1"))},
            1.0,
        ),
        ("tool_retries", {"tool_calls": (ToolCall(name="a"), ToolCall(name="b", arguments="{}"))}, 0.0),
        ("truncated", {"finish_reason": "length"}, 1.0),
        ("truncated", {"finish_reason": "MAX_TOKENS"}, 1.0),
        ("truncated", {"finish_reason": "stop,max-output-tokens"}, 1.0),
        ("truncated", {"finish_reason": "tool_calls"}, 0.0),
        ("truncated", {"finish_reason": "length", "answer": None}, 1.0),
        ("cache_hit", {"cache_read_tokens": 0}, 0.0),
        ("cache_hit", {"cache_read_tokens": 200}, 1.0),
        ("language_match", {"answer": "Der Blutdruck ist zu hoch, und das muss ein Arzt sehen."}, 0.0),
        ("language_match", {"answer": "Давление выше 180: нужен врач."}, 0.0),
        (
            "language_match",
            {"query": "Какое давление слишком высокое?", "answer": "Давление выше 180: нужен врач."},
            1.0,
        ),
        ("answer_chars", {"answer": " 8611 m ", "output_tokens": None}, 6.0),
        ("markdown", {"answer": "First:\n\n- this\n- that"}, 1.0),
        ("escalation", {"escalated": True}, 1.0),
        ("normalised_match", {"answer": "It is 8.", "expected_answer": "It is 9."}, 0.0),
        ("normalised_match", {"answer": None, "prediction": "Spam", "expected_answer": "spam"}, 1.0),
        ("exact_match", {"answer": RIGHT.upper()}, 0.0),
        ("citation_valid", {"answer": "So says the guideline [3]."}, 0.0),
        ("citation_valid", {"answer": "So says [1, 2]."}, 1.0),
        ("citation_valid", {"answer": "So it says [1].", "contexts": (), "index_version": "i1"}, 0.0),
        ("tool_error", {"tool_calls": (ToolCall(name="a"), ToolCall(name="b", error="boom"))}, 1.0),
        ("guardrail_block", {"guardrail": "PII"}, 1.0),
        ("guardrail_block", {"guardrail": "block"}, 1.0),
        *(
            (("guardrail_block", {"guardrail": word}, 0.0))
            for word in (" PASS", "passed", "Ok", "NONE", "allow", "Allowed ")
        ),
        ("groundedness", {"answer": "Penguins sing opera loudly every winter."}, 0.0),
        ("context_used", {"answer": "Penguins sing."}, 0.0),
    ],
)
def test_harm_and_exceptions(name: str, fields: dict[str, object], value: float) -> None:
    """Each scorer sees its own harm, and the exceptions that its sentence names."""
    assert score(name, **fields) == value


LOOKS_AT_THE_ANSWER = [
    "error",
    "refusal",
    "policy_refusal",
    "capability_refusal",
    "format_ok",
    "language_match",
    "markdown",
    "answer_chars",
    "normalised_match",
    "exact_match",
    "citation_valid",
    "groundedness",
    "context_used",
    "answer_relevancy",
]


@pytest.mark.parametrize("missing", [None, "", "  \n\t "])
@pytest.mark.parametrize("scorer", SCORERS, ids=lambda s: s.name)
def test_a_missing_answer_never_scores_better_than_the_right_one(scorer, missing: str | None) -> None:
    """For every scorer, the value of a missing answer is None or at least as bad as that of the right answer."""
    right = scorer.score(interaction(), EMBEDDER)
    value = scorer.score(interaction(answer=missing), EMBEDDER)
    if value is not None:
        assert right is not None
        assert value >= right if scorer.bad in ("up", "both") else value <= right


@pytest.mark.parametrize("missing", [None, "", "  \n\t "])
@pytest.mark.parametrize("expected", [RIGHT, "", "  ", "?!", None])
@pytest.mark.parametrize("refused", [None, False, True])
@pytest.mark.parametrize("name", LOOKS_AT_THE_ANSWER)
def test_a_missing_answer_never_counts_as_good(
    name: str, refused: bool | None, expected: str | None, missing: str | None
) -> None:
    """Every scorer that looks at the answer gives a missing one its worst value or None, whatever was expected."""
    worst = {
        "error": 1.0,
        "refusal": 1.0,
        "policy_refusal": 1.0,
        "capability_refusal": 1.0,
        "answer_relevancy": -1.0,
    }.get(name, 0.0)
    assert score(name, answer=missing, expected_answer=expected, refused=refused) in (None, worst)


@given(query=st.text(max_size=60), answer=st.text(max_size=200))
@hypothesis_settings(deadline=None, max_examples=60)
def test_a_missing_answer_is_less_relevant_than_any(query: str, answer: str) -> None:
    """Whatever the texts, a missing answer's relevancy is never above an answer's."""
    given_ = score("answer_relevancy", query=query, answer=answer)
    missing = score("answer_relevancy", query=query, answer=None)
    assert (given_ is None) == (missing is None)
    assert given_ is None or missing is None or missing <= given_ + 1e-6


@given(
    texts=st.tuples(*[st.text(max_size=300)] * 4),
    refused=st.none() | st.booleans(),
    tokens=st.none() | st.integers(0, 10**6),
)
@hypothesis_settings(deadline=None, max_examples=100)
def test_rates_are_0_or_1_and_shares_within(texts, refused, tokens) -> None:
    """For any texts, every binary scorer gives 0, 1 or None, and every share or cosine lies in its range."""
    i = interaction(
        query=texts[0],
        answer=texts[1],
        expected_answer=texts[2],
        contexts=(Context(text=texts[3]),),
        refused=refused,
        output_tokens=tokens,
    )
    for scorer in SCORERS:
        value = scorer.score(i, EMBEDDER)
        if value is None:
            continue
        if scorer.kind == "binary":
            assert value in (0.0, 1.0)
        if scorer.unit in ("share", "cosine"):
            assert -1.0 - 1e-6 <= value <= 1.0 + 1e-6


MEGABYTE = 10**6
HOSTILE = {
    "sorry": "sorry " * 10**5,
    "brackets": "[" * MEGABYTE,
    "half brackets": ("[" + "x" * 80) * (MEGABYTE // 81),
    "answer:": "answer: " * (MEGABYTE // 8),
    "answer and lines": "answer" + "\n" * MEGABYTE,
    "lines": "\n" * MEGABYTE,
    "full stops": ". " * (MEGABYTE // 2),
    "backslashes": "\\" * MEGABYTE,
    "boxed": "\\boxed{" * (MEGABYTE // 7),
    "braces": "\\boxed" + "{" * MEGABYTE,
    "citations": "[1" + ",1" * (MEGABYTE // 2),
    "i cannot": "i can " * (MEGABYTE // 6),
    "it is not": "it is " * (MEGABYTE // 6),
    "gerunds": "ing " * (MEGABYTE // 4),
    "as an ai": "as an ai " * (MEGABYTE // 9),
    "one word": "a" * MEGABYTE,
    "minus signs": "-" * MEGABYTE,
    "digits and commas": "1," * (MEGABYTE // 2),
    "grows when normalised": "\ufdfa" * 100_000,
    "lone surrogate": "\ud800 answer: \udfff",
    "fence": "```json\n" + "{" * MEGABYTE,
    "open fence": "```" + " " * MEGABYTE,
    "nested lists": "[" * MEGABYTE + " in json",
    "stars": "*" * MEGABYTE,
    "bold": "**a" * (MEGABYTE // 3),
    "pipes": "|" * MEGABYTE,
    "list": "- a\n" * (MEGABYTE // 4),
    "options": "[a] or " * (MEGABYTE // 7),
    "json please": "answer in json " * (MEGABYTE // 15),
    "i do not have": "i do not have any " * (MEGABYTE // 18),
    "apostrophes": "a'" * (MEGABYTE // 2),
    "address": "https://" + "x" * MEGABYTE,
    "nul and escapes": "\0\x1b[31m\u202e" * 1000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_and_huge_texts_cost_little(text: str) -> None:
    """All scorers together take no more than a few seconds for a megabyte of hostile text in every field, and never raise."""
    i = interaction(
        query=text,
        answer=text,
        expected_answer=text[:50_000] + "x",
        contexts=(Context(text=text), *PASSAGES),
        tool_calls=(ToolCall(name="a", arguments=text), ToolCall(name="a", arguments=text[:10_000])),
        finish_reason=text,
        attributes={"gen_ai.output.type": text},
        output_tokens=None,
    )
    began = time.process_time()
    for scorer in SCORERS:
        scorer.score(i, EMBEDDER)
    assert time.process_time() - began < 5.0  # most take 0.3 s; a quadratic pattern would take hours


@pytest.mark.parametrize(
    ("answer", "expected", "same"),
    [
        ("The answer is 42.", "42", True),
        ("**Final answer:** 42", "42", True),
        ("### Answer\n\n42", "42", True),
        ("Steps... so \\boxed{242, 275}", "\\boxed{242, 275}", True),
        ("Not [Yes] but [No]", "no", True),
        ("Yes, because it has no divisors.", "Yes", True),
        ("Yes? [No]", "Yes", False),
        ("-5", "5", False),
        ("−5", "-5", True),
        ("2020-2021", "2020 2021", True),
        ("+", "-", False),
        ("+", "+", True),
        ("?!", "!?", False),
        ("", "", False),
        ("  ", "?", False),
        ("The Paris.", "paris", True),
        ("Answering took long", "ing took long", False),
        ("The answer depends", "depends", False),
        ("C++", "C", False),
        ("C#", "C", False),
        ("C++", "C#", False),
        ("It is **C++**. Answer: C++", "c++", True),
        ("5 %", "$5", False),
        ("5 %", "5", False),
        ("5%", "5 percent", True),
        ("\uff15\uff05", "5%", True),
        ("\u20ac10", "10 \u20ac", True),
        ("$10", "10 \u20ac", False),
        ("\\boxed{12\\%}", "12%", True),
        ("The answer is $42$.", "42", True),
        ("$$x^2$$", "x^2", True),
        ("from $5 to $10", "from \\$5 to \\$10", True),
        ("from $5 to $10", "from 5 to 10", False),
        ("# Paris", "#paris", True),
        ("+5", "5", True),
        ("A+", "A", False),
        ("p<0.05", "p>0.05", False),
        ("p<0.05", "p 0.05", False),
        ("P < 0.05.", "p<0.05", True),
        ("< 5", "> 5", False),
        ("n ≥ 30", "n<=30", False),
        ("n ≥ 30", "n >= 30", True),
        ("< $5", "<$5", True),
        ("a=1", "a≠1", False),
        ("a != 1", "a ≠ 1", True),
        ("a<b", "a > b", False),
        ("±5", "5", False),
        ("+/-5", "±5", True),
        ("= 5", "5", True),
        ("> Paris", "Paris", True),
        ("<Paris>", "Paris", True),
        ("-> 5", "5", True),
        ("=> 5", "5", True),
        ("**Settings** > **Privacy**", "Settings > Privacy", True),
        ("Settings -> Privacy", "Settings > Privacy", True),
        ("No problem, yes you can return it!", "no", False),
        ("No, not without the receipt.", "No", True),
        ("Yes... no. It cannot.", "yes", False),
        ("Yes and no", "yes", False),
        ("Yes, at no cost: there is no fee (see No. 5), a no-brainer.", "yes", True),
    ],
)
def test_answers_match(answer: str, expected: str, same: bool) -> None:
    """Answers match after normalisation or by their final answer; a sign counts (C++, 5 %, $5, < 5), a word taken back is none."""
    assert answers_match(answer, expected) is same


@given(st.text(max_size=300))
@hypothesis_settings(deadline=None)
def test_an_answer_matches_itself_unless_blank(text: str) -> None:
    """Every answer equals itself, and a blank one equals nothing."""
    assert answers_match(text, text) is bool(text.strip())


def test_long_answers_are_not_equal_by_their_beginning() -> None:
    """Two answers that only share what is read of them do not match."""
    assert not answers_match("a b " * READ + "c", "a b " * READ + "d")
    assert answers_match("a b " * READ, "a b " * READ)


def test_the_last_final_answer_counts() -> None:
    r"""The last \boxed{} stands before the last [...], which stands before what follows "answer:"; else all of it."""
    assert final_answer("[1] \\boxed{2} \\boxed{3} answer: 4") == "3"
    assert final_answer("[1] [2] answer: 4") == "2"
    assert final_answer("Answer: 4. The final answer is 5") == "5"
    assert final_answer("just words") == "just words"


@pytest.mark.parametrize(
    ("answer", "refuses"),
    [
        ("I cannot fulfill your request.", True),
        ("  I’m not able to share that.", True),
        ("I'm just an AI, it's not within my programming or ethical guidelines to do so.", True),
        ("As an AI language model, I don't have opinions.", True),
        ("I must decline to answer.", True),
        ("This is subjective and depends on personal preference.", True),
        ("I don't think it's appropriate to joke about this.", True),
        ("I cannot stress enough how good sleep is for you.", False),
        ("I can't wait to tell you: the shop opens at nine.", False),
        ("The cat cannot fly.", False),
        ("It is not accurate to say that the Wall can be seen from the Moon.", False),
        ("Sorry for the delay! Your parcel comes on Monday.", False),
        ("That depends on your budget: the small one costs 40 euros.", False),
        ("Take two tablets a day.", False),
        ("", False),
    ],
)
def test_refusals(answer: str, refuses: bool) -> None:
    """A refusal is known by how it opens; words of refusal in a plain answer are none."""
    assert is_refusal(answer) is refuses
    assert is_refusal("\n " * 400 + answer) is refuses


def test_a_refusal_opens_the_answer() -> None:
    """A caveat after the first 400 characters is no refusal."""
    assert not is_refusal("Here is how. " * 40 + "I'm sorry, but I can't help with that.")


@given(st.text(max_size=200))
@hypothesis_settings(deadline=None)
def test_normalising_twice_is_normalising_once(text: str) -> None:
    """Normal forms are their own normal forms, words are lower case, and sentences hold no blank."""
    once = normalise(text)
    assert normalise(once).split() == [w for w in once.split() if w not in ("a", "an", "the")]
    assert all(len(w) > 1 or w.isdigit() for w in content_words(text))
    assert all(s.strip() for s in sentences(text))


def test_many_tool_calls_cost_little() -> None:
    """A run of a hundred thousand calls of one tool is counted and compared in less than two seconds."""
    calls = tuple(ToolCall(name="a", arguments=f'{{"k": {k}}}') for k in range(100_000))
    began = time.process_time()
    assert (score("tool_retries", tool_calls=calls), score("tool_calls", tool_calls=calls)) == (0.0, 100_000.0)
    assert time.process_time() - began < 2.0


def test_the_set_is_complete() -> None:
    """Names are unique identifiers and every scorer says in a sentence what it is."""
    assert len(BY_NAME) == len(SCORERS) == 29
    assert all(n.isidentifier() and n.islower() and s.about.endswith(".") for n, s in BY_NAME.items())
