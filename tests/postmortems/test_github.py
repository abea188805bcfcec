"""Laws of the sync with GitHub issues, against a server on loopback that keeps issues as GitHub does."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from records_made import DAY, HOUR, T0, action, draft, incident

from andon.errors import InputError, SeamError
from andon.postmortems import ActionItem, Proof
from andon.postmortems.github import GitHub, Issue, block_of, open_github, plan
from andon.postmortems.run.actions import claim_action, drop_action, find_action, prove_action, take_action
from andon.postmortems.run.github import issue_closed, sync_issues
from andon.store import Ledger

TOKEN = "ghp_a-very-secret-token"
REPO = "acme/bot"
YES = {"lever exists": lambda item, now: Proof(met=True, text="held in a drill", at_us=now)}
NO = {"lever exists": lambda item, now: Proof(met=False, text="never held", at_us=now)}


class Server:
    """Issues, comments and requests, and a way to fail."""

    def __init__(self) -> None:
        self.issues: dict[int, dict[str, Any]] = {}
        self.comments: dict[int, list[str]] = {}
        self.requests: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.fails: Callable[[str, str, int], tuple[int, str] | None] = lambda method, path, n: None
        self.url = ""

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """What GitHub answers."""
        parts = urlsplit(path)
        rest = parts.path.removeprefix(f"/repos/{REPO}/")
        query = {k: v[0] for k, v in parse_qs(parts.query).items()}
        page, size = int(query.get("page", 1)), int(query.get("per_page", 30))
        if rest == "issues":
            if method == "POST":
                return 201, self.make(body["title"], body["body"], body["labels"])
            found = [i for i in self.issues.values() if query["labels"] in {x["name"] for x in i["labels"]}]
            shown = [
                {k: v for k, v in i.items() if k != "closed_by"} for i in sorted(found, key=lambda i: -i["number"])
            ]
            return 200, shown[(page - 1) * size : page * size]
        found_ = re.fullmatch(r"issues/(\d+)(/\w+)?", rest)
        assert found_ is not None, rest
        number, sub = int(found_[1]), found_[2]
        if number not in self.issues:
            return 404, {"message": "Not Found"}
        if sub == "/comments":
            if method == "POST":
                self.comments[number].append(body["body"])
            return 200, [{"body": c} for c in self.comments[number]][(page - 1) * size : page * size]
        if sub == "/labels":
            self.issues[number]["labels"] += [{"name": x} for x in body["labels"]]
            return 200, []
        if method == "PATCH":
            self.issues[number] |= body
        return 200, self.issues[number]

    def make(self, title: str, body: str, labels: list[str]) -> dict[str, Any]:
        """A new issue."""
        n = len(self.issues) + 1
        self.comments[n] = []
        self.issues[n] = {
            "number": n, "html_url": f"https://github.com/{REPO}/issues/{n}", "title": title, "body": body,
            "state": "open", "labels": [{"name": x} for x in labels], "closed_by": None,
        }  # fmt: skip
        return self.issues[n]

    def close(self, number: int, login: str = "eve") -> None:
        """Somebody closes an issue."""
        self.issues[number] |= {"state": "closed", "closed_by": {"login": login}}

    def writes(self) -> list[str]:
        """Requests that changed something, since the last call."""
        found = [f"{m} {urlsplit(p).path.removeprefix(f'/repos/{REPO}/')}" for m, p in self.requests if m != "GET"]
        self.requests.clear()
        return found


@pytest.fixture
def server() -> Iterator[Server]:
    """A server on loopback, for one test."""
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            state.requests.append((self.command, self.path))
            state.headers.append(dict(self.headers))
            failed = state.fails(self.command, self.path, len(state.requests))
            status, data = failed or state.answer(self.command, self.path, json.loads(raw) if raw else {})
            text = data.encode() if isinstance(data, str) else json.dumps(data).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_GET(self) -> None:
            self._any()

        def do_POST(self) -> None:
            self._any()

        def do_PATCH(self) -> None:
            self._any()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        state.url = f"http://127.0.0.1:{http.server_port}"
        yield state
        http.shutdown()
        thread.join()


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A ledger with an incident, a proposal and an open action."""
    book = Ledger("sqlite://")
    book.put(incident(), now_us=T0, by="andon")
    book.put(draft(None, action(), action("INC-0001-A2")), now_us=T0, by="andon")
    take_action(book, "INC-0001-A1", owner="ann", now_us=T0, by="ann")
    yield book
    book.close()


def github(server: Server) -> tuple[GitHub, list[float]]:
    """The issues of the repository, noting pauses instead of sleeping."""
    pauses: list[float] = []
    return replace(open_github(REPO, TOKEN, api=server.url), sleep=pauses.append), pauses


def sync(ledger: Ledger, server: Server, *, now: int = T0 + HOUR, dry_run: bool = False) -> list[str]:
    """Sync, and what was done."""
    done = sync_issues(ledger, github(server)[0], now_us=now, by="ann", url="https://andon.example", dry_run=dry_run)
    assert done.failed == ()
    return [s.do for s in done.steps]


def test_one_issue_per_open_action(ledger: Ledger, server: Server) -> None:
    """Only commitments get an issue: with owner, date, test and link in it, labels, and its address kept with the action."""
    assert sync(ledger, server) == ["create"]
    (issue,) = server.issues.values()
    assert issue["title"] == "INC-0001-A1: declare a lever"
    assert {x["name"] for x in issue["labels"]} == {"andon", "mitigate", "P2"}
    for text in ("ann", "2026-10-21", "lever strict has a safe value", "https://andon.example/incidents/INC-0001", "andon action prove INC-0001-A1"):  # fmt: skip
        assert text in issue["body"]
    assert find_action(ledger, "INC-0001-A1").link == issue["html_url"]
    assert server.headers[0]["Authorization"] == f"Bearer {TOKEN}"


def test_a_second_sync_writes_nothing(ledger: Ledger, server: Server) -> None:
    """Whatever state an action is in, a sync that follows a sync sends no request that changes anything."""
    for change in (
        lambda: None,
        lambda: prove_action(ledger, "INC-0001-A1", NO, now_us=T0, by="ann"),
        lambda: server.close(1),
        lambda: prove_action(ledger, "INC-0001-A1", YES, now_us=T0, by="ann"),
    ):
        change()
        sync(ledger, server)
        server.writes()
        assert sync(ledger, server) == []
        assert server.writes() == []


def test_an_issue_is_found_again_by_its_mark(ledger: Ledger, server: Server) -> None:
    """When the address was not kept (a crash after creating), the mark in the body finds the issue; none is made twice."""
    sync(ledger, server)
    known = find_action(ledger, "INC-0001-A1")
    ledger.put(replace(known, link=""), now_us=T0, by="crash")
    assert sync(ledger, server) == []
    assert len(server.issues) == 1
    assert find_action(ledger, "INC-0001-A1").link == known.link


def test_what_people_write_around_our_part_stays(ledger: Ledger, server: Server) -> None:
    """Our part of the body and our labels are renewed; people's words, labels and order stay; line ends may be the browser's."""
    sync(ledger, server)
    issue = server.issues[1]
    issue["body"] = f"Note by bob.\r\n\r\n{issue['body']}\n\n- [ ] step".replace("\n", "\r\n")
    issue["labels"].append({"name": "team-a"})
    assert sync(ledger, server) == []
    take_action(ledger, "INC-0001-A1", owner="cid", now_us=T0, by="ann")
    issue["labels"] = [x for x in issue["labels"] if x["name"] != "P2"]
    assert sync(ledger, server) == ["label", "update"]
    assert "Note by bob." in issue["body"]
    assert "- [ ] step" in issue["body"]
    assert "**Owner:** cid" in issue["body"]
    assert issue["body"].count("<!-- andon-action:") == issue["body"].count("<!-- /andon-action") == 1
    assert {x["name"] for x in issue["labels"]} == {"andon", "mitigate", "P2", "team-a"}


def test_a_closed_issue_asks_for_the_proof_once(ledger: Ledger, server: Server) -> None:
    """Closing an issue claims, by the name of who closed it; the action stays open, and the issue is answered once."""
    sync(ledger, server)
    server.close(1)
    assert sync(ledger, server) == ["claim", "comment", "update"]
    item = find_action(ledger, "INC-0001-A1")
    assert (item.state, item.claimed) == ("open", "#1 was closed by eve")
    assert server.issues[1]["state"] == "closed"
    server.issues[1]["state"] = "open"
    server.close(1, "mal")
    sync(ledger, server)
    take_action(
        ledger, "INC-0001-A1", owner="cid", now_us=T0, by="ann"
    )  # the body changes, the question is not repeated
    sync(ledger, server)
    (asked,) = server.comments[1]
    assert "andon action prove INC-0001-A1" in asked


def test_a_proof_closes_the_issue_and_is_told_there(ledger: Ledger, server: Server) -> None:
    """A proved action closes its issue with the proof as a comment, once; an issue that was closed before gets the comment."""
    sync(ledger, server)
    prove_action(ledger, "INC-0001-A1", NO, now_us=T0, by="ann")
    sync(ledger, server)
    assert server.issues[1]["state"] == "open"
    prove_action(ledger, "INC-0001-A1", YES, now_us=T0 + DAY, by="ann")
    assert sync(ledger, server) == ["comment", "update", "close"]
    assert (server.issues[1]["state"], server.issues[1]["state_reason"]) == ("closed", "completed")
    assert "held in a drill" in server.comments[1][-1]
    assert "proved on" in server.issues[1]["body"]
    take_action(ledger, "INC-0001-A2", owner="ann", now_us=T0, by="ann")
    sync(ledger, server)
    server.close(2)
    sync(ledger, server)
    prove_action(ledger, "INC-0001-A2", YES, now_us=T0 + DAY, by="ann")
    assert sync(ledger, server) == ["comment", "update"]
    assert [len(c) for c in server.comments.values()] == [1, 2]


def test_a_dropped_action_closes_its_issue_as_not_planned(ledger: Ledger, server: Server) -> None:
    """Dropping closes the issue with the reason; an action that was dropped before it had an issue gets none."""
    sync(ledger, server)
    drop_action(ledger, "INC-0001-A1", "superseded by A2", now_us=T0, by="ann")
    drop_action(ledger, "INC-0001-A2", "no", now_us=T0, by="ann")
    sync(ledger, server)
    assert (server.issues[1]["state"], server.issues[1]["state_reason"]) == ("closed", "not_planned")
    assert "superseded by A2" in server.comments[1][0]
    assert len(server.issues) == 1


def test_a_dry_run_only_reads(ledger: Ledger, server: Server) -> None:
    """It says what would be done, sends nothing that changes anything, and writes nothing into the ledger."""
    before = ledger.history(ActionItem)
    assert sync(ledger, server, dry_run=True) == ["create"]
    assert server.writes() == []
    assert ledger.history(ActionItem) == before


def test_a_ticket_elsewhere_is_left_alone(ledger: Ledger, server: Server) -> None:
    """An action whose link leads to another tracker is tracked there: it gets no issue."""
    claim_action(ledger, "INC-0001-A1", said="ann", link="https://jira.example/X-7", now_us=T0, by="ann")
    assert sync(ledger, server) == []
    assert server.issues == {}


def test_more_issues_than_a_page_holds(ledger: Ledger, server: Server) -> None:
    """Issues beyond the first hundred are read too; pull requests with the label are no issues."""
    sync(ledger, server)
    known = find_action(ledger, "INC-0001-A1")
    ledger.put(replace(known, link=""), now_us=T0, by="crash")
    for k in range(150):
        server.make(f"other {k}", "", ["andon"])["pull_request"] = {}
    assert sync(ledger, server) == []
    assert find_action(ledger, "INC-0001-A1").link == known.link


def test_content_is_harmless_on_github() -> None:
    """Titles, owners and proofs mention nobody, link nowhere, open no comment and fake no mark."""
    bad = "@octocat <!-- andon-action: INC-0002-A1 --> --> <script> [x](http://evil.com) #12 evil.com\n- [x] done"
    item = action(title=bad, owner=bad, state="done", claimed=bad, proof=Proof(met=True, text=bad, at_us=T0, by=bad))
    issue = Issue(number=1, url="u", title="", body="", closed=False)
    for text in (block_of(item, incident(title=bad)), *(s.body for s in plan(item, incident(title=bad), issue)), *(s.title for s in plan(item, None, issue))):  # fmt: skip
        rest = re.sub(r"<!-- /?andon-\w+(: INC-0001-A1)? -->", "", text)
        assert not {"<", ">", "@"} & set(rest)
        assert "evil.com" not in rest
        assert "](" not in rest
        assert "#12" not in rest
    found = Issue(number=1, url="u", title="", body=block_of(item, None), closed=False)
    assert found.action == "INC-0001-A1"


def webhook(**more: Any) -> dict[str, Any]:
    """A delivery about the closed issue 1."""
    issue = {
        "html_url": f"https://github.com/{REPO}/issues/1",
        "number": 1,
        "body": "<!-- andon-action: INC-0001-A1 -->",
    }
    return {"action": "closed", "issue": issue, "sender": {"login": "eve"}, **more}


def test_the_webhook_claims_and_closes_nothing(ledger: Ledger, server: Server) -> None:
    """A closed issue whose address is kept claims its action; a second delivery, another action or another issue do nothing."""
    assert (
        issue_closed(ledger, webhook(), now_us=T0) is None
    )  # the mark in the body proves nothing: anybody may write it
    sync(ledger, server)
    for other in (
        webhook(action="opened"), webhook(issue=None), webhook(issue={"html_url": "https://github.com/acme/bot/issues/2"}), {},
    ):  # fmt: skip
        assert issue_closed(ledger, other, now_us=T0) is None
    item = issue_closed(ledger, webhook(), now_us=T0)
    assert item is not None
    assert (item.state, item.claimed) == ("open", "#1 was closed by eve")
    assert issue_closed(ledger, webhook(sender=None), now_us=T0) is None
    server.close(1)
    assert sync(ledger, server) == ["comment", "update"]


def test_one_failure_does_not_keep_the_others_from_it(ledger: Ledger, server: Server) -> None:
    """An issue that is gone is named as failed, and the next action is done all the same."""
    sync(ledger, server)
    server.issues.clear()
    take_action(ledger, "INC-0001-A2", owner="bob", now_us=T0, by="bob")
    done = sync_issues(ledger, github(server)[0], now_us=T0, by="ann")
    assert [s.do for s in done.steps] == ["create"]
    ((name, why),) = done.failed
    assert name == "INC-0001-A1"
    assert "HTTP 404" in why


@pytest.mark.parametrize(
    ("status", "retryable", "tries", "says"),
    [
        (401, False, 1, "GITHUB_TOKEN is not valid"),
        (403, False, 1, "needs to write issues"),
        (404, False, 1, "no such repository"),
        (429, True, 3, "too many requests"),
        (502, True, 3, "HTTP 502"),
    ],
)
def test_refusals_say_what_to_do(server: Server, status: int, retryable: bool, tries: int, says: str) -> None:
    """What may pass is tried three times with pauses, what will not is refused at once; no message holds the token."""
    server.fails = lambda method, path, n: (status, f'{{"message": "no {TOKEN}"}}')
    client, pauses = github(server)
    with pytest.raises(SeamError) as caught:
        client.issues()
    assert (caught.value.retryable, len(server.requests), pauses) == (retryable, tries, [1.0, 4.0][: tries - 1])
    assert says in str(caught.value)
    assert TOKEN not in f"{caught.value}{caught.value.__cause__}{client!r}"


def test_an_issue_is_never_made_twice(ledger: Ledger, server: Server) -> None:
    """A creation that GitHub answered with an error of its own may have happened: it is not repeated, and found by its mark."""

    def made_but_not_told(method: str, path: str, n: int) -> tuple[int, str] | None:
        if method != "POST":
            return None
        item = find_action(ledger, "INC-0001-A1")
        server.make("t", block_of(item, incident()), ["andon"])
        return 502, "bad gateway"

    server.fails = made_but_not_told
    done = sync_issues(ledger, github(server)[0], now_us=T0, by="ann")
    assert len(done.failed) == 1
    server.fails = lambda method, path, n: None
    sync_issues(ledger, github(server)[0], now_us=T0, by="ann")
    assert len(server.issues) == 1
    assert find_action(ledger, "INC-0001-A1").link.endswith("/issues/1")


@pytest.mark.parametrize("text", ["", "not json", "{}", "[1]", '[{"number": 1}]'])
def test_answers_of_another_shape_are_errors(server: Server, text: str) -> None:
    """What is no list of issues is refused, whatever it is, except entries that are no objects, which are no issues."""
    server.fails = lambda method, path, n: (200, text)
    client, _ = github(server)
    if text == "[1]":
        assert client.issues() == []
        return
    with pytest.raises(SeamError):
        client.issues()


def test_nobody_there_is_tried_again() -> None:
    """A refused connection is tried three times and is retryable."""
    pauses: list[float] = []
    client = replace(open_github(REPO, TOKEN, api="http://127.0.0.1:9"), sleep=pauses.append)
    with pytest.raises(SeamError) as caught:
        client.issues()
    assert (caught.value.retryable, pauses) == (True, [1.0, 4.0])


@pytest.mark.parametrize(
    ("repo", "token", "api"),
    [
        ("acme", TOKEN, "https://x"), ("a/b/c", TOKEN, "https://x"), ("a/..", TOKEN, "https://x"), ("a b/c", TOKEN, "https://x"),
        (REPO, "", "https://x"), (REPO, "a\nb", "https://x"), (REPO, "é", "https://x"), (REPO, TOKEN, "file:///etc"),
        (REPO, TOKEN, "https://u:p@x"),
    ],
)  # fmt: skip
def test_the_set_up_is_checked_before_anything_is_sent(repo: str, token: str, api: str) -> None:
    """A repository, token or address of another form is refused without repeating the token."""
    with pytest.raises(InputError) as caught:
        open_github(repo, token, api=api)
    assert not token or token not in str(caught.value)


def test_the_command_syncs_and_keeps_the_token_to_itself(type_, server: Server, tmp_path, monkeypatch) -> None:
    """`andon action sync` says what it would do, does it, then has nothing to do; a refusal is exit 4, without the token."""
    book = Ledger.open(tmp_path / "home" / "ledger.db")
    book.put(incident(), now_us=T0, by="andon")
    book.put(action(state="open", owner="ann"), now_us=T0, by="ann")
    book.close()
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    monkeypatch.setenv("GITHUB_API_URL", server.url)
    code, out, _ = type_("action", "sync", "--repo", REPO, "--dry-run")
    assert (code, "would create an issue" in out, server.issues) == (0, True, {})
    code, out, _ = type_("action", "sync", "--repo", REPO)
    assert (code, len(server.issues)) == (0, 1)
    assert "every issue says what its action does" in type_("action", "sync", "--repo", REPO)[1]
    server.fails = lambda method, path, n: (401, f"bad {TOKEN}")
    code, out, err = type_("action", "sync", "--repo", REPO)
    assert (code, err.count("\n")) == (4, 1)
    assert TOKEN not in out + err
