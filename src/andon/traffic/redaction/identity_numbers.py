"""Numbers that states and banks give to people and accounts, by their check digits.

Each is a core (see `andon.traffic.redaction.forms`) and a test on the value without its separators. A number that has no check
digit is in the list only where its written form is unlike anything else.
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

__all__ = ["IBAN_LENGTHS", "IDENTITY_NUMBERS", "digits_of", "has_luhn", "is_iban"]

IBAN_LENGTHS: Mapping[str, int] = MappingProxyType(
    {
        **dict.fromkeys(("NO",), 15),
        **dict.fromkeys(("BE",), 16),
        **dict.fromkeys(("DK", "FI", "FO", "GL", "NL"), 18),
        **dict.fromkeys(("MK", "SI"), 19),
        **dict.fromkeys(("AT", "BA", "EE", "KZ", "LT", "LU", "MN", "XK"), 20),
        **dict.fromkeys(("CH", "HR", "LI", "LV"), 21),
        **dict.fromkeys(("BG", "BH", "CR", "DE", "GB", "GE", "IE", "ME", "RS", "VA"), 22),
        **dict.fromkeys(("AE", "GI", "IL", "IQ", "OM", "SO", "TL"), 23),
        **dict.fromkeys(("AD", "CZ", "ES", "MD", "PK", "RO", "SA", "SE", "SK", "TN", "VG"), 24),
        **dict.fromkeys(("LY", "PT", "ST"), 25),
        **dict.fromkeys(("IS", "TR"), 26),
        **dict.fromkeys(("BI", "DJ", "FR", "GR", "IT", "MC", "MR", "SM"), 27),
        **dict.fromkeys(("AL", "AZ", "BY", "CY", "DO", "GT", "HU", "LB", "NI", "PL", "SV"), 28),
        **dict.fromkeys(("BR", "EG", "PS", "QA", "UA"), 29),
        **dict.fromkeys(("JO", "KW", "MU", "YE"), 30),
        **dict.fromkeys(("MT", "SC"), 31),
        **dict.fromkeys(("LC",), 32),
        **dict.fromkeys(("RU",), 33),
    }
)
"""Characters of an account number by country (IBAN registry of SWIFT)."""

_DNI = "TRWAGMYFPDXBNJZSQVHLCKE"
_HETU = "0123456789ABCDEFHJKLMNPRSTUVWXY"
_ODD_VALUES = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
_ODD = dict(zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", _ODD_VALUES, strict=True)) | dict(
    zip("0123456789", _ODD_VALUES, strict=False)
)
_CURP = "0123456789ABCDEFGHIJKLMNÑOPQRSTUVWXYZ"
_DIHEDRAL = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 2, 3, 4, 0, 6, 7, 8, 9, 5),
    (2, 3, 4, 0, 1, 7, 8, 9, 5, 6),
    (3, 4, 0, 1, 2, 8, 9, 5, 6, 7),
    (4, 0, 1, 2, 3, 9, 5, 6, 7, 8),
    (5, 9, 8, 7, 6, 0, 4, 3, 2, 1),
    (6, 5, 9, 8, 7, 1, 0, 4, 3, 2),
    (7, 6, 5, 9, 8, 2, 1, 0, 4, 3),
    (8, 7, 6, 5, 9, 3, 2, 1, 0, 4),
    (9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
)
_TURNS = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 5, 7, 6, 2, 8, 3, 0, 9, 4),
    (5, 8, 0, 3, 7, 9, 6, 1, 4, 2),
    (8, 9, 1, 6, 0, 4, 3, 5, 2, 7),
    (9, 4, 5, 3, 1, 2, 6, 8, 7, 0),
    (4, 2, 8, 6, 5, 7, 3, 9, 0, 1),
    (2, 7, 9, 3, 8, 0, 6, 4, 1, 5),
    (7, 0, 4, 6, 9, 1, 3, 2, 5, 8),
)


def digits_of(text: str) -> str:
    """The ASCII digits of a text."""
    return re.sub(r"[^0-9]", "", text)


def has_luhn(digits: str) -> bool:
    """Whether the last digit is right by Luhn's formula (ISO/IEC 7812-1, annex B)."""
    doubled = (2 * int(d) for d in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(d - 9 if d > 9 else d for d in doubled)) % 10 == 0


def is_iban(text: str) -> bool:
    """Whether an account number without separators has its country's length and its check digits (ISO 13616)."""
    text = text.upper()
    if IBAN_LENGTHS.get(text[:2]) != len(text):
        return False
    return int("".join(str(int(c, 36)) for c in text[4:] + text[:4])) % 97 == 1


def _weighted(digits: str, weights: tuple[int, ...]) -> int:
    return sum(int(d) * w for d, w in zip(digits, weights, strict=False))


def _is_date(month: str, day: str) -> bool:
    return 1 <= int(month) <= 12 and 1 <= int(day) <= 31


def _united_states(v: str) -> bool:
    area, group, serial = v[:3], v[3:5], v[5:]
    taxpayer = area[0] == "9" and (50 <= int(group) <= 65 or 70 <= int(group) <= 99)
    return area not in ("000", "666") and (area[0] != "9" or taxpayer) and group != "00" and serial != "0000"


def _united_kingdom(v: str) -> bool:
    return v[:2] not in ("BG", "GB", "NK", "KN", "TN", "NT", "ZZ")


def _germany(v: str) -> bool:
    counts = sorted(v[:10].count(d) for d in set(v[:10]))
    product = 10
    for d in v[:10]:
        product = ((int(d) + product) % 10 or 10) * 2 % 11
    return counts[-1] in (2, 3) and counts[-2] == 1 and (11 - product) % 10 == int(v[10])


def _france(v: str) -> bool:
    number = v[:13].upper().replace("2A", "19").replace("2B", "18")
    return 97 - int(number) % 97 == int(v[13:])


def _spain(v: str) -> bool:
    number = v[:-1].translate(str.maketrans("XYZ", "012"))
    return _DNI[int(number) % 23] == v[-1]


def _italy(v: str) -> bool:
    even = sum(int(c) if c.isdigit() else ord(c) - 65 for c in v[1:15:2])
    return chr(65 + (sum(_ODD[c] for c in v[0:15:2]) + even) % 26) == v[15]


def _belgium(v: str) -> bool:
    return int(v[9:]) in (97 - int(v[:9]) % 97, 97 - int("2" + v[:9]) % 97) and int(v[2:4]) <= 12


def _finland(v: str) -> bool:
    return _is_date(v[2:4], v[:2]) and _HETU[int(v[:6] + v[-4:-1]) % 31] == v[-1]


def _sweden(v: str) -> bool:
    day = int(v[-6:-4]) % 60  # a coordination number has 60 added to the day
    return _is_date(v[-8:-6], str(day)) and has_luhn(v[-10:])


def _switzerland(v: str) -> bool:
    return (10 - _weighted(v[:12], (1, 3) * 6) % 10) % 10 == int(v[12])


def _brazil(v: str) -> bool:
    if len(set(v)) == 1:
        return False
    ends = (_weighted(v, tuple(range(n, 1, -1))) * 10 % 11 % 10 for n in (10, 11))
    return all(end == int(d) for end, d in zip(ends, v[9:], strict=True))


def _india(v: str) -> bool:
    state = 0
    for place, d in enumerate(reversed(v)):
        state = _DIHEDRAL[state][_TURNS[place % 8][int(d)]]
    return state == 0


def _china(v: str) -> bool:
    rest = _weighted(v[:17], (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)) % 11
    return "10X98765432"[rest] == v[17].upper()


def _korea(v: str) -> bool:
    rest = _weighted(v[:12], (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)) % 11
    return _is_date(v[2:4], v[4:6]) and (11 - rest) % 10 == int(v[12])


def _singapore(v: str) -> bool:
    total = _weighted(v[1:8], (2, 7, 6, 5, 4, 3, 2)) + (4 if v[0] in "TG" else 0)
    return ("JZIHGFEDCBA" if v[0] in "ST" else "XWUTRQPNMLK")[total % 11] == v[8]


def _turkey(v: str) -> bool:
    n = list(map(int, v))
    tenth = (7 * sum(n[0:9:2]) - sum(n[1:8:2])) % 10
    return tenth == n[9] and sum(n[:10]) % 10 == n[10]


def _mexico(v: str) -> bool:
    total = sum((18 - place) * _CURP.index(c) for place, c in enumerate(v[:17]))
    return _is_date(v[6:8], v[8:10]) and (10 - total % 10) % 10 == int(v[17])


def _by_form(v: str) -> bool:
    return bool(v)


_DAY = r"(?:0[1-9]|[12]\d|3[01])"
_MONTH = r"(?:0[1-9]|1[0-2])"

IDENTITY_NUMBERS: Mapping[str, tuple[str, Callable[[str], bool]]] = MappingProxyType(
    {
        "United States, SSN and ITIN": (r"\d{3}-\d{2}-\d{4}", _united_states),
        "United Kingdom, NINO": (r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] \d{2} \d{2} \d{2} [A-D]", _united_kingdom),
        "Germany, tax": (r"[1-9]\d{10}", _germany),
        "Germany, tax, in groups": (r"[1-9]\d \d{3} \d{3} \d{3}", _germany),
        "France, INSEE": (r"[12]\d{2}(?:0[1-9]|1[0-2]|[2-9]\d)(?:\d{2}|2[ABab])\d{8}", _france),
        "France, INSEE, in groups": (
            r"[12]<S>\d{2}<S>(?:0[1-9]|1[0-2]|[2-9]\d)<S>(?:\d{2}|2[ABab])<S>\d{3}<S>\d{3}<S>\d{2}",
            _france,
        ),
        "Spain, DNI": (r"\d{8}-?[A-HJ-NP-TV-Z]", _spain),
        "Spain, NIE": (r"[XYZ]-?\d{7}-?[A-HJ-NP-TV-Z]", _spain),
        "Italy, codice fiscale": (r"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]", _italy),
        "Belgium, national number": (r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}", _belgium),
        "Finland, HETU": (r"\d{6}[-+A-FU-Y]\d{3}[0-9A-FHJ-NPR-Y]", _finland),
        "Sweden, personnummer": (r"(?:19\d{2}|200\d|\d{2})\d{4}[-+]\d{4}", _sweden),
        "Switzerland, AHV": (r"756(?:\.\d{4}\.\d{4}\.\d{2}|\d{10})", _switzerland),
        "Brazil, CPF": (r"\d{3}\.\d{3}\.\d{3}-\d{2}", _brazil),
        "India, Aadhaar": (r"[2-9]\d{3} \d{4} \d{4}", _india),
        "India, PAN of a person": (r"[A-Z]{3}P[A-Z]\d{4}[A-Z]", _by_form),
        "China, resident": (rf"[1-9]\d{{5}}(?:19|20)\d{{2}}{_MONTH}{_DAY}\d{{3}}[0-9Xx]", _china),
        "Korea, resident": (r"\d{6}-[1-8]\d{6}", _korea),
        "Singapore, NRIC and FIN": (r"[STFG]\d{7}[A-Z]", _singapore),
        "Turkey, TCKN": (r"[1-9]\d{9}[02468]", _turkey),
        "Mexico, CURP": (r"[A-Z][AEIOUX][A-Z]{2}\d{6}[HMX][A-Z]{5}[0-9A-Z]\d", _mexico),
    }
)
"""Core and test of each number; the test gets the value without spaces, dots, dashes, slashes and plus signs."""
