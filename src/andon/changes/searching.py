"""Find changes in the log, and count them over time: values in, values out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

from andon.changes.records import Change

__all__ = ["Wanted", "counts_over", "origin_of", "search", "values_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is looked for; what is empty keeps nothing out."""

    text: str = ""
    """Words that all stand somewhere in the change, in any case."""
    kind: str = ""
    app: str = ""
    environment: str = ""
    author: str = ""
    origin: str = ""
    """``recorded``, ``traffic``, ``lever``, or ``not ours``."""
    lever: str = ""
    """Key of the lever that it is about."""
    from_us: int | None = None
    until_us: int | None = None

    @property
    def narrows(self) -> bool:
        """Whether it keeps anything out, whatever the time."""
        return any(getattr(self, f.name) for f in fields(self) if not f.name.endswith("_us"))


def origin_of(change: Change) -> str:
    """Where a change comes from, in the words that are looked for: one that we did not do is ``not ours``."""
    return change.origin if change.own else "not ours"


def search(changes: Iterable[Change], wanted: Wanted) -> list[Change]:
    """The changes that are looked for, the newest first."""
    words = wanted.text.casefold().split()
    exact = [(name, value) for name in ("kind", "app", "environment", "author") if (value := getattr(wanted, name))]
    found = [
        c
        for c in changes
        if all(getattr(c, name) == value for name, value in exact)
        and (wanted.from_us is None or c.at_us >= wanted.from_us)
        and (wanted.until_us is None or c.at_us < wanted.until_us)
        and wanted.lever in ("", c.attributes.get("lever"))
        and wanted.origin in ("", c.origin, origin_of(c))
        and (not words or _has(c, words))
    ]
    return sorted(found, key=lambda c: (-c.at_us, c.id))


def _has(change: Change, words: Sequence[str]) -> bool:
    texts = (
        change.id,
        change.title,
        change.before,
        change.after,
        change.author,
        change.app,
        change.kind,
        *change.attributes.values(),
    )
    said = "\n".join(t for t in texts if t).casefold()
    return all(w in said for w in words)


def counts_over(changes: Iterable[Change], start_us: int, end_us: int, bins: int) -> list[int]:
    """How many changes fall into each of equal parts of a time; shape (bins,)."""
    counts, width = [0] * bins, max(1, -(-(end_us - start_us) // bins))
    for change in changes:
        if start_us <= change.at_us < end_us:
            counts[(change.at_us - start_us) // width] += 1
    return counts


def values_of(changes: Iterable[Change]) -> Mapping[str, list[str]]:
    """Field -> the values that are there, sorted: what can be looked for."""
    found: dict[str, set[str]] = {"kind": set(), "app": set(), "environment": set(), "author": set()}
    for change in changes:
        for name, values in found.items():
            values.add(getattr(change, name))
    return {name: sorted(values) for name, values in found.items()}
