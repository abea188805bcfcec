"""Golden sets in the formats of other tools: text in, cases and refusals out, and back.

A format is recognised by its content. What it cannot say, or Andon cannot measure, is refused by name, never dropped. What Andon
writes it reads back as the same cases, because `metadata.andon` carries what the format has no field for.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from andon.errors import InputError
from andon.golden.files import TESTED, case_of_row, parse_cases, render_cases
from andon.golden.formats import inspect_samples, langfuse, openai_evals, phoenix, promptfoo
from andon.golden.formats.rows import Reading, read_rows, rows_of
from andon.golden.records import Case, Refusal
from andon.traffic.quoting import quoted

__all__ = ["FORMATS", "OWN", "read_as", "recognise", "write_as"]

OWN = "andon"
"""The JSONL of a golden set; its fields in a CSV or in a JSON list are read too."""


@dataclass(frozen=True, slots=True)
class _Format:
    read: Callable[..., Reading]
    write: Callable[[Iterable[Case]], str]


def _read_own(text: str, name: str, *, app: str) -> Reading:
    """A golden set, whose lines are kept as they stand; or the same fields in a JSON list or in a CSV."""
    body = text.removeprefix("\ufeff").lstrip()
    if body.startswith("[") or ("question" in body.split("\n", 1)[0] and not body.startswith("{")):
        return read_rows(text, name, lambda row: case_of_row(row.value, app=app))
    return Reading(cases=parse_cases(text, app=app, name=name))


FORMATS: Mapping[str, _Format] = MappingProxyType(
    {
        OWN: _Format(_read_own, render_cases),
        "promptfoo": _Format(promptfoo.read, promptfoo.write),
        "langfuse": _Format(langfuse.read, langfuse.write),
        "phoenix": _Format(phoenix.read, phoenix.write),
        "openai-evals": _Format(openai_evals.read, openai_evals.write),
        "inspect": _Format(inspect_samples.read, inspect_samples.write),
    }
)
"""Formats by name."""


def recognise(text: str, name: str) -> str:
    """The name of the format that a file has, by its first row.

    Raises:
        InputError: it has none that is known; says what its first row holds.
    """
    body = text.removeprefix("\ufeff").lstrip()
    first: object = None
    if body.startswith(("{", "[")) or "," in body.split("\n", 1)[0]:
        try:
            rows, _ = rows_of(text, name)
            first = rows[0].value if rows else None
        except InputError:
            first = None
    if isinstance(first, dict):
        if "question" in first and "ground_truth" in first:
            return OWN
        for form, module in (("openai-evals", openai_evals), ("inspect", inspect_samples), ("langfuse", langfuse)):
            if module.matches(first):
                return form
        if phoenix.matches(first):
            return "phoenix"
    if promptfoo.recognises(text):
        return "promptfoo"
    if body.startswith("{") and not isinstance(first, dict):
        return OWN  # a damaged line: its reader names it
    keys = f"its first row has {', '.join(map(str, list(first)[:9]))}" if isinstance(first, dict) else "it has no row"
    raise InputError(
        f"{name} is in no format that is known: {quoted(keys, 200)}; name it with --format: {', '.join(FORMATS)}"
    )


def read_as(text: str, form: str, name: str, *, app: str = "default") -> Reading:
    """The cases of a file in a format; `app` where it names none.

    Raises:
        InputError: there is no such format, or the file as a whole cannot be read in it; in our own, any bad line.
    """
    reading = _format(form).read(text, name, app=app)
    seen: dict[str, Case] = {}
    cases: list[Case] = []
    refused = list(reading.refused)
    for case in reading.cases:
        twin = seen.setdefault(case.id, case)
        if other := [k for k in TESTED if getattr(twin, k) != getattr(case, k)]:
            said = f"{quoted(case.question)} with this right answer is measured by {twin.metric} already"
            reason = f"{said}, and this one differs in {' and '.join(other)}; keep one of them"
            refused.append(Refusal(id=case.id, reason=reason))
        elif twin is case or form == OWN:
            cases.append(case)
    return Reading(cases=tuple(cases), refused=tuple(refused))


def write_as(cases: Sequence[Case], form: str) -> tuple[str, tuple[Refusal, ...]]:
    """Cases in a format, and those that it cannot say.

    Raises:
        InputError: there is no such format.
    """
    writer = _format(form).write
    reasons = {c.id: promptfoo.missing(c) for c in cases} if form == "promptfoo" else {}
    left_out = tuple(Refusal(id=k, reason=v) for k, v in reasons.items() if v)
    return writer([c for c in cases if not reasons.get(c.id)]), left_out


def _format(form: str) -> _Format:
    if form not in FORMATS:
        raise InputError(f"there is no format {quoted(form)}; {', '.join(FORMATS)} are known")
    return FORMATS[form]
