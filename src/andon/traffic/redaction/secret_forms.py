"""Keys, passwords and other secrets: by their shape, by the name they are assigned to, and by the name of a JSON field."""

import re
from functools import lru_cache

from andon.traffic.redaction.forms import ALONE, ANYWHERE, ESCAPED, RAW_ALONE, Found, Rule, form, whole

__all__ = ["KEY"]

_NAMES = (
    r"(?:pass(?:word|wd|phrase|code)|pwd|secret|credential|authorization|set-cookie|"
    r"(?:api|access|secret|private|auth|encryption|signing|account|subscription|license)[ ._\-]?key|"
    r"(?:api|access|auth|refresh|bearer|session|id|csrf|xsrf)[ ._\-]?token)s?(?:[ ._\-]?(?:hash|key))?"
)
_SHAPES = (
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
    r"(?:gsk|xai|r8|pplx|dop_v1|shpat|lsv2_pt)[_\-][0-9A-Za-z]{30,}",
    r"dapi[0-9a-f]{32}",
    r"eyJ\w[\w\-]{7,}\.[\w\-]{8,}\.[\w\-]*",
)
_NO_SECRET = re.compile(
    r"\W*|true|false|null|none|nil|yes|no|on|off|n/?a|undefined|unset|required|optional|string|redacted|hidden|"
    r"[x*•.]+|\$?[<\[{(].*[>\]})]|\$\w+|%\w|(?:your|my|the|an?)[ _-].*|.*[_-]here",
    re.IGNORECASE | re.DOTALL,
)
"""What stands where a secret would: nothing, a switch, a placeholder, a variable."""
_SCHEME = re.compile(r"(?:bearer|basic|token|digest)\s+", re.IGNORECASE)
_RANDOM = re.compile(r"(?=[^0-9]*[0-9])(?=[^A-Za-z]*[A-Za-z])\S{16,}")
_STRONG_FIELD = re.compile(rf"{_NAMES}[0-9_ .\-]{{0,4}}\Z", re.IGNORECASE)
_WEAK_FIELD = re.compile(r"(?:token|cookie)[0-9_ .\-]{0,4}\Z", re.IGNORECASE)
_LONGEST_NAME = 64


def _secret_of(name: str, value: str) -> Found | None:
    """The secret below a name such as `password`, whatever it looks like.

    Where the name is only `token` (which is also a piece of text) or `cookie`, it must look like a secret too.
    """
    kind = _kind_of_field(name[-_LONGEST_NAME:])
    if kind is None:
        return None
    scheme = _SCHEME.match(value)
    start = scheme.end() if scheme else 0
    secret = value[start:]
    found = _RANDOM.fullmatch(secret) is not None if kind == "weak" else not _NO_SECRET.fullmatch(secret)
    return (start, len(value), secret) if found else None


@lru_cache(4096)  # the same few names come with every row
def _kind_of_field(name: str) -> str | None:
    return "strong" if _STRONG_FIELD.search(name) else "weak" if _WEAK_FIELD.search(name) else None


def _random(match: re.Match[str]) -> Found | None:
    return whole(match) if len(re.findall(r"[0-9]", match[0])) >= 2 else None


def _random_value(match: re.Match[str]) -> Found | None:
    return whole(match) if _RANDOM.fullmatch(match["v"]) else None


def _said(match: re.Match[str]) -> Found | None:
    return None if _NO_SECRET.fullmatch(match["v"]) else whole(match)


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


_WHITE = r"(?:[ \t\r\n]|\\+[nrt])*"
_QUOTE = rf"(?:\\*[\"'`]|{ESCAPED})?"
_SIGN = r"(?:[:=]|\\+u003[dD])"
_ALARM = "|".join(
    (
        rf"{RAW_ALONE}(?:sk-\w|A(?:KIA|SIA|BIA|CCA)|gh[pousr]_|github_pat_|glpat-|xox[abeoprs]-|xapp-|AIza|ya29\.|GOCSPX-|"
        r"[sr]k_(?:live|test)_|whsec_|hf_|npm_|pypi-A|SG\.|(?:gsk|xai|r8|pplx|dop_v1|shpat|lsv2_pt)[_\-]|dapi[0-9a-f]|"
        r"eyJ\w|(?i:bearer)[ \t\r\n\\])|-----BEGIN",
        rf"(?i:(?:{_NAMES}|token|cookie))[0-9_ .\-]*{_QUOTE}{_WHITE}{_SIGN}",
        r"(?u:[^ \t\r\n/@\"'\\<>])@[\w\-]",
    )
)

KEY = Rule(
    forms=(
        form(
            r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----"
            # no possessive group: some Python 3.11 (3.11.7 is one) match too little by this one, and leave the key
            r"(?:[0-9A-Za-z+/=\s:,.()\\]*+(?:-(?!----)[0-9A-Za-z+/=\s:,.()\\]*+)*-----END [A-Z ]{0,60}-----"
            r"|[0-9A-Za-z+/=\s\\]*+)",
            before=ANYWHERE,
            after="",
        ),
        form(r"sk-\w[\w\-]{19,}", _random, before=ALONE),
        form(f"(?:{'|'.join(_SHAPES)})", before=ALONE),
        form(r"(?i:bearer)<W>{1,4}(?P<v>[\w.~+/\-]{16,})", _random_value, before=ALONE, after=""),
        form(r"(?i:authorization)<Q>?<W>{0,3}<=><W>{0,3}<Q>?(?i:basic)<W>{1,4}(?P<v>[\w+/]{8,})", after=""),
        form(r"://[^\s/:@\"'\\<>]{1,128}:(?P<v>[^\s/@\"'\\<>]{3,256})@[\w\-]", before=ANYWHERE, after=""),
        # A field of JSON that is cut off, or stands in prose; in whole JSON `field` looks at it.
        form(
            rf"(?i:{_NAMES})[0-9_ .\-]{{0,4}}\"<W>{{0,3}}:<W>{{0,3}}\"(?P<v>[^\"]{{1,1024}})",
            _said,
            before=ANYWHERE,
            after="",
        ),
        form(
            rf"(?i:{_NAMES})[0-9]{{0,2}}<Q>?<W>{{0,3}}(?P<sign><=>)<W>{{0,3}}(?P<quote><Q>?)"
            r"(?P<v>[^\s\"'`<>{}()\[\],;&|\\]{4,256})",
            _assigned,
            before=ANYWHERE,
            after="",
        ),
        form(r"(?i:token)<=><Q>?(?P<v>[\w.~+/%\-]{16,})", _random_value, before=r"(?<![A-Za-z])", after=""),
    ),
    alarm=_ALARM,
    field=_secret_of,
)
"""Keys of providers by their prefix, private keys, JSON Web Tokens, bearer tokens, passwords in URLs, and assignments."""
