"""One suite over every embedder that runs on this machine: what callers may rely on."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from andon.scores import Embedder, hashed, minilm
from andon.scores.embedding import Cached
from andon.settings import Settings

TEXTS = [
    "What is the capital of France?",
    "Paris.",
    "refund policy of the shop, please",
    "¿Dónde está la biblioteca?",
    "x",
    "A longer passage that speaks of nothing in particular, and goes on for some time. " * 12,
]
HOSTILE = {
    "nul": "before\x00after",
    "lone surrogate": "half a pair \ud83d and text",
    "emoji": "👩‍👩‍👧‍👦🚀🔥",
    "right to left": "ما هي عاصمة فرنسا \u202e שלום",
    "combining marks": "Z" + "\u0301" * 500,
    "markup": "<script>alert(1)</script> {{7*7}} '; DROP TABLE x; --",
    "one word of a megabyte": "a" * 2**20,
    "words of a megabyte": "word " * 2**18,
}


def _minilm() -> Embedder:
    if not minilm.available(Settings()):
        pytest.skip("the weights of all-MiniLM-L6-v2 are not installed: run `andon model fetch`")
    return minilm.load(Settings())


EMBEDDERS: dict[str, Callable[[], Embedder]] = {
    "hashed": lambda: hashed.load(Settings()),
    "minilm": _minilm,
    "cached": lambda: Cached(hashed.load(Settings())),
    "cached-of-3": lambda: Cached(hashed.load(Settings()), vectors=3),
}


@pytest.fixture(params=EMBEDDERS)
def embedder(request: pytest.FixtureRequest) -> Embedder:
    """Each embedder in turn."""
    return EMBEDDERS[request.param]()


def test_vectors_are_float32_rows_of_length_one(embedder: Embedder) -> None:
    """An embedder has a name and gives one float32 vector of length 1 for each text."""
    vectors = embedder.embed(TEXTS)
    assert embedder.name
    assert vectors.dtype == np.float32
    assert vectors.shape[0] == len(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_no_texts_give_no_rows(embedder: Embedder) -> None:
    """No texts give a matrix of no rows and of the usual width."""
    assert embedder.embed([]).shape == (0, embedder.embed(["a"]).shape[1])


def test_order_is_that_of_the_texts(embedder: Embedder) -> None:
    """The rows follow the texts, whatever order they come in, repeated texts included."""
    order = [3, 0, 5, 5, 1, 0, 4, 2]
    expected = embedder.embed(TEXTS)[order]
    np.testing.assert_allclose(embedder.embed([TEXTS[i] for i in order]), expected, atol=1e-5)
    assert len({row.tobytes() for row in expected}) == len(TEXTS)


def test_empty_text_is_a_zero_vector(embedder: Embedder) -> None:
    """A text without a word is a zero vector, alone or among others, and never NaN."""
    assert not embedder.embed(["", " \n\t"]).any()
    vectors = embedder.embed(["", "a word", "   "])
    assert np.isfinite(vectors).all()
    assert [bool(row.any()) for row in vectors] == [False, True, False]


def test_a_text_alone_equals_itself_in_a_batch(embedder: Embedder) -> None:
    """The company of other texts changes a vector by less than 1e-5."""
    alone = np.concatenate([embedder.embed([text]) for text in TEXTS])
    np.testing.assert_allclose(embedder.embed(TEXTS * 20)[-len(TEXTS) :], alone, atol=1e-5)


@pytest.mark.parametrize("name", EMBEDDERS)
def test_the_same_texts_give_the_same_bytes(name: str) -> None:
    """Two embedders of the same kind give the same bytes for the same call."""
    first, second = (EMBEDDERS[name]().embed(TEXTS * 10) for _ in range(2))
    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_text_is_a_text_like_another(embedder: Embedder, kind: str) -> None:
    """Hostile text neither fails, nor gives NaN, nor moves the vector of its neighbour."""
    vectors = embedder.embed([TEXTS[0], HOSTILE[kind]])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(vectors[0], embedder.embed([TEXTS[0]])[0], atol=1e-5)


def test_the_result_belongs_to_the_caller(embedder: Embedder) -> None:
    """A caller that writes into its vectors does not change those of the next caller."""
    for n in (1, 2):
        before = embedder.embed(TEXTS[:n]).copy()
        embedder.embed(TEXTS[:n])[:] = 7
        assert embedder.embed(TEXTS[:n]).tobytes() == before.tobytes()


@pytest.mark.parametrize("name", ["hashed", "minilm", "cached"])
def test_any_string_has_a_vector_of_length_zero_or_one(name: str) -> None:
    """Whatever the text, its vector is finite and of length 0 or 1."""
    embedder = EMBEDDERS[name]()

    @settings(max_examples=60, deadline=None)
    @given(st.text(st.characters(exclude_categories=()), max_size=60))
    def law(text: str) -> None:
        (length,) = np.linalg.norm(embedder.embed([text]), axis=1)
        assert length == 0 or abs(length - 1) < 1e-5
        assert length == 0 or text.strip()

    law()
