"""What groundedness promises, claim by claim; how good it is against people is in `test_grounding_measured.py`."""

import re
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon import testing
from andon.scores import SCORERS, Claim, explain_groundedness, groundedness, hashed
from andon.settings import Settings
from andon.traffic import Context, Interaction

SCORER = next(s for s in SCORERS if s.name == "groundedness")
PASSAGE = (
    "The bridge was opened on 12 May 1932 by Anna Keller. It is 1,149 metres long and carries eight lanes of traffic."
)
OTHER = "Ferries cross the harbour every ten minutes until midnight."


def the(answer: str, *passages: str) -> Claim:
    """The only sentence of an answer."""
    (claim,) = explain_groundedness(answer, passages or (PASSAGE,))
    return claim


def test_it_keeps_the_contract_of_a_scorer() -> None:
    """Named, repeatable, finite, in range; version 2, because another measure is another series."""
    testing.check_scorer(SCORER)
    assert (SCORER.name, SCORER.version, SCORER.bad, SCORER.texts) == ("groundedness", "2", "down", None)


def test_what_a_passage_says_is_grounded_to_the_word() -> None:
    """A passage told again is 1, whichever passage it is, and something else altogether is 0."""
    assert groundedness(PASSAGE, [OTHER, PASSAGE]) == 1
    assert groundedness("Penguins sing opera loudly.", [PASSAGE, OTHER]) == 0


def test_the_value_is_the_share_of_the_different_words() -> None:
    """By hand: each word counts once in the whole answer, a function word half, a number as a word."""
    # bridge, opened, 1932, Napoleon: 4; The, was, in, by: 2. Of 6, Napoleon (1) and "in" (1/2) are not there
    assert the("The bridge was opened in 1932 by Napoleon.").supported == pytest.approx(4.5 / 6)
    # a second sentence brings three words, of which none is there, and repeats two, which count no more
    answer = "The bridge was opened in 1932 by Napoleon. Penguins sing opera. The bridge, the bridge."
    assert groundedness(answer, [PASSAGE]) == pytest.approx(4.5 / 9)


def test_it_is_the_plain_share_of_words_where_no_rule_applies() -> None:
    """Function words apart, it is what anybody computes: different words of the answer found in any passage, over all."""
    answer, passages = "Penguins cross Sydney harbour every Tuesday until sunset", [PASSAGE, OTHER]
    held = set(re.findall(r"\w+", " ".join(passages).lower()))
    words = set(re.findall(r"\w+", answer.lower()))
    assert groundedness(answer, passages) == len(words & held) / len(words) == 4 / 8


def test_an_answer_may_draw_on_several_passages() -> None:
    """What one passage says and what another says are both said, in one sentence too."""
    assert the("The bridge carries lanes, ferries cross the harbour.", PASSAGE, OTHER).supported == 1


def test_a_claim_says_what_it_lacks() -> None:
    """Numbers and words of content that stand in no passage are named apart, by the answer's own spelling, once."""
    claim = the("The bridge was opened in 1945 by Maria Keller with enormous fireworks, enormous.", OTHER, PASSAGE)
    assert claim.missing_numbers == ("1945",)
    assert claim.missing_words == ("Maria", "enormous", "fireworks")
    answer = "It opened in 1945. Penguins sing opera."
    assert [(c.text, c.supported, c.missing_words) for c in explain_groundedness(answer, [PASSAGE])] == [
        ("It opened in 1945.", pytest.approx(1.5 / 3), ()),
        ("Penguins sing opera.", 0, ("Penguins", "sing", "opera")),
    ]


@pytest.mark.parametrize(
    ("said", "passage"),
    [
        ("It is 1149 metres long.", "It is 1,149 metres long."),
        ("It costs 4.50 euros.", "It costs 4.5 euros."),
        ("It weighs 15mg.", "It weighs 15 mg."),
        ("IT DESCRIBES", "it describes"),
        (
            "The rating is 4.5 and WiFi is free.",
            '{"rating": 4.5, "attributes": {"WiFi": "free"}, "the": "and", "x": "is"}',
        ),
        ("Das Museum öffnet täglich.", "öffnet das Museum täglich?"),
        ("高さは333メートル。", "東京タワーの高さは333メートルです。"),
        ("다리는 1932년에 개통", "그 다리는 1932년에 개통되었다"),
    ],
)
def test_the_same_thing_written_otherwise_is_the_same(said: str, passage: str) -> None:
    """Case, separators, units, JSON and scripts without spaces are no difference."""
    assert the(said, passage).supported == 1


@pytest.mark.parametrize(
    ("said", "passage"),
    [
        ("It rose by 15 percent.", "It rose by 50 percent."),
        ("It was -5 degrees.", "It was 5 degrees."),
        ("It opened in 1932.", "It opened in 1923."),
        ("東京タワーは1959年に完成した。", "東京タワーは高さ333メートルで、1958年に完成した。"),
    ],
)
def test_another_number_is_another_thing(said: str, passage: str) -> None:
    """A number that the passage does not have is missing, with its sign and its digits in their order."""
    claim = the(said, passage)
    assert len(claim.missing_numbers) == 1
    assert claim.supported < 1


def test_what_declines_does_not_count() -> None:
    """Words of what is missing neither help nor harm an answer that states something."""
    aside, said = "However, the passages do not mention who designed it.", "The bridge was opened on 12 May 1932."
    for answer in (f"{aside}\n{said}", f"{said} {aside}"):
        assert groundedness(answer, [PASSAGE]) == groundedness(said, [PASSAGE]) == the(said).supported


def test_numbers_that_name_a_passage_are_no_claim() -> None:
    """Citations, the numbers of passages and of a list's items are not looked for in the passages."""
    for answer in (
        "It is 1149 metres long [7].",
        "1. It is 1149 metres long",
        "It is 1149 metres long [3, 4]. It is long.",
    ):
        assert groundedness(answer, [PASSAGE]) == 1, answer
    assert the("According to passage 7, it is long.").missing_numbers == ()


@pytest.mark.parametrize(
    "answer",
    ["Unable to answer based on given passages.", "I'm sorry, I can't find that in the documents.", "I don't know."],
)
def test_an_answer_that_only_declines_is_grounded(answer: str) -> None:
    """It says nothing that the passages do not say (people agree: all of RAGTruth's are marked free of invention)."""
    assert groundedness(answer, [PASSAGE]) == 1
    assert explain_groundedness(answer, [PASSAGE]) == ()


def test_a_claim_behind_an_excuse_is_checked() -> None:
    """Whoever declines and then states something is judged by what was stated."""
    assert groundedness("I don't know, but penguins sing opera loudly.", [PASSAGE]) < 0.5  # type: ignore[operator]
    assert groundedness("Although the passages do not mention it, penguins sing opera loudly.", [PASSAGE]) < 0.5  # type: ignore[operator]
    assert groundedness("I don't know. Penguins sing opera loudly.", [PASSAGE]) == 0


@pytest.mark.parametrize(
    ("answer", "passages"),
    [
        ("Penguins sing.", ()),
        ("Penguins sing.", ("", "  ")),
        ("Penguins sing.", ("[1] https://example.org/penguins/sing",)),
        ("Thanks, and hello.", (PASSAGE,)),
        ("Yes.", (PASSAGE,)),
        ("...", (PASSAGE,)),
        (
            "Die Brücke wurde im Frühling eröffnet und ist heute eine der wichtigsten Straßen der Stadt, die auch von Bussen",
            (PASSAGE,),
        ),
    ],
)
def test_cannot_tell_is_none(answer: str, passages: tuple[str, ...]) -> None:
    """No passage with text, no word of content, or another language than every passage: None, never 0."""
    assert groundedness(answer, passages) is None


def test_a_missing_answer_is_grounded_in_nothing() -> None:
    """Where there are passages and no answer it is 0, the worst there is."""
    i = Interaction(id="i", time_us=0, query="q", answer=None, contexts=(Context(text=PASSAGE),))
    embedder = hashed.load(Settings())
    assert [SCORER.score(replace(i, answer=a), embedder) for a in (None, " ", PASSAGE)] == [0, 0, 1]


@given(answer=st.text(max_size=300), passages=st.lists(st.text(max_size=200), max_size=4))
def test_any_text_has_a_share_and_its_explanation(answer: str, passages: list[str]) -> None:
    """For any texts: None or 0 to 1; 1 where no sentence lacks a word; another passage never lowers a sentence."""
    value = groundedness(answer, passages)
    claims = explain_groundedness(answer, passages)
    assert all(0 <= c.supported <= 1 for c in claims)
    assert not claims or value is None or 0 <= value <= 1
    assert value is None or not claims or (value == 1) == all(c.supported == 1 for c in claims)
    more = explain_groundedness(answer, [*passages, "one more passage"])
    assert not claims or all(a.supported <= b.supported for a, b in zip(claims, more, strict=True))


@pytest.mark.parametrize(
    "text",
    [
        "word " * 50_000,
        "中" * 100_000,
        "information not " * 50_000,
        "passage 1, " * 50_000,
        "n't " * 100_000,
        "1,1" * 100_000,
        "a b. " * 50_000,
        '."' * 100_000,
        "\ufdfa" * 100_000,
        "x" * 1_000_000,
    ],
    ids=lambda t: repr(t[:8]),
)
def test_huge_and_hostile_texts_cost_linear_time(text: str) -> None:
    """Fifty thousand words against ten passages as long take about a second at most; nobody waits for a scorer."""
    start = time.perf_counter()
    groundedness(text, [f"{text}{n}" for n in range(10)])
    assert time.perf_counter() - start < 5
