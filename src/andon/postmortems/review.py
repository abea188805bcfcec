"""Review of a postmortem: what people write, say and sign, and what is missing before it may be published. Pure."""

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import get_args

from andon.access.names import letters
from andon.errors import InputError, StateError
from andon.postmortems.records import (
    Comment,
    ContributingFactor,
    Review,
    SignOff,
    Written,
)
from andon.traffic import quoted

__all__ = [
    "AREAS",
    "Standing",
    "add_factor",
    "answer",
    "ask_for_review",
    "choose_template",
    "digest_of",
    "empty_sections",
    "remark",
    "remove_factor",
    "reopen",
    "sign",
    "signers",
    "standing_of",
    "stands_by",
    "unsign",
    "vouching",
    "withdraw",
    "write_section",
    "wrote",
]

AREAS: tuple[str, ...] = get_args(ContributingFactor.__annotations__["area"])

SIGNERS = {"P1": 2}
"""How many people who wrote none of it must have signed, by severity; one else."""

MOST_TEXT = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a review stands."""

    digest: str
    """Of the text as it is now."""
    empty: tuple[str, ...]
    """Sections for people that nobody has written."""
    open_comments: tuple[Comment, ...]
    signed: tuple[str, ...]
    """Who signed this very text and wrote none of it."""
    lapsed: tuple[str, ...]
    """Who signed another text than this."""
    signers: int
    """How many of `signed` are needed."""

    @property
    def missing(self) -> tuple[str, ...]:
        """What keeps it from being published; empty when nothing does."""
        found = []
        if self.open_comments:
            ids = ", ".join(c.id for c in self.open_comments)
            found.append(f"{_count(len(self.open_comments), 'comment')} open ({ids})")
        if self.empty:
            found.append(f"nobody has written {', '.join(quoted(s) for s in self.empty)}")
        lack = self.signers - len(self.signed)
        if lack > 0:
            lapsed = f"; lapsed, because the text changed since: {', '.join(self.lapsed)}" if self.lapsed else ""
            found.append(f"{_count(lack, 'sign-off')} of this text missing, by people who wrote none of it{lapsed}")
        return tuple(found)


def digest_of(markdown: str) -> str:
    """SHA-256 of a text, as 64 hexadecimal digits."""
    return hashlib.sha256(markdown.encode("utf-8", "surrogatepass")).hexdigest()


def choose_template(review: Review, name: str) -> Review:
    """The review of a postmortem that is written by another template."""
    return _begun(replace(review, template=name))


def write_section(review: Review, section: str, text: str, *, allowed: Collection[str], by: str, at_us: int) -> Review:
    """The review with a section for people written anew; an empty text takes it out.

    Raises:
        InputError: the template has no such section, or the text is longer than 100,000 characters.
    """
    name = next((a for a in allowed if a.casefold() == section.strip().casefold()), None)
    if name is None:
        raise InputError(
            f"{quoted(section, 120)} is no section for people of the template {review.template!r}; "
            f"there are: {'; '.join(allowed) or 'none'}"
        )
    if len(text) > MOST_TEXT:
        raise InputError(f"the text has {len(text):,} characters; {MOST_TEXT:,} are allowed")
    others = tuple(s for s in review.sections if s.section != name)
    new = (Written(section=name, text=text.strip(), by=by, at_us=at_us),) if text.strip() else ()
    return _begun(replace(review, sections=others + new))


def add_factor(review: Review, area: str, text: str) -> Review:
    """The review with a contributing factor that the record cannot show, incentives for instance.

    Raises:
        InputError: there is no such area, or no text.
    """
    if area not in AREAS:
        raise InputError(f"{quoted(area)} is no area of contributing factors; {', '.join(AREAS)} are")
    if not text.strip():
        raise InputError("say what made the incident possible, larger or longer")
    factor = ContributingFactor(area=area, text=" ".join(text.split()))  # type: ignore[arg-type]
    return review if factor in review.factors else _begun(replace(review, factors=(*review.factors, factor)))


def remove_factor(review: Review, area: str, text: str) -> Review:
    """The review without a factor that people added.

    Raises:
        InputError: nobody added it; what the record shows can only be answered by a comment.
    """
    left = tuple(f for f in review.factors if (f.area, f.text) != (area, text))
    if left == review.factors:
        raise InputError(
            f"nobody added {quoted(text, 120)} to the factors of {review.id}; somebody may have removed it meanwhile"
        )
    return replace(review, factors=left)


def ask_for_review(review: Review) -> Review:
    """The review as something that others are asked to read.

    Raises:
        StateError: they are asked already, or it is published.
    """
    if review.status != "draft":
        raise StateError(f"{review.id} is {review.status} already")
    return replace(review, status="in review")


def remark(review: Review, text: str, *, by: str, at_us: int) -> Review:
    """The review with one more comment, which is open until somebody answers it.

    Raises:
        InputError: the comment is empty.
    """
    if not text.strip():
        raise InputError("a comment needs a text")
    comment = Comment(id=f"C{len(review.comments) + 1}", text=text.strip(), by=by, at_us=at_us)
    return _begun(replace(review, comments=(*review.comments, comment)))


def answer(review: Review, comment_id: str, text: str, *, by: str) -> Review:
    """The review with a comment resolved by an answer.

    Raises:
        InputError: there is no such comment, or no answer.
        StateError: it is resolved already.
    """
    found = _comment(review, comment_id)
    if found.resolved_by:
        raise StateError(f"{found.id} was resolved by {found.resolved_by}: {found.answer}")
    if not text.strip():
        raise InputError(f"say what became of {found.id}: the answer stays beside the comment")
    done = replace(found, resolved_by=by, answer=text.strip())
    return replace(review, comments=tuple(done if c.id == found.id else c for c in review.comments))


def reopen(review: Review, comment_id: str) -> Review:
    """The review with a comment open again, as if it had not been answered.

    Raises:
        InputError: there is no such comment.
        StateError: it is open.
    """
    found = _comment(review, comment_id)
    if not found.resolved_by:
        raise StateError(f"{found.id} is open already")
    new = replace(found, resolved_by="", answer="")
    return replace(review, comments=tuple(new if c.id == found.id else c for c in review.comments))


def withdraw(review: Review, comment_id: str, *, by: str) -> Review:
    """The review without a comment that its author takes back: the latest one only, before anybody answered it.

    Raises:
        InputError: there is no such comment.
        StateError: it is of somebody else, was answered, or others have commented since.
    """
    found = _comment(review, comment_id)
    if _who(found.by) != _who(by):
        raise StateError(f"{found.id} is a comment of {found.by}; only they take it back, and anybody may answer it")
    if found.resolved_by or found != review.comments[-1]:
        raise StateError(f"others have gone on from {found.id} already; answer it to resolve it")
    return replace(review, comments=review.comments[:-1])


def sign(review: Review, digest: str, *, by: str, at_us: int) -> Review:
    """The review with somebody's sign-off of the text with this digest; an earlier one of theirs is replaced."""
    others = tuple(s for s in review.signoffs if _who(s.by) != _who(by))
    return _begun(replace(review, signoffs=(*others, SignOff(by=by, at_us=at_us, digest=digest))))


def unsign(review: Review, *, by: str) -> Review:
    """The review without somebody's own sign-off.

    Raises:
        StateError: they have not signed it.
    """
    left = tuple(s for s in review.signoffs if _who(s.by) != _who(by))
    if left == review.signoffs:
        raise StateError(f"{by} has not signed {review.id}")
    return replace(review, signoffs=left)


def signers(severity: str) -> int:
    """How many people who wrote none of a postmortem must have signed it: two for P1, else one."""
    return SIGNERS.get(severity, 1)


def wrote(review: Review, who: str) -> bool:
    """Whether a person wrote a section, under whatever spelling of the name; their sign-off does not count."""
    return any(_who(s.by) == _who(who) for s in review.sections)


def stands_by(review: Review, who: str, digest: str) -> bool:
    """Whether a person signed this very text, under whatever spelling of the name."""
    return any(_who(s.by) == _who(who) and s.digest == digest for s in review.signoffs)


def vouching(review: Review, digest: str | None = None) -> tuple[SignOff, ...]:
    """The sign-offs that count: one of each person who wrote none of it.

    Args:
        review: the human part.
        digest: only those of this very text; None: of any.
    """
    of = {_who(s.by): s for s in review.signoffs if digest in (None, s.digest) and not wrote(review, s.by)}
    return tuple(of.values())


def _who(name: str) -> str:
    """What two spellings of one person's name have in common."""
    return letters(name) or name


def empty_sections(review: Review, required: Iterable[str]) -> tuple[str, ...]:
    """Sections for people that nobody has written."""
    written = {s.section for s in review.sections}
    return tuple(s for s in required if s not in written)


def standing_of(review: Review, *, digest: str, severity: str, required: Iterable[str]) -> Standing:
    """Where a review stands.

    Args:
        review: the human part.
        digest: of the text as it is now.
        severity: of the incident.
        required: sections for people that the template has.
    """
    return Standing(
        digest=digest,
        empty=empty_sections(review, required),
        open_comments=tuple(c for c in review.comments if not c.resolved_by),
        signed=tuple(s.by for s in vouching(review, digest)),
        lapsed=tuple(s.by for s in review.signoffs if s.digest != digest),
        signers=signers(severity),
    )


def _comment(review: Review, comment_id: str) -> Comment:
    found = next((c for c in review.comments if c.id.casefold() == comment_id.casefold()), None)
    if found is None:
        known = ", ".join(c.id for c in review.comments) or "none yet"
        raise InputError(f"there is no comment {quoted(comment_id)} on {review.id}; there are: {known}")
    return found


def _begun(review: Review) -> Review:
    return replace(review, status="in review") if review.status == "draft" else review


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
