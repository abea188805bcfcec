"""A form: what a kind of value looks like in a text, written once and compiled twice.

The exact *pattern* runs over decoded text. The *hint* is an expression for RE2 that runs over whole columns of raw (JSON)
text: where the pattern finds something in the decoded text, the hint finds something in the raw one; the reverse need
not hold. Both come from one *core*, which therefore has no look-around, and writes with a mark what JSON may escape:
``<S>`` a separator within a number, ``<P>`` the same or a parenthesis, ``<W>`` white space, ``<Q>`` a quotation mark,
``<=>`` a sign of assignment.

Every pattern takes time linear in the text: what repeats without bound cannot start within itself.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

__all__ = [
    "ANYWHERE",
    "ESCAPED",
    "HIDDEN",
    "NUMBER",
    "TOKEN",
    "WORD",
    "Form",
    "Found",
    "Read",
    "form",
    "found_in",
    "whole",
]

Found = tuple[int, int, str]
"""Start, end and normalised value of what is to be redacted."""

Read = Callable[[re.Match[str]], Found | None]
"""Looks at a match again: what of it is to be redacted, or None when it is none after all."""

_BETWEEN = " \u00a0\u2009\u202f\u2010-\u2013."
ESCAPED = r"\\+u[0-9A-Fa-f]{4}"
"""A character as JSON may write it, at any depth of JSON within JSON."""
HIDDEN = r"\\u00(?:2[0589bdefBDEF]|3[0-9aA]|[4-7][0-9a-fA-F])"
"""An escape that JSON does not need: in a raw text that has one, anything may hide."""

_MARKS = (
    ("<S>", rf"[{_BETWEEN}/\-]", rf"(?:[{_BETWEEN}/\-]|\\+/|{ESCAPED})"),
    ("<P>", rf"[{_BETWEEN}/()\-]", rf"(?:[{_BETWEEN}/()\-]|\\+/|{ESCAPED})"),
    ("<W>", r"[ \t\r\n]", rf"(?:\s|\\+[nrt]|{ESCAPED})"),
    ("<Q>", "[\"'`]", rf"(?:\\*[\"'`]|{ESCAPED})"),
    ("<=>", "(?:=>|:=|[:=])", rf"(?:[:=]|{ESCAPED})"),
)
_COUNT = re.compile(r"\{(\d+),\d*\}")

ANYWHERE = ("", "")
"""What may stand before a value, for the pattern and for the hint: anything."""
WORD = (r"(?<!\w)", rf"(?:^|\W|\\[bfnrt]|{ESCAPED})")
"""No word character; in raw text the end of an escape looks like one."""
TOKEN = (r"(?<![\w\-])", WORD[1])
"""As `WORD`, and no dash."""
NUMBER = (r"(?<!\w)(?<!\d\.)", rf"(?:^|[^\w.]|(?:^|[^0-9]|{ESCAPED})\.|\\[bfnrt]|{ESCAPED})")
"""As `WORD`, and not the point of a decimal number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One shape of a value, and the test whether something of that shape is one."""

    pattern: re.Pattern[str]
    hint: str
    """For RE2, over raw text."""
    read: Read


def whole(match: re.Match[str]) -> Found:
    """All of a match, as it is written; of its group ``v``, where it has one, only that."""
    group = "v" if "v" in match.re.groupindex else 0
    return match.start(group), match.end(group), match[group]


def form(
    core: str,
    read: Read = whole,
    *,
    before: tuple[str, str] = WORD,
    after: str = r"(?!\w)",
    hint: str | None = None,
) -> Form:
    """A form from its core; a core that RE2 does not read comes with a `hint` of its own, written with the same marks."""
    rough = re.sub(r"\(\?P<\w+>", "(?:", core) if hint is None else hint
    for mark, plain, raw in _MARKS:
        core, rough = core.replace(mark, plain), rough.replace(mark, raw)
    rough = _COUNT.sub(lambda m: "*" if m[1] == "0" else f"{{{m[1]},}}", rough)  # fewer states for the same duty
    return Form(pattern=re.compile(before[0] + core + after, re.ASCII), hint=before[1] + rough, read=read)


def found_in(text: str, one: Form) -> Iterator[Found]:
    """What a form finds in a decoded text, from left to right; what it finds does not overlap."""
    search, read, at = one.pattern.search, one.read, 0
    while (match := search(text, at)) is not None:
        found = read(match)
        if found is None:
            at = match.start() + 1  # something else may begin within what was none
        else:
            yield found
            at = max(found[1], match.start() + 1)
