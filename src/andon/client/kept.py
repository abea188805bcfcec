"""The file that keeps the last good answer, so that an application that starts while the server is away knows its levers."""

import json
import os
import stat
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

from andon.client.answers import MOST_BYTES

__all__ = ["body_of", "default_folder", "file_name", "load", "save"]


def default_folder() -> str:
    """``andon`` below XDG_CACHE_HOME, else below ``~/.cache``; empty for a user without a home."""
    for base in (os.environ.get("XDG_CACHE_HOME", ""), os.path.expanduser("~/.cache")):  # noqa: PTH111 - never raises
        if Path(base).is_absolute():
            return str(Path(base) / "andon")
    return ""


def file_name(endpoint: str, app: str, environment: str) -> str:
    """One file per server, application and environment."""
    digest = blake2b(json.dumps([endpoint, app, environment]).encode(), digest_size=8).hexdigest()
    return f"levers-{digest}.json"


def body_of(flags: list[dict[str, Any]]) -> tuple[bytes, int]:
    """What the file says of these entries of an answer, and how many of them, the largest, it has no room for."""
    parts = [_json(flag) for flag in flags]
    left, fit = MOST_BYTES - 100, set()
    for n in sorted(range(len(parts)), key=lambda n: len(parts[n])):
        left -= len(parts[n]) + 1
        if left < 0:
            break
        fit.add(n)
    return b'{"flags":[' + b",".join(part for n, part in enumerate(parts) if n in fit) + b"]}", len(parts) - len(fit)


def load(path: Path) -> bytes | None:
    """What was saved, or None when nothing was.

    Raises:
        OSError: it cannot be read, or somebody else could have written it: a lever's value is not anybody's to plant.
    """
    never_block = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        file = os.open(path, os.O_RDONLY | never_block)
    except FileNotFoundError:
        return None
    with os.fdopen(file, "rb") as opened:
        known = os.fstat(file)
        foreign = hasattr(os, "geteuid") and (known.st_uid != os.geteuid() or known.st_mode & 0o022)
        if not stat.S_ISREG(known.st_mode) or foreign:
            raise PermissionError("it is no plain file that only this user can write")
        return opened.read(MOST_BYTES + 1)


def save(path: Path, body: bytes) -> None:
    """Replace the file in one step, readable by this user only; a reader sees the old content or the new one.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(body)
        beside.replace(path)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise


def _json(flag: dict[str, Any]) -> bytes:
    try:
        return json.dumps(flag, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # half a character, which only an escape can write
        return json.dumps(flag, separators=(",", ":")).encode()
