"""Keep GitHub issues in step with actions: an issue follows its action, never the other way round."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from andon.errors import SeamError, StateError
from andon.incidents import Incident
from andon.postmortems.github import GitHub, Issue, Step, plan
from andon.postmortems.records import ActionItem
from andon.postmortems.run.actions import claim_action, put_next
from andon.store import Ledger

__all__ = ["Synced", "issue_closed", "sync_issues"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """What a sync did, or would do."""

    steps: tuple[Step, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    """Actions whose issue could not be kept in step, and why; the next sync goes on there."""


def sync_issues(
    ledger: Ledger, github: GitHub, *, now_us: int, by: str, url: str = "", dry_run: bool = False
) -> Synced:
    """Make one issue per open action, and let each say what its action does; safe to call again at any time.

    An issue is known by the link that is kept with the action, else by the mark in its body; an action whose link leads
    elsewhere is tracked there, and left alone. Where one action fails, the others are done.

    Args:
        ledger: where actions are kept.
        github: the issues of a repository.
        now_us: the clock.
        by: who asks for it.
        url: address of this Andon, for links.
        dry_run: only read, and say what would be done.

    Raises:
        SeamError: the issues could not be listed.
    """
    incidents = {i.id: i for i in ledger.all(Incident)}
    listed = github.issues()
    by_number = {i.number: i for i in listed}
    by_mark = {i.action: i for i in reversed(listed) if i.action}
    steps: list[Step] = []
    failed: list[tuple[str, str]] = []
    for item in ledger.all(ActionItem):
        if item.link and _number(item, github) is None:
            continue
        try:
            issue = _issue_of(item, github, by_number, by_mark)
            found = plan(item, incidents.get(item.incident), issue, url=url)
            for step in found:
                if not dry_run:
                    _take(ledger, github, item.id, step, now_us=now_us, by=by)
                steps.append(step)
            if issue is not None and not item.link and not dry_run:
                _link(ledger, item.id, issue.url, now_us=now_us, by=by)
        except (SeamError, StateError) as error:
            failed.append((item.id, str(error)))
    return Synced(steps=tuple(steps), failed=tuple(failed))


def issue_closed(ledger: Ledger, payload: Mapping[str, Any], *, now_us: int) -> ActionItem | None:
    """Take a delivery of GitHub's webhook ``issues`` in: a closed issue of an open action claims that it is done.

    Which action it is says the link that is kept with it, not the text of the issue: anybody may write that. Nothing is
    closed here; the sync asks for the proof on the issue.

    Returns:
        The action, with the claim; None where the delivery is about something else, or nothing new.
    """
    issue, sender = payload.get("issue"), payload.get("sender")
    if payload.get("action") != "closed" or not isinstance(issue, Mapping):
        return None
    link, number = issue.get("html_url"), issue.get("number")
    item = next((i for i in ledger.all(ActionItem) if i.link and i.link == link), None)
    if item is None or item.state != "open" or item.claimed:
        return None
    login = sender.get("login") if isinstance(sender, Mapping) else None
    said = f"#{number} was closed" + (f" by {login}" if isinstance(login, str) else "")
    return claim_action(ledger, item.id, said=said, now_us=now_us, by="github")


def _issue_of(
    item: ActionItem, github: GitHub, by_number: Mapping[int, Issue], by_mark: Mapping[str, Issue]
) -> Issue | None:
    number = _number(item, github)
    issue = by_mark.get(item.id) if number is None else by_number.get(number)
    if number is not None and issue is None:  # somebody took our label off
        issue = github.issue(number)
    if issue is not None and issue.closed and item.state == "open" and not item.claimed and not issue.closed_by:
        return github.issue(issue.number)  # a list does not say who closed it
    return issue


def _number(item: ActionItem, github: GitHub) -> int | None:
    found = re.search(rf"/{re.escape(github.repo)}/issues/([0-9]{{1,18}})$", item.link, re.IGNORECASE)
    return int(found[1]) if found else None


def _take(ledger: Ledger, github: GitHub, action_id: str, step: Step, *, now_us: int, by: str) -> None:
    if step.do == "claim":
        claim_action(ledger, action_id, said=step.said, now_us=now_us, by=by)
        return
    made = github.do(step)
    if made is not None:
        _link(ledger, action_id, made.url, now_us=now_us, by=by)


def _link(ledger: Ledger, action_id: str, link: str, *, now_us: int, by: str) -> None:
    known = ledger.get(ActionItem, action_id)
    assert known is not None
    if not known.link:
        put_next(ledger, known, replace(known, link=link), now_us=now_us, by=by)
