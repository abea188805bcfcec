"""The forms of a target: a URL, a target file, a Python callable, a command line, recorded answers.

Whatever goes wrong beyond the seam is a `SeamError`: an execution error of that case, never an answer.
"""

import json
import re
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

from andon.errors import InputError
from andon.evals.records import Target
from andon.evals.targets.http import HttpTarget, http_target, keys_in
from andon.evals.targets.local import CallableTarget, CommandTarget, callable_target, command_target
from andon.evals.targets.recorded import RecordedTarget, recorded_target
from andon.evals.targets.templates import TIMEOUT_S, Template, template_of
from andon.traffic.quoting import quoted
from andon.traffic.redaction import RULES

__all__ = [
    "FORMS",
    "CallableTarget",
    "CommandTarget",
    "HttpTarget",
    "RecordedTarget",
    "file_of",
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
    if form == "python":
        return callable_target(spec, rest, _PYTHON)
    if form in ("command", "cmd"):
        return command_target(spec, rest, TIMEOUT_S if timeout_s is None else timeout_s, _COMMAND)
    path = file_of(spec)
    if path is None:
        raise InputError(f"{quoted(spec)} names no target; allowed: {'; '.join(FORMS)}")
    if form == "recorded":
        return recorded_target(spec, path, _RECORDED)
    template = _of_file(path)
    return http_target(template if timeout_s is None else replace(template, timeout_s=timeout_s), headers)


def file_of(spec: str) -> Path | None:
    """The target file, or the recorded answers, that a spec names; None where it names no file of ours."""
    form, _, rest = spec.partition(":")
    if form in ("file", "recorded"):
        return Path(rest)
    return Path(spec) if spec.endswith(".toml") and form not in ("http", "https", "python", "command", "cmd") else None


def keepable_spec(spec: str) -> str:
    """The spec as a record may keep it: paths are absolute, and nothing in it looks like a secret.

    Raises:
        InputError: it is a URL with a user, a password, a query or a key in its path, or a command with an argument that looks
            like a key or a password; a target file refers to secrets by ``env:NAME``, and a program can read its own environment.
    """
    form, _, rest = spec.partition(":")
    if form in ("http", "https"):
        url = urlsplit(spec)
        if "@" in url.netloc or url.query or keys_in(spec):
            raise InputError(
                "this URL has a user, a password, a query or a key in its path, which may be a secret and would be kept; write"
                " a target file with `url` and env:NAME in place of the secret, and name that"
            )
    if form in ("command", "cmd") and _holds_key(rest):
        raise InputError(
            "an argument of this command looks like a key or a password, which would be kept; let the program read it from an"
            " environment variable instead, and set that before you start andon"
        )
    path = file_of(spec)
    return spec if path is None else f"{'recorded' if form == 'recorded' else 'file'}:{path.absolute()}"


def _holds_key(command: str) -> bool:
    """Whether a command line, or what one of its options is given, looks like a key or a password."""
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    given = [w.partition("=")[::2] for w in words if "=" in w] + [
        (a, b) for a, b in pairwise(words) if a.startswith("-") and not b.startswith("-")
    ]
    return any(map(keys_in, (command, *words))) or any(_is_given_key(name, value) for name, value in given)


def _is_given_key(name: str, value: str) -> bool:
    """Whether what an option or a variable is given may be a secret; a port, the text of a prompt and a file after -u are none."""
    if name in ("-u", "--user"):
        return re.fullmatch(r"[^:\s]+:(?!//)\S+", value) is not None
    short = name == "-p" and not value.isdigit() and not any(map(str.isspace, value))
    read, named = RULES["key"].field, short or re.search(r"(?:\A|[-_])(?:token|key)\Z", name, re.IGNORECASE)
    return read is not None and read("password" if named else name, value) is not None


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
