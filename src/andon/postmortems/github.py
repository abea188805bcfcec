"""The seam to GitHub issues: what an action's issue shall say, and the few calls that make it say so.

Our part of an issue's body stands between two marks; what people write around it, and their labels, stay.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote, urlsplit

import httpx2

from andon.errors import InputError, SeamError
from andon.incidents import Incident, neutral
from andon.postmortems.records import ActionItem
from andon.traffic import format_time, quoted

__all__ = ["API", "LABEL", "GitHub", "Issue", "Step", "block_of", "open_github", "plan"]

API = "https://api.github.com"
LABEL = "andon"
"""Label of every issue that was made for an action."""

TIMEOUT_S = 30.0
PAUSES_S = (1.0, 4.0)  # before the second and the third try
PER_PAGE = 100
MOST_PAGES = 50
MOST_BODY = 60_000  # GitHub takes 65,536 characters

_REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}")
_BLOCK = re.compile(r"<!-- andon-action: (\S+) -->.*?<!-- /andon-action -->", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """An issue as far as it matters here."""

    number: int
    url: str
    title: str
    body: str
    closed: bool
    closed_by: str = ""
    labels: frozenset[str] = frozenset()

    @property
    def action(self) -> str | None:
        """The action it was made for; None where our marks are gone."""
        found = _BLOCK.search(self.body)
        return found[1] if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to do for an action and its issue."""

    action: str
    do: Literal["create", "claim", "comment", "label", "update", "close"]
    text: str
    """What is done, for people."""
    number: int | None = None
    title: str = ""
    body: str = ""
    """Of the issue, or of the comment."""
    labels: tuple[str, ...] = ()
    reason: Literal["", "completed", "not_planned"] = ""
    said: str = ""
    """Of a claim: who says that it is done."""


def plan(item: ActionItem, incident: Incident | None, issue: Issue | None, *, url: str = "") -> list[Step]:
    """What has to be done so that an issue says what its action does; nothing when it does already.

    An open action without an issue gets one. A closed issue of an open action is a claim: it is recorded and answered once,
    and closes nothing here. A proved action closes its issue with the proof as a comment; a dropped one with the reason.
    """
    title = f"{item.id}: {neutral(item.title, 200)}"
    labels = tuple(x for x in (LABEL, item.kind, incident.severity if incident else "") if x)
    block = block_of(item, incident, url=url)
    if issue is None:
        if item.state != "open":
            return []
        return [
            Step(action=item.id, do="create", text=f"create an issue: {title}", title=title, body=block, labels=labels)
        ]
    steps: list[Step] = []
    n = issue.number
    body = _with_block(issue.body, block)
    said = ""
    if item.state == "open" and issue.closed:
        if not item.claimed:
            said = f"#{n} was closed" + (f" by {issue.closed_by}" if issue.closed_by else "")
            steps.append(Step(action=item.id, do="claim", text=f"{said}: ask for the proof", number=n, said=said))
            body = _with_block(issue.body, block_of(item, incident, url=url, claimed=True))
        if body != issue.body:
            steps.append(Step(action=item.id, do="comment", text=f"comment on #{n}", number=n, body=_asks(item)))
    reason = _over(item)
    if reason and not (issue.closed and body == issue.body):
        steps.append(Step(action=item.id, do="comment", text=f"comment on #{n}", number=n, body=_ends(item)))
    if lacking := tuple(x for x in labels if x not in issue.labels):
        steps.append(
            Step(action=item.id, do="label", text=f"label #{n}: {', '.join(lacking)}", number=n, labels=lacking)
        )
    if (title, body) != (issue.title, issue.body):
        steps.append(Step(action=item.id, do="update", text=f"update #{n}", number=n, title=title, body=body))
    if reason and not issue.closed:
        steps.append(Step(action=item.id, do="close", text=f"close #{n} ({item.state})", number=n, reason=reason))
    return steps


def block_of(item: ActionItem, incident: Incident | None, *, url: str = "", claimed: bool = False) -> str:
    """Our part of an issue's body: what, when it is done, until when, by whom, and where it stands."""
    what = f"{item.incident}: {neutral(incident.title, 300)}" if incident else item.incident
    here = f"{url.rstrip('/')}/incidents/{quote(item.incident, safe='')}" if url else ""
    test = neutral(item.criterion.text, 300) if item.criterion else "nobody has chosen a test yet"
    lines = [
        f"<!-- andon-action: {item.id} -->",
        f"Action {item.id} ({item.kind}) of {f'[{what}]({here})' if here else what}",
        "",
        neutral(item.title, 500),
        "",
        f"- **Done when:** {test}",
        f"- **Due:** {format_time(item.due_us)[:10]}",
        f"- **Owner:** {neutral(item.owner or 'nobody yet', 60)}",
        f"- **State:** {_state(item, claimed)}",
        "",
        f"Closing this issue asks for the proof; only the proof closes the action: `andon action prove {item.id}`",
        "<!-- /andon-action -->",
    ]
    return "\n".join(lines)


def _state(item: ActionItem, claimed: bool) -> str:
    if item.state == "done" and item.proof is not None:
        return f"proved on {format_time(item.proof.at_us)[:10]}: {neutral(item.proof.text, 500)}"
    if item.state == "dropped":
        return f"dropped: {neutral(item.why, 500)}"
    return "said to be done, not proved" if claimed or item.claimed else "open"


def _asks(item: ActionItem) -> str:
    test = neutral(item.criterion.text, 300) if item.criterion else "a test that somebody has yet to choose"
    return (
        f"<!-- andon-asks: {item.id} -->\nThis issue was closed, and the action stays open until it is proved: {test}.\n\n"
        f"Run `andon action prove {item.id}`."
    )


def _ends(item: ActionItem) -> str:
    if item.state == "dropped":
        return f"<!-- andon-dropped: {item.id} -->\nThe action was dropped: {neutral(item.why, 1000)}"
    assert item.proof is not None
    when = format_time(item.proof.at_us)
    return f"<!-- andon-proof: {item.id} -->\nProved at {when} by {neutral(item.proof.by, 60)}: {neutral(item.proof.text, 1000)}"


def _over(item: ActionItem) -> Literal["", "completed", "not_planned"]:
    if item.state == "done" and item.proof is not None:
        return "completed"
    return "not_planned" if item.state == "dropped" else ""


def _with_block(body: str, block: str) -> str:
    """A body with our part in it, and everything else as it was (GitHub keeps line ends as the browser sends them)."""
    if known := _BLOCK.search(body):
        return body if known[0].replace("\r\n", "\n") == block else _BLOCK.sub(lambda _: block, body, count=1)
    return f"{block}\n\n{body}".strip()[:MOST_BODY]


def open_github(repo: str, token: str, *, api: str = API) -> "GitHub":
    """The issues of a repository; nothing is sent yet.

    Args:
        repo: ``owner/name``.
        token: of a user or an app that may write issues.
        api: address of GitHub's API; another one for GitHub Enterprise.

    Raises:
        InputError: the repository or the address has another form, or there is no token that a header can carry.
    """
    if not _REPO.fullmatch(repo) or repo.endswith(("/.", "/..")):
        raise InputError(f"{quoted(repo, 120)} is no repository; OWNER/NAME is needed")
    parts = urlsplit(api)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise InputError("GITHUB_API_URL is not of the form https://HOST/PATH")
    token = token.strip()
    if not token or not (token.isascii() and token.isprintable()):  # its value is never repeated
        raise InputError("GITHUB_TOKEN is not set, or no header can carry it; it needs a token that may write issues")
    return GitHub(repo=repo, token=token, api=api.rstrip("/"))


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHub:
    """The issues of one repository."""

    repo: str
    token: str = field(repr=False)
    api: str = API
    sleep: Callable[[float], None] = time.sleep

    def issues(self) -> list[Issue]:
        """All issues with our label, open and closed.

        Raises:
            SeamError: GitHub could not be reached, or refused.
        """
        found: list[Issue] = []
        for page in range(1, MOST_PAGES + 1):
            query = f"state=all&labels={LABEL}&per_page={PER_PAGE}&page={page}"
            rows = self._call("GET", f"issues?{query}")
            if not isinstance(rows, list):
                raise self._failed("the list of issues is none", retryable=False)
            found += [self._issue(r) for r in rows if isinstance(r, dict) and "pull_request" not in r]
            if len(rows) < PER_PAGE:
                break
        return found

    def issue(self, number: int) -> Issue:
        """One issue, with who closed it.

        Raises:
            SeamError: GitHub could not be reached, or refused.
        """
        return self._issue(self._call("GET", f"issues/{number}"))

    def do(self, step: Step) -> Issue | None:
        """Take one step of a plan; returns the issue where one was made. A comment that is there already is not repeated.

        Raises:
            SeamError: GitHub could not be reached, or refused.
        """
        n = step.number
        if step.do == "create":
            body = {"title": step.title, "body": step.body, "labels": list(step.labels)}
            return self._issue(self._call("POST", "issues", body))
        if step.do == "comment" and not self._said(n, step.body.partition("\n")[0]):
            self._call("POST", f"issues/{n}/comments", {"body": step.body})
        elif step.do == "label":
            self._call("POST", f"issues/{n}/labels", {"labels": list(step.labels)})
        elif step.do == "update":
            self._call("PATCH", f"issues/{n}", {"title": step.title, "body": step.body})
        elif step.do == "close":
            self._call("PATCH", f"issues/{n}", {"state": "closed", "state_reason": step.reason})
        return None

    def _said(self, number: int | None, mark: str) -> bool:
        for page in range(1, MOST_PAGES + 1):
            rows = self._call("GET", f"issues/{number}/comments?per_page={PER_PAGE}&page={page}")
            texts = [str(r.get("body") or "") for r in rows if isinstance(r, dict)] if isinstance(rows, list) else []
            if any(t.replace("\r\n", "\n").startswith(mark) for t in texts):
                return True
            if len(texts) < PER_PAGE:
                break
        return False

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
            "User-Agent": "andon",
        }
        for pause in (*PAUSES_S, None):
            try:
                url = f"{self.api}/repos/{self.repo}/{path}"
                answer = httpx2.request(method, url, json=body, headers=headers, timeout=TIMEOUT_S)
            except httpx2.ConnectError as error:
                problem, again, retryable = self._shown(str(error)), True, True
            except (
                httpx2.HTTPError,
                httpx2.InvalidURL,
                ValueError,
            ) as error:  # it may have arrived: nothing is made twice
                problem, retryable = (
                    f"{type(error).__name__}: {self._shown(str(error))}",
                    isinstance(error, httpx2.TransportError),
                )
                again = retryable and method != "POST"
            else:
                if answer.is_success:
                    return self._decoded(answer)
                problem, retryable = self._refusal(answer)
                again = retryable and (method != "POST" or answer.status_code < 500)
            if pause is None or not again:
                raise self._failed(problem, retryable=retryable)
            self.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def _refusal(self, answer: httpx2.Response) -> tuple[str, bool]:
        status = answer.status_code
        limited = status == 429 or (status == 403 and answer.headers.get("x-ratelimit-remaining") == "0")
        hints = {
            301: "; the repository was renamed: give its new name",
            401: "; GITHUB_TOKEN is not valid",
            403: "; GITHUB_TOKEN may not do this: it needs to write issues",
            404: "; there is no such repository or issue, or GITHUB_TOKEN may not see it",
            410: "; issues are switched off, or this one was deleted",
        }
        hint = "; too many requests, try again later" if limited else hints.get(status, "")
        return f"HTTP {status}: {self._shown(answer.text)}{hint}", limited or status >= 500

    def _decoded(self, answer: httpx2.Response) -> Any:
        try:
            return answer.json()
        except ValueError:
            pass
        raise self._failed(f"the answer is not JSON: {self._shown(answer.text)}", retryable=False)

    def _issue(self, row: Any) -> Issue:
        try:
            closer = row.get("closed_by") or {}
            return Issue(
                number=int(row["number"]),
                url=str(row["html_url"]),
                title=str(row["title"]),
                body=str(row.get("body") or ""),
                closed=row["state"] == "closed",
                closed_by=str(closer.get("login") or ""),
                labels=frozenset(_names(row.get("labels") or ())),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            pass
        raise self._failed("an issue has no number, html_url, title or state", retryable=False)

    def _failed(self, problem: str, *, retryable: bool) -> SeamError:
        return SeamError(f"GitHub ({self.repo}) failed: {problem}", retryable=retryable)

    def _shown(self, text: str) -> str:
        return quoted(text.replace(self.token, "***"), 200)


def _names(labels: Sequence[Any]) -> list[str]:
    return [str(x["name"] if isinstance(x, dict) else x) for x in labels]
