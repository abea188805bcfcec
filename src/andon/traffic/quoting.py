"""Quote a hostile value in a message: shortened, on one line, nothing in it that a terminal would obey."""

from typing import Any

__all__ = ["quoted"]


def quoted(value: Any, limit: int = 60) -> str:
    """The value as text of at most about `limit` characters; control and direction characters are escaped."""
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
    if short.isprintable():
        return short
    return "".join(c if c.isprintable() else _escape(ord(c)) for c in short)


def _escape(code: int) -> str:
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
