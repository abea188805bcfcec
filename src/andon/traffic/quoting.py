"""Quote a hostile value in a message: shortened, on one line, nothing in it that a terminal would obey or that nobody sees."""

import re
from typing import Any

__all__ = ["quoted"]


_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
"""What counts as printable and is shown as nothing: Unicode's Default_Ignorable code points, and the empty Braille pattern."""


def quoted(value: Any, limit: int = 60) -> str:
    """The value as text of at most about `limit` characters; control, direction and unseen characters are escaped."""
    if isinstance(value, bytes):
        value = value[: limit + 1].decode("utf-8", "backslashreplace")
    if isinstance(value, str):
        return f'"{_escaped(value, limit)}"'
    if isinstance(value, int) and value.bit_length() > 128:
        return "a number of more than 38 digits"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return f"an object of {len(value)}"
    return _escaped("null" if value is None else str(value), limit)


def _escaped(text: str, limit: int) -> str:
    short = text[:limit] + ("…" if len(text) > limit else "")
    if short.isprintable() and _UNSEEN.search(short) is None:
        return short
    return "".join(c if c.isprintable() and _UNSEEN.match(c) is None else _escape(ord(c)) for c in short)


def _escape(code: int) -> str:
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
