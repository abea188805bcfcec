"""Everything an operator can set, read once at start into one frozen object.

Each setting is an environment variable, and a key of the file `andon.toml` unless it is a secret; every default is meant to
be right without being set. The file also holds tables, about objectives and monitors: they are read here and understood
where they are used.
"""

import glob
import json
import math
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from andon.errors import ConfigError

__all__ = ["HIGH_RISK", "Settings", "describe", "is_high_risk", "load"]

HIGH_RISK = ("high", "critical", "unacceptable")
"""Risk categories, in any case, of which everything is kept, which are watched more closely, make an incident more severe, and
of which the gate tolerates no lost case."""

TABLES = ("objective", "monitor", "openslo", "organisation", "golden", "probe", "pull")
_BUCKET = re.compile(r"(?:s3|gs|az|abfss)://[A-Za-z0-9@._-]+(?:/[A-Za-z0-9._=-]+)*/?")
_SECRET = re.compile(r"channels|ledger|(?:\w+_)?(?:key|secret|token)")


def is_high_risk(category: str | None) -> bool:
    """Whether a risk category is one of `HIGH_RISK`, however it is spelt."""
    return (category or "").strip().casefold() in HIGH_RISK


def _setting(default: Any, env: str, about: str) -> Any:
    return field(default=default, metadata={"env": env, "about": about})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The configuration of one Andon process."""

    home: Path = _setting(
        Path(".andon"), "ANDON_HOME", "Folder of this process: the journal, and all else that is not put elsewhere."
    )
    store: str = _setting(
        "",
        "ANDON_STORE",
        "Where the tables are, if not in `ANDON_HOME`: a folder that all replicas see, or a bucket, `s3://bucket/path`.",
    )
    ledger: str = _setting(
        "",
        "ANDON_LEDGER",
        "Database of the ledger, if not a file in `ANDON_HOME`: `postgresql://user:password@host/name`; never logged.",
    )
    engine: str = _setting(
        "duckdb",
        "ANDON_ENGINE",
        "What answers large plans: `duckdb`, `daft` on this machine, or a Ray cluster, `ray://host:port` (extra `andon[ray]`).",
    )
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
    writer_url: str = _setting(
        "",
        "ANDON_WRITER_URL",
        "Base URL of an OpenAI-compatible endpoint that suggests prose for postmortems; empty: nobody.",
    )
    writer_model: str = _setting("", "ANDON_WRITER_MODEL", "Model name for that endpoint.")
    writer_key: str = _setting("", "ANDON_WRITER_KEY", "API key for that endpoint; never logged.")
    judge_url: str = _setting(
        "",
        "ANDON_JUDGE_URL",
        "Base URL of an OpenAI-compatible endpoint that judges answers of golden cases with the metric `judge`; empty: nobody.",
    )
    judge_model: str = _setting(
        "", "ANDON_JUDGE_MODEL", "Model name for that endpoint; a dated one, so that it stays the same."
    )
    judge_key: str = _setting("", "ANDON_JUDGE_KEY", "API key for that endpoint; never logged.")
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
        "Token that opens everything for programs, and makes the first owner; required unless `ANDON_HOST` is a loopback address.",
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
        "Secret behind the marks that redacted values leave; without it one is made and kept beside the tables.",
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
        ",".join(HIGH_RISK), "ANDON_SAMPLE_ALL", "Risk categories of which every interaction is kept."
    )
    retention: str = _setting(
        "",
        "ANDON_RETENTION",
        "How long tables keep their rows, such as `spans=7d,interactions=90d`; without it spans a month, interactions 400 days.",
    )
    inbox: str = _setting(
        "",
        "ANDON_INBOX",
        "Folder that `andon serve` watches, and `andon tick` looks into: files put there are taken in.",
    )
    channels: str = _setting(
        "",
        "ANDON_CHANNELS",
        "Where people are told: apprise URLs, by commas or spaces; they hold secrets and are never logged. Empty: nobody is told.",
    )
    url: str = _setting("", "ANDON_URL", "Address of this Andon as people reach it, for the links in messages.")
    config: str = _setting(
        "andon.toml",
        "ANDON_CONFIG",
        "File of settings, objectives and monitors; it may be absent unless it is named here. The environment overrides it.",
    )
    tables: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """The tables of the file as plain values: ``objective`` and ``monitor``, lists of tables; ``openslo``, pairs of a place
    and a document."""

    @property
    def bucket(self) -> bool:
        """Whether the tables are in a bucket."""
        return "://" in self.store

    @property
    def place(self) -> Path:
        """The folder for what can be derived again: that which all replicas see, or this process's where the tables are in a bucket."""
        return Path(self.store) if self.store and not self.bucket else self.home

    def apart(self, home: Path, **other: Any) -> "Settings":
        """These settings for a store of its own in a folder, whatever ledger and tables they name; for replays and demos."""
        return replace(self, home=home, store="", ledger="", **other)


def load(env: Mapping[str, str] | None = None) -> Settings:
    """Read the settings: the file `andon.toml` (or the one that ``ANDON_CONFIG`` names), overridden by the environment.

    Args:
        env: the environment variables; `os.environ` unless given.

    Raises:
        ConfigError: a value has the wrong form, or a key or an ``ANDON_`` variable is not a setting (a misspelt one would
            otherwise be ignored in silence), or a secret stands in the file, or a file cannot be read.
    """
    env = os.environ if env is None else env
    fields = _fields()
    variables = {f.metadata["env"]: name for name, f in fields.items()}
    unknown = sorted(k for k in env if k.startswith("ANDON_") and k not in variables)
    if unknown:
        raise ConfigError(f"{unknown[0]} is not a setting; the settings are {', '.join(variables)}")
    file = env.get("ANDON_CONFIG") or fields["config"].default
    values, tables = _from_file(Path(file), must_exist=bool(env.get("ANDON_CONFIG")))
    said = {name: f"{file}: {name} = {_shown(value)}" for name, value in values.items()}
    for variable, name in variables.items():
        if variable in env:
            values[name] = _parse(variable, env[variable], fields[name].default)
            said[name] = f"{variable}={env[variable]}"
    return _checked(Settings(**{**values, "config": file, "tables": tables}), said)


def describe() -> list[tuple[str, str, str]]:
    """Every setting as (variable, default, sentence), in the order of the class."""
    return [(f.metadata["env"], str(f.default), f.metadata["about"]) for f in _fields().values()]


def _fields() -> dict[str, Any]:
    """The settings that are environment variables, by name."""
    return {name: f for name, f in Settings.__dataclass_fields__.items() if "env" in f.metadata}


def _parse(name: str, text: str, default: Any) -> Any:
    kind = Path if isinstance(default, Path) else type(default)
    try:
        value = kind(text)
    except ValueError as error:
        raise ConfigError(f"{name}={text!r} is not a number ({kind.__name__}); the default is {default}") from error
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{name}={text!r} is not a finite number; the default is {default}")
    return value


def _from_file(file: Path, *, must_exist: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings and tables of the file; nothing where there is none."""
    if not must_exist and not _there(file):
        return {}, {}
    try:
        data = tomllib.loads(_text_of(file, "ANDON_CONFIG names the file of settings"))
        plain = json.loads(json.dumps({k: v for k, v in data.items() if k in TABLES}, default=str))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file} is not TOML that can be read: {error}") from error
    fields = _fields()
    allowed = [name for name in fields if name != "config" and not _SECRET.fullmatch(name)]
    values = {}
    for key, value in data.items():
        if key in TABLES:
            continue
        if key in fields and _SECRET.fullmatch(key):
            raise ConfigError(
                f"{file}: {key} is a secret, and is read from the environment only ({fields[key].metadata['env']}): files are"
                " copied, shown and kept in version control"
            )
        if key not in allowed:
            raise ConfigError(f"{file}: {key!r} is not a setting; allowed are {', '.join((*allowed, *TABLES))}")
        values[key] = _fitting(f"{file}: {key}", value, fields[key].default)
    if "openslo" in plain:
        plain["openslo"] = list(_openslo(file, plain["openslo"]))
    return values, plain


def _there(file: Path) -> bool:
    try:
        file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:  # such as that of somebody else, in whose folder this user was left
        raise ConfigError(
            f"whether there is a file {file} in the working directory cannot be seen: {error.strerror}; go to a folder that this user "
            "may enter (cd /), or name the file in ANDON_CONFIG"
        ) from error
    return True


def _fitting(what: str, value: Any, default: Any) -> Any:
    """A value of the file as the type of the setting."""
    if isinstance(default, str | Path):
        if isinstance(value, str):
            return Path(value) if isinstance(default, Path) else value
        raise ConfigError(f'{what} = {_shown(value)} must be text in quotation marks; the default is "{default}"')
    fits = isinstance(value, int) or (isinstance(value, float) and isinstance(default, float))
    if isinstance(value, bool) or not fits or not abs(value) < 1e15:
        kind = "number" if isinstance(default, float) else "whole number"
        raise ConfigError(f"{what} = {_shown(value)} must be a {kind} (below 1e15); the default is {default}")
    return type(default)(value)


def _shown(value: Any) -> str:
    """A value of the file in a message: short, and never so long a number that it cannot be written."""
    if isinstance(value, int) and value.bit_length() > 128:
        return "a number of more than 38 digits"
    if isinstance(value, list | dict):
        return f"a {'list' if isinstance(value, list) else 'table'} of {len(value)}"
    return repr(value)[:80]


def _openslo(file: Path, patterns: Any) -> Iterator[tuple[str, Any]]:
    """The documents of the OpenSLO files, each with its place, in the order of the patterns and then of the names."""
    if not isinstance(patterns, list) or not all(isinstance(p, str) and "\0" not in p for p in patterns):
        raise ConfigError(f'{file}: openslo = {_shown(patterns)} must be a list of paths: openslo = ["slo/*.yaml"]')
    found: dict[Path, None] = {}
    for pattern in patterns:
        names = sorted(glob.glob(pattern, root_dir=file.parent, recursive=True))  # noqa: PTH207 (takes absolute paths too)
        paths = [path for name in names if (path := file.parent / name).is_file()]
        if not paths:
            raise ConfigError(f"{file}: openslo: {pattern!r} matches no file in {file.parent.absolute()}")
        found |= dict.fromkeys(paths)
    for path in found:
        yield from _documents(path)


def _documents(path: Path) -> Iterator[tuple[str, Any]]:
    import yaml

    class Loader(yaml.SafeLoader):
        """A key that is given twice is an error: the first one would otherwise be ignored in silence."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            if twice := next((key for key in keys if keys.count(key) > 1), None):
                raise yaml.constructor.ConstructorError(None, None, f"{twice!r} is given twice", node.start_mark)
            return super().construct_mapping(node, deep)

    try:
        documents = list(yaml.load_all(_text_of(path, "andon.toml names it under openslo"), Loader=Loader))
        for number, document in enumerate(documents, 1):
            yield f"{path}, document {number}", json.loads(json.dumps(document, default=str))
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise ConfigError(f"{path} is not YAML that can be read: {' '.join(str(error).split())}") from error


def _text_of(path: Path, why: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # some editors write a byte order mark
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start}); {why}") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; {why}") from error


def _checked(settings: Settings, said: Mapping[str, str]) -> Settings:
    """The settings, if they can be used; `said` is how each one was written."""

    def refuse(name: str, why: str) -> None:
        written = said.get(name) or f"ANDON_{name.upper()}={getattr(settings, name)}"
        raise ConfigError(f"{written} {why}")

    for name in ("window_s", "false_pages_per_month"):
        if getattr(settings, name) <= 0:
            refuse(name, "must be greater than 0")
    if settings.settle_s < 0:
        refuse("settle_s", "must be 0 or more")
    if not 0 < settings.sample <= 1:
        refuse("sample", "must be above 0 and at most 1 (0.05 keeps 5 %)")
    if settings.inbox and settings.home.absolute().is_relative_to(Path(settings.inbox).absolute()):
        refuse("inbox", f"must not contain ANDON_HOME={settings.home}; take another folder")
    if settings.bucket and not _BUCKET.fullmatch(settings.store):
        refuse(
            "store",
            "must be a folder, or a bucket: s3://bucket/path, gs://…, az://… or abfss://…, of letters, digits and -._=",
        )
    if settings.bucket and settings.redact != "none" and not settings.redact_key:
        refuse(
            "store",
            "is a bucket, so ANDON_REDACT_KEY must be set, to the same for all replicas (`openssl rand -hex 32` makes one): the key "
            "behind redacted values is not kept beside them there",
        )
    if settings.engine not in ("duckdb", "daft") and not re.fullmatch(r"ray://[^/\s]+:\d{1,5}", settings.engine):
        refuse("engine", "must be duckdb, daft or ray://host:port")
    if not 0 <= settings.grpc_port < 65536:
        refuse("grpc_port", "must be between 0 (off) and 65535")
    if not 0 < settings.port < 65536:
        refuse("port", "must be between 1 and 65535")
    return settings
