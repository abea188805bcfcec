"""Keys, passwords and other secrets: by their shape, by the name they are assigned to, and by the name of a JSON field."""

import re

from andon.traffic.forms import ANYWHERE, TOKEN, Form, Found, form, whole

__all__ = ["KEY", "SECRET_FIELD", "secret_of"]

_NAMES = (
    r"pass(?:word|wd|phrase|code)s?(?:[ ._-]?hash)?|pwd|(?:client[ ._-]?)?secrets?|credentials?|authorization|set-cookie|"
    r"(?:api|access|secret|private|auth|encryption|signing|account|subscription|license)[ ._-]?keys?|"
    r"(?:api|access|auth|refresh|bearer|session|id|csrf|xsrf)[ ._-]?tokens?"
)
_SHAPES = (
    r"sk-[\w\-]{20,}",
    r"(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}",
    r"gh[pousr]_[0-9A-Za-z]{30,}",
    r"github_pat_\w{22,}",
    r"glpat-[\w\-]{20,}",
    r"xox[abeoprs]-[\w\-]{10,}",
    r"xapp-[\w\-]{20,}",
    r"AIza[\w\-]{35}",
    r"ya29\.[\w\-]{20,}",
    r"GOCSPX-[\w\-]{20,}",
    r"[sr]k_(?:live|test)_[0-9A-Za-z]{16,}",
    r"whsec_[0-9A-Za-z]{20,}",
    r"hf_[0-9A-Za-z]{30,}",
    r"npm_[0-9A-Za-z]{36}",
    r"pypi-Ag[\w\-]{40,}",
    r"SG\.[\w\-]{16,}\.[\w\-]{16,}",
    r"(?:gsk|xai|r8|pplx|dop_v1|shpat|lsv2_pt|dapi)[_\-]?[0-9A-Za-z]{30,}",
    r"eyJ[\w\-]{8,}\.[\w\-]{8,}\.[\w\-]*",
)
_NO_SECRET = re.compile(
    r"\W*|true|false|null|none|nil|yes|no|on|off|n/?a|undefined|unset|required|optional|string|redacted|hidden|"
    r"[x*•.]+|\$?[<\[{(].*[>\]})]|\$\w+|%\w|(?:your|my|the|an?)[ _-].*|.*[_-]here",
    re.IGNORECASE | re.DOTALL,
)
"""What stands where a secret would: nothing, a switch, a placeholder, a variable."""
_SCHEME = re.compile(r"(?:bearer|basic|token|digest)\s+", re.IGNORECASE)
_RANDOM = re.compile(r"(?=[^0-9]*[0-9])(?=[^A-Za-z]*[A-Za-z])\S{16,}")

_STRONG_FIELD = re.compile(rf"(?:{_NAMES})[0-9_ .\-]{{0,4}}\Z", re.IGNORECASE)
_WEAK_FIELD = re.compile(r"(?:token|cookie|[^a-z]key)[0-9_ .\-]{0,4}\Z", re.IGNORECASE)
SECRET_FIELD = rf'(?i:{_NAMES}|token|cookie|key)[0-9_ .\-]*\\*"(?:\s|\\+[nrt])*:(?:\s|\\+[nrt]|\[)*\\*"'
"""For RE2, over raw JSON: a text below the name of a secret."""


def secret_of(name: str, value: str) -> Found | None:
    """What of a JSON text is a secret because of the name of its field, whatever it looks like.

    Where the name is only `token` (which is also a piece of text), `cookie` or `key`, the value must look like a secret too.
    """
    scheme = _SCHEME.match(value)
    start = scheme.end() if scheme else 0
    secret = value[start:]
    if _STRONG_FIELD.search(name, max(0, len(name) - 64)):
        found = not _NO_SECRET.fullmatch(secret)
    elif _WEAK_FIELD.search(name, max(0, len(name) - 64)):
        found = _RANDOM.fullmatch(secret) is not None and not secret.startswith(("http:", "https:", "/"))
    else:
        found = False
    return (start, len(value), secret) if found else None


def _random(match: re.Match[str]) -> Found | None:
    return whole(match) if len(re.findall(r"[0-9]", match[0])) >= 2 else None


def _random_value(match: re.Match[str]) -> Found | None:
    return whole(match) if _RANDOM.fullmatch(match["v"]) else None


def _assigned(match: re.Match[str]) -> Found | None:
    """The value that a name such as `password` is given, where it is a value and no code or sentence."""
    value, quote, sign = match["v"].rstrip(".:!?"), match["quote"], match["sign"]
    text, rest = match.string, match.string[match.end("v") : match.end("v") + 1]
    strong = re.search(r"[0-9@#$%^*+~]|[!=/?].", value) is not None and len(value) >= (4 if "=" in sign else 6)
    literal = quote != "" and len(value) >= 4 and rest in (quote, "")
    in_query = sign == "=" and (rest == "&" or text[max(0, match.start() - 1) : match.start()] in ("?", "&"))
    if not (strong or literal or in_query) or _NO_SECRET.fullmatch(value):
        return None
    if value.startswith(("/", "./", "~/", "http:", "https:")):
        return None  # where a secret lies, not the secret
    return match.start("v"), match.start("v") + len(value), value


KEY: tuple[Form, ...] = (
    form(
        r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----"
        r"(?:(?:[0-9A-Za-z+/=\s:,.()\\]|-(?!----))*+-----END [A-Z ]{0,60}-----|[0-9A-Za-z+/=\s\\]*+)",
        before=ANYWHERE,
        after="",
        hint="-----BEGIN [A-Z ]{0,40}PRIVATE KEY",
    ),
    form(f"(?:{'|'.join(_SHAPES)})", _random, before=TOKEN),
    form(
        r"(?i:bearer)<W>{1,4}(?P<v>[\w.~+/\-]{16,})",
        _random_value,
        after="",
        hint=r"(?i:bearer)<W>{1,4}[\w.~+/\\\-]{16}",
    ),
    form(r"(?i:authorization)<Q>?<W>{0,3}<=><W>{0,3}<Q>?(?i:basic)<W>{1,4}(?P<v>[\w+/]{8,})", after=""),
    form(
        r"://[^\s/:@\"'\\<>]{1,128}:(?P<v>[^\s/@\"'\\<>]{3,256})@[\w\-]",
        before=ANYWHERE,
        after="",
        hint=r":(?:\\*/){2}[^\s/:@\"'<>]+:[^\s/@\"'<>]+@",
    ),
    form(
        rf"(?i:{_NAMES})[0-9]{{0,2}}<Q>?<W>{{0,3}}(?P<sign><=>)<W>{{0,3}}(?P<quote><Q>?)"
        r"(?P<v>[^\s\"'`<>{}()\[\],;&|\\]{4,256})",
        _assigned,
        before=ANYWHERE,
        after="",
        hint=rf"(?i:{_NAMES})[0-9]{{0,2}}<Q>?<W>{{0,3}}<=>",
    ),
    form(
        r"(?i:token)<=><W>?<Q>?(?P<v>[\w.~+/%\-]{16,})",
        _random_value,
        before=(r"(?<![A-Za-z])", ""),
        after="",
        hint=r"(?i:token)<=><W>?<Q>?[\w.~+/%\\\-]{8}",
    ),
)
"""Keys of providers by their prefix, private keys, JSON Web Tokens, bearer tokens, passwords in URLs, and assignments."""
