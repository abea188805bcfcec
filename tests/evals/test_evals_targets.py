import contextlib
import importlib
import json
import shlex
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from andon.errors import InputError, SeamError
from andon.evals import FORMS, Output, make_target
from andon.evals.disproof import ask_of
from andon.evals.run import run_evals
from andon.evals.targets import file_of
from andon.evals.targets.reading import output_of
from andon.scores import SCORERS
from andon.traffic import Context, Interaction, ToolCall

SCORERS_BY_NAME = {s.name: s for s in SCORERS}


def test_an_endpoint_is_asked_by_json(server, case):
    """The question goes out, answer and contexts come back, headers go with it; credentials are not in the name."""
    server.reply = lambda _, b: (
        200,
        json.dumps({"answer": b["question"] + "é", "contexts": ["c", {"text": "d"}]}).encode(),
    )
    url = server.url.replace("//", "//user:secret@") + "/ask?key=secret"
    target = make_target(url, headers={"x-key": "k"})
    assert target.ask(case()) == Output(answer="How tall is K2?é", contexts=("c", "d"))
    path, headers, body = server.seen[0]
    assert (path, headers["x-key"], body) == ("/ask?key=secret", "k", {"question": "How tall is K2?"})
    assert target.name == server.url + "/ask"
    assert "secret" not in repr(target)


def test_an_openai_compatible_endpoint_is_asked_by_messages(server, case):
    """A URL that ends with /chat/completions speaks messages; the fragment names the model and is not sent."""
    server.reply = lambda *_: (200, b'{"choices": [{"message": {"content": "8611 m"}}]}')
    target = make_target(server.url + "/v1/chat/completions#small-1")
    assert target.ask(case()).answer == "8611 m"
    path, _, body = server.seen[0]
    assert path == "/v1/chat/completions"
    assert body == {"model": "small-1", "messages": [{"role": "user", "content": "How tall is K2?"}]}
    server.reply = lambda *_: (200, b'{"choices": [{"message": {"content": null, "refusal": "I cannot"}}]}')
    assert target.ask(case()).answer == "I cannot"
    server.reply = lambda *_: (200, b'{"choices": [{"message": {"content": null}}]}')
    assert target.ask(case()).answer is None
    server.reply = lambda *_: (200, b'{"choices": []}')
    with pytest.raises(SeamError, match="message"):
        target.ask(case())


@pytest.mark.parametrize(
    ("status", "content", "word", "retryable"),
    [
        (500, b"oh \x1b[31mno", "HTTP 500", True),
        (429, b"slow down", "HTTP 429", True),
        (404, b"", "HTTP 404", False),
        (302, b"", "HTTP 302", False),
        (200, b"<html>", "no JSON", False),
        (200, b"\xff\xfe\xfd", "no JSON", False),
        (200, b"[" * 100_000, "no JSON", False),
        (200, b'{"reply": "x"}', "without `answer`", False),
        (200, b'{"answer": 5}', "answer 5", False),
        (200, b'{"answer": "a", "contexts": 5}', "contexts 5", False),
        (200, b'{"answer": "a", "contexts": [5]}', "contexts", False),
        (200, b"[1]", "a list of 1", False),
    ],
)
def test_what_is_no_answer_is_a_seam_error(server, case, status, content, word, retryable):
    """A status, a shape or bytes that are no answer raise, say what came, and hold nothing that a terminal obeys."""
    server.reply = lambda *_: (status, content)
    with pytest.raises(SeamError) as caught:
        make_target(server.url).ask(case())
    assert word in str(caught.value)
    assert str(caught.value).isprintable()
    assert caught.value.retryable == retryable


def test_an_endpoint_that_is_slow_or_not_there_is_a_seam_error(server, case):
    """Time-out and refused connection are retryable errors of the world."""
    waiting = threading.Event()
    server.reply = lambda *_: (waiting.wait(5), (200, b"{}"))[1]
    with pytest.raises(SeamError, match=r"no answer within 0\.2 s") as caught:
        make_target(server.url, timeout_s=0.2).ask(case())
    waiting.set()
    assert caught.value.retryable
    with pytest.raises(SeamError, match="cannot be asked") as caught:
        make_target("http://127.0.0.1:9/").ask(case())
    assert caught.value.retryable


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nx-long: ", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_an_endpoint_that_drips_is_left_in_time(case, head):
    """The time is for the whole answer: one that sends a byte now and then, head or body, is an error like one that is silent."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip():
            peer, _ = listening.accept()
            with peer, contextlib.suppress(OSError):
                peer.sendall(head)
                while not stop.wait(0.05):
                    peer.sendall(b" ")

        thread = threading.Thread(target=drip)
        thread.start()
        begun = time.monotonic()
        with pytest.raises(SeamError, match=r"no answer within 0\.5 s") as caught:
            make_target(f"http://127.0.0.1:{listening.getsockname()[1]}/", timeout_s=0.5).ask(case())
        took_s = time.monotonic() - begun
        stop.set()
        thread.join()
    assert caught.value.retryable
    assert took_s < 3


def test_an_answer_without_end_is_not_read(server, case, tmp_path):
    """More than 10 MB are no answer, of an endpoint or a program; the memory stays free."""
    server.reply = lambda *_: (200, b'{"answer": "' + b"x" * 11_000_000 + b'"}')
    with pytest.raises(SeamError, match="more than 10 MB"):
        make_target(server.url).ask(case())
    begun = time.monotonic()
    with pytest.raises(SeamError, match="more than 10 MB"):
        make_target(script(tmp_path, "while True: sys.stdout.write('x' * 1_000_000)")).ask(case())
    assert time.monotonic() - begun < 20


def test_a_header_that_cannot_be_sent_is_refused_without_its_value():
    """A key with a line feed is an input error, and the key is not shown."""
    with pytest.raises(InputError, match="authorization") as caught:
        make_target("http://localhost/", headers={"authorization": "Bearer s3cret\n"})
    assert "s3cret" not in str(caught.value)


APP = """
import sys
from andon.evals import Output
def text(question): return question.upper()
def rows(question): return {"answer": "a", "contexts": ["c"]}
def none(question): return None
def warm(question, temperature=0.7): return f"at {temperature}"
def whole(question): return Output(answer="w", latency_s=1.5)
def seen(question, temperature=0.7, *, case): return f"{case.metric} {temperature}"
async def later(question): return "later"
def odd(question): return 5
def bad(question): return Output(answer="a", cost_usd=float("nan"))
class Bot:
    @staticmethod
    def reply(question): return "static"
number = 5
"""


@pytest.fixture
def app(tmp_path, monkeypatch):
    """A module with functions that could be targets, in the working directory."""
    (tmp_path / "my_app_under_test.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield "python:my_app_under_test"
    sys.modules.pop("my_app_under_test", None)


def test_a_python_function_is_a_target(app, case):
    """Text, None, a dict or an output; plain or async; the case only where a parameter is called `case`."""
    said = {
        name: make_target(f"{app}:{name}").ask(case())
        for name in ("text", "rows", "none", "whole", "seen", "later", "Bot.reply")
    }
    assert said["text"] == Output(answer="HOW TALL IS K2?")
    assert said["rows"] == Output(answer="a", contexts=("c",))
    assert said["none"] == Output(answer=None)
    assert make_target(f"{app}:warm").ask(case()).answer == "at 0.7"
    assert said["whole"] == Output(answer="w", latency_s=1.5)
    assert said["seen"].answer == "normalised_match 0.7"
    assert (said["later"].answer, said["Bot.reply"].answer) == ("later", "static")
    with pytest.raises(SeamError, match="gave 5"):
        make_target(f"{app}:odd").ask(case())
    with pytest.raises(SeamError, match="cost_usd nan"):
        make_target(f"{app}:bad").ask(case())


def test_code_that_was_replaced_is_never_taken_for_what_answers(app, tmp_path):
    """A process imports a module once: where its file changed since, the target is refused, and `settings` are of what answered."""
    before = make_target(f"{app}:text").settings
    path = tmp_path / "my_app_under_test.py"
    path.write_text(APP + "other = 1\n")
    with pytest.raises(InputError, match=r"imported before its file changed.*start this process anew.*command:PROGRAM"):
        make_target(f"{app}:text")
    path.write_text(APP)
    assert make_target(f"{app}:text").settings == before
    path.write_text(APP + "other = 1\n")
    del sys.modules["my_app_under_test"]
    importlib.invalidate_caches()
    assert make_target(f"{app}:text").settings not in ("", before)


def test_a_module_that_ends_the_process_is_refused(tmp_path, monkeypatch):
    """A script that calls sys.exit(0) where it is imported is no target, and no gate passes by it."""
    (tmp_path / "a_script_under_test.py").write_text("import sys\ndef answer(question): return 'x'\nsys.exit(0)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(InputError, match="SystemExit"):
        make_target("python:a_script_under_test:answer")


def script(tmp_path, body):
    """The spec of a program with this body, which has read `row` from stdin."""
    path = tmp_path / "a program.py"
    path.write_text(f"import json, sys, time, subprocess\nrow = json.loads(sys.stdin.readline())\n{body}\n")
    return f"command:{shlex.quote(sys.executable)} -I {shlex.quote(str(path))}"


@pytest.mark.parametrize(
    ("body", "output"),
    [
        ("print(len(sys.stderr.write('e' * 300_000) * 'x'))", Output(answer="300000")),
        ("print(row['question'] + '\\n')", Output(answer="How tall is K2?")),
        ("print(json.dumps({'answer': 'a', 'contexts': ['c']}))", Output(answer="a", contexts=("c",))),
        ("print('{not json}')", Output(answer="{not json}")),
        ("pass", Output(answer="")),
        ("print('x' * 300_000)", Output(answer="x" * 300_000)),
    ],
)
def test_a_program_is_a_target(tmp_path, case, body, output):
    """The question comes as a JSON line on stdin; a JSON object or plain text on stdout is the answer; none is none."""
    assert make_target(script(tmp_path, body)).ask(case()) == output


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ("print('fine'); sys.exit('oh \\x1b[31mno')", "status 1"),
        ("print(json.dumps({'error': 'x'}))", "without `answer`"),
        ("sys.stdout.buffer.write(b'\\xff')", "no UTF-8"),
    ],
)
def test_a_program_that_fails_is_a_seam_error(tmp_path, case, body, word):
    """Another status than 0 is an error even after an answer; its last words stand in the message, made harmless."""
    with pytest.raises(SeamError) as caught:
        make_target(script(tmp_path, body)).ask(case())
    assert word in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_program_that_hangs_is_ended_with_its_children(tmp_path, case):
    """A time-out ends the program even when a child of it holds its output open."""
    child = f"import pathlib, time; time.sleep(1.2); pathlib.Path({str(tmp_path / 'alive')!r}).touch(); time.sleep(30)"
    body = f"subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(30)"
    begun = time.monotonic()
    with pytest.raises(SeamError, match=r"within 0\.5 s") as caught:
        make_target(script(tmp_path, body), timeout_s=0.5).ask(case())
    assert caught.value.retryable
    assert time.monotonic() - begun < 10
    time.sleep(1.5)
    assert not (tmp_path / "alive").exists()


def test_no_shell_reads_the_question_or_the_command(tmp_path, case):
    """A question and arguments are data: nothing in them is run."""
    spec = script(tmp_path, "print(row['question'], sys.argv[1:])") + " '$(touch owned)' ';' '|'"
    answer = make_target(spec).ask(case("`touch owned`; $(touch owned)\n")).answer
    assert answer == "`touch owned`; $(touch owned)\n ['$(touch owned)', ';', '|']"
    assert not (tmp_path / "owned").exists()


def test_a_program_may_be_given_a_toml(tmp_path, monkeypatch, case):
    """A command line that ends with the name of a TOML file is a program, and no target file; only the latter is a file of ours."""
    (tmp_path / "bot.toml").write_text("said")
    monkeypatch.chdir(tmp_path)
    assert make_target("command:cat bot.toml").ask(case()).answer == "said"
    specs = ("command:cat bot.toml", "python:bot.toml", "https://h/bot.toml", "bot.toml", "file:b.json", "recorded:r")
    assert [file_of(s) for s in specs] == [None, None, None, Path("bot.toml"), Path("b.json"), Path("r")]


@pytest.mark.parametrize(
    "said", ["a\ud83d", {"answer": "a\ud83d"}, Output(answer="a\ud83d"), {"answer": "a", "contexts": ["c\udc00"]}]
)
def test_half_of_a_surrogate_pair_is_mended(said):
    """JSON can spell it, but nothing can keep it: whatever form an answer has, its texts can be written."""
    repr(output_of(said, "t")).encode()
    assert "\ufffd" in str(output_of(said, "t"))


def test_a_key_in_a_path_is_not_shown():
    """What looks like a key in the path of a URL is no part of the name that runs and messages hold."""
    key = "sk-proj-s3cret-a1b2c3d4e5f6g7h8"
    target = make_target(f"http://127.0.0.1:9/ask/{key}")
    assert target.name == "http://127.0.0.1:9/ask/***"
    assert key not in repr(target)
    assert key in target.url


def test_recorded_answers_are_a_target(tmp_path, case):
    """A recorded question gives its answer; one that was not recorded is an execution error, not a failure."""
    path = tmp_path / "said.jsonl"
    path.write_text(
        '\ufeff{"question": " How tall is K2? ", "answer": null}\n\n{"question": "q", "answer": "a", "contexts": ["c"]}\n'
    )
    target = make_target(f"recorded:{path}")
    assert target.ask(case()) == Output(answer=None)
    assert target.ask(case("q")) == Output(answer="a", contexts=("c",))
    with pytest.raises(SeamError, match="holds no answer"):
        target.ask(case("another"))


def test_lines_of_one_question_are_repeats(tmp_path, case, words):
    """Several answers to one question are its attempts in the order of the file; one more than there are is an error."""
    path = tmp_path / "said.jsonl"
    rows = [{"question": "q", "answer": a, "cost_usd": 0.5} for a in ("one", "a", "one")]
    rows.append({"question": "p", "answer": "a", "tool_calls": [{"name": "look", "arguments": {"x": 1}}]})
    path.write_text("\n".join(map(json.dumps, rows)))
    cases = [case("q", "a"), case("p", "a")]
    run = run_evals(cases, make_target(f"recorded:{path}"), SCORERS_BY_NAME, words, now_us=0, repeats=3)
    assert [(r.repeat, r.outcome) for r in run.results] == [
        *((0, "fail"), (1, "pass"), (2, "fail")),
        *((0, "pass"), (1, "error"), (2, "error")),
    ]
    assert "holds 1 answer to" in run.results[4].detail
    assert run.results[0].cost_usd == 0.5
    said = make_target(f"recorded:{path}").ask(case("p"))
    assert said.tool_calls == (ToolCall(name="look", arguments='{"x": 1}'),)


@pytest.mark.parametrize("line", ["{", '{"question": "q"}', '{"answer": "a"}', "[]", '{"question": "q", "answer": 5}'])
def test_a_bad_recording_is_named(tmp_path, line):
    """A line that is no recorded answer is refused with its number."""
    path = tmp_path / "said.jsonl"
    path.write_text('{"question": "How?", "answer": "so"}\n' + line + "\n")
    with pytest.raises(InputError, match="line 2"):
        make_target(f"recorded:{path}")


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "app",
        "ftp://x/y",
        "http:",
        "http:/x",
        "http://",
        "http://[::1",
        "http://a:99999999/",
        "python:json",
        "python::f",
        "python:no_such_module:f",
        "python:json:no_such",
        "python:json:__name__",
        "command:",
        "command:no-such-program-here x",
        "cmd:'open",
        "recorded:/no/such",
        "recorded:",
    ],
)
def test_a_spec_that_names_nothing_is_refused_with_the_forms(spec):
    """An unknown form lists all four; a known one that leads nowhere says what is allowed or wrong."""
    with pytest.raises(InputError) as caught:
        make_target(spec)
    if spec in ("", "app", "ftp://x/y"):
        assert all(form in str(caught.value) for form in FORMS)


@pytest.mark.parametrize(("said", "kept"), [(None, "old"), ((), None), (("new",), "new")])
def test_an_interaction_is_asked_again_with_what_the_target_retrieved(said, kept):
    """The passages that the target names take the place of the old ones, also where it names none; silence keeps them."""

    class Target:
        name = "double"

        def ask(self, case):
            assert case.contexts == ("old",)
            return Output(answer="a", contexts=said)

    before = Interaction(id="i", time_us=0, query="q", answer="b", contexts=(Context(text="old"),))
    (again,) = ask_of(Target(), Target())("new", [before])
    assert [c.text for c in again.contexts] == ([] if kept is None else [kept])


def test_what_a_target_says_of_passages_is_kept_apart_from_silence():
    """`[]` is a retrieval that found nothing; null or no key is a target that says nothing of passages."""
    rows = ({"answer": "a", "contexts": []}, {"answer": "a", "contexts": None}, {"answer": "a"}, "a")
    assert [output_of(row, "double").contexts for row in rows] == [(), None, None, None]
