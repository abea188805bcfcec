import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from andon.evals import Output, score_case
from andon.evals.scorers import scorers_for
from andon.golden import Case
from andon.golden.cases import case_id
from andon.scores import SCORERS
from andon.settings import Settings

settings.register_profile(
    "andon", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # a busy machine is no failure
settings.load_profile("andon")


class Words:
    """An embedder double: a bag of words."""

    name = "words 1"

    def __init__(self) -> None:
        self.places: dict[str, int] = {}

    def embed(self, texts):
        rows = np.zeros((len(texts), 500), np.float32)
        for i, text in enumerate(texts):
            for word in text.casefold().split():
                rows[i, self.places.setdefault(word, len(self.places)) % 500] += 1
            rows[i] /= np.linalg.norm(rows[i]) or 1
        return rows


class Answers:
    """A target double: what it was given to say, or to raise."""

    name = "double"

    def __init__(self, said) -> None:
        self.said = said

    def ask(self, case):
        said = self.said[case.question] if isinstance(self.said, dict) else self.said
        if isinstance(said, BaseException):
            raise said
        return said if isinstance(said, Output) else Output(answer=said)


@pytest.fixture
def words() -> Words:
    """An embedder double, new for each test."""
    return Words()


@pytest.fixture
def answers() -> type[Answers]:
    """The class of target doubles."""
    return Answers


@pytest.fixture
def case() -> Callable[..., Case]:
    """Make a case; its id is that of its content."""

    def make(question: str = "How tall is K2?", truth: str = "8611 m", **more) -> Case:
        fields = {"answer": "8848 m", "contexts": (), "source": "", "failure_reason": "", "added_date": "2026-11-20"}
        return Case(
            **{"id": case_id("default", question, truth), **fields, **more}, question=question, ground_truth=truth
        )

    return make


@pytest.fixture
def result(words):
    """Score one answer to a case by the measures that are installed."""

    def score(case, answer, contexts=None, tool_calls=()):
        output = Output(answer=answer, contexts=contexts, tool_calls=tool_calls)
        return score_case(case, output, scorers_for([case], SCORERS, Settings()), words)

    return score


@pytest.fixture
def server(monkeypatch):
    """A real endpoint on loopback: `reply(path, body) -> (status, bytes[, headers])` is what it says; `seen` what it was sent."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self):
            size = int(self.headers.get("content-length", 0))
            body = json.loads(self.rfile.read(size)) if size else None
            self.server.seen.append((self.path, dict(self.headers), body))
            status, content, *more = self.server.reply(self.path, body)
            self.send_response(status)
            self.send_header("location", "http://127.0.0.1:9/")
            self.send_header("content-length", str(len(content)))
            for name, value in (more[0] if more else {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST  # noqa: N815

        def log_message(self, *_):
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    httpd.seen = []
    httpd.url = f"http://127.0.0.1:{httpd.server_port}"
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield httpd
    httpd.shutdown()
    thread.join()
    httpd.server_close()
