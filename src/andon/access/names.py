"""Names of people: who is who, whatever the case, the form and the signs between the letters."""

import re
import unicodedata

from andon.errors import InputError

__all__ = ["LONGEST", "check_letters", "check_name", "check_person", "letters", "typed_letters"]

LONGEST = 100

_UNSEEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\ufe00-\ufe0f\U000e0100-\U000e01ef]")
"""Characters without a shape that Python takes for printable."""

_OURS = frozenset(
    (
        "andon",
        "andondemo",
        "andontoken",
        "alertmanager",
        "auser",
        "case",
        "github",
        "inbox",
        "nobody",
        "rollouts",
        "somebody",
        "traffic",
    )
)
"""Whom records name where no person did something, by their letters: a person with such a name could hide behind it."""

_EAST_ASIAN = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO")
"""Scripts that one name is written in together."""


def letters(name: str) -> str:
    """What a name is compared by: its letters and digits, in one case and form. Empty where it has none."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return "".join(c for c in _UNSEEN.sub("", folded) if unicodedata.category(c)[0] in "LMN")


def typed_letters(text: str) -> str:
    """What a name that a stranger typed is compared by. Whoever counts attempts and whoever looks for the person read the same of it."""
    return letters(text[: 4 * LONGEST])[: LONGEST + 1]


def check_letters(name: str) -> str:
    """The name, if one person is told from another by it.

    Raises:
        InputError: it has no letter, or one person could be two by it: it holds what nobody sees, or letters of two scripts,
            which look alike.
    """
    same = " ".join(unicodedata.normalize("NFKC", name).split()).casefold()
    if not same.isprintable() or _UNSEEN.search(same):
        raise InputError(f"the name {name!a} holds characters that nobody sees; type it again")
    scripts = {unicodedata.name(c, "unknown").split()[0] for c in same if unicodedata.category(c) in ("Ll", "Lo")}
    scripts = {"East Asian" if s in _EAST_ASIAN else s.title() for s in scripts}
    if len(scripts) > 1:
        raise InputError(
            f"the name {name!a} mixes letters that look alike ({' and '.join(sorted(scripts))}); write it in one script"
        )
    if not letters(name):
        raise InputError(
            f"the name {name!r} has no letter; type the name of a person (at the command line: set USER to it)"
        )
    return name


def check_name(text: str, what: str = "the name") -> str:
    """A name as it is kept: trimmed, one space between words.

    Raises:
        InputError: it is empty or too long, or `check_letters` refuses it.
    """
    name = " ".join(text.split())
    if not name:
        raise InputError(f"{what} is empty; type 1 to {LONGEST} characters")
    if len(name) > LONGEST or len(letters(name)) > LONGEST:
        raise InputError(
            f"{what} {name[:40]!r}... has {len(name)} characters; at most {LONGEST} are allowed, shorten it"
        )
    return check_letters(name)


def check_person(text: str) -> str:
    """The name of a person who is to sign in, as it is kept.

    Raises:
        InputError: `check_name` refuses it, or records name by it what Andon or a program did.
    """
    name = check_name(text)
    if letters(name) in _OURS or re.fullmatch(r"tok_\w+", name.casefold()):
        raise InputError(f"{name!r} is how records name what Andon or a program did, not a person; take another name")
    return name
