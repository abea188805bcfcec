"""The forms of a target: a URL, a target file, a Python callable, a command line, recorded answers.

Whatever goes wrong beyond the seam is a `SeamError`: an execution error of that case, never an answer.
"""

import json
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

from andon.errors import InputError
from andon.evals.records import Target
from andon.evals.targets.http import HttpTarget, http_target
from andon.evals.targets.local import CallableTarget, CommandTarget, callable_target, command_target
from andon.evals.targets.recorded import RecordedTarget, recorded_target
from andon.evals.targets.templates import TIMEOUT_S, Template, template_of
from andon.traffic.quoting import quoted
from andon.traffic.redaction import RULES
from andon.traffic.redaction.forms import found_in

__all__ = [
    "FORMS",
    "CallableTarget",
    "CommandTarget",
    "HttpTarget",
    "RecordedTarget",
    "keepable_spec",
    "make_target",
]

FORMS = (
    "https://HOST/PATH (POST {question} -> {answer, contexts}; ends with /chat/completions: OpenAI-compatible, model as #MODEL)",
    "FILE.toml (any JSON endpoint: url, headers, body with {question}, where the answer stands; JSON works too, as file:FILE.json)",
    "python:MODULE:FUNCTION (called with the question; returns text, or a dict with `answer` and `contexts`)",
    "command:PROGRAM ARGUMENTS (the question as a JSON line on stdin, the answer on stdout)",
    "recorded:FILE (JSONL of {question, answer, contexts}; several lines of one question are repeats)",
)
"""The forms of a target's spec."""

_URL, _FILE, _PYTHON, _COMMAND, _RECORDED = FORMS


def make_target(spec: str, *, timeout_s: float | None = None, headers: Mapping[str, str] | None = None) -> Target:
    """The target that a spec of one of the `FORMS` names; `headers` go with every HTTP request (a key, say).

    A Python target is imported here, from the working directory too; a program is looked up here; a file is read here, and
    the secrets that it refers to are read from the environment. `timeout_s` is 60 unless given or said by a target file.

    Raises:
        InputError: no such form, module, program, file or variable.
    """
    form, _, rest = spec.partition(":")
    if form in ("http", "https") and rest.startswith("//"):
        return http_target(_of_url(spec, timeout_s), headers)
    if form == "file" or spec.endswith(".toml"):
        template = _of_file(Path(rest if form == "file" else spec))
        return http_target(template if timeout_s is None else replace(template, timeout_s=timeout_s), headers)
    if form == "python":
        return callable_target(spec, rest, _PYTHON)
    if form in ("command", "cmd"):
        return command_target(spec, rest, TIMEOUT_S if timeout_s is None else timeout_s, _COMMAND)
    if form == "recorded":
        return recorded_target(spec, Path(rest), _RECORDED)
    raise InputError(f"{quoted(spec)} names no target; allowed: {'; '.join(FORMS)}")


def keepable_spec(spec: str) -> str:
    """The spec as a record may keep it: paths are absolute, and nothing in it can be a secret.

    Raises:
        InputError: it is a URL with a user, a password or a query, or a command with an argument that looks like a key; a
            target file refers to secrets by ``env:NAME``, and a program can read its own environment.
    """
    form, _, rest = spec.partition(":")
    if form in ("http", "https"):
        url = urlsplit(spec)
        if "@" in url.netloc or url.query:
            raise InputError(
                "this URL has a user, a password or a query, which may be a secret and would be kept; write a target file"
                " with `url` and env:NAME in place of the secret, and name that"
            )
        return spec
    if form in ("command", "cmd") and _holds_key(rest):
        raise InputError(
            "an argument of this command looks like a key or a password, which would be kept; let the program read it from an"
            " environment variable instead, and set that before you start andon"
        )
    if form == "file" or spec.endswith(".toml"):
        return f"file:{Path(rest if form == 'file' else spec).absolute()}"
    return f"recorded:{Path(rest).absolute()}" if form == "recorded" else spec


def _holds_key(command: str) -> bool:
    """Whether the rule that redacts keys in traffic finds one in a command line, or in what an option is given."""
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    key = RULES["key"]
    given = [w.partition("=")[::2] for w in words if "=" in w] + [
        (a, b) for a, b in pairwise(words) if a.startswith("-")
    ]
    return any(next(found_in(form, text), None) for form in key.forms for text in (command, *words)) or any(
        key.field is not None and key.field(name, value) for name, value in given
    )


def _of_url(spec: str, timeout_s: float | None) -> Template:
    try:
        url = urlsplit(spec)
        port = url.port
    except ValueError as error:
        raise InputError(f"{quoted(spec)} is not a URL: {error}") from None
    if not url.hostname or port == 0:
        raise InputError(f"{quoted(spec)} names no host; allowed: {_URL}")
    return Template(
        url=url._replace(fragment="").geturl(),
        model=url.fragment or None,
        timeout_s=TIMEOUT_S if timeout_s is None else timeout_s,
    )


def _of_file(path: Path) -> Template:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise InputError(f"the target file {quoted(str(path), 300)} cannot be read: {why}; allowed: {_FILE}") from None
    try:
        row = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path.name} is no {'JSON' if path.suffix == '.json' else 'TOML'}: {quoted(str(error), 200)}"
        ) from None
    if not isinstance(row, dict):
        raise InputError(f"{path.name} holds {quoted(row)}; an object with `url` is allowed")
    return template_of(row, path.name)
