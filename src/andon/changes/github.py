"""GitHub's webhooks: which of them say that something else runs now.

A deployment whose status became ``success`` is a change, a published release, and a push to the default branch (in teams
where a merge goes live by itself, that is all there is). Everything else is ignored, in words.
"""

from collections.abc import Mapping
from typing import Any

from andon.changes.attributes import line_of, text_of
from andon.changes.drafts import Draft, first_line, first_link, first_text, known_kind, known_version
from andon.changes.records import Ignored
from andon.errors import InputError
from andon.traffic import quoted

__all__ = ["github_event", "read_github"]

_KNOWN = frozenset({
    "action", "check_run", "commits", "deployment", "deployment_status", "enterprise", "head_commit", "installation",
    "organization", "pusher", "release", "repository", "sender", "workflow", "workflow_run",
})  # fmt: skip
"""Large objects of GitHub, of which what matters is picked; every other key is kept."""

_READ = "deployment_status, release and push are read"
_IGNORED = {
    "ping": f"the webhook works; {_READ}",
    "deployment": "a deployment was asked for; its deployment_status `success` is the change",
}
_NOTHING = "0" * 40


def github_event(data: Mapping[str, Any]) -> str | None:
    """The name of the event by its content, for a body whose headers were lost (a file of saved deliveries)."""
    if not isinstance(data.get("repository"), dict) or not isinstance(data.get("sender"), dict):
        return None
    if "deployment_status" in data:
        return "deployment_status"
    if "release" in data and "action" in data:
        return "release"
    return "push" if {"ref", "before", "after", "commits"} <= set(data) else None


def read_github(event: str, data: Mapping[str, Any], delivery: str = "") -> Draft | Ignored:
    """A change from a delivery, or why it is none.

    Raises:
        InputError: a part of it that must be an object is none.
    """
    readers = {"deployment_status": _deployed, "release": _released, "push": _pushed}
    if event in readers:
        return readers[event](data, delivery)
    what = line_of(f"{event} {text_of(data.get('action') or '')}", 80)
    return Ignored(what=what, why=_IGNORED.get(event, "it changes nothing that runs; " + _READ))


def _deployed(data: Mapping[str, Any], delivery: str) -> Draft | Ignored:
    status, deployment = _object(data, "deployment_status"), _object(data, "deployment")
    state = status.get("state")
    if state != "success":
        return Ignored(
            what=f"deployment_status {line_of(text_of(state), 40)}", why="only `success` says that it is live"
        )
    wanted = deployment.get("payload")  # the team's own words, given when the deployment was created
    words = dict(wanted) if isinstance(wanted, dict) else {"payload": wanted} if wanted else {}
    used: set[str] = set()
    repository = _object(data, "repository")
    sha, ref = first_text(deployment, ("sha",)), first_line(deployment, ("ref",))
    environment = first_line(status, ("environment",)) or first_line(deployment, ("environment",))
    if environment and environment.casefold() == "production":
        environment = "production"  # as hosts write it, and as traffic does
    task = first_line(deployment, ("task",)) or "deploy"
    what = line_of(sha or "?")[:7] + (f" ({ref})" if ref and ref != sha else "")
    where = f" to {environment}" if environment else ""
    given = {
        "kind": known_kind(words.get("kind")) or "code",
        "title": line_of(f"{_repo(data)}: {task} {what}{where}"),
        "before": first_text(words, ("before", "previous_version"), used),
        "after": first_text(words, ("after", "version"), used) or sha,
        "app": first_line(words, ("app", "application", "service"), used),
        "environment": environment,
        "version_field": known_version(words, used),
        "author": _author(data),
        "link": first_link(status, ("log_url", "target_url")) or first_link(repository, ("html_url",)),
    }
    about = {f"deployment.{k}": deployment.get(k) for k in ("id", "sha", "ref", "task", "description")}
    about |= {f"deployment_status.{k}": status.get(k) for k in ("id", "description", "environment_url")}
    return _draft(
        data,
        delivery,
        given,
        (status, "updated_at", "created_at"),
        about,
        {k: v for k, v in words.items() if k not in used},
    )


def _released(data: Mapping[str, Any], delivery: str) -> Draft | Ignored:
    release = _object(data, "release")
    tag = first_text(release, ("tag_name",))
    if data.get("action") != "published":
        return Ignored(
            what=line_of(f"release {text_of(data.get('action'))}", 80), why="only `published` can change what runs"
        )
    if release.get("prerelease") is True or release.get("draft") is True:
        return Ignored(what=line_of(f"release {tag}", 80), why="a draft or pre-release is not what runs")
    title = first_line(release, ("name",)) or tag or "a release"
    given = {
        "kind": "code",
        "title": line_of(
            f"{_repo(data)}: release {title}" + (f" ({line_of(tag, 40)})" if tag and tag != title else "")
        ),
        "after": tag,
        "author": _author(data),
        "link": first_link(release, ("html_url",)),
    }
    about = {f"release.{k}": release.get(k) for k in ("id", "name", "target_commitish", "body")}
    return _draft(data, delivery, given, (release, "published_at", "created_at"), about, {})


def _pushed(data: Mapping[str, Any], delivery: str) -> Draft | Ignored:
    repository, head = _object(data, "repository"), _object(data, "head_commit")
    ref, branch = first_line(data, ("ref",)) or "", first_line(repository, ("default_branch",))
    if not branch or ref != f"refs/heads/{branch}":
        return Ignored(what=line_of(f"push {ref}", 80), why="only a push to the default branch can change what runs")
    before, after = (_sha(data, k) for k in ("before", "after"))
    if after is None:
        return Ignored(what=line_of(f"push {ref}", 80), why="the branch was deleted")
    commits = data.get("commits")
    n = len(commits) if isinstance(commits, list) else 0
    message = (first_text(head, ("message",)) or "").partition("\n")[0]
    given = {
        "kind": "code",
        "title": line_of(
            f"{_repo(data)}: {n} commit{'' if n == 1 else 's'} merged to {branch}: {message}".rstrip(": ")
        ),
        "before": before,
        "after": after,
        "author": _author(data),
        "link": first_link(data, ("compare",)),
    }
    pushed = repository.get("pushed_at")  # when it was pushed; a commit may be months older
    when = {"pushed_at": pushed, "timestamp": head.get("timestamp")}
    about = {"commits": n, "head_commit.message": head.get("message"), "pusher": data.get("pusher")}
    return _draft(data, delivery, given, (when, "pushed_at", "timestamp"), about, {})


def _draft(
    data: Mapping[str, Any],
    delivery: str,
    given: Mapping[str, Any],
    when: tuple[Mapping[str, Any], str, str],
    about: Mapping[str, Any],
    words: Mapping[str, Any],
) -> Draft:
    told, *names = when
    at_name = next((n for n in names if told.get(n)), names[0])
    event = next((k for k in ("deployment_status", "release") if k in data), "push")
    thing = _object(data, event).get("id") if event != "push" else None
    if isinstance(thing, int | str) and not isinstance(thing, bool):  # two webhooks of one repository tell it twice
        key: tuple[str, ...] = ("github", _repo(data), event, text_of(thing))
    elif event == "push":
        key = ("github", _repo(data), event, *(text_of(data.get(k)) for k in ("ref", "before", "after")))
    else:
        key = ("github", delivery) if delivery else ()
    taken = _KNOWN | ({"ref", "before", "after", "compare"} if event == "push" else set())
    rest = {k: v for k, v in data.items() if k not in taken}
    return Draft(
        fields=given,
        at=told.get(at_name) or None,
        at_name=at_name,
        key=key,
        guessed_app=first_line(_object(data, "repository"), ("name",)),
        attributes=({"repository": _repo(data), **about}, words, rest),
    )


def _repo(data: Mapping[str, Any]) -> str:
    return first_line(_object(data, "repository"), ("full_name", "name")) or "a repository"


def _author(data: Mapping[str, Any]) -> str | None:
    return first_line(_object(data, "sender"), ("login",))


def _sha(data: Mapping[str, Any], key: str) -> str | None:
    sha = first_text(data, (key,))
    return None if sha == _NOTHING else sha


def _object(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(f"{key} is {quoted(value)}; an object of GitHub's webhooks is allowed")
    return value
