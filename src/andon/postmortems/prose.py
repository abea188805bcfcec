"""Prose by a language model, in which every number is checked against the record.

A model may write how it reads; it may not add what is not known. Each number must stand in the facts and be said of the same
thing: of interactions or of users, as a duration, as a time or as a share, near the words that its fact has for it. A
promise, a link or markup refuses the text as well, and one fault refuses it whole.

What this cannot see: whether a sentence without a number is true, whether a cause is claimed that is only probable, who is
praised or blamed, numbers that are put in words above twenty or in numerals of other languages, and a right number in a
wrong sentence about the same thing ("1,234 interactions were saved"). So what is accepted is a suggestion: people read it
against the record and copy it into a section, or do not.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from andon.incidents import Incident, odds
from andon.monitors.verdicts import percent
from andon.postmortems.draft import lag_texts, minute, named_suspects, plain, since_onset
from andon.postmortems.records import Postmortem

__all__ = ["WRITABLE", "Prose", "check_prose", "facts_of", "instruction", "suggestible"]

WRITABLE = {
    "Summary": "what users lost, for how long, how it was found, and what most probably explains it; at most 120 words",
    "Why it was not seen sooner": "why it was not seen sooner, and what would have seen it; at most 80 words",
    "How the factors worked together": "how the contributing factors worked together, none of them alone; at most 100 words",
    "Impact": "who was hit, how many, how badly, for how long; at most 80 words",
}
"""Sections that a model may suggest where a template asks people for them (`suggestible`), and what each must say. What people
thought, decided and learned is theirs to write; what a built-in template computes, nobody writes."""

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


_PROMISE = re.compile(
    r"(?i)\b(?:will|won['\u2019]t|shall|going to|promis\w+|guarant\w+|(?:commit\w*|pledg\w*|plan(?:s|ned)?|intends?) to|tomorrow|soon"
    r"|next (?:week|month|quarter|sprint|release|year)"
    r"|by (?:the )?(?:end of|(?:mon|tues|wednes|thurs|fri|satur|sun)day|next|tonight|noon|midnight))\b|\w['\u2019]ll\b"
)
"""What somebody would have to keep: a suggestion never becomes a commitment. Actions have owners and dates of their own."""
_MARKUP = re.compile(r"(?i)<\s*[a-z/!?]\w*>?|\]\s*[(\[:]|&#?\w+;|\b(?:https?|ftp|javascript|data|mailto)\s*:|\bwww\.")
"""HTML, links of Markdown, addresses: prose needs none, and a page must not lead where a model says."""

_UNITS = {
    "d": "d", "day": "d", "h": "h", "hour": "h", "hr": "h", "min": "min", "minute": "min", "s": "s", "sec": "s", "second": "s",
    "year": "year",
}  # fmt: skip
_ONE = r"\d[\d,.]*[ \u00a0\u202f-]?"
_DAYS, _HOURS, _MINUTES = rf"{_ONE}d(?:ays?)?\b", rf"{_ONE}h(?:(?:ou)?rs?)?\b", rf"{_ONE}min(?:ute)?s?\b"
_AND = r",? (?:and )?"
_TOKEN = re.compile(
    r"(?P<time>(?<!\w)\d{4}-\d\d-\d\d(?:(?:T| | at )\d\d:\d\d)?(?!\d)|(?<![\w.:])\d\d:\d\d(?!\d))"
    rf"|(?P<lasts>(?<![\w.])(?:{_DAYS}(?:{_AND}{_HOURS})?|{_HOURS}(?:{_AND}{_MINUTES})?|{_MINUTES}"
    rf"|{_ONE}(?:s(?:ec(?:ond)?s?)?|years?)\b))"
    r"|(?P<share>(?<![\w.])\d[\d,.\u202f]*[ \u00a0\u202f]?(?:%|per ?cent\b))"
    r"|(?P<number>\d+(?:[.,:\u00a0\u202f]\d+)*\w*)"
    r"|(?P<end>[.!?;](?=\s|$)|\n)"
    r"|(?P<code>[^\W\d_][\w'\u2019]*\d[\w'\u2019]*)"
    r"|(?P<word>[^\W\d_][\w'\u2019]*)"
)
ELSEWHERE = " (said of something else)"
TOTAL = {"of", "among", "all", "in", "from"}
NEAR = 6
"""Words between a number and what it counts, at most."""

_INTERACTIONS = ("interaction", "answer", "request", "call")
_USERS = ("user", "people", "person")
_EVENTS = {
    "began": ("began", "begin", "begun", "start", "onset"),
    "alarmed": ("alarm", "detect", "seen", "notic", "discover", "page"),
    "reported": ("report",),
    "stabilised": ("stabili", "contain", "last"),
    "fixed": ("fix", "repair", "last"),
    "closed": ("clos", "last"),
}
"""What a time or a duration belongs to, by the beginnings of the words for it. A time may be said without any."""
_BEYOND = ("beyond", "baseline", "excess", "more", "above", "extra", "additional")
_LATELY = ("end", "last", "late", "final")
_CHANCE = ("probab", "likel", "chance", "explain", "explan", "certain")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prose:
    """What became of a suggestion."""

    section: str
    text: str
    accepted: bool
    unknown: tuple[str, ...] = ()
    """Numbers, amounts, promises and markup that the record does not hold, as they stand in the text: why it was refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fact:
    """A number and the words by which a text says what it is; words are given by their beginnings."""

    kind: str
    """``number``, ``lasts``, ``share`` or ``time``."""
    value: str
    counts: tuple[str, ...] = ()
    """Nouns that it counts: the next noun after it must be one of them, or the last before it."""
    event: str = ""
    """What happened then, or after that time."""
    near: tuple[str, ...] = ()
    """One of these must stand in the same sentence; a noun that is counted may then be missing."""
    whole: bool = False
    """A total: it stands after "of", "among", "all", "in" or "from", never as what was harmed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    kind: str
    text: str
    value: str
    """How it is compared: digits without separators, units in short, words in small letters."""


def suggestible(asked: Iterable[str]) -> tuple[str, ...]:
    """Of the sections that a template asks people to write, those that a model may suggest."""
    return tuple(name for name in asked if name in WRITABLE)


def facts_of(p: Postmortem) -> str:
    """Everything that a model is told: computed facts in our own words, no value of traffic and no title.

    So nothing that somebody else wrote can give it orders.
    """
    return plain("\n".join(f"- {line}" for line, _ in _facts(p)))


def _facts(p: Postmortem) -> list[tuple[str, tuple[_Fact, ...]]]:
    """Lines for the model, each with the numbers that stand in it."""
    i, found, hit = p.incident, p.investigation, p.investigation.impact
    harmed, total, excess = (f"{n:,.0f}" for n in (hit.harmed, hit.n, hit.excess))
    part = " and ".join(f"one value of {k.replace('_', ' ')}" for k in i.scope) or "all traffic"
    lines: list[tuple[str, tuple[_Fact, ...]]] = [
        (f"severity: {i.severity}; class: {i.impact}; failure type: {i.failure or 'not known'}", ()),
        (f"affected part of the traffic: {part}; metric: {i.metric or 'none'}", ()),
        *_dated(i),
        (
            f"harmed: {harmed} of {total} interactions, {excess} beyond the baseline",
            (
                _number(harmed, _INTERACTIONS),
                _Fact(kind="number", value=_digits(total), counts=_INTERACTIONS, whole=True),
                _Fact(kind="number", value=_digits(excess), counts=_INTERACTIONS, near=_BEYOND),
            ),
        )
        if hit.n
        else ("harmed: not known", ()),
        (f"users hit: {hit.users:,}", (_number(str(hit.users), _USERS),))
        if hit.users
        else ("users hit: not known", ()),
    ]
    if hit.lately is not None:
        rate = percent(hit.lately)
        lines.append(
            (f"harm at the end: {rate}", (_Fact(kind="share", value=_share(rate), counts=_INTERACTIONS, near=_LATELY),))
        )
    lines += [(f"isolated or systematic: {found.verdict}", ()), (f"detection gap: {found.gap.kind}", ())]
    for name, at in (("stabilised", i.stabilised_us), ("fixed", i.fixed_us), ("closed", i.closed_us)):
        if at is not None:
            line, of = f"{name} at {minute(at)}", _times(at, name)
            if i.lead:
                long = since_onset(i, max(at, i.onset_us))
                line, of = f"{line}, {long} after it began", (*of, _lasts(long, name))
            lines.append((line, of))
    for s in named_suspects(i, found)[:3]:
        what = "no change that is recorded" if s.kind == "unknown" else f"a change of kind {s.kind}"
        chance = _Fact(kind="share", value=_share(odds(s.probability)), near=_CHANCE)
        lines.append((f"explanation, probability {odds(s.probability)}: {what}", (chance,)))
    if areas := list(dict.fromkeys(f.area for f in p.factors)):
        lines.append((f"contributing factors lie in: {', '.join(areas)}", ()))
    return lines


def _dated(i: Incident) -> list[tuple[str, tuple[_Fact, ...]]]:
    """When it began and was seen; of what only people reported, when that was."""
    if not i.lead:
        return [(f"reported at {minute(i.alarmed_us)}; when it began is not known", _times(i.alarmed_us, "reported"))]
    best, low, high = lag_texts(i)
    return [
        (
            f"began at {minute(i.onset_us)} (between {minute(i.onset_low_us)} and {minute(i.onset_high_us)})",
            tuple(f for at in (i.onset_us, i.onset_low_us, i.onset_high_us) for f in _times(at, "began")),
        ),
        (
            f"alarmed at {minute(i.alarmed_us)}, {best} after it began (between {low} and {high})",
            (*_times(i.alarmed_us, "alarmed"), *(_lasts(s, "alarmed") for s in (best, low, high))),
        ),
    ]


def instruction(p: Postmortem, section: str) -> str:
    """What a model is asked for one section."""
    return (
        "You write one section of a blameless postmortem. Use only the facts below. Do not add, round, convert or compute numbers; "
        "write every number as it stands in the facts, in digits, directly before what it counts (interactions, users), each time "
        "with its day and UTC, each duration and share with its unit. Name systems and changes, never people. No counterfactuals "
        "(should have, could have), no hindsight, no single root cause, no promises and no plans: nothing about the future. Plain "
        "text without headings, lists, links or markup.\n\n"
        f"The section says: {WRITABLE[section]}.\n\nFacts:\n{facts_of(p)}\n"
    )


def check_prose(p: Postmortem, section: str, text: str) -> Prose:
    """Whether a text may be suggested: each number is one of the facts, said of the same thing, and nothing is promised.

    A word with a digit (``P1``, ``USD5000``) must stand in the facts as it is. A number of interactions or users must stand within six words of a noun for these, and the next such noun after it (else
    the last before it) must be its own; a total stands after "of" or a like word. A time or a duration must not stand by the
    word of another event; a share, and what is beyond the baseline, must have a word of its fact in the sentence.
    """
    clean = plain(text).strip()
    facts = [f for _, of in _facts(p) for f in of]
    known = {(f.kind, f.value) for f in facts}
    codes = {token.value for line in _sentences(facts_of(p)) for token in line if token.kind == "code"}
    unknown = [
        token.text + (ELSEWHERE if (token.kind, token.value) in known else "")
        for sentence in _sentences(clean)
        for at, token in enumerate(sentence)
        if token.kind != "word" and token.value not in codes and not any(_holds(f, sentence, at) for f in facts)
    ]
    for pattern in (_VAGUE, _PROMISE, _MARKUP):
        unknown += [m[0].casefold() for m in pattern.finditer(clean)]
    return Prose(
        section=section, text=clean, accepted=bool(clean) and not unknown, unknown=tuple(dict.fromkeys(unknown))
    )


def _holds(fact: _Fact, sentence: Sequence[_Token], at: int) -> bool:
    """Whether the number at this place of a sentence is this fact, said of what the fact is of."""
    token = sentence[at]
    if (token.kind, token.value) != (fact.kind, fact.value):
        return False
    before = [t.value for t in sentence[:at] if t.kind == "word"]
    after = [t.value for t in sentence[at + 1 :] if t.kind == "word"]
    told = not fact.near or _starts((*before, *after), fact.near)
    if not told or (fact.whole and not TOTAL & set(before[-2:])):
        return False
    if fact.counts:
        nouns = (*_INTERACTIONS, *_USERS)
        noun = _first(after[:NEAR], nouns)
        if fact.near:
            return not noun or _starts((noun,), fact.counts)
        return _starts((noun or _first(before[: -NEAR - 1 : -1], nouns),), fact.counts)
    if fact.event:
        others = [w for e, words in _EVENTS.items() for w in words if fact.kind == "time" or e != "began"]
        word = _first(before[::-1], others) or _first(after, others)
        return not word or _starts((word,), _EVENTS[fact.event])
    return True


def _first(words: Sequence[str], beginnings: Sequence[str]) -> str:
    return next((w for w in words if _starts((w,), beginnings)), "")


def _starts(words: Sequence[str], beginnings: Sequence[str]) -> bool:
    return any(w.startswith(tuple(beginnings)) for w in words)


def _sentences(text: str) -> Iterator[list[_Token]]:
    """Words and numbers, sentence by sentence; units and percent signs are part of their number."""
    sentence: list[_Token] = []
    for m in _TOKEN.finditer(text):
        kind, said = str(m.lastgroup), m[0]
        if kind == "end":
            yield sentence
            sentence = []
        elif kind == "word" and said.casefold() in _WORDS and said.casefold() != "one":
            sentence.append(_Token(kind="number", text=said.casefold(), value=_WORDS[said.casefold()]))
        else:
            value = {"lasts": _span, "share": _share, "time": _moment, "number": _digits}.get(kind, str.casefold)(said)
            sentence.append(_Token(kind=kind, text=_SHORT[kind](said) if kind in _SHORT else said, value=value))
    yield sentence


def _number(value: str, counts: tuple[str, ...]) -> _Fact:
    return _Fact(kind="number", value=_digits(value), counts=counts)


def _times(at_us: int, event: str) -> tuple[_Fact, ...]:
    """A time, and its day and clock alone; a clock is one of UTC."""
    whole = _moment(minute(at_us).removesuffix(" UTC"))
    parts = ((whole, ("utc",)), (whole[:10], ()), (whole[11:], ("utc",)))
    return tuple(_Fact(kind="time", value=value, event=event, near=near) for value, near in parts)


def _lasts(value: str, event: str) -> _Fact:
    return _Fact(kind="lasts", value=_span(value), event=event)


def _digits(text: str) -> str:
    """Without thousands separators, so that 1,234 and 1234 are one."""
    return re.sub(r"(?<=\d)[,\u00a0\u202f](?=\d{3}(?!\d))", "", text)


def _share(text: str) -> str:
    return _digits(re.sub(r"[^\d.,]", "", text))


def _span(text: str) -> str:
    """``3 hours and 20 minutes`` as ``3 h 20 min``."""
    pairs = re.findall(r"(\d[\d,.]*)\D??([a-z]+)", text.casefold())
    return " ".join(f"{_digits(n)} {_UNITS.get(unit.rstrip('s') or unit, _UNITS.get(unit, unit))}" for n, unit in pairs)


def _moment(text: str) -> str:
    return text.replace(" at ", " ").replace("T", " ")


_SHORT = {"lasts": _span, "share": _share, "number": _digits}
"""How a number is named when it is refused."""
