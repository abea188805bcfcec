"""Laws of what `andon serve` puts together, asked of the real process: what is posted is kept, and what is published is shown."""

import hmac
import json
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256

import httpx2
import pytest
from running import free_port, serving

from andon.incidents import Incident, Report
from andon.investigations import Impact, Investigation
from andon.postmortems import ActionItem, Postmortem, Published
from andon.store import Ledger

NOW = 1_772_409_600_000_000
SECRET = "a secret of the webhook"
ISSUE = "https://github.com/acme/bot/issues/7"


def drafted(summary: str) -> Postmortem:
    """A draft with this summary."""
    told = dict.fromkeys(("onset_us", "onset_low_us", "onset_high_us", "alarmed_us", "last_signal_us"), NOW)
    about = Incident(id="INC-0001", title="t", app="triage", environment="production", metric="error", lead="s", **told)
    impact = Impact(n=10, harmed=5, excess=4.0, users=None, sessions=None)
    found = Investigation(id=about.id, at_us=NOW, impact=impact)
    return Postmortem(id=about.id, at_us=NOW, incident=about, investigation=found, summary=(summary,))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx2.Client, Ledger]]:
    """A server over a home with one postmortem, published and drafted again, and one action; and the ledger of that home."""
    home, port = tmp_path_factory.mktemp("served"), free_port()
    draft, signed = drafted("A later draft."), drafted("What was signed.")
    action = ActionItem(
        id="INC-0001-A1", incident="INC-0001", kind="process", title="a drill", state="open", owner="ann", due_us=NOW,
        link=ISSUE,
    )  # fmt: skip
    published = Published(id="INC-0001", postmortem=signed, at_us=NOW, by="ann")
    with closing(Ledger.open(home / "ledger.db")) as ledger:
        for record in (draft.incident, draft, published, action):
            ledger.put(record, now_us=NOW, by="test")
        url = f"http://127.0.0.1:{port}"
        with serving(home, port, {"ANDON_GITHUB_SECRET": SECRET}), httpx2.Client(base_url=url) as client:
            yield client, ledger


def test_a_report_that_is_posted_is_kept(served: tuple[httpx2.Client, Ledger]) -> None:
    """What a person says is in the ledger when the answer comes, with the incident that it opened."""
    client, ledger = served
    said = {"text": "a wrong dose", "app": "triage", "by": "mia", "near_miss": True}
    answer = client.post("/v1/reports", json=said)
    assert answer.is_success, answer.text
    report = ledger.get(Report, answer.json()["id"])
    assert report is not None
    assert (report.text, report.app, report.by, report.near_miss) == ("a wrong dose", "triage", "mia", True)
    incident = ledger.get(Incident, report.incident)
    assert incident is not None
    assert (incident.id, incident.origin) == (answer.json()["incident"], "near miss")


def test_an_issue_that_is_closed_claims_its_action(served: tuple[httpx2.Client, Ledger]) -> None:
    """GitHub's signed delivery reaches the action whose link it names; without the signature it does not."""
    client, ledger = served
    issue = {"number": 7, "html_url": ISSUE}
    body = json.dumps({"action": "closed", "issue": issue, "sender": {"login": "eve"}}).encode()
    signature = "sha256=" + hmac.new(SECRET.encode(), body, sha256).hexdigest()
    headers = {"x-github-event": "issues", "x-hub-signature-256": signature, "content-type": "application/json"}
    assert client.post("/v1/webhooks/github", content=body + b" ", headers=headers).is_client_error
    assert ledger.get(ActionItem, "INC-0001-A1").claimed == ""
    assert client.post("/v1/webhooks/github", content=body, headers=headers).status_code == 202
    assert ledger.get(ActionItem, "INC-0001-A1").claimed == "#7 was closed by eve"


def test_a_stranger_is_asked_to_sign_in(served: tuple[httpx2.Client, Ledger]) -> None:
    """What was published is for who is signed in; before there is an owner, every page leads to becoming one."""
    client, _ = served
    for path in ("/incidents/INC-0001", "/postmortems/INC-0001", "/incidents/INC-0404"):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/welcome")
        assert "What was signed." not in answer.text
