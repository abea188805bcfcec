"""The embedder `openai`, against a real HTTP server on loopback."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from andon.errors import ConfigError, SeamError
from andon.scores import Embedder, remote
from andon.settings import Settings

KEY = "sk-a-very-secret-key"
Answer = tuple[int, str]


class Endpoint:
    """An endpoint whose answers a test sets: one function from the request's body and number to status and text."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.answer: Callable[[dict[str, Any], int], Answer] = lambda body, _: (200, right(body))
        self.url = ""


def vector(text: str) -> list[float]:
    """What the endpoint answers for a text: not of length 1, and different for different texts."""
    return [float(len(text)), 1.0, float(ord(text[0]))]


def right(body: dict[str, Any]) -> str:
    """A right answer, its items in reverse order."""
    data = [{"object": "embedding", "index": i, "embedding": vector(t)} for i, t in enumerate(body["input"])]
    return json.dumps({"object": "list", "model": body["model"], "data": data[::-1]})


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """A server on loopback, for one test."""
    state = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.requests.append(body)
            state.headers.append(dict(self.headers))
            state.paths.append(self.path)
            status, text = state.answer(body, len(state.requests))
            self.send_response(status)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        state.url = f"http://127.0.0.1:{server.server_port}/v1"
        yield state
        server.shutdown()
        thread.join()


def load(url: str, **others: str) -> tuple[Embedder, list[float]]:
    """An embedder that notes its pauses instead of sleeping."""
    pauses: list[float] = []
    settings = {"embedder_url": url, "embedder_model": "model-1", "embedder_key": KEY, **others}
    embedder = remote.load(Settings(**settings))  # type: ignore[arg-type]
    embedder.endpoint = replace(embedder.endpoint, sleep=pauses.append)  # type: ignore[attr-defined]
    return embedder, pauses


def failure(embedder: Embedder, texts: list[str] | None = None) -> SeamError:
    """The error of a call; the key is nowhere in it, nor in what it chains to."""
    with pytest.raises(SeamError) as caught:
        embedder.embed(texts or ["a", "b"])
    chain: BaseException | None = caught.value
    while chain is not None:
        assert KEY not in str(chain)
        chain = chain.__cause__ or (None if chain.__suppress_context__ else chain.__context__)
    assert KEY not in repr(embedder)
    return caught.value


def test_vectors_are_unit_rows_in_the_order_of_the_texts(endpoint: Endpoint) -> None:
    """Vectors follow the index in the answer, not its order, and have length 1."""
    embedder, _ = load(endpoint.url)
    texts = ["alpha", "be", "gamma ray", "be"]
    expected = np.array([vector(t) for t in texts])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = embedder.embed(texts)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.dtype == np.float32
    assert embedder.name == "openai:model-1"
    assert endpoint.paths == ["/v1/embeddings"]
    assert endpoint.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert endpoint.requests[0]["model"] == "model-1"


def test_no_key_sends_no_authorization(endpoint: Endpoint) -> None:
    """Without a key no Authorization header is sent: local endpoints need none."""
    load(endpoint.url, embedder_key="")[0].embed(["a"])
    assert "Authorization" not in endpoint.headers[0]


def test_batches_hold_at_most_128_distinct_texts(endpoint: Endpoint) -> None:
    """Texts go out in batches of at most 128; repeated ones once, empty ones never."""
    embedder, _ = load(endpoint.url)
    texts = [f"text {i}" for i in range(300)]
    vectors = embedder.embed([*texts, *texts, "", "  "])
    assert [len(r["input"]) for r in endpoint.requests] == [128, 128, 44]
    assert vectors.shape == (602, 3)
    assert not vectors[-2:].any()
    np.testing.assert_array_equal(vectors[:300], vectors[300:600])


def test_only_empty_texts_have_the_width_of_the_others(endpoint: Endpoint) -> None:
    """A call of empty texts alone gives zero vectors of the model's width, asked for once."""
    embedder, _ = load(endpoint.url)
    assert embedder.embed([]).shape[0] == 0
    assert endpoint.requests == []
    assert embedder.embed(["", " "]).shape == (2, 3)
    assert not embedder.embed([""]).any()
    assert len(endpoint.requests) == 1


def test_hostile_text_is_sent_as_text(endpoint: Endpoint) -> None:
    """NUL, emoji, lone surrogates and a megabyte arrive and have vectors."""
    vectors = load(endpoint.url)[0].embed(["a\x00b", "🚀", "half \ud83d", "x" * 2**20])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_endpoint_is_asked_again(endpoint: Endpoint, status: int) -> None:
    """429 and 5xx are asked again after growing pauses, and a later success is a success."""
    endpoint.answer = lambda body, n: (status, "busy") if n < 3 else (200, right(body))
    embedder, pauses = load(endpoint.url)
    assert embedder.embed(["a"]).shape == (1, 3)
    assert pauses == sorted(pauses)
    assert len(pauses) == 2


def test_an_endpoint_that_stays_busy_is_a_retryable_error(endpoint: Endpoint) -> None:
    """After three tries the error is retryable and shows status and answer, with the key blotted out."""
    endpoint.answer = lambda *_: (429, f"slow down, {KEY}")
    embedder, pauses = load(endpoint.url)
    error = failure(embedder)
    assert error.retryable
    assert 'HTTP 429: "slow down, ***"' in str(error)
    assert len(endpoint.requests) == 3
    assert len(pauses) == 2


def test_an_answer_writes_no_line_of_its_own(endpoint: Endpoint) -> None:
    """What an endpoint answers is one line in a message, escaped and short, and no part of the key is left at its end."""
    hostile = "no\n2026-01-01 ERROR all is lost\x1b[31m\u202e" + "x" * (200 - 45) + KEY
    for status, answer in ((400, hostile), (200, hostile)):
        endpoint.answer = lambda *_, told=(status, answer): told
        said = str(failure(load(endpoint.url)[0]))
        assert said.isprintable()
        assert "\\x0a2026" in said
        assert KEY[:6] not in said
        assert len(said) < 500


@pytest.mark.parametrize("status", [301, 400, 401, 404])
def test_a_refusal_is_not_asked_again(endpoint: Endpoint, status: int) -> None:
    """A status that asking again cannot change is an error at once, not retryable."""
    endpoint.answer = lambda *_: (status, f"no: {KEY}")
    error = failure(load(endpoint.url)[0])
    assert not error.retryable
    assert f"HTTP {status}" in str(error)
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<html>", "not JSON"),
        ("[1, 2]", "the answer is not"),
        ('{"error": "x"}', "the answer is not"),
        ('{"data": [{"index": 0, "embedding": [1, 0]}]}', "2 texts were sent, 1 vectors came back"),
        (
            '{"data": [{"embedding": [1, 0]}, {"embedding": [1, 0]}, {"embedding": [1, 0]}]}',
            "3 vectors came back",
        ),
        ('{"data": []}', "0 vectors came back"),
        ('{"data": [{"embedding": [1, 0]}, {"embedding": [1, 0, 0]}]}', "of one dimension"),
        ('{"data": [{"embedding": [1, 0]}, {"embedding": [NaN, 0]}]}', "not finite"),
        ('{"data": [{"embedding": [1, 0]}, {"embedding": [1e999, 0]}]}', "not finite"),
        ('{"data": [{"embedding": [1, 0]}, {"embedding": [1e200, 1e200]}]}', "not finite"),
        ('{"data": [{"embedding": [1, 0]}, {"embedding": [0, 0]}]}', "length 0"),
        ('{"data": [{"embedding": "AAAA"}, {"embedding": "AAAA"}]}', "the answer is not"),
        ('{"data": [{"embedding": 1}, {"embedding": 2}]}', "the answer is not"),
        ('{"data": [{"embedding": []}, {"embedding": []}]}', "the answer is not"),
    ],
)
def test_a_wrong_answer_is_an_error(endpoint: Endpoint, text: str, words: str) -> None:
    """An answer of the wrong form, count, dimension or numbers is a SeamError that says which, never a vector."""
    endpoint.answer = lambda *_: (200, text)
    error = failure(load(endpoint.url)[0])
    assert words in str(error)
    assert not error.retryable


def test_a_changed_dimension_is_an_error(endpoint: Endpoint) -> None:
    """An endpoint whose dimension changes has changed its model: that is an error."""
    embedder, _ = load(endpoint.url)
    embedder.embed(["a"])
    endpoint.answer = lambda *_: (200, '{"data": [{"embedding": [1, 0]}]}')
    assert "vectors of 2 numbers after vectors of 3" in str(failure(embedder, ["b"]))


def test_an_absent_endpoint_is_a_retryable_error() -> None:
    """A refused connection is tried three times, then a retryable error that names the place."""
    embedder, pauses = load("http://127.0.0.1:9/v1")
    error = failure(embedder)
    assert error.retryable
    assert "http://127.0.0.1:9/v1/embeddings" in str(error)
    assert len(pauses) == 2


def test_a_password_in_the_url_is_not_shown() -> None:
    """User, password and query of the URL never reach a message."""
    error = failure(load("http://user:hunter2@127.0.0.1:9/v1?token=hunter3")[0])
    assert "hunter" not in str(error)


def test_a_password_in_the_url_is_in_no_log(endpoint: Endpoint) -> None:
    """With the log of the service on, a request to an address with user, password and query writes none of them."""
    code = (
        "import logging, sys; from andon.server import start_log; from andon.scores import remote; "
        "from andon.settings import Settings; start_log(); logging.getLogger('andon').info('it is on'); "
        "remote.load(Settings(embedder_url=sys.argv[1], embedder_model='m', embedder_key='sk-hunter4')).embed(['a'])"
    )
    address = endpoint.url.replace("http://", "http://me:hunter2@") + "?token=hunter3"
    done = subprocess.run(
        [sys.executable, "-c", code, address], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert len(endpoint.requests) == 1
    assert "it is on" in done.stderr
    assert "hunter" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("settings", "variable"),
    [
        ({"embedder_url": ""}, "ANDON_EMBEDDER_URL"),
        ({"embedder_model": ""}, "ANDON_EMBEDDER_MODEL"),
        ({"embedder_url": "localhost:8080"}, "ANDON_EMBEDDER_URL"),
        ({"embedder_url": "file:///etc/passwd"}, "ANDON_EMBEDDER_URL"),
        ({"embedder_url": "http://[::1"}, "ANDON_EMBEDDER_URL"),
        ({"embedder_url": "http://host:port/"}, "ANDON_EMBEDDER_URL"),
        ({"embedder_key": f"{KEY}\n"}, "ANDON_EMBEDDER_KEY"),
        ({"embedder_key": f"{KEY}é"}, "ANDON_EMBEDDER_KEY"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, str], variable: str) -> None:
    """A missing or unusable setting is a ConfigError that names the variable, and never the key."""
    right_settings = {"embedder_url": "http://127.0.0.1:9", "embedder_model": "m", "embedder_key": KEY}
    with pytest.raises(ConfigError, match=variable) as caught:
        remote.load(Settings(**{**right_settings, **settings}))  # type: ignore[arg-type]
    assert KEY not in str(caught.value)
