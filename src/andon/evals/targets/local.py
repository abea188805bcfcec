"""Targets on this machine: a Python function, and a program that is started for each question."""

import asyncio
import hashlib
import importlib
import inspect
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
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
    """Digest of its module's file: other code is another target, whose answers are never taken for these."""

    def ask(self, case: Case) -> Output:
        """What the function returns for the question of a case; its exceptions are those of the function.

        Raises:
            SeamError: the function returned neither text, None, a dict with `answer`, nor an `Output`.
        """
        result = self.function(case.question, case=case) if self.wants_case else self.function(case.question)
        if inspect.isawaitable(result):
            result = asyncio.run(_awaited(result))
        return result if isinstance(result, Output) else output_of(result, self.name)


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

    def ask(self, case: Case) -> Output:
        """What the program writes: a JSON object with `answer`, or else the answer as plain text.

        Raises:
            SeamError: it cannot be started, ends with another status than 0, is not ready in time, writes no UTF-8, or
                writes a JSON object without `answer`.
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


def callable_target(spec: str, rest: str, allowed: str) -> CallableTarget:
    """The function that ``MODULE:FUNCTION`` names, imported from the working directory too.

    Raises:
        InputError: it names no function.
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
    except Exception as error:
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
        settings=_digest_of(module),
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
    return CommandTarget(name=f"command:{Path(arguments[0]).name}", arguments=arguments, timeout_s=timeout_s)


def _digest_of(module: Any) -> str:
    try:
        return hashlib.sha256(Path(module.__file__).read_bytes()).hexdigest()
    except (AttributeError, TypeError, OSError):
        return ""  # built in, or without a file


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
