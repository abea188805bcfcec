"""Two texts side by side, with what differs in them marked; both are hostile."""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from markupsafe import Markup, escape

__all__ = ["word_diff"]

MOST = 400
"""Words that are compared one by one: what is longer, without what both begin and end with, is marked as a whole."""


def word_diff(before: str, now: str) -> tuple[Markup, Markup]:
    """Both texts as HTML: what only the first one has stands in ``del``, what only the second one has in ``ins``."""
    a, b = _words(before), _words(now)
    first = _alike(a, b)
    last = _alike(a[first:][::-1], b[first:][::-1])
    old, new = a[first : len(a) - last], b[first : len(b) - last]
    begin, end = a[:first], a[len(a) - last :]
    if len(old) > MOST or len(new) > MOST:
        codes = [("replace", 0, len(old), 0, len(new))]
    else:
        codes = [tuple(c) for c in SequenceMatcher(None, old, new, autojunk=False).get_opcodes()]  # type: ignore[misc]
    left, right = [escape("".join(begin))], [escape("".join(begin))]
    for kind, i, j, k, m in codes:
        left.append(_marked("del", old[i:j]) if kind != "equal" else escape("".join(old[i:j])))
        right.append(_marked("ins", new[k:m]) if kind != "equal" else escape("".join(new[k:m])))
    ends = escape("".join(end))
    return Markup("").join([*left, ends]), Markup("").join([*right, ends])


def _words(text: str) -> list[str]:
    """Words with the space behind them; without characters that nobody sees."""
    return re.findall(r"\s*\S+\s*|\s+", "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text))


def _alike(a: Sequence[str], b: Sequence[str]) -> int:
    """How many words two texts begin with alike."""
    n = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        n += 1
    return n


def _marked(tag: str, words: Sequence[str]) -> Markup:
    """The words in a tag, if there are any."""
    text = "".join(words)
    return Markup("<{}>{}</{}>").format(Markup(tag), text, Markup(tag)) if text else Markup("")  # noqa: S704 - ours
