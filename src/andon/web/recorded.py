"""Records as the audit trail shows them: what they are called, where they are shown, what differs between two versions."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from andon.access import KINDS
from andon.loop.erasing import RECORDS
from andon.traffic import format_time

__all__ = ["BESIDE", "TRAIL", "Difference", "differences", "kind_text", "page_of"]

BESIDE = frozenset({
    "Announced", "Attached", "CaptureCursor", "CaptureDay", "ChangeCursor", "Claim", "FollowUpCursor", "Inventory",
    "MeasuredBy", "ScoreCursor", "ScorerSet", "Served", "Session", "TimelineCursor", "TokenUse", "Topics", "TraceCursor", "WatchCursor",
})  # fmt: skip
"""Kinds of records that no page is about: how far a stage has come, and who is signed in. An open page does not change for them."""

TRAIL = tuple(sorted(({k.__name__ for k in (*RECORDS, *KINDS)} - BESIDE) | {"Session"}))
"""Kinds of the audit trail: what people or Andon decided, not how far a stage has come."""

_TEXTS = {
    "Session": "sign-in", "Invitation": "link to come in", "Published": "published postmortem", "Version": "version of a lever",
    "Review": "review of a postmortem", "ActionItem": "action", "Attached": "part of an incident", "EvalRun": "eval run",
    "NewNormal": "new normal of a chart", "Nagged": "reminder of actions", "Imported": "file taken in", "PullRefused": "refused pull",
}  # fmt: skip
_PAGES = {
    "Incident": "/incidents/{}", "RunbookState": "/incidents/{}", "Recovery": "/incidents/{}", "Investigation": "/incidents/{}",
    "Postmortem": "/postmortems/{}", "Published": "/postmortems/{}", "Review": "/postmortems/{}", "ActionItem": "/actions/{}",
    "Change": "/changes/{}", "Lever": "/levers/{}", "Case": "/golden/{}", "Failure": "/labels/{}", "EvalRun": "/evals/{}",
    "Experiment": "/rollouts/{}", "Decision": "/rollouts/{}", "Allocation": "/rollouts/{}", "Person": "/settings/people",
    "Token": "/settings/tokens", "Invitation": "/settings/people", "Delivery": "/settings/channels",
}  # fmt: skip

_HIDDEN = frozenset({"password", "digest", "invitation"})
_DIGEST = re.compile(r"[0-9a-f]{64}")
YEAR_2000_US = 946_684_800_000_000
"""A greater number of microseconds is a time."""

MOST, LONGEST = 200, 4_000
"""Differences that are told of one change, and characters of a value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One field that differs."""

    path: str
    before: str | None
    """None: it was not there."""
    after: str | None


def kind_text(kind: str) -> str:
    """What people call a kind of record."""
    return _TEXTS.get(kind) or " ".join(re.findall(r"[A-Z][a-z]+|[A-Z]+(?![a-z])", kind)).lower()


def page_of(kind: str, name: str) -> str:
    """Where a record is shown; empty where no page is about it."""
    page = _PAGES.get(kind, "")
    return page.format(quote(name, safe=""))


def differences(before: Any, after: Any) -> tuple[list[Difference], int]:
    """What differs between two versions of a record, and how many more differences there are; secrets are never told.

    Args:
        before: the JSON value of the version before; None where there is none.
        after: that of the version itself.
    """
    old, new = _flat(before), _flat(after)
    paths = [p for p in (*old, *(p for p in new if p not in old)) if old.get(p) != new.get(p)]
    found = [
        Difference(
            path=p, before=_shown(p, old[p]) if p in old else None, after=_shown(p, new[p]) if p in new else None
        )
        for p in paths[:MOST]
    ]
    return found, len(paths) - len(found)


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Values by their path; lists of plain values are values."""
    if isinstance(value, Mapping) and value:
        return {
            k: v for key, part in value.items() for k, v in _flat(part, f"{path}.{key}" if path else str(key)).items()
        }
    if isinstance(value, list) and any(isinstance(part, Mapping | list) for part in value):
        return {k: v for n, part in enumerate(value, 1) for k, v in _flat(part, f"{path}[{n}]").items()}
    return {} if value is None or value in ("", [], {}) else {path: value}


def _shown(path: str, value: Any) -> str:
    if path.rpartition(".")[2] in _HIDDEN or (isinstance(value, str) and _DIGEST.fullmatch(value)):
        return "(never shown)"
    if isinstance(value, str):
        text = value
    elif isinstance(value, int) and path.endswith("_us") and value > YEAR_2000_US:
        text = format_time(value)
    elif isinstance(value, bool):
        text = "yes" if value else "no"
    else:
        text = orjson.dumps(value).decode()
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
