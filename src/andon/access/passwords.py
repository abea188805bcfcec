"""Passwords: which are good enough, and how one is recognised without being kept.

Hashing is scrypt (RFC 7914) with what OWASP's Password Storage Cheat Sheet gives as one of its equals: N = 2^15, r = 8, p = 3, which
takes 32 MiB and a few tenths of a second. What is allowed follows NIST SP 800-63B, section 3.1.1: long, none of those that are guessed
first, not the name of the person or of the service; no rule about kinds of characters, and no end by the calendar.
"""

import base64
import binascii
import hashlib
import hmac
import unicodedata
from itertools import pairwise

from andon.errors import InputError

__all__ = ["LONGEST", "NOBODYS", "SALT_BYTES", "SHORTEST", "check_password", "encode_password", "fits"]

SHORTEST, LONGEST = 12, 200
"""Characters of a password. NIST asks for 8 beside a second factor and 15 alone; 12 with limited attempts lie between."""

SALT_BYTES = 16

_LOG2_N, _R, _P = 15, 8, 3
_DIGEST_BYTES = 32
_MOST_MEMORY = 128 * 1024 * 1024
"""OpenSSL refuses scrypt above 32 MiB unless it is told more; it takes 128 * r * (N + p) bytes and a little."""

_REST = 6
"""So many characters must be left of a password without the words that are guessed first."""

_WORDS = (
    "password", "passwort", "passphrase", "contrasena", "motdepasse", "qwertyuiop", "qwerty", "qwertz", "azerty", "asdfghjkl", "asdfgh",
    "zxcvbnm", "yxcvbnm", "1qaz2wsx", "administrator", "admin", "welcome", "letmein", "changeme", "iloveyou", "trustno1",
    "sunshine", "princess", "football", "baseball", "superman", "dragon", "monkey", "master", "secret", "abc123",
    "1234567890", "123456789", "12345678", "1234567", "123456", "12345", "andon", "correcthorsebatterystaple", "default", "test",
    "0987654321", "987654321", "guest", "login", "user", "root", "hello",
)  # fmt: skip
"""The heads of published lists of leaked passwords, and the name of the service."""

_SPELT = str.maketrans({"@": "a", "4": "a", "0": "o", "1": "i", "!": "i", "3": "e", "$": "s", "5": "s", "7": "t"})


def check_password(text: str, name: str) -> None:
    """Say whether a password is good enough for a person.

    Raises:
        InputError: it is too short or too long, or one that is guessed first; says what to do, and never holds the password.
    """
    plain = unicodedata.normalize("NFKC", text)
    if not SHORTEST <= len(plain) <= LONGEST:
        what = "short" if len(plain) < SHORTEST else "long"
        raise InputError(
            f"the password is too {what}: it has {len(plain)} characters, and {SHORTEST} to {LONGEST} are allowed; a few words that do "
            "not belong together are easy to remember"
        )
    if any(unicodedata.category(c) == "Cc" for c in plain):
        raise InputError(
            "the password holds a control character, such as a tab or a line break; take letters, digits, marks and spaces"
        )
    folded = plain.casefold()
    if _repeats(folded) or _steps(folded):
        raise InputError(
            "the password repeats a few characters or follows a sequence, which is guessed first; take a few words that do not belong "
            "together"
        )
    own = [w for part in (name, *name.split()) if len(w := unicodedata.normalize("NFKC", part).casefold()) > 2]
    if min(_left(folded, own), _left(folded.translate(_SPELT), own)) < _REST:
        raise InputError(
            "the password is hardly more than a name, or than words that are guessed first; take a few words that do not belong "
            "together"
        )


def encode_password(text: str, salt: bytes) -> str:
    """What a password is recognised by: the way of hashing, its costs, the salt and the digest, as one text."""
    return _encoded(salt, _digest(text, salt, _LOG2_N, _R, _P))


def fits(text: str, encoded: str) -> bool:
    """Whether it is the password; takes the same time whether it is or not. Never for what `encode_password` did not make."""
    try:
        way, log2_n, r, p, salt, digest = encoded.split("$")
        costs, wanted = (int(log2_n), int(r), int(p)), base64.b64decode(digest, validate=True)
        found = _digest(text[: LONGEST + 1], base64.b64decode(salt, validate=True), *costs)
    except (ValueError, binascii.Error):
        return False
    # HMAC fills a short key with zeros, so "a" and "a\0" have one digest
    allowed = len(text) <= LONGEST and "\0" not in text
    return way == "scrypt" and allowed and hmac.compare_digest(found, wanted)


def _encoded(salt: bytes, digest: bytes) -> str:
    parts = (base64.b64encode(salt), base64.b64encode(digest))
    return "$".join(("scrypt", str(_LOG2_N), str(_R), str(_P), *(p.decode() for p in parts)))


NOBODYS = _encoded(bytes(SALT_BYTES), bytes(_DIGEST_BYTES))
"""Takes as long to try as anybody's password, and none is known that fits: for names that nobody has."""


def _digest(text: str, salt: bytes, log2_n: int, r: int, p: int) -> bytes:
    plain = unicodedata.normalize("NFKC", text).encode("utf-8", "surrogatepass")
    return hashlib.scrypt(plain, salt=salt, n=2**log2_n, r=r, p=p, maxmem=_MOST_MEMORY, dklen=_DIGEST_BYTES)


def _repeats(text: str) -> bool:
    """Whether it is one to five characters, again and again."""
    return any(all(a == b for a, b in zip(text, text[n:], strict=False)) for n in range(1, 6))


def _steps(text: str) -> bool:
    """Whether each character is the next one after the one before, up or down, nine being followed by zero."""
    up = [ord(b) - ord(a) == 1 or (a, b) in (("9", "0"), ("z", "a")) for a, b in pairwise(text)]
    down = [ord(a) - ord(b) == 1 or (a, b) in (("0", "9"), ("a", "z")) for a, b in pairwise(text)]
    return all(up) or all(down)


def _left(text: str, own: list[str]) -> int:
    """How many characters are left without the words that are guessed first, the longest taken out first."""
    for word in sorted((*_WORDS, *own), key=lambda w: (-len(w), w)):
        text = text.replace(word, "")
    return len(text)
