"""Review in the ledger: sections, comments, sign-offs, publishing; what is published stays as it is."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from andon.errors import InputError, StateError
from andon.incidents import Incident, TimelineEvent, TimelineMark
from andon.incidents.run.timeline import marks_of, timeline_of
from andon.incidents.timeline import shown
from andon.postmortems.markdown import BUILT_IN, sections_of, signed_text
from andon.postmortems.records import ActionItem, Postmortem, Published, Review, Status
from andon.postmortems.review import Standing, digest_of, sign, standing_of
from andon.postmortems.run.actions import ATTEMPTS, actions_of, put_next
from andon.postmortems.run.catalogue import catalogue_of
from andon.store import Ledger, Versioned
from andon.traffic import quoted

__all__ = [
    "Layouts",
    "all_reviewed",
    "all_working",
    "amend",
    "built_in_only",
    "change_review",
    "editions",
    "in_short",
    "people_write",
    "publish",
    "reviewed",
    "sign_postmortem",
    "stand",
    "working",
]


Layouts = Callable[[str], str]
"""Name of a template -> its source where it is a team's own, else an empty text; the wiring knows the folder."""


def built_in_only(_template: str) -> str:
    """No template is a team's own."""
    return ""


def working(ledger: Ledger, incident_id: str, layouts: Layouts = built_in_only) -> Postmortem:
    """The latest computed draft with what people wrote and decided: what is read, signed and published next.

    The incident and its timeline are those of now, for people close an incident long after it was looked into; figures are
    those of the investigation.

    Raises:
        InputError: there is no draft.
    """
    draft = ledger.get(Postmortem, incident_id)
    if draft is None:
        raise InputError(
            f"{incident_id} has no draft yet; investigate it, which writes one",
            commands=f"`andon investigate {incident_id}`",
        )
    review = ledger.get(Review, incident_id) or Review(id=incident_id)
    incident = ledger.get(Incident, incident_id) or draft.incident
    now = _of_now(draft, incident, timeline_of(ledger, incident), marks_of(ledger, incident).values())
    return _composed(now, review, actions_of(ledger, incident_id), layouts)


def reviewed(ledger: Ledger, incident_id: str, layouts: Layouts = built_in_only) -> Postmortem:
    """The postmortem that others shall see: the published one, else the draft with what people wrote and decided.

    Raises:
        InputError: there is no draft.
    """
    done = ledger.get(Published, incident_id)
    return working(ledger, incident_id, layouts) if done is None else done.postmortem


def all_working(ledger: Ledger, layouts: Layouts = built_in_only) -> dict[str, Postmortem]:
    """`working` of every incident that has a draft, by incident; the ledger is read once."""
    reviews = {r.id: r for r in ledger.all(Review)}
    incidents = {i.id: i for i in ledger.all(Incident)}
    marks = {m.id: m for m in ledger.all(TimelineMark)}
    events, marked = _by_incident(shown(ledger.all(TimelineEvent), marks)), _by_incident(marks.values())
    actions = _by_incident(actions_of(ledger))
    found = {}
    for draft in ledger.all(Postmortem):
        name = draft.id
        now = _of_now(draft, incidents.get(name, draft.incident), events[name], marked[name])
        found[name] = _composed(now, reviews.get(name) or Review(id=name), actions[name], layouts)
    return found


def all_reviewed(ledger: Ledger, layouts: Layouts = built_in_only) -> dict[str, Postmortem]:
    """`reviewed` of every incident that has a draft, by incident; the ledger is read once."""
    return all_working(ledger, layouts) | {p.id: p.postmortem for p in ledger.all(Published)}


def in_short(ledger: Ledger, layouts: Layouts = built_in_only) -> dict[str, Postmortem]:
    """`all_working` without timeline, chart, summary and evidence: what lists, agendas and counts need, at a hundredth of the cost."""
    reviews = {r.id: r for r in ledger.all(Review)}
    incidents = {i.id: i for i in ledger.all(Incident)}
    actions, sources = _by_incident(actions_of(ledger)), {"llm": layouts("llm")}
    found = {}
    for name, draft in catalogue_of(ledger).drafts().items():
        review = reviews.get(name) or Review(id=name)
        if review.template not in sources:
            sources[review.template] = layouts(review.template)
        now = replace(draft, incident=incidents.get(name, draft.incident))
        found[name] = _composed(now, review, actions[name], lambda template: sources[template])
    return found


def people_write(p: Postmortem) -> tuple[str, ...]:
    """Names of the sections that the template of a postmortem asks people to write."""
    known = p.layout or p.review.template in BUILT_IN
    return sections_of(p.review.template if known else "llm", p.layout)


def change_review(
    ledger: Ledger, incident_id: str, change: Callable[[Review], Review], *, now_us: int, by: str
) -> Review:
    """Write the next version of a review, made from the latest one by `change` (a function of `andon.postmortems.review`).

    Raises:
        InputError: there is no draft to review, or `change` refused.
        StateError: others wrote it at the same time, again and again.
    """
    working(ledger, incident_id)
    for attempt in range(ATTEMPTS):
        known = ledger.get(Review, incident_id)
        new = change(known or Review(id=incident_id))
        try:
            put_next(ledger, known, new, now_us=now_us, by=by)
        except StateError:
            if attempt == ATTEMPTS - 1:
                raise
            continue
        return new
    raise AssertionError("the last attempt returns or raises")


def stand(ledger: Ledger, incident_id: str, layouts: Layouts = built_in_only) -> Standing:
    """Where the review of the text as it is now stands.

    Raises:
        InputError: there is no draft.
    """
    return _standing(working(ledger, incident_id, layouts))


def sign_postmortem(
    ledger: Ledger, incident_id: str, *, now_us: int, by: str, layouts: Layouts = built_in_only, read: str = ""
) -> str:
    """Sign the text as it is now; returns its digest. The sign-off lapses when the text changes.

    Args:
        ledger: where it is.
        incident_id: the incident.
        now_us: the clock.
        by: who signs.
        layouts: sources of a team's templates.
        read: digest of the text that they read; empty: they read it this moment.

    Raises:
        InputError: there is no draft.
        StateError: it is published, and nothing has changed since; or it is another text than the one that was read.
    """
    digest = digest_of(signed_text(working(ledger, incident_id, layouts)))
    if read and read != digest:
        raise StateError(f"the text of {incident_id} has changed since you read it: read it again, and sign that")
    done = ledger.get(Published, incident_id)
    if done is not None and done.digest == digest:
        raise StateError(f"{incident_id} is published with this very text; there is nothing to sign")
    change_review(ledger, incident_id, lambda r: sign(r, digest, by=by, at_us=now_us), now_us=now_us, by=by)
    return digest


def publish(ledger: Ledger, incident_id: str, *, now_us: int, by: str, layouts: Layouts = built_in_only) -> Published:
    """Publish a postmortem: from now on it is what others see, whatever the loop computes later.

    Raises:
        InputError: there is no draft.
        StateError: it is published already, or something is missing; the message lists what.
    """
    done = ledger.get(Published, incident_id)
    if done is not None:
        raise StateError(
            f"{incident_id} is published already; `andon postmortem amend {incident_id} --why ...` changes it"
        )
    return _put_out(ledger, incident_id, layouts, why="", now_us=now_us, by=by)


def amend(
    ledger: Ledger, incident_id: str, why: str, *, now_us: int, by: str, layouts: Layouts = built_in_only
) -> Published:
    """Publish the text as it is now in place of the one that is published; every version stays in the history.

    Raises:
        InputError: no reason was given.
        StateError: it was never published, its text is the same, or something is missing; the message lists what.
    """
    if not why.strip():
        raise InputError(f"say why {incident_id} is amended: it stands in the history")
    if ledger.get(Published, incident_id) is None:
        raise StateError(f"{incident_id} is not published yet", commands=f"`andon postmortem publish {incident_id}`")
    return _put_out(ledger, incident_id, layouts, why=why.strip(), now_us=now_us, by=by)


def editions(ledger: Ledger, incident_id: str) -> list[Versioned[Published]]:
    """Everything that was ever published about an incident, the first one first."""
    return ledger.history(Published, incident_id)


def _put_out(ledger: Ledger, incident_id: str, layouts: Layouts, *, why: str, now_us: int, by: str) -> Published:
    known = ledger.get(Published, incident_id)
    p = working(ledger, incident_id, layouts)
    if not p.layout and p.review.template not in BUILT_IN:
        raise StateError(
            f"{incident_id} cannot be published: its template {quoted(p.review.template, 120)} is not at hand; put its file back, "
            "or choose another",
            commands=f"`andon postmortem edit {incident_id} --template llm`",
        )
    standing = _standing(p)
    digest = standing.digest
    if known is not None and known.digest == digest:
        raise StateError(f"the text of {incident_id} is the published one: nothing is to be amended")
    if standing.missing:
        raise StateError(f"{incident_id} cannot be published yet: {'; '.join(standing.missing)}")
    status: Status = "published" if known is None else "amended"
    signed = tuple(s for s in p.review.signoffs if s.digest == digest)  # the others signed another text
    p = replace(p, review=replace(p.review, status=status, signoffs=signed), published_us=now_us)
    new = Published(id=incident_id, postmortem=p, at_us=now_us, by=by, why=why, digest=digest)
    put_next(ledger, known, new, now_us=now_us, by=by)
    change_review(ledger, incident_id, lambda r: replace(r, status=status), now_us=now_us, by=by)
    return new


def _standing(p: Postmortem) -> Standing:
    digest = digest_of(signed_text(p))
    return standing_of(p.review, digest=digest, severity=p.incident.severity, required=people_write(p))


def _of_now(
    draft: Postmortem, incident: Incident, events: Iterable[TimelineEvent], marks: Iterable[TimelineMark]
) -> Postmortem:
    pinned = tuple(sorted(m.id for m in marks if m.mark == "pinned"))
    return replace(draft, incident=incident, timeline=tuple(events), pinned=pinned)


def _composed(draft: Postmortem, review: Review, actions: Sequence[ActionItem], layouts: Layouts) -> Postmortem:
    status: Status = review.status if review.status in ("draft", "in review") else "in review"
    review = replace(review, status=status)
    return replace(draft, layout=layouts(review.template), actions=tuple(actions), review=review)


def _by_incident(records: Iterable[Any]) -> defaultdict[str, list[Any]]:
    found = defaultdict(list)
    for record in records:
        found[record.incident].append(record)
    return found
