"""What one page tells the next: a sentence after something was done, an undo, a secret that is shown once.

It travels in a cookie, and cookies are shared by all ports of a host and with its subdomains: so it is sealed with the session,
and what another server put there is not shown. Else a forged one could put words and a ready undo on our pages.
"""

import base64
import binascii
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson
from starlette.responses import Response

from andon.web.asking import Done

__all__ = ["COOKIE", "Said", "read", "write"]

COOKIE = "andon_said"
LONGEST = 3_000
"""Characters of the cookie; what is longer is left out: what was done is done all the same."""


_OF_STRANGERS = secrets.token_hex(32)
"""Seals what those are told who have no session; other processes cannot read it, and nothing of it is missed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """The sentence, and how to take back what it is about."""

    text: str
    undo: str = ""
    """Path to which the undo is sent."""
    fields: Mapping[str, str] = field(default_factory=dict)
    once: str = ""
    """A secret that is shown on this page and nowhere else."""


def write(response: Response, done: Done, *, secret: str, secure: bool) -> None:
    """Tell the page that comes after this answer.

    Args:
        response: the answer.
        done: what was done.
        secret: of the session that the next page is asked for with; empty: there is none.
        secure: whether the cookie is for HTTPS only.
    """
    if not (done.said or done.shown_once):
        return
    said: dict[str, object] = {"text": done.said[:500], "once": done.shown_once}
    if done.undo is not None:
        said |= {"undo": done.undo.action, "fields": dict(done.undo.fields)}
    text = base64.urlsafe_b64encode(orjson.dumps(said)).decode()
    if len(text) <= LONGEST:
        response.set_cookie(
            COOKIE, f"{_seal(text, secret)}.{text}", 60, path="/", secure=secure, httponly=True, samesite="strict"
        )


def read(cookies: Mapping[str, str], secret: str) -> Said | None:
    """What the page before has told; None where it told nothing, or nothing to this session."""
    seal, _, text = cookies.get(COOKIE, "").partition(".")
    if not hmac.compare_digest(seal.encode(), _seal(text, secret).encode()):
        return None
    try:
        said = orjson.loads(base64.urlsafe_b64decode(text))
        fields = {str(k): str(v) for k, v in said.get("fields", {}).items()}
        undo = str(said.get("undo", ""))
        ours = undo if undo.startswith("/") and not undo.startswith("//") else ""
        return Said(text=str(said["text"]), undo=ours, fields=fields, once=str(said.get("once", "")))
    except (binascii.Error, ValueError, TypeError, KeyError, AttributeError):
        return None


def _seal(text: str, secret: str) -> str:
    key = f"andon said {secret or _OF_STRANGERS}"
    return hmac.new(key.encode("utf-8", "surrogatepass"), text.encode("utf-8", "surrogatepass"), "sha256").hexdigest()
