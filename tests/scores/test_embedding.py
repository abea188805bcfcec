"""Which embedder is chosen, what the cache keeps, and what hashed n-grams and sentence-transformers promise."""

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import numpy as np
import pytest

from andon import plugins
from andon.errors import ConfigError, SeamError
from andon.scores import Embedder, hashed, minilm, sentence_transformers
from andon.scores.embedding import Cached, choose, notice
from andon.settings import Settings


class Counting:
    """An embedder that remembers what it was asked."""

    name = "counting"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += texts
        return hashed.load(Settings()).embed(texts)


def _plugin(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    points = [EntryPoint("mine", value, "andon.embedders")]
    monkeypatch.setattr(plugins, "entry_points", lambda group: points)


def test_auto_without_weights_is_hashed_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without weights `auto` is the hashed embedder, and the notice names it and the command."""
    monkeypatch.setattr(minilm, "available", lambda _: False)
    assert choose(Settings()).name == hashed.NAME
    said = notice(Settings())
    assert hashed.NAME in said
    assert "`andon model fetch`" in said
    assert "\n" not in said


def test_auto_with_weights_is_minilm_and_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """With weights `auto` is MiniLM, and there is nothing to say."""
    chosen = Counting()
    monkeypatch.setattr(minilm, "available", lambda _: True)
    monkeypatch.setattr(minilm, "load", lambda _: chosen)
    assert choose(Settings()) is chosen
    assert notice(Settings()) == ""


def test_a_named_embedder_is_a_plug_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name is looked up among the plug-ins, and nothing is said about weights."""
    _plugin(monkeypatch, "andon.scores.hashed:load")
    monkeypatch.setattr(minilm, "available", lambda _: False)
    assert choose(Settings(embedder="mine")).name == hashed.NAME
    assert notice(Settings(embedder="mine")) == ""
    with pytest.raises(ConfigError, match="installed: mine"):
        choose(Settings(embedder="yours"))


def test_a_plug_in_that_is_no_embedder_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plug-in whose result has no name and no `embed` is refused when it is chosen, not when it is used."""
    _plugin(monkeypatch, "builtins:repr")
    with pytest.raises(ConfigError, match=r"loads a str, which is not an embedder"):
        choose(Settings(embedder="mine"))


def test_the_cache_asks_once_for_each_text() -> None:
    """A text reaches the embedder inside once, within a call and between calls; the name is the inner one's."""
    inner = Counting()
    cached = Cached(inner)
    first = cached.embed(["a", "b", "a"])
    second = cached.embed(["b", "c"])
    assert inner.asked == ["a", "b", "c"]
    assert cached.name == "counting"
    np.testing.assert_array_equal(first[0], first[2])
    np.testing.assert_array_equal(first[1], second[0])


def test_the_cache_forgets_the_least_recently_used() -> None:
    """The cache holds no more vectors than its bound, and forgets those not used for longest."""
    inner = Counting()
    cached = Cached(inner, vectors=2)
    cached.embed(["a", "b"])
    cached.embed(["a"])
    cached.embed(["c"])
    inner.asked.clear()
    cached.embed(["a", "c"])
    assert inner.asked == []
    cached.embed(["b"])
    assert inner.asked == ["b"]
    assert cached.embed(["1", "2", "3", "4"]).shape[0] == 4
    assert len(cached) == 2


@pytest.mark.parametrize("bound", [0, 1])
def test_a_tiny_cache_still_answers(bound: int) -> None:
    """A call of more texts than the cache holds has all its vectors."""
    texts = ["a", "b", "c", "a"]
    cached = Cached(Counting(), vectors=bound)
    np.testing.assert_array_equal(cached.embed(texts), hashed.load(Settings()).embed(texts))
    assert len(cached) == bound


def test_the_cache_is_safe_in_threads() -> None:
    """Threads that share a small cache all get the right vectors, and the bound holds."""
    cached = Cached(Counting(), vectors=20)
    texts = [f"text {i}" for i in range(60)]
    expected = hashed.load(Settings()).embed(texts)
    wrong: list[int] = []

    def work(seed: int) -> None:
        for i in np.random.default_rng(seed).permutation(60).tolist() * 5:
            if not np.array_equal(cached.embed([texts[i]])[0], expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(cached) == 20


def _cosine(embedder: Embedder, a: str, b: str) -> float:
    v = embedder.embed([a, b])
    return float(v[0] @ v[1])


def test_hashed_texts_are_near_when_they_share_words_and_spelling() -> None:
    """Shared words and word forms raise the cosine, unrelated text has one near 0."""
    embedder = hashed.load(Settings())
    question = "refund for a damaged parcel"
    assert _cosine(embedder, question, "a refund for the damaged parcel") > 0.7
    assert _cosine(embedder, question, "refunds for damaged parcels") > 0.4
    assert abs(_cosine(embedder, question, "Berlin weather tomorrow morning")) < 0.2
    assert _cosine(embedder, "reset", "resets") > 0.3


def test_hashed_vectors_ignore_case_width_and_order_of_words() -> None:
    """Case, compatibility forms, spacing and the order of words change nothing."""
    embedder = hashed.load(Settings())
    v = embedder.embed(["Straße ＡＢＣ offen", "STRASSE abc OFFEN", " offen\tabc   strasse "])
    np.testing.assert_allclose(v[0], v[1], atol=1e-6)
    np.testing.assert_allclose(v[0], v[2], atol=1e-6)


def test_hashed_counts_are_sublinear() -> None:
    """A word repeated a hundred times does not drown the others."""
    embedder = hashed.load(Settings())
    once = _cosine(embedder, "parcel damaged", "damaged")
    assert once > _cosine(embedder, "parcel " * 100 + "damaged", "damaged") > once / 6


def test_hashed_random_words_are_nearly_orthogonal() -> None:
    """Cosines of unrelated words have mean 0 and a spread near 1/sqrt(512): signs and cells are well mixed."""
    rng = np.random.default_rng(7)
    words = ["".join(chr(97 + c) for c in rng.integers(0, 26, 9)) for _ in range(400)]
    v = hashed.load(Settings()).embed(words)
    cosines = (v @ v.T)[np.triu_indices(400, 1)]
    assert abs(cosines.mean()) < 0.002
    assert 0.035 < cosines.std() < 0.055


def test_hashed_vectors_do_not_depend_on_the_process() -> None:
    """A process with another hash seed gives the same bytes: the name promises the vector."""
    code = (
        "from andon.scores import hashed; from andon.settings import Settings; import hashlib;"
        "print(hashlib.sha256(hashed.load(Settings()).embed(['one two', 'Ünï ✓']).tobytes()).hexdigest())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, **_env()},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1


def _env() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k in ("PATH", "PYTHONPATH", "SYSTEMROOT")}


def test_hashed_vectors_are_those_of_version_1() -> None:
    """The vector of a known text is as on the day that the version was named; a change needs a new version."""
    (v,) = hashed.load(Settings()).embed(["to be or not to be"])
    assert hashed.NAME == "hashed-ngram-512-v1"
    assert {int(i): round(float(v[i]), 4) for i in np.argsort(-np.abs(v))[:2]} == {50: -0.4305, 397: 0.4305}
    assert float(v @ np.arange(512)) == pytest.approx(-113.043, abs=1e-3)


def test_sentence_transformers_absent_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the optional package the error is the command that installs it."""
    monkeypatch.setattr(sentence_transformers.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install 'andon\[sentence-transformers\]'"):
        sentence_transformers.load(Settings(embedder_model="m"))


class FakeModel:
    """What `SentenceTransformer` looks like from here."""

    def __init__(self, name: str) -> None:
        if name == "absent":
            raise OSError("no such model")
        self.broken = name == "broken"
        self.nan = name == "nan"

    def encode(self, texts: list[str], **_: object) -> np.ndarray:
        if self.broken:
            raise RuntimeError("out of memory")
        value = np.nan if self.nan else 1.0
        return np.array([[value, 0.0] if len(t) % 2 else [0.0, value] for t in texts], np.float32)


@pytest.fixture
def _fake_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentence_transformers.importlib.util, "find_spec", lambda _: object())
    monkeypatch.setitem(sys.modules, "sentence_transformers", SimpleNamespace(SentenceTransformer=FakeModel))


@pytest.mark.usefixtures("_fake_package")
def test_sentence_transformers_keep_order_and_empty_texts() -> None:
    """Vectors follow the texts, empty ones are zero, and the name carries the model."""
    embedder = sentence_transformers.load(Settings(embedder_model="m"))
    assert embedder.name == "sentence-transformers:m"
    assert embedder.embed(["a", "", "bb", "half \ud83d"]).tolist() == [[1, 0], [0, 0], [0, 1], [0, 1]]
    assert embedder.embed([" "]).tolist() == [[0, 0]]
    assert embedder.embed([]).shape == (0, 2)


@pytest.mark.usefixtures("_fake_package")
def test_sentence_transformers_map_every_failure() -> None:
    """No model or an unknown one is the operator's error; a model that fails later is the seam's."""
    with pytest.raises(ConfigError, match="needs ANDON_EMBEDDER_MODEL"):
        sentence_transformers.load(Settings())
    with pytest.raises(ConfigError, match=r"ANDON_EMBEDDER_MODEL='absent' cannot be loaded.*no such model"):
        sentence_transformers.load(Settings(embedder_model="absent"))
    for model, words in (("broken", "out of memory"), ("nan", "not finite")):
        with pytest.raises(SeamError, match=words):
            sentence_transformers.load(Settings(embedder_model=model)).embed(["a"])
