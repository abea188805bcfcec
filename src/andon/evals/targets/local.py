"""Targets on this machine: a Python function, and a program that is started for each question."""

import asyncio
import hashlib
import importlib
import inspect
import json
import os
import selectors
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from andon.errors import InputError, SeamError
from andon.evals.records import Output
from andon.evals.targets.reading import output_of
from andon.golden import Case
from andon.traffic.quoting import quoted

__all__ = ["CallableTarget", "CommandTarget", "callable_target", "command_target"]

MOST_BYTES = 10_000_000
"""An answer that is larger is none."""

_WORDS = 200
"""Bytes of a program's last words that a message shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallableTarget:
    """A Python function, plain or async. It has no time-out: a thread cannot be stopped from outside."""

    name: str
    function: Callable[..., Any]
    wants_case: bool
    """It has a parameter that is called `case`."""
    version: str | None = None
    """``__version__`` of its module."""
    settings: str = ""
    """Digest of its module's file as it was imported: other code is another target, whose answers are never taken for these."""

    @property
    def sees_id(self) -> bool:
        """Whether the function is given the whole case."""
        return self.wants_case

    def ask(self, case: Case) -> Output:
        """What the function returns for the question of a case; its exceptions are those of the function.

        Raises:
            SeamError: the function returned neither text, None, a dict with `answer`, nor an `Output`, or these hold something
                that cannot be kept.
        """
        result = self.function(case.question, case=case) if self.wants_case else self.function(case.question)
        if inspect.isawaitable(result):
            result = asyncio.run(_awaited(result))
        return output_of(result, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandTarget:
    """A program that is started once for each question, without a shell."""

    name: str
    arguments: tuple[str, ...] = field(repr=False)
    timeout_s: float

    @property
    def settings(self) -> str:
        """Its arguments, as one text."""
        return shlex.join(self.arguments)

    @property
    def sees_id(self) -> bool:
        """The id of the case is in what the program reads."""
        return True

    def ask(self, case: Case) -> Output:
        """What the program writes: a JSON object with `answer`, or else the answer as plain text.

        Raises:
            SeamError: it cannot be started, ends with another status than 0, is not ready in time, writes no UTF-8, more than
                10 MB, or a JSON object without `answer`.
        """
        asked = {"question": case.question, "id": case.id, "contexts": case.contexts, "expect": case.expect}
        out = self._run(json.dumps(asked).encode() + b"\n")
        try:
            text = out.decode("utf-8").strip()
        except UnicodeDecodeError as error:
            raise SeamError(f"{self.name} wrote no UTF-8: {quoted(out)} ({error.reason})") from None
        if text.startswith("{"):
            try:
                row = json.loads(text)
            except (ValueError, RecursionError):
                return Output(answer=text)
            return output_of(row, self.name)
        return Output(answer=text)

    def _run(self, line: bytes) -> bytes:
        until_s, pipe = time.monotonic() + self.timeout_s, subprocess.PIPE
        with tempfile.TemporaryFile() as said:  # a pipe would have to be filled while the program writes
            said.write(line)
            said.seek(0)
            try:  # a session of its own, so that what the program starts can be ended with it
                process = subprocess.Popen(self.arguments, stdin=said, stdout=pipe, stderr=pipe, start_new_session=True)  # noqa: S603
            except OSError as error:
                raise SeamError(f"{self.name} cannot be started: {error.strerror}") from None
        with process:
            try:
                out, err = self._heard(process, until_s)
                process.wait(max(0.0, until_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                _end(process)
                raise SeamError(f"{self.name} gave no answer within {self.timeout_s:g} s", retryable=True) from None
            except BaseException:
                _end(process)
                raise
        if process.returncode != 0:
            raise SeamError(f"{self.name} ended with status {process.returncode}: {quoted(err.strip(), _WORDS)}")
        return out

    def _heard(self, process: "subprocess.Popen[bytes]", until_s: float) -> tuple[bytes, bytes]:
        """What the program writes until it has closed both, and its last words on stderr."""
        out, err = bytearray(), b""
        with selectors.DefaultSelector() as selector:
            for stream in (process.stdout, process.stderr):
                assert stream is not None
                selector.register(stream, selectors.EVENT_READ)
            while selector.get_map():
                left_s = until_s - time.monotonic()
                if left_s <= 0:
                    raise subprocess.TimeoutExpired(self.name, self.timeout_s)
                for key, _ in selector.select(left_s):
                    part = os.read(key.fd, 65_536)
                    if not part:
                        selector.unregister(key.fileobj)
                    elif key.fileobj is process.stderr:
                        err = (err + part)[-_WORDS:]
                    else:
                        out += part
                if len(out) > MOST_BYTES:
                    raise SeamError(f"{self.name} wrote more than {MOST_BYTES // 1_000_000} MB, which is not read")
        return bytes(out), err


def callable_target(spec: str, rest: str, allowed: str) -> CallableTarget:
    """The function that ``MODULE:FUNCTION`` names, imported from the working directory too.

    Raises:
        InputError: it names no function, or its file is not the one that this process imported any more.
    """
    module_name, _, path = rest.partition(":")
    if not module_name or not path:
        raise InputError(f"{quoted(spec)} names no function; allowed: {allowed}")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module: Any = importlib.import_module(module_name)
        found = module
        for part in path.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:  # a script may end the process where it is imported
        raise InputError(
            f"{quoted(spec)} cannot be imported: {type(error).__name__}: {error}; allowed: {allowed}"
        ) from error
    if not callable(found):
        raise InputError(f"{quoted(spec)} is {quoted(type(found).__name__)}; a function is allowed")
    try:
        wants_case = "case" in inspect.signature(found).parameters
    except (TypeError, ValueError):
        wants_case = False  # a built-in without a signature
    version = getattr(module, "__version__", None)
    return CallableTarget(
        name=spec,
        function=found,
        wants_case=wants_case,
        version=version if isinstance(version, str) else None,
        settings=_imported(spec, module),
    )


def command_target(spec: str, rest: str, timeout_s: float, allowed: str) -> CommandTarget:
    """The program that a command line names.

    Raises:
        InputError: there is no such program.
    """
    try:
        arguments = tuple(shlex.split(rest))
    except ValueError as error:
        raise InputError(f"{quoted(spec)} is not a command line: {error}") from None
    if not arguments or shutil.which(arguments[0]) is None:
        raise InputError(
            f"{quoted(spec)}: there is no program {quoted(arguments[0] if arguments else '')}; allowed: {allowed}"
        )
    script = next(
        (a for a in arguments[1:] if not a.startswith("-") and Path(a).is_file()), ""
    )  # others may be secrets
    name = f"command:{Path(arguments[0]).name} {script}".strip()
    return CommandTarget(name=name, arguments=arguments, timeout_s=timeout_s)


def _imported(spec: str, module: Any) -> str:
    """Digest of the file of a module, kept with its import: a process that lives long imports it once."""
    try:
        digest = hashlib.sha256(Path(module.__file__).read_bytes()).hexdigest()
    except (AttributeError, TypeError, OSError):
        return ""  # built in, or without a file
    if vars(module.__spec__ or module).setdefault("andon_digest", digest) != digest:  # a reload makes another __spec__
        raise InputError(
            f"{quoted(spec)} was imported before its file changed, so the new code would not be asked: start this process anew,"
            " or name a program (command:PROGRAM ARGUMENTS), which is read each time"
        )
    return digest


async def _awaited(result: Any) -> Any:
    return await result


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a program and everything that it started."""
    if hasattr(os, "killpg"):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            process.kill()
    else:
        process.kill()
