"""Adapters of other libraries. Each part runs where its library is installed, in an environment of its own if need be."""

import asyncio
import importlib.util
import json
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from andon.errors import ConfigError
from andon.evals import Output, score_case, scorer_versions
from andon.evals.scorers import scorers_for
from andon.scores import SCORERS
from andon.settings import Settings
from andon.traffic import ToolCall

pytestmark = [pytest.mark.filterwarnings("ignore")]  # of other people's libraries

PACKAGES = {"inspect": "inspect_ai", "ragas": "ragas", "deepeval": "deepeval"}


def needs(library):
    """Skip, and say so, where a library is absent."""
    absent = importlib.util.find_spec(PACKAGES[library]) is None
    return pytest.mark.skipif(absent, reason=f"{library} is not installed: pip install 'andon[{library}]'")


@pytest.fixture
def result(words):
    """Score one answer by the measure that the case asks for."""

    def score(case, answer, settings=None, **more):
        scorers = scorers_for([case], SCORERS, settings or Settings())
        return score_case(case, Output(answer=answer, **more), scorers, words)

    return score


@pytest.fixture
def endpoint():
    """A chat endpoint that answers every request with what the test says, as a text or by a function of the request."""
    said = {"say": "GRADE: C", "sent": []}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            request = json.loads(self.rfile.read(int(self.headers["content-length"])))
            said["sent"].append(request)
            say = said["say"](request) if callable(said["say"]) else said["say"]
            message = {"role": "assistant", "content": say} if isinstance(say, str) else {"role": "assistant", **say}
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            row = {
                "id": "x",
                "object": "chat.completion",
                "created": 0,
                "model": "m",
                "choices": [choice],
                "usage": usage,
            }
            content = json.dumps(row).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    said["settings"] = Settings(judge_url=f"http://127.0.0.1:{server.server_port}/v1", judge_model="m", judge_key="k")
    yield said
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("library", PACKAGES)
def test_a_library_that_is_absent_is_named_with_its_extra(case, library, monkeypatch):
    """A case that asks for a library says how to install it, before anything is asked."""
    for name in [PACKAGES[library], *(n for n in sys.modules if n.startswith(f"{PACKAGES[library]}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=re.escape(f"pip install 'andon[{library}]'")):
        scorers_for([case(metric=f"{library}:x")], SCORERS, Settings())


@needs("inspect")
def test_scorers_of_inspect_give_their_verdict(case, result, words):
    """match, includes and pattern say C or I; arguments and other right answers are passed on."""
    match = case("Capital?", "Paris", metric="inspect:match", answer=None)
    assert [result(match, a).outcome for a in ("It is Paris", "Paris is it", "Lyon")] == ["pass", "fail", "fail"]
    anywhere = case("Capital?", "Paris", metric="inspect:match", answer=None, expect={"arguments": {"location": "any"}})
    assert result(anywhere, "Paris is it").outcome == "pass"
    includes = case("Capital?", "Paris", metric="inspect:includes", answer=None, expect={"any_of": ["Lutetia"]})
    assert [result(includes, a).outcome for a in ("Now PARIS!", "Lutetia, once", "Lyon")] == ["pass", "pass", "fail"]
    pattern = case("6*7?", "42", metric="inspect:pattern", answer=None, expect={"arguments": {"pattern": r"= (\d+)"}})
    assert [result(pattern, a).outcome for a in ("6*7 = 42", "6*7 = 43")] == ["pass", "fail"]
    assert result(case("6*7?", "42", metric="inspect:pattern"), "42").outcome == "error"
    f1 = case("q", "red green blue white", metric="inspect:f1", answer=None, cut=0.5)
    assert result(f1, "green blue white black").value == pytest.approx(0.75)
    assert scorer_versions([match], scorers_for([match], SCORERS, Settings()), words).startswith("inspect:match@0.")


@needs("inspect")
def test_a_graded_scorer_of_inspect_asks_the_judge(case, result, endpoint):
    """model_graded_qa asks the judge's endpoint, and its grade is the verdict."""
    c = case("Capital?", "Paris", metric="inspect:model_graded_qa", answer=None)
    assert result(c, "Paris", endpoint["settings"]).outcome == "pass"
    endpoint["say"] = "GRADE: I"
    assert result(c, "Lyon", endpoint["settings"]).outcome == "fail"
    assert endpoint["sent"][0]["model"] == "m"
    with pytest.raises(ConfigError, match="ANDON_JUDGE_URL"):
        result(c, "Paris")


@needs("inspect")
def test_a_scorer_can_be_asked_within_a_running_loop(case, result):
    """Notebooks and async tests run a loop already."""

    async def inside():
        return result(case("Capital?", "Paris", metric="inspect:includes", answer=None), "Paris")

    assert asyncio.run(inside()).outcome == "pass"


@needs("ragas")
def test_metrics_of_ragas_are_numbers_for_the_cut(case, result):
    """Metrics without a model give their number, by any spelling of their name; a case without a cut is an error."""
    for name, answer, value in (
        ("exact_match", "Paris", 1.0),
        ("ExactMatch", "paris", 0.0),
        ("string_presence", "It is Paris", 1.0),
        ("rouge_score", "Paris", 1.0),
        ("non_llm_string_similarity", "Pariz", 0.8),
    ):
        c = case("Capital?", "Paris", metric=f"ragas:{name}", answer=None, cut=0.5)
        found = result(c, answer)
        assert found.value == pytest.approx(value), name
        assert found.outcome == ("pass" if value >= 0.5 else "fail")
    assert result(case("Capital?", "Paris", metric="ragas:exact_match", answer=None), "Paris").outcome == "error"
    close = case("q", "a b c d", metric="ragas:semantic_similarity", answer=None, cut=0.7)
    assert result(close, "a b c x").value == pytest.approx(0.75, abs=1e-5)
    with pytest.raises(ConfigError, match="it has"):
        result(case(metric="ragas:unheard"), "x")


@needs("ragas")
def test_a_metric_of_ragas_with_a_model_asks_the_judge(case, result, endpoint):
    """Faithfulness sends its two questions to the judge's endpoint; without contexts it does not apply."""

    def say(request):
        text = json.dumps(request)
        row = (
            {"statements": [{"statement": "Paris is the capital.", "reason": "said", "verdict": 1}]}
            if "verdict" in text
            else {"statements": ["Paris is the capital."]}
        )
        if request.get("tools"):
            function = {"name": request["tools"][0]["function"]["name"], "arguments": json.dumps(row)}
            return {"content": None, "tool_calls": [{"id": "1", "type": "function", "function": function}]}
        return json.dumps(row)

    endpoint["say"] = say
    c = case(
        "Capital?", "Paris", metric="ragas:faithfulness", answer=None, cut=0.5, contexts=("Paris is the capital.",)
    )
    found = result(c, "Paris is the capital.", endpoint["settings"])
    assert (found.outcome, found.value) == ("pass", 1.0), found.detail
    bare = case("Capital?", "Paris", metric="ragas:faithfulness", answer=None, cut=0.5)
    assert "does not apply" in result(bare, "Paris.", endpoint["settings"]).detail


@needs("deepeval")
def test_metrics_of_deepeval_pass_by_their_threshold(case, result):
    """Exact match, pattern match and tool correctness need no model."""
    exact = case("Capital?", "Paris", metric="deepeval:ExactMatchMetric", answer=None)
    assert [result(exact, a).outcome for a in ("Paris", "paris")] == ["pass", "fail"]
    pattern = case(
        "When?", "x", metric="deepeval:pattern_match", answer=None, expect={"arguments": {"pattern": r"\d{4}"}}
    )
    assert [result(pattern, a).outcome for a in ("1789", "in 1789")] == ["pass", "fail"]
    assert result(case("When?", "x", metric="deepeval:pattern_match"), "1789").outcome == "error"


@needs("deepeval")
def test_tools_of_deepeval_are_those_of_the_case(case, result, endpoint):
    """The expected tools of the case and the calls of the output are compared, also without an answer."""
    due = {"tools": [{"name": "weather", "arguments": {"city": "Bern"}}]}
    c = case("Weather?", "x", metric="deepeval:ToolCorrectness", answer=None, expect=due)
    for name, outcome in (("weather", "pass"), ("news", "fail")):
        calls = (ToolCall(name=name, arguments='{"city": "Bern"}'),)
        assert result(c, None, endpoint["settings"], tool_calls=calls).outcome == outcome


@needs("deepeval")
def test_a_metric_of_deepeval_with_a_model_asks_the_judge(case, result, endpoint):
    """G-Eval's steps and score come from the judge's endpoint."""
    endpoint["say"] = lambda _: json.dumps({"score": 9, "reason": "right", "steps": ["compare"]})
    arguments = {"name": "right", "criteria": "Same place.", "evaluation_params": ["input", "actual_output"]}
    c = case("Capital?", "Paris", metric="deepeval:GEval", answer=None, expect={"arguments": arguments})
    found = result(c, "Paris", endpoint["settings"])
    assert (found.outcome, found.value) == ("pass", pytest.approx(0.9)), found.detail
