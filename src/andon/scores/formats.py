r"""Did the answer keep the format that was asked for, and is it written in Markdown?

A format is asked for by the query ("Answer in JSON", "within \boxed", "[Yes] or [No]"), by the right answer's own form, or
by OpenTelemetry's ``gen_ai.output.type``. How often this is right is in `docs/methods/scores.md`.
"""

import re

import orjson

from andon.scores.answers import BOXED, BRACKET
from andon.traffic import Interaction

__all__ = ["asked_format", "has_markdown", "keeps_format"]

ASKED_WITHIN = 2_000
"""Characters at either end of a query in which instructions are looked for; what is between is what they are about."""

PARSED = 1_000_000
"""Characters of an answer beyond which JSON is not parsed."""

STYLED_WITHIN = 4_000
"""Characters of an answer in which Markdown is looked for."""

# Every repetition below is bounded: query and answer are hostile input.
_SENTENCE = re.compile(r"[.!?\n]\s")
_JSON = re.compile(
    r"\b(?:as|in|into|only|valid|strict|raw|return|output|(?:respond|reply|answer) with|format:?)(?: a| valid)? json\b(?! file)"
    r"|\bjson (?:format|object|array|list|only|output|response|schema|document|with|containing)\b"
)
_VERBS = re.compile(
    r"\b(?:respond|repl(?:y|ies)|answer|return|output|give|provide|produce|format(?:ted)?|write|print|emit|generate|list|extract"
    r"|convert|summari[sz]e|classify|translate|use|must be|should be)\b"
)
_ABOUT = re.compile(
    r"^\W{0,5}(?:how|what|why|when|where|which|who|is|are|does|do|did|explain|describe|can i|should i)\b"
)
"""A sentence that asks about JSON rather than for it."""
_OPTIONS = re.compile(r"\[([^\[\]\n]{1,40})\]\W{0,4}\bor\b\W{0,4}\[([^\[\]\n]{1,40})\]", re.IGNORECASE)
_IN_BRACKETS = re.compile(r"\b(?:in|within|inside|between) (?:square )?brackets\b", re.IGNORECASE)
_FENCED = re.compile(r"\A```[\w+-]{0,20}[ \t]{0,8}\n(.*?)\n?[ \t]{0,8}```\Z", re.DOTALL)
_MARKDOWN = re.compile(
    r"^ {0,3}(?:```|~~~)"  # code fence
    r"|^ {0,3}#{2,6} \S"  # heading; one # alone is as often a comment in code
    r"|^ {0,6}(?:[-*+•]|\d{1,2}[.)]) \S"  # list
    r"|^ {0,3}\|.{1,300}\|[ \t]{0,8}$"  # table
    r"|\*\*[^*\n]{1,200}\*\*",  # bold
    re.MULTILINE,
)


def asked_format(i: Interaction) -> str | None:
    r"""The format that the answer must have: ``json``, ``boxed``, ``bracket``, or options such as ``[yes]|[no]``; None if any.

    Read at the two ends of the query only: in the middle stands what the instructions are about.
    """
    query, expected = i.query or "", (i.expected_answer or "").strip()
    ends = query if len(query) <= 2 * ASKED_WITHIN else f"{query[:ASKED_WITHIN]}\n{query[-ASKED_WITHIN:]}"
    if (i.attributes.get("gen_ai.output.type") or "").casefold() == "json" or _asks_for_json(ends):
        return "json"
    if "\\boxed" in ends or "\\boxed" in expected[:ASKED_WITHIN]:
        return "boxed"
    if "[" in ends and (found := _OPTIONS.search(ends)):
        return "|".join(f"[{option.strip().casefold()}]" for option in found.groups())
    if "brackets" in ends and _IN_BRACKETS.search(ends):
        return "bracket"
    return _format_of(expected)


def keeps_format(answer: str, wanted: str) -> bool:
    """Whether an answer has the format that `asked_format` found.

    JSON is an object or a list, alone or in one code fence: whoever asks for JSON takes a fence away. Brackets and boxes may
    stand anywhere, because one may think first.
    """
    if wanted == "json":
        return _is_json(answer.strip())
    if wanted == "boxed":
        return BOXED.search(answer) is not None
    if wanted == "bracket":
        return BRACKET.search(answer) is not None
    said = {f"[{b.strip().casefold()}]" for b in BRACKET.findall(answer)}
    return not said.isdisjoint(wanted.split("|"))


def has_markdown(answer: str) -> bool:
    """Whether an answer has a heading, a list, a table, bold text or a code fence in Markdown."""
    return _MARKDOWN.search(answer[:STYLED_WITHIN]) is not None


def _asks_for_json(text: str) -> bool:
    if "json" not in (plain := text.lower()):
        return False
    sentences = (s for s in _SENTENCE.split(plain) if "json" in s)
    return any(_JSON.search(s) and _VERBS.search(s) and not _ABOUT.match(s) for s in sentences)


def _format_of(expected: str) -> str | None:
    """The format that the right answer itself has."""
    if expected.startswith("{") and _is_json(expected):
        return "json"
    return "bracket" if len(expected) <= 82 and BRACKET.fullmatch(expected) else None


def _is_json(text: str) -> bool:
    if len(text) > PARSED:
        return False
    if text.startswith("```") and (inside := _FENCED.match(text)):
        text = inside[1].strip()
    if not text.startswith(("{", "[")):
        return False
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True
