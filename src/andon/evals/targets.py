"""The four forms of a target: a URL, a Python callable, a command line, recorded answers.

Whatever goes wrong beyond the seam is a `SeamError`: an execution error of that case, never an answer.
"""

import asyncio
import importlib
import inspect
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

from andon.errors import InputError, SeamError
from andon.evals.records import Output, Target
from andon.golden import Case
from andon.traffic.quoting import quoted

__all__ = ["FORMS", "TIMEOUT_S", "CallableTarget", "CommandTarget", "HttpTarget", "RecordedTarget", "make_target"]

TIMEOUT_S = 60.0
"""How long a target may take for one question."""

FORMS = (
    "https://HOST/PATH (POST {question} -> {answer, contexts}; ends with /chat/completions: OpenAI-compatible, model as #MODEL)",
    "python:MODULE:FUNCTION (called with the question; returns text, or a dict with `answer` and `contexts`)",
    "command:PROGRAM ARGUMENTS (the question as a JSON line on stdin, the answer on stdout)",
    "recorded:FILE (JSONL of {question, answer, contexts})",
)
"""The forms of a target's spec."""


def make_target(spec: str, *, timeout_s: float = TIMEOUT_S, headers: Mapping[str, str] | None = None) -> Target:
    """The target that a spec of one of the four `FORMS` names; `headers` go with every HTTP request (a key, say).

    A Python target is imported here, from the working directory too; a program is looked up here; a file is read here.

    Raises:
        InputError: no such form, module, program or file.
    """
    form, _, rest = spec.partition(":")
    if form in ("http", "https") and rest.startswith("//"):
        return _http(spec, timeout_s, dict(headers or {}))
    if form == "python":
        return _callable(spec, rest)
    if form in ("command", "cmd"):
        return _command(spec, rest, timeout_s)
    if form == "recorded":
        return _recorded(spec, Path(rest))
    raise InputError(f"{quoted(spec)} names no target; allowed: {'; '.join(FORMS)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpTarget:
    """An endpoint that takes a question as JSON. A redirect is not followed: the headers may hold a key."""

    name: str
    url: str = field(repr=False)
    timeout_s: float
    headers: Mapping[str, str] = field(repr=False)
    model: str | None = None
    """Given: the endpoint speaks OpenAI's chat protocol."""

    def ask(self, case: Case) -> Output:
        """The answer to the question of a case.

        Raises:
            SeamError: no connection, no answer in time, another status than 200..299, or another shape.
        """
        body: dict[str, Any] = {"question": case.question}
        if self.model is not None:
            body = {"model": self.model, "messages": [{"role": "user", "content": case.question}]}
        try:
            content = json.dumps(body).encode()
            headers = {"content-type": "application/json", **self.headers}
            response = httpx2.post(self.url, content=content, headers=headers, timeout=self.timeout_s)
        except httpx2.TimeoutException:
            raise SeamError(f"{self.name} gave no answer within {self.timeout_s:g} s", retryable=True) from None
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
            raise SeamError(f"{self.name} cannot be asked: {quoted(str(error), 200)}", retryable=True) from None
        if not response.is_success:
            said = quoted(response.content, 200)
            retryable = response.status_code == httpx2.codes.TOO_MANY_REQUESTS or response.status_code >= 500
            raise SeamError(f"{self.name} answered HTTP {response.status_code}: {said}", retryable=retryable)
        row = _json(response.content, self.name)
        return _output(row, self.name) if self.model is None else _chat_output(row, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallableTarget:
    """A Python function, plain or async. It has no time-out: a thread cannot be stopped from outside."""

    name: str
    function: Callable[..., Any]
    wants_case: bool
    """It has a parameter that is called `case`."""

    def ask(self, case: Case) -> Output:
        """What the function returns for the question of a case; its exceptions are those of the function.

        Raises:
            SeamError: the function returned neither text, None, a dict with `answer`, nor an `Output`.
        """
        result = self.function(case.question, case=case) if self.wants_case else self.function(case.question)
        if inspect.iscoroutine(result):
            result = asyncio.run(result)
        return result if isinstance(result, Output) else _output(result, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandTarget:
    """A program that is started once for each question, without a shell."""

    name: str
    arguments: tuple[str, ...]
    timeout_s: float

    def ask(self, case: Case) -> Output:
        """What the program writes: a JSON object with `answer`, or else the answer as plain text.

        Raises:
            SeamError: it cannot be started, ends with another status than 0, is not ready in time, writes no UTF-8, or
                writes a JSON object without `answer`.
        """
        out = self._run(json.dumps({"question": case.question, "id": case.id}).encode() + b"\n")
        try:
            text = out.decode("utf-8").strip()
        except UnicodeDecodeError as error:
            raise SeamError(f"{self.name} wrote no UTF-8: {quoted(out)} ({error.reason})") from None
        if text.startswith("{"):
            try:
                row = json.loads(text)
            except (ValueError, RecursionError):
                return Output(answer=text)
            return _output(row, self.name)
        return Output(answer=text)

    def _run(self, line: bytes) -> bytes:
        pipe = subprocess.PIPE
        try:  # a session of its own, so that what the program starts can be ended with it
            process = subprocess.Popen(self.arguments, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)  # noqa: S603
        except OSError as error:
            raise SeamError(f"{self.name} cannot be started: {error.strerror}") from None
        with process:
            try:
                out, err = process.communicate(line, timeout=self.timeout_s)
            except subprocess.TimeoutExpired:
                _end(process)
                raise SeamError(f"{self.name} gave no answer within {self.timeout_s:g} s", retryable=True) from None
            except BaseException:
                _end(process)
                raise
        if process.returncode != 0:
            raise SeamError(f"{self.name} ended with status {process.returncode}: {quoted(err[-200:].strip(), 200)}")
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedTarget:
    """Answers that were recorded before."""

    name: str
    outputs: Mapping[str, Output] = field(repr=False)

    def ask(self, case: Case) -> Output:
        """The recorded answer to the question of a case.

        Raises:
            SeamError: the question was not recorded.
        """
        output = self.outputs.get(case.question.strip())
        if output is None:
            raise SeamError(f"{self.name} holds no answer to {quoted(case.question)}; record it, or ask a live target")
        return output


def _http(spec: str, timeout_s: float, headers: Mapping[str, str]) -> HttpTarget:
    for key, value in headers.items():
        if not all(text.isascii() and text.isprintable() for text in (key, value)) or not key:
            raise InputError(
                f"header {quoted(key)} is not printable ASCII; correct it (its value is not shown: it may be a key)"
            )
    try:
        url = urlsplit(spec)
        name = f"{url.scheme}://{url.hostname or ''}{f':{url.port}' if url.port else ''}{url.path}"
    except ValueError as error:
        raise InputError(f"{quoted(spec)} is not a URL: {error}") from None
    if not url.hostname:
        raise InputError(f"{quoted(spec)} names no host; allowed: {FORMS[0]}")
    chat = url.path.rstrip("/").endswith("/chat/completions")
    return HttpTarget(
        name=name,  # without user, password and query, which may hold a key
        url=url._replace(fragment="").geturl(),
        timeout_s=timeout_s,
        headers=headers,
        model=(url.fragment or "default") if chat else None,
    )


def _callable(spec: str, rest: str) -> CallableTarget:
    module_name, _, path = rest.partition(":")
    if not module_name or not path:
        raise InputError(f"{quoted(spec)} names no function; allowed: {FORMS[1]}")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module_name)
        for part in path.split("."):
            found = getattr(found, part)
    except Exception as error:
        raise InputError(
            f"{quoted(spec)} cannot be imported: {type(error).__name__}: {error}; allowed: {FORMS[1]}"
        ) from error
    if not callable(found):
        raise InputError(f"{quoted(spec)} is {quoted(type(found).__name__)}; a function is allowed")
    try:
        wants_case = "case" in inspect.signature(found).parameters
    except (TypeError, ValueError):
        wants_case = False  # a built-in without a signature
    return CallableTarget(name=spec, function=found, wants_case=wants_case)


def _command(spec: str, rest: str, timeout_s: float) -> CommandTarget:
    try:
        arguments = tuple(shlex.split(rest))
    except ValueError as error:
        raise InputError(f"{quoted(spec)} is not a command line: {error}") from None
    if not arguments or shutil.which(arguments[0]) is None:
        raise InputError(
            f"{quoted(spec)}: there is no program {quoted(arguments[0] if arguments else '')}; allowed: {FORMS[2]}"
        )
    return CommandTarget(name=f"command:{Path(arguments[0]).name}", arguments=arguments, timeout_s=timeout_s)


def _recorded(spec: str, path: Path) -> RecordedTarget:
    try:
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as error:
        raise InputError(f"{quoted(spec)} cannot be read: {error.strerror}; allowed: {FORMS[3]}") from None
    outputs: dict[str, Output] = {}
    for number, raw in enumerate(lines, 1):
        if not raw.strip():
            continue
        where = f"{path.name} line {number}"
        try:
            row = _json(raw, where)
            output = _output(row, where)
        except SeamError as error:
            raise InputError(str(error)) from None
        question = row.get("question") if isinstance(row, dict) else None
        if not isinstance(question, str):
            raise InputError(f"{where} has no `question`; allowed: {FORMS[3]}")
        if outputs.setdefault(question.strip(), output) != output:
            raise InputError(f"{where} answers {quoted(question)} in another way than a line before; keep one of them")
    return RecordedTarget(name=f"recorded:{path.name}", outputs=outputs)


def _json(content: bytes, name: str) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise SeamError(f"{name} gave no JSON: {quoted(content, 200)}") from None


def _output(row: Any, name: str) -> Output:
    """An output from text, None (no answer) or an object with `answer` and perhaps `contexts`."""
    if row is None or isinstance(row, str):
        return Output(answer=row)
    if not isinstance(row, Mapping):
        raise SeamError(f"{name} gave {quoted(row)}; text or an object with `answer` is allowed")
    if "answer" not in row:
        raise SeamError(f"{name} gave an object without `answer`; it has {quoted(', '.join(map(str, row)), 200)}")
    answer, contexts = row["answer"], row.get("contexts")
    items = () if contexts is None else contexts
    texts = (
        [c.get("text") if isinstance(c, Mapping) else c for c in items] if isinstance(items, list | tuple) else [None]
    )
    if not (answer is None or isinstance(answer, str)) or not all(isinstance(t, str) for t in texts):
        raise SeamError(
            f"{name} gave answer {quoted(answer)}, contexts {quoted(contexts)}; text and a list of texts are allowed"
        )
    return Output(answer=answer, contexts=tuple(t for t in texts if isinstance(t, str)))


def _chat_output(row: Any, name: str) -> Output:
    try:
        message = row["choices"][0]["message"]
        answer = message["content"] if message.get("content") is not None else message.get("refusal")
    except (KeyError, IndexError, TypeError, AttributeError):
        raise SeamError(f"{name} gave no choices[0].message.content, but {quoted(json.dumps(row), 200)}") from None
    if isinstance(answer, list):  # parts, of which some are text
        answer = "".join(p["text"] for p in answer if isinstance(p, dict) and isinstance(p.get("text"), str))
    return _output(answer, name)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a program and everything that it started."""
    if hasattr(os, "killpg"):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            process.kill()
    else:
        process.kill()
