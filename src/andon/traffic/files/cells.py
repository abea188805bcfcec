"""A row of a table (CSV, Parquet) made into a row of values: structured cells parsed, features of a model put together.

A table has only columns. Where one of them is a prediction, every column that is no field of ours is taken for an input
of the model; elsewhere such columns become attributes, as in JSON.
"""

import ast
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal
from math import isfinite
from typing import Any

import orjson

from andon.traffic.intake import field_of

__all__ = ["feature_columns", "parse_cell", "structured_columns", "with_features"]

_MAX_LITERAL = 2**20
"""Longest cell that is tried as a Python literal: its parser takes a hundred times the memory of the text."""
_PRINTED = ("['", "('", "{'")
"""How a structure begins that Python printed, and JSON cannot."""
_PRINTABLE = re.compile(r"(?:[^\\]|\\[\\'\"nrtxuU])*+")
"""Text with no other escapes than those that Python prints; others make its parser complain."""
_STRUCTURED = ("contexts", "tool_calls", "steps", "attributes", "features")
_INDEX = re.compile(r"|index|level_0|Unnamed: [0-9]+|column [0-9]+|__index_level_[0-9]+__")
"""Names that pandas gives to a column of row numbers: a count is no input of a model, and drifts for ever."""
_PREFIXES = ("features.", "feature.")
_DIGITS = frozenset("+-.0123456789")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", re.ASCII)


def feature_columns(names: Collection[str]) -> dict[str, str]:
    """The columns of a table that hold inputs of a model, each with the name of the feature.

    Those that begin with ``features.`` always; and, where a column is a prediction and none is `features`, every column
    that is no field and no row number.
    """
    found = {n: n[len(p) :] for n in names for p in _PREFIXES if n.startswith(p) and len(n) > len(p)}
    fields = {field_of(n) for n in names}
    if "prediction" in fields and "features" not in fields:
        found |= {n: n for n in names if field_of(n) is None and n not in found and not _INDEX.fullmatch(n)}
    return found


def structured_columns(names: Iterable[str]) -> frozenset[str]:
    """The columns of which a cell may hold a list or an object, written as JSON or as Python prints it."""
    return frozenset(n for n in names if field_of(n) in _STRUCTURED)


def with_features(row: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    """The row with the cells of these columns as its `features`: numbers where the whole cell is one, else text."""
    features = {}
    for column, name in columns.items():
        value = _feature(row.get(column))
        if value is not None:
            features[name] = value
    rest = {key: value for key, value in row.items() if key not in columns}
    return {**rest, "features": features} if features else rest


def parse_cell(text: str) -> Any:
    """The list or object that a cell holds as JSON or as Python prints it; any other text as it is."""
    inner = text.strip()
    if inner[:1] + inner[-1:] not in ("[]", "{}", "()"):
        return text
    if not inner.startswith(_PRINTED):
        with suppress(orjson.JSONDecodeError):
            return orjson.loads(inner)
    if len(inner) > _MAX_LITERAL or not _PRINTABLE.fullmatch(inner):
        return text
    try:
        found = ast.literal_eval(inner)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return text
    found = list(found) if isinstance(found, tuple) else found
    return found if isinstance(found, list | dict) and _is_plain(found) else text


def _is_plain(value: Any) -> bool:
    """Whether a value holds nothing but what JSON has too."""
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(k, str) and _is_plain(v) for k, v in value.items())
    if isinstance(value, str):
        return value.isascii() or not any("\ud800" <= c <= "\udfff" for c in value)
    if isinstance(value, bool | int):
        return -(2**63) <= value < 2**63
    return value is None or (isinstance(value, float) and isfinite(value))


def _feature(value: Any) -> float | str | None:
    """A cell as a feature; None where nothing was sent (an empty cell, NaN)."""
    if isinstance(value, str):
        if value[:1] in _DIGITS and _NUMBER.fullmatch(value):
            number = float(value)
            return number if isfinite(number) else value
        return None if value == "" or value.lower() == "nan" else value
    if isinstance(value, float) and value != value:  # noqa: PLR0124 - NaN
        return None
    convert = next((c for kinds, c in _KINDS if isinstance(value, kinds)), None)
    found: float | str | None = value if convert is None else convert(value)
    return found


_KINDS: tuple[tuple[type | tuple[type, ...], Callable[[Any], float | str]], ...] = (
    (Decimal, float),
    ((datetime, date), lambda v: str(v.isoformat())),
    ((bytes, bytearray), lambda v: str(bytes(v).hex())),
)
