"""Secrets, and what they are recognised by. A secret has 256 random bits, so its SHA-256 is as hard to guess as itself."""

import hashlib
import hmac

from andon.access.records import Token

__all__ = ["ALPHABET", "ID_LENGTH", "digest", "opens", "secret_of", "token_id"]

ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
"""Letters and digits of an id; those that look alike are left out."""

ID_LENGTH = 8
_PREFIX = "tok_"


def digest(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def secret_of(token: str, random: str) -> str:
    """The secret of a token with an id: ``andon_``, the id, random text. Scanners of repositories find the beginning."""
    return f"andon_{token.removeprefix(_PREFIX)}_{random}"


def token_id(secret: str) -> str | None:
    """The id of the token whose secret it could be."""
    parts = secret.split("_", 2)
    if len(parts) != 3 or parts[0] != "andon" or len(parts[1]) != ID_LENGTH or not set(parts[1]) <= set(ALPHABET):
        return None
    return _PREFIX + parts[1]


def opens(token: Token, secret: str, now_us: int) -> bool:
    """Whether it is the secret of a token that is neither revoked nor over."""
    right = hmac.compare_digest(token.digest, digest(secret))
    return right and token.revoked_us is None and (token.until_us is None or now_us < token.until_us)
