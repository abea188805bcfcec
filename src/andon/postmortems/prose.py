"""Prose by a language model, in which every number is checked against the record.

A model may write how it reads; it may not add what is not known. A text with a number that the record does not hold is
refused whole, and what is accepted is a suggestion: people copy it into a section, or do not.
"""

import re
from dataclasses import dataclass

from andon.incidents import duration, odds, scope_text
from andon.monitors.verdicts import percent
from andon.postmortems.draft import minute, plain
from andon.postmortems.records import Postmortem

__all__ = ["WRITABLE", "Prose", "check_prose", "facts_of", "instruction"]

WRITABLE = {
    "summary": "what users lost, for how long, how it was found, and what most probably explains it; at most 120 words",
    "detection": "why it was not seen sooner, and what would have seen it; at most 80 words",
    "interaction": "how the contributing factors worked together, none of them alone; at most 100 words",
    "impact": "who was hit, how many, how badly, for how long; at most 80 words",
}
"""Sections that a model may suggest, and what each must say. What people thought, decided and learned is theirs to write."""

_NUMBER = re.compile(r"(?<![\w.])[+−-]?\d+(?:[.,:  ]\d+)*")
_WORDS = {
    w: str(n)
    for n, w in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
            "twenty",
        ]
    )
} | {"thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "seventy": "70", "eighty": "80", "ninety": "90"}
_VAGUE = re.compile(
    r"(?i)\b(?:half|thirds?|quarters?|dozens?|hundreds?|thousands?|millions?|doubl(?:ed?|ing)|tripl(?:ed?|ing)|quadrupl\w+|twice|thrice"
    r"|\w+fold|majority|most of)\b"
)
"""Amounts in words: they cannot be compared with the record to the digit, so they are not accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prose:
    """What became of a suggestion."""

    section: str
    text: str
    accepted: bool
    unknown: tuple[str, ...] = ()
    """Numbers and amounts that the record does not hold: the reason for which it was refused."""


def facts_of(p: Postmortem) -> str:
    """Everything that a model is told: computed facts only, no text of traffic, so that none of it can give it orders."""
    i, found = p.incident, p.investigation
    best, low, high = (duration(s) for s in i.lag_s)
    lines = [
        f"severity: {i.severity}; class: {i.impact}; type of failure: {i.failure or 'not known'}",
        f"affected part of the traffic: {scope_text(i.scope)}; metric: {i.metric or 'none'}",
        f"began at {minute(i.onset_us)} (between {minute(i.onset_low_us)} and {minute(i.onset_high_us)})",
        f"alarmed at {minute(i.alarmed_us)}, {best} after it began (between {low} and {high})",
        f"harmed: {found.impact.harmed:,} of {found.impact.n:,} interactions, {found.impact.excess:,.0f} beyond the baseline",
        f"users hit: {found.impact.users:,}" if found.impact.users else "users hit: not known",
        f"harm at the end: {percent(found.impact.lately)}"
        if found.impact.lately is not None
        else "harm at the end: not known",
        f"isolated or systematic: {found.verdict}",
        f"detection gap: {found.gap.kind}",
    ]
    for name, at in (("stabilised", i.stabilised_us), ("fixed", i.fixed_us), ("closed", i.closed_us)):
        if at is not None:
            lines.append(f"{name} at {minute(at)}, {duration(max(0.0, (at - i.onset_us) / 1e6))} after it began")
    lines += [f"explanation, probability {odds(s.probability)}: a {s.kind} change" for s in found.suspects[:3]]
    lines += [f"contributing factor ({f.area})" for f in p.factors]
    return plain("\n".join(f"- {line}" for line in lines))


def instruction(p: Postmortem, section: str) -> str:
    """What a model is asked for one section."""
    return (
        "You write one section of a blameless postmortem. Use only the facts below. Do not add, round, convert or compute numbers; "
        "write every number as it stands in the facts, in digits. Name systems and changes, never people. No counterfactuals "
        "(should have, could have), no hindsight, no single root cause. Plain text without headings or lists.\n\n"
        f"The section says: {WRITABLE[section]}.\n\nFacts:\n{facts_of(p)}\n"
    )


def check_prose(p: Postmortem, section: str, text: str) -> Prose:
    """Whether a text may be suggested: every number in it stands in the facts, in the same digits, and none is put in words."""
    known = _numbers(facts_of(p))
    said = _numbers(text)
    words = {w for w in re.findall(r"[a-z]+", text.casefold()) if w in _WORDS and w != "one"}
    unknown = sorted(said - known) + sorted(w for w in words if _WORDS[w] not in known)
    unknown += sorted({m[0].casefold() for m in _VAGUE.finditer(text)})
    clean = plain(text).strip()
    return Prose(section=section, text=clean, accepted=bool(clean) and not unknown, unknown=tuple(unknown))


def _numbers(text: str) -> set[str]:
    """Numbers as digits: without signs and thousands separators, so that 1,234 and 1234 are one."""
    return {re.sub(r"(?<=\d)[,  ](?=\d{3}(?!\d))", "", m[0].lstrip("+−-")) for m in _NUMBER.finditer(text)}
