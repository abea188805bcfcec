"""Write sections of a postmortem while others write them too: nothing that anybody wrote is lost in silence."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from andon.errors import InputError, StateError
from andon.postmortems.merging import merge_lines
from andon.postmortems.records import Review
from andon.postmortems.review import digest_of, write_section
from andon.postmortems.run.review import Layouts, built_in_only, change_review, people_write, working
from andon.store import Ledger
from andon.traffic import quoted

__all__ = ["Edit", "Saved", "save_sections", "take_back", "text_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """What somebody made of a section."""

    section: str
    text: str
    read: str
    """`digest_of` the text that they had before them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What became of edits."""

    written: tuple[str, ...] = ()
    """Sections that say what was sent."""
    merged: tuple[str, ...] = ()
    """Sections that somebody else had changed elsewhere: they hold both changes."""
    refused: tuple[tuple[str, str], ...] = ()
    """(section, who changed it): sections that somebody else has changed at the same place; nothing of these was written."""
    before: int = 0
    """The version of the review without these edits."""


def text_of(review: Review, section: str) -> str:
    """What people wrote in a section; empty where nobody has."""
    return next((s.text for s in reversed(review.sections) if s.section == section), "")


def save_sections(
    ledger: Ledger,
    incident_id: str,
    edits: Sequence[Edit],
    *,
    now_us: int,
    by: str,
    layouts: Layouts = built_in_only,
) -> Saved:
    """Write what somebody made of sections; where others changed one meanwhile, both changes, if they do not touch.

    Sections that say the same as before are not written: who changed nothing is no writer, and may sign.

    Raises:
        InputError: there is no draft, or the template has no such section, or a text is too long.
        StateError: others wrote at the same time, again and again.
    """
    allowed = people_write(working(ledger, incident_id, layouts))
    saved = Saved()

    def change(review: Review) -> Review:
        nonlocal saved
        saved = Saved(before=_version(ledger, incident_id))
        for edit in edits:
            review, saved = _written(ledger, review, edit, saved, allowed, now_us=now_us, by=by)
        return review

    known = ledger.get(Review, incident_id) or Review(id=incident_id)
    if change(known) != known:
        change_review(ledger, incident_id, change, now_us=now_us, by=by)
    return saved


def take_back(
    ledger: Ledger, incident_id: str, sections: Collection[str], before: int, *, now_us: int, by: str
) -> tuple[str, ...]:
    """Let sections say again what they said in an earlier version of the review; returns those that changed.

    Raises:
        InputError: there is no such version.
        StateError: somebody else has written one of them since.
    """
    versions = {v.version: v.record for v in ledger.history(Review, incident_id)}
    old = versions.get(before) if before else Review(id=incident_id)
    if old is None:
        raise InputError(f"there is no version {before} of the review of {incident_id}")
    changed: list[str] = []

    def change(review: Review) -> Review:
        changed.clear()
        for name in sections:
            last = next((s for s in review.sections if s.section == name), None)
            if last is not None and last.by != by:
                raise StateError(f"{last.by} has written {quoted(name, 120)} since; nothing was taken back")
            kept = tuple(s for s in old.sections if s.section == name)
            if text_of(review, name) != text_of(old, name):
                changed.append(name)
            review = replace(review, sections=(*(s for s in review.sections if s.section != name), *kept))
        return review

    change_review(ledger, incident_id, change, now_us=now_us, by=by)
    return tuple(changed)


def _written(
    ledger: Ledger, review: Review, edit: Edit, saved: Saved, allowed: Collection[str], *, now_us: int, by: str
) -> tuple[Review, Saved]:
    now, mine = text_of(review, edit.section), edit.text.strip()
    if mine == now or digest_of(mine) == edit.read:
        return review, saved
    text: str | None = mine
    if digest_of(now) != edit.read:
        before = _read(ledger, review.id, edit)
        text = None if before is None else merge_lines(before, mine, now)
    if text is None:
        who = next((s.by for s in reversed(review.sections) if s.section == edit.section), "somebody")
        return review, replace(saved, refused=(*saved.refused, (edit.section, who)))
    new = write_section(review, edit.section, text, allowed=allowed, by=by, at_us=now_us)
    saved = replace(saved, written=(*saved.written, edit.section))
    return new, saved if text == mine else replace(saved, merged=(*saved.merged, edit.section))


def _read(ledger: Ledger, incident_id: str, edit: Edit) -> str | None:
    """The text that somebody had before them, from the history; None where it never stood there."""
    texts = ["", *(text_of(v.record, edit.section) for v in ledger.history(Review, incident_id))]
    return next((t for t in reversed(texts) if digest_of(t) == edit.read), None)


def _version(ledger: Ledger, incident_id: str) -> int:
    known = ledger.latest(Review, incident_id)
    return known.version if known else 0
