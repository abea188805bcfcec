"""What a rule of redaction is made of: forms, which are exact, and an alarm, which is quick.

A *form* is a pattern over decoded text, with a test that looks at what it matched. The *alarm* is one expression for an
engine of finite automata over raw (JSON) text: where a form finds something in the decoded text, the alarm goes off in
the raw one; the reverse need not hold. So an alarm reads past what JSON may escape, at any depth of JSON within JSON.

Cores of forms write ``<S>`` for a separator within a number, ``<P>`` for one within a telephone number, ``<W>`` for white
space, ``<Q>`` for a quotation mark and ``<=>`` for a sign of assignment. Every pattern takes time linear in the text: what
repeats without bound cannot start within itself.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

__all__ = [
    "ALONE",
    "ANYWHERE",
    "ESCAPED",
    "HIDDEN",
    "ODD",
    "ODD_NUMBER",
    "PART",
    "PART_END",
    "RAW_ALONE",
    "RAW_END",
    "RAW_PART",
    "RAW_WORD",
    "WORD",
    "Form",
    "Found",
    "Read",
    "Rule",
    "form",
    "found_in",
    "whole",
]

Found = tuple[int, int, str]
"""Start, end and normalised value of what is to be redacted."""

Read = Callable[[re.Match[str]], Found | None]
"""Looks at a match again: what of it is to be redacted, or None when it is none after all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One shape of a value, and the test whether something of that shape is one."""

    pattern: re.Pattern[str]
    read: Read


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Everything that one kind of value looks like."""

    forms: tuple[Form, ...]
    alarm: str
    """In the syntax of Rust's regex, without Unicode classes."""
    field: Callable[[str, str], Found | None] | None = None
    """What of a JSON text is such a value because of the name of its field; given name and text."""


_SPACES = "\u00a0\u2009\u202f\u2010-\u2013"
"""Spaces that do not break, and dashes."""
_MARKS = (
    ("<S>", rf"[ {_SPACES}\-]"),
    ("<P>", rf"[ {_SPACES}./()\-]"),
    ("<W>", r"[ \t\r\n]"),
    ("<Q>", "[\"'`]"),
    ("<=>", "(?:=>|:=|[:=])"),
)

# What may stand before a value, and after it. Patterns:
ANYWHERE = ""
WORD = r"(?<!\w)"
ALONE = r"(?<![\w\-])"
PART = r"(?<!\w)(?<![0-9A-Fa-f]-)(?<!\d[.,/:])"
"""No part of a longer code (such as a UUID), date or number; `PART_END` is its other end."""
PART_END = r"(?!\w)(?!-\w)(?![.,/:]\d)"

# The same for alarms. The end of an escape looks like a letter or a digit, and is none.
ESCAPED = r"\\+u[0-9A-Fa-f]{4}"
RAW_WORD = r"(?:^|(?u:[^0-9A-Za-z_])|\\(?:[bfnrt]|u[0-9A-Fa-f]{4}))"
RAW_ALONE = r"(?:^|(?u:[^0-9A-Za-z_\-])|\\(?:[bfnrt]|u[0-9A-Fa-f]{4}))"
RAW_PART = r"(?:^[.\-]?|(?u:[^0-9A-Za-z_.\-])|(?u:[^0-9])\.|(?u:[^0-9A-Fa-f])-|\\(?:[bfnrt]|u[0-9A-Fa-f]{4})[.\-]?)"
RAW_END = r"(?:(?u:[^0-9A-Za-z_])|$)"
ODD = rf"(?:\\+/|{ESCAPED}|(?u:[\x{{a0}}\x{{2009}}\x{{202f}}\x{{2010}}-\x{{2013}}]))"
"""A separator that is not written as one ASCII character."""
ODD_NUMBER = rf"[0-9][ ()./\-]*(?:{ODD}[ ()./\-]*)+[0-9]"
"""Digits with such a separator between them."""
HIDDEN = r"\\u00(?:2[0589bdefBDEF]|3[0-9aA]|[4-7][0-9A-Fa-f])"
"""An escape that JSON does not need: in a raw text that has one, anything may hide."""


def whole(match: re.Match[str]) -> Found:
    """All of a match, as it is written; of its group ``v``, where it has one, only that."""
    group = "v" if "v" in match.re.groupindex else 0
    return match.start(group), match.end(group), match[group]


def form(core: str, read: Read = whole, *, before: str = WORD, after: str = r"(?!\w)") -> Form:
    """A form from its core and from what may not stand on either side of it."""
    for mark, meaning in _MARKS:
        core = core.replace(mark, meaning)
    return Form(pattern=re.compile(before + core + after, re.ASCII), read=read)


def found_in(one: Form, text: str, is_free: Callable[[int, int], bool] | None = None) -> Iterator[Found]:
    """What a form finds in a decoded text, from left to right, where it is free; what it finds does not overlap."""
    search, read, at = one.pattern.search, one.read, 0
    while (match := search(text, at)) is not None:
        found = read(match)
        if found is None or not (is_free is None or is_free(found[0], found[1])):
            at = match.start() + 1  # something else may begin within what was none
        else:
            yield found
            at = max(found[1], match.start() + 1)
