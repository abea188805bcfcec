"""Everything an operator can set, read once at start into one frozen object.

Each setting is an environment variable; every default is meant to be right without being set.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from andon.errors import ConfigError

__all__ = ["Settings", "describe", "load"]


def _setting(default: Any, env: str, about: str) -> Any:
    return field(default=default, metadata={"env": env, "about": about})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The configuration of one Andon process."""

    home: Path = _setting(Path(".andon"), "ANDON_HOME", "Folder that holds the tables, the ledger and the journal.")
    window_s: int = _setting(300, "ANDON_WINDOW_S", "Width of a monitoring window, in seconds.")
    settle_s: int = _setting(
        30, "ANDON_SETTLE_S", "How long a window stays open for late traffic before it is judged, in seconds."
    )
    false_pages_per_month: float = _setting(
        1.0,
        "ANDON_FALSE_PAGES_PER_MONTH",
        "The one knob of detection: how many false pages a month, over everything, you accept.",
    )
    embedder: str = _setting(
        "auto",
        "ANDON_EMBEDDER",
        "`auto` (MiniLM where its weights are installed, else `hashed`) or the name of an embedder.",
    )
    embedder_url: str = _setting(
        "", "ANDON_EMBEDDER_URL", "Base URL of an OpenAI-compatible endpoint for the embedder `openai`."
    )
    embedder_model: str = _setting(
        "", "ANDON_EMBEDDER_MODEL", "Model name for the embedders `openai` and `sentence-transformers`."
    )
    embedder_key: str = _setting("", "ANDON_EMBEDDER_KEY", "API key for the embedder `openai`; never logged.")
    host: str = _setting("127.0.0.1", "ANDON_HOST", "Address that `andon serve` listens on.")
    port: int = _setting(4318, "ANDON_PORT", "Port that `andon serve` listens on (4318 is the port of OTLP over HTTP).")
    grpc_port: int = _setting(
        4317,
        "ANDON_GRPC_PORT",
        "Port for OTLP over gRPC, where the extra `andon[grpc]` is installed; 0 switches it off.",
    )
    token: str = _setting(
        "",
        "ANDON_TOKEN",
        "Bearer token that every request must carry; required unless `ANDON_HOST` is a loopback address.",
    )
    github_secret: str = _setting(
        "", "ANDON_GITHUB_SECRET", "Secret of GitHub's webhook; without it `/v1/webhooks/github` lets nobody in."
    )
    redact: str = _setting(
        "email,phone,card,key,national_id",
        "ANDON_REDACT",
        "What is taken out of texts before they are written; `none` switches it off.",
    )
    redact_key: str = _setting(
        "",
        "ANDON_REDACT_KEY",
        "Secret behind the marks that redacted values leave; without it one is made and kept in `ANDON_HOME`.",
    )
    redact_rules: str = _setting(
        "", "ANDON_REDACT_RULES", "JSON file with your own rules: name of the rule -> regular expression (RE2)."
    )
    sample: float = _setting(
        1.0,
        "ANDON_SAMPLE",
        "Share of the interactions that is kept, 0.01 to 1, apart from those of `ANDON_SAMPLE_ALL`; weights keep rates true.",
    )
    sample_all: str = _setting(
        "high,critical,unacceptable", "ANDON_SAMPLE_ALL", "Risk categories of which every interaction is kept."
    )
    retention: str = _setting(
        "",
        "ANDON_RETENTION",
        "How long tables keep their rows, such as `spans=7d,interactions=90d`; without it spans a month, interactions 400 days.",
    )
    inbox: str = _setting("", "ANDON_INBOX", "Folder that `andon serve` watches: files put into it are taken in.")


def load(env: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from environment variables (`os.environ` unless given).

    Raises:
        ConfigError: a value has the wrong form, or an ``ANDON_`` variable is not a setting (a misspelt one would
            otherwise be ignored in silence).
    """
    env = os.environ if env is None else env
    fields = {f.metadata["env"]: f for f in Settings.__dataclass_fields__.values()}
    unknown = sorted(k for k in env if k.startswith("ANDON_") and k not in fields)
    if unknown:
        raise ConfigError(f"{unknown[0]} is not a setting; the settings are {', '.join(fields)}")
    values: dict[str, Any] = {}
    for name, f in fields.items():
        if name in env:
            values[f.name] = _parse(name, env[name], f.default)
    return _checked(Settings(**values))


def describe() -> list[tuple[str, str, str]]:
    """Every setting as (variable, default, sentence), in the order of the class."""
    return [(f.metadata["env"], str(f.default), f.metadata["about"]) for f in Settings.__dataclass_fields__.values()]


def _parse(name: str, text: str, default: Any) -> Any:
    kind = Path if isinstance(default, Path) else type(default)
    try:
        return kind(text)
    except ValueError as error:
        raise ConfigError(f"{name}={text!r} is not a number ({kind.__name__}); the default is {default}") from error


def _checked(settings: Settings) -> Settings:
    for name in ("window_s", "false_pages_per_month"):
        if getattr(settings, name) <= 0:
            raise ConfigError(f"ANDON_{name.upper()}={getattr(settings, name)} must be greater than 0")
    if settings.settle_s < 0:
        raise ConfigError(f"ANDON_SETTLE_S={settings.settle_s} must be 0 or more")
    if not 0 < settings.sample <= 1:
        raise ConfigError(f"ANDON_SAMPLE={settings.sample} must be above 0 and at most 1 (0.05 keeps 5 %)")
    if settings.inbox and settings.home.absolute().is_relative_to(Path(settings.inbox).absolute()):
        raise ConfigError(
            f"ANDON_INBOX={settings.inbox} must not contain ANDON_HOME={settings.home}; take another folder"
        )
    if not 0 <= settings.grpc_port < 65536:
        raise ConfigError(f"ANDON_GRPC_PORT={settings.grpc_port} must be between 0 (off) and 65535")
    if not 0 < settings.port < 65536:
        raise ConfigError(f"ANDON_PORT={settings.port} must be between 1 and 65535")
    return settings
