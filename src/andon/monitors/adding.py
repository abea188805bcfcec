"""A new objective as the table that is appended to a configuration: checked against what stands there, written as TOML."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from andon.errors import InputError
from andon.monitors.objectives import FILE, Objective, matching, objectives_of
from andon.scores import Scorer

__all__ = ["added_objective", "appended", "named"]

LONGEST = 255


def named(row: Mapping[str, Any]) -> str:
    """A name for an objective of which nobody said one: what is limited, where, of which application."""
    where = ", ".join(f"{k} {v}" for k, v in (row.get("where") or {}).items())
    words = (
        row["metric"],
        row.get("direction"),
        "in",
        where or "all traffic",
        "of",
        row.get("app") or "all applications",
    )
    return " ".join(str(w) for w in words if w)[:LONGEST].strip()


def added_objective(
    tables: Mapping[str, Any], row: Mapping[str, Any], scorers: Sequence[Scorer], file: str = FILE
) -> Objective:
    """The objective that a configuration gets with this table.

    Args:
        tables: `Settings.tables` as they are.
        row: the new table ``[[objective]]``.
        scorers: what is measured.
        file: how messages call the file.

    Raises:
        InputError: the table is not understood, its name is taken, or the same is limited already.
    """
    rows = tables.get("objective", [])
    added = next(
        o
        for o in objectives_of({**tables, "objective": [*rows, row]}, scorers, file)
        if o.name == row["name"] and o.source == f"{file}, objective {len(rows) + 1}"
    )
    known = [
        o for o in objectives_of(tables, scorers, file) if (o.app, o.environment) == (added.app, added.environment)
    ]
    scope = added.scope
    for other in matching(known, added.app or "", added.environment or "", added.metric, added.direction, scope):
        if other.beyond == added.beyond:
            raise InputError(
                f"{other.source} ({other.name}) limits the same to {other.at_most:g} already; change it there"
            )
    return added


def appended(text: str, row: Mapping[str, Any], file: str = FILE) -> tuple[str, str]:
    """A configuration file with one more table ``[[objective]]``, as (whole text, what was added).

    Raises:
        InputError: the file cannot take it: it is no TOML, or it holds its objectives in another form.
    """
    lines = [f"{key} = {_toml(value)}" for key, value in row.items()]
    added = "\n".join(("[[objective]]", *lines)) + "\n"
    whole = (f"{text.rstrip()}\n\n" if text.strip() else "") + added
    try:
        found = tomllib.loads(whole)["objective"][-1]
    except (ValueError, KeyError) as error:
        raise InputError(
            f"{file} cannot take a table [[objective]] at its end: {error}; add it by hand:\n{added}"
        ) from error
    if found != dict(row):
        raise InputError(f"{file} would read it as {found!r}; add it by hand:\n{added}")
    return whole, added


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
