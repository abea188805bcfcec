"""The rules of the gate, and the file in which a team keeps them. Pure: the text of a file in, rules out."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, get_args

from andon.errors import InputError
from andon.evals.records import Quarantine
from andon.settings import HIGH_RISK
from andon.traffic import parse_time
from andon.traffic.quoting import quoted

__all__ = ["DEFAULT", "GROUP", "LONGEST_DAYS", "REST", "TEXT", "Rule", "Rules", "parse_rules"]

GROUP = "high-risk"
"""The category of a rule that covers all risk categories of `HIGH_RISK`."""

REST = "*"
"""The category of a rule that covers every case that no other rule covers."""

LONGEST_DAYS = 30
"""A quarantine ends after so many days at the latest: a case that nobody mends is retired, not forgotten."""

_Kind = Literal["no_regression", "not_worse", "at_most", "bar"]
_KINDS: tuple[_Kind, ...] = get_args(_Kind)
_CHOICES = "`no_regression = true`, `not_worse = true`, `at_most = 0.02` or `bar = 0.95`"
_MOST_ATTEMPTS = 1000

TEXT = f"""\
# Rules of `andon gate`. A case belongs to the rule of its own risk category, else to "{GROUP}" ({", ".join(HIGH_RISK)}),
# else to "{REST}" (all other cases). Each rule has one of:
#   no_regression = true   a lost case never lets the gate pass; it fails once the loss is shown not to be chance
#   not_worse = true       fails when losses outnumber gains beyond chance; passes when nothing was lost
#   at_most = 0.02         passes when the pass rate is shown to have fallen by at most this much
#   bar = 0.95             passes when the pass rate is shown to be at least this; needs no baseline

alpha = 0.05     # chance that the gate as a whole fails a change that made nothing worse
repeats = 1      # attempts at each case; answers that vary need 3 to 5, in the baseline too
confirm = 5      # how often lost high-risk cases are asked again, of both versions; 0: the first loss fails

[[rule]]
category = "high-risk"
no_regression = true

[[rule]]
category = "*"
not_worse = true

# A flaky case decides nothing until a day, at most {LONGEST_DAYS} days ahead:
# [[quarantine]]
# case = "G-0123456789abcdef"
# until = 2026-12-24
# why = "the search index is rebuilt"
"""
"""The default file: what `andon gate` does without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What is asked of the cases of one category."""

    category: str
    """A risk category in lower case, `GROUP` or `REST`."""
    kind: _Kind
    limit: float | None = None
    """``at_most``: the drop of the pass rate that is accepted. ``bar``: the pass rate that is asked for."""

    @property
    def says(self) -> str:
        """The rule in words."""
        if self.limit is None:
            return self.kind.replace("_", " ")
        return f"at most {self.limit:.4g} worse" if self.kind == "at_most" else f"pass rate at least {self.limit:.4g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """All rules of one gate."""

    rules: tuple[Rule, ...]
    alpha: float = 0.05
    """Chance that the gate as a whole fails a change that made nothing worse."""
    repeats: int = 1
    """Attempts at each case."""
    confirm: int = 5
    """How often a lost case of a ``no_regression`` rule is asked again, at least; 0: the first loss fails."""
    baseline: str | None = None
    """The saved run to compare with, as a path."""
    quarantine: tuple[Quarantine, ...] = ()
    """Cases that decide nothing until a day; those that are over decide again, and are told."""

    def set_aside(self, now_us: int) -> dict[str, Quarantine]:
        """The quarantines that hold at a time, by case."""
        return {q.id: q for q in self.quarantine if now_us < q.until_us}

    def rule_of(self, categories: Iterable[str | None]) -> Rule | None:
        """The rule for a case that has these risk categories (one in each run); None where none fits.

        The rule of its own category goes before that of the group, and that before the rest. What is of high risk in one of the
        runs is of high risk.
        """
        names = sorted({(c or "").strip().casefold() for c in categories} - {REST})
        known = {r.category: r for r in self.rules}
        high = [n for n in names if n in HIGH_RISK]
        for name in (*high, *([GROUP] if high else names)):
            if name in known:
                return known[name]
        return known.get(REST)


DEFAULT = Rules(rules=(Rule(category=GROUP, kind="no_regression"), Rule(category=REST, kind="not_worse")))
"""No regression where the risk is high; not worse elsewhere."""


def parse_rules(text: str, *, name: str = "andon-gate.toml", now_us: int | None = None) -> Rules:
    """The rules of a file; what a file leaves out is as in `DEFAULT`.

    Args:
        text: TOML.
        name: how messages call the file.
        now_us: where it is given, a quarantine may end at most `LONGEST_DAYS` later.

    Raises:
        InputError: it is not TOML, or holds a key, a value or a combination that is not allowed; the message names the place.
    """
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is not TOML: {error}; `andon gate --init` writes one to begin with") from None
    allowed = ("alpha", "repeats", "confirm", "baseline", "rule", "quarantine")
    if unknown := sorted(set(data) - set(allowed)):
        raise InputError(f"{name}: there is no {quoted(unknown[0], 60)}; allowed are {', '.join(allowed)}")
    baseline = data.get("baseline")
    if baseline is not None and not (isinstance(baseline, str) and baseline.strip()):
        raise InputError(f"{name}: baseline is {quoted(baseline, 60)}; the path of a saved run is allowed")
    return Rules(
        rules=_rules(data["rule"], name) if "rule" in data else DEFAULT.rules,
        alpha=_number(data, "alpha", DEFAULT.alpha, name, 0.5, "a level above 0 and up to 0.5, 0.05 is usual"),
        repeats=_whole(data, "repeats", DEFAULT.repeats, name, 1),
        confirm=_whole(data, "confirm", DEFAULT.confirm, name, 0),
        baseline=baseline,
        quarantine=_quarantines(data.get("quarantine", []), name, now_us),
    )


def _rules(tables: Any, name: str) -> tuple[Rule, ...]:
    if not isinstance(tables, list) or not tables or not all(isinstance(t, dict) for t in tables):
        raise InputError(f"{name}: `rule` is {quoted(tables, 60)}; one or more tables `[[rule]]` are allowed")
    rules = [_rule(table, f"{name}: rule {k}") for k, table in enumerate(tables, 1)]
    seen: set[str] = set()
    for k, rule in enumerate(rules, 1):
        if rule.category in seen:
            raise InputError(f"{name}: rule {k}: {quoted(rule.category, 60)} has a rule already; keep one of them")
        seen.add(rule.category)
    return tuple(rules)


def _quarantines(tables: Any, name: str, now_us: int | None) -> tuple[Quarantine, ...]:
    if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        raise InputError(f"{name}: `quarantine` is {quoted(tables, 60)}; tables `[[quarantine]]` are allowed")
    found: dict[str, Quarantine] = {}
    for k, table in enumerate(tables, 1):
        where = f"{name}: quarantine {k}"
        if unknown := sorted(set(table) ^ {"case", "until", "why"}):
            raise InputError(f"{where}: case, until and why are needed, and nothing else; see {quoted(unknown[0], 60)}")
        case, why = (table[key].strip() if isinstance(table[key], str) else "" for key in ("case", "why"))
        if not case or not why:
            raise InputError(f"{where}: the id of a case and a reason are needed, as texts")
        if case in found:
            raise InputError(f"{where}: {quoted(case, 60)} is in quarantine already; keep one of them")
        try:
            until_us = parse_time(str(date.fromisoformat(str(table["until"]))))
        except ValueError:
            said = quoted(str(table["until"]), 60)
            raise InputError(f"{where}: until is {said}; a day such as 2026-12-24 is allowed") from None
        if now_us is not None and until_us > now_us + LONGEST_DAYS * 86_400_000_000:
            raise InputError(
                f"{where}: until {table['until']} is more than {LONGEST_DAYS} days ahead; choose an earlier day, or retire the case"
            )
        found[case] = Quarantine(id=case, until_us=until_us, by=name, why=why, at_us=0)
    return tuple(found.values())


def _rule(table: Mapping[str, Any], where: str) -> Rule:
    category = table.get("category")
    if not isinstance(category, str) or not category.strip():
        said = f"category is {quoted(category, 60)}" if "category" in table else "category is missing"
        raise InputError(f'{where}: {said}; a risk category, "{GROUP}" or "{REST}" is allowed')
    if unknown := sorted(set(table) - {"category", *_KINDS}):
        raise InputError(f"{where}: there is no {quoted(unknown[0], 60)}; allowed are category and one of {_CHOICES}")
    kinds = [kind for kind in _KINDS if kind in table]
    if len(kinds) != 1:
        said = " and ".join(kinds) or "nothing"
        raise InputError(f"{where}: {quoted(category, 60)} asks for {said}; give one of {_CHOICES}")
    kind, limit = kinds[0], None
    if kind == "at_most":
        limit = _number(table, kind, 0, where, 1, "a drop of the pass rate above 0 and below 1", below=True)
    elif kind == "bar":
        limit = _number(table, kind, 0, where, 1, "a pass rate above 0 and up to 1")
    elif table[kind] is not True:
        raise InputError(f"{where}: {kind} is {quoted(table[kind], 60)}; `true` is allowed, or another of {_CHOICES}")
    return Rule(category=category.strip().casefold(), kind=kind, limit=limit)


def _number(
    table: Mapping[str, Any], key: str, default: float, where: str, most: float, allowed: str, *, below: bool = False
) -> float:
    value = table.get(key, default)
    fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= most
    if not fits or (below and value == most):
        raise InputError(f"{where}: {key} is {quoted(value, 60)}; {allowed} is allowed")
    return float(value)


def _whole(table: Mapping[str, Any], key: str, default: int, where: str, least: int) -> int:
    value = table.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MOST_ATTEMPTS:
        raise InputError(
            f"{where}: {key} is {quoted(value, 60)}; a whole number from {least} to {_MOST_ATTEMPTS} is allowed"
        )
    return value
