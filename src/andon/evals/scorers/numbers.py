"""The case scorer `numeric`: the one number of an answer against that of the right answer."""

import re
import unicodedata
from dataclasses import dataclass
from itertools import takewhile

from andon.errors import InputError
from andon.evals.records import CaseScorer, Measured, Output
from andon.evals.scorers.matching import check_expect, fails_again, right_unless
from andon.golden import Case
from andon.scores import Embedder
from andon.scores.answers import final_answers
from andon.scores.text import STOP_WORDS
from andon.traffic.quoting import quoted

__all__ = ["NUMERIC", "Quantity", "quantities"]

READ = 20_000
"""Characters of an answer beyond which it is not searched for a number: it would be a guess which one is meant."""

_SPACES = "\u00a0\u2009\u202f'’ "
_RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹"
_NUMBER = re.compile(
    r"(?<![\w.,])(?P<money>[A-Z]{0,3}[$€£¥]\s?|[A-Z]{2,3}\s)?(?P<sign>[-+−–])?(?P<money2>[$€£¥]\s?)?"
    rf"(?P<digits>\d{{1,3}}(?:[{_SPACES}]\d{{3}})+(?![\d])(?:[.,]\d+)?|\d[\d.,]*\d|\d|\.\d+)"
    rf"(?P<exponent>(?:[eE]|\s?[x×*·]\s?10\s?\^?)[{{(]?[-+−]?\d{{1,3}}[)}}]?|\s?[x×*·]\s?10[⁺⁻]?[{_RAISED}]{{1,3}})?"
    r"(?:\s?(?P<scale>thousand|million|billion|trillion|bn|mn|k)\b)?"
    r"(?:\s?(?P<unit>%|percent\b|per cent\b|°\s?[CF]\b|[$€£¥]|[^\W\d_]{1,20}(?:[²³]|\^?[23]\b)?(?:/[^\W\d_]{1,4}[²³]?)?))?"
)
_POWER = re.compile(rf"[-+−]?\d+(?=[)}}]?$)|[⁺⁻]?[{_RAISED}]+$")
_BOUND = re.compile(r"(?:(?<![-=<>])[<>]=?|[≤≥≠]|!=|(?<![\d)])(?<![\d)]\s)±)\s?$")
_TAG = re.compile(r"<[/a-zA-Z][^<>]*>\s?$")
"""It ends like a bound: ``<b>5</b>``."""
_CASED = re.compile(r"[KMGT]i?b|[kKMGT]i?B(?:ps|/s)|m(?:[ACFJKMNSTVW]|Hz|Pa|Wh)")
"""Units that another case would make another unit: Mb and MB, MB/s and Mb/s, mW and MW."""
_FOLLOWING = re.compile(r"(?:\s[^\W\d_]{1,20}){1,2}(?![^\W_])")
_CITATION = re.compile(r"\[\^?\d{1,3}(?:\s?,\s?\d{1,3})*\]")
_REASON = re.compile(r"[.;]\s|\(|\b(?:because|since|as)\b")
"""Where a marked answer ends and its reason begins: numbers of the reason are not the answer."""
_PLAIN = str.maketrans({"²": "2", "³": "3", "^": None, " ": None, "\u00a0": None})
_SCALES = {"k": 1e3, "thousand": 1e3, "million": 1e6, "mn": 1e6, "billion": 1e9, "bn": 1e9, "trillion": 1e12}

_UNITS: dict[str, tuple[str, float]] = {
    word: (dimension, factor)
    for dimension, rows in {
        "ratio": {"% percent": 0.01},
        "length": {
            "m metre metres meter meters": 1.0, "km kilometre kilometres kilometer kilometers": 1000.0, "cm centimetres": 0.01,
            "mm millimetres": 0.001, "ft foot feet": 0.3048, "mi mile miles": 1609.344, "inch inches": 0.0254,
        },
        "mass": {"kg kilogram kilograms": 1.0, "g gram grams": 0.001, "mg milligram milligrams": 1e-6,
                 "t tonne tonnes": 1000.0, "lb lbs pound pounds": 0.45359237},
        "time": {"s sec second seconds": 1.0, "ms milliseconds": 0.001, "min minute minutes": 60.0,
                 "h hr hrs hour hours": 3600.0, "day days": 86400.0, "week weeks": 604800.0},
        "speed": {"m/s": 1.0, "km/h kmh kph": 1 / 3.6, "mph": 0.44704, "knots": 1852 / 3600},
        "area": {"m2 sqm": 1.0, "km2": 1e6, "ha hectare hectares": 1e4},
        "volume": {"l litre litres liter liters": 1.0, "ml millilitres milliliters": 0.001, "m3": 1000.0},
        "dollar": {"$ us$ usd dollar dollars": 1.0}, "euro": {"€ eur euro euros": 1.0}, "sterling": {"£ gbp": 1.0},
        "yen": {"¥ jpy yen": 1.0}, "celsius": {"°c": 1.0}, "fahrenheit": {"°f": 1.0},
        "bytes": {"b byte bytes": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
                  "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40},
    }.items()
    for words, factor in rows.items()
    for word in words.split()
}  # fmt: skip
"""Units that are converted, by their dimension; another word after a number is a unit of its own."""

_DIMENSIONS = frozenset(dimension for dimension, _ in _UNITS.values())
_MONEY = frozenset(("dollar", "euro", "sterling", "yen"))
_NO_UNIT = STOP_WORDS | {
    "above", "again", "ago", "altogether", "approximately", "below", "deep", "degree", "degrees", "each", "high", "left", "long",
    "old", "only", "overall", "per", "roughly", "sharp", "tall", "then", "thus", "today", "total", "wide", "x",
}  # fmt: skip
"""Words after a number that are no unit of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A number as it was written, and what it means."""

    written: str
    number: float
    """Without its unit: 12 for "12 %"."""
    dimension: str | None
    """What its unit measures; of a word that is not in the table ``of`` and the word. None: no unit follows."""
    value: float
    """In the unit that its dimension is compared in: 0.12 for "12 %"."""
    then: tuple[str | None, ...] = ()
    """The dimensions of two words after such a word, "42 sovereign countries" are countries, or of one beside "TOP 42"."""


def quantities(text: str) -> list[Quantity]:
    """The numbers of a text, in its order.

    A sign, thousands separators (comma, space, apostrophe; a point too where a comma follows it), exponents, words of scale and
    the units of a table are understood. One comma that does not part three digits is a decimal comma. A number with a bound
    (``< 5``, ``≥ 5``, ``±5``) or a power (``5²``) is another number, and left out.
    """
    text = text[:READ]
    return [q for found in _NUMBER.finditer(text) if (q := _quantity(found, text)) is not None]


def _quantity(found: "re.Match[str]", text: str) -> Quantity | None:
    number, before = _value(found["digits"]), text[max(0, found.start() - 60) : found.start()]
    bounded = _BOUND.search(before) is not None and _TAG.search(before) is None
    if number is None or bounded or text.startswith(tuple(_RAISED), found.end("digits")):
        return None
    if power := _POWER.search(found["exponent"] or ""):
        number *= 10.0 ** min(300, max(-300, int(unicodedata.normalize("NFKC", power[0]).replace("−", "-"))))
    number *= _SCALES.get(found["scale"] or "", 1.0)
    number *= -1 if found["sign"] in ("-", "−", "–") else 1
    money, unit = (found["money2"] or found["money"] or "").strip(), found["unit"] or ""
    if money and unit in ("M", "B"):
        number, unit = number * {"M": 1e6, "B": 1e9}[unit], ""
    (dimension, factor), *others = _named(money, unit)
    more = None if dimension in _DIMENSIONS else _FOLLOWING.match(text, found.end())
    units = (*(each for each, _ in others), *map(_own_unit, (more[0] if more else "").casefold().split()))
    then = tuple(takewhile(lambda unit: unit is not None, units))
    return Quantity(written=found[0].strip(), number=number, dimension=dimension, value=number * factor, then=then)


def _named(money: str, unit: str) -> list[tuple[str | None, float]]:
    """Dimension and factor of what stands before and after a number, the first as its unit: EUR 30 each, TOP 30 apples."""
    before = _UNITS.get(money.casefold(), (None, 1.0))
    if before[0] in _MONEY:
        return [before]
    own = (_own_unit(money.casefold()), 1.0)
    word = unit if _CASED.fullmatch(unit) else unit.casefold().replace("per cent", "percent")
    after = _UNITS.get(word := word.translate(_PLAIN), (_own_unit(word), 1.0))
    if own[0] is None or (money.isalpha() and after[0] in _DIMENSIONS):
        return [after]
    return [own, after] if money.isalpha() else [own]


def _own_unit(word: str) -> str | None:
    """The dimension of a unit that is not in the table: the word itself, in the singular; None where it is none."""
    if not word or word in _NO_UNIT:
        return None
    return "of " + (f"{word[:-3]}y" if word.endswith("ies") else word.removesuffix("s"))


def _value(digits: str) -> float | None:
    plain = re.sub(f"[{_SPACES}]", "", digits)
    comma, point = plain.rfind(","), plain.rfind(".")
    if comma > point >= 0:  # 1.234,56
        plain = plain.replace(".", "").replace(",", ".")
    elif comma >= 0 and not re.fullmatch(r"[1-9]\d{0,2}(?:,\d{2,3})*,\d{3}(?:\.\d+)?", plain):
        plain = plain.replace(",", ".")  # 3,5
    else:
        plain = plain.replace(",", "")
    if re.fullmatch(r"[1-9]\d{0,2}(?:\.\d{3}){2,}", plain):  # 1.234.567
        plain = plain.replace(".", "")
    try:
        return float(plain)
    except ValueError:  # a date or a version: 2026.11.20
        return None


def _numeric(case: Case, output: Output, _: Embedder) -> Measured:
    check_expect(case, "tolerance", "relative")
    right, answer = _right(case), output.answer or ""
    absolute, relative = _bound(case, "tolerance"), _bound(case, "relative")
    if again := fails_again(case, answer):
        return again
    given, problem = _given(answer, right)
    if given is None:
        return right_unless(problem)
    allowed = max(absolute, relative * abs(right.number), 1e-9 * abs(right.number))
    off = _distance(given, right)
    if off is None:
        return right_unless(f"{quoted(given.written)} is no amount of what {quoted(right.written)} is")
    detail = f"{quoted(given.written)} against {quoted(right.written)}: off by {off:.4g}, allowed {allowed:.4g}"
    return right_unless(None if off <= allowed else detail, detail)


def _right(case: Case) -> Quantity:
    """The number of the right answer.

    Raises:
        InputError: it holds none, or several and no mark.
    """
    found, problem = _given(case.ground_truth, None)
    if found is None:
        raise InputError(f"the right answer {quoted(case.ground_truth)} is no number ({problem}); use another metric")
    return found


def _bound(case: Case, key: str) -> float:
    value = case.expect.get(key, 0.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise InputError(f"expect.{key} is {quoted(value)}; a number of 0 or more is allowed")
    return float(value)


def _given(text: str, right: Quantity | None) -> tuple[Quantity | None, str]:
    """The number that a text commits itself to, or why there is none. Several are no commitment, unless one is marked."""
    if len(text) > READ:
        return None, f"it has {len(text):,} characters; up to {READ:,} are searched for its number"
    prose = _CITATION.sub(" ", text)
    source = prose if quantities(prose) else text
    marks = [quantities(_REASON.split(mark, maxsplit=1)[0]) or quantities(mark) for mark in final_answers(source)]
    found = [q for mark in marks for q in mark] or quantities(source)
    if right is not None and right.dimension is not None:  # "on the border of 2 countries, 8611 m high"
        found = [q for q in found if right.dimension in (q.dimension, *q.then)] or found
    if not found:
        return None, "it holds no number, or a bound or a power of one"
    if len({q.value for q in found}) > 1 or len({q.dimension for q in found} & _DIMENSIONS) > 1:
        shown = ", ".join(quoted(q.written, 20) for q in found[:4])
        marked = "marks several" if any(marks) else "marks none as its answer (`answer:` or a box)"
        return None, f"it holds {len(found)} numbers ({shown}) and {marked}"
    return max(found, key=lambda q: (right is not None and q.dimension == right.dimension, q.dimension is not None)), ""


def _distance(given: Quantity, right: Quantity) -> float | None:
    """How far two quantities are apart, in the unit of the right one; None where they are not of one kind.

    A unit that one of them leaves out is taken from the other, and a bare ratio may stand for a percentage.
    """
    if right.dimension in (given.dimension, *given.then):
        factor = right.value / right.number if right.number else 1.0
        return abs(given.value - right.value) / abs(factor)
    if given.dimension is not None and right.dimension is not None:
        return None
    plain = abs(given.number - right.number)
    if "ratio" in (given.dimension, right.dimension):
        factor = right.value / right.number if right.number else 1.0
        return min(plain, abs(given.value - right.value) / abs(factor))
    return plain


NUMERIC = CaseScorer(
    name="numeric",
    version="3",
    about="The one number of the answer is the right one, within `expect.tolerance` (absolute) or `expect.relative`.",
    score=_numeric,
)
