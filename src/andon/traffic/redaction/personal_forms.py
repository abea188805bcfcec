"""What belongs to a person: e-mail addresses, telephone and card numbers, identity numbers, and IP addresses."""

import re
from collections.abc import Callable, Mapping
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from types import MappingProxyType

from andon.traffic.redaction.forms import (
    ANYWHERE,
    ESCAPED,
    ODD,
    ODD_NUMBER,
    PART,
    PART_END,
    RAW_END,
    RAW_PART,
    RAW_WORD,
    Found,
    Read,
    Rule,
    form,
)
from andon.traffic.redaction.identity_numbers import IBAN_LENGTHS, IDENTITY_NUMBERS, digits_of, has_luhn, is_iban

__all__ = ["CARD", "EMAIL", "IP", "NATIONAL_ID", "PHONE", "phone_number"]

_DATE = re.compile(r"\(?\d{1,2}[./ -]\d{1,2}[./ -](?:19|20)\d\d(?!\d)")
_GROUP = re.compile(r"[0-9]+")
_THREE_DIGIT_CODE = re.compile(r"2[1-69]\d|3[578]\d|42[013]|5[09]\d|6[789]\d|8[058]\d|9[679]\d")
_NATIONAL_DIGITS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"7": (10, 10), "20": (8, 10), "27": (9, 9), "30": (10, 10), "31": (9, 9), "32": (8, 9), "33": (9, 9)}
    | {"34": (9, 9), "36": (8, 9), "39": (6, 11), "40": (9, 9), "41": (9, 9), "43": (7, 13), "44": (9, 10)}
    | {"45": (8, 8), "46": (7, 10), "47": (8, 8), "48": (9, 9), "49": (7, 13), "51": (8, 9), "52": (10, 11)}
    | {"53": (6, 8), "54": (10, 11), "55": (10, 11), "56": (9, 9), "57": (8, 10), "58": (10, 10), "60": (8, 10)}
    | {"61": (9, 9), "62": (8, 12), "63": (8, 10), "64": (8, 10), "65": (8, 8), "66": (8, 9), "81": (9, 10)}
    | {"82": (8, 11), "84": (9, 10), "86": (10, 11), "90": (10, 10), "91": (10, 10), "92": (9, 10), "93": (9, 9)}
    | {"94": (9, 9), "95": (7, 10), "98": (10, 10)}
)
"""Fewest and most digits after the country code (ITU-T E.164 and the national numbering plans)."""


# E-mail

_LATIN = "\u00c0-\u024f\u0370-\u04ff"
"""Letters of alphabets that put spaces between words; where they do not, an address begins at its first ASCII letter."""
_LABEL = rf"[0-9A-Za-z{_LATIN}][0-9A-Za-z{_LATIN}\-]{{0,62}}"
_NO_HOST = re.compile(r"\d+\.\d+\.|.*\.(?:png|jpe?g|gif|svg|webp|css|js|html?|whl|tar|zip|lock|py|ts)\Z", re.IGNORECASE)


def _email(match: re.Match[str]) -> Found | None:
    local, host = match["local"], match["host"]
    if local.lower() == "git" or _NO_HOST.match(host):
        return None  # a repository, a package with its version, a file
    address = re.sub("%2B", "+", f"{local}@{host}", flags=re.IGNORECASE)
    return match.start("local"), match.end("host"), address.lower()


EMAIL = Rule(
    forms=(
        form(
            rf"[.+\-]*+(?P<local>[\w{_LATIN}](?:[\w.+\-{_LATIN}]|%2[Bb])*+)(?:@|%40)"
            rf"(?P<host>(?:{_LABEL}\.){{1,8}}[A-Za-z{_LATIN}]{{2,24}})",
            _email,
            # A percent escape or a percent sign may stand before it; what may repeat within an address may not.
            before=rf"(?:(?<![\w.+\-%{_LATIN}])|(?<=%[0-9A-Fa-f]{{2}})(?<!%2[Bb])|(?<=%)(?![0-9A-Fa-f]{{2}}))",
            after="",
        ),
    ),
    alarm=r"(?:[\w.+\-]|(?u:[\x{c0}-\x{4ff}]))@(?:[0-9A-Za-z\\]|(?u:[\x{c0}-\x{4ff}]))|%40",
)
"""Addresses, in URLs too, where the sign may be escaped as ``%40``."""


# Telephone

_NUMBER_WORD = r"(?:[ ._\-]?(?:numbers?|nummer|num|no|nr))?"
_LONG_WORDS = r"phone|telefono?|telefone|mobile?|celular|whatsapp|msisdn"
_SHORT_WORDS = r"tel|cell|fax|handy|gsm"
_PHRASES = r"wa\.me|sms|(?:call|text|reach|ring) (?:me|us)"
_FILLERS = "numbers?|nummer|num|nr|no|is|at|on"
_FOREIGN = "(?:teléfono|móvil|телефон|тел|номер|电话|手机|電話|携帯|전화)(?:号码|番号|번호)?"
_PHONE_NAME = re.compile(rf"(?:{_LONG_WORDS}|\b(?:{_SHORT_WORDS})){_NUMBER_WORD}[0-9_ .\-]{{0,4}}\Z", re.IGNORECASE)
_PHONE_VALUE = re.compile(r"[+(]{0,2}[0-9](?:[ ().\-/]{0,3}[0-9]){6,14}")


def phone_number(text: str) -> str:
    """A telephone number without what people write between its digits, and without the sign of a country code."""
    number = digits_of(re.sub(r"%2B|\(0\)", "", text, flags=re.IGNORECASE))
    return number[2:] if number.startswith("00") else number


def _phone_of(name: str, value: str) -> Found | None:
    if _PHONE_VALUE.fullmatch(value) and _PHONE_NAME.search(name[-64:]):
        return 0, len(value), phone_number(value)
    return None


def _is_international(number: str) -> bool:
    """Whether a number that begins with a country code has as many digits as that country gives out."""
    if number[:1] == "1":
        return len(number) == 11 and number[1] in "23456789" and number[4] in "23456789"
    for size in (1, 2):
        bounds = _NATIONAL_DIGITS.get(number[:size])
        if bounds is not None:
            return bounds[0] <= len(number) - size <= bounds[1]
    return _THREE_DIGIT_CODE.match(number) is not None and 9 <= len(number) <= 15


def _is_national(number: str) -> bool:
    return 9 <= len(number) <= 12


def _longest(match: re.Match[str], is_number: Callable[[str], bool]) -> Found | None:
    """The match, without the groups of digits at its end that make it too long."""
    for group in reversed(list(_GROUP.finditer(match[0]))):
        taken = match[0][: group.end()]
        number = phone_number(taken)
        if is_number(number):
            outside = taken.startswith("(") and ")" not in taken
            return match.start() + outside, match.start() + group.end(), number
    return None


def _international(match: re.Match[str]) -> Found | None:
    if re.fullmatch(r"(?:\+|%2[Bb])[0-9]{1,3}\.[0-9]{1,8}", match[0]):
        return None  # a signed decimal number, such as a latitude
    return _longest(match, _is_international)


def _zero_zero(match: re.Match[str]) -> Found | None:
    return None if match[0].isdigit() else _longest(match, _is_international)


def _trunk(match: re.Match[str]) -> Found | None:
    if _DATE.match(match[0]) or re.fullmatch(r"[0-9]+\.[0-9]+", match[0]):
        return None
    return _longest(match, _is_national)


def _shaped(match: re.Match[str]) -> Found:
    return match.start(), match.end(), digits_of(match[0])


def _announced(match: re.Match[str]) -> Found:
    return match.start("v"), match.end("v"), phone_number(match["v"])


_DASH = "[\u2010-\u2013\\-]"
_LINE = r"(?P<v>\+?\(?\d(?:<P>{0,2}\d){6,14})"
_GAP = r"[^0-9A-Za-z\x00-\x1f+(]"

PHONE = Rule(
    forms=(
        form(r"(?:\+|%2[Bb])\(?[1-9](?:<P>{0,3}\d){6,14}", _international, before=ANYWHERE),
        form(r"00[1-9](?:<P>{0,3}\d){7,14}", _zero_zero, before=PART, after=PART_END),
        form(
            rf"(?:1[ .\-])?(?:\([2-9]\d{{2}}\) ?[2-9]\d{{2}}(?:[ .]|{_DASH})\d{{4}}|[2-9]\d{{2}}\.[2-9]\d{{2}}\.\d{{4}}|"
            rf"[2-9]\d{{2}}(?: |{_DASH})[2-9]\d{{2}}{_DASH}\d{{4}})",
            _shaped,
            before=PART,
            after=PART_END,
        ),
        form(r"\(?0[1-9]\d{0,4}\)?(?:<P>{1,3}\d{2,8}){1,5}", _trunk, before=PART, after=PART_END + "(?!:)"),
        form(r"\([1-9]\d\) ?\d{4,5}[ \-]\d{4}", _shaped, before=r"(?<![\w)])(?<!\d )", after=r"(?![\w\-])"),
        form(r"1[3-9]\d[ \-]\d{4}[ \-]\d{4}", _shaped, before=PART, after=PART_END),
        form(r"[6-9]\d{2} \d{2} \d{2} \d{2}", _shaped, before=PART + r"(?<!\d )", after=PART_END + r"(?! \d)"),
        form(
            rf"(?i:(?:{_LONG_WORDS}|\b(?:{_SHORT_WORDS}|{_PHRASES})){_NUMBER_WORD})(?![A-Za-z]){_GAP}{{0,4}}(?:(?i:{_FILLERS}){_GAP}{{1,4}}){{0,3}}{_LINE}",
            _announced,
            before=ANYWHERE,
            after=r"(?!\w)(?!\.\d)",
        ),
        form(rf"{_FOREIGN}[ .:：=#№\"'\-]{{0,5}}{_LINE}", _announced, before=ANYWHERE, after=r"(?!\w)(?!\.\d)"),
    ),
    alarm="|".join(
        (
            r"(?:\+|%2[Bb])\(?[1-9](?:[ ()./\-]*[0-9]){6}",
            rf"{RAW_PART}(?:0[0-9](?:[ ()./\-]*[0-9]){{7,}}{RAW_END}|\d{{3}}(?: \d\d){{3}}|"
            r"(?:1[ .\-])?\(?\d{2,3}(?:[ .\-]|\)[ .\-]?)\d{3,5}[ .\-]\d{4})",
            rf"(?i:{_LONG_WORDS}|{RAW_WORD}(?:{_SHORT_WORDS}|{_PHRASES}))"
            rf"(?:(?u:[^0-9A-Za-z])|\\[nrt]|{ESCAPED}|(?i:{_FILLERS}))*[0-9\[]",
            # Any letter of the other words, and any escape: JSON may have escaped all of them.
            rf"(?:(?u:[\x{{400}}-\x{{4ff}}\x{{3000}}-\x{{d7ff}}])|{ESCAPED}|(?:{ESCAPED}|(?u:[\x{{c0}}-\x{{4ff}}]))(?:vil|fono))"
            rf"(?:[ .:=#\"'+(\\\-]|(?u:[^\x00-\x7f])|{ESCAPED})*[0-9](?:[ ()./\-]*[0-9]){{6}}",
            ODD_NUMBER,
        )
    ),
    field=_phone_of,
)
"""Numbers with a country code; national ones where their writing is unlike other numbers, or a word announces them."""


# Card


def _card(match: re.Match[str]) -> Found | None:
    number = digits_of(match[0])
    is_card = _has_issuer(number, digits_only=number == match[0]) and has_luhn(number)
    return (match.start(), match.end(), number) if is_card else None


def _has_issuer(number: str, *, digits_only: bool) -> bool:
    """Whether a network begins its card numbers so, and makes them of this length."""
    size, two, four = len(number), int(number[:2]), int(number[:4])
    if size == 14:
        return two in (36, 38, 39) or 3000 <= four <= 3059 or four == 3095
    if size == 15:
        return two in (34, 37)
    if two == 62:
        return True
    if size == 19 and digits_only:
        return False  # identifiers of 64 bits have as many digits
    if number[0] == "4" or two == 65 or four == 6011 or 6440 <= four <= 6499 or 3528 <= four <= 3589:
        return True
    return size == 16 and (51 <= two <= 55 or 2221 <= four <= 2720)


CARD = Rule(
    forms=tuple(
        form(core, _card, before=PART, after=r"(?!\w)(?!\.\d)")
        for core in (
            r"[346]\d{3}(?:\d{15}|(?:<S>\d{4}){3}<S>\d{3})",
            r"[2-6]\d{3}(?:\d{12}|(?:<S>\d{4}){3}|(?:\.\d{4}){3})",
            r"3[47]\d{2}(?:\d{11}|<S>\d{6}<S>\d{5}|<S>\d{4}<S>\d{4}<S>\d{3})",
            r"3[0689]\d{2}(?:\d{10}|<S>\d{6}<S>\d{4}|<S>\d{4}<S>\d{4}<S>\d{2})",
        )
    ),
    alarm=rf"{RAW_PART}(?:[2-6](?:\d{{13,15}}|\d{{18}}){RAW_END}|[2-6]\d{{3}}[ .\-]\d{{4}}[ .\-]\d{{4}}|"
    rf"3\d{{3}}[ \-]\d{{6}}[ \-])|{ODD_NUMBER}",
)
"""Card numbers of 19, 16, 15 and 14 digits, alone or in their usual groups, with an issuer's prefix and Luhn's digit."""


# Identity numbers and bank accounts


def _identity(test: Callable[[str], bool]) -> Read:
    def read(match: re.Match[str]) -> Found | None:
        value = re.sub(r"[^0-9A-Za-z]", "", match[0])
        return (match.start(), match.end(), value.upper()) if test(value) else None

    return read


def _iban(match: re.Match[str]) -> Found | None:
    length = IBAN_LENGTHS.get(match[0][:2].upper(), 0)
    rest = re.compile(rf"(?:[ \u00a0\-]?[0-9A-Za-z]){{{max(0, length - 4)}}}(?![0-9A-Za-z])")
    end = rest.match(match.string, match.start() + 4)
    if end is None:
        return None
    value = re.sub(r"[^0-9A-Za-z]", "", match.string[match.start() : end.end()]).upper()
    return (match.start(), end.end(), value) if is_iban(value) else None


def _announced_id(match: re.Match[str]) -> Found:
    return match.start("v"), match.end("v"), re.sub(r"[^0-9A-Z]", "", match["v"])


_ID_WORDS = (
    r"(?:SSN|SIN|NINO|NI|BSN|PESEL|TFN|(?i:ssn|nino|bsn|pesel|social (?:security|insurance)|national insurance|"
    r"burgerservicenummer|tax file))(?:[ _](?i:numbers?|num|nr|no|id))?(?i: is)?"
)
_RAW_S = rf"(?:[ \-]|{ODD})?"

NATIONAL_ID = Rule(
    forms=(
        form(r"[A-Z]{2}\d{2}(?:<S>?[0-9A-Z]{4}){2}<S>?[0-9A-Z]{3}", _iban, after=""),
        *(form(core, _identity(test), before=PART, after=PART_END) for core, test in IDENTITY_NUMBERS.values()),
        form(
            rf"{_ID_WORDS}{_GAP}{{1,4}}(?P<v>\d(?:[ .\-]?\d){{8,10}}|[A-Z]{{2}} ?\d{{2}} ?\d{{2}} ?\d{{2}} ?[A-D])",
            _announced_id,
        ),
    ),
    alarm="|".join(
        (
            rf"{RAW_PART}(?:[1-9]\d{{10}}{RAW_END}|[12]\d{{14}}{RAW_END}|[1-9]\d{{16}}[0-9Xx]{RAW_END}|[12]\d{{4}}2[ABab]\d{{3}}|"
            r"[12][ \-]\d\d[ \-]\d\d[ \-]|[1-9]\d(?: \d{3}){3}|[2-9]\d{3} \d{4} \d{4}|\d{3}-\d\d-\d{4}|"
            rf"\d{{6}}[+\-A-FU-Y]\d{{3}}(?:[0-9A-Y]|\d{{4}}){RAW_END}|(?:19\d\d|200\d)\d{{4}}[+\-]\d{{4}}{RAW_END}|"
            r"756(?:\.\d{4}\.\d{4}|\d{10})|\d{3}\.\d{3}\.\d{3}-|\d\d\.\d\d\.\d\d-|"
            rf"\d{{8}}-?[A-Z]{RAW_END}|[XYZ]-?\d{{7}}|[STFG]\d{{7}}[A-Z]|[A-Z]{{3}}P[A-Z]\d{{4}}|[A-Z]{{4}}\d{{6}}[HMX]|"
            r"[A-Z]{6}\d\d[A-Z]\d\d[A-Z]|[A-Z]{2} \d\d \d\d )",
            rf"{RAW_WORD}[A-Z]{{2}}\d\d{_RAW_S}[0-9A-Z]{{4}}{_RAW_S}[0-9A-Z]{{4}}",
            rf"{_ID_WORDS}(?:(?u:[^0-9A-Za-z])|{ESCAPED})+(?:[0-9]|[A-Z]{{2}} ?\d\d)",
            ODD_NUMBER,
        )
    ),
)
"""Account numbers (IBAN) and numbers of people, by their check digits, their writing, or the word that announces them."""


# IP


def _ipv4(match: re.Match[str]) -> Found | None:
    said = match.string[max(0, match.start() - 12) : match.start()]
    if re.search(r"(?:version|ver|release|build)[\s:=\"'.]*\Z", said, re.IGNORECASE):
        return None
    return _address(match, IPv4Address)


def _ipv6(match: re.Match[str]) -> Found | None:
    groups = [g for g in match[0].split(":") if g]
    if len(groups) < 3 or not any(c.isdigit() for c in match[0]):
        return None  # names in some programming languages look like it
    return _address(match, IPv6Address)


def _address(match: re.Match[str], kind: type[IPv4Address] | type[IPv6Address]) -> Found | None:
    try:
        address = kind(match[0])
    except AddressValueError:
        return None
    return None if address.is_loopback or address.is_unspecified else (match.start(), match.end(), str(address))


IP = Rule(
    forms=(
        form(r"\d{1,3}(?:\.\d{1,3}){3}", _ipv4, before=r"(?<![\w.])", after=r"(?!\w)(?!\.\d)"),
        form(r"[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}", _ipv6, before=r"(?<![\w:.])", after=r"(?![\w:])"),
    ),
    alarm=r"\d\.\d{1,3}\.\d{1,3}\.\d|[0-9A-Fa-f]:[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}[:0-9A-Fa-f]|::[0-9A-Fa-f]",
)
"""Addresses of both versions, except those of the machine itself."""
