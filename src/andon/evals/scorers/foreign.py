"""What the adapters of other libraries share: find a metric by its name, fill its arguments, wait for its answer."""

import asyncio
import importlib
import os
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from inspect import Parameter, signature
from typing import Any

from andon.errors import ConfigError, InputError
from andon.golden import Case
from andon.settings import Settings
from andon.traffic.quoting import quoted

__all__ = ["arguments_of", "finished", "imported", "judge_of", "made", "named", "takes", "version_of"]

_QUIET = {"DEEPEVAL_TELEMETRY_OPT_OUT": "1", "DEEPEVAL_DISABLE_DOTENV": "1", "RAGAS_DO_NOT_TRACK": "true"}
"""What these libraries would otherwise do by being imported: report their use to their makers, read a file `.env`."""


def imported(module: str, extra: str) -> Any:
    """A module of an optional package, kept from reporting home unless the environment says otherwise.

    Raises:
        ConfigError: it is not installed, or cannot be imported.
    """
    for variable, value in _QUIET.items():
        os.environ.setdefault(variable, value)
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(f"a case asks for a scorer of {extra}: pip install 'andon[{extra}]' ({error})") from error


def named(module: Any, part: str, suffix: str = "") -> Any:
    """What a module offers under a name, however it is spelt: ``faithfulness``, ``Faithfulness``, ``exact_match``.

    Raises:
        ConfigError: there is none; names those that there are.
    """
    offered = getattr(module, "__all__", None) or [n for n in dir(module) if not n.startswith("_")]
    plain = {_plain(name).removesuffix(suffix): name for name in offered if callable(getattr(module, name, None))}
    name = plain.get(_plain(part).removesuffix(suffix))
    if name is None:
        raise ConfigError(f"{module.__name__} has no {quoted(part)}; it has {', '.join(sorted(plain.values()))}")
    return getattr(module, name)


def takes(function: Any, name: str) -> bool:
    """Whether a function or class has a parameter of this name."""
    return name in signature(function).parameters


def arguments_of(case: Case) -> dict[str, Any]:
    """The arguments that a case gives to the metric (`expect.arguments`).

    Raises:
        InputError: they are no object.
    """
    given = case.expect.get("arguments", {})
    if not isinstance(given, Mapping) or not all(isinstance(k, str) for k in given):
        raise InputError(f"expect.arguments is {quoted(given)}; an object of the metric's own arguments is allowed")
    return dict(given)


def made(metric: Any, name: str, arguments: Mapping[str, Any]) -> Any:
    """The metric with its arguments.

    Raises:
        InputError: it does not take them, or asks for others.
    """
    try:
        return metric(**arguments)
    except Exception as error:  # foreign code checks its arguments in its own way
        allowed = ", ".join(
            p
            for p, kind in signature(metric).parameters.items()
            if kind.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
        )
        raise InputError(
            f"{name} cannot be made with expect.arguments ({type(error).__name__}: {quoted(str(error), 160)}); it takes {allowed}"
        ) from error


def judge_of(settings: Settings, name: str) -> tuple[str, str, str]:
    """URL, model and key of the endpoint that metrics with a model ask: the judge's.

    Raises:
        ConfigError: it is not set.
    """
    if not settings.judge_url or not settings.judge_model:
        raise ConfigError(f"{name} asks a model: set ANDON_JUDGE_URL and ANDON_JUDGE_MODEL (and ANDON_JUDGE_KEY)")
    return settings.judge_url.rstrip("/"), settings.judge_model, settings.judge_key.strip() or "none"


def version_of(package: str, model: str = "") -> str:
    """Version of a library's measure: the library's, and the model that it asks."""
    return version(package) + (f"+{model}" if model else "")


def finished(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine, also where a loop is running already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(asyncio.run, work).result()


def _plain(name: str) -> str:
    return name.replace("_", "").casefold()
