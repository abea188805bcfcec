"""Target files: any JSON endpoint by a template, over a real socket."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.errors import InputError, SeamError
from andon.evals import Output, make_target
from andon.evals.pace import BusyError
from andon.evals.targets.reading import MISSING, find, steps_of
from andon.evals.targets.templates import body_of, fill, fill_url, template_of
from andon.golden import Case
from andon.testing import check_target
from andon.traffic import ToolCall

WHOLE = """
name = "support bot"
version = "2026-11-20"
url = "URL/v1/ask"
answer = "data.reply[0].text"
contexts = "data.sources[*].body"
tool_calls = "data.calls"
input_tokens = "data.usage.in"
output_tokens = "data.usage.out"
model = "large-2"
price_per_million_in = 2.0
price_per_million_out = 10.0
[headers]
authorization = "Bearer env:BOT_KEY"
[body]
ask = "{question}"
prompt = "Use {contexts} for {id}: {question}"
passages = "{contexts}"
lang = "{expect.language}"
fixed = {limit = 3, on = true, braces = "{json} {}"}
"""
SAID = {
    "data": {
        "reply": [{"text": "8611 m"}],
        "sources": [{"body": "K2 is high"}, {"title": "nothing"}, {"body": "8611"}],
        "calls": [{"function": {"name": "look", "arguments": '{"q": 1}'}}, {"name": "add", "input": {"a": 1}}],
        "usage": {"in": 1000, "out": 100},
    }
}


@pytest.fixture
def target_file(tmp_path, server):
    """Write a target file for the server; gives its path."""

    def write(text: str, name: str = "target.toml") -> str:
        path = tmp_path / name
        path.write_text(text.replace("URL", server.url))
        return str(path)

    return write


def row(**more):
    """A target file's content that is allowed, with changes."""
    return {"url": "https://h.example/ask", **more}


def test_a_target_file_says_how_to_ask_and_where_things_stand(server, target_file, case, monkeypatch):
    """Body, headers and secrets as written; answer, passages, tool calls, tokens and the cost as found."""
    monkeypatch.setenv("BOT_KEY", "s3cret-key")
    server.reply = lambda *_: (200, json.dumps(SAID).encode())
    c = case(contexts=("one", "two"), expect={"language": ["en", 5]})
    target = make_target(target_file(WHOLE))
    assert check_target(target, c) == Output(
        answer="8611 m",
        contexts=("K2 is high", "8611"),
        tool_calls=(ToolCall(name="look", arguments='{"q": 1}'), ToolCall(name="add", arguments='{"a": 1}')),
        input_tokens=1000,
        output_tokens=100,
        cost_usd=pytest.approx(0.003),
    )
    path, headers, body = server.seen[0]
    assert (path, headers["authorization"]) == ("/v1/ask", "Bearer s3cret-key")
    assert body == {
        "ask": c.question,
        "prompt": f"Use one\n\ntwo for {c.id}: {c.question}",
        "passages": ["one", "two"],
        "lang": ["en", 5],
        "fixed": {"limit": 3, "on": True, "braces": "{json} {}"},
    }
    assert (target.name, target.version, target.model) == ("support bot", "2026-11-20", "large-2")
    assert "s3cret" not in repr(target) + target.settings


def test_a_target_file_may_be_json_and_may_be_named_with_file(server, target_file, case):
    """`file:` names TOML or JSON; without `answer` the plain shape is read."""
    server.reply = lambda *_: (200, b'{"answer": "a", "cost_usd": 0.25}')
    text = '{"url": "URL/x", "body": ["{question}"]}'
    assert make_target("file:" + target_file(text, "t.json")).ask(case("q")) == Output(answer="a", cost_usd=0.25)
    assert server.seen[0][2] == ["q"]


def test_a_get_puts_the_question_into_the_url(server, target_file, case):
    """What is put into a URL is percent-encoded: a question can neither add a parameter nor another path."""
    server.reply = lambda *_: (200, b'{"hits": [{"t": 8611}]}')
    target = make_target(target_file('url = "URL/find?q={question}&n=1"\nmethod = "GET"\nanswer = "hits[0].t"'))
    assert target.ask(case("a&b=/c?d #é")).answer == "8611"
    assert server.seen[0][0] == "/find?q=a%26b%3D%2Fc%3Fd%20%23%C3%A9&n=1"
    assert target.name == f"{server.url}/find"


def test_a_chat_endpoint_takes_system_temperature_and_usage(server, target_file, case):
    """An OpenAI-compatible endpoint needs no body: system prompt, temperature, tool calls, refusal and usage are known."""
    said = {
        "choices": [{"message": {"content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5},
    }
    server.reply = lambda *_: (200, json.dumps(said).encode())
    text = 'url = "URL/chat/completions"\nmodel = "m"\nsystem = "By: {contexts}"\ntemperature = 0\n'
    target = make_target(target_file(text + "price_per_million_in = 1\nprice_per_million_out = 2\n"))
    got = target.ask(case("q", contexts=("c",)))
    assert got == Output(
        answer=None,
        tool_calls=(ToolCall(name="f", arguments="{}"),),
        input_tokens=10,
        output_tokens=5,
        cost_usd=pytest.approx(2e-5),
    )
    messages = [{"role": "system", "content": "By: c"}, {"role": "user", "content": "q"}]
    assert server.seen[0][2] == {"model": "m", "messages": messages, "temperature": 0}


def test_no_secret_is_shown(server, target_file, case, monkeypatch):
    """An endpoint that echoes the key, in an error or as an answer's shape, does not bring it into a message."""
    monkeypatch.setenv("BOT_KEY", "s3cret-key/+")
    text = 'url = "URL/ask?key=env:BOT_KEY"\n[headers]\nx-key = "env:BOT_KEY"\n[body]\nq = "{question}"'
    target = make_target(target_file(text))
    for reply in (
        (500, b"bad key s3cret-key/+ s3cret-key%2F%2B"),
        (200, b'{"s3cret-key/+": 1}'),
        (200, b"s3cret-key/+"),
    ):
        server.reply = lambda *_, reply=reply: reply
        with pytest.raises(SeamError) as caught:
            target.ask(case())
        assert "s3cret" not in str(caught.value)
    assert server.seen[0][0] == "/ask?key=s3cret-key%2F%2B"
    monkeypatch.delenv("BOT_KEY")
    with pytest.raises(InputError, match="BOT_KEY is not set"):
        make_target(target_file(text))


def test_no_piece_of_a_secret_is_shown(server, target_file, case, monkeypatch):
    """What a message cuts off is cleaned before it is cut: no beginning of a key stands at its end."""
    key = "sk-live-" + "A1b2" * 10
    monkeypatch.setenv("BOT_KEY", key)
    target = make_target(target_file('url = "URL/"\nanswer = "reply"\n[headers]\nx-key = "Bearer env:BOT_KEY"\n'))
    for size in range(140, 200, 5):
        for content in (b"p" * size + key.encode(), json.dumps({"pad": "p" * size, "k": key}).encode()):
            for status in (200, 500):
                server.reply = lambda *_, c=content, s=status: (s, c)
                with pytest.raises(SeamError) as caught:
                    target.ask(case())
                assert "sk-live" not in str(caught.value)


def test_no_answer_brings_a_secret_back(server, target_file, case, monkeypatch):
    """An endpoint that says its key in an answer, a passage or a tool call does not bring it on screen or into a file."""
    monkeypatch.setenv("BOT_KEY", 's3cret-"key/+')
    said = {"answer": 'is s3cret-"key/+', "contexts": ['s3cret-"key/+'], "tool_calls": [{"name": "f", "arguments": {"k": 's3cret-"key/+'}}]}  # fmt: skip
    server.reply = lambda *_: (200, json.dumps(said).encode())
    got = make_target(target_file('url = "URL/"\n[body]\nq = "{question}"\nkey = "env:BOT_KEY"')).ask(case())
    assert (got.answer, got.contexts) == ("is ***", ("***",))
    assert "s3cret" not in repr(got)


def test_a_header_that_is_no_secret_changes_no_answer(server, target_file, case):
    """A plain value of a header may stand in an answer."""
    server.reply = lambda *_: (200, b'{"answer": "in german"}')
    target = make_target(target_file('url = "URL/"\n[headers]\naccept-language = "german"\n'))
    assert target.ask(case()).answer == "in german"


def test_a_secret_may_stand_in_the_body(server, target_file, case, monkeypatch):
    """``env:NAME`` in body and system is replaced as in a header; a question that holds one is sent as it is."""
    monkeypatch.setenv("BOT_KEY", "s3cret-key")
    server.reply = lambda *_: (200, b'{"answer": "a"}')
    target = make_target(target_file('url = "URL/"\n[body]\nq = "{question}"\nkeys = ["env:BOT_KEY"]'))
    target.ask(case("env:BOT_KEY"))
    assert server.seen[0][2] == {"q": "env:BOT_KEY", "keys": ["s3cret-key"]}
    assert "s3cret" not in target.settings + repr(target)


def test_what_an_endpoint_asks_to_wait_is_heard(server, target_file, case):
    """Retry-After in seconds, or as a time against the response's own Date, comes with the error; nonsense is no wait."""
    target = make_target(target_file('url = "URL/a"\n'))
    for status, headers, wait_s in (
        (429, {"retry-after": "7"}, 7.0),
        (503, {"retry-after": "99999"}, 120.0),
        (429, {"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT"}, 0.0),
    ):
        server.reply = lambda *_, s=status, h=headers: (s, b"", h)
        with pytest.raises(BusyError) as caught:
            target.ask(case())
        assert (caught.value.wait_s, caught.value.retryable) == (wait_s, True)
    server.reply = lambda *_: (503, b"", {"retry-after": "soon"})
    with pytest.raises(SeamError) as plain:
        target.ask(case())
    assert plain.value.retryable
    assert not isinstance(plain.value, BusyError)


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ({}, "nothing at"),
        ({"a": {}}, "gave answer an object"),
        ({"a": True}, "gave answer"),
        ({"a": "x", "c": 5}, "contexts 5"),
        ({"a": "x", "t": [5]}, "tool call 5"),
        ({"a": "x", "$": "much"}, 'cost_usd "much"'),
        ({"a": "x", "$": -1}, "cost_usd -1"),
    ],
)
def test_what_stands_elsewhere_or_has_another_shape_is_an_error(server, target_file, case, said, word):
    """An answer that is not where the file says, or a part of another shape, is an execution error and names it."""
    server.reply = lambda *_: (200, json.dumps(said).encode())
    target = make_target(target_file('url = "URL/"\nanswer = "a"\ncontexts = "c"\ntool_calls = "t"\ncost_usd = "$"\n'))
    with pytest.raises(SeamError) as caught:
        target.ask(case())
    assert word in str(caught.value)


def test_an_answer_that_is_null_is_a_missing_one(server, target_file, case):
    """Null where the answer stands is no answer; optional parts that are not there are absent; no passages where they should stand are none."""
    server.reply = lambda *_: (200, b'{"a": null}')
    target = make_target(target_file('url = "URL/"\nanswer = "a"\ncontexts = "c[*].t"\ncost_usd = "x.y"\n'))
    assert target.ask(case()) == Output(answer=None, contexts=())


def test_a_case_without_what_the_body_needs_is_an_error(server, target_file, case):
    """A placeholder for an expectation that a case has not is that case's execution error; nothing is sent."""
    target = make_target(target_file('url = "URL/"\n[body]\nq = "{question}"\nl = "{expect.language}"'))
    with pytest.raises(SeamError, match=r"no expect\.language"):
        target.ask(case())
    assert server.seen == []


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ({}, "no `url`"),
        (row(url="ftp://x/{question}"), "http"),
        (row(url="http://[::1"), "http"),
        (row(adress=1), "adress"),
        (row(body={"q": "{qustion}"}), "nowhere"),
        (row(method="GET"), "nowhere"),
        (row(method="DELETE"), "DELETE"),
        (row(answer="a..b["), "no path"),
        (row(answer=""), "answer"),
        (row(headers={"x": 5}), "headers"),
        (row(temperature=0.5), "temperature"),
        (row(temperature="hot"), "temperature"),
        (row(body={"q": "{question}"}, system="s"), "write them into the body"),
        (row(price_per_million_in=1), "give both"),
        (row(timeout_s=0), "timeout_s"),
        (row(body={"q": "{question}", "x": float("nan")}), "no JSON"),
    ],
)
def test_a_target_file_that_cannot_work_is_refused(content, word):
    """A key that is unknown, of another type, or a question that goes nowhere is an input error that names it."""
    with pytest.raises(InputError) as caught:
        template_of(content, "target.toml")
    assert word in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"), [("t.toml", "url = "), ("t.json", "[1]"), ("t.json", "{"), ("t.toml", "url = 5"), ("none", None)]
)
def test_a_target_file_that_cannot_be_read_is_refused(tmp_path, name, text):
    """No file, no TOML, no JSON, no object: an input error with the name of the file."""
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=name):
        make_target(f"file:{path}")


@given(st.text(), st.lists(st.text(), max_size=3))
def test_no_question_changes_the_shape_of_a_body(question, contexts):
    """Whatever a question or passage holds, the body has the same keys, and it stands in its place as it is."""
    body = {"a": "{question}", "b": ["<{question}>", {"c": "{contexts}"}], "d": "{id}"}
    template = template_of(row(body=body, url="https://h.example/{id}?q={question}"), "t")
    c = Case(
        question=question, answer=None, contexts=tuple(contexts), ground_truth="", source="", failure_reason="",
        added_date="", id="{question}",
    )  # fmt: skip
    filled = json.loads(json.dumps(fill(body_of(template), c)))
    assert filled == {"a": question, "b": [f"<{question}>", {"c": contexts}], "d": "{question}"}
    url = fill_url(template.url, c)
    assert url.startswith("https://h.example/%7Bquestion%7D?q=")
    assert url.isascii()
    assert url.count("/") == 3
    assert url.count("?") == 1
    assert "&" not in url


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a", 1),
        ("b.c[1]", 3),
        ("b.c[-1]", 3),
        ("b.c[2]", MISSING),
        ("b[0]", MISSING),
        ("a.b", MISSING),
        ("d[*].e", [5]),
        ("d[*]", [{"e": 5}, {}]),
        ("[0]", MISSING),
        ("b.c[*].x", []),
        ("a[*]", MISSING),
    ],
)
def test_a_path_leads_to_its_place_or_nowhere(path, found):
    """Names, positions from either end, and every item; what is not there is missing, never an exception."""
    assert find({"a": 1, "b": {"c": [2, 3]}, "d": [{"e": 5}, {}]}, steps_of(path)) == found
